"""Exercises of lesson 21: moments of a forecast, the climatology, a rollout, spread over error, errors by blocks."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ancestral.metrics import ensembles
from ancestral_course.exercise import Counted, Exercise, Function, WrongForm, values
from ancestral_course.variants import near, normal, whole

F64 = torch.float64

# -- the moments of a forecast ----------------------------------------------------------------------------------------


def _world(d: int, key: int, radius: float) -> tuple[Tensor, Tensor]:
    """A matrix A (d, d) whose largest singular value is the radius, and a covariance Q: no two of them commute."""
    A, root = normal(d, d, seed=key), normal(d, d, seed=key + 1)
    return A * (radius / torch.linalg.matrix_norm(A, 2)), root @ root.T / d


def _starts() -> list[tuple[Tensor, Tensor, Tensor, int]]:
    """States (N, d), worlds and lead times."""
    cases = [(5, 3, whole(3, 3, 5)), (2, 4, 1), (3, 2, whole(6, 5, 8))]
    return [(normal(n, d, seed=10 + d), *_world(d, 20 + 2 * d, 0.9), lead) for n, d, lead in cases]


def _power(A: Tensor, exponent: int) -> Tensor:
    result: Tensor = torch.linalg.matrix_power(A, exponent)
    return result


def _added(A: Tensor, Q: Tensor, exponents: Sequence[int]) -> Tensor:
    """The sum of Aʲ Q (Aʲ)ᵀ over some exponents j."""
    return sum((_power(A, j) @ Q @ _power(A, j).T for j in exponents), torch.zeros_like(Q))


def _moments(
    mean: Callable[[Tensor, Tensor, int], Tensor] = lambda x, A, lead: x @ _power(A, lead).T,
    covariance: Callable[[Tensor, Tensor, int], Tensor] = lambda A, Q, lead: _added(A, Q, range(lead)),
) -> Function:
    """The moments with another mean or another covariance."""
    return lambda x, A, Q, lead: (mean(x, A, lead), covariance(A, Q, lead))


def _stepped(x: Tensor, A: Tensor, Q: Tensor, lead: int) -> tuple[Tensor, Tensor]:
    covariance = torch.zeros_like(Q)
    for _ in range(lead):
        x, covariance = x @ A.T, A @ covariance @ A.T + Q
    return x, covariance


FORECAST_MOMENTS = Exercise(
    name="forecast_moments",
    task="The mean and the covariance of a linear stochastic system by lead time.",
    reference=_stepped,
    results=lambda function: [
        part for case in _starts() for part in values(function(*case), 2, "the means (N, d) and the covariance (d, d)")
    ],
    mistakes={
        "the states are rows here: A x of each is x @ A.T, not x @ A.": _moments(
            mean=lambda x, A, lead: x @ _power(A, lead)
        ),
        "the mean is that of one step for every lead time. Apply A once for each step.": _moments(
            mean=lambda x, A, lead: x @ A.T
        ),
        "the mean does not move: it is x at every lead time. Apply A once for each step.": _moments(
            mean=lambda x, A, lead: x
        ),
        "A**lead takes powers of the numbers; the mean needs the power of the matrix "
        "(torch.linalg.matrix_power).": _moments(mean=lambda x, A, lead: x @ (A**lead).T),
        "the covariance is Q at every lead time. Each step also carries the covariance that is there: A C Aᵀ + "
        "Q.": _moments(covariance=lambda A, Q, lead: Q),
        "the covariance is lead times Q, as of a random walk. The noise of earlier steps is multiplied by A in each "
        "later one.": _moments(covariance=lambda A, Q, lead: lead * Q),
        "this is the covariance of the first noise alone. Add the noise of all steps.": _moments(
            covariance=lambda A, Q, lead: _added(A, Q, [lead - 1])
        ),
        "the covariance carries the noise one step too far: the noise of the last step is Q itself.": _moments(
            covariance=lambda A, Q, lead: _added(A, Q, range(1, lead + 1))
        ),
        "the covariance has one step too many: at lead 1 it is Q.": _moments(
            covariance=lambda A, Q, lead: _added(A, Q, range(lead + 1))
        ),
        "the covariance of A x is A C Aᵀ, not Aᵀ C A.": _moments(
            covariance=lambda A, Q, lead: _added(A.T, Q, range(lead))
        ),
        "the covariance of A x is A C Aᵀ; the second factor Aᵀ is missing.": _moments(
            covariance=lambda A, Q, lead: sum((_power(A, j) @ Q for j in range(lead)), torch.zeros_like(Q))
        ),
    },
    atol=1e-9,
)

# -- the climatology --------------------------------------------------------------------------------------------------


def _worlds() -> list[tuple[Tensor, Tensor]]:
    """A world that forgets fast, and one that forgets so slowly that hundreds of steps are needed."""
    slow = torch.tensor([[0.98, 0.1], [0.0, 0.97]], dtype=F64)
    return [_world(3, 40, near(0.8, 0.1)), (slow, normal(2, 2, seed=44).abs() + 2 * torch.eye(2, dtype=F64))]


def _symmetric_worlds() -> list[tuple[Tensor, Tensor]]:
    return [(A, (Q + Q.T) / 2) for A, Q in _worlds()]


def _stationary(A: Tensor, Q: Tensor) -> Tensor:
    """Solve P = A P Aᵀ + Q, which is linear in the numbers of P."""
    ones = torch.eye(len(A) ** 2, dtype=F64)
    result: Tensor = torch.linalg.solve(ones - torch.kron(A, A), Q.flatten()).reshape(Q.shape)
    return result


def _inverse(A: Tensor) -> Tensor:
    result: Tensor = torch.linalg.inv(torch.eye(len(A), dtype=F64) - A)
    return result


CLIMATOLOGY = Exercise(
    name="climatology",
    task="The stationary covariance of a linear stochastic system.",
    reference=_stationary,
    results=lambda function: [function(*case) for case in _symmetric_worlds()],
    mistakes={
        "this is Q, the noise of one step. The noise of all earlier steps is still there, damped by A.": lambda A, Q: Q,
        "the last noise is missing: this is A P Aᵀ. Add Q.": lambda A, Q: A @ _stationary(A, Q) @ A.T,
        "this is (1 − A Aᵀ)⁻¹ Q, which is right only where A, Aᵀ and Q commute. Here they do not: solve "
        "P = A P Aᵀ + Q.": lambda A, Q: _inverse(A @ A.T) @ Q,
        "this is (1 − A)⁻¹ Q: a variance is multiplied by A from both sides.": lambda A, Q: _inverse(A) @ Q,
        "this is (1 − A)⁻¹ Q (1 − A)⁻ᵀ, n times the covariance of the mean of n states, for large n. Solve "
        "P = A P Aᵀ + Q.": lambda A, Q: _inverse(A) @ Q @ _inverse(A).T,
        "this is Q / (1 − A²) number by number, the formula of a single number. Solve it for matrices.": lambda A, Q: (
            Q / (1 - A**2)
        ),
        "the covariance of A x is A P Aᵀ, not Aᵀ P A.": lambda A, Q: _stationary(A.T.contiguous(), Q),
        **{
            f"after {count} steps it has not settled: the second world of the check forgets slowly. Take some thousand "
            "steps, or solve the equation.": lambda A, Q, count=count: _added(A, Q, range(count))
            for count in (10, 20, 50, 100)
        },
    },
    rtol=1e-6,
    atol=1e-8,
)

# -- a rollout --------------------------------------------------------------------------------------------------------


def _sample(previous: Tensor, z: Tensor) -> Tensor:
    """A sampler of the next states (rows, d), of the previous ones and of noise: not linear, so that orders matter."""
    if previous.shape != z.shape or previous.ndim != 2:
        raise WrongForm(
            f"sample takes previous states and noise of the same shape (rows, d); it got {tuple(previous.shape)} and "
            f"{tuple(z.shape)}. Each member has its own row, and x is repeated for them"
        )
    result: Tensor = (0.8 * previous).sin().roll(1, 1) + 0.5 * z
    return result


def _noises() -> list[tuple[Tensor, Tensor]]:
    """States (N, d) and noise (leads, m, N, d), with m and N different and equal."""
    shapes = [(whole(4, 3, 5), 3, 2, 2), (3, 2, 2, 3)]
    return [(normal(n, d, seed=50 + m), normal(leads, m, n, d, seed=60 + m)) for leads, m, n, d in shapes]


def _roll_out(sample: Function, x: Tensor, z: Tensor) -> Tensor:
    states, state = [], x.expand(z.shape[1:])
    for noise in z:
        state = sample(state.flatten(0, 1), noise.flatten(0, 1)).reshape(noise.shape)
        states.append(state)
    return torch.stack(states)


def _rolled(
    following: Callable[[Tensor, Tensor], Tensor] = lambda state, start: state,
    noises: Callable[[Tensor], Tensor] = lambda z: z,
    kept: Callable[[Tensor, Tensor], Tensor] = lambda states, start: states,
) -> Function:
    """A rollout with another next condition, other noise, or other states that are returned."""

    def function(sample: Function, x: Tensor, z: Tensor) -> Tensor:
        start = x.expand(z.shape[1:])
        states, state = [], start
        for noise in noises(z):
            made = sample(state.flatten(0, 1), noise.flatten(0, 1)).reshape(noise.shape)
            states.append(made)
            state = following(made, start)
        return kept(torch.stack(states), start)

    return function


def _mixed_rows(sample: Function, x: Tensor, z: Tensor) -> Tensor:
    states, state = [], x.repeat_interleave(z.shape[1], 0)
    for noise in z:
        state = sample(state, noise.flatten(0, 1))
        states.append(state.reshape(noise.shape))
    return torch.stack(states)


def _mixed_members(sample: Function, x: Tensor, z: Tensor) -> Tensor:
    leads, m, n, d = z.shape
    return _roll_out(sample, x, z).reshape(leads, n, m, d).transpose(1, 2)


def _needless(function: Function) -> str:
    """The hint for more calls of the sampler than there are lead times, or ""."""
    x, z = _noises()[0]
    counted = Counted(_sample)
    function(counted, x, z)
    if counted.evaluations <= len(z):
        return ""
    return (
        f"right, but it calls sample {counted.evaluations} times for {len(z)} lead times. Give the members of all "
        "starts to one call"
    )


ROLL_OUT = Exercise(
    name="roll_out",
    task="The states of m members by lead time, each sampled given the one before.",
    reference=_roll_out,
    results=lambda function: [function(_sample, *case) for case in _noises()],
    mistakes={
        "each lead time is sampled given the start. Give the state that was sampled last to the next call.": _rolled(
            following=lambda state, start: start
        ),
        "the mean of the members is the next condition. It is no state, and the members lose their spread: each member "
        "goes on from its own state.": _rolled(following=lambda state, start: state.mean(0).expand(state.shape)),
        "all members go on from the state of the first one. Each goes on from its own.": _rolled(
            following=lambda state, start: state[:1].expand(state.shape)
        ),
        "all lead times have the same noise, z[0]. Use z[h] for lead h + 1: the noise of each step is new.": _rolled(
            noises=lambda z: z[:1].expand(z.shape)
        ),
        "all members have the same noise, that of the first one, so they are all equal.": _rolled(
            noises=lambda z: z[:, :1].expand(z.shape)
        ),
        "all starts have the same noise, that of the first one. Each has its own.": _rolled(
            noises=lambda z: z[:, :, :1].expand(z.shape)
        ),
        "the first state that you return is the start, and the last lead time is missing.": _rolled(
            kept=lambda states, start: torch.cat([start[None], states[:-1]])
        ),
        "the noise of the last lead time comes first. Take z in its order.": _rolled(noises=lambda z: z.flip(0)),
        "the rows of x and of the noise do not belong together: noise (m, N, d), flattened, has all N starts of the "
        "first member first, so x is repeated as a whole (x.repeat(m, 1)).": _mixed_rows,
        "the states are m blocks of N rows: reshape to (m, N, d), not to (N, m, d).": _mixed_members,
    },
    atol=1e-9,
    demand=_needless,
)

# -- spread over error ------------------------------------------------------------------------------------------------


def _ensembles() -> list[tuple[Tensor, Tensor]]:
    """Members (m, N, d) and true states (N, d), of unequal spread from start to start."""
    shapes = [(whole(4, 3, 6), 6, 3), (2, 5, 2), (9, 4, 1)]
    return [
        (normal(m, n, d, seed=70 + m) * (1 + torch.arange(n, dtype=F64))[:, None], 3 * normal(n, d, seed=80 + m))
        for m, n, d in shapes
    ]


def _by_package(members: Tensor, x: Tensor) -> Tensor:
    spread, error = ensembles.squared_spread_and_error(members.transpose(0, 1), x)
    return (spread.mean() / error.mean()).sqrt()


def _ratio(
    factor: Callable[[int], float] = lambda m: math.sqrt((m + 1) / m),
    spread: Callable[[Tensor], Tensor] = lambda members: members.var(0).mean().sqrt(),
    error: Callable[[Tensor, Tensor], Tensor] = lambda members, x: (members.mean(0) - x).square().mean().sqrt(),
    of: Callable[[Tensor], Tensor] = lambda ratio: ratio,
) -> Function:
    """The ratio with another factor, spread or error, or another function of it."""
    return lambda members, x: of(factor(len(members)) * spread(members) / error(members, x))


SPREAD_OVER_ERROR = Exercise(
    name="spread_over_error",
    task="The spread of an ensemble over the error of its mean, 1 where the truth is one more member.",
    reference=_by_package,
    results=lambda function: [function(*case) for case in _ensembles()],
    mistakes={
        "the factor √((m + 1)/m) is missing: the mean of m members varies, too.": _ratio(lambda m: 1.0),
        "the factor is upside down: the error of the mean of few members is larger than the spread.": _ratio(
            lambda m: math.sqrt(m / (m + 1))
        ),
        "the factor (m + 1)/m belongs to the variance: take its root outside it.": _ratio(lambda m: (m + 1) / m),
        "the factor is (m + 1)/m below the root; yours is m/(m − 1), which the unbiased variance has already.": _ratio(
            lambda m: math.sqrt(m / (m - 1))
        ),
        "the variance of the members is divided by m. It is relative to their own mean: divide by m − 1.": _ratio(
            spread=lambda members: members.var(0, correction=0).mean().sqrt()
        ),
        "the spread is the root of the mean variance; yours is the mean of the standard deviations, which is "
        "smaller.": _ratio(spread=lambda members: members.std(0).mean()),
        "this is the error of single members. Take the error of their mean.": _ratio(
            error=lambda members, x: (members - x).square().mean().sqrt()
        ),
        "this is the mean absolute error. The spread is a root mean square, so take that of the error.": _ratio(
            error=lambda members, x: (members.mean(0) - x).abs().mean()
        ),
        "this is error over spread. Turn it around: an ensemble with too little spread has a ratio below 1.": _ratio(
            of=lambda ratio: 1 / ratio
        ),
        "this is the square of the ratio. Take the root.": _ratio(of=lambda ratio: ratio**2),
        "this is the mean of the ratios of single starts. Average variances and squared errors first.": lambda m, x: (
            (m.var(0).mean(1) * (1 + 1 / len(m)) / (m.mean(0) - x).square().mean(1)).sqrt().mean()
        ),
        "the variance is taken over the starts. Take it over the members, which come first in the shape.": _ratio(
            spread=lambda members: members.var(1).mean().sqrt()
        ),
        "the variance is taken over all numbers. Take that of the members of each value, and then the mean.": _ratio(
            spread=lambda members: members.var().sqrt()
        ),
    },
    atol=1e-9,
)

# -- errors by blocks of time -----------------------------------------------------------------------------------------


def _series() -> list[tuple[Tensor, int]]:
    """Scores (n,) and lengths of blocks, of which two do not divide the number of scores."""
    lengths = (whole(4, 3, 6), 5, 1)
    return [(normal(n, seed=90 + n).cumsum(0), length) for n, length in zip((26, 48, 9), lengths, strict=True)]


def _means(scores: Tensor, length: int) -> Tensor:
    count = len(scores) // length
    return scores[: count * length].reshape(count, length).mean(1)


def _block_error(scores: Tensor, length: int) -> Tensor:
    means = _means(scores, length)
    return means.std() / math.sqrt(len(means))


def _strided(scores: Tensor, length: int) -> Tensor:
    count = len(scores) // length
    means = scores[: count * length].reshape(length, count).mean(0)
    return means.std() / math.sqrt(count)


def _with_rest(scores: Tensor, length: int) -> Tensor:
    means = torch.stack([block.mean() for block in torch.split(scores, length)])
    return means.std() / math.sqrt(len(means))


BLOCK_ERROR = Exercise(
    name="block_error",
    task="The standard error of the mean of scores that follow one another in time.",
    reference=_block_error,
    results=lambda function: [function(*case) for case in _series()],
    mistakes={
        "this is the error of independent scores, for every length of the blocks. Take the means of the blocks in the "
        "place of single scores.": lambda scores, length: scores.std() / math.sqrt(len(scores)),
        "this is the standard deviation of the means of the blocks. The error of their mean is smaller by the root of "
        "their number.": lambda scores, length: _means(scores, length).std(),
        "the standard deviation of the means is divided by the root of the number of scores. Divide by the root of the "
        "number of blocks.": lambda scores, length: _means(scores, length).std() / math.sqrt(len(scores)),
        "the standard deviation of the means is divided by the root of the length of a block. Divide by the root of "
        "the number of blocks.": lambda scores, length: _means(scores, length).std() / math.sqrt(length),
        "the standard deviation is divided by the number of blocks. Divide by its root.": lambda scores, length: (
            _means(scores, length).std() / len(_means(scores, length))
        ),
        "the blocks are summed. Take the means of the blocks.": lambda scores, length: (
            length * _block_error(scores, length)
        ),
        "the variance of the means has to be divided by one less than the number of blocks: they are compared with "
        "their own mean.": lambda scores, length: (
            _means(scores, length).std(correction=0) / math.sqrt(len(_means(scores, length)))
        ),
        "this is the square of the error. Take the root.": lambda scores, length: _block_error(scores, length) ** 2,
        "a block of yours has scores that are far apart in time: reshape to (number of blocks, length), so that each "
        "row follows itself in time.": _strided,
        "the last block is shorter, and counts as much as the others. Leave it out.": _with_rest,
        "this is the standard deviation within the blocks. What the blocks have in common with one another is in the "
        "deviation of their means.": lambda scores, length: (
            scores[: len(scores) // length * length].reshape(-1, length).var(1, correction=0).mean().sqrt()
            / math.sqrt(len(scores))
        ),
    },
    atol=1e-9,
)

EXERCISES = (FORECAST_MOMENTS, CLIMATOLOGY, ROLL_OUT, SPREAD_OVER_ERROR, BLOCK_ERROR)
