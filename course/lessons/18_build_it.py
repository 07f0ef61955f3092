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
# # Build it
#
# *What I cannot create, I do not understand.* The course ends where the lecture on diffusion models ends: with an
# empty file. You write four methods, each whole, in PyTorch alone: its noise schedule, its loss, its step, the
# training loop and the sampler. Then a U-Net, and then an idea of your own. Nothing is given but a contract: the
# names of the functions, what they get, and what they return. Lesson 1 has all that you need to know for the first
# method, and the contracts below say what the others change. You should have done lessons 3, 5 and 6.
#
# The data are two moons, points in the plane. A training run takes twenty seconds, so you can try, fail and try
# again. The checker does with your code what you would do to find an error. It compares the schedule, the loss and
# one step with the right ones for fixed arguments. It trains your network for twenty seconds, and samples from it by
# a right sampler. It gives your sampler the exact denoiser. The distance of the samples decides: any sampler that
# reaches it is right, and a network is if it reads $t$ as well and sees all of the points. So the checker finds which
# part is wrong, and often what is wrong with it.
#
# Make a file, `mine.py`, and write. The imports that you need are `torch` and `torch.nn`, and perhaps `math`.
#
#     ancestral-course check 18 mine.py
#
# checks every function that it finds there, one after the other; `check 18 mine.py ddpm` checks one method, and
# `check 18 mine.py ddpm_train` one function. What takes long and passed is not judged again until you change it. A
# loop that never ends is ended. You can also work in this notebook: define a function in a cell, and
# `print(course.check(18, ddpm_schedule))`. This lesson contains no code of its own but the checks and the pictures. A
# solution is folded below each method; write your own before you unfold it.

# %%
from importlib.util import find_spec
from pathlib import Path

if find_spec("ancestral_course") is None:  # as in a fresh Colab; where the course is installed, this cell does nothing
    packages = " ".join(str(path) for path in Path().glob("ancestral*.whl")) or "ancestral-course"
    print(f"installing {packages}")
    # %pip install --quiet {packages}

# %%
import os
from pathlib import Path

import torch

import ancestral_course as course
from ancestral_course.exercises import lesson_18

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
points = course.points()  # (10000, 2), the data
course.scatter({"the data": points[:2000]}, limit=1.2)

# %% [markdown]
# ## How samples are judged
#
# By the sliced Wasserstein distance of lesson 5: both clouds are seen from 32 directions, and sorted in each. The
# unit is the **floor**, the distance of 500 of the data to the held-out ones. 1 is the distance of the data themselves,
# and noise has about 25. Twenty seconds of training end between 2 and 5, and the checker takes up to 8; a sampler with
# the exact denoiser may have up to 2.5. `course.in_floors(samples)` measures samples whose number is a multiple of 500.

# %%
generator = torch.Generator().manual_seed(0)
noise = torch.randn(2000, 2, generator=generator)
print(f"the data {course.in_floors(points[:2000]):.2f}, noise {course.in_floors(noise):.1f}")
blurred = points[:2000] + 0.05 * noise
print(f"the data with noise of 0.05: {course.in_floors(blurred):.1f}")
course.scatter({"noise": noise, "data with noise of 0.05": blurred}, limit=1.8)
course.expect(0.5 < course.in_floors(points[:2000]) < 1.5)

# %% [markdown]
# ## 1. DDPM
#
# The method of lesson 1, with $T = 200$ steps, and $\beta_t$ that rises evenly from $5\cdot10^{-4}$ at $t = 1$ to
# $0.1$ at $t = T$. $x_t = a_t x_0 + b_t\varepsilon$ with $a_t = \sqrt{\bar\alpha_t}$ and $b_t =
# \sqrt{1-\bar\alpha_t}$, the network predicts $\varepsilon$, and the variance of a reverse step is $\sigma_t^2 =
# \beta_t$.
#
# * `ddpm_schedule()`: no arguments → tables $a$, $b$, float tensors of $T + 1$ entries each, from $a_0 = 1$, $b_0 = 0$.
# * `ddpm_loss(net, x_0, t, eps)`: a network, points (B, 2), times (B,) in 1..T, noise (B, 2) → a number: the mean
#   over all numbers of $(\hat\varepsilon - \varepsilon)^2$.
# * `ddpm_step(net, x, t, z)`: points (B, 2), one time, an `int`, noise (B, 2) → $x_{t-1}$; at $t = 1$ without
#   noise.
# * `ddpm_train(points, steps)`: data (N, 2), a number of steps → the trained network.
# * `ddpm_sample(net, n)`: a network, a number → samples (n, 2), without gradients.
#
# The network is yours, too: a function or module `net(x, t)` of points (B, 2) and a time, which is one number or (B,).
# It gets $t$ as it is, so what has to be scaled is scaled within it. A multilayer perceptron of three layers of 128 is
# enough, if it sees the time as a few sines and cosines. `ddpm_train` gets the whole data set; what a step is, and how
# the learning rate changes, is your choice.
#
# <details><summary>A solution of DDPM</summary>
#
# ```python
# class Net(nn.Module):
#     """A network of points and a time, which is multiplied by `scale`."""
#
#     def __init__(self, scale=1.0, width=128):
#         super().__init__()
#         self.scale = scale
#         layers = [nn.Linear(18, width), nn.SiLU()]
#         for _ in range(2):
#             layers += [nn.Linear(width, width), nn.SiLU()]
#         self.layers = nn.Sequential(*layers, nn.Linear(width, 2))
#
#     def forward(self, x, t):
#         t = self.scale * torch.as_tensor(t).float().reshape(-1, 1).expand(len(x), 1)
#         waves = [wave(2**k * t) for k in range(8) for wave in (torch.sin, torch.cos)]
#         return self.layers(torch.cat([x, *waves], dim=1))
#
#
# def train(loss, times, points, steps, scale):
#     """Adam, with a learning rate that falls to 0."""
#     net = Net(scale)
#     optimiser = torch.optim.Adam(net.parameters(), 2e-3)
#     rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
#     for _ in range(steps):
#         x_0 = points[torch.randint(len(points), (512,))]
#         value = loss(net, x_0, times(512), torch.randn_like(x_0))
#         optimiser.zero_grad()
#         value.backward()
#         optimiser.step()
#         rate.step()
#     return net
#
#
# T = 200
# BETA = torch.cat([torch.zeros(1), torch.linspace(5e-4, 0.1, T)])
#
#
# def ddpm_schedule():
#     alpha_bar = (1 - BETA).cumprod(0)
#     return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
#
#
# def ddpm_loss(net, x_0, t, eps):
#     a, b = ddpm_schedule()
#     x_t = a[t][:, None] * x_0 + b[t][:, None] * eps
#     return (net(x_t, t) - eps).square().mean()
#
#
# def ddpm_step(net, x, t, z):
#     b = ddpm_schedule()[1]
#     mean = (x - BETA[t] / b[t] * net(x, t)) / (1 - BETA[t]).sqrt()
#     return mean + BETA[t].sqrt() * z if t > 1 else mean
#
#
# def ddpm_train(points, steps):
#     return train(ddpm_loss, lambda n: torch.randint(1, T + 1, (n,)), points, steps, 3 / T)
#
#
# @torch.no_grad()
# def ddpm_sample(net, n):
#     x = torch.randn(n, 2)
#     for t in range(T, 0, -1):
#         x = ddpm_step(net, x, t, torch.randn_like(x))
#     return x
# ```
#
# </details>
#
# ## 2. NCSN
#
# Score matching at 20 noise levels ([Song and Ermon, 2019](https://arxiv.org/abs/1907.05600)). Noise is added, and the
# signal stays: $x = x_0 + \sigma_i\varepsilon$, with $\sigma$ from 2 down to 0.02 in equal ratios. The network gets the
# number $i = 0..19$ of the level and predicts the score $s = \nabla_x\log p_{\sigma_i}(x)$, and $\nabla_x\log q(x|x_0)
# = -\varepsilon/\sigma$ is the target in its place. Sampling starts at $\mathcal N(0, 4 I)$ and walks ten Langevin
# steps at each level, of the size $\alpha = 0.2\,\sigma_i^2$: $x \leftarrow x + \frac\alpha2 s + \sqrt\alpha z$.
#
# * `ncsn_schedule()`: no arguments → the levels $\sigma$, a float tensor (20,), the largest first.
# * `ncsn_loss(net, x_0, i, eps)`: points (B, 2), levels (B,) in 0..19, noise (B, 2) → the mean over all numbers of
#   $(\sigma_i s + \varepsilon)^2$, that is the error of the score weighted by $\sigma_i^2$.
# * `ncsn_step(net, x, i, z)`: points (B, 2), one level, an `int`, noise (B, 2) → one Langevin step.
# * `ncsn_train(points, steps)`, `ncsn_sample(net, n)`: as for DDPM.
#
# <details><summary>A solution of NCSN</summary>
#
# ```python
# def ncsn_schedule():
#     return torch.logspace(math.log10(2), math.log10(0.02), 20)
#
#
# def ncsn_loss(net, x_0, i, eps):
#     sigma = ncsn_schedule()[i][:, None]
#     return (sigma * net(x_0 + sigma * eps, i) + eps).square().mean()
#
#
# def ncsn_step(net, x, i, z):
#     alpha = 0.2 * ncsn_schedule()[i] ** 2
#     return x + alpha / 2 * net(x, i) + alpha.sqrt() * z
#
#
# class ScoreNet(Net):
#     """The score is about as large as 1/σ: the network learns it in these units."""
#
#     def forward(self, x, i):
#         sigma = ncsn_schedule()[torch.as_tensor(i).reshape(-1, 1).expand(len(x), 1)]
#         return super().forward(x / (1 + sigma**2).sqrt(), i) / sigma
#
#
# def ncsn_train(points, steps):
#     net = ScoreNet(3 / 20)
#     optimiser = torch.optim.Adam(net.parameters(), 2e-3)
#     rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
#     for _ in range(steps):
#         x_0 = points[torch.randint(len(points), (512,))]
#         value = ncsn_loss(net, x_0, torch.randint(20, (512,)), torch.randn_like(x_0))
#         optimiser.zero_grad()
#         value.backward()
#         optimiser.step()
#         rate.step()
#     return net
#
#
# @torch.no_grad()
# def ncsn_sample(net, n):
#     x = 2 * torch.randn(n, 2)
#     for i in range(20):
#         for _ in range(10):
#             x = ncsn_step(net, x, i, torch.randn_like(x))
#     return x
# ```
#
# </details>
#
# ## 3. The VP-SDE
#
# DDPM in continuous time ([Song et al., 2021](https://arxiv.org/abs/2011.13456); lesson 16 derives it). Time runs
# from 0, data, to 1, noise. $dx = -\frac12\beta(t)\,x\,dt + \sqrt{\beta(t)}\,dw$ with $\beta(t) = 0.1 + 19.9\,t$, so
# that $a(t) = \exp\big(-\frac12\int_0^t\beta\big)$ and $b^2 = 1 - a^2$. The network predicts the score at any time.
# Sampling solves the reverse SDE by Euler and Maruyama's steps from 1 down to about 0.001; five hundred are enough:
#
# $$x_{t-dt} = x + \big[\tfrac12\beta\,x + \beta\,s(x, t)\big]\,dt + \sqrt{\beta\,dt}\;z .$$
#
# * `sde_schedule(t)`: times (B,) in [0, 1] → $a(t)$, $b(t)$, each (B,).
# * `sde_loss(net, x_0, t, eps)`: points (B, 2), times (B,), noise (B, 2) → the mean over all numbers of $(b\,s +
#   \varepsilon)^2$.
# * `sde_step(net, x, t, dt, z)`: points (B, 2), a time and the length of the step, both `float`, noise (B, 2) → the
#   points at $t - dt$.
# * `sde_train(points, steps)`, `sde_sample(net, n)`: as for DDPM. Train at times from 0.001 on: at 0 the score is
#   infinite.
#
# <details><summary>A solution of the VP-SDE</summary>
#
# ```python
# def sde_schedule(t):
#     a = torch.exp(-(0.1 * t + 19.9 * t**2 / 2) / 2)
#     return a, (1 - a**2).sqrt()
#
#
# def sde_loss(net, x_0, t, eps):
#     a, b = (scale[:, None] for scale in sde_schedule(t))
#     return (b * net(a * x_0 + b * eps, t) + eps).square().mean()
#
#
# def sde_step(net, x, t, dt, z):
#     beta = 0.1 + 19.9 * t
#     return x + (beta / 2 * x + beta * net(x, t)) * dt + math.sqrt(beta * dt) * z
#
#
# class ScoreOfTime(Net):
#     """The score in units of 1/b."""
#
#     def forward(self, x, t):
#         b = sde_schedule(torch.as_tensor(t).float().reshape(-1, 1).expand(len(x), 1))[1]
#         return super().forward(x, t) / b
#
#
# def sde_train(points, steps):
#     net = ScoreOfTime()
#     optimiser = torch.optim.Adam(net.parameters(), 2e-3)
#     rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
#     for _ in range(steps):
#         x_0 = points[torch.randint(len(points), (512,))]
#         value = sde_loss(net, x_0, 1e-3 + (1 - 1e-3) * torch.rand(512), torch.randn_like(x_0))
#         optimiser.zero_grad()
#         value.backward()
#         optimiser.step()
#         rate.step()
#     return net
#
#
# @torch.no_grad()
# def sde_sample(net, n):
#     x = torch.randn(n, 2)
#     times = torch.linspace(1, 1e-3, 501).tolist()
#     for t, s in zip(times, times[1:]):
#         x = sde_step(net, x, t, t - s, torch.randn_like(x))
#     return x
# ```
#
# </details>
#
# ## 4. Flow matching
#
# A straight line from data at $t = 0$ to noise at $t = 1$: $a = 1 - t$, $b = t$ ([Lipman et al.,
# 2023](https://arxiv.org/abs/2210.02747)). The network predicts the velocity $\varepsilon - x_0$, and sampling takes
# a hundred of Euler's steps from 1 to 0. No noise is added on the way.
#
# * `flow_schedule(t)`: times (B,) in [0, 1] → $a(t)$, $b(t)$, each (B,).
# * `flow_loss(net, x_0, t, eps)`: points (B, 2), times (B,), noise (B, 2) → the mean over all numbers of the
#   squared error of the velocity.
# * `flow_step(net, x, t, dt)`: points (B, 2), a time and the length of the step, both `float` → the points at $t - dt$.
# * `flow_train(points, steps)`, `flow_sample(net, n)`: as for DDPM.
#
# <details><summary>A solution of flow matching</summary>
#
# ```python
# def flow_schedule(t):
#     return 1 - t, t
#
#
# def flow_loss(net, x_0, t, eps):
#     a, b = (scale[:, None] for scale in flow_schedule(t))
#     return (net(a * x_0 + b * eps, t) - (eps - x_0)).square().mean()
#
#
# def flow_step(net, x, t, dt):
#     return x - net(x, t) * dt
#
#
# def flow_train(points, steps):
#     return train(flow_loss, torch.rand, points, steps, 3.0)
#
#
# @torch.no_grad()
# def flow_sample(net, n):
#     x = torch.randn(n, 2)
#     for k in range(100, 0, -1):
#         x = flow_step(net, x, k / 100, 1 / 100)
#     return x
# ```
#
# </details>
#
# ## 5. The U-Net
#
# For images the multilayer perceptron gives way to the U-Net of lesson 1. Three of its parts are worth writing once,
# and then the network.
#
# * `time_embedding(t, width)`: times (B,), an even number → (B, width): $\sin(\omega_i t)$ for $i =
#   0..\frac{\text{width}}2 - 1$, then the cosines, with $\omega_i = 10000^{-i/(\text{width}/2)}$. (Lesson 1 divides by
#   $\frac{\text{width}}2 - 1$.)
# * `attention(q, k, v)`: queries, keys, values, each (B, positions, d) → (B, positions, d): one head.
# * `ResidualBlock(in_width, out_width, embedding)`: a class, `nn.Module`; its `forward(x, temb)` gets (B, in_width,
#   H, W) and the embedded time (B, embedding) → (B, out_width, H, W): group norm, SiLU, convolution; plus the time,
#   one number for each channel; group norm, SiLU, convolution; plus $x$, by a 1 × 1 convolution where the widths
#   differ. Widths are multiples of 16.
#
# * `UNet()`: a class, `nn.Module`; its `forward(x, t)` gets noisy digits (B, 1, 8, 8) and times (B,) from 1 to 1000,
#   and predicts their noise, (B, 1, 8, 8).
#
# The block is judged by what it does: it keeps height and width, adds to $x$, normalises each image on its own, and
# reads the time. The checker trains the network for twenty seconds, and at least 250 steps: by the loss of DDPM with
# the cosine schedule, Adam at 0.002 and batches of 64. 250 digits are sampled from it in 50 steps, and have to be
# within four floors. Digits of 8 × 8 pixels forgive much, so a mistake that does not show in them may pass. Put it
# together as you like: down to 4 × 4 pixels (`nn.Conv2d` with `stride=2`), attention there, and up again
# (`nn.Upsample`), with the fine features joined to the coarse ones. `course.digits()` are the data: those of lesson 1,
# averaged over 3 × 3 pixels.
#
# <details><summary>A solution of the parts</summary>
#
# ```python
# def time_embedding(t, width):
#     frequency = 10000 ** (-torch.arange(width // 2) / (width // 2))
#     angle = t[:, None] * frequency
#     return torch.cat([angle.sin(), angle.cos()], dim=1)
#
#
# def attention(q, k, v):
#     logits = q @ k.transpose(1, 2) / q.shape[2] ** 0.5
#     return logits.softmax(dim=2) @ v
#
#
# class ResidualBlock(nn.Module):
#     def __init__(self, in_width, out_width, embedding):
#         super().__init__()
#         self.first = nn.Sequential(nn.GroupNorm(4, in_width), nn.SiLU(), nn.Conv2d(in_width, out_width, 3, padding=1))
#         self.time = nn.Linear(embedding, out_width)
#         self.second = nn.Sequential(
#             nn.GroupNorm(4, out_width), nn.SiLU(), nn.Conv2d(out_width, out_width, 3, padding=1)
#         )
#         self.shortcut = nn.Identity() if in_width == out_width else nn.Conv2d(in_width, out_width, 1)
#
#     def forward(self, x, temb):
#         h = self.first(x) + self.time(temb)[:, :, None, None]
#         return self.shortcut(x) + self.second(h)
#
#
# class UNet(nn.Module):
#     def __init__(self):
#         super().__init__()
#         self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU())
#         self.first = nn.Conv2d(1, 32, 3, padding=1)
#         self.down = ResidualBlock(32, 32, 64)
#         self.shrink = nn.Conv2d(32, 64, 3, stride=2, padding=1)
#         self.before, self.after = ResidualBlock(64, 64, 64), ResidualBlock(64, 64, 64)
#         self.qkv = nn.Conv2d(64, 3 * 64, 1)
#         self.enlarge = nn.Upsample(scale_factor=2)
#         self.up = ResidualBlock(64 + 32, 32, 64)
#         self.last = nn.Conv2d(32, 1, 3, padding=1)
#
#     def forward(self, x, t):
#         temb = self.time(time_embedding(t, 32))
#         fine = self.down(self.first(x), temb)
#         h = self.before(self.shrink(fine), temb)
#         q, k, v = self.qkv(h).flatten(2).transpose(1, 2).chunk(3, dim=2)  # the 16 positions of 4 × 4
#         h = h + attention(q, k, v).transpose(1, 2).reshape(h.shape)
#         h = self.enlarge(self.after(h, temb))
#         return self.last(self.up(torch.cat([h, fine], dim=1), temb))
# ```
#
# </details>
#
# ## 6. Check
#
# The cell checks your file, if there is one. Each method takes about a minute.

# %%
if Path("mine.py").exists():
    for verdict in course.check_file(18, Path("mine.py")):
        print(verdict)
else:
    print("Write mine.py in this folder, and run this cell again.")

# %% [markdown]
# ## 7. Your own idea
#
# Now change something that no exercise is about. Some ideas, from an evening to a paper:
#
# * **Another target.** Train one network that predicts $x_0$, and one that predicts $v$ (lesson 5). Which needs fewer
#   steps for 3 floors? Does it depend on the schedule?
# * **Other times.** Draw $t$ where the loss is most uncertain, in place of evenly.
# * **A better step.** Heun's method for your flow: two evaluations a step, and how many steps fewer?
# * **A condition.** Give the network the moon, 0 or 1, and drop it at a tenth of the points. You have guidance.
# * **One evaluation.** Let your flow be the teacher of a network that jumps (lesson 11).
# * **Your own noise.** Does it have to be normal?
#
# `course.in_floors` judges whatever comes out. Below is a start: the samples of the exact denoiser by the reference
# samplers of the checker, which no network of yours can beat by much.

# %%
clouds = {}
for name in ("ddpm", "ncsn", "flow"):
    training, sampling = lesson_18.METHODS[name][3:]
    torch.manual_seed(0)
    clouds[name] = training.sampler(sampling.answer, 500 if QUICK else 2000)
    print(f"{name}: {course.in_floors(clouds[name]):.1f} floors with the exact denoiser")
course.expect(all(course.in_floors(cloud) < 2.5 for cloud in clouds.values()))
course.scatter(clouds, limit=1.2)

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **More noise.** In the section on judging, `points[:2000] + 0.05 * noise` → `points[:2000] + 0.2 * noise`. At how
#   many floors do you see it, and at how many can you no longer tell the moons apart? No time.
# * **The fourth method.** In section 7, `for name in ("ddpm", "ncsn", "flow"):` → `for name in ("ddpm", "sde",
#   "flow"):`. The VP-SDE is DDPM with more and shorter steps. A little longer.
# * **Other noise.** In section 7, `torch.manual_seed(0)` → `torch.manual_seed(1)`. How far apart are two runs of one
#   sampler? Smaller differences between methods mean nothing. As long as before.
