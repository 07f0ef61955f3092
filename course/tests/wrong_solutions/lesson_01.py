"""Planted mistakes of lesson 1, with a part of the hint that each should get, and right answers in another style."""

PRELUDE = {
    "forward_jump": "x_s, s, t, eps):\n    "
    "A, v, kept = at(alpha_bar, t), at(1 - alpha_bar, t), at(alpha_bar, t) / at(alpha_bar, s)",
    "posterior_mean": "x_0, x_t, t):\n    A, v = at(alpha_bar, t), at(1 - alpha_bar, t)\n"
    "    B, u = at(alpha_bar, t - 1), at(1 - alpha_bar, t - 1)",
    "l_simple_from_image": "net, x_0, t, eps):\n    "
    "A, v, x_t = at(alpha_bar, t), at(1 - alpha_bar, t), add_noise(x_0, t, eps)",
    "turn": "embedding, k):\n    of_k = time_embedding(torch.tensor([k]), embedding.shape[1])\n"
    "    (sin_t, cos_t), (sin_k, cos_k) = embedding.chunk(2, 1), of_k.chunk(2, 1)\n"
    "    sin, cos = sin_t * cos_k + cos_t * sin_k, cos_t * cos_k - sin_t * sin_k",
    "sampling_step": "x_t, t, eps_hat, z):\n"
    "    x_0 = (x_t - at(1 - alpha_bar, t).sqrt() * eps_hat) / at(alpha_bar, t).sqrt()\n"
    "    noise, clipped = at(beta_tilde, t).sqrt() * z, x_0.clamp(-1, 1)\n"
    "    A, v, B, u = at(alpha_bar, t), at(1 - alpha_bar, t), at(alpha_bar, t - 1), at(1 - alpha_bar, t - 1)\n"
    "    posterior = lambda x: B.sqrt() * at(beta, t) / v * x + at(alpha, t).sqrt() * u / v * x_t",
}

MISTAKES = {
    "forward_jump": {
        "A.sqrt() * x_s + v.sqrt() * eps": "jump from time 0",
        "kept * x_s + (1 - kept).sqrt() * eps": "square root",
        "kept * x_s + (1 - kept**2).sqrt() * eps": "The factor is its square root",
        "kept.sqrt() * x_s + v.sqrt() * eps": "already holds noise",
        "at(alpha_bar, t - s).sqrt() * x_s + at(1 - alpha_bar, t - s).sqrt() * eps": "is not ᾱ_{t−s}",
        "kept.sqrt() * x_s + (1 - kept) * eps": "deviation",
        "(1 - at(beta, t)).sqrt() * x_s + at(beta, t).sqrt() * eps": "one step of the chain",
        "(1 - kept).sqrt() * x_s + kept.sqrt() * eps": "swapped",
        "kept.sqrt() * x_s - (1 - kept).sqrt() * eps": "you subtract it",
        "kept.sqrt() * x_s": "eps is missing",
        "kept.sqrt() * x_s + (1 - kept.sqrt()) * eps": "squares add up to 1",
        "kept.sqrt() * x_s + (1 - kept.sqrt()).sqrt() * eps": "1 minus the square of the factor",
        "kept.sqrt() * x_s + (1 - kept**2).sqrt() * eps": "once too often",
        "kept.sqrt() * x_s + (v - at(1 - alpha_bar, s)).sqrt() * eps": "not the difference of two",
        "x_s / kept.sqrt() + (1 - kept).sqrt() * eps": "you divide",
        "(1 / kept).sqrt() * x_s + (1 - 1 / kept).sqrt() * eps": "at most 1",
        "(A / at(alpha_bar, s - 1)).sqrt() * x_s + (1 - A / at(alpha_bar, s - 1)).sqrt() * eps": "not by ᾱ_{s−1}",
        "kept.sqrt() * x_s + (1 - kept).sqrt() * torch.randn_like(x_s)": "draw no random numbers",
        "(alpha_bar[t] / alpha_bar[s]).sqrt() * x_s": "(B, 1, 1, 1) for images",
        "alpha[s + 1 : t + 1].prod() * x_s": "index the tables with it",
        "x_s + eps": "the factor of x_s is off: at s = 400, t = 1000 it is 1, not 0.0144",
    },
    "posterior_mean": {
        "at(alpha, t).sqrt() * u / v * x_0 + B.sqrt() * at(beta, t) / v * x_t": "weights are swapped",
        "A.sqrt() * at(beta, t) / v * x_0 + at(alpha, t).sqrt() * u / v * x_t": "not ᾱ_t",
        "B * at(beta, t) / v * x_0 + at(alpha, t) * u / v * x_t": "square root",
        "B.sqrt() * at(beta, t) * x_0 + at(alpha, t).sqrt() * u * x_t": "divide both weights",
        "B.sqrt() * at(beta, t) / v * x_0 + at(alpha, t).sqrt() * x_t": "has 1 − ᾱ_{t−1}",
        "B.sqrt() * at(beta, t) / v * x_0 + A.sqrt() * u / v * x_t": "has α_t",
        "B * at(beta, t) / v * x_0 + at(alpha, t).sqrt() * u / v * x_t": "ᾱ_{t−1} in the weight of x_0",
        "B.sqrt() * at(beta, t) * x_0 + at(alpha, t).sqrt() * u / v * x_t": "divide the weight of x_0",
        "(B.sqrt() * at(beta, t) * x_0 - at(alpha, t).sqrt() * u * x_t) / v": "you subtract",
        "(B.sqrt() * at(beta, t) * x_0 + at(alpha, t).sqrt() * u * x_t) / v.sqrt()": "not by its square root",
        "((B * at(beta, t)).sqrt() * x_0 + at(alpha, t).sqrt() * u * x_t) / v": "no square root",
        "(B.sqrt() * at(beta, t) * x_0 + at(alpha, t).sqrt() * B * x_t) / v": "not ᾱ_{t−1}",
        "(B.sqrt() * at(beta, t - 1) * x_0 + at(alpha, t).sqrt() * u * x_t) / v": "index of β",
        "(B.sqrt() * at(beta, t) * x_0 + at(alpha, t - 1).sqrt() * u * x_t) / v": "index of α",
        "(at(alpha_bar, t - 2).sqrt() * at(beta, t - 1) * x_0\n"
        "            + at(alpha, t - 1).sqrt() * at(1 - alpha_bar, t - 2) * x_t) / u": "all times are off by one",
        "(x_0 * B.sqrt() / u + x_t * at(alpha, t).sqrt() / at(beta, t)) / (1 / u + at(alpha, t) / at(beta, t))": (
            "not a number at t = 1"
        ),
        "u / v * (B.sqrt() * at(beta, t) / u * x_0 + at(alpha, t).sqrt() * x_t)": "not a number at t = 1",
        "B.sqrt() * x_0": "the term of x_t is missing",
    },
    "l_simple_from_image": {
        "(x_0 - net(x_t, t)).square().mean()": "error of the image",
        "(eps - net(x_t, t)).square().mean()": "network's output itself",
        "(eps - (x_t - A.sqrt() * net(x_t, t)) / v).square().mean()": "not by its variance",
        "(eps - (x_t - net(x_t, t)) / v.sqrt()).square().mean()": "√ᾱ_t",
        "(eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt()).square().sum((1, 2, 3)).mean()": "not the sum",
        "(eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt()).abs().mean()": "squared",
        "(eps - (x_t - A * net(x_t, t)) / v.sqrt()).square().mean()": "not by ᾱ_t",
        "(eps - (x_t - A.sqrt() * net(x_t, t))).square().mean()": "divide by this factor",
        "(eps - (x_t - A.sqrt() * net(x_0, t)) / v.sqrt()).square().mean()": "sees x_t, not x_0",
        "(eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt()).mean() ** 2": "square the errors first",
        "(eps - (A.sqrt() * net(x_t, t) - x_t) / v.sqrt()).square().mean()": "sign of your ε̂",
        "(eps - (x_t + A.sqrt() * net(x_t, t)) / v.sqrt()).square().mean()": "you add it",
        "(eps - (x_t - A.sqrt() * x_0) / v.sqrt()).square().mean()": "0 for every network",
        "(eps - (x_t - A.sqrt() * net(x_t, t) / v.sqrt())).square().mean()": "the whole bracket",
        "(eps - (x_t - net(x_t, t))).square().mean()": "is not the noise",
        "(x_0 - (x_t - v.sqrt() * net(x_t, t)) / A.sqrt()).square().mean()": "output for the noise",
        "(x_t - add_noise(net(x_t, t), t, eps)).square().mean()": "times √ᾱ_t",
        "(eps - (x_t - A.sqrt() * net(x_t, t - 1)) / v.sqrt()).square().mean()": "not t − 1",
        "(eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt()).square().mean().item()": "without .item()",
        "(eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt()).detach().square().mean()": "the gradient is lost",
        "torch.tensor((eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt()).square().mean().item())": "gradient is lost",
        "torch.as_tensor(((eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt()) ** 2).numpy().mean())": "numpy knows no",
        "((eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt())\n"
        "            * (eps - (x_t - A.sqrt() * net(x_t, t).detach()) / v.sqrt())).mean()": "2 times, where 1",
        "(lambda e: (e * e.detach()).mean())((eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt()))": "was detached",
        "l_simple(net, x_0)": "draw no random numbers",
        "(eps - net(x_t, t)).square()": "return a tensor of shape ()",
    },
    "turn": {
        "torch.cat([sin_t * cos_k - cos_t * sin_k, cos_t * cos_k + sin_t * sin_k], 1)": "backwards",
        "torch.cat([cos, sin], 1)": "halves are swapped",
        "torch.stack([sin, cos], 2).flatten(1)": "alternate",
        "of_k.expand_as(embedding)": "embedding of k",
        "embedding + of_k": "angles add up",
        "torch.cat([cos_t * cos_k + sin_t * sin_k, sin_t * cos_k - cos_t * sin_k], 1)": "wrong way round",
        "torch.cat([embedding[:, 0::2] * cos_k + embedding[:, 1::2] * sin_k,\n"
        "                      embedding[:, 1::2] * cos_k - embedding[:, 0::2] * sin_k], 1)": "every other entry",
        "torch.cat([sin_t * math.cos(k) + cos_t * math.sin(k),\n"
        "                      cos_t * math.cos(k) - sin_t * math.sin(k)], 1)": "by its own angle",
        "embedding": "for k = 3, the result[0, 0] is 0.841, not -0.757",
    },
    "sampling_step": {
        "posterior(x_0) + noise": "not clipped",
        "posterior(x_0).clamp(-1, 1) + noise": "clip the mean",
        "(posterior(x_0) + noise).clamp(-1, 1)": "clip the result",
        "posterior(clipped) + at(beta_tilde, t) * z": "√β̃_t, not β̃_t",
        "posterior(clipped) + at(beta, t).sqrt() * z": "not β_t",
        "posterior(clipped)": "missing",
        "clipped": "this is x̂_0",
        "clipped + noise": "not x̂_0 itself",
        "posterior(x_0.clamp(0, 1)) + noise": "to [0, 1]",
        "posterior(clipped) + at(beta, t) * z": "not β_t",
        "B.sqrt() * clipped + u.sqrt() * z": "forget x_t",
        "posterior(((x_t + v.sqrt() * eps_hat) / A.sqrt()).clamp(-1, 1)) + noise": "you add",
        "posterior(((x_t - v * eps_hat) / A.sqrt()).clamp(-1, 1)) + noise": "not 1 − ᾱ_t",
        "posterior(((x_t - v.sqrt() * eps_hat) / A).clamp(-1, 1)) + noise": "not by ᾱ_t",
        "posterior(clipped) + (noise if t > 1 else 0)": "torch.where in place of if",
        "posterior(clipped) + at(beta_tilde, t).sqrt() * torch.randn_like(x_t)": "draw no random numbers",
        "posterior(x_0) + at(beta, t).sqrt() * z": "step of section 10",
    },
}

WRONG = {
    name: {f"def {name}({PRELUDE[name]}\n    return {body}\n": hint for body, hint in bodies.items()}
    for name, bodies in MISTAKES.items()
}

WRONG["l_simple_from_image"] |= {
    "@torch.no_grad()\ndef l_simple_from_image(net, x_0, t, eps):\n"
    "    x_t = add_noise(x_0, t, eps)\n"
    "    snr = at(alpha_bar, t) / at(1 - alpha_bar, t)\n"
    "    return (snr * (x_0 - net(x_t, t)) ** 2).mean()\n": "the gradient is lost",
    "def l_simple_from_image(net, x_0, t, eps):\n"
    "    x_t = add_noise(x_0, t, eps)\n"
    "    with torch.no_grad():\n"
    "        guess = net(x_t, t)\n"
    "    return (at(alpha_bar, t) / at(1 - alpha_bar, t) * (x_0 - guess) ** 2).mean()\n": "the gradient is lost",
}

OTHERWISE = {
    "forward_jump": [
        """
def forward_jump(x, s, t, e):
    kept = torch.stack([alpha[i + 1 : j + 1].prod() for i, j in zip(s, t)]).float()[:, None, None, None]
    return kept**0.5 * x + (1 - kept) ** 0.5 * e
"""
    ],
    "posterior_mean": [
        """
def posterior_mean(x_0, x, t):
    now, before = at(alpha_bar, t), at(alpha_bar, t - 1)
    return (before**0.5 * at(beta, t) * x_0 + at(alpha, t) ** 0.5 * (1 - before) * x) / (1 - now)
"""
    ],
    "l_simple_from_image": [
        """
def l_simple_from_image(net, x_0, t, e):
    snr = at(alpha_bar, t) / at(1 - alpha_bar, t)
    return (snr * (x_0 - net(add_noise(x_0, t, e), t)) ** 2).mean()
"""
    ],
    "turn": [
        """
def turn(h, k):
    half = h.shape[1] // 2
    hand = torch.complex(h[:, half:].double(), h[:, :half].double())
    hand = hand * torch.exp(1j * k * 10000 ** (-torch.arange(half, dtype=torch.float64) / (half - 1)))
    return torch.cat([hand.imag, hand.real], 1)
"""
    ],
    "sampling_step": [
        """
def sampling_step(x, t, e, z):
    now, before = at(alpha_bar, t), at(alpha_bar, t - 1)
    x_0 = ((x - (1 - now) ** 0.5 * e) / now**0.5).clip(-1, 1)
    mean = (before**0.5 * at(beta, t) * x_0 + at(alpha, t) ** 0.5 * (1 - before) * x) / (1 - now)
    return mean + at(beta_tilde, t) ** 0.5 * z
"""
    ],
}
