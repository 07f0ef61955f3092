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
# # DDPM from scratch
#
# > What I cannot create, I do not understand. (Richard Feynman, 1988)
#
# In this notebook you build a **denoising diffusion probabilistic model** (DDPM; Ho, Jain and Abbeel, 2020) from
# nothing but PyTorch, train it on handwritten digits for a few minutes on a laptop's CPU, and watch it turn noise into
# digits that nobody wrote. You should know PyTorch basics (tensors, `nn.Module`, a training loop) and what a normal
# distribution is. Everything else is introduced here. Equation numbers in brackets, such as (4), are those of the
# [DDPM paper](https://arxiv.org/abs/2006.11239).
#
# **The problem.** We have images $x_0^{(1)}, \dots, x_0^{(N)}$, samples of a distribution $q(x_0)$ that nobody can
# write down, the *data distribution*. We want new samples of it.
#
# **The idea.** Destroying an image is easy: add a little noise, a thousand times, until nothing but noise is left.
# This is the *forward process*, and it needs no learning. If a network could undo each small step, we could start from
# pure noise and arrive at an image. This is the *reverse process*, and undoing one small step is a task that a
# network can learn: look at a noisy image and say which part of it is noise.
#
# **Where it comes from** (you need none of these names below). Sohl-Dickstein et al. (2015) had the idea and the
# training objective. Song and Ermon (2019, *NCSN*) trained a network to remove noise of many levels and sampled with
# it. DDPM (2020) joined the two, with a simple loss, and made images of a quality that only generative adversarial
# networks (GANs) had reached. DDIM (2021) needed 50 steps instead of 1,000; improved DDPM, score SDEs and
# classifier-free guidance (2021) and EDM (2022) followed, and the text-to-image models of today are built on these
# methods.
#
# Run the cells from top to bottom. Five exercises, each with a cell that checks your answer, come on the way. Once
# your function passes, the notebook goes on with it; until then it goes on with the solution. (`verdict.function` is
# the one of the two, and later cells call it by a name that begins with `right_`.) The checks and the figures are
# those of the package `ancestral`, to which this course belongs. The model is PyTorch alone, until section 12
# compares it with the package.
#
# **Time.** The whole notebook runs in about seven minutes on two idle CPU cores. Most of it is training, which prints
# its time every 250 steps: it took 6 minutes here. On a slower or busy machine it takes longer.
#
# **Change it.** The numbers in the text are those of the settings in the code. `course.expect(...)` compares them with
# the results. If you change the number of steps, the network or the data, it prints both numbers, such as `rms: 0.95 in
# our run; yours 0.39`, and says if your $T$ is another one. The notebook goes on. (Only `course.check` needs the tables
# of $T = 1000$.)

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
import time

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

import ancestral_course as course  # figures, and the checks of the exercises

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
_ = torch.manual_seed(0)

# %% [markdown]
# The drawing shows the plan: a chain of images from noise, $x_T$, to a clean image, $x_0$. Dashed arrows are the
# forward process $q$, which is fixed, and which sections 2 to 4 build. Solid arrows are the reverse process
# $p_\theta$, which the network learns, in sections 5 to 10.

# %%
course.drawing("chain")

# %% [markdown]
# ## 1. The data, in [−1, 1]
#
# An image is a tensor of numbers. Ours have 28 × 28 grey values from 0 to 255. We cut 2 pixels off each side, which
# are black in 88 % of the images: 24 × 24 pixels take a quarter less time. Then we scale the values to [−1, 1], as the
# paper does: the noise that we will add has mean 0 and standard deviation 1, and the data should be of about the same
# size. Their root mean square is now 0.95.

# %%
pixels, _ = course.mnist_data()  # 5,000 real MNIST digits, which the package holds: nothing is downloaded
whole = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28)
data = whole[:, :, 2:-2, 2:-2] / 127.5 - 1

rms = data.square().mean().sqrt().item()
print("data:", tuple(data.shape), "from", data.min().item(), "to", data.max().item(), f"root mean square {rms:.2f}")
course.expect(0.945 < rms < 0.955)
black = (whole.sum((1, 2, 3)) == whole[:, :, 2:-2, 2:-2].sum((1, 2, 3))).float().mean()
print(f"images whose border of 2 pixels is black: {black:.0%}")
course.expect(0.875 < black < 0.885)
course.show([data[::500]])

# %% [markdown]
# ## 2. The forward process, one step at a time
#
# One step of the forward process shrinks the image a little and adds a little Gaussian noise. How little is a list of
# constants, $\beta_1, \dots, \beta_T$, the *noise schedule*. The paper takes $T = 1000$ steps, and lets $\beta_t$ grow
# on a straight line from 0.0001 to 0.02. Nothing here is learned. In code, `beta[t]` is $\beta_t$; the entry `beta[0]
# = 0` belongs to the clean image $x_0$, and the noisy images are $x_1, \dots, x_T$.

# %%
T = 1000
beta = torch.cat([torch.zeros(1), torch.linspace(1e-4, 0.02, T)]).double()


def forward_step(x, t):
    """A sample of x_t given x_{t−1}."""
    return (1 - beta[t]).sqrt() * x + beta[t].sqrt() * torch.randn_like(x)  # (2)


x, film, times = data[3500:3501], [], [share * T // 100 for share in (0, 5, 10, 20, 30, 40, 60, 100)]
for t in range(T + 1):
    x = forward_step(x, t) if t > 0 else x
    if t in times:
        film.append(x[0])
course.show([film], [f"t = {t}" for t in times])

# %% [markdown]
# At $t = 100$ the digit is grainy, at 300 it can still be read, at 400 you can guess it, at 600 it is gone. One step
# changes little. Section 5 shows why small steps can be undone. What the function does is written like this:
#
# $$q(x_t \mid x_{t-1}) = \mathcal N\big(x_t;\ \sqrt{1-\beta_t}\,x_{t-1},\ \beta_t I\big) \tag{2}$$
#
# Read it as: *given* $x_{t-1}$, the next image $x_t$ is normally distributed ($\mathcal N$) with mean
# $\sqrt{1-\beta_t}\,x_{t-1}$ and variance $\beta_t$, in each pixel on its own ($I$ is the identity matrix). The letter
# $q$ stands for distributions of the forward process. Why shrink? If $x_{t-1}$ has variance 1, then $x_t$ has variance
# $(1-\beta_t)\cdot 1 + \beta_t = 1$ again. Without shrinking, the values would grow without limit.
#
# ## 3. The forward process in one jump
#
# For training we will need $x_t$ at a random $t$ for every image of a batch. Walking there step by step would take
# hundreds of steps. It is not necessary. A sum of independent Gaussians is a Gaussian, so the whole walk from 0 to $t$
# is one Gaussian. Follow what happens to the two parts of $x_t$, the image and the noise, with
# $\alpha_t := 1 - \beta_t$:
#
# * One step multiplies the factor in front of $x_0$ by $\sqrt{\alpha_t}$. After $t$ steps it is
#   $\sqrt{\alpha_1 \alpha_2 \cdots \alpha_t}$.
# * One step multiplies the variance of the noise by $\alpha_t$. Then $\beta_t$ is added to it.
#
# Define $\bar\alpha_t := \prod_{s=1}^{t} \alpha_s$. The factor is $\sqrt{\bar\alpha_t}$, and the variance is
# $1-\bar\alpha_t$ (it starts at 0, and $\alpha_t (1-\bar\alpha_{t-1}) + \beta_t = 1-\bar\alpha_t$). So
#
# $$q(x_t \mid x_0) = \mathcal N\big(x_t;\ \sqrt{\bar\alpha_t}\,x_0,\ (1-\bar\alpha_t) I\big) \tag{4}$$
#
# To sample from it, draw $\varepsilon \sim \mathcal N(0, I)$ and take
# $x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\varepsilon$. This is the *reparameterisation* of
# $q(x_t \mid x_0)$: all randomness is in $\varepsilon$, whose distribution is the same at every $t$, and $x_t$ is a
# function of $x_0$, $t$ and $\varepsilon$. So a mean over $x_t$ is a mean over $\varepsilon$.
#
# A detail of the code: the tables are in 64-bit floats. Near $t = 1$, $\bar\alpha_t$ is almost 1, and $1-\bar\alpha_t$
# would lose its digits in 32 bits. So the code takes the difference in the table first, `at(1 - alpha_bar, t)`, and
# makes it a 32-bit float afterwards.

# %%
alpha = 1 - beta
alpha_bar = torch.cumprod(alpha, 0)  # ᾱ_t, the product of α_1 to α_t; ᾱ_0 = 1


def at(table, t):
    """The entry or entries t of a table, ready to multiply images of shape (B, 1, 24, 24)."""
    return table[t].reshape(-1, 1, 1, 1).float()


def add_noise(x_0, t, eps):
    """x_t from x_0 in one jump."""
    return at(alpha_bar, t).sqrt() * x_0 + at(1 - alpha_bar, t).sqrt() * eps  # (4)


# %% [markdown]
# Do the walk and the jump agree? First in numbers. We send 2,000 copies of one digit through 300 single steps, and
# compare the mean and the standard deviation of the results with those of (4). The standard deviation of the noise is
# 0.777 at $t = 300$, so the standard error of a mean of 2,000 is $0.777/\sqrt{2000} = 0.017$, and that of a standard
# deviation is $0.777/\sqrt{4000} = 0.012$. (In general $\sigma/\sqrt{n}$ and, for Gaussians, $\sigma/\sqrt{2n}$.)

# %%
x_0, t = data[3500:3501], 3 * T // 10
walked = x_0.repeat(2000, 1, 1, 1)
for s in range(1, t + 1):
    walked = forward_step(walked, s)
mean_error = walked.mean(0) - alpha_bar[t].sqrt() * x_0[0]
std_error = walked.std(0) - (1 - alpha_bar[t]).sqrt()
print(f"at t = {t}: factor of x_0 {alpha_bar[t].sqrt():.3f}, ", end="")
print(f"standard deviation of the noise {(1 - alpha_bar[t]).sqrt():.3f}")
course.expect(0.7765 < (1 - alpha_bar[t]).sqrt() < 0.7775)
print(f"walked minus jumped, root mean square over the pixels: mean {mean_error.square().mean().sqrt():.4f}, ", end="")
print(f"standard deviation {std_error.square().mean().sqrt():.4f}")
course.expect(mean_error.square().mean().sqrt() < 0.022)
course.expect(std_error.square().mean().sqrt() < 0.016)

# %% [markdown]
# Both differences are of this size. Then in pictures: four walks above, four jumps below. Each image has noise of its
# own, but the two rows look alike.

# %%
jumped = add_noise(x_0.repeat(4, 1, 1, 1), t, torch.randn(4, 1, 24, 24))
course.show([walked[:4], jumped], labels=["walked", "jumped"])

# %% [markdown]
# ## 4. What the schedule does
#
# How much of the image is left at time $t$? By *power* we mean a mean square. That of the image is about 1, so in $x_t$
# the signal has the power $\bar\alpha_t$ and the noise the power $1-\bar\alpha_t$. Their ratio is the *signal-to-noise
# ratio*, SNR.

# %%
t = torch.arange(1, T + 1)
snr = alpha_bar[t] / (1 - alpha_bar[t])
signal, noise = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
course.plot(t, {r"signal $\sqrt{\bar\alpha_t}$": signal, r"noise $\sqrt{1-\bar\alpha_t}$": noise})
course.plot(t, {"signal-to-noise ratio": snr}, kind="semilogy")
print(f"SNR at t = 1: {snr[0]:.0f}, at t = {T}: {snr[-1]:.6f}")
course.expect(3.5e-5 < alpha_bar[T] < 4.5e-5)

# %% [markdown]
# Two things to notice. At $t = 1$ the image is almost untouched, so the last step of the reverse process will have
# little to do. At $t = T$ the signal has only $\bar\alpha_T \approx 0.00004$ of the power, so $x_T$ is standard normal
# noise for all practical purposes. That is what lets us *start* the reverse process: we can draw
# $x_T \sim \mathcal N(0, I)$ without knowing any image.
#
# ### Exercise 1: the forward jump
#
# Our `add_noise` jumps from time 0 to time $t$. Write the jump from *any* time $s$ to a later time $t$: given `x_s`,
# return `x_t`. Repeat the reasoning of section 3, starting at $s$: what is the factor in front of $x_s$ after the steps
# $s+1, \dots, t$? The variance of the noise is again 1 minus the square of this factor. The times are tensors, since
# each image of the batch has its own; the table `alpha_bar` and the function `at` help.


# %% tags=["exercise"]
def forward_jump(x_s, s, t, eps):
    """x_t from x_s (B, 1, 24, 24), for integer times s < t (B,), with noise eps ~ N(0, I) of the shape of x_s."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(1, forward_jump))
right_forward_jump = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def forward_jump(x_s, s, t, eps):
#     kept = (alpha_bar[t] / alpha_bar[s]).reshape(-1, 1, 1, 1)  # α_{s+1} ⋯ α_t, in 64 bits until 1 − kept is taken
#     return kept.sqrt().float() * x_s + (1 - kept).sqrt().float() * eps
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# By (2), a step multiplies by a factor and adds new noise, $x_{s+1} = \sqrt{\alpha_{s+1}}\,x_s + \sqrt{1 -
# \alpha_{s+1}}\,z$. After the steps $s+1, \dots, t$ the factor of $x_s$ is $\sqrt{\alpha_{s+1} \cdots \alpha_t} =
# \sqrt{\bar\alpha_t/\bar\alpha_s}$. If the noise that was added since $s$ has the variance $v$, the next step makes it
# $\alpha v + 1 - \alpha$. So $1 - v$ is multiplied by $\alpha$ in each step. It starts at 1, since no noise has been
# added at $s$, and becomes $\bar\alpha_t/\bar\alpha_s$:
#
# $$x_t = \sqrt{\bar\alpha_t/\bar\alpha_s}\;x_s + \sqrt{1 - \bar\alpha_t/\bar\alpha_s}\;\varepsilon$$
# </details>
#
# The 2,000 walks of section 3 are at $t = 300$. From there they jump to $t = 600$, and the noise in them is compared
# with (4) again. Its standard error is $0.987/\sqrt{4000} = 0.016$ in each pixel.

# %%
s, t = 3 * T // 10, 6 * T // 10
noise = torch.randn(walked.shape, generator=torch.Generator().manual_seed(1))
jumped = right_forward_jump(walked, torch.full((len(walked),), s), torch.full((len(walked),), t), noise)
std_error = jumped.std(0) - (1 - alpha_bar[t]).sqrt()
print(f"at t = {t}: standard deviation of the noise {(1 - alpha_bar[t]).sqrt():.3f}, ", end="")
print(f"of the walks that jumped minus this {std_error.square().mean().sqrt():.4f}, root mean square")
course.expect(std_error.square().mean().sqrt() < 0.02)

# %% [markdown]
# ## 5. The reverse step
#
# The reverse process needs $q(x_{t-1} \mid x_t)$: given a noisy image, what was it one step before? We do not know
# this distribution, since it depends on all images that there are. But we can find out what it looks like in a world
# with one pixel and two images, $x_0 = -1$ and $x_0 = +1$. There, Bayes' rule on a grid does it:
#
# $$q(x_s \mid x_t) \;\propto\; q(x_s)\; q(x_t \mid x_s)$$
#
# Here $\propto$ means equal up to a factor that does not depend on $x_s$, and $q(x_s)$ is the distribution of $x_s$
# over both images, each equally likely.
#
# Suppose we are at time $t = 500$ and see $x_t = 0.2$. Which $x_s$ was it before, for $s = 499$, and for an $s$
# farther away? (Each curve is scaled to a height of 1.)


# %%
def normal(x, mean, variance):
    """The density of N(mean, variance) at x."""
    return torch.exp(-((x - mean) ** 2) / (2 * variance)) / (2 * math.pi * variance) ** 0.5


grid, t, x_t = torch.linspace(-2, 2, 4001, dtype=torch.float64), T // 2, 0.2
curves = {}
for s in (t - 1, 3 * T // 10, T // 10):
    kept = alpha_bar[t] / alpha_bar[s]
    before = sum(normal(grid, image * alpha_bar[s].sqrt(), 1 - alpha_bar[s]) for image in (-1, 1))  # q(x_s)
    density = before * normal(x_t, kept.sqrt() * grid, 1 - kept)  # times q(x_t | x_s)
    curves[f"s = {s}"] = density / density.max()
course.plot(grid, curves, "$x_s$")
humps = {name: (curve.diff().sign().diff() < 0).sum().item() for name, curve in curves.items()}
print(f"humps: {humps}; standard deviation of one step: {beta[t].sqrt():.3f}")
course.expect(humps == {"s = 499": 1, "s = 300": 1, "s = 100": 2})
course.expect(0.095 < beta[t].sqrt() < 0.105)

# %% [markdown]
# This picture is the reason for a thousand small steps. For one step, from 500 to 499, $q(x_s \mid x_t)$ is a narrow
# Gaussian. For 200 steps there is still one hump (a *mode*), but it is so wide that it hardly says which $x_s$ it was.
# For 400 steps there are two humps, since $x_{100}$ has to be near one of the two images, and no Gaussian has two. The
# standard deviation of the narrow curve is about $\sqrt{\beta_{500}} = 0.1$, whatever $x_t$ is. So only its mean has to
# be learned.
#
# So we choose the reverse process to be Gaussian, too, with a mean $\mu_\theta$ from a network with weights $\theta$
# and a fixed variance:
#
# $$p_\theta(x_{t-1} \mid x_t) = \mathcal N\big(x_{t-1};\ \mu_\theta(x_t, t),\ \sigma_t^2 I\big) \tag{1}$$
#
# (The paper's (1) allows any variance; its section 3.2 fixes it, as we do.) We take $\sigma_t^2 = \beta_t$. Section 11
# tries another choice.
#
# What should $\mu_\theta$ be? In training we know more than $x_t$: we know the clean image $x_0$ that we added noise
# to. *Given $x_0$*, the distribution of $x_{t-1}$ is known exactly. It is called the *posterior*: what is known about
# $x_{t-1}$ after $x_t$ was seen. Bayes' rule says
#
# $$q(x_{t-1} \mid x_t, x_0) \;\propto\; q(x_{t-1} \mid x_0)\; q(x_t \mid x_{t-1})$$
#
# The first factor is (4) at time $t-1$, the second is (2). As a function of $x_{t-1}$, each has the form of a Gaussian,
# and so has their product.
#
# ### Exercise 2: the posterior mean
#
# Derive the mean of this Gaussian, and write it as a weighted sum of $x_0$ and $x_t$. One pixel is enough, since all
# are treated alike. Up to a factor, a Gaussian of mean $m$ and variance $v$ is $e^{-(x-m)^2/(2v)}$. Write both factors
# in this way and add the exponents. Sort the sum by powers of $x_{t-1}$, and complete the square. Two cases test the
# result. At $t = 1$ the mean must be $x_0$; there $1-\bar\alpha_0 = 0$, so do not divide by $1-\bar\alpha_{t-1}$. And
# if $\beta_t$ were 0, the mean would have to be $x_t$. The tables `alpha`, `alpha_bar`, `beta` and the function `at`
# are there.
#
# <details><summary>Hint</summary>
#
# Up to a term without $x_{t-1}$, the sum of the two exponents is $-\frac12\big(A\,x_{t-1}^2 - 2 B\,x_{t-1}\big)$, which
# is largest at $x_{t-1} = B/A$. Multiply $A$ and $B$ by $\beta_t\,(1-\bar\alpha_{t-1})$, and look at section 3 for
# $\alpha_t\,(1-\bar\alpha_{t-1}) + \beta_t$.
# </details>


# %% tags=["exercise"]
def posterior_mean(x_0, x_t, t):
    """The mean of x_{t−1} given x_t and x_0, for images (B, 1, 24, 24) and times t (B,) in 1..T."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(1, posterior_mean))
right_posterior_mean = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def posterior_mean(x_0, x_t, t):
#     v = at(1 - alpha_bar, t)
#     x_0_weight = at(alpha_bar, t - 1).sqrt() * at(beta, t) / v
#     x_t_weight = at(alpha, t).sqrt() * at(1 - alpha_bar, t - 1) / v
#     return x_0_weight * x_0 + x_t_weight * x_t
# ```
#
# The exponents $-\frac{(x_t - \sqrt{\alpha_t}\,x_{t-1})^2}{2\beta_t}$ and
# $-\frac{(x_{t-1} - \sqrt{\bar\alpha_{t-1}}\,x_0)^2}{2(1-\bar\alpha_{t-1})}$ add up to
# $-\frac12\big(A\,x_{t-1}^2 - 2 B\,x_{t-1}\big)$ and terms without $x_{t-1}$, with
#
# $$A = \frac{\alpha_t}{\beta_t} + \frac{1}{1-\bar\alpha_{t-1}}, \qquad
# B = \frac{\sqrt{\alpha_t}\,x_t}{\beta_t} + \frac{\sqrt{\bar\alpha_{t-1}}\,x_0}{1-\bar\alpha_{t-1}}$$
#
# The sum is $-\frac12 A\,(x_{t-1} - B/A)^2$ up to a constant, so the mean is $B/A$ and the variance $1/A$. Multiplied
# by $\beta_t\,(1-\bar\alpha_{t-1})$, $A$ becomes $\alpha_t\,(1-\bar\alpha_{t-1}) + \beta_t = 1-\bar\alpha_t$, and $B$
# becomes $\sqrt{\bar\alpha_{t-1}}\,\beta_t\,x_0 + \sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})\,x_t$.
# </details>
#
# Here is the result, in the paper's notation. (Lesson 3 derives it step by step, for every schedule and any two times.)
#
# $$q(x_{t-1} \mid x_t, x_0) = \mathcal N\big(x_{t-1};\ \tilde\mu_t(x_t, x_0),\ \tilde\beta_t I\big) \tag{6}$$
#
# $$\tilde\mu_t(x_t, x_0) = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}\,x_0
# + \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t,
# \qquad \tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\,\beta_t \tag{7}$$
#
# Do not take it on trust. Here is the product of the two curves on the grid, and what the exercise and (7) say, for one
# pixel with $x_0 = 0.8$, $x_{20} = 0.7$.

# %%
t, x_0, x_t = min(20, T), 0.8, 0.7
from_clean = normal(grid, alpha_bar[t - 1].sqrt() * x_0, 1 - alpha_bar[t - 1])  # q(x_{t−1} | x_0)
from_noisy = normal(x_t, alpha[t].sqrt() * grid, beta[t])  # q(x_t | x_{t−1})
product = from_clean * from_noisy
product = product / torch.trapezoid(product, grid)
grid_mean = torch.trapezoid(product * grid, grid)
grid_variance = torch.trapezoid(product * (grid - grid_mean) ** 2, grid)
posterior_variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t]  # (7)  β̃_t
near = (grid > 0.5) & (grid < 1.1)
before, now = f"x_{{{t - 1}}}", f"x_{{{t}}}"
curves = {f"$q({before} | x_0)$": from_clean, f"$q({now} | {before})$": from_noisy, "their product": product}
course.plot(grid[near], {label: (curve / curve.max())[near] for label, curve in curves.items()}, f"${before}$")
pixel = torch.full((1, 1, 1, 1), x_0), torch.full((1, 1, 1, 1), x_t)
mean = right_posterior_mean(*pixel, torch.tensor([t])).item()
print(f"mean of the product: {grid_mean:.6f}, and by the exercise: {mean:.6f}")
print(f"variance of the product: {grid_variance:.8f}, and by (7): {posterior_variance:.8f}")
course.expect(abs(grid_mean - mean) < 1e-4)
course.expect(abs(grid_variance / posterior_variance - 1) < 1e-4)

# %% [markdown]
# Both agree.
#
# ## 6. Predict the noise
#
# When we sample, $x_0$ is what we want to have and do not know, so the network has to estimate it. It can estimate the
# noise instead: by (4), $x_t$ and $\varepsilon$ determine the image,
# $x_0 = (x_t - \sqrt{1-\bar\alpha_t}\,\varepsilon)/\sqrt{\bar\alpha_t}$. Put this into (7), and use
# $\sqrt{\bar\alpha_t} = \sqrt{\alpha_t}\,\sqrt{\bar\alpha_{t-1}}$. The factor of $x_t$ becomes
# $\big(\beta_t/\sqrt{\alpha_t} + \sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})\big)/(1-\bar\alpha_t)$, which is
# $1/\sqrt{\alpha_t}$, because $\beta_t + \alpha_t(1-\bar\alpha_{t-1}) = 1-\bar\alpha_t$. The factor of $\varepsilon$
# becomes $-\beta_t/\big(\sqrt{\alpha_t}\sqrt{1-\bar\alpha_t}\big)$. With the network's estimate
# $\varepsilon_\theta(x_t, t)$ in the place of $\varepsilon$:
#
# $$\mu_\theta(x_t, t) = \frac{1}{\sqrt{\alpha_t}}
# \Big(x_t - \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,\varepsilon_\theta(x_t, t)\Big) \tag{11}$$
#
# In words: take a part of the noise away (1 % of it at $t = 300$, all at $t = 1$), and undo the shrinking.
#
# A network cannot know the noise exactly, since many images could have led to $x_t$. The estimate with the least mean
# squared error is the mean of all noises that are possible, $\mathbb E[\varepsilon \mid x_t]$, so this is what a
# network trained on squared errors learns. Then $\mu_\theta$ is the mean of the posterior means of all possible images:
# the mean of $q(x_{t-1} \mid x_t)$, the distribution that we could not write down. (This is the *tower property*: the
# mean of a conditional mean is the mean.)


# %%
def reverse_mean(x_t, t, eps):
    """μ_θ(x_t, t), from the noise eps that the network finds in x_t."""
    return (x_t - at(beta, t) / at(1 - alpha_bar, t).sqrt() * eps) / at(alpha, t).sqrt()  # (11)


eps = (torch.tensor(0.7) - alpha_bar[t].sqrt() * 0.8) / (1 - alpha_bar[t]).sqrt()  # the noise in the pixel above
found = reverse_mean(torch.tensor(0.7), torch.tensor([t]), eps).item()
print(f"mean from the noise by (11): {found:.6f}; mean of the product on the grid: {grid_mean:.6f}")
course.expect(abs(found - grid_mean) < 1e-4)
share = beta / (1 - alpha_bar)  # the share of the noise in x_t that one step takes away
t = 3 * T // 10
print(f"share of the noise that a step removes: {share[t]:.3f} at t = {t}, {share[1]:.3f} at t = 1")
course.expect(0.0095 < share[t] < 0.0105)
course.expect(abs(share[1] - 1) < 1e-9)

# %% [markdown]
# ## 7. From the bound to L_simple
#
# How should the network be trained? We would like to make the data likely under the model: maximise
# $\log p_\theta(x_0)$, where $p_\theta(x_0)$ is the density of the images that the reverse process makes of noise,
# $p(x_T) = \mathcal N(0, I)$. It cannot be computed, since it is an integral over all $x_1, \dots, x_T$. But there is
# a lower bound on it, which the paper's appendix A derives. Written as a loss to *minimise*, it is a sum over the
# steps. $\mathbb E_q$ is the mean over the noisy images $x_1, \dots, x_T$ that the forward process makes of $x_0$:
#
# $$-\log p_\theta(x_0) \;\le\; \mathbb E_q\Big[\underbrace{D_{\rm KL}\big(q(x_T|x_0)\,\|\,p(x_T)\big)}_{L_T}
# + \sum_{t>1} \underbrace{D_{\rm KL}\big(q(x_{t-1}|x_t,x_0)\,\|\,p_\theta(x_{t-1}|x_t)\big)}_{L_{t-1}}
# \underbrace{-\log p_\theta(x_0|x_1)}_{L_0}\Big] \tag{5}$$
#
# $D_{\rm KL}(q\,\|\,p)$, the Kullback-Leibler divergence, measures how far $p$ is from $q$; it is 0 if they are equal.
# $L_T$ says that $x_T$ should be pure noise; no weight of the network changes it. The terms $L_{t-1}$ say that *the
# learned reverse step should be near the posterior.* The two Gaussians have fixed variances, $\tilde\beta_t$ and
# $\sigma_t^2$. Their pixels are independent, so their densities are products over the pixels, and their divergence is a
# *sum over the pixels*. The divergence of one pixel is the squared distance of the two means, divided by $2\sigma_t^2$,
# plus a constant (lesson 3 derives it). Summed over the pixels, the squared distances are the squared norm
# $\|\cdot\|^2$, and the constants are a $C$ that does not depend on $\theta$:
#
# $$L_{t-1} = \mathbb E\Big[\frac{1}{2\sigma_t^2}\big\|\tilde\mu_t - \mu_\theta\big\|^2\Big] + C \tag{8}$$
#
# $\tilde\mu_t$ is (11) with the true $\varepsilon$, and $\mu_\theta$ is (11) with $\varepsilon_\theta$. So their
# difference is $\beta_t/\big(\sqrt{\alpha_t}\sqrt{1-\bar\alpha_t}\big)$ times the difference of the noises. By the
# reparameterisation (section 3), the mean over $x_0$ and $x_t$ is a mean over $x_0$ and $\varepsilon$:
#
# $$L_{t-1} - C = \mathbb E\Big[\frac{\beta_t^2}{2\sigma_t^2\,\alpha_t\,(1-\bar\alpha_t)}\;
# \big\|\varepsilon - \varepsilon_\theta(x_t, t)\big\|^2\Big] \tag{12}$$
#
# So maximising the bound is **denoising**: predict the noise that was added, with a weight for each $t$. Here is this
# weight.

# %%
t = torch.arange(2, T + 1)
weight = beta[t] ** 2 / (2 * beta[t] * alpha[t] * (1 - alpha_bar[t]))  # (12), for σ_t² = β_t
course.plot(t, {"weight of the noise error in the bound": weight}, kind="loglog")
print(f"weight at t = 2: {weight[0]:.3f}, least at t = {weight.argmin() + 2}: {weight.min():.4f}")
course.expect(54 < weight[0] / weight.min() < 56)
course.expect(340 < weight.argmin() + 2 < 360)

# %% [markdown]
# The weight is 55 times larger at $t = 2$ than at its minimum near $t = 350$: in the bound, fine detail counts most.
# The authors found that images get better if all $t$ count the same, and dropped the weight. $L_T$ has no weights to
# train, so it is left out. The term $t = 1$ stands for $L_0$, approximated by the same squared error. What is left is
# the loss that the paper calls simple:
#
# $$L_{\rm simple}
# = \mathbb E_{x_0,\ \varepsilon \sim \mathcal N(0, I),\ t \sim \mathrm{Unif}(1, T)}
# \Big[\big\|\varepsilon - \varepsilon_\theta\big(
# \underbrace{\sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\varepsilon}_{x_t},\ t\big)\big\|^2\Big] \tag{14}$$
#
# In code it takes an image, a random time and random noise. The squared norm is a sum over the pixels; the code takes
# the mean over the pixels instead, which only scales the number.


# %%
def l_simple(net, x_0):
    """The loss of a batch of clean images (B, 1, 24, 24)."""
    t = torch.randint(1, T + 1, (len(x_0),))
    eps = torch.randn_like(x_0)
    return (eps - net(add_noise(x_0, t, eps), t)).square().mean()  # (14)


of_zero = l_simple(lambda x, t: torch.zeros_like(x), data).item()
print(f"loss of a network that always answers 0: {of_zero:.3f}")
course.expect(abs(of_zero - 1) < 0.005)

# %% [markdown]
# A network that always answers 0 has a loss of 1, the variance of the noise. Everything below 1 has been learned.
#
# ### Exercise 3: L_simple for a network that predicts the image
#
# Suppose your network guesses the clean image instead: `net(x_t, t)` returns $\hat x_0$. Write the *same* loss, the
# mean of $(\varepsilon - \hat\varepsilon)^2$ over all pixels. Here $\hat\varepsilon$ is the estimate of the noise that
# follows from $\hat x_0$ and $x_t$ by (4).


# %% tags=["exercise"]
def l_simple_from_image(net, x_0, t, eps):
    """The mean of (ε − ε̂)² over the batch, a scalar, for a network with net(x_t, t) ≈ x_0."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(1, l_simple_from_image))
right_l_simple_from_image = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def l_simple_from_image(net, x_0, t, eps):
#     x_t = add_noise(x_0, t, eps)
#     eps_hat = (x_t - at(alpha_bar, t).sqrt() * net(x_t, t)) / at(1 - alpha_bar, t).sqrt()
#     return (eps - eps_hat).square().mean()
# ```
#
# It is the error of the image times the signal-to-noise ratio. What a network predicts and how its errors are weighted
# is one choice, seen from two sides.
# </details>
#
# ## 8. The network
#
# $\varepsilon_\theta$ takes an image and a time and returns an image. The paper's choice is a **U-Net**: it goes down
# to a small resolution, where a convolution covers a large part of the digit, and back up, with skip connections that
# keep the fine detail. We build it from three parts.
#
# ### The time
#
# The network must know $t$: at $t = 900$ everything is noise, at $t = 10$ almost nothing. A single number is hard for a
# network to resolve finely. So we write $t$ as a vector of sines and cosines, $\sin(t f_i)$ and $\cos(t f_i)$, with
# frequencies $f_i = 10000^{-i/(h-1)}$, $i = 0, \dots, h-1$, where $h$ is half the length of the vector. They go from
# one radian per step to one per 10,000 steps, like the hands of a clock: the fast ones tell neighbouring times apart,
# the slow ones early from late. In the picture each row is one entry of the vector, with the sines above the cosines;
# blue is 1 and red is −1.


# %%
def time_embedding(t, width):
    """Times (B,) as vectors (B, width): width/2 sines, then width/2 cosines."""
    half = width // 2
    frequency = torch.exp(-math.log(10000) * torch.arange(half) / (half - 1))
    angle = t[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


picture = time_embedding(torch.arange(1, T + 1), 64).T.numpy()
with plt.style.context("ancestral.render.figures"):
    plt.figure(figsize=(7, 2.2))
    plt.imshow(picture, aspect="auto", cmap="RdBu", extent=(1, T, 64, 0))
    plt.grid(False)
    plt.xlabel("t")
    plt.ylabel("entry")
    plt.tight_layout()
    plt.show()

# %% [markdown]
# ### Exercise 4: the time embedding, turned
#
# Why sine *and* cosine? Together they are the position of a hand on a clock, and to go $k$ steps on, the $i$-th hand
# turns by the angle $k f_i$. The time $t$ itself is not needed. Write the function that turns the embedding of $t$ into
# the embedding of $t + k$, from `embedding` and $k$ alone. The entries of the result are $\sin(u + v)$ and
# $\cos(u + v)$, with $u = t f_i$ and $v = k f_i$. Which functions of $u$ are in `embedding`, and which of $v$ can you
# compute? Two cases test the result: $k = 0$ changes nothing, and $k = 1$, then $k = -1$, leads back.
#
# <details><summary>Hint</summary>
#
# The addition theorems: $\sin(u + v) = \sin u \cos v + \cos u \sin v$ and
# $\cos(u + v) = \cos u \cos v - \sin u \sin v$. The function `time_embedding` takes $k$ as well as $t$.
# </details>


# %% tags=["exercise"]
def turn(embedding, k):
    """The embedding (B, width) of t + k, from the embedding (B, width) of t, for an integer k."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(1, turn))
right_turn = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def turn(embedding, k):
#     sin_t, cos_t = embedding.chunk(2, dim=1)
#     sin_k, cos_k = time_embedding(torch.tensor([k]), embedding.shape[1]).chunk(2, dim=1)
#     return torch.cat([sin_t * cos_k + cos_t * sin_k, cos_t * cos_k - sin_t * sin_k], dim=1)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The addition theorems, with $u = t f_i$ and $v = k f_i$:
#
# $$\sin(u + v) = \sin u \cos v + \cos u \sin v, \qquad \cos(u + v) = \cos u \cos v - \sin u \sin v$$
#
# $\sin u$ and $\cos u$ are the entries of the embedding of $t$, and $\sin v$ and $\cos v$ those of the embedding of
# $k$. For $k = 0$ they are 0 and 1, and nothing changes. Turning by $v$ and then by $-v$ is turning by 0.
# </details>
#
# The picture above, turned by 100 steps, is the picture that begins 100 steps later:

# %%
later = right_turn(time_embedding(torch.arange(1, T + 1), 64), 100)
difference = (later - time_embedding(torch.arange(101, T + 101), 64)).abs().max()
print(f"largest difference of an entry: {difference:.0e}")
course.expect(difference < 1e-3)

# %% [markdown]
# ### The residual block
#
# The block has two convolutions. Before each stand a group norm and the activation
# $\mathrm{SiLU}(x) = x \cdot \mathrm{sigmoid}(x)$, also called swish. *Group norm* brings groups of channels to mean 0
# and standard deviation 1, for each image on its own; unlike batch norm it does not mix images of different noise
# levels. Between the two convolutions the time is added, one number for each channel. The block adds its result to its
# input (through a 1 × 1 convolution if the number of channels changes). Its last convolution starts at 0, so that at
# first a block adds nothing, and a deep network is easy to train. The drawing is a block of the paper's network, with
# the shape (channels, height, width) that each part returns. It has dropout as well, which ours leaves out.

# %%
course.drawing("block")


# %%
def zero(module):
    """The module with all its weights and biases set to 0."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class Block(nn.Module):
    """(B, inputs, H, W) and a time vector (B, time_features) -> (B, outputs, H, W)."""

    def __init__(self, inputs, outputs, time_features):
        super().__init__()
        self.norm_1, self.conv_1 = nn.GroupNorm(8, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time_features, outputs)
        self.norm_2, self.conv_2 = nn.GroupNorm(8, outputs), zero(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x, time):
        h = self.conv_1(F.silu(self.norm_1(x)))
        h = h + self.time(F.silu(time))[:, :, None, None]
        return self.skip(x) + self.conv_2(F.silu(self.norm_2(h)))


print("block:", tuple(Block(32, 64, 128)(torch.randn(4, 32, 24, 24), torch.randn(4, 128)).shape))

# %% [markdown]
# ### Self-attention
#
# A convolution sees a small neighbourhood. In *self-attention* every position looks at every other one. Each position
# makes three vectors, a *query*, a *key* and a *value* (`q` in the code is the query, not the distribution $q$). It
# compares its query with all keys, and takes the mean of the values, weighted by how well they match. We use it at the
# smallest resolution, 6 × 6, where 36 positions are cheap. A digit's two ends can then agree with each other.


# %%
class Attention(nn.Module):
    """(B, C, H, W) -> (B, C, H, W), all positions with all others."""

    def __init__(self, channels):
        super().__init__()
        self.norm, self.qkv = nn.GroupNorm(8, channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)  # each (B, H·W, C)
        match = (q @ k.transpose(1, 2) / math.sqrt(x.shape[1])).softmax(dim=2)  # (B, H·W, H·W), rows sum to 1
        return x + self.out((match @ v).transpose(1, 2).reshape(x.shape))


print("attention:", tuple(Attention(64)(torch.randn(4, 64, 6, 6)).shape))

# %% [markdown]
# ### The U-Net
#
# Down from 24 × 24 over 12 × 12 to 6 × 6, and up again. On the way up, each level gets the signal from below,
# concatenated with what the same level had on the way down. A small network `time` turns the time embedding into the
# vector that every block reads. The drawing is the paper's network for images of 32 × 32 pixels. Ours has the same plan
# with three levels in the place of four, one block in the place of two or three, and attention at the lowest level.

# %%
course.drawing("unet")


# %%
class UNet(nn.Module):
    """ε_θ(x_t, t): images (B, 1, 24, 24) and times (B,) in 1..T -> the noise in them, (B, 1, 24, 24)."""

    def __init__(self, narrow=32, wide=64, time_features=128):
        super().__init__()
        n, w, f = narrow, wide, time_features
        self.time = nn.Sequential(nn.Linear(w, f), nn.SiLU(), nn.Linear(f, f))
        self.enter = nn.Conv2d(1, n, 3, padding=1)
        self.down_1, self.shrink_1 = Block(n, n, f), nn.Conv2d(n, n, 3, stride=2, padding=1)
        self.down_2, self.shrink_2 = Block(n, w, f), nn.Conv2d(w, w, 3, stride=2, padding=1)
        self.down_3, self.attention, self.middle = Block(w, w, f), Attention(w), Block(w, w, f)
        self.up_3, self.grow_2 = Block(2 * w, w, f), nn.Conv2d(w, w, 3, padding=1)
        self.up_2, self.grow_1 = Block(2 * w, w, f), nn.Conv2d(w, n, 3, padding=1)
        self.up_1, self.norm, self.leave = Block(2 * n, n, f), nn.GroupNorm(8, n), zero(nn.Conv2d(n, 1, 3, padding=1))

    def forward(self, x, t):
        time = self.time(time_embedding(t, self.time[0].in_features))
        h_1 = self.down_1(self.enter(x), time)
        h_2 = self.down_2(self.shrink_1(h_1), time)
        h_3 = self.down_3(self.shrink_2(h_2), time)
        h = self.middle(self.attention(h_3), time)
        h = self.up_3(torch.cat([h, h_3], dim=1), time)
        h = self.grow_2(F.interpolate(h, scale_factor=2))
        h = self.up_2(torch.cat([h, h_2], dim=1), time)
        h = self.grow_1(F.interpolate(h, scale_factor=2))
        h = self.up_1(torch.cat([h, h_1], dim=1), time)
        return self.leave(F.silu(self.norm(h)))


net = UNet(8, 8, 8) if QUICK else UNet()
net = net.to(memory_format=torch.channels_last)  # the order of numbers in memory that makes convolutions fastest
hooks = [  # print the shape that each part returns, in one forward pass
    part.register_forward_hook(lambda part, inputs, output, name=name: print(f"{name:10}", tuple(output.shape)))
    for name, part in net.named_children()
]
net(data[:4], torch.tensor([1, 10, 100, 1000]))
for hook in hooks:
    hook.remove()
print("parameters:", sum(p.numel() for p in net.parameters()))

# %% [markdown]
# ## 9. Training
#
# Algorithm 1 of the paper is the loop below: take random images, a random time for each and noise, and take a gradient
# step on $L_{\rm simple}$. The optimiser is Adam. The learning rate rises at the beginning (*warm-up*) and falls to 0
# at the end, and the gradient is clipped at norm 1. (For CIFAR-10 the paper trains for 800,000 steps with a constant
# rate after the warm-up, and samples with an average of the weights over time. Here a falling rate takes its place.)

# %%
STEPS, BATCH = (20, 8) if QUICK else (2500, 32)
optimiser = torch.optim.Adam(net.parameters())
rate = torch.optim.lr_scheduler.OneCycleLR(
    optimiser, max_lr=2e-3, total_steps=STEPS, pct_start=0.1, cycle_momentum=False
)
losses, began = [], time.perf_counter()
for step in range(1, STEPS + 1):
    loss = l_simple(net, data[torch.randint(len(data), (BATCH,))])
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    rate.step()
    losses.append(loss.item())
    if step % 250 == 0:
        print(f"step {step}: loss {sum(losses[-250:]) / 250:.4f}, {time.perf_counter() - began:.0f} s")

course.plot(range(1, STEPS + 1), {"loss": losses}, "step", kind="semilogy")

# %% [markdown]
# The loss falls fast, and then slowly. It does not go to 0: at small $t$ there is so little noise in the image that
# nobody could find it exactly. A low loss is not the aim, either. Good samples are.
#
# ## 10. Sampling
#
# Algorithm 2 of the paper: start with $x_T \sim \mathcal N(0, I)$, and for $t = T, \dots, 1$ draw $x_{t-1}$ from the
# Gaussian (1):
#
# $$x_{t-1} = \mu_\theta(x_t, t) + \sigma_t z, \qquad z \sim \mathcal N(0, I), \qquad z = 0 \text{ at the last step}$$
#
# Why add noise again, when we want to get rid of it? The reverse step is a *distribution* (the narrow Gaussian of
# section 5), and not its mean alone. (Try `sample(net, x_T, 0 * beta, seed=1)[0]`, which leaves the noise out.) Noise
# in the last step would only make the image grainy, so there is none. On the way we keep $x_t$ and the network's guess
# of the clean image, $\hat x_0 = (x_t - \sqrt{1-\bar\alpha_t}\,\varepsilon_\theta)/\sqrt{\bar\alpha_t}$.


# %%
@torch.no_grad()
def sample(net, x_T, variance, seed, keep=()):
    """Images from noise x_T, with σ_t² = variance[t]; and (x_t, x̂_0) at the times in `keep`."""
    x, film, generator = x_T, [], torch.Generator().manual_seed(seed)
    for t in range(T, 0, -1):
        times = torch.full((len(x),), t)
        eps = net(x, times)
        if t in keep:
            film.append((x[0], (x[0] - (1 - alpha_bar[t]).sqrt() * eps[0]) / alpha_bar[t].sqrt()))
        z = torch.randn(x.shape, generator=generator) if t > 1 else torch.zeros_like(x)
        x = reverse_mean(x, times, eps) + variance[t].sqrt() * z  # algorithm 2
    return x, film


net.eval()
x_T = torch.randn(2 if QUICK else 20, 1, 24, 24, generator=torch.Generator().manual_seed(0))
keep = [max(1, share * T // 100) for share in (100, 80, 60, 40, 30, 20, 10, 5, 0)]
large, film = sample(net, x_T, beta, seed=1, keep=keep)
course.show([*zip(*film, strict=True)], [f"t = {t}" for t in keep], ["$x_t$", r"$\hat x_0$"])
course.expect(0.0055 < alpha_bar[T].sqrt() < 0.0065)

# %% [markdown]
# Above is the image as it is, below what the network believes it will become. At $t = 1000$ and 800, $\hat x_0$ is
# mostly noise as well, since every error of $\varepsilon_\theta$ is divided by $\sqrt{\bar\alpha_t}$, which is 0.006
# at $t = 1000$. At 600 it is a blur: the mean of all digits that the image could still become. Between 600 and 300 the
# shape is decided, and in the end only the edges get sharper. Here are all twenty:

# %%
course.show(large.chunk(2))

# %% [markdown]
# Most are digits, some are not: 2,500 steps of training are few. Has the network learned to write, or has it
# memorised the 5,000 images? Below each sample stands the image of the data that is nearest to it, pixel by pixel. The
# number to compare the distance with is that of an image of the data to its own nearest neighbour.

# %%
to_data, nearest = torch.cdist(large.flatten(1), data.flatten(1)).min(dim=1)
between_data = torch.cdist(data[::250].flatten(1), data.flatten(1)).topk(2, largest=False).values[:, 1]
course.show([large[:10], data[nearest[:10]]], labels=["sampled", "nearest"])
print(f"mean distance to the nearest image: {to_data.mean():.1f} of samples, {between_data.mean():.1f} of data")
course.expect(QUICK or to_data.mean() > 0.9 * between_data.mean())

# %% [markdown]
# A copy would have a distance near 0. The samples are no nearer to the data than its images are to each other: nobody
# wrote the digits in the upper row.
#
# ## 11. Which variance?
#
# In (1) we had to choose $\sigma_t^2$. The paper tries two values, $\beta_t$ and $\tilde\beta_t$ of (7). Both can be
# justified: the first is right if the data is itself standard normal noise, the second if there is only one image.
# Real data is in between. (Lesson 3 shows all three.) How far apart are the two?

# %%
beta_tilde = torch.cat([torch.zeros(1), beta[1:] * (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])])  # (7); β̃_1 = 0
deviations = {r"$\sqrt{\beta_t}$": beta[2:].sqrt(), r"$\sqrt{\tilde\beta_t}$": beta_tilde[2:].sqrt()}
course.plot(range(2, T + 1), deviations, kind="loglog")
apart = torch.arange(2, T + 1)[beta[2:].sqrt() / beta_tilde[2:].sqrt() > 1.05]
print(f"the standard deviations differ by more than 5 % up to t = {apart.max()}")
course.expect(15 < apart.max() < 20)
small, _ = sample(net, x_T, beta_tilde, seed=1)
course.show([large[:10], small[:10]], labels=["β", "β̃"])

# %% [markdown]
# They differ by more than 5 % only for $t < 20$, where the noise is invisible, so from the same $x_T$ and the same $z$
# come nearly the same digits. With 1,000 steps the choice does not matter for the picture. (For the likelihood and for
# few large steps it does: Nichol and Dhariwal, 2021.)
#
# ### Exercise 5: one sampling step
#
# The authors' code **clips $\hat x_0$ to [−1, 1]** in every step, since no pixel of the data lies outside. But (11),
# with which `sample` computes the mean, has no $\hat x_0$ that could be clipped. Find a form of the mean that has one,
# and that equals (11) if nothing is clipped. Write the sampling step with the clipped $\hat x_0$ and the variance
# $\tilde\beta_t$. The estimate of the noise comes as `eps_hat`. The table `beta_tilde` is there, like `beta`. The last
# step, $t = 1$, needs no case of its own, since $\tilde\beta_1 = 0$; its result must be the clipped $\hat x_0$.
#
# <details><summary>Hint</summary>
#
# Section 6 derived (11) from (7). Go back to (7), and put the clipped $\hat x_0$ in the place of $x_0$. Your
# `posterior_mean` of exercise 2 computes it.
# </details>


# %% tags=["exercise"]
def sampling_step(x_t, t, eps_hat, z):
    """x_{t−1} from x_t (B, 1, 24, 24) at times t (B,), the estimate eps_hat of the noise, and z ~ N(0, I)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(1, sampling_step))
right_sampling_step = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def sampling_step(x_t, t, eps_hat, z):
#     x_0 = (x_t - at(1 - alpha_bar, t).sqrt() * eps_hat) / at(alpha_bar, t).sqrt()
#     return posterior_mean(x_0.clamp(-1, 1), x_t, t) + at(beta_tilde, t).sqrt() * z
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The mean of the posterior, (7), has an $x_0$. Put $\hat x_0 = (x_t -
# \sqrt{1-\bar\alpha_t}\,\hat\varepsilon)/\sqrt{\bar\alpha_t}$ into it, without clipping. With $\bar\alpha_t =
# \alpha_t\,\bar\alpha_{t-1}$, the factor of $x_t$ is
#
# $$\frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{(1-\bar\alpha_t)\sqrt{\bar\alpha_t}} +
# \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t} = \frac{\beta_t + \alpha_t -
# \bar\alpha_t}{(1-\bar\alpha_t)\sqrt{\alpha_t}} = \frac{1}{\sqrt{\alpha_t}}$$
#
# since $\beta_t + \alpha_t = 1$. The factor of $\hat\varepsilon$ is
# $-\sqrt{\bar\alpha_{t-1}}\,\beta_t/\big(\sqrt{1-\bar\alpha_t}\,\sqrt{\bar\alpha_t}\big) =
# -\beta_t/\big(\sqrt{\alpha_t}\,\sqrt{1-\bar\alpha_t}\big)$. Both are those of (11). At $t = 1$, $\bar\alpha_0 = 1$:
# the factor of $x_1$ in (7) is 0, and that of $\hat x_0$ is $\beta_1/(1-\bar\alpha_1) = 1$.
# </details>
#
# ## 12. The same with ancestral
#
# What you have built by hand is what the package `ancestral`, to which this notebook belongs, is made of. Here are a
# schedule, a target and a sampler of the package around *your* network, and the comparison: the same loss for the same
# images, times and noise, and the same digits from the same $x_T$ and $z$. Exercise 3 gives this loss, too, if the
# image is computed from the noise that the network predicts. Exercise 5 is a step of the package's sampler.

# %%
from ancestral import Diffusion, samplers, schedules, targets


class FromZero(nn.Module):
    """The package counts a network's times from 0, as the authors' code does. Ours counts from 1."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, index):
        return self.net(x, index + 1)


schedule = schedules.from_betas(beta[1:])  # for T = 1000 the same as schedules.linear()
denoiser = Diffusion(FromZero(net), schedule, targets.EPS)  # the forward process, and what is predicted
t, eps = torch.randint(1, T + 1, (64,)), torch.randn(64, 1, 24, 24)
with torch.no_grad():
    ours = (eps - net(add_noise(data[:64], t, eps), t)).square().mean().item()
    theirs = denoiser.errors(data[:64], t, eps).mean().item()  # denoiser.loss(images, step=k) draws t and eps itself
generator = torch.Generator().manual_seed(1)
ddpm = samplers.DDPM(variance="large", clip=None)  # clip=1.0, the default, clips x̂_0 as in exercise 5
digits = ddpm.sample(denoiser, x_T, noise=lambda shape: torch.randn(shape, generator=generator))
print(f"L_simple: {ours:.6f} by hand, {theirs:.6f} by ancestral")
print(f"largest difference of a pixel after {T:,} steps: {(digits - large).abs().max():.1e}")
course.expect(abs(ours - theirs) < 1e-5)
course.expect((digits - large).abs().max() < 5e-2)


def image_net(x_t, t):
    """x̂_0 from the noise that the network predicts."""
    return (x_t - at(1 - alpha_bar, t).sqrt() * net(x_t, t)) / at(alpha_bar, t).sqrt()


with torch.no_grad():
    course.expect(abs(right_l_simple_from_image(image_net, data[:64], t, eps).item() - ours) < 1e-4)
    k, z = 3 * T // 10, torch.randn(x_T.shape, generator=generator)
    times = torch.full((len(x_T),), k)
    x_t = add_noise(data[: len(x_T)], times, eps[: len(x_T)])
    by_exercise = right_sampling_step(x_t, times, net(x_t, times), z)
    by_package = samplers.DDPM(variance="small").sample(denoiser, x_t, times=[k, k - 1], noise=lambda shape: z)
course.expect((by_exercise - by_package).abs().max() < 1e-4)

# %% [markdown]
# They differ by the rounding of 32-bit floats, accumulated over 1,000 steps. Here they are side by side.

# %%
course.show([large[:10], digits[:10]], labels=["by hand", "ancestral"])

# %% [markdown]
# You have built a diffusion model. From here, everything else is a change of one part:
#
# * **Fewer steps**: `samplers.DDIM(steps=100, eta=1.0)` or `samplers.UniPC(steps=20, clip=1.0)` in the place of
#   `ddpm`.
# * **Another schedule or target**: `schedules.cosine()`, `targets.V`, and train again with `denoiser.loss(images,
#   step=k)`.
# * **Your own images**, with checkpoints, exact resume and a report: `ancestral train --data photos/`.
# * **How good is it?** `ancestral evaluate runs/photos`: distances with errors, likelihood, copies of training images.
#
# The paper's choices, and where they stand: a fixed forward process (section 2), data in [−1, 1] (1), a network that
# predicts the noise (6), a U-Net with self-attention and group normalisation (8), $T = 1000$ (2), and $L_{\rm simple}$
# (7). Take the notebook apart: leave out the attention, or the time embedding. Feed data in [0, 1]. Train for twice as
# long. Each choice is a line or two, and you can see for yourself what it is worth.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **Fewer steps of the forward process.** In section 2, `T = 1000` → `T = 200`. The same $\beta_t$ in a fifth of the
#   steps add less noise: $\bar\alpha_T$ is no longer near 0, sampling starts from noise that no $x_T$ is, and the
#   samples show it. Training takes as long as before, sampling a fifth. The checks of the exercises need $T = 1000$.
# * **Data in [0, 1].** In section 1, `/ 127.5 - 1` → `/ 255`. The root mean square falls from 0.95 to about 0.4, so
#   there is less signal in $x_t$ at each $t$. The background is 0 now, and noise in it is seen at once. As long as
#   before.
# * **Half the training.** In section 9, `(2500, 32)` → `(1250, 32)`. The loss ends a little higher, and more of the
#   twenty samples are no digits. Half the time.
