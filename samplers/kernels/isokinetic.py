"""Isokinetic dynamics: motion at constant speed sqrt(d), in a direction u on the unit sphere that the score turns.

    z' = sqrt(d) u,    u' = sqrt(d) / (d - 1) (I - u u') g,    g = L' s(x) the score in z = L^-1 x

leaves p(x) times the uniform law of u invariant. For a constant g its flow over a time t is, with e = g / |g|, c = e.u
and r = t sqrt(d) |g| / (d - 1),

    u <- (u + e (sinh r + c (cosh r - 1))) / w,    w = cosh r + c sinh r,    K <- K + (d - 1) log w

where K, the "kinetic energy", is minus the log of the volume that the flow on the sphere has lost. Robnik, De Luca,
Silverstein and Seljak 2023, who move at speed one: their times are sqrt(d) times these, which are those of HMC.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from samplers.runs.state import State, evaluate, noise_like
from targets import Target

if TYPE_CHECKING:
    from samplers.kernels.preconditioned import PreconditionedKernel


def check_dim(dim: int, kernel: object, argument: str = "target") -> None:
    """ValueError on a line, where a direction is a sign that no score can turn."""
    if dim < 2:
        raise ValueError(
            f"{argument}: got dim {dim}, expected at least 2: {type(kernel).__name__} turns a direction on the unit "
            "sphere, which on a line is two points; use HMC there"
        )


def directions(x: Tensor, generator: Generator) -> Tensor:
    """Uniform on the unit sphere, of the shape of x, (chains, dim)."""
    return unit(noise_like(x, generator))


def unit(vector: Tensor) -> Tensor:
    """Over its length, (chains, dim)."""
    return vector / vector.norm(dim=-1, keepdim=True)


def turned(u: Tensor, pull: Tensor, time: float) -> tuple[Tensor, Tensor]:
    """The direction after the flow over that time with the score `pull` in z, (chains, dim), and K gained, (chains,).

    All is divided by exp(r), so that no r is too large. The length of u is one to rounding whatever it was.
    """
    dim = u.shape[-1]
    size = pull.norm(dim=-1, keepdim=True)
    e = pull / size.clamp_min(torch.finfo(u.dtype).tiny)  # without a score r is 0, and u stays
    r = time * math.sqrt(dim) / (dim - 1) * size
    c, lost = (e * u).sum(-1, keepdim=True), -torch.expm1(-r)  # lost = 1 - exp(-r)
    new = unit(2 * (1 - lost) * u + lost * (2 - lost + c * lost) * e)
    # log w = r + log((1 + c + (1 - c) exp(-2 r)) / 2), exact to rounding where r is small
    gained = (dim - 1) * (r + torch.log1p(0.5 * (1 - c) * torch.expm1(-2 * r)))
    return new, gained[..., 0]


def leapfrog(
    kernel: PreconditionedKernel, target: Target, state: State, u: Tensor, n: int
) -> tuple[State, Tensor, Tensor]:
    """n steps of the kernel's size from (x, u): half a turn, a move, half a turn. The end, and K gained in float64."""
    e, end = kernel.h, state
    speed = e * math.sqrt(u.shape[-1])
    u, gained = turned(u, kernel.pull(state), 0.5 * e)
    total = gained.double()
    for i in range(n):
        end = evaluate(target, torch.add(end.x, kernel.to_x(u), alpha=speed))
        u, gained = turned(u, kernel.pull(end), e if i < n - 1 else 0.5 * e)
        total = total + gained.double()
    return end, u, total
