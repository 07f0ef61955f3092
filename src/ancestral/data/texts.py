"""Columns of text: classes, or words (captions) as tokens of a vocabulary that is counted from them."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ancestral.base.errors import InputError, one_line
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.conditions import ABSENT, Classes, Words
from ancestral.data.sources.metadata_table import NUL_TEXT, ItemsError, has_nul, listed
from ancestral.vocabulary import Vocabulary, count_pieces, is_text

CAPTION_NAMES = ("caption", "text", "prompt")
"""Names of columns and conditions whose text is words; with an s too."""
MOST_TEXTS, ITEMS_EACH = 20, 4
"""Text of single words is words too where there are more different ones than the first number, and fewer items than the
second for each: the names of so many classes would teach nothing."""
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
        called: What users call it: the names of the column and of the condition.
    """

    name: str
    items: list[tuple[str, ...]]
    lists: bool
    called: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        values: Iterable[Any],
        name: str,
        called: tuple[str, ...] = (),
        name_of: Callable[[int], str] = "item {}".format,
    ) -> "TextColumn":
        """Read a column of texts or lists of texts, with None where there is none.

        Args:
            values: The texts of each item.
            name: What messages call the column.
            called: What users call it, as in the attributes.
            name_of: Names an item by its row.

        Raises:
            InputError: If a text is no Unicode, or holds NUL, which no model file has.
        """
        values = list(values)
        for what, is_wrong in (("text that is no Unicode", lambda text: not is_text(text)), (NUL_TEXT, has_nul)):
            rows = [row for row, one in enumerate(values) if one is not None and is_wrong("".join(one))]
            if rows:
                names = dict.fromkeys(map(name_of, rows), what)
                raise ItemsError(
                    f"{name} holds {what} in {plural(len(rows), 'row')} ({listed(names)}): save it as UTF-8", names
                )
        items = [() if one is None else (one,) if isinstance(one, str) else one for one in values]
        return cls(name, items, any(isinstance(one, tuple) for one in values), called)

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each text occurs."""
        return Counter(text for texts in self.items for text in texts)

    @cached_property
    def are_words(self) -> bool:
        """Whether the text is words, and not classes, where the user does not say it."""
        named = any(name.lower().removesuffix("s") in CAPTION_NAMES for name in self.called)
        several = 2 * sum(map(_has_several_words, self.counts)) > len(self.counts)
        rare = len(self.counts) > MOST_TEXTS and ITEMS_EACH * len(self.counts) > self.counts.total()
        return self.lists or named or several or rare

    def condition(self, read_as: str = "") -> "tuple[Classes | Words, Tensor]":
        """Return the kind of the condition and its values: classes int64 (N,), or tokens int16 (N, V, L).

        Args:
            read_as: "words" or "classes"; "" decides it by `are_words`.

        Raises:
            InputError: If it cannot be of this kind.
        """
        return self._words() if (read_as == "words" if read_as else self.are_words) else self._classes()

    def notes(self, origin: str, title: str, read_as: str = "") -> tuple[tuple[str, str], ...]:
        """Return notes on what is left out, and on what the text was taken for where it could be the other kind too.

        Args:
            origin: What the text is in, as in "the column caption".
            title: The condition and the column, [name=]column, as the option `given` has it; "" for a file of arrays.
            read_as: What the user says it is, as in `condition`.
        """
        if many := sum(len(texts) > MOST_CAPTIONS for texts in self.items):
            text = f"{origin} has more than {MOST_CAPTIONS} texts for {plural(many, 'item')}"
            return ((text, f"the first {MOST_CAPTIONS} of each are used"),)
        if read_as or self.lists:
            return ()
        kind, other = ("words", "classes") if self.are_words else ("classes", "words")
        text = f"{origin} has {plural(len(self.counts), 'different text')} for "
        text += f"{plural(self.counts.total(), 'item')}: they are {kind}"
        if not title:
            return ((text, "a condition called caption is words" if other == "words" else "integers are classes"),)
        name, equals, column = title.rpartition("=")
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


def _has_several_words(text: str) -> bool:
    """Tell whether a text has two words with a letter, or more: a number beside a word is a part of a name."""
    return sum(any(map(str.isalpha, word)) for word in text.split()) > 1


def cut_note(name: str, kind: Words) -> tuple[tuple[str, str], ...]:
    """Return the note that texts of the condition `name` are longer than what a network gets; () if none is."""
    if not kind.cut:
        return ()
    text = f"the condition {name} has texts of more than {kind.length} tokens for {plural(kind.cut, 'item')}"
    return ((text, "their rest is left out"),)
