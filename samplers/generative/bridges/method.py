"""How a bridge is found: the ends, how a run goes, and what a method gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.draws import Cost, Draws
from samplers.generative.bridges.bridge import Bridge
from samplers.generative.data import Samples
from samplers.generative.standardisation import Standardisation
from targets import Target
from targets.way_to_truth import way_to_truth

ROWS = 50_000  # exact draws of a target, where that is an end


@dataclass(frozen=True, eq=False)
class End:
    """One of the two laws: rows, a density, or both. samples: None of an energy without exact draws. target: None of
    samples. At least one of the two is there.

        >>> from samplers.generative.bridges import End
        >>> end = End.of(targets.Gaussian([0.0, 1.0]), "start", torch.Generator(), energies=False)
        >>> end.dim, len(end.samples.x), end.target is not None
        (2, 50000, True)
    """

    samples: Samples | None
    target: Target | None

    @classmethod
    def of(
        cls,
        given: Tensor | Draws | Target,
        name: str,
        generator: Generator,
        energies: bool = False,
        spread: bool = True,
    ) -> End:
        """From a tensor (n, dim), draws by their weights, or a target, of which ROWS exact draws are taken.

        energies: whether a target without exact draws will do. spread: whether rows in a hyperplane will not, such as
        few ones. As `Samples.of` raises, under this name.
        """
        target = given if isinstance(given, Target) else None
        if target is not None and "sample" not in target.known:
            if energies:
                return cls(None, target)
            raise ValueError(
                f"{name}: got {target.name}, which has no exact draws; expected samples, a target that has, or a "
                f"method that learns from energies{way_to_truth(target)}"
            )
        try:
            samples = Samples.of(given, rows=ROWS, generator=generator, constant=not spread, few=not spread)
            if spread:
                Standardisation.of(*samples.moments)  # which says so where no density exists
            return cls(samples, target)
        except (TypeError, ValueError) as error:
            text = str(error)
            raise type(error)(name + text.removeprefix("samples") if text.startswith("samples:") else text) from None

    @property
    def dim(self) -> int:
        """Of its points."""
        if self.samples is not None:
            return self.samples.x.shape[1]
        assert self.target is not None
        return self.target.dim

    def draw(self, n: int, generator: Generator) -> Tensor:
        """n draws, (n, dim): exact ones of a target that has them, else rows by their weights, with replacement.
        ValueError for an energy without either."""
        if self.target is not None and "sample" in self.target.known:
            return self.target.sample(n, generator=generator)
        if self.samples is None:
            raise ValueError("direction: begins with an energy without exact draws, expected the other direction")
        return self.samples.batch(n, generator)

    @property
    def like(self) -> Tensor:
        """A tensor of its dtype, on its device."""
        if self.samples is not None:
            return self.samples.x
        assert self.target is not None
        return torch.empty(0, dtype=self.target.dtype, device=self.target.device)

    def to(self, device: torch.device | str | None, dtype: torch.dtype | None) -> End:
        """In another place and precision."""
        return End(
            None if self.samples is None else self.samples.to(device, dtype),
            None if self.target is None else self.target.to(device, dtype),
        )


@dataclass(frozen=True)
class Run:
    """How a fit goes: seed, iterations, max_minutes, progress, checkpoint and log_dir of `SchroedingerBridge.fit`.

    iterations: None is the method's own number.

        >>> from samplers.generative.bridges import Run
        >>> Run(seed=3).iterations is None
        True
    """

    seed: int = 0
    iterations: int | None = None
    max_minutes: float | None = None
    progress: bool | None = None
    checkpoint: str | Path | None = None
    log_dir: str | Path | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """What a method gives: the bridge, and how it came about. iterations: that were made. history: curves by name.
    figures: numbers worth telling. notes: what is to be said. cost: of finding it.

        >>> from samplers.generative.bridges import Found, GaussianBridge, StaticBridge
        >>> exact = GaussianBridge.between(targets.Gaussian([0.0]), targets.Gaussian([2.0]), noise=1.0)
        >>> Found(StaticBridge(exact.forward, exact.backward)).notes
        []
    """

    bridge: Bridge
    iterations: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)


class BridgeMethod(ABC):
    """A way to find the bridge, a frozen dataclass of its settings. energies: whether an end may be an energy alone.
    spread: whether the rows of an end must not lie in a hyperplane. weighable: whether its bridges have exact weights.

    `learn` gets ends of one dimension, dtype and device, warns of nothing (notes are warned of by the caller), and
    draws from generators made from `run.seed` alone.

        >>> from samplers.generative.bridges import BridgeMethod, Found, GaussianBridge, StaticBridge
        >>> class Moments(BridgeMethod):
        ...     def learn(self, start, end, noise, run):
        ...         found = GaussianBridge(*start.samples.moments, *end.samples.moments, noise)
        ...         return Found(StaticBridge(found.forward, found.backward))
        >>> samplers.SchroedingerBridge(method=Moments()).fit(torch.eye(3)[:, :2], torch.eye(3)[:, 1:]).dim
        2
    """

    energies: ClassVar[bool] = False
    spread: ClassVar[bool] = True
    weighable: ClassVar[bool] = True

    @abstractmethod
    def learn(self, start: End, end: End, noise: float, run: Run) -> Found:
        """The bridge between two ends over sqrt(noise) dB."""
