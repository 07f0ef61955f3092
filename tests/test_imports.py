"""The architecture, read from the imports: arrows run one way, the theory needs torch alone, and starting costs
nothing.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ancestral

SOURCE = Path(ancestral.__file__).parent

LAYERS = [
    {"errors"},
    {"gaussian", "config", "randomness", "storage", "hub", "device"},
    {"schedules"},
    {"targets", "nets"},
    {"diffusion", "oracle"},
    {"samplers", "bound", "guidance"},
    {"data"},
    {"model"},
    {"training", "report", "interop"},
    {"cli"},
]
"""A room imports from rooms above it in this list, never from its own row or below."""

THEORY = {
    "gaussian",
    "schedules",
    "targets",
    "diffusion",
    "oracle",
    "bound",
    "samplers",
    "guidance",
    "randomness",
    "nets",
    "errors",
}
STANDARD = set(sys.stdlib_module_names)


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path):
    """Every module imported anywhere in a file, also inside functions; those under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "ancestral":
                yield from (f"ancestral.{alias.name}" for alias in node.names)
            else:
                yield node.module


FILES = sorted(path for path in SOURCE.rglob("*.py") if room(path) not in ("__init__", "__main__"))


def test_every_room_has_its_place():
    assert {room(path) for path in FILES} == set().union(*LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_arrows_run_one_way(path):
    rank = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    for module in imports(path):
        if module.startswith("ancestral.") and module != "ancestral.__version__":
            other = module.split(".")[1]
            if other != room(path):
                assert rank[other] < rank[room(path)], f"{path.name} imports {module}"


@pytest.mark.parametrize(
    "path", [p for p in FILES if room(p) in THEORY], ids=lambda path: str(path.relative_to(SOURCE))
)
def test_the_theory_imports_torch_and_nothing_else(path):
    for module in imports(path):
        top = module.split(".")[0]
        assert top in STANDARD | {"torch"} or (top == "ancestral" and module.split(".")[1] in THEORY), module


def test_the_theory_is_small():
    """About 800 lines without the networks, as the design has it."""
    lines = sum(len(p.read_text(encoding="utf-8").splitlines()) for p in FILES if room(p) in THEORY - {"nets"})
    assert lines < 1000


def test_rooms_are_small():
    assert [p.name for p in FILES if len(p.read_text(encoding="utf-8").splitlines()) > 350] == []


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "code",
    [
        "import ancestral",
        "import ancestral.config",
        "from ancestral.cli import run; run(['--help'])",
        "from ancestral.cli import run\ntry: run(['train', '--help'])\nexcept SystemExit: pass",
        "from ancestral.cli import run\ntry: run(['sample', '--help'])\nexcept SystemExit: pass",
        "from ancestral.cli import run\ntry: run(['export', '--help'])\nexcept SystemExit: pass",
        "from ancestral.cli import run\ntry: run(['import', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_no_torch_before_it_is_needed(code):
    assert python(code + "\nimport sys; print('torch' in sys.modules)").splitlines()[-1] == "False"


def test_every_public_name_is_there():
    for name in ancestral.__all__:
        assert getattr(ancestral, name) is not None
    assert set(ancestral.__all__) <= set(dir(ancestral))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ancestral.nothing  # noqa: B018


def test_nothing_pickles():
    for path in FILES:
        assert not {"pickle", "shelve", "marshal", "dill"} & {module.split(".")[0] for module in imports(path)}
        assert "torch.load" not in path.read_text(encoding="utf-8")
