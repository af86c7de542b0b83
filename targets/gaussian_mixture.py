"""Mixtures of Gaussians."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from targets.arguments import as_double, cholesky, floating_dtype, normalised_weights
from targets.base import Target
from targets.noise import Noise, as_noise, regression

LN2 = math.log(2.0)
MOST_ROUNDING = 0.01  # nats in a component's log-density, beyond which its square is not expanded


class GaussianMixture(Target):
    """A mixture sum_k w_k N(mu_k, Sigma_k), times Z = exp(log_z); normalised unless `log_z` says otherwise.

        log p(x) = log sum_k exp l_k(x) + log_z,   l_k = log w_k + log N(x; mu_k, Sigma_k),   r = softmax(l)
        score(x) = sum_k r_k Sigma_k^-1 (mu_k - x)

    means: (components, dim). `scales` are standard deviations: a number for all, (components,) or
    (components, dim); or `covariances`: (dim, dim) for all, or (components, dim, dim). `weights`: (components,),
    equal by default, normalised to one.

    Known: log_z, exact draws, Gaussian smoothing (a mixture again), the component centres as `modes` with their
    weights, moments. `mode_probabilities` are the responsibilities r, so that their expectation under p is exactly
    the weights, however close the components are.

    The squares |x - mu_k|^2 are expanded so that all components cost two matrix products. This leaves a rounding error
    of about eps |(mu_k - m) / scale|^2 in the log-density, m the mean of the mixture. Where it may exceed 0.01 nats (in
    float32 a component some 300 times narrower than its distance from m) residuals are taken component by component.

    name: as of `Target`. ValueError unless one of scales and covariances is given, and for shapes that do not agree.

        >>> mixture = targets.GaussianMixture([[-2.0], [2.0]], scales=0.5, weights=[0.25, 0.75])
        >>> mixture.mean, mixture.mode_weights, mixture.mode_probabilities(torch.zeros(1))
        (tensor([1.]), tensor([0.2500, 0.7500]), tensor([0.2500, 0.7500]))
    """

    def __init__(
        self,
        means: Any,
        *,
        scales: Any = None,
        covariances: Any = None,
        weights: Any = None,
        log_z: float = 0.0,
        name: str | None = None,
    ) -> None:
        dtype, centres = floating_dtype(means), as_double(means, "means")
        if centres.ndim != 2:
            raise ValueError(f"means: got shape {tuple(centres.shape)}, expected (components, dim)")
        if (scales is None) == (covariances is None):
            raise ValueError("scales, covariances: expected exactly one of the two")
        components, dim = centres.shape
        super().__init__(dim, dtype=dtype, device=centres.device, name=name)
        self._log_z = float(log_z)
        self._exact = {"means": centres, "weights": normalised_weights(weights, components).to(centres)}
        if covariances is None:
            self._exact["scales"] = _expand_scales(as_double(scales, "scales").to(centres), components, dim)
        else:
            matrices = as_double(covariances, "covariances").to(centres)
            if matrices.shape not in ((dim, dim), (components, dim, dim)):
                raise ValueError(
                    f"covariances: got shape {tuple(matrices.shape)}, expected ({dim}, {dim}) or "
                    f"({components}, {dim}, {dim})"
                )
            self._exact["factors"] = cholesky(matrices, "covariances").expand(components, dim, dim)
        self._place()

    def _place(self) -> None:
        """What evaluation needs, computed in float64 and rounded once."""

        def place(value: Tensor) -> Tensor:
            return value.to(device=self.device, dtype=self.dtype).contiguous()

        means, weights = self._exact["means"], self._exact["weights"]
        centre = weights @ means
        centred = means - centre
        self._common: float | None = None
        self._scales: Tensor | None = None
        self._factors: Tensor | None = None
        if "scales" in self._exact:
            scales = self._exact["scales"]
            precision = scales**-2  # (components, dim)
            pull = precision * centred
            log_det = scales.log().sum(-1)
            features, gather = pull, [pull, torch.ones_like(pull[:, :1])]
            if bool((precision == precision[0, 0]).all()):
                # One scale for all: the square of x is common to the components and leaves the softmax
                self._common = float(precision[0, 0])
            else:
                features = torch.cat([pull, -0.5 * precision], -1)
                gather.append(precision)
            self._scales = place(scales)
        else:
            factors = self._exact["factors"]
            precisions = torch.cholesky_inverse(factors)  # (components, dim, dim)
            pull = torch.einsum("kij,kj->ki", precisions, centred)
            log_det = factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            features, gather = pull, [pull, torch.ones_like(pull[:, :1])]
            self._factors, self._precisions = place(factors), place(precisions)
        self._inverse_factors: Tensor | None = None
        self._by_residuals = 0.5 * torch.finfo(self.dtype).eps * self._largest_square() > MOST_ROUNDING
        if self._by_residuals:
            self._common = None
            if "factors" in self._exact:
                unit = torch.eye(self.dim).to(factors)
                self._inverse_factors = place(torch.linalg.solve_triangular(factors, unit, upper=False))
        constant = weights.log() - log_det - 0.5 * self.dim * math.log(2 * math.pi) + self._log_z
        self._means, self._weights, self._centre = place(means), place(weights), place(centre)
        # Components come first, so that every reduction over them runs along contiguous chains. Logits are in base 2:
        # torch's exp2 keeps its speed where results underflow, its exp (2.13, on the CPU) is ten times slower there
        self._features = place(features / LN2)
        self._least = math.log2(torch.finfo(self.dtype).smallest_normal)
        self._gather = place(torch.cat(gather, -1).mT)
        expanded = 0.0 if self._by_residuals else 0.5 * (centred * pull).sum(-1)
        self._constant = place((constant - expanded)[:, None] / LN2)

    def _largest_square(self) -> float:
        """The largest term of an expanded square near its component, in units of its scale."""
        centred = (self._exact["means"] - self._exact["weights"] @ self._exact["means"]).square()
        if "scales" in self._exact:
            return float((centred / self._exact["scales"] ** 2).sum(-1).max())
        spread = torch.linalg.svdvals(self._exact["factors"]).square()
        return float(((centred.sum(-1) + spread.amax(-1)) / spread.amin(-1)).max())

    def _logits(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Log2 joint densities (components, n) less the common square; the centred x; Sigma_k^-1 x per component.

        By residuals nothing is common and it is Sigma_k^-1 (x - mu_k).
        """
        self._check(x)
        if self._by_residuals:
            rest = x - self._means[:, None]
            if self._inverse_factors is None:
                assert self._scales is not None
                white = rest / self._scales[:, None]
                pulled = white / self._scales[:, None]
            else:
                white = torch.einsum("kij,knj->kni", self._inverse_factors, rest)
                pulled = torch.einsum("kij,kni->knj", self._inverse_factors, white)
            return self._constant - (0.5 / LN2) * white.square().sum(-1), x, pulled
        z = x - self._centre
        if self._factors is not None:
            pulled = torch.einsum("kij,nj->kni", self._precisions, z)
            return torch.addmm(self._constant, self._features, z.mT) - (0.5 / LN2) * (pulled * z).sum(-1), z, pulled
        features = z if self._common is not None else torch.cat([z, z * z], -1)
        return torch.addmm(self._constant, self._features, features.mT), z, None

    def log_prob(self, x: Tensor) -> Tensor:
        logits, z, _ = self._logits(x.reshape(-1, x.shape[-1]))
        value = (logits * LN2).logsumexp(0)
        if self._common is not None:
            value = value - 0.5 * self._common * (z * z).sum(-1)
        return value.reshape(x.shape[:-1])

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, z, pulled = self._logits(x.reshape(-1, x.shape[-1]))
        top = logits.amax(0)
        # Shares below the smallest normal number cannot change a sum that is at least one, but as subnormal numbers
        # they would slow everything down: they are made that smallest number
        shares = logits.sub_(top).clamp_min_(self._least).exp2_()
        gathered = self._gather @ shares  # rows: sum r mu Sigma^-1, sum r, and for diagonal ones sum r Sigma^-1
        total = gathered[self.dim]
        value = total.log2().add_(top).mul_(LN2)
        score = (gathered[: self.dim] / total).mT
        if self._by_residuals:
            score = -torch.einsum("kn,kni->ni", shares / total, pulled)
        elif pulled is not None:
            score = score - torch.einsum("kn,kni->ni", shares / total, pulled)
        elif self._common is not None:
            score = torch.sub(score, z, alpha=self._common)
            value = value.sub_(torch.linalg.vecdot(z, z).mul_(0.5 * self._common))
        else:
            score = score - (gathered[self.dim + 1 :] / total).mT * z
        return value.reshape(x.shape[:-1]), score.reshape(x.shape)

    @property
    def log_z(self) -> float:
        return self._log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        return self._component_draws(
            torch.multinomial(self._weights, n, replacement=True, generator=generator), generator
        )

    def _component_draws(self, which: Tensor, generator: Generator) -> Tensor:
        """A draw from each of the components (n,)."""
        noise = torch.randn(len(which), self.dim, generator=generator, dtype=self.dtype, device=self.device)
        if self._scales is not None:
            return self._means[which] + self._scales[which] * noise
        assert self._factors is not None
        return self._means[which] + torch.einsum("nij,nj->ni", self._factors[which], noise)

    def smoothed(self, sigma: float | Noise) -> GaussianMixture:
        if sigma == 0:
            return self
        noise = as_noise(sigma, self.dim, "sigma")
        weights, means = self._exact["weights"], self._exact["means"].to(self.dtype)
        variances = noise.variances(self.dim)
        if "scales" in self._exact and variances is not None:
            scales = self._exact["scales"]
            spread: dict[str, Tensor] = {"scales": (scales**2 + variances.to(scales)).sqrt()}
        else:
            matrices = self._exact_covariances
            spread = {"covariances": matrices + noise.covariance(self.dim).to(matrices)}
        wider = GaussianMixture(means, **spread, weights=weights, log_z=self._log_z, name=self.name)
        return wider.to(self.device)

    def sample_given(self, y: Tensor, noise: float | Noise, *, generator: Generator) -> Tensor:
        self._check(y)
        noise = as_noise(noise, self.dim)
        shares = self.smoothed(noise).mode_probabilities(y)
        which = torch.multinomial(shares, 1, generator=generator)[:, 0]
        # x + S (S + C)^-1 (y - x - e) with fresh x from the component and e: their difference from y is regressed on
        x = self._component_draws(which, generator)
        residual = y - x - noise.sample_like(y, generator)
        variances = noise.variances(self.dim)
        if "scales" in self._exact and variances is not None:
            gains = self._exact["scales"] ** 2
            return x + (gains / (gains + variances.to(gains))).to(y)[which] * residual
        gains = regression(self._exact_covariances, noise).to(y)
        by_component = torch.einsum("kij,nj->nki", gains, residual)
        return x + by_component[torch.arange(len(y), device=y.device), which]

    @property
    def _exact_covariances(self) -> Tensor:
        """The components' covariances (components, dim, dim) in float64."""
        if "scales" in self._exact:
            return torch.diag_embed(self._exact["scales"] ** 2)
        return self._exact["factors"] @ self._exact["factors"].mT

    @property
    def modes(self) -> Tensor:
        return self._means

    @property
    def mode_weights(self) -> Tensor:
        return self._weights

    def mode_probabilities(self, x: Tensor) -> Tensor:
        logits, _, _ = self._logits(x.reshape(-1, x.shape[-1]))
        return (logits * LN2).softmax(0).mT.reshape(*x.shape[:-1], -1)

    @property
    def component_factors(self) -> Tensor:
        """Square roots L_k of the components' covariances: (components, dim) where diagonal, else lower triangular."""
        factors = self._scales if self._factors is None else self._factors
        assert factors is not None
        return factors

    @property
    def mean(self) -> Tensor:
        return self._centre

    @property
    def covariance(self) -> Tensor:
        centred = self._means - self._centre
        within = torch.einsum("k,kij->ij", self._weights, self._covariances)
        return within + torch.einsum("k,ki,kj->ij", self._weights, centred, centred)

    @property
    def _covariances(self) -> Tensor:
        if self._factors is not None:
            return self._factors @ self._factors.mT
        assert self._scales is not None
        return torch.diag_embed(self._scales**2)


def _expand_scales(scales: Tensor, components: int, dim: int) -> Tensor:
    if scales.shape not in ((), (components,), (components, dim)):
        raise ValueError(
            f"scales: got shape {tuple(scales.shape)}, expected (), ({components},) or ({components}, {dim})"
        )
    if bool((scales <= 0).any()):
        raise ValueError("scales: got values that are not positive, expected standard deviations")
    return scales.reshape(scales.shape + (1,) * (2 - scales.ndim)).expand(components, dim).contiguous()
