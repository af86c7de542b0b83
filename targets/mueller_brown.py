"""The Mueller-Brown potential of the literature on rare events."""

from __future__ import annotations

import torch
from torch import Tensor

from targets.plane import PlaneBoltzmann

HEIGHT = (-200.0, -100.0, -170.0, 15.0)
CENTRE = ((1.0, 0.0), (0.0, 0.5), (-0.5, 1.5), (-1.0, 1.0))
CURVATURE = ((-1.0, 0.0, -10.0), (-1.0, 0.0, -10.0), (-6.5, 11.0, -6.5), (0.7, 0.6, 0.7))


class MuellerBrown(PlaneBoltzmann):
    """Three wells on a winding path, log p = -energy / temperature.

        energy(x) = sum_k A_k exp(a_k u_k^2 + b_k u_k v_k + c_k v_k^2),   (u_k, v_k) = x - centre_k
        A = (-200, -100, -170, 15),   centres (1, 0), (0, 1/2), (-1/2, 3/2), (-1, 1),
        (a, b, c) = (-1, 0, -10), (-1, 0, -10), (-13/2, 11, -13/2), (7/10, 3/5, 7/10)

    The minima have energies -146.700, -108.167 and -80.768, the barrier from the deepest is 106. The default
    temperature, 20, lets draws visit all three. Known: log_z, exact draws, moments, modes with their weights (by the
    nearest minimum). Mueller and Brown 1979, https://doi.org/10.1007/BF00547608.

    temperature: in units of the energy. dtype, device, name: as of `Target`.

        >>> surface = targets.MuellerBrown()
        >>> surface.energy(surface.modes).round(decimals=2)
        tensor([-146.7000, -108.1700,  -80.7700])
    """

    near_minima = ((-0.558, 1.442), (0.623, 0.028), (-0.05, 0.467))
    box = ((-1.5, -0.5), (1.2, 2.0))

    def __init__(
        self,
        temperature: float = 20.0,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(temperature, dtype=dtype, device=device, name=name)

    def energy(self, x: Tensor) -> Tensor:
        return self._terms(x)[0]

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        energy, along_x, along_y = self._terms(x)
        return energy, torch.stack([along_x, along_y], -1)

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self._check(x)
        energy = along_x = along_y = x.new_zeros(x.shape[:-1])
        for height, (x0, y0), (a, b, c) in zip(HEIGHT, CENTRE, CURVATURE, strict=True):
            u, v = x[..., 0] - x0, x[..., 1] - y0
            term = height * (a * u * u + b * u * v + c * v * v).exp()
            energy = energy + term
            along_x = along_x + term * (2 * a * u + b * v)
            along_y = along_y + term * (b * u + 2 * c * v)
        return energy, along_x, along_y
