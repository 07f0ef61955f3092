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
# # Latents
#
# Most of the numbers of an image say little. An *autoencoder* makes fewer numbers of it, the **latents** $z$, and an
# image of them again. A diffusion model of $z$ is cheaper than one of the image, and nothing in the theory changes:
# $z$ takes the place of $x_0$. This is *latent diffusion* ([Rombach et al.,
# 2022](https://arxiv.org/abs/2112.10752)), and nearly all large models of images are made so.
#
# What does it take, and what is lost? First everything is linear and normal, so that each answer is a formula: the best
# linear autoencoder, the floor under every model of its latents, what the size of $z$ does to the schedule, and why
# noise is added to $z$ while the autoencoder is trained. Then the package's autoencoder is trained, and a model of its
# latents.
#
# You should have done lessons 8 and 12. The lesson runs in about two minutes on two CPU cores.

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
from pathlib import Path

import torch
from torch.nn import functional as F

import ancestral
import ancestral_course as course
from ancestral import data, schedules
from ancestral.nets.autoencoder import NOISE

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
RUNS = Path(tempfile.mkdtemp())  # run folders of this lesson
_ = torch.manual_seed(0)
images = data.load("digits").items.float() / 127.5 - 1  # (5000, 1, 28, 28) in [−1, 1]
images = images[torch.randperm(len(images))]
x = images.flatten(1).double()  # as vectors of D = 784 numbers
D = x.shape[1]

# %% [markdown]
# ## 1. The best linear autoencoder
#
# An encoder takes $k$ numbers out of $D$, $z = W^\top (x - m)$, and the decoder returns $\hat x = m + W z$. $W$ is a
# matrix $(D, k)$ with orthonormal columns, $W^\top W = I$. Which $m$ and $W$ lose least? ($m$ may be moved along the
# plane of $W$, and loses the same. Take the mean of the data.)
#
# ### Exercise 1: principal components
#
# Find the $m$ and $W$ with the least mean of $\|x - \hat x\|^2$ over the data. Why is $m$ the mean, for any $W$? Then
# write the error as $\mathbb E\|x - m\|^2$ less what $z$ carries, $\mathbb E\|z\|^2 = \sum_i w_i^\top \Sigma\, w_i$
# with the covariance $\Sigma$. Which orthonormal $w_i$ make that largest? (`torch.linalg.eigh` sorts eigenvalues from
# the smallest up.)


# %% tags=["exercise"]
def principal(x, k):
    """The mean m (D,) and W (D, k), orthonormal columns, of the best linear autoencoder of data x (N, D)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(17, principal))
right_principal = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# The part of $x - m$ that $W$ cannot write is orthogonal to it. Its mean square is least for the mean of the data. The
# sum of $w_i^\top\Sigma\,w_i$ is largest for the eigenvectors of the $k$ largest eigenvalues.
#
# ```python
# def principal(x, k):
#     m = x.mean(0)
#     covariance = (x - m).T @ (x - m) / len(x)
#     return m, torch.linalg.eigh(covariance).eigenvectors[:, -k:]
# ```
#
# </details>
#
# With the eigenvalues $\lambda_1 \ge \lambda_2 \ge \dots$ of $\Sigma$ and their eigenvectors as columns of $W$, $z$ has
# independent numbers of variance $\lambda_i$ (for normal data), and the error is the sum of the eigenvalues that are
# left out:
#
# $$\mathbb E\,\|x - \hat x\|^2 = \sum_{i > k} \lambda_i . \tag{i}$$

# %%
m = x.mean(0)
covariance = (x - m).T @ (x - m) / len(x)
values, vectors = (part.flip(-1) for part in torch.linalg.eigh(covariance))  # the largest first, for (i)
values = values.clamp(min=0)  # some pixels are always black
kept, rows = (8, 32, 128), [images[:8]]
for k in kept:
    center, W = right_principal(x, k)
    decoded = center + (x - center) @ W @ W.T
    error = (x - decoded).square().sum(1).mean()
    print(f"k = {k:3}: {values[:k].sum() / values.sum():.0%} of the variance; error {error:.2f} of {values.sum():.1f}")
    course.expect(torch.isclose(error, values[k:].sum()))
    rows.append(decoded[:8].reshape(-1, 1, 28, 28).float())
course.expect(0.93 < values[:128].sum() / values.sum() < 0.95)
course.show(rows, labels=["item", *(f"k = {k}" for k in kept)], size=0.7)

# %% [markdown]
# A sixth of the numbers has 94 % of the variance. What is left out are fine strokes.
#
# ## 2. A model of z is a model of the part that is kept
#
# The noise $\varepsilon$ has the same variance in all directions, so $W^\top\varepsilon$ is standard normal noise of
# $k$ numbers. If $x_t = a x_0 + b\,\varepsilon$, then $W^\top(x_t - a m) = a z_0 + b\,W^\top\varepsilon$: **the forward
# process of $z$ is that of $x$, seen through the encoder**, with the same schedule. For normal data the best estimates
# agree as well, because the numbers of $z$ are independent of those that are left out. The cell computes both: once
# with all $D$ numbers, $\mathbb E[x_0|x_t] = m + \Sigma a\,(a^2\Sigma + b^2)^{-1}(x_t - a m)$, once with $k$.

# %%
schedule, k, t = schedules.cosine(), 32, 400
(a, b), W = schedule.at(t), vectors[:, :k]
x_t = a * x[:100] + b * torch.randn(100, D, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
gain = a * covariance @ torch.linalg.inv(a**2 * covariance + b**2 * torch.eye(D, dtype=x.dtype))
from_pixels = (x_t - a * m) @ gain @ W  # encoded estimates of x_0
z_t = (x_t - a * m) @ W
from_latents = a * values[:k] / (a**2 * values[:k] + b**2) * z_t
print(f"largest difference of both estimates: {(from_pixels - from_latents).abs().max():.1e}")
course.expect(torch.allclose(from_pixels, from_latents, atol=1e-9))

# %% [markdown]
# ### On paper: the floor
#
# What is sampled in latents passes through the decoder, and cannot leave what the decoder can write. Show that for
# *every* decoder and every model of its latents, the squared Wasserstein-2 distance $W_2^2$ of the samples to the data
# is at least
#
# $$\mathbb E_x \min_z \|x - \mathrm{dec}(z)\|^2 ,$$
#
# and that a perfect model of the latents of section 1 attains it. ($W_2^2$ is the least mean of $\|x - y\|^2$ over all
# ways to pair data $x$ with samples $y$.)
#
# <details><summary>Derivation</summary>
#
# In any pairing, $y$ is the decoder's image of some $z$, so $\|x - y\|^2 \ge \min_z\|x - \mathrm{dec}(z)\|^2$ for each
# pair. The mean over the pairs keeps the inequality, and so does the least over all pairings.
#
# The linear decoder: the minimum is the distance to the plane through $m$, whose mean square is (i). A perfect model of
# $z$ has samples that are distributed as the latents of the data. Pair each item with its own reconstruction: the mean
# of $\|x - \hat x\|^2$ is (i), so the bound is attained.
# </details>
#
# So **the error of the reconstructions is a floor under every distance of samples**, before the model is trained.
# `train --latent 4` prints it when the autoencoder is ready: the PSNR of reconstructions, and their KID. For normal
# distributions $W_2$ is the Fréchet distance, so (i) can be checked with the formula behind FID:

# %%
perfect = W @ torch.diag(values[:k]) @ W.T  # the covariance of decoded samples
roots = torch.linalg.eigvals(covariance @ perfect).real.clamp(min=0).sqrt()
frechet = covariance.trace() + perfect.trace() - 2 * roots.sum()
print(
    f"Fréchet distance of decoded samples to the data: {frechet:.4f}; error of reconstructions {values[k:].sum():.4f}"
)
course.expect(torch.isclose(frechet, values[k:].sum(), rtol=1e-4))

# %% [markdown]
# ## 3. The size of z
#
# Schedules are made for data of about unit size. The latents of an autoencoder may have any standard deviation $s$. The
# first latent diffusion models multiplied theirs by 0.18215 for this reason.
#
# ### Exercise 2: the schedule for latents of another size
#
# For normal numbers of deviation $s$, how far from $z_0$ is the best estimate from $z_t$? Divide the mean square error
# by $s^2$. It should be at each $t$ what it is for numbers of deviation 1 with the given schedule. Which number has to
# be added to $\ln\mathrm{SNR}(t)$, where $\mathrm{SNR} = a^2/b^2$? (Lesson 2 has the posterior of normal data. It is
# the same for all $t$.)


# %% tags=["exercise"]
def log_snr_shift(s):
    """What is added to ln SNR for latents of standard deviation s, (B,): a schedule as for deviation 1."""
    ...  # replace this line by yours


# %%
print(course.check(17, log_snr_shift))

# %% [markdown]
# <details><summary>Solution</summary>
#
# Precisions add: the error is $1/(1/s^2 + \mathrm{SNR})$. Divided by $s^2$ it is $1/(1 + s^2\,\mathrm{SNR})$, which
# depends on $s^2\,\mathrm{SNR}$ alone. So the SNR is divided by $s^2$.
#
# ```python
# def log_snr_shift(s):
#     return -2 * s.log()
# ```
#
# </details>
#
# Large latents need more noise to be hidden, small ones less. To divide $z$ by $s$ is the same. The
# package does neither: its encoder ends with a tanh, which bounds $z$ to $[-1, 1]$, and the noise of the next section
# makes it use that interval. The deviation is then 0.5 to 0.8, as that of pixels.
#
# ## 4. Noise on z
#
# A sample of $z$ is never exact. If the decoder is steep, a small error of $z$ becomes a large one of the image. So the
# autoencoder is trained with noise on $z$: it has to decode $z + \sigma n$, $n$ standard normal ($\sigma = 0.05$ here;
# a *variational* autoencoder learns a $\sigma$ for each number, and has the same reason). What does this change? Look
# at one number $x$ of mean 0 and variance $\lambda$. The encoder multiplies it by some $g > 0$, and $p = g^2\lambda$ is
# the *power* of $z$.
#
# ### Exercise 3: the decoder of a noisy latent
#
# Find the factor $d$ with the least error $\mathbb E\,(x - d\,(g x + \sigma n))^2$, and this error. Write both with
# $\lambda$, $p$ and $\sigma$. Without noise the error is 0, and without power it is $\lambda$.


# %% tags=["exercise"]
def noisy_decoder(variance, power, sigma):
    """The factor d and the error, each (B,), for numbers of a variance (B,), latents of a power (B,), and a sigma."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(17, noisy_decoder))
right_noisy_decoder = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# The derivative with respect to $d$ is 0 at $d = \mathbb E[x\tilde z]/\mathbb E[\tilde z^2] = g\lambda/(p + \sigma^2)$
# with $\tilde z = gx + \sigma n$, and $g\lambda = \sqrt{\lambda p}$. The error is $\lambda - d\,g\lambda$.
#
# ```python
# def noisy_decoder(variance, power, sigma):
#     d = (variance * power).sqrt() / (power + sigma**2)
#     return d, variance * sigma**2 / (power + sigma**2)
# ```
#
# </details>
#
# For each number the error is $\lambda\sigma^2/(p + \sigma^2)$: more power, less error. The latents are bounded, so the
# total power is limited. Where should it go?
#
# ### Exercise 4: where the power goes
#
# Numbers of variances $\lambda_i$ share a total power $P$. Find the $p_i \ge 0$ with the least total error. (The answer
# is called *water-filling*.) Test: two equal variances share equally, and with little power the largest has all.
#
# <details><summary>Hint</summary>
#
# At the optimum, a little power moved from one number to another changes nothing, unless one of them has none. So the
# derivative of the error with respect to $p_i$ is the same for all that have power. Which multiple of
# $\sqrt{\lambda_i}$ is then $p_i + \sigma^2$? The sum decides. Which numbers get none? Sort, and try 1, 2, 3 … of the
# largest.
#
# </details>


# %% tags=["exercise"]
def powers(variances, total, sigma):
    """The powers (k,), whose sum is total, with the least error for numbers of these variances (k,), and a sigma."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(17, powers))
right_powers = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# The derivative is $-\lambda_i\sigma^2/(p_i + \sigma^2)^2$, the same for all: $p_i + \sigma^2 = c\sqrt{\lambda_i}$. For
# the $j$ largest, $\sum(p_i + \sigma^2) = P +
# j\sigma^2 = c\sum\sqrt{\lambda_i}$. The right $j$ is the largest for which the smallest of them has $p > 0$.
#
# ```python
# def powers(variances, total, sigma):
#     roots = variances.sqrt().sort(descending=True).values
#     count = torch.arange(1, len(roots) + 1)
#     c = (total + count * sigma**2) / roots.cumsum(0)  # for the 1, 2, 3 … largest
#     j = int((c * roots > sigma**2).nonzero().max())
#     return (c[j] * variances.sqrt() - sigma**2).clamp(min=0)
# ```
#
# </details>
#
# Compare with an autoencoder that does not know the formula: the powers are parameters, and gradient descent makes the
# error small. Each number then carries $\frac12\log_2(1 + p/\sigma^2)$ bits through the noise.


# %%
spectrum, sigma = values[:256], 0.3
for total in (2.0, 32.0):
    theta = torch.zeros(len(spectrum), dtype=x.dtype, requires_grad=True)
    optimiser = torch.optim.Adam([theta], 0.1)
    for _ in range(50 if QUICK else 1500):
        optimiser.zero_grad()
        loss = (spectrum * sigma**2 / (total * theta.softmax(0) + sigma**2)).sum()
        loss.backward()
        optimiser.step()
    p = right_powers(spectrum, total, sigma)
    least = right_noisy_decoder(spectrum, p, sigma)[1].sum()
    bits = 0.5 * torch.log2(1 + p / sigma**2).sum()
    print(f"P = {total:4}: {int((p > 0).sum()):3} of 256 numbers have power, {bits:.0f} bits", end="; ")
    print(f"error {least:.3f} by the formula, {loss:.3f} learned")
    if not QUICK:
        course.expect(torch.isclose(loss, least, rtol=1e-3))
course.plot(
    torch.arange(1, 257),
    {f"P = {total:g}": right_powers(spectrum, total, sigma) for total in (2.0, 32.0)},
    "number, by its variance",
    "power",
)

# %% [markdown]
# With little power, only the numbers of large variance are written at all. The noise decides which detail is worth its
# place, and $z$ uses the interval that it has. Both are good for the model that has to learn $z$: nothing in it is
# finer than $\sigma$.
#
# ## 5. A network in the place of W
#
# Real images are no normal distribution, and their blocks have much in common. So encoder and decoder are small
# convolutional networks. We take digits of 64 × 64 pixels. `latent=4` makes the sides four times shorter, with four
# channels: 1,024 numbers of 4,096. The run trains the autoencoder first, then the model of its latents.

# %%
large = F.interpolate(images, size=64, mode="bilinear").clamp(-1, 1)
both = {"progress": False, "trackers": (), "threads": 1, "batch_size": 32, "preview_steps": 1, "snapshots": 0}
settings = {"latent": 4, "latent_width": 32, "latent_steps": 5 if QUICK else 300, "steps": 5 if QUICK else 300}
run = ancestral.train("arrays", large, out=RUNS / "latent", **both, **settings)
spec = run.model.spec
print(f"x_0 has {math.prod(spec.shape):,} numbers, z has {math.prod(spec.x_shape):,}: {spec.x_shape}")
course.expect(spec.x_shape == (4, 16, 16))


def psnr(items, decoded):
    """The peak signal-to-noise ratio of reconstructions in dB, for values from -1 to 1."""
    return float(-10 * torch.log10((decoded - items).square().mean() / 4))


def linear_blocks(items, size=4, k=4):
    """Reconstructions by the best linear autoencoder of blocks: k numbers of each block of size × size pixels."""
    blocks = F.unfold(items, size, stride=size).double()  # (N, size², positions)
    rows = blocks.transpose(1, 2).flatten(0, 1)
    mean, basis = rows.mean(0), torch.linalg.eigh(rows.T.cov()).eigenvectors[:, -k:]
    decoded = (mean + (rows - mean) @ basis @ basis.T).reshape(len(items), -1, size**2).transpose(1, 2)
    return F.fold(decoded.float(), items.shape[2:], size, stride=size)


noise = torch.rand(200, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
z = spec.encode(large[:200])
decoded, of_noise = spec.decode(z), spec.decode(spec.encode(noise))
by_blocks = linear_blocks(large[:200])
print(
    f"digits: {psnr(large[:200], decoded):.1f} dB; 4 principal components of each block: "
    f"{psnr(large[:200], by_blocks):.1f} dB"
)
print(f"noise: {psnr(noise, of_noise):.1f} dB. z has the deviation {z.std():.2f}")
shown = {"item": large, "decoded": decoded, "blocks": by_blocks, "z": z[:, :1], "noise": noise}
course.show([items[:8] for items in shown.values()] + [of_noise[:8]], labels=[*shown, "decoded"], size=0.7)
if not QUICK:
    course.expect(psnr(large[:200], decoded) > 28)
    course.expect(psnr(noise, of_noise) < 12)
    course.expect(0.5 < z.std() < 0.9)

# %% [markdown]
# The row "z" is the first of its four channels. Digits come back, noise does not: the autoencoder has spent its numbers
# on what its data have in common, and what it cannot write, no sample has. After so short a run it is about as good as
# the best linear map of blocks, on these smooth strokes. But that map knows nothing of noise on $z$, or of neighbours.
#
# Is $z$ as robust as section 4 promises? Add noise to the latents of digits, and decode.

# %%
rows, generator = [], torch.Generator().manual_seed(0)
for size in (0.0, NOISE, 0.2, 0.5):
    disturbed = spec.decode(z + size * torch.randn(z.shape, generator=generator))
    rows.append(disturbed[:8])
    if size == NOISE and not QUICK:
        course.expect(psnr(large[:200], decoded) - psnr(large[:200], disturbed) < 3)
    print(f"noise of {size} on z: {psnr(large[:200], disturbed):.1f} dB")
course.show(rows, labels=["none", f"{NOISE}", "0.2", "0.5"], size=0.7)

# %% [markdown]
# ## 6. Samples
#
# The model of the latents was trained in the same run. Sampling, editing and evaluation decode by themselves. Beside it
# a model of the pixels, trained for as many steps.

# %%
pixels = ancestral.train("arrays", large, out=RUNS / "pixels", **both, steps=settings["steps"])
samples = {"latents": run.model.sample(8, steps=25), "pixels": pixels.model.sample(8, steps=25)}
course.show(list(samples.values()), labels=list(samples), size=0.7)
for name, one in (("latents", run), ("pixels", pixels)):
    parameters = sum(p.numel() for p in one.model.diffusion.net.parameters())
    print(f"{name}: {one.model.spec.x_shape}, patch {one.model.config.net.patch}, {parameters:,} parameters")

# %% [markdown]
# With 64 × 64 pixels a network on the pixels themselves is affordable: the package folds blocks of pixels into channels
# (a *patch*, lesson 12), which is a linear autoencoder that loses nothing. At 256 × 256 the latents have 64 × 64
# positions, and a step on them takes as long as one on 64 pixels. The page *Latents* has measured times.
#
# ## 7. What to take
#
# | question | answer |
# |---|---|
# | what is lost? | at least the error of the reconstructions, for every model: look at them first |
# | which schedule? | that of pixels, if $z$ has their size; else $\ln\mathrm{SNR} - 2\ln s$ |
# | why noise on $z$? | the decoder forgives small errors, and detail of little variance is not written |
# | when? | from 128 pixels on; not for text, line drawings and measurements, whose fine detail counts |
# | what is not possible? | bits/dim of the image: the decoder gives no probabilities |
#
#     ancestral doctor photos/ --image-size 256 --latent 4      # time and memory of both phases
#     ancestral train --data photos/ --image-size 256 --latent 4
#     ancestral train --data photos/ --image-size 256 --latent runs/folder --net transformer   # the same autoencoder

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **More numbers.** In section 2, `schedules.cosine(), 32, 400` → `schedules.cosine(), 128, 400`. The floor falls to a
#   quarter. Seconds.
# * **More noise on z.** In section 4, `spectrum, sigma = values[:256], 0.3` → `spectrum, sigma = values[:256], 1.0`.
#   How many numbers are written at $P = 2$? Seconds.
# * **A larger factor.** In section 5, `settings = {"latent": 4,` → `settings = {"latent": 8,`. A quarter as many
#   positions with eight channels: 512 numbers. What happens to thin strokes? As long as before.
