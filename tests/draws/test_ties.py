"""Distances, ranks and shares of a set and of the same set computed elsewhere: other order, other last bits.

On some machines a product of matrices differs in its last bits by a row's place; here every value is nudged by one unit
in the last place, up or down, so that each machine sees what those do.
"""

import math

import numpy as np
import pytest
import torch

import samplers
import targets
from samplers import Draws, Kernel
from samplers.compare.measures import mixing
from samplers.compare.shape import in_standard_errors, misfit, shares, thresholds
from samplers.diagnostics import (
    agreement,
    ksd_squared,
    mmd_squared,
    mode_mixing,
    sinkhorn_divergence,
    sliced_kolmogorov,
    sliced_wasserstein,
    wasserstein,
)
from samplers.diagnostics.distances import TOLERANCE
from samplers.draws import largest_pareto_k
from samplers.draws.ties import joined, kolmogorov, slack
from samplers.kernels import Info
from samplers.testing import check_invariance, check_reversible
from samplers.testing.statistics import two_sample

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def nudged(x, seed=1):
    """Every value one unit in the last place up or down."""
    array = x.numpy()
    up = torch.rand(x.shape, generator=seeded(seed)) < 0.5
    high, low = (torch.from_numpy(np.nextafter(array, array.dtype.type(end))) for end in (math.inf, -math.inf))
    return torch.where(up, high, low)


def points(n, dim, dtype=F64, offset=0.0):
    return torch.randn(n, dim, generator=seeded(), dtype=dtype) + offset


def atoms(shape, seed=0, dtype=F64):
    """Values of a statistic that has five of them."""
    return torch.tensor([-1.7, -0.3, 0.1, 0.7, 2.3], dtype=dtype)[torch.randint(5, shape, generator=seeded(seed))]


DISTANCES = {
    "sliced Kolmogorov": sliced_kolmogorov,
    "sliced Wasserstein": sliced_wasserstein,
    "Wasserstein": wasserstein,
    "Sinkhorn": lambda x, y: sinkhorn_divergence(x, y, regularisation=1.0),
    "MMD": lambda x, y: mmd_squared(x, y)[0],
}


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("dim", [1, 3, 40])
def test_every_distance_of_a_set_and_its_copy_is_zero(dim, offset, dtype):
    x = points(50, dim, dtype, offset)
    order = torch.randperm(50, generator=seeded(2))
    for name, distance in DISTANCES.items():
        for copy in (x, x.flip(0), x[order], nudged(x), nudged(x)[order]):
            assert distance(x, copy) == 0, name
            assert distance(copy, x) == 0, name


def test_distances_of_repeated_points_and_of_sets_of_other_size():
    x = atoms((20, 3))
    y = nudged(torch.cat([x, x, x]), 3)
    for name, distance in DISTANCES.items():
        close = pytest.approx(0, abs=TOLERANCE)  # what Sinkhorn's iterations leave
        assert distance(x, y) == (close if name == "Sinkhorn" else 0), name


def test_what_is_further_than_rounding_counts():
    x = points(50, 3)
    for name, distance in DISTANCES.items():
        assert distance(x, x + 1e-5 * (1 + x)) > 0, name  # the squares of MMD and Sinkhorn still see it
    assert wasserstein(x, x + 1e-12) == pytest.approx(math.sqrt(3) * 1e-12, rel=1e-2)


def test_statistics_without_diagonal_are_those_of_equal_sets():
    x = points(60, 2)
    target = targets.Gaussian(torch.zeros(2, dtype=F64), 1.0)
    order = torch.randperm(60, generator=seeded(2))
    assert mmd_squared(x, nudged(x)[order])[1] == pytest.approx(mmd_squared(x, x)[1], rel=1e-9)
    for here, there in zip(ksd_squared(x, target), ksd_squared(nudged(x)[order], target), strict=True):
        assert here == pytest.approx(there, rel=1e-9)


def test_kolmogorov_by_hand():
    a, b = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([1.5, 2.5])
    assert kolmogorov(a, b) == kolmogorov(b, a) == 0.5
    assert kolmogorov(torch.tensor([1.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 2.0])) == pytest.approx(1 / 3)
    assert kolmogorov(torch.tensor([0.0, -math.inf]), torch.tensor([math.inf, -math.inf])) == 0.5
    rows = torch.stack([a, a + 10])
    assert kolmogorov(rows, torch.stack([b, b])).tolist() == [0.5, 1.0]


def test_groups_of_ties():
    x = torch.tensor([3.0, 1.0, -math.inf, math.nan, 3.0, math.inf, 2.0], dtype=F64)
    torch.testing.assert_close(joined(x), x, rtol=0, atol=0, equal_nan=True)
    values = atoms((400,))
    both = joined(torch.cat([values, nudged(values)]))
    assert len(both.unique()) == 5
    assert torch.equal(both[:400], both[400:])
    dense = torch.linspace(1.0, 1.0 + 2e-5, 200)  # neighbours in float32: a density, whose order counts
    assert torch.equal(joined(dense), dense.double())
    assert slack(torch.arange(4)).tolist() == [0.0] * 4


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize("draw", [atoms, lambda shape, dtype: torch.randn(shape, generator=seeded(), dtype=dtype)])
def test_ranks_of_a_set_and_its_copy_are_those_of_equal_sets(draw, dtype):
    a = draw((4000,), dtype=dtype)
    exact = two_sample(a, a, "x", seeded(5))
    assert two_sample(a, nudged(a), "x", seeded(5)) == exact
    up = torch.from_numpy(np.nextafter(a.numpy(), a.numpy().dtype.type(math.inf)))  # all to one side
    assert two_sample(up, a, "x", seeded(5)) == exact


class Rounds(Kernel):
    """Stays where it is, and computes that place anew: one unit in the last place further at each step."""

    reversible = exact = True

    def init(self, target, x, generator):
        return samplers.State(x, *target.log_prob_and_score(x))

    def step(self, target, state, generator):
        moved = torch.from_numpy(np.nextafter(state.x.numpy(), np.float64(math.inf)))
        every = torch.ones(len(moved), dtype=torch.bool)
        return self.init(target, moved, generator), Info(every.double(), ~every)


def test_a_kernel_that_rounds_is_neither_biased_nor_irreversible():
    target = targets.GaussianMixture(torch.tensor([[-2.0, 1.0], [2.0, 0.5]], dtype=F64), scales=0.5)
    kernel = Rounds()
    tenths = {
        "tenths": lambda x: x[:, 0] - (x[:, 0] - (10 * x[:, 0]).round() / 10)
    }  # atoms with last bits of their own
    assert check_invariance(kernel, target, chains=2000, steps=3, functions=tenths).passed
    assert check_reversible(kernel, target, chains=2000, length=4).passed


def test_r_hat_of_computed_atoms_is_that_of_exact_ones():
    """Each chain has last bits of its own, as rows of a batch do: between them there is no difference."""
    exact = atoms((4, 200, 1))
    chain = exact.clone()
    chain[1::2] = torch.from_numpy(np.nextafter(exact[1::2].numpy(), np.float64(math.inf)))
    for other in (exact, chain):
        found = agreement({"here": Draws(exact), "there": Draws(other)})
        assert found.r_hat == agreement({"here": Draws(exact), "there": Draws(exact)}).r_hat
        assert mixing(Draws(other))["r_hat"] == pytest.approx(mixing(Draws(exact))["r_hat"], rel=1e-12)
    two = exact.sign()
    nudge = nudged(two)
    same = agreement({"here": Draws(two), "there": Draws(two)}).r_hat
    assert agreement({"here": Draws(two), "there": Draws(nudge)}).r_hat == pytest.approx(same, rel=1e-12)


def test_a_variable_that_only_rounding_moves_is_stuck():
    still = Draws(nudged(torch.full((2, 50, 1), 0.3, dtype=F64)))
    assert mixing(still)["stuck"] == ["x[0]"]
    tiny = Draws(torch.stack([1e6 + points(2, 50), 1e-12 * points(2, 50)], -1))
    assert mixing(tiny)["stuck"] == mixing(tiny)["constants"] == []


def test_shares_of_atoms_are_halved_at_quantiles_whatever_their_last_bits():
    draws = Draws(atoms((4, 500, 1)))
    at = thresholds([draws])
    for copy in (draws, Draws(nudged(draws.x)), Draws(torch.from_numpy(np.nextafter(draws.x.numpy(), -math.inf)))):
        found = shares(copy, at)["x"]
        assert torch.equal(found.share, shares(draws, at)["x"].share)
        assert misfit({"x": found}, shares(draws, at), 2000.0).standard_errors == 0


def test_a_difference_by_rounding_is_no_standard_error():
    a, b = torch.tensor([0.1 + 0.2, 0.5], dtype=F64), torch.tensor([0.3, 0.6], dtype=F64)
    assert in_standard_errors(a, b, torch.zeros(2, dtype=F64)).tolist() == [0.0, math.inf]


def test_weights_that_are_equal_but_for_rounding_have_no_tail():
    even = torch.full((1, 500), -1234.5678, dtype=F64)
    assert largest_pareto_k(nudged(even)) == -math.inf
    assert largest_pareto_k(even + 1e-6 * points(1, 500)) > -math.inf


def test_half_way_between_modes():
    class Pair(targets.Gaussian):
        modes = torch.tensor([[-1.3, 0.2], [1.1, 0.9]], dtype=F64)
        mode_weights = torch.tensor([0.5, 0.5], dtype=F64)
        known = frozenset({"modes", "mode_weights"})

    target = Pair(torch.zeros(2, dtype=F64), 1.0)
    middle = target.modes.mean(0)
    x = nudged(middle.expand(2, 100, 2).contiguous())
    x[:, ::2] = target.modes[1]
    assert torch.equal(target.mode_probabilities(x[:, 1::2]), torch.full((2, 50, 2), 0.5, dtype=F64))
    assert mode_mixing(Draws(x, target=target)).weights.tolist() == [0.5, 0.5]
    mixture = targets.GaussianMixture(target.modes, scales=0.01)
    assert mode_mixing(Draws(x, target=mixture)).weights.tolist() == [0.5, 0.5]
