"""A Gaussian mixture brought close to a target from both sides, before anything is learned on paths.

    q <- argmin  KL(q | p) + SHARE KL(p | q)          over weights, means and factors, by Adam
    points <- of draws of q in proportion to p / q, then moves by HMC within the components
    q <- q and further components, fitted to those of the points that q has too little of: with chance max(0, 1 - q / p)

The first term needs no points of the target and extends q to what adjoins it; the second keeps what the points have
found. Draws of q are reparametrised and q's own density is not differentiated (Roeder, Wu and Duvenaud 2017); rounds
of weighting and fitting are those of population Monte Carlo (Cappe, Douc, Guillin, Marin and Robert 2008), components
for the rest are those of variational boosting (Guo, Wang, Fan, Broderick and Dunson 2016; Miller, Foti, Adams 2017).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from samplers.adaptation.step_size import robbins_monro
from samplers.annealing.evidence import log_mean_exp
from samplers.annealing.mixture_fit import Fit, expectation_maximisation
from samplers.diffusion.moved_components import MovedComponents, Refined, descend, judged, log_w_of
from samplers.kernels import RegionalHMC
from samplers.path_measures.prior import mixture_of_factors
from targets import GaussianMixture, Target

ITERATIONS, DRAWS = 500, 512  # of one round: steps of Adam, draws a step
SHARE = 0.3  # of KL(p | q)
ROUNDS, MOST_COMPONENTS = 4, 40
FAR = 8.0  # nats between log Z and the bound: no use
MANY = 0.3  # share of the points that is missed: no use
GAIN = 0.9  # of the gap before, that a round must come below
NOTHING = 2e-4  # weight of a component that is dropped
WEIGHED = 8000  # draws of q whose weights say how close it is
MOVES, LEAPFROGS, STEP, ACCEPTANCE = 8, 6, 0.3, 0.8
LEAST_REST = 0.01  # share of the points that q lacks, for which it gets more components


@torch.no_grad()
def refine(fit: Fit, points: Tensor, target: Target, generator: Generator) -> Refined:
    """Start from a fit to points (n, dim) of the target, and stop where the mixture is close, or cannot get there.

    It cannot where the density is zero in part of space: the bound is then minus infinity. What q misses is judged by
    these first points as well as by the last ones, which are draws of q: a q that has lost a mode has lost its draws.
    """
    q, first = _Components(fit, target), points
    x, log_w = q.weighed(generator)
    best = q.judged(points, first, log_w)
    for k in range(ROUNDS):
        if best.close or not math.isfinite(best.gap):
            break
        q = q.joined_by_rest(points, log_mean_exp(log_w), generator)
        q.train(points.double(), generator)
        x, log_w = q.weighed(generator)
        if not bool(log_w.isfinite().any()):
            break
        points = _moved(_chosen(x, log_w, len(points), generator), q.mixture(), target, generator)
        found = q.judged(points, first, log_w)
        if k > 0 and not found.gap < GAIN * best.gap:
            return found if found.gap < best.gap else best
        best = found
        if found.gap > FAR or (k > 0 and found.missed > MANY):
            break
    return best


def _chosen(x: Tensor, log_w: Tensor, n: int, generator: Generator) -> Tensor:
    """n of the draws x in proportion to their weights, of which none counts for more than 1 / sqrt of their number."""
    most = log_w.logsumexp(0) - 0.5 * math.log(len(log_w))
    return x[torch.multinomial(torch.minimum(log_w, most).softmax(0), n, True, generator=generator)]


def _moved(x: Tensor, mixture: GaussianMixture, target: Target, generator: Generator) -> Tensor:
    """The points after a few moves that leave the target invariant."""
    step = STEP
    state = RegionalHMC(step_size=step, steps=LEAPFROGS, regions=mixture).init(target, x, generator)
    for _ in range(MOVES):
        kernel = RegionalHMC(step_size=step, steps=LEAPFROGS, regions=mixture)
        state, info = kernel.step(target, state, generator)
        step *= math.exp(robbins_monro(float(info.acceptance_rate.mean()), ACCEPTANCE))
    return state.x


class _Components(MovedComponents):
    """The components of q."""

    def __init__(self, fit: Fit, target: Target) -> None:
        self.target = target
        factors = fit.covariances.sqrt() if fit.diagonal else torch.linalg.cholesky(fit.covariances)
        super().__init__(fit.weights, fit.means, factors)

    def log_prob(self, x: Tensor) -> Tensor:
        """log q at (n, dim), (n,)."""
        return log_density(self.now(), x.double())

    def _kept(self) -> tuple[Tensor, Tensor, Tensor]:
        """`now`, of the components that have any weight."""
        log_weights, means, factors = self.now()
        kept = log_weights > math.log(NOTHING)
        return log_weights[kept].log_softmax(0), means[kept], factors[kept]

    @torch.enable_grad()
    def train(self, points: Tensor, generator: Generator) -> None:
        """One round of Adam."""

        def loss() -> Tensor:
            chosen = points[torch.randint(len(points), (DRAWS,), generator=generator, device=points.device)]
            return self.backwards(generator) - SHARE * self.log_prob(chosen).mean()

        descend([p.requires_grad_() for p in self.parameters], loss, ITERATIONS, largest=1.0)

    def backwards(self, generator: Generator) -> Tensor:
        """KL(q | p) and its gradient, from the same number of draws of every component."""
        log_weights, means, factors = mixture = self.now()
        count, dim = means.shape
        noise = torch.randn(
            count, max(4, DRAWS // count), dim, generator=generator, dtype=means.dtype, device=means.device
        )
        spread = factors[:, None] * noise if self.diagonal else noise @ factors.mT
        x = (means[:, None] + spread).reshape(-1, dim)
        value, score = self.target.log_prob_and_score(x.detach().to(self.target.dtype))
        log_p = value.detach().double() + ((x - x.detach()) * score.detach().double()).sum(-1)
        difference = log_density(tuple(p.detach() for p in mixture), x) - log_p  # type: ignore[arg-type]
        good = difference.detach().isfinite()
        difference = torch.where(good, difference, 0.0).reshape(count, -1)
        return (log_weights.exp() * difference.sum(1) / good.reshape(count, -1).sum(1).clamp_min(1)).sum()

    def weighed(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draws of q, (n, dim), and the logarithms of their weights p / q, (n,)."""
        x = self.mixture().sample(WEIGHED, generator=generator)
        return x, log_w_of(self.log_prob, x, self.target)

    def judged(self, points: Tensor, first: Tensor, log_w: Tensor) -> Refined:
        """How close q is, by weights of its own draws and by points of the target, those that were there first too."""
        return judged(self.mixture(), self.log_prob, log_w, (points, first), self.target)

    def joined_by_rest(self, points: Tensor, log_z: float, generator: Generator) -> _Components:
        """q and components for what it lacks; q itself where that is little."""
        x = points.double()
        log_weights, means, factors = self._kept()
        lacking = -torch.expm1(self.log_prob(x) + log_z - self.target.log_prob(points).double())
        lacking = lacking.clamp(0, 1)
        few = x[torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device) < lacking]
        rest, count, dim = float(lacking.mean()), len(means), means.shape[1]
        size = min(math.ceil(count / 2), MOST_COMPONENTS - count, len(few) // (4 if self.diagonal else dim + 2))
        covariances = factors.square() if self.diagonal else factors @ factors.mT
        fit = Fit(log_weights.exp(), means, covariances)
        if rest > LEAST_REST and size > 0:
            more = expectation_maximisation(few, size, "diagonal" if self.diagonal else "full", generator)
            fit = Fit(
                torch.cat([(1 - rest) * fit.weights, rest * more.weights]),
                torch.cat([fit.means, more.means]),
                torch.cat([fit.covariances, more.covariances]),
            )
        return _Components(fit, self.target)

    def mixture(self) -> GaussianMixture:
        """q as a target."""
        log_weights, means, factors = self._kept()
        return mixture_of_factors(means.to(self.target.dtype), factors, log_weights.exp())


def log_density(mixture: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    """log q at (n, dim), (n,)."""
    log_weights, means, factors = mixture
    if factors.ndim == 2:
        z = (x - means[:, None]) / factors[:, None]
        log_det = factors.log().sum(-1)
    else:
        z = torch.linalg.solve_triangular(factors, (x - means[:, None]).mT, upper=False).mT
        log_det = factors.diagonal(dim1=1, dim2=2).log().sum(-1)
    constant = log_weights - log_det - 0.5 * x.shape[-1] * math.log(2 * math.pi)
    return (constant[:, None] - 0.5 * z.square().sum(-1)).logsumexp(0)
