"""Operators: the adjoint and the pseudo-inverse are those of the matrix, on images, signals and volumes."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.sparse.linalg
import torch
from PIL import Image

from ancestral import operators
from ancestral.base.errors import InputError
from ancestral.operators import Blur, Crop, Downsample, Grey, Linear, Mask

F64 = torch.float64
THIRDS = torch.arange(210) % 3 > 0


class Unhashable(list):
    def __call__(self, x):
        return x.cumsum(2)


CASES = {
    "mask": (Mask(THIRDS[:35].reshape(5, 7)), (3, 5, 7)),
    "mask of a signal": (Mask(THIRDS[:9]), (2, 9)),
    "mask of a volume": (Mask(THIRDS[:30].reshape(3, 2, 5)), (2, 3, 2, 5)),
    "downsample": (Downsample(2), (3, 6, 8)),
    "downsample to one pixel": (Downsample(5), (2, 5, 5)),
    "downsample a signal": (Downsample(3), (2, 9)),
    "downsample a volume": (Downsample(2), (1, 4, 2, 6)),
    "grey": (Grey(), (3, 5, 4)),
    "grey with alpha": (Grey(), (4, 5, 4)),
    "grey of a signal": (Grey(), (3, 7)),
    "grey of a volume": (Grey(), (3, 2, 3, 5)),
    "blur": (Blur(0.5), (2, 6, 7)),
    "blur a signal that is shorter than the kernel": (Blur(0.8), (1, 3)),
    "blur a volume": (Blur(0.5), (1, 3, 4, 5)),
    "blur that loses much": (Blur(1.0), (1, 5, 4)),
    "crop": (Crop((1, 2), (3, 4)), (3, 6, 8)),
    "crop a signal": (Crop((4,), (5,)), (2, 9)),
    "crop a volume": (Crop((1, 0, 2), (2, 3, 1)), (1, 3, 4, 5)),
    "blur, then downsample": (Blur(0.7) | Downsample(2), (1, 6, 8)),
    "grey, blur, then mask": (Grey() | Blur(0.5) | Mask(THIRDS[:15].reshape(3, 5)), (3, 3, 5)),
    "crop, then downsample": (Crop((1, 2), (6, 4)) | Downsample(2), (3, 7, 8)),
    "downsample, then grey": (Blur(2.0) | Downsample(2) | Grey(), (3, 10, 6)),
    "blur a signal, then crop": (Blur(3.0) | Crop((3,), (9,)), (2, 15)),
    "blur a volume, then downsample": (Blur(1.0) | Downsample(2), (1, 4, 2, 6)),
    "mask, then a wide blur": (Mask(THIRDS[:99].reshape(9, 11)) | Blur(2.0), (2, 9, 11)),
    "one's own, then a blur and a mask": (Linear(lambda x: x.cumsum(2)) | Blur(1.0) | Mask(THIRDS[:7]), (1, 7)),
    "one's own": (Linear(lambda x: x.cumsum(2)), (1, 7)),
    "one's own without a hash": (Linear(Unhashable()), (1, 7)),
    "values that nothing gives": (Linear(lambda x: x.cumsum(2).repeat_interleave(2, 2)), (1, 4)),
    "one value of all": (Linear(lambda x: x.sum((1, 2), keepdim=True).expand(-1, 1, 5)), (2, 3)),
}


def matrix(function, shape):
    """The matrix of a linear function of (B, *shape)."""
    return function(torch.eye(math.prod(shape), dtype=F64).reshape(-1, *shape)).flatten(1).T


@pytest.mark.parametrize("case", CASES)
def test_adjoint_and_pseudo_inverse_are_those_of_the_matrix(case):
    operator, shape = CASES[case]
    A = matrix(operator.apply, shape)
    out = operator.apply(torch.zeros(1, *shape)).shape[1:]
    torch.testing.assert_close(matrix(lambda y: operator.adjoint(y, shape), out), A.T, rtol=0, atol=1e-12)
    inverse = matrix(lambda y: operator.pseudo_inverse(y, shape), out)
    torch.testing.assert_close(inverse, torch.linalg.pinv(A, rtol=1e-8), rtol=0, atol=1e-5)
    torch.testing.assert_close(A @ inverse @ A, A, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(
    "operator",
    [Blur(4.0), Blur(1.0) | Downsample(4), Mask(THIRDS[:32]) | Blur(0.4), Mask(THIRDS[:32]) | Downsample(2)],
    ids=["blur", "blur, then downsample", "mask, then blur", "mask, then downsample"],
)
def test_the_pseudo_inverse_of_larger_items_finds_what_the_operator_made(operator, dtype):
    """Without making more of the rounding of y: it has less power than the items."""
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=dtype)
    y = operator.apply(x)
    inverse = operator.pseudo_inverse(y, x.shape[1:])
    assert (operator.apply(inverse) - y).abs().max() < {torch.float32: 3e-5, F64: 1e-10}[dtype]
    assert inverse.norm() < x.norm()


def test_downsampling_is_pillows_box_filter_and_grey_its_conversion():
    pixels = torch.randint(0, 256, (3, 8, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    small = torch.tensor(np.asarray(picture.resize((3, 2), Image.Resampling.BOX))).permute(2, 0, 1)
    assert (Downsample(4).apply(pixels[None].double())[0] - small).abs().max() <= 1  # Pillow rounds twice
    grey = torch.tensor(np.asarray(picture.convert("L")))
    assert (Grey().apply(pixels[None].double())[0, 0] - grey).abs().max() <= 1


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.0])
def test_blur_is_scipys(sigma):
    x = torch.randn(1, 2, 9, 13, dtype=F64, generator=torch.Generator().manual_seed(0))
    truth = scipy.ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="nearest", radius=math.ceil(4 * sigma))
    torch.testing.assert_close(Blur(sigma).apply(x), torch.from_numpy(truth), rtol=0, atol=1e-12)


def test_conjugate_gradients_solve_each_item_by_itself():
    """In as many iterations as the matrix has eigenvalues; an item that is solved already stays as it is.

    Least squares likewise, of values that the matrix does not give.
    """
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(6, 6, dtype=F64, generator=generator)
    A = factor @ factor.T + torch.eye(6, dtype=F64)
    right = torch.randn(5, 6, dtype=F64, generator=generator)
    right[2] = 0
    found = operators.conjugate_gradients(lambda v: v @ A, right, iterations=6)
    torch.testing.assert_close(found, torch.linalg.solve(A, right.T).T, rtol=1e-8, atol=1e-10)
    assert found[2].eq(0).all()
    wide = torch.cat([A, A[:2]])[:, :5]  # more values than unknowns
    values = torch.cat([right, right[:, :2]], 1)
    found = operators.least_squares(lambda x: x @ wide.T, lambda y: y @ wide, values)
    torch.testing.assert_close(found, torch.linalg.lstsq(wide, values.T).solution.T, rtol=1e-8, atol=1e-9)


def nearest_of_krylov(A, right, iterations):
    """The smallest v of span{b, A b, ..., A^(n-1) b} whose residual is smallest, by singular values in float64."""
    vectors = [right]
    for _ in range(iterations - 1):
        vectors.append(A @ vectors[-1] / max(np.linalg.norm(A @ vectors[-1]), 1e-300))
    U, S, _ = np.linalg.svd(np.stack(vectors, 1))
    basis = U[:, : len(S)][:, 1e-10 * S[0] < S]
    return basis @ np.linalg.lstsq(A @ basis, right, rcond=1e-10)[0]


NILPOTENT = np.eye(6, k=1)
"""A⁶ is 0, so the residual of the last unit vector stays what it is until the space is exhausted."""


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("iterations", [1, 2, 3, 6, 20])
def test_gmres_is_nearest_in_its_space_for_each_item_by_itself(iterations, dtype):
    """Of a batch whose items end after other numbers of iterations, of singular maps, and of zeros."""
    generator = np.random.default_rng(0)
    rotation, full = np.linalg.qr(generator.normal(size=(6, 6)))[0], generator.normal(size=(6, 6))
    spread = np.diag([0.0, 1.0, 2.0, 0.0, 3.0, -1.0])
    cases = {
        "not symmetric": (full, generator.normal(size=6)),
        "tiny": (1e-12 * full, generator.normal(size=6)),
        "a multiple of 1": (2 * np.eye(6), generator.normal(size=6)),
        "three eigenvectors": (rotation @ np.diag([1.0, 2, 3, 4, 5, 6]) @ rotation.T, rotation[:, :3].sum(1)),
        "singular, solvable": (rotation @ spread @ rotation.T, rotation @ spread @ np.ones(6)),
        "singular, not solvable": (rotation @ spread @ rotation.T, rotation @ np.ones(6)),
        "projection": (np.diag([0.0, 1, 1, 1, 1, 1]), np.ones(6)),
        "nilpotent": (NILPOTENT, np.eye(6)[5]),
        "zero map": (np.zeros((6, 6)), generator.normal(size=6)),
        "zero right side": (full, np.zeros(6)),
    }
    A, right = (torch.from_numpy(np.stack(parts)).to(dtype) for parts in zip(*cases.values(), strict=True))
    found = operators.gmres(lambda v: (A @ v[:, :, None])[:, :, 0], right, iterations)
    tolerance = 2e-3 if dtype is torch.float32 else 1e-10
    for v, (name, (matrix_, b)) in zip(found.double().numpy(), cases.items(), strict=True):
        truth = nearest_of_krylov(matrix_, b, min(iterations, 6))
        assert np.linalg.norm(v - truth) <= tolerance * np.linalg.norm(truth), name
        excess = np.linalg.norm(b - matrix_ @ v) - np.linalg.norm(b - matrix_ @ truth)
        assert excess <= tolerance * np.linalg.norm(b), name
    b = cases["not symmetric"][1]
    solved = scipy.sparse.linalg.gmres(full, b, rtol=0, restart=min(iterations, 6), maxiter=1)[0]
    np.testing.assert_allclose(found[0], solved, rtol=tolerance, atol=tolerance)


def test_gmres_has_derivatives_where_it_ends_early():
    """Those of the solution, A⁻¹ of a change of the right side, where no rounding is left; and finite ones of zeros."""
    right = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=F64, requires_grad=True)
    scales = torch.tensor([2.0, 4.0, 5.0], dtype=F64)
    found = operators.gmres(lambda v: scales * v, right, 3)
    (gradient,) = torch.autograd.grad(found.sum(), right)
    assert gradient.isfinite().all()
    torch.testing.assert_close(gradient[2], 1 / scales)


@pytest.mark.parametrize(
    "act",
    [
        lambda: Downsample(1),
        lambda: Downsample(4).apply(torch.zeros(1, 1, 6, 8)),
        lambda: Grey().apply(torch.zeros(1, 1, 6, 8)),
        lambda: Blur(0),
        lambda: Blur("2"),
        lambda: Blur(1.0).apply(torch.full((1, 1, 6, 8), 200, dtype=torch.uint8)),
        lambda: Grey().apply(torch.full((1, 3, 6, 8), 200, dtype=torch.uint8)),
        lambda: Downsample(2).apply(torch.full((1, 1, 6, 8), 200)),
        lambda: Downsample(2).adjoint(torch.zeros(1, 1, 2, 2), (1, 5, 5)),
        lambda: Grey().adjoint(torch.zeros(1, 1, 6, 8), (1, 6, 8)),
        lambda: Mask(torch.ones(5, 8)).apply(torch.zeros(1, 1, 6, 8)),
        lambda: Crop((0, 0), (2,)).apply(torch.zeros(1, 1, 6, 8)),
        lambda: Crop((4, 0), (3, 8)).apply(torch.zeros(1, 1, 6, 8)),
        lambda: Crop((1,), (3,)).apply(torch.zeros(1, 1, 6, 8)),
        lambda: Crop((-3, 0), (3, 8)).apply(torch.zeros(1, 1, 6, 8)),
        lambda: Mask(torch.tensor([0, 255], dtype=torch.uint8)),
        lambda: Mask(torch.tensor([0.0, 0.5, 1.0])),
    ],
)
def test_what_does_not_fit_is_refused(act):
    with pytest.raises(InputError):
        act()
