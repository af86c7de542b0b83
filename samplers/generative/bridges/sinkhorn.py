"""The static bridge between two samples: entropic transport by Sinkhorn's iteration, in logarithms (POT)."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from samplers.draws import Cost
from samplers.draws.pot import import_pot
from samplers.generative.bridges.bridge import StaticBridge
from samplers.generative.bridges.method import BridgeMethod, End, Found, Run
from samplers.generative.bridges.point_potential import PointPotential
from samplers.generative.data import Samples
from targets.arguments import check_integer, positive

ROWS_SEED = 20_000_003  # offset of the seed
ITERATIONS = 1000
COARSE = 50  # iterations at each larger regularisation
FACTOR = 4.0  # from one to the next


@dataclass(frozen=True)
class Sinkhorn(BridgeMethod):
    """The plan between the rows themselves: entropic transport of the two samples.

        plan_ij = exp(f_i + g_j - |x_i - y_j|^2 / (2 eps)),   its margins the weights of the rows
        pi(y_j | x) proportional to exp(g_j - |x - y_j|^2 / (2 eps)) at any x

    The iteration (POT's, in logarithms) starts at larger regularisations, each from the potentials of the one before.
    Nothing is fitted: draws are rows of the other end, `mean` is the barycentric map, drifts are sums over the rows.
    Exact for the samples up to `tolerance`; as an estimate for the laws that they come from it needs more rows the
    smaller eps and the larger the dimension. There are no exact weights, as its plan has atoms.

    rows: the most of either end that are taken, without replacement; a plan costs their product an iteration.
    tolerance: of the margins, the sum of absolute errors, at which the iteration ends. The default number of iterations
    is 1000. ValueError for numbers out of range; a note where the iteration has not converged. Cuturi 2013,
    https://arxiv.org/abs/1306.0895; Flamary et al. 2021, for POT.

        >>> from samplers.generative.bridges import Sinkhorn
        >>> bridge = samplers.SchroedingerBridge(noise=0.5, method=Sinkhorn(rows=200))
        >>> fitted = bridge.fit(targets.Gaussian([0.0]), targets.Gaussian([4.0]))
        >>> fitted.mean(torch.zeros(1, 1)).shape
        torch.Size([1, 1])
    """

    rows: int = 2000
    tolerance: float = 1e-6

    spread: ClassVar[bool] = False
    weighable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_integer(self.rows, "rows", 2)
        positive(self.tolerance, "tolerance")

    def learn(self, start: End, end: End, noise: float, run: Run) -> Found:
        assert start.samples is not None
        assert end.samples is not None
        began = time.perf_counter()
        generator = Generator(start.samples.x.device).manual_seed(run.seed + ROWS_SEED)
        first, last = (_some(law, self.rows, generator) for law in (start.samples, end.samples))
        total = ITERATIONS if run.iterations is None else run.iterations
        f, g, error, made = _potentials(first, last, noise, total, self.tolerance)
        notes = []
        if not error <= self.tolerance:
            notes.append(
                f"the plan's margins are off by {error:.3g} after {made} iterations, expected at most "
                f"{self.tolerance:.3g}: take more iterations=, a larger noise, or a larger tolerance="
            )
        bridge = StaticBridge(PointPotential(noise, g, last.x), PointPotential(noise, f, first.x))
        cost = Cost(seconds=time.perf_counter() - began)
        return Found(bridge, made, {}, {"error of the margins": error}, notes, cost)


def _some(law: Samples, rows: int, generator: Generator) -> Samples:
    """At most so many rows, with their weights."""
    if len(law.x) <= rows:
        return law
    if law.shares is not None:
        return Samples(law.batch(rows, generator))
    return replace(
        law, x=law.x[torch.randperm(len(law.x), generator=generator, device=law.x.device)[:rows]], groups=None
    )


def _potentials(
    start: Samples, end: Samples, noise: float, total: int, tolerance: float
) -> tuple[Tensor, Tensor, float, int]:
    """f (n,) and g (m,), how far the margins are off, in the sum of absolute values of both, and the iterations that
    were made at the noise itself."""
    pot, like = import_pot(), start.x
    x, y = (law.x.double().cpu() for law in (start, end))
    a, b = (_weights(law) for law in (start, end))
    cost = 0.5 * torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
    widths = [noise]
    while widths[-1] < float(cost.mean()):
        widths.append(FACTOR * widths[-1])
    warm: Any = None
    made = 0
    for width in reversed(widths):
        steps = total if width == noise else COARSE
        if steps == 0:
            break
        with np.errstate(over="ignore"):  # of exp of the potentials, which is not used
            _, log = pot.sinkhorn(
                a.numpy(), b.numpy(), cost.numpy(), width, "sinkhorn_log", numItermax=steps, stopThr=0.1 * tolerance,
                log=True, warn=False, warmstart=warm,
            )  # fmt: skip
        made = int(log["niter"]) + 1
        found = log["log_u"], log["log_v"]
        warm = tuple(FACTOR * part for part in found) if width != noise else found
    f, g = (torch.zeros_like(a), torch.zeros_like(b)) if warm is None else (torch.as_tensor(part) for part in warm)
    terms = f[:, None] + g - cost / noise
    error = float((terms.logsumexp(1).exp() - a).abs().sum() + (terms.logsumexp(0).exp() - b).abs().sum())
    return f.to(like.device), g.to(like.device), error, made if total else 0


def _weights(law: Samples) -> Tensor:
    if law.shares is not None:
        return law.shares.double().cpu()
    return torch.full((len(law.x),), 1.0 / len(law.x), dtype=torch.float64)
