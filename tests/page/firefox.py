"""Headless Firefox, driven by Marionette, the protocol that it has built in: JSON over TCP."""

import contextlib
import json
import socket
import subprocess
import time


class Firefox:
    """A Firefox with a profile of its own, without network."""

    def __init__(self, program, folder, seconds=60):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        settings = {"marionette.port": port, "network.proxy.type": 1, "network.proxy.socks": "127.0.0.1"}
        settings |= {"network.proxy.socks_port": 9, "network.proxy.socks_remote_dns": True}  # nobody listens there
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in settings.items()]
        (folder / "user.js").write_text("".join(lines), encoding="utf-8")
        words = [program, "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.number, self.seconds = 0, seconds
        end = time.monotonic() + seconds
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
                break
            except OSError:
                assert time.monotonic() < end, "Firefox does not answer"
                time.sleep(0.1)
        self._receive()
        self.send("WebDriver:NewSession", {})

    def send(self, command, options):
        """Send a command and return its value."""
        self.number += 1
        text = json.dumps([0, self.number, command, options])
        self.socket.sendall(f"{len(text.encode())}:{text}".encode())
        _, _, error, answer = self._receive()
        assert error is None, error
        return answer["value"] if isinstance(answer, dict) and "value" in answer else answer

    def run(self, code):
        """Run the body of a function in the page, whose globals are those of `page`; return what it returns."""
        script = f"const page = window.wrappedJSObject || window; {code}"
        return self.send("WebDriver:ExecuteScript", {"script": script, "args": []})

    def wait(self, code):
        """Wait until the body of a function returns something true."""
        end = time.monotonic() + self.seconds
        while not (answer := self.run(code)):
            assert time.monotonic() < end, code
            time.sleep(0.1)
        return answer

    def _receive(self):
        length = b""
        while (byte := self.socket.recv(1)) != b":":
            length += byte
        content = b""
        while len(content) < int(length):
            content += self.socket.recv(int(length) - len(content))
        return json.loads(content)

    def close(self):
        """End the process."""
        with contextlib.suppress(OSError):
            self.socket.close()
        self.process.terminate()
        self.process.wait(30)
