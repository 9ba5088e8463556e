"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

Vyas et al. 2024, arXiv 2409.11321, algorithm 3. For learned image compression: Zhang and Zhu
2026, arXiv 2601.20769, who report fewer steps than with Adam for the same loss.

A weight of shape (O, I, k, k) is taken as a tensor with the axes O, I and k k. Every axis with 2
to ``largest`` entries has a covariance of the gradients along it and an orthogonal basis; Adam's
second moments are kept in these bases. Parameters of one shape are handled as one stack, since a
small network has many small matrices. Vectors are left to plain Adam.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_SELDOM = 4  #: steps from one look at the covariances to the next


def _axes(shape: torch.Size, largest: int) -> tuple[int, ...] | None:
    """A weight's axes as a matrix or tensor, or None for a vector."""
    taps = 1
    for edge in shape[2:]:
        taps *= edge
    axes = tuple(edge for edge in (*shape[:2], taps) if edge > 1)
    return axes if len(axes) > 1 and any(edge <= largest for edge in axes) else None


def _along(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Multiply axis ``axis`` (from 1) of a stack x (N, ...) by matrices (N, d, e)."""
    moved = x.movedim(axis, -1)
    flat = moved.reshape(len(x), -1, moved.shape[-1]) @ matrix
    return flat.reshape(*moved.shape[:-1], -1).movedim(-1, axis)


def _covariance(x: Tensor, axis: int) -> Tensor:
    flat = x.movedim(axis, 1).flatten(2)
    return flat @ flat.transpose(1, 2)


def _eigenvectors(covariance: Tensor) -> Tensor:
    """In columns, the strongest first."""
    trace = covariance.diagonal(dim1=1, dim2=2).sum(1)[:, None, None].double()
    unit = torch.eye(covariance.shape[1], dtype=torch.float64, device=covariance.device)
    # On the scale of 1 and with a floor: LAPACK may fail on tiny numbers.
    scaled = covariance / trace.clamp_min(1e-30) + 1e-9 * unit
    vectors: Tensor = torch.linalg.eigh(scaled)[1]
    return vectors.flip(2).to(covariance.dtype)


class Soap(torch.optim.Optimizer):
    """See the module's text.

    Args:
        params: as for every torch optimiser; groups may set all options.
        lr: learning rate, of Adam's size.
        betas: of the gradient's mean and of its square in the rotated space.
        eps: added to the root of the second moment.
        largest: longest axis that is rotated.
        refresh: steps from one update of a basis to the next; bases take turns.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        largest: int = 400,
        refresh: int = 20,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "largest": largest, "refresh": refresh}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; parameters without a gradient are left as they are."""
        for group in self.param_groups:
            stacks: dict[tuple[int, ...], list[Tensor]] = {}
            vectors: list[Tensor] = []
            for p in group["params"]:
                if p.grad is not None:
                    axes = _axes(p.shape, group["largest"])
                    if axes is None:
                        vectors.append(p)
                    else:
                        stacks.setdefault(axes, []).append(p)
            for turn, (axes, stack) in enumerate(stacks.items()):
                self._rotated(group, axes, stack, turn)
            if vectors:
                self._plain(group, vectors)

    def _plain(self, group: dict[str, Any], params: list[Tensor]) -> None:
        """Adam, all vectors as one."""
        grad = torch.cat([p.grad.flatten() for p in params])  # type: ignore[union-attr]
        state = self.state[params[0]]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(grad), torch.zeros_like(grad)
        update = self._adam(group, state, grad)
        parts = torch.split(update, [p.numel() for p in params])
        for p, part in zip(params, parts, strict=True):
            p.sub_(part.view_as(p))

    def _adam(self, group: dict[str, Any], state: dict[str, Any], grad: Tensor) -> Tensor:
        b1, b2 = group["betas"]
        state["step"] += 1
        n = float(state["step"])
        state["mean"].lerp_(grad, 1 - b1)
        state["square"].mul_(b2).addcmul_(grad, grad, value=1 - b2)
        root = (state["square"] / (1 - b2**n)).sqrt_().add_(group["eps"])
        return torch.div(state["mean"], root, out=root).mul_(group["lr"] / (1 - b1**n))

    def _rotated(
        self, group: dict[str, Any], axes: tuple[int, ...], params: list[Tensor], turn: int
    ) -> None:
        """Parameters of one shape; the first ``refresh`` steps are plain Adam's."""
        grad = torch.stack([p.grad.reshape(axes) for p in params])  # type: ignore[union-attr]
        state = self.state[params[0]]
        chosen = [i + 1 for i, edge in enumerate(axes) if edge <= group["largest"]]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(grad), torch.zeros_like(grad)
            for axis in chosen:
                edge = axes[axis - 1]
                state[f"covariance{axis}"] = grad.new_zeros(len(params), edge, edge)
        bases = {axis: state.get(f"basis{axis}") for axis in chosen}
        rotated = grad
        for axis, basis in bases.items():
            rotated = rotated if basis is None else _along(rotated, axis, basis)
        update = self._adam(group, state, rotated)
        for axis, basis in bases.items():
            update = update if basis is None else _along(update, axis, basis.transpose(1, 2))
        for p, part in zip(params, update, strict=True):
            p.sub_(part.reshape(p.shape))
        n, every = int(state["step"]), group["refresh"]
        self._look(group, state, grad, chosen, turn)
        if n == every:
            _first_bases(state, chosen)
        elif n > every and (n + turn) % every == 0:
            _next_bases(state, chosen)

    def _look(
        self, group: dict[str, Any], state: dict[str, Any], grad: Tensor, axes: list[int], turn: int
    ) -> None:
        """Update the covariances, which is a good part of the work, so later not every step."""
        n, seldom = int(state["step"]), int(state["step"]) > group["refresh"]
        if not seldom or (n + turn) % _SELDOM == 0:
            keep = group["betas"][1] ** (_SELDOM if seldom else 1)
            for axis in axes:
                state[f"covariance{axis}"].lerp_(_covariance(grad, axis), 1 - keep)


def _householder_qr(x: Tensor) -> Tensor:
    q: Tensor = torch.linalg.qr(x)[0]
    return q


def _cholesky_qr(x: Tensor) -> Tensor:
    """The Q of QR decompositions of a stack x (N, d, d), but for signs; fast on a GPU.

    Shifted CholeskyQR3 (Fukaya et al. 2020, arXiv 1809.11085, algorithm 4.2).
    """
    q = torch.nn.functional.normalize(x.double(), dim=1, eps=1e-100)
    unit = torch.eye(q.shape[2], dtype=q.dtype, device=q.device)
    for shift in (1e-11, 1e-15, 1e-15):
        lower = torch.linalg.cholesky_ex(q.transpose(1, 2) @ q + shift * unit)[0]
        q = torch.linalg.solve_triangular(lower.transpose(1, 2), q, upper=True, left=False)
    return q.to(x.dtype)


def _first_bases(state: dict[str, Any], axes: list[int]) -> None:
    """Eigenvectors, and from the eigenvalues a guess at the second moments, as Shampoo's are."""
    square = torch.ones_like(state["square"])
    for axis in axes:
        covariance = state[f"covariance{axis}"]
        basis = state[f"basis{axis}"] = _eigenvectors(covariance)
        state["mean"] = _along(state["mean"], axis, basis).contiguous()
        values = (basis * (covariance @ basis)).sum(1).clamp_min(0)
        shape = [len(values)] + [1] * (square.dim() - 1)
        shape[axis] = -1
        square *= (values / values.sum(1, keepdim=True).clamp_min(1e-30)).view(shape)
    each = state["square"].flatten(1).sum(1) / square.flatten(1).sum(1).clamp_min(1e-30)
    state["square"] = square * each.view([-1] + [1] * (square.dim() - 1))


def _next_bases(state: dict[str, Any], axes: list[int]) -> None:
    """One step of orthogonal iteration; the strongest first, as QR keeps those best."""
    for axis in axes:
        covariance, basis = state[f"covariance{axis}"], state[f"basis{axis}"]
        orthonormal = _householder_qr if basis.device.type == "cpu" else _cholesky_qr
        # A little of the unit matrix, so that no column is 0.
        floor = covariance.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-20)[:, None, None]
        product = covariance @ basis + 1e-12 * floor * basis
        order = (basis * product).sum(1).argsort(dim=1, descending=True)
        square = state["square"].movedim(axis, -1)
        index = order.view(len(order), *[1] * (square.dim() - 2), -1).expand_as(square)
        state["square"] = square.gather(-1, index).movedim(-1, axis).contiguous()
        product = product.gather(2, order[:, None].expand_as(product))
        fresh = state[f"basis{axis}"] = orthonormal(product)
        state["mean"] = _along(state["mean"], axis, basis.transpose(1, 2) @ fresh).contiguous()
