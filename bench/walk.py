"""Print the modules that a command enters, in the order in which it first calls a function of them.

    make walk COMMAND="train digits --steps 6"
    python bench/walk.py sample runs/digits -n 4 --guidance 2 --out /tmp/four.png

What an import alone runs is not counted: it is what has to be read to follow the command.
"""

import contextlib
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import ancestral
from ancestral.faces.command import main

SOURCE = f"{Path(ancestral.__file__).parent}/"


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


if __name__ == "__main__":
    walk = Walk()
    threading.setprofile(walk)
    sys.setprofile(walk)
    with contextlib.suppress(SystemExit):
        main(sys.argv[1:])
    sys.setprofile(None)
    print(*(name.removeprefix(SOURCE) for name in walk.modules), f"{len(walk.modules)} modules", sep="\n")
