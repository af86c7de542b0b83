import pytest
import torch
from scipy import stats

import targets
from targets.transfer_matrix import Strip, feasible, lattice_strip

F64 = torch.float64
SPINS = torch.tensor([-1.0, 1.0], dtype=F64)

SHAPES = {
    "torus": ((3, 4), True),
    "torus, lying": ((5, 3), True),
    "open": ((3, 4), False),
    "ring": ((5,), True),
    "chain": ((5,), False),
    "box": ((2, 3, 2), False),
    "column": ((3, 1), True),
    "site": ((1, 1), False),
}


def disorder(shape, periodic):
    """A spin glass with a coupling of its own on every edge, as a strip and as a graph to enumerate."""
    generator = torch.Generator().manual_seed(sum(shape))
    lattice = targets.Ising(shape, 1.0, torch.randn(shape, generator=generator), periodic=periodic, dtype=F64)
    couplings = torch.randn(len(lattice.edges), generator=generator, dtype=F64)
    matrix = torch.zeros(lattice.dim, lattice.dim, dtype=F64)
    matrix[lattice.edges[:, 0], lattice.edges[:, 1]] = couplings
    site = lattice.fields[:, None] * SPINS
    strip = lattice_strip(shape, periodic, lattice.edges, couplings, site, torch.outer(SPINS, SPINS))
    return strip, targets.PairwiseMRF(matrix + matrix.mT, lattice.fields)


@pytest.fixture(params=SHAPES)
def case(request):
    return disorder(*SHAPES[request.param])


def test_log_z_is_that_of_enumeration(case):
    strip, graph = case
    assert strip.log_z == pytest.approx(graph.log_z, abs=1e-10)


def test_magnetisations_and_correlations_are_those_of_enumeration(case):
    strip, graph = case
    torch.testing.assert_close(strip.site_probabilities @ SPINS, graph.mean, rtol=0, atol=1e-10)
    states, weights = graph.enumerate(), graph._enumerated_log_prob.softmax(0)
    products = states.mT @ (weights[:, None] * states)
    _, across, along = strip.expectations
    first, second = strip.place[:, strip.row_edges].unbind(-1)
    torch.testing.assert_close(across, products[first, second], rtol=0, atol=1e-10)
    following = strip.place.roll(-1, 0)[: len(along)]
    torch.testing.assert_close(along, products[strip.place[: len(along)], following], rtol=0, atol=1e-10)
    assert strip.mean_log_prob == pytest.approx(graph.mean_log_prob, abs=1e-10)


def test_moments_of_the_magnetisation_are_those_of_enumeration(case):
    strip, graph = case
    total, weights = graph.enumerate().sum(-1), graph._enumerated_log_prob.softmax(0)
    expected = [float(weights @ total), float(weights @ total.square())]
    assert strip.moments_of_sum(SPINS) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", ["torus", "torus, lying", "open", "ring", "box"])
def test_draws_fit_by_chi_square(name, generator):
    strip, graph = disorder(*SHAPES[name])
    draws = strip.sample(20_000, generator)
    place = 2 ** torch.arange(graph.dim - 1, -1, -1)
    counts = torch.bincount((draws * place).sum(-1), minlength=2**graph.dim).numpy()
    expected = 20_000 * graph._enumerated_log_prob.softmax(0).numpy()
    often = expected > 5
    observed = [*counts[often], counts[~often].sum()]
    assert stats.chisquare(observed, [*expected[often], expected[~often].sum()]).pvalue > 1e-5


def test_long_strips_are_neither_too_small_nor_too_large_for_floats(generator):
    for coupling in (-4.0, 0.5, 4.0):
        target = targets.Ising((6, 300), coupling, 0.3, periodic=False)
        free = targets.Ising((6, 300), coupling, periodic=False)
        assert target.log_z > free.log_z > 1800 * torch.log(torch.tensor(2.0)).item()
        assert target.sample(2, generator=generator).shape == (2, 1800)


def test_draws_of_a_wide_strip_have_its_mean_and_energy(generator):
    target = targets.Ising((8, 24), 0.35, 0.05, dtype=F64)
    x = target.sample(4_000, generator=generator)
    values = torch.stack([target.log_prob(x), target.magnetisation(x), target.magnetisation(x).square()])
    exact = [target.mean_log_prob, float(target.mean.mean()), target.mean_square_magnetisation]
    gap = (values.mean(-1) - torch.tensor(exact, dtype=F64)) / (values.std(-1) / len(x) ** 0.5)
    assert gap.abs().max() < 4


def test_draws_are_the_same_for_the_same_seed_and_none_for_none():
    target = targets.Ising((3, 10), 0.4, 0.1)
    draws = [target.sample(7, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*draws)
    assert target.sample(0, generator=torch.Generator()).shape == (0, 30)


def test_the_shapes_that_are_feasible():
    assert feasible((12, 500), 2, False)
    assert not feasible((13, 500), 2, False)
    assert feasible((10, 60), 2, True)
    assert not feasible((11, 60), 2, True)
    assert feasible((100_000,), 2, True)
    assert feasible((7, 50), 3, False)
    assert not feasible((8, 50), 3, False)


def test_couplings_too_strong_for_floats_are_left_to_others(generator):
    assert "log_z" in targets.Ising((12, 30), 10.0, 1.0, periodic=False).known
    assert targets.Ising((12, 30), 20.0, 1.0, periodic=False).known == {"prior"}
    strongest = targets.Ising((10, 12), 7.0, 1.0, dtype=F64)
    ground = strongest.log_prob(torch.ones(120, dtype=F64)).item()
    assert strongest.log_z == pytest.approx(ground, abs=1e-9)
    strong = targets.Ising((3, 4), 60.0, 5.0, dtype=F64)  # enumerated
    assert strong._strip is None
    assert strong.log_z == pytest.approx(24 * 60.0 + 12 * 5.0, abs=1e-9)
    assert torch.equal(strong.sample(2, generator=generator), torch.ones(2, 12, dtype=F64))


def test_bad_input():
    with pytest.raises(ValueError, match=r"edges: got an edge that is not one of the lattice of shape \(3, 4\)"):
        lattice_strip((3, 4), True, torch.tensor([[0, 5]]), torch.ones(1), torch.zeros(12, 2), torch.eye(2))
    place, none = torch.arange(4)[:, None], torch.zeros(4, 0)
    with pytest.raises(ValueError, match=r"along: got shape \(2, 1\), expected \(3, 1\) or one row more"):
        Strip(torch.zeros(4, 1, 2), none, torch.zeros(2, 1), torch.zeros(0, 2), torch.eye(2), place)
    with pytest.raises(ValueError, match=r"across: got shape \(4, 1\), expected \(4, 0\)"):
        Strip(torch.zeros(4, 1, 2), torch.zeros(4, 1), torch.zeros(3, 1), torch.zeros(0, 2), torch.eye(2), place)
