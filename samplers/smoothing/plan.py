"""How much noise, and how many measurements.

sigma^2 = max(R^2 - tau^2, sqrt(l_max) tau)    from the first on, Y is log-concave; the second, l_max the largest
                                               eigenvalue of Cov(X), balances the condition number of Y and m
m: sigma / sqrt(m) <= the smallest standard deviation of X anywhere, so that X given the measurements is easy to draw,
   or for mean jumps the least m whose bound of W2 is within the tolerance
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from samplers.denoisers.base import inner
from samplers.draws import Cost
from samplers.smoothing.concavity import (
    joint_condition_number,
    jump_error,
    log_concave_from,
    measurements_for,
    sequential_condition_number,
    threshold,
)
from samplers.smoothing.jump import Jump
from samplers.smoothing.pilot import from_draws
from samplers.smoothing.spread import Spread, in_closed_form, of_spins
from targets import Noise, PairwiseMRF, Target
from targets.discrete import DiscreteTarget
from targets.mrf_noise import MRFNoise
from targets.noise import IsotropicNoise, as_noise

FEWEST, MOST = 16, 400  # measurements where X is drawn given them
TOLERANCE = 0.05  # of the root mean square distance of X from its mean


@dataclass(frozen=True, eq=False)
class Plan:
    """What `plan` chose, and from what; `print(plan)` explains it.

    sigma, m: noise and number of measurements; under noise that is not isotropic sigma^2 is its mean variance. center
    (dim,) and covariance (dim, dim): of X, where chains start. spread: what is known of X, R and tau in units of the
    noise where that is not isotropic. cost: of finding out.

    jump, tolerance: for which it was made. target: its name. sentences: the choice in words.

        >>> from samplers.smoothing import plan
        >>> found = plan(targets.GaussianMixture([[-3.0], [3.0]], scales=0.5))
        >>> found.m, found.sigma > 2, found.jump
        (35, True, 'posterior')
    """

    sigma: float
    m: int
    noise: Noise
    spread: Spread
    jump: Jump
    tolerance: float
    target: str
    sentences: tuple[str, ...] = field(repr=False)

    @property
    def center(self) -> Tensor:
        """The mean of X, (dim,)."""
        return self.spread.mean

    @property
    def covariance(self) -> Tensor:
        """The covariance of X, (dim, dim)."""
        return self.spread.covariance

    @property
    def cost(self) -> Cost:
        """Evaluations that finding the spread took."""
        return self.spread.cost

    @property
    def text(self) -> str:
        """The choice in words."""
        return " ".join(self.sentences)

    def __str__(self) -> str:
        return self.text

    def figure(self, path: str | Path) -> Path:
        """Condition numbers and the bound of the Hessian along the measurements, as an image file."""
        from samplers.smoothing.figure import concavity_figure

        unit = self.sigma if isinstance(self.noise, IsotropicNoise) else 1.0
        variances = torch.linalg.eigvalsh(self.covariance)
        title = f"{self.target}: $\\sigma$ = {self.sigma:.4g}, m = {self.m}"
        return concavity_figure(
            path, variances.clamp_min(0), unit, self.m, radius=self.spread.radius, tau=self.spread.tau, title=title
        )


def plan(
    target: Target,
    *,
    tolerance: float | None = None,
    jump: Jump = "posterior",
    noise: Literal["isotropic", "mrf"] | Tensor | Noise = "isotropic",
    seed: int = 0,
) -> Plan:
    """Noise and number of measurements for walk-jump and multimeasurement sampling.

    jump: "posterior", X is drawn given the measurements, or "mean", with W2 at most `tolerance`, by default 0.05 of
    the root mean square distance of X from its mean. noise: "isotropic", of which sigma is chosen; a covariance
    (dim, dim), variances (dim,) or a targets.Noise, for which m alone is; "mrf", of the shape of a PairwiseMRF.
    The target's spread is known for Gaussians, mixtures of Gaussians and spins, else estimated from exact draws or by a
    pilot run of SMC with that seed, whose warnings become part of the text.
    """
    if jump not in get_args(Jump):
        raise ValueError(f"jump: got {jump!r}, expected 'posterior' or 'mean'")
    if tolerance is not None and (jump != "mean" or not tolerance > 0):
        raise ValueError(f"tolerance: got {tolerance!r}, expected a positive distance, for jump='mean' alone")
    bare = inner(target)
    if isinstance(noise, str):
        if noise == "mrf":
            return _shaped(bare, jump, tolerance)
        if noise != "isotropic":
            raise ValueError(f"noise: got {noise!r}, expected 'isotropic', 'mrf', a covariance or a targets.Noise")
        return _isotropic(bare, jump, tolerance, seed)
    return _given(bare, as_noise(noise, bare.dim), jump, tolerance, seed)


def _spread(target: Target, whiten: Tensor | None, seed: int) -> Spread:
    if isinstance(target, DiscreteTarget):
        return of_spins(target)
    return in_closed_form(target, whiten, seed) or from_draws(target, whiten, seed)


def _isotropic(target: Target, jump: Jump, tolerance: float | None, seed: int) -> Plan:
    spread = _spread(target, None, seed)
    least, bound = spread.concave_from, threshold(spread.radius, spread.tau)
    largest = math.sqrt(float(torch.linalg.eigvalsh(spread.covariance)[-1]))
    balanced = math.sqrt(largest * spread.finest)
    sigma = max(least, balanced)
    if least == 0:
        which = f"Y is log-concave whatever the noise; sigma = {sigma:.4g} is the geometric mean of the largest and "
        which += "the smallest standard deviation, at which neither the condition number of Y nor m is large."
    else:
        which = f"so Y = X + sigma * noise is log-concave from sigma = {bound:.4g} on"
        if spread.probed:
            which += f", and as far as draws tell already from {least:.4g} on"
        if sigma == least:
            which += ", which is taken."
        else:
            which += f"; sigma = {sigma:.4g}, the geometric mean of the largest and the smallest standard deviation, "
            which += "is better conditioned."
    m, why = _measurements(sigma, spread, target.dim, jump, tolerance)
    sentences = [f"{spread.origin}{';' if least == 0 else ','} {which}", why, _conditioning(spread, sigma, m)]
    return _made(target, sigma, m, IsotropicNoise(sigma), spread, jump, tolerance, sentences)


def _given(target: Target, noise: Noise, jump: Jump, tolerance: float | None, seed: int) -> Plan:
    covariance = noise.covariance(target.dim).cpu()
    whiten = torch.linalg.inv(torch.linalg.cholesky(covariance))
    sigma = math.sqrt(float(covariance.diagonal().mean()))
    if isinstance(target, DiscreteTarget):
        raise ValueError(f"noise: got {noise}, expected 'isotropic' or 'mrf' on the discrete {target.name}")
    spread = _spread(target, whiten, seed)
    first = log_concave_from(1.0, spread.radius, spread.tau)
    words = f"{spread.origin}, in units of the noise given,"
    if first == 1:
        words += " so Y is log-concave from the first measurement on."
    else:
        later = "never" if first is None else f"only from measurement {first} on"
        words += (
            f" so Y is log-concave {later}: from the first on it would be with noise "
            f"{threshold(spread.radius, spread.tau):.4g} times as large."
        )
    m, why = _measurements(1.0, spread, target.dim, jump, tolerance, rms=sigma)
    return _made(target, sigma, m, noise, spread, jump, tolerance, [words, why])


def _shaped(target: Target, jump: Jump, tolerance: float | None) -> Plan:
    if not isinstance(target, PairwiseMRF):
        raise TypeError(f"noise: got 'mrf', expected a targets.PairwiseMRF as target, got {type(target).__name__}")
    noise = MRFNoise(target)
    spread = of_spins(target)
    sigma = math.sqrt(float(noise.covariance(target.dim).diagonal().mean()))
    concave = "is log-concave" if target.relaxed().log_concave else "is not log-concave"
    words = (
        f"Noise of the precision A = J + D has one measurement and nothing to choose: given y the spins are "
        f"independent and drawn exactly. The law of y {concave} (it is if A <= I)."
    )
    return _made(target, sigma, 1, noise, spread, jump, tolerance, [words])


def _measurements(
    sigma: float, spread: Spread, dim: int, jump: Jump, tolerance: float | None, rms: float = 1.0
) -> tuple[int, str]:
    """m and the reason; rms is the unit of sigma."""
    if jump == "posterior":
        wanted = math.ceil((sigma / spread.finest) ** 2 * (1 - 1e-9))
        m = min(max(wanted, FEWEST), MOST)
        left = rms * sigma / math.sqrt(m)
        words = f"m = {m} measurements, so that their mean has noise {left:.3g}"
        if wanted > MOST:
            return m, f"{words}: the most that are planned, {wanted} would reach the smallest standard deviation."
        return m, f"{words}, not above the smallest standard deviation {rms * spread.finest:.3g} of X anywhere."
    wished = _tolerance(spread, tolerance)
    m = measurements_for(wished / rms, sigma, dim, spread.finest)
    error = rms * jump_error(sigma, m, dim, spread.finest)
    share = "" if tolerance is not None else f", {TOLERANCE:g} of the target's root mean square radius"
    return m, f"m = {m}, from which on the law of mean jumps is within W2 = {error:.3g} of the target's{share}."


def _tolerance(spread: Spread, tolerance: float | None) -> float:
    return TOLERANCE * math.sqrt(float(spread.covariance.trace())) if tolerance is None else tolerance


def _conditioning(spread: Spread, sigma: float, m: int) -> str:
    variances = torch.linalg.eigvalsh(spread.covariance).clamp_min(0)
    return (
        f"For a Gaussian of the same covariance the condition numbers are "
        f"{sequential_condition_number(variances, sigma, 1):.3g} for the first measurement, "
        f"{sequential_condition_number(variances, sigma, m):.3g} for the last given the others, and "
        f"{joint_condition_number(variances, sigma, m):.3g} for all at once."
    )


def _made(
    target: Target,
    sigma: float,
    m: int,
    noise: Noise,
    spread: Spread,
    jump: Jump,
    tolerance: float | None,
    sentences: list[str],
) -> Plan:
    if spread.cost.score:
        sentences.append(f"Finding this out took {spread.cost.log_prob} log-densities and {spread.cost.score} scores.")
    sentences += [f"The pilot warned: {remark}" for remark in spread.remarks]
    return Plan(sigma, m, noise, spread, jump, _tolerance(spread, tolerance), target.name, tuple(sentences))
