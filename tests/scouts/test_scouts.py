"""Scouts: the masses of the regions that they find, what draws lack of them, and what a pilot makes of it."""

import math

import pytest
import torch
from scipy.stats import binom, chi2, norm
from scout_cases import Hidden, bent, far_and_narrow, gaussians, wide_and_narrow

import targets
from samplers import SMC, Draws, SamplingWarning
from samplers.annealing.mixture_fit import Fit, fit_mixture, reweighted
from samplers.annealing.pilot.scouting import missed
from samplers.diffusion.mixture_refinement import _Components
from samplers.scouts import fan as fans
from samplers.scouts.bridge import bridge
from samplers.scouts.fan import fan, paths_for
from samplers.scouts.regions import INSIDE, curvature, distinct, inside, measured
from samplers.scouts.sample import Sample
from samplers.scouts.scan import peaks
from samplers.scouts.search import Search, hidden, search
from samplers.scouts.unseen import unseen

DOUBLE = torch.float64
FALSE_ALARM = 1e-6


def around(target, mean, factor, n, generator):
    return measured(target, mean[None], factor[None], torch.ones(1), n, generator)


def normal_error(values, truth):
    return float((values.mean() - truth) / values.std() * len(values) ** 0.5)


def test_a_gaussian_s_own_region_has_nine_tenths_of_its_mass(generator):
    factor = torch.randn(5, 5, generator=generator, dtype=DOUBLE).tril() + 3 * torch.eye(5, dtype=DOUBLE)
    mean = torch.arange(5.0, dtype=DOUBLE)
    target = targets.Gaussian(mean, covariance=factor @ factor.mT)
    found = around(target, mean, factor * factor.diagonal().sign(), 20, generator)
    assert float(found.log_mass) == pytest.approx(math.log(INSIDE) + target.log_z, abs=1e-9)
    assert float(found.error) < 1e-9


def test_the_share_of_draws_within_is_binomial(generator):
    target = targets.Gaussian(torch.zeros(7, dtype=DOUBLE), 2.0)
    x = target.sample(10_000, generator=generator)
    count = int(inside(x, torch.zeros(1, 7, dtype=DOUBLE), 2 * torch.eye(7, dtype=DOUBLE)[None]).sum())
    low, high = binom.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], 10_000, INSIDE)
    assert low <= count <= high


def test_masses_are_unbiased_whatever_the_shape(generator):
    """Of a bent density in a region that is too wide along one axis and too narrow along the other."""
    target = targets.benchmark("banana").to(dtype=DOUBLE)
    mean, factor = torch.tensor([2.0, -1.0], dtype=DOUBLE), torch.diag(torch.tensor([14.0, 0.6], dtype=DOUBLE))
    sides = torch.linspace(-2.2, 2.2, 1201, dtype=DOUBLE)
    z = torch.cartesian_prod(sides, sides)
    held = inside(mean + z @ factor, mean[None], factor[None])[:, 0]
    cell = float(sides[1] - sides[0]) ** 2 * float(factor.diagonal().prod())
    exact = float(target.log_prob(mean + z[held] @ factor).exp().sum()) * cell
    found = measured(
        target, mean.expand(2000, -1), factor.expand(2000, -1, -1), torch.ones(2000), 8, generator
    ).log_mass.exp()
    assert abs(normal_error(found, exact)) < norm.isf(FALSE_ALARM / 2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_the_curvature_is_the_precision_at_every_scale(scale, dtype):
    covariance = scale**2 * torch.tensor([[2.0, 0.7], [0.7, 1.0]], dtype=DOUBLE)
    target = targets.Gaussian(torch.zeros(2, dtype=dtype), covariance=covariance.to(dtype))
    spread = torch.full((1, 2), scale, dtype=DOUBLE)
    factor, peaked = curvature(target, 0.1 * spread, spread)
    assert bool(peaked)
    torch.testing.assert_close(factor[0] @ factor[0].mT, covariance, rtol=1e-3, atol=0)


def test_where_a_density_is_not_peaked_there_is_no_curvature():
    target = targets.LogDensity(lambda x: x[..., 0].square() - x[..., 1].square(), 2, dtype=DOUBLE)
    _, peaked = curvature(target, torch.zeros(1, 2, dtype=DOUBLE), torch.ones(1, 2, dtype=DOUBLE))
    assert not bool(peaked)


def test_ends_in_one_ellipsoid_are_captures_of_it():
    means = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0], [0.0, 0.2], [5.0, 5.0]], dtype=DOUBLE)
    value = torch.tensor([1.0, 2.0, 0.0, 0.5, -50.0], dtype=DOUBLE)
    index, captures = distinct(means, torch.eye(2, dtype=DOUBLE).expand(5, 2, 2), value, least=-10.0, most=9)
    assert index.tolist() == [1, 2]
    assert captures.tolist() == [3, 1]


@pytest.mark.parametrize("make", [far_and_narrow, wide_and_narrow])
def test_narrow_modes_are_found_with_their_masses(make, generator):
    target = make()
    found = search(Hidden(target), None, generator, fans=2)
    at = torch.cdist(target.modes, found.means).argmin(1)
    torch.testing.assert_close(found.means[at], target.modes, atol=0.01, rtol=0)
    torch.testing.assert_close(found.log_mass[at].exp(), INSIDE * target.mode_weights, rtol=0.02, atol=0)


@pytest.mark.parametrize("sd", [0.01, 0.001])
@pytest.mark.parametrize("seed", range(3))
def test_a_very_narrow_mode_of_one_variable_is_found(sd, seed):
    """In whose basin no path starts by chance."""
    target = gaussians([[0.0], [20.0]], [1.0, sd], [0.5, 0.5])
    found = search(Hidden(target), None, torch.Generator().manual_seed(seed))
    at = torch.cdist(target.modes, found.means).argmin(1)
    torch.testing.assert_close(found.log_mass[at].exp(), INSIDE * target.mode_weights, rtol=0.05, atol=0)


def test_peaks_of_a_line_are_its_modes(generator):
    modes = torch.tensor([[-3.0], [0.0], [40.0]], dtype=DOUBLE)
    target = targets.GaussianMixture(modes, scales=torch.tensor([0.1, 1.0, 0.5], dtype=DOUBLE))
    found = peaks(Hidden(target), 0.0, 1.0, generator)
    torch.testing.assert_close(found.sort(0).values, modes, atol=0.1, rtol=0)


def test_a_point_between_two_of_no_mass_is_a_peak(generator):
    def log_prob(x):
        inside = (x[:, 0].abs() < 1) | ((x[:, 0] - 10).abs() < 0.003)
        return torch.where(inside, -x[:, 0].square() / 200, torch.where(x[:, 0] > 20, torch.nan, -torch.inf))

    found = peaks(targets.LogDensity(log_prob, 1, dtype=DOUBLE), 0.5, 1.0, generator)
    assert ((found - 10).abs() < 0.003).any()
    assert found.isfinite().all()
    assert (found < 20).all()


def test_forty_modes_in_fifty_dimensions_are_found(generator):
    target = targets.benchmark("gmm40-jax-d50")
    sent = Search(Hidden(target), None, generator)
    for _ in range(12):
        sent.send()
    found = sent.regions
    near = target.mode_probabilities(found.means.to(target.dtype)).argmax(1)
    assert len(near.unique()) == 40
    assert float(found.captures.double().mean()) > 6


@pytest.fixture
def starts(monkeypatch):
    """Where the paths of every half of a fan start."""
    found = []

    def seen(target, x, *args, plain=fans.local_gaussians):
        found.append(x)
        return plain(target, x, *args)

    monkeypatch.setattr(fans, "local_gaussians", seen)
    return found


def test_fans_share_no_start(starts, generator):
    """A scout that is fed from another would be no witness of its own."""
    search(Hidden(targets.benchmark("gmm9")), None, generator, fans=2)
    first = torch.cat(starts[::2])  # around the origin, of one fan after the other
    assert len(first) == 2 * (paths_for(2) // 2)
    assert len(first.unique(dim=0)) == len(first)


def test_paths_start_from_the_prior_where_there_is_one(starts, generator):
    prior = targets.Gaussian(torch.full((2,), 3.0), 0.1)
    fan(targets.benchmark("gmm9"), prior, math.nan, generator)
    assert float((starts[0] - 3).abs().max()) < 1, starts[0]


def test_no_fan_where_covariances_do_not_fit():
    assert paths_for(2) == 256
    assert paths_for(362) == 64
    assert paths_for(2000) == 0
    assert search(targets.Gaussian(torch.zeros(2000), 1.0), None, torch.Generator()) is None


@pytest.mark.parametrize("make", [far_and_narrow, wide_and_narrow, lambda: targets.benchmark("gmm9")])
def test_exact_draws_lack_nothing(make):
    target = make()
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        regions = search(Hidden(target), None, generator)
        x = target.sample(1000, generator=generator)
        assert len(unseen(regions, target, Sample.of(x), target.log_z, 0.0, generator)) == 0


def test_a_mode_without_draws_is_missed_by_its_mass(generator):
    target = wide_and_narrow()
    regions = search(Hidden(target), None, generator)
    x = target.sample(4000, generator=generator)
    x = x[x[:, 0] < 0]
    found = unseen(regions, target, Sample.of(x), math.log(0.764), 0.0, generator)
    assert found.total == pytest.approx(INSIDE * 0.236 / 0.764, rel=0.02)
    assert "mass is missed" in found.said(-0.27)
    assert "x = (2.5, " in found.said(-0.27)
    drawn = found.draws(100, generator)
    assert float((drawn[:, 0] - 2.5).abs().max()) < 2


@pytest.mark.parametrize("n", [20, 500])
def test_few_points_in_one_of_many_modes_miss_the_others(n, generator):
    """Too few for a region's lack to be certain, and enough to know that more fans pay."""
    means = 20 * torch.randn(40, 8, generator=generator, dtype=DOUBLE)
    target = targets.GaussianMixture(means, scales=1.0)
    factors = torch.eye(8, dtype=DOUBLE).expand(40, 8, 8)
    found = measured(target, means, factors, torch.ones(40, dtype=torch.long), 32, generator)
    one = target.sample(n, generator=generator) * 0.0 + means[0]
    assert missed(found, one) > 0.1
    assert missed(found, target.sample(n, generator=generator)) < 0.02
    assert missed(found, one + 1e3) == 1.0


def test_weights_that_were_truncated_are_missed_too(generator):
    """Draws of a flattened law, right by their weights; with the large ones cut off they are wrong, and said to be."""
    target = far_and_narrow()
    regions = search(Hidden(target), None, generator)
    flat = gaussians([[0.0], [20.0]], [1.0, 0.1], [0.97, 0.03])
    x = flat.sample(20_000, generator=generator)
    weights = target.log_prob(x) - flat.log_prob(x)
    assert len(unseen(regions, target, Sample.of(x, weights), 0.0, 0.0, generator)) == 0
    cut = weights.clamp_max(0.0)
    log_z = float(cut.logsumexp(0)) - math.log(len(cut))
    assert unseen(regions, target, Sample.of(x, cut), log_z, 0.0, generator).total > 0.4


def test_what_overlaps_with_a_surer_region_hides_nothing(generator):
    """A second end on the flank of one mode is no sign of modes that no path has entered."""
    target = targets.Gaussian(torch.zeros(1, dtype=DOUBLE), 1.0)
    means, factors = torch.tensor([[0.0], [0.4]]).double(), torch.tensor([[[1.0]], [[0.8]]]).double()
    found = measured(target, means, factors, torch.tensor([200, 1]), 1000, generator)
    beyond = norm.cdf(0.4 + 0.8 * 1.6449) - norm.cdf(1.6449)
    assert hidden(found) == pytest.approx(beyond * math.exp(-0.5) / (INSIDE + beyond), rel=0.3)


def test_known_components_take_weights_from_points(generator):
    target = gaussians([[0.0], [20.0]], [1.0, 0.1], [0.9, 0.1])
    x = target.sample(5000, generator=generator)
    known = Fit(
        torch.tensor([0.5, 0.5]).double(),
        torch.tensor([[0.0], [20.0]]).double(),
        torch.tensor([[1.0], [0.01]]).double(),
    )
    share = float(reweighted(known, x).weights[1])
    assert abs(share - 0.1) < 5 * math.sqrt(0.09 / 5000)


def test_known_components_are_taken_where_they_do_better(generator):
    """Than any mixture fitted to points that are few for their modes, though worse than `enough`."""
    means = 20 * torch.randn(40, 50, generator=generator, dtype=DOUBLE)
    known = Fit(torch.full((40,), 1 / 40).double(), means, torch.ones(40, 50).double())
    x = targets.GaussianMixture(means, scales=1.0).sample(300, generator=generator)
    side = torch.arange(300) % 2 == 0
    found, value = fit_mixture(x, side, generator, known, enough=math.inf)
    assert found.means is means
    assert value == float(reweighted(known, x[side]).log_prob(x[~side]).mean())
    assert value > fit_mixture(x, side, generator)[1]


@pytest.mark.parametrize("make", [far_and_narrow, wide_and_narrow])
def test_smc_finds_narrow_modes_by_itself(make):
    draws = SMC().sample(Hidden(make()), draws=2000, seed=0)
    assert abs(draws.log_z.value) < 4 * draws.log_z.standard_error


def test_smc_says_so_where_its_pilot_missed_a_mode(monkeypatch):
    monkeypatch.setattr("samplers.annealing.pilot.scouting.Scouts.look", lambda *_: None)
    with pytest.warns(SamplingWarning, match=r"mass is missed: .* around x = \(20\)\. log Z is at least"):
        draws = SMC().sample(Hidden(far_and_narrow()), draws=1000, seed=0)
    assert draws.log_z.value < -0.6


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_smc_finds_forty_modes_in_fifty_dimensions(seed):
    target = targets.benchmark("gmm40-jax-d50")
    draws = SMC().sample(Hidden(target), seed=seed)
    assert abs(draws.log_z.value - target.log_z) < 0.1
    assert abs(draws.log_z.value - target.log_z) < 4 * draws.log_z.standard_error
    x = draws.resample(4000, generator=torch.Generator().manual_seed(0))
    assert int((target.mode_probabilities(x).mean(0) > 0.005).sum()) == 40


def test_points_that_a_mixture_made_do_not_certify_it(generator):
    """A mixture that has lost a mode misses none of its own draws; the points that were there first tell."""
    target = gaussians([[0.0, 0.0], [9.0, 0.0]], [1.0, 1.0], [0.5, 0.5])
    lost = Fit(torch.ones(1, dtype=DOUBLE), torch.zeros(1, 2, dtype=DOUBLE), torch.ones(1, 2, dtype=DOUBLE))
    q = _Components(lost, target)
    x, log_w = q.weighed(generator)
    first = target.sample(1000, generator=generator)
    assert q.judged(x[:1000], x[:1000], log_w).missed == 0
    found = q.judged(x[:1000], first, log_w)
    assert abs(found.missed - 0.5) < 0.1
    assert not found.near


@pytest.mark.parametrize(
    "target",
    [
        wide_and_narrow(),
        far_and_narrow(),
        pytest.param(targets.benchmark("funnel10-std3"), marks=pytest.mark.slow),
    ],
)
def test_log_z_of_draws_by_bridge_sampling(target):
    """Exact draws of the density e^3 times another: every seed within its stated error, which is no guess either."""
    shifted = targets.LogDensity(lambda x: target.log_prob(x) + 3.0, target.dim, dtype=DOUBLE)
    z = []
    for seed in range(12):
        g = torch.Generator().manual_seed(seed)
        draws = Draws(target.sample(4000, generator=g).reshape(8, 500, -1))
        value, error = bridge(draws, shifted, g)
        z.append((value - 3.0) / error)
    assert max(map(abs, z)) < 5
    assert sum(one**2 for one in z) < chi2.isf(FALSE_ALARM, len(z))


def test_bridge_sampling_gives_nothing_where_draws_are_few_or_gaussians_far():
    g = torch.Generator().manual_seed(0)
    target = targets.Gaussian(torch.zeros(3, dtype=DOUBLE))
    assert bridge(Draws(target.sample(80, generator=g).reshape(4, 20, 3)), target, g) is None
    funnel = targets.Funnel(50)
    assert bridge(Draws(funnel.sample(4000, generator=g).reshape(8, 500, -1)), funnel, g) is None


def test_the_mass_of_all_regions_counts_what_they_share_once():
    target, generator = targets.Gaussian(torch.zeros(3, dtype=torch.float64), 1.0), torch.Generator().manual_seed(0)
    means, factors = torch.zeros(2, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    found = measured(target, means, factors, torch.ones(2), 64, generator)
    assert found.total()[0] == pytest.approx(math.log(INSIDE))
    assert found.only(torch.tensor([], dtype=torch.int64)).total() == (-math.inf, math.inf)


@pytest.mark.slow
def test_the_bent_target_is_normalised():
    line = torch.linspace(-80, 80, 3201, dtype=DOUBLE)
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)
    assert float(bent().log_prob(grid).logsumexp((0, 1))) + 2 * math.log(0.05) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("at", "sds"), [((5.0, -3.0), (0.4, 0.2)), ((6.3, 1.3), (0.12, 0.42)), ((-5.0, -6.0), (0.05, 0.3))]
)
def test_narrow_modes_of_a_plane_are_found(at, sds):
    """Also inside the ellipsoid of another mode, and where no path uphill from afar leads to it."""
    target = bent(at, sds)
    for seed in range(2):
        found = search(target, None, torch.Generator().manual_seed(seed))
        away = (found.means - torch.tensor(at, dtype=DOUBLE)) / torch.tensor(sds, dtype=DOUBLE)
        near = away.square().sum(1) < 1
        assert bool(near.any())
        log_mass = float(found.log_mass[near].max())
        assert log_mass == pytest.approx(math.log(INSIDE * 0.227), abs=0.3)
