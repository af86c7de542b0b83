"""Kernels with a step size that move in linearly changed coordinates.

x = L z,   C = L L',   score with respect to z:  L' s(x)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from samplers.kernels.base import Kernel
from samplers.runs.state import State
from targets import Target
from targets.arguments import positive, probability, shown

Mass = Literal["auto", "diagonal", "dense", "identity"]


@dataclass(frozen=True, eq=False)
class PreconditionedKernel(Kernel):
    """A kernel with a step size and a fixed linear change of coordinates x = L z in which it moves.

    step_size: in units of z; None leaves it to warmup; a kernel that never saw warmup uses `default_step_size`.
    inverse_mass_matrix: C = L L', (dim,) for a diagonal one or (dim, dim). "auto" leaves it to warmup, whether a step
    size is given or not, which chooses dense where the pooled chains determine it, else diagonal; "diagonal" and
    "dense" leave only the values; "identity" (any of these before warmup) is C = I, and z then x.
    target_acceptance, of the kernels that are tuned to one: a mean over chains and steps.

    ValueError for a step size that is not positive, a target_acceptance outside (0, 1), and another word or shape of
    the matrix.

        >>> kernel = samplers.MALA(step_size=0.5, inverse_mass_matrix=torch.tensor([1.0, 4.0]))
        >>> kernel.whiten(torch.tensor([[1.0, 2.0]]))
        tensor([[1., 1.]])
    """

    step_size: float | None = None
    inverse_mass_matrix: Tensor | Mass = "auto"

    default_step_size: ClassVar[float] = 0.1

    def __post_init__(self) -> None:
        if self.step_size is not None:
            object.__setattr__(self, "step_size", positive(self.step_size, "step_size"))
        if self.target_acceptance is not None:
            probability(self.target_acceptance, "target_acceptance")
        if not isinstance(self.inverse_mass_matrix, (str, Tensor)):
            object.__setattr__(self, "inverse_mass_matrix", torch.as_tensor(self.inverse_mass_matrix))
        mass = self.inverse_mass_matrix
        if isinstance(mass, str):
            if mass not in ("auto", "diagonal", "dense", "identity"):
                raise ValueError(
                    f"inverse_mass_matrix: got {shown(mass)}, expected 'auto', 'diagonal', 'dense', 'identity' "
                    "or a tensor"
                )
        elif mass.ndim not in (1, 2) or mass.shape[0] != mass.shape[-1]:
            raise ValueError(f"inverse_mass_matrix: got shape {tuple(mass.shape)}, expected (dim,) or (dim, dim)")
        else:
            _ = self.factor  # a matrix that is not positive definite is refused here

    @property
    def h(self) -> float:
        """The step size in force."""
        return self.default_step_size if self.step_size is None else self.step_size

    @cached_property
    def factor(self) -> Tensor | None:
        """L: None for the identity, (dim,) for diagonal, lower triangular (dim, dim) for dense."""
        mass = self.inverse_mass_matrix
        if isinstance(mass, str):
            return None
        if mass.ndim == 1:
            if not bool((mass > 0).all()):
                raise ValueError("inverse_mass_matrix: got values that are not positive, expected variances")
            return mass.sqrt()
        factor, info = torch.linalg.cholesky_ex(mass)
        if int(info) != 0:
            raise ValueError("inverse_mass_matrix: got a matrix that is not positive definite")
        return factor

    def to_x(self, z: Tensor) -> Tensor:
        """L z, (chains, dim)."""
        factor = self.factor
        return z if factor is None else z * factor if factor.ndim == 1 else z @ factor.mT

    def to_z(self, score: Tensor) -> Tensor:
        """L' score: the score with respect to z, (chains, dim)."""
        factor = self.factor
        return score if factor is None else score * factor if factor.ndim == 1 else score @ factor

    def pull(self, state: State) -> Tensor:
        """The score of a state with respect to z, (chains, dim)."""
        assert state.score is not None
        return self.to_z(state.score)

    def whiten(self, x: Tensor) -> Tensor:
        """L^-1 x, (chains, dim)."""
        factor = self.factor
        if factor is None:
            return x
        return x / factor if factor.ndim == 1 else torch.linalg.solve_triangular(factor, x.mT, upper=False).mT

    def placed(self, target: Target) -> Self:
        mass = self.inverse_mass_matrix
        if isinstance(mass, str):
            return self
        if len(mass) != target.dim:
            raise ValueError(
                f"inverse_mass_matrix: got shape {tuple(mass.shape)}, expected ({target.dim},) or "
                f"({target.dim}, {target.dim}) for {target.name}"
            )
        if (mass.dtype, mass.device) == (target.dtype, target.device):
            return self
        return replace(self, inverse_mass_matrix=mass.to(device=target.device, dtype=target.dtype))

    def tuned(self, warm: Kernel) -> Self:
        assert isinstance(warm, PreconditionedKernel)
        step_size = self._step_size_from(warm) if self.step_size is None else self.step_size
        mass = warm.inverse_mass_matrix if isinstance(self.inverse_mass_matrix, str) else self.inverse_mass_matrix
        return replace(self, step_size=step_size, inverse_mass_matrix=mass)

    def _step_size_from(self, warm: PreconditionedKernel) -> float | None:
        return warm.step_size
