"""`ancestral train [PRESET]`: from a preset and a few options to a run folder."""

import contextlib
import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from ancestral import config as configs
from ancestral.cli.fit import fit
from ancestral.cli.parse import parse
from ancestral.config import Config
from ancestral.errors import InputError

if TYPE_CHECKING:
    from ancestral.data import Dataset
    from ancestral.training import RunFolder, Trainer

MAY_CHANGE = {"steps", "lr", "precision", "save_every", "sample_every"}
"""What of how a run trains may be other when it goes on, besides how the work is done and how samples are drawn."""


@dataclass(frozen=True)
class Options:
    """What belongs to this call, not to the run."""

    out: Path | None = None
    """Run folder; runs/PRESET unless given."""
    resume: bool = False
    """Go on with the run that is in the folder, or start it if there is none yet."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    config: Annotated[Config, arg(name="")] = field(default_factory=Config)


def main(argv: Sequence[str]) -> int:
    """Train, and return the exit code."""
    name, args = _preset_name(argv)
    preset = configs.preset(name)
    default = Options(config=preset)
    description = f"Train a model. Presets: {', '.join(configs.PRESETS)}; the defaults below are those of {name}."
    # A run that is resumed starts from its own config, so the folder has to be known before its defaults are.
    options = parse(Options, args, "train", default, description)

    from ancestral.training import RunFolder

    folder = RunFolder(options.out or Path("runs") / name)
    resuming = options.resume and folder.holds_run()
    changes: list[str] = []
    if resuming:
        saved = folder.read_config()
        folder.check_whole()
        if argv and argv[0] == name != saved.preset:
            raise InputError(
                f"{folder.path} holds a run of the preset {saved.preset}, not {name}; give --out another name"
            )
        options = parse(Options, args, "train", dataclasses.replace(default, config=saved), description)
        changes = _changes(saved, options.config, folder)
    elif folder.holds_run():
        raise InputError(f"{folder.path} already holds a run: go on with it by --resume, or give --out another name")
    check(options.config)
    return _train(options, folder, resuming, changes)


def _preset_name(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The preset that `argv` begins with and the rest; without one, the preset that suits --data."""
    if argv and not argv[0].startswith("-"):
        return argv[0], list(argv[1:])
    source = ""
    for place, word in enumerate(argv):
        if word.partition("=")[0] == "--data":
            source = word.partition("=")[2] or "".join(argv[place + 1 : place + 2])
    return configs.suiting(source) if source else "digits", list(argv)


def check(config: Config) -> None:
    """Raise InputError for numbers that no run can have."""
    train, net, engine = config.train, config.net, config.engine
    if not config.data.source:
        raise InputError(
            "say what to train on: --data FOLDER (of PNG, JPEG, WebP or BMP files), or a .npy or .npz file"
        )
    least = {"steps": 1, "batch_size": 1, "save_every": 1, "sample_every": 1, "warmup": 0, "seed": 0}
    how = {"micro_batch": 1, "workers": 0, "keep": 1, "keep_every": 0, "log_every": 1}
    for settings, bounds in ((train, least), (engine, how)):
        for name, low in bounds.items():
            if (value := getattr(settings, name)) is not None and value < low:
                raise InputError(f"--{name.replace('_', '-')} must be at least {low}, not {value}")
    if train.seed >= 2**63:
        raise InputError(f"--seed must be below 2^63, not {train.seed}")
    if not 0 < train.lr < float("inf") or not train.clip_norm > 0:
        raise InputError(
            f"--lr and --clip-norm must be above 0, and the rate finite, not {train.lr} and {train.clip_norm}"
        )
    for name, value in (("ema", train.ema), ("label_dropout", train.label_dropout), ("dropout", net.dropout)):
        if not 0 <= value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 0 and below 1, not {value}")
    if min(net.width, net.blocks, net.patch, *net.mults) < 1 or not net.mults or net.width % 2 or net.width < 4:
        raise InputError("--width must be even and at least 4, and --blocks, --patch and each of --mults at least 1")
    if net.groups is not None and (net.groups < 1 or any(net.width * mult % net.groups for mult in (1, *net.mults))):
        raise InputError(f"--groups {net.groups} must divide --width, and with it the channels of every level")


def _changes(saved: Config, asked: Config, folder: "RunFolder") -> list[str]:
    """What changes where a run goes on, a line each. Raises InputError where it would become another run."""
    lines = []
    for room in ("data", "net", "process", "train", "engine", "sample"):
        before, after = dataclasses.asdict(getattr(saved, room)), dataclasses.asdict(getattr(asked, room))
        for key in before:
            if before[key] == after[key]:
                continue
            option = f"--{'data' if key == 'source' else key.replace('_', '-')}"
            if room in ("engine", "sample") or (room == "train" and key in MAY_CHANGE):
                lines.append(f"changed: {option} {after[key]}, was {before[key]}")
            else:
                had, wants = f"{option} {before[key]}", str(after[key])
                if isinstance(before[key], bool):
                    had, wants = (option if value else f"--no-{option[2:]}" for value in (before[key], after[key]))
                raise InputError(
                    f"{folder.path} was trained with {had}, so it cannot go on with {wants}; leave the option out, or "
                    "start a new run with --out"
                )
    return lines


def _train(options: Options, folder: "RunFolder", resuming: bool, changes: list[str]) -> int:
    from rich.console import Console

    from ancestral import data
    from ancestral import model as models
    from ancestral.cli import card
    from ancestral.device import keep_freed_memory
    from ancestral.model import sampler_for
    from ancestral.render.card import FOLDER, NAME
    from ancestral.training import Trainer, trackers

    config = options.config
    trackers.chosen(config.engine.trackers)  # refused now, if at all
    keep_freed_memory()
    source = config.data
    dataset = data.open(source.source, **source.form, memory=source.memory)
    trainer = Trainer(config, dataset, options.device)
    sampler_for(trainer.denoiser, config.sample.sampler)  # refused now, not after hours
    console = Console(markup=False, emoji=False, highlight=False, quiet=not trainer.engine.main)
    main, wrong = trainer.engine.main, list[str]()
    if main and not resuming:
        folder.begin(config)
    with folder.locked() if main else contextlib.nullcontext(), contextlib.closing(trainer):
        if resuming:
            wrong = [f"{line}; going on from an older one" for line in trainer.load(folder)]
            if main:
                folder.tidy()
                folder.trim_log(trainer.step)
                with contextlib.suppress(OSError):  # the notes are for the page alone
                    folder.append_notes(trainer.step, ["going on", *changes, *wrong])
        for line in [*_opening(trainer, dataset, folder), *changes, *wrong]:
            console.print(line, soft_wrap=True)
        if trainer.step >= config.train.steps:
            if not folder.publishes(trainer.step):
                trainer.save(folder)
            console.print(f"Already at step {trainer.step} of {config.train.steps}; more --steps go on.")
            return 0
        finished = fit(trainer, folder, console)
    if dataset.skipped:
        console.print(f"skipped {_files(dataset.skipped)} that could not be read, named above")
    out = shlex.quote(str(folder.path))
    if not finished:
        resume = f"ancestral train {config.preset} --out {out} --resume"
        resume += " (started as before, for as many processes)" if trainer.engine.world > 1 else ""
        console.print(f"Stopped after step {trainer.step} and saved. Go on with:  {resume}", soft_wrap=True)
        return 0
    console.print(f"Trained {trainer.step} steps: {folder.model}", soft_wrap=True)
    if main and (folder.path / NAME).exists():  # its numbers are of the model before
        card.tell(models.load(folder.model, "cpu"), folder.path, FOLDER, folder.path / "evaluation")
    picture = folder.samples / f"{trainer.step:06d}.png"
    seen = " and ".join(str(path) for path in (folder.report, picture) if path.exists())
    console.print(
        f"{f'Look at {seen}; then' if seen else 'Now'} try:  ancestral sample {out} --gif --film", soft_wrap=True
    )
    return 0


def _opening(trainer: "Trainer", dataset: "Dataset", folder: "RunFolder") -> Iterator[str]:
    """What the user should know before the first step."""
    shape = "x".join(str(side) for side in dataset.shape)
    classes = f", {len(dataset.classes)} classes" if dataset.classes else ""
    parameters = sum(parameter.numel() for parameter in trainer.parameters)
    where = (
        ""
        if dataset.in_memory
        else f", read by {max(1, trainer.loader.workers)} process{'' if trainer.loader.workers < 2 else 'es'}"
    )
    yield f"{dataset.name}: {len(dataset):,} items of {shape}{classes}{where}"
    source = Path(trainer.config.data.source)
    if dataset.labels is None and source.is_dir() and any(p.is_dir() for p in source.iterdir()):
        yield "no classes: some images lie outside the sub-folders"
    if dataset.skipped:
        yield f"skipping {_files(dataset.skipped)} that could not be read:"
        yield from (f"  {line}" for line in dataset.skipped[:20])
        if len(dataset.skipped) > 20:
            yield f"  and {len(dataset.skipped) - 20} more"
    engine = trainer.engine
    many = f"{engine.world} processes{', sharded' if engine.shard else ''} on " if engine.world > 1 else ""
    precision = str(trainer.dtype).removeprefix("torch.")
    yield f"{parameters:,} parameters on {many}{trainer.device}, {precision} -> {folder.path}"
    if trainer.step:
        yield f"going on from step {trainer.step:,}"


def _files(names: Sequence[str]) -> str:
    return f"{len(names)} file{'s' if len(names) > 1 else ''}"
