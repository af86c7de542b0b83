"""The measures of one run: mixing, cost, weights, and errors against what is known of the target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samplers.compare.budget import evaluations
from samplers.compare.distances import distances as distances_of
from samplers.compare.shape import in_standard_errors, misfit, shares, weights_of
from samplers.compare.truth import Truth, mean_and_sd
from samplers.diagnostics import ModeMixing, mode_mixing
from samplers.draws import INDEPENDENT, PARTICLES, Draws, LogZ, estimates
from samplers.draws.divergences import usual_share
from samplers.draws.moments import ROWS
from samplers.draws.names import label
from samplers.draws.objections import HIGHEST_R_HAT, left_to_chance
from samplers.draws.still import Still, still
from samplers.draws.weighted import families_of, mean_and_error
from targets import Target


def all_of(draws: Draws, truth: Truth | None, *, distances: bool) -> dict[str, Any]:
    """All measures; NaN for what the draws or the target do not tell. Of draws that are not finite nothing is measured
    but how many they are.
    """
    bad = int((~draws.x.isfinite()).any(-1).sum())
    if bad:
        return {"not_finite": bad} | mixing(draws, known=False) | evidence(draws) | certified(draws)
    found = {"not_finite": 0} | mixing(draws) | evidence(draws) | between_modes(draws)
    found |= errors(draws, truth, found["ess_bulk"]) | shape(draws, truth, found["ess_bulk"])
    found["truth"] = truth.source if truth else ""
    found |= certified(draws) | {"pilot": str(draws.attrs.get("pilot", ""))}
    return found | (distances_of(draws, found["ess_bulk"]) if distances else {})


def mixing(draws: Draws, *, known: bool = True) -> dict[str, Any]:
    """Largest R-hat and least bulk and tail ESS over all variables, ESS by cost, autocorrelation, divergences.

    Of weighted draws the ESS is that of the weights: draws resampled from few would look independent. ess_bulk_at: the
    scalar with the least bulk ESS. autocorrelation: draws an effective one takes. acceptance: the mean over chains and
    draws. constants, stuck: the scalars that all draws agree on, by construction and though they should move
    (`samplers.draws.still`). r_hat_by_chance: what the largest R-hat may be of chains that agree; NaN of one that is
    not above 1.01. usual_divergences: the share of the draws up to which divergences are no fault of the
    sampler.
    """
    chains, count = draws.x.shape[0], draws.x.shape[0] * draws.x.shape[1]
    values = draws.constrained if known else {}
    ess, tail, r_hat, by_chance, slowest = math.nan, math.nan, math.nan, math.nan, ""
    if known and draws.weight_ess is not None:
        ess = tail = draws.weight_ess
    elif known:
        ess, slowest = _least(estimates.ess(values, "bulk"))
        tail, _ = _least(estimates.ess(values, "tail"))
    if known and chains > 1:
        # of spins the folded ranks, which see spreads, are all the same
        method = "split" if draws.target is not None and draws.target.discrete else "rank"
        every = np.concatenate([one.reshape(-1) for one in estimates.r_hat(values, method).values()])
        place = int(np.where(np.isnan(every), -math.inf, every).argmax())
        r_hat = float(every[place])
        if r_hat > HIGHEST_R_HAT:
            by_chance = left_to_chance(draws, place)
    held = still(draws.unweighted()) if known else Still()
    spent = evaluations(draws.cost)
    acceptance = draws.stats.get("acceptance_rate")
    return {
        "draws": count,
        "chains": chains,
        "r_hat": r_hat,
        "r_hat_by_chance": by_chance,
        "ess_bulk": ess,
        "ess_bulk_at": slowest,
        "ess_tail": tail,
        "autocorrelation": count / ess if chains > 1 and ess > 0 else math.nan,
        "ess_per_1000_evaluations": 1000 * ess / spent if spent else math.nan,
        "ess_per_second": ess / draws.cost.seconds if draws.cost.seconds else math.nan,
        "acceptance": math.nan if acceptance is None else float(acceptance.double().mean()),
        "constants": held.constant,
        "stuck": held.stuck,
        "variables": sum(value[0, 0].numel() for value in draws.constrained_points.values()),
        "divergences": int(0 if draws.divergences is None else draws.divergences.sum()),
        "usual_divergences": usual_share(draws),
        "evaluations": spent,
        "seconds": draws.cost.seconds,
    }


def weight_ess(draws: Draws) -> float:
    """The effective share of weighted draws, 1 / (n sum of squared normalised weights); NaN without weights."""
    ess = draws.weight_ess
    return math.nan if ess is None or draws.log_weights is None else ess / draws.log_weights.numel()


def evidence(draws: Draws) -> dict[str, float]:
    """log Z and its standard error where the sampler gives them, the truth where the target states it; bounds; weights.

    elbo, eubo: the bounds of learned samplers (elbo_se: its standard error), and those of a frozen or bidirectional
    annealing run.
    """
    found = LogZ(math.nan, math.nan) if draws.log_z is None else draws.log_z
    truth = None  # to hold an estimate against
    if draws.log_z is not None and draws.target is not None and "log_z" in draws.target.known:
        truth = draws.target.log_z
    measured = {
        "weight_ess": weight_ess(draws),
        "pareto_k": draws.pareto_k,
        "log_z_replicates": 1 if found.estimates is None else len(found.estimates),
        "log_z": found.value,
        "log_z_se": found.standard_error,
        "log_z_true": truth,
        "elbo": draws.attrs.get("elbo", found.lower),
        "elbo_se": draws.attrs.get("elbo_standard_error"),
        "eubo": draws.attrs.get("eubo", found.upper),
    }
    return {name: math.nan if value is None else value for name, value in measured.items()}


def certified(draws: Draws) -> dict[str, Any]:
    """What the certificate says: log Z to believe, its error and interval, the mass that is missed, and doubts."""
    found = draws.certificate
    return {
        "believed_log_z": found.log_z,
        "believed_log_z_se": found.standard_error,
        "log_z_low": found.lower,
        "log_z_high": found.upper,
        "missed": found.missed,
        "doubts": list(found.of_mass),
        "certificate": str(found),
    }


def _least(found: Mapping[str, np.ndarray]) -> tuple[float, str]:
    """The least over scalars, and of which; NaN where none is known."""
    every = {label(name, i): float(value[i]) for name, value in found.items() for i in np.ndindex(*value.shape)}
    known = {name: value for name, value in every.items() if not math.isnan(value)}
    at = min(known, key=lambda name: known[name], default="")
    return known.get(at, math.nan), at


def errors(draws: Draws, truth: Truth | None, ess: float = math.inf) -> dict[str, Any]:
    """The errors of a mean and of a standard deviation that are largest in standard errors (the draws' and the truth's
    together), also in standard deviations and relative; and the variables they are of. A deviation's standard error is
    no smaller than that of `ess` exact draws: draws that lack a heavy tail do not know what they lack. Where even exact
    draws do not tell a deviation (`Truth.sd_noise` infinite) it is left out.
    """
    means: list[tuple[float, float, str]] = []
    deviations: list[tuple[float, float, str]] = []
    truth = truth or Truth({}, "", {})
    for name, own in mean_and_sd(draws).items() if truth.moments else ():
        if name not in truth.moments:
            continue
        exact, slack = truth.moments[name], truth.errors[name]
        far, wide = (own.mean - exact.mean) / exact.sd, own.sd / exact.sd - 1
        far_se = in_standard_errors(own.mean, exact.mean, torch.hypot(own.mean_error, slack.mean_error))
        noise = exact.sd * truth.sd_noise.get(name, torch.zeros_like(exact.sd)) / math.sqrt(ess if ess > 1 else 1.0)
        wide_error = torch.hypot(torch.maximum(own.sd_error, noise), slack.sd_error)
        wide_se = torch.where(noise.isinf(), torch.nan, in_standard_errors(own.sd, exact.sd, wide_error))
        for i in np.ndindex(*far.shape):
            means.append((float(far_se[i]), float(far[i]), label(name, i)))
            deviations.append((float(wide_se[i]), float(wide[i]), label(name, i)))
    if draws.target is not None and draws.target.discrete:
        deviations = []  # are functions of the means
    (mean_se, mean, mean_at), (sd_se, sd, sd_at) = _worst(means), _worst(deviations)
    return {
        "mean_error_se": mean_se, "mean_error_sd": mean, "mean_error_at": mean_at,
        "sd_error_se": sd_se, "sd_error": sd, "sd_error_at": sd_at,
    }  # fmt: skip


def _worst(errors: Iterable[tuple[float, float, str]]) -> tuple[float, float, str]:
    """The one that is largest in standard errors, of those that have one."""
    known = [one for one in errors if not math.isnan(one[0])]
    return max(known, key=lambda one: one[0], default=(math.nan, math.nan, ""))


def shape(draws: Draws, truth: Truth | None, ess: float) -> dict[str, Any]:
    """The share of draws (`samplers.compare.shape`) that is most wrong: in standard errors, in words, of how many, and
    by how much it is off.
    """
    if truth is None or not truth.shares:
        return {"shape_error_se": math.nan, "shape_error": "", "shape_tests": 0, "shape_off": math.nan}
    found = misfit(shares(draws, truth.at), truth.shares, ess)
    said = str(found) if found.variable else ""
    off = abs(found.shares[0] - found.shares[1])
    return {
        "shape_error_se": found.standard_errors,
        "shape_error": said,
        "shape_tests": found.tests,
        "shape_off": off,
    }


def between_modes(draws: Draws) -> dict[str, Any]:
    """The mode whose weight is most wrong in standard errors, beside its truth, and the error; over chains, the largest
    R-hat and the least ESS of being in a mode. Where a target states modes and no weights, as `LogDensity(modes=)`
    does, the shares of the draws and the mixing alone. Standard errors are those of the draws at the true weight.
    """
    target = draws.target
    names = ("worst_mode", "worst_mode_true", "mode_error_se", "mode_r_hat", "mode_ess")
    found: dict[str, Any] = dict.fromkeys(names, math.nan)
    if target is None or "modes" not in target.known or len(target.modes) < 2:
        return found
    share = mode_weights(draws, target)
    if "mode_weights" not in target.known:
        return found | {"mode_weights": share.tolist()} | (_mixing_of(mode_mixing(draws)) if _chains(draws) else {})
    truth = target.mode_weights.double().cpu()
    effective = torch.full_like(truth, draws.x.shape[0] * draws.x.shape[1])
    if draws.log_weights is not None:
        effective *= weight_ess(draws)
        error = _mode_errors(draws, target)
        effective = torch.minimum(effective, truth * (1 - truth) / error.square())
    elif _chains(draws):
        mixing = mode_mixing(draws)
        found |= _mixing_of(mixing)
        # a mode that is never entered was missed by as many draws as the others had; chains that never cross are one
        entered = mixing.ess[mixing.ess > 0]
        least = float(entered.min()) if len(entered) else 1.0
        effective = torch.where(mixing.ess > 0, mixing.ess, least).clamp_min(1.0)
    error = (share - truth).abs() / (truth * (1 - truth) / effective).sqrt()
    worst = int(error.argmax())
    return found | {
        "mode_weights": share.tolist(),
        "worst_mode": float(share[worst]),
        "worst_mode_true": float(truth[worst]),
        "mode_error_se": float(error[worst]),
    }


def _chains(draws: Draws) -> bool:
    return draws.log_weights is None and draws.attrs.get("kind") not in (INDEPENDENT, PARTICLES)


def _mixing_of(mixing: ModeMixing) -> dict[str, float]:
    return {"mode_r_hat": mixing.worst_r_hat, "mode_ess": mixing.least_ess}


def mode_weights(draws: Draws, target: Target) -> Tensor:
    """Share of each mode over all draws by their weights, (modes,)."""
    parts = zip(_mode_probabilities(draws, target), weights_of(draws).split(ROWS), strict=True)
    return sum((w @ inside for inside, w in parts), torch.zeros((), dtype=torch.float64))


def _mode_errors(draws: Draws, target: Target) -> Tensor:
    """The standard errors of the modes' shares of weighted draws, which particles of one family do not share in."""
    inside = torch.cat(list(_mode_probabilities(draws, target)))
    return mean_and_error(weights_of(draws), inside, families_of(draws))[1]


def _mode_probabilities(draws: Draws, target: Target) -> Iterator[Tensor]:
    """That each draw belongs to each mode, (ROWS, modes) at a time."""
    return (target.mode_probabilities(x).double().cpu() for x in draws.x.reshape(-1, target.dim).split(ROWS))
