"""Step sizes that follow the acceptance: Robbins and Monro's rule, and dual averaging.

log h += gain (acceptance - target)                                                            Robbins-Monro
log h = mu - sqrt(t) / gamma * mean(target - acceptance),    at last its weighted average      dual averaging
"""

from __future__ import annotations

import math


def robbins_monro(acceptance: float, target: float, gain: float = 1.0) -> float:
    """By how much log h changes after moves of this mean acceptance."""
    return gain * (acceptance - target)


class RobbinsMonro:
    """The step size whose acceptance is `target`, followed while the law that is sampled changes: nothing is averaged.

    log_start: log h at first. gain: large where each acceptance is a mean over many particles and there are few of
    them, small where there are many. A sum of gains that grows for ever is what converges; a caller that stays at one
    law lets `share` fall. Robbins and Monro 1951, https://doi.org/10.1214/aoms/1177729586.
    """

    def __init__(self, log_start: float, target: float, gain: float = 1.0) -> None:
        self.log_value, self.target, self.gain = log_start, target, gain

    def update(self, acceptance: float, share: float = 1.0) -> None:
        """Take in the mean acceptance of some moves, as a share of what is otherwise learned from it."""
        self.log_value += robbins_monro(acceptance, self.target, share * self.gain)

    @property
    def value(self) -> float:
        """The step size to use now."""
        return math.exp(self.log_value)


class Averaged:
    """A logarithm that is explored by `log_value` and frozen at its weighted average."""

    log_value: float
    log_average: float

    def average(self, share: float) -> None:
        """Move the average towards the present value by this share."""
        self.log_average = share * self.log_value + (1 - share) * self.log_average

    def settle(self) -> None:
        """Freeze at the average."""
        self.log_value = self.log_average

    @property
    def value(self) -> float:
        """What to use now."""
        return math.exp(self.log_value)


class DualAveraging(Averaged):
    """log e follows mu - sqrt(t)/gamma * mean(target - acceptance), and settles at its weighted average.

    For one law and one acceptance a step, as in warmup: early values, of which most are far off, are forgotten, and
    what is frozen is an average. Nesterov 2009, https://doi.org/10.1007/s10107-007-0149-x; Hoffman and Gelman 2014,
    https://www.jmlr.org/papers/v15/hoffman14a.html.
    """

    gamma, t0, kappa = 0.05, 10.0, 0.75

    def __init__(self, start: float, target: float) -> None:
        self.target = target
        self.restart(start)

    def restart(self, start: float | None = None) -> None:
        """Forget the acceptances; explore from the present step size, or from `start`."""
        if start is not None:
            self.log_value = self.log_average = math.log(start)
        self.mu = self.log_value + math.log(2.0)
        self.t, self.error = 0, 0.0

    def update(self, acceptance: float) -> None:
        """Take in the acceptance of one step."""
        self.t += 1
        weight = 1 / (self.t + self.t0)
        self.error = (1 - weight) * self.error + weight * (self.target - acceptance)
        self.log_value = self.mu - math.sqrt(self.t) / self.gamma * self.error
        self.average(self.t**-self.kappa)
