"""Whom to believe, in words: who agrees with what is known, or with whom, and how many of them are independent.

Samplers that start from one pilot see what it has found and miss together what it has missed: they count as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from samplers.compare.facts import Facts
from samplers.compare.rows import Row, joined, number

NEXT = ("a sampler of another kind", "points from elsewhere (witnesses=, init=)", "more seeds")


def pilots_of(answers: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """The pilot that each sampler's runs start from, by the name that they share; its own name where it has none."""
    found = {}
    for name, runs in answers.items():
        pilots = sorted({run["pilot"] for run in runs if run.get("pilot")})
        found[name] = f"pilot {pilots[0]}" if pilots else f"sampler {name}"
    return found


def known_log_z(rows: Iterable[Row]) -> str:
    """The exact log Z in words, where a run states one to compare with it."""
    known = [truth for row in rows if (truth := number(row, "log_z_true")) == truth]
    return f"log Z is exactly {known[0]:.6g}" if known else ""


def conclusion(
    good: list[str],
    compared: list[str],
    faults: Mapping[str, list[str]],
    facts: Facts,
    pilots: Mapping[str, str],
    *,
    shaped: bool,
    pointed: bool,
) -> str:
    """good: without a fault, and with draws enough to tell; compared: those of them that the truth was asked about.

    shaped: whether exact shapes are known; pointed: whether the user gave witnesses.
    """
    faulty = [name for name, said in faults.items() if said]
    rest = len(faults) - len(good) - len(faulty)
    if not good and rest:
        return f"Nothing can be said of {joined([n for n in faults if n not in faulty])}: too few effective draws" + (
            "; the others have a fault:" if faulty else "."
        )
    if not good:
        return "None of the samplers can be believed:" if len(faults) > 1 else "It cannot be believed:"
    if compared:
        known = facts.source if facts.source not in ("", "exact") else "what is exactly known"
        known = f"the {known}" if "run" in known else known
        known = known if shaped or facts.mode_weights or "run" in known else f"{known}, which are means"
        whom = f"{joined(compared)} {'agree' if len(compared) > 1 else 'agrees'} with {known}"
        others = "; the others do not, or have a fault of their own:"
    else:
        whom = _unproven(good, facts, pilots, pointed)
        others = ". The others do not agree, or have a fault of their own:" if len(good) > 1 else ". Of the others:"
    if rest:
        whom += f"; of {rest} too few effective draws tell nothing"
    return whom + (others if faulty else ".")


def _unproven(good: list[str], facts: Facts, pilots: Mapping[str, str], pointed: bool) -> str:
    """That agreement is no proof, how many samplers are independent, and what to try next."""
    nothing = "nothing exact is known here" + (" but log Z" if facts.log_z == facts.log_z else "")
    more = [step for step in NEXT if not (pointed and "witnesses=" in step)]
    then = f"try {', '.join(more[:-1])} or {more[-1]}"
    if len(good) == 1:
        alone = "no other sampler stands beside it"
        return f"Nothing speaks against {good[0]}, which is no proof: {nothing}, and {alone}; {then}"
    shared = [[name for name in good if pilots[name] == one] for one in dict.fromkeys(pilots[n] for n in good)]
    together = [group for group in shared if len(group) > 1]
    if len(shared) == 1:
        counted = "they start from one pilot and count as one"
    elif together:
        groups = "; ".join(f"{joined(group)} start from one pilot and count as one" for group in together)
        counted = f"they count as {len(shared)}, as {groups}"
    else:
        counted = f"they are {len(shared)} independent samplers"
    return f"{joined(good)} agree with one another, which is no proof: {nothing}, and {counted}; {then}"
