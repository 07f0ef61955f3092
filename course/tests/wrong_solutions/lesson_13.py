"""Solutions of lesson 13: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "best_estimate": {
        "variance = slope**2 + std**2\nreturn a * variance * x_t / (a**2 * variance + b**2)": "without the condition",
        "return slope * c": "x_t says something",
        "return mean + gain * (x_t - mean)": "multiplied by a before the noise",
        "return mean + gain * x_t": "compared with 0",
        "gain = a**2 * std**2 / (a**2 * std**2 + b**2)": "that of a · x_0",
        "gain = a * (slope**2 + std**2) / (a**2 * (slope**2 + std**2) + b**2)": "that of c, which is known",
    },
    "subset_share": {
        "share = 1.0\nreturn share": "the joint draw is missing",
        "return share": "gets p more",
        "share = share * (1 - p if there else 1)": "the absent conditions count as well",
        "return share if any(present) else p": "This is p alone",
        "share = 1.0\nreturn share + (0 if any(present) else p)": "multiply by 1 − p",
    },
    "encode_vector": {
        "return torch.cat([(values - mean) / std, torch.ones_like(there)], dim=1) * there": "NaN is left",
        "inputs = ((values - mean) / std).nan_to_num(0.0)\n"
        "return torch.cat([inputs, (~values.isnan().any(dim=1, keepdim=True)).double()], dim=1)": "absent as a whole",
        "inputs = torch.where(there, (values - mean) / std, 0.0)\n"
        "return torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)": "the last number too",
        "inputs = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)": "not standardised",
        "absent = values.isnan().any(dim=1, keepdim=True)\n"
        "return torch.cat([torch.where(absent, 0.0, (values - mean) / std), absent.double()], dim=1)": (
            "not the other way round"
        ),
        "values[~there[:, 0]] = 0": "changed in place",
    },
    "encode_image": {
        "x = F.interpolate(image.float() / 127.5 - 1, (side, side))": "makes blocks",
        'x = F.interpolate(image.float() / 255, (side, side), mode="bilinear")': "scales to [0, 1]",
        'x = F.interpolate(image.float() / 127.5 - 1, (side, side), mode="bilinear", align_corners=True)': (
            "corners are aligned"
        ),
        "return torch.cat([x, torch.zeros_like(x[:, :1])], dim=1)": "sign of an absent one",
        "return torch.cat([torch.ones_like(x[:, :1]), x], dim=1)": "is the last, not the first",
    },
    "posterior": {
        "of_y = operator @ covariance @ operator.T + sigma * torch.eye(len(y), dtype=y.dtype)": (
            "the variance of the noise is sigma²"
        ),
        "of_y = operator @ covariance @ operator.T": "the noise is missing",
        "return mean + gain @ y, covariance - gain @ operator @ covariance": "compared with 0",
        "return mean + gain @ (y - operator @ mean), covariance": "still that of the prior",
        "return mean + gain @ (y - operator @ mean), torch.eye(len(mean), dtype=y.dtype) - gain @ operator": (
            "multiply it by Σ"
        ),
    },
    "two_scales": {
        "return none + s_1 * (first - none) + s_2 * (both - none)": "begins at the estimate without",
        "return none + s_2 * (first - none) + s_1 * (both - first)": "exchanged",
        "return s_1 * (first - none) + s_2 * (both - first)": "begin with it",
        "return torch.lerp(first, both, s_2)": "first condition is not used",
        "return both + s_1 * (first - none) + s_2 * (both - first)": "begin at none",
    },
    "energy_score": {
        "to_truth = (samples - truth[:, None]).square().mean(dim=2).sqrt().mean(dim=1)\n"
        "return to_truth - torch.cdist(samples, samples).sum(dim=(1, 2)) / (2 * members * (members - 1))": (
            "which cdist gives"
        ),
        "between = torch.cdist(samples, samples).sum(dim=(1, 2)) / (members**2)": "not by K²",
        "return (to_truth - between) / samples.shape[2] ** 0.5": "twice too large",
        "return to_truth - between / 2": "divide the norm by √D",
        "return (samples - truth[:, None]).square().mean(dim=2).sqrt().mean(dim=1)": "second term is missing",
        "return (to_truth + between / 2) / samples.shape[2] ** 0.5": "Spread is rewarded",
    },
    "nominal_coverage": {
        "return (members - 2 * rank) / members": "this counts 2 r of K",
        "return (members - 2 * rank) / (members + 1)": "one gap too few",
        "return 1 - rank / (members + 1)": "one side is forgotten",
        "return 2 * rank / (members + 1)": "outside of the interval",
        "return (members - 2 * rank + 1) / members": "Divide by K + 1",
    },
}

OTHERWISE: dict[str, list[str]] = {
    "best_estimate": [
        """
def best_estimate(x_t, c, a, b, slope, std):
    return (slope * c * b**2 + a * std**2 * x_t) / (a**2 * std**2 + b**2)
""",
        """
def best_estimate(x_t, c, a, b, slope, std):
    precision = 1 / std**2 + a**2 / b**2
    return (slope * c / std**2 + a * x_t / b**2) / precision
""",
    ],
    "subset_share": [
        """
def subset_share(present, p):
    kept, all_of_them = sum(present), len(present)
    own = (1 - p) ** kept * p ** (all_of_them - kept)
    return (1 - p) * own + (p if kept == 0 else 0.0)
""",
        """
def subset_share(present, p):
    own = torch.where(torch.tensor(present), 1 - p, p).prod()
    return (1 - p) * own + p * (not any(present))
""",
    ],
    "encode_vector": [
        """
def encode_vector(values, mean, std):
    rows = []
    for row in values:
        if torch.isnan(row).any():
            rows.append(torch.zeros(len(row) + 1, dtype=values.dtype))
        else:
            rows.append(torch.cat([(row - mean) / std, torch.ones(1, dtype=values.dtype)]))
    return torch.stack(rows)
""",
        """
def encode_vector(values, mean, std):
    return age_and_pose(mean, std).encode(values)


def age_and_pose(mean, std):
    return conditions.Vector(tuple(mean.tolist()), tuple(std.tolist()))
""",
    ],
    "encode_image": [
        """
def encode_image(image, side):
    x = F.interpolate(image.double(), size=side, mode="bilinear", align_corners=False)
    return F.pad((x - 127.5) / 127.5, (0, 0, 0, 0, 0, 1), value=1.0)
""",
        """
def encode_image(image, side):
    return conditions.Image(image.shape[1]).encode(image, (side, side))
""",
    ],
    "posterior": [
        """
def posterior(y, operator, mean, covariance, sigma):
    precision = covariance.inverse() + operator.T @ operator / sigma**2
    return torch.linalg.solve(
        precision, covariance.inverse() @ mean + operator.T @ y / sigma**2
    ), precision.inverse()
""",
        """
def posterior(y, operator, mean, covariance, sigma):
    of_y = operator @ covariance @ operator.T + sigma**2 * torch.eye(len(y), dtype=y.dtype)
    cross = operator @ covariance
    return (
        mean + cross.T @ torch.linalg.solve(of_y, y - operator @ mean),
        covariance - cross.T @ torch.linalg.solve(of_y, cross),
    )
""",
    ],
    "two_scales": [
        """
def two_scales(none, first, both, s_1, s_2):
    return (1 - s_1) * none + (s_1 - s_2) * first + s_2 * both
""",
        """
def two_scales(none, first, both, s_1, s_2):
    return guidance.guided([both, first, none], [s_2, s_1])
""",
    ],
    "energy_score": [
        """
def energy_score(samples, truth):
    members = samples.shape[1]
    scores = []
    for ensemble, x in zip(samples, truth):
        score = sum((member - x).square().mean().sqrt() for member in ensemble) / members
        for i in range(members):
            for j in range(i):
                distance = (ensemble[i] - ensemble[j]).square().mean().sqrt()
                score = score - distance / (members * (members - 1))
        scores.append(score)
    return torch.stack(scores)
""",
        """
def energy_score(samples, truth):
    return ensembles.energy_scores(samples, truth)
""",
    ],
    "nominal_coverage": [
        """
def nominal_coverage(members, rank):
    return 1 - 2 * rank / (members + 1)
""",
        """
def nominal_coverage(members, rank):
    gaps = range(members + 1)
    return sum(rank <= gap <= members - rank for gap in gaps) / len(gaps)
""",
    ],
}
