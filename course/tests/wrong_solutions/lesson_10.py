"""Solutions of lesson 10: wrong ones with a part of the hint that they must get, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "unpatchify": {
        """
def unpatchify(patches, size, height, width):
    cut = torch.from_numpy(patches.numpy().reshape(len(patches), height // size, width // size, -1, size, size))
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(len(patches), -1, height, width)
""": "numpy knows no gradients",
        """
def unpatchify(patches, size, height, width):
    cut = patches.data.reshape(len(patches), height // size, width // size, -1, size, size)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(len(patches), -1, height, width)
""": "the gradient is lost",
        """
def unpatchify(patches, size, height, width):
    return patches.reshape(len(patches), -1, height, width)
""": "reshape alone moves no number",
        """
def unpatchify(patches, size, height, width):
    b, n, _ = patches.shape
    x = patches.view(b, height // size, width // size, -1, size, size)
    return x.permute(0, 3, 1, 2, 4, 5).reshape(b, -1, height, width)
""": "H is joined from (patch row, patch column)",
        """
def unpatchify(patches, size, height, width):
    x = patches.unflatten(1, (height // size, width // size)).unflatten(3, (-1, size, size))
    return x.permute(0, 2, 4, 1, 3, 5).reshape(len(patches), -1, height, width)
""": "permutes as patchify does",
        """
def unpatchify(patches, size, height, width):
    x = patches.unflatten(1, (height // size, width // size)).unflatten(3, (-1, size, size))
    return torch.einsum("nhwcij->nchjwi", x).reshape(len(patches), -1, height, width)
""": "each patch is transposed",
        """
def unpatchify(patches, size, height, width):
    x = patches.unflatten(1, (height // size, width // size)).unflatten(3, (size, size, -1))
    return torch.einsum("nhwijc->nchiwj", x).reshape(len(patches), -1, height, width)
""": "the first axis within a patch",
        """
def unpatchify(patches, size, height, width):
    return F.pixel_shuffle(patches.mT.unflatten(2, (width // size, height // size)), size)
""": "return a tensor of shape",
        """
def unpatchify(patches, size, height, width):
    x = patches.unflatten(1, (width // size, height // size)).unflatten(3, (-1, size, size))
    return torch.einsum("nhwcij->nchiwj", x).reshape(len(patches), -1, height, width)
""": "swapped where the patches are split",
    },
    "shifted": {
        """
def shifted(a, b, ratio):
    length = torch.sqrt((ratio * a) ** 2 + b**2)
    return ratio * a / length, b / length
""": "wrong direction",
        """
def shifted(a, b, ratio):
    snr = (a / b) ** 2 / ratio
    return torch.sigmoid(snr.log()).sqrt(), torch.sigmoid(-snr.log()).sqrt()
""": "the SNR is divided by ratio",
        """
def shifted(a, b, ratio):
    log_snr = 2 * (a.log() - b.log()) - 4 * math.log(ratio)
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()
""": "multiplied by ratio²",
        """
def shifted(a, b, ratio):
    return a, ratio * b
""": "is not 1",
        """
def shifted(a, b, ratio):
    new_b = ratio * b
    total = a * a + new_b * new_b
    return a / total, new_b / total
""": "not by its square",
        """
def shifted(a, b, ratio):
    sigma = ratio * b / a
    a = 1 / (1 + sigma**2) ** 0.5
    return a, a * sigma
""": "not a number",
        """
def shifted(a, b, ratio):
    return a, b
""": "as they were",
    },
    "unknown_part": {
        """
def unknown_part(a, b, s):
    return b, -a
""": "this is −v",
        """
def unknown_part(a, b, s):
    n = torch.hypot(b, s * a)
    return -b / (s * n), s * a / n
""": "up to the sign",
        """
def unknown_part(a, b, s):
    p, q = b, -a * s * s
    n = torch.hypot(p, q)
    return p / n, q / n
""": "you scaled to p² + q² = 1",
        """
def unknown_part(a, b, s):
    p, q = b, -a * s
    n = torch.hypot(p * s, q)
    return p / n, q / n
""": "you took s",
        """
def unknown_part(a, b, s):
    n = torch.hypot(b, s * a)
    return a / n, b / n
""": "this is x_t divided by its deviation",
        """
def unknown_part(a, b, s):
    n = torch.hypot(b, a / 2)
    return 2 * b / n, -a / (2 * n)
""": "EDM's choice",
        """
def unknown_part(a, b, s):
    r = a * s**2 / b
    return 1 / torch.sqrt(s**2 + r**2), -r / torch.sqrt(s**2 + r**2)
""": "not a number",
    },
    "adams_bashforth_step": {
        """
def adams_bashforth_step(x, now, before, schedule, t_before, t, s):
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    return x + (a_s - a_t) * (1.5 * now.x0 - 0.5 * before.x0) + (b_s - b_t) * (1.5 * now.eps - 0.5 * before.eps)
""": "that of equal steps",
        """
def adams_bashforth_step(x, now, before, schedule, t_before, t, s):
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    w = 0.5 * (t_before - t) / (t - s)
    x0, eps = now.x0 + w * (now.x0 - before.x0), now.eps + w * (now.eps - before.eps)
    return x + (a_s - a_t) * x0 + (b_s - b_t) * eps
""": "upside down",
        """
def adams_bashforth_step(x, now, before, schedule, t_before, t, s):
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    w = (t - s) / (t_before - t)
    x0, eps = now.x0 + w * (now.x0 - before.x0), now.eps + w * (now.eps - before.eps)
    return x + (a_s - a_t) * x0 + (b_s - b_t) * eps
""": "The middle is half as far",
        """
def adams_bashforth_step(x, now, before, schedule, t_before, t, s):
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    w = 0.5 * (t - s) / (t_before - t)
    x0, eps = now.x0 + w * (before.x0 - now.x0), now.eps + w * (before.eps - now.eps)
    return x + (a_s - a_t) * x0 + (b_s - b_t) * eps
""": "wrong sign",
        """
def adams_bashforth_step(x, now, before, schedule, t_before, t, s):
    a, b = schedule.at(s)
    w = 0.5 * (t - s) / (t_before - t)
    return a * (now.x0 + w * (now.x0 - before.x0)) + b * (now.eps + w * (now.eps - before.eps))
""": "DDIM's step",
        """
def adams_bashforth_step(x, now, before, schedule, t_before, t, s):
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    w = 0.5 * (t - s) / (t_before - t)
    return x + (a_s - a_t) * (now.x0 + w * (now.x0 - before.x0)) + (b_s - b_t) * now.eps
""": "ε̂ needs the same",
        """
def adams_bashforth_step(x, now, before, schedule, t_before, t, s):
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    return x + (a_s - a_t) * now.x0 + (b_s - b_t) * now.eps
""": "Euler's step",
    },
    "huber_errors": {
        """
def huber_errors(truth, answer, t, weights, c):
    return weights[t] * F.huber_loss(answer, truth, reduction="none", delta=c).flatten(1).mean(1)
""": "no factor ½",
        """
def huber_errors(truth, answer, t, weights, c):
    e = (truth - answer).abs()
    h = torch.where(e < c, e * e, c * (2 * e - c))
    return weights[t] * h.flatten(1).sum(1)
""": "not the sum",
        """
def huber_errors(truth, answer, t, weights, c):
    e = (truth - answer).abs()
    h = torch.where(e < c, e * e, c * (2 * e - c))
    return weights[t - 1] * h.flatten(1).mean(1)
""": "not weights[t − 1]",
        """
def huber_errors(truth, answer, t, weights, c):
    e = (truth - answer).abs()
    h = torch.where(e < c, e * e, c * (2 * e - c))
    return h.flatten(1).mean(1)
""": "the weights are missing",
        """
def huber_errors(truth, answer, t, weights, c):
    rms = ((truth - answer) ** 2).flatten(1).mean(1) ** 0.5
    return weights[t] * torch.where(rms <= c, rms**2, c * (2 * rms - c))
""": "root mean square error of a whole sample",
        """
def huber_errors(truth, answer, t, weights, c):
    e = truth - answer
    return weights[t] * (2 * c * (torch.sqrt(e**2 + c**2) - c)).flatten(1).mean(1)
""": "pseudo-Huber loss of the wrapper",
        """
def huber_errors(truth, answer, t, weights, c):
    e = (truth - answer).abs()
    h = torch.where(e < c, e * e, c * (2 * e - c))
    return (weights[t] * h.flatten(1).mean(1)).mean()
""": "return a tensor of shape (4,), not ()",
        """
def huber_errors(truth, answer, t, weights, c):
    losses = []
    for i in range(len(truth)):
        each = [d * d if abs(d) <= c else c * (2 * abs(d) - c) for d in (truth[i] - answer[i]).flatten().tolist()]
        losses.append(weights[t[i]] * sum(each) / len(each))
    return torch.stack(losses)
""": "the gradient is lost",
        """
def huber_errors(truth, answer, t, weights, c):
    e = (truth - answer).abs()
    with torch.no_grad():
        h = torch.where(e <= c, e**2, c * (2 * e - c))
    return weights[t] * h.flatten(1).mean(1)
""": "the gradient is lost",
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
