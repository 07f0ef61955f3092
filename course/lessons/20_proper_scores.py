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
# # Scores that cannot be cheated
#
# A diffusion model is trained to predict a mean, and a sampler makes samples of many such predictions. Is there a loss
# whose minimum is a network that outputs *samples* of $p(x \mid c)$, in one evaluation? There is. It compares several
# answers of the network with the one true item, and its minimum is the true distribution. Such a loss is a **proper
# score**. Lesson 13 used one, the energy score, to judge samples. This lesson shows
#
# * how other scores are cheated,
# * why the energy score is proper: the proof in any dimension, and the CRPS as an integral,
# * what changes when it is estimated from few members,
# * why a score of each value on its own is not enough,
# * how a network is trained by it that samples in one evaluation.
#
# You should have done lessons 11 and 13. The lesson runs in about a minute on one CPU core. Five exercises and a proof
# come on the way.

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

import torch
from torch import nn

import ancestral_course as course
from ancestral.metrics import ensembles
from ancestral.objectives import EnergyScore

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 takes fewer samples and training steps, to test that every cell runs
_ = torch.manual_seed(0)


def normal(*shape, seed):
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# %% [markdown]
# ## 1. A score of a forecast
#
# A *forecast* is a distribution $P$, from which members $X_1, \dots, X_m$ are drawn. Then one true value $x$ is seen. A
# *score* is a number of the members and of $x$. Smaller is better. The forecaster does not know $x$. If the forecaster
# believes that $x$ has the distribution $Q$, the forecast with the least *expected* score is the best one to give. A
# score is **proper** if this is $Q$ itself: then it pays to say what one believes. It is *strictly* proper if no other
# forecast is as good.
#
# Many usual scores are not proper. Let $x$ be −0.6 or 0.6 with the same probability, as in two modes of a posterior.
# Take three forecasts: the truth, the mean (all members are 0), and a wide one (members anywhere between −1.2 and 1.2).
# Three candidates for a score: the squared error of a member, $\mathbb E(X - x)^2$; the distance of the nearest of
# eight members, $\mathbb E\min_k|X_k - x|$, which papers on trajectories report; and the energy score
#
# $$\mathrm{ES}(P, x) = \mathbb E\|X - x\| - \tfrac12\,\mathbb E\|X - X'\| , \tag{i}$$
#
# where $X$ and $X'$ are independent members. For one number it is called **CRPS**, the continuous ranked probability
# score.
#
# ### Exercise 1: the energy score of an ensemble
#
# Estimate (i) from $m$ members. The two members of a pair have to be different, since $X$ and $X'$ are independent. As
# in lesson 13, this estimate is called **fair**. Here the members come first in the shape, $\|\cdot\|$ is the usual
# norm (the root of the *sum* of squares), and the function is a loss: it needs a finite gradient, also where two
# members are equal. (`.square().sum(-1).sqrt()` has none at 0, `.norm(dim=-1)` has.)


# %% tags=["exercise"]
def fair_score(members, x):
    """The fair estimate of the energy score, (N,), of members (m, N, d) for true items x (N, d)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(20, fair_score))
right_fair_score = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def fair_score(members, x):
#     m = len(members)
#     to_truth = (members - x).norm(dim=-1).mean(dim=0)
#     between = (members[:, None] - members[None]).norm(dim=-1).sum(dim=(0, 1)) / (m * (m - 1))
#     return to_truth - between / 2
# ```
# </details>

# %%
N, m = 2000 if QUICK else 20_000, 8
generator = torch.Generator().manual_seed(0)
x = 1.2 * torch.randint(2, (N, 1), generator=generator).double() - 0.6
forecasts = {
    "truth": 1.2 * torch.randint(2, (m, N, 1), generator=generator).double() - 0.6,
    "mean": torch.zeros(m, N, 1, dtype=torch.float64),
    "wide": 2.4 * torch.rand(m, N, 1, generator=generator, dtype=torch.float64) - 1.2,
}
energy, squared = {}, {}
print(f"{'':8}{'squared error':>15}{'nearest of 8':>15}{'energy score':>15}")
for name, members in forecasts.items():
    squared[name] = (members - x).square().mean()
    nearest = (members - x).abs().min(dim=0).values.mean()
    energy[name] = right_fair_score(members, x).mean()
    print(f"{name:8}{squared[name]:15.3f}{nearest:15.3f}{energy[name]:15.3f}")
course.expect(squared["mean"] < 0.55 * squared["truth"])
course.expect(abs(energy["truth"] - 0.3) < 0.01 and abs(energy["mean"] - 0.6) < 0.01)
course.expect(min(energy, key=energy.get) == "truth")

# %% [markdown]
# The squared error of a member is half as large for the mean as for the truth, although no item is near 0. The reason
# is $\mathbb E(X - x)^2 = (\mathbb E X - \mathbb E x)^2 + \mathrm{Var}\,X + \mathrm{Var}\,x$: spread costs, whatever
# the truth is. A network that is trained by it answers the mean. The nearest member is not cheated by these forecasts,
# but section 3 has one that cheats it. The energy score prefers the truth.
#
# ## 2. Why the energy score is proper
#
# Let $X, X'$ be independent members of the forecast $P$ and $x, x'$ independent items of the truth $Q$. The expected
# score of the forecast $P$ is $\mathrm{ES}(P, Q) = \mathbb E\|X - x\| - \frac12\mathbb E\|X - X'\|$, and that of the
# truth is $\mathrm{ES}(Q, Q) = \frac12\mathbb E\|x - x'\|$. The difference is half of the **energy distance**,
#
# $$\mathrm{ES}(P, Q) - \mathrm{ES}(Q, Q)
# = \mathbb E\|X - x\| - \tfrac12\,\mathbb E\|X - X'\| - \tfrac12\,\mathbb E\|x - x'\| . \tag{ii}$$
#
# ### On paper: nothing scores better than the truth
#
# Show that (ii) is never negative, and 0 only for $P = Q$. Begin with the identity, for $z$ in $d$ dimensions and a
# constant $c_d > 0$,
#
# $$\|z\| = c_d \int_{\mathbb R^d} \frac{1 - \cos\langle s, z\rangle}{\|s\|^{d+1}}\,ds , \tag{iii}$$
#
# and show it, too. (All members and items have finite means.)
#
# <details><summary>Derivation</summary>
#
# *The identity.* The integral is finite: near 0 the numerator is at most $\frac12\|s\|^2\|z\|^2$, which leaves
# $\|s\|^{1-d}$, and far away it is at most 2, which leaves $\|s\|^{-d-1}$. A rotation of $z$ does not change it,
# because $s$ can be rotated as well. So it depends on $\|z\|$ alone. With $s = s'/\|z\|$ it is $\|z\|$ times its
# value for length 1. This value is $1/c_d$.
#
# *The difference.* Let $\varphi_P(s) = \mathbb E e^{i\langle s, X\rangle}$ and $\varphi_Q(s) = \mathbb E e^{i\langle s,
# x\rangle}$ be the characteristic functions. $X$ and $x$ are independent, so
# $\mathbb E\cos\langle s, X - x\rangle = \mathrm{Re}\,\varphi_P\overline{\varphi_Q}$, and in the same way
# $\mathbb E\cos\langle s, X - X'\rangle = |\varphi_P|^2$, $\mathbb E\cos\langle s, x - x'\rangle = |\varphi_Q|^2$. Put
# (iii) into the three terms of (ii). Since the numerator is not negative, mean and integral may be exchanged:
#
# $$\mathrm{ES}(P, Q) - \mathrm{ES}(Q, Q) = c_d\int \frac{(1 - \mathrm{Re}\,\varphi_P\overline{\varphi_Q})
# - \frac12(1 - |\varphi_P|^2) - \frac12(1 - |\varphi_Q|^2)}{\|s\|^{d+1}}\,ds
# = \frac{c_d}2\int \frac{|\varphi_P - \varphi_Q|^2}{\|s\|^{d+1}}\,ds \ge 0 .$$
#
# It is 0 only if $\varphi_P = \varphi_Q$ for almost all $s$, and then for all, because both are continuous. A
# distribution is determined by its characteristic function, so $P = Q$.
# </details>
#
# So nothing is assumed of $P$ and $Q$ but that they have means. With $\|\cdot\|^2$ in the place of $\|\cdot\|$ the
# difference is $\|\mathbb E X - \mathbb E x\|^2$: proper, but every forecast with the right mean is as good as the
# truth.
#
# For one number $c_1 = 1/\pi$. There the difference of the distribution functions $F$ of $P$ and $G$ of $Q$ has the
# Fourier transform $(\varphi_Q - \varphi_P)/is$ up to its sign, and by Plancherel's theorem
#
# $$\mathrm{ES}(P, Q) - \mathrm{ES}(Q, Q) = \frac1{2\pi}\int\frac{|\varphi_P - \varphi_Q|^2}{s^2}\,ds
# = \int \big(F(u) - G(u)\big)^2\,du . \tag{iv}$$
#
# The cell computes all three for a normal $P$ and a $Q$ of two normal modes. Differences of normal numbers are normal,
# and $\mathbb E|z|$ of a normal $z$ has a closed form.


# %%
def mean_distance(first, second):
    """E|X − Y| for mixtures of normal distributions, lists of (share, mean, std)."""
    total = 0.0
    for p, a, r in first:
        for q, b, s in second:
            mean, std = a - b, math.hypot(r, s)
            at_mean = std * math.sqrt(2 / math.pi) * math.exp(-(mean**2) / (2 * std**2))
            total += p * q * (at_mean + mean * math.erf(mean / (std * math.sqrt(2))))
    return total


def cdf(mixture, u):
    """The distribution function of a mixture at u."""
    return sum(p * torch.special.ndtr((u - a) / r) for p, a, r in mixture)


def characteristic(mixture, s):
    """The characteristic function of a mixture at s."""
    return sum(p * torch.exp(1j * a * s - (r * s) ** 2 / 2) for p, a, r in mixture)


P, Q = [(1.0, 0.3, 0.5)], [(0.5, -0.6, 0.2), (0.5, 0.6, 0.2)]
half_energy = mean_distance(P, Q) - mean_distance(P, P) / 2 - mean_distance(Q, Q) / 2
u = torch.linspace(-6, 6, 20_001, dtype=torch.float64)
s = torch.linspace(1e-4, 60, 20_001, dtype=torch.float64)  # the integrand is even
by_cdf = torch.trapezoid((cdf(P, u) - cdf(Q, u)) ** 2, u).item()
difference = (characteristic(P, s) - characteristic(Q, s)).abs()
by_waves = torch.trapezoid(difference**2 / s**2, s).item() / math.pi
print(f"half of the energy distance {half_energy:.5f}; by F and G {by_cdf:.5f}; by characteristic functions", end=" ")
print(f"{by_waves:.5f}")
course.expect(abs(by_cdf - half_energy) < 1e-4 and abs(by_waves - half_energy) < 1e-4)

# %% [markdown]
# ### Exercise 2: the CRPS as an integral
#
# What (iv) says of two distributions holds for one true value as well: its distribution function is a step,
# $G(u) = 1[x \le u]$, and $\mathbb E|x - x'| = 0$. So
#
# $$\mathrm{CRPS}(P, x) = \int \big(F(u) - 1[x \le u]\big)^2\,du .$$
#
# Take for $F$ the distribution function of $m$ members, $F(u)$ = the share of the members that are at most $u$. The
# integrand is then constant between neighbours among the sorted members and $x$, so the integral is a sum without any
# error. Compute it. Two members at −1 and 1 and the truth 0 have the CRPS 0.5.


# %% tags=["exercise"]
def crps_integral(members, x):
    """The integral of (F − 1[x ≤ u])² over u, (N,), for members (m, N) and true values x (N,)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(20, crps_integral))
right_crps_integral = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def crps_integral(members, x):
#     edges = torch.cat([members, x[None]]).sort(dim=0).values
#     left, widths = edges[:-1], edges.diff(dim=0)
#     F = (members[:, None] <= left[None]).double().mean(dim=0)
#     return ((F - (x <= left).double()) ** 2 * widths).sum(dim=0)
# ```
# </details>

# %%
one, truth = torch.tensor([-0.9, -0.5, -0.4, 0.1, 0.7], dtype=torch.float64), torch.tensor([0.2], dtype=torch.float64)
u = torch.linspace(-1.2, 1.2, 961, dtype=torch.float64)
F, step = (one[:, None] <= u).double().mean(dim=0), (truth <= u).double()
course.plot(u, {"F of five members": F, "1[x ≤ u]": step, "squared difference": (F - step) ** 2}, "u")
area = right_crps_integral(one[:, None], truth).item()
print(f"area below the squared difference: {torch.trapezoid((F - step) ** 2, u):.4f}; exactly {area:.4f}")
course.expect(abs(torch.trapezoid((F - step) ** 2, u) - area) < 0.01)
print(f"{'members':>8}{'integral':>10}{'fair score':>12}{'difference':>12}")
for m in (2, 8, 200):
    members, x = normal(m, 400, seed=m), normal(400, seed=1)
    integral = right_crps_integral(members, x).mean()
    fair = right_fair_score(members[..., None], x[:, None]).mean()
    print(f"{m:8}{integral:10.4f}{fair:12.4f}{integral - fair:12.4f}")
course.expect(integral - fair < 0.01)

# %% [markdown]
# With 200 members both are nearly the same. With two they are not, because the integral treats the two members as the
# *whole* forecast: a member paired with itself is a pair as well.
#
# ## 3. Few members
#
# The integral is exactly (i) with the mean over all $m^2$ pairs, $m$ of which have the distance 0. Its expectation
# has $\frac{m-1}m\,\mathbb E\|X - X'\|$ in the place of $\mathbb E\|X - X'\|$: this estimate is **biased**, and rewards
# spread too little. The fair one has the right expectation for any $m \ge 2$.
#
# But a loss with the fair estimate has a flaw of its own. If all members but one are exactly $x$, the score is 0
# wherever the last one is: its distance to $x$ counts $1/m$, and its distances to the $m - 1$ others count as much. So
# the **almost fair** score takes the share $\alpha$ of the fair estimate and $1 - \alpha$ of the biased one, for
# example $\alpha = 0.95$.
#
# ### Exercise 3: almost fair
#
# Write it for the members and items of exercise 1. With $\alpha = 1$ it is the fair score.


# %% tags=["exercise"]
def almost_fair_score(members, x, alpha):
    """The energy score (N,) of members (m, N, d) for x (N, d): α of the fair estimate, 1 − α of the biased one."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(20, almost_fair_score))
right_almost_fair_score = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def almost_fair_score(members, x, alpha):
#     m = len(members)
#     to_truth = (members - x).norm(dim=-1).mean(dim=0)
#     pairs = (members[:, None] - members[None]).norm(dim=-1).sum(dim=(0, 1))
#     return to_truth - pairs / 2 * (alpha / (m * (m - 1)) + (1 - alpha) / m**2)
# ```
# </details>

# %%
members, x = normal(8, 400, seed=2), normal(400, seed=3)
biased = right_almost_fair_score(members[..., None], x[:, None], 0.0)
by_integral = right_crps_integral(members, x)
print(f"largest difference of the biased estimate and the integral: {(biased - by_integral).abs().max():.1e}")
course.expect(torch.allclose(biased, by_integral))
pulls = {}
for alpha in (1.0, 0.95):
    stray = torch.tensor(3.0, requires_grad=True)  # seven members are x = 0, and one is at 3
    score = right_almost_fair_score(torch.cat([torch.zeros(7), stray[None]])[:, None, None], torch.zeros(1, 1), alpha)
    pulls[alpha] = torch.autograd.grad(score.sum(), stray)[0].item()
    print(f"α = {alpha}: score {abs(score.item()):.4f}, pull on the stray member {pulls[alpha]:.5f}")
course.expect(abs(pulls[1.0]) < 1e-6 and pulls[0.95] > 5e-4)

# %% [markdown]
# ### Exercise 4: the spread that a score asks for
#
# What does the bias do to a forecast? Let the truth be $x \sim \mathcal N(0, 1)$ and the forecast $\mathcal N(0, s^2)$.
# Which $s$ has the least expected score of exercise 3, as a function of $m$ and $\alpha$? Use
# $\mathbb E|X - x| = \sqrt{2/\pi}\,\sqrt{1 + s^2}$ and $\mathbb E|X - X'| = 2s/\sqrt\pi$. Test: for $\alpha = 1$ it is
# $s = 1$.


# %% tags=["exercise"]
def best_spread(m, alpha):
    """The s for which N(0, s²) has the least expected almost fair score with m members, where the truth is N(0, 1)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(20, best_spread))
right_best_spread = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# The expectation has $w\,\mathbb E|X - X'|$ with $w = \alpha + (1 - \alpha)\frac{m-1}m$. The derivative of
# $\sqrt{2/\pi}\,\sqrt{1 + s^2} - w\,s/\sqrt\pi$ is 0 where $\sqrt2\,s/\sqrt{1 + s^2} = w$, so $s^2 = w^2/(2 - w^2)$.
#
# ```python
# def best_spread(m, alpha):
#     w = alpha + (1 - alpha) * (m - 1) / m
#     return w / (2 - w**2) ** 0.5
# ```
# </details>
#
# The picture has the expected scores over $s$, relative to that of the truth, with that of the nearest of 32 members
# as in section 1. Each is estimated from the same numbers for all $s$.

# %%
z, x = normal(32, 500 if QUICK else 10_000, 1, seed=4), normal(500 if QUICK else 10_000, 1, seed=5)
spreads = torch.linspace(0.05, 2.2, 44, dtype=torch.float64)  # steps of 0.05
scores = {
    "squared error": lambda f: (f - x).square().mean(),
    "biased, m = 2": lambda f: right_almost_fair_score(f[:2], x, 0.0).mean(),
    "fair": lambda f: right_fair_score(f[:8], x).mean(),
    "nearest of 32": lambda f: (f - x).abs().min(dim=0).values.mean(),
}
curves, best = {}, {}
for name, score in scores.items():
    curves[name] = torch.stack([score(s * z) for s in spreads]) / score(z)
    best[name] = spreads[curves[name].argmin()].item()
    print(f"{name:14} least at s = {best[name]:.2f}")
course.plot(
    spreads, {name: curve.where(curve < 1.5, math.nan) for name, curve in curves.items()}, "s", "relative score"
)
for count, alpha in ((2, 0.0), (8, 0.0), (2, 0.95), (8, 0.95), (2, 1.0)):
    print(f"m = {count}, α = {alpha}: the least expected score is at s = {right_best_spread(count, alpha):.3f}")
course.expect(abs(right_best_spread(2, 0.0) - 0.378) < 1e-3)
if not QUICK:
    course.expect(abs(best["biased, m = 2"] - right_best_spread(2, 0.0)) < 0.1)
    course.expect(abs(best["fair"] - 1) < 0.11)
    course.expect(best["nearest of 32"] > 1.2)

# %% [markdown]
# With two members the biased score asks for 0.378 in place of 1, and with eight it still asks for too little. The
# almost fair score with $\alpha = 0.95$ and eight members asks for 0.988, which is near enough. The squared error asks
# for no spread at all, and the nearest of 32 members for too much, $s$ near 1.3: members that are far apart leave
# smaller gaps where $x$ is rare.
#
# ## 4. One value at a time
#
# An item has many values. Can each have its own CRPS, and the mean of all be the score? It is a sum of proper scores,
# so it is proper. But it sees each value alone: a forecast with the right distribution of *every value* has the best
# score, whatever the values have to do with each other. Take two numbers that are always equal, $x_1 = x_2 = \pm1$, and
# two forecasts: the truth, and independent signs. These are the distributions themselves, four equally likely members
# each, so the mean over all $m^2$ pairs is exact: $\alpha = 0$.

# %%
truth = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
signs = {
    "the truth": torch.tensor([[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]]),
    "independent": torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]),
}


def by_coordinate(members, x, alpha):
    """The sum of the almost fair CRPS of each coordinate, (N,), of members (m, N, d) for x (N, d)."""
    return sum(right_almost_fair_score(members[..., [j]], x[:, [j]], alpha) for j in range(x.shape[1]))


print(f"{'':12}{'CRPS of both':>14}{'energy score':>14}")
exact_scores = {}
for name, forecast in signs.items():
    members = forecast[:, None].expand(4, 2, 2)
    each, both = by_coordinate(members, truth, 0.0).mean(), right_almost_fair_score(members, truth, 0.0).mean()
    exact_scores[name] = each.item(), both.item()
    print(f"{name:12}{each:14.4f}{both:14.4f}")
course.expect(abs(exact_scores["the truth"][0] - exact_scores["independent"][0]) < 1e-6)
course.expect(abs(exact_scores["the truth"][1] - 0.5**0.5) < 1e-6)
course.expect(exact_scores["independent"][1] > 0.85)

# %% [markdown]
# The CRPS of both numbers is the same. The energy score of the pair is 0.7071 for the truth and 0.8536 for independent
# signs. So an image needs scores of larger parts than pixels. In many dimensions the energy score of the whole item
# is flat around its minimum, however: distances are then nearly the same for many forecasts. The package takes the mean
# of scores of *patches* of several sides: 1 is single values, 4 is blocks of 4 × 4 pixels, 0 is the whole item.
#
# ## 5. A network that samples in one evaluation
#
# A network $f(c, \xi)$ takes the condition $c$ and noise $\xi \sim \mathcal N(0, I)$ that is drawn anew for each
# answer. Its answers to one $c$ are the members of a forecast, and they are trained by the score. Because the score is
# proper, the minimum over all functions is a sampler of $p(x \mid c)$. No time $t$, no steps and no teacher are needed;
# consistency models (lesson 11) need them to reach one evaluation.
#
# The data: $c$ is uniform in $[-1, 1]$. Points lie near $(0.3\,c, -0.3\,c) \pm (0.6, 0.6)$ with a deviation of 0.05,
# and the sign is + with probability $0.5 + 0.3\,c$.

# %%
STD = 0.05


def sample_modes(c, seed):
    """Points (N, 2) of p(x | c) for conditions c (N, 1)."""
    generator = torch.Generator().manual_seed(seed)
    up = torch.rand(c.shape, generator=generator) < 0.5 + 0.3 * c
    middle = torch.cat([0.3 * c, -0.3 * c], dim=1)
    return middle + torch.where(up, 0.6, -0.6) + STD * torch.randn(len(c), 2, generator=generator)


def conditions(n, seed):
    """Conditions (n, 1), uniform in [−1, 1]."""
    return 2 * torch.rand(n, 1, generator=torch.Generator().manual_seed(seed)) - 1


# %% [markdown]
# ### Exercise 5: the loss of a network
#
# Items $x$ and their conditions $c$ are a batch of $N$, and $\xi$ is noise for $m$ answers to each. `net(c, xi)` takes
# $(N, 1)$ and $(N, k)$, or any other number of rows, and returns a point for each row. `score(members, x)` is a score
# as in exercise 3, with a value for each item. Return the mean of the scores over the batch. Evaluate the network once,
# for all members together.


# %% tags=["exercise"]
def ensemble_loss(net, c, x, xi, score):
    """The mean score of the answers of net to conditions c (N, 1) with noise xi (m, N, k), for items x (N, d)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(20, ensemble_loss))
right_ensemble_loss = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def ensemble_loss(net, c, x, xi, score):
#     m = len(xi)
#     members = net(c.repeat(m, 1), xi.flatten(0, 1)).reshape(m, *x.shape)
#     return score(members, x).mean()
# ```
# </details>
#
# The same network is trained three times: by the squared error of a member, by the CRPS of each coordinate, and by the
# energy score of the point. Only the score differs.


# %%
class Answer(nn.Module):
    """A network f(c, ξ) for points: the condition and the noise are its only inputs."""

    def __init__(self, width=128, noise=8):
        super().__init__()
        self.noise = noise
        self.layers = nn.Sequential(
            nn.Linear(1 + noise, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )

    def forward(self, c, xi):
        return self.layers(torch.cat([c, xi], dim=1))


def train_answer(score, members=8, steps=10 if QUICK else 2500, batch=128):
    """A network that is trained by a score of the members (m, N, 2) of an ensemble for points (N, 2)."""
    torch.manual_seed(0)
    net = Answer()
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        c = conditions(batch, seed=step)
        x, xi = sample_modes(c, seed=10**6 + step), torch.randn(members, batch, net.noise)
        loss = right_ensemble_loss(net, c, x, xi, score)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    return net.eval()


ALPHA = 0.95
training_scores = {
    "squared error": lambda f, x: (f - x).square().sum(-1).mean(0),
    "CRPS": lambda f, x: by_coordinate(f, x, ALPHA),
    "energy score": lambda f, x: right_almost_fair_score(f, x, ALPHA),
}
nets = {name: train_answer(score) for name, score in training_scores.items()}


@torch.no_grad()
def answers(net, c, seed):
    """One answer (N, 2) to each condition (N, 1), in one evaluation."""
    return net(c, torch.randn(len(c), net.noise, generator=torch.Generator().manual_seed(seed)))


AT, COUNT = 0.5, 4000
same = torch.full((COUNT, 1), AT)
clouds = {"data": sample_modes(same, seed=1)} | {name: answers(net, same, seed=2) for name, net in nets.items()}
course.scatter(clouds, limit=1.2)

# %% [markdown]
# All pictures are for $c = 0.5$. Three things are counted: points far from both modes, pairs of coordinates that
# belong to different modes (*crossed*), and the share of the upper mode, which is 0.65. Then 19 answers to each of new
# conditions are scored, and beside them 19 points of the exact $p(x \mid c)$.

# %%
middle = torch.tensor([[0.3, -0.3]]) * AT
crossed, upper = {}, {}
for name, points in clouds.items():
    moved = points - middle
    far = torch.minimum((moved - 0.6).norm(dim=1), (moved + 0.6).norm(dim=1)) > 5 * STD
    crossed[name] = ((moved[:, 0] * moved[:, 1] < 0) & (moved.abs().min(dim=1).values > 0.3)).double().mean()
    upper[name] = (moved.sum(dim=1) > 0).double().mean()
    print(f"{name:14} far {far.double().mean():6.1%}  crossed {crossed[name]:6.1%}  upper {upper[name]:6.1%}")

K, asked = 19, 50 if QUICK else 2000
c = conditions(asked, seed=3)
truth, repeated = sample_modes(c, seed=4), c.repeat_interleave(K, dim=0)
made = {"exact": sample_modes(repeated, seed=5)}
made |= {name: answers(net, repeated, seed=6) for name, net in nets.items()}
energy = {}
print(f"{'':14}{'energy score':>22}{'CRPS':>10}{'coverage of 90 %':>20}")
for name, rows in made.items():
    members = rows.reshape(asked, K, 2)
    each = ensembles.energy_scores(members, truth)
    energy[name], error = each.mean().item(), each.std().item() / asked**0.5
    single = ensembles.crps(members, truth).mean().item()
    coverage = ensembles.calibration(members, truth).coverage.value
    print(f"{name:14}{energy[name]:13.4f} ± {error:.4f}{single:12.4f}{coverage:16.0%}")
if not QUICK:
    course.expect(crossed["CRPS"] > 0.2)
    course.expect(crossed["energy score"] < 0.02)
    course.expect(abs(upper["energy score"] - 0.65) < 0.08)
    course.expect(energy["energy score"] < 1.05 * energy["exact"])
    course.expect(energy["energy score"] < energy["CRPS"] < energy["squared error"])

# %% [markdown]
# * By the squared error all answers to one condition are nearly the same point, the conditional mean. No item is near
#   it.
# * By the CRPS each coordinate has its two values with the right shares, and 27 % of the points are crossed pairs: one
#   coordinate of each mode. By its own measure this network is the better one: its CRPS is 0.2758, that of the
#   network of the energy score 0.2777. Nor does the coverage see it, which counts single values too.
# * By the energy score no points are crossed, and its score is 0.2798 where that of the exact distribution is 0.2742.
#   12 % of the points lie between the modes. A continuous function of $\xi$ cannot jump from one mode to the other, and
#   the bridge gets thinner as the network is trained longer. A diffusion model that is
#   sampled in few steps has such points as well.
#
# The package's objective is the same score over $\sqrt d$ for the whole item, and the mean over single values:

# %%
members, x = answers(nets["energy score"], c.repeat(8, 1), seed=7).reshape(8, asked, 2), truth
for patches, score in (
    (0, right_almost_fair_score(members, x, ALPHA) / 2**0.5),
    (1, by_coordinate(members, x, ALPHA) / 2),
):
    of_package = EnergyScore(members=8, patches=patches, almost_fair=ALPHA).scores(members, x)
    print(f"patches = {patches}: {of_package.mean():.4f} by the package, {score.mean():.4f} here")
    course.expect(abs(of_package.mean() - score.mean()) < 2e-3)

# %% [markdown]
# ## 6. What to take
#
# | question | answer |
# |---|---|
# | when is a score proper? | if no forecast has a better expected score than the distribution of the truth |
# | why is the energy score? | the difference from the best is an integral of $|\varphi_P - \varphi_Q|^2$ |
# | fair or biased? | fair to judge samples; almost fair as a loss |
# | how many members? | two are enough without bias; more make the gradient less noisy |
# | pixels or whole items? | both, and patches between: the CRPS of pixels alone says nothing of their dependence |
# | what does it cost? | $m$ evaluations for each item in training, and one for each sample |
#
#     ancestral train DATA --given mask:left --validation 0.1 --objective energy --out runs/answers
#     ancestral train DATA --given mask:left --objective energy:members=8,evaluations=2
#     ancestral evaluate runs/answers --members 19        # energy score, coverage, and the ten worst items
#
# The page *An answer in one evaluation* has measured scores and times beside a diffusion model.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **The biased score.** In section 5, `ALPHA = 0.95` → `ALPHA = 0.0`. The spread within a mode becomes too small, and
#   fewer than 90 % of the values are covered. As long as before.
# * **Two members.** In section 5, `def train_answer(score, members=8,` → `def train_answer(score, members=2,`. The
#   score has nearly the same minimum, but its gradient is noisier. Faster than before.
# * **One number of noise.** In section 5, `def __init__(self, width=128, noise=8):` →
#   `def __init__(self, width=128, noise=1):`. The answers to one condition lie on a curve. As long as before.
