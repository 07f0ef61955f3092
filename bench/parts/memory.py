"""Memory: the peak of a training step of the DDPM paper's CIFAR-10 network, at equal batch size and precision.

Each measurement has a process of its own with the usual settings of the library (for ours, the setting of the memory
allocator that `ancestral train` makes). The first step creates Adam's state, and the second is measured. "step" is its
peak minus the memory between steps, after freed memory was returned to the system: activations, gradients and
temporary buffers. "all" is its peak minus the memory before the network was built, so weights, EMA and Adam's state
are included.
"""

import argparse
import json
from typing import Any

import torch

from ancestral.base.device import keep_freed_memory
from measure import pick_device, quartiles, run_code, write_result
from peers.paper import BENCHMARKS, Setting, available
from resident import peak_memory, reset_peak, status_bytes


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the part."""
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32], help="batch sizes (default: 8 32)")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"], help="precisions")
    parser.add_argument("--only", nargs="+", default=available(), choices=list(BENCHMARKS), help="libraries")
    parser.add_argument("--width", type=int, default=128, help="width of the first level (default: 128, the paper's)")
    parser.add_argument("--rounds", type=int, default=3, help="number of measurements of each (default: 3)")


def run(options: argparse.Namespace) -> None:
    """Measure all libraries and write results/memory.KIND.json."""
    rows: list[dict[str, Any]] = []
    for batch in options.batch:
        for precision in options.precision:
            measured: dict[str, list[dict[str, int]]] = {name: [] for name in options.only}
            for _ in range(options.rounds):
                for name in options.only:
                    arguments = (name, str(batch), precision, str(options.width))
                    code = "import sys; from parts.memory import print_memory; print_memory(*sys.argv[1:])"
                    output = run_code(code, *arguments, threads=options.threads).splitlines()
                    measured[name].append(json.loads(output[-1]))
            for name in options.only:
                row: dict[str, Any] = {"batch": batch, "precision": precision, "contestant": name}
                for what in ("step", "all"):
                    row[what] = quartiles([each[what] for each in measured[name]])
                    row[f"{what} of diffusers'"] = (
                        row[what]["median"] / quartiles([each[what] for each in measured["diffusers"]])["median"]
                        if "diffusers" in measured
                        else None
                    )
                rows.append(row)
                print(f"batch {batch} {precision} {name}: step {row['step']['median'] / 2**20:.0f} MiB", end=", ")
                print(f"all {row['all']['median'] / 2**20:.0f} MiB", flush=True)
    write_result("memory", pick_device(), {"rounds": options.rounds, "width": options.width}, rows)


def print_memory(name: str, batch: str, precision: str, width: str) -> None:
    """Measure one library in this process, and print {"step": bytes, "all": bytes}."""
    device = pick_device()
    if name == "ancestral":
        keep_freed_memory()
    BENCHMARKS[name](Setting(2, precision, width=32, device=device)).step()  # loads modules and kernels
    reset_peak()
    start = torch.cuda.memory_allocated() if device.type == "cuda" else status_bytes("VmRSS")
    steps = BENCHMARKS[name](Setting(int(batch), precision, width=int(width), device=device))
    steps.step()
    steps.net.zero_grad(set_to_none=True)  # only some libraries delete their gradients after a step
    _, peak, step = peak_memory(steps.step, device)
    print(json.dumps({"step": step, "all": peak - start}))
