"""The verb `sample` of a particle method."""

from __future__ import annotations

from pathlib import Path

import torch

from samplers.draws import Draws
from samplers.draws.places import file_place
from samplers.particles.base import ParticleFlow
from samplers.particles.run import Particles
from samplers.runs.starts import Init
from samplers.runs.until import refuse
from targets import Target
from targets.arguments import check_integer


class ParticleMethod(ParticleFlow):
    """n particles that move together until their law is the target's: x_i' = x_i + step(v_i), deterministic.

    kernel: "rbf", K(x, y) = exp(-|x - y|^2 / (2 h^2)), or "imq", K(x, y) = (1 + |x - y|^2 / h^2)^(-1/2).
    bandwidth: h in the units of x, or "median": found anew in every iteration from the median distance m of pairs,
        h^2 = m^2 / (2 log(n + 1)) for "rbf" and m^2 for "imq". The median is that among at most 1000 particles, evenly
        spaced in their order.
    optimiser: with step size e, a coordinate at a time, "sgd" e v; "adagrad" e v / sqrt(sum of v^2 so far);
        "adam" e m / sqrt(w) with running means m of v (0.9) and w of v^2 (0.999). All have the same fixed points.

    A move to where log-density or score is not finite is not made: the particle stays for that iteration and is
    counted. Memory grows as n dim: the pairs are evaluated in blocks of 4 MB.

    step_size: e, in units of x where the optimiser is adagrad or adam. ValueError for another word, and for numbers
    that are not positive.

        >>> samplers.SVGD(bandwidth=0.5, optimiser="adam").hyperparameters()["optimiser"]
        'adam'
    """

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
        until: None = None,
    ) -> Draws:
        """Move `draws` particles for `iterations` iterations; their last positions are the draws, x (1, draws, dim).

        init: (draws, dim), a function (n, generator) -> (n, dim), or None: prior draws where the target has a prior,
            else uniform on [-2, 2] in unconstrained coordinates. The only randomness there is.
        seed: same seed, shapes, device and versions give the same bits.
        progress: a progress bar on stderr; None shows one on a terminal.
        checkpoint: a file; a run that stopped is continued by the same call and equals the whole run bit for bit.
        until: refused with a ValueError, for all draws are made at once.

        The particles are not independent of one another: their spread around a mean gives no standard error. Ctrl-C
        ends the run and returns the particles as they are. Raises TypeError for a discrete target and ValueError naming
        the argument for bad ones, and the particle for a start where log-density or score is not finite. Warns
        (SamplingWarning) about moves that were not finite, and about particles that have not arrived: whose scores do
        not satisfy E[s] = 0 and -E[s (x - E x)] = 1 by far.
        """
        refuse(until, self, "its particles are no chain, and have no effective sample size; expected more iterations=")
        for name, value, least in (("draws", draws, 1), ("iterations", iterations, 0), ("seed", seed, 0)):
            check_integer(value, name, least)
        self.check_target(target)
        path = None if checkpoint is None else file_place(checkpoint, "checkpoint")
        return Particles(self, target.to(device, dtype), draws, iterations, seed, init).draws(path, progress)
