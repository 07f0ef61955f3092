"""Wrong solutions of lesson 9, each with a part of the hint that it must get, and right ones in another style."""

WRONG = {
    "first_copies": {
        "def first_copies(images):\n"
        "    seen, result = {}, []\n"
        "    for i, image in enumerate(images):\n"
        "        key = image.numpy().tobytes()\n"
        "        result.append(seen.get(key, i))\n"
        "        seen[key] = i\n"
        "    return torch.tensor(result)\n": "this is the copy before",
        "def first_copies(images):\n"
        "    last = {image.numpy().tobytes(): i for i, image in enumerate(images)}\n"
        "    return torch.tensor([last[image.numpy().tobytes()] for image in images])\n": "index of the last copy",
        "def first_copies(images):\n"
        "    sums = images.flatten(1).long().sum(1).tolist()\n"
        "    return torch.tensor([sums.index(value) for value in sums])\n": "the sum of the pixels is not the content",
        "def first_copies(images):\n"
        "    result = [0]\n"
        "    for i in range(1, len(images)):\n"
        "        result.append(result[-1] if (images[i] == images[i - 1]).all() else i)\n"
        "    return torch.tensor(result)\n": "only copies that follow directly",
        "def first_copies(images):\n"
        "    seen = {}\n"
        "    return torch.tensor([seen.setdefault(image, i) for i, image in enumerate(images)])\n": "taken for new",
    },
    "held_out_mask": {
        "def held_out_mask(groups, share, generator):\n"
        "    count = round(share * len(groups))\n"
        "    mask = torch.zeros(len(groups), dtype=torch.bool)\n"
        "    mask[torch.randperm(len(groups), generator=generator)[:count]] = True\n"
        "    return mask\n": "copies of one image are on both sides",
        "def held_out_mask(groups, share, generator):\n"
        "    ids = torch.tensor(sorted(set(groups.tolist())))\n"
        "    chosen = ids[torch.randperm(len(ids), generator=generator)[: round(share * len(ids))]]\n"
        "    return ~torch.isin(groups, chosen)\n": "this is the mask of the training images",
        "def held_out_mask(groups, share, generator):\n"
        "    ids = torch.tensor(sorted(set(groups.tolist())))\n"
        "    return torch.isin(groups, ids[: round(share * len(ids))])\n": "the choice is always the same",
        "def held_out_mask(groups, share, generator):\n"
        "    ids = torch.tensor(sorted(set(groups.tolist())))\n"
        "    chosen = ids[torch.randperm(len(ids))[: round(share * len(ids))]]\n"
        "    return torch.isin(groups, chosen)\n": "the same generator gives another split",
    },
    "kid": {
        "def kid(x, y):\n"
        "    k = lambda u, v: ((u @ v.T / u.shape[1] + 1) ** 3).mean()\n"
        "    return k(x, x) + k(y, y) - 2 * k(x, y)\n": "this is the biased estimate",
        "def kid(x, y):\n"
        "    def within(u):\n"
        "        k = (u @ u.T / u.shape[1] + 1) ** 3\n"
        "        return k.fill_diagonal_(0).sum() / len(u) / (len(u) - 1)\n"
        "    return within(x) + within(y) - ((x @ y.T / x.shape[1] + 1) ** 3).mean()\n": "the factor 2 of the last",
        "def kid(x, y):\n"
        "    def within(u):\n"
        "        k = (u @ u.T + 1) ** 3\n"
        "        return k.fill_diagonal_(0).sum() / len(u) / (len(u) - 1)\n"
        "    return within(x) + within(y) - 2 * ((x @ y.T + 1) ** 3).mean()\n": "divided by the number of features",
        "def kid(x, y):\n"
        "    def within(u):\n"
        "        return ((u @ u.T / u.shape[1] + 1) ** 3).fill_diagonal_(0).mean()\n"
        "    return within(x) + within(y) - 2 * ((x @ y.T / x.shape[1] + 1) ** 3).mean()\n": "but still counted",
        "def kid(x, y):\n"
        "    def within(u):\n"
        "        return ((u @ u.T / u.shape[1] + 1) ** 2).fill_diagonal_(0).sum() / len(u) / (len(u) - 1)\n"
        "    return within(x) + within(y) - 2 * ((x @ y.T / x.shape[1] + 1) ** 2).mean()\n": "a third power",
    },
    "jackknife_error": {
        "def jackknife_error(statistic, x):\n"
        "    values = torch.stack([statistic(x[torch.arange(len(x)) != i]) for i in range(len(x))])\n"
        "    return (values - values.mean()).square().mean().sqrt()\n": "the factor is missing",
        "def jackknife_error(statistic, x):\n"
        "    values = torch.stack([statistic(x[torch.arange(len(x)) != i]) for i in range(len(x))])\n"
        "    return values.std() / len(x) ** 0.5\n": "as if the values were independent",
        "def jackknife_error(statistic, x):\n"
        "    values = torch.stack([statistic(x[torch.arange(len(x)) != i]) for i in range(len(x))])\n"
        "    return (len(x) - 1) / len(x) * (values - values.mean()).square().sum()\n": "this is the variance",
        "def jackknife_error(statistic, x):\n    return x.std() / len(x) ** 0.5\n": "whatever the statistic",
        "def jackknife_error(statistic, x):\n"
        "    values = torch.stack([statistic(x[torch.arange(len(x)) != i]) for i in range(len(x))])\n"
        "    return (values - values.mean()).square().sum().sqrt()\n": "the factor (n − 1)/n is missing",
    },
    "share_too_near": {
        "def share_too_near(samples, train, held_out):\n"
        "    own = torch.cdist(samples.flatten(1), train.flatten(1)).amin(1)\n"
        "    others = torch.cdist(held_out.flatten(1), train.flatten(1)).amin(1)\n"
        "    limit = others.sort(descending=True).values[round(0.05 * (len(others) + 1)) - 1]\n"
        "    return (own < limit).double().mean()\n": ("Take the 5 % that are nearest"),
        "def share_too_near(samples, train, held_out):\n"
        "    own = torch.cdist(samples.flatten(1), train.flatten(1)).amin(1)\n"
        "    return (own < own.sort().values[round(0.05 * (len(own) + 1)) - 1]).double().mean()\n": (
            "taken of the distances of the samples"
        ),
        "def share_too_near(samples, train, held_out):\n"
        "    own = torch.cdist(samples.flatten(1), train.flatten(1)).amin(1)\n"
        "    others = torch.cdist(held_out.flatten(1), train.flatten(1)).amin(1)\n"
        "    return (own < others.mean()).double().mean()\n": "the mean distance of the held-out images",
        "def share_too_near(samples, train, held_out):\n"
        "    own = torch.cdist(samples.flatten(1), held_out.flatten(1)).amin(1)\n"
        "    others = torch.cdist(held_out.flatten(1), train.flatten(1)).amin(1)\n"
        "    return (own < others.sort().values[round(0.05 * (len(others) + 1)) - 1]).double().mean()\n": (
            "Copies are near to the training images"
        ),
        "def share_too_near(samples, train, held_out):\n"
        "    own = torch.cdist(samples.flatten(1), train.flatten(1)).amin(1)\n"
        "    others = torch.cdist(held_out.flatten(1), train.flatten(1)).amin(1)\n"
        "    return (own < others.min()).double().mean()\n": "not the smallest one",
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
