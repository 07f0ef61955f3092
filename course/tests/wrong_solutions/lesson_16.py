"""Planted mistakes of lesson 16, with a part of the hint that each should get, and right answers in another style."""

SDE = "def drift_and_diffusion(a, b, da, db):\n    f = da / a\n    return {}\n"
RATE = "def density_rate(p, dp, ddp, mu, dmu, g2):\n    return {}\n"
DRIFT = "def reverse_drift(x, f, g2, score, eta):\n    return {}\n"
VARIANCE = "def langevin_variance(v, alpha):\n    return {}\n"
COVARIANCE = """def covariance_from_score(a, b, hessian):
    one = torch.eye(len(hessian), dtype=hessian.dtype)
    return {}
"""

WRONG = {
    "drift_and_diffusion": {
        SDE.format("f, -2 * f"): "only where a² + b² = 1",
        SDE.format("f, 2 * b * db"): "shrinks with the signal",
        SDE.format("f, b * db - 2 * f * b**2"): "a 2 is missing",
        SDE.format("f, 2 * db - 2 * f * b**2"): "lacks the b",
        SDE.format("f, db**2 - 2 * f * b**2"): "square the derivative",
        SDE.format("f, 2 * b * db - f * b**2"): "has a 2",
        SDE.format("f, 2 * b * db - 2 * f * b"): "a variance, not b",
        SDE.format("f, 2 * b * db + 2 * f * b**2"): "sign of the second",
        SDE.format("f, (2 * b * db - 2 * f * b**2) ** 0.5"): "Return g²",
        SDE.format("-f, 2 * b * db + 2 * f * b**2"): "with it that of a term",
        SDE.format("da, 2 * b * db - 2 * da * b**2"): "the logarithm of a",
        SDE.format("da, 2 * b * db - 2 * f * b**2"): "g² is right",
        SDE.format("db / b, 2 * b * db - 2 * db * b"): "You take the noise",
        SDE.format("2 * b * db - 2 * f * b**2, f"): "the order",
    },
    "density_rate": {
        RATE.format("-mu * dp + g2 / 2 * ddp"): "μ' p is missing",
        RATE.format("-dmu * p + g2 / 2 * ddp"): "μ p' is missing",
        RATE.format("-dmu * dp + g2 / 2 * ddp"): "product of the derivatives",
        RATE.format("dmu * p + mu * dp + g2 / 2 * ddp"): "sign of the drift",
        RATE.format("-dmu * p + mu * dp + g2 / 2 * ddp"): "whole divergence",
        RATE.format("-(dmu * p + mu * dp) - g2 / 2 * ddp"): "sign of the spread",
        RATE.format("-(dmu * p + mu * dp) + g2 * ddp"): "½",
        RATE.format("-(dmu * p + mu * dp) + g2**2 / 2 * ddp"): "square it again",
        RATE.format("-(dmu * p + mu * dp)"): "spread is missing",
        RATE.format("dmu * p + mu * dp - g2 / 2 * ddp"): "runs backwards",
    },
    "reverse_drift": {
        DRIFT.format("-f * x + g2 * score"): "η = 1 only",
        DRIFT.format("-f * x + g2 / 2 * score"): "η = 0 only",
        DRIFT.format("-f * x + (1 + eta) / 2 * g2 * score"): "not η.",
        DRIFT.format("-f * x + (1 + eta**2) * g2 * score"): "½ is missing",
        DRIFT.format("-f * x + (1 - eta**2) / 2 * g2 * score"): "not by less",
        DRIFT.format("f * x + (1 + eta**2) / 2 * g2 * score"): "changes its sign",
        DRIFT.format("f * x - (1 + eta**2) / 2 * g2 * score"): "runs forwards",
        DRIFT.format("-f * x - (1 + eta**2) / 2 * g2 * score"): "up the density",
        DRIFT.format("-f * x + (1 + eta) ** 2 / 2 * g2 * score"): "η alone",
        DRIFT.format("-f * x + (1 + eta**2) / 2 * g2**0.5 * score"): "not g.",
    },
    "langevin_variance": {
        VARIANCE.format("v"): "does not keep it",
        VARIANCE.format("v + alpha / 4"): "first order",
        VARIANCE.format("alpha / (1 - (1 - alpha / v) ** 2)"): "has no ½",
        VARIANCE.format("alpha / (1 - (1 - alpha / 2) ** 2)"): "v = 1 only",
        VARIANCE.format("alpha / (1 - (1 - alpha / (2 * v)))"): "is squared",
        VARIANCE.format("alpha**2 / (1 - (1 - alpha / (2 * v)) ** 2)"): "not α²",
        VARIANCE.format("(v / (1 - alpha / (4 * v))) ** 0.5"): "standard deviation",
        VARIANCE.format("v / (1 + alpha / (4 * v))"): "too much",
        VARIANCE.format("(1 - alpha / (2 * v)) ** 2 * v + alpha"): "one step",
    },
    "covariance_from_score": {
        COVARIANCE.format("b**2 / a**2 * (1 + b**2 * hessian)"): "torch.eye",
        COVARIANCE.format("(one + b**2 * hessian) / a"): "derivative of the estimate",
        COVARIANCE.format("b**2 / a * (one + b**2 * hessian)"): "not b²/a",
        COVARIANCE.format("b**2 / a**2 * (one - b**2 * hessian)"): "peaked",
        COVARIANCE.format("b**2 / a**2 * (one + b * hessian)"): "not b.",
        COVARIANCE.format("b**4 / a**2 * hessian"): "identity is missing",
        COVARIANCE.format("b**2 / a**2 * (one + b**2 * hessian) * one"): "only the diagonal",
    },
}

OTHERWISE = {
    "drift_and_diffusion": [
        SDE.format("[f, 2 * b * (db - f * b)]"),
        SDE.format("f, 2 * b**2 * (db / b - f)"),  # g² = 2 b² d(log b/a)
    ],
    "density_rate": [RATE.format("0.5 * g2 * ddp - dmu * p - mu * dp")],
    "reverse_drift": [
        DRIFT.format("-(f * x - g2 / 2 * score) + eta**2 * g2 / 2 * score"),
        DRIFT.format("torch.add(-f * x, score, alpha=0.5 * (1 + eta * eta) * g2)"),
    ],
    "langevin_variance": [
        VARIANCE.format("alpha / (1 - (1 - alpha / (2 * v)) ** 2)"),
        "def langevin_variance(v, alpha):\n    V = v\n    for _ in range(10_000):\n"
        "        V = (1 - alpha / (2 * v)) ** 2 * V + alpha\n    return V\n",
        VARIANCE.format("4 * v**2 / (4 * v - alpha)"),
    ],
    "covariance_from_score": [
        COVARIANCE.format("(b / a) ** 2 * torch.diag(one.diag()) + b**4 / a**2 * hessian"),
    ],
}
