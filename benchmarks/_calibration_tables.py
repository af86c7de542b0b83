"""The tables of the calibration benchmark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from statistics import fmean

from _calibration_targets import CASES
from _calibration_verdicts import (
    FEW,
    LEAST,
    cause,
    covered,
    error,
    false_alarm,
    mean_missed,
    missed,
    modes_missed,
    silent_miss,
    stated,
    trusted,
    warned_of_draws,
)
from _machine import Row


def narrow(row: Row) -> bool:
    return CASES[row["target"]].narrow is not None


def summary(rows: list[Row]) -> Row:
    """The columns of log Z over runs that stated one."""
    ran = [row for row in rows if not row["error"] and row.get("log_z") is not None]
    quiet = [row for row in ran if not row["warnings"]]
    errors = [abs(error(row)) for row in ran]
    inside = [abs(error(row)) <= 2 * stated(row) for row in ran]
    intervals = [row for row in ran if row.get("certificate_lower") is not None]
    false = sum(map(false_alarm, ran))
    return {
        "runs": len(ran),
        "failed": sum(bool(row["error"]) for row in rows),
        "mean abs. error": _mean(errors),
        "worst": max(errors, default=None),
        "rms z": _rms(ran),
        "rms z, not warned": _rms(quiet),
        "within 2": _mean(inside),
        "warned": len(ran) - len(quiet),
        "missed": sum(map(missed, ran)),
        "silent misses": sum(map(silent_miss, ran)),
        "false alarms": false,
        "% false": 100 * false / len(ran) if ran else None,
        "interval holds log Z": _mean([covered(row) for row in intervals]),
        "evaluations": _thousands(ran),
        "s": _mean([row["seconds"] for row in ran]),
    }


def summary_of_draws(rows: list[Row]) -> Row:
    """The columns of means and mode weights."""
    means = [row for row in rows if row.get("mean_error_se") is not None]
    modes = [row for row in rows if row.get("mode_error_se") is not None]
    far = [abs(row["mean_error_sd"]) for row in means]
    return {
        "runs with means": len(means),
        "worst mean off by (sd), mean": _mean(far),
        "worst": max(far, default=None),
        "worst within 3 s.e.": _mean([row["mean_error_se"] <= FEW for row in means]),
        "silent misses": sum(mean_missed(row) and not warned_of_draws(row) for row in means),
        "false alarms": sum(_false(row, "mean_error_se", "mean_error_sd") for row in means),
        "runs with modes": len(modes),
        "mass in wrong modes, mean": _mean([row["mode_error"] for row in modes]),
        "worst ": max((row["mode_error"] for row in modes), default=None),
        "silent misses ": sum(modes_missed(row) and not warned_of_draws(row) for row in modes),
        "false alarms ": sum(_false(row, "mode_error_se", "mode_error") for row in modes),
        "evaluations": _thousands(rows),
        "s": _mean([row["seconds"] for row in rows]),
    }


def _false(row: Row, name: str, off_by: str) -> bool:
    """A warning though the error is within 3 standard errors, and below what would be a miss."""
    return warned_of_draws(row) and row[name] <= FEW and abs(row[off_by]) <= LEAST and trusted(row)


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return fmean(values) if values else None


def _thousands(rows: list[Row]) -> str | None:
    """Evaluations in the mean, in thousands."""
    mean = _mean([row["evaluations"] for row in rows if "evaluations" in row])
    return None if mean is None else f"{mean / 1000:.0f} k"


def _rms(rows: list[Row]) -> float | None:
    """The root mean square of error over stated error, of the runs that state a positive one."""
    squares = [(error(row) / stated(row)) ** 2 for row in rows if stated(row) > 0 and math.isfinite(error(row))]
    return math.sqrt(fmean(squares)) if squares else None


# Tables


def tables(rows: list[Row]) -> dict[str, list[Row]]:
    """All tables that have a row, by heading."""
    plain = [row for row in rows if not narrow(row)]
    with_log_z = [row for row in plain if row["error"] or row.get("log_z") is not None]
    failed = [{key: row[key] for key in ("target", "sampler", "seed", "error")} for row in rows if row["error"]]
    made = {
        "log Z by sampler": _by(with_log_z, "sampler", _stating(summary)),
        "log Z by target": _by(with_log_z, "target", _stating(summary)),
        "Means and mode weights of draws, by sampler": _by(plain, "sampler", summary_of_draws),
        "Narrow modes": narrow_modes([row for row in rows if narrow(row)]),
        "Silent misses of log Z": _listed(plain, silent_miss),
        "Warned misses of log Z": _listed(plain, lambda row: missed(row) and bool(row["warnings"])),
        "False alarms of log Z": _listed(plain, false_alarm),
        "Silent misses of means": _listed_draws(plain, "mean_error_se", mean_missed),
        "Silent misses of mode weights": _listed_draws(plain, "mode_error_se", modes_missed),
        "Failed": failed,
        "Cost of a run, s": cost(rows),
    }
    return {heading: table for heading, table in made.items() if table}


def _by(rows: list[Row], key: str, summarise: Callable[[list[Row]], Row | None]) -> list[Row]:
    """A row for each value of the key, in the order of the rows, and one of all where there are several."""
    groups = {value: [row for row in rows if row[key] == value] for value in dict.fromkeys(row[key] for row in rows)}
    table = [{key: value, **found} for value, group in groups.items() if (found := summarise(group))]
    together = summarise(rows) if len(table) > 1 else None
    return [*table, {key: "all", **together}] if together else table


def _stating(summarise: Callable[[list[Row]], Row]) -> Callable[[list[Row]], Row | None]:
    """No row for what never stated a log Z, such as chains that failed."""
    return lambda rows: summarise(rows) if any(row.get("log_z") is not None for row in rows) else None


def _listed(rows: list[Row], which: Callable[[Row], bool]) -> list[Row]:
    """The runs that stated a log Z and are such."""
    return [
        {
            "target": row["target"],
            "sampler": row["sampler"],
            "seed": row["seed"],
            "error": error(row),
            "stated": row["log_z_se"],
            "k-hat": row["pareto_k"],
            "cause": cause(row) if missed(row) else None,
            "warnings": _first_words(row["warnings"]),
        }
        for row in rows
        if not row["error"] and row.get("log_z") is not None and which(row)
    ]


def _listed_draws(rows: list[Row], name: str, which: Callable[[Row], bool]) -> list[Row]:
    return [
        {
            "target": row["target"],
            "sampler": row["sampler"],
            "seed": row["seed"],
            "standard errors": row[name],
            "mean off by, sd": row.get("mean_error_sd"),
            "mass in wrong modes": row.get("mode_error"),
            "k-hat": row["pareto_k"],
        }
        for row in rows
        if row.get(name) is not None and which(row) and not warned_of_draws(row)
    ]


def narrow_modes(rows: list[Row]) -> list[Row]:
    """Of every narrow mode and sampler: found is a draw of half of its mass or more there."""
    table = []
    for name in (name for name in CASES if CASES[name].narrow is not None):
        for sampler in dict.fromkeys(row["sampler"] for row in rows if row["target"] == name):
            group = [row for row in rows if (row["target"], row["sampler"]) == (name, sampler)]
            ran = [row for row in group if not row["error"]]
            sd, distance, mass = CASES[name].narrow or (math.nan, math.nan, math.nan)
            found = [row for row in ran if row.get("mode_weights") and row["mode_weights"][1] >= 0.5 * mass]
            log_z = [row for row in ran if row.get("log_z") is not None]
            table.append(
                {
                    "narrow sd": sd,
                    "distance": distance,
                    "dim": CASES[name].build().dim,
                    "mass": mass,
                    "sampler": sampler,
                    "runs": len(ran),
                    "failed": len(group) - len(ran),
                    "seeds that found it": ", ".join(str(row["seed"]) for row in found),
                    "log Z missed": sum(map(missed, log_z)) if log_z else None,
                    "silently": sum(map(silent_miss, log_z)) if log_z else None,
                    "evaluations": _thousands(ran),
                    "evaluations where found": _thousands(found),
                }
            )
    return table


def cost(rows: list[Row]) -> list[Row]:
    """Processor seconds in the mean: targets down, samplers across."""
    samplers = list(dict.fromkeys(row["sampler"] for row in rows))
    return [
        {"target": name}
        | {s: _mean([row["seconds"] for row in rows if (row["target"], row["sampler"]) == (name, s)]) for s in samplers}
        for name in dict.fromkeys(row["target"] for row in rows)
    ]


def _first_words(texts: list[str], words: int = 12) -> str:
    return "; ".join(" ".join(text.replace("|", "/").split()[:words]) for text in texts)


def notes(rows: list[Row]) -> list[str]:
    """What the columns mean."""
    return [
        "A miss of log Z: |error| over max(5 stated errors, 0.1), silent where the run warned of nothing. A false "
        "alarm: a warning on a run whose error is within 3 stated errors and whose k-hat is below 0.7, or that has no "
        "weights. z: error over stated error.",
        "Means: the variable that is worst in standard errors, a miss where it is off by more than 5 of them and 0.1 "
        "sd. Mode weights: a miss where the worst mode is off by more than 5 standard errors and more than 0.1 of the "
        "mass is in a wrong mode (total variation). False alarms there: a warning on errors within 3 standard errors "
        "that are no more than 0.1 sd or 0.1 of the mass. Warnings of means and modes are those of the run and of its "
        "summary.",
        "Targets are given as density and score alone, times a constant that differs from target to target. Where log "
        "Z is by quadrature it is accurate to 1e-4 or better.",
        "Narrow modes, which no search can be expected to find, are in a table of their own alone. Found: the draws "
        "have half of its mass or more.",
        "Evaluations are those of density and score together. s: processor seconds of a process with one thread.",
        *filter(None, (_where(rows, name) for name in dict.fromkeys(row["sampler"] for row in rows))),
    ]


def _where(rows: list[Row], sampler: str) -> str:
    """On which of the targets, narrow modes apart, a sampler was run, or was not; nothing where on all."""
    plain = [name for name, case in CASES.items() if case.narrow is None]
    ran = {row["target"] for row in rows if row["sampler"] == sampler}
    there, gone = ([name for name in plain if (name in ran) is wanted] for wanted in (True, False))
    if not gone or not there:
        return ""
    few = len(there) < len(gone)
    return f"{sampler} was {'run on these alone' if few else 'not run on'}: {'; '.join(there if few else gone)}."
