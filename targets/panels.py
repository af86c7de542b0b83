"""Adaptive Gauss-Legendre panels on the whole line or plane: integrals, and draws by inversion.

The square of t (`targets.frame`) is cut into boxes. In each of them the density of t is a polynomial of degree 15 an
axis through the nodes of Gauss and Legendre; a box is halved along the axis on which its last coefficients are largest
until these are small, and until the polynomials meet points that were looked at for themselves.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.polynomial import legendre

from targets.frame import POINTS, Frame, Scan, Values
from targets.legendre import NODES, ORDER, WEIGHTS, antiderivative, coefficients, inverse

DEEPEST = 2.0**-41  # width of a box in t: beyond it the map has too few digits
MOST_BOXES = {1: 20_000, 2: 16_000}
FAR, MUCH = 1e-9, 0.01  # a box at infinity narrower than that; the mass there that is too much
LAST = 1 - 2.0**-50
RESOLVED = 4.0  # nodes of a scan in a peak's width
FACE = 0.01  # of a box: two layers, each between its outermost nodes and a face
REACH, WIDTH = 7.0, 2.0  # of a peak's width: how far around it boxes are made no wider than that


@dataclass
class Panels:
    """Boxes (n, dim) from low to high, and exp(f(x) - top) |dx / dt| at their nodes, (n, 16^dim).

    f maps (n, dim) to (n,); None where it is not to be evaluated any more.
    """

    f: Values | None
    frame: Frame
    top: float
    low: np.ndarray
    high: np.ndarray
    mass: np.ndarray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def around(cls, f: Values, scan: Scan, top: float, peaks: np.ndarray, widths: np.ndarray) -> Self:
        """Boxes that are fine around those peaks (k, dim) whose widths (k, dim) the scan does not resolve."""
        frame, dim = scan.frame, len(scan.frame.centre)
        narrow = (widths < RESOLVED * scan.spacing(peaks)).any(1)
        peaks, widths = peaks[narrow], np.minimum(widths[narrow], 1e100)
        corners = [np.array(corner) for corner in itertools.product(*[np.linspace(-1, 1, 5)[:-1]] * dim)]
        panels = cls(f, frame, top, np.array(corners), np.array(corners) + 0.5)
        ends = [frame.t(peaks + sign * REACH * widths) for sign in (-1, 1)]
        near = [frame.t(peaks + sign * 0.5 * WIDTH * widths) for sign in (-1, 1)]
        below, above = np.minimum(*ends), np.maximum(*ends)
        fine = np.maximum(np.abs(near[1] - near[0]), DEEPEST)
        for _ in range(50 * dim):
            touched = ((panels.low[:, None] < above) & (panels.high[:, None] > below)).all(-1)
            coarse = touched[..., None] & ((panels.high - panels.low)[:, None] > fine)
            axis, bad = coarse.any(1).argmax(-1), coarse.any((1, 2))
            if not bad.any() or len(panels.low) > MOST_BOXES[dim] // 2:
                break
            panels._halve(bad, axis[bad])
        panels.mass = panels._evaluate(panels.low, panels.high)
        return panels

    def off(self, scan: Scan) -> np.ndarray:
        """How far polynomials are from the scanned nodes in their box, and from f at its faces, over Z, (n, dim).

        By the axis along which it should be halved: across a face, and the widest for nodes.
        The outermost nodes of Gauss are half a per cent from the faces: a jump between would not be seen.
        """
        faces = self._off_faces()
        faces[np.arange(len(faces)), (self.high - self.low).argmax(1)] += self._off_nodes(scan)
        return np.asarray(faces / self._by_box().sum())

    def _off_faces(self) -> np.ndarray:
        across = np.linspace(-1, 1, 2) * (1 - 1e-6)
        found = np.zeros(self.low.shape)
        for axis in range(self.dim):
            places = [np.array(NODES)] * self.dim
            places[axis] = across
            c = coefficients(self.mass.reshape(-1, *(ORDER,) * self.dim), self.dim)
            for k in range(self.dim):
                c = np.tensordot(c, legendre.legvander(places[k], ORDER - 1), axes=(1, 1))  # that axis goes last
            inside = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, self.dim)
            t = self.low[:, None] + (self.high - self.low)[:, None] * (inside + 1) / 2
            exact = self._at(t.clip(-LAST, LAST))
            found[:, axis] = FACE * np.abs(c.reshape(exact.shape) - exact).mean(1) * (self.high - self.low).prod(-1)
        return found

    def _off_nodes(self, scan: Scan) -> np.ndarray:
        n = len(scan.value)
        centres = (np.arange(n) + 0.5) * 2 / n - 1
        seen = np.exp(np.minimum(scan.log_mass - self.top, 700.0))
        first, last = np.searchsorted(centres, self.low), np.searchsorted(centres, self.high)
        found = np.zeros(len(self.low))
        for i in np.flatnonzero((last > first).all(1)):
            where = tuple(slice(a, b) for a, b in zip(first[i], last[i], strict=True))
            c = coefficients(self.mass[i].reshape((ORDER,) * self.dim), self.dim)
            for k in range(self.dim):
                inside = 2 * (centres[where[k]] - self.low[i, k]) / (self.high[i, k] - self.low[i, k]) - 1
                c = np.moveaxis(legendre.legvander(inside, ORDER - 1) @ c, 0, -1)
            found[i] = np.abs(c * (2 / n) ** self.dim - seen[where]).sum()
        return found

    @property
    def dim(self) -> int:
        """Of x."""
        return self.low.shape[1]

    def nodes(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """(n, 16^dim, dim)."""
        axes = [a[:, None] + (b - a)[:, None] * (NODES + 1) / 2 for a, b in zip(low.T, high.T, strict=True)]
        if len(axes) == 1:
            return axes[0][..., None]
        grid = np.broadcast_arrays(axes[0][:, :, None], axes[1][:, None, :])
        return np.stack(grid, -1).reshape(len(low), -1, 2)

    def _evaluate(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        return np.concatenate([self._at(self.nodes(a, b)) for a, b in self._parts(low, high)])

    def _at(self, t: np.ndarray) -> np.ndarray:
        """exp(f(x) - top) |dx / dt|, (n, k) at t (n, k, dim)."""
        x, log_det = self.frame.x(t.reshape(-1, self.dim))
        assert self.f is not None
        return np.exp(np.minimum(self.f(x) - self.top + log_det, 700.0)).reshape(t.shape[:2])

    def _parts(self, *arrays: np.ndarray, functionals: int = 1) -> list[tuple[np.ndarray, ...]]:
        size = max(1, POINTS // ORDER**self.dim // functionals)
        return [tuple(one[i : i + size] for one in arrays) for i in range(0, len(arrays[0]), size)]

    def _halve(self, bad: np.ndarray, axis: np.ndarray) -> None:
        """Put two halves in the place of each box; their masses stand at the end, where there are any."""
        low, high, rows = self.low[bad], self.high[bad], np.arange(int(bad.sum()))
        middle = 0.5 * (low[rows, axis] + high[rows, axis])
        left, right = high.copy(), low.copy()
        left[rows, axis], right[rows, axis] = middle, middle
        new_low, new_high = np.concatenate([low, right]), np.concatenate([left, high])
        if len(self.mass):
            self.mass = np.concatenate([self.mass[~bad], self._evaluate(new_low, new_high)])
        self.low, self.high = np.concatenate([self.low[~bad], new_low]), np.concatenate([self.high[~bad], new_high])

    def _tails(self, start: int, weigh: Values | None) -> tuple[np.ndarray, np.ndarray]:
        """Integrals (n, functionals) of p and of w p, and how large their last coefficients are (n, ..., dim)."""
        masses, tails = [], []
        functionals = 1 if weigh is None else 8
        for a, b, mass in self._parts(self.low[start:], self.high[start:], self.mass[start:], functionals=functionals):
            h = mass[:, None]
            if weigh is not None:
                x, _ = self.frame.x(self.nodes(a, b).reshape(-1, self.dim))
                w = weigh(x).reshape(-1, *mass.shape).swapaxes(0, 1)
                with np.errstate(invalid="ignore", over="ignore"):
                    h = np.concatenate([h, np.where(h > 0, w * h, 0.0)], 1)
            volume = (b - a).prod(-1)[:, None]
            shape = (*h.shape[:2], *(ORDER,) * self.dim)
            c = np.abs(coefficients(h.reshape(shape), self.dim))
            masses.append(volume * c.reshape(*h.shape[:2], -1)[..., 0])
            last = [np.moveaxis(c, 2 + k, -1)[..., -2:].sum(tuple(range(2, 2 + self.dim))) for k in range(self.dim)]
            tails.append(volume[..., None] * np.stack(last, -1))
        return np.concatenate(masses), np.concatenate(tails)

    def resolve(self, tolerance: float, scan: Scan) -> float:
        """Refine until the scanned nodes, which were looked at for themselves, lie on the polynomials as well.

        Returns what is left: the larger of the two errors.
        """
        while True:
            left = float(self.refine(tolerance)[0])
            off = self.off(scan)
            bad = (off.sum(1) > 0.5 * tolerance / len(off)) & (off.sum() > tolerance)
            bad &= (self.high - self.low > DEEPEST).all(1)
            if not bad.any() or left > tolerance or len(off) + bad.sum() > MOST_BOXES[self.dim]:
                return max(left, float(off.sum()))
            masses, tails = self._tails(0, None)
            self._halve(bad, (tails[:, 0] / masses.sum() + off)[bad].argmax(1))

    def left(self, scan: Scan) -> float:
        """The larger of the two errors: of the last coefficients, and of points that were looked at for themselves."""
        masses, tails = self._tails(0, None)
        return max(float(tails.max(-1).sum() / masses.sum()), float(self.off(scan).sum()))

    def at_the_ends(self) -> float:
        """The share of the mass in boxes that touch infinity and are narrower than 1e-9."""
        share = self._by_box()
        return float(share[self._thin()].sum() / share.sum())

    def _thin(self) -> np.ndarray:
        ends = (np.abs(self.low) >= 1) | (np.abs(self.high) >= 1)
        return np.asarray((ends & (self.high - self.low < FAR)).any(1))

    def refine(self, tolerance: float, weigh: Values | None = None) -> np.ndarray:
        """Halve boxes until the last coefficients of p, and of each w p, are that small, relative to its integral.

        One that has more than a hundredth of its integral at infinity is given up, and infinity is returned for it.
        weigh: (n, dim) to (functionals, n), not negative. Returns what is left of each, (1 + functionals,).
        """
        masses, tails = self._tails(0, weigh)
        while True:
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                error = tails / masses.sum(0)[:, None]
            error = np.where(np.isnan(error), np.inf, error)  # an error that cannot be told is not met
            left = error.max(-1)
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                endless = ~(masses[self._thin()].sum(0) <= MUCH * masses.sum(0))
            left[:, endless] = 0.0
            if (left.sum(0) <= tolerance).all():
                return np.where(endless, np.inf, left.sum(0))
            share = np.where(left.sum(0) > tolerance, left, 0.0).max(1)
            wide = (self.high - self.low) > DEEPEST
            worst = left.argmax(1)
            by_axis = np.where(wide, error[np.arange(len(worst)), worst], -1.0)
            bad = (share > 0.5 * tolerance / len(share)) & wide.any(1)
            room = MOST_BOXES[self.dim] - len(share)
            if not bad.any() or room <= 0:
                return np.where(endless, np.inf, left.sum(0))
            if bad.sum() > room:
                bad &= share >= np.sort(share[bad])[-room]
            kept = int((~bad).sum())
            self._halve(bad, by_axis[bad].argmax(1))
            new_masses, new_tails = self._tails(kept, weigh)
            masses, tails = np.concatenate([masses[~bad], new_masses]), np.concatenate([tails[~bad], new_tails])

    def halved(self) -> Panels:
        """Every box cut along every axis: the second resolution, by which the first is judged."""
        finer = Panels(self.f, self.frame, self.top, self.low, self.high)
        for axis in range(self.dim):
            finer._halve(np.ones(len(finer.low), bool), np.full(len(finer.low), axis))
        finer.mass = finer._evaluate(finer.low, finer.high)
        return finer

    @property
    def log_z(self) -> float:
        """log of the integral of exp(f)."""
        return self.top + float(np.log(self._by_box().sum()))

    def _by_box(self) -> np.ndarray:
        weights = WEIGHTS if self.dim == 1 else np.outer(WEIGHTS, WEIGHTS).ravel()
        return self.mass @ weights * ((self.high - self.low) / 2).prod(-1)

    def expectation(self, g: Values, functionals: int = 1) -> np.ndarray:
        """E[g(x)]; g maps (n, dim) to (..., n), as many numbers a point as there are functionals."""
        weights = WEIGHTS if self.dim == 1 else np.outer(WEIGHTS, WEIGHTS).ravel()
        total: np.ndarray | float = 0.0
        for a, b, mass in self._parts(self.low, self.high, self.mass, functionals=functionals):
            x, _ = self.frame.x(self.nodes(a, b).reshape(-1, self.dim))
            w = (mass * weights * ((b - a) / 2).prod(-1)[:, None]).ravel()
            with np.errstate(invalid="ignore", over="ignore"):
                total = total + (g(x[w > 0]) @ w[w > 0])
        return np.asarray(total / self._by_box().sum())

    def cumulative(self, x: np.ndarray) -> np.ndarray:
        """P(X < x) in one dimension, (n,)."""
        t = self.frame.t(x[:, None])[:, 0]
        order = self.low[:, 0].argsort()
        box = order[np.searchsorted(self.low[order, 0], t, side="right").clip(1) - 1]
        inside = 2 * (t - self.low[box, 0]) / (self.high[box, 0] - self.low[box, 0]) - 1
        share = self._by_box() / self._by_box().sum()
        before = np.array([share[self.low[:, 0] < self.low[b, 0]].sum() for b in box])
        integral = antiderivative(coefficients(self.mass[box], 1).T)
        part = legendre.legval(inside, integral, tensor=False) / legendre.legval(1.0, integral, tensor=False)
        return np.asarray(before + share[box] * part)

    def draw(self, uniform: np.ndarray) -> np.ndarray:
        """Points (n, dim) from uniform numbers (n, 1 + dim): a box by its mass, then one coordinate after the other."""
        cumulative = self._by_box().cumsum()
        return np.concatenate([np.empty((0, self.dim)), *(self._drawn(p, cumulative) for (p,) in self._parts(uniform))])

    def _drawn(self, uniform: np.ndarray, cumulative: np.ndarray) -> np.ndarray:
        box = np.searchsorted(cumulative, uniform[:, 0] * cumulative[-1], side="right").clip(max=len(cumulative) - 1)
        own, which = np.unique(box, return_inverse=True)
        c = coefficients(self.mass[own].reshape(-1, *(ORDER,) * self.dim), self.dim)
        place = np.empty((len(box), self.dim))
        place[:, 0] = inverse(c.reshape(len(own), ORDER, -1)[which, :, 0].T, uniform[:, 1])
        if self.dim == 2:
            along = legendre.legvander(place[:, 0], ORDER - 1)
            place[:, 1] = inverse(np.einsum("nij,ni->jn", c[which], along), uniform[:, 2])
        return self.frame.x(self.low[box] + (self.high - self.low)[box] * (place + 1) / 2)[0]
