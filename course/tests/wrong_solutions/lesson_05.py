"""Solutions of lesson 5: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "langevin_step": {
        "return x + alpha / 2 * eps_hat / sigma + alpha**0.5 * z": "downhill",
        "score = -eps_hat": "not −ε̂.",
        "return x - alpha / (2 * sigma**2) * eps_hat + alpha**0.5 * z": "one σ is left",
        "return x - alpha / 2 * eps_hat / sigma + alpha * z": "multiplied by √α",
        "return x - alpha * eps_hat / sigma + alpha**0.5 * z": "not α. With",
        "return x - 0.5 * alpha * eps_hat / sigma": "is missing",
    },
    "ddim_step": {
        "sigma = eta * math.sqrt(1 - (a_t / a_s) ** 2)\n"
        "return a_s * x_t + math.sqrt(b_s**2 - sigma**2) * eps_hat": "error (the root of a negative number?",
        "variance = (eta * b_s) ** 2": "not η b_s",
        "variance = (eta * b_s / b_t) ** 2 * (1 - (a_t / a_s) ** 2)": "schedule alone",
        "variance = eta**2 * (1 - (a_t / a_s) ** 2)": "(the root of a negative number?",
        "return a_s * x_t + (b_s**2 - variance) ** 0.5 * eps_hat + variance**0.5 * z": "not a_s x_t",
        "return a_s * x0_hat + b_s * eps_hat + variance**0.5 * z": "too much noise",
        "variance = eta * (b_t**2 - (a_t / a_s) ** 2 * b_s**2) * b_s**2 / b_t**2": "η is squared",
        "return a_s * x0_hat + b_s * eps_hat": "without fresh noise",
        "variance = eta**2 * (b_t**2 - (a_t / a_s) ** 2 * b_s**2)\n"
        "return a_s * x0_hat + max(b_s**2 - variance, 0) ** 0.5 * eps_hat + variance**0.5 * z": (
            "has the factor b_s²/b_t²"
        ),
        "return a_s * x0_hat + (b_s**2 - variance) ** 0.5 * eps_hat + variance * z": (
            "z is multiplied by a standard deviation"
        ),
    },
    "flow_rate": {
        "return -beta_u / 2 * (x + eps_hat / (1 - alpha_bar_u) ** 0.5)": "the sign of ε̂ is wrong",
        "return -beta_u / 2 * (x - eps_hat / (1 - alpha_bar_u))": "b is the square root",
        "return -0.5 * (0.1 + 19.9 * u) * (x - eps_hat)": "since a² + b² = 1",
        "return -beta_u * (x - eps_hat / (1 - alpha_bar_u) ** 0.5)": "the factor ½ is missing",
        "alpha_bar_u = math.exp(-(0.1 * u + 19.9 * u**2))": "integral of β",
        "return -beta_u / 2 * x + beta_u * eps_hat / (1 - alpha_bar_u) ** 0.5": "reverse SDE",
        "return -beta_u / 2 * (x - (1 - alpha_bar_u) ** 0.5 * eps_hat)": "add ε̂ db/du",
        "return beta_u / 2 * alpha_bar_u / (1 - alpha_bar_u) ** 0.5 * eps_hat": "add x̂_0 da/du",
        "return -beta_u / 2 * (x - alpha_bar_u / (1 - alpha_bar_u) ** 0.5 * eps_hat)": "You took x for a x̂_0",
        "return beta_u / 2 * (x - eps_hat / (1 - alpha_bar_u) ** 0.5)": "so a falls",
    },
    "edm_factors": {
        "return sigma_d**2 / variance, sigma * sigma_d / variance, 1 / variance": (
            "c_out and c_in divide by the standard deviation"
        ),
        "return sigma_d**2 / variance, sigma * sigma_d / variance, variance**-0.5": (
            "c_out divides by the standard deviation"
        ),
        "return sigma_d**2 / variance, (sigma * sigma_d) ** 2 / variance, 1 / variance": "root of both variances",
        "return variance**-0.5, sigma * sigma_d / variance**0.5, sigma_d**2 / variance": "yours is c_in, c_out, c_skip",
        "return sigma_d**2 / variance, variance**-0.5, sigma * sigma_d / variance**0.5": "yours is c_skip, c_in, c_out",
        "return sigma * sigma_d / variance**0.5, variance**-0.5, sigma_d**2 / variance": "yours is c_out, c_in, c_skip",
        "return sigma * sigma_d / variance**0.5, sigma_d**2 / variance, variance**-0.5": "swapped",
        "return sigma_d**2 / variance, sigma * sigma_d / variance**0.5, 1 / variance": (
            "c_in divides by the standard deviation"
        ),
        "total = sigma + sigma_d\nreturn sigma_d / total, sigma * sigma_d / total, 1 / total": "variances add up",
        "return sigma_d**2 / variance, sigma**2 * sigma_d**2 / variance, variance**-0.5": (
            "c_out is a standard deviation"
        ),
        "return sigma**2 / variance, sigma * sigma_d / variance**0.5, variance**-0.5": "not that of the noise",
        "v = sigma**2 + 0.25\nreturn 0.25 / v, sigma / 2 / v**0.5, v**-0.5": "not always ½",
    },
    "ends_of_the_line": {
        "return x_t + (1 - u) * velocity, x_t - u * velocity": "swapped: return",
        "return x_t + u * velocity, x_t - (1 - u) * velocity": "lies against it",
        "return x_t - u * velocity, x_t + u * velocity": "the way from x_t to ε is 1 − u",
        "u = (1 - u)[:, None]": "u and 1 − u are swapped",
        "return x_t - u * velocity, velocity": "not the velocity itself",
        "u = u": "(B, 1) for points",
    },
}

OTHERWISE = {
    "langevin_step": [
        "def langevin_step(x, eps_hat, sigma, alpha, z):\n"
        "    rows = [p - alpha * e / (2 * sigma) + math.sqrt(alpha) * n\n"
        "            for p, e, n in zip(x, eps_hat, z, strict=True)]\n"
        "    return torch.stack(rows)",
    ],
    "ddim_step": [
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    ratio = a_t / a_s\n"
        "    tilde = (b_t**2 - ratio**2 * b_s**2) * (b_s / b_t) ** 2\n"
        "    old, fresh = math.sqrt(b_s**2 - eta**2 * tilde), eta * math.sqrt(tilde)\n"
        "    return x_t / ratio + (old - b_t / ratio) * eps_hat + fresh * z",
    ],
    "flow_rate": [
        "def flow_rate(x, eps_hat, u):\n"
        "    a = math.exp(-(0.1 * u + 9.95 * u**2) / 2)\n"
        "    b = math.sqrt(1 - a**2)\n"
        "    da = -(0.1 + 19.9 * u) / 2 * a\n"
        "    return (x - b * eps_hat) / a * da - a * da / b * eps_hat",
        "def flow_rate(x, eps_hat, u):\n"
        "    alpha_bar = math.exp(-(0.1 + (0.1 + 19.9 * u)) / 2 * u)\n"
        "    b = math.sqrt(1 - alpha_bar)\n"
        "    return (0.05 + 9.95 * u) * (eps_hat / b - x)",
    ],
    "edm_factors": [
        "def edm_factors(sigma, sigma_d):\n"
        "    c_in = [1 / math.hypot(s, sigma_d) for s in sigma.tolist()]\n"
        "    c_in = torch.tensor(c_in, dtype=sigma.dtype)\n"
        "    c_skip = (sigma_d * c_in) ** 2\n"
        "    return c_skip, ((1 - c_skip) ** 2 * sigma_d**2 + c_skip**2 * sigma**2).sqrt(), c_in",
    ],
    "ends_of_the_line": [
        "def ends_of_the_line(x_t, velocity, u):\n"
        "    x_0 = x_t - u.reshape(-1, 1) * velocity\n"
        "    return x_0, x_0 + velocity",
        "def ends_of_the_line(x_t, velocity, u):\n"
        "    starts = [x - w * v for x, v, w in zip(x_t, velocity, u, strict=True)]\n"
        "    ends = [x + (1 - w) * v for x, v, w in zip(x_t, velocity, u, strict=True)]\n"
        "    return torch.stack(starts), torch.stack(ends)",
    ],
}
