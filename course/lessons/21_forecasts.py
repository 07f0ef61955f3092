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
# # A forecast is a distribution
#
# What comes next is not certain, so a forecast is a distribution: samples, each of which is a possible future. A
# diffusion model that is conditioned on the present state makes such samples, and a *rollout* goes on from each of
# them. Is the result right, ten steps ahead? For weather nobody knows the true distribution. In this lesson the world
# is a linear system with noise, and its forecast has a closed form for every lead time. So everything can be compared
# with the truth: the samples of a trained model, the scores, and the errors of the scores. This lesson shows
#
# * why the mean forecast, which has the least squared error, is not a forecast,
# * what persistence and climatology are, and which scores they have,
# * how a small diffusion model is rolled out, and what a sampler with few steps does to it,
# * why the spread of $m$ members is multiplied by $\sqrt{(m+1)/m}$ before it is compared with the error,
# * why scores that follow one another in time need errors by blocks.
#
# You should have done lessons 13 and 20. The lesson runs in about a minute on one CPU core. Five exercises and two
# proofs come on the way.

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
from ancestral import Diffusion, conditions, nets, samplers, schedules, targets
from ancestral.metrics import ensembles, uncertainty

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 takes fewer samples and training steps, to test that every cell runs
F64 = torch.float64


def normal(*shape, seed):
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


# %% [markdown]
# ## 1. A world whose forecast is known
#
# The state of the world is a vector $x_k$. From one time to the next it is multiplied by a matrix, and noise is added:
#
# $$x_{k+1} = A\,x_k + w_k, \qquad w_k \sim \mathcal N(0, Q) \text{ independent.} \tag{i}$$
#
# Here it has two numbers. $A$ turns the plane by 30 degrees and shrinks it by a tenth, so the world has a period of
# twelve steps and forgets slowly. The noise of the first number is three times as large as that of the second.

# %%
TURN, DAMPING = math.radians(30), 0.9
A = DAMPING * torch.tensor([[math.cos(TURN), -math.sin(TURN)], [math.sin(TURN), math.cos(TURN)]], dtype=F64)
Q = torch.diag(torch.tensor([0.6, 0.2], dtype=F64) ** 2)
ROOT = torch.linalg.cholesky(Q)


def simulate(x, steps, seed):
    """States (steps, ..., 2) that follow states x (..., 2), by the definition (i)."""
    noise, states = normal(steps, *x.shape, seed=seed) @ ROOT.T, []
    for w in noise:
        x = x @ A.T + w
        states.append(x)
    return torch.stack(states)


# %% [markdown]
# The *lead time* $h$ is the number of steps ahead. The forecast for lead time $h$ is the distribution of $x_{k+h}$
# given $x_k$. It is normal, because sums of normal vectors are.
#
# ### Exercise 1: the moments of the forecast
#
# What are its mean and its covariance $C_h$? The mean depends on $x_k$, the covariance does not. Begin with $h = 1$,
# and ask what one more step does to a vector with mean $\mu$ and covariance $C$. States are rows here, as always.


# %% tags=["exercise"]
def forecast_moments(x, A, Q, lead):
    """The means (N, d) and the covariance (d, d) of the states `lead` >= 1 steps after states x (N, d)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(21, forecast_moments))
right_forecast_moments = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# $\mathbb E[Ax + w] = A\mu$, and $\mathrm{Cov}(Ax + w) = A C A^\top + Q$, since $w$ is independent of $x$. In the
# beginning $\mu = x_k$ and $C = 0$. So the mean is $A^h x_k$, and $C_h = \sum_{j<h} A^j Q (A^j)^\top$.
#
# ```python
# def forecast_moments(x, A, Q, lead):
#     C = torch.zeros_like(Q)
#     for _ in range(lead):
#         x, C = x @ A.T, A @ C @ A.T + Q
#     return x, C
# ```
# </details>
#
# The picture has states that are simulated by (i) from one start, and the ellipse of two standard deviations of the
# closed form. It holds the share $1 - e^{-2}$ of a normal distribution in the plane.

# %%
N, LEADS = 500 if QUICK else 4000, 16
start = torch.tensor([[2.0, 0.0]], dtype=F64)
futures = simulate(start.expand(N, 2), LEADS, seed=0)
angle = torch.linspace(0, 2 * math.pi, 101, dtype=F64)
circle = torch.stack([angle.cos(), angle.sin()], dim=1)
inside = {}
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 4, figsize=(8, 2.3))
    for axis, lead in zip(axes, (1, 3, 6, 12), strict=True):
        mean, C = right_forecast_moments(start, A, Q, lead)
        root = torch.linalg.cholesky(C)
        whitened = torch.linalg.solve(root, (futures[lead - 1] - mean).T)
        inside[lead] = (whitened.norm(dim=0) < 2).double().mean().item()
        axis.scatter(*futures[lead - 1, :1000].T.numpy(), s=2, alpha=0.5, linewidths=0)
        axis.plot(*(mean + 2 * circle @ root.T).T.numpy(), color="C1")
        axis.scatter(*start[0].numpy(), marker="x", color="C2")
        axis.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
        course.frame(axis)
        axis.set_title(f"lead {lead}", fontsize=9)
    figure.tight_layout(pad=0.3)
    plt.show()
print(f"share inside of the ellipse, 1 - e^-2 = {1 - math.exp(-2):.3f}:", {k: round(v, 3) for k, v in inside.items()})
if not QUICK:
    course.expect(all(abs(inside[lead] - 0.865) < 0.02 for lead in inside))

# %% [markdown]
# ## 2. What a forecast has to beat
#
# Two forecasts need no model. **Persistence** says that nothing changes: $x_{k+h} = x_k$. **Climatology** says what
# always holds: the distribution of states at any time. After many steps the start is forgotten, and the climatology is
# the limit of the forecast. Here it is $\mathcal N(0, P)$, with the covariance $P$ that one more step does not change.
#
# ### Exercise 2: the climatology
#
# Compute $P$ from $A$ and $Q$, for any $A$ whose eigenvalues are smaller than 1. Test: for a single number it is
# $Q/(1 - A^2)$. For matrices the order matters. An equation that is linear in the numbers of $P$ can be solved by
# `torch.linalg.solve`; `torch.kron(A, A)` times the rows of $P$ one after another is $A P A^\top$ in the same form.


# %% tags=["exercise"]
def climatology(A, Q):
    """The stationary covariance P (d, d) of the system x ← A x + noise of covariance Q."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(21, climatology))
right_climatology = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# By exercise 1 one more step makes $A P A^\top + Q$ of $P$, so $P = A P A^\top + Q$.
#
# ```python
# def climatology(A, Q):
#     one = torch.eye(len(A) ** 2, dtype=A.dtype)
#     return torch.linalg.solve(one - torch.kron(A, A), Q.flatten()).reshape(Q.shape)
# ```
# </details>

# %%
P = right_climatology(A, Q)
long_run = simulate(torch.zeros(100, 2, dtype=F64), 100 if QUICK else 1000, seed=1)[60:].flatten(0, 1)
print("P by the equation:  ", [round(value, 3) for value in P.flatten().tolist()])
print("of a long simulation:", [round(value, 3) for value in long_run.T.cov().flatten().tolist()])
print("C after 100 steps:  ", [round(v, 3) for v in right_forecast_moments(start, A, Q, 100)[1].flatten().tolist()])
course.expect(torch.allclose(P, A @ P @ A.T + Q))
if not QUICK:
    course.expect((long_run.T.cov() - P).abs().max() < 0.03)

# %% [markdown]
# ### Scores in closed form
#
# Lesson 20 has the energy score, $\mathbb E\|X - x\| - \frac12\mathbb E\|X - X'\|$. For normal forecasts of a normal
# truth it has a closed form, too. Let the members have the covariance $S$ around some centre, and let the truth minus
# this centre have the covariance $D$. Then $X - x \sim \mathcal N(0, S + D)$ and $X - X' \sim \mathcal N(0, 2S)$, so
#
# $$\mathrm{ES} = \nu(S + D) - \nu(S)/\sqrt2, \qquad
# \nu(C) = \mathbb E\|z\| \text{ for } z \sim \mathcal N(0, C). \tag{ii}$$
#
# In the plane $\|z\|$ is $\frac\pi2$ times the mean of $|\langle u, z\rangle|$ over all directions $u$, and
# $\langle u, z\rangle$ is a normal number with the variance $u^\top C u$. So
# $\nu(C) = \sqrt{\pi/2}\;\mathrm{mean}_u \sqrt{u^\top C u}$. (For one number
# $\nu(C) = \sqrt{2C/\pi}$, and (ii) is the CRPS.)

# %%
directions = circle[:-1]


def mean_norm(C):
    """E‖z‖ for z ~ N(0, C) in the plane."""
    return math.sqrt(math.pi / 2) * torch.einsum("ki,ij,kj->k", directions, C, directions).sqrt().mean()


def expected_score(S, D):
    """The expected energy score (ii) of members of covariance S, for a truth of covariance D around their centre."""
    return mean_norm(S + D) - mean_norm(S) / math.sqrt(2)


one, zero = torch.eye(2, dtype=F64), torch.zeros(2, 2, dtype=F64)
print(f"ν(1) = {mean_norm(one):.4f}, √(π/2) = {math.sqrt(math.pi / 2):.4f}")
course.expect(abs(mean_norm(one) - math.sqrt(math.pi / 2)) < 1e-9)

# %% [markdown]
# Four forecasts are compared: the exact one, its mean as a single member, persistence, and climatology. For each the
# curve is the closed form (ii), on average over all starts. The points are scores of members, for 2000 starts:
# `ensembles.energy_scores` of the package, times $\sqrt2$, because its distances are root mean squares.

# %%
N, M = 100 if QUICK else 2000, 8
leads = range(1, LEADS + 1)
starts = normal(N, 2, seed=2) @ torch.linalg.cholesky(P).T  # states of the climatology, independent
truth = simulate(starts, LEADS, seed=3)
exact = simulate(starts.expand(M, N, 2), LEADS, seed=4)  # M members for each start, (LEADS, M, N, 2)
usual = normal(M, N, 2, seed=5) @ torch.linalg.cholesky(P).T


def energy(members, x):
    """The fair energy score of each start, (N,), for members (m, N, 2) and true states (N, 2)."""
    return ensembles.energy_scores(members.transpose(0, 1), x) * math.sqrt(x.shape[1])


curves = {name: [] for name in ("exact", "its mean", "persistence", "climatology")}
points = {name: [] for name in curves}
off = dict.fromkeys(curves, 0.0)
for lead in leads:
    mean, C = right_forecast_moments(starts, A, Q, lead)
    change = torch.linalg.matrix_power(A, lead) - one
    spread_and_error = {
        "exact": (C, C),
        "its mean": (zero, C),
        "persistence": (zero, change @ P @ change.T + C),
        "climatology": (P, P),
    }
    members = {"exact": exact[lead - 1], "its mean": mean[None], "persistence": starts[None], "climatology": usual}
    for name, (S, D) in spread_and_error.items():
        curves[name].append(expected_score(S, D).item())
        measured = uncertainty.mean(energy(members[name], truth[lead - 1]))
        points[name].append(measured.value)
        off[name] = max(off[name], abs(measured.value - curves[name][-1]) / measured.error)
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.8))
    for name, curve in curves.items():
        (line,) = axis.plot(leads, curve, label=name)
        axis.scatter(leads, points[name], s=10, color=line.get_color())
    axis.set(xlabel="lead time", ylabel="energy score", ylim=(0, 2.7))
    axis.legend(ncols=2, loc="upper right")
    figure.tight_layout()
    plt.show()
print(f"{'lead':>4}", *(f"{name:>13}" for name in curves))
for lead in (1, 3, 4, 6, 12, 16):
    print(f"{lead:4}", *(f"{curve[lead - 1]:13.3f}" for curve in curves.values()))
print("largest difference of a point from its curve, in standard errors:", {k: round(v, 1) for k, v in off.items()})
course.expect(all(math.isclose(b / a, 2**0.5) for a, b in zip(curves["exact"], curves["its mean"], strict=True)))
course.expect(max(leads, key=lambda lead: curves["persistence"][lead - 1]) == 6)
course.expect(curves["its mean"][2] < curves["climatology"][2] and curves["its mean"][3] > curves["climatology"][3])
course.expect(max(off.values()) < 4)

# %% [markdown]
# * The exact forecast has the least score at every lead time, and approaches the climatology.
# * Persistence is bad, and worst at lead 6, after half of the period. At lead 12 it is better again. So one lead time
#   says little about a forecast.
# * The mean has $\sqrt2$ times the score of the exact forecast, at all lead times. From lead 4 on it is worse than the
#   climatology, which knows nothing of the present.
#
# ### On paper 1: the price of a forecast without spread
#
# The mean has the least squared error of all forecasts. Show that its energy score, for *any* distribution of the
# truth, is at least that of the exact forecast and at most twice as large. Show that for a normal distribution the
# factor is $\sqrt2$ in any number of dimensions. Which distribution has the factor 2?
#
# <details><summary>Derivation</summary>
#
# Let $X, X'$ be independent and have the distribution of the truth, and let $\mu = \mathbb E X$. The mean scores
# $\mathbb E\|X - \mu\|$, and the exact forecast scores $\mathbb E\|X - x\| - \frac12\mathbb E\|X - X'\| =
# \frac12\mathbb E\|X - X'\|$, because $x$ is like $X'$.
#
# *At most twice.* By Jensen's inequality, with $X$ fixed, $\|X - \mu\| = \|\mathbb E_{X'}[X - X']\| \le
# \mathbb E_{X'}\|X - X'\|$. So $\mathbb E\|X - \mu\| \le 2\cdot\frac12\mathbb E\|X - X'\|$.
#
# *At least once.* By the triangle inequality $\|X - X'\| \le \|X - \mu\| + \|X' - \mu\|$, so
# $\frac12\mathbb E\|X - X'\| \le \mathbb E\|X - \mu\|$.
#
# *Normal.* $X - X' \sim \mathcal N(0, 2C)$ is distributed as $\sqrt2\,(X - \mu)$, so
# $\frac12\mathbb E\|X - X'\| = \mathbb E\|X - \mu\|/\sqrt2$.
#
# *Twice.* $X = \pm a$ with probability ½ each: $\mathbb E\|X - \mu\| = \|a\|$, and $\frac12\mathbb E\|X - X'\| =
# \frac12\cdot\frac12\,\|2a\|$. This was the first example of lesson 20.
# </details>
#
# ## 3. A diffusion model, rolled out
#
# A diffusion model learns *one* step: samples of $x_{k+1}$ given $x_k$. For the state after it, the model is given its
# own sample. This is a **rollout**: each member goes on from its own state, with noise of its own.
#
# ### Exercise 3: the rollout
#
# `sample(previous, z)` returns a next state for each row of `previous` $(R, d)$, made of the rows of the noise `z`
# $(R, d)$. Make $m$ members for each of $N$ starts. Call `sample` once for each lead time, with the rows of all
# members.


# %% tags=["exercise"]
def roll_out(sample, x, z):
    """The states (leads, m, N, d) of m members by lead time, from states x (N, d) with noise z (leads, m, N, d)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(21, roll_out))
right_roll_out = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def roll_out(sample, x, z):
#     leads, m, N, d = z.shape
#     states, rows = [], x.repeat(m, 1)
#     for noise in z.flatten(1, 2):
#         rows = sample(rows, noise)
#         states.append(rows.reshape(m, N, d))
#     return torch.stack(states)
# ```
# </details>
#
# First the rollout of the world itself, where `sample` is (i). Its members have the moments of exercise 1:

# %%
z = normal(LEADS, 200 if QUICK else 2000, 1, 2, seed=6)
by_steps = right_roll_out(lambda previous, noise: previous @ A.T + noise @ ROOT.T, start, z)[:, :, 0]
for lead in (1, 6, 16):
    mean, C = right_forecast_moments(start, A, Q, lead)
    members = by_steps[lead - 1]
    print(f"lead {lead:2}: mean {members.mean(dim=0).numpy().round(2)}, exactly {mean[0].numpy().round(2)};", end=" ")
    print(f"variances {members.var(dim=0).numpy().round(2)}, exactly {C.diag().numpy().round(2)}")
    course.expect((members.var(dim=0) / C.diag() - 1).abs().max() < 0.3)

# %% [markdown]
# Now the model. Its data are one long series of states, and the condition `previous` of each state is the one before.
# The loss is that of lesson 13. The network is the package's MLP, which takes the condition as a vector, and the target
# is the velocity of rectified flow.

# %%
series = simulate(torch.zeros(2, dtype=F64), 600 if QUICK else 20_100, seed=7)[100:].float()
previous, following = series[:-1], series[1:]
kind = conditions.Vector.of(previous)
torch.manual_seed(0)
net = nets.MLP(features=2, width=64, layers=2, conditions={"previous": kind})
model = Diffusion(net, schedules.flow(1000), targets.FLOW)
STEPS = 10 if QUICK else 3000
generator = torch.Generator().manual_seed(0)
optimiser = torch.optim.Adam(model.parameters(), 3e-3)
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
for _ in range(STEPS):
    rows = torch.randint(len(previous), (256,), generator=generator)
    t, eps = torch.randint(1, 1001, (256,), generator=generator), torch.randn(256, 2, generator=generator)
    loss = model.errors(following[rows], t, eps, previous=kind.encode(previous[rows])).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    decay.step()
model = model.eval()

# %% [markdown]
# Two samplers are tried, with 12 evaluations each: DDIM, and DPM-Solver++ of second order (lesson 6). Both are
# deterministic, so a sample is a function of the previous state and of the noise. Each rolls out eight members for the
# 2000 starts of section 2, and 2000 members for the one start of section 1.


# %%
def stepper(solver):
    """The function sample(previous, z) of the network and a solver."""

    @torch.no_grad()
    def sample(previous, z):
        return solver.sample(model, z.float(), previous=kind.encode(previous)).to(z)

    return sample


solvers = {"DDIM": samplers.DDIM(steps=12, clip=None), "DPM-Solver++": samplers.DPMSolver(steps=12, clip=None)}
forecasts, of_start = {"exact": exact}, {}
for name, solver in solvers.items():
    forecasts[name] = right_roll_out(stepper(solver), starts, normal(LEADS, M, N, 2, seed=8))
    of_start[name] = right_roll_out(stepper(solver), start, z)[:, :, 0]
moments = [right_forecast_moments(start, A, Q, lead) for lead in leads]
closed = torch.stack([torch.stack([mean[0], C.diag()]) for mean, C in moments])  # (LEADS, 2 moments, 2 numbers)
sampled = {name: torch.stack([x.mean(dim=1), x.var(dim=1)], dim=1) for name, x in of_start.items()}
scores = {name: [energy(members[k], truth[k]) for k in range(LEADS)] for name, members in forecasts.items()}
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.6))
    titles = ("mean of the first number", "variance of the first number", "energy score")
    exactly = (closed[:, 0, 0], closed[:, 1, 0], curves["exact"])
    for k, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        axis.plot(leads, exactly[k], color="black", label="closed form")
        axis.axhline((0, P[0, 0].item(), curves["climatology"][0])[k], color="black", ls=":", label="climatology")
        for name, style in {"DDIM": {"marker": "s", "mfc": "none"}, "DPM-Solver++": {"marker": "."}}.items():
            values = sampled[name][:, k, 0] if k < 2 else [score.mean() for score in scores[name]]
            axis.plot(leads, values, linestyle="", markersize=5, label=name, **style)
        axis.set(xlabel="lead time", xticks=(1, 4, 8, 12, 16))
        axis.set_title(title, fontsize=9)
    axes[1].set_ylim(0, None)
    axes[2].legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    plt.show()
print(f"{'':4}{'mean of both numbers':^45} {'variance of both numbers':^45}")
print(f"lead{''.join(f'{name:>15}' for _ in range(2) for name in ('closed form', *solvers))}")
for lead in (1, 4, 8, 16):
    rows = [closed[lead - 1], *(values[lead - 1] for values in sampled.values())]
    print(f"{lead:4}", *(f"{row[k][0]:7.2f}{row[k][1]:7.2f}" for k in (0, 1) for row in rows))
if not QUICK:
    course.expect((sampled["DPM-Solver++"][:, 0] - closed[:, 0]).abs().max() < 0.12)
    course.expect((sampled["DPM-Solver++"][2:, 1] / closed[2:, 1] - 1).abs().max() < 0.2)
    course.expect((sampled["DDIM"][:, 1] / closed[:, 1]).max() < 0.9)

# %% [markdown]
# Both have nearly the right mean at all lead times. The variance of DPM-Solver++ is right but for a few percent, except
# that of the second number one step ahead, which is too small. The variance of DDIM is about a quarter too small, at
# *all* lead times. Twelve steps of DDIM contract the noise too much, and each step of the rollout does it again. Does
# one step explain the whole curve? Measure the covariance $\hat Q$ of the members after one step, on average over all
# starts, and let exercise 1 carry it on in place of $Q$. Then (ii) says by how much the energy score should be worse.

# %%
expected = {}
print(f"{'':12}{'variance / the exact one':^34}{'energy score, above the exact one':^42}")
print(f"{'':12} lead   from one step   rolled out      {'score':>12}{'expected':>11}{'measured':>16}")
for name in solvers:
    members = forecasts[name]
    one_step = (members[0] - members[0].mean(dim=0)).flatten(0, 1)
    Q_hat = one_step.T @ one_step / (N * (M - 1))
    expected[name] = [right_forecast_moments(start, A, Q_hat, lead)[1] for lead in leads]
    for lead in (1, 4, 16):
        C, S = moments[lead - 1][1], expected[name][lead - 1]
        share = (S.trace() / C.trace()).item()
        rolled = (members[lead - 1].var(dim=0).mean(dim=0).sum() / C.trace()).item()
        excess = expected_score(S, C) / expected_score(C, C) - 1
        measured = uncertainty.mean((scores[name][lead - 1] - scores["exact"][lead - 1]) / expected_score(C, C))
        print(f"{name:12} {lead:4} {share:15.2f} {rolled:12.2f} {scores[name][lead - 1].mean():17.3f}", end=" ")
        print(f"{excess:10.1%} {measured.value:9.1%} ± {measured.error:.1%}")
        if not QUICK:
            course.expect(abs(share - rolled) < 0.1)
            course.expect(abs(measured.value - excess) < 4 * measured.error)

# %% [markdown]
# One step explains nearly all of it. What a step gets wrong is passed on, but the share of the variance that is missing
# does not grow, because $C_h$ is linear in $Q$. The energy score hardly sees it: it is flat around the right spread. On
# average over the starts a fifth of the variance is missing. That costs 0.3 % of the score, and 2000 starts are too few
# to measure it. A score says which of two forecasts is better. What is wrong with a forecast needs a question of its
# own.
#
# ## 4. Spread and error
#
# The question: do the members differ as much as their mean errs? The **spread** is the root of the mean variance of the
# members, and the **error** is the root mean square distance of their mean from the truth.
#
# ### On paper 2: the factor
#
# Let the truth and $m$ members be independent and of the same distribution: the ideal forecast. Show that the spread
# has to be multiplied by $\sqrt{(m+1)/m}$ before it is compared with the error.
#
# <details><summary>Derivation</summary>
#
# Take one number, with the mean $\mu$ and the variance $\sigma^2$ given the start. The mean of the members is
# $\bar X = \frac1m\sum_k X_k$. It is independent of the truth $x$, and both have the mean $\mu$, so
#
# $$\mathbb E(\bar X - x)^2 = \mathrm{Var}\,\bar X + \mathrm{Var}\,x = \frac{\sigma^2}m + \sigma^2
# = \frac{m+1}m\,\sigma^2 .$$
#
# The variance of the members with the divisor $m - 1$ has the expectation $\sigma^2$. Both hold for each start, and so
# for the mean over starts and numbers. So the ideal forecast has the squared error $\frac{m+1}m$ times the mean
# variance, and the root of the factor belongs to the roots. Mean and variance of the same members need not be
# independent for this: only expectations are compared.
# </details>
#
# ### Exercise 4: spread over error
#
# Compute the ratio: the spread with its factor over the error, over all starts and numbers. It is 1 for the ideal
# forecast with any number of members, and smaller for one that is too sure.


# %% tags=["exercise"]
def spread_over_error(members, x):
    """The spread of members (m, N, d) with its factor, over the error of their mean for true states x (N, d)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(21, spread_over_error))
right_spread_over_error = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def spread_over_error(members, x):
#     m = len(members)
#     spread = members.var(dim=0).mean().sqrt()
#     error = (members.mean(dim=0) - x).square().mean().sqrt()
#     return ((m + 1) / m) ** 0.5 * spread / error
# ```
# </details>

# %%
LEAD, MANY = 6, 2000 if QUICK else 40_000
x = normal(MANY, 2, seed=20) @ torch.linalg.cholesky(moments[LEAD - 1][1]).T  # truth minus its mean, of many starts
print(f"exact members at lead {LEAD}")
for m in (2, 4, 8, 32):
    members = normal(m, MANY, 2, seed=21) @ torch.linalg.cholesky(moments[LEAD - 1][1]).T
    with_factor = right_spread_over_error(members, x).item()
    without = with_factor / math.sqrt((m + 1) / m)
    print(f"m = {m:2}: with the factor {with_factor:.3f}, without it {without:.3f};", end=" ")
    print(f"√(m/(m+1)) = {math.sqrt(m / (m + 1)):.3f}")
    course.expect(abs(with_factor - 1) < (0.05 if QUICK else 0.01))
ratios = {name: [right_spread_over_error(f[k], truth[k]).item() for k in range(LEADS)] for name, f in forecasts.items()}
closed_ratios = {}
for name, covariances in expected.items():
    pairs = [(S.trace(), C.trace()) for S, (_, C) in zip(covariances, moments, strict=True)]
    closed_ratios[name] = [((M + 1) / M * S / (C + S / M)).sqrt().item() for S, C in pairs]
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.6))
    axis.axhline(1, color="black", linewidth=0.8)
    for (name, ratio), marker in zip(ratios.items(), ("^", "s", "o"), strict=True):
        axis.plot(leads, ratio, marker, markersize=4, label=name)
        if name in closed_ratios:
            axis.plot(leads, closed_ratios[name], color=axis.lines[-1].get_color(), label=f"{name}, from one step")
    axis.set(xlabel="lead time", ylabel="spread / error", ylim=(0.75, 1.1))
    axis.legend(ncols=2, loc="lower right", fontsize=7)
    figure.tight_layout()
    plt.show()
print(f"{'by the package, lead':>20}", *(f"{lead:13}" for lead in (1, 4, 8, 16)))
for name, members in forecasts.items():
    of_package = [ensembles.calibration(members[k].transpose(0, 1), truth[k]).ratio for k in (0, 3, 7, 15)]
    print(f"{name:>20}", *(f"{ratio.value:.3f} ± {ratio.error:.3f}" for ratio in of_package))
    course.expect(all(abs(r.value - ratios[name][k]) < 1e-6 for r, k in zip(of_package, (0, 3, 7, 15), strict=True)))
if not QUICK:
    course.expect(max(abs(ratio - 1) for ratio in ratios["exact"]) < 0.05)
    course.expect(max(ratios["DDIM"]) < 0.95)
    course.expect(
        max(abs(a - b) for n in closed_ratios for a, b in zip(ratios[n], closed_ratios[n], strict=True)) < 0.06
    )

# %% [markdown]
# The factor makes the ratio of the ideal forecast 1 for two members as for 32. Without it an ideal forecast of two
# members would have the ratio 0.82, and seem to be too sure. The package prints the same ratio with its error. The
# ratio sees at once what the energy score did not: samples of DDIM in 12 steps are too sure by a tenth at every lead
# time, and those of DPM-Solver++ are not.
#
# ## 5. Errors of scores that follow one another
#
# The 2000 starts were independent, and so the error of a mean score is its standard deviation over $\sqrt n$. Real
# forecasts have *one* past, and start day after day. Two forecasts of lead time 8 that start one step apart have seven
# steps of noise in common. If one misses, the other is likely to miss, too.
#
# Take first a series of scores whose correlation is known, the autoregressive series $s_{k+1} = \varphi s_k +
# \sqrt{1 - \varphi^2}\,z_k$. Its values have the variance 1, and two that are $j$ apart have the correlation
# $\varphi^j$. So the mean of $n$ values has the variance
#
# $$\mathrm{Var}\,\bar s = \frac1n\Big[1 + 2\sum_{j<n}\Big(1 - \frac jn\Big)\varphi^j\Big]
# \approx \frac1n\cdot\frac{1 + \varphi}{1 - \varphi} . \tag{iii}$$
#
# For $\varphi = 0.8$ this is nine times as much as for independent values. An interval of 1.96 standard errors that are
# three times too small covers the true mean not in 95 % of all series, but in 49 %.
#
# ### Exercise 5: errors by blocks
#
# Cut the series into blocks of the same length. The means of blocks that are long enough are nearly independent, and
# their mean is the mean of the series. Compute the standard error of the mean from the means of the blocks. A shorter
# block at the end is left out. With blocks of length 1 this is the error of independent values.


# %% tags=["exercise"]
def block_error(scores, length):
    """The standard error of the mean of scores (n,) in their order in time, by blocks of a length."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(21, block_error))
right_block_error = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def block_error(scores, length):
#     count = len(scores) // length
#     means = scores[: count * length].reshape(count, length).mean(dim=1)
#     return means.std() / count**0.5
# ```
# </details>
#
# Many series are scored, so that coverage can be counted. In the first set each is autoregressive. In the second each
# is the energy score of the exact forecast at lead time 8, from each of 800 states that follow one another. The true
# mean is 0 for the first, and (ii) for the second.

# %%
PHI, WORLDS, LENGTH, LEAD = 0.8, 20 if QUICK else 400, 800, 8
shocks = normal(LENGTH, WORLDS, seed=30)
values = [shocks[0]]
for z in shocks[1:]:
    values.append(PHI * values[-1] + math.sqrt(1 - PHI**2) * z)
past = normal(WORLDS, 2, seed=31) @ torch.linalg.cholesky(P).T
states = simulate(past, LENGTH + LEAD, seed=32)
center, C = right_forecast_moments(states[:-LEAD].flatten(0, 1), A, Q, LEAD)
members = center + normal(M, *center.shape, seed=33) @ torch.linalg.cholesky(C).T
of_forecasts = energy(members, states[LEAD:].flatten(0, 1)).reshape(LENGTH, WORLDS)
sets = {
    "autoregressive": (torch.stack(values).T, 0.0),
    "forecasts": (of_forecasts.T, expected_score(C, C).item()),
}
for name, (scores, expectation) in sets.items():
    correlation = [
        torch.corrcoef(torch.stack([scores[:, :-j].flatten(), scores[:, j:].flatten()]))[0, 1] for j in (1, 4, 8)
    ]
    print(f"{name:>14}: correlation of scores 1, 4 and 8 apart", *(f"{value:.2f}" for value in correlation))
    if not QUICK:
        course.expect(abs(scores.mean() - expectation) < 0.02)


# %%
def variance_of_mean(n):
    """The variance (iii) of the mean of n values of the autoregressive series."""
    j = torch.arange(1, n, dtype=F64)
    return (1 + 2 * ((1 - j / n) * PHI**j).sum().item()) / n


lengths = (1, 2, 4, 8, 16, 32, 64, 128, 256)
coverage, by_formula = {}, {}
for length in lengths:
    count = LENGTH // length
    # the expectation of the squared error: block means vary by the first term around 0, and their mean by the second
    square = (variance_of_mean(length) - variance_of_mean(count * length)) / (count - 1)
    by_formula[length] = math.sqrt(square / variance_of_mean(LENGTH))
for name, (scores, expectation) in sets.items():
    off = (scores.mean(dim=1) - expectation).abs()
    true_error = off.square().mean().sqrt() if name == "forecasts" else math.sqrt(variance_of_mean(LENGTH))
    coverage[name] = []
    print(f"{name}: length of a block, error relative to the true one, coverage of 1.96 errors")
    for length in lengths:
        errors = torch.stack([right_block_error(series, length) for series in scores])
        coverage[name].append((off < 1.96 * errors).double().mean().item())
        ratio = errors.square().mean().sqrt() / true_error
        formula = f" ({by_formula[length]:.2f} by the formula)" if name == "autoregressive" else ""
        print(f"{length:5} {ratio:6.2f}{formula} {coverage[name][-1]:8.1%}")
        if not QUICK and name == "autoregressive":
            course.expect(abs(ratio - by_formula[length]) < 0.07)
predicted = math.erf(1.96 * math.sqrt((1 - PHI) / (1 + PHI)) / math.sqrt(2))
print(f"coverage of errors as if independent, by (iii): {predicted:.1%}")
course.plot(
    lengths, coverage | {"95 %": [0.95] * len(lengths)}, "length of a block", "coverage", "semilogx", marker="o"
)
thinned = sets["forecasts"][0][:, ::LEAD]
errors = torch.stack([right_block_error(series, 1) for series in thinned])
off = (thinned.mean(dim=1) - sets["forecasts"][1]).abs()
rare = (off < 1.96 * errors).double().mean().item()
print(f"every 8th forecast, errors as if independent: coverage {rare:.1%}, error {errors.mean():.4f};", end=" ")
by_blocks = torch.stack([right_block_error(series, 32) for series in sets["forecasts"][0]]).mean()
print(f"all forecasts, blocks of 32: error {by_blocks:.4f}")
if not QUICK:
    course.expect(coverage["autoregressive"][0] < 0.55 and coverage["forecasts"][0] < 0.75)
    course.expect(coverage["autoregressive"][5] > 0.88 and coverage["forecasts"][5] > 0.9)
    course.expect(abs(coverage["autoregressive"][0] - predicted) < 0.06)
    course.expect(rare > 0.91)

# %% [markdown]
# * Errors as if independent are too small by a factor of three for the autoregressive series, and cover what (iii)
#   says. For the forecasts they cover about 70 %.
# * Blocks of 32 repair it: they are long beside the correlation, and 25 of them are left. Shorter blocks are not yet
#   independent. Of long ones few are left, and the deviation of three block means is itself so uncertain that 1.96 of
#   it cover 81 %. (Student's $t$ with two degrees of freedom in place of the normal distribution would be right.)
# * The other remedy is to take fewer starts. Every 8th forecast has noise of its own, so its errors are honest, and
#   larger than those of all forecasts by blocks. The package does this: in `evaluate --rollout`, no two forecasts have
#   a state in common.
#
# Forecasts of weather are correlated for longer than their lead time, because some situations are harder than others.
# Then blocks are needed with fewer starts as well.
#
# ## 6. What to take
#
# | question | answer |
# |---|---|
# | is the mean a forecast? | it has the least squared error, and between 1 and 2 times the best energy score |
# | compared with what? | climatology at long lead times, persistence at short ones; both, by lead time |
# | how is a rollout made? | each member goes on from its own state, with new noise |
# | is the spread right? | spread over error, with the factor $\sqrt{(m+1)/m}$; the score alone hardly sees it |
# | how sure is a score? | by blocks of time, or by starts whose forecasts have no state in common |
#
# The same for fields, such as temperatures on a grid. The page *A forecast and a finer grid, on real data* has the
# whole example:
#
#     ancestral train A1B_north_america.nc --scale standard --given previous:1 --objective energy \
#         --validation 0.2:blocks --out runs/years
#     ancestral evaluate runs/years --rollout 5      # by lead time, beside persistence and climatology
#     ancestral sample runs/years --given previous=A1B_north_america.nc -n 50 --rollout 10 --out decade.nc

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **A world that forgets slowly.** In section 1, `TURN, DAMPING = math.radians(30), 0.9` →
#   `TURN, DAMPING = math.radians(30), 0.97`. The forecast needs many more steps to become the climatology, and its mean
#   is worse than the climatology only from about lead 12 on. As long as before.
# * **More steps of DDIM.** In section 3, `samplers.DDIM(steps=12,` → `samplers.DDIM(steps=48,`. The spread over the
#   error comes nearer to 1 at all lead times. Half a minute more.
# * **A series that remembers longer.** In section 5, `PHI, WORLDS, LENGTH, LEAD = 0.8,` →
#   `PHI, WORLDS, LENGTH, LEAD = 0.95,`. Blocks of 32 are too short now, and 800 values are few. As long as before.
