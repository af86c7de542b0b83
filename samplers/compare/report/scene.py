"""What the figures of one target are drawn from: its facts, and a run of each sampler as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from samplers.compare.budget import evaluations
from samplers.compare.facts import SCALARS, Facts
from samplers.compare.report.convergence import Curve, curve
from samplers.compare.report.diverged import Diverged, diverged
from samplers.compare.report.style import Look
from samplers.compare.results import Results
from samplers.compare.rows import Row, answers, by
from samplers.compare.shape import weights_of
from samplers.draws import INDEPENDENT, PARTICLES, Draws, estimates
from samplers.draws.names import scalars

Values = Mapping[str, np.ndarray]
MOST_CHAINS, LONGEST, PICKED, A_BIT = 16, 500, 1000, 0.03
HEAVY = 6.0  # 2.2 of a Gaussian


@dataclass(frozen=True, eq=False)
class Run:
    """The first run of a sampler that gave draws.

    values: {scalar: (chains, draws)}; weights: normalised, (chains, draws), or None where they are equal; log_density
    likewise, or None; markov: whether these are chains; curves: error against evaluations, of every seed; modes: the
    mean share of each over seeds; diverged: the divergent steps that it has kept, or None.
    """

    sampler: str
    look: Look
    row: Row
    values: Values
    weights: np.ndarray | None
    log_density: np.ndarray | None
    markov: bool
    curves: list[Curve]
    modes: np.ndarray
    diverged: Diverged | None

    def picked(self, count: int, *names: str) -> list[np.ndarray]:
        """So many draws of these scalars, spread over the run, by weight where there are weights."""
        flat = [self.values[name].reshape(-1) for name in names]
        if self.weights is None:
            which = np.linspace(0, len(flat[0]) - 1, min(count, len(flat[0]))).astype(int)
        else:
            total = self.weights.reshape(-1).cumsum()
            which = np.searchsorted(total, (np.arange(count) + 0.5) / count * total[-1])
        return [values[which] for values in flat]


def named(runs: Iterable[Run]) -> str:
    """Their samplers."""
    return ", ".join(run.sampler for run in runs)


@dataclass(frozen=True)
class Scene:
    """One target, and the runs on it."""

    facts: Facts
    runs: list[Run]

    @cached_property
    def variables(self) -> list[str]:
        """Scalars that all runs have, those first on which they are furthest from the truth, or from one another."""
        shared = [name for name in self.runs[0].values if all(name in run.values for run in self.runs)]
        return sorted(shared, key=self._interest, reverse=True)

    def _interest(self, name: str) -> float:
        """The largest difference in distribution function from exact draws, or from those of all runs together; of
        scales, where chains get stuck, a bit more.
        """
        own = [np.sort(run.picked(PICKED, name)[0]) for run in self.runs]
        reference = np.sort(self.facts.exact[name] if name in self.facts.exact else np.concatenate(own))
        level = np.arange(1, len(reference) + 1) / len(reference)
        far = max(np.abs(np.searchsorted(x, reference, side="right") / len(x) - level).max() for x in own)
        return float(far) + A_BIT * all(x[0] > 0 for x in own)

    @cached_property
    def slowest(self) -> str:
        """The scalar with the least effective draws in any of the chains."""
        return min(self.variables, key=lambda name: min(_ess(run.values[name]) for run in self.chains))

    @property
    def chains(self) -> list[Run]:
        """The runs that are Markov chains, long enough to have an autocorrelation."""
        return [run for run in self.runs if run.markov and next(iter(run.values.values())).shape[1] >= 20]

    def span(self, name: str) -> tuple[float, float]:
        """The range of a scalar that a picture shows."""
        runs = [run.values[name] for run in self.runs]
        return span(runs, self.facts.exact.get(name))


def span(runs: list[np.ndarray], exact: np.ndarray | None) -> tuple[float, float]:
    """That of the exact draws, wider by at most as much again on either side for the runs that leave it."""
    ranges = np.array([np.quantile(values[np.isfinite(values)], (0.005, 0.995)) for values in runs])
    low, high = np.median(ranges, axis=0) if exact is None else _middle(exact)
    if not high > low:
        low, high = ranges[:, 0].min(), ranges[:, 1].max()
    room = high - low
    low, high = max(min(low, ranges[:, 0].min()), low - room), min(max(high, ranges[:, 1].max()), high + room)
    margin = 0.04 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _middle(exact: np.ndarray) -> tuple[float, float]:
    """Nearly all of the draws; less where tails are so heavy that nothing else would be seen."""
    low, least, most, high = np.quantile(exact, (0.002, 0.1, 0.9, 0.998))
    return (low, high) if high - low < HEAVY * (most - least) else tuple(np.quantile(exact, (0.02, 0.98)))


def scene_of(results: Results, target: str, looks: Mapping[str, Look]) -> Scene:
    """Read the draws of a target, one sampler after another; what is drawn of them is at most SCALARS scalars."""
    rows = [row for row in answers(results.rows) if (target, row["sampler"], row["seed"]) in results.draws]
    facts, runs = results.facts[target], []
    for sampler, own in by("sampler", (row for row in rows if row["target"] == target)).items():
        curves: list[Curve] = []
        shares = [row["mode_weights"] for row in own if "mode_weights" in row]
        modes = np.mean(shares, axis=0) if shares else np.empty(0)
        for row in own:
            draws = results.draws[target, sampler, row["seed"]]
            if draws.x.shape[1] == 0:
                continue
            values = _values(draws, {row["mean_error_at"], row["sd_error_at"]})
            markov = draws.log_weights is None and draws.attrs.get("kind") not in (INDEPENDENT, PARTICLES)
            weights = _weights(draws)
            if not curves:  # of the other seeds the curve alone is drawn
                log_density = draws.stats["lp"].double().cpu().numpy() if "lp" in draws.stats else None
                steps = diverged(draws, values)
                runs.append(
                    Run(sampler, looks[sampler], row, values, weights, log_density, markov, curves, modes, steps)
                )
            curves.append(curve(values, weights, evaluations(draws.cost), draws.attrs, facts.moments, markov=markov))
    return Scene(facts, runs)


def _values(draws: Draws, wanted: set[str]) -> Values:
    """The first SCALARS scalars, and those wanted."""
    every = enumerate(scalars(draws.constrained_points))
    return {name: value for place, (name, value) in every if place < SCALARS or name in wanted}


def _weights(draws: Draws) -> np.ndarray | None:
    if draws.log_weights is None or bool((draws.log_weights == draws.log_weights.reshape(-1)[0]).all()):
        return None
    return weights_of(draws).reshape(draws.log_weights.shape).numpy()


def _ess(values: np.ndarray) -> float:
    """Of a part of the chains, which is enough to rank variables by."""
    part = torch.from_numpy(values[:MOST_CHAINS, :LONGEST])
    return float(estimates.ess({"value": part}, "bulk")["value"])
