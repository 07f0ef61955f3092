"""The theory in JavaScript computes the numbers of the package, wherever Chromium is found."""

import dataclasses
import math
import shutil

import pytest
import torch

from ancestral import oracle, randomness, reverse, samplers, schedules, targets
from ancestral.conditions import Image
from ancestral.data.convert import to_uint8
from ancestral.data.spec import Codec
from ancestral.page.web_page import global_script
from ancestral.randomness import Stream
from ancestral.samplers.loop import spaced_times
from ancestral.scaling import Scale
from theory_js import DATA, SAMPLERS, SCHEDULES, SCRIPT, TARGETS, close, tensor

SETTINGS = [(name, {}) for name in SAMPLERS] + [
    ("ddim", {"eta": 0.5}),
    ("ddim", {"eta": 1.0}),
    ("ddpm", {"variance": "small"}),
    ("pc", {"variance": "small"}),
]
STEPS = [(2, 1), (2, 2), (10, 1), (10, 7), (10, 10), (1000, 1), (1000, 2), (1000, 7), (1000, 20), (1000, 70)]
"""T and the number of steps."""
FEW_STEPS = [(2, 2), (10, 7), (1000, 7)]
"""Those of `make test`; `make test-browser` takes the others too."""


def test_what_the_page_offers_is_in_the_package():
    """Those that the page has; a new sampler or target needs no JavaScript."""
    assert {*SCHEDULES} <= {*schedules.BY_NAME}
    assert {*SAMPLERS} <= {*samplers.BY_NAME}
    assert {*TARGETS} <= {*targets.BY_NAME}


@pytest.fixture(scope="module")
def js(request):
    """Evaluates a function of (A, argument), where A is the theory."""
    if not any(map(shutil.which, ("chromium", "google-chrome"))):
        pytest.skip("Chromium is not installed")
    pytest.importorskip("playwright", reason="playwright is not installed")
    page = request.getfixturevalue("chromium").new_page()
    page.add_script_tag(content=SCRIPT)
    yield lambda code, argument=None: page.evaluate(
        f"argument => {{ const A = Ancestral; return ({code})(A, argument); }}", argument
    )
    page.close()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [1, 2, 10, 37, 1000])
def test_schedules(js, name, T):
    expected = schedules.BY_NAME[name](T)
    code = """(A, [name, T]) => { const s = A.schedule(name, T), t = [...Array(T).keys()].map(i => i + 1); return {
        signal: [...s.signal], noise: [...s.noise], snr: t.map(s.snr), priorStd: s.priorStd,
        beta: t.map(i => s.forwardVariance(i, i - 1)), posterior: t.map(i => s.posteriorVariance(i, i - 1)) } }"""
    actual = js(code, [name, T])
    t = torch.arange(1, T + 1)
    close(actual["signal"], expected.signal)
    close(actual["noise"], expected.noise)
    close(actual["snr"], expected.snr[1:])
    close(actual["beta"], expected.beta[1:], atol=1e-10)
    close(actual["posterior"], expected.posterior_variance(t, t - 1), atol=1e-10)
    assert actual["priorStd"] == pytest.approx(expected.prior_std, rel=1e-12)


def test_options_of_schedules(js):
    code = "(A, [name, T, options]) => [...A.schedule(name, T, options).noise]"
    for name, options in [
        ("linear", {"beta_start": 1e-3, "beta_end": 0.01}),
        ("cosine", {"offset": 0.02, "max_beta": 0.5}),
        ("sigmoid", {"start": -2.0, "end": 4.0, "max_beta": 0.9}),
        ("geometric", {"sigma_min": 0.1, "sigma_max": 3.0}),
        ("karras", {"sigma_min": 0.1, "sigma_max": 3.0, "rho": 2.0}),
    ]:
        close(js(code, [name, 30, options]), schedules.BY_NAME[name](30, **options).noise)


@pytest.mark.parametrize("name", TARGETS)
def test_targets(js, name):
    x0, eps = tensor([[0.3, -0.7]]), tensor([[1.5, 0.2]])
    for a, b in [(1.0, 0.01), (0.6, 0.8), (0.0, 1.0), (1.0, 80.0)]:
        actual = js("(A, v) => [...A.target(...v)]", [name, x0[0].tolist(), eps[0].tolist(), a, b])
        close(actual, targets.BY_NAME[name].from_x0_eps(x0, eps, a, b)[0])


@pytest.mark.parametrize("points", DATA.values(), ids=DATA)
@pytest.mark.parametrize("name", SCHEDULES)
def test_denoiser(js, name, points):
    """Also at t = 1, where the softmax is sharp, and for x_t far from every point."""
    schedule, points = schedules.BY_NAME[name](1000), tensor(points)
    exact = oracle.Empirical(schedule, points)
    corners = tensor([[0.0, 0.0], [3.0, -2.5], [100.0, 7.0]])
    for t in (1, 2, 30, 400, 999, 1000):
        a, b = schedule.at(t)
        x = torch.cat([corners, a * points + b * torch.randn(len(points), 2, dtype=torch.float64)])
        code = """(A, [points, a, b, x]) => Object.fromEntries(
            Object.entries(A.denoise(points, a, b, x)).map(([name, values]) => [name, [...values]]))"""
        actual = js(code, [points.flatten().tolist(), a, b, x.flatten().tolist()])
        expected = exact.predict(x, t)
        close(actual["x0"], expected.x0.flatten(), atol=1e-6)
        close(actual["eps"], expected.eps.flatten(), rtol=1e-6, atol=1e-6)
        # the package expands the square, which rounds where the exponent is large
        close(actual["logDensity"], exact.log_density(x, t), rtol=1e-6, atol=1e-4)


def test_random_numbers_are_the_same_to_the_last_bit(js):
    settings = [(0, 0, 0, 2), (7, 1000, 0, 2), (999_999, 501, 4, 2), (2**53 - 1, 12.25, 1, 1), (3, 0.1, 0, 35)]
    for seed, step, draw, size in settings:
        code = """(A, [seed, step, draw, size]) =>
            [...A.normal(size, seed, "reverse", step, [...Array(500).keys()], draw)]"""
        actual = js(code, [seed, step, draw, size])
        expected = randomness.normal((size,), seed, Stream.REVERSE, step, range(500), draw=draw or None)
        assert torch.equal(tensor(actual), expected.double().flatten())
    for index in (999, 0, 49):
        actual = js("(A, index) => [0, 5, 123456].flatMap(item => [...A.networkNoise(33, 8, item, index)])", index)
        keys = randomness.keys(8, Stream.KEYS, 0, [0, 5, 123456])
        expected = randomness.normal_of(keys, (33,), torch.full((3,), index))
        assert torch.equal(tensor(actual), expected.double().flatten())
    for name in SCHEDULES:
        actual = js("(A, name) => [...A.prior(A.schedule(name, 1000), 2, 5, [...Array(300).keys()])]", name)
        expected = reverse.prior(schedules.BY_NAME[name](1000), (2,), 5, range(300))
        assert torch.equal(tensor(actual), expected.double().flatten())


@pytest.mark.parametrize("name", SCHEDULES)
def test_times(js, name):
    for T in (1, 2, 10, 1000):
        schedule = schedules.BY_NAME[name](T)
        counts = [n for n in (*range(1, 31), 50, 75, 99, 100, 333, 500, 999, 1000) if n <= T]
        for sampler in ("ddpm", "heun"):
            code = "(A, [name, T, sampler, counts]) => counts.map(n => A.times(A.schedule(name, T), sampler, n))"
            for actual, count in zip(js(code, [name, T, sampler, counts]), counts, strict=True):
                expected = samplers.from_name(sampler, steps=count).times(schedule)
                if (name, sampler) != ("karras", "heun"):
                    assert actual == expected
                # Even spacing of a curve that is even itself: of two times that are equally near, rounding decides.
                gap = (T - 1) / max(count - 1, 1)
                for i, (t, s) in enumerate(zip(actual, expected, strict=True)):
                    assert t == s or {t, s} == {math.floor(T - i * gap), math.ceil(T - i * gap)}
                    assert t == s or (T - i * gap) % 1 == pytest.approx(0.5)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "logsnr"])
def test_times_of_other_spacings(js, spacing):
    for name in ("linear", "cosine", "flow", "karras"):
        schedule, counts = schedules.BY_NAME[name](100), [99, 100] if spacing == "leading" else [1, 2, 7, 50, 99, 100]
        code = "(A, [name, spacing, counts]) => counts.map(n => A.times(A.schedule(name, 100), 'ddim', n, spacing))"
        expected = [spaced_times(schedule, count, spacing) for count in counts]
        assert js(code, [name, spacing, counts]) == expected


def expected_states(sampler, options, schedule, points, steps, x_T, seed):
    rule = samplers.from_name(sampler, steps=steps, **options)
    states = list(rule.trajectory(oracle.Empirical(schedule, points), x_T, seed=seed))
    return [state.t for state in states], torch.stack([torch.stack([state.x, state.x0]) for state in states])


TRAJECTORY = """(A, [schedule, T, sampler, options, points, steps, seed]) => {
    const s = A.schedule(schedule, T), x_T = A.prior(s, 2, seed, [...Array(12).keys()]);
    const states = [...A.trajectory({ denoiser: A.exact(s, points), sampler, options, steps, seed, x_T })];
    return { t: states.map(state => state.t), x: states.map(state => [[...state.x], [...state.x0]]),
             evaluations: states.at(-1).evaluations } }"""


@pytest.mark.parametrize(
    ("data", "numbers"),
    [("drawn", FEW_STEPS), *(pytest.param(data, STEPS, marks=pytest.mark.long) for data in DATA)],
)
@pytest.mark.parametrize(
    "name", [name if name in ("linear", "karras") else pytest.param(name, marks=pytest.mark.long) for name in SCHEDULES]
)
@pytest.mark.parametrize(("sampler", "options"), SETTINGS, ids=str)
def test_trajectories(js, name, sampler, options, data, numbers):
    """Every state of the reverse process, from the same x_T and the same noise. Data outside [-1, 1] are clipped."""
    points = DATA[data]
    for T, steps in numbers:
        schedule = schedules.BY_NAME[name](T)
        x_T = reverse.prior(schedule, (2,), 3, range(12)).double()
        times, expected = expected_states(sampler, options, schedule, tensor(points), steps, x_T, seed=3)
        actual = js(TRAJECTORY, [name, T, sampler, options, tensor(points).flatten().tolist(), steps, 3])
        assert actual["t"] == times
        close(actual["x"], expected.flatten(2), rtol=1e-6, atol=1e-4)
        assert actual["evaluations"] == samplers.from_name(sampler, steps=steps).nfe(schedule)


def test_trajectory_with_given_noise_and_without_clipping(js):
    schedule, points = schedules.flow(50), tensor(DATA["far"])
    x_T, z = torch.randn(9, 2, dtype=torch.float64), torch.randn(9, 2, dtype=torch.float64)
    rule = samplers.DDPM(steps=11, clip=None)
    expected = rule.sample(oracle.Empirical(schedule, points), x_T, noise=lambda shape: z)
    code = """(A, [points, x_T, z]) => [...[...A.trajectory({ sampler: "ddpm",
        denoiser: A.exact(A.schedule("flow", 50), points), steps: 11, x_T, noise: () => z, clip: null })].at(-1).x]"""
    close(js(code, [values.flatten().tolist() for values in (points, x_T, z)]), expected.flatten(), atol=1e-8)


@pytest.mark.browser
def test_items_are_coded_as_in_python_each_channel_from_its_range(chromium):
    """Also a constant channel, and what a network gets of a condition."""
    items = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0)) * 9 + 271
    ranges = ((270.0, 281.0), (271.5, 279.0), (5.0, 5.0))
    page = chromium.new_page()
    page.add_script_tag(content=global_script("page_images.js", "Ancestral"))
    kind = Image(3, (5.0, 281.0), (4, 5), ranges=ranges)
    of_channels = tuple(Scale.of(name, one) for name, one in zip(("log1p", "asinh", "quantile"), items, strict=True))
    scaled = [Codec("float", ranges=ranges, scaling=scales) for scales in (of_channels, (Scale.of("standard", items),))]
    for codec in (Codec("float", ranges=ranges), Codec("float", (270.0, 281.0)), Codec("uint8"), *scaled):
        values = items if codec.level is None else (items - 200).to(torch.uint8)
        answer = page.evaluate(
            """([values, codec]) => [Ancestral.encode(values, codec), Ancestral.decode(values.map(v => v / 300), codec),
                Ancestral.toBytes(values, codec)].map(part => [...part])""",
            [values.flatten().tolist(), dataclasses.asdict(codec)],
        )
        x = codec.encode(values[None])
        expected = (x, codec.decode(values.float()[None] / 300), to_uint8(values[None], codec.channel_limits))
        for ours, theirs in zip(answer, expected, strict=True):
            torch.testing.assert_close(
                torch.tensor(ours, dtype=torch.float32), theirs.flatten().float(), rtol=1e-5, atol=1e-5
            )
    described = {**dataclasses.asdict(kind), "codec": dataclasses.asdict(Codec("float", ranges=ranges))}
    code = "([values, kind]) => [...Ancestral.conditionInput(values, kind, [4, 5], [8, 10])]"
    given = page.evaluate(code, [items.flatten().tolist(), described])
    torch.testing.assert_close(torch.tensor(given), kind.encode(items[None], (8, 10)).flatten(), rtol=1e-5, atol=1e-5)
    page.close()
