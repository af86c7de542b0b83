"""Everything that quadrature tells of a target in one or two dimensions, or a refusal that says why."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from targets.base import Target
from targets.panels import MOST_BOXES, Panels, Values
from targets.peaks import Peaks, find
from targets.shares import Shares, of

OF_MOMENTS = 100.0  # their tolerance, in standard deviations, over that of log Z
ATTEMPTS = 4  # with boxes half as wide
AGAIN = 4  # times that a point higher than all that were known may be found
HIGHER = 30.0  # nats: sums over points so much higher have too few digits
STATED = 1e-5  # by which a log Z that the target states may differ, relative to Z
TOGETHER = 256  # scalars refined for at once; others must do with the boxes that are there


class _Higher(Exception):
    """A point (dim,) that is much higher than all that were known."""


class Density:
    """The log-density as a function of arrays (n, dim), in float64: -inf where it is NaN, as samplers reject such points."""

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
    """What was found. known: tensors-to-be by name; moments: (mean, sd) by variable; left_out: why what is not known."""

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
    raise ValueError(f"target: higher and higher points of {target.name} are found, lastly at x = {starts[-1].tolist()}")


def _once(
    density: Density, target: Target, given: np.ndarray | None, starts: np.ndarray, tolerance: float
) -> Integrated:
    try:
        scan, peaks = find(density, starts)
    except LookupError:
        raise ValueError(
            f"target: no point with a finite density of {target.name} was found; name one in modes="
        ) from None
    density.limit = float(peaks.value.max()) + HIGHER
    coarse = Panels.around(density, scan, float(peaks.value.max()), peaks.at, peaks.width)
    for attempt in range(ATTEMPTS):
        left = coarse.resolve(0.5 * tolerance, scan)
        if not left <= tolerance:
            raise ValueError(_refusal(density, coarse, left, tolerance))
        quantities = _Quantities(target, coarse, OF_MOMENTS * tolerance)
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
    elif shares.error > OF_MOMENTS * tolerance:
        quantities.left_out["mode_weights"] = f"two resolutions differ by {shares.error:.1e}"
    return Integrated(
        fine,
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
    if len(panels.low) >= MOST_BOXES[panels.dim] // 2:
        why = f"{len(panels.low)} boxes do not resolve it: jumps, kinks or noise along a line, or very many ridges"
    elif share > tolerance:
        why = (
            f"{min(share, 1.0):.2g} of the mass found lies further out than 1e9 spreads: it is not normalisable, or its "
            "tails are too heavy; check its prior"
        )
    else:
        why = "it has jumps, kinks or noise"
    if density.not_a_number:
        why += f"; it was NaN at {density.not_a_number} of {density.evaluations} points"
    return f"target: the integral of {density.name} is uncertain by {left:.1e} of Z, expected {tolerance:.0e}: {why}"


class _Quantities:
    """Means and covariances, of x and of the named scalars, refined for on coarse panels and taken on fine ones."""

    def __init__(self, target: Target, coarse: Panels, tolerance: float) -> None:
        self.target, self.tolerance = target, tolerance
        self.left_out: dict[str, str] = {}
        self.mean: np.ndarray | None = None
        self.covariance: np.ndarray | None = None
        self.moments: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.error = 0.0
        self.shapes = {} if set(target.variables) == {"x"} else {n: v.shape for n, v in target.variables.items()}
        self.left: dict[str, np.ndarray] = {}
        self.first: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, g in self._all().items():
            mean, sd = self._rough(coarse, g, self._size(name))
            usable = np.flatnonzero(np.isfinite(mean) & np.isfinite(sd) & (sd > 0))[:TOGETHER]

            def weigh(x: np.ndarray) -> np.ndarray:
                with np.errstate(over="ignore", invalid="ignore"):
                    return np.asarray((((g(x) - mean[:, None]) / sd[:, None])[usable]) ** 2)

            left = np.zeros(len(mean))
            if len(usable):
                left[usable] = coarse.refine(tolerance, weigh)[1:]
            self.left[name] = left
        self.first = {n: self._centred(coarse, n, g) for n, g in self._all().items()}

    def _all(self) -> dict[str, Values]:
        return {"": lambda x: x.T} | ({"constrain": self._named} if self.shapes else {})

    def _size(self, name: str) -> int:
        return self.target.dim if name == "" else sum(math.prod(shape) for shape in self.shapes.values())

    @torch.no_grad()
    def _named(self, x: np.ndarray) -> np.ndarray:
        inner = self.target.to(dtype=torch.float64)
        values = inner.constrain(torch.from_numpy(x).to(inner.device))
        return np.concatenate([values[n].double().reshape(len(x), -1).cpu().numpy().T for n in self.shapes])

    def _rough(self, panels: Panels, g: Values, size: int) -> tuple[np.ndarray, np.ndarray]:
        mean = panels.expectation(g, size)
        return mean, np.sqrt(panels.expectation(lambda x: (g(x) - mean[:, None]) ** 2, size))

    def _centred(self, panels: Panels, name: str, g: Values) -> tuple[np.ndarray, np.ndarray]:
        """Mean, and the covariance of x or the standard deviations of named scalars."""
        size = self._size(name)
        mean, sd = self._rough(panels, g, size)
        if name:
            return mean, sd
        away = mean[:, None]
        pairs = panels.expectation(lambda x: (g(x) - away)[:, None] * (g(x) - away), size * size)
        return mean, pairs

    def finish(self, fine: Panels) -> None:
        """Take them on fine panels, and leave out what two resolutions do not agree on."""
        for name, g in self._all().items():
            mean, second = self._centred(fine, name, g)
            before_mean, before = self.first[name]
            sd, before_sd = (np.sqrt(np.diag(m)) if name == "" else m for m in (second, before))
            with np.errstate(divide="ignore", invalid="ignore"):
                off = np.where(sd > 0, np.maximum(np.abs(mean - before_mean), np.abs(sd - before_sd)) / sd, 0.0)
            off = np.where(np.isfinite(mean) & np.isfinite(sd), np.maximum(off, self.left[name] * 0), np.inf)
            bad = ~(off <= self.tolerance) | ~(self.left[name] <= self.tolerance)
            if name == "":
                if bad.any():
                    said = self._why(mean[bad], off[bad], self.left[name][bad])
                    self.left_out |= dict.fromkeys(("mean", "covariance", *([] if self.shapes else ["moments"])), said)
                    continue
                self.mean, self.covariance = mean, second
                self.error = max(self.error, float(off.max()))
                if not self.shapes:
                    self.moments["x"] = (mean, sd)
                continue
            at = 0
            for key, shape in self.shapes.items():
                own = slice(at, at := at + math.prod(shape))
                if bad[own].any():
                    rows = np.flatnonzero(bad[own])
                    said = self._why(mean[own][rows], off[own][rows], self.left[name][own][rows])
                    self.left_out[key] = said
                    continue
                self.moments[key] = (mean[own].reshape(shape), sd[own].reshape(shape))
                self.error = max(self.error, float(off[own].max(initial=0.0)))

    def _why(self, mean: np.ndarray, off: np.ndarray, left: np.ndarray) -> str:
        if not np.isfinite(mean).all():
            return "it is not finite everywhere"
        uncertain = max(float(off.max()), float(left.max()))
        return f"its mean or variance does not converge (uncertain by {uncertain:.1e} of itself): it may not exist"
