import itertools

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy import stats

import targets
from targets.base import Target
from targets.discrete import DiscreteTarget

F64 = torch.float64


def random_matrix(n, share, seed):
    """Couplings of both signs on about `share` of all pairs."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(n, n, generator=generator, dtype=F64)
    kept = torch.rand(n, n, generator=generator) < share
    upper = (matrix * kept).triu(1)
    return upper + upper.mT


def random_field(n, seed):
    return 0.5 * torch.randn(n, generator=torch.Generator().manual_seed(100 + seed), dtype=F64)


GRAPHS = {
    "sparse": (random_matrix(12, 0.15, 0), random_field(12, 0)),
    "dense": (random_matrix(9, 1.0, 1), random_field(9, 1)),
    "no fields": (random_matrix(10, 0.3, 2), torch.zeros(10, dtype=F64)),
    "no edges": (torch.zeros(4, 4, dtype=F64), random_field(4, 3)),
    "a ring and loose sites": (
        torch.block_diag(random_matrix(3, 1.0, 4), torch.zeros(13, 13, dtype=F64)),
        random_field(16, 4),
    ),
}


def spins(n):
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=n)), dtype=F64)


def brute_force(matrix, field):
    s = spins(len(field))
    return s, 0.5 * torch.einsum("ki,ij,kj->k", s, matrix, s) + s @ field


@pytest.fixture(params=GRAPHS)
def case(request):
    matrix, field = GRAPHS[request.param]
    return targets.PairwiseMRF(matrix, field), matrix, field


def some_spins(n, count=50):
    return torch.randint(0, 2, (count, n), generator=torch.Generator().manual_seed(7)).to(F64) * 2 - 1


def test_log_prob_and_score_are_those_of_the_matrix(case):
    target, matrix, field = case
    s = some_spins(target.dim)
    expected = 0.5 * torch.einsum("ki,ij,kj->k", s, matrix, s) + s @ field
    torch.testing.assert_close(target.log_prob(s), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(target.score(s), s @ matrix + field, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(target.local_fields(s), s @ matrix + field, rtol=1e-12, atol=1e-12)


def test_the_score_is_that_of_automatic_differentiation_at_real_x(case):
    target = case[0]
    x = torch.randn(5, target.dim, generator=torch.Generator().manual_seed(0), dtype=F64)
    value, score = Target.log_prob_and_score(target, x)
    both = target.log_prob_and_score(x)
    torch.testing.assert_close(both[0], value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(both[1], score, rtol=1e-12, atol=1e-12)


def test_conditionals_and_differences_are_those_of_the_density(case):
    target = case[0]
    s = some_spins(target.dim, 6)
    sites = torch.tensor([target.dim - 1, 0, 2])
    got = target.conditional_logits(s, sites).log_softmax(-1)
    expected = DiscreteTarget.conditional_logits(target, s, sites).log_softmax(-1)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    differences = target.local_differences(s)
    for site, value in itertools.product(range(target.dim), range(2)):
        moved = s.clone()
        moved[:, site] = target.values[value]
        torch.testing.assert_close(differences[:, site, value], target.log_prob(moved) - target.log_prob(s))


def test_tables_and_matrix_say_the_same(case):
    target, matrix, _ = case
    rebuilt = torch.zeros_like(matrix)
    for site in range(target.dim):
        for other, coupling in zip(target.neighbours[site], target.neighbour_couplings[site], strict=True):
            rebuilt[site, other] += coupling
    assert torch.equal(rebuilt, matrix)
    assert torch.equal(target.couplings_matrix(), matrix)
    assert len(target.edges) == int((matrix != 0).sum()) // 2
    assert bool((target.edges[:, 0] < target.edges[:, 1]).all())


def test_colours_cover_all_sites_and_no_edge_joins_one_colour(case):
    target = case[0]
    sites = torch.cat(target.colours)
    assert sorted(sites.tolist()) == list(range(target.dim))
    colour = torch.empty(target.dim, dtype=torch.long)
    for number, chosen in enumerate(target.colours):
        colour[chosen] = number
    assert bool((colour[target.edges[:, 0]] != colour[target.edges[:, 1]]).all())


def test_a_bipartite_graph_takes_two_colours():
    left, right = torch.arange(0, 12, 2), torch.arange(1, 12, 2)
    matrix = torch.zeros(12, 12)
    kept = torch.rand(6, 6, generator=torch.Generator().manual_seed(3)) < 0.5
    matrix[left[:, None], right] = kept.float()
    assert len(targets.PairwiseMRF(matrix + matrix.mT).colours) == 2


def test_enumeration_gives_what_is_exactly_known(case):
    target, matrix, field = case
    s, log_weight = brute_force(matrix, field)
    weight = log_weight.softmax(0)
    assert target.log_z == pytest.approx(float(log_weight.logsumexp(0)), abs=1e-10)
    mean = weight @ s
    covariance = s.mT @ (weight[:, None] * s) - torch.outer(mean, mean)
    torch.testing.assert_close(target.mean, mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(target.covariance, covariance, rtol=0, atol=1e-12)
    torch.testing.assert_close(target.moments["x"].sd, covariance.diagonal().sqrt(), rtol=0, atol=1e-12)
    assert target.mean_log_prob == pytest.approx(float(weight @ log_weight), abs=1e-10)


def test_exact_draws_fit_by_chi_square(generator):
    matrix, field = random_matrix(6, 0.6, 5), random_field(6, 5)
    target = targets.PairwiseMRF(matrix, field)
    _, log_weight = brute_force(matrix, field)
    draws = target.sample(50_000, generator=generator)
    number = ((draws > 0).long() * 2 ** torch.arange(5, -1, -1)).sum(-1)
    counts = torch.bincount(number, minlength=64).numpy()
    assert stats.chisquare(counts, 50_000 * log_weight.softmax(0).numpy()).pvalue > 1e-5


@pytest.mark.parametrize("kind", ["torch", "list", "numpy", "COO", "CSR", "scipy", "scipy array"])
def test_couplings_may_come_as(kind):
    matrix = random_matrix(7, 0.4, 6)
    given = {
        "torch": matrix,
        "list": matrix.tolist(),
        "numpy": matrix.numpy(),
        "COO": matrix.to_sparse_coo(),
        "CSR": scipy.sparse.csr_matrix(matrix.numpy()),
        "scipy": scipy.sparse.coo_matrix(matrix.numpy()),
        "scipy array": scipy.sparse.csc_array(matrix.numpy()),
    }[kind]
    target = targets.PairwiseMRF(given, dtype=F64)
    assert torch.equal(target.couplings_matrix(), matrix)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_couplings_may_be_a_sparse_csr_tensor():
    matrix = random_matrix(7, 0.4, 6)
    assert torch.equal(targets.PairwiseMRF(matrix.to_sparse_csr()).couplings_matrix(), matrix)


def test_entries_stated_twice_in_a_sparse_matrix_add_up():
    index, values = [[0, 1, 0, 1], [1, 0, 1, 0]], [0.25, 0.25, 0.5, 0.5]
    matrix = torch.sparse_coo_tensor(index, values, (2, 2), dtype=F64, check_invariants=True)
    target = targets.PairwiseMRF(matrix)
    assert target.edge_couplings.tolist() == [0.75]


def test_an_edge_counts_once():
    target = targets.PairwiseMRF([[0.0, 0.3], [0.3, 0.0]], dtype=F64)
    assert target.log_prob(torch.ones(2, dtype=F64)).item() == pytest.approx(0.3)
    assert target.log_z == pytest.approx(np.log(4 * np.cosh(0.3)))


def test_temperature_divides_couplings_and_fields(case):
    target, matrix, field = case
    cold = targets.PairwiseMRF(matrix, field, temperature=0.5)
    s = some_spins(target.dim)
    torch.testing.assert_close(cold.log_prob(s), 2 * target.log_prob(s))
    assert cold.temperature == 0.5


def test_annealed_is_the_power_of_the_law_and_shares_tables(case):
    target, matrix, field = case
    s = some_spins(target.dim)
    _ = target.neighbours, target.log_z, target.neighbour_couplings, target.couplings_matrix()
    warm = target.annealed(0.3)
    fresh = targets.PairwiseMRF(0.3 * matrix, 0.3 * field)
    torch.testing.assert_close(warm.log_prob(s), 0.3 * target.log_prob(s))
    torch.testing.assert_close(warm.local_fields(s), 0.3 * target.local_fields(s))
    sites = torch.arange(target.dim)
    torch.testing.assert_close(warm.conditional_logits(s, sites), 0.3 * target.conditional_logits(s, sites))
    assert warm.neighbours is target.neighbours
    assert warm.log_z == pytest.approx(fresh.log_z, abs=1e-12)
    assert warm.annealed(2.0).log_z == pytest.approx(target.annealed(0.6).log_z, abs=1e-12)
    torch.testing.assert_close(warm.to(dtype=torch.float32).fields, (0.3 * field).float())


def test_without_fields_the_mean_is_known_at_any_size():
    target = targets.PairwiseMRF(random_matrix(30, 0.2, 8))
    assert target.known == {"mean", "moments", "prior"}
    assert torch.equal(target.mean, torch.zeros(30, dtype=F64))
    assert torch.equal(target.moments["x"].sd, torch.ones(30, dtype=F64))
    assert "mean" not in targets.PairwiseMRF(random_matrix(30, 0.2, 8), torch.ones(30)).known


@pytest.mark.parametrize("item", ["log_z", "mean", "covariance", "moments", "mean_log_prob"])
def test_too_many_spins_for_enumeration(item):
    target = targets.PairwiseMRF(random_matrix(21, 0.2, 8), torch.ones(21))
    with pytest.raises(NotImplementedError, match="is not known exactly"):
        getattr(target, item)
    with pytest.raises(NotImplementedError, match="sample is not known exactly"):
        target.sample(1, generator=torch.Generator())
    with pytest.raises(ValueError, match="2\\^21 configurations, at most 2\\^20"):
        target.enumerate()


def test_the_dtype_follows_and_the_constants_do_not_lose_digits(case):
    target, matrix, _ = case
    single = target.to(dtype=torch.float32)
    s = some_spins(target.dim)
    assert single.score(s.float()).dtype == torch.float32
    assert single.log_prob(s.float()).dtype == F64
    assert single.log_z == pytest.approx(target.log_z, abs=1e-12)
    assert torch.equal(single.to(dtype=F64).couplings_matrix(), matrix)


def test_meta(case):
    target = case[0].to("meta")
    x = torch.zeros(3, target.dim, dtype=F64, device="meta")
    sites = torch.arange(2, device="meta")
    assert target.log_prob_and_score(x)[1].device.type == "meta"
    assert target.conditional_logits(x, sites).shape == (3, 2, 2)
    assert target.annealed(0.5).local_differences(x).shape == (3, target.dim, 2)


BAD = {
    "a vector": (torch.ones(3), r"couplings: got shape \(3,\), expected a square matrix"),
    "not square": (torch.ones(3, 4), r"couplings: got shape \(3, 4\), expected a square matrix"),
    "diagonal": (torch.eye(3), "couplings: got 1.0 on the diagonal at 0, expected zeros: s_i\\^2 = 1 makes"),
    "asymmetric": (
        torch.ones(3, 3).triu(1),
        "couplings: got a matrix that is not symmetric, by 1 between \\[0, 1\\] and \\[1, 0\\]",
    ),
    "not finite": (torch.full((2, 2), torch.nan), "couplings: holds non-finite values"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_couplings(case):
    matrix, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        targets.PairwiseMRF(matrix)


def test_bad_fields_temperature_and_points():
    matrix = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match=r"fields: got shape \(3,\), expected \(2,\)"):
        targets.PairwiseMRF(matrix, torch.ones(3))
    with pytest.raises(ValueError, match="fields: holds non-finite values"):
        targets.PairwiseMRF(matrix, [0.0, torch.inf])
    with pytest.raises(ValueError, match="temperature: got 0, expected a positive finite number"):
        targets.PairwiseMRF(matrix, temperature=0)
    with pytest.raises(ValueError, match=r"x: got shape \(4, 3\), expected \(\*batch, 2\)"):
        targets.PairwiseMRF(matrix).log_prob(torch.ones(4, 3))
    with pytest.raises(ValueError, match="x: got 0.0 at a site"):
        targets.PairwiseMRF(matrix).check_configuration(torch.zeros(1, 2))


FOREIGN = {
    "Ising 0/1": (targets.Ising((3, 4)), torch.zeros(2, 12), r"x: got 0.0 at a site, expected one of \[-1.0, 1.0\]"),
    "pairwise": (targets.PairwiseMRF(torch.zeros(3, 3)), torch.tensor([1.0, -1.0, 2.0]), "x: got 2.0 at a site"),
    "Potts from 1": (
        targets.Potts((3, 3), 3),
        torch.full((2, 9), 3.0),
        r"x: got 3.0 at a site, expected one of \[0.0, 1.0, 2.0\]",
    ),
    "Potts negative": (targets.Potts((3, 3), 3), torch.full((9,), -1.0), "x: got -1.0 at a site"),
    "Potts between": (targets.Potts((3, 3), 3), torch.full((9,), 0.5), "x: got 0.5 at a site"),
    "not a number": (targets.Ising((3, 4)), torch.full((12,), float("nan")), "x: got nan at a site"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_values_that_a_site_cannot_take_are_refused(case):
    target, x, message = FOREIGN[case]
    with pytest.raises(ValueError, match=message):
        target.log_prob(x)
