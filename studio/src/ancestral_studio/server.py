"""The server of the studio: uvicorn on a socket of its own, until Ctrl-C."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral_studio.app import application
from ancestral_studio.guard import new_token
from ancestral_studio.places import Places
from ancestral_studio.state import StudioState

EVERYWHERE = ("0.0.0.0", "::")
"""Hosts that stand for all addresses of this machine."""
OFFLINE = "ANCESTRAL_OFFLINE"
"""The environment variable that `data.files` reads."""
REQUEST_SECONDS = 30.0
"""Seconds that the head of a request may take, and for which its body may stop."""
BODY_RATE = 10_000.0
"""Bytes of a body that have to come each second, on average: one that comes byte by byte would never end."""
CLOSING_SECONDS = 1
"""Seconds that open requests have after Ctrl-C."""


class Server:
    """A studio that listens.

    Args:
        places: The folders that may be read.
        out: The folder of what is made.
        host: The address of this machine.
        port: The port; 0 takes a free one.
        token: Whether visitors need a token.

    Raises:
        InputError: If the address is taken, or no address of this machine.
    """

    def __init__(self, places: Places, out: Path, host: str, port: int, token: bool = True) -> None:
        if not host.strip():  # which the system takes for all addresses
            raise InputError(f"{option('host', host)} names no address: give 127.0.0.1, or one of this machine")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.listener.bind((host, port))
            self.listener.listen(128)
        except (OSError, TypeError, ValueError) as error:  # TypeError, ValueError: a name that no machine can have
            self.listener.close()
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"{host} port {port} cannot be opened ({reason}): another studio may use it; give "
                f"{option('port', 0)}, which takes a free one, or another {option('host')}"
            ) from None
        (self._bound, self.port, *_), self.host = self.listener.getsockname(), host
        self.state = StudioState(places, out, new_token() if token else "")
        self.state.port = self.port
        self._uvicorn: _Uvicorn | None = None
        self._page = self.state.out / "open.html"

    @property
    def address(self) -> str:
        """The address of the page, with the token if visitors need it."""
        host = _reachable(self._bound) if self._bound in EVERYWHERE else self.host
        token = f"?token={self.state.token}" if self.state.token else ""
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/{token}"

    def serve(self, browse: bool = False) -> None:
        """Serve until Ctrl-C.

        Args:
            browse: Whether to open the page in the browser.
        """
        config = uvicorn.Config(
            application(self.state, self.host),
            http=_Connection,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
        if (
            browse and _has_screen()
        ):  # a browser that starts slowly holds nobody up; the listener takes its request meanwhile
            threading.Thread(target=webbrowser.open, args=(self._page_that_leads_here(),), daemon=True).start()
        threading.Thread(target=self.state.history.rows, daemon=True).start()  # who looks at it first need not wait
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each tab that is closed while it reads
        self._uvicorn = _Uvicorn(config, self.state)
        with _offline(), contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after its end
            self._uvicorn.run(sockets=[self.listener])
        self.state.queue.close()
        self._page.unlink(missing_ok=True)

    def _page_that_leads_here(self) -> str:
        """Write a page that only this user can read: every user can read the words with which a browser is started."""
        if not self.state.token:
            return self.address
        self.state.out.mkdir(parents=True, exist_ok=True)
        self._page.unlink(missing_ok=True)  # of a studio that was killed
        self._page.touch(0o600, exist_ok=False)
        self._page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={self.address}">\n')
        return self._page.as_uri()

    def stop(self) -> None:
        """End `serve`, which another thread called, as Ctrl-C does."""
        if self._uvicorn is not None:
            self._uvicorn.handle_exit(signal.SIGINT, None)


def _has_screen() -> bool:
    """Whether a browser would have a window; without one, Python opens a text browser in the terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _reachable(host: str) -> str:
    """An address by which other machines reach this one: that of the network to which packets would go."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("2001:db8::1" if ":" in host else "192.0.2.1", 9))  # of a datagram socket, which sends nothing
        return str(probe.getsockname()[0])
    return socket.gethostname()


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Let nothing be fetched within the block, also not by the processes that are started."""
    names = (OFFLINE, "HF_HUB_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Connection(H11Protocol):
    """A connection that is closed if a request does not come in time: half of one would hold it for ever.

    The head of a request has `REQUEST_SECONDS` in all. Its body begins with as many, and each `BODY_RATE` bytes give it
    another second, up to as many.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        timer, before = self._timer, self.conn.their_state
        super().data_received(data)
        if timer is None or self.conn.their_state is not before:
            self._expect()
        elif before is h11.SEND_BODY:
            self._expect(min(REQUEST_SECONDS, timer.when() - self.loop.time() + len(data) / BODY_RATE))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel()

    def _expect(self, seconds: float | None = None) -> None:
        """Begin to wait for the rest of a request, if it has not come whole: so long, or `REQUEST_SECONDS`."""
        self._cancel()
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._timer = self.loop.call_later(REQUEST_SECONDS if seconds is None else seconds, self._end)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        if self.flow.read_paused:  # what has come is still being written
            self._expect()
        else:
            self.transport.close()


class _Uvicorn(uvicorn.Server):
    """A server that ends what waits in streams of events as soon as Ctrl-C comes."""

    def __init__(self, config: uvicorn.Config, state: StudioState) -> None:
        super().__init__(config)
        self.studio = state

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the streams, then the server."""
        self.studio.close()
        super().handle_exit(sig, frame)
