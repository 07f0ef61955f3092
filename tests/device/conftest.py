"""The pretended accelerator, for the tests of this folder."""

import pytest

from accelerator import pretended


@pytest.fixture
def waits():
    """The waits for the pretended device."""
    with pretended() as waits:
        yield waits
