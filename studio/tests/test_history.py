"""What was made: favourites, deletion and export, also of entries that a killed server left."""

import json

import pytest
from PIL import Image

from ancestral.base.errors import InputError
from ancestral_studio.answers import MissingError
from ancestral_studio.history import History, HistoryEntry


@pytest.fixture
def history(tmp_path):
    history = History(tmp_path / "history")
    for number in range(3):
        entry = history.begin(f"{number:016x}", "sample", {"n": number}, run="a", title="<b>samples</b>")
        entry.files.mkdir()
        Image.new("L", (2, 2), number).save(entry.files / "000000.png")
        (entry.files / ".000001-half.png").write_bytes(b"\x89PNG")
        entry.save(created=float(number), state="done")
    return history


def test_entries_are_listed_newest_first_without_damaged_ones(history):
    (history.folder / f"{7:016x}").mkdir()
    (history.folder / f"{7:016x}" / "entry.json").write_text('{"command": "sam')
    (history.folder / "notes.txt").write_text("mine")
    entries = [entry.described(live=False, full=True) for entry in history.all()]
    assert [entry["options"]["n"] for entry in entries] == [2, 1, 0]
    assert [file["name"] for file in entries[0]["files"]] == ["000000.png"]
    assert entries[0]["overview"] == entries[0]["files"][0]["url"]
    assert entries[0]["title"] == "<b>samples</b>"


def test_a_line_that_was_cut_is_no_step(history):
    entry = history.get(f"{0:016x}")
    step = {"index": 0, "total": 3, "t": 1.0, "x": "steps/0-x.png", "x0": "steps/0-x0.png", "columns": 1, "count": 1}
    entry.add_step(step | {"width": 2, "height": 2})
    entry.add_step(step | {"width": 4, "height": 4})
    with (entry.folder / "steps.jsonl").open("a") as file:
        file.write('{"index": 1, "tot')
    described = entry.described(live=False, full=True)
    assert [(one["index"], one["width"]) for one in described["steps"]] == [(0, 4)]
    assert entry.described(live=True, full=False)["steps"] == 1


def test_entries_that_ended_are_read_once_and_changes_are_seen(history, monkeypatch):
    first = history.listed(())
    with monkeypatch.context() as patch:
        patch.setattr(HistoryEntry, "described", None)
        assert history.listed(()) == first
    history.favour(f"{1:016x}", True)
    history.begin("f" * 16, "sample", {})
    history.delete(f"{0:016x}")
    assert [(one["id"][-1], one["favourite"]) for one in history.listed(())] == [
        ("f", False),
        ("2", False),
        ("1", True),
    ]
    assert [one["state"] for one in history.listed({"f" * 16})] == ["running", "done", "done"]


def test_states_of_entries(history):
    entry = history.begin("f" * 16, "sample", {})
    assert entry.described(live=True, full=False)["state"] == "running"
    assert entry.described(live=False, full=False)["state"] == "interrupted"


def test_favourites_stay_and_deleted_entries_go(history):
    name = f"{1:016x}"
    history.favour(name, True)
    assert History(history.folder).get(name).described(live=False, full=False)["favourite"]
    made = history.get(name)
    history.favour(name, False)
    made.save(state="cancelled")
    assert not history.get(name).facts["favourite"]
    history.delete(name)
    assert len(history.all()) == 2
    with pytest.raises(MissingError):
        history.get(name)
    with pytest.raises(MissingError):
        history.favour(name, False)
    for wrong in ("..", "../history", "", "x" * 16, f"{1:016X}a"):
        with pytest.raises(MissingError):
            history.delete(wrong)


def test_an_export_is_a_folder_that_needs_no_studio(history, tmp_path):
    names = [f"{number:016x}" for number in (0, 2)]
    path = history.export(names, "../my <best>")
    assert path == tmp_path / "exports" / "___my _best_"
    folders = sorted(path.iterdir())
    assert len(folders) == 2
    assert sorted(file.name for file in folders[0].iterdir()) == ["000000.png", "entry.json"]
    assert json.loads((folders[0] / "entry.json").read_text())["command"] == "sample"
    assert history.export(names, "../my <best>") == tmp_path / "exports" / "___my _best_-2"
    with pytest.raises(InputError, match="nothing to export"):
        history.export([], "a")
    with pytest.raises(MissingError):
        history.export(["f" * 16], "a")


def test_over_http(own_studio):
    server, client = own_studio
    for number in range(2):
        server.state.history.begin(f"{number:016x}", "sample", {}).save(state="done")
    name = f"{1:016x}"
    assert client.post(f"/api/history/{name}", {"favourite": True}).json["favourite"]
    assert client.post(f"/api/history/{name}", {"favourite": "yes"}).status == 400
    path = client.post("/api/history/export", {"favourites": True, "name": "best"}).json["path"]
    assert path == str(server.state.out / "exports" / "best")
    assert client.post("/api/history/export", {"ids": []}).line.startswith("there is nothing to export")
    assert client.ask("DELETE", f"/api/history/{name}").status == 200
    assert client.ask("DELETE", f"/api/history/{name}").status == 404
    assert [entry["id"] for entry in client.get("/api/history").json] == [f"{0:016x}"]
