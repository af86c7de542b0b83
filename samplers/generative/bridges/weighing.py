"""A bridge as a proposal for an energy at its end: exact weights, by ends or by path.

    ends   w_i = gamma(y_i) / mean_j pi(y_i | x_j),    y_i ~ pi(. | x_i), i and j in a block of m starts
    path   w = gamma(y) pi'(x | y) / (p(x) pi(y | x)),   x ~ p, y ~ pi(. | x)

Given the starts, sum_i E[w_i] = sum_i int pi(y | x_i) gamma(y) / mean_j pi(y | x_j) dy = m Z: by ends nothing is asked
of the starts, nor of pi. By path gamma(y) pi'(x | y) is a law of both ends with mass Z, of which w is the ratio to what
was drawn. The first are the means of the second over starts, for the best pi', and vary less.
"""

from __future__ import annotations

import math
import time
from typing import Literal, Protocol

import torch
from torch import Generator, Tensor

from samplers.draws import Draws
from samplers.generative.bridges.bridge import Bridge, Direction
from samplers.generative.reverse_sampler import check_dim
from samplers.generative.weighted import weighted_draws
from samplers.path_measures.evaluation import weigh as log_z_of
from samplers.runs.checks import check_continuous
from targets import Target
from targets.arguments import check_choice, check_integer
from targets.counting import Counted

CONTINUOUS = "a density on R^n, such as a continuous relaxation"
BLOCK = 1024  # starts whose ends are weighted together


class Weighable(Protocol):
    """What `FittedBridge` has."""

    @property
    def bridge(self) -> Bridge:
        """The process."""

    @property
    def normalised_start(self) -> Target | None:
        """The target that it was fitted from, where there was one with exact draws and known log Z."""

    def origins(self, n: int, generator: Generator, direction: Direction = "forward") -> Tensor:
        """Starts."""

    def attrs(self, draws: int, seed: int) -> dict[str, object]:
        """What draws say of themselves."""


def weigh(
    fitted: Weighable,
    target: Target,
    *,
    draws: int,
    seed: int,
    by: Literal["ends", "path"] | None,
    start: Target | None,
) -> Draws:
    """`FittedBridge.weigh`."""
    check_integer(draws, "draws")
    check_integer(seed, "seed", 0)
    bridge = fitted.bridge
    check_choice(by, "by", ("ends", "path", None))
    by = bridge.weighed_by if by is None else by
    check_continuous(target, fitted, expected=CONTINUOUS)
    check_dim(target, bridge.dim)
    if start is not None:
        check_continuous(start, fitted, expected=CONTINUOUS)
        check_dim(start, bridge.dim, "start")
    generator = Generator(bridge.device).manual_seed(seed)
    law = fitted.normalised_start if start is None else start
    if by == "path" and (law is None or not {"sample", "log_z"} <= set(law.known)):
        raise ValueError(
            "start: by path the start must be a target with exact draws and known log_z, which the bridge was fitted "
            "from or is given here; by='ends' asks for nothing"
        )
    began = time.perf_counter()
    x = fitted.origins(draws, generator) if law is None else law.to(bridge.device).sample(draws, generator=generator)
    target = target.to(bridge.device, x.dtype)
    counted = Counted(target)
    with torch.no_grad():
        if by == "ends":
            parts = [_by_ends(bridge, part, generator) for part in x.split(BLOCK)]
            y, log_ratio = (torch.cat(part) for part in zip(*parts, strict=True))
        else:
            assert law is not None
            y, log_ratio = bridge.walk(x, "forward", generator)
            log_ratio = log_ratio - (law.to(bridge.device).log_prob(x).double() - law.log_z)
        log_prob = counted.log_prob(y)
        log_w = log_prob.double() + log_ratio
    log_w = torch.where(log_w < math.inf, log_w, -math.inf)
    return weighted_draws(
        y,
        log_prob,
        log_w,
        log_z_of(log_w),
        target=target,
        kernel=fitted,
        attrs=fitted.attrs(draws, seed) | {"by": by},
        counted=counted,
        began=began,
        advice=bridge.advice,
    )


def _by_ends(bridge: Bridge, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Ends of a block, and minus the log-density of their law."""
    y = bridge.draw(x, "forward", generator)
    return y, -bridge.log_marginal(y, x, "forward")
