"""Print the modules that a command enters, in the order in which it first calls a function of them.

    make walk COMMAND="train digits --steps 6"
    python bench/walk.py sample runs/digits -n 4 --guidance 2 --out /tmp/four.png
    python bench/walk.py    # writes the three walks of docs/explanation/design.md

What an import alone runs is not counted: it is what has to be read to follow the command.
"""

import contextlib
import io
import json
import re
import subprocess
import sys
import tempfile
import threading
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import ancestral
from ancestral.faces.command import main

SOURCE = f"{Path(ancestral.__file__).parent}/"
PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "design.md"
BLOCK = re.compile(r"(?<=<!-- walks -->\n).*?(?=<!-- walks end -->)", re.DOTALL)
"""The part of the page that is written."""
COMMANDS = (
    "train digits --steps 6 --out run",
    "sample run -n 4 --guidance 2 --out four.png",
    "evaluate run --samples 100 --metrics kernel",
)
"""The commands whose walks the page has, one after another in a folder."""


class Walk:
    """The modules of the package in the order of their first call."""

    def __init__(self) -> None:
        self.modules = dict[str, None]()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Note a call, as `sys.setprofile` reports it."""
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(SOURCE) or name in self.modules or frame.f_code.co_name == "<module>":
            return
        above = frame.f_back
        while above is not None and "importlib" not in above.f_code.co_filename:
            above = above.f_back
        if above is None:
            self.modules[name] = None


def walked(words: list[str]) -> list[str]:
    """Run a command, and list the modules that it enters."""
    walk = Walk()
    threading.setprofile(walk)
    sys.setprofile(walk)
    try:
        with contextlib.suppress(SystemExit):
            main(words)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # as the documentation of Python has it
    return [name.removeprefix(SOURCE) for name in walk.modules]


def walks() -> dict[str, list[str]]:
    """Run the commands of the page in new processes, and list the modules that each enters."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            done = subprocess.run(
                [sys.executable, __file__, *command.split()], cwd=folder, capture_output=True, text=True, check=True
            )
            found[command] = json.loads(done.stdout.splitlines()[-1])
    return found


def render(found: dict[str, list[str]]) -> str:
    """Format walks: the modules of a folder that are entered one after another stand together."""
    text = ""
    for command, modules in found.items():
        parts = []
        for folder, some in groupby(modules, lambda module: module.rpartition("/")[0]):
            names = ", ".join(Path(module).stem for module in some)
            parts.append(f"{folder}: {names}" if folder else names)
        text += f"`ancestral {command}` enters {len(modules)} modules: {'; '.join(parts)}.\n\n"
    return text.removesuffix("\n")


if __name__ == "__main__":
    if sys.argv[1:]:
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            modules = walked(sys.argv[1:])
        print(shown.getvalue(), *modules, f"{len(modules)} modules", json.dumps(modules), sep="\n")
    else:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(BLOCK.sub(lambda _: render(walks()), text), encoding="utf-8")
