"""Captions that training had not: other texts of known pairs of words, texts with new pairs, and texts made of others.

A pair of words is two words that stand beside each other, where stop words and punctuation are left out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from ancestral import randomness
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
