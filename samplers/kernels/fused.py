"""Steps of Hamiltonian kernels as graphs, for targets that are compiled: one call of a graph a leapfrog, one a test.

    x' = x + e L p,   p' = p + k L' s(x')        k = e, in the last of n leapfrogs e / 2

The operations are those of `HMC.leapfrog` and `metropolis`, in their order; numbers differ by rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from samplers.adaptation.metrics import Diagonal, Metric
from samplers.kernels.metropolis import acceptance, select
from samplers.runs.state import State, StatefulTarget
from targets import Target
from targets.compiled import Graphs, density_of, graphs_of, lanes, usable
from targets.counting import charge
from targets.user_function import no_validation


def graphs_for(target: Target, state: State, metric: Metric | None) -> Graphs | None:
    """The graphs to go through, None where there are none, or the state or the metric is not a plain one."""
    if metric is not None and not isinstance(metric, Diagonal):  # a dense one is too; of low rank the steps are eager
        return None
    if type(state) is not State or state.score is None or isinstance(target, StatefulTarget) or not usable(state.x):
        return None
    return graphs_of(target)


def fused_leapfrog(
    graphs: Graphs, target: Target, state: State, momentum: Tensor, step_size: float, n: int, metric: Metric | None
) -> tuple[State, Tensor]:
    """n leapfrogs from (x, p), each one call of a graph; metric: diagonal, dense, or None for the identity."""
    assert state.score is not None
    assert metric is None or isinstance(metric, Diagonal)
    factor = None if metric is None else metric.factor
    x, e = state.x, step_size
    chains, short = len(x), -len(x) % lanes(x)
    wide, half = (torch.tensor(size, dtype=x.dtype, device=x.device) for size in (e, 0.5 * e))
    scaling = x.new_ones(()) if factor is None else factor
    key = ("leapfrog", 0 if factor is None else factor.ndim)
    density = density_of(target)

    def step(x: Tensor, p: Tensor, e: Tensor, kick: Tensor, factor: Tensor) -> tuple[Tensor, ...]:
        x = x + e * (p @ factor.mT if factor.ndim == 2 else p * factor)
        value, score = density(x)
        return x, p + kick * (score @ factor if factor.ndim == 2 else score * factor), value, score

    pull = state.score if metric is None else metric.sqrt_transposed(state.score)
    p = torch.add(momentum, pull, alpha=0.5 * e)
    if short:
        x, p = (torch.cat([part, part[-1:].expand(short, -1)]) for part in (x, p))
    value, score = state.log_prob, state.score
    with no_validation():
        for i in range(n):
            x, p, value, score = graphs.call(key, step, x, p, wide, wide if i < n - 1 else half, scaling)
    charge(target, log_probs=n * chains, scores=n * chains)
    if short:
        x, p, value, score = x[:chains], p[:chains], value[:chains], score[:chains]
    return State(x, value, score), p


def fused_test(
    graphs: Graphs,
    energy_lost: Callable[[State, Tensor, State, Tensor], Tensor],
    state: State,
    start: Tensor,
    end: State,
    momentum: Tensor,
    uniform: Tensor,
    most: float,
) -> tuple[State, Tensor, Tensor, Tensor, Tensor]:
    """The Metropolis test of a trajectory: the new state, the acceptance rate, what diverged, the energy, and its loss.

    energy_lost: of state, momentum there, end, momentum there, (chains,); it has diverged where that is beyond `most`.
    """

    def test(
        x: Tensor, value: Tensor, score: Tensor, p: Tensor, x_: Tensor, value_: Tensor, score_: Tensor, p_: Tensor,
        uniform: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        old, new = State(x, value, score), State(x_, value_, score_)
        log_ratio = energy_lost(old, p, new, p_)
        probability, bad = acceptance(new, log_ratio, ~(log_ratio.abs() < most))
        chosen = select(uniform < probability, new, old)
        assert chosen.score is not None
        energy = 0.5 * p.double().square().sum(-1) - value.double()
        return chosen.x, chosen.log_prob, chosen.score, probability, bad, energy, log_ratio

    assert state.score is not None
    assert end.score is not None
    parts = (state.x, state.log_prob, state.score, start, end.x, end.log_prob, end.score, momentum, uniform)
    x, value, score, probability, bad, energy, lost = graphs.call(("test", most), test, *parts)
    return State(x, value, score), probability, bad, energy, lost
