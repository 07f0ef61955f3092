"""What Ancestral is measured against, each behind the same interface. Of the peers only their public calls are used."""

from collections.abc import Callable

from peers.contest import Contestant, Task

NAMES = ("ancestral", "diffusers-documented", "diffusers-tuned", "ddp-documented", "ddp-tuned")
"""The contestants of the quality part; ddp is denoising-diffusion-pytorch."""


def make(name: str) -> Callable[[Task], Contestant]:
    """What builds the contestant called `name`. A peer is imported here, when it is asked for."""
    if name == "ancestral":
        from peers.ours import Ours

        return Ours
    if name.startswith("diffusers"):
        from peers import diffusers_

        return diffusers_.documented if name.endswith("documented") else diffusers_.tuned
    from peers import ddp

    return ddp.documented if name.endswith("documented") else ddp.tuned
