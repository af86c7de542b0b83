"""A learned model as a proposal for an energy: its reverse process, weighted, and resampled on the way.

    w = gamma(x_0) prod_k r(x_{k+1} | x_k) / (p_T(x_T) prod_k q(x_k | x_{k+1}))       q the reverse steps, r the noising

Where the path is cut into subtrajectories, the particles at a cut at time t are weighted for pi_t, the law of
a_t X + s_t e of a Gaussian mixture for X, which is known in closed form, and ancestors are drawn where few weights
count. The mixture is fitted to draws of the model. It cancels along a path: E[Z-hat] = Z whatever it says, and a bad
one costs effective draws.
"""

from __future__ import annotations

import time
from typing import Literal

import torch
from torch import Generator

from samplers.annealing.mixture_fit import fit_mixture, mixture_of
from samplers.draws import Draws
from samplers.generative.reverse_sampler import SOLVER, ReverseSampler, check_dim
from samplers.generative.weighted import weighted_draws
from samplers.path_measures.sampling import resampled_paths, whole_paths
from samplers.path_measures.subtrajectories import Resampling
from targets import Affine, GaussianMixture, Target
from targets.arguments import check_integer
from targets.counting import Counted

FITTED, SEED = 4000, 15_000_013  # draws of the model that the mixture is fitted to, and the offset of their seed


def weigh(
    fitted: ReverseSampler, target: Target, *, draws: int, seed: int, steps: int, correct: Literal["smc"] | None
) -> Draws:
    """`FittedDiffusion.weigh`."""
    check_integer(draws, "draws")
    check_integer(seed, "seed", 0)
    if correct not in (None, "smc"):
        raise ValueError(f"correct: got {correct!r}, expected 'smc' or None")
    affine = fitted.affine("weights")
    check_dim(target, fitted.dim)
    start = fitted.start
    target = target.to(start.device, start.dtype)
    began, counted = time.perf_counter(), Counted(target)
    generator = Generator(start.device).manual_seed(seed)
    with torch.no_grad():
        measure = fitted.reverse(steps, mixture_of_draws(fitted, seed) if correct == "smc" else None)
        seen = Affine(counted, *affine)
        energy = measure.seen(seen)
        if correct == "smc":
            ends = resampled_paths(measure, energy, draws, generator, Resampling.within(steps))
        else:
            ends = whole_paths(measure, energy, draws, generator)
    return weighted_draws(
        fitted.transformation.inverse(measure.to_x(ends.u)),
        ends.log_prob - energy.log_det - seen.log_det,
        ends.log_w,
        ends.log_z,
        target=target,
        kernel=fitted,
        attrs=fitted.attrs(draws, seed) | {"steps": steps, "correct": correct or "weights"},
        counted=counted,
        began=began,
        advice="take more steps=, or learn from more samples",
        stats=ends.stats,
    )


def mixture_of_draws(fitted: ReverseSampler, seed: int) -> GaussianMixture:
    """A mixture for the model's draws in its coordinates u."""
    u = fitted.states(FITTED, SOLVER, seed + SEED).double()
    generator = Generator(u.device).manual_seed(seed + SEED)
    side = torch.rand(len(u), generator=generator, device=u.device) < 0.5
    return mixture_of([fit_mixture(u, side, generator)[0]], [1.0], 1.0, fitted.start.dtype)
