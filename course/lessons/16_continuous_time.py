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
# # Continuous time
#
# DDPM has a thousand steps. What is left if the steps become infinitely many and infinitely short? A stochastic
# differential equation, and with it the answers to questions that a chain of steps leaves open. Why do a random walk
# and a deterministic flow give the same samples? Why may a sampler put noise back, and how much? Why does a network
# that learns the noise of single examples know the score of all data? In this lesson you derive each answer in a few
# lines, and check each line in numbers.
#
# The data are as small as possible: one number, drawn from a mixture of two normal distributions. Its density $p_t$
# at every time has a closed form, so that no network is needed, and a derivative can be compared with what a theorem
# says of it. Everything holds in any number of dimensions; $\nabla$ is then the gradient, $\nabla\cdot$ the
# divergence and $\Delta$ the sum of the second derivatives. Here they are $\partial_x$, $\partial_x$ and
# $\partial_x^2$.
#
# You should have done lessons 3, 5 and 6. Five exercises are to be programmed, and three proofs to be written on
# paper. The notebook runs in about a minute on two CPU cores.

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
from ancestral import oracle, samplers, schedules

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 simulates fewer particles, only to test that every cell runs
T = 1000
torch.set_default_dtype(torch.float64)  # derivatives of derivatives need the digits
SCHEDULES = {
    "linear": schedules.linear(),
    "cosine": schedules.cosine(),
    "sigmoid": schedules.sigmoid(),
    "flow": schedules.flow(),
    "geometric": schedules.geometric(sigma_min=0.01, sigma_max=5.0),
    "karras": schedules.karras(),
}

# %% [markdown]
# ## 1. From steps to an equation
#
# The noisy item is $x_t = a_t x_0 + b_t \varepsilon$, as in all lessons. Lesson 2 derived the step from $s$ to a
# later time $t$:
#
# $$x_t = \frac{a_t}{a_s}\,x_s + \sqrt{\beta_{ts}}\;z, \qquad \beta_{ts} = b_t^2 - \frac{a_t^2}{a_s^2}\,b_s^2 .$$
#
# Let the step be short, $t = s + dt$. It changes little: it multiplies by a number that is nearly 1, and adds little
# variance,
#
# $$\frac{a_t}{a_s} = 1 + f\,dt + O(dt^2), \qquad \beta_{ts} = g^2\,dt + O(dt^2) .$$
#
# ### Exercise 1: drift and diffusion
#
# Find $f$ and $g^2$ from $a$, $b$ and their derivatives $\dot a$, $\dot b$ with respect to time. Expand $a_t = a +
# \dot a\,dt$ and $b_t = b + \dot b\,dt$, and keep what is of first order. The schedule may be any: $a^2 + b^2$
# need not be 1. For $a = 1$ and $b = \sigma$ it must be $f = 0$, $g^2 = d(\sigma^2)/dt$.


# %% tags=["exercise"]
def drift_and_diffusion(a, b, da, db):
    """f and g² of a schedule, each (B,), from its scales and their derivatives with respect to time, (B,)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(16, drift_and_diffusion))
right_drift_and_diffusion = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def drift_and_diffusion(a, b, da, db):
#     f = da / a
#     return f, 2 * b * db - 2 * f * b**2
# ```
#
# </details>
#
# The expansion: $a_t/a_s = 1 + \frac{\dot a}{a}\,dt$, so $a_t^2/a_s^2 = 1 + 2\frac{\dot a}{a}\,dt$. With $b_t^2 =
# b_s^2 + \frac{d(b^2)}{dt}\,dt$ it follows that
#
# $$\beta_{ts} = b_t^2 - \frac{a_t^2}{a_s^2}\,b_s^2
# = \Big(\frac{d(b^2)}{dt} - 2\,\frac{\dot a}{a}\,b^2\Big)\,dt + O(dt^2) .$$
#
# One writes
#
# $$dx = f\,x\,dt + g\,dw, \qquad f = \frac{\dot a}{a}, \qquad g^2 = \frac{d(b^2)}{dt} - 2f\,b^2, \tag{i}$$
#
# and calls it a **stochastic differential equation** (SDE). $dw$ is normal noise of variance $dt$: twice the time,
# twice the variance, hence $\sqrt{dt}$ in front of $z$. That is all that you need to know about it.
#
# $f$ and $g^2$ of the schedules that you know:
#
# | schedule | $a$, $b$ | $f$ | $g^2$ |
# |---|---|---|---|
# | variance preserving (`linear`, `cosine`, `sigmoid`) | $a^2 + b^2 = 1$ | $-\tfrac12\beta(t)$ | $\beta(t)$ |
# | variance exploding (`geometric`, `karras`) | $1$, $\sigma_t$ | $0$ | $d(\sigma^2)/dt$ |
# | straight line (`flow`), $u = t/T$ | $1-u$, $u$ | $-1/(T-t)$ | $2u/(T-t)$ |
#
# The first row follows from (i): $a^2 + b^2 = 1$ gives $d(b^2)/dt = -2a\dot a = -2fa^2$, so $g^2 = -2f(a^2+b^2) =
# -2f$.
#
# `Schedule.at` and `Schedule.rates` take times between the integers. Here is (i) beside what a step of a thousandth
# of the grid does, for each schedule. The difference is of the order of the step.


# %%
def forward_sde(schedule, t):
    """f and g² at a time, by the function of exercise 1."""
    f, g2 = right_drift_and_diffusion(*torch.tensor([*schedule.at(t), *schedule.rates(t)])[:, None])
    return f.item(), g2.item()


step = 1e-3
for name, schedule in SCHEDULES.items():
    for t in (50.5, 400.5, 900.5):
        f, g2 = forward_sde(schedule, t)
        factor = (schedule.at(t + step)[0] / schedule.at(t)[0] - 1) / step
        variance = schedule.forward_variance(t + step, t) / step
        course.expect(math.isclose(f, factor, rel_tol=1e-4))
        course.expect(math.isclose(g2, variance, rel_tol=1e-4))
        if name in ("linear", "cosine", "sigmoid"):
            course.expect(math.isclose(g2, -2 * f, rel_tol=1e-6))
        if name == "flow":
            course.expect(math.isclose(f, -1 / (T - t), rel_tol=1e-9))
            course.expect(math.isclose(g2, 2 * (t / T) / (T - t), rel_tol=1e-9))
    print(f"{name:10} at t = {t}: f = {f:+.3g}, g² = {g2:.3g}; of a short step {factor:+.3g}, {variance:.3g}")

# %% [markdown]
# ## 2. What a step does to a density: Fokker and Planck
#
# Many particles walk by $dx = \mu(x, t)\,dt + g\,dw$, with any drift $\mu$. How does their density $p_t$ change? It
# is easier to ask how an average changes. Take a smooth function $\varphi$ that is 0 far away, and expand one step:
#
# $$\varphi(x + \mu\,dt + g\sqrt{dt}\,z) = \varphi + \varphi'\,(\mu\,dt + g\sqrt{dt}\,z) + \tfrac12\varphi''\,g^2dt\,z^2
# + O(dt^{3/2}) .$$
#
# The mean over $z$ removes the term with $z$, and $\mathbb E z^2 = 1$. The mean over the particles is an integral
# over $p_t$:
#
# $$\int \varphi\;\partial_t p_t\,dx = \frac{d}{dt}\,\mathbb E\,\varphi(x_t)
# = \int \big(\varphi'\mu + \tfrac12 g^2 \varphi''\big)\,p_t\,dx .$$
#
# An equation for averages that holds for all $\varphi$ is called the *weak form*; it needs no derivative of $p_t$.
#
# ### Exercise 2: from averages to the density
#
# What is $\partial_t p_t$ itself? Integrate by parts until $\varphi$ stands without derivatives on the right, too;
# nothing is left at the ends, since $\varphi$ is 0 there. Both sides agree for *every* $\varphi$, so what stands
# beside $\varphi$ is equal. Write it with $p$, $\mu$ and their derivatives, in one dimension. Mind the
# product. For $\mu = 0$ it is the equation of heat, and its integral over $x$ is 0.


# %% tags=["exercise"]
def density_rate(p, dp, ddp, mu, dmu, g2):
    """∂p/∂t at points (N,), from p, p', p'' and the drift mu, mu' at these points, (N,), and the number g²."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(16, density_rate))
right_density_rate = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def density_rate(p, dp, ddp, mu, dmu, g2):
#     return -(dmu * p + mu * dp) + g2 / 2 * ddp
# ```
#
# </details>
#
# The first term is integrated by parts once and changes its sign, the second twice and keeps it:
#
# $$\int \big(\varphi'\mu + \tfrac12 g^2 \varphi''\big)\,p_t\,dx
# = \int \varphi\,\big(-\partial_x(\mu\,p_t) + \tfrac12 g^2\,\partial_x^2 p_t\big)\,dx .$$
#
# In any dimension, with the same steps:
#
# $$\partial_t\,p_t = -\nabla\cdot(\mu\,p_t) + \tfrac12\,g^2\,\Delta p_t . \tag{ii}$$
#
# This is the **Fokker-Planck equation**. The first term carries the density along, the second spreads it.
#
# Our data: two normal distributions. At time $t$ each is normal with mean $a_t m$ and variance $a_t^2 s^2 + b_t^2$,
# so $p_t$ is known. `derivatives` differentiates it twice by automatic differentiation, and (ii) is compared with the
# difference of $p_t$ at two neighbouring times.

# %%
MEANS, STDS, WEIGHTS = torch.tensor([-0.8, 0.5]), torch.tensor([0.15, 0.3]), torch.tensor([0.4, 0.6])


def exact(schedule):
    """The exact denoiser of the data, with the density of x_t."""
    return oracle.Mixture(schedule, MEANS[:, None], STDS, WEIGHTS)


def density(schedule, x, t):
    """p_t at points (N,)."""
    return exact(schedule).log_density(x[:, None], t).exp()


def derivatives(function, x):
    """A function of points (N,) and its first and second derivative, each (N,)."""
    x = x.clone().requires_grad_()
    value = function(x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    return value.detach(), first.detach(), second


def score_at(schedule, x, t):
    """The score ∂ log p_t and its derivative at points (N,)."""
    _, score, slope = derivatives(lambda x: exact(schedule).log_density(x[:, None], t), x)
    return score, slope


grid = torch.linspace(-4, 4, 801)
for name, schedule in SCHEDULES.items():
    for t in (150.5, 400.5, 700.5):
        f, g2 = forward_sde(schedule, t)
        p, dp, ddp = derivatives(lambda x, schedule=schedule, t=t: density(schedule, x, t), grid)
        right = right_density_rate(p, dp, ddp, f * grid, torch.full_like(grid, f), g2)
        left = (density(schedule, grid, t + step) - density(schedule, grid, t - step)) / (2 * step)
        error = ((left - right).abs().max() / left.abs().max()).item()
        course.expect(error < 1e-4)
    print(f"{name:10} largest difference of both sides of (ii), relative to the largest value: {error:.1e}")

# %%
cosine = SCHEDULES["cosine"]
course.plot(
    grid,
    {f"t = {t}": density(cosine, grid, t) for t in (1, 250, 500, 999)},
    "x",
    "p_t",
)

# %% [markdown]
# ## 3. Noise is a drift
#
# The density can be written as $\nabla p = p\,\nabla\log p$. So the term that spreads is itself the divergence of
# something that carries:
#
# $$\tfrac12 g^2\,\Delta p_t = \nabla\cdot\big(\tfrac12 g^2\,p_t\,\nabla\log p_t\big)
# = -\nabla\cdot\big((-\tfrac12 g^2\,\nabla\log p_t)\;p_t\big) . \tag{iii}$$
#
# **For the density, noise of variance $g^2\,dt$ is the same as a drift of $-\tfrac12 g^2\,\nabla\log p_t$**: down the
# slope of the density, from where there are many particles to where there are few. A single particle does something
# else, but the crowd does the same. Two consequences follow at once.
#
# **The probability flow.** Turn all noise of (i) into drift:
#
# $$dx = \big(f\,x - \tfrac12 g^2\,\nabla\log p_t\big)\,dt .$$
#
# By (iii) it has the density of (i) at every time, and no randomness. It runs forwards and backwards.
#
# **The reverse process.** Let time run backwards, $\tau = T - t$. The density must satisfy (ii) with the opposite
# sign, $\partial_\tau p = \nabla\cdot(f x\,p) - \tfrac12 g^2\Delta p$. A *negative* spread cannot be walked. But a
# drift can be, and (iii) makes one of the other.
#
# ### Exercise 3: every sampler at once
#
# Particles walk backwards by $dx = \mu\,d\tau + \eta\,g\,dw$, with any share $\eta \ge 0$ of the noise. Which drift
# $\mu$ gives them the density of the reverse process? Write (ii) for $\mu$ and $\eta\,g$, set its right side equal to
# the one above, and turn what is left of $\Delta p$ into a drift by (iii). With
# $\eta = 0$ it must be the probability flow, backwards.


# %% tags=["exercise"]
def reverse_drift(x, f, g2, score, eta):
    """The drift for x (N,) at a time, with the score (N,) of p_t at x; f, g2 and eta are numbers."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(16, reverse_drift))
right_reverse_drift = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def reverse_drift(x, f, g2, score, eta):
#     return -f * x + (1 + eta**2) / 2 * g2 * score
# ```
#
# </details>
#
# Take the spread that can be walked out of the one that cannot, and use (iii) on the rest:
#
# $$-\tfrac12 g^2 \Delta p = \tfrac12 \eta^2 g^2 \Delta p - \tfrac12 (1 + \eta^2)\,g^2\,\Delta p
# = \tfrac12 \eta^2 g^2 \Delta p - \nabla\cdot\big(\tfrac12 (1+\eta^2)\,g^2\,\nabla\log p\;\,p\big) .$$
#
# Compare with (ii): this is the density of particles that walk by
#
# $$dx = \Big[-f\,x + \tfrac12\,(1 + \eta^2)\,g^2\,\nabla\log p_t\Big]\,d\tau + \eta\,g\,dw . \tag{iv}$$
#
# $\eta = 0$ is the probability flow. $\eta = 1$ is the reverse SDE of Anderson (1982), on which
# [Song et al. (2021)](https://arxiv.org/abs/2011.13456) built. Everything between and beyond has the same densities.
#
# Does it hold? 40,000 particles start from noise, walk by (iv) with short steps (*Euler-Maruyama*: drift times the
# step, plus noise times its root), and should end as the data. Their distribution function is compared with that of
# the data; with so many particles it is off by about 0.004 by chance. One walk has too little drift for its noise,
# and shows what the ½ (1 + η²) is for.

# %%
PARTICLES, STEPS = (2_000, 100) if QUICK else (40_000, 500)


def score_of(denoiser, schedule, x, t):
    """The score at particles (N,): −ε̂/b."""
    return -denoiser.predict(x[:, None], t).eps[:, 0] / schedule.at(t)[1]


def walk(schedule, eta, drift_of_eta):
    """Particles that walk by (iv) from t = T − 1 to 1, with the drift of one eta and the noise of another."""
    generator, denoiser = torch.Generator().manual_seed(0), exact(schedule)
    times = torch.linspace(T - 1, 1, STEPS + 1).tolist()
    x = schedule.at(times[0])[1] * torch.randn(PARTICLES, generator=generator)
    for t, s in pairwise(times):
        (f, g2), dt = forward_sde(schedule, (t + s) / 2), t - s
        score = score_of(denoiser, schedule, x, (t + s) / 2)
        drift = right_reverse_drift(x, f, g2, score, drift_of_eta)
        x = x + dt * drift + eta * math.sqrt(g2 * dt) * torch.randn(PARTICLES, generator=generator)
    return x


def largest_gap(samples):
    """The largest difference of the distribution functions of samples (N,) and of the data."""
    x = samples.sort().values
    data = (WEIGHTS * torch.special.ndtr((x[:, None] - MEANS) / STDS)).sum(1)
    rank = torch.arange(1, len(x) + 1) / len(x)
    return torch.maximum((rank - data).abs(), (rank - 1 / len(x) - data).abs()).max().item()


walks = {f"η = {eta:g}": walk(cosine, eta, eta) for eta in (0, 0.5, 1, 1.5)}
walks["η = 1, drift of η = 0"] = walk(cosine, 1, 0)
for name, samples in walks.items():
    print(f"{name:22} distance of the distribution functions {largest_gap(samples):.4f}")
if not QUICK:
    course.expect(all(largest_gap(walks[f"η = {eta:g}"]) < 0.02 for eta in (0, 0.5, 1, 1.5)))
    course.expect(largest_gap(walks["η = 1, drift of η = 0"]) > 0.05)

with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.3), sharey=True)
    for axis, name in zip(axes, ("η = 0", "η = 1", "η = 1, drift of η = 0"), strict=True):
        axis.hist(walks[name].numpy(), bins=80, range=(-2, 2), density=True, color="C0")
        axis.plot(grid, density(cosine, grid, 0), color="C1")
        axis.set(title=name, xlim=(-2, 2), xlabel="x")
    figure.tight_layout()
    plt.show()

# %% [markdown]
# **DDIM is (iv).** DDIM's step of lesson 6 keeps a share of the noise and replaces the rest:
# $x_s = a_s\hat x_0 + \sqrt{b_s^2 - \sigma^2}\,\hat\varepsilon + \sigma z$ with $\sigma =
# \eta\sqrt{\tilde\beta_{ts}}$. Over a short step $\tilde\beta_{ts} = \beta_{ts} b_s^2/b_t^2 \to g^2\,d\tau$, so its
# noise is that of (iv). Its mean moves by $-\dot a\,\hat x_0\,d\tau - \dot b\,\hat\varepsilon\,d\tau -
# \frac{\sigma^2}{2b}\hat\varepsilon$. Put in $\nabla\log p_t = -\hat\varepsilon/b$ and (i), and it is the drift of
# (iv). In numbers, for one short step:

# %%
x, t, short = torch.linspace(-2, 2, 9), 400.5, 1e-3
denoiser = exact(cosine)
f, g2 = forward_sde(cosine, t)
a_s, b_s = cosine.at(t - short)
prediction = denoiser.predict(x[:, None], t)
score = score_of(denoiser, cosine, x, t)
for eta in (0, 0.5, 1):
    sigma = eta * math.sqrt(cosine.posterior_variance(t, t - short))
    mean = a_s * prediction.x0[:, 0] + math.sqrt(b_s**2 - sigma**2) * prediction.eps[:, 0]
    drift = right_reverse_drift(x, f, g2, score, eta)
    course.expect(torch.allclose((mean - x) / short, drift, rtol=1e-4, atol=1e-7))
    course.expect(math.isclose(sigma**2 / short, eta**2 * g2, rel_tol=1e-4, abs_tol=1e-12))
    package = samplers.DDIM(eta=eta, clip=None).sample(denoiser, x[:, None], times=[t, t - short])
    course.expect(eta > 0 or torch.allclose(package[:, 0], mean))
    print(f"η = {eta}: largest difference of DDIM's drift and (iv): {((mean - x) / short - drift).abs().max():.1e}")

# %% [markdown]
# ## 4. Langevin keeps the density
#
# NCSN samples at a fixed noise level by Langevin steps, $x \leftarrow x + \frac\alpha2\nabla\log p\,(x) +
# \sqrt\alpha\,z$. In the limit of short steps this is the SDE with drift $\mu = \frac12\nabla\log p$ and $g = 1$. Put
# it into (ii):
#
# $$\partial_t p = -\nabla\cdot\big(\tfrac12\,\nabla\log p\;\,p\big) + \tfrac12\Delta p
# = -\tfrac12\Delta p + \tfrac12\Delta p = 0 .$$
#
# The density does not change: **Langevin dynamics keeps $p$**. And it is what (iv) adds to the flow: with $\eta > 0$
# there is $\frac12\eta^2 g^2\,\nabla\log p_t\,d\tau + \eta g\,dw$ beside the flow, which is Langevin with $\alpha =
# \eta^2 g^2\,d\tau$. So a stochastic sampler is the flow, which moves the density, and Langevin, which keeps it and
# so repairs what errors have done to it.
#
# A step of finite size does not keep $p$ exactly. By how much is it off? For normal data of mean 0 and variance $v$
# the score is $-x/v$, and everything stays normal.
#
# ### Exercise 4: the error of a Langevin step
#
# Repeat the step for ever. What is the variance of $x$ then? Write down what one step makes of a variance $V$, and
# solve for the $V$ that stays.


# %% tags=["exercise"]
def langevin_variance(v, alpha):
    """The variance that repeated Langevin steps of size alpha end with, for data N(0, v) and its exact score."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(16, langevin_variance))
right_langevin_variance = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# A step multiplies $x$ by $1 - \frac{\alpha}{2v}$ and adds the variance $\alpha$. $V = (1-\frac{\alpha}{2v})^2 V +
# \alpha$ gives $V = \alpha / \big(\frac\alpha v - \frac{\alpha^2}{4v^2}\big) = v/(1 - \frac{\alpha}{4v})$.
#
# ```python
# def langevin_variance(v, alpha):
#     return v / (1 - alpha / (4 * v))
# ```
#
# It is too large by about $\alpha/4$, whatever $v$ is, and infinite at $\alpha = 4v$.
# </details>

# %%
grid_score, grid_slope = score_at(cosine, grid, 300)
p, dp, ddp = derivatives(lambda x: density(cosine, x, 300), grid)
rate = right_density_rate(p, dp, ddp, grid_score / 2, grid_slope / 2, 1.0)
print(f"Langevin's right side of (ii): at most {rate.abs().max():.1e}, beside ½ p'' of up to {ddp.abs().max() / 2:.2g}")
course.expect(rate.abs().max() < 1e-9 * ddp.abs().max())

v, found = 0.25, {}
for alpha in (0.01, 0.1, 0.3):
    generator, x = torch.Generator().manual_seed(1), torch.zeros(PARTICLES)
    for _ in range(60 if QUICK else 400):
        x = x - alpha / (2 * v) * x + math.sqrt(alpha) * torch.randn(PARTICLES, generator=generator)
    found[alpha] = x.var().item()
    print(
        f"step {alpha}: variance {found[alpha]:.4f}, {right_langevin_variance(v, alpha):.4f} in theory; of the data {v}"
    )
if not QUICK:
    course.expect(all(abs(found[alpha] / right_langevin_variance(v, alpha) - 1) < 0.03 for alpha in found))

# %% [markdown]
# ## 5. Why the noise of single examples is enough
#
# A sampler needs $\nabla\log p_t$, which nobody knows. Training uses $\nabla\log q(x_t|x_0) = -\varepsilon/b_t$, the
# score *given one example*. Vincent (2011) showed that it makes no difference.
#
# ### On paper 1: denoising score matching
#
# Show that for every function $s(x)$, with the mean over $x_0$, $\varepsilon$ and so over $x_t$,
#
# $$\mathbb E\,\|s(x_t) - \nabla\log q(x_t|x_0)\|^2 = \mathbb E\,\|s(x_t) - \nabla\log p_t(x_t)\|^2 + C,$$
#
# where $C$ does not depend on $s$. What is $C$?
#
# <details><summary>Proof</summary>
#
# Expand both squares. $\mathbb E\|s\|^2$ is on both sides, and the last terms do not depend on $s$. So it is enough
# that the cross terms agree. $p_t(x) = \int q(x|x_0)\,p(x_0)\,dx_0$, and $\nabla q = q\,\nabla\log q$, so
#
# $$\mathbb E\,s\cdot\nabla\log p_t = \int s\cdot\nabla p_t\,dx = \iint s\cdot\nabla q(x|x_0)\,p(x_0)\,dx_0\,dx
# = \iint s\cdot\nabla\log q\;\,q\,p(x_0)\,dx_0\,dx = \mathbb E\,s\cdot\nabla\log q(x_t|x_0) .$$
#
# $C = \mathbb E\|\nabla\log q(x_t|x_0)\|^2 - \mathbb E\|\nabla\log p_t(x_t)\|^2$. The first is $D/b_t^2$ for items of
# $D$ numbers: $\nabla\log q = -\varepsilon/b_t$, and each number has $\mathbb E\varepsilon^2 = 1$. In short:
# $\nabla\log p_t(x_t)$ is the mean of $\nabla\log q(x_t|x_0)$ given $x_t$, and $C$ is the variance around this mean
# (the law of total variance).
# </details>
#
# The cell takes three quite different functions for $s$, and computes both sides by numerical integration over $x_0$
# and $\varepsilon$. The difference is the same constant each time.


# %%
def quadrature(count=400):
    """Points and weights (count,) of numerical integration over N(0, 1)."""
    z = torch.linspace(-8, 8, count)
    weight = torch.exp(-(z**2) / 2)
    return z, weight / weight.sum()


z, weight = quadrature()
x_0 = (MEANS[:, None] + STDS[:, None] * z).reshape(-1, 1)  # (2 · 400, 1), the data
joint = (WEIGHTS[:, None] * weight).reshape(-1, 1) * weight  # (2 · 400, 400), the weight of each pair (x_0, ε)
t = 400
a, b = cosine.at(t)
x_t = a * x_0 + b * z
true_score = score_at(cosine, x_t.reshape(-1), t)[0].reshape(x_t.shape)
given_one = (-z / b).expand_as(x_t)
GUESSES = {"0": torch.zeros_like, "−x": lambda x: -x, "sin 3x": lambda x: torch.sin(3 * x)}
constants = []
for name, guess in GUESSES.items():
    denoising = (joint * (guess(x_t) - given_one) ** 2).sum().item()
    matching = (joint * (guess(x_t) - true_score) ** 2).sum().item()
    constants.append(denoising - matching)
    print(f"s = {name:6} denoising {denoising:.6f} − score matching {matching:.6f} = {denoising - matching:.6f}")
C = 1 / b**2 - (joint * true_score**2).sum().item()
print(f"1/b² − E|∇log p|² = {C:.6f}")
course.expect(max(abs(constant - C) for constant in constants) < 1e-6)

# %% [markdown]
# The constant is what the loss of a perfect network is. That is why a loss that no longer falls says nothing by
# itself.
#
# ### On paper 2: flow matching
#
# Flow matching trains a velocity, $v(x, t)$. What it should learn is the velocity of the probability flow, $\mathbb
# E[\dot a x_0 + \dot b\varepsilon\,|\,x_t]$ (with $x_0 = (x_t - b\varepsilon)/a$ it is $f x_t + (\dot b - f b)\,\mathbb
# E[\varepsilon|x_t] = f x_t - \frac12 g^2\nabla\log p_t$). What it is trained on is the velocity of single paths, $u =
# \dot a x_0 + \dot b\,\varepsilon$ ([Lipman et al., 2023](https://arxiv.org/abs/2210.02747)). Show that the two losses
# differ by a constant, and that the mean velocity moves the density as it should:
#
# $$\mathbb E\,\|v - u\|^2 = \mathbb E\,\big\|v - \mathbb E[u\,|\,x_t]\big\|^2 + C, \qquad
# \partial_t p_t = -\nabla\cdot\big(p_t\,\mathbb E[u\,|\,x_t]\big) .$$
#
# <details><summary>Proof</summary>
#
# *The losses.* Write $v - u = (v - \bar u) + (\bar u - u)$ with $\bar u = \mathbb E[u|x_t]$, and expand. The cross
# term is
# $2\,\mathbb E\,(v - \bar u)\cdot(\bar u - u)$. Take the mean given $x_t$ first (the *tower property*: the mean of
# the conditional means is the mean). $v - \bar u$ is then fixed, and $\mathbb E[\bar u - u\,|\,x_t] = 0$. So the
# cross term is 0, and $C = \mathbb E\|u - \bar u\|^2$.
#
# *The density.* The weak form again. $x_t$ moves with the velocity $u$, so for any $\varphi$
#
# $$\frac{d}{dt}\mathbb E\varphi(x_t) = \mathbb E\,\nabla\varphi(x_t)\cdot u
# = \mathbb E\,\nabla\varphi(x_t)\cdot\bar u(x_t)
# = \int \nabla\varphi\cdot\bar u\,p_t\,dx = -\int\varphi\;\nabla\cdot(p_t\bar u)\,dx ,$$
#
# where the second step is the tower property. It is (ii) without noise, the *continuity equation*.
# </details>

# %%
straight = SCHEDULES["flow"]
t = 400.5
(a, b), (da, db) = straight.at(t), straight.rates(t)
x_t, velocity = a * x_0 + b * z, da * x_0 + db * z


def mean_velocity(x, t):
    """E[u | x_t] at points (N,), by the exact denoiser."""
    da, db = straight.rates(t)
    prediction = exact(straight).predict(x[:, None], t)
    return (da * prediction.x0 + db * prediction.eps)[:, 0]


marginal = mean_velocity(x_t.reshape(-1), t).reshape(x_t.shape)
constants = []
for name, guess in GUESSES.items():
    conditional = (joint * (guess(x_t) - T * velocity) ** 2).sum().item()  # in units of the whole interval
    matching = (joint * (guess(x_t) - T * marginal) ** 2).sum().item()
    constants.append(conditional - matching)
    print(f"v = {name:6} conditional {conditional:.6f} − marginal {matching:.6f} = {conditional - matching:.6f}")
course.expect(max(constants) - min(constants) < 1e-6)

v, dv, _ = derivatives(lambda x: mean_velocity(x, t), grid)
p, dp, _ = derivatives(lambda x: density(straight, x, t), grid)
left = (density(straight, grid, t + step) - density(straight, grid, t - step)) / (2 * step)
print(
    f"continuity equation: both sides differ by at most {(left + dv * p + v * dp).abs().max() / left.abs().max():.1e}"
)
course.expect((left + dv * p + v * dp).abs().max() < 1e-4 * left.abs().max())

f, g2 = forward_sde(straight, t)
flow_drift = f * grid - g2 / 2 * score_at(straight, grid, t)[0]
course.expect(torch.allclose(v, flow_drift, rtol=1e-6, atol=1e-9))  # and it is the probability flow of section 3

# %% [markdown]
# ## 6. The estimate, and how sure it is
#
# From section 5, $\nabla\log p_t(x_t) = \mathbb E[-\varepsilon/b\,|\,x_t]$. With $\varepsilon = (x_t - a x_0)/b$ this
# is **Tweedie's formula**,
#
# $$\mathbb E[x_0\,|\,x_t] = \frac{x_t + b^2\,\nabla\log p_t(x_t)}{a} . \tag{v}$$
#
# The score knows more than the mean. How much $x_0$ varies around it, given $x_t$, is in the *derivative* of the
# score.
#
# ### On paper 3: Tweedie to second order
#
# Show that the derivative of the estimate is a covariance:
#
# $$\frac{\partial}{\partial x_t}\,\mathbb E[x_0|x_t] = \frac{a}{b^2}\,\mathrm{Cov}(x_0|x_t) .$$
#
# <details><summary>Proof</summary>
#
# By Bayes' rule $p(x_0|x_t) \propto p(x_0)\exp\big(-\|x_t - a x_0\|^2/2b^2\big) =
# p(x_0)\exp\big(\frac{a}{b^2}x_t\cdot x_0 - \frac{a^2}{2b^2}\|x_0\|^2 - \dots\big)$, where the dots hold no $x_0$.
# Hence, with $Z(x_t)$ the integral over $x_0$ of what remains,
#
# $$\mathbb E[x_0|x_t] = \frac{b^2}{a}\,\nabla\log Z, \qquad Z(x_t) = \int p(x_0)\,
# e^{\frac{a}{b^2}x_t\cdot x_0 - \frac{a^2}{2b^2}\|x_0\|^2}\,dx_0 .$$
#
# The second derivative of $\log Z$ is $\frac{\nabla^2 Z}{Z} - \frac{\nabla Z\,\nabla Z^\top}{Z^2} =
# \frac{a^2}{b^4}\big(\mathbb E[x_0x_0^\top|x_t] - \mathbb E[x_0|x_t]\,\mathbb E[x_0|x_t]^\top\big)$. So the
# derivative of the mean is $\frac{b^2}{a}\cdot\frac{a^2}{b^4}\,\mathrm{Cov} = \frac{a}{b^2}\,\mathrm{Cov}$.
# </details>
#
# ### Exercise 5: the covariance of the estimate
#
# Differentiate (v), compare with this, and solve for the covariance. Write it for items of $D$ numbers, from the
# matrix of second derivatives of $\log p_t$. For standard normal data and $a^2 + b^2 = 1$ it must be $b^2 I$.


# %% tags=["exercise"]
def covariance_from_score(a, b, hessian):
    """Cov(x_0 | x_t), (D, D), from the second derivatives of log p_t, (D, D); a and b are numbers."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(16, covariance_from_score))
right_covariance_from_score = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def covariance_from_score(a, b, hessian):
#     return b**2 / a**2 * (torch.eye(len(hessian), dtype=hessian.dtype) + b**2 * hessian)
# ```
#
# </details>
#
# The derivative of (v) is $\frac1a(I + b^2\nabla^2\log p_t)$, and it equals $\frac{a}{b^2}\mathrm{Cov}$:
#
# $$\mathrm{Cov}(x_0\,|\,x_t) = \frac{b^2}{a^2}\,\big(I + b^2\,\nabla^2\log p_t(x_t)\big) . \tag{vi}$$
#
# The truth by Bayes' rule: weigh every $x_0$ by how well it explains $x_t$, and take mean and variance.

# %%
t = 500
a, b = cosine.at(t)
x = torch.linspace(-2.5, 2.5, 101)
x_0_line = torch.linspace(-3, 3, 6001)
prior = (WEIGHTS * torch.exp(-((x_0_line[:, None] - MEANS) ** 2) / (2 * STDS**2)) / STDS).sum(1)
posterior = prior * torch.exp(-((x[:, None] - a * x_0_line) ** 2) / (2 * b**2))
posterior = posterior / posterior.sum(1, keepdim=True)
mean = posterior @ x_0_line
variance = posterior @ x_0_line**2 - mean**2
score, slope = score_at(cosine, x, t)
print(f"mean: largest difference {(mean - (x + b**2 * score) / a).abs().max():.1e}")
by_score = torch.stack([right_covariance_from_score(a, b, hessian) for hessian in slope[:, None, None]])[:, 0, 0]
print(f"variance: largest difference {(variance - by_score).abs().max():.1e}")
course.expect(torch.allclose(mean, (x + b**2 * score) / a, atol=1e-9))
course.expect(torch.allclose(variance, by_score, atol=1e-9))

with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.6))
    axis.plot(x, mean, label="E[x_0 | x_t]")
    axis.fill_between(x, mean - variance.sqrt(), mean + variance.sqrt(), alpha=0.25, label="± one standard deviation")
    axis.set(xlabel="x_t", ylabel="x_0")
    axis.legend()
    figure.tight_layout()
    plt.show()

# %% [markdown]
# Between the two modes the estimate is a mean of both, and the least certain. A sampler that jumps there from $x_t$
# in one step lands where there are no data, which is why few steps blur. Editing (lesson 14) uses (vi) as the answer
# to how far an estimate may be moved to fit a measurement.
#
# ## 7. What you have
#
# | statement | in one line | where the package has it |
# |---|---|---|
# | (i) | $f = \dot a/a$, $g^2 = d(b^2)/dt - 2fb^2$ | `Schedule.at`, `Schedule.rates`, `Schedule.forward_variance` |
# | (ii) | $\partial_t p = -\nabla\cdot(\mu p) + \frac12 g^2\Delta p$ | `oracle.Mixture.log_density`, exact |
# | (iii), (iv) | noise is the drift $-\frac12 g^2\nabla\log p$ | `samplers.DDIM(eta=...)`, `probability_flow` |
# | Langevin | $\frac12\nabla\log p$ and noise keep $p$ | `samplers.Langevin`, `samplers.PredictorCorrector` |
# | section 5 | the losses differ by a constant | `objectives`, and every line of a training loop |
# | (v), (vi) | mean and covariance of $x_0$ given $x_t$ | `targets`, `guidance.Posterior` |
#
# The page "The theory" of the documentation has the same derivations, and what follows from them for samplers.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **Another schedule.** In section 2, `cosine = SCHEDULES["cosine"]` → `cosine = SCHEDULES["sigmoid"]`. Everything
#   still holds, with other numbers. As long as before.
# * **Fewer steps.** In section 3, `else (40_000, 500)` → `else (40_000, 20)`. Which $\eta$ suffers most, and why? Over
#   a long step the score changes, and the more noise is added, the more the score has to undo. Less time.
# * **A wrong score.** In section 3, `x, f, g2, score, drift_of_eta` → `x, f, g2, 0.9 * score, drift_of_eta`. The
#   samples end too wide. Does more noise repair it? Langevin keeps the density of the score that it is given, which
#   is the wrong one. As long as before.
