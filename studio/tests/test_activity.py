"""What runs, for the header of the page: what a job does, how long, whose it is, and who may stop it."""

import json
import os
import time

import pytest

from ancestral.base import storage
from ancestral_studio import ownership
from test_compute_queue import held


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
