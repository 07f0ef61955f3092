"""A model for other programs: a folder for diffusers, an ONNX or torch.export file, a page, or a folder for a Space."""

import dataclasses
import shlex
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ancestral import interop
from ancestral.base import storage
from ancestral.base.arguments import short_source
from ancestral.base.errors import InputError, install_command
from ancestral.base.events import Event, Message, Wrote
from ancestral.base.options import option
from ancestral.base.quantities import format_bytes
from ancestral.base.registries import DISTILLATIONS
from ancestral.config import run_files
from ancestral.declarations import Export
from ancestral.interop.pipeline import obstacles
from ancestral.model import Model, load
from ancestral.render.evaluation_text import conditional_verdict
from ancestral.render.html_report import fill_template
from ancestral.render.model_card import describe_model
from ancestral.results import EvaluationResult
from ancestral.use_cases.output_files import home

Format = Literal["diffusers", "onnx", "pt2", "html", "space"]
SINGLE_FILES: dict[Format, tuple[str, str]] = {
    "onnx": ("an ONNX file", "model.onnx"),
    "pt2": ("a torch.export file", "model.pt2"),
    "html": ("a page", "page.html"),
}
"""Formats that are one file: what it is called, and its default name, whose suffix all have."""
BY_SUFFIX = {Path(name).suffix: to for to, (_, name) in SINGLE_FILES.items()}
NETWORK_FILES = {"onnx": interop.write_onnx, "pt2": interop.write_pt2}
"""Formats of the network and, of a model of latents, of its decoder."""


def plan(options: Export) -> Export:
    """Check the options. Raises InputError if the format takes no label, or not the path, or a file is there."""
    if options.to is None and (options.out is not None or options.label is not None):
        options = dataclasses.replace(options, to=BY_SUFFIX.get(Path(options.out or "").suffix.lower(), "diffusers"))
    if options.to is None:
        return options
    kind, name = SINGLE_FILES.get(options.to, ("a Space", ""))
    if options.to != "diffusers" and options.label is not None:
        raise InputError(f"{kind} takes labels as an input, so none is built in; leave {option('label')} out")
    if name and options.out is not None and Path(options.out).suffix.lower() != Path(name).suffix:
        suffix = Path(name).suffix
        raise InputError(f"{option('to', options.to)} writes a file that ends in {suffix}, not {options.out}")
    if name and options.out is not None and Path(options.out).is_file():
        raise InputError(f"{options.out} exists already; give {option('out')} another name, or remove the file")
    return options


def run(plan: Export) -> Generator[Event, None, Path]:
    """Write the model and return the path. Raises InputError if the format cannot hold it."""
    model = load(plan.run, "cpu", net=plan.net)
    plan, reason = (plan, "") if plan.to is not None else _fitting(plan, model)
    if model.spec.autoencoder is not None and plan.to == "diffusers":
        raise InputError(
            f"{plan.run} is a model of latents, and the pipelines of pixels that are written for diffusers have no "
            f"place for their decoder: use {option('to', 'html')}, {option('to', 'onnx')} or {option('to', 'pt2')}"
        )
    assert plan.to is not None
    _, name = SINGLE_FILES.get(plan.to, ("", plan.to))
    out = home(plan.run) / name if plan.out is None else Path(plan.out)
    title, written = home(plan.run).resolve().name or "model", [out]
    if plan.to in NETWORK_FILES:
        written = NETWORK_FILES[plan.to](model, out)
    elif plan.to == "html":
        interop.write_html(model, out, title, _description(model, plan.run))
    elif plan.to == "space":
        card = fill_template("space_card.md", name=title, description=_description(model, plan.run), model=model)
        interop.write_space(model, out, title, _description(model, plan.run), card)
    else:
        interop.write_pipeline(model, out, plan.label)
    yield from map(Wrote, written)
    if reason:
        yield Message(reason)
    if plan.to == "diffusers":
        if method := model.config.distil.method:  # one step of DDIM ends at x̂_0, as one of the consistency sampler does
            steps = model.config.distil.evaluations if not DISTILLATIONS[method].consistent else 1
            arguments = f"(num_inference_steps={steps}, use_clipped_model_output=True)"
            yield Message(f"Sample with:  diffusers.DDIMPipeline.from_pretrained({str(out)!r}){arguments}")
        else:
            yield Message(f"Load it with:  diffusers.DDPMPipeline.from_pretrained({str(out)!r})")
        if (patch := getattr(model.diffusion.net, "patch", 1)) > 1:
            folded = f"its images are folded by {patch}x{patch} pixels, which no UNet2DModel unfolds: give output_type"
            yield Message(f"note: {folded}='np', and torch.nn.functional.pixel_shuffle(images, {patch}) makes pixels")
    elif plan.to == "pt2":
        yield Message(f"Load it with:  torch.export.load({str(out)!r}).module()")
    elif plan.to == "html":
        yield Message(f"Open {out} in a browser: it holds the model, {format_bytes(out.stat().st_size)}.")
    elif plan.to == "space":
        path = shlex.quote(str(out))
        yield Message(f"Upload it to a static Space of yours:  hf upload USER/NAME {path} --repo-type space")
    return out


def _fitting(plan: Export, model: Model) -> tuple[Export, str]:
    """Choose the format that fits a model. Returns the plan with it, and a line that says which and why."""
    problems = obstacles(model)
    if model.spec.autoencoder is not None:
        problems = ["it is a model of latents, and a DDPMPipeline has no place for their decoder"]
    if not problems and model.spec.classes:
        problems = [f"it takes no classes: {option('label', model.spec.classes[0])} builds one in"]
    if not problems and (patch := getattr(model.diffusion.net, "patch", 1)) > 1:
        problems = [f"its samples would stay folded by {patch}x{patch} pixels"]
    if not problems:
        return dataclasses.replace(plan, to="diffusers"), "The format is diffusers, which can hold this model."
    missing = not all(map(find_spec, ("onnx", "onnxscript")))
    to: Format = "pt2" if missing else "onnx"
    reason = f"diffusers cannot hold this model as it is: {'; '.join(problems)}"
    onnx = f", and ONNX needs two more packages: {install_command('onnx')}" if missing else ""
    return dataclasses.replace(plan, to=to), f"The format is {to}, since {reason}{onnx}. {option('to')} names another."


def _description(model: Model, run: str | Path) -> str:
    """What a page says of a model: what it is, and how its answers to conditions were judged, if they were."""
    text = f"{describe_model(model.config, model.spec, short_source(model.config.data.source))}."
    sha256 = None if model.file is None else storage.sha256(model.file)
    measured = EvaluationResult.load(home(run) / run_files.EVALUATION, sha256).conditional
    if measured is None or measured.samples.sampler != repr(model.sampler()):  # it is judged as it samples
        return text
    return f"{text} {conditional_verdict(measured)}"
