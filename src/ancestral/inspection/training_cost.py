"""Time and memory of training on a data set by a config on this machine, measured in a few training steps."""

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import torch

from ancestral.config import Config, CustomNetConfig
from ancestral.data import InMemoryDataset
from ancestral.results.data_report import TrainingCost
from ancestral.threads import cpu_threads
from ancestral.training import Trainer

PROBE = 4
"""The batch size of the first measurement, which decides whether whole batches are measured."""
PATIENCE = 4.0
"""Seconds of a step above which smaller batches are measured and scaled up."""
WARM_UP = 2
"""Steps that do not count, since memory is mapped and kernels are chosen in them."""
COPIES = 5
"""Copies of each weight in memory: weight, gradient, average, and Adam's two moments. On the disk the average is there
twice, in the training state and in the model file, and the gradient is not. Both hold the power-function averages."""


def training_cost(
    config: Config, dataset: InMemoryDataset, count: int, device: str = "auto", steps: int = 5
) -> TrainingCost:
    """Measure training steps.

    Args:
        config: The config of the training run.
        dataset: Some of the items.
        count: The number of all items.
        device: The device to measure on.
        steps: The number of steps to measure, at least 1.

    Raises:
        InputError: If the data cannot be trained on by this config.
    """
    whole, before = config.train.batch_size, psutil.Process().memory_info().rss
    batch = min(whole, PROBE)
    seconds, trainer, peak = _measure(config, dataset, device, batch, 1, 1, before)
    if seconds < PATIENCE:
        batch = whole if seconds * whole / batch <= PATIENCE else batch
        del trainer
        seconds, trainer, peak = _measure(config, dataset, device, batch, WARM_UP, steps, before)
    else:
        steps = 1
    place = trainer.device
    parameters = sum(parameter.numel() for parameter in trainer.parameters)
    weights = 4 * parameters * (COPIES + len(trainer.powers))
    data = dataset.items[:1].nbytes * count
    held = 0 if place.type == "cuda" else min(data, int(config.data.memory * 2**30))
    free = torch.cuda.mem_get_info(place)[0] if place.type == "cuda" else int(psutil.virtual_memory().available)
    return TrainingCost(
        device=place.type,
        dtype=str(trainer.dtype).removeprefix("torch."),
        shape=dataset.shape,
        parameters=parameters,
        batch_size=whole,
        steps=config.train.steps,
        measured=steps,
        scaled_from=batch,
        seconds_per_step=seconds * whole / batch,
        seconds=seconds * whole / batch * config.train.steps,
        weights=weights,
        data=data,
        memory=int(weights + max(peak - weights, 0) * whole / batch + held),
        available=free,
        checkpoint=weights,
        snapshots=trainer.snapshot_count * trainer.pair_bytes,
    )


def _measure(
    config: Config, dataset: InMemoryDataset, device: str, batch: int, warm_up: int, steps: int, before: int
) -> tuple[float, Trainer, int]:
    """Median seconds of a step with `batch` items, the trainer, and the peak of memory in bytes above `before`."""
    config = config.with_settings(batch_size=batch)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    times = []
    with _peak_memory() as peak:
        trainer = Trainer(config, dataset, device)
        work = None if isinstance(config.net, CustomNetConfig) else trainer.rehearse
        with cpu_threads(config.runtime.threads, trainer.device, work):  # as training does
            for _ in range(warm_up + steps):
                began = time.perf_counter()
                trainer.advance()
                if trainer.device.type != "cpu":
                    torch.accelerator.synchronize(trainer.device)
                times.append(time.perf_counter() - began)
        most = peak() - before
    if trainer.device.type == "cuda":
        most = torch.cuda.max_memory_allocated(trainer.device)
    return statistics.median(times[warm_up:]), trainer, most


@contextlib.contextmanager
def _peak_memory(interval: float = 0.01) -> Iterator[Callable[[], int]]:
    """The largest number of bytes that the process has held since, from samples in intervals of seconds."""
    process = psutil.Process()
    seen, done = [process.memory_info().rss], threading.Event()

    def watch() -> None:
        while not done.wait(interval):
            seen[0] = max(seen[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: max(seen[0], process.memory_info().rss)
    finally:
        done.set()
        watcher.join()
