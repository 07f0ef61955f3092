"""Solutions of lesson 11: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "gaussian_end": {
        "gain = a * s**2 / (a**2 * s**2 + b**2)\nreturn m + gain * (x_t - a * m)": "the estimate of a denoiser",
        "return m + s * (x_t - a * m) / (a**2 * s**2 + b**2)": "divided by its variance",
        "return m + s * (x_t - m) / (a**2 * s**2 + b**2) ** 0.5": "the mean of x_t is a m",
        "return m + s * (x_t - a * m) / math.sqrt(a**2 + b**2)": "deviation a s, not a",
        "return (x_t - a * m) / math.sqrt(a**2 * s**2 + b**2) * s": "add the mean of the data",
        "return m + (x_t - a * m) / (a * s + b) * s": "independent deviations do not add up",
        "return a * m + (x_t - a * m) / math.sqrt(a**2 * s**2 + b**2) * s": "At t = 0 the mean is m",
        "return (x_t - b * s) / a": "infinite",
    },
    "earlier_time": {
        "r = torch.searchsorted(sigma, sigma_r, right=True) - 1": "some times are −1",
        "r = torch.searchsorted(sigma, sigma_r.clamp(min=0)) - 1": "right=True",
        "return r": "at most t − 1",
        "n = 1 + 8 * torch.sigmoid(sigma[t])": "the sigmoid is of −σ",
        "sigma_r = sigma[t] * (1 - 1 / 2 ** (stage + 1))": "n is missing",
        "sigma_r = (sigma[t] * (1 - n / 2**stage)).nan_to_num(0, torch.inf)": "the exponent is stage + 1",
        "return torch.minimum((t * (1 - n / 2 ** (stage + 1))).clamp(min=0).long(), t - 1)": "not of the time t",
        "sigma_r = sigma[t] * (n / 2 ** (stage + 1))": "this is the distance σ_t − σ_r",
    },
    "consistency_sample": {
        "x = (a * denoiser.predict(x, t).x0 + a * denoiser.predict(x, t).x0) / 2 + b * z": "6 times, where 3",
        "x = a * denoiser.predict(x, t).x0 + b * denoiser.predict(x, t).eps": "this is DDIM",
        "a, b = denoiser.schedule.at(t)\n"
        "x = a * denoiser.predict(x, t).x0 + b * z if s else denoiser.predict(x, t).x0": "with the scales of t",
        "x = denoiser.predict(x, t).x0 + b * z": "the signal is missing",
        "x = x\nreturn denoiser.predict(x, times[0]).x0": "only one evaluation",
        "for t, s, z in zip(times, times[1:], noise):\nx = a * denoiser.predict(x, s).x0 + b * z": "takes times 1..T",
        "x = a * denoiser.predict(x, t).x0": "no noise is added",
        "for t, s in zip(times, times[1:]):\n"
        "x = a * denoiser.predict(x, t).x0 + b * torch.randn_like(x)": "draw no random numbers",
    },
    "progressive_goal": {
        "x0, eps = teacher.predict(x, now).x0, teacher.predict(x, now).eps": "4 times, where 2",
        "return x": "where the teacher ends",
        "a, b = teacher.schedule.at(middle)\n"
        "return teacher.predict(a * x0 + b * eps, middle).x0": "make up for the first step too",
        "x0, eps = teacher.predict(x, t)": "the second evaluation is made at time t",
        "return (a_s * x0 + b_s * eps - b_s / b_t * x_t) / (a_s + b_s / b_t * a_t)": "the divisor has a minus",
        "return teacher.predict(x_t, t).x0": "the goal of one step",
    },
    "error_factor": {
        "return (a_t * b_s - a_s * b_t) / (a_t * q - b_t * p)": "up to the sign",
        "return abs(now[1] / (now[0] * q - now[1] * p))": "the error of x̂_0 alone",
        "d = now[0] * q - now[1] * p\nreturn then[0] * abs(now[1] / d) + then[1] * abs(now[0] / d)": "opposite signs",
        "return abs(b_s - a_s * b_t / a_t)": "right for ε alone",
        "return abs(a_s * b_t / (a_t * q - b_t * p))": "the error of a_s x̂_0",
        "return abs((a_t * b_s - a_s * b_t) / (a_s * q - b_s * p))": "the scales of t",
    },
}

OTHERWISE: dict[str, list[str]] = {
    "gaussian_end": [
        """
def gaussian_end(x_t, a, b, m, s):
    ratio = s / (a**2 * s**2 + b**2) ** 0.5
    return ratio * x_t + (1 - a * ratio) * m
""",
        """
def gaussian_end(x_t, a, b, m, s):
    now = torch.distributions.Normal(a * m, math.hypot(a * s, b))
    return torch.distributions.Normal(m, s).icdf(now.cdf(x_t))
""",
    ],
    "earlier_time": [
        """
def earlier_time(sigma, t, stage):
    found = []
    for time in t.tolist():
        n = 1 + 8 / (1 + math.exp(min(float(sigma[time]), 700)))
        wanted = sigma[time] * (1 - n / 2 ** (stage + 1))
        r = 0
        while r + 1 < time and sigma[r + 1] <= wanted:
            r += 1
        found.append(r)
    return torch.tensor(found)
""",
        """
def earlier_time(sigma, t, stage):
    n = 1 + 8 * torch.sigmoid(-sigma[t])
    wanted = sigma[t] * (1 - n / 2 ** (stage + 1))
    below = (sigma[None] <= wanted[:, None]).sum(1) - 1
    return below.clamp(min=0).minimum(t - 1)
""",
    ],
    "consistency_sample": [
        """
def consistency_sample(denoiser, x, times, noise):
    x0 = denoiser.predict(x, times[0]).x0
    for i in range(1, len(times) - 1):
        x0 = denoiser.predict(denoiser.schedule.add_noise(x0, times[i], noise[i - 1]), times[i]).x0
    return x0
""",
        """
def consistency_sample(denoiser, x, times, noise):
    if len(times) == 1:
        return x
    x0, _ = denoiser.predict(x, times[0])
    a, b = denoiser.schedule.at(times[1])
    return consistency_sample(denoiser, a * x0 + b * noise[0], times[1:], noise[1:])
""",
    ],
    "progressive_goal": [
        """
def progressive_goal(teacher, x_t, t, middle, s):
    (a_t, b_t), (a_m, b_m), (a_s, b_s) = (teacher.schedule.at(time) for time in (t, middle, s))
    first = teacher.predict(x_t, t)
    second = teacher.predict(a_m * first.x0 + b_m * first.eps, middle)
    x_s = a_s * second.x0 + b_s * second.eps
    return (b_t * x_s - b_s * x_t) / (b_t * a_s - b_s * a_t)
""",
    ],
    "error_factor": [
        """
def error_factor(p, q, now, then):
    inverse = torch.linalg.inv(torch.tensor([[*now], [p, q]], dtype=torch.float64))
    return abs(inverse[0, 1] * then[0] + inverse[1, 1] * then[1])
""",
        """
def error_factor(p, q, now, then):
    d = now[0] * q - now[1] * p
    return math.fabs(then[1] * now[0] / d - then[0] * now[1] / d)
""",
    ],
}
