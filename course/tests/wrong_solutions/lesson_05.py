"""Wrong solutions of lesson 5, each with a part of the hint that it must get, and right ones in another style."""

WRONG = {
    "langevin_step": {
        "def langevin_step(x, eps_hat, sigma, alpha, z):\n"
        "    return x + alpha / 2 * eps_hat / sigma + alpha**0.5 * z": "downhill",
        "def langevin_step(x, eps_hat, sigma, alpha, z):\n"
        "    score = -eps_hat\n"
        "    return x + alpha / 2 * score + math.sqrt(alpha) * z": "not −ε̂.",
        "def langevin_step(x, eps_hat, sigma, alpha, z):\n"
        "    return x - alpha / (2 * sigma**2) * eps_hat + alpha**0.5 * z": "one σ is left",
        "def langevin_step(x, eps_hat, sigma, alpha, z):\n"
        "    return x - alpha / 2 * eps_hat / sigma + alpha * z": "multiplied by √α",
        "def langevin_step(x, eps_hat, sigma, alpha, z):\n"
        "    return x - alpha * eps_hat / sigma + alpha**0.5 * z": "not α. With",
        "def langevin_step(x, eps_hat, sigma, alpha, z):\n    return x - 0.5 * alpha * eps_hat / sigma": "is missing",
    },
    "ddim_step": {
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    sigma = eta * math.sqrt(1 - (a_t / a_s) ** 2)\n"
        "    return a_s * x_t + math.sqrt(b_s**2 - sigma**2) * eps_hat": "error (the root of a negative number?",
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    sigma = eta * b_s\n"
        "    x_0 = (x_t - b_t * eps_hat) / a_t\n"
        "    return a_s * x_0 + (b_s**2 - sigma**2) ** 0.5 * eps_hat + sigma * z": "not η b_s",
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    sigma = eta * b_s / b_t * (1 - (a_t / a_s) ** 2) ** 0.5\n"
        "    x_0 = (x_t - b_t * eps_hat) / a_t\n"
        "    return a_s * x_0 + (b_s**2 - sigma**2) ** 0.5 * eps_hat + sigma * z": "schedule alone",
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    sigma = eta * (1 - (a_t / a_s) ** 2) ** 0.5\n"
        "    x_0 = (x_t - b_t * eps_hat) / a_t\n"
        "    return a_s * x_0 + (b_s**2 - sigma**2) ** 0.5 * eps_hat + sigma * z": "(the root of a negative number?",
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    var = eta**2 * (b_t**2 - (a_t / a_s) ** 2 * b_s**2) * b_s**2 / b_t**2\n"
        "    return a_s * x_t + (b_s**2 - var) ** 0.5 * eps_hat + var**0.5 * z": "not a_s x_t",
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    var = eta**2 * (b_t**2 - (a_t / a_s) ** 2 * b_s**2) * b_s**2 / b_t**2\n"
        "    x_0 = (x_t - b_t * eps_hat) / a_t\n"
        "    return a_s * x_0 + b_s * eps_hat + var**0.5 * z": "too much noise",
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    tilde = (b_t**2 - (a_t / a_s) ** 2 * b_s**2) * b_s**2 / b_t**2\n"
        "    x_0 = (x_t - b_t * eps_hat) / a_t\n"
        "    return a_s * x_0 + (b_s**2 - eta * tilde) ** 0.5 * eps_hat + (eta * tilde) ** 0.5 * z": "η is squared",
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    x_0 = (x_t - b_t * eps_hat) / a_t\n"
        "    return a_s * x_0 + b_s * eps_hat": "without fresh noise",
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    var = eta**2 * (b_t**2 - (a_t / a_s) ** 2 * b_s**2)\n"
        "    x_0 = (x_t - b_t * eps_hat) / a_t\n"
        "    return a_s * x_0 + max(b_s**2 - var, 0) ** 0.5 * eps_hat + var**0.5 * z": "has the factor b_s²/b_t²",
        "def ddim_step(x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z):\n"
        "    var = eta**2 * (b_t**2 - (a_t / a_s) ** 2 * b_s**2) * b_s**2 / b_t**2\n"
        "    x_0 = (x_t - b_t * eps_hat) / a_t\n"
        "    return a_s * x_0 + (b_s**2 - var) ** 0.5 * eps_hat + var * z": "z is multiplied by a standard deviation",
    },
    "flow_rate": {
        "def flow_rate(x, eps_hat, u):\n"
        "    b = math.sqrt(1 - math.exp(-0.1 * u - 9.95 * u * u))\n"
        "    return -(0.1 + 19.9 * u) / 2 * (x + eps_hat / b)": "the sign of ε̂ is wrong",
        "def flow_rate(x, eps_hat, u):\n"
        "    return -(0.1 + 19.9 * u) / 2 * (x - eps_hat / (1 - math.exp(-0.1 * u - 9.95 * u * u)))": (
            "b is the square root"
        ),
        "def flow_rate(x, eps_hat, u):\n    return -0.5 * (0.1 + 19.9 * u) * (x - eps_hat)": "since a² + b² = 1",
        "def flow_rate(x, eps_hat, u):\n"
        "    b = math.sqrt(1 - math.exp(-0.1 * u - 9.95 * u * u))\n"
        "    return -(0.1 + 19.9 * u) * (x - eps_hat / b)": "the factor ½ is missing",
        "def flow_rate(x, eps_hat, u):\n"
        "    b = math.sqrt(1 - math.exp(-0.1 * u - 19.9 * u * u))\n"
        "    return -(0.1 + 19.9 * u) / 2 * (x - eps_hat / b)": "integral of β",
        "def flow_rate(x, eps_hat, u):\n"
        "    beta_u = 0.1 + 19.9 * u\n"
        "    b = math.sqrt(1 - math.exp(-0.1 * u - 9.95 * u * u))\n"
        "    return -beta_u / 2 * x + beta_u * eps_hat / b": "reverse SDE",
        "def flow_rate(x, eps_hat, u):\n"
        "    a2 = math.exp(-0.1 * u - 9.95 * u * u)\n"
        "    a, b = a2**0.5, (1 - a2) ** 0.5\n"
        "    da = -(0.1 + 19.9 * u) / 2 * a\n"
        "    return da * (x - b * eps_hat) / a": "add ε̂ db/du",
        "def flow_rate(x, eps_hat, u):\n"
        "    a2 = math.exp(-0.1 * u - 9.95 * u * u)\n"
        "    return (0.1 + 19.9 * u) / 2 * a2 / (1 - a2) ** 0.5 * eps_hat": "add x̂_0 da/du",
        "def flow_rate(x, eps_hat, u):\n"
        "    a2 = math.exp(-0.1 * u - 9.95 * u * u)\n"
        "    a, b = a2**0.5, (1 - a2) ** 0.5\n"
        "    da = -(0.1 + 19.9 * u) / 2 * a\n"
        "    return da * x / a - da * a / b * eps_hat": "You took x for a x̂_0",
        "def flow_rate(x, eps_hat, u):\n"
        "    b = math.sqrt(1 - math.exp(-0.1 * u - 9.95 * u * u))\n"
        "    return (0.1 + 19.9 * u) / 2 * (x - eps_hat / b)": "so a falls",
    },
    "edm_factors": {
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + sigma_d**2\n"
        "    return sigma_d**2 / v, sigma * sigma_d / v, 1 / v": "c_out and c_in divide by the standard deviation",
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + sigma_d**2\n"
        "    return sigma_d**2 / v, sigma * sigma_d / v, v**-0.5": "c_out divides by the standard deviation",
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + sigma_d**2\n"
        "    return sigma_d**2 / v, (sigma * sigma_d) ** 2 / v, 1 / v": "root of both variances",
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + sigma_d**2\n"
        "    return v**-0.5, sigma * sigma_d / v**0.5, sigma_d**2 / v": "yours is c_in, c_out, c_skip",
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + sigma_d**2\n"
        "    return sigma_d**2 / v, v**-0.5, sigma * sigma_d / v**0.5": "yours is c_skip, c_in, c_out",
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + sigma_d**2\n"
        "    return sigma * sigma_d / v**0.5, v**-0.5, sigma_d**2 / v": "yours is c_out, c_in, c_skip",
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + sigma_d**2\n"
        "    return sigma * sigma_d / v**0.5, sigma_d**2 / v, v**-0.5": "swapped",
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + sigma_d**2\n"
        "    return sigma_d**2 / v, sigma * sigma_d / v**0.5, 1 / v": "c_in divides by the standard deviation",
        "def edm_factors(sigma, sigma_d):\n"
        "    total = sigma + sigma_d\n"
        "    return sigma_d / total, sigma * sigma_d / total, 1 / total": "variances add up",
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + sigma_d**2\n"
        "    return sigma_d**2 / v, sigma**2 * sigma_d**2 / v, v**-0.5": "c_out is a standard deviation",
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + sigma_d**2\n"
        "    return sigma**2 / v, sigma * sigma_d / v**0.5, v**-0.5": "not that of the noise",
        "def edm_factors(sigma, sigma_d):\n"
        "    v = sigma**2 + 0.25\n"
        "    return 0.25 / v, sigma / 2 / v**0.5, v**-0.5": "not always ½",
    },
    "ends_of_the_line": {
        "def ends_of_the_line(x_t, velocity, u):\n"
        "    u = u.unsqueeze(1)\n"
        "    return x_t + (1 - u) * velocity, x_t - u * velocity": "swapped: return",
        "def ends_of_the_line(x_t, velocity, u):\n"
        "    u = u.unsqueeze(1)\n"
        "    return x_t + u * velocity, x_t - (1 - u) * velocity": "lies against it",
        "def ends_of_the_line(x_t, velocity, u):\n"
        "    u = u.unsqueeze(1)\n"
        "    return x_t - u * velocity, x_t + u * velocity": "the way from x_t to ε is 1 − u",
        "def ends_of_the_line(x_t, velocity, u):\n"
        "    u = u.unsqueeze(1)\n"
        "    return x_t - (1 - u) * velocity, x_t + u * velocity": "u and 1 − u are swapped",
        "def ends_of_the_line(x_t, velocity, u):\n"
        "    return x_t - u[:, None] * velocity, velocity": "not the velocity itself",
        "def ends_of_the_line(x_t, velocity, u):\n"
        "    return x_t - u * velocity, x_t + (1 - u) * velocity": "(B, 1) for points",
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
