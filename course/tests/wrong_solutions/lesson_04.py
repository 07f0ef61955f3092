"""Solutions of lesson 4: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "average": {
        "return mean": "it is too small",
        "mean = weights[0]\nreturn mean": "first weights",
        "mean = (1 - decay) * mean + decay * weight\nreturn mean / (1 - (1 - decay) ** len(weights))": "swapped",
        "return mean / (1 - decay ** (len(weights) + 1))": "too many",
        "factors = torch.tensor([decay**k for k in range(len(weights))]).to(weights)\n"
        "return (factors[:, None] * weights).sum(0) / factors.sum()": "oldest",
        "return weights.mean(0)": "plain mean",
    },
    "effect": {
        "return differences.mean(), differences.std()": "by √n",
        "d = variant - baseline\nreturn d.mean(), (d - d.mean()).square().mean().sqrt() / math.sqrt(len(d))": "n − 1",
        "return differences.mean(), differences.std() / len(differences)": "not by n",
        "differences = baseline - variant": "other sign",
        "n = len(variant)\n"
        "error = (variant.var() / n + baseline.var() / n) ** 0.5\n"
        "return variant.mean() - baseline.mean(), error": "share their seeds",
    },
    "convert": {
        "return new[0] * x_0 + new[1] * (answer - p * x_0) / q": "or 0/0",
        "return new[0] * (x_t - b * eps) / a + new[1] * eps": "at a = 0",
        "return new[0] * x_0 + new[1] * (x_t - a * x_0) / b": "at b = 0",
        "return new[0] * x_0 + new[1] * (1 / q * answer - p / q * x_0)": "may be 0",
        "x_0, eps = q * x_t - b * answer, a * answer - p * x_t": "divided by the determinant",
        "return new[0] * eps + new[1] * x_0": "swapped",
        "return new[0] * (q * x_t + b * answer) / d + new[1] * (a * answer - p * x_t) / d": "x_0 is (q x_t",
        "x_0 = (x_t - b * answer) / a\nreturn new[0] * x_0 + new[1] * answer": "as ε itself",
        "return new[0] * (q * x_t - b * answer) / d + new[1] * (a * answer + p * x_t) / d": "ε is (a · answer",
    },
    "merge_steps": {
        "return beta.reshape(-1, k).sum(1)": "do not add up",
        "return beta[::k]": "but the first",
        "return (1 - beta).reshape(-1, k).prod(1)": "what is left",
        "return 1 - (1 - beta).reshape(k, -1).prod(0)": "far apart",
        "alpha_bar = (1 - beta).cumprod(0)\nreturn 1 - alpha_bar[k - 1 :: k]": "at its beginning",
        "return beta.reshape(-1, k).prod(1)": "not the β",
    },
}

OTHERWISE = {
    "average": [
        "def average(weights, decay):\n"
        "    total, mean = 0.0, torch.zeros_like(weights[0])\n"
        "    for w in weights:\n"
        "        total = decay * total + 1\n"
        "        mean = mean + (w - mean) / total\n"
        "    return mean",
    ],
    "effect": [
        "def effect(variant, baseline):\n"
        "    d = [float(v - b) for v, b in zip(variant, baseline)]\n"
        "    mean = sum(d) / len(d)\n"
        "    return mean, math.sqrt(sum((x - mean) ** 2 for x in d) / (len(d) * (len(d) - 1)))",
    ],
    "convert": [
        "def convert(answer, x_t, a, b, old, new):\n"
        "    system = torch.tensor([[a, b], list(old)], dtype=x_t.dtype)\n"
        "    both = torch.linalg.solve(system, torch.stack([x_t.flatten(), answer.flatten()]))\n"
        "    return (new[0] * both[0] + new[1] * both[1]).reshape(x_t.shape)",
    ],
    "merge_steps": [
        "def merge_steps(beta, k):\n"
        "    alpha_bar = torch.cat([torch.ones(1, dtype=beta.dtype), (1 - beta).cumprod(0)])[::k]\n"
        "    return 1 - alpha_bar[1:] / alpha_bar[:-1]",
        "def merge_steps(beta, k):\n"
        "    merged = []\n"
        "    for start in range(0, len(beta), k):\n"
        "        variance = torch.zeros((), dtype=beta.dtype)\n"
        "        for b in beta[start : start + k]:\n"
        "            variance = (1 - b) * variance + b\n"
        "        merged.append(variance)\n"
        "    return torch.stack(merged)",
    ],
}
