"""What was made: favourites, deletion and export, also of entries that a killed server left."""

import io
import json
import shutil
import zipfile

import pytest
from PIL import Image

from ancestral.base.errors import InputError
from ancestral_studio import history_index
from ancestral_studio.answers import MissingError
from ancestral_studio.history import History
from ancestral_studio.history_entry import HistoryEntry, read_entry
from ancestral_studio.history_search import Search
from studio_client import studio


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
    assert [row.described()["options"]["n"] for row in history.rows()] == [2, 1, 0]
    entries = [history.get(row.id).described(live=False) for row in history.rows()]
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
    described = entry.described(live=False)
    assert [(one["index"], one["width"]) for one in described["steps"]] == [(0, 4)]
    assert entry.summary(live=True)["steps"] == 1


def listed(history, live=()):
    return [(row.id[-1], row.favourite) for row in history.rows(live)]


def reads(monkeypatch, history):
    """The ids of the entries that are read to list a history."""
    read = []
    with monkeypatch.context() as patch:
        patch.setattr(history_index, "read_entry", lambda folder: (read.append(folder.name[-1]), read_entry(folder))[1])
        history.rows()
    return sorted(read)


def test_a_list_reads_what_changed_alone_also_after_a_restart(history, monkeypatch):
    assert reads(monkeypatch, history) == ["0", "1", "2"]
    assert reads(monkeypatch, history) == reads(monkeypatch, History(history.folder)) == []
    history.favour(f"{1:016x}", True)
    history.begin("f" * 16, "sample", {})
    history.delete(f"{0:016x}")
    assert reads(monkeypatch, history) == ["1", "f"]
    assert listed(History(history.folder)) == listed(history) == [("f", False), ("2", False), ("1", True)]
    states = [row.described()["state"] for row in history.rows({"f" * 16})]
    assert states == ["running", "done", "done"]
    assert next(row.described()["state"] for row in history.rows()) == "interrupted"


@pytest.mark.parametrize("damage", ["lost", "cut", "of a later version", "no text", "a folder"])
def test_an_index_that_is_lost_or_damaged_is_made_again(history, monkeypatch, damage):
    before, file = [row.described() for row in history.rows()], history.folder / history_index.INDEX_FILE
    text = file.read_text()
    file.unlink()
    if damage == "cut":  # by a kill, in the middle of the last line
        file.write_text(text[: len(text) - len(text.splitlines()[-1]) // 2])
    elif damage == "of a later version":
        file.write_text(text.replace(f"[{history_index.VERSION},", f"[{history_index.VERSION + 1},"))
    elif damage == "no text":
        file.write_bytes(b"\xff\x00[1," + text.encode())
    elif damage == "a folder":
        file.mkdir()
    again = History(history.folder)
    assert [row.described() for row in again.rows()] == before
    again.favour(f"{0:016x}", True)
    assert listed(again)[-1] == listed(History(history.folder))[-1] == ("0", True)
    expected = ["0", "1", "2"] if damage == "a folder" else []
    assert reads(monkeypatch, History(history.folder)) == expected


def test_two_studios_over_one_folder_see_what_the_other_does(history, monkeypatch):
    """Each keeps an index of its own in memory, and both add to one file."""
    other, first = History(history.folder), f"{0:016x}"
    monkeypatch.setattr(history_index, "SPARE_LINES", 0)  # the file is written anew now and then
    for turn in range(20):
        one, two = (history, other) if turn % 2 else (other, history)
        one.tag(first, add=[f"turn {turn}"], remove=[f"turn {turn - 1}"])
        assert [row.tags for row in two.rows()] == [(), (), (f"turn {turn}",)]
    assert [row.described() for row in History(history.folder).rows()] == [row.described() for row in other.rows()]
    assert len((history.folder / history_index.INDEX_FILE).read_text().splitlines()) < 20


@pytest.mark.parametrize("names", [
    [], ["grid.png"], [f"{number:06d}.png" for number in range(70)] + ["grid.png", "animation.gif"],
    ["000003.png", "000000.png", "000001.png", "0001-weight7.png"], ["000007.png", "deep/000000.png", "samples.npz"],
], ids=["none", "one", "many", "gap", "deep"])  # fmt: skip
def test_the_index_knows_the_pictures_of_an_entry(history, monkeypatch, names):
    """After a restart too, without a look into the folder of files."""
    entry = history.begin("f" * 16, "sample", {})
    for name in names:
        (entry.files / name).parent.mkdir(parents=True, exist_ok=True)
        (entry.files / name).write_bytes(b"")
    entry.save(state="done")
    for one in (history, History(history.folder)):
        row = next(row for row in one.rows() if row.id == entry.id)
        assert sorted(row.names_of_pictures()) == sorted(name for name in names if name.endswith(".png"))
        monkeypatch.setattr(HistoryEntry, "files_at", None)
    assert len(row.pictures) <= 5


def test_words_find_options_recipes_and_tags(history):
    recipe = {"seed": 3, "label": ["seven"], "sampler": "ddim:steps=50,eta=0.5", "model": "fe" * 32}
    history.get(f"{0:016x}").save(recipe=recipe, run_name="Digits")
    history.get(f"{1:016x}").save(recipe=recipe | {"seed": 30, "given": {"weight": ["1.5"]}})
    history.tag(f"{2:016x}", add=["for the poster"])
    finds = {
        "seven": "10", "digits SEVEN": "0", "seed=3": "0", "3": "0", "30": "1", "seed=30 ddim": "1", "steps=50": "10",
        "50": "10", "5": "", "0.5": "10", "weight=1.5": "1", "poster": "2", "n=2": "2", "fe": "", "": "210", "(": "",
    }  # fmt: skip
    for words, found in finds.items():
        assert "".join(row.id[-1] for row in Search(words).found(history.rows())) == found, words
    assert [row.id[-1] for row in Search(tag="for the poster").found(history.rows())] == ["2"]
    assert Search(command="edit").found(history.rows()) == []


def test_tags_are_few_and_short(history):
    name = f"{0:016x}"
    history.tag(name, add=["  a \n b ", "c", "c"])
    assert history.get(name).tags == ["a b", "c"]
    history.tag(name, remove=["c", "d"])
    assert history.rows()[-1].tags == ("a b",)
    for wrong in ("", " ", "x" * 41):
        with pytest.raises(InputError, match="a tag has 1 to 40 characters"):
            history.tag(name, add=[wrong])
    with pytest.raises(InputError, match="at most 20 tags"):
        history.tag(name, add=[f"tag {number}" for number in range(20)])


def test_favourites_stay_and_deleted_entries_go(history):
    name = f"{1:016x}"
    history.favour(name, True)
    assert History(history.folder).get(name).described(live=False)["favourite"]
    made = history.get(name)
    history.favour(name, False)
    made.save(state="cancelled")
    assert not history.get(name).facts["favourite"]
    history.delete(name)
    assert len(history.rows()) == 2
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
    for number in range(3):
        server.state.history.begin(f"{number:016x}", "sample", {"seed": number}).save(state="done", created=number)
    name, names = f"{1:016x}", [f"{number:016x}" for number in range(3)]
    assert client.post(f"/api/history/{name}", {"favourite": True}).json["favourite"]
    assert client.post(f"/api/history/{name}", {"favourite": "yes"}).status == 400
    path = client.post("/api/history/export", {"favourites": True, "name": "best"}).json["path"]
    assert path == str(server.state.out / "exports" / "best")
    assert client.post("/api/history/export", {"ids": []}).line.startswith("there is nothing to export")
    assert client.post("/api/history", {"ids": [*names, "f" * 16], "tag": "a"}).json == {"changed": 3}
    assert client.post("/api/history", {"ids": names[:1], "untag": ["a"], "favourite": True}).json == {"changed": 1}
    for wrong in ({"ids": names}, {"ids": names, "seed": 1}, {"ids": names, "tag": ""}, {"ids": "all", "tag": "a"}):
        assert client.post("/api/history", wrong).status == 400, wrong
    answer = client.get("/api/history?from=1&count=1&ids=1").json
    assert [entry["id"] for entry in answer["entries"]] == [name]
    assert answer["ids"] == names[::-1]
    assert (answer["found"], answer["total"], answer["tags"]) == (3, 3, [{"name": "a", "count": 2}])
    found = client.get("/api/history?words=seed%3D2&tag=a").json
    assert [entry["id"] for entry in found["entries"]] == [names[2]]
    assert client.get("/api/history?from=-1").status == 400
    assert client.ask("DELETE", f"/api/history/{name}").status == 200
    assert client.ask("DELETE", f"/api/history/{name}").status == 404
    assert client.ask("DELETE", "/api/history", {"ids": names[:2]}).json == {"changed": 1}
    assert [entry["id"] for entry in client.get("/api/history").json["entries"]] == [names[2]]


def test_several_are_sent_as_an_archive(own_studio):
    server, client = own_studio
    names = [f"{number:016x}" for number in range(2)]
    for name in names:
        entry = server.state.history.begin(name, "sample", {})
        entry.files.mkdir()
        (entry.files / "a.png").write_bytes(name.encode() * 200_000)  # several pieces
        entry.save(state="done")
    answer = client.get(f"/files/history.zip?ids={','.join(names)}")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = [name for name in archive.namelist() if name.endswith("a.png")]
        assert [archive.read(file) for file in files] == [name.encode() * 200_000 for name in names]
        assert len(archive.namelist()) == 4
    for wrong in ("", "..", "f" * 16, ",".join(["0" * 16] * 1001)):
        assert client.get(f"/files/history.zip?ids={wrong}").status in (400, 404)


def test_an_entry_is_repeated_on_another_run(tiny_run, tmp_path):
    """With its own options: the samples are those of the other run. What does not suit it is refused in one line."""
    shutil.copytree(tiny_run.path, tmp_path / "runs" / "one")
    shutil.copytree(tiny_run.path, tmp_path / "runs" / "two")
    with studio(tmp_path / "runs", out=tmp_path / "out") as (server, client):
        client.get("/")
        ids = {server.state.places.name_of(path): name for name, path in server.state.places.runs().items()}
        _, first = client.end(client.start("sample", model=ids["one"], n=2, steps=2, seed=4))
        answer = client.post(f"/api/history/{first['entry']['id']}/repeat", {"run": ids["two"]})
        assert answer.status == 201
        _, second = client.end(answer.json["id"])
        assert (second["entry"]["run"], second["entry"]["run_name"]) == (ids["two"], "two")
        assert second["entry"]["options"] == first["entry"]["options"] | {"model": ids["two"]}
        pictures = [client.get(made["entry"]["files"][0]["url"]).content for made in (first, second)]
        assert pictures[0] == pictures[1]  # both runs have the same weights
        assert client.post(f"/api/history/{first['entry']['id']}/repeat", {"run": "../one"}).status in (400, 403)
        assert client.post(f"/api/history/{'f' * 16}/repeat", {"run": ids["two"]}).status == 404
