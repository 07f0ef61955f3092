"""Memory: the peak of a training step of the paper's CIFAR-10 network, at equal batch and precision.

Each measurement is a process of its own, in which each side runs as its user would run it (ours with the allocator's
setting of `ancestral train`). A first step makes Adam's state. The second counts, twice over: "step" is its peak above
what is held between steps (activations, gradients, scratch), after freed memory was handed back to the system; "all" is
that peak above what the process held before the network was built (weights, average and Adam's state too).
"""

import argparse
import json
from typing import Any

import torch

from ancestral.device import keep_freed_memory
from measure import child, pick_device, spread, write
from peers.paper import PAPERS, Setting
from resident import above, field, forget


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the part."""
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32], help="images a step")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"], help="autocast")
    parser.add_argument("--only", nargs="+", default=list(PAPERS), choices=list(PAPERS), help="contestants")
    parser.add_argument("--width", type=int, default=128, help="channels of the first level; 128 is the paper's")
    parser.add_argument("--rounds", type=int, default=3, help="processes for each")


def run(options: argparse.Namespace) -> None:
    """Measure and write results/memory.KIND.json."""
    rows: list[dict[str, Any]] = []
    for batch in options.batch:
        for precision in options.precision:
            found: dict[str, list[dict[str, int]]] = {name: [] for name in options.only}
            for _ in range(options.rounds):
                for name in options.only:
                    words = (name, str(batch), precision, str(options.width))
                    code = "import sys; from parts.memory import one; one(*sys.argv[1:])"
                    found[name].append(json.loads(child(code, *words, threads=options.threads).splitlines()[-1]))
            for name in options.only:
                row: dict[str, Any] = {"batch": batch, "precision": precision, "contestant": name}
                for what in ("step", "all"):
                    row[what] = spread([each[what] for each in found[name]])
                    row[f"{what} of diffusers'"] = (
                        row[what]["median"] / spread([each[what] for each in found["diffusers"]])["median"]
                        if "diffusers" in found
                        else None
                    )
                rows.append(row)
                print(f"batch {batch} {precision} {name}: step {row['step']['median'] / 2**20:.0f} MiB", end=", ")
                print(f"all {row['all']['median'] / 2**20:.0f} MiB", flush=True)
    write("memory", pick_device(), {"rounds": options.rounds, "width": options.width}, rows)


def one(name: str, batch: str, precision: str, width: str) -> None:
    """A measurement, in a process of its own: prints {"step": bytes, "all": bytes}."""
    device = pick_device()
    if name == "ancestral":
        keep_freed_memory()
    PAPERS[name](Setting(2, precision, width=32, device=device)).step()  # imports and kernels are there from now on
    forget()
    start = torch.cuda.memory_allocated() if device.type == "cuda" else field("VmRSS")
    paper = PAPERS[name](Setting(int(batch), precision, width=int(width), device=device))
    paper.step()
    paper.net.zero_grad(set_to_none=True)  # some leave the gradients there until the next step, some do not
    _, most, step = above(paper.step, device)
    print(json.dumps({"step": step, "all": most - start}))
