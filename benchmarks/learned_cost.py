"""What an iteration of training costs: seconds and memory against steps, batch, dimension and objective.

"against bare products": an iteration of log-variance training of DDS (64 steps, batch 512, width 64, gmm9) beside the
matrix products alone that its networks are made of: one forward pass a state while paths are simulated, in batches of
512, and one forward and backward pass over all states in blocks of 4,096, by the same torch in the same process, in
turn. Everything else (activations, target, noise, log ratios, optimiser) is what the ratio shows.

Memory is the largest sum of bytes that autograd keeps for the backward pass at any time, counted by its hooks.

    python benchmarks/learned_cost.py
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from _machine import Row, parser, write

import targets
from samplers import CMCD, DDS
from samplers.diffusion import KL, LogVariance, Training
from samplers.diffusion.space import Space
from samplers.diffusion.training import Run
from targets.counting import Counted

STEPS, BATCH, WIDTH, DIM = 64, 512, 64, 2
BLOCK = 4096
ROUNDS = 7


def main() -> None:
    options = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    rounds = 1 if options.quick else ROUNDS
    write(
        "learned_cost",
        "Cost of an iteration of training",
        {
            "Against bare products": against_products(rounds),
            "Against steps": [cost(steps=s) for s in (16, 32, 64, 128)],
            "Against batch": [cost(batch=b) for b in (64, 256, 1024)],
            "Against dimension": [cost(dim=d) for d in (2, 8, 32, 128)],
            "By objective": [
                cost(objective=objective, batch=128) for objective in (LogVariance(), KL(), KL(memory="recompute"))
            ],
        },
        settings={"torch threads": 1, "steps": STEPS, "batch": BATCH, "width": WIDTH, "rounds": rounds},
        notes=["Medians over rounds; graph MB: kept by autograd at once."],
        quick=options.quick,
    )


def trainer(method: Any, dim: int = DIM) -> Run:
    """A training run on gmm9, or on as many independent wells in more dimensions, in coordinates that are given."""
    target = targets.benchmark("gmm9") if dim == DIM else targets.SquareWell(wells=dim, delta=4.0)
    space = Space(torch.zeros(dim, dtype=torch.float64), torch.tensor(4.1 if dim == DIM else 2.0, dtype=torch.float64))
    seen, generator = space.seen(Counted(target)), torch.Generator().manual_seed(0)
    measure, objective = method.build(space, seen, generator), method.objective_for(space)
    return Run(method.training, measure, seen, generator, 10_000, objective, method.resampling)


def seconds(call: Any, rounds: int) -> float:
    """The median of some rounds, after one for nothing."""
    call()
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def against_products(rounds: int) -> list[Row]:
    """Iterations of training and their bare matrix products, in turn."""
    rows = []
    for name, method in {
        "DDS": DDS(steps=STEPS, training=Training(batch=BATCH)),
        "CMCD": CMCD(steps=STEPS, training=Training(batch=BATCH)),
    }.items():
        run = trainer(method)
        ours, bare = [], []
        products = Products(run)
        run.step(), products.iteration()
        for _ in range(rounds):
            ours.append(seconds(run.step, 1))
            bare.append(seconds(products.iteration, 1))
        rows.append(
            {
                "method": name,
                "iteration (ms)": 1e3 * statistics.median(ours),
                "products (ms)": 1e3 * statistics.median(bare),
                "ratio": statistics.median(a / b for a, b in zip(ours, bare, strict=True)),
            }
        )
    return rows


class Products:
    """The matrix products of the control network of a run, and nothing else."""

    def __init__(self, run: Run) -> None:
        network: Any = run.measure.control.network
        layers = [network.into, *network.layers, network.out]
        self.weights = [layer.weight.detach().clone().mT.requires_grad_() for layer in layers]
        self.one = torch.randn(BATCH, len(self.weights[0]))
        self.many = torch.randn(BLOCK, len(self.weights[0]))

    def iteration(self) -> None:
        """As many as an iteration takes."""
        with torch.no_grad():
            for _ in range(STEPS):
                self._pass(self.one)
        for _ in range(STEPS * BATCH // BLOCK):
            self._pass(self.many).sum().backward()

    def _pass(self, x: torch.Tensor) -> torch.Tensor:
        for weight in self.weights:
            x = x @ weight
        return x


def cost(steps: int = STEPS, batch: int = BATCH, dim: int = DIM, objective: Any = None) -> Row:
    """Seconds and memory of an iteration."""
    objective = objective or LogVariance()
    run = trainer(DDS(steps=steps, objective=objective, training=Training(batch=batch)), dim)
    spent = seconds(run.step, 3)
    return {
        "objective": repr(objective),
        "steps": steps,
        "batch": batch,
        "dim": dim,
        "iteration (ms)": 1e3 * spent,
        "states a second": f"{steps * batch / spent / 1e6:.2f} M",
        "graph MB": kept(run) / 1e6,
    }


def kept(run: Run) -> float:
    """The most bytes that autograd holds at once in an iteration."""
    held: dict[int, list[int]] = {}
    now = most = 0

    class Handle:
        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal now, most
            self.tensor, storage = tensor, tensor.untyped_storage()
            self.key = storage.data_ptr()
            entry = held.setdefault(self.key, [0, storage.nbytes()])
            entry[0] += 1
            if entry[0] == 1:
                now += entry[1]
                most = max(most, now)

        def __del__(self) -> None:
            nonlocal now
            held[self.key][0] -= 1
            if held[self.key][0] == 0:
                now -= held.pop(self.key)[1]

    with torch.autograd.graph.saved_tensors_hooks(Handle, lambda handle: handle.tensor):
        run.step()
    return most


if __name__ == "__main__":
    main()
