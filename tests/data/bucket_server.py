"""An object store on this machine: moto's server, behind a proxy that counts requests and makes faults."""

import http.client
import logging
import os
import re
import threading
import time
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
CODES = {403: b"AccessDenied", 500: b"InternalError", 503: b"SlowDown"}


class Proxy(ThreadingHTTPServer):
    """A server that passes requests on.

    Attributes:
        requests: (method, path, range) of each.
        fault: Takes a request and returns None, ("cut", bytes), ("status", code), ("stall", seconds), ("length", bytes
            by which the length of the answer is wrong) or ("listed", bytes by which the sizes in a list are wrong).
    """

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port, self.requests, self.fault, self.lock = port, [], lambda *request: None, threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        request = self.command, self.path, self.headers.get("Range")
        with self.server.lock:
            self.server.requests.append(request)
            kind, amount = self.server.fault(*request) or ("", 0)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if kind == "stall":
            time.sleep(amount)
        if kind == "status":
            text = b"<Error><Code>%s</Code><Message>no</Message></Error>" % CODES[amount]
            self.send_response(amount)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
        if kind == "listed":
            content = re.sub(rb"<Size>(\d+)<", lambda size: b"<Size>%d<" % (int(size[1]) + amount), content)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        if kind == "length":
            length, self.close_connection = int(length) + amount, True
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if kind == "cut":
            self.wfile.write(content[:amount])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(content)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *words):
        pass

    def handle(self):
        with suppress(BrokenPipeError, ConnectionResetError):  # of a client that gave up
            super().handle()


class Bucket:
    """A bucket, with the requests that were made for it.

    Attributes:
        address: s3://NAME.
        url: Its address as that of a web server.
    """

    def __init__(self, client, proxy, name):
        self._client, self._proxy, self.name, self.address = client, proxy, name, f"s3://{name}"
        self.url = f"http://127.0.0.1:{proxy.server_port}/{name}"
        client.create_bucket(Bucket=name)

    def put(self, name, content, **options):
        """Write an object."""
        self._client.put_object(Bucket=self.name, Key=name, Body=content, **options)

    def delete(self, name):
        """Delete an object."""
        self._client.delete_object(Bucket=self.name, Key=name)

    def upload(self, folder, prefix, **options):
        """Write the files below a folder; returns the address."""
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes(), **options)
        return f"{self.address}/{prefix}"

    @contextmanager
    def counting(self):
        """The list of the requests that are made meanwhile: (method, path, range)."""
        with self._proxy.lock:
            self._proxy.requests.clear()
        seen = []
        yield seen
        with self._proxy.lock:
            seen += self._proxy.requests

    @contextmanager
    def faulty(self, fault):
        """Make faults meanwhile, as `Proxy.fault` says."""
        self._proxy.fault = fault
        try:
            yield
        finally:
            self._proxy.fault = lambda *request: None


@pytest.fixture(scope="session")
def object_store():
    """moto's server and the proxy, once for all tests: the port of the server, and the proxy."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        import boto3
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        port = server.get_host_and_port()[1]
        proxy = Proxy(port)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
        yield client, proxy
        client.close()
        proxy.shutdown()
        proxy.server_close()
        server.stop()


@pytest.fixture
def bucket(object_store, tmp_path, monkeypatch):
    """An empty bucket, with credentials and an empty cache; pauses between attempts are short."""
    from ancestral.data import remote_files

    client, proxy = object_store
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    url = f"http://127.0.0.1:{proxy.server_port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")  # where nothing answers
    monkeypatch.setenv("GOOGLE_BASE_URL", url)  # its lists and objects are those of S3
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ANCESTRAL_CACHE_LIMIT", raising=False)
    monkeypatch.setitem(remote_files.RETRY, "backoff", {"init_backoff": timedelta(milliseconds=10)})
    return Bucket(client, proxy, f"b{abs(hash(str(tmp_path))):x}")
