"""Draw the maps of the page on anomalies, docs/images/anomaly-map.png, and print how well they separate.

    python docs/hooks/anomaly_map.py

The model is that of the playground. Digits get a defect, a short bright bar at a random place beside the stroke.
"""

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import ancestral
from ancestral import data

DOCS = Path(__file__).parents[1]
PICTURE = DOCS / "images" / "anomaly-map.png"
COUNT = 100


def functions() -> dict[str, Any]:
    """Return the functions of the page's first block of Python."""
    page = (DOCS / "how-to" / "anomaly-maps.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[0], names)
    return names


def with_defects(x: Tensor) -> tuple[Tensor, Tensor]:
    """Digits in [-1, 1] with a bar of 2x6 pixels each on the black ground, and the masks of the bars."""
    generator, broken, masks = torch.Generator().manual_seed(0), x.clone(), torch.zeros_like(x, dtype=torch.bool)
    for image, mask in zip(broken, masks, strict=True):
        while not mask.any():
            row, column = (int(torch.randint(4, 18, (), generator=generator)) for _ in range(2))
            place = (slice(None), slice(row, row + 2), slice(column, column + 6))
            if bool((image[place] < -0.9).all()):
                image[place], mask[place] = 0.8, True
    return broken, masks


def auroc(scores: Tensor, positive: Tensor) -> float:
    """Compute the area under the ROC curve: the share of pairs that the scores order rightly, ties as halves."""
    ranks = scores.double().argsort().argsort().double() + 1
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))


def main() -> None:
    """Measure and draw."""
    torch.set_num_threads(1)
    page, model = functions(), ancestral.load(DOCS / "assets" / "playground" / "digits.safetensors")
    clean = model.spec.encode(data.load("digits").items[:: 5000 // COUNT])
    broken, masks = with_defects(clean)
    maps = [page["anomaly_map"](model, x) for x in (clean, broken)]
    print(f"pixels of the defect against others: AUROC {auroc(maps[1].flatten(), masks.flatten()):.3f}")
    positive = torch.arange(2 * COUNT) >= COUNT
    whole = torch.cat(maps).flatten(1)
    print(f"digits with a defect, by the largest value of the map: AUROC {auroc(whole.amax(1), positive):.3f}")
    bits = torch.cat([page["bits"](model, x) for x in (clean, broken)])
    print(f"digits with a defect, by bits/dim: AUROC {auroc(bits, positive):.3f}")
    rows = {"item": broken, "map": maps[1], "defect": masks.float()}
    figure, axes = plt.subplots(3, 8, figsize=(7.6, 3.0), layout="constrained")
    for line, (title, images) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(title)
        for place, image in zip(line, images[::7], strict=False):
            place.imshow(image[0], cmap="gray")
            place.set(xticks=[], yticks=[])
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
