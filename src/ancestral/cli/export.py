"""`ancestral export RUN`: a model as a folder that diffusers loads, or as an ONNX file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.options import on_command_line


@dataclass(frozen=True)
class Options:
    """Write a model for other libraries."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""
    to: Literal["diffusers", "onnx"] = "diffusers"
    """diffusers: a folder for DDPMPipeline.from_pretrained; onnx: a file with the network and all that sampling needs.
    """
    out: Path | None = None
    """A new folder, or for onnx a file that ends in .onnx; default: diffusers or model.onnx in RUN."""
    label: str | None = None
    """Class that is built into the folder for diffusers, by name or number, or "none"; needed for models with
    classes."""
    net: Annotated[str | None, arg(metavar="package.module:function")] = None
    """Function that builds the network of your own that the model was trained with."""


def main(argv: Sequence[str]) -> int:
    """Export, and return the exit code."""
    options = parse(Options, argv, "export")
    from ancestral.render.terminal import follow
    from ancestral.workflows import publish

    follow(publish.export(options.run, options.to, options.out, options.label, options.net), spelling=on_command_line)
    return 0
