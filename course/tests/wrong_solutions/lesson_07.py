"""Solutions of lesson 7: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "drop_labels": {
        "return torch.where(u < share, labels, -1)": "keeps a share of the labels",
        "return torch.where(u < share, 0, labels)": "which is a class",
        "labels[u < share] = -1": "Return new values",
        "return torch.where(u <= share, -1, labels)": "take u < share",
        "return (u < share).to(labels.dtype)": "the mask alone",
    },
    "classifier_gradient": {
        "value = log_joint(x)[torch.arange(len(x)), y].sum()\n"
        "value.backward()\n"
        "return x.grad": "the score of the class",
        "p = torch.softmax(log_joint(x), dim=1)[torch.arange(len(x)), y]\n"
        "return torch.autograd.grad(p.sum(), x)[0]": "gradient of its logarithm",
        "return torch.autograd.grad(log_joint(x).log_softmax(dim=1)[:, y].diagonal().mean(), x)[0]": "Take the sum",
        'loss = F.cross_entropy(log_joint(x), y, reduction="sum")\n'
        "return torch.autograd.grad(loss, x)[0]": "the loss of a classifier",
        "return torch.autograd.grad(log_joint(x).log_softmax(dim=1).sum(), x)[0]": "all classes added",
        "return torch.autograd.grad(log_joint(x).log_softmax(dim=0)[torch.arange(len(x)), y].sum(), x)[0]": (
            "over the classes, dim=1"
        ),
    },
    "classifier_guidance": {
        "return eps + b * scale * gradient": "subtracted from ε̂",
        "return eps - scale * gradient": "the factor b_t is missing",
        "return -eps / b + scale * gradient": "this is the guided score",
        "return eps - b * gradient": "the scale is missing",
        "return eps - scale * gradient / b": "divided by b_t",
    },
    "classifier_free": {
        "return (1 + scale) * eps_label - scale * eps_free": "s = 1 + w",
        "return scale * eps_free + (1 - scale) * eps_label": "are swapped",
        "return eps_free - scale * (eps_label - eps_free)": "wrong sign",
        "return scale * (eps_label - eps_free)": "begin with it",
        "return eps_free + scale * eps_label": "Scale the difference",
    },
    "interval_scale": {
        "return scale * ((t >= low) & (t <= high)).float()": "Plain conditioning is the scale 1",
        "return torch.where((t < low) | (t > high), scale, 1.0)": "inverted",
        "return torch.where((low < t) & (t < high), scale, 1.0)": "both ends belong",
        "return torch.where((low <= t) & (t < high), scale, 1.0)": "the upper end belongs",
        "return torch.where(t <= high, scale, 1.0)": "the lower bound is not used",
        "return torch.where((t >= low) | (t <= high), scale, 1.0)": "joined by and",
    },
}

OTHERWISE: dict[str, list[str]] = {
    "drop_labels": [
        """
def drop_labels(labels, u, share):
    kept = []
    for label, number in zip(labels, u):
        kept.append(-1 if number < share else int(label))
    return torch.tensor(kept)
""",
        """
def drop_labels(labels, u, share):
    labels = labels.clone()
    labels[u < share] = guidance.NO_CLASS
    return labels
""",
    ],
    "classifier_gradient": [
        """
def classifier_gradient(log_joint, x, y):
    rows = []
    for point, label in zip(x, y):
        point = point[None].clone().requires_grad_()
        joint = log_joint(point)
        (joint[0, label] - joint.logsumexp(dim=1)[0]).backward()
        rows.append(point.grad[0])
    return torch.stack(rows)
""",
        """
def classifier_gradient(log_joint, x, y):
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(log_joint(x), y, reduction="sum")
    return -torch.autograd.grad(loss, x)[0]
""",
    ],
    "classifier_guidance": [
        """
def classifier_guidance(eps, gradient, b, scale):
    score = -eps / b + scale * gradient
    return -b * score
""",
    ],
    "classifier_free": [
        """
def classifier_free(eps_label, eps_free, scale):
    w = scale - 1
    return (1 + w) * eps_label - w * eps_free
""",
        """
def classifier_free(eps_label, eps_free, scale):
    return torch.lerp(eps_free, eps_label, scale)
""",
    ],
    "interval_scale": [
        """
def interval_scale(t, scale, low, high):
    result = torch.ones(len(t))
    for i, time in enumerate(t):
        if low <= time <= high:
            result[i] = scale
    return result
""",
        """
def interval_scale(t, scale, low, high):
    inside = ((t >= low) & (t <= high)).float()
    return inside * scale + (1 - inside)
""",
    ],
}
