"""The architecture, read from the imports: arrows run one way, the theory needs torch alone, and starting costs
nothing.
"""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ancestral
from ancestral.declarations import USE_CASES

SOURCE = Path(ancestral.__file__).parent

LAYERS = [
    {"base"},
    {"gaussian", "config", "randomness", "vocabulary", "scaling"},
    {"curves", "conditions", "operators", "covariance"},
    {"schedules", "derived", "augmentation"},
    {"targets", "nets"},
    {"reverse", "oracle", "guidance", "adaptive"},
    {"samplers", "bound"},
    {"objectives"},
    {"diffusion", "probability_flow"},
    {"data"},
    {"model"},
    {"training"},
    # the library ends here: a program that trains and samples needs no more
    {"results"},
    {"metrics"},
    {"declarations"},
    {"measure", "page"},
    {"interop", "render"},
    {"use_cases"},
    {"faces"},
    {"errors", "events", "hub", "workflows"},
]
"""A room imports from rooms above it in this list, never from its own row or below."""

THEORY = {
    "gaussian",
    "adaptive",
    "curves",
    "schedules",
    "targets",
    "reverse",
    "objectives",
    "diffusion",
    "probability_flow",
    "oracle",
    "bound",
    "samplers",
    "guidance",
    "conditions",
    "augmentation",
    "operators",
    "covariance",
    "derived",
    "randomness",
    "vocabulary",
    "scaling",
    "nets",
}
GROUND = {"arguments", "device_tensors", "registries", "errors", "options", "transforms", "plugins"}
"""The modules of `base` that the theory uses."""
STANDARD = set(sys.stdlib_module_names)


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path):
    """Every module imported anywhere in a file, also inside functions; those under TYPE_CHECKING too.

    Of names that are imported from a package, the modules among them are named, else the package.
    """
    modules, source = [], next(folder for folder in path.parents if not (folder / "__init__.py").exists())
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                place = source.joinpath(*name.split("."))
                modules.append(name if place.is_dir() or place.with_suffix(".py").exists() else node.module)
    return modules


FILES = sorted(path for path in SOURCE.rglob("*.py") if room(path) not in ("__init__", "__main__"))


FOLDERS = sorted({path.parent for path in FILES} - {SOURCE})


def test_every_room_has_its_place():
    assert {room(path) for path in FILES} == set().union(*LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_arrows_run_one_way(path):
    rank = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    for module in imports(path):
        assert not module.startswith(("ancestral_course", "ancestral_studio")), "distributions that use this one"
        if module.startswith("ancestral.") and module != "ancestral.__version__":
            other = module.split(".")[1]
            if other != room(path):
                assert rank[other] < rank[room(path)], f"{path.name} imports {module}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_arrows_run_one_way_inside_a_folder(folder):
    check_one_way(folder, ".".join(("ancestral", *folder.relative_to(SOURCE).parts)))


def check_one_way(folder, name):
    """The files and folders in the folder of a package import each other one way."""
    graph = {}
    for path in folder.rglob("*.py"):
        child = path.relative_to(folder).parts[0].removesuffix(".py")
        inside = [module for module in imports(path) if f"{module}.".startswith(f"{name}.")]
        others = {module.removeprefix(name).split(".")[1] if module != name else "__init__" for module in inside}
        graph.setdefault(child, set()).update(others - {child})
    assert TopologicalSorter(graph).prepare() is None  # raises an error that names a circle


SHOWN = {"base", "config", "declarations", "faces", "render", "results", "use_cases", "__version__"}
"""What a face may import: it reads the options of a declaration, runs its workflow and shows events and result. The
functions of Python also import the types of what they take."""


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if room(p) == "faces" and p.stem not in ("functions", "stub", "python")],
    ids=lambda p: str(p.relative_to(SOURCE)),
)
def test_a_face_runs_workflows_and_shows_results(path):
    for module in imports(path):
        assert not module.startswith("ancestral.") or module.split(".")[1] in SHOWN, module


def test_only_the_command_line_prints():
    for path in FILES:
        calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
        prints = [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]
        assert not prints or room(path) == "faces", path


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if room(p) in THEORY or (room(p) == "base" and p.stem in GROUND)],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_the_theory_imports_torch_and_nothing_else(path):
    for module in imports(path):
        top, *rest = module.split(".")
        ours = top == "ancestral" and (rest[0] in THEORY or (rest[0] == "base" and rest[1] in GROUND))
        assert ours or top in STANDARD | {"torch"}, module


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "code",
    [
        "import ancestral",
        "import ancestral.config",
        "from ancestral.faces.command import run; run(['--help'])",
        "from ancestral.faces.command import run; run(['--completion', 'bash'])",
        *(f"from ancestral.faces.command import run; run(['{case.command}', '--help'])" for case in USE_CASES),
    ],
)
def test_no_torch_before_it_is_needed(code):
    assert python(code + "\nimport sys; print({'torch', 'PIL'} & {*sys.modules})").splitlines()[-1] == "set()"


def test_every_public_name_is_there():
    for name in ancestral.__all__:
        assert getattr(ancestral, name) is not None
    assert set(ancestral.__all__) <= set(dir(ancestral))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ancestral.nothing  # noqa: B018


def test_nothing_pickles():
    """Weights that were published as PyTorch's own files alone are read as tensors, which run no code."""
    for path in FILES:
        assert not {"pickle", "shelve", "marshal", "dill"} & {module.split(".")[0] for module in imports(path)}
        loads = [line for line in path.read_text(encoding="utf-8").splitlines() if "torch.load" in line]
        assert all("weights_only=True" in line for line in loads)
        assert not loads or path.parts[-2:] == ("metrics", "extractors.py")
