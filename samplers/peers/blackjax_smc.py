"""The adaptive tempered sequential Monte Carlo of BlackJAX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch

from samplers.draws import Draws
from samplers.draws.kept import remembering
from samplers.peers.base import Peer, say
from samplers.peers.tempering import Tempering
from targets import Target
from targets.arguments import check_integer, positive, shown


@dataclass(frozen=True, eq=False)
class BlackjaxTemperedSMC(Peer):
    """Adaptive tempered SMC of BlackJAX with HMC moves: weighted draws and log Z; needs the package blackjax.

        log pi_b = log q + b l,    l = log p - log q;    log Z += log mean_i exp((b' - b) l(x_i))

    At every temperature b ancestors are drawn (systematic resampling) and moved by HMC on pi_b; b' is as far as an ESS
    of `target_ess` allows. Z is consistent, not unbiased, for b' and the mass matrix come from the particles.

    base: q, a normalised Target with exact draws; None takes the target's prior, else what the pilot of
    `samplers.SMC` finds, whose evaluations count; "pilot" has it run even where there is a prior.
    moves, leapfrogs: HMC steps a temperature, and leapfrog steps in each. step_size: in units of the particles' spread
    in each coordinate, from which BlackJAX's tuning of the inner kernel takes the mass matrix; nothing tunes the step.
    replicates: runs one after the other, whose spread gives the standard error of log Z. One run tells none: it is NaN.

    Raises ValueError for hyper-parameters out of range, where all weights vanish, and where the temperatures do not
    reach the target. Del Moral, Doucet and Jasra 2006, https://doi.org/10.1111/j.1467-9868.2006.00553.x; Buchholz,
    Chopin and Jacob 2021, https://arxiv.org/abs/1808.07730; Cabezas et al. 2024, https://arxiv.org/abs/2402.10797.

        >>> from samplers.peers import BlackjaxTemperedSMC
        >>> BlackjaxTemperedSMC(moves=5).packages
        ('jax', 'blackjax')
    """

    base: Target | Literal["pilot"] | None = None
    moves: int = 3
    leapfrogs: int = 10
    step_size: float = 0.2
    target_ess: float = 0.9
    replicates: int = 1

    packages: ClassVar = ("jax", "blackjax")

    def __post_init__(self) -> None:
        for name in ("moves", "leapfrogs", "replicates"):
            check_integer(getattr(self, name), name)
        positive(self.step_size, "step_size")
        if not 0 < self.target_ess < 1:
            raise ValueError(f"target_ess: got {shown(self.target_ess)}, expected a share between 0 and 1")
        if not (self.base is None or self.base == "pilot" or isinstance(self.base, Target)):
            raise TypeError(f"base: got {shown(self.base)}, expected a targets.Target, 'pilot' or None")

    @remembering
    def sample(
        self,
        target: Target,
        *,
        draws: int = 4096,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> Draws:
        """`draws` particles (in each replicate) with their weights, whose mean is Z-hat, and log Z; one chain.

        seed: same seed, sizes and versions give the same draws. device: where the target is evaluated.
        progress, checkpoint: for the sake of the verb; there is no bar, and a checkpoint is an error.

        `cost` counts every evaluated point of the target, or of its likelihood where it is annealed from the prior; its
        seconds hold compilation. `stats` are those of the last moves. Warns (SamplingWarning) about moves that
        diverged.
        """
        del progress
        self.check(target, checkpoint)
        check_integer(draws, "draws")
        check_integer(seed, "seed", 0)
        with torch.no_grad():
            run = Tempering(self, target.to(device, dtype), draws, seed, **self.hyperparameters())
            found = run.draws()
        say(run.complaints())
        return found
