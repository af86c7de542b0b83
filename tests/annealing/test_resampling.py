"""Resampling without statistics: expected numbers of offspring over a grid of the uniforms, and the cloud's books."""

import math
from itertools import pairwise

import pytest
import torch
from annealing_cases import F64, gaussian, skewed

import targets
from samplers import RandomWalkMetropolis
from samplers.annealing.cloud import Cloud, interleave, offspring_noise, take
from samplers.annealing.evidence import estimate, relative_variance
from samplers.annealing.paths import GeometricPath
from samplers.annealing.resampling import SCHEMES
from samplers.annealing.schedule import conditional_ess, fixed_betas, next_beta
from samplers.draws.weighted import mean_and_error
from samplers.kernels import State

GRID = 120
WEIGHTS = torch.tensor([7, 0, 31, 1, 18, 3, 0], dtype=F64) / 60  # n W and its sums are multiples of 1 / GRID


def counts(ancestors, m):
    return torch.nn.functional.one_hot(ancestors, m).sum(1).double()


def with_uniforms(patch, values):
    """`torch.rand` gives, row after row, these values of [0, 1) instead."""
    patch.setattr(torch, "rand", lambda rows, columns, **kwargs: values[:rows].expand(rows, columns))


@pytest.fixture
def grid():
    """Midpoints: exact for functions that are constant between multiples of 1 / GRID."""
    return ((torch.arange(GRID, dtype=F64) + 0.5) / GRID)[:, None]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("n", [1, 4, 7, 30])
def test_expected_offspring_is_n_times_the_weight(scheme, n, grid, monkeypatch):
    with_uniforms(monkeypatch, grid)
    found = SCHEMES[scheme](WEIGHTS.expand(GRID, -1), n, torch.Generator())
    assert found.shape == (GRID, n)
    torch.testing.assert_close(counts(found, len(WEIGHTS)).mean(0), n * WEIGHTS, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 0.5, 3.0])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_need_not_sum_to_one(scheme, scale, grid, monkeypatch):
    with_uniforms(monkeypatch, grid)
    found = [SCHEMES[scheme](s * WEIGHTS.expand(GRID, -1), 7, torch.Generator()) for s in (1.0, scale)]
    assert torch.equal(*found)


@pytest.mark.parametrize(("scheme", "most"), [("systematic", 1.0), ("stratified", 2.0)])
def test_numbers_of_offspring_are_near_their_expectation(scheme, most, generator):
    weights = torch.rand(2000, 23, generator=generator, dtype=F64) ** 4
    weights /= weights.sum(-1, keepdim=True)
    for n in (23, 8, 40):
        gap = (counts(SCHEMES[scheme](weights, n, generator), 23) - n * weights).abs()
        assert float(gap.max()) < most + 1e-9


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("uniform", [0.0, 0.3, 1 - 2**-53])
def test_particles_without_weight_are_never_drawn(scheme, uniform, monkeypatch):
    with_uniforms(monkeypatch, torch.full((4, 1), uniform, dtype=F64))
    weights = torch.tensor([[0, 0, 1, 0, 0], [0, 0.1, 0, 0.2, 0], [1, 0, 1, 1, 0], [0, 1e-300, 0, 0, 0]], dtype=F64)
    found = SCHEMES[scheme](weights, 9, torch.Generator())
    assert bool((weights.gather(1, found) > 0).all())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rows_are_resampled_apart(scheme):
    weights = torch.rand(3, 40, generator=torch.Generator().manual_seed(1), dtype=F64)
    other = weights.clone()
    other[0] = other[0].flip(0).square()
    first, second = (SCHEMES[scheme](w, 40, torch.Generator().manual_seed(2)) for w in (weights, other))
    assert torch.equal(first[1:], second[1:])
    same = SCHEMES[scheme](weights[:1].expand(3, -1), 40, torch.Generator().manual_seed(2))
    assert not torch.equal(same[0], same[1])
    assert not torch.equal(same[1], same[2])


@pytest.mark.parametrize("scheme", ["multinomial", "systematic"])
def test_noise_of_the_numbers_of_offspring(scheme, grid, monkeypatch):
    """sum Var(offspring) / n^2: the grid gives it exactly for one uniform a row; n independent ones add up."""
    n = 7
    with_uniforms(monkeypatch, grid)
    one = 1 if scheme == "multinomial" else n
    found = counts(SCHEMES[scheme](WEIGHTS.expand(GRID, -1), one, torch.Generator()), len(WEIGHTS))
    variance = found.var(0, correction=0).sum() * (n / one)
    assert float(offspring_noise(WEIGHTS[None], n, scheme)) == pytest.approx(float(variance) / n**2, rel=1e-12)


def test_noise_of_stratified_offspring():
    """A stratum gives a particle one child or none, by its share of the stratum, and strata are independent."""
    n = 7
    edges = torch.cat([torch.zeros(1, dtype=F64), n * WEIGHTS.cumsum(0)])
    k = torch.arange(n, dtype=F64)[:, None]
    share = (torch.minimum(edges[1:], k + 1) - torch.maximum(edges[:-1], k)).clamp_min(0)
    variance = float((share * (1 - share)).sum()) / n**2
    assert float(offspring_noise(WEIGHTS[None], n, "stratified")) == pytest.approx(variance, rel=1e-12)


# The cloud


def cloud(rows=3, n=6):
    target, generator = skewed(), torch.Generator().manual_seed(3)
    path = GeometricPath(gaussian(2, 2.0), target)
    x = torch.randn(rows * n, 2, generator=generator, dtype=F64)
    made = Cloud.start(RandomWalkMetropolis(0.5).init(path.at(0.3), x, generator), rows, 0.7)
    made.reweight(torch.randn(rows, n, generator=generator, dtype=F64))
    return made, path


def test_reweighting_keeps_the_sum_of_all_weights():
    made, _ = cloud()
    before = made.log_weights + made.log_z[:, None]
    increment = torch.randn(3, 6, generator=torch.Generator().manual_seed(4), dtype=F64)
    made.reweight(increment)
    torch.testing.assert_close(made.log_weights.exp().sum(-1), torch.ones(3, dtype=F64))
    torch.testing.assert_close(made.log_weights + made.log_z[:, None], before + increment)
    weights = made.log_weights.exp()
    torch.testing.assert_close(made.ess, 1 / weights.square().sum(-1))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_resampling_takes_whole_states_and_equal_weights_where_needed(scheme, generator):
    made, path = cloud()
    x, weights, log_z = made.state.x.clone(), made.log_weights.clone(), made.log_z.clone()
    made.resample(scheme, torch.tensor([True, False, True]), generator)
    assert torch.equal(made.log_z, log_z)
    assert torch.equal(made.log_weights[1], weights[1])
    assert torch.equal(made.state.x[6:12], x[6:12])
    assert bool((made.log_weights[[0, 2]] == -math.log(6)).all())
    first = 6 * torch.arange(3)[:, None]
    assert torch.equal(made.state.x, x[(first + made.eves).reshape(-1)])  # of the same row
    again = path.at(0.3).evaluate_state(made.state.x, score=False)
    for name in ("log_prob", "base_log_prob", "target_log_prob"):
        torch.testing.assert_close(getattr(made.state, name), getattr(again, name))
    assert made.noise[1] == 0
    assert bool((made.noise[[0, 2]] > 0).all())


def test_chains_lie_side_by_side_when_all_their_states_are_kept(generator):
    made, _ = cloud(rows=2, n=6)
    log_z = made.log_z.clone()
    made.thin(2, "systematic", generator)
    assert made.shape == (2, 2)
    eves = made.eves.clone()
    states = [State(torch.full((4, 1), 10.0 * p) + torch.arange(4.0)[:, None], torch.zeros(4), None) for p in range(3)]
    made.spread(states)
    assert made.state.x[:, 0].tolist() == [0, 10, 20, 1, 11, 21, 2, 12, 22, 3, 13, 23]
    assert torch.equal(made.eves, eves.repeat_interleave(3, 1))
    torch.testing.assert_close(made.log_weights.exp().sum(-1), torch.ones(2, dtype=F64))
    assert torch.equal(made.log_z, log_z)


def test_shares_of_families():
    made, _ = cloud()
    made.eves = torch.tensor([[0, 0, 3, 3, 3, 5], [1, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5]])
    w = made.log_weights.exp()
    first = w[0, :2].sum() ** 2 + w[0, 2:5].sum() ** 2 + w[0, 5] ** 2
    torch.testing.assert_close(
        made.family_share(), torch.stack([first, torch.ones((), dtype=F64), w[2].square().sum()])
    )


def test_take_and_interleave_reach_every_field():
    a = State(torch.arange(3.0)[:, None], torch.arange(3.0), torch.arange(3.0)[:, None])
    picked = take(a, torch.tensor([2, 2, 0]))
    assert picked.x[:, 0].tolist() == picked.log_prob.tolist() == picked.score[:, 0].tolist() == [2, 2, 0]
    both = interleave([a, picked])
    assert both.x[:, 0].tolist() == both.log_prob.tolist() == both.score[:, 0].tolist() == [0, 2, 1, 2, 2, 0]


# Temperatures


def test_conditional_ess_is_its_formula(generator):
    log_weights = torch.randn(1, 50, generator=generator, dtype=F64).log_softmax(-1)
    increment = torch.randn(1, 50, generator=generator, dtype=F64)
    w, u = log_weights.exp(), increment.exp()
    expected = (w * u).sum() ** 2 / (w * u * u).sum()
    assert conditional_ess(log_weights, increment) == pytest.approx(float(expected), rel=1e-12)
    assert conditional_ess(log_weights, torch.full_like(increment, -700.0)) == pytest.approx(1.0)
    assert conditional_ess(log_weights, torch.full_like(increment, -math.inf)) == 0.0
    dead_row = torch.stack([torch.zeros(50, dtype=F64), torch.full((50,), -math.inf, dtype=F64)])
    assert conditional_ess(torch.full_like(dead_row, -math.log(50)), dead_row) == pytest.approx(0.5)
    assert math.isnan(conditional_ess(log_weights, torch.full_like(increment, math.nan)))
    half = torch.where(torch.arange(50) < 25, 0.0, -math.inf).double()[None]
    assert conditional_ess(torch.full_like(half, -math.log(50)), half) == pytest.approx(0.5)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 50.0, 1e7])
@pytest.mark.parametrize("goal", [0.5, 0.9, 0.99])
def test_temperatures_rise_to_exactly_one(spread, goal, generator):
    log_weights = torch.full((2, 200), -math.log(200), dtype=F64)
    ratio = spread * torch.randn(2, 200, generator=generator, dtype=F64)
    beta, steps = 0.0, [0.0]
    while beta < 1 and len(steps) < 60:
        beta = next_beta(log_weights, lambda b, old=beta: (b - old) * ratio, beta, goal)
        steps.append(beta)
    assert all(a < b for a, b in pairwise(steps))
    assert max(steps) <= 1
    for a, b in pairwise(steps):
        reached = conditional_ess(log_weights, (b - a) * ratio)
        assert reached >= goal - 1e-6
        assert b == 1 or reached == pytest.approx(goal, abs=1e-6)
    if spread <= 1:
        assert steps[-1] == 1.0


def test_fixed_temperatures():
    assert fixed_betas(4) == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert fixed_betas([0, 0.1, 1]) == (0.0, 0.1, 1.0)
    assert fixed_betas(3)[-1] == 1.0


@pytest.mark.parametrize(
    "betas", [0, -3, True, [0.0], [1.0], [0, 0.5], [0.1, 1], [0, 0.5, 0.5, 1], [0, 0.7, 0.2, 1], [0, math.nan, 1]]
)
def test_bad_temperatures_are_named(betas):
    with pytest.raises(ValueError, match=r"betas: got .*, expected .*increasing values from 0 to 1"):
        fixed_betas(betas)


def test_no_error_of_log_z_is_below_that_of_moves_that_mix(generator):
    """Weights that hardly differ: every family survives resampling, and the genealogy alone says that Z is exact."""
    state = RandomWalkMetropolis(0.1).init(
        targets.Gaussian(torch.zeros(2, dtype=F64), 1.0), torch.zeros(20, 2, dtype=F64), generator
    )
    made = Cloud.start(state, 1, 0.0)
    increment = torch.linspace(-0.02, 0.02, 20, dtype=F64)[None]
    made.reweight(increment)
    made.resample("systematic", torch.tensor([True]), generator)
    assert len(made.eves.unique()) == 20
    assert relative_variance(made)[1] == pytest.approx(0.0, abs=1e-12)
    ratio = increment.exp() / increment.exp().mean()
    assert estimate(made).standard_error == pytest.approx(float(((ratio - 1) / 20).square().sum().sqrt()))


def test_copies_of_one_family_are_one_point():
    """The error of a mean of points that were copied is that of the points."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(50, 2, generator=generator, dtype=F64)
    weights = torch.rand(50, generator=generator, dtype=F64)
    weights /= weights.sum()
    mean, error = mean_and_error(weights, values)
    copied = mean_and_error(weights.repeat(4) / 4, values.repeat(4, 1), torch.arange(50).repeat(4))
    torch.testing.assert_close(copied[0], mean)
    torch.testing.assert_close(copied[1], error)
    blind = mean_and_error(weights.repeat(4) / 4, values.repeat(4, 1))[1]
    torch.testing.assert_close(blind, error / 2)
