"""The guard of the studio: who may ask, and what a browser may do with the answers.

A page of another site can send requests to an address of this machine by the browser of its visitor, and a name of
another site can be made to lead here. So the name in `Host` must be one of this studio's, and the page that asks must
be its own. Other users of this machine can send requests too, and so a request must have the token.
"""

import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
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

        line = self._refusal(scope, values) or self._without_token(cookies, token)
        if line:
            await answer({"error": line, "option": None}, 403)(scope, receive, send_with_headers)
            return
        if scope["path"] == "/":
            if self.state.token:
                new_cookies.append(_new_cookie(cookie("token", self.state.port), self.state.token))
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

    def _without_token(self, cookies: dict[str, str], token: str) -> str:
        """Why a request is refused for its token; "" if it has it, or none is needed."""
        tokens = (token, cookies.get(cookie("token", self.state.port), ""))
        if not self.state.token or any(_same(one, self.state.token) for one in tokens):
            return ""
        return "this studio needs its token: open the whole address that it printed, with ?token=..."


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone."""
    return host.lower() in LOOPBACK or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


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
