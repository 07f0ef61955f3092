"""A few out of many, evenly."""

from collections.abc import Iterator


def evenly(count: int, of: int) -> list[int]:
    """`count` numbers out of 0..of−1, the first and the last among them, or all where there are fewer."""
    if of <= count or count < 2:
        return list(range(min(count, of)))
    return [round(i * (of - 1) / (count - 1)) for i in range(count)]


def evenly_first(count: int, of: int) -> Iterator[int]:
    """The numbers 0..of−1, each once: `count` evenly chosen ones, then the others in order."""
    first = evenly(count, of)
    yield from first
    seen = set(first)
    yield from (number for number in range(of) if number not in seen)
