"""Step speed on one architecture: a training step and a forward pass of the DDPM paper's CIFAR-10 network.

Ancestral, diffusers with the settings of its training example, and diffusers tuned are interleaved in one process. 3×3
convolutions with 256 channels (forward and backward) are timed in the same rounds and give the peak rate. The share of
the peak counts for every library the FLOPs that diffusers computes, so FLOPs that a library avoids count as done. All
libraries profit from the setting of the memory allocator that `ancestral train` makes, since they share a process.
"""

import argparse
from typing import Any

import torch

from ancestral.base.device import keep_freed_memory, pick_dtype
from flops import Peak, network_flops
from measure import alternate, paired_ratio, pick_device, quartiles, sync_for, write_result
from peers.paper import BENCHMARKS, Setting, available, paper_network

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the part."""
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32], help="batch sizes (default: 8 32)")
    parser.add_argument("--rounds", type=int, default=7, help="number of timed rounds after the warm-up (default: 7)")
    parser.add_argument("--precision", nargs="+", default=list(DTYPES), choices=list(DTYPES), help="precisions")
    parser.add_argument("--only", nargs="+", default=available(), choices=list(BENCHMARKS), help="libraries")
    parser.add_argument("--width", type=int, default=128, help="width of the first level (default: 128, the paper's)")
    parser.add_argument("--compile", action="store_true", help="also measure every network with torch.compile")


def run(options: argparse.Namespace) -> None:
    """Measure and write results/steps.KIND.json."""
    keep_freed_memory()
    device = pick_device()
    rows: list[dict[str, Any]] = []
    for compiled in (False, True) if options.compile else (False,):
        for batch in options.batch:
            rows += measure(options, batch, compiled, device)
    write_result("steps", device, {"rounds": options.rounds, "width": options.width}, rows)


def measure(options: argparse.Namespace, batch: int, compiled: bool, device: torch.device) -> list[dict[str, Any]]:
    """Measure one batch size and return its rows."""
    jobs: dict[str, Any] = {}
    peaks = {}
    for precision in options.precision:
        for name in options.only:
            setting = Setting(batch, precision, width=options.width, device=device, compile=compiled)
            steps = BENCHMARKS[name](setting)
            jobs |= {f"train {precision} {name}": steps.step, f"forward {precision} {name}": steps.forward}
        for layout in ("channels_last", "contiguous"):
            key = f"peak {precision} {layout}"
            jobs[key] = peaks[key] = Peak(batch, DTYPES[precision], device, layout == "channels_last")
    seconds = alternate(jobs, options.rounds, synchronize=sync_for(device))

    flops = {"train": 0, "forward": 0}
    if "diffusers" in available():  # whose network is counted, on the CPU: the count is the same for all devices
        net = paper_network(options.width)
        flops = {what: batch * network_flops(net, (3, 32, 32), what == "train") for what in flops}
    common = {"batch": batch, "compile": compiled}
    rows: list[dict[str, Any]] = []
    for precision in options.precision:
        rates = {key: peaks[key].flops / quartiles(seconds[key])["median"] for key in peaks if precision in key}
        best = max(rates, key=lambda key: rates[key])
        rows.append({**common, "what": "peak", "precision": precision, "flops": rates[best], "layout": best.split()[2]})
        for what in ("train", "forward"):
            ours = seconds.get(f"{what} {precision} ancestral")
            for name in options.only:
                theirs = seconds[f"{what} {precision} {name}"]
                peak = [peaks[best].flops / s for s in seconds[best]]
                row = {
                    **common,
                    "what": what,
                    "precision": precision,
                    "contestant": name,
                    "seconds": quartiles(theirs),
                    "images_per_second": batch / quartiles(theirs)["median"],
                }
                if flops[what]:
                    row["flops"] = flops[what]
                    row["share"] = quartiles([flops[what] / s / p for s, p in zip(theirs, peak, strict=True)])
                if ours is not None and name != "ancestral":
                    row["ratio"] = paired_ratio(theirs, ours)
                rows.append(row)
    default = "bf16" if pick_dtype("auto", device) == torch.bfloat16 else "fp32"
    ours, theirs = (seconds.get(f"train {key}") for key in (f"{default} ancestral", "fp32 diffusers"))
    if ours is not None and theirs is not None:
        rows.append({**common, "what": "default", "precision": default, "ratio": paired_ratio(theirs, ours)})
    for row in rows:
        print(format_row(row), flush=True)
    return rows


def format_row(row: dict[str, Any]) -> str:
    """Format a row as one line."""
    text = f"batch {row['batch']} {row['what']} {row['precision']}"
    if row["what"] == "peak":
        return f"{text}: {row['flops'] / 1e9:.1f} GFLOP/s ({row['layout']})"
    if "seconds" in row:
        text += f" {row['contestant']}: {row['seconds']['median']:.3f} s"
    if "share" in row:
        text += f", {row['share']['median']:.1%} of the peak"
    if "ratio" in row:
        ratio = row["ratio"]
        text += f", {ratio['median']:.3f} times ours ({ratio['low']:.3f} to {ratio['high']:.3f})"
    return text
