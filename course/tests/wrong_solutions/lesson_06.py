"""Solutions of lesson 6: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "ddim_step": {
        "return x0": "the last step of sampling",
        "return a_s * x0 + math.sqrt(1 - a_s**2) * eps": "√(1 − a_s²)",
        "x0 = (x_t - math.sqrt(1 - a_t**2) * eps) / a_t\nreturn a_s * x0 + math.sqrt(1 - a_s**2) * eps": "√(1 − a²)",
        "x0 = x_t - b_t * eps\nreturn a_s * x0 + b_s * eps": "not divided by a_t",
        "return a_s * x0 + b_t * eps": "the factor of ε̂ is b_s",
        "x0 = (x_t - b_t**0.5 * eps) / a_t**0.5\nreturn a_s**0.5 * x0 + b_s**0.5 * eps": "have no square root",
        "return then[0] * x_t + then[1] * eps": "was taken for x̂_0",
        "return (a_s - a_t) * x0 + (b_s - b_t) * eps": "Add it to x_t",
        "return x_t + (a_t - a_s) * x0 + (b_t - b_s) * eps": "You have the other sign",
    },
    "order": {
        "return ((u * v).sum() / (u**2).sum()).item()": "the order is minus the slope",
        "u, v = torch.tensor(steps).double(), torch.tensor(errors).double().log()": "numbers of steps, too",
        "return math.log2(errors[0] / errors[-1]) / math.log2(steps[-1] / steps[0])": (
            "only the first and the last point"
        ),
        "u, v = u, v": "through the origin",
        "u, v = torch.tensor(steps).double(), torch.tensor(errors).double()": "logarithm of both",
    },
    "heun_step": {
        "x0, eps = denoiser.predict(x, t).x0, denoiser.predict(x, t).eps\n"
        "trial = x + (a_s - a_t) * denoiser.predict(x, t).x0 + (b_s - b_t) * denoiser.predict(x, t).eps\n"
        "x0_end, eps_end = denoiser.predict(trial, s).x0, denoiser.predict(trial, s).eps": "6 times, where 2",
        "x0, eps = denoiser.predict(x, t).x0, denoiser.predict(x, t).eps\n"
        "x0_end, eps_end = denoiser.predict(trial, s).x0, denoiser.predict(trial, s).eps": "4 times, where 2",
        """
def heun_step(denoiser, x, t, s):
    (a, b), (c, d) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    x0, eps = denoiser.predict(x, t)
    y = x + (c - a) * x0 + (d - b) * eps
    x0_2, eps_2 = denoiser.predict(y, s)
    if s == 0:
        return y
    return x + (c - a) * (x0 + x0_2) / 2 + (d - b) * (eps + eps_2) / 2
""": "2 times, where 1",
        "return x + (a_s - a_t) * x0 + (b_s - b_t) * eps": "this is Euler's step",
        "return trial + (a_s - a_t) * (x0 + x0_end) / 2 + (b_s - b_t) * (eps + eps_end) / 2": "Begin at x again",
        "x0_end, eps_end = denoiser.predict(x, s)": "at the trial point",
        "return x + (a_s - a_t) * (x0 + x0_end) + (b_s - b_t) * (eps + eps_end)": "half of the sum",
        "if False:": "at s = 0",
        "x0_end, eps_end = denoiser.predict(trial, t)": "has the time s",
    },
    "dpm_solver_step": {
        "return b_s / b_t * x + (a_s - a_t * b_s / b_t) * x0": "this is DDIM's step",
        "D = 1.5 * x0 - 0.5 * x0_before": "steps of equal length",
        "D = x0 + (late - middle) / (middle - early) * (x0 - x0_before)": "h/(2 h_before)",
        "early, middle, late = (a / b for a, b in (before, now, then))": "in λ = log(a/b)",
        "return b_s / b_t * x - (a_s - a_t * b_s / b_t) * D": "with a minus before it",
        "D = x0 + (middle - early) / (2 * (late - middle)) * (x0 - x0_before)": "upside down",
    },
    "noise_std": {
        "return eta**2 * (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)": (
            "this is the variance. The deviation"
        ),
        "return (eta * (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)) ** 0.5": (
            "not under them"
        ),
        "return eta * torch.sqrt(1 - alpha_bar_t / alpha_bar_s)": "DDPM's larger variance",
        "return eta * ((1 - alpha_bar_s) / (1 - alpha_bar_t)).sqrt() * (1 - alpha_bar_s / alpha_bar_t).sqrt()": (
            "ᾱ_t/ᾱ_s is upside down"
        ),
        "return ((1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)).sqrt()": "η is missing",
        "r = (alpha_bar_t / alpha_bar_s).sqrt()\n"
        "return eta * r * (1 - alpha_bar_s) / (1 - alpha_bar_t).sqrt()": "Solve for σ",
        "r, variance = (alpha_bar_t / alpha_bar_s).sqrt(), 1 - alpha_bar_s\n"
        "return eta * (variance - (r * variance) ** 2).sqrt()": "You left out b_t",
    },
}

OTHERWISE: dict[str, list[str]] = {
    "ddim_step": [
        """
def ddim_step(x_t, eps, now, then):
    return then[0] / now[0] * x_t + (then[1] - then[0] * now[1] / now[0]) * eps
""",
        """
def ddim_step(x_t, eps, now, then):
    a_t, b_t = now
    a_s, b_s = then
    rows = []
    for x, e in zip(x_t, eps):
        x0 = (x - b_t * e) / a_t
        rows.append(x + (a_s - a_t) * x0 + (b_s - b_t) * e)
    return torch.stack(rows)
""",
    ],
    "order": [
        """
def order(steps, errors):
    u = [math.log10(n) for n in steps]
    v = [math.log10(e) for e in errors]
    m, k = sum(u) / len(u), sum(v) / len(v)
    top = bottom = 0.0
    for a, b in zip(u, v):
        top += (a - m) * (b - k)
        bottom += (a - m) ** 2
    return -top / bottom
""",
        """
def order(steps, errors):
    u, v = torch.tensor(steps).double().log(), torch.tensor(errors).double().log()
    return (-torch.cov(torch.stack([u, v]))[0, 1] / u.var()).item()
""",
    ],
    "heun_step": [
        """
def heun_step(denoiser, x, t, s):
    a, b = denoiser.schedule.at(t)
    c, d = denoiser.schedule.at(s)
    first = denoiser.predict(x, t)
    euler = c * first.x0 + d * first.eps
    if s > 0:
        second = denoiser.predict(euler, s)
        again = x + (c - a) * second.x0 + (d - b) * second.eps
        return 0.5 * (euler + again)
    return euler
""",
    ],
    "dpm_solver_step": [
        """
def dpm_solver_step(x, x0, x0_before, before, now, then):
    (a_t, b_t), (a_s, b_s) = now, then
    h = math.log(a_s / b_s) - math.log(a_t / b_t)
    r = (math.log(a_t / b_t) - math.log(before[0] / before[1])) / h
    D = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * x0_before
    return b_s / b_t * x - a_s * (math.exp(-h) - 1) * D
""",
    ],
    "noise_std": [
        """
def noise_std(alpha_bar_t, alpha_bar_s, eta):
    found = []
    for late, early in zip(alpha_bar_t.tolist(), alpha_bar_s.tolist()):
        beta = 1 - late / early
        found.append(eta * math.sqrt((1 - early) / (1 - late) * beta))
    return torch.tensor(found)
""",
        """
def noise_std(alpha_bar_t, alpha_bar_s, eta):
    r, b_t, b_s = (alpha_bar_t / alpha_bar_s).sqrt(), (1 - alpha_bar_t).sqrt(), (1 - alpha_bar_s).sqrt()
    return eta * (b_s**2 - (r * b_s**2 / b_t) ** 2).clamp(min=0).sqrt()
""",
    ],
}
