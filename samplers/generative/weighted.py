"""Draws with exact weights for an energy, and what is said of them, whatever proposed them."""

from __future__ import annotations

import math
import time
from typing import Any

from torch import Tensor

from samplers.draws import Cost, Draws, LogZ
from samplers.path_measures.evaluation import evaluate_weights
from targets import Target
from targets.counting import Counted
from targets.sampling_warning import warn


def weighted_draws(
    x: Tensor,
    log_prob: Tensor,
    log_w: Tensor,
    log_z: LogZ,
    *,
    target: Target,
    kernel: Any,
    attrs: dict[str, Any],
    counted: Counted,
    began: float,
    advice: str,
    stats: dict[str, Tensor] | None = None,
) -> Draws:
    """Draws x (n, dim) of weights log w (n,), with the certificate.

    log_prob: of the target, (n,). counted: what counted its evaluations since `began`. RuntimeError where all weights
    are zero; warns (SamplingWarning) where the target's log-density is NaN or +inf, which no weight can stand for, and
    where weights, with this advice, or certificate say that the target is not covered.
    """
    undefined = int((~(log_prob < math.inf)).sum())
    if not math.isfinite(log_z.value):
        reason = f"no path ends where {target.name} has mass"
        if undefined:
            reason = f"the log-density of {target.name} is NaN or +inf at {undefined} of the ends"
        raise RuntimeError(f"all {len(x)} weights are zero: {reason}")
    if undefined:
        warn(
            f"target: the log-density of {target.name} is NaN or +inf at {undefined} of {len(x)} draws, which get no "
            "weight: log Z and expectations leave out the mass there, if there is any"
        )
    evaluation = evaluate_weights(log_w)
    made = Draws(
        x[None],
        stats={"lp": log_prob[None], **(stats or {})},
        log_weights=log_w[None],
        log_z=log_z,
        cost=Cost(counted.log_probs, counted.scores, time.perf_counter() - began),
        target=target,
        kernel=kernel,
        attrs=attrs | {"ess": evaluation.ess, "target": target.name},
    )
    told = [*evaluation.complaints(advice=advice), *made.certified()]
    for text in told:
        warn(text)
    return made.remember(told)
