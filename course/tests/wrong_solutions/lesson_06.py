"""Solutions of lesson 6: wrong ones with a part of the hint that they must get, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "ddim_step": {
        """
def ddim_step(x_t, eps, now, then):
    a, b = now
    return (x_t - b * eps) / a
""": "the last step of sampling",
        """
def ddim_step(x_t, eps, now, then):
    clean = (x_t - now[1] * eps) / now[0]
    return then[0] * clean + math.sqrt(1 - then[0] ** 2) * eps
""": "√(1 − a_s²)",
        """
def ddim_step(x_t, eps, now, then):
    clean = (x_t - math.sqrt(1 - now[0] ** 2) * eps) / now[0]
    return then[0] * clean + math.sqrt(1 - then[0] ** 2) * eps
""": "√(1 − a²)",
        """
def ddim_step(x_t, eps, now, then):
    clean = x_t - now[1] * eps
    return then[0] * clean + then[1] * eps
""": "not divided by a_t",
        """
def ddim_step(x_t, eps, now, then):
    clean = (x_t - now[1] * eps) / now[0]
    return then[0] * clean + now[1] * eps
""": "the factor of ε̂ is b_s",
        """
def ddim_step(x_t, eps, now, then):
    clean = (x_t - now[1] ** 0.5 * eps) / now[0] ** 0.5
    return then[0] ** 0.5 * clean + then[1] ** 0.5 * eps
""": "have no square root",
        """
def ddim_step(x_t, eps, now, then):
    return then[0] * x_t + then[1] * eps
""": "was taken for x̂_0",
        """
def ddim_step(x_t, eps, now, then):
    clean = (x_t - now[1] * eps) / now[0]
    return (then[0] - now[0]) * clean + (then[1] - now[1]) * eps
""": "Add it to x_t",
        """
def ddim_step(x_t, eps, now, then):
    clean = (x_t - now[1] * eps) / now[0]
    return x_t + (now[0] - then[0]) * clean + (now[1] - then[1]) * eps
""": "You have the other sign",
    },
    "order": {
        """
def order(steps, errors):
    u, v = torch.tensor(steps).double().log(), torch.tensor(errors).double().log()
    return (((u - u.mean()) * (v - v.mean())).sum() / ((u - u.mean()) ** 2).sum()).item()
""": "the order is minus the slope",
        """
def order(steps, errors):
    u, v = torch.tensor(steps).double(), torch.tensor(errors).double().log()
    return -(((u - u.mean()) * (v - v.mean())).sum() / ((u - u.mean()) ** 2).sum()).item()
""": "numbers of steps, too",
        """
def order(steps, errors):
    return math.log2(errors[0] / errors[-1]) / math.log2(steps[-1] / steps[0])
""": "only the first and the last point",
        """
def order(steps, errors):
    u, v = torch.tensor(steps).double().log(), torch.tensor(errors).double().log()
    return -((u * v).sum() / (u * u).sum()).item()
""": "through the origin",
        """
def order(steps, errors):
    u, v = torch.tensor(steps).double(), torch.tensor(errors).double()
    u, v = u - u.mean(), v - v.mean()
    return -float((u * v).sum() / (u**2).sum())
""": "logarithm of both",
    },
    "heun_step": {
        """
def heun_step(denoiser, x, t, s):
    (a, b), (c, d) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    y = x + (c - a) * denoiser.predict(x, t).x0 + (d - b) * denoiser.predict(x, t).eps
    if s == 0:
        return y
    x0 = denoiser.predict(x, t).x0 + denoiser.predict(y, s).x0
    eps = denoiser.predict(x, t).eps + denoiser.predict(y, s).eps
    return x + (c - a) * x0 / 2 + (d - b) * eps / 2
""": "6 times, where 2",
        """
def heun_step(denoiser, x, t, s):
    (a, b), (c, d) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    x0, eps = denoiser.predict(x, t).x0, denoiser.predict(x, t).eps
    y = x + (c - a) * x0 + (d - b) * eps
    if s == 0:
        return y
    x0_2, eps_2 = denoiser.predict(y, s).x0, denoiser.predict(y, s).eps
    return x + (c - a) * (x0 + x0_2) / 2 + (d - b) * (eps + eps_2) / 2
""": "4 times, where 2",
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
        """
def heun_step(denoiser, x, t, s):
    (a, b), (a_s, b_s) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    x0, eps = denoiser.predict(x, t)
    return a_s * x0 + b_s * eps
""": "this is Euler's step",
        """
def heun_step(denoiser, x, t, s):
    (a, b), (c, d) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    x0, eps = denoiser.predict(x, t)
    y = x + (c - a) * x0 + (d - b) * eps
    if s == 0:
        return y
    x0_2, eps_2 = denoiser.predict(y, s)
    return y + (c - a) * (x0 + x0_2) / 2 + (d - b) * (eps + eps_2) / 2
""": "Begin at x again",
        """
def heun_step(denoiser, x, t, s):
    (a, b), (c, d) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    x0, eps = denoiser.predict(x, t)
    y = x + (c - a) * x0 + (d - b) * eps
    if s == 0:
        return y
    x0_2, eps_2 = denoiser.predict(x, s)
    return x + (c - a) * (x0 + x0_2) / 2 + (d - b) * (eps + eps_2) / 2
""": "at the trial point",
        """
def heun_step(denoiser, x, t, s):
    (a, b), (c, d) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    x0, eps = denoiser.predict(x, t)
    y = x + (c - a) * x0 + (d - b) * eps
    if s == 0:
        return y
    x0_2, eps_2 = denoiser.predict(y, s)
    return x + (c - a) * (x0 + x0_2) + (d - b) * (eps + eps_2)
""": "half of the sum",
        """
def heun_step(denoiser, x, t, s):
    (a, b), (c, d) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    x0, eps = denoiser.predict(x, t)
    x0_2, eps_2 = denoiser.predict(x + (c - a) * x0 + (d - b) * eps, s)
    return x + (c - a) * (x0 + x0_2) / 2 + (d - b) * (eps + eps_2) / 2
""": "at s = 0",
        """
def heun_step(denoiser, x, t, s):
    (a, b), (c, d) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    x0, eps = denoiser.predict(x, t)
    y = x + (c - a) * x0 + (d - b) * eps
    if s == 0:
        return y
    x0_2, eps_2 = denoiser.predict(y, t)
    return x + (c - a) * (x0 + x0_2) / 2 + (d - b) * (eps + eps_2) / 2
""": "has the time s",
    },
    "dpm_solver_step": {
        """
def dpm_solver_step(x, x0, x0_before, before, now, then):
    (a_t, b_t), (a_s, b_s) = now, then
    return b_s / b_t * x + (a_s - a_t * b_s / b_t) * x0
""": "this is DDIM's step",
        """
def dpm_solver_step(x, x0, x0_before, before, now, then):
    (a_t, b_t), (a_s, b_s) = now, then
    D = 1.5 * x0 - 0.5 * x0_before
    return b_s / b_t * x + (a_s - a_t * b_s / b_t) * D
""": "steps of equal length",
        """
def dpm_solver_step(x, x0, x0_before, before, now, then):
    (a_t, b_t), (a_s, b_s) = now, then
    l0, l1, l2 = (math.log(a / b) for a, b in (before, now, then))
    r = (l1 - l0) / (l2 - l1)
    D = (1 + 1 / r) * x0 - 1 / r * x0_before
    return b_s / b_t * x + (a_s - a_t * b_s / b_t) * D
""": "h/(2 h_before)",
        """
def dpm_solver_step(x, x0, x0_before, before, now, then):
    (a_t, b_t), (a_s, b_s) = now, then
    l0, l1, l2 = (a / b for a, b in (before, now, then))
    D = x0 + (l2 - l1) / (2 * (l1 - l0)) * (x0 - x0_before)
    return b_s / b_t * x + (a_s - a_t * b_s / b_t) * D
""": "in λ = log(a/b)",
        """
def dpm_solver_step(x, x0, x0_before, before, now, then):
    (a_t, b_t), (a_s, b_s) = now, then
    l0, l1, l2 = (math.log(a / b) for a, b in (before, now, then))
    r = (l1 - l0) / (l2 - l1)
    D = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * x0_before
    return b_s / b_t * x + a_s * (math.exp(l1 - l2) - 1) * D
""": "with a minus before it",
        """
def dpm_solver_step(x, x0, x0_before, before, now, then):
    (a_t, b_t), (a_s, b_s) = now, then
    l0, l1, l2 = (math.log(a / b) for a, b in (before, now, then))
    D = x0 + (l1 - l0) / (2 * (l2 - l1)) * (x0 - x0_before)
    return b_s / b_t * x + (a_s - a_t * b_s / b_t) * D
""": "upside down",
    },
    "noise_std": {
        """
def noise_std(alpha_bar_t, alpha_bar_s, eta):
    return eta**2 * (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)
""": "this is the variance. The deviation",
        """
def noise_std(alpha_bar_t, alpha_bar_s, eta):
    return (eta * (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)) ** 0.5
""": "not under them",
        """
def noise_std(alpha_bar_t, alpha_bar_s, eta):
    return eta * torch.sqrt(1 - alpha_bar_t / alpha_bar_s)
""": "DDPM's larger variance",
        """
def noise_std(alpha_bar_t, alpha_bar_s, eta):
    return eta * ((1 - alpha_bar_s) / (1 - alpha_bar_t)).sqrt() * (1 - alpha_bar_s / alpha_bar_t).sqrt()
""": "ᾱ_t/ᾱ_s is upside down",
        """
def noise_std(alpha_bar_t, alpha_bar_s, eta):
    return ((1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)).sqrt()
""": "η is missing",
        """
def noise_std(alpha_bar_t, alpha_bar_s, eta):
    r = (alpha_bar_t / alpha_bar_s).sqrt()
    return eta * r * (1 - alpha_bar_s) / (1 - alpha_bar_t).sqrt()
""": "Solve for σ",
        """
def noise_std(alpha_bar_t, alpha_bar_s, eta):
    r, variance = (alpha_bar_t / alpha_bar_s).sqrt(), 1 - alpha_bar_s
    return eta * (variance - (r * variance) ** 2).sqrt()
""": "You left out b_t",
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
