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
# # Edit and restore
#
# In lesson 13 a model was *trained* to answer a question, as "the large digit that belongs to this small one". Here one
# model, which was trained without any condition, answers questions that nobody thought of before: the missing half of a
# picture, a sharper one, one like this but different, one between these two. In this lesson you see
#
# * what has to be sampled: the posterior $p(x_0 \mid y)$ of a measurement $y = A x_0 + \sigma n$,
# * why it is not enough to put the known pixels back in every step, and how large the error beside them is,
# * how the denoiser itself says how uncertain it is, and how this gives the estimate that the sampler needs,
# * one formula that is four published methods, and exact posterior samples as their judge,
# * particles, which come as near to the posterior as one likes,
# * variations of a picture, and walks between two.
#
# You should have done lessons 1, 6 and 13. Exact denoisers come first, and a small network on digits follows. Six
# exercises come on the way.

# %%
from importlib.util import find_spec
from pathlib import Path

if find_spec("ancestral_course") is None:  # as in a fresh Colab; where the course is installed, this cell does nothing
    packages = " ".join(str(path) for path in Path().glob("ancestral*.whl")) or "ancestral-course"
    print(f"installing {packages}")
    # %pip install --quiet {packages}

# %%
import os
import tempfile

import torch

import ancestral
import ancestral_course as course
from ancestral import guidance, operators, oracle, samplers, schedules, targets
from ancestral.covariance import Covariance
from ancestral.metrics import ensembles

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 takes fewer samples and training steps, to test that every cell runs
F64 = torch.float64
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1. What is wanted
#
# A **measurement** is $y = A x_0 + \sigma n$, with a linear *operator* $A$, noise $n \sim \mathcal N(0, 1)$, and a
# standard deviation $\sigma$ that may be 0. For a mask, $A$ keeps some pixels; it may also take means of 4 × 4 pixels,
# blur, or add the colours to grey. All $x_0$ that fit both the data and the measurement are the **posterior**
# $p(x_0 \mid y)$.
#
# A sampler needs nothing but estimates of $x_0$. If $\mathbb E[x_0 \mid x_t]$ is replaced by
# $\mathbb E[x_0 \mid x_t, y]$, any sampler draws from the posterior: that is the derivation of lesson 13, section 2,
# with $y$ for the condition. Everything in this lesson is about this one estimate.
#
# Where the density of the data is known, it is known, too. We begin with the smallest picture there is, of two pixels.
# Both are $\mathcal N(0, 1)$, and their correlation is 0.9. The first is known to be 1.5.

# %%
SCHEDULE = schedules.cosine(1000)
RHO, KNOWN = 0.9, 1.5
covariance = torch.tensor([[1.0, RHO], [RHO, 1.0]], dtype=F64)
variances, axes = torch.linalg.eigh(covariance)
pair = oracle.Gaussian(SCHEDULE, torch.zeros(1, 2, dtype=F64), variances.sqrt(), axes)
first = operators.Mask(torch.tensor([1.0, 0.0]))
y = torch.tensor([[KNOWN, 0.0]], dtype=F64)
N = 500 if QUICK else 4000
x_T = torch.randn(N, 2, dtype=F64, generator=torch.Generator().manual_seed(1))
sampler = samplers.DDIM(steps=50 if QUICK else 200, eta=1, clip=None)  # stochastic: see lesson 6
clouds = {
    "the data": sampler.sample(pair, x_T),
    "given the first pixel": sampler.sample(pair.given(y, first, 0.0), x_T),
}
second = clouds["given the first pixel"][:, 1]
print(f"second pixel: mean {second.mean():.3f}, standard deviation {second.std():.3f}")
print(f"exactly:      mean {RHO * KNOWN:.3f}, standard deviation {(1 - RHO**2) ** 0.5:.3f}")
course.scatter(clouds, limit=3.5)
course.expect(abs(second.mean() - RHO * KNOWN) < 0.03 and abs(second.std() - (1 - RHO**2) ** 0.5) < 0.03)

# %% [markdown]
# ## 2. Putting the known pixels back
#
# The idea that everybody has first: sample as usual, and in every step put the known pixels into $x_t$. They are clean,
# and $x_t$ is not. So they have to get as much noise as $x_t$ has.
#
# ### Exercise 1: replacement
#
# The mask is 1 where a pixel is known. There, $y$ is the clean value, and elsewhere 0. The state $x_t$ is at the level
# with the factor $a$ of the item and the standard deviation $b$ of the noise; $z$ is noise of variance 1.


# %% tags=["exercise"]
def replace_known(x_t, y, mask, a, b, z):
    """x_t (B, *) with the known pixels of y (B, *) at the same level of noise; the mask broadcasts against both."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(14, replace_known))
right_replace_known = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def replace_known(x_t, y, mask, a, b, z):
#     return mask * (a * y + b * z) + (1 - mask) * x_t
# ```
# </details>
#
# $a\,y + b\,z$ is a draw of $q(x_t|x_0)$ for the known pixels, by the *reparameterisation*. With this function we make
# a denoiser around a denoiser, which puts $y$ into the estimate as well; in the package it is `guidance.Replacement`.
# Is it right? We have an exact denoiser and the exact answer:


# %%
class Replaced:
    """A denoiser of items whose known pixels are those of y."""

    def __init__(self, denoiser, y, mask):
        self.denoiser, self.schedule, self.y, self.mask = denoiser, denoiser.schedule, y, mask
        self.generator = torch.Generator().manual_seed(5)

    def predict(self, x_t, t):
        z = torch.randn(x_t.shape, dtype=x_t.dtype, generator=self.generator)
        x0 = self.denoiser.predict(right_replace_known(x_t, self.y, self.mask, *self.schedule.at(t), z), t).x0
        return targets.X0.solve(x_t, torch.where(self.mask == 1, self.y, x0), *self.schedule.at(t))


replaced = {}
for steps in (25, 50) if QUICK else (25, 100, 400):
    around = Replaced(pair, y, torch.tensor([1.0, 0.0], dtype=F64))
    points = samplers.DDIM(steps, eta=1, clip=None).sample(around, x_T)
    replaced[f"{steps} steps"] = points
    mean, deviation = points[:, 1].mean(), points[:, 1].std()
    print(f"{steps:4} steps: mean of the second pixel {mean:.3f}, standard deviation {deviation:.3f}")
print(f"exactly:    mean of the second pixel {RHO * KNOWN:.3f}, standard deviation {(1 - RHO**2) ** 0.5:.3f}")
course.expect(all(points[:, 1].mean() < 1.1 for points in replaced.values()))
course.expect(all(points[:, 1].std() > 0.5 for points in replaced.values()))
course.expect((points[:, 0] - KNOWN).abs().max() < 1e-9)

# %% [markdown]
# It is wrong, by much, and more steps do not help. The first pixel is 1.5 in every sample, and the second does not
# follow it as far as it should. That is the seam that one sees in pictures.
#
# Look at the input of the denoiser. It gets $x_t$, in which the known pixel is *noisy*, and it returns
# $\mathbb E[x_0 \mid x_t]$, the estimate of somebody who sees this noisy copy and nothing else. At a late time the copy
# says hardly anything, so the second pixel goes its own way. By the time that the copy is clear, the second pixel is
# nearly decided. We knew $y$ all the time, and never said so.
#
# ## 3. The estimate given y
#
# So say it: $\mathbb E[x_0 \mid x_t, y]$. Suppose that, given $x_t$, the clean item is Gaussian, with the mean
# $\hat x = \mathbb E[x_0 \mid x_t]$ that the denoiser returns and some covariance. Then $x_0$ and
# $y = A x_0 + \sigma n$ are jointly Gaussian, and the best estimate of $x_0$ is its mean plus a *gain* times the
# difference between $y$ and what $\hat x$ says of it. As a number, the gain is
# $\mathrm{Cov}(x_0, y) / \mathrm{Var}(y)$, both given $x_t$. As a matrix, it is the same with an inverse. It was
# exercise 5 of lesson 13, for another prior.
#
# ### Exercise 2: the estimate given a measurement
#
# Write it, with one difference. Published methods put *different* approximations of the covariance of $x_0$ given $x_t$
# into the two places. So the covariance in $\mathrm{Cov}(x_0, y)$ is `outer`, and that in $\mathrm{Var}(y)$, which is
# inverted, is `inner`.


# %% tags=["exercise"]
def estimate_given_y(estimate, y, operator, sigma, inner, outer):
    """E[x_0 | x_t, y] (D,) from x̂ (D,), y (M,), the matrix A (M, D), and two covariances (D, D) of x_0 given x_t."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(14, estimate_given_y))
right_estimate_given_y = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def estimate_given_y(estimate, y, operator, sigma, inner, outer):
#     of_y = operator @ inner @ operator.T + sigma**2 * torch.eye(len(y), dtype=y.dtype)
#     return estimate + outer @ operator.T @ torch.linalg.solve(of_y, y - operator @ estimate)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# Given $x_t$, let $C$ be the covariance of $x_0$. Noise is independent of $x_0$, so
# $\mathrm{Cov}(x_0, y) = C A^\top$ and $\mathrm{Var}(y) = A C A^\top + \sigma^2 1$, where 1 is the identity matrix (its
# usual letter $I$ stands for `inner` in section 5). With
# $K = C A^\top (A C A^\top + \sigma^2 1)^{-1}$,
#
# $$\hat x(y) = \hat x + K\,(y - A \hat x), \qquad \mathrm{Cov}(x_0 \mid x_t, y) = C - K A\,C .$$
#
# The second one is the law of total variance (lesson 13, section 6): $C$, less the covariance $K A\,C$ of $\hat x(y)$.
# </details>
#
# For Gaussian data of covariance $\Sigma$ the covariance given $x_t$ is $C = (\Sigma^{-1} + \tfrac{a^2}{b^2} 1)^{-1}$:
# precisions add up. All is exact then, at every time, by the function for 50 items and by the package, where it is
# `guidance.Posterior` with the method `jfps`:

# %%
known = Covariance(axes, variances, 0.0)
noise = 0.1
jfps = guidance.Posterior(pair, y, first, noise, method="jfps", covariance=known)
for t in (100, 500, 900):
    truth = pair.given(y, first, noise).predict(x_T, t).x0
    a, b = SCHEDULE.at(t)
    of_x0 = (covariance.inverse() + a**2 / b**2 * torch.eye(2, dtype=F64)).inverse()  # given x_t
    setting = y[0, :1], torch.tensor([[1.0, 0.0]], dtype=F64), noise, of_x0, of_x0
    by_function = torch.stack([right_estimate_given_y(x_hat, *setting) for x_hat in pair.predict(x_T[:50], t).x0])
    off = (by_function - truth[:50]).abs().max(), (jfps.predict(x_T, t).x0 - truth).abs().max()
    print(f"t = {t}: largest difference from the exact estimate {off[0]:.0e}, of the package {off[1]:.0e}")
    course.expect(max(off) < 1e-5)
points = sampler.sample(jfps, x_T)
print(f"sampled: mean of the second pixel {points[:, 1].mean():.3f}, standard deviation {points[:, 1].std():.3f}")
gain = RHO / (1 + noise**2)
print(f"exactly: mean of the second pixel {gain * KNOWN:.3f}, standard deviation {(1 - RHO * gain) ** 0.5:.3f}")
course.expect(abs(points[:, 1].mean() - gain * KNOWN) < 0.03)
course.expect(abs(points[:, 1].std() - (1 - RHO * gain) ** 0.5) < 0.03)

# %% [markdown]
# The same sampler, the same denoiser, and the seam is gone.
#
# ## 4. How uncertain is the denoiser?
#
# For other data, what is the covariance of $x_0$ given $x_t$? It depends on $x_t$: between two modes it is large, and
# beside one it is small. A denoiser does not return it. But the denoiser *contains* it.
#
# Think of one number, $x_0 \sim \mathcal N(0, s^2)$. Its estimate is $\hat x = g\,x_t$ with the gain
# $g = a s^2 / (a^2 s^2 + b^2)$, so $g$ is the **derivative** of $\hat x$ with respect to $x_t$. And the variance of
# $x_0$ given $x_t$ is $s^2 b^2 / (a^2 s^2 + b^2)$. These two differ by a factor of $a$ and $b$ in which $s$ does not
# occur. The same factor serves for *any* data in any dimension (it is Tweedie's formula, of second order), with the
# matrix of all derivatives in place of the gain.
#
# ### Exercise 3: the covariance of x_0 given x_t
#
# `denoise` maps $x_t$ (D,) to $\hat x$ (D,). `torch.autograd.functional.jacobian(function, x)` has the derivatives of
# each result by each element of x; differences of nearby values do as well.


# %% tags=["exercise"]
def covariance_given_x_t(denoise, x_t, a, b):
    """The covariance (D, D) of x_0 given x_t (D,), from the denoiser (D,) -> (D,) at a level with factors a and b."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(14, covariance_given_x_t))
right_covariance_given_x_t = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def covariance_given_x_t(denoise, x_t, a, b):
#     return b**2 / a * torch.autograd.functional.jacobian(denoise, x_t)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# By Bayes' rule $\hat x = \int x_0\,w\,dx_0 \big/ \int w\,dx_0$ with the weight $w =
# p(x_0)\,\exp\!\big(\frac{a}{b^2}\,x_0^\top x_t - \frac{a^2}{2b^2}\|x_0\|^2\big)$; the factor $e^{-\|x_t\|^2/(2b^2)}$
# is in both integrals and cancels. The derivative of $w$ with respect to $x_t$ is $\frac{a}{b^2}\,x_0\,w$. So by the
# quotient rule
#
# $$\frac{\partial \hat x}{\partial x_t} = \frac{a}{b^2}\,\big(\mathbb E[x_0 x_0^\top | x_t] - \hat x\,\hat x^\top\big)
# = \frac{a}{b^2}\,\mathrm{Cov}(x_0 | x_t) .$$
#
# For one normal number, $\frac{b^2}{a}\,g = s^2 b^2/(a^2 s^2 + b^2)$, as it should be.
# </details>
#
# The check is a mixture of Gaussians, whose covariance given $x_t$ can be had by brute force: draw a million items, and
# weigh each by how likely it leads to this $x_t$. Two clouds, and an $x_t$ between them:

# %%
means = torch.tensor([[-0.6, 0.0], [0.6, 0.3]], dtype=F64)
clouds = oracle.Mixture(SCHEDULE, means, torch.tensor([0.2, 0.3], dtype=F64))
generator = torch.Generator().manual_seed(2)
COUNT = 100_000 if QUICK else 1_000_000
component = torch.randint(2, (COUNT,), generator=generator)
items = means[component] + clouds.stds[component, None] * torch.randn(COUNT, 2, dtype=F64, generator=generator)
a, b = SCHEDULE.at(400)
for place in ((0.1, 0.1), (0.7, 0.3)):
    state = torch.tensor(place, dtype=F64)
    weight = (-(state - a * items).square().sum(1) / (2 * b**2)).softmax(0)
    centred = items - weight @ items
    counted = (weight[:, None] * centred).T @ centred
    formula = right_covariance_given_x_t(lambda x: clouds.predict(x[None], 400).x0[0], state, a, b)
    print(f"x_t = {place}: by weights {[[round(v, 3) for v in row] for row in counted.tolist()]}")
    print(f"{'':18}by the formula {[[round(v, 3) for v in row] for row in formula.tolist()]}")
    course.expect((counted - formula).abs().max() < (0.02 if QUICK else 0.005))

# %% [markdown]
# Between the clouds the covariance is large and points from one to the other. In a cloud it is small. The derivative of
# a *network* gives the same, by one backward pass for each product with a vector, as far as the network is a good
# denoiser.
#
# ## 5. Four methods in one formula
#
# With $I$ for the covariance `inner`, $O$ for `outer`, and 1 for the identity matrix, exercise 2 is
# $\hat x(y) = \hat x + O A^\top (A I A^\top + \sigma^2 1)^{-1}(y - A\hat x)$, and published methods are choices of the
# two:
#
# | method | inner | outer | what it needs |
# |---|---|---|---|
# | DDNM | 1 | 1, and $\sigma = 0$ | nothing: it is $\hat x + A^+(y - A \hat x)$ |
# | ΠGDM | $r_t^2\,1$, by the variance of the data | $V$, the covariance of exercise 3 | a backward pass |
# | MMPS | $V$ | $V$ | several of them |
# | JFPS | $C$ | $C$, with the covariance of the data | no gradient |
#
# $r_t^2 = b^2 v/(a^2 v + b^2)$ is the variance of $x_0$ given $x_t$ of Gaussian data whose elements are independent and
# have the variance $v$. $C$ is its counterpart for the covariance $\Sigma$ of the data, from section 3. JFPS is the
# name of this choice in the library azula; the others are named by their papers.
#
# [DDNM](https://arxiv.org/abs/2212.00490) and [MMPS](https://arxiv.org/abs/2405.13712) are of 2023 and 2024. For
# Gaussian data MMPS and JFPS are exact. What if the data are not Gaussian? We take two clouds that are equally likely,
# a narrow one above and a wide one below, and measure the first coordinate. It is 0.5, the middle of *both* clouds.
# Which one is it? A point of the narrow cloud lies there more often, so the narrow one is likelier, and Bayes' rule
# says by how much. `oracle.Mixture.given` samples this posterior exactly.

# %%
NARROW, WIDE, SIGMA = 0.05, 0.2, 0.05
centres, widths = torch.tensor([[0.5, 0.6], [0.5, -0.6]], dtype=F64), torch.tensor([NARROW, WIDE], dtype=F64)
two = oracle.Mixture(SCHEDULE, centres, widths)
across = operators.Linear(lambda x: x[:, :1])


def sample_two(n, generator):
    """Points (n, 2) of the two clouds."""
    cloud = torch.randint(2, (n,), generator=generator)
    return centres[cloud] + widths[cloud, None] * torch.randn(n, 2, dtype=F64, generator=generator)


def share_above(points):
    """The share of points that lie nearer to the narrow cloud, in units of each cloud's deviation."""
    return (torch.cdist(points, centres) / widths).argmin(1).eq(0).double().mean().item()


generator = torch.Generator().manual_seed(3)
of_two = Covariance.of(sample_two(20_000, generator))
middle = torch.tensor([[0.5]], dtype=F64)
start = torch.randn(300 if QUICK else 1500, 2, dtype=F64, generator=generator)
METHODS = ("ddnm", "pigdm", "mmps", "jfps")
answers = {"exact": sampler.sample(two.given(middle, across, SIGMA), start)}
answers["replacement"] = sampler.sample(guidance.Replacement(two, middle, across, SIGMA), start)
for method in METHODS:
    answers[method] = sampler.sample(guidance.Posterior(two, middle, across, SIGMA, method, of_two), start)
course.scatter({"data": sample_two(1500, generator), **answers}, limit=1.3, size=1.5)
densities = 1 / (widths**2 + SIGMA**2).sqrt()  # of y in the middle of each cloud, but for a factor
right = (densities[0] / densities.sum()).item()
print(f"share in the narrow cloud: by Bayes' rule {right:.2f}", end="")
for name, points in answers.items():
    print(f", {name} {share_above(points):.2f}", end="")
print()
if not QUICK:
    course.expect(abs(share_above(answers["exact"]) - right) < 0.04)
    course.expect(all(abs(share_above(answers[name]) - 0.5) < 0.06 for name in answers if name != "exact"))

# %% [markdown]
# All methods find both clouds, and each cloud in the right place. But the *shares* are those of the data, one half, as
# if $y$ said nothing about them. The reason is in section 3: a Gaussian given $x_t$ can be moved by $y$, but it cannot
# become likelier. At the times at which a sample chooses its cloud, the choice is made without $y$. Somebody who draws
# ten pictures and counts, "five of ten show a tumour", would be wrong.
#
# A picture of one $y$ is no judgement, either. We take held-out points, measure each, and ask for 19 samples. Energy
# score and coverage are those of lesson 13, section 9: the score is smallest for the true posterior, and its 90 % are
# 90 %. Differences are taken point by point, so that they have small errors.

# %%
ASKED, K = (20, 19) if QUICK else (300, 19)
truth = sample_two(ASKED, generator)
measured = truth[:, :1] + SIGMA * torch.randn(ASKED, 1, dtype=F64, generator=generator)
each = measured.repeat_interleave(K, 0)
start = torch.randn(ASKED * K, 2, dtype=F64, generator=generator)
denoisers = {"exact": two.given(each, across, SIGMA), "replacement": guidance.Replacement(two, each, across, SIGMA)}
denoisers |= {method: guidance.Posterior(two, each, across, SIGMA, method, of_two) for method in METHODS}
scores, coverage, best = {}, {}, None
print(f"{'':13}{'energy score':>13}{'more than exact':>24}{'coverage of 90 %':>19}{'spread':>9}")
for name, denoiser in denoisers.items():
    members = sampler.sample(denoiser, start).reshape(ASKED, K, 2)
    each_score = ensembles.energy_scores(members, truth)
    best = each_score if best is None else best
    more, scores[name] = each_score - best, each_score.mean().item()
    coverage[name] = ensembles.calibration(members, truth).coverage.value
    error = (more.var() / ASKED).sqrt()
    print(f"{name:13}{scores[name]:13.4f}{more.mean():15.4f} ± {error:.4f}{coverage[name]:18.0%}", end="")
    print(f"{members.std(dim=1).mean():10.3f}")
if not QUICK:
    course.expect(scores["exact"] == min(scores.values()))
    course.expect(abs(coverage["exact"] - 0.9) < 0.04)
    course.expect(coverage["ddnm"] < 0.6)

# %% [markdown]
# * No single sample of a method knows what is likelier: their scores are 0.04 to 0.05 larger than that of the exact
#   posterior, five of the errors. MMPS, whose covariance is that at $x_t$, is the best of them by a little.
# * DDNM takes $\sigma$ for 0, so all of its samples have the measured value itself. Its coverage is 44 %.
# * The others cover 88 to 91 % and are wrong. Coverage looks at one coordinate at a time and averages over all $y$:
#   what is too much of one cloud is too little of the other. The energy score sees it. Use both.
#
# ## 6. Particles
#
# There is a way that is right in the limit for any data. Take $K$ samples at once, *particles*. Move each by one of the
# methods above, and keep account of what is wrong about the move: each particle has a **weight**, the ratio of the
# density that it should have been drawn from to the density that it was. Every now and then, take heavy particles
# several times and drop light ones. This is the twisted diffusion sampler ([TDS](https://arxiv.org/abs/2306.17775)).
#
# *Resampling* must be fair: a particle of weight $w$ (the weights add up to 1) must have $K w$ copies on average. One
# could draw $K$ times, which adds much noise. **Systematic** resampling needs a single random number. Lay the weights
# side by side on a line of length 1, in their order. Put a comb on it, whose $K$ teeth are a distance of $1/K$ apart:
# tooth $k = 0 \dots K - 1$ stands at $(k + u)/K$, with one $u$ from $[0, 1)$ for all teeth. Each tooth takes the
# particle on whose part of the line it stands; where one part ends and the next begins, the next one.
#
# ### Exercise 4: systematic resampling
#
# `torch.searchsorted` and `cumsum` make it two lines, and a loop is as good. The check counts copies for many $u$, and
# looks at $u = 0$.


# %% tags=["exercise"]
def systematic(weights, u):
    """The particles that are taken, int64 (K,), by their weights (K,), which add up to 1, and a number u in [0, 1)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(14, systematic))
right_systematic = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def systematic(weights, u):
#     teeth = (torch.arange(len(weights)) + u) / len(weights)
#     return torch.searchsorted(weights.cumsum(0), teeth, right=True).clamp(max=len(weights) - 1)
# ```
# </details>
#
# The number of copies is then $K w$ rounded up or down, and never anything else. Independent draws vary far more:

# %%
weights = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=F64)
u = torch.rand(4000, 1, dtype=F64, generator=generator)
comb = torch.stack([right_systematic(weights, number) for number in u[:, 0].tolist()]).long()
drawn = torch.multinomial(weights.expand(4000, 4), 4, replacement=True, generator=generator)
for name, chosen in (("systematic", comb), ("independent", drawn)):
    copies = torch.nn.functional.one_hot(chosen, 4).sum(1).double()
    mean = ", ".join(f"{value:.2f}" for value in copies.mean(0))
    deviation = ", ".join(f"{value:.2f}" for value in copies.std(0))
    print(f"{name:12} copies: mean {mean}; standard deviation {deviation}")
    course.expect((copies.mean(0) - 4 * weights).abs().max() < 0.08)

# %% [markdown]
# Now the two clouds again, with more and more particles. Only the first particle of each group is kept, since those of
# one group are not independent.

# %%
GROUPS, sizes = (60, (1, 4)) if QUICK else (1000, (1, 4, 16, 64))
shares = {}
for size in sizes:
    particles = samplers.TDS(
        middle, across, SIGMA, size, variance=of_two.mean_variance(), steps=50, spacing="logsnr", clip=None
    )
    begin = torch.randn(GROUPS * size, 2, dtype=F64, generator=generator)
    shares[size] = share_above(particles.sample(two, begin)[::size])
    print(f"{size:3} particles: share in the narrow cloud {shares[size]:.2f}")
print(f"Bayes' rule:   share in the narrow cloud {right:.2f}")
if not QUICK:
    course.expect(abs(shares[1] - 0.5) < 0.06 and abs(shares[64] - right) < 0.05)

# %% [markdown]
# One particle is a sample of ΠGDM's kind, and has its share. With four particles most of the error is gone, and with
# sixteen nearly all. The price is sixteen evaluations, and as many backward passes, for one sample. Particles are the
# judge where no exact posterior is known.
#
# ## 7. Digits
#
# Now a network. It trains for about a minute on 4,500 digits and never hears of masks or small pictures.

# %%
pixels, _ = course.mnist_data()  # 5,000 real MNIST digits, which the package holds: nothing is downloaded
digits = torch.tensor(pixels).reshape(-1, 1, 28, 28).to(torch.uint8)
order = torch.randperm(5000, generator=torch.Generator().manual_seed(0))
train, held_out = digits[order[:4500]], digits[order[4500:]]
with tempfile.TemporaryDirectory() as folder:
    run = ancestral.train(
        "digits",
        data=train,
        out=f"{folder}/digits",
        steps=4 if QUICK else 240,
        save_every=1000,
        sample_every=1000,
        trackers=("none",),
        progress=False,
    )
model = run.model
of_digits = Covariance.of(train[:2000] / 127.5 - 1)
mask = torch.zeros(28, 28, dtype=torch.bool)
mask[:, 14:] = True  # white is what changes: the right half
TRIED, EACH, STEPS = (2, 2, 3) if QUICK else (8, 4, 20)
images = held_out[:TRIED]
painted = model.inpaint(images, mask, n=TRIED * EACH, covariance=of_digits, steps=STEPS)
print(f"{painted.method}: {painted.reason} {painted.evaluations} evaluations for each sample")
small = operators.Downsample(4).apply(images / 127.5 - 1)
small = small + 0.05 * torch.randn(small.shape, generator=torch.Generator().manual_seed(5))
sharp = model.restore(small, operators.Downsample(4), noise=0.05, n=TRIED * EACH, covariance=of_digits, steps=STEPS)


def as_rows(samples, count):
    """Rows of samples of the images, with values in [−1, 1]; sample i belongs to image i modulo their number."""
    return [torch.as_tensor(samples)[row * TRIED : (row + 1) * TRIED] / 127.5 - 1 for row in range(count)]


def as_map(deviation):
    """A map of standard deviations as images in [−1, 1]: black is 0."""
    return (2 * deviation / deviation.max() - 1)[:, None]


holes = torch.where(mask, 90, images) / 127.5 - 1
rows = [images / 127.5 - 1, holes, *as_rows(painted, 3), as_map(painted.deviation)]
course.show(rows, labels=["truth", "known", "sample 1", "sample 2", "sample 3", "deviation"][: len(rows)], size=0.7)
rows = [images / 127.5 - 1, small, *as_rows(sharp, 3), as_map(sharp.deviation)]
course.show(rows, labels=["truth", "7 × 7", "sample 1", "sample 2", "sample 3", "deviation"][: len(rows)], size=0.7)
course.expect(bool((torch.as_tensor(painted)[..., ~mask] == images.repeat(EACH, 1, 1, 1)[..., ~mask]).all()))

# %% [markdown]
# Every sample agrees with what is known: the left halves are those of the files, byte by byte. The right halves are
# the model's, and where they differ, the map is bright. It answers "how sure are you?" for each pixel, as far as the
# model and the method are right, which section 5 has taught us to doubt.
#
# A number says more than pictures. Here are energy scores of 40 held-out digits with a known left half, for three
# methods, and for samples of the model that know nothing of the left half:

# %%
ASKED, MEMBERS = (4, 2) if QUICK else (40, 4)
truth = held_out[100 : 100 + ASKED]
forecasts = {
    name: model.inpaint(truth, mask, n=ASKED * MEMBERS, method=name, covariance=of_digits, steps=STEPS)
    for name in ("jfps", "ddnm", "replacement")
}
forecasts["free samples"] = model.sample(ASKED * MEMBERS, steps=STEPS)
half_scores = {}
for name, samples in forecasts.items():
    halves = torch.as_tensor(samples)[..., 14:].unflatten(0, (MEMBERS, ASKED)).transpose(0, 1)
    half_scores[name] = ensembles.score(halves, truth[..., 14:], span=255).energy
    print(f"{name:13} energy score of the right half {half_scores[name].value:.1f} ± {half_scores[name].error:.1f}")
if not QUICK:
    course.expect(half_scores["jfps"].value < half_scores["free samples"].value)

# %% [markdown]
# Methods that need no training are better than guessing, and JFPS is better than putting pixels back. The model has
# trained for a minute, so some of the samples are no digits at all, and a longer training helps every method. A model
# that was trained *for* this measurement, as in lesson 13, needs no such approximation.
#
# ## 8. Variations
#
# To get pictures *like* this one, no operator is needed: add noise to the picture, as much as it has at a time $t$, and
# let the sampler go on from there ([SDEdit](https://arxiv.org/abs/2108.01073)). Noise takes the details below its level
# away, and the model invents others. How much is changed is set by the **strength**, the share of all times $1 \dots T$
# that is gone back: at strength 1 it is time $T$, where hardly anything of the picture is left.
#
# ### Exercise 5: where a variation begins
#
# The tables `signal` and `noise` hold $a_t$ and $b_t$ for $t = 0 \dots T$, where $a_0 = 1$ and $b_0 = 0$. The time is a
# whole number, the nearest one. A strength above 0 shall change something, however small it is.


# %% tags=["exercise"]
def varied(x_0, strength, signal, noise, eps):
    """The state (B, *) at which the variation of x_0 (B, *) begins; eps (B, *) is noise, the tables are (T + 1,)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(14, varied))
right_varied = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def varied(x_0, strength, signal, noise, eps):
#     t = max(1, round(strength * (len(signal) - 1)))
#     return signal[t] * x_0 + noise[t] * eps
# ```
# </details>

# %%
picture = held_out[3]
strengths = (0.3, 0.6) if QUICK else (0.2, 0.4, 0.6, 0.8)
rows, changes = [], []
for strength in strengths:
    variants = torch.as_tensor(model.vary(picture, strength=strength, n=6, steps=STEPS))
    x_0, eps = picture[None] / 127.5 - 1, torch.randn(1, *picture.shape, generator=torch.Generator().manual_seed(6))
    begin = right_varied(x_0, strength, model.denoiser.schedule.signal, model.denoiser.schedule.noise, eps)
    rows.append(torch.cat([x_0, begin.float().clamp(-1, 1), variants / 127.5 - 1]))
    changes.append((variants.float() - picture.float()).square().mean().sqrt().item())
    print(f"strength {strength}: changed by {changes[-1]:.0f} grey levels (root mean square)")
course.show(rows, titles=["input", "begins at"], labels=[str(strength) for strength in strengths], size=0.7)
if not QUICK:
    course.expect(changes == sorted(changes))

# %% [markdown]
# At 0.2 and 0.4 it is the same 8 with other details. At 0.6 some variations are other digits, and at 0.8 hardly
# anything of the input is left.
#
# ## 9. Between two pictures
#
# The probability flow of lesson 6 is a deterministic path from $x_T$ to $x_0$. It can be run backwards: each picture
# has its noise, $x_T$, from which the sampler makes it again. And between two *noises* there is a way: interpolate
# them, and sample. A straight line will not do. The mean of two independent noises of $D$ values has a length of about
# $\sqrt{D/2}$, not $\sqrt D$, and a network has never seen so little noise at $T$. All noise lies near a *sphere*.
#
# ### Exercise 6: spherical interpolation
#
# Two vectors $x$ and $y$ have the angle $\theta$ between them. Find the vector that has the angle $w\,\theta$ to $x$
# and $(1 - w)\,\theta$ to $y$, as a sum of a factor times $x$ and a factor times $y$. A hint: draw $x$, $y$ and the
# vector with length 1, and the parallelogram. Each half of it is a triangle whose sides are the two factors and 1,
# and in a triangle the sides are as the sines of the angles opposite to them. Use the same factors where the lengths
# differ.


# %% tags=["exercise"]
def slerp(x, y, weight):
    """The vectors (B, D) on the arc from x (B, D), at weight 0, to y (B, D), at weight 1; each pair has its angle."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(14, slerp))
right_slerp = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def slerp(x, y, weight):
#     cos = torch.nn.functional.cosine_similarity(x, y, dim=1)[:, None]
#     angle = torch.acos(cos)
#     return (torch.sin((1 - weight) * angle) * x + torch.sin(weight * angle) * y) / torch.sin(angle)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# For $x$, $y$ and the vector $\alpha x + \beta y$ of length 1, half of the parallelogram is a triangle with the sides
# $\alpha$ along $x$, $\beta$ along $y$, and 1. The angle between $x$ and the vector, $w\theta$, is opposite to
# $\beta$. The angle between the vector and $y$, $(1-w)\theta$, is opposite to $\alpha$. The third angle is $\pi -
# \theta$, opposite to 1, and $\sin(\pi - \theta) = \sin\theta$. So
#
# $$\frac{\alpha}{\sin((1-w)\theta)} = \frac{\beta}{\sin(w\theta)} = \frac{1}{\sin\theta} .$$
# </details>
#
# Lengths along both ways, for noise of 784 values, and the walk of the package between two held-out digits:

# %%
one, other = torch.randn(2, 1, 784, generator=torch.Generator().manual_seed(4))
shares = torch.linspace(0, 1, 11)
lengths = {
    "straight line": [torch.lerp(one, other, share).norm().item() for share in shares],
    "arc": [right_slerp(one, other, float(share)).norm().item() for share in shares],
}
course.plot(shares, lengths, "weight", "length", marker=".")
course.expect(min(lengths["arc"]) > 27 and min(lengths["straight line"]) < 21)

# %%
FLOW = 4 if QUICK else 50
walk = torch.as_tensor(model.interpolate(held_out[0], held_out[6], n=8, steps=FLOW))
course.show([walk / 127.5 - 1], size=0.7)
course.expect(bool((walk[0] == held_out[0]).all()) and bool((walk[-1] == held_out[6]).all()))

# %% [markdown]
# The ends are the pictures themselves, and what is between them are digits, not two digits shown through each other.
#
# ## 10. What to take
#
# * Editing is sampling from a posterior. What a sampler needs for it is one estimate, $\mathbb E[x_0 \mid x_t, y]$.
# * Putting known pixels back in every step gives pictures that agree with them and are wrong beside them.
# * One formula with a covariance inside and outside is DDNM, ΠGDM, MMPS and JFPS. It is exact for Gaussian data. The
#   derivative of the denoiser is the covariance that it needs.
# * Methods that need no training are approximations, and their spread is not that of the posterior. Where it matters,
#   use particles, or train a conditional model (lesson 13), and judge by energy score *and* coverage on held-out items.
# * Look at several samples and at the map of their deviation before you believe a restored picture.
#
# In the package: `model.inpaint`, `model.restore`, `model.vary`, `model.interpolate`, and on the command line
# `ancestral edit RUN inpaint IMAGE --mask MASK`.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **Pixels that say less of each other.** In section 1, `RHO, KNOWN = 0.9, 1.5` → `RHO, KNOWN = 0.5, 1.5`. The exact
#   mean falls to 0.75, and its standard deviation rises to 0.87. Replacement is still too low, by less. As long as
#   before.
# * **Equal clouds.** In section 5, `NARROW, WIDE, SIGMA = 0.05, 0.2, 0.05` → `NARROW, WIDE, SIGMA = 0.1, 0.1, 0.05`.
#   By Bayes' rule each cloud has half of the answers, and all methods find this share. The coverage shows that their
#   spread is not right for that. As long as before.
# * **More steps of the edits.** In section 7, `else (8, 4, 20)` → `else (8, 4, 50)`. See whether the differences of
#   the methods become smaller. Their edits take two and a half times as long.
