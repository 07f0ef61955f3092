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
# # History as one matrix, 2019 to today
#
# From 2019 to 2022 about a dozen papers made diffusion models what they are. Each comes with its own notation, and
# read one after the other they look like different theories. In this lesson you rebuild eight of them, and see that
# they are one theory: two equations with two unknowns. Each paper changed one row of them, or the way to walk from
# noise to data. All eight get the same data, the same network and the same measure, so that you see what each step
# bought.
#
# You should have done lessons 2 and 3. Everything else is introduced here. Five exercises, and one on paper, come on
# the way. The notebook runs in about two minutes on two CPU cores. Numbers in brackets are those of the equations in
# the paper that the section is about.

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
from dataclasses import dataclass
from itertools import pairwise

import matplotlib.pyplot as plt
import torch

import ancestral_course as course
from ancestral import Diffusion, data, guidance, nets, objectives, oracle, samplers, schedules, targets

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
T = 1000  # the number of noisy states, for all methods

# %% [markdown]
# ## 1. Two equations, two unknowns
#
# Take a clean item $x_0$ (an image, or here a point in the plane) and noise $\varepsilon \sim \mathcal N(0, I)$ of the
# same shape. Every method of this lesson mixes the two, and the mixture at time $t$ is
#
# $$x_t = a_t\,x_0 + b_t\,\varepsilon .$$
#
# $a_t$ is the factor of the signal, $b_t$ that of the noise. At $t = 0$ the item is clean ($a_0 = 1$, $b_0 = 0$), at
# $t = T$ hardly anything of it is left. In lesson 1, $a_t$ was $\sqrt{\bar\alpha_t}$ and $b_t$ was
# $\sqrt{1-\bar\alpha_t}$. Given $x_0$, $x_t$ is normally distributed with the mean $a_t x_0$ and the variance $b_t^2$.
# To write it as above, by standard normal noise $\varepsilon$, is called the *reparameterisation*.
#
# The network sees $x_t$ and $t$. What it is trained to answer, its *target*, is in every method another mixture of the
# same two things, with factors that we call $p_t$ and $q_t$. So we have two equations:
#
# $$\begin{bmatrix} x_t \\ \text{target} \end{bmatrix} =
# \begin{bmatrix} a_t & b_t \\ p_t & q_t \end{bmatrix}
# \begin{bmatrix} x_0 \\ \varepsilon \end{bmatrix}
# \qquad \begin{matrix} \text{first row: the schedule} \\ \text{second row: the target} \end{matrix}$$
#
# When we sample, we know the left side: $x_t$, and the network's answer in the place of the target. The right side is
# what we want to know. Two linear equations with two unknowns are solved by Cramer's rule, with the determinant $d =
# a_t q_t - b_t p_t$:
#
# $$\hat x_0 = \frac{q_t\,x_t - b_t\cdot\text{answer}}{d}, \qquad
# \hat\varepsilon = \frac{a_t\cdot\text{answer} - p_t\,x_t}{d}$$
#
# The hats say that these are estimates. In DDPM the target is the noise itself, so $p = 0$, $q = 1$, $d = a$, and
# $\hat x_0 = (x_t - b\,\hat\varepsilon)/a$, which you know.
#
# The drawing shows both rows as vectors, too. With time, the first one turns from $x_0$ to $\varepsilon$. The solve
# works for every second row that points in another direction.

# %%
course.drawing("matrix")

# %% [markdown]
# The package has the same solve:


# %%
def solve(x_t, answer, a, b, p, q):
    """x̂_0 and ε̂ from the network's answer."""
    d = a * q - b * p
    return (q * x_t - b * answer) / d, (a * answer - p * x_t) / d


x_0, eps = torch.tensor([0.8, -0.3]), torch.tensor([1.5, 0.2])
a, b, p, q = 0.6, 0.8, -0.8, 0.6  # a target called v: p = −b, q = a
x_t, v = a * x_0 + b * eps, p * x_0 + q * eps
for found, wanted in zip(solve(x_t, v, a, b, p, q), (x_0, eps), strict=True):
    course.expect(torch.allclose(found, wanted, atol=1e-6))
for found, wanted in zip(solve(x_t, v, a, b, p, q), targets.V.solve(x_t, v, a, b), strict=True):
    course.expect(torch.allclose(found, wanted, atol=1e-6))

# %% [markdown]
# A method is then four choices: the first row, the second row, how the errors at different $t$ are weighted in the
# loss, and the *sampler*, which walks from $x_T$ to $x_0$ with the help of $\hat x_0$ and $\hat\varepsilon$.
#
# ## 2. The data, and how far samples are from them
#
# Two interlocking half circles, called two moons: 10,000 points to train with, and 10,000 others to compare with. They
# lie in [−1, 1], as images do in lesson 1.

# %%
points, held_out = data.load("moons").items, data.load("moons", split="test").items
upper = torch.arange(len(points)) % 2 == 0  # the points of the upper moon are those of even number
rms = points.square().mean().sqrt().item()
print(f"{len(points)} points, root mean square of a coordinate {rms:.2f}")
course.expect(0.415 < rms < 0.434)
course.scatter({"upper moon": points[upper][:2000], "lower moon": points[~upper][:2000]}, limit=1.2)

# %% [markdown]
# To compare samples with the data we need a distance of two clouds of points. In one dimension there is a simple one:
# sort both sets of numbers, and compare the smallest with the smallest, and so on up to the largest. The root mean
# square of the differences is the *Wasserstein-2 distance*. In the plane we look at both clouds from 32 directions,
# evenly spaced, and take the root mean square over the directions as well. This is the **sliced Wasserstein
# distance**. It has the unit of the data.
#
# How small can it become? Two samples of the same distribution are not at distance 0, so we measure it: 500 points of
# the training data against all held-out points. The mean of several such batches is the **floor**. It comes with its
# standard error, the standard deviation over the batches divided by the square root of their number.
#
# This distance sees where the mass is, and hardly sees whether a moon is sharp or blurred. So we count as well how
# many points are *stray*: farther than 0.1 from both half circles. Of the data, practically none are.

# %%
angle = (torch.arange(64) + 0.5) * math.pi / 64
half_circle = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], dim=1) * 0.6
centres = torch.cat([half_circle, -half_circle])  # the upper moon, then the lower

directions = torch.arange(32) * math.pi / 32
rays = torch.stack([directions.cos(), directions.sin()])
held_out_sorted = (held_out @ rays).sort(0).values  # one column for each direction


def distance(cloud):
    """The sliced Wasserstein-2 distance of points (n, 2) to the held-out points; n divides their number."""
    projected = (cloud @ rays).sort(0).values.repeat_interleave(len(held_out) // len(cloud), 0)
    return (projected - held_out_sorted).square().mean().sqrt()


def mean_and_error(clouds):
    """The mean distance of several clouds, and its standard error."""
    distances = torch.stack([distance(cloud) for cloud in clouds])
    return distances.mean().item(), (distances.std() / len(distances) ** 0.5).item()


def stray(cloud):
    """The share of points (n, 2) that are farther than 0.1 from the moons, five standard deviations of the data."""
    return (torch.cdist(cloud, centres).min(1).values > 0.1).double().mean().item()


floor, error = mean_and_error(points.split(500))
print(f"floor: {floor:.4f} ± {error:.4f}; stray: {stray(points):.2%} of the data")
course.expect(stray(points) < 0.001)
course.expect(0.0235 < floor < 0.0265)

# %% [markdown]
# ## 3. One training loop for all
#
# The network is a small *multilayer perceptron* (three residual blocks of dense layers) that reads the point and the
# time. `Diffusion` of the package puts it together with the two rows. The loss draws a random $t$ and $\varepsilon$
# for each point, makes $x_t$ with the first row and the target with the second, and takes the squared error of the
# answer. Here is this loss by hand, and the package's.


# %%
def loss_by_hand(denoiser, x_0, t, eps):
    """The squared error of the network's answer, for each of the points (B, 2)."""
    a, b = (scale[:, None].float() for scale in denoiser.schedule.at(t))
    p, q = denoiser.target.p(a, b), denoiser.target.q(a, b)
    x_t, target = a * x_0 + b * eps, p * x_0 + q * eps  # the two rows
    return (target - denoiser.output(x_t, t)).square().mean(1)


denoiser = Diffusion(nets.MLP(width=64), schedules.linear(), targets.V)
generator = torch.Generator().manual_seed(0)
eps, t = torch.randn(500, 2, generator=generator), torch.randint(1, T + 1, (500,), generator=generator)
course.expect(
    torch.allclose(
        loss_by_hand(denoiser, points[:500], t, eps), denoiser.errors(points[:500], t, eps), rtol=1e-4, atol=1e-5
    )
)

# %% [markdown]
# The training loop is that of lesson 1: Adam, with a learning rate that rises and then falls to 0. Times are
# *stratified*: each $t$ has the same probability, but those of a batch are spread evenly, which makes the loss less
# noisy.

# %%
STEPS, BATCH = (20, 64) if QUICK else (800, 512)


def train(schedule, target, times="stratified", weighting="simple", labels=None, **settings):
    """A trained denoiser. Labels are hidden from the network (−1) for a fifth of the points."""
    torch.manual_seed(0)
    net = nets.MLP(width=64, classes=2 if labels is not None else None, out_features=4 if settings else 2)
    denoiser = Diffusion(net, schedule, target, **settings)
    objective = objectives.build(schedule, target, times, weighting, **settings)
    optimiser = torch.optim.Adam(net.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=STEPS, pct_start=0.1, cycle_momentum=False)
    for step in range(STEPS):
        chosen = torch.randint(len(points), (BATCH,))
        shown = {}
        if labels is not None:
            shown["labels"] = labels[chosen].where(torch.rand(BATCH) > 0.2, -1)
        loss = denoiser.loss(points[chosen], step=step, objective=objective, **shown)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    return denoiser


# %% [markdown]
# For each method we keep the distance of its samples for several numbers of steps of its sampler. The cost of sampling
# is the number of **network evaluations** for one sample, NFE, since some samplers evaluate the network twice a step.
# `check_rows` expects that the rows which we write by hand are those of the package.

# %%
RESULTS, CLOUDS = {}, {}


def measure(name, denoiser, *chosen, cost=1, **condition):
    """Sample 2,000 points with each chosen sampler (8,000 where the network is evaluated at most 100 times)."""
    for sampler in chosen:
        nfe = cost * sampler.nfe(denoiser.schedule)
        batch, number = (100, 2) if QUICK else (500, 4 if nfe > 100 else 16)
        x_T = denoiser.schedule.prior_std * torch.randn(batch * number, 2, generator=torch.Generator().manual_seed(1))
        given = {key: value[: len(x_T)] for key, value in condition.items()}
        samples = sampler.sample(denoiser, x_T, **given)
        mean, error = mean_and_error(samples.split(batch))
        print(f"{name}, {nfe:4} network evaluations: distance {mean:.4f} ± {error:.4f}")
        RESULTS.setdefault(name, []).append((nfe, mean, error))
        CLOUDS.setdefault(name, samples)


def check_rows(schedule, target, a, b, p, q):
    """Expect that rows given as tables for t = 1..T are those of the schedule and of the target."""
    a_t, b_t = schedule.signal[1:], schedule.noise[1:]
    rows = (a_t, b_t, target.p(a_t, b_t), target.q(a_t, b_t))
    for mine, theirs in zip((a, b, p, q), rows, strict=True):
        course.expect(torch.allclose(mine, torch.as_tensor(theirs, dtype=torch.float64).expand(T), rtol=1e-6))


one, zero = torch.ones(T, dtype=torch.float64), torch.zeros(T, dtype=torch.float64)
u = torch.linspace(0, 1, T, dtype=torch.float64)  # from 0 at t = 1 to 1 at t = T

# %% [markdown]
# ## 4. NCSN (2019): the score, at many noise levels
#
# *Song and Ermon, Generative modeling by estimating gradients of the data distribution,
# [arXiv:1907.05600](https://arxiv.org/abs/1907.05600).*
#
# **The problem of its time.** Generative adversarial networks made good images, but two networks that play against
# each other are hard to train. A density $p(x)$ is easy to train by likelihood, but it has to integrate to 1, which
# restricts the network. The *score* $\nabla_x \log p(x)$, the direction in which the density grows fastest, has no
# such restriction: the constant in front of $p$ drops out of the gradient. With the score alone one can sample, by
# *Langevin dynamics*: go a little uphill, add a little noise, and repeat.
#
# **Why it did not work before.** Between the moons there are no data, so nothing says what the score is there. The
# idea of the paper: add noise of standard deviation $\sigma$ to the data. Then the density is above 0 everywhere. With
# much noise the score is known far away from the data, with little noise it is precise near the data. So train one
# network for many levels $\sigma_1 < \dots < \sigma_T$, and walk from the largest level down to the smallest.
#
# ### Exercise 1: one Langevin step
#
# A step of Langevin dynamics has a size $\alpha$:
#
# $$x \leftarrow x + \tfrac{\alpha}{2}\,\nabla_x \log p(x) + \sqrt{\alpha}\,z, \qquad z \sim \mathcal N(0, I)$$
#
# Here $p$ is the density of the noisy data $x_0 + \sigma\varepsilon$ of one level $\sigma$. Write this step, given an
# estimate $\hat\varepsilon$ of the noise in $x$ instead of the score. (It is the mean of all $\varepsilon$ that are
# possible for this $x$.) Begin with a single $x_0$: what is the density of the $x = x_0 + \sigma\varepsilon$ that come
# from it, and what is the gradient of its logarithm, written with $\varepsilon$? The score of all noisy data is the
# mean of these gradients over the $x_0$ that are possible for this $x$. Check: without noise, $z = 0$, a step of the
# size $\alpha = 2\sigma^2$ ends at $\hat x_0 = x - \sigma\hat\varepsilon$.


# %% tags=["exercise"]
def langevin_step(x, eps_hat, sigma, alpha, z):
    """x after one Langevin step of size alpha, for x, eps_hat and z of shape (B, 2) at the noise level sigma."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(5, langevin_step))
right_langevin_step = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# From one $x_0$ comes the normal density $\mathcal N(x; x_0, \sigma^2 I)$, whose logarithm is
# $-\|x - x_0\|^2/2\sigma^2$ and a constant. Its gradient is $-(x - x_0)/\sigma^2 = -\varepsilon/\sigma$. The mean over
# all that is possible replaces $\varepsilon$ by $\hat\varepsilon$.
#
# ```python
# def langevin_step(x, eps_hat, sigma, alpha, z):
#     score = -eps_hat / sigma
#     return x + alpha / 2 * score + alpha**0.5 * z
# ```
# </details>
#
# Here is the exact score at three levels. For this we need the density of the moons: 64 normal distributions of
# standard deviation 0.02 along each half circle, at the `centres` of section 2. For such a mixture, the best possible
# denoiser is known in closed form (`oracle.Mixture`). It gives $\hat\varepsilon$, and so the score by exercise 1. No
# network is involved.


# %%
def exact(schedule, means=centres):
    """The best possible denoiser for the moons: x̂_0 is the mean of all x_0 that x_t can come from."""
    return oracle.Mixture(schedule, means, torch.full((len(means),), 0.02))


geometric = schedules.geometric(sigma_min=0.01, sigma_max=5.0)
grid = torch.cartesian_prod(torch.linspace(-1.8, 1.8, 15), torch.linspace(-1.8, 1.8, 15))
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.7))
    for axis, t in zip(axes, (700, 520, 300), strict=True):
        sigma = geometric.at(t)[1]
        score = -exact(geometric).predict(grid, t).eps / sigma
        axis.plot(*centres[:64].T, *centres[64:].T, color="C1", linewidth=2)
        length = score.norm(dim=1, keepdim=True)
        axis.quiver(*grid.T, *(score / length).T, color="C0", scale=22, width=0.006)
        axis.set(aspect="equal", title=f"σ = {sigma:.2f}")
        course.frame(axis)
    figure.tight_layout()
    plt.show()

# %% [markdown]
# (Arrows show the direction only.) With much noise all arrows point to the middle of the data. With little noise each
# points to the nearest part of a moon, and where two parts are equally near, the direction jumps. A walk from noise
# needs the left picture first and the right one last.
#
# **The rows.** The noise is added, and the signal is not made smaller: $a_t = 1$, $b_t = \sigma_t$, and the levels
# form a geometric sequence. What is the score of $x_t$? *Given $x_0$*, $x_t$ is normally distributed around it, and
# the gradient of $\log \mathcal N(x_t; x_0, \sigma_t^2 I)$ is $-(x_t - x_0)/\sigma_t^2 = -\varepsilon/\sigma_t$. The
# density of all noisy data is the mean of these normal densities over $x_0$. Since
# $\nabla\mathcal N = \mathcal N\,\nabla\log\mathcal N$,
#
# $$\nabla\log p_t(x) = \frac{\int p(x_0)\;\mathcal N(x; x_0, \sigma_t^2 I)\;\nabla\log\mathcal N(x; x_0, \sigma_t^2 I)
# \;dx_0}{\int p(x_0)\;\mathcal N(x; x_0, \sigma_t^2 I)\;dx_0}
# = -\frac{1}{\sigma_t}\,\mathbb E[\varepsilon\,|\,x_t = x] .$$
#
# A network trained on the squared error answers with this mean. To see it, write the target as its mean given $x_t$
# plus a rest, and expand the square. Take the mean of the cross term given $x_t$ first, and then over $x_t$, which is
# the mean over everything by the *tower property*. Given $x_t$, the answer is fixed and the rest has the mean 0, so
# the cross term vanishes. What remains is the squared distance of the answer from that mean, and a constant. This is
# *denoising score matching* (Vincent, 2011). So the score is a mixture of $x_0$ and $\varepsilon$ like every other
# target:
#
# $$\begin{bmatrix} x_t \\ \text{score} \end{bmatrix} =
# \begin{bmatrix} 1 & \sigma_t \\ 0 & -1/\sigma_t \end{bmatrix}
# \begin{bmatrix} x_0 \\ \varepsilon \end{bmatrix}$$
#
# The loss is weighted with $\sigma_t^2$, so that all levels count the same (the weighting `"snr"` of the package).
#
# **The sampler** repeats the step of exercise 1 at each level. The step size shrinks with the level,
# $\alpha_t = 2\cdot10^{-5}\,(\sigma_t/\sigma_1)^2$, so that the step and the noise keep their proportion (algorithm
# 1). At the end, the noise that is left at $\sigma_1$ is removed by a step to $\hat x_0$ (added in 2020). We take 100
# levels with 5 steps each; the paper had 10 levels with 100 steps.

# %%
sigma = 0.01 * (5.0 / 0.01) ** u
check_rows(geometric, targets.SCORE, a=one, b=sigma, p=zero, q=-1 / sigma)
ncsn = train(geometric, targets.SCORE, weighting="snr")


@torch.no_grad()
def annealed_langevin(denoiser, x, levels, steps, noise):
    """Algorithm 1: Langevin steps at falling noise levels, then x̂_0."""
    for t in levels:
        sigma_t, sigma_1 = denoiser.schedule.at(t)[1], denoiser.schedule.at(1)[1]
        alpha = 2e-5 * (sigma_t / sigma_1) ** 2
        for _ in range(steps):
            x = right_langevin_step(x, denoiser.predict(x, t).eps, sigma_t, alpha, noise(x.shape))
    return denoiser.predict(x, levels[-1]).x0


def noise(seed):
    """A function that draws noise of a given shape."""
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator)


langevin, x_T = samplers.Langevin(steps_per_level=5, steps=20), 5.0 * noise(2)((100, 2))
by_hand = annealed_langevin(ncsn, x_T, langevin.times(geometric)[:-1], 5, noise(3))
course.expect(torch.allclose(by_hand, langevin.sample(ncsn, x_T, noise=noise(3)), atol=1e-4))
measure("NCSN", ncsn, *[samplers.Langevin(steps_per_level=5, steps=levels) for levels in (100, 40, 20)])

# %% [markdown]
# **What was left to do.** It works, but the number of levels, the steps and their size had to be tuned by hand, and
# the paper took 1,000 evaluations for an image. On CIFAR-10 it had an FID of 25.3. (FID is a distance of images to the
# data, smaller is better; for other numbers of this kind below, the data are CIFAR-10, too.)
#
# ## 5. DDPM (2020): a chain that is undone step by step
#
# *Ho, Jain and Abbeel, Denoising diffusion probabilistic models,
# [arXiv:2006.11239](https://arxiv.org/abs/2006.11239).*
#
# You know it from lesson 1. The idea of a chain of noise and its reversal is older (Sohl-Dickstein et al., 2015).
# Compare it with NCSN:
#
# * **First row**: each step also *shrinks* the signal, so that the variance stays about 1. The network sees inputs of
#   the same size at every $t$, and $x_T$ is standard normal.
# * **Second row**: the noise $\varepsilon$ itself. It is NCSN's score times $-b_t$. So $L_{\rm simple}$ and NCSN's
#   weighted loss are the same.
# * **Sampler**: the reverse chain in place of Langevin dynamics. The size of each step and of its noise follows from
#   the forward process. Nothing has to be tuned.
#
# $$\begin{bmatrix} x_t \\ \varepsilon \end{bmatrix} =
# \begin{bmatrix} \sqrt{\bar\alpha_t} & \sqrt{1-\bar\alpha_t} \\ 0 & 1 \end{bmatrix}
# \begin{bmatrix} x_0 \\ \varepsilon \end{bmatrix}$$

# %%
beta = torch.linspace(1e-4, 0.02, T, dtype=torch.float64)
alpha_bar = (1 - beta).cumprod(0)
linear = schedules.linear()
check_rows(linear, targets.EPS, a=alpha_bar.sqrt(), b=(1 - alpha_bar).sqrt(), p=zero, q=one)
ddpm = train(linear, targets.EPS)


@torch.no_grad()
def ancestral_sampling(denoiser, x, noise):
    """Algorithm 2, with the variance β_t."""
    for t in range(T, 0, -1):
        eps = denoiser.predict(x, t).eps
        mean = (x - beta[t - 1] / (1 - alpha_bar[t - 1]).sqrt() * eps) / (1 - beta[t - 1]).sqrt()  # (11)
        x = (mean + beta[t - 1].sqrt() * noise(x.shape) if t > 1 else mean).float()
    return x


x_T = noise(2)((20, 2))
by_hand = ancestral_sampling(ddpm, x_T, noise(3))
course.expect(torch.allclose(by_hand, samplers.DDPM(clip=None).sample(ddpm, x_T, noise=noise(3)), atol=1e-3))
measure("DDPM", ddpm, samplers.DDPM(), *[samplers.DDPM(steps=steps) for steps in (100, 50, 20)])

# %% [markdown]
# (The package clips $\hat x_0$ to [−1, 1], as the authors' code does. With fewer than $T$ steps it takes longer ones,
# with the variance that belongs to them.) The paper reached an FID of 3.17, the best of all models without labels at
# that time, with 1,000 evaluations for each image.
#
# **What was left to do.** 1,000 evaluations are slow: at that time about 20 hours for 50,000 small images, against a
# minute for a GAN.
#
# ## 6. DDIM (October 2020): the same network, fewer steps
#
# *Song, Meng and Ermon, Denoising diffusion implicit models, [arXiv:2010.02502](https://arxiv.org/abs/2010.02502).*
#
# **The observation.** The loss of DDPM looks at pairs $(x_0, x_t)$ only. It never looks at two noisy states together.
# So every other process in which $x_t = a_t x_0 + b_t \varepsilon$ holds for each single $t$ has the same loss, and
# the network is *already trained* for it. Among these processes are ones whose reverse steps need less noise, or none.
#
# ### Exercise 2: one DDIM step
#
# A step from $t$ to an earlier $s$ starts from $\hat\varepsilon$ and from the $\hat x_0$ that agrees with it by the
# first row. It mixes the two again for the time $s$, with a factor $c$ of the estimated noise, which leaves room for
# fresh noise $z \sim \mathcal N(0, I)$:
#
# $$x_s = a_s\,\hat x_0 + c\,\hat\varepsilon + \eta\,\sqrt{\tilde\beta_{ts}}\;z$$
#
# $\tilde\beta_{ts}$ is the variance of $q(x_s|x_t, x_0)$ in DDPM's chain, and $\eta$ is a number from 0 to 1 that we
# may choose. Find both factors, for any first row, and write the step.
#
# * $\tilde\beta_{ts}$: from $s$ to $t$, the chain multiplies by a number $r$ and adds noise of a variance
#   $\beta_{ts}$. Which $r$ and $\beta_{ts}$ turn the first row at $s$ into the first row at $t$? Bayes' rule says
#   $q(x_s|x_t, x_0) \propto q(x_s|x_0)\;q(x_t|x_s)$. Add the exponents of the two normal densities. The factor of
#   $-\frac12 x_s^2$ is $1/\tilde\beta_{ts}$. Find a form that does not divide by $b_s$, which is 0 at $s = 0$.
# * $c$: the noise in $x_s$ must have the variance $b_s^2$, as the first row demands. For this, take $\hat\varepsilon$
#   as standard normal and independent of $z$.
#
# Check: for $\eta = 0$ nothing is random, and at $s = 0$ the result is $\hat x_0$ for every $\eta$. For DDPM's first
# row and $s = t - 1$, $\tilde\beta_{ts}$ is (7) of lesson 1.
#
# <details><summary>Hint</summary>
#
# The chain gives $x_t = r\,x_s + \sqrt{\beta_{ts}}\,\varepsilon'$ with $x_s = a_s x_0 + b_s\varepsilon$. So the signal
# of $x_t$ is $r\,a_s$, and the variance of its noise $r^2 b_s^2 + \beta_{ts}$.
# </details>


# %% tags=["exercise"]
def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):
    """x_s from x_t (B, 2), the estimate eps_hat of its noise and fresh noise z. a and b are numbers; b_s may be 0."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(5, ddim_step))
right_ddim_step = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# $r = a_t/a_s$ and $\beta_{ts} = b_t^2 - r^2 b_s^2$. The exponents are $-(x_s - a_s x_0)^2/2b_s^2$ and
# $-(x_t - r x_s)^2/2\beta_{ts}$, and together $x_s^2$ has the factor $-\frac12\big(1/b_s^2 + r^2/\beta_{ts}\big)$. So
#
# $$\frac{1}{\tilde\beta_{ts}} = \frac{\beta_{ts} + r^2 b_s^2}{b_s^2\,\beta_{ts}} = \frac{b_t^2}{b_s^2\,\beta_{ts}} ,
# \qquad \tilde\beta_{ts} = \beta_{ts}\,\frac{b_s^2}{b_t^2} .$$
#
# Variances of independent noise add up, so $c^2 + \eta^2\tilde\beta_{ts} = b_s^2$.
#
# ```python
# def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):
#     x0_hat = (x_t - b_t * eps_hat) / a_t
#     variance = eta**2 * (b_t**2 - (a_t / a_s) ** 2 * b_s**2) * b_s**2 / b_t**2
#     return a_s * x0_hat + (b_s**2 - variance) ** 0.5 * eps_hat + variance**0.5 * z
# ```
# </details>
#
# For $\eta = 0$ the step is deterministic, and simple: estimate $\hat x_0$ and $\hat\varepsilon$, and mix them again
# for the earlier time $s$,
#
# $$x_s = a_s\,\hat x_0 + b_s\,\hat\varepsilon .$$
#
# That is the first row of the matrix at $s$. **Both rows are those of DDPM; the sampler is new.** In general,
#
# $$x_s = a_s\,\hat x_0 + \sqrt{b_s^2 - \eta^2\tilde\beta_{ts}}\;\hat\varepsilon
# + \eta\sqrt{\tilde\beta_{ts}}\;z, \qquad
# \tilde\beta_{ts} = \Big(b_t^2 - \frac{a_t^2}{a_s^2}\,b_s^2\Big)\frac{b_s^2}{b_t^2} \tag{12}$$
#
# $\eta = 0$ is DDIM, $\eta = 1$ is DDPM with the smaller variance. ($\tilde\beta_{ts}$ is (7) of the DDPM paper for a
# step of any length.) In either case the noise at $s$ has the variance $b_s^2$. This is the *law of total variance*:
# for a given $x_0$, and with the true noise in the place of $\hat\varepsilon$, the variance of $x_s$ is the mean of
# its variance given $x_t$, here $\eta^2\tilde\beta_{ts}$, plus the variance of its mean given $x_t$, here
# $b_s^2 - \eta^2\tilde\beta_{ts}$. The paper exercise of lesson 6 proves with it that the first row holds at all
# times.


# %%
@torch.no_grad()
def ddim(denoiser, x, times):
    """Deterministic DDIM over falling times, the last of which is 0."""
    for t, s in pairwise(times):
        x_0, eps = denoiser.predict(x, t)
        a_s, b_s = denoiser.schedule.at(s)
        x = a_s * x_0 + b_s * eps
    return x


sampler = samplers.DDIM(steps=50, clip=None)
by_hand = ddim(ddpm, x_T, sampler.times(linear))
course.expect(torch.allclose(by_hand, sampler.sample(ddpm, x_T), atol=1e-4))
by_exercise = x_T
for t, s in pairwise(sampler.times(linear)):
    with torch.no_grad():
        eps = ddpm.predict(by_exercise, t).eps
    by_exercise = right_ddim_step(by_exercise, eps, *linear.at(t), *linear.at(s), 0.0, torch.zeros_like(x_T))
course.expect(torch.allclose(by_exercise, by_hand, atol=1e-3))
measure("DDIM", ddpm, *[samplers.DDIM(steps=steps) for steps in (50, 100, 20, 10)])

# %% [markdown]
# The network was not trained again. On images this was a large step: DDIM had an FID of 4.7 with 50 evaluations, where
# DDPM's own sampler was far worse. (On our two moons DDPM's sampler is as good. The last section comes back to it.)
# Since no noise is added on the way, the sample is a function of $x_T$: one can interpolate between two samples, and
# find the $x_T$ of a given image.
#
# **What was left to do.** Why does a deterministic sampler exist at all, and are there better ones?
#
# ## 7. Score SDE and probability flow (November 2020): continuous time
#
# *Song et al., Score-based generative modeling through stochastic differential equations,
# [arXiv:2011.13456](https://arxiv.org/abs/2011.13456).*
#
# **The idea.** Let the steps become infinitely many and infinitely small. Time $u$ runs from 0 to 1, with
# $t = 1000\,u$. DDPM's chain, which shrinks by $\sqrt{1-\beta}$ and adds noise of variance $\beta$, becomes a
# *stochastic differential equation* (SDE), with $\beta(u) = 0.1 + 19.9\,u$, which is 1000 times DDPM's $\beta_t$, and
# $dw$ for Gaussian noise of variance $du$:
#
# $$dx = -\tfrac12\beta(u)\,x\,du + \sqrt{\beta(u)}\,dw \tag{11}$$
#
# The product of all $1 - \beta_t$ becomes $\bar\alpha(u) = \exp\big(-\int_0^u \beta\big)$, and as before
# $a = \sqrt{\bar\alpha}$ and $b = \sqrt{1 - \bar\alpha}$, now as functions of $u$. NCSN's levels become another SDE,
# $dx = \sqrt{d\sigma^2/du}\;dw$. So NCSN and DDPM are two first rows of one theory. And there is more. The steps of
# DDIM can be infinitely small, too. They become an ordinary differential equation (ODE), without any noise.
#
# ### Exercise 3: DDIM in continuous time
#
# Write $dx/du$ of this equation, from $x$ and $\hat\varepsilon$. Begin with DDIM's step,
# $x_s = a_s\hat x_0 + b_s\hat\varepsilon$, and subtract $x_t = a_t\hat x_0 + b_t\hat\varepsilon$. For $s$ close to $t$
# the differences of $a$ and of $b$ become the derivatives $da/du$ and $db/du$. Compute these from $\bar\alpha(u)$, put
# in the $\hat x_0$ that agrees with $x$ and $\hat\varepsilon$, and sort the terms. Check: if the data are standard
# normal, $x$ has the same distribution at all $u$, and $\hat\varepsilon = b\,x$. Nothing has to move then, so the
# result has to be 0.
#
# <details><summary>Hint</summary>
#
# $d\bar\alpha/du = -\beta(u)\,\bar\alpha$, so $da/du = -\frac12\beta(u)\,a$. From $a^2 + b^2 = 1$ follows
# $a\,\frac{da}{du} + b\,\frac{db}{du} = 0$.
# </details>


# %% tags=["exercise"]
def flow_rate(x, eps_hat, u):
    """dx/du (B, 2) at the time u, a number in (0, 1], from x and the estimate eps_hat of the noise in it."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(5, flow_rate))
right_flow_rate = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# $dx/du = \hat x_0\,\frac{da}{du} + \hat\varepsilon\,\frac{db}{du}$ with $\frac{da}{du} = -\frac12\beta a$,
# $\frac{db}{du} = \frac12\beta a^2/b$ and $\hat x_0 = (x - b\,\hat\varepsilon)/a$. So
#
# $$\frac{dx}{du} = -\tfrac12\beta\,(x - b\,\hat\varepsilon) + \tfrac12\beta\,\frac{a^2}{b}\,\hat\varepsilon
# = -\tfrac12\beta\,\Big[x - \frac{a^2 + b^2}{b}\,\hat\varepsilon\Big]
# = -\tfrac12\beta\,\Big[x - \frac{\hat\varepsilon}{b}\Big] .$$
#
# ```python
# def flow_rate(x, eps_hat, u):
#     beta_u = 0.1 + 19.9 * u
#     alpha_bar_u = math.exp(-(0.1 * u + 19.9 * u**2 / 2))
#     return -beta_u / 2 * (x - eps_hat / (1 - alpha_bar_u) ** 0.5)
# ```
# </details>
#
# The paper found this equation from the other side. A theorem of 1982 (Anderson) says how an SDE runs backwards, and
# the score is all that it needs. The score also gives an ODE, the **probability flow**, which has the same
# distribution as the SDE at every time:
#
# $$\frac{dx}{du} = -\tfrac12\beta(u)\,\big[x + \nabla_x \log p_u(x)\big] \tag{13}$$
#
# In the place of the score we put $-\hat\varepsilon/b$, and it is the equation of exercise 3. **Both rows are those of
# DDPM; the sampler is any solver of ODEs.** DDIM is one of them.
#
# Where is the matrix? The flow moves $x$ along $\hat x_0\,da + \hat\varepsilon\,db$: the first row with the two
# estimates held fixed, while $a$ and $b$ change. The cell shows for one point that both formulas agree. Our solver is
# *Heun's method*: it follows the direction at the beginning of a step to its end, and then takes the mean of the
# directions at both ends. It needs two evaluations a step. The steps are short near $u = 0$, where $1/b$ is large. A
# sampler of the package is a class with one function, `advance`, which moves $x$ from $t$ to $s$.

# %%
u_0, h = 0.3, 1e-4
curve = [math.exp(-(0.1 * v + 19.9 * v**2 / 2)) for v in (u_0 - h, u_0, u_0 + h)]
(a_0, _, a_1), (b_0, b, b_1) = [c**0.5 for c in curve], [(1 - c) ** 0.5 for c in curve]
x, eps = torch.tensor([0.7, -0.2]), torch.tensor([1.1, 0.4])
x_0 = (x - b * eps) / curve[1] ** 0.5
rate = right_flow_rate(x, eps, u_0)  # (13)
course.expect(torch.allclose(rate, (x_0 * (a_1 - a_0) + eps * (b_1 - b_0)) / (2 * h), rtol=1e-3))


@dataclass(frozen=True)
class ProbabilityFlow(samplers.Sampler):
    """Heun's method for (13), down to t = 1, and x̂_0 there."""

    steps: int = 25
    clip: float | None = 1.0
    spacing: str = "trailing"

    def times(self, schedule):
        """Times 1..T, denser towards 1, then 0."""
        return sorted({1 + round((T - 1) * (i / (self.steps - 1)) ** 2) for i in range(self.steps)} | {0})[::-1]

    def advance(self, x, prediction, move, state):
        """x at the time s of the move."""
        if move.s == 0:
            return prediction.x0, state

        def rate(x, eps, t):
            return -(0.1 + 19.9 * t / T) / 2 * (x - eps / move.schedule.at(t)[1])  # (13)

        du = (move.s - move.t) / T
        first = rate(x, prediction.eps, move.t)
        end = x + du * first
        return x + du * (first + rate(end, move.predict(end, move.s).eps, move.s)) / 2, state


measure("Score SDE", ddpm, *[ProbabilityFlow(steps=steps) for steps in (25, 50, 13, 7)])

# %% [markdown]
# What the paper gained: samplers could now be taken from the textbooks of ODEs and SDEs, and the likelihood of an
# image could be computed exactly, by following the flow from the image to the noise (lesson 8). With larger networks
# it reached an FID of 2.20.
#
# ## 8. Improved DDPM (February 2021): schedule and variance
#
# *Nichol and Dhariwal, Improved denoising diffusion probabilistic models,
# [arXiv:2102.09672](https://arxiv.org/abs/2102.09672).*
#
# **Two problems of DDPM.** Images of small resolution lose all signal long before $T$, so the last part of the chain
# is wasted. And DDPM's likelihood was worse than that of other models: it kept the variance of the reverse step fixed,
# which costs little for the picture and much for the likelihood.
#
# **First row**: $\bar\alpha$ falls as a squared cosine, slowly at both ends, with a small shift $0.008$ so that the
# first steps are not too small:
#
# $$\bar\alpha_t = \frac{f(t)}{f(0)}, \qquad f(t) = \cos^2\Big(\frac{t/T + 0.008}{1.008}\,\frac{\pi}{2}\Big) \tag{17}$$
#
# **Second row**: $\varepsilon$ as before, and for each number of the data a second answer $v$ in [0, 1], which places
# the variance of the step between $\tilde\beta_t$ and $\beta_t$ (15). It is trained with a small share of the
# variational bound, $L_{\rm hybrid} = L_{\rm simple} + 0.001\,L_{\rm vlb}$ (16).

# %%
f = torch.cos((torch.arange(T + 1, dtype=torch.float64) / T + 0.008) / 1.008 * math.pi / 2) ** 2
beta_cosine = (1 - f[1:] / f[:-1]).clamp(max=0.999)  # the last steps are limited, since ᾱ_T would be 0
alpha_bar_cosine = (1 - beta_cosine).cumprod(0)
cosine = schedules.cosine()
check_rows(cosine, targets.EPS, a=alpha_bar_cosine.sqrt(), b=(1 - alpha_bar_cosine).sqrt(), p=zero, q=one)
course.plot(
    range(1, T + 1),
    {r"linear: $\sqrt{\bar\alpha_t}$": alpha_bar.sqrt(), r"cosine: $\sqrt{\bar\alpha_t}$": alpha_bar_cosine.sqrt()},
    ylabel="signal",
)
improved = train(cosine, targets.EPS, learned_variance=True)

prediction = improved.predict(points[:4], 500)
small, large = cosine.posterior_variance(500, 499), cosine.forward_variance(500, 499)  # β̃_t and β_t
fraction = prediction.variance_fraction
variance = torch.exp(fraction * math.log(large) + (1 - fraction) * math.log(small))  # (15)
package = samplers.DDPM(variance="learned", clip=None)
unit = package.sample(improved, points[:4], times=[500, 499], noise=lambda shape: torch.ones(shape))
still = package.sample(improved, points[:4], times=[500, 499], noise=lambda shape: torch.zeros(shape))
course.expect(torch.allclose(unit - still, variance.sqrt(), atol=1e-5))
learned = [samplers.DDPM(variance="learned", steps=steps) for steps in (50, 100, 20, 10)]
measure("Improved DDPM", improved, *learned)

# %% [markdown]
# 50 to 100 steps of DDPM's own sampler were enough on images with these changes. The likelihood on CIFAR-10 went from
# 3.75 to 2.94 bits per dimension.
#
# ## 9. Guidance (2021): more of the condition
#
# *Dhariwal and Nichol, Diffusion models beat GANs on image synthesis,
# [arXiv:2105.05233](https://arxiv.org/abs/2105.05233); Ho and Salimans, Classifier-free diffusion guidance (workshop
# 2021), [arXiv:2207.12598](https://arxiv.org/abs/2207.12598).*
#
# **The problem.** A network that is given a label, such as "dog", makes samples of the whole variety of the data, also
# of their unclear rest. People wanted clear dogs, as GANs made them by sampling only near the middle of their prior.
#
# **The idea of classifier-free guidance.** Train one network with the label, and hide the label in a part of the batch
# (here a fifth), so that it can also answer without one. When sampling, evaluate it twice, with and without the label,
# and go from the answer without label to the one with it and beyond, by a *guidance scale* $w$:
#
# $$\hat\varepsilon_w = \hat\varepsilon_{\rm free} + w\,(\hat\varepsilon_{\rm label} - \hat\varepsilon_{\rm free}) $$
#
# (6, whose $w$ is ours minus 1). $w = 0$ ignores the label, $w = 1$ is the usual conditional model, $w > 1$
# exaggerates what the label says. **Both rows stay, and so does the sampler; $\hat\varepsilon$ is replaced.** A
# denoiser that wraps a denoiser, therefore. It costs two evaluations for each step.


# %%
@dataclass(frozen=True)
class Guided:
    """A denoiser that exaggerates the difference between the answers with and without the label."""

    denoiser: Diffusion
    w: float

    @property
    def schedule(self):
        return self.denoiser.schedule

    def predict(self, x_t, t, labels):
        x0_free, eps_free = self.denoiser.predict(x_t, t)
        x0_label, eps_label = self.denoiser.predict(x_t, t, labels=labels)
        return targets.Prediction(x0_free + self.w * (x0_label - x0_free), eps_free + self.w * (eps_label - eps_free))


labelled = train(linear, targets.EPS, labels=(~upper).long())  # 0 is the upper moon, 1 the lower
labels = torch.arange(8000) % 2
x_T, sampler = noise(4)((4000, 2)), samplers.DDIM(steps=50)
clouds, nearest = {}, {}
for w in (0, 1, 4):
    samples = sampler.sample(Guided(labelled, w), x_T, labels=labels[:4000])
    found = torch.cdist(samples, centres).argmin(1) // 64  # the moon of the nearest centre
    clouds[f"w = {w}"] = samples[labels[:4000] == 0][:1000]
    nearest[w] = (found == labels[:4000]).double().mean().item()
    print(f"w = {w}: {nearest[w]:.1%} of the samples are on the moon that was asked for")
course.scatter({f"upper moon, {title}": cloud for title, cloud in clouds.items()}, limit=1.2)
if not QUICK:
    course.expect(abs(nearest[0] - 0.5) < 0.03)
    course.expect(nearest[1] > 0.97)
packaged = guidance.ClassifierFree(labelled, 4.0).predict(x_T[:50], 500, labels=labels[:50])
course.expect(torch.allclose(packaged.eps, Guided(labelled, 4.0).predict(x_T[:50], 500, labels[:50]).eps, atol=1e-5))
guided = [samplers.DDIM(steps=steps) for steps in (50, 20, 10)]
measure("Guidance", Guided(labelled, 1.0), *guided, cost=2, labels=labels)
measure("Guidance, w = 4", Guided(labelled, 4.0), guided[0], cost=2, labels=labels)

# %% [markdown]
# With $w = 0$ the label is ignored, and half of the samples are on the other moon. With $w = 1$ the label is obeyed,
# and the samples are distributed as the data are. With $w = 4$ they are pushed away from the other moon: the part of
# the upper moon that lies near it gets fewer points, and the curve is bent outwards. So guidance makes the distance to
# the data *larger*. On photographs people like the result, and all
# text-to-image models use it.
#
# ## 10. EDM (2022): the design space, taken apart
#
# *Karras, Aittala, Aila and Laine, Elucidating the design space of diffusion-based generative models,
# [arXiv:2206.00364](https://arxiv.org/abs/2206.00364).*
#
# **The problem.** By 2022 there were many methods, each a bundle of choices, and nobody knew which choice was good for
# what. The paper took the bundle apart, as we do here, and chose each part for a reason:
#
# * **First row**: $a_t = 1$, $b_t = \sigma_t$, as in NCSN. Then the flow is $dx = \hat\varepsilon\,d\sigma$, and its
#   paths are nearly straight where $\sigma$ is large or small. The levels are even in $\sigma^{1/7}$ (5): more of them
#   at little noise.
# * **Second row**: what should the network answer? At much noise $x_0$ is a good target, since guessing
#   $\varepsilon$ means repeating the input. At little noise $\varepsilon$ is. EDM goes smoothly from one to the other.
# * **Loss**: the times are drawn where there is something to learn, $\ln\sigma \sim \mathcal N(-1.2, 1.2^2)$.
# * **Sampler**: Heun's method, as in section 7, with 18 steps.
#
# The estimate of $x_0$ is a mixture of the input and of the network's answer $F$:
#
# $$\hat x_0 = c_{\rm skip}\,x_t + c_{\rm out}\,F(c_{\rm in}\,x_t) \tag{7}$$
#
# The three factors depend on $\sigma$ and follow from three demands, for data of standard deviation $\sigma_d$: (i)
# the network's input has variance 1; (ii) its target $(x_0 - c_{\rm skip}\,x_t)/c_{\rm out}$ has variance 1; (iii)
# $c_{\rm out}$, which multiplies the network's errors, is as small as possible.
#
# ### Exercise 4: EDM's factors
#
# Find them. $x_t = x_0 + \sigma\varepsilon$, so its variance is $\sigma_d^2 + \sigma^2$, which gives $c_{\rm in}$. By
# (ii), $c_{\rm out}^2$ is the variance of $x_0 - c_{\rm skip}\,x_t = (1 - c_{\rm skip})\,x_0 -
# c_{\rm skip}\,\sigma\,\varepsilon$. Choose $c_{\rm skip}$ so that it is smallest: the derivative is 0.


# %% tags=["exercise"]
def edm_factors(sigma, sigma_d):
    """The tuple c_skip, c_out, c_in at noise levels sigma (B,), for data of standard deviation sigma_d, a number."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(5, edm_factors))
right_edm_factors = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def edm_factors(sigma, sigma_d):
#     variance = sigma**2 + sigma_d**2
#     return sigma_d**2 / variance, sigma * sigma_d / variance**0.5, 1 / variance**0.5
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# (i) says $c_{\rm in} = 1/\sqrt{\sigma_d^2 + \sigma^2}$. By (ii), $c_{\rm out}^2 = (1 - c_{\rm skip})^2\,\sigma_d^2 +
# c_{\rm skip}^2\,\sigma^2$, since $x_0$ and $\varepsilon$ are independent. Its derivative with respect to $c_{\rm
# skip}$ is $-2\,(1 - c_{\rm skip})\,\sigma_d^2 + 2\,c_{\rm skip}\,\sigma^2$. It is 0 at
#
# $$c_{\rm skip} = \frac{\sigma_d^2}{\sigma_d^2 + \sigma^2}, \qquad\text{where}\qquad c_{\rm out}^2 =
# \frac{\sigma^4\,\sigma_d^2 + \sigma_d^4\,\sigma^2}{(\sigma_d^2 + \sigma^2)^2} =
# \frac{\sigma^2\,\sigma_d^2}{\sigma_d^2 + \sigma^2} .$$
#
# The second derivative, $2\,(\sigma_d^2 + \sigma^2)$, is above 0, so this is the minimum.
# </details>
#
# ### On paper: EDM's factors for any first row
#
# EDM's $a$ is 1. Let $x_t = a\,x_0 + b\,\varepsilon$ with any $a$ and $b > 0$, for data of mean 0 and variance
# $\sigma_d^2$. The network's output is scaled as in (7),
# $\hat x_0 = c_{\rm skip}\,x_t + c_{\rm out}\,F(c_{\rm in}\,x_t)$. Derive the three factors from the demands (i) to
# (iii). Why does $c_{\rm out}$ multiply the network's errors? Is there an estimate that leaves less variance of $x_0$
# than $c_{\rm out}^2$? Check that $a = 1$ gives exercise 4. Which target is $F$ for DDPM's first row, if
# $\sigma_d = 1$?
#
# <details><summary>Derivation</summary>
#
# *(i)* $x_0$ and $\varepsilon$ are independent, so $x_t$ has the variance $v = a^2\sigma_d^2 + b^2$, and
# $c_{\rm in} = 1/\sqrt v$.
#
# *(ii)* $F$ should be $(x_0 - c_{\rm skip}\,x_t)/c_{\rm out}$. This has variance 1 if
#
# $$c_{\rm out}^2 = \mathrm{Var}(x_0 - c_{\rm skip}\,x_t)
# = (1 - a\,c_{\rm skip})^2\,\sigma_d^2 + c_{\rm skip}^2\,b^2 .$$
#
# *(iii)* If $F$ is wrong by $\delta$, then $\hat x_0$ is wrong by $c_{\rm out}\,\delta$. The derivative of
# $c_{\rm out}^2$ with respect to $c_{\rm skip}$ is
# $-2a\,(1 - a\,c_{\rm skip})\,\sigma_d^2 + 2\,c_{\rm skip}\,b^2 = 2\,(v\,c_{\rm skip} - a\,\sigma_d^2)$. It is 0 at
# the minimum, where $1 - a\,c_{\rm skip} = b^2/v$:
#
# $$c_{\rm skip} = \frac{a\,\sigma_d^2}{a^2\sigma_d^2 + b^2}, \qquad
# c_{\rm out}^2 = \frac{b^4\sigma_d^2 + a^2\sigma_d^4\,b^2}{v^2} = \frac{b^2\sigma_d^2}{v}, \qquad
# c_{\rm out} = \frac{b\,\sigma_d}{\sqrt{a^2\sigma_d^2 + b^2}}, \qquad
# c_{\rm in} = \frac{1}{\sqrt{a^2\sigma_d^2 + b^2}} .$$
#
# With $a = 1$ and $b = \sigma$ these are EDM's.
#
# $c_{\rm skip}\,x_t$ is the best *linear* estimate of $x_0$. The best of all is the mean $\mathbb E[x_0|x_t]$. By the
# *law of total variance*,
# $\sigma_d^2 = \mathbb E\big[\mathrm{Var}(x_0|x_t)\big] + \mathrm{Var}\big(\mathbb E[x_0|x_t]\big)$. The first part is
# what this mean leaves. So $c_{\rm out}^2 \ge \mathbb E\big[\mathrm{Var}(x_0|x_t)\big]$, with equality for normally
# distributed data, whose mean given $x_t$ is linear. The network has to learn the rest.
#
# For $a^2 + b^2 = 1$ and $\sigma_d = 1$, $v = 1$. Then $c_{\rm in} = 1$, $c_{\rm skip} = a$, $c_{\rm out} = b$, and
# $F = (x_0 - a\,x_t)/b = b\,x_0 - a\,\varepsilon$. This is $-v$ for the target $v$ of section 1.
# </details>
#
# The cell tries many $c_{\rm skip}$, and compares the row of $F$ with that of the package's target, which holds for
# any $a$ and $b$.

# %%
sigma_d, tried = 0.5, torch.linspace(-1, 2, 3001, dtype=torch.float64)
for schedule in (linear, cosine, schedules.flow(), schedules.karras(sigma_max=5.0)):
    for t in (10, 400, 990):
        a, b = schedule.at(t)
        variance = a**2 * sigma_d**2 + b**2  # of x_t
        skip, out, into = right_edm_factors(torch.tensor([b / a], dtype=torch.float64), sigma_d)  # for x_t / a
        c_skip, c_out = skip.item() / a, out.item()
        course.expect(math.isclose(into.item() / a, variance**-0.5, rel_tol=1e-6))
        left = (1 - a * tried) ** 2 * sigma_d**2 + tried**2 * b**2  # variance of x_0 − c x_t, for each c that is tried
        course.expect(abs(tried[left.argmin()] - c_skip) < 1e-3)
        course.expect(abs(left.min() - c_out**2) < 1e-5)
        course.expect(math.isclose((1 - a * c_skip) / c_out, targets.EDM.p(a, b), rel_tol=1e-6))
        course.expect(math.isclose(-b * c_skip / c_out, targets.EDM.q(a, b), rel_tol=1e-6))

# %% [markdown]
# With $a = 1$ the second row follows: $F = (x_0 - c_{\rm skip}(x_0 + \sigma\varepsilon))/c_{\rm out}$, so
#
# $$\begin{bmatrix} x_t \\ F \end{bmatrix} =
# \begin{bmatrix} 1 & \sigma_t \\ (1-c_{\rm skip})/c_{\rm out} & -c_{\rm skip}\,\sigma_t/c_{\rm out} \end{bmatrix}
# \begin{bmatrix} x_0 \\ \varepsilon \end{bmatrix}$$
#
# (EDM's $\sigma$ goes up to 80 for images. For points, 5 is far above the size of the data.)

# %%
sigma = (0.002 ** (1 / 7) + u * (5.0 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7  # (5), from small to large
variance = sigma**2 + 0.5**2  # σ_d = 0.5
c_skip, c_out, c_in = 0.25 / variance, 0.5 * sigma / variance.sqrt(), 1 / variance.sqrt()
karras = schedules.karras(sigma_max=5.0)
check_rows(karras, targets.EDM, a=one, b=sigma, p=(1 - c_skip) / c_out, q=-c_skip * sigma / c_out)
edm = train(karras, targets.EDM, times="lognormal", weighting="edm")

x, index = points[:5] + sigma[599].float() * noise(5)((5, 2)), torch.full((5,), 599)  # t = 600
with torch.no_grad():
    answer = edm.net(c_in[599].float() * x, index)
    by_hand = c_skip[599].float() * x + c_out[599].float() * answer  # (7)
    course.expect(torch.allclose(by_hand, edm.predict(x, 600).x0, atol=1e-5))


@torch.no_grad()
def heun(denoiser, x, times):
    """Algorithm 1, for a = 1: the flow is dx = ε̂ dσ."""
    for t, s in pairwise(times):
        d_sigma = denoiser.schedule.at(s)[1] - denoiser.schedule.at(t)[1]
        first = denoiser.predict(x, t).eps
        end = x + d_sigma * first
        x = x + d_sigma * (first + denoiser.predict(end, s).eps) / 2 if s > 0 else end
    return x


x_T, sampler = 5.0 * noise(2)((100, 2)), samplers.Heun(steps=18)
course.expect(torch.allclose(heun(edm, x_T, sampler.times(karras)), sampler.sample(edm, x_T), atol=1e-4))
measure("EDM", edm, *[samplers.Heun(steps=steps) for steps in (18, 12, 9, 6)])

# %% [markdown]
# The paper reached an FID of 1.97 with 35 evaluations. Its parts can be exchanged one by one: the sampler and the time
# steps improved models that others had trained.
#
# ## 11. Flow matching and rectified flow (2022): the straight line
#
# *Liu, Gong and Liu, Flow straight and fast, [arXiv:2209.03003](https://arxiv.org/abs/2209.03003); Lipman et al., Flow
# matching for generative modeling, [arXiv:2210.02747](https://arxiv.org/abs/2210.02747); Albergo and Vanden-Eijnden,
# [arXiv:2209.15571](https://arxiv.org/abs/2209.15571).*
#
# **The idea.** Forget chains, scores and SDEs. We want an ODE that moves noise to data. Draw a straight line from an
# item $x_0$ to noise $\varepsilon$ and let $u = t/T$ be the position on it: $x_t$ is $x_0$ at $u = 0$, and
# $\varepsilon$ at $u = 1$. The network learns the velocity on this line, the derivative $dx/du$.
#
# ### Exercise 5: what a velocity says about the data
#
# Find $\hat x_0$ and $\hat\varepsilon$ from $x_t$ and the network's velocity. Write the velocity with $x_0$ and
# $\varepsilon$ first, and then follow the line from $x_t$ to both of its ends. Check: at $u = 1$, $\hat\varepsilon$ is
# $x_t$, whatever the velocity is. And the way from $\hat x_0$ to $\hat\varepsilon$ is the velocity, for every $u$.


# %% tags=["exercise"]
def ends_of_the_line(x_t, velocity, u):
    """x̂_0 and ε̂, a tuple, from x_t and the velocity (B, 2) at the positions u (B,) in (0, 1]."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(5, ends_of_the_line))
right_ends_of_the_line = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# $x_t = (1 - u)\,x_0 + u\,\varepsilon$, and its derivative $\varepsilon - x_0$ is the same on the whole line. $x_t$
# has come a way of $u$ from $x_0$, and the way from there to $\varepsilon$ is $1 - u$.
#
# ```python
# def ends_of_the_line(x_t, velocity, u):
#     u = u[:, None]
#     return x_t - u * velocity, x_t + (1 - u) * velocity
# ```
# </details>
#
# The velocity on the line is $dx/du = \varepsilon - x_0$. Where many lines cross, the network learns the mean of their
# velocities. Following the mean moves the whole distribution in the right way.
#
# $$\begin{bmatrix} x_t \\ \text{velocity} \end{bmatrix} =
# \begin{bmatrix} 1-u & u \\ -1 & 1 \end{bmatrix}
# \begin{bmatrix} x_0 \\ \varepsilon \end{bmatrix}$$
#
# **Both rows are new, and simpler than all before; the sampler is Euler's method**: $x_s = x_t - (u_t - u_s)\,v$ for
# the velocity $v$. (The papers let time run from noise to data, so their velocity has the other sign.)
#
# (The determinant of the matrix is 1, so Cramer's rule gives both ends of the line without a division.)

# %%
line = torch.arange(1, T + 1, dtype=torch.float64) / T
straight = schedules.flow()
check_rows(straight, targets.FLOW, a=1 - line, b=line, p=-one, q=one)
flow = train(straight, targets.FLOW)


@torch.no_grad()
def euler(denoiser, x, times):
    """Euler's method along the velocity."""
    for t, s in pairwise(times):
        velocity = denoiser.output(x, t)  # the network's answer itself
        x = x - (t - s) / T * velocity
    return x


x_T, sampler = noise(2)((100, 2)), samplers.Euler(steps=20, clip=None)
by_hand = euler(flow, x_T, sampler.times(straight))
course.expect(torch.allclose(by_hand, sampler.sample(flow, x_T), atol=1e-5))
course.expect(torch.allclose(by_hand, ddim(flow, x_T, sampler.times(straight)), atol=1e-5))  # DDIM of section 6
with torch.no_grad():
    velocity, (x_0, eps) = flow.output(x_T, T // 2), flow.predict(x_T, T // 2)
ends = right_ends_of_the_line(x_T, velocity, torch.full((len(x_T),), 0.5))
course.expect(torch.allclose(ends[0], x_0, atol=1e-5) and torch.allclose(ends[1], eps, atol=1e-5))
measure("Flow matching", flow, *[samplers.Euler(steps=steps) for steps in (20, 50, 10, 5)])

# %% [markdown]
# The last line says that Euler's method on the velocity *is* the DDIM step of 2020, on another first row. So what
# is new is the first row, and how easy it is to explain. The paths of the mean velocity are less curved than those of
# the linear schedule, so larger steps are possible. In the picture, 8 samples walk from noise to the data by the
# samplers of four methods (each $x_t$ is divided by the standard deviation of its noise where this is above 1, so that
# all fit in). A ring is the start $x_T$ of a walk, a dot its end.

# %%
walks = {
    "DDPM, 50 steps": (ddpm, samplers.DDPM(steps=50), 1.0),
    "DDIM": (ddpm, samplers.DDIM(steps=50), 1.0),
    "EDM": (edm, samplers.Heun(steps=18), 5.0),
    "Flow matching": (flow, samplers.Euler(steps=20), 1.0),
}
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.5))
    for axis, (name, (denoiser, sampler, size)) in zip(axes, walks.items(), strict=True):
        steps = list(sampler.trajectory(denoiser, size * noise(6)((8, 2))))
        path = torch.stack([step.x / max(1.0, denoiser.schedule.at(step.t)[1]) for step in steps])
        axis.scatter(*points[:1000].T, s=1, color="C1", alpha=0.4)
        axis.plot(path[..., 0], path[..., 1], color="C0", linewidth=0.8)
        axis.set(xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), aspect="equal", title=name)
        course.frame(axis)
        course.mark_ends(axis, path[..., 0], path[..., 1])
    figure.tight_layout()
    plt.show()

# %% [markdown]
# ## 12. One table, one picture


# %%
@dataclass(frozen=True)
class ExactLabelled:
    """The best possible denoiser that is given a label, or none."""

    schedule: schedules.Schedule

    def predict(self, x_t, t, labels=None):
        if labels is None:
            return exact(self.schedule).predict(x_t, t)
        upper, lower = (exact(self.schedule, means).predict(x_t, t) for means in (centres[:64], centres[64:]))
        is_upper = (labels == 0)[:, None]
        return targets.Prediction(upper.x0.where(is_upper, lower.x0), upper.eps.where(is_upper, lower.eps))


perfect = {
    "NCSN": (exact(geometric), samplers.Langevin(steps_per_level=5, steps=100), {}),
    "DDPM": (exact(linear), samplers.DDPM(), {}),
    "DDIM": (exact(linear), samplers.DDIM(steps=50), {}),
    "Score SDE": (exact(linear), ProbabilityFlow(steps=25), {}),
    "Improved DDPM": (exact(cosine), samplers.DDPM(steps=50), {}),
    "Guidance": (Guided(ExactLabelled(linear), 1.0), samplers.DDIM(steps=50), {"labels": labels}),
    "Guidance, w = 4": (Guided(ExactLabelled(linear), 4.0), samplers.DDIM(steps=50), {"labels": labels}),
    "EDM": (exact(karras), samplers.Heun(steps=18), {}),
    "Flow matching": (exact(straight), samplers.Euler(steps=20), {}),
}
floor_text = f"{floor:.4f} ± {error:.4f}"
print(f"{'':18}{'evaluations':>12}{'distance':>19}{'exact denoiser':>19}{'stray':>9}")
exact_distances, strays = {}, {}
for name, (denoiser, sampler, given) in perfect.items():
    x_T = denoiser.schedule.prior_std * noise(1)((200 if QUICK else 2000, 2))
    labelled_as = {key: value[: len(x_T)] for key, value in given.items()}
    mean, spread = mean_and_error(sampler.sample(denoiser, x_T, **labelled_as).split(len(x_T) // 4))
    exact_distances[name], strays[name] = mean, stray(CLOUDS[name])
    nfe, own, own_error = RESULTS[name][0]
    print(f"{name:18}{nfe:12}{f'{own:.4f} ± {own_error:.4f}':>19}{f'{mean:.4f} ± {spread:.4f}':>19}{strays[name]:9.1%}")
print(f"{'data (the floor)':18}{'':12}{floor_text:>19}{'':19}{stray(points):9.1%}")

# %%
with plt.style.context("ancestral.render.figures"):
    figure = plt.figure(figsize=(11.5, 3.6))
    grid = figure.add_gridspec(2, 6)
    shown = [name for name in RESULTS if name != "Guidance"]
    for number, name in enumerate(shown):
        axis = figure.add_subplot(grid[number // 4, number % 4])
        axis.scatter(*CLOUDS[name][:1500].T, s=1, alpha=0.5, linewidths=0)
        axis.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
        course.frame(axis)
        axis.set_title(f"{name} ({RESULTS[name][0][0]})", fontsize=8)
    axis = figure.add_subplot(grid[:, 4:])
    styles = ["o-", "s-", "^-", "D-", "v-", "P-", "X--"]
    for style, name in zip(styles, [name for name in RESULTS if name != "Guidance, w = 4"], strict=False):
        evaluations, distances, _ = zip(*sorted(RESULTS[name]), strict=True)
        axis.loglog(evaluations, distances, style, markersize=4, linewidth=1, label=name)
    evaluations, distances, _ = zip(*sorted(RESULTS["Flow matching"]), strict=True)
    axis.loglog(evaluations, distances, "*:", markersize=6, linewidth=1, color="C1", label="Flow matching")
    axis.axhline(floor, linestyle=":", color="0.5")
    axis.set(xlabel="network evaluations", title="distance to the data; dotted: the floor")
    axis.legend(fontsize=8, bbox_to_anchor=(1.02, 1), loc="upper left")
    figure.tight_layout()
    plt.show()

# %% [markdown]
# The clouds are those of the first sampler that was measured for each method, with its number of evaluations in
# brackets. The column "exact denoiser" is the distance with the same sampler and the best possible denoiser in the
# place of the network (with the larger of the two variances for improved DDPM). What remains there is due to the
# sampler and to the finite number of points.
#
# Why are some clouds sharp, and others blurred? All networks are alike and see the same number of points. But the
# moons are thin, so the fine work is done at little noise. How often is a network trained there? The cell counts how
# often the ratio of noise to signal, $b_t/a_t$, is below 0.2 in training.

# %%
little = {
    name: (schedule.noise[1:] < 0.2 * schedule.signal[1:]).double().mean().item()
    for name, schedule in {
        "DDPM": linear,
        "Improved DDPM": cosine,
        "Flow matching": straight,
        "NCSN": geometric,
    }.items()
}
little["EDM"] = torch.special.ndtr(torch.tensor((math.log(0.2) + 1.2) / 1.2)).item()  # its times are log-normal
for name in sorted(little, key=little.get):
    print(
        f"{name:15} trains with noise below 0.2 in {little[name]:4.0%} of the cases; stray samples: {strays[name]:6.1%}"
    )

if not QUICK:
    at = {(name, nfe): mean for name, found in RESULTS.items() for nfe, mean, _ in found}
    usual = [name for name in RESULTS if name != "Guidance, w = 4"]
    course.expect(all(RESULTS[name][0][1] < 2.2 * floor for name in usual))
    course.expect(all(exact_distances[name] < 1.8 * floor for name in usual))
    course.expect(little["DDPM"] < 0.07)
    course.expect(little["EDM"] > 0.35)
    course.expect(little["NCSN"] > 0.45)
    course.expect(sorted(little, key=little.get) == sorted(little, key=strays.get, reverse=True))
    course.expect(strays["DDPM"] > 3 * strays["EDM"])
    course.expect(RESULTS["Guidance, w = 4"][0][1] > 5 * floor)
    course.expect(exact_distances["Guidance, w = 4"] > 5 * floor)
    course.expect(at["NCSN", 101] > 4 * floor)
    course.expect(at["DDIM", 10] > 4 * floor)
    course.expect(at["Score SDE", 13] < 2 * floor)
    course.expect(at["DDPM", 20] < at["DDIM", 20] - 0.01)
    course.expect(at["EDM", 17] < 1.8 * floor)
    course.expect(at["Flow matching", 20] < 1.8 * floor)

# %% [markdown]
# What to see:
#
# * **The more a network is trained at little noise, the sharper its samples are here.** The five methods have the same
#   order in both columns. DDPM's linear schedule spends 6 % of its times at little noise, and has many
#   times as many stray samples as EDM, which spends 37 % there. DDIM and the score SDE sample from DDPM's network and
#   inherit its blur. (Five methods that differ in more than one way are a hint and no proof. An ablation as in lesson
#   4 would be one: train DDPM with the times of EDM.) For photographs, whose structure is larger, the linear schedule
#   was a good choice, and with more training all become sharper.
# * **The sliced distance does not see this.** It is at most 2.2 times the floor for all methods but strong guidance.
#   With the exact denoiser it is near the floor. One measure is not enough: look at the picture as well.
# * **What became cheaper is the sampling.** NCSN breaks down first: with 20 levels in the place of 100 its distance is
#   more than 4 times the floor, since five Langevin steps cannot follow larger jumps of the level. EDM and flow
#   matching need 20 evaluations or fewer, with no setting tuned for these data but the largest noise level.
# * **The sampler is worth as much as the network.** DDIM and the score SDE's flow use one network, that of DDPM. With
#   10 evaluations, DDIM is more than 4 times the floor away; Heun's method with 13 is within twice the floor.
# * **Noise on the way repairs errors of the network.** With 20 evaluations, DDPM's own sampler is *nearer* to the data
#   than DDIM. On CIFAR-10 the DDIM paper found the opposite: there, the noise of few large steps can be seen.
# * **Guidance is no error of the network.** With $w = 4$ the distance is more than 5 times the floor with the exact
#   denoiser, too.
#
# And here is the whole history as one matrix. What each paper changed is bold.
#
# | year | method | first row: $a_t$, $b_t$ | second row: $p_t$, $q_t$ | sampler |
# |---|---|---|---|---|
# | 2019 | NCSN | $1,\ \sigma_t$ (geometric) | $0,\ -1/\sigma_t$ (score) | annealed Langevin |
# | 2020 | DDPM | **$\sqrt{\bar\alpha_t},\ \sqrt{1-\bar\alpha_t}$** | **$0,\ 1$ ($\varepsilon$)** | **reverse chain** |
# | 2020 | DDIM | as DDPM | as DDPM | **$a_s\hat x_0 + b_s\hat\varepsilon$** |
# | 2020 | score SDE | as DDPM (or NCSN) | as DDPM (or NCSN) | **any solver of the flow or the SDE** |
# | 2021 | improved DDPM | **cosine $\bar\alpha$** | as DDPM, **and the variance** | **with that variance** |
# | 2021 | guidance | any | any | any, **with $\hat\varepsilon_w$ in the place of $\hat\varepsilon$** |
# | 2022 | EDM | **$1,\ \sigma_t$, even in $\sigma^{1/7}$** | **those of $F$, section 10** | **Heun** |
# | 2022 | flow matching | **$1-u,\ u$** | **$-1,\ 1$ (velocity)** | **Euler** |
# | 2024 | consistency tuning | as EDM | as EDM | **$\hat x_0$ itself**, section 13 |
#
# The drawing is a map of the seven methods that the package trains. A line leads from a method to those that build on
# it. The years are those of publication: DDIM, which appeared in October 2020, was published in 2021.

# %%
course.drawing("methods")

# %% [markdown]
# ## 13. One evaluation
#
# Why do all eight methods need many evaluations? The best $\hat x_0$ is the *mean* of all items that could have become
# $x_t$. At much noise this is a point between the moons, so a sampler must take small steps. *Distillation* continues
# the training of a network until it needs few steps. *Progressive distillation* (Salimans and Ho, 2022) trains one step
# of DDIM to do what two steps of its teacher do, and repeats this with the result as the teacher.
#
# *Consistency models* (Song et al., 2023) are trained to give the same $\hat x_0$ at all points of a path of the
# probability flow. The path ends at a sample, so $\hat x_0$ is this sample, also at $t = T$: one evaluation is enough,
# and a second one, after fresh noise, improves it. *Easy consistency tuning* (Geng et al., 2024) starts from a trained
# EDM. Both rows stay, and the loss changes: $\hat x_0$ at $t$ is compared with $\hat x_0$ at an earlier time $r$ of the
# same $x_0 + \sigma\,\varepsilon$, through which no gradient goes. From stage to stage of training $r$ moves closer to
# $t$. Lesson 11, "Few evaluations", builds it.
#
# ## 14. And today?
#
# The matrix is still there. *Latent diffusion* (Rombach et al., 2022; Stable Diffusion) runs the same two rows on the
# codes of an autoencoder in the place of pixels. *Diffusion transformers* (Peebles and Xie, 2023) exchange the
# network. Stable Diffusion 3 (Esser et al., 2024) has the rows of flow matching, with times drawn more often from the
# middle, and guidance. What changes is the data, the network, and the sampler that is learned. What stays is
# $x_t = a_t x_0 + b_t \varepsilon$, and a network that predicts another mixture of the same two things.
#
# `examples/history.py` in the repository trains six of these methods and consistency tuning for longer, and draws their
# figure. `config.METHODS` in the package has each of the six in a few lines. In lesson 10 you make a row of your own.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **Half the training.** In section 3, `(800, 512)` → `(400, 512)`. Distances of the networks grow, those of the
#   exact denoisers do not. Half the time.
# * **A smaller network.** In section 3, `nets.MLP(width=64,` → `nets.MLP(width=16,`. More points stray between the
#   moons. The order of the methods may change. Less time.
# * **Labels hidden more often.** In section 3, `torch.rand(BATCH) > 0.2` → `torch.rand(BATCH) > 0.8`. Only a fifth of
#   the points of a batch show their label. The estimate with a label gets worse, that without one better. As long as
#   before.
