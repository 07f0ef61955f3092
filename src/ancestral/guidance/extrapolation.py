"""Extrapolation from one estimate through another, and the deviation that it makes too large."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.gaussian import Scalar
from ancestral.schedules import broadcast
from ancestral.targets import X0, Prediction


def guided(estimates: Sequence[Tensor], scales: Sequence[float]) -> Tensor:
    """Extrapolate from the last estimate through those before it, each of which has more conditions than the next.

    Args:
        estimates: Estimates of one quantity, (B, *) each.
        scales: The scale of each difference of neighbours.

    Returns:
        The guided estimate, (B, *).
    """
    value = estimates[-1]
    for (more, fewer), scale in reversed([*zip(pairwise(estimates), scales, strict=True)]):
        # CFG (6) with scale = 1 + w; InstructPix2Pix (3) for two differences; autoguidance (3)
        value = value + scale * (more - fewer)
    return value


def checked_share(rescale: float) -> float:
    """Return the share. Raises InputError if it is none."""
    if not 0 <= rescale <= 1:
        raise InputError(f"rescale is a share from 0 to 1, not {rescale}")
    return rescale


def rescaled(prediction: Prediction, plain: Tensor, share: float, x_t: Tensor, a: Scalar, b: Scalar) -> Prediction:
    """Bring the standard deviation of each x̂_0 back to that of the plain one, in a share, with the ε̂ that then agrees.

    An estimate of standard deviation 0 stays as it is.
    """
    if not share:
        return prediction
    std_plain, std_guided = (x0.flatten(1).std(1, correction=0) for x0 in (plain, prediction.x0))
    ratio = (std_plain / std_guided).where(std_guided > 0, 1.0)  # rescaled guidance (15)
    factor = share * ratio + 1 - share  # rescaled guidance (16)
    x0, eps = X0.solve(x_t, broadcast(factor, x_t) * prediction.x0, a, b)
    return Prediction(x0, eps, prediction.variance_fraction)
