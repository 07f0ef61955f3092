"""Checks of what a student builds: training loops, samplers and blocks of a network, judged by what they do.

A formula has one right result. A training loop or a sampler has none: it is judged by the distance of its samples to
the data, in units of the floor, the distance of the data to themselves. What is wrong is found by putting a right part
in the place of each other one: a sampler gets the exact denoiser, and a trained network the right sampler.
"""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ancestral import Diffusion, data, oracle, samplers, schedules
from ancestral.schedules import Schedule
from ancestral_course.exercise import STOPS, Function, Verdict, no_function, stopped
from ancestral_course.time_limit import time_limit
from ancestral_course.variants import seed_of
from ancestral_course.watching import STEPS, Watched, noise_complaint, uses_few_points

Network = Callable[[Tensor, Any], Tensor]
"""A network of points (B, 2), or of digits (B, 1, 8, 8), and a time, one or (B,)."""
SECONDS = 20.0
"""Time of the processor in which the code of a student is trained: on a busy machine it takes longer on the clock."""
MOST_STEPS = 3000
LATEST = 5
"""How often `SECONDS` a loop may take, whose first steps say that it takes as long as this once."""
SAMPLING_SECONDS = 120.0
LARGEST_RATE, SMALLEST_RATE = 0.03, 1e-5
"""Learning rates out of which training is not expected to succeed."""
LEAST_CHANGE = 1e-4
"""Share of the right change with the time that the answers of a network need."""
LEAST_STEPS = 250
"""Number of steps on a slow machine, however long they take."""
COUNT = 2000
"""Number of samples that are judged."""
BATCH = {"points": 500, "digits": 250}
"""Number of samples whose distance to the held-out data is measured at once, and averaged over batches."""
WIDTH = 0.02
"""Standard deviation of the points around the moons."""


@cache
def points() -> Tensor:
    """Return the training points, two moons, float32 (10000, 2)."""
    return data.load("moons").items


@cache
def digits() -> Tensor:
    """Return the training digits, in [−1, 1], float32 (4000, 1, 8, 8): those of lesson 1, averaged over 3×3 pixels."""
    return _all_digits()[:4000]


def mnist_data() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return 5,000 MNIST digits, 0 to 255, uint8 (5000, 784), and their labels, int64 (5000,), sorted by class."""
    dataset = data.load("digits")
    assert dataset.labels is not None
    return dataset.items.flatten(1).numpy(), dataset.labels.numpy()


@cache
def _all_digits() -> Tensor:
    images = data.load("digits").items[:, :, 2:-2, 2:-2].float() / 127.5 - 1
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return nn.functional.avg_pool2d(images, 3)[order]


@cache
def _held_out(kind: str) -> Tensor:
    return data.load("moons", split="test").items if kind == "points" else _all_digits()[4000:]


@cache
def centres() -> Tensor:
    """Return 64 centres along each moon, (128, 2): the data are normal around them."""
    angle = (torch.arange(64) + 0.5) * math.pi / 64
    half_circle = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], dim=1) * 0.6
    return torch.cat([half_circle, -half_circle])


@cache
def _rays(size: int) -> Tensor:
    """Directions (size, count): evenly spaced in the plane, drawn in more dimensions."""
    if size == 2:
        angle = torch.arange(32) * math.pi / 32
        return torch.stack([angle.cos(), angle.sin()])
    return nn.functional.normalize(torch.randn(size, 100, generator=torch.Generator().manual_seed(0)), dim=0)


def sliced_distance(one: Tensor, other: Tensor) -> float:
    """Compute the sliced Wasserstein-2 distance of two sets, over 32 directions in the plane and 100 of images.

    Args:
        one: Items (n, *).
        other: Items (m, *), of which n divides m.
    """
    first, second = (
        (items.detach().float().flatten(1) @ _rays(items[0].numel())).sort(0).values for items in (one, other)
    )
    return (first.repeat_interleave(len(second) // len(first), 0) - second).square().mean().sqrt().item()


def _distance(samples: Tensor, kind: str) -> float:
    """The mean distance of batches of samples to the held-out data."""
    distances = [sliced_distance(batch, _held_out(kind)) for batch in torch.split(samples, BATCH[kind])]
    return sum(distances) / len(distances)


@cache
def _floor(kind: str) -> float:
    """The mean distance of batches of training data to the held-out ones."""
    return _distance(points() if kind == "points" else digits(), kind)


def in_floors(samples: Tensor) -> float:
    """Return the distance of samples to the data, in units of the floor: 1 is as near as the data themselves.

    Args:
        samples: Points (n, 2), of which 500 divides n, or digits (n, 1, 8, 8), of which 250 divides n.
    """
    kind = "points" if samples.ndim == 2 else "digits"
    return _distance(samples, kind) / _floor(kind)


def exact(schedule: Schedule) -> oracle.Mixture:
    """Return the exact denoiser of the moons."""
    return oracle.Mixture(schedule, centres(), torch.full((len(centres()),), WIDTH))


def per_point(t: Any, like: Tensor) -> Tensor:
    """Return a time, one or (B,) or (B, 1), as (B,)."""
    return torch.as_tensor(t).reshape(-1).expand(len(like))


def probe(x: Tensor, t: Any) -> Tensor:
    """Answer as a network would, for the check of a formula: it depends on each number of x, and on the time."""
    time = per_point(t, x).to(x)[:, None]  # of hundreds of steps, or from 0 to 1
    return 0.3 * x.flip(1) + torch.sin(2 * x) + 0.7 * torch.cos(0.05 * time) + 0.4 * torch.sin(2 * time)


def _off(found: Tensor, right: Tensor) -> float:
    """The squared error of answers relative to that of the answer 0."""
    return ((found - right) ** 2).mean().item() / max((right**2).mean().item(), 1e-12)


@dataclass(frozen=True)
class Training:
    """A training loop to write: a function of points (N, 2) and a number of steps, which returns a trained network.

    Args:
        name: The name of the function.
        task: What it does.
        sampler: The right sampler: samples (n, 2) of a network.
        answer: What the ideal network answers at points (B, 2) and times (B,).
        times: Times (B,) from a share 0..1 (B,): 0 is no noise.
        noisy: x_t (B, 2) of clean points, times and noise.
        others: What ideal networks of other targets answer, by the name of the target.
        limit: Largest distance that passes, in floors.
    """

    name: str
    task: str
    sampler: Callable[[Network, int], Tensor]
    answer: Network
    times: Callable[[Tensor], Tensor]
    noisy: Callable[[Tensor, Tensor, Tensor], Tensor]
    others: Mapping[str, Network] = field(default_factory=dict)
    limit: float = 8.0

    def judge(self, function: Function) -> Verdict:
        """Train for `SECONDS`, sample by the right sampler, and say what is wrong if the samples are far off."""
        if not callable(function):
            return no_function(self.name, function)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what they say is said of the result
                return self._trained(function)
        except STOPS as error:
            return stopped(self.name, error)

    def _trained(self, function: Function) -> Verdict:
        torch.manual_seed(0)
        before, data = torch.get_rng_state(), points().clone()
        with time_limit():
            early = function(data, 1)
        if early is None or early is ...:
            written = not torch.equal(torch.get_rng_state(), before)  # it drew weights or noise
            text = "return the network" if written else f"not written yet (the function returns {early})"
            return Verdict(self.name, False if written else None, text)
        if not callable(early):
            return Verdict(self.name, False, f"return the network, not {type(early).__name__}")
        if not torch.equal(data, points()):
            return Verdict(self.name, False, "the argument points was changed in place: its caller needs it again")
        began = time.thread_time()
        with Watched() as watched, time_limit():
            tried = function(data, STEPS)
        seconds_of_step = max((time.thread_time() - began) / STEPS, 1e-5)
        complaint = watched.complaint(tried, self.times(torch.tensor([0.0, 1.0]))) or self._noise_complaint(function)
        if complaint:
            return Verdict(self.name, False, complaint)
        steps = max(LEAST_STEPS, min(MOST_STEPS, int(SECONDS / seconds_of_step)))
        torch.manual_seed(seed_of(0))
        began = time.perf_counter()
        with time_limit(LATEST * SECONDS, f"is the number of steps the one that it gets, here {steps:,}?"):
            network = function(data, steps)
        run = _Run(early, network, f"{steps:,} steps in {time.perf_counter() - began:.0f} s", watched.rates)
        with torch.no_grad():
            distance, text = self._judged(run)
        if distance <= self.limit and not text:
            with time_limit(LATEST * SECONDS):
                text = self._points_complaint(function, steps)
        if distance <= self.limit and not text:
            return Verdict(
                self.name, True, f"right: after {run.done} the samples are at {distance:.1f} times the floor"
            )
        return Verdict(self.name, False, f"{text} (after {run.done}, {distance:.1f} floors)")

    def _noise_complaint(self, function: Function) -> str:
        """What is wrong with the noise that a loop draws, or "": where all points are 0, x_t shows it."""
        try:
            with Watched() as watched, time_limit():
                x, times = watched.of(function(torch.zeros_like(points()), STEPS))
            ones = [self.noisy(0 * one, t, torch.ones_like(one)) for one, t in zip(x, times, strict=True)]
        except STOPS:  # points that are all 0 cannot be standardised, for one
            return ""
        return noise_complaint(x, ones)

    def _judged(self, run: "_Run") -> tuple[float, str]:
        """The distance of the samples, and what is wrong with the network, or ""."""
        if isinstance(run.network, nn.Module):
            run.network.eval()
        torch.manual_seed(seed_of(1))
        samples = self.sampler(run.network, COUNT)
        distance = in_floors(samples) if bool(samples.isfinite().all()) else math.inf
        share, t, x = self._noisy_points()
        if distance <= self.limit:
            return distance, self._time_complaint(run.network, x, t)
        return distance, (
            self._broken(run, x, t) or self._other_target(run.network, x, t) or _other_scale(samples, self.limit)
            or self._partly_right(run, x, t, share)
        )  # fmt: skip

    def _noisy_points(self) -> tuple[Tensor, Tensor, Tensor]:
        """Shares of noise, times, and points with noise of these times."""
        generator = torch.Generator().manual_seed(2)
        share = torch.rand(COUNT, generator=generator)
        eps = torch.randn(COUNT, 2, generator=generator)
        t = self.times(share)
        return share, t, self.noisy(points()[:COUNT], t, eps)

    def _time_complaint(self, network: Network, x: Tensor, t: Tensor) -> str:
        """What to say of a network whose answers do not change with the time as they should, or ""."""
        other = t.roll(1)
        change = (network(x, other) - network(x, t)).square().mean()
        if change >= LEAST_CHANGE * (self.answer(x, other) - self.answer(x, t)).square().mean():
            return ""
        much = "hardly change with the time" if change > 0 else "are the same at every time"
        return f"the answers of the network {much}: does it read t?"

    def _points_complaint(self, function: Function, steps: int) -> str:
        """What to say of a loop that sees few of the points, or ""."""
        _, t, x = self._noisy_points()
        if not uses_few_points(function, points(), steps, lambda network: network(x[:16], t[:16])):
            return ""
        return (
            f"training sees few of the {len(points()):,} points: some of them may be NaN, and nothing changes. "
            "Draw others in each step"
        )

    def _broken(self, run: "_Run", x: Tensor, t: Tensor) -> str:
        """What is wrong with a network that training did not reach, or destroyed, or ""."""
        found, right = run.network(x, t), self.answer(x, t)
        rate = max(run.rates, default=0.0)
        large = f"the learning rate is {rate:g}: take about 1e-3" if rate > LARGEST_RATE else ""
        if not bool(found.isfinite().all()):
            text = "the answers are not finite: training diverged"
            return f"{text}. {large.capitalize() or 'Take a smaller learning rate, as 1e-3 for Adam'}"
        if found.shape != right.shape:
            return f"the network answers with the shape {tuple(found.shape)}, not {tuple(right.shape)}"
        if isinstance(run.network, nn.Module) and not any(True for _ in run.network.parameters()):
            return "the network has no parameters to train: layers in a Python list are not found, use nn.ModuleList"
        if _off(found, run.early(x, t)) < 1e-6:
            return "the weights do not change: does the optimiser get network.parameters(), and is step() called?"
        if 0 < rate < SMALLEST_RATE:
            return f"the weights hardly change: the learning rate is {rate:g}. Take about 1e-3"
        if large:
            return large
        if _off(found, right) > 20:
            return "training diverged: is the learning rate small, and the target what the network can answer?"
        return self._time_complaint(run.network, x, t)

    def _other_target(self, network: Network, x: Tensor, t: Tensor) -> str:
        """What to say of a network that learned something else, or ""."""
        found, right = network(x, t), self.answer(x, t)
        if _off(-found, right) < 0.3 and _off(found, right) > 1:
            return "the network learned the negative of its target: look at the sign in the loss, and in the step"
        errors = {name: _off(found, other(x, t)) for name, other in self.others.items()}
        name = min(errors, key=lambda one: errors[one], default="")
        if name and errors[name] < min(0.3, 0.5 * _off(found, right)):
            return f"the network learned {name}: look at the target in the loss"
        return ""

    def _partly_right(self, run: "_Run", x: Tensor, t: Tensor, share: Tensor) -> str:
        """At which levels of noise the network is right; else how large its error is."""
        found, right = run.network(x, t), self.answer(x, t)
        errors = [
            _off(found[part], right[part])
            for part in (share < 1 / 3, (share >= 1 / 3) & (share < 2 / 3), share >= 2 / 3)
        ]
        names = ("little noise", "middle noise", "much noise")
        limits = (0.5, 0.3, 0.1)  # more noise is learned sooner
        good = [name for name, error, limit in zip(names, errors, limits, strict=True) if error < limit]
        bad = [name for name in names if name not in good]
        if good and bad:
            return (
                f"the network is right at {' and '.join(good)}, not at {' and '.join(bad)}: are all times drawn, "
                "another one for each point?"
            )
        total = _off(found, right)
        if total > 0.9:
            return (
                f"the network has learned nothing (an error of {total:.2f}, where 1 is that of the answer 0): is the "
                "gradient set to 0 before each backward pass, and is the noise drawn again in each step?"
            )
        return (
            f"the network learns, and too slowly (an error of {total:.2f}, where 1 is that of the answer 0): take a "
            "wider one, a batch of 512, and a learning rate that falls to 0"
        )


@dataclass(frozen=True)
class _Run:
    """A training run: the network after one step and at the end, what was done, and the first learning rates."""

    early: Network
    network: Network
    done: str
    rates: Sequence[float]


def _other_scale(samples: Tensor, limit: float) -> str:
    """What to say of samples that are the data on another scale, or ""."""
    deviation, right = samples.std(0), points().std(0)
    scaled = (samples - samples.mean(0)) / deviation * right + points().mean(0)
    if not bool(scaled.isfinite().all()) or in_floors(scaled) > limit:
        return ""
    one, other = (" and ".join(f"{value:.2f}" for value in values.tolist()) for values in (deviation, right))
    return (
        f"the samples are the data on another scale: their deviations are {one}, those of the data {other}. Train on "
        "the points as they are, not standardised"
    )


@dataclass(frozen=True)
class Sampling:
    """A sampler to write: a function of a network and a number n, which returns samples (n, 2).

    Args:
        name: The name of the function.
        task: What it does.
        answer: What the ideal network answers: the sampler is judged with it.
        first: See below.
        last: See below.
        mistakes: Wrong samplers by the hint that names what is wrong. The one whose samples are nearest is the answer.
        limit: Largest distance that passes, in floors.
    """

    name: str
    task: str
    answer: Network
    first: tuple[float, float]
    """The time at which the network is evaluated first, and the deviation of the points then."""
    last: float
    """The time at the end, where there is hardly any noise."""
    mistakes: Mapping[str, Callable[[Network, int], Tensor]] = field(default_factory=dict)
    limit: float = 2.5

    def judge(self, function: Function) -> Verdict:
        """Sample with the exact denoiser in the place of the network."""
        if not callable(function):
            return no_function(self.name, function)
        network = _Answers(self.answer)
        try:
            torch.manual_seed(seed_of(0))
            with time_limit(SAMPLING_SECONDS):
                samples = function(network, COUNT)
        except STOPS as error:
            return stopped(self.name, error)
        if samples is None or samples is ...:
            return Verdict(self.name, None, f"not written yet (the function returns {samples})")
        if not isinstance(samples, Tensor) or samples.shape != (COUNT, 2):
            shape = tuple(samples.shape) if isinstance(samples, Tensor) else type(samples).__name__
            return Verdict(self.name, False, f"return points of shape (n, 2), not {shape}")
        if not bool(samples.isfinite().all()):
            return Verdict(self.name, False, "some samples are not finite: is there a division by 0 at the last step?")
        if not network.trace:
            return Verdict(self.name, False, "the network is never evaluated")
        distance = in_floors(samples)
        complaint = self._start_complaint(network.trace[0])
        if not complaint and distance <= self.limit:
            if not samples.requires_grad:
                text = f"right: with the exact denoiser the samples are at {distance:.1f} times the floor"
                return Verdict(self.name, True, text)
            complaint = (
                "the samples have a gradient, which takes the memory of all steps: write it under torch.no_grad()"
            )
        if complaint:
            return Verdict(self.name, False, complaint)
        text = self._course_complaint(network.trace) or self._diagnosis(samples)
        return Verdict(self.name, False, f"{text} ({distance:.1f} floors)")

    def _start_complaint(self, first: tuple[float, float]) -> str:
        """What is wrong with the points at which a sampler begins, or ""."""
        time, deviation = first
        right, width = self.first
        if abs(time - right) < 0.05 * abs(right - self.last) and not 0.8 * width < deviation < 1.25 * width:
            return f"the points begin with the deviation {deviation:.2g}; the noise there has {width:g}"
        return ""

    def _course_complaint(self, trace: list[tuple[float, float]]) -> str:
        """What is wrong with the times of a sampler whose samples are far off, or ""."""
        (start, _), (end, _) = trace[0], trace[-1]
        right, span = self.first[0], abs(self.first[0] - self.last)
        if abs(start - right) > 0.05 * span:
            turned = ": the times run the wrong way" if abs(start - self.last) < 0.1 * span else ""
            return f"the network is evaluated first at t = {start:g}, and the noise is largest at {right:g}{turned}"
        if abs(end - self.last) > 0.1 * span:
            return f"the last evaluation is at t = {end:.3g}, where there is noise left: go on to the end"
        return ""

    def _diagnosis(self, samples: Tensor) -> str:
        best, least = "", math.inf
        for hint, mistake in self.mistakes.items():
            torch.manual_seed(1)
            cloud = mistake(_Answers(self.answer), COUNT)
            gap = sliced_distance(samples, cloud) if bool(cloud.isfinite().all()) else math.inf
            if gap < least:
                best, least = hint, gap
        if least < 0.25 * sliced_distance(samples, _held_out("points")) + _floor("points"):
            return best
        return "the samples are not those of the data, although the denoiser is exact: compare start, times and noise"


class _Answers(nn.Module):
    """An ideal network, as a module: code may call eval() or ask for its parameters."""

    def __init__(self, answer: Network) -> None:
        super().__init__()
        self.answer = answer
        self.unused = nn.Parameter(torch.zeros(1))
        self.trace: list[tuple[float, float]] = []
        """The time and the deviation of the points of each evaluation."""

    def forward(self, x: Tensor, t: Any) -> Tensor:
        """Answer; the result is part of a graph, as that of a network is."""
        self.trace.append((torch.as_tensor(t).float().mean().item(), x.detach().square().mean().sqrt().item()))
        return self.answer(x, t) + 0 * self.unused


@dataclass(frozen=True)
class Block:
    """A residual block to write: a module of x (B, C, H, W) and the embedded time (B, E), judged by its properties.

    Args:
        name: The name of the class.
        task: What it does.
    """

    name: str
    task: str

    def judge(self, function: Function) -> Verdict:
        """Check shapes, that it is residual, normalised over groups of one image, and reads the time."""
        return _judge_module(self.name, function, "(in_width, out_width, embedding)", self._verdict)

    def _verdict(self, build: Callable[..., nn.Module]) -> Verdict:
        complaint = _block_complaint(build)
        return Verdict(self.name, not complaint, complaint or "right")


@dataclass(frozen=True)
class ImageNetwork:
    """A network of digits (B, 1, 8, 8) and times (B,) to write, which predicts the noise: it is trained, and sampled.

    Args:
        name: The name of the class, which takes no arguments.
        task: What it does.
        limit: Largest distance that passes, in floors.
    """

    name: str
    task: str
    limit: float = 4.0

    def judge(self, function: Function) -> Verdict:
        """Check what it answers, train it for `SECONDS`, and sample 50 steps of DDPM."""
        return _judge_module(self.name, function, "no arguments", self._verdict)

    def _verdict(self, build: Callable[[], nn.Module]) -> Verdict:
        if complaint := _network_complaint(build()):
            return Verdict(self.name, False, complaint)
        network = build()
        steps, seconds, error = _train_on_digits(network)
        network.eval()
        x = torch.randn(BATCH["digits"], 1, 8, 8, generator=torch.Generator().manual_seed(1))
        denoiser = Diffusion(network, schedules.cosine())
        with torch.no_grad():
            samples = samplers.DDIM(eta=1.0).sample(denoiser, x, times=range(1000, -1, -20))
        distance = in_floors(samples) if bool(samples.isfinite().all()) else math.inf
        done = f"after {steps:,} steps in {seconds:.0f} s"
        if error >= 0.9:
            text = (
                f"the network has learned nothing ({done} its error is {error:.2f}, where 1 is that of the answer 0): "
                "is the path from x to the answer whole, and normalised?"
            )
        elif complaint := _answers_complaint(network, x):
            text = complaint
        elif distance <= self.limit:
            return Verdict(self.name, True, f"right: {done} the samples are at {distance:.1f} times the floor")
        else:
            text = (
                f"the network learns, and too little ({done} its error is {error:.2f}, and the samples are at "
                f"{distance:.1f} floors): is each part right, and the path from fine to coarse and back whole?"
            )
        return Verdict(self.name, False, text)


def _judge_module(name: str, function: Function, of: str, verdict: Callable[[Any], Verdict]) -> Verdict:
    """Judge a class by a function, and answer what is none in one line."""
    if not isinstance(function, type) or not issubclass(function, nn.Module):
        return Verdict(name, False, f"make it a class: a torch.nn.Module of {of}")
    try:
        torch.manual_seed(seed_of(0))
        return verdict(function)
    except NotImplementedError:
        return Verdict(name, None, "not written yet (it has no forward)")
    except STOPS as error:
        return stopped(name, error)


def _answers_complaint(network: nn.Module, x: Tensor) -> str:
    """What is wrong with the answers of a trained network for noise x alone, or ""."""
    answers, early = (network(x, torch.full((len(x),), t)).detach() for t in (1000, 100))
    if not bool(answers.isfinite().all()):
        return "some answers are not a number (NaN): a division by 0, or weights that grew without limit"
    if answers.min() >= 0 or answers.abs().max() <= 1:
        return (
            f"the answers are from {answers.min():.2g} to {answers.max():.2g}, and the noise is not: leave out the "
            "activation after the last layer"
        )
    if (answers - early).abs().mean() < 0.01 * answers.abs().mean():
        return "the answers hardly change with the time: is t of each image embedded, and added in each block?"
    return ""


def _moved(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Move all weights away from zeros and ones that a network may begin with, for a look at what it does."""
    for value in network.parameters():
        nn.init.normal_(value, std=0.3, generator=generator)
    return network.eval()


def _batch_norm(network: nn.Module) -> str:
    """What to say of batch norm, or ""."""
    found = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    return "batch norm mixes the images of a batch, and so their times: use nn.GroupNorm" if found else ""


def _hidden_layers(network: nn.Module) -> str:
    """What to say of layers in a Python list, or ""."""
    for module in network.modules():
        for name, value in vars(module).items():
            if isinstance(value, list) and any(isinstance(one, nn.Module) for one in value):
                return f"the layers in the list {name} are not found by parameters(): use nn.ModuleList"
    return ""


def _network_complaint(network: nn.Module) -> str:
    generator = torch.Generator().manual_seed(0)
    x, t = torch.randn(3, 1, 8, 8, generator=generator), torch.tensor([1, 400, 1000])
    kept = x.clone()
    out = network(x, t)
    if out is None:
        return "not written: forward returns None"
    if not torch.equal(x, kept):
        return "the network changes x in place: its caller needs x again"
    if out.shape != x.shape:
        return f"x (3, 1, 8, 8) becomes {tuple(out.shape)}: the noise has the shape of x"
    if complaint := _hidden_layers(network) or _batch_norm(network):
        return complaint
    if idle := _idle_layer(network, x, t):
        return f"the layer {idle} is evaluated, and its result does not reach the answer: it has no gradient"
    _moved(network, generator)
    if complaint := _cut_path(network, x, t):
        return complaint
    with torch.no_grad():
        out = network(x, t)
        if not torch.equal(out, network(x, t)):
            return "two calls in evaluation mode differ: dropout has to stop there, as nn.Dropout does"
        if torch.allclose(out, network(x.flip(0), t), atol=1e-6):
            return "the network answers the same for every x"
        if torch.allclose(out, network(x, t.roll(1)), atol=1e-6):
            return "the network answers the same at every time: does it read t?"
        alone = torch.cat([network(x[i : i + 1], t[i : i + 1]) for i in range(len(x))])
        if not torch.allclose(out, alone, rtol=1e-3, atol=1e-3):
            return "an image's answer depends on the other images of the batch, or on their times"
    return ""


def _cut_path(network: nn.Module, x: Tensor, t: Tensor) -> str:
    """What to say of a path that is multiplied by 0, or of features that are always 0, or ""."""
    empty = list[str]()

    def see(name: str) -> Callable[..., None]:
        def look(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            features = inputs[0] if inputs and isinstance(inputs[0], Tensor) else x
            if features.ndim == 4 and features.shape[1] > 1 and not bool(features.any(3).any(2).any(0).all()):
                empty.append(name)

        return look

    hooks = [module.register_forward_pre_hook(see(name)) for name, module in network.named_modules() if name]
    out = network(x, t)
    for hook in hooks:
        hook.remove()
    if empty:
        return f"some features that {empty[0]} gets are 0 whatever x is: is a path to it multiplied by 0?"
    open_nodes, seen = [out.grad_fn], set[Any]()
    while open_nodes:
        node = open_nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        factors = [getattr(node, name, None) for name in ("_saved_other", "_saved_self")]
        if node.name().startswith("MulBackward") and any(isinstance(one, Tensor) and not one.any() for one in factors):
            return "a path is multiplied by 0: what is computed there does not reach the answer"
        open_nodes += [following for following, _ in node.next_functions]
    return ""


def _idle_layer(network: nn.Module, x: Tensor, t: Tensor) -> str:
    """The name of a layer that is evaluated, and whose weights get no gradient, or ""."""
    ran = set[nn.Module]()
    hooks = [module.register_forward_hook(lambda module, *_: ran.add(module)) for module in network.modules()]
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    network(x, t).square().sum().backward()
    for hook in hooks:
        hook.remove()
    for name, module in network.named_modules():
        weights = list(module.parameters(recurse=False))
        if module in ran and weights and not any(w.grad is not None and bool(w.grad.any()) for w in weights):
            return str(name)
    return ""


def _train_on_digits(network: nn.Module) -> tuple[int, float, float]:
    """Train for `SECONDS`; return the number of steps, the time, and the last errors relative to the answer 0."""
    schedule, images = schedules.cosine(), digits()
    a, b = (table.float()[:, None, None, None] for table in (schedule.signal, schedule.noise))
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    errors, began, computed, step, share = list[float](), time.perf_counter(), time.thread_time(), 0, 0.0
    while share < 1:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - share)
        x_0, t = images[torch.randint(len(images), (64,))], torch.randint(1, len(a), (64,))
        eps = torch.randn_like(x_0)
        loss = (network(a[t] * x_0 + b[t] * eps, t) - eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(loss.item())
        step += 1
        if math.isnan(errors[-1]):
            break
        share = max(step / MOST_STEPS, min(step / LEAST_STEPS, (time.thread_time() - computed) / SECONDS))
    last = errors[-max(1, len(errors) // 5) :]
    return step, time.perf_counter() - began, sum(last) / len(last)


def _block_complaint(build: Callable[..., nn.Module]) -> str:
    generator = torch.Generator().manual_seed(0)
    x, time_one, time_two = (torch.randn(*shape, generator=generator) for shape in ((3, 16, 9, 9), (3, 24), (3, 24)))
    for after in (16, 32):
        block = build(16, after, 24)
        arguments = x.clone(), time_one.clone()
        out = block(*arguments)
        if out is None:
            return "not written: forward returns None"
        if not (torch.equal(arguments[0], x) and torch.equal(arguments[1], time_one)):
            return "the block changes its arguments in place: its caller needs them again"
        if out.shape != (3, after, 9, 9):
            shapes = f"{tuple(out.shape)}, not {(3, after, 9, 9)}"
            return f"x (3, 16, 9, 9) becomes {shapes}: convolutions of 3×3 need padding=1"
    if complaint := _hidden_layers(block):
        return complaint
    out.square().sum().backward()
    idle = [name for name, value in block.named_parameters() if value.grad is None]
    if idle:
        return f"{idle[0]} has no gradient: it is not used, or the path to it was cut"
    wider = _moved(build(16, 32, 24), generator)
    block = _moved(build(16, 16, 24), generator)
    with torch.no_grad():
        if complaint := _batch_norm(block):
            return complaint
        out = block(x, time_one)
        if not torch.allclose(out[:1], block(x[:1], time_one[:1]), atol=1e-4):
            return "an image's result depends on the other images of the batch"
        if torch.allclose(out, block(x, time_two), atol=1e-6):
            return (
                "the result does not depend on the time: add a dense layer of the embedding to each channel, and take "
                "fewer groups than channels in the norm after it, which removes a number that is added to all of a "
                "group"
            )
        jump = block(x + 100, time_one) - out
        if jump.mean() < 50:
            return "the block is not residual: to what it computes from x, add x itself"
        rise, fall = (sign * (wider(x + sign * 100, time_one) - wider(x, time_one)) for sign in (1, -1))
        if rise.abs().mean() < 5:
            return "for another width x has to be added as well: by a 1×1 convolution of x"
        if (out - block(x - 100, time_one)).mean() < 50 or (rise - fall).abs().mean() > 0.5 * rise.abs().mean():
            return "the sum is changed after x was added: leave out the activation there"
        if (jump - 100).abs().mean() > 40:
            return "the normalisation is missing or comes after the convolution: x + 100 changes what is added to x"
        for name, value in block.named_parameters():
            if name.endswith("bias"):
                value.zero_()
        still = torch.zeros_like(time_one)
        if torch.allclose(block(-x, still), -block(x, still), atol=1e-4):
            return "there is no activation: without SiLU the block is linear but for the norms"
        return _time_path(block, x, time_one, time_two)


def _time_path(block: nn.Module, x: Tensor, time_one: Tensor, time_two: Tensor) -> str:
    """What is wrong with the place where a block adds the time, or ""."""
    change = block(x, time_one) - block(x, time_two)
    if bool((change.std((2, 3)) < 1e-3 * change.abs().mean((2, 3)) + 1e-6).all()):
        return (
            "what the time adds is the same at each pixel: add it between the two convolutions, before the second norm"
        )
    norms = [module for module in block.modules() if isinstance(module, nn.GroupNorm | nn.LayerNorm)]
    small, large = ((block(x, scale * time_one) - x).abs().mean() for scale in (1, 1000))
    if len(norms) == 1 and large > 20 * small:
        return "the second norm is missing: a large embedding of the time makes the result large"
    return ""
