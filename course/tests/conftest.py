"""What the tests of the course share."""

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No verdict of another test is kept, and none in the folder of the user."""
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path_factory.mktemp("cache")))
