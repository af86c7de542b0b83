"""The modes of a density in one or two dimensions, which part of the space is each one's, and how much of the mass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from targets.basins import Basins, basins
from targets.frame import Scan, Values
from targets.panels import Panels
from targets.peaks import Peaks, climbed, polished, widths

MOST = 32
LEAST = 1e-6  # of the mass: a maximum with less is not counted
PROMINENT = 0.1  # nats that f must fall from a maximum before a higher one is reached
ALIKE = 3.0  # times that the fall of f may differ from that of the parabola that touches it, PROMINENT below the top
SEGMENT = 2001


@dataclass(frozen=True)
class Shares:
    """Modes (k, dim), the one with most mass first, their weights (k,), and what these are uncertain by.

    cuts: on the line, where the part of one mode ends and that of the next begins, (k - 1,). value, curvature: in the
    plane, of log p at each mode, (k,) and (k, 2, 2); parts: in place of curvature, where a mode is unlike a parabola.
    """

    modes: np.ndarray
    weights: np.ndarray
    error: float
    value: np.ndarray
    cuts: np.ndarray | None = None
    curvature: np.ndarray | None = None
    parts: Basins | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The share of each mode at each point, (n, dim) -> (k, n)."""
        if self.cuts is not None:
            order = np.argsort(self.modes[:, 0])
            own = order[np.searchsorted(self.cuts, x[:, 0], side="right")]
            return (np.arange(len(self.modes))[:, None] == own).astype(float)
        if self.parts is not None:
            return self.parts(x, len(self.modes))
        assert self.curvature is not None
        return _shares(x, self.modes, self.value, self.curvature)


def of(f: Values, coarse: Panels, fine: Panels, scan: Scan, peaks: Peaks, given: np.ndarray | None) -> Shares | str:
    """The shares of the modes, or why they are not stated; given: points near those that count, None for all.

    The weights are those of the fine panels, and their error is the difference of the two.
    """
    peaks = peaks if given is None else polished(f, climbed(f, given, scan.spacing(given)))
    at, value = _different(f, peaks.at, peaks.value, scan if given is None else None)
    if len(at) > MOST:
        return (
            f"there are more than {MOST} maxima, the highest at x = {at[0].tolist()}, where log p is {value[0]:.6g}; "
            "points in modes= (of with_truth or LogDensity) name those that are to be counted"
        )
    found = _made(f, coarse, fine, scan, at, value)
    if isinstance(found, str) or (found.weights >= LEAST).all():
        return found
    kept = found.weights >= LEAST
    return _made(f, coarse, fine, scan, found.modes[kept], found.value[kept])


def _made(f: Values, coarse: Panels, fine: Panels, scan: Scan, at: np.ndarray, value: np.ndarray) -> Shares | str:
    dim, k = at.shape[1], len(at)
    if k == 1:
        return Shares(at, np.ones(1), 0.0, value, cuts=np.empty(0))
    if dim == 1:
        order = np.argsort(at[:, 0])
        at, value = at[order], value[order]
        cuts = np.array([_lowest(f, a, b) for a, b in zip(at[:-1, 0], at[1:, 0], strict=True)])
        both = [np.diff(panels.cumulative(cuts), prepend=0.0, append=1.0) for panels in (coarse, fine)]
        first = np.argsort(-both[1], kind="stable")
        return Shares(at[first], both[1][first], float(np.abs(both[0] - both[1]).max()), value[first], cuts)
    curvature = _curvature(f, at, value)
    if isinstance(curvature, str):
        parts = basins(scan, at, PROMINENT)
        return curvature if parts is None else _of_basins(parts, coarse, fine, at, value)
    own = [panels.expectation(lambda x: _shares(x, at, value, curvature), k) for panels in (coarse, fine)]
    first = np.argsort(-own[1], kind="stable")
    error = float(np.abs(own[0] - own[1]).max())
    return Shares(at[first], own[1][first], error, value[first], curvature=curvature[first])


def _of_basins(parts: Basins, coarse: Panels, fine: Panels, at: np.ndarray, value: np.ndarray) -> Shares:
    own = [panels.expectation(lambda x: parts(x, len(at)), len(at)) for panels in (coarse, fine)]
    error = float(np.abs(own[0] - own[1]).max()) + parts.uncertain
    first = np.argsort(-own[1], kind="stable")
    parts = replace(parts, label=np.argsort(first)[parts.label])
    return Shares(at[first], own[1][first], error, value[first], parts=parts)


def _shares(x: np.ndarray, at: np.ndarray, value: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    from scipy import special

    away = x - at[:, None]
    return np.asarray(special.softmax(value[:, None] - 0.5 * np.einsum("kni,kij,knj->kn", away, curvature, away), 0))


def _different(f: Values, at: np.ndarray, value: np.ndarray, scan: Scan | None) -> tuple[np.ndarray, np.ndarray]:
    """Without those from which a higher one is reached with hardly a fall, straight on or along the scanned nodes."""
    kept: list[int] = []
    for i in range(len(at)):
        if not any(_joined(f, at[i], at[j], value[i]) for j in kept) and not _reaches(scan, at[i], at[kept], value[i]):
            kept.append(i)
    return at[kept], value[kept]


def _joined(f: Values, a: np.ndarray, b: np.ndarray, lower: float) -> bool:
    line = a + np.linspace(0, 1, 129)[:, None] * (b - a)
    return bool(f(line).min() >= lower - PROMINENT)


def _reaches(scan: Scan | None, a: np.ndarray, higher: np.ndarray, lower: float) -> bool:
    """Whether nodes above a level connect a point of the plane with any of the higher ones."""
    from scipy import ndimage

    if scan is None or len(higher) == 0 or len(a) == 1:
        return False
    labels, _ = ndimage.label(scan.value >= lower - PROMINENT, structure=np.ones((3, 3)))
    n = len(scan.value)
    where = ((scan.frame.t(np.concatenate([a[None], higher])) + 1) / 2 * n).astype(int).clip(0, n - 1)
    own, *others = labels[where[:, 0], where[:, 1]]
    return bool(own != 0 and own in others)


def _lowest(f: Values, a: float, b: float) -> float:
    """Where f is lowest between two modes of the line."""
    from scipy import optimize

    line = np.linspace(a, b, SEGMENT)
    value = f(line[:, None])
    low = np.flatnonzero(value == value.min())
    i = int(low[len(low) // 2])
    if np.isneginf(value[i]) or not 0 < i < SEGMENT - 1:
        return float(line[i])
    found = optimize.minimize_scalar(
        lambda x: float(f(np.array([[x]]))[0]), bounds=(line[i - 1], line[i + 1]), method="bounded"
    )
    return float(found.x)


def _curvature(f: Values, at: np.ndarray, value: np.ndarray) -> np.ndarray | str:
    """-Hessians (k, 2, 2) of f at maxima of the plane, by differences; or which of them says little of f around it."""
    found = np.empty((len(at), 2, 2))
    for i, (x, h, top) in enumerate(zip(at, widths(f, at, value) / 16, value, strict=True)):
        if not np.isfinite(h).all():
            return _unlike(x, top, "log p does not fall around it")
        signs = np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]], dtype=float)
        right, left, up, down, *corners = f(x + signs * h) - top
        mixed = (corners[0] + corners[1] - corners[2] - corners[3]) / 4
        found[i] = -np.array([[right + left, mixed], [mixed, up + down]]) / np.outer(h, h)
        if not np.isfinite(found[i]).all():
            return _unlike(x, top, "the density is zero beside it")
        scaled, vectors = np.linalg.eigh(found[i])
        if scaled[0] <= 0:
            return _unlike(x, top, "log p does not curve down in every direction there, as along a ridge or a ring")
        steps = vectors.T * np.sqrt(2 * PROMINENT / scaled)[:, None]
        fall = top - f(np.concatenate([x + steps, x - steps]))
        if not ((fall > PROMINENT / ALIKE) & (fall < PROMINENT * ALIKE)).all():
            return _unlike(x, top, "log p around it is unlike the parabola that touches it, as where it is flat on top")
    return found


def _unlike(x: np.ndarray, top: float, why: str) -> str:
    """Which maximum has no share by its parabola, and what a user may do."""
    at = ", ".join(f"{one:.6g}" for one in x)
    return (
        f"of the maximum at x = ({at}), where log p is {top:.6g}, no parabola tells which points are its own: {why}. "
        "Points in modes= (of with_truth or LogDensity) name the maxima that are to be counted"
    )
