"""Solutions of lesson 10: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "unpatchify": {
        "cut = torch.tensor(patches.numpy()).reshape(batch, rows, columns, -1, size, size)": "numpy knows no gradients",
        "cut = patches.data.reshape(batch, rows, columns, -1, size, size)": "the gradient is lost",
        "return cut.reshape(batch, -1, height, width)": "reshape alone moves no number",
        "return cut.permute(0, 3, 1, 2, 4, 5).reshape(batch, -1, height, width)": (
            "H is joined from (patch row, patch column)"
        ),
        "return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, height, width)": "permutes as patchify does",
        "return cut.permute(0, 3, 1, 5, 2, 4).reshape(batch, -1, height, width)": "each patch is transposed",
        "cut = patches.reshape(batch, rows, columns, size, size, -1).permute(0, 1, 2, 5, 3, 4)": (
            "the first axis within a patch"
        ),
        "return F.pixel_shuffle(patches.mT.unflatten(2, (width // size, height // size)), size)": (
            "return a tensor of shape"
        ),
        "cut = patches.reshape(batch, columns, rows, -1, size, size)": "swapped where the patches are split",
    },
    "shifted": {
        "length = ((ratio * a) ** 2 + b**2).sqrt()\nreturn ratio * a / length, b / length": "wrong direction",
        "snr = (a / b) ** 2 / ratio\n"
        "return torch.sigmoid(snr.log()).sqrt(), torch.sigmoid(-snr.log()).sqrt()": "the SNR is divided by ratio",
        "log_snr = 2 * (a.log() - b.log()) - 4 * math.log(ratio)\n"
        "return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()": "multiplied by ratio²",
        "length = 1": "is not 1",
        "length = a**2 + (ratio * b) ** 2": "not by its square",
        "sigma = ratio * b / a\na = 1 / (1 + sigma**2) ** 0.5\nreturn a, a * sigma": "not a number",
        "return a, b": "as they were",
    },
    "unknown_part": {
        "return b, -a": "this is −v",
        "return -b / (s * n), s * a / n": "up to the sign",
        "n = torch.hypot(b, a * s**2)\nreturn b / n, -a * s**2 / n": "you scaled to p² + q² = 1",
        "n = torch.hypot(b * s, a * s)\nreturn b / n, -a * s / n": "you took s",
        "return a / n, b / n": "this is x_t divided by its deviation",
        "n = torch.hypot(b, a / 2)\nreturn 2 * b / n, -a / (2 * n)": "EDM's choice",
        "r = a * s**2 / b\nreturn 1 / torch.sqrt(s**2 + r**2), -r / torch.sqrt(s**2 + r**2)": "not a number",
    },
    "adams_bashforth_step": {
        "weight = 0.5": "that of equal steps",
        "weight = (t_before - t) / 2 / (t - s)": "upside down",
        "weight = (t - s) / (t_before - t)": "The middle is half as far",
        "weight = -(t - s) / 2 / (t_before - t)": "wrong sign",
        "return a_s * x0 + b_s * eps": "DDIM's step",
        "eps = now.eps": "ε̂ needs the same",
        "weight = 0": "Euler's step",
    },
    "huber_errors": {
        "return weights[t] / 2 * each.flatten(1).mean(1)": "no factor ½",
        "return weights[t] * each.flatten(1).sum(1)": "not the sum",
        "return weights[t - 1] * each.flatten(1).mean(1)": "not weights[t − 1]",
        "return each.flatten(1).mean(1)": "the weights are missing",
        "rms = ((truth - answer) ** 2).flatten(1).mean(1) ** 0.5\n"
        "return weights[t] * torch.where(rms <= c, rms**2, c * (2 * rms - c))": (
            "root mean square error of a whole sample"
        ),
        "e = truth - answer\nreturn weights[t] * (2 * c * (torch.sqrt(e**2 + c**2) - c)).flatten(1).mean(1)": (
            "pseudo-Huber loss of the wrapper"
        ),
        "return (weights[t] * each.flatten(1).mean(1)).mean()": "return a tensor of shape (4,), not ()",
        "each = torch.where(error <= c, error**2, c * (2 * error - c)).detach()": "the gradient is lost",
        "return torch.tensor((weights[t] * each.flatten(1).mean(1)).tolist())": "the gradient is lost",
    },
}

OTHERWISE: dict[str, list[str]] = {
    "unpatchify": [
        """
def unpatchify(patches, size, height, width):
    images = torch.zeros(len(patches), patches.shape[2] // size**2, height, width)
    for i in range(patches.shape[1]):
        y, x = i // (width // size) * size, i % (width // size) * size
        images[:, :, y : y + size, x : x + size] = patches[:, i].reshape(len(patches), -1, size, size)
    return images
""",
        """
def unpatchify(patches, size, height, width):
    return F.fold(patches.mT, (height, width), kernel_size=size, stride=size)
""",
    ],
    "shifted": [
        """
def shifted(a, b, ratio):
    log_snr = 2 * (a.log() - b.log()) - 2 * math.log(ratio)
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()
""",
        """
def shifted(a, b, ratio):
    pair = torch.stack([a, ratio * b])
    return F.normalize(pair, dim=0)
""",
    ],
    "unknown_part": [
        """
def unknown_part(a, b, s):
    p, q = b, -a * s**2
    size = (p**2 * s**2 + q**2) ** 0.5
    return p / size, q / size
""",
        """
def unknown_part(a, b, s):
    rows = [(y / (s * math.hypot(y, s * x)), -s * x / math.hypot(y, s * x)) for x, y in zip(a.tolist(), b.tolist())]
    return torch.tensor(rows).T
""",
    ],
    "adams_bashforth_step": [
        """
def adams_bashforth_step(x, now, before, schedule, t_before, t, s):
    (a, b), (a_next, b_next) = schedule.at(t), schedule.at(s)

    def middle(last, first):
        return first + (last - first) * ((t_before - (t + s) / 2) / (t_before - t))

    return x + middle(now.x0, before.x0) * (a_next - a) + middle(now.eps, before.eps) * (b_next - b)
""",
    ],
    "huber_errors": [
        """
def huber_errors(truth, answer, t, weights, c):
    losses = []
    for i in range(len(truth)):
        each = [d * d if abs(d) <= c else c * (2 * abs(d) - c) for d in (truth[i] - answer[i]).flatten()]
        losses.append(weights[t[i]] * sum(each) / len(each))
    return torch.stack(losses)
""",
        """
def huber_errors(truth, answer, t, weights, c):
    return weights[t] * 2 * F.huber_loss(answer, truth, reduction="none", delta=c).flatten(1).mean(1)
""",
    ],
}
