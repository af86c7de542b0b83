"""The Gaussian at a mode: its mean, and the inverse of the Hessian there as its covariance."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from samplers.runs.starts import positions
from targets import Gaussian, Target

ITERATIONS = 500
ROWS = 256  # of the Hessian at a time
SMALLEST = 1e-6  # curvature, of the largest, that is taken where the density is flat or curved upwards


def laplace(target: Target, generator: Generator) -> Gaussian:
    """N(x*, H^-1) with x* the end of an uphill climb (L-BFGS) and H the Hessian of -log gamma there.

    The Hessian is taken by central differences of the score, exact to about 1e-6 in float64 and of the number of
    evaluations 2 dim. Directions in which it is not positive get the least curvature that counts.
    """
    double = target.to(dtype=torch.float64)
    start = positions(None, 1, double, generator)
    x = _climb(double, start)
    hessian = _hessian(double, x)
    values, axes = torch.linalg.eigh(hessian)
    values = values.clamp_min(SMALLEST * float(values.max()))
    covariance = (axes / values) @ axes.mT
    covariance = 0.5 * (covariance + covariance.mT)
    return Gaussian(x.to(target.dtype), covariance=covariance, name="Gaussian at a mode")


def _climb(target: Target, x: Tensor) -> Tensor:
    point = x[0].clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [point], max_iter=ITERATIONS, history_size=50, tolerance_grad=1e-8, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        with torch.no_grad():
            value, score = target.log_prob_and_score(point[None])
        point.grad = -score[0]
        return -value[0]

    optimiser.step(loss)
    if not bool(point.isfinite().all()):
        raise ValueError(f"prior: the climb to a mode of {target.name} left the finite numbers; give a prior=")
    return point.detach()


@torch.no_grad()
def _hessian(target: Target, x: Tensor) -> Tensor:
    size = 1e-5 * x.abs().clamp_min(1.0)
    rows = [target.score(x - part) - target.score(x + part) for part in torch.diag(size).split(ROWS)]
    hessian = torch.cat(rows) / (2 * size[:, None])
    return 0.5 * (hessian + hessian.mT)
