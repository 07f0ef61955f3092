"""Random numbers as functions of their address: reproducible, independent, and normal."""

import pytest
import torch

from ancestral import randomness


def test_mix_is_splitmix64():
    """The first outputs of SplitMix64 seeded with 1234567, as published with its reference code."""
    state, outputs = 1234567, []
    for _ in range(5):
        state = (state + randomness.GAMMA) & randomness.MASK
        outputs.append(randomness.mix(state))
    assert outputs == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_the_vectorised_mix_is_the_same_function():
    values = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 0x0123456789ABCDEF]
    tensor = torch.tensor([randomness._signed(v) for v in values])
    assert randomness._mix(tensor).tolist() == [randomness._signed(randomness.mix(v)) for v in values]


def test_an_image_has_the_same_noise_in_every_batch():
    whole = randomness.normal((3, 5), seed=7, stream="prior", step=2, indices=range(10))
    for indices in ([3], [3, 9, 0], range(2, 7)):
        part = randomness.normal((3, 5), seed=7, stream="prior", step=2, indices=indices)
        assert torch.equal(part, whole[list(indices)])


@pytest.mark.parametrize("change", [{"seed": 1}, {"stream": "b"}, {"step": 1}, {"indices": [1]}])
def test_each_part_of_the_address_matters(change):
    address = {"seed": 0, "stream": "a", "step": 0, "indices": [0]}
    one, other = randomness.normal((4000,), **address), randomness.normal((4000,), **{**address, **change})
    correlation = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
    assert abs(correlation) < 4 / 4000**0.5


def test_negative_and_huge_seeds_are_seeds():
    draws = [randomness.normal((8,), seed, "a", 0, [0]) for seed in (-1, 0, 1, 2**63, 2**64 - 2)]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 5


def test_normals_are_normal():
    """Kolmogorov-Smirnov distance of a million draws, moments up to the fourth, and neighbours that do not know each
    other.
    """
    z = randomness.normal((1001,), seed=0, stream="test", step=0, indices=range(999)).double()
    flat = z.flatten().sort().values
    n = len(flat)
    distance = (torch.special.ndtr(flat) - (torch.arange(n) + 0.5) / n).abs().max().item()
    assert distance < 1.63 / n**0.5  # the 1 % point
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert (flat**power).mean().item() == pytest.approx(moment, abs=4 * (spread / n) ** 0.5)
    for shift in (
        z[:, 1:] * z[:, :-1],
        z[1:] * z[:-1],
        z[:, :500] * z[:, 501:],
    ):  # elements, images, the Box-Muller halves
        assert shift.mean().item() == pytest.approx(0, abs=4 / shift.numel() ** 0.5)
    assert flat.abs().max() > 4.5


def test_many_images_share_no_noise():
    """PyTorch's CPU generator keeps 32 bits of a seed: among 200,000 images it would repeat itself about five times."""
    first = randomness.normal((2,), seed=0, stream="prior", step=0, indices=range(200_000))
    assert len(first.unique(dim=0)) == 200_000


def test_integers_are_uniform_and_reach_both_ends():
    t = randomness.integers(1, 10, seed=0, stream="time", step=0, indices=range(100_000))
    counts = torch.bincount(t, minlength=11)
    assert counts[0] == 0
    assert ((counts[1:] - 10_000).abs() < 4 * 95).all()  # √(n p q) = 95


def test_uniform_lies_in_its_interval():
    u = randomness.uniform(0, "flip", 3, range(10_000))
    assert 0 <= u.min() < 1e-3
    assert 1 - 1e-3 < u.max() < 1
    assert u.mean().item() == pytest.approx(0.5, abs=4 * (1 / 12 / 10_000) ** 0.5)


def test_permutation_is_one_and_uniform():
    orders = [tuple(randomness.permutation(4, 0, "order", epoch).tolist()) for epoch in range(4800)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    counts = torch.tensor([orders.count(order) for order in set(orders)])
    assert len(counts) == 24
    assert ((counts - 200).abs() < 4 * 14).all()
