"""The verdict on each target: what is wrong with whom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from samplers.annealing.evidence import HIGHEST_PARETO_K
from samplers.compare.agreements import Together
from samplers.compare.believed import Believed, believed
from samplers.compare.conclusion import conclusion, joined, known_log_z, witnesses_of
from samplers.compare.facts import Facts
from samplers.compare.limits import FEW, Row, beyond, divergences_limit, log_z_limit, number, r_hat_limit
from samplers.compare.witnesses import Examined
from samplers.draws.summary import LEAST_ESS

LOST = 0.1  # share of its weight below which a mode is lost
SEEN = 20  # effective draws that a mode should have had before it is called lost
LOW_WEIGHT_ESS = 0.05
NATS = 1.0  # that log Z may be off by where it states no error
MIXED = 1.05  # of modes: below it the variables tell as much
MOST_NAMES = 3  # of constants
COMPARED = ("shape_error_se", "mean_error_se", "mode_error_se")


@dataclass(frozen=True)
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
        said = {name: [*faults, *self.cautions[name]] for name, faults in self.faults.items()}
        lines = [self.conclusion, *(f"  {name}: {'; '.join(texts)}" for name, texts in said.items() if texts)]
        return "\n".join([*lines, *(f"  {text}" for text in self.remarks)])


def verdicts(
    rows: Sequence[Row],
    facts: Mapping[str, Facts],
    found: Mapping[str, Together],
    examined: Mapping[str, Examined] | None = None,
) -> dict[str, Verdict]:
    """One for each target; `found`: which samplers agree, where there are several; examined: what witnesses tell."""
    alone, examined = Together(None, []), examined or {}
    return {
        name: _verdict(
            [row for row in rows if row["target"] == name], facts[name], found.get(name, alone), examined.get(name)
        )
        for name in dict.fromkeys(row["target"] for row in rows)
    }


def _verdict(rows: list[Row], facts: Facts, found: Together, examined: Examined | None) -> Verdict:
    names = list(dict.fromkeys(row["sampler"] for row in rows))
    by_name = {name: [row for row in rows if row["sampler"] == name] for name in names}
    answers = {name: [run for run in runs if not run["error"]] for name, runs in by_name.items()}
    own = {name: [*_failures(by_name[name]), *_inner_faults(answers[name])] for name in names}
    outer = {name: list(_errors(answers[name], facts)) for name in names}
    if examined is not None:
        outer = {name: [*said, *examined.faults(name)] for name, said in outer.items()}
    shaped = any(not math.isnan(number(run, "shape_error_se")) for runs in answers.values() for run in runs)
    sound = [name for name in names if not own[name] and not outer[name] and _judged(answers[name])]
    quarrel = _Quarrel({} if shaped else found.apart, sound)
    faults = {name: [*own[name], *outer[name], *quarrel.faults.get(name, [])] for name in names}
    cautions = {name: _cautions(answers[name]) for name in names}
    if examined is not None:
        cautions = {name: [*said, *examined.cautions(name)] for name, said in cautions.items()}
    good = [name for name in sound if not faults[name]]
    compared = [name for name in good if any(not math.isnan(number(run, m)) for run in answers[name] for m in COMPARED)]
    witnesses = witnesses_of({name: answers[name] for name in good})
    exact = known_log_z(rows)
    whole = None if exact else believed({name: answers[name] for name in good}, witnesses)
    said = conclusion(good, compared, faults, facts, witnesses, shaped=shaped, pointed=examined is not None)
    told = ["" if whole is None else str(whole), exact, "" if examined is None else examined.remark(names)]
    return Verdict(faults, cautions, said, [*filter(None, told), *facts.notes, *_constants(rows)], whole)


def _constants(rows: list[Row]) -> list[str]:
    """What no run ever changes, which is no fault."""
    names = dict.fromkeys(name for row in rows for name in row.get("constants") or ())
    if not names:
        return []
    some = list(names)[:MOST_NAMES]
    more = f" and {len(names) - len(some)} more" if len(names) > len(some) else ""
    return [f"the same in all draws of a run, as they may be: {', '.join(some)}{more}"]


def _judged(runs: list[Row]) -> bool:
    """Whether there are enough effective draws to say something of them."""
    return bool(runs) and all(number(run, "ess_bulk") >= FEW for run in runs)


def _failures(runs: list[Row]) -> list[str]:
    failed = [run["error"] for run in runs if run["error"]]
    if not failed:
        return []
    many = f"{len(failed)} of {len(runs)} runs failed" if len(runs) > 1 else "the run failed"
    return [f"{many} ({failed[0]})"]


def _worst(runs: list[Row], name: str) -> float:
    """The largest value over runs, NaN where there is none."""
    found = [run[name] for run in runs if name in run and run[name] is not None and not math.isnan(run[name])]
    return max(found, default=math.nan)


def _inner_faults(runs: list[Row]) -> list[str]:
    """What a run tells of itself."""
    if not runs:
        return []
    found: list[str] = []
    lost = [run for run in runs if run.get("not_finite")]
    if lost:
        return [f"{lost[0]['not_finite']} of its {lost[0]['draws']} draws are not finite"]
    stuck = [run["stuck"] for run in runs if run.get("stuck")]
    if stuck:
        found.append(f"all its draws of {stuck[0][0]} are the same")
    apart = [run for run in runs if number(run, "r_hat") > r_hat_limit(run)]
    torn = _worst(runs, "mode_r_hat")
    if torn > MIXED and any(number(run, "mode_r_hat") > r_hat_limit(run) for run in runs):
        modes = "one of them is never entered or left" if math.isinf(torn) else f"of modes {torn:.2f}"
        found.append(f"its chains do not mix between modes (R-hat {_worst(runs, 'r_hat'):.2f}; {modes})")
    elif apart:
        found.append(f"its chains do not agree with one another (R-hat {_worst(apart, 'r_hat'):.3f})")
    k = _worst(runs, "pareto_k")
    if k > HIGHEST_PARETO_K:
        found.append(
            f"its weights have tails too heavy to be trusted, as if their variance were infinite (k-hat {k:.2f}, "
            f"at most {HIGHEST_PARETO_K})"
        )
    share = min((run["weight_ess"] for run in runs if not math.isnan(number(run, "weight_ess"))), default=math.nan)
    if share < LOW_WEIGHT_ESS:
        found.append(f"only {share:.1%} of its weighted draws are effective")
    found += list(dict.fromkeys(doubt for run in runs for doubt in run.get("doubts", ())))[:1]
    diverged, most = max((run["divergences"] / max(run["draws"], 1), divergences_limit(run)) for run in runs)
    if diverged > most:
        often = f"{diverged:.1%} of its draws" if diverged <= 1 else f"{diverged:.1f} for each of its draws"
        found.append(f"its proposals diverged, {often}")
    return found


def _cautions(runs: list[Row]) -> list[str]:
    ess = min((number(run, "ess_bulk") for run in runs), default=math.inf)
    return [f"few effective draws (ESS {ess:.0f}, below {LEAST_ESS:.0f})"] if ess < LEAST_ESS else []


def _errors(runs: list[Row], facts: Facts) -> Iterable[str]:
    """Where it is at odds with what is known."""
    shaped = [run for run in runs if not math.isnan(number(run, "shape_error_se"))]
    if shaped:
        off = max(shaped, key=lambda run: run["shape_error_se"])
        if beyond(off, "shape_error_se", off["shape_tests"]):
            yield f"{off['shape_error']} ({off['shape_error_se']:.1f} standard errors)"
    else:
        yield from _moment_errors(runs)
    yield from _mode_errors(runs, facts)
    for run in sorted(runs, key=_log_z_error, reverse=True)[:1]:
        if _log_z_error(run) > log_z_limit(run):
            off_by = run["log_z"] - run["log_z_true"]
            yield f"its log Z is off by {off_by:+.3f}, {_log_z_error(run):.1f} times its stated error"
    for run in runs:
        off_by = number(run, "log_z") - number(run, "log_z_true")
        if abs(off_by) > NATS and not number(run, "log_z_se") > 0:
            yield f"its log Z is off by {off_by:+.3f}, and it states no error"
            break


def _log_z_error(run: Row) -> float:
    """In standard errors; minus one where it is not known."""
    error = number(run, "log_z_se")
    z = abs(number(run, "log_z") - number(run, "log_z_true")) / error if error > 0 else math.nan
    return -1.0 if math.isnan(z) else z


def _moment_errors(runs: list[Row]) -> Iterable[str]:
    """Where no shape is known to compare with."""
    off = max(runs, key=lambda run: _order(number(run, "mean_error_se")), default=None)
    if off and beyond(off, "mean_error_se", off["variables"]):
        yield (
            f"its mean of {off['mean_error_at']} is off by {off['mean_error_se']:.1f} standard errors, "
            f"{off['mean_error_sd']:.2g} of a standard deviation"
        )


def _mode_errors(runs: list[Row], facts: Facts) -> Iterable[str]:
    lost: dict[int, float] = {}
    for run in runs:
        for mode, (share, truth) in enumerate(zip(run.get("mode_weights", []), facts.mode_weights, strict=False)):
            if share < LOST * truth and truth * _independent(run) >= SEEN:
                lost[mode] = truth
    if lost:
        weights = f"the mode of weight {max(lost.values()):.3g}" if len(lost) == 1 else f"{len(lost)} modes"
        together = "" if len(lost) == 1 else f", {sum(lost.values()):.0%} of the mass"
        yield f"it misses {weights}{together}"
        return
    off = max(runs, key=lambda run: _order(number(run, "mode_error_se")), default=None)
    if off and beyond(off, "mode_error_se", len(facts.mode_weights)):
        yield (
            f"it gives a mode of weight {off['worst_mode_true']:.3f} the weight {off['worst_mode']:.3f} "
            f"({off['mode_error_se']:.1f} standard errors)"
        )


def _independent(run: Row) -> float:
    """How many draws there were to find a mode with: the effective ones of weights; chains that are stuck had all."""
    share = number(run, "weight_ess")
    return run["draws"] * (1.0 if math.isnan(share) else share)


def _order(value: float) -> float:
    return -1.0 if math.isnan(value) else value


class _Quarrel:
    """Samplers without a fault of their own that contradict one another: the largest group that agrees is believed.

    Where there is no single largest group, everyone who is contradicted is at fault: nothing tells who is right.
    """

    def __init__(self, apart: Mapping[frozenset[str], str], names: list[str]) -> None:
        groups = largest_groups(names, apart)
        group = groups[0] if len(groups) == 1 and len(groups[0]) > 1 else set()
        self.faults: dict[str, list[str]] = {}
        for name in names:
            against = [other for other in names if frozenset((name, other)) in apart]
            if against and name not in group:
                first = min(against, key=lambda other: (other not in group, names.index(other)))
                self.faults[name] = [
                    f"it disagrees with {joined(against)}: with {first}, {apart[frozenset((name, first))]}"
                ]


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
