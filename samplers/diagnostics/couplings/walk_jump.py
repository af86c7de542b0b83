"""Walk-jump: the walks of the measurements are coupled, by the coupling of the kernel that walks.

The chain is one in y. Where two walks have met, x is read from them once for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Generator, Tensor

from samplers.denoisers import Denoiser
from samplers.diagnostics.couplings.base import Coupling, couples, coupling_of, no_info
from samplers.kernels import State
from samplers.kernels.metropolis import select
from samplers.runs.state import Info
from samplers.smoothing import JointMultimeasurement, WalkJump
from samplers.smoothing.measurement_walk import MeasurementWalk, WalkState
from targets import Target


@couples(WalkJump, JointMultimeasurement)
@dataclass(frozen=True, eq=False)
class CoupledWalkJump(Coupling[MeasurementWalk]):
    """Of a kernel that is placed on its target."""

    def check(self) -> None:
        """ValueError for a denoiser whose answers are left to chance, and where the walk has no coupling."""
        denoiser = self.kernel.denoiser
        if not isinstance(denoiser, Denoiser) or not denoiser.exact:
            came = denoiser.describe() if isinstance(denoiser, Denoiser) else repr(denoiser)
            raise ValueError(
                f"denoiser: got {came}, whose estimates are random or learned: two walks at one place would part; "
                "expected an exact denoiser, as 'auto' finds for mixtures, in one or two dimensions, and for spins"
            )
        _ = self.walk

    @cached_property
    def walk(self) -> Coupling[Any]:
        """The coupling of the kernel that walks."""
        assert self.kernel.kernel is not None
        return coupling_of(self.kernel.kernel)

    def place(self, state: State) -> Tensor:
        """The measurements."""
        assert isinstance(state, WalkState)
        return state.y

    def alone(self, target: Target, state: Any, generator: Generator) -> tuple[WalkState, Info]:
        """One step of chains that are all independent."""
        law, walk = self.kernel.walking(target, state, generator)
        so_far = no_info(len(state.x), state.x)
        for _ in range(self.kernel.steps):
            walk, info = self.walk.alone(law, walk, generator)
            so_far = self._added(so_far, info)
        return self.kernel.read(target, state, law, walk), so_far

    def together(
        self, target: Target, x: WalkState, y: WalkState, generator: Generator
    ) -> tuple[WalkState, WalkState, Info]:
        """One step of pairs that have not met."""
        law, a = self.kernel.walking(target, x, generator)
        law_of_y, b = self.kernel.walking(target, y, generator)
        so_far = no_info(2 * len(x.x), x.x)
        for _ in range(self.kernel.steps):
            a, b, info = self.walk.step(law, a, b, generator)
            so_far = self._added(so_far, info)
        new_x, new_y = self.kernel.read(target, x, law, a), self.kernel.read(target, y, law_of_y, b)
        return new_x, select(self.met(new_x, new_y), new_x, new_y), so_far

    def _added(self, so_far: Info, info: Info) -> Info:
        rate = so_far.acceptance_rate + info.acceptance_rate / self.kernel.steps
        return Info(rate, so_far.diverging | info.diverging)
