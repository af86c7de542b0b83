"""Is an estimate of Z unbiased?

    Y = Z-hat / Z of independent runs;   unbiased: E[Y] = 1

log Z-hat is biased even then, by about -Var(Y) / 2, and is not what is tested.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from samplers.draws import Sampler, SamplingWarning
from samplers.runs.checks import check_target
from samplers.testing import statistics
from samplers.testing.sequential_rule import LEVEL, STAGES, Report, sequential
from targets import Target
from targets.arguments import check_integer
from targets.way_to_truth import way_to_truth

MOST_SKEWNESS = 0.1  # over sqrt(runs): up to here the p-values below are right in tails that matter
STAKES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])


def check_unbiased_z(
    sampler: Sampler,
    target: Target,
    *,
    seed: int = 0,
    runs: int = 2000,
    draws: int = 16,
    level: float = LEVEL,
) -> Report:
    """Estimate Z in `runs` independent runs of `draws` points each, and test that the mean of Z-hat / Z is one.

    Few points make a bias of order 1/draws large, such as that of a schedule found from the particles it serves.
    A sampler with `replicates` that is not `adaptive` makes its runs in one batch, any other is called run by run.

    Two tests. Hall's: the t statistic, corrected for the skewness that the runs show. A wager: who holds that Y has
    mean one, offers fair bets on it, and the capital prod (1 + s (Y - 1)) exceeds 1/a with probability at most a,
    whatever the law of a Y that is never negative; it finds only means above one. A correct sampler is rejected with
    probability at most `level` over all seeds, as far as the first test's approximation holds: a rare huge Y that no
    run has shown would be missed. Returns the report; raises AssertionError that names the ratio, its standard error
    and the number of runs; ValueError for a target whose log_z is not known, and where Y is too skewed for a verdict
    (skewness above 0.1 sqrt(runs)): take more draws or runs. Hall 1992; Waudby-Smith and Ramdas 2024.
    """
    check_target(target)
    if not hasattr(sampler, "sample"):
        raise TypeError(
            f"sampler: got {type(sampler).__name__}, expected a sampler with sample(target, draws=, seed=) whose draws "
            "have a log_z, such as samplers.AIS()"
        )
    if "log_z" not in target.known:
        raise ValueError(
            f"target: the log_z of {target.name} is not known, and this check compares with it{way_to_truth(target)}"
        )
    check_integer(runs, "runs", 20)
    check_integer(draws, "draws")
    check_integer(seed, "seed", 0)

    last: list[np.ndarray] = []

    def p_values(stage: int, n: int) -> dict[str, float]:
        with np.errstate(over="ignore"):
            ratio = np.exp(_estimates(sampler, target, n, draws, statistics.seeds(seed, stage, n)) - target.log_z)
        if not np.isfinite(ratio).all():
            return {f"Z-hat / Z = {ratio[~np.isfinite(ratio)][0]} in one of {n} runs": 0.0}
        last[:] = [ratio]
        mean, error = float(ratio.mean()), float(ratio.std(ddof=1)) / math.sqrt(n)
        label = f"mean of Z-hat / Z = {mean:.5g} +- {error:.2g} in {n} runs"
        wager = _wager(ratio)
        if _skewness(ratio) > MOST_SKEWNESS * math.sqrt(n):
            if 2 * wager > level / STAGES:
                raise ValueError(
                    f"draws: with {draws} points Z-hat / Z is too skewed for a verdict ({label}, skewness "
                    f"{_skewness(ratio):.3g}, expected at most {MOST_SKEWNESS} sqrt(runs)); take more draws or runs"
                )
            return {f"{label}, by a wager": wager}
        return {f"{label}, by Hall's test": _hall(ratio), f"{label}, by a wager": wager}

    return sequential(
        f"unbiased Z of {type(sampler).__name__} on {target.name}", runs, p_values, level, lambda _: _how_far(*last)
    )


def _how_far(ratio: np.ndarray | None = None) -> str:
    if ratio is None:
        return ""
    off, error = float(ratio.mean()) - 1, float(ratio.std(ddof=1)) / math.sqrt(len(ratio))
    errors = f" ({abs(off) / error:.1f} standard errors)" if error > 0 else ""
    return f"Z-hat is too {'large' if off > 0 else 'small'} by {abs(off):.2%} of Z on average{errors}"


def _estimates(sampler: Any, target: Target, runs: int, draws: int, seeds: list[int]) -> np.ndarray:
    """log Z-hat of independent runs, (runs,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)  # few draws are meant
        if hasattr(sampler, "replicates") and not getattr(sampler, "adaptive", True):
            found = replace(sampler, replicates=runs).sample(target, draws=draws, seed=seeds[0]).log_z
            return np.array(found.estimates)
        return np.array([sampler.sample(target, draws=draws, seed=s).log_z.value for s in seeds])


def _skewness(y: np.ndarray) -> float:
    spread = float(y.std())
    return 0.0 if spread == 0 else float((((y - y.mean()) / spread) ** 3).mean())


def _hall(y: np.ndarray) -> float:
    """Two-sided p-value for the mean of y being one, by Hall's monotone transformation of the t statistic."""
    spread = float(y.std())
    if spread <= 1e-9:  # rounding of a Z-hat without any noise
        return float(abs(y.mean() - 1) < 1e-6)
    t, skewness = (float(y.mean()) - 1) / spread, _skewness(y)
    t += skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / (6 * len(y))
    return math.erfc(abs(t) * math.sqrt(len(y) / 2))


def _wager(y: np.ndarray) -> float:
    """One over the capital, at most one."""
    return math.exp(min(0.0, -_log_capital(y)))


def _log_capital(y: np.ndarray) -> float:
    """log of the mean over several stakes of prod (1 + stake (y - 1))."""
    with np.errstate(divide="ignore"):  # a y of zero loses the whole stake
        capital = np.log1p(STAKES[:, None] * (y - 1)).sum(1)
    return float(np.logaddexp.reduce(capital)) - math.log(len(STAKES))
