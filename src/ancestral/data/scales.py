"""The scales of a data set: fitted to its items, or read from a file of means and deviations."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from ancestral.base.arguments import read_json
from ancestral.base.errors import InputError, one_line
from ancestral.base.options import option
from ancestral.conditions import Condition, Image
from ancestral.config.data_config import parse_scale
from ancestral.data.dataset import Dataset, InMemoryDataset
from ancestral.data.given import with_kinds
from ancestral.data.spec import Codec
from ancestral.scaling import DEVIATION, Scale

FEW = 64
"""Items whose distribution proposes a scale."""
LONG_TAIL, LONG_TAILS = 2.0, 9.0
"""The skewness and the fourth moment, in standard deviations, from which tails are long; of a normal 0 and 3."""
MOST_VALUES = 2**22
"""Values that scales are fitted to, of evenly spaced items."""


def fitted_codec(data: Dataset, scale: str) -> Codec:
    """Return the codec of a data set of floats with other scales than the range of each channel.

    Args:
        data: The items whose statistics count: those that are trained on.
        scale: The name of a scale, with those of channels, as in "standard,tp=log1p"; or a file of means and
            deviations, as `config.data_config.parse_scale` reads it.

    Raises:
        InputError: If the items are no floats, a channel is not there, or a file does not have it.
    """
    codec = data.codec
    if codec.level is not None or len(data.shape) == 1:
        what = "points" if len(data.shape) == 1 else "integers, whose range is known"
        raise InputError(f"{data.name} holds {what}: leave {option('scale', scale)} out")
    general, by_name, path = parse_scale(scale)
    names = data.spec.channel_names
    if path is not None and not path.exists():
        raise InputError(f"{option('scale', path)}: there is no such file")
    if path is not None:
        return replace(codec, scaling=_read(path, names))
    if unknown := by_name.keys() - set(names):
        raise InputError(
            f"{option('scale', scale)} names {', '.join(sorted(unknown))}, and the channels of {data.name} are "
            f"{', '.join(names)}"
        )
    items = data.sample(count := max(1, MOST_VALUES // data.empty_stored(1).numel()), count).all_stored
    if not codec.ranges and not by_name:
        return replace(codec, scaling=(Scale.of(general, items),))
    ranges = codec.ranges or (codec.limits,) * len(names)
    scaling = []
    for number, name in enumerate(names):
        chosen, (low, high) = by_name.get(name, general), ranges[number]
        linear = Scale("standard", (low + high) / 2, (high - low) / 2)
        scaling.append(linear if chosen == "minmax" else Scale.of(chosen, items[:, number]))
    return replace(codec, ranges=ranges if len(names) > 1 else (), scaling=tuple(scaling))


def proposed_scale(data: Dataset) -> str:
    """Choose a scale of fields by the distribution of each channel.

    "log1p" of values from 0 on with a long tail, "asinh" of both signs with long tails, and else "standard".
    """
    items, names = data.sample(FEW, FEW).all_stored, data.spec.channel_names
    chosen = dict[str, str]()
    for number, name in enumerate(names):
        v = items[:, number].flatten().double()
        v = v[v.isfinite()]
        z = (v - v.mean()) / v.std(correction=0).clamp(min=1e-300) if len(v) else v
        skewness, tails = (float((z**power).mean()) if len(v) else 0.0 for power in (3, 4))
        if len(v) and float(v.min()) >= 0 and skewness > LONG_TAIL:
            chosen[name] = "log1p"
        elif tails > LONG_TAILS:
            chosen[name] = "asinh"
    if len(set(chosen.values())) == 1 and len(chosen) == len(names):
        return chosen[names[0]]
    return ",".join(["standard", *(f"{name}={scale}" for name, scale in chosen.items())])


def with_codec(data: Dataset, codec: Codec) -> Dataset:
    """Return a data set whose items, and what operators make of them, are scaled by a codec of their kind."""
    kinds = {name: _scaled(kind, codec) for name, kind in data.spec.further.items()}
    if kinds != data.spec.further:
        data = with_kinds(data, kinds, data.conditions)
    if isinstance(data, InMemoryDataset):
        return replace(data, limits=codec.channel_limits, coded=codec)
    part = copy.copy(data)
    part.spec = replace(data.spec, codec=codec)
    return part


def _scaled(kind: Condition, codec: Codec) -> Condition:
    """The kind of a condition that an operator makes of the items, in their scale."""
    if not (isinstance(kind, Image) and (kind.made_by or kind.earlier or kind.window == "coarse") and codec.scaling):
        return kind
    scaling, own = codec.scaling, kind.channels - kind.masked
    if len(scaling) > 1 or kind.masked:
        scaling = (*(scaling * (own // len(scaling))), *[Scale("standard")] * kind.masked)
    return replace(kind, scaling=scaling if len(scaling) in (1, kind.channels) else (Scale("standard"),))


def _read(path: Path, names: tuple[str, ...]) -> tuple[Scale, ...]:
    """The scales of a file: JSON as {"t2m": {"mean": 280, "std": 15}}, or what xarray opens, with the variables mean
    and std, whose coordinate has the names.
    """
    table = _json(path) if path.suffix.lower() == ".json" else _variables(path)
    scales = []
    for name in names:
        mean, deviation = (table.get(name, {}).get(part) for part in ("mean", "std"))
        if not all(isinstance(part, int | float) for part in (mean, deviation)) or not (
            0 < deviation < math.inf and abs(mean) < math.inf
        ):
            raise InputError(
                f'{one_line(path)} has no mean and deviation of {name}: write {{"{name}": {{"mean": ..., "std": ...}}}}'
            )
        scales.append(Scale("standard", float(mean), float(deviation) / DEVIATION))
    return tuple(scales)


def _json(path: Path) -> dict[str, Any]:
    try:
        tree = read_json(path.read_text("utf-8"), one_line(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{one_line(path)} cannot be read: {one_line(error)}") from None
    return {name: values for name, values in tree.items() if isinstance(values, dict)}


def _variables(path: Path) -> dict[str, Any]:
    from ancestral.data.sources.fields import opened

    with opened(path) as fields:
        if not {"mean", "std"} <= set(fields.variables) or not fields["mean"].dims == fields["std"].dims != ():
            raise InputError(
                f"{one_line(path)} holds no mean and std along one axis of channels: give both, with their names"
            )
        names = map(str, fields[fields["mean"].dims[0]].values.tolist())
        pairs = zip(fields["mean"].values.tolist(), fields["std"].values.tolist(), strict=True)
        return {name: {"mean": mean, "std": std} for name, (mean, std) in zip(names, pairs, strict=True)}
