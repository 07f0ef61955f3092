"""Exact denoisers for data of known density, where E[x_0 | x_t] has a closed form.

If x_0 is a mixture of Gaussians N(m_k, s_k² I) with weights w_k, then x_t is the mixture of N(a m_k, a² s_k² + b²) with
the same weights, and given the component the mean of x_0 is linear in x_t. With an exact denoiser in place of a
network, the error of a sample is the sampler's alone.
"""

import torch
from torch import Tensor

from ancestral.errors import InputError
from ancestral.schedules import Schedule, Time, broadcast, check_floats
from ancestral.targets import X0, Prediction, exact_at_zero


class Gaussian:
    """The exact denoiser of x_0 ~ N(mean, std²) with independent elements; both broadcast against one image."""

    def __init__(self, schedule: Schedule, mean: Tensor | float, std: Tensor | float) -> None:
        self.schedule = schedule
        self.mean, self.std = _tensor(mean), _tensor(std)
        if bool((self.std < 0).any()):
            raise InputError("a standard deviation cannot be negative")

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **_: Tensor) -> Prediction:
        """E[x_0 | x_t] and E[ε | x_t], each (B, *); see `Denoiser.predict`."""
        scales = self.schedule.at(t)
        a, b = (broadcast(scale, x_t) for scale in scales)
        mean, variance = self.mean.to(x_t), self.std.to(x_t) ** 2
        gain = a * variance / (a**2 * variance + b**2)  # Cov(x_0, x_t) / Var(x_t)
        return X0.solve(x_t, mean + gain * (x_t - a * mean), *scales)


class Mixture:
    """The exact denoiser of x_0 ~ Σ_k w_k N(m_k, s_k² I): means (K, *), stds (K,), weights (K,) or equal ones."""

    def __init__(self, schedule: Schedule, means: Tensor, stds: Tensor, weights: Tensor | None = None) -> None:
        means, stds, count = _tensor(means), _tensor(stds), len(means)
        weights = torch.full((count,), 1.0, dtype=torch.float64) if weights is None else _tensor(weights)
        if stds.shape != (count,) or weights.shape != (count,) or bool((stds < 0).any()) or bool((weights < 0).any()):
            raise InputError(f"a mixture of {count} means needs {count} stds and {count} weights, none negative")
        if not count or not float(weights.sum()) > 0:
            raise InputError("a mixture needs a component with a weight above 0")
        self.schedule = schedule
        self.means, self.stds, self.weights = means, stds, weights / weights.sum()

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **_: Tensor) -> Prediction:
        """E[x_0 | x_t] and E[ε | x_t], each (B, *); see `Denoiser.predict`."""
        scales = self.schedule.at(t)
        x, means, variances = x_t.flatten(1), self.means.to(x_t).flatten(1), self.stds.to(x_t) ** 2
        a, b = (broadcast(scale, x) for scale in scales)
        share = self._joint_log_density(x_t, t).softmax(1).to(x)  # p(k | x_t), (B, K)
        gain = a * variances / (a**2 * variances + b**2)  # of each component, as for one Gaussian
        # Σ_k share_k (m_k + gain_k (x − a m_k)), with no tensor of size B × K × D
        x0 = (share * (1 - gain * a)) @ means + (share * gain).sum(1, keepdim=True) * x
        return X0.solve(x_t, x0.reshape(x_t.shape), *scales)

    def log_density(self, x_t: Tensor, t: Time) -> Tensor:
        """log p_t(x_t) of each image in nats, (B,). Its gradient is −ε/b, the score."""
        return self._joint_log_density(x_t, t).logsumexp(1).to(x_t)

    def _joint_log_density(self, x_t: Tensor, t: Time) -> Tensor:
        """log w_k + log N(x_t; a m_k, a² s_k² + b²): shape (B, K), in float64 where the device has it.

        ‖x − a m_k‖² is expanded, as B × K × D differences would not fit into memory. At little noise it is the small
        difference of large terms, which is up to 50 nats off in float32 for images of 784 elements.
        """
        check_floats(x_t)
        x = x_t.flatten(1).to(torch.float32 if x_t.device.type == "mps" else torch.float64)  # MPS has no float64
        a, b = (broadcast(scale, x) for scale in self.schedule.at(t))
        variance = a**2 * self.stds.to(x) ** 2 + b**2
        # in parts, since a float64 copy of all means could be gigabytes
        parts = (part.to(x) for part in torch.split(self.means.flatten(1), 4096))
        squares = (x**2).sum(1, keepdim=True)
        distance = torch.cat([squares - 2 * a * (x @ m.T) + a**2 * (m**2).sum(1) for m in parts], dim=1)
        return self.weights.to(x).log() - 0.5 * (distance / variance + x.shape[1] * (2 * torch.pi * variance).log())


class Empirical(Mixture):
    """The exact denoiser of a finite data set x0 of shape (N, *): what a network of unlimited capacity would learn."""

    def __init__(self, schedule: Schedule, x0: Tensor) -> None:
        super().__init__(schedule, x0, torch.zeros(len(x0), dtype=x0.dtype))


def _tensor(value: Tensor | float) -> Tensor:
    """A tensor as it is, and numbers in float64: PyTorch's own default would round 0.3 to float32."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
