"""Planted mistakes of lesson 2, with a part of the hint that each should get, and right answers in another style."""

JUMP = """def jump(x_s, eps, s, t, a, b):
    r, variance = {}
    return r * x_s + variance ** 0.5 * eps
"""
TABLES = """def signal_and_noise(beta):
    left = torch.cat([{}])
    return left.sqrt(), (1 - left).sqrt()
"""
BETAS = """def betas_for_log_snr(log_snr):
    one = torch.ones(1).double()
    alpha_bar = torch.cat([one, 1 / (1 + (-log_snr).exp())])
    return {}
"""

WRONG = {
    "signal_and_noise": {
        "def signal_and_noise(beta):\n    left = (1 - torch.cat([torch.zeros(1), beta]).double()).cumprod(0)\n"
        "    return left, 1 - left": "not variances",
        "def signal_and_noise(beta):\n    left = (1 - torch.cat([torch.zeros(1), beta]).double()).cumprod(0)\n"
        "    return left ** 0.5, 1 - left": "b is a square root as well",
        "def signal_and_noise(beta):\n    left = (1 - torch.cat([torch.zeros(1), beta]).double()).cumprod(0)\n"
        "    return (1 - left) ** 0.5, left ** 0.5": "swapped",
        "def signal_and_noise(beta):\n    alpha = torch.cat([torch.ones(1), 1 - beta.float()])\n"
        "    alpha_bar = torch.cumprod(alpha, dim=0)\n"
        "    return torch.sqrt(alpha_bar), torch.sqrt(1 - alpha_bar)": "lost its digits",
        "def signal_and_noise(beta):\n    beta = torch.cat([torch.zeros(1), beta]).double()\n"
        "    return (1 - beta).sqrt(), beta.sqrt()": "single steps",
        "def signal_and_noise(beta):\n    alpha_bar = (1 - beta.double()).cumprod(0)\n"
        "    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()": "return a tensor of shape (1001,)",
        TABLES.format("torch.ones(1), (1 - beta).cumprod(0).double()"): "before you converted it",
        TABLES.format("torch.ones(1), (1 - beta).double().cumprod(0)"): "before you converted it",
        TABLES.format("torch.zeros(1), (1 - beta.double()).cumprod(0)"): "not 0",
        TABLES.format("(1 - beta.double()).cumprod(0), torch.ones(1)"): "yours is at the end",
        TABLES.format("torch.ones(1), beta.double().cumprod(0)"): "not the product of β",
        "def signal_and_noise(beta):\n    beta = torch.cat([torch.zeros(1), beta]).double()\n"
        "    return (1 - beta).cumprod(0).sqrt(), beta.cumsum(0).sqrt()": "not the sum of β",
        "def signal_and_noise(beta):\n    left = [1.0]\n    for value in beta:\n"
        "        left.append(left[-1] * (1 - value))\n    left = torch.tensor(left)\n"
        "    return left.sqrt(), (1 - left).sqrt()": "before you converted it",
        "def signal_and_noise(beta):\n    return torch.cat([torch.zeros(1), beta]).double()": "return the two tables",
    },
    "snr_for_error": {
        "def snr_for_error(error, std):\n    return error ** -2": "what is known before",
        "def snr_for_error(error, std):\n    return error ** -2 + std ** -2": "the sign is wrong",
        "def snr_for_error(error, std):\n    return 1 / std.square() - 1 / error.square()": "terms are swapped",
        "def snr_for_error(error, std):\n    return (std - error) / (error * std)": "square the error",
        "def snr_for_error(error, std):\n    return (std**2 - error**2) / error**2": "SNR times std²",
        "def snr_for_error(error, std):\n    return (1 / error - 1 / std) ** 2": "both squares first",
        "def snr_for_error(error, std):\n    return 1 / (error**2 - std**2)": "not variances",
        "def snr_for_error(error, std):\n    return error ** -2 - std**2": "not std²",
        "def snr_for_error(error, std):\n    return error ** -2 - 1 / std": "square the standard deviation",
        "def snr_for_error(error, std):\n    return 1 / error - std ** -2": "square the error",
        "def snr_for_error(error, std):\n    return math.sqrt(error ** -2 - std ** -2)": "math is for numbers",
        "def snr_for_error(error, std):\n    return torch.sqrt(error ** -2 - std ** -2)": "ratio a/b",
    },
    "betas_for_log_snr": {
        BETAS.format("1 - alpha_bar[1:]"): "all steps together",
        BETAS.format("alpha_bar[1:] / alpha_bar[:-1]"): "factor of ᾱ in one step",
        BETAS.format("alpha_bar[:-1] - alpha_bar[1:]"): "divided by ᾱ_{t−1}",
        BETAS.format("alpha_bar[:-1] / alpha_bar[1:] - 1"): "not by ᾱ_t",
        BETAS.format("1 - (alpha_bar[1:] / alpha_bar[:-1]) ** 0.5"): "√ᾱ stands",
        BETAS.format("1 - alpha_bar[:-1] / alpha_bar[1:]"): "upside down",
        BETAS.format("alpha_bar[1:] / alpha_bar[:-1] - 1"): "sign is wrong",
        BETAS.format("torch.sqrt(1 - alpha_bar[1:] / alpha_bar[:-1])"): "this is √β_t",
        BETAS.format("1 - alpha_bar[1:] / torch.cat([0 * one, alpha_bar[1:-1]])"): "you take 0 for it",
        "def betas_for_log_snr(log_snr):\n    snr = torch.cat([torch.ones(1).double(), log_snr.exp()])\n"
        "    return 1 - snr[1:] / snr[:-1]": "is the SNR",
        "def betas_for_log_snr(log_snr):\n    left = torch.cat([1 + 0 * log_snr[:1], 1 / ((-log_snr).exp() - 1)])\n"
        "    return 1 - left[1:] / left[:-1]": "minus in the denominator",
        BETAS.format("1 - alpha_bar[2:] / alpha_bar[1:-1]"): "return a tensor of shape (1000,)",
    },
    "jump": {
        JUMP.format("a[t] / a[s], 1 - (a[t] / a[s]) ** 2"): "variance-preserving schedules only",
        JUMP.format("a[t] / a[s], b[t] ** 2 - b[s] ** 2"): "is scaled together with x_s",
        JUMP.format("a[t] / a[s], b[t] ** 2"): "holds noise already",
        JUMP.format("a[t] / a[s], (b[t] ** 2 - (a[t] / a[s]) ** 2 * b[s] ** 2) ** 2"): "standard deviation",
        JUMP.format("a[t], b[t] ** 2"): "jump from time 0",
        JUMP.format("a[t] / a[s], b[t] ** 2 - a[t] / a[s] * b[s] ** 2"): "the factor is squared",
        JUMP.format("a[s] / a[t], b[t] ** 2 - (a[t] / a[s]) ** 2 * b[s] ** 2"): "its inverse",
        JUMP.format("(a[t] / a[s]) ** 0.5, b[t] ** 2 - (a[t] / a[s]) ** 2 * b[s] ** 2"): "no square root",
        JUMP.format("(a[t] / a[s]) ** 2, b[t] ** 2 - (a[t] / a[s]) ** 2 * b[s] ** 2"): "not its square",
        JUMP.format("1, b[t] ** 2 - (a[t] / a[s]) ** 2 * b[s] ** 2"): "so that the signal gets",
        JUMP.format("a[t] / a[s], 0"): "eps is missing",
        JUMP.format("a[t] / a[s], (b[t] - b[s]) ** 2"): "the old noise is scaled",
        JUMP.format("a[t] / a[s], torch.rand(1)"): "draw no random numbers",
        JUMP.format("1, b[t] ** 2"): "the factor of x_s is off: at s = 0, t = 10",
    },
}

OTHERWISE = {
    "signal_and_noise": [
        "def signal_and_noise(beta):\n    a, b, left = [1.0], [0.0], 1.0\n"
        "    for step in beta.double().tolist():\n        left *= 1 - step\n"
        "        a.append(math.sqrt(left))\n        b.append(math.sqrt(1 - left))\n"
        "    return torch.tensor(a).double(), torch.tensor(b).double()",
    ],
    "snr_for_error": ["def snr_for_error(error, std):\n    return (std**2 - error**2) / (std**2 * error**2)"],
    "betas_for_log_snr": [
        "def betas_for_log_snr(log_snr):\n    beta, before = [], 1.0\n    for value in log_snr.tolist():\n"
        "        now = 1 / (1 + math.exp(-value))\n        beta.append(1 - now / before)\n        before = now\n"
        "    return torch.tensor(beta, dtype=torch.float64)",
        "def betas_for_log_snr(log_snr):\n    log = torch.nn.functional.logsigmoid(log_snr)\n"
        "    return -torch.expm1(torch.diff(log, prepend=torch.zeros(1, dtype=torch.float64)))",
    ],
    "jump": [
        "def jump(x_s, eps, s, t, a, b):\n    added = b[t] * b[t] - (a[t] * b[s] / a[s]) ** 2\n"
        "    return a[t] * x_s / a[s] + torch.sqrt(added) * eps",
    ],
}
