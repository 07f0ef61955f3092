"""The architecture of the studio, read from the imports: they run one way, and those of the package are few."""

from pathlib import Path

import pytest

import ancestral_studio
from test_imports import SHOWN, check_one_way, imports

SOURCE = Path(ancestral_studio.__file__).parent
USED = SHOWN | {"conditions", "data", "model", "page", "samplers", "training"}
"""The rooms of the package that the studio may import: it follows events as they come, keeps what was made, and looks
into runs and models."""


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.name)
def test_the_studio_imports_few_rooms_of_the_package(path):
    for module in imports(path):
        assert not module.startswith("ancestral.") or module.split(".")[1] in USED, module


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.name)
def test_the_studio_pickles_nothing_and_prints_nothing(path):
    assert not {"pickle", "shelve", "marshal", "dill"} & {module.split(".")[0] for module in imports(path)}
    assert "print(" not in path.read_text(encoding="utf-8")


def test_arrows_run_one_way_inside_the_studio():
    check_one_way(SOURCE, "ancestral_studio")
