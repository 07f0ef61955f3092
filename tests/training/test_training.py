"""Training: it learns, it repeats itself exactly, and it loses nothing."""

import dataclasses
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ancestral import augmentation, data
from ancestral import config as configs
from ancestral.base import storage
from ancestral.base.device import memory_format
from ancestral.base.errors import InputError
from ancestral.config import Config
from ancestral.data.loading import batch_indices
from ancestral.model import CustomParts
from ancestral.objectives import Denoising, time_distribution
from ancestral.training import EMA, Checkpoints, Progress, RunFolder, Trainer
from ancestral.training.distributed import Distributed
from ancestral.training.gradients import prepare
from ancestral.training.optimiser import lr_factor, make_optimiser, orthogonalised, set_learning_rate
from tiny_models import LearnedWeights, begun, but_one_long, stripes, tiny_config


def run(config, dataset=None, folder=None, steps=None):
    trainer = Trainer(config, dataset or stripes(), "cpu")
    for progress in trainer.run(folder):
        if progress.step == steps:
            break
    return trainer


def with_data(config, **settings):
    """The config with other settings of the data."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **settings))


def batch(trainer):
    """The input of the network at the next step."""
    return prepare(next(trainer.batches), trainer.gradients.positions, trainer.config, trainer.spec, trainer.device)


def assert_same_state(one, other):
    assert one.step == other.step
    mine, theirs = one.state.tensors(), other.state.tensors()
    assert mine.keys() == theirs.keys()
    for name in mine:
        assert torch.equal(mine[name], theirs[name]), name


# -- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_batch_is_learned_by_heart():
    """Two images, shown long enough: DDIM gives back the one that the label asks for."""
    dataset = stripes(2)
    config = tiny_config(steps=250, batch_size=16, lr=3e-3, warmup=20, ema=0.98, label_dropout=0.0)
    config = dataclasses.replace(config, net=dataclasses.replace(config.net, dropout=0.0, width=32))
    trainer = run(config, dataset)
    samples = trainer.model().sample(8, steps=20)
    error = (samples.int() - dataset.items[torch.arange(8) % 2].int()).abs().float().mean()
    assert error < 10  # of 255


def test_loss_falls_and_progress_tells_it():
    config = tiny_config(steps=40, lr=3e-3, precision="fp32")
    steps = list(Trainer(config, stripes(), "cpu").run())
    assert [p.step for p in steps] == list(range(1, 41))
    assert {p.steps for p in steps} == {40}
    assert steps[-1].loss < 0.8 * steps[0].loss
    assert steps[-1].seconds_left == 0
    assert all(p.images_per_second > 0 for p in steps)
    assert steps[1].lr == pytest.approx(config.train.lr * lr_factor(config.train, 1))


# -- the recipe -------------------------------------------------------------------------------------------------------


def test_learning_rate_rises_from_zero_and_stays():
    train = configs.preset("cifar10").train
    assert lr_factor(train, 0) == 0
    assert lr_factor(train, 2500) == pytest.approx(0.5)
    assert lr_factor(train, 5000) == lr_factor(train, 799_999) == 1


def test_learning_rate_may_fall_along_a_cosine():
    train = tiny_config(steps=110, warmup=10, lr=1.0).train
    assert lr_factor(train, 10) == 1
    assert lr_factor(train, 60) == pytest.approx(0.5)
    assert lr_factor(train, 110) == pytest.approx(0, abs=1e-12)
    assert lr_factor(dataclasses.replace(train, warmup=0), 0) == 1


def test_adam_has_the_papers_constants():
    trainer = Trainer(tiny_config(), stripes(), "cpu")
    assert isinstance(trainer.state.optimiser, torch.optim.Adam)
    assert trainer.state.optimiser.defaults["betas"] == (0.9, 0.999)
    assert trainer.state.optimiser.defaults["eps"] == 1e-8


def test_ema_is_the_weighted_mean_of_the_weights():
    weight = nn.Parameter(torch.tensor([0.0]))
    ema = EMA([weight], decay=0.5)
    average = 0.0
    for step in range(1, 30):
        weight.data.fill_(step**0.5)
        ema.update([weight], step)
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * step**0.5
        assert ema.weights[0].item() == pytest.approx(average, rel=1e-6)


def test_ema_leaves_buffers_alone():
    """Averaged buffers are a known way to black images: the model's buffers are the network's own."""
    trainer = Trainer(tiny_config(steps=3), stripes(), "cpu")
    name, buffer = next(iter(trainer.state.net.named_buffers()))
    for k, _ in enumerate(trainer.run()):
        buffer.fill_(k)
    model = trainer.model()
    assert (dict(model.denoiser.net.named_buffers())[name] == 2).all()
    weights = dict(model.denoiser.net.named_parameters())
    for (name, raw), average in zip(trainer.state.net.named_parameters(), trainer.state.ema.weights, strict=True):
        assert torch.equal(weights[name], average)
        assert not torch.equal(raw, average) or raw.eq(raw.flatten()[0]).all()


def test_gradients_are_clipped():
    trainer = Trainer(tiny_config(clip_norm=1e-3), stripes(), "cpu")
    trainer.advance()
    norm = torch.stack([p.grad.norm() for p in trainer.state.parameters if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


# -- the batches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "batch_size"), [(10, 3), (7, 7), (5, 12), (1, 4), (64, 16)])
def test_every_item_is_seen_once_an_epoch_with_nothing_left_over(count, batch_size):
    steps = 3 * count + 6
    order = torch.cat([batch_indices(count, batch_size, 0, step) for step in range(steps)])
    epochs = order[: len(order) // count * count].reshape(-1, count)
    assert all(sorted(epoch.tolist()) == list(range(count)) for epoch in epochs)
    if count >= 10:
        assert len({tuple(epoch.tolist()) for epoch in epochs}) == len(epochs)
    assert torch.equal(batch_indices(count, batch_size, 0, 5), order[5 * batch_size : 6 * batch_size])


def test_flips_happen_to_half_of_the_images_and_only_on_request():
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    images[..., 0] = 255  # a bright left edge
    dataset = data.InMemoryDataset(images, None, (), "edges")
    config = tiny_config(batch_size=400)
    plain, _ = batch(Trainer(config, dataset, "cpu"))
    assert (plain[..., 0] == 1).all()
    flipped, _ = batch(Trainer(with_data(config, flip=True), dataset, "cpu"))
    share = (flipped[:, 0, 0, 0] == 1).float().mean().item()
    assert share == pytest.approx(0.5, abs=4 * 0.025)
    assert ((flipped[..., 0] == 1) ^ (flipped[..., -1] == 1)).all()


def test_augmented_images_come_with_the_numbers_that_say_how_and_others_with_zeros():
    config = tiny_config(batch_size=64)
    plain, _ = batch(Trainer(config, stripes(), "cpu"))
    x0, condition = batch(Trainer(with_data(config, augment=0.2), stripes(), "cpu"))
    transforms = augmentation.draw((8, 8), 0.2, config.train.seed, 0, range(64))
    assert torch.equal(x0, transforms(plain))
    assert torch.equal(condition["augment"], transforms.inputs((8, 8)))
    untouched = (condition["augment"] == 0).all(1)
    assert 10 < untouched.sum() < 54
    assert torch.equal(x0[untouched], plain[untouched])


def test_images_of_the_data_are_mirrored_and_augmented_with_their_items():
    """The partner of an image is the image itself, at half of its resolution in the second condition."""
    images = torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8, generator=torch.manual_seed(0))
    dataset = data.load((images, {"same": images, "low": images[..., ::2, ::2]}))
    trainer = Trainer(
        with_data(tiny_config(batch_size=32, condition_dropout=0.0), flip=True, augment=0.3), dataset, "cpu"
    )
    x0, condition = batch(trainer)
    assert torch.equal(condition["same"][:, :1], x0)
    assert torch.equal(condition["same"][:, 1], torch.ones(32, 8, 8))
    plain, plain_condition = batch(
        Trainer(with_data(tiny_config(batch_size=32, condition_dropout=0.0)), dataset, "cpu")
    )
    assert not torch.equal(x0, plain)
    drawn = augmentation.draw((8, 8), 0.3, 0, 0, range(32))
    low, turned = plain_condition["low"], (x0[:, 0] == drawn(plain)[:, 0]).flatten(1).all(1)
    assert torch.equal(condition["low"][turned], drawn(low)[turned])
    assert torch.equal(condition["low"][~turned], drawn(low.flip(-1))[~turned])
    with pytest.raises(InputError, match=r"augment is the condition of augment=0\.3: give yours another name"):
        Trainer(with_data(tiny_config(), augment=0.3), data.load((images, {"augment": torch.rand(16)})), "cpu")


@pytest.mark.long
def test_augmentation_does_not_leak():
    """A signal that is translated and mirrored at random: of pure noise, x̂_0 is the signal as it is.

    Of the numbers of a flip it is the mirrored one. Without the condition it would be the mean of all that was shown.
    """
    ramp = torch.tensor([0, 0, 0, 60, 120, 160, 200, 255], dtype=torch.uint8).view(1, 1, 8)
    config = with_data(tiny_config(steps=200, batch_size=32, lr=4e-3, warmup=20, ema=0.95), augment=0.5)
    config = dataclasses.replace(config, net=configs.UNetConfig(width=16, mults=(1,), blocks=1, attention=()))
    model = run(config, data.InMemoryDataset(ramp.repeat(4, 1, 1))).model()
    x0, x_T = model.spec.codec.encode(ramp), torch.randn(64, 1, 8, generator=torch.manual_seed(0))
    plain = model.denoiser.predict(x_T, 1000).x0.mean(0)
    flipped = model.denoiser.predict(x_T, 1000, augment=torch.tensor([[0.0, 1, 1]]).expand(64, 3)).x0.mean(0)
    assert (plain - x0[0]).abs().max() < 0.2
    assert (flipped - x0[0].flip(1)).abs().max() < 0.3
    leaked = augmentation.draw((8,), 0.5, 0, 0, range(1000))(x0.expand(1000, 1, 8)).mean(0)
    assert (leaked - x0[0]).abs().max() > 0.4


class Told(nn.Module):
    """A custom network that takes the numbers of the augmentation."""

    def __init__(self, numbers):
        super().__init__()
        self.layer, self.told = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(numbers, 1)

    def forward(self, x, index, augment=None):
        told = 0 if augment is None else self.told(augment)[..., None, None]
        return self.layer(x) + told


def test_a_network_of_ones_own_takes_the_numbers_or_the_augmentation_is_refused():
    config = with_data(tiny_config(steps=2), augment=0.2)
    trainer = Trainer(config, stripes(), "cpu", CustomParts(net=Told(10)))
    before = trainer.state.net.told.weight.clone()
    list(trainer.run())
    assert not torch.equal(trainer.state.net.told.weight, before)
    with pytest.raises(InputError, match=r"takes no augment=None, the numbers that say how .*: add that argument, or"):
        Trainer(config, stripes(), "cpu", CustomParts(net=Plain()))
    with pytest.raises(InputError, match="the network fails on x of shape"):
        Trainer(config, stripes(), "cpu", CustomParts(net=Told(9)))
    with pytest.raises(InputError, match="points are not augmented: leave augment out"):
        Trainer(config, data.load("moons"), "cpu")


def test_batches_are_scaled_and_labelled():
    x0, condition = batch(Trainer(tiny_config(batch_size=1000), stripes(), "cpu"))
    assert x0.unique().tolist() == [-1, 1]
    labels = condition["labels"]
    assert (labels == -1).float().mean().item() == pytest.approx(0.1, abs=4 * 0.0095)  # "no class"
    vertical = x0[:, 0, 0, :].ne(x0[:, 0, 0, :1]).any(1)
    assert (labels[labels >= 0] == (~vertical).long()[labels >= 0]).all()


def test_classes_may_be_left_out():
    trainer = Trainer(with_data(tiny_config(), class_labels=False), stripes(), "cpu")
    assert trainer.spec.classes == ()
    assert not batch(trainer)[1]


# -- the run folder ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", but_one_long(["adam", "muon"]))
def test_resumed_is_uninterrupted_to_the_last_bit(tmp_path, optimiser):
    """Stopped after 4 of 9 steps, in the middle of a warm-up and of an epoch, with dropout, hidden labels, augmentation
    and balanced classes."""
    config = with_data(tiny_config(steps=9, warmup=6, optimiser=optimiser), augment=0.3, balance=True)
    whole = run(config)
    folder = begun(tmp_path / "run", config)
    first = run(config, folder=folder, steps=4)
    first.save(folder)
    second = Trainer(folder.read_config(), stripes(), "cpu")
    second.load(folder)
    assert_same_state(first, second)
    list(second.run(folder))
    assert_same_state(second, whole)


def test_a_run_is_a_function_of_its_config():
    assert_same_state(run(tiny_config(steps=3)), run(tiny_config(steps=3)))
    one, other = run(tiny_config(steps=3)).state.tensors(), run(tiny_config(steps=3, seed=1)).state.tensors()
    assert not torch.equal(one["net.stem.weight"], other["net.stem.weight"])


def test_the_run_folder_holds_what_it_says(tiny_run):
    assert Config.from_json(tiny_run.config.read_text()) == tiny_config()
    checkpoints = Checkpoints(tiny_run.checkpoints)
    assert checkpoints.steps() == [3, 6]
    tensors = checkpoints.newest()[0].tensors
    assert {name.split(".")[0] for name in tensors} == {"net", "ema", "average", "adam"}
    model, _ = storage.read_tensors(tiny_run.model)
    for name, weight in model.items():
        assert torch.equal(weight, tensors[f"ema.{name}"])
        assert not weight.isnan().any()


def test_saves_come_at_their_interval_and_at_the_end(tmp_path):
    config = tiny_config(steps=7, save_every=3)
    folder = begun(tmp_path / "run", config)
    assert [p.step for p in Trainer(config, stripes(), "cpu").run(folder) if p.saved] == [3, 6, 7]


def test_state_of_another_network_is_refused(tiny_run, tmp_path):
    config = tiny_config()
    wider = dataclasses.replace(config, net=dataclasses.replace(config.net, width=32))
    with pytest.raises(InputError, match="does not fit"):
        Trainer(wider, stripes(), "cpu").load(tiny_run)


def test_the_log_forgets_what_will_be_written_again(tmp_path):
    folder = begun(tmp_path / "run")
    for step, loss in ((50, 0.5), (100, 0.5), (150, 0.5)):
        folder.append_log(progress(step, loss))
    folder.trim_log(100)
    folder.append_log(progress(150, 0.25))
    lines = folder.log.read_text().splitlines()
    assert lines[0].startswith("step,loss,loss_1_of_8,")
    assert lines[0].endswith(",seconds")
    assert [line.split(",")[:2] for line in lines[1:]] == [["50", "0.5"], ["100", "0.5"], ["150", "0.25"]]
    assert {line.count(",") for line in lines} == {lines[0].count(",")}


def progress(step, loss):
    return Progress(step, 1000, loss, (loss,) * 8, 1e-3, 1.0, 99.0, 1.0, 1.0, False, 1000, 2**30)


# -- precision, data, config ------------------------------------------------------------------------------------------


def test_orthogonalised_steps():
    """Against the singular value decomposition: the same singular vectors, all values near 1."""
    generator = torch.Generator().manual_seed(0)
    m = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((6, 20), (6, 9), (20, 6), (1, 3))]
    for matrix, result in zip(m, orthogonalised(m), strict=True):
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        inner = u.mT @ result @ v.mT
        values = inner.diagonal()
        assert_close(inner, torch.diag_embed(values), atol=1e-5, rtol=0)
        assert values.min() > 0.65
        assert values.max() < 1.21
        assert_close(orthogonalised([matrix * 1e-3])[0], result, atol=1e-3, rtol=0)
    assert torch.equal(orthogonalised([torch.zeros(2, 3)])[0], torch.zeros(2, 3))  # a weight without a gradient yet


def test_orthogonalised_steps_in_float32():
    """Singular values over four orders of magnitude: as exact as the iteration of the matrix itself, in float64."""
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(40, 40, generator=generator, dtype=torch.float64))[0] for _ in range(2))
    m = u @ torch.diag(torch.logspace(0, -4, 40, dtype=torch.float64)) @ v.mT
    x = m / m.norm()
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    assert_close(orthogonalised([m])[0], x, atol=1e-6, rtol=0)
    assert_close(orthogonalised([m.float()])[0].double(), x, atol=1e-3, rtol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
def test_muon_steps_as_written_out(layout):
    """Two steps of a dense layer and a convolution by the definition; a bias and an embedding by Adam."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 2), nn.Conv2d(2, 3, 3)).to(memory_format=layout)
    copies = [p.detach().clone().requires_grad_() for p in net.parameters()]
    muon = make_optimiser(net, "muon", Distributed("cpu"))
    adam = torch.optim.Adam(copies, lr=0.1, betas=(0.9, 0.999), eps=1e-8)
    set_learning_rate(muon, 0.1)
    momentum = [torch.zeros_like(p) for p in copies]
    for _ in range(2):
        before = [p.detach().clone() for p in net.parameters()]
        gradients = [torch.randn_like(p) for p in copies]
        for own, copy, gradient in zip(net.parameters(), copies, gradients, strict=True):
            own.grad, copy.grad = gradient.clone(), gradient.clone()
        muon.step()
        adam.step()
        for own, copy, old, m, g in zip(net.parameters(), copies, before, momentum, gradients, strict=True):
            if own.ndim == 1 or own is net[0].weight:
                assert_close(own, copy)
                continue
            m.mul_(0.95).add_(g, alpha=0.05)
            nesterov = (0.05 * g + 0.95 * m).flatten(1)
            step = 0.1 * 0.2 * max(nesterov.shape) ** 0.5 * orthogonalised([nesterov])[0]
            assert_close(own, old - step.view_as(own))
            rms = float((own.detach() - old).square().mean().sqrt())
            assert 0.5 * 0.02 < rms < 1.2 * 0.02  # as long as a step of Adam usually is


def test_adam_of_weights_in_channels_last_is_pytorchs_bit_for_bit():
    """Also of a 1×1 convolution, whose layout is ambiguous, and of a gradient in another layout than its weight."""
    generator = torch.Generator().manual_seed(0)
    shapes = (6, 4, 3, 3), (6, 4, 1, 1), (6, 4, 3, 3), (6,)
    ours, theirs = nn.ParameterList(), []
    for shape in shapes:
        weight = torch.randn(shape, generator=generator)
        weight = weight.contiguous(memory_format=memory_format(weight.ndim))
        ours.append(nn.Parameter(weight.clone()))
        theirs.append(nn.Parameter(weight.clone()))
    optimisers = make_optimiser(ours, "adam", Distributed("cpu")), torch.optim.Adam(theirs, lr=0.0, fused=True)
    for _ in range(2):
        for number, (own, other) in enumerate(zip(ours, theirs, strict=True)):
            own.grad = torch.randn(own.shape, generator=generator)
            if number != 2:
                own.grad = own.grad.contiguous(memory_format=memory_format(own.ndim))
            other.grad = own.grad.clone()
        for optimiser in optimisers:
            set_learning_rate(optimiser, 0.1)
            optimiser.step()
        for own, other in zip(ours, theirs, strict=True):
            assert torch.equal(own, other)
            assert own.stride() == other.stride()


def test_muon_leaves_alone_what_has_no_gradient_and_steps_once_for_a_shared_weight():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    muon = make_optimiser(net, "muon", Distributed("cpu"))
    set_learning_rate(muon, 0.1)
    before, unused = (net[i].weight.detach().clone() for i in (0, 1))
    for _ in range(2):  # in the second step the state of the first is there
        net[0].weight.grad = torch.eye(4)
        muon.step()
    assert torch.equal(net[1].weight, unused)
    step = 0.1 * 0.2 * 4**0.5 * orthogonalised([torch.eye(4)])[0]
    assert_close(net[0].weight, before - 2 * step, atol=1e-5, rtol=0)


class Counting(torch.optim.SGD):
    """An optimiser that keeps numbers beside tensors, of a group and of each parameter, and reads them."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["k"] = group.get("k", 0) + 1
            for parameter in group["params"]:
                state = self.state[parameter]
                state["steps"] = state.get("steps", 0) + 1
                if parameter.grad is not None:
                    parameter.grad /= group["k"] + state["steps"]
        return super().step(closure)


def two_groups(parameters):
    matrices = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim < 2]
    return torch.optim.AdamW([{"params": others, "lr": 3e-3}, {"params": matrices}], lr=1e-3, amsgrad=True)


@pytest.mark.parametrize(
    "optimiser",
    [
        pytest.param(two_groups, id="adamw"),
        pytest.param(partial(Counting, lr=0.05, momentum=0.9), id="numbers", marks=pytest.mark.long),
        pytest.param(partial(torch.optim.Adafactor, lr=0.01), id="adafactor", marks=pytest.mark.long),
        pytest.param(None, id="adam"),
    ],
)
@pytest.mark.long
def test_own_optimiser_schedule_and_loss_weights_resume_bit_for_bit(tmp_path, optimiser):
    """Learned loss weights are trained, saved and taken up, and so is all that the optimiser keeps."""
    config, folder = tiny_config(steps=6, save_every=3, precision="fp32"), RunFolder(tmp_path / "run")
    parts = CustomParts(optimiser=optimiser, lr_schedule=lambda step: 1 / (1 + step))

    def trainer():
        return Trainer(config, stripes(), "cpu", dataclasses.replace(parts, objective=LearnedWeights))

    whole, first = trainer(), trainer()
    began = whole.state.objective.u.detach().clone()
    lrs = [progress.lr for progress in whole.run()]
    assert lrs == pytest.approx([lrs[0] / (1 + step) for step in range(6)])
    folder.begin(first.config)
    for progress in first.run(folder):
        if progress.step == 3:
            break
    resumed = trainer()
    assert resumed.load(folder) == []
    assert resumed.step == 3
    list(resumed.run())
    assert_same_state(whole, resumed)
    assert torch.equal(whole.state.objective.u, resumed.state.objective.u)
    assert not torch.equal(whole.state.objective.u, began)
    plain = Trainer(config, stripes(), "cpu", parts)
    with pytest.raises(InputError, match="does not fit the network, the objective or the optimiser"):
        plain.load(folder)


def test_the_state_of_another_optimiser_is_refused(tmp_path):
    config, folder = tiny_config(steps=2), RunFolder(tmp_path / "run")

    def trainer(optimiser):
        return Trainer(config, stripes(), "cpu", CustomParts(optimiser=optimiser))

    first = trainer(torch.optim.AdamW)
    folder.begin(first.config)
    list(first.run(folder))
    other = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    with pytest.raises(InputError, match="with the optimiser AdamW, so it cannot go on with SGD; give AdamW again"):
        trainer(other).load(folder)
    resumed = trainer(torch.optim.AdamW)
    assert resumed.load(folder) == []
    assert resumed.step == 2


def test_a_learned_weight_takes_the_step_of_its_gradient():
    """One u for all t: dL/du = 1 − mean loss at u = 0, and SGD's step is learning rate times factor times gradient."""

    class One(LearnedWeights):
        def __init__(self, denoiser):
            super().__init__(denoiser)
            self.u = nn.Parameter(torch.zeros(()))

        def errors(self, forward):
            return self.inner.errors(forward) / self.u.exp() + self.u

    config = tiny_config(clip_norm=1e9, precision="fp32")
    parts = CustomParts(optimiser=partial(torch.optim.SGD, lr=0.1), lr_schedule=lambda step: 0.5)
    trainer = Trainer(config, stripes(), "cpu", dataclasses.replace(parts, objective=One))
    loss = trainer.advance().losses.mean().item()
    assert trainer.state.objective.u.item() == pytest.approx(-0.1 * 0.5 * (1 - loss), rel=1e-5)
    trainer.state.guard.restore(
        {"loss": -0.5, "good": 1000, "bad": 0, "slower": 1.0}
    )  # of learned weights the loss may be negative
    assert trainer.advance().verdict == "good"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"optimiser": lambda parameters: parameters}, r"returned a list, not a torch.optim.Optimizer"),
        (
            {"optimiser": lambda parameters: torch.optim.SGD(parameters, lr=-1)},
            "failed: ValueError: Invalid learning rate",
        ),
        ({"optimiser": lambda parameters: torch.optim.SGD(parameters[1:], lr=1)}, "the optimiser has"),
        ({"lr_schedule": lambda step: -1.0}, r"lr_schedule\(0\) returned -1.0: it should be a number, 0 or more"),
        ({"optimiser": torch.optim.LBFGS}, "LBFGS evaluates the loss several times in a step, by a closure"),
        ({"lr_schedule": lambda step: None}, r"lr_schedule\(0\) returned None"),
        (
            {"lr_schedule": torch.optim.lr_scheduler.CosineAnnealingLR},
            r"lr_schedule\(0\) failed: TypeError: .*'T_max'; give a function of the step",
        ),
    ],
)
def test_wrong_optimisers_and_schedules_are_refused(parts, message):
    with pytest.raises(InputError, match=message):
        Trainer(tiny_config(), stripes(), "cpu", CustomParts(**parts))


class Constant(Denoising):
    """A custom objective whose errors are given."""

    def __init__(self, denoiser, shape):
        super().__init__(time_distribution("uniform", denoiser.schedule))
        self.shape = shape

    def errors(self, forward):
        return torch.zeros(self.shape)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda denoiser, T: None, r"objective\(denoiser\) failed: TypeError: .*'T'; give a function of the denoiser"),
        (lambda denoiser: lambda forward: 0, r"returned a function, not an instance"),
        (lambda denoiser: nn.Linear(2, 2), r"objective\(denoiser\) returned a Linear, not an instance"),
        (lambda denoiser: Constant(denoiser, 2), "the errors of the objective have no gradient: compute them from"),
        (
            lambda denoiser: Constant(denoiser, ()),
            r"have the shape \[\] for 2 samples: they should be",
        ),
        (lambda denoiser: Constant(denoiser, "?"), "the objective fails on x0 of shape .*: TypeError: "),
    ],
)
def test_wrong_objectives_are_refused(objective, message):
    with pytest.raises(InputError, match=message):
        Trainer(tiny_config(), stripes(), "cpu", CustomParts(objective=objective))


def test_a_learning_rate_schedule_that_fails_in_the_middle_ends_the_run_saved(tmp_path):
    config, folder = tiny_config(steps=6, save_every=100), RunFolder(tmp_path / "run")

    def trainer(schedule):
        return Trainer(config, stripes(), "cpu", CustomParts(lr_schedule=schedule))

    failing = trainer(lambda step: 1 / (3 - step))
    folder.begin(failing.config)
    with pytest.raises(InputError, match=r"lr_schedule\(3\) failed: ZeroDivisionError: .*; saved after step 3: "):
        list(failing.run(folder))
    mended, whole = (trainer(lambda step: 1 / (3 - step) if step < 3 else 1.0) for _ in range(2))
    assert mended.load(folder) == []
    assert mended.step == 3
    list(mended.run(folder))
    list(whole.run())
    assert_same_state(whole, mended)


@pytest.mark.parametrize(("setting", "argument"), [("optimiser", "optimiser"), ("decay", "lr_schedule")])
def test_what_was_given_from_python_is_given_again(setting, argument):
    with pytest.raises(InputError, match=f"is given from Python: .*{argument}="):
        Trainer(tiny_config(**{setting: "custom"}), stripes(), "cpu")


def test_a_network_of_ones_own_is_trained_in_fp32_unless_another_precision_is_loaded_on_request(monkeypatch):
    """Where the hardware has bf16."""
    monkeypatch.setattr("ancestral.base.device._native_bf16", lambda device: True)
    own = CustomParts(net=Plain())
    assert Trainer(tiny_config(precision="auto"), stripes(), "cpu", own).dtype == torch.float32
    assert Trainer(tiny_config(precision="bf16"), stripes(), "cpu", own).dtype == torch.bfloat16
    assert Trainer(tiny_config(precision="auto"), stripes(), "cpu").dtype == torch.bfloat16


class Plain(nn.Module):
    """A custom network."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, index):
        return self.layer(x)
