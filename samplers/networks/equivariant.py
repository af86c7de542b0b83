"""A control of identical particles that turns with them: messages between all pairs, in invariants alone.

    q_ij = r_i - r_j,   e_ij = q_ij / sqrt(1 + |q_ij|^2),   v = score
    m_ij = message(h_i, h_j, basis(|q_ij|), v_i . e_ij, v_j . e_ji, time),    h_i <- h_i + update(h_i, sum_j m_ij)
    u_i  = 1/particles sum_j q_ij phi(m_ij) + psi(h_i) (v_i - mean v),   less its mean, + chi(time) mean v

A layer is the second line; phi and psi read the last one. phi, psi and chi are zero at first. Positions r_i enter by
their differences: u does not change when all move together, and it turns, is mirrored and renumbered with r and v.
Satorras, Hoogeboom and Welling 2021; Kohler, Klein and Noe 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from samplers.networks.base import ControlNetwork, NetworkSpec
from samplers.networks.features import FourierFeatures
from samplers.networks.linear import Linear
from targets.arguments import check_integer
from targets.zero_mean import ZeroMean

FREQUENCIES = 8
RADII = 16  # with equal ratios from
SHORTEST, LONGEST = 0.1, 10.0  # in coordinates of order one


class RadialBasis(nn.Module):
    """(a^4 - c_k^4) / (a^4 + c_k^4) for a distance a: steps from -1 to 1 about radii c_k, smooth also at a = 0."""

    inverse_squares: Tensor

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        powers = torch.linspace(0, 1, RADII, dtype=torch.float64, device=generator.device)
        radii = SHORTEST * (LONGEST / SHORTEST) ** powers
        self.register_buffer("inverse_squares", radii.square().reciprocal().float())

    def forward(self, square: Tensor) -> Tensor:
        """Of squared distances, (*batch,) -> (*batch, radii)."""
        return 1 - 2 / (1 + (square[..., None] * self.inverse_squares).square())


class MessageLayer(nn.Module):
    """m_ij and the new h_i."""

    def __init__(self, width: int, features: int, particles: int, generator: Generator) -> None:
        super().__init__()
        self.sender = Linear(width, width, generator)
        self.receiver = Linear(width, width, generator)
        self.pair = Linear(RADII + 2, width, generator)
        self.time = Linear(features, width, generator, 0.5)
        self.message = Linear(width, width, generator)
        self.own = Linear(width, width, generator)
        self.received = Linear(width, width, generator, (particles - 1) ** -0.5)
        self.update = Linear(width, width, generator, 0.5)

    def forward(self, h: Tensor, pairs: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """h (s, n, particles, width), pairs (s, n, particles, particles, .) -> m and h."""
        receiver = self.receiver(h) + self.time(features)[:, None, None]
        hidden = self.pair(pairs) + receiver[..., :, None, :] + self.sender(h)[..., None, :, :]
        messages = nn.functional.silu(self.message(nn.functional.silu(hidden)))
        own = messages.diagonal(dim1=-3, dim2=-2).mT  # a particle sends none to itself
        received = self.received(messages.sum(-2) - own)
        return messages, h + self.update(nn.functional.silu(self.own(h) + received))


class EquivariantControl(ControlNetwork):
    """See the module. x: positions, (particles * space), or orthonormal coordinates of those of zero mean, of
    (particles - 1) * space, which `targets.zero_mean.ZeroMean` defines and `ParticleSystem` uses.

    In positions the mean of u is chi(time) mean v: zero where that of the score is.
    """

    def __init__(self, dim: int, particles: int, space: int, width: int, layers: int, generator: Generator) -> None:
        super().__init__(dim)
        self.particles, self.space = particles, space
        self.time = FourierFeatures(FREQUENCIES, generator=generator)
        self.basis = RadialBasis(generator)
        self.first = Linear(2, width, generator)
        features = self.time.outputs
        self.layers = nn.ModuleList(MessageLayer(width, features, particles, generator) for _ in range(layers))
        self.phi = Linear(width, 1, generator, 0.0)
        self.psi = Linear(width, 1, generator, 0.0)
        centred = dim < particles * space
        self.chi = None if centred else Linear(features, 1, generator, 0.0)
        self._frame = ZeroMean(particles, space) if centred else None

    def forward(self, time: Tensor, x: Tensor, score: Tensor) -> Tensor:
        """(s,), (s, n, dim), (s, n, dim) -> (s, n, dim)."""
        self.check(time, x, score)
        if self._frame is not None:
            u = self._control(time, self._frame.positions(x), self._frame.positions(score))
            return self._frame.coordinates(u)
        shape = (*x.shape[:-1], self.particles, self.space)
        return self._control(time, x.reshape(shape), score.reshape(shape)).flatten(-2)

    def _control(self, time: Tensor, r: Tensor, v: Tensor) -> Tensor:
        """u of positions and vectors, (s, n, particles, space)."""
        features = self.time(time)
        mean = v.mean(-2, keepdim=True)
        r, v = r - r.mean(-2, keepdim=True), v - mean
        q = r[..., :, None, :] - r[..., None, :, :]
        square = q.square().sum(-1)
        along = torch.einsum("...ijc,...ic->...ij", q, v) * (1 + square).rsqrt()
        dots = torch.stack([along, along.mT], -1).asinh()  # v_j . e_ji is the transpose of v_i . e_ij
        pairs = torch.cat([self.basis(square), dots], -1)
        h = self.first(torch.stack([r.square().sum(-1), v.square().sum(-1)], -1).log1p())
        for layer in self.layers:
            messages, h = layer(h, pairs, features)
        u = torch.einsum("...ijc,...ij->...ic", q, self.phi(messages)[..., 0]) / self.particles + self.psi(h) * v
        u = u - u.mean(-2, keepdim=True)
        return u if self.chi is None else u + self.chi(features)[:, None, None] * mean


@dataclass(frozen=True)
class EquivariantNetwork(NetworkSpec):
    """A network for identical particles without a preferred direction: see the module.

        u(R r, R v) = R u(r, v),    u(P r, P v) = P u(r, v),    u(r + shift, v) = u(r, v)

    for rotations and reflections R of space and exchanges P of particles. Work and memory grow with particles^2 times
    width. dim is particles * space for positions, (particles - 1) * space for coordinates of a `ParticleSystem`.
    width: of h and m. layers: rounds of messages. ValueError for another dim. Satorras et al. 2021,
    https://arxiv.org/abs/2102.09844.

        >>> from samplers.networks import EquivariantNetwork
        >>> EquivariantNetwork(particles=4, space=2, width=8).make(6, torch.Generator().manual_seed(0)).dim
        6
    """

    particles: int
    space: int
    width: int = 64
    layers: int = 2
    coordinates = "isotropic"

    def __post_init__(self) -> None:
        check_integer(self.particles, "particles", 2)
        for name in ("space", "width", "layers"):
            check_integer(getattr(self, name), name)

    def make(self, dim: int, generator: Generator) -> EquivariantControl:
        """The network for positions or for coordinates of zero mean, whichever has this dim."""
        positions, centred = self.particles * self.space, (self.particles - 1) * self.space
        if dim not in (positions, centred):
            raise ValueError(
                f"dim: got {dim}, expected {positions} for the positions of {self.particles} particles in "
                f"{self.space} dimensions, or {centred} for their coordinates without the centre of mass"
            )
        return EquivariantControl(dim, self.particles, self.space, self.width, self.layers, generator)
