"""The verdict on each target, in words: what is wrong with whom, and whom to believe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samplers.annealing.evidence import HIGHEST_PARETO_K
from samplers.compare.agreements import Together
from samplers.compare.facts import Facts
from samplers.summary import HIGHEST_R_HAT, LEAST_ESS

Row = Mapping[str, Any]
FALSE_ALARM = 1e-4  # of one row where all is well, for each kind of error
LOST = 0.1  # share of its weight below which a mode is lost
SEEN = 20  # draws that a mode should have had before it is called lost
MANY_DIVERGENCES = 0.01
LOW_WEIGHT_ESS = 0.05
FEW = 100  # effective draws below which standard errors are not to be trusted


@dataclass(frozen=True)
class Verdict:
    """faults: {sampler: what is wrong with it}, an empty list where nothing is; cautions: {sampler: why little can be
    said of it}, likewise; conclusion: whom to believe; remarks: on the truth.
    """

    faults: Mapping[str, list[str]]
    cautions: Mapping[str, list[str]]
    conclusion: str
    remarks: list[str]

    def __str__(self) -> str:
        said = {name: [*faults, *self.cautions[name]] for name, faults in self.faults.items()}
        lines = [self.conclusion, *(f"  {name}: {'; '.join(texts)}" for name, texts in said.items() if texts)]
        return "\n".join([*lines, *(f"  {text}" for text in self.remarks)])


def verdicts(
    rows: Sequence[Row],
    facts: Mapping[str, Facts],
    found: Mapping[str, Together],
) -> dict[str, Verdict]:
    """One for each target; `found`: which samplers agree, where there are several."""
    alone = Together(None, [])
    return {
        name: _verdict([row for row in rows if row["target"] == name], facts[name], found.get(name, alone))
        for name in dict.fromkeys(row["target"] for row in rows)
    }


def _verdict(rows: list[Row], facts: Facts, found: Together) -> Verdict:
    names = list(dict.fromkeys(row["sampler"] for row in rows))
    by_name = {name: [row for row in rows if row["sampler"] == name] for name in names}
    own = {name: [*_failures(runs), *_inner_faults(runs)] for name, runs in by_name.items()}
    outer = {name: [*_errors(runs, facts)] for name, runs in by_name.items()}
    known = bool(facts.moments or facts.mode_weights)
    at_odds = {} if known else _at_odds(names, own, found)
    faults = {name: [*own[name], *outer[name], *at_odds.get(name, [])] for name in names}
    cautions = {name: _cautions(runs) for name, runs in by_name.items()}
    return Verdict(faults, cautions, _conclusion(faults, facts, known), list(facts.notes))


def _conclusion(faults: Mapping[str, list[str]], facts: Facts, known: bool) -> str:
    good = [name for name, said in faults.items() if not said]
    if not good:
        return "None of the samplers can be believed." if len(faults) > 1 else "It cannot be believed."
    if known:
        said = facts.source if facts.source not in ("", "exact") else "what is exactly known"
        whom = f"{joined(good)} {'agree' if len(good) > 1 else 'agrees'} with {'the ' if 'run' in said else ''}{said}"
    elif len(good) > 1:
        whom = f"{joined(good)} agree with one another; nothing exact is known here to compare with"
    else:
        whom = f"Nothing speaks against {good[0]}, and nothing confirms it"
    return whom + ("." if len(good) == len(faults) else "; the others do not, or have a fault of their own:")


def joined(names: Iterable[str]) -> str:
    """a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


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
    runs = [run for run in runs if not run["error"]]
    if not runs:
        return []
    found = []
    r_hat, mode_r_hat = _worst(runs, "r_hat"), _worst(runs, "mode_r_hat")
    if r_hat > HIGHEST_R_HAT or mode_r_hat > HIGHEST_R_HAT:
        if mode_r_hat > max(r_hat, 1.05) or (mode_r_hat > 1.05 and r_hat > 1.05):
            found.append(f"its chains do not mix between modes (R-hat {r_hat:.2f}, of modes {mode_r_hat:.2f})")
        else:
            found.append(f"its chains do not agree with one another (R-hat {max(r_hat, mode_r_hat):.3f})")
    k = _worst(runs, "pareto_k")
    if k > HIGHEST_PARETO_K:
        found.append(
            f"its weights have tails too heavy to be trusted, as if their variance were infinite (k-hat {k:.2f}, "
            f"at most {HIGHEST_PARETO_K})"
        )
    share = min((run["weight_ess"] for run in runs if run["weight_ess"] == run["weight_ess"]), default=math.nan)
    if share < LOW_WEIGHT_ESS:
        found.append(f"only {share:.1%} of its weighted draws are effective")
    lost = max(run["divergences"] / max(run["draws"], 1) for run in runs)
    if lost > MANY_DIVERGENCES:
        found.append(f"its proposals diverged, {lost:.1%} of its draws")
    return found


def _cautions(runs: list[Row]) -> list[str]:
    ess = min((run["ess_bulk"] for run in runs if not run["error"]), default=math.inf)
    return [f"few effective draws (ESS {ess:.0f}, below {LEAST_ESS:.0f})"] if ess < LEAST_ESS else []


def limit(tests: int) -> float:
    """Standard errors that the largest of so many errors exceeds once in 1 / FALSE_ALARM times where all is well."""
    from scipy.stats import norm

    return float(norm.isf(FALSE_ALARM / (2 * max(tests, 1))))


def _errors(runs: list[Row], facts: Facts) -> Iterable[str]:
    """Where it is at odds with what is known."""
    runs = [run for run in runs if not run["error"]]
    judged = [run for run in runs if run["ess_bulk"] >= FEW]
    shaped = [run for run in judged if not math.isnan(run["shape_error_se"])]
    if shaped:
        off = max(shaped, key=lambda run: run["shape_error_se"])
        if off["shape_error_se"] > limit(off["shape_tests"]):
            yield f"{off['shape_error']} ({off['shape_error_se']:.1f} standard errors)"
    else:
        yield from _moment_errors(judged)
    yield from _mode_errors(runs, facts)
    z = [
        (abs(run["log_z"] - run["log_z_true"]) / run["log_z_se"], run)
        for run in runs
        if run["log_z_se"] > 0 and run["log_z_true"] == run["log_z_true"]
    ]
    far, run = max(z, key=lambda pair: pair[0], default=(0.0, {}))
    if far > limit(1):
        yield f"its log Z is off by {run['log_z'] - run['log_z_true']:+.3f}, {far:.1f} times its stated error"


def _moment_errors(judged: list[Row]) -> Iterable[str]:
    """Where no shape is known to compare with."""
    off = max(judged, key=lambda run: _order(run["mean_error_se"]), default=None)
    if off and off["mean_error_se"] > limit(off["variables"]):
        yield (
            f"its mean of {off['mean_error_at']} is off by {off['mean_error_se']:.1f} standard errors, "
            f"{off['mean_error_sd']:.2g} of a standard deviation"
        )


def _mode_errors(runs: list[Row], facts: Facts) -> Iterable[str]:
    lost: dict[int, float] = {}
    for run in runs:
        for mode, (share, truth) in enumerate(zip(run.get("mode_weights", []), facts.mode_weights, strict=False)):
            if share < LOST * truth and truth * run["draws"] >= SEEN:
                lost[mode] = truth
    if lost:
        weights = f"the mode of weight {max(lost.values()):.3g}" if len(lost) == 1 else f"{len(lost)} modes"
        together = "" if len(lost) == 1 else f", {sum(lost.values()):.0%} of the mass"
        yield f"it misses {weights}{together}"
        return
    off = max(runs, key=lambda run: _order(run["mode_error_se"]), default=None)
    if off and off["mode_error_se"] > limit(len(facts.mode_weights)):
        yield (
            f"it gives a mode of weight {off['worst_mode_true']:.3f} the weight {off['worst_mode']:.3f} "
            f"({off['mode_error_se']:.1f} standard errors)"
        )


def _order(value: float) -> float:
    return -1.0 if value is None or math.isnan(value) else value


def _at_odds(names: list[str], own: Mapping[str, list[str]], found: Together) -> dict[str, list[str]]:
    """Where nothing exact is known: who is outside the largest group that agrees, of samplers without a fault."""
    sound = [name for name in names if not own[name]]
    apart: dict[frozenset[str], str] = {}
    for (a, b), (r_hat, variable) in ({} if found.agreement is None else found.agreement.pairs).items():
        if r_hat > HIGHEST_R_HAT or math.isnan(r_hat):
            apart[frozenset((a, b))] = f"on {variable} (R-hat between them {r_hat:.3f})"
    for one in found.differences:
        if one.standard_errors > limit(one.tests):
            apart.setdefault(frozenset(one.pair), f"({one})")
    group = _largest_group(sound, apart)
    said: dict[str, list[str]] = {}
    for name in names:
        against = [other for other in sound if frozenset((name, other)) in apart]
        if name in group and len(group) > 1:
            continue
        if against:
            said[name] = [f"it disagrees with {other} {apart[frozenset((name, other))]}" for other in against[:2]]
    return said


def _largest_group(names: list[str], apart: Mapping[frozenset[str], str]) -> set[str]:
    """The largest set of names no two of which are apart; the first where several are as large. At most 20 names."""
    best: set[str] = set()

    def grow(group: list[str], rest: list[str]) -> None:
        nonlocal best
        if len(group) > len(best):
            best = set(group)
        for i, name in enumerate(rest):
            if len(group) + len(rest) - i <= len(best):
                return
            if all(frozenset((name, other)) not in apart for other in group):
                grow([*group, name], rest[i + 1 :])

    grow([], names)
    return best
