"""Searching the history: by words of titles, options, recipes and tags."""

import re
from dataclasses import dataclass

from ancestral_studio.history_index import IndexRow

MOST_WORDS = 20
"""Number of words of a search that count."""


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Attributes:
        words: Words that must all be there. A number is a whole number of the entry: 3 does not find 30.
        command: The command; "" is any.
        favourites: Whether only favourites are found.
        tag: A tag that it must have; "" is any.
    """

    words: str = ""
    command: str = ""
    favourites: bool = False
    tag: str = ""

    def found(self, rows: list[IndexRow]) -> list[IndexRow]:
        """Return the rows that fit."""
        patterns = [_pattern(word) for word in self.words.lower().split()[:MOST_WORDS]]
        return [
            row
            for row in rows
            if (not self.command or row.command == self.command)
            and (not self.favourites or row.favourite)
            and (not self.tag or self.tag in row.tags)
            and all(pattern.search(row.words) for pattern in patterns)
        ]


def _pattern(word: str) -> re.Pattern[str]:
    """A word anywhere, but the number at its beginning or end as a whole."""
    before = r"(?<![\w.-])" if re.match(r"[-.]?\d", word) else ""
    after = r"(?![\w.])" if word[-1].isdigit() else ""
    return re.compile(before + re.escape(word) + after)
