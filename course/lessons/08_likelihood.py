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
# In this lesson you learn its unit (bits per dimension), compute it in two ways (the variational bound of DDPM and
# the exact likelihood of the probability flow), see which noise levels cost the bits, and see what the number does
# *not* say. You should have done lesson 3. Numbers in brackets, such as (5), are those of the [DDPM
# paper](https://arxiv.org/abs/2006.11239). Five exercises come on the way.

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
import tempfile
import warnings
import zlib

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

import ancestral
import ancestral_course as course
from ancestral import bound, oracle, probability_flow, schedules
from ancestral.gaussian import DiagonalGaussian

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
_ = torch.manual_seed(0)
warnings.filterwarnings("ignore", "IProgress not found")  # of a progress bar that is not shown

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
pixels, _ = course.mnist_data()  # 5,000 real MNIST digits, which the package holds: nothing is downloaded
digits = F.avg_pool2d(torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28), 2).round().to(torch.uint8)
shuffled = digits[torch.randperm(5000, generator=torch.Generator().manual_seed(0))]
train, held_out = shuffled[:4500], shuffled[4500:]  # 8-bit values, 0 to 255

counts = torch.bincount(train.flatten().long(), minlength=256).double() + 1  # 1 more: no value is impossible
frequency = counts / counts.sum()
histogram_bits = -frequency.log2()[held_out.long()].mean().item()
zip_bits = 8 * len(zlib.compress(held_out.numpy().tobytes(), 9)) / held_out.numel()
print(f"share of black pixels {frequency[0]:.0%}")
print(f"uniform guess {math.log2(256):.2f}, histogram {histogram_bits:.2f}, zlib {zip_bits:.2f} bits/dim")
course.expect(0.735 < frequency[0] < 0.745)
course.expect(2.75 < histogram_bits < 2.84)
course.expect(2.74 < zip_bits < 2.84)
course.show([held_out[:12] / 127.5 - 1])

# %% [markdown]
# The histogram knows only how often each grey value occurs in the training images, one pixel at a time, and needs 2.80
# bits/dim: 74 % of the pixels are black, and black is cheap. The ZIP algorithm finds repetitions, and needs
# 2.79. Neither knows what a digit is.
#
# ## 2. From densities to bits
#
# A diffusion model works with real numbers in [−1, 1]. A real number has no probability, it has a probability
# *density*. What has one is an interval. In [−1, 1], neighbouring grey levels are $2/255 = 1/127.5$ apart, so
# each grey value stands for a **bin** of this width. If the density $p(x)$ hardly changes within a bin, the
# probability of the grey value is nearly the density times the width of its bin.
#
# There is a second conversion. PyTorch computes natural logarithms, and their unit is the *nat*. $\ln 2 = 0.693$ nats
# are 1 bit.
#
# ### Exercise 1: nats to bits/dim
#
# Derive the conversion for a batch of images: from the log density of each image in nats, at its point in
# $[-1, 1]^D$, to bits per dimension of the 8-bit image. Begin with the probability of an image, which has a bin in each
# of its $D$ dimensions. Then take $-\log_2$ of it, and divide by $D$.
#
# Two cases test your formula. A density that is constant on all 256 bins of a pixel together, an interval of length
# $256/127.5$, has to give 8 bits. And an image that consists of two copies of another one, with twice its log density,
# has the same bits/dim.


# %% tags=["exercise"]
def bits_per_dim(log_density, dims):
    """Bits/dim (N,) of 8-bit images, from their log density (N,) in nats in [−1, 1]^dims."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(8, bits_per_dim))
right_bits_per_dim = verdict.function

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
# <details><summary>Derivation</summary>
#
# For one pixel,
#
# $$\text{probability of the bin} \approx p(x)\cdot\tfrac{1}{127.5}, \qquad
# \text{bits} = -\log_2 p(x) + \log_2 127.5 .$$
#
# The second term is the price of the scaling from 0..255 to [−1, 1], and $\log_2 127.5 = 6.99$ bits is a large price to
# forget. For an image the probability is nearly $p(x)\cdot 127.5^{-D}$. Its logarithm has the term $\log_2 127.5$ for
# each pixel, so per dimension it counts once:
#
# $$\text{bits/dim} = -\frac{\ln p(x)}{D\,\ln 2} + \log_2 127.5 .$$
# </details>
#
# The first test, in numbers:

# %%
flat_density = 127.5 / 256
flat_bits = right_bits_per_dim(torch.tensor([flat_density], dtype=torch.float64).log(), 1).item()
print(f"log2(127.5) = {math.log2(127.5):.2f}; a flat density costs {flat_bits} bits")
course.expect(abs(flat_bits - 8) < 1e-12)

# %% [markdown]
# ### A density can cheat
#
# Fit a density to 8-bit data, and it can become as large as it likes. Here the model of one pixel is a narrow normal
# distribution on each of the 256 grey levels, weighted by the histogram of section 1. All of them have the same
# standard deviation $s$. As $s$ becomes small, the density at the grey levels grows without limit, and the number of
# bits falls below the entropy of the pixels, and below 0. No file has a negative length. The mistake is that the
# density does change within a bin.
#
# The remedy is **dequantisation**: add noise to the data that is uniform on the bin, $u \sim$ Unif(−1/255, 1/255) for
# each pixel, and take the density there. The mean over $u$ of $-\log_2 p(x+u)$ is never less than $-\log_2$ of the
# mean of $p(x+u)$ (Jensen's inequality), and that mean is exactly the probability of the bin times 127.5. So the bits
# of dequantised data are an upper bound on a true file size, and there is nothing to be won by peaks.
#
# `oracle.Mixture` is the package's mixture of normal distributions. Its `log_density(x, t)` is the exact log density of
# $x_t$, so at $t = 0$ that of the data.

# %%
levels = 2 * torch.arange(256, dtype=torch.float64) / 255 - 1
entropy = -(frequency * frequency.log2()).sum().item()
offsets = ((torch.arange(40, dtype=torch.float64)[:, None] + 0.5) / 40 - 0.5) * 2 / 255  # 40 places evenly over the bin
widths = torch.logspace(-4, -0.5, 15, dtype=torch.float64)
at_levels, dequantised = [], []
for s in widths:
    pixel = oracle.Mixture(schedules.linear(), levels[:, None], torch.full((256,), s.item()), frequency)
    for bits, x in ((at_levels, levels[None]), (dequantised, levels + offsets)):
        of_each = right_bits_per_dim(pixel.log_density(x.reshape(-1, 1), 0), 1).reshape(x.shape).mean(0)
        bits.append((frequency * of_each).sum().item())
course.plot(
    widths,
    {"at the grey levels": at_levels, "dequantised": [min(b, 12) for b in dequantised], "entropy": [entropy] * 15},
    "width s of the peaks",
    "bits/dim",
    "semilogx",
)
print(f"entropy {entropy:.2f}; smallest: at the grey levels {min(at_levels):.2f}, dequantised {min(dequantised):.2f}")
course.expect(min(at_levels) < -2)
course.expect(entropy < min(dequantised) < entropy + 0.35)

# %% [markdown]
# The curve at the grey levels goes to minus infinity. The curve of the dequantised pixels stays above the entropy, and
# comes within 0.3 bits of it where the peaks of neighbouring levels overlap. (The figure cuts it off at 12 bits.)
#
# ### The discretised decoder
#
# DDPM has another remedy. It does not add noise to the data. Its last reverse step is a normal distribution with
# mean $\mu_\theta(x_1, 1)$ and standard deviation $\sigma_1$ in each pixel, and the probability of a grey value is the
# **mass** of this distribution on its bin. A part of the mass lies outside of all 256 bins. The two bins at the edges
# take it: all that lies below goes to black, all that lies above to white. So the 256 probabilities always sum to 1,
# and black, the value of most pixels, can have probability 1.
#
# ### Exercise 2: the mass of a bin
#
# Write this probability for each pixel. `torch.special.ndtr(u)` is the probability that a standard normal number is
# below $u$. Between which two limits does the bin of $x$ lie? Which $u$ stands for each limit? And where are the outer
# limits of the two bins at the edges? Two cases test your answer: the probabilities of the 256 values of `x` have a sum
# of 1 for each mean and standard deviation, and for a mean far below −1 the first of them is 1.
#
# `torch.where(condition, a, b)` chooses. Compare `x` with ±0.999 rather than with ±1, since a float may be off in its
# last digit.


# %% tags=["exercise"]
def bin_mass(x, mean, std):
    """Probability of each 8-bit pixel x in [−1, 1] under N(mean, std²); x and mean broadcast, std is a number."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(8, bin_mass))
right_bin_mass = verdict.function

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
# Here it is as a formula. Given $x_1$ the pixels are independent, so the probability of an image is a product over its
# pixels (and its logarithm is a sum over the pixels):
#
# $$p_\theta(x_0 \mid x_1) = \prod_{i=1}^{D} \int_{\delta_-(x_0^i)}^{\delta_+(x_0^i)}
# \mathcal N\big(x;\ \mu_\theta^i(x_1, 1),\ \sigma_1^2\big)\,dx \tag{13}$$
#
# $x_0^i$ is the value of pixel $i$. The limits are $\delta_\pm(x) = x \pm 1/255$, with two exceptions:
# $\delta_-(-1) = -\infty$ and $\delta_+(1) = +\infty$. The figure shows the first bins for a mean of −0.97, with and
# without these exceptions.

# %%
centre, spread = torch.tensor(-0.97, dtype=torch.float64), 0.02
inner = torch.special.ndtr((levels + 1 / 255 - centre) / spread) - torch.special.ndtr(
    (levels - 1 / 255 - centre) / spread
)
bins = right_bin_mass(levels, centre, spread)
package = DiagonalGaussian(centre, spread**2).log_bins(levels, half_width=1 / 255, edge=1 - 0.5 / 255).exp()
course.expect(torch.allclose(bins, package, atol=1e-9))
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.4))
    axis.bar(levels[:16].tolist(), bins[:16].tolist(), width=1.6 / 255, color="C1", label="bins of (13)")
    axis.bar(
        levels[:16].tolist(), inner[:16].tolist(), width=1.6 / 255, color="C0", label="without the rule for the edges"
    )
    axis.set(xlabel="x", ylabel="probability")
    axis.legend()
    figure.tight_layout()
    plt.show()
print(f"sum of the 256 probabilities: {bins.sum():.6f}; without the rule for the edges: {inner.sum():.6f}")
course.expect(abs(bins.sum() - 1) < 1e-9)
course.expect(inner.sum() < 0.96)
course.expect(torch.allclose(bins[1:], inner[1:], atol=1e-9))  # all bins but that of −1 agree

# %% [markdown]
# ## 3. The bound, term by term
#
# A model that makes an image in $T$ steps has no formula for $p_\theta(x_0)$. But it can be used to *send* an image,
# and that takes at most this many bits, the bound (5) of lesson 1:
#
# $$L = \underbrace{D_{\rm KL}\big(q(x_T|x_0)\,\|\,p(x_T)\big)}_{L_T}
# + \sum_{t=2}^{T} \underbrace{D_{\rm KL}\big(q(x_{t-1}|x_t,x_0)\,\|\,p_\theta(x_{t-1}|x_t)\big)}_{L_{t-1}}
# \underbrace{-\log p_\theta(x_0|x_1)}_{L_0} \tag{5}$$
#
# Read it as a transmission. First $x_T$ is sent, which is nearly noise and costs $L_T \approx 0$. Then each step sends
# what the receiver, who knows $x_t$ and the model, could not guess of $x_{t-1}$: a divergence of two normal
# distributions. The last step sends the exact pixels by the decoder (13).
#
# ### Exercise 3: the rate of a step
#
# With the variance $\sigma_t^2 = \tilde\beta_t$, the smaller of the paper's two, $L_{t-1}$ becomes simple. Derive it on
# paper. Let $\hat x_0$ be the model's estimate of the clean image, and
# $\mathrm{SNR}_t = \bar\alpha_t/(1-\bar\alpha_t)$ the signal-to-noise ratio.
#
# 1. Both distributions are normal, with the same variance
#    $\tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t$ in each pixel. Then their divergence is the
#    squared distance of their means, divided by $2\tilde\beta_t$.
# 2. By (7), the mean of $q(x_{t-1}|x_t,x_0)$ is $\frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}\,x_0 +
#    \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t$, and that of the model is the same with $\hat
#    x_0$ for $x_0$. How far are they apart?
# 3. Put both together, and write the factor of $\|x_0 - \hat x_0\|^2$ by $\mathrm{SNR}_{t-1}$ and $\mathrm{SNR}_t$
#    alone.
#
# Then write $L_{t-1}$ in bits per dimension for a batch of images. `schedule.snr` is the table of $\mathrm{SNR}_t$ for
# each $t$ from 0 to $T$. The pixels are independent given $x_t$, so the divergence is a **sum over the pixels**, and
# so is $\|\cdot\|^2$. Which reduction do you need *per dimension*, and which unit does the formula give? Three cases
# test it: the rate is 0 for a right estimate, it tends to 0 with $\beta_t$, and for one pixel with
# $\bar\alpha_{t-1} = \frac34$, $\bar\alpha_t = \frac12$ and an error of 1 it is 1.44 bits.
#
# <details><summary>Hint</summary>
#
# $\beta_t = 1 - \bar\alpha_t/\bar\alpha_{t-1}$, so $\bar\alpha_{t-1}\,\beta_t$ is a difference. Compare the
# factor with a difference of two signal-to-noise ratios over their common denominator.
#
# </details>


# %% tags=["exercise"]
def rate_of_step(x_0, x_0_hat, schedule, t):
    """L_{t−1} in bits/dim (B,), for images and estimates (B, C, H, W), σ_t² = β̃_t and one time t in 2..T."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(8, rate_of_step))
right_rate_of_step = verdict.function

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
# <details><summary>Derivation</summary>
#
# The means differ by $\frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}(x_0 - \hat x_0)$,
# since the terms with $x_t$ cancel. So
#
# $$L_{t-1} = \frac{1}{2\tilde\beta_t}\,\frac{\bar\alpha_{t-1}\,\beta_t^2}{(1-\bar\alpha_t)^2}\,\|x_0-\hat x_0\|^2
# = \frac12\,\frac{\bar\alpha_{t-1} - \bar\alpha_t}{(1-\bar\alpha_{t-1})(1-\bar\alpha_t)}\,\|x_0-\hat x_0\|^2
# = \frac12 \big(\mathrm{SNR}_{t-1} - \mathrm{SNR}_t\big)\, \|x_0 - \hat x_0\|^2 .$$
#
# (The second step puts $\tilde\beta_t$ in, and then $\bar\alpha_{t-1}\beta_t = \bar\alpha_{t-1} - \bar\alpha_t$. The
# form is that of Kingma et al., 2021, *Variational diffusion models*.)
# </details>
#
# In words: **a step costs what it gains in SNR,
# times the error of the guess.**
#
# Take data for which everything is known. One pixel has 8 possible grey values with probabilities 1/36, 2/36, …, 8/36.
# Its entropy is 2.79 bits, and `oracle.Mixture` with peaks of width 0 is the exact denoiser $\hat x_0 = \mathbb E[x_0
# \mid x_t]$: no training, no error of a network. The schedule is `geometric`, that of NCSN: the signal is kept, $x_t =
# x_0 + b_t\,\varepsilon$, and the noise $b_t$ grows from 0.001 to 50. (To draw from $\mathcal N(x_0, b_t^2)$ as a
# function of $x_0$ and of standard noise is called the *reparameterisation*.) It begins with so little noise that $L_0$
# is nearly 0. The formula above holds for it, too, with $\mathrm{SNR}_t = 1/b_t^2$. Here are the terms by hand, and by
# the package, for the same noise.

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
            bits = right_rate_of_step(clean[:, :, None, None], x_0_hat[:, :, None, None], schedule, t)  # L_{t−1}
        else:
            mean = schedule.posterior(x_0_hat, x_t, 1, 0).mean
            last = DiagonalGaussian(mean, schedule.posterior_variance(2, 1))
            bits = -last.log_bins(clean, 1 / 255, 1 - 0.5 / 255)[:, 0] / math.log(2)
        terms.append((expected * bits).sum().item())
    a, b = schedule.at(schedule.steps)
    ratio = b**2 / schedule.prior_std**2  # L_T: KL of N(a x_0, b²) to N(0, prior_std²)
    nats = 0.5 * (ratio - 1 - math.log(ratio) + (a * clean[:, 0] / schedule.prior_std) ** 2)
    return (expected * nats).sum().item() / math.log(2), terms[:-1][::-1], terms[-1]


short = schedules.geometric(64, sigma_min=0.001)
L_T, L_t, L_0 = bound_of_pixel(short)
noises = torch.Generator().manual_seed(1)
exact = oracle.Mixture(short, values, torch.zeros(8), weights)
package = bound.bits_per_dim(
    exact,
    clean,
    variance="small",
    clip=False,
    noise=lambda shape: torch.randn(shape, generator=noises, dtype=torch.float64),
)
package_total = (weights.repeat_interleave(REPEATS) / REPEATS * package.total).sum().item()
print(f"T = 64: L_T {L_T:.4f} + sum of L_t {sum(L_t):.4f} + L_0 {L_0:.4f} = {L_T + sum(L_t) + L_0:.4f} bits")
print(f"the package: {package_total:.4f} bits; entropy {true_entropy:.4f} bits")
course.expect(abs(L_T + sum(L_t) + L_0 - package_total) < 1e-6)
course.expect(2.785 < true_entropy < 2.795)

# %% [markdown]
# The bound of a perfect denoiser with 64 steps is above the entropy. What is the rest paid for? The paper writes the
# same bound in another way:
#
# $$L = D_{\rm KL}\big(q(x_T)\,\|\,p(x_T)\big)
# + \mathbb E_q \Big[\sum_{t\ge1} D_{\rm KL}\big(q(x_{t-1}|x_t)\,\|\,p_\theta(x_{t-1}|x_t)\big)\Big]
# + H(x_0) \tag{16}$$
#
# $H(x_0)$ is the entropy. The rest is 0 only if each *true* reverse step $q(x_{t-1}|x_t)$, without knowledge of $x_0$,
# has the form of our normal distribution. Lesson 1 (section 5) showed when it has: if the step is small. So the gap
# must close as $T$ grows.

# %%
for T in (16, 64) if QUICK else (16, 64, 256, 1024):
    L_T, L_t, L_0 = bound_of_pixel(schedules.geometric(T, 0.001))
    gap = L_T + sum(L_t) + L_0 - true_entropy
    print(f"T = {T:4}: {gap:.3f} bits above the entropy")
    if T == 16:
        gap_16 = gap
if not QUICK:
    course.expect(gap < 0.06 < 2 < gap_16)

# %% [markdown]
# ## 4. Which step costs the bits?
#
# Now with a network and real digits. The package trains a small U-Net that predicts $\varepsilon$ with the paper's
# linear schedule and $T = 1000$, on the 4,500 training images. The loss is the bound itself
# (`weighting="variational"`), and `times="importance"` trains more on those $t$ where the loss is large.

# %%
folder = tempfile.mkdtemp()
run = ancestral.train(
    "arrays",
    data=train,
    out=folder,
    steps=10 if QUICK else 400,
    batch_size=8 if QUICK else 64,
    width=16,
    patch=1,
    schedule="linear",
    target="eps",
    weighting="variational",
    times="importance",
    preview_steps=1,
    threads=1,
    trackers=("none",),
    progress=False,
)
model, schedule = run.model.denoiser, schedules.linear()
images = held_out[: 16 if QUICK else 128].float() / 127.5 - 1

# %% [markdown]
# A thousand evaluations of the network for each image would give all terms. The *sum* can be estimated from fewer:
# cut the times 1 to 1000 into strata, take one random $t$ in each, and multiply its term by the number of times in the
# stratum. The estimate is right on average. `bound.time_strata` makes strata that are narrow where $t$ is small.

# %%
strata = bound.time_strata(schedule.steps, 4 if QUICK else 60)[::-1]  # from T down to 1
draws = torch.Generator().manual_seed(0)
rate_of, error_of = [], []  # for each stratum: bits/dim of all its times together, and mean (x_0 − x̂_0)²
for stratum in strata:
    t = torch.randint(stratum[0], stratum[-1] + 1, (len(images),), generator=draws)
    eps = torch.randn(images.shape, generator=draws)
    x_t = schedule.add_noise(images, t, eps)
    with torch.no_grad():
        x_0_hat = model.predict(x_t, t).x0.clamp(-1, 1)  # no pixel lies outside
    error = (images - x_0_hat).square().flatten(1).mean(1)
    bits = 0.5 * (schedule.snr[t - 1] - schedule.snr[t]) * error / math.log(2)  # L_{t−1}, as in exercise 3
    if stratum == range(1, 2):
        mean = schedule.posterior(x_0_hat, x_t, 1, 0).mean
        mass = DiagonalGaussian(mean, schedule.posterior_variance(2, 1)).log_bins(images, 1 / 255, 1 - 0.5 / 255)
        bits = -mass.flatten(1).mean(1) / math.log(2)  # L_0
    rate_of.append(len(stratum) * bits.double())
    error_of.append(error.mean().item())

L_T = bound.prior_bits(schedule, images).mean().item()
total = torch.stack(rate_of).sum(0) + L_T
mean_rates = [rates.mean().item() for rates in rate_of]
print(f"L_T {L_T:.5f}, sum of L_t {sum(mean_rates[:-1]):.2f}, L_0 {mean_rates[-1]:.2f}")
print(f"bound: {total.mean():.2f} ± {total.std() / len(total) ** 0.5:.2f} bits/dim; ", end="")
print(f"histogram {histogram_bits:.2f}, zlib {zip_bits:.2f}")

same = bound.ELBO(variance="small", noise=lambda shape: eps).term(model, images, 1, 0, range(len(images)))
course.expect(torch.allclose(same.bits.double(), rate_of[-1], atol=1e-4))  # the package's L_0, for the same x_1
if not QUICK:
    course.expect(2.67 < total.mean() < 2.77)
    course.expect(0.03 < total.std() / len(total) ** 0.5 < 0.05)

# %% [markdown]
# The bound of the network is 2.75 ± 0.04 bits/dim (the error is that of the mean over 128 images). That is a third of a
# uniform guess, and less than the histogram and the ZIP algorithm need, but not by much. It is the size of a true
# lossless file. Less than a minute of training gives a small network; but the paper's model, too, is better in its
# pictures than in its likelihood, and the next figures show why.
#
# Where do the bits go? The left figure has the bits of a single step, the right one the sum of all steps from $T$
# down to $t$.

# %%
middle = [(stratum[0] + stratum[-1]) / 2 for stratum in strata]
a_step = [rate / len(stratum) for rate, stratum in zip(mean_rates, strata, strict=True)]
sent = torch.tensor([L_T, *mean_rates]).cumsum(0)  # sent[k]: bits/dim before the stratum k is sent
with plt.style.context("ancestral.render.figures"):
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6))
    left.loglog(middle, a_step, marker=".")
    left.set(xlabel="t", ylabel="bits/dim of the step")
    right.semilogx(middle, sent[1:], marker=".")
    right.set(xlabel="t", ylabel="bits/dim sent")
    figure.tight_layout()
    plt.show()
below_10 = sum(rate for rate, stratum in zip(mean_rates, strata, strict=True) if stratum[-1] <= 10)
early = sum(rate for rate, stratum in zip(mean_rates, strata, strict=True) if stratum[0] > 100) / total.mean().item()
share, last_share = below_10 / total.mean().item(), mean_rates[-1] / total.mean().item()
print(f"share of the bits that the steps above t = 100 cost: {early:.0%}")
print(f"share of the bits that the steps t = 1 to 10 cost: {share:.0%}; t = 1 alone, L_0: {last_share:.0%}")
if not QUICK:
    course.expect(0.09 < early < 0.15)
    course.expect(0.6 < share < 0.7)
    course.expect(0.35 < last_share < 0.42)

# %% [markdown]
# The last ten of a thousand steps cost about two thirds of all bits, and the very last one more than a third. These
# steps remove noise that nobody can see. The 900 steps above $t = 100$, in which the digit is decided, cost 12 %:
# to say *which digit* it is takes a few bits for the whole image, and to say how grey it is takes a few for each pixel.
#
# How much of $L_0$ is the network's fault? Put the true $x_0$ in the place of $\hat x_0$. What remains is the cost of
# the decoder itself: its standard deviation $\sqrt{\tilde\beta_2}$ is about as large as a bin is wide.

# %%
perfect = DiagonalGaussian(schedule.posterior(images, x_t, 1, 0).mean, schedule.posterior_variance(2, 1))
floor = -perfect.log_bins(images, 1 / 255, 1 - 0.5 / 255).mean().item() / math.log(2)
bins_wide = schedule.posterior_variance(2, 1) ** 0.5 * 127.5
print(f"L_0 with a perfect estimate: {floor:.2f} bits/dim, of {mean_rates[-1]:.2f} with the network's; ", end="")
print(f"the decoder's standard deviation is {bins_wide:.2f} bins")
if not QUICK:
    course.expect(0.68 < floor < 0.74)
    course.expect(0.99 < mean_rates[-1] < 1.09)
    course.expect(abs(bins_wide - 0.94) < 0.01)

# %% [markdown]
# So 0.71 of the 1.05 bits/dim are lost by the schedule, whatever the network: a normal distribution with a standard
# deviation of 0.94 bins spreads its mass over several grey levels. A schedule that begins with less noise (section 3
# used $\sigma_{\min} = 0.001$) does not lose them. The choice of the linear schedule was made for pictures.
#
# ### Rate and distortion
#
# The transmission may be broken off. The receiver then knows $x_t$, and has received the *rate*: all bits up to there.
# From $x_t$ it computes the best guess of the image, as in lesson 1:
#
# $$x_0 \approx \hat x_0
# = \frac{x_t - \sqrt{1-\bar\alpha_t}\,\varepsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}} \tag{15}$$
#
# The *distortion* is its root mean squared error on the scale 0 to 255, $127.5\,\sqrt{\|x_0-\hat x_0\|^2/D}$. The
# paper's figure 5 draws both: this is lossy compression, as in a JPEG of falling quality, and all qualities are in one
# file. Each column below is one held-out digit at a time $t$, with the bits per dimension that have been sent.

# %%
distortion = [127.5 * error**0.5 for error in error_of]
course.plot(sent[:-1], {"": distortion}, "rate in bits/dim", "distortion (RMSE, 0..255)", marker=".")
shown = (0, 1, 3) if QUICK else (1, 5, 10, 15, 20, 30, 45, 59)
film = []
for k in shown:
    t = strata[k][len(strata[k]) // 2]
    x_t = schedule.add_noise(images[:3], t, torch.randn(3, 1, 14, 14, generator=torch.Generator().manual_seed(k)))
    with torch.no_grad():
        film.append([*model.predict(x_t, t).x0.clamp(-1, 1)])
titles = [f"t = {strata[k][len(strata[k]) // 2]}\n{sent[k]:.2f}" for k in shown]
course.show([*zip(*film, strict=True)], titles)
for k in shown:
    print(f"t = {strata[k][len(strata[k]) // 2]:4}: {sent[k]:.2f} bits/dim sent, distortion {distortion[k]:.1f}")
if not QUICK:
    course.expect(0.4 < sent[30] < 0.5)
    course.expect(10 < distortion[30] < 13)
    course.expect(1.6 < sent[-2] < 1.76)
    course.expect(0.6 < distortion[-1] < 0.8)

# %% [markdown]
# Look at the column $t = 63$: after 0.44 of 2.75 bits/dim the digit is there, with an error of 12 grey levels. The
# remaining 84 % of the file describe what you do not see. At the end of all steps but the last, at 1.70 bits/dim, the
# error is 0.7 grey levels. The paper reports the same for CIFAR-10: 1.78 bits/dim of rate and 1.97 of the last step,
# with an error of 0.95 levels. Its authors conclude that diffusion models are excellent *lossy* compressors, and that
# $L_{\rm simple}$ makes better pictures than the bound, since it does not spend the network's effort on the last ten
# steps.
#
# The package computes all of this with `ancestral.evaluate(run.model, data=..., samples=False, likelihood=True)`, or
# `ancestral evaluate RUN --likelihood` on the command line.
#
# ## 5. The exact likelihood of the flow
#
# The bound is a bound. A second way gives the density *exactly*, for a model without randomness. Sampling with DDIM or
# Heun moves a point along a curve, and with infinitely small steps the curve solves a differential equation, the
# **probability flow** (Song et al., 2021). Write $a = \sqrt{\bar\alpha_t}$ and $b = \sqrt{1-\bar\alpha_t}$ for the
# scales of signal and noise, and $\hat\varepsilon$ for the noise that belongs to $\hat x_0$. From $x_t = a\,x_0 +
# b\,\varepsilon$:
#
# $$dx = \hat x_0\, da + \hat\varepsilon\, db .$$
#
# Each point of the data ends at exactly one point of the noise, and back. On the way, a small cloud of points around it
# is stretched or squeezed. The number of points in the cloud stays the same. So if its volume doubles, its density
# halves.
#
# ### Exercise 4: one step's change of the log density
#
# Take one step of length $h$ with a velocity $v$, $x' = x + h\,v(x)$. A smooth map multiplies small volumes by the
# absolute value of the determinant of its Jacobian matrix. Which matrix is this here, with
# $J_{ij} = \partial v_i/\partial x_j$ at $x$? Derive the exact change $\log p(x) - \log p'(x')$, where $p'$ is the
# density after the step. The velocity $v(x) = -x$ tests the sign: its step moves the points nearer together.
#
# PyTorch computes the rows of $J$ by `torch.autograd.grad`: with `v = velocity(x)` and `x.requires_grad_()`, the
# gradient of `v[:, i].sum()` has in row $n$ the derivatives of $v_i$ at point $n$. (Why is the sum over the points
# harmless? Because each point's velocity depends on this point alone.) `torch.linalg.slogdet` takes a batch of matrices
# and returns the sign and $\log|\det|$.


# %% tags=["exercise"]
def log_density_change(velocity, x, h):
    """log p(x) − log p'(x + h velocity(x)), (N,), for points x (N, D) and a function velocity: (N, D) → (N, D)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(8, log_density_change))
right_log_density_change = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def log_density_change(velocity, x, h):
#     x = x.detach().requires_grad_()
#     v = velocity(x)
#     rows = [torch.autograd.grad(v[:, i].sum(), x, retain_graph=True)[0] for i in range(x.shape[1])]
#     jacobian = torch.stack(rows, dim=1)
#     return torch.linalg.slogdet(torch.eye(x.shape[1], dtype=x.dtype) + h * jacobian).logabsdet
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The Jacobian matrix of the step is $I + hJ$. The number of points in a small cloud stays the
# same, and its volume is multiplied by $|\det(I + hJ)|$, so $p'(x') = p(x)/|\det(I + hJ)|$:
#
# $$\log p(x) = \log p'(x') + \log\big|\det(I + hJ)\big|, \qquad \log\det(I + hJ) \approx h\,\mathrm{tr}\,J
# \text{ for small } h.$$
# </details>
#
# The sum of the diagonal, $\mathrm{tr}\,J = \sum_i \partial v_i/\partial x_i$, is called the **divergence** of $v$.
# For infinitely small steps the sum becomes an integral and the approximation becomes exact. This is the
# *instantaneous change of variables*: $\log p(x_0) = \log p(x_T)$ plus the integral of the divergence from the data to
# the noise.
#
# ### Checked against the truth
#
# A mixture of three normal distributions in the plane has a density that we know, and an exact denoiser. Below is the
# whole method: Euler steps of $dx$ from $t = 0$ to $T$, the trace by automatic differentiation, and at the end the log
# density of the noise. At $t = 0$ there is no noise, so there $\hat x_0 = x$. The package's
# `probability_flow.log_likelihood` takes the mean of the velocities at both ends of a step (Heun's method), with twice
# as many evaluations.

# %%
three = {
    "means": torch.tensor([[-1.2, -0.5], [0.9, 1.0], [0.8, -1.1]], dtype=torch.float64),
    "stds": torch.tensor([0.25, 0.4, 0.15]),
    "weights": torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64),
}


def by_euler(denoiser, x):
    """log p(x) of points (N, 2) by Euler steps of the probability flow."""
    schedule, change = denoiser.schedule, torch.zeros(len(x), dtype=x.dtype)
    for t in range(schedule.steps):
        (a, b), (a_next, b_next) = schedule.at(t), schedule.at(t + 1)
        x = x.detach().requires_grad_()
        x_0_hat, eps_hat = (denoiser.predict(x, t).x0, denoiser.predict(x, t).eps) if t > 0 else (x, 0 * x)
        dx = x_0_hat * (a_next - a) + eps_hat * (b_next - b)
        change += sum(torch.autograd.grad(dx[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(2))
        x = (x + dx).detach()
    return -0.5 * x.square().sum(1) - math.log(2 * math.pi) + change  # log N(x_T; 0, I) in the plane


z = torch.randn(20, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
points = (three["means"] + three["stds"][:, None] * z).reshape(60, 2)  # 20 of each component
truth = oracle.Mixture(schedules.flow(), **three).log_density(points, 0)
counts_of_steps, euler, heun = (25, 50) if QUICK else (25, 50, 100, 200, 400), [], []
for count in counts_of_steps:
    denoiser = oracle.Mixture(schedules.flow(count), **three)
    euler.append((by_euler(denoiser, points) - truth).abs().max().item())
    heun.append((probability_flow.log_likelihood(denoiser, points) - truth).abs().max().item())
course.plot(
    counts_of_steps,
    {"Euler, by hand": euler, "the package": heun},
    "steps",
    "largest error in nats",
    "loglog",
    marker=".",
)
print("largest error of log p in nats:")
for count, first, second in zip(counts_of_steps, euler, heun, strict=True):
    print(f"{count:4} steps: Euler {first:.4f}, the package {second:.6f}")
if not QUICK:
    course.expect(1.7 < euler[-2] / euler[-1] < 2.4)
    course.expect(3.3 < heun[-2] / heun[-1] < 4.7)

# %% [markdown]
# Twice the steps halve the error of Euler's method and quarter that of the package's: orders 1 and 2. Both go to the
# truth, which was computed without any flow. Here is the density over the plane, as the flow finds it and as it is.

# %%
side = torch.linspace(-2.2, 2.2, 31 if QUICK else 61, dtype=torch.float64)
plane = torch.cartesian_prod(side, side)
density = probability_flow.log_likelihood(oracle.Mixture(schedules.flow(50), **three), plane).exp()
true_density = oracle.Mixture(schedules.flow(50), **three).log_density(plane, 0).exp()
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 2, figsize=(5, 2.5))
    for axis, values_of, title in zip(axes, (density, true_density), ("by the flow, 50 steps", "exact"), strict=True):
        axis.imshow(values_of.reshape(len(side), -1).T.numpy(), origin="lower", extent=(-2.2, 2.2, -2.2, 2.2))
        axis.set(title=title)
        course.frame(axis)
    figure.tight_layout()
    plt.show()
mass = density.sum().item() * (side[1] - side[0]).item() ** 2
print(f"integral of the flow's density over the square: {mass:.3f}")
course.expect(0.98 < mass < 1.02)

# %% [markdown]
# ### Hutchinson's estimate
#
# In the plane the trace takes two backward passes. An image of 196 pixels needs 196 for each step, and that is too
# much. There is an estimate that needs **one**. Take a random vector $v$ of independent signs, each −1 or +1 with
# probability ½, a *probe*. A backward pass computes $v^\top J$ at once, whatever the number of dimensions: it is the
# gradient of $\sum_i v_i\,\mathrm{velocity}_i(x)$.
#
# ### Exercise 5: Hutchinson's estimate
#
# Which number, made of $v^\top J$ and $v$, is $\mathrm{tr}\,J$ on average? Begin with $\mathbb E[v_i v_j]$ for $i = j$
# and for $i \ne j$. A diagonal matrix $J$ tests your answer: there each single probe gives the trace exactly. Then
# write the estimate of the divergence of `velocity` at points `x`, as the mean over the given probes.


# %% tags=["exercise"]
def hutchinson(velocity, x, probes):
    """Estimate the divergence (N,) of velocity: (N, D) → (N, D) at x (N, D), from signs `probes` (K, N, D)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(8, hutchinson))
right_hutchinson = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def hutchinson(velocity, x, probes):
#     x = x.detach().requires_grad_()
#     field = velocity(x)
#     products = [torch.autograd.grad((probe * field).sum(), x, retain_graph=True)[0] * probe for probe in probes]
#     return torch.stack(products).sum(2).mean(0)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# $$\mathbb E\big[v^\top J\,v\big] = \sum_{ij} J_{ij}\, \mathbb E[v_i v_j] = \sum_i J_{ii} = \mathrm{tr}\,J,$$
#
# since $v_i v_i = 1$, and $v_i v_j$ is 0 on average for $i \ne j$.
# </details>
#
# The estimate is unbiased, and its error falls as $1/\sqrt K$ with the number $K$ of probes. Measured on the points
# above, against the exact trace with the same 50 steps, and then with the functions of exercises 4 and 5 for one
# divergence, at the time $t = 25$:

# %%
denoiser = oracle.Mixture(schedules.flow(50), **three)
many = points[:60].repeat(5, 1)
exact_trace = probability_flow.log_likelihood(denoiser, many)
errors = {}
for probes in (1, 4, 16):
    estimate = probability_flow.log_likelihood(denoiser, many, probes=probes, seed=1)
    errors[probes] = (estimate - exact_trace).square().mean().sqrt().item()
    print(f"{probes:3} probes: error {errors[probes]:.3f} nats (RMS), mean {(estimate - exact_trace).mean():+.3f}")
course.expect(1.6 < errors[1] / errors[4] < 2.5)
course.expect(1.6 < errors[4] / errors[16] < 2.5)


def velocity(x):
    """The derivative of x_t with respect to t/T, of this schedule at t = 25."""
    x_0_hat, eps_hat = denoiser.predict(x, 25)
    return eps_hat - x_0_hat


generator, short = torch.Generator().manual_seed(2), 1e-5
divergence = right_log_density_change(velocity, many, short) / short
for probes in (1, 4, 16):
    signs = torch.randint(2, (probes, *many.shape), generator=generator).to(many) * 2 - 1
    error = (right_hutchinson(velocity, many, signs) - divergence).square().mean().sqrt()
    print(f"{probes:3} probes: error of one divergence {error:.3f} (RMS)")

# %% [markdown]
# Four times as many probes halve the error, and the mean error is near 0: the estimate is unbiased. For a mean over
# many images one probe each is enough, since the errors average out. The log density of a *single* image needs more
# probes.
#
# ## 6. Likelihood is no measure of looks
#
# Is the model with more likelihood the one with better pictures? Theis, van den Oord and Bethge (2016) gave an argument
# that you can check to the last digit. Take a good model $p$, and spoil it: with probability 99 % it returns pure
# noise, of a density $u$, and with 1 % a sample of $p$. The spoilt model has the density
# $p' = 0.01\,p + 0.99\,u \ge 0.01\,p$, so
#
# $$-\log p'(x) \le -\log p(x) - \log 0.01 = -\log p(x) + 4.61 \text{ nats}.$$
#
# At most 4.61 nats, *for the whole image*. Per dimension of a CIFAR-10 image that is
# $4.61/(3072 \ln 2) = 0.002$ bits. Spoil our network in this way, and the bound grows by at most 0.034 bits/dim: the
# spoilt model is still better than the ZIP algorithm, but of 100 samples 99 are noise.
#
# And there is the reverse. A *copier* returns training images with a little noise that nobody sees: a mixture of 4,500
# narrow normal distributions, one around each training image. Its samples are perfect, and a held-out image is
# nearly impossible for it.

# %%
network_bits, limit = total.mean().item(), -math.log(0.01) / (196 * math.log(2))
centres = train.double() / 127.5 - 1
copier = oracle.Mixture(schedules.linear(), centres, torch.full((4500,), 0.02))
noise = (torch.rand(images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5) * 2 / 255
log_density = copier.log_density(images.double() + noise, 0)  # of dequantised images
copier_bits = right_bits_per_dim(log_density, 196).mean().item()
print(
    f"network {network_bits:.2f}, spoilt <= {network_bits + limit:.2f}, copier {copier_bits:.0f}, zlib {zip_bits:.2f}"
)
course.expect(abs(limit - 0.034) < 0.0005)
course.expect(abs(4.61 / (3072 * math.log(2)) - 0.002) < 0.0005)
if not QUICK:
    course.expect(network_bits + limit < zip_bits)
    course.expect(130 < copier_bits < 145)

choice = torch.Generator().manual_seed(2)
picks, z = torch.randint(4500, (10,), generator=choice), torch.randn(10, 1, 14, 14, generator=choice)
sampled = run.model.sample(10, sampler="ddim", steps=3 if QUICK else 50).float() / 127.5 - 1
course.show(
    [sampled, torch.rand(10, 1, 14, 14, generator=choice) * 2 - 1, centres[picks] + 0.02 * z],
    labels=["network", "spoilt", "copier"],
)

# %% [markdown]
# The first two rows have nearly the same likelihood, and the last row, the best to look at, has by far the worst: 138
# bits/dim, where a uniform guess needs 8. (The network's own digits are poor. It was trained for a minute, and for the
# bound, which cares most about the last ten steps.) Likelihood tells whether a model gives *every* image of the data a
# fair probability. It hardly notices samples that are bad, and it is merciless to images that the model left out.
#
# What you have now: a unit in which any two models of the same data can be compared, two ways to compute it, and a
# warning. Use the likelihood to find what a model does not know, and to compare models with each other on data that
# neither has seen. To judge pictures, measure pictures: lesson 9 does. Ask also *which* number is reported: bound or
# flow, $\beta_t$ or $\tilde\beta_t$, dequantised or discretised, training or held-out images. Two numbers with
# different answers cannot be compared.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **More noises.** In section 3, `REPEATS = 50 if QUICK else 400` → `REPEATS = 50 if QUICK else 1600`. The error of
#   the averages halves. Some seconds more.
# * **Uniform times.** In section 4, `times="importance"` → `times="uniform"`. Training sees the times of large losses
#   less often, and its gradients are noisier. Compare the bits/dim. As long as before.
# * **Twice the training.** In section 4, `steps=10 if QUICK else 400` → `steps=10 if QUICK else 800`. The bound falls.
#   See at which $t$ it falls most. A minute more.
