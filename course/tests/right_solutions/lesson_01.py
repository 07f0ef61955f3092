"""Right solutions of the exercises of lesson 1 in other styles than that of its text."""

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
