"""A model for other libraries: a folder for diffusers, or an ONNX file."""

from collections.abc import Generator
from pathlib import Path

from ancestral import interop
from ancestral.declarations import Export
from ancestral.errors import InputError
from ancestral.events import Event, Message, Wrote
from ancestral.model import load
from ancestral.options import option
from ancestral.registries import DISTILLATIONS
from ancestral.workflows.model_cards import home


def plan(options: Export) -> Export:
    """Check the options. Raises InputError if the format takes no label, or not the path, or a file is there."""
    if options.to == "onnx" and options.label is not None:
        raise InputError(f"an ONNX file takes labels as an input, so none is built in; leave {option('label')} out")
    if options.to == "onnx" and options.out is not None and Path(options.out).suffix.lower() != ".onnx":
        raise InputError(f"{option('to', 'onnx')} writes a file that ends in .onnx, not {options.out}")
    if options.to == "onnx" and options.out is not None and Path(options.out).is_file():
        raise InputError(f"{options.out} exists already; give {option('out')} another name, or remove the file")
    return options


def run(plan: Export) -> Generator[Event, None, Path]:
    """Write the model and return the path. Raises InputError if the format cannot hold it."""
    model = load(plan.run, "cpu", net=plan.net)
    name = "model.onnx" if plan.to == "onnx" else "diffusers"
    out = home(plan.run) / name if plan.out is None else Path(plan.out)
    if plan.to == "onnx":
        interop.write_onnx(model, out)
    else:
        interop.write_pipeline(model, out, plan.label)
    yield Wrote(out)
    if plan.to == "diffusers":
        if method := model.config.distil.method:  # one step of DDIM ends at x̂_0, as one of the consistency sampler does
            steps = model.config.distil.evaluations if not DISTILLATIONS[method].consistent else 1
            arguments = f"(num_inference_steps={steps}, use_clipped_model_output=True)"
            yield Message(f"Sample with:  diffusers.DDIMPipeline.from_pretrained({str(out)!r}){arguments}")
        else:
            yield Message(f"Load it with:  diffusers.DDPMPipeline.from_pretrained({str(out)!r})")
    return out
