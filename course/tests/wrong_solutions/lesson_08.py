"""Solutions of lesson 8: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "bits_per_dim": {
        "return -log_density / dims / math.log(2)": "the scaling is missing",
        "return -log_density / dims + math.log2(127.5)": "still in nats",
        "nats = -log_density / dims - math.log(127.5)\nreturn nats / math.log(2)": "the scaling is subtracted",
        "per_image = -log_density / math.log(2)\nreturn per_image + math.log2(255 / 2)": "bits per image",
        "return log_density / (math.log(2) * dims) + math.log2(127.5)": "the sign",
    },
    "bin_mass": {
        "upper = torch.where(x < -0.999, torch.ones_like(upper), upper)\n"
        "lower = torch.where(x > 0.999, torch.zeros_like(lower), lower)": "edges are on the wrong side",
        "normal = torch.distributions.Normal(mean, std)\n"
        "mass = normal.cdf(x + 1 / 255) - normal.cdf(x - 1 / 255)\n"
        "return mass.masked_fill(x.abs() > 0.999, 1)": "inner limit",
        "normal = torch.distributions.Normal(mean, std)\n"
        "return normal.cdf(x + 1 / 255) - normal.cdf(x - 1 / 255)": "the bins at the edges are missing",
        "normal = torch.distributions.Normal(mean, std)\n"
        "return normal.log_prob(x).exp() * 2 / 255": "the density times the width",
        "upper = torch.special.ndtr((x + 2 / 255 - mean) / std)\n"
        "lower = torch.special.ndtr((x - 2 / 255 - mean) / std)": "twice as wide",
        "upper = torch.where(x > 1, torch.ones_like(upper), upper)": "the bin of x = 1 extends",
        "upper = torch.special.ndtr((x + 1 / 255 - mean) / std**2)\n"
        "lower = torch.special.ndtr((x - 1 / 255 - mean) / std**2)": "divided by std, not by std squared",
    },
    "rate_of_step": {
        "return 0.5 * (schedule.snr[t - 1] - schedule.snr[t]) * error": "in nats",
        "return (schedule.snr[t] - schedule.snr[t - 1]) / 2 * error / math.log(2)": "the sign",
        "return schedule.snr[t] / 2 * error / math.log(2)": "the whole SNR(t)",
        "error = ((x_0 - x_0_hat) ** 2).sum((1, 2, 3))": "not their sum",
        "return (schedule.snr[t - 1] - schedule.snr[t]) * error / math.log(2)": "the factor ½",
    },
    "log_density_change": {
        "return torch.logdet(torch.eye(x.shape[1], dtype=x.dtype) + h * jacobian)": "absolute value",
        "return h * jacobian.diagonal(dim1=1, dim2=2).sum(1)": "h times the trace",
        "return -torch.linalg.slogdet(torch.eye(x.shape[1], dtype=x.dtype) + h * jacobian).logabsdet": "the sign",
        "return torch.linalg.det(torch.eye(x.shape[1], dtype=x.dtype) + h * jacobian).abs()": "take the logarithm",
        "return torch.linalg.slogdet(h * jacobian).logabsdet": "the identity is missing",
        "return torch.linalg.slogdet(torch.eye(x.shape[1], dtype=x.dtype) + jacobian).logabsdet": "h is missing",
    },
    "hutchinson": {
        "return torch.stack(products).sum(2).sum(0)": "you sum over the probes",
        "products = [torch.autograd.grad((probe * field).sum(), x, retain_graph=True)[0] for probe in probes]": (
            "on the second side is missing"
        ),
        "return torch.stack(products).mean(2).mean(0)": "not their mean",
        "products = [torch.autograd.grad(v.sum(), x, retain_graph=True)[0][:, i] for i, v in enumerate(field.T)]\n"
        "return sum(products)": "the exact divergence",
        "return (probes * velocity(x) * probes.abs()).sum(2).mean(0)": "the velocity itself",
    },
}

OTHERWISE = {
    "bits_per_dim": [
        "def bits_per_dim(log_density, dims):\n"
        "    nats = dims * math.log(127.5) - log_density\n"
        "    return nats / math.log(2) / dims\n"
    ],
    "bin_mass": [
        "def bin_mass(x, mean, std):\n"
        "    x, mean = torch.broadcast_tensors(x, mean)\n"
        "    normal = torch.distributions.Normal(mean, std)\n"
        "    upper = normal.cdf(torch.where(x > 0.999, torch.tensor(1e6, dtype=x.dtype), x + 1 / 255))\n"
        "    return upper - normal.cdf(torch.where(x < -0.999, torch.tensor(-1e6, dtype=x.dtype), x - 1 / 255))\n"
    ],
    "rate_of_step": [
        "def rate_of_step(x_0, x_0_hat, schedule, t):\n"
        "    weight = schedule.posterior(torch.ones(1, dtype=x_0.dtype), torch.zeros(1, dtype=x_0.dtype), t, t - 1)\n"
        "    rates = []\n"
        "    for image, guess in zip(x_0, x_0_hat):\n"
        "        distance = (weight.mean * (image - guess)) ** 2\n"
        "        rates.append((distance / (2 * weight.variance)).mean() / math.log(2))\n"
        "    return torch.stack(rates)\n"
    ],
    "log_density_change": [
        "def log_density_change(velocity, x, h):\n"
        "    result = []\n"
        "    for point in x:\n"
        "        step = lambda p: p + h * velocity(p[None])[0]\n"
        "        result.append(torch.det(torch.autograd.functional.jacobian(step, point)).abs().log())\n"
        "    return torch.stack(result)\n"
    ],
    "hutchinson": [
        "def hutchinson(velocity, x, probes):\n"
        "    result = []\n"
        "    for i, point in enumerate(x):\n"
        "        jacobian = torch.autograd.functional.jacobian(lambda p: velocity(p[None])[0], point)\n"
        "        values = [float(probe @ jacobian @ probe) for probe in probes[:, i]]\n"
        "        result.append(sum(values) / len(values))\n"
        "    return torch.tensor(result)\n"
    ],
}
