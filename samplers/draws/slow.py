"""Errors of log Z where draws of Markov chains mix more slowly than their energy.

Bridges between temperatures average a function of the energy, and its chains tell how sure that average is of what they
have been to. Where the energy forgets sooner than a coordinate does (a long ridge, a neck that few enter) they have
been to little, and the average is no surer than one of so many draws as the slowest coordinate's distance from its mean
is worth: the distance, for between modes that are each other's image the energy knows no difference. Of spins, where
that distance tells one from the other too, it is not asked.
"""

from __future__ import annotations

import math
from dataclasses import replace

from samplers.draws import estimates
from samplers.draws.log_z import LogZ
from samplers.draws.points import PointSet


def widened(log_z: LogZ, draws: PointSet) -> LogZ:
    """With the standard error times sqrt(ESS of the log-density / least ESS of |x_i - mean|), if that is above one."""
    lp = draws.stats.get("lp")
    if lp is None or draws.target is None or draws.target.discrete:
        return log_z
    step = -(-lp.numel() // estimates.MOST_DRAWS)
    x = draws.x[:, ::step, : estimates.SCALARS].double()
    slowest = estimates.least_ess((x - x.mean((0, 1))).abs())
    factor = estimates.least_ess(lp[:, ::step].double()) / slowest
    return replace(log_z, standard_error=log_z.standard_error * math.sqrt(factor)) if factor > 1 else log_z
