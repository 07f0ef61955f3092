"""The validation loss: what is held out, that it is never trained on, and that memorisation is named."""

import csv
import dataclasses
import io
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import ancestral
from ancestral import data, randomness
from ancestral.base.errors import InputError
from ancestral.config.run_files import ValidationLosses
from ancestral.data import LazyDataset
from ancestral.measure import reference
from ancestral.measure.reference import held_out_data
from ancestral.randomness import Stream
from ancestral.render.terminal import draw
from ancestral.results import EvaluationResult
from ancestral.results.run_result import TrainingResult
from ancestral.results.symptoms import observed
from ancestral.training import Checkpoints, Trainer
from ancestral.training.progress import UnreadStep
from ancestral.training.validation import Validation
from tiny_models import same_tensors, stripes, tiny_config, together

TINY = {"steps": 4, "batch_size": 4, "width": 16, "mults": (1,), "blocks": 1, "attention": (), "sample_every": 2,
        "trackers": ("none",), "preview_steps": 1, "device": "cpu", "precision": "fp32", "progress": False}  # fmt: skip


def random_images(count, seed=0):
    return torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def rows(folder):
    return list(csv.DictReader((folder / "validation.csv").read_text(encoding="utf-8").splitlines()))


@pytest.fixture
def pictures(tmp_path):
    """A folder of 20 images in two classes."""
    for i, image in enumerate(random_images(20)):
        path = tmp_path / "pictures" / "ab"[i % 4 == 0] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
    return tmp_path / "pictures"


# -- what is held out -------------------------------------------------------------------------------------------------


def test_a_share_of_each_class_is_held_out():
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    whole = data.InMemoryDataset(torch.arange(100).float().view(100, 1, 1, 1) / 7, labels, ("a", "b", "c"))
    training, held_out = data.hold_out(whole, 0.2)
    both = torch.cat([training.rows, held_out.rows])
    assert both.sort().values.tolist() == list(range(100))
    assert torch.bincount(held_out.labels).tolist() == [12, 6, 2]
    for part in (training, held_out):
        assert torch.equal(part.items, whole.items[part.rows])
        assert torch.equal(part.labels, labels[part.rows])
        assert (part.codec, part.classes, part.fingerprint) == (whole.codec, whole.classes, whole.fingerprint)
    assert held_out.rows.tolist() == data.hold_out(whole, 0.2)[1].rows.tolist()
    gaps = held_out.rows[:12].diff()
    assert gaps.min() != gaps.max()  # at random: data may be periodic


@pytest.mark.parametrize("memory", [0, 1])
def test_data_that_are_read_lazily_are_split_alike(pictures, memory):
    whole = data.open(str(pictures), memory=memory)
    training, held_out = data.hold_out(whole, 0.25)
    loaded = data.hold_out(data.load(str(pictures)), 0.25)[1]
    assert (len(training), len(held_out), len(held_out.sample(9))) == (15, 5, 5)
    assert held_out.rows.tolist() == loaded.rows.tolist()
    for part in (held_out, held_out.sample(99)):
        assert torch.equal(torch.stack([part[i][0] for i in range(5)]), loaded.items)
        assert [part[i][1] for i in range(5)] == loaded.labels.tolist()
    assert training.fingerprint == held_out.fingerprint == whole.fingerprint == loaded.fingerprint
    part = held_out.subset(torch.tensor([3, 1]))
    assert part.rows.tolist() == [3, 1] if memory else held_out.rows[[3, 1]].tolist()
    assert torch.equal(part[0][0], loaded.items[3])
    if not memory:
        assert isinstance(whole, LazyDataset)
        assert held_out.name_of(1) == whole.name_of(int(held_out.rows[1]))


@pytest.mark.parametrize("share", [0.01, 0.08, 0.95])
def test_a_share_that_leaves_a_part_without_items_is_refused(share):
    with pytest.raises(InputError, match=r"holds out \d+ and leaves \d+ to train on: give a share"):
        data.hold_out(data.open(random_images(12)), share)


@pytest.mark.parametrize("memory", [0, 1])
def test_held_out_items_are_never_in_a_batch(pictures, memory):
    base = tiny_config(steps=12)
    config = dataclasses.replace(base, runtime=dataclasses.replace(base.runtime, workers=0))
    whole = data.open(str(pictures), memory=memory)
    training, held_out = data.hold_out(whole, 0.25)
    batch_items = set()
    trainer = Trainer(config, training, "cpu", held_out=held_out)
    for _ in range(12):
        batch_items |= {item.numpy().tobytes() for item in next(trainer.batches).items}
    trainer.close()
    items = {part: {item.numpy().tobytes() for item, _ in part} for part in (training, held_out)}
    assert batch_items == items[training]
    assert not batch_items & items[held_out]


def test_faults_name_items_by_their_number_in_the_data():
    training, held_out = data.hold_out(stripes(), 0.2)
    trainer = Trainer(tiny_config(), training, "cpu", held_out=held_out)
    batch = next(trainer.batches)
    t, losses, none = torch.ones(8, dtype=torch.int64), torch.full((8,), torch.nan), torch.zeros(3)
    line = trainer._fault(UnreadStep(0, t, losses, none[0], none, none[:2], {}, batch.indices), t, losses)
    assert line.endswith("items " + ", ".join(map(str, training.rows[batch.indices].tolist())))
    assert training.rows[batch.indices].tolist() != batch.indices.tolist()


# -- training ---------------------------------------------------------------------------------------------------------


def test_measuring_changes_no_weight():
    """Batches, times, noise and dropout are those of a run on the same items without a validation loss."""
    training, held_out = data.hold_out(stripes(), 0.2)
    states = []
    for validation_items in (None, held_out):
        trainer = Trainer(tiny_config(sample_every=2), training, "cpu", held_out=validation_items)
        steps = list(trainer.run())
        states.append(trainer.state.tensors())
    assert [step.validation and step.validation.step for step in steps] == [None, 2, 2, 4, 4, 6]
    assert {name.partition(".")[0] for name in states[1].keys() - states[0].keys()} == {"validation"}
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_loss_is_that_of_the_averaged_weights_at_fixed_times_and_noise():
    training, held_out = data.hold_out(stripes(), 0.2)
    trainer = Trainer(tiny_config(sample_every=6), training, "cpu", held_out=held_out)
    *_, last = trainer.run()
    denoiser = trainer.model().diffusion.eval()
    means = []
    for part in (held_out.sample(8), training.sample(8)):
        draws = torch.arange(256)  # 32 of each of the 8 items
        t = 1 + ((draws + 0.5).double() * ((5**0.5 - 1) / 2) % 1 * 1000).long()
        eps = randomness.normal((1, 8, 8), 0, Stream.VALIDATION, 0, draws.tolist())
        x0 = part.codec.encode(part.items).repeat_interleave(32, 0)
        with torch.no_grad():
            means.append(denoiser.errors(x0, t, eps, labels=part.labels.repeat_interleave(32)).mean().item())
    assert [last.validation.validation, last.validation.training] == pytest.approx(means, rel=1e-4)


@pytest.mark.long
def test_a_killed_run_goes_on_with_the_same_validation_losses(tmp_path):
    data_of, options = random_images(20), {**TINY, "steps": 6, "save_every": 3, "keep": 9}
    ancestral.train("arrays", data_of, validation=0.2, out=tmp_path / "a", **options)
    whole = (tmp_path / "a" / "validation.csv").read_text(encoding="utf-8")
    assert [row["step"] for row in rows(tmp_path / "a")] == ["2", "4", "6"]
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / "checkpoints" / "000006")
    result = ancestral.train("arrays", data_of, out=tmp_path / "b", resume=True, **options)
    assert (tmp_path / "b" / "validation.csv").read_text(encoding="utf-8") == whole
    one, two = (Checkpoints(tmp_path / name / "checkpoints").newest()[0].tensors for name in "ab")
    assert same_tensors(one, two)
    assert one["validation.numbers"][0] > 0
    again = ancestral.train("arrays", data_of, out=tmp_path / "b", resume=True, **options)
    assert again.validation == result.validation
    with pytest.raises(InputError, match=r"was trained with validation=0\.2, so it cannot go on with 0\.3"):
        ancestral.train("arrays", data_of, out=tmp_path / "b", resume=True, **{**options, "validation": 0.3})


@pytest.mark.long
def test_validation_data_of_ones_own(tmp_path, refused):
    """Other data take no item from the training, so a run may get them later."""
    images, others = random_images(12), random_images(6, seed=1)
    ancestral.train("arrays", images, out=tmp_path / "without", **TINY)
    result = ancestral.train("arrays", images, validation=others, out=tmp_path / "with", **TINY)
    assert same_tensors(*(ancestral.load(tmp_path / name).diffusion.state_dict() for name in ("with", "without")))
    assert result.validation.step == 4
    with pytest.raises(InputError, match="validation data of this run were given from Python: give them again"):
        ancestral.train("arrays", images, out=tmp_path / "with", resume=True, **{**TINY, "steps": 6})
    np.save(tmp_path / "others.npy", others.numpy())
    more = {**TINY, "steps": 6}
    ancestral.train("arrays", images, out=tmp_path / "without", resume=True, validation=tmp_path / "others.npy", **more)
    assert [row["step"] for row in rows(tmp_path / "without")] == ["6"]
    with pytest.raises(InputError, match="the data that are trained on: give a share"):
        ancestral.train("arrays", images, validation=images, out=tmp_path / "no", **TINY)
    with pytest.raises(InputError, match="validation: arrays holds uint8 items of 1x4x4"):
        ancestral.train("arrays", images, validation=others[..., :4, :4], out=tmp_path / "no", **TINY)
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path):
    together(__file__, tmp_path / "two")
    trained(tmp_path / "one")
    for one, two in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert [float(value) for value in two.values()] == pytest.approx([float(value) for value in one.values()], 1e-3)


def trained(folder):
    ancestral.train("arrays", random_images(40), validation=0.25, out=folder, **TINY)


# -- memorisation -----------------------------------------------------------------------------------------------------

LEARNED = {**TINY, "mults": (1, 2), "batch_size": 12, "lr": 3e-3, "warmup": 10, "ema": 0.9, "dropout": 0.0,
           "steps": 160, "sample_every": 16, "schedule": "cosine", "target": "v"}  # fmt: skip


@pytest.mark.long
def test_memorisation_is_named_once_while_training(tmp_path):
    """Twelve images of noise: nothing that is learned of nine of them helps with the other three."""
    ancestral.train("arrays", random_images(12), validation=0.25, out=tmp_path / "run", **LEARNED)
    notes = (tmp_path / "run" / "notes.txt").read_text(encoding="utf-8").splitlines()
    notes = [note for note in notes if not note.startswith("step 0: ")]
    assert len(notes) == 1
    assert "validation loss rises since step" in notes[0]
    assert notes[0].endswith("the model begins to memorise; stop here, take more data, or a smaller network")
    assert observed(notes, EvaluationResult())[0].symptom.name == "copies"
    assert int(notes[0].split()[1].rstrip(":")) < 160  # while it trains
    last = rows(tmp_path / "run")[-1]
    assert int(last["step"]) == 160
    assert float(last["rise"]) > 3 * float(last["rise_error"]) > 0
    assert "held-out items" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_rise_is_named_if_it_is_significant_twice_while_the_training_items_loss_falls():
    training, held_out = data.hold_out(stripes(), 0.2)
    spread = torch.linspace(-0.1, 0.1, 8, dtype=torch.float64)

    def notes(*checks):
        validation = Validation(held_out, training, training.spec)
        return [
            len(validation.check(step, torch.stack([held + noise * spread, train + 0 * spread]))[1])
            for step, (held, train, noise) in enumerate(checks, start=1)
        ]

    assert notes((1, 1, 0), (1.1, 0.9, 1), (1.2, 0.8, 1), (1.3, 0.7, 1)) == [0, 0, 1, 0]
    assert notes((1, 1, 0), (1.1, 0.9, 1), (0.9, 0.8, 1), (1.1, 0.7, 1)) == [0, 0, 0, 0]  # not in a row
    assert notes((1, 1, 0), (1.1, 1.1, 1), (1.2, 1.2, 1), (1.3, 1.3, 1)) == [0, 0, 0, 0]  # both rise
    assert notes((1, 1, 0), (1.1, 0.9, 9), (1.1, 0.8, 9), (1.1, 0.7, 9)) == [0, 0, 0, 0]  # within the errors


# -- results and evaluation -------------------------------------------------------------------------------------------


def test_panel_and_result_show_the_last_losses():
    training, held_out = data.hold_out(stripes(), 0.2)
    *_, last = Trainer(tiny_config(steps=2), training, "cpu", held_out=held_out).run()
    last = dataclasses.replace(last, validation=ValidationLosses(2, 0.5, 0.25, 0.0, 0.0))
    console = Console(width=100, file=io.StringIO())
    console.print(draw(last))
    assert "validation loss 0.5000, training items 0.2500" in console.file.getvalue()
    result = TrainingResult("run", "digits", 2, 2, 1.0, 10, validation=last.validation)
    assert TrainingResult.from_json(result.to_json()) == result
    assert "0.5000 at step 2" in str(result)
    old = TrainingResult("run", "digits", 2, 2, 1.0, 10)
    assert "validation" not in old.to_json()
    assert TrainingResult.from_json(old.to_json()) == old


@pytest.mark.long
def test_evaluation_knows_what_the_run_held_out(tmp_path):
    np.save(tmp_path / "x.npy", random_images(40).numpy())
    ancestral.train(data=tmp_path / "x.npy", validation=0.25, out=tmp_path / "run", **TINY)
    result = ancestral.evaluate(tmp_path / "run", samples=16, likelihood=True, passes=2, extractor="pixels",
                                steps=2, device="cpu", progress=False)  # fmt: skip
    assert result.samples.data.train == "x, train split, 30"
    assert result.samples.data.held_out == "x, held out of the run, 10"
    assert (result.likelihood.data.split, result.likelihood.data.of) == ("held-out", 10)
    model = ancestral.load(tmp_path / "run")
    load = reference.loader(model.spec, model.config.data, model.config.data)
    train, (held_out, called) = (
        load(str(tmp_path / "x.npy"), "train"),
        held_out_data(str(tmp_path / "x.npy"), load, None),
    )
    expected = data.hold_out(data.load(tmp_path / "x.npy"), 0.25)
    assert called == reference.HELD_OUT_SPLIT
    assert [part.rows.tolist() for part in (train, held_out)] == [part.rows.tolist() for part in expected]
    assert len(load(random_images(40), reference.HELD_OUT_SPLIT)) == 10  # the same data from elsewhere
    np.save(tmp_path / "x.npy", random_images(40, seed=2).numpy())  # other data: nothing is known of them
    other = ancestral.evaluate(tmp_path / "run", samples=16, extractor="pixels", steps=2, device="cpu", progress=False)
    assert other.samples.data.train == "x, train split, 40"
    assert "Some of what is called training data was held out of training by validation." in other.samples.data.notes


def test_data_of_which_nothing_was_held_out_are_opened_once(tmp_path, monkeypatch):
    """To decode large photographs took most of the time of an evaluation, twice."""
    np.save(tmp_path / "x.npy", random_images(20).numpy())
    calls, real = [], data.open
    monkeypatch.setattr(
        data, "open", lambda *arguments, **options: calls.append(arguments) or real(*arguments, **options)
    )
    source = str(tmp_path / "x.npy")
    load = reference.loader(real(source).spec, None)
    assert len(load(source, "train")) == 20
    assert held_out_data(source, load, None) == (None, "")
    assert [arguments[0] for arguments in calls] == [source, source]  # the second is refused: there is no test split


@pytest.mark.long
def test_evaluation_takes_the_validation_data_of_the_run(tmp_path):
    np.save(tmp_path / "x.npy", random_images(20).numpy())
    np.save(tmp_path / "y.npy", random_images(12, seed=1).numpy())
    options = {"extractor": "pixels", "steps": 2, "device": "cpu", "progress": False, "samples": 16}
    runs = []
    for name, validation in (("a", str(tmp_path / "y.npy")), ("b", None)):
        ancestral.train(data=tmp_path / "x.npy", validation=validation, out=tmp_path / name, **TINY)
        runs.append(tmp_path / name)
    assert ancestral.evaluate(runs[0], **options).samples.data.held_out == "y, held out of the run, 12"
    assert ancestral.evaluate(runs[1], **options).samples.data.held_out is None
    compared = ancestral.compare(runs, out=tmp_path / "compared", **options)
    assert all(run.data.held_out is None for run in compared.runs)  # the second one knows of none


if __name__ == "__main__":
    trained(sys.argv[1])
