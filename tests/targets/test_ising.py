import itertools
import math

import pytest
import torch

import targets
from targets.discrete import DiscreteTarget

F64 = torch.float64

LATTICES = {
    "chain": ((7,), False),
    "ring": ((7,), True),
    "open": ((3, 4), False),
    "torus": ((3, 4), True),
    "thin": ((2, 5), False),
    "box": ((2, 3, 2), False),
    "column": ((1, 5), True),
    "3-torus": ((3, 3, 1), True),
}


def neighbours_once(shape, periodic):
    """All pairs of neighbouring sites, by looking at each site's coordinates: an independent account of the edges."""
    number = {place: k for k, place in enumerate(itertools.product(*map(range, shape)))}
    pairs = {}
    for place, axis in itertools.product(number, range(len(shape))):
        step = list(place)
        step[axis] += 1
        if periodic:
            step[axis] %= shape[axis]
        if tuple(step) in number and tuple(step) != place:
            pairs[frozenset((number[place], number[tuple(step)]))] = axis
    return pairs


@pytest.fixture(params=LATTICES)
def model(request):
    shape, periodic = LATTICES[request.param]
    generator = torch.Generator().manual_seed(len(shape))
    field = torch.randn(shape, generator=generator, dtype=F64)
    coupling = torch.randn(len(shape), generator=generator, dtype=F64).tolist()
    target = targets.Ising(shape, coupling, field, periodic=periodic, dtype=F64)
    matrix = torch.zeros(target.dim, target.dim, dtype=F64)
    for pair, axis in neighbours_once(shape, periodic).items():
        i, j = pair
        matrix[i, j] = matrix[j, i] = coupling[axis]
    return target, targets.PairwiseMRF(matrix, field.flatten())


def some_spins(n, count=40):
    return torch.randint(0, 2, (count, n), generator=torch.Generator().manual_seed(7)).to(F64) * 2 - 1


def test_edges_are_the_pairs_of_neighbours_each_once(model):
    target = model[0]
    expected = neighbours_once(target.shape, target.periodic)
    assert len(target.edges) == len(expected)
    assert {frozenset(pair) for pair in target.edges.tolist()} == set(expected)


def test_the_density_is_that_of_the_graph(model):
    target, graph = model
    s = some_spins(target.dim)
    torch.testing.assert_close(target.log_prob(s), graph.log_prob(s), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(target.local_fields(s), graph.local_fields(s), rtol=1e-12, atol=1e-12)
    for sites in (torch.arange(0, target.dim, 2), torch.tensor([target.dim - 1])):  # many, and few
        torch.testing.assert_close(target.conditional_logits(s, sites), graph.conditional_logits(s, sites))
    torch.testing.assert_close(target.couplings_matrix(), graph.couplings_matrix(), rtol=0, atol=0)
    batch = s.reshape(2, 4, 5, -1)
    assert torch.equal(target.log_prob(batch).flatten(), target.log_prob(s))


def test_what_is_exact_is_that_of_enumeration(model):
    target, graph = model
    assert target.log_z == pytest.approx(DiscreteTarget.log_z.fget(graph), abs=1e-10)
    torch.testing.assert_close(target.mean, DiscreteTarget.mean.fget(graph), rtol=0, atol=1e-10)
    torch.testing.assert_close(target.covariance, graph.covariance, rtol=0, atol=1e-10)
    torch.testing.assert_close(target.moments["x"].sd, graph.moments["x"].sd, rtol=0, atol=1e-10)
    assert target.mean_log_prob == pytest.approx(graph.mean_log_prob, abs=1e-10)
    weights = graph._enumerated_log_prob.softmax(0)
    assert target.energy == pytest.approx(float(weights @ target.energy_per_site(graph.enumerate())), abs=1e-10)
    square = float(weights @ target.magnetisation(graph.enumerate()).square())
    assert target.mean_square_magnetisation == pytest.approx(square, abs=1e-12)


def test_annealed(model):
    target, graph = model
    warm, expected = target.annealed(0.4), graph.annealed(0.4)
    s = some_spins(target.dim)
    torch.testing.assert_close(warm.log_prob(s), expected.log_prob(s), rtol=1e-12, atol=1e-12)
    assert target.log_z != pytest.approx(warm.log_z)
    assert warm.log_z == pytest.approx(expected.log_z, abs=1e-10)
    single = warm.to(dtype=torch.float32)
    assert single.log_z == pytest.approx(expected.log_z, abs=1e-10)
    assert target.annealed(0.0).log_z == pytest.approx(target.dim * math.log(2), abs=1e-12)


@pytest.mark.parametrize(
    ("shape", "periodic", "colours"),
    [
        ((4, 6), True, 2),
        ((5, 5), False, 2),
        ((3, 4), True, 3),
        ((5, 5, 3), True, 3),
        ((1, 4), True, 2),
        ((9,), True, 3),
    ],
)
def test_colours_are_a_checkerboard_and_valid_on_odd_tori(shape, periodic, colours):
    target = targets.Ising(shape, periodic=periodic)
    assert len(target.colours) == colours
    assert sorted(torch.cat(target.colours).tolist()) == list(range(target.dim))
    for sites in target.colours:
        inside = torch.isin(target.edges, sites)
        assert not bool(inside.all(-1).any())


def test_what_is_known_depends_on_the_lattice():
    exact = {"log_z", "sample", "mean", "moments"}
    assert targets.Ising((4, 4), 0.3, 0.1).known == exact | {"covariance", "prior"}
    assert targets.Ising((10, 64), 0.3, 0.1).known == exact | {"prior"}
    assert targets.Ising((12, 64), 0.3, 0.1, periodic=False).known == exact | {"prior"}
    assert targets.Ising((64, 64), 0.3).known == {"log_z", "mean", "moments", "prior"}
    assert targets.Ising((64, 64), 0.3, 0.1).known == {"prior"}
    assert targets.Ising((13, 64), 0.3, 0.1, periodic=False).known == {"prior"}
    assert targets.Ising((64, 64), 0.3, periodic=False).known == {"mean", "moments", "prior"}
    assert targets.Ising((33, 33), -0.3).known == {"mean", "moments", "prior"}
    assert targets.Ising((3, 3, 100), 0.2, 0.1).known == exact | {"prior"}
    assert targets.Ising(1000, 0.2, 0.1).known == exact | {"prior"}
    with pytest.raises(NotImplementedError, match="log_z is not known exactly"):
        _ = targets.Ising((64, 64), 0.3, 0.1).log_z
    with pytest.raises(NotImplementedError, match="mean_square_magnetisation is not known exactly"):
        _ = targets.Ising((64, 64), 0.3).mean_square_magnetisation


def test_every_known_item_can_be_had(generator):
    for target in (targets.Ising((64, 64), 0.3), targets.Ising((3, 20), 0.3, 0.1), targets.Ising((4, 4), 0.3)):
        for item in target.known - {"sample"}:
            getattr(target, item)
        if "sample" in target.known:
            assert target.sample(3, generator=generator).shape == (3, target.dim)


@pytest.mark.parametrize(("coupling", "expected"), [(0.2, 0.17519948), (0.4407, 0.76138930)])
def test_the_published_mean_square_magnetisation_of_the_4_by_4_torus(coupling, expected):
    assert targets.Ising((4, 4), coupling).mean_square_magnetisation == pytest.approx(expected, abs=5e-9)


def test_ring_and_chain_in_closed_form():
    k, n = 0.7, 50
    ring = n * math.log(2 * math.cosh(k)) + math.log1p(math.tanh(k) ** n)
    assert targets.Ising(n, k).log_z == pytest.approx(ring, abs=1e-10)
    chain = n * math.log(2) + (n - 1) * math.log(math.cosh(k))
    assert targets.Ising(n, k, periodic=False).log_z == pytest.approx(chain, abs=1e-10)


def test_a_large_lattice_is_summed_precisely_in_single_precision():
    target = targets.Ising((512, 512), 0.5)
    x = some_spins(target.dim, 2).float()
    exact = target.to(dtype=F64).log_prob(x.double())
    torch.testing.assert_close(target.log_prob(x), exact, rtol=0, atol=1e-3)
    assert target.log_prob(torch.ones(target.dim)).item() == 512 * 512
    assert target.energy_per_site(torch.ones(target.dim)).item() == -1.0


def test_temperature_divides_coupling_and_field():
    hot = targets.Ising((4, 5), 0.8, 0.2, temperature=2.0)
    assert hot.coupling == (0.4, 0.4)
    assert hot.log_z == pytest.approx(targets.Ising((4, 5), 0.4, 0.1).log_z, abs=1e-12)


def test_the_conditional_of_one_site_of_a_large_lattice():
    target = targets.Ising((8, 9), [0.3, -0.2], 0.1, dtype=F64)
    s = some_spins(72, 5)
    sites = torch.tensor([71, 0, 40])
    expected = target.local_fields(s)[:, sites, None] * target.values
    torch.testing.assert_close(target.conditional_logits(s, sites), expected)


def test_meta():
    target = targets.Ising((4, 5), 0.4, 0.1).to("meta")
    x = torch.zeros(3, 20, device="meta")
    assert target.log_prob_and_score(x)[1].device.type == "meta"
    assert target.conditional_logits(x, target.colours[0]).shape == (3, len(target.colours[0]), 2)
    assert target.annealed(0.5).magnetisation(x).shape == (3,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((2, 4),), r"shape: got \(2, 4\) with periodic=True: around a side of 2 two edges join the same pair"),
        (((0, 4),), r"shape: got \(0, 4\), expected one positive side or more"),
        (((),), r"shape: got \(\), expected one positive side"),
        (((4, 4), [0.1, 0.2, 0.3]), r"coupling: got shape \(3,\), expected a number or 2, one for each axis"),
        (((4, 4), math.nan), "coupling: holds non-finite values"),
        (((4, 4), 0.1, torch.ones(4)), r"field: got shape \(4,\), expected a number or shape \(4, 4\)"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        targets.Ising(*arguments)
