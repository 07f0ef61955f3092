"""`python -m ancestral` is `ancestral`."""

import os
import sys

try:
    folder = os.getcwd()  # noqa: PTH109 (pathlib imports more modules)
except OSError:  # it was removed
    folder = ""
if not sys.flags.safe_path and sys.path[0] == folder:
    del sys.path[0]  # python -m puts the working folder first, where a file could stand for any module imported below

from ancestral.faces.command import main

main()
