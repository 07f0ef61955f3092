"""How often, and how late, the rule for a plateau ends a run on curves that are known.

    python bench/plateau.py         prints the table of docs/how-to/memorisation.md (a minute on one core)

Each curve is measured 100 times, at equal distances, and 400 times. The noise is a share of the value and independent,
or correlated between neighbours, as averaged weights make it. 80 runs each.
"""

import math
from collections.abc import Callable

import torch

from ancestral.training.plateau import Plateau

RUNS = 80
CURVES: dict[str, Callable[[float], float]] = {
    "n^-0.15": lambda n: n**-0.15,
    "n^-0.3": lambda n: n**-0.3,
    "n^-0.5": lambda n: n**-0.5,
    "0.1 + e^(-n/8), flat from 50 on": lambda n: 0.1 + math.exp(-n / 8),
    "0.1 + e^(-n/8), rising from 40 on": lambda n: 0.1 + math.exp(-n / 8) + max(0.0, n - 40) / 400,
    "constant": lambda n: 0.1,
}
"""Values by the number of the measurement."""
CASES = ((100, 0.03, 0.0), (100, 0.1, 0.0), (400, 0.03, 0.0), (400, 0.1, 0.0), (100, 0.03, 0.7), (100, 0.1, 0.7))
"""Number of measurements, noise, and the correlation of that of neighbouring measurements."""


def ends(curve: Callable[[float], float], count: int, noise: float, correlation: float) -> list[int]:
    """Return the measurements at which runs with different noise end, in order; those that do not are left out."""
    numbers = []
    for seed in range(RUNS):
        plateau, generator = Plateau(), torch.Generator().manual_seed(seed)
        z = torch.randn(count + 1, generator=generator, dtype=torch.float64).tolist()
        eps = z[0]
        for n in range(1, count + 1):
            eps = correlation * eps + math.sqrt(1 - correlation**2) * z[n]
            if plateau.add(n, curve(n) * (1 + noise * eps)):
                numbers.append(n)
                break
    return sorted(numbers)


def cell(numbers: list[int]) -> str:
    """Format how many runs end, and the median of where, with the first and the last."""
    if not numbers:
        return "0 %"
    middle = numbers[len(numbers) // 2]
    return f"{len(numbers) / RUNS:.0%} at {middle} ({numbers[0]} to {numbers[-1]})".replace("%", " %")


def head() -> str:
    """Format the titles of the table."""
    titles = [
        f"{count}, {noise:.0%}".replace("%", " %") + (f", correlation {correlation}" if correlation else "")
        for count, noise, correlation in CASES
    ]
    return f"| value | {' | '.join(titles)} |\n" + "|---" * (1 + len(CASES)) + "|"


def main() -> None:
    """Print the table."""
    print(head())
    for name, curve in CURVES.items():
        print(f"| {name} | {' | '.join(cell(ends(curve, *case)) for case in CASES)} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
