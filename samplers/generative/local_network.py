"""The network of a score model of lattices, in which a site sees its neighbourhood alone.

    F(x, t)_i = F_k(x_i, t) + N((c_in z_j, y_j)_{j near i}; T_1(l), .., T_L(l), context),   z = x / a - m
    c_in = 1 / sqrt(sigma^2 + k^2),   l = log sigma in units in which its range is [-1, 1],   sigma = s / a

F_k is the output, in the parametrisation's own terms, for the score of N(m, k^2 C) noised up to t, k^2 the mean
variance of the data in units of the noise C: local for noise of any shape. N is a
`samplers.networks.patches.PatchNetwork`, zero where training starts. The noise level enters through c_in, and by
Chebyshev polynomials T of few degrees: smooth, few and of order one. The score of a field with noise is not local: it
needs radii that grow with sigma. Ehab 2023; Gottwald, Li, Marzouk and Reich 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from samplers.generative.noisy_state import NoisyState
from samplers.generative.parametrisation import Parametrisation
from samplers.generative.regression import Regression
from samplers.generative.score import noise_of
from samplers.generative.score_spec import ScoreSpec, check_least_time, check_moments, levels
from samplers.networks.patches import Lattice, PatchNetwork, check_radii
from samplers.processes.base import Process
from targets.arguments import check_integer, positive, shown


@dataclass(frozen=True)
class LocalScore(ScoreSpec):
    """A network for data on a lattice, such as images and fields, x = (channels, *shape) flattened: see the module.

    shape: the sides of the lattice. radii: of the layers; (1, 0) is a function of nine pixels in two dimensions, with
    a hidden layer more, (1, 1, 1) a convolutional network, and a site sees as far as their sum. width: of the layers.
    periodic: whether sides close. channels: numbers at a site. given_channels: so many images of the lattice's shape
    stand first in a condition, and a site sees them in its neighbourhood; the rest of it every site sees. shared: the
    same weights at all sites. place: with shared ones, a learned bias of each site. degrees: L, of the polynomials in
    log sigma. modulated: they multiply the hidden units too. least_time: as of `ScoreMLP`.

    ValueError for sizes below 1, radii below 0, and, by `make`, for data and conditions of another size.
    Gottwald, Li, Marzouk and Reich 2025, https://arxiv.org/abs/2505.04417.

        >>> from samplers.generative import LocalScore
        >>> model = samplers.ScoreDiffusion(network=LocalScore((6,), width=8, periodic=True))
        >>> ring = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
        >>> model.fit(ring, iterations=10, progress=False).sample(draws=5, seed=1).x.shape
        torch.Size([1, 5, 6])
    """

    shape: Sequence[int]
    radii: Sequence[int] = (1, 0)
    width: int = 32
    periodic: bool = False
    channels: int = 1
    given_channels: int = 0
    shared: bool = True
    place: bool = False
    degrees: int = 4
    modulated: bool = True
    least_time: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("width", "channels", "degrees"):
            check_integer(getattr(self, name), name)
        check_integer(self.given_channels, "given_channels", 0)
        positive(self.least_time, "least_time")
        object.__setattr__(self, "radii", check_radii(self.radii))
        object.__setattr__(self, "shape", self.lattice.shape)
        if not isinstance(self.periodic, bool):
            raise TypeError(f"periodic: got {shown(self.periodic)}, expected True or False")
        for radius in self.radii:
            self.lattice.check_radius(radius, "radii")

    @property
    def lattice(self) -> Lattice:
        """The sites."""
        return Lattice(self.shape, self.periodic)

    def make(
        self,
        process: Process,
        parametrisation: Parametrisation,
        mean: Tensor,
        covariance: Tensor,
        generator: Generator,
        regression: Regression | None = None,
    ) -> nn.Module:
        """The network for data of this mean and covariance; of a regression it takes the size of the context alone."""
        check_moments(mean, covariance)
        check_least_time(self.least_time, process)
        wanted = self.channels * self.lattice.sites
        if len(mean) != wanted:
            raise ValueError(f"shape: got {wanted} numbers in {self.channels} x {self.shape}, expected {len(mean)}")
        images, context = self.given_channels * self.lattice.sites, 0 if regression is None else len(regression.slope)
        if images and images >= context:  # the last of a context says whether there is one
            raise ValueError(
                f"given_channels: got {self.given_channels} of {self.lattice.sites} numbers, expected conditions of as "
                f"many numbers at least, got {max(0, context - 1)}"
            )
        body = PatchNetwork(
            self.lattice,
            inputs=self.channels + self.given_channels,
            outputs=self.channels,
            features=self.degrees + context - images,
            width=self.width,
            generator=generator,
            radii=self.radii,
            shared=self.shared,
            place=self.place,
            modulated=self.modulated,
        )
        variance = float(noise_of(process).solve(covariance.double()).diagonal().mean())
        return _LocalNetwork(self, process, parametrisation, body.to(mean), mean, variance, context)


class _LocalNetwork(nn.Module):
    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        spec: LocalScore,
        process: Process,
        parametrisation: Parametrisation,
        body: PatchNetwork,
        mean: Tensor,
        variance: float,
        context: int,
    ) -> None:
        super().__init__()
        self.spec, self.process, self.parametrisation, self.body = spec, process, parametrisation, body
        self.context = context
        self.low, self.high = levels(process, spec.least_time)
        self.register_buffer("mean", mean.clone())
        self.register_buffer("variance", mean.new_tensor(variance))

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """(*batch, dim), (*batch) and, of a conditional one, (*batch, size) -> (*batch, dim)."""
        if (0 if context is None else context.shape[-1]) != self.context:
            got = "none" if context is None else f"one of shape {tuple(context.shape)}"
            raise ValueError(f"context: got {got}, expected {f'{self.context} numbers' if self.context else 'none'}")
        state = NoisyState.at(self.process, t.double().clamp(max=self.process.horizon), x)  # beyond by rounding alone
        z, sigma = x / state.row(state.a) - self.mean, (state.s / state.a).to(x)[..., None]
        total = sigma.square() + self.variance
        start = self.parametrisation.output(sigma / total * z, state)
        seen, features = self._at_sites(z * total.rsqrt(), self.spec.channels), self._level(sigma)
        if context is not None:
            images = self.spec.given_channels * self.spec.lattice.sites
            features = torch.cat([features, context[..., images:]], -1)
            if images:
                seen = torch.cat([seen, self._at_sites(context[..., :images], self.spec.given_channels)], -1)
        learned = self.body(seen, features).mT.flatten(-2)
        return start + learned

    def _at_sites(self, x: Tensor, channels: int) -> Tensor:
        """(*batch, channels * sites) -> (*batch, sites, channels)."""
        return x.unflatten(-1, (channels, self.spec.lattice.sites)).mT

    def _level(self, sigma: Tensor) -> Tensor:
        """T_1, .., T_L of log sigma on [-1, 1], (*batch, L)."""
        low, high = torch.tensor([self.low, self.high], dtype=torch.float64).log().tolist()
        place = ((2 * sigma.clamp(self.low, self.high).log() - low - high) / (high - low)).clamp(-1, 1)
        found = [torch.ones_like(place), place]
        while len(found) <= self.spec.degrees:
            found.append(2 * place * found[-1] - found[-2])
        return torch.cat(found[1:], -1)
