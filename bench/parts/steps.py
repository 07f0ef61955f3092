"""Step speed on one architecture: a training step and a forward pass of the paper's CIFAR-10 network.

Ours, diffusers as its training example has it, and the same tuned take turns in one process, with this machine's best
3×3 convolutions at 256 channels (forward and backward) among them. The share of that peak counts for each side the
FLOPs of the paper's network as it is defined, which is what diffusers computes: work that is saved counts as done.
All profit from the allocator's setting that `ancestral train` makes, for they share a process.
"""

import argparse
from typing import Any

import torch

from ancestral.device import keep_freed_memory, pick_dtype
from flops import Peak, of_network
from measure import alternate, paired, pick_device, spread, waiter, write
from peers.paper import PAPERS, Setting, network

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the part."""
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32], help="images a step")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count; one more warms up")
    parser.add_argument("--precision", nargs="+", default=list(DTYPES), choices=list(DTYPES), help="autocast")
    parser.add_argument("--only", nargs="+", default=list(PAPERS), choices=list(PAPERS), help="contestants")
    parser.add_argument("--width", type=int, default=128, help="channels of the first level; 128 is the paper's")
    parser.add_argument("--compile", action="store_true", help="torch.compile on both sides, as rows of their own")


def run(options: argparse.Namespace) -> None:
    """Measure and write results/steps.KIND.json."""
    keep_freed_memory()
    device = pick_device()
    rows: list[dict[str, Any]] = []
    for compiled in (False, True) if options.compile else (False,):
        for batch in options.batch:
            rows += measure(options, batch, compiled, device)
    write("steps", device, {"rounds": options.rounds, "width": options.width}, rows)


def measure(options: argparse.Namespace, batch: int, compiled: bool, device: torch.device) -> list[dict[str, Any]]:
    """The rows of one batch size."""
    jobs: dict[str, Any] = {}
    peaks = {}
    for precision in options.precision:
        for name in options.only:
            setting = Setting(batch, precision, width=options.width, device=device, compile=compiled)
            paper = PAPERS[name](setting)
            jobs |= {f"train {precision} {name}": paper.step, f"forward {precision} {name}": paper.forward}
        for layout in ("channels_last", "contiguous"):
            key = f"peak {precision} {layout}"
            jobs[key] = peaks[key] = Peak(batch, DTYPES[precision], device, layout == "channels_last")
    seconds = alternate(jobs, options.rounds, wait=waiter(device))

    paper_net = network(options.width)  # on the CPU, where it is counted alike for all devices
    flops = {what: batch * of_network(paper_net, (3, 32, 32), what == "train") for what in ("train", "forward")}
    common = {"batch": batch, "compile": compiled}
    rows: list[dict[str, Any]] = []
    for precision in options.precision:
        rates = {key: peaks[key].flops / spread(seconds[key])["median"] for key in peaks if precision in key}
        best = max(rates, key=lambda key: rates[key])
        rows.append({**common, "what": "peak", "precision": precision, "flops": rates[best], "layout": best.split()[2]})
        for what in ("train", "forward"):
            mine = seconds.get(f"{what} {precision} ancestral")
            for name in options.only:
                theirs = seconds[f"{what} {precision} {name}"]
                peak = [peaks[best].flops / s for s in seconds[best]]
                row = {
                    **common,
                    "what": what,
                    "precision": precision,
                    "contestant": name,
                    "seconds": spread(theirs),
                    "images_per_second": batch / spread(theirs)["median"],
                    "flops": flops[what],
                    "share": spread([flops[what] / s / p for s, p in zip(theirs, peak, strict=True)]),
                }
                if mine is not None and name != "ancestral":
                    row["ratio"] = paired(theirs, mine)
                rows.append(row)
    default = "bf16" if pick_dtype("auto", device) == torch.bfloat16 else "fp32"
    mine, theirs = (seconds.get(f"train {key}") for key in (f"{default} ancestral", "fp32 diffusers"))
    if mine is not None and theirs is not None:
        rows.append({**common, "what": "default", "precision": default, "ratio": paired(theirs, mine)})
    for row in rows:
        print(line(row), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    """A row in words."""
    text = f"batch {row['batch']} {row['what']} {row['precision']}"
    if row["what"] == "peak":
        return f"{text}: {row['flops'] / 1e9:.1f} GFLOP/s ({row['layout']})"
    if "seconds" in row:
        text += f" {row['contestant']}: {row['seconds']['median']:.3f} s, {row['share']['median']:.1%} of the peak"
    if "ratio" in row:
        ratio = row["ratio"]
        text += f", {ratio['median']:.3f} times ours ({ratio['low']:.3f} to {ratio['high']:.3f})"
    return text
