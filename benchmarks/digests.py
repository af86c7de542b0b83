"""Digests of what every sampler draws at a fixed seed: for changes of the code that must change no bit.

    python benchmarks/digests.py before.json       records them where the file is not there
    python benchmarks/digests.py before.json       names those that differ where it is, and exits with 1
    python benchmarks/digests.py before.json --samplers hmc smc      these alone

A digest is of the draws, their log weights, log Z with its error, and the cost in evaluations. They are those of one
machine and one version of torch: record on the commit before a change and compare on the one after it. Continuous
targets: nine modes, eight schools, a funnel; spins: Ising on a torus, Potts, random couplings. A sampler that refuses a
target has its message as digest.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

import samplers
import targets
from samplers.registry import SAMPLERS

CONTINUOUS = ("gmm9", "eight-schools", "funnel10-std3")
SMALL: dict[str, int] = {"chains": 4, "draws": 12, "warmup": 24, "iterations": 4}
PARTICLES = 64  # of samplers without chains
MORE = {
    "sequential-multimeasurement, weighted": lambda: samplers.SequentialMultimeasurement(weighted=True),
    "ais, one run": lambda: samplers.AIS(unbiased=False),
    "smc, unbiased": lambda: samplers.SMC(unbiased=True),
    "riemannian": lambda: samplers.RiemannianLangevin(lambda x: 1 + x.square()),
}


def densities() -> dict[str, targets.Target]:
    """By name; the same at every call."""
    generator = torch.Generator().manual_seed(0)
    couplings = torch.randn(6, 6, generator=generator).triu(1)
    spins = {
        "ising-4x4": targets.Ising((4, 4), coupling=0.4),
        "potts-3x3": targets.Potts((3, 3)),
        "random-couplings": targets.PairwiseMRF(couplings + couplings.T),
    }
    return {name: targets.benchmark(name) for name in CONTINUOUS} | spins


def digest(sampler: Any, target: targets.Target) -> str:
    """Of a short run."""
    takes = inspect.signature(sampler.sample).parameters
    budget = {name: n for name, n in SMALL.items() if name in takes}
    if "chains" not in takes:
        budget["draws"] = PARTICLES
    try:
        draws = sampler.sample(target, seed=3, progress=False, **budget)
    except (ValueError, TypeError, NotImplementedError) as refusal:
        return f"refused: {refusal}"
    found = hashlib.sha256()
    for values in (draws.x, draws.log_weights, *(draws.stats[name] for name in sorted(draws.stats))):
        if values is not None:
            found.update(values.contiguous().numpy().tobytes())
    log_z = None if draws.log_z is None else (draws.log_z.value, draws.log_z.standard_error)
    found.update(repr((log_z, draws.cost.log_prob, draws.cost.score)).encode())
    return found.hexdigest()


def digests(names: list[str] | None) -> dict[str, str]:
    """Those of the samplers named, or of all, by "sampler on target"."""
    found: dict[str, str] = {}
    kinds = {name: kind for name, kind in SAMPLERS.items() if not kind.__module__.startswith("samplers.peers")} | MORE
    for name, kind in kinds.items():
        if names is not None and name not in names:
            continue
        began = time.perf_counter()
        for where, target in densities().items():
            found[f"{name} on {where}"] = digest(kind(), target)
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return found


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("file", type=Path)
    command.add_argument("--samplers", nargs="*", metavar="NAME", help="all where none are given")
    options = command.parse_args()
    path = options.file
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = digests(options.samplers)
    if not path.exists():
        path.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{len(found)} digests recorded")
        return
    before = json.loads(path.read_text())
    if options.samplers is not None:
        before = {key: value for key, value in before.items() if key.partition(" on ")[0] in options.samplers}
    differing = sorted(key for key in before | found if before.get(key) != found.get(key))
    for key in differing:
        print(f"{key}: {before.get(key)} before, {found.get(key)} now")
    print(f"{len(differing)} of {len(found)} digests differ")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
