"""The presets of the methods of the papers: their settings, and that they train and sample."""

import math
from dataclasses import replace

import pytest

from ancestral import data, samplers
from ancestral.config import METHODS, preset
from ancestral.training import Trainer
from tiny_models import stripes


@pytest.mark.parametrize(
    ("name", "schedule", "target", "weighting", "times", "sampler"),
    [
        ("ncsn", "geometric", "score", "snr", "stratified", samplers.Langevin),
        ("ddpm", "linear", "eps", "simple", "stratified", samplers.DDPM),
        ("ddim", "linear", "eps", "simple", "stratified", samplers.DDIM),
        ("improved", "cosine", "eps", "simple", "stratified", samplers.DDPM),
        ("edm", "karras", "edm", "edm", "lognormal", samplers.Heun),
        ("flow", "flow", "flow", "simple", "stratified", samplers.Euler),
    ],
)
@pytest.mark.parametrize("base", ["digits", "points"])
def test_each_method_is_as_its_paper_has_it_and_runs(name, schedule, target, weighting, times, sampler, base):
    config = preset(name if base == "digits" else f"{name}-points")
    process = config.process
    assert (process.schedule, process.target) == (schedule, target)
    assert (config.train.weighting, config.train.times) == (weighting, times)
    assert process.learned_variance == (name == "improved")
    net = replace(config.net, width=16, blocks=1)
    few = replace(config.train, steps=2, batch_size=8)
    trainer = Trainer(replace(config, net=net, train=few), stripes() if base == "digits" else data.load("moons"), "cpu")
    losses = [progress.loss for progress in trainer.run()]
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    model = trainer.model()
    assert type(model.sampler()) is sampler
    items = model.sample(2, steps=4)
    assert items.shape == (2, 1, 8, 8) if base == "digits" else (2, 2)
    assert bool(items.double().isfinite().all())


def test_every_method_has_a_preset_on_digits_and_on_points():
    for name in METHODS:
        assert preset(name).data.source == "digits"
        assert preset(f"{name}-points").data.source == "moons"
        assert (preset(name).preset, preset(f"{name}-points").preset) == (name, f"{name}-points")
