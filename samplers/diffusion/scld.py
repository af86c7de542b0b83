"""Sequential controlled Langevin diffusions: controlled Langevin steps in subtrajectories, SMC between them."""

from __future__ import annotations

from dataclasses import dataclass

from samplers.diffusion.cmcd import CMCD
from samplers.path_measures.subtrajectories import Resampling
from targets.arguments import check_integer, shown


@dataclass(frozen=True, eq=False)
class SCLD(CMCD):
    """Sequential controlled Langevin diffusion: `CMCD` in subtrajectories, with resampling and HMC between them.

    log w of a subtrajectory from state a to b is log pi_b(x_b) - log pi_a(x_a) + its log ratios, pi_k = prior^(1-b_k)
    gamma^(b_k); after each ancestors are drawn where the ESS is below `ess_threshold` of the particles, then `moves`
    HMC steps of `leapfrogs` leave pi_b invariant. Training makes the log-variance of each subtrajectory small, on the
    paths of the resampled particles. E[Z-hat] = Z with everything trained and fixed.
    Chen, Richter, Berner, Blessing, Neumann and Anandkumar 2024, https://arxiv.org/abs/2412.07081.

    steps, network, prior, objective, training: as of `samplers.diffusion.LearnedSampler`. subtrajectories: into
    how many a path is cut, at most steps, else ValueError.

        >>> target = targets.Gaussian([1.0, 0.0], scale=0.7)
        >>> fitted = samplers.SCLD(steps=4, subtrajectories=2, prior="gaussian").fit(target, iterations=2, seed=0)
        >>> fitted.sample(draws=500, seed=1).x.shape
        torch.Size([1, 500, 2])
    """

    subtrajectories: int = 8
    ess_threshold: float = 0.3
    moves: int = 1
    leapfrogs: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.through_paths:
            raise ValueError(
                "objective: got KL, whose gradient does not pass through resampling; expected LogVariance()"
            )
        check_integer(self.subtrajectories, "subtrajectories")
        check_integer(self.moves, "moves", 0)
        check_integer(self.leapfrogs, "leapfrogs")
        if self.steps < self.subtrajectories:
            raise ValueError(f"subtrajectories: got {self.subtrajectories}, expected at most steps, {self.steps}")
        if not 0 <= self.ess_threshold <= 1:
            raise ValueError(f"ess_threshold: got {shown(self.ess_threshold)}, expected a share between 0 and 1")

    @property
    def resampling(self) -> Resampling:
        return Resampling(self.subtrajectories, self.ess_threshold, self.moves, self.leapfrogs)
