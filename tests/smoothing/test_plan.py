"""The choice of noise and number of measurements, and what is found out for it."""

import math

import pytest
import torch

import samplers
import targets
from samplers.denoisers import ClosedForm
from samplers.smoothing.concavity import hessian, jump_error, threshold
from samplers.smoothing.measurements import Noisy
from samplers.smoothing.pilot import hessians, independent_parts
from samplers.smoothing.plan import FEWEST, MOST, plan
from samplers.smoothing.probes import concave_at, probed_threshold
from samplers.smoothing.spread import enclosing_ball, of_components
from targets.counting import Counted
from targets.noise import CorrelatedNoise

F64 = torch.float64


def bare(target):
    """Only the log-density and its score."""
    return targets.LogDensity(target.log_prob, target.dim, score=target.score, dtype=target.dtype)


# What is known in closed form


def test_two_gaussians_are_planned_by_their_threshold():
    found = plan(targets.benchmark("two-gaussians-unequal-d8"))
    assert found.spread.radius == pytest.approx(3 * math.sqrt(8), rel=1e-6)
    assert found.spread.tau == pytest.approx(1.0)
    assert found.sigma == pytest.approx(threshold(3 * math.sqrt(8), 1.0), rel=1e-6)
    assert found.m == math.ceil(found.sigma**2)
    torch.testing.assert_close(found.center, torch.full((8,), -3 * 0.6, dtype=F64))
    assert found.cost.score == found.cost.log_prob == 0
    for part in ("2 components lie within R = 8.485", "tau = 1", "sigma = 8.426", f"m = {found.m} measurements"):
        assert part in str(found) == found.text


def test_a_gaussian_is_planned_by_its_conditioning():
    found = plan(targets.Gaussian([1.0, 2.0], [4.0, 0.25]))
    assert (found.spread.radius, found.sigma, found.m) == (0.0, pytest.approx(1.0), FEWEST)
    torch.testing.assert_close(found.covariance, torch.diag(torch.tensor([16.0, 0.0625], dtype=F64)))
    assert "log-concave whatever the noise" in found.text


def test_a_product_is_as_hard_as_its_hardest_factor():
    line = targets.GaussianMixture([[-3.0], [3.0]], scales=0.5)
    whole = plan(targets.Product(line, line, targets.Gaussian([0.0], 0.1)))
    assert whole.sigma == pytest.approx(plan(line).sigma)
    assert whole.spread.finest == pytest.approx(0.1)
    assert whole.spread.parts == 3


def test_the_most_measurements():
    found = plan(targets.benchmark("two-modes-d32"))
    assert found.m == MOST
    assert "the most that are planned" in found.text


@pytest.mark.parametrize("name", ["gmm9", "gmm40-fab", "gmm6-aft", "gmm10-wishart", "gmm5-distant"])
def test_hessians_at_the_planned_noise_are_not_positive(name, generator):
    """Probes, unlike the bound, prove nothing: here exact Hessians judge them, at other points."""
    target = targets.benchmark(name, dtype=F64)
    found = plan(target)
    assert found.spread.probed
    assert found.sigma < threshold(found.spread.radius, found.spread.tau)
    x = target.sample(2000, generator=generator)
    one, other = x[:1000], x[1000:]
    mixed = torch.lerp(one, other, torch.rand(1000, 1, generator=generator, dtype=F64))
    y = torch.cat([mixed, one + found.sigma * torch.randn(one.shape, generator=generator, dtype=F64)])
    top = torch.linalg.eigvalsh(hessian(Noisy(target, found.sigma), y))[:, -1]
    assert float((top > 0).double().mean()) < 0.02  # one in a hundred is what the probes allow
    # and much less noise would not do
    top = torch.linalg.eigvalsh(hessian(Noisy(target, 0.7 * found.sigma), y))[:, -1]
    assert float((top > 0).double().mean()) > 0.02


def test_unequal_covariances_count_towards_the_radius():
    means = torch.tensor([[-2.0, 0.0], [2.0, 0.0]], dtype=F64)
    equal = torch.diag(torch.tensor([1.0, 0.25], dtype=F64)).expand(2, 2, 2)
    assert of_components(means, equal) == pytest.approx((2.0, 0.5))
    unequal = torch.stack([equal[0], 4 * equal[0]])
    assert of_components(means, unequal) == pytest.approx((math.sqrt(4 + 4 - 0.25), 0.5))
    assert of_components(means[:1], equal[:1]) == (0.0, 0.5)


def test_the_smallest_ball(generator):
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(3) / 2], [0.5, 0.3]], dtype=F64)
    centre, radius = enclosing_ball(triangle)
    assert radius == pytest.approx(1 / math.sqrt(3), rel=1e-6)
    torch.testing.assert_close(centre, torch.tensor([0.5, math.sqrt(3) / 6], dtype=F64), atol=1e-4, rtol=0)
    points = torch.randn(60, 5, generator=generator, dtype=F64)
    centre, radius = enclosing_ball(points)
    away = (points - centre).norm(dim=1)
    assert float(away.max()) <= radius * (1 + 1e-9)
    # the centre of a smallest ball is a mean of the points on its surface, so no shift makes all of them nearer
    for shift in 1e-2 * torch.randn(50, 5, generator=generator, dtype=F64):
        assert float((points - centre - shift).norm(dim=1).max()) > radius * (1 - 1e-6)


# Spins


@pytest.mark.parametrize(("coupling", "largest"), [(0.2, 2.80), (0.4406868, 12.18)])
def test_ferromagnets_are_planned_by_the_covariance_without_fields(coupling, largest):
    model = targets.Ising((4, 4), coupling)
    assert plan(model).sigma ** 2 == pytest.approx(largest, abs=0.01)
    # and with fields by the same, which bounds the covariance in any field
    assert plan(targets.Ising((4, 4), coupling, 0.3)).sigma == pytest.approx(plan(model).sigma, rel=1e-6)


def test_large_tori_by_the_transfer_matrix():
    small = targets.Ising((4, 4), 0.3)
    by_strip = 16 * small.mean_square_magnetisation
    by_enumeration = float(torch.linalg.eigvalsh(small.covariance.double())[-1])
    assert by_strip == pytest.approx(by_enumeration, rel=1e-6)
    assert plan(targets.Ising((8, 8), 0.6)).sigma ** 2 < 64


def test_the_bounds_hold_for_random_spins_in_random_fields(generator):
    for scale in (0.05, 0.2, 0.6):
        draw = scale * torch.randn(8, 8, generator=generator, dtype=F64)
        couplings = (draw + draw.mT).fill_diagonal_(0)
        for matrix in (couplings, couplings.abs()):
            radius = plan(targets.PairwiseMRF(matrix)).spread.radius
            for field in 2 * torch.randn(20, 8, generator=generator, dtype=F64):
                covariance = targets.PairwiseMRF(matrix, field).covariance
                assert float(torch.linalg.eigvalsh(covariance)[-1]) <= radius**2 * (1 + 1e-9)


def test_noise_of_the_shape_of_the_model_leaves_nothing_to_choose():
    found = plan(targets.Ising((4, 4), 0.1), noise="mrf")
    assert found.m == 1
    assert "is log-concave" in found.text
    assert "is not log-concave" in plan(targets.Ising((4, 4), 0.4), noise="mrf").text


# What a pilot finds


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    [
        "two-gaussians-unequal-d8",
        pytest.param("gmm40-fab", marks=SLOW),
        pytest.param("two-modes-d8", marks=SLOW),
        pytest.param("two-modes-d32", marks=SLOW),
        pytest.param("two-gaussians-d32", marks=SLOW),
    ],
)
def test_a_pilot_finds_the_radius_and_the_scale_of_mixtures(name):
    known = plan(targets.benchmark(name)).spread
    found = plan(bare(targets.benchmark(name)))
    assert found.spread.radius == pytest.approx(known.radius, rel=0.25)
    assert found.spread.tau == pytest.approx(known.tau, rel=0.25)
    assert found.sigma == pytest.approx(plan(targets.benchmark(name)).sigma, rel=0.25)
    assert found.cost.score > 0
    assert "pilot run" in found.text


@SLOW
def test_nine_modes_on_a_grid_are_two_independent_lines():
    found = plan(bare(targets.benchmark("gmm9")))
    assert found.spread.parts == 2
    assert found.spread.radius == pytest.approx(5.0, rel=0.25)
    assert found.spread.tau == pytest.approx(math.sqrt(0.3), rel=0.25)


def test_the_same_seed_gives_the_same_plan():
    target = bare(targets.Gaussian([0.0, 1.0], [1.0, 2.0]))
    one, other = plan(target, seed=3), plan(target, seed=3)
    assert (one.sigma, one.m, one.text) == (other.sigma, other.m, other.text)


def test_a_log_concave_posterior_needs_little_noise(generator):
    features = torch.randn(60, 3, generator=generator, dtype=F64)
    labels = (torch.rand(60, generator=generator, dtype=F64) < features[:, 0].sigmoid()).double()
    found = plan(targets.LogisticRegression(features, labels, prior_scale=2.0))
    assert found.spread.radius == 0
    assert found.sigma < math.sqrt(float(torch.linalg.eigvalsh(found.covariance)[-1]))
    assert "log-concave" in found.text


@pytest.mark.parametrize("name", ["funnel10-var3", "banana", pytest.param("eight-schools", marks=SLOW)])
def test_targets_with_exact_draws_need_no_pilot(name):
    target = targets.benchmark(name)
    found = plan(target)
    assert found.cost.log_prob < 10_000
    assert 0 < found.sigma < math.sqrt(float(found.covariance.trace()))
    assert FEWEST <= found.m <= MOST
    torch.linalg.cholesky(found.covariance)


def test_many_wells_are_independent():
    spread = plan(targets.ManyWell(3, dtype=F64)).spread
    assert spread.parts == 6
    # of one double well: its modes are 3.43 apart
    assert 1.5 < spread.concave_from < 2.5


def test_separated_modes_are_not_independent_coordinates(generator):
    """No draw sees a mixed derivative; swapping coordinates between modes does."""
    for target, parts in ((targets.benchmark("two-gaussians-d8", dtype=F64), 1), (targets.Gaussian([0.0] * 4), 4)):
        x = target.sample(64, generator=generator)
        _, found = hessians(target, x, x.std(0))
        assert len(independent_parts(target, x, found, generator)) == parts


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_hessians_from_scores(dtype, generator):
    target = targets.benchmark("gmm6-aft", dtype=dtype)
    x = target.sample(20, generator=generator)
    score, found = hessians(target, x, x.std(0))
    double = target.to(dtype=F64)
    exact = torch.func.vmap(torch.func.hessian(lambda v: double.log_prob(v[None])[0]))(x.double())
    tolerance = 1e-6 if dtype == F64 else 2e-2
    torch.testing.assert_close(found, exact, rtol=0, atol=tolerance * float(exact.abs().max()))
    torch.testing.assert_close(score, double.score(x.double()), rtol=1e-4, atol=1e-4)


def test_concave_at(generator):
    for target, concave in ((targets.Gaussian([0.0, 0.0], [1.0, 5.0]), True), (targets.benchmark("gmm9"), False)):
        target = target.to(dtype=F64)
        x = target.sample(64, generator=generator)
        assert concave_at(x, *hessians(target, x, x.std(0))) == concave


def test_probes_find_the_threshold_of_two_gaussians(generator):
    target = targets.benchmark("two-gaussians-unequal-d8", dtype=F64)
    x = target.sample(2048, generator=generator)
    assert probed_threshold(x, 20.0, generator) == pytest.approx(threshold(3 * math.sqrt(8), 1.0), rel=0.1)
    assert probed_threshold(x, 0.0, generator) == 0


# Jumps, noise of other kinds, errors


def test_measurements_for_mean_jumps():
    target = targets.benchmark("two-gaussians-d8")
    found = plan(target, jump="mean", tolerance=0.3)
    assert jump_error(found.sigma, found.m, 8, 1.0) <= 0.3 < jump_error(found.sigma, found.m - 1, 8, 1.0)
    default = plan(target, jump="mean")
    assert default.tolerance == pytest.approx(0.05 * math.sqrt(8 * 10))
    assert jump_error(default.sigma, default.m, 8, 1.0) <= default.tolerance


def test_a_given_covariance_is_kept():
    target = targets.GaussianMixture([[-3.0, 0.0], [3.0, 0.0]], scales=[[0.5, 2.0]] * 2)
    wide = plan(target, noise=torch.tensor([9.0, 0.01], dtype=F64))
    assert isinstance(wide.noise, CorrelatedNoise)
    assert "log-concave from the first measurement on" in wide.text
    narrow = plan(target, noise=torch.tensor([4.0, 9.0], dtype=F64))
    assert "only from measurement" in narrow.text
    # in units of the noise the modes are 1.5 from the middle and 0.25 wide, as nothing else separates them
    assert narrow.spread.radius == pytest.approx(1.5)
    assert narrow.spread.tau == pytest.approx(0.25)


def test_a_counted_target_is_planned_like_itself():
    target = targets.benchmark("two-gaussians-d2")
    assert plan(Counted(target)).text == plan(target).text


def test_isotropic_noise_and_whitened_draws_agree():
    """Noise sigma I as a covariance: R and tau in units of sigma."""
    target = targets.benchmark("banana", dtype=F64)
    units = plan(target, noise=4.0 * torch.ones(2, dtype=F64)).spread
    plain = plan(target).spread
    assert (2 * units.radius, 2 * units.tau) == pytest.approx((plain.radius, plain.tau), rel=1e-6)


def test_the_plan_serves_a_sampler():
    target = targets.benchmark("two-gaussians-unequal-d2")
    found = plan(target)
    law = targets.Gaussian(found.center, covariance=found.covariance)
    assert law.dim == 2
    draws = Noisy(target.to(dtype=F64), found.noise, denoiser=ClosedForm())
    assert draws.sample(3, generator=torch.Generator().manual_seed(0)).shape == (3, 2)


def test_warnings_of_the_pilot_are_told(monkeypatch):
    def warned(self, target, **rest):
        import warnings

        warnings.warn("the weights are poor", samplers.SamplingWarning, stacklevel=2)
        return samplers.Draws(torch.randn(1, 2048, 2, generator=torch.Generator().manual_seed(0)), target=target)

    monkeypatch.setattr(samplers.SMC, "sample", warned)
    found = plan(bare(targets.Gaussian([0.0, 0.0])))
    assert found.spread.remarks == ("the weights are poor",)
    assert "The pilot warned: the weights are poor" in found.text


def test_the_figure(tmp_path):
    path = plan(targets.benchmark("two-gaussians-d8")).figure(tmp_path / "plan.png")
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"jump": "best"}, ValueError, "jump: got 'best', expected 'posterior' or 'mean'"),
        ({"tolerance": 0.1}, ValueError, "tolerance: got 0.1, expected a positive distance, for jump='mean'"),
        ({"noise": "white"}, ValueError, "noise: got 'white', expected 'isotropic', 'mrf'"),
        ({"noise": "mrf"}, TypeError, "noise: 'mrf' is for a PairwiseMRF"),
        ({"noise": torch.ones(3)}, ValueError, r"noise: got shape \(3,\)"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        plan(targets.benchmark("two-gaussians-d2"), **arguments)
