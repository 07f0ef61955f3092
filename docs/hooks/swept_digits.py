"""Draw the table of the page on samples: digits of one noise, by class and by guidance.

    python docs/hooks/swept_digits.py

The model is that of the playground. docs/images/sweep.png holds the recipe, as each table of `ancestral sample`.
"""

from pathlib import Path

import ancestral

DOCS = Path(__file__).parents[1]
PICTURE = DOCS / "images" / "sweep.png"


def main() -> None:
    """Write the picture."""
    PICTURE.unlink(missing_ok=True)
    model = DOCS / "assets" / "playground" / "digits.safetensors"
    ancestral.sample(model, sweep="guidance=0:4:5", by="label=0,3,5,8", seed=4, out=PICTURE)


if __name__ == "__main__":
    main()
