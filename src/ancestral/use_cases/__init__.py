"""Every use case as a plan, which decides all that needs no work, and a run, which has no decisions left.

A run is a generator of events that returns a result; nothing here prints.
"""

import importlib
from collections.abc import Generator
from typing import Any

from ancestral.base.errors import InputError, install_command
from ancestral.declarations import USE_CASES, Declaration
from ancestral.render import result_text as result_text  # registers how results are shown


def start(options: Declaration) -> Generator[Any, None, Any]:
    """Plan a use case and return its run.

    Raises:
        InputError: If what the user gave cannot be done, or the use case is in a distribution that is missing.
    """
    options.check()
    case = next(case for case in USE_CASES if type(options) is case.declaration)
    try:
        module = importlib.import_module(case.module)
    except ModuleNotFoundError:
        if case.package.startswith("ancestral."):
            raise
        raise InputError(f"the {case.command} is a package of its own: {install_command(case.command)}") from None
    events: Generator[Any, None, Any] = module.run(module.plan(options))
    return events
