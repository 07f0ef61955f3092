import pytest
import torch

from ancestral.data import IMAGES, Codec
from ancestral.errors import InputError


def test_encode_maps_bytes_onto_minus_one_to_one():
    x = IMAGES.encode(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert x.dtype == torch.float32
    torch.testing.assert_close(x, torch.tensor([-1.0, -0.6, 1.0]))


def test_decode_rounds_and_clamps():
    x = torch.tensor([-7.0, -1.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 1.0, 1.5, 1e9])
    assert IMAGES.decode(x).tolist() == [0, 0, 0, 1, 255, 255, 255]


def test_half_precision_network_values_decode_in_float32():
    x = IMAGES.encode(torch.arange(256, dtype=torch.uint8)).to(torch.float16)
    assert torch.equal(IMAGES.decode(x), torch.arange(256, dtype=torch.uint8))


def test_unknown_kind_is_refused():
    with pytest.raises(InputError, match="unknown codec 'jpeg': use one of uint8, uint16, float"):
        Codec("jpeg")
