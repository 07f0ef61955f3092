"""The training loop, as a generator of `Progress`.

Each step is a function of (config, data, step): the batch, the flips, t, ε and dropout all follow from (seed, step,
index), so a run that was stopped and resumed is the run that was not.
"""

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ancestral import model, randomness, storage
from ancestral.config import Config
from ancestral.data import Dataset, stream
from ancestral.data.statistics import channel_mean
from ancestral.device import pick_device, pick_dtype
from ancestral.errors import InputError
from ancestral.guidance import NO_CLASS
from ancestral.model import Facts, Model
from ancestral.training.ema import EMA
from ancestral.training.optimiser import learning_rate, make_adam, set_learning_rate
from ancestral.training.run_folder import RunFolder

SMOOTHING = 0.98
"""Weight of the past in the loss that is shown: single batches jump with the times they happened to draw."""

ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")
"""What Adam keeps of each parameter."""


@dataclass(frozen=True)
class Progress:
    """The state after a step. The loss is a tensor on the device: asking for its value waits for the device."""

    step: int
    steps: int
    loss: Tensor
    """L_simple, smoothed over about fifty steps."""
    lr: float
    images_per_second: float
    seconds: float
    """Since this process began to train."""
    seconds_left: float
    """To the last step, at the rate of this process so far, pauses for pictures included."""
    saved: bool


class Trainer:
    """A denoiser, its average, its optimiser and its step: all that a checkpoint holds."""

    def __init__(self, config: Config, dataset: Dataset, device: str = "auto") -> None:
        """Build everything, or raise InputError where config and data do not fit; nothing is written."""
        self.config, self.dataset = config, dataset
        self.device = pick_device(device)
        self.dtype = pick_dtype(config.train.precision, self.device)
        self.facts = facts_of(dataset, config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.train.seed)
            self.denoiser = model.build(config, self.facts).to(self.device)
        self.parameters = list(self.denoiser.parameters())
        self.ema = EMA(self.parameters, config.train.ema)
        self.optimiser = make_adam(self.denoiser)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.step = 0

    def run(self, folder: RunFolder | None = None) -> Iterator[Progress]:
        """Train up to `config.train.steps`, saving into `folder` at intervals and at the end.

        The consumer may stop at any time; `save` then keeps what there is.
        """
        train = self.config.train
        loss, window = None, _Rate(train.batch_size)
        first, began = self.step, time.monotonic()
        while self.step < train.steps:
            latest = self.advance()
            loss = latest if loss is None else torch.lerp(latest, loss, SMOOTHING)
            saving = folder is not None and (self.step % train.save_every == 0 or self.step == train.steps)
            if folder is not None and saving:
                self.save(folder)
            rate, lr = window.tick(), learning_rate(train, self.step - 1)
            done, seconds = self.step - first, time.monotonic() - began
            left = (train.steps - self.step) * seconds / done
            yield Progress(self.step, train.steps, loss, lr, rate, seconds, left, saving)

    def advance(self) -> Tensor:
        """One optimiser step. Returns its loss, still on the device."""
        train, step = self.config.train, self.step
        x0, condition = self.batch(step)
        self.denoiser.train()
        torch.manual_seed(int(randomness.keys(train.seed, "dropout", step, [0])))
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            times, losses = self.denoiser.losses(x0, train.seed, step, **condition)
            loss = losses.mean()
        self.optimiser.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(self.parameters, train.clip_norm)
        set_learning_rate(self.optimiser, learning_rate(train, step))
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.denoiser.times.learn(times, losses.detach())
        self.step += 1
        self.ema.update(self.parameters, self.step)
        return loss.detach()

    def batch(self, step: int) -> tuple[Tensor, dict[str, Any]]:
        """The clean images (batch_size, *) in [−1, 1] of a step, flipped where the config says so, and their labels."""
        train, places = self.config.train, range(self.config.train.batch_size)
        chosen = stream.batch(len(self.dataset), train.batch_size, train.seed, step)
        x0 = self.facts.codec.encode(self.dataset.items[chosen].to(self.device, non_blocking=True))
        if self.config.data.flip and x0.ndim == 4:
            flip = randomness.uniform(train.seed, "flip", step, places) < 0.5
            x0 = x0.flip(-1).where(flip.to(self.device)[:, None, None, None], x0)
        if x0.ndim == 4:
            x0 = x0.contiguous(memory_format=torch.channels_last)
        if not self.facts.classes or self.dataset.labels is None:
            return x0, {}
        hidden = randomness.uniform(train.seed, "label", step, places) < train.label_dropout
        labels = self.dataset.labels[chosen].masked_fill(hidden, NO_CLASS)
        return x0, {"labels": labels.to(self.device, non_blocking=True)}

    def model(self) -> Model:
        """The denoiser with the averaged weights (a copy), as it would be saved now."""
        averaged = copy.deepcopy(self.denoiser).requires_grad_(False)
        for parameter, weight in zip(averaged.parameters(), self.ema.weights, strict=True):
            parameter.copy_(weight)
        return Model(averaged, self.config, self.facts, self.step)

    def save(self, folder: RunFolder) -> None:
        """Write the training state, then the model. Raises OSError where they cannot be written; the old ones stay."""
        storage.write_text(folder.config, self.config.to_json())
        storage.write_tensors(folder.state, self.state(), {"step": str(self.step)})
        self.model().save(folder.model)

    def state(self) -> dict[str, Tensor]:
        """Weights, average and Adam's moments by parameter name, and the losses that importance draws from."""
        tensors = {f"net.{name}": value for name, value in self.denoiser.net.state_dict().items()}
        for (name, parameter), average in zip(self.denoiser.net.named_parameters(), self.ema.weights, strict=True):
            tensors[f"ema.{name}"] = average
            for key in ADAM_STATE if self.step else ():
                tensors[f"adam.{key}.{name}"] = self.optimiser.state[parameter][key]
        return tensors | {f"times.{name}": value for name, value in self.denoiser.times.state.items()}

    def load(self, folder: RunFolder) -> None:
        """Take up the state saved in `folder`. Raises InputError where it does not fit this config."""
        tensors, metadata = storage.read_tensors(folder.state)
        optimiser = self.optimiser.state_dict()
        try:
            step = int(metadata["step"])
            net = {name.removeprefix("net."): value for name, value in tensors.items() if name.startswith("net.")}
            self.denoiser.net.load_state_dict(net)
            for number, (name, parameter) in enumerate(self.denoiser.net.named_parameters()):
                self.ema.weights[number].copy_(tensors[f"ema.{name}"])
                moments = {key: tensors[f"adam.{key}.{name}"] for key in ADAM_STATE}
                # PyTorch's fused Adam walks memory, not indices: moments must lie in the parameter's own layout
                optimiser["state"][number] = {
                    key: torch.empty_like(parameter).copy_(value) if value.ndim else value
                    for key, value in moments.items()
                }
            for name, value in self.denoiser.times.state.items():
                value.copy_(tensors[f"times.{name}"])
        except (KeyError, RuntimeError, ValueError):
            raise InputError(
                f"{folder.state} does not fit the network of {folder.config}; one of them was changed"
            ) from None
        self.optimiser.load_state_dict(optimiser)
        self.step = step


def facts_of(dataset: Dataset, config: Config) -> Facts:
    """What a model trained on this data by this config will know of it."""
    if not len(dataset):
        raise InputError(f"{dataset.name} holds no items to train on")
    mean = channel_mean(dataset.items) if len(dataset.shape) > 1 else ()
    classes = dataset.classes if config.data.class_labels else ()
    return Facts(dataset.shape, dataset.codec, classes, mean)


class _Rate:
    """Images per second over the last steps."""

    def __init__(self, batch_size: int, span: int = 20) -> None:
        self.batch_size, self.span = batch_size, span
        self.ticks = [time.monotonic()]

    def tick(self) -> float:
        """Count a step and return the rate."""
        self.ticks = [*self.ticks[-self.span :], time.monotonic()]
        return self.batch_size * (len(self.ticks) - 1) / max(self.ticks[-1] - self.ticks[0], 1e-9)
