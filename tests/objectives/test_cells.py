"""Losses over values that are there, weighted by the size of their cells, and missing values that are sampled."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import ancestral
from ancestral import Diffusion, data, objectives, samplers, schedules, targets
from ancestral.base.errors import InputError
from ancestral.data.grid import Axis, Channel, Grid
from ancestral.data.spec import Codec
from ancestral.objectives import Completed, Denoising, EnergyScore, OfCells, time_distribution
from ancestral.objectives.objective import LEAST_GIVEN, OBSERVED_NAME

SCHEDULE = schedules.cosine(20)
SMALL = {
    **{"width": 8, "mults": (1,), "blocks": 1, "attention": (), "patch": 1, "groups": 2, "batch_size": 8, "warmup": 1},
    **{"snapshots": 0, "precision": "fp32", "progress": False, "threads": 1, "decay": "none"},
}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """Answers a fixed map of its input, and keeps what it got."""

    def __init__(self):
        super().__init__()
        self.scale, self.got = nn.Parameter(torch.tensor(0.7)), {}

    def forward(self, x, index, **condition):
        self.got = {"x": x, **condition}
        return self.scale * x + 0.1


def uniform():
    return time_distribution("uniform", SCHEDULE)


@pytest.mark.parametrize("target", [targets.X0, targets.EPS, targets.V])
def test_missing_values_are_no_part_of_the_loss_and_cells_have_weights(target):
    denoiser, x0 = Diffusion(Net(), SCHEDULE, target), draw(3, 2, 4, 5)
    missing = draw(3, 2, 4, 5, seed=1) > 0.8
    weights = torch.linspace(0.2, 1.8, 4)[:, None].expand(4, 5)
    objective = OfCells(Denoising(uniform()), weights)
    t, losses = objective.losses(denoiser, x0.masked_fill(missing, math.nan), step=2)
    filled = x0.masked_fill(missing, 0.0)
    forward = denoiser.forward_pass(filled, t, objectives.objective.draw_noise(filled, 0, 2, range(3)))
    truth = target.from_x0_eps(filled, forward.eps, *SCHEDULE.at(t))
    w = (~missing) * weights
    expected = (w * (truth - forward.answer) ** 2).flatten(1).sum(1) / w.flatten(1).sum(1)
    torch.testing.assert_close(losses, expected)
    assert losses.isfinite().all()


def test_without_gaps_and_weights_it_is_the_inner_loss():
    denoiser, x0 = Diffusion(Net(), SCHEDULE, targets.V), draw(3, 1, 4, 4)
    inner = Denoising(uniform())
    torch.testing.assert_close(OfCells(inner).losses(denoiser, x0, step=2)[1], inner.losses(denoiser, x0, step=2)[1])


def test_the_energy_score_is_that_of_weighted_distances():
    members, x0 = 3, draw(2, 1, 3, 4)
    missing, weights = draw(2, 1, 3, 4, seed=1) > 0.5, torch.linspace(0.5, 1.5, 3)[:, None].expand(3, 4)
    objective = EnergyScore(members, (0,), almost_fair=1.0, noise="input")
    wrapped, denoiser = OfCells(objective, weights), Diffusion(Net(), SCHEDULE, targets.X0)
    gapped = x0.masked_fill(missing, math.nan)
    _, losses = wrapped.losses(denoiser, gapped, step=1)
    forward = objective.evaluate(
        denoiser,
        x0.masked_fill(missing, 0.0),
        torch.full((2,), 20),
        objectives.objective.draw_noise(x0, 0, 1, range(2)),
        lambda number: objectives.objective.draw_noise(x0, 0, 1, range(2), number),
        {},
    )
    f = forward.answer.view(members, 2, -1).detach().double().numpy()
    w = (~missing * weights).double().flatten(1)
    w = (w / w.mean(1, keepdim=True)).numpy()
    x = x0.masked_fill(missing, 0.0).flatten(1).double().numpy()
    norm = lambda difference: np.sqrt((w * difference**2).sum(-1))  # noqa: E731
    spread = sum(norm(f[j] - f[k]) for j in range(members) for k in range(j)) / (members * (members - 1))
    expected = (np.mean([norm(one - x) for one in f], axis=0) - spread) / math.sqrt(x.shape[1])
    np.testing.assert_allclose(losses.detach().numpy(), expected, rtol=2e-3)


PAIR = 0.25 * torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
"""The covariance of items of two values."""


class ExactPair:
    """The exact denoiser of pairs, given some of their values: E[x_0 | x_t, observed]."""

    schedule = schedules.cosine(1000)

    def predict(self, x_t, t, observed, **condition):
        a, b = (torch.as_tensor(scale, dtype=torch.float64) for scale in self.schedule.at(t))
        values, given = observed[:, 0].double(), observed[:, 1].double()
        precision = PAIR.inverse() + (a / b) ** 2 * torch.eye(2, dtype=torch.float64) + torch.diag_embed(1e12 * given)
        right = a / b**2 * x_t[:, 0].double() + 1e12 * given * values
        x0 = torch.linalg.solve(precision, right)[:, None].to(x_t)
        x0, eps = targets.X0.solve(x_t, x0, *self.schedule.at(t))
        return targets.Prediction(x0, eps)


def pairs(count):
    """Pairs, of which each value is missing in a third, and both in a ninth."""
    x0 = (draw(count, 2).double() @ torch.linalg.cholesky(PAIR).T)[:, None].float()
    return x0, torch.rand(count, 1, 2, generator=torch.Generator().manual_seed(5)) < 1 / 3


def test_what_is_missing_is_sampled_given_what_is_observed():
    """The covariance of complete items is that of the data where the averaged denoiser is exact, also that of the pairs
    of an observed and a sampled value, and of two sampled ones, which ten evaluations spread by 5 % more."""
    x0, missing = pairs(200_000)
    objective = Completed(Denoising(time_distribution("uniform", ExactPair.schedule)), begins=7)
    got = {}
    net = Net()
    denoiser = Diffusion(net, ExactPair.schedule, targets.X0)
    objective.errors = lambda forward: got.update(forward=forward) or forward.t.double()
    objective.losses(denoiser, x0.masked_fill(missing, math.nan), step=7, averaged=ExactPair())
    judged = ~got["forward"].x0.isnan()
    complete = got["forward"].x0.nan_to_num(0.0)
    asked = net.got[OBSERVED_NAME][:, 1:2].flatten(1).any(1)
    assert 0.3 < asked.float().mean() < 0.5  # half, but for those whose values are all missing, or not given by chance
    assert judged[(~missing).expand_as(judged)].all()
    assert torch.equal(complete[~missing], x0[~missing])
    assert not judged[asked][missing[asked]].any()
    whole = judged.flatten(1).all(1)
    assert 0.5 < whole.float().mean() < 0.8
    for lacking, tolerance in (([True, False], 0.03), ([False, True], 0.03), ([True, True], 0.12)):
        some = complete[whole & (missing[:, 0] == torch.tensor(lacking)).all(1)][:, 0].double()
        torch.testing.assert_close(some.T @ some / len(some), PAIR, rtol=tolerance, atol=0.0)


def test_what_a_network_is_given_is_observed_and_samples_of_its_own_do_not_judge_it():
    net, denoiser = Net(), ExactPair()
    x0, missing = pairs(4000)
    in_training = Diffusion(net, ExactPair.schedule, targets.X0)
    objective = Completed(Denoising(time_distribution("uniform", ExactPair.schedule)), begins=7)
    t, losses = objective.losses(in_training, x0.masked_fill(missing, math.nan), step=6, averaged=denoiser)
    values, given, last = net.got[OBSERVED_NAME].split(1, 1)
    assert not last.any()
    assert torch.equal(values, x0 * given)
    assert not (given.bool() & missing).any()
    asked = given.flatten(1).any(1)
    share = given[asked].sum() / (~missing[asked]).sum()
    assert LEAST_GIVEN < share < 1
    answer = net(net.got["x"], t)
    errors = ((answer - x0) ** 2).masked_fill(missing, 0.0).flatten(1).sum(1) / (~missing).flatten(1).sum(1).clamp(
        min=1
    )
    torch.testing.assert_close(losses, errors)  # before it begins observed values judge alone
    forward = objective.evaluate(in_training.eval(), x0.masked_fill(missing, math.nan), t, x0, draws(x0), {})
    assert torch.equal(forward.x0.isnan(), missing)


def draws(x0):
    return lambda number: draw(*x0.shape, seed=number)


def test_what_all_items_lack_is_0_in_every_estimate():
    present = draw(1, 4, 4) > 0
    denoiser = Diffusion(Net(), SCHEDULE, targets.V, present=present)
    x_t = draw(2, 1, 4, 4)
    prediction = denoiser.predict(x_t, 7)
    plain = Diffusion(denoiser.net, SCHEDULE, targets.V).predict(x_t, 7)
    torch.testing.assert_close(prediction.x0, plain.x0 * present)
    a, b = (float(scale) for scale in SCHEDULE.at(7))
    torch.testing.assert_close(a * prediction.x0 + b * prediction.eps, x_t)
    x = samplers.DDIM(5, clip=None).sample(denoiser, x_t)
    assert not (x * ~present).any()


def gapped(kind, count=40):
    x = draw(count, 1, 8, 8)
    x[:, :, :, :3] += 5
    if kind == "shared":
        x[..., :3] = math.nan
    else:
        x[draw(count, 1, 8, 8, seed=2) > 0.5] = math.nan
    return x


@pytest.mark.parametrize("kind", ["shared", "random"])
def test_models_of_items_with_gaps(kind, tmp_path):
    options = {"data": gapped(kind), "gaps": kind, "scale": "standard", "validation": 0.2, **SMALL}
    run = ancestral.train("arrays", out=tmp_path / "run", steps=5, save_every=3, **options)
    assert math.isfinite(run.validation.validation)
    model = ancestral.load(tmp_path / "run")
    samples = model.sample(4, steps=3)
    assert samples.isnan().any() == (kind == "shared")
    assert model.spec.codec.gaps == kind
    if kind == "shared":
        assert samples[..., :3].isnan().all()
        assert samples[..., 3:].isfinite().all()
        assert model.spec.codec.scaling[0].middle == pytest.approx(0, abs=0.3)  # of what is there
    ancestral.train("arrays", out=tmp_path / "half", steps=3, save_every=3, **options)
    ancestral.train(data=options["data"], out=tmp_path / "half", resume=True, steps=5)
    for one, other in zip(
        *(ancestral.load(tmp_path / name).diffusion.net.parameters() for name in ("run", "half")), strict=True
    ):
        assert torch.equal(one, other)


def test_gaps_are_found_out_said_or_refused(tmp_path):
    with pytest.raises(InputError, match="NaN or infinity"):
        data.load(gapped("random"))
    with pytest.raises(InputError, match="NaN or infinity"):
        data.load(gapped("shared"))
    assert data.load(gapped("shared"), gaps="shared").codec.gaps == "shared"
    empty = gapped("shared")
    empty[:] = math.nan
    with pytest.raises(InputError, match="no value in channel 0"):
        data.load(empty, gaps="random")
    infinite = gapped("random")
    infinite[0, 0, 0, 0] = math.inf
    with pytest.raises(InputError, match="infinity"):
        data.load(infinite, gaps="random")
    for wrong in (
        {"augment": 0.1},
        {"coupling": "ot"},
        {"learned_variance": True},
        {"target": "eps"},
        {"objective": "energy"},
    ):
        options = {"gaps": "random", "scale": "standard", "steps": 2, **SMALL, **wrong}
        with pytest.raises(InputError, match="missing"):
            ancestral.train("arrays", data=gapped("random"), out=tmp_path / "run", **options)


def test_a_mask_survives_the_codec_and_damaged_ones_are_refused():
    items = gapped("shared")
    codec = data.load(items, gaps="shared").codec
    torch.testing.assert_close(codec.decode(codec.encode(items)), items, equal_nan=True)
    assert not codec.encode(items)[..., :3].any()
    assert torch.equal(codec.present((1, 8, 8)), ~items[0].isnan())
    assert codec.present((1, 4, 4)) is None
    assert Codec("float").present((1, 8, 8)) is None


def test_cells_of_latitudes_weigh_by_their_area():
    latitudes = tuple(np.linspace(-80, 80, 9))
    grid = Grid((Channel("a"),), (Axis("lat", latitudes, (("units", "degrees_north"),)), Axis("lon")), Axis("time"))
    areas = np.array(grid.areas((9, 4)))
    assert areas.shape == (9, 4)
    assert areas.mean() == pytest.approx(1)
    np.testing.assert_allclose(areas[:, 0] / areas[4, 0], np.cos(np.deg2rad(latitudes)))
    assert Grid((Channel("a"),), (Axis("y", latitudes),), Axis("time")).areas((9,)) is None


def test_scores_are_those_of_the_values_that_are_there(tmp_path):
    whole = draw(60, 1, 8, 8)
    whole[:, :, :, 3:] += 0.5
    lacking = whole.clone()
    lacking[..., :3] = math.nan
    options = {"scale": "standard", "steps": 2, "given": "upscale:2", **SMALL}
    ancestral.train("arrays", data=lacking, gaps="shared", out=tmp_path / "run", **options)
    settings = {"data": lacking, "held_out": lacking.flip(0), "samples": False, "conditions": 6, "members": 3}
    found = ancestral.evaluate(tmp_path / "run", extractor="pixels", **settings, progress=False).conditional
    model = ancestral.load(tmp_path / "run")
    random = next(one for one in found.forecasts if one.name == "random")
    cut = ancestral.data.load(whole[..., 3:])
    scaling = model.spec.codec.scaling[0]
    x = (cut.items - scaling.middle) / scaling.half
    spread = math.sqrt(2) * float(x.std())  # of two random items of these values
    assert random.pixels.distance.value == pytest.approx(spread, rel=0.1)
    assert "the same in all items" in str(ancestral.info(tmp_path / "run"))
