"""`ancestral evaluate` of samples: drawn once whatever happens, compared with data, and reported."""

import dataclasses
import json
import math
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral import config, data, samplers
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Work, finish
from ancestral.base.options import in_python, spell
from ancestral.base.registries import METRICS, Metric
from ancestral.config.request import Request
from ancestral.data import dataset
from ancestral.data.sources import builtin
from ancestral.declarations import Evaluate, EvaluateSamples
from ancestral.faces import command as cli
from ancestral.measure import reference, sample_quality, set_metrics
from ancestral.measure.evaluation import Evaluation
from ancestral.measure.measured_samples import References
from ancestral.measure.reference import ReferenceSet
from ancestral.measure.sample_quality import FeatureSet, SampleSets
from ancestral.measure.sample_store import SampleStore, key_of, reproducible
from ancestral.metrics import distances, extractors, neighbours, precision_recall
from ancestral.metrics.extractors import Features, extractor
from ancestral.model import stages
from ancestral.render import evaluation_text
from ancestral.render.model_card import _results
from ancestral.results import ComparisonResult, Estimate, EvaluationResult, SampleMetrics
from ancestral.results.comparison_result import ComparedRun
from ancestral.results.sample_result import ExtractorName, ReferenceNames, SampleSettings
from tiny_models import events_of, together, untrained

evaluate = events_of(Evaluate)
evaluate_samples = events_of(EvaluateSamples)

PROCESS = config.ProcessConfig("cosine", timesteps=6, target="v")
SHAPE, CLASSES = (1, 8, 8), ("vertical", "horizontal")


def asked(sampler, guidance=1.0):
    """The request of samples of a model in a file."""
    return dataclasses.replace(Request.of(sampler=sampler, guidance=guidance), model="a hash")


def studied(model, train, count, folder, sampler=None, guidance=1.0):
    """An evaluation of a model by its pixels, against its training data."""
    references = References.of(model.spec, train, None, "pixels")
    return Evaluation(model, "a run", asked(model.sampler(sampler), guidance), folder, folder, count, references)


def noisy(count, seed=0):
    """Images 8×8 of vertical or horizontal stripes, by class, with noise: no two are alike."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    bars = (np.arange(8) % 4 < 2) * 120.0 + 60
    images = np.where(labels[:, None, None] == 1, bars[None, :, None], bars[None, None, :])
    return (images + rng.normal(0, 12, (count, 8, 8))).round().astype(np.uint8)[:, None], labels


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two .npz files of such images: to learn from, and held out."""
    folder = tmp_path_factory.mktemp("data")
    for name, count, seed in (("train", 60, 0), ("test", 40, 1)):
        images, labels = noisy(count, seed)
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    return folder


@pytest.fixture
def model_run(tmp_path):
    """An untrained model of six steps, in a run folder."""
    untrained(SHAPE, CLASSES, PROCESS, dropout=0.0).save(tmp_path / "run" / "model.safetensors")
    return tmp_path / "run"


@pytest.fixture
def common(files):
    return ("--samples", 20, "--batch-size", 8, "--data", files / "train.npz", "--extractor", "pixels")


def metrics_json(folder):
    return json.loads((folder / "samples.json").read_text(encoding="utf-8"))


@pytest.fixture
def passes(monkeypatch):
    """The items that were drawn, in the order of the batches."""
    sampled, states = [], stages.states

    def counted(model, indices, *args, **kwargs):
        for step in states(model, indices, *args, **kwargs):
            if step.t == 0:
                sampled.append(range(indices[0], indices[-1] + 1))
            yield step

    monkeypatch.setattr(stages, "states", counted)
    return sampled


# -- samples on disk --------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_same_evaluation_again_draws_nothing_and_says_the_same(run, model_run, common, passes):
    run("evaluate", model_run, *common)
    first = metrics_json(model_run / "evaluation")
    assert passes == [range(8), range(8, 16), range(16, 20)]
    run("evaluate", model_run, *common)
    assert len(passes) == 3
    assert metrics_json(model_run / "evaluation") == first
    run("evaluate", model_run, *common[2:], "--samples", 30)
    assert passes[3:] == [range(20, 28), range(28, 30)]
    items = ancestral.load(model_run, "cpu").sample(30)
    folder = model_run / "evaluation" / "samples" / first["samples"]["folder"]
    assert torch.equal(SampleStore(folder, SHAPE, torch.uint8).read(30), items)


KILLED = """
import os, signal, sys
from ancestral.faces import command as cli
from ancestral.measure.sample_store import SampleStore
write = SampleStore.write
def fatal(self, part, items):
    write(self, part, items)
    if part.start >= 8:
        os.kill(os.getpid(), signal.SIGKILL)
SampleStore.write = fatal
cli.main(sys.argv[1:])
"""


@pytest.mark.long
def test_what_was_killed_goes_on_and_draws_nothing_twice(run, model_run, common, passes):
    argv = [str(word) for word in ("evaluate", model_run, *common)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *argv], capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert not (model_run / "evaluation" / "samples.json").exists()
    run(*argv)
    assert passes == [range(16, 20)]
    saved = metrics_json(model_run / "evaluation")
    run(*argv, "--out", model_run.parent / "anew")
    assert metrics_json(model_run.parent / "anew") == saved


def test_ctrl_c_keeps_what_is_drawn_and_says_how_to_go_on(capsys, monkeypatch, model_run, common):
    write = SampleStore.write

    def interrupted(self, part, items):
        write(self, part, items)
        raise KeyboardInterrupt

    monkeypatch.setattr(SampleStore, "write", interrupted)
    argv = [str(word) for word in ("evaluate", model_run, *common)]
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    assert stop.value.code == 130
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Stopped; all samples so far are kept. Go on with:  ancestral evaluate ")
    assert lines[1] == "ancestral: interrupted"
    assert {path.name for path in (model_run / "evaluation").iterdir()} == {"samples"}


@pytest.mark.long
def test_a_changed_model_and_other_settings_have_samples_of_their_own(run, model_run, common, passes):
    folders = set()
    for options in ([], ["--seed", 1], ["--sampler", "ddpm"]):
        run("evaluate", model_run, *common, *options)
        folders.add(metrics_json(model_run / "evaluation")["samples"]["folder"])
    assert len(folders) == 3
    assert len(passes) == 9
    before = metrics_json(model_run / "evaluation")
    with torch.no_grad():
        model = ancestral.load(model_run, "cpu")
        next(model.denoiser.parameters()).mul_(1.5)
    model.save(model_run / "model.safetensors")
    run("evaluate", model_run, *common, "--sampler", "ddpm")
    assert len(passes) == 12
    after = metrics_json(model_run / "evaluation")
    assert after["model"]["sha256"] == storage.sha256(model_run / "model.safetensors") != before["model"]["sha256"]
    assert after["metrics"] != before["metrics"]


def test_gaps_are_filled_and_damage_is_drawn_again(tmp_path):
    model = untrained(SHAPE, CLASSES, PROCESS, dropout=0.0)
    request = asked(model.sampler())
    store = SampleStore(tmp_path / key_of(request), SHAPE, torch.uint8)
    assert store.missing(20, 8) == [range(8), range(8, 16), range(16, 20)]
    list(store.fill(model, request, [range(4, 9), range(12, 15)]))
    assert store.missing(20, 8) == [range(4), range(9, 12), range(15, 20)]
    assert (store.count(20), store.count(6), store.read(20)) == (8, 2, None)
    worked = sum(store.fill(model, request, store.missing(20, 8)))
    assert worked == pytest.approx(12)
    whole = store.read(20)
    assert torch.equal(whole, model.sample(20))
    assert torch.equal(store.read(7), whole[:7])
    names = sorted(path.name for path in store.folder.iterdir())
    assert names[0] == "000000-000003.safetensors"
    (store.folder / names[0]).write_bytes((store.folder / names[0]).read_bytes()[:-5])
    store.write(range(9, 12), torch.zeros(3, 1, 4, 4, dtype=torch.uint8))  # of another shape
    assert store.read(20) is None
    assert store.missing(20, 8) == [range(4), range(9, 12)]
    store.write(range(9, 12), whole[9:12])
    store.write(range(4), whole[:4])
    path = store.folder / names[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # a byte of an image, which the disk got wrong
    path.write_bytes(content)
    assert store.read(20) is None
    assert store.missing(20, 8) == [range(4)]
    path.mkdir()
    with pytest.raises(InputError, match="is a folder where samples are kept; move it away"):
        store.missing(20, 8)
    path.rmdir()
    assert json.loads((store.folder / "recipe.json").read_text())["sampler"] == repr(model.sampler())


@pytest.mark.long
def test_two_processes_find_what_one_does(run, model_run, common, tmp_path, files):
    """The same JSON; each draws its own batches, and all the features are there before the first is left alone."""
    run("evaluate", model_run, *common, "--out", tmp_path / "one")
    code = "import sys; from ancestral.faces import command as cli; cli.main(sys.argv[1:])"
    first, second = together("-c", code, "evaluate", model_run, *common, "--out", tmp_path / "two")
    assert second == ""
    assert "samples.json" in first
    assert metrics_json(tmp_path / "two") == metrics_json(tmp_path / "one")


# -- the numbers ------------------------------------------------------------------------------------------------------


def features(items):
    return data.IMAGES.encode(items).flatten(1)


@pytest.mark.parametrize("has_held_out", [False, True])
def test_the_numbers_are_those_of_the_metrics(run, model_run, files, common, has_held_out):
    argv = ("--held-out", files / "test.npz") if has_held_out else ()
    text = run("evaluate", model_run, *common, *argv)
    tree = metrics_json(model_run / "evaluation")
    x = features(ancestral.load(model_run, "cpu").sample(20))
    y = features(data.load(str(files / "train.npz")).items)
    sets = {"value": (x, y)}
    if has_held_out:
        z = features(data.load(str(files / "test.npz")).items)
        places = [round(i * 39 / 19) for i in range(20)]
        sets |= {"held_out": (x, z), "floor": (z[places], y)}
    for name, (samples, references) in sets.items():
        assert tree["sets"][name] == [len(samples), len(references)]
        ball = precision_recall.precision_recall(samples, references)
        expected = {
            "frechet": distances.frechet(distances.moments(samples), distances.moments(references)),
            "kernel": distances.kernel(samples, references),
            **{key: float(values.mean()) for key, values in ball._asdict().items()},
        }
        for key, value in expected.items():
            saved = tree["metrics"][key][name]
            assert saved["value"] == pytest.approx(value, rel=1e-6, abs=1e-9), (name, key)
            assert saved["low"] <= saved["value"] <= saved["high"]
    near = neighbours.nearest(x, y)
    saved = tree["metrics"]["memorisation"]["pixels"]
    assert saved["among"] == 60
    assert saved["median"] == pytest.approx(float(near.distance.median()) * 127.5 / 8)  # root mean square, grey levels
    assert saved["closest"][0]["sample"] == int(near.distance.argmin())
    assert saved["closest"][0]["training_item"] == int(near.index[near.distance.argmin()])
    if has_held_out:
        judged = neighbours.memorisation(x, y, z)
        assert [saved[key] for key in ("share", "expected", "error")] == pytest.approx(
            [judged.share, judged.expected, judged.error]
        )
        assert "floor          held-out data: 20 to 60" in text
        assert "held-out data  test, held out, 40" in text
    else:
        assert tree["floor"] == "training data against the rest of it"
        assert tree["sets"]["floor"] == [20, 40]
        kernel = tree["metrics"]["kernel"]
        assert abs(kernel["floor"]["value"]) < 4 * kernel["floor"]["error"]
        assert kernel["floor"]["value"] < kernel["value"]["value"]
    assert tree["samples"]["label"] == "2 classes in turn"
    assert tree["data"]["train"] == "train, train split, 60"
    assert "20 items are too few for the covariance of 64 features" in text
    assert f"{'FD-pixels':<12}" in text


def distances_of(quality):
    """The distances without their titles, which name the extractor."""
    return {name: dataclasses.replace(one, title="") for name, one in quality.between_sets.items()}


def state(samples, train, held_out=None, labels=(None, None, None)):
    """All metrics of items in uint8, by their pixels."""
    return state_and_pairs(samples, train, held_out, labels)[0]


def state_and_pairs(samples, train, held_out=None, labels=(None, None, None), **options):
    return finish(measurement(samples, train, held_out, labels, **options))


def measurement(samples, train, held_out=None, labels=(None, None, None), metrics=METRICS, mirrored=False):
    judge = extractor("pixels", tuple(train.shape[1:]), data.IMAGES)
    sets = [
        None if x is None else FeatureSet(x, Features(data.IMAGES.encode(x).flatten(1)), class_labels)
        for x, class_labels in zip((samples, train, held_out), labels, strict=True)
    ]
    return sample_quality.measure(SampleSets(*sets, data.IMAGES, judge, mirrored=mirrored), metrics)


def images(count, seed):
    return torch.from_numpy(noisy(count, seed)[0])


def verdict(samples, train, held_out=None, **options):
    names = {"data": ReferenceNames("data", None), "extractor": ExtractorName("pixels", 64)}
    settings = SampleSettings(len(samples), None, None, None, None, folder="samples")
    quality = state_and_pairs(samples, train, held_out, **options)[0]
    return SampleMetrics(**vars(quality), model=None, samples=settings, **names)


def test_samples_of_a_sampler_that_was_replaced_in_part_are_not_kept(model_run, monkeypatch):
    """A method that is replaced leaves the sampler's name and repr as they were."""
    model = ancestral.load(model_run)
    for sampler in map(samplers.from_name, samplers.BY_NAME):
        assert reproducible(model, sampler)
    advance = samplers.DDIM.advance
    monkeypatch.setattr(samplers.DDIM, "advance", lambda self, *given, **more: advance(self, *given, **more))
    assert not reproducible(model, samplers.DDIM(5))
    assert reproducible(model, samplers.from_name("heun"))


@pytest.mark.parametrize("has_held_out", [True, False])
def test_a_verdict_in_words_comes_first(has_held_out):
    """30 items, and 9 of 10 samples are copies: half of the data in the place of unseen items gave about a half."""
    train, held_out = images(30, 0), images(60, 1) if has_held_out else None
    samples = torch.cat([train[torch.arange(180) % 27], images(20, 2)])
    metrics = verdict(samples, train, held_out)
    assert evaluation_text.verdict(metrics).startswith(
        "COPIES: 90.0 ± 2.1 % of the samples copy a training item (27 of 30 different ones)"
    )
    assert str(metrics).splitlines()[0] == spell(evaluation_text.verdict(metrics), in_python)
    assert "hold out 10 %" in evaluation_text.verdict(metrics)
    assert any("No data were held out: half of the training data" in note for note in metrics.notes) != has_held_out
    few = verdict(torch.cat([train[:6], images(194, 2)]), images(400, 0))
    assert evaluation_text.verdict(few).startswith("SOME COPIES: 3.0 ± 1.2 %")
    new = verdict(images(200, 3), train, held_out)
    assert evaluation_text.verdict(new).startswith("NO COPIES: KID-pixels cannot tell")
    blurred = images(300, 4).double()
    blurred = ((blurred + blurred.roll(1, 0) + blurred.roll(2, 0)) / 3).to(torch.uint8)
    assert "FD-pixels" in evaluation_text.verdict(verdict(blurred + 60, images(300, 0)))


@pytest.mark.parametrize(
    ("count", "copied", "verdict_"),
    [(20, 3, "COPIES: 15.0"), (20, 1, "COPIES: 5.0"), (60, 3, "COPIES: 5.0"), (100, 2, "SOME COPIES: 2.0")],
)
def test_exact_training_items_are_copies_however_few(count, copied, verdict_):
    """The normal error at a share of 3 of 20 reached to 0: of exact training images, the verdict was NO COPIES."""
    samples = torch.cat([images(300, 0)[10 : 10 + copied], images(count - copied, 2)])
    metrics = verdict(samples, images(300, 0), metrics=["memorisation"])
    assert evaluation_text.verdict(metrics).startswith(verdict_)
    assert f"{copied} of 300 different items are copied, {copied} samples are equal to one" in str(metrics)


def test_copies_that_are_not_exact_are_tested_against_chance():
    """3 of 20 are hardly chance where 0 of 300 training items are copies; 1 of 20 may be."""
    train = images(300, 0)
    near = train.clone()
    near[:, 0, 0, 0] += 1
    three, one = (verdict(torch.cat([near[:n], images(20 - n, 2)]), train, metrics=["memorisation"]) for n in (3, 1))
    assert evaluation_text.verdict(three).startswith("COPIES: 15.0")
    assert three.memorisation.pixels.copies.p_value == pytest.approx(math.comb(20, 3) / math.comb(320, 3))
    assert (evaluation_text.verdict(one), one.memorisation.pixels.copies.equal) == ("NO COPIES", 0)


@pytest.mark.parametrize("has_held_out", [True, False])
def test_items_of_one_colour_make_no_verdict(has_held_out):
    """A drawing on white that is cut at its edge is white: 13 white samples were COPIES, of blank items alone."""
    white = torch.full((13, 1, 8, 8), 255, dtype=torch.uint8)
    white[:, 0, 0, 0] -= torch.arange(13).to(torch.uint8) // 4
    train, held_out = torch.cat([white[:5], images(200, 0)]), images(60, 1) if has_held_out else None
    samples = torch.cat([white, images(47, 2)])
    metrics = verdict(samples, train, held_out, metrics=["memorisation"])
    assert evaluation_text.verdict(metrics) == "NO COPIES"
    assert any(note.startswith("Next to a training item of one colour: 13 samples.") for note in metrics.notes)
    both = verdict(torch.cat([samples, train[10:15]]), train, held_out, metrics=["memorisation"])
    assert evaluation_text.verdict(both).startswith("COPIES: 7.7 ± 3.3 % of the samples copy a training item (5 of 202")


def test_copies_of_mirrored_items_count_where_these_were_trained_on():
    ramp = (torch.arange(8) * 20).to(torch.uint8)
    train = images(40, 0) // 2 + ramp
    mirrored = train.flip(-1)[torch.arange(80) % 40]
    plain, both = (state_and_pairs(mirrored, train, mirrored=flip)[0].memorisation.pixels for flip in (False, True))
    assert plain.copies.share.value == 0
    assert (both.copies.share.value, both.copies.copied) == (1, 40)
    assert plain.share == both.share


def test_the_floor_is_of_as_many_items_as_what_stands_beside_it():
    """Fréchet distances of fewer items are larger: a floor of 50 to 50 items was above that of 400 samples to 100."""
    train, samples = images(100, 0), images(400, 1)
    quality = state(samples, train)
    frechet = quality.metrics["frechet"]
    assert quality.sets == {"value": (400, 100), "floor": (50, 50), "matched": (50, 50)}
    assert frechet.floor.value > frechet.value.value
    assert abs(frechet.matched.value - frechet.floor.value) < 3 * frechet.matched.error
    assert "matched" not in state(images(100, 1), images(200, 0), images(100, 2)).sets
    text = str(verdict(samples, train))
    assert re.search(r"^ +to training data +as the floor +floor$", text, re.MULTILINE)


def test_what_belongs_to_a_reference_set_is_computed_once(monkeypatch):
    """Samples and the floor are compared with the same training items: a sweep spent most of its time on these."""
    sums, radii, calls = distances.kernel_sums, precision_recall.radii, []

    def counted_sums(x, y, **options):
        if options:
            calls.append(("kernel", len(x)))
        return sums(x, y, **options)

    def counted_radii(x, k):
        calls.append(("radii", len(x)))
        return radii(x, k)

    monkeypatch.setattr(distances, "kernel_sums", counted_sums)
    monkeypatch.setattr(precision_recall, "radii", counted_radii)
    state(images(40, 1), images(90, 0), images(30, 2))
    assert calls.count(("kernel", 90)) == calls.count(("radii", 90)) == 1


def test_copies_among_the_data_leave_memorisation_open():
    train = images(40, 0)
    metrics = state(images(20, 1), train, train[:20])
    assert metrics.memorisation.pixels.share is None
    assert any("Memorisation by pixels could not be measured" in note for note in metrics.notes)
    assert metrics.metrics["frechet"].floor.value < metrics.metrics["frechet"].value.value


def test_class_accuracy_of_right_and_of_wrong_labels():
    (train, train_labels), (fresh, requested_labels) = noisy(200, 0), noisy(80, 1)
    train, train_labels, fresh, requested_labels = map(torch.from_numpy, (train, train_labels, fresh, requested_labels))
    right = state(fresh, train, None, (requested_labels, train_labels, None)).class_accuracy
    assert right.samples.value == right.data.value == 1
    assert right.items == 40  # a fifth of the training data
    assert evaluation_text.by_chance(right) == "by chance 50 %"
    wrong = state(fresh, train, None, (1 - requested_labels, train_labels, None)).class_accuracy
    assert wrong.samples.value == 0
    mixed = torch.cat([requested_labels[:40], 1 - requested_labels[40:]])
    half = state(fresh, train, fresh, (mixed, train_labels, requested_labels)).class_accuracy
    assert half.samples.value == 0.5
    assert half.samples.error == pytest.approx(0.5 / 80**0.5, rel=0.05)
    assert (half.data.value, half.items) == (1, 80)
    some = train_labels.clone()
    some[::4] = -1  # not every item has a class
    assert state(fresh, train, None, (requested_labels, some, None)).class_accuracy.items == 30


def test_what_the_classes_do_not_allow_is_said():
    train, requested_labels = images(60, 0), torch.arange(20) % 2
    assert state(images(20, 1), train).class_accuracy is None
    unknown = state(images(20, 1), train, None, (requested_labels, None, None))
    assert "The data has no classes that the model knows" in " ".join(unknown.notes)
    one = state(images(20, 1), train, None, (requested_labels, torch.zeros(60, dtype=torch.int64), None))
    assert "The class accuracy is not known: a classifier needs" in " ".join(one.notes)
    uneven = (torch.arange(60) > 45).long()
    assert "not equally frequent" in " ".join(state(images(20, 1), train, None, (requested_labels, uneven, None)).notes)


def test_logits_give_an_inception_score():
    x, y = (torch.randn(n, 5) * 3 for n in (40, 60))
    sets = [FeatureSet(torch.zeros(len(z), 1, 2, 2, dtype=torch.uint8) + z[:, :1, None, None].byte(), Features(z, z))
            for z in (x, y)]  # fmt: skip
    judge = extractors.Extractor("own", 5, None, lambda items: Features(items))
    metrics, pairs = finish(sample_quality.measure(SampleSets(*sets, None, data.IMAGES, judge)))
    assert metrics.metrics["inception_score"].value.value == pytest.approx(distances.inception_score(x))
    assert metrics.metrics["inception_score"].floor.value == pytest.approx(distances.inception_score(y))
    near = neighbours.nearest(x, y).index.tolist()
    assert all(near[pair.sample] == pair.training_item for pair in metrics.memorisation.features.closest)
    assert [pair.title for pair in pairs] == ["nearest by pixels", "nearest by features"]


# -- the data ---------------------------------------------------------------------------------------------------------


def test_data_too_large_are_a_fixed_number_evenly_chosen(run, model_run, files, common, monkeypatch):
    monkeypatch.setattr(reference, "MAX_ITEMS", 21)
    text = run("evaluate", model_run, *common)
    assert "train, train split, 21 of 60, evenly chosen" in text
    tree = metrics_json(model_run / "evaluation")
    assert tree["sets"]["value"] == [20, 21]
    assert tree["metrics"]["memorisation"]["pixels"]["among"] == 60  # pixels are cheap
    model = ancestral.load(model_run, "cpu")
    reference_set = ReferenceSet.from_data(data.load(str(files / "train.npz")), model.spec, "train split")
    assert torch.equal(
        reference_set.items, data.load(str(files / "train.npz")).items[[round(i * 59 / 20) for i in range(21)]]
    )
    assert reference_set.labels.tolist() == [round(i * 59 / 20) % 2 for i in range(21)]


def test_data_that_are_read_as_they_are_needed_keep_their_classes(tmp_path, model_run):
    """A folder that does not fit into memory: by index, with an image that cannot be read."""
    pixels, labels = noisy(30)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = tmp_path / "images" / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / f"{number:02d}.png")
    (tmp_path / "images" / "vertical" / "00.png").write_bytes(b"no image")
    model = ancestral.load(model_run, "cpu")
    lazy = data.open(str(tmp_path / "images"), memory=0)
    reference_set = ReferenceSet.from_data(lazy, model.spec, "train split")
    whole = data.load(str(tmp_path / "images"))
    assert not isinstance(lazy, data.InMemoryDataset)
    assert reference_set.of == 30
    assert len(reference_set.items) == 29
    assert torch.equal(reference_set.items, whole.items)
    names = {name: number for number, name in enumerate(CLASSES)}
    assert reference_set.labels.tolist() == [names[whole.classes[label]] for label in whole.labels.tolist()]
    assert reference.in_memory(lazy).items.shape == (29, 1, 8, 8)


def test_a_test_split_that_cannot_be_opened_does_not_count_as_none(run, refused, tmp_path, monkeypatch):
    """Distances to training data would be taken for those to held-out data."""
    moons = builtin.moons

    def damaged(split):
        if split == "test":
            raise InputError("the test file is damaged")
        return moons(split)

    monkeypatch.setattr(builtin, "moons", damaged)
    untrained((2,), process=PROCESS).save(tmp_path / "run" / "model.safetensors")
    for words in (("evaluate", tmp_path / "run"), ("compare", tmp_path / "run", tmp_path / "run")):
        assert "the test file is damaged" in refused(*words, "--samples", 30, "--data", "moons")
    likelihood = ("evaluate", tmp_path / "run", "--likelihood", "-n", 3, "--passes", 2, "--data", "moons")
    assert "the test file is damaged" in refused(*likelihood)
    assert "moons, train split" in run(*likelihood, "--split", "train")  # which needs no other


def test_the_test_split_of_built_in_data_is_held_out(run, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "MAX_ITEMS", 400)
    untrained((2,), process=PROCESS).save(tmp_path / "run" / "model.safetensors")
    text = run("evaluate", tmp_path / "run", "--samples", 30, "--data", "moons")
    tree = metrics_json(tmp_path / "run" / "evaluation")
    assert tree["data"]["train"] == "moons, train split, 400 of 10,000, evenly chosen"
    assert tree["data"]["held_out"] == "moons, test split, 400 of 10,000, evenly chosen"
    assert tree["sets"]["floor"][0] == 30
    assert "FD-pixels" in text
    assert tree["extractor"] == {"name": "pixels", "features": 2}
    assert tree["metrics"]["memorisation"]["features"] is None
    some = [round(i * 9999 / 399) for i in range(400)]
    unseen = data.load("moons", split="test").items[some][[round(i * 399 / 29) for i in range(30)]]
    floor = distances.kernel(unseen, data.load("moons").items[some])
    assert tree["metrics"]["kernel"]["floor"]["value"] == pytest.approx(floor, rel=1e-6)


def test_both_are_measured_on_request(run, model_run, files, common):
    options = ("--likelihood", "-n", 5, "--passes", 3, "--held-out", files / "test.npz")
    text = run("evaluate", model_run, *common, *options)
    folder = model_run / "evaluation"
    assert {path.name for path in folder.iterdir()} == {
        "samples", "samples.json", "memorisation.png", "likelihood.json", "likelihood.png"
    }  # fmt: skip
    paths = [line for line in text.splitlines() if line.startswith(str(model_run))]
    assert text.index("FD-pixels") < text.index(paths[0]) < text.index("L_0") < text.index(paths[2])  # as measured
    likelihood = json.loads((folder / "likelihood.json").read_text())
    assert (likelihood["data"]["source"], likelihood["data"]["split"]) == (str(files / "test.npz"), "held-out")
    assert likelihood["per_image"]["index"] == [0, 8, 16, 24, 32]
    assert likelihood["model"]["sha256"] == metrics_json(folder)["model"]["sha256"]


def test_chosen_metrics_alone_are_measured(run, model_run, common, files, monkeypatch):
    run("evaluate", model_run, *common)
    every = metrics_json(model_run / "evaluation")
    for unused in ("measure_memorisation", "class_accuracy", "colour"):
        monkeypatch.delattr(set_metrics, unused)
    text = run("evaluate", model_run, *common, "--metrics", "frechet", "precision_recall")
    some = metrics_json(model_run / "evaluation")
    assert set(some["metrics"]) == {"frechet", "precision", "recall", "density", "coverage"}
    assert some["metrics"].items() <= every["metrics"].items()
    assert some["sets"] == every["sets"]
    assert "copies" not in text
    assert "KID-pixels" not in text
    options = {"data": str(files / "train.npz"), "extractor": "pixels", "metrics": ["kernel"]}
    result = finish(evaluate(model_run, samples=20, **options))
    assert result.samples.metrics["kernel"].value.value == every["metrics"]["kernel"]["value"]["value"]
    assert [*result.samples.metrics] == ["kernel"]
    assert "KID-pixels" in evaluation_text.verdict(result.samples)
    samples = finish(evaluate_samples(images(20, 3), **options)).samples
    assert [*samples.metrics] == ["kernel"]
    with pytest.raises(InputError, match="metrics names none"):
        finish(evaluate(model_run, metrics=[]))
    with pytest.raises(InputError, match="metrics cannot be"):
        finish(evaluate(model_run, metrics=["fid"]))


def test_a_metric_is_a_row_of_the_table(monkeypatch):
    """A row alone: it is measured between all sets, and is in the tables, the comparison and the card."""

    def means(x, reference):
        return Estimate(float((x.mean(0) - reference.values.mean(0)).norm()), 0.01)

    monkeypatch.setitem(METRICS, "means", Metric("means", means, "of means", title="MD", better="lower"))
    metrics = verdict(images(20, 3) + 9, images(60, 0), images(30, 1))
    x, y, z = (features(items) for items in (images(20, 3) + 9, images(60, 0), images(30, 1)))
    measure = metrics.metrics["means"]
    assert (measure.title, measure.value.value) == ("MD-pixels", pytest.approx(float((x.mean(0) - y.mean(0)).norm())))
    assert measure.held_out.value == pytest.approx(float((x.mean(0) - z.mean(0)).norm()))
    assert measure.floor.value < measure.value.value
    assert ["MD-pixels", str(measure.value)] == evaluation_text.distance_table(metrics).rows[-1][:2]
    run = ComparedRun(**vars(metrics), parameters=1, bits_per_dim=None)
    (row,) = [row for row in ComparisonResult.from_runs([run, run]).quantities() if row.title == "MD-pixels"]
    assert (row.values, row.floor, row.sign) == ((measure.value,) * 2, measure.floor, -1)
    ((_, numbers), *_) = _results(EvaluationResult(metrics), math.inf)
    assert ("md-pixels", "MD-pixels, 20 samples", measure.value.value) in numbers
    assert SampleMetrics.from_json(metrics.to_json()) == metrics


def test_a_metric_of_ones_own_is_measured_beside_its_floor(files, model_run):
    """The difference of the means in levels; of the data the floor is that of held-out items."""

    def brightness(items, others):
        return items.double().mean() - others.double().mean()

    items, train, held_out = images(20, 3), images(60, 0), images(30, 1)
    options = {"data": train, "held_out": held_out, "extractor": "pixels", "metrics": ["kernel", brightness]}
    samples = finish(evaluate_samples(items + 9, **options)).samples
    name, _ = sorted(samples.metrics, key=lambda one: one == "kernel")
    own = samples.metrics[name]
    assert name.endswith(":test_a_metric_of_ones_own_is_measured_beside_its_floor.<locals>.brightness")
    assert own.value.value == pytest.approx(float(brightness(items + 9, train)))
    unseen = held_out[dataset.evenly_spaced(20, 30)]
    assert own.floor.value == pytest.approx(float(brightness(unseen, train)))
    assert samples.memorisation.pixels is None
    assert f"{own.value.value:.4g}; held-out data {own.floor.value:.4g}" in str(samples)
    assert type(samples).from_json(samples.to_json()) == samples
    for metrics, says in (
        ([lambda items: 0], "metrics cannot hold .*lambda.*: a metric is a name, or a function of .items, other items"),
        ([lambda items, others: "x"], "lambda> returned 'x': a metric returns a number"),
        ([5], "metrics cannot be"),
    ):
        with pytest.raises(InputError, match=says):
            finish(evaluate_samples(items, **{**options, "metrics": metrics}))
    with pytest.raises(InputError, match=r"evaluate takes .*brightness too"):
        ancestral.compare([model_run, model_run], metrics=[brightness])


def test_a_module_is_an_extractor(files):
    class Halves(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = torch.nn.Dropout(0.5)

        def forward(self, x):
            return self.drop(x.flatten(1)[:, ::2])

    module = Halves()  # in training mode, as it stays
    result = finish(evaluate_samples(images(20, 1), str(files / "train.npz"), extractor=module)).samples
    assert (result.extractor.name, result.extractor.features) == ("Halves", 32)
    assert module.training
    assert module.drop.training
    same = finish(evaluate_samples(images(20, 1), str(files / "train.npz"), extractor=lambda x: x.flatten(1)[:, ::2]))
    assert distances_of(same.samples) == distances_of(result)
    with pytest.raises(InputError, match="extractor cannot be 3: give"):
        finish(evaluate_samples(images(20, 1), str(files / "train.npz"), extractor=3))


def test_samples_of_several_sizes_are_brought_to_one(tmp_path, files):
    for i, image in enumerate(images(12, 1)[:, 0].numpy()):
        Image.fromarray(np.kron(image, np.ones((1 + i % 2,) * 2, np.uint8))).save(tmp_path / f"{i:02}.png")
    source = str(files / "train.npz")
    with pytest.raises(InputError, match="image_size='HxW'"):
        finish(evaluate_samples(tmp_path, source, extractor="pixels"))
    result = finish(evaluate_samples(tmp_path, source, extractor="pixels", image_size=8)).samples
    assert result.samples.count == 12
    same = finish(evaluate_samples(images(12, 1), source, extractor="pixels")).samples
    assert result.metrics["frechet"].value.value == pytest.approx(same.metrics["frechet"].value.value, rel=0.05)


def test_the_picture_has_each_training_item_once_and_flat_ones_last():
    train = images(40, 0)
    train[7], train[8] = 0, 255
    train[9] = train[3]  # a duplicate
    samples = torch.cat([train[7:9], train[3].repeat(20, 1, 1, 1), train[10:14]])
    pairs = state_and_pairs(samples, train)[1][0]
    assert torch.equal(pairs.samples, torch.cat([train[3:4], train[10:14], train[7:9]]))
    assert torch.equal(pairs.items, pairs.samples)


# -- interrupts and what is missing ----------------------------------------------------------------------------------


def test_a_model_that_diverges_leaves_no_samples(refused, tmp_path, files):
    model = untrained(SHAPE, CLASSES, PROCESS)
    with torch.no_grad():
        next(model.denoiser.parameters()).fill_(float("nan"))
    model.save(tmp_path / "run" / "model.safetensors")
    argv = ("--samples", "--data", files / "train.npz", "--extractor", "pixels")
    assert "the samples are no finite numbers" in refused("evaluate", tmp_path / "run", *argv)
    assert not list((tmp_path / "run").rglob("*-*.safetensors"))


def test_a_model_of_the_hub_has_its_results_in_runs(run, model_run, common, tmp_path, monkeypatch):
    """The stand-in for the Hub's cache is the run folder; what is made of the model lies where one works."""
    from ancestral.base import hub

    monkeypatch.setattr(hub, "fetch", lambda address, name: model_run / name)
    monkeypatch.chdir(tmp_path)
    run("evaluate", "hf://me/stripes", *common)
    assert metrics_json(tmp_path / "runs" / "stripes" / "evaluation")["samples"]["count"] == 20
    assert "ancestral sample hf://me/stripes" in (tmp_path / "runs" / "stripes" / "README.md").read_text()
    assert [path.name for path in model_run.iterdir()] == ["model.safetensors"]


# -- from Python ------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_python_measures_what_the_command_line_does(run, model_run, files, common):
    run("evaluate", model_run, *common)
    saved = EvaluationResult.load(model_run / "evaluation").samples
    source = str(files / "train.npz")
    result = finish(evaluate(model_run, source, samples=20, extractor="pixels", batch_size=8))
    assert result.samples == saved
    assert result.likelihood is None
    model = ancestral.load(model_run, "cpu")
    before = sorted(model_run.rglob("*"))
    unsaved = finish(evaluate(model, source, samples=20, extractor="pixels", likelihood=True, n=3, passes=2))
    assert unsaved.samples.between_sets == saved.between_sets
    assert unsaved.samples.memorisation == saved.memorisation
    assert unsaved.likelihood.data.images == 3
    assert sorted(model_run.rglob("*")) == before
    only = finish(evaluate(model, source, samples=False, likelihood=True, n=3, passes=2))
    assert only.samples is None
    assert only.likelihood == unsaved.likelihood


def test_an_unsaved_model_is_evaluated_as_it_is(files, tmp_path):
    model = untrained(SHAPE, CLASSES, PROCESS, dropout=0.0)
    steps = evaluate(model, str(files / "train.npz"), samples=12, extractor="pixels", out=tmp_path / "out")
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            result = end.value
            break
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"samples.json", "memorisation.png"}
    assert EvaluationResult.load(tmp_path / "out") == result
    assert result.samples.model.sha256 is None
    x, y = features(model.sample(12)), features(data.load(str(files / "train.npz")).items)
    value = distances.frechet(distances.moments(x), distances.moments(y))
    assert result.samples.metrics["frechet"].value.value == pytest.approx(value)
    sampling = [event for event in events if isinstance(event, Work) and event.task == "sampling"]
    assert sampling[-1].done == pytest.approx(sampling[-1].total) == 12


@pytest.mark.long
def test_data_and_samples_may_be_in_memory(files):
    """Tensors, arrays and torch data sets in the place of the .npz file, also as samples."""
    images, labels = noisy(60)
    model = untrained(SHAPE, CLASSES, PROCESS, dropout=0.0)
    options = {"samples": 20, "extractor": "pixels"}
    saved = finish(evaluate(model, str(files / "train.npz"), **options)).samples
    items, label_tensor = torch.from_numpy(images), torch.from_numpy(labels)
    for source in ((images, labels), (items, label_tensor), torch.utils.data.TensorDataset(items, label_tensor)):
        result = finish(evaluate(model, source, **options)).samples
        assert result.between_sets == saved.between_sets
        assert result.class_accuracy == saved.class_accuracy
    bound = finish(evaluate(model, items, samples=False, likelihood=True, n=3, passes=2)).likelihood
    assert bound.data.source == "arrays"
    samples = model.sample(20)
    only = finish(evaluate_samples(samples, items, held_out=torch.from_numpy(noisy(40, 1)[0]), extractor="pixels"))
    for name, one in only.samples.between_sets.items():
        assert one.value == saved.metrics[name].value
    assert only.samples.data.held_out == "arrays, held out, 40"


def test_an_own_network_is_evaluated(run, tmp_path, monkeypatch, files):
    """Trained with a custom module; from the command line its function is named again."""
    (tmp_path / "mine_of_evaluation.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, shape, classes):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Conv2d(shape[0], shape[0], 3, padding=1)\n"
        "    def forward(self, x, t, **condition):\n"
        "        return self.layer(x)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = str(files / "train.npz")
    trained = ancestral.train("arrays", data=source, out="own", net="mine_of_evaluation:Net", steps=3, batch_size=8,
                              device="cpu", progress=False)  # fmt: skip
    common = {"samples": 12, "extractor": "pixels", "steps": 4}
    result = finish(evaluate(trained.model, source, **common)).samples
    options = ("--samples", 12, "--extractor", "pixels", "--steps", 4, "--net", "mine_of_evaluation:Net")
    run("evaluate", "own", *options)
    assert EvaluationResult.load(tmp_path / "own" / "evaluation").samples.between_sets == result.between_sets


@dataclasses.dataclass(frozen=True)
class Dimmed(samplers.DDIM):
    """A custom sampler, whose code changes while its name and its fields stay."""

    factor = 1.0

    def advance(self, x, prediction, move, state):
        x, state = super().advance(x, prediction, move, state)
        return self.factor * x, state


@pytest.mark.long
def test_samples_of_a_sampler_of_ones_own_are_made_anew(model_run, files, passes, monkeypatch):
    """Its `advance` is edited between two evaluations of a run."""
    source, options = str(files / "train.npz"), {"samples": 12, "extractor": "pixels", "sampler": Dimmed(3)}
    model = ancestral.load(model_run, "cpu")
    distances = []
    for factor in (1.0, 0.5):
        monkeypatch.setattr(Dimmed, "factor", factor)
        measured = [finish(evaluate(subject, source, **options)).samples for subject in (model_run, model)]
        assert measured[0].between_sets == measured[1].between_sets
        assert measured[0].samples.folder is None
        distances.append(measured[0].metrics["frechet"].value.value)
    assert distances[0] != distances[1]
    assert passes == 4 * [range(12)]
    assert not (model_run / "evaluation" / "samples").exists()
    train = data.load(source)
    one = studied(model, train, 12, model_run / "kept")
    (model_run / "kept").mkdir()
    stores = {one.with_sampler(Dimmed(3)).store.folder for _ in range(2)}
    assert len(stores) == 2  # of classes of one name, too


@pytest.mark.long
def test_samples_of_a_network_of_ones_own_are_made_anew(tmp_path, files, monkeypatch):
    """The code of the module that `net=` names is edited between two evaluations of a run, and its average."""
    code = "import torch\nclass Net(torch.nn.Conv2d):\n    def __init__(self, shape, classes):\n        "
    code += "super().__init__(1, 1, 1)\n    def forward(self, x, t):\n        return {} * super().forward(x)\n"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files that are as old and as long would be taken for one
    source, distances, averages = str(files / "train.npz"), [], []
    options = {"samples": 12, "extractor": "pixels", "steps": 3, "net": "mine_that_is_edited:Net"}
    for factor in ("1.0", "0.1"):
        (tmp_path / "mine_that_is_edited.py").write_text(code.format(factor))
        sys.modules.pop("mine_that_is_edited", None)
        if not distances:
            ancestral.train("arrays", source, out=tmp_path / "run", net=options["net"], steps=4, batch_size=8,
                            device="cpu", snapshots=2, progress=False)  # fmt: skip
        distances.append(finish(evaluate(tmp_path / "run", source, **options)).samples.metrics["frechet"].value.value)
        average = ancestral.average(tmp_path / "run", source, lengths=[0.1], progress=False, **options)
        averages.append(average.points[0].frechet.value)
    assert distances[0] != distances[1]
    assert averages[0] != averages[1]
    assert not list(tmp_path.rglob("*-*.safetensors"))


def test_samples_need_no_model(run, model_run, files, common, tmp_path):
    run("evaluate", model_run, *common, "--held-out", files / "test.npz")
    saved = EvaluationResult.load(model_run / "evaluation").samples
    run("sample", model_run, "-n", 20, "--out", tmp_path / "new.npz")
    run("sample", model_run, "-n", 20, "--out", tmp_path / "new")
    options = {"data": str(files / "train.npz"), "held_out": str(files / "test.npz"), "extractor": "pixels"}
    for source in ("new.npz", "new"):
        result = finish(evaluate_samples(str(tmp_path / source), **options)).samples
        assert result.between_sets == saved.between_sets
        assert result.memorisation == saved.memorisation
        assert result.model is None
        assert (result.class_accuracy == saved.class_accuracy) == (source == "new.npz")
        assert evaluation_text.sample_settings(result)["samples"] == "20 of new"
    some = finish(evaluate_samples(str(tmp_path / "new.npz"), n=10, out=tmp_path / "out", **options))
    assert some.samples.sets["value"][0] == 10
    assert EvaluationResult.load(tmp_path / "out") == some
    with pytest.raises(InputError, match="5 samples are too few"):
        finish(evaluate_samples(str(tmp_path / "new"), n=5, **options))
