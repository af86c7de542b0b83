"""What the no-U-turn samplers of two packages share: hyper-parameters, and the run in one compiled loop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from samplers.peers.base import ChainPeer, ChainRun
from samplers.peers.bridge import Bridge, as_tensor, from_numpy, key, to_numpy
from samplers.runs.plan import Plan
from targets.arguments import check_integer, positive, probability
from targets.counting import Counted


@dataclass(frozen=True)
class NUTSPeer(ChainPeer):
    """A trajectory of leapfrog steps is doubled, forwards or backwards in time, until it turns on itself.

    The next state is drawn from it in proportion to exp(-energy), which leaves the target invariant. Hoffman and
    Gelman 2014; Betancourt 2017.

    Warmup is the package's own, for each chain by itself: step size by dual averaging to `target_acceptance`, mass
    matrix (diagonal, or dense with `dense_mass`) from windows of the chain. Without warmup `step_size` and the identity
    stay. A trajectory has at most 2^max_doublings steps.

    Chains are vectorised: a step takes as long as the longest trajectory among them, and evaluations for chains that
    are done count (`samplers.peers.bridge`); `n_steps` are those of the chain alone.
    """

    target_acceptance: float = 0.8
    dense_mass: bool = False
    max_doublings: int = 10
    step_size: float = 1.0

    def __post_init__(self) -> None:
        probability(self.target_acceptance, "target_acceptance")
        positive(self.step_size, "step_size")
        check_integer(self.max_doublings, "max_doublings")

    @abstractmethod
    def chains(self, log_prob: Callable[[Any], Any], plan: Plan) -> Callable[[Any, Any], Any]:
        """A JAX function of a key and starts (chains, dim), which gives positions, statistics and what was tuned.

        Positions are (chains, steps, dim), statistics (chains, steps) under ArviZ's names.
        """

    def run(self, target: Counted, x: Tensor, plan: Plan) -> ChainRun:
        """Warmup and sampling; compiling is timed apart."""
        bridge = Bridge(target)
        with bridge.precision():
            arguments = key(plan.seed), to_numpy(x, bridge.dtype)
            chains = bridge.compile(self.chains(bridge.log_prob(), plan), *arguments)
            positions, stats, tuned = chains(*arguments)
            return ChainRun(
                from_numpy(positions, target),
                {name: as_tensor(value, target) for name, value in stats.items()},
                as_tensor(stats["diverging"], target).sum(1),
                {
                    "tuned": {name: np.asarray(value).tolist() for name, value in tuned.items()},
                    "compile_seconds": bridge.compile_seconds,
                },
            )
