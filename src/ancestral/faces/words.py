"""The words of a command line, read by the fields of a declaration: only options that are given have a value."""

import itertools
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Union

from ancestral.base.arguments import describe, fits, is_remote, nearest, shown
from ancestral.base.errors import InputError
from ancestral.base.fields import Argument
from ancestral.base.options import on_command_line

SYNONYMS = {
    "--device cuda": ("gpu", "cuda", "use-gpu"),
    "--device cpu": ("cpu", "no-gpu", "no-cuda"),
    "--image-size": ("resolution", "res", "size", "img-size", "height", "side"),
    "--size": ("resolution", "res", "img-size", "image-size", "height", "width", "side"),
    "--seamless": ("tileable", "tiling", "circular", "tile"),
    "--label": ("class", "class-label", "category", "digit"),
    "--guidance": ("cfg", "cfg-scale", "guidance-scale"),
    "--given": ("condition", "conditions", "cond", "conditioning", "control", "pair", "attributes"),
    "--weak": ("autoguidance", "bad-model"),
    "--sweep": ("grid", "xy-plot", "x-axis", "axis", "table", "vary"),
    "--by": ("y-axis", "rows"),
    "--mask": ("mask-image", "inpaint-mask"),
    "--box": ("bbox", "rectangle"),
    "--strength": ("denoising-strength", "denoise"),
    "--operator": ("degradation", "physics"),
    "--steps": ("num-steps", "max-steps", "train-steps", "iterations", "iters", "num-inference-steps"),
    "--lr": ("learning-rate",),
    "--batch-size": ("batch", "bs", "train-batch-size"),
    "--data": ("dataset", "data-dir", "train-data-dir", "input", "folder", "images", "path"),
    "--out": ("output", "output-dir", "outdir", "save-dir", "dir", "name"),
    "--to": ("format",),
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
    "--augment": ("augmentation", "augment-p", "data-augmentation", "ada"),
    "--flip": ("hflip", "horizontal-flip", "random-flip", "mirror"),
    "--crop": ("random-crop", "random-crops", "random-resized-crop"),
    "--balance": ("balanced", "class-balance", "oversample", "class-weights"),
    "--from": ("pretrained", "checkpoint", "init", "weights", "finetune"),
}
"""Options by their names in other programs."""
NO_VALUE = {
    "images have the size that the model was trained on (ancestral train --image-size)": SYNONYMS["--image-size"],
    "training counts steps, batches of --batch-size items: --steps": ("epochs", "num-epochs", "epoch"),
    "several GPUs are started by torchrun: torchrun --nproc_per_node 2 -m ancestral train ...": (
        *("gpus", "num-gpus", "devices"),
    ),
    "--attention without a number leaves self-attention out": ("no-attention", "no-attn"),
    "name the run folder or the model file without an option": (
        *("model", "run", "ckpt", "checkpoint", "weights", "path"),
    ),
}
"""Advice on options of other programs that no option here answers, where SYNONYMS has none either."""


TEXTS, TEXTS_TO_AVOID = ("prompt", "text", "caption"), ("negative-prompt", "negative-text", "negative-caption")
"""Options of other programs for a text and for one to avoid, which are values of the condition `caption` here."""


def written(one: Argument) -> list[str]:
    """List the names of an option on the command line, the one that messages use first."""
    names = [one.name, *one.short]
    return [*dict.fromkeys([*(on_command_line(name, []) for name in names), f"--{one.name.replace('_', '-')}"])]


def read(words: Sequence[str], arguments: Sequence[Argument], verb: str, complete: bool = True) -> dict[str, Any]:
    """Read the words after a command.

    Args:
        words: The words. After "--", none is an option.
        arguments: The options.
        verb: The command, for messages.
        complete: Whether options that are required must be there.

    Returns:
        The values of the options that are given, by their names in Python.

    Raises:
        InputError: If an option is unknown or missing, or has a value that it cannot have.
    """
    options = [one for one in arguments if not (one.positional and one.required)]
    by_word = {on_command_line(one.name, ["False"]): (one, False) for one in options if one.flag or one.off}
    for one in sorted(options, key=lambda one: not one.positional):
        by_word |= dict.fromkeys(written(one), (one, True))
    values: dict[str, Any] = {}
    places, queue = list[str](), [*words]
    while queue:
        word = queue.pop(0)
        if word == "--":
            places += queue
            break
        if not _is_option(word):
            places.append(word)
            continue
        name, equals, value = word.partition("=")
        if name not in by_word and not name.startswith("--") and name[:2] in by_word:  # as in -n5
            name, equals, value = word[:2], "=", word[2:].removeprefix("=")
        if name not in by_word and (advice := _of_text(name, [value] if equals else [*queue], [*by_word], words)):
            raise InputError(f"ancestral {verb} has no option {name}; {advice}")
        if name not in by_word:
            raise _unknown(name, [word for word, (one, _) in by_word.items() if not one.deletes], verb)
        one, on = by_word[name]
        again = values.get(one.name, one.bare) != one.bare  # a number may follow --samples, as in --samples --draw 16
        if again and not one.repeats:
            once = f"give all values after one, as in {written(one)[0]} A B" if one.many else "give it once"
            raise InputError(f"{written(one)[0]} is given twice; {once}")
        if one.flag or not on:
            if equals:
                raise InputError(f"{name} takes no value, so not {shown(value)}")
            values[one.name] = on
            continue
        option_words = [value] if equals else _values(one, queue, needs_place=not places and any(
            each.required and each.positional for each in arguments))  # fmt: skip
        if option_words or one.many:
            more = values.get(one.name, ()) if one.repeats else ()
            values[one.name] = (*more, *convert(one, option_words)) if more else convert(one, option_words)
        elif one.bare is not None:
            values[one.name] = one.bare
        else:
            raise InputError(f"{name} needs a value; see ancestral {verb} --help")
    for one in arguments:
        if not one.positional:
            continue
        option_words, places = (places, []) if one.many else (places[:1], places[1:])
        if option_words:
            if one.name in values:
                raise InputError(f"{one.metavar} is given twice, {option_words[0]} and {on_command_line(one.name, [])}")
            values[one.name] = convert(one, option_words)
        elif complete and one.required and one.name not in values:
            raise InputError(f"{one.metavar} is missing; see ancestral {verb} --help")
    if places:
        raise InputError(f"{places[0]!r} is one word too many; see ancestral {verb} --help")
    return values


def convert(one: Argument, words: Sequence[str]) -> Any:
    """Convert words to the value of an option. Raises InputError if its type has no such value."""
    if one.positional and not all(words):
        raise InputError(f"{one.metavar} is empty")
    for kind in _kinds(one.hint):
        try:
            if typing.get_origin(kind) is tuple:
                inner = typing.get_args(kind)[0]
                value: Any = tuple(_single(kind, word) for word in words for kind in [inner])
            else:
                value = _single(kind, words[0])
        except ValueError:
            continue
        if fits(value, kind):
            return value
    text = " ".join(words)
    name = one.metavar if one.positional else written(one)[0]
    kinds = [typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind for kind in _kinds(one.hint)]
    several = ", or several" if one.many else ""
    raise InputError(f"{name} cannot be {shown(text)}: give {describe(Union[tuple(kinds)])}{several}")  # noqa: UP007


def _single(kind: Any, word: str) -> Any:
    if typing.get_origin(kind) is Literal:
        return next((choice for choice in typing.get_args(kind) if str(choice) == word), None)
    if kind is Any:
        return word
    if kind is Path and not word:
        raise ValueError
    convert: Callable[[str], Any] = kind
    return convert(word)


def _kinds(hint: Any) -> tuple[Any, ...]:
    union = typing.get_origin(hint) in (Union, types.UnionType)
    return tuple(kind for kind in (typing.get_args(hint) if union else (hint,)) if kind is not type(None))


def _is_option(word: str) -> bool:
    """Whether a word is an option, not a value, a negative number or "-"."""
    if not word.startswith("-") or word == "-":
        return False
    try:
        float(word)
    except ValueError:
        return True
    return False


def _values(one: Argument, queue: list[str], needs_place: bool) -> list[str]:
    """Take the values of an option from the words that follow it.

    The last of several is left for RUN if that is still missing, and it is an address or a path that exists.
    """
    count = 0
    while count < len(queue) and not _is_option(queue[count]) and (one.many or count < 1):
        count += 1
    if one.bare is not None and count and not _suits(one, queue[0]):
        count = 0
    if one.many and needs_place and count > 1 and _is_place(queue[count - 1]):
        count -= 1
    value_words, queue[:] = queue[:count], queue[count:]
    return value_words


def _suits(one: Argument, word: str) -> bool:
    """Whether a word is the value of an option that needs none: a mode, a number, or a file that is no RUN."""
    if typing.get_origin(one.hint) is Literal:
        return word in typing.get_args(one.hint)
    if not one.suffixes:
        return word.isdigit()
    suffix = Path(word).suffix.lower()
    return suffix in one.suffixes or (suffix not in ("", ".safetensors") and not _is_place(word))


def _is_place(word: str) -> bool:
    return is_remote(word) or Path(word).exists()


def _of_text(name: str, following: Sequence[str], names: Sequence[str], words: Sequence[str]) -> str:
    """Advise the option that has a text in the place of one of another program; "" of other options.

    Args:
        name: The option of another program.
        following: The words behind it.
        names: The options of the command.
        words: All words of the command line.
    """
    word = name.lstrip("-").replace("_", "-")
    if word not in (*TEXTS, *TEXTS_TO_AVOID):
        return ""
    if "--avoid" not in names:
        return "a model learns from captions by ancestral train --given caption; sample and edit take texts"
    text = " ".join(itertools.takewhile(lambda one: not (_is_option(one) or _is_place(one)), following))
    value = on_command_line("avoid" if word in TEXTS_TO_AVOID else "given", [f"caption={text or 'a red circle'}"])
    guided = any(one.partition("=")[0] == "--guidance" for one in words)
    guidance = " --guidance 3" * (word in TEXTS_TO_AVOID and not guided)
    return f"did you mean {value}{guidance}? The condition may have another name: ancestral info lists those of a model"


def _unknown(name: str, names: Sequence[str], verb: str) -> InputError:
    word = name.lstrip("-").replace("_", "-")
    matches = [one for one, others in SYNONYMS.items() if word in others and one.partition(" ")[0] in names]
    texts = [text for text, others in NO_VALUE.items() if word in others] if not matches else []
    spellings = {one.lstrip("-"): one for one in names}
    matches += [spellings[near]] if not matches and (near := nearest(word, spellings)) else []
    hint = next(iter([*texts, *(f"did you mean {match}?" for match in matches)]), f"see ancestral {verb} --help")
    return InputError(f"ancestral {verb} has no option {name}; {hint}")
