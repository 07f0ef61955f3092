"""Scores of ensembles, for conditional models: how well K samples of a condition forecast the item that it belongs to.

An ensemble is K samples of one condition c. It is a forecast of the item x that c was taken from, and is good if x
might be one more sample. Arguments are `samples` (N, K, *shape), the ensembles of N conditions, and `truth`
(N, *shape), of any number type. Distances are root mean squares over the values of an item, in the units of the values.
A single member, K = 1, is a point forecast.

Scores are functions of one condition, (N,), so that two forecasts of the same items can be compared pair by pair:
`uncertainty.mean(energy_scores(a, truth) - energy_scores(b, truth))`. The errors of estimates are those of new
conditions with new samples; of conditions that are `ordered`, as in time, those of blocks of neighbours. Scores and
forecasts are differentiable in the samples and the truth, where no two values are equal; counts are not.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.quantities import NORMAL, Estimate
from ancestral.metrics import uncertainty
from ancestral.results.evaluation_result import Calibration, ChannelScores, ForecastScores

LEVEL = 0.9
"""The probability of the central interval whose coverage is measured."""
BLOCK_ELEMENTS = 2**22
"""Number of elements of a block of ensembles in float64, so that memory is bounded: 32 MB."""
MAX_PSNR = 100.0
"""The largest PSNR in dB: exact equality would be infinite, and with it the mean over all items."""
CHANNELS_KEPT = 32
"""The largest number of channels whose scores a result keeps."""


def mean_forecast(samples: Tensor) -> Tensor:
    """Compute the mean of each ensemble (N, K, *shape), the point forecast (N, 1, *shape) of the least square error."""
    means = [x.mean(1) for x in _ensembles(samples)]
    dtype = torch.float64 if samples.dtype == torch.float64 else torch.float32
    return torch.cat(means).to(dtype).reshape(len(samples), 1, *samples.shape[2:])


def rms_distances(samples: Tensor, truth: Tensor) -> Tensor:
    """Compute ‖X_k − x‖/√D of each member X_k from the true item x of D values, float64 (N, K)."""
    means = torch.cat([(x - y).square().mean(2) for x, y in _blocks(samples, truth)])
    return means.where(means != 0, 1.0).sqrt().where(means != 0, 0.0)  # whose gradient at 0 is 0


def energy_scores(samples: Tensor, truth: Tensor) -> Tensor:
    """Compute the energy score E‖X − x‖ − ½ E‖X − X'‖ of each condition, in the norm of `rms_distances`.

    The score is proper: on average over the items no forecast has a smaller one than the true conditional distribution.
    Pairs X, X' are of different members, so the score of K members is on average that of infinitely many. It may be
    negative. A point forecast scores its distance.

    Returns:
        float64 (N,).

    References:
        Gneiting and Raftery 2007, Strictly Proper Scoring Rules, Prediction, and Estimation. Ferro 2014, Fair scores
        for ensemble forecasts.
    """
    scores = []
    for x, y in _blocks(samples, truth):
        members, root = x.shape[1], math.sqrt(x.shape[2])
        x = x - y  # neither distance changes, and large values lose no digits
        pairs = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        score = x.norm(dim=2).mean(1) - pairs.sum((1, 2)) / (2 * members * max(1, members - 1))
        scores.append(score / root)
    return torch.cat(scores)


def crps(samples: Tensor, truth: Tensor) -> Tensor:
    """Compute the continuous ranked probability score E|X − x| − ½ E|X − X'| of each value of each item.

    It is the energy score of one value. Pairs are of different members, as there. Σ_{j<k} |x_j − x_k| of sorted members
    x_1 ≤ … ≤ x_K is Σ_k (2k − K − 1) x_k.

    Returns:
        float64 (N, *shape).

    References:
        Hersbach 2000, Decomposition of the Continuous Ranked Probability Score for Ensemble Prediction Systems. Ferro
        2014.
    """
    scores = []
    for x, y in _blocks(samples, truth):
        members = x.shape[1]
        x = x - y
        weights = 2 * torch.arange(1, members + 1, dtype=x.dtype, device=x.device) - members - 1
        pairs = torch.einsum("k,nkd->nd", weights, x.sort(1).values)
        scores.append(x.abs().mean(1) - pairs / (members * max(1, members - 1)))
    return torch.cat(scores).reshape(truth.shape)


def psnr(samples: Tensor, truth: Tensor, span: float) -> Tensor:
    """Compute the mean peak signal-to-noise ratio of the members of each ensemble, in dB and at most `MAX_PSNR`.

    Args:
        samples: The ensembles (N, K, *shape).
        truth: The true items (N, *shape).
        span: The range of the values: 255 of 8-bit images, 2 of values in [−1, 1].

    Returns:
        float64 (N,): 20 log10(span / ‖X_k − x‖) on average over k.
    """
    return (20 * torch.log10(span / rms_distances(samples, truth))).clamp(max=MAX_PSNR).mean(1)


def rank_counts(samples: Tensor, truth: Tensor) -> Tensor:
    """Count, for each condition, the values of the true item by their rank among the K members.

    Rank r is that of values above r members. If the true item is distributed as the members are, all K + 1 ranks are
    equally frequent, whatever the distribution. A value that equals e members is counted as 1/(e + 1) in each of the
    e + 1 ranks that it may have: what ties that are broken at random have on average. Values that equal all members,
    such as the black border of a digit, would be spread over all ranks and hide how the others are distributed. They
    are left out, which leaves the ranks of the others equally frequent.

    Returns:
        float64 (N, K + 1). The sum of a row is the number of values that count.

    References:
        Hamill 2001, Interpretation of Rank Histograms for Verifying Ensemble Forecasts.
    """
    counts = []
    for x, y in _blocks(samples, truth):
        members = x.shape[1]
        below, equal = (x < y).sum(1), (x == y).sum(1)
        weights = (equal < members) / (equal + 1.0).to(x)
        edges = x.new_zeros(len(x), members + 2)  # each value adds a step up at its first rank, and down after its last
        edges.scatter_add_(1, below, weights).scatter_add_(1, below + equal + 1, -weights)
        counts.append(edges.cumsum(1)[:, :-1].clamp(min=0))
    return torch.cat(counts)


def interval_rank(members: int, level: float = LEVEL) -> int:
    """Return the r for which the interval from the r-th smallest to the r-th largest member is nearest to a level.

    Its nominal coverage is exactly (K + 1 − 2r)/(K + 1). With K = 19 it is 0.9; fewer members have no interval as wide,
    and the widest of K = 8 covers 7/9.
    """
    return min(max(1, round((1 - level) / 2 * (members + 1))), members // 2)


def squared_spread_and_error(samples: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the squared error of the ensemble mean that the ensemble predicts, and the one that it has.

    The prediction is (K + 1)/K times the unbiased variance of the members, since the mean of K members varies as well.

    Returns:
        Two float64 (N,), means over the values of an item. Their expectations are equal if the truth is distributed as
        the members are.

    References:
        Fortin et al. 2014, Why Should Ensemble Spread Match the RMSE of the Ensemble Mean?
    """
    _check_ensembles(samples)
    spreads, errors = [], []
    for x, y in _blocks(samples, truth):
        spreads.append(x.var(1).mean(1) * (1 + 1 / x.shape[1]))
        errors.append((x.mean(1, keepdim=True) - y).square().mean((1, 2)))
    return torch.cat(spreads), torch.cat(errors)


def score(samples: Tensor, truth: Tensor, span: float | None = None, ordered: bool = False) -> ForecastScores:
    """Score forecasts of items, or of their features: of a model, its mean, or a baseline.

    Args:
        samples: The ensembles (N, K, *shape).
        truth: The true items (N, *shape).
        span: The range of the values, for the PSNR. None leaves the PSNR out, as of features.
        ordered: Whether neighbours are alike, as in time.

    Raises:
        InputError: If the shapes do not fit, or a value is NaN or infinite.
    """
    return ForecastScores(
        conditions=len(truth),
        members=samples.shape[1],
        energy=uncertainty.mean(energy_scores(samples, truth), ordered),
        distance=uncertainty.mean(rms_distances(samples, truth).mean(1), ordered),
        psnr=None if span is None else uncertainty.mean(psnr(samples, truth, span), ordered),
    )


def channel_crps(samples: Tensor, truth: Tensor, ordered: bool = False) -> ChannelScores:
    """Estimate the mean CRPS of all values, and of each channel of at most `CHANNELS_KEPT`.

    Args:
        samples: The ensembles (N, K, C, *space), or (N, K, C) of vectors, whose numbers are channels.
        truth: The true items (N, C, *space).
        ordered: Whether neighbours are alike, as in time.

    Raises:
        InputError: If the shapes do not fit, or a value is NaN or infinite.
    """
    scores = crps(samples, truth).flatten(2) if truth.ndim > 2 else crps(samples, truth).unsqueeze(2)
    channels = scores.mean(2)
    several = channels.unbind(1) if channels.shape[1] <= CHANNELS_KEPT else ()
    return ChannelScores(
        uncertainty.mean(channels.mean(1), ordered), tuple(uncertainty.mean(one, ordered) for one in several)
    )


def calibration(samples: Tensor, truth: Tensor, level: float = LEVEL, ordered: bool = False) -> Calibration:
    """Measure whether true items lie among the members as one more member would.

    Args:
        samples: The ensembles (N, K, *shape), K >= 2, rounded as the items are: a true black pixel is below all members
            that are nearly black.
        truth: The true items (N, *shape).
        level: The probability of the central interval; `interval_rank` takes the nearest that K members have.
        ordered: Whether neighbours are alike, as in time.

    Raises:
        InputError: If K is 1, the shapes do not fit, or a value is NaN or infinite.
    """
    _check_ensembles(samples)
    members, counts = samples.shape[1], rank_counts(samples, truth)
    rank, totals = interval_rank(members, level), counts.sum(1)
    total, values = float(totals.sum()), truth.numel()
    spread, error = squared_spread_and_error(samples, truth)
    ratio = uncertainty.ratio(spread, error, ordered) if bool(error.any()) else None
    return Calibration(
        conditions=len(truth),
        members=members,
        rank=rank,
        nominal=(members + 1 - 2 * rank) / (members + 1),
        coverage=_share(counts[:, rank : members + 1 - rank].sum(1), totals, ordered) if total else None,
        ranks=tuple(_share(column, totals, ordered) for column in counts.unbind(1)) if total else (),
        constant=1 - round(total) / values,
        spread=_root(uncertainty.mean(spread, ordered)),
        error=_root(uncertainty.mean(error, ordered)),
        ratio=None if ratio is None else _root(ratio),
    )


def _share(hits: Tensor, totals: Tensor, ordered: bool) -> Estimate:
    """The share of hits; values of one condition are not independent, so its error is that of the conditions."""
    estimate = uncertainty.ratio(hits, totals, ordered)
    value = min(1.0, estimate.value)
    return Estimate(value) if estimate.error is None else uncertainty.share(value, len(totals), estimate.error**2)


def _root(square: Estimate) -> Estimate:
    """The root of an estimate of 0 or more."""
    value = math.sqrt(square.value)
    if square.error is None or value == 0:
        return Estimate(value)
    error = square.error / (2 * value)
    return Estimate(value, error, max(0.0, value - NORMAL * error), value + NORMAL * error)


def _check_ensembles(samples: Tensor) -> None:
    if samples.ndim < 2 or samples.shape[1] < 2:
        raise InputError("calibration needs at least 2 samples of each condition")


def _ensembles(samples: Tensor) -> Iterator[Tensor]:
    """Blocks of ensembles in float64, (n, K, D)."""
    if samples.ndim < 2 or not samples.numel():
        raise InputError(f"ensembles are samples (N, K, *shape), at least one, not {tuple(samples.shape)}")
    for part in torch.split(samples, max(1, BLOCK_ELEMENTS // samples[0].numel())):
        x = part.double().flatten(2) if part.ndim > 2 else part.double().unsqueeze(2)
        if not bool(x.isfinite().all()):
            raise InputError("a sample is NaN or infinite, so it has no score: look at the samples")
        yield x


def _blocks(samples: Tensor, truth: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Blocks of ensembles (n, K, D) and of their true items (n, 1, D), in float64."""
    if (samples.shape[0], *samples.shape[2:]) != tuple(truth.shape):
        raise InputError(
            f"ensembles (N, K, *shape) of {tuple(samples.shape)} do not fit true items (N, *shape) of "
            f"{tuple(truth.shape)}"
        )
    first = 0
    for x in _ensembles(samples):
        y = truth[first : first + len(x)].double().reshape(len(x), 1, -1)
        if not bool(y.isfinite().all()):
            raise InputError("a true item has a value that is NaN or infinite: leave it out")
        yield x, y
        first += len(x)
