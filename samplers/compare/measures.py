"""The measures of one run: mixing, cost, and errors against what is known of the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samplers import records
from samplers.diagnostics import mode_mixing
from samplers.draws import Draws
from targets import Moments, Target


@dataclass(frozen=True)
class Truth:
    """Moments to compare with, where they come from, and the standard errors of their means (zero when exact)."""

    moments: dict[str, Moments]
    source: str
    standard_error: dict[str, Tensor]


def mixing(draws: Draws) -> dict[str, float]:
    """Largest R-hat and least bulk and tail ESS over all variables, ESS per evaluation and per second, divergences."""
    arviz = records.import_arviz()
    posterior = records.dataset(draws.constrained, draws.variables, {})
    several = draws.x.shape[0] > 1  # of a single chain ArviZ has a complaint, and no R-hat
    bulk, tail = arviz.ess(posterior, method="bulk"), arviz.ess(posterior, method="tail")
    ess = _extreme(bulk, np.nanmin)
    evaluations = draws.cost.score or draws.cost.log_prob
    return {
        "r_hat": _extreme(arviz.rhat(posterior), np.nanmax) if several else math.nan,
        "ess_bulk": ess,
        "ess_tail": _extreme(tail, np.nanmin),
        "ess_per_1000_evaluations": 1000 * ess / evaluations,
        "ess_per_second": ess / draws.cost.seconds,
        "evaluations": evaluations,
        "seconds": draws.cost.seconds,
        "divergences": int(0 if draws.divergences is None else draws.divergences.sum()),
    }


def evidence(draws: Draws) -> dict[str, float]:
    """log Z and its standard error where the sampler gives them, and the truth where the target states it."""
    target, found = draws.target, draws.log_z
    if found is None:
        return {"log_z": math.nan, "log_z_se": math.nan, "log_z_true": math.nan}
    truth = target.log_z if target is not None and "log_z" in target.known else math.nan
    return {"log_z": found.value, "log_z_se": found.standard_error, "log_z_true": truth}


def _extreme(data: Any, reduce: Any) -> float:
    values = np.concatenate([np.atleast_1d(array.values).ravel() for array in data.data_vars.values()])
    return math.nan if np.isnan(values).all() else float(reduce(values))


def known_truth(target: Target) -> Truth | None:
    """The exact moments that the target states, or None."""
    if "moments" not in target.known:
        return None
    moments = target.moments
    return Truth(moments, "exact", {name: torch.zeros_like(exact.mean).double() for name, exact in moments.items()})


def truth_from(draws: Draws, source: str) -> Truth:
    """The moments of a long run, with their standard errors, to serve as a reference for other samplers."""
    pooled = {name: value.double().flatten(0, 1) for name, value in draws.constrained.items()}
    moments = {name: Moments(value.mean(0), value.std(0)) for name, value in pooled.items()}
    return Truth(moments, source, _standard_errors(draws))


def errors(draws: Draws, truth: Truth | None) -> dict[str, float]:
    """Largest error of a mean in standard errors (the draws' and the truth's together), and of a standard deviation."""
    if truth is None:
        return {"mean_error_se": math.nan, "sd_error": math.nan}
    own = _standard_errors(draws)
    means, spreads = [], []
    for name, exact in truth.moments.items():
        value = draws.constrained[name].double().flatten(0, 1).cpu()
        error = torch.hypot(own[name], truth.standard_error[name].cpu())
        means.append(((value.mean(0) - exact.mean.double().cpu()).abs() / error).max())
        spreads.append((value.std(0) / exact.sd.double().cpu() - 1).abs().max())
    return {"mean_error_se": float(max(means)), "sd_error": float(max(spreads))}


def _standard_errors(draws: Draws) -> dict[str, Tensor]:
    posterior = records.dataset(draws.constrained, draws.variables, {})
    found = records.import_arviz().mcse(posterior, method="mean")
    return {str(name): torch.as_tensor(array.values, dtype=torch.float64) for name, array in found.data_vars.items()}


def worst_mode(draws: Draws) -> dict[str, float]:
    """Weight that the draws give to the mode where it is most wrong, beside the true weight."""
    target = draws.target
    if target is None or "mode_weights" not in target.known or len(target.mode_weights) < 2:
        return {"worst_mode": math.nan, "worst_mode_true": math.nan}
    found = mode_weights(draws.x, target)
    worst = int((found - target.mode_weights.double()).abs().argmax())
    return {"worst_mode": float(found[worst]), "worst_mode_true": float(target.mode_weights[worst])}


def between_modes(draws: Draws) -> dict[str, float]:
    """`worst_mode`, and the largest R-hat and least ESS of being in a mode; both for chains alone."""
    found = worst_mode(draws) | {"mode_r_hat": math.nan, "mode_ess": math.nan}
    if draws.x.shape[0] > 1 and not math.isnan(found["worst_mode"]):
        mixing = mode_mixing(draws)
        found |= {"mode_r_hat": mixing.worst_r_hat, "mode_ess": mixing.least_ess}
    return found


def mode_weights(x: Tensor, target: Target) -> Tensor:
    """Mean share of each mode over draws (chains, draws, dim), (modes,)."""
    flat = x.reshape(-1, target.dim)
    return sum(target.mode_probabilities(part).double().sum(0) for part in flat.split(65536)) / len(flat)  # type: ignore[return-value]
