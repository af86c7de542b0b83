"""Divergences of fields on R^dim by automatic differentiation, row by row.

    exact        sum_i d f_i / d x_i                dim backward passes
    projected    mean over probes v of v' J v       a backward pass each; unbiased where E[v v'] = I

Rows must not depend on one another. Where gradients are off, so they are in what is returned. Hutchinson 1989.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

Field = Callable[[Tensor], Tensor]  # (*batch, dim) -> (*batch, dim)


def rademacher(x: Tensor, generator: Generator, probes: int = 1) -> Tensor:
    """Probes (probes, *batch, dim) of independent signs, whose v' J v has the least variance for symmetric J."""
    signs = torch.randint(0, 2, (probes, *x.shape), generator=generator, device=x.device)
    return (2 * signs - 1).to(x)


def divergence(value: Tensor, x: Tensor, keep: bool = False) -> Tensor:
    """sum_i d f_i / d x_i (*batch) of f(x) = value, which records the gradient of x; keep: it can be differentiated."""
    return torch.stack([gradient(value[..., i], x, keep)[..., i] for i in range(x.shape[-1])]).sum(0)


def projected(value: Tensor, x: Tensor, probe: Tensor, keep: bool = False) -> Tensor:
    """v' J v (*batch) likewise, for a probe v (*batch, dim)."""
    return torch.linalg.vecdot(gradient(value * probe, x, keep), probe)


def with_divergence(field: Field, x: Tensor, probes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """field(x) and its divergence (*batch): exact for None, else by the probes (probes, *batch, dim)."""

    def found(value: Tensor, at: Tensor, keep: bool) -> Tensor:
        if probes is None:
            return divergence(value, at, keep)
        return torch.stack([projected(value, at, v, keep) for v in probes]).mean(0)

    return _differentiated(field, x, found)


def with_jacobian(field: Field, x: Tensor) -> tuple[Tensor, Tensor]:
    """field(x) and J_ij = d f_i / d x_j, (*batch, dim, dim)."""
    return _differentiated(field, x, _jacobian)


def with_images(field: Field, x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
    """field(x) and J' v for each v of the probes (probes, *batch, dim), in their shape."""

    def found(value: Tensor, at: Tensor, keep: bool) -> Tensor:
        return torch.stack([gradient(value * v, at, keep) for v in probes])

    return _differentiated(field, x, found)


def gradient(value: Tensor, x: Tensor, keep: bool) -> Tensor:
    """d sum(value) / dx; keep: it can itself be differentiated."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    (found,) = torch.autograd.grad(
        value.sum(), x, retain_graph=True, create_graph=keep, allow_unused=True, materialize_grads=True
    )
    return found


def _differentiated(
    field: Field, x: Tensor, derivative: Callable[[Tensor, Tensor, bool], Tensor]
) -> tuple[Tensor, Tensor]:
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        at = x if x.requires_grad else x.detach().requires_grad_()
        value = field(at)
        found = derivative(value, at, keep)
    return (value, found) if keep else (value.detach(), found.detach())


def _jacobian(value: Tensor, x: Tensor, keep: bool) -> Tensor:
    return torch.stack([gradient(value[..., i], x, keep) for i in range(x.shape[-1])], -2)
