"""Denoisers that run a sampler inside: resampled proposals by the kit, SMC and chains against closed forms."""

from dataclasses import dataclass

import pytest
import torch

import targets
from samplers import HMC, MALA, ULA, RandomWalkMetropolis
from samplers.denoisers import ClosedForm
from samplers.denoisers.inner_base import RowBase, RowPosterior, posterior_draws
from samplers.denoisers.inner_chains import InnerChains
from samplers.denoisers.inner_smc import InnerSMC
from samplers.denoisers.inner_tuning import FisherTuner
from samplers.kernels import Info
from samplers.smoothing import GivenMeasurements
from samplers.smoothing.resampled import ResampledProposals
from samplers.testing import check_invariance, check_moves, check_reversible
from samplers.testing.statistics import two_sample
from targets.counting import Counted
from targets.noise import CorrelatedNoise, IsotropicNoise

MIXTURE = targets.GaussianMixture(
    torch.tensor([[1.5, 0.0], [-1.0, 1.0]], dtype=torch.float64), scales=[0.5, 0.8], weights=[0.7, 0.3]
)
FULL_MIXTURE = targets.GaussianMixture(
    torch.tensor([[1.5, 0.0], [-1.0, 1.0]], dtype=torch.float64),
    covariances=torch.tensor([[[0.4, 0.1], [0.1, 0.3]], [[0.7, -0.2], [-0.2, 0.5]]], dtype=torch.float64),
    weights=[0.7, 0.3],
)
CORRELATED = CorrelatedNoise(torch.tensor([[1.0, 0.4], [0.4, 0.8]], dtype=torch.float64))
DIAGONAL = CorrelatedNoise(torch.tensor([1.0, 0.6], dtype=torch.float64))
ROUND = IsotropicNoise(1.2)
Y = torch.tensor([0.3, 0.4], dtype=torch.float64)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def bare(target):
    """A target of which only the density is known."""
    return targets.LogDensity(target.log_prob, target.dim, dtype=target.dtype)


def posterior(noise=ROUND, y=Y):
    return GivenMeasurements(MIXTURE, y, noise)


# Resampled proposals


@pytest.mark.parametrize("noise", [ROUND, DIAGONAL, CORRELATED], ids=["isotropic", "diagonal", "correlated"])
def test_resampled_proposals_are_invariant_and_reversible(noise):
    kernel = ResampledProposals(candidates=4)
    assert kernel.exact
    assert kernel.reversible
    check_invariance(kernel, posterior(noise), seed=1, chains=20_000)
    check_reversible(kernel, posterior(noise), seed=2, chains=5_000)


@pytest.mark.parametrize("local", [MALA(0.3), HMC(0.5, steps=2), RandomWalkMetropolis(0.5)])
def test_local_moves_stay_exact_and_give_up_reversibility(local):
    kernel = ResampledProposals(3, local=local, local_steps=2).placed(posterior(CORRELATED))
    torch.testing.assert_close(kernel.local.inverse_mass_matrix, CORRELATED.covariance(2))
    assert kernel.exact
    assert not kernel.reversible
    check_invariance(kernel, posterior(CORRELATED), seed=3, chains=20_000)


def test_local_moves_declare_their_bias():
    kernel = ResampledProposals(3, local=ULA(0.3))
    assert not kernel.exact
    assert kernel.order == 1
    with pytest.raises(AssertionError, match="invariance of"):
        check_invariance(kernel, posterior(), seed=4, steps=10)


@pytest.mark.parametrize("local", [None, MALA(0.3)])
def test_resampled_proposals_move_and_come_in_from_afar(local):
    check_moves(ResampledProposals(4, local=local), posterior(), seed=5, steps=100)


class OneMeasurementARow(GivenMeasurements):
    """A y for each row, of any number of rows."""

    def __init__(self, noise, n):
        super().__init__(MIXTURE, MIXTURE.smoothed(noise).sample(n, generator=generator(6)), noise)


def test_resampled_proposals_keep_one_posterior_a_row():
    target = OneMeasurementARow(ROUND, 20_000)
    kernel, g = ResampledProposals(4), generator(7)
    state = kernel.init(target, target.sample(20_000, generator=g), g)
    for _ in range(4):
        state, _ = kernel.step(target, state, g)
    fresh = target.sample(20_000, generator=g)
    for name, function in {"x": lambda x: x[:, 0], "x y": lambda x: (x * target.y).sum(1)}.items():
        found = two_sample(function(state.x), function(fresh), name, g)
        assert min(found.values()) > 1e-5, found


@dataclass(frozen=True, eq=False)
class PresentPointLeftOut(ResampledProposals):
    """The chain's own point is not among the candidates: sampling importance resampling, biased at any k."""

    def step(self, target, state, generator):
        y = target.y.expand_as(state.x)
        fresh = y[:, None] + target.noise.sample_like(y[:, None].expand(-1, self.candidates, -1), generator)
        chosen = torch.multinomial(target.target.log_prob(fresh).softmax(1), 1, generator=generator)[:, 0]
        every = torch.ones(len(y), dtype=torch.bool)
        return self.init(target, fresh[torch.arange(len(y)), chosen], generator), Info(every.double(), ~every)


@dataclass(frozen=True, eq=False)
class PosteriorAsWeight(ResampledProposals):
    """Weights gamma(x) N(x; y, C): the Gaussian counts twice."""

    def _choose(self, target, state, generator):
        narrower = GivenMeasurements(posterior(), target.y, target.noise)
        state = type(state)(state.x, narrower.log_prob(state.x), None)
        new, info = super()._choose(narrower, state, generator)
        return type(state)(new.x, target.log_prob(new.x), None), info


@pytest.mark.parametrize("bug", [PresentPointLeftOut, PosteriorAsWeight])
def test_seeded_bugs_are_rejected(bug):
    with pytest.raises(AssertionError, match="invariance of"):
        check_invariance(bug(candidates=4), posterior(), seed=8)


def test_resampled_proposals_count_and_name_what_is_wrong():
    inside = Counted(MIXTURE)
    kernel, g = ResampledProposals(5), generator(9)
    state = kernel.init(GivenMeasurements(inside, Y, ROUND), Y.expand(7, -1), g)
    inside.tally.clear()
    kernel.step(GivenMeasurements(inside, Y, ROUND), state, g)
    assert (inside.log_probs, inside.scores) == (7 * 4, 0)
    draws = kernel.sample(posterior(), chains=7, draws=10, warmup=0, init=Y.expand(7, -1))
    assert draws.cost.log_prob >= 7 * 4 * 10

    half = targets.LogDensity(lambda x: torch.where(x[:, 0] > 0, -x.square().sum(1), torch.nan), 2, dtype=torch.float64)
    target = GivenMeasurements(half, torch.zeros(2).double(), ROUND)
    state = kernel.init(target, torch.ones(500, 2).double(), g)
    for _ in range(5):
        state, info = kernel.step(target, state, g)
        assert 0 < int(info.diverging.sum()) < 500
    assert bool((state.x[:, 0] > 0).all())

    with pytest.raises(TypeError, match="target: got .* expected a GivenMeasurements"):
        kernel.init(MIXTURE, Y[None], g)
    with pytest.raises(TypeError, match="expected a GivenMeasurements"):
        kernel.sample(MIXTURE, chains=2, draws=2, warmup=0)
    with pytest.raises(ValueError, match="candidates: got 1"):
        ResampledProposals(1)
    with pytest.raises(ValueError, match="local_steps: got 0"):
        ResampledProposals(local=MALA(), local_steps=0)
    with pytest.raises(TypeError, match="local: got str"):
        ResampledProposals(local="MALA")


# Where particles start, and what they are moved to


def rows(n, noise, seed=10):
    return MIXTURE.smoothed(noise).sample(n, generator=generator(seed))


@pytest.mark.parametrize("guide", [None, MIXTURE, FULL_MIXTURE, targets.Gaussian(Y, 0.7)])
@pytest.mark.parametrize("noise", [ROUND, DIAGONAL, CORRELATED], ids=["isotropic", "diagonal", "correlated"])
def test_the_base_is_normalised_and_has_its_score(guide, noise):
    y = rows(3, noise)
    base = RowBase(y, noise, guide, 16)
    line = torch.linspace(-15, 15, 501, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line).repeat(3, 1)
    mass = base.log_prob(grid).reshape(3, -1).exp().sum(1) * (line[1] - line[0]) ** 2
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=1e-9, atol=0)
    x = rows(12, noise, seed=11)
    for density in (base, RowPosterior(MIXTURE, y, noise)):
        value, score = density.log_prob_and_score(x)
        expected, gradient = targets.Target.log_prob_and_score(density, x)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(score, gradient)


@pytest.mark.parametrize("guide", [None, MIXTURE, targets.Gaussian(Y, 0.7)])
def test_draws_of_the_base_have_its_mean(guide):
    n, k = 4000, 16
    y = Y.expand(n, 2)
    x = RowBase(y, ROUND, guide, k).sample(n * k, generator=generator(12)).reshape(n, k, 2)
    line = torch.linspace(-15, 15, 501, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    weights = RowBase(Y[None], ROUND, guide, k).log_prob(grid).softmax(0)
    for function in (lambda x: x, lambda x: x.square(), lambda x: (x[..., :1] * x[..., 1:]).sin()):
        means = function(x).mean(1)
        error = means.std(0) / n**0.5
        assert bool(((means.mean(0) - weights @ function(grid)).abs() <= 4 * error + 1e-12).all())


@pytest.mark.parametrize("mixture", [MIXTURE, FULL_MIXTURE], ids=["scales", "covariances"])
@pytest.mark.parametrize("noise", [ROUND, DIAGONAL, CORRELATED], ids=["isotropic", "diagonal", "correlated"])
def test_draws_by_component_are_those_of_the_posterior(mixture, noise):
    g = generator(13)
    y = mixture.smoothed(noise).sample(20_000, generator=g)
    which = torch.multinomial(mixture.smoothed(noise).mode_probabilities(y), 1, generator=g)[:, 0]
    x, expected = posterior_draws(mixture, which, y, noise, g), mixture.sample_given(y, noise, generator=g)
    for name, function in {
        "x": lambda x: x[:, 0],
        "product": lambda x: x.prod(1),
        "y": lambda x: x[:, 1] * y[:, 1],
    }.items():
        found = two_sample(function(x), function(expected), name, g)
        assert min(found.values()) > 1e-5, found


def test_scores_give_the_local_width_and_not_the_distance_of_modes():
    far = targets.GaussianMixture(torch.tensor([[30.0, 0.0], [-30.0, 0.0]]).double(), scales=[[0.5, 2.0]] * 2)
    n = 20_000
    score = far.score(far.sample(n, generator=generator(14)))
    tuner = FisherTuner(HMC(), 2)
    tuner.look(score, torch.full((n,), 1 / n))
    error = 4 * (2 / n) ** 0.5  # of a mean of n squares, relative
    expected = torch.tensor([0.25, 4.0]).double()
    torch.testing.assert_close(tuner.tuned().inverse_mass_matrix.diagonal(), expected, rtol=error, atol=0)
    tuner.look(score * torch.tensor([1.0, 0.0]))
    assert tuner.tuned().inverse_mass_matrix == "identity"


# SMC inside

BARE = bare(MIXTURE)
LARGE = {}  # by guide: bound ones, of which one pilot run serves all noise
SMC_INSIDE = {
    "noise": InnerSMC(guide=None),
    "guide": InnerSMC(guide=targets.GaussianMixture(MIXTURE.modes + 0.3, scales=0.9)),
    "pilot": InnerSMC(),
}


@pytest.mark.parametrize("name", SMC_INSIDE)
def test_smc_is_exact_for_a_gaussian_with_diagonal_covariance(name):
    """Stein's control variate has no error left there, whatever the particles are."""
    target = targets.Gaussian(torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 2.0]).double())
    y = target.smoothed(DIAGONAL).sample(40, generator=generator(15))
    found = SMC_INSIDE[name].estimate(target, y, DIAGONAL, generator(16))
    torch.testing.assert_close(found.mean, ClosedForm().estimate(target, y, DIAGONAL).mean, rtol=0, atol=1e-9)
    assert float(found.error.max()) < 1e-9


@pytest.mark.parametrize("noise", [ROUND, CORRELATED], ids=["isotropic", "correlated"])
@pytest.mark.parametrize("name", SMC_INSIDE)
def test_smc_agrees_with_the_closed_form(name, noise):
    """Many rows of one y: their mean has a standard error of its own. With 256 particles the bias is far below it."""
    n, y = 200, Y.expand(200, 2)
    if name not in LARGE:
        LARGE[name] = InnerSMC(particles=256, guide=SMC_INSIDE[name].guide).bind(BARE, noise)
    denoiser = LARGE[name]
    exact = ClosedForm().estimate(MIXTURE, Y[None], noise)
    found = denoiser.estimate(BARE, y, noise, generator(17))
    error = found.mean.std(0) / n**0.5
    assert bool(((found.mean.mean(0) - exact.mean[0]).abs() <= 4 * error).all())
    ratio = (found.log_density - exact.log_density).exp()
    assert abs(float(ratio.mean()) - 1) <= 4 * float(ratio.std()) / n**0.5
    # the stated error is that of one row, and on the safe side: systematic draws vary less than independent ones
    assert float(found.error.square().mean().sqrt()) >= 0.8 * float(found.mean.var(0).mean().sqrt())
    assert bool(found.trusted.all())
    assert found.memory.shape == (n, 256, 2)
    assert float(found.ess.max()) <= 256


@pytest.mark.parametrize(
    "kernel", [MALA(), RandomWalkMetropolis(), HMC(0.3, steps=3), ResampledProposals(4)], ids=lambda k: type(k).__name__
)
def test_smc_takes_any_exact_kernel(kernel):
    if isinstance(kernel, ResampledProposals):
        with pytest.raises(TypeError, match="expected a GivenMeasurements"):
            InnerSMC(kernel=kernel, guide=None).estimate(MIXTURE, Y[None], ROUND, generator(1))
        return
    n, y = 200, Y.expand(200, 2)
    found = InnerSMC(particles=256, guide=None, kernel=kernel).estimate(MIXTURE, y, ROUND, generator(2))
    exact = ClosedForm().estimate(MIXTURE, Y[None], ROUND)
    error = found.mean.std(0) / n**0.5
    assert bool(((found.mean.mean(0) - exact.mean[0]).abs() <= 4 * error).all())


def test_smc_stays_in_the_dtype_of_its_target():
    single = MIXTURE.to(dtype=torch.float32)
    found = InnerSMC().estimate(single, Y[None].float(), ROUND, generator(3))
    assert {found.mean.dtype, found.error.dtype, found.log_density.dtype, found.memory.dtype} == {torch.float32}


@pytest.mark.parametrize("guide", [None, targets.GaussianMixture(MIXTURE.modes + 0.3, scales=0.9)])
def test_smc_with_nothing_adapted_is_unbiased_for_the_density(guide):
    n = 4000
    y, exact = rows(n, ROUND, 18), MIXTURE.smoothed(ROUND)
    denoiser = InnerSMC(particles=8, betas=3, kernel=HMC(0.4, "identity", steps=2), guide=guide)
    found = denoiser.estimate(MIXTURE, y, ROUND, generator(19))
    ratio = (found.log_density - exact.log_prob(y)).exp()
    assert abs(float(ratio.mean()) - 1) <= 4 * float(ratio.std()) / n**0.5
    assert float((ratio.log()).mean()) < 0  # and so biased low for its logarithm


@pytest.mark.parametrize("name", ["noise", "guide"])
def test_draws_of_smc_have_the_law_of_x_given_y(name):
    n = 2000
    denoiser = InnerSMC(particles=64, guide=SMC_INSIDE[name].guide)
    y = rows(n, ROUND, 20)
    x = denoiser.draw(MIXTURE, y, ROUND, generator(21))
    expected = MIXTURE.sample_given(y, ROUND, generator=generator(22))
    for name_, function in {"x": lambda x: x[:, 0], "x y": lambda x: (x * y).sum(1)}.items():
        found = two_sample(function(x), function(expected), name_, generator(23))
        assert min(found.values()) > 1e-5, found


@pytest.mark.slow
def test_a_guide_saves_evaluations_and_error_in_eight_dimensions():
    """Two Gaussians six apart in each coordinate: near N(y, C) no particle is where gamma is."""
    d, n = 8, 300
    means = 3 * torch.ones(d, dtype=torch.float64)
    target = targets.GaussianMixture(torch.stack([means, -means]), scales=1.0, weights=[0.8, 0.2])
    noise = IsotropicNoise((9 * d - 1) ** 0.5)
    y = target.smoothed(noise).sample(n, generator=generator(24))
    exact = ClosedForm().estimate(target, y, noise).mean
    root_mean_square, cost = {}, {}
    for name, guide in {"noise": None, "pilot": "pilot"}.items():
        counted = Counted(bare(target))
        denoiser = InnerSMC(guide=guide).bind(counted, noise)  # the pilot is paid for once
        counted.tally.clear()
        found = denoiser.estimate(counted, y, noise, generator(26))
        root_mean_square[name] = float((found.mean - exact).square().mean().sqrt())
        cost[name] = counted.scores / n
        assert bool(found.trusted.all())
    draws = [target.sample_given(y, noise, generator=generator(27 + k)) for k in range(32)]
    independent = float((torch.stack(draws).var(0) / 32).mean().sqrt())
    assert root_mean_square["pilot"] < independent < root_mean_square["noise"]
    assert cost["pilot"] < cost["noise"] / 3


def test_smc_that_lost_its_particles_is_not_trusted():
    d = 8
    target = targets.Gaussian(torch.full((d,), 5.0, dtype=torch.float64), 0.1)
    found = InnerSMC(guide=None, betas=1).estimate(
        target, torch.zeros(10, d).double(), IsotropicNoise(3.0), generator(28)
    )
    assert not bool(found.trusted.any())


def test_smc_has_one_outcome_a_seed_and_leaves_the_pilot_out_of_it():
    y, outcomes = rows(5, ROUND), []
    for denoiser in (InnerSMC(), InnerSMC().bind(MIXTURE, ROUND)):  # the pilot runs in the call, and before it
        g = generator(29)
        outcomes.append((denoiser.estimate(MIXTURE, y, ROUND, g).mean, g.get_state()))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert torch.equal(outcomes[0][1], outcomes[1][1])


@pytest.mark.slow
def test_the_guide_of_a_funnel_knows_its_smoothing():
    """The pilot's base is in non-centred coordinates there, and the smoothing of that law is not known."""
    funnel = bare(targets.benchmark("funnel10-std1"))
    denoiser = InnerSMC().bind(funnel, IsotropicNoise(1.0))
    guide = denoiser.found(funnel, IsotropicNoise(0.5)).law
    assert {"smoothed", "sample_given"} <= guide.known
    value, error = denoiser.pilot_log_z
    assert abs(value) < 5 * error < 1


def test_smc_names_what_is_wrong():
    with pytest.raises(ValueError, match="particles: got 3"):
        InnerSMC(particles=3)
    with pytest.raises(ValueError, match="moves: got 0"):
        InnerSMC(moves=0)
    with pytest.raises(ValueError, match="conditional_ess: got 1"):
        InnerSMC(conditional_ess=1)
    with pytest.raises(ValueError, match="floor: got 100"):
        InnerSMC(floor=100)
    with pytest.raises(ValueError, match="kernel: ULA is biased"):
        InnerSMC(kernel=ULA(0.1))
    with pytest.raises(TypeError, match="kernel: got the class HMC"):
        InnerSMC(kernel=HMC)
    with pytest.raises(TypeError, match="guide: got 'mixture'"):
        InnerSMC(guide="mixture")
    with pytest.raises(ValueError, match="guide: .* does not know its sample_given and its smoothed"):
        InnerSMC(guide=targets.Funnel(3))
    with pytest.raises(ValueError, match="betas: got"):
        InnerSMC(betas=[0, 0.5])
    with pytest.raises(ValueError, match="guide: got dim 2, expected 3"):
        InnerSMC(guide=MIXTURE).check(targets.Funnel(3), ROUND)
    with pytest.raises(TypeError, match="is discrete"):
        InnerSMC().check(targets.Ising((3, 3), coupling=0.2), ROUND)


# Chains inside


@pytest.mark.parametrize("kernel", [None, HMC(steps=2), MALA(0.1, "identity")])
def test_chains_are_exact_for_a_gaussian_with_diagonal_covariance(kernel):
    target = targets.Gaussian(torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 2.0]).double())
    y = target.smoothed(DIAGONAL).sample(40, generator=generator(30))
    found = InnerChains(first=2, kernel=kernel).estimate(target, y, DIAGONAL, generator(31))
    torch.testing.assert_close(found.mean, ClosedForm().estimate(target, y, DIAGONAL).mean, rtol=0, atol=1e-9)


LOGISTIC = targets.LogDensity(
    lambda x: 3 * torch.nn.functional.logsigmoid(2 * x[:, 0]) - 0.1 * x[:, 0], 1, dtype=torch.float64
)


def logistic_mean(y, sigma):
    x = torch.linspace(y - 12 * sigma, y + 12 * sigma, 20_001, dtype=torch.float64)
    return float(((LOGISTIC.log_prob(x[:, None]) - 0.5 * ((x - y) / sigma) ** 2).softmax(0) * x).sum())


CORRELATED_GAUSSIAN = targets.Gaussian(Y, covariance=torch.tensor([[1.0, 0.8], [0.8, 1.5]]).double())
LOG_CONCAVE = {
    "correlated Gaussian": (
        CORRELATED_GAUSSIAN,
        CORRELATED,
        [ClosedForm().estimate(CORRELATED_GAUSSIAN, Y[None] + s, CORRELATED).mean[0] for s in (1.0, 1.5)],
        [Y + 1.0, Y + 1.5],
    ),
    "logistic": (
        LOGISTIC,
        IsotropicNoise(1.5),
        [torch.tensor([logistic_mean(v, 1.5)]).double() for v in (-1.0, -0.5)],
        [torch.tensor([v]).double() for v in (-1.0, -0.5)],
    ),
    "mixture, little noise": (
        MIXTURE,
        IsotropicNoise(0.3),
        [ClosedForm().estimate(MIXTURE, Y[None] + s, IsotropicNoise(0.3)).mean[0] for s in (1.0, 1.1)],
        [Y + 1.0, Y + 1.1],
    ),
}


@pytest.mark.parametrize("name", LOG_CONCAVE)
def test_chains_agree_where_the_posterior_has_one_mode(name):
    """Many rows of one y, at a first call and again where y has moved."""
    target, noise, means, points = LOG_CONCAVE[name]
    n, g, memory = 400, generator(32), None
    denoiser = InnerChains(first=10)
    for expected, y in zip(means, points, strict=True):
        counted = Counted(target)
        found = denoiser.estimate(counted, y.expand(n, -1), noise, g, memory)
        steps = 32 * (10 if memory is None else 1)
        assert counted.scores == n * 4 * (steps + 1)
        memory = found.memory
        error = found.mean.std(0) / n**0.5
        assert bool(((found.mean.mean(0) - expected).abs() <= 4 * error).all())
    # variances between four chains, in the mean over the rows, are unbiased up to what chains remember of their start
    assert 0.7 < float(found.error.square().mean() / found.mean.var(0).mean()) < 1.4
    assert float(found.ess.mean()) > 4


def test_draws_of_chains_have_the_law_of_x_given_y():
    n, noise = 4000, IsotropicNoise(0.6)
    target = targets.Gaussian(Y, covariance=torch.tensor([[1.0, 0.8], [0.8, 1.5]]).double())
    y, g = target.smoothed(noise).sample(n, generator=generator(33)), generator(34)
    x = InnerChains(chains=2, first=4).draw(target, y, noise, g)
    expected = target.sample_given(y, noise, generator=g)
    for name, function in {"x": lambda x: x[:, 0], "x y": lambda x: (x * y).sum(1)}.items():
        found = two_sample(function(x), function(expected), name, g)
        assert min(found.values()) > 1e-5, found


def test_chains_in_different_modes_say_so():
    means = 8 * torch.ones(2, dtype=torch.float64)
    target = targets.GaussianMixture(torch.stack([means, -means]), scales=0.5)
    noise, y = IsotropicNoise(20.0), torch.zeros(200, 2).double()
    found = InnerChains(floor=8.0).estimate(target, y, noise, generator(35))
    side = found.memory[..., 0] > 0
    apart = side.any(1) & ~side.all(1)
    assert 20 < int(apart.sum()) < 200
    assert float(found.ess[apart].max()) < 8 < float(found.ess[~apart].min())
    assert torch.equal(found.trusted, ~apart)
    assert bool((found.error[apart] > 1).all())


def test_chains_name_what_is_wrong():
    with pytest.raises(ValueError, match="chains: got 1"):
        InnerChains(chains=1)
    with pytest.raises(ValueError, match="steps: got 1"):
        InnerChains(steps=1)
    with pytest.raises(ValueError, match="first: got 0"):
        InnerChains(first=0)
    with pytest.raises(ValueError, match="floor: got 0"):
        InnerChains(floor=0)
    with pytest.raises(TypeError, match="kernel: got str"):
        InnerChains(kernel="MALA")
    with pytest.raises(ValueError, match=r"memory: got shape \(3, 2, 2\), expected \(3, 4, 2\)"):
        InnerChains().estimate(MIXTURE, Y.expand(3, 2), ROUND, generator(36), torch.zeros(3, 2, 2).double())
    with pytest.raises(TypeError, match="is discrete"):
        InnerChains().check(targets.Ising((3, 3), coupling=0.2), ROUND)


def test_chains_that_stand_still_do_not_spoil_the_mean():
    """Scores of -exp(x) have no bound: a chain that cannot leave must not be corrected by them."""
    target = targets.LogExponential(10, dtype=torch.float64)
    generator, noise = torch.Generator().manual_seed(0), targets.IsotropicNoise(1.0)
    x = target.sample(1000, generator=generator)
    y = x + noise.sample_like(x, generator)
    few = InnerChains(2, 8, first=8)
    found = few.estimate(target, y, noise, generator, few.estimate(target, y, noise, generator).memory)
    grid = torch.linspace(-14, 6, 2001, dtype=torch.float64)
    log_weights = grid - grid.exp() - 0.5 * (grid - y[..., None]).square()
    weights = log_weights.softmax(-1)
    mean = (weights * grid).sum(-1)
    sd = ((weights * grid.square()).sum(-1) - mean.square()).sqrt()
    off = (found.mean - mean) / sd
    assert float(off.square().mean().sqrt()) < 0.5  # 0.6 for the plain mean of these states
    assert float(off.abs().max()) < 20  # 109 with a slope for each row from its other chain
