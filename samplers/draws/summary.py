"""ArviZ's summary, with what is wrong said in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from samplers.draws import estimates
from samplers.draws.divergences import divergence_complaints
from samplers.draws.points import INDEPENDENT, PARTICLES, PointSet
from samplers.draws.still import still
from targets.sampling_warning import warn

if TYPE_CHECKING:
    import pandas as pd

HIGHEST_R_HAT = 1.01
LEAST_ESS = 400.0  # Vehtari et al. 2021: 100 for each of four chains
DIVERGED = re.compile(r"\d[\d,]* of \d[\d,]* (steps|moves) diverged")  # as a run counts them
# what a run tells more of, and how the same begins here
SAID_BY_RUN = [
    (re.compile(by_run), re.compile(here))
    for by_run, here in (
        (r"^every one of the .* steps diverged|moves were not made", r"\d+ divergent steps"),
        (r"^every one of the .* steps diverged|^(\d+) of \1 chains never moved", r"all draws of .* are the same"),
        (r"^the weights are not to be trusted", r"the effective sample size of the weights"),
    )
]
# arguments with which the table still holds the diagnostics of every variable
HARMLESS = {"round_to", "hdi_prob", "ci_prob", "ci_kind"}


def summarise(draws: PointSet, doubts: Callable[[], Sequence[str]], **kwargs: Any) -> pd.DataFrame:
    """`arviz.summary` of the named variables; keyword arguments are ArviZ's.

    Weighted draws are resampled first. What is wrong is judged from all variables, before rounding, whatever the
    arguments leave out of the table; `doubts` gives those of the draws' certificate. Of a run that kept only its
    moments the table is of those.
    """
    round_to = kwargs.get("round_to")
    if only_moments(draws):
        return _printed(estimates.rounded(_of_moments(draws), round_to))
    equal = draws.unweighted()
    table = estimates.table(equal.constrained, equal.variables, **kwargs)
    judged = table
    if not kwargs.keys() <= HARMLESS:
        judged = estimates.table(equal.constrained, equal.variables, kind="diagnostics")
    _say(draws, [*complaints(draws, judged), *doubts()])
    return _printed(estimates.rounded(table, round_to))


def _printed(table: Any) -> Any:
    """A data frame as one that is printed whole."""
    from samplers.draws.wide import Wide

    return Wide(table) if hasattr(table, "columns") else table


def _say(draws: PointSet, found: Sequence[str]) -> None:
    """What was found, and what the run has warned of besides; what both tell, by the one that tells more."""
    counted = bool(divergence_complaints(draws))
    told = [here for by_run, here in SAID_BY_RUN if any(by_run.search(one) for one in draws.warnings)]
    for message in found:
        if message in draws.warnings or not any(here.match(message) for here in told):
            warn(message)
    for message in draws.warnings:
        if message not in found and not (counted and DIVERGED.match(message)):
            warn(message)


def complaints(draws: PointSet, table: pd.DataFrame) -> list[str]:
    """What a reader must know before trusting draws, whose diagnostics are in the table, not rounded."""
    found = []
    chains, count = draws.x.shape[:2]
    equal = draws.unweighted()
    for name, value in equal.constrained.items():
        if bad := int((~value.isfinite()).sum()):
            found.append(f"{bad} of {value.numel()} values of {name} are not finite")
    held = still(equal)
    if held.stuck:
        found.append(
            f"all draws of {held.stuck[0]} are the same ({len(held.stuck)} of {len(table)} variables), and it is not "
            "constant by construction: the sampler is stuck there"
        )
    independent = draws.attrs.get("kind") in (INDEPENDENT, PARTICLES)  # nothing to compare, and nothing to mix
    if chains == 1 and not independent:
        found.append("R-hat needs several chains: one chain cannot show that it missed something")
    if count < estimates.LEAST_DRAWS:
        found.append(
            f"{count} draws of each chain are too few to tell R-hat or an effective sample size, which take at least "
            f"{estimates.LEAST_DRAWS}: draw more"
        )
        return found + divergence_complaints(draws)
    if chains > 1:
        r_hat = table["r_hat"].astype(float).dropna()  # of constants there is none
        worst = r_hat[r_hat > HIGHEST_R_HAT]
        if len(worst):
            found.append(
                f"R-hat reaches {_above(worst.max())} at {worst.idxmax()} ({len(worst)} of {len(table)} variables "
                f"above {HIGHEST_R_HAT}): the chains do not agree. They have not mixed, or they sit in different "
                "modes; run longer, start elsewhere, or use a tempered sampler"
            )
    weight_ess = draws.weight_ess
    if weight_ess is not None:  # draws resampled from few are no better than the few
        if weight_ess < LEAST_ESS:
            found.append(
                f"the effective sample size of the weights is {weight_ess:.0f}, below {LEAST_ESS:.0f}: draw more"
            )
    else:
        ess = table[["ess_bulk", "ess_tail"]].astype(float).min(axis=1).dropna()
        if len(ess) and ess.min() < LEAST_ESS:
            found.append(
                f"the effective sample size is {ess.min():.0f} at {ess.idxmin()}, below {LEAST_ESS:.0f}: "
                "means and quantiles carry a large error; draw more"
            )
    return found + divergence_complaints(draws)


def _above(r_hat: float) -> str:
    """With as many digits as show that it is above the limit."""
    return f"{r_hat:.2f}" if HIGHEST_R_HAT < round(r_hat, 2) < 1000 else f"{r_hat:.6g}"


def only_moments(draws: PointSet) -> bool:
    """Whether the run kept running moments of more draws than are here."""
    return draws.moments is not None and draws.moments.count > draws.x.shape[0] * draws.x.shape[1]


def _of_moments(draws: PointSet) -> pd.DataFrame:
    """Mean and standard deviation of every coordinate of x, by the running moments."""
    import pandas as pd

    moments = draws.moments
    assert moments is not None
    plain = draws.variables.keys() == {"x"}
    warn(
        f"only the running moments of {moments.count} draws were kept: the table has the mean and standard deviation "
        f"of x{'' if plain else ', the unconstrained coordinates'}. Quantiles, R-hat and effective sample sizes take "
        'keep="draws"'
    )
    _say(draws, divergence_complaints(draws))
    sd = moments.variance.sqrt() if moments.count > 1 else moments.mean * math.nan
    columns = {"mean": moments.mean.cpu().numpy(), "sd": sd.cpu().numpy()}
    return pd.DataFrame(columns, index=[f"x[{i}]" for i in range(len(sd))])
