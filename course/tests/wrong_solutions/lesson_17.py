"""Planted mistakes of lesson 17, with a part of the hint that each should get, and right answers in another style."""

PRINCIPAL = """def principal(x, k):
    m = x.mean(0)
    e = torch.linalg.eigh((x - m).T @ (x - m))
    return {}
"""
SHIFT = "def log_snr_shift(s):\n    return {}\n"
DECODER = """def noisy_decoder(variance, power, sigma):
    total = power + sigma**2
    return {}
"""
POWERS = """def powers(variances, total, sigma):
    root = variances.sqrt()
    p = (total + len(root) * sigma**2) / root.sum() * root - sigma**2
    return {}
"""

WRONG = {
    "principal": {
        PRINCIPAL.format("m, e.eigenvectors[:, :k]"): "the smallest up",
        PRINCIPAL.format("m, torch.linalg.eigh(x.T @ x).eigenvectors[:, -k:]"): "Subtract the mean first",
        PRINCIPAL.format("m, torch.linalg.eigh(x.T.corrcoef()).eigenvectors[:, -k:]"): "by its deviation first",
        PRINCIPAL.format("m, e.eigenvectors[:, -k:] * (e.eigenvalues[-k:] / len(x)) ** 0.5"): "have the length 1",
        PRINCIPAL.format("m, e.eigenvectors[-k:].T"): "you take its rows",
        PRINCIPAL.format("m, e.eigenvectors[-k:]"): "its columns are the directions",
        PRINCIPAL.format("0 * m, e.eigenvectors[:, -k:]"): "m is the mean of the data",
        PRINCIPAL.format("e.eigenvectors[:, -k:]"): "return the mean and W",
        PRINCIPAL.format("m, torch.linalg.svd(x - m).Vh[:, :k]"): "rows of Vh",
        PRINCIPAL.format("m, torch.linalg.eig((x - m).T @ (x - m)).eigenvectors.real[:, :k]"): "no order",
    },
    "log_snr_shift": {
        SHIFT.format("2 * s.log()"): "they need more noise",
        SHIFT.format("-s.log()"): "The 2 is missing",
        SHIFT.format("s**-2"): "Its logarithm is what is added",
        SHIFT.format("-2 * s.log10()"): "powers of ten",
        SHIFT.format("-(1 + s**2).log()"): "You keep the 1",
    },
    "noisy_decoder": {
        DECODER.format("(variance / power) ** 0.5, variance * sigma**2 / total"): "the noise is missing",
        DECODER.format("(power / variance) ** 0.5 / total, variance * sigma**2 / total"): "yours has √(p/λ)",
        DECODER.format("power / total, variance * sigma**2 / total"): "yours has p",
        DECODER.format("(variance * power) ** 0.5 / total, sigma**2 / total"): "relative to λ",
        DECODER.format("(variance * power) ** 0.5 / total, variance * power / total"): "what is kept",
        DECODER.format(
            "(variance * power) ** 0.5 / total, variance * power * sigma**2 / total**2"
        ): "second is missing",
        DECODER.format("(variance * power) ** 0.5 / (power + sigma), variance * sigma / (power + sigma)"): "in both",
    },
    "powers": {
        POWERS.format("p"): "some powers are negative",
        POWERS.format("p.clamp(min=0)"): "the sum is more than the total",
        POWERS.format("p.clamp(min=0) * total / p.clamp(min=0).sum()"): "you scale the rest",
        POWERS.format("torch.ones_like(root) * total / len(root)"): "equal powers",
        POWERS.format("total * variances / variances.sum()"): "in proportion to the variance",
        POWERS.format("total * root / root.sum()"): "It is p + σ² that is",
        POWERS.format("total * (root == root.max())"): "others come next",
    },
}

OTHERWISE = {
    "principal": [
        "def principal(x, k):\n    m = x.sum(0) / len(x)\n    return m, torch.linalg.svd(x - m).Vh[:k].T\n",
        "def principal(x, k):\n    return x.mean(0), torch.linalg.eigh(x.T.cov()).eigenvectors.flip(1)[:, :k]\n",
    ],
    "log_snr_shift": [SHIFT.format("-torch.log(s * s)"), SHIFT.format("(1 / s**2).log()")],
    "noisy_decoder": [
        """def noisy_decoder(variance, power, sigma):
    g = torch.sqrt(power / variance)
    d = g * variance / (g * g * variance + sigma * sigma)
    return d, (1 - d * g) ** 2 * variance + d**2 * sigma**2
"""
    ],
    "powers": [
        """def powers(variances, total, sigma):
    low, high = 0.0, 1e6
    for _ in range(200):
        c = (low + high) / 2
        p = (c * variances.sqrt() - sigma**2).clamp(min=0)
        low, high = (c, high) if p.sum() < total else (low, c)
    return p
""",
        """def powers(variances, total, sigma):
    active = torch.ones_like(variances, dtype=torch.bool)
    while True:
        root = variances.sqrt() * active
        p = (total + active.sum() * sigma**2) / root.sum() * root - sigma**2
        if (p[active] > 0).all():
            return torch.where(active, p, 0.0)
        active = active & (p > 0)
""",
    ],
}
