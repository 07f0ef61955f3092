"""Solutions of lesson 14: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "replace_known": {
        "return torch.where(mask == 1, y, x_t)": "known pixels are clean",
        "return torch.where(mask == 1, y + b * z, x_t)": "y is not multiplied by a",
        "return mask * a * y + (1 - mask) * x_t": "noise is missing",
        "return mask * x_t + (1 - mask) * (a * y + b * z)": "other way round",
        "return a * y + b * z + (1 - mask) * 0 * x_t": "all pixels are replaced",
        "known = mask.expand_as(x_t) == 1\nx_t[known] = (a * y + b * z)[known]\nreturn x_t": "changed in place",
    },
    "estimate_given_y": {
        "of_y = operator @ outer @ operator.T + sigma**2 * torch.eye(len(y), dtype=y.dtype)\n"
        "return estimate + inner @ operator.T @ torch.linalg.solve(of_y, y - operator @ estimate)": "are exchanged",
        "return estimate + inner @ operator.T @ torch.linalg.solve(of_y, y - operator @ estimate)": (
            "`inner` is in both places"
        ),
        "of_y = operator @ inner @ operator.T + sigma * torch.eye(len(y), dtype=y.dtype)": "sigma², not sigma",
        "return estimate + outer @ operator.T @ torch.linalg.solve(of_y, y)": "compared with 0",
        "return estimate + operator.T @ of_y.inverse() @ (y - operator @ estimate)": "`outer` is missing",
        "return outer @ operator.T @ of_y.inverse() @ (y - operator @ estimate)": "correction alone",
    },
    "covariance_given_x_t": {
        "return torch.autograd.functional.jacobian(denoise, x_t)": "the derivative of x̂ itself",
        "return b**2 * torch.autograd.functional.jacobian(denoise, x_t)": "divide by a: the gain",
        "return (b / a) ** 2 * torch.autograd.functional.jacobian(denoise, x_t)": "not by a²",
        "x = x_t.clone().requires_grad_()\n"
        "gain = torch.stack([torch.autograd.grad(denoise(x)[i], x)[0][i] for i in range(len(x))])\n"
        "return torch.diag(b**2 / a * gain)": "off the diagonal",
        "return b / a * torch.autograd.functional.jacobian(denoise, x_t)": "b is not squared",
    },
    "systematic": {
        "teeth = (torch.arange(len(weights)) + 0.5) / len(weights)": "middle of their parts",
        "teeth = torch.arange(len(weights)) + u": "beyond 1, the length of the line",
        "return torch.searchsorted(weights.cumsum(0), teeth).add(1).clamp(max=len(weights) - 1)": (
            "one particle too far"
        ),
        "return torch.multinomial(weights, len(weights), replacement=True)": "draw no random numbers",
        "return torch.arange(len(weights))": "nothing is resampled",
        "teeth = (torch.arange(len(weights)) / len(weights) + u) % 1": "put back to the front",
        "return torch.searchsorted(weights.cumsum(0), teeth).clamp(max=len(weights) - 1)": (
            "at u = 0: of the weights [0.5, 0.5] it takes [0, 0], not [0, 1]"
        ),
    },
    "varied": {
        "t = round(strength * (len(signal) - 1))": "not at least 1",
        "t = max(1, int(strength * (len(signal) - 1)))": "rounded down",
        "t = max(1, -int(-strength * (len(signal) - 1) // 1))": "rounded up",
        "return x_0 + noise[t] * eps": "not multiplied by the signal",
        "return torch.lerp(x_0, eps, strength)": "share of the time, not of the mixture",
        "t = max(1, round((1 - strength) * (len(signal) - 1)))": "a late time",
    },
    "slerp": {
        "return (1 - weight) * x + weight * y": "the straight line, which is shorter",
        "return (torch.sin(weight * angle) * x + torch.sin((1 - weight) * angle) * y) / torch.sin(angle)": (
            "0 is x, and 1 is y"
        ),
        "return torch.sin((1 - weight) * angle) * x + torch.sin(weight * angle) * y": "division by the sine",
        "angle = ((x * y).sum() / (x.norm() * y.norm())).acos()": "angle of its own",
        "return (1 - weight) ** 0.5 * x + weight**0.5 * y": "square roots of the weights",
    },
}

OTHERWISE: dict[str, list[str]] = {
    "replace_known": [
        """
def replace_known(x_t, y, mask, a, b, z):
    return torch.where(mask == 1, a * y + b * z, x_t)
""",
        """
def replace_known(x_t, y, mask, a, b, z):
    return x_t + mask * (a * y + b * z - x_t)
""",
    ],
    "estimate_given_y": [
        """
def estimate_given_y(estimate, y, operator, sigma, inner, outer):
    of_y = operator @ inner @ operator.T + sigma**2 * torch.eye(len(y), dtype=y.dtype)
    gain = torch.linalg.solve(of_y, operator @ outer).T
    return estimate + gain @ (y - operator @ estimate)
""",
    ],
    "covariance_given_x_t": [
        """
def covariance_given_x_t(denoise, x_t, a, b):
    x = x_t.clone().requires_grad_()
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0] for value in denoise(x)]
    return b**2 / a * torch.stack(rows)
""",
        """
def covariance_given_x_t(denoise, x_t, a, b):
    h = 1e-5
    steps = h * torch.eye(len(x_t), dtype=x_t.dtype)
    columns = [(denoise(x_t + step) - denoise(x_t - step)) / (2 * h) for step in steps]
    return b**2 / a * torch.stack(columns, dim=1)
""",
    ],
    "systematic": [
        """
def systematic(weights, u):
    chosen, total, particle = [], float(weights[0]), 0
    for k in range(len(weights)):
        while (k + u) / len(weights) >= total and particle < len(weights) - 1:
            particle += 1
            total += float(weights[particle])
        chosen.append(particle)
    return torch.tensor(chosen)
""",
    ],
    "varied": [
        """
def varied(x_0, strength, signal, noise, eps):
    schedule = schedules.Schedule(signal, noise)
    return schedule.add_noise(x_0, samplers.time_at_strength(schedule, strength), eps)
""",
    ],
    "slerp": [
        """
def slerp(x, y, weight):
    return samplers.slerp(x, y, weight)
""",
        """
def slerp(x, y, weight):
    length_x, length_y = x.norm(dim=1, keepdim=True), y.norm(dim=1, keepdim=True)
    cos = (x * y).sum(dim=1, keepdim=True) / (length_x * length_y)
    side = y / length_y - cos * x / length_x
    side = side / side.norm(dim=1, keepdim=True)
    turned = cos.acos() * weight
    of_y = torch.sin(turned) / torch.sin(cos.acos())
    return (torch.cos(turned) - of_y * cos) * x + of_y * y
""",
    ],
}
