"""The way back: annealing exact draws of the target to the base bounds log Z from above.

x_K ~ target;   for k = K .. 1:   x_{k-1} ~ the kernel at b_k, from x_k
                                      log w += log pi_k(x_{k-1}) - log pi_{k-1}(x_{k-1})
E[1 / w] = 1 / Z,   so that E[-log mean(1/w)] >= log Z                        Grosse, Ghahramani and Adams 2015
"""

from __future__ import annotations

import torch
from torch import Generator

from samplers.annealing.annealer import Annealer, Run
from samplers.annealing.evidence import log_mean_exp
from targets.counting import Tally


@torch.no_grad()
def upper_bound(run: Run, frozen: Annealer, n: int, generator: Generator) -> tuple[float, Tally]:
    """-log mean(1/w) of n exact draws that go back along the schedule and kernels of a finished run; and its cost."""
    path = frozen.make_path(run.target, run.path.base)
    x = run.target.sample(n, generator=generator)
    state = run.kernels[-1].init(path.at(1.0), x, generator)
    log_w = torch.zeros(n, dtype=torch.float64, device=x.device)
    moves = frozen.moves if frozen.waste_free is None else frozen.waste_free - 1
    for k in range(len(run.kernels), 0, -1):
        new, old = run.betas[k], run.betas[k - 1]
        density = path.at(new)
        for _ in range(moves):
            state, _ = run.kernels[k - 1].step(density, state, generator)
        log_w += path.increments(state, new)(old).neg()
        state = path.moved(state, old, run.kernels[max(k - 2, 0)], generator)
    return run.path.base.log_z - log_mean_exp(-log_w), path.tally
