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
        "kept * x_s + (1 - kept**2).sqrt() * eps": "the square root of ᾱ_t/ᾱ_s",
        "kept.sqrt() * x_s + v.sqrt() * eps": "already holds noise",
        "at(alpha_bar, t - s).sqrt() * x_s + at(1 - alpha_bar, t - s).sqrt() * eps": "is not ᾱ_{t−s}",
        "kept.sqrt() * x_s + (1 - kept) * eps": "deviation",
        "(1 - at(beta, t)).sqrt() * x_s + at(beta, t).sqrt() * eps": "one step of the chain",
        "(1 - kept).sqrt() * x_s + kept.sqrt() * eps": "swapped",
        "x_s + eps": "off by up to",
    },
    "posterior_mean": {
        "at(alpha, t).sqrt() * u / v * x_0 + B.sqrt() * at(beta, t) / v * x_t": "weights are swapped",
        "A.sqrt() * at(beta, t) / v * x_0 + at(alpha, t).sqrt() * u / v * x_t": "not ᾱ_t",
        "B * at(beta, t) / v * x_0 + at(alpha, t) * u / v * x_t": "square root",
        "B.sqrt() * at(beta, t) * x_0 + at(alpha, t).sqrt() * u * x_t": "divided",
        "B.sqrt() * at(beta, t) / v * x_0 + at(alpha, t).sqrt() * x_t": "has 1 − ᾱ_{t−1}",
        "B.sqrt() * at(beta, t) / v * x_0 + A.sqrt() * u / v * x_t": "has α_t",
        "B * at(beta, t) / v * x_0 + at(alpha, t).sqrt() * u / v * x_t": "ᾱ_{t−1} in the weight of x_0",
        "B.sqrt() * at(beta, t) * x_0 + at(alpha, t).sqrt() * u / v * x_t": "weight of x_0 is divided",
        "B.sqrt() * x_0": "off by up to",
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
        "(eps - net(x_t, t)).square()": "return a tensor of shape ()",
    },
    "turn": {
        "torch.cat([sin_t * cos_k - cos_t * sin_k, cos_t * cos_k + sin_t * sin_k], 1)": "backwards",
        "torch.cat([cos, sin], 1)": "halves are swapped",
        "torch.stack([sin, cos], 2).flatten(1)": "alternate",
        "of_k.expand_as(embedding)": "embedding of k",
        "embedding + of_k": "angles add up",
        "embedding": "off by up to",
    },
    "sampling_step": {
        "posterior(x_0) + noise": "not clipped",
        "posterior(x_0).clamp(-1, 1) + noise": "clip the mean",
        "(posterior(x_0) + noise).clamp(-1, 1)": "clip the result",
        "posterior(clipped) + at(beta_tilde, t) * z": "√β̃_t, not β̃_t",
        "posterior(clipped) + at(beta, t).sqrt() * z": "not β_t",
        "posterior(clipped)": "missing",
        "clipped": "this is x̂_0",
        "posterior(x_0) + at(beta, t).sqrt() * z": "step of section 10",
    },
}

WRONG = {
    name: {f"def {name}({PRELUDE[name]}\n    return {body}\n": hint for body, hint in bodies.items()}
    for name, bodies in MISTAKES.items()
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
