"""Samples for captions that training had, and for such as it had not, and a judge of whether they fit.

Captions that training had not are other texts of known pairs of words, texts with new pairs, and texts made of others.
A pair of words is two words that stand beside each other, where stop words and punctuation are left out.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.events import Event, track
from ancestral.base.options import option
from ancestral.base.registries import METRICS, CustomMetric, MetricName
from ancestral.conditions import Words
from ancestral.data.dataset import evenly_spaced
from ancestral.measure.evaluation import Evaluation
from ancestral.measure.item_conditions import ItemConditions
from ancestral.measure.reference import ReferenceSet, conditions_for
from ancestral.measure.sample_quality import CaptionedItems, CaptionFeatures
from ancestral.metrics import caption_judge
from ancestral.metrics.caption_judge import AMONG, CaptionJudge
from ancestral.randomness import Stream
from ancestral.vocabulary import words

STOP_WORDS = {
    *("a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "into", "is", "its", "of", "on", "or"),
    *("the", "to", "with"),
}
"""Words that say little of an item alone."""
LEAST_OCCURRENCES = 3
"""How often both words have to occur where one is exchanged for the other."""
Place = tuple[str, str]
"""The words before and behind one; "" at an end."""
GROUP = 200
"""The largest number of captions of a group, of which each has one sample."""
LEAST_TRAINED = 64
"""The smallest number of items that a judge is trained on."""
TRAINING, NEW, PAIRS, EXCHANGED = "training", "new", "new pairs", "exchanged"
"""The names of the groups."""
NOT_HELD_OUT = (
    "No caption was held out, so those that never occurred are training captions with one word exchanged, which no "
    f"real item has: hold some out ({option('validation', 0.1)}), or give {option('held_out')}."
)


def pairs_of(text: str) -> set[tuple[str, str]]:
    """Return the pairs of neighbouring words of a text, without stop words. Punctuation separates."""
    pairs = set[tuple[str, str]]()
    part = list[str]()
    for word in [*words(text), "."]:
        if word[0].isalnum() or len(word) > 1:
            part += [] if word in STOP_WORDS else [word]
        else:
            pairs |= set(pairwise(part))
            part = []
    return pairs


class KnownCaptions:
    """The captions of training items.

    Args:
        texts: The captions, each as often as it occurs.
        shuffled: Whether the order of the parts between commas means nothing.
    """

    def __init__(self, texts: Iterable[str], shuffled: bool = False) -> None:
        self.shuffled = shuffled
        counts = Counter(texts)
        self.texts = {self.key(text) for text in counts}
        self.pairs = {pair for text in counts for pair in pairs_of(text)}
        self._counts = Counter[str]()
        self._at, self._places = defaultdict[Place, set[str]](set), defaultdict[str, set[Place]](set)
        for text, count in counts.items():
            for word, place in _placed(words(text)):
                self._counts[word] += count
                self._at[place].add(word)
                self._places[word].add(place)

    def key(self, text: str) -> str:
        """Return what is equal for equal captions."""
        return ", ".join(sorted(part.strip() for part in text.split(","))) if self.shuffled else text

    def has_new_pair(self, text: str) -> bool:
        """Whether a text has a pair of words that no training caption has."""
        return not pairs_of(text) <= self.pairs

    def exchanged(self, text: str, seed: int, index: int) -> str | None:
        """Return a text in which one word is another one, so that it has a new pair; None if there is none.

        Both words stand at the same place of some training captions: between the same two words.

        Args:
            text: A caption.
            seed: The seed of the choice.
            index: The index of the choice.
        """
        split, options = words(text), list[str]()
        for number, word in enumerate(split):
            if word in STOP_WORDS or self._counts[word] < LEAST_OCCURRENCES:
                continue
            for other in sorted(set().union(*(self._at[place] for place in self._places[word])) - {word} - STOP_WORDS):
                made = " ".join([*split[:number], other, *split[number + 1 :]])
                if self._counts[other] >= LEAST_OCCURRENCES and self.has_new_pair(made):
                    options.append(made)
        if not options:
            return None
        return options[int(randomness.integers(0, len(options) - 1, seed, Stream.EXCHANGE, 0, [index]))]


def _placed(split: Sequence[str]) -> Iterator[tuple[str, Place]]:
    """Each word with its place."""
    return zip(split, zip(["", *split[:-1]], [*split[1:], ""], strict=True), strict=True)


@dataclass(frozen=True)
class CaptionSamples:
    """Samples for the captions of items.

    Attributes:
        evaluation: The samples; one for each item.
        groups: Which of the samples, int64, are in each group.
        real: Whether the items are those of the captions.
    """

    evaluation: Evaluation
    groups: dict[str, Tensor]
    real: bool = True

    @property
    def conditions(self) -> ItemConditions:
        """The items and their captions."""
        assert self.evaluation.conditions is not None
        return self.evaluation.conditions

    def tokens(self, name: str) -> Tensor:
        """Return the tokens (n, L) of the captions."""
        return self.conditions.values_of(range(self.evaluation.count))[name]


@dataclass(frozen=True)
class CaptionEvaluation:
    """Samples of a model whose captions are judged, first those of the evaluation itself."""

    evaluation: Evaluation
    name: str
    """The condition."""
    parts: tuple[CaptionSamples, ...]
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(
        evaluation: Evaluation, metrics: Collection[MetricName | CustomMetric] = METRICS
    ) -> "CaptionEvaluation | None":
        """Choose the captions; None if captions are not measured, or neither model nor data have any."""
        names = [name for name, kind in evaluation.model.spec.further.items() if kind.in_sequence]
        train, held_out = evaluation.references.train, evaluation.references.held_out
        if "captions" not in metrics or not names or names[0] not in train.conditions or evaluation.conditions is None:
            return None
        name, kind = names[0], _words(evaluation, names[0])
        known = _known(evaluation, name)
        count = min(GROUP, evaluation.count, len(train.items) // 4)
        parts = [CaptionSamples(dataclasses.replace(evaluation, count=count), {TRAINING: torch.arange(count)})]
        source, rows = train, dict[str, Tensor]()
        if held_out is not None and name in held_out.conditions:
            source, rows = held_out, _new_rows(known, kind.texts(held_out.conditions[name]))
        if rows:
            parts.append(_held_out_samples(evaluation, source, name, rows))
        if len(rows.get(PAIRS, ())) <= AMONG:
            parts += _exchanged_samples(evaluation, source, name, known)
        notes = [f"Of several captions, {name} is measured."] if len(names) > 1 else []
        return CaptionEvaluation(evaluation, name, tuple(parts), (*notes, *([] if rows else [NOT_HELD_OUT])))

    @property
    def further(self) -> list[Evaluation]:
        """The evaluations of the samples that are no samples of the evaluation itself."""
        return [part.evaluation for part in self.parts[1:]]

    def measure(self, batch_size: int) -> Generator[Event, None, CaptionFeatures]:
        """Train a judge, and return the features by it. Those samples that are missing are made first."""
        made = []
        for part in self.parts:
            made.append((yield from part.evaluation.samples(batch_size, "sampling for captions")))
        references, kind = self.evaluation.references, _words(self.evaluation, self.name)
        train = references.train
        own = ~kind.missing(train.conditions[self.name])
        own[self.parts[0].conditions.order[: self.parts[0].evaluation.count]] = False  # whose samples are judged
        if int(own.sum()) < LEAST_TRAINED:
            text = (
                f"Captions are not measured: {int(own.sum())} items are too few to train a judge, {LEAST_TRAINED} are"
            )
            return CaptionFeatures((), (*self.notes, f"{text} needed."))
        judge = yield from track(
            caption_judge.train(
                lambda: CaptionJudge(kind, self.evaluation.model.spec.shape, self.evaluation.model.spec.codec),
                train.items[own], train.conditions[self.name][own], references.device, caption_judge.STEPS,
            ),
            "training a judge of captions", caption_judge.STEPS, "steps",
        )  # fmt: skip
        parts = zip(self.parts, made, strict=True)
        return CaptionFeatures(tuple(_features(judge, part, items, self.name) for part, items in parts), self.notes)


def judged(
    evaluation: Evaluation, batch_size: int, metrics: Collection[MetricName | CustomMetric]
) -> Generator[Event, None, CaptionFeatures | None]:
    """Return what the metric of captions takes; None if captions are not measured."""
    captions = CaptionEvaluation.of(evaluation, metrics)
    return None if captions is None else (yield from captions.measure(batch_size))


def _words(evaluation: Evaluation, name: str) -> Words:
    """The condition of a model that is words."""
    kind = evaluation.model.spec.further[name]
    assert isinstance(kind, Words)
    return kind


def _known(evaluation: Evaluation, name: str) -> KnownCaptions:
    """The captions of all training items that fit into memory."""
    kind = _words(evaluation, name)
    values = conditions_for(evaluation.references.train.searched, evaluation.model.spec)[0]
    texts = (kind.pieces.text(row) for row in values[name].flatten(0, 1).tolist())
    return KnownCaptions(filter(None, texts), kind.shuffled)


def _new_rows(known: KnownCaptions, texts: list[str]) -> dict[str, Tensor]:
    """The items whose captions training did not have, at most GROUP of each group that has enough different ones."""
    groups: dict[str, list[int]] = {NEW: [], PAIRS: []}
    for row, text in enumerate(texts):
        if text and known.key(text) not in known.texts:
            groups[PAIRS if known.has_new_pair(text) else NEW].append(row)
    enough = {name: rows for name, rows in groups.items() if len({known.key(texts[row]) for row in rows}) > AMONG}
    return {name: torch.tensor(rows)[evenly_spaced(GROUP, len(rows))] for name, rows in enough.items()}


def _held_out_samples(
    evaluation: Evaluation, source: ReferenceSet, name: str, rows: dict[str, Tensor]
) -> CaptionSamples:
    kind, order = _words(evaluation, name), torch.cat([*rows.values()])
    source = dataclasses.replace(
        source, conditions={**source.conditions, name: kind.encode(source.conditions[name]).short()[:, None]}
    )
    conditions = ItemConditions.of(evaluation.model.spec, source, order, evaluation.request.seed)
    places = torch.split(torch.arange(len(order)), [len(part) for part in rows.values()])
    made = dataclasses.replace(evaluation, count=len(order), conditions=conditions)
    return CaptionSamples(made, dict(zip(rows, places, strict=True)))


def _exchanged_samples(
    evaluation: Evaluation, source: ReferenceSet, name: str, known: KnownCaptions
) -> list[CaptionSamples]:
    """Samples for captions with one word exchanged; none if there are too few of these."""
    kind, seed = _words(evaluation, name), evaluation.request.seed
    texts, made = kind.texts(source.conditions[name]), dict[str, int]()
    for row in evenly_spaced(2 * GROUP, len(texts)):
        text = known.exchanged(texts[row], seed, row)
        if text is not None and len(made) < GROUP:
            made.setdefault(known.key(text), row)
    if len(made) <= AMONG:
        return []
    order, tokens = torch.tensor([*made.values()]), kind.encode(source.conditions[name]).short()[:, None]
    tokens[order] = kind.read([*made])[:, None]
    source = dataclasses.replace(source, conditions={**source.conditions, name: tokens})
    conditions = ItemConditions.of(evaluation.model.spec, source, order, seed)
    part = dataclasses.replace(evaluation, count=len(order), conditions=conditions)
    return [CaptionSamples(part, {EXCHANGED: torch.arange(len(order))}, real=False)]


def _features(judge: CaptionJudge, part: CaptionSamples, samples: Tensor, name: str) -> CaptionedItems:
    tokens, conditions = part.tokens(name), part.conditions
    keys = torch.unique(tokens, dim=0, return_inverse=True)[1]
    real = judge.item_features(conditions.items[conditions.order[: len(tokens)]]) if part.real else None
    return CaptionedItems(judge.item_features(samples), real, judge.text_features(tokens), keys, part.groups)
