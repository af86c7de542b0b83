"""AIS: independent weighted draws, bounds on log Z from both sides, and warnings where its weights fail."""

import math
from dataclasses import replace

import pytest
import torch
from annealing_cases import CASES, F64, PLAIN, STUDENT, Unnormalised, gaussian, skewed

import targets
from samplers import HMC, MALA, ULA, Gibbs, RandomWalkMetropolis, SamplingWarning, SwendsenWang
from samplers.annealing import AIS, SMC


def test_ais_is_smc_that_never_resamples():
    options = {"betas": 6, "moves": 2}
    kernel, base = MALA(0.2, PLAIN), gaussian(2, 1.5)
    one = AIS(kernel, base, **options).sample(skewed(), draws=100)
    other = SMC(kernel, base, ess_threshold=0.0, **options).sample(skewed(), draws=100)
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.log_weights, other.log_weights)
    assert one.log_z == other.log_z


def test_weights_are_the_sum_of_increments_along_each_path():
    """One temperature: importance sampling from the base, whatever the moves after it."""
    base, target = gaussian(2, 2.0), skewed()
    draws = AIS(RandomWalkMetropolis(0.5, PLAIN), base, betas=1).sample(target, draws=500, seed=3)
    start = base.sample(500, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(draws.log_weights[0], target.log_prob(start) - base.log_prob(start))


def test_the_standard_error_without_resampling_is_that_of_a_mean():
    draws = AIS(MALA(0.2, PLAIN), gaussian(2, 1.5), betas=6).sample(skewed(), draws=300)
    w = draws.log_weights[0].exp()
    assert draws.log_z.value == pytest.approx(float(w.mean().log()), abs=1e-12)
    assert draws.log_z.standard_error == pytest.approx(float(w.std() / w.mean() / math.sqrt(300)), rel=1e-9)


@pytest.mark.parametrize("name", ["skewed, MALA", "unequal mixture, random walk", "Potts, Gibbs"])
def test_weighted_moments_are_those_of_the_target(name):
    case = CASES[name]
    draws = case.sampler(AIS, moves=3).sample(case.target, draws=4000)
    w, target = draws.log_weights[0].softmax(0)[:, None], case.target
    mean = (w * draws.x[0]).sum(0)
    # draws are independent: the delta method's standard error
    error = (w * (draws.x[0] - mean)).square().sum(0).sqrt()
    exact = target.mean if "mean" in target.known else torch.tensor([0.0, -0.5772156649015329], dtype=F64)
    assert bool(((mean - exact).abs() < 4 * error).all())


# Bounds. Of base and target, each covers the other's tails: the weights of both ways have a variance.

WIDE = gaussian(2, 1.3, 0.2)
BLOCK = Unnormalised(1.0, 1.5)


@pytest.mark.parametrize(
    ("kind", "kernel"),
    [(AIS, RandomWalkMetropolis(0.7, PLAIN)), pytest.param(SMC, MALA(0.2, PLAIN), marks=pytest.mark.slow)],
)
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_bounds_hold_on_both_sides_and_close(kind, kernel):
    """E[lower] <= log Z <= E[upper]; more temperatures bring them together."""
    gaps = []
    for betas in (1, 16):
        sampler = kind(kernel, gaussian(2, 3.0, 2.0), betas=betas, moves=2, bidirectional=True)
        found = [sampler.sample(BLOCK, draws=10, seed=s).log_z for s in range(40)]
        lower, upper = (torch.tensor([getattr(z, name) for z in found], dtype=F64) for name in ("lower", "upper"))
        assert float(lower.mean()) < BLOCK.log_z + 4 * float(lower.std()) / math.sqrt(40)
        assert float(upper.mean()) > BLOCK.log_z - 4 * float(upper.std()) / math.sqrt(40)
        gaps.append(upper - lower)
    error = math.hypot(float(gaps[0].std()), float(gaps[1].std())) / math.sqrt(40)
    assert float(gaps[1].mean() - gaps[0].mean()) < -4 * error


@pytest.mark.parametrize(
    "kernel",
    [
        MALA(0.2, PLAIN),
        [RandomWalkMetropolis(0.8, PLAIN), MALA(0.2, PLAIN)],
        [MALA(0.2, PLAIN), RandomWalkMetropolis(0.8, PLAIN)],
    ],
    ids=["one kernel", "random walk, MALA", "MALA, random walk"],
)
@pytest.mark.parametrize("target", [BLOCK, gaussian(2, 1.0)], ids=["unnormalised", "normalised"])
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_the_way_back_is_unbiased_for_one_over_z(kernel, target):
    """E[exp(-upper)] = 1 / Z, by the same argument as E[Z-hat] = Z."""
    sampler = AIS(kernel, WIDE, betas=2, moves=1, bidirectional=True)
    found = [sampler.sample(target, draws=100, seed=s).log_z.upper for s in range(60)]
    inverse = (target.log_z - torch.tensor(found, dtype=F64)).exp()
    assert abs(float(inverse.mean()) - 1) < 4 * float(inverse.std()) / math.sqrt(60)


def test_bounds_on_configurations():
    ising = targets.Ising((3, 2), 0.5, periodic=False, dtype=F64)
    log_z = AIS(SwendsenWang(), betas=8, bidirectional=True).sample(ising, draws=2000).log_z
    assert log_z.value == log_z.lower
    assert log_z.lower - 4 * log_z.standard_error < ising.log_z < log_z.upper + 4 * log_z.standard_error


def test_what_cannot_be_annealed_backwards_is_named():
    secret = targets.LogDensity(lambda x: -x.square().sum(-1), 2, dtype=F64, name="secret")
    with pytest.raises(ValueError, match="bidirectional: secret has no exact draws to anneal backwards"):
        AIS(MALA(0.1), gaussian(2, 1.0), bidirectional=True).sample(secret)
    ising = targets.Ising((2, 2), 0.4, periodic=False)
    with pytest.raises(ValueError, match="bidirectional: Gibbs is not reversible, so it has no way back"):
        AIS(Gibbs(), bidirectional=True).sample(ising)
    AIS(Gibbs("random"), betas=2, bidirectional=True).sample(ising, draws=10)
    with pytest.raises(ValueError, match="bidirectional: ULA is not reversible"):
        AIS(ULA(0.1), gaussian(2, 1.0), bidirectional=True).sample(skewed())


@pytest.mark.parametrize("unbiased", [False, True])
def test_a_lower_bound_is_stated_only_where_z_is_unbiased(unbiased):
    log_z = AIS(MALA(0.2, PLAIN), gaussian(2, 1.5), unbiased=unbiased).sample(skewed(), draws=100).log_z
    assert (log_z.lower is not None) == unbiased
    assert log_z.upper is None
    fixed = AIS(MALA(0.2, PLAIN), gaussian(2, 1.5), betas=4, replicates=3).sample(skewed(), draws=100).log_z
    assert fixed.lower == pytest.approx(sum(fixed.estimates) / 3)
    assert fixed.lower < fixed.value


# Weights that fail


@pytest.mark.parametrize(("kind", "betas"), [(AIS, 1), (AIS, 2), (SMC, 1)])
def test_a_narrow_base_is_told_by_the_tail_of_the_weights(kind, betas):
    sampler = kind(RandomWalkMetropolis(0.1, PLAIN), gaussian(1, 0.3), betas=betas, moves=1)
    with pytest.warns(SamplingWarning, match=r"not to be trusted: their Pareto k-hat is .* \(at most 0.7\)"):
        sampler.sample(STUDENT, draws=2000)


@pytest.mark.parametrize("seed", range(5))
def test_good_runs_say_nothing(seed):
    """Warnings are errors here."""
    AIS(HMC(0.4, PLAIN, steps=4), gaussian(2, 1.5)).sample(gaussian(2, 1.0, 0.5), draws=1000, seed=seed)
    AIS(MALA(0.2, PLAIN), gaussian(2, 1.5), betas=1).sample(gaussian(2, 1.0), draws=1000, seed=seed)


def test_divergent_moves_are_said():
    with pytest.warns(SamplingWarning, match="moves diverged: proposals had a non-finite density"):
        AIS(HMC(1.5, PLAIN, steps=30), gaussian(2, 2.0), betas=3).sample(skewed(), draws=500)


def test_a_single_particle_has_no_standard_error():
    draws = AIS(MALA(0.2, PLAIN), gaussian(2, 1.5), betas=4).sample(skewed(), draws=1)
    assert math.isnan(draws.log_z.standard_error)
    several = replace(AIS(MALA(0.2, PLAIN), gaussian(2, 1.5), betas=4), replicates=500).sample(skewed(), draws=1)
    assert abs(several.log_z.value) < 4 * several.log_z.standard_error


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
@pytest.mark.parametrize(("options", "right"), [({}, True), ({"unbiased": False}, False)])
def test_what_is_tuned_on_the_particles_that_it_moves_makes_log_z_too_low(options, right):
    """In twenty dimensions, where the particles are few for a mass matrix; by 5 standard errors of eight runs."""
    dim, runs = 20, 8
    correlated = 0.9 + 0.1 * torch.eye(dim, dtype=torch.float64)
    target = targets.Gaussian(torch.zeros(dim, dtype=torch.float64), covariance=correlated)
    sampler = AIS(base=gaussian(dim, 1.5), conditional_ess=0.9, **options)
    found = [sampler.sample(target, draws=200, seed=seed, progress=False).log_z for seed in range(runs)]
    z = sum((one.value - target.log_z) / one.standard_error for one in found) / runs**0.5
    assert (z > -5) is right
