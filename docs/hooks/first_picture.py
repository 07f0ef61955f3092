"""Draw the moving picture of the first page: digits that are sampled, from noise to x_0.

    python docs/hooks/first_picture.py

The model is that of the playground. docs/images/denoising.webp moves; denoising.png is its last frame, for readers who
want no motion.
"""

from pathlib import Path

import torch
from PIL import Image

import ancestral
from ancestral import reverse, samplers
from ancestral.guidance import ClassifierFree

DOCS = Path(__file__).parents[1]
COLUMNS, ROWS = 10, 5
SHOWN, HALVED = 36, 18  # states from noise to digits; of the noisy half every second one
MILLISECONDS, HOLD = 80, 2600


def frames() -> list[Image.Image]:
    """Return the states x_t of one digit of each class in a column, as grids."""
    model = ancestral.load(DOCS / "assets" / "playground" / "digits.safetensors")
    labels = torch.arange(COLUMNS).repeat(ROWS)
    denoiser = ClassifierFree(model.denoiser, 2)
    x_T = reverse.prior(model.denoiser.schedule, (1, 28, 28), 12, range(len(labels)))
    sampler = samplers.DDIM(steps=50, eta=1.0, clip=1)
    with torch.no_grad():
        states = list(sampler.trajectory(denoiser, x_T, seed=12, labels=labels))
    pictures = []
    # the first steps change nothing that an eye can see, and noise takes the most bytes
    for state in states[-SHOWN:-HALVED:2] + states[-HALVED:]:
        grid = state.x.view(ROWS, COLUMNS, 28, 28).transpose(1, 2).reshape(28 * ROWS, 28 * COLUMNS)
        pixels = ((grid.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        pictures.append(Image.fromarray(pixels.numpy()))
    return pictures


def main() -> None:
    """Write both pictures."""
    pictures = frames()
    durations = [2 * MILLISECONDS] * ((SHOWN - HALVED) // 2) + [MILLISECONDS] * (HALVED - 1) + [HOLD]
    pictures[0].save(
        DOCS / "images" / "denoising.webp",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        quality=18,
        method=6,
    )
    pictures[-1].save(DOCS / "images" / "denoising.png", optimize=True)


if __name__ == "__main__":
    main()
