"""A Schroedinger bridge that has been found: what it draws, both ways."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from samplers.draws import INDEPENDENT, Cost, Draws
from samplers.draws.keywords import naming_ours
from samplers.draws.places import file_place
from samplers.generative.bridges.bridge import Bridge, Direction
from samplers.generative.bridges.method import End
from samplers.generative.bridges.potential import check_points
from samplers.generative.bridges.weighing import weigh
from samplers.generative.data import Samples
from samplers.processes.base import Time
from samplers.runs.checkpoint import write
from samplers.version import versions
from targets import Target
from targets.arguments import check_choice, check_integer, shown

FORMAT = "unnorm Schroedinger bridge 1"


@dataclass(eq=False, repr=False)
class FittedBridge:
    """What `SchroedingerBridge.fit` gives: a process between two laws that runs both ways.

    settings: of the method, in words. bridge: the process, a `samplers.generative.bridges.Bridge`. start, end: the laws
    it was found for, rows with weights, a target or both. seed, iterations: of the fit. history, figures: what was
    recorded of it. notes: what was said. cost: of the fit.

        >>> ends = targets.Gaussian([0.0, 0.0]), targets.Gaussian([3.0, 0.0], scale=0.5)
        >>> method = samplers.generative.bridges.MixturePotentials(components=1)
        >>> fitted = samplers.SchroedingerBridge(noise=0.5, method=method).fit(*ends, progress=False)
        >>> x, y = fitted.plan(1000, seed=1)
        >>> x.shape, fitted.forward(x, seed=2).shape, fitted.path(x, times=[0.0, 0.5, 1.0]).shape
        (torch.Size([1000, 2]), torch.Size([1000, 2]), torch.Size([3, 1000, 2]))
    """

    settings: dict[str, Any]
    bridge: Bridge
    start: End
    end: End
    seed: int
    iterations: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)

    def __repr__(self) -> str:
        return f"FittedBridge of {self.dim} dimensions, noise {self.noise:.4g}, {self.iterations:,} iterations"

    @property
    def dim(self) -> int:
        """Of both ends."""
        return self.bridge.dim

    @property
    def noise(self) -> float:
        """eps, the variance of the reference per unit of time."""
        return self.bridge.noise

    @property
    def normalised_start(self) -> Target | None:
        """The target that it was fitted from, where that has exact draws and a known log Z; None for samples."""
        law = self.start.target
        return law if law is not None and {"sample", "log_z"} <= set(law.known) else None

    # The plan

    def forward(self, x: Tensor, *, seed: int = 1) -> Tensor:
        """A draw of the end given each start, (n, dim) -> (n, dim)."""
        return self._drawn(x, "forward", seed)

    def backward(self, y: Tensor, *, seed: int = 1) -> Tensor:
        """A draw of the start given each end, (n, dim) -> (n, dim)."""
        return self._drawn(y, "backward", seed)

    def mean(self, x: Tensor, *, direction: Direction = "forward") -> Tensor:
        """The barycentric map, E[the other end | x], (n, dim); NotImplementedError where the method has none."""
        with torch.no_grad():
            return self.bridge.mean(check_points(x, self.dim, "x"), checked(direction))

    def plan(self, n: int, *, seed: int = 1, direction: Direction = "forward") -> tuple[Tensor, Tensor]:
        """n pairs of start and end, (n, dim) each: one drawn from its own law, the other given it."""
        generator = self._generator(seed)
        x = self.origins(n, generator, direction)
        with torch.no_grad():
            other = self.bridge.draw(x, direction, generator)
        return (x, other) if direction == "forward" else (other, x)

    def origins(self, n: int, generator: Generator, direction: Direction = "forward") -> Tensor:
        """n draws of the law that a direction begins with: exact ones of a target that has them, else rows by their
        weights, with replacement."""
        law = self.start if checked(direction) == "forward" else self.end
        return law.draw(check_integer(n, "n"), generator)

    @naming_ours
    def sample(self, *, draws: int = 4096, seed: int = 1, direction: Direction = "forward") -> Draws:
        """Independent draws of the end (backward: of the start), (1, draws, dim), from the law of the other."""
        check_integer(draws, "draws")
        began = time.perf_counter()
        pair = self.plan(draws, seed=seed, direction=direction)
        law, x = (self.end, pair[1]) if direction == "forward" else (self.start, pair[0])
        attrs = self.attrs(draws, seed) | {"direction": direction}
        cost = Cost(seconds=time.perf_counter() - began)
        target = law.target
        if target is not None and target.discrete:  # whose configurations the process does not end in
            target = None
        return Draws(x[None], cost=cost, target=target, kernel=self, attrs=attrs)

    # The process between

    def drift(self, x: Tensor, t: Time, *, direction: Direction = "forward") -> Tensor:
        """b(x, t) of dX = b dt + sqrt(noise) dB, (n, dim), t a number or (n,) in [0, 1], 0 at the start.

        Backward that of the process which runs from the end to the start, per unit of the time that it takes.
        """
        return self.bridge.drift(check_points(x, self.dim, "x"), t, checked(direction))

    def path(self, x: Tensor, times: Any, *, seed: int = 1, direction: Direction = "forward") -> Tensor:
        """States (len(times), n, dim) of processes from x (n, dim) at increasing times in [0, 1] of the bridge, in this
        order: backward x is the state at 1. ValueError for other times."""
        try:
            found = torch.as_tensor(times, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"times: got {shown(times)}, expected increasing times in [0, 1]") from None
        in_order = found.ndim == 1 and len(found) > 0 and bool((found.diff() > 0).all())
        if not (in_order and float(found[0]) >= 0 and float(found[-1]) <= 1):
            raise ValueError(f"times: got {shown(times)}, expected increasing times in [0, 1]")
        with torch.no_grad():
            x = check_points(x, self.dim, "x")
            return self.bridge.path(x, found, checked(direction), self._generator(seed))

    # With an energy

    def weigh(
        self,
        target: Target,
        *,
        draws: int = 4096,
        seed: int = 1,
        by: Literal["ends", "path"] | None = None,
        start: Target | None = None,
    ) -> Draws:
        """Draws of the end with exact weights for a target there, and log Z: E[Z-hat] = Z for any bridge.

            ends   w_i = gamma(y_i) / mean_j pi(y_i | x_j)     over blocks of 1,024 starts x_j, each of which led to a y
            path   w = gamma(y) pi'(x | y) / (p(x) pi(y | x))  pi' the other direction; for every method

        By ends the starts may be any points, drawn or given, as their law does not enter; by path it is `start`, a
        normalised target with exact draws, by default the one of the fit. None takes ends for bridges of potentials,
        whose conditional laws are known, and path for those that go by steps. By path log w varies with the
        disagreement of the two directions as well. By ends draws of a block share starts: Z-hat is unbiased all the
        same and its standard error not too small. Warns (SamplingWarning) where weights or certificate say that the
        bridge does not cover the target. ValueError for a target of another dimension, another word, and a start that
        will not do; NotImplementedError for a method without such weights, as `Sinkhorn`. Owen and Zhou 2000, for the
        weights by ends (the balance heuristic): https://doi.org/10.1080/01621459.2000.10473909.
        """
        return weigh(self, target, draws=draws, seed=seed, by=by, start=start)

    # Files

    def save(self, path: str | Path) -> Path:
        """Write the bridge, with the rows of its ends, to a file for `samplers.generative.load`; of targets the rows
        alone are kept."""
        path = file_place(path, "path")
        content = {
            "format": FORMAT,
            "settings": self.settings,
            "class": type(self.bridge).__name__,
            "bridge": self.bridge.content(),
            "ends": [
                None if law.samples is None else {"x": law.samples.x, "shares": law.samples.shares}
                for law in (self.start, self.end)
            ],
            "numbers": {"seed": self.seed, "iterations": self.iterations},
            "history": self.history,
            "figures": self.figures,
            "notes": self.notes,
            "cost": asdict(self.cost),
        }
        write(path, content)
        return path

    @classmethod
    def of_content(cls, content: dict[str, Any]) -> FittedBridge:
        """From what `save` wrote; ValueError for a bridge that this package lacks."""
        kinds = {kind.__name__: kind for kind in Bridge.__subclasses__()}
        if content["class"] not in kinds:
            raise ValueError(f"path: holds a {content['class']}, which samplers.generative.bridges does not have")
        start, end = (End(None if one is None else Samples(one["x"], one["shares"]), None) for one in content["ends"])
        return cls(
            content["settings"],
            kinds[content["class"]].of_content(content["bridge"]),
            start,
            end,
            **content["numbers"],
            history=content["history"],
            figures=content["figures"],
            notes=content["notes"],
            cost=Cost(**content["cost"]),
        )

    def attrs(self, draws: int, seed: int) -> dict[str, Any]:
        """What draws of this bridge say of themselves."""
        return {
            **self.settings,
            "sampler": "SchroedingerBridge",
            "kind": INDEPENDENT,
            "draws": draws,
            "seed": seed,
            "fit_seed": self.seed,
            "iterations": self.iterations,
            "notes": list(self.notes),
            "versions": versions(),
        }

    def _drawn(self, x: Tensor, direction: Direction, seed: int) -> Tensor:
        with torch.no_grad():
            return self.bridge.draw(check_points(x, self.dim, "x"), direction, self._generator(seed))

    def _generator(self, seed: int) -> Generator:
        return Generator(self.bridge.device).manual_seed(check_integer(seed, "seed", 0))


def checked(direction: Direction) -> Direction:
    """ValueError for another word."""
    check_choice(direction, "direction", ("forward", "backward"))
    return direction
