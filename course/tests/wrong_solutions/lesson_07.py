"""Solutions of lesson 7: wrong ones with a part of the hint that they must get, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "drop_labels": {
        """
def drop_labels(labels, u, share):
    return torch.where(u < share, labels, -1)
""": "keeps a share of the labels",
        """
def drop_labels(labels, u, share):
    return torch.where(u < share, 0, labels)
""": "which is a class",
        """
def drop_labels(labels, u, share):
    labels[u < share] = -1
    return labels
""": "Return new values",
        """
def drop_labels(labels, u, share):
    return torch.where(u <= share, -1, labels)
""": "take u < share",
        """
def drop_labels(labels, u, share):
    return (u < share).to(labels.dtype)
""": "the mask alone",
    },
    "classifier_gradient": {
        """
def classifier_gradient(log_joint, x, y):
    x = x.clone().requires_grad_()
    value = log_joint(x)[torch.arange(len(x)), y].sum()
    value.backward()
    return x.grad
""": "the score of the class",
        """
def classifier_gradient(log_joint, x, y):
    x = x.clone().requires_grad_()
    p = torch.softmax(log_joint(x), dim=1)[torch.arange(len(x)), y]
    return torch.autograd.grad(p.sum(), x)[0]
""": "gradient of its logarithm",
        """
def classifier_gradient(log_joint, x, y):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(log_joint(x).log_softmax(dim=1)[:, y].diagonal().mean(), x)[0]
""": "Take the sum",
        """
def classifier_gradient(log_joint, x, y):
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(log_joint(x), y, reduction="sum")
    return torch.autograd.grad(loss, x)[0]
""": "the loss of a classifier",
        """
def classifier_gradient(log_joint, x, y):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(log_joint(x).log_softmax(dim=1).sum(), x)[0]
""": "all classes added",
        """
def classifier_gradient(log_joint, x, y):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(log_joint(x).log_softmax(dim=0)[torch.arange(len(x)), y].sum(), x)[0]
""": "over the classes, dim=1",
    },
    "classifier_guidance": {
        """
def classifier_guidance(eps, gradient, b, scale):
    return eps + b * scale * gradient
""": "subtracted from ε̂",
        """
def classifier_guidance(eps, gradient, b, scale):
    return eps - scale * gradient
""": "the factor b_t is missing",
        """
def classifier_guidance(eps, gradient, b, scale):
    return -eps / b + scale * gradient
""": "this is the guided score",
        """
def classifier_guidance(eps, gradient, b, scale):
    return eps - b * gradient
""": "the scale is missing",
        """
def classifier_guidance(eps, gradient, b, scale):
    return eps - scale * gradient / b
""": "divided by b_t",
    },
    "classifier_free": {
        """
def classifier_free(eps_label, eps_free, scale):
    return (1 + scale) * eps_label - scale * eps_free
""": "s = 1 + w",
        """
def classifier_free(eps_label, eps_free, scale):
    return scale * eps_free + (1 - scale) * eps_label
""": "are swapped",
        """
def classifier_free(eps_label, eps_free, scale):
    return eps_free - scale * (eps_label - eps_free)
""": "wrong sign",
        """
def classifier_free(eps_label, eps_free, scale):
    return scale * (eps_label - eps_free)
""": "begin with it",
        """
def classifier_free(eps_label, eps_free, scale):
    return eps_free + scale * eps_label
""": "Scale the difference",
        """
def classifier_free(eps_label, eps_free, scale):
    return eps_label + scale * (eps_label - eps_free)
""": "s = 1 + w",
    },
    "interval_scale": {
        """
def interval_scale(t, scale, low, high):
    return scale * ((t >= low) & (t <= high)).float()
""": "Plain conditioning is the scale 1",
        """
def interval_scale(t, scale, low, high):
    return torch.where((t < low) | (t > high), scale, 1.0)
""": "inverted",
        """
def interval_scale(t, scale, low, high):
    return torch.where((low < t) & (t < high), scale, 1.0)
""": "both ends belong",
        """
def interval_scale(t, scale, low, high):
    return torch.where((low <= t) & (t < high), scale, 1.0)
""": "the upper end belongs",
        """
def interval_scale(t, scale, low, high):
    return torch.where(t <= high, scale, 1.0)
""": "the lower bound is not used",
        """
def interval_scale(t, scale, low, high):
    return torch.where((t >= low) | (t <= high), scale, 1.0)
""": "joined by and",
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
