"""log Z by SMC with its defaults, with and without scouts and certificate, where only density and score are known.

Both are run in turn with the same seeds: the error of log Z, the standard error stated, evaluations of density and
score, processor seconds, and whether a warning was given. Targets have modes that annealing loses, or are those on
which scouts should cost little. Then how often a single fan finds a narrow mode of one variable with half of the mass
beside N(0, 1).

    python benchmarks/scouts.py
    python benchmarks/scouts.py --targets gmm9
"""

from __future__ import annotations

import time
import warnings
from contextlib import ExitStack
from unittest import mock

import torch
from _machine import Row, parser, write

import samplers
import targets
from samplers.scouts.search import search
from targets.counting import Counted

RUNS, PARTICLES, FANS = 2, 4096, 20
NARROW = (
    (0.1, 20.0),
    (0.1, 200.0),
    (0.1, 1000.0),
    (1.0, 2000.0),
    (0.01, 20.0),
    (1e-3, 20.0),
    (1e-4, 20.0),
    (1e-5, 20.0),
)


class Hidden(targets.Target):
    """Density and score of a target, and no more."""

    def __init__(self, inner: targets.Target) -> None:
        super().__init__(inner.dim, dtype=inner.dtype, name=inner.name)
        self.inner = inner

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner.log_prob(x)

    def log_prob_and_score(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inner.log_prob_and_score(x)


def far_and_narrow(sd: float = 0.1, distance: float = 20.0) -> targets.Target:
    means, scales = torch.tensor([[0.0], [distance]]).double(), torch.tensor([1.0, sd]).double()
    return targets.GaussianMixture(means, scales=scales, weights=[0.5, 0.5])


def wide_and_narrow() -> targets.Target:
    means, scales = torch.zeros(2, 8).double(), torch.ones(2, 8).double()
    means[:, 0] = torch.tensor([-2.5, 2.5])
    scales[1] = 0.3
    return targets.GaussianMixture(means, scales=scales, weights=[0.764, 0.236])


OWN = {
    "half N(0, 1), half N(20, 0.1^2)": far_and_narrow,
    "sd 1 at -2.5, sd 0.3 at 2.5 (23.6 %), d = 8": wide_and_narrow,
}
BENCHMARKS = ("gmm40-jax-d50", "gmm9", "two-modes-d32", "eight-schools", "many-well32-fab", "funnel10-std3")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--targets", nargs="*", help="some of them; all where none are given")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name in [*OWN, *BENCHMARKS]:
        if not options.targets or name in options.targets:
            target = OWN[name]() if name in OWN else targets.benchmark(name)
            for seed in range(1 if options.quick else RUNS):
                rows.append(_row(name, target, seed, 500 if options.quick else PARTICLES))
                print(rows[-1], flush=True)
            if options.quick:
                break
    write(
        "scouts",
        "log Z by SMC() with and without scouts, density and score alone",
        {"log Z": rows, "Single fans, one variable": [_fans(*one, 2 if options.quick else FANS) for one in NARROW]},
        settings={"particles": PARTICLES, "runs": RUNS, "torch threads": 1},
        notes=["Evaluations are those of density and score together. A warning is one of any kind."],
        quick=options.quick,
    )


def _fans(sd: float, distance: float, fans: int) -> Row:
    found, evaluations = 0, 0
    for seed in range(fans):
        target = Counted(Hidden(far_and_narrow(sd, distance)))
        regions = search(target, None, torch.Generator().manual_seed(seed))
        found += regions is not None and bool(((regions.means - distance).abs() < 5 * sd).any())
        evaluations += target.log_probs + target.scores
    row: Row = {"standard deviation": sd, "at": distance, "found by": found, "fans": fans}
    return row | {"evaluations of a fan": round(evaluations / fans)}


def _row(name: str, target: targets.Target, seed: int, n: int) -> Row:
    row: Row = {"target": name, "seed": seed}
    for scouts in (True, False):
        with warnings.catch_warnings(record=True) as caught, ExitStack() as stack:
            warnings.simplefilter("always", samplers.SamplingWarning)
            if not scouts:
                stack.enter_context(mock.patch("samplers.annealing.pilot.scouting.Scouts.look"))
                stack.enter_context(mock.patch("samplers.draws.Draws.certified", return_value=()))
            began = time.process_time()
            draws = samplers.SMC().sample(Hidden(target), draws=n, seed=seed, progress=False)
        assert draws.log_z is not None
        to = "" if scouts else ", without"
        row |= {
            f"error{to}": round(draws.log_z.value - target.log_z, 3),
            f"stated{to}": round(draws.log_z.standard_error, 3),
            f"evaluations{to}": draws.cost.log_prob + draws.cost.score,
            f"s{to}": round(time.process_time() - began, 1),
            f"warned{to}": "yes" if caught else "no",
        }
    return row


if __name__ == "__main__":
    main()
