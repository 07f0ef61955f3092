"""Wrong solutions of lesson 8, each with a part of the hint that it must get, and right ones in another style."""

WRONG = {
    "bits_per_dim": {
        "def bits_per_dim(log_density, dims):\n"
        "    return -log_density / dims / math.log(2)\n": "the scaling is missing",
        "def bits_per_dim(log_density, dims):\n    return -log_density / dims + math.log2(127.5)\n": "still in nats",
        "def bits_per_dim(log_density, dims):\n"
        "    nats = -log_density / dims - math.log(127.5)\n"
        "    return nats / math.log(2)\n": "the scaling is subtracted",
        "def bits_per_dim(log_density, dims):\n"
        "    per_image = -log_density / math.log(2)\n"
        "    return per_image + math.log2(255 / 2)\n": "bits per image",
        "def bits_per_dim(log_density, dims):\n"
        "    return log_density / (math.log(2) * dims) + math.log2(127.5)\n": "the sign",
    },
    "bin_mass": {
        "def bin_mass(x, mean, std):\n"
        "    normal = torch.distributions.Normal(mean, std)\n"
        "    upper = normal.cdf(x + 1 / 255).masked_fill(x < -0.999, 1)\n"
        "    return upper - normal.cdf(x - 1 / 255).masked_fill(x > 0.999, 0)\n": "edges are on the wrong side",
        "def bin_mass(x, mean, std):\n"
        "    normal = torch.distributions.Normal(mean, std)\n"
        "    mass = normal.cdf(x + 1 / 255) - normal.cdf(x - 1 / 255)\n"
        "    return mass.masked_fill(x.abs() > 0.999, 1)\n": "inner limit",
        "def bin_mass(x, mean, std):\n"
        "    normal = torch.distributions.Normal(mean, std)\n"
        "    return normal.cdf(x + 1 / 255) - normal.cdf(x - 1 / 255)\n": "the bins at the edges are missing",
        "def bin_mass(x, mean, std):\n"
        "    normal = torch.distributions.Normal(mean, std)\n"
        "    return normal.log_prob(x).exp() * 2 / 255\n": "the density times the width",
        "def bin_mass(x, mean, std):\n"
        "    above = torch.special.ndtr((x + 2 / 255 - mean) / std).masked_fill(x > 0.999, 1)\n"
        "    below = torch.special.ndtr((x - 2 / 255 - mean) / std).masked_fill(x < -0.999, 0)\n"
        "    return above - below\n": "twice as wide",
        "def bin_mass(x, mean, std):\n"
        "    above = torch.special.ndtr((x + 1 / 255 - mean) / std)\n"
        "    below = torch.special.ndtr((x - 1 / 255 - mean) / std).masked_fill(x < -0.999, 0)\n"
        "    return above - below\n": "the bin of x = 1 extends",
        "def bin_mass(x, mean, std):\n"
        "    above = torch.special.ndtr((x + 1 / 255 - mean) / std**2).masked_fill(x > 0.999, 1)\n"
        "    below = torch.special.ndtr((x - 1 / 255 - mean) / std**2).masked_fill(x < -0.999, 0)\n"
        "    return above - below\n": "divided by std, not by std squared",
    },
    "rate_of_step": {
        "def rate_of_step(x_0, x_0_hat, schedule, t):\n"
        "    error = ((x_0 - x_0_hat) ** 2).mean((1, 2, 3))\n"
        "    return 0.5 * (schedule.snr[t - 1] - schedule.snr[t]) * error\n": "in nats",
        "def rate_of_step(x_0, x_0_hat, schedule, t):\n"
        "    error = ((x_0 - x_0_hat) ** 2).mean((1, 2, 3))\n"
        "    return (schedule.snr[t] - schedule.snr[t - 1]) / 2 * error / math.log(2)\n": "the sign",
        "def rate_of_step(x_0, x_0_hat, schedule, t):\n"
        "    error = ((x_0 - x_0_hat) ** 2).mean((1, 2, 3))\n"
        "    return schedule.snr[t] / 2 * error / math.log(2)\n": "the whole SNR(t)",
        "def rate_of_step(x_0, x_0_hat, schedule, t):\n"
        "    error = ((x_0 - x_0_hat) ** 2).sum((1, 2, 3))\n"
        "    return (schedule.snr[t - 1] - schedule.snr[t]) / 2 * error / math.log(2)\n": "not their sum",
        "def rate_of_step(x_0, x_0_hat, schedule, t):\n"
        "    error = ((x_0 - x_0_hat) ** 2).mean((1, 2, 3))\n"
        "    return (schedule.snr[t - 1] - schedule.snr[t]) * error / math.log(2)\n": "the factor ½",
    },
    "log_density_change": {
        "def log_density_change(velocity, x, h):\n"
        "    jacobian = torch.func.vmap(torch.func.jacrev(lambda p: velocity(p[None])[0]))(x)\n"
        "    return torch.logdet(torch.eye(x.shape[1], dtype=x.dtype) + h * jacobian)\n": "absolute value",
        "def log_density_change(velocity, x, h):\n"
        "    x = x.detach().requires_grad_()\n"
        "    v, trace = velocity(x), 0\n"
        "    for i in range(x.shape[1]):\n"
        "        trace = trace + torch.autograd.grad(v[:, i].sum(), x, retain_graph=True)[0][:, i]\n"
        "    return h * trace\n": "h times the trace",
        "def log_density_change(velocity, x, h):\n"
        "    result = []\n"
        "    for point in x:\n"
        "        jacobian = torch.autograd.functional.jacobian(lambda p: velocity(p[None])[0], point)\n"
        "        result.append(-torch.det(torch.eye(len(point), dtype=x.dtype) + h * jacobian).abs().log())\n"
        "    return torch.stack(result)\n": "the sign",
        "def log_density_change(velocity, x, h):\n"
        "    result = []\n"
        "    for point in x:\n"
        "        jacobian = torch.autograd.functional.jacobian(lambda p: velocity(p[None])[0], point)\n"
        "        result.append(torch.det(torch.eye(len(point), dtype=x.dtype) + h * jacobian).abs())\n"
        "    return torch.stack(result)\n": "take the logarithm",
        "def log_density_change(velocity, x, h):\n"
        "    result = []\n"
        "    for point in x:\n"
        "        jacobian = torch.autograd.functional.jacobian(lambda p: velocity(p[None])[0], point)\n"
        "        result.append(torch.det(h * jacobian).abs().log())\n"
        "    return torch.stack(result)\n": "the identity is missing",
        "def log_density_change(velocity, x, h):\n"
        "    result = []\n"
        "    for point in x:\n"
        "        jacobian = torch.autograd.functional.jacobian(lambda p: velocity(p[None])[0], point)\n"
        "        result.append(torch.det(torch.eye(len(point), dtype=x.dtype) + jacobian).abs().log())\n"
        "    return torch.stack(result)\n": "h is missing",
    },
    "hutchinson": {
        "def hutchinson(velocity, x, probes):\n"
        "    x = x.detach().requires_grad_()\n"
        "    v, total = velocity(x), 0\n"
        "    for p in probes:\n"
        "        total = total + (torch.autograd.grad((p * v).sum(), x, retain_graph=True)[0] * p).sum(1)\n"
        "    return total\n": "you sum over the probes",
        "def hutchinson(velocity, x, probes):\n"
        "    x = x.detach().requires_grad_()\n"
        "    v, found = velocity(x), []\n"
        "    for p in probes:\n"
        "        found.append(torch.autograd.grad((p * v).sum(), x, retain_graph=True)[0].sum(1))\n"
        "    return torch.stack(found).mean(0)\n": "on the second side is missing",
        "def hutchinson(velocity, x, probes):\n"
        "    x = x.detach().requires_grad_()\n"
        "    v, found = velocity(x), []\n"
        "    for p in probes:\n"
        "        found.append((torch.autograd.grad((p * v).sum(), x, retain_graph=True)[0] * p).mean(1))\n"
        "    return torch.stack(found).mean(0)\n": "not their mean",
        "def hutchinson(velocity, x, probes):\n"
        "    x = x.detach().requires_grad_()\n"
        "    v, trace = velocity(x), 0\n"
        "    for i in range(x.shape[1]):\n"
        "        trace = trace + torch.autograd.grad(v[:, i].sum(), x, retain_graph=True)[0][:, i]\n"
        "    return trace\n": "the exact divergence",
        "def hutchinson(velocity, x, probes):\n"
        "    return (probes * velocity(x) * probes.abs()).sum(2).mean(0)\n": "the velocity itself",
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
