"""What pairing by optimal transport changes: flows after equal steps, sampled by few steps of Euler's method.

    python bench/coupling.py points|digits|fashion [--steps 600] [--batch 128] [--seeds 0 1] [--classes]

For each seed it trains the preset's network as a flow with independent noise and with `--coupling ot`, and prints the
distance of 1,000 samples to the training data by 2, 4, 8 and 16 steps (FD of points, KID of images in units of
lite0's features) with its standard error, and the CPU seconds of both trainings. Without --classes labels are left out,
since noise is dealt out among items of one class alone.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

import ancestral

EVALUATIONS = (2, 4, 8, 16)
PRESETS = {"points": "flow-points", "digits": "flow", "fashion": "flow"}


def main() -> None:
    """Print a line for each training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=list(PRESETS))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--couplings", nargs="+", default=["independent", "ot"])
    parser.add_argument("--classes", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = {"fashion": {"data": "fashion"}}.get(options.data, {})
    metric = "frechet" if options.data == "points" else "kernel"
    for seed in options.seeds:
        for coupling in options.couplings:
            with tempfile.TemporaryDirectory() as folder:
                began = time.process_time()
                run = ancestral.train(
                    PRESETS[options.data], out=Path(folder) / "run", steps=options.steps, batch_size=options.batch,
                    seed=seed, coupling=coupling, class_labels=options.classes, sample_every=10**6, save_every=10**6,
                    snapshots=0, threads=1, trackers=("none",), progress=False, **source,
                )  # fmt: skip
                seconds = time.process_time() - began
                cells = []
                for evaluations in EVALUATIONS:
                    sampler = f"euler:steps={evaluations}"
                    found = ancestral.evaluate(
                        run.model, samples=1000, sampler=sampler, metrics=[metric], threads=1, progress=False
                    )
                    cells.append(str(found.samples.metrics[metric].value))
            row = [options.data, str(seed), coupling, f"{seconds:.0f} s", *cells]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
