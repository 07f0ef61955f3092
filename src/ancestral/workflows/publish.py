"""A model and its evaluation for others: its description, its model card, other libraries' formats, the Hub."""

import io
import shlex
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Literal

from torch import Tensor

from ancestral import hub, interop, storage
from ancestral.arguments import checked
from ancestral.errors import InputError
from ancestral.events import Event, Message, Wrote
from ancestral.model import FILE_NAME, Model, NetSource, find, load
from ancestral.render import FOLDER, PICTURE, README, grid_columns, merge_card, model_card, picture, write_card
from ancestral.results.evaluation_result import EvaluationResult
from ancestral.results.model_info import ModelInfo

PICTURE_ITEMS, PICTURE_POINTS, PICTURE_STEPS, ROW = 20, 1000, 50, 80
"""Numbers of items and points in the picture of a card, the largest number of sampling steps, and about the height of
a row in pixels."""


def home(model: Model | str | Path) -> Path:
    """Return the folder for files made from a model: its run folder, or runs/REPO for an address on the Hub."""
    if isinstance(model, Model):
        return model.file.parent if model.file else Path()
    return Path("runs") / hub.parse(str(model)).repo.rpartition("/")[2] if hub.is_address(model) else find(model).parent


@checked
def info(path: str | Path, net: NetSource | None = None) -> ModelInfo:
    """Describe a model.

    Args:
        path: A run folder, a model file or an hf:// address.
        net: The network of your own that it was trained with.

    Raises:
        InputError: If there is no model.
    """
    file = find(path)
    model = load(file, "cpu", net=net)
    config, spec, schedule = model.config, model.spec, model.denoiser.schedule
    return ModelInfo(
        model=str(path if hub.is_address(path) else file),
        version=model.version,
        file_bytes=file.stat().st_size,
        preset=config.preset,
        source=config.data.source,
        step=model.step,
        steps=config.train.steps,
        batch_size=config.train.batch_size or 0,
        seed=config.train.seed,
        shape=spec.shape,
        codec=spec.codec.kind,
        limits=spec.codec.limits,
        classes=spec.classes,
        mean=spec.mean,
        parameters=model.parameters,
        network=str(config.net),
        schedule=schedule.spec.get("name", "custom"),
        timesteps=schedule.steps,
        final_signal=float(schedule.signal[-1]),
        rate=spec.rate,
        target=model.diffusion.target.name,
        clip=config.process.clip,
        initial=config.initial.model or None,
        average=model.average,
        distilled=str(config.distil) if config.distil.method else None,
        sampler=config.sample.sampler,
    )


@checked
def export(
    path: str | Path,
    to: Literal["diffusers", "onnx"] = "diffusers",
    out: Path | None = None,
    label: int | str | None = None,
    net: NetSource | None = None,
) -> Generator[Event, None, Path]:
    """Write a model for other libraries: a folder for `DDPMPipeline.from_pretrained`, or an ONNX file.

    None for `out` is diffusers or model.onnx in the run folder. `label` is the class that is built into the folder for
    diffusers. Returns the path. Raises InputError if the format cannot hold the model or the path cannot be written.
    """
    if to == "onnx" and label is not None:
        raise InputError("an ONNX file takes labels as an input, so none is built in; leave --label out")
    if to == "onnx" and out is not None and out.suffix.lower() != ".onnx":
        raise InputError(f"--to onnx writes a file that ends in .onnx, not {out}")
    model = load(path, "cpu", net=net)
    out = out or home(path) / ("model.onnx" if to == "onnx" else "diffusers")
    if to == "onnx":
        interop.write_onnx(model, out)
    else:
        interop.write_pipeline(model, out, label)
    yield Wrote(out)
    if to == "diffusers":
        if method := model.config.distil.method:  # one step of DDIM ends at x̂_0, as one of the consistency sampler does
            steps = model.config.distil.evaluations if method == "progressive" else 1
            few = f"(num_inference_steps={steps}, use_clipped_model_output=True)"
            yield Message(f"Sample with:  diffusers.DDIMPipeline.from_pretrained({str(out)!r}){few}")
        else:
            yield Message(f"Load it with:  diffusers.DDPMPipeline.from_pretrained({str(out)!r})")
    return out


def import_pipeline(folder: Path, out: Path | None = None) -> Generator[Event, None, Path]:
    """Make the run folder `out`, or runs/NAME, of a DDPMPipeline or DDIMPipeline that diffusers saved, and return it.

    Raises InputError if the pipeline cannot be imported or the run folder is not empty.
    """
    if folder.parts[:1] == ("hf:",):
        raise InputError(
            "models of other libraries are not fetched: `hf download USER/REPO --local-dir DIR`, then import DIR"
        )
    if (folder / FILE_NAME).is_file():
        raise InputError(f"{folder} is a run of ancestral's already: ancestral sample {folder}")
    out = out or Path("runs") / folder.resolve().name
    model, remarks = interop.read_pipeline(folder)
    with storage.atomic_folder(out) as temporary:
        model.save(temporary / FILE_NAME)
        storage.write_text(temporary / "config.json", model.config.to_json())
    yield Wrote(out)
    for line in [*remarks, f"Try:  ancestral sample {shlex.quote(str(out))}"]:
        yield Message(line)
    return out


@checked
def push(model: Model, address: str, private: bool = False) -> str:
    """Upload a model file to the Hugging Face Hub, with a model card.

    The card is the README.md of the run folder that the model was loaded from, with the user's own text and the
    evaluations of this model, or a new one.

    Args:
        model: The model.
        address: hf://user/repo, hf://user/repo@revision or hf://user/repo/folder; a repository that does not exist is
            created.
        private: Whether a new repository is private.

    Returns:
        The URL of the repository.

    Raises:
        InputError: If the address is not valid, or the Hub refuses or cannot be reached.
    """
    name, run = hub.parse(address).repo, model.file.parent if model.file else None
    evaluation = EvaluationResult() if run is None else _evaluation(model, run / "evaluation")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        model.save(path)
        shown = _sample_picture(model)
        card = model_card(model, name, address, evaluation, PICTURE if shown else None)
        card = card if run is None else merge_card(run, card)
        files = {README: card.encode()} | ({PICTURE: shown} if shown and PICTURE in card else {})
        return hub.push(address, path, files, private)


def update_card(
    model: Model, folder: Path, address: str = FOLDER, evaluation: Path | None = None, samples: Tensor | None = None
) -> Event:
    """Write or update the model card of a folder, unless it is the user's own; return the event to yield.

    `evaluation` is the folder with the evaluations of the model, which was loaded from a file; None is the folder
    `evaluation` beside the card. `samples` are its first samples, of all classes in turn; None makes some.
    """
    found = _evaluation(model, evaluation or folder / "evaluation")
    shown = _sample_picture(model, samples)
    if write_card(folder, model_card(model, folder.absolute().name, address, found, PICTURE if shown else None)):
        if shown:
            storage.write_bytes(folder / PICTURE, shown)
        return Wrote(folder / README)
    return Message(f"{folder / README} is left as it is, since it is your own; move it away for a new one")


def _sample_picture(model: Model, samples: Tensor | None = None) -> bytes | None:
    """A small grid of samples for the card as a PNG; None if the model makes none, such as one that diverged."""
    shape, classes = model.spec.shape, len(model.spec.classes) or 1
    n = PICTURE_POINTS if len(shape) == 1 else PICTURE_ITEMS
    if samples is None:
        steps = min(PICTURE_STEPS, len(model.sampler().times(model.denoiser.schedule)) - 1)
        try:
            samples = model.sample(n, steps=steps)
        except InputError:
            return None
    shown, buffer = samples[:n], io.BytesIO()
    columns, names = grid_columns(len(shown), shape, classes), model.class_names(range(len(shown)))
    height = 400 if len(shape) == 1 else ROW * -(-len(shown) // columns)
    picture(shown, columns, height, model.spec.codec.limits, names).save(buffer, "PNG")
    return buffer.getvalue()


def _evaluation(model: Model, folder: Path) -> EvaluationResult:
    """The evaluations of this model, not of another state of its run."""
    assert model.file is not None
    return EvaluationResult.load(folder, storage.sha256(model.file))
