"""A network, a schedule and a target: together they are a denoiser that can be trained.

Equation numbers are those of Ho, Jain and Abbeel, *Denoising diffusion probabilistic models* (2020).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ancestral import objectives
from ancestral.base.arguments import checked_class
from ancestral.base.device_tensors import kept
from ancestral.base.errors import InputError
from ancestral.base.transforms import certain, transformed
from ancestral.gaussian import DiagonalGaussian
from ancestral.objectives import ForwardPass, Objective
from ancestral.schedules import Schedule, Time, broadcast, check_count
from ancestral.targets import EPS, Prediction, Target, exact_at_zero, unscaled


@checked_class
class Diffusion(nn.Module):
    """A denoiser made of a network.

    The network is called as `net(x, index, **condition)` with x (B, *) and index = t − 1 (B,), int64 for integer times
    and float32 for others (float64 with x in float64), and answers with the shape of x. What it is given and what it
    answers are scaled to order 1; see `Target.scales`. It computes in the dtype of its first parameter, and everything
    else in that of x. Methods are differentiable in samples, in noise, in times that are float tensors and in the
    parameters of the network, as many times as the network is.

    Args:
        net: The network.
        schedule: The forward process.
        target: What the network predicts.
        learned_variance: Whether the network has twice as many output channels: the target, and where the reverse
            variance lies between β̃ (−1) and β (1).
        present: Which values of an item are there, bool (C, *); all others are 0 in all items. None: all are there.

    Raises:
        InputError: For a learned variance on a schedule of 1 step.
    """

    def __init__(
        self,
        net: nn.Module,
        schedule: Schedule,
        target: Target = EPS,
        learned_variance: bool = False,
        present: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.net, self.schedule, self.target, self.learned_variance = net, schedule, target, learned_variance
        self.present = present
        self._last = _LastDraw()
        if learned_variance and schedule.steps < 2:
            raise InputError("a learned variance needs a schedule of at least 2 steps: it lies between β̃ and β")

    def output(self, x_t: Tensor, t: Time, **condition: Tensor) -> Tensor:
        """Evaluate the network at times t in (0, T]: its scaled output, in the dtype of x_t (B, *).

        Raises:
            InputError: If t is not a time in (0, T], or x_t is not of floats.
        """
        t = self.schedule.time(t)
        if isinstance(t, Tensor):
            check_count(t, x_t)
        if certain((t <= 0).any()) if isinstance(t, Tensor) else t <= 0:
            raise InputError("a network takes times above 0; at t = 0 there is no noise to predict")
        scale_in, scale_out = (broadcast(scale, x_t) for scale in self.target.scales(self.schedule, t))
        times = torch.as_tensor(t, dtype=None if isinstance(t, Tensor | int) else torch.float64).expand(len(x_t))
        index = times - 1  # the only place where t becomes the index t − 1
        if index.is_floating_point():
            index = index.to(x_t.dtype if x_t.dtype == torch.float64 else torch.float32)
        index = index.to(x_t.device, non_blocking=True)
        dtype = next((weight.dtype for weight in self.net.parameters()), x_t.dtype)
        output = self.net((scale_in * x_t).to(dtype), index, **condition)
        if not isinstance(output, Tensor):
            kind = type(output).__name__
            element = ".sample" if hasattr(output, "sample") else "[0]" if isinstance(output, Sequence) else ""
            raise InputError(
                f"the network returned a {kind}, not a tensor: pass a module whose forward returns the tensor"
                + (f", net(x, index){element}" if element else "")
            )
        output = output.to(x_t.dtype)
        if self.learned_variance and self.target.output_scale is not unscaled:
            answer, *variance = output.chunk(2, dim=1)  # the scale is that of the target, not of the variance fraction
            return torch.cat([scale_out * answer, *variance], dim=1)
        return scale_out * output

    @property
    def device(self) -> torch.device:
        """The device of the network's weights; the CPU for a network without any."""
        return next((parameter.device for parameter in self.net.parameters()), torch.device("cpu"))

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Tensor) -> Prediction:
        """Estimate x_0 and ε.

        Args:
            x_t: Noisy samples, floats (B, *).
            t: Their time in [0, T], or times (B,).
            condition: What the network is conditioned on, for example `labels`.

        Returns:
            x̂_0 and ε̂, each (B, *), and the variance fraction where the network learned it. At t = 0 they are x_t and 0.

        Raises:
            InputError: If t is not a time in [0, T], x_t is not of floats, or the output has the wrong shape.
        """
        answer, variance_fraction = self._split(self.output(x_t, t, **condition), x_t)
        x0, eps = self.target.solve(x_t, answer, *self.schedule.at(t))
        if self.present is not None:
            there, b = kept(self.present, x_t, torch.bool), broadcast(self.schedule.at(t)[1], x_t)
            x0, eps = x0.where(there, 0.0), eps.where(there, x_t / b)
        return Prediction(x0, eps, variance_fraction)

    def _split(self, output: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The estimate of the target, and the variance fraction where it is learned."""
        answer, *variance = output.chunk(2, dim=1) if self.learned_variance else [output]
        if answer.shape != x.shape or (self.learned_variance and output.shape[1] != 2 * x.shape[1]):
            raise InputError(
                f"the network's output has the shape {list(output.shape)}, and x {list(x.shape)}; they must be equal, "
                "except that with learned_variance the output has twice the channels"
            )
        return answer, (variance[0] + 1) / 2 if variance else None

    def add_noise(self, x0: Tensor, t: Time, eps: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0), eq. (4), of shape (B, *)."""
        return self.schedule.add_noise(x0, t, eps)

    def posterior(self, x0: Tensor, x_t: Tensor, t: Time, s: Time | None = None) -> DiagonalGaussian:
        """q(x_s | x_t, x_0), eqs. (6) and (7); s is t − 1 by default."""
        return self.schedule.posterior(x0, x_t, t, t - 1 if s is None else s)

    def mean(self, x_t: Tensor, t: Time, **condition: Tensor) -> Tensor:
        """μ_θ(x_t, t) as the paper writes it, of shape (B, *).

        `reverse.transition` computes the same mean from x̂_0, which also allows clipping and a_t = 0.
        """
        (a, b), (a_s, _) = self.schedule.at(t), self.schedule.at(t - 1)
        root_alpha, beta_over_noise = a / a_s, self.schedule.forward_variance(t, t - 1) / b
        eps = self.predict(x_t, t, **condition).eps
        return (x_t - broadcast(beta_over_noise, x_t) * eps) / broadcast(root_alpha, x_t)  # (11)

    def forward_pass(self, x0: Tensor, t: Time, eps: Tensor, **condition: Tensor) -> ForwardPass:
        """Evaluate the network on x_t made of clean samples x0 and noise eps, each (B, *), for an objective."""
        x_t = self.add_noise(x0, t, eps)
        answer, variance_fraction = self._split(self.output(x_t, t, **condition), x_t)
        return ForwardPass(self, x0, eps, t, x_t, answer, variance_fraction, condition)

    def errors(self, x0: Tensor, t: Time, eps: Tensor, **condition: Tensor) -> Tensor:
        """Loss of each sample, (B,), at given times t and with given noise eps: L_simple, or L_hybrid with a learned
        variance.
        """
        return self._objective().errors(self.forward_pass(x0, t, eps, **condition))

    def losses(
        self, x0: Tensor, *, step: int, objective: Objective | None = None, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of each sample, at a random time t and with random noise ε; see `Objective.losses`.

        Args:
            x0: Clean samples in [−1, 1], (B, *).
            step: The training step. t and ε are functions of (seed, step, index): the same step draws the same numbers
                again, so a training loop counts it up.
            objective: What to minimise: L_simple by default, or L_hybrid with a learned variance.
            options: The seed of the run (0), the samples' indices (a whole number for each, by default
                `objectives.positions`, which differ on the processes of a process group), and what the network is
                conditioned on. Micro-batches, whose gradients are accumulated in one step, need `indices`.

        Returns:
            The times t, int64 (B,) on the CPU (float64 where they are drawn continuously), and the losses, (B,), whose
            mean is the loss.

        Raises:
            InputError: If without `indices` the step draws the same numbers for other samples than in the call before,
                in training mode and with gradients; or on a replica of `torch.nn.DataParallel`.
        """
        default, seed = options.get("indices") is None, options.get("seed", 0)
        if default and getattr(self, "_is_replica", False):  # PyTorch's mark
            raise InputError("DataParallel would draw the same t and ε on each GPU: use DistributedDataParallel")
        checks_repetition = default and self.training and torch.is_grad_enabled()
        if checks_repetition:
            self._last.check(x0, step, seed)
        times_and_losses = (objective or self._objective()).losses(self, x0, step=step, **options)
        if checks_repetition:  # only now: a call that failed may be repeated
            self._last.keep(x0, step, seed)
        return times_and_losses

    def forward(self, x0: Tensor, *, step: int, **options: Any) -> Tensor:
        """Compute `loss`, so that wrappers of a module (DistributedDataParallel, FSDP, Accelerate's `prepare`) work."""
        return self.loss(x0, step=step, **options)

    def loss(self, x0: Tensor, *, step: int, **options: Any) -> Tensor:
        """Compute the mean of `losses`, a scalar; the options are those of `losses`.

        Raises:
            InputError: If there are no samples, or they are not floats.
        """
        if not len(x0):
            raise InputError("the loss of no images is not defined: x0 needs at least one")
        return self.losses(x0, step=step, **options)[1].mean()

    def _objective(self) -> Objective:
        return objectives.build(self.schedule, self.target, learned_variance=self.learned_variance)


class _LastDraw:
    """The samples and the step of the last loss in training, by which a forgotten `step` or `indices` is noticed.

    No number depends on it, so it is no state of the denoiser: copies and files begin with an empty one.
    """

    def __init__(self) -> None:
        self.key: tuple[int, int] | None = None
        self.x0 = torch.empty(0)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _LastDraw, ()

    def check(self, x0: Tensor, step: int, seed: int) -> None:
        """Raise InputError if the last numbers would be drawn again for other samples."""
        if torch.compiler.is_compiling() or transformed():  # no values to compare
            return
        x0, last = x0.detach(), self.x0
        alike = (x0.shape, x0.dtype, x0.device) == (last.shape, last.dtype, last.device)
        if self.key == (step, seed) and not (alike and torch.equal(x0, last)):
            raise InputError(
                f"t and ε of step {step} were drawn already, for other samples: count step up with every batch; for "
                "micro-batches of one step, or to repeat the numbers on purpose, give indices, one for each sample"
            )

    def keep(self, x0: Tensor, step: int, seed: int) -> None:
        """Keep what a loss was drawn for."""
        if not torch.compiler.is_compiling() and not transformed():
            self.key, self.x0 = (step, seed), x0.detach()
