"""Pairs of samples and noise: the assignment against SciPy's, what is paired, and the training with them."""

import dataclasses
import sys

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from ancestral import Diffusion, InputError, objectives, randomness, schedules, targets, train
from ancestral.objectives import Denoising, Objective, OptimalTransport, Weighted
from ancestral.objectives.coupling import assignment
from ancestral.objectives.objective import draw_noise
from ancestral.objectives.times import UniformTimes
from ancestral.randomness import Stream
from ancestral.training import Checkpoints, RunFolder, Trainer
from ancestral.training.fault_tolerance import restore_newest
from tiny_models import stripes, tiny_config, together

FLOW = schedules.flow(50)
STEPS = 4


def costs(kind, n):
    generator = torch.Generator().manual_seed(n)
    matrix = torch.randn(n, n, generator=generator, dtype=torch.float64)
    points = torch.rand(n, 1, 2, generator=generator, dtype=torch.float64)
    noise = torch.randn(1, n, 2, generator=generator, dtype=torch.float64)
    return {
        "random": matrix,
        "ties": matrix.mul(2).round(),
        "equal": torch.zeros_like(matrix),
        "points": (points - noise).square().sum(2) * 1e6,
        "negative": -matrix.abs() - 1e3,
    }[kind]


@pytest.mark.parametrize("kind", ["random", "ties", "equal", "points", "negative"])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 40, 90])
def test_assignment_costs_as_little_as_scipys(n, kind):
    cost = costs(kind, n)
    columns = assignment(cost)
    assert sorted(columns.tolist()) == list(range(n))
    truth = cost[linear_sum_assignment(cost.numpy())].sum()
    torch.testing.assert_close(cost[range(n), columns].sum(), truth, rtol=1e-12, atol=1e-9)


def test_costs_that_are_not_finite_change_nothing():
    cost = torch.rand(5, 5)
    cost[1, 2] = torch.nan
    assert assignment(cost).tolist() == [0, 1, 2, 3, 4]


def transport(pool=128):
    return OptimalTransport(Denoising(UniformTimes(FLOW)), pool)


def test_pairs_are_optimal_in_each_pool():
    x0, eps = torch.randn(2, 20, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    paired = transport(10).pair(x0, eps)
    for part in (slice(0, 10), slice(10, 20)):
        cost = torch.cdist(x0[part].flatten(1), eps[part].flatten(1)).square().double()
        truth = cost[linear_sum_assignment(cost.numpy())].sum()
        torch.testing.assert_close((x0[part] - paired[part]).double().square().sum(), truth, rtol=1e-5, atol=0)
        assert torch.equal(paired[part].flatten(1).sort(0).values, eps[part].flatten(1).sort(0).values)


def test_only_samples_with_equal_conditions_change_their_noise():
    x0, eps = torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(0))
    labels, keys = torch.tensor([0, 1, -1] * 4), torch.arange(12)
    paired = transport().pair(x0, eps, labels=labels, keys=keys)  # keys are no condition
    for label in (0, 1, -1):
        rows = labels == label
        assert torch.equal(paired[rows], transport().pair(x0[rows], eps[rows]))
    angles = torch.rand(12, 2)
    assert torch.equal(transport().pair(x0, eps, angles=angles), eps)
    assert not torch.equal(paired, eps)


def test_optimal_pairs_of_one_dimension_are_in_order():
    """Then x_0 is a function of ε, and the flow is straight: its exact velocity needs one step."""
    x0, eps = torch.randn(2, 64, 1, generator=torch.Generator().manual_seed(0))
    paired = transport().pair(x0, eps)
    assert torch.equal(x0.flatten().argsort(), paired.flatten().argsort())


def test_wrappers_pair_as_what_they_wrap():
    inner = transport()
    assert not Denoising(UniformTimes(FLOW)).pairs
    for objective in (inner, Weighted(inner, torch.ones(51)), objectives.Clipped(inner)):
        assert objective.pairs
    x0, eps = torch.randn(2, 8, 4)
    assert torch.equal(Weighted(inner, torch.ones(51)).pair(x0, eps), inner.pair(x0, eps))


class Recorder(Objective):
    """Keeps what it was given."""

    def __init__(self, inner):
        super().__init__(inner.times)
        self.inner, self.z, self.eps = inner, {}, []

    def pair(self, x0, eps, **condition):
        self.eps.append(eps.clone())
        return eps.flip(0)

    def errors(self, forward):
        for number in (0, 1):
            self.z[number] = forward.z(number)
        assert torch.equal(forward.x_t, FLOW.add_noise(forward.x0, forward.t, forward.eps))
        return self.inner.errors(forward)


class Zero(nn.Module):
    def forward(self, x, index):
        return torch.zeros_like(x)


def test_noise_of_an_objective_is_a_function_of_seed_step_and_index():
    denoiser, x0 = Diffusion(Zero(), FLOW, targets.FLOW), torch.randn(4, 3, dtype=torch.float64)
    recorder = Recorder(Denoising(UniformTimes(FLOW)))
    recorder.losses(denoiser, x0, step=5, seed=2, indices=[3, 1, 4, 2])
    whole = dict(recorder.z)
    assert whole[0].dtype == x0.dtype
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole[0], recorder.eps[0])
    truth = randomness.normal((3,), 2, Stream.FORWARD, 5, [3, 1, 4, 2], draw=1).double()
    assert torch.equal(whole[1], truth)
    recorder.losses(denoiser, x0[2:], step=5, seed=2, indices=[4, 2])  # another batch, the same numbers
    assert torch.equal(recorder.z[0], whole[0][2:])
    recorder.losses(denoiser, x0, step=6, seed=2, indices=[3, 1, 4, 2])
    assert not torch.equal(recorder.z[0], whole[0])
    with pytest.raises(InputError, match="no seed to draw z of"):
        denoiser.forward_pass(x0, 3, x0).z(0)


def test_pairs_are_those_of_the_whole_batch_in_every_split():
    """Micro-batches, and two processes, take the pairs of the whole batch: the times and losses are the same."""
    denoiser, x0 = Diffusion(Zero(), FLOW, targets.FLOW), torch.randn(8, 3)
    objective = transport()
    t, losses = objective.losses(denoiser, x0, step=1, seed=0)
    eps = objective.pair(x0, draw_noise(x0, 0, 1, range(8)))
    for part in (range(0, 8, 2), range(1, 8, 2)):
        times, values = objective.losses(
            denoiser, x0[part.start :: 2], step=1, seed=0, indices=part, eps=eps[part.start :: 2]
        )
        assert torch.equal(times, t[part.start :: 2])
        torch.testing.assert_close(values, losses[part.start :: 2])


def config(**settings):
    base = tiny_config(steps=STEPS, batch_size=16, warmup=2, precision="fp32")
    base = dataclasses.replace(base, net=dataclasses.replace(base.net, dropout=0.0))
    return base.with_settings(coupling="ot:pool=8", schedule="flow", target="flow", **settings)


def weights(trainer):
    list(trainer.run())
    return torch.cat([parameter.detach().flatten() for parameter in trainer.denoiser.parameters()])


def test_micro_batches_train_on_the_pairs_of_the_batch():
    whole = weights(Trainer(config(), stripes(), "cpu"))
    torch.testing.assert_close(weights(Trainer(config(micro_batch=5), stripes(), "cpu")), whole, rtol=0, atol=1e-5)
    independent = Trainer(config().with_settings(coupling="independent"), stripes(), "cpu")
    assert (weights(independent) - whole).abs().max() > 1e-4


@pytest.mark.long
def test_two_processes_train_as_one(tmp_path):
    torch.save(weights(Trainer(config(), stripes(), "cpu")), tmp_path / "one.pt")
    together(__file__, tmp_path)
    found, truth = (torch.load(tmp_path / name, weights_only=True) for name in ("two.pt", "one.pt"))
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-5)


def work(folder):
    trainer = Trainer(config(), stripes())
    found = weights(trainer)
    if trainer.distributed.main:
        torch.save(found, f"{folder}/two.pt")


def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path):
    whole, folder = weights(Trainer(config(), stripes(), "cpu")), RunFolder(tmp_path / "run")
    folder.begin(config())
    trainer = Trainer(config(), stripes(), "cpu")
    for progress in trainer.run(folder):
        if progress.step == 2:  # it ends after the next step
            trainer.stop()
    resumed = Trainer(config(), stripes(), "cpu")
    restore_newest(Checkpoints(folder.checkpoints), resumed.state)
    resumed._go_on_from(resumed.state)
    assert resumed.step == 3
    assert torch.equal(weights(resumed), whole)


REFUSALS = {
    "unknown": ({"coupling": "sinkhorn"}, "unknown coupling 'sinkhorn'; there are independent, ot"),
    "option": ({"coupling": "ot:size=3"}, "coupling ot has no option size; it has pool"),
    "pool": ({"coupling": "ot:pool=1"}, "pool is a whole number of samples, 2 or more, not 1"),
    "augmented": ({"coupling": "ot", "augment": 0.3}, "coupling='?ot'? pairs items .*augment=0.3 draws each item anew"),
}


@pytest.mark.parametrize(("settings", "message"), REFUSALS.values(), ids=list(REFUSALS))
def test_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Trainer(tiny_config().with_settings(**settings), stripes(), "cpu")


def test_a_condition_that_is_no_class_is_refused(tmp_path):
    angles = torch.rand(32)
    with pytest.raises(InputError, match=r"coupling.* angle is no class: leave one of the two out"):
        train(
            "arrays",
            data=(torch.rand(32, 1, 8, 8), {"angle": angles}),
            out=tmp_path / "run",
            coupling="ot",
            steps=2,
            progress=False,
        )


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    work(sys.argv[1])
    torch.distributed.destroy_process_group()
