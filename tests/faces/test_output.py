"""`--json` and `--quiet` of every command: standard output has the result alone, by its published schema."""

import json
import shutil

import numpy as np
import pytest

import ancestral
from ancestral.base import hub
from ancestral.declarations import USE_CASES
from ancestral.faces import command as cli
from shared_fixtures import json_schemas
from tiny_models import untrained

SMALL = "--steps 2 --batch-size 4 --width 16 --preview-steps 1 --trackers none --threads 1"
COMMANDS = {
    "doctor": ("data-2", "items.npy --steps 0"),
    "train": ("training-1", f"points {SMALL} --out new"),
    "distil": ("training-1", f"run {SMALL} --stages 1 --out fast"),
    "sample": ("sampling-1", "run -n 2 --steps 2"),
    "edit": ("editing-1", "pictures vary picture.npy -n 1 --steps 2"),
    "evaluate": ("evaluation-2", "run --samples 100 --steps 2 --metrics frechet"),
    "evaluate-samples": ("evaluation-2", "items.npy moons --metrics frechet"),
    "compare": ("compare-2", "run copy --samples 100 --steps 2 --metrics frechet"),
    "average": ("average-1", "run --samples 100 --steps 2 --lengths 0.2"),
    "runs": ("runs-1", "."),
    "info": ("model-1", "run"),
    "export": ("place-1", "pictures --out exported"),
    "import": ("place-1", "diffusers --out imported"),
    "push": ("place-1", "pictures hf://me/pictures"),
}
"""A call of each command that has a result, and the schema of the result."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with two runs on points, a model of pictures and its folder for diffusers, and items."""
    place = tmp_path_factory.mktemp("output")
    ancestral.train("points", out=place / "run", steps=4, batch_size=4, width=16, preview_steps=1, snapshots=4,
                    trackers="none", threads=1, progress=False)  # fmt: skip
    shutil.copytree(place / "run", place / "copy")
    untrained().save(place / "pictures" / "model.safetensors")
    ancestral.export(place / "pictures", to="diffusers", out=place / "diffusers", progress=False)
    np.save(place / "items.npy", np.random.default_rng(0).uniform(-1, 1, (100, 2)).astype(np.float32))
    np.save(place / "picture.npy", np.zeros((3, 8, 8), np.uint8))
    return place


@pytest.fixture
def printed(folder, tmp_path, monkeypatch, capsys):
    """What a command prints in a copy of the folder: standard output, and standard error."""
    monkeypatch.setattr(hub, "push", lambda address, *_: f"https://hub/{address}")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        captured = capsys.readouterr()
        assert stop.value.code == 0, captured.err
        return captured

    return call


def test_every_command_with_a_result_is_here():
    assert set(COMMANDS) == {case.command for case in USE_CASES if case.declaration.PRINTS != "messages"}


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_the_result_by_its_schema_and_all_else_is_on_standard_error(printed, command):
    schema, words = COMMANDS[command]
    captured = printed(command, *words.split(), "--json")
    tree = json.loads(captured.out)
    assert tree["schema"] == schema
    json_schemas()[tree["$schema"]].validate(tree)
    silent = ("doctor", "evaluate-samples", "info", "runs", "push")  # which say nothing before they end
    assert captured.err or command in silent


@pytest.mark.parametrize("command", ["train", "sample", "evaluate", "export", "runs"])
def test_quiet_prints_the_result_alone(printed, command):
    captured = printed(command, *COMMANDS[command][1].split(), "--quiet")
    assert captured.err == ""
    places = {"train": "new", "sample": "run/samples", "evaluate": "FD-pixels", "export": "exported", "runs": "copy"}
    assert places[command] in captured.out
    assert "Load it with" not in captured.out
    assert "step 2/2" not in captured.out


def test_an_error_leaves_standard_output_empty(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["info", "nowhere"], ["train", "points", "--lr", "0"], ["sample", "--json", "--stpes", "3"]):
        with pytest.raises(SystemExit) as stop:
            cli.main([*words, "--json"])
        captured = capsys.readouterr()
        assert (stop.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)
