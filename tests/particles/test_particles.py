"""Particle methods: velocities against the formulas, exact fixed points, conserved quantities, seeded bugs, runs."""

import itertools
import math
import signal
from dataclasses import dataclass, replace

import pytest
import torch
from scipy import optimize

import samplers
import targets
from samplers import GFSD, GFSF, SVGD, Blob, SamplingWarning
from samplers.cli import main
from samplers.particles import gfsf, pair_kernels
from samplers.particles.arrival import complaint
from samplers.particles.pair_kernels import Pairs, median_squared_bandwidth

F64 = torch.float64
METHODS = {
    "SVGD, rbf": SVGD(),
    "SVGD, imq": SVGD("imq"),
    "GFSD": GFSD(),
    "Blob": Blob(),
    "GFSF, rbf": GFSF(tolerance=1e-13),
    "GFSF, imq": GFSF("imq", tolerance=1e-13),
}
EVERY = pytest.mark.parametrize("name", METHODS)


def points(n=12, dim=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator, dtype=F64) + 5.0, torch.randn(
        n, dim, generator=generator, dtype=F64
    )


def pair(kernel, h2, x, y):
    """K of two points, as printed."""
    squared = (x - y).square().sum(-1)
    return torch.exp(-squared / (2 * h2)) if kernel == "rbf" else (1 + squared / h2) ** -0.5


def matrices(kernel, h2, x):
    """K_ij and grad_{x_j} K_ij (i, j, dim), the gradient by automatic differentiation of single pairs."""
    n, dim = x.shape
    values, gradients = x.new_empty(n, n), x.new_empty(n, n, dim)
    for i in range(n):
        for j in range(n):
            y = x[j].clone().requires_grad_()
            value = pair(kernel, h2, x[i], y)
            values[i, j], (gradients[i, j],) = value.detach(), torch.autograd.grad(value, y)
    return values, gradients


def printed(method, x, score, h2):
    """The velocity by the printed formula, sum by sum."""
    k, second = matrices(method.kernel, h2, x)
    first = second.transpose(0, 1)  # grad_{x_i} K_ij, since K is symmetric
    n = len(x)
    if isinstance(method, SVGD):
        return torch.stack([sum(k[i, j] * score[j] + second[i, j] for j in range(n)) / n for i in range(n)])
    if isinstance(method, GFSF):
        inverse = torch.linalg.inv(k + n * method.ridge * torch.eye(n, dtype=F64))
        return score + torch.einsum("ik,kjd->id", inverse, second)
    v = torch.stack([score[i] - sum(first[i, j] for j in range(n)) / k[i].sum() for i in range(n)])
    if isinstance(method, Blob):
        v -= torch.stack([sum(first[i, j] / k[j].sum() for j in range(n)) for i in range(n)])
    return v


def check_formula(method, *, dim=3):
    x, score = points(dim=dim)
    h2 = torch.tensor(1.7, dtype=F64)
    torch.testing.assert_close(method.velocity(x, score, h2), printed(method, x, score, h2), rtol=1e-10, atol=1e-10)


@EVERY
@pytest.mark.parametrize("dim", [1, 3])
def test_velocity_is_the_printed_formula(name, dim):
    check_formula(METHODS[name], dim=dim)


class RepulsionReversed(Pairs):
    """grad_{x_i} in place of grad_{x_j}."""

    def repulsion(self, block, weights=None):
        return -super().repulsion(block, weights)


class WeightsOfTheOtherParticle(Pairs):
    """The weights of Blob's second sum taken at i instead of j."""

    def repulsion(self, block, weights=None):
        return super().repulsion(block) * (1.0 if weights is None else weights[block.rows, None])


class SlopeForgotten(Pairs):
    """K in place of K^3 in the gradient of imq."""

    def _slope(self, value):
        return value


class BandwidthNotSquared(Pairs):
    """h in place of h^2 in the gradient, K itself right."""

    def repulsion(self, block, weights=None):
        return super().repulsion(block, weights) * self.squared_bandwidth.sqrt()


@dataclass(frozen=True)
class SVGDWithoutMean(SVGD):
    """The sum over particles in place of the mean."""

    def velocity(self, x, score, squared_bandwidth):
        return len(x) * super().velocity(x, score, squared_bandwidth)


@dataclass(frozen=True)
class SVGDOwnScore(SVGD):
    """s(x_i) in place of s(x_j)."""

    def velocity(self, x, score, squared_bandwidth):
        none = super().velocity(x, torch.zeros_like(score), squared_bandwidth)
        mean = Pairs(x, self.kernel, squared_bandwidth).row_sums()[:, None] / len(x)
        return none + mean * score


@dataclass(frozen=True)
class GFSFWithoutInverse(GFSF):
    """B in place of K^-1 B."""

    def _solve(self, pairs, right):
        return right * len(right)


BUGS = {
    "repulsion turned to attraction": (METHODS, RepulsionReversed),
    "weights of the other particle": (["Blob"], WeightsOfTheOtherParticle),
    "slope forgotten": (["SVGD, imq", "GFSF, imq"], SlopeForgotten),
    "bandwidth not squared": (METHODS, BandwidthNotSquared),
}


@pytest.mark.parametrize(("bug", "name"), [(bug, name) for bug, (names, _) in BUGS.items() for name in names])
def test_seeded_bugs_in_the_sums_are_rejected(bug, name, monkeypatch):
    module = type(METHODS[name]).__module__
    monkeypatch.setattr(f"{module}.Pairs", BUGS[bug][1])
    with pytest.raises(AssertionError):
        check_formula(METHODS[name])


@pytest.mark.parametrize("bug", [SVGDWithoutMean(), SVGDOwnScore(), GFSFWithoutInverse(), GFSF(tolerance=1e-3)])
def test_seeded_bugs_in_the_methods_are_rejected(bug):
    with pytest.raises(AssertionError):
        check_formula(bug)


@EVERY
def test_blocks_add_up(name, monkeypatch):
    x, score = points(n=50)
    h2 = torch.tensor(0.6, dtype=F64)
    whole = METHODS[name].velocity(x, score, h2)
    monkeypatch.setattr(pair_kernels, "BLOCK_BYTES", 7 * 50 * 8)  # blocks of seven rows, and a last one of one row
    torch.testing.assert_close(METHODS[name].velocity(x, score, h2), whole, rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(pair_kernels, "HELD_BYTES", 0)
    torch.testing.assert_close(METHODS[name].velocity(x, score, h2), whole, rtol=1e-12, atol=1e-12)


@EVERY
def test_velocity_turns_with_the_coordinates_and_knows_no_origin_and_no_order(name):
    method, (x, score), h2 = METHODS[name], points(), torch.tensor(1.3, dtype=F64)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=F64))[0]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(2))
    v = method.velocity(x, score, h2)
    torch.testing.assert_close(method.velocity(x @ turn, score @ turn, h2), v @ turn, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(method.velocity(x + 1000.0, score, h2), v, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(method.velocity(x[order], score[order], h2), v[order], rtol=1e-10, atol=1e-10)


def energy(target, x, h2):
    """Blob's F."""
    return torch.cdist(x, x).square().div(-2 * h2).logsumexp(1).sum() - target.log_prob(x).sum()


def test_blob_is_the_gradient_flow_of_its_energy_which_falls_in_every_small_step():
    target, h2 = targets.benchmark("banana").to(dtype=F64), torch.tensor(0.3, dtype=F64)
    x = points(dim=2)[0].requires_grad_()
    squared = (x[:, None] - x[None]).square().sum(-1)  # the root in cdist has no gradient at zero
    value = squared.div(-2 * h2).logsumexp(1).sum() - target.log_prob(x).sum()
    (gradient,) = torch.autograd.grad(value, x)
    velocity = Blob().velocity(x.detach(), target.score(x.detach()), h2)
    torch.testing.assert_close(velocity, -gradient, rtol=1e-10, atol=1e-10)

    gaussian = targets.Gaussian(torch.zeros(2, dtype=F64))
    method, energies = Blob(bandwidth=0.5, step_size=0.02, optimiser="sgd"), []
    state = method.init(gaussian, points(n=40, dim=2)[0])
    for t in range(100):
        energies.append(float(energy(gaussian, state.x, 0.25)))
        state, _ = method.step(gaussian, state, t)
    assert all(later < earlier for earlier, later in itertools.pairwise(energies))


def test_the_mean_under_blob_moves_as_if_there_were_no_repulsion():
    """Its repulsions cancel: on N(0, I) a step e takes the mean m of the particles to (1 - e) m, exactly."""
    target = targets.Gaussian(torch.zeros(3, dtype=F64))
    method = Blob(step_size=0.1, optimiser="sgd")
    state = method.init(target, points()[0])
    for t in range(20):
        expected = 0.9 * state.x.mean(0)
        state, _ = method.step(target, state, t)
        torch.testing.assert_close(state.x.mean(0), expected, rtol=1e-12, atol=1e-12)


# Fixed points in closed form: two particles at distance r on N(0, 1), h given, K = K(r)


def distance(method, h2):
    """Where attraction and repulsion of two particles balance."""
    r2 = lambda k: -2 * h2 * math.log(k)  # noqa: E731
    if isinstance(method, SVGD) and method.kernel == "rbf":  # 1 = K + 2 K / h^2
        return math.sqrt(r2(1 / (1 + 2 / h2)))
    if isinstance(method, SVGD):  # 1 = K + 2 K^3 / h^2
        k = optimize.brentq(lambda k: k + 2 * k**3 / h2 - 1, 1e-6, 1, xtol=1e-15)
        return math.sqrt(h2 * (k**-2 - 1))
    if isinstance(method, GFSD):  # 1 + K = 2 K / h^2
        return math.sqrt(r2(1 / (2 / h2 - 1)))
    if isinstance(method, Blob):  # 1 + K = 4 K / h^2
        return math.sqrt(r2(1 / (4 / h2 - 1)))
    ridge = 2 * method.ridge
    if method.kernel == "rbf":  # 1 - K + 2 ridge = 2 K / h^2
        return math.sqrt(r2((1 + ridge) / (1 + 2 / h2)))
    k = optimize.brentq(lambda k: 1 - k + ridge - 2 * k**3 / h2, 1e-6, 1, xtol=1e-15)
    return math.sqrt(h2 * (k**-2 - 1))


@EVERY
@pytest.mark.parametrize("optimiser", ["sgd", "adagrad", "adam"])
def test_two_particles_come_to_rest_where_the_forces_balance(name, optimiser):
    h2 = 0.5
    steps = {"sgd": 0.1, "adagrad": 0.3, "adam": 0.01}
    method = replace(METHODS[name], bandwidth=math.sqrt(h2), step_size=steps[optimiser], optimiser=optimiser)
    start = torch.tensor([[-0.2], [0.5]])
    target = targets.Gaussian(torch.zeros(1, dtype=F64))
    draws = method.sample(target, draws=2, iterations=500, init=start)
    expected = torch.tensor([-0.5, 0.5], dtype=F64) * distance(method, h2)
    torch.testing.assert_close(draws.x[0, :, 0], expected, rtol=1e-6, atol=1e-6)


@EVERY
def test_one_particle_climbs_to_the_mode(name):
    """v is the score: on N(m, I) a step e takes x - m to (1 - e) (x - m)."""
    mode = torch.tensor([2.0, -1.0], dtype=F64)
    method = replace(METHODS[name], step_size=0.5, optimiser="sgd")
    draws = method.sample(targets.Gaussian(mode), draws=1, iterations=10, init=torch.zeros(1, 2))
    torch.testing.assert_close(draws.x[0, 0], mode * (1 - 0.5**10), rtol=1e-12, atol=0)


# What exact draws and converged particles satisfy


def stein_terms(kernel, h2, target, x, i):
    """K_ij s(x_j) + grad_{x_j} K_ij for all j, of mean zero over exact draws x_j whatever x_i is."""
    at = x[i].expand_as(x)
    y = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(pair(kernel, h2, at, y).sum(), y)
    return pair(kernel, h2, at, x)[:, None] * target.score(x) + gradient


def check_stein(method, generator):
    """Stein's identity: without its own term, n v_i is a sum of n - 1 independent terms of mean zero."""
    target = targets.benchmark("banana").to(dtype=F64)
    n, h2 = 4000, torch.tensor(4.0, dtype=F64)
    x = target.sample(n, generator=generator)
    score = target.score(x)
    v = method.velocity(x, score, h2)
    for i in range(5):
        terms = stein_terms(method.kernel, h2, target, x, i)
        spread = torch.cat([terms[:i], terms[i + 1 :]]).std(0)
        assert ((n * v[i] - score[i]).abs() <= 4 * spread * math.sqrt(n - 1)).all()


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_exact_draws_have_no_mean_velocity(kernel, generator):
    check_stein(SVGD(kernel), generator)


def test_exact_draws_have_one_under_a_seeded_bug(generator, monkeypatch):
    monkeypatch.setattr("samplers.particles.svgd.Pairs", RepulsionReversed)
    with pytest.raises(AssertionError):
        check_stein(SVGD(), generator)


def discrepancy(target, x, h2):
    """Squared kernel Stein discrepancy with the imq kernel, V-statistic."""
    score, dim = target.score(x), x.shape[1]
    difference = x[:, None] - x[None]
    u = 1 + difference.square().sum(-1) / h2
    products = score @ score.mT * u**-0.5
    cross = ((score[:, None] - score[None]) * difference).sum(-1) * u**-1.5 / h2
    trace = dim * u**-1.5 / h2 - 3 * difference.square().sum(-1) * u**-2.5 / h2**2
    return float((products + cross + trace).mean())


@pytest.mark.parametrize("method", [SVGD(), SVGD("imq"), Blob(), GFSF("imq")], ids=lambda method: repr(method)[:18])
def test_particles_are_closer_to_a_mixture_than_as_many_exact_draws(method):
    """E KSD^2 of n exact draws is E[|s|^2 + dim / h^2] / n; half of the start is the mirror of the other."""
    means = torch.tensor([[-1.5, 0.0], [1.5, 0.0]], dtype=F64)
    target = targets.GaussianMixture(means, scales=[1.0, 1.0])
    exact = target.sample(4000, generator=torch.Generator().manual_seed(1))
    half = 3 * torch.randn(50, 2, generator=torch.Generator().manual_seed(2), dtype=F64)
    start = torch.cat([half, -half])
    draws = method.sample(target, draws=100, iterations=300, init=start)
    x = draws.x[0]
    found, begun = discrepancy(target, x, 1.0), discrepancy(target, start, 1.0)
    assert found < begun
    assert found < float(target.score(exact).square().sum(-1).mean() + 2) / 100
    # target and start look the same from both sides, and so do the particles, while rounding is not blown up
    assert int((x[:, 0] > 0).sum()) == 50


def test_median_is_that_of_all_pairs_and_of_a_thousand_particles_where_there_are_more(monkeypatch):
    x = points(n=40)[0]
    pairs = torch.pdist(x).square()
    torch.testing.assert_close(median_squared_bandwidth(x, "imq"), pairs.median())
    torch.testing.assert_close(median_squared_bandwidth(x, "rbf"), pairs.median() / (2 * math.log(41)))
    monkeypatch.setattr(pair_kernels, "MEDIAN_OF", 15)
    torch.testing.assert_close(median_squared_bandwidth(x, "imq"), torch.pdist(x[::3]).square().median())


# Runs


class Stopping(targets.Target):
    """The banana, which raises or is interrupted at its n-th evaluation."""

    def __init__(self, at=-1, error=RuntimeError):
        super().__init__(2, dtype=F64, name="banana")
        self.inner, self.at, self.error, self.calls = targets.benchmark("banana").to(dtype=F64), at, error, 0

    def log_prob(self, x):
        return self.inner.log_prob(x)

    def log_prob_and_score(self, x):
        self.calls += 1
        if self.calls == self.at:
            if self.error is not None:
                raise self.error("stopped")
            signal.raise_signal(signal.SIGINT)
        return self.inner.log_prob_and_score(x)


SMALL = {"draws": 20, "iterations": 30, "seed": 3}


@EVERY
def test_same_seed_same_bits_and_another_seed_others(name):
    method, before = METHODS[name], torch.get_rng_state()
    first, again, other = (method.sample(Stopping(), **{**SMALL, "seed": seed}) for seed in (3, 3, 4))
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.x, other.x)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.filterwarnings("ignore:the particles have not arrived")  # in so few iterations
@EVERY
@pytest.mark.parametrize("optimiser", ["sgd", "adagrad", "adam"])
@pytest.mark.parametrize("at", [2, 17])
def test_a_run_that_crashes_continues_to_the_same_bits(name, optimiser, at, tmp_path):
    method = replace(METHODS[name], optimiser=optimiser, step_size=0.01)
    whole = method.sample(Stopping(), **SMALL)
    with pytest.raises(RuntimeError, match="stopped"):
        method.sample(Stopping(at), checkpoint=tmp_path / "run.pt", **SMALL)
    rest = Stopping()
    continued = method.sample(rest, checkpoint=tmp_path / "run.pt", **SMALL)
    assert rest.calls == 30 - (at - 2)
    assert torch.equal(whole.x, continued.x)
    assert torch.equal(whole.stats["lp"], continued.stats["lp"])
    assert (whole.cost.log_prob, whole.cost.score) == (continued.cost.log_prob, continued.cost.score) == (620, 620)


def test_ctrl_c_returns_the_particles_so_far_and_the_run_continues(tmp_path):
    whole, part = (SVGD().sample(Stopping(), **{**SMALL, "iterations": n}) for n in (30, 11))
    with pytest.warns(SamplingWarning, match="interrupted after 11 of 30 iterations"):
        draws = SVGD().sample(Stopping(12, error=None), checkpoint=tmp_path / "run.pt", **SMALL)
    assert torch.equal(draws.x, part.x)
    assert draws.attrs["done"] == 11
    assert torch.equal(SVGD().sample(Stopping(), checkpoint=tmp_path / "run.pt", **SMALL).x, whole.x)


def test_a_checkpoint_of_another_run_or_target_is_refused(tmp_path):
    options = {**SMALL, "checkpoint": tmp_path / "run.pt"}
    SVGD().sample(Stopping(), **options)
    with pytest.raises(ValueError, match="sampler is 'SVGD' there and 'GFSD' here"):
        GFSD().sample(Stopping(), **options)
    other = targets.Gaussian(torch.zeros(2, dtype=F64), name="banana")
    with pytest.raises(ValueError, match="belongs to another target"):
        SVGD().sample(other, **options)


def test_what_a_run_records(tmp_path):
    draws = SVGD().sample(targets.benchmark("banana"), **SMALL)
    assert draws.x.shape == (1, 20, 2)
    assert draws.stats["lp"].shape == (1, 20)
    torch.testing.assert_close(draws.stats["lp"], draws.target.log_prob(draws.x))
    assert (draws.cost.log_prob, draws.cost.score) == (31 * 20, 31 * 20)
    assert draws.attrs["hyperparameters"] == SVGD().hyperparameters()
    assert draws.attrs["iterations"] == draws.attrs["done"] == 30
    again = samplers.Draws.load(draws.save(tmp_path / "run.nc"))
    assert torch.equal(again.x, draws.x)
    assert again.attrs["final_bandwidth"] == draws.attrs["final_bandwidth"]


@pytest.mark.filterwarnings("ignore:the particles have not arrived")  # in so few iterations
def test_starts_are_the_priors_where_there_is_one_and_are_drawn_again_where_the_density_is_not_finite():
    prior = torch.distributions.Normal(0.0, 5.0)
    model = targets.Posterior(log_likelihood=lambda mu: -((mu - 1) ** 2), parameters={"mu": targets.Real(prior=prior)})
    start = SVGD().sample(model, **{**SMALL, "iterations": 0}).x[0]
    assert torch.equal(start, model.prior.sample(20, generator=torch.Generator().manual_seed(3)))
    right = targets.LogDensity(lambda x: (-x + x.log()).sum(-1), dim=1)  # NaN below zero
    assert (SVGD().sample(right, **{**SMALL, "iterations": 0}).x > 0).all()


@pytest.mark.parametrize("optimiser", ["sgd", "adagrad", "adam"])
def test_a_move_that_is_not_finite_is_not_made_and_counted(optimiser):
    """Gamma(2, 1), NaN below zero: the first goes there (v = -0.3), the second up (v = 0.125), too far to interact."""
    target = targets.LogDensity(lambda x: (-x + x.log()).sum(-1), dim=1, dtype=F64)
    method = SVGD(step_size=10.0, optimiser=optimiser, bandwidth=0.1)
    start = torch.tensor([[2.5], [0.8]], dtype=F64)
    state, stayed = method.step(target, method.init(target, start), 0)
    assert stayed.tolist() == [True, False]
    assert state.x[0] == 2.5
    assert state.x[1] != 0.8
    torch.testing.assert_close(state.log_prob, target.log_prob(state.x))
    torch.testing.assert_close(state.score, target.score(state.x))
    with pytest.warns(SamplingWarning, match=r"1 of 2 moves were not made \(particles: 1 of 2\)"):
        draws = method.sample(target, draws=2, iterations=1, init=start)
    assert draws.divergences.tolist() == [1]


def test_conjugate_gradients_that_do_not_arrive_say_so(monkeypatch):
    monkeypatch.setattr(gfsf, "MOST_ITERATIONS", 2)
    with pytest.warns(SamplingWarning, match="conjugate gradients left a relative residual"):
        GFSF(tolerance=1e-12).velocity(*points(), torch.tensor(1.0, dtype=F64))


@EVERY
@pytest.mark.parametrize("optimiser", ["sgd", "adagrad", "adam"])
@pytest.mark.parametrize("bandwidth", ["median", 0.7])
def test_a_step_on_meta(name, optimiser, bandwidth, monkeypatch):
    monkeypatch.setattr(gfsf, "_reached", lambda size, goal: False)  # meta tensors have no values to compare
    monkeypatch.setattr(gfsf, "MOST_ITERATIONS", 3)
    monkeypatch.setattr(gfsf, "_complain", lambda *arguments: None)
    method = replace(METHODS[name], optimiser=optimiser, bandwidth=bandwidth)
    target = targets.GaussianMixture(torch.zeros(3, 2), scales=[1.0, 2.0, 3.0]).to("meta")
    state, stayed = method.step(target, method.init(target, torch.zeros(5, 2, device="meta")), 0)
    assert state.x.device.type == state.second.device.type == stayed.device.type == "meta"
    assert state.x.shape == (5, 2)


def test_float32_follows_float64():
    x, score = points(n=200)
    for method in METHODS.values():
        method = replace(method, tolerance=1e-6) if isinstance(method, GFSF) else method
        h2 = torch.tensor(0.8, dtype=F64)
        exact, rough = method.velocity(x, score, h2), method.velocity(x.float(), score.float(), h2.float())
        # sums of 200 products of rounded numbers; GFSF divides by a matrix of condition 1 / ridge
        allowed = 200 * 1.2e-7 * (1 / method.ridge if isinstance(method, GFSF) else 1) * exact.abs().max()
        assert (exact - rough).abs().max() < allowed


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@EVERY
def test_a_run_on_a_gpu(name):
    target = targets.Gaussian(torch.zeros(2))
    method = replace(METHODS[name], tolerance=1e-4) if "GFSF" in name else METHODS[name]
    draws = method.sample(target, draws=300, iterations=200, device="cuda")
    assert draws.x.device.type == "cuda"
    assert bool(draws.x.isfinite().all())


# The command


@pytest.mark.slow
def test_the_command_and_the_comparison_know_them(tmp_path, capsys):
    out = tmp_path / "run.nc"
    arguments = ["sample", "banana", "--sampler", "svgd", "--draws", "20", "--iterations", "5", "--out", str(out)]
    assert main(arguments) == 0
    assert samplers.Draws.load(out).attrs["iterations"] == 5
    assert main([*arguments, "--chains", "4"]) == 2
    assert "chains" in capsys.readouterr().err
    result = samplers.compare(
        {"banana": targets.benchmark("banana")},
        {"svgd": SVGD(), "mala": samplers.MALA()},
        chains=4, draws=50, warmup=10, iterations=5,
    )  # fmt: skip
    assert list(result.table["error"]) == ["", ""]
    assert result.draws["banana", "svgd", 0].x.shape == (1, 50, 2)


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": "laplace"}, "kernel: got 'laplace', expected 'rbf' or 'imq'"),
        ({"optimiser": "lbfgs"}, "optimiser: got 'lbfgs', expected 'adagrad', 'sgd' or 'adam'"),
        ({"bandwidth": "mean"}, "bandwidth: got 'mean', expected 'median' or a positive number"),
        ({"bandwidth": -1.0}, "bandwidth: got -1.0, expected a positive finite number"),
        ({"step_size": 0.0}, "step_size: got 0.0, expected a positive finite number"),
    ],
)
@pytest.mark.parametrize("kind", [SVGD, GFSD, Blob, GFSF])
def test_bad_hyperparameters_are_named(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


def test_hyperparameters_of_single_methods_are_named():
    for kind in (GFSD, Blob):
        with pytest.raises(ValueError, match=f"kernel: got 'imq', which has no finite integral, and {kind.__name__}"):
            kind("imq")
    for name in ("ridge", "tolerance"):
        with pytest.raises(ValueError, match=f"{name}: got 0"):
            GFSF(**{name: 0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws: got 0, expected an integer of at least 1"),
        ({"iterations": -1}, "iterations: got -1, expected an integer of at least 0"),
        ({"seed": 1.5}, "seed: got 1.5"),
        ({"init": torch.zeros(3, 2)}, r"init: got \(3, 2\), expected \(20, 2\)"),
        ({"init": torch.zeros(20, 2)}, "init: at least half of the pairs of particles coincide"),
        ({"init": torch.full((20, 2), math.inf)}, "init: the density is not finite where particle 0 starts"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SVGD().sample(Stopping(), **{**SMALL, **options})


def test_the_particle_whose_score_is_not_finite_is_named():
    start = torch.ones(20, 1)
    start[7] = -1.0
    right = targets.LogDensity(lambda x: (-x + x.log()).sum(-1), dim=1)
    with pytest.raises(ValueError, match=r"where particle 7 starts: log_prob nan and score .* \(1 of 20 particles\)"):
        SVGD().sample(right, **SMALL, init=start)


def test_only_continuous_targets():
    with pytest.raises(TypeError, match="is discrete and SVGD moves in R\\^n"):
        SVGD().sample(targets.discrete.UniformSites(3, [-1.0, 1.0]))
    with pytest.raises(TypeError, match="target: got function, expected a targets.Target"):
        SVGD().sample(lambda x: x)


def test_the_bar_shows_how_far_it_is(capsys):
    SVGD().sample(Stopping(), progress=True, **SMALL)
    shown = capsys.readouterr().err
    assert "SVGD on banana" in shown
    assert "mean lp" in shown


def spread_particles(dim, factor, shift, generator):
    """Exact draws of a correlated Gaussian, moved and widened, with its scores there."""
    factor_matrix = torch.eye(dim, dtype=torch.float64) + 0.9 * torch.ones(dim, dim, dtype=torch.float64).tril(-1)
    target = targets.Gaussian(torch.zeros(dim, dtype=torch.float64), covariance=factor_matrix @ factor_matrix.mT)
    x = factor * target.sample(200, generator=generator) + shift
    return x, target.score(x)


@pytest.mark.parametrize("dim", [1, 2, 10])
@pytest.mark.parametrize(
    ("factor", "shift", "said"),
    [
        (1.0, 0.0, None),
        (0.6, 0.0, None),
        (100.0, 0.0, "lie too widely"),
        (1.0, 50.0, "point the same way"),
        (0.01, 0.0, "far closer together"),
    ],
)
def test_particles_that_have_not_arrived_are_told_from_those_that_have(dim, factor, shift, said, generator):
    found = complaint(*spread_particles(dim, factor, shift, generator))
    assert found is None if said is None else said in found


@pytest.mark.parametrize("method", [SVGD(), Blob()], ids=["SVGD", "Blob"])
def test_a_narrow_posterior_not_reached_is_said(method):
    narrow = targets.Gaussian(torch.full((2,), 1.5, dtype=torch.float64), 0.002)
    with pytest.warns(SamplingWarning, match="the particles have not arrived"):
        method.sample(narrow, draws=50, iterations=20)
