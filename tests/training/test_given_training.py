"""Training with every kind of condition, in memory or read by index, stopped and resumed: the same bit for bit."""

import dataclasses
import shutil

import pytest
import torch
from PIL import Image as PillowImage

import ancestral
from ancestral import data
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector
from ancestral.config import ConditionSource
from ancestral.measure.reference import check_partners
from ancestral.training import Checkpoints, RunFolder, Trainer
from tiny_models import same_tensors, stripes, tiny_config

N = 24


def conditional_folder(root):
    """Write images, partners and a table; return the options of `train` that read them by two workers."""
    images = stripes(N).items[:, 0].numpy()
    for place in ("photos", "edges"):
        (root / place).mkdir(parents=True)
    lines = ["file_name,age,kind"]
    for number, pixels in enumerate(images):
        shade = (pixels // 2 + 5 * number).astype("uint8")
        PillowImage.fromarray(shade).save(root / "photos" / f"{number:02}.png")
        PillowImage.fromarray(255 - shade[::2, ::2]).save(root / "edges" / f"{number:02}.png")
        lines.append(f"{number:02}.png,{number / 7 if number % 5 else ''},{'abc'[number % 3]}")
    (root / "photos" / "metadata.csv").write_text("\n".join(lines))
    return ["--data", root / "photos", "--given", *given_of(root), "--memory", 0, "--workers", 2]


def given_of(root):
    return ("label=kind", "age", f"edge={root / 'edges'}", "hole=mask")


def opened(root, memory):
    return data.open(root / "photos", given=given_of(root), memory=memory)


def config(workers):
    """Mirrored, with some of the conditions dropped."""
    base = tiny_config(steps=6, batch_size=8, save_every=3, label_dropout=0.3, condition_dropout=0.3)
    return dataclasses.replace(
        base,
        data=dataclasses.replace(base.data, flip=True),
        runtime=dataclasses.replace(base.runtime, workers=workers),
    )


def trained(path, images, workers, steps=6):
    """Train from where the folder is to a step; return the checkpoint."""
    folder, settings = RunFolder(path), config(workers)
    trainer = Trainer(settings, images, "cpu")
    if folder.holds_run():
        assert trainer.load(folder) == []
    else:
        folder.begin(settings)
    try:
        for progress in trainer.run(folder):
            if progress.step == steps:
                break
        trainer.save(folder)
    finally:
        trainer.close()
    return Checkpoints(folder.checkpoints).newest()[0]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The run in one go with the data in memory, and the folder of the data."""
    root = tmp_path_factory.mktemp("given")
    conditional_folder(root / "set")
    images = opened(root / "set", 1)
    kinds = {name: type(kind) for name, kind in images.spec.conditions.items()}
    assert kinds == {"label": Classes, "age": Vector, "edge": Image, "hole": Image}
    return root / "set", trained(root / "run", images, 0)


@pytest.mark.parametrize(
    ("memory", "workers"),
    [pytest.param(1, 0, marks=pytest.mark.long), (0, 0), pytest.param(0, 2, marks=pytest.mark.long)],
)
def test_a_run_with_conditions_resumes_bit_for_bit_however_the_data_are_read(tmp_path, straight, memory, workers):
    root, expected = straight
    assert trained(tmp_path / "run", opened(root, memory), workers, steps=3).step == 3
    resumed = trained(tmp_path / "run", opened(root, memory), workers)
    assert resumed.step == 6
    assert same_tensors(resumed.tensors, expected.tensors)
    assert resumed.numbers == expected.numbers


@pytest.mark.long
def test_each_kind_of_condition_has_an_effect_on_training(tmp_path, straight):
    """With those of other items the weights are others."""
    root, expected = straight
    for name in ("age", "edge"):
        images = opened(root, 1)
        values = images.conditions[name]
        changed = values.flip(0) if isinstance(values, torch.Tensor) else values.subset(torch.arange(N).flip(0))
        images = dataclasses.replace(images, conditions={**images.conditions, name: changed})
        other = trained(tmp_path / name, images, 0)
        assert not same_tensors(other.tensors, expected.tensors), name


@pytest.mark.long
def test_a_run_goes_on_with_its_data_and_partners_at_another_place(tmp_path, monkeypatch):
    conditional_folder(tmp_path / "here")
    (tmp_path / "here" / "mask").mkdir()  # which is no partner: an operator has this name
    monkeypatch.chdir(tmp_path / "here")
    tiny = {"batch_size": 4, "width": 16, "blocks": 1, "sample_every": 100, "preview_steps": 1, "progress": False}
    given = ("label=kind", "age", "edges", "hole=mask")
    run = tmp_path / "run"
    ancestral.train(data="photos", given=given, out=run, steps=2, **tiny)
    monkeypatch.chdir(tmp_path)
    assert ancestral.train(out=run, resume=True, steps=3, **tiny).step == 3
    shutil.move(tmp_path / "here", tmp_path / "there")
    given = ("label=kind", "age", "there/edges", "hole=mask")
    result = ancestral.train(data="there/photos", given=given, out=run, resume=True, steps=4, **tiny)
    assert (result.step, list(result.model.spec.conditions)) == (4, ["label", "age", "edges", "hole"])
    csv = tmp_path / "there" / "photos" / "metadata.csv"
    csv.write_text(csv.read_text().replace("01.png,0.1", "01.png,0.2"))
    with pytest.raises(InputError, match=r"is not what .* was trained on"):
        ancestral.train(out=run, resume=True, steps=5, **tiny)


@pytest.mark.long
def test_partners_that_were_moved_are_given_again(tmp_path, monkeypatch, run, refused):
    conditional_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    tiny = ("--batch-size", 4, "--width", 16, "--blocks", 1, "--sample-every", 100, "--preview-steps", 1)
    run("train", "photos", "--given", "age", "edge=edges", "hole=mask", "--out", "run", "--steps", 1, *tiny)
    (tmp_path / "edges").rename("lines")
    train = ("train", "--out", "run", "--resume")
    assert "--given age edge=PLACE hole=mask" in refused(*train)
    few = ("--samples", 12, "--conditions", 6, "--members", 2, "--steps", 1, "--metrics", "colour")
    assert "--given edge=PLACE" in refused("evaluate", "run", *few)
    assert "a condition that run takes from data (age, edge)" in refused("evaluate", "run", "--given", "hole=lines")
    run("evaluate", "run", *few, "--given", "edge=lines")
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "photos" / "01.png", tmp_path / "other" / "00.png")
    assert "would be the partner" in refused("evaluate", "run", "--given", "edge=lines", "--held-out", "other")
    said = run(*train, "--steps", 2, "--given", "hole=mask", "edge=lines", "age")  # in another order, too
    assert "changed: the place of --given edge=lines\n" in said
    assert f"edge={tmp_path / 'lines'}" in map(str, ancestral.load("run", "cpu").config.data.given)
    assert "--given age 'edge=…/lines' hole=mask" in refused(*train, "--steps", 3, "--given", "age", "hole=mask")
    (tmp_path / "lines" / "00.png").write_bytes((tmp_path / "lines" / "01.png").read_bytes())
    (tmp_path / "lines").rename("others")
    said = refused(*train, "--steps", 3, "--given", "age", "edge=others", "hole=mask")
    assert "it holds other items or labels, of the same number, 24" in said


def test_a_partner_of_a_training_item_is_not_that_of_another_held_out_item(tmp_path, monkeypatch, refused):
    conditional_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    for folder, name in (("other", "00.png"), ("more", "new.png")):
        (tmp_path / folder).mkdir()
        shutil.copy(tmp_path / "photos" / "01.png", tmp_path / folder / name)
    shutil.copytree(tmp_path / "photos", tmp_path / "copies")
    shutil.copy(tmp_path / "edges" / "01.png", tmp_path / "edges" / "new.png")
    said = refused("train", "photos", "--given", "edge=edges", "--validation", "other", "--out", "run")
    assert f"a file of {tmp_path / 'edges'} would be the partner of an item of {tmp_path / 'photos'} and" in said
    assert f"({tmp_path / 'other' / '00.png'}): give the latter a name of its own, and its partner too, or hold" in said
    for place in ("more", "copies"):
        check_partners(
            str(tmp_path / "photos"), place, map(ConditionSource.from_text, ["age", "edge=edges", "hole=mask"])
        )
    (tmp_path / "rows.npy").touch()
    with pytest.raises(InputError, match=r"rows\.npy has a row for each item of photos, and none for those of more"):
        check_partners("photos", "more", [ConditionSource.from_text("rows.npy")])


def captioned_folder(root):
    """Images with two captions of several tags each in text files beside them."""
    root.mkdir()
    for number, pixels in enumerate(stripes(N).items[:, 0].numpy()):
        PillowImage.fromarray(pixels).save(root / f"{number:02}.png")
        direction = ("left", "right")[number % 2]
        (root / f"{number:02}.txt").write_text(f"bars, {direction}, grey\nstripes to the {direction}, number {number}")
    return root


CAPTIONED = {"given": ("caption",), "batch_size": 4, "width": 16, "blocks": 1, "sample_every": 100}
CAPTIONED |= {"preview_steps": 1, "progress": False, "device": "cpu", "trackers": ("none",)}


@pytest.mark.long
def test_a_run_with_captions_in_any_order_resumes_bit_for_bit(tmp_path):
    images, options = captioned_folder(tmp_path / "photos"), {**CAPTIONED, "shuffle_tags": True}
    ancestral.train(data=images, out=tmp_path / "straight", steps=4, **options)
    ancestral.train(data=images, out=tmp_path / "run", steps=2, **options)
    resumed = ancestral.train(out=tmp_path / "run", resume=True, steps=4, progress=False)
    one, other = (Checkpoints(RunFolder(tmp_path / name).checkpoints).newest()[0] for name in ("straight", "run"))
    assert (one.step, other.step) == (4, 4)
    assert same_tensors(one.tensors, other.tensors)
    model = ancestral.load(tmp_path / "run", "cpu")
    assert resumed.model.spec == model.spec
    assert model.spec.conditions["caption"].shuffled
    assert model.config.data.shuffle_tags
    with pytest.raises(InputError, match="cannot go on with shuffle_tags=False"):
        ancestral.train(out=tmp_path / "run", resume=True, steps=5, shuffle_tags=False, progress=False)


def test_tags_are_shuffled_where_there_are_captions(tmp_path):
    with pytest.raises(InputError, match="needs captions, and no condition of stripes is words"):
        Trainer(config_with(shuffle_tags=True), stripes(N), "cpu")
    assert config_with().identity() == tiny_config().identity() != config_with(shuffle_tags=True).identity()


def config_with(**settings):
    base = tiny_config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, **settings))


@pytest.mark.parametrize(
    ("folder", "words", "says"),
    [
        (conditional_folder, ["--given", "grey"], "the images are grey, so the condition grey is the image itself"),
        (captioned_folder, ["--given", "caption", "--flip"], "--flip mirrors images, and texts of caption say left"),
    ],
)
def test_a_note_says_what_a_condition_cannot_teach(tmp_path, run, folder, words, says):
    folder(tmp_path / "set")
    source = tmp_path / "set" / ("photos" if folder is conditional_folder else "")
    tiny = ("--batch-size", 4, "--width", 16, "--blocks", 1, "--steps", 1, "--preview-steps", 1, "--trackers", "none")
    assert f"note: {says}" in run("train", "--data", source, *words, "--out", tmp_path / "run", *tiny)
