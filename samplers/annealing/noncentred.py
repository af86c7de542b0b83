"""Non-centred coordinates fitted to points of a target, where some coordinates scale by others; and densities there.

    x_i | roots ~ N(a_i + B_i x, exp(2 (c_i + D_i x)))

A first look is at the slope of log (x_i - m_i)^2 in x_j, whose noise has variance pi^2 / 2 where x_i is normal: in a
funnel the scale of x_i grows e-fold every so many units of x_j, and one Gaussian for all of it is that much worse.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from samplers.kernels.noncentring import NonCentring
from targets import Target

LEAST_GAIN = 0.1  # nats a point that a coordinate's own scale must be worth
POINTS_PER_DIM = 5  # before places are fitted to several coordinates
ITERATIONS = 30
STEP = 0.5  # of a log-scale an iteration, at most
RIDGE = 1e-3  # of the points' number, on standardised coordinates


class NonCentredDensity(Target):
    """The law of x where y(x) follows a normalised density: log q(x) = log q_y(y) - log |dx/dy|."""

    def __init__(self, inner: Target, coordinates: NonCentring) -> None:
        super().__init__(inner.dim, dtype=inner.dtype, device=inner.device, name=f"{inner.name}, non-centred")
        self.inner = inner
        self._exact = dict(coordinates.__dict__)
        self._place()

    def _place(self) -> None:
        self.coordinates = NonCentring(**self._exact).to(torch.empty((), dtype=self.dtype, device=self.device))

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        return self.inner.log_prob(self.coordinates.to_y(x)) - self.coordinates.log_det(x)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        y = self.coordinates.to_y(x)
        log_prob, score = self.inner.log_prob_and_score(y)
        return log_prob - self.coordinates.log_det(x), self.coordinates.score_to_x(y, score)

    @property
    def log_z(self) -> float:
        return self.inner.log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        return self.coordinates.to_x(self.inner.sample(n, generator=generator))


def noncentring(x: Tensor) -> NonCentring | None:
    """The coordinates for points (n, dim) in float64; None where no coordinate's scale goes by another's value."""
    spread = x.std(0)
    if x.shape[1] < 2 or not bool((spread > 0).all() & spread.isfinite().all()):
        return None
    middle = x.median(0).values
    z = (x - middle) / spread
    root = _roots(z)
    if root is None:
        return None
    child, parent = (root >= 0).nonzero()[:, 0], root[root >= 0]
    place, places, log_scale, rate = _conditional(z, child, parent)
    kept = rate.square() > LEAST_GAIN  # the gain of a log-scale of this slope: skewed coordinates pass the first look
    if not bool(kept.any()):
        return None
    child, parent = child[kept], parent[kept]
    place, places, log_scale, rate = place[kept], places[kept], log_scale[kept], rate[kept]
    dim = x.shape[1]
    a, c = x.new_zeros(dim), x.new_zeros(dim)
    b, d = x.new_zeros(dim, dim), x.new_zeros(dim, dim)
    # z = (x - m) / s of both sides, undone
    b[child] = spread[child, None] * places / spread
    a[child] = middle[child] + spread[child] * place - b[child] @ middle
    d[child, parent] = rate / spread[parent]
    c[child] = spread[child].log() + log_scale - d[child, parent] * middle[parent]
    found = NonCentring(a, b, c, d)
    return found if bool(found.to_y(x).isfinite().all()) else None


def _roots(z: Tensor) -> Tensor | None:
    """The coordinate that the scale of each goes by, (dim,), -1 for none; None where all have none."""
    n, dim = z.shape
    logs = z.square().clamp_min(1e-300).log()
    logs = logs - logs.mean(0)
    centred = z - z.mean(0)
    slope = logs.mT @ centred / n  # of coordinates of unit variance, (child, parent)
    gain = slope.square() / 4  # nats a point, for small slopes
    gain.fill_diagonal_(0.0)
    gain = torch.where(gain > LEAST_GAIN, gain, 0.0)
    parents: list[int] = []
    free = torch.ones(dim, dtype=torch.bool, device=z.device)  # neither a parent nor the child of one
    while True:
        worth = torch.where(free, (gain * free[:, None]).sum(0), 0.0)
        best = int(worth.argmax())
        if not float(worth[best]) > 0:
            break
        parents.append(best)
        free[best] = False
        free &= gain[:, best] == 0
    if not parents:
        return None
    parent = torch.tensor(parents, device=z.device)
    most, which = gain[:, parent].max(1)
    root = torch.where(most > 0, parent[which], -1)
    root[parent] = -1
    return root if bool((root >= 0).any()) else None


def _conditional(z: Tensor, child: Tensor, parent: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Maximum likelihood of N(a + B z, exp(2 (c + d z_parent))) for each child: weighted least squares for a and B
    (children, dim), scoring for c and d, in turn.
    """
    n, dim = z.shape
    roots = torch.ones(dim, dtype=torch.bool, device=z.device)
    roots[child] = False
    if n < POINTS_PER_DIM * int(roots.sum()):
        roots[:] = False
    design = torch.cat([z.new_ones(n, 1), z[:, roots]], 1)
    y, v = z[:, child], z[:, parent]
    mean = v.mean(0)
    u = v - mean
    around = (y - y.mean(0)).square().clamp_min(1e-300).log()
    d = 0.5 * (around * u).mean(0) / u.square().mean(0)
    c = y.new_zeros(len(child))
    ridge = RIDGE * n * torch.eye(design.shape[1], dtype=z.dtype, device=z.device)
    for _ in range(ITERATIONS):
        precision = (-2 * (c + d * u)).exp()
        precision = precision / precision.mean(0)
        gram = torch.einsum("nk,nc,nl->ckl", design, precision, design) + ridge
        moment = torch.einsum("nk,nc,nc->ck", design, precision, y)
        weights = torch.linalg.solve(gram, moment)
        rest = (y - design @ weights.mT).square()
        c = 0.5 * (rest * (-2 * d * u).exp()).mean(0).log()
        excess = rest * (-2 * (c + d * u)).exp() - 1
        d = d + ((excess * u).mean(0) / (2 * u.square().mean(0))).clamp(-STEP, STEP)
    c = 0.5 * (rest * (-2 * d * u).exp()).mean(0).log()
    places = z.new_zeros(len(child), dim)
    places[:, roots] = weights[:, 1:]
    return weights[:, 0], places, c - d * mean, d
