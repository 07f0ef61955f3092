"""Ctrl-C ends a command with one line, and so does a reader that has seen enough, whatever runs at that moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

import ancestral
from ancestral.base import interrupts, storage
from ancestral.base.events import Message
from ancestral.training import RunFolder
from tiny_models import untrained

FULL = Path("/dev/full")
INTERRUPTED = """
import signal, sys
from pathlib import Path
import {module}
from ancestral.faces import command as cli

def interrupted(*args, **options):
    for path in args:
        if isinstance(path, Path):
            path.write_text("half")
    try:
        exec("signal.raise_signal(signal.SIGINT)")  # as Python code is that native code runs
    except KeyboardInterrupt:
        raise RuntimeError("a library makes another error of it") from None

{module}.{name} = interrupted
cli.main(sys.argv[1:])
"""


@pytest.fixture
def folder(tmp_path):
    untrained(shape=(2,)).save(tmp_path / "run" / "model.safetensors")
    (tmp_path / "pics").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pics" / "a.png")
    return tmp_path


def slow(*values):
    """A case for `make test-slow`, another of which is fast: each starts a program."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.long
@pytest.mark.parametrize(
    ("module", "name", "argv"),
    [
        slow("ancestral.training.step_cost", "Trainer.dry_run", ["doctor", "moons", "--out", "sheet.png"]),
        ("ancestral.training.step_cost", "Trainer.dry_run", ["train", "points", "--batch-size", 8]),
        slow("ancestral.data.lazy_dataset", "decode_item", ["train", "--data", "pics"]),
        ("PIL.Image", "Image.save", ["doctor", "moons", "--steps", 0, "--out", "sheet.png"]),
        slow("torch.onnx", "export", ["export", "run", "--to", "onnx"]),
        slow("torch.onnx", "ONNXProgram.save", ["export", "run", "--to", "onnx"]),
    ],
    ids=["doctor", "training", "reading", "sheet", "onnx", "onnx-file"],
)
def test_ctrl_c_ends_a_command_with_one_line_and_no_half_written_file(folder, module, name, argv):
    script = INTERRUPTED.format(module=module, name=name)
    before = sorted(folder.rglob("*"))
    command = [sys.executable, "-c", script, *map(str, argv)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "ancestral: interrupted\n")
    assert sorted(folder.rglob("*")) == before


def test_ctrl_c_ends_native_code_that_does_not_return():
    """As the gradient of a large network does for long: here a lock is taken twice, without Python's own lock."""
    script = """
import ctypes
from ancestral.faces import command as cli

def run(argv):
    mutex = ctypes.create_string_buffer(256)
    print("begun", flush=True)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)

cli.run = run
cli.main([])
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "ancestral: interrupted\n")
    assert process.returncode == 130


@pytest.mark.parametrize("seconds", [slow(0.5), 1.0, slow(2.0)])
def test_ctrl_c_at_any_time(tmp_path, seconds):
    """Among others while PyTorch is imported, which a KeyboardInterrupt aborts with a native traceback.

    After so many seconds of computing: under load, seconds of the clock end before Python has read the command.
    """
    command = [sys.executable, "-m", "ancestral", "doctor", "digits", "--steps", "500", "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        used = psutil.Process(process.pid)
        while sum(used.cpu_times()[:2]) < seconds:  # of the user and of the system
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "ancestral: interrupted\n")
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_work_that_is_saved_is_unwound():
    before = signal.getsignal(signal.SIGINT)
    with interrupts.at_once():
        ends = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), interrupts.raised():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is ends is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_handlers_of_others_stay():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.at_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_temporary_file_is_removed_by_whoever_comes_first(tmp_path):
    with storage.atomic(tmp_path / "x") as temporary:
        for undo in interrupts._undo:
            undo()
        assert not temporary.exists()
        temporary.write_text("again")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert interrupts._undo == []


WORK = """
import sys
from ancestral.faces import command as cli

def run(argv):
    for number in range(100):
        print("step", number, flush=True)
        print("a remark", file=sys.stderr)
    with open("result", "w") as file:
        file.write(str(file.fileno()))
    return 3

cli.run = run
cli.main([])
"""


@pytest.mark.parametrize(
    ("streams", "unbuffered"),
    [(("stdout",), ""), (("stdout", "stderr"), "1"), ((), "")],
    ids=["stdout", "both", "closed"],
)
def test_work_goes_on_when_nobody_reads(tmp_path, streams, unbuffered):
    """A reader that goes away, and streams that were closed before, whose descriptors no file may take."""
    reading, writing = os.pipe()
    os.close(reading)
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **dict.fromkeys(streams, writing)}
    command = [sys.executable, "-c", WORK]
    if not streams:
        command, pipes = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], {}
    variables = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    ended = subprocess.run(command, cwd=tmp_path, env=variables, check=False, **pipes)
    os.close(writing)
    assert ended.returncode == 3
    assert ended.stderr in (None, b"a remark\n" * 100)
    assert int((tmp_path / "result").read_text()) > 2


def unread(folder, *argv):
    """The exit code of a command whose output nobody reads, neither what it prints nor its progress."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "ancestral", *map(str, argv)]
    ended = subprocess.run(command, cwd=folder, stdout=writing, stderr=writing, check=False, timeout=200)
    os.close(writing)
    return ended.returncode


@pytest.mark.long
def test_a_training_that_nobody_reads_is_finished(tmp_path):
    sizes = ["--steps", 9, "--batch-size", 8, "--width", 16, "--measure-every", 0, "--preview-steps", 1]
    assert unread(tmp_path, "train", "moons", "--out", "run", *sizes) == 0
    assert RunFolder(tmp_path / "run").model_step() == 9
    assert (tmp_path / "run" / "report.html").exists()
    assert unread(tmp_path, "evaluate", "run", "--samples", 12) == 0
    assert list((tmp_path / "run" / "evaluation").glob("*.json"))


@pytest.mark.parametrize("ending", ["reader", "closed", "none"])
def test_a_function_goes_on_when_nobody_reads(monkeypatch, ending):
    """As `ancestral.train` of a script: what it printed before comes first, and its streams are its own again after."""

    def events(_options):
        for number in range(3):
            yield Message(f"message {number}")
        return "the result"

    monkeypatch.setattr("ancestral.use_cases.start", events)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdout", None if ending == "none" else stream)
        if ending == "reader":
            print("before")
            assert ancestral.inspect("moons") == "the result"
            assert reader.read1() == b"before\nmessage 0\nmessage 1\nmessage 2\n"
            reader.close()
        elif ending == "closed":
            stream.close()
        assert ancestral.inspect("moons") == "the result"
        assert sys.stdout is (None if ending == "none" else stream)
        monkeypatch.undo()


@pytest.mark.parametrize("argv", [["sample", "--help"], slow(["info", "run"])])
def test_a_reader_that_has_seen_enough_is_no_error(folder, argv):
    assert unread(folder, *argv) == 0
    command = [sys.executable, "-m", "ancestral", *argv]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, cwd=folder, **streams) as process:
        assert process.stdout.readline().endswith(b"\n")
        process.stdout.close()
    assert process.returncode == 0


@pytest.mark.skipif(not FULL.exists(), reason="a device of Linux")
def test_a_full_disk_that_the_output_goes_to_is_one_line():
    script = "from ancestral.faces.command import main; main(['--help'])"
    with FULL.open("w") as full:
        ended = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (2, b"ancestral: [Errno 28] No space left on device\n")
