"""The error of the means against what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

POINTS, FIRST = 24, 4  # lengths at which a chain is looked at, the least


@dataclass(frozen=True)
class Curve:
    """evaluations and error, (points,): root mean square over scalars of the mean's error in deviations. prorated:
    whether warmup's share of the evaluations is known, and stands before the first point.
    """

    evaluations: np.ndarray
    error: np.ndarray
    prorated: bool


def curve(
    values: Mapping[str, np.ndarray],
    weights: np.ndarray | None,
    cost: float,
    attrs: Mapping[str, Any],
    moments: Mapping[str, tuple[float, float]],
    *,
    markov: bool,
) -> Curve:
    """Of chains at growing lengths, of other draws at the end alone; no points where no moments are known."""
    known = [(values[name], *moments[name]) for name in values if name in moments and moments[name][1] > 0]
    if not known or not cost:
        return Curve(np.empty(0), np.empty(0), True)
    length = known[0][0].shape[1]
    if markov and length > FIRST:
        at = np.unique(np.geomspace(FIRST, length, POINTS).astype(int))
        far = [(x.mean(0).cumsum()[at - 1] / at - mean) / sd for x, mean, sd in known]
        before, prorated = _warmup_share(attrs)
        spent = cost * (before + (1 - before) * at / length)
    else:
        far = [np.array([(np.average(x, weights=weights) - mean) / sd]) for x, mean, sd in known]
        spent, prorated = np.array([float(cost)]), True
    return Curve(spent, np.sqrt(np.mean(np.square(far), axis=0)), prorated)


def _warmup_share(attrs: Mapping[str, Any]) -> tuple[float, bool]:
    """Of all steps, and whether the run tells."""
    try:
        warmup, steps = float(attrs["warmup"]), float(attrs["draws"]) * float(attrs.get("thin", 1))
    except (KeyError, TypeError, ValueError):
        return 0.0, False
    return (warmup / (warmup + steps), True) if warmup + steps > 0 else (0.0, False)
