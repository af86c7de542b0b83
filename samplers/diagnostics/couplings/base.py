"""What a coupling is: two chains of one kernel moved together, each by the law of the kernel alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Generator, Tensor

from samplers.diagnostics.couplings.states import halves
from samplers.kernels import Kernel, State
from samplers.kernels.base import check_kernel
from samplers.kernels.metropolis import acceptance, finite, select
from samplers.runs.state import Info
from targets import Target

K = TypeVar("K", bound=Kernel)
Made = TypeVar("Made", bound="Coupling[Any]")


@dataclass(frozen=True, eq=False)
class Coupling(ABC, Generic[K]):
    """A coupling of two chains of a kernel, for many pairs at once: row i of x and row i of y are a pair.

        (x', y') ~ C(. | x, y),     x' ~ P(. | x)  and  y' ~ P(. | y),   P the kernel;     x = y  gives  x' = y'

    kernel: as it is placed on its target. A subclass writes `together`, and registers with `couples(KernelClass)`;
    `alone` where chains of the kernel's own step share randomness: here no two pairs may share any. Two chains can
    meet only where, with positive probability, `together` gives both the same floats.

        >>> from samplers.diagnostics.couplings import coupling_of
        >>> kernel, target = samplers.MALA(0.5), targets.Gaussian([0.0, 0.0])
        >>> coupling, generator = coupling_of(kernel), torch.Generator().manual_seed(0)
        >>> x, y = (kernel.init(target, at * torch.ones(100, 2), generator) for at in (0.0, 0.1))
        >>> x, y, info = coupling.step(target, x, y, generator)
        >>> bool((x.x == y.x).all(-1).double().mean() > 0.5)
        True
    """

    kernel: K

    def check(self) -> None:
        """ValueError where two chains of the kernel never meet."""

    def place(self, state: State) -> Tensor:
        """What a chain is a Markov chain in, and two chains meet in, (pairs, size)."""
        return state.x

    def alone(self, target: Target, state: State, generator: Generator) -> tuple[Any, Info]:
        """One step of chains that are all independent."""
        return self.kernel.step(target, state, generator)

    @abstractmethod
    def together(self, target: Target, x: Any, y: Any, generator: Generator) -> tuple[Any, Any, Info]:
        """One step of pairs that have not met. Info is of both chains of each, those of x first."""

    def step(self, target: Target, x: Any, y: Any, generator: Generator) -> tuple[Any, Any, Info]:
        """One step of every pair; those that have met stay together, every field of their states equal."""
        met = self.met(x, y)
        x, y, info = self.together(target, x, y, generator)
        return x, select(met, x, y), info

    def met(self, x: State, y: State) -> Tensor:
        """Which pairs are at the same point, to the last bit, (pairs,)."""
        return (self.place(x) == self.place(y)).all(-1)


_known: dict[type[Kernel], type[Coupling[Any]]] = {}


def couples(*kernels: type[Kernel]) -> Callable[[type[Made]], type[Made]]:
    """The decorator that makes a subclass of Coupling that of these classes of kernels; not of their subclasses."""

    def register(kind: type[Made]) -> type[Made]:
        _known.update(dict.fromkeys(kernels, kind))
        return kind

    return register


def coupling_of(kernel: Kernel) -> Coupling[Any]:
    """The coupling of a kernel; TypeError for one that has none, ValueError where its chains would never meet."""
    check_kernel(kernel)
    kind = _known.get(type(kernel))
    if kind is None:
        names = ", ".join(sorted(known.__name__ for known in _known))
        raise TypeError(
            f"kernel: got {type(kernel).__name__}, which has no coupling; expected one of {names}, or a subclass of "
            "Coupling that is registered for it with couples()"
        )
    coupling = kind(kernel)
    coupling.check()
    return coupling


def accepted_together(
    x: State, y: State, proposal: State, log_ratio: Tensor, same: Tensor, generator: Generator, diverging: Any = None
) -> tuple[State, State, Info]:
    """The Metropolis test of both chains of each pair, by one uniform.

    proposal, log_ratio, diverging: of both, those of x first. same: which pairs were proposed one point, (pairs,),
    which y then takes from x to the last bit: the chains meet where both accept it.
    """
    rate, bad = acceptance(proposal, log_ratio, diverging)
    for_x, for_y = halves(proposal)
    uniform = torch.rand(len(same), generator=generator, dtype=rate.dtype, device=rate.device)
    accepted_x, accepted_y = (uniform < part for part in rate.chunk(2))
    new_x, new_y = select(accepted_x, for_x, x), select(accepted_y, select(same, for_x, for_y), y)
    return new_x, new_y, Info(rate, bad)


def taken_together(x: State, y: State, proposal: State, same: Tensor) -> tuple[State, State, Info]:
    """The same for kernels without a test, which take every finite proposal."""
    good = finite(proposal)
    for_x, for_y = halves(proposal)
    good_x, good_y = good.chunk(2)
    return select(good_x, for_x, x), select(good_y, select(same, for_x, for_y), y), Info(good.double(), ~good)


def no_info(n: int, like: Tensor) -> Info:
    """Of n chains of which nothing has happened yet."""
    rate = torch.zeros(n, dtype=torch.float64, device=like.device)
    return Info(rate, torch.zeros_like(rate, dtype=torch.bool))
