"""Swaps between neighbouring temperatures: the pair's law by enumeration, also where a density is no number."""

import pytest
import torch

from samplers.annealing.swaps import swap
from samplers.testing import check_detailed_balance

F64 = torch.float64
INF, NAN = torch.inf, torch.nan

# log-densities of the lower and the upper level at some points, those that are no density counting as none
LOWER = torch.tensor([0.3, -1.0, 2.0, -INF, NAN, 0.7, 1.5, 0.0, INF], dtype=F64)
UPPER = torch.tensor([1.1, NAN, -INF, 0.4, 0.9, INF, -0.2, 0.6, 0.3], dtype=F64)


def has_mass(log_prob):
    return log_prob.isfinite()


def pair_matrix(acceptance):
    """The matrix of a swap on the pairs (x, y) that have mass, and the log of their law."""
    x, y = torch.cartesian_prod(torch.arange(len(LOWER)), torch.arange(len(UPPER))).T
    inside = has_mass(LOWER)[x] & has_mass(UPPER)[y]
    x, y = x[inside], y[inside]
    w = UPPER - LOWER
    accept = acceptance(w[x], w[y])
    matrix = torch.diag(1 - accept)
    for i, (a, b) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        j = ((x == b) & (y == a)).nonzero()[:, 0]
        if len(j):
            matrix[i, j] += accept[i]
        else:
            assert accept[i] == 0, f"a swap of points {a} and {b} leads out of where there is mass"
    return matrix, LOWER[x] + UPPER[y]


def test_swaps_keep_the_law_of_the_pair_and_stay_where_it_has_mass():
    matrix, log_prob = pair_matrix(lambda here, there: swap(here, there)[2])
    assert bool((matrix.diagonal() < 1).any())
    check_detailed_balance(matrix, log_prob, 1e-15)


def test_a_swap_by_the_sign_turned_is_found():
    with pytest.raises(AssertionError):
        check_detailed_balance(*pair_matrix(lambda here, there: swap(there, here)[2]))


@pytest.mark.parametrize(
    ("here", "there", "acceptance"),
    [
        (1.0, 2.0, torch.tensor(-1.0, dtype=F64).exp()),
        (2.0, 1.0, 1.0),
        (-INF, 0.0, 0.0),
        (-INF, INF, 0.0),
        (-INF, -INF, 0.0),
        (0.0, INF, 0.0),
        (0.0, -INF, 0.0),
        (INF, 0.0, 0.0),
        (INF, INF, 0.0),
        (NAN, 0.0, 0.0),
        (0.0, NAN, 0.0),
        (NAN, NAN, 0.0),
        (1e300, -1e300, 1.0),
    ],
)
def test_acceptance(here, there, acceptance):
    *_, found = swap(torch.tensor(here, dtype=F64), torch.tensor(there, dtype=F64))
    assert float(found) == float(acceptance)


def test_what_is_recorded_is_no_mass_where_there_is_no_density():
    """exp(w / 2) at the lower level's points and exp(-w / 2) at the upper's, which log Z is made of, are zero there."""
    here, there, _ = swap(*torch.tensor([[NAN, INF, -INF, 0.5], [NAN, -INF, INF, 0.5]], dtype=F64))
    assert (0.5 * here).exp()[:3].tolist() == (-0.5 * there).exp()[:3].tolist() == [0, 0, 0]
    assert here[3] == there[3] == 0.5
