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
# # Guidance
#
# Until here a model made samples of everything that it had seen. Now we want a *certain* thing: a seven, a cat, the
# image that a sentence describes. This lesson shows
#
# * how a network is given the class that is wanted, and why the label is sometimes hidden from it in training,
# * *classifier guidance*, which is Bayes' rule for scores, and *classifier-free guidance*, which needs no classifier,
# * that guided samples are **not** samples of the distribution of the class. You see what they are instead, and measure
#   what is gained and what is lost.
#
# As in lesson 6, exact denoisers come first, so that every number is exact. In the last third a small network learns
# the ten digits. You should have done lesson 6. The papers are [Dhariwal and
# Nichol](https://arxiv.org/abs/2105.05233) (2021) for classifier guidance and [Ho and
# Salimans](https://arxiv.org/abs/2207.12598) (2022) for classifier-free guidance.

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
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

import ancestral
import ancestral_course as course
from ancestral import guidance, oracle, samplers, schedules
from ancestral.metrics.precision_recall import precision_recall
from ancestral.targets import Prediction

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 takes fewer samples and training steps, to test that every cell runs
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1. Two classes in the plane
#
# The data are points $x_0$ of two classes, $y = 0$ and $y = 1$, equally frequent. Each class is a mixture of two
# Gaussians. One Gaussian of each class lies alone, and the other two overlap. As in lesson 6,
# $x_t = a_t x_0 + b_t \varepsilon$ (the *reparameterisation* of $q(x_t|x_0)$) with $a_t = \sqrt{\bar\alpha_t}$ and
# $b_t = \sqrt{1-\bar\alpha_t}$, and `oracle.Mixture` is the exact denoiser of such data. We need three of them: one
# for all data, and one for each class.

# %%
F64 = torch.float64
schedule = schedules.linear(1000)
MEANS = torch.tensor([[[-1.2, 0.6], [0.6, 0.3]], [[0.9, -0.4], [-0.3, -1.1]]], dtype=F64)  # class, component, x and y
STDS = torch.tensor([[0.25, 0.3], [0.3, 0.25]], dtype=F64)
everything = oracle.Mixture(schedule, MEANS.flatten(0, 1), STDS.flatten())
of_class = [oracle.Mixture(schedule, MEANS[y], STDS[y]) for y in (0, 1)]


def sample_data(y, n, seed):
    """True samples (n, 2) of the class y."""
    generator = torch.Generator().manual_seed(seed)
    part = torch.randint(2, (n,), generator=generator)
    return MEANS[y, part] + STDS[y, part, None] * torch.randn(n, 2, dtype=F64, generator=generator)


N = 200 if QUICK else 2000
true = [sample_data(y, N, seed=y) for y in (0, 1)]


def cloud(axis, points, title, color="C0"):
    """Draw points (N, 2)."""
    axis.scatter(*points.T.numpy(), s=2, alpha=0.5, linewidths=0, color=color)
    axis.set(xlim=(-2.6, 2.6), ylim=(-2.4, 2.4), aspect="equal")
    course.frame(axis)
    axis.set_title(title, fontsize=9)


with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(3, 2.6))
    cloud(axis, true[0], "class 0 (blue) and class 1 (orange)")
    cloud(axis, true[1], "class 0 (blue) and class 1 (orange)", color="C1")
    figure.tight_layout()
    plt.show()

# %% [markdown]
# ## 2. A denoiser that is conditioned on the class
#
# A *conditional* denoiser gets a label $y$ besides $x_t$ and $t$. It estimates the mean of the clean data of this
# class. In a network the label enters as the time does: a table holds one vector for each class (`nn.Embedding`), it
# is learned like every weight, and it is added to the time embedding.
#
# We will need the estimate *without* a label, too. Two networks could be trained. The usual way is one network: in
# training the label of about every tenth example is replaced by a special label, "no class". The package writes it as
# −1 (`guidance.NO_CLASS`) and the table has one more row for it. This is **label dropout**. With $y$ = "no class" the
# network sees examples of all classes, so it learns the denoiser of all data. Its estimate is the mean of the
# estimates for the classes, weighted with how probable each class is given $x_t$. (The mean of conditional means is
# the mean, $\mathbb E[x_0|x_t] = \mathbb E\big[\mathbb E[x_0|x_t, y]\,\big|\,x_t\big]$. This is called the *tower
# property*.)
#
# ### Exercise 1: label dropout
#
# Replace labels by −1, each with the probability `share`. Random numbers `u`, uniform in [0, 1), are given. Do not
# change the tensor that comes in: the data set needs its labels again.


# %% tags=["exercise"]
def drop_labels(labels, u, share):
    """The labels (B,), int64, with -1 in the place of a random share of them; u (B,) is uniform in [0, 1)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(7, drop_labels))
right_drop_labels = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def drop_labels(labels, u, share):
#     return torch.where(u < share, -1, labels)
# ```
# </details>
#
# Here is the exact conditional denoiser of our two classes. A label −1 means no class, as for a network. With dropped
# labels it is the denoiser of all data where a label is missing.


# %%
class Conditional:
    """The exact denoiser given labels (B,): the class 0 or 1, or -1 for all data."""

    def __init__(self):
        self.schedule = schedule

    def predict(self, x_t, t, labels):
        estimates = [torch.stack(tuple(model.predict(x_t, t))) for model in (everything, *of_class)]
        chosen = torch.stack(estimates)[labels + 1, :, torch.arange(len(x_t))]  # (B, 2, 2): x̂_0 and ε̂ of each point
        return Prediction(chosen[:, 0], chosen[:, 1])


conditional = Conditional()
solver = samplers.UniPC(steps=50, spacing="logsnr")  # deterministic, accurate with 50 steps: see lesson 6
x_T = torch.randn(N, 2, dtype=F64, generator=torch.Generator().manual_seed(2))
labels = {name: torch.full((N,), y) for name, y in {"no label": -1, "y = 0": 0, "y = 1": 1}.items()}
course.scatter({name: solver.sample(conditional, x_T, labels=y) for name, y in labels.items()}, limit=2.6)
u = torch.rand(N, generator=torch.Generator().manual_seed(5))
dropped = right_drop_labels(labels["y = 1"], u, 0.1).long()
free = dropped == -1
print(f"labels that are dropped with the share 0.1: {free.double().mean():.1%}")
estimates = conditional.predict(x_T, 300, dropped).x0, everything.predict(x_T, 300).x0
course.expect(torch.equal(*(estimate[free] for estimate in estimates)))

# %% [markdown]
# ## 3. Bayes' rule on scores
#
# Suppose we have the denoiser of all data only, and a *classifier* $p(y \mid x_t)$ that says how probable each class
# is for a *noisy* point $x_t$. Bayes' rule connects the two:
#
# $$p_t(x \mid y) = \frac{p_t(x)\; p_t(y \mid x)}{p(y)} .$$
#
# Take the logarithm and the gradient with respect to $x$. $p(y)$ does not depend on $x$ and vanishes:
#
# $$\underbrace{\nabla \log p_t(x \mid y)}_{\text{score of the class}} =
# \underbrace{\nabla \log p_t(x)}_{\text{score of all data}} + \underbrace{\nabla \log p_t(y \mid x)}_{\text{gradient of
# the classifier}} .$$
#
# So a model of all data becomes a model of one class, without new training, if a classifier for noisy data is there.
#
# In our world the classifier is exact, too. `log_joint` gives $\log p_t(x, y) = \log \big(p(y)\,p_t(x \mid y)\big)$
# for both classes. The softmax of these numbers over the classes is $p_t(y \mid x)$.


# %%
def log_joint(x, t):
    """log p_t(x, y) of points (B, 2) for both classes: (B, 2)."""
    return torch.stack([math.log(0.5) + model.log_density(x, t) for model in of_class], dim=1)


x = torch.tensor([[-0.4, 0.2], [0.8, 0.1], [0.0, -2.0]], dtype=F64)
for t in (1, 300, 700):
    print(f"t = {t}: probability of class 0 at three points:", log_joint(x, t).softmax(dim=1)[:, 0].numpy().round(3))
course.expect((log_joint(x, 700).softmax(dim=1)[:, 0] - 0.5).abs().max() < 0.2)

# %% [markdown]
# At $t = 700$ the classifier is not sure of anything, since noise has covered the classes.
#
# ### Exercise 2: the gradient of a classifier
#
# Compute $\nabla_x \log p(y \mid x)$ with PyTorch's automatic differentiation. The function `log_joint(x)` of this
# exercise returns $\log p(x, y)$ for all $K$ classes, (B, K). Each of the B points has a label of its own. Two hints:
# `log_softmax` over the classes gives $\log p(y \mid x)$, and since a point's value depends on this point alone, the
# gradient of the *sum* over the batch holds the gradient of each point.


# %% tags=["exercise"]
def classifier_gradient(log_joint, x, y):
    """∇ log p(y|x) (B, D) at points x (B, D) for the labels y (B,); log_joint(x) returns log p(x, y) as (B, K)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(7, classifier_gradient))
right_classifier_gradient = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def classifier_gradient(log_joint, x, y):
#     x = x.detach().requires_grad_()
#     log_p = log_joint(x).log_softmax(dim=1)[torch.arange(len(x)), y]
#     return torch.autograd.grad(log_p.sum(), x)[0]
# ```
# </details>
#
# Is the sum of both scores the score of the class? The left side comes from the oracle of class 0, the right side from
# the oracle of all data and from the gradient of the classifier. The last line checks the tower property of section 2.

# %%
for t in (1, 300, 700):
    a_t, b_t = schedule.at(t)
    gradient = right_classifier_gradient(partial(log_joint, t=t), x, torch.zeros(len(x), dtype=torch.int64))
    left = -of_class[0].predict(x, t).eps / b_t  # the score is −ε̂/b_t
    right = -everything.predict(x, t).eps / b_t + gradient
    print(f"t = {t}: largest difference {(left - right).abs().max():.1e}")
    course.expect(torch.allclose(left, right, atol=1e-8))
    by_class = torch.stack([model.predict(x, t).x0 for model in of_class], dim=1)  # point, class, x and y
    mean = (log_joint(x, t).softmax(dim=1)[:, :, None] * by_class).sum(dim=1)
    course.expect(torch.allclose(everything.predict(x, t).x0, mean, atol=1e-8))

# %% [markdown]
# ### Exercise 3: classifier guidance
#
# Samplers take $\hat\varepsilon$ and not the score. Dhariwal and Nichol multiply the classifier's gradient by a number
# $w$, the *guidance scale*, and add it to the score (their algorithm 2). Write the $\hat\varepsilon$ that belongs to
# the score $\nabla \log p_t(x) + w\,\nabla \log p_t(y \mid x)$, where $\hat\varepsilon$ and the score are related by
# $\nabla\log p_t = -\hat\varepsilon / b_t$.


# %% tags=["exercise"]
def classifier_guidance(eps, gradient, b, scale):
    """The guided noise (B, *) from eps (B, *), the classifier's gradient (B, *), b_t (float) and the scale (float)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(7, classifier_guidance))
right_classifier_guidance = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def classifier_guidance(eps, gradient, b, scale):
#     return eps - scale * b * gradient
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The noise that belongs to a score is the score times $-b$. For the guided score it is $-b\,\big(\nabla\log p_t(x) +
# w\,\nabla\log p_t(y \mid x)\big) = \hat\varepsilon - w\,b\,\nabla\log p_t(y \mid x)$.
# </details>
#
# ## 4. Without a classifier
#
# A classifier for noisy images has to be trained, and its gradients are often poor. Ho and Salimans noticed that a
# conditional denoiser with label dropout *contains* a classifier.
#
# ### Exercise 4: guidance without a classifier
#
# The network gives two estimates of the noise, $\hat\varepsilon_y$ with the label and $\hat\varepsilon_\varnothing$
# without it. Write the guided noise from these two alone. Its score is
# $\nabla\log p_t(x) + s\,\nabla\log p_t(y \mid x)$ with the scale $s$. Begin with Bayes' rule for scores, and solve it
# for the gradient of the classifier. Of which densities are the scores that remain, and by which estimates are they
# known? Check: $s = 0$ ignores the label, and $s = 1$ is the conditional denoiser itself.


# %% tags=["exercise"]
def classifier_free(eps_label, eps_free, scale):
    """The guided noise (B, *) from the estimates with the label (B, *) and without it (B, *), and the scale s."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(7, classifier_free))
right_classifier_free = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# $\nabla\log p_t(y \mid x)$ is the score of the class minus that of all data,
# $-(\hat\varepsilon_y - \hat\varepsilon_\varnothing)/b_t$. Add $s$ times this to $-\hat\varepsilon_\varnothing/b_t$,
# and multiply by $-b_t$. The factor $b_t$ cancels.
#
# ```python
# def classifier_free(eps_label, eps_free, scale):
#     return eps_free + scale * (eps_label - eps_free)
# ```
# </details>
#
# Turn Bayes' rule around:
#
# $$\nabla \log p_t(y \mid x) = \nabla \log p_t(x \mid y) - \nabla \log p_t(x) .$$
#
# The right side is the difference of two estimates of one network, with and without the label. In terms of the noise,
# with $\hat\varepsilon_y$ for the estimate with the label and $\hat\varepsilon_\varnothing$ for the one without, the
# guided noise is
#
# $$\hat\varepsilon = \hat\varepsilon_\varnothing + s\,(\hat\varepsilon_y - \hat\varepsilon_\varnothing).$$
#
# This is **classifier-free guidance** with the scale $s$. $s = 0$ ignores the label, $s = 1$ is the conditional
# denoiser itself, and $s > 1$ goes beyond it, in the direction that leads from "anything" to "this class".
#
# Two ways of counting are in use. The paper's (6) is $(1 + w)\,\hat\varepsilon_y - w\,\hat\varepsilon_\varnothing$.
# Sort the terms and you see that it is the same with $s = 1 + w$: the paper's $w = 0$ means no guidance. This package,
# like most programs, takes $s$: `guidance.ClassifierFree(denoiser, scale)` and `ancestral sample --guidance 2` mean
# $s = 2$, $w = 1$.
#
# Four ways to the same guided noise: the function of exercise 4, the paper's formula, the package, and the classifier's
# gradient by exercises 2 and 3.

# %%
t, scale = 300, 3.0
a_t, b_t = schedule.at(t)
y = torch.zeros(len(x), dtype=torch.int64)  # class 0
eps_label, eps_free = conditional.predict(x, t, y).eps, conditional.predict(x, t, torch.full_like(y, -1)).eps
by_hand = right_classifier_free(eps_label, eps_free, scale)
paper = (1 + (scale - 1)) * eps_label - (scale - 1) * eps_free  # (6) of Ho and Salimans, with w = s − 1
by_package = guidance.ClassifierFree(conditional, scale).predict(x, t, labels=y).eps
gradient = right_classifier_gradient(partial(log_joint, t=t), x, y)
by_classifier = right_classifier_guidance(eps_free, gradient, b_t, scale)
for name, eps in {"(6)": paper, "package": by_package, "classifier": by_classifier}.items():
    print(f"{name}: largest difference from exercise 4 {(eps - by_hand).abs().max():.1e}")
    course.expect(torch.allclose(eps, by_hand, atol=1e-8))

# %% [markdown]
# The classifier's gradient is added to the score of *all* data here. So its scale $w$ counts as $s$ does: 0 ignores the
# label, and 1 is Bayes' rule. With exact models the two kinds of guidance are one. With trained networks they differ,
# because a trained classifier and the difference of two estimates make different errors.
#
# ## 5. What guidance does to the samples
#
# Class 0 at four scales, all from the same $x_T$, guided by the function of exercise 4. The true samples of the class
# are at the left.


# %%
class Guided:
    """Classifier-free guidance by the function of exercise 4, of both estimates, since x̂_0 is linear in ε̂."""

    def __init__(self, denoiser, scale):
        self.denoiser, self.schedule, self.scale = denoiser, denoiser.schedule, scale

    def predict(self, x_t, t, labels):
        by_label = self.denoiser.predict(x_t, t, labels=labels)
        free = self.denoiser.predict(x_t, t, labels=torch.full_like(labels, -1))
        return Prediction(*(right_classifier_free(*pair, self.scale) for pair in zip(by_label, free, strict=True)))


SCALES = (1.0, 2.0, 4.0, 8.0)
class_0 = torch.zeros(N, dtype=torch.int64)
guided = {s: solver.sample(Guided(conditional, s), x_T, labels=class_0) for s in SCALES}
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 5, figsize=(9.5, 2.1))
    cloud(axes[0], true[0], "data of class 0")
    for axis, (s, points) in zip(axes[1:], guided.items(), strict=True):
        cloud(axis, points, f"scale {s:.0f}")
    figure.tight_layout(pad=0.3)
    plt.show()


def certainty(x):
    """The mean probability p(0|x_0) that the exact classifier gives to class 0."""
    return log_joint(x, 0).softmax(dim=1)[:, 0].mean().item()


def left_share(x):
    """The share of points that belong to the left component of class 0: one half in the data."""
    return (x[:, 0] < -0.3).double().mean().item()


def right_height(x):
    """The mean height of the points of the right component: 0.3 in the data."""
    return x[x[:, 0] >= -0.3][:, 1].mean().item()


print(f"{'':16}{'p(0|x)':>10}{'left share':>12}{'height of the right component':>32}")
for name, points in {"data": true[0], **{f"scale {s:.0f}": points for s, points in guided.items()}}.items():
    print(f"{name:16}{certainty(points):10.3f}{left_share(points):12.2f}{right_height(points):32.2f}")
if not QUICK:
    course.expect(abs(certainty(guided[1.0]) - certainty(true[0])) < 0.02)
    course.expect(abs(left_share(guided[1.0]) - 0.5) < 0.03)
    course.expect(abs(certainty(guided[2.0]) - 0.99) < 0.005)
    course.expect(abs(left_share(guided[2.0]) - 0.62) < 0.01)
    course.expect(abs(left_share(guided[8.0]) - 0.94) < 0.01)
    course.expect(abs(right_height(guided[1.0]) - 0.3) < 0.03)
    course.expect(right_height(guided[4.0]) > 0.7)

# %% [markdown]
# With scale 1 the samples are those of the class. With larger scales three things happen:
#
# * **The samples look more like their class.** With scale 2 the classifier is 99 % sure, in place of 92 %. This is the
#   purpose of guidance. Points in the overlap, which could as well be of the other class, become rare.
# * **They move away from the data.** The right component shifts upwards, away from class 1, from a height of 0.3 to
#   more than 0.7 with scale 4. There is hardly any data there. Images with much guidance have exaggerated colours and
#   contrast for this reason.
# * **Modes are lost.** Half of the class belongs to the left component. With scale 2 it gets 62 % of the samples, with
#   scale 8 it gets 94 %. The classifier prefers the component that lies alone.
#
# ## 6. They are not samples of a sharpened distribution, either
#
# At one time $t$, the guided score is the gradient of $\log\big(p_t(x)\,p_t(y \mid x)^s\big)$. So one reads that
# guidance samples from $p_0(x)\,p_0(y \mid x)^s$, the data distribution with a sharpened classifier. Is it true? In
# the plane this density can be computed on a grid. The picture shows its contour lines, and 600 of the guided samples.

# %%
line = torch.linspace(-3, 3, 301, dtype=F64)
grid = torch.cartesian_prod(line, line)


def sharpened(s):
    """p_0(x) p_0(y = 0|x)^s on the grid, scaled to the sum 1: (301 · 301,)."""
    return (everything.log_density(grid, 0) + s * log_joint(grid, 0).log_softmax(dim=1)[:, 0]).softmax(dim=0)


shares = {s: (left_share(guided[s]), sharpened(s)[grid[:, 0] < -0.3].sum().item()) for s in SCALES}
for s, (by_guidance, by_density) in shares.items():
    print(f"scale {s:.0f}: share of the left component {by_guidance:.2f} guided, {by_density:.2f} sharpened density")
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 2, figsize=(5, 2.2))
    for axis, s in zip(axes, (1.0, 4.0), strict=True):
        density = sharpened(s).reshape(301, 301).T
        axis.contour(line, line, density / density.max(), levels=[0.05, 0.2, 0.5, 0.8], colors="C1", linewidths=1)
        cloud(axis, guided[s][:600], f"scale {s:.0f}")
    figure.tight_layout(pad=0.3)
    plt.show()
if not QUICK:
    course.expect(abs(shares[1.0][0] - shares[1.0][1]) < 0.03)
    course.expect(abs(shares[4.0][0] - 0.79) < 0.01)
    course.expect(abs(shares[4.0][1] - 0.58) < 0.01)

# %% [markdown]
# No. With scale 4 the sharpened density has 58 % in the left component, and the guided samples 79 %. The reason is
# that adding noise to $p_0(x)\,p_0(y \mid x)^s$ does *not* give $p_t(x)\,p_t(y \mid x)^s$, unless $s$ is 0 or 1. The
# guided scores of the different times do not belong to the noisy versions of any one distribution. There is no formula
# for the distribution that comes out. It depends on the schedule and on the sampler, too.
#
# ## 7. Quality against diversity
#
# How much guidance is good? Two numbers, one for each side of the bargain: how sure the classifier is (higher is
# better), and the distance of the samples from the data of the class (lower is better). As the distance we take the
# *energy distance* $2\,E\|X - Y\| - E\|X - X'\| - E\|Y - Y'\|$ between samples $X, X'$ and data $Y, Y'$. It is 0 if
# both have the same distribution.


# %%
def energy_distance(x, y):
    """The energy distance between two sets of points (N, 2)."""
    return (2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()).item()


SWEEP = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
swept = {s: solver.sample(guidance.ClassifierFree(conditional, s), x_T, labels=class_0) for s in SWEEP}
sure = [certainty(points) for points in swept.values()]
far = [energy_distance(points, true[0]) for points in swept.values()]
for s, p, d in zip(SWEEP, sure, far, strict=True):
    print(f"scale {s:3.1f}: p(0|x) {p:.3f}, distance from the class {d:.3f}")
course.plot(SWEEP, {"p(0|x)": sure, "distance from the class": far}, "guidance scale", marker="o", markersize=3)
course.expect(min(far) == far[SWEEP.index(1.0)])
course.expect(sure == sorted(sure))

# %% [markdown]
# The distance is smallest at scale 1, as it has to be: there the samples *are* the distribution of the class. The
# classifier's certainty grows with the scale all the time, but hardly beyond scale 2. FID, which compares
# distributions, is best at a small scale for this reason. (Ho and Salimans found $s$ of 1.1 to 1.3 on ImageNet. A
# trained network is not exact, and a little guidance makes up for it.) People who look at single images prefer larger
# scales.
#
# ## 8. Guidance in an interval
#
# Guidance need not have the same scale at all times. Kynkäänniemi et al. ([2024](https://arxiv.org/abs/2404.07724))
# apply it between two times only, and take the plain conditional denoiser at the others. Their reason: guidance at
# *much* noise decides between modes, where it does the damage, and guidance at *little* noise does hardly anything.
#
# ### Exercise 5: the scale in an interval
#
# Write the scale as a function of $t$: `scale` where `low` ≤ t ≤ `high`, and elsewhere the scale that leaves the
# conditional denoiser as it is. `t` is a tensor with a time for each image.


# %% tags=["exercise"]
def interval_scale(t, scale, low, high):
    """The guidance scale (B,), float32, at times t (B,), int64: `scale` from low to high, both included."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(7, interval_scale))
right_interval_scale = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def interval_scale(t, scale, low, high):
#     return torch.where((t >= low) & (t <= high), scale, 1.0)
# ```
# </details>


# %%
class Interval:
    """Classifier-free guidance with the scale of exercise 5; where it is 1 one estimate is enough."""

    def __init__(self, denoiser, scale, low, high):
        self.denoiser, self.schedule, self.setting = denoiser, denoiser.schedule, (scale, low, high)

    def predict(self, x_t, t, labels):
        scale = right_interval_scale(torch.tensor([t]), *self.setting).item()
        model = self.denoiser if scale == 1 else Guided(self.denoiser, scale)
        return model.predict(x_t, t, labels=labels)


INTERVALS = {"all times": (1, 1000), "much noise": (201, 1000), "t ≤ 200": (1, 200), "50 ≤ t ≤ 200": (50, 200)}
limited = {
    name: solver.sample(Interval(conditional, 4.0, *interval), x_T, labels=class_0)
    for name, interval in INTERVALS.items()
}
for name, points in {"scale 2, all times": swept[2.0], **{f"scale 4, {n}": p for n, p in limited.items()}}.items():
    print(f"{name:22} p(0|x) {certainty(points):.3f}, left share {left_share(points):.2f}, ", end="")
    print(f"distance {energy_distance(points, true[0]):.3f}")
course.scatter({name: limited[name] for name in INTERVALS}, limit=2.6)
if not QUICK:
    course.expect(torch.allclose(limited["all times"], guided[4.0]))
    course.expect(abs(certainty(limited["t ≤ 200"]) - certainty(swept[2.0])) < 0.003)
    course.expect(energy_distance(limited["t ≤ 200"], true[0]) < energy_distance(swept[2.0], true[0]) / 3)
    course.expect(left_share(limited["much noise"]) > 0.7)
    course.expect(abs(left_share(limited["t ≤ 200"]) - 0.5) < 0.05)
    course.expect(
        abs(energy_distance(limited["50 ≤ t ≤ 200"], true[0]) - energy_distance(limited["t ≤ 200"], true[0])) < 0.005
    )

# %% [markdown]
# Guidance at $t \le 200$ alone makes the classifier as sure as scale 2 at all times does, with less than a third of the
# distance, and about half of the samples are in each component. At $t < 50$ guidance changes nothing, so it can be
# left out there, which saves the second estimate. At much noise alone it loses the modes.
#
# ## 9. An aside: clipping
#
# The guided $\hat x_0$ is an extrapolation, so it can lie where there are no data. For images it leaves [−1, 1], and
# the next steps get inputs that the network has never seen. Here is how far the first estimate of all, at $t = T$, is
# from the origin, compared with the data.

# %%
data_length = true[0].norm(dim=1).mean().item()
print(f"mean length of the data of class 0: {data_length:.2f}")
lengths = {}
for s in SCALES:
    first = next(iter(solver.trajectory(guidance.ClassifierFree(conditional, s), x_T, labels=class_0)))
    lengths[s] = first.x0.norm(dim=1).mean().item()
    print(f"scale {s:.0f}: mean length of the first estimate {lengths[s]:.2f}")
course.expect(lengths[1.0] < 0.6)
course.expect(lengths[8.0] > 2 * data_length)

# %% [markdown]
# $x_T$ says nothing about $x_0$, so the first estimate should be near the mean of the class. With scale 8 it lies far
# outside the data. Two remedies are in use for images. *Clipping* sets the values of $\hat x_0$ beyond ±1 to ±1
# (`clip=1.0` in the package's samplers). *Dynamic thresholding* (Imagen; Saharia et al., 2022) takes the 99.5th
# percentile $p$ of $|\hat x_0|$ in each image. If $p > 1$, it clips to $[-p, p]$ and divides by $p$, so that fewer
# pixels end up at exactly ±1.
#
# ## 10. Ten digits
#
# Now a network. `ancestral.train` trains the preset `digits`, with a sixth of its usual steps. The label dropout is
# 0.1. This network predicts $\hat x_0$, and for it eight steps of DDIM with $\eta = 1$ are enough.

# %%
TRAIN_STEPS, COUNT = (4, 20) if QUICK else (400, 200)
with tempfile.TemporaryDirectory() as folder:
    run = ancestral.train(
        "digits", out=f"{folder}/digits", steps=TRAIN_STEPS, save_every=1000, sample_every=1000, progress=False
    )
model = run.model
print(model)
course.expect(model.step == TRAIN_STEPS)

# %% [markdown]
# How good are guided digits? We need a judge: a classifier of digits, trained on 4,000 of the images. The other 1,000
# test it.

# %%
pixels, digit_labels = course.mnist_data()
images = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28) / 127.5 - 1
digit_labels = torch.tensor(digit_labels)
shuffled = torch.randperm(5000, generator=torch.Generator().manual_seed(0))
train_rows, test_rows = shuffled[:4000], shuffled[4000:]
convolutions = (nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten())
judge = nn.Sequential(*convolutions, nn.Linear(800, 64), nn.ReLU(), nn.Linear(64, 10))
optimiser = torch.optim.Adam(judge.parameters(), lr=2e-3)
for _ in range(10 if QUICK else 500):
    rows = train_rows[torch.randint(len(train_rows), (64,))]
    loss = F.cross_entropy(judge(images[rows]), digit_labels[rows])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
judge.requires_grad_(False)
test_accuracy = (judge(images[test_rows]).argmax(dim=1) == digit_labels[test_rows]).double().mean().item()
print(f"accuracy of the judge on real digits: {test_accuracy:.2f}")
if not QUICK:
    course.expect(test_accuracy > 0.93)

# %% [markdown]
# We compute four numbers of 200 digits, twenty of each class, for each scale:
#
# * *accuracy*: the share of the digits in which the judge sees the class that was wanted,
# * *precision*: the share of the digits that lie among the real ones. A ball around each real digit reaches to its
#   fifth neighbour, and a sample counts if it is in one of the balls. The distances are those of the judge's 64
#   features, its last layer but one,
# * *recall*: the same with the roles changed, the share of the real digits that lie among the samples,
# * *ink*: the mean pixel, where −1 is black and +1 is white.
#
# Accuracy and precision measure quality, recall measures diversity.

# %%
sampler = model.sampler("ddim:eta=1", steps=8)
wanted = torch.arange(COUNT) % 10
noise = torch.randn(COUNT, 1, 28, 28, generator=torch.Generator().manual_seed(1))
features = judge[:-1]
real = features(images[test_rows])


def report(name, digits):
    """Print and return accuracy, precision, recall and ink of sampled digits."""
    accuracy = (judge(digits).argmax(dim=1) == wanted).double().mean().item()
    found = precision_recall(features(digits), real)
    values = accuracy, found.precision.mean().item(), found.recall.mean().item(), digits.mean().item()
    print(f"{name:18}" + "".join(f"{value:11.2f}" for value in values))
    return values


print(f"{'':18}{'accuracy':>11}{'precision':>11}{'recall':>11}{'ink':>11}")
sampled, scores = {}, {}
for s in SCALES:
    sampled[s] = sampler.sample(guidance.ClassifierFree(model.denoiser, s), noise, labels=wanted)
    scores[s] = report(f"scale {s:.0f}", sampled[s])
early_off = sampler.sample(Interval(model.denoiser, 4.0, 1, 700), noise, labels=wanted)
in_interval = report("scale 4, t ≤ 700", early_off)
ink = images.mean().item()
print(f"{'real digits':18}{test_accuracy:11.2f}{'':22}{ink:11.2f}")
rows = [digits[:10] for digits in (*sampled.values(), early_off)]
course.show(rows, labels=[*(f"scale {s:.0f}" for s in SCALES), "t ≤ 700"], size=0.7)
accuracy, precision, recall, brightness = ([scores[s][k] for s in SCALES] for k in range(4))
if not QUICK:
    course.expect(0.68 < accuracy[0] < 0.86)
    course.expect(accuracy[1] > test_accuracy)
    course.expect(accuracy[2] > test_accuracy)
    course.expect(precision[3] < precision[1] - 0.08)
    course.expect(recall[0] > recall[1] + 0.05)
    course.expect(recall[1] > recall[2] + 0.25)
    course.expect(recall[0] > 0.78)
    course.expect(recall[3] < 0.18)
    course.expect(brightness == sorted(brightness))
    course.expect(brightness[3] > ink + 0.08)
    course.expect(in_interval[2] > 2 * recall[2])
    course.expect(abs(in_interval[0] - accuracy[1]) < 0.05)
    course.expect(abs(in_interval[2] - recall[1]) < 0.15)

# %% [markdown]
# Compare with the plane:
#
# * **More like their class.** Without guidance the judge recognises about five sixths of the digits, since this
#   network has been trained for a minute only. With scale 2 it recognises 99 %. That is *more* than of real digits,
#   which means that untypical digits are gone.
# * **Away from the data.** The strokes get bolder and the mean pixel brighter with every scale, far beyond that of real
#   digits. Precision falls with large scales for this reason, although the class can be recognised.
# * **Modes are lost.** Recall falls from more than 0.8 to about 0.1. The digits of a class become alike.
# * **The interval helps.** With scale 4 at $t \le 700$ only, recall is more than twice as high as with scale 4 at all
#   times. The result is about that of scale 2 at all times, and the first steps need one estimate in place of two.
#
# ## 11. What to take
#
# * A network that has been trained with label dropout can be guided with any scale, without new training. Guidance
#   doubles the cost of each step, as the network gives two estimates.
# * Use scale 1, or a little more, if the *distribution* counts: synthetic training data, statistics, FID.
# * Use scale 2 to 4 if each single image counts, and clip $\hat x_0$.
# * Guided samples say nothing about how frequent something is in the data.
#
# In the package: `ancestral sample RUN --label 7 --guidance 2`, or `model.sample(16, label=7, guidance=2.0)`. The next
# lesson computes how probable an image is under the model, and for that there is no guidance: nobody knows the density
# of guided samples.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **Classes that hardly overlap.** In section 1, `torch.tensor([[0.25, 0.3], [0.3, 0.25]], dtype=F64)` →
#   `torch.tensor([[0.1, 0.1], [0.1, 0.1]], dtype=F64)`. The classifier is certain at scale 1, and guidance moves the
#   samples nevertheless: see the share of the left component. As long as before.
# * **Fewer samples.** In section 1, `else 2000` → `else 500`. All shares and distances are twice as uncertain. Less
#   time.
# * **Another interval.** In section 8, `"much noise": (201, 1000)` → `"much noise": (601, 1000)`. Guidance at the most
#   noise alone. Compare the share of the left component with that of all times. As long as before.
