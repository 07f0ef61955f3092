"""Evaluation of conditional models: against a joint Gaussian in closed form, and of trained models of all kinds."""

import dataclasses
import hashlib
import json
import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor

import ancestral
from ancestral import config as configs
from ancestral import data, samplers, schedules
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Vector, Words
from ancestral.config import ConditionSource
from ancestral.config.request import Request
from ancestral.data.given import attach
from ancestral.data.spec import POINTS, DataSpec
from ancestral.measure.conditional_samples import fit_noise
from ancestral.measure.item_conditions import ItemConditions
from ancestral.measure.reference import conditions_for, load_reference
from ancestral.measure.sample_store import key_of
from ancestral.metrics.baselines import nearest_items
from ancestral.model import Model
from ancestral.samplers import DDIM
from ancestral.targets import X0, Prediction, exact_at_zero
from ancestral.training.validation import Validation
from ancestral.use_cases.training import opened_data

SLOPE, STD = torch.tensor([0.18, -0.09]), 0.1
HEUN = samplers.Heun(steps=60, spacing="logsnr")


def joint(count, seed):
    """Items x = SLOPE c + STD z with c ~ N(0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    c = torch.randn(count, generator=generator)
    return c[:, None] * SLOPE + STD * torch.randn(count, 2, generator=generator), {"c": c}


class JointGaussian:
    """The exact denoiser of x given c, and of x alone where c is absent."""

    schedule = schedules.cosine(200)

    def __init__(self, uses_condition=True):
        self.uses_condition = uses_condition
        self.given: list[Tensor] = []

    @exact_at_zero
    def predict(self, x_t, t, c) -> Prediction:
        self.given.append(c)
        a, b = (scale.to(x_t).reshape(-1, 1) for scale in self.schedule.at(torch.as_tensor(t)))
        mean = c[:, :1] * SLOPE * self.uses_condition
        there = c[:, 1] * self.uses_condition
        covariance = STD**2 * torch.eye(2) + (1 - there)[:, None, None] * SLOPE[:, None] * SLOPE
        noisy = a[..., None] ** 2 * covariance + b[..., None] ** 2 * torch.eye(2)
        x0 = mean + a * (covariance @ torch.linalg.solve(noisy, (x_t - a * mean)[..., None]))[..., 0]
        return X0.solve(x_t, x0, a[:, 0], b[:, 0])


def gaussian_model(uses_condition=True):
    spec = DataSpec((2,), POINTS, conditions={"c": Vector((0.0,), (1.0,))})
    return Model(JointGaussian(uses_condition), spec)


def scores(uses_condition, **options):
    return ancestral.evaluate(
        gaussian_model(uses_condition),
        data=joint(2000, 0),
        held_out=joint(600, 1),
        sampler=HEUN,
        samples=False,
        batch_size=1000,
        **options,
    ).conditional


@pytest.fixture(scope="module")
def oracle_scores():
    return {uses: scores(uses, conditions=400, members=19) for uses in (True, False)}


def within(estimate, truth, errors=4.0):
    assert estimate.value == pytest.approx(truth, abs=errors * estimate.error)


def test_an_exact_model_has_the_closed_forms(oracle_scores):
    result = oracle_scores[True]
    by_name = {one.name: one for one in result.forecasts}
    assert list(by_name) == ["samples", "mean", "average", "nearest", "random"]
    norm = math.sqrt(2) * math.gamma(1.5)  # E‖z‖ in the plane
    within(by_name["samples"].pixels.energy, STD * norm / 2)  # E‖X - x‖ / 2 in root mean squares
    within(by_name["samples"].pixels.distance, STD * norm)
    within(by_name["mean"].pixels.energy, STD * norm * math.sqrt(1 + 1 / 19) / math.sqrt(2))
    within(by_name["mean"].behind, STD * norm * (math.sqrt((1 + 1 / 19) / 2) - 0.5))
    within(by_name["nearest"].pixels.energy, STD * norm)
    within(by_name["nearest"].skill, 0.5)
    marginal = torch.linalg.eigvalsh(STD**2 * torch.eye(2) + SLOPE[:, None] * SLOPE).sqrt()  # E of the distance to 0:
    axes = marginal * torch.randn(400_000, 2, generator=torch.Generator().manual_seed(5))
    within(by_name["average"].pixels.energy, float(axes.norm(dim=1).mean() / math.sqrt(2)))
    assert by_name["samples"].pixels.energy.error < 0.05 * STD
    for channel in by_name["samples"].crps.channels:  # of a normal distribution, s / sqrt(pi)
        within(channel, STD / math.sqrt(math.pi))
    calibration = result.calibration
    assert calibration.nominal == 0.9
    within(calibration.coverage, 0.9)
    within(calibration.ratio, 1.0)
    assert calibration.ratio.error < 0.05
    assert sum(abs(share.value - 0.05) > 3 * share.error for share in calibration.ranks) <= 1
    assert result.model.sha256 is None
    assert result.data.notes == ()


def test_a_model_that_ignores_the_condition_scores_as_random_items_do(oracle_scores):
    exact, blind = oracle_scores[True], oracle_scores[False]
    samples, random = blind.forecasts[0], blind.forecasts[-1]
    assert random.pixels == exact.forecasts[-1].pixels
    assert abs(random.behind.value) < 4 * random.behind.error
    assert samples.pixels.energy.value > 1.5 * exact.forecasts[0].pixels.energy.value
    within(blind.calibration.coverage, 0.9)  # it is calibrated all the same
    within(blind.calibration.ratio, 1.0)
    assert "NO BETTER THAN RANDOM TRAINING ITEMS" in str(blind)
    assert "USES THE CONDITIONS" in str(exact)


def test_groups_are_ranges_of_a_number_and_the_worst_items_are_far_out(oracle_scores):
    result = oracle_scores[True]
    assert [one.condition for one in result.groups] == ["c"] * 3
    assert sum(one.items for one in result.groups) == 400
    for one in result.groups:  # the exact model is as good everywhere
        within(one.energy, result.forecasts[0].pixels.energy.value)
    blind = oracle_scores[False].groups  # far from the mean of c, x is far from that of x
    assert blind[1].energy.value < min(blind[0].energy.value, blind[2].energy.value)
    x, given = joint(600, 1)
    apart = (x - given["c"][:, None] * SLOPE).norm(dim=1)
    assert apart[[one.item for one in result.worst]].min() > apart.quantile(0.8)
    assert [one.energy for one in result.worst] == sorted((one.energy for one in result.worst), reverse=True)


def test_the_factor_of_the_noise_is_the_one_that_covers():
    generator = torch.Generator().manual_seed(0)
    z, truth = torch.randn(300, 19, 6, generator=generator), torch.randn(300, 6, generator=generator)
    fit, scaled = fit_noise({factor: factor * z / 1.5 for factor in (1.0, 1.2, 1.5, 2.0)}, truth)
    assert (fit.factor, fit.halves) == (1.5, (1.5, 1.5))
    torch.testing.assert_close(scaled, z)
    within(fit.calibration.coverage, 0.9)
    truth[::2] *= 2  # the halves need other factors, and each gets that of the other
    fit, scaled = fit_noise({factor: factor * z / 1.5 for factor in (1.0, 1.5, 3.0)}, truth)
    assert fit.halves == (3.0, 1.5)
    torch.testing.assert_close(scaled, torch.stack([z[::2], 2 * z[1::2]], 1).flatten(0, 1))


def test_bits_are_of_the_density_given_the_condition():
    """The probability flow of the exact denoiser has -log N(x; SLOPE c, STD²) of each item, with its own c."""
    x, given = joint(6, 3)
    result = ancestral.evaluate(
        gaussian_model(), data=(x, given), likelihood=True, n=6, ode=True, ode_steps=60, batch_size=4
    ).likelihood
    squares = ((x - given["c"][:, None] * SLOPE) / STD).square().sum(1)
    bits = (squares / 2 + math.log(2 * math.pi * STD**2)) / (2 * math.log(2))
    assert result.per_image.ode_bits_per_dim == pytest.approx(bits.tolist(), abs=0.02)
    assert any("bits given those" in note for note in result.data.notes)
    x, _ = joint(6, 3)
    unrelated = ancestral.evaluate(
        gaussian_model(), data=(x, {"c": given["c"].flip(0)}), likelihood=True, n=6, passes=50
    ).likelihood
    assert unrelated.bits_per_dim.total.value > result.bits_per_dim.total.value + 0.3


def test_samples_of_distances_are_given_the_conditions_of_training_items():
    """Each item once, in a fixed random order; so the samples have the distribution of the data."""
    model, items = gaussian_model(), joint(60, 0)
    result = ancestral.evaluate(
        model, data=items, samples=90, sampler=samplers.DDIM(steps=4), batch_size=25, conditions=0, metrics=["frechet"]
    )
    calls = [c[:, 0] for c in model.denoiser.given if bool(c[:, 1].all())]
    given = torch.cat(calls[::4])
    assert result.conditional is None
    assert torch.equal(given[:60].sort().values, items[1]["c"].sort().values)
    assert torch.equal(given[60:], given[:30])
    assert not torch.equal(given[:60], items[1]["c"])
    assert result.samples.samples.label == "c of 60 training items"


# -- conditions of other data -----------------------------------------------------------------------------------------

GREY = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def opened(**conditions):
    columns = {name: list(one) if isinstance(one, tuple) else one for name, one in conditions.items()}
    return attach(data.open(GREY), None, columns, uses_all=True)


def test_classes_of_other_data_are_numbered_by_their_names():
    spec = opened(hair=("b", "a", "c", None) * 5).spec
    other = opened(hair=("c", "d", "b", None) * 5)
    values, notes = conditions_for(other, spec)
    assert values["hair"][:4].tolist() == [2, -1, 1, -1]
    assert notes == ("The model does not know d of arrays: there the condition hair is absent.",)
    numbered, notes = conditions_for(opened(hair=torch.arange(20) % 2), spec)
    assert numbered["hair"][:3].tolist() == [0, 1, 0]
    assert notes == ()


def test_numbers_of_other_data_are_in_the_units_of_the_model():
    spec, other = opened(age=torch.arange(20.0)).spec, opened(age=torch.arange(20.0) + 100)
    values, _ = conditions_for(other, spec)
    conditions = ItemConditions(spec, other.items, None, values, torch.arange(20))
    expected = (torch.arange(20.0) + 100 - 9.5) / torch.arange(20.0).std(correction=0)
    torch.testing.assert_close(conditions.inputs([3, 23])["age"][:, 0], expected[[3, 3]])


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        ({"age": ("young", "old") * 10}, "is classes, and that of the model numbers (1)"),
        ({"age": torch.rand(20, 2)}, "is numbers (2), and that of the model numbers (1)"),
        ({"age": GREY}, "is images of 1x8x8 (integers up to 255), and that of the model numbers (1)"),
    ],
)
def test_conditions_of_another_kind_are_refused(theirs, says):
    with pytest.raises(InputError, match=re.escape(says)):
        conditions_for(opened(**theirs), opened(age=torch.rand(20)).spec)


def test_conditions_that_the_data_lack_are_absent():
    values, (note,) = conditions_for(opened(), opened(age=torch.rand(20)).spec)
    assert (values, note.endswith("has no condition age, which the model knows: it is absent there.")) == ({}, True)


def test_classes_that_the_model_does_not_know_at_all_are_refused():
    with pytest.raises(InputError, match=r"knows no class of the condition hair of .* \(x, y\): its classes are a, b"):
        conditions_for(opened(hair=("x", "y") * 10), opened(hair=("a", "b") * 10).spec)


def test_texts_of_other_data_have_the_tokens_of_the_model():
    """A vocabulary of their own is counted of them; letters that the model has not seen are left out."""
    spec = opened(caption=tuple(f"a red square number {row}" for row in range(20))).spec
    data_set = opened(caption=(("2 red squares!", "a square"), ()) * 10)
    values, notes = conditions_for(data_set, spec)
    kind = spec.conditions["caption"]
    assert values["caption"].shape == (20, 2, kind.length)
    assert kind.texts(values["caption"][:2]) == ["2 red squares", ""]
    assert kind.texts(values["caption"][:2, 1]) == ["a square", ""]
    assert notes == ()
    assert torch.equal(kind.read(["2 red squares!"]), values["caption"][0, :1])


def test_text_of_other_data_is_read_as_the_model_knows_it(tmp_path):
    """A handful of items of the test set have too few texts for a rule."""
    spec = opened(title=tuple(f"a name of {row % 10} parts" for row in range(20))).spec
    np.savez(tmp_path / "test.npz", images=GREY[:4, 0].numpy(), title=np.array(["name", "parts"] * 2))
    other = load_reference(spec, str(tmp_path / "test.npz"), given=[ConditionSource("", "title")])
    assert isinstance(data.open(tmp_path / "test.npz", given="title").spec.conditions["title"], Classes)
    assert isinstance(other.spec.conditions["title"], Words)


def test_validation_data_have_the_numbering_of_the_training_data():
    """Also the share of a run's own data, and a vector whose mean differs."""
    dataset = opened(hair=("b", "a", "c", None) * 5, age=torch.arange(20.0), low=GREY)
    other = attach(
        data.open(255 - GREY),
        None,
        {"hair": ["c", "z", "b", "a"] * 5, "age": torch.arange(20.0) + 9, "low": GREY},
        True,
    )
    config = configs.preset("arrays")
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, source="x", validation="(given from Python)")
    )
    train, held_out, notes = opened_data.split(dataset, config, other)
    assert train is dataset
    assert held_out.spec.further == dataset.spec.further
    assert held_out.conditions["hair"][:4].tolist() == [2, -1, 1, 0]
    assert torch.equal(held_out.conditions["age"], other.conditions["age"])
    assert notes == ("The model does not know z of arrays: there the condition hair is absent.",)
    validation = Validation(held_out, train, dataset.spec)
    assert validation.conditions["hair"][:4].tolist() == [2, -1, 1, 0]
    assert torch.equal(validation.conditions["low"], torch.cat([GREY, GREY]))
    with pytest.raises(InputError, match=r"^validation: .* no column 'hair'"):
        opened_data.split(dataset, config, (GREY, {"age": torch.arange(20.0)}))


def test_a_run_and_its_kept_samples_follow_from_the_conditions():
    """Samples of a model without further conditions keep their key; other conditions are other samples."""
    request = dataclasses.replace(Request.of(sampler=DDIM(5)), model="a" * 64, version="0")
    old = {"model": "a" * 64, "sampler": repr(DDIM(5)), "seed": 0, "label": None, "guidance": 1.0, "version": "0"}
    assert key_of(request) == hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()[:16]
    (x, given), order = joint(8, 0), torch.arange(8)
    digests = {
        ItemConditions(gaussian_model().spec, x, None, {"c": c}, order[:n]).digest
        for c, n in ((given["c"], 8), (given["c"] + 1, 8), (given["c"], 7))
    }
    assert len(digests) == 3
    masked = data.open(GREY, given="masked=mask").spec
    made = [
        ItemConditions(masked, items, None, {}, order, seed) for items, seed in ((GREY, 0), (GREY, 1), (255 - GREY, 0))
    ]
    assert len({one.digest for one in made}) == 3
    first, again = (made[0].inputs([2, 10])["masked"][row] for row in (0, 1))
    assert torch.equal(first, again)  # the members of an ensemble have the same mask
    assert not torch.equal(made[1].inputs([2])["masked"][0], first)


def test_the_nearest_item_of_a_masked_one_is_found_by_what_is_known():
    items = data.open(GREY, given="masked=mask:left+noise:0.05")
    conditions = ItemConditions(items.spec, GREY, None, {}, torch.arange(20))
    hidden = conditions.compared(plain=False)["masked"]
    whole = conditions.compared(plain=True)["masked"]
    assert torch.equal(whole, torch.cat([data.IMAGES.encode(GREY), torch.ones(20, 1, 8, 8)], 1))
    assert hidden[:, :1, :, 4:].abs().max() == 0
    assert nearest_items({"masked": hidden}, {"masked": whole}, items.spec.further).tolist() == list(range(20))
