"""Every use case as a plan, which decides all that needs no work, and a run, which has no decisions left.

A run is a generator of events that returns a result; nothing here prints.
"""

import importlib
from collections.abc import Generator
from typing import Any

from ancestral.declarations import USE_CASES, Declaration
from ancestral.render import result_text as result_text  # registers how results are shown


def start(options: Declaration) -> Generator[Any, None, Any]:
    """Plan a use case and return its run.

    Raises:
        InputError: If what the user gave cannot be done.
    """
    options.check()
    module = importlib.import_module(next(case.module for case in USE_CASES if type(options) is case.declaration))
    events: Generator[Any, None, Any] = module.run(module.plan(options))
    return events
