"""Where the mass of a density in one or two dimensions lies: scans of the whole line or plane, and climbs from them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from targets.frame import Frame, Scan, Values

SCANS = {1: (4096, 16_384, 131_072), 2: (256, 512, 1024)}  # nodes an axis, each scan in the frame that the last found
MOST = 64  # peaks that are followed
CLIMB = 200
FURTHEST = 1e25  # where a climb ends that has no end
FALL = 0.5  # of the log-density, at the distance that is called a width
EDGES = (0.025, 0.975)
CORRELATED = 0.3  # below it axes are left alone: cuts and edges along them stay so


class Unbounded(Exception):
    """The density grows without end towards a point (dim,)."""


@dataclass(frozen=True)
class Peaks:
    """Points (k, dim), the highest first; log-densities (k,); widths (k, dim): where f has fallen by a half."""

    at: np.ndarray
    value: np.ndarray
    width: np.ndarray


def find(f: Values, starts: np.ndarray) -> tuple[Scan, Peaks]:
    """The last of three scans, in whose frame the mass is of unit size, and the peaks that they and starts lead to.

    LookupError where no finite log-density is found, Unbounded where climbs have no end.
    """
    dim = starts.shape[1]
    frame = Frame(np.median(starts, 0), np.eye(dim))
    points, steps = starts, np.full(starts.shape, 1e-2)
    peaks = None
    for n in SCANS[dim]:
        scan = Scan.of(f, frame, n)
        high = _local_maxima(scan.value)
        points = np.concatenate([points, scan.x[high]])
        steps = np.concatenate([steps, scan.spacing(scan.x[high])])
        points, steps = _sound(f, points, steps)
        if len(points) == 0:
            continue
        peaks = climbed(f, points, steps)
        if not (np.abs(peaks.at).max() < FURTHEST and np.isfinite(peaks.value).all()):
            raise Unbounded(peaks.at[0])
        frame = _frame(scan, peaks)
        points, steps = peaks.at, np.where(np.isfinite(peaks.width), peaks.width, 1.0)
    if peaks is None:
        raise LookupError("no point with a finite log-density")
    return scan, polished(f, peaks)


def _local_maxima(value: np.ndarray) -> np.ndarray:
    """Flat indices of the highest nodes that no neighbour exceeds."""
    from scipy import ndimage

    top = ndimage.maximum_filter(value, size=3, mode="nearest")
    at = np.flatnonzero((value >= top) & np.isfinite(value))
    return np.asarray(at[np.argsort(-value.ravel()[at], kind="stable")[:MOST]])


def _sound(f: Values, points: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sound = np.isfinite(f(points))
    return points[sound], steps[sound]


def climbed(f: Values, points: np.ndarray, steps: np.ndarray) -> Peaks:
    """Peaks above the points, by a compass search that is run for all of them at once."""
    value, steps = f(points), steps.copy()
    around = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=points.shape[1])))
    around = around[np.abs(around).sum(1) > 0]
    for _ in range(CLIMB):
        if (steps <= 1e-13 * (1 + np.abs(points))).all():
            break
        tried = points[:, None] + around * steps[:, None]
        found = f(tried.reshape(-1, points.shape[1])).reshape(len(points), -1)
        best = found.argmax(1)
        rows = np.arange(len(points))
        better = found[rows, best] > value
        points = np.where(better[:, None], tried[rows, best], points)
        value = np.where(better, found[rows, best], value)
        steps *= np.where(better, 2.0, 0.5)[:, None]
    return _distinct(points, value, widths(f, points, value))


def polished(f: Values, peaks: Peaks) -> Peaks:
    """The same peaks, their tops found more exactly, and without those that have one top."""
    at, value = _polished(f, peaks)
    return _distinct(at, value, widths(f, at, value))


def _polished(f: Values, peaks: Peaks) -> tuple[np.ndarray, np.ndarray]:
    """The same by Nelder and Mead's search in units of the widths, which follows ridges that bend."""
    from scipy import optimize

    at = np.empty_like(peaks.at)
    size = np.where(np.isfinite(peaks.width), peaks.width, 1.0)
    for i, (x, s) in enumerate(zip(peaks.at, size, strict=True)):
        simplex = np.concatenate([np.zeros((1, len(x))), 0.5 * np.eye(len(x))])
        options = {"xatol": 1e-8, "fatol": 1e-13, "maxiter": 400, "initial_simplex": simplex}
        at[i] = x + s * optimize.minimize(_height, simplex[0], (f, x, s), method="Nelder-Mead", options=options).x
    return at, f(at)


def _height(z: np.ndarray, f: Values, x: np.ndarray, s: np.ndarray) -> float:
    value = float(-f((x + s * z)[None])[0])
    return value if value < np.inf else 1e300


def widths(f: Values, points: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Where f has fallen by a half along each axis, on the side where it falls more slowly, (n, dim); inf: nowhere."""
    dim = points.shape[1]
    distance = 2.0 ** np.arange(-44, 40)
    found = np.full(points.shape, np.inf)
    for axis in range(dim):
        sides = []
        for sign in (-1.0, 1.0):
            shift = np.zeros((len(distance), dim))
            shift[:, axis] = sign * distance
            along = f((points[:, None] + shift).reshape(-1, dim)).reshape(len(points), -1)
            fallen = along < value[:, None] - FALL
            sides.append(np.where(fallen.any(1), distance[fallen.argmax(1)], np.inf))
        found[:, axis] = np.maximum(*sides)
    return found


def _distinct(at: np.ndarray, value: np.ndarray, width: np.ndarray) -> Peaks:
    """The highest first, without those that lie within a width of a higher one."""
    kept: list[int] = []
    for i in np.argsort(-value, kind="stable"):
        if all((np.abs(at[i] - at[j]) > np.minimum(width[i], width[j])).any() for j in kept):
            kept.append(int(i))
    kept = kept[:MOST]
    return Peaks(at[kept], value[kept], width[kept])


def _frame(scan: Scan, peaks: Peaks) -> Frame:
    """Centre and spread of the scanned nodes and of Gaussians at the peaks."""
    x, dim = scan.x, scan.x.shape[1]
    log_mass = scan.log_mass.ravel()
    wide = np.where(np.isfinite(peaks.width), peaks.width, 0.0)
    own = peaks.value + np.log(np.maximum(wide, 1e-300)).sum(1)
    corners = [peaks.at + sign * wide * np.eye(dim)[k] for k in range(dim) for sign in (-1, 1)]
    x = np.concatenate([x, *corners])
    log_mass = np.concatenate([log_mass, *[own] * (2 * dim)])
    finite = log_mass > log_mass[np.isfinite(log_mass)].max() - 25
    x, mass = x[finite], np.exp(log_mass[finite] - log_mass[finite].max())
    low, high, centre = np.empty(dim), np.empty(dim), np.empty(dim)
    for k in range(dim):
        order = x[:, k].argsort()
        share = mass[order].cumsum() / mass.sum()
        low[k], centre[k], high[k] = x[order, k][np.searchsorted(share, (EDGES[0], 0.5, EDGES[1])).clip(max=len(x) - 1)]
    least = np.array([column[column > 0].min(initial=1.0) for column in wide.T])
    scale = np.maximum((high - low) / 4, least)
    matrix = np.diag(scale)
    inside = ((x >= low) & (x <= high)).all(1)
    if dim == 2 and inside.sum() > 8:
        covariance = np.cov(x[inside].T, aweights=mass[inside])
        correlation = covariance[0, 1] / np.sqrt(max(covariance[0, 0] * covariance[1, 1], 1e-300))
        if abs(correlation) > CORRELATED:
            correlation = float(np.clip(correlation, -0.9999, 0.9999))
            matrix[1] = scale[1] * np.array([correlation, np.sqrt(1 - correlation**2)])
    return Frame(centre, matrix)
