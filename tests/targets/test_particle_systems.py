import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

import targets
from targets.base import differentiate
from targets.zero_mean import ZeroMean, helmert

F64 = torch.float64
SYSTEMS = {
    "dw4": targets.DoubleWellParticles(dtype=F64),
    "lj13": targets.LennardJones(dtype=F64),
    "lj3 on a line": targets.LennardJones(3, 1, pair_factor=2.0, epsilon=0.7, rm=1.2, oscillator=0.4, dtype=F64),
}
PAIRS = {
    "dw4": lambda r: 0.9 * (r - 4) ** 4 - 4 * (r - 4) ** 2,
    "lj13": lambda r: r**-12 - 2 * r**-6,
    "lj3 on a line": lambda r: 2 * 0.7 * ((1.2 / r) ** 12 - 2 * (1.2 / r) ** 6),
}
TRAP = {"dw4": 0.0, "lj13": 1.0, "lj3 on a line": 0.4}


def random_points(target, n=5, scale=1.5, seed=0):
    return scale * torch.randn(n, target.dim, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("particles", [2, 3, 13, 55])
def test_helmert_rows_are_orthonormal_and_orthogonal_to_ones(particles):
    rows = helmert(particles)
    torch.testing.assert_close(rows @ rows.mT, torch.eye(particles - 1, dtype=F64), rtol=0, atol=1e-13)
    assert rows.sum(-1).abs().max() < 1e-13


def test_coordinates_and_positions_are_inverse_isometries():
    frame = ZeroMean(5, 3)
    x = torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(0), dtype=F64)
    positions = frame.positions(x)
    assert positions.shape == (2, 4, 5, 3)
    assert positions.mean(-2).abs().max() < 1e-14
    torch.testing.assert_close(frame.coordinates(positions), x, rtol=0, atol=1e-13)
    torch.testing.assert_close(frame.coordinates(positions + 7.0), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(positions.square().sum((-1, -2)), x.square().sum(-1), rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", SYSTEMS)
def test_energy_is_the_sum_over_pairs_each_once(name):
    target = SYSTEMS[name]
    x = random_points(target)
    positions = target.positions(x).numpy()
    expected = []
    for cluster in positions:
        pairs = sum(PAIRS[name](np.linalg.norm(a - b)) for a, b in itertools.combinations(cluster, 2))
        expected.append(pairs + TRAP[name] / 2 * ((cluster - cluster.mean(0)) ** 2).sum())
    np.testing.assert_allclose(target.energy(x).numpy(), expected, rtol=1e-11)
    distances = [[np.linalg.norm(a - b) for a, b in itertools.combinations(c, 2)] for c in positions]
    np.testing.assert_allclose(target.distances(x).numpy(), distances, rtol=1e-11)


@pytest.mark.parametrize("name", SYSTEMS)
def test_energy_is_invariant_under_rotations_reflections_and_exchange(name):
    target = SYSTEMS[name]
    x = random_points(target)
    positions, random = target.positions(x), torch.Generator().manual_seed(1)
    turn = torch.linalg.qr(torch.randn(target.space, target.space, generator=random, dtype=F64))[0]
    order = torch.randperm(target.particles, generator=random)
    for moved in (positions @ turn, -positions, positions[:, order], positions + 3.0):
        torch.testing.assert_close(target.energy(target.coordinates(moved)), target.energy(x), rtol=1e-9, atol=1e-9)


def test_a_batch_in_parts_is_the_batch(monkeypatch):
    target = SYSTEMS["lj13"]
    x = random_points(target, 7)
    whole = target.log_prob_and_score(x)
    monkeypatch.setattr("targets.particle_systems.CHUNK", {"cpu": 500})
    assert target._rows == 2
    torch.testing.assert_close(target.log_prob_and_score(x), whole, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(target.log_prob(x), whole[0], rtol=1e-13, atol=1e-13)
    _, score = differentiate(target.log_prob, x, "lj")
    torch.testing.assert_close(score, whole[1], rtol=1e-10, atol=1e-10 * float(score.abs().max()))
    assert target.log_prob(x[:0]).shape == (0,)
    assert target.score(x[:0]).shape == (0, 36)


# Exact normalising constants

TWO = {
    "double well in the plane": targets.DoubleWellParticles(2, 2, dtype=F64),
    "double well in space, in a trap": targets.DoubleWellParticles(2, 3, oscillator=0.3, temperature=3.0, dtype=F64),
    "Lennard-Jones on a line": targets.LennardJones(2, 1, dtype=F64),
    "Lennard-Jones in the plane": targets.LennardJones(2, 2, pair_factor=2.0, temperature=0.5, dtype=F64),
}


@pytest.mark.parametrize("name", TWO)
def test_two_particles_have_the_log_z_of_quadrature_in_all_coordinates(name):
    target = TWO[name]
    nodes, reach = {1: (100_000, 12.0), 2: (2000, 8.0), 3: (240, 6.5)}[target.space]
    axis = torch.linspace(-reach, reach, nodes, dtype=F64)
    total = []
    for part in axis.split(max(1, 10_000 // nodes ** (target.space - 1))):
        points = torch.cartesian_prod(part, *[axis] * (target.space - 1)).reshape(-1, target.space)
        total.append(target.log_prob(points).logsumexp(0))
    expected = torch.stack(total).logsumexp(0) + target.space * (axis[1] - axis[0]).log()
    assert target.log_z == pytest.approx(expected.item(), abs=1e-8)


@pytest.mark.parametrize("name", TWO)
def test_two_particles_are_drawn_exactly(name, generator):
    target, n = TWO[name], 20_000
    x = target.sample(n, generator=generator)
    score = target.score(x)
    for statistic in (*score.T, (x * score).sum(-1) + target.dim):
        assert abs(statistic.mean()) < 4.5 * statistic.std() / math.sqrt(n)
    distance = target.distances(x)[:, 0].numpy()
    grid = np.linspace(1e-3, 20, 20_001)

    def density(r):
        energy = target.pair_factor * target.pair(torch.from_numpy(r**2))[0].numpy() + target.oscillator * r**2 / 4
        return r ** (target.space - 1) * np.exp(-energy / target.temperature)

    mass = integrate.cumulative_simpson(density(grid), x=grid, initial=0)
    assert stats.kstest(distance, lambda r: np.interp(r, grid, mass / mass[-1])).pvalue > 1e-5


@pytest.mark.slow
def test_three_particles_on_a_line_by_quadrature_of_the_two_gaps():
    """Order x1 < x2 < x3, six times; the Jacobian of (gaps) to orthonormal coordinates is 1/sqrt 3."""
    target = SYSTEMS["lj3 on a line"]
    u = PAIRS["lj3 on a line"]

    def density(second, first):
        positions = np.array([0.0, first, first + second])
        trap = 0.2 * ((positions - positions.mean()) ** 2).sum()
        return math.exp(-u(first) - u(second) - u(first + second) - trap)

    ordered = integrate.dblquad(density, 0.3, 14, 0.3, 14, epsabs=1e-9)[0]
    axis = torch.linspace(-14, 14, 1801, dtype=F64)
    log_mass = torch.stack([target.log_prob(torch.cartesian_prod(x[None], axis)).logsumexp(0) for x in axis])
    log_z = log_mass.logsumexp(0) + 2 * (axis[1] - axis[0]).log()
    assert log_z.item() == pytest.approx(math.log(6 * ordered / math.sqrt(3)), abs=1e-6)


def test_the_centre_of_mass_adds_a_gaussian_factor():
    target = targets.LennardJones(2, 1, oscillator=0.7, temperature=1.3, dtype=F64)
    axis = torch.linspace(-15, 15, 1201, dtype=F64)
    positions = torch.cartesian_prod(axis, axis)
    pair = target.pair((positions[:, 0] - positions[:, 1]).square())[0]
    log_prob = -(pair + 0.35 * positions.square().sum(-1)) / 1.3
    log_z = log_prob.logsumexp(0) + 2 * (axis[1] - axis[0]).log()
    assert log_z.item() == pytest.approx(target.log_z + target.centre_log_z, abs=1e-9)


@pytest.mark.parametrize("item", ["log_z", "sample"])
def test_nothing_is_claimed_of_three_particles_or_of_free_ones(item):
    for target in (SYSTEMS["lj13"], targets.LennardJones(2, 3, oscillator=0.0)):
        assert item not in target.known
        call = {"log_z": lambda t=target: t.log_z, "sample": lambda t=target: t.sample(1, generator=torch.Generator())}
        with pytest.raises(NotImplementedError, match=f"LennardJones: {item} is not known exactly"):
            call[item]()


# Known energies


def icosahedron():
    golden = (1 + math.sqrt(5)) / 2
    corners = [p for a in (-1, 1) for b in (-golden, golden) for p in ((0, a, b), (a, b, 0), (b, 0, a))]
    return torch.tensor([(0.0, 0.0, 0.0), *corners], dtype=F64) / math.sqrt(1 + golden**2)


def test_the_icosahedron_has_the_published_energy_of_thirteen_atoms():
    target = targets.LennardJones(oscillator=0.0, dtype=F64)
    shape = target.coordinates(icosahedron())

    def energy(size):
        return float(target.energy(size * shape))

    best = optimize.minimize_scalar(energy, (0.9, 1.0), tol=1e-12)
    assert best.fun == pytest.approx(-44.326801, abs=1e-6)
    assert target.score(best.x * shape).abs().max() < 1e-6


def test_a_pair_at_the_minimum_has_minus_epsilon_once_or_twice():
    for factor in (1.0, 2.0):
        target = targets.LennardJones(2, 1, epsilon=0.8, rm=1.5, pair_factor=factor, oscillator=0.0, dtype=F64)
        x = target.coordinates(torch.tensor([[0.0], [1.5]], dtype=F64))
        assert target.energy(x).item() == pytest.approx(-0.8 * factor, abs=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_particles_that_meet_have_density_zero_and_no_nan(dtype):
    lj = targets.LennardJones(3, 2, dtype=dtype)
    x = torch.zeros(2, 4, dtype=dtype)
    x[1] = 1e-30
    assert lj.log_prob(x).tolist() == [-math.inf, -math.inf]
    assert lj.log_prob_and_score(x)[0].tolist() == [-math.inf, -math.inf]
    wells = targets.DoubleWellParticles(3, 2, dtype=dtype)
    value, score = wells.log_prob_and_score(x[:1])
    assert value.item() == pytest.approx(-3 * (0.9 * 256 - 4 * 16), rel=1e-6)
    assert score.tolist() == [[0.0] * 4]


def test_float32_agrees_and_positions_are_named():
    double = SYSTEMS["lj13"]
    single = double.to(dtype=torch.float32)
    x = double.coordinates(1.1 * icosahedron())[None]
    value, score = single.log_prob_and_score(x.float())
    torch.testing.assert_close(value.double(), double.log_prob(x), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(score.double(), double.score(x), rtol=1e-3, atol=1e-3)
    assert double.variables["positions"].shape == (13, 3)
    assert single.constrain(x.float())["positions"].shape == (1, 13, 3)
    assert (SYSTEMS["dw4"].dim, double.dim, targets.LennardJones(55).dim) == (6, 36, 162)


@pytest.mark.parametrize(
    ("system", "arguments", "message"),
    [
        ("LennardJones", {"particles": 1}, "particles: got 1, expected an integer of at least 2"),
        ("LennardJones", {"space": 0}, "space: got 0, expected an integer of at least 1"),
        ("LennardJones", {"epsilon": 0.0}, "epsilon: got 0.0, expected a positive finite number"),
        ("LennardJones", {"rm": -1.0}, "rm: got -1.0, expected a positive finite number"),
        ("LennardJones", {"pair_factor": 0.0}, "pair_factor: got 0.0, expected a positive finite number"),
        ("LennardJones", {"oscillator": -1.0}, "oscillator: got -1.0, expected a finite number of at least 0"),
        ("DoubleWellParticles", {"a": 0.0}, "a: got 0.0, expected a positive finite number"),
        ("DoubleWellParticles", {"offset": -1.0}, "offset: got -1.0, expected a finite number of at least 0"),
    ],
)
def test_bad_arguments(system, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(targets, system)(**arguments)


def test_positions_of_another_system_are_an_error():
    with pytest.raises(ValueError, match=r"positions: got shape \(3, 4, 3\), expected \(\*batch, 4, 2\)"):
        SYSTEMS["dw4"].coordinates(torch.zeros(3, 4, 3))


def test_a_free_centre_of_mass_has_no_factor():
    with pytest.raises(ValueError, match="oscillator: is 0"):
        SYSTEMS["dw4"].centre_log_z  # noqa: B018
