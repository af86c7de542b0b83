"""Where chains should start: a quasi-Newton path uphill, left where a local Gaussian fits the density best.

Pathfinder (Zhang, Carpenter, Gelman and Vehtari 2022), for all chains at once and with dense BFGS:

    x' = x + a H g,   H' = (I - r s y') H (I - r y s') + r s s',   s = x' - x,   y = g - g',   r = 1 / y's

g the score and a found by halving. At each point the Gaussian N(x, H) is scored by its evidence lower bound, and each
chain starts at a draw from its best one, or from that of another path where its own is far below the best. A density
without a maximum (a funnel) is left before its spike, where the bound falls although the density still rises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from targets import Target

MOST_DIM = 500  # beyond it dense matrices, one a chain, cost more than they save
ITERATIONS = 200
HALVINGS = 25
ELBO_DRAWS = 5
LEAST_RISE = 1e-3  # of the squared score in the norm of H, in nats
LEAST_GAIN = 1e-3  # between two new beginnings, in nats
# nats below the best bound, and more for each dimension, from which on a path is given up: the bound is below the log
# mass by as much as the density there differs from a Gaussian
BEHIND, BEHIND_EACH = 20.0, 0.5


@dataclass(frozen=True)
class LocalGaussians:
    """The best Gaussian on each path uphill, in float64.

    bound: (paths,), its evidence lower bound E log gamma + entropy, an estimate from a few draws; minus infinity where
    none was finite. mean: (paths, dim), covariance: (paths, dim, dim), draw: (paths, dim), one draw of each.
    end: (paths, dim), the last and highest point of the path.
    """

    bound: Tensor
    mean: Tensor
    covariance: Tensor
    draw: Tensor
    end: Tensor

    @torch.no_grad()
    def without_far_behind(self, target: Target, generator: Generator) -> LocalGaussians:
        """With further draws of the others, each at random, in place of Gaussians that hold next to none of the mass.

        Such a path went astray, as up the spike of a hierarchy with its scale near zero, from where no chain returns.
        Where none is far behind, the generator is left alone. A draw without a finite density is not taken.
        """
        least = self.bound.max() - BEHIND - BEHIND_EACH * self.mean.shape[1]
        astray = (self.bound < least).nonzero()[:, 0]
        if len(astray) == 0:
            return self
        others = (self.bound >= least).nonzero()[:, 0]
        chosen = torch.randint(len(others), (len(astray),), generator=generator, device=others.device)
        source = torch.arange(len(self.bound), device=others.device)
        source[astray] = others[chosen]
        noise = torch.randn(self.mean[astray].shape, generator=generator, dtype=self.mean.dtype, device=others.device)
        factor = torch.linalg.cholesky_ex(self.covariance[source[astray]])[0]
        fresh = self.mean[source[astray]] + torch.einsum("nij,nj->ni", factor, noise)
        value, score = target.log_prob_and_score(fresh.to(target.dtype))
        good = value.isfinite() & score.isfinite().all(-1)
        draw = self.draw[source]
        draw[astray] = torch.where(good[:, None], fresh, draw[astray])
        return LocalGaussians(self.bound[source], self.mean[source], self.covariance[source], draw, self.end[source])


@torch.no_grad()
def local_gaussians(
    target: Target, x: Tensor, generator: Generator, iterations: int = ITERATIONS, patience: int = ITERATIONS
) -> LocalGaussians:
    """The best Gaussian on the way uphill from each of x (paths, dim), which takes so many iterations at most, and ends
    after `patience` of them without a better one.
    """
    path = _Path(target, x.to(torch.float64, copy=True))
    path.score_gaussians(generator)
    for _ in range(iterations):
        if not path.climb():
            break
        path.score_gaussians(generator)
        path.active &= path.waited < patience
    return LocalGaussians(path.best, path.best_mean, path.best_matrix, path.best_draw, path.x)


class _Path:
    def __init__(self, target: Target, x: Tensor) -> None:
        n = len(x)
        self._target, self._dtype = target, target.dtype
        self.x = x
        self.value, self.score = self._evaluate(x)
        self.matrix = self._first_matrix(self.score)
        self.since = torch.full((n,), -torch.inf, dtype=x.dtype, device=x.device)  # the value at the last new beginning
        self.fresh = torch.ones(n, dtype=torch.bool, device=x.device)
        self.active = torch.ones(n, dtype=torch.bool, device=x.device)
        self.best = torch.full((n,), -torch.inf, dtype=x.dtype, device=x.device)
        self.best_mean, self.best_draw, self.best_matrix = x.clone(), x.clone(), self.matrix.clone()
        self.waited = torch.zeros(n, dtype=torch.int64, device=x.device)  # iterations since the best Gaussian

    def _evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, score = self._target.log_prob_and_score(x.to(self._dtype))
        value, score = value.double(), score.double()
        good = value.isfinite() & score.isfinite().all(-1)
        return torch.where(good, value, -torch.inf), torch.where(good[:, None], score, 0.0)

    def _first_matrix(self, score: Tensor) -> Tensor:
        """The identity, scaled to a step of length one at most: the scale of the density is not known yet."""
        length = score.norm(dim=-1).clamp_min(1.0)[:, None, None]
        return torch.eye(score.shape[1], dtype=score.dtype, device=score.device) / length

    def climb(self) -> bool:
        """One step uphill for every chain that still rises; False when none does."""
        which = self.active.nonzero()[:, 0]
        x, value, score, matrix = self.x[which], self.value[which], self.score[which], self.matrix[which]
        step = torch.einsum("nij,nj->ni", matrix, score)
        slope = (step * score).sum(-1)
        new, new_value, new_score = x.clone(), value.clone(), score.clone()
        rate = torch.ones_like(slope)
        left = slope > LEAST_RISE
        lost = ~left
        for _ in range(HALVINGS):
            index = left.nonzero()[:, 0]
            if len(index) == 0:
                break
            trial = x[index] + rate[index, None] * step[index]
            trial_value, trial_score = self._evaluate(trial)
            risen = trial_value >= value[index] + 1e-4 * rate[index] * slope[index]
            accepted = index[risen]
            new[accepted], new_value[accepted], new_score[accepted] = (
                trial[risen],
                trial_value[risen],
                trial_score[risen],
            )
            left[accepted] = False
            rate[index[~risen]] *= 0.5
        s, y = new - x, score - new_score
        curvature = (s * y).sum(-1)
        usable = (curvature > 1e-12 * s.norm(dim=-1) * y.norm(dim=-1)).nonzero()[:, 0]
        first = usable[self.fresh[which[usable]]]
        if len(first):
            size = curvature[first] / y[first].square().sum(-1)
            matrix[first] = size[:, None, None] * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
            self.fresh[which[first]] = False
        matrix[usable] = _bfgs(matrix[usable], s[usable], y[usable], curvature[usable])
        # No rise along H g: a maximum, or a matrix gone wrong. Begin again with the score itself, unless that was
        # done before and has gained nothing since
        lost = (lost | left).nonzero()[:, 0]
        again = new_value[lost] - self.since[which[lost]] > LEAST_GAIN
        self.active[which[lost[~again]]] = False
        self.since[which[lost]] = new_value[lost]
        self.fresh[which[lost]] = True
        matrix[lost] = self._first_matrix(new_score[lost])
        self.x[which], self.value[which], self.score[which], self.matrix[which] = new, new_value, new_score, matrix
        return bool(self.active.any())

    def score_gaussians(self, generator: Generator) -> None:
        """Keep, for each chain, a draw and the covariance of the Gaussian with the highest bound so far."""
        noise = torch.randn((ELBO_DRAWS, *self.x.shape), generator=generator, dtype=self.x.dtype, device=self.x.device)
        factor, failed = torch.linalg.cholesky_ex(self.matrix)
        draws = self.x + torch.einsum("nij,knj->kni", factor, noise)
        draws = torch.where((failed == 0)[:, None], draws, self.x)
        values = self._target.log_prob(draws.to(self._dtype)).double()
        bound = (values + 0.5 * noise.square().sum(-1)).mean(0) + factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        bound = bound + 0.5 * self.x.shape[1] * math.log(2 * math.pi)
        bound = torch.where(bound.isfinite() & (failed == 0), bound, -torch.inf)
        better = bound > self.best
        self.waited = torch.where(better, 0, self.waited + 1)
        self.best = torch.where(better, bound, self.best)
        self.best_mean = torch.where(better[:, None], self.x, self.best_mean)
        self.best_draw = torch.where(better[:, None], draws[0], self.best_draw)
        self.best_matrix = torch.where(better[:, None, None], self.matrix, self.best_matrix)


def _bfgs(matrix: Tensor, s: Tensor, y: Tensor, curvature: Tensor) -> Tensor:
    """The inverse update, which keeps the matrix symmetric and positive definite for positive curvature y's."""
    pulled = torch.einsum("nij,nj->ni", matrix, y)
    both = torch.einsum("ni,nj->nij", pulled, s)
    scale = (1 + (y * pulled).sum(-1) / curvature) / curvature
    return (
        matrix - (both + both.mT) / curvature[:, None, None] + scale[:, None, None] * torch.einsum("ni,nj->nij", s, s)
    )
