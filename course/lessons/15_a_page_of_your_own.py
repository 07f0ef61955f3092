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
# # A page of your own
#
# `ancestral export RUN --to html` writes one file. It opens in any browser without a network connection, and samples
# the model there: no Python, no PyTorch, no server. What has to be in such a file, and what can be left out? In this
# lesson you open it, and write what the browser does in plain arrays:
#
# * random numbers that are a function of a seed and an index, the same in every program and on every machine,
# * the estimate $\hat x_0$ and the loop of a sampler, from tables in the file,
# * the weights in fewer bits, and how far that moves the samples.
#
# You should have done lessons 1 and 6. A small network trains for half a minute. Six exercises come on the way, and
# they are the whole page except for its network and its buttons.

# %%
from importlib.util import find_spec
from pathlib import Path

if find_spec("ancestral_course") is None:  # as in a fresh Colab; where the course is installed, this cell does nothing
    packages = " ".join(str(path) for path in Path().glob("ancestral*.whl")) or "ancestral-course"
    print(f"installing {packages}")
    # %pip install --quiet {packages}

# %%
import base64
import gzip
import html
import json
import os
import re
import tempfile
import zlib
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

import ancestral
import ancestral_course as course
from ancestral import randomness, samplers

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 trains for a few steps only, to test that every cell runs

# %% [markdown]
# ## 1. One file
#
# We train the preset `digits`, with few steps, and export it. Both the run and the page are written into a temporary
# folder. To keep the page, and open it in your browser, replace `f"{folder}/page.html"` by `"page.html"`, twice.

# %%
with tempfile.TemporaryDirectory() as folder:
    run = ancestral.train(
        "digits",
        out=f"{folder}/digits",
        steps=4 if QUICK else 240,
        save_every=1000,
        sample_every=1000,
        trackers=("none",),
        progress=False,
    )
    ancestral.export(run.folder, to="html", out=f"{folder}/page.html", progress=False)
    page = Path(f"{folder}/page.html").read_text(encoding="utf-8")
model = run.model
print(f"{len(page) / 1e6:.1f} MB for {model.parameters:,} parameters")

# %% [markdown]
# HTML is text, and a browser does not execute a script of the type `text/plain`. So such scripts can hold anything that
# is written as text. Bytes are, in *base64*: 3 bytes become 4 characters out of 64. Before that they are compressed.

# %%
blocks = dict(re.findall(r'<script type="text/plain" id="(\w+)">(.*?)</script>', page, re.DOTALL))
PARTS = ("model", "programs", "kernels", "weights")
parts = {name: gzip.decompress(base64.b64decode(blocks[name])) for name in PARTS}
for name, content in parts.items():
    print(f"{name:8} {len(content):9,} bytes, {len(blocks[name]):9,} characters in the file")
code = len(page) - sum(len(blocks[name]) for name in PARTS)
print(f"{'all else':8} {'':15} {code:9,} characters: scripts, styles, text")
about = json.loads(parts["model"])
TABLES = {name: np.array(about[name]) for name in ("signal", "noise")}
TABLES |= {name: np.array(table) for name, table in about["tables"].items()}
T = len(TABLES["signal"]) - 1
print(f"shape {about['shape']}, classes {' '.join(about['classes'])}, T = {T}")
print("tables:", ", ".join(f"{name} ({len(table)})" for name, table in TABLES.items()))
course.expect(T == 1000 and (TABLES["signal"] == model.denoiser.schedule.signal.numpy()).all())

# %% [markdown]
# Four parts are data:
#
# * **model**: the shape and the units of the items, the names of the classes, and six tables. `signal` and `noise` are
#   $a_t$ and $b_t$ for $t = 0 \dots T$. The other four say for $t = 1 \dots T$ what the network gets and what it
#   answers.
# * **programs**: each network as a list of calls: here the denoiser, in a model of latents (lesson 17) also the two
#   halves of its autoencoder. PyTorch says which operations one evaluation consists of, and since all shapes are known,
#   each result has a fixed place in one memory.
# * **kernels**: these calls in WebAssembly, which browsers execute nearly as fast as compiled C. They are the same for
#   every model: convolution, normalisation, attention, and elementwise functions.
# * **weights**: nearly all of the file. We come back to them in section 4.
#
# There are no training data in it, no optimiser and no path of your machine. Look for yourself: it is all in `parts`.

# %%
program = json.loads(parts["programs"])["denoiser"]
calls = [name for name, *_ in program["calls"]]
print({name: calls.count(name) for name in sorted(set(calls), key=calls.count, reverse=True)})
print(f"{len(calls)} calls an evaluation, in a memory of {program['memory'] / 1e6:.1f} MB")
print("inputs:", {name: part["shape"] for name, part in program["inputs"].items()})
course.expect(set(program["inputs"]) == {"x", "index", "labels"})

# %% [markdown]
# ## 2. The same noise everywhere
#
# Sample 7 of seed 0 shall be the same picture in PyTorch and in the browser. So both need the same $x_T$, and the
# random generator of PyTorch is not in the browser. And there is more to ask for. Sample 7 shall not depend on whether
# samples 0 to 6 were drawn before, or in which batch it is. So there must be no *state* that each draw changes.
#
# Both come from one idea: a random number is a **function** of (seed, stream, number, index). The *stream* says what it
# is for: "prior" for $x_T$, "reverse" for the noise of a step. The *number* is the time $t$, or 0 for $x_T$. The
# *index* is that of the sample. All that is needed is a function that mixes bits well, such as the last lines of the
# generator SplitMix64. Each bit of its input changes each bit of its result with probability one half:

# %%
GAMMA, MASK = 0x9E3779B97F4A7C15, 2**64 - 1  # 2^64 divided by the golden ratio; numbers of 64 bits


def mix(z):
    """Mix the bits of a whole number from 0 to 2^64 − 1, or of an array of uint64."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


for z in (1, 2, 3):
    print(f"{z} -> {mix(z):064b}")
flips = [bin(mix(z) ^ mix(z ^ (1 << bit))).count("1") for z in range(1, 200) for bit in range(64)]
print(f"bits that change with one bit of the input: {np.mean(flips):.2f} of 64")
course.expect(abs(np.mean(flips) - 32) < 0.2)
print(f"the word of the stream prior: {zlib.crc32(b'prior'):,}")

# %% [markdown]
# ### Exercise 1: the key
#
# Four words become one number of 64 bits, the **key**: the seed, the stream as the CRC-32 of its name
# (`zlib.crc32(name.encode())`), the number and the index, in this order. Begin with 0. For each word, join it by XOR
# (`^`), add $\gamma$, keep 64 bits (`& MASK`), and mix. `GAMMA`, `MASK` and `mix` are those of the cell above.


# %% tags=["exercise"]
def key(seed, stream, number, index):
    """The key of whole numbers and the name of a stream: a Python int from 0 to 2^64 − 1."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(15, key))
right_key = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def key(seed, stream, number, index):
#     value = 0
#     for word in (seed, zlib.crc32(stream.encode()), number, index):
#         value = mix(((value ^ word) + GAMMA) & MASK)
#     return value
# ```
# </details>
#
# ### Exercise 2: normal numbers
#
# A key has as many words of 64 bits as one likes: word $j$ is $\mathrm{mix}(\text{key} \oplus \mathrm{mix}(j \gamma))$
# for $j = 0, 1, \dots$, with XOR for $\oplus$. Each makes two independent normal numbers, by the transform of Box and
# Muller. Its upper 32 bits, plus 1, divided by $2^{32}$, are a uniform number $u$ that is never 0; its lower 32 bits,
# divided by $2^{32}$, are a share of a whole turn. Then $\sqrt{-2 \log u}$ is the length of a vector of two normal
# numbers, and the share is its direction. Return first all cosines, then all sines, and of an odd count one sine less.
# Round $u$ to float32 before its logarithm, and the result to float32 at the end: two libraries may differ in the last
# digit of a logarithm or a cosine in float64, and that digit is rounded away.
#
# An array of `np.uint64` wraps modulo $2^{64}$ by itself, as in `np.arange(n, dtype=np.uint64) * np.uint64(GAMMA)`.


# %% tags=["exercise"]
def normals(key, count):
    """An array of `count` numbers from N(0, 1), in float32, of a key."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(15, normals))
right_normals = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def normals(key, count):
#     j = np.arange((count + 1) // 2, dtype=np.uint64)
#     words = mix(np.uint64(key) ^ mix(j * np.uint64(GAMMA)))
#     u = (((words >> np.uint64(32)) + np.uint64(1)) / 2**32).astype(np.float32).astype(float)
#     turn = (words & np.uint64(0xFFFFFFFF)) / 2**32
#     radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * turn
#     return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count].astype(np.float32)
# ```
# </details>
#
# With these two, $x_T$ of any sample of any seed is known to everybody. In the package it is `randomness.normal`, and
# in the page the same dozen lines in JavaScript, `normal` in `diffusion.js`:

# %%
D = int(np.prod(about["shape"]))


def noise(stream, number, indices, seed=0):
    """Normal numbers (B, C, H, W) of samples, by their indices."""
    rows = [right_normals(right_key(seed, stream, number, index), D) for index in indices]
    return np.stack(rows).reshape(-1, *about["shape"])


x_T = noise("prior", 0, range(20))
package = randomness.normal(about["shape"], 0, randomness.Stream.PRIOR, 0, range(20)).numpy()
print(f"largest difference from the package: {np.abs(x_T - package).max()}")
many = noise("prior", 0, range(2000)).ravel().astype(float)
print(f"mean {many.mean():.4f}, deviation {many.std():.4f}, fourth moment {(many**4).mean():.3f} (of N(0, 1): 3)")
course.expect((x_T == package).all() and abs(many.std() - 1) < 0.003)
course.expect((noise("prior", 0, [7]) == x_T[7:8]).all())  # whatever was drawn before

# %% [markdown]
# ## 3. The sampler in plain arrays
#
# The network is the only part that needs a library. Here PyTorch evaluates it; in the page the kernels do. It has
# three inputs: $x$ times a factor, `index` = $t - 1$, and the labels. Sample $i$ has class $i$ modulo 10, as in
# `ancestral sample`.

# %%
labels = torch.arange(20) % len(about["classes"])


def network(x, index, net=model.diffusion.net):
    """The answer of a network to arrays x (20, C, H, W) at index t − 1, as an array."""
    x = torch.from_numpy(x.astype(np.float32))
    with torch.no_grad():
        return net(x, torch.full((len(x),), index), labels=labels).double().numpy()


# %% [markdown]
# ### Exercise 3: the estimate
#
# The answer of the network, times `output_scale`, is an estimate of the target $p_t x_0 + q_t \varepsilon$, with
# $p_t$ in the table `target_x0` and $q_t$ in `target_eps`. And $x_t = a_t x_0 + b_t \varepsilon$, with $a_t$ in
# `signal` and $b_t$ in `noise`. These are two equations for $x_0$ and $\varepsilon$ (lesson 5): solve them for $x_0$.
#
# Mind where a table begins. `signal` and `noise` have entries for $t = 0 \dots T$, all others for $t = 1 \dots T$.


# %% tags=["exercise"]
def estimate(x, answer, t, tables):
    """x̂_0, an array like x, from x = x_t and the answer of the network at the time t, an int from 1 to T."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(15, estimate))
right_estimate = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def estimate(x, answer, t, tables):
#     a, b = tables["signal"][t], tables["noise"][t]
#     p, q = tables["target_x0"][t - 1], tables["target_eps"][t - 1]
#     return (q * x - b * tables["output_scale"][t - 1] * answer) / (a * q - b * p)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# $q$ times $a\,x_0 + b\,\varepsilon = x_t$ minus $b$ times $p\,x_0 + q\,\varepsilon = y$ leaves $(a q - b p)\,x_0 =
# q\,x_t - b\,y$, where $y$ is the answer times `output_scale`.
# </details>
#
# ### Exercise 4: the loop
#
# DDIM without fresh noise (lesson 6), for times that fall from $T$ to 0. At each time $t$ but the last:
#
# * evaluate the network *once*, at $x$ times its `input_scale` and at the index $t - 1$,
# * make $\hat x_0$, and clip it to $[-\text{clip}, \text{clip}]$,
# * find the $\hat\varepsilon$ that belongs to the clipped $\hat x_0$ by
#   $x_t = a_t \hat x_0 + b_t \hat\varepsilon$,
# * go to the next time $s$: $x_s = a_s \hat x_0 + b_s \hat\varepsilon$.


# %% tags=["exercise"]
def sampled(network, x, times, tables, clip):
    """Samples from x = x_T along the falling times, of which the last is 0; network(x, index) answers for arrays."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(15, sampled))
right_sampled = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def sampled(network, x, times, tables, clip):
#     signal, noise = tables["signal"], tables["noise"]
#     for t, s in zip(times, times[1:]):
#         answer = network(tables["input_scale"][t - 1] * x, t - 1)
#         x0 = estimate(x, answer, t, tables).clip(-clip, clip)
#         eps = (x - signal[t] * x0) / noise[t]
#         x = signal[s] * x0 + noise[s] * eps
#     return x
# ```
# </details>
#
# That is all of it. Is it the package?

# %%
STEPS = 4 if QUICK else 25
times = [round(T - i * T / STEPS) for i in range(STEPS)] + [0]  # "trailing": from T, evenly
course.expect(times == list(samplers.DDIM(STEPS).times(model.denoiser.schedule)))
mine = right_sampled(network, x_T, times, TABLES, 1.0)
theirs = model.sample(20, sampler="ddim", steps=STEPS, seed=0, decode=False).numpy()
course.show(
    [torch.from_numpy(mine[:10]), torch.from_numpy(mine[10:])],
    titles=about["classes"],
    labels=["0 to 9", "10 to 19"],
    size=0.7,
)
print(f"largest difference from model.sample: {np.abs(mine - theirs).max():.0e}, of a range of 2")
course.expect(np.abs(mine - theirs).max() < 1e-3)

# %% [markdown]
# The page does the same with the same numbers. If you kept it, choose DDIM with 25 steps and the seed 0 in it: you see
# these digits, and `ancestral sample` writes them too. A recipe of a few words, *model, seed, index, sampler*, says
# which picture you mean.
#
# ## 4. Fewer bits
#
# Nearly all of the file is weights. In float32 each takes 4 bytes, and random digits of a number do not compress. How
# many of the 32 bits does a sample need?
#
# The usual answer is float16, at half the size. It has 11 bits for the digits and 5 for the exponent. But the weights
# of one row (all that leads to one output channel) have about the same size, and need no exponent of their own: *one*
# scale for the row, and integers. So all bits are digits.
#
# ### Exercise 5: integers with a scale
#
# With $n$ bits, one of them for the sign, integers run from $-L$ to $L$ with $L = 2^{n-1} - 1$. Choose the scale of
# each row so that the largest absolute value of the row becomes $L$, take the nearest integers, and multiply by the
# scale again. A row may be all 0.


# %% tags=["exercise"]
def rounded(weight, bits):
    """The array (rows, columns) that integers of this number of bits can hold, with one scale for each row."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(15, rounded))
right_rounded = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def rounded(weight, bits):
#     levels = 2 ** (bits - 1) - 1
#     scale = np.abs(weight).max(1, keepdims=True) / levels
#     scale[scale == 0] = 1
#     return np.round(weight / scale) * scale
# ```
# </details>
#
# Now sample with networks whose weights were rounded, from the same noise. What moves, one estimate or the sample after
# 25 of them?


# %%
def rounded_network(change):
    """The network with its weights changed, except for vectors and small matrices."""
    net = deepcopy(model.diffusion.net)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.ndim > 1 and weight.numel() >= 256:
                rows = change(weight.flatten(1).double().numpy())
                weight.copy_(torch.from_numpy(np.asarray(rows, dtype=np.float32)).view_as(weight))
    return lambda x, index: network(x, index, net)


BITS = (8, 18) if QUICK else (6, 8, 10, 12, 14, 16, 18, 20)
changes = {bits: lambda rows, bits=bits: right_rounded(rows, bits) for bits in BITS}
changes["float16"] = lambda rows: rows.astype(np.float16)
first, last = {}, {}
samples = {}
for name, change in changes.items():
    other = rounded_network(change)
    x0, x0_other = (
        right_estimate(x_T, answer(x_T * TABLES["input_scale"][499], 499), 500, TABLES) for answer in (network, other)
    )
    samples[name] = right_sampled(other, x_T, times, TABLES, 1.0)
    first[name], last[name] = np.abs(x0 - x0_other).max(), np.abs(samples[name] - mine).max()
    bits = 16 if name == "float16" else name
    print(f"{name:>7}: x̂_0 moves by {first[name]:.0e}, a sample by {last[name]:.0e}; {bits / 32:.0%} of float32")
curves = {"an estimate": [first[bits] for bits in BITS], "a sample": [last[bits] for bits in BITS]}
course.plot(BITS, curves, "bits of a weight", "largest difference", kind="semilogy", marker="o")
course.expect(last[18] < 1e-3)
if not QUICK:
    course.expect(first["float16"] > first[16] and last[8] > 10 * last[16])

# %% [markdown]
# Each bit halves the error: a straight line on this scale. After 25 evaluations the error is ten times as large, since
# a sampler amplifies differences where its path divides between two digits. float16 spends five of its bits on
# exponents, and is about as good as integers of 13 bits. The page has 18: its samples differ from those of PyTorch by
# much less than a grey level, which is 0.008 here.
#
# Can you see it?

# %%
SHOWN = {"32 bits": mine} | {f"{bits} bits": samples[bits] for bits in (6, 8, 18) if bits in samples}
course.show([torch.from_numpy(digits[:10]) for digits in SHOWN.values()], labels=[*SHOWN], size=0.7)

# %% [markdown]
# Hardly, even with 6 bits. So the number of bits is a choice between size and *which* promise the page keeps. "The
# digits look the same" takes 6 or 8 bits. "Each pixel is the same grey level as in PyTorch, but for rounding" takes 18.
# The page is made to be checked, so it makes the second promise.
#
# ### Exercise 6: read the weights
#
# Now take them from the file. Where a matrix begins in the bytes, there are first the scales of its rows in float32
# (`np.frombuffer(data, "<f4", rows, start)`), 4 bytes each. The integers come as three *planes*, all in the order of
# the matrix, row by row. To each integer, 131071 was added (that is $2^{17} - 1$), so that none is negative. The first
# plane has the upper 8 of its 18 bits, a byte for each number, and the second one the next 8. The third plane has the
# lowest 2 bits of four numbers in each byte, the first number in the lowest bits. Planes compress better: upper bits
# of weights are alike, and lower ones are noise.


# %% tags=["exercise"]
def unpack(data, start, rows, columns):
    """The matrix (rows, columns), an array in float64, that begins at the byte `start` of the bytes `data`."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(15, unpack))
right_unpack = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def unpack(data, start, rows, columns):
#     count = rows * columns
#     scale = np.frombuffer(data, "<f4", rows, start).astype(float)
#     planes = np.frombuffer(data, np.uint8, -1, start + 4 * rows).astype(int)
#     high, middle, i = planes[:count], planes[count : 2 * count], np.arange(count)
#     low = planes[2 * count + i // 4] >> 2 * (i % 4) & 3
#     integers = (high << 10) + (middle << 2) + low - (2**17 - 1)
#     return integers.reshape(rows, columns) * scale[:, None]
# ```
# </details>
#
# The program says where each matrix begins: a call `unpack(to, start, rows, columns)`, in which 0 rows stand for plain
# float32. Every matrix of the network is there:

# %%
matrices = [
    weight.detach().flatten(1).double().numpy()
    for weight in model.diffusion.net.parameters()
    if weight.ndim > 1 and weight.numel() >= 256
]
stored = [
    right_unpack(parts["weights"], start, rows, columns)
    for call, *numbers in program["prepare"]
    if call == "unpack" and numbers[2]
    for start, rows, columns in [numbers[1:]]
]
off = []  # of each matrix of the network the largest error of the nearest one in the file, in steps of its integers
for weight in matrices:
    step = np.maximum(np.abs(weight).max(1, keepdims=True), 1e-30) / (2**17 - 1)
    off.append(min(np.abs((matrix - weight) / step).max() for matrix in stored if matrix.shape == weight.shape))
print(f"{len(stored)} matrices in the file; those of the network: {len(off)}, off by at most {max(off):.3f} steps")
course.expect(max(off) < 0.51)

# %% [markdown]
# ## 5. What you give away
#
# A page is a copy of the model, for everybody who has the file. It holds neither training data nor paths. But a model
# may hold training *pictures*: one that was trained long on few of them draws copies (lesson 9). Anybody who has the
# page can draw a million samples and look. So measure memorisation before you show a model of pictures that are not
# yours to show: `ancestral evaluate RUN`.
#
# And the page protects those who open it. It may not ask any other machine for anything: a *content-security policy* at
# its top forbids every request, and every script whose hash it does not name.

# %%
policy = html.unescape(re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', page)[1])
for rule in re.sub(r"(sha256-.{6})[^']*", r"\1...", policy).split("; "):
    print(rule)
course.expect(policy.startswith("default-src") and "http" not in policy)

# %% [markdown]
# ## 6. What to take
#
# * A model that samples itself needs little: six tables, a list of calls, their kernels, and weights. The sampler is
#   ten lines.
# * Random numbers that are a function of (seed, stream, number, index) make a sample a fact that anybody can check, on
#   any machine, alone or in any batch.
# * Bits of weights are bits of the promise. Integers with one scale for each row are better than float16 at equal size.
#   Measure how far *samples* move, not only estimates.
# * `ancestral export RUN --to html` writes your page, and `--to space` a folder that Hugging Face shows to everybody.
#   A distilled model (lesson 11) draws in a browser in less than a second.
#
# Now export a run of your own, and open its page beside a grid of `ancestral sample`: they agree sample for sample.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **Weights of four bits.** In section 4, `else (6, 8, 10, 12,` → `else (4, 6, 8, 10, 12,`. The line goes on to the
#   left: a sample moves by a large part of its range, and some are other digits. Seconds.
# * **More steps of the sampler.** In section 3, `STEPS = 4 if QUICK else 25` → `STEPS = 4 if QUICK else 50`. Your loop
#   and `model.sample` agree as before, and the digits are others in details. Twice the time of sampling.
# * **A longer training.** In section 1, `steps=4 if QUICK else 240` → `steps=4 if QUICK else 480`. Better digits on a
#   page of the same size. Twice the training.
