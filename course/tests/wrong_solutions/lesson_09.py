"""Solutions of lesson 9: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "first_copies": {
        """
def first_copies(images):
    seen, result = {}, []
    for i, image in enumerate(images):
        key = image.numpy().tobytes()
        result.append(seen.get(key, i))
        seen[key] = i
    return torch.tensor(result)
""": "this is the copy before",
        "last = {image.numpy().tobytes(): i for i, image in enumerate(images)}\n"
        "return torch.tensor([last[image.numpy().tobytes()] for image in images])": "index of the last copy",
        "sums = images.flatten(1).long().sum(1).tolist()\n"
        "return torch.tensor([sums.index(value) for value in sums])": "the sum of the pixels is not the content",
        """
def first_copies(images):
    result = [0]
    for i in range(1, len(images)):
        result.append(result[-1] if (images[i] == images[i - 1]).all() else i)
    return torch.tensor(result)
""": "only copies that follow directly",
        "return torch.tensor([seen.setdefault(image, i) for i, image in enumerate(images)])": "taken for new",
    },
    "held_out_mask": {
        "count = round(share * len(groups))\n"
        "mask = torch.zeros(len(groups), dtype=torch.bool)\n"
        "mask[torch.randperm(len(groups), generator=generator)[:count]] = True\n"
        "return mask": "copies of one image are on both sides",
        "return ~torch.isin(groups, shuffled[: round(share * len(numbers))])": (
            "this is the mask of the training images"
        ),
        "return torch.isin(groups, numbers[: round(share * len(numbers))])": "the choice is always the same",
        "shuffled = numbers[torch.randperm(len(numbers))]": "the same generator gives another split",
    },
    "kid": {
        "return kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()": "this is the biased estimate",
        "return within(x) + within(y) - kernel(x, y).mean()": "the factor 2 of the last",
        "return (u @ v.T + 1) ** 3": "divided by the number of features",
        "return (k.sum() - k.diagonal().sum()) / len(u) ** 2": "but still counted",
        "return (u @ v.T / u.shape[1] + 1) ** 2": "a third power",
    },
    "jackknife_error": {
        "return (values - values.mean()).square().mean().sqrt()": "the factor is missing",
        "return values.std() / len(x) ** 0.5": "as if the values were independent",
        "return (len(x) - 1) / len(x) * (values - values.mean()).square().sum()": "this is the variance",
        "return x.std() / len(x) ** 0.5": "whatever the statistic",
        "return (values - values.mean()).square().sum().sqrt()": "the factor (n − 1)/n is missing",
    },
    "share_too_near": {
        "threshold = unseen.sort(descending=True).values[max(1, round(0.05 * (len(unseen) + 1))) - 1]": (
            "Take the 5 % that are nearest"
        ),
        "unseen = to_nearest(samples)": "taken of the distances of the samples",
        "threshold = unseen.mean()": "the mean distance of the held-out images",
        "threshold, train = unseen.sort().values[max(1, round(0.05 * (len(unseen) + 1))) - 1], held_out": (
            "Copies are near to the training images"
        ),
        "threshold = unseen.min()": "not the smallest one",
    },
}

OTHERWISE = {
    "first_copies": [
        "def first_copies(images):\n"
        "    result = []\n"
        "    for image in images:\n"
        "        for j, earlier in enumerate(images):\n"
        "            if bool((image == earlier).all()):\n"
        "                result.append(j)\n"
        "                break\n"
        "    return torch.tensor(result)\n"
    ],
    "held_out_mask": [
        "def held_out_mask(groups, share, generator):\n"
        "    score = torch.rand(int(groups.max()) + 1, generator=generator)\n"
        "    return score[groups] < share\n"
    ],
    "kid": [
        "def kid(x, y):\n"
        "    n, m, total = len(x), len(y), 0.0\n"
        "    k = lambda a, b: (float(a @ b) / len(a) + 1) ** 3\n"
        "    total += sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))\n"
        "    total += sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))\n"
        "    return total - 2 * sum(k(a, b) for a in x for b in y) / (n * m)\n"
    ],
    "jackknife_error": [
        "def jackknife_error(statistic, x):\n"
        "    n, values = len(x), []\n"
        "    for i in range(n):\n"
        "        values.append(float(statistic(x[[j for j in range(n) if j != i]])))\n"
        "    mean = sum(values) / n\n"
        "    return ((n - 1) / n * sum((value - mean) ** 2 for value in values)) ** 0.5\n"
    ],
    "share_too_near": [
        "def share_too_near(samples, train, held_out):\n"
        "    def to_nearest(image):\n"
        "        return min(float(((image - other) ** 2).sum()) ** 0.5 for other in train)\n"
        "    others = sorted(to_nearest(image) for image in held_out)\n"
        "    threshold = others[max(1, round(0.05 * (len(others) + 1))) - 1]\n"
        "    return sum(to_nearest(image) < threshold for image in samples) / len(samples)\n"
    ],
}
