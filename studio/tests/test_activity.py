"""What runs, for the header of the page: what a job does, how long, whose it is, and who may stop it."""

import json
import os
import time

import pytest
from PIL import Image

from ancestral.base import storage
from ancestral_studio import ownership
from ancestral_studio.job_work import work_of
from ancestral_studio.posted_options import ReadableFiles, read_posted
from test_compute_queue import held


@pytest.mark.parametrize(
    ("command", "options", "text", "amount"),
    [
        ("sample", {"n": 16, "sampler": "ddim", "steps": 20}, "16 samples of tiny, ddim of 20 steps", 320),
        ("sample", {"sampler": "heun:churn=10"}, "64 samples of tiny, heun of 18 steps", 64 * 18),
        ("sample", {"index": [5], "sampler": "ddpm"}, "1 sample of tiny, ddpm of 1000 steps", 1000),
        ("sample", {"n": 2, "sampler": "ddim:steps=9"}, "2 samples of tiny, ddim of 9 steps", 18),
        ("sample", {"n": 2, "sampler": "ddim", "steps": 5000}, "2 samples of tiny, ddim of 1000 steps", 2000),
        ("sample", {"n": 2, "sampler": "nothing"}, "2 samples of tiny", 2),
        ("sample", {"like": "IMAGE"}, "samples of tiny", 0),
        ("edit", {"task": "vary", "image": "IMAGE"}, "4 variations of a photo.png by tiny", 4),
        ("edit", {"task": "inpaint", "image": "IMAGE", "n": 1}, "1 filling of a photo.png by tiny", 1),
        ("edit", {"task": "restore", "image": "IMAGE", "sampler": "ddim", "steps": 7}, "4 restorations of a photo.png "
         "by tiny, ddim of 7 steps", 28),
        ("edit", {"task": "interpolate", "image": "IMAGE", "other": "IMAGE"}, "9 images between a photo.png and "
         "a photo.png by tiny", 9),
        ("edit", {"task": "interpolate", "n": 5}, "5 images between conditions by tiny", 5),
    ],
)  # fmt: skip
def test_a_job_says_what_it_does(shared_studio, tiny_run, command, options, text, amount):
    state = shared_studio[0].state
    file = state.out / "a photo.png"
    Image.new("L", (8, 8)).save(file)
    options = {name: str(file) if value == "IMAGE" else value for name, value in options.items()}
    readable = ReadableFiles(state.places, state.uploads, state.history)
    work = work_of(read_posted(readable, command, options | {"model": state.places.id_of(tiny_run.path)}), "tiny")
    assert (work.text, work.amount) == (text, amount)


def test_the_plan_says_what_a_recipe_holds(own_studio, tiny_run):
    """The entry of a job that repeats a recipe has the words of the recipe, and the seconds that it took."""
    server, client = own_studio
    run = server.state.places.id_of(tiny_run.path)
    _, first = client.end(client.start("sample", model=run, n=3, steps=2, sampler="ddim"))
    events = list(client.events(client.start("sample", model=run, like=f"history:{first['entry']['id']}")))
    assert next(data["text"] for _, kind, data in events if kind == "started") == "samples of tiny"
    title = "3 samples of tiny, ddim of 2 steps"
    assert next(data["text"] for _, kind, data in events if kind == "planned") == title
    assert first["entry"]["title"] == events[-1][2]["entry"]["title"] == title
    assert events[-1][2]["entry"]["seconds"] > 0


def test_times_are_those_of_jobs_of_the_same_kind(own_studio, tiny_run):
    server, client = own_studio
    run = server.state.places.id_of(tiny_run.path)
    options = {"model": run, "n": 2, "steps": 10, "sampler": "ddim", "threads": 1}
    client.end(client.start("sample", **options))
    (pace,) = server.state.queue._paces.values()
    with held(server, tiny_run.path, at=1) as (_, reached, go):
        running = client.start("sample", **options)
        assert reached.wait(30)
        client.start("sample", **options | {"n": 4, "steps": 20})
        client.start("sample", **options | {"sampler": "heun"})
        client.start("sample", **options)
        jobs = client.get("/api/overview").json["jobs"]
        assert [job["ahead"] for job in jobs] == [0, 1, 2, 3]
        expected = [20 * pace, 20 * pace, 100 * pace]
        assert [job["seconds"] for job in jobs[:3]] == pytest.approx(expected, rel=0.5)
        assert jobs[3]["seconds"] is None  # nobody knows how long heun takes
        client.post(f"/api/jobs/{running}/cancel")
        jobs = client.get("/api/overview").json["jobs"]
        assert [job["stopping"] for job in jobs] == [True, False, False, False]
        assert jobs[1]["seconds"] == 0
        assert "stopping" in [kind for _, kind, _ in zip_until(client.events(running), "stopping")]
        go.set()
        assert client.end(running)[0] == "cancelled"
    assert not next(job for job in client.get("/api/jobs").json if job["id"] == running)["stopping"]


def zip_until(events, last):
    """The events up to one of a kind."""
    for event in events:
        yield event
        if event[1] == last:
            return


def test_only_its_owner_or_the_user_of_the_machine_stops_a_job(own_studio, tiny_run, monkeypatch):
    server, one = own_studio
    other = one.another()
    other.get("/")
    run = server.state.places.id_of(tiny_run.path)
    with held(server, tiny_run.path, at=1) as (_, reached, go):
        jobs = [one.start("sample", model=run, n=1, steps=1, threads=1, seed=seed) for seed in range(4)]
        assert reached.wait(30)
        marks = {"mine": False, "may_stop": True}  # all of them come from this machine, and from its user
        assert marks.items() <= other.get(f"/api/jobs/{jobs[1]}").json.items()
        assert other.post(f"/api/jobs/{jobs[1]}/cancel").status == 200
        with monkeypatch.context() as patch:
            patch.setattr(ownership, "user_of", lambda scope: None)  # as if they came from other machines
            marks |= {"may_stop": False}
            for job in (*other.get("/api/jobs").json, *other.get("/api/overview").json["jobs"]):
                assert marks.items() <= job.items()
            assert {"mine": True, "may_stop": True}.items() <= one.get(f"/api/jobs/{jobs[0]}").json.items()
            for job in (jobs[0], jobs[2]):
                answer = other.post(f"/api/jobs/{job}/cancel", {"keep": False})
                assert answer.status == 403
                assert answer.line.startswith("this is another visitor's")
            assert [job["state"] for job in one.get("/api/overview").json["jobs"]] == ["running", "waiting", "waiting"]
            assert one.post(f"/api/jobs/{jobs[2]}/cancel").status == 200
            cookie = one.cookies[f"ancestral_visitor_{server.port}"]
            assert cookie not in other.get("/api/jobs").content.decode()
        go.set()
        assert [one.end(job)[0] for job in jobs] == ["done", "cancelled", "cancelled", "done"]


def test_only_its_owner_or_the_user_of_the_machine_stops_a_process(own_studio, tiny_run, monkeypatch):
    server, one = own_studio
    other = one.another()
    other.get("/")
    owner = ownership.owner_of(one.cookies[f"ancestral_visitor_{server.port}"])
    folder = server.state.processes.folder / "20260101-000000-01-train"
    folder.mkdir(parents=True)
    record = {"command": "train", "words": [], "started": time.time(), "out": str(tiny_run.path), "source": None}
    (folder / "process.json").write_text(json.dumps(record | {"runs": [], "owner": owner}))  # it is starting
    run = server.state.places.id_of(tiny_run.path)
    monkeypatch.setattr(ownership, "user_of", lambda scope: None)
    (job,) = other.get("/api/overview").json["jobs"]
    assert (job["text"], job["mine"], job["may_stop"]) == ("Training tiny", False, False)
    for path in (f"/api/processes/{folder.name}/stop", f"/api/runs/{run}/stop"):
        assert other.post(path).status == 403
        assert one.post(path).line == "it is starting; stop it in a moment"
    assert owner not in other.get("/api/processes").content.decode()


def test_the_user_of_the_machine_is_told_by_the_connection(own_studio, tiny_run, monkeypatch):
    server, one = own_studio
    other = one.another()
    run = server.state.places.id_of(tiny_run.path)
    job = one.start("sample", model=run, n=1, steps=1)
    one.end(job)
    assert other.get(f"/api/jobs/{job}").json["may_stop"]
    for name in ("X-Forwarded-For", "Forwarded", "Via"):
        assert not other.ask("GET", f"/api/jobs/{job}", headers={name: "192.0.2.7"}).json["may_stop"]
    monkeypatch.setattr(os, "getuid", lambda: 12345)  # the studio is another user's
    assert not other.get(f"/api/jobs/{job}").json["may_stop"]


def test_a_training_of_a_terminal_is_listed_and_not_stopped_here(own_studio, tiny_run):
    _, client = own_studio
    with storage.locked(tiny_run.path, "it is trained"):
        (job,) = client.get("/api/overview").json["jobs"]
        assert (job["text"], job["outside"], job["may_stop"]) == ("Training tiny", True, False)
        assert client.post(f"/api/runs/{job['run']}/stop").line.startswith("the studio did not start this training")
    assert client.get("/api/overview").json["jobs"] == []
