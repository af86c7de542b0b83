"""Products of Gaussian mixtures, one for each block of coordinates: very many modes from few parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from targets.arguments import brief, floating_dtype
from targets.base import Target
from targets.mixture_blocks import Blocks, NoisedBlocks, sum_of
from targets.noise import Noise, as_noise


class MixtureProduct(Target):
    """q(x) = prod_b q_b(x_b) with a Gaussian mixture q_b for each block x_b of coordinates; normalised.

        log q(x) = sum_b log sum_k exp l_bk(x_b),     l_bk = log w_bk + log N(x_b; mu_bk, Sigma_bk)
        score_b  = sum_k softmax(l_b)_k Sigma_bk^-1 (mu_bk - x_b)

    A mixture of prod_b K_b Gaussians. blocks: groups of blocks of one size and number of components, which together
    hold every coordinate once; ValueError otherwise, or for shapes that do not fit. dtype: that of the first means.

    Known: log_z = 0, exact draws, Gaussian smoothing by noise that couples no blocks, moments.
    """

    def __init__(self, blocks: Sequence[Blocks], *, dtype: torch.dtype | None = None, name: str | None = None) -> None:
        if not blocks:
            raise ValueError("blocks: got none, expected at least one group")
        found = torch.cat([group.index.flatten() for group in blocks]).sort().values
        if not torch.equal(found, torch.arange(len(found), device=found.device)):
            raise ValueError(f"blocks: got the coordinates {brief(found)}, expected each once, from 0 on")
        for group in blocks:
            (b, d), k = group.index.shape, group.weights.shape[1]
            shapes = {"weights": (b, k), "means": (b, k, d), "covariances": (b, k, d, d)}
            for what, shape in shapes.items():
                if tuple(getattr(group, what).shape) != shape:
                    raise ValueError(f"{what}: got shape {tuple(getattr(group, what).shape)}, expected {shape}")
        device = blocks[0].means.device
        super().__init__(len(found), dtype=dtype or floating_dtype(blocks[0].means), device=device, name=name)
        self._exact = [
            Blocks(
                g.index, (g.weights / g.weights.sum(1, keepdim=True)).double(), g.means.double(), g.covariances.double()
            )
            for g in blocks
        ]
        self._place()

    def _place(self) -> None:
        self._groups = [NoisedBlocks.of(group).to(self.device, self.dtype) for group in self._exact]

    @property
    def blocks(self) -> list[Blocks]:
        """The groups of blocks, in float64."""
        return self._exact

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        flat, one = x.reshape(1, -1, self.dim), x.new_ones(1, 1, 1)
        return sum_of([group.log_prob(one, flat) for group in self._groups]).reshape(x.shape[:-1])

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        flat, one = x.reshape(1, -1, self.dim), x.new_ones(1, 1, 1)
        score = torch.empty_like(flat)
        values = [group.write_score(one, flat, score) for group in self._groups]
        return sum_of(values).reshape(x.shape[:-1]), score.reshape(x.shape)

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        x = torch.empty(n, self.dim, dtype=self.dtype, device=self.device)
        for group in self._groups:
            group.write_draws(x, generator)
        return x

    def sample_given(self, y: Tensor, noise: float | Noise, *, generator: Generator) -> Tensor:
        self._check(y)
        noise = as_noise(noise, self.dim)
        wide, matrix = self.smoothed(noise), noise.covariance(self.dim)
        x = torch.empty_like(y)
        for group, wider in zip(self._exact, wide._exact, strict=True):
            # x + S (S + C)^-1 (y - x - e) with fresh x from the component and e: their difference from y is regressed
            of_y = y.double()[:, group.index].transpose(0, 1)  # (B, n, d)
            rows = torch.arange(len(of_y), device=y.device)[:, None]
            which = torch.multinomial(wider.responsibilities(of_y).flatten(0, 1), 1, generator=generator)
            which = which.reshape(of_y.shape[:2])
            own = matrix.to(of_y)[group.index[:, :, None], group.index[:, None, :]]  # (B, d, d)
            factors = torch.linalg.cholesky(group.covariances)[rows, which]
            white, other = (
                torch.randn(of_y.shape, generator=generator, dtype=of_y.dtype, device=of_y.device) for _ in range(2)
            )
            drawn = group.means[rows, which] + (factors @ white[..., None])[..., 0]
            measured = drawn + other @ torch.linalg.cholesky(own).mT
            gains = (group.covariances @ torch.linalg.inv(wider.covariances))[rows, which]
            drawn = drawn + (gains @ (of_y - measured)[..., None])[..., 0]
            x[:, group.index.flatten()] = drawn.transpose(0, 1).flatten(1).to(y)
        return x

    def smoothed(self, sigma: float | Noise) -> MixtureProduct:
        if sigma == 0:
            return self
        matrix = as_noise(sigma, self.dim, "sigma").covariance(self.dim).to(self._exact[0].covariances)
        left = matrix.clone()
        wider = []
        for group in self._exact:
            rows, columns = group.index[:, :, None], group.index[:, None, :]
            left[rows, columns] = 0
            wider.append(group.mapped(group.means, group.covariances + matrix[rows, columns][:, None]))
        if bool(left.any()):
            raise ValueError(f"sigma: got correlated noise, which couples the independent blocks of {self.name}")
        return MixtureProduct(wider, dtype=self.dtype, name=self.name)._at(self)

    def noised(self, a: float) -> MixtureProduct:
        """The law of a x + sqrt(1 - a^2) xi with xi standard normal."""
        moved = []
        for g in self._exact:
            eye = torch.eye(g.index.shape[1]).to(g.covariances)
            moved.append(g.mapped(a * g.means, a**2 * g.covariances + (1 - a**2) * eye))
        return MixtureProduct(moved, dtype=self.dtype, name=self.name)._at(self)

    def scaled(self, shift: Tensor, factor: Tensor) -> MixtureProduct:
        """The law of u where x = shift + factor u, for a shift (dim,) and a positive factor () or (dim,)."""
        moved = []
        for g in self._exact:
            middle = shift.to(g.means).expand(self.dim)[g.index]
            unit = factor.to(g.means).expand(self.dim)[g.index]
            means = (g.means - middle[:, None]) / unit[:, None]
            moved.append(g.mapped(means, g.covariances / (unit[:, None, :, None] * unit[:, None, None, :])))
        return MixtureProduct(moved, dtype=self.dtype, name=self.name)._at(self)

    def widened(self, factor: float, share: float, name: str | None = None) -> MixtureProduct:
        """Every spread times a factor, and in each block, with that share, one Gaussian of the whole block's spread."""
        mean, covariance = self.mean.double(), factor**2 * self.covariance.double()
        wider = []
        for g in self._exact:
            rows, columns = g.index[:, :, None], g.index[:, None, :]
            weights = torch.cat([(1 - share) * g.weights, torch.full_like(g.weights[:, :1], share)], 1)
            means = torch.cat([g.means, mean[g.index][:, None].to(g.means)], 1)
            whole = covariance[rows, columns][:, None].to(g.means)
            wider.append(Blocks(g.index, weights, means, torch.cat([factor**2 * g.covariances, whole], 1)))
        return MixtureProduct(wider, dtype=self.dtype, name=name or self.name)._at(self)

    def _at(self, other: Target) -> MixtureProduct:
        return self.to(other.device)

    @property
    def mean(self) -> Tensor:
        value = torch.empty(self.dim, dtype=torch.float64, device=self._exact[0].means.device)
        for g in self._exact:
            value[g.index] = (g.weights[..., None] * g.means).sum(1)
        return value.to(self.device, self.dtype)

    @property
    def covariance(self) -> Tensor:
        exact = self._exact[0].covariances
        value = torch.zeros(self.dim, self.dim, dtype=exact.dtype, device=exact.device)
        for g in self._exact:
            centred = g.means - (g.weights[..., None] * g.means).sum(1, keepdim=True)
            second = g.covariances + centred[..., :, None] * centred[..., None, :]
            value[g.index[:, :, None], g.index[:, None, :]] = (g.weights[..., None, None] * second).sum(1)
        return value.to(self.device, self.dtype)

    @property
    def component_variance(self) -> float:
        """Of a coordinate given its component, on average over the components and coordinates of a block: the least."""
        least = [(g.weights[..., None] * g.covariances.diagonal(dim1=-2, dim2=-1)).sum(1).mean(1) for g in self._exact]
        return float(torch.cat(least).min())
