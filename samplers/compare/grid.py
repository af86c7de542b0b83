"""Targets x samplers x seeds: the cells, their processes, and the results on disk as they come."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from samplers.compare import apart
from samplers.compare.budget import Budget
from samplers.compare.cell import Cell, to_job
from samplers.compare.comparison import Comparison
from samplers.compare.store import Store
from samplers.compare.truth import Truth, known_truth, truth_from, with_truths
from samplers.compare.witnesses import checked
from samplers.draws import Draws, Sampler
from samplers.draws.objections import HIGHEST_R_HAT
from samplers.draws.signature import Choice, taken_by
from samplers.kernels import HMC
from samplers.runs.progress import Progress
from targets import Target
from targets.arguments import check_integer, positive

REFERENCE = "reference"  # the name of the long runs that stand for a truth
REFERENCE_SEED, LONGER = 2**31, 4


def compare(
    targets: Mapping[str, Target],
    samplers: Mapping[str, Choice],
    *,
    seeds: int | Iterable[int] = 1,
    init: Mapping[str, Any] | None = None,
    witnesses: Mapping[str, Any] | None = None,
    truth: bool = False,
    reference: bool = False,
    max_evaluations: int | None = None,
    max_seconds: float | None = None,
    timeout: float | None = None,
    distances: bool = True,
    folder: str | Path | None = None,
    retry: bool = False,
    fresh: bool = False,
    workers: int = 1,
    threads: int = 1,
    executor: Executor | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Comparison:
    """Run every sampler on every target with every seed, each run in a process of its own.

    A run that fails, crashes or takes longer than `timeout` seconds is a row that holds the error's text.

    samplers: by name; a pair (sampler, {"iterations": 200}) has options of its own for `sample`. seeds: how many (0, 1,
    ...), or which. init: starting points by target name, for every sampler that takes them: a tensor with a point for
    each chain or particle, or a function (n, generator) -> (n, dim), which suits them all.
    witnesses: by target name points (n, dim), or Draws, that are believed to come from it or to lie near its modes: of
    another sampler, a colleague, an optimiser; in unconstrained coordinates. After the runs the mass around them is
    measured, and a run that lacks more of it than chance allows is at fault. Other witnesses leave stored runs as they
    are.
    truth: have what is known of each density in one or two dimensions that does not state its moments and log Z found
    by quadrature (`targets.with_truth`), so that it is judged like a benchmark; where that refuses, a remark says why.
    Others stay as they are.
    reference: where a target states no moments, take those of an HMC run four times as long with another seed, unless
    its own R-hat is above 1.01; the column `truth` says which.
    max_evaluations, max_seconds: what one run may use of the target, or take, warmup, pilot and training included. Its
    length (draws and warmup of chains, particles, iterations of training) is then found by trial runs that grow, whose
    cost is not counted. distances: whether to measure them, a few seconds a cell, where a target has exact draws.
    folder: where results go as they come, and are found again by the same call after an interruption; without one they
    last as long as the result. retry: run again what failed before.
    fresh: run anew what the folder holds of another run: other draws, options or settings, or a density whose values,
    code or data differ, or of which it cannot be told whether it is the same. Without it such a cell is a ValueError.
    workers: cells at a time; with more than one, seconds are not comparable. threads: of torch in each. executor: any
    `concurrent.futures.Executor`, such as Dask's `Client.get_executor()`; it decides how many cells run and where.
    options: go to every `sample`, except that one which another sampler takes is not given to those that do not
    (particles have no chains and no warmup).

    Ctrl-C ends the cells that run here, leaves an executor the one it is at, and is raised. ValueError names a bad
    argument, and a folder of another comparison.

        >>> plane = targets.Gaussian([0.0, 0.0])
        >>> result = samplers.compare({"plane": plane}, {"svgd": samplers.SVGD()}, draws=20, distances=False)
        >>> list(result.verdicts), len(result.rows)
        (['plane'], 1)
    """
    if timeout is not None:
        positive(timeout, "timeout")
    _check(targets, samplers, init)
    targets, remarks = with_truths(targets, progress) if truth else (targets, {})
    cells = make_cells(
        targets,
        samplers,
        seeds=seeds,
        init=init,
        budget=Budget(max_evaluations, max_seconds),
        distances=distances,
        options=options,
    )
    pointed = checked(witnesses, targets)
    long_runs = {name: (init or {}).get(name) for name in targets} if reference else {}
    grid = Grid(timeout, threads, executor, check_integer(workers, "workers"), retry, fresh, progress)
    return grid.run(cells, folder, long_runs, options, pointed, remarks)


def make_cells(
    targets: Mapping[str, Target],
    samplers: Mapping[str, Choice],
    *,
    seeds: int | Iterable[int] = 1,
    init: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    distances: bool = True,
    options: Mapping[str, Any],
) -> list[Cell]:
    """The cells of a grid; the arguments are those of `compare`."""
    chosen = _check(targets, samplers, init)
    seeds = _seeds(seeds)
    taken_by_any = {name for sampler, _ in chosen.values() for name in _taken(sampler, options)}
    for_nobody = {name: value for name, value in options.items() if name not in taken_by_any}  # each one's error
    cells = []
    for target_name, target in targets.items():
        start = {"init": init[target_name]} if init and target_name in init else {}
        for name, (sampler, own) in chosen.items():
            given = for_nobody | _taken(sampler, {**options, **start}) | dict(own)
            cells += [
                Cell(target_name, name, seed, target, sampler, given, budget or Budget(), None, distances)
                for seed in seeds
            ]
    return cells


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    if isinstance(seeds, int):
        return list(range(check_integer(seeds, "seeds")))
    found = [operator.index(seed) for seed in seeds]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"seeds: got {found}, expected different seeds, at least one")
    return found


def _check(targets: Any, samplers: Any, init: Any) -> dict[str, tuple[Sampler, Mapping[str, Any]]]:
    """The samplers with their own options; errors name what came."""
    for what, given in (("targets", targets), ("samplers", samplers)):
        if not isinstance(given, Mapping):
            example = '{"funnel": target}' if what == "targets" else '{"hmc": samplers.HMC()}'
            raise TypeError(f"{what}: got {type(given).__name__}, expected a dict by name such as {example}")
        for name in given:
            if not isinstance(name, str) or not name:
                raise TypeError(f"{what}: got the name {name!r}, expected a text that is not empty")
    for name, target in targets.items():
        if not isinstance(target, Target):
            raise TypeError(f"targets: {name!r} is a {type(target).__name__}, expected a targets.Target")
    chosen = {}
    for name, one in samplers.items():
        sampler, own = one if isinstance(one, tuple) else (one, {})
        if isinstance(sampler, type) or not callable(getattr(sampler, "sample", None)):
            came = f"the class {sampler.__name__}" if isinstance(sampler, type) else type(sampler).__name__
            raise TypeError(f"samplers: {name!r} is {came}, expected an object with a method sample(target, ...)")
        chosen[name] = sampler, own
    for what, given in (("targets", targets), ("samplers", samplers)):
        if not given:
            raise ValueError(f"{what}: got none, expected at least one by name")
    if REFERENCE in samplers:
        raise ValueError(f"samplers: {REFERENCE!r} is the name of the long reference runs; take another one")
    if unknown := set(init or {}) - set(targets):
        raise ValueError(f"init: got {sorted(unknown)}, expected names among the targets {sorted(targets)}")
    return chosen


def _taken(sampler: Sampler, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that this sampler's `sample` knows."""
    known = taken_by(sampler)
    return {name: value for name, value in options.items() if name in known}


@dataclass(frozen=True)
class Grid:
    """How cells are run; see `compare`."""

    timeout: float | None
    threads: int
    executor: Executor | None
    workers: int
    retry: bool
    fresh: bool
    progress: bool | None

    def run(
        self,
        cells: Sequence[Cell],
        folder: str | Path | None,
        long_runs: Mapping[str, Any],
        options: Mapping[str, Any],
        witnesses: Mapping[str, Tensor] | None = None,
        remarks: Mapping[str, str] | None = None,
        **about: Any,
    ) -> Comparison:
        """All of it: the truths, then the cells. long_runs: starting points of reference runs by target, None for the
        sampler's own; options: theirs; witnesses: points by target; remarks: on truths, likewise; about: what the
        comparison remembers of itself.
        """
        store = Store(folder)
        targets = {cell.target_name: cell.target for cell in cells}
        truths: dict[str, Truth | None] = {name: known_truth(target) for name, target in targets.items()}
        wanted = {n: init for n, init in long_runs.items() if truths[n] is None and not targets[n].discrete}
        notes = self._references(store, targets, wanted, options, truths)
        for name, remark in (remarks or {}).items():
            notes[name].append(remark)
        for name, target in targets.items():
            if truths[name] is None and "sample" in target.known and "moments" not in target.known:
                notes[name].append(
                    f"{name} states exact draws, but not both mean and covariance: distances to exact draws are "
                    "measured, errors of means, deviations and quantiles are not. State both, or use reference=True"
                )
        cells = [replace(cell, truth=truths[cell.target_name]) for cell in cells]
        self._all(store, cells, "cells")
        return Comparison.write(store, cells, truths, notes, witnesses=witnesses or {}, about=about)

    def _references(
        self,
        store: Store,
        targets: Mapping[str, Target],
        wanted: Mapping[str, Any],
        options: Mapping[str, Any],
        truths: dict[str, Truth | None],
    ) -> dict[str, list[str]]:
        """Put the moments of long runs among the truths; returns remarks on those that are no truth."""
        notes: dict[str, list[str]] = {name: [] for name in targets}
        cells = []
        for name, init in wanted.items():
            start = {} if init is None else {"init": init}
            longer = {"draws": LONGER * int(options.get("draws", 1000))}
            given = _taken(HMC(), options) | start | longer
            cells.append(Cell(name, REFERENCE, REFERENCE_SEED, targets[name], HMC(), given, distances=False))
        for cell, row in zip(cells, self._all(store, cells, "references"), strict=True):
            if row["error"]:
                notes[cell.target_name].append(f"the reference run failed: {row['error']}")
            elif not row["r_hat"] <= HIGHEST_R_HAT:
                notes[cell.target_name].append(
                    f"the reference run is not to be trusted (R-hat {row['r_hat']:.3f}) and is not used"
                )
            else:
                draws = Draws.load(store.draws_path(cell.key), cell.target)
                truths[cell.target_name] = truth_from(draws, "long HMC run")
        return notes

    def _all(self, store: Store, cells: Sequence[Cell], what: str) -> list[dict[str, Any]]:
        """The rows of the cells, run where they are not there yet."""
        rows = {cell.key: store.row(cell, fresh=self.fresh, retry=self.retry) for cell in cells}
        missing = [cell for cell in cells if rows[cell.key] is None]
        for cell in {(cell.target_name, cell.sampler_name): cell for cell in missing}.values():
            to_job(cell)  # an error now, before hours of others
        bar = Progress(len(cells), len(cells) - len(missing), self.progress if cells else False, what, "cells")
        busy: set[apart.Server] = set()
        executor = self.executor or ThreadPoolExecutor(self.workers)
        run = partial(apart.run_apart, timeout=self.timeout, threads=self.threads)
        futures: dict[Future[apart.Outcome], Cell] = {}
        try:
            for cell in missing:
                if self.executor is None:  # made into bytes when its turn comes
                    future = executor.submit(lambda cell: run(to_job(cell), busy=busy), cell)
                else:
                    future = executor.submit(run, to_job(cell))
                futures[future] = cell
            for future in as_completed(list(futures)):
                cell = futures.pop(future)
                rows[cell.key] = store.keep(cell, _outcome(future))
                bar.advance(partial("{} on {} done".format, cell.sampler_name, cell.target_name))
        except BaseException:
            for future in futures:
                future.cancel()
            apart.close_busy(busy)
            raise
        finally:
            bar.close()
            if self.executor is None:
                executor.shutdown(cancel_futures=True)
                apart.close_idle(but=1)
        return [row for row in rows.values() if row is not None]


def _outcome(future: Future[apart.Outcome]) -> apart.Outcome:
    try:
        return future.result()
    except Exception as error:  # the executor's own: a worker that died, a network
        return apart.Outcome({"error": f"{type(error).__name__}: {error}"})
