"""Solutions of lesson 12: wrong ones with a part of the hint that they must get, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "block_costs": {
        """
def block_costs(side, width):
    n = side * side
    return 9 * width**2 * n, 4 * width**2 * n, 2 * n**2 * width
""": "the cost of one",
        """
def block_costs(side, width):
    n = side * side
    return 2 * 3 * width**2 * n, 4 * width**2 * n, 2 * n**2 * width
""": "9 taps",
        """
def block_costs(side, width):
    n = side * side
    return 18 * width**2 * n, 3 * width**2 * n, 2 * n**2 * width
""": "with queries, keys and values there are four",
        """
def block_costs(side, width):
    n = side * side
    return 18 * width**2 * n, 4 * width**2 * n, n**2 * width
""": "two matrix products",
        """
def block_costs(side, width):
    n = side
    return 18 * width**2 * n, 4 * width**2 * n, 2 * n**2 * width
""": "n = side², not side",
        """
def block_costs(side, width):
    flops = 2
    n = side**2
    return flops * 18 * width**2 * n, flops * 4 * width**2 * n, flops * 2 * n**2 * width
""": "two for each multiply-add",
        """
def block_costs(side, width):
    n = side**2
    return 18 * width**2 * n, 4 * width**2 * n, 2 * n * width
""": "n² pairs",
    },
    "plan": {
        """
def plan(side, first, last):
    patch, halvings = 1, 0
    while -(-side // patch) > first and patch < 16:
        patch *= 2
    while -(-side // (patch * 2**halvings)) > last:
        halvings += 1
    return patch, halvings, -(-side // (patch * 2**halvings))
""": "the number of halvings",
        """
def plan(side, first, last):
    patch, levels = 1, 1
    while -(-side // patch) > first:
        patch *= 2
    while -(-side // (patch * 2 ** (levels - 1))) > last:
        levels += 1
    return patch, levels, -(-side // (patch * 2 ** (levels - 1)))
""": "at most 16",
        """
def plan(side, first, last):
    patch, levels = 1, 1
    while side // patch > first and patch < 16:
        patch *= 2
    while side // (patch * 2 ** (levels - 1)) > last:
        levels += 1
    return patch, levels, side // (patch * 2 ** (levels - 1))
""": "rounded up",
        """
def plan(side, first, last):
    patch, levels = 1, 1
    while -(-side // patch) >= first and patch < 16:
        patch *= 2
    while -(-side // (patch * 2 ** (levels - 1))) > last:
        levels += 1
    return patch, levels, -(-side // (patch * 2 ** (levels - 1)))
""": "smallest that suffices",
        """
def plan(side, first, last):
    patch, levels = 1, 1
    while -(-side // patch) > first and patch < 16:
        patch *= 2
    while -(-side // 2 ** (levels - 1)) > last:
        levels += 1
    return patch, levels, -(-side // (patch * 2 ** (levels - 1)))
""": "not the side itself",
        """
def plan(side, first, last):
    patch, levels = 1, 1
    while -(-side // patch) > first and patch < 16:
        patch *= 2
    while -(-side // (patch * 2 ** (levels - 1))) > last:
        levels += 1
    return patch, levels
""": "as many values as the text of the exercise names",
    },
    "band_power": {
        """
def band_power(images):
    n = images.shape[-1]
    power = (torch.fft.fft2(images).abs() ** 2).mean((0, 1))
    f = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    k = (f[:, None] ** 2 + f**2).sqrt().round()
    return torch.stack([power[k == i].mean() for i in range(n // 2 + 1)])
""": "not orthonormal",
        """
def band_power(images):
    n = images.shape[-1]
    power = torch.fft.fft2(images, norm="ortho").abs().mean((0, 1))
    f = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    k = (f[:, None] ** 2 + f**2).sqrt().round()
    return torch.stack([power[k == i].mean() for i in range(n // 2 + 1)])
""": "the mean of the amplitudes",
        """
def band_power(images):
    n = images.shape[-1]
    power = (torch.fft.fft2(images, norm="ortho").abs() ** 2).mean((0, 1))
    f = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    k = (f[:, None] ** 2 + f**2).sqrt().round()
    return torch.stack([power[k == i].sum() for i in range(n // 2 + 1)])
""": "the sum over a band",
        """
def band_power(images):
    n = images.shape[-1]
    power = (torch.fft.fft2(images, norm="ortho").abs() ** 2).mean((0, 1))
    f = torch.arange(n)
    k = (f[:, None] ** 2 + f**2).sqrt().round()
    return torch.stack([power[k == i].mean() for i in range(n // 2 + 1)])
""": "the negative ones",
        """
def band_power(images):
    n = images.shape[-1]
    power = (torch.fft.fft2(images, norm="ortho").abs() ** 2).mean((0, 1))
    f = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    k = (f[:, None] ** 2 + f**2).sqrt().long()
    return torch.stack([power[k == i].mean() for i in range(n // 2 + 1)])
""": "this rounds down",
        """
def band_power(images):
    n = images.shape[-1]
    power = (torch.fft.fft2(images, norm="ortho").real ** 2).mean((0, 1))
    f = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    k = (f[:, None] ** 2 + f**2).sqrt().round()
    return torch.stack([power[k == i].mean() for i in range(n // 2 + 1)])
""": "both parts count",
        """
def band_power(images):
    return (torch.fft.fft2(images, norm="ortho").abs() ** 2).mean((0, 1))
""": "return a tensor of shape (5,), not (8, 8)",
    },
    "wiener": {
        """
def wiener(x_t, power, a, b):
    gain = a**2 * power / (a**2 * power + b**2)
    return torch.fft.ifft2(gain * torch.fft.fft2(x_t)).real
""": "the numerator has a²",
        """
def wiener(x_t, power, a, b):
    gain = a * power**2 / (a**2 * power**2 + b**2)
    return torch.fft.ifft2(gain * torch.fft.fft2(x_t)).real
""": "do not square it",
        """
def wiener(x_t, power, a, b):
    return a * power / (a**2 * power + b**2) * x_t
""": "transform x_t first",
        """
def wiener(x_t, power, a, b):
    return torch.fft.ifft2(a * power / (a**2 * power + b**2) * torch.fft.fft2(x_t))
""": "real numbers",
        """
def wiener(x_t, power, a, b):
    eps = torch.fft.ifft2(b / (a**2 * power + b**2) * torch.fft.fft2(x_t)).real
    return eps
""": "this is E[ε | x_t]",
        """
def wiener(x_t, power, a, b):
    snr = power / b**2
    return torch.fft.ifft2(snr / (a**2 * snr + 1) * torch.fft.fft2(x_t)).real
""": "a is missing in the numerator",
        """
def wiener(x_t, power, a, b):
    return torch.fft.fft2(a * power / (a**2 * power + b**2) * torch.fft.fft2(x_t)).real
""": "the inverse is ifft2",
    },
    "loss_floor": {
        """
def loss_floor(variances, p, q, width):
    target = (p**2 * variances + q**2).sort(descending=True).values
    return target[:width].sum() / len(target)
""": "what the layer can represent",
        """
def loss_floor(variances, p, q, width):
    target = p**2 * variances + q**2
    return target[width:].sum() / len(target)
""": "largest first",
        """
def loss_floor(variances, p, q, width):
    target = (p**2 * variances + q**2).sort().values
    return target[width:].sum() / len(target)
""": "directions that matter least",
        """
def loss_floor(variances, p, q, width):
    target = (p**2 * variances + q**2).sort(descending=True).values
    return target[width:].sum()
""": "divide by D",
        """
def loss_floor(variances, p, q, width):
    left = (p**2 * variances + q**2).sort(descending=True).values[width:]
    return left.mean() if len(left) else torch.tensor(0.0)
""": "not over the directions that are left",
        """
def loss_floor(variances, p, q, width):
    left = variances.sort(descending=True).values[width:]
    return (p**2 * left).sum() / len(variances)
""": "noise has a variance, too",
        """
def loss_floor(variances, p, q, width):
    return variances.sort(descending=True).values[width:].sum() / len(variances)
""": "the floor for the data",
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
