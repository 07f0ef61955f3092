"""Whose a job is, and who may stop it: the visitor who started it, and the user of the machine who runs the studio.

A visitor is told by the cookie of the page. The user of the machine is told by the connection: on Linux the system says
which user holds the other end of a connection within the machine. Elsewhere, it is whoever asks from this machine.
"""

import functools
import os
import sys

from starlette.requests import Request

from ancestral_studio.answers import RefusedError
from ancestral_studio.guard import is_loopback, user_of
from ancestral_studio.state import client_of, owner_of

FORWARDED = ("forwarded", "x-forwarded-for", "via")
"""Headers of a proxy on this machine, which brings requests of others."""


class Visitor:
    """Who sent a request.

    Args:
        request: The request.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.owner = owner_of(client_of(request))

    @functools.cached_property
    def is_own_user(self) -> bool:
        """Whether the request comes from a program of the user who runs the studio, on this machine."""
        there = self._request.scope.get("client")
        if not there or any(name in self._request.headers for name in FORWARDED):
            return False
        if sys.platform != "linux":
            return is_loopback(there[0])
        return user_of(self._request.scope) == os.getuid()

    def may_stop(self, owner: str) -> bool:
        """Tell whether the visitor may stop what somebody started.

        Args:
            owner: `owner_of` who started it; "" if that is not known.
        """
        return owner == self.owner or self.is_own_user

    def check_may_stop(self, owner: str) -> None:
        """Raise RefusedError for what is another visitor's."""
        if not self.may_stop(owner):
            raise RefusedError(
                "this is another visitor's: only they, and the user of the machine who runs the studio, can stop it"
            )

    def marks(self, owner: str) -> dict[str, bool]:
        """Return what pages get of the owner of something that runs."""
        return {"mine": owner == self.owner, "may_stop": self.may_stop(owner)}
