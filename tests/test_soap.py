"""The optimiser: Adam where it should be, faster where axes are correlated, and exact to resume."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bitcodec.training.soap import Soap, _cholesky_qr, _householder_qr


def _orthogonal(edge: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(edge, edge, generator=generator))[0]


def _skewed(edge: int, seed: int) -> Tensor:
    """Symmetric, with eigenvalues from 1 down to 0.01 along no axis."""
    basis = _orthogonal(edge, seed)
    return basis @ torch.diag(torch.logspace(0, -2, edge)) @ basis.t()


def _descend(optimizer: type[torch.optim.Optimizer], steps: int) -> float:
    """Fit W in A W B = A T B, A and B skewed, under noise; the loss at the end."""
    a, b, target = _skewed(12, 1), _skewed(20, 2), _orthogonal(20, 3)[:12]
    w = nn.Parameter(torch.zeros(12, 20))
    method = optimizer([w], lr=0.01)  # type: ignore[call-arg]
    noise = torch.Generator().manual_seed(4)
    for _ in range(steps):
        error = a @ (w - target) @ b
        w.grad = a @ (error + 1e-3 * torch.randn(12, 20, generator=noise)).detach() @ b
        method.step()
    return float((a @ (w - target) @ b).square().sum().detach())


def test_correlated_axes_are_learned_faster_than_by_adam() -> None:
    adam, soap = _descend(torch.optim.Adam, 600), _descend(Soap, 600)
    assert soap < 0.5 * adam


def test_vectors_and_long_axes_are_adams() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(7,), (1, 5, 1, 1), (30, 40)]
    mine = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = copy.deepcopy(mine)
    soap = Soap(mine, lr=0.1, largest=20)
    adam = torch.optim.Adam(theirs, lr=0.1, betas=(0.9, 0.98))
    for _ in range(10):
        for p, q in zip(mine, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=generator)
            q.grad = p.grad.clone()
        soap.step()
        adam.step()
    for p, q in zip(mine, theirs, strict=True):
        assert torch.allclose(p, q, atol=1e-5)


def test_bases_stay_orthogonal_and_diagonalise() -> None:
    generator = torch.Generator().manual_seed(0)
    skew = _skewed(6, 5)
    convs = [nn.Parameter(torch.zeros(6, 4, 3, 3)) for _ in range(2)]
    soap = Soap(convs, lr=1e-3, betas=(0.9, 0.999))
    for _ in range(400):
        for p in convs:
            p.grad = torch.einsum(
                "ij,jklm->iklm", skew, torch.randn(6, 4, 3, 3, generator=generator)
            )
        soap.step()
    state = soap.state[convs[0]]
    assert state["square"].shape == (2, 6, 4, 9)
    for axis, edge in ((1, 6), (2, 4), (3, 9)):
        basis = state[f"basis{axis}"]
        assert torch.allclose(basis.transpose(1, 2) @ basis, torch.eye(edge), atol=1e-4)
    rotated = state["basis1"].transpose(1, 2) @ state["covariance1"] @ state["basis1"]
    diagonal = torch.diagonal(rotated, dim1=1, dim2=2)
    off = rotated - torch.diag_embed(diagonal)
    assert off.abs().amax() < 0.02 * diagonal.amax()
    assert soap.state_dict()["state"].keys() == {0}  # the whole stack is kept with its first


@pytest.mark.parametrize("span", [2, 8, 14])
def test_the_qr_for_gpus_is_that_for_cpus(span: int) -> None:
    basis = _orthogonal(96, 7)
    covariance = basis @ torch.diag(torch.logspace(0, -span, 96)) @ basis.t()
    product = (covariance @ _orthogonal(96, 8))[None]
    fast, exact = _cholesky_qr(product), _householder_qr(product)
    assert torch.allclose(fast[0].t() @ fast[0], torch.eye(96), atol=1e-5)
    strong = slice(0, 8)  # the rest is what float32 leaves of small eigenvalues
    assert (fast * exact).sum(1).abs()[0, strong].min() > 0.999


def test_a_direction_without_gradient_keeps_its_place_in_the_basis() -> None:
    p = nn.Parameter(torch.ones(8, 6))
    soap = Soap([p], lr=1e-3)
    for step in range(60):
        generator = torch.Generator().manual_seed(step)
        p.grad = torch.randn(8, 6, generator=generator)
        p.grad[5:] = 0
        soap.step()
    basis = soap.state[p]["basis1"][0]
    assert torch.allclose(basis.t() @ basis, torch.eye(8), atol=1e-5)
    assert torch.equal(p[5:], torch.ones(3, 6))


def test_resumed_equals_uninterrupted() -> None:
    def run(optimizer: Soap, p: nn.Parameter, steps: range) -> None:
        for step in steps:
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(step))
            optimizer.step()

    whole = nn.Parameter(torch.zeros(8, 5))
    one = Soap([whole], lr=0.1)
    run(one, whole, range(45))
    part = nn.Parameter(whole.detach().clone())
    two = Soap([part], lr=0.1)
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    run(one, whole, range(45, 90))
    run(two, part, range(45, 90))
    assert torch.equal(whole, part)


def test_a_parameter_without_gradient_stays() -> None:
    p, q = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(4, 3))
    soap = Soap([p, q], lr=0.1)
    q.grad = torch.ones(4, 3)
    soap.step()
    assert torch.equal(p, torch.ones(3, 3))
    assert (q < 1).any()
