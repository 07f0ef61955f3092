"""What a training run tells its user before the first step and after the last one."""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from ancestral import config as configs
from ancestral.base import storage
from ancestral.base.errors import survived
from ancestral.base.events import Event, Message
from ancestral.base.options import on_command_line, option
from ancestral.base.quantities import format_bytes, plural
from ancestral.conditions import Words
from ancestral.config import CustomNetConfig, UNetConfig
from ancestral.config.data_sources import first_suffix
from ancestral.config.run_files import LOSS_HARDLY_FALLS, TrainingCost, is_output
from ancestral.measure.findings import memorisation_finding
from ancestral.model import Model, check_written
from ancestral.model.condition_values import as_words, examples
from ancestral.nets import Transformer, UNet
from ancestral.render import model_card
from ancestral.render.data_text import cost_summary
from ancestral.training import RunFolder, Trainer, custom_parts
from ancestral.training.plateau import FEWEST_MEASUREMENTS, constant_steps
from ancestral.training.sample_distance import COMPARED_SAMPLES
from ancestral.use_cases import model_cards
from ancestral.use_cases.training.opened_data import RunSetup
from ancestral.vocabulary import MARK

DETERMINISTIC = (
    "a model that is trained with the coupling {} suits samplers without noise (euler, heun, ddim, dpm, unipc): with "
    "noise, in bits/dim and in restorations its estimates do not mean what these assume"
)
"""What a coupling changes for those who use a model."""
SMALLEST_FOR_LATENTS = 128
"""Longest side of items below which a note says that latents hardly pay."""
LONG_RUN = 500
"""Number of steps from which a run says what is normal of its loss."""
GREY_ITEMS = 64
"""Number of items among which colours are looked for."""
SKIPPED_SHOWN = 20
"""Number of unreadable files that are listed."""


def announced(trainer: Trainer, folder: RunFolder, setup: RunSetup, resuming: bool) -> Iterator[Message]:
    """Say what is trained, and how; the details are in the notes of the run too."""
    held_out = trainer.held_out
    about = [f"for the validation loss: {len(held_out):,} held-out items of {held_out.name}"] if held_out else []
    details = [*about, _snapshots_described(trainer), *setup.details]
    if not resuming:
        with survived("write the notes", []):
            folder.append_notes(trainer.step, details)
    expect = [f"note: {LOSS_HARDLY_FALLS}"] if trainer.step == 0 and trainer.last_step >= LONG_RUN else []
    yield from map(Message, [*_opening(trainer, folder, setup.cost), *setup.notes, *_measuring(trainer), *expect])
    yield from (Message(line, detail=True) for line in details)


def _measuring(trainer: Trainer) -> Iterator[str]:
    """When the distance of samples is measured, and what ends a run until its plateau, a line each."""
    train, distance = trainer.config.train, trainer.distance
    if trainer.step >= trainer.last_step:
        return
    every = train.measure_every or 0
    if distance is not None:
        samples = f"{distance.title} of {COMPARED_SAMPLES:,} samples to {distance.compared_with}"
        yield f"measuring {samples} every {every:,} steps"
    if train.until != "plateau":
        return
    fall = ""
    if train.decay == "cosine" and trainer.parts.lr_schedule is None:
        latest = constant_steps(train.steps)
        fall = f", then with a falling learning rate for a quarter of those steps (from step {latest:,} at the latest)"
    yield f"training until its plateau{fall}, at most {train.steps:,} steps"
    if distance is not None and 2 * FEWEST_MEASUREMENTS * every > train.steps:
        yield f"note: too few measurements to see a plateau: give more {option('steps')}"


def _snapshots_described(trainer: Trainer) -> str:
    """Describe the snapshots for averages of other lengths, or say why there are none."""
    count, pair = trainer.snapshot_count, format_bytes(trainer.state.pair_bytes)
    if count:
        size = format_bytes(count * trainer.state.pair_bytes)
        text = f"{plural(count, 'snapshot')} of two averages, {size} ({option('snapshots', 0)} keeps none)"
    elif trainer.config.runtime.snapshots == 0:
        text = f"no snapshots ({option('snapshots', 0)})"
    elif trainer.state.pairs:
        text = "no snapshots (the run was begun without)"
    else:
        text = f"no snapshots (each takes {pair}; {option('snapshots', 16)} keeps 16)"
    return f"for ancestral average: {text}"


def setting_warnings(trainer: Trainer) -> Iterator[str]:
    """Warn of settings that have no effect, or that hardly work."""
    net, config = trainer.denoiser.net, trainer.config
    if isinstance(net, UNet) and isinstance(config.net, UNetConfig):
        idle, levels = set(config.net.attention or ()) - set(net.resolutions), " ".join(map(str, net.resolutions))
        if idle:
            yield f"note: {option('attention', *idle)} has no effect; the resolutions are {levels}"
    if isinstance(net, Transformer) and config.process.target in ("eps", "score"):
        numbers = trainer.spec.x_shape[0] * net.patch**net.dims
        if numbers > net.width:
            problem = f"noise fills all {numbers} numbers of a patch, and a token has {net.width} ({option('width')})"
            yield f"note: {problem}: predict clean items, {option('target', 'x0')}"
    augmented = bool(config.data.augment)
    own = isinstance(config.net, CustomNetConfig) and trainer.distributed.world == 1
    if own and custom_parts.answers_at_random(trainer.denoiser, trainer.spec, trainer.distributed, augmented):
        yield (
            "note: the network draws from PyTorch's generator, so one seed gives two samples: have forward take "
            "keys=None, and draw by randomness.normal_of(keys, shape, index)"
        )
    if config.train.coupling != "independent":
        yield f"note: {DETERMINISTIC.format(config.train.coupling)}"
    longest = max(trainer.spec.shape[1:], default=0)
    if trainer.spec.autoencoder is not None and longest < SMALLEST_FOR_LATENTS:
        size = "" if config.data.image_size is None else f": {option('image_size', SMALLEST_FOR_LATENTS)} or more"
        yield f"note: items of {longest} a side are small for latents, which lose detail{size}"
    words = {name: kind for name, kind in trainer.spec.further.items() if isinstance(kind, Words)}
    sided = [name for name, kind in words.items() if {f"{MARK}left", f"{MARK}right"} & {*kind.vocabulary}]
    if sided and config.data.flip:
        yield f"note: {option('flip', True)} mirrors images, and texts of {sided[0]} say left or right: leave it out"
    greys = [name for name, kind in trainer.spec.further.items() if kind.made_by == "grey"]
    if greys:
        items = trainer.dataset.sample(GREY_ITEMS).items
        if bool((items[:, :3] == items[:, :1]).all()):
            yield f"note: the images are grey, so the condition {greys[0]} is the image itself: no colours are learned"


def _opening(trainer: Trainer, folder: RunFolder, cost: TrainingCost | None) -> Iterator[str]:
    """Data, network and time, a line each, and what else the user should know before the first step."""
    dataset, distributed, config = trainer.dataset, trainer.distributed, trainer.config
    classes, workers = len(dataset.classes), trainer.loader.workers
    labels = f", {classes} class{'es' * (classes > 1)}" if classes else ""
    readers = f", read by {workers} process{'es' * (workers > 1)}" if workers else ""
    if trainer.gradients.items is not None:
        readers = f", kept on {trainer.device}"
    yield f"{dataset.name}: {len(dataset):,} items of {'x'.join(map(str, dataset.shape))}{labels}{readers}"
    yield from _conditions_described(trainer)
    parameters = sum(parameter.numel() for parameter in trainer.state.parameters)
    sharded = ", sharded" if distributed.shard else ""
    processes = f"{distributed.world} processes{sharded} on " if distributed.world > 1 else ""
    precision = str(trainer.dtype).removeprefix("torch.")
    yield f"{parameters:,} parameters on {processes}{trainer.device}, {precision} -> {folder.path}"
    remaining = trainer.last_step - trainer.step
    if remaining > 0:
        yield (
            cost_summary(cost) if cost is not None else f"{remaining:,} steps of {trainer.gradients.batch_size:,} items"
        )
    yield from (f"note: {text}; {advice}" for text, advice in dataset.notes)
    source = Path(config.data.source)
    if dataset.labels is None and source.is_dir() and any(map(_holds_items, source.iterdir())):
        yield "no classes: some images lie outside the sub-folders"
    if skipped := dataset.skipped:
        yield f"skipping {plural(len(skipped), 'file')} that could not be read:"
        yield from (f"  {line}" for line in skipped[:SKIPPED_SHOWN])
        if len(skipped) > SKIPPED_SHOWN:
            yield f"  and {len(skipped) - SKIPPED_SHOWN} more"
    memorised = memorisation_finding(len(dataset), dataset.shape, parameters, config)
    if memorised is not None and not config.distil.method:
        yield f"{memorised.text}; {memorised.advice}"
    if trainer.step:
        yield f"going on from step {trainer.step:,}"


def _conditions_described(trainer: Trainer) -> Iterator[str]:
    """The conditions besides the label, and how often they are dropped, a line each."""
    spec, share = trainer.spec, trainer.config.train.condition_dropout
    yield from (f"given {name}: {kind}" for name, kind in spec.further.items())
    if spec.further:
        several = len(spec.conditions) > 1
        together = f", and all together with {share:g}" if several else ""
        each = "each condition" if several else "the condition"
        label = f" (the label with {trainer.config.train.label_dropout:g})" if spec.classes else ""
        yield f"{each} is dropped with probability {share:g}{label}{together}"


def _holds_items(path: Path) -> bool:
    """Whether a path is a folder with items of data in it, as one of a class has."""
    return path.is_dir() and path.name[0] != "." and not is_output(path) and first_suffix(path) is not None


def ended(trainer: Trainer, folder: RunFolder, stopped: bool | None, model: Model) -> Iterator[Event]:
    """Say what the user should know after the last step, and bring the model card up to date.

    Raises:
        InputError: If the model file that was written cannot be read.
    """
    if stopped is not None and (trainer.step or not trainer.spec.autoencoder):  # else stopped before its first save
        check_written(folder.model, trainer.step)
    problems = list[str]()
    with survived("say all there is to know", problems, f"the model is {folder.model}"):
        yield from _ended(trainer, folder, stopped)
    if stopped is False and os.path.exists(folder.path / model_card.README):  # noqa: PTH110 (raises nothing)
        with survived("bring the model card up to date", problems, "the model is saved"):
            yield model_cards.update_card(model, folder.path)  # its numbers are of the model before
    yield from map(Message, problems)


def _ended(trainer: Trainer, folder: RunFolder, stopped: bool | None) -> Iterator[Message]:
    if stopped is None:
        return
    if skipped := trainer.dataset.skipped:
        yield Message(f"skipped {plural(len(skipped), 'file')} that could not be read, named above")
    if stopped:
        preset = f"{trainer.config.preset} " if trainer.config.preset in configs.PRESETS else ""  # else it is a file's
        place = on_command_line("out", [str(folder.path)])
        resume = f"ancestral train {preset}{place} {on_command_line('resume', ['True'])}"
        resume += " (started as before, for as many processes)" if trainer.distributed.world > 1 else ""
        saved = f"Stopped after step {trainer.step} and saved. " if trainer.step or not trainer.spec.autoencoder else ""
        yield Message(f"{saved}Go on with:  {resume}")
        return
    yield Message(f"Trained {trainer.step} steps: {folder.model}")
    if (best := folder.best_model()) is not None:
        same = " (the last step)" if best.step == trainer.step else ""
        yield Message(f"The best by measured distance: {best}{same}")
    if trainer.measuring_seconds:
        share = trainer.measuring_seconds / max(folder.seconds(), trainer.measuring_seconds)
        yield Message(f"measuring distances took {share:.1%} of the training time", detail=True)
    yield Message(_size_described(folder))
    pictures = " and ".join(str(path) for path in (folder.report, folder.grid(trainer.step)) if path.exists())
    command = sampling_command(trainer, folder, ("gif", "film"))
    yield Message(f"{f'Look at {pictures}; then' if pictures else 'Now'} try:  {command}")


def _size_described(folder: RunFolder) -> str:
    """Say what the run folder takes on the disk, and how it becomes smaller."""
    parts = {"checkpoints": folder.checkpoints, "snapshots for ancestral average": folder.snapshots}
    sizes = {name: storage.size_of(path) for name, path in parts.items() if path.is_dir()}
    largest = ", ".join(f"{name} {format_bytes(size)}" for name, size in sizes.items())
    clean = f"ancestral runs {shlex.quote(str(folder.path))} {on_command_line('clean', ['True'])}"
    return f"The run takes {format_bytes(storage.size_of(folder.path))} on disk ({largest}); what can go:  {clean}"


def sampling_command(trainer: Trainer, folder: RunFolder, options: Sequence[str] = ()) -> str:
    """The command or the Python expression that samples from the model of a run."""
    net, out = trainer.config.net, shlex.quote(str(folder.path))
    if isinstance(net, CustomNetConfig) and not net.function:
        given = f", given={examples(trainer.spec)!r}" if trainer.spec.further else ""
        return f"ancestral.load({str(folder.path)!r}, net=...).sample(64{given})"
    words = ["ancestral", "sample", out, *(on_command_line(name, ["True"]) for name in options)]
    words += [on_command_line("given", [word]) for word in as_words(examples(trainer.spec))]
    if isinstance(net, CustomNetConfig):
        words.append(on_command_line("net", [net.function]))
    return " ".join(words)
