"""`ancestral train [PRESET]`: from a preset and a few options to a run folder."""

import contextlib
import dataclasses
import shlex
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from ancestral import config as configs
from ancestral.cli.parse import parse
from ancestral.config import Config
from ancestral.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from ancestral.data import Dataset
    from ancestral.training import RunFolder, Trainer

PREVIEW_STEPS, LAST_STEPS = 30, 100
"""Most sampling steps of the grids drawn while training, and of the last: enough to see by, and cheap to wait for."""


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
    if resuming:
        saved = folder.read_config()
        if folder.model.exists() and not folder.state.exists():
            raise InputError(f"{folder.state} is gone, so the run cannot go on; give --out another name to start anew")
        if argv and argv[0] == name != saved.preset:
            raise InputError(
                f"{folder.path} holds a run of the preset {saved.preset}, not {name}; give --out another name"
            )
        options = parse(Options, args, "train", dataclasses.replace(default, config=saved), description)
        _refuse_changes(saved, options.config, folder)
    elif folder.holds_run():
        raise InputError(f"{folder.path} already holds a run: go on with it by --resume, or give --out another name")
    check(options.config)
    return _train(options, folder, resuming)


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
    train, net = config.train, config.net
    if not config.data.source:
        raise InputError(
            "say what to train on: --data FOLDER (of PNG, JPEG, WebP or BMP files), or a .npy or .npz file"
        )
    least = {"steps": 1, "batch_size": 1, "save_every": 1, "sample_every": 1, "warmup": 0, "seed": 0}
    for name, low in least.items():
        if getattr(train, name) < low:
            raise InputError(f"--{name.replace('_', '-')} must be at least {low}, not {getattr(train, name)}")
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


def _refuse_changes(saved: Config, asked: Config, folder: "RunFolder") -> None:
    """Raise InputError where a resumed run is asked to become another."""
    for room in ("data", "net", "process"):
        before, after = dataclasses.asdict(getattr(saved, room)), dataclasses.asdict(getattr(asked, room))
        for key in before:
            if before[key] != after[key]:
                option = f"--{'data' if key == 'source' else key.replace('_', '-')}"
                raise InputError(
                    f"{folder.path} was trained with {option} {before[key]}, so it cannot go on with {after[key]}; "
                    "leave the option out, or start a new run with --out"
                )


def _train(options: Options, folder: "RunFolder", resuming: bool) -> int:
    from rich.console import Console

    from ancestral import data
    from ancestral.device import keep_freed_memory
    from ancestral.model import sampler_for
    from ancestral.training import Trainer

    config, console = options.config, Console(markup=False, emoji=False, highlight=False)
    keep_freed_memory()
    dataset = data.load(
        config.data.source,
        image_size=config.data.image_size,
        channels=config.data.channels,
        background=config.data.background,
        dims=config.data.dims,
        bits=config.data.bits,
    )
    trainer = Trainer(config, dataset, options.device)
    sampler_for(trainer.denoiser, config.sample.sampler)  # refused now, not after hours
    if resuming:
        if folder.state.exists():
            trainer.load(folder)
        folder.trim_log(trainer.step)
    else:
        folder.begin(config)
    for line in _opening(trainer, dataset, folder):
        console.print(line, highlight=False, soft_wrap=True)
    if trainer.step >= config.train.steps:
        console.print(f"Already at step {trainer.step} of {config.train.steps}; more --steps go on.", highlight=False)
        return 0

    stopped = not fit(trainer, folder, console)
    if dataset.skipped:
        console.print(f"skipped {_files(dataset.skipped)} that could not be read, named above", highlight=False)
    out = shlex.quote(str(folder.path))
    resume = f"ancestral train {config.preset} --out {out} --resume"
    if stopped:
        console.print(
            f"Stopped after step {trainer.step} and saved. Go on with:  {resume}", highlight=False, soft_wrap=True
        )
        return 0
    console.print(f"Trained {trainer.step} steps: {folder.model}", highlight=False, soft_wrap=True)
    picture = folder.samples / f"{trainer.step:06d}.png"
    console.print(f"Look at {picture}; then try:  ancestral sample {out} --gif --film", highlight=False, soft_wrap=True)
    return 0


def fit(trainer: "Trainer", folder: "RunFolder", console: "Console") -> bool:
    """Train to the last step with a live line, the log and grids. On Ctrl-C save, and return False."""
    from ancestral.cli.progress import progress_line

    train = trainer.config.train
    with _interrupts() as interrupted, progress_line(console, train.steps, trainer.step) as show:
        for progress in trainer.run(folder):
            show(progress)
            step, last = progress.step, progress.step == progress.steps
            if step % 50 == 0 or last:
                folder.append_log(step, progress.loss.item(), progress.lr, progress.images_per_second, progress.seconds)
            if interrupted() and not last:
                trainer.save(folder)
                return False
            if step % train.sample_every == 0 or last:
                _preview(trainer, folder, LAST_STEPS if last else PREVIEW_STEPS)
    return True


def _opening(trainer: "Trainer", dataset: "Dataset", folder: "RunFolder") -> Iterator[str]:
    """What the user should know before the first step."""
    shape = "x".join(str(side) for side in dataset.shape)
    classes = f", {len(dataset.classes)} classes" if dataset.classes else ""
    parameters = sum(parameter.numel() for parameter in trainer.parameters)
    yield f"{dataset.name}: {len(dataset):,} items of {shape}{classes}"
    source = Path(trainer.config.data.source)
    if dataset.labels is None and source.is_dir() and any(p.is_dir() for p in source.iterdir()):
        yield "no classes: some images lie outside the sub-folders"
    if dataset.skipped:
        yield f"skipping {_files(dataset.skipped)} that could not be read:"
        yield from (f"  {line}" for line in dataset.skipped[:20])
        if len(dataset.skipped) > 20:
            yield f"  and {len(dataset.skipped) - 20} more"
    yield f"{parameters:,} parameters on {trainer.device}, {str(trainer.dtype).removeprefix('torch.')} -> {folder.path}"
    if trainer.step:
        yield f"going on from step {trainer.step:,}"


def _files(names: Sequence[str]) -> str:
    return f"{len(names)} file{'s' if len(names) > 1 else ''}"


def _preview(trainer: "Trainer", folder: "RunFolder", most: int) -> None:
    """A grid of what the averaged weights draw now, by the run's own sampler in at most so many steps."""
    from ancestral.report import picture
    from ancestral.storage import atomic

    model = trainer.model()
    points = len(model.facts.shape) == 1
    columns = 10 if len(model.facts.classes) == 10 else 8
    steps = len(model.sampler().times(model.denoiser.schedule)) - 1
    items = model.sample(1000 if points else columns * 8, steps=min(most, steps))
    with atomic(folder.samples / f"{trainer.step:06d}.png") as path:
        picture(items, columns, height=500, limits=model.facts.codec.limits).save(path)


@contextlib.contextmanager
def _interrupts() -> Iterator["Interrupted"]:
    """While inside, the first Ctrl-C only raises a flag; a second one interrupts at once."""
    interrupted = Interrupted()
    before = signal.signal(signal.SIGINT, interrupted.handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


class Interrupted:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.flag = False

    def __call__(self) -> bool:
        return self.flag

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        if self.flag:
            raise KeyboardInterrupt
        self.flag = True
