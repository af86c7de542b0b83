"""A product of mixtures brought close to a target, as a mixture is by `samplers.diffusion.mixture_refinement`.

    q <- argmin  KL(q | p) + SHARE KL(p | q)          over weights, means and factors of every block, by Adam
    grad KL(q | p) = E_q[(grad_x log q - grad_x log p) dx]                 for means and factors, x = m_k + L_k xi
                   + E_q[(log q - log p - mean) grad log q_b]              for the weights of block b

The gradient of q's own density is left out of the first (Roeder, Wu and Duvenaud 2017), the second is that of Williams
1992; the noise of both vanishes where q is p. What q misses is judged by the pilot's particles alone.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from samplers.annealing.product_fit import log_joint
from samplers.diffusion.mixture_refinement import DRAWS, SHARE, WEIGHED
from samplers.diffusion.moved_components import FEW, MovedComponents, Refined, descend, judged, log_w_of
from targets import Target
from targets.mixture_blocks import Blocks
from targets.mixture_product import MixtureProduct

ITERATIONS = 300
LONGEST = 5.0  # deviations of log q - log p beyond which one draw counts no more for the weights


@torch.no_grad()
def refine_product(product: MixtureProduct, points: Tensor, target: Target, generator: Generator) -> Refined:
    """From a product fitted to points (n, dim) of the target: the product before or after, whichever is closer."""
    before = _judged(product, points, target, generator)
    if before.close:
        return before
    after = _judged(_trained(product, points, target, generator), points, target, generator)
    return after if after.gap < before.gap and after.missed < FEW else before


def _judged(product: MixtureProduct, points: Tensor, target: Target, generator: Generator) -> Refined:
    """How close q is, by weights of its own draws and by the points."""

    def log_q(x: Tensor) -> Tensor:
        return product.log_prob(x).double()

    log_w = log_w_of(log_q, product.sample(WEIGHED, generator=generator), target)
    return judged(product, log_q, log_w, (points,), target)


class _Group(MovedComponents):
    """Blocks of one size: log weights (B, K), means (B, K, d), factors (B, K, d, d)."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__(blocks.weights, blocks.means, torch.linalg.cholesky(blocks.covariances))
        self.index = blocks.index
        for value in self.parameters:
            value.requires_grad_()

    def draws(self, n: int, generator: Generator) -> Tensor:
        """(B, n, d), differentiable with respect to means and factors."""
        log_weights, means, factors = self.now()
        which = torch.multinomial(log_weights.detach().exp(), n, True, generator=generator)  # (B, n)
        rows = torch.arange(len(which), device=which.device)[:, None]
        noise = torch.randn(*which.shape, means.shape[2], generator=generator, dtype=means.dtype, device=means.device)
        return means[rows, which] + (factors[rows, which] @ noise[..., None])[..., 0]

    def log_prob(self, x: Tensor) -> Tensor:
        """Of blocks of points (B, n, d), (B, n)."""
        return log_joint(x, *self.now()).logsumexp(2)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density (B, n), differentiable with respect to the weights alone, and its gradient (B, n, d)."""
        x = x.requires_grad_()
        log_weights, means, factors = self.now()
        value = log_joint(x, log_weights, means.detach(), factors.detach()).logsumexp(2)
        return value, torch.autograd.grad(value.sum(), x, retain_graph=True)[0]

    def blocks(self) -> Blocks:
        """What has been learned."""
        log_weights, means, factors = (value.detach() for value in self.now())
        return Blocks(self.index, log_weights.exp(), means, factors @ factors.mT)


@torch.enable_grad()
def _trained(product: MixtureProduct, points: Tensor, target: Target, generator: Generator) -> MixtureProduct:
    groups, points = [_Group(blocks) for blocks in product.blocks], points.double()
    parameters = [value for group in groups for value in group.parameters]

    def loss() -> Tensor:
        chosen = points[torch.randint(len(points), (DRAWS,), generator=generator, device=points.device)]
        ahead = sum(group.log_prob(chosen[:, group.index].transpose(0, 1)).mean(1).sum() for group in groups)
        return _backwards(groups, target, generator) - SHARE * ahead

    descend(parameters, loss, ITERATIONS, largest=math.sqrt(len(parameters)))
    return MixtureProduct([group.blocks() for group in groups], dtype=product.dtype, name=product.name)


def _backwards(groups: list[_Group], target: Target, generator: Generator) -> Tensor:
    """A number with the gradient of KL(q | p)."""
    x = torch.empty(DRAWS, target.dim, dtype=groups[0].means.dtype, device=groups[0].means.device)
    parts = [group.draws(DRAWS, generator) for group in groups]
    for group, part in zip(groups, parts, strict=True):
        x[:, group.index.flatten()] = part.detach().transpose(0, 1).flatten(1)
    log_p, score_p = target.log_prob_and_score(x.to(target.dtype))
    log_qs = [group.log_prob_and_score(part.detach()) for group, part in zip(groups, parts, strict=True)]
    difference = torch.stack([log_q.detach().sum(0) for log_q, _ in log_qs]).sum(0) - log_p.double()
    good = difference.isfinite()
    difference = difference[good]
    worth = (difference - difference.median()).clamp(-LONGEST, LONGEST)
    worth = worth - worth.mean()
    total = torch.zeros_like(worth)
    for group, part, (log_q, score_q) in zip(groups, parts, log_qs, strict=True):
        pull = score_q - score_p.double()[:, group.index].transpose(0, 1)
        pull = torch.where(good[:, None], pull, 0.0)
        total = total + (pull * part).sum((0, 2))[good] + worth * log_q[:, good].sum(0)
    return total.mean()
