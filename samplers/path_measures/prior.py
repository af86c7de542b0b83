"""The law that paths start from: a Gaussian whose place and scale may be learned, a mixture, or a product of
mixtures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor, nn

from targets import GaussianMixture, Target
from targets.mixture_blocks import Blocks
from targets.mixture_product import MixtureProduct


class Prior(nn.Module, ABC):
    """A normalised density with exact draws, in the coordinates of the sampler."""

    reference: Tensor  # whose dtype and device are this module's

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("reference", torch.zeros(()))

    @abstractmethod
    def sample(self, n: int, generator: Generator) -> Tensor:
        """(n, dim)."""

    def reparametrised(self, n: int, generator: Generator) -> Tensor:
        """Draws whose gradient with respect to what is learned is recorded, (n, dim)."""
        return self.sample(n, generator)

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """(*batch, dim) -> (*batch,)."""

    @abstractmethod
    def score(self, x: Tensor) -> Tensor:
        """(*batch, dim) -> (*batch, dim)."""


class GaussianPrior(Prior):
    """N(mean, scale^2), both learned where `learned`: standard normal at first, or of the scale that is given."""

    mean: Tensor
    log_scale: Tensor

    def __init__(self, dim: int, *, scale: float = 1.0, learned: bool = True) -> None:
        super().__init__(dim)
        values = {"mean": torch.zeros(dim), "log_scale": torch.full((dim,), math.log(scale))}
        for name, value in values.items():
            if learned:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self.reparametrised(n, generator).detach()

    def reparametrised(self, n: int, generator: Generator) -> Tensor:
        mean = self.mean
        noise = torch.randn(n, self.dim, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + self.log_scale.exp() * noise

    def log_prob(self, x: Tensor) -> Tensor:
        z = (x - self.mean) * (-self.log_scale).exp()
        return -0.5 * (z * z).sum(-1) - self.log_scale.sum() - 0.5 * self.dim * math.log(2 * math.pi)

    def score(self, x: Tensor) -> Tensor:
        return (self.mean - x) * (-2 * self.log_scale).exp()


class FixedPrior(Prior):
    """A density that is not learned. Its parameters are kept as buffers, so that a file holds all of it."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self._made: Target | None = None

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        self._made = None
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        self._made = None
        super()._load_from_state_dict(*args, **kwargs)

    @abstractmethod
    def _make(self) -> Target:
        """The density, from the buffers."""

    @property
    def density(self) -> Target:
        """The density, in the dtype and on the device of this module."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self.density.sample(n, generator=generator)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.density.log_prob(x)

    def score(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            (score,) = torch.autograd.grad(self.density.log_prob(x).sum(), x, create_graph=True)
            return score
        with torch.no_grad():
            return self.density.score(x)


class MixturePrior(FixedPrior):
    """A Gaussian mixture, fixed."""

    means: Tensor
    spreads: Tensor
    weights: Tensor

    def __init__(self, mixture: GaussianMixture) -> None:
        super().__init__(mixture.dim)
        exact = mixture._exact
        self.register_buffer("means", exact["means"].clone())
        self.register_buffer("spreads", (exact["scales"] if "scales" in exact else exact["factors"]).clone())
        self.register_buffer("weights", exact["weights"].clone())

    def _make(self) -> GaussianMixture:
        return mixture_of_factors(self.means.to(self.reference), self.spreads.double(), self.weights.double())


class ProductPrior(FixedPrior):
    """A product of mixtures of blocks of coordinates, fixed."""

    def __init__(self, product: MixtureProduct) -> None:
        super().__init__(product.dim)
        self.groups = len(product.blocks)
        for i, group in enumerate(product.blocks):
            for name, value in group.state().items():
                self.register_buffer(f"{name}_{i}", value.clone())

    def _make(self) -> MixtureProduct:
        names = Blocks.__dataclass_fields__
        groups = [Blocks(**{name: getattr(self, f"{name}_{i}") for name in names}) for i in range(self.groups)]
        return MixtureProduct(groups, dtype=self.reference.dtype)


def fixed_prior(density: GaussianMixture | MixtureProduct) -> FixedPrior:
    """The density as a prior."""
    return ProductPrior(density) if isinstance(density, MixtureProduct) else MixturePrior(density)


def mixture_of_factors(means: Tensor, factors: Tensor, weights: Tensor) -> GaussianMixture:
    """Of components with these square roots of covariances, (components, dim, dim), or deviations (components, dim)."""
    if factors.ndim == 2:
        return GaussianMixture(means, scales=factors, weights=weights)
    return GaussianMixture(means, covariances=factors @ factors.mT, weights=weights)
