"""Columns of text: classes, or words (captions) as tokens of a vocabulary that is counted from them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ancestral.base.errors import InputError, one_line
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.conditions import ABSENT, Classes, Words
from ancestral.vocabulary import Vocabulary, count_pieces, is_text

MOST_TEXTS, ITEMS_EACH, WORDS_EACH = 20, 4, 4
"""Three signs of captions: the number of different texts is above the first limit, the mean number of items for each is
below the second, and most texts have at least the third number of words. Two of them make a column of text words."""
LONGEST_CAPTION = 64
"""The largest number of tokens of a caption that a network gets."""
MOST_CAPTIONS = 16
"""The largest number of captions of an item that are used."""


@dataclass(frozen=True, eq=False)
class TextColumn:
    """A column of text.

    Attributes:
        name: What messages call it.
        items: The texts of each item, () where it has none.
        lists: Whether items have a list of texts each, which are captions.
    """

    name: str
    items: list[tuple[str, ...]]
    lists: bool

    @classmethod
    def of(cls, values: Iterable[Any], name: str) -> "TextColumn":
        """Read a column of texts or lists of texts, with None where there is none."""
        values = list(values)
        broken = [row for row, one in enumerate(values) if one is not None and not is_text("".join(one))]
        if broken:
            raise InputError(
                f"{name} holds text that is no Unicode in {plural(len(broken), 'row')}, number {broken[0]} the first: "
                "write it anew as UTF-8"
            )
        items = [() if one is None else (one,) if isinstance(one, str) else one for one in values]
        return cls(name, items, any(isinstance(one, tuple) for one in values))

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each text occurs."""
        return Counter(text for texts in self.items for text in texts)

    @cached_property
    def are_words(self) -> bool:
        """Whether the text is words, and not classes, where the user does not say it."""
        long = sum(text.count(" ") >= WORDS_EACH - 1 for text in self.counts)
        rare = ITEMS_EACH * len(self.counts) > self.counts.total()
        return self.lists or [len(self.counts) > MOST_TEXTS, rare, 2 * long > len(self.counts)].count(True) > 1

    def condition(self, read_as: str = "") -> "tuple[Classes | Words, Tensor]":
        """Return the kind of the condition and its values: classes int64 (N,), or tokens int16 (N, V, L).

        Args:
            read_as: "words" or "classes"; "" decides it by `are_words`.

        Raises:
            InputError: If it cannot be of this kind.
        """
        return self._words() if (read_as == "words" if read_as else self.are_words) else self._classes()

    def notes(self, column: str, title: str, read_as: str = "") -> tuple[tuple[str, str], ...]:
        """Return notes on what is left out, and on what the text was taken for where it could be the other kind too.

        Args:
            column: The column that the text is in.
            title: The condition and the column, [name=]column, as the option `given` has it.
            read_as: What the user says it is, as in `condition`.
        """
        if many := sum(len(texts) > MOST_CAPTIONS for texts in self.items):
            text = f"the column {column} has more than {MOST_CAPTIONS} texts for {plural(many, 'item')}"
            return ((text, f"the first {MOST_CAPTIONS} of each are used"),)
        if read_as or self.lists or not (self.are_words or len(self.counts) > MOST_TEXTS):
            return ()
        kind, other = ("words", "classes") if self.are_words else ("classes", "words")
        text = f"the column {column} has {plural(len(self.counts), 'different text')} for "
        text += f"{plural(self.counts.total(), 'item')}: they are {kind}"
        name, equals, _ = title.rpartition("=")
        return ((text, f"{option('given', f'{name}{equals}{other}:{column}')} reads them as {other}"),)

    def _classes(self) -> tuple[Classes, Tensor]:
        if any(len(texts) > 1 for texts in self.items):
            raise InputError(
                f"{self.name} has several texts for an item, and classes are one for each: leave classes: out"
            )
        names = sorted(self.counts)
        numbers = {name: number for number, name in enumerate(names)}
        rows = [numbers[texts[0]] if texts else ABSENT for texts in self.items]
        return Classes(tuple(map(one_line, names))), torch.tensor(rows)

    def _words(self) -> tuple[Words, Tensor]:
        pieces = count_pieces(self.counts.elements())
        if not pieces:
            raise InputError(f"{self.name} has no words: leave it out")
        tokens_of = Vocabulary.of(pieces).tokens
        tokens = {text: tokens_of(text) for text in self.counts}
        captions = [[one for one in texts if tokens[one]][:MOST_CAPTIONS] for texts in self.items]
        longest = max(len(tokens[one]) for texts in captions for one in texts)
        cut = sum(any(len(tokens[one]) > LONGEST_CAPTION for one in texts) for texts in captions)
        example = next(one for texts in captions for one in texts)
        kind = Words(pieces, min(longest, LONGEST_CAPTION), example=one_line(example), cut=cut)
        most = max(map(len, captions))
        rows = [tokens[one] for texts in captions for one in texts]
        values = torch.full((len(captions), most, kind.length), ABSENT, dtype=torch.int16)
        values[torch.arange(most) < torch.tensor([len(texts) for texts in captions])[:, None]] = kind.packed(rows)
        return kind, values


def cut_note(name: str, kind: Words) -> tuple[tuple[str, str], ...]:
    """Return the note that texts of the condition `name` are longer than what a network gets; () if none is."""
    if not kind.cut:
        return ()
    text = f"the condition {name} has texts of more than {kind.length} tokens for {plural(kind.cut, 'item')}"
    return ((text, "their rest is left out"),)
