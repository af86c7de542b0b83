"""Step sizes that follow the acceptance: Robbins and Monro's rule, and dual averaging.

log h += gain (acceptance - target)                                                            Robbins-Monro
log h = mu - sqrt(t) / gamma * mean(target - acceptance),    at last its weighted average      dual averaging
"""

from __future__ import annotations

import math
from statistics import NormalDist

NORMAL = NormalDist()
GAMMA = 0.05  # of Hoffman and Gelman
STEADY = 0.2  # for acceptances whose mean is harmonic, which swings


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


def gaussian_harmonic_mean(mean: float) -> float:
    """The harmonic mean of acceptance rates min(1, exp(-d)) of this mean whose energy errors are d ~ N(s^2/2, s^2).

    1 / (Phi(-s/2) + exp(s^2) Phi(3s/2)), where mean = 2 Phi(-s/2): the law of d for smooth densities of many dimensions
    (Neal 2011, 5.4.4). 0.9 gives 0.878.

        >>> round(gaussian_harmonic_mean(0.9), 3)
        0.878
    """
    half = NORMAL.inv_cdf(mean / 2)
    return 1 / (NORMAL.cdf(half) + math.exp(4 * half**2) * NORMAL.cdf(-3 * half))


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

    t0, kappa = 10.0, 0.75

    def __init__(self, start: float, target: float) -> None:
        self.target, self.gamma, self.log_least = target, GAMMA, -math.inf
        self.restart(start)

    def restart(self, start: float | None = None) -> None:
        """Forget the acceptances; explore from the present step size, or from `start`."""
        if start is not None:
            self.log_value = self.log_average = math.log(start)
            self.log_least = -math.inf
        self.mu = self.log_value + math.log(2.0)
        self.t, self.error = 0, 0.0

    def turn_cautious(self, least: float) -> None:
        """From here on acceptances are harmonic means, aimed at what the mean aimed at is for Gaussian energy errors.

        least: the least step size, of the present one.
        """
        self.log_least = self.log_average + math.log(least)
        self.log_value = self.log_average
        self.mu, self.t, self.error = self.log_average, 0, 0.0
        self.target, self.gamma = gaussian_harmonic_mean(self.target), STEADY

    def update(self, acceptance: float) -> None:
        """Take in the acceptance of one step."""
        self.t += 1
        weight = 1 / (self.t + self.t0)
        self.error = (1 - weight) * self.error + weight * (self.target - acceptance)
        self.log_value = max(self.mu - math.sqrt(self.t) / self.gamma * self.error, self.log_least)
        self.average(self.t**-self.kappa)
