"""Truth by quadrature, against closed forms; draws by the tests that kernels are held to; refusals; seeded bugs."""

import copy
import functools
import math
import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Beta

import samplers
import targets
from samplers.testing import check_invariance
from targets import panels, quantities
from targets.frame import Frame
from targets.with_truth import with_truth

DOUBLE = torch.float64


def plain(target):
    """The density alone."""
    return targets.LogDensity(target.log_prob, target.dim, dtype=DOUBLE, name="plain")


def mixture(means, scales, weights):
    return targets.GaussianMixture(
        torch.tensor(means, dtype=DOUBLE), scales=torch.tensor(scales, dtype=DOUBLE), weights=torch.tensor(weights)
    )


def student(dim, dof=3.0):
    log_z = math.lgamma(dof / 2) - math.lgamma((dof + dim) / 2) + dim / 2 * math.log(dof * math.pi)
    law = targets.LogDensity(lambda x: -(dof + dim) / 2 * torch.log1p(x.square().sum(-1) / dof), dim, dtype=DOUBLE)
    return law, log_z, torch.zeros(dim), dof / (dof - 2) * torch.eye(dim)


def of(target):
    return plain(target), target.log_z, target.mean, target.covariance


@functools.cache
def found(name):
    """With what quadrature tells, once for all tests."""
    return with_truth(CASES[name][0])


NARROW = (0.5, 0.499, 0.001)
CASES = {
    "Gaussian": of(targets.Gaussian([3.0], scale=2.0).to(dtype=DOUBLE)),
    "far and narrow": of(targets.Gaussian([-1e4], scale=0.1).to(dtype=DOUBLE)),
    "narrow mode": of(mixture([[-8.0], [0.0], [10.0]], [1.0, 2.0, 0.01], NARROW)),
    "narrow mode inside": of(mixture([[0.0], [1.0]], [1.0, 0.01], (0.999, 0.001))),
    "Student": student(1),
    "correlated": of(targets.Gaussian([3.0, -1.0], covariance=[[1.0, 1.98], [1.98, 4.0]]).to(dtype=DOUBLE)),
    "narrow mode in the plane": of(mixture([[-8.0, 0.0], [0.0, 3.0], [10.0, 10.0]], [1.0, 2.0, 0.01], NARROW)),
    "Student in the plane": student(2),
    "banana": of(targets.Banana(dtype=DOUBLE)),
    "funnel": of(targets.Funnel(2, 3.0, dtype=DOUBLE)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "banana" else name for name in CASES]
)
def test_what_is_found_is_the_closed_form(name):
    _, log_z, mean, covariance = CASES[name]
    truth = found(name)
    sd = covariance.diagonal().sqrt()
    assert abs(truth.log_z - log_z) < 1e-8
    assert ((truth.mean - mean).abs() / sd).max() < 1e-6
    assert ((truth.covariance - covariance).abs() / torch.outer(sd, sd)).max() < 1e-6
    torch.testing.assert_close(truth.moments["x"].sd, sd.to(DOUBLE), rtol=1e-6, atol=0)
    assert abs(truth.log_z - log_z) <= truth.accuracy.log_z < 1e-8
    assert truth.accuracy.draws < 1e-8
    assert truth.accuracy.left_out == {}


@pytest.mark.parametrize("name", ["narrow mode", "Student", "correlated", "Student in the plane", "banana", "funnel"])
def test_draws_are_those_of_the_closed_form(name):
    """p-values of Kolmogorov and Smirnov, by inverted distribution functions of independent coordinates."""
    truth = found(name)
    x = truth.sample(40_000, generator=torch.Generator().manual_seed(1))
    uniform = []
    if name == "narrow mode":
        parts = zip((-8.0, 0.0, 10.0), (1.0, 2.0, 0.01), NARROW, strict=True)
        uniform = [sum(w * stats.norm(m, s).cdf(x[:, 0]) for m, s, w in parts)]
        inside = int((x[:, 0] > 9.5).sum())
        assert stats.binomtest(inside, len(x), NARROW[2]).pvalue > 1e-4
    if name == "Student":
        uniform = [stats.t(3).cdf(x[:, 0])]
    if name == "correlated":
        white = torch.linalg.solve_triangular(
            torch.linalg.cholesky(CASES[name][3]), (x - CASES[name][2]).T, upper=False
        )
        uniform = [stats.norm.cdf(row) for row in white]
    if name == "Student in the plane":  # |x|^2 / 2 has the F law, the angle is uniform
        uniform = [stats.f(2, 3).cdf(x.square().sum(-1) / 2), torch.atan2(x[:, 0], x[:, 1]) / (2 * math.pi) + 0.5]
    if name == "banana":
        uniform = [stats.norm.cdf(x[:, 0] / 10), stats.norm.cdf(x[:, 1] - 0.03 * (x[:, 0].square() - 100))]
    if name == "funnel":
        uniform = [stats.norm(0, 3).cdf(x[:, 0]), stats.norm.cdf(x[:, 1] * (-x[:, 0] / 2).exp())]
    for values in uniform:
        assert stats.kstest(values, "uniform").pvalue > 1e-4
    if len(uniform) == 2:
        assert abs(stats.spearmanr(*uniform).statistic) < 4 / math.sqrt(len(x))


def test_a_kernel_keeps_the_draws():
    """The kit's own: chains that begin at these draws must stay among them."""
    check_invariance(samplers.MALA(0.3), found("banana"), chains=20_000, seed=0)


def edge(high=40):
    """A probability that 40 successes in 40 push against one, in the unconstrained coordinate; and a Beta law."""

    def log_likelihood(p):
        return high * p.log()

    return targets.Posterior(
        log_likelihood=log_likelihood,
        parameters={"p": targets.Interval(0.0, 1.0, prior=Beta(0.5, 0.5))},
        derived=lambda p: {"odds": (1 - p) / p, "pair": torch.stack([p, p.square()], -1)},
    )


def test_named_and_derived_quantities_at_an_edge():
    truth = with_truth(edge())
    a, b = 40.5, 0.5
    law = stats.beta(a, b)
    beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    assert abs(truth.log_z - (beta - math.log(math.pi))) < 1e-8
    moments = truth.moments
    assert set(moments) == {"p", "odds", "pair"}
    assert abs(moments["p"].mean - law.mean()) < 1e-6 * law.std()
    assert abs(moments["p"].sd / law.std() - 1) < 1e-6
    odds = stats.betaprime(b, a)
    assert abs(moments["odds"].mean - odds.mean()) < 1e-6 * odds.std()
    assert abs(moments["odds"].sd / odds.std() - 1) < 1e-6
    assert {name: one.mean.shape for name, one in moments.items()} == {"p": (), "odds": (), "pair": (2,)}
    assert abs(moments["pair"].mean[1] - law.moment(2)) < 1e-6
    p = truth.constrain(truth.sample(20_000, generator=torch.Generator().manual_seed(0)))["p"]
    assert stats.kstest(p, law.cdf).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["three-hole", "mueller-brown"])
def test_another_rule_agrees_where_there_is_no_closed_form(name):
    """The trapezoid rule by which these benchmarks know themselves, on a grid that is laid by hand."""
    known = targets.benchmark(name).to(dtype=DOUBLE)
    truth = with_truth(plain(known))
    assert abs(truth.log_z - known.log_z) < 1e-8
    torch.testing.assert_close(truth.covariance, known.covariance, rtol=1e-6, atol=1e-7)
    near = torch.cdist(truth.modes, known.modes).min(0)
    assert near.values.max() < 1e-5


def test_jumps_and_kinks_along_the_axes():
    def box(x):
        return torch.where((x[:, 0] - 0.3).abs() < 1, -0.5 * x[:, 1].square(), -torch.inf * torch.ones_like(x[:, 0]))

    kink = with_truth(targets.LogDensity(lambda x: -(x[:, 0] - 0.3).abs(), 1, dtype=DOUBLE))
    assert abs(kink.log_z - math.log(2)) <= kink.accuracy.log_z <= 1e-8
    jump = with_truth(targets.LogDensity(box, 2, dtype=DOUBLE))
    assert abs(jump.log_z - math.log(2) - 0.5 * math.log(2 * math.pi)) <= jump.accuracy.log_z <= 1e-8
    assert abs(jump.covariance[0, 0] - 1 / 3) < 1e-7


@pytest.mark.slow
def test_a_slanted_jump_is_refused():
    def half(x):
        return torch.where(x[:, 0] < 0.7 * x[:, 1], -0.5 * x.square().sum(-1), -torch.inf * torch.ones_like(x[:, 0]))

    refused(targets.LogDensity(half, 2, dtype=DOUBLE), "boxes do not resolve it: jumps, kinks or noise along a line")


def test_moments_that_do_not_exist_are_left_out():
    cauchy = with_truth(student(1, dof=1.0)[0])
    assert cauchy.known == {"log_z", "sample", "modes", "mode_weights"}
    assert abs(cauchy.log_z - math.log(math.pi)) < 1e-8
    assert "does not exist" in cauchy.accuracy.left_out["covariance"]
    with pytest.raises(NotImplementedError, match="covariance is not known"):
        _ = cauchy.covariance


@pytest.mark.slow
def test_a_cauchy_law_in_the_plane():
    law, log_z, *_ = student(2, dof=1.5)
    truth = with_truth(law)
    assert abs(truth.log_z - log_z) < 1e-8
    assert "covariance" in truth.accuracy.left_out


@pytest.mark.parametrize("value", [2.0, -3e8, 1e-5, 0.0])
def test_a_derived_constant_has_no_deviation(value):
    constant = targets.Posterior(
        lambda a: -a.square() / 2, {"a": targets.Real()}, derived=lambda a: {"c": torch.full_like(a, value)}
    )
    found = targets.with_truth(constant)
    assert not found.accuracy.left_out
    assert found.moments["c"].mean.item() == pytest.approx(value, rel=1e-13)
    assert found.moments["c"].sd.item() == 0


def test_a_derived_quantity_without_moments_leaves_the_others():
    law = targets.Posterior(
        lambda a: -a.square() / 2, {"a": targets.Real()}, derived=lambda a: {"inverse": 1 / a, "twice": 2 * a}
    )
    truth = with_truth(law)
    assert set(truth.moments) == {"a", "twice"}
    assert set(truth.accuracy.left_out) == {"inverse"}
    assert abs(truth.moments["twice"].sd - 2) < 1e-6


# Modes


def test_basins_on_the_line():
    truth = found("narrow mode")
    assert truth.modes.shape == (3, 1)
    assert truth.mode_weights.sum() == pytest.approx(1, abs=1e-12)
    law = zip((-8.0, 0.0, 10.0), (1.0, 2.0, 0.01), NARROW, strict=True)
    cuts = truth._found.shares.cuts
    below = sum(w * stats.norm(m, s).cdf(cuts) for m, s, w in law)
    assert truth.mode_weights.tolist() == pytest.approx([below[0], below[1] - below[0], 1 - below[1]], abs=1e-8)
    target = CASES["narrow mode"][0]
    for cut in cuts:  # the density is lowest there
        around = torch.tensor([[cut - 1e-3], [cut], [cut + 1e-3]], dtype=DOUBLE)
        low, middle, high = target.log_prob(around)
        assert middle <= min(low, high)
    own = truth.mode_probabilities(torch.tensor([[-9.0], [1.0], [10.0]], dtype=DOUBLE))
    assert own.tolist() == torch.eye(3).tolist()


def test_shares_in_the_plane_are_those_of_separate_gaussians():
    truth = found("narrow mode in the plane")
    assert truth.mode_weights.tolist() == pytest.approx(NARROW, abs=2e-6)
    x = truth.sample(50_000, generator=torch.Generator().manual_seed(0))
    share = truth.mode_probabilities(x).mean(0)
    torch.testing.assert_close(share, truth.mode_weights, rtol=0, atol=5 * 0.5 / math.sqrt(len(x)))


def test_given_modes_are_those_that_count():
    target = targets.LogDensity(CASES["narrow mode"][0].log_prob, 1, dtype=DOUBLE, modes=[[-7.5], [0.5]])
    truth = with_truth(target)
    assert truth.modes[:, 0].tolist() == pytest.approx([-8, 0], abs=1e-3)
    assert abs(truth.log_z) < 1e-8  # the third is integrated none the less
    assert (
        with_truth(CASES["narrow mode"][0], modes=[[-7.5], [0.5]]).mode_weights.tolist() == truth.mode_weights.tolist()
    )


def spike(x):
    """A unit Gaussian with 0.9 of the mass, one of standard deviation 1e-5 with the rest."""
    wide = math.log(0.9 / (2 * math.pi)) - 0.5 * x.square().sum(-1)
    narrow = math.log(0.1 / (2e-10 * math.pi)) - 0.5e10 * (x - torch.tensor([3.3, 5.1], dtype=DOUBLE)).square().sum(-1)
    return torch.logaddexp(wide, narrow)


@pytest.mark.slow
def test_a_mode_too_narrow_to_be_seen_is_found_where_it_is_named():
    named = with_truth(targets.LogDensity(spike, 2, dtype=DOUBLE, modes=[[3.3, 5.1], [0.0, 0.0]]))
    assert abs(named.log_z) < 1e-8
    assert named.mode_weights.tolist() == pytest.approx([0.9, 0.1], abs=1e-6)
    unnamed = with_truth(targets.LogDensity(spike, 2, dtype=DOUBLE))  # what the docs say cannot be seen
    assert abs(unnamed.log_z - math.log(0.9)) < 1e-8


@pytest.mark.slow
def test_a_ring_has_no_modes():
    ring = targets.LogDensity(lambda x: -50 * (x.norm(dim=-1) - 3).square(), 2, dtype=DOUBLE)
    truth = with_truth(ring)
    assert len(truth.modes) == 1 if "modes" in truth.known else "modes" in truth.accuracy.left_out


def test_a_shallow_dip_makes_no_second_mode():
    truth = with_truth(plain(mixture([[-1.02], [1.02]], [1.0, 1.0], (0.5, 0.5))))
    assert len(truth.modes) == 1


# Refusals


def refused(target, match, **options):
    with pytest.raises(ValueError, match=match):
        with_truth(target, **options)


def test_refusals():
    refused(targets.Gaussian([0.0] * 3), "target: got dimension 3 for Gaussian, expected 1 or 2")
    refused(targets.Ising((3, 3), coupling=0.1), "is a law on configurations")
    refused(targets.LogDensity(lambda x: 0 * x[:, 0], 1, dtype=DOUBLE), "it is not normalisable")
    refused(targets.LogDensity(lambda x: -x[:, 0].square(), 2, dtype=DOUBLE), "it is not normalisable")
    refused(
        targets.LogDensity(lambda x: x[:, 0], 1, dtype=DOUBLE), "grows without end towards .* it is not normalisable"
    )
    refused(targets.LogDensity(lambda x: x[:, 0] - torch.inf, 1, dtype=DOUBLE), "no point with a finite density")
    refused(targets.LogDensity(lambda x: -x[:, 0].abs().log() - x[:, 0] ** 2, 1, dtype=DOUBLE), "is infinite at x")
    noise = torch.Generator().manual_seed(0)
    noisy = targets.LogDensity(
        lambda x: -(x[:, 0] ** 2) + 1e-4 * torch.rand(len(x), generator=noise, dtype=DOUBLE), 1, dtype=DOUBLE
    )
    refused(noisy, "uncertain by .* of Z, expected 1e-08: .*noise")


def test_bad_arguments():
    gaussian = targets.Gaussian([0.0], scale=1.0).to(dtype=DOUBLE)
    refused(gaussian, r"tolerance: got 0.1, expected a number from", tolerance=0.1)
    refused(gaussian, r"modes: got shape \(2,\), expected \(modes, 1\)", modes=[0.0, 1.0])
    with pytest.raises(TypeError, match="target: got function"):
        with_truth(lambda x: x)
    unit = targets.LogDensity(lambda x: torch.where(x[:, 0] > 0, -x[:, 0], -torch.inf * torch.ones_like(x[:, 0])), 1)
    refused(unit, r"modes: the density of <lambda> is -inf at \[-1.0\]", modes=[[-1.0]])


class Lying(targets.Gaussian):
    @property
    def log_z(self):
        return 0.5


def test_a_log_z_that_is_stated_wrongly_is_refused():
    refused(Lying([0.0], scale=1.0).to(dtype=DOUBLE), "states a log Z of 0.5, and by quadrature it is")


# It stays the target


def test_it_is_the_target_with_its_names_prior_and_place():
    target = edge()
    truth = with_truth(target)
    assert truth.name == target.name
    assert truth.variables == target.variables
    assert "prior" in truth.known
    assert truth.has_likelihood
    x = torch.randn(5, 1, dtype=DOUBLE)
    assert torch.equal(truth.log_prob(x), target.log_prob(x))
    assert torch.equal(truth.score(x), target.score(x))
    assert torch.equal(truth.log_likelihood(x), target.log_likelihood(x))
    single = truth.to(dtype=torch.float32)
    assert single.mean.dtype == single.sample(3, generator=torch.Generator()).dtype == torch.float32
    g = torch.Generator().manual_seed
    assert torch.equal(copy.deepcopy(truth).sample(9, generator=g(3)), truth.sample(9, generator=g(3)))


def test_it_goes_through_a_file():
    truth = with_truth(targets.Gaussian([1.0], scale=1.0).to(dtype=DOUBLE))
    again = pickle.loads(pickle.dumps(truth))
    assert again.log_z == truth.log_z
    assert torch.equal(again.mean, truth.mean)


def test_numpy_densities_without_a_gradient():
    target = targets.from_numpy(lambda x: stats.norm(2, 3).logpdf(x[:, 0]), dim=1)
    assert abs(with_truth(target).log_z) < 1e-8


# Mistakes that these tests must see

FAST = ("Gaussian", "narrow mode")


def _wrong():
    out = []
    for name in FAST:
        target, log_z, mean, covariance = CASES[name]
        try:
            truth = with_truth(target)
        except ValueError:
            return True
        sd = covariance.diagonal().sqrt()
        x = truth.sample(100_000, generator=torch.Generator().manual_seed(1))[:, 0]
        law = {"Gaussian": stats.norm(3, 2)}.get(name)
        out += [
            abs(truth.log_z - log_z) > 1e-8,
            bool(((truth.mean - mean).abs() / sd > 1e-6).any()),
            bool(((truth.covariance - covariance).abs() > 1e-6 * torch.outer(sd, sd)).any()),
            law is not None and stats.kstest(x, law.cdf).pvalue < 1e-4,
        ]
    return any(out)


def _lost_jacobian(patch):
    whole = panels.Frame.x
    patch.setattr(panels.Frame, "x", lambda self, t: (whole(self, t)[0], 0 * whole(self, t)[1]))


def _lost_scale(patch):
    whole = panels.Frame.x
    patch.setattr(
        panels.Frame,
        "x",
        lambda self, t: (whole(self, t)[0], whole(self, t)[1] - np.log(np.diag(self.matrix)).sum()),
    )


def _no_refinement(patch):
    patch.setattr(panels.Panels, "refine", lambda self, tolerance, weigh=None: np.zeros(1 + 9))


def _within_a_box_uniform(patch):
    patch.setattr(panels, "inverse", lambda c, u: 2 * u - 1)


def _uncentred(patch):
    def of(self, given):
        mean = given.expectation(self.g, self.size)
        return mean, given.expectation(lambda x: self.g(x)[:, None] * self.g(x), self.size**2)

    patch.setattr(quantities.Group, "of", of)


def _mass_unseen(patch):
    empty, original = np.empty((0, 1)), panels.Panels.around.__func__
    patch.setattr(
        panels.Panels, "around", classmethod(lambda cls, f, scan, top, *_: original(cls, f, scan, top, empty, empty))
    )
    patch.setattr(panels.Panels, "off", lambda self, scan: np.zeros(self.low.shape))


BUGS = (_lost_jacobian, _lost_scale, _no_refinement, _within_a_box_uniform, _uncentred, _mass_unseen)


def test_without_a_bug_nothing_is_wrong():
    assert not _wrong()


@pytest.mark.parametrize("bug", BUGS)
def test_bugs_are_found(bug, monkeypatch):
    bug(monkeypatch)
    assert _wrong()


def test_an_error_that_cannot_be_told_is_not_met(monkeypatch):
    monkeypatch.setitem(panels.MOST_BOXES, 1, 64)
    edges = np.linspace(-1, 1, 9)[:, None]
    line = panels.Panels(lambda x: -(x[:, 0] ** 2) / 2, Frame(np.zeros(1), np.eye(1)), 0.0, edges[:-1], edges[1:])
    line.mass = line._evaluate(line.low, line.high)
    nothing = line.refine(1e-8, lambda x: np.zeros((1, len(x))))  # its error relative to itself is 0 / 0
    assert nothing[0] < 1e-8
    assert math.isinf(nothing[1])


def test_weights_of_a_maximum_that_is_flat_on_top():
    """No parabola touches exp(-x^4), but paths climb to its top."""

    def density(x):
        return torch.logaddexp(-(x - 4.0).pow(4).sum(-1), -0.5 * (x + 4.0).square().sum(-1))

    truth = with_truth(targets.LogDensity(density, 2, dtype=DOUBLE))
    flat = (2 * math.gamma(1.25)) ** 2  # the integral of exp(-x^4) is 2 Gamma(5 / 4)
    assert truth.accuracy.mode_weights < 1e-3
    assert truth.mode_weights.tolist() == pytest.approx(
        [1 - flat / (flat + 2 * math.pi), flat / (flat + 2 * math.pi)], abs=1e-5
    )
    inside = truth.mode_probabilities(torch.tensor([[4.5, 3.0], [-3.0, -5.0]], dtype=DOUBLE))
    assert inside.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_modes_that_are_left_out_say_why():
    waves = with_truth(targets.LogDensity(lambda x: (3 * x.cos() - x.square() / 8000).sum(-1), 1, dtype=DOUBLE))
    assert "more than 32 maxima, the highest at x = [" in waves.accuracy.left_out["modes"]
    for name in ("modes", "mode_weights"):
        with pytest.raises(
            NotImplementedError, match=f"{name} is not known exactly: there are more than 32 maxima.*modes="
        ):
            getattr(waves, name)
