"""What draws tell against themselves: R-hat, chains that stand still, divergent steps; and where they are too few.

`summary` warns of these, and the certificate begins with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from samplers.draws import estimates
from samplers.draws.divergences import divergence_complaints
from samplers.draws.points import INDEPENDENT, PARTICLES, PointSet
from samplers.draws.still import frozen, still
from samplers.draws.weighted import HIGHEST_PARETO_K

if TYPE_CHECKING:
    import pandas as pd

HIGHEST_R_HAT = 1.01
FALSE_ALARM = 1e-4  # of an R-hat that is called larger than chance leaves it
LEAST_ESS = 400.0  # Vehtari et al. 2021: 100 for each of four chains


@dataclass(frozen=True)
class Objections:
    """against: what speaks against the draws; too_few: why little can be told from them. Each in words."""

    against: list[str] = field(default_factory=list)
    too_few: list[str] = field(default_factory=list)


def objections(draws: PointSet, table: pd.DataFrame | None = None) -> Objections:
    """What a reader must know before trusting draws; table: their diagnostics by `estimates.table`, not rounded."""
    against, too_few = [], []
    chains, count = draws.x.shape[:2]
    equal = draws.unweighted()
    if table is None:
        table = estimates.table(equal.constrained, equal.variables, kind="diagnostics")
    for name, value in equal.constrained.items():
        if bad := int((~value.isfinite()).sum()):
            against.append(f"{bad} of {value.numel()} values of {name} are not finite")
    held = still(equal)
    if held.stuck:
        against.append(
            f"all draws of {held.stuck[0]} are the same ({len(held.stuck)} of {len(table)} variables), and it is not "
            "constant by construction: the sampler is stuck there"
        )
    independent = draws.attrs.get("kind") in (INDEPENDENT, PARTICLES)  # nothing to compare, and nothing to mix
    if not independent and (never := frozen(draws)):
        against.append(f"{never} of {chains} chains never move: all {count} draws of each are the same")
    if draws.pareto_k is not None and draws.pareto_k > HIGHEST_PARETO_K:
        against.append(
            f"the Pareto k-hat of the weights is {draws.pareto_k:.2f}, above {HIGHEST_PARETO_K}: their tails are too "
            "heavy to be trusted"
        )
    if chains == 1 and not independent:
        too_few.append("R-hat needs several chains: one chain cannot show that it missed something")
    if count < estimates.LEAST_DRAWS:
        too_few.append(
            f"{count} draws of each chain are too few to tell R-hat or an effective sample size, which take at least "
            f"{estimates.LEAST_DRAWS}: draw more"
        )
    else:
        mixing = _r_hat(equal, table)
        against, too_few = [*against, *mixing.against], [*too_few, *mixing.too_few]
        too_few += _ess(draws, table)
    return Objections([*against, *divergence_complaints(draws)], too_few)


def _r_hat(equal: PointSet, table: pd.DataFrame) -> Objections:
    """Where R-hat is too large: the chains do not agree, or each is worth too few draws to tell."""
    chains = len(equal.x)
    r_hat = table["r_hat"].astype(float)  # of constants there is none
    worst = r_hat[r_hat > HIGHEST_R_HAT]
    if chains == 1 or not len(worst):
        return Objections()
    said = f"R-hat reaches {_above(worst.max())} at {worst.idxmax()} ({len(worst)} of {len(table)} variables "
    said += f"above {HIGHEST_R_HAT})"
    place = int(r_hat.fillna(0.0).to_numpy().argmax())
    if worst.max() > left_to_chance(equal, place):
        return Objections(
            [
                f"{said}: the chains do not agree. They have not mixed, or they sit in different modes; run longer, "
                "start elsewhere, or use a tempered sampler"
            ]
        )
    return Objections(
        [],
        [
            f"{said}, but with so few effective draws ({_within(equal, place) / chains:.0f} a chain) this can be "
            "chance: run longer"
        ],
    )


def left_to_chance(equal: PointSet, place: int) -> float:
    """The R-hat up to which chains that agree may come by chance, by the effective draws of each chain alone.

    place: of the scalar with the largest one, in the order of `constrained`. Certificates, warnings and comparisons
    all ask here. It is exceeded with chance FALSE_ALARM over all scalars, by ranks or by folded ranks.
    """
    chains, count = equal.x.shape[:2]
    tests = 2 * sum(value[0, 0].numel() for value in equal.constrained.values())
    effective = _within(equal, place) / (2 * chains)
    return estimates.r_hat_by_chance(chains, count / 2, effective, tests, FALSE_ALARM)


def _within(equal: PointSet, place: int) -> float:
    """`ess_within` of one scalar, by its place in the table."""
    every = [scalar for value in equal.constrained.values() for scalar in value.reshape(*value.shape[:2], -1).unbind(2)]
    return estimates.ess_within(every[place])


def _ess(draws: PointSet, table: pd.DataFrame) -> list[str]:
    weight_ess = draws.weight_ess
    if weight_ess is not None:  # draws resampled from few are no better than the few
        if not weight_ess < LEAST_ESS:
            return []
        return [f"the effective sample size of the weights is {weight_ess:.0f}, below {LEAST_ESS:.0f}: draw more"]
    ess = table[["ess_bulk", "ess_tail"]].astype(float).min(axis=1).dropna()
    if not len(ess) or ess.min() >= LEAST_ESS:
        return []
    return [
        f"the effective sample size is {ess.min():.0f} at {ess.idxmin()}, below {LEAST_ESS:.0f}: "
        "means and quantiles carry a large error; draw more"
    ]


def _above(r_hat: float) -> str:
    """With as many digits as show that it is above the limit."""
    return f"{r_hat:.2f}" if HIGHEST_R_HAT < round(r_hat, 2) < 1000 else f"{r_hat:.6g}"
