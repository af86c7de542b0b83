"""Exact laws of coupled pairs on few states: the matrix of a coupled step, and what follows for bounds.

The step is the library's own; `every_outcome` forces each outcome of its random choices.
"""

import torch
from coupling_cases import DOUBLE, coupled, row
from every_outcome import Forced, matrix_of
from scipy.stats import norm

import targets
from samplers import Gibbs, SwendsenWang, diagnostics
from samplers.testing import statistics, transition_matrix
from samplers.testing.sequential_rule import sequential

COLOURS = targets.Potts((2,), states=3, coupling=0.7, periodic=False, dtype=DOUBLE)
FRUSTRATED = targets.PairwiseMRF(row([0.0, 0.6, -0.4], [0.6, 0.0, 0.5], [-0.4, 0.5, 0.0]), row(0.2, 0.0, -0.3))
CHAIN = targets.Ising((3,), coupling=0.4, field=row(0.3, -0.2, 0.1), periodic=False, dtype=DOUBLE)
SMALL = {  # few enough states for the matrix of the pair
    "Gibbs": (Gibbs(), CHAIN),
    "Gibbs, sequential, frustrated": (Gibbs("sequential"), FRUSTRATED),
    "Gibbs on Potts": (Gibbs(), COLOURS),
    "Swendsen-Wang": (SwendsenWang(), CHAIN),
    "Swendsen-Wang, frustrated": (SwendsenWang(), FRUSTRATED),
    "Swendsen-Wang on Potts": (SwendsenWang(), COLOURS),
}


def pair_matrix(name):
    """The matrix of the coupled step on pairs of states (n^2, n^2), every outcome forced, and that of the kernel."""
    kernel, target = SMALL[name]
    coupling, states = coupled(kernel, target), target.enumerate()
    n = len(states)
    pairs = torch.cat([states.repeat_interleave(n, 0), states.repeat(n, 1)], 1)

    def outcomes(given):
        expected, forced = 0, Forced(torch.zeros(len(given), dtype=torch.long))
        while expected != forced.outcomes:
            expected = forced.outcomes
            forced = Forced(torch.arange(expected).repeat(len(given)))
            at = given.repeat_interleave(expected, 0)
            with torch.no_grad(), forced.in_place_of_chance(kernel):
                x, y = (kernel.init(target, part, None) for part in at.chunk(2, 1))
                x, y, _ = coupling.together(target, x, y, None)
        possible = forced.probability > 0
        probability = torch.where(possible, forced.probability, 0.0).reshape(len(given), -1)
        after = torch.where(possible[:, None], torch.cat([x.x, y.x], 1), at).reshape(len(given), -1, given.shape[1])
        for k in range(expected):
            yield probability[:, k], after[:, k]

    return transition_matrix(outcomes, pairs), matrix_of(kernel, target)


def check_marginals_are_exact(name):
    pair, alone = pair_matrix(name)
    n = len(alone)
    of_x = pair.reshape(n, n, n, n).sum(3)  # from (x, y), by x'
    of_y = pair.reshape(n, n, n, n).sum(2)
    torch.testing.assert_close(of_x, alone[:, None].expand(n, n, n), atol=1e-12, rtol=0)
    torch.testing.assert_close(of_y, alone[None].expand(n, n, n), atol=1e-12, rtol=0)
    diagonal = torch.arange(n) * (n + 1)
    kept = pair[diagonal][:, diagonal].sum(1)
    torch.testing.assert_close(kept, torch.ones(n, dtype=DOUBLE), atol=1e-12, rtol=0)


def survival(pair, alone, start, lag, longest):
    """P(tau - L > s) for s = 0 .. longest of pairs from the law `start` (n,)."""
    n = len(alone)
    ahead = start @ torch.linalg.matrix_power(alone, lag)
    law, apart = (ahead[:, None] * start).reshape(-1), (~torch.eye(n, dtype=torch.bool)).reshape(-1)
    found = []
    for _ in range(longest + 1):
        found.append(float(law[apart].sum()))
        law = law @ pair
    return torch.tensor(found, dtype=DOUBLE)


def exact_bound(alive, lag, t):
    """E max(0, ceil((tau - L - t) / L)) = sum over j >= 0 of P(tau - L > t + j L)."""
    return float(alive[t::lag].sum())


def total_variation(start, alone, stationary, longest):
    """Of the law after t = 0 .. longest steps from the stationary one, (longest + 1,)."""
    found, law = [], start
    for _ in range(longest + 1):
        found.append(0.5 * float((law - stationary).abs().sum()))
        law = law @ alone
    return torch.tensor(found, dtype=DOUBLE)


def check_mean_of_bounds(lag=3, pairs=4000):
    """upper_bound, beside its exact expectation from the law of the pair, at every t."""
    kernel, target = SMALL["Gibbs"]
    pair, alone = pair_matrix("Gibbs")
    states = target.enumerate()
    alive = survival(pair, alone, torch.full((len(states),), 1 / len(states), dtype=DOUBLE), lag, 400)

    def p_values(stage, n):
        seed = statistics.seeds(5, stage, 1)[0]
        found = diagnostics.meeting_times(kernel, target, lag=lag, pairs=n, seed=seed)
        each = {}
        for t in range(8):
            exact, bound = exact_bound(alive, lag, t), found.upper_bound(t)
            if n * exact < 200 or exact > 0.9:  # too few pairs for the normal law; capped at 1
                continue
            each[f"bound at {t}"] = 2 * float(norm.sf(abs(float(bound.value) - exact) / float(bound.standard_error)))
        return each

    sequential("mean of the bounds", pairs, p_values)
