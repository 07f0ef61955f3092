"""Exact denoisers for data of known density, where E[x_0 | x_t] has a closed form.

If x_0 is a mixture of Gaussians N(m_k, s_k² I) with weights w_k, then x_t is the mixture of N(a m_k, a² s_k² + b²) with
the same weights, and given the component the mean of x_0 is linear in x_t. With an exact denoiser in place of a
network, the error of a sample is the sampler's alone.

Given a measurement y = A x_0 + σ n, the density of x_0 is known as well: `given` of each oracle returns the exact
denoiser E[x_0 | x_t, y], with which every sampler draws from the posterior p(x_0 | y).

Estimates are differentiable, any number of times, in x_t, in times that are float tensors, in the parameters of the
density (means, deviations, weights) and, given a measurement, in y. `given` of a Gaussian and of a mixture is not
differentiable in a basis or an operator, and that of a Gaussian takes its deviations as constants.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor

from ancestral.base.device_tensors import highest_dtype, kept
from ancestral.base.errors import InputError
from ancestral.operators import Operator, check_measurement, matrix
from ancestral.schedules import Schedule, Time, broadcast, check_floats, per_item
from ancestral.targets import X0, Prediction, exact_at_zero


class Gaussian:
    """The exact denoiser of x_0 ~ N(mean, std²) with independent elements, or independent along other axes.

    Args:
        schedule: The forward process.
        mean: The mean, which broadcasts against items (B, *).
        std: The standard deviations, which broadcast against one item; with a basis (D,), of each axis.
        basis: The axes, the columns of an orthogonal matrix (D, D) for flat items; None is the elements themselves.
    """

    def __init__(
        self, schedule: Schedule, mean: Tensor | float, std: Tensor | float, basis: Tensor | None = None
    ) -> None:
        self.schedule = schedule
        self.mean, self.std, self.basis = _tensor(mean), _tensor(std), basis
        if bool((self.std < 0).any()):
            raise InputError("a standard deviation cannot be negative")

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **_: Tensor) -> Prediction:
        """E[x_0 | x_t] and E[ε | x_t], each (B, *); see `Denoiser.predict`."""
        scales = self.schedule.at(t)
        mean, variance = kept(self.mean, x_t), kept(self.std, x_t) ** 2
        difference = x_t - broadcast(scales[0], x_t) * mean
        if self.basis is not None:
            difference = difference.flatten(1) @ kept(self.basis, x_t)
        a, b = (broadcast(scale, difference) for scale in scales)
        gain = a * variance / (a**2 * variance + b**2)  # Cov(x_0, x_t) / Var(x_t)
        moved = gain * difference
        if self.basis is not None:
            moved = (moved @ kept(self.basis, x_t).T).reshape(x_t.shape)
        return X0.solve(x_t, mean + moved, *scales)

    def given(self, y: Tensor, operator: Operator, noise: float) -> "Gaussian":
        """Return the exact denoiser of x_0 given y = A x_0 + σ n, which is computed on the CPU.

        Args:
            y: One measurement (1, *), or one for each item of the batches that are denoised (B, *).
            operator: A.
            noise: σ, 0 or more.

        Raises:
            InputError: If the mean has not the shape of an item, or y is no such measurement.
        """
        own_mean, std = self.mean.to("cpu", torch.float64), self.std.detach().to("cpu", torch.float64)
        shape = tuple((own_mean + std).shape if self.basis is None else own_mean.shape[1:])
        if self.basis is None and shape[:1] == (1,) and y.ndim <= len(shape):
            shape = shape[1:]  # the mean has an axis for the batch, as y has
        if not shape:
            raise InputError("the shape of an item is not known: give the Gaussian its mean as a tensor of that shape")
        dimensions, dtype = math.prod(shape), torch.float64
        basis = torch.eye(dimensions, dtype=dtype) if self.basis is None else self.basis.detach().to("cpu", dtype)
        variance = std.expand(shape if self.basis is None else (dimensions,)).flatten() ** 2
        covariance = (basis * variance) @ basis.T
        A = matrix(operator, shape).detach()
        gain = (
            covariance
            @ A.T
            @ torch.linalg.pinv(A @ covariance @ A.T + noise**2 * torch.eye(len(A), dtype=dtype), hermitian=True)
        )
        mean = own_mean.expand(len(own_mean) if own_mean.ndim > len(shape) else 1, *shape)
        residual = _measurement(y, A, noise) - mean.flatten(1) @ A.T
        variance, basis = torch.linalg.eigh(covariance - gain @ A @ covariance)
        mean = mean + (residual @ gain.T).reshape(-1, *shape)
        return Gaussian(self.schedule, mean, variance.clamp(min=0).sqrt(), basis)


class Mixture:
    """The exact denoiser of x_0 ~ Σ_k w_k N(m_k, s_k² I): means (K, *), stds (K,), weights (K,) or equal ones."""

    def __init__(self, schedule: Schedule, means: Tensor, stds: Tensor, weights: Tensor | None = None) -> None:
        means, stds, count = _tensor(means), _tensor(stds), len(means)
        weights = torch.full((count,), 1.0, dtype=torch.float64) if weights is None else _tensor(weights)
        if stds.shape != (count,) or weights.shape != (count,) or bool((stds < 0).any()) or bool((weights < 0).any()):
            raise InputError(f"a mixture of {count} means needs {count} stds and {count} weights, none negative")
        if not count or not bool(weights.sum() > 0):
            raise InputError("a mixture needs a component with a weight above 0")
        self.schedule = schedule
        self.means, self.stds, self.weights = means, stds, weights / weights.sum()
        self.log_weights = self.weights.cpu().double().log()
        """Of each component, (K,); given measurements, for each item of a batch, (B, K)."""

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **_: Tensor) -> Prediction:
        """E[x_0 | x_t] and E[ε | x_t], each (B, *); see `Denoiser.predict`."""
        scales = self.schedule.at(t)
        x, means, variances = x_t.flatten(1), kept(self.means, x_t).flatten(1), kept(self.stds, x_t) ** 2
        a, b = (broadcast(scale, x) for scale in scales)
        share = self._joint_log_density(x_t, t).softmax(1).to(x)  # p(k | x_t), (B, K)
        gain = a * variances / (a**2 * variances + b**2)  # of each component, as for one Gaussian
        # Σ_k share_k (m_k + gain_k (x − a m_k)), with no tensor of size B × K × D
        x0 = (share * (1 - gain * a)) @ means + (share * gain).sum(1, keepdim=True) * x
        return X0.solve(x_t, x0.reshape(x_t.shape), *scales)

    def given(self, y: Tensor, operator: Operator, noise: float) -> "ConditionalMixture":
        """Return the exact denoiser of x_0 given y = A x_0 + σ n.

        Args:
            y: One measurement (1, *), or one for each item of the batches that are denoised (B, *).
            operator: A.
            noise: σ, 0 or more; above 0 if a component has no width.

        Raises:
            InputError: If y is no such measurement, or the noise cannot be used.
        """
        return ConditionalMixture(self, y, operator, noise)

    def log_density(self, x_t: Tensor, t: Time) -> Tensor:
        """log p_t(x_t) of each image in nats, (B,). Its gradient is −ε/b, the score."""
        return self._joint_log_density(x_t, t).logsumexp(1).to(x_t)

    def _joint_log_density(self, x_t: Tensor, t: Time) -> Tensor:
        """log w_k + log N(x_t; a m_k, a² s_k² + b²): shape (B, K), in float64 where the device has it.

        ‖x − a m_k‖² is expanded, as B × K × D differences would not fit into memory. At little noise it is the small
        difference of large terms, which is up to 50 nats off in float32 for images of 784 elements.
        """
        check_floats(x_t)
        x = x_t.flatten(1).to(highest_dtype(x_t.device))
        a, b = (broadcast(scale, x) for scale in self.schedule.at(t))
        variance = a**2 * kept(self.stds, x) ** 2 + b**2
        # in parts, since a float64 copy of all means could be gigabytes
        means = kept(self.means, x, self.means.dtype if x.dtype == torch.float64 else None)
        parts = (part.to(x) for part in torch.split(means.flatten(1), 4096))
        squares = (x**2).sum(1, keepdim=True)
        distance = torch.cat([squares - 2 * a * (x @ m.T) + a**2 * (m**2).sum(1) for m in parts], dim=1)
        return kept(self.log_weights, x) - 0.5 * (distance / variance + x.shape[1] * (2 * torch.pi * variance).log())


class Empirical(Mixture):
    """The exact denoiser of a finite data set x0 of shape (N, *): what a network of unlimited capacity would learn."""

    def __init__(self, schedule: Schedule, x0: Tensor) -> None:
        super().__init__(schedule, x0, torch.zeros(len(x0), dtype=x0.dtype))

    def given(self, y: Tensor, operator: Callable[[Tensor], Tensor] | Operator, noise: float) -> Self:  # type: ignore[override]
        """Return the exact denoiser of x_0 given y = A(x_0) + σ n: item n has weight N(y; A(x_n), σ²).

        Args:
            y: One measurement (1, *), or one for each item of the batches that are denoised (B, *).
            operator: A, or any function of items (N, *).
            noise: σ, above 0.

        Raises:
            InputError: If y is no such measurement, or the noise is not above 0.
        """
        check_measurement(y, noise)
        if not noise > 0:
            raise InputError(f"of a finite data set hardly an item fits y exactly: give noise above 0, not {noise}")
        apply = operator.apply if isinstance(operator, Operator) else operator
        fits = []
        for part in torch.split(self.means, 256):
            values = apply(part.to("cpu", torch.float64))
            if values.shape[1:] != y.shape[1:]:
                raise InputError(_wrong_measurement(y, values.shape[1:]))
            fits.append(torch.cdist(y.to(values).flatten(1), values.flatten(1)).square() / (-2 * noise**2))
        conditional = copy.copy(self)
        conditional.log_weights = (self.log_weights + torch.cat(fits, 1).cpu()).log_softmax(1)
        conditional.weights = conditional.log_weights.exp()
        return conditional


class ConditionalMixture:
    """The exact denoiser of a mixture's x_0 given y = A x_0 + σ n.

    With A = U S Vᵀ, x_t = a x_0 + b ε and y say two things of each axis of V: (Vᵀ x_t)_i and (Uᵀ y)_i. Together they
    are one measurement α x_0 + β ε with α²/β² = a²/b² + S²/σ², and of such a measurement each component has its mean
    and its likelihood, as without y. So a batch of measurements takes no more memory than one.

    Args:
        mixture: The mixture.
        y: One measurement (1, *), or one for each item (B, *).
        operator: A, whose matrix is decomposed: dimensions up to a few thousand.
        noise: σ.
    """

    def __init__(self, mixture: Mixture, y: Tensor, operator: Operator, noise: float) -> None:
        if noise == 0 and bool((mixture.stds == 0).any()):
            raise InputError("noise must be above 0 if a component of the mixture has no width")
        self.mixture, self.schedule, self.noise = mixture, mixture.schedule, noise
        A = matrix(operator, mixture.means.shape[1:]).detach()
        U, S, Vh = torch.linalg.svd(A)
        rank = int((len(Vh) * torch.finfo(S.dtype).eps * S.max() < S).sum())
        self.basis, self.singular = Vh.T, S[:rank]
        self.measured = _measurement(y, A, noise) @ U[:, :rank]
        self.means = mixture.means.flatten(1).to(Vh) @ Vh.T

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **_: Tensor) -> Prediction:
        """E[x_0 | x_t, y] and E[ε | x_t, y], each (B, *); see `Denoiser.predict`."""
        check_floats(x_t)
        scales, x = self.schedule.at(t), x_t.flatten(1).to(highest_dtype(x_t.device))
        basis = kept(self.basis, x)
        x = x @ basis
        if len(self.measured) not in (1, len(x)):
            raise InputError(f"{len(x)} items need one measurement or {len(x)}, not {len(self.measured)}")
        a, b = (per_item(torch.as_tensor(scale, dtype=x.dtype), x) for scale in scales)  # (1, 1), or (B, 1)
        parts = [slice(None)] if len(a) == 1 else [slice(row, row + 1) for row in range(len(x))]
        y = kept(self.measured, x).expand(len(x), -1)
        x0 = torch.cat([self._mean(x[part], y[part], a[part], b[part]) for part in parts])
        return X0.solve(x_t, (x0 @ basis.T).to(x_t).reshape(x_t.shape), *scales)

    def _mean(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """E[x_0 | x_t, y] of x_t (B, D) and y (B, rank), all along the axes of V, at one time."""
        S, sigma, rank = kept(self.singular, x), self.noise, y.shape[1]
        both, size = (a**2 * sigma**2 + b**2 * S**2).sqrt(), (sigma**2 + b**2).sqrt()
        # where A sees nothing, x_t alone is the measurement
        seen = torch.cat([(a * sigma**2 * x[:, :rank] + b**2 * S * y) / (both * size), x[:, rank:]], 1)
        signal = torch.cat([both / size, a.expand(1, x.shape[1] - rank)], 1)
        noise = torch.cat([(b * sigma / size).expand(1, rank), b.expand(1, x.shape[1] - rank)], 1)
        means, variances = kept(self.means, x), kept(self.mixture.stds, x)[:, None] ** 2
        precision = 1 / (signal**2 * variances + noise**2)  # (K, D)
        squares = seen**2 @ precision.T - 2 * seen @ (signal * means * precision).T
        squares = squares + (signal**2 * means**2 * precision).sum(1)
        share = (kept(self.mixture.log_weights, x) - 0.5 * (squares - precision.log().sum(1))).softmax(1)
        gain = signal * variances * precision
        x0: Tensor = share @ (means * (1 - gain * signal)) + (share @ gain) * seen
        return x0


def _tensor(value: Tensor | float) -> Tensor:
    """A tensor as it is, and numbers in float64: PyTorch's own default would round 0.3 to float32."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def _measurement(y: Tensor, A: Tensor, noise: float) -> Tensor:
    """The measurements flat, in float64. Raises InputError if they are not of the size of A's result."""
    check_measurement(y, noise)
    if y.ndim < 2 or y[0].numel() != len(A):
        raise InputError(_wrong_measurement(y, [len(A)]))
    return y.flatten(1).to(A)


def _wrong_measurement(y: Tensor, shape: Sequence[int]) -> str:
    return f"y has the shape {list(y.shape)}, and the operator makes {math.prod(shape)} numbers of an item: give (B, *)"
