"""ArviZ's summary, with what is wrong said in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from samplers.draws import estimates
from samplers.draws.divergences import divergence_complaints
from samplers.draws.objections import objections
from samplers.draws.points import PointSet
from targets.sampling_warning import warn

if TYPE_CHECKING:
    import pandas as pd

DIVERGED = re.compile(r"\d[\d,]* of \d[\d,]* (steps|moves) diverged")  # as a run counts them
# what a run tells more of, and how the same begins here
SAID_BY_RUN = [
    (re.compile(by_run), re.compile(here))
    for by_run, here in (
        (r"^every one of the .* steps diverged|moves were not made", r"\d+ divergent steps"),
        (r"^every one of the .* steps diverged|^(\d+) of \1 chains never moved", r"all draws of .* are the same"),
        (
            r"^the weights are not to be trusted",
            r"the effective sample size of the weights|the Pareto k-hat of the weights",
        ),
        (r"^\d+ of .* chains never moved", r"\d+ of \d+ chains never move:"),
    )
]
# what the certificate adds to an effective sample size that is said to be small already
FEW_SHOW = re.compile(r"^[\d.,e+]+ effective draws show a region to be missed only")
# arguments with which the table still holds the diagnostics of every variable
HARMLESS = {"round_to", "hdi_prob", "ci_prob", "ci_kind"}


def summarise(draws: PointSet, doubts: Callable[[], Sequence[str]], **kwargs: Any) -> pd.DataFrame:
    """`arviz.summary` of the named variables; keyword arguments are ArviZ's.

    Weighted draws are resampled first. What is wrong is judged from all variables, before rounding, whatever the
    arguments leave out of the table; `doubts` gives what the draws' certificate has against them. Of a run that kept
    only its moments the table is of those.
    """
    round_to = kwargs.get("round_to")
    if only_moments(draws):
        return _printed(estimates.rounded(_of_moments(draws), round_to))
    equal = draws.unweighted()
    table = estimates.table(equal.constrained, equal.variables, **kwargs)
    judged = table
    if not kwargs.keys() <= HARMLESS:
        judged = estimates.table(equal.constrained, equal.variables, kind="diagnostics")
    own = objections(draws, judged)
    told_small = any(one.startswith("the effective sample size") for one in own.too_few)
    further = [one for one in doubts() if not (told_small and FEW_SHOW.match(one))]
    _say(draws, list(dict.fromkeys([*own.against, *own.too_few, *further])))
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
