"""A Gaussian mixture on its way to noise: its score at every time, in closed form.

x_t = a x_0 + sqrt(1 - a^2) xi,   x_0 ~ sum_j w_j N(m_j, S_j):     x_t ~ sum_j w_j N(a m_j, a^2 S_j + 1 - a^2)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from targets import GaussianMixture
from targets.mixture_blocks import NoisedBlocks, sum_of
from targets.mixture_product import MixtureProduct


class NoisedMixture(nn.Module):
    """Scores for several a at once. Parameters are fixed, and kept as buffers so that a file holds all of it.

    Along the principal axes of each component its covariance is diagonal at every a.
    """

    axes: Tensor
    centres: Tensor
    variances: Tensor
    log_weights: Tensor

    def __init__(self, mixture: GaussianMixture) -> None:
        super().__init__()
        exact = mixture._exact
        means = exact["means"]
        self.diagonal = "scales" in exact
        if self.diagonal:
            variances, axes, centres = exact["scales"].square(), means.new_zeros(0), means.clone()
        else:
            variances, axes = torch.linalg.eigh(exact["factors"] @ exact["factors"].mT)
            centres = torch.einsum("jde,jd->je", axes, means)
        self.register_buffer("axes", axes)
        self.register_buffer("centres", centres)
        self.register_buffer("variances", variances)
        self.register_buffer("log_weights", exact["weights"].log())

    def log_prob(self, a: Tensor, x: Tensor) -> Tensor:
        """log p_a at states x (s, n, dim), for a (s, 1, 1), (s, n)."""
        variances = a * a * self.variances + (1 - a * a)  # (s, components, dim)
        turned = x[:, :, None] if self.diagonal else self._turned(x)
        squares = ((turned - (a * self.centres)[:, None]).square() / variances[:, None]).sum(-1)
        constant = self.log_weights - 0.5 * (2 * math.pi * variances).log().sum(-1)
        return (constant[:, None] - 0.5 * squares).logsumexp(-1)

    def score(self, a: Tensor, x: Tensor) -> Tensor:
        """grad log p_a at states x (s, n, dim), for a (s, 1, 1), (s, n, dim)."""
        variances = a * a * self.variances + (1 - a * a)  # (s, components, dim)
        precision = 1 / variances
        constant = self.log_weights - 0.5 * variances.log().sum(-1)  # (s, components)
        if self.diagonal:
            # sum_d (x - a m)^2 / v, expanded into two products
            pull = precision * (a * self.centres)
            constant = constant - 0.5 * (pull * a * self.centres).sum(-1)
            logits = x @ pull.mT - 0.5 * (x * x) @ precision.mT + constant[:, None]
            shares = logits.softmax(-1)
            return shares @ pull - x * (shares @ precision)
        s, n, dim = x.shape
        turned = self._turned(x) - (a * self.centres)[:, None]
        pulled = turned * precision[:, None]
        logits = constant[:, None] - 0.5 * torch.linalg.vecdot(turned, pulled)
        weighted = logits.softmax(-1)[..., None] * pulled
        return -(weighted.reshape(s * n, -1) @ self._flat_axes().mT).reshape(s, n, dim)

    def _turned(self, x: Tensor) -> Tensor:
        """x along the axes of each component, (s, n, components, dim)."""
        s, n, dim = x.shape
        return (x.reshape(-1, dim) @ self._flat_axes()).reshape(s, n, -1, dim)

    def _flat_axes(self) -> Tensor:
        """The axes of all components side by side, (dim, components * dim)."""
        return self.axes.permute(1, 0, 2).reshape(self.axes.shape[1], -1)


class NoisedProduct(nn.Module):
    """A product of mixtures on its way to noise, with the methods of `NoisedMixture`."""

    def __init__(self, product: MixtureProduct) -> None:
        super().__init__()
        self.groups = len(product.blocks)
        for i, blocks in enumerate(product.blocks):
            for name, value in NoisedBlocks.of(blocks).state().items():
                self.register_buffer(f"{name}_{i}", value)

    def _blocks(self) -> list[NoisedBlocks]:
        names = NoisedBlocks.__dataclass_fields__
        return [NoisedBlocks(**{name: getattr(self, f"{name}_{i}") for name in names}) for i in range(self.groups)]

    def log_prob(self, a: Tensor, x: Tensor) -> Tensor:
        """log p_a at states x (s, n, dim), for a (s, 1, 1), (s, n)."""
        return sum_of([blocks.log_prob(a, x) for blocks in self._blocks()])

    def score(self, a: Tensor, x: Tensor) -> Tensor:
        """grad log p_a at states x (s, n, dim), for a (s, 1, 1), (s, n, dim)."""
        score = torch.empty_like(x)
        for blocks in self._blocks():
            blocks.write_score(a, x, score)
        return score


def on_its_way(density: GaussianMixture | MixtureProduct) -> NoisedMixture | NoisedProduct:
    """The density at every time."""
    return NoisedProduct(density) if isinstance(density, MixtureProduct) else NoisedMixture(density)


def noised(mixture: GaussianMixture | MixtureProduct, a: float) -> GaussianMixture | MixtureProduct:
    """The law of a x + sqrt(1 - a^2) xi, for x from the mixture."""
    if isinstance(mixture, MixtureProduct):
        return mixture.noised(a)
    exact, rest = mixture._exact, 1 - a * a
    means = (a * exact["means"]).to(mixture.dtype)
    if "scales" in exact:
        return GaussianMixture(means, scales=(a**2 * exact["scales"] ** 2 + rest).sqrt(), weights=exact["weights"])
    eye = torch.eye(mixture.dim, dtype=torch.float64, device=means.device)
    matrices = a**2 * exact["factors"] @ exact["factors"].mT + rest * eye
    return GaussianMixture(means, covariances=matrices, weights=exact["weights"])
