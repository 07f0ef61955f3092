"""Who may ask the studio, and what a browser may do with its answers."""

import os
import queue
import re
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from ancestral.base.errors import InputError
from ancestral.base.options import on_command_line, spell
from ancestral.declarations import Studio
from ancestral_studio.places import Places
from ancestral_studio.server import Server, _Connection
from ancestral_studio.studio import plan, run
from studio_client import Client, studio

OWN = "http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "host",
    ["evil.example:{port}", "127.0.0.1:1", "127.0.0.1", "localhost.evil.example:{port}", "", "[::1", "0.0.0.0:{port}"],
    ids=["another name", "another port", "no port", "a name that begins alike", "none", "half an address", "all"],
)
def test_another_host_is_refused(shared_studio, host):
    """A name of another site that leads to this machine, by DNS rebinding, gets nothing, not even the page."""
    server, client = shared_studio
    for path in ("/", "/api/overview", "/assets/studio/index.html"):
        answer = client.get(path, Host=host.format(port=server.port))
        assert answer.status in (400, 403)
        assert b"studio</title>" not in answer.content


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "LOCALHOST", "[::1]"])
def test_names_of_this_machine_are_served(shared_studio, name):
    assert shared_studio[1].get("/api/jobs", Host=f"{name}:{shared_studio[0].port}").status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost", 200),
        ("[::1]", 200),
        ("127.0.0.1:80", 200),
        ("evil.example", 403),
        ("::1", 403),
    ],
)
def test_browsers_leave_out_the_port_80(shared_studio, monkeypatch, host, status):
    server, client = shared_studio
    monkeypatch.setattr(server.state, "port", 80)
    monkeypatch.setitem(client.cookies, "ancestral_token_80", client.cookies[f"ancestral_token_{server.port}"])
    assert client.get("/api/jobs", Host=host, Origin=f"http://{host}").status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": OWN, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
    ids=["another site", "sandbox", "https", "another port", "cross-site", "same site", "a form of another site"],
)
def test_requests_of_other_pages_change_and_follow_nothing(shared_studio, headers):
    server, client = shared_studio
    headers = {name: value.format(port=server.port) for name, value in headers.items()}
    for method, path in (("POST", "/api/jobs"), ("PUT", "/api/uploads?name=a.png"), ("DELETE", "/api/history/00"),
                         ("GET", "/api/jobs/0/events"), ("GET", "/files/uploads/0")):  # fmt: skip
        answer = client.ask(method, path, b"{}", headers)
        assert answer.status == 403, path
        assert "not the studio's" in answer.line


def test_a_link_to_the_page_may_stand_anywhere_and_its_own_requests_are_served(shared_studio):
    server, client = shared_studio
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.ask("GET", "/", headers=link).status == 200
    own_headers = {"Origin": OWN.format(port=server.port), "Sec-Fetch-Site": "same-origin"}
    assert client.ask("POST", "/api/jobs", {"command": "nothing"}, own_headers).status == 400


def test_every_answer_has_the_policy_and_the_types_of_what_it_is(shared_studio):
    for path in ("/", "/assets/studio/app.js", "/api/overview", "/nothing", "/files/uploads/0"):
        headers = shared_studio[1].get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; ")
        assert "unsafe" not in policy
        for part in ("connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
            assert part in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_methods_and_addresses_that_are_none(shared_studio):
    for method, path, status in (("PATCH", "/api/jobs", 405), ("GET", "/api/nothing", 404), ("POST", "/", 405)):
        answer = shared_studio[1].ask(method, path, b"")
        assert (answer.status, answer.json["option"]) == (status, None)
        assert answer.line


def test_a_visitor_who_leaves_while_sending_is_no_defect(shared_studio, capfd):
    """Who cancels an upload leaves no traceback in the terminal, and no file."""
    server, client = shared_studio
    for path in ("/api/uploads?name=a.png", "/api/jobs"):
        with socket.create_connection(("127.0.0.1", client.port)) as connection:
            method = "PUT" if "uploads" in path else "POST"
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nCookie: {client.cookie}\r\n"
            head += "Content-Length: 100\r\n\r\nabc"
            connection.sendall(head.encode())
            time.sleep(0.2)
    time.sleep(0.2)
    assert not [*server.state.uploads.folder.glob(".upload-*")]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        ("", ""),
        ("GET / HTTP/1.1\r\nHost: a", ""),
        ("GET /api/jobs HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET / HT"),
        ("PUT /api/uploads?name=a.png HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nContent-Length: 9\r\n\r\n", "a"),
    ],
    ids=["nothing", "half a head", "half a second head", "half a body"],
)
def test_half_a_request_does_not_hold_its_connection(own_studio, monkeypatch, start, rest):
    monkeypatch.setattr("ancestral_studio.server.REQUEST_SECONDS", 0.2)
    server, client = own_studio
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(start.format(host=f"127.0.0.1:{client.port}", cookie=client.cookie).encode())
        if rest.startswith("GET"):
            connection.recv(65536)  # the first answer
        connection.sendall(rest.encode())
        while connection.recv(65536):
            pass
    client.wait(lambda: not server._uvicorn.server_state.connections)
    assert client.get("/api/jobs").status == 200


class Clock:
    """A loop of events whose time the test moves."""

    def __init__(self):
        self.now, self.due = 0.0, None

    def time(self):
        return self.now

    def call_later(self, seconds, function):
        self.due = SimpleNamespace(when=lambda at=self.now + seconds: at, cancel=lambda: None, function=function)
        return self.due

    def create_task(self, work):
        work.close()
        return mock.MagicMock()


@pytest.mark.parametrize(
    ("begin", "part", "pause", "lasts"),
    [
        ("GET / HT", b"T", 29, 30),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n", b"a", 29, 30),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + 9_000_000 * "a", b"a", 29, 30),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n", 300_000 * b"a", 29, None),
    ],
    ids=["a head", "a body", "a body after much of it", "a slow upload"],
)
def test_a_request_that_comes_byte_by_byte_does_not_hold_its_connection(begin, part, pause, lasts):
    clock, transport, config = Clock(), mock.MagicMock(), uvicorn.Config(lambda *_: None, lifespan="off")
    config.load()
    connection = _Connection(config, ServerState(), {}, clock)
    connection.connection_made(transport)
    connection.data_received(begin.encode())
    for _ in range(20):
        connection.flow.read_paused = False
        if clock.due.when() <= clock.now + pause:
            clock.now = clock.due.when()
            clock.due.function()
            break
        clock.now += pause
        connection.data_received(part)
    assert transport.close.called == (lasts is not None)
    assert clock.now == pytest.approx(lasts or 20 * pause, abs=0.01)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"], ids=["this machine", "all"])
def test_visitors_need_the_token(tiny_run, tmp_path, host):
    """Other users of this machine too. The address that is printed holds it; the page keeps it in a cookie that scripts
    cannot read.
    """
    with studio(tiny_run.path, out=tmp_path / "out", host=host) as (server, _):
        client, token = Client(server.port), server.state.token
        assert server.address.endswith(f":{server.port}/?token={token}")
        assert len(token) >= 32
        for path in (
            "/",
            "/api/overview",
            f"/api/overview?token={token}",
            "/?token=",
            f"/?token={token[:-1]}!",
            "/assets/studio/app.js",
        ):
            answer = client.get(path)
            assert answer.status == 403, path
            assert "needs its token" in answer.line
            assert token not in answer.content.decode()
        client.cookies[f"ancestral_token_{server.port}"] = "wrong"
        assert client.get("/api/overview").status == 403
        answer = client.get(f"/?token={token}")
        assert answer.status == 200
        kept = answer.headers.get_all("set-cookie")
        assert {text.partition("=")[0] for text in kept} == {
            f"ancestral_{name}_{server.port}" for name in ("token", "visitor")
        }
        assert all(text.endswith("; Path=/; HttpOnly; SameSite=Strict") and token not in text for text in kept)
        assert client.get("/api/overview").status == 200
        assert client.get("/api/overview", Host=f"evil.example:{server.port}").status == 403  # a token is no pass
        assert client.ask("POST", "/api/jobs", {}, {"Origin": "http://evil.example"}).status == 403
        assert Client(server.port).get("/api/overview").status == 403


def test_the_cookie_of_one_user_of_the_machine_is_no_pass_for_another(shared_studio, monkeypatch):
    """A server of another user on another port of this host gets the cookies of who opens its page."""
    server, client = shared_studio
    assert client.get("/api/jobs").status == 200
    user = os.getuid()
    monkeypatch.setattr("ancestral_studio.guard.user_of", lambda scope: user + 1)
    other = client.another()
    assert "needs its token" in other.get("/api/jobs").line
    assert other.get(f"/?token={server.state.token}").status == 200  # who has the address is a visitor
    assert other.get("/api/jobs").status == 200
    monkeypatch.setattr("ancestral_studio.guard.user_of", lambda scope: user)
    assert other.get("/api/jobs").status == 403
    assert client.get("/api/jobs").status == 200


def test_an_address_that_is_taken_and_folders_that_are_not_there(shared_studio, tmp_path):
    server = shared_studio[0]
    with pytest.raises(InputError, match=r"cannot be opened .*: another studio may use it; give port=0"):
        Server(server.state.places, tmp_path, "127.0.0.1", server.port)
    for host in ("", " "):
        with pytest.raises(InputError, match=r"host='' names no address|host=' ' names no address"):
            Server(server.state.places, tmp_path, host, 0)
    for host in ("a" * 70, "a\0b"):
        with pytest.raises(InputError, match="cannot be opened"):
            Server(server.state.places, tmp_path, host, 0)
    with pytest.raises(InputError, match=r"there is no folder .*nothing"):
        plan(Studio(places=str(tmp_path / "nothing")))
    assert plan(Studio(out=tmp_path)).places.folders == [Path().resolve()]


def test_of_two_studios_that_keep_what_they_make_in_one_folder_the_second_is_refused(tiny_run, tmp_path, monkeypatch):
    """One would take the jobs of the other for interrupted ones, and delete them. A studio that ended holds no lock."""
    monkeypatch.setattr("ancestral.base.storage.LOCK_TIMEOUT", 0.0)
    monkeypatch.setattr(Server, "serve", lambda server, browse: server.listener.close())
    options = plan(Studio(places=tiny_run.path, out=tmp_path / "out", port=0))
    first = run(options)
    next(first)
    with pytest.raises(InputError, match=r"another studio runs in .*out: use that one or end it, or give out another"):
        next(run(options))
    assert list(first) == []
    assert len(list(run(options))) == 1


def test_without_a_token_a_line_says_what_that_means(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "serve", lambda server, browse: server.listener.close())
    for host, line in (("127.0.0.1", "every user of this machine"), ("0.0.0.0", "everybody who reaches this machine")):
        options = Studio(places=tiny_run.path, out=tmp_path, host=host, port=0, token=False)
        meaning, address = (spell(event.text, on_command_line) for event in run(plan(options)))
        assert meaning == f"--no-token: {line} can read these folders, train and delete with your rights"
        assert re.search(r":\d+/; Ctrl-C", address)


def test_the_words_that_start_a_browser_do_not_hold_the_token(tiny_run, tmp_path, monkeypatch):
    """Every user of the machine can list them. They name a page that only its owner can read."""
    opened = queue.Queue()
    monkeypatch.setattr("ancestral_studio.server._has_screen", lambda: True)
    monkeypatch.setattr("webbrowser.open", opened.put)
    server = Server(Places([tiny_run.path], tmp_path), tmp_path, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve, args=(True,))
    thread.start()
    page = Path(opened.get(timeout=30).removeprefix("file://"))
    assert (page.stat().st_mode & 0o777, server.address in page.read_text()) == (0o600, True)
    while server._uvicorn is None or not server._uvicorn.started:
        time.sleep(0.01)
    server.stop()
    thread.join()
    assert not page.exists()
