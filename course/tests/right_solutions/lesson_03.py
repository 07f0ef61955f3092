"""Right solutions of the exercises of lesson 3 in other styles than that of its text."""

OTHERWISE = {
    "posterior": [
        """
def posterior(x_0, x_t, s, t, a, b):
    r, v_s, v_t = a[t] / a[s], b[s] ** 2, b[t] ** 2
    beta = v_t - r * r * v_s
    return (a[s] * beta * x_0 + r * v_s * x_t) / v_t, (beta * v_s / v_t).item()
""",
    ],
    "mean_from_score": [
        """
def mean_from_score(x_t, score, s, t, a, b):
    eps = -b[t] * score
    x_0 = (x_t - b[t] * eps) / a[t]
    beta = b[t] ** 2 - (a[t] / a[s]) ** 2 * b[s] ** 2
    return a[s] * beta / b[t] ** 2 * x_0 + a[t] / a[s] * b[s] ** 2 / b[t] ** 2 * x_t
""",
    ],
    "kl_bits": [
        """
def kl_bits(mean_q, var_q, mean_p, var_p):
    q = torch.distributions.Normal(mean_q, var_q.sqrt())
    p = torch.distributions.Normal(mean_p, var_p.sqrt())
    return torch.distributions.kl_divergence(q, p) / math.log(2)
""",
    ],
    "log_bin": [
        """
def log_bin(x, mean, std):
    found = []
    for level, middle in zip(x.tolist(), mean.tolist()):
        u = (level - 1 / 255 - middle) / std if level > -0.999 else -math.inf
        v = (level + 1 / 255 - middle) / std if level < 0.999 else math.inf
        u, v = (u, v) if u + v > 0 else (-v, -u)
        found.append(math.log(0.5 * (math.erfc(u / 2 ** 0.5) - math.erfc(v / 2 ** 0.5))))
    return torch.tensor(found)
""",
    ],
    "eps_weight": [
        """
def eps_weight(t, a, b, variance):
    alpha = (a[t] / a[t - 1]) ** 2
    beta = b[t] ** 2 - alpha * b[t - 1] ** 2
    return (beta / (alpha ** 0.5 * b[t])) ** 2 * 0.5 / variance
""",
    ],
}
