"""SMC: unbiased Z on every case, its standard error, the weights it returns, and what it refuses."""

import math
import time
import warnings
from dataclasses import replace

import pytest
import torch
from annealing_cases import CASES, F64, HEAVY_BASE, PLAIN, SAMPLERS, STUDENT, HalfNormal, Unnormalised, gaussian, skewed

import targets
from samplers import HMC, MALA, ULA, Draws, Gibbs, RandomWalkMetropolis, SamplingWarning, UnderdampedLangevin
from samplers.annealing import AIS, SMC, FunctionPath, GeometricPath, driver, evidence
from samplers.testing import check_unbiased_z

PAIRS = [
    pytest.param(case, sampler, marks=[] if (i + j) % 3 == 0 else pytest.mark.slow, id=f"{case}; {sampler}")
    for i, case in enumerate(CASES)
    for j, sampler in enumerate(SAMPLERS)
    if sampler != "waste-free" or CASES[case].kernel.exact
]


@pytest.mark.parametrize(("case", "sampler"), PAIRS)
def test_z_is_unbiased(case, sampler):
    kind, options = SAMPLERS[sampler]
    check_unbiased_z(CASES[case].sampler(kind, **options), CASES[case].target, seed=1)


def test_z_is_unbiased_on_a_path_of_ones_own():
    """From a wide Gaussian through tempered densities, whose own constants do not matter."""

    def path(b):
        return targets.Tempered(skewed(), 3 - 2 * b) if b > 0 else gaussian(2, 3.0)

    check_unbiased_z(SMC(MALA(0.3, PLAIN), path=path, betas=6, moves=1), skewed(), seed=2)
    given = GeometricPath(Unnormalised(1.5, 2.0), skewed())
    check_unbiased_z(AIS(MALA(0.3, PLAIN), path=given, betas=6), skewed(), seed=3)


def test_z_is_unbiased_with_a_kernel_for_every_temperature():
    kernels = [RandomWalkMetropolis(0.8, PLAIN), MALA(0.2, PLAIN), HMC(0.3, PLAIN, steps=3)]
    sampler = SMC(kernels, gaussian(2, 1.5), betas=[0, 0.1, 0.4, 1.0], moves=1)
    check_unbiased_z(sampler, skewed(), seed=4)
    check_unbiased_z(replace(sampler, kernel=kernels[::-1], resampling="multinomial"), skewed(), seed=4)


@pytest.mark.parametrize("options", [{}, {"waste_free": 4}, {"ess_threshold": 1.0}])
def test_what_an_adaptive_run_has_found_gives_an_unbiased_z(options):
    """Schedule, step sizes and mass matrices from 16 particles, frozen, and then fresh particles."""
    adaptive = SMC(HMC(), gaussian(2, 2.0), moves=1, **options)
    assert adaptive.adaptive
    assert not SMC(HMC(), gaussian(2, 2.0), unbiased=True).adaptive
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)  # 16 particles are few
        frozen = adaptive.sample(skewed(), draws=16, seed=5).kernel
    assert not frozen.adaptive
    check_unbiased_z(frozen, skewed(), seed=6, runs=1000)


@pytest.mark.slow
def test_the_second_of_two_runs_is_unbiased():
    class Once:
        """`unbiased=True` without replicates: every run finds a schedule of its own, then runs afresh."""

        def sample(self, target, *, draws, seed):
            sampler = SMC(MALA(0.3, PLAIN), gaussian(2, 2.0), moves=1, unbiased=True, conditional_ess=0.5)
            return sampler.sample(target, draws=draws, seed=seed)

    check_unbiased_z(Once(), skewed(), seed=7, runs=1000, draws=6)


# The standard error


def spread_and_claims(sampler, target, n, runs, monkeypatch):
    """Relative variance of Z-hat over runs; of each single run the variance that it estimates, that of moves which draw
    every particle anew, and that which it states."""
    estimates, least, stated = [], [], []

    def recorded(cloud, right=evidence.relative_variance):
        found = right(cloud)
        estimates.append(found[0])
        least.append(float(cloud.mixed))
        return found

    monkeypatch.setattr(evidence, "relative_variance", recorded)
    for seed in range(runs):
        stated.append(sampler.sample(target, draws=n, seed=seed).log_z.standard_error ** 2)
    many = replace(sampler, replicates=2000).sample(target, draws=n, seed=10_000).log_z
    ratio = (torch.tensor(many.estimates) - many.value).exp()
    assert len(estimates) == runs
    return float(ratio.var()), *(torch.tensor(values) for values in (estimates, least, stated))


REGIMES = {
    "no resampling": (AIS, {"betas": 6, "moves": 1}),
    "multinomial, some": (SMC, {"betas": 6, "moves": 1, "resampling": "multinomial", "ess_threshold": 0.6}),
    "multinomial, always": (SMC, {"betas": 6, "moves": 1, "resampling": "multinomial", "ess_threshold": 1.0}),
}


@pytest.mark.slow
@pytest.mark.parametrize("regime", REGIMES)
def test_the_standard_error_of_a_single_run_is_calibrated(regime, monkeypatch):
    """Its square is right in the mean, but for runs whose estimate is not positive, or below what moves that mix leave,
    which state too much instead."""
    kind, options = REGIMES[regime]
    sampler = kind(HMC(0.4, PLAIN, steps=2), gaussian(2, 1.5), **options)
    spread, estimates, least, stated = spread_and_claims(sampler, gaussian(2, 0.7, 0.5), 200, 100, monkeypatch)
    claim, error = float(estimates.mean()), float(estimates.std()) / math.sqrt(len(estimates))
    # the spread of 2000 runs is known to 3 %, O(1/n) terms of the claim are below that
    assert abs(claim / spread - 1) < 4 * math.hypot(error / spread, math.sqrt(2 / 2000)) + 0.02
    positive = estimates > 0
    torch.testing.assert_close(stated[positive], torch.maximum(estimates, least)[positive])
    assert float(least.mean()) < spread
    assert bool((stated[~positive] > spread).all())


def test_the_standard_error_of_replicates_is_that_of_their_mean():
    log_z = SMC(MALA(0.3, PLAIN), gaussian(2, 2.0), betas=6, moves=1, replicates=50).sample(skewed(), draws=64).log_z
    ratio = (torch.tensor(log_z.estimates, dtype=F64) - log_z.value).exp()
    assert len(ratio) == 50
    assert float(ratio.mean()) == pytest.approx(1.0, rel=1e-12)
    assert log_z.standard_error == pytest.approx(float(ratio.std()) / math.sqrt(50), rel=1e-12)
    assert abs(log_z.value) < 4 * log_z.standard_error


# The draws


@pytest.mark.parametrize("options", [{}, {"waste_free": 4}, {"replicates": 3}, {"ess_threshold": 0.0}])
def test_the_mean_weight_is_z_and_weighted_moments_are_those_of_the_target(options):
    target = targets.Gaussian(
        torch.tensor([1.0, -0.5], dtype=F64), covariance=torch.tensor([[1.0, 0.4], [0.4, 0.5]]).double()
    )
    draws = SMC(HMC(0.5, PLAIN, steps=4), gaussian(2, 2.0), betas=8, moves=2, **options).sample(target, draws=2000)
    flat = draws.log_weights.reshape(-1)
    assert draws.x.shape == (1, 2000 * options.get("replicates", 1), 2)
    assert draws.log_weights.shape == draws.stats["lp"].shape == draws.x.shape[:2]
    assert float(flat.logsumexp(0)) - math.log(len(flat)) == pytest.approx(draws.log_z.value, abs=1e-10)
    torch.testing.assert_close(draws.stats["lp"], target.log_prob(draws.x))
    weights = flat.softmax(0)[:, None]
    mean = (weights * draws.x[0]).sum(0)
    second = (weights * (draws.x[0] - target.mean).square()).sum(0)
    # ten times fewer independent points than the weights alone would tell, for the resampling
    points = float(1 / weights.square().sum()) / 10
    spread = target.covariance.diagonal()
    assert bool(((mean - target.mean).abs() < 4 * (spread / points).sqrt()).all())
    assert bool(((second - spread).abs() < 4 * spread * math.sqrt(2 / points)).all())
    assert abs(draws.log_z.value) < 4 * draws.log_z.standard_error + 1e-12


@pytest.mark.parametrize("replicates", [1, 3])
def test_weights_and_log_z_survive_a_file(replicates, tmp_path):
    sampler = SMC(MALA(0.2, PLAIN), gaussian(2, 1.5), betas=8, replicates=replicates, bidirectional=True)
    draws = sampler.sample(skewed(), draws=200)
    loaded = Draws.load(draws.save(tmp_path / "draws.nc"), skewed())
    assert torch.equal(loaded.log_weights, draws.log_weights)
    assert torch.equal(loaded.x, draws.x)
    for name in ("value", "standard_error", "lower", "upper"):
        assert getattr(loaded.log_z, name) == getattr(draws.log_z, name)
    assert list(loaded.log_z.estimates or []) == list(draws.log_z.estimates or [])
    assert loaded.cost == draws.cost


def test_weighted_draws_have_a_summary():
    """From a base on one side and with short moves, so that the weights change the means."""
    draws = AIS(RandomWalkMetropolis(0.3, PLAIN), gaussian(2, 1.5, 0.5), betas=4).sample(gaussian(2, 1.0), draws=20_000)
    table = draws.summary(round_to="none")  # warnings are errors: nothing is wrong with these
    assert len(table) == 2
    weights = draws.log_weights[0].softmax(0)[:, None]
    mean = (weights * draws.x[0]).sum(0)
    spread = (weights * (draws.x[0] - mean).square()).sum(0).sqrt()
    found = torch.tensor(table["mean"].to_numpy(), dtype=F64)
    error = spread / math.sqrt(20_000)  # of drawing as many points by their weights
    assert bool(((found - mean).abs() < 4 * error).all())
    assert bool(((found - draws.x[0].mean(0)).abs() > 10 * error).all())


@pytest.mark.filterwarnings("ignore:the effective sample size is")  # of the draws by their weights, said as well
@pytest.mark.filterwarnings("ignore:\\d+ effective draws show:samplers.SamplingWarning")
def test_the_summary_says_when_few_weights_carry_the_draws():
    draws = AIS(RandomWalkMetropolis(0.3, PLAIN), gaussian(2, 1.5, 0.5), betas=4).sample(gaussian(2, 1.0), draws=300)
    ess = float(1 / draws.log_weights.softmax(-1).square().sum())
    assert ess < 300
    with pytest.warns(SamplingWarning, match=f"the effective sample size of the weights is {ess:.0f}, below 400"):
        draws.summary()


@pytest.mark.parametrize("name", ["skewed, MALA", "Ising, Gibbs"])
def test_same_seed_same_bits(name):
    case = CASES[name]
    sampler = case.sampler(SMC, moves=2)
    first, again, other = (sampler.sample(case.target, draws=300, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.log_weights, again.log_weights)
    assert first.log_z == again.log_z
    assert not torch.equal(first.x, other.x)


def test_float32_positions_with_weights_in_float64():
    single = skewed().to(dtype=torch.float32)
    draws = SMC(MALA(0.2, PLAIN), gaussian(2, 1.5), betas=8).sample(single, draws=1000)
    assert draws.x.dtype == torch.float32
    assert draws.log_weights.dtype == F64
    assert abs(draws.log_z.value) < 4 * draws.log_z.standard_error
    double = SMC(MALA(0.2, PLAIN), gaussian(2, 1.5), betas=8).sample(single, draws=64, dtype=F64)
    assert double.x.dtype == F64


class Counting(targets.LogDensity):
    """N(0, I), which counts the points at which it is evaluated."""

    def __init__(self):
        self.points = 0
        super().__init__(self.density, 2, dtype=F64, name="counting")

    def density(self, x):
        self.points += x.numel() // 2
        return -0.5 * x.square().sum(-1)

    def sample(self, n, *, generator):
        return torch.randn(n, 2, generator=generator, dtype=F64)


@pytest.mark.parametrize(
    "kernel", [HMC(0.5, PLAIN, steps=4), MALA(0.3, PLAIN), RandomWalkMetropolis(0.5, PLAIN), ULA(0.1, PLAIN), HMC()]
)
@pytest.mark.parametrize("kind", [AIS, SMC])
def test_cost_is_the_number_of_points_that_were_evaluated(kind, kernel):
    target = Counting()
    draws = kind(kernel, gaussian(2, 1.5), betas=3, moves=2, replicates=2).sample(target, draws=50)
    assert draws.cost.log_prob == target.points
    assert draws.cost.score in (0, target.points)
    if kernel.needs_score and not isinstance(kernel, HMC):
        assert draws.cost.score == target.points == 100 * (1 + 3 * 2)


def test_cost_of_a_pilot_and_of_a_second_run_is_counted():
    target = Counting()
    draws = SMC(HMC(0.5, PLAIN, steps=2), conditional_ess=0.5, unbiased=True).sample(target, draws=100)
    assert draws.cost.log_prob == target.points


def test_seconds_are_those_of_the_whole_run(monkeypatch):
    """By a clock that the backward run moves on by an hour."""
    hours, real, backwards = [0.0], time.perf_counter, driver.upper_bound

    def slow(*arguments):
        hours[0] += 1.0
        return backwards(*arguments)

    monkeypatch.setattr(time, "perf_counter", lambda: real() + 3600 * hours[0])
    monkeypatch.setattr(driver, "upper_bound", slow)
    sampler = AIS(MALA(0.3), gaussian(2, 2.0), betas=2, bidirectional=True)
    assert 3600 < sampler.sample(gaussian(2, 1.0), draws=20, seed=0).cost.seconds < 7200


@pytest.mark.parametrize("options", [{}, {"unbiased": True}, {"bidirectional": True}])
@pytest.mark.parametrize("kind", [GeometricPath, FunctionPath])
def test_a_path_that_is_given_counts_one_run_at_a_time(kind, options):
    """The same path serves several runs; each costs what it has evaluated."""
    target, base = Counting(), gaussian(2, 1.5)
    made = {GeometricPath: lambda: GeometricPath(base, target), FunctionPath: lambda: FunctionPath(bridge, target)}

    def bridge(b):
        return base if b < 1 else target

    path = made[kind]()
    sampler = AIS(MALA(0.3, PLAIN), path=path, betas=3, **options)
    costs = [sampler.sample(target, draws=50).cost for _ in range(2)]
    fresh = replace(sampler, path=made[kind]()).sample(target, draws=50).cost
    assert costs[0].log_prob == costs[1].log_prob == fresh.log_prob
    assert costs[0].score == costs[1].score == fresh.score
    if kind is GeometricPath:  # of the other path every density counts
        assert target.points == 3 * fresh.log_prob


def test_what_a_run_on_a_given_path_has_found_runs_again():
    sampler = SMC(MALA(0.3, PLAIN), path=GeometricPath(gaussian(2, 1.5), skewed()), moves=1)
    found = sampler.sample(skewed(), draws=200).kernel
    again = found.sample(skewed(), draws=200, seed=1)
    assert again.attrs["betas"] == list(found.betas)


# What it refuses


def flat(x):
    return 0.0 * x.sum(-1)


def slow_tail(x):
    return -0.25 * torch.log1p(x.square().sum(-1))


UNSEEN = pytest.mark.xfail(strict=False, reason="its mass lies in tails that the particles reach at no temperature")


@pytest.mark.parametrize(("fn", "kind"), [(flat, AIS), (flat, SMC), pytest.param(slow_tail, AIS, marks=UNSEEN)])
def test_an_improper_target_ends_in_an_error_that_says_so(fn, kind):
    target = targets.LogDensity(fn, 1, dtype=F64)
    with pytest.raises(ValueError, match=f"the weights diverge: .*{fn.__name__} looks improper"):
        kind(RandomWalkMetropolis(), gaussian(1, 1.0)).sample(target, draws=100)


def test_all_weights_zero():
    target = targets.LogDensity(
        lambda x: torch.where(x[..., 0] > 50, 0.0, -torch.inf).double(), 1, dtype=F64, name="far"
    )
    with pytest.raises(ValueError, match=r"all weights are zero at b = .*far has mass"):
        SMC(RandomWalkMetropolis(0.5), gaussian(1, 1.0), betas=3).sample(target, draws=100)
    with pytest.raises(ValueError, match="far"):
        SMC(RandomWalkMetropolis(0.5), gaussian(1, 1.0)).sample(target, draws=100)


def test_half_of_the_base_without_mass_is_no_error():
    draws = SMC(RandomWalkMetropolis(0.8), gaussian(2, 1.5), betas=4).sample(HalfNormal(), draws=2000)
    assert abs(draws.log_z.value - HalfNormal().log_z) < 4 * draws.log_z.standard_error
    assert bool((draws.x[..., 0] > 0).all())


def test_a_density_that_is_nan_in_places_is_said():
    def broken(x):
        return -0.5 * x.square().sum(-1) + torch.where(x[..., 0] > 0, 0.0, torch.nan)

    with pytest.warns(SamplingWarning) as caught:
        draws = SMC(RandomWalkMetropolis(0.5), gaussian(1, 1.0), betas=3).sample(
            targets.LogDensity(broken, 1, dtype=F64), draws=200
        )
    assert any(
        "NaN or plus infinity at up to" in str(w.message) and "of 200 particles" in str(w.message) for w in caught
    )
    assert bool((draws.x > 0).all())


def test_plus_infinity_has_no_weight_and_is_counted():
    def half(x):
        return torch.where(x[..., 0] > 0, torch.inf, -0.5 * x[..., 0].square())

    sampler = SMC(RandomWalkMetropolis(0.5), gaussian(1, 1.0), betas=3, replicates=20)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draws = sampler.sample(targets.LogDensity(half, 1, dtype=F64), draws=200)
    said = " ".join(str(w.message) for w in caught)
    assert "NaN or plus infinity at up to" in said
    assert "of 4000 particles" in said
    assert bool((draws.x <= 0).all())
    right = 0.5 * math.log(2 * math.pi) - math.log(2)
    assert abs(draws.log_z.value - right) < 5 * draws.log_z.standard_error


def test_kernels_of_the_other_kind_are_refused():
    ising = targets.Ising((2, 2), 0.4, periodic=False)
    with pytest.raises(TypeError, match="is discrete and HMC moves in R"):
        SMC(HMC()).sample(ising)
    with pytest.raises(TypeError, match="Gibbs moves among configurations"):
        SMC(Gibbs(), gaussian(2, 1.0)).sample(skewed())
    with pytest.raises(TypeError, match=r"target: got function, expected a targets.Target"):
        SMC(HMC()).sample(lambda x: x)
    for base in (ising.prior, "pilot", gaussian(4, 1.0)):
        for kind in (AIS, SMC):
            with pytest.raises(ValueError, match=r"base: .* is discrete, and annealing starts from its uniform law"):
                kind(Gibbs(), base).sample(ising)
    with pytest.raises(ValueError, match="UnderdampedLangevin leaves its target only approximately invariant"):
        SMC(UnderdampedLangevin(0.1), gaussian(2, 1.0)).sample(skewed())
    with pytest.raises(ValueError, match="ULA leaves its target only approximately invariant"):
        SMC(ULA(0.1), gaussian(2, 1.0), waste_free=4).sample(skewed())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"moves": 0}, ValueError, "moves: got 0, expected an integer of at least 1"),
        ({"moves": 1.5}, ValueError, "moves: got 1.5, expected an integer of at least 1"),
        ({"replicates": True}, ValueError, "replicates: got True, expected an integer of at least 1"),
        ({"conditional_ess": 1.0}, ValueError, "conditional_ess: got 1.0, expected a share between 0 and 1"),
        ({"betas": [0, 0.5]}, ValueError, "betas: got .*, expected increasing values from 0 to 1"),
        ({"kernel": [HMC(0.1), "HMC"], "betas": 2}, TypeError, "kernel: got str, expected a kernel such as"),
        ({"kernel": [HMC(0.1)], "betas": 2}, ValueError, "kernel: a sequence of kernels needs betas= with one"),
        ({"kernel": [HMC(0.1)]}, ValueError, "kernel: a sequence of kernels needs betas="),
        ({"resampling": "residual"}, ValueError, "resampling: got 'residual', expected 'systematic'"),
        ({"ess_threshold": 1.5}, ValueError, "ess_threshold: got 1.5, expected a share between 0 and 1"),
        ({"waste_free": 1}, ValueError, "waste_free: got 1, expected an integer of at least 2"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        SMC(**arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws: got 0, expected an integer of at least 1"),
        ({"draws": 10.0}, "draws: got 10.0, expected an integer"),
        ({"seed": -1}, "seed: got -1, expected an integer of at least 0"),
        ({"draws": 10}, "draws: got 10, expected a multiple of waste_free=4"),
    ],
)
def test_bad_arguments_of_sample_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SMC(HMC(0.1), gaussian(2, 1.0), waste_free=4).sample(skewed(), **options)


def test_a_prior_is_the_base_and_must_be_normalised():
    likelihood = {"mu": targets.Real(prior=torch.distributions.Normal(0.0, 2.0))}

    def log_likelihood(mu):
        return -0.5 * (mu - 1.0).square()

    posterior = targets.Posterior(log_likelihood=log_likelihood, parameters=likelihood, dtype=F64)
    draws = SMC(HMC(0.5, PLAIN, steps=3), betas=8).sample(posterior, draws=2000)
    exact = 0.5 * math.log(1 / 5) - 0.5 / 5  # N(1; 0, 1 + 4) without 1 / sqrt(2 pi)
    assert abs(draws.log_z.value - exact) < 4 * draws.log_z.standard_error

    class Unfinished(targets.LogDensity):
        prior = targets.LogDensity(lambda x: -x.square().sum(-1), 1, dtype=F64, name="half a prior")

    with pytest.raises(ValueError, match="base: half a prior has no log_z and no sample"):
        SMC(HMC(0.5)).sample(Unfinished(lambda x: -x.square().sum(-1), 1, dtype=F64))


def test_heavy_tails_from_a_base_that_has_them():
    draws = SMC(RandomWalkMetropolis(1.5), HEAVY_BASE, betas=6).sample(STUDENT, draws=2000)
    assert abs(draws.log_z.value) < 4 * draws.log_z.standard_error


@pytest.mark.parametrize("sampler", [SMC(), AIS()], ids=["SMC", "AIS"])
def test_a_density_without_gradient_names_the_kernel_that_needs_none(sampler):
    flat = targets.from_numpy(lambda x: -0.5 * (x**2).sum(-1), dim=1)
    with pytest.raises(TypeError, match=r"SMC\(kernel=RandomWalkMetropolis\(\)\)"):
        sampler.sample(flat, draws=20)
    given = replace(sampler, kernel=RandomWalkMetropolis(), base=gaussian(1, 2.0), replicates=10)
    found = given.sample(flat, draws=100).log_z
    assert abs(found.value - 0.5 * math.log(2 * math.pi)) < 5 * found.standard_error
