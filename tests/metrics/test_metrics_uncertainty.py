"""Errors against the spread of sets that are drawn again and again, and against derivatives taken numerically."""

import math

import pytest
import torch

from ancestral.metrics import distances, uncertainty
from ancestral.metrics.distances import Moments
from ancestral.metrics.precision_recall import precision_recall

D = 12
SCALE = torch.arange(1, D + 1) ** -0.5


def same(n, generator):
    return torch.randn(n, D, generator=generator) * SCALE


def near(n, generator):
    return torch.randn(n, D, generator=generator) * SCALE * 1.1 + 0.1


def far(n, generator):
    turn = torch.randn(D, D, generator=torch.Generator().manual_seed(5)) / math.sqrt(D)
    return torch.randn(n, D, generator=generator) @ turn + 0.3


def repeated(measure, draw, n, m, repeats):
    """Values and errors of sets that are drawn so often: n of `draw` against m of `same`."""
    generator = torch.Generator().manual_seed(7)
    estimates = [measure(draw(n, generator), same(m, generator)) for _ in range(repeats)]
    plain = [[pair(one) for one in row] if isinstance(row, list) else pair(row) for row in estimates]
    return torch.tensor(plain, dtype=torch.float64).unbind(-1)


def pair(estimate):
    return estimate.value, estimate.error


def check(values, errors, low=0.8, high=1.3, cover=0.9):
    """Errors are the spread of the values, and intervals hold their average about as often as they say."""
    ratio = errors.mean(0) / values.std(0)
    covered = ((values - values.mean(0)).abs() < 1.96 * errors).double().mean(0)
    assert bool(((ratio > low) & (ratio < high)).all()), ratio
    assert bool((covered >= cover).all()), covered


@pytest.mark.parametrize("draw", [same, far])
@pytest.mark.parametrize(("n", "m"), [(9, 150), (24, 150), (150, 150)], ids=["n < d", "n = 2 d", "n >> d"])
def test_intervals_of_the_frechet_distance_hold_what_they_say(draw, n, m):
    check(*repeated(uncertainty.frechet, draw, n, m, repeats=100), low=0.85, cover=0.88 if n < D else 0.9)


@pytest.mark.parametrize("draw", [same, far])
@pytest.mark.parametrize(("n", "m"), [(9, 150), (150, 150)], ids=["n < d", "n >> d"])
def test_intervals_of_kid_hold_what_they_say(draw, n, m):
    check(*repeated(uncertainty.kernel, draw, n, m, repeats=200), low=0.85, cover=0.8 if n < D else 0.9)


@pytest.mark.parametrize("measure", [uncertainty.frechet, uncertainty.kernel])
def test_of_heavy_tails_an_estimate_says_which_share_of_its_variance_one_item_makes(measure):
    generator = torch.Generator().manual_seed(3)
    light = [measure(near(400, generator), same(400, generator)) for _ in range(20)]
    assert not any(one.dominance for one in light)
    assert not any("more" in str(one) for one in light)
    heavy = [measure(*(torch.exp(torch.randn(400, 4, generator=generator)) for _ in range(2))) for _ in range(20)]
    assert sum(one.dominance is not None for one in heavy) >= 18
    assert all(0.15 < one.dominance <= 1 and str(one).endswith(" or more") for one in heavy if one.dominance)


@pytest.mark.long
@pytest.mark.parametrize("draw", [same, near])
def test_intervals_of_precision_and_recall_hold_what_they_say(draw):
    def measure(x, y):
        return list(uncertainty.precision_recall(x, y).values())

    check(*repeated(measure, draw, 200, 200, repeats=50), low=0.75, high=1.35, cover=0.85)


@pytest.mark.parametrize("n", [10, pytest.param(24, marks=pytest.mark.long)])
def test_errors_of_precision_and_recall_of_few_samples_are_not_too_small(n):
    def measure(x, y):
        return [estimate for name, estimate in uncertainty.precision_recall(x, y).items() if name != "density"]

    values, errors = repeated(measure, near, n, 300, repeats=60)
    assert bool((errors.mean(0) >= 0.8 * values.std(0)).all()), (errors.mean(0), values.std(0))


def test_shares_stay_between_0_and_1_and_are_never_certain():
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    for share in (
        uncertainty.precision_recall(x, x)["precision"],
        uncertainty.precision_recall(x + 100, x)["precision"],
    ):
        assert share.value in (0, 1)
        assert share.error > 0
        assert 0.05 < share.high - share.low < 0.2  # 30 times out of 30: above 0.886 with 95 %
        assert 0 <= share.low <= share.value <= share.high <= 1


def test_intervals_of_the_inception_score_hold_what_they_say():
    def measure(x, y):
        return uncertainty.inception_score(3 * x)

    check(*repeated(measure, near, 200, 2, repeats=300), low=0.9, high=1.1, cover=0.93)


def weighted(x, y, u, v):
    """The Fréchet distance of items that weigh u and v."""

    def of(z, w):
        w = w / w.sum()
        centred = z - w @ z
        return Moments(w @ z, (centred * w[:, None].sqrt()).T * math.sqrt(len(z) / (len(z) - 1)), len(z))

    return distances.frechet(of(x, u), of(y, v))


def test_the_frechet_distance_has_these_derivatives():
    n, d, h = 300, 4, 1e-3
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator).double() * torch.tensor([1, 2, 0.5, 1.5]) + 0.3
    y = torch.randn(n, d, generator=generator).double()
    (ours, cx, wx), (theirs, cy, wy) = distances.factored(x), distances.factored(y)
    u, s, vh = torch.linalg.svd(ours.root.T @ theirs.root)
    p, q = uncertainty._Side(cx, wx @ u), uncertainty._Side(cy, wy @ vh.T)
    even, unit = torch.full((n,), 1 / n).double(), torch.eye(n).double() - 1 / n

    influence = p.influence(ours.mean - theirs.mean, s)
    influence = influence - influence.mean()
    for i in range(3):
        step = h * unit[i]
        slope = (weighted(x, y, even + step, even) - weighted(x, y, even - step, even)) / (2 * h)
        assert slope == pytest.approx(float(influence[i]), rel=0.02, abs=0.02)

    def second(first, other):  # of two changes, each to the weights of x and of y
        signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
        signed_distances = [
            e * f * weighted(x, y, even + h * (e * first[0] + f * other[0]), even + h * (e * first[1] + f * other[1]))
            for e, f in signs
        ]
        return sum(signed_distances) / (4 * h * h)

    nothing = torch.zeros(n).double()
    scale = 2.0
    for i, j in ((0, 1), (2, 3), (4, 5)):
        for side, moves in (
            (p, ((unit[i], nothing), (unit[j], nothing))),
            (q, ((unit[i], nothing), (nothing, unit[j]))),
        ):
            first, other = p.rows(torch.tensor([i])), side.rows(torch.tensor([j]))
            g = float(uncertainty._pair_terms(first, other, s, own=side is p))
            sign = 1 if side is p else -1
            assert second(*moves) == pytest.approx(sign * g, rel=0.02, abs=0.02 * scale)


def test_second_order_sums_of_kid_are_those_of_the_centred_kernel():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 3, generator=generator).double(), torch.randn(30, 3, generator=generator).double()
    k = (x @ y.T / 3 + 1) ** 3
    centred = k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()
    expected = centred.square().sum() / (39 * 29)
    assert float(uncertainty._across(distances.kernel_sums(x, y))) == pytest.approx(float(expected), rel=1e-9)
    own = ((x @ x.T / 3 + 1) ** 3).fill_diagonal_(0)
    rows = own.sum(1) / 39
    centred = (own - rows - rows[:, None] + own.sum() / (40 * 39)).fill_diagonal_(0)
    expected = centred.square().sum() / (40 * 37)
    assert float(uncertainty._own(distances.kernel_sums(x, x, own=True))) == pytest.approx(float(expected), rel=1e-9)


def test_values_are_those_without_an_error():
    generator = torch.Generator().manual_seed(0)
    x, y = near(30, generator), same(25, generator)
    far_off = uncertainty.frechet(x, y)
    assert far_off.value == pytest.approx(distances.frechet(distances.moments(x), distances.moments(y)), rel=1e-9)
    assert uncertainty.kernel(x, y).value == distances.kernel(x, y)
    assert uncertainty.inception_score(x).value == distances.inception_score(x)
    means = {name: float(values.mean()) for name, values in precision_recall(x, y)._asdict().items()}
    assert {name: estimate.value for name, estimate in uncertainty.precision_recall(x, y).items()} == means
    assert uncertainty.precision_recall(x[:6], y[:6]).keys() == means.keys()  # too few for quarters
    assert uncertainty.frechet(x, y) == far_off  # the same each time


def test_sets_that_share_no_direction_have_an_error():
    """As pixels that never change do: singular values of 0, or none at all."""
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    left, right = x * torch.tensor([1, 1, 0, 0]), x * torch.tensor([0, 0, 1, 1])
    distance = uncertainty.frechet(left, right)  # tr Σ_x + tr Σ_y + ‖μ_x − μ_y‖², so each item adds ‖x‖²
    total = x.double().square().sum(1)
    assert distance.value == pytest.approx(float(total.sum() / 39 - x.double().mean(0).square().sum() * (40 / 39 - 1)))
    halves = [part.double().square().sum(1).var() / 40 for part in (left, right)]
    assert distance.error == pytest.approx(math.sqrt(sum(halves)), rel=0.1)
    flat = torch.ones(40, 4)
    apart = uncertainty.frechet(flat, flat + 1)
    assert (apart.value, apart.error) == (4, 0)
    assert uncertainty.frechet(flat, x).error > 0


def test_intervals_end_where_numbers_do():
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    assert uncertainty.frechet(x, x).low == 0
    assert uncertainty.kernel(x, x[:9]).low < 0  # KID has no such end
    one = uncertainty.share(1.0, 1)
    assert one.value == 1
    assert one.error > 0.2
    some = uncertainty.share(0.75, 4)  # three of four
    assert some.error == pytest.approx(math.sqrt(0.25 / 4))
    for end in (some.low, some.high):  # Wilson's: 0.75 is 1.96 deviations of a mean of 3 throws away
        assert abs(0.75 - end) == pytest.approx(1.96 * math.sqrt(end * (1 - end) / 3))


@pytest.mark.parametrize(
    ("count", "rho", "least"), [(48, 0, 0.93), (48, 0.3, 0.89), (48, 0.6, 0.84), (400, 0.6, 0.91)], ids=str
)
def test_intervals_of_values_in_a_row_hold_the_mean_where_those_of_independent_ones_do_not(count, rho, least):
    """Of an AR(1) series, intervals of 95 % hold the mean; those of independent values in 95, 84 and 66 % of sets."""
    generator, series = torch.Generator().manual_seed(3), [torch.zeros(400, dtype=torch.float64)]
    for _ in range(count + 50):
        noise = torch.randn(400, generator=generator, dtype=torch.float64)
        series.append(rho * series[-1] + math.sqrt(1 - rho**2) * noise)
    sets = torch.stack(series[-count:], 1)
    held = {
        ordered: sum(one.low <= 0 <= one.high for one in (uncertainty.mean(row, ordered) for row in sets)) / 400
        for ordered in (False, True)
    }
    assert least <= held[True] <= 0.985
    assert held[False] < held[True] - (0.03, 0.15)[rho > 0.3] if rho else abs(held[True] - held[False]) < 0.03


def test_blocks_of_values_in_a_row_are_as_long_as_their_correlation():
    alternating = torch.tensor([1.0, -1.0] * 24).double()
    assert uncertainty.block_length(alternating) == 1
    assert uncertainty.mean(alternating, ordered=True) == uncertainty.mean(alternating)
    steps = torch.arange(8).repeat_interleave(50).double()
    assert 25 < uncertainty.block_length(steps - steps.mean()) <= 100
    assert uncertainty.mean(steps, ordered=True).error > 5 * uncertainty.mean(steps).error
    assert uncertainty.mean(torch.ones(6), ordered=True).error == 0
