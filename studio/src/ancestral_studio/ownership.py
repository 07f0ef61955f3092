"""Whose a job is, and who may stop it: the visitor who started it, and the user of the machine who runs the studio.

A visitor is told by the cookie of the page. The user of the machine is told by the connection: on Linux the system says
which user holds the other end of a connection within the machine. Elsewhere, it is whoever asks from this machine.
"""

import functools
import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request

from ancestral_studio.answers import RefusedError
from ancestral_studio.guard import is_loopback
from ancestral_studio.state import client_of, owner_of

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
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
        here, there = self._request.scope.get("server"), self._request.scope.get("client")
        if not here or not there or any(name in self._request.headers for name in FORWARDED):
            return False
        if sys.platform != "linux":
            return is_loopback(there[0])
        users = {user for local, remote, user in _connections() if (local, remote) == (_end(*there), _end(*here))}
        return users == {os.getuid()}

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


End = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


def _end(host: str, port: int) -> End:
    """One end of a connection, with IPv4 within IPv6 as IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address, port


def _connections() -> Iterator[tuple[End, End, int]]:
    """The TCP connections of this machine: their two ends, and the user who holds the first."""
    for table in TABLES:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            yield _read_end(fields[1]), _read_end(fields[2]), int(fields[7])


def _read_end(text: str) -> End:
    """Read an end as the system writes it: an address in words of four bytes, and a port."""
    digits, _, port = text.partition(":")
    words = [bytes.fromhex(digits[start : start + 8]) for start in range(0, len(digits), 8)]
    content = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return _end(str(ipaddress.ip_address(content)), int(port, 16))
