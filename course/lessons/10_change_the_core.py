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
# # Change the core
#
# Every method of the last lessons was a choice of five parts: a *network*, a *schedule*, a *target*, an *objective* and
# a *sampler*. In this lesson you replace each of them by one of your own. Nothing in the package has to be edited for
# this: a part is a value or a small class that you hand to `ancestral.train`, `sample` or `evaluate`. You know all the
# ideas already. What is new is where they meet, which checks protect you, and how to find out that a new part is right.
#
# You should have done lessons 5 (history) and 6 (samplers). This lesson trains four small models, and some tiny ones,
# and runs in about two minutes on two CPU cores.

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
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

import ancestral
import ancestral_course as course
from ancestral import Diffusion, objectives, oracle, randomness, samplers, schedules, targets
from ancestral.errors import InputError
from ancestral.nets.conditioning import timestep_embedding
from ancestral.objectives import Objective
from ancestral.samplers import Move, Sampler, Spacing
from ancestral.schedules import Schedule
from ancestral.targets import Denoiser, Prediction, Target

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
SHORT = {"steps": 10, "batch_size": 8, "preview_steps": 1, "threads": 1} if QUICK else {}
quiet = {"progress": False, "trackers": ()}  # no progress bars, and no TensorBoard
RUNS = Path(tempfile.mkdtemp())  # run folders of this lesson
_ = torch.manual_seed(0)


def refused(action):
    """The message of the InputError that action() raises."""
    try:
        action()
    except InputError as error:
        return str(error).replace(str(RUNS), "RUNS")
    raise AssertionError("this was not refused")


# %% [markdown]
# ## 1. The core, read together
#
# ### Two rows
#
# A **schedule** says how $x_t$ is made of the clean image $x_0$ and the noise $\varepsilon \sim \mathcal N(0, I)$. It
# is two curves over the times $t = 0, \dots, T$: the *signal* $a_t$ and the *noise* $b_t$. (In the DDPM paper
# $a_t = \sqrt{\bar\alpha_t}$ and $b_t = \sqrt{1-\bar\alpha_t}$; we write $a_t$ and $b_t$, since other schedules have
# other curves.) A **target** says what the network shall predict, with two more numbers $p$ and $q$, which may depend
# on $a_t$ and $b_t$:
#
# $$\begin{pmatrix} x_t \\ \text{target} \end{pmatrix} =
# \begin{pmatrix} a_t & b_t \\ p & q \end{pmatrix} \begin{pmatrix} x_0 \\ \varepsilon \end{pmatrix}$$
#
# For example $p = 0$, $q = 1$ is DDPM's choice, $\varepsilon$ itself. At sampling time we know the left side, $x_t$ and
# the network's output, and want the right side. That is a system of two linear equations with two unknowns, with the
# *determinant* $d = a_t q - b_t p$ and the solution
#
# $$\hat x_0 = \frac{q\, x_t - b_t \cdot \text{output}}{d}, \qquad
# \hat\varepsilon = \frac{a_t \cdot \text{output} - p\, x_t}{d}$$
#
# Every sampler, every loss and every likelihood of the package gets $\hat x_0$ and $\hat\varepsilon$ from this one
# function, `Target.solve`. Here it is by hand for the target v ($p = -b_t$, $q = a_t$).

# %%
schedule = schedules.cosine()
a, b = schedule.at(700)  # a_700 and b_700, two floats
x_0, eps = torch.randn(2, 4, 1, 8, 8)
x_t = a * x_0 + b * eps  # the first row
v = -b * x_0 + a * eps  # the second row
d = a * a - b * (-b)
by_hand = (a * x_t - b * v) / d, (a * v + b * x_t) / d
by_package = targets.V.solve(x_t, v, a, b)
print(f"a = {a:.3f}, b = {b:.3f}, d = {d:.3f}")
print(f"recovered x_0 and ε are off by {(by_hand[0] - x_0).abs().max():.0e}, {(by_hand[1] - eps).abs().max():.0e}")
course.expect(torch.allclose(by_hand[0], by_package.x0, atol=1e-5))
course.expect(torch.allclose(by_hand[1], by_package.eps, atol=1e-5))
course.expect(torch.allclose(by_package.x0, x_0, atol=1e-5))

# %% [markdown]
# ### A denoiser
#
# A **denoiser** is any object that has a `schedule` and a method `predict(x_t, t)` that returns a `Prediction`: the
# pair $\hat x_0$, $\hat\varepsilon$ with $x_t = a_t \hat x_0 + b_t \hat\varepsilon$. It needs no base class and no
# network. Take data that are one number, $-1$ or $+1$, equally likely. By Bayes' rule the mean of $x_0$ given $x_t$ is
# $\tanh(a_t x_t / b_t^2)$. This is the denoiser that a perfect network would be:


# %%
class PlusMinusOne:
    """The exact denoiser of data that are −1 or 1."""

    def __init__(self, schedule):
        self.schedule = schedule

    def predict(self, x_t, t, **condition):
        a, b = self.schedule.at(t)
        x0 = torch.tanh(a * x_t / b**2)
        return Prediction(x0, (x_t - a * x0) / b)  # ε̂ from the first row


exact = PlusMinusOne(schedules.flow())  # a = 1 − t/T, b = t/T
packaged = oracle.Empirical(exact.schedule, torch.tensor([[-1.0], [1.0]]))  # the same for any finite data set
x_t = torch.linspace(-2, 2, 9)[:, None]
course.expect(isinstance(exact, Denoiser))
course.expect(torch.allclose(exact.predict(x_t, 300).x0, packaged.predict(x_t, 300).x0, atol=1e-5))
print(exact.predict(x_t, 300).x0.flatten().round(decimals=3).tolist())

# %% [markdown]
# ### The sampling loop
#
# The loop asks the denoiser at the times $t$ that it visits, and lets the **sampler** move $x$ from $t$ to the next
# time $s < t$. It is a *generator*: it yields each state, and whoever runs it decides whether to keep the last one
# (`sample`), to draw a film, or to show a progress bar. Here is the whole loop with the simplest rule, DDIM without
# noise: $x_s = a_s \hat x_0 + b_s \hat\varepsilon$.


# %%
def walk(denoiser, x, times):
    """Yield (t, x_t, x̂_0) from noise x to the sample."""
    for t, s in pairwise(times):
        x0, eps = denoiser.predict(x, t)
        yield t, x, x0
        a, b = denoiser.schedule.at(s)
        x = a * x0 + b * eps
    yield 0, x, x


ddim = samplers.DDIM(steps=25, clip=None)
x_T = torch.randn(12, 1, generator=torch.Generator().manual_seed(1))
ours = list(walk(exact, x_T, ddim.times(exact.schedule)))
theirs = list(ddim.trajectory(exact, x_T))  # Step(index, t, x, x0)
course.expect([t for t, _, _ in ours] == [step.t for step in theirs])
course.expect(all(torch.allclose(x, step.x, atol=1e-6) for (_, x, _), step in zip(ours, theirs, strict=True)))
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.4))
    axis.plot([t for t, _, _ in ours], torch.stack([x[:, 0] for _, x, _ in ours]), linewidth=1, color="C0")
    axis.set(xlabel="t", ylabel="$x_t$", xlim=(1000, 0))
    plt.show()
print("samples:", sorted(ours[-1][1].flatten().round(decimals=3).tolist()))
course.expect(ours[-1][1].abs().sub(1).abs().max() < 1e-3)

# %% [markdown]
# Read the figure from left to right: twelve numbers start as noise, and each ends at −1 or 1.
#
# The package's loop (`samplers/loop.py`) is this one with four additions: clipping of $\hat x_0$, seeded noise for
# samplers that add some, a *state* that a sampler may pass from one step to the next, and a second evaluation within a
# step for samplers such as Heun's.
#
# ### The training step
#
# `Diffusion(net, schedule, target)` is a denoiser made of a network. A training step draws a time and noise for each
# sample, makes $x_t$ by the first row, and compares the network's output with the target, the second row. (To draw from
# $\mathcal N(a_t x_0, b_t^2)$ as a function of $x_0$ and of standard noise $\varepsilon$, as the first row does, is
# called the *reparameterisation*.) That is all that `denoiser.losses` does. Only one thing may be new: random numbers
# come from a *function* of (seed, purpose, step, position in the batch), and not from a generator with a hidden state.
# Step 3 of seed 0 has the same times and the same noise on any machine and after any restart.

# %%
net = ancestral.nets.MLP(features=2, width=32)
nn.init.normal_(net.out.weight)  # the untrained network would answer 0
denoiser = Diffusion(net, schedules.cosine(), targets.EPS)
x_0 = torch.rand(64, 2) * 2 - 1
with torch.no_grad():
    t, theirs = denoiser.losses(x_0, step=3, seed=0)
    eps = randomness.normal((2,), 0, randomness.Stream.FORWARD, 3, range(64))
    a, b = (curve[:, None].float() for curve in denoiser.schedule.at(t))
    ours = (eps - net(a * x_0 + b * eps, t - 1)).square().mean(1)  # the network counts times from 0
print("losses of the first three samples:", ours[:3].tolist())
course.expect(torch.allclose(ours, theirs, atol=1e-5))

# %% [markdown]
# ## 2. A network of your own
#
# The package's U-Net is made of convolutions. We try something else: a small *transformer*, which cuts the image into
# square patches, and lets every patch look at every other one by self-attention. Our digits have 12 × 12 pixels (the
# 24 × 24 of lesson 1, averaged over blocks of 2 × 2), and the patches 3 × 3, so there are 16 patches of 9 numbers.
#
# First, patches. `patchify` turns images $(B, C, H, W)$ into patches $(B, N, C s^2)$, with $N = (H/s)(W/s)$ patches of
# $s \times s$ pixels, row by row. The trick is to split the axis $H$ into two, (which patch, which row in it), and $W$
# likewise, and then to put the two axes that say *which patch* in front of those that say *what is in it*.


# %%
def patchify(images, size):
    """Images (B, C, H, W) to patches (B, H/size · W/size, C · size²)."""
    batch, channels, height, width = images.shape
    cut = images.reshape(batch, channels, height // size, size, width // size, size)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


mnist = ancestral.data.load("digits")
digits = mnist.codec.encode(mnist.items)[:, :, 2:-2, 2:-2]  # float32 (5000, 1, 24, 24) in [−1, 1]
small, labels = F.avg_pool2d(digits, 2), mnist.labels
patches = patchify(small, 3)
print("images", tuple(small.shape), "patches", tuple(patches.shape))
course.expect(torch.equal(patches, F.pixel_unshuffle(small, 3).flatten(2).mT))  # PyTorch has the same, as channels
course.show(patches[500].reshape(4, 4, 1, 3, 3), size=0.5)

# %% [markdown]
# These are the 16 patches of one digit, a 1, in their order: row by row.
#
# ### Exercise 1: back to images
#
# The network's output is a patch for each patch, and has to become an image again. Write the inverse of `patchify`.
# Undo its three operations in the reverse order: split the axes that were flattened, bring each axis back to its
# place, and join (patch, row) to $H$ and (patch, column) to $W$. Take care with the order: `reshape` never moves a
# number, `permute` does.


# %% tags=["exercise"]
def unpatchify(patches, size, height, width):
    """Patches (B, height/size · width/size, C · size²) to images (B, C, height, width)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(10, unpatchify))
right_unpatchify = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def unpatchify(patches, size, height, width):
#     batch, rows, columns = len(patches), height // size, width // size
#     cut = patches.reshape(batch, rows, columns, -1, size, size)  # patch row, patch column, channel, row, column
#     return cut.permute(0, 3, 1, 4, 2, 5).reshape(batch, -1, height, width)
# ```
# </details>
#
# ### The transformer
#
# What the package asks of a network: `forward(x, index)` takes noisy images $x$ of shape $(B, C, H, W)$ and
# `index` $= t - 1$, integers of shape $(B,)$, and returns the shape of $x$. If it also has a parameter `labels`, it
# gets the classes, with −1 for "no class". The input is scaled to order 1 for you, if the schedule needs it.
#
# PyTorch's `nn.TransformerEncoderLayer` is self-attention followed by two dense layers, with residual connections.
# Self-attention does not know where a patch is, so a learned vector for each place is added at the beginning. A vector
# for the time and the class is added to all patches before each block. As in lesson 1, the last layer starts at zero.


# %%
class PatchTransformer(nn.Module):
    """Noisy images (B, 1, 12, 12), time indices (B,) and labels (B,) -> the target, (B, 1, 12, 12)."""

    def __init__(self, side=12, size=3, width=64, layers=2, classes=10):
        super().__init__()
        self.size, self.classes = size, classes
        self.enter = nn.Linear(size**2, width)
        self.place = nn.Parameter(0.02 * torch.randn((side // size) ** 2, width))
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width)  # the last row is "no class"
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, size**2)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x, index, labels=None):
        labels = torch.full_like(index, -1) if labels is None else labels
        condition = self.time(timestep_embedding(index, 64)) + self.label(labels.where(labels >= 0, self.classes))
        cut = F.pixel_unshuffle(x, self.size)  # (B, 9, 4, 4): patches as channels
        h = self.enter(cut.flatten(2).mT) + self.place  # (B, 16, width)
        for block in self.blocks:
            h = block(h + condition[:, None])
        return right_unpatchify(self.leave(self.norm(h)), self.size, *x.shape[2:])


net = PatchTransformer()
print("parameters:", sum(p.numel() for p in net.parameters()))
course.expect(net(small[:4], torch.tensor([0, 1, 500, 999])).shape == (4, 1, 12, 12))

# %% [markdown]
# Training is one call. `net=` takes the module; data are a tensor, here with labels. All settings that are not named
# are those of the preset `arrays`: a cosine schedule, and the target $x_0$.

# %%
data = (small[::10], labels[::10]) if QUICK else (small, labels)
settings = {"steps": 600, "batch_size": 64, "lr": 4e-3, "ema": 0.99, "preview_steps": 4, **SHORT}
run = ancestral.train("arrays", data, net=net, out=RUNS / "patches", **quiet, **settings)
print(f"{run.step} steps, {run.parameters:,} parameters, loss {run.loss:.2f}")
samples = run.model.sample(20, steps=25, seed=0)  # classes 0 to 9 in turn
course.show(list(samples.split(10)), titles=[str(label) for label in range(10)], size=0.7)

# %% [markdown]
# After a few seconds of training most samples already look like the digit above them. `evaluate` takes the model like
# any other. A linear classifier, trained on the real digits, says how often the sample is the digit that was asked for.

# %%
quality = ancestral.evaluate(
    run.model, data, samples=50 if QUICK else 500, steps=25, extractor="pixels", progress=False
).samples
print("FD of the pixels:", quality.metrics["frechet"].value, "and of real digits:", quality.metrics["frechet"].floor)
print("class found:     ", quality.class_accuracy.samples.percent, "of samples")
print("                 ", quality.class_accuracy.data.percent, "of real digits")
if not QUICK:
    course.expect(0.85 < quality.class_accuracy.samples.value < 0.97)
    course.expect(0.87 < quality.class_accuracy.data.value < 0.95)

# %% [markdown]
# Nine of ten samples are recognised, as many as of real digits. But FD is four times its floor: recognised is not yet
# indistinguishable. (The package's U-Net comes nearer, in more time.)
#
# ### Saved and loaded again
#
# The run folder holds `model.safetensors`: the weights, and as text the config, schedule, target and classes. It never
# holds code, since a file that runs code when it is opened is a danger to whoever opens it. So your network has to be
# given again. Without it, the message says so:

# %%
print(refused(lambda: ancestral.load(RUNS / "patches")))
model = ancestral.load(RUNS / "patches", net=PatchTransformer())
course.expect(torch.equal(model.sample(4, steps=5, seed=0), run.model.sample(4, steps=5, seed=0)))
print("\nloaded again with net=: the same samples")
print("\n" + refused(lambda: ancestral.load(RUNS / "patches", net=PatchTransformer(width=32))))


class Forgetful(PatchTransformer):
    """Returns patches and forgets to make an image of them."""

    def forward(self, x, index, labels=None):
        return F.pixel_unshuffle(super().forward(x, index, labels), self.size)


print("\n" + refused(lambda: Diffusion(Forgetful(), schedule).predict(small[:2], 500)))

# %% [markdown]
# On the command line the same is `--net my_file:build`, where `build(shape, classes)` is a function that returns the
# network (`examples/own_network.py` in the repository).
#
# ## 3. A schedule of your own
#
# If your schedule is a chain of steps with variances $\beta_1, \dots, \beta_T$, as in the DDPM paper, give these to
# `schedules.from_betas`. By (4), $\bar\alpha_t = \prod_{s \le t} (1 - \beta_s)$, $a_t = \sqrt{\bar\alpha_t}$ and
# $b_t = \sqrt{1 - \bar\alpha_t}$, with $a_0 = 1$ and $b_0 = 0$ for the clean data:

# %%
beta = torch.linspace(0.01, 0.3, 30, dtype=torch.float64)
alpha_bar = torch.cat([torch.ones(1), torch.cumprod(1 - beta, 0)])
by_hand = Schedule(signal=alpha_bar.sqrt(), noise=(1 - alpha_bar).sqrt())
packaged = schedules.from_betas(beta)
course.expect(torch.allclose(by_hand.signal, packaged.signal))
course.expect(torch.allclose(by_hand.noise, packaged.noise))
course.expect(torch.allclose(packaged.beta[1:], beta))  # the other way: β_t from a and b, for any schedule
print("T =", packaged.steps, " SNR at T:", f"{packaged.snr[-1]:.4f}")
course.expect(0.005 < packaged.snr[-1] < 0.006)

# %% [markdown]
# `Schedule(signal, noise)` takes any two curves. Which would you like? What matters is the *signal-to-noise ratio*
# $\mathrm{SNR}_t = a_t^2/b_t^2$, over many powers of ten. So let us choose it directly: the logarithm of the SNR,
# $\lambda_t = \ln (a_t^2/b_t^2)$, shall fall from 10 to −8 at constant speed. With $a_t^2 + b_t^2 = 1$ this gives
# $a_t^2 = \operatorname{sigmoid}(\lambda_t)$ and $b_t^2 = \operatorname{sigmoid}(-\lambda_t)$, where
# $\operatorname{sigmoid}(\lambda) = 1/(1 + e^{-\lambda})$.


# %%
def log_snr_schedule(log_snr):
    """The schedule with a² + b² = 1 and the given ln SNR at t = 1..T."""
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    return Schedule(
        signal=torch.cat([one, torch.sigmoid(log_snr).sqrt()]),  # t = 0 is clean data
        noise=torch.cat([zero, torch.sigmoid(-log_snr).sqrt()]),
    )


straight = log_snr_schedule(torch.linspace(10, -8, 500, dtype=torch.float64))
u = torch.arange(1, 501) / 500
curves = {"constant speed": straight, "cosine": schedules.cosine(500), "linear β": schedules.linear(500)}
course.plot(u, {label: curve.snr[1:].log() for label, curve in curves.items()}, xlabel="t/T", ylabel="ln SNR")

# %% [markdown]
# The curves of the papers spend most of their time at medium noise; ours is a straight line. What can go wrong with a
# schedule of one's own? `Schedule` checks what the forward process needs, and says what is missing:

# %%
print(refused(lambda: Schedule(signal=straight.signal[1:], noise=straight.noise[1:])))  # no clean data at t = 0
print(refused(lambda: Schedule(signal=straight.noise.flip(0), noise=straight.signal.flip(0))))  # nor here
print(refused(lambda: Schedule(signal=[1, 0.5, 0.8], noise=[0, 0.5, 0.2])))  # noise would have to disappear
print(refused(lambda: Schedule(signal=[1, 0.5], noise=[0, float("nan")])))

# %% [markdown]
# Two things it cannot check, since they depend on the data. At $t = T$ so little signal should be left that
# $x_T \approx b_T\,\varepsilon$. And if $b_T$ is not about 1, sampling has to start with noise of this size: give
# `Schedule(..., prior_std=...)`, as `schedules.karras` does with its $b_T = 80$.
#
# ### Resolution changes the schedule
#
# Is a good schedule for small images good for large ones? Take a digit of 24 × 24 pixels and the same digit of 12 × 12,
# and give both the noise of $t = 500$ of the cosine schedule. Then average the large one over blocks of 2 × 2.

# %%
a, b = schedules.cosine().at(500)
g = torch.Generator().manual_seed(4)
large_noisy = a * digits + b * torch.randn(digits.shape, generator=g)
small_noisy = a * small + b * torch.randn(small.shape, generator=g)
averaged = F.avg_pool2d(large_noisy, 2)
course.show(
    [large_noisy[::500], averaged[::500], small_noisy[::500]], labels=["24 × 24", "averaged", "12 × 12"], size=0.7
)
left = (averaged - a * small).std().item()
print(f"noise in the large image b = {b:.3f}; after averaging {left:.3f}, b/2 = {b / 2:.3f}")
course.expect(abs(left / (b / 2) - 1) < 0.01)

# %% [markdown]
# The average of four independent noises has half their standard deviation. So the large image still shows the digit,
# averaged by your eye, at a time at which the small image is lost. Its digit is decided at other times than that of the
# small image: at those where the noise is twice as large. To treat both alike, the schedule has to be *shifted*: for
# images that are $r$ times as large in each direction, $b_t/a_t$ is multiplied by $r$, which lowers $\ln$ SNR by
# $2 \ln r$ (Hoogeboom, Heek and Salimans, *Simple diffusion*, 2023).
#
# ### Exercise 2: shift a schedule
#
# Given the curves $a_t$, $b_t$ of a schedule, return the shifted curves $a'_t$, $b'_t$ with
# $b'_t/a'_t = r\,b_t/a_t$ and $a'^2_t + b'^2_t = 1$. The curves contain clean data, $(a, b) = (1, 0)$, and may end with
# pure noise, $(0, 1)$. Both must stay what they are, so do not divide by $a_t$ or $b_t$, and take no logarithm of them:
# first find *any* pair with the right ratio, then scale it to length 1.


# %% tags=["exercise"]
def shifted(a, b, ratio):
    """Curves (a', b') with b'/a' = ratio · b/a and a'² + b'² = 1, for float64 curves a, b of shape (T + 1,)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(10, shifted))
right_shifted = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def shifted(a, b, ratio):
#     length = (a**2 + (ratio * b) ** 2).sqrt()
#     return a / length, ratio * b / length
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The pair $(a, r b)$ has the wanted ratio $r b/a$, and a common factor does not change it. Its length $n = \sqrt{a^2 +
# r^2 b^2}$ is never 0, since $a$ and $b$ are not both 0. So $(a/n,\ r b/n)$ has the ratio and the length 1. $(1, 0)$
# has $n = 1$ and stays, and $(0, 1)$ has $n = r$ and becomes $(0, r)/r = (0, 1)$.
# </details>
#
# Does the shift do what it promises? Here no network is needed. If the data are 500 digits and nothing else, the
# probability of each given $x_t$ is known exactly: it is proportional to
# $\exp\!\big(-\lVert x_t - a_t x_0^{(i)} \rVert^2 / 2 b_t^2\big)$. We count how many of them are still possible, by the
# exponential of the entropy of these probabilities: 1 if it is certain which one it is, 500 if all are equally likely.


# %%
def still_possible(images, schedule, times):
    """The mean number of images that x_t could come from, at each of the times."""
    flat, counts = images.flatten(1), []
    for t in times:
        a, b = schedule.at(t)
        noise = torch.randn(flat.shape, generator=torch.Generator().manual_seed(t))
        distance = torch.cdist(a * flat + b * noise, a * flat) ** 2
        probability = (-distance / (2 * b**2)).softmax(1)
        counts.append(torch.special.entr(probability).sum(1).mean().exp().item())
    return counts


lowered = schedules.Schedule(*right_shifted(straight.signal, straight.noise, 2.0))
course.expect(torch.allclose(lowered.snr[1:].log(), straight.snr[1:].log() - 2 * math.log(2)))
times = list(range(200, 501, 20))
counts = {
    "12 × 12": still_possible(small[::10], straight, times),
    "24 × 24": still_possible(digits[::10], straight, times),
    "24 × 24, shifted by r = 2": still_possible(digits[::10], lowered, times),
}
course.plot(times, counts, ylabel="images still possible", kind="semilogy")
at_340 = [curve[times.index(340)] for curve in counts.values()]
print("at t = 340:", ", ".join(f"{n:.1f}" for n in at_340))
course.expect(65 < at_340[0] < 80)
course.expect(1.5 < at_340[1] < 2.5)
course.expect(35 < at_340[2] < 46)

# %% [markdown]
# At $t = 340$ about 70 of the small digits are still possible, but only two of the large ones. With the same schedule,
# a network for large images would spend the times below 340 on images whose digit is already certain. With the shift
# there are about 40. The curves of the small and of the shifted large images almost agree, but not fully, since a large
# image has details that its average has not.
#
# ## 4. A target of your own
#
# A target is one row: two functions $p(a, b)$ and $q(a, b)$. Suppose that you cannot decide between predicting $x_0$
# and predicting $\varepsilon$, and take the mean of both, $p = q = \tfrac12$. The determinant is $d = (a - b)/2$.
# Where $a = b$ it is 0: there $x_t = a\,(x_0 + \varepsilon)$, and the target is $\tfrac12 (x_0 + \varepsilon)$. Both
# rows say the same, so the network's output adds nothing to $x_t$, and no sampler can recover $x_0$. The system
# is *singular*. The package refuses it where it is needed, and before a training run that could not be sampled from:

# %%
mean = Target("mean", p=lambda a, b: 0.5, q=lambda a, b: 0.5)
flow = schedules.flow()
print(refused(lambda: mean.solve(x_t, x_t, *flow.at(500))))
moons = ancestral.data.load("moons").items[:2000]
print()
print(refused(lambda: ancestral.train("points", moons, schedule=flow, target=mean, out=RUNS / "no", **quiet)))
print(refused(lambda: ancestral.train("points", moons, schedule=flow, target="eps", out=RUNS / "no", **quiet)))
course.expect(not (RUNS / "no").exists())

# %% [markdown]
# The last line is DDPM's target on a schedule that ends without signal: $d = a = 0$ at $t = T$. Near a singular time it
# is not much better. An error of size 1 in the network's output becomes an error of $|b/d|$ in $\hat x_0$ and of
# $|a/d|$ in $\hat\varepsilon$ (differentiate the solution of section 1). With the other sign, $p = -\tfrac12$ and
# $q = \tfrac12$, the determinant is $\tfrac12 (a + b)$, which is never 0.

# %%
half = Target("half", p=lambda a, b: -0.5, q=lambda a, b: 0.5)
t = torch.arange(1, 1000)
a, b = schedules.cosine().at(t)
curves = {
    "ε": targets.EPS,
    "$x_0$": targets.X0,
    "($x_0$ + ε)/2": mean,
    "(ε − $x_0$)/2": half,
}
factors = {label: (b / target.determinant(a, b)).abs() for label, target in curves.items()}
course.plot(t, factors, ylabel="$|b/d|$", kind="semilogy")
course.expect(factors["(ε − $x_0$)/2"].max() <= 2)

# %% [markdown]
# The curve is the factor from the network's error to that of $\hat x_0$. For $\varepsilon$ it grows without limit
# towards $t = T$, for the mean it has a pole at $a = b$, and for the difference, $2b/(a + b)$, it never exceeds 2.
#
# ### Exercise 3: the target that x_t does not know
#
# Now derive a target from a principle. A part of the target may be a multiple of $x_t$, which the network gets anyway.
# To predict it is wasted effort: the network would have to copy its input. And outputs should have the same size at
# all times, so that no time dominates the loss. So we ask for a target $p\,x_0 + q\,\varepsilon$ which
#
# 1. is *uncorrelated* with $x_t = a x_0 + b \varepsilon$, and
# 2. has variance 1.
#
# Let the data have mean 0 and standard deviation $s$ in each element, and remember that $x_0$ and $\varepsilon$ are
# independent. Then the covariance of two combinations is
# $\operatorname{Cov}(p\,x_0 + q\,\varepsilon,\ a\,x_0 + b\,\varepsilon) = p\,a\,s^2 + q\,b$. Set it to 0 to get the
# ratio of $p$ and $q$, and scale both to variance $p^2 s^2 + q^2 = 1$. Choose the sign with $p \ge 0$. The formulas
# have to hold at $a = 0$ and at $b = 0$ as well, so do not divide by $a$ or $b$.


# %% tags=["exercise"]
def unknown_part(a, b, s):
    """(p, q) of the target with variance 1 that is uncorrelated with x_t; a, b are float64 (T + 1,), s is a number."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(10, unknown_part))
right_unknown_part = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def unknown_part(a, b, s):
#     n = (b**2 + s**2 * a**2) ** 0.5  # the standard deviation of x_t
#     return b / (s * n), -s * a / n  # p a s² + q b = 0, and p² s² + q² = (b² + s² a²)/n² = 1
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The covariance is 0 if $(p, q)$ is a multiple of $(b, -a s^2)$. The variance of $b\,x_0 - a s^2\,\varepsilon$ is $b^2
# s^2 + a^2 s^4 = s^2 n^2$ with $n^2 = b^2 + s^2 a^2$, the variance of $x_t$. Divide by its root, $s\,n$:
#
# $$p = \frac{b}{s\,n}, \qquad q = -\frac{s\,a}{n}$$
#
# $p$ is not negative, since $b$ is not. At $a = 0$, $n = b$, so $p = 1/s$ and $q = 0$; at $b = 0$, $n = s\,a$, so $p =
# 0$ and $q = -1$.
# </details>
#
# You have derived the preconditioning of EDM (Karras et al., 2022): their network F predicts this target, with the
# assumption $s = 0.5$. In the package it is `targets.EDM`. With $s = 1$ it is v, up to its sign. The determinant is
# $-n/s$ with $n$ the standard deviation of $x_t$, so it is never 0. For our points we can do better than assume: we
# *measure* $s$, and train with our schedule and our target. (The input is divided by its standard deviation $n$ too.)

# %%
points = moons - moons.mean(0)
s = points.std().item()


def deviation(a, b):
    """The standard deviation of x_t."""
    return (b**2 + s**2 * a**2) ** 0.5


def row(a, b):
    """(p, q) by the function of exercise 3, for numbers and for tensors of any precision."""
    p, q = right_unknown_part(*(torch.as_tensor(scale, dtype=torch.float64) for scale in (a, b)), s)
    return (p.to(a), q.to(a)) if isinstance(a, torch.Tensor) else (p.item(), q.item())


measured = Target(
    "measured",
    p=lambda a, b: row(a, b)[0],
    q=lambda a, b: row(a, b)[1],
    input_scale=lambda a, b: 1 / deviation(a, b),
)
eps = torch.randn(points.shape, generator=torch.Generator().manual_seed(0))
for t in (1, 150, 250, 350, 500):
    a, b = straight.at(t)
    truth = measured.from_x0_eps(points, eps, a, b)
    correlation = torch.corrcoef(torch.stack([truth.flatten(), straight.add_noise(points, t, eps).flatten()]))[0, 1]
    print(f"t = {t:3}: deviation of the target {truth.std():.3f}, correlation with x_t {correlation:+.3f}")
    course.expect(0.95 < truth.std() < 1.05)
    course.expect(abs(correlation) < 0.05)
print(f"s = {s:.3f}")
course.expect(0.41 < s < 0.44)

# %%
settings = {"steps": 600, "batch_size": 512, "times": "stratified", "sampler": "ddim:steps=50", **SHORT}
own = ancestral.train("points", points, schedule=straight, target=measured, out=RUNS / "points", **quiet, **settings)
print(refused(lambda: ancestral.load(RUNS / "points")))
model = ancestral.load(RUNS / "points", target=measured)
course.expect(torch.equal(model.sample(8, seed=0), own.model.sample(8, seed=0)))
cloud = model.sample(1000, seed=0)
course.scatter({"data": points[:1000], "own schedule and target": cloud}, limit=1.2)
near = (torch.cdist(cloud, points).min(1).values < 0.1).float().mean().item()
print(f"{near:.0%} of the samples lie within 0.1 of a point of the data")
if not QUICK:
    course.expect(near > 0.85)

# %% [markdown]
# The curves of a schedule are numbers, so the file holds them. The functions of a target are code, so they have to be
# given again.
#
# ## 5. A sampler of your own
#
# Without added noise, sampling solves an ordinary differential equation. The first row with slowly varying
# $\hat x_0$, $\hat\varepsilon$ says how $x$ moves when $a$ and $b$ do:
#
# $$dx = \hat x_0\, da + \hat\varepsilon\, db$$
#
# *Euler's method* takes $\hat x_0$ and $\hat\varepsilon$ at the beginning of a step for the whole step. The error of a
# sample is then proportional to the step size: the method is of *order 1*. It would be better to have them at the
# middle of the step. The *Adams-Bashforth* method estimates the middle from the last two evaluations, on a straight
# line: if the step before went from $t + h$ to $t$, and this one goes from $t$ to $t - h$, the middle is at $t - h/2$,
# half a step beyond the last evaluation. So
#
# $$\hat x_0^{\rm mid} = \hat x_0(t) + \tfrac12\big(\hat x_0(t) - \hat x_0(t + h)\big), \qquad
# \hat\varepsilon^{\rm mid} \text{ likewise}$$
#
# It costs one evaluation a step, as Euler's method does. A sampler is a frozen dataclass with three settings, and a
# method `advance` that moves $x$. What it wants to remember it returns as the second value, and gets it back at the
# next step: a sampler holds no hidden state, so two trajectories never disturb each other.


# %%
@dataclass(frozen=True)
class EvenAdamsBashforth(Sampler):
    """Second order for steps of equal length."""

    steps: int | None = 10
    clip: float | None = None
    spacing: Spacing = "trailing"

    def advance(self, x, prediction, move: Move, state):
        (a_t, b_t), (a_s, b_s) = move.schedule.at(move.t), move.schedule.at(move.s)
        x0, eps = prediction
        if state is not None and move.s > 0:  # the first step, and the last, are Euler's
            x0, eps = x0 + (x0 - state.x0) / 2, eps + (eps - state.eps) / 2
        return x + (a_s - a_t) * x0 + (b_s - b_t) * eps, prediction


# %% [markdown]
# Is it of second order? Measure it where the exact answer is known. For data with the distribution
# $\mathcal N(m, s^2)$ the ODE has the solution $x_t = a_t m + \frac{n_t}{n_T}(x_T - a_T m)$: the point keeps its
# place relative to the mean $a_t m$ and the standard deviation $n_t = \sqrt{a_t^2 s^2 + b_t^2}$ of $x_t$. The
# exact denoiser is `oracle.Gaussian`, so the whole error is the sampler's. If it is divided by $2^k$ when the number of
# steps doubles, the order is $k$.


# %%
def sampling_error(sampler, times, m=0.3, s=0.6):
    """The largest error of samples from fixed noise, for data N(m, s²)."""
    x_T = torch.linspace(-2, 2, 21, dtype=torch.float64)[:, None]
    (a, b), exact = fine.at(fine.steps), oracle.Gaussian(fine, m, s)
    right = m + s / math.sqrt(a**2 * s**2 + b**2) * (x_T - a * m)
    return (sampler.sample(exact, x_T, times=times) - right).abs().max().item()


fine = schedules.flow(16000)  # many times, so that all steps below end at one of them
STEPS = (10, 20, 40, 80, 160)
even = [list(range(16000, -1, -16000 // n)) for n in STEPS]
uneven = [[t for t in range(16000, -1, -4000 // n) if t % (16000 // n) in (0, 4000 // n)] for n in STEPS]
for name, sampler, grids in (
    ("Euler, equal steps", samplers.Euler(clip=None), even),
    ("Adams-Bashforth, equal steps", EvenAdamsBashforth(), even),
    ("Adams-Bashforth, long and short steps", EvenAdamsBashforth(), uneven),
):
    errors = [sampling_error(sampler, times) for times in grids]
    order = math.log2(errors[-2] / errors[-1])
    print(f"{name:38}", " ".join(f"{error:.0e}" for error in errors), f" order {order:.2f}")
    course.expect(abs(order - (2 if name == "Adams-Bashforth, equal steps" else 1)) < 0.1)

# %% [markdown]
# Each column doubles the number of steps. Euler's method halves its error, and ours divides it by four: order 1 and
# order 2. The last row is a warning. There, long and short steps take turns (the long ones three times as long), and
# the order falls to 1. The formula assumes that the step before was as long as this one, so it extrapolates to the
# wrong place. A test with one grid would not have found this.
#
# ### Exercise 4: Adams-Bashforth for steps of any length
#
# The step before went from `t_before` to `t`, this one goes from `t` to `s`. Extrapolate $\hat x_0$ and
# $\hat\varepsilon$ on the straight line through their values at `t_before` and at `t` to the middle of *this* step.
# Which multiple of the difference of the two values has to be added? (Check: for equal steps it is ½.) Then move $x$.


# %% tags=["exercise"]
def adams_bashforth_step(x, now, before, schedule, t_before, t, s):
    """x at time s, from x at time t; `now` and `before` are the predictions (x0, eps) at t and at t_before > t."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(10, adams_bashforth_step))
right_adams_bashforth_step = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def adams_bashforth_step(x, now, before, schedule, t_before, t, s):
#     (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
#     weight = (t - s) / 2 / (t_before - t)  # the way to the middle, in units of the step before
#     x0 = now.x0 + weight * (now.x0 - before.x0)
#     eps = now.eps + weight * (now.eps - before.eps)
#     return x + (a_s - a_t) * x0 + (b_s - b_t) * eps
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The straight line through the value $y'$ at $t' = $ `t_before` and the value $y$ at $t$ is $y(u) = y + \frac{t -
# u}{t' - t}\,(y - y')$: at $u = t$ it is $y$, and at $u = t'$ it is $y - (y - y') = y'$. In the middle, $u = (t +
# s)/2$, so $t - u = (t - s)/2$. The multiple of the difference is
#
# $$\frac{t - s}{2\,(t' - t)}$$
#
# which is ½ for equal steps. Along the path $dx = \hat x_0\,da + \hat\varepsilon\,db$. With both estimates constant
# over the step, $x_s = x_t + (a_s - a_t)\,\hat x_0 + (b_s - b_t)\,\hat\varepsilon$.
# </details>
#
# In a copy of the sampler, whose state holds the time as well, the step has the order 2 on the uneven grid, too:


# %%
@dataclass(frozen=True)
class AdamsBashforth(EvenAdamsBashforth):
    """Second order for steps of any length."""

    def advance(self, x, prediction, move: Move, state):
        now = move.t, prediction
        if state is None or move.s == 0:
            return super().advance(x, prediction, move, None)[0], now
        t_before, before = state
        return right_adams_bashforth_step(x, prediction, before, move.schedule, t_before, move.t, move.s), now


errors = [sampling_error(AdamsBashforth(), times) for times in uneven]
order = math.log2(errors[-2] / errors[-1])
print("long and short steps:", " ".join(f"{error:.0e}" for error in errors), f" order {order:.2f}")
course.expect(abs(order - 2) < 0.1)

# %% [markdown]
# A sampler of your own goes wherever one of the package goes. Here it samples from the points of section 4, with ten
# evaluations of the network, against DDIM. FD is the Fréchet distance, which compares the mean and the covariance of
# the samples with those of the data.

# %%
fd = []
for sampler in (samplers.DDIM(steps=10), EvenAdamsBashforth(steps=10, clip=1.0)):
    result = ancestral.evaluate(model, points, sampler=sampler, samples=100 if QUICK else 1000, progress=False)
    fd.append(result.samples.metrics["frechet"].value)
    print(f"{type(sampler).__name__:20} FD {fd[-1]}")
clouds = {
    "DDIM, 10 steps": model.sample(1000, sampler=samplers.DDIM(steps=10), seed=0),
    "own sampler, 10 steps": model.sample(1000, sampler=EvenAdamsBashforth(steps=10, clip=1.0), seed=0),
}
course.scatter(clouds, limit=1.2)
away = [(torch.cdist(cloud, points).min(1).values > 0.05).float().mean().item() for cloud in clouds.values()]
print(f"farther than 0.05 from all points of the data: {away[0]:.0%} and {away[1]:.0%}")
if not QUICK:
    course.expect(fd[0].value > 2.5 * fd[1].value)
    course.expect(0.35 < away[1] / away[0] < 0.7)

# %% [markdown]
# With the same ten evaluations the FD is several times smaller, and about half as many samples lie off the two moons.
# Better arithmetic costs nothing here.
#
# ## 6. An objective of your own
#
# $L_{\rm simple}$ is the mean squared error. Why squared? The answer that minimises an expected squared error is the
# *mean* of what could be true, and the mean of $x_0$ given $x_t$ is what a denoiser has to return. Another loss has
# another minimiser. Suppose that, given $x_t$, the truth is $-1$ with probability 0.85, and $+1$ with probability 0.15.
# The *pseudo-Huber loss* of an error $\Delta$ is $2c\,(\sqrt{\Delta^2 + c^2} - c)$: about $\Delta^2$ for small
# errors, and about $2c\,|\Delta|$ for errors far above $c$, so that a few large errors count less. Which answer
# minimises its mean?

# %%
answer = torch.linspace(-1.5, 1.5, 3001, dtype=torch.float64)
curves = {}
for c in (math.inf, 1.0, 0.1):

    def loss(error, c=c):
        return error**2 if c == math.inf else 2 * c * ((error**2 + c**2).sqrt() - c)

    expected = 0.85 * loss(answer + 1) + 0.15 * loss(answer - 1)
    curves["squared" if c == math.inf else f"pseudo-Huber, c = {c:g}"] = expected / expected.max()
    print(f"c = {c}: the best answer is {answer[expected.argmin()]:+.2f}")
best = [answer[expected.argmin()].item() for expected in curves.values()]
course.plot(answer, curves, xlabel="answer", ylabel="expected loss (scaled)")
course.expect(abs(best[0] + 0.70) < 0.005)
course.expect(abs(best[1] + 0.83) < 0.02)
course.expect(best[2] < -0.98)

# %% [markdown]
# The squared error has its minimum at the mean, $0.85 \cdot (-1) + 0.15 \cdot 1 = -0.7$. The smaller $c$ is, the nearer
# the best answer moves to the more probable value. So a robust loss ignores what is rare. If what is rare is *damage*,
# this may be what you want. If it is a rare class, the samples will lack it. Let us see both in one experiment.
#
# An objective of the package is a class with a method `errors`. It gets a `ForwardPass`, which holds all that there is
# at a training step (`x0`, `eps`, `t`, `x_t`, the network's `answer`), and returns one loss for each sample. Objectives
# *wrap* one another: ours takes the mean squared error of each sample from `inner`, whatever that is, and bends it.


# %%
class PseudoHuber(Objective):
    """2c (√(e + c²) − c) of the errors e of another objective."""

    def __init__(self, inner, c):
        super().__init__(inner.times)  # how t is drawn stays as it is
        self.inner, self.c = inner, c

    def errors(self, forward):
        return 2 * self.c * ((self.inner.errors(forward) + self.c**2).sqrt() - self.c)


def simple(denoiser):
    """L_simple, with uniform times."""
    return objectives.build(denoiser.schedule, denoiser.target)


g = torch.Generator().manual_seed(0)
rare = torch.rand(2000, generator=g) < 0.15
blobs = 0.05 * torch.randn(2000, 2, generator=g) + torch.where(rare, 0.5, -0.5)[:, None]
share = {"data": rare.float().mean().item()}
for name, objective in (("squared", simple), ("pseudo-Huber", lambda denoiser: PseudoHuber(simple(denoiser), c=0.05))):
    settings = {"target": "x0", "steps": 300, "preview_steps": 4, **SHORT}
    trained = ancestral.train("points", blobs, objective=objective, out=RUNS / name, **quiet, **settings)
    share[name] = (trained.model.sample(1000, steps=20, seed=0).sum(1) > 0).float().mean().item()
print("share of the rare cluster:", ", ".join(f"{name} {value:.1%}" for name, value in share.items()))
if not QUICK:
    course.expect(0.10 < share["squared"] < 0.18)
    course.expect(share["pseudo-Huber"] < 0.7 * share["squared"])

# %% [markdown]
# With the squared error the rare cluster has nearly its share in the samples (a standard error is 1.1 %). With the
# pseudo-Huber loss it has clearly less. Whether this is a cure or a harm depends on what the cluster is; that it is no
# longer a model of the data distribution is certain. A new objective needs this question first: *what does its
# minimiser mean?* (Weights that depend on $t$ alone are harmless: they change how much a time counts, and not which
# answer is best at that time.)
#
# ### Exercise 5: a loss for each element
#
# Our wrapper sees one number for each sample, so it cannot treat a single bad pixel in a good image. Write a Huber loss
# of each *element*. For an error $\Delta$ of one element it is $h(\Delta) = \Delta^2$ as long as $|\Delta| \le c$.
# Beyond that the parabola goes on as a straight line, on each side, without a jump and without a kink: value and slope
# agree at $|\Delta| = c$. Which line is it? A case that tests it: $h(3c) = 5c^2$.
#
# The loss of a sample is the mean of $h$ over all its elements, times the weight of its time. Return the losses of all
# samples, not their mean: the trainer needs each of them.


# %% tags=["exercise"]
def huber_errors(truth, answer, t, weights, c):
    """Losses (B,) for targets and answers (B, *), times t (B,) in 1..T, and weights (T + 1,) for t = 0..T."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(10, huber_errors))
right_huber_errors = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def huber_errors(truth, answer, t, weights, c):
#     error = (truth - answer).abs()
#     each = torch.where(error <= c, error**2, c * (2 * error - c))
#     return weights[t] * each.flatten(1).mean(1)
# ```
# </details>
#
# As a formula: at $|\Delta| = c$ the parabola has the value $c^2$ and the slope $2c$, so the line is
# $c^2 + 2c\,(|\Delta| - c)$, and
#
# $$h(\Delta) = \begin{cases} \Delta^2 & \text{if } |\Delta| \le c \\
# c\,(2|\Delta| - c) & \text{otherwise} \end{cases}$$
#
# To train with it, it is called in the `errors` of a subclass of `objectives.Denoising`. With the $c$ of the
# pseudo-Huber loss above, the rare cluster loses its share again:


# %%
class Huber(objectives.Denoising):
    """The loss of exercise 5 with the weight 1 at all times."""

    def errors(self, forward):
        schedule = forward.denoiser.schedule
        truth = forward.denoiser.target.from_x0_eps(forward.x0, forward.eps, *schedule.at(forward.t))
        return right_huber_errors(truth, forward.answer, forward.t, torch.ones(schedule.steps + 1), 0.05)


huber = ancestral.train(
    "points", blobs, objective=lambda denoiser: Huber(simple(denoiser).times), out=RUNS / "huber", **quiet, **settings
)
share["Huber"] = (huber.model.sample(1000, steps=20, seed=0).sum(1) > 0).float().mean().item()
print(f"share of the rare cluster: {share['Huber']:.1%}")
if not QUICK:
    course.expect(share["Huber"] < 0.9 * share["squared"])

# %% [markdown]
# ## 7. Test it as the package tests itself
#
# A part that runs is not yet a part that is right. The tests of the package compare with truth, never with shapes
# alone, and you have used most of their tools in this lesson:
#
# * a *closed form*: `patchify` against `pixel_unshuffle`, a schedule's $\beta_t$ against those that it was made of;
# * an *oracle*: a sampler on `oracle.Gaussian`, whose ODE has an exact solution. The order shows what no picture does;
# * a *reference point*: the measured distance of real data to real data, beside that of the samples;
# * a test must be able to *fail*: the uneven grid was one that did.
#
# One promise is left: **a run that is stopped and resumed ends with the same weights, bit for bit.** It holds for parts
# of your own if they keep no hidden state. (What a network draws from PyTorch's generator, for dropout, is seeded for
# each step.) Here is an objective that breaks it. It adapts $c$ to the running mean of
# the losses, and keeps that mean in an attribute, which no checkpoint knows.


# %%
class Adaptive(PseudoHuber):
    """A pseudo-Huber loss whose c follows the errors."""

    def __init__(self, inner):
        super().__init__(inner, c=1.0)
        self.mean = torch.ones((), dtype=torch.float64)

    def errors(self, forward):
        self.c = self.mean.sqrt().item()
        return super().errors(forward)

    def update(self, t, losses):  # called after each step, with the losses of the whole batch
        super().update(t, losses)
        self.mean.lerp_(losses.detach().double().mean().cpu(), 0.05)


class AdaptiveKept(Adaptive):
    """The same, with its mean among what a checkpoint holds."""

    @property
    def state(self):
        return {**super().state, "mean": self.mean}


def weights_after(objective, *stops):
    """The weights after training to each of the stops in turn: each call resumes where the last one ended."""
    settings = {"decay": "none", "batch_size": 32, "preview_steps": 1, "threads": 1}
    out = Path(tempfile.mkdtemp(dir=RUNS))
    for steps in stops:
        trained = ancestral.train(
            "points", points, objective=objective, out=out, steps=steps, resume=True, **quiet, **settings
        )
    return torch.cat([p.flatten() for p in trained.model.diffusion.parameters()])


once = weights_after(lambda denoiser: Adaptive(simple(denoiser)), 30)
for objective in (Adaptive, AdaptiveKept):
    twice = weights_after(lambda denoiser, objective=objective: objective(simple(denoiser)), 15, 30)
    print(f"{objective.__name__:13} largest difference of a weight {(once - twice).abs().max():.1e}")
    course.expect(torch.equal(once, twice) == (objective is AdaptiveKept))

# %% [markdown]
# With the state named, the difference is exactly 0. The rule behind it: random numbers are functions of (seed, purpose,
# step, index), and everything else that changes during training is either a parameter of the network or in `state`.
# (`decay="none"`, because a learning rate that falls to 0 at the last step depends on how many steps are planned.)
#
# ### Contribute it
#
# If your part is useful to others, it is usually one file:
#
# | part | where | made known in | its tests |
# |---|---|---|---|
# | schedule | a function in `schedules.py` | `registries.SCHEDULES` | `tests/test_schedules.py` |
# | target | a `Target` in `targets.py` | `registries.TARGETS` | `tests/test_targets.py` |
# | network | a file in `nets/` | `registries.NETWORKS`, `config/model_config.py` | `tests/nets/test_nets.py` |
# | objective | a class in `objectives/` | `objectives.build` | `tests/objectives/test_objectives.py` |
# | sampler | a file in `samplers/` | `registries.SAMPLERS` | `tests/samplers/test_samplers.py` |
#
# Write each equation as one line, with its number in the paper beside it. Give the test that compares with truth, and
# a measurement if you claim that it is better or faster. `make test lint types` has to pass.
# `CONTRIBUTING.md` in the repository has the rest, and the page *Design* of the site a map of the package.
#
# ## Where to go next
#
# * **Read a file.** Each of `schedules.py`, `targets.py`, `samplers/loop.py`, `objectives/objective.py` and
#   `diffusion.py` takes a quarter of an hour, and there is nothing in them that you have not written in this course.
# * **Rebuild a paper.** Pick one that changes one part: a loss weighting, a time distribution, a sampler. The scripts
#   in `examples/` have at most 60 lines each and are good starting points.
# * **Your own data.** `ancestral doctor photos/`, then `ancestral train --data photos/` (lesson 9), and
#   `--net my_file:build` for your network.
# * **Go where this package does not go**: text conditions, discrete data, video. All of them
#   keep the two rows of section 1, or say precisely which of them they change.
#
# What you can create, you understand. The next lesson distils a model: one or two network evaluations are enough.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **A Huber loss that is none.** In section 6, `c=0.05)` → `c=5.0)`. With a large $c$ all errors count as squares,
#   and the share of the rare cluster is that of the squared loss again. As long as before.
# * **A cluster that is not rare.** In section 6, `torch.rand(2000, generator=g) < 0.15` →
#   `torch.rand(2000, generator=g) < 0.4`. Both losses give it a larger share, and the Huber loss still too little. As
#   long as before.
# * **A higher rate.** In section 2, `"lr": 4e-3` → `"lr": 1e-3`. A quarter of the learning rate: after the same steps
#   fewer samples are the digit that they should be. As long as before.
