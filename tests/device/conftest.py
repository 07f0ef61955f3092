"""The devices that these tests run on: a pretended accelerator, also without float64, and a GPU if there is one."""

import contextlib

import pytest
import torch

from accelerator import NAME, pretended

DEVICES = [
    NAME,
    *(["cuda"] if torch.cuda.is_available() else []),
    *(["mps"] if torch.backends.mps.is_available() else []),
]
"""The devices of this machine that results are compared on with those of the CPU."""


def pytest_collection_modifyitems(items):
    """All tests of this folder are run by `make test-device`."""
    for item in items:
        if "/device/" in item.path.as_posix():
            item.add_marker(pytest.mark.device)


@pytest.fixture(params=DEVICES)
def device(request):
    """The name of a device to compute on."""
    with pretended() if request.param == NAME else contextlib.nullcontext():
        yield request.param


@pytest.fixture
def waits():
    """The waits for the pretended accelerator, by line."""
    with pretended() as waits:
        yield waits


@pytest.fixture
def single():
    """The name of a pretended accelerator without float64."""
    with pretended(float64=False):
        yield NAME


@pytest.fixture
def close(request):
    """Whether a tensor on any device equals one on the CPU, as far as its kernels compute alike."""

    def compare(value, truth, rtol=2e-5, atol=2e-6):
        real = "device" in request.fixturenames and request.getfixturevalue("device") != NAME
        factor = 500 if real else 1  # cuDNN computes convolutions in TF32
        assert value.shape == truth.shape
        value, truth = (each.detach().cpu().double() for each in (value, truth))
        return torch.allclose(value, truth, rtol=factor * rtol, atol=factor * atol, equal_nan=True)

    return compare
