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
# # Your own images
#
# You have a folder of images and want a model of them. Five things can go wrong on the way, and most of them are not
# in the network: the data have faults, the run stops in the middle, the samples are judged by eye, the judge is a
# number without an error, or the model has memorised the images. This lesson goes the whole way with a small
# folder, and for each of the five you write the check yourself and compare it with what the package says.
#
# You should have done lesson 1. Every step is shown in Python, and as the line that does the same on the command line.
# With images of your own, `photos/` is your folder.

# %%
from importlib.util import find_spec
from pathlib import Path

if find_spec("ancestral_course") is None:  # as in a fresh Colab; where the course is installed, this cell does nothing
    packages = " ".join(str(path) for path in Path().glob("ancestral*.whl")) or "ancestral-course"
    print(f"installing {packages}")
    # %pip install --quiet {packages}

# %%
import colorsys
import math
import os
import tempfile
import warnings
from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as F

import ancestral
import ancestral_course as course
from ancestral.metrics import distances, neighbours, uncertainty

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs
_ = torch.manual_seed(0)
warnings.filterwarnings("ignore", "IProgress not found")  # of a progress bar that is not shown
COUNT = 500 if QUICK else 1000  # images

# %% [markdown]
# ## 1. A folder of images
#
# Here is the folder: 1,000 PNG files of 16 × 16 pixels, handwritten digits in a random colour each. The sub-folders 0
# to 9 are the *classes*, as the package reads them. Real folders have faults, so we plant some: an empty file, a text
# with the name of a picture, a file that was cut off, a tiny picture, a picture of one colour, and copies. One copy
# lies in the wrong class.

# %%
folder = Path(tempfile.mkdtemp())
photos = folder / "photos"
pixels, labels = course.mnist_data()  # 5,000 real MNIST digits, which the package holds: nothing is downloaded
grey = F.interpolate(torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28), size=16, mode="area")
chance = torch.Generator().manual_seed(0)
colours = torch.tensor([colorsys.hsv_to_rgb(hue, 0.7, 1.0) for hue in torch.rand(5000, generator=chance).tolist()])
coloured = (grey * colours[:, :, None, None]).round().to(torch.uint8)  # (5000, 3, 16, 16)
order = torch.randperm(5000, generator=chance)


def write_png(image, path):
    """Write an image (3, H, W) of bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


for number, index in enumerate(order[:COUNT].tolist()):
    write_png(coloured[index], photos / str(labels[index]) / f"{number:04}.png")

files = sorted(photos.rglob("*.png"))
(photos / "3" / "empty.png").write_bytes(b"")
(photos / "5" / "text.jpg").write_text("not an image")
(photos / "7" / "cut.png").write_bytes(files[COUNT // 2].read_bytes()[:150])
write_png(coloured[0][:, ::4, ::4], photos / "0" / "tiny.png")
write_png(torch.full((3, 16, 16), 200, dtype=torch.uint8), photos / "8" / "blank.png")
for number in (COUNT // 10, COUNT // 5, COUNT // 3):
    (files[number].parent / f"copy-of-{files[number].name}").write_bytes(files[number].read_bytes())
(photos / "9" / "wrong-class.png").write_bytes(files[COUNT // 4].read_bytes())
course.show([coloured[order[:12]] / 127.5 - 1])

# %% [markdown]
# ## 2. The doctor
#
# `ancestral doctor` reads every file to its end, as training would, and names what is wrong. In Python it is
# `inspect`, and returns a report. (`steps=0` leaves out the measurement of training time, which depends on your
# machine.)
#
#     ancestral doctor photos/ --image-size 16

# %%
report = ancestral.inspect(photos, image_size=16, steps=0, progress=False)
print("\n".join(str(report).splitlines()[1:-2]))
codes = {finding.code: len(finding.names) for finding in report.findings}
course.expect(report.count == COUNT + 6)
course.expect([codes[code] for code in ("unreadable", "tiny", "flat")] == [3, 1, 1])
course.expect((codes["duplicates"], codes["two_classes"]) == (4, 1))

# %% [markdown]
# Read it from the bottom of the table on. `✗` would be an *error*: nothing can be trained. `!` is a *warning*:
# something is lost, or will hurt. `·` is a *note*. Each line ends with what to do, and then names the files. All
# faults that we planted are there. What they mean for a model:
#
# * **Unreadable files** are skipped, so they cost nothing but themselves. If it were half of the folder, you
#   would want to know *before* a night of training.
# * **Copies** count twice in the training data, and images that are seen more often are memorised sooner.
# * **Two classes for one picture** contradict each other: the labels say that this image is a 9 and that it is not.
# * **A tiny image** is enlarged, and the model learns the blur.
#
# How does a program find exact copies? By the contents, not by names: two files are copies if all their pixels are the
# same.
#
# ### Exercise 1: copies by content
#
# For each image of a batch, return the index of the *first* image that has exactly the same pixels; an image without
# an earlier copy gets its own index. Comparing all pairs takes $N^2/2$ comparisons. A Python dictionary needs $N$: it
# may have the bytes of an image as a key (`image.numpy().tobytes()`).


# %% tags=["exercise"]
def first_copies(images):
    """Index (N,) of the first image with the same content, for uint8 images (N, C, H, W)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(9, first_copies))
right_first_copies = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def first_copies(images):
#     seen = {}
#     return torch.tensor([seen.setdefault(image.numpy().tobytes(), i) for i, image in enumerate(images)])
# ```
# </details>
#
# ### Splitting
#
# Part of the images will be held out of training, to compare with. If an image is in the training part and its copy is
# held out, the held-out part is no longer unseen, and every comparison with it is too good. So a split has to choose
# *groups of copies*, not images.
#
# ### Exercise 2: a split that keeps copies together
#
# `groups` is the result of exercise 1: images with the same number are copies. Choose about `share` of the groups at
# random (`torch.randperm(n, generator=generator)` is a random order), and hold out all of their images.
# `torch.isin(a, b)` says which entries of `a` are in `b`.


# %% tags=["exercise"]
def held_out_mask(groups, share, generator):
    """Mask (N,), True for held-out images, from group numbers (N,); copies are never on both sides."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(9, held_out_mask))
right_held_out_mask = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def held_out_mask(groups, share, generator):
#     numbers = groups.unique()
#     shuffled = numbers[torch.randperm(len(numbers), generator=generator)]
#     return torch.isin(groups, shuffled[: round(share * len(numbers))])
# ```
# </details>
#
# Both functions on 1,000 images, of which the first 200 are there twice:

# %%
with_copies = torch.cat([coloured[:1000], coloured[:200]])
numbers = right_first_copies(with_copies)
mask = right_held_out_mask(numbers, 0.1, torch.Generator().manual_seed(0))
print(f"{len(with_copies)} images in {len(numbers.unique())} groups: {mask.sum()} images are held out")
print(f"held-out images with a copy in the training part: {torch.isin(numbers[mask], numbers[~mask]).sum()}")
course.expect(len(numbers.unique()) == 1000 and not torch.isin(numbers[mask], numbers[~mask]).any())

# %% [markdown]
# The package's own split (`validation=0.1` below) chooses images, since it does not read millions of files to find
# copies. So do what the doctor says, and delete them first. Here the report does it: each finding has the names of its
# files.

# %%
for finding in report.findings:
    if finding.code in ("unreadable", "tiny", "flat", "duplicates"):
        for name in finding.names:
            (photos / name).unlink(missing_ok=True)
            print(f"deleted {name}: {finding.names[name]}")

clean = ancestral.inspect(photos, image_size=16, steps=0, progress=False)
print(f"\n{clean.count} images, {len([f for f in clean.findings if f.level != 'note'])} warnings")
course.expect(clean.count == COUNT)
course.expect(all(finding.level == "note" for finding in clean.findings))

# %% [markdown]
# (Of the four copies, the doctor names the later one of each pair in the order of the files. Look at your own files
# before you delete them.)
#
# ## 3. Training, and being interrupted
#
# A training run is a folder with its config, log, checkpoints and model. It may be stopped at any moment: by Ctrl-C,
# by a power failure, by a cluster that wants its machine back. `--resume` continues it.
#
#     ancestral train --data photos/ --image-size 16 --validation 0.1 --out runs/photos
#     ancestral train --out runs/photos --resume
#
# It continues *exactly*: batches, noise and times of step $k$ are functions of the seed and $k$, so a run that was
# stopped has the same weights as one that was not, to the last bit. Do not believe it, try it. `ancestral.train_steps`
# trains as `ancestral.train` does and yields the progress after each step. Whoever stops asking stops the run. The last
# checkpoint then was at step 10.

# %%
settings = {"data": photos, "image_size": 16, "width": 8, "batch_size": 8, "steps": 20, "save_every": 10}
settings |= {"sample_every": 20, "preview_steps": 1, "threads": 1, "trackers": ("none",)}
whole = ancestral.train("folder", out=folder / "whole", progress=False, **settings)

steps = ancestral.train_steps("folder", out=folder / "stopped", **settings)
for progress in steps:
    if progress.step == 15:
        break
steps.close()
checkpoints = [path.name for path in (folder / "stopped" / "checkpoints").iterdir()]
print("stopped after step 15; checkpoints:", *checkpoints)
course.expect(checkpoints == ["000010"])
resumed = ancestral.train("folder", out=folder / "stopped", resume=True, progress=False, **settings)

first, second = (dict(run.model.denoiser.net.named_parameters()) for run in (whole, resumed))
largest = max((first[name] - second[name]).abs().max().item() for name in first)
print(f"{len(first)} weight tensors, largest difference {largest}")
course.expect(largest == 0)
course.expect(all(torch.equal(first[name], second[name]) for name in first))

# %% [markdown]
# Steps 11 to 15 were computed twice, and the difference is 0. That matters more than comfort: results of a long run can
# be repeated and compared, whatever happened on the way.
#
# Now the real run, short but otherwise as you would do it. A tenth of the images is held out (`validation=0.1`).

# %%
run = ancestral.train(
    "folder",
    data=photos,
    out=folder / "runs",
    image_size=16,
    validation=0.1,
    steps=8 if QUICK else 400,
    batch_size=8 if QUICK else 32,
    width=8 if QUICK else 32,
    save_every=200,
    sample_every=400,
    preview_steps=8,
    threads=1,
    trackers=("none",),
    progress=False,
)
print(
    f"step {run.step}, validation loss {run.validation.validation:.3f}, of training items {run.validation.training:.3f}"
)
samples = run.model.sample(
    16 if QUICK else 256, steps=2 if QUICK else 10, seed=0
)  # bytes (N, 3, 16, 16), classes in turn
course.show((samples[:20] / 127.5 - 1).chunk(2), [str(label) for label in range(10)])
if not QUICK:
    course.expect(abs(run.validation.validation / run.validation.training - 1) < 0.2)

# %% [markdown]
# 400 steps are few. Most of the samples have the strokes of a digit, and a third is not the digit that
# their column asks for. The validation loss and the loss of training items are nearly the same: the network treats
# images that it has seen as it treats those that it has not. On the command line:
#
#     ancestral sample runs/photos -n 20 --steps 10
#
# ## 4. How good is it? A number, its error, and a floor
#
# "Looks good" is not a measurement, and three samples are no evidence. The usual number compares *distributions*: turn
# samples and data into features by a network that was trained to recognise images, and measure the distance between
# the two clouds of features. **FD**, the Fréchet distance, compares their means and covariances as if both were normal
# distributions (with the features of InceptionV3 it is called FID). **KID**, the kernel distance, averages over pairs
# of items, without such an assumption. 0 would be the same distribution.
#
#     ancestral evaluate runs/photos --samples --draw 256 --steps 10

# %%
extractor = "pixels" if QUICK else "lite0"  # the default: EfficientNet-Lite0, of ancestral[metrics]
result = ancestral.evaluate(
    run.model, data=photos, samples=len(samples), steps=2 if QUICK else 10, extractor=extractor, progress=False
)
print(result)
measured = result.samples.metrics
if not QUICK:
    course.expect(0.13 < measured["kernel"].value.value < 0.25)
    course.expect(0.01 < measured["kernel"].value.error < 0.04)
    course.expect(-0.04 < measured["kernel"].floor.value < 0.01)
    course.expect(185 < measured["frechet"].floor.value < 215)
    course.expect(195 < measured["frechet"].value.value < 225)
    course.expect(0.55 < result.samples.class_accuracy.samples.value < 0.7)
    course.expect(0.75 < result.samples.class_accuracy.data.value < 0.9)
    course.expect(result.samples.memorisation.pixels.share < 0.09)
    course.expect(-7 < result.samples.colour.levels < -3)

# %% [markdown]
# How to read the table. The column *to training data* has the distances from the samples to the training images. The
# column **floor** has the distances from *data to data*: what a perfect model would get. The number behind ± is the
# standard error.
#
# * **KID** is 0.18 ± 0.02, and its floor is −0.02 ± 0.01. The difference is many errors large: this model is not there
#   yet.
# * **FD** is of little use here. It is 210, and its floor 200, although the floor compares data with data. The last
#   line has the explanation: there are more features (1,280) than items (256 samples, and only 100 held-out images for
#   the floor). The next section takes it apart.
# * **Class accuracy**: a classifier finds the digit of the column in 63 % of the samples, and in 82 % of real images.
#   Guessing has 10 %.
# * **Memorisation** is 5 % within its error. Section 5 shows what that means.
# * **Mean of each channel**: the samples are darker than the data by up to 5 grey levels.
#
# What to do: train longer. 2,500 steps are the default, and this was a sixth of them.
#
# ### Why a floor, and why the number of samples matters
#
# Take data and data: two random halves of the *same* images. Their distance should be 0. Here it is, for several sizes
# of one half; the other one has 2,000 images that nobody trained on. The features are simple ones, the means of 4 × 4
# blocks of pixels, $d = 48$ numbers for each image.


# %%
def block_means(images):
    """Features (N, 48) of bytes (N, 3, 16, 16)."""
    return F.avg_pool2d(images.float() / 255, 4).flatten(1).double()


rest = block_means(coloured[order[1000:]])
large, pool = rest[:2000], rest[2000:]
sizes, floors, kernels = (60, 120, 250, 500, 1000), [], []
for n in sizes:
    parts = pool[:2000].split(n)[: 2 if QUICK else 8]
    values = [distances.frechet(distances.moments(part), distances.moments(large)) for part in parts if len(part) == n]
    floors.append(sum(values) / len(values))
    kernels.append(sum(distances.kernel(part, large) for part in parts if len(part) == n) / len(values))
absolute = [abs(value) for value in kernels]
course.plot(sizes, {"FD of data to data": floors, "absolute value of KID": absolute}, "n", kind="loglog", marker=".")
for n, floor, kernel in zip(sizes, floors, kernels, strict=True):
    print(f"n = {n:4}: FD {floor:.4f}, KID {kernel:+.5f}")
if not QUICK:
    course.expect(6 < floors[0] / floors[-1] < 20)
    course.expect(max(map(abs, kernels)) < 0.05 * floors[0])

# %% [markdown]
# FD is far from 0, and falls like $1/n$: with 60 images it is ten times as large as with 1,000, and nothing is
# different but the number of images. The reason is the covariance: estimated from few items, it is noisy, and noise in
# a covariance is a distance, always upwards. FD is *biased*. KID is around 0 at every $n$, sometimes below: it is
# *unbiased*.
#
# So: compare an FD only with an FD of the **same number of samples**, and with its floor. Take more samples than there
# are features, or rely on KID. A paper's FID of 3 with 50,000 samples and yours with 1,000 are different quantities.
#
# ### Exercise 3: KID
#
# KID is the *unbiased* estimate of the squared *maximum mean discrepancy* (MMD) of two distributions,
#
# $$\mathrm{MMD}^2 = \mathbb E\,k(x, x') + \mathbb E\,k(y, y') - 2\,\mathbb E\,k(x, y), \qquad
# k(x, y) = (x^\top y/d + 1)^3,$$
#
# where $x, x'$ are two *independent* draws of the first distribution, $y, y'$ two of the second one, and $d$ is the
# number of features. Of each there is one set, $x_1, \dots, x_n$ and $y_1, \dots, y_m$. Estimate the three means so
# that each is right on average. Which of the $n^2$ pairs $(x_i, x_j)$ are two independent draws, and how many are they?
# And of the $n m$ pairs $(x_i, y_j)$? A case that tests it: sets of the same distribution have to give 0 on average, so
# the result is sometimes negative. Write it with matrices; `k.diagonal()` is the diagonal of a matrix, and `k.sum()`
# the sum of all its entries.


# %% tags=["exercise"]
def kid(x, y):
    """The unbiased kernel distance, a scalar, of features x (n, d) and y (m, d)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(9, kid))
right_kid = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def kid(x, y):
#     def kernel(u, v):
#         return (u @ v.T / u.shape[1] + 1) ** 3
#
#     def within(u):
#         k = kernel(u, u)
#         return (k.sum() - k.diagonal().sum()) / (len(u) * (len(u) - 1))
#
#     return within(x) + within(y) - 2 * kernel(x, y).mean()
# ```
# </details>
#
# As a formula,
#
# $$\mathrm{KID} = \frac{1}{n(n-1)}\sum_{i\ne j} k(x_i, x_j) + \frac{1}{m(m-1)}\sum_{i\ne j} k(y_i, y_j)
# - \frac{2}{nm}\sum_{i,j} k(x_i, y_j) .$$
#
# Why $i \ne j$? An item and itself are not independent: an item is always similar to itself, and these pairs would make
# the sums within a set too large.
#
# ### The error of a number
#
# Sample again, and the number is another one. How much? The *standard error* is the standard deviation over such
# repetitions. For a mean of $n$ independent numbers it is $s/\sqrt n$. For anything else, the **jackknife** computes
# it from the one set that you have: leave out one item at a time, compute the statistic $\theta_i$ of the others, and
# look how far the $n$ values are apart.
#
# ### Exercise 4: the jackknife
#
# Sets with one item left out are nearly equal, so their differences are tiny. The sum of their squares needs a factor:
#
# $$\mathrm{SE} = \sqrt{c_n\sum_{i=1}^n (\theta_i - \bar\theta)^2}, \qquad \bar\theta = \frac1n\sum_i\theta_i .$$
#
# Find $c_n$ from the one statistic whose error you know, the mean of $n$ numbers $x_i$. What is
# $\theta_i - \bar\theta$ for it, in terms of $x_i - \bar x$? The formula has to give exactly $s/\sqrt n$, where
# $s^2 = \frac{1}{n-1}\sum_i (x_i - \bar x)^2$. Then write the error of any statistic.


# %% tags=["exercise"]
def jackknife_error(statistic, x):
    """The standard error of statistic(x), a scalar, for items x (N, ...) and a function of items to a scalar."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(9, jackknife_error))
right_jackknife_error = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def jackknife_error(statistic, x):
#     n = len(x)
#     values = torch.stack([statistic(torch.cat([x[:i], x[i + 1 :]])) for i in range(n)])
#     return ((n - 1) / n * (values - values.mean()).square().sum()).sqrt()
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# For the mean, $\theta_i = (n \bar x - x_i)/(n - 1)$, and $\bar\theta = \bar x$. So
# $\theta_i - \bar\theta = -(x_i - \bar x)/(n-1)$, and $\sum_i(\theta_i - \bar\theta)^2 = s^2/(n-1)$. It has to become
# $s^2/n$:
#
# $$\mathrm{SE} = \sqrt{\frac{n-1}{n}\sum_{i=1}^n (\theta_i - \bar\theta)^2} .$$
# </details>
#
# (The usual bootstrap, which draws $n$ items with replacement, is biased for these distances: the same item occurs
# twice, and a set with copies is farther away from the data.)
#
# Is the error that the package prints (`±`) true? Here nobody has to believe it: take 16 independent pairs of sets of
# 125 images of the data, and compare the standard deviation of their KID with the mean of the predicted errors.

# %%
pairs = list(zip(pool[:2000].split(125), large.split(125), strict=True))
estimates = [uncertainty.kernel(part, other) for part, other in pairs]
values = torch.tensor([float(right_kid(part, other)) for part, other in pairs])
course.expect(torch.allclose(values, torch.tensor([estimate.value for estimate in estimates]), atol=1e-5))
spread = values.std().item()
predicted = sum(estimate.error for estimate in estimates) / len(estimates)
print(f"KID of 16 pairs of sets: standard deviation {spread:.5f}, predicted error {predicted:.5f}")
part, other = pairs[0]  # the jackknife over the items of either set, the other set being fixed
of_part = float(right_jackknife_error(lambda items: right_kid(items, other), part))
of_other = float(right_jackknife_error(lambda items: right_kid(part, items), other))
print(f"of the first pair: {math.hypot(of_part, of_other):.5f} by exercise 4, {estimates[0].error:.5f} by the package")
course.expect(0.5 < spread / predicted < 1)

# %% [markdown]
# They agree, as far as a standard deviation of 16 numbers can tell (it has itself an error of about 18 %). The
# predicted error is somewhat too large, which is the careful side. The jackknife of the first pair is larger still.
# Where two sets have one distribution, nearly all of the error comes from pairs of items, and the jackknife counts a
# pair twice, once for each of its items. The package takes one of the two off.
#
# Use the errors like this: the difference of two models is significant if it is larger than twice
# $\sqrt{e_1^2 + e_2^2}$, with the two errors $e_1$ and $e_2$. `ancestral compare` marks the best value only then.
#
# ## 5. Has it memorised the images?
#
# Perfect samples have a simple explanation: copies. FD does not notice, since copies of the data are distributed like
# the data. To see what memorisation looks like, train a second model until it must happen: **12 images**, the same
# network, and some hundred steps. `validation=` is given other images here, so that the run itself can see it.

# %%
twelve, unseen = coloured[order[:12]], coloured[order[1000:1256]]
parrot = ancestral.train(
    "arrays",
    data=twelve,
    out=folder / "twelve",
    validation=unseen,
    steps=8 if QUICK else 500,
    decay="none",
    batch_size=12,
    width=8 if QUICK else 32,
    save_every=500,
    sample_every=4 if QUICK else 100,
    preview_steps=1,
    threads=1,
    trackers=("none",),
    progress=False,
)
copies = parrot.model.sample(16 if QUICK else 64, steps=2 if QUICK else 10, seed=0)
nearest = neighbours.nearest(copies.flatten(1), twelve.flatten(1))
course.show([copies[:10] / 127.5 - 1, twelve[nearest.index[:10]] / 127.5 - 1], labels=["sampled", "nearest"])
rows = [[*map(float, line.split(","))] for line in (folder / "twelve" / "validation.csv").read_text().split()[1:]]
steps, of_unseen, of_twelve, *_ = zip(*rows, strict=True)
course.plot(steps, {"validation loss": of_unseen, "loss of the 12 images": of_twelve}, "step", "loss", marker=".")
notes = folder / "twelve" / "notes.txt"
if not QUICK:
    print(notes.read_text())
    course.expect("the model begins to memorise" in notes.read_text())
    course.expect(of_unseen[-1] > min(of_unseen))
    course.expect(of_twelve[-1] == min(of_twelve))

# %% [markdown]
# The samples in the upper row are the training images in the lower row, some of them in another tint. The curves show
# how it came: the loss of the 12 images falls to the end, while that of unseen images rises from step 200 on. The run
# has written a note, which `ancestral train` also prints: it rises by more than three standard errors at two checks in
# a row, which is no accident. The note says what to do: stop here, take more data, or a smaller network.
# (`--validation 0.1` on the command line.)
#
# ### Your own check
#
# A distance alone says nothing: is 3 near? The comparison is with images of the same kind that the model has *never
# seen*. Take the distance of each held-out image to its nearest training image. Copies are nearer than nearly all of
# them. So choose a threshold that an unseen image falls below with a probability of about 5 %. The answer is the share
# of samples whose distance to their nearest training image is below the threshold. A model that copies nothing has
# about 5 %, a parrot has 100 %.
#
# ### Exercise 5: the share of samples that are too near
#
# Take the $k$-th smallest of the $m$ distances of held-out images for the threshold. Which $k$? Think of one more
# unseen image. Its distance is distributed like the $m$ others, so among all $m + 1$ it is equally likely to be the
# smallest, the second, and so on. What is the probability that it is below the $k$-th smallest of the *others*? Take
# the whole number $k$ for which this is nearest to 5 %, at least 1. A case that tests it: with 19 held-out images it is
# the nearest of them, and the probability is exactly 5 %.
#
# `torch.cdist(a, b)` has all distances of the rows of `a` and `b`. Strictly nearer counts.


# %% tags=["exercise"]
def share_too_near(samples, train, held_out):
    """Share of samples, a scalar, nearer to train than the 5 % nearest held-out images; floats (N, C, H, W) each."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(9, share_too_near))
right_share_too_near = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def share_too_near(samples, train, held_out):
#     def to_nearest(images):
#         return torch.cdist(images.flatten(1), train.flatten(1)).min(1).values
#
#     unseen = to_nearest(held_out)
#     threshold = unseen.sort().values[max(1, round(0.05 * (len(unseen) + 1))) - 1]
#     return (to_nearest(samples) < threshold).double().mean()
# ```
# </details>
#
# The whole check, step by step:
#
# 1. Compute the distances of the $m$ held-out images to their nearest training images, and sort them.
# 2. The threshold is the $k$-th smallest. One more unseen image is below it if it is one of the $k$ smallest of all
#    $m + 1$, which has the probability $k/(m + 1)$. So $k = \mathrm{round}(0.05\,(m + 1))$, at least 1.
# 3. The answer is the share of samples that are nearer to their nearest training image than the threshold.
#
# For both models, the check by hand beside that of the package, which does the same:


# %%
def by_hand(generated, train, held_out):
    """The share of exercise 5, and the medians of the distances behind it."""
    generated, train, held_out = generated.double(), train.double(), held_out.double()
    own = torch.cdist(generated.flatten(1), train.flatten(1)).min(1).values
    others = torch.cdist(held_out.flatten(1), train.flatten(1)).min(1).values
    return float(right_share_too_near(generated, train, held_out)), own.median().item(), others.median().item()


thousand = torch.stack([coloured[index] for index in order[:COUNT].tolist()])
shares = {}
for name, generated, train in (("1,000 images", samples, thousand), ("12 images", copies, twelve)):
    shares[name], own, others = by_hand(generated, train, unseen)
    package = neighbours.memorisation(generated.flatten(1), train.flatten(1), unseen.flatten(1))
    print(f"{name}: {shares[name]:.1%} of samples are too near; ", end="")
    print(f"without memorisation {package.expected:.1%} ± {package.error:.1%}")
    print(f"    median distance to the nearest training image: samples {own:.0f}, unseen images {others:.0f}")
    course.expect(shares[name] == package.share)

options = {"samples": len(copies), "steps": 2 if QUICK else 10, "extractor": "pixels", "progress": False}
judged = ancestral.evaluate(parrot.model, data=twelve, held_out=unseen, **options).samples.memorisation.pixels
print(f"evaluate says of the second: {judged.share:.1%}")
course.expect(judged.share == shares["12 images"])
if not QUICK:
    course.expect(0.03 < shares["1,000 images"] < 0.09)
    course.expect(shares["12 images"] > 0.98)

# %% [markdown]
# Of the samples of the first model 6 % are too near, within the error of the 5 % of unseen images. Of the second, all
# are. Your check, the package's function and `ancestral evaluate` give the same share.
#
# One trap: a model that makes blurs has samples near to everything, since a blur is an average. So look at samples
# first, and ask about copies when they are good. And the check must have images that are *unseen*: if copies of the
# training images are among them, the threshold is 0 and nothing can be below it. That is why section 2 came first.
#
# ## 6. What to do in each case
#
# | what you see | what it means | what to do |
# |---|---|---|
# | `doctor` names unreadable files | they are skipped | fetch them again, or delete them |
# | copies, or one picture in two classes | memorised sooner; the split leaks | delete all but one |
# | validation loss rises, that of training items falls | memorisation begins | stop there; more images; less `width` |
# | far more than 5 % of samples are too near | copies | as above; do not publish the model of private images |
# | FD far above the floor | the model is not there yet | train longer, or a larger `width` |
# | FD at the floor | nothing tells samples from data | check memorisation; if there is none, it is good |
# | two models less than two errors apart | no difference was shown | more samples |
# | a note of too few samples for FD | FD is far too large | rely on KID, or more samples than features |
#
# And the path once more, as commands:
#
#     ancestral doctor photos/ --image-size 32
#     ancestral train --data photos/ --image-size 32 --validation 0.1
#     ancestral train --out runs/photos --resume
#     ancestral sample runs/photos -n 64
#     ancestral evaluate runs/photos

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **More steps of the sampler.** In section 3, `16 if QUICK else 256, steps=2 if QUICK else 10` →
#   `16 if QUICK else 256, steps=2 if QUICK else 50`. Is the distance from real images smaller by more than its error?
#   Sampling takes five times as long.
# * **48 images to memorise.** In section 5, `twelve, unseen = coloured[order[:12]]` →
#   `twelve, unseen = coloured[order[:48]]`. The labels of the plots still say 12. After the same steps fewer samples
#   are copies. As long as before.
# * **A shorter training of the parrot.** In section 5, `steps=8 if QUICK else 500` → `steps=8 if QUICK else 200`. At
#   which step does the validation loss begin to rise? A part of the time.
