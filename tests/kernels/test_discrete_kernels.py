"""Discrete kernels: pi P = pi of the steps as they are shipped, the kit, clusters, bad input."""

import math
from unittest import mock

import pytest
import seeded_bugs_discrete as bugs
import torch
from every_outcome import matrix_of

import targets
from samplers import HMC, DiscreteLangevin, Gibbs, GibbsWithGradients, SwendsenWang, Wolff
from samplers.kernels import _choices, _clusters
from samplers.registry import SAMPLERS
from samplers.testing import check_detailed_balance, check_invariance, check_reversible, check_stationary

DOUBLE = torch.float64


def glass(n=4, seed=1, kind=targets.PairwiseMRF):
    """Couplings of both signs between all pairs, and fields."""
    generator = torch.Generator().manual_seed(seed)
    upper = torch.randn(n, n, generator=generator, dtype=DOUBLE).triu(1)
    return kind(upper + upper.mT, 0.7 * torch.randn(n, generator=generator, dtype=DOUBLE))


def lattice():
    field = torch.linspace(-0.3, 0.5, 6, dtype=DOUBLE).reshape(2, 3)
    return targets.Ising((2, 3), [0.4, -0.7], field, periodic=False, temperature=1.3, dtype=DOUBLE)


def potts():
    """A square with a different coupling at each edge and fields at each site."""
    generator = torch.Generator().manual_seed(2)
    edges, couplings = torch.tensor([[0, 1], [1, 2], [2, 3], [0, 3]]), torch.tensor([0.5, 0.9, 0.0, 1.2], dtype=DOUBLE)
    fields = torch.randn(4, 3, generator=generator, dtype=DOUBLE)
    return targets.Potts(4, 3, couplings, fields, edges=edges, dtype=DOUBLE)


def users_own():
    """Three unevenly spaced values, a product of three sites, and a cubic whose gradient says little."""

    def log_density(x):
        return 0.7 * x.prod(-1) + 0.5 * x[:, 0] - 0.3 * x[:, 1] ** 2 + 0.2 * x[:, 2] ** 3

    return targets.DiscreteLogDensity(log_density, 3, (-1.0, 0.5, 2.0), dtype=DOUBLE)


SMALL = {
    "spin glass": glass(),
    "spin glass, annealed": glass().annealed(0.4),
    "lattice": lattice(),
    "Potts": potts(),
    "user's own": users_own(),
}
LOCAL = {
    "Gibbs": Gibbs(),
    "Gibbs, sequential": Gibbs("sequential"),
    "Gibbs with gradients": GibbsWithGradients(),
    "Gibbs with gradients, two flips": GibbsWithGradients(flips=2),
    "discrete Langevin": DiscreteLangevin(),
    "discrete Langevin, long steps": DiscreteLangevin(5.0),
}
CLUSTER = {"Swendsen-Wang": SwendsenWang(), "Wolff": Wolff()}
KERNELS = LOCAL | CLUSTER
PAIRS = [(kernel, target) for kernel in KERNELS for target in SMALL if kernel in LOCAL or target != "user's own"]


def check_matrix(kernel, target):
    """pi P = pi, detailed balance where it is declared, and every state reached from every other."""
    matrix, log_prob = matrix_of(kernel, target), target.log_prob(target.enumerate())
    check_stationary(matrix, log_prob)
    if kernel.reversible:
        check_detailed_balance(matrix, log_prob)
    assert bool((torch.linalg.matrix_power(matrix, 64) > 0).all())
    return matrix


@pytest.mark.parametrize(("kernel", "target"), PAIRS)
def test_a_step_leaves_the_target_invariant(kernel, target):
    assert KERNELS[kernel].exact
    check_matrix(KERNELS[kernel], SMALL[target])


@pytest.mark.parametrize("target", [glass(3), targets.Potts(3, 2, 0.7, (0.0, 0.4), dtype=DOUBLE), users_own()])
def test_a_random_scan_is_reversible(target):
    assert Gibbs("random").reversible
    check_matrix(Gibbs("random"), target)


def test_sweeps_are_not_reversible_and_say_so():
    for scan in ("colours", "sequential"):
        assert not Gibbs(scan).reversible
        with pytest.raises(AssertionError, match="the flow from state"):
            check_detailed_balance(matrix_of(Gibbs(scan), glass()), glass().log_prob(glass().enumerate()))


def test_colours_on_odd_rings():
    check_matrix(Gibbs(), targets.Ising(5, 0.6, [0.1, 0.3, -0.2, 0.4, 0.0], dtype=DOUBLE))


def test_clusters_turn_at_once_without_fields():
    """All couplings infinitely strong but finite: the two ground states exchange with probability one half."""
    matrix = matrix_of(SwendsenWang(), targets.Ising(3, 40.0, dtype=DOUBLE))
    torch.testing.assert_close(matrix[0, [0, 7]], torch.tensor([0.5, 0.5], dtype=DOUBLE))
    assert float(matrix_of(Wolff(), targets.Ising(3, 40.0, dtype=DOUBLE))[0, 7]) == pytest.approx(1 - Wolff.stays)


def ising(coupling, field=0.0):
    return targets.Ising(3, coupling, field, periodic=False, dtype=DOUBLE)


PERIODIC = {
    "no coupling": ising(0.0),
    "no coupling, a field": ising(0.0, 0.4),
    "weak coupling": ising(0.05),
    "one spin": targets.PairwiseMRF(torch.zeros(1, 1, dtype=DOUBLE), torch.zeros(1, dtype=DOUBLE)),
    "two colours": targets.Potts(3, 2, 0.0, periodic=False, dtype=DOUBLE),
    "three values": targets.DiscreteLogDensity(lambda x: 0.0 * x.sum(-1), 2, (-1.0, 0.0, 1.0), dtype=DOUBLE),
}


@pytest.mark.parametrize("target", PERIODIC)
@pytest.mark.parametrize("kernel", KERNELS)
def test_no_kernel_alternates_between_halves_of_the_states(kernel, target):
    """No eigenvalue of P is near -1: draws two steps apart forget where they were as surely as draws one step apart.

    Uncoupled spins that are changed one at a time, each change accepted, have -1; so have clusters of all spins.
    """
    if kernel in CLUSTER and not len(getattr(PERIODIC[target], "edges", ())):
        return
    matrix = check_matrix(KERNELS[kernel], PERIODIC[target])
    assert float(torch.linalg.eigvals(matrix).real.min()) > -0.9


@pytest.mark.parametrize("kernel", CLUSTER)
def test_one_cluster_of_all_spins_does_not_alternate(kernel):
    matrix = matrix_of(CLUSTER[kernel], ising(30.0))
    assert float(torch.linalg.eigvals(matrix).real.min()) > -0.9


def test_thinned_draws_of_uncoupled_spins_have_both_parities():
    """From all up, where every change is accepted: after 120 of them the product of the spins is a fair coin."""
    for kernel, thin in ((GibbsWithGradients(), 120), (GibbsWithGradients(flips=2), 60), (Wolff(), 120)):
        target = targets.Ising(2, 0.0, periodic=False)
        draws = kernel.sample(target, chains=200, draws=1, warmup=0, thin=thin, init=torch.ones(200, 2))
        odd = float((draws.x.prod(-1) < 0).double().mean())
        assert abs(odd - 0.5) < 4 * 0.5 / math.sqrt(200)


# Langevin without the test


def bias(target, step_size):
    """Total variation between the target and the exact invariant law of the unadjusted kernel."""
    matrix = matrix_of(DiscreteLangevin(step_size, adjusted=False), target)
    balance = torch.cat([matrix.mT - torch.eye(len(matrix)), torch.ones(1, len(matrix))]).double()
    right = torch.zeros(len(balance), 1, dtype=DOUBLE)
    right[-1] = 1.0
    invariant = torch.linalg.lstsq(balance, right).solution[:, 0]
    return float((invariant - target.log_prob(target.enumerate()).softmax(0)).abs().sum() / 2)


def test_unadjusted_langevin_has_the_bias_that_it_states():
    """Proportional to exp(-D^2 / 2a): D = 2 for spins, 1 for Potts; with a cubic term a part of it stays."""
    assert not DiscreteLangevin(adjusted=False).exact
    for target, distance in ((glass(), 2.0), (potts(), 1.0)):
        scaled = [bias(target, a) / math.exp(-(distance**2) / (2 * a)) for a in (0.1 * distance**2, 0.05 * distance**2)]
        assert 0.1 < scaled[0] < 2
        assert scaled[1] == pytest.approx(scaled[0], rel=0.05)
    assert bias(users_own(), 0.05) == pytest.approx(bias(users_own(), 0.1), rel=0.05)
    assert bias(users_own(), 0.05) > 0.005


# Seeded bugs


BUGS = {
    "Swendsen-Wang, 1 - exp(-K)": (bugs.SwendsenWangOneCoupling(), glass()),
    "Swendsen-Wang, 1 - exp(-2K) in Potts": (bugs.SwendsenWangTwoCouplings(), potts()),
    "Swendsen-Wang, fields ignored": (bugs.SwendsenWangWithoutFields(), glass()),
    "Swendsen-Wang, fields ignored in Potts": (bugs.SwendsenWangWithoutFields(), potts()),
    "Swendsen-Wang, half the fields": (bugs.SwendsenWangHalfFields(), glass()),
    "Swendsen-Wang, bonds whatever the sign": (bugs.SwendsenWangEqualBonds(), glass()),
    "Swendsen-Wang, edges listed twice": (SwendsenWang(), glass(3, kind=bugs.EdgesListedTwice)),
    "Wolff, edges listed twice": (Wolff(), glass(3, kind=bugs.EdgesListedTwice)),
    "Wolff, always accepted": (bugs.WolffAlwaysAccepted(), glass()),
    "Wolff, always accepted in Potts": (bugs.WolffAlwaysAccepted(), potts()),
    "Wolff, half the fields": (bugs.WolffHalfFields(), lattice()),
    "Gibbs, all sites at once": (bugs.GibbsSynchronous(), glass()),
    "Gibbs, two colours on an odd ring": (Gibbs(), bugs.CheckerboardOnOddRing(5, 0.6, dtype=DOUBLE)),
    "Gibbs, sigmoid(h)": (Gibbs(), glass(kind=bugs.HalfHeatBath)),
    "Gibbs with gradients, no reverse proposal": (bugs.GibbsWithGradientsWithoutReverse(), glass()),
    "Gibbs with gradients, no test": (bugs.GibbsWithGradientsUntested(), glass()),
    "Gibbs with gradients, stale law": (bugs.GibbsWithGradientsStaleProposal(flips=2), glass()),
    "Langevin, half the step size back": (bugs.DiscreteLangevinHalfStepBack(), glass()),
    "Langevin without the test": (DiscreteLangevin(1.0, adjusted=False), potts()),
}


@pytest.mark.parametrize("name", BUGS)
def test_the_matrix_rejects(name):
    kernel, target = BUGS[name]
    with pytest.raises(AssertionError, match="pi P differs from pi"):
        check_stationary(matrix_of(kernel, target), target.log_prob(target.enumerate()))


@pytest.mark.parametrize("kernel", [bugs.SwendsenWangSharedCoins(), bugs.DiscreteLangevinNeighboursAcceptance()])
def test_the_kit_rejects_what_mixes_up_the_chains(kernel):
    with pytest.raises(AssertionError, match="FAILED"):
        check_invariance(kernel, torus(), seed=9, chains=5_000)


# The kit


def torus():
    field = 0.2 * torch.randn(3, 4, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
    return targets.Ising((3, 4), 0.35, field, dtype=DOUBLE, name="torus")


LARGER = {"torus": torus().to(dtype=torch.float32), "Potts": targets.Potts((2, 4), periodic=False, dtype=torch.float32)}


@pytest.mark.parametrize("target", LARGER)
@pytest.mark.parametrize("name", [*KERNELS, "Gibbs, random"])
def test_steps_with_their_own_chance_leave_the_target_invariant(name, target):
    kernel = (KERNELS | {"Gibbs, random": Gibbs("random")})[name]
    check_invariance(kernel, LARGER[target], seed=4, chains=10_000, steps=3)


@pytest.mark.parametrize("name", ["Swendsen-Wang", "Wolff", "Gibbs with gradients", "discrete Langevin, long steps"])
def test_steps_with_their_own_chance_are_reversible(name):
    check_reversible(KERNELS[name], torus(), seed=5, chains=5_000, length=6)


def test_energy_of_the_critical_torus():
    """-1.491589 a site in units of the coupling (Kaufman 1949), from both ends of the scale of order."""
    critical = math.log(1 + math.sqrt(2)) / 2
    target = targets.Ising((8, 8), critical)
    generator = torch.Generator().manual_seed(6)
    state = SwendsenWang().init(
        target, torch.cat([torch.ones(1000, 64), target.prior.sample(1000, generator=generator)]), None
    )
    for _ in range(40):
        state, info = SwendsenWang().step(target, state, generator)
    energy = -state.log_prob / (64 * critical)
    assert abs(float(energy.mean()) + 1.491589) < 4 * float(energy.std()) / math.sqrt(2000)
    assert bool((info.acceptance_rate == 1).all())


# Choices


def test_choices_come_out_as_often_as_their_laws_say():
    """Uniform numbers on a fine grid in place of random ones: frequencies are the laws to the width of the grid."""
    grid = (torch.arange(100_000, dtype=DOUBLE) + 0.5) / 100_000

    def frequencies(logits):
        logits = torch.tensor(logits)
        with mock.patch.object(torch, "rand", lambda shape, **_: grid.reshape(shape)):
            drawn = _choices.category(logits.expand(len(grid), -1), None)
        return torch.bincount(drawn, minlength=len(logits)) / len(grid)

    inf = math.inf
    for logits in (
        [0.3, -1.0],
        [-inf, 2.0],
        [0.1, 5.0, -2.0, 5.5],
        [-inf, 0.4, -inf, 1.0, -inf],
        [800.0, -900.0, 801.0],
    ):
        law = torch.tensor(logits).softmax(0)
        assert float((frequencies(logits) - law).abs().max()) < 2e-5
        assert bool((frequencies(logits)[law == 0] == 0).all())
    with mock.patch.object(torch, "rand", return_value=grid):
        heads = _choices.coin(torch.full((100_000,), 0.3, dtype=DOUBLE), None)
    assert int(heads.sum()) == 30_000


def test_integers_are_uniform(generator):
    counts = torch.bincount(_choices.one_of(5, (50_000,), generator, torch.device("cpu")), minlength=5)
    assert float((counts / 50_000 - 0.2).abs().max()) < 4 * math.sqrt(0.2 * 0.8 / 50_000)


# Clusters


def partition(labels):
    """The smallest site of each cluster, which says the partition whatever its numbering."""
    smallest = torch.full_like(labels, labels.shape[1]).scatter_reduce_(
        1, labels, torch.arange(labels.shape[1]).expand_as(labels).contiguous(), "amin"
    )
    return smallest.gather(1, labels)


def by_matrix_powers(bonds, edges, n):
    reach = torch.eye(n, dtype=torch.bool).repeat(len(bonds), 1, 1)
    for k, (i, j) in enumerate(edges.tolist()):
        reach[:, i, j] |= bonds[:, k]
        reach[:, j, i] |= bonds[:, k]
    for _ in range(n.bit_length()):
        reach = (reach.float() @ reach.float()) > 0
    return reach.int().argmax(-1)


@pytest.mark.parametrize("open_share", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_clusters_are_the_connected_components(generator, open_share):
    n = 30
    pairs = torch.combinations(torch.arange(n))
    edges = pairs[torch.rand(len(pairs), generator=generator) < 0.15]
    bonds = torch.rand(50, len(edges), generator=generator) < open_share
    expected = by_matrix_powers(bonds, edges, n)
    graph = _clusters.sorted_edges(edges, n)
    bonds = bonds[:, graph.order]
    for labels in (_clusters.components(bonds, graph), _clusters.propagated(bonds, graph)):
        assert int(labels.min()) >= 0
        assert int(labels.max()) < n
        assert torch.equal(partition(labels), expected)


def test_clusters_of_a_long_chain_whose_numbers_jump():
    """A path through the sites in random order is one cluster: labels must travel far."""
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(7))
    edges = _clusters.sorted_edges(torch.stack([order[:-1], order[1:]], -1).sort(-1).values, 2000)
    bonds = torch.ones(2, 1999, dtype=torch.bool)
    bonds[1, 1000] = False
    for label in (_clusters.components, _clusters.propagated):
        labels = label(bonds, edges)
        assert len(labels[0].unique()) == 1
        assert len(labels[1].unique()) == 2


def test_many_chains_are_labelled_in_parts(generator):
    edges = _clusters.sorted_edges(targets.Ising((6, 6)).edges, 36)
    bonds = torch.rand(40, 72, generator=generator) < 0.5
    whole = _clusters.clusters(bonds, edges)
    with mock.patch.object(_clusters, "MOST_SITES", 100):
        assert torch.equal(_clusters.clusters(bonds, edges), whole)


def test_what_is_kept_of_a_graph_is_not_taken_for_another():
    """One tensor of couplings on two graphs, for spins and for Potts; the laws stay each their own."""
    first, other = (
        targets.Ising(4, 0.5, periodic=False, dtype=DOUBLE),
        targets.Ising(4, 0.5, periodic=False, dtype=DOUBLE),
    )
    other.edges = torch.tensor([[0, 1], [0, 2], [0, 3]])
    other.edge_couplings = first.edge_couplings
    three = targets.Potts(4, 3, 0.5, periodic=False, dtype=DOUBLE)
    three.edge_couplings = first.edge_couplings
    graphs = [SwendsenWang().graph(target) for target in (first, other, three, first)]
    assert [float(graph.probability[0]) for graph in graphs] == pytest.approx([0.632121, 0.632121, 0.393469, 0.632121])
    assert graphs[0].edges.first.tolist() == graphs[3].edges.first.tolist() == [0, 1, 2]
    assert graphs[1].edges.first.tolist() == [0, 0, 0]


def test_swendsen_wang_by_either_labelling_is_the_same_law():
    with mock.patch.object(_clusters, "components", _clusters.propagated):
        check_matrix(SwendsenWang(), glass())
        check_matrix(Wolff(), potts())


# The driver, devices and bad input


@pytest.mark.parametrize("name", [*KERNELS, "Gibbs, random"])
def test_kernels_run_through_the_driver(name):
    kernel = (KERNELS | {"Gibbs, random": Gibbs("random")})[name]
    target = targets.Ising((4, 4), 0.3, 0.1)
    draws = kernel.sample(target, chains=16, draws=50, warmup=20, seed=1)
    assert draws.x.shape == (16, 50, 16)
    assert bool((draws.x.abs() == 1).all())
    assert draws.cost.log_prob > 0


def test_warmup_tunes_discrete_langevin():
    target = targets.Ising((10, 10), 0.3)
    draws = DiscreteLangevin().sample(target, chains=32, draws=200, warmup=300, seed=2)
    assert draws.kernel.step_size > 0.5
    assert abs(float(draws.stats["acceptance_rate"].mean()) - 0.574) < 0.08
    unadjusted = DiscreteLangevin(adjusted=False).sample(target, chains=32, draws=10, warmup=300, seed=2)
    assert unadjusted.kernel.step_size < draws.kernel.step_size
    assert not unadjusted.kernel.adjusted
    assert DiscreteLangevin(0.7).sample(target, chains=2, draws=2, warmup=9, seed=2).kernel.step_size == 0.7


def test_warmup_stops_where_longer_steps_change_nothing():
    draws = DiscreteLangevin().sample(targets.Ising(3, 0.0), chains=4, draws=5, warmup=2000, seed=3)
    assert 1e2 < draws.kernel.step_size < 1e7
    assert bool((draws.stats["acceptance_rate"] == 1).all())


@pytest.mark.parametrize("target", [targets.Ising((4, 4), 0.3, 0.1), targets.Potts((3, 3)), users_own()])
@pytest.mark.parametrize("name", [*LOCAL, "Gibbs, random"])
def test_a_step_on_meta(name, target):
    kernel = (LOCAL | {"Gibbs, random": Gibbs("random")})[name]
    getattr(target, "neighbours", None)  # the graph is read before, since meta has no values to read it from
    density, generator = target.to("meta"), torch.Generator().manual_seed(0)
    with torch.no_grad():
        state = kernel.init(density, torch.zeros(4, target.dim, device="meta", dtype=target.dtype), generator)
        state, info = kernel.step(density, state, generator)
    assert state.x.device.type == info.acceptance_rate.device.type == "meta"
    assert state.x.shape == (4, target.dim)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", KERNELS)
def test_a_run_on_a_gpu(name):
    check_invariance(KERNELS[name], torus().to("cuda"), seed=8, chains=20_000)


def test_a_point_that_is_not_finite_is_not_taken():
    target = targets.DiscreteLogDensity(lambda x: torch.where(x[:, 0] > 0, torch.nan, 0.0 * x[:, 0]), 2)
    generator = torch.Generator().manual_seed(0)
    for kernel in (Gibbs("random"), GibbsWithGradients()):
        state, info = kernel.step(target, kernel.init(target, -torch.ones(50, 2), generator), generator)
        assert bool((state.x[:, 0] == -1).all())
        assert bool(state.log_prob.isfinite().all())
    assert bool(info.diverging.any())


def test_kernels_have_names():
    names = {"gibbs": Gibbs, "swendsen-wang": SwendsenWang, "wolff": Wolff}
    names |= {"gibbs-with-gradients": GibbsWithGradients, "discrete-langevin": DiscreteLangevin}
    assert names.items() <= SAMPLERS.items()


@pytest.mark.parametrize("name", KERNELS)
def test_continuous_targets_are_refused(name):
    with pytest.raises(TypeError, match="lives in R"):
        KERNELS[name].sample(targets.Gaussian(torch.zeros(2)), chains=2, draws=2)
    with pytest.raises(TypeError, match="is discrete and HMC moves in R"):
        HMC().sample(targets.Ising(4), chains=2, draws=2)


@pytest.mark.parametrize("name", CLUSTER)
def test_clusters_need_a_graph_and_favourable_couplings(name):
    with pytest.raises(TypeError, match=r"states no edges, edge_couplings, fields, and .* expected a PairwiseMRF"):
        CLUSTER[name].sample(users_own(), chains=2, draws=2)
    with pytest.raises(ValueError, match=r"Potts has a coupling of -0.5, .* need couplings of at least 0"):
        CLUSTER[name].sample(targets.Potts((3, 3), coupling=-0.5), chains=2, draws=2)


def test_bad_hyperparameters_are_named():
    with pytest.raises(ValueError, match="scan: got 'checkerboard', expected '"):
        Gibbs("checkerboard")
    for flips in (0, 1.5, True):
        with pytest.raises(ValueError, match="flips: got"):
            GibbsWithGradients(flips)
    for step_size in (0.0, -1.0, math.nan, "0.1"):
        with pytest.raises(ValueError, match=r"step_size: got .*, expected a positive finite number"):
            DiscreteLangevin(step_size)
