"""ArviZ's summary, with what is wrong said in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from samplers import records
from samplers.draws import INDEPENDENT, PARTICLES, Draws, warn
from samplers.ties import joined_draws

if TYPE_CHECKING:
    import pandas as pd

HIGHEST_R_HAT = 1.01
LEAST_ESS = 400.0  # Vehtari et al. 2021: 100 for each of four chains


def summarise(draws: Draws, **kwargs: Any) -> pd.DataFrame:
    """`arviz.summary` of the named variables; keyword arguments are ArviZ's. Weighted draws are resampled first."""
    if draws.log_weights is not None:
        ess = 1 / float(draws.log_weights.double().softmax(-1).square().sum())
        if ess < LEAST_ESS:
            warn(f"the effective sample size of the weights is {ess:.0f}, below {LEAST_ESS:.0f}: draw more")
        draws = draws.unweighted()
    values = {name: joined_draws(value) for name, value in draws.constrained.items()}  # ranks see ties
    posterior = records.dataset(values, draws.variables, {})
    table = records.import_arviz().summary(records.to_arviz({"posterior": posterior}), **kwargs)
    for message in complaints(draws, table):
        warn(message)
    return table


def complaints(draws: Draws, table: pd.DataFrame) -> list[str]:
    """What a reader must know before trusting the table."""
    found = []
    if "r_hat" in table:
        r_hat = table["r_hat"].astype(float)
        worst = r_hat[~(r_hat <= HIGHEST_R_HAT)]
        if draws.x.shape[0] == 1 and draws.attrs.get("kind") in (INDEPENDENT, PARTICLES):
            pass  # nothing to compare, and nothing to mix
        elif draws.x.shape[0] == 1:
            found.append("R-hat needs several chains: one chain cannot show that it missed something")
        elif len(worst):
            value = worst.max()
            said = "is not a number" if math.isnan(value) else f"reaches {value:.2f}"
            found.append(
                f"R-hat {said} at {worst.idxmax() if not math.isnan(value) else worst.index[0]} ({len(worst)} of "
                f"{len(table)} variables above {HIGHEST_R_HAT}): the chains do not agree. They have not mixed, or they "
                "sit in different modes; run longer, start elsewhere, or use a tempered sampler"
            )
    if "ess_bulk" in table:
        ess = table[["ess_bulk", "ess_tail"]].astype(float).min(axis=1)
        if not ess.min() >= LEAST_ESS:
            found.append(
                f"the effective sample size is {ess.min():.0f} at {ess.idxmin()}, below {LEAST_ESS:.0f}: "
                "means and quantiles carry a large error; draw more"
            )
    found.extend(divergence_complaints(draws))
    return found


def divergence_complaints(draws: Draws) -> list[str]:
    """Said at the end of a run as well, where no table is made."""
    if draws.divergences is None or not bool((draws.divergences > 0).any()):
        return []
    count, chains = int(draws.divergences.sum()), int((draws.divergences > 0).sum())
    return [
        f"{count} divergent steps in {chains} of {len(draws.divergences)} chains: proposals had a non-finite density "
        "or a large energy error, and parts of the target may be out of reach. Reparametrise, or take smaller steps"
    ]
