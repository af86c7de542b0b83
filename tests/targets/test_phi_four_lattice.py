import itertools
import math

import numpy as np
import pytest
import torch

import targets
from targets.strip_transfer import Strip, gauss_rule

F64 = torch.float64
AFT = {"mass": -4.0, "quartic": 6.975}


def random_field(target, n=6, seed=0):
    return torch.randn(n, target.dim, generator=torch.Generator().manual_seed(seed), dtype=F64)


def by_hand(field, mass, quartic, stiffness, periodic):
    """The action of one configuration from its definition, site by site."""
    total = float((mass * field**2 + quartic * field**4).sum())
    for site in itertools.product(*map(range, field.shape)):
        for axis, side in enumerate(field.shape):
            other = list(site)
            other[axis] += 1
            if other[axis] == side:
                if not periodic[axis]:
                    continue
                other[axis] = 0
            total += stiffness * float(field[site] - field[tuple(other)]) ** 2
    return total


@pytest.mark.parametrize(
    ("shape", "periodic"),
    [((5,), True), ((3, 4), True), ((3, 4), (True, False)), ((2, 3), True), ((2, 3, 4), (False, True, False))],
)
def test_energy_counts_every_link_once(shape, periodic):
    target = targets.PhiFourLattice(shape, -0.7, 0.4, stiffness=1.7, periodic=periodic, temperature=2.0, dtype=F64)
    x = random_field(target)
    expected = [by_hand(row.reshape(shape).numpy(), -0.7, 0.4, 1.7, target.periodic) for row in x]
    np.testing.assert_allclose(target.energy(x).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(target.log_prob(x).numpy(), np.array(expected) / -2, rtol=1e-12)


def test_the_hopping_action_is_the_published_formula():
    kappa, quartic = 0.3, 0.022
    target = targets.PhiFourLattice.from_hopping((4, 3), kappa, quartic, dtype=F64)
    x = random_field(target)
    phi = x.reshape(-1, 4, 3)
    neighbours = phi.roll(-1, 1) + phi.roll(-1, 2)
    action = -2 * kappa * phi * neighbours + (1 - 2 * quartic) * phi**2 + quartic * phi**4
    torch.testing.assert_close(target.log_prob(x), -action.sum((1, 2)), rtol=1e-12, atol=1e-12)


def test_the_flow_action_is_the_published_formula_on_a_torus():
    target = targets.PhiFourLattice((4, 3), -4.75, 5.1, dtype=F64)
    x = random_field(target)
    phi = x.reshape(-1, 4, 3)
    neighbours = sum(phi.roll(step, axis) for step in (-1, 1) for axis in (1, 2))
    action = phi * (4 * phi - neighbours) - 4.75 * phi**2 + 5.1 * phi**4
    torch.testing.assert_close(target.log_prob(x), -action.sum((1, 2)), rtol=1e-12, atol=1e-12)


def test_the_action_of_wells_is_that_of_the_chain():
    chain = targets.PhiFourChain(6, 0.5, 0.0, 2.0, dtype=F64)
    spring = 0.5 * 6
    line = targets.PhiFourLattice.from_wells((6,), 2.0 * spring, 2.0 / spring, periodic=False, dtype=F64)
    x = random_field(line)
    ends = 2.0 * spring / 2 * (x[:, 0] ** 2 + x[:, -1] ** 2)
    expected = line.log_prob(x) - ends - 6 * (2.0 / spring) / 4
    torch.testing.assert_close(chain.log_prob(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_rescaling_the_field_shifts_log_z(scale):
    target = targets.PhiFourLattice((3, 5), -1.0, 0.7, stiffness=0.4, periodic=(True, False), dtype=F64)
    other = target.rescaled(scale)
    x = random_field(target)
    torch.testing.assert_close(other.log_prob(x / scale), target.log_prob(x), rtol=1e-12, atol=1e-12)
    assert target.log_z == pytest.approx(other.log_z + 15 * math.log(scale), abs=1e-9)


@pytest.mark.parametrize("temperature", [pytest.param(1.0, marks=pytest.mark.slow), 2.5])
def test_conversion_between_the_conventions(temperature):
    aft = targets.PhiFourLattice((3, 3), **AFT, temperature=temperature, dtype=F64)
    kappa, quartic, scale = aft.hopping_form()
    hopping = targets.PhiFourLattice.from_hopping((3, 3), kappa, quartic, dtype=F64)
    x = random_field(aft)
    torch.testing.assert_close(hopping.log_prob(x / scale), aft.log_prob(x), rtol=1e-12, atol=1e-12)
    assert aft.log_z == pytest.approx(hopping.log_z + 9 * math.log(scale), abs=1e-9)
    again = hopping.hopping_form()
    assert again == pytest.approx((kappa, quartic, 1.0), rel=1e-12)


@pytest.mark.parametrize(("length", "expected"), [(4, 4.2356285), (8, 7.3817086)])
def test_published_log_z_of_cylinders(length, expected):
    target = targets.PhiFourLattice((4, length), **AFT, periodic=(True, False))
    assert target.log_z == pytest.approx(expected, abs=6e-8)


def test_published_log_z_of_a_torus():
    assert targets.PhiFourLattice((3, 3), **AFT).log_z == pytest.approx(1.970, abs=5e-3)


@pytest.mark.parametrize(
    ("shape", "periodic"),
    [
        ((1,), False),
        ((3,), False),
        ((3,), True),
        pytest.param((2, 2), True, marks=pytest.mark.slow),
        ((2, 2), (False, True)),
        ((2, 1, 2), False),
    ],
)
def test_log_z_is_that_of_a_plain_grid(shape, periodic):
    target = targets.PhiFourLattice(shape, -1.5, 2.0, stiffness=0.8, periodic=periodic, dtype=F64)
    axis = torch.linspace(-2.6, 2.6, 44, dtype=F64)
    points = torch.cartesian_prod(*[axis] * target.dim).reshape(-1, target.dim)
    expected = target.log_prob(points).logsumexp(0) + target.dim * (axis[1] - axis[0]).log()
    assert target.log_z == pytest.approx(expected.item(), abs=1e-7)


@pytest.mark.parametrize("width", [2, 3])
def test_an_open_row_of_rings_is_a_ring_of_open_rows(width):
    """The cylinder of `width` x 3 sites cut both ways."""
    row = Strip((3,), (True,), width, closed=False)
    ring = Strip((width,), (False,), 3, closed=True)
    assert ring._quadrature(0.8, -1.0, 1.5, 8) == pytest.approx(row._quadrature(0.8, -1.0, 1.5, 8), abs=1e-11)


def test_without_coupling_log_z_is_that_of_single_sites():
    single = targets.PhiFourLattice((1,), -1.0, 1.5, periodic=False).log_z
    weak = targets.PhiFourLattice((3, 4), -1.0, 1.5, stiffness=1e-9, periodic=False).log_z
    assert weak == pytest.approx(12 * single, abs=1e-6)


def test_quadrature_converges_with_the_nodes():
    strip = Strip((4,), (True,), 8, closed=False)
    errors = [abs(strip._quadrature(1.0, -4.0, 6.975, nodes) - 7.38170863351618) for nodes in (6, 8, 10)]
    assert errors[0] < 1e-5
    assert errors[1] < 1e-7
    assert errors[2] < 1e-9


def test_the_gauss_rule_integrates_polynomials_times_its_weight():
    x, log_weight = gauss_rule(0.0, 1.0, 6)
    for power in (0, 2, 4, 10):  # INT x^p exp(-x^4) dx = Gamma((p + 1)/4)/2
        total = (x**power * (log_weight - x**4).exp()).sum().item()
        assert total == pytest.approx(math.gamma((power + 1) / 4) / 2, rel=1e-11)


def test_a_wide_lattice_has_no_known_log_z():
    target = targets.PhiFourLattice.from_hopping((8, 8), 0.3, 0.022)
    assert "log_z" not in target.known
    with pytest.raises(NotImplementedError, match="PhiFourLattice: log_z is not known exactly"):
        target.log_z  # noqa: B018


def test_a_quadrature_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr("targets.strip_transfer.NODES", (4, 6))
    with pytest.raises(RuntimeError, match="log_z: 6 nodes of quadrature a site do not suffice for stiffness 1, mass"):
        targets.PhiFourLattice((3, 3), -10.0, 0.5).log_z  # noqa: B018


def test_modes_are_the_uniform_minima_with_equal_weights():
    target = targets.PhiFourLattice((3, 4), **AFT, dtype=F64)
    assert target.modes.shape == (2, 12)
    assert target.score(target.modes).abs().max() < 1e-12
    assert target.mode_weights.tolist() == [0.5, 0.5]
    assert torch.equal(target.mode_probabilities(target.modes), torch.eye(2, dtype=F64))
    assert torch.equal(target.mean, torch.zeros(12, dtype=F64))
    x = random_field(target)
    torch.testing.assert_close(target.log_prob(-x), target.log_prob(x), rtol=1e-14, atol=0)
    single = targets.PhiFourLattice((3, 4), 1.0, 1.0, dtype=F64)
    assert single.modes.tolist() == [[0.0] * 12]
    assert single.mode_probabilities(x).tolist() == [[1.0]] * 6


def test_observables():
    target = targets.PhiFourLattice((3, 4), **AFT, dtype=F64)
    x = random_field(target)
    phi = x.reshape(-1, 3, 4)
    expected = ((phi * phi.roll(-1, 1)).mean((1, 2)) + (phi * phi.roll(-1, 2)).mean((1, 2))) / 2
    torch.testing.assert_close(target.neighbour_product(x), expected)
    torch.testing.assert_close(target.magnetisation(x), x.mean(-1))
    line = targets.PhiFourLattice((4,), 1.0, 1.0, periodic=False, dtype=F64)
    x = random_field(line)
    torch.testing.assert_close(line.neighbour_product(x), (x[:, 1:] * x[:, :-1]).mean(-1))
    assert line.neighbour_product(x[0]).shape == ()
    assert target.constrain(random_field(target))["field"].shape == (6, 3, 4)
    assert target.variables["field"].shape == (3, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": ()}, r"shape: got \(\), expected one side or more"),
        ({"shape": (3, 0)}, "shape: got 0, expected an integer of at least 1"),
        ({"shape": (3, 1)}, r"shape: got \(3, 1\), expected at least 2 sites along a periodic axis"),
        ({"periodic": (True,)}, "periodic: got 1 flags, expected one or 2, one an axis"),
        ({"mass": math.inf}, "mass: got inf, expected a finite number"),
        ({"quartic": 0.0}, "quartic: got 0.0, expected a positive finite number"),
        ({"stiffness": -1.0}, "stiffness: got -1.0, expected a positive finite number"),
        ({"temperature": 0.0}, "temperature: got 0.0, expected a positive finite number"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        targets.PhiFourLattice(**({"shape": (3, 3), "mass": -1.0, "quartic": 1.0} | arguments))


def test_the_hopping_form_needs_a_torus():
    with pytest.raises(ValueError, match=r"periodic: got \(False, False\), expected a torus"):
        targets.PhiFourLattice((3, 3), -1.0, 1.0, periodic=False).hopping_form()
