"""Events of a use case: the public name of `ancestral.base.events`."""

from ancestral.base.events import Event as Event
from ancestral.base.events import Measured as Measured
from ancestral.base.events import Message as Message
from ancestral.base.events import State as State
from ancestral.base.events import Work as Work
from ancestral.base.events import Wrote as Wrote
from ancestral.base.events import finish as finish
from ancestral.base.events import track as track
