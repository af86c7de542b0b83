"""Stored comparisons for the tests of the report, made of exact draws without any sampling."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import Generator

import targets
from samplers import Cost, Draws, LogZ
from samplers.compare import Comparison
from samplers.compare.comparison import FACTS, GRID
from samplers.compare.facts import Facts
from samplers.compare.measures import all_of
from samplers.compare.store import Store
from samplers.compare.truth import known_truth
from samplers.version import versions

CHAINS = 8


def exact(target, x, draws):
    return Draws(x)


def shifted(target, x, draws):
    return Draws(x + 0.5 * x.flatten(0, 1).std(0))


def sticky(target, x, draws):
    """Each draw three times, so that chains have an autocorrelation."""
    return Draws(x.repeat_interleave(3, dim=1)[:, :draws])


def stuck(target, x, draws):
    """Each chain stays near where it starts."""
    return Draws(x[:, :1] + 0.05 * (x - x[:, :1]))


def weighted(target, x, draws):
    """Draws that are too wide by a tenth, with weights for it that are right of a Gaussian."""
    flat = x.reshape(1, -1, x.shape[-1])
    spread = flat[0].std(0)
    log_weights = -0.1 * (flat / spread).square().sum(-1).double()
    value = LogZ(target.log_z + 0.01 if "log_z" in target.known else 1.0, 0.02)
    return Draws(1.1 * flat, log_weights=log_weights, log_z=value)


def at_once(target, x, draws):
    return Draws(x.reshape(1, -1, x.shape[-1]), log_z=LogZ(0.0, 0.5, lower=-1.0), attrs={"kind": "independent draws"})


def failed(target, x, draws):
    raise RuntimeError("it did not work")


KINDS = {
    "exact": exact, "shifted": shifted, "sticky": sticky, "stuck": stuck, "weighted": weighted, "at once": at_once,
    "failed": failed,
}  # fmt: skip


def stored(folder: Path, given, samplers, *, seeds: int = 1, draws: int = 200, distances: bool = False) -> Comparison:
    """The comparison of `given` targets and `samplers`, {name: one of KINDS}, in a folder."""
    store, keys = Store(folder), []
    for name, target in given.items():
        truth, kept = known_truth(target), []
        for sampler, kind in samplers.items():
            for seed in range(seeds):
                keys.append((name, sampler, seed))
                row = {"target": name, "sampler": sampler, "seed": seed, "warnings": [], "budget_share": math.nan}
                path = store.path(keys[-1])
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    made = _draws(kind, target, len(keys), draws)
                    kept.append(made)
                    made.save(store.draws_path(keys[-1]))
                    row |= all_of(made, truth, distances=distances) | {"error": ""}
                except RuntimeError as error:
                    row["error"] = f"RuntimeError: {error}"
                path.write_text(json.dumps({"asked": {}, "row": row}))
        Facts.gather(name, target, truth, [], kept).save(folder / FACTS)
    grid = {"targets": list(given), "cells": keys, "budget": "", "versions": versions()}
    (folder / GRID).write_text(json.dumps(grid))
    return Comparison.load(folder)


def _draws(kind, target, seed: int, draws: int) -> Draws:
    generator = Generator().manual_seed(seed)
    x = target.sample(CHAINS * draws, generator=generator).reshape(CHAINS, draws, -1)
    made = kind(target, x, draws)
    made.target = target
    made.cost = Cost(20 * made.x.shape[0] * made.x.shape[1], 10 * made.x.shape[0] * made.x.shape[1], 0.5 + 0.1 * seed)
    made.stats = {"lp": target.log_prob(made.x)}
    if len(made.x) > 1:
        made.attrs |= {"warmup": draws // 2, "draws": draws, "thin": 1}
    return made


def eight_by_ten(folder: Path, *, seeds: int = 1, draws: int = 1000) -> Comparison:
    names = ("gmm9", "gmm40-fab", "funnel10-std3", "two-modes-d32", "gmm9-unequal", "many-well6-fab", "rings4-slips")
    given = {name: targets.benchmark(name) for name in names if name in targets.benchmarks()}
    for dim in range(2, 2 + 8 - len(given)):
        given[f"gaussian-{dim}"] = targets.Gaussian(torch.zeros(dim, dtype=torch.float64))
    samplers = {
        "MALA": exact, "HMC": exact, "ULA": shifted, "ParallelTempering": sticky, "SMC": at_once,
        "AIS": weighted, "CMCD, 200 iterations": weighted, "blackjax NUTS": stuck, "emcee": sticky, "DDS": failed,
    }  # fmt: skip
    return stored(folder, given, samplers, seeds=seeds, draws=draws)
