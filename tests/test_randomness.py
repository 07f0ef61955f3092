"""Random numbers as functions of their address: reproducible, independent, and normal."""

import re
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import ancestral
from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.randomness import Stream


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
    whole = randomness.normal((3, 5), seed=7, stream=Stream.PRIOR, step=2, indices=range(10))
    for indices in ([3], [3, 9, 0], range(2, 7)):
        part = randomness.normal((3, 5), seed=7, stream=Stream.PRIOR, step=2, indices=indices)
        assert torch.equal(part, whole[list(indices)])


@pytest.mark.parametrize("change", [{"seed": 1}, {"stream": Stream.PRIOR}, {"step": 1}, {"indices": [1]}, {"draw": 0}])
def test_each_part_of_the_address_matters(change):
    address = {"seed": 0, "stream": Stream.OWN, "step": 0, "indices": [0]}
    one, other = randomness.normal((4000,), **address), randomness.normal((4000,), **{**address, **change})
    correlation = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
    assert abs(correlation) < 4 / 4000**0.5


def test_seeds_fill_64_bits_and_end_there():
    """Seeds that differ by 2^64 would be the same, so only one of them is a seed."""
    seeds = (0, 1, 2**63, 2**64 - 1, np.int64(5), np.uint64(2**64 - 2))
    draws = [randomness.normal((8,), seed, Stream.OWN, 0, [0]) for seed in seeds]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 6
    assert torch.equal(draws[4], randomness.normal((8,), 5, Stream.OWN, 0, [0]))
    for seed in (-1, 2**64, 2**64 + 5, 1.5, True):
        with pytest.raises(InputError, match=f"from 0 to 2\\^64 - 1, not {seed}"):
            randomness.normal((8,), seed, Stream.OWN, 0, [0])
    assert torch.equal(randomness.keys(5, Stream.OWN, np.int64(3), [0]), randomness.keys(5, Stream.OWN, 3, [0]))
    for step in (-1, -0.5, float("inf"), float("nan"), None):
        with pytest.raises(InputError, match=f"a step is a whole number, 0 or more, not {step}"):
            randomness.keys(0, Stream.OWN, step, [0])


def test_streams_share_no_address():
    """Each stream is used in one module alone, and no two names, with their draws, have the same hash."""
    used = {}
    for path in Path(ancestral.__file__).parent.rglob("*.py"):
        for member in set(re.findall(r"Stream\.([A-Z_]+)", path.read_text(encoding="utf-8"))):
            used.setdefault(member, set()).add(path.name)
    used.pop("OWN")
    assert used == {stream.name: used[stream.name] for stream in Stream if stream is not Stream.OWN}
    assert all(len(modules) == 1 for modules in used.values()), used
    names = [f"{stream.value}{draw}" for stream in Stream for draw in ("", *(f" {k}" for k in range(200)))]
    assert len({zlib.crc32(name.encode()) for name in names}) == len(names)
    with pytest.raises(InputError, match=r"Stream, not 'probe'; for custom draws Stream\.OWN"):
        randomness.uniform(0, "probe", 0, [0])


def test_a_seed_still_stands_for_the_same_numbers():
    """The values of the first streams, written down when streams were strings: runs of that time resume."""
    assert randomness.keys(7, Stream.PRIOR, 2, [0, 5]).tolist() == [-6268126009834946731, -2585382237131879698]
    reverse = randomness.keys(7, Stream.REVERSE, 2, [0, 5], draw=1)
    assert reverse.tolist() == [
        -4155264944144137748,
        -7790461052734430829,
    ]


def test_normals_are_normal():
    """Kolmogorov-Smirnov distance of a million draws, moments up to the fourth, and neighbours that do not know each
    other.
    """
    z = randomness.normal((1001,), seed=0, stream=Stream.OWN, step=0, indices=range(999)).double()
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
    first = randomness.normal((2,), seed=0, stream=Stream.PRIOR, step=0, indices=range(200_000))
    assert len(first.unique(dim=0)) == 200_000


def test_integers_are_uniform_and_reach_both_ends():
    t = randomness.integers(1, 10, seed=0, stream=Stream.TIME, step=0, indices=range(100_000))
    counts = torch.bincount(t, minlength=11)
    assert counts[0] == 0
    assert ((counts[1:] - 10_000).abs() < 4 * 95).all()  # √(n p q) = 95


def test_uniform_lies_in_its_interval():
    one, several = (
        randomness.uniform(0, Stream.FLIP, 3, range(10_000)),
        randomness.uniforms(3, 0, Stream.OWN, 3, range(10_000)),
    )
    for u in (one, *several.T):
        assert 0 <= u.min() < 1e-3
        assert 1 - 1e-3 < u.max() < 1
        assert u.mean().item() == pytest.approx(0.5, abs=4 * (1 / 12 / 10_000) ** 0.5)
    assert torch.corrcoef(several.T).triu(1).abs().max() < 4 / 100
    assert torch.equal(randomness.uniforms(3, 0, Stream.OWN, 3, [7, 2]), several[[7, 2]])


def test_permutation_is_one_and_uniform():
    orders = [tuple(randomness.permutation(4, 0, Stream.ORDER, epoch).tolist()) for epoch in range(4800)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    counts = torch.tensor([orders.count(order) for order in set(orders)])
    assert len(counts) == 24
    assert ((counts - 200).abs() < 4 * 14).all()


def test_indices_are_whole_numbers():
    """Floats would be cut, so that two images got the same noise."""
    for indices in ([0.2, 0.7], torch.tensor([0.0])):
        with pytest.raises(InputError, match="indices are whole numbers"):
            randomness.keys(0, Stream.OWN, 0, indices)
    assert randomness.keys(0, Stream.OWN, 0, []).shape == (0,)
    assert torch.equal(randomness.keys(0, Stream.OWN, 0, torch.arange(3)), randomness.keys(0, Stream.OWN, 0, range(3)))


def test_threads_share_pytorchs_generator_one_at_a_time():
    """It is one for all threads, so that what one draws would depend on what the others draw between."""
    drawn = {}

    def draw(seed):
        with randomness.pytorch_generator(seed):
            first = torch.randn(3)
            time.sleep(0.02)
            drawn[seed] = torch.cat([first, torch.randn(3)])

    before = torch.get_rng_state()
    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(torch.get_rng_state(), before)
    for seed, numbers in drawn.items():
        assert torch.equal(numbers, torch.randn(6, generator=torch.Generator().manual_seed(seed)))
