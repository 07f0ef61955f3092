"""Solutions of lesson 12: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "block_costs": {
        "return 9 * width**2 * n, 4 * width**2 * n, 2 * n**2 * width": "the cost of one",
        "return 2 * 3 * width**2 * n, 4 * width**2 * n, 2 * n**2 * width": "9 taps",
        "return 18 * width**2 * n, 3 * width**2 * n, 2 * n**2 * width": "with queries, keys and values there are four",
        "return 18 * width**2 * n, 4 * width**2 * n, n**2 * width": "two matrix products",
        "n = side": "n = side², not side",
        "flops = 2\nreturn flops * 18 * width**2 * n, flops * 4 * width**2 * n, flops * 2 * n**2 * width": (
            "two for each multiply-add"
        ),
        "return 18 * width**2 * n, 4 * width**2 * n, 2 * n * width": "n² pairs",
    },
    "plan": {
        "return patch, levels - 1, -(-side // (patch * 2 ** (levels - 1)))": "the number of halvings",
        "while -(-side // patch) > first:": "at most 16",
        "while side // patch > first and patch < 16:\n"
        "while side // (patch * 2 ** (levels - 1)) > last:\n"
        "return patch, levels, side // (patch * 2 ** (levels - 1))": "rounded up",
        "while -(-side // patch) >= first and patch < 16:": "smallest that suffices",
        "while -(-side // 2 ** (levels - 1)) > last:": "not the side itself",
        "return patch, levels": "as many values as the text of the exercise names",
    },
    "band_power": {
        "power = (torch.fft.fft2(images).abs() ** 2).mean((0, 1))": "not orthonormal",
        'power = torch.fft.fft2(images, norm="ortho").abs().mean((0, 1))': "the mean of the amplitudes",
        "return torch.stack([power[k == i].sum() for i in range(n // 2 + 1)])": "the sum over a band",
        "f = torch.arange(n)": "the negative ones",
        "k = (f[:, None] ** 2 + f**2).sqrt().long()": "this rounds down",
        'power = (torch.fft.fft2(images, norm="ortho").real ** 2).mean((0, 1))': "both parts count",
        'return (torch.fft.fft2(images, norm="ortho").abs() ** 2).mean((0, 1))': (
            "return a tensor of shape (5,), not (8, 8)"
        ),
    },
    "wiener": {
        "return torch.fft.ifft2(a**2 * power / (a**2 * power + b**2) * waves).real": "the numerator has a²",
        "return torch.fft.ifft2(a * power**2 / (a**2 * power**2 + b**2) * waves).real": "do not square it",
        "return a * power / (a**2 * power + b**2) * x_t": "transform x_t first",
        "return torch.fft.ifft2(a * power / (a**2 * power + b**2) * torch.fft.fft2(x_t))": "real numbers",
        "return torch.fft.ifft2(b / (a**2 * power + b**2) * waves).real": "this is E[ε | x_t]",
        "return torch.fft.ifft2(power / (a**2 * power + b**2) * waves).real": "a is missing in the numerator",
        "return torch.fft.fft2(a * power / (a**2 * power + b**2) * waves).real": "the inverse is ifft2",
    },
    "loss_floor": {
        "return target[:width].sum() / len(target)": "what the layer can represent",
        "target = p**2 * variances + q**2": "largest first",
        "target = (p**2 * variances + q**2).sort().values": "directions that matter least",
        "return target[width:].sum()": "divide by D",
        "left = (p**2 * variances + q**2).sort(descending=True).values[width:]\n"
        "return left.mean() if len(left) else torch.tensor(0.0)": "not over the directions that are left",
        "target = (p**2 * variances).sort(descending=True).values": "noise has a variance, too",
        "target = variances.sort(descending=True).values": "the floor for the data",
    },
}

OTHERWISE: dict[str, list[str]] = {
    "block_costs": [
        """
def block_costs(side, width):
    positions, kernel = side * side, 3 * 3
    convolution = kernel * width * width * positions
    return [convolution + convolution, (3 * width + width) * width * positions, 2 * positions * positions * width]
""",
    ],
    "plan": [
        """
def plan(side, first, last):
    patch = next((p for p in (1, 2, 4, 8) if math.ceil(side / p) <= first), 16)
    sides = [math.ceil(side / patch)]
    while sides[-1] > last:
        sides.append(math.ceil(sides[-1] / 2))
    return patch, len(sides), sides[-1]
""",
    ],
    "band_power": [
        """
def band_power(images):
    n = images.shape[-1]
    waves = torch.view_as_real(torch.fft.fftn(images, dim=(2, 3)) / n)
    power = waves.square().sum(-1).mean((0, 1)).flatten()
    f = torch.cat([torch.arange(n // 2), torch.arange(-n // 2, 0)])
    k = torch.sqrt((f[:, None] ** 2 + f[None] ** 2).double()).round().long().flatten()
    found = torch.zeros(n, dtype=torch.float64).scatter_reduce(0, k, power, "mean", include_self=False)
    return found[: n // 2 + 1]
""",
    ],
    "wiener": [
        """
def wiener(x_t, power, a, b):
    n = x_t.shape[-1]
    waves = torch.fft.fft2(x_t, norm="ortho")
    eps = torch.fft.ifft2(b * waves / (a**2 * power + b**2), norm="ortho").real
    return (x_t - b * eps) / a
""",
        """
def wiener(x_t, power, a, b):
    half = power[:, : power.shape[1] // 2 + 1]
    return torch.fft.irfft2(torch.fft.rfft2(x_t) * a / (a**2 + b**2 / half), s=x_t.shape[2:])
""",
    ],
    "loss_floor": [
        """
def loss_floor(variances, p, q, width):
    spread = sorted(p * p * v + q * q for v in variances.tolist())
    return sum(spread[: max(0, len(spread) - width)]) / len(spread)
""",
    ],
}
