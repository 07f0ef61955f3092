"""`ancestral export RUN`: a model as a folder that diffusers loads, or as an ONNX file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from ancestral.cli.parse import home, parse
from ancestral.errors import InputError


@dataclass(frozen=True)
class Options:
    """Write a model for other programs."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""
    to: Literal["diffusers", "onnx"] = "diffusers"
    """diffusers: a folder for DDPMPipeline.from_pretrained; onnx: a file with the network and all that sampling needs.
    """
    out: Path | None = None
    """A new folder, or for onnx a file that ends in .onnx; None is diffusers or model.onnx in RUN."""
    label: str | None = None
    """Class that is built into the folder for diffusers, by name or number, or "none"; needed where a model has
    classes."""


def main(argv: Sequence[str]) -> int:
    """Export, and return the exit code."""
    options = parse(Options, argv, "export")
    if options.to == "onnx":
        if options.label is not None:
            raise InputError("an ONNX file takes labels as an input, so none is built in; leave --label out")
        if options.out is not None and options.out.suffix.lower() != ".onnx":
            raise InputError(f"--to onnx writes a file that ends in .onnx, not {options.out}")
    from ancestral import interop
    from ancestral import model as models

    model = models.load(options.run, "cpu")
    out = options.out or home(options.run) / ("model.onnx" if options.to == "onnx" else "diffusers")
    if options.to == "onnx":
        interop.write_onnx(model, out)
        print(out)
        return 0
    interop.write_pipeline(model, out, options.label)
    print(out)
    print(f"Load it with:  diffusers.DDPMPipeline.from_pretrained({str(out)!r})")
    return 0
