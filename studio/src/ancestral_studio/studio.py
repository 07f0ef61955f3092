"""The use case of `ancestral studio`: serve the pages over the folders that the user names."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from ancestral.base import storage
from ancestral.base.events import Event, Message
from ancestral.base.options import option
from ancestral.declarations import Studio
from ancestral_studio.guard import is_loopback
from ancestral_studio.places import Places
from ancestral_studio.server import Server

OUT = Path("runs/studio")


@dataclass(frozen=True)
class StudioPlan:
    """What is decided before the studio starts.

    Attributes:
        options: What the user gave.
        places: The folders that may be read.
        out: The folder of what is made.
    """

    options: Studio
    places: Places
    out: Path


def plan(options: Studio) -> StudioPlan:
    """Decide which folders the studio may read, and where it keeps what is made.

    Raises:
        InputError: If a folder does not exist.
        OSError: If nothing can be written where it keeps what is made.
    """
    places = (options.places,) if isinstance(options.places, str | Path) else options.places or (".",)
    out = Path(OUT if options.out is None else options.out)
    storage.check_writable(out)
    return StudioPlan(options, Places([Path(place) for place in places], out), out)


def run(plan: StudioPlan) -> Generator[Event, None, None]:
    """Serve the pages until Ctrl-C.

    Yields:
        What it means that no token is needed, and the address, as soon as it is served.

    Raises:
        InputError: If another studio keeps what it makes in the same folder, or the address is taken.
    """
    host = plan.options.host
    plan.out.mkdir(parents=True, exist_ok=True)
    line = f"another studio runs in {plan.out}: use that one or end it, or give {option('out')} another folder"
    with storage.locked(plan.out, line):  # one would delete what another one is making
        server = Server(plan.places, plan.out, host, plan.options.port, plan.options.token)
        if not plan.options.token:
            visitors = "every user of this machine" if is_loopback(host) else "everybody who reaches this machine"
            what = f"{visitors} can read these folders, train and delete with your rights"
            yield Message(f"{option('token', False)}: {what}")
        yield Message(f"the studio is at {server.address}; Ctrl-C ends it, and trainings go on")
        server.serve(browse=plan.options.open)
