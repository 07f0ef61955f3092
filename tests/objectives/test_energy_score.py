"""The energy score: its estimate, its gradients and its patches against closed forms, and what minimises it."""

import math

import pytest
import torch
import torch.nn.functional as F

from ancestral import InputError, nets, randomness, samplers, schedules, targets
from ancestral.conditions import Noise, Vector
from ancestral.diffusion import Diffusion
from ancestral.metrics import ensembles
from ancestral.objectives import EnergyScore
from ancestral.objectives.energy_score import in_patches
from ancestral.randomness import Stream

SCHEDULE = schedules.cosine(1000)


@pytest.mark.parametrize("members", [2, 8])
@pytest.mark.parametrize("almost_fair", [1.0, 0.95, 0.0])
def test_the_estimate_has_the_mean_of_its_closed_form(members, almost_fair):
    count, mean, std, x = 40_000, 0.3, 0.7, 0.9
    f = mean + std * torch.randn(members, count, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = EnergyScore(members, patches=1, almost_fair=almost_fair).scores(f, torch.full((count, 1), x).double())
    z = (x - mean) / std
    phi, Phi = math.exp(-z * z / 2) / math.sqrt(2 * math.pi), (1 + math.erf(z / math.sqrt(2))) / 2
    distance = std * (z * (2 * Phi - 1) + 2 * phi)  # E|f − x|
    spread = 2 * std / math.sqrt(math.pi)  # E|f − f'|
    share = almost_fair + (1 - almost_fair) * (members - 1) / members
    expected = distance - share * spread / 2
    assert abs(scores.double().mean() - expected) < 4 * scores.double().std() / math.sqrt(count) + 2e-3  # √1e-6


@pytest.mark.parametrize("sides", [(7, 5), (8, 8), (9,), (3, 4, 5)])
def test_patches_hold_all_channels_and_lose_nothing(sides):
    x = torch.randn(3, 2, 4, *sides)
    axes = 1 + len(sides)
    patches = in_patches(x, 4, axes)
    if len(sides) == 2:
        padded = F.pad(x.flatten(0, 1), (0, -sides[1] % 4, 0, -sides[0] % 4))
        assert torch.equal(patches.flatten(0, 1), F.unfold(padded, 4, stride=4).transpose(1, 2))
    assert patches.shape[-1] == 4 * 4 ** len(sides)
    assert torch.allclose(patches.square().sum((-2, -1)), x.square().flatten(2).sum(2))
    assert in_patches(x, 1, axes).shape[2:] == (4 * math.prod(sides), 1)
    assert in_patches(x, 0, axes).shape[2:] == (1, 4 * math.prod(sides))


def test_gradients_are_those_of_finite_differences():
    objective, x = EnergyScore(3, (1, 2, 0)), torch.randn(2, 2, 3, 5, dtype=torch.float64)
    members = torch.randn(3, 2, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: objective.scores(f, x), members)
    assert torch.autograd.gradgradcheck(lambda f: objective.scores(f, x), members)


def net_of(kind, **options):
    return Diffusion(nets.MLP(2, 64, 2, conditions={"y": kind, "noise": Noise(8, until=1000)}), SCHEDULE, targets.X0)


def trained(objective, draw, kind, steps):
    """A denoiser of points that is trained on pairs (x, y) of a function of the step."""
    with randomness.pytorch_generator(0):
        denoiser = net_of(kind)
    optimiser = torch.optim.Adam(denoiser.parameters(), 2e-3)
    average = [weight.detach().clone() for weight in denoiser.parameters()]
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 2e-3 * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        x, y = draw(step)
        loss = denoiser.loss(x, step=step, objective=objective, y=kind.encode(y))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for mean, weight in zip(average, denoiser.parameters(), strict=True):
            mean.lerp_(weight.detach(), 0.02)
    for mean, weight in zip(average, denoiser.parameters(), strict=True):
        weight.data.copy_(mean)
    return denoiser.eval()


def answers(denoiser, condition, count, sampler=None):
    keys = randomness.keys(0, Stream.OWN, 0, range(count))
    x_T = torch.randn(count, 2, generator=torch.Generator().manual_seed(1))
    sampler = sampler or samplers.Consistency(steps=1, clip=None)
    return sampler.sample(denoiser, x_T, y=condition.expand(count, -1), keys=keys)


@pytest.mark.slow
@pytest.mark.parametrize("evaluations", [1, 2])
def test_it_learns_the_gaussian_posterior(evaluations):
    root = torch.tensor([[0.5, 0.0], [0.3, 0.4]])
    covariance, noise = root @ root.T, 0.3

    def draw(step):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(256, 2, generator=generator) @ root.T
        return x, x[:, :1] + noise * torch.randn(256, 1, generator=generator)

    kind = Vector((0.0,), (math.sqrt(covariance[0, 0] + noise**2),))
    denoiser = trained(EnergyScore(8, evaluations=evaluations), draw, kind, 3000 * evaluations)
    gain = covariance[:, 0] / (covariance[0, 0] + noise**2)
    expected = covariance - torch.outer(gain, covariance[0])
    for y in (-0.5, 0.0, 0.6):
        for steps in range(1, evaluations + 1):
            sampler = samplers.Consistency(steps=steps, clip=None)
            samples = answers(denoiser, kind.encode(torch.tensor([[y]])), 20_000, sampler)
            assert torch.allclose(samples.mean(0), gain * y, atol=0.02)
            # on average an energy score is flat around its minimum: an error of 5 % here costs 0.1 % of it
            assert torch.allclose(torch.cov(samples.T), expected, rtol=0.1, atol=0.01)
    x, y = draw(10**6)
    exact = (
        gain * y
        + torch.randn(64, 256, 2, generator=torch.Generator().manual_seed(2)) @ torch.linalg.cholesky(expected).T
    )
    ours = answers(denoiser, kind.encode(y.repeat(64, 1)), 64 * 256).view(64, 256, 2)
    score, least = (ensembles.energy_scores(each.transpose(0, 1), x).mean() for each in (ours, exact))
    assert score < 1.02 * least


@pytest.mark.slow
def test_it_finds_both_modes_of_a_mixture_with_their_weights():
    def draw(step):
        generator = torch.Generator().manual_seed(step)
        left = torch.rand(256, 1, generator=generator) < 0.3
        x = torch.where(left, -0.6, 0.6) + 0.05 * torch.randn(256, 2, generator=generator)
        return x, torch.randn(256, 1, generator=generator)  # which says nothing

    kind = Vector((0.0,), (1.0,))
    denoiser = trained(EnergyScore(8), draw, kind, 4000)
    samples = answers(denoiser, kind.encode(torch.zeros(1, 1)), 20_000)
    left = samples[:, 0] < 0
    assert abs(left.float().mean() - 0.3) < 0.03
    assert (samples[:, 0] * samples[:, 1] > 0).float().mean() > 0.97  # no crossed pairs: a mode is one of both numbers
    for rows, centre in ((left, -0.6), (~left, 0.6)):
        assert torch.allclose(samples[rows].median(0).values, torch.full((2,), centre), atol=0.03)


def test_members_differ_by_noise_alone_and_follow_from_the_step():
    kind = Vector((0.0,), (1.0,))
    denoiser, seen = net_of(kind).eval(), []
    denoiser.net.register_forward_pre_hook(
        lambda net, inputs, named: seen.append((*inputs, named["keys"], named["y"])), with_kwargs=True
    )
    x, y = torch.randn(3, 2), kind.encode(torch.randn(3, 1))
    objective = EnergyScore(4, evaluations=2)
    first, second = (denoiser.losses(x, step=step, objective=objective, y=y)[1] for step in (5, 5))
    assert torch.equal(first, second)
    x_t, index, keys, given = seen[0]
    assert set(index.tolist()) <= {499, 999}
    assert all(torch.equal(part, x_t[:3]) for part in x_t.split(3))
    assert all(torch.equal(part, y) for part in given.split(3))
    assert len(set(keys.tolist())) == 12
    alone = [denoiser.losses(x[[i]], step=5, objective=objective, indices=[i], y=y[[i]])[1] for i in range(3)]
    assert torch.allclose(torch.cat(alone), first, atol=1e-6)


def test_noise_as_the_input_differs_at_the_last_time_and_holds_nothing_of_the_item():
    net = nets.MLP(2, 16, 1)
    denoiser, seen = Diffusion(net, SCHEDULE, targets.X0).eval(), []
    net.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0]))
    for scale in (1.0, 100.0):
        denoiser.losses(torch.full((3, 2), scale), step=0, objective=EnergyScore(2, noise="input"))
    assert torch.equal(*seen)
    assert not torch.equal(*seen[0].split(3))


@pytest.mark.parametrize("kind", ["unet", "transformer", "mlp"])
def test_networks_draw_noise_of_keys_and_of_the_time(kind):
    shape = (2,) if kind == "mlp" else (1, 10, 8)
    settings = {
        "unet": {"width": 8, "mults": (1, 2), "blocks": 1, "attention": (), "patch": 1},
        "transformer": {"width": 16, "depth": 1, "heads": 2, "patch": 2},
        "mlp": {"width": 16, "blocks": 1},
    }[kind]
    noise = Noise(4, () if kind == "mlp" else (2, 5, 4), until=10)
    net = nets.build(kind, shape, conditions={"noise": noise}, **settings).eval()
    x, index = torch.randn(3, *shape), torch.tensor([9, 9, 3])
    if kind == "transformer":
        torch.nn.init.normal_(net.modulation.weight)  # adaLN-Zero
        torch.nn.init.normal_(net.blocks[0].modulation.weight)
    keys = randomness.keys(0, Stream.OWN, 0, [1, 2, 3])
    out = net(x, index, keys=keys)
    given = noise.drawn_by(keys, index)
    assert torch.equal(net(x, index, noise=given), out)  # the same noise, from outside
    other = net(x + 1, index, keys=keys)
    assert torch.equal(other[:2], out[:2])  # x is noise alone there
    assert not torch.equal(other[2], out[2])
    assert torch.allclose(net(x[[1]], index[[1]], keys=keys[[1]])[0], out[1], atol=1e-6)  # in each batch
    assert not torch.equal(net(x, index, keys=keys + 1), out)
    for part in (slice(None, 4), slice(4, None)):  # both ways in count
        changed = given.clone()
        changed[:, part] += 1
        assert changed[:, part].numel() == 0 or not torch.equal(net(x, index, noise=changed), out)
    assert torch.equal(net(x, index), net(x, index, noise=noise.absent(3)))
    with pytest.raises(InputError, match="noise has the shape"):
        net(x, index, noise=given[:, :-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": 0}, "1 to 1024 members"),
        ({"patches": "1+x"}, "patches are sides"),
        ({"patches": (-1,)}, "patches are sides"),
        ({"almost_fair": 1.5}, "a share from 0 to 1"),
        ({"evaluations": 0}, "1 to 1024 evaluations"),
        ({"noise": "stem"}, "grid, vector, input"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        EnergyScore(**options)
