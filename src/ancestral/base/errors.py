"""The one exception that means "what you gave cannot be used": its message is one line that says what to do.

The command line turns it into exit code 2 and that line. Any other exception is a defect of ours and keeps its
traceback.
"""

import contextlib
import json
import operator
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Self

from ancestral.base.options import END, NEXT, START, in_python, spell

OUT_OF_MEMORY = "out of memory|can't allocate memory|could not create a (memory|primitive)(?! descriptor)"
"""The words of CUDA and MPS, of PyTorch's allocator on the CPU, and of oneDNN, which names no reason."""
DISTRIBUTIONS = ("studio",)
"""Extras that are distributions of their own: each lies in a folder of its name in the repository."""


class InputError(ValueError):
    """Bad input at a boundary: an option, a file, a folder, a checkpoint, a tensor of the wrong shape.

    The message becomes one line, whatever the names and the errors of other libraries in it hold. str() of it names
    options as Python does; a face spells those in `text`.
    """

    def __init__(self, message: str) -> None:
        self._text = one_line(re.sub(r"\s*[\r\n]\s*", " ", message))
        super().__init__(spell(self._text, in_python))

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self._text,)

    @property
    def text(self) -> str:
        """The message with its options as data, for `spell` and for the messages of other errors."""
        return self._text


class UnsuitableError(InputError):
    """A data option (image_size, fit, channels, bits, length) that does not apply to this data set.

    Callers that chose the option themselves catch this and raise their own message.
    """


class MissingSplitError(InputError):
    """A data set has no such split, as opposed to one that cannot be opened."""


def whole(value: object, least: float, most: float, message: str) -> int:
    """Convert a whole number of any type, NumPy's integers too, to an int.

    Args:
        value: The number.
        least: Its smallest allowed value.
        most: Its largest allowed value.
        message: The text of the error.

    Returns:
        The number as an int.

    Raises:
        InputError: If the value is a bool, is not a whole number, or is out of range.
    """
    with contextlib.suppress(TypeError):
        if not isinstance(value, bool) and least <= operator.index(value) <= most:  # type: ignore[arg-type]
            return operator.index(value)  # type: ignore[arg-type]
    raise InputError(message)


def text_of(error: BaseException) -> str:
    """The message of an error, with its options as data where it has some, for `spell` and other messages."""
    if isinstance(error, InputError):
        return error.text
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):  # of `tempfile`
        return f"{error.strerror}: make room there, or set TMPDIR to a folder that can be written to"
    return str(error)


@contextlib.contextmanager
def survived(task: str, problems: list[str], instead: str = "training goes on") -> Iterator[None]:
    """Do in the block what nothing depends on: if it fails, whatever it raises becomes a line in `problems`.

    Args:
        task: What is done, after "could not".
        problems: Receives the line.
        instead: What happens then.
    """
    try:
        yield
    except Exception as error:  # a full disk, no memory, a damaged file, a service that cannot be reached
        text = one_line(text_of(error)) or type(error).__name__
        problems.append(f"{text if text.startswith('could not') else f'could not {task}: {text}'}; {instead}")


def install_command(extra: str) -> str:
    """Write the command that installs the packages of an extra, from where this package was installed.

    That is the folder or the repository that the installer recorded. Otherwise the command names the package: pip and
    uv keep the package that is there, which an index need not have, and install what its extra requires.
    """
    from urllib.parse import urlsplit
    from urllib.request import url2pathname  # takes 40 ms, and few commands end in such a message

    origin, is_distribution = _origin(), extra in DISTRIBUTIONS
    if "dir_info" in origin:
        folder = Path(url2pathname(urlsplit(origin["url"]).path))
        last = folder / extra if is_distribution else folder
        if (last / "pyproject.toml").is_file():
            words = [str(folder), str(last)] if is_distribution else [f"{folder}[{extra}]"]
            editable = "-e " if origin["dir_info"].get("editable") else ""
            return " ".join([pip_install(), *(editable + shlex.quote(word) for word in words)])
    if "vcs_info" in origin and is_distribution:
        commit = origin["vcs_info"]
        address = f"{commit['vcs']}+{origin['url']}@{commit['commit_id']}#subdirectory={extra}"
        return f"{pip_install()} {shlex.quote(f'ancestral-{extra} @ {address}')}"
    return f"{pip_install()} 'ancestral[{extra}]'"


def _origin() -> dict[str, Any]:
    """Return the direct_url.json of this package (PEP 610); {} if it was installed by its name, or not at all."""
    from importlib import metadata  # takes 40 ms

    try:
        text = metadata.distribution("ancestral").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return {}
    origin: dict[str, Any] = json.loads(text or "{}")
    return origin


def pip_install() -> str:
    """Write `pip install`, with the path of this Python where the `pip` on the PATH belongs to another one.

    Environments of uvx and uv have no pip: uv installs into them.
    """
    path = shutil.which("pip")
    if path is not None and Path(path).parent == Path(sys.executable).parent:
        return "pip install"
    python = shlex.quote(sys.executable)
    # importlib.util.find_spec would ask setuptools' hook, which takes that for pip itself and turns its distutils off
    return f"{python} -m pip install" if PathFinder.find_spec("pip") else f"uv pip install -p {python}"


def lines(text: object) -> str:
    """Format `text` in its lines, each as `one_line` does."""
    return "\n".join(map(one_line, str(text).split("\n")))


def one_line(text: object) -> str:
    """Format `text` in one line: line breaks, control and undecodable characters, as in file names, are escaped."""
    marks = (START, NEXT, END)
    return "".join(c if c.isprintable() or c in marks else c.encode("unicode_escape").decode() for c in str(text))


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of a device or the system means that memory ran out."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or re.search(OUT_OF_MEMORY, words) is not None
