"""The studio under load, and the time until its page can be used.

    python bench/studio.py load RUN [--clients 20] [--seconds 120] [--greedy 4]
    python bench/studio.py start RUN [--rounds 5]
    python bench/studio.py history [--entries 10000] [--rounds 5]

`load` starts a studio and visitors on this machine. Each follows its jobs by their events and fetches the pictures of
every state, cancels every fifth job, and has a tab open that never reads; a quarter of them has `--greedy` jobs in the
queue at a time, the others one. It prints the errors, how long jobs waited, how many each visitor got, and the memory
of the server over time. `start` prints the seconds from the command to the first answers that a page needs, and from a
first and a second job to the pictures of their first states. `history` writes a folder of entries, each with the files
of four samples and the notes of 50 states, and prints the seconds until a studio over it answers the list of what was
made: the first time, after a restart, again, after a change of one entry, and with words to search for.
"""

import argparse
import contextlib
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

MEGABYTE = 1 << 20
CANCELLED = 5
"""Every fifth job is cancelled at its first state."""
PAGE = ("/", "/assets/studio/studio.css", "/assets/studio/app.js", "/api/overview", "/api/forms/train")


class Visitor:
    """A browser with cookies of its own."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.cookie = port, f"ancestral_token_{port}={token}"

    def open(self, method: str, path: str, body: Any = None) -> tuple[http.client.HTTPConnection, Any]:
        """Send a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, path, content, {"Cookie": self.cookie})
        response = connection.getresponse()
        for text in response.headers.get_all("set-cookie") or ():
            self.cookie += f"; {text.partition(';')[0]}"
        return connection, response

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        """Return the content of an answer. Raises RuntimeError if it is an error."""
        connection, response = self.open(method, path, body)
        with contextlib.closing(connection):
            content: bytes = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {content[:200]!r}")
        return content

    def sample(self, run: str, seed: int) -> str:
        """Start a job and return its id."""
        options = {"model": run, "n": 4, "steps": 5, "seed": seed, "threads": 1}
        return str(json.loads(self.ask("POST", "/api/jobs", {"command": "sample", "options": options}))["id"])

    def events(self, job: str) -> Iterator[tuple[str, Any]]:
        """Yield the kinds and the data of the events of a job."""
        connection, response = self.open("GET", f"/api/jobs/{job}/events")
        kind = ""
        with contextlib.closing(connection):
            for line in response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)


@contextlib.contextmanager
def server(run: Path, out: Path | None = None) -> Iterator[tuple[psutil.Process, int, str]]:
    """A studio as a process of its own, its port and its token."""
    with tempfile.TemporaryDirectory() as temporary:
        out = out or Path(temporary)
        words = [sys.executable, "-m", "ancestral", "studio", run, "--out", out, "--port", "0", "--no-open"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            match = re.search(r":(\d+)/\?token=([\w-]+)", process.stdout.readline())
            assert match is not None
            try:
                yield psutil.Process(process.pid), int(match[1]), match[2]
            finally:
                process.terminate()


def load(options: argparse.Namespace) -> None:
    """Let visitors sample for a while, and print what they got."""
    waits: list[list[float]] = [[] for _ in range(options.clients)]
    errors, pictures, memory = list[str](), [0] * options.clients, list[tuple[float, float]]()
    with server(options.run) as (process, port, token):
        ends = time.monotonic() + options.seconds

        def follow(visitor: Visitor, number: int, seed: int) -> None:
            began, ended = time.monotonic(), ""
            job, stopped = visitor.sample(run, seed), seed % CANCELLED == 0
            deaf, _ = visitor.open("GET", f"/api/jobs/{job}/events")  # a tab that never reads
            for kind, data in visitor.events(job):
                if kind == "started":
                    waits[number].append(time.monotonic() - began)
                elif kind == "step":
                    for name in ("x", "x0"):
                        assert visitor.ask("GET", data[name]).startswith(b"\x89PNG")
                        pictures[number] += 1
                    if stopped and data["index"] == 0:
                        visitor.ask("POST", f"/api/jobs/{job}/cancel", {"keep": True})
                ended = kind
            deaf.close()
            if ended != "done" and not (stopped and ended == "cancelled"):
                errors.append(f"a job ended by {ended or 'nothing'}")

        def work(visitor: Visitor, number: int, place: int) -> None:
            seed = 1000 * number + 100 * place
            while time.monotonic() < ends:
                try:
                    follow(visitor, number, seed := seed + 1)
                except Exception as error:
                    errors.append(f"{type(error).__name__}: {error}")

        first = Visitor(port, token)
        run = json.loads(first.ask("GET", "/api/overview"))["runs"][0]["id"]
        threads = []
        for number in range(options.clients):
            visitor = Visitor(port, token)
            visitor.ask("GET", "/")
            places = options.greedy if number % 4 == 0 else 1
            threads += [threading.Thread(target=work, args=(visitor, number, place)) for place in range(places)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            memory.append((time.monotonic() - began, process.memory_info().rss / MEGABYTE))
            time.sleep(0.5)
        for thread in threads:
            thread.join()
        jobs = sum(map(len, waits))
        print(f"{options.clients} visitors, {options.seconds} s: {jobs} jobs, {sum(pictures)} pictures")
        print(f"errors: {len(errors)} {errors[:3] or ''}")
        for name, greedy in (("one job at a time", False), (f"{options.greedy} jobs at a time", True)):
            group = [each for number, each in enumerate(waits) if (number % 4 == 0) is greedy]
            every = [wait for each in group for wait in each]
            counts = [len(each) for each in group]
            print(f"visitors with {name}: {min(counts)} to {max(counts)} jobs each; a job waits {quantiles(every)}")
        for share in (0.1, 0.25, 0.5, 0.75, 1):
            at, size = memory[min(int(share * len(memory)), len(memory) - 1)]
            print(f"memory after {at:5.0f} s: {size:.0f} MB")


def quantiles(values: list[float]) -> str:
    """Write the median and the range of times."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def start(options: argparse.Namespace) -> None:
    """Print how long a studio needs to answer."""
    page, first, second = list[float](), list[float](), list[float]()
    for _ in range(options.rounds):
        began = time.monotonic()
        with server(options.run) as (_, port, token):
            visitor = Visitor(port, token)
            for path in PAGE:
                visitor.ask("GET", path)
            page.append(time.monotonic() - began)
            run = json.loads(visitor.ask("GET", "/api/overview"))["runs"][0]["id"]
            for times in (first, second):
                posted = time.monotonic()
                events = visitor.events(visitor.sample(run, 0))
                next(data for kind, data in events if kind == "step")
                times.append(time.monotonic() - posted)
                list(events)
    print(f"from the command to all that a page needs first: {quantiles(page)}")
    print(
        f"from a first job to the pictures of its first state: {quantiles(first)}; of a second job: {quantiles(second)}"
    )


def history(options: argparse.Namespace) -> None:
    """Print how long a studio needs to list what was made."""
    with tempfile.TemporaryDirectory() as folder:
        runs, out = Path(folder) / "runs", Path(folder) / "studio"
        runs.mkdir()
        began = time.monotonic()
        for number in range(options.entries):
            write_entry(out / "history" / f"{number:016x}", number)
        print(f"{options.entries} entries were written in {time.monotonic() - began:.0f} s")
        last = f"{options.entries - 1:016x}"
        times: dict[str, list[float]] = {}
        sizes = list[int]()
        for restart in range(2):
            with server(runs, out) as (process, port, token):
                visitor = Visitor(port, token)
                visitor.ask("GET", "/api/overview")
                queries = [("after a restart" if restart else "the first time", "")]
                queries += [
                    ("again", ""),
                    ("after a change", ""),
                    ("with words", f"?words=ddim+seed={options.entries - 1}"),
                ]
                for number, (name, query) in enumerate([*queries, *queries[1:] * (options.rounds - 1)]):
                    if name == "after a change":
                        visitor.ask("POST", f"/api/history/{last}", {"favourite": number % 2 == 0})
                    asked = time.monotonic()
                    content = visitor.ask("GET", f"/api/history{query}")
                    times.setdefault(name, []).append(time.monotonic() - asked)
                    assert last.encode() in content
                    sizes.append(len(content))
                print(f"memory: {process.memory_info().rss / MEGABYTE:.0f} MB")
    for name, values in times.items():
        print(f"{name}: {quantiles(values)}")
    print(f"an answer has {min(sizes):,} to {max(sizes):,} bytes")


def write_entry(folder: Path, number: int) -> None:
    """Write an entry of the history as a job of four samples leaves it, but for the pictures of its states."""
    (folder / "files").mkdir(parents=True)
    for name in (*(f"{index:06d}" for index in range(4)), "grid"):
        (folder / "files" / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    steps = (
        {"index": index, "total": 51, "t": 1000.0 - 20 * index, "columns": 2, "count": 4, "height": 32, "width": 32}
        | {"x": f"steps/{index:04d}-x.png", "x0": f"steps/{index:04d}-x0.png"}
        for index in range(51)
    )
    (folder / "steps.jsonl").write_text("".join(f"{json.dumps(step)}\n" for step in steps))
    recipe = {"schema": 1, "model": f"{number % 7:064x}", "seed": number, "n": 4, "label": ["seven"], "guidance": 1}
    facts = {
        "command": "sample",
        "options": {"model": "runs-digits", "n": 4, "seed": number, "label": ["seven"], "steps": 50},
        "created": 1.7e9 + number,
        "state": "done",
        "run": "runs-digits",
        "run_name": "digits",
        "title": "sample digits",
        "recipe": recipe | {"sampler": "ddim:steps=50,eta=0.0,clip=1.0"},
        "error": None,
    }
    (folder / "entry.json").write_text(json.dumps(facts, indent=1))


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for function in (load, start, history):
        command = commands.add_parser(function.__name__)
        command.set_defaults(function=function)
        if function is not history:
            command.add_argument("run", type=Path)
        if function is history:
            command.add_argument("--entries", type=int, default=10_000)
        if function is load:
            command.add_argument("--clients", type=int, default=20)
            command.add_argument("--seconds", type=int, default=120)
            command.add_argument("--greedy", type=int, default=4)
        else:
            command.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
