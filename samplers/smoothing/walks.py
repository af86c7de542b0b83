"""Chains of measurements that walk: the running means of all, (n, dim), from level to level.

The run keeps the means; `law` is that of a mean at the level where they are. Weights (`samplers.smoothing.weights`)
have the same methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Generator, Tensor

from samplers.draws import Draws
from samplers.kernels import State
from samplers.runs.header import plain
from samplers.runs.starts import Init, positions
from samplers.runs.transition import one_step
from samplers.smoothing.chain import Chain
from samplers.smoothing.jump import jumped
from samplers.smoothing.measurements import Measured, Noisy
from samplers.smoothing.plan import Plan
from samplers.smoothing.walk import walker
from targets import Target

FIRST = 8  # times as many steps at the first level, where the law is widest


class Walks:
    """Each level's measurement walks; with an exact denoiser and long walks the draws are those of the target."""

    def __init__(self, chain: Chain, law: Noisy, init: Init, found: Plan | None) -> None:
        self.chain, self.noise, self.init, self.found = chain, law.noise, init, found
        self.kernel = walker(chain.kernel, law)
        self.acceptance: list[float] = []
        self.divergences = 0

    def starts(self, n: int, target: Target, generator: Generator) -> Tensor:
        """Where chains begin, (n, dim)."""
        if self.init is not None or self.found is None:
            return positions(self.init, n, target, generator)
        return self.found.starts(n, target, generator)

    def first(self, x: Tensor, law: Noisy) -> Tensor:
        """From there to the first level."""
        y = x + law.noise.sample_like(x, law.generator)
        return self.walk(law, y, FIRST * self.chain.steps if self.chain.first_steps is None else self.chain.first_steps)

    def advance(self, level: int, mean: Tensor, law: Noisy) -> Tensor:
        """From a level, counted from 1, to the next."""
        return self.chain.advance(level, mean, law, self.noise, self.walk)

    def walk(self, law: Measured, y: Tensor, steps: int) -> Tensor:
        """Where the walk on that law leads from y, (n, dim)."""
        state: State = self.kernel.init(law, y, law.generator)
        rates = []
        for _ in range(steps):
            state, info = one_step(self.kernel, law, state, law.generator)
            rates.append(float(info.acceptance_rate.mean()))
            self.divergences += int(info.diverging.sum())
        if rates:
            self.acceptance.append(sum(rates) / len(rates))
        return state.x

    def jump(self, mean: Tensor, law: Noisy) -> Tensor:
        """The draws, (n, dim), from the last level."""
        return jumped(self.chain.jump, law, mean)

    def finished(self, draws: Draws) -> Draws:
        """The draws with what is known of them here."""
        draws.attrs |= {"kernel": plain(self.kernel.hyperparameters()), **self.state_dict()}
        return draws

    def complaints(self) -> Iterator[str]:
        """What a reader must know."""
        if self.divergences:
            yield (
                f"{self.divergences} steps of the walk led to a point without finite density or score and were not "
                "taken: the step size is too large, or the denoiser failed there"
            )

    def state_dict(self) -> dict[str, Any]:
        """All that a continued run needs."""
        return {"acceptance": list(self.acceptance), "divergences": self.divergences}

    def load_state_dict(self, saved: dict[str, Any], mean: Tensor) -> None:
        """Continue from there, with these running means."""
        self.acceptance, self.divergences = saved["acceptance"], saved["divergences"]
