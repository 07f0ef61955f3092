"""Commands as processes: found again whatever happens to the studio, and told apart by how they ended."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ancestral.base.errors import InputError
from ancestral.base.interrupts import EXIT_CODE
from ancestral.training import RunFolder
from ancestral_studio import process_keeper
from ancestral_studio.answers import BusyError
from ancestral_studio.history import History
from ancestral_studio.live_runs import LiveRuns
from ancestral_studio.places import Places, short_path
from ancestral_studio.posted_options import ReadableFiles, read_posted
from ancestral_studio.process import PAGE, RECORD, progress_of
from ancestral_studio.processes import Processes
from ancestral_studio.uploads import Uploads
from studio_client import Client, studio
from tiny_models import tiny_config

SMALL = {"width": 16, "blocks": 1, "batch_size": 8, "log_every": 1, "threads": 1, "snapshots": 0, "trackers": ["none"]}
"""Settings of a training of digits that is as fast as one can be."""


def record_of(command, started, out=None):
    return {"command": command, "words": [], "started": started, "out": out, "source": None, "runs": [], "owner": ""}


KILLED = "it was ended by signal 9 (Killed), as the system does where memory runs out"


def wait(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not come")


@pytest.fixture
def processes(tmp_path):
    (tmp_path / "runs").mkdir()
    return Processes(Places([tmp_path / "runs"], tmp_path / "out"))


def posted(processes, command, **options):
    """Options as a visitor sends them, read."""
    out = processes.places.out
    return read_posted(ReadableFiles(processes.places, Uploads(out), History(out)), command, options)


@pytest.fixture
def kept(processes):
    """Run Python code as if it were a command of the studio, to its end; return the process."""

    def call(code, command="train"):
        folder = processes.folder / f"20260101-000000-{len(processes.all()):02d}-{command}"
        folder.mkdir(parents=True)
        facts = record_of(command, time.time())
        (folder / RECORD).write_text(json.dumps(facts), encoding="utf-8")
        subprocess.run([sys.executable, process_keeper.__file__, folder, sys.executable, "-c", code], check=True)
        return processes.get(folder.name)

    return call


@pytest.mark.parametrize(
    ("code", "state", "error"),
    [
        ("print('Trained')", "finished", None),
        ("print('ancestral: --lr must be above 0'); raise SystemExit(2)", "failed", "--lr must be above 0"),
        ("print('ancestral: interrupted'); raise SystemExit(130)", "stopped", None),
        ("raise ValueError('oh')", "failed", "ValueError: oh"),
        ("import os; os.kill(os.getpid(), 2)", "stopped", None),
        ("import os; print('step 5', flush=True); os.kill(os.getpid(), 9)", "failed", KILLED),
        ("import os; os.abort()", "failed", "it was ended by signal 6 (Aborted)"),
    ],
    ids=["finished", "refused", "interrupted", "defect", "signal", "killed", "aborted"],
)
def test_how_a_process_ended(kept, code, state, error):
    process = kept(code)
    assert (process.state, process.error) == (state, error)


def test_a_process_whose_keeper_is_gone_too_was_killed(kept):
    process = kept("pass")
    (process.folder / process_keeper.EXIT).unlink()
    assert (process.state, process.error) == ("failed", "it was killed, or the machine was switched off")
    with pytest.raises(InputError, match="does not run any more"):
        process.stop()


def test_the_number_of_a_process_that_another_one_has_now_is_not_it(kept):
    process = kept("pass")
    (process.folder / process_keeper.EXIT).unlink()
    pids = json.loads((process.folder / process_keeper.PIDS).read_text(encoding="utf-8"))
    this = {name: [os.getpid(), start] for name, (_, start) in pids.items()}
    (process.folder / process_keeper.PIDS).write_text(json.dumps(this), encoding="utf-8")
    assert process.state == "failed"


@pytest.fixture
def running(processes):
    """A training in a run folder that runs: this process."""
    out = processes.places.folders[0] / "a"
    RunFolder(out).begin(tiny_config())
    folder = processes.folder / "20260101-000000-01-train"
    folder.mkdir(parents=True)
    facts = record_of("train", time.time(), str(out))
    (folder / RECORD).write_text(json.dumps(facts), encoding="utf-8")
    this = process_keeper.identity(os.getpid())
    (folder / process_keeper.PIDS).write_text(json.dumps({"keeper": this, "command": this}), encoding="utf-8")
    return processes.get(folder.name)


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_set_ends_no_process(running, monkeypatch, seconds):
    """The time at which a process began is counted from that at which the machine was switched on, which changes."""
    create_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: create_time(process) + seconds)
    assert running.state == "running"


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_training_that_was_refused_does_not_hide_the_one_that_is_there(running, processes, state):
    """Neither while that runs, which can be stopped and not resumed, nor when it has ended later."""
    refused = processes.folder / "20260101-000000-02-train"
    shutil.copytree(running.folder, refused)
    (refused / process_keeper.EXIT).write_text("2", encoding="utf-8")
    if state == "stopped":
        (running.folder / process_keeper.EXIT).write_text(str(EXIT_CODE), encoding="utf-8")
        os.utime(refused / process_keeper.EXIT, (1, 1))
    assert processes.all()[0].id == refused.name
    assert processes.of_run(running.out) == running
    (run,) = LiveRuns(processes.places, processes).all()
    assert (run["process"], run["state"]) == (running.id, "training" if state == "running" else state)
    if state == "running":
        with pytest.raises(InputError, match="is being trained already"):
            processes.resume(running.out)


def test_no_more_run_than_the_machine_bears(processes, monkeypatch):
    """A visitor who starts one after the other is told so, before anything is made."""
    monkeypatch.setattr("ancestral_studio.processes.MOST_RUNNING", 2)
    for number in range(2):
        folder = processes.folder / f"20260101-000000-{number:02d}-train"
        folder.mkdir(parents=True)
        facts = record_of("train", time.time())
        (folder / RECORD).write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(BusyError, match="2 processes run already: wait for one, or stop some"):
        processes.start(posted(processes, "train", config="digits"))
    assert len([*processes.folder.iterdir()]) == 2


def test_damaged_records_are_left_out(kept, processes):
    kept("pass")
    for name, text in [("a", "{"), ("b", "[]"), ("c", '{"command": "studio"}')]:
        (processes.folder / name).mkdir()
        (processes.folder / name / RECORD).write_text(text, encoding="utf-8")
    assert len(processes.all()) == 1
    with pytest.raises(InputError, match="no such process"):
        processes.get("../../etc")


def test_progress_is_read_from_the_last_line_that_says_it():
    lines = ["sampling: 64 of 2,500 samples", "features: 1,280 of 5,000 items", "FD-lite0  1.0"]
    counted = {"task": "features", "done": 1280, "total": 5000, "unit": "items"}
    assert progress_of(lines) == counted | {"seconds": None}
    assert progress_of(["features: 1,280 of 5,000 items, 1:02:03 left"]) == counted | {"seconds": 3723}
    share = {"task": "measuring", "done": 40, "total": 100, "unit": "%"}
    assert progress_of(["measuring: 40%, 0:07 left"]) == share | {"seconds": 7}
    assert progress_of(["loss 0.5"]) is None


def test_values_out_of_range_are_refused_before_anything_starts(processes):
    with pytest.raises(InputError, match="lr must be above 0"):
        posted(processes, "train", lr=-1.0)
    with pytest.raises(InputError, match="batch_size must be"):
        posted(processes, "train", data=str(processes.places.folders[0] / "photos"), batch_size=0)


def test_a_new_run_gets_a_free_name(processes, tmp_path):
    runs = tmp_path / "runs"
    assert processes.free_run("digits") == runs / "digits"
    (runs / "digits").mkdir()
    assert processes.free_run("digits") == runs / "digits-2"


def test_a_path_in_the_working_folder_is_no_name_of_built_in_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert short_path(tmp_path / "digits") == "./digits"
    assert short_path(tmp_path / "runs" / "a") == "runs/a"
    assert short_path(Path("/elsewhere")) == "/elsewhere"


def test_a_run_whose_folder_was_never_made_has_the_state_of_its_process(tmp_path):
    """A page that waits for the first step is told if none comes."""
    (tmp_path / "runs").mkdir()
    with studio(tmp_path / "runs", out=tmp_path / "out") as (server, client):
        out = tmp_path / "runs" / "new"
        address = f"/api/runs/{server.state.places.id_of(out)}/live"
        assert client.get(address).status == 404
        folder = server.state.processes.folder / "20260101-000000-01-train"
        folder.mkdir(parents=True)
        facts = record_of("train", time.time(), str(out))
        (folder / RECORD).write_text(json.dumps(facts), encoding="utf-8")
        assert client.get(address).json == {"state": "starting", "process": folder.name, "version": None}
        (folder / process_keeper.EXIT).write_text("2", encoding="utf-8")
        assert client.get(address).json["state"] == "failed"


@contextlib.contextmanager
def separate_studio(folder, tmp_path):
    """A studio in a process of its own, which a test may kill."""
    code = (
        "import sys; from pathlib import Path; from ancestral_studio.places import Places; "
        "from ancestral_studio.server import Server; out = Path(sys.argv[2]); "
        "server = Server(Places([Path(sys.argv[1])], out), out, '127.0.0.1', 0); "
        "print(server.address, flush=True); server.serve()"
    )
    words = [sys.executable, "-c", code, str(folder), str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path)
    try:
        client = Client.at(process.stdout.readline().strip())
        yield process, client
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.long
@pytest.mark.parametrize("streams", ["closed", "without a reader"])
def test_a_studio_whose_output_nobody_reads_serves(tmp_path, streams):
    """As of a terminal that was closed, or of `ancestral studio | head -1`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        client = Client(probe.getsockname()[1])
    closed = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh"] if streams == "closed" else []
    words = [sys.executable, "-m", "ancestral", "studio", "--port", client.port, "--no-token", "--no-open"]
    reading, writing = os.pipe()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [*closed, *map(str, words)], stdout=writing, stderr=writing, env=environment, cwd=tmp_path
    ) as process:
        os.close(writing)
        os.close(reading)
        try:
            wait(lambda: process.poll() is not None or answers(client))
            assert process.poll() is None
        finally:
            process.kill()


def answers(client):
    with contextlib.suppress(ConnectionError):
        return client.get("/api/jobs").status == 200


@pytest.mark.long
def test_a_training_outlives_a_killed_studio_and_is_stopped_and_resumed(tmp_path):
    """kill -9 of the server: the training goes on, the next server finds it, stops it, and resumes it to its end."""
    runs = tmp_path / "runs"
    runs.mkdir()
    with separate_studio(runs, tmp_path) as (server, client):
        name = client.start("train", config="digits", steps=400, save_every=400, **SMALL)
        run = client.get(f"/api/processes/{name}").json["run"]
        assert client.get(f"/api/runs/{run}/live").json["state"] in ("starting", "training")
        wait(lambda: client.get(f"/api/runs/{run}/live").json.get("step", 0) > 3)
        server.send_signal(signal.SIGKILL)
        server.wait()
    with separate_studio(runs, tmp_path) as (server, client):
        process = client.get(f"/api/processes/{name}").json
        assert (process["state"], process["run"]) == ("running", run)
        before = client.get(f"/api/runs/{run}/live").json
        assert before["state"] == "training"
        assert before["seconds_left"] > 0
        assert wait(lambda: client.get(f"/api/runs/{run}/live").json["step"] > before["step"])
        assert "trained already" in client.post(f"/api/runs/{run}/resume").line
        assert client.post(f"/api/runs/{run}/stop").status == 200
        wait(lambda: client.get(f"/api/processes/{name}").json["state"] == "stopped")
        stopped = client.get(f"/api/runs/{run}/live").json
        assert stopped["state"] == "stopped"
        assert 3 < stopped["step"] < 400
        assert "press Ctrl-C" in client.post(f"/api/runs/{run}/stop").line
        steps = stopped["step"] + 20
        again = client.post(f"/api/runs/{run}/resume", {"steps": steps}).json
        wait(lambda: client.get(f"/api/processes/{again['id']}").json["state"] != "running")
        assert client.get(f"/api/processes/{again['id']}").json["state"] == "finished"
        done = client.get(f"/api/runs/{run}/live").json
        assert (done["state"], done["step"]) == ("finished", steps)
        numbers = [row[0] for row in done["log"]]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == steps
        assert any("going on" in note for note in done["notes"])


def test_only_the_page_of_an_export_runs_scripts_and_has_no_part_of_the_studio(tmp_path):
    """Any other file of that name is refused: a page that export did not write here is nobody's."""
    with studio(tmp_path, out=tmp_path / "out") as (server, client):
        for command, status in (("export", 200), ("compare", 404)):
            folder = server.state.processes.folder / f"20260101-000000-01-{command}"
            folder.mkdir(parents=True)
            facts = record_of(command, 0.0)
            (folder / RECORD).write_text(json.dumps(facts), encoding="utf-8")
            (folder / PAGE).write_text("<script>0</script>")
            answer = client.get(f"/files/processes/{folder.name}/{PAGE}")
            assert answer.status == status
            if status == 200:
                policy = answer.headers["content-security-policy"]
                assert policy.startswith("sandbox allow-scripts allow-forms allow-downloads; default-src 'none'; ")
                assert "allow-same-origin" not in policy
                assert "connect-src" not in policy
