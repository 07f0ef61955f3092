"""How well items fit their captions: R-precision by a small model of both, two networks and a contrastive loss.

The model is trained on real items, so it knows nothing of the model whose samples it judges. R-precision is how often
an item's own text is nearer to it than those of others. The share is the mean over all choices of the other texts, in
closed form, so no distractor is drawn.
"""

from collections.abc import Callable, Generator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral import randomness
from ancestral.base.quantities import Estimate
from ancestral.conditions import Words, resized
from ancestral.data import Codec
from ancestral.metrics import uncertainty
from ancestral.nets.conditioning import WordsEncoder
from ancestral.randomness import Stream

WIDTH = 64
"""Number of features of an item and of a text."""
CHANNELS = (32, 64, 128)
"""Channels of the convolutions, of which each halves the sides."""
LARGEST_SIDES = {1: 256, 2: 32, 3: 16}
"""Items are made smaller than this before they are judged, by the number of axes of space."""
STEPS, BATCH, RATE, DECAY = 800, 128, 3e-3, 0.1
"""Training steps, items of each, the largest learning rate of AdamW and its weight decay."""
NOISE = 0.1
"""The deviation of the noise on training items, so that small errors of samples do not decide."""
CHOSEN_EVERY, CHOSEN_AMONG = 10, 1000
"""One in ten items, and at most 1,000, choose the step of training whose weights are taken."""
CHOICES = 12
"""Number of steps that are compared."""
AMONG = 32
"""Number of texts that an item is compared with, its own included."""
BY_CHANCE = 1 / AMONG
"""The share where items have nothing to do with their texts."""


def item_network(shape: tuple[int, ...]) -> nn.Module:
    """Make a network from items (B, *shape) to features (B, WIDTH): convolutions, or an MLP of points."""
    if len(shape) == 1:
        first = [nn.Linear(shape[0], 4 * WIDTH), nn.SiLU(), nn.Linear(4 * WIDTH, 4 * WIDTH), nn.SiLU()]
        return nn.Sequential(*first, nn.Linear(4 * WIDTH, WIDTH))
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(shape) - 2]
    layers, channels, sides = list[nn.Module](), shape[0], shape[1:]
    for width in CHANNELS:
        layers += [convolution(channels, width, 3, 2, 1), nn.GroupNorm(8, width), nn.SiLU()]
        channels, sides = width, tuple(-(-side // 2) for side in sides)
    places = int(torch.tensor(sides).prod())  # the places are kept: "left of" needs them
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * places, WIDTH))


class CaptionJudge(nn.Module):
    """Features of items and of texts, of length 1: the larger their product, the better both fit.

    Args:
        kind: The condition that captions are.
        shape: The shape of an item.
        codec: The coding of the items.
    """

    def __init__(self, kind: Words, shape: tuple[int, ...], codec: Codec) -> None:
        super().__init__()
        self.kind, self.codec = kind, codec
        self.sides = [min(side, LARGEST_SIDES[len(shape) - 1]) for side in shape[1:]]
        self.items = item_network((shape[0], *self.sides))
        self.words, self.texts = WordsEncoder(kind, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def prepared(self, items: Tensor) -> Tensor:
        """Encode items (B, *shape), smaller where they are large."""
        x = self.codec.encode(items)
        return resized(x, self.sides) if self.sides else x

    def of_items(self, x: Tensor) -> Tensor:
        """Map prepared items to features (B, WIDTH)."""
        return F.normalize(self.items(x), dim=1)

    def of_tokens(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, L) to features (B, WIDTH)."""
        whole = self.words(tokens.long(), "the caption", torch.float32)[:, 0, :WIDTH]
        return F.normalize(self.texts(whole), dim=1)

    def loss(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The mean cross-entropy of finding the text of an item and the item of a text; equal texts count as one.

        References:
            Radford et al. (2021), *Learning transferable visual models from natural language supervision*, figure 3.
        """
        logits = self.log_scale.exp() * self.of_items(x) @ self.of_tokens(tokens).T
        same = (tokens[:, None] == tokens).all(2).fill_diagonal_(False)
        logits, own = logits.masked_fill(same, -torch.inf), torch.arange(len(x), device=x.device)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    @torch.no_grad()
    def item_features(self, items: Tensor) -> Tensor:
        """Return the features of items (N, *shape) in the units of the data, on the CPU."""
        device = self.log_scale.device
        return torch.cat([self.of_items(self.prepared(part).to(device)).cpu() for part in torch.split(items, BATCH)])

    @torch.no_grad()
    def text_features(self, tokens: Tensor) -> Tensor:
        """Return the features of texts (N, L), on the CPU."""
        return torch.cat([self.of_tokens(part.to(self.log_scale.device)).cpu() for part in torch.split(tokens, BATCH)])


def train(
    judge_of: Callable[[], CaptionJudge],
    items: Tensor,
    tokens: Tensor,
    device: torch.device,
    steps: int,
) -> Generator[int, None, CaptionJudge]:
    """Train a judge on items and their captions.

    A tenth of the items chooses the step whose weights are kept, so that a judge of few items does not memorise them.

    Args:
        judge_of: Makes the judge.
        items: The items (N, *shape), in the units of the data.
        tokens: The tokens (N, V, L) of the V captions of each.
        device: Where it is trained.
        steps: The number of training steps.

    Yields:
        The number of each step.
    """
    with randomness.pytorch_generator(0):
        judge = judge_of().to(device)
    prepared = torch.cat([judge.prepared(part) for part in torch.split(items, BATCH)])
    order = randomness.permutation(len(items), 0, Stream.JUDGE, 0)
    count = min(max(2, len(items) // CHOSEN_EVERY), CHOSEN_AMONG)
    choosing, rest = order[:count], order[count:]
    chosen_texts = judge.kind.encode(tokens[choosing]).to(device)
    optimiser = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    best, best_loss = {}, torch.inf
    for step in range(1, steps + 1):
        rows = rest[randomness.integers(0, len(rest) - 1, 0, Stream.JUDGE, step, range(min(BATCH, len(rest))))]
        places = rows.tolist()
        x = prepared[rows] + NOISE * randomness.normal(prepared.shape[1:], 0, Stream.JUDGE, step, places)
        loss = judge.train().loss(x.to(device), judge.kind.drawn(tokens[rows], 0, step, places).long().to(device))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % max(1, steps // CHOICES) == 0 or step == steps:
            with torch.no_grad():
                parts = zip(torch.split(prepared[choosing], BATCH), torch.split(chosen_texts, BATCH), strict=True)
                value = sum(len(x) * float(judge.eval().loss(x.to(device), texts)) for x, texts in parts) / count
            if value < best_loss:
                best, best_loss = {name: part.clone() for name, part in judge.state_dict().items()}, value
        yield step
    judge.load_state_dict(best)
    return judge.eval().requires_grad_(False)


def r_precision(items: Tensor, texts: Tensor, keys: Tensor, rows: Tensor | None = None) -> Estimate:
    """Estimate the share of items whose own text is the nearest of AMONG different ones.

    Of M other texts k are at least as near as an item's own; 31 are drawn without replacement, and with probability
    Π_{j<31} (M − k − j)/(M − j) none of these k is among them.

    The error is that of new items, of which those of one text belong together, and of new texts: the jackknife over
    the texts that others are compared with.

    Args:
        items: Features (n, d) of length 1.
        texts: Those of the text of each item, (n, d).
        keys: int64 (n,), equal for equal texts; more than AMONG different ones.
        rows: The items of which the share is, int64; None takes all. The texts of the others are compared with too.

    References:
        Xu et al. (2018), *AttnGAN*, section 4, where 100 texts are compared.
    """
    _, first = distinct(keys)
    rows = torch.arange(len(keys)) if rows is None else rows
    own = (items[rows] * texts[rows]).sum(1, keepdim=True)
    nearer = (items[rows] @ texts[first].T >= own) & (keys[first] != keys[rows][:, None])
    count, others = nearer.sum(1), len(first) - 1
    hits = _none_drawn(count, others)
    _, group = torch.unique(keys[rows], return_inverse=True)
    sums = torch.zeros(2, int(group.max()) + 1, dtype=torch.float64)
    share = uncertainty.ratio(*sums.index_add(1, group, torch.stack([hits, torch.ones_like(hits)])))
    gains = _none_drawn(count - 1, others - 1) - _none_drawn(count, others - 1)  # where one that is nearer is left out
    without = (nearer * gains[:, None]).mean(0)
    variance = (share.error or 0.0) ** 2 + others / len(first) * float((without - without.mean()).square().sum())
    return uncertainty.share(share.value, len(sums[0]), variance)


def distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the different keys of (n,), and the row where each occurs first."""
    different, inverse = torch.unique(keys, return_inverse=True)
    first = torch.full_like(different, len(keys))
    return different, first.scatter_reduce(0, inverse, torch.arange(len(keys)), "amin")


def _none_drawn(count: Tensor, others: int) -> Tensor:
    """The probability that AMONG − 1 of `others` are none of `count` of these, float64."""
    drawn = torch.arange(AMONG - 1, dtype=torch.float64)
    return ((others - count[:, None] - drawn).clamp(min=0) / (others - drawn)).prod(1)
