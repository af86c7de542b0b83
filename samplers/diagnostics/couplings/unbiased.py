"""Expectations without bias from chains of finite length."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.diagnostics.couplings.base import coupling_of
from samplers.diagnostics.couplings.pairs import Pairs, unmet_in_words
from samplers.diagnostics.couplings.states import rows
from samplers.draws import Cost
from samplers.kernels import Kernel
from samplers.runs.starts import Init
from targets import Target
from targets.arguments import brief
from targets.counting import Counted
from targets.sampling_warning import warn

WITHIN_95 = 1.959964


@dataclass(frozen=True, eq=False)
class Unbiased:
    """Independent unbiased estimates of E f(X) under the invariant law, one from each pair of chains.

        H = 1/(m - k + 1) sum_{t=k}^{m} f(X_t)  +  sum_{s=k+L}^{tau-1} w_s (f(X_s) - f(Y_{s-L})),
        w_s = (floor((s - k) / L) - ceil(max(L, s - m) / L) + 1) / (m - k + 1)

    The second sum corrects the bias of the first, and is zero where tau <= k + L. Estimates are not those of a law: of
    an indicator they may be negative. Of pairs that have not met there is none, and then no mean: leaving them out
    would leave out the slow ones.

    estimates: (pairs,) or (pairs, size) in float64, NaN where a pair has not met. steps: kernel steps that each pair
    made, (pairs,). k, m, lag: as above. cost: evaluations by all pairs, and seconds.

        >>> found = samplers.diagnostics.meeting_times(samplers.MALA(0.5), targets.Gaussian([3.0]), lag=10, pairs=100)
        >>> mean = found.unbiased(lambda x: x[:, 0], k=20, m=100)
        >>> low, high = mean.interval
        >>> bool(low < 3 < high), mean.estimates.shape
        (True, torch.Size([100]))
    """

    estimates: Tensor
    steps: Tensor
    k: int
    m: int
    lag: int
    cost: Cost

    @property
    def mean(self) -> Tensor:
        """The mean of the estimates, () or (size,); NaN where pairs have not met."""
        return self.estimates.mean(0)

    @property
    def standard_error(self) -> Tensor:
        """Of the mean, from the spread of independent estimates; infinite where pairs have not met."""
        error = self.estimates.std(0) / math.sqrt(len(self.estimates))
        return torch.where(error.isnan(), torch.inf, error)

    @property
    def interval(self) -> tuple[Tensor, Tensor]:
        """95 % of the mean, by the normal law; everything where pairs have not met."""
        reach = WITHIN_95 * self.standard_error
        mean = torch.where(reach.isinf(), 0.0, self.mean)
        return mean - reach, mean + reach

    @property
    def inefficiency(self) -> Tensor:
        """Variance of an estimate times the mean number of steps it takes: what to compare k, m and kernels by.

        That of a long chain is the asymptotic variance of its mean.
        """
        return self.estimates.var(0) * self.steps.mean()

    def __str__(self) -> str:
        unmet = int(self.estimates.reshape(len(self.estimates), -1)[:, 0].isnan().sum())
        if unmet:
            return f"no unbiased estimate: {unmet} of {len(self.estimates)} pairs of chains have not met"
        mean, error = self.mean.tolist(), self.standard_error.tolist()
        return (
            f"{mean} +- {error} from {len(self.estimates)} independent unbiased estimates (k {self.k}, m {self.m}, lag "
            f"{self.lag}), {float(self.steps.mean()):.4g} steps each"
        )


def unbiased(
    kernel: Kernel,
    target: Target,
    fn: Callable[[Tensor], Tensor],
    k: int,
    m: int,
    *,
    lag: int,
    init: Init,
    max_steps: int,
    pairs: int,
    seed: int,
) -> Unbiased:
    """See `MeetingTimes.unbiased`."""
    began = time.perf_counter()
    counted = Counted(target)
    with torch.no_grad():
        coupling = coupling_of(kernel)
        run = Pairs(coupling, counted, lag, pairs, init, Generator(counted.device).manual_seed(seed))
        sums: Tensor | None = None
        while True:
            t = run.t
            if k <= t <= m:
                values = _values(fn, run.x.x)
                sums = torch.zeros_like(values) if sums is None else sums
                sums = sums + values / (m - k + 1)
            weight = _weight(t, k, m, lag)
            apart = run.apart
            if weight and len(apart):
                assert sums is not None  # a correction begins after k
                gap = _values(fn, rows(run.x, apart).x) - _values(fn, rows(run.y, apart).x)
                sums = sums.index_add(0, apart, gap, alpha=weight)
            if t >= max(m, lag) and (not len(apart) or t >= max(max_steps, m)):
                break
            run.step(everyone=t < m)
        assert sums is not None
    unmet, sums = run.times.isinf().cpu(), sums.cpu()
    missing = unmet if sums.ndim == 1 else unmet[:, None]
    estimates = torch.where(missing, torch.nan, sums)
    made = torch.where(unmet, float(run.t), run.times.cpu())
    steps = made.clamp_min(m) + made - lag
    cost = Cost(counted.log_probs, counted.scores, time.perf_counter() - began)
    if bool(unmet.any()):
        warn(f"no unbiased estimate: {unmet_in_words(int(unmet.sum()), pairs, run.t)}")
    return Unbiased(estimates, steps, k, m, lag, cost)


def _weight(s: int, k: int, m: int, lag: int) -> float:
    """Of the correction at s: of how many t in k .. m it is s = t + j L with j >= 1, over m - k + 1."""
    if s < k + lag:
        return 0.0
    return ((s - k) // lag - math.ceil(max(lag, s - m) / lag) + 1) / (m - k + 1)


def _values(fn: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """In float64, (n,) or (n, size)."""
    values = fn(x)
    if not isinstance(values, Tensor) or values.ndim not in (1, 2) or len(values) != len(x):
        came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"fn: returned {came} for x of shape {tuple(x.shape)}, expected ({len(x)},) or ({len(x)}, size)"
        )
    finite = values.isfinite()
    if not bool(finite.all()):
        row = int((~finite).reshape(len(x), -1).any(1).nonzero()[0])
        raise ValueError(f"fn: returned {brief(values[row])} at x = {brief(x[row])}, expected finite numbers")
    return values.double()
