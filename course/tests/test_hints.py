"""Hints for wrong functions that no known mistake explains: the factor that is off, or the first wrong result."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from changed_solutions import changed_source
from own_cache import own_cache  # noqa: F401  # for all tests of this module
from test_lessons import judged

import ancestral_course as course
from ancestral_course.exercise import Exercise, judge
from ancestral_course.probing import Linear, Recorded, factor_hint

FACTORS = [
    (
        1,
        "forward_jump",
        "return kept.sqrt().float() * x_s + 1.4 * (1 - kept).sqrt().float() * eps",
        "the factor of eps is off: at s = 400, t = 1000 it is 1.4, not 1 (1.4 times everywhere). The factor of x_s",
    ),
    (
        1,
        "posterior_mean",
        "return x_0_weight * x_0 + x_t_weight**2 * x_t",
        "0.455 (its square), and right at t = 1. The factor of x_0 is right",
    ),
    (
        2,
        "jump",
        "return -factor * x_s + (b[t] ** 2 - factor**2 * b[s] ** 2).sqrt() * eps",
        "(the sign), and right at s = 0, t = 10",
    ),
    (3, "posterior", "return mean, 2 * beta * b[s] ** 2 / b[t] ** 2", "the variance is off"),
    (
        3,
        "kl_bits",
        "return 5 * (ratio - 1 - ratio.log() + (mean_q - mean_p) ** 2 / var_p) / (2 * math.log(2))",
        "5 times the right one",
    ),
    (
        4,
        "average",
        "mean = decay**2 * mean + (1 - decay**2) * weight\nreturn mean / (1 - decay ** (2 * len(weights)))",
        "the factor of weights[",
    ),
    (
        8,
        "bits_per_dim",
        "return -log_density / (dims * math.log(2)) + math.log2(255 / 3)",
        "the term without log_density is off",
    ),
    (
        10,
        "adams_bashforth_step",
        "eps = (1 + weight) * now.eps - 3 * weight * before.eps",
        "the factor of before.eps is off",
    ),
    (
        13,
        "posterior",
        "return mean + gain @ (2 * y - operator @ mean), covariance - gain @ operator @ covariance",
        "what y adds to the mean differs by up to 0.88. The covariance is right",
    ),
]
"""Lesson, function, its line with a wrong factor or relation that is no known mistake, and a part of the hint."""

SLIPS = [
    (1, "forward_jump", "return kept.sqrt() * x_s + (1 - kept).sqrt() * torch.randn_like(x_s)", "no random numbers"),
    (1, "forward_jump", "return (alpha_bar[t] / alpha_bar[s]).sqrt() * x_s", "(B, 1, 1, 1) for images"),
    (1, "forward_jump", "return alpha[s + 1 : t + 1].prod() * x_s", "index the tables with it"),
    (1, "l_simple_from_image", "return (eps - eps_hat).square().mean().item()", "without .item()"),
    (1, "l_simple_from_image", "return (eps - eps_hat).detach().square().mean()", "the gradient is lost"),
    (1, "l_simple_from_image", "return torch.as_tensor((eps - eps_hat).numpy() ** 2).mean()", "numpy knows no"),
    (1, "l_simple_from_image", "return ((eps - eps_hat) * (eps - eps_hat).detach()).mean()", "was detached"),
    (1, "l_simple_from_image", "return (eps - eps_hat + 0 * net(x_t, t)).square().mean()", "2 times, where 1"),
    (1, "l_simple_from_image", "return (eps - eps_hat).square()", "return a tensor of shape ()"),
    (1, "sampling_step", "return x_t + (z if t > 1 else 0)", "torch.where in place of if"),
    (2, "signal_and_noise", "return beta", "return the two tables"),
    (2, "snr_for_error", "return math.sqrt(error**-2 - std**-2)", "math is for numbers"),
    (3, "posterior", "return mean", "return the mean and the variance"),
    (4, "convert", "return new[0] * x_0 + new[1] * (answer - p * x_0) / q", "or 0/0"),
    (4, "convert", "return new[0] * x_0 + new[1] * (1 / q * answer - p / q * x_0)", "may be 0"),
    (5, "ddim_step", "variance = eta**2 * (1 - (a_t / a_s) ** 2)", "(the root of a negative number?"),
    (5, "ends_of_the_line", "u = u", "(B, 1) for points"),
    (6, "heun_step", "x0, eps = denoiser.predict(x, t).x0, denoiser.predict(x, t).eps", "3 times, where 2"),
    (7, "drop_labels", "labels[u < share] = -1", "Return new values"),
    (11, "gaussian_end", "return (x_t - b * s) / a", "infinite"),
    (11, "consistency_sample", "x = a * denoiser.predict(x, s).x0 + b * z", "takes times 1..T"),
    (12, "plan", "return patch, levels", "as many values as the text of the exercise names"),
    (12, "wiener", "return torch.fft.ifft2(a * power * torch.fft.fft2(x_t))", "real numbers"),
    (
        14,
        "systematic",
        "return torch.searchsorted(weights.cumsum(0), teeth).clamp(max=len(weights) - 1)",
        "at u = 0: of the weights [0.5, 0.5] it takes [0, 0], not [0, 1]",
    ),
    (
        15,
        "normals",
        "u = ((words >> np.uint64(32)).astype(float) + 1) / 2**32",
        "round u to float32 before its logarithm",
    ),
    (15, "sampled", 'answer = sum(network(tables["input_scale"][t - 1] * x, t - 1) for _ in range(2)) / 2', "10 times"),
    (17, "principal", "def principal(x, k):\n    return x.mean(0), (x.T @ x)[-k:]", "its columns are the directions"),
    (17, "principal", "def principal(x, k):\n    return (x.T @ x)[:, -k:]", "return the mean and W"),
    (
        19,
        "kernel_average",
        "def kernel_average(q, k, v):\n    scores = k @ q / len(q) ** 0.5\n"
        "    return scores.exp() @ v / scores.exp().sum()",
        "exp overflows",
    ),
    (
        19,
        "new_layers",
        "def new_layers(width, of_words):\n    return [nn.Linear(width, width)] * 4",
        "return a dictionary",
    ),
    (
        19,
        "new_layers",
        "def new_layers(width, of_words):\n    return dict.fromkeys(['q', 'k', 'v', 'out'], torch.zeros(width, width))",
        "make it an nn.Linear",
    ),
    (
        20,
        "fair_score",
        "def fair_score(members, x):\n    m, d = len(members), (members[:, None] - members).square().sum(-1).sqrt()\n"
        "    return (members - x).norm(dim=-1).mean(0) - d.sum((0, 1)) / (2 * m * (m - 1))",
        "no finite derivative",
    ),
    (20, "ensemble_loss", "members = torch.stack([net(c, noise) for noise in xi])", "3 times, where 1"),
    (
        20,
        "ensemble_loss",
        "members = net(c, xi.flatten(0, 1)).reshape(m, *x.shape)",
        "A row of c belongs to each member",
    ),
    (21, "forecast_moments", "return x", "the means (N, d) and the covariance (d, d)"),
    (21, "climatology", "return Q / (1 - A @ A.T)", "result["),
    (
        21,
        "roll_out",
        "rows = torch.cat([sample(*pair) for pair in zip(rows.split(N), noise.split(N), strict=True)])",
        "Give the members of all starts to one call",
    ),
    (21, "roll_out", "rows = sample(x, noise)", "Each member has its own row"),
    (21, "spread_over_error", "return ((m + 1) / m) ** 0.5 * spread / (2 * error)", "0.5 times the right one"),
    (21, "block_error", "means = scores.unfold(0, length, 1).mean(dim=1)", "result"),
]
"""Lesson, function, lines of a wrong one that is no known mistake and no linear one, and a part of the hint."""

NUMBERS = [lesson.number for lesson in course.LESSONS]
INPUTS = [
    (number, exercise, name)
    for number in NUMBERS
    for exercise in course.lesson_exercises(number)
    if isinstance(exercise, Exercise)
    if exercise.linear
    for name in exercise.linear.inputs.split(", ")
]


@pytest.mark.parametrize(("number", "name", "line", "hint"), FACTORS)
def test_a_wrong_factor_that_is_no_known_mistake_is_named_with_its_value(number, name, line, hint, tmp_path):
    verdict = judged(number, name, changed_source(number, name, line), tmp_path)
    assert verdict.passed is False
    assert hint in verdict.text, verdict.text
    assert "off by up to" not in verdict.text
    assert len(str(verdict)) < 260


@pytest.mark.parametrize(("number", "name", "lines", "hint"), SLIPS)
def test_a_slip_gets_its_hint(number, name, lines, hint, tmp_path):
    verdict = judged(number, name, changed_source(number, name, lines), tmp_path)
    assert verdict.passed is False
    assert hint in verdict.text, verdict.text
    assert "\n" not in str(verdict)


@pytest.mark.parametrize(
    ("number", "exercise", "name"), INPUTS, ids=lambda value: getattr(value, "name", None) or str(value)
)
def test_each_input_that_an_exercise_declares_is_found_if_its_factor_is_doubled(number, exercise, name):
    """And only this one: the reference is linear in what the exercise declares, at each of its calls."""
    argument, _, field = name.removesuffix("[]").partition(".")
    place = exercise.linear.arguments.split(", ").index(argument)

    def doubled(*arguments):
        arguments = list(arguments)
        old = arguments[place]
        arguments[place] = dataclasses.replace(old, **{field: 2 * getattr(old, field)}) if field else 2 * old
        return exercise.reference(*arguments)

    recorded = Recorded(exercise.reference)
    exercise.results(recorded)
    hint = factor_hint(exercise.linear, doubled, exercise.reference, recorded.calls, torch.allclose)
    wrong = hint.partition(". ")[0] if ". " in hint else hint
    assert wrong.startswith((f"the factor of {argument}", f"what {name} adds to")), hint
    assert "(2 times" in wrong or wrong.startswith("what"), hint
    others = {other.removesuffix("[]").partition(".")[0] for other in exercise.linear.inputs.split(", ")} - {argument}
    assert not re.findall(rf"(?:the factor of|what) (?:{'|'.join(others or '-')})\b", wrong), hint
    same = factor_hint(exercise.linear, exercise.reference, exercise.reference, recorded.calls, torch.allclose)
    assert same == ""


def line(x, y, t):
    return 2 * x + t * y + 1


LINE = Exercise(
    "line",
    "",
    line,
    lambda f: [f(torch.randn(3, generator=torch.Generator().manual_seed(k)), torch.ones(3), k) for k in (2, 5)],
    {},
    linear=Linear("x, y, t", inputs="x, y", at="t"),
)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (
            lambda x, y, t: 2 * x + 3 * y + 1,
            "the factor of y is off: at t = 5 it is 3, not 5 (0.6 times). The factor of x",
        ),
        (lambda x, y, t: 2 * x + t**2 * y + 1, "the factor of y is off: at t = 5 it is 25, not 5 (its square)"),
        (
            lambda x, y, t: 2 * x + t**0.5 * y + 1,
            "the factor of y is off: at t = 5 it is 2.24, not 5 (its square root)",
        ),
        (lambda x, y, t: 2 * x + y / t + 1, "the factor of y is off: at t = 5 it is 0.2, not 5 (upside down)"),
        (lambda x, y, t: 2 * x - t * y + 1, "the factor of y is off: at t = 5 it is -5, not 5 (the sign)"),
        (lambda x, y, t: t * x + 2 * y + 1, "the factors of x and y are swapped"),
        (lambda x, y, t: 2 * x + 1, "the term of y is missing. The factor of x and the term without x and y are right"),
        (lambda x, y, t: 2 * x + t * y, "the term without x and y is missing. The factors of x and y are right"),
        (lambda x, y, t: 2 * x + 2 * y + 1, "at t = 5 it is 2, not 5 (0.4 times), and right at t = 2"),
        (lambda x, y, t: 2 * x.flip(0) + t * y + 1, "what x adds to the result differs by up to"),
        (
            lambda x, y, t: x**2 + t * y + 1,
            "for x = -0.32, y = 1, t = 2, the result[2] is",
        ),  # not linear: the first wrong result
        (lambda x, y, t: 2 * x + t * y * y.mean() * x.mean() + 1, "for x = -0.32, y = 1, t = 2, the result[2] is"),
        (
            lambda x, y, t: 3 * line(x, y, t) if x.any() and y.any() else None,
            "3 times the right one",
        ),  # cannot be probed
    ],
)
def test_the_relation_to_the_right_factor_is_named_and_what_is_not_linear_is_answered_by_a_case(wrong, hint):
    verdict = judge(LINE, wrong)
    assert verdict.passed is False
    assert hint in verdict.text, verdict.text


def test_each_item_of_a_batch_has_its_own_time():
    def scaled(x, t):
        return t[:, None] * x

    exercise = Exercise(
        "scaled",
        "",
        scaled,
        lambda f: [f(torch.ones(3, 2), torch.tensor([1.0, 2.0, 4.0]))],
        {},
        linear=Linear("x, t", inputs="x", at="t"),
    )
    wrong = lambda x, t: torch.where(t == 4, t + 3, t)[:, None] * x  # noqa: E731
    assert (
        judge(exercise, wrong).text
        == "the factor of x is off: at t = 4 it is 7, not 4 (1.75 times), and right at t = 1"
    )


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda value: value**2, "each result is the square of the right one"),
        (lambda value: value**0.5, "each result is the square root of the right one"),
        (lambda value: -value, "each result has the wrong sign"),
        (lambda value: 1 / value, "each result is upside down"),
        (lambda value: 1 - value, "each result is 1 minus the right one"),
        (lambda value: value + 0.25, "each result is 0.25 too large"),
        (lambda value: 0.5, "it is the same whatever the arguments are"),
        (
            lambda value: value if value < 3 else 2 * value,
            "for u = 3, the result is 6.2, not 3.1 (2 times); 2 of 3 calls give",
        ),
    ],
)
def test_a_relation_of_all_results_is_named(change, hint):
    exercise = Exercise("number", "", lambda u: u + 0.1, lambda f: [f(u) for u in (1.0, 2.0, 3.0)], {})
    assert hint in judge(exercise, lambda u: change(u + 0.1)).text


def test_results_that_cannot_be_assigned_to_calls_keep_the_general_message():
    exercise = Exercise("sum", "", lambda u: u, lambda f: [f(1.0) + f(2.0)], {})
    assert "calls give" not in judge(exercise, lambda u: 2 * u).text
    late = Exercise("late", "", lambda u: u, lambda f: [f(1.0) if f(0.0) == 0 else f(1.0) + f(2.0)], {})
    assert judge(late, lambda u: u + 1).text.startswith("the result is off by up to 4;")


def test_arrays_of_numpy_are_probed_too():
    exercise = next(exercise for exercise in course.lesson_exercises(15) if exercise.name == "estimate")
    verdict = judge(exercise, lambda x, answer, t, tables: exercise.reference(x, np.sqrt(2) * answer, t, tables))
    assert "the factor of answer is off" in verdict.text
    assert "(1.41 times everywhere)" in verdict.text
