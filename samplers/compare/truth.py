"""What draws are compared with: exact moments, or those of a long run, with their standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Generator, Tensor

from samplers.compare.shape import Shares, Thresholds, shares, thresholds, weights_of, with_log_density
from samplers.draws import Draws, estimates
from samplers.draws.weighted import families_of, mean_and_error
from samplers.runs.progress import Progress
from targets import Moments, Target, with_truth

EXACT_DRAWS, SEED = 20_000, 54_321
MOST_OF_ONE = 0.2  # of a fourth moment from these that one draw may make up; of a Gaussian it makes up some 0.006


@dataclass(frozen=True)
class Estimated:
    """Mean and standard deviation of a variable, and their standard errors, each of the variable's shape."""

    mean: Tensor
    sd: Tensor
    mean_error: Tensor
    sd_error: Tensor


@dataclass(frozen=True)
class Truth:
    """Moments to compare with, where they come from, and their own standard errors, which are zero when exact.

    at, shares: quantiles, and the shares of draws of `samplers.compare.shape` that belong to them; empty where there
    are no draws of the target to take them from. sd_noise: the relative standard error of a standard deviation from one
    draw, from n that over sqrt(n), by variable; infinite where tails are so heavy that 20,000 exact draws do not tell
    it. Likewise empty.
    """

    moments: Mapping[str, Moments]
    source: str
    errors: Mapping[str, Estimated]
    at: Thresholds = field(default_factory=dict)
    shares: Mapping[str, Shares] = field(default_factory=dict)
    sd_noise: Mapping[str, Tensor] = field(default_factory=dict)


def known_truth(target: Target) -> Truth | None:
    """The exact moments that the target states, or None; shares come from exact draws, where it has them."""
    if "moments" not in target.known:
        return None
    exact = {name: Moments(m.mean.double().cpu(), m.sd.double().cpu()) for name, m in target.moments.items()}
    zero = {name: torch.zeros_like(m.mean) for name, m in exact.items()}
    errors = {n: Estimated(m.mean, m.sd, zero[n], zero[n]) for n, m in exact.items()}
    if "sample" not in target.known:
        return Truth(exact, "exact", errors)
    x = target.sample(EXACT_DRAWS, generator=Generator(target.device).manual_seed(SEED))
    draws = with_log_density(Draws(x[None], target=target))
    at = thresholds([draws])
    noise = {name: _sd_noise(value, exact[name]) for name, value in draws.constrained_points.items() if name in exact}
    return Truth(exact, "exact", errors, at, shares(draws, at), noise)


def with_truths(
    targets: Mapping[str, Target], progress: bool | None = False
) -> tuple[dict[str, Target], dict[str, str]]:
    """The targets, those in one or two dimensions with what quadrature tells of them; and remarks on these, by name.

    progress: as of `compare`, over the targets that quadrature is asked about.
    """
    found, remarks = dict(targets), {}
    asked = {name: target for name, target in targets.items() if _open(target)}
    bar = Progress(len(asked), 0, progress if asked else False, "truths by quadrature", "targets")
    try:
        for name, target in asked.items():
            found[name], remarks[name] = _by_quadrature(name, target)
            bar.advance(partial("{} done".format, name))
    finally:
        bar.close()
    return found, remarks


def _open(target: Target) -> bool:
    """Whether quadrature could tell what the target does not state itself."""
    return not target.discrete and target.has_density and not {"log_z", "moments", "sample"} <= target.known


def _by_quadrature(name: str, target: Target) -> tuple[Target, str]:
    """The target with its truth, where that is found, and a remark on it."""
    if target.dim > 2:
        return target, (
            f"truth=True finds nothing here, as quadrature takes one or two dimensions and {name} has {target.dim}"
            ": compare with a long run (reference=True), or name points where mass is believed to lie (witnesses= "
            "here, or modes= of a LogDensity)"
        )
    try:
        known = with_truth(target)
    except ValueError as error:
        return target, f"quadrature does not tell the truth: {error}"
    told = known.accuracy
    return known, (
        f"the truth is by quadrature: log Z to {told.log_z:.0e}, moments to {told.moments:.0e} of a standard "
        f"deviation{''.join(f'; {what} is left out, {why}' for what, why in told.left_out.items())}"
    )


def _sd_noise(value: Tensor, exact: Moments) -> Tensor:
    """sqrt(E (x - mean)^4 / sd^4 - 1) / 2, the fourth moment from draws (chains, draws, *shape)."""
    fourth = (value.double().flatten(0, 1).cpu() - exact.mean).pow(4)
    noise = 0.5 * (fourth.mean(0) / exact.sd.pow(4) - 1).clamp_min(0.0).sqrt()
    noise = torch.where(fourth.amax(0) > MOST_OF_ONE * fourth.sum(0), torch.inf, noise)
    return torch.where(exact.sd > 0, noise, 0.0)


def truth_from(draws: Draws, source: str) -> Truth:
    """The moments and shares of a long run, to serve as a reference for other samplers."""
    found = mean_and_sd(draws)
    at = thresholds([draws])
    return Truth({name: Moments(e.mean, e.sd) for name, e in found.items()}, source, found, at, shares(draws, at))


def mean_and_sd(draws: Draws) -> dict[str, Estimated]:
    """Of every variable, over all draws by their weights.

    Standard errors are ArviZ's of the chains; of weighted draws those of `samplers.draws.weighted`, and that of the
    deviation is the one of the variance over twice the deviation.
    """
    if draws.log_weights is not None:
        weights, families = weights_of(draws), families_of(draws)
        return {name: _weighted(value, weights, families) for name, value in draws.constrained_points.items()}
    errors = [estimates.mcse(draws.constrained, method) for method in ("mean", "sd")]
    found = {}
    for name, value in draws.constrained.items():
        flat = value.double().flatten(0, 1).cpu()
        first = flat[0]  # taken off, so that the mean of a constant is the constant, and its deviation zero
        mean, sd = (torch.as_tensor(of[name], dtype=torch.float64) for of in errors)
        found[name] = Estimated(first + (flat - first).mean(0), (flat - first).std(0), mean, sd)
    return found


def _weighted(value: Tensor, weights: Tensor, families: Tensor | None) -> Estimated:
    x = value.double().flatten(0, 1).cpu()
    mean, error = mean_and_error(weights, x, families)
    variance, variance_error = mean_and_error(weights, (x - mean).square(), families)
    sd = variance.sqrt()
    return Estimated(mean, sd, error, variance_error / (2 * sd))
