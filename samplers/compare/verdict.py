"""The verdict on each target: what is wrong with whom."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samplers.compare import limits
from samplers.compare.agreements import Together
from samplers.compare.believed import Believed, believed
from samplers.compare.conclusion import conclusion, known_log_z, pilots_of
from samplers.compare.facts import Facts
from samplers.compare.limits import FEW
from samplers.compare.rows import Row, answers, by, has, joined, log_z_off_by, number
from samplers.compare.witnesses import Examined
from samplers.draws import html

LOST = 0.1  # share of its weight below which a mode is lost
SEEN = 20  # effective draws that a mode should have had before it is called lost
MIXED = 1.05  # of modes: below it the variables tell as much
MOST_NAMES = 3  # of constants
COMPARED = ("shape_error_se", "mean_error_se", "mode_error_se")


@dataclass(frozen=True, repr=False)
class Verdict:
    """faults: {sampler: what is wrong with it}, an empty list where nothing is; cautions: {sampler: why little can be
    said of it}, likewise; conclusion: whom to believe; remarks: on log Z, the truth and the witnesses. log_z: the one
    to believe, where samplers without a fault state one and it is not exactly known.
    """

    faults: Mapping[str, list[str]]
    cautions: Mapping[str, list[str]]
    conclusion: str
    remarks: list[str]
    log_z: Believed | None = None

    def __str__(self) -> str:
        lines = [self.conclusion, *(f"  {name}: {texts}" for name, texts in self._said().items())]
        return "\n".join([*lines, *(f"  {text}" for text in self.remarks)])

    def __repr__(self) -> str:
        return f"Verdict({self.conclusion!r})"

    def _repr_html_(self) -> str:
        return self.html()

    def html(self, title: str = "") -> str:
        """As a notebook shows it, below the name of its target."""
        return html.block(
            title, html.paragraph(self.conclusion), html.facts(self._said()), html.listed(map(str, self.remarks))
        )

    def _said(self) -> dict[str, str]:
        """Faults and cautions of those that have some, by sampler."""
        said = {name: "; ".join([*faults, *self.cautions[name]]) for name, faults in self.faults.items()}
        return {name: texts for name, texts in said.items() if texts}


def verdicts(
    rows: Sequence[Row],
    facts: Mapping[str, Facts],
    found: Mapping[str, Together],
    examined: Mapping[str, Examined] | None = None,
) -> dict[str, Verdict]:
    """One for each target; `found`: which samplers agree, where there are several; examined: what witnesses tell."""
    apart = {name: one.apart for name, one in found.items()}
    return {
        name: _verdict(by("sampler", own), facts[name], apart.get(name, {}), (examined or {}).get(name))
        for name, own in by("target", rows).items()
    }


def _verdict(
    rows: Mapping[str, list[Row]], facts: Facts, apart: Mapping[frozenset[str], str], examined: Examined | None
) -> Verdict:
    every = [row for own in rows.values() for row in own]
    runs = {name: answers(own) for name, own in rows.items()}
    faults = {}
    for name, own in runs.items():
        lacked = [] if examined is None else examined.faults(name)
        faults[name] = [*_failures(rows[name]), *_faults(own, facts, lacked)]
    cautions = {
        name: [*limits.CHANCE_R_HAT.said(own), *limits.ESS.said(own), *limits.BUDGET.said(own)]
        for name, own in runs.items()
    }
    if examined is not None:
        cautions = {name: [*said, *examined.cautions(name)] for name, said in cautions.items()}
    sound = [name for name, said in faults.items() if not said and _judged(runs[name])]
    shaped = any(has(run, "shape_error_se") for run in every)
    for name, said in contradictions({} if shaped else apart, sound).items():
        faults[name].append(said)
    good = [name for name in sound if not faults[name]]
    compared = [name for name in good if any(has(run, error) for run in runs[name] for error in COMPARED)]
    pilots = pilots_of({name: runs[name] for name in good})
    exact = known_log_z(every)
    whole = None if exact else believed({name: runs[name] for name in good}, pilots)
    concluded = conclusion(good, compared, faults, facts, pilots, shaped=shaped, pointed=examined is not None)
    told = ["" if whole is None else str(whole), exact, "" if examined is None else examined.remark(rows)]
    return Verdict(faults, cautions, concluded, [*filter(None, told), *facts.notes, *_constants(every)], whole)


def _constants(rows: list[Row]) -> list[str]:
    """What no run ever changes, which is no fault."""
    names = list(dict.fromkeys(name for row in rows for name in row.get("constants") or ()))
    if not names:
        return []
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return [f"the same in all draws of a run, as they may be: {', '.join(names[:MOST_NAMES])}{more}"]


def _judged(runs: list[Row]) -> bool:
    """Whether there are enough effective draws to say something of them."""
    return bool(runs) and all(number(run, "ess_bulk") >= FEW for run in runs)


def _failures(runs: list[Row]) -> list[str]:
    failed = [run["error"] for run in runs if run["error"]]
    if not failed:
        return []
    many = f"{len(failed)} of {len(runs)} runs failed" if len(runs) > 1 else "the run failed"
    return [f"{many} ({failed[0]})"]


def _faults(runs: list[Row], facts: Facts, lacked: list[str]) -> list[str]:
    """Draws that never change; what is measured against what is known, the gravest first; mass that draws lack; what a
    run tells of itself. lacked: around witnesses.
    """
    lost = [run for run in runs if run.get("not_finite")]
    if lost:
        return [f"{lost[0]['not_finite']} of its {lost[0]['draws']} draws are not finite"]
    stuck = [run["stuck"] for run in runs if run.get("stuck")]
    held = [f"all its draws of {names[0]} are the same" for names in stuck[:1]]
    signs = _signs(runs)
    doubts = [doubt for run in runs for doubt in run.get("doubts", ())]
    return [*held, *_errors(runs, facts, trusted=not (held or signs)), *doubts[:1], *lacked, *signs]


def _signs(runs: list[Row]) -> list[str]:
    """What a run tells of itself."""
    torn = [run for run in runs if number(run, "mode_r_hat") > MIXED]
    return [
        *(limits.MODE_R_HAT.said(torn) or limits.R_HAT.said(runs)),
        *limits.PARETO_K.said(runs),
        *limits.WEIGHT_ESS.said(runs),
        *limits.DIVERGENCES.said(runs),
    ]


def _errors(runs: list[Row], facts: Facts, *, trusted: bool) -> list[str]:
    """Where it is at odds with what is known, the largest error first, as a share of the draws or of Z.

    Where a run is not to be trusted by its own signs, its standard errors are not either: then an error is named that
    is large in itself.
    """
    lost = _lost_modes(runs, facts)
    shape = limits.SHAPE if trusted or limits.SHAPE.worst(runs) else limits.LARGE_SHAPE
    mode = limits.MODE if trusted or limits.MODE.worst(runs) else limits.LARGE_MODE
    sized = [
        *((limits.mode_off(run), mode.words(run)) for run in ([] if lost else mode.worst(runs))),
        *((number(run, "shape_off"), shape.words(run)) for run in shape.worst(runs)),
        *((_log_z_share(run), limits.LOG_Z.words(run)) for run in limits.LOG_Z.worst(runs)),
        *((_log_z_share(run), limits.LOG_Z_WITHOUT_ERROR.words(run)) for run in limits.LOG_Z_WITHOUT_ERROR.worst(runs)),
    ]
    sized.sort(key=lambda one: one[0] if one[0] == one[0] else 0.0, reverse=True)
    return [*lost, *(said for _, said in sized), *limits.MEAN.said(runs)]


def _log_z_share(run: Row) -> float:
    """The error of log Z as a share of the larger Z."""
    return -math.expm1(-abs(log_z_off_by(run)))


def _lost_modes(runs: list[Row], facts: Facts) -> list[str]:
    lost: dict[int, float] = {}
    for run in runs:
        for mode, (share, truth) in enumerate(zip(run.get("mode_weights", []), facts.mode_weights, strict=False)):
            if share < LOST * truth and truth * _independent(run) >= SEEN:
                lost[mode] = truth
    if len(lost) > 1:
        return [f"it misses {len(lost)} modes, {sum(lost.values()):.0%} of the mass"]
    return [f"it misses the mode of weight {truth:.3g}" for truth in lost.values()]


def _independent(run: Row) -> float:
    """How many draws there were to find a mode with: the effective ones of weights; chains that are stuck had all."""
    return run["draws"] * (number(run, "weight_ess") if has(run, "weight_ess") else 1.0)


def contradictions(apart: Mapping[frozenset[str], str], names: list[str]) -> dict[str, str]:
    """Of samplers without a fault of their own that contradict one another the largest group that agrees is believed;
    what is said of each of the others. Where there is no single largest group, everyone who is contradicted is at
    fault: nothing tells who is right.
    """
    groups = largest_groups(names, apart)
    group = groups[0] if len(groups) == 1 and len(groups[0]) > 1 else set()
    found = {}
    for name in names:
        against = [other for other in names if frozenset((name, other)) in apart]
        if against and name not in group:
            first = min(against, key=lambda other: (other not in group, names.index(other)))
            found[name] = f"it disagrees with {joined(against)}: with {first}, {apart[frozenset((name, first))]}"
    return found


def largest_groups(names: list[str], apart: Mapping[frozenset[str], str]) -> list[set[str]]:
    """All largest sets of names no two of which are apart; by trying, for some twenty names."""
    best: list[set[str]] = []

    def grow(group: list[str], rest: list[str]) -> None:
        if not best or len(group) > len(best[0]):
            best[:] = [set(group)]
        elif len(group) == len(best[0]) and set(group) not in best:
            best.append(set(group))
        for i, name in enumerate(rest):
            if len(group) + len(rest) - i < len(best[0]):
                return
            if all(frozenset((name, other)) not in apart for other in group):
                grow([*group, name], rest[i + 1 :])

    grow([], names)
    return best
