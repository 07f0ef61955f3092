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
# # The reverse process and the bound
#
# Lesson 1 used the posterior (7) of one step of the paper's schedule, and took the bound (5) and parts of the way from
# it to the loss $L_{\rm simple}$ (14) on trust. In this lesson you derive them, for every schedule, and check every
# line. To be able to check, we work with data whose distribution is known: one number instead of an image, with a
# Gaussian, a mixture of two Gaussians, or six grey levels. For such data the best denoiser is known exactly, so nothing
# is trained, and the bound can be compared with the truth that it bounds. Equation numbers in brackets are those of the
# [DDPM paper](https://arxiv.org/abs/2006.11239).
#
# It is the hardest lesson of the course. You need lessons 1 and 2, and paper and pencil. Five exercises to be
# programmed and four on paper come on the way. Each stands in front of its solution. The lesson runs in under a minute.

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

import ancestral_course as course
from ancestral import Prediction, bound, oracle, reverse, samplers, schedules
from ancestral.gaussian import DiagonalGaussian
from ancestral.objectives.weightings import x0_weights

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 draws fewer samples, to test that every cell runs
_ = torch.manual_seed(0)
F64 = torch.float64
LN2 = math.log(2)  # divides natural units (nats) to give bits

# %% [markdown]
# The chain of lesson 1 again. A solid arrow is a step of the model, $p_\theta(x_{t-1} \mid x_t)$. Section 1 derives
# what this step would be if $x_0$ were known. Section 2 puts an estimate of $x_0$ in its place.

# %%
course.drawing("chain")

# %% [markdown]
# ## 1. The posterior: the reverse step if x_0 is known
#
# The notation of lesson 2: $x_t = a_t x_0 + b_t \varepsilon$, with tables $a$ and $b$ from $t = 0$ to $T$. For two
# times $s < t$, lesson 2 derived
#
# $$q(x_t \mid x_s) = \mathcal N(x_t;\ r\,x_s,\ \beta), \qquad r = \frac{a_t}{a_s}, \qquad \beta = b_t^2 - r^2 b_s^2$$
#
# For $s = t - 1$ this is the paper's (2), and $\beta$ is its $\beta_t$. (We leave out the indices of $r$ and $\beta$
# where the times are clear, and write variances without $I$, since every pixel is treated alike.)
#
# Suppose you know $x_0$ and $x_t$. What was $x_s$? The answer is a distribution, the *posterior*. Bayes' rule says
#
# $$q(x_s \mid x_t, x_0) \;\propto\; q(x_t \mid x_s)\; q(x_s \mid x_0)$$
#
# where $\propto$ means: up to a factor that does not contain $x_s$. Both factors are known. The first says which $x_s$
# could have become $x_t$, the second which $x_s$ could have come from $x_0$. Look at them first, for $x_0 = 0.8$,
# $x_t = 0.5$, $t = 60$, $s = 30$, as functions of $x_s$.

# %%
linear = schedules.linear()
a, b = linear.signal, linear.noise
s, t, x_0, x_t = 30, 60, 0.8, 0.5
r = a[t] / a[s]
beta = b[t] ** 2 - r**2 * b[s] ** 2
x_s = torch.linspace(-0.2, 1.4, 1601, dtype=F64)


def normal(x, mean, variance):
    """The density of N(mean, variance) at x."""
    return torch.exp(-((x - mean) ** 2) / (2 * variance)) / (2 * math.pi * variance) ** 0.5


from_t, from_0 = normal(x_t, r * x_s, beta), normal(x_s, a[s] * x_0, b[s] ** 2)
product = from_t * from_0
product = product / torch.trapezoid(product, x_s)  # now its integral is 1
course.plot(x_s, {"$q(x_t | x_s)$": from_t, "$q(x_s | x_0)$": from_0, "product, scaled to area 1": product}, "$x_s$")

# %% [markdown]
# The product is a bell again, between the two and narrower than both.
#
# ### Exercise 1: the posterior
#
# Derive the mean and the variance of $q(x_s \mid x_t, x_0)$, for tables $a$ and $b$ of any schedule and two times
# $s < t$. Both factors of Bayes' rule are Gaussians. Write their exponents as functions of $x_s$, add them, sort by
# powers of $x_s$, and complete the square. Your function has to work for $s = 0$, too, where $a_0 = 1$ and $b_0 = 0$:
# there the mean must be $x_0$ and the variance 0. So write the result without a division by $b_s$. A second test:
# $s = t$ would have $r = 1$ and $\beta = 0$, and must give the mean $x_t$ and the variance 0.
#
# <details><summary>Hint</summary>
#
# If the exponents add up to $-\frac12(A x_s^2 - 2 B x_s)$ and terms without $x_s$, the mean is $B/A$ and the variance
# $1/A$. Both $A$ and $B$ have two fractions, with the denominators $\beta$ and $b_s^2$. Multiply by $\beta\,b_s^2$, and
# look at the definition of $\beta$ for $\beta + r^2 b_s^2$.
# </details>


# %% tags=["exercise"]
def posterior(x_0, x_t, s, t, a, b):
    """Two values, the mean (B, *) and the variance (one number) of q(x_s | x_t, x_0): integers s < t, tables a, b."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(3, posterior))
right_posterior = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def posterior(x_0, x_t, s, t, a, b):
#     r = a[t] / a[s]
#     beta = b[t] ** 2 - r**2 * b[s] ** 2
#     mean = a[s] * beta / b[t] ** 2 * x_0 + r * b[s] ** 2 / b[t] ** 2 * x_t
#     return mean, beta * b[s] ** 2 / b[t] ** 2
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# It has three steps.
#
# **Step 1: add the exponents.** A Gaussian is $e^{-\frac12(\dots)}$, and a product adds the brackets:
#
# $$\frac{(x_t - r x_s)^2}{\beta} + \frac{(x_s - a_s x_0)^2}{b_s^2}$$
#
# **Step 2: sort by powers of $x_s$.** Multiply out. With
#
# $$A = \frac{r^2}{\beta} + \frac{1}{b_s^2}, \qquad B = \frac{r\,x_t}{\beta} + \frac{a_s x_0}{b_s^2}$$
#
# the bracket is $A x_s^2 - 2 B x_s + \text{(terms without } x_s)$. The terms without $x_s$ are constant factors of the
# density, and we drop them.
#
# **Step 3: complete the square.** $A x_s^2 - 2 B x_s = A\,(x_s - B/A)^2 - B^2/A$, and the last term is constant again.
# What is left, $A\,(x_s - B/A)^2$, is the exponent of a Gaussian with **mean $B/A$ and variance $1/A$**.
# </details>
#
# So the precision (1 divided by the variance) of the posterior is $A$, the sum of two precisions: $r^2/\beta$ for what
# $x_t$ says about $x_s$, and $1/b_s^2$ for what $x_0$ says. $x_t$ alone would say $x_s \approx x_t/r$, and $x_0$ alone
# $x_s \approx a_s x_0$. The mean $B/A$ is the average of these two, weighted by their precisions.

# %%
A = r**2 / beta + 1 / b[s] ** 2
B = r * x_t / beta + a[s] * x_0 / b[s] ** 2
grid_mean = torch.trapezoid(product * x_s, x_s)
grid_variance = torch.trapezoid(product * (x_s - grid_mean) ** 2, x_s)
print(f"mean:     {B / A:.6f} by completing the square, {grid_mean:.6f} on the grid")
print(f"variance: {1 / A:.6f} by completing the square, {grid_variance:.6f} on the grid")
course.expect(abs(B / A - grid_mean) < 1e-6)
course.expect(abs(1 / A - grid_variance) < 1e-6)

# %% [markdown]
# The paper writes it without fractions of fractions. Bring $A$ to one denominator:
#
# $$A = \frac{r^2 b_s^2 + \beta}{\beta\,b_s^2} = \frac{b_t^2}{\beta\,b_s^2}$$
#
# because $\beta = b_t^2 - r^2 b_s^2$. Its inverse is the variance $\tilde\beta$, and the mean is $\tilde\beta B$:
#
# $$\tilde\beta = \frac{b_s^2}{b_t^2}\,\beta, \qquad
# \tilde\mu(x_t, x_0) = \frac{a_s\,\beta}{b_t^2}\,x_0 + \frac{r\,b_s^2}{b_t^2}\,x_t \tag{7}$$
#
# With $a_t = \sqrt{\bar\alpha_t}$, $b_t^2 = 1 - \bar\alpha_t$ and $s = t - 1$ this is (7) of the paper. Ours holds for
# every schedule and any two times, also for $s = 0$, where the form with $A$ and $B$ would divide by $b_0 = 0$. In the
# package it is `schedule.posterior(x0, x_t, t, s)`.

# %%
clean, noisy = torch.tensor([x_0], dtype=F64), torch.tensor([x_t], dtype=F64)
mean, tilde = right_posterior(clean, noisy, s, t, a, b)  # (7)
package = linear.posterior(clean, noisy, t, s)
course.expect(math.isclose(mean, B / A))
course.expect(math.isclose(tilde, 1 / A))
course.expect(math.isclose(mean, package.mean.item()))
course.expect(math.isclose(tilde, package.variance))
print(f"weights: {a[s] * beta / b[t] ** 2:.3f} of x_0, {r * b[s] ** 2 / b[t] ** 2:.3f} of x_t")

# %% [markdown]
# ## 2. The mean of the reverse step, in three forms
#
# When we sample, $x_0$ is not known. The reverse process is a Gaussian with a mean $\mu_\theta$ from a network and a
# variance that we choose:
#
# $$p_\theta(x_s \mid x_t) = \mathcal N\big(x_s;\ \mu_\theta(x_t, t),\ \sigma_t^2\big) \tag{1}$$
#
# **Form 1: from an estimate of $x_0$.** Let $\hat x_0$ be an estimate of $x_0$, given $x_t$. Put it into (7):
#
# $$\mu_\theta = \frac{a_s\,\beta}{b_t^2}\,\hat x_0 + \frac{r\,b_s^2}{b_t^2}\,x_t$$
#
# **Form 2: from an estimate of the noise.** If the network estimates $\varepsilon$ as $\hat\varepsilon$, then
# $\hat x_0 = (x_t - b_t \hat\varepsilon)/a_t$. Put this into form 1, with $a_s/a_t = 1/r$ and
# $\beta + r^2 b_s^2 = b_t^2$. The factor of $x_t$ becomes
#
# $$\frac{a_s \beta}{a_t b_t^2} + \frac{r b_s^2}{b_t^2} = \frac{1}{r} \cdot \frac{\beta + r^2 b_s^2}{b_t^2} = \frac1r$$
#
# and that of $\hat\varepsilon$ becomes $-\frac{a_s \beta}{b_t^2} \cdot \frac{b_t}{a_t} = -\frac{\beta}{r\,b_t}$:
#
# $$\mu_\theta = \frac1r\Big(x_t - \frac{\beta}{b_t}\,\hat\varepsilon\Big) \tag{11}$$
#
# **Form 3: from the score.** The *score* is the gradient of the log density of the noisy data, $\nabla \log q(x_t)$:
# the direction in which $x_t$ becomes more likely. Some networks estimate it.
#
# ### Exercise 2: the mean from the score
#
# Derive $\mu_\theta$ from an estimate $s_\theta$ of the score (the field's symbol; it is no time), for any schedule and
# any two times $s < t$. Compute $r$ and $\beta$ of these two times from the tables, as at the start of section 1. Begin
# with the score itself. $q(x_t) = \int q(x_0)\,q(x_t \mid x_0)\,dx_0$: take the gradient with respect to $x_t$ under
# the integral, divide by $q(x_t)$, and use Bayes' rule. Which conditional mean is it? Then use form 2. Two cases test
# the result. If the data is a single $x_0$, the score is $-(x_t - a_t x_0)/b_t^2$, and $\mu_\theta$ must be (7). If the
# data is standard normal and $a^2 + b^2 = 1$, so is $x_t$; the score is $-x_t$, and $\mu_\theta$ must be $r\,x_t$.
#
# <details><summary>Hint</summary>
#
# The gradient of $\mathcal N(x_t;\ a_t x_0,\ b_t^2)$ with respect to $x_t$ is this Gaussian times
# $-(x_t - a_t x_0)/b_t^2$. Write this factor with $\varepsilon = (x_t - a_t x_0)/b_t$.
# </details>


# %% tags=["exercise"]
def mean_from_score(x_t, score, s, t, a, b):
    """The mean (B, *) of the step from x_t to time s < t, given the score (B, *) at x_t and tables a, b."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(3, mean_from_score))
right_mean_from_score = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def mean_from_score(x_t, score, s, t, a, b):
#     r = a[t] / a[s]
#     return (x_t + (b[t] ** 2 - r**2 * b[s] ** 2) * score) / r
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The score is the mean of the noise, up to a factor. $q(x_t)$ is the average of
# $q(x_t \mid x_0)$ over all $x_0$, and the gradient of $q(x_t \mid x_0) = \mathcal N(x_t; a_t x_0, b_t^2)$ is that
# Gaussian times $-(x_t - a_t x_0)/b_t^2$, which is $-\varepsilon/b_t$. So
#
# $$\nabla \log q(x_t) = \frac{\nabla q(x_t)}{q(x_t)}
# = \int \underbrace{\frac{q(x_0)\,q(x_t \mid x_0)}{q(x_t)}}_{q(x_0 \mid x_t)}
# \Big(-\frac{\varepsilon}{b_t}\Big)\,dx_0
# = -\frac{\mathbb E[\varepsilon \mid x_t]}{b_t}$$
#
# where Bayes' rule gives the bracket below.
# </details>
#
# An estimate $\hat\varepsilon$ of the noise is thus an estimate
# $s_\theta = -\hat\varepsilon/b_t$ of the score, and form 2 becomes
#
# $$\mu_\theta = \frac1r\big(x_t + \beta\,s_\theta\big)$$
#
# In words: move $x_t$ uphill on the log density, by $\beta$ times the gradient, and undo the shrinking.
#
# Are the three equal in numbers? We take data with a density of two humps (*modes*), a mixture of two Gaussians. The
# package's `oracle.Mixture` knows its exact $\mathbb E[x_0 \mid x_t]$ and $\mathbb E[\varepsilon \mid x_t]$, and its
# log density, whose gradient PyTorch can compute.

# %%
means, stds, weights = torch.tensor([[-0.6], [0.5]], dtype=F64), torch.tensor([0.15, 0.25], dtype=F64), [0.4, 0.6]
humps = oracle.Mixture(linear, means, stds, torch.tensor(weights, dtype=F64))
t, s = 100, 80
r = a[t] / a[s]
beta = b[t] ** 2 - r**2 * b[s] ** 2
x_t = torch.linspace(-2, 2, 41, dtype=F64)[:, None].requires_grad_()
(score,) = torch.autograd.grad(humps.log_density(x_t, t).sum(), x_t)
x_t = x_t.detach()
x_0_hat, eps_hat = humps.predict(x_t, t)

from_x_0, _ = right_posterior(x_0_hat, x_t, s, t, a, b)
from_eps = (x_t - beta / b[t] * eps_hat) / r
from_score = right_mean_from_score(x_t, score, s, t, a, b)
package = reverse.transition(linear, Prediction(x_0_hat, eps_hat), x_t, t, s, "small").mean  # "small": σ² = β̃
for form in (from_eps, from_score, package):
    course.expect(torch.allclose(form, from_x_0))
print("largest difference:", max((form - from_x_0).abs().max().item() for form in (from_eps, from_score)))

# %% [markdown]
# They are equal, up to the last digit of a 64-bit float.
#
# ### On paper: the mean from v
#
# Some networks predict $v = a_t \varepsilon - b_t x_0$ (Salimans and Ho, 2022). Let the schedule be variance
# preserving, $a^2 + b^2 = 1$. Write form 1 of $\mu_\theta$ for an estimate $\hat v$, as a factor times $x_t$ and a
# factor times $\hat v$. Begin with $x_t = a_t x_0 + b_t \varepsilon$ and the definition of $v$, and eliminate
# $\varepsilon$. Both factors become short, and neither divides by $a_t$. Test: with $s = 0$ the result must be
# $\hat x_0$.
#
# <details><summary>Derivation</summary>
#
# $a_t$ times $x_t$ minus $b_t$ times $v$ is $(a_t^2 + b_t^2)\,x_0$, and the terms with $\varepsilon$ cancel. So
# $x_0 = a_t x_t - b_t v$. In form 1, the factor of $\hat v$ becomes $-\frac{a_s \beta}{b_t^2}\,b_t$, and that of $x_t$,
# with $a_t = r\,a_s$,
#
# $$\frac{a_s \beta\,a_t}{b_t^2} + \frac{r\,b_s^2}{b_t^2} = r\,\frac{a_s^2 \beta + b_s^2}{b_t^2} = r$$
#
# because $\beta = b_t^2 - r^2 b_s^2 = 1 - r^2$ here, so that $a_s^2 \beta + b_s^2 = a_s^2 - a_t^2 + b_s^2 = 1 - a_t^2$.
# The result is
#
# $$\mu_\theta = r\,x_t - \frac{a_s\,\beta}{b_t}\,\hat v$$
#
# With $s = 0$, $r = a_t$, $a_0 = 1$ and $\beta = b_t^2$, it is $a_t x_t - b_t \hat v = \hat x_0$.
# </details>
#
# Since this form never divides by $a_t$, it also works where $a_t$ is almost 0. In numbers:

# %%
v_hat = a[t] * eps_hat - b[t] * x_0_hat
course.expect(torch.allclose(r * x_t - a[s] * beta / b[t] * v_hat, from_x_0))

# %% [markdown]
# There is a deeper check. $\tilde\mu(x_t, x_0)$ is the mean of $x_s$ if $x_0$ is known. If it is not, the mean of $x_s$
# is the mean of $\tilde\mu$ over all $x_0$ that are possible. (This is the *tower property*: the mean of a conditional
# mean is the mean.) $\tilde\mu$ is linear in $x_0$, so it is enough to put the mean of $x_0$ into it. So with
# $\hat x_0 = \mathbb E[x_0 \mid x_t]$, **$\mu_\theta$ is exactly the mean of the true $q(x_s \mid x_t)$**, which nobody
# can write down for real data. Here we can, on a grid, by Bayes' rule.

# %%
x_s = torch.linspace(-5, 5, 40_001, dtype=F64)
q_s = humps.log_density(x_s[:, None], s).exp()  # q(x_s), over all x_0
true_means = []
for value in x_t[:, 0]:
    density = q_s * normal(value, r * x_s, beta)
    true_means.append(torch.trapezoid(density * x_s, x_s) / torch.trapezoid(density, x_s))
course.expect(torch.allclose(torch.stack(true_means), from_x_0[:, 0], atol=1e-8))
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.6))
    axis.plot(x_t[:, 0], (from_x_0 - x_t)[:, 0], label=r"$\mu_\theta - x_t$")
    axis.plot(x_t[:, 0], torch.stack(true_means) - x_t[:, 0], "o", markersize=4, label="true mean $- x_t$")
    axis.set(xlabel="$x_t$")
    axis.legend()
    figure.tight_layout()
    plt.show()

# %% [markdown]
# The picture shows how far the mean of the step is from $x_t$. The difference is 0 near the tops of the two humps and
# near the minimum between them. Everywhere else the step leads towards a hump: where the curve is positive to the
# right, where it is negative to the left.
#
# ## 3. The bound
#
# We want the model to make the data likely, so $-\log p_\theta(x_0)$ should be small. It cannot be computed:
# $p_\theta(x_0)$ is an integral over all paths $x_1, \dots, x_T$. The bound replaces the integral by an average over
# the paths of the *forward* process. Write $x_{1:T}$ for the path $x_1, \dots, x_T$, $x_{0:T}$ for the path with $x_0$,
# and multiply by $1 = q/q$:
#
# $$p_\theta(x_0) = \int p_\theta(x_{0:T})\,dx_{1:T}
# = \mathbb E_{q(x_{1:T}|x_0)}\Big[\frac{p_\theta(x_{0:T})}{q(x_{1:T} \mid x_0)}\Big]$$
#
# The logarithm of an average is at least the average of the logarithms (Jensen's inequality; the logarithm is
# concave). With a minus sign the inequality turns around:
#
# $$-\log p_\theta(x_0) \;\le\; L := \mathbb E_q\Big[-\log \frac{p_\theta(x_{0:T})}{q(x_{1:T} \mid x_0)}\Big] \tag{3}$$
#
# ### On paper: the bound, step by step
#
# Show that $L$ is a sum with one term for each step, (5) of lesson 1:
#
# $$L = \mathbb E_q\Big[\underbrace{D_{\rm KL}\big(q(x_T|x_0)\,\|\,p(x_T)\big)}_{L_T}
# + \sum_{t>1} \underbrace{D_{\rm KL}\big(q(x_{t-1}|x_t,x_0)\,\|\,p_\theta(x_{t-1}|x_t)\big)}_{L_{t-1}}
# \underbrace{-\log p_\theta(x_0|x_1)}_{L_0}\Big] \tag{5}$$
#
# where $D_{\rm KL}(q\,\|\,p) = \mathbb E_q[\log q - \log p]$. Begin with the two products over the steps,
# $p_\theta(x_{0:T}) = p(x_T) \prod_t p_\theta(x_{t-1} \mid x_t)$, which runs backwards in time, and
# $q(x_{1:T} \mid x_0) = \prod_t q(x_t \mid x_{t-1})$, which runs forwards. Turn the steps of $q$ around by Bayes' rule,
# with $x_0$ in the condition. Which step cannot be turned around? And at which place does a mean of a mean appear?
#
# <details><summary>Derivation</summary>
#
# Given $x_{t-1}$, the next $x_t$ does not depend on $x_0$, so $x_0$ may be added to the condition. Then Bayes' rule
# says, for $t > 1$,
#
# $$q(x_t \mid x_{t-1}) = q(x_t \mid x_{t-1}, x_0)
# = q(x_{t-1} \mid x_t, x_0)\,\frac{q(x_t \mid x_0)}{q(x_{t-1} \mid x_0)}$$
#
# In the product over $t = 2, \dots, T$ the fractions cancel, except for $q(x_T \mid x_0)/q(x_1 \mid x_0)$, and the
# factor $q(x_1 \mid x_0)$ of the first step, which is not turned around, cancels the denominator:
#
# $$q(x_{1:T} \mid x_0) = q(x_T \mid x_0) \prod_{t>1} q(x_{t-1} \mid x_t, x_0)$$
#
# Now both products run backwards, so the logarithm of their ratio is a sum of log ratios, one for each step:
#
# $$L = \mathbb E_q\Big[\log\frac{q(x_T \mid x_0)}{p(x_T)}
# + \sum_{t>1} \log\frac{q(x_{t-1} \mid x_t, x_0)}{p_\theta(x_{t-1} \mid x_t)} - \log p_\theta(x_0 \mid x_1)\Big]$$
#
# The mean of the first term over $x_T$ is $L_T$. A term of the sum depends on $x_{t-1}$ and $x_t$. Take its mean in two
# stages: first over $x_{t-1}$ given $x_t$ (and $x_0$), then over $x_t$. By the *tower property* (the mean of a
# conditional mean is the mean) this is its mean over the path. The first stage gives the divergence of the two
# Gaussians, a function of $x_t$, and the second stage is the $\mathbb E_q$ in (5). The last factor of the model,
# $p_\theta(x_0 \mid x_1)$, has no partner in $q$.
# </details>
#
# Both sides in numbers, for a path of four steps from $x_0 = 0.8$. The model is the exact denoiser of Gaussian data,
# with $\sigma_t^2 = \beta_t$. Each log density is quadratic in the noise $z_1, \dots, z_T$ of the path. So its mean
# over all paths is its mean over $2T$ of them, in which one $z_t$ is $\pm\sqrt T$ and the others are 0: these have the
# same means and the same covariances.

# %%
chain, start = schedules.cosine(4), 0.8
steps = chain.steps
unit = torch.eye(steps, dtype=F64)
z = math.sqrt(steps) * torch.cat([unit, -unit])  # (2T, T), one row for each path
model, prior = oracle.Gaussian(chain, 0.2, 0.5), DiagonalGaussian(torch.zeros(1, dtype=F64), 1.0)
path, by_3 = [torch.full((2 * steps, 1), start, dtype=F64)], 0.0
for t in range(1, steps + 1):
    step = chain.forward(path[-1], t, t - 1)  # q(x_t | x_{t−1})
    path.append(step.sample(z[:, t - 1 : t]))
    by_3 = by_3 + step.log_density(path[t])
by_3 = by_3 - prior.log_density(path[steps])
by_5 = DiagonalGaussian(chain.signal[steps] * path[0], chain.noise[steps] ** 2).kl(prior)  # L_T
for t in range(steps, 0, -1):
    step = reverse.transition(chain, model.predict(path[t], t), path[t], t, t - 1, "large")  # p_θ(x_{t−1} | x_t)
    by_3 = by_3 - step.log_density(path[t - 1])
    by_5 = by_5 + (chain.posterior(path[0], path[t], t, t - 1).kl(step) if t > 1 else -step.log_density(path[0]))
print(f"L by (3): {by_3.mean():.6f} nats, by (5): {by_5.mean():.6f} nats")
course.expect(math.isclose(by_3.mean(), by_5.mean(), rel_tol=1e-9))
course.expect(0.99 < by_5.mean() < 1.00)

# %% [markdown]
# Divided by $\ln 2$, the terms are in bits. They are the length of a message: to send $x_0$ to somebody who has the
# model, a perfect compression program would need $L_T$ bits for $x_T$, then $L_{t-1}$ bits for each reverse step, and
# $L_0$ bits for $x_0$ itself.
#
# All the divergences in (5) are between Gaussians. In those of an image, the pixels are independent, so the densities
# are products over the pixels, and a logarithm of their ratio is a sum. So the divergence of an image is a *sum over
# the pixels*, and one dimension is enough.
#
# ### Exercise 3: KL in bits
#
# Derive the divergence of $q = \mathcal N(\mu_q, \sigma_q^2)$ from $p = \mathcal N(\mu_p, \sigma_p^2)$, and write it in
# bits, for every element of the tensors. Begin with $D_{\rm KL}(q\,\|\,p) = \mathbb E_q[\ln q(x) - \ln p(x)]$, and put
# both densities in. You need the means of $(x-\mu_q)^2$ and of $(x-\mu_p)^2$ under $q$; for the second, write
# $x - \mu_p = (x - \mu_q) + (\mu_q - \mu_p)$. Two cases test the result: equal Gaussians have the divergence 0, and
# with equal variances $\sigma^2$ it is $(\mu_q-\mu_p)^2/(2\sigma^2)$ nats.


# %% tags=["exercise"]
def kl_bits(mean_q, var_q, mean_p, var_p):
    """D_KL(N(mean_q, var_q) ‖ N(mean_p, var_p)) of each element, in bits; all four are tensors of one shape."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(3, kl_bits))
right_kl_bits = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def kl_bits(mean_q, var_q, mean_p, var_p):
#     ratio = var_q / var_p
#     return 0.5 * (ratio - 1 - ratio.log() + (mean_q - mean_p) ** 2 / var_p) / math.log(2)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# In nats:
#
# $$D_{\rm KL}(q\,\|\,p) = \mathbb E_q\big[\ln q(x) - \ln p(x)\big]
# = \mathbb E_q\Big[-\tfrac12 \ln(2\pi\sigma_q^2) - \frac{(x-\mu_q)^2}{2\sigma_q^2}
# + \tfrac12 \ln(2\pi\sigma_p^2) + \frac{(x-\mu_p)^2}{2\sigma_p^2}\Big]$$
#
# Under $q$, $(x - \mu_q)^2$ has the mean $\sigma_q^2$, and $(x-\mu_p)^2$ has the mean $\sigma_q^2 + (\mu_q-\mu_p)^2$.
# So
#
# $$D_{\rm KL}(q\,\|\,p) = \frac12\Big[\frac{\sigma_q^2}{\sigma_p^2} - 1 - \ln\frac{\sigma_q^2}{\sigma_p^2}
# + \frac{(\mu_q-\mu_p)^2}{\sigma_p^2}\Big] \quad\text{nats}$$
# </details>
#
# The first three terms are 0 if the variances are equal, and positive otherwise. The last is the squared distance of
# the means, in units of the variance of $p$.

# %%
x = torch.linspace(-12, 12, 24_001, dtype=F64)
(mu_q, var_q), (mu_p, var_p) = (0.3, 0.5), (-0.2, 1.5)
q, p = normal(x, mu_q, var_q), normal(x, mu_p, var_p)
on_grid = torch.trapezoid(q * (q / p).log(), x).item()
formula = right_kl_bits(*torch.tensor([mu_q, var_q, mu_p, var_p], dtype=F64)).item() * LN2
by_package = DiagonalGaussian(torch.tensor(mu_q), var_q).kl(DiagonalGaussian(torch.tensor(mu_p), var_p)).item()
print(f"KL divergence: {on_grid:.6f} nats on the grid, {formula:.6f} by the function")
course.expect(abs(on_grid - formula) < 1e-9)
course.expect(abs(by_package - formula) < 1e-6)

# %% [markdown]
# ## 4. Every term in numbers
#
# Let the data be one number, $x_0 \sim \mathcal N(m, \sigma_d^2)$ with $m = 0.2$ and $\sigma_d = 0.5$. We compute the
# mean of each term over $x_0$ and $\varepsilon$. The two Gaussians in $L_{t-1}$ have the variances $\tilde\beta_t$ and
# $\sigma_t^2$, and by form 1 their means differ by $k_t\,(x_0 - \hat x_0)$ with $k_t = a_{t-1}\beta_t/b_t^2$. Let
#
# $$c_t = \mathbb E\,(x_0 - \hat x_0)^2$$
#
# be the mean squared error of the denoiser at time $t$. Then, in nats, the function of exercise 3 gives
#
# $$L_{t-1} = \frac12\Big[\frac{\tilde\beta_t}{\sigma_t^2} - 1 - \ln\frac{\tilde\beta_t}{\sigma_t^2}
# + \frac{k_t^2 c_t}{\sigma_t^2}\Big], \qquad
# L_T = \frac12\big[b_T^2 - 1 - \ln b_T^2 + a_T^2\,\mathbb E\,x_0^2\big]$$
#
# For $L_0$, take the density of the last step's Gaussian $\mathcal N(\hat x_0, \sigma_1^2)$ for now; section 7 does
# pixels. $L_0 = \frac12[\ln(2\pi\sigma_1^2) + c_1/\sigma_1^2]$. So **the bound knows the data only through
# $\mathbb E\,x_0^2$ and the errors $c_t$**.
#
# What is $c_t$? It is $e_t^2$ of lesson 2, section 4: precisions add, so the best denoiser of Gaussian data has
# $1/c_t = 1/\sigma_d^2 + a_t^2/b_t^2$. And which $\sigma_t^2$? The paper's first choice is $\sigma_t^2 = \beta_t$. At
# $t = 1$ the paper's code takes $\tilde\beta_2$, since $\tilde\beta_1 = 0$ is of no use.


# %%
def tables(schedule):
    """β_t, β̃_t and k_t at t = 1..T, so that index 0 is t = 1."""
    a, b = schedule.signal, schedule.noise
    r = a[1:] / a[:-1]
    beta = b[1:] ** 2 - r**2 * b[:-1] ** 2
    return beta, beta * b[:-1] ** 2 / b[1:] ** 2, a[:-1] * beta / b[1:] ** 2


def gaussian_error(schedule, std):
    """c_t at t = 1..T, of the exact denoiser of Gaussian data."""
    return 1 / (1 / std**2 + schedule.snr[1:])


def bound_terms(schedule, error, power, variance):
    """L_T, L_{t−1} for t = 2..T, and L_0, in bits: error c_t and variance σ_t² at t = 1..T, and power = E x_0²."""
    _, tilde, k = tables(schedule)
    a_T, b_T = schedule.signal[-1], schedule.noise[-1]
    # the divergence is linear in the squared distance of the means, so its mean is that of the mean squared distance
    L_T = right_kl_bits((a_T**2 * power).sqrt(), b_T**2, torch.zeros_like(a_T), torch.ones_like(a_T))
    L_t = right_kl_bits(k[1:] * error[1:].sqrt(), tilde[1:], torch.zeros_like(k[1:]), variance[1:])
    L_0 = 0.5 * ((2 * math.pi * variance[0]).log() + error[0] / variance[0])
    return L_T, L_t, L_0 / LN2


m, sigma_d = 0.2, 0.5
beta, tilde, _ = tables(linear)
large = torch.cat([tilde[1:2], beta[1:]])  # σ_1² = β̃_2, then σ_t² = β_t
L_T, L_t, L_0 = bound_terms(linear, gaussian_error(linear, sigma_d), m**2 + sigma_d**2, large)

# %% [markdown]
# The package computes the bound on *samples*: it takes $x_0$ and $\varepsilon$, not averages over them. But every term
# is quadratic in $x_0$ and in $\varepsilon$. A quadratic function has the same mean over $\mathcal N(m, \sigma_d^2)$ as
# over the two points $m \pm \sigma_d$, which have the same mean and variance. So the four samples with
# $x_0 = m \pm \sigma_d$ and $\varepsilon = \pm 1$ give the exact average. The arguments of the package's
# `bits_per_dim`: `variance="large"` is $\sigma_t^2 = \beta_t$, `clip=False` takes $\hat x_0$ as it is,
# `decoder="density"` is the $L_0$ above, and `noise` gives our $\varepsilon$ in place of random numbers.

# %%
x_0 = torch.tensor([[m - sigma_d], [m - sigma_d], [m + sigma_d], [m + sigma_d]], dtype=F64)
eps = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]], dtype=F64)
exact = oracle.Gaussian(linear, m, sigma_d)
terms = bound.bits_per_dim(exact, x_0, variance="large", clip=False, decoder="density", noise=lambda _: eps)
course.expect(torch.allclose(terms.L_T.mean(), L_T, rtol=1e-6, atol=1e-12))
course.expect(torch.allclose(terms.L_t.mean(0), L_t, rtol=1e-6, atol=1e-12))
course.expect(torch.allclose(terms.L_0.mean(), L_0))
total = (L_T + L_t.sum() + L_0).item()
print(f"L_T {L_T:.6f}, L_1 + ... + L_999 {L_t.sum():.4f}, L_0 {L_0:.4f}, sum {total:.4f} bits")
course.expect(L_T < 1e-5)
course.expect(5.50 < L_t.sum() < 5.75)
course.expect(-4.60 < L_0 < -4.40)
course.plot(torch.arange(2, 1001), {"$L_{t-1}$ in bits": L_t}, kind="loglog")

# %% [markdown]
# All 1,001 terms agree with the package. The largest are at small $t$. ($L_0$ is negative because $x_0$ is a real
# number here: a density can be larger than 1. For pixels $L_0$ is positive.)
#
# Is the bound right, that is, above the truth? There are two truths to compare with.
#
# * **The entropy** of the data, $H = \mathbb E[-\log_2 q(x_0)] = \frac12\log_2(2\pi e\,\sigma_d^2)$. No model can have
#   a smaller mean of $-\log_2 p_\theta(x_0)$.
# * **The exact likelihood of the model.** Here, unlike with a real network, it can be computed. The exact denoiser of
#   Gaussian data is linear in $x_t$, so each reverse step is a linear function plus Gaussian noise. So $p_\theta(x_0)$
#   is a Gaussian, and we can follow its mean and variance from $x_T$ to $x_0$.


# %%
def model_density(schedule, m, std, variance):
    """The mean and the variance of p_θ(x_0), for the exact denoiser of N(m, std²) and σ_t² = variance."""
    a, b, (_, _, k) = schedule.signal, schedule.noise, tables(schedule)
    mean, var = 0.0, 1.0  # p(x_T)
    for t in range(schedule.steps, 0, -1):
        gain = a[t] * std**2 / (a[t] ** 2 * std**2 + b[t] ** 2)  # x̂_0 = m + gain (x_t − a_t m)
        slope = k[t - 1] * gain + a[t] / a[t - 1] * b[t - 1] ** 2 / b[t] ** 2  # of μ_θ, as a function of x_t (7)
        mean, var = slope * mean + k[t - 1] * (1 - gain * a[t]) * m, slope**2 * var + variance[t - 1]
    return float(mean), float(var)


entropy = 0.5 * math.log2(2 * math.pi * math.e * sigma_d**2)
mean, var = model_density(linear, m, sigma_d, large)
exact_bits = 0.5 * (math.log(2 * math.pi * var) + ((m - mean) ** 2 + sigma_d**2) / var) / LN2
print(f"entropy {entropy:.5f} ≤ exact −log p {exact_bits:.5f} ≤ bound {total:.5f} bits")
print(f"samples of the model would have mean {mean:.4f} and standard deviation {math.sqrt(var):.4f}")
course.expect(entropy <= exact_bits <= total)
course.expect(exact_bits - entropy < 1e-4)
course.expect(0.1645 < total - entropy < 0.1655)

# %% [markdown]
# The order is right: entropy, exact likelihood, bound. The model is almost perfect: its likelihood is within 0.0001
# bits of the entropy. The bound is 0.165 bits above. So the bound can be loose while the model is right. Where does the
# gap come from?
#
# ## 5. Which variance is right?
#
# The gap has a formula of its own. The mean of (3) over the data minus the entropy is
# $\mathbb E\big[\log \frac{q(x_0)\,q(x_{1:T} \mid x_0)}{p_\theta(x_{0:T})}\big]$, the divergence of two distributions
# of whole paths $x_{0:T}$: that of the forward process and that of the model. Write both as products of *reverse*
# steps. For the forward process this is $q(x_T) \prod_t q(x_{t-1} \mid x_t)$, with the true reverse steps. Then the
# divergence is a sum:
#
# $$\mathbb E\,L - H = D_{\rm KL}\big(q(x_T)\,\|\,p(x_T)\big)
# + \sum_{t \ge 1} \mathbb E\,D_{\rm KL}\big(q(x_{t-1} \mid x_t)\,\|\,p_\theta(x_{t-1} \mid x_t)\big)$$
#
# These terms have no $x_0$ in the condition: the true reverse step is compared with the model's. **The gap is 0 exactly
# if every reverse step is the true one.** By section 2 the exact denoiser has the right mean. So what matters is the
# variance.
#
# ### On paper: the best variance lies between β̃ and β
#
# The paper (section 3.2) says of its two choices: $\beta_t$ is the best $\sigma_t^2$ for $x_0 \sim \mathcal N(0, I)$,
# and $\tilde\beta_t$ for data of a single point. Show this, and that the best one for other data lies between them. One
# coordinate is enough. The schedule is variance preserving, $a^2 + b^2 = 1$, and $k_t = a_{t-1}\beta_t/b_t^2$ is the
# weight of $x_0$ in (7).
#
# 1. $\mu_\theta$ is the mean of the true step. For which *number* $\sigma_t^2$ is the mean of the divergence of the
#    true step from $\mathcal N(\mu_\theta, \sigma_t^2)$, taken over $x_t$, the smallest?
# 2. Find $\operatorname{Var}(x_{t-1} \mid x_t)$ by the **law of total variance**,
#    $\operatorname{Var} x = \mathbb E \operatorname{Var}(x \mid y) + \operatorname{Var}\,\mathbb E[x \mid y]$,
#    with $x_0$ for $y$ and $x_t$ in all conditions.
# 3. What follows for a single $x_0$, and for standard normal data?
# 4. What follows for Gaussian data of variance $c$, with $0 \le c \le 1$? And for any data of variance $c$? Begin with
#    this: the best estimate of $x_0$ has no larger error than the best *linear* one.
#
# <details><summary>Derivation</summary>
#
# *1.* Of the divergence $\mathbb E_q[\ln q - \ln p_\theta]$, only the second term contains $\sigma_t^2$. Its mean is
# $\frac12 \ln(2\pi\sigma_t^2) + \frac{1}{2\sigma_t^2}\,\mathbb E\,(x_{t-1} - \mu_\theta)^2$, which is smallest at
# $\sigma_t^2 = \mathbb E\,(x_{t-1} - \mu_\theta)^2 = \mathbb E \operatorname{Var}(x_{t-1} \mid x_t)$.
#
# *2.* Two things make $x_{t-1}$ uncertain. The posterior has the variance $\tilde\beta_t$ even if $x_0$ is known. And
# $x_0$ is not known, which moves the mean $\tilde\mu = k_t x_0 + \dots$, where the dots contain $x_t$ only. So
#
# $$\operatorname{Var}(x_{t-1} \mid x_t) = \tilde\beta_t + k_t^2 \operatorname{Var}(x_0 \mid x_t)$$
#
# The mean of $\operatorname{Var}(x_0 \mid x_t)$ over $x_t$ is the mean squared error $c_t$ of the exact denoiser. So
# the best variance is $\tilde\beta_t + k_t^2 c_t$, and at least $\tilde\beta_t$.
#
# *3.* A single $x_0$ is known, so $c_t = 0$ and the best variance is $\tilde\beta_t$. For standard normal data,
# $1/c_t = 1 + a_t^2/b_t^2 = 1/b_t^2$ (precisions add), so $c_t = b_t^2$. Now $\beta_t = 1 - a_t^2/a_{t-1}^2$ gives
# $a_{t-1}^2\beta_t = a_{t-1}^2 - a_t^2 = b_t^2 - b_{t-1}^2$. So
#
# $$k_t^2\,b_t^2 = \frac{a_{t-1}^2\,\beta_t^2}{b_t^2} = \frac{b_t^2 - b_{t-1}^2}{b_t^2}\,\beta_t
# = \beta_t - \tilde\beta_t$$
#
# and the best variance is $\beta_t$.
#
# *4.* Gaussian data of variance $c$ has $1/c_t = 1/c + a_t^2/b_t^2$, that is $c_t = c\,b_t^2/(c\,a_t^2 + b_t^2)$. With
# $k_t^2 b_t^2 = \beta_t - \tilde\beta_t$ the best variance is
#
# $$\tilde\beta_t + \frac{c}{c\,a_t^2 + b_t^2}\,(\beta_t - \tilde\beta_t)$$
#
# The fraction rises with $c$, from 0 at $c = 0$ to 1 at $c = 1$. Other data of variance $c$: the error of the best
# linear estimate depends on the mean and the variance of the data only, so it is $c\,b_t^2/(c\,a_t^2 + b_t^2)$ as for
# Gaussian data, where the best estimate is linear. The error $c_t$ of the best estimate is not larger. So the best
# variance lies between $\tilde\beta_t$ and $\beta_t$ for any data of variance at most 1. In an image this holds for
# each pixel: an estimate that sees all pixels is not worse than one that sees this pixel alone.
# </details>
#
# So the best $\sigma_t^2$ is
#
# $$\sigma_t^{*2} = \tilde\beta_t + k_t^2\,c_t$$
#
# (Bao et al., 2022, derive it for any data, with $c_t$ averaged over the pixels.) Here is the law of total variance in
# numbers, for the two humps of section 2 at $t = 20$. Both conditional variances come from Bayes' rule on a grid.

# %%
_, _, k = tables(linear)
grid, seen = torch.linspace(-4, 4, 8001, dtype=F64), torch.linspace(-3, 3, 241, dtype=F64)


def variance_given(prior, factor, noise, value):
    """The variance of x, with this prior density on the grid, if factor · x plus noise of this variance is `value`."""
    density = prior * normal(value, factor * grid, noise)
    density = density / density.sum()
    return (density * (grid - (density * grid).sum()) ** 2).sum()


t = 20
before, clean = (humps.log_density(grid[:, None], s).exp() for s in (t - 1, 0))  # q(x_{t−1}) and q(x_0)
of_step = torch.stack([variance_given(before, a[t] / a[t - 1], beta[t - 1], value) for value in seen])
of_image = torch.stack([variance_given(clean, a[t], b[t] ** 2, value) for value in seen])
course.expect(torch.allclose(of_step, tilde[t - 1] + k[t - 1] ** 2 * of_image))
mass = humps.log_density(seen[:, None], t).exp()
best = (mass / mass.sum() @ of_step).item()  # the mean over x_t
low, high = (of_step / beta[t - 1]).min().item(), (of_step / beta[t - 1]).max().item()
print(f"in units of β: β̃ {tilde[t - 1] / beta[t - 1]:.3f}, best variance {best / beta[t - 1]:.3f}, ", end="")
print(f"variance given one x_t from {low:.3f} to {high:.3f}")
course.expect(tilde[t - 1] < best < beta[t - 1])
course.expect(0.990 < best / beta[t - 1] < 0.991)
course.expect(1.06 < high < 1.07)

# %% [markdown]
# The best variance lies between $\tilde\beta_t$ and $\beta_t$. The variance given *one* $x_t$ may be larger than
# $\beta_t$: between the humps, $x_0$ is uncertain.
#
# For Gaussian data, $\sigma_d$ decides where between the two $\sigma_t^{*2}$ lies. Here it is, as a fraction of
# $\beta_t$.


# %%
def best_variance(schedule, error):
    """σ*_t² at t = 1..T."""
    _, tilde, k = tables(schedule)
    return tilde + k**2 * error


curves = {
    rf"$\sigma_d = {std}$": best_variance(linear, gaussian_error(linear, std)) / beta for std in (1, 0.1, 0.02, 0.005)
}
curves[r"single $x_0$ ($\tilde\beta_t/\beta_t$)"] = tilde / beta
course.expect(torch.allclose(curves[r"$\sigma_d = 1$"], torch.ones(1, dtype=F64)))
course.expect(torch.allclose(best_variance(linear, torch.zeros(1000)), tilde))
course.expect((tilde / beta)[99:].min() > 0.97)
t = torch.arange(1, 1001)
course.plot(t, curves, ylabel=r"$\sigma_t^{*2}/\beta_t$", kind="semilogx")

# %% [markdown]
# All curves lie between $\tilde\beta_t/\beta_t$ and 1. From $t = 100$ on they are all above 0.97: with small steps,
# $\tilde\beta_t$ and $\beta_t$ are almost the same. They differ at small $t$. What counts there is $\sigma_d$ compared
# with the noise, which begins with $b_1 = 0.01$. $\sigma_d = 0.1$ is wide, and $\beta_t$ is nearly right.
# $\sigma_d = 0.005$ is narrow, and $\tilde\beta_t$ is nearly right. A data set of isolated points, such as grey levels,
# is as narrow as can be.
#
# Now the gap. We compute the formula above step by step, compare it with bound minus entropy, and vary $T$. To look at
# the variances alone, the last step gets its best variance, $\sigma_1^{*2} = c_1$, in all three columns.


# %%
def step_gaps(schedule, error, variance):
    """KL of the true step of Gaussian data from the model's, in bits, at t = 1..T; the means are equal."""
    mean = torch.zeros_like(variance)
    return right_kl_bits(mean, best_variance(schedule, error), mean, variance)


gaps = {}
print("    T    σ² = β   σ² = β̃   σ² = σ*²      (bits above the entropy)")
for steps in (10, 100, 1000, 10_000):
    schedule = schedules.linear(steps)
    error, (beta, tilde, _) = gaussian_error(schedule, sigma_d), tables(schedule)
    best = best_variance(schedule, error)
    var_T = schedule.signal[-1] ** 2 * sigma_d**2 + schedule.noise[-1] ** 2  # of q(x_T), which is N(a_T m, var_T)
    prior = 0.5 * (var_T - 1 - var_T.log() + schedule.signal[-1] ** 2 * m**2) / LN2
    row = []
    for variance in (beta, tilde, best):
        variance = torch.cat([best[:1], variance[1:]])
        L_T, L_t, L_0 = bound_terms(schedule, error, m**2 + sigma_d**2, variance)
        gap = (L_T + L_t.sum() + L_0).item() - entropy
        course.expect(abs(gap - (prior + step_gaps(schedule, error, variance).sum()).item()) < 1e-8)
        row.append(gap)
    gaps[steps] = row
    print(f"{steps:6}  {row[0]:8.4f} {row[1]:8.4f}  {row[2]:9.6f}")
course.expect(all(row[2] < 1e-5 for row in gaps.values()))
course.expect(0.110 < gaps[10][0] < 0.113)
course.expect(all(9 < gaps[steps][0] / gaps[10 * steps][0] < 11 for steps in (100, 1000)))
course.expect(0.29 < gaps[10][1] < 0.31)
course.expect(all(row[1] > 0.4 for steps, row in gaps.items() if steps > 10))
last_step = total - entropy - gaps[1000][0]
print(f"of the gap of section 4, {total - entropy:.4f} bits, σ_1² = β̃_2 makes {last_step:.4f}")
course.expect(0.163 < last_step < 0.165)

# %% [markdown]
# The three columns show three different limits.
#
# * $\sigma_t^{*2}$: the gap is 0 for every $T$, even for 10 steps. (What is left, less than 0.00001 bits, is the
#   prior.) For Gaussian data the true reverse step *is* a Gaussian, so with the right mean and variance nothing is
#   lost.
# * $\beta_t$: the gap falls like $1/T$. $\beta_t$ is a little too large where $b_t$ is about as large as $\sigma_d$,
#   and the error vanishes with small steps.
# * $\tilde\beta_t$: the gap does *not* close. It is wrong at the smallest $t$, and there, smaller steps do not help:
#   they only move closer to the data. If $\beta_1 \approx \beta_2 \approx \dots$, then $b_t^2 \approx t\beta_1$, and
#   $\tilde\beta_t/\beta_t = (t-1)/t$ whatever $T$ is, while $\beta_t$ would be right. The sum of the divergences tends
#   to $\frac12 \sum_{t \ge 2} \big[\frac{t}{t-1} - 1 - \ln\frac{t}{t-1}\big] = \gamma/2$ nats, with Euler's constant
#   $\gamma = 0.577$: 0.416 bits. (The next cell checks it with a million steps.)
#
# Section 4 asked where its gap of 0.165 bits comes from. Of these, 0.164 are due to $\sigma_1^2 = \tilde\beta_2$ in the
# last step, which is too small for this data.
#
# The paper used $\beta_t$ for CIFAR-10. Improved DDPM (Nichol and Dhariwal, 2021) lets the network learn a value
# between the two, and reached better likelihoods. Does the variance matter for samples? With few steps, yes. Here are
# samples of the package's DDPM sampler with $T = 10$, and the standard deviation that `model_density` predicts. (The
# sampler adds no noise in its last step, so we set $\sigma_1^2 = 0$.)

# %%
limit = schedules.linear(1_000_000)  # the limit of many steps with σ² = β̃: γ/2 nats
(_, tilde, _), error = tables(limit), gaussian_error(limit, sigma_d)
tilde[0] = best_variance(limit, error)[0]
course.expect(abs(step_gaps(limit, error, tilde).sum() - 0.5772 / 2 / LN2) < 0.005)

short = schedules.linear(10)
beta, tilde, _ = tables(short)
x_T = torch.randn(20_000 if QUICK else 200_000, 1, dtype=F64)
spread = {}
for name, variance in {"large": beta, "small": tilde}.items():
    spread[name] = math.sqrt(model_density(short, m, sigma_d, torch.cat([torch.zeros(1), variance[1:]]))[1])
    z = torch.Generator().manual_seed(1)
    sampler = samplers.DDPM(variance=name, clip=None)
    sampled = sampler.sample(
        oracle.Gaussian(short, m, sigma_d),
        x_T,
        noise=lambda shape, z=z: torch.randn(shape, generator=z, dtype=F64),
    )
    print(f"{name}: standard deviation {sampled.std():.3f} sampled, {spread[name]:.3f} predicted; data {sigma_d}")
    course.expect(abs(sampled.std().item() / spread[name] - 1) < (0.03 if QUICK else 0.01))
course.expect(0.49 < spread["large"] < 0.50)
course.expect(0.33 < spread["small"] < 0.34)

# %% [markdown]
# With 10 steps and $\tilde\beta_t$, the samples have the standard deviation 0.33 instead of 0.5: too little noise is
# put back. With $\beta_t$ they have 0.49.
#
# ## 6. Data that is not Gaussian
#
# For the mixture with two humps, the true reverse step is no Gaussian, so even with the best mean and variance the gap
# is not 0. How large is it? The bound needs $c_t$ only. For a known density it is a one-dimensional integral, because
# the mean squared error of the best estimate is $c_t = \mathbb E\,x_0^2 - \mathbb E\,\hat x_0^2$. (This is the law of
# total variance, $\operatorname{Var} x_0 = \mathbb E \operatorname{Var}(x_0 \mid x_t) + \operatorname{Var} \hat x_0$,
# since $x_0$ and $\hat x_0$ have the same mean.) And the entropy is an integral, too.

# %%
wide = torch.linspace(-6, 6, 6001, dtype=F64)
power = (torch.tensor(weights, dtype=F64) * (means[:, 0] ** 2 + stds**2)).sum().item()  # E x_0²


def mixture(schedule):
    """The exact denoiser of the two humps."""
    return oracle.Mixture(schedule, means, stds, torch.tensor(weights, dtype=F64))


def mixture_error(schedule):
    """c_t at t = 1..T of the exact denoiser, by integrals over x_t."""
    denoiser, errors = mixture(schedule), []
    for t in range(1, schedule.steps + 1):
        density = denoiser.log_density(wide[:, None], t).exp()
        x_0_hat = denoiser.predict(wide[:, None], t).x0[:, 0]
        errors.append(power - torch.trapezoid(density * x_0_hat**2, wide))
    return torch.stack(errors)


log_q = mixture(linear).log_density(wide[:, None], 0)
humps_entropy = -torch.trapezoid(log_q.exp() * log_q, wide).item() / LN2
humps_gap = {}
for steps in (4, 16, 64, 256):
    schedule = schedules.cosine(steps)
    error = mixture_error(schedule)
    L_T, L_t, L_0 = bound_terms(schedule, error, power, best_variance(schedule, error))
    humps_gap[steps] = (L_T + L_t.sum() + L_0).item() - humps_entropy
    print(
        f"T = {steps:3}: bound with the best variance {humps_gap[steps]:.4f} bits above the entropy {humps_entropy:.4f}"
    )
course.expect(all(3 < humps_gap[steps] / humps_gap[4 * steps] < 4.2 for steps in (4, 16, 64)))
course.expect(0.71 < humps_entropy < 0.711)
course.expect(0.0090 < humps_gap[256] < 0.0096)
course.expect(3.8 < humps_gap[16] / humps_gap[64] < humps_gap[64] / humps_gap[256] < 4.1)

# %% [markdown]
# With four times as many steps the gap is three to four times smaller; it falls like $1/T$. (Ours is the best *number*
# $\sigma_t^{*2}$ at each $t$. What remains is that the true reverse step has another variance at each $x_t$, and is no
# Gaussian.) This is lesson 2, section 6, in bits: with small steps, Gaussian reverse steps are right. By hand and by
# the package, once more; the average over $x_0$ and $\varepsilon$ is a sum over a grid of both.

# %%
schedule = schedules.cosine(16)
beta, tilde, _ = tables(schedule)
by_hand = bound_terms(schedule, mixture_error(schedule), power, torch.cat([tilde[1:2], beta[1:]]))
x_0, eps = (
    part.reshape(-1, 1) for part in torch.meshgrid(torch.linspace(-2, 2, 81), torch.linspace(-6, 6, 61), indexing="ij")
)
x_0, eps = x_0.double(), eps.double()
mass = mixture(schedule).log_density(x_0, 0).exp() * normal(eps[:, 0], 0.0, 1.0)
mass = mass / mass.sum()
terms = bound.bits_per_dim(mixture(schedule), x_0, variance="large", clip=False, decoder="density", noise=lambda _: eps)
course.expect(torch.allclose(mass @ terms.L_t, by_hand[1], rtol=1e-4))
course.expect(math.isclose(mass @ terms.total, sum(part.sum() for part in by_hand), rel_tol=1e-4))
print(f"bound at T = 16 with σ² = β: {mass @ terms.total:.4f} bits by the package")

# %% [markdown]
# ## 7. The last step, for pixels
#
# A pixel is no real number. It has 256 grey levels, $2/255$ apart in $[-1, 1]$. To compare models in bits, the last
# step must give *probabilities* of the levels. The paper takes the Gaussian of the last step and gives each level the
# mass of its *bin*, the interval of width $2/255$ around it. The bins of the first and the last level extend to
# infinity, so that the 256 probabilities sum to 1. The probability of an image is the product over its pixels, so
# $-\log p_\theta(x_0 \mid x_1)$ is a *sum over the pixels*. For one pixel:
#
# $$p_\theta(x_0 \mid x_1) = \int_{\delta_-(x_0)}^{\delta_+(x_0)}
# \mathcal N\big(x;\ \mu_\theta(x_1, 1),\ \sigma_1^2\big)\,dx,
# \qquad
# \delta_\pm(x) = x \pm \tfrac{1}{255} \ \ (\pm\infty \text{ at } x = \pm 1) \tag{13}$$
#
# With $\Phi$, the probability that a standard normal number is below a value, it is $\Phi$ at the upper end minus
# $\Phi$ at the lower end, both measured from the mean in units of $\sigma_1$. In PyTorch, $\Phi$ is
# `torch.special.ndtr`. That is easily written, and wrong in 32-bit floats:

# %%
sigma_1 = math.sqrt(linear.posterior_variance(2, 1))  # √β̃_2 = 0.0074
print("distance   32-bit difference of Φ   package")
naive, right = {}, {}
for levels in (0, 2, 4, 5, 6):
    center = torch.tensor([levels * 2 / 255])
    phi = torch.special.ndtr
    naive[levels] = (phi((center + 1 / 255) / sigma_1) - phi((center - 1 / 255) / sigma_1)).item()
    decoder = DiagonalGaussian(torch.zeros(1), sigma_1**2)
    right[levels] = decoder.log_bins(center, half_width=1 / 255, edge=0.999).exp().item()
    print(f"  {center.item() / sigma_1:.1f} σ_1       {naive[levels]:.3e}            {right[levels]:.3e}")
course.expect(abs(naive[2] / right[2] - 1) < 1e-5)
course.expect(abs(naive[5] / right[5] - 1) > 0.01)
course.expect(naive[6] == 0)
course.expect(phi(torch.tensor(8.0, dtype=F64)) < 1 == phi(torch.tensor(8.5, dtype=F64)))
course.expect(2e-9 < right[6] < 3e-9)

# %% [markdown]
# At six levels from the mean the difference is 0, so $-\log p$ is infinite, although the probability is a harmless
# $2.6 \cdot 10^{-9}$. The reason: right of the mean, $\Phi$ is nearly 1, and 32-bit floats near 1 are
# $6 \cdot 10^{-8}$ apart. Left of the mean it is no better, because `ndtr` computes $\frac12(1 + \mathrm{erf})$, where
# the 1 cancels. In 64 bits the same happens beyond 8 $\sigma$.
#
# ### Exercise 4: the mass of a bin
#
# Write the logarithm of (13) so that it is right up to 20 $\sigma$ from the mean, on both sides, and for the open bins
# at $-1$ and $1$. Floats are dense near 0 and not near 1: which function is small where $\Phi$ is nearly 1, and on
# which side of the mean does it help? Convert to float64 first: at 20 σ the mass is $10^{-89}$, too small for a 32-bit
# float. Do not add a floor to the mass. A test: if $x$ and the mean change their signs, the mass stays the same.
#
# <details><summary>Hint</summary>
#
# `torch.erfc(z / math.sqrt(2)) / 2` is the probability that a standard normal number is above $z$. It has all its
# digits for $z > 0$. The normal distribution is symmetric, so a bin left of the mean has the mass of its mirror image.
# </details>


# %% tags=["exercise"]
def log_bin(x, mean, std):
    """log of the mass of each level's bin (nats): levels x in [−1, 1] and means, float32 (N,), std a float."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(3, log_bin))
right_log_bin = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def log_bin(x, mean, std):
#     x, mean = x.double(), mean.double()
#     lower = torch.where(x < -0.999, -math.inf, (x - 1 / 255 - mean) / std)
#     upper = torch.where(x > 0.999, math.inf, (x + 1 / 255 - mean) / std)
#     left = lower + upper < 0  # of the mean: mirror the bin
#     lower, upper = torch.where(left, -upper, lower), torch.where(left, -lower, upper)
#     return (torch.erfc(lower / math.sqrt(2)) / 2 - torch.erfc(upper / math.sqrt(2)) / 2).log()
# ```
# </details>
#
# The solution has two parts:
#
# * **A function that is made for tails.** $\frac12\,\mathrm{erfc}(z/\sqrt2)$ is the probability that a standard normal
#   number is *above* $z$. For $z > 0$ it is a small number with all its digits, since floats near 0 are very close
#   together. In PyTorch it is `torch.erfc`.
# * **The right side.** The mass between $l$ and $u$ is the tail above $l$ minus the tail above $u$. Right of the mean
#   both are small. Left of it both are nearly 1, and their difference is lost again. But the normal distribution is
#   symmetric: the mass between $l$ and $u$ equals the mass between $-u$ and $-l$.
#
# The table above once more, with the function:

# %%
centers = torch.tensor([2 * k / 255 for k in right])
masses = right_log_bin(centers, torch.zeros(len(centers)), sigma_1).exp()
for center, mass, by_package in zip(centers, masses, right.values(), strict=True):
    print(f"{center / sigma_1:.1f} σ_1: {mass:.3e} by the function, {by_package:.3e} by the package")
    course.expect(math.isclose(mass, by_package, rel_tol=1e-4))

# %% [markdown]
# Now the bound of a pixel, with all its terms in the paper's form. The data: one pixel with six grey levels of known
# probabilities. The entropy of these is what no model can beat. The schedule is geometric, with noise from 0.001, well
# below the width of a bin, to 50.

# %%
levels = torch.tensor([10, 60, 64, 128, 200, 255], dtype=F64) / 127.5 - 1
chances = torch.tensor([0.1, 0.25, 0.15, 0.1, 0.3, 0.1], dtype=F64)
pixel_entropy = -(chances * chances.log2()).sum().item()
eps = torch.linspace(-7, 7, 201, dtype=F64)
density = normal(eps, 0.0, 1.0) * (eps[1] - eps[0])  # the average over ε is a sum over this grid
x_0, noise = levels.repeat_interleave(len(eps))[:, None], eps.repeat(len(levels))[:, None]
counts, pixel_gap = (8, 32) if QUICK else (8, 32, 128, 512), {}
print(f"entropy {pixel_entropy:.4f} bits; bits of the bound above it:")
for steps in counts:
    schedule = schedules.geometric(steps, 0.001, 50.0)
    denoiser = oracle.Mixture(schedule, levels[:, None], torch.zeros(len(levels), dtype=F64), chances)
    for variance in ("large", "small"):
        terms = bound.bits_per_dim(denoiser, x_0, variance=variance, clip=False, noise=lambda _: noise)
        total = chances @ terms.total.reshape(len(levels), -1) @ density
        pixel_gap[variance, steps] = total.item() - pixel_entropy
    print(f"T = {steps:3}:  σ² = β {pixel_gap['large', steps]:8.4f}   σ² = β̃ {pixel_gap['small', steps]:8.4f}")
course.expect(2.42 < pixel_entropy < 2.44)
course.expect(all(gap > 0 for gap in pixel_gap.values()))
if not QUICK:
    course.expect(3.5 < pixel_gap["large", 128] / pixel_gap["large", 512] < 4.2)
    course.expect(3.5 < pixel_gap["small", 128] / pixel_gap["small", 512] < 4.5)
    course.expect(4.8 < pixel_gap["large", 512] / pixel_gap["small", 512] < 5.8)

# %% [markdown]
# Now both gaps close as $T$ grows, and from $T = 128$ on the gap with $\tilde\beta_t$ is five times smaller. The data
# is six points: when the noise is much smaller than their distance, the denoiser knows which one it is, $c_t = 0$, and
# $\tilde\beta_t$ is right. Real images are in between.
#
# ## 8. From the bound to L_simple
#
# A network enters the bound only through the distance of the means, $\tilde\mu_t - \mu_\theta$. If it predicts the
# noise, each term of the bound is a weight times the squared error of the noise, plus a constant without a network:
#
# $$L_{t-1} = w_t\;\mathbb E\,(\varepsilon - \hat\varepsilon)^2 + C_t$$
#
# ### Exercise 5: the weight of the noise error
#
# Derive $w_t$ in nats, for any schedule and any variance $\sigma_t^2$ of the reverse step, with $r$ and $\beta_t$ of
# the step from $t - 1$ to $t$. Begin with the divergence of section 3. Given $x_0$ and $x_t$, the noise $\varepsilon$
# is known, so both means can be written in form 2: which noise stands in which? Two cases test the result. At $t = 1$
# the means are $x_0$ and $\hat x_0$, so $w_1$ must be $b_1^2/(2 a_1^2 \sigma_1^2)$. With `linear` and
# $\sigma_t^2 = \beta_t$ the weight of lesson 1 must come out, 0.273 at $t = 2$.


# %% tags=["exercise"]
def eps_weight(t, a, b, variance):
    """The factor of (ε − ε̂)² in L_{t−1}, in nats: an integer t in 1..T, tables a and b, and variance σ_t²."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(3, eps_weight))
right_eps_weight = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def eps_weight(t, a, b, variance):
#     r = a[t] / a[t - 1]
#     beta = b[t] ** 2 - r**2 * b[t - 1] ** 2
#     return beta**2 / (2 * variance * r**2 * b[t] ** 2)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# By form 2, with $\varepsilon$ for $\tilde\mu_t$ and $\hat\varepsilon$ for $\mu_\theta$, the
# two means differ, up to the sign, by $\frac{\beta_t}{r\,b_t}(\varepsilon - \hat\varepsilon)$. So in nats
#
# $$L_{t-1} = w_t\;\mathbb E\,(\varepsilon - \hat\varepsilon)^2 + C_t, \qquad
# w_t = \frac{\beta_t^2}{2\,\sigma_t^2\,r^2\,b_t^2}, \qquad
# C_t = \frac12\Big[\frac{\tilde\beta_t}{\sigma_t^2} - 1 - \ln\frac{\tilde\beta_t}{\sigma_t^2}\Big] \tag{12}$$
# </details>
#
# $C_t$ has no network in it. (In the paper's notation $r^2 = \alpha_t$ and $b_t^2 = 1 - \bar\alpha_t$. For an image,
# sum over the pixels: the squares become a squared norm.) The error of the noise is the error of the image times the
# SNR, $\mathbb E(\varepsilon-\hat\varepsilon)^2 = \mathrm{SNR}_t\,c_t$, because
# $b_t(\varepsilon - \hat\varepsilon) = -a_t(x_0 - \hat x_0)$. So all terms $L_{t-1}$ can be computed a second time, and
# must be those of section 4.

# %%
beta, tilde, _ = tables(linear)
weight = {
    label: torch.tensor([float(right_eps_weight(t, a, b, variance[t - 1])) for t in range(first, 1001)], dtype=F64)
    for label, variance, first in ((r"$\sigma_t^2 = \beta_t$", beta, 1), (r"$\sigma_t^2 = \tilde\beta_t$", tilde, 2))
}
w = weight[r"$\sigma_t^2 = \beta_t$"]
noise_error = linear.snr[1:] * gaussian_error(linear, sigma_d)
constant = 0.5 * (tilde / beta - 1 - (tilde / beta).log())
again = ((w * noise_error + constant) / LN2)[1:]
_, L_t, _ = bound_terms(linear, gaussian_error(linear, sigma_d), m**2 + sigma_d**2, large)
course.expect(torch.allclose(again, L_t))
t = torch.arange(2, 1001)
course.plot(
    t,
    {label: values[-999:] for label, values in weight.items()} | {r"$L_{\rm simple}$": torch.ones(999)},
    ylabel="weight of the noise error",
    kind="loglog",
)
print(f"weight for β: {w[1]:.3f} at t = 2, least {w[1:].min():.4f} at t = {int(w[1:].argmin()) + 2}")
course.expect(54 < w[1] / w.min() < 56)
course.expect(340 < int(w[1:].argmin()) + 2 < 360)

# %% [markdown]
# The weight is 55 times larger at $t = 2$ than at its minimum near $t = 350$. $L_{\rm simple}$ is this sum with all
# weights set to 1, and without the constants. (Only the shape of the curves counts, since a loss may be multiplied by
# any number.)
#
# $$L_{\rm simple} = \mathbb E_{t,\,x_0,\,\varepsilon}\,\|\varepsilon - \hat\varepsilon\|^2 \tag{14}$$
#
# What does it change? If the network could represent every function, nothing: at each $t$ the best $\hat\varepsilon$ is
# $\mathbb E[\varepsilon \mid x_t]$, whatever positive weight the term has. A real network has limited capacity, and the
# weights say where to spend it. Compare the shares of small $t$ in the two sums, for our Gaussian data.

# %%
early = slice(1, 50)  # t = 2..50
share_bound = ((w * noise_error)[early].sum() / (w * noise_error)[1:].sum()).item()
share_simple = (noise_error[early].sum() / noise_error[1:].sum()).item()
print(f"share of t ≤ 50: {share_bound:.0%} of the bound's noise errors, {share_simple:.0%} of L_simple")
course.expect(0.68 < share_bound < 0.70)
course.expect(0.26 < share_simple < 0.28)

# %% [markdown]
# The times $t \le 50$ are a twentieth of all times. They make 69 % of the weighted noise errors in the bound and 27 %
# of $L_{\rm simple}$. At these times the noise is hardly visible: the bound pays for the last bits of detail.
# $L_{\rm simple}$ moves the network's effort to larger $t$, where the shape is decided. The paper found better pictures
# and worse likelihoods with it.
#
# ### On paper: the bound as a sum of differences of SNRs
#
# One more form is worth knowing (Kingma et al., 2021). Let $\sigma_t^2 = \tilde\beta_t$. Show that for $t > 1$, in
# nats,
#
# $$L_{t-1} = \tfrac12\,\big(\mathrm{SNR}_{t-1} - \mathrm{SNR}_t\big)\,c_t$$
#
# for any schedule. Begin with $L_{t-1}$ of section 4: which of its terms are 0? Then put $k_t$, $\tilde\beta_t$ and
# $\beta_t = b_t^2 - r^2 b_{t-1}^2$ into $k_t^2/\tilde\beta_t$. Last, suppose that the error $c_t = c$ is the same at
# all $t$: what is the sum of all $L_{t-1}$?
#
# <details><summary>Derivation</summary>
#
# The variances are equal, so the terms of the variances are 0, and $L_{t-1} = \frac12 (k_t^2/\tilde\beta_t)\,c_t$. With
# $k_t = a_{t-1}\beta_t/b_t^2$ and $\tilde\beta_t = b_{t-1}^2 \beta_t/b_t^2$,
#
# $$\frac{k_t^2}{\tilde\beta_t} = \frac{a_{t-1}^2\,\beta_t}{b_t^2\,b_{t-1}^2}
# = \frac{a_{t-1}^2\,(b_t^2 - r^2 b_{t-1}^2)}{b_t^2\,b_{t-1}^2}
# = \frac{a_{t-1}^2}{b_{t-1}^2} - \frac{a_t^2}{b_t^2} = \mathrm{SNR}_{t-1} - \mathrm{SNR}_t$$
#
# where $r^2 a_{t-1}^2 = a_t^2$. If $c_t = c$ for all $t$, the sum over $t = 2, \dots, T$ telescopes to
# $\frac12(\mathrm{SNR}_1 - \mathrm{SNR}_T)\,c$: only the ends of the schedule count.
# </details>
#
# The package has this weight as the weighting "variational", scaled to bits and multiplied by $T$, since training draws
# one $t$. The cell compares both with $w_t\,\mathrm{SNR}_t$, the weight of $c_t$ that follows from (12).

# %%
by_snr = 0.5 * (linear.snr[1:-1] - linear.snr[2:])
course.expect(torch.allclose(by_snr, weight[r"$\sigma_t^2 = \tilde\beta_t$"] * linear.snr[2:]))
course.expect(torch.allclose(by_snr * 1000 / LN2, x0_weights("variational", linear)[1:]))

# %% [markdown]
# ## What to remember
#
# * Completing the square: precisions add, and the mean is the average weighted by precision. That is (7).
# * $\mu_\theta$ from $\hat x_0$, from $\hat\varepsilon$, from the score or from $v$ is the same number. With the exact
#   denoiser it is the true mean of $q(x_{t-1} \mid x_t)$.
# * The bound is $L_T + \sum L_{t-1} + L_0$. Its distance from the entropy is the divergence of the true reverse steps
#   from the model's. It is 0 if those are Gaussian and have the variance $\tilde\beta_t + k_t^2 c_t$.
# * $\beta_t$ is that variance for wide, smooth data, $\tilde\beta_t$ for data of isolated points.
# * $L_{\rm simple}$ is the bound with other weights. The best denoiser is the same.
#
# In the package: `schedule.posterior`, `reverse.transition`, `bound.bits_per_dim`, `gaussian.DiagonalGaussian`. Lesson
# 8 uses the bound on real models.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **Narrower data.** In section 4, `m, sigma_d = 0.2, 0.5` → `m, sigma_d = 0.2, 0.1`. Bound and entropy fall, as
#   there is less to know. The gap with $\tilde\beta_t$ at $T = 10$ becomes smaller, that with $\beta_t$ larger.
#   Seconds.
# * **A narrow hump.** In section 2, `torch.tensor([0.15, 0.25], dtype=F64), [0.4, 0.6]` →
#   `torch.tensor([0.05, 0.25], dtype=F64), [0.4, 0.6]`. The entropy of section 6 falls, and the gap at each $T$ grows:
#   the true reverse steps are farther from Gaussians. Seconds.
# * **More steps for the samples.** In section 5, `short = schedules.linear(10)` → `short = schedules.linear(40)`. With
#   $\tilde\beta_t$ the standard deviation of the samples rises from 0.33 to 0.43, nearer to the 0.5 of the data. With
#   $\beta_t$ it is 0.51. Seconds.
