"""A studio that a test starts, and a client that speaks HTTP with it as a browser or as an attacker."""

import contextlib
import http.client
import json
import threading
import time
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlsplit

from ancestral_studio.places import Places
from ancestral_studio.server import Server


class Answer:
    """The status, the headers and the content of an answer."""

    def __init__(self, response):
        self.status, self.headers, self.content = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.content)

    @property
    def line(self):
        """The one line of an error."""
        text = self.json["error"]
        assert "\n" not in text
        assert text
        return text


class Client:
    """A visitor with cookies of its own, who has no token."""

    def __init__(self, port, host="127.0.0.1"):
        self.port, self.host, self.cookies = port, host, {}

    @classmethod
    def at(cls, address):
        """A visitor who opened the address that a studio printed."""
        parts = urlsplit(address)
        client = cls(parts.port)
        client.get(f"/?{parts.query}")
        return client.another()

    def another(self):
        """Another visitor with the same token."""
        client = Client(self.port, self.host)
        client.cookies = {name: value for name, value in self.cookies.items() if "token" in name}
        return client

    @property
    def cookie(self):
        """The header of its cookies."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def open(self, method, path, body=None, headers=None, timeout=60):
        """Send a request, and return the connection and the response, which is not read yet."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        values = {"Cookie": self.cookie} if self.cookies else {}
        content = json.dumps(body).encode() if isinstance(body, dict | list) else body
        connection.request(method, path, content, values | (headers or {}))
        response = connection.getresponse()
        for text in response.headers.get_all("set-cookie", []):
            self.cookies |= {name: one.value for name, one in SimpleCookie(text).items()}
        return connection, response

    def ask(self, method, path, body=None, headers=None):
        connection, response = self.open(method, path, body, headers)
        with contextlib.closing(connection):
            return Answer(response)

    def get(self, path, **headers):
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path, body=None):
        return self.ask("POST", path, body or {})

    def start(self, command, **options):
        answer = self.post("/api/jobs", {"command": command, "options": options})
        assert answer.status == 201, answer.content
        return answer.json["id"]

    def events(self, job, last=0, timeout=60):
        """Yield the events of a job: the number, the kind and the data."""
        headers = {"Last-Event-ID": str(last)} if last else {}
        connection, response = self.open("GET", f"/api/jobs/{job}/events", headers=headers, timeout=timeout)
        with contextlib.closing(connection):
            assert response.status == 200, response.read()
            fields = {}
            for line in response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if not name and "event" in fields:
                    yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                    fields = {}
                elif name:
                    fields[name] = value

    def end(self, job):
        """Follow a job to its end, and return the kind and the data of the last event."""
        *_, (_, kind, data) = self.events(job)
        return kind, data

    def wait(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.01)
        raise AssertionError("it did not come")


@contextlib.contextmanager
def studio(*folders, out, host="127.0.0.1"):
    """Serve a studio in a thread of this process."""
    server = Server(Places(list(folders), Path(out)), Path(out), host, 0)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    client = Client.at(server.address)
    client.wait(lambda: server._uvicorn is not None and server._uvicorn.started)
    try:
        yield server, client
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()
