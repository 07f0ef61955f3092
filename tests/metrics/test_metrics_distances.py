"""Distances against closed forms, against torchmetrics and torch-fidelity on the same features, and by hand."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from ancestral.base.errors import InputError
from ancestral.metrics import distances
from ancestral.metrics.distances import Moments, frechet, inception_score, kernel, moments, sample_size_warning
from ancestral.metrics.neighbours import kth_least
from ancestral.metrics.precision_recall import precision_recall

pytestmark = pytest.mark.filterwarnings("ignore:Metric .* will save all extracted features:UserWarning")


class Rows(torch.nn.Module):
    """An extractor for torchmetrics whose features are its input."""

    num_features = 12

    def forward(self, rows):
        return rows


def clouds(n, m, d=12, seed=0):
    """Two sets that differ in mean and covariance, with directions of very different spread."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(0, -2, d)
    x = torch.randn(n, d, generator=generator) * scale * 1.5 + 0.3
    return x @ torch.randn(d, d, generator=generator) / 3, torch.randn(m, d, generator=generator) * scale


@pytest.mark.parametrize(("n", "m"), [(80, 120), (8, 120), (8, 9)], ids=["full", "one of low rank", "both"])
def test_the_frechet_distance_is_that_of_torchmetrics_and_of_a_matrix_square_root(n, m):
    x, y = clouds(n, m)
    theirs = FrechetInceptionDistance(feature=Rows())
    theirs.update(x, real=True)
    theirs.update(y, real=False)
    ours = frechet(moments(x), moments(y))
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-4)
    covariances = [np.cov(part.double().numpy(), rowvar=False) for part in (x, y)]
    with np.errstate(all="ignore"):
        root = np.trace(scipy.linalg.sqrtm(covariances[0] @ covariances[1])).real
    apart = float((x.double().mean(0) - y.double().mean(0)).square().sum())
    assert ours == pytest.approx(apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root, rel=1e-6)


def gaussian(mean, spread, turn):
    turn = torch.linalg.qr(torch.as_tensor(turn, dtype=torch.float64)).Q
    root = turn @ torch.tensor(spread, dtype=torch.float64).diag()
    return Moments(torch.tensor(mean, dtype=torch.float64), root, 100)


def test_the_frechet_distance_of_gaussians_has_its_closed_form():
    turn = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    a, b = gaussian([1, 2, 3], [3, 0.5, 1], turn), gaussian([1, 2, 5], [1, 2, 1], turn)  # Σ_a Σ_b = Σ_b Σ_a
    assert frechet(a, b) == pytest.approx(2**2 + 2**2 + 1.5**2 + 0)
    flat = gaussian([1, 2, 3], [3, 0, 0], turn)
    other = gaussian([1, 2, 3], [0, 2, 0], turn)  # no direction in common: all variance is distance
    assert frechet(flat, other) == pytest.approx(9 + 4)
    assert frechet(a, a) == pytest.approx(0, abs=1e-12)
    assert frechet(flat, flat) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n", "d"), [(30, 4), (4, 30)])
def test_moments_and_whitened_rows(n, d):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0)) + 3
    moments_of_x, centred, white = distances.factored(x)
    assert torch.allclose(moments_of_x.mean, x.double().mean(0))
    assert torch.allclose(moments_of_x.root @ moments_of_x.root.T, torch.cov(x.double().T))
    assert torch.allclose(white @ moments_of_x.root.T, centred)
    assert torch.allclose(white.T @ white / (n - 1), torch.eye(min(n, d)).double())
    assert torch.allclose(moments(x).root @ moments(x).root.T, torch.cov(x.double().T))


def test_a_set_of_few_items_is_at_distance_nought_from_itself():
    x, _ = clouds(6, 6, d=40)
    assert 0 <= frechet(moments(x), moments(x)) < 1e-10
    same = torch.ones(5, 40)  # no spread at all
    assert frechet(moments(same), moments(same)) == 0
    assert frechet(moments(same), moments(same + 1)) == pytest.approx(40)


def test_kid_is_that_of_torchmetrics():
    x, y = (part.double() for part in clouds(150, 150))
    theirs = KernelInceptionDistance(feature=Rows(), subsets=1, subset_size=150)
    theirs.update(x, real=True)
    theirs.update(y, real=False)
    assert kernel(x, y) == pytest.approx(float(theirs.compute()[0]), rel=1e-4)


def test_kid_counts_all_pairs_in_pieces(monkeypatch):
    x, y = (part.double() for part in clouds(31, 23))
    k = [((a @ b.T) / 12 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    for own in k[:2]:
        own.fill_diagonal_(0)
    expected = k[0].sum() / (31 * 30) + k[1].sum() / (23 * 22) - 2 * k[2].mean()
    monkeypatch.setattr(distances, "PAIR_ROWS", 7)
    assert kernel(x, y) == pytest.approx(float(expected), rel=1e-12)


def test_kid_of_one_distribution_is_nought_on_average():
    generator = torch.Generator().manual_seed(0)
    distances_of_pairs = torch.tensor(
        [kernel(*(torch.randn(n, 4, generator=generator) + 1 for n in (7, 9))) for _ in range(400)],
        dtype=torch.float64,
    )
    assert abs(distances_of_pairs.mean()) < 3 * distances_of_pairs.std() / math.sqrt(400)
    assert distances_of_pairs.std() > 0.1  # a bias of one item's pair with itself would be about 1


@pytest.mark.filterwarnings("ignore:std():UserWarning")  # of the one part that there is
def test_the_inception_score_is_that_of_torchmetrics():
    logits = 3 * torch.randn(60, 12, generator=torch.Generator().manual_seed(0))
    theirs = InceptionScore(feature=Rows(), splits=1)
    theirs.update(logits)
    assert inception_score(logits) == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


def test_the_inception_score_has_its_ends():
    assert inception_score(torch.zeros(8, 5)) == pytest.approx(1)
    assert inception_score(100 * torch.eye(5).repeat(3, 1)) == pytest.approx(5)


def test_precision_and_recall_are_those_of_torch_fidelity():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, 3, generator=generator).double() * 1.2 + 0.7
    y = torch.randn(70, 3, generator=generator).double()
    theirs = prc_features_to_metric(x, y, prc_neighborhood=5, prc_batch_size=1000, save_cpu_ram=False, verbose=False)
    ours = precision_recall(x, y, k=5)
    assert 0 < theirs["precision"] < 1
    assert 0 < theirs["recall"] < 1
    assert float(ours.precision.mean()) == pytest.approx(theirs["precision"], rel=1e-6)
    assert float(ours.recall.mean()) == pytest.approx(theirs["recall"], rel=1e-6)


def test_precision_recall_density_and_coverage_by_hand(monkeypatch):
    monkeypatch.setattr("ancestral.metrics.precision_recall.CACHED", 2)  # rows of a block
    reference = torch.tensor([[0.0], [1], [2], [10]])  # distances to the nearest other: 1, 1, 1, 8
    samples = torch.tensor([[0.5], [1.5], [4], [30]])  # and 1, 1, 2.5, 26
    result = precision_recall(samples, reference, k=1)
    assert result.precision.tolist() == [1, 1, 1, 0]  # 4 is in the ball around 10
    assert result.density.tolist() == [2, 2, 1, 0]
    assert result.recall.tolist() == [1, 1, 1, 1]  # 10 is in the ball around 30
    assert result.coverage.tolist() == [1, 1, 1, 1]
    near = precision_recall(samples[:3], reference, k=1)
    assert near.recall.tolist() == [1, 1, 1, 0]
    lost = precision_recall(torch.tensor([[0.5], [0.6]]), reference, k=1)
    assert lost.coverage.tolist() == [1, 1, 0, 0]
    assert lost.recall.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("columns", [7, 160, 1000])
def test_the_kth_least_is_that_of_all_columns(columns):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(20, columns, generator=generator)
    for values in (rows, rows.round()):  # with ties
        for k in (1, 5, 7):
            assert torch.equal(kth_least(values, k), values.kthvalue(k).values)


def test_too_few_items_are_refused():
    one, few, many = torch.zeros(1, 3), torch.zeros(5, 3), torch.zeros(6, 3)
    with pytest.raises(InputError, match="at least 2 items"):
        moments(one)
    with pytest.raises(InputError, match="at least 2 items"):
        kernel(one, many)
    with pytest.raises(InputError, match="more than 5 items, not 5"):
        precision_recall(few, many)


def test_a_covariance_that_items_cannot_fill_is_reported():
    text = sample_size_warning(1280, 1280)
    assert text is not None
    assert "1,280" in text
    assert "KID" in text
    assert sample_size_warning(1281, 1280) is None
