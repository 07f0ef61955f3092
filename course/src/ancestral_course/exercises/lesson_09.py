"""Lesson 9, your own images: copies in the data, a split that keeps them together, KID, its error, and memorisation."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ancestral.metrics import distances, neighbours
from ancestral_course.exercise import Exercise, Function
from ancestral_course.variants import near, normal, order, seeded, whole

Statistic = Callable[[Tensor], Tensor]


# -- copies -----------------------------------------------------------------------------------------------------------


def _first_copies(images: Tensor) -> Tensor:
    seen: dict[bytes, int] = {}
    return torch.tensor([seen.setdefault(image.numpy().tobytes(), index) for index, image in enumerate(images)])


def _last_copies(images: Tensor) -> Tensor:
    return len(images) - 1 - _first_copies(images.flip(0)).flip(0)


def _copies_before(images: Tensor) -> Tensor:
    """The copy that came last before each image."""
    seen: dict[bytes, int] = {}
    found = []
    for index, image in enumerate(images):
        content = image.numpy().tobytes()
        found.append(seen.get(content, index))
        seen[content] = index
    return torch.tensor(found)


def _first_alike(key: Callable[[Tensor], Any]) -> Function:
    """The first image with the same key, which is not the whole content."""

    def function(images: Tensor) -> Tensor:
        keys = [key(image) for image in images]
        return torch.tensor([keys.index(value) for value in keys])

    return function


def _neighbours_only(images: Tensor) -> Tensor:
    """Copies that stand directly behind one another."""
    found = list(range(len(images)))
    for index in range(1, len(images)):
        if torch.equal(images[index], images[index - 1]):
            found[index] = found[index - 1]
    return torch.tensor(found)


def _numbers_of_contents(images: Tensor) -> Tensor:
    contents = [image.numpy().tobytes() for image in images]
    return torch.tensor([sorted(set(contents)).index(content) for content in contents])


def _photos() -> Tensor:
    """Nine images, of which 0, 3 and 8, and 4 and 5 are the same; 1 and 2 have the same pixels in another order."""
    images = torch.randint(0, 256, (9, 3, 4, 5), generator=seeded(1), dtype=torch.uint8)
    images[2] = images[1].flip(2)
    images[3] = images[8] = images[0]
    images[5] = images[4]
    images[6] = images[7]
    images[6, 0, 0, 0] ^= 1  # nearly the same
    return images[order(len(images))]


FIRST_COPIES = Exercise(
    name="first_copies",
    task="For each image the index of the first one with the same content.",
    reference=_first_copies,
    results=lambda function: [function(_photos()), function(_photos()[:, :1, :1, :1].contiguous() // 64)],
    mistakes={
        "this is the index of the last copy. Return that of the first.": _last_copies,
        "this is the copy before. Of three copies, the third has to name the first, too.": _copies_before,
        "only copies that follow directly are found. A copy may be anywhere.": _neighbours_only,
        "the sum of the pixels is not the content: other images have the same sum, such as a mirrored one.": (
            _first_alike(lambda image: int(image.long().sum()))
        ),
        "the first channel alone is not the content of an image.": _first_alike(
            lambda image: image[:1].flatten()[1:].tolist()
        ),
        "these are numbers of contents, in sorted order. Return the index of the first image that has the "
        "content.": _numbers_of_contents,
        "every image is taken for new.": lambda images: torch.arange(len(images)),
    },
)


# -- a split that keeps copies together -------------------------------------------------------------------------------


def _held_out_mask(groups: Tensor, share: float, generator: torch.Generator) -> Tensor:
    ids = torch.tensor(sorted(set(groups.tolist())))
    chosen = ids[torch.randperm(len(ids), generator=generator)[: round(share * len(ids))]]
    return torch.isin(groups, chosen)


def _split_results(function: Function) -> list[Any]:
    """What a split has to fulfil, as flags: two splits need not choose the same images."""
    count = whole(200, 150, 250)
    groups = torch.cat([torch.arange(count), torch.arange(40), torch.arange(0, count, 3)])
    groups = groups[order(len(groups))]
    mask, again, other = (torch.as_tensor(function(groups, near(0.25), seeded(seed))) for seed in (0, 0, 1))
    if mask.shape != groups.shape:
        return [mask] * 5  # the checker names the shape
    held_out = mask.bool()
    leaks = torch.isin(groups[held_out], groups[~held_out]).any()
    share = held_out.double().mean()
    return [
        torch.zeros_like(groups),
        bool(leaks),
        bool(share < 0.12 or share > 0.4),
        not torch.equal(mask, again),
        torch.equal(mask, other),
    ]


def _by_image(groups: Tensor, share: float, generator: torch.Generator) -> Tensor:
    return torch.rand(len(groups), generator=generator) < share


HELD_OUT_MASK = Exercise(
    name="held_out_mask",
    task="A random split in which all copies of an image are on one side.",
    reference=_held_out_mask,
    results=_split_results,
    mistakes={
        "copies of one image are on both sides: choose groups, not images, and hold out all images of a chosen "
        "group.": _by_image,
        "about three quarters are held out at a share of 0.25: this is the mask of the training "
        "images.": lambda groups, share, generator: ~_held_out_mask(groups, share, generator),
        "the choice is always the same: shuffle the groups, with the generator. The first groups may all be of one "
        "class.": lambda groups, share, generator: groups < share * int(groups.max()),
        "the same generator gives another split each time: give `generator=generator` to torch.randperm, or a resumed "
        "run holds out other images.": lambda groups, share, generator: _held_out_mask(
            groups, share, seeded(int(torch.randint(1 << 30, ())))
        ),
        "nothing is held out.": lambda groups, share, generator: torch.zeros(len(groups), dtype=torch.bool),
    },
)


# -- the kernel distance ----------------------------------------------------------------------------------------------


def _kid(x: Tensor, y: Tensor) -> Tensor:
    return torch.tensor(distances.kernel(x, y), dtype=torch.float64)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def _without_diagonal(k: Tensor) -> Tensor:
    """The mean over pairs of different items."""
    return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))


def _mmd(kernel: Callable[[Tensor, Tensor], Tensor], within: Callable[[Tensor], Tensor], cross: float = 2) -> Function:
    """The squared distance of another kernel, another mean within the sets, or another factor of the last term."""
    return lambda x, y: within(kernel(x, x)) + within(kernel(y, y)) - cross * kernel(x, y).mean()


def _kid_results(function: Function) -> list[Any]:
    x, y = normal(7, 5, seed=1), normal(11, 5, seed=2) + 0.5
    return [
        torch.as_tensor(function(a, b))
        for a, b in ((x, y), (y, x), (x, x.flip(0) * near(0.5)), (near(3.0) * x, near(3.0) * y))
    ]


KID = Exercise(
    name="kid",
    task="The unbiased kernel distance of two sets of features.",
    reference=_kid,
    results=_kid_results,
    mistakes={
        "this is the biased estimate: within a set, pairs of an item and itself do not count. They make the distance "
        "of two small samples of one distribution positive.": _mmd(_kernel, torch.mean),
        "the pairs of an item and itself are left out of the sum, but still counted: there are n (n − 1) pairs, not n "
        "squared.": _mmd(_kernel, lambda k: (k.sum() - k.diagonal().sum()) / len(k) ** 2),
        "the factor 2 of the last term is missing.": _mmd(_kernel, _without_diagonal, cross=1),
        "the scalar product is divided by the number of features, d.": _mmd(
            lambda x, y: (x @ y.T + 1) ** 3, _without_diagonal
        ),
        "the kernel is a third power.": _mmd(lambda x, y: (x @ y.T / x.shape[1] + 1) ** 2, _without_diagonal),
        "the 1 in the kernel is missing.": _mmd(lambda x, y: (x @ y.T / x.shape[1]) ** 3, _without_diagonal),
        "this is the square root. KID is the squared distance, so that it can be unbiased.": lambda x, y: (
            _kid(x, y).abs().sqrt()
        ),
    },
    atol=1e-7,
)


# -- a standard error -------------------------------------------------------------------------------------------------


def _left_out(statistic: Statistic, x: Tensor) -> Tensor:
    """The statistic of all items but one, for each."""
    return torch.stack([statistic(torch.cat([x[:i], x[i + 1 :]])) for i in range(len(x))])


def _jackknife(statistic: Statistic, x: Tensor) -> Tensor:
    values = _left_out(statistic, x)
    return ((len(x) - 1) * values.var(correction=0)).sqrt()


def _power(x: Tensor) -> Tensor:
    return x.square().mean() / x.mean().abs()


def _variance(x: Tensor) -> Tensor:
    return x.square().mean() - x.mean() ** 2


def _jackknife_results(function: Function) -> list[Any]:
    x, few = normal(13, seed=3) + 2, normal(4, 3, seed=4).exp()
    cases: list[tuple[Statistic, Tensor]] = [(torch.mean, x), (_power, x), (_variance, x), (_power, few)]
    return [torch.as_tensor(function(statistic, items)) for statistic, items in cases]


JACKKNIFE_ERROR = Exercise(
    name="jackknife_error",
    task="The standard error of any statistic, by leaving out one item at a time.",
    reference=_jackknife,
    results=_jackknife_results,
    mistakes={
        "the factor is missing. Sets with one item left out are nearly equal, so their spread is far too small: the "
        "sum of squares is multiplied by (n − 1)/n.": lambda statistic, x: _left_out(statistic, x).std(correction=0),
        "the factor (n − 1)/n is missing: the sum of squares is multiplied by it.": lambda statistic, x: (
            _jackknife(statistic, x) * math.sqrt(len(x) / (len(x) - 1))
        ),
        "this divides by n as if the values were independent. They are nearly equal: the factor is (n − 1)/n, close to "
        "1, not 1/n.": lambda statistic, x: _left_out(statistic, x).std() / math.sqrt(len(x)),
        "this is the variance. The standard error is its square root.": lambda statistic, x: (
            _jackknife(statistic, x) ** 2
        ),
        "this is the standard error of the mean of x, whatever the statistic.": lambda statistic, x: (
            x.std() / math.sqrt(len(x))
        ),
        "the statistic is taken of single items. Take it of all items but one.": lambda statistic, x: torch.stack(
            [statistic(item[None]) for item in x]
        ).std(correction=0),
    },
    atol=1e-7,
)


# -- memorisation -----------------------------------------------------------------------------------------------------


def _share_too_near(samples: Tensor, train: Tensor, held_out: Tensor) -> Tensor:
    found = neighbours.memorisation(samples.flatten(1), train.flatten(1), held_out.flatten(1))
    return torch.tensor(found.share, dtype=torch.float64)


def _nearest(images: Tensor, train: Tensor) -> Tensor:
    return neighbours.nearest(images.flatten(1), train.flatten(1)).distance


def _threshold(distances_of: Tensor, quantile: float = 0.05) -> Tensor:
    return distances_of.kthvalue(max(1, round(quantile * (len(distances_of) + 1)))).values


def _near_results(function: Function) -> list[Any]:
    """A model that copies a third of its samples, and one that copies none, in sets of several sizes."""
    train, held_out, fresh = (normal(n, 1, 3, 4, seed=seed) for n, seed in ((50, 5), (79, 6), (90, 7)))
    copies = train[:30] + 0.05 * normal(30, 1, 3, 4, seed=8)
    mixed = torch.cat([fresh[:60], copies])
    cases = [(mixed, train, held_out), (fresh, train, held_out), (fresh, train[:20], held_out[:30])]
    return [torch.as_tensor(function(*case)).double() for case in cases]


SHARE_TOO_NEAR = Exercise(
    name="share_too_near",
    task="The share of samples that are nearer to a training image than 95 % of held-out images are.",
    reference=_share_too_near,
    results=_near_results,
    mistakes={
        "the threshold is the distance of 95 % of the held-out images. Take the 5 % that are nearest: sort the "
        "distances and take the k-th smallest.": lambda samples, train, held_out: (
            (_nearest(samples, train) < _threshold(_nearest(held_out, train), 0.95)).double().mean()
        ),
        "this is the share that is farther away than the threshold.": lambda samples, train, held_out: (
            (_nearest(samples, train) >= _threshold(_nearest(held_out, train))).double().mean()
        ),
        "the threshold is taken of the distances of the samples. It has to be that of held-out images, which the model "
        "cannot have copied.": lambda samples, train, held_out: (
            (_nearest(samples, train) < _threshold(_nearest(samples, train))).double().mean()
        ),
        "the distances of the samples are to the held-out images. Copies are near to the training "
        "images.": lambda samples, train, held_out: (
            (_nearest(samples, held_out) < _threshold(_nearest(held_out, train))).double().mean()
        ),
        "the threshold is the mean distance of the held-out images. About half of all samples are below it, "
        "without any memorisation.": lambda samples, train, held_out: (
            (_nearest(samples, train) < _nearest(held_out, train).mean()).double().mean()
        ),
        "this is the number of samples. Return their share.": lambda samples, train, held_out: (
            len(samples) * _share_too_near(samples, train, held_out)
        ),
        "compare each sample with one threshold for all: the k-th smallest distance, not the smallest "
        "one.": lambda samples, train, held_out: (
            (_nearest(samples, train) < _nearest(held_out, train).min()).double().mean()
        ),
    },
    atol=1e-7,
)

EXERCISES = (FIRST_COPIES, HELD_OUT_MASK, KID, JACKKNIFE_ERROR, SHARE_TOO_NEAR)
"""The exercises, in the order of the lesson."""
