"""Samplers: rules that walk a denoiser's estimates from x_T to a sample. One loop, one file a method."""

import difflib

from ancestral.errors import InputError
from ancestral.samplers.ddim import DDIM
from ancestral.samplers.ddpm import DDPM
from ancestral.samplers.loop import Move, Sampler, Spacing, Step

__all__ = ["BY_NAME", "DDIM", "DDPM", "Move", "Sampler", "Spacing", "Step", "from_name"]

BY_NAME: dict[str, type[DDPM] | type[DDIM]] = {"ddpm": DDPM, "ddim": DDIM}


def from_name(name: str, **options: object) -> Sampler:
    """The sampler called `name` with its options, those that are None left at their defaults.

    Raises InputError for a name that is unknown and for an option that this sampler does not have.
    """
    if name not in BY_NAME:
        near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.0)[0]
        raise InputError(f"unknown sampler {name!r}; did you mean {near}? There are {', '.join(BY_NAME)}")
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in BY_NAME[name].__dataclass_fields__:
            raise InputError(
                f"sampler {name} has no option {key}; it has {', '.join(BY_NAME[name].__dataclass_fields__)}"
            )
    return BY_NAME[name](**given)  # type: ignore[arg-type]  # each value is checked where it is used
