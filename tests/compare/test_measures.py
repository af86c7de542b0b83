"""The measures of a run, against definitions and exact draws."""

import math

import pytest
import torch

import samplers
import targets
from samplers import Cost, Draws
from samplers.compare import limits, measures
from samplers.compare.distances import NAMES, distances
from samplers.compare.shape import (
    LEVELS,
    Discrepancy,
    Shares,
    in_standard_errors,
    largest_discrepancy,
    misfit,
    shares,
    thresholds,
)
from samplers.compare.truth import known_truth, mean_and_sd, truth_from
from samplers.draws.objections import objections


def drawn(target, n=4000, chains=4, seed=1, **more):
    x = target.sample(n, generator=torch.Generator().manual_seed(seed)).reshape(chains, -1, target.dim)
    return Draws(x, target=target, cost=Cost(n, 2 * n, 2.0), **more)


def weighted(n=4000, scale=1.5, seed=0):
    """Draws of N(0, scale^2) with the weights of N(0, 1)."""
    target = targets.Gaussian(torch.zeros(1, dtype=torch.float64))
    x = scale * torch.randn(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    log_w = (0.5 * (x / scale).square() - 0.5 * x.square())[:, 0]
    return Draws(x[None], log_weights=log_w[None], target=target, cost=Cost(n, 0, 1.0))


def test_the_ess_of_weighted_draws_is_that_of_their_weights():
    """Draws resampled from few would look independent."""
    draws = weighted(500, scale=8.0)
    share = 1 / float(draws.log_weights.softmax(-1).square().sum()) / 500
    found = measures.mixing(draws)
    assert found["ess_bulk"] == pytest.approx(500 * share)
    assert found["ess_bulk"] < 150
    assert measures.evidence(draws)["weight_ess"] == pytest.approx(share)


def test_certificate_and_comparison_have_one_rule_for_r_hat():
    """Stationary chains with a memory of 20 draws: R-hat is above what as many independent draws leave to chance, and
    below what so few effective ones do, in both. The chance that one seed breaks the rule is 1e-4.
    """
    x = torch.randn(16, 300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t in range(1, 300):
        x[:, t] = 0.95 * x[:, t - 1] + math.sqrt(1 - 0.95**2) * x[:, t]
    draws = Draws(x, target=targets.Gaussian(torch.zeros(2, dtype=torch.float64)))
    row = {"sampler": "s", "mode_r_hat": math.nan} | measures.mixing(draws)
    assert row["r_hat"] > limits.r_hat_limit({**row, "r_hat_by_chance": math.nan})
    assert not limits.R_HAT.beyond(row)
    (said,) = limits.CHANCE_R_HAT.said([row])
    assert "leave to chance" in said
    assert "can be chance" in " ".join(objections(draws).too_few)
    x[0] += 2
    row = measures.mixing(draws)
    assert limits.R_HAT.beyond(row)
    assert limits.CHANCE_R_HAT.said([row]) == []
    assert "the chains do not agree" in " ".join(objections(draws).against)


def test_costs():
    found = measures.mixing(drawn(targets.Gaussian(torch.zeros(2))))
    assert found["evaluations"] == 8000
    assert found["ess_per_1000_evaluations"] == pytest.approx(found["ess_bulk"] / 8)
    assert found["ess_per_second"] == pytest.approx(found["ess_bulk"] / 2)
    assert found["autocorrelation"] == pytest.approx(4000 / found["ess_bulk"])
    assert math.isnan(found["acceptance"])
    rates = torch.tensor([[0.2, 0.4], [0.6, 1.0]])
    moved = Draws(torch.zeros(2, 2, 1), stats={"acceptance_rate": rates}, divergences=torch.tensor([2, 1]))
    found = measures.mixing(moved, known=False)
    assert (found["acceptance"], found["divergences"]) == (pytest.approx(0.55), 3)
    assert found["usual_divergences"] == 0.0
    moved.kernel = samplers.ParallelTempering()
    assert measures.mixing(moved, known=False)["usual_divergences"] == samplers.ParallelTempering.usual_divergences > 0
    free = Draws(torch.randn(4, 50, 1, generator=torch.Generator().manual_seed(0)))
    assert math.isnan(measures.mixing(free)["ess_per_second"])  # no time, and no division by it


def test_the_slowest_variable_is_named():
    x = torch.randn(4, 300, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[..., 1] = x[..., 1].cumsum(1)
    found = measures.mixing(Draws(x, target=targets.Gaussian(torch.zeros(3, dtype=torch.float64))))
    assert found["ess_bulk_at"] == "x[1]"
    assert found["ess_bulk"] < 50
    assert measures.mixing(weighted())["ess_bulk_at"] == ""  # whose ESS is that of the weights


def test_errors_are_in_standard_errors():
    target = targets.benchmark("gmm9-unequal", dtype=torch.float64)
    draws, truth = drawn(target), known_truth(target)
    assert measures.errors(draws, truth)["mean_error_se"] < 4.5
    far = measures.errors(Draws(draws.x + torch.tensor([0.0, 5.0]), target=target), truth)
    assert far["mean_error_se"] > 20
    assert far["mean_error_at"] == "x[1]"
    assert far["mean_error_sd"] == pytest.approx(5 / float(target.covariance[1, 1].sqrt()), rel=0.05)


def test_a_deviation_that_exact_draws_do_not_tell_is_not_judged():
    """Of a funnel of standard deviation 3 a thousand exact draws miss sd x_i by tens of percent, and do not know it."""
    target = targets.benchmark("funnel10-std3", dtype=torch.float64)
    truth = known_truth(target)
    assert bool(truth.sd_noise["x"][1:].isinf().all())
    assert float(truth.sd_noise["x"][0]) == pytest.approx(0.5 * 2**0.5, rel=0.05)
    for seed in range(4):
        draws = drawn(target, 1000, chains=1, seed=seed)
        own = mean_and_sd(draws)["x"].sd / truth.moments["x"].sd - 1
        assert float(own[1:].abs().max()) > 0.2
        found = measures.errors(draws, truth, 1000.0)
        assert found["sd_error_at"] == "x[0]"
        assert found["sd_error_se"] < 5
    narrow = draws.x.clone()
    narrow[..., 0] *= 0.6
    found = measures.errors(Draws(narrow, target=target), truth, 1000.0)
    assert found["sd_error"] == pytest.approx(-0.4, abs=0.1)
    assert found["sd_error_se"] > 10


def test_the_standard_errors_of_weighted_moments():
    """Means and deviations of 400 weighted samples spread as they say."""
    found = [mean_and_sd(weighted(400, seed=seed))["x"] for seed in range(400)]
    for value, error in (("mean", "mean_error"), ("sd", "sd_error")):
        values = torch.cat([getattr(one, value) for one in found])
        stated = torch.cat([getattr(one, error) for one in found])
        assert float(values.std() / stated.square().mean().sqrt()) == pytest.approx(1.0, abs=0.12)


def test_a_long_run_as_truth_has_errors_of_its_own():
    target = targets.Gaussian(torch.zeros(2))
    truth = truth_from(drawn(target), "long run")
    assert truth.source == "long run"
    assert (truth.errors["x"].mean_error > 0).all()
    assert (truth.shares["x"].error > 0).all()
    draws = drawn(target, seed=2)
    found, own, theirs = measures.errors(draws, truth), mean_and_sd(draws)["x"], truth.errors["x"]
    assert found["mean_error_se"] < 4.5
    together = (own.mean_error.square() + theirs.mean_error.square()).sqrt()
    expected = ((own.mean - truth.moments["x"].mean).abs() / together).max()
    assert found["mean_error_se"] == pytest.approx(float(expected))


def test_shares_at_the_quantiles():
    target = targets.Gaussian(torch.zeros(1, dtype=torch.float64))
    at = {"x": torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(LEVELS, dtype=torch.float64))[:, None]}
    (found,) = shares(drawn(target, 200_000), at).values()
    expected = torch.tensor([[0.05], [0.5], [0.5], [0.05]], dtype=torch.float64)
    assert ((found.share - expected).abs() < 4.5 * found.error).all()
    assert torch.allclose(found.error, (expected * (1 - expected) / 200_000).sqrt(), rtol=0.1)
    (found,) = shares(weighted(20_000), at).values()
    assert ((found.share - expected).abs() < 4.5 * found.error).all()


@pytest.mark.slow
def test_misfits_of_exact_draws_are_those_of_chance():
    """200 sets of exact draws of a funnel, whose deviations no standard error fits: 4 events of 10 variables."""
    target = targets.benchmark("funnel10-std3")
    truth = known_truth(target)
    found = [misfit(shares(drawn(target, 800, seed=s), truth.at), truth.shares, 800) for s in range(200)]
    assert all(one.tests == 40 for one in found)
    assert max(one.standard_errors for one in found) < 5.0
    assert 2.0 < sum(one.standard_errors for one in found) / 200 < 2.9  # 2.5 for 40 independent normal errors


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x + 0.3, "its x[0] lies too high"),
        (lambda x: x - 0.3, "its x[0] lies too low"),
        (lambda x: 1.3 * x, "too"),
        (lambda x: torch.where(x > 1.5, 1.5, x), "its upper tail of x[0] is too light"),
    ],
)
def test_misfits_in_words(change, said):
    target = targets.Gaussian(torch.zeros(1, dtype=torch.float64))
    truth = known_truth(target)
    draws = drawn(target)
    assert misfit(shares(draws, truth.at), truth.shares, 4000).standard_errors < 4.5
    found = misfit(shares(Draws(change(draws.x), target=target), truth.at), truth.shares, 4000)
    assert found.standard_errors > 5
    assert said in str(found)
    assert "of its draws are" in str(found)


def test_a_misfit_of_the_log_density_in_words():
    said = "its log-density lies too low: 60.0% of its draws are below the median, 50.0% should be"
    assert str(Discrepancy(9.0, "the log-density", (1,), 4, (0.6, 0.5))) == said
    heavy = Discrepancy(9.0, "the log-density", (3,), 4, (0.1, 0.05))
    assert str(heavy).startswith("its upper tail of the log-density is too heavy")


def test_draws_that_move_within_a_tail_change_no_share():
    target = targets.Gaussian(torch.zeros(1, dtype=torch.float64))
    truth, draws = known_truth(target), drawn(target)
    moved = Draws(torch.where(draws.x < -2.0, -40.0, draws.x), target=target)
    before, after = (misfit(shares(one, truth.at), truth.shares, 4000) for one in (draws, moved))
    assert before.standard_errors == pytest.approx(after.standard_errors, rel=1e-6)


def test_an_error_that_is_not_known_is_no_agreement():
    """Neither does it count as a test, nor as a difference of zero."""
    half, other = torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.9])
    found = in_standard_errors(half, other, torch.tensor([0.0, 0.0]))
    assert found.tolist() == [0.0, math.inf]
    assert in_standard_errors(half, other, torch.full((2,), math.nan))[1].isnan()
    unknown = {"x": Shares(other, torch.full((2,), math.nan))}
    known = {"x": Shares(torch.tensor([0.4, 0.4]), torch.tensor([0.1, 0.1]))}
    nothing = largest_discrepancy(unknown, known, lambda a, b: torch.hypot(a.error, b.error))
    assert math.isnan(nothing.standard_errors)
    assert (nothing.variable, nothing.tests) == ("", 0)
    some = {"x": Shares(other, torch.tensor([math.nan, 0.1]))}
    one = largest_discrepancy(some, known, lambda a, b: torch.hypot(a.error, b.error))
    assert (one.index, one.tests) == ((1,), 1)
    assert one.standard_errors == pytest.approx(0.5 / math.hypot(0.1, 0.1))


def test_thresholds_are_quantiles():
    value = torch.arange(1001.0, dtype=torch.float64).reshape(1, -1, 1)
    (at,) = thresholds([Draws(value), Draws(value + 10)]).values()
    assert at[:, 0].tolist() == pytest.approx([1000 * level + 5 for level in LEVELS])


def test_draws_are_counted_in_modes_whose_weights_nobody_knows():
    x = torch.tensor([[-3.0, -2.0, 3.0, 2.5, -3.5] * 4, [3.0, 2.0, 3.5, 2.5, -3.5] * 4], dtype=torch.float64)[..., None]
    target = targets.LogDensity(lambda x: -x.square().sum(-1), dim=1, modes=[[-3.0], [3.0]], dtype=torch.float64)
    found = measures.between_modes(Draws(x, target=target))
    assert found["mode_weights"] == pytest.approx([0.4, 0.6])
    assert found["mode_r_hat"] > 1
    assert 0 < found["mode_ess"] < 40
    assert math.isnan(found["worst_mode"])
    weights = torch.tensor([1.0, 1.0, 3.0, 3.0, 1.0] * 4, dtype=torch.float64).log()[None]
    found = measures.between_modes(Draws(x[:1], log_weights=weights, target=target))
    assert found["mode_weights"] == pytest.approx([1 / 3, 2 / 3])


def test_modes_of_weighted_draws():
    target = targets.GaussianMixture([[-4.0], [4.0]], scales=1.0, weights=[0.7, 0.3])
    x = target.sample(6000, generator=torch.Generator().manual_seed(3))
    log_w = torch.where(x[:, 0] > 0, 0.7 / 0.3, 0.3 / 0.7).log().double()  # as if the weights were the other way
    found = measures.between_modes(Draws(x[None], log_weights=log_w[None], target=target))
    assert found["mode_weights"] == pytest.approx([0.3, 0.7], abs=0.03)
    assert found["mode_error_se"] > 10
    effective = 6000 * measures.weight_ess(Draws(x[None], log_weights=log_w[None]))
    assert effective < 5000
    far = abs(found["worst_mode"] - found["worst_mode_true"])
    assert found["mode_error_se"] == pytest.approx(far / math.sqrt(0.7 * 0.3 / effective), rel=1e-6)
    right = measures.between_modes(Draws(x[None], log_weights=torch.zeros(1, 6000), target=target))
    assert right["mode_error_se"] < 4


def test_distances_stand_beside_their_floor():
    target = targets.Gaussian(torch.zeros(2))
    good = distances(drawn(target), 4000.0)
    bad = distances(Draws(drawn(target).x * 1.5 + 0.5, target=target), 4000.0)
    assert good["distance_points"] == 500
    for name in NAMES:
        assert bad[name] > bad[f"{name}_highest"], name
        assert good[name] < bad[name], name


def test_distances_where_they_cannot_be_known():
    target = targets.Gaussian(torch.zeros(2))
    assert all(math.isnan(distances(drawn(target), 5.0)[name]) for name in NAMES)  # too few effective draws
    secret = targets.LogDensity(target.log_prob, 2)
    found = distances(Draws(drawn(target).x, target=secret), 400.0)
    assert math.isnan(found["w2"])
    assert abs(found["ksd"]) < 0.05
    same = torch.zeros(1, 100, 2)  # as of particles that have collapsed: no scale for a kernel
    found = distances(Draws(same, target=secret), 100.0)
    assert math.isnan(found["ksd"])
    assert found["unmeasured"]["ksd"].startswith("x: most points are the same one")
    spins = targets.Ising((4, 4), coupling=0.3)
    x = torch.ones(1, 100, 16)
    assert distances(Draws(x, target=spins), 100.0)["distance_points"] == 0


def test_bounds_of_learned_samplers():
    found = measures.evidence(
        Draws(
            torch.zeros(1, 3, 1),
            log_weights=torch.zeros(1, 3),
            log_z=samplers.LogZ(0.1, 0.2, lower=-0.5, upper=0.6),
            attrs={"elbo": -0.3},
            target=targets.Gaussian(torch.zeros(1)),
        )
    )
    assert (found["elbo"], found["eubo"], found["log_z"], found["log_z_true"]) == (-0.3, 0.6, 0.1, 0.0)
    assert math.isnan(found["elbo_se"])


def test_the_true_log_z_is_the_targets():
    spins = targets.Ising((3, 3), coupling=0.3)
    draws = Draws(torch.ones(1, 4, 9), log_z=samplers.LogZ(1.0, 0.1), target=spins, attrs={"elbo_standard_error": 0.2})
    found = measures.evidence(draws)
    assert found["log_z_true"] == spins.log_z > 6
    assert (found["log_z_se"], found["elbo_se"]) == (0.1, 0.2)
    assert math.isnan(found["elbo"])
