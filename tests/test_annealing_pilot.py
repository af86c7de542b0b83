"""The base that a pilot run finds, the mixture behind it, and the paths from priors."""

import pytest
import torch

import targets
from samplers import HMC, SMC
from samplers.annealing import GeometricPath, pilot
from samplers.annealing.mixture_fit import fit_gaussian, fit_mixture, halves
from samplers.annealing.paths import PriorPath
from samplers.annealing.pilot import find_base, reach
from samplers.kernels import RegionalHMC

CENTRES = torch.tensor([[-4.0, 0.0], [3.0, 3.0], [0.0, -5.0]], dtype=torch.float64)


def test_the_mixture_has_the_components_that_the_points_come_from(generator):
    truth = targets.GaussianMixture(CENTRES, scales=[0.5, 1.0, 0.3], weights=[0.5, 0.3, 0.2])
    x = truth.sample(2000, generator=generator)
    fit, held_out = fit_mixture(x, halves(torch.arange(2000), generator), generator)
    entropy = -float(truth.log_prob(x).mean())
    error = float(truth.log_prob(x).std()) / 1000**0.5  # of a mean over half of the points
    assert abs(held_out + entropy) < 4 * error
    order = fit.weights.argsort(descending=True)[:3]
    torch.testing.assert_close(fit.means[order], CENTRES, atol=0.15, rtol=0)


def test_points_of_one_family_cannot_vouch_for_each_other(generator):
    """A thousand copies of ten points look like ten components, unless families are held out together."""
    seeds = torch.randn(10, 3, generator=generator, dtype=torch.float64)
    families = torch.arange(10).repeat(100)
    x = seeds[families] + 1e-3 * torch.randn(1000, 3, generator=generator, dtype=torch.float64)
    fit, _ = fit_mixture(x, halves(families, generator), generator)
    blind, _ = fit_mixture(x, halves(torch.arange(1000), generator), generator)
    assert len(fit.weights) < 5 < len(blind.weights)


def test_one_gaussian_has_the_points_moments(generator):
    x = torch.randn(200, 3, generator=generator, dtype=torch.float64) @ torch.randn(3, 3, generator=generator).double()
    fit = fit_gaussian(x)
    torch.testing.assert_close(fit.covariances[0], x.mT.cov())
    exact = torch.distributions.MultivariateNormal(x.mean(0), x.mT.cov()).log_prob(x)
    torch.testing.assert_close(fit.log_prob(x), exact)


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_the_reach_follows_the_scale(scale, generator):
    found = reach(targets.Gaussian(torch.zeros(5), scale), generator)
    assert scale < found < 3 * scale


@pytest.mark.parametrize("beyond", [torch.inf, torch.nan])
def test_the_reach_passes_over_what_is_undefined(beyond, generator):
    state = generator.get_state()
    plain = reach(targets.Gaussian(torch.zeros(2), 1.0), generator)

    def broken(x):
        return torch.where(x.norm(dim=-1) > 400, beyond, -0.5 * x.square().sum(-1))

    generator.set_state(state)
    assert reach(targets.LogDensity(broken, 2), generator) == plain
    with pytest.raises(ValueError, match="nowhere finite"):
        reach(targets.LogDensity(lambda x: torch.full_like(x[..., 0], beyond), 2), generator)


def test_nine_modes_are_found_and_become_regions(generator):
    target = targets.benchmark("gmm9")
    base = find_base(SMC(), target, None, generator)
    assert len(base.regions.mode_weights) >= 9
    nearest = torch.cdist(target.modes, base.regions.modes).amin(1)
    assert float(nearest.max()) < 0.5


def test_default_smc_on_nine_modes():
    draws = SMC().sample(targets.benchmark("gmm9"), draws=1000, seed=0)
    assert abs(draws.log_z.value) < 4 * draws.log_z.standard_error
    assert all(isinstance(kernel, RegionalHMC) for kernel in draws.kernel.kernel)


def test_a_posterior_from_its_prior_and_from_a_pilot():
    target = targets.benchmark("eight-schools")
    from_prior = SMC().sample(target, draws=500, seed=0).log_z
    from_pilot = SMC(base="pilot").sample(target, draws=500, seed=0).log_z
    for found in (from_prior, from_pilot):
        assert abs(found.value - target.log_z) < 4 * found.standard_error


def test_the_prior_path_is_the_geometric_path_from_the_prior(generator):
    x = torch.randn(100, 3, generator=generator, dtype=torch.float64)
    target = targets.LogisticRegression(x, (x[:, 0] > 0).double(), prior_scale=1.0)
    short, full = PriorPath(target), GeometricPath(target.prior, target)
    for beta in (0.0, 0.3, 1.0):
        one, other = (path.at(beta).log_prob_and_score(x) for path in (short, full))
        torch.testing.assert_close(one, other)
    kernel = HMC(0.1, "identity", steps=1)
    states = [kernel.init(path.at(0.3), x, generator) for path in (short, full)]
    for path, state in zip((short, full), states, strict=True):
        torch.testing.assert_close(
            path.increments(state, 0.3)(0.8), path.at(0.8).log_prob(x) - path.at(0.3).log_prob(x)
        )
        torch.testing.assert_close(path.moved(state, 0.8, kernel, generator).score, path.at(0.8).score(x))


@pytest.mark.parametrize("base", ["wide", 3.0])
def test_a_base_that_is_none_is_refused(base):
    with pytest.raises(TypeError, match="base: got .*, expected a targets.Target, 'pilot' or None"):
        SMC(base=base)


@pytest.mark.parametrize(("variance", "rounds"), [(0.0, 1), (1.0, 2)])
def test_a_first_cloud_that_is_unsure_cannot_bear_out_a_round(variance, rounds, monkeypatch, generator):
    annealed = []

    def counted(sampler, target, base, n, *rest, plain=pilot._anneal):
        annealed.append(n)
        return plain(sampler, target, base, n, *rest)

    monkeypatch.setattr(pilot, "_anneal", counted)
    monkeypatch.setattr(pilot, "_variance", lambda run: variance)
    assert find_base(SMC(), targets.Gaussian(torch.ones(2), 2.0), None, generator).agreed
    assert annealed.count(pilot.PARTICLES) == rounds
