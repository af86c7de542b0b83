"""The verb of chains of measurements."""

from __future__ import annotations

from pathlib import Path

import torch

from samplers.draws import Draws
from samplers.draws.places import file_place
from samplers.runs.checkpoint import check_begun
from samplers.runs.checks import check_target
from samplers.runs.starts import Init
from samplers.runs.until import refuse
from samplers.smoothing.chain import Chain
from samplers.smoothing.chain_run import ChainRun
from targets import Target
from targets.arguments import check_integer


class MeasurementChain(Chain):
    """Independent draws, each from a chain of measurements of its own; see SequentialMultimeasurement and SLIPS."""

    def sample(
        self,
        target: Target,
        *,
        draws: int = 4096,
        init: Init = None,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        until: None = None,
    ) -> Draws:
        """`draws` chains side by side, each of which gives one draw; `Draws.x` is (1, draws, dim).

        init: (draws, dim), a function (n, generator) -> (n, dim), or None: draws of the prior, else of the pilot run
            of `samplers.smoothing.plan`, else of a Gaussian with the centre and spread that it knows. A start gets
            noise, then walks `first_steps`.
        seed: same seed, sizes, device and versions give the same bits. progress: a bar on stderr; None shows one on a
        terminal. checkpoint: a file, written after each level; the same call continues a run that stopped.
        until: refused with a ValueError, for all draws are made at once.
        Raises UntrustedEstimate where the denoiser does not believe its own estimate.
        """
        refuse(until, self, "its draws are independent, so that draws= is their effective sample size")
        check_integer(draws, "draws")
        check_integer(seed, "seed", 0)
        check_target(target)
        if self.weighted and init is not None:
            raise ValueError("init: weighted measurements start from a law; give it as base=")
        path = None if checkpoint is None else file_place(checkpoint, "checkpoint")
        target = target.to(device, dtype)
        check_begun(path, type(self).__name__, {"draws": draws, "seed": seed}, target)
        with torch.no_grad():
            run = ChainRun(self, target, draws, init, seed)
        return run.draws(path, progress)
