"""The guard of the studio: who may ask, and what a browser may do with the answers.

A page of another site can send requests to an address of this machine by the browser of its visitor, and a name of
another site can be made to lead here. So the name in `Host` must be one of this studio's, and the page that asks must
be its own. Other users of this machine can send requests too, and so a request must have the token.

A browser sends the cookies of a host to each of its ports, where a server of another user may listen. So the cookie
that stands for the token does not hold it, and is made for the user of this machine whose browser got it: on Linux the
system says which user holds the other end of a connection.
"""

import hmac
import ipaddress
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from ancestral_studio.answers import answer
from ancestral_studio.state import StudioState, cookie, new_visitor

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; connect-src 'self'; frame-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
DEFAULT_PORT = "80"
"""The port that browsers leave out of `Host` and `Origin`."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
"""The TCP connections of this machine, on Linux."""


class Guard:
    """Middleware that refuses requests of others, and adds the headers of `HEADERS` to each answer that lacks them.

    Args:
        app: What is guarded.
        state: The studio.
        host: The address that it listens at.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], state: StudioState, host: str) -> None:
        self.app, self.state, self.host = app, state, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it with one line."""
        values: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        cookies = _cookies(values.get("cookie", []))
        query = parse_qs(scope["query_string"].decode("latin-1")) if scope["path"] == "/" else {}
        token = query.get("token", [""])[0]
        new_cookies = list[bytes]()

        async def send_with_headers(message: Scope) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                further = ((name.encode(), value.encode()) for name, value in HEADERS.items())
                pairs = [*message["headers"], *(pair for pair in further if pair[0] not in names)]
                message["headers"] = [*pairs, *((b"set-cookie", text) for text in new_cookies)]
            await send(message)

        line = self._refusal(scope, values) or self._without_token(scope, cookies, token)
        if line:
            await answer({"error": line, "option": None}, 403)(scope, receive, send_with_headers)
            return
        if scope["path"] == "/":
            if self.state.token:
                new_cookies.append(_new_cookie(cookie("token", self.state.port), self._pass(scope)))
            if cookie("visitor", self.state.port) not in cookies:
                new_cookies.append(_new_cookie(cookie("visitor", self.state.port), new_visitor()))
        await self.app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, values: dict[str, list[str]]) -> str:
        """Why a request is refused by the page that it comes from; "" if it is not."""
        hosts, origins = values.get("host", []), values.get("origin", [])
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return "this studio has another address: open the one that it printed"
        sites = values.get("sec-fetch-site", ["none"])
        opens = scope["method"] == "GET" and scope["path"] == "/" and values.get("sec-fetch-mode") == ["navigate"]
        others = any(origin != f"http://{hosts[0]}" for origin in origins)
        if others or (any(site not in ("same-origin", "none") for site in sites) and not opens):
            return "this request comes from a page that is not the studio's"
        return ""

    def _is_own(self, text: str) -> bool:
        """Whether a `Host` is a name of this studio, with its port."""
        name, colon, port = text.rpartition(":")
        if not colon or text.endswith("]"):
            name, port = text, DEFAULT_PORT
        if port != str(self.state.port):
            return False
        name = name.removeprefix("[").removesuffix("]").lower()
        if name in LOOPBACK or name == self.host.lower():
            return True
        if is_loopback(self.host):
            return False
        machine = socket.gethostname().lower()
        return _is_address(name) or name in (machine, f"{machine}.local", machine.partition(".")[0])

    def _pass(self, scope: Scope) -> str:
        """What the cookie holds that stands for the token, for the user of this machine who sends a request."""
        return hmac.new(self.state.token.encode(), str(user_of(scope)).encode(), "sha256").hexdigest()

    def _without_token(self, scope: Scope, cookies: dict[str, str], token: str) -> str:
        """Why a request is refused for its token; "" if it has it, or none is needed."""
        if not self.state.token or _same(token, self.state.token):
            return ""
        held = cookies.get(cookie("token", self.state.port), "")
        if held and _same(held, self._pass(scope)):
            return ""
        return "this studio needs its token: open the whole address that it printed, with ?token=..."


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone."""
    return host.lower() in LOOPBACK or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def user_of(scope: Scope) -> int | None:
    """Return the user of this machine who sends a request; None of others, or where the system does not say it."""
    here, there = scope.get("server"), scope.get("client")
    if not here or not there or sys.platform != "linux":
        return None
    users = {user for local, remote, user in _connections() if (local, remote) == (_end(*there), _end(*here))}
    return users.pop() if len(users) == 1 else None


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


def new_token() -> str:
    """Make a token that cannot be guessed."""
    return secrets.token_urlsafe(24)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode("utf-8", "replace"), other.encode())


def _cookies(texts: list[str]) -> dict[str, str]:
    cookies: dict[str, str] = {}
    for text in texts:
        for part in text.split(";"):
            try:
                cookies |= {name: one.value for name, one in SimpleCookie(part).items()}
            except CookieError:
                continue
    return cookies


def _new_cookie(name: str, value: str) -> bytes:
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict".encode()
