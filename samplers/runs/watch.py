"""Looks at a run that ends at a wanted precision: when, at how many draws, and what they find.

A look comes when each chain has n = n_1, n_2, .. draws. n_1 is the least number with which the precision could be
reached; n_{k+1} is what the look before makes expect, at least 1.25 and at most twice n_k. The lengths follow from the
draws alone, so that the same seed ends at the same length. A look takes every k-th draw where there are more than
THINNED times the draws that the precision takes when they are independent: the ESS of these is no more than that of all
but for the noise of both, and hardly less, since what is left out is correlated with its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samplers.draws.effective import Effective
from samplers.draws.scalars import Scalars
from samplers.runs.plan import Plan
from samplers.runs.until import Until
from targets import Target

FIRST = 32  # draws of each chain before the first look
THINNED = 8
LEAST = 200  # independent draws of all chains that an R-hat alone is looked at with
GROWTH, SPARE = (1.25, 2.0), 1.1
WORST = 4  # scalars that are looked at first, since one that fails is enough
BEST, WORTHLESS = {"ess": math.inf, "mcse": 0.0, "r_hat": 1.0}, {"ess": 0.0, "mcse": math.inf, "r_hat": math.inf}
WORDS = {
    "ess": ("the least effective sample size", "ESS", "{:.0f}"),
    "mcse": ("the largest standard error of a mean over its standard deviation", "MCSE", "{:.3g}"),
    "r_hat": ("the largest R-hat", "R-hat", "{:.3f}"),
}

Points = Callable[[int], Tensor]  # every k-th draw so far, (chains, draws, dim)


class Watch:
    """What is asked for, what the last look has found, and the number of draws at which the next one is due.

    found: of each thing asked for, the worst value and the scalar that it is of. reached, late: whether the run ends,
    by its precision or by the time.
    """

    def __init__(self, until: Until, plan: Plan, target: Target) -> None:
        self.until, self._plan, self._target = until, plan, target
        self.asked = until.asked(plan.chains)
        if until.precise and plan.keep == "moments":
            raise ValueError(
                'until, keep: a run that keeps moments only has no draws to look at; expected keep="draws"'
            )
        self._independent = max(self.asked.get("ess", 0.0), self.asked.get("mcse", math.inf) ** -2, LEAST)
        self.next = max(FIRST, math.ceil(self._independent / plan.chains))
        self.found: dict[str, tuple[float, str]] = {}
        self._worst: list[int] = []
        self.reached = self.late = False

    @property
    def over(self) -> bool:
        """Whether the run ends here."""
        return self.reached or self.late

    def look(self, drawn: int, seconds: float, points: Points) -> None:
        """After a draw of every chain: the time, and the draws where they are due or the last ones."""
        self.late = seconds >= self.until.limit
        if not self.asked or drawn < 4 or not (drawn >= self.next or drawn == self._plan.draws or self.late):
            return
        enough = int(drawn * self._plan.chains // (THINNED * self._independent))
        self._judge(points(max(1, min(enough, drawn // FIRST))))
        self.reached = all(self._holds(name, value) for name, (value, _) in self.found.items())
        if not self.reached and drawn >= self.next:
            least, most = GROWTH
            ahead = SPARE * max(self._factor(name, value) for name, (value, _) in self.found.items())
            self.next = math.ceil(drawn * min(max(ahead, least), most))

    def _holds(self, name: str, value: float) -> bool:
        return value >= self.asked[name] if name == "ess" else value <= self.asked[name]

    def _factor(self, name: str, value: float) -> float:
        """How many times as many draws it would take."""
        asked = self.asked[name]
        found = {"ess": (asked, value), "mcse": (value**2, asked**2), "r_hat": (value - 1, asked - 1)}[name]
        return found[0] / found[1] if found[1] > 0 else math.inf

    # Draws

    def _judge(self, x: Tensor) -> None:
        """The worst scalars first; all of them where those hold."""
        scalars = Scalars(self._target, x)
        seen = self._worst or list(range(min(WORST, len(scalars))))
        found = self._of(scalars, seen)
        if all(self._holds(name, value) for name in found for value in found[name].tolist()):
            rest = sorted(set(range(len(scalars))) - set(seen))
            more = self._of(scalars, rest)
            found, seen = {name: np.concatenate([found[name], more[name]]) for name in found}, seen + rest
        factors = {name: np.array([self._factor(name, value) for value in found[name].tolist()]) for name in found}
        places = {name: int(factor.argmax()) for name, factor in factors.items()}
        self.found = {name: (float(found[name][i]), scalars.name(seen[i])) for name, i in places.items()}
        factor = np.stack(list(factors.values())).max(0)
        self._worst = [seen[i] for i in np.argsort(-factor, kind="stable")[:WORST]]

    def _of(self, scalars: Scalars, which: list[int]) -> dict[str, np.ndarray]:
        """What is asked for of some of them; what is stuck, or not finite, is worth nothing."""
        found = {name: np.full(len(which), BEST[name]) for name in self.asked}
        for part, values, sound, constant in scalars.blocks(which):
            effective = Effective(values)
            for name in self.asked:
                made = _worth(effective, name)
                made = torch.where(sound & ~made.isnan(), made, WORTHLESS[name])
                found[name][part] = torch.where(constant, BEST[name], made).cpu().numpy()
        return found

    # What is said

    def figures(self) -> str:
        """What stands beside the bar."""
        parts = (
            f"{WORDS[name][1]} {WORDS[name][2].format(value)} of {self.asked[name]:g} at {at}"
            for name, (value, at) in self.found.items()
        )
        return "".join(f", {part}" for part in parts)

    def record(self) -> dict[str, Any]:
        """For the attributes of the draws: what was asked for and what was reached."""
        asked: Mapping[str, float] = self.asked | (
            {} if math.isinf(self.until.limit) else {"seconds": self.until.limit}
        )
        return {"until": dict(asked), "reached": {name: value for name, (value, _) in self.found.items()}}

    def complaints(self, drawn: int) -> Iterator[str]:
        """One warning where the run came to its end without the precision."""
        if not self.asked or self.reached:
            return
        ended = f"in {self.until.limit:g} seconds" if self.late else "in the largest number of draws"
        parts = [
            f"{WORDS[name][0]} is {WORDS[name][2].format(value)} at {at}, {self.asked[name]:g} was asked for"
            for name, (value, at) in self.found.items()
            if not self._holds(name, value)
        ]
        found = "; ".join(parts) or "they are too few to tell"
        more = "a longer time" if self.late else "a larger draws="
        yield (
            f"the precision of until= was not reached {ended}, {drawn} of each chain: {found}. Give {more}; with the "
            "same checkpoint= the run goes on"
        )

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """All there is to continue."""
        return {"next": self.next, "worst": list(self._worst)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from there."""
        self.next, self._worst = saved["next"], saved["worst"]


def _worth(effective: Effective, name: str) -> Tensor:
    if name == "ess":
        return torch.minimum(effective.bulk, effective.tail)
    return effective.mean.rsqrt() if name == "mcse" else effective.r_hat
