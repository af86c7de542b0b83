"""Deterministic checks of a leapfrog integrator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from samplers.kernels import HMC, MAMS, evaluate, isokinetic, noise_like
from samplers.testing.invariance import _generator
from targets import Target

WIDTH = 1e-5  # of the central differences

Flow = Callable[[Tensor, Tensor, HMC | MAMS, int], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class LeapfrogReport:
    """Largest error of the way back, largest error of log volume, and the measured order of the energy error.

    return_error: relative to the positions and momenta. log_volume: of the flow's |log det|, in nats. order: 2 of a
    leapfrog.

        >>> from samplers.testing import check_leapfrog
        >>> plane = targets.Banana(dtype=torch.float64)
        >>> report = check_leapfrog(samplers.HMC(step_size=0.1, steps=5), plane)
        >>> report.return_error < 1e-8, round(report.order)
        (True, 2)
    """

    return_error: float
    log_volume: float
    order: float


@torch.no_grad()
def check_leapfrog(
    kernel: HMC | MAMS, target: Target, *, seed: int = 0, points: int = 16, steps: int = 10
) -> LeapfrogReport:
    """Check that trajectories run back to their start, keep volume, and have energy errors of order two.

    The target must be in float64. Reversal: p -> -p after `steps` steps leads back to 1e-8. Volume: the Jacobian
    determinant by central differences is one to 1e-5. Order: halving the step size over the same time divides the
    energy error by four, 1.8 to 2.2 in log2. Of `MAMS` p is the direction, which keeps its length, and the
    determinant must be exp(-K), K the kinetic energy gained. Raises AssertionError that names what failed.
    """
    if target.dtype != torch.float64:
        raise ValueError(f"target: got {target.dtype}, expected float64; use target.to(dtype=torch.float64)")
    generator = _generator(target, seed)
    if "sample" in target.known:
        x = target.sample(points, generator=generator)
    else:
        x = noise_like(torch.empty(points, target.dim).double(), generator)
    p = noise_like(x, generator)
    flow = _isokinetic(target) if isinstance(kernel, MAMS) else _hamiltonian(target)

    end, momentum, _ = flow(x, p, kernel, steps)
    back, reversed_p, _ = flow(end, -momentum, kernel, steps)
    scale = 1 + x.abs().max() + p.abs().max()
    return_error = float(torch.maximum((back - x).abs().max(), (reversed_p + p).abs().max()) / scale)
    if not return_error < 1e-8:
        raise AssertionError(
            f"leapfrog does not run back: error {return_error:.2e} after {steps} steps and their reversal"
        )

    lost = flow(x, p, kernel, steps)[2] if isinstance(kernel, MAMS) else torch.zeros(points)
    log_volume = max(
        abs(_log_volume(lambda x, p: flow(x, p, kernel, steps), x[i], p[i]) + float(lost[i]))
        for i in range(min(points, 4))
    )
    if not log_volume < 1e-5:
        raise AssertionError(f"leapfrog changes volume: |log det| = {log_volume:.2e}")

    def energy_error(halvings: int) -> Tensor:
        finer = replace(kernel, step_size=kernel.h / 2**halvings)
        end, _, kinetic = flow(x, p, finer, steps * 2**halvings)
        return (kinetic - target.log_prob(end) + target.log_prob(x)).square().mean().sqrt()

    order = math.log2(float(energy_error(3) / energy_error(4)))
    if not 1.8 < order < 2.2:
        raise AssertionError(f"the energy error of leapfrog has order {order:.2f} in the step size, expected 2")
    return LeapfrogReport(return_error, log_volume, order)


def _hamiltonian(target: Target) -> Flow:
    """(x, p) after so many steps, and the kinetic energy gained."""

    def flow(x: Tensor, p: Tensor, kernel: HMC | MAMS, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        assert isinstance(kernel, HMC)
        state, momentum = kernel.leapfrog(target, evaluate(target, x), p, steps)
        return state.x, momentum, 0.5 * (momentum.square() - p.square()).sum(-1)

    return flow


def _isokinetic(target: Target) -> Flow:
    """The same in the direction of p: with its length, which stays, it has the volume of the sphere."""

    def flow(x: Tensor, p: Tensor, kernel: HMC | MAMS, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        state, u, gained = isokinetic.leapfrog(kernel, target, evaluate(target, x), isokinetic.unit(p), steps)
        return state.x, p.norm(dim=-1, keepdim=True) * u, gained

    return flow


def _log_volume(flow: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]], x: Tensor, p: Tensor) -> float:
    both = torch.cat([x, p])
    shifts = WIDTH * torch.eye(len(both), dtype=both.dtype, device=both.device)
    ahead, behind = both + shifts, both - shifts
    dim = len(x)
    ends = [torch.cat(flow(z[:, :dim], z[:, dim:])[:2], -1) for z in (ahead, behind)]
    return float(torch.linalg.slogdet((ends[0] - ends[1]) / (2 * WIDTH))[1])
