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
# # In words
#
# A caption can ask for what no list of classes has: "a red circle, a blue square". It has any length, its words come
# in an order, and most captions that people write were never in the data. This lesson is about a condition that is
# text, with a model that is trained from nothing. You see
#
# * how text becomes whole numbers, by a vocabulary that is counted from the captions,
# * that attention is a kernel average, an old method of statistics, and how pixels attend to words,
# * why a network that gets the *mean* of its words cannot tell "red circle, blue square" from "blue circle, red
#   square", and that attention can: measured,
# * guidance towards a text and away from another one, as one formula,
# * whether a model draws pairs of words that never occurred together, counted by a program.
#
# You should have done lessons 7 and 13. Seven exercises come on the way. The lesson runs in about three minutes on two
# CPU cores.

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

import torch
from torch import nn
from torch.nn import functional as F

import ancestral
import ancestral_course as course
from ancestral import oracle, samplers, schedules
from ancestral.targets import X0, Prediction
from ancestral.vocabulary import MARK, Vocabulary, count_pieces, words

QUICK = os.environ.get("QUICK") == "1"  # QUICK=1 takes fewer samples and training steps, to test that every cell runs
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1. Scenes with captions
#
# The data of this lesson are made by a program, so that a program can check samples, too. A scene is an image of 8 × 16
# pixels with two shapes side by side, of different kind and colour. Which of them is on the left is drawn by chance,
# and each lies in its half at one of four places. The caption names both, in any order. Two pairs of a colour and a
# shape are held out: no scene of the training data has a green circle or a red cross.


# %%
y, x = torch.meshgrid(torch.arange(-3, 4), torch.arange(-3, 4), indexing="ij")
SHAPES = {
    "square": (x.abs() < 3) & (y.abs() < 3),
    "circle": (x**2 + y**2 <= 13) & (x**2 + y**2 > 2),
    "cross": (x.abs() < 2) | (y.abs() < 2),
}
COLOURS = {"red": (1, -0.7, -0.7), "green": (-0.7, 0.5, -0.7), "blue": (-0.6, -0.3, 1), "yellow": (1, 0.8, -0.6)}
HELD_OUT = {("green", "circle"), ("red", "cross")}


def draw(colour, shape, place):
    """One half of a scene (3, 8, 8), with the shape at one of four places."""
    half = -torch.ones(3, 8, 8)
    down, right = divmod(place, 2)
    pixels = torch.where(SHAPES[shape], torch.tensor(colour)[:, None, None], -1.0)
    half[:, down : down + 7, right : right + 7] = pixels
    return half


class Scenes:
    """Scenes of some colours by name, and what a program sees in them."""

    def __init__(self, colours):
        self.colours = colours
        self.pairs = [(colour, shape) for colour in colours for shape in SHAPES]
        drawn = [draw(colours[colour], shape, place) for colour, shape in self.pairs for place in range(4)]
        self.halves = torch.stack(drawn)  # (4 · pairs, 3, 8, 8)

    def make(self, count, new, seed):
        """Images (count, 3, 8, 16) and the pairs of each caption; new ones have a pair that is held out."""
        generator = torch.Generator().manual_seed(seed)
        images, captions = [], []
        while len(images) < count:
            colours = torch.randperm(len(self.colours), generator=generator)[:2].tolist()
            shapes = torch.randperm(len(SHAPES), generator=generator)[:2].tolist()
            caption = [([*self.colours][c], [*SHAPES][s]) for c, s in zip(colours, shapes, strict=True)]
            if any(pair in HELD_OUT for pair in caption) != new:
                continue
            places = torch.randint(4, (2,), generator=generator).tolist()
            halves = [self.halves[4 * self.pairs.index(p) + k] for p, k in zip(caption, places, strict=True)]
            images.append(torch.cat(halves if torch.rand(1, generator=generator) < 0.5 else halves[::-1], dim=2))
            captions.append(tuple(caption))
        return torch.stack(images), captions

    def seen(self, images):
        """The pairs (left, right) of each image: those of the nearest drawing of each half."""
        rows = [(half[:, None] - self.halves).square().mean((2, 3, 4)).argmin(1) // 4 for half in images.chunk(2, 3)]
        return [
            (self.pairs[left], self.pairs[right]) for left, right in zip(*map(torch.Tensor.tolist, rows), strict=True)
        ]


def text(caption):
    """The text of a caption: red circle, blue square."""
    return ", ".join(" ".join(pair) for pair in caption)


def twin(caption):
    """The same words with the colours swapped."""
    (colour, shape), (other, other_shape) = caption
    return (other, shape), (colour, other_shape)


def share(found, captions):
    """The share of scenes that hold just what their captions say."""
    return sum(set(pairs) == set(caption) for pairs, caption in zip(found, captions, strict=True)) / len(found)


four = Scenes(COLOURS)
images, captions = four.make(200 if QUICK else 4000, new=False, seed=0)
print("captions:", *(text(caption) for caption in captions[:3]), sep="\n  ")
print(f"different captions: {len(set(captions))}; the program agrees with {share(four.seen(images), captions):.0%}")
course.show([images[:6], images[6:12]], size=1.2)
course.expect(share(four.seen(images), captions) == 1)

# %% [markdown]
# ## 2. Text as tokens
#
# A network takes numbers. A **vocabulary** is a list of pieces of text, and the place of a piece in it is its
# **token**. `count_pieces` counts a vocabulary from captions: first all characters, so that every word of their
# alphabet can be spelled, then the words that occur more than once, and in larger data the commonest beginnings and
# endings of words. A piece that begins a word begins with a mark, `▁`, so that the text can be put together again.

# %%
pieces = count_pieces(text(caption) for caption in captions)
index = {piece: token for token, piece in enumerate(pieces)}
print(len(pieces), "pieces, the last ones:", *pieces[-8:])
print("words:", words("Red circle, BLUE square!"))

# %% [markdown]
# ### Exercise 1: tokens
#
# Write the tokens of words. Each word begins with the mark already. Take the longest piece that the word begins with,
# then the longest piece that the rest begins with, and so on. A character that the vocabulary does not have is left
# out. The result has a given length, because texts of a batch are one tensor: −1 stands behind the last token, and what
# does not fit is cut off.


# %% tags=["exercise"]
def tokens(words, index, length):
    """The tokens (length,), int64, of a list of words, then -1; index[piece] is the token of a piece."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(19, tokens))
right_tokens = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def tokens(words, index, length):
#     found = []
#     for rest in words:
#         while rest:
#             sizes = [size for size in range(len(rest), 0, -1) if rest[:size] in index]
#             found += [index[rest[:size]] for size in sizes[:1]]
#             rest = rest[sizes[0] if sizes else 1 :]
#     found = found[:length]
#     return torch.tensor(found + [-1] * (length - len(found)))
# ```
# </details>
#
# The empty text is the condition that is absent, and its tokens are −1 throughout. That is the sign of an absent class,
# too, so guidance and dropping work as in lessons 7 and 13. A word that was never counted is spelled by pieces, without
# the characters that no caption has, such as h here. A model can read it, but nothing has taught it what it means.

# %%
LENGTH = 5


def read(captions):
    """The tokens (B, LENGTH) of captions."""
    return torch.stack([right_tokens([MARK + word for word in words(text(c))], index, LENGTH) for c in captions])


for example in ("red circle, blue square", "reddish circle", ""):
    row = right_tokens([MARK + word for word in words(example)], index, 8).tolist()
    print(f"{example!r:26}", row, *(pieces[token] for token in row if token >= 0))
vocabulary = Vocabulary(pieces)
course.expect(
    all(vocabulary.text(row) == text(c) for row, c in zip(read(captions[:50]).tolist(), captions, strict=False))
)

# %% [markdown]
# ## 3. Attention is a kernel average
#
# Each token has an *embedding*, a row of a table that is learned. Now a pixel needs what the words say about it. What
# it asks is a vector $q$, its **query**. Each word $i$ has two vectors: a **key** $k_i$, by which it is found, and a
# **value** $v_i$, what it says. How should the values be combined?
#
# This is an old problem. Given pairs $(k_i, v_i)$, estimate $v$ at another place $q$. Nadaraya and Watson (1964) took a
# weighted mean, in which near pairs count more, by a *kernel* $K$:
#
# $$\hat v(q) = \frac{\sum_i K(q, k_i)\,v_i}{\sum_j K(q, k_j)} .$$
#
# With the Gaussian kernel $K = \exp(-\|q - k\|^2/2\sigma^2)$ the exponent is
# $(q^\top k - \frac12\|q\|^2 - \frac12\|k\|^2)/\sigma^2$. The term of $\|q\|^2$ is the same for all $i$ and cancels.
# If all keys have the same length, that of $\|k\|^2$ cancels as well. With $\sigma^2 = \sqrt d$ for vectors of $d$
# numbers, what remains is
#
# $$K(q, k) = \exp\big(q^\top k/\sqrt d\,\big), \qquad
# \hat v(q) = \sum_i \mathrm{softmax}_i\big(q^\top k_i/\sqrt d\,\big)\,v_i . \tag{i}$$
#
# That is **attention** ([Vaswani et al., 2017](https://arxiv.org/abs/1706.03762)). The exponents are called *scores*.
# For independent numbers of variance 1, $q^\top k$ has the variance $d$. So with $\sqrt d$ the scores have the variance
# 1 for any $d$, and the weights are neither all equal nor all on one word.
#
# ### Exercise 2: one query
#
# Write (i) for one query.
#
# <details><summary>Hint</summary>
#
# The scores of all words are one product, `k @ q`. `softmax` divides by the sum, and subtracts the largest score first,
# so that no exponential overflows.
#
# </details>


# %% tags=["exercise"]
def kernel_average(q, k, v):
    """The average (E,) of values v (L, E) for one query q (D,), with the kernel exp(q·k/√D) to keys k (L, D)."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(19, kernel_average))
right_kernel_average = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def kernel_average(q, k, v):
#     return (k @ q / len(q) ** 0.5).softmax(0) @ v
# ```
# </details>
#
# In one dimension it is a curve through points. With longer vectors, here multiplied by a factor, the kernel is
# narrower: from the mean of all values to the value of the nearest key.

# %%
angles = torch.linspace(0, 3.0, 12)
values = (2 * angles).sin()[:, None] + 0.1 * torch.randn(12, 1, generator=torch.Generator().manual_seed(1))
circle = lambda angle: torch.stack([angle.cos(), angle.sin()], dim=-1)  # noqa: E731  # keys of equal length
at = torch.linspace(0, 3.0, 121)
curves = {
    f"factor {factor}": [right_kernel_average(factor * q, factor * circle(angles), values).item() for q in circle(at)]
    for factor in (0.5, 3, 12)
}
nearest = values[(at[:, None] - angles).abs().argmin(1), 0]
course.plot(at, {**curves, "nearest": nearest}, "angle of the query", "average")
course.expect(max(curves["factor 0.5"]) < 0.3)
course.expect((torch.tensor(curves["factor 12"]) - nearest).abs().mean() < 0.2)

# %% [markdown]
# ### On paper: order
#
# Show that the result does not change when the words come in another order, each with its key and value. So "dog bites
# man" is "man bites dog". What has to be added to the words so that the order counts?
#
# <details><summary>Derivation</summary>
#
# (i) is a quotient of two sums over $i$. With a permutation $\pi$ the terms are those of $\pi(i)$, and a sum does not
# depend on the order of its terms. So keys and values have to depend on the *place* of their word. A table with a
# vector for each place is added to the embeddings before keys and values are computed: then the same word has another
# key at another place.
# </details>
#
# ### Exercise 3: many queries, in heads
#
# One average takes one mixture of words. A pixel may need two: which shape, and which colour. So the features are
# split into **heads**: each head takes $d = W/\text{heads}$ consecutive features of queries, keys and values, and has
# weights of its own. The results of the heads are joined, in their order. Write it for a batch.
#
# <details><summary>Hint</summary>
#
# `x.unflatten(2, (heads, -1))` is (B, N, heads, d), and `transpose(1, 2)` of it (B, heads, N, d). Matrix products work
# on the last two axes.
#
# </details>


# %% tags=["exercise"]
def attention(q, k, v, heads):
    """Attention (B, N, W) of queries (B, N, W) to keys and values (B, L, W), in heads of W / heads features each."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(19, attention))
right_attention = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def attention(q, k, v, heads):
#     q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (q, k, v))
#     weights = (q @ k.mT / q.shape[3] ** 0.5).softmax(3)
#     return (weights @ v).transpose(1, 2).flatten(2)
# ```
# </details>
#
# Beside PyTorch's own, which computes the same in parts that fit into the cache, and with the words in another order,
# without and with places:

# %%
generator = torch.Generator().manual_seed(2)
q, k, v = (torch.randn(2, length, 32, generator=generator) for length in (7, LENGTH, LENGTH))
by_hand = right_attention(q, k, v, 4)
q4, k4, v4 = (part.unflatten(2, (4, 8)).transpose(1, 2) for part in (q, k, v))
by_torch = F.scaled_dot_product_attention(q4, k4, v4).transpose(1, 2).flatten(2)
places = torch.randn(LENGTH, 32, generator=generator)
other = torch.tensor([3, 4, 2, 0, 1])  # the two pairs of a caption swapped
moved = right_attention(q, k[:, other], v[:, other], 4)
with_places = (right_attention(q, each + places, each + places, 4) for each in (k, k[:, other]))
print(f"largest difference from PyTorch's: {(by_hand - by_torch).abs().max():.0e}")
print(f"in another order: {(by_hand - moved).abs().max():.0e}", end=", ")
print(f"with places: {torch.sub(*with_places).abs().max():.1f}")
course.expect(torch.allclose(by_hand, by_torch, atol=1e-5))
course.expect(torch.allclose(by_hand, moved, atol=1e-5))

# %% [markdown]
# ## 4. Pixels attend to words
#
# In **cross-attention** the queries are of the pixels (or of patches of them) and keys and values of the words. Each
# comes from a dense layer, and a last one makes of the average what is added to the pixels:
#
# $$h \;\leftarrow\; h + \mathrm{out}\big(\mathrm{attention}(q(h),\ k(w),\ v(w))\big) .$$
#
# *Self-attention* is the same with $w = h$: pixels attend to pixels, or words to words.
#
# ### Exercise 4: cross-attention
#
# Write this line. `layers` has four dense layers by name: `layers["q"](h)` are the queries. Use your `attention`.


# %% tags=["exercise"]
def cross_attention(h, words, layers, heads):
    """h (B, N, W) plus what it gets of words (B, L, E), by dense layers q, k, v and out in a dictionary."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(19, cross_attention))
right_cross_attention = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def cross_attention(h, words, layers, heads):
#     return h + layers["out"](attention(layers["q"](h), layers["k"](words), layers["v"](words), heads))
# ```
# </details>
#
# ### Exercise 5: layers that change nothing
#
# New layers should change nothing before training (lesson 13): then words can be added to a model that has learned
# without them. But they have to learn. Which of the four layers begin with zeros, in weight and bias? Make them, as
# `nn.Linear`, whose other numbers are random from the start.
#
# <details><summary>Hint</summary>
#
# The gradient of a weight is what comes in times what is sent back. Zeros in two layers that follow each other leave
# nothing of both.
#
# </details>


# %% tags=["exercise"]
def new_layers(width, of_words):
    """A dictionary of the nn.Linear q, k, v and out, for h of some width and words of some number of features."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(19, new_layers))
right_new_layers = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def new_layers(width, of_words):
#     sizes = {"q": width, "k": of_words, "v": of_words, "out": width}
#     layers = {name: nn.Linear(size, width) for name, size in sizes.items()}
#     nn.init.zeros_(layers["out"].weight)
#     nn.init.zeros_(layers["out"].bias)
#     return layers
# ```
#
# `out` alone. It gets a gradient in the first step, as what comes in is not zero, and the layers before it from the
# second step on.
# </details>
#
# The network of this lesson is a small transformer of your parts. The image becomes eight patches of 4 × 4 pixels.
# Words first attend to words, so that "red" can learn which shape it stands before. In each of three blocks, patches
# attend to patches and to words. There is a second version for the next section, which gets the words as a *bag*.


# %%
WIDTH, HEADS = 64, 4


class Block(nn.Module):
    """Attention of h to itself and to words, and an MLP, each of a normalised h and added to h."""

    def __init__(self):
        super().__init__()
        self.to_itself, self.to_words = (nn.ModuleDict(right_new_layers(WIDTH, WIDTH)) for _ in range(2))
        for layers in (self.to_itself, self.to_words):
            for name in "qkv":
                layers[name] = nn.Sequential(nn.LayerNorm(WIDTH), layers[name])
        self.mlp = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, h, words=None):
        h = right_cross_attention(h, h, self.to_itself, HEADS)
        if words is not None:
            h = right_cross_attention(h, words, self.to_words, HEADS)
        return h + self.mlp(h)


torch.manual_seed(0)
block, h = Block(), torch.randn(2, 8, WIDTH)
first, second = (block(h, torch.randn(2, LENGTH, WIDTH)) for _ in range(2))
print("change by other words, untrained:", (first - second).abs().max().item())
course.expect((first - second).abs().max() == 0)

# %% [markdown]
# ## 5. Binding
#
# Do we need attention? A class adds one embedding to that of the time. A simple way for text is to add the *mean* of
# the embeddings of its words, a **bag of words**. The mean also does not grow with the length of the text.
#
# ### Exercise 6: a bag of words
#
# Write it. −1 is no word and does not count, and of the empty text the mean is zeros.
#
# <details><summary>Hint</summary>
#
# −1 as an index is the last row. `tokens.clamp(min=0)` is an index for each, and a factor of 0 takes out what is none.
#
# </details>


# %% tags=["exercise"]
def bag(tokens, table):
    """The mean (B, W) of the rows of the table (V, W) that belong to the tokens (B, L); -1 is no word."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(19, bag))
right_bag = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def bag(tokens, table):
#     there = (tokens >= 0).to(table)[:, :, None]
#     return (there * table[tokens.clamp(min=0)]).sum(1) / there.sum(1).clamp(min=1)
# ```
# </details>
#
# Here is a caption and its twin, with the colours swapped:

# %%
caption = (("red", "circle"), ("blue", "square"))
table = torch.randn(len(pieces), WIDTH, generator=torch.Generator().manual_seed(3))
both = right_bag(read([caption, twin(caption)]), table)
print(f"{text(caption)} / {text(twin(caption))}: largest difference of the means {(both[0] - both[1]).abs().max():.0e}")
course.expect(torch.allclose(both[0], both[1], atol=1e-6))

# %% [markdown]
# ### On paper: what a bag can reach
#
# The mean is the same whatever the table is, so no training helps. Show that on captions whose twins are equally
# frequent, *no* network that gets the bag draws the right pairs for more than half of the captions on average, however
# it is trained, and whatever it computes of the mean.
#
# <details><summary>Derivation</summary>
#
# Let $c$ be a caption and $c'$ its twin. The network gets the same input for both, so it draws from one distribution,
# with the probability $p$ for the pairs of $c$ and $p'$ for those of $c'$. No scene has both, so $p + p' \le 1$. The
# share of right scenes over both captions is $\tfrac12 p + \tfrac12 p' \le \tfrac12$.
# </details>
#
# A sum of embeddings *with places* is no way out: $\sum_i (e_i + r_i)$ is again the same for every order. Something has
# to look at a word and its place, or at two words, *before* they are added. Now measure. Both networks have the same
# parts, data and steps.


# %%
class SceneNet(nn.Module):
    """The network of 8 × 16 pixels, with attention to words or a bag of them."""

    def __init__(self, as_bag):
        super().__init__()
        self.as_bag = as_bag
        self.patches, self.out = nn.Linear(48, WIDTH), nn.Linear(WIDTH, 48)
        self.positions = nn.Parameter(0.3 * torch.randn(8, WIDTH))
        self.table = nn.Embedding(len(index) + 1, WIDTH)  # the last row, −1, is no word
        self.places = nn.Parameter(0.3 * torch.randn(LENGTH, WIDTH))
        self.time = nn.Sequential(nn.Linear(32, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.reader, self.blocks = Block(), nn.ModuleList(Block() for _ in range(3))
        nn.init.zeros_(self.out.weight)

    def forward(self, x, t, words):
        angle = t[:, None].float() * torch.exp(-0.5 * torch.arange(16))
        time = self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
        h = self.patches(F.unfold(x, 4, stride=4).mT) + self.positions + time[:, None]
        if self.as_bag:
            h, sequence = h + right_bag(words, self.table.weight)[:, None], None
        else:
            sequence = self.reader(self.table(words % len(self.table.weight)) + self.places)
        for block in self.blocks:
            h = block(h, sequence)
        return F.fold(self.out(h).mT, (8, 16), 4, stride=4)


def trained(images, captions, as_bag=False, steps=1000):
    """A denoiser of scenes given words. A tenth of the captions is left out in training."""
    torch.manual_seed(0)
    denoiser = ancestral.Diffusion(SceneNet(as_bag), schedules.cosine(), target=X0)
    different = sorted(set(captions))
    row = dict(zip(different, read(different), strict=True))
    texts = torch.stack([row[caption] for caption in captions])
    steps = 4 if QUICK else steps
    optimiser = torch.optim.AdamW(denoiser.net.parameters(), lr=3e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        rows = torch.randint(len(images), (64,))
        given = texts[rows].masked_fill(torch.rand(64, 1) < 0.1, -1)
        loss = denoiser.loss(images[rows], step=step, seed=0, words=given)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(denoiser.net.parameters(), 1.0)
        optimiser.step()
        rate.step()
    return denoiser.requires_grad_(False)


with_attention, with_bag = trained(images, captions), trained(images, captions, as_bag=True)

# %% [markdown]
# The test captions are those whose twin occurs in training as well. For a text and its twin, a program counts which
# scenes were drawn.

# %%
COUNT = 20 if QUICK else 200
solver = samplers.DDIM(steps=12, eta=1.0, clip=1.0)
noise = torch.randn(COUNT, 3, 8, 16, generator=torch.Generator().manual_seed(4))
known = set(captions)
_, asked = four.make(COUNT * 4, new=False, seed=1)
asked = [c for c in asked if twin(c) in known or twin(c)[::-1] in known][:COUNT]
drawn, obey = {}, {}
print(f"{'':11}{'as asked':>9}{'swapped':>9}")
for name, denoiser in {"attention": with_attention, "bag": with_bag}.items():
    drawn[name] = solver.sample(denoiser, noise[: len(asked)], words=read(asked))
    obey[name] = share(four.seen(drawn[name]), asked)
    swapped = share(four.seen(drawn[name]), [twin(c) for c in asked])
    print(f"{name:11}{obey[name]:9.0%}{swapped:9.0%}")
print("asked:", *(f"{column}. {text(caption)};" for column, caption in enumerate(asked[:5], 1)))
course.show([part[:5] for part in drawn.values()], titles=["1", "2", "3", "4", "5"], labels=[*drawn], size=1.3)
if not QUICK:
    course.expect(obey["attention"] > 0.9)
    course.expect(0.3 < obey["bag"] < 0.6)

# %% [markdown]
# Attention binds colour to shape. The bag draws scenes that look as clean, mostly with the right colours and shapes,
# and tosses a coin for which belongs to which: 42 % are as asked, 38 % are swapped, and the others have another
# mistake. The proof allows no more than half. It looks like a model that nearly understands its captions, and it
# cannot.
#
# ## 6. Towards a text, and away from another
#
# Guidance (lesson 7) goes from the estimate without a condition through the estimate with it. Text offers a second use:
# a text that says what is *not* wanted. Ask for
#
# $$\tilde p(x) \;\propto\; p(x \mid c)^{\,s}\; p(x \mid \text{avoid})^{\,1 - s} . \tag{ii}$$
#
# For $s > 1$ the second exponent is negative, so what fits the avoided text becomes less probable.
#
# ### Exercise 7: guidance by words
#
# Which estimate belongs to (ii)? An estimate is a linear function of the score, $\hat x = (x_t + b_t^2\,\nabla\log
# p)/a_t$ (lesson 13). Take the gradient of the logarithm of (ii) for the densities of $x_t$. Test: scale 1 does not
# avoid anything, and if the avoided text is empty it is the guidance of lesson 7.
#
# <details><summary>Hint</summary>
#
# You get two scores, each with a factor. If the factors have the sum 1, the estimates have the same ones.
#
# </details>


# %% tags=["exercise"]
def guided(given, avoided, scale):
    """The guided estimate (B, *) from those with the text that is wanted and with the text to avoid, (B, *) each."""
    ...  # replace this line by yours


# %%
print(verdict := course.check(19, guided))
right_guided = verdict.function

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def guided(given, avoided, scale):
#     return avoided + scale * (given - avoided)
# ```
# </details>
#
# <details><summary>Derivation</summary>
#
# $\nabla\log\tilde p = s\,\nabla\log p(x_t \mid c) + (1 - s)\,\nabla\log p(x_t \mid \text{avoid})$. The factors have
# the sum 1, so the estimates have the same ones:
#
# $$\hat x = \hat x(\text{avoid}) + s\,\big(\hat x(c) - \hat x(\text{avoid})\big) .$$
#
# With the empty text in the place of avoid, this is classifier-free guidance. So there is one formula for both, and
# $s = 1$ is $\hat x(c)$ whatever is avoided.
# </details>
#
# Now exactly, in the plane. Four normal distributions have names, and a text stands for the mixture of those whose
# names have all its words. The pictures show (ii) for the text "circle": without anything to avoid above, and away
# from "blue" below.

# %%
F64 = torch.float64
NAMES = {
    "red circle": (-0.3, 0.35),
    "blue circle": (0.3, 0.4),
    "red square": (-0.35, -0.4),
    "blue square": (0.3, -0.35),
}
STD, schedule = 0.3, schedules.cosine(1000)


def mixture(wanted):
    """The exact denoiser of what a text stands for; the empty text is everything."""
    means = [mean for name, mean in NAMES.items() if set(wanted.split()) <= set(name.split())]
    return oracle.Mixture(schedule, torch.tensor(means, dtype=F64), torch.full((len(means),), STD, dtype=F64))


grid = torch.linspace(-2.8, 2.8, 81, dtype=F64)
plane = torch.stack(torch.meshgrid(grid, grid.flip(0), indexing="xy"), dim=-1).reshape(-1, 2)
SCALES = (1.0, 2.0, 4.0)
rows, left = [], {}
for avoid in ("", "blue"):
    log_given, log_avoided = (mixture(part).log_density(plane, 0) for part in ("circle", avoid))
    densities = [(s * log_given + (1 - s) * log_avoided).softmax(0) for s in SCALES]
    rows.append([(2 * density / density.max() - 1).reshape(1, 81, 81) for density in densities])
    left[avoid] = [density[plane[:, 0] < 0].sum().item() for density in densities]
    centers = [(density @ plane[:, 0]).item() for density in densities]
    print(f"circle, avoid {avoid or 'nothing':8} share on the left", *(f"{one:4.0%}" for one in left[avoid]), end=", ")
    print("mean of x", *(f"{center:+.1f}" for center in centers))
course.show(rows, titles=[f"s = {s:g}" for s in SCALES], labels=["circle", "not blue"], size=1.5)
course.expect(left["blue"][1] > 0.95)
course.expect(abs(left[""][2] - 0.5) < 0.1)

# %% [markdown]
# Guidance for "circle" alone moves both circles up, away from the squares, and keeps both. With "blue" to avoid, the
# blue circle is gone at scale 2, and the red one is pushed on. At scale 4 it lies where there are no data: guidance
# exaggerates what makes the difference, here the place of the reds.
#
# ### On paper: two normal distributions
#
# Let $p(x \mid c) = \mathcal N(m_c, \sigma^2)$ and $p(x \mid \text{avoid}) = \mathcal N(m_a, \sigma^2)$. Show that (ii)
# is normal with the same variance and the mean $m_a + s\,(m_c - m_a)$, and that sampling with the guided estimate gives
# exactly this distribution (of mixtures this is not so: lesson 7).
#
# <details><summary>Derivation</summary>
#
# The exponent of (ii) is $-\frac{1}{2\sigma^2}\big(s\|x - m_c\|^2 + (1 - s)\|x - m_a\|^2\big)$. The factor of $\|x\|^2$
# is 1 in the brackets, and that of $-2x$ is $s m_c + (1 - s) m_a$: a normal density with this mean. At time $t$ both
# densities have the variance $v = a^2\sigma^2 + b^2$ and means $a m$. So the guided score is
# $-\big(x_t - a\,(m_a + s(m_c - m_a))\big)/v$, which is the score of the noisy version of that very normal density,
# at each $t$.
# </details>


# %%
class Guided:
    """A denoiser whose estimates are those of exercise 7, from two that a pair of functions makes."""

    def __init__(self, given, avoided, scale):
        self.schedule, self.pair, self.scale = schedule, (given, avoided), scale

    def predict(self, x_t, t):
        estimates = (predict(x_t, t) for predict in self.pair)
        return Prediction(*(right_guided(*parts, self.scale) for parts in zip(*estimates, strict=True)))


accurate = samplers.UniPC(steps=30, spacing="logsnr")
start = torch.randn(4000, 2, dtype=F64, generator=torch.Generator().manual_seed(5))
away = Guided(mixture("red circle").predict, mixture("blue circle").predict, 3.0)
points = accurate.sample(away, start)
m_c, m_a = (torch.tensor(NAMES[name], dtype=F64) for name in ("red circle", "blue circle"))
mean = m_a + 3 * (m_c - m_a)
print(f"mean {points.mean(0).numpy().round(2)}, by the formula {mean.numpy().round(2)}", end="; ")
print(f"standard deviation {points.std(0).mean():.3f}, by the formula {STD}")
course.expect((points.mean(0) - mean).abs().max() < 0.03)
course.expect(abs(points.std(0).mean() - STD) < 0.01)

# %% [markdown]
# ## 7. Pairs that never occurred
#
# The data have green squares and red circles, but no green circle. Is a green circle a thing that the model can draw?
# To draw scenes that were seen is memory, and to draw new pairs of known words is **composition**. A program lists the
# captions with a pair that never occurred and counts. Guidance of scale $s$ goes away from the empty text.


# %%
def count_obeying(scenes, denoiser, new, scale):
    """The share of scenes as asked, of captions whose pairs all occurred, or with one that never did."""
    _, asked = scenes.make(COUNT, new, seed=2)
    wanted = read(asked)
    predict = [
        lambda x, t, words=words: denoiser.predict(x, t, words=words) for words in (wanted, -torch.ones_like(wanted))
    ]
    found = scenes.seen(solver.sample(Guided(*predict, scale), noise))
    return share(found, asked)


def table_of(scenes, denoiser):
    """Print the shares for three scales, and return those of new pairs."""
    for new in (False, True):
        shares = [count_obeying(scenes, denoiser, new, s) for s in SCALES]
        print(f"{'never occurred' if new else 'all occurred':15}" + "".join(f"{one:8.0%}" for one in shares))
    return shares


seen_pairs = {pair for caption in captions for pair in caption}
print("never occurred:", ", ".join(" ".join(pair) for pair in four.pairs if pair not in seen_pairs))
print(f"{'scale':15}" + "".join(f"{s:8g}" for s in SCALES))
of_four = table_of(four, with_attention)

# %% [markdown]
# The new captions ask for little: both words occur in training, and so does the rest. Still most samples fail without
# guidance. The network has learned that a circle is red, blue or yellow, which is *true* of its data: with three
# colours for each shape, a list of pairs explains them as well as a rule does. What would make the rule the simpler
# one? More pairs of the same words. So the same network is trained once more, with as many steps and scenes, but with
# six colours. The same two pairs are held out, now of eighteen.

# %%
six = Scenes({**COLOURS, "purple": (0.3, -0.7, 0.6), "white": (0.9, 0.9, 0.9)})
images_6, captions_6 = six.make(len(images), new=False, seed=0)
index = {piece: token for token, piece in enumerate(count_pieces(text(caption) for caption in captions_6))}
with_six = trained(images_6, captions_6)
print(f"{'scale':15}" + "".join(f"{s:8g}" for s in SCALES))
of_six = table_of(six, with_six)
_, new_captions = six.make(COUNT, new=True, seed=2)
made = solver.sample(with_six, noise, words=read(new_captions))
print("asked:", *(f"{column}. {text(caption)};" for column, caption in enumerate(new_captions[:5], 1)))
course.show([made[:5]], titles=["1", "2", "3", "4", "5"], size=1.3)
if not QUICK:
    course.expect(of_six[0] > of_four[0] + 0.1)

# %% [markdown]
# Nothing was added but variety: no step, no layer, and no word about the missing pairs. Of the captions with a pair
# that never occurred, 47 % are drawn as asked in place of 26 %, and with scale 2 it is 77 % in place of 52 %. Guidance
# helps where a model hesitates, since it strengthens what the words add. At scale 4, samples of four colours get worse
# again. Captions whose pairs all occurred are drawn nearly always. So **obeying known captions says nothing about new
# ones**: count them apart.
#
# How sure are these numbers? The shares of 200 captions have standard errors of up to 3.5 percentage points. Another
# training moves those of new pairs much more. In our trials of other lengths and seeds they differed by tens of points
# for both worlds, and six colours were always ahead.
#
# ## 8. The same in one command
#
# `ancestral train scenes` trains on scenes of 32 × 32 pixels with two shapes, relations and numbers ("three yellow
# crosses"), and a program checks its samples as here. Of your own images it reads captions from text files beside
# them, `cat.txt` beside `cat.png`, or from a column of a table. It counts the vocabulary, keeps it in the model file,
# and says which captions are too long. Its networks attend to words at chosen resolutions, with layers that begin with
# zeros. [The page on captions](../../docs/how-to/captions.md) has all of it.
#
# In Python, captions are a condition by name. Our scenes have few different captions, each many times. A column of
# those is taken for *classes*. A tuple of captions for each item, here of one, says that it is text.

# %%
bytes_of = ((images + 1) * 127.5).round().byte()
with tempfile.TemporaryDirectory() as folder:
    run = ancestral.train(
        "scenes",
        data=(bytes_of, {"caption": [(text(caption),) for caption in captions]}),
        out=f"{folder}/scenes",
        steps=4 if QUICK else 300,
        threads=1,
        save_every=1000,
        sample_every=1000,
        snapshots=0,
        trackers=("none",),
        progress=False,
    )
model = run.model
print(model)
print(model.spec.conditions["caption"])
texts = [text(caption) for caption in asked]
of_package = {}
for scale in (1, 3):
    samples = model.sample(len(texts), steps=10, given={"caption": texts}, guidance=scale).float() / 127.5 - 1
    of_package[scale] = share(four.seen(samples), asked)
    print(f"guidance {scale}: {of_package[scale]:.0%} as asked")
towards = {"given": {"caption": "red circle"}, "guidance": 2, "steps": 10}
plain = model.sample(100, **towards)
avoiding = model.sample(100, **towards, avoid={"caption": "blue"})
for name, samples in {"red circle": plain, "red circle, avoid blue": avoiding}.items():
    found = four.seen(samples.float() / 127.5 - 1)
    circles = sum(("red", "circle") in pairs for pairs in found) / len(found)
    blue = sum("blue" in (left[0], right[0]) for left, right in found) / len(found)
    print(f"{name:23} with a red circle {circles:4.0%}, with something blue {blue:4.0%}")
course.show([(part[:5].float() / 127.5 - 1) for part in (plain, avoiding)], labels=["red circle", "avoiding"], size=1.3)
if not QUICK:
    course.expect(of_package[3] > 0.3)

# %% [markdown]
# After 300 steps the package's larger network draws 72 % as asked, and 82 % with guidance 3. The pictures ask for "red
# circle" alone. The captions of training always name two shapes, so this is another kind of question, and with guidance
# most answers in the picture are two red circles. Away from "blue" they have less blue in their colours: what was
# between red and purple above is red below, and the pink square is orange. Guidance moves estimates along a difference.
# It does not know whether they stay near the data.
#
# On the command line this is `ancestral sample RUN --given "caption=red circle" --guidance caption=2 --avoid
# caption=blue`.
#
# ## 9. What to take
#
# * Text is tokens of a counted vocabulary, and the empty text is absent.
# * Attention is a kernel average, which learns what is near. It does not see the order unless places are added.
# * A mean of words has the right parts and cannot bind them. Test a model with captions whose words are swapped: a
#   score of half there is a bag.
# * Guidance towards a text and away from another is one formula.
# * Count known and new pairs apart. New ones need variety in the data, more than steps.

# %% [markdown]
# ## Three experiments
#
# Each is one change of the code above. Make it, run the cells from the changed one on, and take it back before the
# next. `course.expect` prints where your numbers leave those of the text.
#
# * **No places.** In section 5, `sequence = self.reader(self.table(words % len(self.table.weight)) + self.places)` →
#   `sequence = self.reader(self.table(words % len(self.table.weight)))`. Attention without places: is it better than
#   the bag? As long as before.
# * **More to compose.** In section 1, `HELD_OUT = {("green", "circle"), ("red", "cross")}` →
#   `HELD_OUT = {("green", "circle")}`. One pair is held out. As long as before.
# * **Avoid another one.** In section 6, `mixture("blue circle").predict, 3.0)` → `mixture("red square").predict, 3.0)`.
#   The mean moves in another direction, and the formula of the cell has to follow. Seconds.
