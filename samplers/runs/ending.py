"""An end that whoever starts a run of chains sets to it: what the run may use.

The next run of chains that begins inside `ending_at` takes it. Warmup is left whole; draws end before the step that
would use more. Draws that are cut short are the first ones of the run that was asked for, bit for bit.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from samplers.draws import Cost

STEPS = 2.0  # of the dearest kind so far, that are left free below the end
MOST = 0.995  # of the allowance: what a run evaluates after its last step stays within it


class UsedUp(RuntimeError):
    """Nothing is left before the first draw; cost: what the run has taken."""

    def __init__(self, where: str, cost: Cost) -> None:
        super().__init__(f"the run had used up what it may use {where}")
        self.cost = cost


class Ending:
    """share: the part of the allowance that a cost is. What the run has used of it: `spent` by finding its kernel,
    `begun` when its starts were found, `warm` after warmup. taken: whether a run heeds it; cut: whether it ended one.
    """

    def __init__(self, share: Callable[[Cost], float]) -> None:
        self.share = share
        self.taken = self.cut = False
        self.spent = self.begun = self.warm = math.nan
        self._last = self._dearest = 0.0
        self._steps = 0

    def starts(self, cost: Cost) -> None:
        """Of a run whose kernel is found."""
        self.spent = self.share(cost)

    def begins(self, cost: Cost) -> None:
        """Of one whose starts are found, too; UsedUp where that took all."""
        self.begun = self._last = self.share(cost)
        if self.begun > 1:
            raise UsedUp("when its starts were found", cost)

    def over(self, cost: Cost, *, warm: bool, useful: bool) -> bool:
        """After a step, whether another one would use more than all; UsedUp where there is no draw yet."""
        used = self.share(cost)
        if warm:  # the first step also looks around once
            self._dearest = max(self._dearest if self._steps != 1 else 0.0, used - self._last)
            self._steps += 1
        else:
            self.warm = used
        self._last = used
        self.cut = used + STEPS * self._dearest > MOST
        if self.cut and not useful:
            raise UsedUp("before its first draw", cost)
        return self.cut


_next: ContextVar[Ending | None] = ContextVar("ending", default=None)


@contextlib.contextmanager
def ending_at(share: Callable[[Cost], float]) -> Iterator[Ending]:
    """Within, the next run of chains takes the end that is given."""
    ending = Ending(share)
    token = _next.set(ending)
    try:
        yield ending
    finally:
        _next.reset(token)


def taken() -> Ending | None:
    """The end that was set, which is nobody else's from now on."""
    found = _next.get()
    if found is not None:
        _next.set(None)
        found.taken = True
    return found
