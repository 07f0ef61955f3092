"""A few out of many, evenly."""


def evenly(count: int, of: int) -> list[int]:
    """`count` numbers out of 0..of−1, the first and the last among them, or all where there are fewer."""
    if of <= count or count < 2:
        return list(range(min(count, of)))
    return [round(i * (of - 1) / (count - 1)) for i in range(count)]
