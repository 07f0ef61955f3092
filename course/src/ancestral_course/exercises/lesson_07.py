"""Exercises of lesson 7: label dropout, classifier guidance, classifier-free guidance, and guidance in an interval."""

import math

import torch
from torch import Tensor

from ancestral import oracle, schedules
from ancestral.guidance import NO_CLASS, ClassifierFree
from ancestral.schedules import Time
from ancestral.targets import EPS, SCORE, Prediction
from ancestral_course.exercise import Exercise, Function
from ancestral_course.probing import Linear
from ancestral_course.variants import near, normal, whole


def _drop_labels(labels: Tensor, u: Tensor, share: float) -> Tensor:
    return labels.masked_fill(u < share, NO_CLASS)


def _drop_results(function: Function) -> list[Tensor]:
    """Shares 0, 0.25 (which is also a value of u) and 1."""
    labels = torch.tensor([whole(3, 1, 4), 0, 9, whole(5, 5, 6), 0, whole(7, 7, 8), 2])
    middle = near(0.25)
    u = torch.tensor([near(0.125), 0.96 * middle, middle, 0.95, 0.0, near(0.5), 0.85])
    return [function(labels, u, share) for share in (0.0, float(u[2]), 1.0)]


DROP_LABELS = Exercise(
    "drop_labels",
    "Labels with a random share of them replaced by -1, for label dropout.",
    _drop_labels,
    _drop_results,
    {
        "this keeps a share of the labels and drops the others. Drop where u is below the share.": (
            lambda labels, u, share: labels.masked_fill(u >= share, NO_CLASS)
        ),
        "dropped labels become 0, which is a class. The label for no class is −1.": (
            lambda labels, u, share: labels.masked_fill(u < share, 0)
        ),
        "u ≤ share drops a label with u = 0 even if the share is 0. u lies in [0, 1), so take u < share.": (
            lambda labels, u, share: labels.masked_fill(u <= share, NO_CLASS)
        ),
        "the label is reduced by 1. A dropped label is −1, whatever it was.": (
            lambda labels, u, share: labels - (u < share).long()
        ),
        "this returns the mask alone. Where it is true put −1, and elsewhere the label.": (
            lambda labels, u, share: (u < share).long()
        ),
    },
)


class _Joint:
    """log p_t(x, y) of three classes with exact denoisers; called with points (B, 2) it returns (B, 3)."""

    def __init__(self, t: int) -> None:
        self.t, schedule = t, schedules.linear(1000)
        means = torch.tensor([[-0.9, 0.4], [0.6, 0.3], [0.1, -0.7]], dtype=torch.float64)
        stds = torch.tensor([0.3, 0.4, 0.2], dtype=torch.float64)
        weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
        self.classes = [oracle.Mixture(schedule, means[k : k + 1], stds[k : k + 1]) for k in range(3)]
        self.everything = oracle.Mixture(schedule, means, stds, weights)

    def __call__(self, x: Tensor) -> Tensor:
        log_prior = self.everything.weights.log()
        return torch.stack([log_prior[k] + model.log_density(x, self.t) for k, model in enumerate(self.classes)], 1)


def _bayes_gradient(log_joint: _Joint, x: Tensor, y: Tensor) -> Tensor:
    """Bayes' rule: the score of the class minus the score of all data, from the exact denoisers."""
    t, b = log_joint.t, log_joint.everything.schedule.at(log_joint.t)[1]
    given = [log_joint.classes[k].predict(x[i : i + 1], t).eps for i, k in enumerate(y.tolist())]
    return (log_joint.everything.predict(x, t).eps - torch.cat(given)) / b


def _gradient_results(function: Function) -> list[Tensor]:
    """Points with different labels at three noise levels."""
    y = torch.tensor([0, 2, 1, 1, 0])
    return [
        function(_Joint(t), 0.7 * normal(5, 2, seed=70 + t), y)
        for t in (whole(20, 15, 60), whole(300, 200, 400), whole(800, 700, 900))
    ]


def _gradient_of(value: Function) -> Function:
    """The gradient of the sum of `value`, a function of log_joint(x) and y."""

    def call(log_joint: Function, x: Tensor, y: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(value(log_joint(x), y).sum(), x)[0]

    return call


def _pick(table: Tensor, y: Tensor) -> Tensor:
    """The entry of each row that its label names."""
    return table[torch.arange(len(y)), y]


CLASSIFIER_GRADIENT = Exercise(
    "classifier_gradient",
    "The gradient of log p(y|x) with respect to x.",
    _bayes_gradient,
    _gradient_results,
    {
        "this is the gradient of log p(x, y), the score of the class. log p(y|x) is the log_softmax over classes.": (
            _gradient_of(lambda joint, y: _pick(joint, y))
        ),
        "this is the gradient of the probability p(y|x). Take the gradient of its logarithm.": (
            _gradient_of(lambda joint, y: _pick(joint.softmax(1), y))
        ),
        "this is the gradient of all classes added. Pick the label of each point: log_p[torch.arange(len(x)), y].": (
            _gradient_of(lambda joint, y: joint.log_softmax(1))
        ),
        "log_softmax runs over the points (dim=0). Normalise over the classes, dim=1.": (
            _gradient_of(lambda joint, y: _pick(joint.log_softmax(0), y))
        ),
        "the gradient of the mean over the batch is smaller by the number of points. Take the sum.": (
            _gradient_of(lambda joint, y: _pick(joint.log_softmax(1), y) / len(y))
        ),
        "the sign: this is the gradient of −log p(y|x), the loss of a classifier.": (
            _gradient_of(lambda joint, y: -_pick(joint.log_softmax(1), y))
        ),
        "all points get the label of the first. Each point has a label of its own.": (
            _gradient_of(lambda joint, y: joint.log_softmax(1)[:, y[0]])
        ),
        "log_p[:, y] takes all labels for all points, (B, B). Take log_p[torch.arange(len(x)), y].": (
            _gradient_of(lambda joint, y: joint.log_softmax(1)[:, y])
        ),
        "this is the gradient of log p(x), the score of all data.": (_gradient_of(lambda joint, y: joint.logsumexp(1))),
    },
)


def _classifier_guidance(eps: Tensor, gradient: Tensor, b: float, scale: float) -> Tensor:
    """Through the scores: the ε̂ of the score plus scale times the gradient."""
    a = math.sqrt(1 - b**2)
    score = SCORE.from_x0_eps(torch.zeros_like(eps), eps, a, b)
    return SCORE.solve(torch.zeros_like(eps), score + scale * gradient, a, b).eps


def _guidance_results(function: Function) -> list[Tensor]:
    """Little and much noise, no guidance, an odd scale, and float32."""
    found = []
    for number, (b, scale) in enumerate(
        [(near(0.9, 0.1), 1.0), (near(0.1), near(3.0)), (near(0.5), 0.0), (0.99, near(7.5))]
    ):
        dtype = torch.float32 if number == 1 else torch.float64
        eps, gradient = (normal(3, 1, 4, 5, seed=seed + number, dtype=dtype) for seed in (80, 90))
        found.append(function(eps, gradient, b, scale))
    return found


CLASSIFIER_GUIDANCE = Exercise(
    "classifier_guidance",
    "The noise estimate with classifier guidance.",
    _classifier_guidance,
    _guidance_results,
    {
        "the sign: the score is −ε̂/b_t, so what is added to the score is subtracted from ε̂.": (
            lambda eps, gradient, b, scale: eps + scale * b * gradient
        ),
        "the factor b_t is missing: the score is −ε̂/b_t, so ε̂ is −b_t times the score.": (
            lambda eps, gradient, b, scale: eps - scale * gradient
        ),
        "b_t is √(1−ᾱ_t) already, and needs no other root.": (
            lambda eps, gradient, b, scale: eps - scale * math.sqrt(b) * gradient
        ),
        "the gradient is divided by b_t. From the score to ε̂ one multiplies by −b_t.": (
            lambda eps, gradient, b, scale: eps - scale / b * gradient
        ),
        "the gradient is multiplied by b_t². From the score to ε̂ one multiplies by −b_t, once.": (
            lambda eps, gradient, b, scale: eps - scale * b**2 * gradient
        ),
        "the scale is missing.": lambda eps, gradient, b, scale: eps - b * gradient,
        "this is the guided score. Multiply it by −b_t to get ε̂.": (
            lambda eps, gradient, b, scale: -eps / b + scale * gradient
        ),
        "with this, scale 1 would be no guidance. Here scale 0 is none: take scale, not scale − 1.": (
            lambda eps, gradient, b, scale: eps - (scale - 1) * b * gradient
        ),
        "the whole sum is multiplied by the scale. Only the classifier's gradient is.": (
            lambda eps, gradient, b, scale: scale * (eps - b * gradient)
        ),
    },
    linear=Linear("eps, gradient, b, scale", inputs="eps, gradient", at="b, scale"),
)


class _TwoEstimates:
    """A denoiser that returns given estimates: the first B for the labels, the others for no class."""

    def __init__(self, eps_label: Tensor, eps_free: Tensor) -> None:
        self.schedule, self.eps = schedules.linear(1000), torch.cat([eps_label, eps_free])

    def predict(self, x_t: Tensor, t: Time, **_: Tensor) -> Prediction:
        return EPS.solve(x_t, self.eps, *self.schedule.at(t))


def _classifier_free(eps_label: Tensor, eps_free: Tensor, scale: float) -> Tensor:
    labels = torch.zeros(len(eps_label), dtype=torch.int64)
    guided = ClassifierFree(_TwoEstimates(eps_label, eps_free), scale)
    return guided.predict(torch.zeros_like(eps_label), 500, labels=labels).eps


def _free_results(function: Function) -> list[Tensor]:
    """Scales from 0 to 7.5, float64 and float32."""
    found = []
    for number, scale in enumerate([0.0, 1.0, near(1.5), near(7.5)]):
        dtype = torch.float32 if number == 2 else torch.float64
        label, free = (normal(3, 2, 5, seed=seed + number, dtype=dtype) for seed in (100, 110))
        found.append(function(label, free, scale))
    return found


CLASSIFIER_FREE = Exercise(
    "classifier_free",
    "The noise estimate with classifier-free guidance, with the scale of the package.",
    _classifier_free,
    _free_results,
    {
        "this is the paper's way of counting, (1 + w) and w. Here 1 is no guidance: s = 1 + w.": (
            lambda label, free, scale: (1 + scale) * label - scale * free
        ),
        "the two estimates are swapped: guidance leads from the one without to the one with the label.": (
            lambda label, free, scale: label + scale * (free - label)
        ),
        "the difference has the wrong sign: take the estimate with the label minus the one without.": (
            lambda label, free, scale: free - scale * (label - free)
        ),
        "the estimate without a label is missing: begin with it, and add the scaled difference.": (
            lambda label, free, scale: scale * (label - free)
        ),
        "only the estimate with the label is scaled. Scale the difference of both.": (
            lambda label, free, scale: free + scale * label
        ),
        "this scales the conditional estimate, and the one without a label is not used.": (
            lambda label, free, scale: scale * label
        ),
        "the weights are divided by their sum, so that no scale goes beyond the label. Extrapolate.": (
            lambda label, free, scale: (free + scale * label) / (1 + scale)
        ),
    },
    linear=Linear("eps_label, eps_free, scale", inputs="eps_label, eps_free", at="scale"),
)


def _interval_scale(t: Tensor, scale: float, low: int, high: int) -> Tensor:
    return torch.tensor([scale if low <= time <= high else 1.0 for time in t.tolist()])


def _interval_results(function: Function) -> list[Tensor]:
    """Times at both ends of the interval, an interval of one time, and all times."""
    low, high = whole(100, 50, 200), whole(400, 300, 700)
    t = torch.tensor([1, low - 1, low, low + 1, high - 1, high, high + 1, 1000])
    return [function(t, near(4.0), low, high), function(t, 0.0, high, high), function(t, near(2.5), 1, 1000)]


INTERVAL_SCALE = Exercise(
    "interval_scale",
    "The guidance scale as a function of the time, for guidance in an interval.",
    _interval_scale,
    _interval_results,
    {
        "outside of the interval the scale is 0, which ignores the label there. Plain conditioning is the scale 1.": (
            lambda t, scale, low, high: torch.where((t >= low) & (t <= high), scale, 0.0)
        ),
        "the interval is inverted: guidance belongs between low and high.": (
            lambda t, scale, low, high: torch.where((t >= low) & (t <= high), 1.0, scale)
        ),
        "both ends belong to the interval: take ≤, not <.": (
            lambda t, scale, low, high: torch.where((t > low) & (t < high), scale, 1.0)
        ),
        "the lower end belongs to the interval, too: low ≤ t.": (
            lambda t, scale, low, high: torch.where((t > low) & (t <= high), scale, 1.0)
        ),
        "the upper end belongs to the interval, too: t ≤ high.": (
            lambda t, scale, low, high: torch.where((t >= low) & (t < high), scale, 1.0)
        ),
        "the lower bound is not used: below it there is no guidance, either.": (
            lambda t, scale, low, high: torch.where(t <= high, scale, 1.0)
        ),
        "the upper bound is not used: above it there is no guidance, either.": (
            lambda t, scale, low, high: torch.where(t >= low, scale, 1.0)
        ),
        "the scale is the same at all times. (The conditions are joined by and, &; every time fulfils one of them.)": (
            lambda t, scale, low, high: torch.full(t.shape, scale)
        ),
    },
)

EXERCISES: tuple[Exercise, ...] = (
    DROP_LABELS,
    CLASSIFIER_GRADIENT,
    CLASSIFIER_GUIDANCE,
    CLASSIFIER_FREE,
    INTERVAL_SCALE,
)
"""The exercises, in the order of the lesson."""
