"""How networks take t and conditions: classes and vectors add to the embedding of t, images to the stem of x.

Words do both: a small transformer makes features of them, of which those of the whole text add to the embedding of t,
and layers of the network attend to all of them (`CrossAttention`). The new layers end in zeros, so the output of an
untrained network does not depend on its conditions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.base.errors import InputError
from ancestral.base.transforms import certain
from ancestral.conditions import ABSENT, FACTOR, NOISE, ByKind, Classes, Condition, Noise, Vector, Words, argument_name
from ancestral.nets.kernels.attention import attend
from ancestral.nets.kernels.normalisation import LayerNorm


def timestep_embedding(index: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """[sin | cos] of index · exp(−i · ln 10000 / (half − 1)), i = 0..half−1: (B, width) from index (B,).

    The sines stand before the cosines and the last frequency is 1/10000 exactly, as in the DDPM authors' code. Angles
    are in float32, or in float64 for that `dtype` of the result.
    """
    if width < 4 or width % 2:
        raise InputError(f"a time embedding needs an even width of at least 4, not {width}")
    half = width // 2
    work = torch.promote_types(dtype, torch.float32)
    frequency = torch.exp(torch.arange(half, device=index.device, dtype=work) * (-math.log(10000) / (half - 1)))
    angle = index[:, None].to(work) * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(dtype)


def class_index(labels: Tensor, classes: int) -> Tensor:
    """Index of the embedding of each label (B,): that of its class, or for a label below 0 the last, "no class".

    Raises:
        InputError: On a CPU, for a label of no class. On a GPU its index is beyond the last one, which fails there.
    """
    beyond = labels >= classes
    if labels.device.type == "cpu" and certain(beyond.any()):
        raise InputError(f"labels are 0..{classes - 1}, or -1 for no class, not {int(labels.max())}")
    return (labels + beyond).where(labels >= 0, classes)


def _zero(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _class_layer(kind: Classes, width: int) -> nn.Module:
    return _zero(nn.Embedding(len(kind.names) + 1, width))  # the last: no class


def _class_numbers(kind: Classes, name: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    if value.is_floating_point():
        raise InputError(f"{name} is of classes: give their numbers as integers, not {value.dtype}")
    return class_index(value, len(kind.names))


def _vector_layer(kind: Vector, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(kind.size + 1, width), nn.SiLU(), _zero(nn.Linear(width, width)))


def _vector_numbers(kind: Vector, name: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    if value.shape[1:] != (kind.size + 1,):
        raise InputError(
            f"the vector {name} has the shape {tuple(value.shape)}: give (B, {kind.size + 1}), its standardised "
            "numbers and then 1, as Vector.encode makes it"
        )
    return value.to(dtype)


def _noise_layer(kind: Noise, width: int) -> nn.Module:
    # not zeros at the end: where members are equal, nothing in an energy score drives them apart
    return nn.Sequential(nn.Linear(kind.size, width), nn.SiLU(), nn.Linear(width, width))


def _noise_numbers(kind: Noise, name: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    if value.shape[1:] != kind.shape:
        raise InputError(f"the noise has the shape {tuple(value.shape)}: give (B, {kind.shape[0]})")
    return value[:, : kind.size].to(dtype)


class CrossAttention(nn.Module):
    """Attention of the positions of x to a sequence, with normalised queries and keys.

    Queries are of x, keys are of the features of the sequence, and values are of its embeddings, which depend on no
    other element. So what a position receives of the word "green" is the same beside each shape.

    Args:
        width: Number of features of a position of x.
        sequence_width: Number of features of an element of the sequence, and of its embedding.
        heads: Number of attention heads, which divides the width.
        scale: The factor of the initial weights of the last layer; 0 adds nothing at first.

    References:
        Dehghani et al., *Scaling vision transformers to 22 billion parameters* (2023), the norms of queries and keys.
    """

    def __init__(self, width: int, sequence_width: int, heads: int, scale: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(size, width) for size in (width, sequence_width, sequence_width))
        self.norm_q, self.norm_k = (LayerNorm(width // heads, bias=False) for _ in range(2))
        self.out = nn.Linear(width, width)
        with torch.no_grad():
            for parameter in self.out.parameters():
                parameter.mul_(scale)

    def forward(self, x: Tensor, sequence: Tensor) -> Tensor:
        """Map x (B, positions, width) and a sequence (B, S, 2 sequence_width), its features and then its embeddings, to
        (B, positions, width).
        """
        features, embeddings = sequence.chunk(2, dim=2)
        pairs = (self.q, x), (self.k, features), (self.v, embeddings)
        q, k, v = (layer(each).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer, each in pairs)
        q, k = self.norm_q(q).to(v.dtype), self.norm_k(k).to(v.dtype)
        out: Tensor = self.out(attend(q, k, v).transpose(1, 2).flatten(2))
        return out


class WordsEncoder(nn.Module):
    """A small transformer over the tokens of a text, without a mask: what is no word has an embedding too.

    Args:
        kind: The condition.
        width: Number of features.
    """

    def __init__(self, kind: Words, width: int) -> None:
        super().__init__()
        self.pieces, self.length = len(kind.vocabulary), kind.length
        self.embedding = nn.Embedding(self.pieces + 1, width)  # row 0 is no word, so that new pieces come behind
        self.places = nn.Parameter(torch.empty(1 + kind.length, width))
        for part in (self.embedding.weight, self.places):
            nn.init.normal_(part, std=0.5)
        self.blocks = nn.ModuleList(WordsBlock(width) for _ in range(WORDS_DEPTH))
        self.norm = LayerNorm(width)

    def forward(self, tokens: Tensor, name: str, dtype: torch.dtype) -> Tensor:
        """Map tokens (B, L) to features and embeddings side by side, (B, 1 + L, 2 width); the first of the 1 + L is the
        whole text, whose embedding is zeros.
        """
        if tokens.shape[1:] != (self.length,) or tokens.is_floating_point():
            raise InputError(
                f"{name} is of words: give the tokens (B, {self.length}) as integers, as Words.read makes them, not "
                f"{tokens.dtype} of the shape {tuple(tokens.shape)}"
            )
        embeddings = self.embedding(tokens.clamp(ABSENT, self.pieces - 1) + 1).to(dtype)
        embeddings = F.pad(embeddings, (0, 0, 1, 0))
        h = embeddings + self.places.to(dtype)
        for block in self.blocks:
            h = block(h)
        return torch.cat([self.norm(h).to(dtype), embeddings], dim=2)


class WordsBlock(nn.Module):
    """Self-attention and an MLP, each behind a norm and beside a residual connection.

    Neither ends in zeros: what the network adds of the words does, and two zeros one behind the other learn slowly.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.attention = CrossAttention(width, width, WORDS_HEADS, scale=1.0)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, width) to the same shape."""
        h = self.norm1(x)
        x = x + self.attention(h, torch.cat([h, h], dim=2))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Embedding(NamedTuple):
    """Embedding of a kind of condition, which is added to that of t.

    Attributes:
        layer: Makes the layer of a kind and a width.
        numbers: Returns the input of the layer for what a network gets, by kind, name, value and dtype.
    """

    layer: Callable[[Any, int], nn.Module]
    numbers: Callable[[Any, str, Tensor, torch.dtype], Tensor]


LAYERS: ByKind[Embedding | Callable[[Any, int], nn.Module] | None] = ByKind(
    classes=Embedding(_class_layer, _class_numbers),
    vector=Embedding(_vector_layer, _vector_numbers),
    image=None,
    words=WordsEncoder,
    noise=Embedding(_noise_layer, _noise_numbers),
)
"""How networks take each kind: added to the embedding of t; as a sequence to attend to, by what makes the encoder of a
kind and a width; or None, joined to x on its grid."""
PARTED = 0.02
"""The standard deviation of the weights of the last layer of a network that draws noise."""
WORDS_WIDTH, WORDS_DEPTH, WORDS_HEADS = 64, 2, 4
"""The numbers of features and blocks of the transformer over words, few, so that it takes little of a step; and of the
heads of its attention, and of that of a U-Net to words."""


def sequence_width(conditions: Mapping[str, Condition] | None) -> int | None:
    """Return the number of features of an element of the sequence that layers attend to; None without words."""
    return WORDS_WIDTH if any(kind.in_sequence for kind in (conditions or {}).values()) else None


def drawn_noise(net: nn.Module) -> Noise | None:
    """Return the noise that a network draws its answers by; None of others, and of custom networks."""
    layers = getattr(net, "conditioning", None)
    return layers.noise if isinstance(layers, ConditionLayers) else None


class ConditionLayers(nn.Module):
    """The layers of a network for its conditions.

    Args:
        conditions: The conditions by name.
        width: Number of features of the embedding of t.
        stem: Makes the layer for images from its number of input channels; None for points, which have no grid.
        lowest: Makes the layer for noise on the lowest grid from its number of channels; None where there is no grid.
    """

    def __init__(
        self,
        conditions: Mapping[str, Condition],
        width: int,
        stem: Callable[[int], nn.Module] | None = None,
        lowest: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.kinds = {argument_name(name): kind for name, kind in conditions.items()}
        self.embeddings, self.encoders, self.whole = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.numbers = dict[str, Callable[[Any, str, Tensor, torch.dtype], Tensor]]()
        for name, kind in self.kinds.items():
            layer = LAYERS[kind]
            if isinstance(layer, Embedding):
                self.embeddings[f"of_{name}"], self.numbers[name] = layer.layer(kind, width), layer.numbers
            elif layer is not None:
                self.encoders[f"of_{name}"] = layer(kind, WORDS_WIDTH)
                self.whole[f"of_{name}"] = _zero(nn.Linear(WORDS_WIDTH, width))
        self.images = [name for name, kind in self.kinds.items() if kind.on_grid]
        if self.images and stem is None:
            raise InputError(f"points have no grid for the image {self.images[0]}: give this condition as a vector")
        channels = sum(self.kinds[name].absent(0, ()).shape[1] for name in self.images)
        self.stem = stem(channels) if stem is not None and channels else None
        noise = self.kinds.get(NOISE)
        self.noise = noise if isinstance(noise, Noise) else None
        """The noise that the network draws; None where its answers follow from what it is given."""
        grid = () if self.noise is None else self.noise.grid
        if grid and lowest is None:
            raise InputError("points have no grid for noise: give the noise none")
        self.lowest = lowest(grid[0]) if grid and lowest is not None else None

    def check(self, values: Mapping[str, object]) -> None:
        """Raise InputError for a condition that the network does not have."""
        for name in values:
            if name == FACTOR and self.noise is None:
                raise InputError("the network draws no noise, which a factor could multiply: leave it out")
            if name not in self.kinds and name != FACTOR:
                has = f"its conditions are {', '.join(self.kinds)}" if self.kinds else "it has no conditions of its own"
                raise InputError(f"the network is not conditioned on {name}: {has}")

    def drawn(
        self, x: Tensor, index: Tensor, keys: Tensor | None, values: Mapping[str, Tensor | None]
    ) -> tuple[Tensor, Mapping[str, Tensor | None]]:
        """Draw the noise of the network at time indices (B,), unless the values hold it; without keys it is zeros.

        Returns:
            x as the network gets it, and the values.
        """
        if self.noise is None:
            return x, values
        if values.get(NOISE) is None:
            nothing = self.noise.absent(x.shape[0]).to(x.device, non_blocking=True)
            noise = nothing if keys is None else self.noise.drawn_by(keys, index)
            factor = values.get(FACTOR)
            values = {**values, NOISE: noise if factor is None else noise * factor[:, None]}
        return self.noise.fed(x, index), values

    def on_lowest_grid(self, sides: Sequence[int], values: Mapping[str, Tensor | None], x: Tensor) -> Tensor | None:
        """Return what the noise adds to features on the lowest grid, (B, width, *sides) in the dtype of x.

        None where it adds nothing. Raises InputError where x has another grid than the noise.
        """
        noise = values.get(NOISE)
        if self.lowest is None or self.noise is None or noise is None:
            return None
        if tuple(sides) != self.noise.grid[1:]:
            raise InputError(
                f"this network draws noise on a grid of {self.noise.grid[1:]}, and x has one of {tuple(sides)}: give "
                "items of the size that it was trained on"
            )
        added: Tensor = self.lowest(noise[:, self.noise.size :].reshape(-1, *self.noise.grid).to(x.dtype))
        return added

    def part(self, out: nn.Module) -> None:
        """Let the last layer of a network begin with small weights, so that members of an ensemble differ at first."""
        if self.noise is not None:
            nn.init.normal_(out.weight, std=PARTED)  # type: ignore[arg-type]  # a dense layer or a convolution

    def embed(self, embedding: Tensor, values: Mapping[str, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        """Add the embedding of classes, vectors and whole texts to that of t. What is not given is absent.

        Returns:
            The sum, (B, width), and the sequence that `CrossAttention` takes; None if there are no words.
        """
        sequences: list[Tensor] = []  # torch.compile does not know list[Tensor]()
        for name, kind in self.kinds.items():
            if kind.on_grid:
                continue
            value = values.get(name)
            if value is None:  # `len` would fix the size of the batch in an exported program
                value = kind.absent(embedding.shape[0], ()).to(embedding.device, non_blocking=True)
            if kind.in_sequence:
                sequences.append(self.encoders[f"of_{name}"](value, name, embedding.dtype))
                embedding = embedding + self.whole[f"of_{name}"](sequences[-1][:, 0, :WORDS_WIDTH])
                continue
            numbers = self.numbers[name](kind, name, value, embedding.dtype)
            embedding = embedding + self.embeddings[f"of_{name}"](numbers)
        return embedding, torch.cat(sequences, 1) if sequences else None

    def image(self, x: Tensor, values: Mapping[str, Tensor | None]) -> Tensor | None:
        """Join the images on the grid of x (B, C, *sides) along their channels. None if there are none."""
        if not self.images:
            return None
        present = []
        for name in self.images:
            value = values.get(name)
            if value is None:
                value = self.kinds[name].absent(x.shape[0], x.shape[2:]).to(x.device, non_blocking=True)
            expected = self.kinds[name].absent(0, x.shape[2:]).shape[1:]
            if value.shape[1:] != expected:
                raise InputError(
                    f"the image {name} has the shape {tuple(value.shape)}: give (B, {', '.join(map(str, expected))}), "
                    "on the grid of x, as Image.encode makes it"
                )
            present.append(value.to(x.dtype))
        return torch.cat(present, dim=1)
