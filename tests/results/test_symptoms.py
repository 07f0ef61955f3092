"""Symptoms of a run: seen in samples that have them, and in no others; and the settings against them."""

import dataclasses

import pytest
import torch

from ancestral import data
from ancestral.base.events import finish
from ancestral.base.quantities import Estimate
from ancestral.base.registries import METRICS
from ancestral.config import PRESETS, Config, preset
from ancestral.measure import sample_quality
from ancestral.measure.sample_quality import FeatureSet, SampleSets
from ancestral.metrics.extractors import Features, extractor
from ancestral.results import EvaluationResult, SampleMetrics
from ancestral.results.evaluation_result import Calibration
from ancestral.results.sample_result import ExtractorName, ReferenceNames, SampleSettings
from ancestral.results.symptoms import SYMPTOMS, observed


def images(count, seed):
    """Images of noise on one of two patterns, each with a tint."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 3, 8, 8, generator=generator) * 25
    ramp = torch.linspace(-60, 60, 8)
    pattern = torch.where(torch.arange(count)[:, None, None, None] % 2 == 0, ramp, ramp.flip(0))
    tint = torch.randn(count, 3, 1, 1, generator=generator) * 30
    return (128 + pattern + tint + noise).clamp(0, 255).to(torch.uint8)


def evaluated(samples):
    """The evaluation of samples against 300 images, by their pixels."""
    judge = extractor("pixels", (3, 8, 8), data.IMAGES)
    sets = [
        FeatureSet(items, Features(data.IMAGES.encode(items).flatten(1)), None) for items in (samples, images(300, 0))
    ]
    quality = finish(sample_quality.measure(SampleSets(*sets, None, data.IMAGES, judge), METRICS))[0]
    settings = SampleSettings(len(samples), None, None, None, None, folder="samples")
    names = {"data": ReferenceNames("data", None), "extractor": ExtractorName("pixels", 192)}
    return EvaluationResult(SampleMetrics(**vars(quality), model=None, samples=settings, **names))


def names(messages, result):
    return [row.symptom.name for row in observed(messages, result) if row.evidence]


def test_samples_like_the_data_have_no_symptom():
    assert names(["step 50: for the validation loss: 3 held-out items"], evaluated(images(200, 1))) == []
    assert [row.symptom for row in observed([], EvaluationResult())] == list(SYMPTOMS)


def test_grey_and_pale_samples():
    """Without colour the brightness varies as before; and a faded copy of the colours varies less."""
    grey = images(200, 1).double().mean(1, keepdim=True).expand(-1, 3, -1, -1).to(torch.uint8)
    assert names([], evaluated(grey))[0] == "grey"
    faded = (128 + (images(200, 1).double() - 128) / 3).to(torch.uint8)
    assert "grey" in names([], evaluated(faded))
    assert evaluated(faded).samples.colour.faded == pytest.approx(1 / 9, rel=0.2)


def test_copies():
    copies = images(300, 0)[:100].clone()
    copies[:, 0, 0, 0] ^= 1
    (row, *_) = observed([], evaluated(torch.cat([copies, images(100, 2)])))
    assert row.symptom.name == "copies"
    assert row.evidence[0].startswith("50.0 ± 3.5 % of the samples copy a training item")


def test_samples_of_one_kind_alone_are_too_little_varied():
    """Each is as good as an image of the data, but all have one tint and one pattern."""
    one = images(2, 5)[:1].double()
    noise = torch.randn(200, 3, 8, 8, generator=torch.Generator().manual_seed(7)) * 3
    assert "alike" in names([], evaluated((one + noise).clamp(0, 255).to(torch.uint8)))


@pytest.mark.parametrize(("ratio", "is_alike"), [(0.5, True), (0.79, False), (1.0, False)])
def test_an_ensemble_that_is_surely_too_narrow(ratio, is_alike):
    share = Estimate(0.5, 0.01, 0.48, 0.52)
    spread = Estimate(ratio, 0.05, ratio - 0.1, ratio + 0.1)
    assert Calibration(100, 8, 1, 0.8, share, (share,), 0.0, share, share, spread).overconfident is is_alike


@pytest.mark.parametrize("name", PRESETS)
def test_the_settings_against_a_symptom_can_be_trained(name):
    """Each is an option of the config of any preset, with another value than before."""
    run = preset(name)
    run = dataclasses.replace(run, data=dataclasses.replace(run.data, source="photos"))
    for symptom in SYMPTOMS:
        settings = symptom.settings(run)
        changed = run.with_settings(**settings).check()
        different = {key for _, key, _, _ in run.differences(changed, ("data", "process", "train", "runtime"))}
        assert different == set(settings), symptom.name
        assert run.train.lr is None or changed.train.lr <= run.train.lr


def test_a_run_of_one_item_at_once_keeps_it():
    settings = next(one for one in SYMPTOMS if one.name == "memory").settings(Config().with_settings(micro_batch=1))
    assert settings == {"micro_batch": 1}
