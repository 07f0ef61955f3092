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
# # Larger images
#
# The digits of lesson 1 have 28 × 28 pixels. What changes if images have 64, 128 or 256? Four things: what a training
# step *costs*, which *network* fits, which *noise schedule* does the same work, and what the network should *predict*.
# In this lesson you compute each of them before you train anything, and compare the result with the package: with its
# networks, its statement before training, and its exact denoisers.
#
# You should have done lessons 2 and 10 (patches, a shifted schedule). Six tiny networks and two small transformers
# are trained, and all of it runs in about two minutes on two CPU cores.

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
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import ancestral
import ancestral_course as course
from ancestral import Diffusion, config, nets, oracle, samplers, schedules, targets
from ancestral.config import by_size
from ancestral.nets.space import fold, unfold
from ancestral.render.data_text import cost_rows
from ancestral.results.data_report import DataReport
from ancestral.schedules import Schedule

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
RUNS = Path(tempfile.mkdtemp())  # run folders of this lesson
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1. The same scene at four sizes
#
# We need real images that can be had at several sizes. Three photographs come with packages that are installed already:
# Grace Hopper (matplotlib; James S. Davis, United States Navy, public domain), a temple and a flower (scikit-learn;
# photographs of danielbuechele and vultilion on Flickr, CC BY 2.0, cut and reduced here). We cut squares of 256 × 256
# pixels out of them. Averages over blocks of 2 × 2, 4 × 4 and 8 × 8 pixels show the same scenes with 128, 64 and 32.

# %%
with cbook.get_sample_data("grace_hopper.jpg") as file:
    pictures = [np.asarray(Image.open(file)), load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
photos = [torch.tensor(picture).permute(2, 0, 1) / 127.5 - 1 for picture in pictures]  # (3, H, W) in [−1, 1]


def squares(photo, side=256, each=3):
    """Overlapping squares (each², 3, side, side) of a photograph."""
    rows, columns = (np.linspace(0, length - side, each).astype(int) for length in photo.shape[1:])
    return torch.stack([photo[:, y : y + side, x : x + side] for y in rows for x in columns])


images = torch.cat([squares(photo) for photo in photos])  # (27, 3, 256, 256)
SIDES = (32, 64, 128, 256)
sizes = {side: F.avg_pool2d(images, 256 // side) for side in SIDES}
course.show([[sizes[side][i] for side in SIDES] for i in (1, 9, 22)], titles=[f"{s} × {s}" for s in SIDES])

# %% [markdown]
# The scene stays the same, and neighbouring pixels become more and more alike. Keep both in mind: they are the reason
# for everything in sections 5 to 7.
#
# ## 2. What a block costs
#
# Networks are compared by their *multiply-adds*: how often two numbers are multiplied and added to a sum. Take
# $n = N \times N$ positions with $C$ features each.
#
# * A **3 × 3 convolution** from $C$ to $C$ features: each of the $C$ results at a position is a weighted sum over the
#   $C$ features of the 3 × 3 positions around it. A residual block of the U-Net has two of them.
# * **Self-attention** has four dense layers, from $C$ to $C$ features at each position, for queries, keys, values and
#   the output. Then every position is compared with every other one: the logits are the product of the matrix of the
#   queries, $n \times C$, and that of the keys, $C \times n$. The weighted sums of the values are a second product, of
#   the $n \times n$ weights and the $n \times C$ values.
#
# ### Exercise 1: count
#
# Return three numbers: the multiply-adds of the two convolutions of a residual block, of the four dense layers of
# self-attention, and of its two matrix products. Begin with a single result, one feature at one position or one entry
# of a matrix: it is a sum of how many products? Then count the results. Which of the three numbers are proportional to
# $n$? A case that tests it: with twice the side the third number is 16 times as large.


# %% tags=["exercise"]
def block_costs(side, width):
    """Multiply-adds (convolutions, dense, matrices) at side × side positions with `width` features."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(12, block_costs))
right_block_costs = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def block_costs(side, width):
#     n = side**2
#     return 2 * 9 * width**2 * n, 4 * width**2 * n, 2 * n**2 * width
# ```
# </details>
#
# One by one: a convolution sums $9C$ products for each of $C$ features at each position, $9\,C^2 n$, and a dense layer
# takes $C^2 n$. A product of matrices $(n \times C)(C \times n)$ has $n^2$ results that are sums of $C$ products,
# $n^2 C$, and $(n \times n)(n \times C)$ has $nC$ results that are sums of $n$ products, $n^2 C$ again.
#
# Convolutions and dense layers grow in proportion to the number of pixels. The two matrix products grow with its
# *square*.
#
# PyTorch can count, too. On the *meta device* tensors have a shape and no values, so nothing is computed and no memory
# is needed, however large the network is. `FlopCounterMode` adds up what would have been computed; it counts a
# multiply-add as two operations.


# %%
def multiply_adds(compute, *inputs):
    """The number of multiply-adds of compute(*inputs)."""
    with FlopCounterMode(display=False) as counter:
        compute(*inputs)
    return counter.get_total_flops() // 2


def attend(q, k, v):
    """Attention of one head: the weighted sum of the values at all positions."""
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v


width, counted = 128, {"two convolutions": [], "four dense layers": [], "two matrix products": []}
sides = (8, 16, 32, 64, 128, 256)
with torch.device("meta"):
    convolution, dense = nn.Conv2d(width, width, 3, padding=1), nn.Linear(width, width)
    for side in sides:
        x, h = torch.empty(1, width, side, side), torch.empty(1, side**2, width)
        counted["two convolutions"].append(2 * multiply_adds(convolution, x))
        counted["four dense layers"].append(4 * multiply_adds(dense, h))
        counted["two matrix products"].append(multiply_adds(attend, h, h, h))
course.plot(sides, counted, "N", "multiply-adds, C = 128", kind="loglog", marker=".")
convolutions, _, products = counted.values()
print(f"matrix products / convolutions: {products[1] / convolutions[1]:.2f} at 16 × 16", end=", ")
print(f"{products[-1] / convolutions[-1]:.0f} at 256 × 256")
print(f"attention weights of one image at 256 × 256: {(256**2) ** 2 * 4 / 1e9:.0f} GB in float32")
for k, (name, counts) in enumerate(counted.items()):
    by_formula = [right_block_costs(side, width)[k] for side in sides]
    print(f"{name}: counted {counts[2]:,} at 32 × 32, by exercise 1 {by_formula[2]:,}")
    course.expect(counts == by_formula)
course.expect(0.21 < products[1] / convolutions[1] < 0.23)
course.expect(round((256**2) ** 2 * 4 / 1e9) == 17)
course.expect(round(products[-1] / convolutions[-1]) == 57)

# %% [markdown]
# The lines cross where $2n^2C = 18\,C^2n$, at $n = 9C$: for 128 features at about 34 × 34. Below, attention is cheap;
# at 256 × 256 it would cost 57 times as much as the convolutions, and its weights would take 17 GB for each image. This
# is why the networks of the DDPM paper have self-attention at 16 × 16, and none above.
#
# Do multiply-adds say how long it takes? Not exactly: small tensors stay in the caches of the processor, and the
# softmax takes time that is no multiply-add. We measure the time that the processor spends on this program, so that
# other programs do not count. On the machine that made this page:

# %%
_ = torch.set_num_threads(1)  # times of one thread are steadier


def seconds(compute, *inputs, repeats=3):
    """The shortest of several times of the processor."""
    times = []
    for _ in range(1 if QUICK else repeats):
        began = time.process_time()
        compute(*inputs)
        times.append(time.process_time() - began)
    return min(times)


convolution = nn.Conv2d(32, 32, 3, padding=1)
with torch.no_grad():
    for side in (16, 32) if QUICK else (16, 32, 64):
        x, h = torch.randn(1, 32, side, side), torch.randn(1, side**2, 32)
        both = 2 * seconds(convolution, x), seconds(attend, h, h, h)
        print(f"{side:3} × {side}: two convolutions {both[0] * 1e3:6.2f} ms, matrix products {both[1] * 1e3:7.2f} ms")

# %% [markdown]
# With each doubling of the side, the first column has four times the multiply-adds, and the second sixteen times. The
# last number is larger still: $4096^2$ attention weights are 67 MB, and fit into no cache.
#
# ## 3. What a network costs
#
# Three numbers describe a network for training: its *parameters* (with Adam they are stored five times: weight,
# gradient, average, and two moments), its *multiply-adds* (times three: the backward pass takes about twice the forward
# pass), and its *activations*, the results of layers that the forward pass has to keep for the backward pass, for each
# image of the batch. We get the last from PyTorch itself: `saved_tensors_hooks` is called with each tensor that is
# saved. All of it on the meta device.


# %%
def build(shape, settings, kind="unet"):
    """A network of the package without values."""
    names = {"width", "mults", "blocks", "attention", "patch", "narrow", "dropout", "depth", "heads", "bottleneck"}
    with torch.device("meta"):
        return nets.build(kind, shape, **{name: value for name, value in settings.items() if name in names})


def cost(net, shape):
    """Parameters, multiply-adds of a forward pass, and bytes of activations in float32, for one item."""
    x, index = torch.empty(1, *shape, device="meta"), torch.zeros(1, dtype=torch.int64, device="meta")
    saved, weights = {}, {p.untyped_storage()._cdata for p in net.parameters()}

    def save(tensor):
        storage = tensor.untyped_storage()  # two tensors may share one
        if storage._cdata not in weights:
            saved[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        done = multiply_adds(net, x, index)
    return sum(p.numel() for p in net.parameters()), done, sum(storage.nbytes() for storage in saved.values())


def print_costs(name, net, shape, more=""):
    """Print and return the costs of a network."""
    parameters, done, kept = costs = cost(net, shape)
    print(f"{name:34} {parameters:>12,} {done / 1e9:>10.2f} {kept / 1e6:>8.1f} {more}")
    return costs


HEAD = f"{'for one image':34} {'parameters':>12} {'10⁹ m.-a.':>10} {'MB':>8}"
print(HEAD)
presets = {}
for name in ("cifar10", "photos64", "photos128", "photos256", "ddpm256"):
    settings = config.preset(name)
    shape = (3, settings.data.image_size or 32, settings.data.image_size or 32)
    presets[name] = print_costs(f"{name}, {shape[1]} × {shape[2]}", build(shape, asdict(settings.net)), shape)
course.expect(presets["ddpm256"][0] == 113_673_219)
course.expect(presets["cifar10"][0] == 35_746_307)
course.expect(round(presets["ddpm256"][0] / presets["cifar10"][0]) == 3)
course.expect(round(presets["ddpm256"][2] / 1e9, 1) == 2.1)
course.expect(39 < presets["ddpm256"][1] / presets["cifar10"][1] < 41)
course.expect(31 < presets["ddpm256"][2] / presets["cifar10"][2] < 33)

# %% [markdown]
# These are the networks for photographs on a GPU. `ddpm256` is the network that the DDPM paper trained on bedrooms,
# churches and faces: 113,673,219 parameters, three times those of the CIFAR-10 network. But a forward pass has 40
# times its multiply-adds, and 32 times its activations: 2.1 GB for each image of a batch (half of it in bfloat16).
# At large sizes the parameters are the least of all costs.
#
# Where do they go? We run the network once more, with a hook behind each block that notes its output.


# %%
def levels(net, shape):
    """Parameters, multiply-adds and numbers of outputs of the blocks of a U-Net, by the side of their output."""
    x, index = torch.empty(1, *shape, device="meta"), torch.zeros(1, dtype=torch.int64, device="meta")
    side_of, found = {}, {}
    blocks = {f"UNet.{part}.{i}": b for part in ("down", "middle", "up") for i, b in enumerate(getattr(net, part))}
    for name, block in blocks.items():
        block.register_forward_hook(lambda _, __, out, name=name: side_of.setdefault(name, out))
    with FlopCounterMode(display=False) as counter:
        net(x, index)
    for name, block in blocks.items():
        side, out = side_of[name].shape[-1], side_of[name].numel()
        done = sum(counter.get_flop_counts()[name].values()) // 2
        parts = sum(p.numel() for p in block.parameters()), done, out
        found[side] = [sum(pair) for pair in zip(found.get(side, (0, 0, 0)), parts, strict=True)]
    return found


shape, settings = (3, 256, 256), asdict(config.preset("ddpm256").net)
by_level = levels(build(shape, settings), shape)
total = [sum(column) for column in zip(*by_level.values(), strict=True)]
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.4))
    names = ("parameters", "multiply-adds", "outputs of blocks")
    for i, name in enumerate(names):
        shares = [100 * parts[i] / total[i] for parts in by_level.values()]
        axis.bar(np.arange(len(by_level)) + 0.27 * (i - 1), shares, width=0.25, label=name)
    axis.set(xticks=range(len(by_level)), xticklabels=[f"{s}×{s}" for s in by_level], ylabel="% of ddpm256")
    axis.legend()
    plt.show()
low = sum(by_level[side][0] for side in (8, 16)) / total[0]
high = [sum(by_level[side][i] for side in (128, 256)) / total[i] for i in (1, 2)]
print(f"8 × 8 and 16 × 16: {low:.0%} of the parameters")
print(f"128 × 128 and 256 × 256: {high[0]:.0%} of the multiply-adds, {high[1]:.0%} of the outputs")
course.expect(0.75 < low < 0.77)
course.expect(0.75 < high[0] < 0.77)
course.expect(0.86 < high[1] < 0.88)

# %% [markdown]
# The two lowest levels hold three quarters of the parameters, and the two highest take three quarters of the
# multiply-adds and of the memory. A level at low resolution is nearly free, since it has few positions. So a network
# for larger images gets *more levels*, down to 8 × 8 or so, and its widths grow only below: the multiples of `ddpm256`
# are 1, 1, 2, 2, 4, 4. Its capacity sits where it is cheap.
#
# ## 4. The network that the package chooses
#
# For images of your own (the presets `folder` and `arrays`) the package chooses levels, widths, attention, batch size
# and learning rate by the size of the images and the device. On a GPU these are the networks above. On a CPU even one
# block at 256 × 256 is too expensive, so another means comes in: **patches**. `fold` takes each block of $p \times p$
# pixels and makes it $p^2$ times as many channels at one position. The U-Net then works at $256/p$ positions a side,
# and `unfold` brings its output back to pixels. Nothing is lost by the reshaping itself:

# %%
x = sizes[256][:2]
folded = fold(x, 8)
print("pixels", tuple(x.shape), " patches of 8 × 8 as channels", tuple(folded.shape))
course.expect(torch.equal(unfold(folded, 8), x))
course.expect(torch.equal(folded, F.pixel_unshuffle(x, 8)))

# %% [markdown]
# ### Exercise 2: patch and levels
#
# For square images of a given side, find
#
# 1. the patch: the smallest of 1, 2, 4, 8 and 16 that leaves at most `first` positions a side, or 16 if none does;
# 2. the number of levels: the first level has what the patch leaves, and each further level half of it. Add levels
#    until the lowest has a side of at most `last`;
# 3. the side of the lowest level.
#
# A side that is no multiple of the patch is padded, and so is one that cannot be halved. So $m$ positions divided by
# $f$ are $\lceil m/f \rceil$, in Python `-(-m // f)`.


# %% tags=["exercise"]
def plan(side, first, last):
    """(patch, number of levels, side of the lowest level) for images of side × side pixels."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(12, plan))
right_plan = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def plan(side, first, last):
#     patch, levels = 1, 1
#     while -(-side // patch) > first and patch < 16:
#         patch *= 2
#     while -(-side // (patch * 2 ** (levels - 1))) > last:
#         levels += 1
#     return patch, levels, -(-side // (patch * 2 ** (levels - 1)))
# ```
# </details>
#
# With `first=32` and `last=8` this is the package's rule for a CPU, and with `first=256` and `last=8` that for a GPU.
# (Images of up to 32 × 32 pixels are an exception: they get the small network of the preset `digits`.) What does the
# choice buy? Compare the network for 32 × 32 pixels, just applied to larger images, with the networks that are chosen.
# The time is that of a forward and a backward pass for two images in float32, with one thread.


# %%
def gradient(net, x):
    """The gradient of some loss of a network, as in a training step."""
    net(x, torch.zeros(len(x), dtype=torch.int64)).square().mean().backward()


print(f"{HEAD} seconds")
spent = {}
for name in ("as for 32 × 32", "chosen"):
    for side in (64,) if QUICK else (64, 256):
        shape, like = (3, side, side), (3, side, side) if name == "chosen" else (3, 32, 32)
        settings = by_size.choose(like, "cpu")
        if name == "chosen":
            patch, levels, _ = right_plan(side, 32, 8)
            course.expect((patch, levels) == (settings["patch"], len(settings["mults"])))
            settings = settings | {"patch": patch}
        net = nets.build("unet", shape, **{k: v for k, v in settings.items() if k not in ("batch_size", "lr")})
        label = f"{side} × {side}, {name}: patch {settings['patch']}"
        needed = seconds(gradient, net, sizes[side][:2], repeats=2)
        spent[side, name] = print_costs(label, build(shape, settings), shape, f"{needed:7.2f}")
if not QUICK:
    (_, plain, _), (_, chosen, _), (_, smaller, _) = (
        spent[key] for key in ((256, "as for 32 × 32"), (256, "chosen"), (64, "chosen"))
    )
    print(f"multiply-adds at 256 × 256: divided by {plain / chosen:.1f}; {chosen / smaller:.1f} times those at 64 × 64")
    course.expect(13 < plain / chosen < 14.5)
    course.expect(1.45 < chosen / smaller < 1.6)

# %% [markdown]
# The multiply-adds predict the time well: on the machine that made this page the time for $10^9$ of them differs by
# less than a factor of two between the rows. The chosen network for 256 × 256 pixels has four times the parameters of
# the small one and a fourteenth of its multiply-adds, 1.5 times those for 64 × 64. What a patch costs in return,
# section 7 will show.
#
# ### The statement before training
#
# `ancestral train` and `ancestral doctor` do this for you. Before its first step a run measures some gradients on your
# machine, and states what was chosen and why, how long the run will take, and how much memory a step needs:
#
#     ancestral doctor photos/ --image-size 256
#     ancestral train --data photos/ --image-size 256
#
# Here are our squares as a file, and the lines about the cost. (The doctor is a process of its own here: in this one,
# memory that was used before would be used again, and not be counted.)

# %%
side = 32 if QUICK else 256
np.save(RUNS / "squares.npy", ((sizes[side] + 1) * 127.5).round().to(torch.uint8).numpy())
command = [sys.executable, "-m", "ancestral", "doctor", "squares.npy", "--steps", "1", "--json", "doctor.json"]
subprocess.run(command, cwd=RUNS, stdout=subprocess.DEVNULL, check=True)
report = DataReport.from_json((RUNS / "doctor.json").read_text())
for name, text in cost_rows(report.cost, report.count):
    print("\n".join(textwrap.wrap(f"{name:12} {text}", 100, subsequent_indent=13 * " ", break_on_hyphens=False)))
counted = cost(build((3, side, side), by_size.choose((3, side, side), "cpu")), (3, side, side))
print(f"counted: {counted[0]:,} parameters, {32 * counted[2] / 1e6:.0f} MB of activations of 32 images in float32")
course.expect((report.cost.parameters, report.cost.batch_size) == (counted[0], 32))
course.expect(report.cost.memory > 16 * counted[2])

# %% [markdown]
# The parameters are those that we counted. (Where the processor has bfloat16, half precision, activations take half of
# the memory.) Gradients and the working memory of convolutions come on top of our count, so the doctor measures. If the
# memory does not suffice, it names the `--micro-batch` that does: the same batch, computed in parts, with the same
# result. On a GPU the rule takes a smaller batch for larger images, too:

# %%
on_gpu = {side: by_size.choose((3, side, side), "cuda")["batch_size"] for side in (64, 128, 256)}
print(on_gpu)
course.expect(on_gpu == {64: 64, 128: 32, 256: 8})

# %% [markdown]
# ## 5. What the noise hides at each size
#
# So far the images got larger and the noise stayed what it was: the schedule $a_t$, $b_t$ does not know how many pixels
# there are. Look at the same scene with 32 × 32 and with 256 × 256 pixels, both at $t = 700$ of the cosine schedule:

# %%
cosine = schedules.cosine()
scene = 1
noise = {side: torch.randn(sizes[side][scene].shape, generator=torch.Generator().manual_seed(0)) for side in SIDES}


def noisy(side, schedule, t=700):
    """The scene at time t."""
    a, b = schedule.at(t)
    return a * sizes[side][scene] + b * noise[side]


course.show([[noisy(side, cosine) / 2 for side in SIDES]], titles=[f"{s} × {s}" for s in SIDES], size=1.1)
a, b = cosine.at(700)
print(f"a = {a:.2f}, b = {b:.2f}")
for side in SIDES:
    error = F.avg_pool2d(noisy(side, cosine) - a * sizes[side][scene], side // 32).std().item()
    print(f"{side:3} × {side:3}: noise that is left after averaging to 32 × 32: {error:.3f}")
    course.expect(abs(error / (b * 32 / side) - 1) < 0.05)

# %% [markdown]
# With 32 × 32 pixels nothing can be seen. With 256 × 256 the portrait can be recognised. The reason is in the last
# column: the average of $r \times r$ pixels keeps what neighbouring pixels have in common, and divides the variance of
# the noise by $r^2$. Your eye averages, and so does a network. Lesson 10 showed this with digits. Now we make it exact,
# for each size of structure.
#
# ### Waves
#
# Any image is a sum of waves: the Fourier transform gives the amplitude of each wave with $k$ cycles across the image.
# $k = 0$ is the mean brightness, $k = 1$ a gradient from one side to the other, and $k = N/2$ a chessboard of single
# pixels. With the *orthonormal* transform, which preserves sums of squares, independent noise of variance $b^2$ in the
# pixels becomes independent noise of variance $b^2$ in each wave, whatever the size of the image. The *power spectrum*
# $P_k$ is the mean square of the image's own amplitude at distance $k$ from 0. So the signal-to-noise ratio of waves of
# $k$ cycles per image is
#
# $$\mathrm{SNR}_k(t) = \frac{a_t^2\,P_k}{b_t^2} .$$
#
# ### Exercise 3: the power spectrum
#
# `torch.fft.fft2(images, norm="ortho")` has complex amplitudes, and `abs()` is their size. The frequencies of its rows
# and columns, in cycles per image, are `torch.fft.fftfreq(N, 1 / N)`: 0, 1, 2, …, and then the negative ones, −2, −1.
# Return, for $k = 0, 1, \dots, N/2$, the mean power over all images and channels, and over all frequencies
# $(f_y, f_x)$ whose distance from 0, $\sqrt{f_y^2 + f_x^2}$, rounds to $k$.


# %% tags=["exercise"]
def band_power(images):
    """The power (N/2 + 1,) at k = 0, 1, ..., N/2 cycles per image, for float64 images (B, C, N, N) with an even N."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(12, band_power))
right_band_power = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def band_power(images):
#     n = images.shape[-1]
#     power = (torch.fft.fft2(images, norm="ortho").abs() ** 2).mean((0, 1))
#     f = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
#     k = (f[:, None] ** 2 + f**2).sqrt().round()
#     return torch.stack([power[k == i].mean() for i in range(n // 2 + 1)])
# ```
# </details>
#
# Here is the spectrum of our photographs at all four sizes, by this function.


# %%
def radius(n):
    """The distance (n, n) of each frequency from 0, rounded, in cycles per image."""
    f = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    return torch.hypot(f[:, None], f).round().long()


P = {side: right_band_power(sizes[side].double()) for side in SIDES}
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.8))
    for side in SIDES:
        axis.loglog(range(1, side // 2 + 1), P[side][1:], label=f"{side} × {side}")
    axis.axhline((b / a) ** 2, color="0.5", linestyle=":", label="noise $b^2/a^2$ at t = 700")
    axis.set(xlabel="k, cycles per image", ylabel="power $P_k$", ylim=(2e-3, 2e5))
    axis.legend(loc="upper right")
    plt.show()
for k in (2, 4, 8):
    print(f"k = {k}: power of 64/32, 128/64, 256/128:", *(f"{P[2 * n][k] / P[n][k]:.2f}" for n in (32, 64, 128)))
slope = math.log(P[256][32] / P[256][4]) / math.log(32 / 4)
print(f"between k = 4 and 32 the power falls like k to the power {slope:.2f}")
course.expect(all(3.99 < P[2 * n][k] / P[n][k] < 4.3 for n in (32, 64, 128) for k in (2, 4, 8)))
course.expect(-2.7 < slope < -2.3)

# %% [markdown]
# Two facts. The power falls steeply with $k$, here like $k^{-2.5}$ (of a plane of independent pixels it would be
# constant): neighbouring pixels are alike. And each doubling of the side lifts the whole curve by 4. Why exactly 4? The
# orthonormal transform is the sum over all pixels of pixel × wave, divided by $N$. A structure of $k$ cycles is
# the same in both sizes, so with twice the side the sum has four times as many equal terms. Divided by $2N$ instead of
# $N$, the amplitude is doubled, and the power is four times as large. (At $k = 8$ it is a little more than 4 for the
# smallest size, since averaging over a pixel weakens waves that are nearly as short as the pixel.)
#
# For images that are $r$ times as large, $P_k$ is $r^2$ times as large, so at the same time $t$
#
# $$\ln \mathrm{SNR}_k \text{ rises by } 2 \ln r \quad\text{in every band } k .$$
#
# A schedule whose $\ln (a_t^2/b_t^2)$ is *lowered* by $2 \ln r$ compensates this exactly, in all bands at once. This is
# the shift of Hoogeboom, Heek and Salimans (*Simple diffusion*, 2023). Chen (*On the importance of noise scheduling*,
# 2023) multiplies the images by a factor $1/r$ instead, $x_t = a_t x_0 / r + b_t \varepsilon$, which has the same
# effect. What remains are the *new* bands between $k = N/2$ and $k = rN/2$: details that the small image does not have.


# %%
def shifted(schedule, ratio):
    """The schedule with ln SNR lowered by 2 ln ratio (exercise 2 of lesson 10)."""
    a, b = schedule.signal, ratio * schedule.noise
    return Schedule(a / torch.hypot(a, b), b / torch.hypot(a, b))


shown = {"32 × 32": (32, cosine), "256 × 256": (256, cosine), "256 × 256, shifted": (256, shifted(cosine, 8))}
with plt.style.context("ancestral.render.figures"):
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.4), sharey=True, layout="constrained")
    for axis, (title, (side, schedule)) in zip(axes, shown.items(), strict=True):
        snr = schedule.snr[1:, None] * P[side][1:]
        known = (snr / (1 + snr)).T  # the share of the variance of each band that x_t tells
        mesh = axis.pcolormesh(range(1, 1001), range(1, side // 2 + 1), known, vmin=0, vmax=1, cmap="viridis")
        axis.set(title=title, xlabel="t", yscale="log", ylim=(1, 128))
        axis.grid(False)
    axes[0].set_ylabel("k, cycles per image")
    figure.colorbar(mesh, ax=axes, label="known share")
    plt.show()
half = {title: int((s.snr[1:] * P[side][4] > 1).sum()) for title, (side, s) in shown.items()}
print("waves of 4 cycles disappear in the noise at t =", half)
course.expect(380 < half["32 × 32"] < 400)
course.expect(880 < half["256 × 256"] < 900)
course.expect(abs(half["256 × 256, shifted"] - half["32 × 32"]) <= 5)

# %% [markdown]
# Each point of the figure is the share of the variance of a band that can be known from $x_t$. By the **law of total
# variance**, $\mathrm{Var}(x_0) = \mathrm{Var}\big(\mathbb E[x_0|x_t]\big) + \mathbb E\,\mathrm{Var}(x_0|x_t)$: what is
# known, and what remains open. For Gaussian waves the first term has the share $\mathrm{SNR}/(1 + \mathrm{SNR})$. Read
# the figure from right to left, as sampling goes: at the yellow border a band is decided. With 32 × 32 pixels the waves
# of 4 cycles are decided at $t \approx 390$. With 256 × 256 and the same schedule it is $t \approx 890$: the layout of
# the whole image is decided in the first tenth of the reverse process, and the other nine tenths go to details. With
# the shift the lower part of the figure is that of the small image again.
#
# ## 6. An exact denoiser for fields
#
# To see whether it matters, we need a denoiser that is not to blame for errors. *Gaussian fields* are images whose
# waves are independent Gaussian numbers with the variances $P_k$. They have the spectrum of photographs, and look like
# clouds. For them $\mathrm E[x_0 \mid x_t]$ is known exactly, wave by wave.
#
# ### Exercise 4: the denoiser of Gaussian fields
#
# If two Gaussian numbers have mean 0, the best estimate of the first from the second is their covariance, divided by
# the variance of the second, times the second. Apply this to one wave of $x_0$ and of $x_t = a\,x_0 + b\,\varepsilon$.
# The first has the variance $P$, and the noise has the variance 1 in each wave (section 5). By which factor is the wave
# of $x_t$ multiplied? Two cases test it: $b = 0$, where $x_t$ says all, and $P = 0$, where it says nothing.
#
# Then transform $x_t$ to waves, multiply each by its factor, and transform back (`torch.fft.ifft2`, `.real`). `power`
# is $P$ for each frequency, in the order of `fft2`.


# %% tags=["exercise"]
def wiener(x_t, power, a, b):
    """E[x_0 | x_t] for x_t = a x_0 + b ε (B, C, N, N); the waves of x_0 have mean 0 and variances power (N, N)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(12, wiener))
right_wiener = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def wiener(x_t, power, a, b):
#     waves = torch.fft.fft2(x_t)
#     return torch.fft.ifft2(a * power / (a**2 * power + b**2) * waves).real
# ```
# </details>
#
# In each wave $x_t$ has the variance $a^2 P + b^2$, since $x_0$ and the noise are independent. Its covariance with
# $x_0$ is $a P$. So the factor is $aP/(a^2 P + b^2)$: $1/a$ without noise, and near 0 where the noise is stronger than
# the data. In signal processing this is the *Wiener filter*.
#
# The package has this denoiser, too: `oracle.Gaussian` is exact for data with *independent* elements of any standard
# deviations. Pixels are not independent, but waves are. The *Hartley transform*, real part minus imaginary part of the
# Fourier transform, has real coefficients, is orthonormal, and is its own inverse. In it everything is diagonal: noise
# stays noise, the denoiser is `oracle.Gaussian`, and every sampler of the package applies as it is.


# %%
def hartley(x):
    """Images to real coefficients of waves, and back."""
    waves = torch.fft.fft2(x, norm="ortho")
    return waves.real - waves.imag


def deviations(side):
    """The standard deviation (side, side) of each wave: that of the photographs."""
    curve = P[side].clone()
    curve[0] = side**2 * images.mean((2, 3)).var()  # the mean brightness varies around its own mean
    return curve[radius(side).clamp(max=side // 2)].sqrt()


def sampled(side, schedule, steps, white):
    """Coefficients of fields, by DDIM with the exact denoiser, from noise (B, side, side)."""
    exact = oracle.Gaussian(schedule, 0.0, deviations(side))
    return samplers.DDIM(steps=steps, clip=None).sample(exact, white)


g = torch.Generator().manual_seed(3)
white = {side: torch.randn(3, side, side, dtype=torch.float64, generator=g) for side in (32, 256)}
x = hartley(white[32])
course.expect(torch.allclose(hartley(x), white[32]))
noisy = torch.randn(3, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
by_filter = right_wiener(noisy, deviations(32) ** 2, *cosine.at(500))[:, 0]
by_oracle = hartley(oracle.Gaussian(cosine, 0.0, deviations(32)).predict(hartley(noisy[:, 0]), 500).x0)
print(f"largest difference of exercise 4 from oracle.Gaussian: {(by_filter - by_oracle).abs().max():.0e}")
course.expect(torch.allclose(by_filter, by_oracle))
STEPS = 25
rows = {
    "true": white[256] * deviations(256),
    "cosine": sampled(256, cosine, STEPS, white[256]),
    "shifted": sampled(256, shifted(cosine, 8), STEPS, white[256]),
}
course.show([hartley(row)[:, None] / 2 for row in rows.values()], labels=list(rows), size=1.0)

# %% [markdown]
# Each column has one noise $x_T$. The first row shows what it should become: with an exact denoiser, DDIM with very
# many steps multiplies each wave by its standard deviation. The second row has 25 steps of the cosine schedule, and the
# third 25 steps of the shifted one. In the second, large structures are missing: 25 steps are few for what is decided
# within the first tenth of the times. In numbers, the standard deviation of the samples in each band divided by the
# true one:

# %%
bands = (1, 2, 4, 8, 16)
quotients = {}
for title, (side, schedule) in shown.items():
    one = torch.ones(1, side, side, dtype=torch.float64)  # a wave of size 1 becomes its standard deviation
    quotient = (sampled(side, schedule, STEPS, one) / deviations(side))[0, 0]
    quotients[title] = quotient[: side // 2]
    print(f"{title:20}", "  ".join(f"k = {k}: {quotient[k]:.2f}" for k in bands if k < side // 2))
course.expect(0.4 < quotients["256 × 256"][1] < 0.5)
course.expect(torch.allclose(quotients["256 × 256, shifted"][1:9], quotients["32 × 32"][1:9], atol=0.015))
course.expect(quotients["256 × 256, shifted"][16] < quotients["256 × 256"][16] - 0.1)

# %% [markdown]
# With the shift the large fields are sampled like the small ones: in the bands that both have, the two rows nearly
# agree. Without it waves of one cycle keep less than half of their size. More steps would help (the error falls with
# their number), but the shift costs nothing. The finest waves come out a little weaker with it: the last steps, which
# decide them, are now longer ones. *Simple diffusion* therefore interpolates: the shifted curve at high noise, the
# unshifted one at low noise.
#
# ### The end of the schedule
#
# The largest structure of all is the mean brightness, $k = 0$. With DDPM's linear schedule $a_T^2 = 4 \cdot 10^{-5}$,
# which is as good as nothing for 32 × 32 pixels. But the power of the mean grows with $N^2$. If the means of images
# have the standard deviation $\sigma$, then at $t = T$ the coefficient has the variance $a_T^2 N^2\sigma^2 + b_T^2$.
# Sampling starts with variance 1 instead, so even with an exact denoiser and all 1,000 steps the means of the samples
# vary too little, by the factor $1/\sqrt{a_T^2 N^2 \sigma^2 + b_T^2}$:

# %%
sigma = images.mean((2, 3)).std().item()
linear = schedules.linear()
a_T, b_T = linear.at(1000)
factors = {}
for side in (32, 256, 1024):
    exact = oracle.Gaussian(linear, 0.0, side * sigma)
    mean = samplers.DDIM(steps=1000, clip=None).sample(exact, torch.ones(1, 1, dtype=torch.float64)).item()
    factors[side] = mean / (side * sigma)
    formula = 1 / math.sqrt((a_T * side * sigma) ** 2 + b_T**2)
    print(f"{side:4} × {side:4}: means of samples vary {factors[side]:.3f} times as much as those of data", end="; ")
    print(f"formula {formula:.3f}")
    course.expect(abs(factors[side] / formula - 1) < 0.01)
course.expect(factors[32] > 0.97)
course.expect(0.78 < factors[256] < 0.86)
course.expect(0.3 < factors[1024] < 0.4)

# %% [markdown]
# So at 256 × 256 samples are neither as bright nor as dark as the data, and at 1024 × 1024 all have nearly the same
# brightness. Three cures: a schedule that ends without signal (`--zero-terminal-snr`, with a target other than
# $\varepsilon$), a cosine schedule, whose $a_T$ is 130 times smaller, or the shift.
#
# Why, then, do the presets `photos128`, `photos256` and `ddpm256` have the linear schedule, and `photos64` the cosine
# one? By what factor would the cosine schedule have to be shifted to reach the linear one?

# %%
ratio = ((cosine.snr[1:].log() - linear.snr[1:].log()) / 2).exp()
for t in (200, 400, 500, 600):
    print(f"t = {t}: the linear schedule is the cosine schedule shifted by r = {ratio[t - 1]:.1f}")
print(f"a_T of the linear schedule / a_T of the cosine schedule: {a_T / cosine.at(1000)[0]:.0f}")
course.expect(2.0 < ratio[199] < 2.3)
course.expect(2.6 < ratio[399] < 2.9)
course.expect(3.2 < ratio[499] < 3.6)
course.expect(125 < a_T / cosine.at(1000)[0] < 135)
course.expect(
    [config.preset(f"photos{side}").process.schedule for side in (64, 128, 256)] == ["cosine", "linear", "linear"]
)
course.expect(config.preset("ddpm256").process.schedule == "linear")

# %% [markdown]
# In the middle of the process the linear schedule *is* a cosine schedule for images that are two to three and a half
# times as large. Improved DDPM introduced the cosine schedule for 64 × 64 and smaller, where the linear one wastes its
# end on noise. At 128 and more the linear one fits better. With a shift you can choose the ratio yourself; from
# Python any schedule can be given:
#
# ```python
# ancestral.train("folder", data="photos/", image_size=256, schedule=shifted(schedules.cosine(), 8))
# ```
#
# ## 7. What to predict
#
# A patch of 16 × 16 pixels in colour has 768 numbers. The transformer of the package makes a token of 192 features of
# it. Can 768 numbers be predicted by 192? It depends on which numbers.
#
# ### A toy
#
# Take points $y$ on a circle, and hide them in 256 dimensions: $x = Q y$ with a matrix $Q$ of two orthonormal columns,
# chosen at random. The data are as simple as before, and lie on a plane in a large space. Noise fills all 256
# dimensions. The network is the package's MLP with 64 features. We train it three times, to predict $x_0$, $v$ and
# $\varepsilon$, and project its samples back by $Q^\top$. (The loop is that of lesson 1. The same with the
# points in two dimensions is the comparison.)


# %%
angle = 2 * math.pi * torch.rand(4000, generator=torch.Generator().manual_seed(0))
circle = torch.stack([angle.cos(), angle.sin()], dim=1)
steps, batch, features = 10 if QUICK else 1000, 256, 64


def fit(x, target):
    """A denoiser of points x, trained with a target, and its loss at the end."""
    torch.manual_seed(0)
    net = nets.MLP(x.shape[1], width=features, layers=3)
    denoiser = Diffusion(net, schedules.linear(), target)
    optimiser = torch.optim.Adam(net.parameters(), lr=4e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    order = torch.randint(len(x), (steps, batch), generator=torch.Generator().manual_seed(1))
    losses = []
    for step in range(steps):
        _, each = denoiser.losses(x[order[step]], step=step, seed=0)
        optimiser.zero_grad()
        each.mean().backward()
        optimiser.step()
        decay.step()
        losses.append(each.mean().item())
    return denoiser, sum(losses[-100:]) / len(losses[-100:])


toy = {}
for dimensions in (2, 256):
    g = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(dimensions, 2, generator=g)).Q
    clouds = {"data": circle}
    for target in (targets.X0, targets.V, targets.EPS):
        denoiser, loss = fit(circle @ Q.T, target)
        x_T = torch.randn(1000, dimensions, generator=torch.Generator().manual_seed(0))
        x = samplers.DDIM(steps=50, clip=None).sample(denoiser, x_T)
        clouds[f"{target.name}, D = {dimensions}"] = x @ Q
        off = (x - x @ Q @ Q.T).norm(dim=1).median().item()
        near = (((x @ Q).norm(dim=1) - 1).abs() < 0.1).float().mean().item()
        toy[dimensions, target.name] = loss, off, near
        print(f"D = {dimensions:3}, predicts {target.name:4} loss {loss:.3f}, ", end="")
        print(f"median distance from the plane {off:7.3f}, nearer than 0.1 to the circle {near:.0%}")
    course.scatter(clouds, limit=1.5, size=1.8)
if not QUICK:
    course.expect(all(toy[2, name][2] > 0.85 for name in ("x0", "v", "eps")))
    course.expect(toy[256, "x0"][1] < 0.05)
    course.expect(toy[256, "x0"][2] > 0.95)
    course.expect(toy[256, "v"][2] < 0.3)
    course.expect(13 < toy[256, "v"][1] < 14.5)
    course.expect(2000 < toy[256, "eps"][1] < 2400)
    course.expect(toy[256, "eps"][2] < 0.05)

# %% [markdown]
# In two dimensions all three work. In 256 the prediction of $x_0$ still does, and the other two fail completely (the
# samples of the last lie far outside of the picture), although the three predictions are linear functions of each other
# if $x_t$ is known. Li and He (*Back to basics: let denoising generative models denoise*, arXiv 2511.13720, 2025) made
# this experiment. What is the difference?
#
# ### A floor of the loss
#
# The last layer is linear. Whatever the layers before do, the output is $W h + c$ with 64 features $h$, so it lies in a
# subspace of 64 dimensions of the 256 (shifted by $c$). The target $p\,x_0 + q\,\varepsilon$ does not.
#
# ### Exercise 5: the floor
#
# How small can the mean squared error over the $D$ elements be if the last layer has `width` inputs, however good the
# layers before it are? Let the data have the variances $\lambda_1, \dots, \lambda_D$ along orthogonal directions (their
# principal components), and the noise the variance 1 in every direction.
#
# 1. Which variance has the target $p\,x_0 + q\,\varepsilon$ in each direction?
# 2. Suppose that the output is right in `width` of the directions, and constant in all others. Which directions should
#    be right?
# 3. What remains as an error? It is a sum over the other directions, and the loss is a mean over all $D$ elements.
#
# Two cases test it: with `width` $= D$ the floor is 0, and for $p = 0$, $q = 1$ it is the same for all data.


# %% tags=["exercise"]
def loss_floor(variances, p, q, width):
    """Least mean squared error, a scalar, for data variances (D,) in any order and the target p x_0 + q ε."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(12, loss_floor))
right_loss_floor = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def loss_floor(variances, p, q, width):
#     target = (p**2 * variances + q**2).sort(descending=True).values
#     return target[width:].sum() / len(target)
# ```
# </details>
#
# The target has the variances $p^2\lambda_i + q^2$, since noise has the variance $q^2$ in every direction. The best
# that a layer with `width` inputs can do is to represent the `width` directions of largest variance without error. The
# variance of all others stays as an error, and the mean squared error over the $D$ elements is at least their sum
# divided by $D$. (Orthogonal directions preserve sums of squares, so the sum over the elements is the sum over the
# directions.)
#
# For $\varepsilon$ the floor is $(D - 64)/D$ at all times, 0.75 for 256 dimensions; a network that always answers 0 has
# a loss of 1. For $v$ the floor is the same times $a_t^2$. For $x_0$ it is 0, since only two of the variances are not
# 0.


# %%
def floor_of(variances, p, q, width):
    """The floor of exercise 5 as a number."""
    return float(right_loss_floor(variances, p, q, width))


plane = torch.zeros(256, dtype=torch.float64)
plane[:2] = torch.linalg.eigvalsh(circle.double().T.cov())
for target in (targets.X0, targets.V, targets.EPS):
    curve = [(target.p(*linear.at(t)), target.q(*linear.at(t))) for t in range(1, 1001)]
    least = sum(floor_of(plane, p, q, features) for p, q in curve) / 1000
    print(f"{target.name:4} floor {least:.3f}, loss of the trained network {toy[256, target.name][0]:.3f}")
    if not QUICK:
        course.expect(toy[256, target.name][0] > least - 0.01)
        course.expect(toy[256, target.name][0] - least < 0.05)

# %% [markdown]
# The networks have nearly reached their floors. The two that fail are not trained badly: they *cannot* answer, whatever
# their depth. Even the distances from the plane follow. In the 192 directions that the last layer does not reach, the
# answer is about 0. With $\hat v = 0$ a step of DDIM leaves $x$ nearly as it is, so the noise in these directions
# stays: its length is about $\sqrt{192} = 13.9$. With $\hat\varepsilon = 0$ each step divides by $a_t$ and multiplies
# by $a_s$, and the noise grows by the factor $1/a_T = 157$, to about 2,180.
#
# The network that predicts $x_0$ gets $\hat\varepsilon = (x_t - a\,\hat x_0)/b$ in all 256 dimensions for free, by the
# one line of algebra behind it: $x_t$ is known and need not pass through the network.
#
# ### Patches of real images
#
# Are patches of photographs like the toy? Their variances along principal components are the eigenvalues of their
# covariance matrix. We take all patches of our three photographs.


# %%
def patches(photo, size):
    """Overlapping patches (count, 3 · size²) of a photograph."""
    return photo.unfold(1, size, size // 2).unfold(2, size, size // 2).permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)


components = {}
for size, narrow in ((4, 192), (8, 192), (8, 32), (16, 192)):
    if size not in components:
        cut = torch.cat([patches(photo, size) for photo in photos])
        values, directions = torch.linalg.eigh(cut.T.cov().double())
        components[size] = values.flip(0).clamp(min=0), directions.flip(1).float(), cut.mean(0)
    values = components[size][0]
    enough = int((values.cumsum(0) < 0.99 * values.sum()).sum()) + 1
    floors = [floor_of(values, p, q, narrow) for p, q in ((1, 0), (0, 1))]
    print(f"patch {size:2}: {len(values):3} numbers, 99 % of the variance in {enough:3}; ", end="")
    print(f"floor with {narrow:3} features: x_0 {floors[0]:.4f}, ε {floors[1]:.2f}")
course.expect(115 < enough < 125)
course.expect(round(floors[1], 2) == 0.75)
course.expect(floors[0] < 0.003)
course.expect(round(floor_of(components[8][0], 0, 1, 32), 2) == 0.83)
course.expect(0.004 < floor_of(components[8][0], 1, 0, 32) < 0.006)

# %%
with plt.style.context("ancestral.render.figures"):
    figure, axis = plt.subplots(figsize=(5.5, 2.6))
    for size, (values, _, _) in components.items():
        axis.loglog(torch.arange(1, len(values) + 1), values, label=f"patches of {size} × {size}")
    axis.axhline(1, color="0.5", linestyle=":", label="noise")
    axis.set(xlabel="principal component", ylabel="variance")
    axis.legend(loc="lower left")
    plt.show()


def through(image, size, kept):
    """An image (or noise) whose patches keep their first principal components alone."""
    _, directions, mean = components[size]
    folded = fold(image[None], size)
    flat = folded.flatten(2).mT - mean
    flat = flat @ directions[:, :kept] @ directions[:, :kept].T + mean
    return unfold(flat.mT.reshape(folded.shape), size)[0]


course.expect([config.preset(name).process.target for name in ("folder", "arrays")] == ["x0", "x0"])
course.expect({config.preset(name).process.target for name in ("photos64", "photos256", "ddpm256")} == {"eps"})
course.expect(all(config.preset(name).net.patch == 1 for name in ("photos64", "photos256", "ddpm256")))
course.expect(all(config.preset(name).net.width == 128 for name in ("photos64", "photos256", "ddpm256")))
pair = images[1], torch.randn(images[1].shape, generator=torch.Generator().manual_seed(0)) / 2
columns = ["as it is", "patch 16:\n192 of 768", "patch 8:\n32 of 192"]
kept = [[x, through(x, 16, 192), through(x, 8, 32)] for x in pair]
course.show([[x[:, 24:72, 104:152] for x in row] for row in kept], columns, ["image", "noise"], size=1.5)
loss = [[(x - row[0]).square().mean() / row[0].var() for x in row[1:]] for row in kept]
for name, row in zip(("image", "noise"), loss, strict=True):
    print(f"lost of the variance of the {name}:", ", ".join(f"{share:.1%}" for share in row))
course.expect(loss[0][1] < 0.02)
course.expect(0.74 < loss[1][0] < 0.76)

# %% [markdown]
# Photographs do not lie on a plane, but near one. The variances fall over several powers of ten, and 99 % of the
# variance of patches of 16 × 16 is in about 120 of 768 directions. So 192 features lose next to nothing of $x_0$, and
# three quarters of $\varepsilon$: in the figure (a part of the image, enlarged) the image hardly changes, and most of
# the noise is gone.
#
# The last column is the network that a CPU gets for 256 × 256 pixels: patches of 8 × 8, and 32 features at its first
# level. Here a little is lost of the image, too, as the detail shows. That is the price of a patch. (The last layer of
# the U-Net is a convolution, which sees 3 × 3 positions. It still has 32 numbers at each position to make 192 of, so
# the floor of $\varepsilon$ is the same.)
#
# So the larger the patch is, compared with the features, the more it matters to predict $x_0$. The presets `folder` and
# `arrays`, whose networks have patches, predict $x_0$. The presets `photos64` to `photos256` and `ddpm256` have no
# patch and 128 features for each pixel, so that they can predict $\varepsilon$, as the paper does.
#
# ### The transformer, on patches of 256 numbers
#
# Now the same with the package's transformer, on digits that are enlarged to 64 × 64 pixels. A patch of 16 × 16 is a
# token, and each image has 16 of them. With 64 features the floor for $\varepsilon$ is $(256 - 64)/256 = 0.75$ once
# more. The images are twice as large as those of the preset and have no new details, so the schedule is shifted by 2.

# %%
mnist = ancestral.data.load("digits")
digits = F.interpolate(F.pad(mnist.codec.encode(mnist.items), (2, 2, 2, 2), value=-1), size=64, mode="bilinear")
digits = digits[::10] if QUICK else digits
labels = mnist.labels[::10] if QUICK else mnist.labels
variances = torch.linalg.eigvalsh(fold(digits, 16).flatten(2).mT.flatten(0, 1).T.cov().double())
settings = {"width": 64, "depth": 3, "heads": 2, "patch": 16, "batch_size": 32, "lr": 2e-3, "ema": 0.99}
settings |= {"optimiser": "adam", "steps": 5 if QUICK else 900, "clip": False, "preview_steps": 1, "threads": 1}
rows, losses = [], {}
for target in (targets.X0, targets.EPS):
    run = ancestral.train(
        "arrays",
        (digits, labels),
        net="transformer",
        target=target.name,
        schedule=shifted(cosine, 2),
        out=RUNS / target.name,
        progress=False,
        trackers=(),
        **settings,
    )
    losses[target.name] = run.loss
    least = floor_of(variances, target.p(1.0, 0.0), target.q(1.0, 0.0), 64)
    print(f"predicts {target.name:4} loss {run.loss:.3f}, floor {least:.4f}; {run.parameters:,} parameters")
    rows.append(run.model.sample(10, steps=4 if QUICK else 25, seed=0))
course.show(rows, titles=[str(label) for label in range(10)], labels=["$x_0$", "ε"], size=0.55)
if not QUICK:
    course.expect(0.74 < losses["eps"] < 0.8)
    course.expect(losses["x0"] < 0.12)

# %% [markdown]
# The same network, data, schedule and number of steps. One run gives digits, some of them broken after so short a run.
# The other one gives noise: its loss stands on the floor.
#
# ### Cost and patch
#
# A transformer on patches is the other way to large images. Its cost depends on the number of tokens alone: twice the
# side with twice the patch leaves it the same. Li and He take patches of 16 × 16 at 256 × 256 and of 32 × 32 at 512 ×
# 512, with a *bottleneck* of 128 features between the 768 or 3,072 numbers of a patch and the token, and noise that is
# twice as large at 512 × 512, which is the shift of section 5. The network of their base size, counted:

# %%
print(HEAD)
base = {"width": 768, "depth": 12, "heads": 12, "bottleneck": 128}
counts = {}
for side, size in ((256, 16), (512, 32)):
    net = build((3, side, side), base | {"patch": size}, "transformer")
    counts[side] = print_costs(f"{side} × {side}, patch {size}", net, (3, side, side))
course.expect(1.0 < counts[512][1] / counts[256][1] < 1.1)
course.expect(9 < presets["ddpm256"][1] / counts[256][1] < 11)

# %% [markdown]
# Four times as many pixels cost a few per cent more, in the first and the last layer. And at 256 × 256 it is about a
# tenth of the multiply-adds of `ddpm256`, with more parameters. On the command line:
#
#     ancestral train --data photos/ --image-size 256 --net transformer --patch 16 --schedule flow --weighting velocity
#
# A patch is a fixed map from a block of pixels to channels, which loses nothing. An *autoencoder* learns such a map, to
# fewer numbers: these are **latents**, and lesson 17.
#
# ## 8. What to do at which size
#
# | what grows | by how much, if the side doubles | what to do |
# |---|---|---|
# | multiply-adds and activations of the first level | × 4 | patches on a CPU; more levels, narrow at the top |
# | self-attention | × 16 | at 16 × 16 and below, or on tokens of large patches |
# | memory of a step | × 4 | a smaller batch, or `--micro-batch` |
# | signal-to-noise ratio of each band | × 4 | shift $\ln$ SNR by $-2 \ln 2$, or take a schedule with more noise |
# | signal left at $t = T$ | × 4 | `--zero-terminal-snr`, a cosine schedule, or the shift |
# | numbers in a patch, if it doubles too | × 4 | predict $x_0$, or take more features |
# | all of these | | latents of an autoencoder, `--latent 4`, and its loss |
#
# And the commands:
#
#     ancestral doctor photos/ --image-size 64                        # what is chosen, time and memory
#     ancestral train --data photos/ --image-size 64 --steps 10000    # hours on a CPU
#     ancestral train photos64 --data photos/ --out runs/photos64     # days on a GPU; photos128, photos256, ddpm256
#
# The pages *Larger images* and *Choose a network* of the site have measured times and memory of these networks.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **More steps.** In section 6, `STEPS = 25` → `STEPS = 100`. The large structures of the second row come back, as
#   more of the steps lie where they are decided. Seconds more.
# * **A wide network.** In section 7, `else 1000, 256, 64` → `else 1000, 256, 512`. With more features than the 256
#   values, a network can pass $\varepsilon$ on: its loss for $D = 256$ falls, and the samples come nearer to the
#   plane. Several times as long.
# * **A shorter training.** In section 7, `"steps": 5 if QUICK else 900` → `"steps": 5 if QUICK else 300`. The network
#   that predicts $x_0$ has digits already, the other has not. A third of the time.
