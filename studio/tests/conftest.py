"""The fixtures of the studio's tests: those of the package's tests, and studios over a tiny run."""

import pytest

from shared_fixtures import (
    _seeded,
    _short_trainings,
    _valid_files,
    chromium,
    measured,
    pytest_collection_finish,
    refused,
    run,
    tiny_run,
)
from studio_client import studio


@pytest.fixture(scope="module")
def shared_studio(tiny_run, tmp_path_factory):
    """A studio over the tiny run, its server and a client, for the tests of a file."""
    with studio(tiny_run.path, out=tmp_path_factory.mktemp("studio")) as both:
        both[1].get("/")
        yield both


@pytest.fixture
def own_studio(tiny_run, tmp_path):
    """A studio over the tiny run of one test, its server and a client."""
    with studio(tiny_run.path, out=tmp_path / "studio") as both:
        both[1].get("/")
        yield both
