"""Lesson 1, DDPM from scratch: the jump, the posterior mean, L_simple, the time embedding, a sampling step."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ancestral_course.exercise import Counted, Exercise, Function, lost_gradient
from ancestral_course.probing import Linear
from ancestral_course.variants import seeded, whole

T = 1000
BETA = torch.cat([torch.zeros(1), torch.linspace(1e-4, 0.02, T)]).double()
ALPHA = 1 - BETA
ALPHA_BAR = torch.cumprod(ALPHA, 0)
BETA_TILDE = torch.cat([torch.zeros(1), BETA[1:] * (1 - ALPHA_BAR[:-1]) / (1 - ALPHA_BAR[1:])])


def _at(table: Tensor, t: Tensor) -> Tensor:
    return table[t].reshape(-1, 1, 1, 1)


def _images(count: int, seed: int, number: int = 2) -> list[Tensor]:
    draws = seeded(seed)
    return [torch.randn(count, 1, 24, 24, generator=draws) for _ in range(number)]


# exercise 1


def _jump(rule: Callable[..., Tensor]) -> Function:
    """The jump by a rule of x_s, ε, ᾱ_t/ᾱ_s, ᾱ_t, and the times."""
    return lambda x_s, s, t, eps: rule(x_s, eps, _at(ALPHA_BAR, t) / _at(ALPHA_BAR, s), _at(ALPHA_BAR, t), s, t)


def _jump_results(function: Function) -> list[Any]:
    x_s, eps = _images(3, seed=1)
    return [
        function(
            x_s,
            torch.tensor([0, whole(20, 10, 60), whole(400, 310, 500)]),
            torch.tensor([1, whole(300, 200, 450), 1000]),
            eps,
        )
    ]


FORWARD_JUMP = Exercise(
    "forward_jump",
    "x_t from x_s, for any two times s < t",
    reference=_jump(lambda x, eps, kept, whole, s, t: kept.sqrt() * x + (1 - kept).sqrt() * eps),
    results=_jump_results,
    mistakes={
        "you jump from time 0. Of ᾱ_t, only the factors after s belong to this jump.": _jump(
            lambda x, eps, kept, whole, s, t: whole.sqrt() * x + (1 - whole).sqrt() * eps
        ),
        "multiply x_s by the square root of ᾱ_t/ᾱ_s, as (4) does with √ᾱ_t.": _jump(
            lambda x, eps, kept, whole, s, t: kept * x + (1 - kept).sqrt() * eps
        ),
        "you take ᾱ_t/ᾱ_s for the factor of x_s. The factor is its square root.": _jump(
            lambda x, eps, kept, whole, s, t: kept * x + (1 - kept**2).sqrt() * eps
        ),
        "take the square root of both factors, as (4) does.": _jump(
            lambda x, eps, kept, whole, s, t: kept * x + (1 - kept) * eps
        ),
        "x_s already holds noise. The variance that is added is 1 minus the square of the factor of x_s.": _jump(
            lambda x, eps, kept, whole, s, t: kept.sqrt() * x + (1 - whole).sqrt() * eps
        ),
        "ᾱ_t/ᾱ_s is not ᾱ_{t−s}.": _jump(
            lambda x, eps, kept, whole, s, t: (
                _at(ALPHA_BAR, t - s).sqrt() * x + (1 - _at(ALPHA_BAR, t - s)).sqrt() * eps
            )
        ),
        "1 − … is the variance of the noise. Multiply eps by the standard deviation, its square root.": _jump(
            lambda x, eps, kept, whole, s, t: kept.sqrt() * x + (1 - kept) * eps
        ),
        "you take one step of the chain, with β_t. The jump makes all steps from s + 1 to t.": _jump(
            lambda x, eps, kept, whole, s, t: _at(ALPHA, t).sqrt() * x + _at(BETA, t).sqrt() * eps
        ),
        "signal and noise are swapped.": _jump(
            lambda x, eps, kept, whole, s, t: (1 - kept).sqrt() * x + kept.sqrt() * eps
        ),
        "the noise in x_s is scaled together with x_s, so the variance to add is not the difference of two 1 − ᾱ.": (
            _jump(lambda x, eps, kept, whole, s, t: kept.sqrt() * x + (whole / kept - whole).sqrt() * eps)
        ),
        "1 − ᾱ_t/ᾱ_s is negative in your function, and its root NaN. Divide ᾱ_t by ᾱ_s; the ratio is at most 1.": (
            _jump(lambda x, eps, kept, whole, s, t: kept**-0.5 * x + (1 - 1 / kept).sqrt() * eps)
        ),
        "divide by ᾱ_s, not by ᾱ_{s−1}: the first factor of this jump is α_{s+1}.": _jump(
            lambda x, eps, kept, whole, s, t: (
                (whole / _at(ALPHA_BAR, s - 1)).sqrt() * x + (1 - whole / _at(ALPHA_BAR, s - 1)).sqrt() * eps
            )
        ),
        "the variance is 1 minus the square of the factor of x_s, not 1 minus the factor.": _jump(
            lambda x, eps, kept, whole, s, t: kept.sqrt() * x + (1 - kept.sqrt()).sqrt() * eps
        ),
        "1 minus the factor of x_s is not the factor of eps. Their squares add up to 1.": _jump(
            lambda x, eps, kept, whole, s, t: kept.sqrt() * x + (1 - kept.sqrt()) * eps
        ),
        "the square of √(ᾱ_t/ᾱ_s) is ᾱ_t/ᾱ_s: you square once too often in the variance.": _jump(
            lambda x, eps, kept, whole, s, t: kept.sqrt() * x + (1 - kept**2).sqrt() * eps
        ),
        "multiply x_s by √(ᾱ_t/ᾱ_s); you divide.": _jump(
            lambda x, eps, kept, whole, s, t: kept**-0.5 * x + (1 - kept).sqrt() * eps
        ),
        "the noise eps is missing.": _jump(lambda x, eps, kept, whole, s, t: kept.sqrt() * x),
        "add the noise; you subtract it.": _jump(
            lambda x, eps, kept, whole, s, t: kept.sqrt() * x - (1 - kept).sqrt() * eps
        ),
    },
    linear=Linear("x_s, s, t, eps", inputs="x_s, eps", at="s, t"),
)

# exercise 2


def _product_of_gaussians(x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """The mean of q(x_{t−1} | x_0) q(x_t | x_{t−1}), from precisions (1/variance) and not from (7).

    It is not a number at t = 1, where the precision of the clean image is infinite.
    """
    clean, noisy = 1 / (1 - _at(ALPHA_BAR, t - 1)), _at(ALPHA, t) / _at(BETA, t)
    mean = clean * _at(ALPHA_BAR, t - 1).sqrt() * x_0 + noisy * x_t / _at(ALPHA, t).sqrt()
    return mean / (clean + noisy)


def _mean_of_step(x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """The mean of x_{t−1}; x_0 itself at t = 1."""
    return _product_of_gaussians(x_0, x_t, t).where(t.reshape(-1, 1, 1, 1) > 1, x_0.double())


def _weighted(rule: Callable[..., tuple[Tensor, Tensor]], beta: Tensor = BETA, alpha: Tensor = ALPHA) -> Function:
    """The posterior mean with weights by a rule of 1 − ᾱ_t, β_t, α_t, ᾱ_t and ᾱ_{t−1}."""

    def mean(x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        tables = (1 - ALPHA_BAR, beta, alpha, ALPHA_BAR)
        of_x_0, of_x_t = rule(*(_at(table, t) for table in tables), _at(ALPHA_BAR, t - 1))
        return of_x_0 * x_0 + of_x_t * x_t

    return mean


def _by_7(v: Tensor, b: Tensor, a: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    return B.sqrt() * b / v, a.sqrt() * (1 - B) / v


def _posterior_results(function: Function) -> list[Any]:
    x_0, x_t = _images(4, seed=2)
    return [function(x_0, x_t, torch.tensor([2, whole(20, 10, 60), whole(700, 500, 900), 1]))]


POSTERIOR_MEAN = Exercise(
    "posterior_mean",
    "the mean of x_{t−1} given x_t and x_0, by (7)",
    reference=_mean_of_step,
    results=_posterior_results,
    rtol=2e-6,  # √α_t and √α_{t−1} differ by 1e-5
    atol=3e-6,
    rounding=1e-3,
    mistakes={
        "the two weights are swapped: the one with β_t belongs to x_0.": _weighted(
            lambda v, b, a, A, B: (a.sqrt() * (1 - B) / v, B.sqrt() * b / v)
        ),
        "the weight of x_0 has ᾱ_{t−1}, not ᾱ_t.": _weighted(
            lambda v, b, a, A, B: (A.sqrt() * b / v, a.sqrt() * (1 - B) / v)
        ),
        "the weight of x_t has 1 − ᾱ_{t−1}, not 1 − ᾱ_t.": _weighted(
            lambda v, b, a, A, B: (B.sqrt() * b / v, a.sqrt())
        ),
        "take the square root of ᾱ_{t−1} in the weight of x_0, and of α_t in that of x_t.": _weighted(
            lambda v, b, a, A, B: (B * b / v, a * (1 - B) / v)
        ),
        "divide both weights by 1 − ᾱ_t.": _weighted(lambda v, b, a, A, B: (B.sqrt() * b, a.sqrt() * (1 - B))),
        "the weight of x_t has α_t, not ᾱ_t.": _weighted(
            lambda v, b, a, A, B: (B.sqrt() * b / v, A.sqrt() * (1 - B) / v)
        ),
        "take the square root of ᾱ_{t−1} in the weight of x_0.": _weighted(
            lambda v, b, a, A, B: (B * b / v, a.sqrt() * (1 - B) / v)
        ),
        "take the square root of α_t in the weight of x_t.": _weighted(
            lambda v, b, a, A, B: (B.sqrt() * b / v, a * (1 - B) / v)
        ),
        "divide both weights by 1 − ᾱ_t, not by 1 − ᾱ_{t−1}.": _weighted(
            lambda v, b, a, A, B: (B.sqrt() * b / (1 - B), a.sqrt())
        ),
        "divide the weight of x_0 by 1 − ᾱ_t, too.": _weighted(
            lambda v, b, a, A, B: (B.sqrt() * b, a.sqrt() * (1 - B) / v)
        ),
        "divide the weight of x_t by 1 − ᾱ_t, too.": _weighted(
            lambda v, b, a, A, B: (B.sqrt() * b / v, a.sqrt() * (1 - B))
        ),
        "add both terms; you subtract the term of x_t.": _weighted(
            lambda v, b, a, A, B: (B.sqrt() * b / v, -a.sqrt() * (1 - B) / v)
        ),
        "divide by 1 − ᾱ_t itself, not by its square root.": _weighted(
            lambda v, b, a, A, B: (B.sqrt() * b / v.sqrt(), a.sqrt() * (1 - B) / v.sqrt())
        ),
        "β_t has no square root in (7).": _weighted(lambda v, b, a, A, B: ((B * b).sqrt() / v, a.sqrt() * (1 - B) / v)),
        "the weight of x_t has 1 − ᾱ_{t−1}, not ᾱ_{t−1}.": _weighted(
            lambda v, b, a, A, B: (B.sqrt() * b / v, a.sqrt() * B / v)
        ),
        "the index of β is t, not t − 1.": _weighted(_by_7, beta=BETA.roll(1)),
        "the index of α in the weight of x_t is t, not t − 1.": _weighted(_by_7, alpha=ALPHA.roll(1)),
        "all times are off by one: entry 0 of the tables belongs to the clean image, so β_t is beta[t].": (
            lambda x_0, x_t, t: _weighted(_by_7)(x_0, x_t, t - 1)
        ),
        "right for t > 1, but not a number at t = 1: 1 − ᾱ_0 is 0, and you divide by it. (7) divides by 1 − ᾱ_t.": (
            _product_of_gaussians
        ),
    },
    linear=Linear("x_0, x_t, t", inputs="x_0, x_t", at="t"),
)

# exercise 3


def _loss(rule: Callable[..., Tensor]) -> Function:
    """A loss by a rule of net, x_0, x_t, t, ε, √ᾱ_t and √(1 − ᾱ_t)."""

    def loss(net: Function, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        signal, noise = _at(ALPHA_BAR, t).sqrt(), _at(1 - ALPHA_BAR, t).sqrt()
        return rule(net, x_0, signal * x_0 + noise * eps, t, eps, signal, noise)

    return loss


def _guess(x: Tensor, t: Tensor, slope: Tensor | float = 0.7) -> Tensor:
    """A network's estimate of x_0, whose error has a mean other than 0. It differs from one time to the next."""
    return slope * x + 0.1 * torch.sin(t.to(x.dtype)).reshape(-1, 1, 1, 1) + 0.1


def _batch() -> tuple[Tensor, Tensor, Tensor]:
    x_0, eps = _images(64, seed=3)
    return x_0, torch.randint(1, T + 1, (64,), generator=seeded(3)), eps


def _loss_results(function: Function) -> list[Any]:
    return [function(_guess, *_batch())]  # the closed form: the mean of SNR_t (x_0 − x̂_0)²


def _can_be_trained(function: Function) -> str:
    """The hint for a loss without a gradient with respect to the network, or with needless evaluations; or ""."""
    net = Counted(_guess)
    function(net, *_batch())
    return net.needless(1) or lost_gradient(
        lambda slope: function(lambda x, t: _guess(x, t, slope), *_batch()),
        lambda slope: _true_loss(lambda x, t: _guess(x, t, slope), *_batch()),
        torch.tensor(0.7),
    )


_true_loss = _loss(lambda net, x_0, x, t, eps, a, b: (a / b * (x_0 - net(x, t))).square().mean())


L_SIMPLE_FROM_IMAGE = Exercise(
    "l_simple_from_image",
    "L_simple for a network that predicts x_0",
    reference=_true_loss,
    results=_loss_results,
    demand=_can_be_trained,
    mistakes={
        "this is the error of the image. (14) asks for the error of the noise that follows from it.": _loss(
            lambda net, x_0, x, t, eps, a, b: (x_0 - net(x, t)).square().mean()
        ),
        "divide by the standard deviation √(1 − ᾱ_t) of the noise, not by its variance.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - a * net(x, t)) / b**2).square().mean()
        ),
        "the image in x_t is √ᾱ_t x_0: multiply x̂_0 by the square root of ᾱ_t before you subtract it from x_t.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - net(x, t)) / b).square().mean()
        ),
        "take the mean over all pixels, not the sum over the pixels of an image.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - a * net(x, t)) / b).square().sum((1, 2, 3)).mean()
        ),
        "the image in x_t is √ᾱ_t x_0: multiply x̂_0 by the square root of ᾱ_t, not by ᾱ_t.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - a**2 * net(x, t)) / b).square().mean()
        ),
        "the noise in x_t is √(1 − ᾱ_t) ε: divide by this factor.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - a * net(x, t))).square().mean()
        ),
        "the network sees x_t, not x_0.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - a * net(x_0, t)) / b).square().mean()
        ),
        "the network gets the time t, that of x_t, not t − 1.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - a * net(x, t - 1)) / b).square().mean()
        ),
        "take the mean over all pixels, not the sum.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - a * net(x, t)) / b).square().sum()
        ),
        "this compares ε with the network's output itself, which is an image here.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - net(x, t)).square().mean()
        ),
        "square the errors first, then take their mean.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - a * net(x, t)) / b).mean().square()
        ),
        "the sign of your ε̂ is wrong: ε̂ = (x_t − √ᾱ_t x̂_0)/√(1 − ᾱ_t).": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps + (x - a * net(x, t)) / b).square().mean()
        ),
        "subtract the image from x_t to find the noise; you add it.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x + a * net(x, t)) / b).square().mean()
        ),
        "your loss is 0 for every network. The estimate x̂_0 is net(x_t, t), not the true x_0.": _loss(
            lambda net, x_0, x, t, eps, a, b: torch.zeros(())
        ),
        "divide the whole bracket x_t − √ᾱ_t x̂_0 by √(1 − ᾱ_t), not the second term alone.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - x + a * net(x, t) / b).square().mean()
        ),
        "x_t − x̂_0 is not the noise: by (4), x_t has the factors √ᾱ_t and √(1 − ᾱ_t).": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - net(x, t))).square().mean()
        ),
        "you take the network's output for the noise. Here net(x_t, t) is the image.": _loss(
            lambda net, x_0, x, t, eps, a, b: (x_0 - (x - b * net(x, t)) / a).square().mean()
        ),
        "this is the error of the image times √ᾱ_t. (14) asks for the error of the noise.": _loss(
            lambda net, x_0, x, t, eps, a, b: (a * (x_0 - net(x, t))).square().mean()
        ),
        "the error has to be squared.": _loss(
            lambda net, x_0, x, t, eps, a, b: (eps - (x - a * net(x, t)) / b).abs().mean()
        ),
    },
)

# exercise 4

HALF = 8


def _times() -> tuple[Tensor, int]:
    """Times, and the number of steps by which the embedding is turned."""
    return torch.tensor([1, whole(7, 3, 20), whole(480, 300, 900)]), whole(3, 2, 9)


def _frequencies(divisor: int = HALF - 1) -> Tensor:
    return torch.tensor([10000 ** (-i / divisor) for i in range(HALF)], dtype=torch.float64)


def _turned(rule: Callable[..., tuple[Tensor, Tensor]], divisor: int = HALF - 1) -> Function:
    """The embedding by a rule of sin u, cos u, sin v and cos v, for u = t f and v = k f."""

    def turn(embedding: Tensor, k: int) -> Tensor:
        sin, cos = embedding.double().chunk(2, dim=1)
        angle = k * _frequencies(divisor)
        return torch.cat(rule(sin, cos, angle.sin(), angle.cos()), dim=1)

    return turn


def _of_sum(embedding: Tensor, k: int) -> Tensor:
    """The sines and cosines of t + k in float64, without the addition theorems."""
    angle = (_times()[0][:, None] + k) * _frequencies()
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _turn_results(function: Function) -> list[Any]:
    times, k = _times()
    angle = times[:, None] * _frequencies()
    return [function(torch.cat([angle.sin(), angle.cos()], dim=1).float(), k)]


TURN = Exercise(
    "turn",
    "the time embedding of t + k from that of t",
    reference=_of_sum,
    results=_turn_results,
    mistakes={
        "you turn backwards: this is the embedding of t − k. Look at the signs.": _turned(
            lambda s, c, sk, ck: (s * ck - c * sk, c * ck + s * sk)
        ),
        "the halves are swapped: sines come first.": _turned(lambda s, c, sk, ck: (c * ck - s * sk, s * ck + c * sk)),
        "sines and cosines alternate in your result. The embedding has all sines first.": lambda embedding, k: (
            torch.stack(_of_sum(embedding, k).chunk(2, dim=1), 2).flatten(1)
        ),
        "the frequencies are 10000^(−i/(half − 1)), not 10000^(−i/half).": _turned(
            lambda s, c, sk, ck: (s * ck + c * sk, c * ck - s * sk), divisor=HALF
        ),
        "this is the embedding of k. Combine it with that of t.": _turned(
            lambda s, c, sk, ck: (sk.expand_as(s), ck.expand_as(c))
        ),
        "the sign in the cosine's formula is a minus.": _turned(
            lambda s, c, sk, ck: (s * ck + c * sk, c * ck + s * sk)
        ),
        "the sign in the sine's formula is a plus.": _turned(lambda s, c, sk, ck: (s * ck - c * sk, c * ck - s * sk)),
        "the cosine needs the sine of t. Yours was replaced by the sine of t + k before.": _turned(
            lambda s, c, sk, ck: (s * ck + c * sk, c * ck - (s * ck + c * sk) * sk)
        ),
        "angles add up, sines do not: use the addition theorems of sine and cosine.": _turned(
            lambda s, c, sk, ck: (s + sk, c + ck)
        ),
        "you split the embedding the wrong way round: its first half are the sines.": _turned(
            lambda s, c, sk, ck: (c * ck + s * sk, s * ck - c * sk)
        ),
        "you take every other entry for a sine. The first half of the embedding are the sines.": lambda embedding, k: (
            _turned(lambda s, c, sk, ck: (s * ck + c * sk, c * ck - s * sk))(
                torch.cat([embedding[:, 0::2], embedding[:, 1::2]], dim=1), k
            )
        ),
        "each pair turns by its own angle, k f_i; yours all turn by k.": _turned(
            lambda s, c, sk, ck: (
                s * math.cos(_times()[1]) + c * math.sin(_times()[1]),
                c * math.cos(_times()[1]) - s * math.sin(_times()[1]),
            )
        ),
    },
)

# exercise 5


def _numerator(x_t: Tensor, eps_hat: Tensor, A: Tensor) -> Tensor:
    return x_t - (1 - A).sqrt() * eps_hat


def _step(rule: Callable[..., Tensor], numerator: Callable[..., Tensor] = _numerator) -> Function:
    """A step by a rule of the posterior mean as a function of x_0, x̂_0, its numerator, z, β_t and β̃_t."""

    def step(x_t: Tensor, t: Tensor, eps_hat: Tensor, z: Tensor) -> Tensor:
        def mean(x_0: Tensor) -> Tensor:
            of_x_0 = _at(ALPHA_BAR, t - 1).sqrt() * _at(BETA, t) * x_0
            return (of_x_0 + _at(ALPHA, t).sqrt() * (1 - _at(ALPHA_BAR, t - 1)) * x_t) / (1 - _at(ALPHA_BAR, t))

        image = numerator(x_t, eps_hat, _at(ALPHA_BAR, t))
        return rule(mean, image / _at(ALPHA_BAR, t).sqrt(), image, z, _at(BETA, t), _at(BETA_TILDE, t))

    return step


def _right_step(mean: Function, x_0: Tensor, image: Tensor, z: Tensor, b: Tensor, tilde: Tensor) -> Tensor:
    step: Tensor = mean(x_0.clamp(-1, 1)) + tilde.sqrt() * z
    return step


def _step_results(function: Function) -> list[Any]:
    x_t, eps_hat, z = _images(4, seed=4, number=3)
    eps_hat[3] = 2 * x_t[3]  # at t = 1000, so that x̂_0 has no rounding errors, divided by √ᾱ_t, between −1 and 1
    return [function(x_t, torch.tensor([1, 2, whole(300, 200, 450), 1000]), eps_hat, z)]


SAMPLING_STEP = Exercise(
    "sampling_step",
    "x_{t−1} from x_t with a clipped x̂_0 and the variance β̃_t",
    reference=_step(_right_step),
    results=_step_results,
    rtol=2e-6,
    atol=3e-6,
    rounding=1e-3,
    mistakes={
        "x̂_0 is not clipped to [−1, 1].": _step(lambda mean, x_0, image, z, b, tilde: mean(x_0) + tilde.sqrt() * z),
        "you clip the mean. Clip x̂_0, before the mean is taken.": _step(
            lambda mean, x_0, image, z, b, tilde: mean(x_0).clamp(-1, 1) + tilde.sqrt() * z
        ),
        "you clip the result. Clip x̂_0, before the mean is taken.": _step(
            lambda mean, x_0, image, z, b, tilde: (mean(x_0) + tilde.sqrt() * z).clamp(-1, 1)
        ),
        "the noise has the standard deviation √β̃_t, not β̃_t.": _step(
            lambda mean, x_0, image, z, b, tilde: mean(x_0.clamp(-1, 1)) + tilde * z
        ),
        "the variance here is β̃_t, not β_t.": _step(
            lambda mean, x_0, image, z, b, tilde: mean(x_0.clamp(-1, 1)) + b.sqrt() * z
        ),
        "the noise z is missing.": _step(lambda mean, x_0, image, z, b, tilde: mean(x_0.clamp(-1, 1))),
        "this is the step of section 10. Clip x̂_0, and take β̃_t in the place of β_t.": _step(
            lambda mean, x_0, image, z, b, tilde: mean(x_0) + b.sqrt() * z
        ),
        "divide x̂_0 by √ᾱ_t, before you clip it.": _step(
            lambda mean, x_0, image, z, b, tilde: mean(image.clamp(-1, 1)) + tilde.sqrt() * z
        ),
        "this is x̂_0. One step goes from x_t to x_{t−1}: take the posterior mean.": _step(
            lambda mean, x_0, image, z, b, tilde: x_0.clamp(-1, 1)
        ),
        "the mean of the step is the posterior mean (7), not x̂_0 itself.": _step(
            lambda mean, x_0, image, z, b, tilde: x_0.clamp(-1, 1) + tilde.sqrt() * z
        ),
        "pixels go from −1 to 1; you clip x̂_0 to [0, 1].": _step(
            lambda mean, x_0, image, z, b, tilde: mean(x_0.clamp(0, 1)) + tilde.sqrt() * z
        ),
        "the noise has the standard deviation √β̃_t, not β_t.": _step(
            lambda mean, x_0, image, z, b, tilde: mean(x_0.clamp(-1, 1)) + b * z
        ),
        "x̂_0 is x_t minus the noise; you add √(1 − ᾱ_t) ε̂.": _step(
            _right_step, lambda x_t, eps_hat, A: x_t + (1 - A).sqrt() * eps_hat
        ),
        "the noise in x_t has the factor √(1 − ᾱ_t), not 1 − ᾱ_t.": _step(
            _right_step, lambda x_t, eps_hat, A: x_t - (1 - A) * eps_hat
        ),
        "divide x̂_0 by √ᾱ_t, not by ᾱ_t.": _step(
            _right_step, lambda x_t, eps_hat, A: _numerator(x_t, eps_hat, A) / A.sqrt()
        ),
        "you add new noise to x̂_0 by (4) and forget x_t. The reverse step needs the posterior mean (7).": (
            lambda x_t, t, eps_hat, z: (
                _at(ALPHA_BAR, t - 1).sqrt()
                * (_numerator(x_t, eps_hat, _at(ALPHA_BAR, t)) / _at(ALPHA_BAR, t).sqrt()).clamp(-1, 1)
                + (1 - _at(ALPHA_BAR, t - 1)).sqrt() * z
            )
        ),
    },
    linear=Linear("x_t, t, eps_hat, z", inputs="x_t, eps_hat, z", at="t", size=1e-4),
)

EXERCISES = (FORWARD_JUMP, POSTERIOR_MEAN, L_SIMPLE_FROM_IMAGE, TURN, SAMPLING_STEP)
