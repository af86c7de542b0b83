"""Kernels on small finite spaces, checked without statistics: pi P = pi to rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

TOLERANCE = 1e-12


def transition_matrix(outcomes: Callable[[Tensor], Iterable[tuple[Tensor, Tensor]]], states: Tensor) -> Tensor:
    """The matrix P (n, n) of a kernel on the finite set `states` (n, dim).

    `outcomes(states)` lists every possible outcome of one step from each state, as pairs of probabilities (n,) and
    next states (n, dim). Raises ValueError when an outcome is not among the states or a row does not sum to one.
    """
    matrix = torch.zeros(len(states), len(states), dtype=torch.float64)
    rows = torch.arange(len(states))
    for probability, following in outcomes(states):
        match = (following[:, None, :] == states[None]).all(-1)
        if not bool((match.sum(1) == 1).all()):
            raise ValueError("outcomes: a next state is not among the states exactly once")
        matrix.index_put_((rows, match.double().argmax(1)), probability.double(), accumulate=True)
    if not torch.allclose(matrix.sum(1), torch.ones(len(states), dtype=torch.float64), atol=TOLERANCE, rtol=0):
        raise ValueError(f"outcomes: probabilities sum to {matrix.sum(1).tolist()[:5]}..., expected 1 in every row")
    return matrix


def metropolis_matrix(proposal: Tensor, log_prob: Tensor) -> Tensor:
    """The Metropolis-Hastings matrix for a proposal matrix (n, n) and log-densities (n,).

    A log-density of NaN makes its row and column NaN, which the checks refuse.
    """
    flow = log_prob.double()[:, None] + proposal.double().log()
    neither = (flow == -torch.inf) & (flow.mT == -torch.inf)  # no flow either way: nothing to balance
    accept = torch.where(neither, 0.0, flow.mT - flow).clamp_max(0.0).exp()
    matrix = proposal.double() * accept
    return matrix + torch.diag(1 - matrix.sum(1))


def check_stationary(matrix: Tensor, log_prob: Tensor, tolerance: float = TOLERANCE) -> float:
    """Check pi P = pi for pi = softmax(log_prob); returns the largest error, raises AssertionError naming the state."""
    pi = log_prob.double().softmax(0)
    error = (pi @ matrix - pi).abs()
    if not float(error.max()) <= tolerance:
        state = int(error.argmax())
        raise AssertionError(
            f"pi P differs from pi by {float(error.max()):.2e} at state {state} (pi {float(pi[state]):.6g}, "
            f"pi P {float((pi @ matrix)[state]):.6g})"
        )
    return float(error.max())


def check_detailed_balance(matrix: Tensor, log_prob: Tensor, tolerance: float = TOLERANCE) -> float:
    """Check pi_i P_ij = pi_j P_ji; returns the largest error, raises AssertionError naming the pair of states."""
    flow = log_prob.double().softmax(0)[:, None] * matrix
    error = (flow - flow.mT).abs()
    if not float(error.max()) <= tolerance:
        i, j = divmod(int(error.argmax()), len(matrix))
        raise AssertionError(
            f"the flow from state {i} to {j} is {float(flow[i, j]):.6g}, back it is {float(flow[j, i]):.6g}"
        )
    return float(error.max())
