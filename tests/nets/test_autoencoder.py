"""The autoencoder: shapes, bounds, and what a latent depends on."""

import pytest
import torch

from ancestral.nets.autoencoder import Autoencoder


@pytest.mark.parametrize(
    ("factor", "sides", "grid"), [(4, (18, 12), (5, 3)), (8, (40,), (5,)), (2, (4, 6, 5), (2, 3, 3))]
)
def test_latents_of_any_sides_are_bounded_and_decode_to_them(factor, sides, grid):
    net = Autoencoder(3, factor, 5, 16, len(sides))
    x = torch.rand(2, 3, *sides) * 2 - 1
    z = net.encode(x)
    assert z.shape == (2, 5, *grid) == (2, *net.latent_shape((3, *sides)))
    assert bool((z.abs() <= 1).all())
    assert net.decode(z, sides).shape == x.shape
    assert torch.equal(net.decode(z, sides), net(x))


def test_latents_far_from_a_change_stay_to_the_bit():
    net = Autoencoder(1, 4, 3, 16).eval()
    x = torch.zeros(1, 1, 128, 32)
    changed = x.clone()
    changed[:, :, 100:] = 1
    with torch.no_grad():
        one, other = net.encode(x), net.encode(changed)
    assert torch.equal(one[:, :, :15], other[:, :, :15])
    assert not torch.equal(one[:, :, 24], other[:, :, 24])


def test_parts_of_a_batch_are_encoded_and_decoded_as_the_whole(monkeypatch):
    net, x = Autoencoder(1, 2, 3, 8), torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        z = net.encode(x)
        whole = net.decode(z, (8, 8))
        monkeypatch.setattr("ancestral.nets.autoencoder.VALUES_AT_ONCE", 2 * 64)
        torch.testing.assert_close(net.encode(x), z)
        torch.testing.assert_close(net.decode(z, (8, 8)), whole)
