"""A model as a denoiser of azula or deepinv, whose samplers and restorations then take it as their prior.

Neither package is imported before its function is called, and its class is made there.
"""

import importlib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ancestral.base.errors import InputError, pip_install
from ancestral.config.request import Request
from ancestral.guidance import Clipped
from ancestral.model import Model
from ancestral.model.editing.edited_samples import conditioning_of
from ancestral.model.guided_model import check_guidance
from ancestral.model.sample_conditioning import continuation


def azula(model: Model, clip: float | None = 1.0, **options: Any) -> Any:
    """Return a model as an `azula.denoise.Denoiser`, for azula's samplers and restorations.

        denoiser = ancestral.interop.azula(model, label="7", guidance=2.0)
        samples = azula.sample.DDIMSampler(denoiser, steps=50)(torch.randn(16, *model.spec.x_shape))

    azula's time is ours over T, and its schedule the model's: α_t is a_t, σ_t is b_t. x is as the model knows it, in
    [−1, 1]; `model.spec.decode` brings samples to the units of the data.

    Args:
        model: The model.
        clip: The limit to which x̂_0 is clipped, as samplers by their names clip it; None: it is not, nor is that of
            data without bounds.
        options: The settings of `Request.of` by which the model is conditioned and guided: label, given, guidance,
            avoid, guidance_interval, guidance_rescale, weak. Item i of a batch has value i, modulo their number. What
            is left out is absent, the label too. azula's own keyword arguments are further conditions, as the network
            takes them.

    Returns:
        A denoiser whose `forward(x_t, t)` takes x_t (B, *), floats, and t in [0, 1], one or (B,), and returns a
        `DiracPosterior` of x̂_0 in the dtype of x_t. It is differentiable in x_t.

    Raises:
        InputError: If azula is not installed, or the model has no such condition.
    """
    denoise, noise = _imported("azula.denoise"), _imported("azula.noise")
    schedule, estimate = model.denoiser.schedule, _Estimate(model, clip, options)

    class Schedule(noise.Schedule):  # type: ignore[misc, name-defined]  # azula has no types that mypy reads
        def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
            scales = schedule.at(t.double().flatten().cpu() * schedule.steps)
            a, b = (torch.as_tensor(scale).reshape(t.shape).to(t) for scale in scales)
            return a, b

    class Denoiser(denoise.Denoiser):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.schedule, self.estimate = Schedule(), estimate

        def forward(self, x_t: Tensor, t: Tensor, **condition: Tensor) -> Any:
            times = t.double().flatten().cpu() * schedule.steps
            return denoise.DiracPosterior(self.estimate(x_t, times, **condition))

    return Denoiser()


def deepinv(model: Model, clip: float | None = 1.0, **options: Any) -> Any:
    """Return a model as a `deepinv.models.Denoiser`, for deepinv's restorations, plug-and-play and samplers.

        denoiser = ancestral.interop.deepinv(model)
        x_hat = denoiser(x + 0.1 * torch.randn_like(x), 0.1)

    deepinv adds noise to x_0 without scaling it, and its items are in [0, 1]: so its x is (x_t/a_t + 1)/2, and its σ is
    b_t/(2 a_t). `PosteriorDiffusion` and the like take it with their default, `minus_one_one=True`.

    Args:
        model: The model.
        clip: As of `azula`.
        options: As of `azula`.

    Returns:
        A denoiser whose `forward(x, sigma)` takes x (B, *) and σ, one or one for each item, and returns x̂_0 in the
        dtype of x. It is differentiable in x. A σ above the model's largest one is taken for that.

    Raises:
        InputError: If deepinv is not installed, the model has no such condition, or it is one of latents.
    """
    if model.spec.autoencoder is not None:
        raise InputError("deepinv takes denoisers of items, and this model is one of latents: restore with the model")
    models = _imported("deepinv.models")
    schedule, estimate = model.denoiser.schedule, _Estimate(model, clip, options)

    class Denoiser(models.Denoiser):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.estimate = estimate

        def forward(self, x: Tensor, sigma: float | Tensor, **condition: Tensor) -> Tensor:
            levels = torch.as_tensor(sigma, dtype=torch.float64).detach().flatten().cpu() * 2
            t = torch.as_tensor(schedule.time_at(levels)).clamp(max=schedule.steps)
            a = torch.as_tensor(schedule.at(t)[0]).to(x).view(-1, *[1] * (x.ndim - 1))
            x0: Tensor = self.estimate(a * (2 * x - 1), t, **condition)
            return (x0 + 1) / 2

    return Denoiser()


class _Estimate(nn.Module):
    """x̂_0 of a model that is conditioned and guided, at times (1,) or (B,)."""

    def __init__(self, model: Model, clip: float | None, options: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.clip = model, clip if model.spec.codec.bounded else None
        self.net = model.denoiser if isinstance(model.denoiser, nn.Module) else None
        self.conditioning = conditioning_of(model, Request.of(**options))
        check_guidance(model, self.conditioning.guidance, self.conditioning.names(model.spec))

    def forward(self, x_t: Tensor, times: Tensor, **condition: Tensor) -> Tensor:
        """Estimate x_0, (B, *)."""
        estimates = continuation(self.model, range(len(x_t)), 0, self.conditioning)
        denoiser = estimates.denoiser if self.clip is None else Clipped(estimates.denoiser, self.clip)
        t = float(times) if len(times) == 1 else times
        return denoiser.predict(x_t, t, **{**estimates.condition, **condition}).x0


def _imported(name: str) -> ModuleType:
    """Import a module of another package. Raises InputError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise InputError(f"{package} is not installed: {pip_install()} {package}") from None
