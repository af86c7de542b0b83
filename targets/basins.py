"""Which mode of the plane each point climbs to: steepest ascent from node to node of a scan.

Of maxima that are unlike a parabola, flat on top or along a ring. A point belongs to the mode that the path from its
nearest node ends at; paths that end at another maximum go on to the mode it is connected with
by a level PROMINENT below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from targets.frame import Scan

MOST_LEVELS, FINE = 100, 0.02  # levels of log p at which paths end, in steps of so many nats
MOST_FALL = 1e3  # nats
ACCURATE = 1e-3  # what the weights of basins may be uncertain by


@dataclass(frozen=True)
class Basins:
    """label: of the mode that each node of a scan belongs to, (n, n); uncertain: the mass of nodes beside another's."""

    scan: Scan
    label: np.ndarray
    uncertain: float

    def __call__(self, x: np.ndarray, modes: int) -> np.ndarray:
        """One for the mode that a point belongs to, (n, 2) -> (modes, n)."""
        return (np.arange(modes)[:, None] == self.label[_nodes(self.scan, x)]).astype(float)


def basins(scan: Scan, at: np.ndarray, prominent: float) -> Basins | None:
    """Of modes (k, 2); None where paths end at too many levels, or no mode is connected with one."""
    n = len(scan.value)
    best, ahead = scan.value.copy(), np.arange(n * n).reshape(n, n)
    number = ahead.copy()
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            here = slice(max(0, -i), n - max(0, i)), slice(max(0, -j), n - max(0, j))
            there = slice(max(0, i), n - max(0, -i)), slice(max(0, j), n - max(0, -j))
            higher = scan.value[there] > best[here]
            best[here] = np.where(higher, scan.value[there], best[here])
            ahead[here] = np.where(higher, number[there], ahead[here])
    path = ahead.ravel()
    while not np.array_equal(path, path[path]):
        path = path[path]
    mass = np.exp(scan.log_mass - scan.log_mass.max()).ravel()
    heavy = np.bincount(path, mass, n * n)
    ends = np.flatnonzero(heavy > 1e-9 * heavy.sum())
    level = np.floor(scan.value.ravel()[ends] / FINE) * FINE
    owner = np.zeros(n * n, int)
    if len(np.unique(level)) > MOST_LEVELS:
        return None
    for one in np.unique(level):
        found = _connected(scan, ends[level == one], at, one, prominent)
        if found is None:
            return None
        owner[ends[level == one]] = found
    label = owner[path].reshape(n, n)
    beside = np.zeros((n, n), bool)
    across, along = np.diff(label, axis=0) != 0, np.diff(label, axis=1) != 0
    beside[1:] |= across
    beside[:-1] |= across
    beside[:, 1:] |= along
    beside[:, :-1] |= along
    return Basins(scan, label, float(mass[beside.ravel()].sum() / mass.sum()))


def _connected(scan: Scan, ends: np.ndarray, at: np.ndarray, level: float, prominent: float) -> np.ndarray | None:
    """The modes whose nodes are reached from the ends of paths, all at one level, with the least fall; the nearest."""
    from scipy import ndimage

    own, modes = np.stack(np.unravel_index(ends, scan.value.shape)), np.stack(_nodes(scan, at))
    away = ((own[:, :, None] - modes[:, None]) ** 2).sum(0).astype(float)  # (ends, modes)
    found = np.full(len(ends), -1)
    fall = prominent
    while fall < MOST_FALL:
        labels, _ = ndimage.label(scan.value >= level - fall, structure=np.ones((3, 3)))
        joined = labels[tuple(own)][:, None] == labels[tuple(modes)]
        joined &= labels[tuple(modes)] != 0
        new = joined.any(1) & (found < 0)
        found[new] = np.where(joined, away, np.inf)[new].argmin(1)
        if (found >= 0).all():
            return found
        fall *= 2
    return None


def _nodes(scan: Scan, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(scan.value)
    where = ((scan.frame.t(x) + 1) / 2 * n).astype(int).clip(0, n - 1)
    return where[:, 0], where[:, 1]
