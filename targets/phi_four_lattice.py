"""The phi^4 field on a lattice of any dimension, in the three conventions of the literature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Self, TypedDict, Unpack

import torch
from torch import Tensor

from targets.arguments import check_integer, positive, shown
from targets.base import Variable
from targets.boltzmann import Boltzmann
from targets.strip_transfer import Strip


class Placement(TypedDict, total=False):
    """Settings of a field in any convention."""

    temperature: float
    dtype: torch.dtype | None
    device: torch.device | str | None
    name: str | None


class Settings(Placement, total=False):
    """The same, and which axes close."""

    periodic: bool | Sequence[bool]


class PhiFourLattice(Boltzmann):
    """Real numbers on the sites of a lattice, neighbours coupled, every link counted once; log p = -S / temperature.

        S(phi) = stiffness sum_links (phi_x - phi_y)^2 + mass sum_x phi_x^2 + quartic sum_x phi_x^4
        dS / d phi_x = 2 stiffness sum_{y next to x} (phi_x - phi_y) + 2 mass phi_x + 4 quartic phi_x^3

    stiffness = 1 is the convention of annealed flow transport (`mass` is m^2, `quartic` lambda; 14 x 14, -4.75, 5.1).
    `from_hopping` and `from_wells` are the two others; `hopping_form` and `rescaled` convert. `periodic`: one flag, or
    one an axis; a periodic axis of two sites has two links between them. x is the field flattened row by row.

    Modes: the uniform fields of least energy, one for mass >= 0, else -v and +v of weight 1/2 each, the sign of the
    mean field deciding. The mean is 0 by symmetry. log_z is known for narrow lattices by tensor quadrature: where the
    cross-section of some axis has at most 6 sites (3 where that axis is periodic), in seconds.

    shape: sites of each axis. mass, quartic: real numbers, quartic above 0. temperature: in units of S. dtype, device,
    name: as of `Target`. ValueError for a density that cannot be normalised. Conventions: Arbel, Matthews and Doucet
    2021, https://arxiv.org/abs/2102.07501.

        >>> lattice = targets.PhiFourLattice((4, 4), mass=-4.0, quartic=6.975)
        >>> lattice.mode_weights, lattice.energy(torch.zeros(16)).item()
        (tensor([0.5000, 0.5000]), 0.0)
    """

    def __init__(
        self,
        shape: Sequence[int],
        mass: float,
        quartic: float,
        *,
        stiffness: float = 1.0,
        periodic: bool | Sequence[bool] = True,
        temperature: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        shape = tuple(shape)
        if not shape:
            raise ValueError("shape: got (), expected one side or more")
        for side in shape:
            check_integer(side, "shape")
        super().__init__(math.prod(shape), temperature, dtype=dtype, device=device, name=name)
        self.shape = shape
        self.periodic = (periodic,) * len(shape) if isinstance(periodic, bool) else tuple(periodic)
        if len(self.periodic) != len(shape):
            raise ValueError(f"periodic: got {len(self.periodic)} flags, expected one or {len(shape)}, one an axis")
        for side, closed in zip(shape, self.periodic, strict=True):
            if closed and side < 2:
                raise ValueError(f"shape: got {shown(shape)}, expected at least 2 sites along a periodic axis")
        if not math.isfinite(mass):
            raise ValueError(f"mass: got {shown(mass)}, expected a finite number")
        self.mass, self.quartic = float(mass), positive(quartic, "quartic")
        self.stiffness = positive(stiffness, "stiffness")

    # The other conventions

    @classmethod
    def from_hopping(cls, shape: Sequence[int], kappa: float, quartic: float, **settings: Unpack[Placement]) -> Self:
        """S = sum_x [ -2 kappa phi_x sum_axes phi_{x + axis} + (1 - 2 quartic) phi_x^2 + quartic phi_x^4 ], periodic.

        SCLD and underdamped diffusion bridges: shape (d/8, 8), kappa 0.3, quartic 0.022.
        """
        mass = 1 - 2 * quartic - 2 * len(tuple(shape)) * kappa
        return cls(shape, mass, quartic, stiffness=positive(kappa, "kappa"), periodic=True, **settings)

    @classmethod
    def from_wells(cls, shape: Sequence[int], stiffness: float, depth: float, **settings: Unpack[Settings]) -> Self:
        """S = stiffness/2 sum_links (phi_x - phi_y)^2 + depth/4 sum_x [(1 - phi_x^2)^2 - 1], minima at -1 and +1.

        The action of `PhiFourChain` has stiffness = a N beta and depth = beta / (a N), the constant depth/4 a site
        more, and links to zeros beyond both ends.
        """
        half = positive(depth, "depth") / 2
        return cls(shape, -half, half / 2, stiffness=positive(stiffness, "stiffness") / 2, **settings)

    def rescaled(self, scale: float) -> Self:
        """The law of psi = phi / scale; log_z of phi is log_z of psi + dim log(scale)."""
        square = positive(scale, "scale") ** 2
        return type(self)(
            self.shape,
            self.mass * square,
            self.quartic * square**2,
            stiffness=self.stiffness * square,
            periodic=self.periodic,
            temperature=self.temperature,
            dtype=self.dtype,
            device=self.device,
        )

    def hopping_form(self) -> tuple[float, float, float]:
        """(kappa, quartic, scale): phi / scale has the law `from_hopping(shape, kappa, quartic)`. Periodic only.

        scale^2 solves 2 quartic scale^4 + (mass + 2 axes stiffness) scale^2 = 1, in units where the temperature is 1.
        """
        if not all(self.periodic):
            raise ValueError(f"periodic: got {self.periodic}, expected a torus for the hopping form")
        linear = (self.mass + 2 * len(self.shape) * self.stiffness) / self.temperature
        quartic = self.quartic / self.temperature
        square = 2 / (linear + math.sqrt(linear**2 + 8 * quartic))
        return square * self.stiffness / self.temperature, square**2 * quartic, math.sqrt(square)

    # The density

    def _field(self, x: Tensor) -> Tensor:
        self._check(x)
        return x.reshape(*x.shape[:-1], *self.shape)

    def _steps(self, field: Tensor) -> list[tuple[int, bool, Tensor]]:
        """(axis, periodic, differences along it)."""
        found = []
        for axis, closed in zip(range(-len(self.shape), 0), self.periodic, strict=True):
            found.append((axis, closed, field.roll(-1, axis) - field if closed else field.diff(dim=axis)))
        return found

    def _total(self, values: Tensor) -> Tensor:
        return values.flatten(-len(self.shape)).sum(-1)

    def energy(self, x: Tensor) -> Tensor:
        square = x.square()
        links = sum(self._total(step.square()) for *_, step in self._steps(self._field(x)))
        return self.stiffness * links + (square * (self.mass + self.quartic * square)).sum(-1)

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        field, square = self._field(x), x.square()
        energy = (square * (self.mass + self.quartic * square)).sum(-1)
        gradient = (x * (2 * self.mass + 4 * self.quartic * square)).reshape(field.shape)
        for axis, closed, step in self._steps(field):
            energy = energy + self.stiffness * self._total(step.square())
            pull = step * (2 * self.stiffness)
            if closed:
                gradient = gradient - pull + pull.roll(1, axis)
            else:
                gradient.narrow(axis, 0, step.shape[axis]).sub_(pull)
                gradient.narrow(axis, 1, step.shape[axis]).add_(pull)
        return energy, gradient.reshape(x.shape)

    # Observables

    def magnetisation(self, x: Tensor) -> Tensor:
        """The mean field, (*batch, dim) -> (*batch,). dim times the mean of its square is the susceptibility."""
        return x.mean(-1)

    def neighbour_product(self, x: Tensor) -> Tensor:
        """Mean of phi_x phi_y over all links, (*batch, dim) -> (*batch,): the Ising energy (G(0,1) + G(1,0)) / 2."""
        field = self._field(x)
        total, links = x.new_zeros(x.shape[:-1]), 0
        for axis, _, step in self._steps(field):
            first = field.narrow(axis, 0, step.shape[axis])
            total = total + self._total(first * (first + step))
            links += step[(0,) * (x.ndim - 1)].numel()
        return total / links

    # What is exactly known

    _cached = ("log_z", "modes")

    @cached_property
    def _strip(self) -> Strip | None:
        return Strip.narrowest(self.shape, self.periodic)

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset(["log_z"] if self._strip is None else [])

    @cached_property
    def log_z(self) -> float:
        if self._strip is None:
            self._raise_unknown("log_z")
        coefficients = (self.stiffness, self.mass, self.quartic)
        return self._strip.log_z(*(value / self.temperature for value in coefficients))

    @cached_property
    def modes(self) -> Tensor:
        least = math.sqrt(max(0.0, -self.mass) / (2 * self.quartic))
        values = [[-least], [least]] if least > 0 else [[0.0]]
        return torch.tensor(values, dtype=self.dtype, device=self.device).repeat(1, self.dim)

    @property
    def mode_weights(self) -> Tensor:
        return torch.full((len(self.modes),), 1 / len(self.modes), dtype=self.dtype, device=self.device)

    def mode_probabilities(self, x: Tensor) -> Tensor:
        if self.mass >= 0:
            return torch.ones_like(x[..., :1])
        above = (self.magnetisation(x) > 0).to(x.dtype)
        return torch.stack([1 - above, above], -1)

    @property
    def mean(self) -> Tensor:
        return torch.zeros(self.dim, dtype=self.dtype, device=self.device)

    @property
    def variables(self) -> dict[str, Variable]:
        return {"field": Variable(self.shape)}

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return {"field": self._field(x)}
