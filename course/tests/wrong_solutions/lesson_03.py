"""Planted mistakes of lesson 3, with a part of the hint that each should get, and right answers in another style."""

POSTERIOR = """def posterior(x_0, x_t, s, t, a, b):
    r, v_s, v_t = a[t] / a[s], b[s] ** 2, b[t] ** 2
    beta = {}
    return {}
"""
BETA = "v_t - r * r * v_s"
SCORE = """def mean_from_score(x_t, score, s, t, a, b):
    r = a[t] / a[s]
    beta = b[t] ** 2 - (r * b[s]) ** 2
    return {}
"""
KL = """def kl_bits(mean_q, var_q, mean_p, var_p):
    d = (mean_q - mean_p) ** 2
    return {}
"""
BIN = """def log_bin(x, mean, std):
    x, mean = x{0}, mean{0}
    lower = torch.where(x < -0.999, torch.tensor(-math.inf).to(x), (x - {1} - mean) / std)
    upper = torch.where(x > 0.999, torch.tensor(math.inf).to(x), (x + {1} - mean) / std)
    {2}
"""
MIRROR = """flip = lower < -upper
    lower, upper = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    """
TAILS = "0.5 * (torch.erfc(lower / 2 ** 0.5) - torch.erfc(upper / 2 ** 0.5))"
UNDER = "0.5 * (torch.erfc(-upper / 2 ** 0.5) - torch.erfc(-lower / 2 ** 0.5))"
PHI = "torch.special.ndtr(upper) - torch.special.ndtr(lower)"
ERF = "0.5 * (torch.erf(upper / 2 ** 0.5) - torch.erf(lower / 2 ** 0.5))"
WEIGHT = """def eps_weight(t, a, b, variance):
    s = t - 1
    r = a[t] / a[s]
    beta = b[t] ** 2 - r ** 2 * b[s] ** 2
    return {}
"""

WRONG = {
    "posterior": {
        POSTERIOR.format(BETA, "r * v_s / v_t * x_0 + a[s] * beta / v_t * x_t, beta * v_s / v_t"): "swapped",
        POSTERIOR.format(BETA, "(a[t] * beta * x_0 + r * v_s * x_t) / v_t, beta * v_s / v_t"): "not a_t",
        POSTERIOR.format(BETA, "(a[s] * beta * x_0 + r * v_s * x_t) / v_t, beta"): "that of the forward step",
        POSTERIOR.format(BETA, "(a[s] * beta * x_0 + r * v_s * x_t) / v_t, (beta * v_s / v_t) ** 0.5"): "deviation",
        POSTERIOR.format("1 - r ** 2", "(a[s] * beta * x_0 + r * v_s * x_t) / v_t, beta * v_s / v_t"): "preserving",
        POSTERIOR.format("v_t - v_s", "(a[s] * beta * x_0 + r * v_s * x_t) / v_t, beta * v_s / v_t"): "is scaled by",
        "def posterior(x_0, x_t, s, t, a, b):\n    r = a[t] / a[s]\n    beta = b[t] ** 2 - (r * b[s]) ** 2\n"
        "    precision = r ** 2 / beta + b[s] ** -2\n"
        "    return (r * x_t / beta + a[s] * x_0 / b[s] ** 2) / precision, 1 / precision": "divides by b_0 = 0",
        POSTERIOR.format(BETA, "(beta * x_0 + r * v_s * x_t) / v_t, beta * v_s / v_t"): "factor a_s",
        POSTERIOR.format(BETA, "(a[s] * beta * x_0 + v_s * x_t) / v_t, beta * v_s / v_t"): "factor r",
        POSTERIOR.format(BETA, "(a[s] * beta * x_0 - r * v_s * x_t) / v_t, beta * v_s / v_t"): "you subtract",
        POSTERIOR.format(BETA, "a[s] * beta * x_0 + r * v_s * x_t, beta * v_s / v_t"): "weights of the mean by b_t².",
        POSTERIOR.format(BETA, "(a[s] * beta * x_0 + r * v_s * x_t) / b[t], beta * v_s / v_t"): "not by b_t",
        POSTERIOR.format(BETA, "(a[s] * beta * x_0 + r * v_s * x_t) / v_t, beta * b[s] / b[t]"): "without the squares",
        POSTERIOR.format(
            BETA, "(a[s] ** 0.5 * beta * x_0 + r**0.5 * v_s * x_t) / v_t, beta * v_s / v_t"
        ): "without a square root",
        POSTERIOR.format(
            "v_t - r * v_s", "(a[s] * beta * x_0 + r * v_s * x_t) / v_t, beta * v_s / v_t"
        ): "r is squared",
        POSTERIOR.format(BETA, "(a[s] * beta * x_0 + r * v_s * x_t) / v_t, beta * v_s / v_t").replace(
            "    r, v_s", "    s = t - 1\n    r, v_s"
        ): "the s that is given",
        POSTERIOR.format(BETA, "(a[s] * beta * x_0 + r * v_s * x_t) / v_t"): "return the mean and the variance",
    },
    "mean_from_score": {
        SCORE.format("(x_t - beta * score) / r"): "the sign is wrong",
        SCORE.format("(x_t - beta / b[t] * score) / r"): "taken for the noise",
        SCORE.format("x_t + beta * score"): "not undone",
        SCORE.format("x_t / r + beta * score"): "inside the bracket",
        SCORE.format("r * (x_t + beta * score)"): "you multiply",
        SCORE.format("(x_t + b[t] ** 2 * score) / a[t]"): "this is x̂_0",
        SCORE.format("(x_t + (1 - r ** 2) * score) / r"): "variance-preserving",
        SCORE.format("(x_t + beta ** 0.5 * score) / r"): "not its square root",
        SCORE.format("(x_t + b[t] ** 2 * score) / r"): "not b_t²",
        SCORE.format("(x_t - beta / b[t] * (-score / b[t])) / r"): "you divide the score by b_t",
        SCORE.format("(x_t + beta * b[t] * score) / r"): "multiply by b_t",
        SCORE.format("(x_t + beta * score) / a[t]"): "not by a_t",
        SCORE.format("(x_t + beta * score) / r ** 0.5"): "by r itself",
        SCORE.format("(x_t + beta * score) / r ** 2"): "not by r²",
        SCORE.format("x_t + beta * score / r"): "x_t as well",
        SCORE.format("(x_t + (b[t] ** 2 - b[s] ** 2) * score) / r"): "is not b_t² − b_s²",
        SCORE.format("(x_t + beta * score) / r + beta ** 0.5 * torch.randn_like(x_t)"): "draw no random numbers",
        SCORE.format("x_t + score"): "the factor of score is off: at s = 1, t = 2",
    },
    "kl_bits": {
        KL.format("0.5 * (var_q / var_p - 1 - torch.log(var_q / var_p) + d / var_p)"): "this is in nats",
        KL.format("0.5 * (var_q / var_p - 1 - torch.log2(var_q / var_p) + d / var_p)"): "only the logarithm",
        KL.format("(var_p / var_q - 1 - (var_p / var_q).log() + d / var_q) / 2 / math.log(2)"): "q and p are swapped",
        KL.format("(var_q / var_p - 1 - (var_q / var_p).log() + d / var_p) / math.log(2)"): "½ is missing",
        KL.format("(var_q / var_p - 1 + (var_q / var_p).log() + d / var_p) / 2 / math.log(2)"): "sign of the logarithm",
        KL.format("d / var_p / 2 / math.log(2)"): "terms of the variances",
        KL.format("(var_q / var_p - 1 - (var_q / var_p).log() - d / var_p) / 2 / LN2"): "you subtract it",
        KL.format("((var_q / var_p - 1 - (var_q / var_p).log()) / 2 + d / var_p) / LN2"): "to all terms",
        KL.format("(var_q / var_p - 1 - (var_q / var_p).log() + d / var_p ** 2) / 2 / LN2"): "not by its square",
        KL.format("(var_p / var_q - 1 - (var_p / var_q).log() + d / var_p) / 2 / LN2"): "upside down",
        KL.format("((var_q / var_p) ** 0.5 - 1 - (var_q / var_p).log() / 2 + d / var_p) / 2 / LN2"): "take no root",
        KL.format("(var_q / var_p + 1 - (var_q / var_p).log() + d / var_p) / 2 / LN2"): "1 is subtracted",
        KL.format("(var_q / var_p - 1 - (var_q / var_p).log()) / 2 / LN2"): "distance of the means is missing",
        KL.format("(var_q / var_p - 1 - math.log(var_q / var_p) + d / var_p) / 2 / LN2"): "math is for numbers",
        KL.format("(0.5 * (var_q / var_p - 1 - (var_q / var_p).log() + d / var_p)).sum()"): "return a tensor of shape",
    },
    "log_bin": {
        BIN.format(".double()", "1 / 255", f"return ({UNDER}).log()"): "right of the mean, far away",
        BIN.format(".double()", "1 / 255", f"return ({TAILS}).log()"): "left of the mean, far away",
        BIN.format(".double()", "1 / 255", f"{MIRROR}return ({PHI}).log()"): "on both sides",
        BIN.format("", "1 / 255", f"return ({PHI}).log()"): "on both sides",
        BIN.format(".double()", "1 / 255", f"return ({ERF}).log()"): "on both sides",
        BIN.format("", "1 / 255", f"return ({ERF}).log()"): "on both sides",
        BIN.format("", "1 / 255", f"{MIRROR}return ({TAILS}).log()"): "32-bit",
        BIN.format("", "1 / 255", f"{MIRROR}return ({TAILS}).clamp_min(1e-12).log()"): "a floor of 1e-12",
        BIN.format(".double()", "2 / 255", f"{MIRROR}return ({TAILS}).log()"): "Yours reaches 2/255",
        BIN.format(".double()", "1 / 256", f"{MIRROR}return ({TAILS}).log()"): "not 1/256",
        BIN.format(".double()", "1 / 255", f"{MIRROR}return {TAILS}"): "this is the mass",
        BIN.format(".double()", "1 / 255", f"{MIRROR}return ({TAILS}).clamp(1e-30).log()"): "a floor of 1e-30",
        BIN.format(".double()", "1 / 255", f"{MIRROR}return (2 * {TAILS}).log()"): "½ is missing",
        BIN.format(
            ".double()", "1 / 255", f"{MIRROR}return (0.5 * (torch.erfc(lower) - torch.erfc(upper))).log()"
        ): "leave out the √2",
        BIN.format(
            ".double()", "1 / 255", f"lower, upper = lower * std, upper * std\n    {MIRROR}return ({TAILS}).log()"
        ): "by std",
        BIN.format(".double()", "1 / 255", f"{MIRROR}return ({TAILS}).log()").replace("(-math.inf)", "(math.inf)"): (
            "not +∞"
        ),
        BIN.format(
            ".double()", "1 / 255", "return torch.special.log_ndtr(upper) - torch.special.log_ndtr(lower)"
        ): "subtract the masses first",
        "def log_bin(x, mean, std):\n    x, mean = x.double(), mean.double()\n"
        "    lower, upper = (x - 1 / 255 - mean) / std, (x + 1 / 255 - mean) / std\n"
        f"    {MIRROR}lower[x == -1], upper[x == 1] = -math.inf, math.inf\n"
        f"    return ({TAILS}).log()": "Open them first",
        "def log_bin(x, mean, std):\n    x, mean = x.double(), mean.double()\n"
        "    z = torch.distributions.Normal(mean, std)\n"
        "    return z.log_prob(x) + math.log(2 / 255)": "density times the width",
    },
    "eps_weight": {
        WEIGHT.format("beta / (2 * variance * r ** 2 * b[t] ** 2)"): "β is squared",
        WEIGHT.format("beta ** 2 / (variance * r ** 2 * b[t] ** 2)"): "2 of 1/(2σ²)",
        WEIGHT.format("beta ** 2 / (2 * variance * r * b[t] ** 2)"): "r is squared",
        WEIGHT.format("beta ** 2 / (2 * variance * r ** 2 * b[t])"): "b_t is squared",
        WEIGHT.format("beta ** 2 / (2 * variance ** 2 * r ** 2 * b[t] ** 2)"): "do not square it",
        WEIGHT.format("beta ** 2 / (2 * variance * a[t] ** 2 * b[t] ** 2)"): "not ᾱ_t",
        WEIGHT.format("(a[s] * beta / b[t] ** 2) ** 2 / (2 * variance)"): "(x_0 − x̂_0)²",
        WEIGHT.format("beta ** 2 / (2 * variance * r ** 2)"): "division by b_t² is missing",
        WEIGHT.format("beta ** 2 / (2 * variance ** 0.5 * r ** 2 * b[t] ** 2)"): "not its square root",
        WEIGHT.format("(beta * r / b[t]) ** 2 / (2 * variance)"): "in the denominator",
        WEIGHT.format("beta ** 2 / 2 * variance * r ** 2 * b[t] ** 2"): "in brackets",
        WEIGHT.format("beta / (r * b[t]) / (2 * variance)"): "means is squared",
        WEIGHT.format("beta ** 2 / (2 * variance * r ** 2 * b[s] ** 2)"): "noise is that of x_t",
        WEIGHT.format("(b[t] ** 2 - b[s] ** 2) ** 2 / (2 * variance * r ** 2 * b[t] ** 2)"): "is scaled by r²",
        WEIGHT.format("1 / (2 * variance)"): "for t = 1, variance = 0.0001, the result is 5000, not 0.5",
    },
}

OTHERWISE = {
    "posterior": [
        POSTERIOR.format(BETA, "(a[s] * beta * x_0 + r * v_s * x_t) / v_t, (beta * v_s / v_t).item()"),
        "def posterior(x_0, x_t, s, t, a, b):\n    eps = (x_t - a[t] * x_0) / b[t]\n"
        "    variance = b[s] ** 2 * (1 - (a[t] * b[s] / (a[s] * b[t])) ** 2)\n"
        "    return a[s] * x_0 + torch.sqrt(b[s] ** 2 - variance) * eps, variance",
    ],
    "mean_from_score": [
        "def mean_from_score(x_t, score, s, t, a, b):\n    eps = -b[t] * score\n    x_0 = (x_t - b[t] * eps) / a[t]\n"
        "    beta = b[t] ** 2 - (a[t] / a[s]) ** 2 * b[s] ** 2\n"
        "    return a[s] * beta / b[t] ** 2 * x_0 + a[t] / a[s] * b[s] ** 2 / b[t] ** 2 * x_t",
    ],
    "kl_bits": [
        "def kl_bits(mean_q, var_q, mean_p, var_p):\n    q = torch.distributions.Normal(mean_q, var_q.sqrt())\n"
        "    p = torch.distributions.Normal(mean_p, var_p.sqrt())\n"
        "    return torch.distributions.kl_divergence(q, p) / math.log(2)",
        "def kl_bits(mean_q, var_q, mean_p, var_p):\n    shift = (mean_q - mean_p) ** 2\n"
        "    return 0.5 * (torch.log2(var_p / var_q) + ((var_q + shift) / var_p - 1) / LN2)",
    ],
    "log_bin": [
        "def log_bin(x, mean, std):\n    found = []\n    for level, middle in zip(x.tolist(), mean.tolist()):\n"
        "        u = (level - 1 / 255 - middle) / std if level > -0.999 else -math.inf\n"
        "        v = (level + 1 / 255 - middle) / std if level < 0.999 else math.inf\n"
        "        u, v = (u, v) if u + v > 0 else (-v, -u)\n"
        "        found.append(math.log(0.5 * (math.erfc(u / 2 ** 0.5) - math.erfc(v / 2 ** 0.5))))\n"
        "    return torch.tensor(found)",
        BIN.format(
            ".double()",
            "1 / 255",
            MIRROR + "high, low = torch.special.log_ndtr(-lower), torch.special.log_ndtr(-upper)\n"
            "    return high + torch.log1p(-torch.exp(low - high))",
        ),
    ],
    "eps_weight": [
        "def eps_weight(t, a, b, variance):\n    alpha = (a[t] / a[t - 1]) ** 2\n"
        "    beta = b[t] ** 2 - alpha * b[t - 1] ** 2\n"
        "    return (beta / (alpha ** 0.5 * b[t])) ** 2 * 0.5 / variance",
    ],
}
