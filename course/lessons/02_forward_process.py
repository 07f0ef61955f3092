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
# # The forward process
#
# Lesson 1 added noise to digits with one schedule, the paper's. In this lesson you learn what a schedule is in
# general, which of its properties matter, and what the same noise does to points, images and sound. Nothing is
# trained: the forward process $q$ has no weights, so every number here is exact or a plain average. Equation numbers in
# brackets, such as (4), are those of the [DDPM paper](https://arxiv.org/abs/2006.11239).
#
# You need lesson 1. Four exercises come on the way. The lesson runs in under a minute.

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
from ancestral import bound, data, oracle, schedules

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 draws fewer samples, to test that every cell runs
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1. Signal and noise
#
# Every forward process in this course has the form
#
# $$x_t = a_t\,x_0 + b_t\,\varepsilon, \qquad \varepsilon \sim \mathcal N(0, I), \qquad t = 0, \dots, T$$
#
# $x_0$ is a clean item of the data, $\varepsilon$ is standard normal noise of the same shape, and the two lists of
# numbers are the **schedule**: $a_t$ is the factor of the *signal* and $b_t$ the factor of the *noise*. At $t = 0$ the
# item is clean, so $a_0 = 1$ and $b_0 = 0$. This is the *reparameterisation* of lesson 1: to draw $x_t$ from
# $q(x_t \mid x_0) = \mathcal N(a_t x_0,\ b_t^2 I)$, draw $\varepsilon$.
#
# The paper does not write $a$ and $b$. It gives the variances $\beta_1, \dots, \beta_T$ of single steps (2):
# $x_t = \sqrt{1-\beta_t}\,x_{t-1} + \sqrt{\beta_t}\,z$, with new noise $z \sim \mathcal N(0, I)$ in each step.
#
# ### Exercise 1: the tables of a schedule
#
# Derive $a$ and $b$ from $\beta_1, \dots, \beta_T$, and write the function that makes both tables. Put
# $x_{t-1} = a_{t-1} x_0 + b_{t-1} \varepsilon$ into the step. Which factor does $x_0$ have then? $\varepsilon$ and $z$
# are independent, so their variances add: which variance do the two parts of the noise have together? Two steps test
# the result: $\beta_1 = 0.3$ and $\beta_2 = 0.9$ give $a_2^2 = 0.07$ and $b_2^2 = 0.93$.
#
# Two things about the code. First, `beta[0]` is $\beta_1$, and the tables start with clean data at $t = 0$, so they
# have one entry more than `beta`. Second, `beta` may arrive in 32-bit floats with values as small as $10^{-6}$. In 32
# bits, numbers just below 1 are $6 \cdot 10^{-8}$ apart, so the rounding error of $1 - 10^{-6}$ can be 3 % of
# $10^{-6}$. Convert `beta` to 64 bits before you subtract.


# %% tags=["exercise"]
def signal_and_noise(beta):
    """The tables a and b, both (T + 1,), of the variances beta (T,), float32 or float64. Returns (a, b)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(2, signal_and_noise))
right_signal_and_noise = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def signal_and_noise(beta):
#     beta = torch.cat([torch.zeros(1), beta]).double()  # β_0 = 0: nothing has happened at t = 0
#     alpha_bar = (1 - beta).cumprod(0)
#     return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# One step gives $a_t = \sqrt{1-\beta_t}\;a_{t-1}$ and
# $b_t^2 = (1-\beta_t)\,b_{t-1}^2 + \beta_t$. The second is the same as $1 - b_t^2 = (1-\beta_t)(1 - b_{t-1}^2)$. So
# $a_t^2$ and $1 - b_t^2$ both start at 1, and both are multiplied by $1-\beta_t$ in each step. With
# $\bar\alpha_t = \prod_{s=1}^{t} (1 - \beta_s)$,
#
# $$a_t = \sqrt{\bar\alpha_t}, \qquad b_t = \sqrt{1 - \bar\alpha_t}$$
#
# which is (4).
# </details>
#
# Here are the two tables of the function for the paper's $\beta_t$, and the comparison with the package. A
# schedule of the package is an object that holds the same two tables, `signal` and `noise`. Note the index: the tables
# start at $t = 0$, so `a[t]` is $a_t$. The list `beta` of this cell has no entry for $t = 0$, so `beta[0]` is
# $\beta_1$. (In lesson 1 and in the package it has, $\beta_0 = 0$, and `linear.beta[t]` is $\beta_t$.)

# %%
T = 1000
beta = torch.linspace(1e-4, 0.02, T, dtype=torch.float64)  # β_1 to β_T
a, b = right_signal_and_noise(beta)

linear = schedules.linear()
course.expect(torch.allclose(a, linear.signal))
course.expect(torch.allclose(b, linear.noise))
print("entries:", len(a), "- at t = 250:", f"a = {a[250]:.3f}, b = {b[250]:.3f}")
course.expect(0.722 < a[250] < 0.725)
course.expect(0.689 < b[250] < 0.692)

t = torch.arange(T + 1)
course.plot(t, {"signal $a_t$": a, "noise $b_t$": b})

# %% [markdown]
# The curves cross near $t = 260$. Left of it $x_t$ is mostly signal, right of it mostly noise.

# %%
digits = data.open("digits").items / 127.5 - 1  # those of lesson 1, uncut: 5,000 images (1, 28, 28) in [−1, 1]
times = (0, 50, 150, 260, 400, 600, 1000)
eps = torch.randn_like(digits[:3])
rows = digits[[500, 2000, 4200]]
noisy = [linear.add_noise(rows, t, eps) for t in times]  # a_t x_0 + b_t ε
course.show([*zip(*noisy, strict=True)], [f"t = {t}" for t in times])

# %% [markdown]
# ## 2. How large is x_t?
#
# The signal and the noise are independent, so their variances add. If the data has the standard deviation $\sigma_d$,
# then
#
# $$\operatorname{Var} x_t = a_t^2\,\sigma_d^2 + b_t^2$$
#
# For the paper's schedule $a_t^2 + b_t^2 = 1$. If the data has variance 1, then $x_t$ has variance 1 at every $t$. Such
# schedules are called **variance preserving** (VP). There is another family, older than DDPM: leave the image as it is
# and only add noise, $a_t = 1$ and $b_t = \sigma_t$ with a $\sigma_t$ that grows to 50 or more. The variance of $x_t$
# grows with it, so these schedules are called **variance exploding** (VE). NCSN (Song and Ermon, 2019) takes
# *geometric* levels: $\sigma_{t+1}/\sigma_t$ is the same at every step. (This $\sigma_t$ is the level of the noise, as
# in the papers on VE. In lessons 1 and 3, $\sigma_t$ is the standard deviation of the reverse step.)

# %%
geometric = schedules.geometric()  # a = 1, b from 0.01 at t = 1 to 50 at t = T
sigma = 0.01 * 5000 ** (torch.arange(T, dtype=torch.float64) / (T - 1))
course.expect(torch.allclose(geometric.noise[1:], sigma))
course.expect(bool((geometric.signal == 1).all()))

sigma_d = digits.std().item()
some = digits[:: 25 if QUICK else 2]
for name, schedule in {"linear (VP)": linear, "geometric (VE)": geometric}.items():
    for t in (1, 250, 500, 1000):
        measured = schedule.add_noise(some, t, torch.randn_like(some)).std().item()
        a_t, b_t = schedule.at(t)  # entry t of both tables, as floats
        formula = math.sqrt(a_t**2 * sigma_d**2 + b_t**2)
        print(f"{name:15} t = {t:4}: standard deviation {measured:7.3f} measured, {formula:7.3f} by the formula")
        course.expect(abs(measured / formula - 1) < 0.02)
print(f"standard deviation of the digits: {sigma_d:.2f}")
course.expect(0.61 < sigma_d < 0.63)

# %% [markdown]
# The digits have a standard deviation of 0.62. Under the VP schedule $x_t$ grows from there to 1; under the VE
# schedule it grows to 50. A network wants inputs of order 1, so for a VE schedule its input is divided by the standard
# deviation of $x_t$. The package does that in `Target.scales`; lesson 5 comes back to it.
#
# ## 3. The signal-to-noise ratio
#
# VP and VE look very different, but they differ only by a scale. Divide $x_t$ by $a_t$:
#
# $$\frac{x_t}{a_t} = x_0 + \frac{b_t}{a_t}\,\varepsilon$$
#
# Scaling an image by a known number neither adds nor removes information. So all that matters for what can be known
# about $x_0$ is the ratio of $a_t$ to $b_t$. Its square is the **signal-to-noise ratio**
#
# $$\mathrm{SNR}_t = \frac{a_t^2}{b_t^2}$$
#
# It falls from $\infty$ at $t = 0$ to nearly 0 at $t = T$. Since it covers many orders of magnitude, one takes its
# natural logarithm, the **log-SNR**, written $\lambda_t = \ln(a_t^2/b_t^2)$. $\lambda = 0$ means that signal and
# noise have the same factor. Here is one digit under VP and VE at the same three log-SNRs with the same noise. For the
# picture, $x_t$ is divided by $\sqrt{a_t^2 + b_t^2}$.

# %%
x_0, eps = digits[2000:2001], torch.randn(1, 1, 28, 28)
rows, scaled = [], []
for schedule in (linear, geometric):
    row = []
    for log_snr in (4.0, 0.0, -4.0):
        t = int((schedule.snr.log() - log_snr).abs().argmin())  # the time with the nearest log-SNR
        a_t, b_t = schedule.at(t)
        x_t = schedule.add_noise(x_0, t, eps)
        row.append(x_t[0] / math.hypot(a_t, b_t))
    rows.append(row)
course.show(rows, ["λ = 4", "λ = 0", "λ = −4"], ["VP", "VE"], size=1.2)
difference = max(float((vp - ve).abs().max()) for vp, ve in zip(*rows, strict=True))
print(f"largest difference of a pixel: {difference:.3f}")
course.expect(difference < 0.02)

# %% [markdown]
# The two rows are equal, up to the rounding of $t$ to whole numbers. **Up to its scale, a schedule is one curve: the
# log-SNR over $t$.** So this is the curve to draw when you compare schedules. Three of them:
#
# * **linear** (DDPM): $\beta_t$ rises on a line from 0.0001 to 0.02. VP.
# * **cosine** (improved DDPM; Nichol and Dhariwal, 2021): $\bar\alpha_t$ follows $\cos^2$ of an angle that goes from
#   nearly 0 to 90°. VP.
# * **geometric** (NCSN): $\ln \sigma_t$ is a straight line, so $\lambda_t = -2 \ln \sigma_t$ is one, too. VE.

# %%
cosine = schedules.cosine()
u = (torch.arange(T + 1, dtype=torch.float64) / T + 0.008) / 1.008  # 0.008 keeps the first steps from being too small
by_hand = torch.cos(u * math.pi / 2) ** 2 / torch.cos(u[0] * math.pi / 2) ** 2  # ᾱ_t of the cosine schedule
course.expect(
    torch.allclose(by_hand[:T], cosine.alpha_bar[:T])
)  # at t = T the package keeps a little signal: β_T = 0.999

families = {"linear": linear, "cosine": cosine, "geometric": geometric}
t = torch.arange(1, T + 1)
course.plot(t, {f"{name}: $a_t$": schedule.signal[1:] for name, schedule in families.items()})
course.plot(t, {name: schedule.snr[1:].log() for name, schedule in families.items()}, ylabel="log-SNR λ")
for name, schedule in families.items():
    lam = schedule.snr.log()
    crossing = int((lam > 0).sum())  # λ falls, so this is the first time with λ ≤ 0
    visible = int((lam.abs() < 4).sum()) / T
    ends = f"λ from {lam[1]:5.1f} to {lam[-1]:5.1f}"
    print(f"{name:9}: {ends}, λ = 0 at t = {crossing}, share of times with |λ| < 4: {visible:.1%}")
    course.expect(
        (crossing, visible) == {"linear": (260, 0.591), "cosine": (497, 0.835), "geometric": (542, 0.469)}[name]
    )
course.expect(linear.snr[667].log() < -4)

# %% [markdown]
# The three start at about the same $\lambda$, since at $t = 1$ all have little noise. They differ in how they spend
# their times. If $\lambda > 4$ the noise is hardly visible, and if $\lambda < -4$ the image is. A denoiser has
# something to do in between: the cosine schedule spends 83.5 % of its times there, linear 59 %, geometric 47 %. Nichol
# and Dhariwal proposed it for this reason: for small images, the linear schedule is nearly pure noise in its last
# third.
#
# ## 4. What the SNR says about x_0
#
# The SNR is more than a ratio of sizes. It measures information. Let the data be one number with a normal
# distribution of mean 0 and standard deviation $\sigma_d$. Somebody shows you $x_t$. How well can you know $x_0$?
#
# What you know then is the distribution $q(x_0 \mid x_t)$. The best estimate of $x_0$ is its mean, and the mean squared
# error of this estimate is its variance, $e_t^2$. Bayes' rule says
#
# $$q(x_0 \mid x_t) \;\propto\; q(x_0)\; q(x_t \mid x_0)$$
#
# ### Exercise 2: the SNR for a wanted error
#
# Which SNR is needed to know $x_0$ with the root mean square error $e_t$? Both factors of Bayes' rule are Gaussians.
# Write their exponents as functions of $x_0$ and add them. The factor of $x_0^2$ in the sum gives the variance $e_t^2$
# as a function of $\sigma_d$ and the SNR. Solve this for the SNR. Two cases test the result: an error of $\sigma_d$
# needs no signal, SNR = 0, and an error near 0 needs an SNR that grows without limit. In the code $e_t$ is `error` and
# $\sigma_d$ is `std`.
#
# <details><summary>Hint</summary>
#
# The exponent of a Gaussian of variance $v$ is $-\frac{1}{2v}x_0^2$ plus terms with $x_0$ and without it. In
# $q(x_t \mid x_0) = \mathcal N(x_t;\ a_t x_0,\ b_t^2)$, what is the factor of $x_0^2$?
# </details>


# %% tags=["exercise"]
def snr_for_error(error, std):
    """The SNR at which the best estimate of x_0 ~ N(0, std²) has the given RMS error; tensors of the same shape."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(2, snr_for_error))
right_snr_for_error = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def snr_for_error(error, std):
#     return 1 / error**2 - 1 / std**2
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# The exponents are $-\frac{x_0^2}{2\sigma_d^2}$ and $-\frac{(x_t - a_t x_0)^2}{2 b_t^2}$. The
# factors of $-\frac12 x_0^2$ in them are $1/\sigma_d^2$ and $a_t^2/b_t^2$, and in the sum the factor is $1/e_t^2$:
#
# $$\frac{1}{e_t^2} = \frac{1}{\sigma_d^2} + \mathrm{SNR}_t$$
#
# The *precision* is 1 divided by the variance. Before you look, your knowledge of $x_0$ has the precision
# $1/\sigma_d^2$. By section 3, $x_t/a_t$ is $x_0$ plus noise of variance $b_t^2/a_t^2$, so it is a measurement of $x_0$
# with the precision $a_t^2/b_t^2 = \mathrm{SNR}_t$. So for Gaussians, **precisions add**.
# </details>
#
# The best estimate itself is known in closed form, too. The package has it as `oracle.Gaussian`: a *denoiser*, as a
# trained network would be, but exact. Its `predict(x_t, t)` gives the best estimates `x0` and `eps` of $x_0$ and
# $\varepsilon$. We use it to check the formula.

# %%
std, count = 0.5, (20_000 if QUICK else 400_000)
exact = oracle.Gaussian(linear, mean=0.0, std=std)
rms = {}
for t in (50, 150, 260, 400, 600):
    x_0 = std * torch.randn(count, 1, dtype=torch.float64)
    x_t = linear.add_noise(x_0, t, torch.randn_like(x_0))
    measured = (exact.predict(x_t, t).x0 - x_0).square().mean().sqrt().item()
    formula = (1 / std**2 + linear.snr[t].item()) ** -0.5
    rms[t] = formula
    print(f"t = {t:3}, SNR {linear.snr[t]:7.3f}: error {measured:.4f} measured, {formula:.4f} by the formula")
    course.expect(abs(measured / formula - 1) < (0.02 if QUICK else 0.004))
course.expect(0.160 < rms[50] < 0.166)
course.expect(0.49 < rms[600] < 0.50)
last_time = {}
for error in (0.1, 0.25, 0.4):
    needed = right_snr_for_error(torch.tensor(error, dtype=torch.float64), torch.tensor(std, dtype=torch.float64))
    last_time[error] = int((linear.snr >= needed).sum()) - 1  # the SNR falls, and t = 0 is the first entry
    print(f"an error of {error} needs an SNR of {needed:.2f}: t = {last_time[error]} at most")
course.expect(list(last_time.values()) == sorted(last_time.values()))

# %% [markdown]
# At $t = 50$ the estimate is wrong by 0.16. At $t = 600$ it is wrong by nearly 0.5, the standard deviation of the data:
# $x_{600}$ says almost nothing about $x_0$, and the best estimate is close to the mean of the data.
#
# ## 5. A schedule from a log-SNR curve
#
# If the log-SNR is the curve that matters, one can choose it first and compute $\beta$ from it.
#
# ### Exercise 3: β for a wanted log-SNR
#
# Derive $\beta_1, \dots, \beta_T$ of the VP schedule whose log-SNR at $t = 1, \dots, T$ is `log_snr`. Begin with
# $a_t^2 = \bar\alpha_t$: the definitions of VP and of $\lambda_t$ are two equations for $a_t^2$ and $b_t^2$. Then
# $\beta_t$: how does $\bar\alpha_t$ follow from $\bar\alpha_{t-1}$? The step before $t = 1$ is the clean item, with
# $\bar\alpha_0 = 1$. Two cases test the result: $\lambda_1 = 0$ gives $\beta_1 = \frac12$, and a step at which
# $\lambda$ does not change has $\beta_t = 0$.


# %% tags=["exercise"]
def betas_for_log_snr(log_snr):
    """β_1..β_T, float64 (T,), of the VP schedule with the log-SNR λ_1..λ_T, float64 (T,), which never rises."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(2, betas_for_log_snr))
right_betas_for_log_snr = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def betas_for_log_snr(log_snr):
#     alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), log_snr.sigmoid()])
#     return 1 - alpha_bar[1:] / alpha_bar[:-1]
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# $a_t^2 + b_t^2 = 1$ and $a_t^2/b_t^2 = e^{\lambda_t}$ give
#
# $$\bar\alpha_t = \frac{e^{\lambda_t}}{1 + e^{\lambda_t}} = \operatorname{sigmoid}(\lambda_t),
# \qquad 1 - \bar\alpha_t = \operatorname{sigmoid}(-\lambda_t)$$
#
# and $\bar\alpha_t = \bar\alpha_{t-1}(1 - \beta_t)$ gives $\beta_t = 1 - \bar\alpha_t/\bar\alpha_{t-1}$.
# </details>
#
# Here is the VP
# schedule that has the log-SNR of the *geometric* VE schedule. By section 3, it is the same forward process in another
# scale.

# %%
lam = geometric.snr[1:].log()  # λ_1 to λ_T, a straight line
twin = schedules.from_betas(right_betas_for_log_snr(lam))
course.expect(torch.allclose(twin.snr[1:], geometric.snr[1:]))
course.plot(torch.arange(1, T + 1), {"linear": linear.beta[1:], "VP twin of geometric": twin.beta[1:]}, ylabel="β")
print(f"largest β of the twin: {twin.beta.max():.4f}, at t = {int(twin.beta.argmax())}")
course.expect(0.016 < twin.beta.max() < 0.0175)

# %% [markdown]
# The twin's $\beta$ rises as an S-shaped curve and ends near 0.017. For $\lambda \ll 0$,
# $\bar\alpha_t \approx e^{\lambda_t}$, and $\lambda$ falls by the same amount at every step, so every step removes the
# same share of the signal.
#
# ## 6. What T does
#
# How many steps should there be? The question has two halves. What does $T$ change in the forward process, and what in
# the reverse process?
#
# In the forward process: nothing but the resolution. Think of a time $u = t/T$ that goes from 0 to 1, and of a fixed
# curve $\bar\alpha(u)$. $T$ is the number of points at which we look at the curve. `schedules.linear(T)` of the package
# does exactly that. The distribution of $x_t$ at $u = \frac12$ is the same for every $T$. The steps between the points
# are longer if there are fewer, so $\beta_t$ grows as $T$ shrinks.

# %%
coarse = {steps: schedules.linear(steps) for steps in (10, 100, 1000)}
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.6))
    for steps, schedule in coarse.items():
        u = torch.arange(steps + 1) / steps
        axes[0].plot(u, schedule.alpha_bar, marker="o" if steps == 10 else None, markersize=4, label=f"T = {steps}")
        axes[1].semilogy(u[1:], schedule.beta[1:], marker="o" if steps == 10 else None, markersize=4)
    axes[0].set(xlabel="u = t/T", title=r"$\bar\alpha$")
    axes[1].set(xlabel="u = t/T", title=r"$\beta$")
    axes[0].legend()
    figure.tight_layout()
    plt.show()
for steps, schedule in coarse.items():
    middle, end = schedule.alpha_bar[steps // 2], schedule.beta[-1]
    print(f"T = {steps:4}: ᾱ at u = ½ is {middle:.4f}, last β {end:.4f}")
    course.expect(abs(middle - 0.0786) < 1e-4)
course.expect(0.85 < coarse[10].beta[-1] < 0.86)
course.expect(0.18 < coarse[100].beta[-1] < 0.19)

# %% [markdown]
# The curves of $\bar\alpha$ lie on each other. With $T = 10$, the last step has $\beta = 0.85$: it replaces 85 % of
# the power of $x_{t-1}$ by new noise.
#
# Then why not take $T = 10$ and be fast? The reason is the reverse process. It models each reverse step,
# $q(x_{t-1} \mid x_t)$, by a Gaussian. Lesson 1 showed that this distribution is a narrow Gaussian if the step is
# short, and has two humps if the step is long. Here we measure it. The world is again one pixel with two images,
# $x_0 = \pm 1$, so that Bayes' rule on a grid gives the exact $q(x_{t-1} \mid x_t)$. We look at $x_t = 0$ at
# $u = 0.2$ and compare the exact density with the Gaussian of the same mean and variance, which is the best that
# the reverse process can do.
#
# The number to compare them by is the *Kullback-Leibler divergence* from lesson 1, section 7,
# $D_{\rm KL}(q \,\|\, p) = \int q(x) \log_2 \frac{q(x)}{p(x)}\,dx$. With the logarithm to base 2 it is in **bits**: the
# number of bits that it costs, on average, to believe $p$ where $q$ is true.

# %%
grid = torch.linspace(-6, 6, 24001, dtype=torch.float64)


def normal(x, mean, variance):
    """The density of N(mean, variance) at x."""
    return torch.exp(-((x - mean) ** 2) / (2 * variance)) / (2 * math.pi * variance) ** 0.5


def reverse_step(schedule, t, x_t):
    """The exact density of x_{t−1} given x_t on the grid, for data ±1, and the Gaussian of its mean and variance."""
    a_s, b_s = schedule.at(t - 1)
    step = schedule.forward(grid, t, t - 1)  # q(x_t | x_{t−1}) for each x_{t−1} of the grid; section 7 derives it
    density = sum(normal(grid, a_s * x_0, b_s**2) for x_0 in (-1, 1)) * normal(x_t, step.mean, step.variance)
    density = density / torch.trapezoid(density, grid)
    mean = torch.trapezoid(density * grid, grid)
    return density, normal(grid, mean, torch.trapezoid(density * (grid - mean) ** 2, grid))


bits, near = {}, grid.abs() < 2
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.4))
    for axis, steps in zip(axes, (10, 20, 100), strict=True):
        density, gaussian = reverse_step(schedules.linear(steps), steps // 5, 0.0)
        ratio = torch.where(density > 1e-30, density / gaussian.clamp_min(1e-300), 1.0)  # the tails have no mass
        bits[steps] = torch.trapezoid(density * ratio.log2(), grid).item()
        axis.plot(grid[near], density[near], label="exact")
        axis.plot(grid[near], gaussian[near], linestyle="--", label="Gaussian")
        axis.set(title=f"T = {steps}: {bits[steps]:.4f} bits", xlabel="$x_{t-1}$", yticks=[])
    axes[2].legend(loc="upper right")
    figure.tight_layout()
    plt.show()
print({steps: f"{value:.4f} bits" for steps, value in bits.items()}, f"ratio T = 10 to 100: {bits[10] / bits[100]:.0f}")
course.expect(0.49 < bits[10] < 0.51)
course.expect(0.055 < bits[20] < 0.058)
course.expect(2000 < bits[10] / bits[100] < 2500)

# %% [markdown]
# With $T = 10$ the exact density has two humps, and the Gaussian has its peak between them, where the density is almost
# 0: that costs half a bit. With $T = 20$ the humps overlap, and with $T = 100$ the eye sees no difference. $T = 100$
# has ten times as many steps as $T = 10$, but this one costs over 2,000 times less. **A Gaussian reverse process is
# right if $\beta$ is small.** Lesson 3 turns this into the bound, and shows that its gap closes as $T$ grows.
#
# ## 7. The jump between two times
#
# Section 6 took $q(x_t \mid x_{t-1})$ from the package. Which Gaussian is it, and which is $q(x_t \mid x_s)$
# for any two times $s < t$? Suppose $x_t = r\,x_s + \text{noise}$ with a factor $r$ and independent noise of variance
# $v$. Both follow from what we know about $x_s$ and $x_t$.
#
# ### Exercise 4: the jump, for every schedule
#
# Lesson 1 had this exercise for VP schedules. Derive $r$ and $v$ for *any* tables $a$ and $b$, VP, VE or neither, and
# write the jump. Begin with $x_s = a_s x_0 + b_s \varepsilon$: which factor does $x_0$ have in $r\,x_s$, and which
# must it have in $x_t$? Then do the same with the variance of the noise. Three cases test the result. $s = 0$ gives
# $a_t x_0 + b_t \varepsilon$, a VP schedule has $v = 1 - r^2$, and $s = t$ changes nothing. Here the whole batch has
# the same two times, so `s` and `t` are integers, and `a[t]` is one number.


# %% tags=["exercise"]
def jump(x_s, eps, s, t, a, b):
    """x_t (B, *) from x_s (B, *) and noise eps ~ N(0, I), for integers s < t and tables a, b of T + 1 entries."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(2, jump))
right_jump = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def jump(x_s, eps, s, t, a, b):
#     factor = a[t] / a[s]
#     return factor * x_s + (b[t] ** 2 - factor**2 * b[s] ** 2).sqrt() * eps
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# * The signal in $x_s$ has the factor $a_s$ and must have the factor $a_t$ afterwards: $r = a_t / a_s$.
# * The noise in $x_s$ has the variance $b_s^2$, which becomes $r^2 b_s^2$, and must be $b_t^2$ in the end. The
#   difference is what is added:
#
# $$q(x_t \mid x_s) = \mathcal N\Big(x_t;\ \frac{a_t}{a_s}\,x_s,\ \beta_{ts} I\Big), \qquad
# \beta_{ts} = b_t^2 - \Big(\frac{a_t}{a_s}\Big)^2 b_s^2$$
#
# For VP and $s = t - 1$ this is $\beta_t$, because $(1-\bar\alpha_t) - \alpha_t(1-\bar\alpha_{t-1}) = 1 - \alpha_t$.
# </details>
#
# The package calls it `forward_variance(t, s)`. The cell also jumps from 0 to 300 and from there to 600, and measures
# the noise of the result, $x_{600} - a_{600}\,x_0$.

# %%
for schedule in (linear, cosine, geometric):
    a, b = schedule.signal, schedule.noise
    course.expect(torch.allclose(b[1:] ** 2 - (a[1:] / a[:-1]) ** 2 * b[:-1] ** 2, schedule.beta[1:]))
course.expect(torch.allclose(linear.beta[1:], beta))
print("variance added from t = 300 to t = 600:", f"{linear.forward_variance(600, 300):.4f}")
course.expect(0.934 < linear.forward_variance(600, 300) < 0.936)
generator = torch.Generator().manual_seed(1)
for name, schedule in families.items():
    x, a, b = some, schedule.signal, schedule.noise
    for s, t in ((0, 300), (300, 600)):
        x = right_jump(x, torch.randn(x.shape, generator=generator), s, t, a, b)
    measured = (x - a[600] * some).std()
    print(f"{name:9}: standard deviation of the noise after two jumps {measured:.3f}, by the table {b[600]:.3f}")
    course.expect(abs(measured / b[600] - 1) < 0.01)

# %% [markdown]
# ## 8. How much signal is left at T
#
# Sampling starts with $x_T \sim \mathcal N(0, I)$, for VE with $\mathcal N(0, \sigma_T^2 I)$. This starting
# distribution is called the *prior*. It contains no data. But the real $x_T$ does contain some, $a_T x_0$. How wrong is
# the prior? The answer is a KL divergence again, of the true $q(x_T \mid x_0)$ from the prior. For one pixel, with
# $\pi$ for the standard deviation of the prior (1 for VP),
#
# $$L_T = D_{\rm KL}\big(\mathcal N(a_T x_0, b_T^2)\,\|\,\mathcal N(0, \pi^2)\big)
# = \frac12\Big(\frac{b_T^2}{\pi^2} - 1 - \ln\frac{b_T^2}{\pi^2} + \frac{a_T^2 x_0^2}{\pi^2}\Big)$$
#
# (Lesson 3 derives it.) Divided by $\ln 2$ and averaged over the pixels it is in bits per dimension, *bits/dim*: a
# dimension is one number of the data, here a pixel.


# %%
def prior_gap(schedule, x_0):
    """L_T in bits/dim, averaged over the items x_0."""
    ratio, power = schedule.noise[-1] ** 2 / schedule.prior_std**2, schedule.alpha_bar[-1] / schedule.prior_std**2
    nats = 0.5 * (ratio - 1 - ratio.log() + power * x_0.square().mean())
    return nats.item() / math.log(2)


# β on the line from 0.0001 to 0.02 again, but with only 100 steps: a common mistake when T is reduced
hasty = schedules.from_betas(torch.linspace(1e-4, 0.02, 100))
gaps = {}
for name, schedule in {**families, "β of DDPM, T = 100": hasty}.items():
    gaps[name] = prior_gap(schedule, digits)
    course.expect(math.isclose(gaps[name], bound.prior_bits(schedule, digits.double()).mean().item(), rel_tol=1e-4))
    print(f"{name:18}: signal left a_T = {schedule.signal[-1]:.4f}, prior gap {gaps[name]:.1e} bits/dim")
course.expect(2.6e-5 < gaps["linear"] < 2.8e-5)
course.expect(gaps["cosine"] < 1e-8)
course.expect(2.6e-4 < gaps["geometric"] < 2.8e-4)
course.expect(0.30 < gaps["β of DDPM, T = 100"] < 0.31)
course.expect(0.60 < hasty.signal[-1] < 0.61)
last = hasty.add_noise(digits[2000:2001], 100, eps)
course.show([[last[0], eps[0]]], ["$x_T$, T = 100", "the prior"], size=1.4)

# %% [markdown]
# For the three usual schedules the gap is below 0.0003 bits/dim. (For the geometric schedule $a_T = 1$: all of the
# signal is there, but under noise of standard deviation 50.) The last line of the output is a common mistake: keep the
# paper's $\beta$ and reduce $T$ to 100. Then $a_T = 0.60$, the digit can still be seen in $x_T$, and the prior is wrong
# by 0.31 bits in each of the 784 pixels. A sampler that starts with pure noise starts where the model was never
# trained. `schedules.linear(100)` avoids this, since it changes the size of the steps and not the process.
#
# ## 9. The same on points
#
# Nothing so far depends on images. The same line of code adds noise to points in the plane.

# %%
points = data.open("moons").items[:1500]
noise = torch.randn_like(points)
course.scatter({f"t = {t}": linear.add_noise(points, t, noise) for t in (0, 50, 150, 300, 1000)}, limit=2.5, size=1.6)

# %% [markdown]
# First the edges of the moons blur, then the gap between them, and in the end there is one round cloud. Fine detail
# goes first. For images and sound this can be made precise.
#
# ## 10. The same on sound: high frequencies are lost first
#
# A sound is a list of pressures. We make half a second of a tone with 8,000 values a second. Its pitch is 220 Hz, and
# like a violin's tone it consists of *harmonics*, sine waves of 220, 440, 660, ... Hz, of which the $k$-th has an
# amplitude proportional to $1/k$.
#
# The Fourier transform splits a signal into its frequencies. The plot of the power at each frequency is the *power
# spectrum*. The transform `rfft` with `norm="ortho"` only rotates the vector of values, and independent Gaussian noise
# looks the same in every rotated coordinate system. So noise has the same mean power at every frequency, namely
# $b_t^2$. It is called *white noise* for this reason. The power of the signal is multiplied by $a_t^2$.

# %%
rate, pitch, harmonics = 8000, 220, range(1, 17)
seconds = torch.arange(rate // 2, dtype=torch.float64) / rate
tone = sum(0.5 / k * torch.sin(2 * math.pi * pitch * k * seconds) for k in harmonics)
frequency = torch.fft.rfftfreq(len(tone), 1 / rate)
noise = torch.randn(30, len(tone), dtype=torch.float64)
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(2, 4, figsize=(9, 3.6))
    for column, t in enumerate((0, 200, 400, 600)):
        x_t = linear.add_noise(tone.expand(30, -1), t, noise)  # thirty noisy copies
        power = (torch.fft.rfft(x_t, norm="ortho").abs() ** 2).mean(0)
        axes[0, column].plot(1000 * seconds[:160], x_t[0, :160], linewidth=0.9)
        axes[0, column].set(title=f"t = {t}", xlabel="ms", ylim=(-4, 4))
        axes[1, column].semilogy(frequency, power.clamp_min(1e-3), linewidth=0.7)
        axes[1, column].axhline(linear.noise[t].square().clamp_min(1e-3), color="C1", linestyle="--")
        axes[1, column].set(xlabel="Hz", ylim=(1e-3, 1e3))
    axes[0, 0].set_ylabel("$x_t$")
    axes[1, 0].set_ylabel("power")
    figure.tight_layout()
    plt.show()

# %% [markdown]
# Above is one noisy wave, below the spectrum, averaged over thirty noisy copies so that the noise is a flat line, with
# $b_t^2$ dashed. The sixteen harmonics stand out as peaks. The power of the noise, called the *noise floor*, rises with
# $t$. At $t = 400$ the wave looks like noise, but the lower harmonics are still above the noise floor, and you can hear
# them: `IPython.display.Audio(linear.add_noise(tone, 400, noise[0]), rate=8000)` plays it. At which $t$ does the noise
# floor reach the top of the $k$-th peak? Where $a_t^2 P_k = b_t^2$, with $P_k$ for the power of the harmonic, so where
# the SNR is $1/P_k$.

# %%
clean = torch.fft.rfft(tone, norm="ortho").abs() ** 2
lost_at = {k: int((linear.snr > 1 / clean[pitch * k // 2]).sum()) for k in harmonics}  # a bin is 2 Hz wide
print({f"{pitch * k} Hz": f"t = {lost_at[k]}" for k in (1, 2, 4, 8, 16)})
course.expect(torch.allclose(clean[pitch // 2], torch.tensor(0.5**2 * len(tone) / 4, dtype=torch.float64)))
course.expect([lost_at[k] for k in (1, 2, 4, 8, 16)] == sorted((lost_at[k] for k in (1, 2, 4, 8, 16)), reverse=True))
course.expect(735 < lost_at[1] < 745)
course.expect(250 < lost_at[16] < 262)

# %% [markdown]
# The pitch of 220 Hz survives until $t \approx 740$, the sixteenth harmonic until $t \approx 257$. **The noise is
# equally strong at all frequencies, and the signal is weaker at high ones. So the noise covers high frequencies
# first.**
#
# ## 11. The same on images
#
# Are images like this, too? For an image the transform has two dimensions; we average the power over all waves of the
# same length, whatever their direction, and over the digits. The frequency is the number of waves that fit into the
# width of the image. The mean image is subtracted first, so that the spectrum shows what distinguishes the digits.

# %%
varying = (digits - digits.mean(0))[: 1000 if QUICK else None]
spectrum = torch.fft.fft2(varying, norm="ortho").abs().square().mean((0, 1))
waves = torch.fft.fftfreq(28) * 28
radius = (waves[:, None] ** 2 + waves**2).sqrt().round().long()
power = torch.stack([spectrum[radius == r].mean() for r in range(1, 15)])
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.6))
    axis.semilogy(range(1, 15), power, marker="o", markersize=3)
    axis.text(5.2, 0.85, "digits", color="C0")
    for t in (100, 200, 300):
        level = (1 / linear.snr[t]).item()  # b_t²/a_t²
        axis.axhline(level, color="C1", linestyle="--", linewidth=1)
        axis.text(14, 1.1 * level, f"noise, t = {t}", color="C1", ha="right")
    axis.set(xlabel="waves per width", ylabel="power")
    figure.tight_layout()
    plt.show()
white = torch.fft.fft2(torch.randn(1000, 28, 28), norm="ortho").abs().square().mean(0)
survivors = {t: int((power * linear.snr[t] > 1).sum()) for t in (50, 100, 200, 300, 400)}
print(f"power of noise at the lowest and the highest frequency: {white[0, 1]:.2f}, {white[14, 14]:.2f}")
print(f"power of digits at 1 wave per width: {power[0]:.2f}, at 14: {power[13]:.4f}")
print("highest frequency above the noise:", {f"t = {t}": f"{r} waves" for t, r in survivors.items()})
course.expect(0.8 < white[0, 1] < 1.2)
course.expect(0.8 < white[14, 14] < 1.2)
if not QUICK:
    course.expect(survivors == {50: 11, 100: 8, 200: 5, 300: 3, 400: 0})
    course.expect(130 < power[0] / power[13] < 150)
    course.expect(power.argmax() == 1)

# %% [markdown]
# The flat lines are the power of the noise relative to the signal, $b_t^2/a_t^2$. Where the curve of the digits is
# above a line, that frequency is still above the noise. The power of the digits is largest at two waves per width, and
# falls by a factor of about 140 from one wave to 14, and the noise has the same power everywhere. At $t = 50$ all waves
# up to 11 per width are above the noise, at $t = 200$ up to 5, at $t = 300$ up to 3. From $t = 400$ on, no frequency
# is.
#
# Read it backwards, as the reverse process does. From noise, a sampler first makes the coarse shape, since nothing else
# can be known at large $t$, and adds ever finer detail. You saw this in lesson 1: $\hat x_0$ is a blur at $t = 600$
# and gets its edges last. Nobody programmed this order. It follows from the spectrum of the data and from white noise.
#
# ## What to remember
#
# * A schedule is two curves, $x_t = a_t x_0 + b_t \varepsilon$; up to a scale it is one, the log-SNR.
# * The SNR is the precision that $x_t$ adds to what is known of $x_0$.
# * $T$ is the resolution at which a fixed process is cut into steps. $\beta$ must be small for the reverse steps to be
#   Gaussian, and enough noise must be added in total, or the prior is wrong.
# * High frequencies are lost first, because the spectrum of the data falls and noise is white.
#
# In the package all of this is `ancestral.schedules`: `signal`, `noise`, `snr`, `beta`, `add_noise`, `forward`. Lesson
# 3 turns the process around.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **Data of another size.** In section 4, `std, count = 0.5` → `std, count = 2.0`. At $t = 50$ the error stays at
#   0.17, since what is known comes from $x_t$. At $t = 600$ it rises to 1.9, nearly the 2 of the data. The formula
#   still agrees. Seconds.
# * **A softer tone.** In section 10, `sum(0.5 / k * torch.sin` → `sum(0.5 / k**2 * torch.sin`. The pitch disappears at
#   the same $t$, and the harmonics earlier, the sixteenth by far. Seconds.
# * **Images of white noise.** In section 11, `(digits - digits.mean(0))[` → `torch.randn_like(digits)[`. The spectrum
#   is flat, so all waves disappear at the same $t$, and the reverse process would have no order from coarse to fine.
#   Seconds.
