"""Scenes made by a program, with captions that a program can check: coloured shapes, how they lie, and how many.

    a red circle        a red circle left of a blue square        three yellow crosses

Four of the pairs of a shape and a colour never occur in the training split. The test split is of scenes with one of
these: they test composition.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ancestral.data.dataset import InMemoryDataset

SIDE = 32
BACKGROUND = (24, 24, 28)
COLOURS = {
    "red": (226, 48, 44),
    "green": (44, 168, 72),
    "blue": (56, 96, 232),
    "yellow": (244, 208, 56),
    "purple": (156, 64, 188),
    "white": (240, 240, 240),
}
SHAPES = ("circle", "square", "triangle", "cross")
PLURALS = {"circle": "circles", "square": "squares", "triangle": "triangles", "cross": "crosses"}
RELATIONS = ("left of", "right of", "above", "below")
NUMBERS = {"two": 2, "three": 3, "four": 4}
HELD_OUT = (("circle", "green"), ("square", "yellow"), ("triangle", "blue"), ("cross", "red"))
"""Pairs of a shape and a colour that the training split does not have."""
RADIUS = 5
"""Shapes are 2 RADIUS + 1 pixels wide."""
TRAINING_SCENES, TEST_SCENES = 12_000, 2_000
SHARES = {"pair": 0.7, "single": 0.15, "several": 0.15}
"""The shares of scenes of two shapes, of one, and of several that are alike."""
LEAST_AREA = 12
"""Pixels of one colour that hang together and are fewer are no shape."""


@dataclass(frozen=True)
class Scene:
    """What a scene holds.

    Attributes:
        shapes: The (shape, colour) of each.
        relation: How the first of two lies to the second; "" of others.
    """

    shapes: tuple[tuple[str, str], ...]
    relation: str = ""

    @property
    def captions(self) -> tuple[str, ...]:
        """The captions of the scene: one, which says all."""
        (shape, colour), *others = self.shapes
        if not others:
            return (f"a {colour} {shape}",)
        if not self.relation:
            number = next(word for word, count in NUMBERS.items() if count == len(self.shapes))
            return (f"{number} {colour} {PLURALS[shape]}",)
        ((shape2, colour2),) = others
        return (f"a {colour} {shape} {self.relation} a {colour2} {shape2}",)

    @property
    def is_new(self) -> bool:
        """Whether one of its pairs of shape and colour never occurs in the training split."""
        return any(pair in HELD_OUT for pair in self.shapes)


def read_caption(caption: str) -> Scene:
    """Return the scene of a caption that says all. Raises ValueError for another text."""
    shape, colour = "|".join(SHAPES), "|".join(COLOURS)
    one = rf"an? ({colour}) ({shape})"
    if match := re.fullmatch(one, caption):
        return Scene(((match[2], match[1]),))
    if match := re.fullmatch(rf"{one} ({'|'.join(RELATIONS)}) {one}", caption):
        return Scene(((match[2], match[1]), (match[5], match[4])), match[3])
    if match := re.fullmatch(rf"({'|'.join(NUMBERS)}) ({colour}) ({'|'.join(PLURALS.values())})", caption):
        singular = next(one for one, several in PLURALS.items() if several == match[3])
        return Scene(((singular, match[2]),) * NUMBERS[match[1]])
    raise ValueError(caption)


@cache
def template(shape: str) -> NDArray[np.bool_]:
    """The pixels of a shape, bool (2 RADIUS + 1, 2 RADIUS + 1)."""
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    pixels: dict[str, NDArray[np.bool_]] = {
        "circle": x**2 + y**2 <= (RADIUS + 0.3) ** 2,
        "square": np.ones_like(x, np.bool_),
        "triangle": abs(x) <= (y + RADIUS) / 2 + 0.3,
        "cross": (abs(x) <= 1) | (abs(y) <= 1),
    }
    return pixels[shape]


def draw(scene: Scene, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a scene, uint8 (3, SIDE, SIDE)."""
    image = np.empty((3, SIDE, SIDE), np.uint8)
    image[:] = np.array(BACKGROUND)[:, None, None]
    for (shape, colour), (row, column) in zip(scene.shapes, _centres(scene, generator), strict=True):
        pixels = image[:, row - RADIUS : row + RADIUS + 1, column - RADIUS : column + RADIUS + 1]
        pixels[:, template(shape)] = np.array(COLOURS[colour])[:, None]
    return image


def _centres(scene: Scene, generator: np.random.Generator) -> NDArray[np.int64]:
    """The (row, column) of the centre of each shape."""
    count = len(scene.shapes)
    if scene.relation:
        across = generator.integers(RADIUS + 1, SIDE - RADIUS - 1, 2)
        along = np.array([RADIUS + 1, SIDE // 2 + RADIUS + 1]) + generator.integers(0, SIDE // 2 - 2 * RADIUS - 2, 2)
        along = along[::-1] if scene.relation in ("right of", "below") else along
        rows_first = scene.relation in ("above", "below")
        return np.stack([along, across] if rows_first else [across, along], 1)
    if count == 1:
        return generator.integers(RADIUS + 1, SIDE - RADIUS - 1, (1, 2))
    quarters = generator.permutation(4)[:count]
    corners = np.stack([quarters // 2, quarters % 2], 1) * (SIDE // 2) + RADIUS + 1
    return corners + generator.integers(0, SIDE // 2 - 2 * RADIUS - 2, (count, 2))


def random_scene(generator: np.random.Generator, new: bool, kinds: dict[str, float] | None = None) -> Scene:
    """Draw what a scene holds: with a pair that never occurs in the training split, or without."""
    shares = kinds or SHARES
    kind = generator.choice([*shares], p=[*shares.values()])
    while True:
        shapes = generator.integers(len(SHAPES), size=2)
        colours = generator.permutation(len(COLOURS))[:2]
        pairs = [(SHAPES[shape], [*COLOURS][colour]) for shape, colour in zip(shapes, colours, strict=True)]
        if kind == "pair":
            scene = Scene(tuple(pairs), RELATIONS[generator.integers(len(RELATIONS))])
        else:
            scene = Scene((pairs[0],) * (1 if kind == "single" else int(generator.integers(2, 5))))
        if scene.is_new == new:
            return scene


def make(count: int, new: bool, seed: int, kinds: dict[str, float] | None = None) -> tuple[Tensor, list[Scene]]:
    """Make scenes: uint8 (count, 3, SIDE, SIDE), and what each holds."""
    generator = np.random.default_rng(seed)
    made = [random_scene(generator, new, kinds) for _ in range(count)]
    images = torch.from_numpy(np.stack([draw(scene, generator) for scene in made]))
    return images, made


def seen(images: Tensor) -> list[list[tuple[str, str, float, float]]]:
    """Say what scenes hold: the shape, the colour and the centre (row, column) of each, by its pixels.

    Args:
        images: uint8 (N, 3, SIDE, SIDE).
    """
    palette = torch.tensor([BACKGROUND, *COLOURS.values()]).float()
    near = (images.float().permute(0, 2, 3, 1)[..., None, :] - palette).square().sum(-1).argmin(-1)  # (N, H, W)
    places = torch.arange(1, SIDE * SIDE + 1).reshape(1, SIDE, SIDE).expand_as(near)
    labels = places.where(near > 0, 0).float()
    while True:  # the largest number of all pixels of the colour that hang together
        shifted = [labels]
        for axis, step in ((1, 1), (1, -1), (2, 1), (2, -1)):
            neighbour, colour = labels.roll(step, axis), near.roll(step, axis)
            edge = torch.zeros_like(near, dtype=torch.bool)
            edge.select(axis, 0 if step == 1 else SIDE - 1).fill_(True)
            shifted.append(torch.where((colour == near) & ~edge, neighbour, 0.0))
        joined = torch.stack(shifted).amax(0)
        if torch.equal(joined, labels):
            break
        labels = joined
    templates = torch.stack([torch.from_numpy(template(shape)).float() for shape in SHAPES])[:, None]
    areas = templates.sum((1, 2, 3))
    found = list[list[tuple[str, str, float, float]]]()
    for number, each in enumerate(labels):
        shapes = list[tuple[str, str, float, float]]()
        for label in each.unique().tolist():
            mask = (each == label).float()
            if not label or mask.sum() < LEAST_AREA:
                continue
            overlap = F.conv2d(F.pad(mask[None, None], [RADIUS] * 4), templates)[0].flatten(1).amax(1)
            best = int((overlap / (areas + mask.sum() - overlap)).argmax())
            rows, columns = mask.nonzero(as_tuple=True)
            name = [*COLOURS][int(near[number, rows[0], columns[0]]) - 1]
            shapes.append((SHAPES[best], name, float(rows.float().mean()), float(columns.float().mean())))
        found.append(shapes)
    return found


def obeys(images: Tensor, captions: Sequence[str]) -> Tensor:
    """Tell whether each image, uint8 (N, 3, SIDE, SIDE), holds just what its caption says: bool (N,)."""
    pairs = zip(seen(images), map(read_caption, captions), strict=True)
    return torch.tensor([_obeys(shapes, scene) for shapes, scene in pairs])


def _obeys(shapes: Sequence[tuple[str, str, float, float]], scene: Scene) -> bool:
    if sorted(one[:2] for one in shapes) != sorted(scene.shapes):
        return False
    if not scene.relation:
        return True
    (_, _, *first), (_, _, *second) = shapes if shapes[0][:2] == scene.shapes[0] else shapes[::-1]
    down, right = second[0] - first[0], second[1] - first[1]
    same = scene.shapes[0] == scene.shapes[1]
    distance = {"left of": right, "right of": -right, "above": down, "below": -down}[scene.relation]
    return abs(distance) > RADIUS if same else distance > RADIUS


def scenes(split: str = "train") -> tuple[InMemoryDataset, dict[str, list[tuple[str, ...]]]]:
    """Make scenes, uint8 (N, 3, 32, 32), and their captions. Those of "test" have pairs that "train" does not have."""
    new = split == "test"
    images, made = make(TEST_SCENES if new else TRAINING_SCENES, new, int(new))
    return InMemoryDataset(images, name="scenes"), {"caption": [scene.captions for scene in made]}
