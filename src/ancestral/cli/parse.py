"""Options from dataclasses, and errors in one line.

tyro reads the options. It reports errors in a panel on standard error and exits, so the panel is
folded into the one line of an `InputError`.
"""

import contextlib
import difflib
import io
import re
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import tyro

from ancestral.cli.help_text import find_options, help_text
from ancestral.config import net_kinds_with
from ancestral.errors import InputError

T = TypeVar("T")

SYNONYMS = {
    "--device cuda": ("gpu", "cuda", "use-gpu"),
    "--device cpu": ("cpu", "no-gpu", "no-cuda"),
    "--image-size": ("resolution", "res", "size", "img-size", "height", "side"),
    "--label": ("class", "class-label", "category", "digit"),
    "--guidance": ("cfg", "cfg-scale", "guidance-scale"),
    "--steps": ("num-steps", "max-steps", "train-steps", "iterations", "iters", "num-inference-steps"),
    "--lr": ("learning-rate",),
    "--batch-size": ("batch", "bs", "train-batch-size"),
    "--data": ("dataset", "data-dir", "train-data-dir", "input", "folder", "images", "path"),
    "--out": ("output", "output-dir", "outdir", "save-dir", "dir", "name"),
    "--to": ("format", "export-to"),
    "-n": ("num", "num-samples", "num-images", "count", "number"),
    "--seed": ("random-seed", "rng"),
    "--timesteps": ("noise-steps", "num-train-timesteps", "diffusion-steps"),
    "--width": ("channels-base", "base-channels", "model-channels", "dim", "hidden-size"),
    "--mults": ("dim-mults", "channel-mults", "channel-mult"),
    "--target": ("prediction-type", "parameterization", "predict"),
    "--schedule": ("noise-schedule", "beta-schedule"),
    "--ema": ("ema-decay",),
    "--micro-batch": ("gradient-accumulation-steps", "accumulate", "grad-accum"),
    "--clip-norm": ("grad-clip", "max-grad-norm"),
    "--precision": ("fp16", "bf16", "half", "amp", "mixed-precision", "dtype"),
    "--workers": ("num-workers",),
    "--channels 1": ("grayscale", "greyscale", "gray", "grey"),
    "--channels 4": ("rgba", "alpha", "transparency", "transparent"),
    "--flip": ("augment", "augmentation", "hflip", "horizontal-flip", "random-flip", "mirror"),
    "--from": ("pretrained", "checkpoint", "init", "initial", "weights", "finetune"),
}
"""Options by their names in other programs."""
ABSENT = {
    "no model here reads text: ancestral sample chooses a class of the data by --label": (
        "prompt",
        "text",
        "negative-prompt",
        "caption",
    ),
    "images have the size that the model was trained on (ancestral train --image-size)": SYNONYMS["--image-size"],
    "training counts steps, batches of --batch-size items: --steps": ("epochs", "num-epochs", "epoch"),
    "several GPUs are started by torchrun: torchrun --nproc_per_node 2 -m ancestral train ...": (
        "gpus",
        "num-gpus",
        "devices",
    ),
    "--attention without a number leaves self-attention out": ("no-attention", "no-attn"),
    "name the run folder or the model file without an option": (
        "model",
        "run",
        "ckpt",
        "checkpoint",
        "weights",
        "path",
    ),
}
"""What to say of options of other programs that no option here answers, where SYNONYMS has none either."""


def parse(kind: type[T], args: Sequence[str], verb: str, default: T | None = None, description: str = "") -> T:
    """Read the options of a command into the dataclass `kind`, over the values of `default`.

    Nested settings are plain options: --lr, not --config.train.lr. --help prints the common options with their defaults
    and --help-all all of them, and both exit with code 0. Raises InputError for an option that is unknown, missing, or
    has a value that it cannot have.
    """
    if {"-h", "--help", "--help-all"} & set(args):
        print(help_text(verb, kind, default, description, "--help-all" in args), end="")
        raise SystemExit(0)
    read = partial(
        tyro.cli,
        kind,
        prog=f"ancestral {verb}",
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            options: T
            options, unknown = read(args=args, return_unknown_args=True)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(f"{_fold(errors.getvalue())}; see ancestral {verb} --help") from None
    if not unknown:
        return options
    if not unknown[0].startswith("-"):
        raise InputError(f"{unknown[0]!r} is one word too many; see ancestral {verb} --help")
    name = unknown[0].partition("=")[0]
    known = re.findall(
        r"(?<![\w-])-{1,2}[a-z][a-z-]*", " ".join(option.written for option in find_options(kind, default))
    )
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = _of_other_programs(name, known) or (f"did you mean {near[0]}?" if near else f"see ancestral {verb} --help")
    kinds = net_kinds_with(name[2:].replace("-", "_"))
    if kinds and "--net" in known:
        raise InputError(f"{name} is for --net {' or '.join(kinds)}, and this network is of another kind; leave it out")
    raise InputError(f"ancestral {verb} has no option {name}; {hint}")


def _of_other_programs(name: str, known: Sequence[str]) -> str:
    """The hint for an option that other programs have by this name, or ""."""
    word = name.lstrip("-").replace("_", "-")
    for option, names in SYNONYMS.items():
        if word in names and option.partition(" ")[0] in known:
            return f"did you mean {option}?"
    return next((text for text, names in ABSENT.items() if word in names), "")


def _fold(panel: str) -> str:
    """The text of tyro's panel, without its frame (in Unicode or in ASCII), as one line."""
    text = re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯├┤─]|--{2,}|^[|+]|[|+]$", " ", panel, flags=re.MULTILINE)
    text = " ".join(text.split())
    missing = re.search(r"Missing from ancestral [\w ]+: (\w+)", text)
    if missing:
        return f"{missing[1]} is missing"
    text = re.sub(r"^(Parsing error|Value error|Missing argument|Invalid choice|Required options) ", "", text)
    text = re.sub(r"^Error parsing [\w.]+: ", "", text)  # a dataclass refused the values of its fields
    text = re.sub(r"invalid literal for int\(\) with base 10: ('.*?')", r"\1 is no whole number", text)
    text = re.sub(r"could not convert string to float: ('.*?')", r"\1 is no number", text)
    text = re.sub(r"no type matching .* Got errors: .* - [^:]+: ", "", text)  # an option that may be left out
    text = re.sub(r"Could not find valid parse for arguments: \[(.*?)\]", r"\1 is no list of numbers", text)
    text = re.sub(r"\. Expected one of \((.*?)\)", _list_choices, text)
    return re.split(r" Argument helptext:| For full helptext", text)[0].rstrip(".")


def _list_choices(found: re.Match[str]) -> str:
    """The choices in tyro's order, which varies, as a sorted list; None is what leaving the option out means."""
    return "; choose " + ", ".join(sorted({choice.strip("' ") for choice in found[1].split(",")} - {"None", ""}))
