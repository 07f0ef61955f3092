"""Text as whole numbers, by a vocabulary of words and pieces of words that is counted from captions.

Text is taken in lower case (NFKC), and split at spaces and around ASCII punctuation. A word that the vocabulary has is
one token, and any other one is spelled: the longest piece that it begins with, then the longest of the rest, and so on.
A piece that begins a word begins with MARK, so that tokens are text again.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

MARK = "\u2581"
"""What a piece at the beginning of a word begins with."""
WORD = re.compile(r"[^\s!-/:-@\[-`{-~]+|[!-/:-@\[-`{-~]")
"""A word, or a mark of ASCII punctuation."""
PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
"""A mark of ASCII punctuation."""
MEANING = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mc", "Nd", "Nl", "No", "Sc", "Sk", "Sm", "So"}
"""The categories of Unicode of letters, numbers, signs and pictures."""
HALF = re.compile("[\ud800-\udfff]")
"""Half of a character: what stands for a byte that is not UTF-8."""
MOST_PIECES = 8192
"""The largest number of pieces that `count_pieces` returns."""
LEAST_WORD, LEAST_PIECE = 2, 8
"""How often a word has to occur to be one token, and the number of different words that have to have a piece."""
LONGEST_PIECE, LONGEST_WORD = 6, 32
"""The largest number of characters of a piece that is no word, and of a word that is one token."""
LONGEST_TEXT = 1 << 12
"""The number of characters of a text that are read; normalising takes a time that may grow with the square of it."""
MOST_RANGES = 12
"""The largest number of characters, or ranges of neighbours, that a message names."""
CACHED_WORDS = 1 << 16
"""Number of words whose tokens a vocabulary keeps."""


def words(text: str) -> list[str]:
    """Return the words and the punctuation of a text, in lower case."""
    text = text[:LONGEST_TEXT]
    text = text if text.isascii() else unicodedata.normalize("NFKC", text).replace(MARK, " ")
    return WORD.findall(text.lower())


def count_pieces(captions: Iterable[str], most: int = MOST_PIECES) -> tuple[str, ...]:
    """Return the pieces of a vocabulary for some captions.

    These are the characters, at the beginning of a word and inside, so that each caption can be spelled (of scripts
    with thousands of characters the commonest); then the commonest words; then the commonest beginnings and endings of
    words.

    Args:
        captions: The captions, each as often as it occurs.
        most: The largest number of pieces.

    Returns:
        Different pieces, the same for the same captions in any order.
    """
    counts = Counter[str]()
    for caption, times in Counter(captions).items():
        for word in words(caption):
            counts[word] += times
    letter_counts = Counter[str]()
    for word, count in counts.items():
        for letter in word:
            letter_counts[letter] += count
    characters = sorted(_by_count(letter_counts)[: max(1, most // 4)])
    letters = [each for letter in characters for each in (MARK + letter, letter)]
    common = {MARK + word: count for word, count in counts.items() if count >= LEAST_WORD and len(word) <= LONGEST_WORD}
    parts = Counter(part for word in counts for part in _parts(MARK + word))
    shared = {part: count for part, count in parts.items() if count >= LEAST_PIECE}
    return tuple(dict.fromkeys([*letters, *_by_count(common), *_by_count(shared)]))[:most]


def _by_count(counts: dict[str, int]) -> list[str]:
    return sorted(counts, key=lambda piece: (-counts[piece], piece))


def _parts(word: str) -> set[str]:
    """The pieces of a word with its mark, of at least two characters."""
    ends = {word[: size + 1] for size in range(2, LONGEST_PIECE + 1)}
    return ends | {word[-size:] for size in range(2, min(LONGEST_PIECE, len(word) - 2) + 1)}


def is_text(text: str) -> bool:
    """Tell whether a text is whole Unicode, which files hold: bytes that are not UTF-8 become halves of characters."""
    return HALF.search(text) is None


class Vocabulary:
    """The pieces of a vocabulary, each the token of its place.

    Args:
        pieces: Different pieces.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = tuple(pieces)
        self.index = {piece: number for number, piece in enumerate(self.pieces)}
        self._longest = max(map(len, self.pieces), default=0)
        self._spelled = lru_cache(CACHED_WORDS)(self._spell)

    @staticmethod
    @lru_cache(maxsize=64)
    def of(pieces: tuple[str, ...]) -> "Vocabulary":
        """Return the vocabulary of some pieces, made once."""
        return Vocabulary(pieces)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text. Characters that the vocabulary does not have are left out."""
        return [token for word in words(text) for token in self._spelled(word)[0]]

    def _spell(self, word: str) -> tuple[tuple[int, ...], str]:
        """The tokens of a word, and its characters that are left out."""
        marked, tokens, skipped, start = MARK + word, list[int](), "", 0
        while start < len(marked):
            ends = range(min(len(marked), start + self._longest), start, -1)
            end = next((end for end in ends if marked[start:end] in self.index), start)
            tokens += [self.index[marked[start:end]]] if end > start else []
            skipped += marked[start] if end == start > 0 else ""
            start = max(end, start + 1)
        return tuple(tokens), skipped

    def text(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens; those below 0 are none."""
        joined = "".join(self.pieces[token] for token in tokens if token >= 0)
        return re.sub(r" ([,.;:!?)])", r"\1", joined.replace(MARK, " ").strip())

    def rest(self, text: str, length: int) -> str:
        """Return the words of a text that do not fit into `length` tokens; "" if all do."""
        count, each = 0, words(text)
        for place, word in enumerate(each):
            count += len(self._spelled(word)[0])
            if count > length:
                return " ".join(each[place:])
        return ""

    def in_pieces(self, text: str) -> list[str]:
        """Return the words of a text, besides punctuation, that are no token of their own and are spelled whole."""
        new = [word for word in dict.fromkeys(words(text)) if MARK + word not in self.index and _has_meaning(word)]
        return [word for word in new if not _has_meaning(self._spelled(word)[1])]

    def skips(self, text: str) -> bool:
        """Tell whether a character of a text, besides punctuation, is in no piece, so that it is left out."""
        return any(_has_meaning(self._spelled(word)[1]) for word in words(text))

    def characters(self) -> str:
        """Name the characters of the pieces, three neighbours or more as a range ("a–z")."""
        ranges = list[list[str]]()
        for letter in sorted({*"".join(self.pieces)} - {MARK}):
            if ranges and ord(letter) == ord(ranges[-1][-1]) + 1:
                ranges[-1].append(letter)
            else:
                ranges.append([letter])
        named = [f"{one[0]}–{one[-1]}" if len(one) > 2 else " ".join(one) for one in ranges]
        return " ".join([*named[:MOST_RANGES], *["..."] * (len(named) > MOST_RANGES)])


def _has_meaning(word: str) -> bool:
    """Tell whether a word has a letter, a digit, a sign or a picture (emoji): whether it is more than punctuation."""
    return any(unicodedata.category(letter) in MEANING and not PUNCTUATION.match(letter) for letter in word)
