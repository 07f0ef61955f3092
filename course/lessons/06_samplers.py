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
# # Samplers
#
# In lesson 1 a digit took 1,000 evaluations of the network. This lesson shows how 20 are enough. A *sampler* is the
# rule that turns a trained denoiser into samples. It needs no training, so you can change it afterwards, as often as
# you like. You will see
#
# * why the noise in the reverse process can be left out (the *probability flow ODE*),
# * why DDIM is Euler's method, and what *order* a method has, which you measure yourself,
# * why the choice of the times matters, and what noise is good for after all.
#
# A trained network makes errors of its own, and they would hide the errors of a sampler. So the lesson works with
# data whose exact denoiser is a formula. Nothing is trained here. You should have done lessons 2 and 5. Numbers in
# brackets are equations of the papers named beside them: [DDPM](https://arxiv.org/abs/2006.11239) (2020),
# [DDIM](https://arxiv.org/abs/2010.02502) (2021), [score SDEs](https://arxiv.org/abs/2011.13456) (Song et al., 2021),
# [DPM-Solver++](https://arxiv.org/abs/2211.01095) (2022) and [EDM](https://arxiv.org/abs/2206.00364) (2022).

# %%
from importlib.util import find_spec
from pathlib import Path

if find_spec("ancestral_course") is None:  # as in a fresh Colab; where the course is installed, this cell does nothing
    packages = " ".join(str(path) for path in Path().glob("ancestral*.whl")) or "ancestral-course"
    print(f"installing {packages}")
    # %pip install --quiet {packages}

# %%
import math
import os
from itertools import pairwise

import matplotlib.pyplot as plt
import torch

import ancestral_course as course
from ancestral import oracle, samplers, schedules, targets

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 takes fewer samples and steps, to test that every cell runs
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1. A world in which everything is known
#
# The data are single numbers $x_0$: 40 % of them are distributed as $\mathcal N(-0.8,\ 0.1^2)$ and 60 % as
# $\mathcal N(0.5,\ 0.25^2)$. The forward process is that of lesson 1. We write it with two letters,
#
# $$x_t = a_t\,x_0 + b_t\,\varepsilon, \qquad a_t = \sqrt{\bar\alpha_t}, \quad b_t = \sqrt{1-\bar\alpha_t},$$
#
# because most of this lesson holds for any signal $a_t$ and any noise $b_t$. (To write the normally distributed $x_t$
# by standard normal noise is called the *reparameterisation*.) A component $\mathcal N(m, s^2)$ of the data becomes
# $\mathcal N(a_t m,\ a_t^2 s^2 + b_t^2)$ at time $t$. So the density $p_t$ of $x_t$ is known at every time, and with
# it
#
# * its cumulative distribution `cdf`, the share of the $x_t$ that lie below a number,
# * its inverse `quantile`, the number below which a share $u$ of the $x_t$ lies,
# * the exact denoiser, `oracle.Mixture`. Like a network it estimates the noise, $\hat\varepsilon$, and the clean data,
#   $\hat x_0$, with $x_t = a_t \hat x_0 + b_t \hat\varepsilon$. Unlike a network it makes no error: $\hat x_0$ is the
#   mean of all $x_0$ that can have led to $x_t$.

# %%
F64 = torch.float64
MEANS, STDS = torch.tensor([[-0.8], [0.5]], dtype=F64), torch.tensor([0.1, 0.25], dtype=F64)
WEIGHTS = torch.tensor([0.4, 0.6], dtype=F64)
schedule = schedules.linear(1000)  # DDPM's schedule
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


N = 1000 if QUICK else 10_000
shares = (torch.arange(N, dtype=F64)[:, None] + 0.5) / N  # evenly spaced in (0, 1)
x_T = torch.special.ndtri(shares)  # N values that represent N(0, 1) as evenly as N values can


def distance(x, t=0):
    """Mean distance of the sorted samples x (N, 1) from the quantiles of p_t (the Wasserstein-1 distance)."""
    return (x.sort(dim=0).values - quantile(shares, *schedule.at(t))).abs().mean().item()


independent = quantile(torch.rand(N, 1, dtype=F64), 1.0, 0.0)
luck = distance(independent)
print(f"distance of {N} independent samples of the data from the data: {luck:.4f}")
if not QUICK:
    course.expect(0.003 < luck < 0.009)

# %% [markdown]
# `distance` compares a set of samples with the true density. Even true samples have a distance above 0, by the luck of
# the draw. It is about 0.006, and no sampler that draws random numbers can be expected to do better.
#
# ## 2. The reverse process with small steps
#
# Algorithm 2 of DDPM goes from $x_t$ to $x_{t-1}$. The mean (11) divides by $\sqrt{1-\beta_t}$ and subtracts a share
# of the noise. For a small $\beta_t$, $1/\sqrt{1-\beta_t} \approx 1 + \beta_t/2$, and the step becomes
#
# $$x_{t-1} \approx x_t + \tfrac12\beta_t\,x_t + \beta_t\,s(x_t) + \sqrt{\beta_t}\,z,
# \qquad s(x_t) = -\hat\varepsilon/b_t, \quad z \sim \mathcal N(0, 1).$$
#
# The three terms undo the three things that the forward process did. The first stretches what was shrunk. The last
# adds noise, as the forward step did. The middle one pulls back: $s$ is the *score*, the derivative of $\log p_t$,
# which points to where there is more data. In the limit of infinitely many steps this is a *stochastic differential
# equation* (SDE), number (6) of Song et al.
#
# First we check that $-\hat\varepsilon/b_t$ is the derivative of $\log p_t$, which PyTorch can compute by itself.


# %%
def score(x, t):
    """The derivative of log p_t at x (N, 1)."""
    return -denoiser.predict(x, t).eps / schedule.at(t)[1]


x = torch.linspace(-2, 2, 9, dtype=F64)[:, None].requires_grad_()
(derivative,) = torch.autograd.grad(denoiser.log_density(x, 300).sum(), x)
print(f"largest difference between the two: {(score(x, 300) - derivative).abs().max():.1e}")
course.expect(torch.allclose(score(x, 300), derivative))

# %% [markdown]
# Now the walk with noise, and beside it a walk without noise that takes *half* of the score:
#
# $$x_{t-1} \approx x_t + \tfrac12\beta_t\,x_t + \tfrac12\beta_t\,s(x_t).$$
#
# Look at the picture before you ask why half. Time runs from noise on the left to data on the right. The blue shade is
# the exact density $p_t$.


# %%
def sde_step(x, t, z):
    """One reverse step with noise z."""
    return x + beta[t] / 2 * x + beta[t] * score(x, t) + beta[t].sqrt() * z


def ode_step(x, t, z):
    """One reverse step without noise."""
    return x + beta[t] / 2 * x + beta[t] / 2 * score(x, t)


def walk(step, x, seed=0):
    """All states from x_T = x to x_0, stacked: (T + 1, N, 1). State k has time T - k."""
    states, generator = [x], torch.Generator().manual_seed(seed)
    for t in range(T, 0, -1):
        states.append(step(states[-1], t, torch.randn(x.shape, dtype=F64, generator=generator)))
    return torch.stack(states)


def shade(axis):
    """Draw p_t over t: the denser, the bluer, with the largest density of each time as the unit."""
    grid, times = torch.linspace(-2.2, 2.2, 200, dtype=F64)[:, None], range(T, 0, -10)
    density = torch.stack([denoiser.log_density(grid, t).exp() for t in times], dim=1)
    colour = torch.tensor([0.23, 0.51, 0.77]).expand(*density.shape, 3)
    image = torch.cat([colour, 0.6 * (density / density.amax(dim=0)).float()[:, :, None]], dim=2)
    axis.imshow(image.numpy(), extent=(T, 0, -2.2, 2.2), origin="lower", aspect="auto", interpolation="bilinear")
    axis.set(xlabel="t", xlim=(T, 0), ylim=(-2.2, 2.2))
    axis.grid(False)


beta = schedule.beta
start = x_T[N // 12 :: N // 6]  # six starting points
stochastic, deterministic = walk(sde_step, start), walk(ode_step, start)
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True)
    for axis, paths, title in zip(
        axes, (stochastic, deterministic), ("with noise", "without noise, half the score"), strict=True
    ):
        shade(axis)
        axis.plot(range(T, -1, -1), paths[:, :, 0], color="C1", linewidth=0.8)
        course.mark_ends(axis, range(T, -1, -1), paths[:, :, 0], "C1")
        axis.set_title(title)
    axes[0].set_ylabel("$x_t$")
    figure.tight_layout()
    plt.show()

# %% [markdown]
# On the left the paths jitter and cross. A path changes between the two halves of the density until late. On the right
# they are smooth curves that never cross. But at each time both fill the density in the same way. Does the number
# agree?

# %%
for name, step in {"with noise": sde_step, "without noise": ode_step}.items():
    states = walk(step, x_T)
    found = {t: distance(states[T - t], t) for t in (500, 200, 0)}
    print(f"{name:14}", ", ".join(f"distance from p_t at t = {t}: {value:.4f}" for t, value in found.items()))
    course.expect(max(found.values()) < (0.1 if QUICK else 0.03))

# %% [markdown]
# Both walks pass through the same densities $p_t$. The distances that remain have two causes: luck, where there is
# noise, and the steps, which are small but not infinitely small.
#
# ## 3. Why half the score?
#
# Subtract the two steps. What the walk with noise has and the other has not, is
#
# $$x \;\to\; x + \tfrac12\beta\,s(x) + \sqrt{\beta}\,z.$$
#
# This is a step of *Langevin dynamics*. Its noise spreads the points out, its score pulls them together, and if the
# points have the density $p_t$ already, the two cancel: each point moves, but the density does not. The factor ½ is
# the one for which they cancel. Here are 200 such steps, always at $t = 300$, from points that have the density
# $p_{300}$.


# %%
def langevin(x, t, pull, steps=200):
    """Langevin steps at one time t; pull = 0.5 is the right factor of the score."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        z = torch.randn(x.shape, dtype=F64, generator=generator)
        x = x + pull * beta[t] * score(x, t) + beta[t].sqrt() * z
    return x


right = quantile(shares, *schedule.at(300))
moved = {pull: langevin(right, 300, pull) for pull in (0.0, 0.5, 1.0)}
print(f"mean distance that a point has moved: {(moved[0.5] - right).abs().mean():.2f}")
for pull, x in moved.items():
    print(f"factor {pull} of the score: distance from p_300 {distance(x, 300):.3f}")
course.expect((moved[0.5] - right).abs().mean() > 0.4)
if not QUICK:
    course.expect(distance(moved[0.5], 300) < 0.02)
course.expect(distance(moved[0.0], 300) > 0.2)
course.expect(distance(moved[1.0], 300) > 0.1)

# %% [markdown]
# With the factor ½ the points have moved far, and their density is the same. Without the score the noise spreads them,
# and with twice the score they contract. So
#
# $$\text{a reverse step with noise} \;=\; \text{a step without noise} \;+\; \text{a Langevin step}.$$
#
# The Langevin step can be left out, since it does not change the density. What remains is an *ordinary differential
# equation* (ODE), number (13) of Song et al., the **probability flow ODE**. It has two advantages. A smooth curve can
# be followed with large steps, as the rest of this lesson shows. And each $x_T$ leads to one $x_0$, always the same.
# (Section 9 returns to the Langevin step: it corrects errors.)
#
# In one dimension there is even a formula for the solution. The paths never cross, so a point that has a third of all
# points below it at time $t$ has a third of them below it at every time: **it keeps its quantile**. We shall compare
# every sampler with this exact solution.


# %%
def exact(x, schedule, t, s):
    """The solution of the probability flow ODE at time s that has the value x (N, 1) at time t."""
    return quantile(cdf(x, *schedule.at(t)), *schedule.at(s))


for t in (800, 500, 200):
    gap = (deterministic[T - t] - exact(start, schedule, T, t)).abs().max().item()
    print(f"t = {t}: largest distance between the six smooth paths and the lines of constant quantile: {gap:.4f}")
    course.expect(gap < 0.01)

# %% [markdown]
# ## 4. The same ODE, without $\beta$, and one large step of it
#
# There is a form of this ODE that is easier to remember. Take $x_t = a_t \hat x_0 + b_t \hat\varepsilon$, and let $a$
# and $b$ change by a little, $da$ and $db$, while the two estimates stay:
#
# $$dx = \hat x_0\,da + \hat\varepsilon\,db.$$
#
# (To check that this is the ODE above, insert $da = \tfrac12 \beta a$ and $db = -\tfrac12 \beta a^2/b$, the changes
# over one step back, and $\hat x_0 = (x - b\hat\varepsilon)/a$.) It holds for every schedule, not for DDPM's alone.
#
# Now make a step that is *not* small, from $t$ to any earlier time $s$. The estimates change on the way, but we have
# them at $t$ only. **Euler's method** keeps them for the whole step.
#
# ### Exercise 1: one large step, on any schedule
#
# Write this step. A network estimates $\hat\varepsilon$ only, so begin with the $\hat x_0$ that agrees with $x_t$ and
# $\hat\varepsilon$. What are the changes of $a$ and $b$ over the whole step, and what do they add to $x_t$? Use the
# $a$ and $b$ that are given, and do not assume that $a^2 + b^2 = 1$: on EDM's schedule $a$ is 1 at all times. Check: a
# step of length 0 returns $x_t$, and a step to $s = 0$ returns $\hat x_0$. (You will see where the function's name
# comes from.)


# %% tags=["exercise"]
def ddim_step(x_t, eps, now, then):
    """x_s (B, *) from x_t (B, *) and the estimated noise eps (B, *); now = (a_t, b_t) and then = (a_s, b_s), floats."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(6, ddim_step))
right_ddim_step = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def ddim_step(x_t, eps, now, then):
#     (a_t, b_t), (a_s, b_s) = now, then
#     x0 = (x_t - b_t * eps) / a_t
#     return x_t + (a_s - a_t) * x0 + (b_s - b_t) * eps
# ```
# </details>
#
# With $\Delta a = a_s - a_t$ and $\Delta b = b_s - b_t$, Euler's step is
#
# $$x_s = x_t + \Delta a\,\hat x_0 + \Delta b\,\hat\varepsilon .$$
#
# Insert $x_t = a_t \hat x_0 + b_t \hat\varepsilon$, and two terms cancel:
#
# $$x_s = a_s\,\hat x_0 + b_s\,\hat\varepsilon .$$
#
# Read it as: estimate the clean data and the noise, and mix them again, with less noise. This is **DDIM** without
# noise, (12) of its paper with $\sigma_t = 0$. The two names stand for one step:

# %%
t, s = 600, 400
x_t = quantile(shares[N // 10 :: N // 5], *schedule.at(t))
(a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
x0_hat, eps_hat = denoiser.predict(x_t, t)
by_euler = right_ddim_step(x_t, eps_hat, (a_t, b_t), (a_s, b_s))
by_ddim = a_s * x0_hat + b_s * eps_hat
print("Euler:", [round(value, 6) for value in by_euler.flatten().tolist()])
print("DDIM: ", [round(value, 6) for value in by_ddim.flatten().tolist()])
course.expect(torch.allclose(by_euler, by_ddim))
course.expect(torch.allclose(by_ddim, samplers.DDIM(clip=None).sample(denoiser, x_t, times=[t, s])))
course.expect(torch.allclose(by_ddim, samplers.Euler(clip=None).sample(denoiser, x_t, times=[t, s])))

# %% [markdown]
# These are five points at $s = 400$. `samplers.DDIM` and `samplers.Euler` of the package return the same.
# (`clip=None`: $\hat x_0$ is not clipped to [−1, 1], which is useful for images, but our data have no limits.)
#
# ## 5. The order of a method
#
# How wrong are large steps? We go from $T$ to $T/10$ in $n$ equal steps and take the mean distance from the exact
# solution. (The rest of the way to 0 is special. Section 8 is about it.) For that we need the same schedule with a
# finer table, since all times are whole numbers.

# %%
fine = schedules.linear(3200)  # the same curve, in 3,200 steps in place of 1,000
fine_denoiser = oracle.Mixture(fine, MEANS, STDS, WEIGHTS)
points = torch.special.ndtri((torch.arange(64, dtype=F64)[:, None] + 0.5) / 64)
truth = exact(points, fine, 3200, 320)
NUMBERS = [10, 20, 40, 80, 160, 320]


def times_of(n):
    """n equal steps from 3200 to 320."""
    return list(range(3200, 319, -2880 // n))


def errors_of(sample):
    """The mean distance from the exact solution, for each number of steps."""
    return [(sample(fine_denoiser, points, times=times_of(n)) - truth).abs().mean().item() for n in NUMBERS]


euler_errors = errors_of(samplers.Euler(clip=None).sample)
for n, error in zip(NUMBERS, euler_errors, strict=True):
    print(f"{n:4} steps: error {error:.5f}, error times steps {n * error:.3f}")
course.expect(all(0.79 < n * error < 0.81 for n, error in zip(NUMBERS, euler_errors, strict=True)))

# %% [markdown]
# Twice as many steps, half the error: the product of the two stays at 0.80. The error is $C/n$ with a constant $C$. If
# the error is $C/n^k$, the method is said to have the **order** $k$. Euler's method has the order 1. The logarithm
# shows the order as a slope, because $\log(\text{error}) = \log C - k \log n$.
#
# ### Exercise 2: measure an order
#
# Fit a straight line to log error over log $n$ by least squares, with all the points, and return the order $k$. With
# the points $(u_i, v_i)$ and the line $v = c + m\,u$, the sum $\sum_i (v_i - c - m\,u_i)^2$ has to be as small as
# possible. Its derivatives with respect to $c$ and $m$ are then 0. The first says that the line passes through the
# point of the means, $(\bar u, \bar v)$. Use it to eliminate $c$ from the second, and solve for the slope $m$. Check:
# an error of exactly $C/n^2$ has the order 2, whatever $C$ is and whichever $n$ are measured.


# %% tags=["exercise"]
def order(steps, errors):
    """The order of convergence, a number, from the numbers of steps (list) and the errors after them (list)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(6, order))
right_order = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# $c = \bar v - m\,\bar u$ leaves the sum $\sum_i \big((v_i - \bar v) - m\,(u_i - \bar u)\big)^2$. Its derivative with
# respect to $m$ is 0 for
#
# $$m = \frac{\sum_i (u_i - \bar u)(v_i - \bar v)}{\sum_i (u_i - \bar u)^2} , \qquad k = -m .$$
#
# ```python
# def order(steps, errors):
#     u, v = torch.tensor(steps).double().log(), torch.tensor(errors).double().log()
#     u, v = u - u.mean(), v - v.mean()
#     return -((u * v).sum() / (u**2).sum()).item()
# ```
# </details>
#
# ## 6. Heun's method: look at the end of the step, too
#
# Why does Euler's method miss? It keeps the direction that it found at the start of the step, while the true path
# bends. Without an error the step would be
#
# $$x_s = x_t + \int \hat x_0\,da + \int \hat\varepsilon\,db ,$$
#
# with the estimates along the true path from $t$ to $s$. Euler's method takes their values at the start. The
# *trapezoidal rule* for integrals takes the mean of the values at both ends, which is more accurate. But the estimates
# at the end of the step depend on $x_s$, which is not known yet. **Heun's method** takes Euler's step as a trial, and
# evaluates the denoiser a second time *there*.
#
# ### Exercise 3: a Heun step
#
# Write Heun's step, with two evaluations of the denoiser. `denoiser.predict(x, t)` returns the pair
# $\hat x_0, \hat\varepsilon$ at a time $t \ge 1$, and `denoiser.schedule.at(t)` the pair $a_t, b_t$ at a time
# $t \ge 0$. At $s = 0$ there is no noise, and so nothing to estimate: the last step is Euler's alone, with one
# evaluation. Check: if the estimates are the same at both ends, the result is that of Euler's method.


# %% tags=["exercise"]
def heun_step(denoiser, x, t, s):
    """x_s (B, *) from x at time t (B, *), for times s < t, whole numbers; s may be 0."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(6, heun_step))
right_heun_step = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def heun_step(denoiser, x, t, s):
#     (a_t, b_t), (a_s, b_s) = denoiser.schedule.at(t), denoiser.schedule.at(s)
#     x0, eps = denoiser.predict(x, t)
#     trial = x + (a_s - a_t) * x0 + (b_s - b_t) * eps
#     if s == 0:
#         return trial
#     x0_end, eps_end = denoiser.predict(trial, s)
#     return x + (a_s - a_t) * (x0 + x0_end) / 2 + (b_s - b_t) * (eps + eps_end) / 2
# ```
# </details>
#
# In formulas,
#
# $$\tilde x_s = x_t + \Delta a\,\hat x_0 + \Delta b\,\hat\varepsilon, \qquad
# x_s = x_t + \Delta a\,\tfrac12(\hat x_0 + \hat x_0') + \Delta b\,\tfrac12(\hat\varepsilon + \hat\varepsilon'),$$
#
# where $\hat x_0', \hat\varepsilon'$ are the estimates at the trial point $\tilde x_s$ and time $s$. EDM samples with
# it. Here are both, with three steps of the functions of exercises 1 and 3, along the exact path of one point.


# %%
def euler_walk(denoiser, x, times):
    """All states from x at the first of the times to the last, by the step of exercise 1."""
    states = [x]
    for t, s in pairwise(times):
        eps = denoiser.predict(states[-1], t).eps
        states.append(right_ddim_step(states[-1], eps, denoiser.schedule.at(t), denoiser.schedule.at(s)))
    return states


def heun_walk(denoiser, x, times):
    """The same by the step of exercise 3."""
    states = [x]
    for t, s in pairwise(times):
        states.append(right_heun_step(denoiser, states[-1], t, s))
    return states


schedule_of_three, one = [1000, 700, 400, 100], x_T[N // 3 : N // 3 + 1]
path = [exact(one, schedule, T, t).item() for t in range(1000, 99, -10)]
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.6))
    axis.plot(range(1000, 99, -10), path, label="exact")
    for name, walk in {"Euler": euler_walk, "Heun": heun_walk}.items():
        steps = [x.item() for x in walk(denoiser, one, schedule_of_three)]
        axis.plot(schedule_of_three, steps, "o--", markersize=4, label=name)
        print(f"{name}: distance from the exact path at t = 100: {abs(steps[-1] - path[-1]):.3f}")
        course.expect(abs(steps[-1] - path[-1]) > 0.1 if name == "Euler" else abs(steps[-1] - path[-1]) < 0.08)
    axis.set(xlabel="t", ylabel="$x_t$", xlim=(1020, 80))
    axis.legend()
    figure.tight_layout()
    plt.show()

# %% [markdown]
# ## 7. DPM-Solver++: remember the step before
#
# Heun's second evaluation doubles the cost. A *multistep* method looks back in place of forward: the estimate of the
# step before is there already, and costs nothing.
#
# For this the ODE is brought into a simpler form. Divide $x$ by $b$. The rule for the derivative of a quotient, and
# $x = a\hat x_0 + b\hat\varepsilon$, give
#
# $$d\!\left(\frac{x}{b}\right) = \hat x_0\;d\!\left(\frac{a}{b}\right).$$
#
# The noise estimate is gone. If $\hat x_0$ were constant over the step, this could be integrated exactly. It is not
# constant, so we need a better constant than its value at the start of the step: a value *in its middle*. The middle
# of what? DPM-Solver++ takes the time
#
# $$\lambda_t = \log(a_t/b_t),$$
#
# half the logarithm of the SNR of lesson 1. It runs from −5 at noise to 4.6 at $t = 1$.
#
# ### Exercise 4: a step of DPM-Solver++ 2M
#
# Draw a straight line through the last two estimates, as a function of $\lambda$. Continue it beyond $\lambda_t$, to
# the middle between $\lambda_t$ and $\lambda_s$, and call its value there $D$. Then integrate the equation for $x/b$
# from $t$ to $s$ with the constant $D$ in the place of $\hat x_0$, and solve for $x_s$. Three times are involved. The
# pairs $(a, b)$ of all of them are given, from the earliest visited to the next. Check: if the two estimates are
# equal, $D$ is the same, and the step is that of exercise 1.


# %% tags=["exercise"]
def dpm_solver_step(x, x0, x0_before, before, now, then):
    """x_s (B, *) from x at time t (B, *), the estimate x0 there (B, *), and the estimate x0_before of the step before.

    before, now and then are the pairs (a, b) at the time of the step before, at t, and at s, floats above 0.
    """
    ...  # replace this line by yours


# %%
print(verdict := course.check(6, dpm_solver_step))
right_dpm_solver_step = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def dpm_solver_step(x, x0, x0_before, before, now, then):
#     (a_t, b_t), (a_s, b_s) = now, then
#     early, middle, late = (math.log(a / b) for a, b in (before, now, then))
#     D = x0 + (late - middle) / (2 * (middle - early)) * (x0 - x0_before)
#     return b_s / b_t * x + (a_s - a_t * b_s / b_t) * D
# ```
# </details>
#
# The line through the last two estimates, continued from $\lambda_t$ by half the step, has the value
#
# $$D = \hat x_0 + \frac{h}{2\,h_{\rm before}}\,(\hat x_0 - \hat x_0^{\rm before}), \qquad
# h = \lambda_s - \lambda_t, \quad h_{\rm before} = \lambda_t - \lambda_{t_{\rm before}},$$
#
# where $t_{\rm before}$ is the time of the step before and $\hat x_0^{\rm before}$ its estimate. With this constant,
# $x_s/b_s - x_t/b_t = D\,(a_s/b_s - a_t/b_t)$, that is,
#
# $$x_s = \frac{b_s}{b_t}\,x_t + \Big(a_s - a_t\,\frac{b_s}{b_t}\Big)\,D .$$
#
# This is **DPM-Solver++ 2M** (algorithm 2 of Lu et al., who write the bracket as $-a_s(e^{-h} - 1)$). With
# $D = \hat x_0$ it would be DDIM again. The first step has no step before, and is this one.
#
# **UniPC** (Zhao et al., 2023) goes one step further. After each step the denoiser is evaluated at the new point
# anyway, for the next step. UniPC uses this estimate first to *correct* the step that has just been made, with three
# estimates in place of two. Now measure all four, three of them by the steps of the exercises, and their orders by
# exercise 2.


# %%
def dpm_solver_walk(denoiser, x, times):
    """All states by the step of exercise 4, after a first step of DDIM."""
    states, before = [x], None
    for t, s in pairwise(times):
        x0, eps = denoiser.predict(states[-1], t)
        now, then = denoiser.schedule.at(t), denoiser.schedule.at(s)
        if before is None:
            states.append(right_ddim_step(states[-1], eps, now, then))
        else:
            states.append(right_dpm_solver_step(states[-1], x0, *before, now, then))
        before = x0, now
    return states


METHODS = {
    "Euler/DDIM": lambda denoiser, x, times: euler_walk(denoiser, x, times)[-1],
    "DPM-Solver++ 2M": lambda denoiser, x, times: dpm_solver_walk(denoiser, x, times)[-1],
    "Heun": lambda denoiser, x, times: heun_walk(denoiser, x, times)[-1],
    "UniPC": samplers.UniPC().sample,
}
measured = {name: errors_of(sample) for name, sample in METHODS.items()}
by_package = errors_of(samplers.DPMSolver().sample)
largest = max(abs(own - other) for own, other in zip(measured["DPM-Solver++ 2M"], by_package, strict=True))
print(f"errors by the steps of exercise 4 and by samplers.DPMSolver: largest difference {largest:.0e}")
course.expect(largest < 1e-9)


def fitted_slope(errors, last=3):
    """The order from the errors after the last three numbers of steps."""
    return right_order(NUMBERS[-last:], errors[-last:])


course.plot(NUMBERS, measured, "number of steps", "error", "loglog", marker="o", markersize=3)
for name, errors in measured.items():
    print(f"{name:16} error after 10, 20, 320 steps: {errors[0]:.4f}, {errors[1]:.4f}, {errors[-1]:.7f}; ", end="")
    print(f"order {fitted_slope(errors):.2f}")
orders = {name: round(fitted_slope(errors), 2) for name, errors in measured.items()}
course.expect(abs(orders["Euler/DDIM"] - 1) < 0.02)
course.expect(abs(orders["Heun"] - 2) < 0.05)
course.expect(abs(orders["DPM-Solver++ 2M"] - 2) < 0.05)
course.expect(2.8 < orders["UniPC"] < 3.05)

# %% [markdown]
# The orders are 1, 2, 2 and almost 3. Two things to notice:
#
# * The slopes are those of small steps, the right half of the picture. With 10 steps UniPC is no better than 2M. An
#   order is a promise for many steps, while in practice you want few.
# * Heun looks better than 2M. But one of its steps costs two evaluations. What counts in practice is the **number of
#   function evaluations** (NFE), that is, how often the network runs.

# %%
cost = {name: [2 * n if name == "Heun" else n for n in NUMBERS] for name in METHODS}
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.6))
    for name, errors in measured.items():
        axis.loglog(cost[name], errors, marker="o", markersize=3, label=name)
    axis.set(xlabel="NFE", ylabel="error")
    axis.legend()
    figure.tight_layout()
    plt.show()
heun_at_40, multistep_at_40 = measured["Heun"][NUMBERS.index(20)], measured["DPM-Solver++ 2M"][NUMBERS.index(40)]
print(f"error after 40 evaluations: Heun {heun_at_40:.4f}, DPM-Solver++ 2M {multistep_at_40:.4f}")
course.expect(0.9 < heun_at_40 / multistep_at_40 < 1.15)
counted = samplers.Heun(steps=20).nfe(schedule), samplers.DPMSolver(steps=20).nfe(schedule)
print(f"evaluations for 20 steps from T to 0, counted by the package: Heun {counted[0]}, DPM-Solver++ 2M {counted[1]}")
course.expect(counted == (39, 20))

# %% [markdown]
# Heun's advantage is used up by its cost: with 40 evaluations the two are equal. (39 and not 40 evaluations for 20
# steps: the last step, to $t = 0$, is Euler's.)
#
# ## 8. The choice of times
#
# Until here the steps were equal in $t$, and ended at $T/10$. Samples are wanted at $t = 0$. There are other ways to
# choose $n$ out of 1,000 times:
#
# * `trailing`: equal steps in $t$.
# * `logsnr`: equal steps in $\lambda = \log(a/b)$.
# * `karras`: equal steps in $(b/a)^{1/7}$, EDM (5). In $\lambda$ these steps are short at much noise and long at little
#   noise.
#
# Where *should* the steps be? Where $\hat x_0$ changes, as all methods are exact if it is constant. The curve shows
# how fast it changes with $\lambda$, as a mean over the exact paths. Below it are 15 times of each kind.

# %%
ladder = [*range(1000, 0, -5), 1]
lam = torch.tensor([math.log(a / b) for a, b in map(schedule.at, ladder)])
guesses = torch.stack([denoiser.predict(exact(points, schedule, T, t), t).x0 for t in ladder])
speed = ((guesses[1:] - guesses[:-1]).abs().mean(dim=(1, 2)) / (lam[1:] - lam[:-1])).nan_to_num()
SPACINGS = ("trailing", "logsnr", "karras")
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(6.5, 2.8))
    axis.plot((lam[1:] + lam[:-1]) / 2, speed, label=r"change of $\hat x_0$ per unit of $\lambda$")
    for row, spacing in enumerate(SPACINGS):
        visited = samplers.DDIM(steps=15, spacing=spacing).times(schedule)[:-1]
        where = [math.log(a / b) for a, b in map(schedule.at, visited)]
        axis.plot(where, [-0.05 * (row + 1)] * 15, "o", markersize=3, label=spacing)
    axis.set(xlabel=r"$\lambda$ (noise on the left, data on the right)")
    axis.legend(fontsize=8, loc="upper right")
    figure.tight_layout()
    plt.show()
visited = samplers.DDIM(steps=15, spacing="trailing").times(schedule)
left = (schedule.noise[67] / schedule.signal[67]).item()
print(f"trailing: the last time before 0 is {visited[-2]}, where b/a = {left:.2f}")
course.expect(visited[-2] == 67)
course.expect(round(left, 2) == 0.23)

# %% [markdown]
# $\hat x_0$ changes between $\lambda = -3$ and $+3$: there the point decides between the two components, and then
# finds its place within one. Equal steps in $t$ have $t = 67$ as the last time before 0. There the noise is still 0.23
# of the signal, more than the deviation 0.1 of the narrow component of the data. From there the last step jumps to 0,
# and this step is Euler's whatever the method (at $t = 0$, $\lambda$ is infinite, and nothing can be extrapolated to
# it). What does it cost?

# %%
truth_0 = exact(points, schedule, T, 0)
KINDS = {"DDIM": samplers.DDIM, "DPM-Solver++ 2M": samplers.DPMSolver, "Heun": samplers.Heun}
table = {}
print(f"{'error at t = 0':26}" + "".join(f"{f'n = {n}':>10}" for n in (10, 20, 50, 100)))
for name, kind in KINDS.items():
    for spacing in SPACINGS:
        for n in (10, 20, 50, 100):
            x = kind(steps=n, spacing=spacing, clip=None).sample(denoiser, points)
            table[name, spacing, n] = (x - truth_0).abs().mean().item()
        print(f"{name:16}{spacing:10}" + "".join(f"{table[name, spacing, n]:10.4f}" for n in (10, 20, 50, 100)))
gain = table["DPM-Solver++ 2M", "trailing", 50] / table["DPM-Solver++ 2M", "logsnr", 50]
print(f"2M with 50 steps: {gain:.1f} times less error with logsnr than with trailing")
course.expect(7 < gain < 8)
course.expect(0.8 < table["DDIM", "trailing", 50] / table["DDIM", "logsnr", 50] < 1.05)

# %% [markdown]
# For DDIM the choice hardly matters: its error is spread over all steps. For the methods of order 2 it is decisive.
# With equal steps in $t$ the long last step spoils the others. With `logsnr` the last step is tiny, and 50 steps of 2M
# have seven to eight times less error. The best choice depends on the data: the finer their detail, the more times are
# needed at little noise. Section 10 has an example where it is the other way round.
#
# ## 9. What noise is good for
#
# DDIM has a parameter that brings the noise back. A part of the estimated noise is replaced by new noise $z$. From $t$
# to $s$,
#
# $$x_s = a_s \hat x_0 + \sqrt{b_s^2 - \sigma^2}\;\hat\varepsilon + \sigma z . \tag{12}$$
#
# $\sigma = 0$ is the ODE. Which other values are possible, and why does the root stand there?
#
# ### On paper: every σ keeps q(x_t | x_0)
#
# Put the true $x_0$ into (12), and with it $\hat\varepsilon = (x_t - a_t x_0)/b_t$. Begin with
# $x_T = a_T x_0 + b_T\varepsilon$, and go down from $T$ over any times. Each step may have a $\sigma$ of its own, with
# $0 \le \sigma \le b_s$. Show by induction over the times that $x_t$ given $x_0$ is distributed as
# $\mathcal N(a_t x_0,\ b_t^2)$ at all of them, as in DDPM's forward process. (The loss of DDPM depends on nothing
# else. So one trained network serves all of these samplers.)
#
# <details><summary>Derivation</summary>
#
# At $T$ it holds. Suppose that it holds at $t$. Given $x_0$, $\hat\varepsilon$ is then standard normal, and it is
# independent of the new noise $z$. So $x_s$ is normally distributed, as a sum of a constant and of two independent
# normal variables. It remains to find its mean and its variance. Given $x_t$ and $x_0$, the mean of $x_s$ is
# $a_s x_0 + \sqrt{b_s^2 - \sigma^2}\;\hat\varepsilon$ and its variance is $\sigma^2$.
#
# By the *tower property*, the mean of $x_s$ given $x_0$ is the mean of its means:
#
# $$\mathbb E[x_s|x_0] = \mathbb E\big[\mathbb E[x_s|x_t, x_0]\,\big|\,x_0\big]
# = a_s x_0 + \sqrt{b_s^2 - \sigma^2}\;\mathbb E[\hat\varepsilon|x_0] = a_s x_0 .$$
#
# By the *law of total variance*, its variance is the mean of its variances plus the variance of its means:
#
# $$\mathrm{Var}(x_s|x_0) = \mathbb E\big[\mathrm{Var}(x_s|x_t, x_0)\,\big|\,x_0\big]
# + \mathrm{Var}\big(\mathbb E[x_s|x_t, x_0]\,\big|\,x_0\big) = \sigma^2 + (b_s^2 - \sigma^2) = b_s^2 .$$
#
# So it holds at $s$, for every $\sigma$ for which the root is a number. (The step is (7) of the DDIM paper, and this
# is its lemma 1.) A sampler does not know $x_0$, and puts the estimate $\hat x_0$ in its place, as (12) says.
# </details>
#
# The cell draws a $\sigma$ at random for each step, for one $x_0$. Then it leaves the root out, so that new noise is
# added and no other noise is taken away.

# %%
clean, generator = 0.7, torch.Generator().manual_seed(5)
relative_errors = {"with the root": [], "without it": []}  # of the standard deviation of x_t given x_0
for name, values in relative_errors.items():
    x = schedule.at(T)[0] * clean + schedule.at(T)[1] * x_T
    for t in range(T, 50, -50):
        (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(t - 50)
        sigma = b_s * torch.rand((), generator=generator).item()
        factor = math.sqrt(b_s**2 - sigma**2) if name == "with the root" else b_s
        z = torch.randn(x.shape, dtype=F64, generator=generator)
        x = a_s * clean + factor * (x - a_t * clean) / b_t + sigma * z
        values.append(abs(x.std().item() / b_s - 1))
    print(f"{name}: the standard deviation of x_t given x_0 is off by up to {max(values):.1%}")
    course.expect(abs(x.mean() - a_s * clean) < 0.2 * b_s)
course.expect(max(relative_errors["with the root"]) < 5 / N**0.5)  # what N random numbers leave
course.expect(max(relative_errors["without it"]) > 0.5)

# %% [markdown]
# ### Exercise 5: the noise of DDIM
#
# All these processes have the same $x_t$ given $x_0$. They differ in how much two states have in common. In DDPM's
# chain $x_t$ is made from $x_s$ alone, $x_t = r\,x_s + \sqrt{\beta_{ts}}\,\varepsilon'$ with $r = a_t/a_s$ and new
# noise $\varepsilon'$. Find the $\sigma$ for which $x_s$ and $x_t$, given $x_0$, have the same covariance by (12) as
# in this chain. Then the two are one process: given $x_0$, both are Markov chains backwards in time, and
# normal variables are determined by means and covariances. DDIM
# takes $\eta$ times this $\sigma$. Write it for DDPM's schedule: each argument is a tensor of $\bar\alpha$, one entry
# for each step. $s$ is the earlier time, so $\bar\alpha_s > \bar\alpha_t$. Check: what should come out at $s = 0$, and
# for $\eta = 0$?
#
# <details><summary>Hint</summary>
#
# In (12), with the true $x_0$, $x_t - a_t x_0$ is $b_t\,\hat\varepsilon$. So its covariance with $x_s$ is $b_t$ times
# the factor of $\hat\varepsilon$ in $x_s$. In the chain, $x_t$ has $r$ times $x_s$ in it, and $x_s$ has the variance
# $b_s^2$.
# </details>


# %% tags=["exercise"]
def noise_std(alpha_bar_t, alpha_bar_s, eta):
    """The deviation σ (K,) of the noise in K steps t → s, from ᾱ_t (K,), ᾱ_s (K,) and a number eta in [0, 1]."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(6, noise_std))
right_noise_std = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# The covariance given $x_0$ is $b_t\sqrt{b_s^2 - \sigma^2}$ by (12), and $r\,b_s^2$ in the chain. If both are equal,
#
# $$b_s^2 - \sigma^2 = r^2\,\frac{b_s^4}{b_t^2}, \qquad \sigma^2 = \frac{b_s^2}{b_t^2}\,\big(b_t^2 - r^2 b_s^2\big) .$$
#
# With $b_t^2 = 1 - \bar\alpha_t$ and $r^2 = \bar\alpha_t/\bar\alpha_s$ the bracket is
# $1 - \bar\alpha_t - \bar\alpha_t (1-\bar\alpha_s)/\bar\alpha_s = 1 - \bar\alpha_t/\bar\alpha_s$.
#
# ```python
# def noise_std(alpha_bar_t, alpha_bar_s, eta):
#     return eta * ((1 - alpha_bar_s) / (1 - alpha_bar_t)).sqrt() * (1 - alpha_bar_t / alpha_bar_s).sqrt()
# ```
# </details>
#
# In the paper it is number (16):
#
# $$\sigma = \eta\,\sqrt{\frac{1-\bar\alpha_s}{1-\bar\alpha_t}}\,\sqrt{1 - \frac{\bar\alpha_t}{\bar\alpha_s}} \tag{16}$$
#
# (The DDIM paper writes $\alpha$ for the $\bar\alpha$ of DDPM.) $\eta = 0$ is the ODE, and $\eta = 1$ is DDPM with the
# variance $\tilde\beta$, its equation (7). For every $\eta$ up to 1, $\sigma$ is at most $b_s$, so all of them keep
# $x_t$ given $x_0$. The cell makes ten steps of (12) with $\eta = 1$ and the $\sigma$ of the exercise, and compares
# them with DDPM:

# %%
draws = torch.randn(10, 5, 1, dtype=F64, generator=torch.Generator().manual_seed(2))


def same_noise():
    """A function that returns the same noise, step by step, each time that it is made."""
    remaining = iter(draws)
    return lambda shape: next(remaining)


by_ddpm = samplers.DDPM("small", steps=10, clip=None).sample(denoiser, x_T[:: N // 5], noise=same_noise())
by_ddim, z, times = x_T[:: N // 5], same_noise(), samplers.DDIM(steps=10).times(schedule)
alpha_bar = schedule.signal[times] ** 2
deviations = right_noise_std(alpha_bar[:-1], alpha_bar[1:], 1.0).tolist()
for t, s, sigma in zip(times[:-1], times[1:], deviations, strict=True):
    (x0_hat, eps_hat), (a_s, b_s) = denoiser.predict(by_ddim, t), schedule.at(s)
    by_ddim = a_s * x0_hat + math.sqrt(b_s**2 - sigma**2) * eps_hat + sigma * (z(x0_hat.shape) if s > 0 else 0)  # (12)
print(f"DDPM and DDIM with η = 1, ten steps: largest difference {(by_ddpm - by_ddim).abs().max():.1e}")
course.expect(torch.allclose(by_ddpm, by_ddim))

# %% [markdown]
# Why would anybody want the noise back? Recall section 3: a step with noise is a step of the ODE and a Langevin step.
# The Langevin step pulls any points towards $p_t$, *wherever they came from*. If the network has made an error
# earlier, the Langevin steps remove it. The ODE carries it to the end.
#
# A trained network has errors. We plant one: a denoiser whose $\hat\varepsilon$ is 0.1 too large, in one version while
# $t \ge 250$ (early in sampling), in another while $t \le 100$ (late). Two more samplers with noise take part. *Churn*
# is EDM's way (algorithm 2): before each step of Heun it adds noise and goes a little back in time. The
# *predictor-corrector* of Song et al. follows each step with an explicit Langevin step at the new time.


# %%
class Planted:
    """A denoiser with an error: ε̂ is 0.1 too large at the times from `first` to `last`."""

    def __init__(self, denoiser, first, last):
        self.denoiser, self.schedule, self.first, self.last = denoiser, denoiser.schedule, first, last

    def predict(self, x_t, t):
        prediction = self.denoiser.predict(x_t, t)
        if not self.first <= t <= self.last:
            return prediction
        return targets.EPS.solve(x_t, prediction.eps + 0.1, *self.schedule.at(t))


S = 40 if QUICK else 200
WITH_NOISE = {
    "DDIM, η = 0": samplers.DDIM(S, eta=0.0, clip=None),
    "DDIM, η = 0.5": samplers.DDIM(S, eta=0.5, clip=None),
    "DDIM, η = 1": samplers.DDIM(S, eta=1.0, clip=None),
    "Heun": samplers.Heun(S // 2, spacing="trailing"),
    "Heun with churn": samplers.Heun(S // 2, churn=S / 5, spacing="trailing"),
    "predictor-corrector": samplers.PredictorCorrector("small", steps=S // 2, clip=None),
}
generator = torch.Generator().manual_seed(3)


def noise(shape):
    """Noise that is the same each time that the notebook runs."""
    return torch.randn(shape, dtype=F64, generator=generator)


distances = {}
for when, model in {
    "exact": denoiser,
    "early": Planted(denoiser, 250, 1000),
    "late": Planted(denoiser, 1, 100),
}.items():
    for name, sampler in WITH_NOISE.items():
        distances[name, when] = distance(sampler.sample(model, x_T, noise=noise))
print(f"{'distance from the data':24}{'no error':>10}{'early':>10}{'late':>10}")
for name in WITH_NOISE:
    print(f"{name:24}" + "".join(f"{distances[name, when]:10.3f}" for when in ("exact", "early", "late")))
if not QUICK:
    course.expect(max(distances[name, "exact"] for name in ("DDIM, η = 0", "Heun")) < 0.006)
    course.expect(2.5 < distances["DDIM, η = 1", "exact"] / distances["DDIM, η = 0", "exact"] < 3.5)
    course.expect(all(0.29 < distances[name, "early"] < 0.31 for name in ("DDIM, η = 0", "Heun")))
    course.expect(0.2 < distances["DDIM, η = 1", "early"] / distances["DDIM, η = 0", "early"] < 0.33)
    course.expect(distances["Heun with churn", "early"] < 0.02)
    course.expect(distances["predictor-corrector", "early"] < 0.07)
    course.expect(max(distances[name, "late"] for name in ("DDIM, η = 0", "Heun")) < 0.03)
    course.expect(min(distances[name, "late"] for name in WITH_NOISE if name not in ("DDIM, η = 0", "Heun")) > 0.035)

# %% [markdown]
# * **No error:** noise does not help. With $\eta = 1$ the distance is three times that of $\eta = 0$, since the steps
#   are not infinitely small.
# * **Early error:** the ODE carries all of it to the end, a distance of 0.3, no matter how exactly it is solved. With
#   $\eta = 1$ less than a third of it is left, and with churn almost nothing.
# * **Late error:** noise makes it *worse*. A Langevin step pulls towards the density that the denoiser believes in,
#   and after a late error there is no time left to forget it.
#
# So noise exchanges early errors for late ones. Which of the two a trained network has, only an experiment shows. (EDM
# tuned the churn for each data set. With better networks less of it was best, for CIFAR-10 none.)
#
# ## 10. How few evaluations?
#
# A table like the following decides in practice which sampler to take. All have the same budget of evaluations, with
# times equally spaced in $\lambda$ and the exact denoiser. A step of Heun costs two evaluations, and a step of the
# predictor-corrector too, so they make half as many steps.

# %%
BUDGETS = (6, 10, 20, 50, 100)
CONTEST = {
    "DDPM": lambda n: samplers.DDPM("small", steps=n, clip=None, spacing="logsnr"),
    "predictor-corrector": lambda n: samplers.PredictorCorrector("small", steps=n // 2, clip=None, spacing="logsnr"),
    "DDIM": lambda n: samplers.DDIM(steps=n, clip=None, spacing="logsnr"),
    "Heun": lambda n: samplers.Heun(steps=n // 2, spacing="logsnr"),
    "DPM-Solver++ 2M": lambda n: samplers.DPMSolver(steps=n, spacing="logsnr"),
    "UniPC": lambda n: samplers.UniPC(steps=n, spacing="logsnr"),
}
quality = {}
for name, make in CONTEST.items():
    for n in BUDGETS:
        course.expect(n - 1 <= make(n).nfe(schedule) <= n)
        quality[name, n] = distance(make(n).sample(denoiser, x_T, noise=noise))
print(f"{'distance from the data':22}" + "".join(f"{f'NFE {n}':>10}" for n in BUDGETS))
for name in CONTEST:
    print(f"{name:22}" + "".join(f"{quality[name, n]:10.4f}" for n in BUDGETS))
if not QUICK:
    course.expect(quality["UniPC", 20] < luck < min(quality["DDIM", 100], quality["DDPM", 100]))
    course.expect(min(quality[name, 6] for name in CONTEST) > 0.1)
    course.expect(quality["Heun", 10] > quality["DDIM", 10])

# %% [markdown]
# With 20 evaluations UniPC is closer to the data than independent samples of the data are. DDIM and DDPM are not there
# after 100. With only six evaluations nobody is good, and Heun with its three or five large steps is worse than DDIM.
#
# The same with digits. `oracle.Empirical` is the exact denoiser for a data set that consists of 500 images and nothing
# else. It can only return those images, so it is of no use as a model, but it shows what a sampler does with images.
# Which of the 500 images belongs to a starting point? The ODE gives one answer. We count how many of 64 starting points
# lead to it. (300 steps of Heun and 300 steps of UniPC agree for all of them, so we take that as the answer.)

# %%
pixels, _ = course.mnist_data()
digits = torch.tensor(pixels[::10], dtype=torch.float32).reshape(-1, 1, 28, 28)[:, :, 2:-2, 2:-2] / 127.5 - 1
memory = oracle.Empirical(schedule, digits)
starts = torch.randn(9 if QUICK else 64, 1, 24, 24, generator=torch.Generator().manual_seed(4))


def same_image(images, others):
    """Whether the images (B, 1, 24, 24) differ by less than 0.1, as a root mean square over the pixels: (B,)."""
    return (images - others).square().mean(dim=(1, 2, 3)).sqrt() < 0.1


STEPS = 20 if QUICK else 300
answer = samplers.UniPC(steps=STEPS).sample(memory, starts)
by_heun = samplers.Heun(steps=STEPS, spacing="trailing").sample(memory, starts)
print(f"starting points for which {STEPS} steps of Heun and of UniPC agree: {same_image(answer, by_heun).sum()}")
IMAGE_SAMPLERS = {
    "DDIM": lambda n, spacing: samplers.DDIM(steps=n, clip=None, spacing=spacing),
    "Heun": lambda n, spacing: samplers.Heun(steps=n // 2, spacing=spacing),
    "UniPC": lambda n, spacing: samplers.UniPC(steps=n, spacing=spacing),
}
hits, rows = {}, []
print(f"{'right image, of 64':18}" + "".join(f"{f'NFE {n}':>8}" for n in BUDGETS))
for name, make in IMAGE_SAMPLERS.items():
    for spacing in ("trailing", "logsnr"):
        found = [make(n, spacing).sample(memory, starts) for n in BUDGETS]
        hits[name, spacing] = [int(same_image(images, answer).sum()) for images in found]
        print(f"{name:8}{spacing:10}" + "".join(f"{count:8}" for count in hits[name, spacing]))
        if spacing == "trailing":
            rows.append([images[8] for images in found] + [answer[8]])
course.show(rows, [f"NFE {n}" for n in BUDGETS] + ["answer"], list(IMAGE_SAMPLERS))
if not QUICK:
    course.expect(same_image(answer, by_heun).all())
    course.expect(59 <= hits["UniPC", "trailing"][1] <= 61)
    course.expect(50 <= hits["DDIM", "trailing"][1] <= 54)
    course.expect(all(hits[name, "trailing"][1] > hits[name, "logsnr"][1] for name in IMAGE_SAMPLERS))

# %% [markdown]
# The picture shows one of the starting points. With few evaluations DDIM arrives at another image than the ODE does.
# Nothing is wrong with that image, but it is the answer to another starting point. With 10 evaluations
# UniPC finds the right one for about 60 of the 64 starting points, and DDIM for about 52.
#
# And here `trailing` is *better* than `logsnr`, for all three. The 500 images are far apart, and the choice between
# them falls while there is much noise. After that nothing is left to decide. In section 8 it was the other way round,
# because there the data had detail that is decided late. No spacing is the best for all data.
#
# ## 11. What to take
#
# * **A deterministic method of order 2 or 3** (`samplers.UniPC`, `samplers.DPMSolver`) with 10 to 50 evaluations, if
#   evaluations are expensive.
# * **DDIM or Euler** if simplicity counts, for example to go from an image to its noise and back.
# * **Noise** (`samplers.DDPM`, `eta` or `churn` above 0) if many evaluations are affordable and the network makes
#   early errors.
# * **`spacing`** is worth as much as the method.
#
# For your own model `ancestral compare RUN --samplers all` measures the quality of every sampler over the number of
# evaluations.
#
# The page *Samplers, measured* of the site has the measured orders of all samplers on all schedules. The next lesson
# changes what is sampled: guidance.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **A needle.** In section 1, `torch.tensor([0.1, 0.25], dtype=F64)` → `torch.tensor([0.02, 0.25], dtype=F64)`. One
#   of the two humps is five times as narrow. Look at the contest of section 10: which methods suffer most at 10
#   evaluations? As long as before.
# * **Fewer samples.** In section 1, `else 10_000` → `else 1_000`. The distance of independent samples is about three
#   times as large, and fewer differences of samplers stand out from it. Less time.
# * **Unequal humps.** In section 1, `torch.tensor([0.4, 0.6], dtype=F64)` → `torch.tensor([0.1, 0.9], dtype=F64)`. A
#   tenth of the samples has to find the left hump. The orders of the methods stay, the constants change. As long as
#   before.
