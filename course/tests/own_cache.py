"""A fixture of all tests that keep verdicts. No conftest.py holds it: `tests/` has one, whose name its tests import."""

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No verdict of another test is kept, and none in the folder of the user."""
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path_factory.mktemp("cache")))
