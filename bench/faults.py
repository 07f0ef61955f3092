"""Make disks, memory, clocks, processes and servers fail, and count how trainings and commands end.

    python bench/faults.py                       # all: half an hour on two cores
    python bench/faults.py eio memory --most 40  # some, with at most 40 faults each

Each case has to end in the right result, bit for bit, or in one line and exit code 2 with nothing half-written: then
`ancestral info --verify` finds all files whole, no temporary file is left, and --resume ends in the right result.

eio        each write, fsync, rename, mkdir, unlink and opening of a training run fails by EIO, once or for good
memory     the address space is limited (ulimit -v), from too little for the first step to enough
clock      the clock jumps back and forth by days at each look (time.time and what the system tells)
folder     samples are drawn while a training run writes the same folder
latents    a training run in a latent space is killed in both phases, and resumed
loop       a plain loop is killed while it saves its model again and again
push       each request of a push is answered by an error, cut short, delayed beyond the time limit, or by no JSON
processes  two processes of torchrun, killed at 20 moments (bench/kill.py)

`tests/data/test_remote_files.py` has object storage that stalls, cuts off and lies about lengths. The faults of `eio`
and `clock` are made by a library that a C compiler makes from `SHIM` and that is loaded before all others.
"""

import argparse
import contextlib
import ctypes
import functools
import http.server
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import kill

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char folder[4096];
static long armed = -1, count = 0, forever = 0;
static unsigned jumps = 0;

void faults_arm(const char *path, long number, long lasting) {
    strncpy(folder, path, sizeof folder - 1);
    armed = number, count = 0, forever = lasting;
}
long faults_count(void) { return count; }
void faults_jump(unsigned seed) { jumps = seed; }

static int inside(const char *path) { return folder[0] && path && !strncmp(path, folder, strlen(folder)); }
static int inside_fd(int fd) {
    char link[64], path[4096];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}
static int fails(int within) {
    if (!within) return 0;
    long number = ++count;
    if (armed < 0 || !(number == armed || (forever && number > armed))) return 0;
    errno = EIO;
    return 1;
}
#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define GUARD(name, result, within, parameters, arguments) \
    result name parameters { REAL(name); return fails(within) ? -1 : real arguments; }
GUARD(write, ssize_t, inside_fd(fd), (int fd, const void *data, size_t size), (fd, data, size))
GUARD(fsync, int, inside_fd(fd), (int fd), (fd))
GUARD(rename, int, inside(to), (const char *from, const char *to), (from, to))
GUARD(mkdir, int, inside(path), (const char *path, mode_t mode), (path, mode))
GUARD(link, int, inside(to), (const char *from, const char *to), (from, to))
GUARD(unlink, int, inside(path), (const char *path), (path))
#define OPEN(name) int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    return flags & (O_CREAT | O_WRONLY | O_RDWR) && fails(inside(path)) ? -1 : real(path, flags, mode); }
OPEN(open)
OPEN(open64)
int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(clock, now);
    if (jumps && clock == CLOCK_REALTIME) now->tv_sec += rand_r(&jumps) % 2000000 - 1000000;
    return result;
}
"""
"""Functions of the C library that fail at chosen calls, in files below a folder."""
LIBRARY = "ANCESTRAL_FAULTS"
"""An environment variable: the folder of the library, in a process that has loaded it."""
KILLED = (127, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGKILL)
"""Exit codes of a process that the C library or the system ends where it has no memory for a thread."""
LINE = "ancestral: "
"""The beginning of the one line of an error."""
TINY = ("--batch-size", "4", "--width", "16", "--log-every", "1", "--preview-steps", "1", "--trackers", "none")
Counts = Counter[str]


def shim() -> ctypes.CDLL:
    """Return the library, which this process has loaded."""
    library = ctypes.CDLL(None)
    library.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_long]
    library.faults_count.restype = ctypes.c_long
    return library


def load_shim() -> None:
    """Start this program anew with the library, unless it has it."""
    if LIBRARY in os.environ:
        shutil.rmtree(os.environ.pop(LIBRARY))
        del os.environ["LD_PRELOAD"]  # which programs that it starts do not need
        return
    folder = Path(tempfile.mkdtemp())
    source, library = folder / "faults.c", folder / "faults.so"
    source.write_text(SHIM, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    os.environ |= {LIBRARY: str(folder), "LD_PRELOAD": str(library)}
    os.execv(sys.executable, [sys.executable, *sys.argv])


def forked(work: Callable[[], int], log: Path) -> int:
    """Start a copy of this process that does the work, with its output in a file; return its number."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        code = work()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def ended(number: int, seconds: float = 300) -> int:
    """Wait for a copy, and return its exit code; it is killed where it hangs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)
    return 124


def command(*words: object) -> int:
    """Run a command of ancestral in this process, and return its exit code."""
    from ancestral.faces.command import _exit_code

    return _exit_code([*map(str, words)])


def train(out: Path, *more: object, steps: int = 3, every: int = 2) -> list[object]:
    """The words of a small training, which saves at steps of this interval."""
    shown = 2 if every > 1 else 10**6
    words = ["train", "points", *TINY, "--steps", steps, "--save-every", every, "--sample-every", shown]
    return [*words, "--snapshots", 2, "--out", out, *more]


def has_one_line(log: Path) -> bool:
    """Whether the last line of an output is the one line of an error, and there is no traceback."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return "Traceback" not in text and (text.strip().splitlines() or [""])[-1].startswith(LINE)


def is_tidy(out: Path) -> bool:
    """Whether no temporary file is left in a run."""
    return not any(path.name.startswith(".") for path in out.rglob("*"))


def is_whole(out: Path) -> bool:
    """Whether all files of a run are whole."""
    import ancestral

    try:
        return not out.exists() or ancestral.info(out, verify=True).whole
    except ancestral.InputError:  # there is none yet
        return not (out / "model.safetensors").exists()


def judged(code: int, log: Path, out: Path, right: Path, tidies: bool = True) -> str:
    """Say how a training run ended, after it was resumed without a fault.

    Without `tidies` it could not remove what it had not finished, which the resumed one has to.
    """
    if code not in (0, 2, *KILLED):
        return f"WRONG: exit code {code}"
    if code == 2 and not has_one_line(log):
        return "WRONG: not one line"
    if not is_whole(out):
        return "WRONG: a file is damaged"
    if tidies and code not in KILLED and not is_tidy(out):
        return "WRONG: a file is left"
    if code == 0 and not _same(out, right):
        return "WRONG: another model"
    again = log.with_suffix(".again")
    equal = _same if "training goes on" in log.read_text(errors="replace") else kill.equal  # a log or a snapshot less
    if ended(forked(lambda: command(*train(out, "--resume")), again)) != 0 or not equal(out, right):
        return "WRONG: resumed to another result"
    if not is_tidy(out):
        return "WRONG: a file is left for ever"
    return {0: "right result", 2: "one line, exit code 2"}.get(code, "ended by the system, resumed to the right result")


def _same(one: Path, other: Path) -> bool:
    """Whether two runs have the same model and the same last checkpoint, bit for bit."""
    first, second = kill.Checkpoints(one / "checkpoints"), kill.Checkpoints(other / "checkpoints")
    step = second.steps()[-1]
    if step not in first.steps() or first.verify(step)["sha256"] != second.verify(step)["sha256"]:
        return False
    return (one / kill.MODEL).read_bytes() == (other / kill.MODEL).read_bytes()


def eio(place: Path, most: int) -> Iterator[tuple[str, Counts]]:
    """Let each call of a training run that writes fail."""
    library, right = shim(), place / "right"
    assert ended(forked(lambda: command(*train(right)), place / "right.txt")) == 0
    tally = place / "count"

    def failing(number: int, lasting: bool) -> int:
        library.faults_arm(str(place / "run").encode(), number, lasting)
        return command(*train(place / "run"))

    def counting() -> int:
        library.faults_arm(str(place / "run").encode(), -1, 0)
        code = command(*train(place / "run"))
        number = library.faults_count()
        library.faults_arm(b"", -1, 0)
        tally.write_text(str(number))
        return code

    assert ended(forked(counting, place / "log.txt")) == 0
    total = int(tally.read_text())
    for lasting in (False, True):
        counts = Counts()
        for number in _spread(total, most):
            shutil.rmtree(place / "run", ignore_errors=True)
            code = ended(forked(functools.partial(failing, number, lasting), place / "log.txt"))
            verdict = judged(code, place / "log.txt", place / "run", right, not lasting)
            _keep(verdict, place, f"eio-{number}-{lasting}")
            counts[verdict] += 1
        yield f"{'from then on' if lasting else 'once'}, of {total} calls", counts


def _spread(total: int, most: int) -> list[int]:
    """Return at most `most` of the numbers 1 to `total`, evenly spaced."""
    count = min(total, most)
    return [1 + number * total // count for number in range(count)]


def _keep(verdict: str, place: Path, name: str) -> None:
    """Say how a case ended, and print the output of one that ended wrongly."""
    print(f"{name}: {verdict}", file=sys.stderr, flush=True)
    if verdict.startswith("WRONG"):
        for file in (place / "log.txt", place / "log.again"):
            if file.exists():
                print(f"--- {name}: {verdict}: {file.name}\n{file.read_text(errors='replace')[-1500:]}", flush=True)


def memory(place: Path, most: int) -> Iterator[tuple[str, Counts]]:
    """Limit the address space of a training run, from too little to enough."""
    right, counts = place / "right", Counts()
    assert ended(forked(lambda: command(*train(right)), place / "right.txt")) == 0

    def limited(more: int) -> int:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
        return command(*train(place / "run"))

    for number in range(most):
        shutil.rmtree(place / "run", ignore_errors=True)
        code = ended(forked(functools.partial(limited, int(2e5 * 1.2**number)), place / "log.txt"))
        verdict = judged(code, place / "log.txt", place / "run", right, tidies=False)
        _keep(verdict, place, f"memory-{number}")
        counts[verdict] += 1
    yield "limits from 0.2 MB beyond what is used, each 1.2 times the one before", counts


def clock(place: Path, most: int) -> Iterator[tuple[str, Counts]]:
    """Let the clock jump at each look, also between a stop and a resume."""
    library, right, counts = shim(), place / "right", Counts()
    assert ended(forked(lambda: command(*train(right)), place / "right.txt")) == 0

    def jumping(seed: int, steps: int) -> int:
        library.faults_jump(seed)
        return command(*train(place / "run", "--resume", steps=steps))

    for seed in range(1, min(most, 20) + 1):
        shutil.rmtree(place / "run", ignore_errors=True)
        assert ended(forked(functools.partial(jumping, seed, 2), place / "log.txt")) == 0
        code = ended(forked(functools.partial(jumping, seed, 3), place / "log.txt"))
        verdict = judged(code, place / "log.txt", place / "run", right)
        _keep(verdict, place, f"clock-{seed}")
        counts[verdict] += 1
    yield "trainings, each stopped and resumed", counts


def folder(place: Path, most: int) -> Iterator[tuple[str, Counts]]:
    """Draw samples while a training run saves into the same folder after each step."""
    counts, out, number = Counts(), place / "run", 0
    trainer = forked(lambda: command(*train(out, steps=10**5, every=1)), place / "train.txt")
    while not (out / "model.safetensors").exists() and os.waitpid(trainer, os.WNOHANG)[0] == 0:
        time.sleep(0.01)
    while number < most and os.waitpid(trainer, os.WNOHANG)[0] == 0:
        number += 1
        one = functools.partial(command, "sample", out, "--n", 2, "--seed", number, "--sampler", "ddim:steps=2")
        code = ended(forked(one, place / "log.txt"))
        whole = code == 0 or (code == 2 and has_one_line(place / "log.txt"))
        verdict = "right result" if code == 0 else "one line, exit code 2" if whole else f"WRONG: exit code {code}"
        _keep(verdict, place, f"folder-{number}")
        counts[verdict] += 1
    os.kill(trainer, signal.SIGTERM)
    stopped = ended(trainer)
    whole = is_whole(out) and is_tidy(out) and stopped in (0, 143, 75)
    counts["right result" if whole else f"WRONG: training ended by {stopped}"] += 1
    yield "samples beside a training that saves after each step, and the training", counts


def latents(place: Path, most: int) -> Iterator[tuple[str, Counts]]:
    """Kill a training run in a latent space in both phases, and resume it."""
    more = ["--latent", 4, "--latent-width", 8, "--latent-steps", 40]
    more += ["--steps", 40, "--save-every", 5, "--snapshots", 2]
    counts, out, right = Counts(), place / "run", place / "right"
    words = ["train", "digits", *TINY, "--sample-every", 10**6, *more, "--resume", "--out"]
    assert ended(forked(lambda: command(*words, right), place / "log.txt")) == 0
    rng, kills = random.Random(0), 0
    began = time.monotonic()
    ended(forked(lambda: command(*words, place / "timed"), place / "log.txt"))
    whole = time.monotonic() - began
    while kills < min(most, 20):
        shutil.rmtree(out, ignore_errors=True)
        alive = True
        while alive and kills < min(most, 20):
            number = forked(lambda: command(*words, out), place / "log.txt")
            time.sleep(rng.uniform(0.05, 0.8) * whole)
            os.kill(number, signal.SIGKILL)
            alive = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == -signal.SIGKILL
            kills += alive
        code = ended(forked(lambda: command(*words, out), place / "log.txt"))
        right_result = code == 0 and kill.equal(out, right) and is_whole(out) and is_tidy(out)
        counts["right result" if right_result else f"WRONG: exit code {code}"] += 1
    yield f"trainings with {kills} kills in all", counts


def loop(place: Path, most: int) -> Iterator[tuple[str, Counts]]:
    """Kill a plain loop while it saves its model."""
    import torch

    import ancestral
    from ancestral import Diffusion, Model, nets, schedules, targets

    data, rng, counts = ancestral.data.load("digits"), random.Random(0), Counts()
    net = nets.UNet(1, width=16, mults=(1,), blocks=1, attention=(), image_size=28)
    file = place / "loop.safetensors"

    def saving() -> int:
        for step in range(10**6):
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.fill_(step)
            Model(Diffusion(net, schedules.cosine(), targets.X0), data.spec).save(file)
        return 0

    for _ in range(most):
        number = forked(saving, place / "log.txt")
        time.sleep(rng.uniform(0.05, 0.3))
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)
        try:
            values = {float(p.detach().min()) for p in ancestral.load(file, "cpu", net=net).denoiser.net.parameters()}
            counts["right result" if len(values) == 1 else "WRONG: half a model"] += 1
        except ancestral.InputError as error:
            counts["no file yet" if "no file" in str(error) or not file.exists() else f"WRONG: {error}"] += 1
    yield "kills of a loop that saves", counts


class Hub(http.server.ThreadingHTTPServer):
    """A stand-in for the Hub, whose answer to the request of a number is a fault."""

    daemon_threads = True

    def __init__(self, number: int = 0, fault: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.number, self.fault, self.seen, self.committed = number, fault, list[str](), False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_GET(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        self.server.seen.append(f"{self.command} {path}")
        fails = len(self.server.seen) >= self.server.number > 0
        fault = self.server.fault if fails else ""
        status, answer = self._answer(path, content)
        body = b"" if self.command == "HEAD" else json.dumps(answer).encode()
        if fault == "500":
            status, body = 500, b"{}"
        if fault == "403":
            status, body = 403, b'{"error": "no"}'
        if fault == "no JSON":
            status, body = 200, b"<html>" * (self.command != "HEAD")
        if fault == "another JSON":
            status, body = 200, b"[]" * (self.command != "HEAD")
        if fault == "stall":
            time.sleep(30)
        self.server.committed |= "/commit/" in path and status == 200 and fault in ("", "stall")  # that ends
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) + (7 if fault == "cut" else 0)))
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
        if fault == "cut":
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self, path: str, content: bytes) -> tuple[int, object]:
        if path.endswith("/repos/create"):
            return 200, {"url": f"{self.server.url}/me/model", "name": "me/model"}
        if path.endswith("README.md"):
            return 404, {}
        if "/preupload/" in path:
            files = [{"path": file["path"], "uploadMode": "lfs" if file["path"].endswith("safetensors") else "regular",
                      "shouldIgnore": False} for file in json.loads(content)["files"]]  # fmt: skip
            return 200, {"files": files}
        if path.endswith("/objects/batch"):
            objects = [{**one, "actions": {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}", "header": {}}}}
                       for one in json.loads(content)["objects"]]  # fmt: skip
            return 200, {"transfer": "basic", "objects": objects}
        if "/commit/" in path:
            return 200, {"commitUrl": f"{self.server.url}/me/model/commit/1", "commitOid": "1" * 40, "success": True}
        return 200, {}

    def log_message(self, *words: object) -> None:
        pass


def push(place: Path, most: int) -> Iterator[tuple[str, Counts]]:
    """Let each request of a push fail, in each way."""
    run = place / "run"
    assert ended(forked(lambda: command(*train(run)), place / "log.txt")) == 0
    hub = Hub()
    code, text = _pushed(run, hub)
    assert code == 0, text
    yield f"without a fault: {len(hub.seen)} requests", Counts({"right result": int(hub.committed)})
    for fault in ("500", "403", "cut", "stall", "no JSON", "another JSON"):
        counts = Counts()
        for number in _spread(len(hub.seen), most):
            faulty = Hub(number, fault)
            code, text = _pushed(run, faulty)
            lines = [line for line in text.splitlines() if line.startswith(LINE)]
            one_line = "Traceback" not in text and len(lines) == 1
            if code == 0 and faulty.committed:
                verdict = "right result"
            elif code == 2 and one_line:
                verdict = "one line, exit code 2"
            else:
                verdict = f"WRONG: exit code {code}"
                print(f"--- push {fault} {number} {hub.seen[number - 1]}: {verdict}\n{text[-1500:]}", flush=True)
            counts[verdict] += 1
            faulty.shutdown()
        yield f"{fault} from the request of each number on", counts


def _pushed(run: Path, hub: Hub) -> tuple[int, str]:
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_x", "HF_HUB_DOWNLOAD_TIMEOUT": "2"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_ETAG_TIMEOUT": "2", "NO_PROXY": "127.0.0.1"}
    argv = [sys.executable, "-m", "ancestral", "push", str(run), "hf://me/model"]
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        return 124, "it hangs"
    return done.returncode, done.stdout + done.stderr


def processes(place: Path, most: int) -> Iterator[tuple[str, Counts]]:
    """Kill two processes of torchrun, one of them or all, and resume them."""
    steps, save_every, kills = 200, 10, min(most, 20)
    kill.run_to_end(kill.command(place / "right", "fp32", steps, save_every, processes=2))
    tally = kill.restarted_run(place / "run", "fp32", steps, save_every, kills, 0, 2)
    same = kill.equal(place / "run", place / "right")
    yield f"a training with {tally.kills} kills {dict(tally.moments)}", Counts({"right result" if same else "WRONG": 1})


SCENARIOS = {one.__name__: one for one in (eio, memory, clock, folder, latents, loop, push, processes)}


def main() -> None:
    """Run the scenarios, print a table, and exit with 1 if a case ended wrongly."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], help="which (default: all)")
    parser.add_argument("--most", type=int, default=60, help="largest number of faults of a kind (default: 60)")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1"}
    load_shim()
    with tempfile.TemporaryDirectory() as temporary:
        with (Path(temporary) / "warm.txt").open("w") as log, contextlib.redirect_stdout(log):
            command(*train(Path(temporary, "warm")))  # all modules are imported before the copies of this process
            command("sample", Path(temporary, "warm"), "--n", 2, "--sampler", "ddim:steps=2")
        failed = False
        for name in options.scenarios or SCENARIOS:
            place = Path(temporary, name)
            place.mkdir()
            for what, counts in SCENARIOS[name](place, options.most):
                failed |= any(verdict.startswith("WRONG") for verdict in counts)
                ends = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
                print(f"| {name} | {what} | {sum(counts.values())} | {ends} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
