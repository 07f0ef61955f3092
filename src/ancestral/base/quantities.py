"""Quantities as text: bytes, times, counts and shares."""


def format_bytes(count: float) -> str:
    """Format a number of bytes with its unit and three digits, as in 12.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def format_duration(seconds: float) -> str:
    """Format a time in words, such as 12 seconds or 1.5 hours."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return "a second" if seconds < 1.5 else f"{seconds:.0f} seconds"


def plural(count: int, noun: str) -> str:
    """Format a count: 1 class, 2 classes."""
    return f"{count:,} {noun}" + ("" if count == 1 else "es" if noun.endswith("s") else "s")


def are(count: int, noun: str) -> str:
    """Format a count and the verb, the beginning of a sentence: 1 class is, 2 classes are."""
    return f"{plural(count, noun)} {'is' if count == 1 else 'are'}"


def format_share(share: float) -> str:
    """Format a share in whole per cent, which are 0 and 100 only where it is: 21 %."""
    percent = round(100 * share)
    return f"{percent if share in (0, 1) else min(99, max(1, percent))} %"
