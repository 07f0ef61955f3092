"""Sampling and editing for several visitors: in turn, exact, and stopped within one evaluation of the network."""

import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

import ancestral
from ancestral.config.request import read_text
from ancestral_studio import compute_queue, jobs
from studio_client import Client, studio


@contextmanager
def held(server, run, at):
    """Hold the network in one evaluation, the one of this number; yields what was evaluated, and what releases it."""
    model = server.state.queue.model(run)
    evaluations, reached, go = [], threading.Event(), threading.Event()

    def hook(*_):
        evaluations.append(len(evaluations))
        if len(evaluations) == at:
            reached.set()
            assert go.wait(30)

    handle = model.denoiser.net.register_forward_hook(hook)
    try:
        yield evaluations, reached, go
    finally:
        go.set()
        handle.remove()


def pixels(client, url):
    answer = client.get(url)
    assert answer.status == 200, url
    return np.array(Image.open(io.BytesIO(answer.content)))


def cut(sheet, step):
    """The tiles of a picture of a state."""
    high, wide = step["height"], step["width"]
    places = [divmod(place, step["columns"]) for place in range(step["count"])]
    return [sheet[row * high : (row + 1) * high, column * wide : (column + 1) * wide] for row, column in places]


def test_a_job_is_the_workflow_and_its_states_are_the_samplers(own_studio, tiny_run):
    """Its files, recipes and names are those of `sample`; the last estimates are the samples, to the bit."""
    server, client = own_studio
    run = server.state.places.id_of(tiny_run.path)
    job = client.start("sample", model=run, n=5, steps=4, seed=3, batch_size=2, captions=False)
    events = list(client.events(job))
    assert [kind for _, kind, _ in events if kind in ("queued", "started", *jobs.ENDS)] == ["queued", "started", "done"]
    steps = [data for _, kind, data in events if kind == "step"]
    assert [step["index"] for step in steps] == 3 * [0, 1, 2, 3, 4]
    assert {(step["count"], step["total"]) for step in steps} == {(2, 5), (4, 5), (5, 5)}
    model = ancestral.load(tiny_run.path)
    samples = model.sample(5, steps=4, seed=3)
    *_, last = [step for step in steps if step["count"] == 5]
    assert np.array_equal(np.stack(cut(pixels(client, last["x0"]), last)), samples[:, 0].numpy())
    entry = events[-1][2]["entry"]
    assert entry["id"] == job
    assert client.get("/api/overview").json["queue"] == {"running": 0, "waiting": 0}
    assert [file["name"] for file in entry["files"]] == [*(f"00000{i}.png" for i in range(5)), "grid.png"]
    assert [data["name"] for _, kind, data in events if kind == "file"] == [f"00000{i}.png" for i in range(5)]
    for number, file in enumerate(entry["files"][:5]):
        assert np.array_equal(pixels(client, file["url"]), samples[number, 0].numpy())
    assert len(entry["steps"]) == 5
    assert entry["overview"] == entry["steps"][-1]["x0"]
    assert (entry["options"]["seed"], entry["run"], entry["state"]) == (3, run, "done")
    states = list(model.trajectory(range(5), model.sampler(None, steps=4), seed=3, label=model.spec.classes))
    noisy = model.spec.codec.decode(states[1].x)
    assert np.array_equal(np.stack(cut(pixels(client, entry["steps"][1]["x"]), entry["steps"][1])), noisy[:, 0].numpy())


def test_the_picture_of_all_samples_holds_their_recipe(own_studio, tiny_run):
    """Given again as `like`, it makes the same samples."""
    server, client = own_studio
    run = server.state.places.id_of(tiny_run.path)
    _, first = client.end(client.start("sample", model=run, n=3, steps=3, seed=5, label=["vertical"]))
    _, again = client.end(client.start("sample", model=run, like=f"history:{first['entry']['id']}"))
    urls = [[file["url"] for file in made["entry"]["files"]] for made in (first, again)]
    assert len(urls[0]) == 4
    assert all(np.array_equal(pixels(client, one), pixels(client, other)) for one, other in zip(*urls, strict=True))
    path = server.state.history.file(first["entry"]["id"], "")
    assert json.loads(read_text(path)) == first["entry"]["recipe"]


def test_a_sweep_is_a_job_whose_recipe_repeats_it(own_studio, tiny_run):
    """Its axes are text of the form. The table is its file, and each step has all cells."""
    server, client = own_studio
    run = server.state.places.id_of(tiny_run.path)
    labels = ("vertical", "horizontal")
    options = {"model": run, "sweep": "steps=2,4", "by": f"label={','.join(labels)}", "seed": 5}
    _, first = client.end(client.start("sample", **options))
    files = {file["name"]: file["url"] for file in first["entry"]["files"]}
    assert [*files] == ["sweep.png"]
    assert first["entry"]["title"] == "4 samples of tiny"
    last = first["entry"]["steps"][-1]
    table = ancestral.load(tiny_run.path).sweep({"steps": (2, 4), "label": labels}, seed=5)
    for tile, cell in zip(cut(pixels(client, last["x0"]), last), table.flatten(0, 2), strict=True):
        assert np.array_equal(tile, cell[0].numpy())
    _, again = client.end(client.start("sample", model=run, like=f"history:{first['entry']['id']}"))
    (file,) = again["entry"]["files"]
    assert client.get(file["url"]).content == client.get(files["sweep.png"]).content
    kind, refused = client.end(client.start("sample", **{**options, "sweep": "low=/etc/passwd"}))
    assert kind == "failed"
    assert "a sweep has no 'low'" in refused["error"]


def test_edits_are_jobs_too(own_studio, tiny_run):
    server, client = own_studio
    run = server.state.places.id_of(tiny_run.path)
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype="uint8").reshape(8, 8)).save(file, "PNG")
    image = client.ask("PUT", "/api/uploads?name=my%20photo.png", file.getvalue()).json["id"]
    given = {"model": run, "task": "inpaint", "image": f"upload:{image}", "box": "0,0,4,4", "n": 2, "steps": 3}
    kind, data = client.end(client.start("edit", **given))
    assert kind == "done", data
    names = [file["name"] for file in data["entry"]["files"]]
    assert {"000000.png", "000001.png", "overview.png", "std.png"} == {*names}
    sample = pixels(client, data["entry"]["files"][0]["url"])
    assert np.array_equal(sample[4:], np.arange(32, 64).reshape(4, 8))
    assert "my photo.png" in json.dumps(data["entry"]["recipe"])
    kind, data = client.end(client.start("edit", **given | {"strength": 0.5}))
    assert (kind, data["option"], data["entry"]) == ("failed", "strength", None)
    assert data["error"].startswith("--strength is an option of vary")


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "dropped"])
def test_a_cancelled_job_evaluates_the_network_no_more(own_studio, tiny_run, keep):
    server, client = own_studio
    run = server.state.places.id_of(tiny_run.path)
    with held(server, tiny_run.path, at=3) as (evaluations, reached, go):
        job = client.start("sample", model=run, n=2, steps=50, threads=1)
        assert reached.wait(30)
        assert client.post(f"/api/jobs/{job}/cancel", {"keep": keep}).status == 200
        go.set()
        kind, data = client.end(job)
        assert kind == "cancelled"
        assert len(evaluations) == 3
        assert client.end(client.start("sample", model=run, n=1, steps=2, threads=1))[0] == "done"  # no hook is left
        assert len(evaluations) > 3
    if keep:
        assert (data["entry"]["state"], len(data["entry"]["steps"])) == ("cancelled", 2)
        assert np.array_equal(
            pixels(client, data["entry"]["files"][0]["url"]), pixels(client, data["entry"]["overview"])
        )
    else:
        assert data["entry"] is None
        assert client.get(f"/api/history/{job}").status == 404


def test_visitors_have_turns_and_positions(own_studio, tiny_run):
    """Whoever comes later with one job does not wait for all jobs of another; jobs that wait can be cancelled."""
    server, one = own_studio
    other, third = one.another(), one.another()
    run = server.state.places.id_of(tiny_run.path)
    for client in (other, third):
        client.get("/")
    visitors = {client.cookies[f"ancestral_visitor_{server.port}"] for client in (one, other, third)}
    assert len(visitors) == 3
    with held(server, tiny_run.path, at=1) as (_, reached, go):
        started = [one.start("sample", model=run, n=1, steps=1, threads=1, seed=0)]
        assert reached.wait(30)
        started += [one.start("sample", model=run, n=1, steps=1, threads=1, seed=seed) for seed in range(1, 5)]
        late = other.start("sample", model=run, n=1, steps=1, threads=1, seed=5)
        last = third.start("sample", model=run, n=1, steps=1, threads=1, seed=6)
        expected = [started[1], late, last, started[2], started[3], started[4]]
        assert [job.id for job in server.state.queue.order()] == expected
        queued = {"text": "1 sample of tiny, ddim of 1 step", "ahead": 4, "seconds": None}
        assert next(iter(one.events(started[2])))[2] == {"position": 4} | queued
        assert one.get("/api/overview").json["queue"] == {"running": 1, "waiting": 6}
        one.post(f"/api/jobs/{started[3]}/cancel")
        assert one.end(started[3]) == ("cancelled", {"entry": None})
        assert next(iter(one.events(started[4])))[2]["position"] == 5
        go.set()
        for job in (*expected, started[0]):
            one.end(job)
    order = [entry["id"] for entry in one.get("/api/history").json["entries"][::-1]]
    assert order == [started[0], started[1], late, last, started[2], started[4]]


def test_messages_and_errors_name_a_file_as_the_visitor_did(own_studio, tiny_run):
    """Not by its place on the machine of the studio."""
    server, client = own_studio
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    number = client.ask("PUT", "/api/uploads?name=mine.png", file.getvalue()).json["id"]
    run, upload = server.state.places.id_of(tiny_run.path), f"upload:{number}"
    job = client.start("edit", model=run, task="inpaint", image=upload, mask=upload, n=1, steps=1)
    *_, (_, kind, data) = client.events(job)
    assert kind == "failed"
    assert "the mask mine.png is all black" in data["error"]
    assert str(server.state.out) not in data["error"]
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (200, 10, 10, 90)).save(file, "PNG")
    upload = f"upload:{client.ask('PUT', '/api/uploads?name=clear.png', file.getvalue()).json['id']}"
    job = client.start("edit", model=run, task="vary", image=upload, n=1, steps=2)
    messages = [data["text"] for _, kind, data in client.events(job) if kind == "message"]
    assert any(message.startswith("clear.png is transparent") for message in messages)
    assert not any(str(server.state.out) in message for message in messages)


def test_an_upload_keeps_its_transparency_which_says_what_changes(own_studio, tiny_run):
    server, client = own_studio
    torn = np.random.default_rng(0).integers(0, 256, (8, 8, 2), dtype=np.uint8)
    torn[..., 1] = 255
    torn[2:6, 3:8, 1] = 0
    file = io.BytesIO()
    Image.fromarray(torn, "LA").save(file, "PNG")
    upload = f"upload:{client.ask('PUT', '/api/uploads?name=torn.png', file.getvalue()).json['id']}"
    run = server.state.places.id_of(tiny_run.path)
    events = list(client.events(client.start("edit", model=run, task="inpaint", image=upload, n=1, steps=2)))
    assert "Transparent pixels of the image torn.png change, 31 % of the image." in [
        data["text"] for _, kind, data in events if kind == "message"
    ]
    edited = pixels(client, events[-1][2]["entry"]["files"][0]["url"])
    changed = torn[..., 1] == 0
    assert np.array_equal(edited[~changed], torn[..., 0][~changed])
    assert not np.array_equal(edited[changed], torn[..., 0][changed])


def test_a_full_queue_says_so(own_studio, tiny_run, monkeypatch):
    server, client = own_studio
    monkeypatch.setattr(compute_queue, "MOST_OF_ONE", 2)
    monkeypatch.setattr(compute_queue, "MOST_OF_ALL", 3)
    run = server.state.places.id_of(tiny_run.path)
    body = {"command": "sample", "options": {"model": run, "n": 1, "steps": 1, "threads": 1}}
    with held(server, tiny_run.path, at=1) as (_, reached, go):
        client.post("/api/jobs", body)
        assert reached.wait(30)
        statuses = [client.post("/api/jobs", body) for _ in range(3)]
        assert [one.status for one in statuses] == [201, 201, 429]
        assert statuses[2].line == "2 of your jobs wait already: wait for one, or cancel some"
        other = client.another()
        other.get("/")
        statuses = [other.post("/api/jobs", body) for _ in range(2)]
        assert [one.status for one in statuses] == [201, 429]
        go.set()


def test_two_visitors_do_not_disturb_each_other(own_studio, tiny_run):
    """Each gets the samples of its own options, though the other's jobs come between and are cancelled."""
    server, one = own_studio
    other = one.another()
    other.get("/")
    run = server.state.places.id_of(tiny_run.path)
    mine = {seed: one.start("sample", model=run, n=2, steps=5, seed=seed) for seed in range(3)}
    theirs = {
        seed: other.start("sample", model=run, n=2, steps=5, seed=seed, label=["horizontal"]) for seed in range(3)
    }
    other.post(f"/api/jobs/{theirs[1]}/cancel", {"keep": False})
    model = ancestral.load(tiny_run.path)
    for client, jobs_of, label in ((one, mine, None), (other, theirs, "horizontal")):
        for seed, job in jobs_of.items():
            kind, data = client.end(job)
            if kind == "cancelled":
                assert job == theirs[1]
                continue
            samples = model.sample(2, steps=5, seed=seed, label=label)
            for file, sample in zip(data["entry"]["files"], samples, strict=False):
                assert np.array_equal(pixels(client, file["url"]), sample[0].numpy())


def test_streams_resume_and_slow_listeners_hold_nobody_up(own_studio, tiny_run):
    """A lost connection goes on at the event after its last one; who never reads costs no memory and no time."""
    server, client = own_studio
    run = server.state.places.id_of(tiny_run.path)
    job = client.start("sample", model=run, n=1, steps=150, sampler="ddpm")
    deaf = [client.open("GET", f"/api/jobs/{job}/events") for _ in range(5)]
    first = list(itertools.islice(client.events(job), 40))
    rest = list(client.events(job, last=first[-1][0]))
    assert rest[0][0] > first[-1][0]
    assert rest[-1][1] == "done"
    steps = [data["index"] for _, kind, data in (*first, *rest) if kind == "step"]
    assert steps == [*range(151)]
    again = list(client.events(job))  # all that still says something, as for a page that was opened later
    assert [data["index"] for _, kind, data in again if kind == "step"] == [*range(151)]
    assert sum(kind == "work" for _, kind, _ in again) == 1
    for connection, _ in deaf:
        connection.close()
    client.wait(lambda: not server.state.jobs.get(job).followed)
    assert client.get("/api/jobs/none/events").status == 404


def test_a_job_remembers_what_counts(monkeypatch):
    monkeypatch.setattr(jobs, "MOST_MESSAGES", 10)
    job = jobs.Job("sample", {}, "me")
    for number in range(1000):
        job.tell("message", text=str(number))
        job.tell("work", replaces="work", done=number)
        job.tell("step", replaces=f"step {number % 7}", index=number % 7)
    events = job.events_after(0)
    assert len(events) == 10 + 1 + 7
    assert [number for number, _, _ in events] == sorted(number for number, _, _ in events)
    assert job.events_after(events[-1][0]) == []
    job.tell("done")
    job.tell("message", text="too late")
    assert job.events_after(0)[-1][1] == "done"
    known = jobs.Jobs()
    monkeypatch.setattr(jobs, "MOST_ENDED", 3)
    for _ in range(10):
        known.add(one := jobs.Job("sample", {}, "me"))
        one.tell("done")
    assert len(known.all()) <= 4


def test_the_thread_survives_defects_and_models_that_change(own_studio, tiny_run, monkeypatch, capfd):
    server, client = own_studio
    run = server.state.places.id_of(tiny_run.path)
    with monkeypatch.context() as patch:
        patch.setattr("ancestral_studio.posted_options.convert", None)
        answer = client.post("/api/jobs", {"command": "sample", "options": {"model": run}})
        assert answer.status == 500
        assert answer.line == "this is a defect of ancestral; the terminal of the studio shows where"
    model = server.state.queue.model(tiny_run.path)

    def fail(*_):
        raise RuntimeError("out of\nmemory")

    handle = model.denoiser.net.register_forward_hook(fail)
    kind, data = client.end(client.start("sample", model=run, n=1, steps=2))
    handle.remove()
    assert kind == "failed"
    assert "RuntimeError: out of" in data["error"]
    assert "\n" not in data["error"]
    assert "RuntimeError" in capfd.readouterr().err
    os.utime(tiny_run.model)
    assert client.end(client.start("sample", model=run, n=1, steps=2))[0] == "done"
    assert server.state.queue.model(tiny_run.path) is not model
    kind, data = client.end(client.start("sample", model=run, label=["diagonal"]))
    assert kind == "failed"
    assert "diagonal" in data["error"]
    assert data["entry"] is None


@pytest.mark.long
def test_a_killed_server_loses_no_picture_that_was_shown(tiny_run, tmp_path):
    out, shown = tmp_path / "out", []
    words = [sys.executable, "-m", "ancestral", "studio", tiny_run.path, "--out", out, "--port", "0", "--no-open"]

    @contextmanager
    def server():
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            client = Client.at(re.search(r"http:[^;]+", process.stdout.readline())[0])
            client.get("/")
            yield process, client

    with server() as (process, client):
        run = client.get("/api/overview").json["runs"][0]["id"]
        job = client.start("sample", model=run, n=4, steps=1000, sampler="ddpm")
        for _, kind, data in client.events(job):
            if kind == "step":
                shown.append((data, client.get(data["x"]).content, client.get(data["x0"]).content))
            if len(shown) == 25:
                process.kill()
                break
    with server() as (process, client):
        (entry,) = client.get("/api/history").json["entries"]
        assert (entry["id"], entry["state"]) == (job, "interrupted")
        assert entry["steps"] >= 25
        entry = client.get(f"/api/history/{job}").json
        for (data, noisy, estimate), step in zip(shown, entry["steps"], strict=False):
            assert data == step
            assert (client.get(step["x"]).content, client.get(step["x0"]).content) == (noisy, estimate)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


@pytest.mark.long
def test_ctrl_c_keeps_what_was_made(tiny_run, tmp_path):
    with studio(tiny_run.path, out=tmp_path / "out") as (server, client):
        run = server.state.places.id_of(tiny_run.path)
        job = client.start("sample", model=run, n=4, steps=1000, sampler="ddpm")
        began = [data for _, kind, data in itertools.islice(client.events(job), 30)]
        assert began
    with studio(tiny_run.path, out=tmp_path / "out") as (_, client):
        (entry,) = client.get("/api/history").json["entries"]
        assert (entry["id"], entry["state"]) == (job, "cancelled")
        assert client.get(f"/api/history/{job}").json["files"][0]["name"] == "stopped.png"


def test_it_starts_without_torch(tmp_path):
    """The page and the forms are there before anything is imported that a model needs."""
    code = (
        "import sys, threading\nfrom pathlib import Path\nfrom studio_client import studio\n"
        f"with studio(Path({str(tmp_path)!r}), out={str(tmp_path / 'out')!r}) as (_, client):\n"
        "    for path in ('overview', 'forms/train', 'forms/sample', 'history', 'data'):\n"
        "        assert client.get(f'/api/{path}').status == client.get('/').status == 200, path\n"
        "    print('torch' in sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout == "False\n"
