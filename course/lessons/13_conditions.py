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
# # Conditions
#
# Lesson 7 asked a model for a *class*. One can ask for much more: the face of a person who is 31 years old, the large
# image that belongs to a small one, the colours of a grey photograph, the missing half of a drawing. All of these are
# **conditions**: something that is known of the sample before it is made. In this lesson you see
#
# * that nothing has to be changed but the inputs of the network: the same loss teaches $p(x \mid c)$ for any $c$,
# * how one network answers every question, with all, some or none of its conditions,
# * what a network gets of a class, a vector and an image, and why new layers begin at zero,
# * the exact answer for a measurement $y = A x + \text{noise}$ of Gaussian data,
# * guidance for one condition of two,
# * how samples of a condition are judged: energy score, coverage, and why PSNR is not enough.
#
# As in lesson 7, exact denoisers come first, and small networks follow: one on points, and one that makes large
# digits out of small ones. You should have done lesson 7. Eight exercises come on the way.

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

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

import ancestral
import ancestral_course as course
from ancestral import conditions, guidance, operators, samplers, schedules
from ancestral.metrics import ensembles
from ancestral.nets import UNet
from ancestral.targets import X0

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 takes fewer samples and training steps, to test that every cell runs
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1. A fork
#
# The data are points $x$ in the plane, and two things are known of each: its **place** $c \in [-1, 1]$, a number, and
# its **branch**, which is "down" or "up". A point lies near $(0.7\,c,\ \pm 0.35\,(1 + c))$, plus on the upper branch,
# with a standard deviation of 0.06. So at $c = -1$ the branches are one, and then they part.


# %%
STD = 0.06


def fork(place, up):
    """The middle (..., 2) of the data at a place (...), on the upper branch where up (...) is 1, and 0 is the lower."""
    return torch.stack([0.7 * place, (2 * up - 1) * 0.35 * (1 + place)], dim=-1)


def sample_fork(n, seed):
    """Points (n, 2), their places (n,) and their branches (n,), 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    place = 2 * torch.rand(n, generator=generator) - 1
    up = torch.randint(2, (n,), generator=generator)
    noise = STD * torch.randn(n, 2, generator=generator)
    return (fork(place, up) + noise).clamp(-1, 1), place, up


x, place, up = sample_fork(4000, seed=0)
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 2, figsize=(6, 2.6))
    for axis, colour, title in zip(axes, (place, up), ("place, from blue to red", "branch"), strict=True):
        axis.scatter(*x.T.numpy(), s=2, c=colour.numpy(), cmap="coolwarm", linewidths=0)
        axis.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
        course.frame(axis)
        axis.set_title(title, fontsize=9)
    figure.tight_layout(pad=0.3)
    plt.show()

# %% [markdown]
# A model without conditions learns $p(x)$, the whole fork. A conditional model learns a distribution for *each* value
# of the condition: $p(x \mid c = 0.8)$ consists of two small clouds, and $p(x \mid c = 0.8, \text{up})$ of one.
#
# ## 2. The same loss, with one more input
#
# Training shows a network $\hat x_0(x_t, t)$ many pairs of a clean item and a noisy one, and makes the mean of
# $\|x_0 - \hat x_0\|^2$ small. Now give it $c$ as well, the condition that *belongs to this item*. Whatever the network
# answers to one input $(x_t, c)$, call it $v$: its loss there is
#
# $$\mathbb E\big[\|x_0 - v\|^2 \,\big|\, x_t, c\big] = \big\|v - \mathbb E[x_0 \mid x_t, c]\big\|^2
# + \text{(the variance of } x_0 \text{ given } x_t, c),$$
#
# which is smallest for $v = \mathbb E[x_0 \mid x_t, c]$. That is the whole derivation: **the input of the network says
# what the mean is conditioned on**. And $\mathbb E[x_0 \mid x_t, c]$ is the denoiser of the data that have this $c$.
# Any sampler turns it into samples of $p(x_0 \mid c)$: no new loss, no new sampler.
#
# ### Exercise 1: the best estimate
#
# Take numbers: $c \sim \mathcal N(0, 1)$, and $x_0 = \text{slope}\cdot c + \text{std}\cdot z$ with $z \sim
# \mathcal N(0, 1)$. As always, $x_t = a\,x_0 + b\,\varepsilon$. Derive $\mathbb E[x_0 \mid x_t, c]$. Two
# cases test it: with much noise it is $\text{slope}\cdot c$, and without noise $x_t/a$.
#
# <details><summary>Hint</summary>
#
# Given $c$, $x_0$ is Gaussian with a mean and a variance that you can read off. The estimate is this mean, plus a
# *gain* times the difference between $x_t$ and what is expected of it. The gain is $\mathrm{Cov}(x_0, x_t) /
# \mathrm{Var}(x_t)$, both given $c$.
#
# </details>


# %% tags=["exercise"]
def best_estimate(x_t, c, a, b, slope, std):
    """E[x_0 | x_t, c] (N,) from x_t (N,) and c (N,), for x_0 = slope·c + std·z and x_t = a·x_0 + b·ε."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(13, best_estimate))
right_best_estimate = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def best_estimate(x_t, c, a, b, slope, std):
#     mean = slope * c
#     gain = a * std**2 / (a**2 * std**2 + b**2)
#     return mean + gain * (x_t - a * mean)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# Given $c$, $x_0$ is normal with mean $m = \text{slope}\cdot c$ and variance $s^2 = \text{std}^2$. So $x_t$ and $x_0$
# are normal together: $x_t$ has the mean $a m$ and the variance $a^2 s^2 + b^2$, and its covariance with $x_0$ is $a
# s^2$. The best estimate is the mean plus covariance over variance times what $x_t$ differs from its mean:
#
# $$\mathbb E[x_0 \mid x_t, c] = m + \frac{a s^2}{a^2 s^2 + b^2}\,(x_t - a m)$$
#
# For large $b$ the second term vanishes, and for $b = 0$ the sum is $m + (x_t - a m)/a = x_t/a$.
# </details>
#
# It is linear in $x_t$ and $c$. So the smallest network there is, a linear layer, can learn it, and its best weights
# are a least squares problem. Here it is trained twice with the same loss, without and with the condition. The
# weights of the function are its answers to $x_t = 1,\ c = 0$ and to $x_t = 0,\ c = 1$:

# %%
a, b, slope, std = 0.6, 0.8, 0.8, 0.5
c, z, eps = torch.randn(3, 200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
x_0 = slope * c + std * z
x_t = a * x_0 + b * eps


def train_linear(*inputs):
    """The weights with the smallest mean of (x_0 − weights · inputs)², and this mean."""
    columns = torch.stack(inputs, dim=1)
    weights = torch.linalg.lstsq(columns, x_0[:, None]).solution[:, 0]
    return weights, (x_0 - columns @ weights).square().mean().item()


units = torch.eye(2, dtype=torch.float64)
gain, of_c = right_best_estimate(units[0], units[1], a, b, slope, std).tolist()
free, loss_free = train_linear(x_t)
given, loss_given = train_linear(x_t, c)
print(f"without c: weight of x_t {free[0]:.3f}, loss {loss_free:.3f}")
print(f"with c:    weight of x_t {given[0]:.3f}, of c {given[1]:.3f}, loss {loss_given:.3f}")
print(f"formula:   weight of x_t {gain:.3f}, of c {of_c:.3f}, loss {std**2 * (1 - a * gain):.3f}")
course.expect(abs(given[0] - gain) < 0.005 and abs(given[1] - of_c) < 0.005)
course.expect(abs(loss_given - std**2 * (1 - a * gain)) < 0.005)
course.expect(loss_free > 1.5 * loss_given)

# %% [markdown]
# With $c$ the estimate trusts $x_t$ less, since $c$ says a part of it already, and the loss is smaller. It has to be,
# by the **law of total variance**,
#
# $$\mathrm{Var}(x_0 \mid x_t) = \mathbb E\big[\mathrm{Var}(x_0 \mid x_t, c) \,\big|\, x_t\big]
# + \mathrm{Var}\big(\mathbb E[x_0 \mid x_t, c] \,\big|\, x_t\big) .$$
#
# The mean of the left side over all $x_t$ is the least loss without $c$, and that of the first term on the right is the
# least loss with it. The second term is how much the estimate varies with $c$. So a smaller loss shows that a model
# *uses* its condition.
#
# ## 3. Absence
#
# One does not always know everything. A model that shall answer "anything on the upper branch" or "anything at all"
# must have seen such questions. So conditions are **dropped** in training at random, as the label in lesson 7, and what
# the network sees in their place says "absent". By the same derivation it then learns the mean over what it does not
# know. Without $c$ this is $\mathbb E[x_0 \mid x_t] = \mathbb E\big[\mathbb E[x_0 \mid x_t, c] \,\big|\, x_t\big]$, the
# denoiser of all data: the mean of the conditional means is the mean, which is called the **tower property**. With $k$
# conditions there are $2^k$ subsets, and each has its own distribution of $x_0$.
#
# The package drops each condition with probability $p$ (`condition_dropout`, 0.1) on its own, and where there are
# several, all together with probability $p$ once more. Without this second draw, a model with six conditions would
# hardly ever see an item without any, and guidance needs exactly that estimate.
#
# ### Exercise 2: how often a subset is seen
#
# A model has two or more conditions. What is the probability that *exactly* those of a subset are present? Two things
# can happen: all are dropped together, or each makes its own draw. All draws are independent.


# %% tags=["exercise"]
def subset_share(present, p):
    """Probability that exactly these are present; a list with True or False for each condition, and the share p."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(13, subset_share))
right_subset_share = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def subset_share(present, p):
#     share = 1 - p  # not all together
#     for there in present:
#         share = share * (1 - p if there else p)
#     return share if any(present) else p + share
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# With the probability $p$ all are dropped together, which makes the empty subset. Otherwise, with $1 - p$, each
# condition is present with $1 - p$ and absent with $p$, and independent draws multiply. A subset of $k$ out of $n$
# conditions has $(1 - p)\,(1 - p)^k\,p^{\,n-k}$, and the empty one has $p$ more. The sum over all subsets is $(1 -
# p)\,\big((1-p) + p\big)^n + p = 1$.
# </details>
#
# A count of 100,000 draws beside the formula, for $p = 0.1$:

# %%
draws = torch.rand(100_000, 3, generator=torch.Generator().manual_seed(0)) < 0.1  # together, place, branch
seen = ~(draws[:, 1:] | draws[:, :1])
for both in ((True, True), (True, False), (False, True), (False, False)):
    counted = (seen == torch.tensor(both)).all(dim=1).double().mean().item()
    exact = right_subset_share(list(both), 0.1)
    names = [name for name, there in zip(("place", "branch"), both, strict=True) if there]
    print(f"{' and '.join(names) or 'nothing':18} counted {counted:.4f}, exactly {exact:.4f}")
    course.expect(abs(counted - exact) < 0.004)

# %% [markdown]
# Here is what such a model would learn of the fork if it were perfect. The exact denoiser takes both conditions in the
# form in which a network gets them: the place as two numbers, the value and then 1 where it is known (two zeros where
# it is not), and the branch as 0, 1, or −1 where it is not known. An unknown place is summed over a grid of 201 places,
# an unknown branch over both.


# %%
class Fork:
    """The exact denoiser of the fork given what is known."""

    schedule = schedules.cosine(1000)
    grid = torch.linspace(-1, 1, 201)

    def predict(self, x_t, t, place, branch):
        a, b = (scale.reshape(-1, 1, 1, 1) for scale in map(torch.as_tensor, self.schedule.at(t)))
        places = torch.where(place[:, 1:] == 1, place[:, :1], self.grid)  # (B, 201)
        means = torch.stack([fork(places, up) for up in (0, 1)], dim=1)  # (B, 2, 201, 2): branch, place, coordinate
        difference = x_t[:, None, None] - a * means
        variance = a**2 * STD**2 + b**2
        log_share = -difference.square().sum(dim=3) / (2 * variance[..., 0])
        unlike = (branch[:, None] >= 0) & (branch[:, None] != torch.arange(2))  # branches that are known to be wrong
        log_share = log_share.masked_fill(unlike[:, :, None], -torch.inf)
        share = log_share.flatten(1).softmax(dim=1).reshape(log_share.shape)  # p(branch, place | x_t)
        x0 = (share[..., None] * (means + a * STD**2 / variance * difference)).sum(dim=(1, 2))
        return X0.solve(x_t, x0.to(x_t), *self.schedule.at(t))


PLACE, BRANCH = conditions.Vector(mean=(0.0,), std=(1.0,)), conditions.Classes(("down", "up"))


def inputs(n, place=None, branch=None):
    """What a network gets for n items; None is absent, and numbers are those of all items."""
    known = PLACE.absent(n) if place is None else PLACE.encode(torch.as_tensor(place).expand(n).reshape(n, 1))
    return {
        "place": known,
        "branch": BRANCH.absent(n) if branch is None else torch.as_tensor(branch).expand(n),
    }


exact = Fork()
solver = samplers.UniPC(steps=30, spacing="logsnr")  # deterministic: see lesson 6
N = 200 if QUICK else 800
x_T = torch.randn(N, 2, generator=torch.Generator().manual_seed(1))
QUESTIONS = {
    "nothing": {},
    "place 0.8": {"place": 0.8},
    "up": {"branch": 1},
    "place 0.8, up": {"place": 0.8, "branch": 1},
}
answers = {name: solver.sample(exact, x_T, **inputs(N, **known)) for name, known in QUESTIONS.items()}
course.scatter(answers, limit=1.1)
course.expect(abs(answers["place 0.8"].mean(dim=0)[0] - 0.56) < 0.01)
course.expect((answers["place 0.8, up"] - fork(torch.tensor(0.8), 1)).square().mean().sqrt() < 0.065)
course.expect((answers["up"][:, 1] > -0.25).all())

# %% [markdown]
# Four distributions out of one denoiser. A condition that is not given is not set to some "neutral" value: it is
# averaged over.
#
# ## 4. What a network gets
#
# A condition is one of three kinds. Each is made ready for the network in its own way, and each has a sign for
# "absent":
#
# | kind | in the data | a network gets | absent |
# |---|---|---|---|
# | `Classes` | a number of a class | the number | −1 |
# | `Vector` | $k$ numbers, as age or pose | $k + 1$: standardised, then 1 | zeros |
# | `Image` | channels on a grid | $C + 1$ channels: in [−1, 1], on the grid of $x$, then ones | zeros |
#
# Classes and vectors say the same to all pixels. In the network they go where the time goes: a table of vectors, or a
# small network, makes them as long as the time embedding, and they are added to it. Images say something to each pixel,
# so they are joined with $x_t$ at its entrance.
#
# The last number of a vector is its *presence*. Without it, an absent age (zeros) could not be told from the mean age,
# which is 0 when it is standardised.
#
# ### Exercise 3: a vector with its presence
#
# The values (B, k) hold NaN where something is missing. The mean and the standard deviation (k,) of the data set are
# given. A vector in which *any* number is missing is absent. A hint: `0 * nan` is NaN, so choose with `torch.where` or
# `masked_fill`.


# %% tags=["exercise"]
def encode_vector(values, mean, std):
    """What a network gets, (B, k + 1), of values (B, k): standardised, then 1; zeros where a number is NaN."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(13, encode_vector))
right_encode_vector = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def encode_vector(values, mean, std):
#     there = ~values.isnan().any(dim=1, keepdim=True)
#     inputs = torch.cat([(values - mean) / std, torch.ones_like(values[:, :1])], dim=1)
#     return torch.where(there, inputs, 0.0)
# ```
# </details>
#
# ### Exercise 4: an image on the grid of x
#
# A small image of bytes (B, C, h, w) is the condition of a large $x$. Scale its values to [−1, 1], where 0 becomes −1
# and 255 becomes 1. Bring it to side × side pixels with `F.interpolate`, linearly, with `align_corners=False`. Add a
# channel of ones, which says that the image is there.


# %% tags=["exercise"]
def encode_image(image, side):
    """What a network gets, (B, C + 1, side, side), of an image of bytes (B, C, h, w) with h = w < side."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(13, encode_image))
right_encode_image = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def encode_image(image, side):
#     x = F.interpolate(image.float() / 127.5 - 1, (side, side), mode="bilinear", align_corners=False)
#     return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
# ```
# </details>
#
# Both beside the package's own, with an age and a pose of which some are missing, and with an image of 3 × 3 pixels
# for an $x$ of 12 × 12:

# %%
age = conditions.Vector(mean=(40.0,), std=(15.0,), names=("age",))
years, mean, std = torch.tensor([25.0, 40.0, torch.nan]), torch.tensor([40.0]), torch.tensor([15.0])
print(right_encode_vector(years[:, None], mean, std))
course.expect(torch.allclose(right_encode_vector(years[:, None], mean, std), age.encode(years)))
small = torch.tensor([[[[0, 255, 0], [255, 128, 0], [0, 0, 64]]]], dtype=torch.uint8)
low = right_encode_image(small, 12)
course.expect(torch.allclose(low, conditions.Image(channels=1).encode(small, (12, 12)), atol=1e-6))
print("image:", tuple(small.shape), "becomes", tuple(low.shape))
course.show([[small[0] / 127.5 - 1, low[0, :1], low[0, 1:]]], titles=["3 × 3", "on the grid", "presence"])
course.expect(low[0, 0].abs().max() <= 1 and bool((low[0, 1] == 1).all()))

# %% [markdown]
# Interpolation adds no information, and none is lost. It only puts the value of a small pixel where the convolutions
# of the network need it.
#
# ## 5. New layers begin at zero
#
# The layers that take conditions end in weights that are **zero**. An untrained network then ignores its conditions,
# and a network that was trained without them can get new ones and still answers as before. That is a good place to
# start from: it is no worse than the model without conditions, and each step of training can only use what helps.
#
# Zeros in the *last* layer do not prevent learning. The gradient of a weight is the product of what comes in and what
# is sent back, and neither is zero there. We take a small U-Net with random numbers in its output layer, as if it were
# trained, and compare.

# %%
KINDS = {"age": age, "low": conditions.Image(channels=1)}
net = UNet(channels=1, width=16, mults=(1, 2), blocks=1, attention=(), image_size=12, dropout=0.0, conditions=KINDS)
torch.nn.init.normal_(net.out.weight, std=0.05)
noisy, index = torch.randn(3, 1, 12, 12), torch.tensor([10, 500, 900])
ages = right_encode_vector(torch.tensor([[25.0], [40.0], [60.0]]), mean, std)
known = {"age": ages, "low": low.expand(3, 2, 12, 12)}
print("largest change by conditions, untrained:", (net(noisy, index, **known) - net(noisy, index)).abs().max().item())
course.expect(torch.equal(net(noisy, index, **known), net(noisy, index)))
optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
for step in (1, 2):
    loss = (net(noisy, index, **known) - low[:, :1]).square().mean()
    optimiser.zero_grad()
    loss.backward()
    gradients = {name: weight.grad.abs().max().item() for name, weight in net.conditioning.named_parameters()}
    weights = ("stem.weight", "embeddings.of_age.2.weight", "embeddings.of_age.0.weight")
    print(f"step {step}: largest gradient of", ", ".join(f"{name} {gradients[name]:.1e}" for name in weights))
    course.expect(gradients["stem.weight"] > 0)
    course.expect((gradients["embeddings.of_age.0.weight"] > 0) == (step == 2))
    optimiser.step()
changed = (net(noisy, index, **known) - net(noisy, index)).abs().max().item()
print(f"largest change by conditions after two steps: {changed:.1e}")
course.expect(changed > 1e-5)

# %% [markdown]
# The last layers learn from the first step on. Layers before them get their first gradient in the second step, when the
# last one is not zero any more.
#
# ## 6. A condition that is a measurement
#
# Many conditions are made *of the item itself*: a small version, a grey one, a part of it. Such a condition is
# $y = A x + \sigma z$ with a linear **operator** $A$ and perhaps noise, and needs no collection of pairs: the training
# program computes $y$ of each $x$. On the command line, `--given upscale:4` makes the condition `low`.
#
# What should the model answer? The **posterior** $p(x \mid y)$, all $x$ that fit both the data and the measurement. For
# Gaussian data $x \sim \mathcal N(m, \Sigma)$ it is Gaussian, too, and its mean and covariance have a closed form.
#
# ### Exercise 5: the posterior
#
# It is exercise 1 for vectors. The mean is $m$, plus a *gain* matrix times the difference between $y$ and what is
# expected of it, and the gain is $K = \mathrm{Cov}(x, y)\,\mathrm{Var}(y)^{-1}$. Find the two matrices for
# $y = A x + \sigma z$ with $z \sim \mathcal N(0, I)$.
#
# For the covariance use the law of total variance of section 2, with matrices for variances. For Gaussian $x$ and $y$
# the covariance given $y$ is the same for all $y$. So it is $\Sigma$, less the covariance of $\mathbb E[x \mid y]$. Two
# cases test your answer: for $\sigma \to \infty$ it is the prior, $m$ and $\Sigma$, and for $A = I$ and $\sigma \to 0$
# it tends to $y$, with covariance 0.
#
# `torch.linalg.solve(M, B)` is $M^{-1} B$, and `M.inverse()` will do.


# %% tags=["exercise"]
def posterior(y, operator, mean, covariance, sigma):
    """Mean (D,) and covariance (D, D) of x given y (M,) = operator (M, D) x + sigma·z, for x ~ N(mean, covariance)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(13, posterior))
right_posterior = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def posterior(y, operator, mean, covariance, sigma):
#     of_y = operator @ covariance @ operator.T + sigma**2 * torch.eye(len(y), dtype=y.dtype)
#     gain = covariance @ operator.T @ of_y.inverse()
#     return mean + gain @ (y - operator @ mean), covariance - gain @ operator @ covariance
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The noise is independent of $x$, so $\mathrm{Cov}(x, y) = \Sigma A^\top$ and
# $\mathrm{Var}(y) = A \Sigma A^\top + \sigma^2 I$. The covariance of $K (y - A m)$ is
# $K\,\mathrm{Var}(y)\,K^\top = K A \Sigma$. So
#
# $$\mathbb E[x \mid y] = m + K\,(y - A m), \qquad \mathrm{Cov}(x \mid y) = \Sigma - K A \Sigma, \qquad
# K = \Sigma A^\top (A \Sigma A^\top + \sigma^2 I)^{-1} .$$
# </details>
#
# Smooth signals of 32 values, of which we know the mean of each four, with some noise. `operators.Downsample(4)` is the
# operator of `upscale:4`. As a matrix, its columns are its answers to the unit vectors. A sample of the posterior is
# its mean, plus a root of its covariance times standard noise (the *reparameterisation*).

# %%
F64 = torch.float64
positions = torch.arange(32, dtype=F64)
covariance = torch.exp(-0.5 * ((positions[:, None] - positions) / 2.5) ** 2) + 1e-6 * torch.eye(32, dtype=F64)
A = operators.Downsample(4).apply(torch.eye(32, dtype=F64)[:, None])[:, 0].T  # (8, 32)
SIGMA = 0.1
generator = torch.Generator().manual_seed(2)
signals = torch.randn(20_000, 32, dtype=F64, generator=generator) @ torch.linalg.cholesky(covariance).T
measured = signals @ A.T + SIGMA * torch.randn(20_000, 8, dtype=F64, generator=generator)
prior = A, torch.zeros(32, dtype=F64), covariance, SIGMA
center, spread = right_posterior(measured[0], *prior)
gain = torch.stack([right_posterior(unit, *prior)[0] for unit in torch.eye(8, dtype=F64)], dim=1)  # its columns
root = torch.linalg.cholesky(spread + 1e-6 * torch.eye(32, dtype=F64))
draws = center + torch.randn(3, 32, dtype=F64, generator=generator) @ root.T
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(6, 2.6))
    axis.plot(positions, draws.T, color="C0", linewidth=0.8, alpha=0.7)
    axis.plot([], [], color="C0", linewidth=0.8, label="three samples of p(x | y)")
    axis.plot(positions, center, color="C1", label="their mean, E[x | y]")
    axis.plot(positions, signals[0], color="k", linewidth=1, linestyle="dashed", label="truth")
    axis.plot(positions[:8] * 4 + 1.5, measured[0], "k.", markersize=5, label="y")
    axis.legend(fontsize=7, ncols=2)
    axis.set(xlabel="position", ylim=(-2.5, 3.2))
    figure.tight_layout()
    plt.show()
learned = torch.linalg.lstsq(measured, signals).solution.T  # a linear network, trained on pairs (y, x) alone
error = (learned - gain).norm() / gain.norm()
print(f"relative error of the learned gain {error:.3f}")
residual = signals - measured @ learned.T
rms, exact_rms = residual.square().mean().sqrt().item(), spread.diagonal().mean().sqrt().item()
print(f"root mean square error of the mean {rms:.4f}, exactly {exact_rms:.4f}")
course.expect(error < 0.05)
course.expect(abs(rms - exact_rms) < 0.003)

# %% [markdown]
# The mean is smooth, smoother than any signal, and the samples are not: each is a signal that could have been, and all
# of them agree with $y$. The last lines are the point of a *learned* conditional model: it has seen pairs of $y$ and
# $x$ only, knows neither $\Sigma$ nor $A$ nor $\sigma$, and finds the gain of the formula. For images there is no
# formula, and the pairs are enough all the same.
#
# ## 7. Train it
#
# `ancestral.train` takes conditions beside the items, by name: floats are vectors, whole numbers and words are classes.
# The network of the preset `points` is a small MLP, and it trains in some seconds.

# %%
WORDS = ("down", "up")
with tempfile.TemporaryDirectory() as folder:
    run = ancestral.train(
        "points",
        data=(x, {"place": place, "branch": [WORDS[number] for number in up]}),
        out=f"{folder}/fork",
        steps=8 if QUICK else 1000,
        width=64,
        target="v",
        save_every=1000,
        sample_every=1000,
        trackers=("none",),
        progress=False,
    )
model = run.model
print(model)
for name, kind in model.spec.conditions.items():
    print(name, kind)
asked = {
    name: {key: WORDS[value] if key == "branch" else value for key, value in known.items()}
    for name, known in QUESTIONS.items()
}
points = {name: model.sample(N, solver, given=known, batch_size=N) for name, known in asked.items()}
course.scatter(points, limit=1.1)
branch_height = fork(torch.tensor(0.8), 1)[1]
between = (points["place 0.8"][:, 1].abs() < branch_height - 3 * STD).double().mean().item()
print(f"points at place 0.8 that lie between the branches, 3 standard deviations or more from both: {between:.0%}")
if not QUICK:
    course.expect(0.2 < between < 0.45)

# %% [markdown]
# Compare it with the picture of section 3. One network answers all four questions. It has trained for a short time: the
# clouds are wider than they should be, and of the points at place 0.8, 36 % lie between the branches, where no data
# are. How far its estimates are from the exact ones, at noisy points of new data at all times, can be measured for
# each. The unit is the standard deviation of the data:

# %%
new, new_place, new_up = sample_fork(500 if QUICK else 4000, seed=1)
count, generator = len(new), torch.Generator().manual_seed(3)
t = torch.randint(1, 1001, (count,), generator=generator)
a, b = (scale[:, None].float() for scale in exact.schedule.at(t))
noisy = a * new + b * torch.randn(count, 2, generator=generator)
kinds = model.spec.conditions
coded = {"place": kinds["place"].encode(new_place[:, None]), "branch": new_up}
off = {}
for name, known in QUESTIONS.items():
    there = {key: {"place": new_place, "branch": new_up}[key] for key in known}
    of_net = {key: coded[key] if key in known else kinds[key].absent(count) for key in coded}
    with torch.no_grad():
        estimate = model.denoiser.predict(noisy, t, **of_net).x0
    best = exact.predict(noisy, t, **inputs(count, **there)).x0
    off[name] = ((estimate - best).square().mean() / new.var(dim=0).mean()).sqrt().item()
    print(f"given {' and '.join(known) or 'nothing':17} error of the estimate {off[name]:.3f}")
if not QUICK:
    course.expect(max(off.values()) < 0.2)
    course.expect((points["place 0.8"].mean(dim=0)[0] - 0.56).abs() < 0.03)

# %% [markdown]
# ## 8. Guidance for one of two
#
# Guidance (lesson 7) extrapolates from an estimate without a condition through the estimate with it. With two
# conditions there is a choice: strengthen both, or one. The package adds them one after another, and each has a scale
# of its own ([Brooks et al.](https://arxiv.org/abs/2211.09800), 2023). It takes the score, $\nabla\log$, of
#
# $$p(x_t)\; p(c_1 \mid x_t)^{s_1}\; p(c_2 \mid x_t, c_1)^{s_2} .$$
#
# With $s_1 = s_2 = 1$ this is $p(x_t, c_1, c_2)$, whose score is that of the model with both conditions.
#
# ### Exercise 6: two scales
#
# Which estimate has this score? Write each of the two powers by Bayes' rule with densities of $x_t$, as in lesson 7,
# and take the gradient of the logarithm. You get three scores, each with a factor. An estimate is a linear function of
# the score of its density, $\hat x = (x_t + b_t^2\,\nabla\log p)/a_t$, so the estimates get the same factors if these
# add up to 1. Do they? A case that tests it: $s_1 = s_2 = s$ is the guidance of lesson 7 for both conditions together.
#
# <details><summary>Hint</summary>
#
# $p(c_2 \mid x_t, c_1) = p(x_t \mid c_1, c_2)\,p(c_2 \mid c_1)/p(x_t \mid c_1)$, and $p(c_2 \mid c_1)$ does not depend
# on $x_t$.
#
# </details>


# %% tags=["exercise"]
def two_scales(none, first, both, s_1, s_2):
    """The guided estimate (B, *) from those with no condition, the first, and both, (B, *) each, and two scales."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(13, two_scales))
right_two_scales = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def two_scales(none, first, both, s_1, s_2):
#     return none + s_1 * (first - none) + s_2 * (both - first)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# By Bayes' rule $\nabla\log p(c_1 \mid x_t) = \nabla\log p(x_t \mid c_1) - \nabla\log p(x_t)$,
# and $\nabla\log p(c_2 \mid x_t, c_1) = \nabla\log p(x_t \mid c_1, c_2) - \nabla\log p(x_t \mid c_1)$. The scores have
# the factors $1 - s_1$, $s_1 - s_2$ and $s_2$, whose sum is 1. So, sorted by scales, as in (3) of the paper,
#
# $$\hat x = \hat x(\varnothing) + s_1\,\big(\hat x(c_1) - \hat x(\varnothing)\big)
# + s_2\,\big(\hat x(c_1, c_2) - \hat x(c_1)\big) .$$
# </details>
#
# The second difference is what $c_2$ adds *to those who know $c_1$ already*. With $s_1 = s_2$ the middle term cancels,
# and it is the guidance of lesson 7. With $s_1 = 1$ it is guidance for $c_2$ alone.
#
# We ask for the upper branch at the place −0.6, where the lower branch is near, with the exact denoiser. The scale is 1
# (no guidance), 3 for the branch alone, and 3 for both:

# %%
wanted = inputs(N, place=-0.6, branch=1)
SCALES = {"scale 1": 1.0, "branch 3": {"place": 1.0, "branch": 3.0}, "both 3": 3.0}
guided, widths = {}, {}
for name, scale in SCALES.items():
    guided[name] = solver.sample(guidance.ClassifierFree(exact, scale), x_T, **wanted)
    mean, widths[name] = guided[name].mean(dim=0), guided[name].std(dim=0)
    print(f"{name:9} mean ({mean[0]:+.3f}, {mean[1]:+.3f}), ", end="")
    print(f"standard deviation ({widths[name][0]:.3f}, {widths[name][1]:.3f})")
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 3, figsize=(7, 2.4))
    for axis, (name, points) in zip(axes, guided.items(), strict=True):
        axis.scatter(*x.T.numpy(), s=2, color="0.8", linewidths=0)
        axis.scatter(*points.T.numpy(), s=2, color="C0", linewidths=0)
        axis.set(xlim=(-1, 0.2), ylim=(-0.5, 0.5), aspect="equal")
        course.frame(axis)
        axis.set_title(name, fontsize=9)
    figure.tight_layout(pad=0.3)
    plt.show()
two = torch.randn(50, 2, generator=torch.Generator().manual_seed(4))
known = {}, {"place": -0.6}, {"place": -0.6, "branch": 1}
none, first, both = (exact.predict(two, 500, **inputs(50, **subset)).x0 for subset in known)
pair = guidance.ClassifierFree(exact, {"place": 2.0, "branch": 3.0}).predict(two, 500, **inputs(50, -0.6, 1)).x0
by_hand = right_two_scales(none, first, both, 2.0, 3.0)
print(f"scales 2 and 3: largest difference of the formula from the package {(pair - by_hand).abs().max():.0e}")
course.expect(torch.allclose(pair, by_hand, atol=1e-4))
course.expect((guided["scale 1"].mean(dim=0) - torch.tensor([-0.42, 0.14])).abs().max() < 0.01)
course.expect(abs(widths["branch 3"][0] - widths["scale 1"][0]) < 0.001)
course.expect(guided["branch 3"].mean(dim=0)[1] > 0.19)
course.expect(widths["both 3"][0] < 0.025)

# %% [markdown]
# * **The branch alone.** The points move up, away from the lower branch, and their heights vary less. The direction of
#   the second difference is from "either branch, at this place" to "the upper branch, at this place". So the place
#   stays what it was: mean and standard deviation along the first axis are those of scale 1.
# * **Both.** The first difference leads away from all other places, too. The points lie to the left of the place that
#   was asked for, and along the fork they vary less than a third as much as the data.
#
# Neither is a sample of $p(x \mid c)$ any more. Strengthen the condition by which a sample should be recognised, and
# leave the others at 1. On the command line this is `--guidance branch=3`.
#
# ## 9. How samples of a condition are judged
#
# For each condition of held-out data there is **one** true item $x$, and the model gives $K$ samples $X_1 \dots X_K$,
# an *ensemble*. No two of them need to be alike, so a distance from the truth says little. What is wanted: $x$ could be
# one more member. Two measures test it, and neither needs the true posterior.
#
# The **energy score** is a mean distance from the truth, from which a part of the mean distance between members is
# subtracted. Smaller is better. Without the second term it would be best to give one best guess $K$ times.
#
# ### Exercise 7: the energy score
#
# Which part? Let $X, X'$ be two independent samples of the model for one condition, and $x, x'$ two of the truth. Their
# energy distance (lesson 7), $2\,\mathbb E\|X - x\| - \mathbb E\|X - X'\| - \mathbb E\|x - x'\|$, is never negative,
# and it is 0 only if both have the same distribution. But there is only *one* truth for each condition. So leave out
# the term that the model does not change, and halve the rest: that is the energy score.
#
# Write it for N ensembles. $X$ and $X'$ have to be *independent*. So which of the $K^2$ pairs of members may be
# counted? A case that tests it: two members at −1 and 1 have the score 0 for the truth 0. As in the package,
# $\|\cdot\|$ is the root mean square over the $D$ values of an item. `torch.cdist(samples, samples)` has the distances
# (N, K, K) by the norm, the root of the *sum* of squares.


# %% tags=["exercise"]
def energy_score(samples, truth):
    """The energy score (N,) of samples (N, K, D) for the truth (N, D)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(13, energy_score))
right_energy_score = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def energy_score(samples, truth):
#     members, size = samples.shape[1:]
#     to_truth = (samples - truth[:, None]).norm(dim=2).mean(dim=1)
#     between = torch.cdist(samples, samples).sum(dim=(1, 2)) / (members * (members - 1))
#     return (to_truth - between / 2) / size**0.5
# ```
# </details>
#
# As a formula,
#
# $$\mathrm{ES} = \mathbb E\|X - x\| - \tfrac12\,\mathbb E\|X - X'\| .$$
#
# The mean of $\mathbb E\|X - X'\|$ is over pairs of different members, since the K distances of a member from itself
# are no pairs. The score is *proper*: on average over the data it is half of the energy distance plus a number that
# does not depend on the model, so nothing scores better than the true $p(x \mid c)$.
#
# **Coverage** asks whether the spread is right. Sort the K values that the members have in one pixel, and take the
# interval from the $r$-th smallest to the $r$-th largest. How often does the true value lie in it?
#
# ### Exercise 8: the nominal coverage
#
# If the truth is one more member, all $K + 1$ values are equally likely to be the smallest, the second, and so on. So
# the truth is equally likely to fall into each of the gaps between the sorted members, the two outer gaps included. How
# many gaps are there, and how many of them lie in the interval? The answer is exact, whatever the distribution.


# %% tags=["exercise"]
def nominal_coverage(members, rank):
    """Probability that the truth lies between the member of this rank from below and that from above, rank ≤ K/2."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(13, nominal_coverage))
right_nominal_coverage = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def nominal_coverage(members, rank):
#     return (members + 1 - 2 * rank) / (members + 1)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# $K$ sorted members leave $K + 1$ gaps, the two outer ones included, and the truth falls into each with the
# probability $1/(K + 1)$. Below the $r$-th smallest there are $r$ gaps, and above the $r$-th largest as many. The
# interval has the other $K + 1 - 2r$, so its coverage is $(K + 1 - 2r)/(K + 1)$.
# </details>
#
# So 19 members are a good number: their whole range, $r = 1$, covers exactly 90 %. We judge five answers to "at this
# place" on new points of the fork: those of the exact model and of the trained one, those of the exact model with
# guidance, those of a model that ignores the place, and the conditional mean, which is $(0.7\,c, 0)$.

# %%
ASKED, K = (40, 19) if QUICK else (300, 19)
truth, at = new[:ASKED], new_place[:ASKED]
repeated = at.repeat_interleave(K)
start = torch.randn(ASKED * K, 2, generator=torch.Generator().manual_seed(5))
with_place = inputs(ASKED * K, place=repeated)
of_net = {"place": kinds["place"].encode(repeated[:, None]), "branch": kinds["branch"].absent(ASKED * K)}
strong = guidance.ClassifierFree(exact, {"place": 3.0})
forecasts = {
    "exact": solver.sample(exact, start, **with_place),
    "trained": solver.sample(model.denoiser, start, **of_net),
    "exact, guidance 3": solver.sample(strong, start, **with_place),
    "ignores the place": solver.sample(exact, start, **inputs(ASKED * K)),
}
forecasts = {name: members.reshape(ASKED, K, 2) for name, members in forecasts.items()}
forecasts["conditional mean"] = fork(at, torch.full_like(at, 0.5))[:, None]
scores, errors, coverage = {}, {}, {}
nominal = right_nominal_coverage(K, 1)
print(f"{'':19}{'energy score':>16}{f'coverage of {100 * nominal:.0f} %':>20}")
for name, members in forecasts.items():
    alone = members.shape[1] == 1  # no pairs of members: the score is the distance from the truth
    each = (members[:, 0] - truth).norm(dim=1) / 2**0.5 if alone else right_energy_score(members, truth)
    scores[name], errors[name] = each.mean().item(), each.std().item() / len(each) ** 0.5
    course.expect(abs(scores[name] - ensembles.score(members, truth).energy.value) < 1e-4)
    coverage[name] = ensembles.calibration(members, truth).coverage.value if members.shape[1] > 1 else None
    covered = "–" if coverage[name] is None else f"{coverage[name]:.0%}"
    print(f"{name:19}{scores[name]:10.4f} ± {errors[name]:.4f}{covered:>16}")
if not QUICK:
    course.expect(scores["exact"] == min(scores.values()))
    course.expect(abs(coverage["exact"] - nominal) < 0.03)
    course.expect(abs(coverage["ignores the place"] - nominal) < 0.04)
    course.expect(coverage["exact, guidance 3"] < 0.85)

# %% [markdown]
# * The exact model has the best score, and its 90 % are 90 %.
# * The trained model is a little worse. Its clouds are somewhat too wide, so slightly more than 90 % are covered.
# * Guidance makes the points too sure of themselves: 70 % in place of 90 %. The score is worse than that of the exact
#   model, although no single point looks wrong.
# * The model that ignores the place is *calibrated*: its 90 % are 90 %, too. Coverage alone does not say that a
#   condition is used. The score does.
# * The conditional mean scores worst, though not by more than the errors.
#
# ## 10. Why the PSNR of the mean is not quality
#
# The usual figure of papers on super-resolution is PSNR, the squared error on a logarithmic scale. The forecast with
# the least squared error is the conditional mean. For a *perfect* model, samples and truth are two independent draws of
# the same distribution $p(x \mid c)$, so given $c$ their difference has twice its variance. By the tower property the
# same holds on average over all $c$:
#
# $$\mathbb E\|X - x\|^2 = 2\,\mathbb E\|\mathbb E[x \mid c] - x\|^2 :$$
#
# a perfect sample has twice the squared error of the mean, always, which is $10 \log_{10} 2 = 3.0$ dB less.

# %%
samples_error = (forecasts["exact"] - truth[:, None]).square().mean()
mean_error = (forecasts["conditional mean"] - truth[:, None]).square().mean()
decibels = 10 * (samples_error / mean_error).log10()
print(f"squared error: samples {samples_error:.4f}, mean {mean_error:.4f}, a difference of {decibels:.2f} dB")
parted = at > 0.5  # where the branches are far apart
means = forecasts["conditional mean"][parted, 0]
from_data = (means - fork(at[parted], torch.ones(()))).norm(dim=1)  # the lower branch is as far away
print(f"distance of the mean from the branches, at places above 0.5: {from_data.mean():.2f}")
course.scatter({"data at places above 0.5": truth[parted], "means": means}, limit=1.1)
if not QUICK:
    course.expect(abs(decibels - 3.01) < 0.4)
course.expect(from_data.min() > 0.5)

# %% [markdown]
# The mean wins by 3 dB, and it lies between the branches, where no data are at all. Of images such means are blurred:
# every edge that might be here or there is in neither place. PSNR *prefers* blur. The energy score does not: it is
# larger for the mean than for samples. (And FID or KID, which compare distributions, notice that blurred images are no
# images, but not whether an image fits its condition.)
#
# ## 11. Large digits from small ones
#
# Now with images. `given="upscale:4"` makes the condition `low` of each digit: 7 × 7 pixels in place of 28 × 28. The
# model trains for a minute on 4,500 digits, and answers for digits that it has not seen.

# %%
pixels, _ = course.mnist_data()  # 5,000 real MNIST digits, which the package holds: nothing is downloaded
digits = torch.tensor(pixels).reshape(-1, 1, 28, 28).to(torch.uint8)
order = torch.randperm(5000, generator=torch.Generator().manual_seed(0))
train, held_out = digits[order[:4500]], digits[order[4500:]]
with tempfile.TemporaryDirectory() as folder:
    run = ancestral.train(
        "digits",
        data=train,
        given=("upscale:4",),
        out=f"{folder}/upscale",
        steps=4 if QUICK else 240,
        save_every=1000,
        sample_every=1000,
        trackers=("none",),
        progress=False,
    )
upscaler = run.model
print(upscaler, "given", ", ".join(upscaler.spec.conditions))
ASKED, K = (8, 3) if QUICK else (40, 9)
truth = held_out[:ASKED]
low = operators.Downsample(4).apply(truth.float())  # (40, 1, 7, 7)
made = upscaler.sample(ASKED * K, steps=8, given={"low": low})  # item i has the condition i modulo 40
members = made.reshape(K, ASKED, 1, 28, 28).transpose(0, 1)
mean = ensembles.mean_forecast(members)
linear = F.interpolate(low, (28, 28), mode="bilinear", align_corners=False)[:, None]
rows = [low, linear[:, 0], members[:, 0], members[:, 1], members[:, 2], mean[:, 0], truth]
labels = ["7 × 7", "linear", "sample 1", "sample 2", "sample 3", "mean", "truth"]
course.show([row[:8] / 127.5 - 1 for row in rows], labels=labels, size=0.7)

# %%
others = train[: ASKED * K].reshape(ASKED, K, 1, 28, 28)
digit_scores = {}
print(f"{'':18}{'PSNR in dB':>11}{'energy score':>16}")
for name, forecast in {"samples": members, "their mean": mean, "linear": linear, "random digits": others}.items():
    digit_scores[name] = ensembles.score(forecast, truth, span=255)
    energy = digit_scores[name].energy
    print(f"{name:18}{digit_scores[name].psnr.value:11.1f}{energy.value:10.1f} ± {energy.error:.1f}")
spread = ensembles.calibration(members, truth)
print(f"coverage of {spread.nominal:.0%}: {spread.coverage.value:.0%}")
kept = (operators.Downsample(4).apply(members[:, 0].float()) - low).square().mean().sqrt().item()
print(f"difference of the samples, made small again, from the small digits: {kept:.1f} of 255")
if not QUICK:
    course.expect(digit_scores["their mean"].psnr.value > digit_scores["samples"].psnr.value + 1)
    course.expect(digit_scores["samples"].energy.value < digit_scores["their mean"].energy.value)
    course.expect(digit_scores["samples"].energy.value < digit_scores["linear"].energy.value)

# %% [markdown]
# The samples are sharp digits. Where the small image leaves something open, as in the fourth column, they differ, and
# one of them is no proper 8. Made small again, they are within 5.9 grey levels of the small digits (root mean square),
# so they agree with what was given. Nobody has told the network the operator, and nothing enforces it.
#
# The mean of nine samples has the better PSNR, by 1.1 dB, and is blurred where the samples disagree. The energy score
# prefers the samples clearly. Random digits have a better score than the linear enlargement, which is one guess without
# any spread. The coverage is 58 % where 80 % are due: after 240 steps the samples are still too alike. That is why the
# difference in PSNR is less than 3 dB, which only a perfect model has. Train longer, and look at it again.
#
# ## 12. What to take
#
# * A condition is an input. The loss stays, and the network's answer becomes the mean given that input.
# * Drop conditions in training, each on its own and all together, if the model shall answer without them. What is left
#   out is averaged over.
# * Strengthen the condition that matters with guidance, and leave the others at 1. Guided samples are not samples of
#   $p(x \mid c)$, and the coverage shows it.
# * Judge by energy score *and* coverage, on held-out conditions. Do not choose a model by the PSNR of its samples.
#
# In the package: `ancestral train photos/ --given upscale:4`, `ancestral sample RUN --given low=small.png`, and
# `ancestral evaluate RUN`, which prints these measures with their errors beside simple baselines.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **A wide fork.** In section 1, `STD = 0.06` → `STD = 0.2`. The branches overlap where the place is negative, and
#   fewer answers are clearly on one of them. As long as before.
# * **Where the branches are apart.** In section 8, `wanted = inputs(N, place=-0.6, branch=1)` →
#   `wanted = inputs(N, place=0.6, branch=1)`. The branches are far apart there. Compare the three means: does guidance
#   of the branch move the samples more, or less? (The plot shows the plane around −0.6 alone.) Seconds.
# * **Stronger guidance.** In section 8, `"branch 3": {"place": 1.0, "branch": 3.0}` →
#   `"branch 3": {"place": 1.0, "branch": 8.0}`. The mean moves farther from the other branch. It is printed under the
#   same name. Seconds.
