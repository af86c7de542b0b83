"""The base that a pilot run finds, the mixture behind it, and the paths from priors."""

import pytest
import torch
from kernel_cases import funnel_coordinates

import targets
from samplers import HMC, SMC
from samplers.annealing import GeometricPath
from samplers.annealing.mixture_fit import fit_gaussian, fit_mixture, halves
from samplers.annealing.noncentred import NonCentredDensity
from samplers.annealing.paths import PriorPath
from samplers.annealing.pilot import base, find_base, found as particles, rounds as pilot
from samplers.kernels import RegionalHMC
from samplers.kernels.noncentring import NonCentring
from samplers.scouts.reach import reach
from targets.base import differentiate

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


def exact_base(target, n, generator):
    """The base for exact draws of a target."""
    x = target.sample(n, generator=generator)
    return base.fitted_base(x, torch.arange(n), target.log_prob(x), True, target, generator)


def test_a_funnel_gets_the_coordinates_that_make_it_gaussian(generator):
    target = targets.Funnel(6, 3.0, dtype=torch.float64)
    base = exact_base(target, 1000, generator)
    found = base.coordinates
    assert found is not None
    # x_i = exp(v / 2) y_i; the error of a slope is 1 / sqrt(2 n) over the deviation of v
    torch.testing.assert_close(found.log_scales[1:, 0], torch.full((5,), 0.5).double(), rtol=0, atol=5 / 3 / 2000**0.5)
    assert float(found.log_scale[1:].abs().max()) < 5 / 2000**0.5
    assert not bool(found.log_scales[0].any())
    x = target.sample(4000, generator=generator)
    gap = target.log_prob(x) - base.density.log_prob(x)
    assert float(gap.mean()) < 0.15  # KL(target | base), of the widened base; of the best mixture it is above 0.3
    torch.testing.assert_close(found.to_x(found.to_y(x)), x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["gmm9-unequal", "two-modes-d32"])
def test_a_target_that_a_mixture_fits_keeps_its_coordinates(name, generator):
    assert exact_base(targets.benchmark(name, dtype=torch.float64), 1000, generator).coordinates is None


def test_a_density_in_other_coordinates_is_normalised_and_has_its_score(generator):
    inner = targets.GaussianMixture(CENTRES[:2] / 4, scales=[0.5, 1.0], weights=[0.5, 0.5])
    density = NonCentredDensity(inner, funnel_coordinates())
    axis = torch.linspace(-15, 15, 1501, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    assert float(density.log_prob(grid).exp().sum() * 0.02**2) == pytest.approx(1, abs=1e-6)
    x = density.sample(50, generator=generator)
    value, score = density.log_prob_and_score(x)
    torch.testing.assert_close(value, density.log_prob(x))
    torch.testing.assert_close(score, differentiate(density.log_prob, x, "")[1])
    y = density.coordinates.to_y(x)
    there = torch.func.jacrev(density.coordinates.to_x)(y[0])
    torch.testing.assert_close(density.coordinates.log_det(x)[0], torch.linalg.slogdet(there)[1])
    moved = density.to(dtype=torch.float32)
    torch.testing.assert_close(moved.log_prob(x.float()), value.float(), rtol=1e-4, atol=1e-4)


def test_coordinates_of_a_coordinate_that_has_a_row_of_its_own_are_refused():
    matrix = torch.zeros(2, 2)
    matrix[0, 1] = matrix[1, 0] = 1.0
    with pytest.raises(ValueError, match="expected roots alone"):
        NonCentring(torch.zeros(2), matrix, torch.zeros(2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="got shapes"):
        NonCentring(torch.zeros(2), matrix, torch.zeros(3), torch.zeros(2, 2))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_default_smc_in_the_neck_and_the_mouth_of_a_funnel(seed):
    target = targets.benchmark("funnel10-std3")
    draws = SMC().sample(target, draws=4096, seed=seed)
    assert abs(draws.log_z.value) < 5 * draws.log_z.standard_error
    assert draws.log_z.standard_error < 0.02
    v = draws.x[0, :, 0].double()
    for share in (0.01, 0.05, 0.5, 0.95, 0.99):
        quantile = 3 * torch.special.ndtri(torch.tensor(share)).item()
        assert abs(float((v < quantile).double().mean()) - share) < 5 * (share * (1 - share) / 4096) ** 0.5
    assert float(v.std()) == pytest.approx(3, rel=5 / (2 * 4096) ** 0.5)


def test_default_smc_on_nine_modes():
    draws = SMC().sample(targets.benchmark("gmm9"), draws=1000, seed=0)
    assert abs(draws.log_z.value) < 4 * draws.log_z.standard_error
    assert all(isinstance(kernel, RegionalHMC) for kernel in draws.kernel.kernel)


@pytest.mark.slow
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
    monkeypatch.setattr(particles, "variance", lambda run: variance)
    assert find_base(SMC(), targets.Gaussian(torch.ones(2), 2.0), None, generator).agreed
    assert annealed.count(pilot.PARTICLES) == rounds
