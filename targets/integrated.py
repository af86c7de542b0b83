"""Everything that quadrature tells of a target in one or two dimensions, or a refusal that says why."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from targets.base import Target
from targets.basins import ACCURATE
from targets.panels import MOST_BOXES, MUCH, Panels
from targets.peaks import Unbounded, find
from targets.quantities import Quantities
from targets.shares import Shares, of

OF_MOMENTS = 100.0  # their tolerance, in standard deviations, over that of log Z
ATTEMPTS = 4  # with boxes half as wide
AGAIN = 4  # times that a point higher than all that were known may be found
HIGHER = 30.0  # nats: sums over points so much higher have too few digits
STATED = 1e-5  # by which a log Z that the target states may differ, relative to Z


class _Higher(Exception):
    """A point (dim,) that is much higher than all that were known."""


class Density:
    """The log-density of arrays (n, dim), in float64; -inf where it is NaN, as samplers reject such points."""

    def __init__(self, target: Target) -> None:
        self.name = target.name
        self.target = target.to(dtype=torch.float64)
        self.evaluations = self.not_a_number = 0
        self.limit = math.inf

    @torch.no_grad()
    def __call__(self, x: np.ndarray) -> np.ndarray:
        points = torch.from_numpy(np.ascontiguousarray(x)).to(self.target.device)
        try:
            found = self.target.log_prob(points)
        except (TypeError, RuntimeError) as error:
            error.add_note(f"{self.name} was evaluated in float64, which quadrature needs")
            raise
        value = np.asarray(found.double().cpu().numpy())
        self.evaluations += len(x)
        self.not_a_number += int(np.isnan(value).sum())
        if (value == np.inf).any():
            at = x[value == np.inf][0].tolist()
            raise ValueError(f"target: the density of {self.name} is infinite at x = {at}, expected a finite one")
        value = np.where(np.isnan(value), -np.inf, value)
        if len(value) and value.max() > self.limit:
            raise _Higher(x[value.argmax()])
        return value


@dataclass
class Integrated:
    """What was found. moments: (mean, sd) by variable; left_out: by name, why something is not stated."""

    panels: Panels
    log_z: float
    mean: np.ndarray | None
    covariance: np.ndarray | None
    moments: dict[str, tuple[np.ndarray, np.ndarray]]
    shares: Shares | None
    log_z_error: float
    moments_error: float
    draws_error: float
    evaluations: int
    not_a_number: int
    left_out: dict[str, str] = field(default_factory=dict)


def integrated(target: Target, given: np.ndarray | None, starts: np.ndarray, tolerance: float) -> Integrated:
    """By panels at two resolutions; given: points near the modes that count, starts: others to look from."""
    density = Density(target)
    for _ in range(AGAIN):
        try:
            return _once(density, target, given, starts, tolerance)
        except _Higher as higher:
            starts = np.concatenate([starts, higher.args[0][None]])
        density.limit = math.inf
    raise ValueError(
        f"target: higher and higher points of {target.name} are found, lastly at x = {starts[-1].tolist()}"
    )


def _once(
    density: Density, target: Target, given: np.ndarray | None, starts: np.ndarray, tolerance: float
) -> Integrated:
    try:
        scan, peaks = find(density, starts)
    except LookupError:
        raise ValueError(
            f"target: no point with a finite density of {target.name} was found; name one in modes="
        ) from None
    except Unbounded as further:
        raise ValueError(
            f"target: the density of {target.name} grows without end towards x = {further.args[0].tolist()}: it is not "
            "normalisable"
        ) from None
    density.limit = float(peaks.value.max()) + HIGHER
    coarse = Panels.around(density, scan, float(peaks.value.max()), peaks.at, peaks.width)
    for attempt in range(ATTEMPTS):
        left = coarse.resolve(0.5 * tolerance, scan)
        if not left <= tolerance:
            raise ValueError(_refusal(density, coarse, left, tolerance))
        quantities = Quantities(target, coarse, OF_MOMENTS * tolerance)
        fine = coarse.halved()
        apart = abs(fine.log_z - coarse.log_z)
        rest = fine.left(scan)
        if max(apart, rest) <= tolerance:
            break
        if attempt == ATTEMPTS - 1 or len(fine.low) > MOST_BOXES[fine.dim]:
            raise ValueError(_refusal(density, fine, max(apart, rest), tolerance))
        coarse = fine
    if "log_z" in target.known and not abs(target.log_z - fine.log_z) <= STATED:
        raise ValueError(
            f"target: {target.name} states a log Z of {target.log_z:.9g}, and by quadrature it is {fine.log_z:.9g}"
        )
    quantities.finish(fine)
    shares = of(density, coarse, fine, scan, peaks, given)
    if isinstance(shares, str):
        quantities.left_out["modes"] = quantities.left_out["mode_weights"] = shares
    elif shares.error > (OF_MOMENTS * tolerance if shares.parts is None else ACCURATE):
        quantities.left_out["mode_weights"] = f"two resolutions differ by {shares.error:.1e}"
    return Integrated(
        replace(fine, f=None),  # it is not evaluated again
        fine.log_z,
        quantities.mean,
        quantities.covariance,
        quantities.moments,
        None if isinstance(shares, str) else shares,
        max(apart, rest, np.finfo(float).eps * abs(fine.top)),
        quantities.error,
        rest,
        density.evaluations,
        density.not_a_number,
        quantities.left_out,
    )


def _refusal(density: Density, panels: Panels, left: float, tolerance: float) -> str:
    share = panels.at_the_ends()
    if share > MUCH or (share > tolerance and len(panels.low) < MOST_BOXES[panels.dim] // 2):
        why = (
            f"{min(share, 1.0):.2g} of the mass found lies beyond 1e9 spreads: it is not normalisable, or its tails "
            "are too heavy; check its prior"
        )
    elif len(panels.low) >= MOST_BOXES[panels.dim] // 2:
        why = f"{len(panels.low)} boxes do not resolve it: jumps, kinks or noise along a line, or very many ridges"
    else:
        why = "it has jumps, kinks or noise"
    if density.not_a_number:
        why += f"; it was NaN at {density.not_a_number} of {density.evaluations} points"
    if left == math.inf:
        return f"target: the integral of {density.name} is infinite or nearly so: {why}"
    return f"target: the integral of {density.name} is uncertain by {left:.1e} of Z, expected {tolerance:.0e}: {why}"
