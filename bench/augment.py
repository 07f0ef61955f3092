"""Say what augmentation changes: KID to held-out images after equal CPU times of training.

    python bench/augment.py emoji --augment 0 0.06 0.12 --minutes 15 --seeds 0 1 2

Each probability is trained from scratch with each seed for the same CPU time, in which the transforms count, as in the
quality part (parts/quality.py). Beside KID stand the numbers of steps and the share of samples that are nearer to one
training image than a third of the distance to any other (metrics/copies.py). Samples, grids, models and result.json are
in bench/out/quality. `--set` changes other settings too, as in the quality part.
"""

import argparse
import json
import statistics
from collections.abc import Sequence

import numpy as np
import torch

import image_sets
from ancestral.data import IMAGES
from ancestral.metrics.copies import copies
from parts.quality import MINUTES, Run, read_settings, run_alone


def mean_and_error(values: Sequence[float]) -> str:
    """Format the mean over the seeds, with its standard error where there are several."""
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{error}"


def main() -> None:
    """Train each setting with each seed, print each, and a row for each probability."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=list(MINUTES))
    parser.add_argument(
        "--augment", type=float, nargs="+", default=[0.0, 0.12], help="probabilities; the first is the base"
    )
    parser.add_argument("--minutes", type=float, help="CPU-minutes of training (default: those of the quality part)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--set", type=read_settings, default={}, metavar="JSON", help="other settings of all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    minutes = MINUTES[options.data] if options.minutes is None else options.minutes
    train = IMAGES.encode(image_sets.load(options.data).train.items).flatten(1)
    kids: dict[float, list[float]] = {probability: [] for probability in options.augment}
    copied: dict[float, list[float]] = {probability: [] for probability in options.augment}
    for seed in options.seeds:
        for probability in options.augment:
            change = {**options.set, "data": {**options.set.get("data", {}), "augment": probability}}
            one = Run(
                "ancestral", options.data, minutes, seed, options.samples, change=change, tag=f"augment{probability:g}"
            )
            row = run_alone(one, 1)
            samples = torch.from_numpy(np.load(one.folder / "samples.npz")["images"])
            kids[probability].append(row["KID"]["value"])
            copied[probability].append(copies(IMAGES.encode(samples).flatten(1), train).copied.double().mean().item())
            result = {"augment": probability, "seed": seed, "steps": row["steps"], "KID": kids[probability][-1]}
            print(json.dumps({**result, "copies": copied[probability][-1]}), flush=True)
    print("augment  KID               KID - that of the base   copies")
    for probability, values in kids.items():
        differences = [value - base for value, base in zip(values, kids[options.augment[0]], strict=True)]
        print(
            f"{probability:<7g}  {mean_and_error(values):16s}  {mean_and_error(differences):23s}  "
            f"{mean_and_error(copied[probability])}"
        )


if __name__ == "__main__":
    main()
