"""Kernels with a step size that move in linearly changed coordinates.

x = L z,   C = L L',   score with respect to z:  L' s(x)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from samplers.adaptation.metrics import LowRank, Metric, metric_of
from samplers.kernels.base import Kernel
from samplers.runs.state import State
from targets import Target
from targets.arguments import positive, probability, shown

Mass = Literal["auto", "diagonal", "dense", "identity"]
BY_SCORES = ("diagonal", "low-rank", "dense")


@dataclass(frozen=True, eq=False)
class PreconditionedKernel(Kernel):
    """A kernel with a step size and a fixed linear change of coordinates x = L z in which it moves.

    step_size: in units of z; None leaves it to warmup; a kernel that never saw warmup uses `default_step_size`.
    inverse_mass_matrix: C = L L', (dim,) for a diagonal one, (dim, dim), or a
    `samplers.adaptation.metrics.LowRank`. "auto" leaves it to warmup, whether a step
    size is given or not, which chooses dense where the pooled chains determine it, else diagonal; "diagonal" and
    "dense" leave only the values; "identity" (any of these before warmup) is C = I, and z then x.
    metric: "diagonal", "low-rank" or "dense" has warmup find C of that form from draws and scores, by the least Fisher
    divergence (`samplers.adaptation.fisher`), and not from the covariance of draws alone; the kernel that comes out
    has C, and no `metric`. "low-rank" is a diagonal one and up to 128 directions, and works in any dimension.
    target_acceptance, of the kernels that are tuned to one: a mean over chains and steps.

    ValueError for a step size that is not positive, a target_acceptance outside (0, 1), another word or shape of the
    matrix, and a metric beside a matrix, of another name, or of a kernel without scores.

        >>> kernel = samplers.MALA(step_size=0.5, inverse_mass_matrix=torch.tensor([1.0, 4.0]))
        >>> kernel.whiten(torch.tensor([[1.0, 2.0]]))
        tensor([[1., 1.]])
    """

    step_size: float | None = None
    inverse_mass_matrix: Tensor | LowRank | Mass = "auto"
    metric: Literal["diagonal", "low-rank", "dense"] | None = field(default=None, kw_only=True)

    default_step_size: ClassVar[float] = 0.1

    def __post_init__(self) -> None:
        if self.step_size is not None:
            object.__setattr__(self, "step_size", positive(self.step_size, "step_size"))
        if self.target_acceptance is not None:
            probability(self.target_acceptance, "target_acceptance")
        if self.metric is not None:
            self._check_metric()
        if not isinstance(self.inverse_mass_matrix, (str, Tensor, LowRank)):
            object.__setattr__(self, "inverse_mass_matrix", torch.as_tensor(self.inverse_mass_matrix))
        mass = self.inverse_mass_matrix
        if isinstance(mass, str):
            if mass not in ("auto", "diagonal", "dense", "identity"):
                raise ValueError(
                    f"inverse_mass_matrix: got {shown(mass)}, expected 'auto', 'diagonal', 'dense', 'identity' "
                    "or a tensor"
                )
        elif isinstance(mass, LowRank):
            pass  # checked where it was made
        elif mass.ndim not in (1, 2) or mass.shape[0] != mass.shape[-1]:
            raise ValueError(f"inverse_mass_matrix: got shape {tuple(mass.shape)}, expected (dim,) or (dim, dim)")
        else:
            _ = self.factor  # a matrix that is not positive definite is refused here

    @property
    def h(self) -> float:
        """The step size in force."""
        return self.default_step_size if self.step_size is None else self.step_size

    def _check_metric(self) -> None:
        """ValueError for one that warmup cannot find."""
        if self.metric not in BY_SCORES:
            raise ValueError(f"metric: got {self.metric!r}, expected 'diagonal', 'low-rank', 'dense' or None")
        if not self.needs_score:
            raise ValueError(
                f"metric: got {self.metric!r}, which is found from scores, and {type(self).__name__} takes none; "
                "expected inverse_mass_matrix='diagonal' or 'dense', from draws alone"
            )
        if not isinstance(self.inverse_mass_matrix, str) or self.inverse_mass_matrix != "auto":
            raise ValueError(
                f"metric: got {self.metric!r} beside an inverse_mass_matrix, expected one of the two, for a metric is "
                "found in the warmup and a matrix is given"
            )

    @cached_property
    def factor(self) -> Metric | None:
        """C as products with L; None for the identity."""
        mass = self.inverse_mass_matrix
        return None if isinstance(mass, str) else metric_of(mass)

    def to_x(self, z: Tensor) -> Tensor:
        """L z, (chains, dim)."""
        return z if self.factor is None else self.factor.sqrt(z)

    def to_z(self, score: Tensor) -> Tensor:
        """L' score: the score with respect to z, (chains, dim)."""
        return score if self.factor is None else self.factor.sqrt_transposed(score)

    def pull(self, state: State) -> Tensor:
        """The score of a state with respect to z, (chains, dim)."""
        assert state.score is not None
        return self.to_z(state.score)

    def whiten(self, x: Tensor) -> Tensor:
        """L^-1 x, (chains, dim)."""
        return x if self.factor is None else self.factor.whiten(x)

    def placed(self, target: Target) -> Self:
        mass = self.inverse_mass_matrix
        if isinstance(mass, str):
            return self
        dim = mass.dim if isinstance(mass, LowRank) else len(mass)
        if dim != target.dim:
            came = mass if isinstance(mass, LowRank) else f"shape {tuple(mass.shape)}"
            raise ValueError(
                f"inverse_mass_matrix: got {came}, expected ({target.dim},) or ({target.dim}, {target.dim}) for "
                f"{target.name}"
            )
        if (mass.dtype, mass.device) == (target.dtype, target.device):
            return self
        return replace(self, inverse_mass_matrix=mass.to(device=target.device, dtype=target.dtype))

    def tuned(self, warm: Kernel) -> Self:
        assert isinstance(warm, PreconditionedKernel)
        step_size = self._step_size_from(warm) if self.step_size is None else self.step_size
        mass = warm.inverse_mass_matrix if isinstance(self.inverse_mass_matrix, str) else self.inverse_mass_matrix
        # without a warmup it is still to be found
        metric = self.metric if isinstance(mass, str) else None
        return replace(self, step_size=step_size, inverse_mass_matrix=mass, metric=metric)

    def _step_size_from(self, warm: PreconditionedKernel) -> float | None:
        return warm.step_size
