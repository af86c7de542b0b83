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
from typing import Literal

import torch
from torch import Generator, Tensor

from samplers.draws import Cost
from samplers.smoothing.concavity import (
    joint_condition_number,
    jump_error,
    log_concave_from,
    measurements_for,
    sequential_condition_number,
    threshold,
)
from samplers.smoothing.jump import Jump, check_jump
from samplers.smoothing.noise import check_noise, random_field
from samplers.smoothing.pilot import from_draws
from samplers.smoothing.spread import Spread, in_closed_form, of_spins
from targets import Gaussian, Noise, Target
from targets.arguments import shown
from targets.counting import plain
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

    def gaussian(self, target: Target) -> Gaussian:
        """That of this centre and covariance, on the target's device and in its dtype."""
        covariance = self.covariance.to(device=target.device, dtype=torch.float64)
        return Gaussian(self.center.to(covariance), covariance=covariance).to(dtype=target.dtype)

    def starts(self, n: int, target: Target, generator: Generator) -> Tensor:
        """Where chains start, (n, dim): draws of the pilot run, or of that Gaussian where there was none."""
        if self.spread.draws is None:
            return self.gaussian(target).sample(n, generator=generator)
        which = torch.randint(len(self.spread.draws), (n,), generator=generator, device=target.device)
        return self.spread.draws.to(device=target.device, dtype=target.dtype)[which]

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
        title = f"{self.target}: $\\sigma$ = {self.sigma:.4g}, m = {self.m}"
        return concavity_figure(path, self.spread, unit, self.m, title)


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
    check_jump(jump)
    check_noise(noise, None, shaped=True)
    if tolerance is not None and (jump != "mean" or not tolerance > 0):
        raise ValueError(f"tolerance: got {shown(tolerance)}, expected a positive distance, for jump='mean' alone")
    planner = _Planner(plain(target), jump, tolerance, seed)
    if not isinstance(noise, str):
        return planner.given(as_noise(noise, target.dim))
    return planner.shaped() if noise == "mrf" else planner.isotropic()


@dataclass(frozen=True)
class _Planner:
    """The arguments of `plan`, and the choice for each kind of noise."""

    target: Target
    jump: Jump
    tolerance: float | None
    seed: int

    def isotropic(self) -> Plan:
        spread = self._spread(None)
        least, bound = spread.concave_from, threshold(spread.radius, spread.tau)
        balanced = math.sqrt(math.sqrt(float(spread.variances[-1])) * spread.finest)
        sigma = max(least, balanced)
        middle = "the geometric mean of the largest and the smallest standard deviation"
        if least == 0:
            which = f"; Y is log-concave whatever the noise; sigma = {sigma:.4g} is {middle}, at which neither the "
            which += "condition number of Y nor m is large."
        else:
            which = f", so Y = X + sigma * noise is log-concave from sigma = {bound:.4g} on"
            which += f", and as far as draws tell already from {least:.4g} on" if spread.probed else ""
            better = f"; sigma = {sigma:.4g}, {middle}, is better conditioned."
            which += ", which is taken." if sigma == least else better
        m, why = self._measurements(sigma, spread)
        sentences = [f"{spread.origin}{which}", why, _conditioning(spread, sigma, m)]
        return self._made(sigma, m, IsotropicNoise(sigma), spread, sentences)

    def given(self, noise: Noise) -> Plan:
        covariance = noise.covariance(self.target.dim).cpu()
        whiten = torch.linalg.inv(torch.linalg.cholesky(covariance))
        sigma = math.sqrt(float(covariance.diagonal().mean()))
        if isinstance(self.target, DiscreteTarget):
            raise ValueError(f"noise: got {noise}, expected 'isotropic' or 'mrf' on the discrete {self.target.name}")
        spread = self._spread(whiten)
        first, since = log_concave_from(1.0, spread.radius, spread.tau), "from the first measurement on."
        if first != 1:
            since = "never" if first is None else f"only from measurement {first} on"
            wanted = threshold(spread.radius, spread.tau)
            since += f": from the first on it would be with noise {wanted:.4g} times as large."
        words = f"{spread.origin}, in units of the noise given, so Y is log-concave {since}"
        m, why = self._measurements(1.0, spread, unit=sigma)
        return self._made(sigma, m, noise, spread, [words, why])

    def shaped(self) -> Plan:
        field = random_field(self.target)
        noise = MRFNoise(field)
        sigma = math.sqrt(float(noise.covariance(field.dim).diagonal().mean()))
        concave = "is log-concave" if field.relaxed().log_concave else "is not log-concave"
        words = (
            f"Noise of the precision A = J + D has one measurement and nothing to choose: given y the spins are "
            f"independent and drawn exactly. The law of y {concave} (it is if A <= I)."
        )
        return self._made(sigma, 1, noise, of_spins(field), [words])

    def _spread(self, whiten: Tensor | None) -> Spread:
        if isinstance(self.target, DiscreteTarget):
            return of_spins(self.target)
        return in_closed_form(self.target, whiten, self.seed) or from_draws(self.target, whiten, self.seed)

    def _measurements(self, sigma: float, spread: Spread, unit: float = 1.0) -> tuple[int, str]:
        """m and the reason; sigma and the spread are in that unit."""
        if self.jump == "posterior":
            wanted = math.ceil((sigma / spread.finest) ** 2 * (1 - 1e-9))
            m = min(max(wanted, FEWEST), MOST)
            words = f"m = {m} measurements, so that their mean has noise {unit * sigma / math.sqrt(m):.3g}"
            if wanted > MOST:
                return m, f"{words}: the most that are planned, {wanted} would reach the smallest standard deviation."
            return m, f"{words}, not above the smallest standard deviation {unit * spread.finest:.3g} of X anywhere."
        dim = self.target.dim
        m = measurements_for(self._wished(spread) / unit, sigma, dim, spread.finest)
        error = unit * jump_error(sigma, m, dim, spread.finest)
        share = "" if self.tolerance is not None else f", {TOLERANCE:g} of the target's root mean square radius"
        return m, f"m = {m}, from which on the law of mean jumps is within W2 = {error:.3g} of the target's{share}."

    def _wished(self, spread: Spread) -> float:
        """The tolerance, in the unit of X."""
        return TOLERANCE * math.sqrt(float(spread.covariance.trace())) if self.tolerance is None else self.tolerance

    def _made(self, sigma: float, m: int, noise: Noise, spread: Spread, sentences: list[str]) -> Plan:
        cost = spread.cost
        if cost.score:
            sentences.append(f"Finding this out took {cost.log_prob} log-densities and {cost.score} scores.")
        sentences += [f"The pilot warned: {remark}" for remark in spread.remarks]
        return Plan(sigma, m, noise, spread, self.jump, self._wished(spread), self.target.name, tuple(sentences))


def _conditioning(spread: Spread, sigma: float, m: int) -> str:
    variances = spread.variances
    one, last = (sequential_condition_number(variances, sigma, k) for k in (1, m))
    return (
        f"For a Gaussian of the same covariance the condition numbers are {one:.3g} for the first measurement, "
        f"{last:.3g} for the last given the others, and {joint_condition_number(variances, sigma, m):.3g} for all at "
        "once."
    )
