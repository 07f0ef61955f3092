"""Whether samples obey their captions: painters that do, that do not, and that only do what training had."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import ancestral
from ancestral import data, schedules
from ancestral.base.errors import InputError
from ancestral.data.sources import scenes
from ancestral.measure.caption_evaluation import KnownCaptions, pairs_of
from ancestral.metrics import caption_judge
from ancestral.metrics.caption_judge import CaptionJudge
from ancestral.model import Model
from ancestral.results import EvaluationResult
from ancestral.targets import X0, exact_at_zero

NAMES = ("red", "green", "blue", "cyan", "pink", "gold", "grey", "lime", "navy", "plum", "teal", "rust")
COLOURS = {name: number for number, name in enumerate(NAMES)}
LEVELS = torch.linspace(0, 1, 12)[torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(i))
                                               for i in range(3)])].T  # fmt: skip
FAST = {"extractor": "pixels", "progress": False, "device": "cpu", "metrics": ["captions"], "samples": 200,
        "conditions": 0, "sampler": "ddim", "steps": 1}  # fmt: skip


def paint(captions):
    """Draw a half of each of two colours, float32 (N, 3, 8, 8) in [0, 1]."""
    halves = torch.stack([LEVELS[[COLOURS[word] for word in caption.split()]] for caption in captions])
    return halves.repeat_interleave(4, 1).transpose(1, 2)[:, :, None].expand(-1, 3, 8, 8).clone()


def parts():
    """Items of pairs of colours, and items of a third of the pairs that the others do not have."""
    pairs = [f"{one} {two}" for one in COLOURS for two in COLOURS]
    new = [pair for number, pair in enumerate(pairs) if (number + number // 12) % 3 == 0]
    known = [pair for pair in pairs if pair not in new]
    images = [(255 * paint(captions)).round().byte() for captions in (known * 6, new)]
    captions = [[(text,) for text in texts] for texts in (known * 6, new)]  # several of an item are words
    return (images[0], {"caption": captions[0]}), (images[1], {"caption": captions[1]})


class Painter:
    """A denoiser whose x_0 is a painting of the caption, or of another one where that is not in `only`."""

    schedule = schedules.cosine(20)

    def __init__(self, kind, only=None):
        self.kind, self.only = kind, only

    @exact_at_zero
    def predict(self, x_t, t, caption):
        texts = [text or "red red" for text in self.kind.texts(caption)]
        if self.only is not None:
            texts = [text if text in self.only else " ".join(text.split()[::-1]) for text in texts]
        a, b = (scale.to(x_t).reshape(-1, 1, 1, 1) for scale in self.schedule.at(torch.as_tensor(t)))
        return X0.solve(x_t, 2 * paint(texts) - 1, a, b)


@pytest.fixture
def quick_judge(monkeypatch):
    monkeypatch.setattr(caption_judge, "STEPS", 40)
    monkeypatch.setattr(caption_judge, "BATCH", 64)


def evaluated(only=None, **options):
    train, held_out = parts()
    kind = data.open(train).spec.conditions["caption"]
    options = {"data": train, "held_out": held_out, **FAST, **options}
    return ancestral.evaluate(Painter(kind, only), **options).samples


@pytest.mark.long
def test_what_is_memorised_is_told_from_what_is_obeyed(quick_judge, monkeypatch):
    monkeypatch.setattr(caption_judge, "STEPS", 160)
    obeys, memorised = evaluated(), evaluated(only={text for (text,) in parts()[0][1]["caption"]})
    captions = obeys.captions
    assert captions.floor.value > 0.9
    assert captions.value == pytest.approx(captions.floor, abs=0.02)
    assert captions.shuffled.low <= 1 / 32 <= captions.shuffled.high
    by_group = {group.name: group.samples.value for group in memorised.captions.groups}
    assert by_group["training"] > 0.9
    assert by_group["new pairs"] < 0.3
    assert memorised.captions.value.value < 0.3
    assert [group.captions for group in obeys.captions.groups][1] == 48
    result = EvaluationResult(samples=obeys)
    assert EvaluationResult.from_json(result.to_json()) == result
    assert "captions with pairs of words that never occurred" in str(result)


def test_captions_are_exchanged_where_nothing_is_held_out(quick_judge):
    train, _ = parts()
    samples = evaluated(held_out=None, data=train)
    assert [group.name for group in samples.captions.groups] == ["training", "exchanged"]
    assert samples.captions.groups[1].real is None
    assert any("--validation" in note or "validation=" in note for note in samples.notes)


def test_a_judge_that_finds_no_real_captions_says_so(quick_judge, monkeypatch):
    train, (images, _) = parts()
    mixed = (train[0][torch.randperm(len(train[0]))], train[1])
    samples = evaluated(data=mixed, held_out=(images.flip(0), parts()[1][1]))
    assert samples.captions is None
    assert any("cannot be judged" in note for note in samples.notes)


def test_pairs_of_words_and_their_exchange():
    assert pairs_of("a red circle left of the blue square") == {
        ("red", "circle"), ("circle", "left"), ("left", "blue"), ("blue", "square"),
    }  # fmt: skip
    assert pairs_of("heart, red face") == {("red", "face")}
    texts = [f"a {colour} {shape}" for colour in ("red", "blue") for shape in ("circle", "square")] * 3
    known = KnownCaptions([text for text in texts if text != "a blue circle"])
    assert known.exchanged("a red circle", 0, 0) == "a blue circle"
    assert known.exchanged("a blue square", 0, 0) == "a blue circle"
    assert not known.has_new_pair("a red square")
    assert KnownCaptions(["red, small"], shuffled=True).key("small, red") == "red, small"


def test_a_function_gets_the_captions_of_samples():
    class Scenes(Painter):
        @exact_at_zero
        def predict(self, x_t, t, caption):
            generator = np.random.default_rng(0)
            texts = [text or "a red circle" for text in self.kind.texts(caption)]
            made = [scenes.draw(scenes.read_caption(text), generator) for text in texts]
            a, b = (scale.to(x_t).reshape(-1, 1, 1, 1) for scale in self.schedule.at(torch.as_tensor(t)))
            return X0.solve(x_t, torch.from_numpy(np.stack(made)) / 127.5 - 1, a, b)

    def obeys(items, others, caption):
        return scenes.obeys(items, caption).double().mean()

    images, made = scenes.make(60, False, 0)
    items = images, {"caption": [scene.captions for scene in made]}
    kind = data.open(items).spec.conditions["caption"]
    options = {**FAST, "metrics": [obeys], "samples": 24, "data": items}
    (measure,) = ancestral.evaluate(Scenes(kind), **options).samples.metrics.values()
    assert (measure.value.value, measure.floor.value) == (1, 1)
    with pytest.raises(InputError, match=r"a function of \(items, other items\) that"):
        ancestral.evaluate_samples(images, data=images, metrics=[obeys], extractor="pixels", progress=False)
    with pytest.raises(InputError, match="captions cannot be measured of samples without words"):
        ancestral.evaluate_samples(images, data=images, metrics=["captions"], extractor="pixels", progress=False)
    assert ancestral.evaluate_samples(
        images, data=items, metrics=["colour"], extractor="pixels", progress=False
    ).samples


@pytest.mark.long
def test_the_judge_agrees_with_the_program_that_checks_scenes():
    """On pictures with a wrong shape or colour its share falls, and it correlates with `scenes.obeys`."""
    train = data.open("scenes")
    kind = train.spec.conditions["caption"]
    events = caption_judge.train(
        lambda: CaptionJudge(kind, train.shape, train.codec), train.items, train.conditions["caption"],
        torch.device("cpu"), 500,
    )  # fmt: skip
    try:
        while True:
            next(events)
    except StopIteration as end:
        judge = end.value
    generator, colours = np.random.default_rng(0), [*scenes.COLOURS]
    _, made = scenes.make(300, False, 5)
    captions = [scene.captions[0] for scene in made]
    tokens = kind.read(captions)
    texts, keys = judge.text_features(tokens), torch.unique(tokens, dim=0, return_inverse=True)[1]

    def shares(change):
        drawn = [replace(scene, shapes=tuple(change(*one) for one in scene.shapes)) for scene in made]
        images = torch.from_numpy(np.stack([scenes.draw(scene, generator) for scene in drawn]))
        features = judge.item_features(images)
        return (
            caption_judge.r_precision(features, texts, keys),
            (features * texts).sum(1),
            scenes.obeys(images, captions),
        )

    right = shares(lambda shape, colour: (shape, colour))
    recoloured = shares(lambda shape, colour: (shape, colours[(colours.index(colour) + 1) % 6]))
    reshaped = shares(lambda shape, colour: (scenes.SHAPES[(scenes.SHAPES.index(shape) + 1) % 4], colour))
    assert right[0].value > 0.9
    assert recoloured[0].value < right[0].value / 2
    assert reshaped[0].value < right[0].value / 1.5
    fits, obeys = (torch.cat([one[part].double() for one in (right, recoloured, reshaped)]) for part in (1, 2))
    assert float(torch.corrcoef(torch.stack([fits, obeys]))[0, 1]) > 0.5


@pytest.mark.long
def test_comparisons_have_a_row_of_it(quick_judge):
    train, held_out = parts()
    spec = data.open(train).spec
    kind = spec.conditions["caption"]
    models = [Model(Painter(kind, only), spec) for only in (None, {"red red"})]
    options = {**FAST, "data": train, "held_out": held_out}
    options.pop("conditions")
    (row,) = [one for one in ancestral.compare(models, **options).quantities() if one.title == "R-precision"]
    assert row.best == 0
    assert row.values[0].value > 2 * row.values[1].value
