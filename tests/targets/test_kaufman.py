import math

import pytest
import torch
from scipy import integrate

import targets
from targets import kaufman
from targets.discrete import DiscreteTarget
from targets.kaufman import CRITICAL_COUPLING

F64 = torch.float64

COUPLINGS = [
    (0.2, 0.2),
    (CRITICAL_COUPLING, CRITICAL_COUPLING),
    (0.4, 0.7),
    (0.05, 1.5),
    (1.5, 0.05),
    (3.0, 3.0),
    (-0.4, 0.3),
    (0.4, -0.3),
    (-0.4, -0.3),
    (-0.9, 1.2),
    (1.1, -2.5),
    (0.0, 0.3),
    (-0.3, 0.0),
    (0.0, 0.0),
]


def log_z(shape, couplings):
    return float(kaufman.torus_log_z(shape, torch.tensor(couplings, dtype=F64)))


@pytest.mark.parametrize("shape", [(3, 3), (3, 4), (4, 3), (4, 4), (3, 5)])
@pytest.mark.parametrize("couplings", COUPLINGS)
def test_log_z_energy_and_its_variance_are_those_of_enumeration(shape, couplings):
    if not kaufman.solvable(shape, couplings):
        assert all(side % 2 and coupling < 0 for side, coupling in zip(shape, couplings, strict=True))
        return
    target = targets.Ising(shape, couplings, dtype=F64)
    value = target._enumerated_log_prob
    weight = value.softmax(0)
    assert log_z(shape, couplings) == pytest.approx(float(value.logsumexp(0)), abs=1e-10)
    mean = float(weight @ value)
    variance = float(weight @ (value - mean).square())
    assert kaufman.torus_energy(shape, couplings) == pytest.approx((mean, variance), abs=1e-10)


@pytest.mark.parametrize(
    ("shape", "couplings"),
    [
        ((8, 8), (0.4, 0.4)),
        ((8, 8), (0.6, 0.3)),
        ((7, 16), (-0.8, 0.5)),
        ((5, 30), (-3.0, 2.0)),
        ((6, 40), (0.44, 0.44)),
    ],
)
def test_log_z_is_that_of_the_transfer_matrix(shape, couplings):
    target = targets.Ising(shape, couplings)
    assert target._solved
    assert target.log_z == pytest.approx(target._strip.log_z, abs=1e-10)
    assert target.mean_log_prob == pytest.approx(target._strip.mean_log_prob, abs=1e-9)


PUBLISHED = {  # side, coupling: log Z, energy per site in units of the coupling
    (4, 0.2): (11.771470, -0.456135),
    (4, 0.4): (14.561093, -1.379116),
    (4, CRITICAL_COUPLING): (15.521915, -1.565624),
    (8, 0.2): (47.010147, -0.428368),
    (8, 0.4): (56.599389, -1.222321),
    (8, CRITICAL_COUPLING): (60.141781, -1.491589),
}


@pytest.mark.parametrize(("side", "coupling"), PUBLISHED)
def test_the_table_of_square_tori(side, coupling):
    target = targets.Ising((side, side), coupling)
    energy = target.energy / coupling
    expected = PUBLISHED[side, coupling]
    assert (target.log_z, energy) == (pytest.approx(expected[0], abs=6e-7), pytest.approx(expected[1], abs=6e-7))


def test_an_edge_counted_twice_would_be_noticed():
    doubled = targets.PairwiseMRF(2 * targets.Ising((4, 4), 0.2, dtype=F64).couplings_matrix())
    assert abs(doubled.log_z - log_z((4, 4), (0.2, 0.2))) > 1
    assert doubled.log_z == pytest.approx(log_z((4, 4), (0.4, 0.4)), abs=1e-10)


@pytest.mark.parametrize("coupling", [0.05, 0.2, 0.3, 0.6, 3.0])
def test_large_tori_off_the_critical_point_are_like_the_infinite_lattice(coupling):
    ordered = math.log(2) if coupling > CRITICAL_COUPLING else 0.0  # two signs of the magnetisation
    n = 512**2
    assert log_z((512, 512), (coupling,) * 2) - ordered == pytest.approx(
        n * kaufman.infinite_log_z(coupling), rel=1e-12
    )
    energy, variance = kaufman.torus_energy((512, 512), (coupling,) * 2)
    assert -energy / coupling / n == pytest.approx(kaufman.infinite_energy(coupling), abs=1e-12)
    assert variance > 0


def test_large_frustrated_and_critical_tori_are_finite():
    assert log_z((255, 512), (-2.0, 2.0)) < log_z((256, 512), (-2.0, 2.0))
    gap = log_z((512, 512), (CRITICAL_COUPLING,) * 2) - 512**2 * kaufman.infinite_log_z(CRITICAL_COUPLING)
    assert gap == pytest.approx(math.log(2**0.25 + 2**-0.5), abs=1e-3)  # the universal term of a square torus


@pytest.mark.parametrize("couplings", [(0.2, 0.2), (0.3, 0.6), (0.7, 0.1), (0.44, 0.44), (0.45, 0.45)])
def test_the_infinite_lattice_is_onsagers_double_integral(couplings):
    k, other = couplings
    constant = math.cosh(2 * k) * math.cosh(2 * other)

    def inner(angle):  # the integral over the second angle in closed form
        a = constant - math.sinh(2 * k) * math.cos(angle)
        return math.log((a + math.sqrt(a * a - math.sinh(2 * other) ** 2)) / 2)

    area = integrate.quad(inner, 0, math.pi, limit=400, points=[0.01, 0.1], epsabs=1e-13)[0]
    assert kaufman.infinite_log_z(*couplings) == pytest.approx(math.log(2) + area / (2 * math.pi), abs=1e-10)
    assert kaufman.infinite_log_z(other, k) == pytest.approx(kaufman.infinite_log_z(*couplings), abs=1e-12)
    assert kaufman.infinite_log_z(-k, other) == kaufman.infinite_log_z(*couplings)


def test_the_published_values_of_the_infinite_lattice():
    assert kaufman.infinite_log_z(0.2) == pytest.approx(0.7345308122763, abs=1e-12)
    assert kaufman.infinite_log_z(0.4) == pytest.approx(0.8793638208, abs=1e-10)
    assert kaufman.infinite_energy(CRITICAL_COUPLING) == pytest.approx(-math.sqrt(2), abs=1e-12)
    assert kaufman.infinite_log_z(0.0) == math.log(2)
    assert kaufman.infinite_energy(0.0) == 0.0
    assert kaufman.spontaneous_magnetisation(CRITICAL_COUPLING - 1e-9) == 0.0
    assert kaufman.spontaneous_magnetisation(0.5) == pytest.approx((1 - math.sinh(1.0) ** -4) ** 0.125, rel=1e-12)
    assert kaufman.spontaneous_magnetisation(3.0) == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("coupling", [0.1, 0.35, 0.5, 1.0])
def test_the_infinite_energy_is_the_derivative_of_log_z(coupling):
    step = 1e-4
    slope = (kaufman.infinite_log_z(coupling + step) - kaufman.infinite_log_z(coupling - step)) / (2 * step)
    assert -kaufman.infinite_energy(coupling) == pytest.approx(slope, abs=1e-6)


def test_both_sides_odd_and_negative_is_left_to_others():
    assert not kaufman.solvable((3, 5), (-0.2, -0.2))
    with pytest.raises(ValueError, match="not both odd with negative couplings"):
        log_z((3, 5), (-0.2, -0.2))
    target = targets.Ising((3, 5), -0.2, dtype=F64)
    assert target.log_z == pytest.approx(DiscreteTarget.log_z.fget(target), abs=1e-10)
