"""Draw the loss of a training beside the distance of its samples: docs/images/loss-and-samples.png.

    python docs/hooks/loss_curve.py

It trains the preset `digits` for 400 steps, and measures the KID of 500 samples on the way: three minutes on one core.
"""

import csv
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import ancestral
from ancestral.render.plots import STYLE_COLOURS

PICTURE = Path(__file__).parents[1] / "images" / "loss-and-samples.png"
MEASURED = (50, 100, 200, 400)


def main() -> None:
    """Train, measure and draw."""
    with tempfile.TemporaryDirectory() as folder:
        run, found = Path(folder) / "run", []
        settings = {"log_every": 10, "threads": 1, "trackers": ("none",)}
        for progress in ancestral.train_steps("digits", out=run, steps=MEASURED[-1], **settings):
            if progress.step in MEASURED:
                result = ancestral.evaluate(
                    progress.model(), "digits", samples=500, metrics="kernel", threads=1, progress=False
                )
                found.append(result.samples.metrics["kernel"].value)
        with (run / "log.csv").open(encoding="utf-8") as file:
            rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
    for step, loss in rows:
        if step in MEASURED:
            print(f"step {step}: loss {loss:.4f}, KID {found[MEASURED.index(step)]}", flush=True)
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 2.6), layout="constrained")
    axes[0].plot(*zip(*rows, strict=True), color=STYLE_COLOURS[0])
    axes[0].set(title="loss", xlabel="training step", ylim=(0, None))
    values, errors = [one.value for one in found], [one.error for one in found]
    axes[1].errorbar(MEASURED, values, errors, color=STYLE_COLOURS[1], marker="o", capsize=3)
    axes[1].set(title="KID of 500 samples (lower is better)", xlabel="training step", ylim=(0, None))
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
