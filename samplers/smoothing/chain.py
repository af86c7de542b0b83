"""Chains of measurements: y_1, y_2, .. y_m one after the other, of which only the running mean is kept.

    y_1 ~ p(y_1),   y_k ~ p(y_k | ybar_{k-1}),   at last x ~ p(x | ybar_m),  or  E[X | ybar_m]

ybar_k is the mean of k measurements: X + N(0, C_k) with falling C_k. What a chain is to its run: the levels k, and the
step from one to the next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

from torch import Tensor

from samplers.denoisers import Denoiser
from samplers.draws.brief import Brief
from samplers.kernels import Kernel
from samplers.kernels.base import check_kernel
from samplers.runs.header import plain
from samplers.runs.starts import Init
from samplers.smoothing.jump import Jump, check_jump
from samplers.smoothing.measurements import Measured, Noisy
from samplers.smoothing.noise import check_noise
from samplers.smoothing.plan import Plan, plan
from targets import Noise, Target
from targets.arguments import check_integer

# where a walk of that many steps on the law of one measurement leads from y, (n, dim)
Walk = Callable[[Measured, Tensor, int], Tensor]


@dataclass(frozen=True, eq=False)
class Chain(Brief, ABC):
    """The fields that chains of measurements share, and their levels; see SequentialMultimeasurement and SLIPS."""

    noise: Literal["isotropic"] | Tensor | Noise = "isotropic"
    sigma: float | None = None
    m: int | None = None
    kernel: Kernel | None = None
    steps: int = 8
    first_steps: int | None = None
    denoiser: Denoiser | str = "auto"
    jump: Jump = "posterior"

    weighted = False  # whether measurements are drawn and weighted; else they walk

    def __post_init__(self) -> None:
        check_jump(self.jump)
        for name, least in (("m", 1), ("steps", 0), ("first_steps", 0)):
            if getattr(self, name) is not None:
                check_integer(getattr(self, name), name, least)
        check_noise(self.noise, self.sigma)
        if self.kernel is not None:
            check_kernel(self.kernel)

    @abstractmethod
    def levels(self, noise: Noise) -> list[Noise]:
        """The noise C_k of the running mean at every level, from that of one measurement."""

    @abstractmethod
    def advance(self, level: int, mean: Tensor, law: Noisy, noise: Noise, walk: Walk) -> Tensor:
        """The running means, (n, dim), one level after `level`, where they are `mean` and have that law.

        noise: of one measurement.
        """

    def base_for(self, found: Plan | None, target: Target) -> Target:
        """The law of X that weighted measurements come from: the Gaussian of the plan."""
        assert found is not None
        return found.gaussian(target)

    # What is left open

    def prepared(self, target: Target, seed: int, init: Init) -> tuple[Self, Plan | None]:
        """This sampler with sigma and m, and the plan that they and the starts come from, if one was needed."""
        wanted = (isinstance(self.noise, str) and self.sigma is None) or self.m is None
        if not (wanted or self.starts_planned(target, init)):
            return self, None
        found = plan(target, jump=self.jump, seed=seed)
        sigma = found.sigma if isinstance(self.noise, str) and self.sigma is None else self.sigma
        return replace(self, sigma=sigma, m=self.m or found.m), found

    def starts_planned(self, target: Target, init: Init) -> bool:
        """Whether chains start where the plan says."""
        return init is None and "prior" not in target.known

    def hyperparameters(self) -> dict[str, Any]:
        """The fields as plain numbers and strings, for records."""
        return plain({field.name: getattr(self, field.name) for field in fields(self)})
