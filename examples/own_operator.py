"""A custom operator: a scanner's projections at six angles, and images restored from them with their uncertainty.

    python examples/own_operator.py

A scanner measures means along lines, at a few angles, with noise. `operators.Linear` makes an operator of any linear
function; its adjoint is found by autograd. A model of images that has never heard of projections then samples images
that fit a measurement. The picture shows truth, measurement, the image of least squares, samples, their mean and
deviation, and how often the truth lies within intervals of the samples.

Reached: energy score 0.059 ± 0.003, where least squares has 0.158 ± 0.004. The samples reproduce the measurement within
0.035, where its noise is 0.02, and their 80 % intervals cover 69 % of the pixels that vary: after so few steps
they are too sure. About two minutes on one CPU core.
"""

import math
import tempfile
from argparse import ArgumentParser

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from torch.nn import functional as F

import ancestral
from ancestral import operators
from ancestral.covariance import Covariance
from ancestral.metrics import ensembles

SIDE, ANGLES, NOISE, MEMBERS = 24, 6, 0.02, 9


def phantoms(count: int, generator: torch.Generator) -> Tensor:
    """Draw images of a body with three organs, ellipses of random places, sizes and densities."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    image = torch.zeros(count, SIDE, SIDE)
    for part in range(4):
        u = torch.rand(6, count, 1, 1, generator=generator)
        place, size = (0.1, 0.65) if part == 0 else (0.45, 0.12)
        turn, height, width = math.pi * u[2], size + 0.15 * u[3], size + 0.15 * u[4]
        right, down = x - place * (2 * u[0] - 1), y - place * (2 * u[1] - 1)
        across, along = right * turn.cos() + down * turn.sin(), down * turn.cos() - right * turn.sin()
        inside = (20 * (1 - (across / width) ** 2 - (along / height) ** 2) * size).sigmoid()  # a soft edge
        image = torch.lerp(image, 0.35 + 0.1 * u[5] if part == 0 else u[5], inside)
    return (255 * image[:, None]).round().byte()  # uint8 (count, 1, 24, 24)


def project(x: Tensor) -> Tensor:
    """Means of images (B, 1, 24, 24) along the lines of each angle, (B, 1, 6, 24)."""
    views = []
    for k in range(ANGLES):
        cos, sin = math.cos(math.pi * k / ANGLES), math.sin(math.pi * k / ANGLES)
        rotation = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0]], dtype=x.dtype, device=x.device)
        grid = F.affine_grid(rotation.expand(len(x), 2, 3), list(x.shape), align_corners=False)
        views.append(F.grid_sample(x, grid, padding_mode="border", align_corners=False).mean(2))
    return torch.stack(views, 2)


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--samples", type=int, default=24, help="number of held-out images")
    parser.add_argument("--out", default="own_operator.png")
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    train, held_out = phantoms(4000, generator), phantoms(options.samples, generator)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"width": 32, "batch_size": 32, "save_every": 10**6, "sample_every": 10**6, "trackers": ("none",)}
        model = ancestral.train("arrays", data=train, out=f"{folder}/run", steps=options.steps, **settings).model

    scanner = operators.Linear(project)
    truth = held_out / 127.5 - 1
    y = scanner.apply(truth)
    y = y + NOISE * torch.randn(y.shape, generator=generator)
    least_squares = scanner.pseudo_inverse(y, truth.shape[1:])  # without any knowledge of images
    restored = model.restore(
        y, scanner, NOISE, n=MEMBERS * len(y), covariance=Covariance.of(train / 127.5 - 1), decode=False
    )
    members = torch.Tensor(restored).unflatten(0, (MEMBERS, -1)).transpose(0, 1)  # of each measurement
    for name, forecast in (("least squares", least_squares[:, None]), (f"samples by {restored.method}", members)):
        print(f"{name}: energy score {ensembles.score(forecast, truth).energy}")
    misfit = (scanner.apply(members[:, 0]) - y).square().mean().sqrt()
    ordered, open_pixels = members.sort(1).values, members.std(1) > 0.05  # air is air in all samples
    ranks = range(1, MEMBERS // 2 + 1)
    nominal = [1 - 2 * rank / (MEMBERS + 1) for rank in ranks]
    inside = [(ordered[:, rank - 1] <= truth) & (truth <= ordered[:, -rank]) for rank in ranks]
    covered = [float(value[open_pixels].double().mean()) for value in inside]
    print(f"misfit of the samples {misfit:.3f} with noise {NOISE}; {nominal[0]:.0%} intervals cover {covered[0]:.0%}")

    pictures = [truth, y, least_squares, *members.transpose(0, 1)[:3], members.mean(1), 5 * members.std(1) - 1]
    titles = ["truth", "measured", "least squares", "sample", "sample", "sample", "mean", "deviation × 5"]
    figure, axes = plt.subplots(3, len(titles) + 1, figsize=(14, 4.8), layout="constrained")
    for row, line in enumerate(axes):
        for axis, title, images in zip(line, titles, pictures, strict=False):
            shown = {"aspect": "auto"} if title == "measured" else {"vmin": -1, "vmax": 1}
            axis.imshow(images[row, 0].numpy(), cmap="gray", **shown)
            axis.set(xticks=[], yticks=[], title=title if row == 0 else "")
            axis.spines[:].set_visible(False)
        line[-1].remove()
    axis = figure.add_subplot(axes[0, -1].get_subplotspec())
    axis.plot([0, 1], [0, 1], color="0.7")
    axis.plot(nominal, covered, marker=".")
    axis.set(title="coverage", xticks=[0, 1], yticks=[0, 1])
    figure.savefig(options.out)
