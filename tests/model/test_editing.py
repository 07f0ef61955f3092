"""Editing: exact posteriors of known data, conditions that answer a measurement, and what users give."""

import pytest
import torch

from ancestral import derived, guidance, oracle, randomness, schedules
from ancestral.base.errors import InputError
from ancestral.conditions import Image, Vector
from ancestral.covariance import Covariance
from ancestral.data.spec import Codec, DataSpec
from ancestral.model import Model
from ancestral.model.editing import canvas_of
from ancestral.operators import Blur, Crop, Downsample, Linear, Mask
from ancestral.samplers import DDIM
from tiny_models import untrained

SHAPE = (1, 8, 8)
BYTES, FLOATS = DataSpec(SHAPE, Codec("uint8")), DataSpec(SHAPE, Codec("float"))
LEFT = torch.zeros(8, 8, dtype=torch.bool)
LEFT[:, :4] = True
SCHEDULE = schedules.cosine(1000)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def smooth():
    """Gaussian data with a covariance, in a range that is never clipped, and the covariance."""
    basis = torch.linalg.qr(draw(64, 64).double())[0]
    variances = 0.02 * torch.logspace(0, -2, 64).double()
    mean = torch.full((1, *SHAPE), 0.1).double()
    covariance = Covariance(basis, variances, 0.0)
    return Model(oracle.Gaussian(SCHEDULE, mean, variances.sqrt(), basis), FLOATS), covariance


@pytest.mark.parametrize("operator", [Mask(LEFT), Downsample(2), Crop((2, 1), (3, 5))], ids=["mask", "small", "crop"])
def test_samples_of_gaussian_data_are_those_of_the_exact_posterior(smooth, operator):
    model, covariance = smooth
    y = operator.apply(0.1 + 0.1 * draw(1, *SHAPE))
    y = y + 0.1 * draw(*y.shape, seed=1)
    exact = Model(model.denoiser.given(y, operator, 0.1), FLOATS)
    samples = model.restore(y, operator, 0.1, method="jfps", covariance=covariance, steps=10, decode=False)
    assert torch.allclose(torch.Tensor(samples), exact.sample(4, "ddim:eta=1", steps=10, decode=False), atol=1e-4)


def test_a_method_of_ones_own_wraps_the_denoiser(smooth):
    """The exact posterior is one, and makes its samples; also as an object, in inpainting, and without noise."""
    model, covariance = smooth
    y = Downsample(2).apply(0.1 + 0.1 * draw(1, *SHAPE))

    class Exact:
        def __call__(self, denoiser, y, operator, noise):
            assert denoiser.predict(torch.zeros(len(y), *SHAPE), 5).x0.shape == (len(y), *SHAPE)
            return model.denoiser.given(y[:1], operator, noise)

    samples = model.restore(y, Downsample(2), 0.1, method=Exact(), steps=10, decode=False)
    exact = Model(model.denoiser.given(y, Downsample(2), 0.1), FLOATS)
    assert torch.allclose(torch.Tensor(samples), exact.sample(4, "ddim:eta=1", steps=10, decode=False), atol=1e-4)
    assert samples.method.endswith(":test_a_method_of_ones_own_wraps_the_denoiser.<locals>.Exact")
    assert samples.reason == "It is a custom method."

    def jfps(denoiser, y, operator, noise):
        return guidance.Posterior(denoiser, y, operator, noise, "jfps", covariance)

    image = 0.1 + 0.1 * draw(*SHAPE)
    for noise in (0.0, 0.1):
        own, named = (
            model.inpaint(image, LEFT, 2, noise, method=method, covariance=covariance, steps=3)
            for method in (jfps, "jfps")
        )
        assert torch.equal(torch.Tensor(own), torch.Tensor(named))


def test_what_is_no_method_is_refused(smooth):
    model, _ = smooth
    for method, says in (
        (5, "method cannot be 5: give one of trained, ddnm, .*, or a function of .denoiser, y, operator, noise."),
        (lambda x: x, "or a function of .denoiser, y, operator, noise. that returns a denoiser"),
        (lambda denoiser, y, operator, noise: y, "<lambda> returned a Tensor, and a method returns a denoiser"),
    ):
        with pytest.raises(InputError, match=says):
            model.restore(draw(1, 1, 4, 4).clamp(-1, 1), Downsample(2), method=method, n=1, steps=2)


@pytest.mark.parametrize("method", ["jfps", "pigdm", "mmps", "ddnm"])
@pytest.mark.parametrize(
    "operator", [Mask(LEFT), Downsample(4), Blur(1.0) | Downsample(2)], ids=["mask", "smaller", "blur, smaller"]
)
def test_without_noise_samples_agree_with_the_measurement(smooth, method, operator):
    model, covariance = smooth
    y = operator.apply(0.1 + 0.1 * draw(1, *SHAPE))
    samples = model.restore(y, operator, n=2, method=method, covariance=covariance, decode=False)
    assert (operator.apply(torch.Tensor(samples)) - y).abs().max() <= 1e-4


def test_known_pixels_are_those_of_the_image_bit_for_bit():
    model = untrained(SHAPE)
    image = torch.randint(0, 256, SHAPE, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    samples = model.inpaint(image, ~LEFT, n=3, steps=3)
    assert samples.dtype == torch.uint8
    assert samples.shape == (3, *SHAPE)
    assert bool((samples[..., LEFT] == image[..., LEFT]).all())
    assert len({bytes(sample.numpy()) for sample in samples}) == 3
    assert samples.deviation.shape == (8, 8)
    assert bool((samples.deviation[LEFT] == 0).all())


@pytest.mark.parametrize("method", ["jfps", "pigdm", "mmps", "ddnm", "dps", "replacement", "repaint"])
def test_a_soft_mask_blends_the_samples_of_all_that_changes_with_the_image(method):
    model = untrained(SHAPE)
    image = torch.randint(0, 256, SHAPE, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    options = {"n": 2, "steps": 2, "method": method, "covariance": Covariance.isotropic(1.0)}
    hard = torch.Tensor(model.inpaint(image, ~LEFT, **options))
    shares = torch.tensor([0, 0, 0, 0, 0.25, 0.5, 0.75, 1]).expand(8, 8)
    grey = model.inpaint(image, shares, changes="grey", **options)
    softened = model.inpaint(image, ~LEFT, soften=3, **options)
    blended = torch.lerp(image.float(), hard.float(), shares)
    assert torch.equal(torch.Tensor(grey), torch.Tensor(softened))
    assert (torch.Tensor(grey).float() - blended).abs().max() <= 1
    assert bool((grey[..., LEFT] == image[..., LEFT]).all())
    assert "Soft edges: " in grey.reason
    assert "Soft edges: " not in model.inpaint(image, ~LEFT, soften=0, **options).reason


def test_samples_do_not_depend_on_the_batch_and_follow_their_measurements():
    """Up to what a network amplifies of the rounding of float32, which processors do in several ways."""
    model = untrained(SHAPE)
    y = Downsample(2).apply(draw(2, *SHAPE).clamp(-1, 1))
    together = model.restore(y, "upscale:2+noise:0.1", n=4, steps=3, decode=False)
    apart = model.restore(y, Downsample(2), 0.1, n=4, steps=3, decode=False, batch_size=1)
    assert torch.allclose(torch.Tensor(together), torch.Tensor(apart), atol=1e-4)
    single = model.restore(y[1], Downsample(2), 0.1, n=1, indices=[3], steps=3, decode=False)
    assert torch.allclose(torch.Tensor(single)[0], together[3], atol=1e-4)


def test_dps_takes_the_published_step_whatever_the_noise():
    """Its scale is its own, and the sampler does not clip what it moved."""
    model = untrained(SHAPE)
    y = Downsample(2).apply(draw(1, *SHAPE).clamp(-1, 1))
    samples = model.restore(y, Downsample(2), 0.1, n=1, method="dps", steps=3, decode=False)
    moved = Model(guidance.DPS(guidance.Clipped(model.denoiser), y, Downsample(2)), model.spec, model.config)
    assert torch.allclose(torch.Tensor(samples), moved.sample(1, DDIM(3, eta=1.0, clip=None), decode=False), atol=1e-5)


def known_condition(text):
    return {"known": Image(2, (0.0, 255.0), SHAPE[1:], masked=True, made_by=text)}


@pytest.mark.parametrize(
    ("conditions", "operator", "noise", "answered"),
    [
        (known_condition("mask"), Mask(LEFT), 0.0, True),
        (known_condition("mask"), Crop((0, 0), (8, 4)), 0.0, True),
        (known_condition("mask"), Mask(LEFT), 0.1, False),
        (known_condition("mask+noise:0.1"), Mask(LEFT), 0.1, True),
        (known_condition("mask+noise:0.1"), Mask(LEFT), 0.05, True),
        (known_condition("mask:left"), Mask(LEFT), 0.0, True),
        (known_condition("mask:left"), Mask(~LEFT), 0.0, False),
        (known_condition("mask"), Downsample(2), 0.0, False),
        ({"low": Image(1, (0.0, 255.0), (4, 4), made_by="upscale:2")}, Downsample(2), 0.0, True),
        ({"low": Image(1, (0.0, 255.0), (4, 4), made_by="upscale:2")}, Downsample(4), 0.0, False),
        ({"low": Image(1, (0.0, 255.0), (4, 4), made_by="blur:1+upscale:2")}, Blur(1.0) | Downsample(2), 0.0, True),
    ],
)
def test_auto_takes_a_condition_that_says_the_measurement(conditions, operator, noise, answered):
    model = untrained(SHAPE, conditions=conditions)
    y = operator.apply(draw(1, *SHAPE).clamp(-1, 1))
    edit = model.restore(y, operator, noise, n=1, steps=2)
    assert (edit.method == "trained") is answered
    assert edit.reason
    assert f"the condition {next(iter(conditions))} " in edit.reason or not answered
    if not answered:
        with pytest.raises(InputError, match="was not trained with a condition"):
            model.restore(y, operator, noise, n=1, steps=2, method="trained")


def test_a_condition_gets_what_it_had_in_training():
    """The denoiser sees the values that the degradation of the condition makes of the item itself."""
    seen = []

    class Spy(oracle.Gaussian):
        def predict(self, x_t, t, **condition):
            seen.append(condition)
            return super().predict(x_t, t)

    spec = DataSpec(SHAPE, Codec("uint8"), conditions=known_condition("mask:left"))
    model = Model(Spy(SCHEDULE, torch.zeros(1, *SHAPE), 0.5), spec)
    image = torch.randint(0, 256, SHAPE, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model.inpaint(image, ~LEFT, n=1, steps=2)
    values = derived.parse("mask:left").make(spec.codec.encode(image[None]), 0, 0, [0])
    assert torch.equal(seen[0]["known"], spec.further["known"].place(values, SHAPE[1:]))


LARGE = torch.randint(0, 256, (1, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("window", [(3, 5, 8, 8), (10, 2, 16, 16), (0, 0, 20, 20), (25, 15, 5, 5)], ids=str)
def test_a_chosen_window_is_edited_and_all_else_stays(window):
    """Samples of a window in the size of the model are those of its pixels, to the bit; an exact method is exact."""
    model, (x, y, width, height) = untrained(SHAPE), window
    inside = torch.zeros(20, 30, dtype=torch.bool)
    inside[y : y + height, x : x + width] = True
    mask = inside.clone()
    mask[:, : x + width // 2] = False
    cut, options = LARGE[:, y : y + height, x : x + width], {"n": 2, "steps": 2}
    for changed, edited, alone in (
        (mask, *(model.inpaint(image, part, **options, **at) for image, part, at in (
            (LARGE, ~inside | mask, {"window": window}), (cut, mask[inside].reshape(height, width), {})))),
        (inside, *(model.vary(image, 0.5, **options, **at) for image, at in (
            (LARGE, {"window": window}), (cut if width == 8 else LARGE[:, :8, :8], {})))),
    ):  # fmt: skip
        assert edited.shape == (2, 1, 20, 30)
        assert bool((edited[..., ~changed] == LARGE[..., ~changed]).all())
        assert not bool((edited[..., changed] == LARGE[..., changed]).all())
        assert f"at {x},{y} was edited" in edited.reason
        if width == 8:
            assert torch.equal(edited[..., y : y + 8, x : x + 8], torch.Tensor(alone))


def test_a_window_is_restored_as_its_pixels_are(smooth):
    model, (x, y) = untrained(SHAPE), (7, 11)
    options = {"n": 2, "steps": 2, "noise": 0.2}
    window, cut = (slice(None), slice(y, y + 8), slice(x, x + 8)), LARGE[:, y : y + 8, x : x + 8]
    edited = model.restore(LARGE, window=(x, y, 8, 8), **options)
    assert torch.equal(edited[(slice(None), *window)], torch.Tensor(model.restore(cut, **options)))
    outside = torch.ones(1, 20, 30, dtype=torch.bool)
    outside[window] = False
    assert bool((edited[:, outside] == LARGE[outside]).all())
    floats = 0.3 * draw(1, 20, 30)
    edited = smooth[0].restore(floats, "blur:1", 0.1, window="7,11,8,8", n=1, steps=2, covariance=smooth[1])
    alone = smooth[0].restore(floats[window], "blur:1", 0.1, n=1, steps=2, covariance=smooth[1])
    torch.testing.assert_close(edited[(slice(None), *window)], torch.Tensor(alone))
    soft = model.vary(LARGE, window=(0, 0, 16, 16), soften=2, n=1, steps=2)
    hard = model.vary(LARGE, window=(0, 0, 16, 16), n=1, steps=2)
    assert torch.equal(soft[..., :13, :13], hard[..., :13, :13])  # the border of the image is no edge
    assert "Soft edges: " in soft.reason


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("vary", {"window": 3}, "window cannot be 3: give whole numbers of pixels"),
        ("vary", {"window": (0, 0, 8.5, 8)}, "give x,y,width,height"),
        ("vary", {"window": (0, 0, 8, 8), "soften": "much"}, "soften='much': give a number of pixels"),
        ("restore", {"window": (0, 0, 16, 16), "noise": 0.1}, "a window of restore is not scaled.*a width of 8 and a"),
    ],
)
def test_windows_that_cannot_be_are_refused(task, options, message):
    with pytest.raises(InputError, match=message) as error:
        getattr(untrained(SHAPE), task)(LARGE, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("image", "extend", "shape", "starts"),
    [
        ((8, 8), "0,0,8,0", (8, 8), [(0, 4), (0, 8)]),
        ((8, 8), "3,0,0,0", (8, 8), [(0, 0)]),
        ((4, 4), "2,2,2,2", (8, 8), [(0, 0)]),
        ((4, 4), "0,0,2,0", (8, 8), [(-2, -1)]),
        ((20, 8), "0,0,4,0", (8, 8), [(0, 4), (4, 4), (8, 4), (12, 4)]),
        ((8, 8), "0,0,4,4", (8, 8), [(0, 4), (4, 0), (4, 4)]),
    ],
)
def test_windows_go_from_the_image_outward_and_overlap(image, extend, shape, starts):
    regions = canvas_of(extend, image).regions(shape)
    assert sorted(region.start for region in regions) == sorted(starts)
    unknown = canvas_of(extend, image).new
    for region in regions:
        assert torch.equal(region.mask, unknown)
        assert bool((~unknown & region.covered).any())  # something is known there
        unknown = unknown & ~region.covered
    assert not bool(unknown.any())


@pytest.mark.long
def test_an_extended_image_is_inpainted_window_by_window():
    """Each continues what those before it made, with noise of its own; the image stays to the bit."""
    model, options = untrained(SHAPE), {"steps": 2, "seed": 5}
    image = LARGE[:, :8, :10]
    samples = model.inpaint(image, extend=(3, 0, 9, 2), n=3, batch_size=1, **options)
    canvas = canvas_of("3,0,9,2", (8, 10))
    assert samples.shape == (3, 1, 10, 22)
    assert bool((samples[:, :, :8, 3:13] == image).all())
    regions = canvas.regions((8, 8))
    assert "The image of 8x10 was extended to 10x22 pixels by 9 windows of 8x8." in samples.reason
    assert (len(regions), samples.evaluations) == (9, 18)
    made = canvas.widened(image)
    for number, region in enumerate(regions):
        window = (region.start[1], region.start[0], 8, 8)
        seed = randomness.keys(5, randomness.Stream.WINDOW, number, [0]).item() & randomness.MASK
        of_window = {**options, "seed": seed, "window": window, "n": 1, "indices": [1]}
        made = torch.Tensor(model.inpaint(made, region.mask, **of_window))[0]
    assert torch.equal(torch.Tensor(samples)[1], made)
    deep = model.inpaint(image / 127.5 - 1, extend="0,0,4,0", n=1, steps=2)
    assert bool((deep[..., :10] == image).all())


def test_an_extended_image_of_a_markov_field_goes_on_as_the_field_does():
    """Given one column, the next do not depend on those before, so windows that know half an item know enough.

    The mean of the column at distance j is ρ^j times that of the image, across windows too, and what each window adds
    is not correlated.
    """
    rho, variance = 0.8, 0.04
    decay = rho ** (torch.arange(8)[:, None] - torch.arange(8)).abs().double()
    values, basis = torch.linalg.eigh(variance * torch.kron(decay, decay))
    model = Model(oracle.Gaussian(SCHEDULE, torch.zeros(1, *SHAPE).double(), values.sqrt(), basis), FLOATS)
    image = torch.full(SHAPE, 0.4)
    options = {"method": "jfps", "covariance": Covariance(basis, values, 0.0), "batch_size": 100}
    samples = torch.Tensor(model.inpaint(image, extend=(0, 0, 8, 0), n=200, **options)).double()
    distances = torch.arange(1, 9).double()
    assert (samples[:, 0, :, 8:].mean((0, 1)) - 0.4 * rho**distances).abs().max() < 0.03
    added = [samples[:, 0, :, column] - rho * samples[:, 0, :, column - 1] for column in (8, 9, 12, 13)]
    correlations = torch.corrcoef(torch.stack([column.flatten() for column in added]))
    assert (correlations - torch.eye(4)).abs().max() < 0.15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extend": (1, 0, -1, 0)}, "give left,top,right,bottom"),
        ({"extend": 4}, "extend cannot be 4: give whole numbers of pixels"),
        ({"extend": (0, 0, 4, 0), "window": (0, 0, 8, 8)}, "window has no effect with extend"),
    ],
)
def test_images_that_cannot_be_extended_are_refused(options, message):
    with pytest.raises(InputError, match=message) as error:
        untrained(SHAPE).inpaint(LARGE, **options)
    assert "\n" not in str(error.value)


def test_units_of_measurements():
    """Integers are in the units of the data and floats in [-1, 1]: both say the same."""
    model = untrained(SHAPE)
    image = torch.randint(0, 256, SHAPE, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    floats = BYTES.codec.encode(image)
    for operator in (Mask(LEFT), Linear(lambda x: x[..., :3])):
        y = image * LEFT if isinstance(operator, Mask) else image[..., :3]
        one = model.restore(y, operator, 0.1, n=1, steps=2, decode=False)
        two = model.restore(operator.apply(floats[None]), operator, 0.1, n=1, steps=2, decode=False)
        assert torch.allclose(torch.Tensor(one), torch.Tensor(two), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((draw(1, 1, 8, 8), Downsample(2)), "the operator makes"),
        ((draw(1, 1, 4, 4) * 100, Downsample(2)), "give floats in"),
        ((draw(1, 1, 4, 4) * float("nan"), Downsample(2)), "NaN or infinity"),
        ((draw(1, *SHAPE), Linear(torch.tanh), 0.1, 1, "jfps"), "the operator is not: .* is one of dps"),
        ((draw(1, *SHAPE).byte(), Linear(torch.tanh)), "not linear: give y as floats"),
        ((draw(1, 1, 4, 4), "upscale:2+noise:0.1", 0.2), "another: give one"),
        ((draw(1, 1, 4, 4), "grey"), "3 or 4 channels|RGB"),
    ],
)
def test_what_cannot_be_restored_is_refused_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        untrained(SHAPE).restore(*arguments)
    assert "\n" not in str(error.value)


def test_an_operator_that_is_not_linear_is_for_dps_and_methods_of_ones_own():
    model, calls = untrained(SHAPE), []

    def own(denoiser, y, operator, noise):
        calls.append((operator, noise))
        return denoiser if noise else guidance.DPS(denoiser, y, operator)

    operator, y = Linear(torch.tanh), torch.tanh(draw(1, *SHAPE))
    options = {"n": 1, "steps": 2, "decode": False}
    one, two = (torch.Tensor(model.restore(y, operator, method=method, **options)) for method in (own, "auto"))
    assert torch.equal(one, two)  # dps by itself
    model.restore(y, operator, 0.1, method=own, **options)
    assert calls == [(operator, 0.0), (operator, 0.1)]


# -- variations and walks ---------------------------------------------------------------------------------------------


def test_variations_leave_what_the_noise_leaves():
    model = untrained(SHAPE)
    image = torch.randint(0, 256, SHAPE, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    exact = Model(oracle.Empirical(SCHEDULE, BYTES.codec.encode(image[None])), BYTES)
    assert bool((torch.Tensor(exact.vary(image, 0.7, n=2)) == image).all())
    one = model.vary(image, 0.5, n=3, steps=4)
    assert one.evaluations == 2
    assert torch.equal(torch.Tensor(one)[2:], torch.Tensor(model.vary(image, 0.5, n=1, indices=[2], steps=4)))
    with pytest.raises(InputError, match="strength must be above 0"):
        model.vary(image, 0.0)


@pytest.fixture(scope="module")
def blobs():
    """A model of two classes, and of an angle that its network sees."""
    conditions = {"angle": Vector((0.0,), (1.0,))}
    return untrained(SHAPE, classes=("a", "b"), conditions=conditions)


@pytest.fixture(scope="module")
def exact():
    """A model of grey images, exact and quick."""
    return Model(oracle.Gaussian(SCHEDULE, torch.zeros(1, *SHAPE), 0.5), BYTES)


@pytest.mark.parametrize("t", [None, 400])
def test_the_ends_of_a_walk_are_the_images(exact, t):
    images = torch.randint(0, 256, (2, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    walk = torch.Tensor(exact.interpolate(*images, n=3, t=t))
    assert walk.shape == (3, *SHAPE)
    assert torch.equal(walk[0], images[0])
    assert torch.equal(walk[2], images[1])


def test_an_image_is_sampled_from_its_noise(exact):
    images = torch.randint(0, 256, (2, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    walk = exact.interpolate(*images, n=3, decode=False)
    assert torch.equal(BYTES.codec.decode(torch.Tensor(walk)[[0, 2]]), images)  # before they are set
    assert torch.equal(torch.Tensor(exact.reconstruct(exact.invert(images))), images)


@pytest.mark.long
def test_noise_is_found_given_what_an_image_is_conditioned_on(blobs):
    images = torch.randint(0, 256, (2, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x_T = blobs.invert(images, label=["a", "b"])
    back = torch.Tensor(blobs.reconstruct(x_T, label=["a", "b"]))
    assert (back.int() - images.int()).abs().max() <= 1  # random weights enlarge rounding on the way back
    others = blobs.reconstruct(x_T, label=["b", "a"], decode=False)
    assert not torch.allclose(torch.Tensor(others), BYTES.codec.encode(images), atol=1e-3)


def test_a_walk_between_conditions_has_the_samples_of_each_at_its_ends(blobs):
    options = {"sampler": "ddim:eta=0", "steps": 4, "decode": False}
    walk = torch.Tensor(blobs.interpolate(n=3, label=("a", "b"), given={"angle": [-1.0, 3.0]}, seed=5, **options))
    for place, label, angle in ((0, "a", -1.0), (2, "b", 3.0)):
        end = blobs.sample(1, label=label, given={"angle": angle}, seed=5, **options)
        assert torch.allclose(walk[place], end[0], atol=1e-5)
    middle = blobs.interpolate(n=3, label="a", given={"angle": [-1.0, 3.0]}, seed=5, **options)
    same = blobs.sample(1, label="a", given={"angle": 1.0}, seed=5, **options)
    assert torch.allclose(torch.Tensor(middle)[1], same[0], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.zeros(1, 8, 8), None), {}, "between two images"),
        ((None, None, 1), {}, "two ends"),
        ((None, None, 3, 40), {}, "give two"),
        ((None, None, 3), {"label": ["a", "b", "a"]}, "has 3 values"),
        ((torch.zeros(1, 9, 9), torch.zeros(1, 9, 9)), {}, "9x9"),
    ],
)
def test_walks_that_cannot_be_made_are_refused(blobs, arguments, options, message):
    with pytest.raises(InputError, match=message):
        blobs.interpolate(*arguments, **options)
