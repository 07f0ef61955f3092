"""GPU: equality with the CPU, the time of an optimiser step and of sampling; then the GPU rows of the other parts.

On a machine without a GPU everything runs with tiny networks on a pretended accelerator (tests/accelerator.py), and
its times are not kept. What only CUDA can measure says so in its row: memory, and compiled networks. The other parts
are measured on a GPU only, each in a process of its own, with the libraries that are installed.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch

import equality
import page
from accelerators import NEEDS_CUDA, Accelerator, on, pick_accelerator
from ancestral import config
from ancestral.base.device import MemoryFormat
from ancestral.base.errors import InputError
from ancestral.config.schema import GraphMode
from ancestral.data import InMemoryDataset
from ancestral.training import Trainer
from measure import HERE, alternate, paired_ratio, quartiles, run_python, write_result
from peers.paper import Setting

Row = dict[str, Any]

OTHERS = {
    "steps": ("--rounds", "5"),
    "memory": ("--rounds", "1"),
    "sampling": ("--rounds", "5"),
    "growth": ("--rounds", "3", "--over", "side", "batch", "width"),
}
"""The parts that have rows of a GPU, with options that are to take about five minutes on an H100 (an estimate)."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """Precision, layout and options of an optimiser step that is measured."""

    precision: str = "bf16"
    memory_format: MemoryFormat = "auto"
    compile: bool | GraphMode = False
    checkpointing: bool = False
    base: str = "bf16"
    """The variant that its time is divided by."""


VARIANTS = {
    "float32": Variant("fp32"),
    "float32, contiguous": Variant("fp32", "contiguous", base="float32"),
    "bf16": Variant(),
    "bf16, contiguous": Variant(memory_format="contiguous"),
    "bf16, --compile": Variant(compile=True),
    "bf16, --compile reduce-overhead": Variant(compile="reduce-overhead"),
    "bf16, --compile max-autotune": Variant(compile="max-autotune"),
    "bf16, activation checkpointing": Variant(checkpointing=True),
}
BATCHES = {"digits": 32, "cifar10": 128}
"""Batch sizes of the networks of these presets on a GPU; the pretended accelerator has the first one, tiny."""
SAMPLED = {"ddim": (64, 512), "dpm": (64,), "ddpm": (64,)}
"""Batch sizes that are sampled with each sampler."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the part."""
    parser.add_argument("--rounds", type=int, default=7, help="number of timed rounds after the warm-up (default: 7)")
    parser.add_argument("--alone", action="store_true", help="leave the other parts out")


def run(options: argparse.Namespace) -> None:
    """Measure and write results/gpu.KIND.json, then measure the other parts if this is a GPU."""
    began, device = time.monotonic(), pick_accelerator()
    with on(device) as accelerator:
        what = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        print(what if accelerator.real else "no GPU: a pretended accelerator, whose times are not kept", flush=True)
        size = equality.Size() if accelerator.real else equality.SMALLEST
        rounds = options.rounds if accelerator.real else 1
        rows = equality.compare(accelerator, size)
        show(rows)
        for network in BATCHES if accelerator.real else ("digits",):
            rows += measure_steps(network, accelerator, size, rounds)
        rows += measure_sampling(accelerator, size, rounds)
        write_result("gpu", device, {"rounds": rounds, "clock": "wall"}, rows)
    if device.type == "cuda" and not options.alone:
        threads = ["--threads", str(options.threads)] if options.threads else []
        torch.cuda.empty_cache()
        for name, arguments in OTHERS.items():
            run_python(str(HERE), name, *arguments, *threads)
    page.write_page()
    print(f"{time.monotonic() - began:.0f} s", flush=True)
    if wrong := [row["case"] for row in rows if row.get("within") is False]:
        raise InputError(f"not equal to the CPU: {', '.join(wrong)}")


class Steps:
    """Training steps of a network in a variant, which wait for their last one only."""

    def __init__(self, network: str, variant: Variant, device: torch.device, size: equality.Size) -> None:
        tiny = size is equality.SMALLEST
        base = equality.settings(size) if tiny else config.preset(network)
        self.batch = size.batch if tiny else BATCHES[network]
        self.count = 1 if tiny else 5
        train = dataclasses.replace(base.train, batch_size=self.batch, precision=variant.precision)  # type: ignore[arg-type]
        runtime = dataclasses.replace(
            base.runtime,
            compile=variant.compile,
            memory_format=variant.memory_format,
            checkpointing=variant.checkpointing,
            snapshots=0,
        )
        images = Setting(batch=self.batch).images if network == "cifar10" else equality.dataset(size).items
        dataset = InMemoryDataset(images, None, (), "images")
        self.trainer = Trainer(dataclasses.replace(base, train=train, runtime=runtime), dataset, str(device))

    def take(self) -> None:
        """Take one step without waiting for it."""
        self.trainer.take_step()

    def run(self) -> None:
        """Take `count` steps, and read their losses."""
        for _ in range(self.count):
            self.take()
        self.trainer.read_steps()


def measure_steps(network: str, accelerator: Accelerator, size: equality.Size, rounds: int) -> list[Row]:
    """Measure time, waits and memory of an optimiser step in each variant, and return their rows."""
    every: dict[str, Steps] = {}
    rows: dict[str, Row] = {}
    for name, variant in VARIANTS.items():
        rows[name] = {"what": "step", "network": network, "variant": name}
        if variant.compile and accelerator.device.type != "cuda":
            rows[name]["needs"] = NEEDS_CUDA
            continue
        try:
            steps = Steps(network, variant, accelerator.device, size)
            steps.run()  # compiles, and makes the state of the optimiser
        except InputError as error:
            rows[name]["needs"] = error.text
            continue
        every[name] = steps
    jobs: dict[str, Callable[[], object]] = {name: steps.run for name, steps in every.items()}
    seconds = alternate(jobs, rounds, synchronize=accelerator.synchronize, wall=True)
    for name, steps in every.items():
        base = VARIANTS[name].base
        rows[name] |= {
            "batch": steps.batch,
            "seconds": quartiles([s / steps.count for s in seconds[name]]) if accelerator.real else None,
            "ratio": paired_ratio(seconds[name], seconds[base]) if accelerator.real else None,
            "base": base,
            "waits": accelerator.waits(steps.take),
            "bytes": accelerator.memory(steps.run),
        }
        steps.trainer.close()
    show(list(rows.values()))
    return list(rows.values())


def measure_sampling(accelerator: Accelerator, size: equality.Size, rounds: int) -> list[Row]:
    """Measure the time, the waits and the memory of sampling digits in float32, and return a row for each sampler."""
    trainer = Trainer(equality.settings(size), equality.dataset(size), str(accelerator.device))
    model, steps = trainer.model(), size.sampling_steps
    each = {
        (name, batch if accelerator.real else size.samples): None for name, sizes in SAMPLED.items() for batch in sizes
    }
    jobs: dict[str, Callable[[], object]] = {
        f"{name} {batch}": lambda name=name, batch=batch: model.sample(batch, name, steps, batch_size=batch)
        for name, batch in each
    }
    seconds = alternate(jobs, rounds, synchronize=accelerator.synchronize, wall=True)
    rows = [
        {
            "what": "sampling",
            "sampler": name,
            "batch": batch,
            "steps": steps,
            "seconds": quartiles(seconds[f"{name} {batch}"]) if accelerator.real else None,
            "waits": accelerator.waits(jobs[f"{name} {batch}"]),
            "bytes": accelerator.memory(jobs[f"{name} {batch}"]),
        }
        for name, batch in each
    ]
    trainer.close()
    show(rows)
    return rows


def show(rows: list[Row]) -> None:
    """Print one line for each row."""
    for row in rows:
        text = row.get("case") or row.get("variant") or f"{row['sampler']}, batch {row['batch']}"
        if "needs" in row:
            text += f": {row['needs']}"
        elif row["what"] == "equality":
            text += f": largest difference {page.number(row['difference'])}, relative {page.number(row['relative'])}"
            text += "" if row["within"] else f", MORE than {row['tolerance']:g}"
        else:
            text += f": {1e3 * row['seconds']['median']:.2f} ms" if row["seconds"] else ": done"
            text += "" if row["waits"] is None else f", waits {sum(row['waits'].values())}"
        print(text, flush=True)
