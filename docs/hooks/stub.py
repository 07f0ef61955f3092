"""Writes the stubs by which editors complete names and options, and type checkers check them.

python docs/hooks/stub.py
"""

import importlib
import inspect
import json
import re
import textwrap
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union

import ancestral
from ancestral.base import registries
from ancestral.base.fields import MISSING, bases_of
from ancestral.config import Config
from ancestral.declarations import USE_CASES, UseCase
from ancestral.faces import python
from ancestral.faces.functions import PROGRESS, docstring, in_order

PATH = Path(python.__file__).with_suffix(".pyi")
PACKAGE = Path(ancestral.__file__).with_suffix(".pyi")
OBJECTS = {
    "schedule": "Schedule",
    "target": "Target",
    "optimiser": "Callable[[list[nn.Parameter]], Optimizer]",
    "trackers": "Tracker | Sequence[str | Tracker]",
    "validation": "Any",
}
"""Settings that Python users may give as objects, and the types of these."""
HEAD = '''"""Written by `python docs/hooks/stub.py` from the declarations; a test compares them."""

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from ancestral.base.registries import CustomMetric, MaskPart
from ancestral.config import ConditionSource, Config
from ancestral.config.sweep_values import SweptAxes
from ancestral.declarations import EditTask
from ancestral.diffusion import Diffusion
from ancestral.model import Label, Model, NetSource
from ancestral.objectives import Objective
from ancestral.operators import Operator
from ancestral.results import AveragingResult, ComparisonResult, EvaluationResult, SamplerComparisonResult
from ancestral.results.data_report import DataReport
from ancestral.results.run_result import CleaningResult, ModelInfo, RunFiles, RunList, TrainingResult
from ancestral.results.sampling_result import EditingResult, SamplingResult
from ancestral.samplers import Sampler
from ancestral.schedules import Schedule
from ancestral.targets import Denoiser, Target
from ancestral.training import Progress
from ancestral.training.trackers import Tracker
'''


def stub() -> str:
    """Return the text of the stub."""
    functions = [_function(case) for case in USE_CASES]
    train = next(case for case in USE_CASES if case.function == "train")
    steps = "Generator[Progress, None, TrainingResult[Model]]"
    functions.append(
        _function(train._replace(place="training.train_steps"), steps, "Train as `train` does, and yield the progress.")
    )
    # the names in a table of parts, whose alias a type checker takes for text elsewhere
    aliases = sorted(set(re.findall(r"\b\w+Name\b", "\n".join(functions))))
    return "\n".join([HEAD, *map(_alias, aliases), "", *functions])


def _alias(name: str) -> str:
    line = f"{name} = {_text(getattr(registries, name))}"
    return line if len(line) <= 120 else line.replace("[", "[\n    ").replace(", ", ",\n    ").replace("]", ",\n]")


def package_stub() -> str:
    """Return the text of the stub of the package."""
    lines = ['"""Written by `python docs/hooks/stub.py`; a test compares it."""', ""]
    for module, names in sorted(ancestral._MODULES.items()):
        place = f"ancestral.{module}".rstrip(".")
        lines += [f"from {place} import {name} as {name}" for name in names]
    return "\n".join([*lines, "", "__version__: str", ""])


def _function(case: UseCase, returns: str = "", text: str = "") -> str:
    kind, annotations = case.declaration, dict[str, str]()
    for base in bases_of(kind):
        annotations |= {name: str(hint).replace("'", '"') for name, hint in inspect.get_annotations(base).items()}
    lines = [_parameter(one.name, _widened(annotations[one.name]), one.default) for one in in_order(kind)]
    lines.insert(len(kind.ordered()), "*")
    if not returns:
        lines.append(_parameter(PROGRESS, "bool", True))
    names = {one.name for one in in_order(kind)}
    for one in Config.settings() if kind.SETTINGS else ():
        if one.name in names:
            continue
        hint = _widened(_text(one.python or one.hint))
        lines.append(f"{one.name}: {' | '.join(filter(None, [OBJECTS.get(one.name, ''), hint]))} = ...")
    body = textwrap.indent(f'"""{text}"""' if text else f'"""{docstring(case).strip()}\n"""', " " * 4)
    parameters = "".join(f"    {line},\n" for line in lines)
    return f"def {case.function}(\n{parameters}) -> {returns or _returns(case)}:\n{body}\n"


def _returns(case: UseCase) -> str:
    """The type of the result: what the generator of events returns."""
    run = importlib.import_module(case.module).run
    return _text(typing.get_args(typing.get_type_hints(run)["return"])[-1])


def _parameter(name: str, hint: str, default: Any) -> str:
    if default is MISSING:
        return f"{name}: {hint}"
    return f"{name}: {hint} = {json.dumps(default) if isinstance(default, str) else repr(default)}"


def _widened(hint: str) -> str:
    """The type of what Python takes for a tuple: a sequence, or one value alone."""
    return re.sub(r"tuple\[([\w |]+), \.\.\.\]", r"\1 | Sequence[\1]", hint)


def _text(hint: Any) -> str:
    """A type as its source has it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " | ".join(map(_text, inner))
    if origin is Literal:
        choices = ", ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in inner)
        return f"Literal[{choices}]"
    if origin is tuple:
        return f"tuple[{', '.join('...' if one is Ellipsis else _text(one) for one in inner)}]"
    if hasattr(hint, "read"):  # of text too
        return f"str | {hint.__name__}"
    name = "None" if hint is type(None) else str(getattr(hint, "__name__", hint))
    return f"{name}[{', '.join(map(_text, inner))}]" if inner else name


if __name__ == "__main__":
    PATH.write_text(stub(), encoding="utf-8")
    PACKAGE.write_text(package_stub(), encoding="utf-8")
