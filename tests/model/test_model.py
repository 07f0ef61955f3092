"""The model file explains itself, and sampling from it keeps its promises."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

import ancestral
from ancestral import samplers, schedules, targets
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.conditions import Vector
from ancestral.config import FROM_PYTHON, PLAIN_LOOP, Config, CustomNetConfig, DataConfig, ProcessConfig, TrainConfig
from ancestral.config.run_files import MODEL
from ancestral.data.spec import Codec, DataSpec
from ancestral.diffusion import Diffusion
from ancestral.model import CustomParts, Model, build, check_sampler, sampler_for
from ancestral.model.sample_conditioning import Conditioning, read_conditioning
from ancestral.nets import MLP
from ancestral.oracle import Gaussian
from ancestral.samplers import DDIM, DDPM
from ancestral.schedules import flow, linear
from ancestral.targets import Target
from tiny_models import stripes, tiny_config, untrained


@pytest.fixture(scope="module")
def model(tiny_run):
    return ancestral.load(tiny_run.path, "cpu")


def test_load_needs_nothing_but_the_file(tiny_run, model):
    assert model.step == 6
    assert model.version == ancestral.__version__
    assert model.spec.shape == (1, 8, 8)
    assert model.spec.classes == ("vertical", "horizontal")
    assert model.spec.mean == (127.5,)
    assert model.config == tiny_config()
    assert model.config.train.times == "stratified"
    assert model.denoiser.schedule.spec["name"] == "cosine"
    assert model.denoiser.target.name == "v"
    assert not model.denoiser.training
    again = ancestral.load(tiny_run.model, "cpu")
    assert torch.equal(again.sample(4, steps=3), model.sample(4, steps=3))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_pillow_images_have_the_items_own_pixels(channels, mode):
    model = untrained((channels, 8, 8))
    images = model.images(2, steps=2)
    assert [image.mode for image in images] == [mode] * 2
    for image, item in zip(images, model.sample(2, steps=2), strict=True):
        assert torch.equal(torch.tensor(np.asarray(image)).view(8, 8, channels), item.permute(1, 2, 0))


def test_batches_do_not_change_an_image(model):
    whole = model.sample(5, steps=3, batch_size=5).int()
    for batch_size in (1, 3):
        assert (model.sample(5, steps=3, batch_size=batch_size).int() - whole).abs().max() <= 1
    assert (model.sample(2, steps=3).int() - whole[:2]).abs().max() <= 1


@pytest.mark.parametrize(
    ("sampler", "alone"),
    [pytest.param(DDPM(), (41,), marks=pytest.mark.slow), (DDIM(10), (0, 63))],
    ids=["DDPM, 1,000 steps", "DDIM, 10 steps"],
)
def test_image_i_of_a_seed_is_the_same_alone_among_seven_and_among_64(model, sampler, alone):
    """To 1e-4 of [−1, 1], 1/80 of a grey level: what a network's float32 sums differ by in batches of other sizes."""

    def final(indices):
        *_, last = model.trajectory(indices, sampler, seed=11)
        return last.x

    whole = final(range(64))
    torch.testing.assert_close(final(range(35, 42)), whole[35:42], rtol=0, atol=1e-4)
    for index in alone:
        torch.testing.assert_close(final([index]), whole[index : index + 1], rtol=0, atol=1e-4)


def test_the_samplers_usual_steps_are_at_most_T(model):
    short = Diffusion(model.denoiser.net, linear(20))
    assert model.sampler("ddim").steps == 50
    assert sampler_for(short, "ddim").steps == 20
    assert sampler_for(short, "ddim", steps=7).steps == 7
    assert sampler_for(short, "ddpm").steps is None
    with pytest.raises(InputError, match="50 sampling steps do not fit"):
        sampler_for(short, "ddim:steps=50")


def test_a_sampler_is_checked_without_its_times(model, monkeypatch):
    monkeypatch.setattr(samplers.loop, "_even_times", None)
    assert sampler_for(model.denoiser, "heun").steps == 18
    assert sampler_for(Diffusion(model.denoiser.net, linear(10)), "heun:rtol=0.01").rtol == 0.01
    for name, says in (("heun:steps=3000", "do not fit"), ("ddpm:variance=learned", "did not learn its variance")):
        with pytest.raises(InputError, match=says):
            check_sampler(model.denoiser, name)


def test_labels_come_in_turn_by_name_by_number_or_not_at_all(model):
    assert model.labels(range(5), None).tolist() == [0, 1, 0, 1, 0]
    assert model.labels([3, 8], None).tolist() == [1, 0]
    assert model.labels(range(2), "horizontal").tolist() == [1, 1]
    assert model.labels(range(2), 1).tolist() == model.labels(range(2), "1").tolist() == [1, 1]
    assert model.labels(range(2), "none").tolist() == [-1, -1]
    for label in ("diagonal", 2, "-3"):
        with pytest.raises(InputError, match="vertical, horizontal"):
            model.labels(range(2), label)


def test_labels_and_guidance_reach_the_network(model):
    plain = model.sample(2, steps=3, label=0)
    assert not torch.equal(plain, model.sample(2, steps=3, label=1))
    assert not torch.equal(plain, model.sample(2, steps=3, label=0, guidance=3.0))
    assert torch.equal(plain, model.sample(2, steps=3, label=0, guidance=1.0))


@pytest.mark.parametrize("name", samplers.BY_NAME)
def test_a_sampler_by_name_is_its_object_with_clip(model, name):
    """By their names all samplers clip; as an object each has the clip that it was made with."""
    by_name, kind = model.sampler(name), type(samplers.BY_NAME[name])
    assert by_name.clip == 1.0
    assert (kind().clip is None) == (kind in (samplers.UniPC, samplers.DPMSolver, samplers.Heun, samplers.Langevin))
    assert model.sampler(kind(clip=None)).clip is None


def test_a_model_without_classes_refuses_labels(tmp_path):
    config = tiny_config()
    spec = DataSpec((1, 8, 8), ancestral.data.IMAGES)
    plain = ancestral.Model(build(config, spec), spec, config)
    assert plain.labels(range(3), None) is None
    with pytest.raises(InputError, match="without classes"):
        plain.sample(1, label=0)
    with pytest.raises(InputError, match="without conditions"):
        plain.sample(1, guidance=2.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.clear(), "not a model of ancestral's"),
        (lambda m: m.update(format="ancestral-9"), "format ancestral-1"),
        (lambda m: m.pop("schedule"), "lacks schedule"),
        (lambda m: m.update(schedule="{"), "damaged 'schedule'"),
        (lambda m: m.update(schedule=json.dumps({"name": "sine"})), "unknown schedule"),
        (lambda m: m.update(target="noise"), "damaged .target."),
        (lambda m: m.update(codec="jpeg"), "codec"),
        (lambda m: m.update(step="many"), "damaged 'step'"),
        (lambda m: m.update(shape="7"), "damaged 'shape'"),
        (lambda m: m.update(shape="[1, 2, 3, 4, 5]"), "damaged 'shape'"),
        (lambda m: m.update(config="[]"), "JSON object"),
        (lambda m: m.update(config="{"), "not JSON"),
        (lambda m: m.update(config=json.dumps({"colour": 1})), "unknown setting 'colour'"),
        (lambda m: m.update(config=json.dumps({"net": {"width": "wide"}})), "config"),
    ],
)
def test_damaged_metadata_is_named(tiny_run, tmp_path, change, says):
    weights, metadata = storage.read_tensors(tiny_run.model)
    change(metadata)
    path = tmp_path / MODEL
    storage.write_tensors(path, weights, metadata)
    with pytest.raises(InputError, match=says):
        ancestral.load(path, "cpu")


def test_a_target_that_is_singular_between_two_times_is_refused_before_training():
    """With p = q the determinant (a − b)/2 is 0 at T/2 of rectified flow, whose x_t = (x_0 + ε)/2 is the target."""
    mean = Target("mean", lambda a, b: 0.5, lambda a, b: 0.5)
    spec = stripes().spec
    with pytest.raises(InputError, match=r"mean says nothing of x_0 at t = 5, where signal is 0\.5 and noise 0\.5"):
        build(tiny_config(), spec, CustomParts(schedule=flow(10), target=mean))
    assert build(tiny_config(), spec, CustomParts(schedule=flow(9), target=mean)).target is mean


class Plain(torch.nn.Module):
    """A network with one output, or two, for each channel: the smallest that depends on x and t."""

    def __init__(self, factor=1):
        super().__init__()
        self.mix = torch.nn.Conv2d(1, factor, 3, padding=1)

    def forward(self, x, index):
        return 0.01 * (self.mix(x) + index[:, None, None, None])


class Halved(schedules.Schedule):
    """A custom schedule, which its file does not hold."""


SCHEDULES = {
    "linear": linear(6),
    "linear to another beta": linear(6, beta_end=0.01),
    "cosine": schedules.cosine(6),
    "sigmoid": schedules.sigmoid(6),
    "geometric": schedules.geometric(6, sigma_max=8.0),
    "karras": schedules.karras(6),
    "flow": flow(6),
    "betas": schedules.from_betas([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    "zero terminal SNR": schedules.zero_terminal(schedules.cosine(6)),
    "tables": schedules.Schedule([1.0, 0.9, 0.5, 0.2], [0.0, 0.4, 0.8, 1.0]),
    "a custom class": Halved([1.0, 0.5, 0.25], [0.0, 0.5, 0.75]),
}
TARGETS = {**targets.BY_NAME, "own": Target("half", lambda a, b: 0.5 * b, lambda a, b: -a)}


@pytest.mark.parametrize(
    ("schedule", "target", "learned"),
    [
        *((schedule, "v", False) for schedule in SCHEDULES),
        *((schedule, target, False) for schedule in ("linear", "flow") for target in TARGETS),
        *(("cosine", target, True) for target in ("eps", "own")),
    ],
)
def test_a_model_of_a_plain_loop_is_saved_loaded_and_sampled(schedule, target, learned, tmp_path):
    """Also where the last level holds no signal, so that ε and the score cannot be sampled from there."""
    denoiser = Diffusion(Plain(1 + learned), SCHEDULES[schedule], TARGETS[target], learned)
    before = ancestral.Model(denoiser, DataSpec((1, 4, 4), ancestral.data.IMAGES))
    before.save(tmp_path / "m.safetensors")
    parts = {"target": TARGETS[target]} if target == "own" else {}
    parts |= {"schedule": SCHEDULES[schedule]} if type(SCHEDULES[schedule]) is Halved else {}
    after = ancestral.load(tmp_path / "m.safetensors", "cpu", net=Plain(1 + learned), **parts)
    loaded, process = after.diffusion, after.config.process
    assert after.config == before.config
    assert (loaded.target, loaded.learned_variance) == (denoiser.target, learned)
    assert (process.target, process.learned_variance) == ("custom" if target == "own" else target, learned)
    assert torch.equal(loaded.schedule.signal, denoiser.schedule.signal)
    assert torch.equal(loaded.schedule.noise, denoiser.schedule.noise)
    assert (loaded.schedule.prior_std, process.timesteps) == (denoiser.schedule.prior_std, denoiser.schedule.steps)
    sampler = DDPM(variance="learned" if learned else "large", clip=1.0)
    singular = float(denoiser.schedule.signal[-1]) == 0 and target in ("eps", "score")
    for model in (before, after) if singular else ():
        with pytest.raises(InputError, match=f"the target {target} says nothing where signal is 0"):
            model.sample(2, sampler=sampler)
    if not singular:
        assert torch.equal(before.sample(2, sampler=sampler), after.sample(2, sampler=sampler))


@pytest.mark.parametrize(
    ("schedule", "process"),
    [
        (schedules.sigmoid(7), ProcessConfig("sigmoid", 7)),
        (schedules.zero_terminal(linear(7)), ProcessConfig("linear", 7, zero_terminal_snr=True)),
        (schedules.karras(7, 0.01, 9.0), ProcessConfig("karras", 7, sigma_min=0.01, sigma_max=9.0)),
        (schedules.karras(7, rho=5.0), ProcessConfig("custom", 7)),
        (SCHEDULES["tables"], ProcessConfig("custom", 3)),
    ],
)
def test_the_config_of_a_plain_loop_is_that_of_its_denoiser(schedule, process):
    """Also where a config was given that says otherwise."""
    denoiser = Diffusion(Plain(), schedule, targets.V)
    spec = DataSpec((1, 4, 4), ancestral.data.IMAGES)
    for config in (None, tiny_config(), dataclasses.replace(tiny_config(), process=ProcessConfig("karras"))):
        settings = ancestral.Model(denoiser, spec, config).config.process
        assert settings == dataclasses.replace(process, target="v")


@pytest.mark.long
def test_weights_of_any_float_type_sample(tiny_run):
    """float64 carries the state in float64; half precision is that of the network alone."""
    model = ancestral.load(tiny_run.path, "cpu")
    exact = model.sample(4, "ddpm", steps=5).float()
    for convert, dtype, state, error in [
        (Model.double, torch.float64, torch.float64, 1),
        (Model.bfloat16, torch.bfloat16, torch.float32, 8),
        (Model.half, torch.float16, torch.float32, 2),
        (Model.float, torch.float32, torch.float32, 2),  # the weights are rounded by now
        (
            lambda model: model.to("cpu", torch.float32),
            torch.float32,
            torch.float32,
            2,
        ),  # the weights are rounded by now
    ]:
        assert convert(model) is model
        assert {parameter.dtype for parameter in model.diffusion.parameters()} == {model.dtype} == {dtype}
        steps = list(model.trajectory(range(4), model.sampler("ddpm", steps=5)))
        assert {step.x.dtype for step in steps} == {state}
        assert (model.sample(4, "ddpm", steps=5).float() - exact).abs().max() <= error
    assert model.sample(4, steps=2, guidance=2.0).dtype == torch.uint8


def test_a_model_in_half_precision_is_saved_and_loaded(tiny_run, tmp_path):
    model = ancestral.load(tiny_run.path, "cpu").half()
    model.save(tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in storage.read_tensors(tmp_path / "half.safetensors")[0].values()} == {
        torch.float16
    }
    again = ancestral.load(tmp_path / "half.safetensors", "cpu")
    assert again.dtype == torch.float32
    assert torch.equal(again.sample(4, steps=3), model.to(torch.float32).sample(4, steps=3))


def test_a_condition_of_a_network_of_ones_own_is_given_to_sample():
    """One row for all items or one for each, by place, whatever the batches and the indices."""

    class Painted(nn.Module):
        def forward(self, x, index, colour):
            return colour[:, :, None, None].expand_as(x)

    model = Model(Diffusion(Painted(), schedules.linear(10), targets.X0), DataSpec((1, 2, 2), Codec("float")))
    colours = torch.tensor([[-0.5], [0.25], [0.75]])
    samples = model.sample(3, condition={"colour": colours}, batch_size=2, steps=2)
    torch.testing.assert_close(samples, colours[:, :, None, None].expand(3, 1, 2, 2))
    samples = model.sample(condition={"colour": colours}, indices=[9, 4, 9], steps=2)
    torch.testing.assert_close(samples[:, :, 0, 0], colours)
    assert model.sample(2, condition={"colour": colours[:1]}, steps=2).unique().tolist() == [-0.5]
    for bad, says in ((colours[:2], "1 or 3 rows"), (0.5, "a tensor with")):
        with pytest.raises(InputError, match=says):
            model.sample(3, condition={"colour": bad}, steps=2)


class Products:
    """x̂_0 is (1, 2) times angle + 2 low + 4 angle low, and half of that where the model is weak and knows no low."""

    def __init__(self, weak=False):
        self.schedule = linear(10)
        self.predict = self.half if weak else self.full

    def full(self, x_t, t, angle, low):
        value = angle[:, :1] + 2 * low[:, :1] + 4 * angle[:, :1] * low[:, :1]
        return targets.X0.solve(x_t, value * torch.tensor([1.0, 2.0]), *self.schedule.at(t))

    def half(self, x_t, t, angle):
        return targets.X0.solve(x_t, angle[:, :1] * torch.tensor([0.5, 1.0]), *self.schedule.at(t))


NUMBER, OTHER = Vector((0.0,), (1.0,)), Vector((9.0,), (1.0,))
WEAK = Model(Products(weak=True), DataSpec((2,), Codec("float"), conditions={"angle": NUMBER}))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 7),
        ({"guidance": 2}, 14),
        ({"guidance": {"low": 3}}, 1 + 3 * (7 - 1)),
        ({"guidance": {"low": 3, "angle": 1}}, 1 + 3 * (7 - 1)),
        ({"guidance": {"angle": 2, "low": 3}}, 2 * 1 + 3 * (7 - 1)),
        ({"guidance": {"low": 3, "angle": 2}}, 3 * 2 + 2 * (7 - 2)),
        ({"guidance": 2, "guidance_interval": (0.0, 1e-3)}, 7),
        ({"guidance": 2, "guidance_interval": (1e-3, 1e3)}, 14),
        ({"guidance": 2, "guidance_rescale": 0.5}, 0.5 * 7 + 0.5 * 14),
        ({"guidance": 3, "weak": WEAK}, 0.5 + 3 * (7 - 0.5)),
        ({"guidance": 3, "weak": WEAK, "guidance_rescale": 1}, 7),
    ],
    ids=str,
)
def test_each_guidance_of_sample_is_its_formula(options, expected):
    model = Model(Products(), DataSpec((2,), Codec("float"), conditions={"angle": NUMBER, "low": NUMBER}))
    samples = model.sample(2, DDIM(1, clip=None), given={"angle": 1.0, "low": 1.0}, **options)
    torch.testing.assert_close(samples, expected * torch.tensor([[1.0, 2.0]] * 2))


def test_models_of_a_clipped_loss_are_clipped_before_autoguidance():
    """Beyond the range of the data their x̂_0 means nothing: 5 and 3 are both 1, and their difference is none."""
    config = Config(PLAIN_LOOP, DataConfig(FROM_PYTHON), CustomNetConfig(), ProcessConfig(clip=True))
    strong, weak = (Model(Gaussian(linear(10), x0, 0.0), DataSpec((2,), Codec("float")), config) for x0 in (5.0, 3.0))
    samples = strong.sample(2, DDIM(1, clip=None), guidance=3, weak=weak)
    torch.testing.assert_close(samples, torch.ones(2, 2))


def test_another_schedule_or_target_than_that_of_the_file_is_refused(tmp_path):
    """It would sample another process from the same weights, without a word."""
    spec, file, net = DataSpec((2,), Codec("float")), tmp_path / "own.safetensors", MLP(2, width=16)
    mix = Target("mix", lambda a, b: b, lambda a, b: -a)
    for trained, other in [
        (schedules.cosine(100), linear(100)),
        (schedules.cosine(100), linear(1000)),
        (Halved([1.0, 0.5, 0.25], [0.0, 0.5, 0.75]), Halved([1.0, 0.5, 0.2], [0.0, 0.5, 0.75])),
        (flow(10), dataclasses.replace(flow(10), prior_std=2.0)),
    ]:
        Model(Diffusion(net, trained, mix), spec).save(file)
        with pytest.raises(InputError, match="was trained with another schedule"):
            ancestral.load(file, net=net, schedule=other, target=mix)
        assert ancestral.load(file, net=net, schedule=trained, target=mix).denoiser.schedule is trained
    swapped = dataclasses.replace(mix, p=mix.q, q=mix.p)
    with pytest.raises(InputError, match="was trained with another target mix"):
        ancestral.load(file, net=net, target=swapped)


def test_a_curve_of_ones_own_is_loaded_on_request(tmp_path):
    """A file has tables, and no code. They are enough for integer times; a model of continuous times says so."""
    t = torch.arange(11, dtype=torch.float64)
    schedule = schedules.Schedule(*schedules.curves.flow(t, 10), curve=lambda t: (1 - t / 10, t / 10))
    spec, file = DataSpec((2,), Codec("float")), tmp_path / "own.safetensors"
    Model(Diffusion(MLP(2, width=16), schedule), spec).save(file)
    assert torch.equal(ancestral.load(file, net=MLP(2, width=16)).denoiser.schedule.noise, schedule.noise)
    continuous = ancestral.Config(net=CustomNetConfig(), train=TrainConfig(continuous=True))
    Model(Diffusion(MLP(2, width=16), schedule), spec, continuous).save(file)
    with pytest.raises(InputError, match="a custom schedule, with a curve of its own: give it, schedule="):
        ancestral.load(file, net=MLP(2, width=16))
    assert ancestral.load(file, net=MLP(2, width=16), schedule=schedule).denoiser.schedule is schedule


def test_beside_a_condition_a_label_that_is_left_out_is_absent():
    config = tiny_config()
    spec = DataSpec((1, 8, 8), ancestral.data.IMAGES, ("a", "b"), conditions={"angle": Vector((0.0,), (1.0,))})
    model = ancestral.Model(build(config, spec), spec, config)
    assert read_conditioning(model.spec, None, {"angle": 1.0}).label == "none"
    assert read_conditioning(model.spec, None, {}).label is None
    assert read_conditioning(model.spec, "b", {"angle": 1.0}).label == "b"


# -- what is refused --------------------------------------------------------------------------------------------------


class Broken(DDIM):
    def advance(self, x, prediction, move, state):
        return x * float("nan"), state


def weaker(mean, **conditions):
    return Model(Gaussian(linear(10), mean, 1.0), DataSpec((len(mean),), Codec("float"), conditions=conditions))


REFUSALS = {
    "no samples": (lambda m: m.sample(0), "at least 1"),
    "no batch": (lambda m: m.sample(1, batch_size=0), "at least 1"),
    "too many steps": (lambda m: m.sample(1, steps=1001), "1 to 1000"),
    "no label": (lambda m: m.sample(1, label=[]), "names no class"),
    "half a label": (lambda m: m.sample(1, label=[1.5]), "label cannot be"),
    "no learned variance": (lambda m: m.sample(1, sampler="ddpm:variance=learned"), "did not learn its variance"),
    "steps twice": (lambda m: m.sample(1, sampler=DDIM(3), steps=5), "leave steps out"),
    "no numbers": (lambda m: m.sample(2, sampler=Broken(3)), "no finite numbers"),
    **{
        f"device {name}": (lambda m, name=name: ancestral.load(m.file, name), f"no device '{name}'")
        for name in ("cuda:99", "meta", "abacus")
    },
    "floats of four channels": (
        lambda m: Model(untrained((4, 8, 8)).denoiser, DataSpec((4, 8, 8), Codec("float"))).images(1),
        r"items of shape \(4, 8, 8\) are no grey, RGB or RGBA images",
    ),
    "no network": (
        lambda m: Model(Gaussian(linear(), torch.zeros(1, 8, 8), 1.0), m.spec).double(),
        "a Gaussian has no network",
    ),
    "a weaker model of other items": (
        lambda m: WEAK.sample(2, guidance=2, weak=weaker(torch.zeros(3))),
        r"weak is a model of items of shape \(3,\), not \(2,\)",
    ),
    "a weaker model of another condition": (
        lambda m: WEAK.sample(2, given={"angle": 1}, guidance=2, weak=weaker(torch.zeros(2), angle=OTHER)),
        "the weaker model is conditioned on angle as",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused(model, name):
    call, says = REFUSALS[name]
    with pytest.raises(InputError, match=says):
        call(model)


def test_a_further_wrapper_goes_around_those_before():
    twice = Conditioning(wrap=lambda denoiser: [denoiser]).wrapped(lambda denoiser: (denoiser,))
    assert twice.wrap("denoiser") == (["denoiser"],)
    assert Conditioning().wrapped(list).wrap("ab") == ["a", "b"]
