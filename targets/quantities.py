"""Means, standard deviations and covariances by panels, each with the error that two resolutions show."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from targets.base import Target
from targets.frame import Values
from targets.panels import Panels

CONSTANT = 1e-13  # standard deviations over the mean, below which there is nothing but rounding
TOGETHER = 256  # scalars that boxes are refined for; others must do with the boxes that are there


@dataclass
class Group:
    """Scalars g(x), (n, dim) -> (size, n), and their names with shapes. pairs: whether covariances are wanted."""

    g: Values
    shapes: dict[str, tuple[int, ...]]
    pairs: bool
    left: np.ndarray = field(default_factory=lambda: np.empty(0))
    coarse: tuple[np.ndarray, np.ndarray] = field(default_factory=lambda: (np.empty(0), np.empty(0)))

    @property
    def size(self) -> int:
        """Of all of them."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def refine(self, panels: Panels, tolerance: float) -> None:
        """Halve boxes until second moments are resolved; `left` keeps what is uncertain of each, relative to itself."""
        mean, second = self.of(panels)
        sd = np.sqrt(np.diag(second) if self.pairs else second)
        usable = np.flatnonzero(np.isfinite(mean) & np.isfinite(sd) & (sd > 0))[:TOGETHER]
        self.left = np.zeros(self.size)

        def squares(x: np.ndarray) -> np.ndarray:
            with np.errstate(over="ignore", invalid="ignore"):
                return np.asarray(((self.g(x) - mean[:, None])[usable] / sd[usable, None]) ** 2)

        if len(usable):
            self.left[usable] = panels.refine(tolerance, squares)[1:]

    def of(self, panels: Panels) -> tuple[np.ndarray, np.ndarray]:
        """Means (size,), and covariances (size, size) or variances (size,)."""
        mean = panels.expectation(self.g, self.size)

        def products(x: np.ndarray) -> np.ndarray:
            away = self.g(x) - mean[:, None]
            return away[:, None] * away if self.pairs else away**2

        second = panels.expectation(products, self.size ** (2 if self.pairs else 1))
        if not self.pairs:  # such as derived quantities that are constants
            second = np.where(second <= (CONSTANT * mean) ** 2, 0.0, second)
        return mean, second

    def finish(self, fine: Panels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means and second moments on fine panels, and how uncertain each scalar is in standard deviations, (size,)."""
        mean, second = self.of(fine)
        variances = [np.diag(m) if self.pairs else m for m in (second, self.coarse[1])]
        with np.errstate(divide="ignore", invalid="ignore"):
            sd, before = np.sqrt(variances)
            off = np.maximum(np.abs(mean - self.coarse[0]), np.abs(sd - before))
            off = np.where(sd > 0, off / sd, off)
        sound = np.isfinite(mean) & np.isfinite(sd) & np.isfinite(off)
        return mean, second, np.where(sound, off, np.inf)


class Quantities:
    """Moments of x and of the named scalars of a target: refined for on coarse panels, taken on fine ones by `finish`.

    mean, covariance: of x, None where they do not converge. moments: (mean, sd) by variable. error: the largest, in
    standard deviations. left_out: why something is missing, by name.
    """

    def __init__(self, target: Target, coarse: Panels, tolerance: float) -> None:
        self.tolerance = tolerance
        self.mean: np.ndarray | None = None
        self.covariance: np.ndarray | None = None
        self.moments: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.left_out: dict[str, str] = {}
        self.error = 0.0
        self._groups = [Group(lambda x: x.T, {"x": (target.dim,)}, True)]
        self._named = set(target.variables) != {"x"}
        if self._named:
            shapes = {name: variable.shape for name, variable in target.variables.items()}
            self._groups.append(Group(_constrained(target, list(shapes)), shapes, False))
        for group in self._groups:
            group.refine(coarse, tolerance)
        for group in self._groups:
            group.coarse = group.of(coarse)

    def finish(self, fine: Panels) -> None:
        """Take them on fine panels; what two resolutions do not agree on is left out."""
        for group in self._groups:
            mean, second, off = group.finish(fine)
            off = np.maximum(off, np.where(group.left > self.tolerance, group.left, 0.0))
            if group.pairs:
                if self._agreed("x", mean, off, ("mean", "covariance", *([] if self._named else ["moments"]))):
                    self.mean, self.covariance = mean, second
                    if not self._named:
                        self.moments["x"] = mean, np.sqrt(np.diag(second))
                continue
            at = 0
            for name, shape in group.shapes.items():
                own = slice(at, at := at + math.prod(shape))
                if self._agreed(name, mean[own], off[own], (name,)):
                    self.moments[name] = mean[own].reshape(shape), np.sqrt(second[own]).reshape(shape)

    def _agreed(self, name: str, mean: np.ndarray, off: np.ndarray, lost: tuple[str, ...]) -> bool:
        if (off <= self.tolerance).all():
            self.error = max(self.error, float(off.max(initial=0.0)))
            return True
        said = f"the mean or variance of {name} is uncertain by {off.max():.1e} of itself"
        if np.isinf(off.max()):
            said = f"the mean or variance of {name} does not exist, or lies beyond 1e9 spreads"
        if not np.isfinite(mean).all():
            said = f"{name} is not finite everywhere"
        self.left_out |= dict.fromkeys(lost, said)
        return False


def _constrained(target: Target, names: list[str]) -> Values:
    inner = target.to(dtype=torch.float64)

    @torch.no_grad()
    def named(x: np.ndarray) -> np.ndarray:
        values = inner.constrain(torch.from_numpy(x).to(inner.device))
        return np.concatenate([values[name].double().reshape(len(x), -1).cpu().numpy().T for name in names])

    return named
