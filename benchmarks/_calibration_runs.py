"""Runs of the calibration benchmark: one sampler on one target with one seed, each in a process of its own."""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import math
import multiprocessing
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from _calibration_targets import CASES, Scaled
from _machine import Row

import samplers
import targets
from samplers.compare import measures
from samplers.compare.truth import known_truth
from samplers.draws import Draws

DRAWS, QUICK_DRAWS, ITERATIONS = 1000, 200, 30
LOADED = ("arviz", "scipy.integrate", "scipy.optimize", "scipy.stats", "samplers.diffusion", "samplers.draws.summary")
Job = tuple[str, str, int]  # target, sampler, seed


def _annealed(sampler: Any) -> Callable[..., Draws]:
    return lambda target, seed, quick: sampler.sample(
        target, draws=QUICK_DRAWS if quick else DRAWS, seed=seed, progress=False
    )


def _chains(kernel: Any, chains: int, draws: int, warmup: int) -> Callable[..., Draws]:
    def run(target: targets.Target, seed: int, quick: bool) -> Draws:
        length = {"draws": 50, "warmup": 50} if quick else {"draws": draws, "warmup": warmup}
        return kernel.sample(target, chains=chains, seed=seed, progress=False, **length)

    return run


def _learned(name: str) -> Callable[..., Draws]:
    def run(target: targets.Target, seed: int, quick: bool) -> Draws:
        fitted = getattr(samplers, name)().fit(target, seed=seed, iterations=5 if quick else ITERATIONS, progress=False)
        return fitted.sample(draws=QUICK_DRAWS if quick else DRAWS, seed=10_000 + seed)

    return run


LEARNED = ("DDS", "PIS", "DIS", "MCD", "CMCD", "SCLD")
WITH_LOG_Z: dict[str, Callable[..., Draws]] = {
    "SMC": _annealed(samplers.SMC()),
    "AIS": _annealed(samplers.AIS()),
    "ParallelTempering": _chains(samplers.ParallelTempering(), chains=16, draws=200, warmup=200),
    "SequentialMultimeasurement": _annealed(samplers.SequentialMultimeasurement(weighted=True)),
    **{name: _learned(name) for name in LEARNED},
}
WITHOUT: dict[str, Callable[..., Draws]] = {
    "HMC": _chains(samplers.HMC(), chains=16, draws=250, warmup=250),
    "MALA": _chains(samplers.MALA(), chains=16, draws=500, warmup=500),
    "WalkJump": _chains(samplers.WalkJump(), chains=16, draws=50, warmup=25),
}
SAMPLERS = WITH_LOG_Z | WITHOUT


def run(job: Job, quick: bool = False) -> Row:
    """The row of one run; that of one that raises holds the error's text."""
    name, sampler, seed = job
    case = CASES[name]
    target = case.build()
    row: Row = {"target": name, "sampler": sampler, "seed": seed, "error": ""}
    row["log_z_true"] = target.log_z + case.log_scale
    began = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", samplers.SamplingWarning)
        try:
            draws = SAMPLERS[sampler](Scaled(target, case.log_scale), seed, quick)
        except Exception as error:  # a failure is a result
            row["error"] = f"{type(error).__name__}: {error}"
    row |= {"seconds": time.process_time() - began, "warnings": _texts(caught)}
    if row["error"]:
        return row
    row |= _stated(draws) | _of_draws(draws, target)
    return row | {"seconds_in_all": time.process_time() - began}


def _stated(draws: Draws) -> Row:
    """What the draws say of log Z, and how far to trust it."""
    found, certificate = draws.log_z, getattr(draws, "certificate", None)
    return {
        "log_z": None if found is None else found.value,
        "log_z_se": None if found is None else found.standard_error,
        "pareto_k": draws.pareto_k,
        "evaluations": draws.cost.log_prob + draws.cost.score,
        "certificate_lower": getattr(certificate, "lower", None),
        "certificate_upper": getattr(certificate, "upper", None),
        "certificate": None if certificate is None else str(certificate),
    }


def _of_draws(draws: Draws, target: targets.Target) -> Row:
    """Errors of means and mode weights against what the target knows, and what a summary of the draws warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", samplers.SamplingWarning)
        try:
            draws.summary()
        except ValueError as error:
            warnings.warn(str(error), samplers.SamplingWarning, stacklevel=1)
    seen = dataclasses.replace(draws, target=target)
    truth = known_truth(target)
    row: Row = {"summary_warnings": _texts(caught)}
    if not bool(draws.x.isfinite().all()):
        return row | {"not_finite": int((~draws.x.isfinite()).any(-1).sum())}
    row |= {key: _plain(value) for key, value in measures.errors(seen, truth).items() if key.startswith("mean")}
    modes = measures.between_modes(seen)
    row["mode_error_se"] = _plain(modes["mode_error_se"])
    if "mode_weights" in modes:
        true = target.mode_weights.double().tolist()
        row["mode_weights"], row["mode_weights_true"] = modes["mode_weights"], true
        row["mode_error"] = 0.5 * sum(abs(a - b) for a, b in zip(row["mode_weights"], true, strict=True))
    return row


def _texts(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    return list(dict.fromkeys(str(one.message) for one in caught))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def read(path: Path) -> list[Row]:
    """The rows of a file; a last line that an interrupted run has left unfinished is cut off."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def run_all(jobs: Sequence[Job], path: Path, *, workers: int, timeout: float, quick: bool = False) -> None:
    """Run what the file has no row of, and append each row as it ends. A run over the timeout (s) is ended: a row."""
    done = {(row["target"], row["sampler"], row["seed"]) for row in read(path)}
    left = [job for job in jobs if job not in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        for row in _rows(left, workers, timeout, quick):
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(_line(row), flush=True)


def _rows(jobs: Sequence[Job], workers: int, timeout: float, quick: bool) -> Iterator[Row]:
    waiting = deque(jobs)
    running: dict[Connection, tuple[Job, Any, float]] = {}
    # forked, so that torch is loaded once; this process itself evaluates nothing
    context = multiprocessing.get_context("fork")
    for name in LOADED:
        importlib.import_module(name)
    while waiting or running:
        while waiting and len(running) < workers:
            ours, theirs = context.Pipe(duplex=False)
            job = waiting.popleft()
            process = context.Process(target=_child, args=(theirs, job, quick), daemon=True)
            process.start()
            theirs.close()
            running[ours] = job, process, time.monotonic()
        ended = wait(list(running), timeout=1.0)
        for pipe, (job, process, began) in list(running.items()):
            if pipe in ended:
                try:
                    row = json.loads(pipe.recv())
                except EOFError:
                    process.join()
                    row = _failed(job, f"the process ended with code {process.exitcode}")
            elif time.monotonic() - began > timeout:
                process.kill()
                row = _failed(job, f"longer than {timeout:g} s", timeout)
            else:
                continue
            process.join()
            pipe.close()
            del running[pipe]
            yield row


def _child(pipe: Connection, job: Job, quick: bool) -> None:
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # ArviZ logs of every single chain that R-hat needs two
    pipe.send(json.dumps(run(job, quick)))
    pipe.close()


def _failed(job: Job, error: str, seconds: float = math.nan) -> Row:
    return {
        "target": job[0],
        "sampler": job[1],
        "seed": job[2],
        "error": error,
        "seconds": seconds,
        "warnings": [],
    }


def _line(row: Row) -> str:
    said = row["error"] or (
        "" if row.get("log_z") is None else f"{row['log_z'] - row['log_z_true']:+.3f} +- {row['log_z_se']:.3f}"
    )
    warned = "; ".join(text[:50] for text in row["warnings"])
    return f"{row['target']}, {row['sampler']}, {row['seed']}: {said} {row['seconds']:.1f} s {warned}"
