"""The verb `sample` of a particle method."""

from __future__ import annotations

from pathlib import Path

import torch

from samplers.draws import Draws
from samplers.particles.base import ParticleFlow
from samplers.particles.run import Plan, run
from samplers.runs.starts import Init
from targets import Target


class ParticleMethod(ParticleFlow):
    """n particles that move together until their law is the target's; see SVGD, Blob, GFSD and GFSF."""

    def sample(
        self,
        target: Target,
        *,
        draws: int = 1000,
        iterations: int = 1000,
        init: Init = None,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> Draws:
        """Move `draws` particles for `iterations` iterations; their last positions are the draws, x (1, draws, dim).

        init: (draws, dim), a function (n, generator) -> (n, dim), or None: prior draws where the target has a prior,
            else uniform on [-2, 2] in unconstrained coordinates. The only randomness there is.
        seed: same seed, shapes, device and versions give the same bits.
        progress: a progress bar on stderr; None shows one on a terminal.
        checkpoint: a file; a run that stopped is continued by the same call and equals the whole run bit for bit.

        The particles are not independent of one another: their spread around a mean gives no standard error. Ctrl-C
        ends the run and returns the particles as they are. Raises TypeError for a discrete target and ValueError naming
        the argument for bad ones, and the particle for a start where log-density or score is not finite. Warns
        (SamplingWarning) about moves that were not finite, and about particles that have not arrived: whose scores do
        not satisfy E[s] = 0 and -E[s (x - E x)] = 1 by far.
        """
        plan = Plan(draws=draws, iterations=iterations, seed=seed)
        return run(self, target, plan, init=init, device=device, dtype=dtype, progress=progress, checkpoint=checkpoint)
