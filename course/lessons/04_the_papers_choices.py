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
# # What the paper's choices buy
#
# The DDPM paper made many choices: the network predicts the noise, the data are scaled to [−1, 1], $T = 1000$, $\beta$
# from 0.0001 to 0.02, samples are drawn with averaged weights, the network has self-attention. Which of them matter?
# The way to find out is an **ablation**: change one choice, leave everything else as it is, train again, and measure.
#
# A single training run proves little, since another random seed gives another number. So each variant is trained
# several times, and each number gets an error bar. You learn how to do this with little computation, and how to read
# the result honestly: an effect that is smaller than its error bar has not been shown.
#
# You need lessons 1 and 3. Four exercises come on the way. The notebook runs in about two minutes on two CPU cores.
# Numbers in brackets are those of the equations in the [DDPM paper](https://arxiv.org/abs/2006.11239).

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

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

import ancestral_course as course
from ancestral import Diffusion, nets, objectives, samplers, schedules, targets

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1. Small digits, and how far samples are from them
#
# To train dozens of models in two minutes, we need small data: the digits of lesson 1, with each square of 3 × 3
# pixels replaced by its mean. 8 × 8 pixels are left, which we treat as vectors of 64 numbers. 4,000 digits are for
# training, 1,000 are held out to compare with.

# %%
pixels, _ = course.mnist_data()
images = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28)[:, :, 2:-2, 2:-2] / 127.5 - 1
digits = F.avg_pool2d(images, 3).flatten(1)[torch.randperm(5000, generator=torch.Generator().manual_seed(0))]
train_digits, held_out = digits[:4000], digits[4000:]
print(f"mean {train_digits.mean():.2f}, root mean square {train_digits.square().mean().sqrt():.2f}")
course.expect(-0.66 < train_digits.mean() < -0.63)
course.show([train_digits[:10].reshape(-1, 1, 8, 8)], size=0.7)

# %% [markdown]
# The mean of −0.64 is worth remembering: most pixels are black.
#
# As a distance between a set of samples and the held-out digits we take the **sliced Wasserstein distance**. Choose a
# random direction in the space of 64 numbers, and project both sets on it. This gives two lists of numbers. Sort both,
# and compare the smallest with the smallest, up to the largest with the largest. The root mean square of the
# differences, over 100 directions, is the distance. It is 0 only if the two sets look alike from all directions.
#
# Two sets of real digits are not at distance 0 either. Their distance is the **floor**: no model can be expected to be
# better. Distances depend on the number of samples, so all sets here have 125.

# %%
rays = F.normalize(torch.randn(64, 100, generator=torch.Generator().manual_seed(0)), dim=0)
held_out_sorted = (held_out @ rays).sort(0).values  # one column for each direction


def distance(samples):
    """The distance of samples (n, 64) to the held-out digits; n divides 1,000."""
    projected = (samples @ rays).sort(0).values.repeat_interleave(len(held_out) // len(samples), 0)
    return (projected - held_out_sorted).square().mean().sqrt().item()


floors = torch.tensor([distance(part) for part in train_digits.split(125)])
floor = floors.mean().item()
print(f"floor: {floor:.4f}, standard deviation over {len(floors)} sets {floors.std():.4f}")
course.expect(0.07 < floor < 0.085)

# %% [markdown]
# ## 2. Several seeds at once
#
# We train each variant with four seeds. Four small networks need not be trained one after the other: PyTorch can stack
# their weights and evaluate them in one call (`torch.func.stack_module_state` and `torch.vmap`), each on its own part
# of the batch. The sum of their losses has, for each network, the gradient of its own loss, and Adam works on each
# weight by itself. So they train as if they were alone.


# %%
class Seeds(nn.Module):
    """Networks of several seeds side by side: each gets an equal part of the batch, in order."""

    def __init__(self, build, seeds):
        super().__init__()
        networks = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            networks.append(build())
        stacked, _ = torch.func.stack_module_state(networks)
        self.names, self.weights = list(stacked), nn.ParameterList(stacked.values())
        self.seeds, self.pattern = seeds, networks[:1]  # a list hides the pattern's own weights from the optimiser

    def forward(self, x, index, labels=None):
        def one(weights, x, index):
            return torch.func.functional_call(self.pattern[0], weights, (x, index))

        weights = dict(zip(self.names, self.weights, strict=True))
        parts = x.reshape(self.seeds, -1, *x.shape[1:]), index.reshape(self.seeds, -1)
        return torch.vmap(one)(weights, *parts).flatten(0, 1)


both = Seeds(lambda: nets.MLP(64, width=16, layers=1), 2)
for weight in both.weights:
    nn.init.normal_(weight, std=0.1)
x, index = torch.randn(6, 64), torch.tensor([0, 500, 999, 0, 500, 999])
for seed, part in enumerate((slice(0, 3), slice(3, 6))):  # each part of the batch is answered by its own network
    own = {name: weight[seed] for name, weight in zip(both.names, both.weights, strict=True)}
    alone = torch.func.functional_call(both.pattern[0], own, (x[part], index[part]))
    course.expect(torch.allclose(both(x, index)[part], alone, atol=1e-5))

# %% [markdown]
# ## 3. Averaged weights
#
# The paper does not sample with the weights $\theta_k$ that the optimiser holds after step $k$, but with their
# *exponential moving average* (EMA) $\bar\theta$, whose decay $d$ is a little below 1:
#
# $$\bar\theta_k = d\,\bar\theta_{k-1} + (1-d)\,\theta_k$$
#
# Each step of training pulls the weights in the direction of one random batch. The average of about the last $1/(1-d)$
# steps has less of this randomness. The paper takes $d = 0.9999$, for 800,000 steps.
#
# The average must begin somewhere. If it begins at 0, it is too small at first: after one step it is
# $(1-d)\,\theta_1$. The remedy is known from Adam: divide by the sum of all factors that the average has given so far.
#
# ### Exercise 1: the average without the bias
#
# Write the average of $\theta_1, \dots, \theta_n$ that begins at $\bar\theta_0 = 0$, divided by the sum of the factors
# that it gives to them. Which factor has $\theta_k$? What is the sum of these factors?


# %% tags=["exercise"]
def average(weights, decay):
    """The bias-corrected moving average (D,) of the weights (n, D) after steps 1..n, a tensor."""
    ...  # replace this line by yours


# %%
print(course.check(4, average))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def average(weights, decay):
#     mean = torch.zeros_like(weights[0])
#     for weight in weights:
#         mean = decay * mean + (1 - decay) * weight
#     return mean / (1 - decay ** len(weights))
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# $\theta_k$ enters with the factor $1 - d$, where $d$ is the decay, and each of the $n - k$ later steps multiplies it
# by $d$. So its factor is $(1 - d)\,d^{\,n-k}$. The sum of the factors is a geometric series: $(1 - d)(1 + d + \dots +
# d^{\,n-1}) = 1 - d^{\,n}$.
# </details>
#
# The package corrects in another way, and so does our training loop: the decay is smaller at first,
# $\min\big(d, (1+k)/(10+k)\big)$.
#
# ## 4. One function for all variants
#
# Training is that of lesson 1, with a constant learning rate after a warm-up, as in the paper. What may be changed are
# the arguments. All variants see the same images in the same order, with the same $t$ and $\varepsilon$, and begin
# sampling from the same $x_T$, so that the differences between them are due to the change.

# %%
SEEDS, STEPS, BATCH, SAMPLES = (2, 5, 8, 20) if QUICK else (4, 400, 64, 125)
DECAY = 0.98
FOUND, SHOWN = {}, {}  # by variant: the distance of each seed; some samples


def build_mlp():
    """A multilayer perceptron for 64 numbers."""
    return nets.MLP(64, width=128, layers=2)


def run(name, schedule=None, target=targets.EPS, weighting="simple", ema=True, unit=False, build=build_mlp, steps=None):
    """Train with all seeds, sample, and measure. `unit` scales the data to [0, 1]."""
    schedule = schedule or schedules.linear()
    denoiser = Diffusion(Seeds(build, SEEDS), schedule, target)
    objective = objectives.build(schedule, target, "uniform", weighting)
    data = (train_digits + 1) / 2 if unit else train_digits
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=2e-3)
    averaged = [weight.detach().clone() for weight in denoiser.parameters()]
    generator = torch.Generator().manual_seed(1)
    for k in range(1, STEPS + 1):
        optimiser.param_groups[0]["lr"] = 2e-3 * min(1, k / 50)  # warm-up
        batch = data[torch.randint(len(data), (SEEDS * BATCH,), generator=generator)]
        loss = SEEDS * denoiser.loss(batch, step=k, objective=objective)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for mean, weight in zip(averaged, denoiser.parameters(), strict=True):
                mean.lerp_(weight, 1 - min(DECAY, (1 + k) / (10 + k)))  # EMA
    if ema:
        with torch.no_grad():
            for mean, weight in zip(averaged, denoiser.parameters(), strict=True):
                weight.copy_(mean)
    x_T = torch.randn(SEEDS * SAMPLES, 64, generator=torch.Generator().manual_seed(2))
    samples = samplers.DDPM(steps=20 if QUICK else steps).sample(denoiser, x_T)
    samples = 2 * samples - 1 if unit else samples
    FOUND[name] = torch.tensor([distance(part) for part in samples.split(SAMPLES)], dtype=torch.float64)
    SHOWN[name] = samples[:10].reshape(-1, 1, 8, 8)


run("the paper's choices")
print("distances of the seeds:", *[f"{value:.4f}" for value in FOUND["the paper's choices"].tolist()])

# %% [markdown]
# ### Exercise 2: the error of a difference
#
# A variant is compared with the paper's choices seed by seed. Both start with the same weights and see the same data.
# So look at the $n$ *differences*, whose error is usually smaller than that of each mean. Write the mean of the
# differences and its *standard error*: the standard deviation that this mean would have over many repetitions of the
# whole experiment.
#
# The $n$ differences are independent of each other. Variances of independent numbers add up, and a factor $c$
# multiplies a variance by $c^2$. What is the variance of the sum of the $n$ differences, and what is that of their
# mean? Estimate the variance of a single difference from the $n$ that you have, with $n - 1$ in the denominator.
# Check: with four times as many seeds of the same variance, the error is half as large.


# %% tags=["exercise"]
def effect(variant, baseline):
    """The tuple: mean of variant − baseline over the seeds, and its standard error; both arguments (n,), same seeds."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(4, effect))
right_effect = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# If one difference has the variance $\sigma^2$, the sum of $n$ has $n\,\sigma^2$, and the mean, which is $1/n$ of the
# sum, has $n\,\sigma^2/n^2 = \sigma^2/n$. Its root is the standard error, $\sigma/\sqrt n$.
#
# ```python
# def effect(variant, baseline):
#     differences = variant - baseline
#     return differences.mean(), differences.std() / len(differences) ** 0.5
# ```
#
# Why the differences? The variance of $v - u$ is $\mathrm{Var}(v) + \mathrm{Var}(u) - 2\,\mathrm{Cov}(v, u)$. Weights
# or data that happen to be good for one variant are usually good for the other, too. Then the covariance is above 0.
# </details>
#
# A rule of thumb: a difference of more than two or three standard errors has been shown, a smaller one has not. With
# four seeds, take three.


# %%
def report(name, baseline="the paper's choices"):
    """Print the mean distance, and the effect with its standard error."""
    values = FOUND[name]
    mean, error = right_effect(values, FOUND[baseline])
    line = f"{name:32} {values.mean():.4f} ± {values.std().item() / SEEDS**0.5:.4f}"
    print(line if name == baseline else f"{line}   effect {mean:+.4f} ± {error:.4f}")


# %% [markdown]
# ## 5. What the network predicts
#
# The network's answer can be the noise $\varepsilon$, the clean image $x_0$, or
# $v = \sqrt{\bar\alpha_t}\,\varepsilon - \sqrt{1-\bar\alpha_t}\,x_0$ (Salimans and Ho, 2022). Each of these *targets*
# is a mixture $p\,x_0 + q\,\varepsilon$. With $a = \sqrt{\bar\alpha_t}$ and $b = \sqrt{1-\bar\alpha_t}$:
#
# | target | $p$ | $q$ |
# |---|---|---|
# | $\varepsilon$ | 0 | 1 |
# | $x_0$ | 1 | 0 |
# | $v$ | $-b$ | $a$ |
#
# $x_t = a\,x_0 + b\,\varepsilon$ is known. (To write the normally distributed $x_t$ of (4) in this way, by standard
# normal noise, is called the *reparameterisation*.) So each target can be computed from each other one. Does it matter
# which one the network learns? It may, for two reasons. The loss weights the times differently: an error of $\hat x_0$
# counts $a^2/b^2$ times as much in the loss of $\varepsilon$ (exercise 3 of lesson 1). And some targets are easier for
# a network than others.
#
# ### Exercise 3: from one target to another
#
# Given $x_t$ and an answer $p\,x_0 + q\,\varepsilon$, write what the answer would be for the target with $p'$ and
# $q'$. Solve the two equations for $x_0$ and $\varepsilon$ first; their determinant is $d = a q - b p$. Divide by $d$
# alone: for $v$ it is 1 at pure noise, too, where $a = q = 0$.


# %% tags=["exercise"]
def convert(answer, x_t, a, b, old, new):
    """The answer (B, 64) of the target new = (p', q') from that of the target old = (p, q); a, b, p, q are numbers."""
    ...  # replace this line by yours


# %%
print(course.check(4, convert))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def convert(answer, x_t, a, b, old, new):
#     p, q = old
#     d = a * q - b * p
#     x_0 = (q * x_t - b * answer) / d
#     eps = (a * answer - p * x_t) / d
#     return new[0] * x_0 + new[1] * eps
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The two equations are $a\,x_0 + b\,\varepsilon = x_t$ and $p\,x_0 + q\,\varepsilon = y$ with the answer $y$. $q$
# times the first minus $b$ times the second leaves $(a q - b p)\,x_0 = q\,x_t - b\,y$. $a$ times the second minus $p$
# times the first leaves $(a q - b p)\,\varepsilon = a\,y - p\,x_t$. For $v$, $p = -b$ and $q = a$, so $d = a^2 + b^2 =
# 1$.
# </details>
#
# The third variant below keeps $\varepsilon$, but weights its error as the variational bound does, (12) of the paper,
# in place of 1 for all $t$, (14).

# %%
run("predict x_0", target=targets.X0)
run("predict v", target=targets.V)
run("weights of the bound", weighting="variational")
for name in FOUND:
    report(name)

# %% [markdown]
# The weights of the bound are a disaster at this budget: they are largest at the smallest $t$, where hardly any noise
# is left, so the network learns little about the times at which the shape of a digit is decided. $v$ is a little
# better than $\varepsilon$. Between $x_0$ and $\varepsilon$ no difference has been shown: the effect is within its
# error.
#
# ## 6. Data in [0, 1], and no average
#
# Two changes that look innocent. With data in [0, 1], the samples are scaled back to [−1, 1] before they are measured.

# %%
run("data in [0, 1]", unit=True)
run("no EMA", ema=False)
for name in ("data in [0, 1]", "no EMA"):
    report(name)

# %% [markdown]
# Without the average, samples are worse, by about three standard errors. Data in [0, 1] are *better* here, and the
# effect is far larger than its error. Is the paper wrong? Think of what the network has to do. Most pixels are black.
# If black is 0, these pixels of $x_t$ are nothing but noise, and the network finds $\varepsilon$ by scaling them. If
# black is −1, it has to know how much of $x_t$ is signal. A network that is trained for 400 steps profits from that.
# The paper gives another reason for [−1, 1]: inputs of the same scale at all times, as in $x_T$. It has no ablation of
# it, and on photographs, whose mean is near the middle of the range, [0, 1] would shift the data away from 0. A result
# holds for the data that it was measured on.

# %% [markdown]
# ## 7. T and β
#
# $T$ and $\beta$ belong together. The sum of all $\beta_t$ decides how much of the signal is left at $T$:
# $\bar\alpha_T \approx \exp(-\sum_t \beta_t)$. If much is left, sampling must not start from $\mathcal N(0, I)$, since
# no $x_T$ of the forward process looks like that.

# %%
curves = {
    "T = 1000, β to 0.02 (the paper)": schedules.linear(),
    "T = 1000, β to 0.002": schedules.from_betas(torch.linspace(1e-4, 0.002, 1000)),
    "T = 1000, β to 0.1": schedules.from_betas(torch.linspace(1e-4, 0.1, 1000)),
    "T = 100, the same β": schedules.from_betas(torch.linspace(1e-4, 0.02, 100)),
    "T = 100, the same curve": schedules.linear(steps=100),
}
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(7.5, 2.6))
    for style, (name, schedule) in zip(("-", "--", "-.", ":", (0, (1, 3))), curves.items(), strict=True):
        axis.plot(torch.linspace(0, 1, schedule.steps + 1), schedule.signal, linestyle=style, label=name)
    axis.set(xlabel="t / T", ylabel=r"signal $\sqrt{\bar\alpha_t}$")
    axis.legend(fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    figure.tight_layout()
    plt.show()
for name, schedule in curves.items():
    print(f"{name:32} ᾱ_T = {schedule.alpha_bar[-1]:.2g}")
course.expect(abs(curves["T = 100, the same β"].alpha_bar[-1] - 0.36) < 0.01)

# %% [markdown]
# Two of the curves end far from 0: at $\bar\alpha_T \approx 0.35$, more than a third of the signal's power is left.
#
# ### Exercise 4: fewer steps, the same curve
#
# To take $T = 100$ steps *with the same curve* $\bar\alpha$, ten steps of the chain of 1,000 have to become one. Write
# the $\beta$ of the merged steps. Think of what a step does to the signal: it is multiplied by $\sqrt{1-\beta_t}$.


# %% tags=["exercise"]
def merge_steps(beta, k):
    """The β (T/k,) of a chain in which each k steps of the chain beta (T,) are one; k divides T."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(4, merge_steps))
right_merge_steps = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def merge_steps(beta, k):
#     kept = (1 - beta).reshape(-1, k).prod(1)
#     return 1 - kept
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# $k$ steps multiply the signal by $\prod_i \sqrt{1-\beta_i}$. One step multiplies it by $\sqrt{1-\beta'}$, so $1 -
# \beta' = \prod_i (1 - \beta_i)$. The noise agrees as well: a step makes the variance $(1-\beta)\,v + \beta$ of $v$,
# so it multiplies $1 - v$ by $1 - \beta$, and $k$ steps add noise of the variance $1 - \prod_i(1-\beta_i) = \beta'$.
# </details>

# %%
merged = schedules.from_betas(right_merge_steps(schedules.linear().beta[1:], 10))
course.expect(torch.allclose(merged.alpha_bar, curves["T = 100, the same curve"].alpha_bar))
curves["T = 100, the same curve"] = merged
for name, schedule in list(curves.items())[1:]:
    run(name, schedule=schedule)
    report(name)

# %% [markdown]
# Where signal is left at $T$, samples are far worse, with 1,000 steps ($\beta$ to 0.002) as with 100. They start from
# a mean of 0, while the $x_T$ of digits has a mean of about $0.6 \cdot (-0.64) = -0.4$. So the samples come out too
# bright. 100 steps on the *same curve*, however, cannot be told from 1,000. And $\beta$ to 0.1, where half of the
# chain is nothing but noise, costs little.
#
# So it is not $T$ that matters but where the curve ends. (For the *likelihood* many steps matter more, and for images
# of high resolution, too.)

# %% [markdown]
# ## 8. Attention
#
# The perceptron sees all 64 pixels at once, so it has no use for attention. Here is a small network that is built like
# a *transformer*. It cuts the image into 16 patches of 2 × 2 pixels, and describes each by a vector of 32 numbers, a
# *token*, to which the position of the patch and the time are added. Each of its two blocks lets every token look at
# all others (self-attention, lesson 1, section 8), and then changes each token by itself. Without attention the tokens
# never learn of each other.


# %%
class Patches(nn.Module):
    """A network for vectors of 8 × 8 pixels, with self-attention between patches or without."""

    def __init__(self, attention, width=32, blocks=2):
        super().__init__()
        self.attention, self.width = attention, width
        self.time = nets.MLP(width, width, 1, out_features=width).time
        self.enter, self.place = nn.Linear(4, width), nn.Parameter(torch.randn(16, width))
        self.mix = nn.ModuleList(nn.ModuleList(nn.Linear(width, n) for n in (3 * width, width)) for _ in range(blocks))
        self.own = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
            for _ in range(blocks)
        )
        self.leave = nn.Linear(width, 4)

    def forward(self, x, index, labels=None):
        patches = x.reshape(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)
        frequency = torch.exp(-math.log(10000) * torch.arange(self.width // 2) / (self.width // 2 - 1))
        angle = index[:, None] * frequency
        time = self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
        h = self.enter(patches) + self.place + time[:, None]
        for mix, own in zip(self.mix, self.own, strict=True):
            if self.attention:
                q, k, v = mix[0](F.layer_norm(h, h.shape[-1:])).chunk(3, dim=2)
                match = (q @ k.transpose(1, 2) / self.width**0.5).softmax(dim=2)
                h = h + mix[1](match @ v)
            h = h + own(h)
        return self.leave(h).reshape(-1, 4, 4, 2, 2).transpose(2, 3).reshape(-1, 64)


run("patches, attention", build=lambda: Patches(True), steps=100)
run("patches, no attention", build=lambda: Patches(False), steps=100)
for name in ("patches, attention", "patches, no attention"):
    report(name, "patches, attention")

# %% [markdown]
# Without attention the distance is larger, by two to three standard errors: a hint, and by our rule no proof. The
# surprise is how well it works without: each patch is denoised by itself, knowing only its place. (Of a digit of 8 × 8
# pixels, the place says much.) In the paper's U-Net the convolutions at low resolution connect all pixels anyway, so
# there attention is a refinement, too; with larger images and transformers it is the only connection.

# %% [markdown]
# ## 9. One table, one picture
#
# Effects are sorted; above 0 is worse than the baseline. The last column says how many standard errors the effect is
# away from 0.

# %%
effects, paper = {}, "the paper's choices"
for name, values in FOUND.items():
    baseline = "patches, attention" if name.startswith("patches") else paper
    if name != baseline:
        difference = values - FOUND[baseline]
        effects[name] = difference.mean().item(), difference.std().item() / SEEDS**0.5
ordered = sorted(effects, key=lambda name: effects[name][0])
print(f"floor {floor:.4f}, the paper's choices {FOUND[paper].mean():.4f}, ", end="")
print(f"patches with attention {FOUND['patches, attention'].mean():.4f}")
print(f"{'variant':26}{'distance':>10}{'effect':>20}{'standard errors':>17}")
for name in ordered:
    mean, error = effects[name]
    print(f"{name:26}{FOUND[name].mean():10.4f}{f'{mean:+.4f} ± {error:.4f}':>20}{mean / error:17.1f}")
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(6.5, 3))
    means, errors = zip(*(effects[name] for name in ordered), strict=True)
    axis.errorbar(means, range(len(ordered)), xerr=[3 * error for error in errors], fmt="o", markersize=4, capsize=3)
    axis.axvline(0, linestyle=":", color="0.5")
    axis.set(yticks=range(len(ordered)), yticklabels=ordered, xlabel="effect on the distance, ± 3 standard errors")
    figure.tight_layout()
    plt.show()
rows = ["the paper's choices", "weights of the bound", "T = 100, the same β", "no EMA", "patches, no attention"]
course.show([held_out[:10].reshape(-1, 1, 8, 8), *[SHOWN[name] for name in rows]], labels=["data", *"12345"], size=0.6)
print(*[f"{number}: {name}" for number, name in enumerate(rows, 1)], sep="\n")
if not QUICK:
    in_errors = {name: mean / error for name, (mean, error) in effects.items()}
    course.expect(1.9 < FOUND[paper].mean() / floor < 2.4)
    course.expect(effects["weights of the bound"][0] > 0.25)
    course.expect(-6 < in_errors["predict v"] < -2)
    course.expect(abs(in_errors["predict x_0"]) < 3)
    course.expect(in_errors["data in [0, 1]"] < -4)
    course.expect(1.8 < in_errors["no EMA"] < 5)
    course.expect(1.5 < in_errors["patches, no attention"] < 3.5)
    course.expect(effects["T = 1000, β to 0.002"][0] > 0.08)
    course.expect(effects["T = 100, the same β"][0] > 0.08)
    course.expect(abs(in_errors["T = 100, the same curve"]) < 3)
    course.expect(effects["T = 1000, β to 0.1"][0] < 0.03)
    course.expect(SHOWN["T = 100, the same β"].mean() > SHOWN["the paper's choices"].mean() + 0.05)

# %% [markdown]
# Read the picture from the top. The weights of the bound, and chains that keep signal at $T$, are the large effects.
# They can be seen in the digits, too: under the data stand the variants 1 to 5. (400 steps of training are very
# little: even the samples of the paper's choices are hardly digits, and their distance is twice the floor. An ablation
# compares; it does not need good samples. But it tells only about networks that are trained this short.)
#
# **What the paper found at its scale** (CIFAR-10, 800,000 steps, its table 2; FID, a distance, smaller is better):
#
# | network predicts | loss | FID |
# |---|---|---|
# | $\tilde\mu$, the mean of the step | the bound, fixed variance | 13.22 |
# | $\varepsilon$ | the bound, fixed variance | 13.51 |
# | $\varepsilon$ | $L_{\rm simple}$ | **3.17** |
#
# ($\tilde\mu$ with unweighted errors, and $\varepsilon$ with learned variance, were unstable.) The lesson of that
# table is ours as well: **what the network predicts matters little as long as the weights are the same; the weights of
# $L_{\rm simple}$ are what made DDPM good.** The paper gives no numbers for the other choices of this lesson.
#
# What our table does not show: that EMA at 0.9999, [−1, 1] or attention in a U-Net are useless or useful *there*. With
# 64 pixels and 400 steps, some effects are smaller than our errors, and others have another sign than they may have at
# another scale. More seeds make the error bars shorter, as $1/\sqrt n$; only an ablation at the scale of interest
# tells what holds there.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **A short memory.** In section 4, `DECAY = 0.98` → `DECAY = 0.8`. The averaged weights follow the last steps alone,
#   so *no EMA* is hardly worse than the paper's choices. As long as before.
# * **Half the training.** In section 4, `(4, 400, 64, 125)` → `(4, 200, 64, 125)`. All distances are larger. See which
#   effects keep their sign. Half the time.
# * **A small network.** In section 4, `nets.MLP(64, width=128, layers=2)` → `nets.MLP(64, width=32, layers=2)`. All
#   distances are larger, and the choice of the target counts for more: predicting $\varepsilon$ needs a network that
#   passes all 64 numbers on. Less time.
