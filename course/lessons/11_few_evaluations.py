# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Few evaluations
#
# Lesson 6 brought the number of network evaluations for a sample down from 1,000 to about 20, by a better sampler
# for the same network. Fewer than that needs *another network*, one whose estimate after a single evaluation is a
# sample already. It is trained from the first network, and this is called **distillation**. In this lesson you will see
#
# * why an ordinary network needs many evaluations: the paths from noise to data are curved, and $\hat x_0$ of one
#   evaluation is a mean of many samples, which is blurred,
# * the *consistency function*, the exact answer that a network of one evaluation should give,
# * *consistency tuning*, which learns it in stages, and its sampler,
# * *progressive distillation*, which halves the number of steps again and again and keeps the map from noise to data,
# * `ancestral.distil`, which does both for your own models, on real digits.
#
# You should have done lesson 6 (samplers). Most of the lesson works with single numbers as data, for which the exact
# answers are known. The papers are [Salimans and Ho](https://arxiv.org/abs/2202.00512) (2022) for progressive
# distillation, [Song et al.](https://arxiv.org/abs/2303.01469) (2023) for consistency models, and [Geng et
# al.](https://arxiv.org/abs/2406.14548) (2024), *Consistency models made easy*, for consistency tuning.

# %%
from importlib.util import find_spec
from pathlib import Path

if find_spec("ancestral_course") is None:  # as in a fresh Colab; where the course is installed, this cell does nothing
    packages = " ".join(str(path) for path in Path().glob("ancestral*.whl")) or "ancestral-course"
    print(f"installing {packages}")
    # %pip install --quiet {packages}

# %%
import copy
import dataclasses
import math  # noqa: F401  # for exercise 1
import os
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

import ancestral
import ancestral_course as course
from ancestral import Diffusion, nets, objectives, oracle, samplers, schedules, targets
from ancestral.objectives import Stages, distillation
from ancestral.use_cases.training.distil import distil_config

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1. Why many evaluations?
#
# The data are those of lesson 6: single numbers $x_0$, 40 % of them distributed as $\mathcal N(-0.8,\ 0.1^2)$ and 60 %
# as $\mathcal N(0.5,\ 0.25^2)$. The forward process is
#
# $$x_t = a_t\,x_0 + b_t\,\varepsilon, \qquad a_t = 1 - t/T, \quad b_t = t/T, \quad T = 200,$$
#
# the straight line from data to noise (rectified flow). Everything below holds for any signal $a_t$ and noise $b_t$,
# but on this schedule a picture says most. As in lesson 6, `oracle.Mixture` is the exact denoiser, which returns the
# *mean* $\hat x_0$ of all $x_0$ that can have led to $x_t$, and with it $\hat\varepsilon = (x_t - a_t \hat x_0)/b_t$.
# The density $p_t$ of $x_t$ is a mixture as well, and `quantile` is the number below which a share $u$ of it lies.

# %%
F64 = torch.float64
MEANS, STDS = torch.tensor([[-0.8], [0.5]], dtype=F64), torch.tensor([0.1, 0.25], dtype=F64)
WEIGHTS = torch.tensor([0.4, 0.6], dtype=F64)
schedule = schedules.flow(200)
T = schedule.steps
denoiser = oracle.Mixture(schedule, MEANS, STDS, WEIGHTS)


def cdf(x, a, b):
    """The share of x_t below x (N, 1), for signal a and noise b."""
    deviations = (a**2 * STDS**2 + b**2).sqrt()
    return (WEIGHTS * torch.special.ndtr((x - a * MEANS[:, 0]) / deviations)).sum(dim=1, keepdim=True)


def quantile(u, a, b):
    """The x (N, 1) below which the share u (N, 1) of x_t lies, by bisection."""
    low, high = torch.full_like(u, -8), torch.full_like(u, 8)
    for _ in range(60):
        middle = (low + high) / 2
        below = cdf(middle, a, b) < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


N = 200 if QUICK else 2000
shares = (torch.arange(N, dtype=F64)[:, None] + 0.5) / N  # evenly spaced in (0, 1)
x_T = torch.special.ndtri(shares)  # N values that represent N(0, 1) as evenly as N values can
ends = quantile(shares, 1.0, 0.0)  # the same for the data


def distance(x):
    """Mean distance of the sorted samples x (N, 1) from the quantiles of the data (the Wasserstein-1 distance)."""
    return (x.double().sort(dim=0).values - ends).abs().mean().item()


luck = distance(quantile(torch.rand(N, 1, dtype=F64), 1.0, 0.0))
print(f"distance of {N} independent samples of the data: {luck:.3f}")
reached = {}
for n in (1, 2, 4, 8, 16, 32, 64):
    x = samplers.DDIM(steps=n, clip=None).sample(denoiser, x_T)
    reached[n] = distance(x)
    print(f"DDIM, {n:2} evaluations: distance {reached[n]:.3f}, standard deviation of the samples {x.std():.3f}")
course.expect(abs(ends.std() - 0.67) < 0.005)
if not QUICK:
    course.expect(0.61 < reached[1] < 0.64)
    course.expect(reached[64] < luck < reached[32])

# %% [markdown]
# The denoiser is exact, and still one evaluation gives a distance of 0.6: all samples are the same number, while the
# standard deviation of the data is 0.67. It takes more than 30 evaluations until the samples are as close to the data
# as independent samples of the data are.
#
# The reason can be seen. A small step of DDIM follows the *probability flow*, $dx = \hat x_0\,da + \hat\varepsilon\,db$
# (lesson 6). If $\hat x_0$ and $\hat\varepsilon$ did not change on the way, $x = a\,\hat x_0 + b\,\hat\varepsilon$
# would be a straight line, and one step would be exact. On the left are some paths, and dotted lines from their
# beginning in the direction in which they start. On the right is $\hat x_0$ along the same paths.

# %%
some = shares[N // 20 :: N // 10]  # ten of the paths; a path keeps its quantile (lesson 6)
times = range(T, 0, -1)
paths = torch.stack([quantile(some, *schedule.at(t)) for t in times])  # (T, 10, 1)
estimates = torch.stack([denoiser.predict(x, t).x0 for x, t in zip(paths, times, strict=True)])
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True)
    axes[0].plot(times, paths[:, :, 0], color="C0", linewidth=1)
    course.mark_ends(axes[0], times, paths[:, :, 0])
    axes[0].plot([T, 0], torch.stack([paths[0], estimates[0]])[:, :, 0], color="C1", linewidth=0.8, linestyle=":")
    axes[1].plot(times, estimates[:, :, 0], color="C0", linewidth=1)
    axes[0].set(xlabel="t", xlim=(T, 0), ylim=(-2, 2), title="paths $x_t$")
    axes[1].set(xlabel="t", xlim=(T, 0), title=r"$\hat x_0$ along them")
    figure.tight_layout()
    plt.show()
print(f"at t = T all estimates are {estimates[0].mean():.3f}, the mean of the data")
course.expect((estimates[0] - (WEIGHTS @ MEANS)).abs().max() < 1e-6)

# %% [markdown]
# All dotted lines meet in one point. At $t = T$ the input is pure noise and says nothing about $x_0$, so the mean of
# all $x_0$ that fit is the mean of *all* data. Only when noise has been removed do the estimates part. So the paths
# begin in one direction and have to turn, and a sampler has to look again and again.
#
# For images the mean of many samples is a blurred image. `oracle.Empirical` is the exact denoiser for data that are 500
# digits and nothing else. These are its estimates along three paths:

# %%
mnist = ancestral.data.load("digits")
digits = mnist.codec.encode(mnist.items)[:, :, 2:-2, 2:-2]  # float32 (5000, 1, 24, 24) in [−1, 1]
memory = oracle.Empirical(schedule, digits[::10])
noise = torch.randn(3, 1, 24, 24, generator=torch.Generator().manual_seed(1))
seen = {step.t: step.x0 for step in samplers.DDIM(steps=20 if QUICK else 100).trajectory(memory, noise)}
shown = [200, 180, 170, 160, 150, 140, 0]
course.show(list(torch.stack([seen[t] for t in shown], dim=1)), [f"t = {t}" for t in shown])
course.expect(torch.allclose(seen[200][0], digits[::10].mean(dim=0), atol=1e-4))

# %% [markdown]
# No sampler can make a digit from the first column. What one evaluation *should* return is the last column: not the
# mean of all images that fit, but the one to which the path leads.
#
# ## 2. The consistency function
#
# Each $x_t$ lies on one path of the probability flow, and each path has one end, at $t = 0$. The function
#
# $$f^*(x_t, t) = \text{the end of the path through } x_t$$
#
# is the **consistency function**. It has two properties, and is the only function with both: $f^*(x, 0) = x$, and
# $f^*$ is *constant along each path*. If $x_T$ is noise, $f^*(x_T, T)$ is a sample, after one evaluation.
#
# For data $\mathcal N(m, s^2)$ it is a formula. Then $x_t$ is distributed as $\mathcal N(a m,\ a^2 s^2 + b^2)$, and
# along a path the number of standard deviations from the mean stays the same: the quantile does.
#
# ### Exercise 1: the consistency function of Gaussian data
#
# How many standard deviations is $x_t$ above its mean? The end of the path is as many standard deviations of the
# *data* above the mean of the data.


# %% tags=["exercise"]
def gaussian_end(x_t, a, b, m, s):
    """The end (B, 1) of the path through x_t (B, 1), for data N(m, s²), signal a and noise b (floats)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(11, gaussian_end))
right_gaussian_end = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def gaussian_end(x_t, a, b, m, s):
#     deviations = (x_t - a * m) / math.sqrt(a**2 * s**2 + b**2)
#     return m + s * deviations
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# $x_t$ has the mean $a m$ and the variance $n^2 = a^2 s^2 + b^2$. The estimates are $\hat x_0 = m + \frac{a
# s^2}{n^2}(x_t - a m)$ and $\hat\varepsilon = \frac{b}{n^2}(x_t - a m)$. Along the path $dx_t = \hat x_0\,da +
# \hat\varepsilon\,db$, so
#
# $$d(x_t - a m) = (x_t - a m)\,\frac{a s^2\,da + b\,db}{n^2} = (x_t - a m)\,\frac{dn}{n}$$
#
# since $n\,dn = a s^2\,da + b\,db$. So $(x_t - a m)/n$ does not change along the path. At its end $a = 1$, $b = 0$ and
# $n = s$: $(f^* - m)/s = (x_t - a m)/n$.
# </details>
#
# Do not take it for the estimate of a denoiser, $\hat x_0 = m + \frac{a s^2}{a^2 s^2 + b^2}(x_t - a m)$. Both are
# straight lines in $x_t$, but $\hat x_0$ becomes flat where there is much noise, and $f^*$ does not:

# %%
m, s = 0.5, 0.25
x = torch.linspace(-1.5, 1.5, 5, dtype=F64)[:, None]
for t in (20, 100, 200):
    a, b = schedule.at(t)
    mean = oracle.Gaussian(schedule, m, s).predict(x, t).x0
    end = right_gaussian_end(x, a, b, m, s)
    followed = samplers.DDIM(clip=None).sample(oracle.Gaussian(schedule, m, s), x, times=list(range(t, -1, -1)))
    rows = [" ".join(f"{value:5.2f}" for value in row[:, 0]) for row in (x, mean, end)]
    print(f"t = {t:3}: x_t {rows[0]}\n         x̂_0 {rows[1]}\n         f*  {rows[2]}")
    course.expect((followed - end).abs().max() < 0.05)  # t steps of DDIM arrive there

# %% [markdown]
# For any data that are single numbers there is a formula as well, since paths keep their quantile: $f^*(x_t, t)$ is the
# quantile of the data that has the share of $x_t$ in $p_t$. So for our mixture the goal is known:


# %%
def exact_end(x, t):
    """The consistency function f* of the mixture, (N, 1)."""
    return quantile(cdf(x, *schedule.at(t)), 1.0, 0.0)


grid = torch.linspace(-2.5, 2.5, 200, dtype=F64)[:, None]
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharey=True)
    for axis, t in zip(axes, (60, 140, 200), strict=True):
        axis.plot(grid, denoiser.predict(grid, t).x0, label=r"$\hat x_0$ (a mean)")
        axis.plot(grid, exact_end(grid, t), label="$f^*$ (a sample)")
        axis.set(xlabel="$x_t$", title=f"t = {t}")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    plt.show()
course.expect(distance(exact_end(x_T, T)) < 1e-9)

# %% [markdown]
# At little noise the two functions agree. At $t = T$ the mean is a constant, and $f^*$ maps the normal distribution to
# the two components of the data.
#
# ## 3. From the mean to the end, in stages
#
# How can a network learn $f^*$, if the paths are not known? To follow a path with the first network for each training
# sample would be slow. There is a better way, and its idea is a single line. Take a sample $x_0$, noise $\varepsilon$,
# and two times $r < t$:
#
# $$x_t = a_t x_0 + b_t \varepsilon, \qquad x_r = a_r x_0 + b_r \varepsilon .$$
#
# These two points have the *same* $x_0$ and $\varepsilon$: each is drawn by the **reparameterisation**, as a function
# of $x_0$ and of standard noise, and the noise is shared. Now train $f(x_t, t)$ to equal $f(x_r, r)$, where the latter
# is taken as a given number, with no gradient. At $r = 0$, $f(x_0, 0) = x_0$.
#
# The two points do not lie on one path. But if all pairs $(x_0, \varepsilon)$ are considered that lead to one $x_t$,
# the mean of $x_r$ is
#
# $$E[x_r \mid x_t] = a_r \hat x_0 + b_r \hat\varepsilon ,$$
#
# which is DDIM's step from $t$ to $r$, and for a small step the path. So on average the network is trained to be
# constant along the path. What does $f$ become at the two extremes?
#
# * $r = 0$ for all $t$: the goal is $x_0$, and the best answer is its mean. That is denoising, with which we started.
# * $r \to t$: the best answer tends to $f^*$.
#
# Between them lies a whole family, and consistency tuning goes through it in *stages* $k = 0, 1, 2, \dots$, so that the
# network never has to change much. Let $\sigma_t = b_t/a_t$ be the noise level. In stage 0 the *relative* distance
# $(\sigma_t - \sigma_r)/\sigma_t$ is $n(\sigma_t)/2$, with
#
# $$n(\sigma) = 1 + 8\,\mathrm{sigmoid}(-\sigma) = 1 + \frac{8}{1 + e^{\sigma}},$$
#
# and each further stage halves it. Where $\sigma_r$ would be below 0, $r$ is 0.
#
# ### Exercise 2: the earlier time
#
# Find $\sigma_r$ in stage $k$. Two cases test it. At much noise $n \to 1$, so $\sigma_r$ is $\sigma_t/2$ in stage 0 and
# $\frac34\sigma_t$ in stage 1. At little noise $n \to 5$, so $r$ is 0 in stages 0 and 1, and not in stage 2.
#
# Our times are whole numbers. Return the last time $r$ whose $\sigma_r$ is *at or below* this value, but at most
# $t - 1$. `sigma` holds $\sigma_0 = 0 < \sigma_1 \le \dots \le \sigma_T$; the last one may be infinite.
# `torch.searchsorted(sigma, value, right=True)` returns how many entries are at or below a value.


# %% tags=["exercise"]
def earlier_time(sigma, t, stage):
    """The times r (B,), int64, for times t (B,) in 1..T, the table sigma (T + 1,), float64, and a stage 0, 1, 2, ..."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(11, earlier_time))
right_earlier_time = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def earlier_time(sigma, t, stage):
#     n = 1 + 8 * torch.sigmoid(-sigma[t])
#     sigma_r = sigma[t] * (1 - n / 2 ** (stage + 1))
#     r = torch.searchsorted(sigma, sigma_r.clamp(min=0), right=True) - 1
#     return torch.minimum(r, t - 1)
# ```
# </details>
#
# As a formula,
#
# $$\sigma_r = \sigma_t \Big( 1 - \frac{n(\sigma_t)}{2^{k+1}} \Big),$$
#
# and $r = 0$ where this is not above 0. $n$ makes the steps longer at little noise ($n \to 5$) than at much noise
# ($n \to 1$). Geng et al. write $t$ for $\sigma$, since their schedule has $a = 1$ and $b = t$. In this form it can be
# used with any schedule.
#
# Here is what it does. If $r$ becomes the next $t$, and so on, how many jumps does it take from $T$ to 0?


# %%
def r_of(t, stage):
    """The earlier times r (B,)."""
    return right_earlier_time(schedule.noise / schedule.signal, torch.as_tensor(t), stage).long()


STAGES = 7
all_times = torch.arange(1, T + 1)
for stage in range(STAGES):
    course.expect(torch.equal(r_of(all_times, stage), distillation.earlier(schedule, all_times, stage)))
jumps = {}
for stage in range(STAGES):
    visited = [T]
    while visited[-1] > 0:
        visited.append(int(r_of([visited[-1]], stage)))
    jumps[stage] = len(visited) - 1
    print(f"stage {stage}: {jumps[stage]:3} jumps,", *visited[:8], "..." if len(visited) > 8 else "")
course.expect(list(jumps.values()) == sorted(jumps.values()))
course.expect((jumps[0], jumps[6]) == (9, 158))

# %% [markdown]
# ### What a perfect network would learn
#
# Before a network is trained: what is the best answer in each stage? With the squared error it is the mean
# $f_k(x_t, t) = E[f_k(x_r, r) \mid x_t]$. Given $x_t$, the distribution of $x_0$ is known for our data: a mixture of
# two Gaussians (the exact denoiser is its mean). So the mean is an integral of one variable. We compute $f_k$ on a
# grid, from $t = 1$ upwards, each from the one at its earlier time, by Gauss-Hermite quadrature.


# %%
def hermite(count):
    """Points and weights for the mean of a function of a standard normal variable (Golub and Welsch)."""
    below = torch.arange(1, count, dtype=F64).sqrt()
    points, vectors = torch.linalg.eigh(torch.diag(below, 1) + torch.diag(below, -1))
    return points, vectors[0] ** 2


points, point_weights = hermite(24)
axis_x = torch.linspace(-6, 6, 1201, dtype=F64)


def interpolate(values, x):
    """The function with these values on the grid axis_x, at x, linearly; beyond the grid it is constant."""
    place = ((x + 6) * 100).clamp(0, 1199.999)
    low = place.long()
    return torch.lerp(values[low], values[low + 1], place - low)


def perfect(stage):
    """The best answers f_k of a stage on the grid, a list over t = 0..T."""
    found = [axis_x]  # f(x, 0) = x
    for t in range(1, T + 1):
        r = int(r_of([t], stage))
        (a, b), (a_r, b_r) = schedule.at(t), schedule.at(r)
        mean, variance = MEANS[:, :1] * a, a**2 * STDS[:, None] ** 2 + b**2  # of x_t, (2, 1)
        share = (WEIGHTS[:, None].log() - (axis_x - mean) ** 2 / (2 * variance) - variance.log() / 2).softmax(dim=0)
        centre = MEANS[:, :1] + a * STDS[:, None] ** 2 / variance * (axis_x - mean)  # of x_0 given x_t, (2, 1201)
        x_0 = centre[:, :, None] + STDS[:, None, None] * b / variance.sqrt()[:, :, None] * points
        x_r = a_r * x_0 + b_r / b * (axis_x[:, None] - a * x_0)
        found.append((share[:, :, None] * point_weights * interpolate(found[r], x_r)).sum(dim=(0, 2)))
    return found


perfect_answers = {stage: perfect(stage) for stage in range(STAGES)}
perfect_errors = {}
for stage, answers in perfect_answers.items():
    perfect_errors[stage] = (interpolate(answers[T], x_T) - ends).abs().mean().item()
    print(f"stage {stage}: {jumps[stage]:3} jumps, mean distance from f* at t = T: {perfect_errors[stage]:.3f}")
near = (x_T[:, 0] > -2.5) & (x_T[:, 0] < 2.5)
curves = {f"stage {stage}": interpolate(perfect_answers[stage][T], x_T)[near] for stage in (0, 1, 2, 4, 6)}
course.plot(x_T[near], {**curves, "$f^*$": ends[near]}, xlabel="$x_T$", ylabel="$f_k(x_T, T)$")
course.expect(list(perfect_errors.values()) == sorted(perfect_errors.values(), reverse=True))
course.expect(0.25 < perfect_errors[0] < 0.35)
course.expect(perfect_errors[6] < 0.05)

# %% [markdown]
# In stage 0 the curve is flat: much of it is still a mean. From stage to stage it comes nearer to $f^*$, and what
# remains at the end is due to our 200 times, which are not arbitrarily close. The price is the number of jumps. The
# goal at $t$ is the network's own answer at $r$, whose goal is its answer at a still earlier time, and so on down to
# $x_0$. An error at a small time goes up through all the jumps. A network that is trained with short steps from the
# beginning has wrong goals for a long time. With long steps first, its goals are always nearly right.
#
# ## 4. Consistency tuning with a network
#
# First the network from which we start: a small multilayer perceptron, trained by the denoising loss to predict
# $\varepsilon - x_0$ (the target of rectified flow). `fit` is the training loop of lesson 1, for any loss.

# %%
STEPS = 4 if QUICK else 1000  # training steps of the first network
generator = torch.Generator().manual_seed(0)


def fit(model, loss, steps, lr, batch=256):
    """Train a model: loss(model, x_0, ε, t) -> (B,), with a learning rate that falls to 0."""
    optimiser = torch.optim.Adam(model.parameters(), lr)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        which = (torch.rand(batch, generator=generator) < WEIGHTS[1]).long()
        x_0 = (MEANS[which] + STDS[which, None] * torch.randn(batch, 1, dtype=F64, generator=generator)).float()
        eps = torch.randn(batch, 1, generator=generator)
        t = torch.randint(1, T + 1, (batch,), generator=generator)
        optimiser.zero_grad()
        loss(model, x_0, eps, t).mean().backward()
        optimiser.step()
        decay.step()


def denoising_errors(model, x_0, eps, t):
    """The denoising loss of each sample, (B,)."""
    answer = model.output(schedule.add_noise(x_0, t, eps), t)
    return (answer - model.target.from_x0_eps(x_0, eps, *schedule.at(t))).square().mean(dim=1)


teacher = Diffusion(nets.MLP(features=1, width=32, layers=2), schedule, targets.FLOW)
fit(teacher, denoising_errors, STEPS, lr=4e-3)
sampled = samplers.DDIM(steps=64, clip=None).sample(teacher, x_T.float())
print(f"the network, 64 steps of DDIM: distance {distance(sampled):.3f}")
if not QUICK:
    course.expect(distance(sampled) < 0.05)

# %% [markdown]
# Now the loss of consistency tuning. The loss has two details besides the difference of the two answers:
#
# * The norm of the difference is not squared, but goes through $\sqrt{\lVert\Delta\rVert^2 + c^2} - c$ with $c = 0.1$.
#   This is a squared error for small differences and the norm itself for large ones, so that rare large differences
#   do not decide. (Lesson 10 showed that the minimiser of such a loss is not the mean. It nearly is once the steps are
#   short and the differences small.)
# * It is divided by $\sigma_t - \sigma_r$. Neighbours have small differences, and without this factor the loss would
#   vanish from stage to stage, together with its gradient. The divisor is kept between 0.01 and 80, since otherwise
#   the smallest times would outweigh all others, and the largest ($\sigma_T = \infty$ here) would not count.


# %%
def tuning_errors(model, x_0, eps, t, stage):
    """The loss of consistency tuning of each sample, (B,)."""
    sigma, r = schedule.noise / schedule.signal, r_of(t, stage)
    x_t, x_r = schedule.add_noise(x_0, t, eps), schedule.add_noise(x_0, r, eps)  # the same x_0 and ε
    with torch.no_grad():  # the goal is a given number
        goal = torch.where(r[:, None] > 0, model.predict(x_r, r.clamp(min=1)).x0, x_0)
    squares = (model.predict(x_t, t).x0 - goal).square().sum(dim=1)
    return ((squares + 0.1**2).sqrt() - 0.1) / (sigma[t] - sigma[r]).clamp(0.01, 80)


# %% [markdown]
# The package has it as an objective, `objectives.ConsistencyTuning`. Both give the same losses, and the same gradients:

# %%
tuning = objectives.ConsistencyTuning(objectives.build(schedule, teacher.target), Stages(STAGES, STAGES))
x_0, eps = torch.randn(2, 500, 1, generator=torch.Generator().manual_seed(1))
t = torch.randint(1, T + 1, (500,), generator=torch.Generator().manual_seed(2))
for stage in range(STAGES):
    forward = dataclasses.replace(teacher.forward_pass(x_0, t, eps), step=stage)  # one step for each stage
    ours, theirs = tuning_errors(teacher, x_0, eps, t, stage), tuning.errors(forward)
    gradients = [torch.autograd.grad(losses.mean(), list(teacher.parameters())) for losses in (ours, theirs)]
    course.expect(torch.allclose(ours, theirs.double(), rtol=1e-3, atol=1e-6))
    course.expect(all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(*gradients, strict=True)))
print("losses of the last stage:", [round(loss, 5) for loss in ours[:4].tolist()])
print("of the package:          ", [round(loss, 5) for loss in theirs[:4].tolist()])

# %% [markdown]
# Training goes through the stages. After each we measure two things. The *self-consistency error* is how much the
# answers at neighbouring times of one path differ, in the mean over exact paths (for $f^*$ it is 0). And the distance
# from $f^*$ itself, at $t = T$. Beside it stands that of the perfect network of section 3.

# %%
watched = [1, *range(T // 10, T + 1, T // 10)]
on_paths = [quantile(shares, *schedule.at(t)).float() for t in watched]


@torch.no_grad()
def measure(model):
    """The self-consistency error, and the mean distance from f* at t = T."""
    answers = [model.predict(x, t).x0 for x, t in zip(on_paths, watched, strict=True)]
    inconsistency = torch.stack([(a - b).abs().mean() for a, b in pairwise(answers)]).mean()
    return inconsistency.item(), (answers[-1] - ends).abs().mean().item()


history, curves = {"first": measure(teacher)}, {}
print(f"{'':15}{'self-consistency error':>24}{'distance from f*':>20}{'perfect network':>18}")
print(f"{'first network':15}{history['first'][0]:24.3f}{history['first'][1]:20.3f}")
model, TUNING = copy.deepcopy(teacher), 2 if QUICK else 400  # steps of a stage
for stage in range(STAGES):
    fit(model, partial(tuning_errors, stage=stage), TUNING, lr=2e-3 * 0.7**stage)
    history[stage] = measure(model)
    curves[stage] = model.predict(x_T.float(), T).x0.detach()[near]
    error, off = history[stage]
    print(f"{f'stage {stage}':15}{error:24.3f}{off:20.3f}{perfect_errors[stage]:18.3f}")
course.plot(
    x_T[near], {f"stage {k}": curves[k] for k in (0, 1, 2, 4, 6)} | {"$f^*$": ends[near]}, "$x_T$", r"$\hat x_0$"
)
if not QUICK:
    errors = [history[stage][0] for stage in range(STAGES)]
    course.expect(all(late < 1.1 * early for early, late in pairwise(errors)))
    course.expect(errors[-1] < 0.4 * errors[0] < 0.4 * history["first"][0])
    course.expect(history[6][1] < 0.09 < 0.2 < history[0][1] < 0.3 < 0.6 < history["first"][1])

# %% [markdown]
# The self-consistency error falls from stage to stage. The distance from $f^*$ falls too, down to about 0.05. There
# the errors of the network itself are larger than those of the stage. (In the first stages the network is nearer to
# $f^*$ than the perfect one, which minimises the *squared* error. For large differences our loss is the norm, whose
# minimiser is the median, and that is not as blurred as the mean.)
#
# ## 5. Sampling: predict, add noise again
#
# One evaluation at $t = T$ gives a sample. Can a second evaluation make it better? The answer at $T$ is the hardest,
# since the errors of all earlier times have added up. At a lower time $s$ the answer is easier. But there the network
# expects an input with the density $p_s$ of $x_s$.
#
# ### Exercise 3: the sampler of consistency models
#
# You have $\hat x_0$, which is nearly a sample of the data, and *new* noise $z$. Make an $x_s$ of them that has the
# density $p_s$, and evaluate the network there. Why may the noise not be the
# $\hat\varepsilon = (x_T - a_T \hat x_0)/b_T$ of the first evaluation?
#
# Then write it for any times $t_0 > t_1 > \dots > t_n = 0$. `noise[i]` is what is added on the way to $t_{i+1}$. (At
# $t_n = 0$ there is no noise: $a = 1$ and $b = 0$. With one evaluation the result is $\hat x_0$.)
# `denoiser.predict(x, t)` returns a pair $\hat x_0$, $\hat\varepsilon$, and `denoiser.schedule.at(t)` the pair $a_t$,
# $b_t$.


# %% tags=["exercise"]
def consistency_sample(denoiser, x, times, noise):
    """Samples (B, *), from x (B, *) at times[0], along times (n + 1 ints, the last is 0), with noise (n, B, *)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(11, consistency_sample))
right_consistency_sample = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def consistency_sample(denoiser, x, times, noise):
#     for t, s, z in zip(times[:-1], times[1:], noise):
#         a, b = denoiser.schedule.at(s)
#         x = a * denoiser.predict(x, t).x0 + b * z
#     return x
# ```
# </details>
#
# Here is the answer for two evaluations. The data become $x_s$ in the forward process, so take $\hat x_0$ for the data:
#
# $$x_s = a_s \hat x_0 + b_s z, \qquad \hat x_0' = f(x_s, s).$$
#
# If $\hat x_0$ has the distribution of the data, $x_s$ has exactly the density $p_s$, and so $\hat x_0'$ is a sample
# again. If not, the new noise covers a part of the error. The noise has to be new: $\hat\varepsilon = (x_T - a_T \hat
# x_0)/b_T$ is a function of $x_T$, as $\hat x_0$ is. The two are not independent, and a step of DDIM with
# $\hat\varepsilon$ would lead off the density $p_s$.

# %%
z = torch.randn(N, 1, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    first = model.predict(x_T.float(), T).x0
    second = right_consistency_sample(model, x_T.float(), [T, T // 2, 0], torch.stack([z, torch.zeros_like(z)]))
sampler = samplers.Consistency(steps=2, clip=None)
print("times of the package's sampler:", sampler.times(schedule))
course.expect(torch.allclose(second, sampler.sample(model, x_T.float(), noise=lambda shape: z), atol=1e-5))
print(f"distance after one evaluation {distance(first):.3f}, after two {distance(second):.3f}")
if not QUICK:
    course.expect(distance(second) < distance(first) < 0.1)

# %% [markdown]
# The sampler belongs to the model. With a denoiser, whose $\hat x_0$ is a mean, it gives means of means. With our model
# DDIM fails, as said above. And more evaluations do not help for ever:

# %%
EVALUATIONS = (1, 2, 3, 4, 8)
table = {}
for name, net, kind in (
    ("exact denoiser, DDIM", denoiser, samplers.DDIM),
    ("exact denoiser, consistency", denoiser, samplers.Consistency),
    ("distilled, consistency", model, samplers.Consistency),
    ("distilled, DDIM", model, samplers.DDIM),
):
    start = x_T.float() if net is model else x_T
    table[name] = [distance(kind(steps=n, clip=None).sample(net, start)) for n in EVALUATIONS]
print(f"{'distance from the data':28}" + "".join(f"{f'NFE {n}':>8}" for n in EVALUATIONS))
for name, values in table.items():
    print(f"{name:28}" + "".join(f"{value:8.3f}" for value in values))
if not QUICK:
    course.expect(table["distilled, consistency"][0] < 0.1 < table["exact denoiser, DDIM"][3])
    course.expect(max(table["distilled, consistency"][1:]) < table["distilled, consistency"][0])
    course.expect(table["exact denoiser, consistency"][4] > 1.5 * table["exact denoiser, DDIM"][4])
    course.expect(table["distilled, DDIM"][4] > 2 * table["distilled, DDIM"][0])

# %% [markdown]
# * **The exact denoiser** needs about eight evaluations of DDIM to come as close as the distilled network does with
#   one. With the consistency sampler its samples are too smooth for longer.
# * **The distilled network** gains by a second evaluation. Beyond that the differences are of the size of luck.
# * **DDIM with the distilled network** gets worse with each evaluation.
#
# ## 6. Progressive distillation keeps the map
#
# The new noise has a price. After one evaluation, $x_T$ determines the sample, and it is the one to which the path
# leads. After two it is not: the same $x_T$ leads to different samples. Where the map from noise to data is needed (for
# interpolation, for editing, or to compare models image by image), there is the older method.
#
# **Progressive distillation** makes one step of DDIM out of two. A *student*, which starts with the teacher's weights,
# is trained so that its one step from $t$ to $s$ ends where two steps of the *teacher* end, from $t$ to a time in the
# middle and on to $s$. Then the student is the teacher of the next stage: 16 steps become 8, 4, 2 and 1. DDIM adds no
# noise, so at the end the map is that of the first teacher with its 16 steps.
#
# ### Exercise 4: the goal of the student
#
# Where should the error be measured? The paper measures it in $\hat x_0$. So it needs the $\hat x_0$ that the student
# should have: the $\tilde x$ whose one DDIM step from $x_t$ ends at $x_s$, where the teacher ends. Compute $x_s$ by two
# DDIM steps of the teacher. Then find $\tilde x$. The student's step is $x_s = a_s \tilde x + b_s \tilde\varepsilon$,
# and $\tilde\varepsilon$ is not free, since the first row gives it from $x_t$ and $\tilde x$. A case that tests it: if
# both evaluations of the teacher return the same $\hat x_0$ and $\hat\varepsilon$ (its path is straight), $\tilde x$ is
# this $\hat x_0$. The times are integers, the same for the whole batch.


# %% tags=["exercise"]
def progressive_goal(teacher, x_t, t, middle, s):
    """The goal x̃ (B, *) of the student at x_t (B, *), for two steps of the teacher, t → middle → s."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(11, progressive_goal))
right_progressive_goal = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def progressive_goal(teacher, x_t, t, middle, s):
#     x = x_t
#     for now, then in ((t, middle), (middle, s)):
#         a, b = teacher.schedule.at(then)
#         x0, eps = teacher.predict(x, now)
#         x = a * x0 + b * eps
#     (a_t, b_t), (a_s, b_s) = teacher.schedule.at(t), teacher.schedule.at(s)
#     return (x - b_s / b_t * x_t) / (a_s - b_s / b_t * a_t)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# With $\tilde\varepsilon = (x_t - a_t\tilde x)/b_t$ the student's step is $x_s = a_s\tilde x + \frac{b_s}{b_t}(x_t -
# a_t\tilde x) = \big(a_s - a_t\frac{b_s}{b_t}\big)\,\tilde x + \frac{b_s}{b_t}\,x_t$. Solved for $\tilde x$:
#
# $$\tilde x = \frac{x_s - \frac{b_s}{b_t}\,x_t}{a_s - \frac{b_s}{b_t}\,a_t}$$
#
# The denominator is above 0, since there is more signal and less noise at $s$. If both evaluations return the same
# $\hat x_0$ and $\hat\varepsilon$, then $x_s = a_s\hat x_0 + b_s\hat\varepsilon$ and $x_t = a_t\hat x_0 +
# b_t\hat\varepsilon$, and the fraction is $\hat x_0$.
# </details>
#
# For the loss $\tilde x$ need not be written down. The student's step is $a_s \hat x_0 + b_s \hat\varepsilon$ with
# $\hat\varepsilon = (x_t - a_t \hat x_0)/b_t$. It depends on $\hat x_0$ by the factor $a_s - a_t b_s/b_t$. So the
# difference of the two ends, divided by this factor, is $\hat x_0 - \tilde x$. Its square is multiplied by
# $\max(\mathrm{SNR}_t, 1)$, the weight of the paper.


# %%
def column(times):
    """a and b at times (B,), as columns (B, 1)."""
    return [scale[:, None].float() for scale in schedule.at(times)]


def ddim(model, x, t, s):
    """The step from times t (B,) to times s (B,)."""
    (a_s, b_s), (x0, eps) = column(s), model.predict(x, t)
    return a_s * x0 + b_s * eps


def halving_errors(student, x_0, eps, t, teacher, steps):
    """The loss of progressive distillation to this number of steps, (B,)."""
    grid = torch.tensor(samplers.DDIM(steps=2 * steps).times(schedule)[::-1])  # of the teacher, rising from 0
    place = torch.searchsorted(grid[::2].contiguous(), t) * 2  # the next time of the student, at or above t
    t, middle, s = grid[place], grid[place - 1], grid[place - 2]
    (a_t, b_t), (a_s, b_s) = column(t), column(s)
    x_t = schedule.add_noise(x_0, t, eps)
    with torch.no_grad():
        end = ddim(teacher, ddim(teacher, x_t, t, middle), middle, s)
    errors = (ddim(student, x_t, t, s) - end) / (a_s - a_t * b_s / b_t)
    return errors.square().mean(dim=1) * schedule.snr[t].clamp(min=1)


halving = objectives.ProgressiveDistillation(
    objectives.build(schedule, teacher.target), Stages(1, 1), teacher, evaluations=4
)
t = torch.tensor([50, 100, 150, 200]).repeat(125)  # the times of a student of four steps
ours = halving_errors(model, x_0, eps, t, teacher, steps=4)
theirs = halving.errors(model.forward_pass(x_0, t, eps))
print("losses:         ", [round(loss, 5) for loss in ours[:4].tolist()])
print("of the package: ", [round(loss, 5) for loss in theirs[:4].tolist()])
course.expect(torch.allclose(ours, theirs.double(), rtol=1e-3, atol=1e-5))
x_t = schedule.add_noise(x_0, t, eps)[1::4]  # where t is 100
with torch.no_grad():
    off = model.predict(x_t, 100).x0 - right_progressive_goal(teacher, x_t, 100, 75, 50)
by_goal = off.square().mean(dim=1) * schedule.snr[100].clamp(min=1)
print(f"by the goal of exercise 4, at t = 100: {by_goal[0]:.5f}")
course.expect(torch.allclose(by_goal.double(), ours[1::4].double(), rtol=1e-3, atol=1e-5))

# %%
goal = samplers.DDIM(steps=16, clip=None).sample(teacher, x_T.float())  # the map that should be kept
student, students = teacher, {}
print(f"teacher, 16 steps: distance of the samples from the data {distance(goal):.3f}")
if not QUICK:
    course.expect(0.025 < distance(goal) < 0.055)
for n in (8, 4, 2, 1):
    previous, student = student, copy.deepcopy(student)
    fit(student, partial(halving_errors, teacher=previous, steps=n), TUNING // 2, lr=2e-3)
    students[n] = samplers.DDIM(steps=n, clip=None).sample(student, x_T.float())
    plain = samplers.DDIM(steps=n, clip=None).sample(teacher, x_T.float())
    off = [(x - goal).abs().mean().item() for x in (students[n], plain)]
    print(f"{n} steps: from the teacher's map {off[0]:.3f} (without distillation {off[1]:.3f})")
    if not QUICK:
        course.expect(off[0] < 0.02)
        course.expect(off[0] < 0.2 * off[1])
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharey=True)
    for axis, x, title in zip(
        axes,
        (first, second, students[1]),
        ("consistency, 1 evaluation", "consistency, 2 evaluations", "progressive, 1 evaluation"),
        strict=True,
    ):
        axis.plot(x_T, x, ".", markersize=2, label="samples")
        axis.plot(x_T, goal, color="C1", linewidth=1.2, label="teacher, 16 steps")
        axis.set(xlabel="$x_T$", title=title)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    plt.show()

# %% [markdown]
# One step of the student ends where 16 steps of the first teacher end: the mean difference is about 0.01. The figure
# shows the maps. With one evaluation both methods follow the curve. After the second evaluation of the consistency
# sampler there are points on both sides for nearly every $x_T$: a part of the sample comes from the new noise.
#
# What progressive distillation cannot do is to become better than its teacher. DDIM with 16 steps has a distance of
# about 0.04 from the data, and the student inherits it.
#
# ## 7. Why a network that predicts ε cannot be distilled
#
# DDPM's network predicts $\varepsilon$, and its $\hat x_0 = (x_t - b_t \hat\varepsilon)/a_t$ divides the network's
# error by $a_t$. With many steps this does no harm, since a step takes only a small part of $\hat x_0$. With one step
# it is all.
#
# ### Exercise 5: from the network's error to the sample's
#
# A network predicts the target $p\,x_0 + q\,\varepsilon$ (second row of the matrix, lesson 5), and its answer is too
# large by $\delta$. By $\hat x_0 = (q\,x_t - b_t \cdot \text{answer})/d$, $\hat\varepsilon = (a_t \cdot \text{answer} -
# p\,x_t)/d$ with $d = a_t q - b_t p$, both estimates are off, and so is $x_s = a_s \hat x_0 + b_s \hat\varepsilon$. By
# which multiple of $\delta$? Return its absolute value.


# %% tags=["exercise"]
def error_factor(p, q, now, then):
    """|error of x_s / δ| of a DDIM step; now = (a_t, b_t) and then = (a_s, b_s), all floats."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(11, error_factor))
right_error_factor = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def error_factor(p, q, now, then):
#     (a_t, b_t), (a_s, b_s) = now, then
#     return abs((a_t * b_s - a_s * b_t) / (a_t * q - b_t * p))
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# An answer that is too large by $\delta$ changes $\hat x_0$ by $-b_t\,\delta/d$ and $\hat\varepsilon$ by
# $a_t\,\delta/d$. So $x_s$ changes by $(a_t b_s - a_s b_t)\,\delta/d$, and the factor is $|a_t b_s - a_s b_t|/|a_t q -
# b_t p|$.
# </details>
#
# Here is the same as an experiment. The exact denoiser is turned into the answer of a network, for three targets, and
# each answer is made too large by 0.01. The schedule is DDPM's.


# %%
class Planted:
    """The denoiser of a network whose answers are too large by 0.01."""

    def __init__(self, exact, target, error=0.01):
        self.exact, self.schedule, self.target, self.error = exact, exact.schedule, target, error

    def predict(self, x_t, t):
        a, b = self.schedule.at(t)
        answer = self.target.from_x0_eps(*self.exact.predict(x_t, t), a, b)
        return self.target.solve(x_t, answer + self.error, a, b)


ddpm = schedules.linear(1000)
exact = oracle.Mixture(ddpm, MEANS, STDS, WEIGHTS)
a, b = ddpm.at(1000)
print(f"b_T/a_T = {b / a:.0f}")
print(f"{'mean change of a sample':24}" + "".join(f"{f'NFE {n}':>9}" for n in (1, 2, 4, 16, 64, 256)))
changes = {}
for name, target in {"ε": targets.EPS, "v": targets.V, "x_0": targets.X0}.items():
    for n in (1, 2, 4, 16, 64, 256):
        sampler = samplers.DDIM(steps=n, clip=None)
        right, wrong = sampler.sample(exact, x_T), sampler.sample(Planted(exact, target), x_T)
        changes[name, n] = (wrong - right).abs().mean().item()
    print(f"{'network predicts ' + name:24}" + "".join(f"{changes[name, n]:9.3f}" for n in (1, 2, 4, 16, 64, 256)))
for name, target in {"ε": targets.EPS, "v": targets.V, "x_0": targets.X0}.items():
    factor = right_error_factor(target.p(a, b), target.q(a, b), (a, b), (1.0, 0.0))
    print(f"one step, by exercise 5, if the network predicts {name}: {0.01 * factor:.3f}")
    course.expect(abs(changes[name, 1] - 0.01 * factor) < 0.02)
course.expect(all(0.03 < changes["ε", n] < 0.05 for n in (16, 64, 256)))
course.expect(max(changes["v", n] for n in (1, 2, 4, 16, 64, 256)) < 0.015)

# %% [markdown]
# With one evaluation an error of 0.01 in $\hat\varepsilon$ moves the sample by $0.01\,b_T/a_T = 1.6$, more than twice
# the standard deviation of the data. With 16 evaluations or more it moves it by about 0.04, since the later evaluations
# see where $x$ is. For v the change is about that of the answer, for any number of evaluations. That is why models of
# $\varepsilon$ are good for many steps, and useless for one.
#
# So the package first *converts* such a model to another target: the first quarter of the steps minimises the
# denoising loss for v, from the weights of the ε network. (The exact answers are the same function in another form. The
# network has to learn the form.) Predictions of $x_0$ have the opposite problem. Nothing makes $f(x, 0) = x$, and a
# network that answers with one constant for all inputs is perfectly self-consistent. For consistency tuning they become
# $\hat x_0 = c\,x_t/a_t + (1 - c) \cdot \text{answer}$, with $c$ near 1 where there is hardly any noise, a *skip*
# connection. The other targets have this property: for flow, $\hat x_0 = x_t - b_t \cdot \text{answer}$ is $x_t$
# at $b_t = 0$.
#
# ## 8. Real digits
#
# For your own model it is one line, `ancestral distil runs/photos --out runs/fast`, or `ancestral.distil` in Python.
# The digits have 12 × 12 pixels, so that it takes less than a minute. The network is a small transformer on patches. It
# predicts $x_0$, and knows the class.

# %%
RUNS = Path(tempfile.mkdtemp())
small, labels = F.avg_pool2d(digits, 2), mnist.labels
SHORT = {"steps": 6, "batch_size": 8} if QUICK else {"steps": 600, "batch_size": 64}
quiet = {"progress": False, "trackers": (), "preview_steps": 1, "save_every": 1000, "sample_every": 1000}
network = {"net": "transformer", "width": 64, "depth": 2, "patch": 3, "lr": 3e-3, "ema": 0.99}
run = ancestral.train("arrays", (small, labels), out=RUNS / "first", **network, **SHORT, **quiet)
print(run.model)
for method in ("consistency", "progressive"):
    config = distil_config(run.model, method)
    print(f"{method}: target {config.process.target}, sampler {config.sample.sampler}")

# %% [markdown]
# `distil_config` shows what a distillation would do. The target `skip` is the skip connection of section 7; a model of
# ε would become one of v. Now both methods. The energy distance (lesson 7) compares 500 samples with 1,000 digits that
# are not sorted by class.
#
# The package's default goes one step beyond section 4. The shorter the steps, the more of the loss is chance, since
# many $x_0$ fit one $x_t$, and $x_r$ is made of one of them. But here is a teacher that knows the direction of the
# path. So in later stages $x_r$ is drawn halfway to a step of Heun's method (lesson 6) from $x_t$, with the derivative
# of the teacher: *consistency distillation* (Song et al. 2023, algorithm 2). `method="tuning"` is section 4 in all
# stages.

# %%
fast = {
    "consistency": ancestral.distil(
        run.model, (small, labels), out=RUNS / "consistency", stages=6, **SHORT, **quiet
    ).model,
    "progressive": ancestral.distil(
        run.model, (small, labels), out=RUNS / "progressive", method="progressive", stages=4, **SHORT, **quiet
    ).model,
}
chance = torch.randperm(5000, generator=torch.Generator().manual_seed(0))
real = small[chance[:1000]].flatten(1)


def energy_distance(images, others=real):
    """The energy distance between two sets of images."""
    x = images.flatten(1)
    return (2 * torch.cdist(x, others).mean() - torch.cdist(x, x).mean() - torch.cdist(others, others).mean()).item()


COUNT = 20 if QUICK else 500
CONTEST = {
    "first, 25": (run.model, samplers.DDIM(25)),
    "first, 1": (run.model, samplers.DDIM(1)),
    "first, 2": (run.model, samplers.DDIM(2)),
    "consistency, 1": (fast["consistency"], samplers.Consistency(1)),
    "consistency, 2": (fast["consistency"], samplers.Consistency(2)),
    "progressive, 2": (fast["progressive"], samplers.DDIM(2)),
}
images = {name: model.sample(COUNT, seed=0, sampler=sampler) for name, (model, sampler) in CONTEST.items()}
found = {name: energy_distance(x) for name, x in images.items()}
print(f"{'other real digits':18} {energy_distance(small[chance[1000:1500]]):.3f}")
for name, value in found.items():
    print(f"{name:18} {value:.3f}")
ROWS = ["first 25", "first 1", "first 2", "cons. 1", "cons. 2", "prog. 2"]
course.show([x[:10] for x in images.values()], [str(label) for label in range(10)], ROWS, size=0.7)
same = {name: (x - images["first, 25"]).square().mean().sqrt().item() for name, x in images.items()}
for name in ("consistency, 1", "consistency, 2", "progressive, 2"):
    print(f"{name:18} root mean square difference from the first network's image: {same[name]:.2f}")
if not QUICK:
    course.expect(found["first, 25"] < 0.06)
    course.expect(found["first, 1"] > 0.8)
    course.expect(found["consistency, 1"] < 0.4 * found["first, 2"])
    course.expect(max(found["consistency, 2"], found["progressive, 2"]) < 0.3 * found["first, 2"])
    course.expect(same["progressive, 2"] < 0.7 * same["consistency, 2"])

# %% [markdown]
# The second row is the blur of section 1, for each class its own: the distance is more than twenty times that of other
# real digits. One evaluation of the consistency model is far better than two of the first network, and two evaluations
# come close to the first network's 25. The rows also show the map. Each column begins with the same noise. The
# progressive student returns the digits of the first row, and the consistency model does so after one evaluation, but
# not after two.
#
# ## 9. What to take
#
# * **About 20 evaluations are affordable:** do not distil. A sampler of order 2 or 3 (lesson 6) needs no training, and
#   the model keeps everything that it can do.
# * **One or two evaluations:** consistency tuning. One model, and the number of evaluations is chosen when sampling.
# * **The same noise should lead to the same image as before:** progressive distillation, with the number of steps that
#   it was trained for.
#
# What is lost? $\hat x_0$ of a distilled model is a sample, not a mean. Whatever needs the mean does not hold any more:
# the likelihood (lesson 8), samplers of many steps, and guidance (lesson 7), which extrapolates between two means. Keep
# the first model for these, and distil a copy.
#
# On the command line:
#
#     ancestral distil runs/photos --out runs/fast
#     ancestral sample runs/fast --sampler consistency:steps=1
#     ancestral distil runs/photos --method progressive --evaluations 4 --out runs/steps
#     ancestral compare runs/photos runs/fast runs/steps --draw 1000
#
# The page *Few evaluations* of the site has the options, and what to do if it goes wrong. The whole of both methods is
# `objectives/distillation.py`, in fewer than 250 lines. You have written most of them.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **A needle.** In section 1, `torch.tensor([0.1, 0.25], dtype=F64)` → `torch.tensor([0.02, 0.25], dtype=F64)`. One
#   hump is five times as narrow. The one evaluation of the distilled network has to be right there, too. As long as
#   before.
# * **Shorter stages.** In section 4, `copy.deepcopy(teacher), 2 if QUICK else 400` →
#   `copy.deepcopy(teacher), 2 if QUICK else 100`. A quarter of the steps in each stage. How much of the quality is
#   lost? Less time.
# * **Unequal humps.** In section 1, `torch.tensor([0.4, 0.6], dtype=F64)` → `torch.tensor([0.1, 0.9], dtype=F64)`. The
#   map has its jump at another $x_T$. With one evaluation, see where the distilled network places it. As long as
#   before.
