import math
from dataclasses import replace

import pytest
import torch
from every_outcome import Forced, outcomes_of

import targets
from samplers import MALA
from samplers.denoisers import default_denoiser
from samplers.denoisers.base import UntrustedEstimate
from samplers.denoisers.spins import (
    TAP,
    BeliefPropagation,
    Enumeration,
    GibbsMeans,
    MeanField,
    MRFShaped,
    TransferMatrix,
    default_spin_denoiser,
)
from samplers.denoisers.spins.posterior import SpinPosterior, independent_spins
from samplers.kernels import Kernel, evaluate
from samplers.kernels.metropolis import always
from samplers.smoothing import GivenMeasurements, Noisy, WalkJump
from samplers.testing import check_invariance, check_reversible, check_stationary, transition_matrix
from targets import CorrelatedNoise, IsotropicNoise, MRFNoise
from targets.base import differentiate
from targets.counting import Counted

F64 = torch.float64
CRITICAL = math.log(1 + math.sqrt(2)) / 2


def random_mrf(n, seed=0, scale=0.5):
    generator = torch.Generator().manual_seed(seed)
    upper = scale * torch.randn(n, n, generator=generator, dtype=F64).triu(1)
    return targets.PairwiseMRF(upper + upper.mT, 0.5 * torch.randn(n, generator=generator, dtype=F64))


def random_tree(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.zeros(n, n, dtype=F64)
    for site in range(1, n):
        other = int(torch.randint(site, (), generator=generator))
        matrix[site, other] = matrix[other, site] = torch.randn((), generator=generator, dtype=F64)
    return targets.PairwiseMRF(matrix, 0.7 * torch.randn(n, generator=generator, dtype=F64))


def tilted_torus(shape, coupling=0.3):
    field = 0.4 * torch.randn(shape, generator=torch.Generator().manual_seed(8), dtype=F64)
    return targets.Ising(shape, coupling, field, temperature=0.9, dtype=F64)


MODELS = {
    "3 x 3": tilted_torus((3, 3)),
    "3 x 4 with no fields": targets.Ising((3, 4), [0.5, -0.3], dtype=F64),
    "open strip": targets.Ising((2, 5), 0.6, 0.2, periodic=False, dtype=F64),
    "graph": random_mrf(8),
    "tree": random_tree(9),
    "open square": targets.Ising((2, 3), 0.4, [[0.1, -0.2, 0.3], [0.0, 0.5, 0.2]], periodic=False, dtype=F64),
}


def noises(model):
    n = model.dim
    wave = torch.linspace(0.3, 1.4, n, dtype=F64)
    couple = 0.2 * torch.ones(n, n, dtype=F64) + torch.diag(wave)
    return {
        "shape": MRFNoise(model),
        "shape, another shift": MRFNoise(model, "dominance"),
        "shape and a number": MRFNoise(model, extra=0.7),
        "shape and a diagonal": MRFNoise(model, extra=wave),
        "two of the shape": MRFNoise(model).scaled(0.5),
        "isotropic": IsotropicNoise(0.9),
        "variances": CorrelatedNoise(wave),
        "covariance": CorrelatedNoise(couple),
    }


CANCELS = ("shape", "shape, another shift", "shape and a number", "shape and a diagonal")
ON_THE_GRAPH = (*CANCELS, "two of the shape", "isotropic", "variances")
KINDS = (*ON_THE_GRAPH, "covariance")


def brute_force(model, noise, y):
    """phi, P(s | y) and E[s | y] from all configurations and the density of the noise as a matrix."""
    s = model.enumerate()
    law = torch.distributions.MultivariateNormal(torch.zeros(model.dim, dtype=F64), noise.covariance(model.dim))
    joint = model.log_prob(s) + law.log_prob(y[:, None] - s)
    return joint.logsumexp(-1), joint.softmax(-1), joint.softmax(-1) @ s


def measurements(model, noise, n=6, seed=3):
    generator = torch.Generator().manual_seed(seed)
    x = model.sample(n, generator=generator)
    return x + 1.3 * noise.sample_like(x, generator)


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def lattices():
    return [name for name, model in MODELS.items() if isinstance(model, targets.Ising)]


EXACT = [
    *[(MRFShaped(), model, kind) for model in MODELS for kind in CANCELS],
    *[(Enumeration(), model, kind) for model in MODELS for kind in KINDS],
    *[(TransferMatrix(), model, kind) for model in lattices() for kind in ON_THE_GRAPH],
]


@pytest.mark.parametrize(("denoiser", "model", "kind"), EXACT)
def test_exact_denoisers_are_those_of_enumeration(denoiser, model, kind):
    model = MODELS[model]
    noise = noises(model)[kind]
    y = measurements(model, noise)
    phi, _, mean = brute_force(model, noise, y)
    found = denoiser.estimate(model, y, noise, None)
    assert denoiser.exact
    assert denoiser.density
    close(found.log_density, phi)
    close(found.mean, mean)
    assert found.error is found.ess is found.trusted is found.memory is None


@pytest.mark.parametrize("coupling", [0.2, CRITICAL])
def test_the_four_by_four_torus(coupling):
    """2^16 configurations; E[s s'] at a measurement of zero has the largest eigenvalue n E[m^2] of the table."""
    model = targets.Ising((4, 4), coupling, dtype=F64)
    shaped = MRFNoise(model, extra=0.3)
    y = measurements(model, shaped, 3)
    phi, _, mean = brute_force(model, shaped, y)
    for denoiser in (MRFShaped(), Enumeration(), TransferMatrix()):
        found = denoiser.estimate(model, y, shaped, None)
        close(found.log_density, phi)
        close(found.mean, mean)
    isotropic = IsotropicNoise(1.7)
    y = measurements(model, isotropic, 3)
    phi, _, mean = brute_force(model, isotropic, y)
    for denoiser in (Enumeration(), TransferMatrix()):
        found = denoiser.estimate(model, y, isotropic, None)
        close(found.log_density, phi)
        close(found.mean, mean)


# Draws


@pytest.mark.parametrize(
    ("denoiser", "model", "kind"), [case for case in EXACT if case[1] in ("3 x 3", "graph", "open square")]
)
def test_every_outcome_of_a_draw_has_its_probability(denoiser, model, kind):
    model = MODELS[model]
    noise = noises(model)[kind]
    y = measurements(model, noise, 2)
    _, expected, _ = brute_force(model, noise, y)
    forced = Forced(torch.arange(2**model.dim).repeat(2))
    with forced.in_place_of_chance(Enumeration):
        x = denoiser.draw(model, y.repeat_interleave(2**model.dim, 0), noise, None)
    assert forced.outcomes == 2**model.dim
    number = ((x > 0).long() * 2 ** torch.arange(model.dim - 1, -1, -1)).sum(-1).unflatten(0, (2, -1))
    law = torch.zeros_like(expected).scatter_add_(1, number, forced.probability.unflatten(0, (2, -1)))
    torch.testing.assert_close(law, expected, rtol=0, atol=1e-12)


def test_more_measurements_than_are_held_at_once(generator):
    model, noise = targets.Ising((6, 6), 0.3, 0.1, dtype=F64), IsotropicNoise(1.0)
    y = measurements(model, noise, 200)
    found = TransferMatrix().estimate(model, y, noise)
    close(found.mean[-1:], TransferMatrix().estimate(model, y[-1:], noise).mean)
    x = TransferMatrix().draw(model, y, noise, generator)
    gap = (x * found.mean).sum(-1) - found.mean.square().sum(-1)
    assert abs(float(gap.mean() / (gap.std() / 200**0.5))) < 4


class Sweep(Kernel):
    """A heat-bath sweep at one measurement, as a kernel on the posterior model."""

    def __init__(self, posterior, y):
        self.posterior, self.y = posterior, y

    def init(self, target, x, generator):
        return evaluate(target, x, score=False)

    def step(self, target, state, generator):
        tilt = self.posterior.tilt(self.y).expand(len(state.x), -1)
        x, means = self.posterior.sweep(state.x, tilt, self.posterior.model, generator)
        self.means = means
        return always(state, evaluate(target, x, score=False))


SWEPT = {
    "ring of three": targets.Ising(3, 0.5, [0.1, 0.3, -0.2], dtype=F64),
    "graph of four": random_mrf(4, 1),
    "open square": targets.Ising((2, 2), 0.7, 0.1, periodic=False, dtype=F64),
}


@pytest.mark.parametrize("kind", ["two of the shape", "isotropic", "variances", "covariance"])
@pytest.mark.parametrize("model", SWEPT)
def test_sweeps_leave_the_posterior_invariant(model, kind):
    model = SWEPT[model]
    noise = noises(model)[kind]
    y = measurements(model, noise, 1)
    kernel = Sweep(SpinPosterior.of(model, noise), y)
    matrix = transition_matrix(outcomes_of(kernel, model), model.enumerate())
    given = GivenMeasurements(model, y[0], noise)
    check_stationary(matrix, given.log_prob(model.enumerate()))


def test_means_on_the_way_average_to_the_posterior_mean():
    """sum over states and outcomes of a sweep of P(s | y) P(outcome) tanh(local fields) = E[s | y]."""
    for model in SWEPT.values():
        noise = noises(model)["variances"]
        y = measurements(model, noise, 1)
        kernel = Sweep(SpinPosterior.of(model, noise), y)
        _, weights, mean = brute_force(model, noise, y)
        states, outcomes = model.enumerate(), 2**model.dim
        forced = Forced(torch.arange(outcomes).repeat(len(states)))
        with forced.in_place_of_chance(kernel):
            kernel.step(model, kernel.init(model, states.repeat_interleave(outcomes, 0), None), None)
        probability = weights[0].repeat_interleave(outcomes) * forced.probability
        close(probability @ kernel.means, mean[0])


@pytest.mark.parametrize("denoiser", [MeanField(), TAP(), BeliefPropagation(), GibbsMeans()])
def test_draws_of_approximations_come_from_sweeps(denoiser, generator):
    model = MODELS["3 x 3"]
    noise = IsotropicNoise(1.0)
    y = measurements(model, noise, 1)
    _, weights, mean = brute_force(model, noise, y)
    x = denoiser.draw(model, y.expand(4_000, -1), noise, generator)
    spread = (1 - mean[0].square()).sqrt() / len(x) ** 0.5
    assert float(((x.mean(0) - mean[0]) / spread).abs().max()) < 4
    s = model.enumerate()
    pair = weights[0] @ (s[:, :1] * s)
    gap = (x[:, :1] * x).mean(0)[1:] - pair[1:]
    assert float((gap / ((1 - pair[1:].square()).sqrt() / len(x) ** 0.5)).abs().max()) < 4


# The law of a measurement


@pytest.mark.parametrize("model", ["3 x 3", "graph"])
def test_the_measurement_is_the_relaxed_model(model):
    model = MODELS[model]
    relaxed = model.relaxed("dominance", coordinates="w")
    law = Noisy(model, MRFNoise(model, "dominance"))
    y = measurements(model, law.noise, 20)
    value, score = law.log_prob_and_score(y)
    close(value, relaxed.log_prob(y) - relaxed.log_z_difference)
    close(score, relaxed.score(y))
    close(law.denoise(y, law.noise).mean, relaxed.spin_mean(y))
    assert law.log_z == pytest.approx(relaxed.log_z - relaxed.log_z_difference, abs=1e-10)


def test_the_score_is_the_gradient():
    for model in MODELS.values():
        noise = MRFNoise(model, extra=0.2)
        law = Noisy(model, noise)
        y = measurements(model, noise)
        precision = torch.linalg.inv(noise.covariance(model.dim))
        close(law.score(y), ((model.fields + y @ precision).tanh() - y) @ precision)
        _, score = differentiate(lambda v, law=law: law.log_prob_and_score(v)[0], y, "")
        close(law.score(y), score)


@pytest.mark.parametrize("kind", ["shape", "isotropic"])
def test_exact_draws_of_measurements(kind, generator):
    model = MODELS["3 x 3"]
    law = Noisy(model, noises(model)[kind])
    y = law.sample(20_000, generator=generator)
    # the mean of the score, and of score (y - c)', over the law itself: zero and minus the identity
    score = law.score(y)
    assert float((score.mean(0) / (score.std(0) / len(y) ** 0.5)).abs().max()) < 4
    products = score[:, :, None] * y[:, None, :]
    gap = products.mean(0) + torch.eye(model.dim, dtype=F64)
    assert float((gap / (products.std(0) / len(y) ** 0.5)).abs().max()) < 4


def hessian_max(law, y):
    return max(float(torch.linalg.eigvalsh(_hessian(law, point)).max()) for point in y)


def _hessian(law, point):
    matrix = torch.autograd.functional.hessian(lambda v: law.log_prob_and_score(v[None])[0].sum(), point)
    return 0.5 * (matrix + matrix.mT)


@pytest.mark.parametrize("coupling", [0.1, 0.12, 0.13, 0.17])
def test_shaped_measurements_are_log_concave_if_and_only_if_the_precision_is_at_most_one(coupling):
    """Shifted by -b the largest curvature is that at A y + b = 0: A (A - 1) at most zero."""
    model = targets.Ising((4, 4), coupling, 0.3, dtype=F64)
    for shift in (None, 0.71):
        noise = MRFNoise(model, shift)
        law, most = Noisy(model, noise), float(noise._a.eigenvalues.max())
        worst = -noise.times(model.fields)
        y = torch.cat([worst[None], measurements(model, noise, 5)])
        assert (hessian_max(law, y) <= 1e-12) == (most <= 1)
        expected = (noise._a.eigenvalues * (noise._a.eigenvalues - 1)).max()
        assert hessian_max(law, worst[None]) == pytest.approx(float(expected), abs=1e-10)


@pytest.mark.parametrize(("coupling", "most"), [(0.2, 2.80319), (CRITICAL, 12.18174)])
def test_the_isotropic_threshold(coupling, most):
    """Hessian -1 / sigma^2 + Cov / sigma^4 on the 4 x 4 torus: at y = 0 the covariance has the eigenvalue 16 E[m^2]."""
    model = targets.Ising((4, 4), coupling, dtype=F64)
    largest = float(torch.linalg.eigvalsh(model.covariance).max())
    assert largest == pytest.approx(most, abs=2e-5)
    assert largest == pytest.approx(16 * model.mean_square_magnetisation, rel=1e-10)
    for factor in (0.98, 1.02):
        sigma = math.sqrt(factor * largest)
        law = Noisy(model, sigma, denoiser=Enumeration())
        top = hessian_max(law, torch.zeros(1, 16, dtype=F64))
        assert top == pytest.approx(-1 / sigma**2 + largest / sigma**4, abs=1e-10)
        y = torch.cat([torch.zeros(1, 16, dtype=F64), measurements(model, law.noise, 3)])
        assert (hessian_max(law, y) <= 0) == (factor > 1)


# Approximations


@pytest.mark.parametrize("kind", ["isotropic", "variances"])
def test_belief_propagation_is_exact_on_trees(kind):
    for model in (MODELS["tree"], random_tree(10, 4), targets.Ising(7, 0.8, 0.1, periodic=False, dtype=F64)):
        noise = noises(model)[kind]
        y = measurements(model, noise)
        phi, _, mean = brute_force(model, noise, y)
        found = BeliefPropagation().estimate(model, y, noise)
        close(found.mean, mean, 1e-8)
        close(found.log_density, phi, 1e-8)
        assert found.trusted is None


@pytest.mark.parametrize("denoiser", [MeanField(), TAP(), BeliefPropagation()])
def test_all_are_exact_without_couplings(denoiser):
    model = MODELS["3 x 3"]
    noise = MRFNoise(model)
    y = measurements(model, noise)
    expected, found = MRFShaped().estimate(model, y, noise), denoiser.estimate(model, y, noise)
    close(found.mean, expected.mean)
    close(found.log_density, expected.log_density)


@pytest.mark.parametrize("denoiser", [MeanField(tolerance=1e-13), TAP(tolerance=1e-13), BeliefPropagation(0.5, 1e-13)])
def test_the_estimated_score_is_the_gradient_of_the_estimated_density(denoiser):
    for model in (tilted_torus((3, 4), 0.15), random_mrf(6, 2, scale=0.2)):
        noise = noises(model)["variances"]
        law = Noisy(model, noise, denoiser=denoiser)
        y = measurements(model, noise, 3)
        score, h = law.score(y), 1e-5
        for site in range(model.dim):
            e = h * torch.eye(model.dim, dtype=F64)[site]
            slope = (law.log_prob(y + e) - law.log_prob(y - e)) / (2 * h)
            torch.testing.assert_close(score[:, site], slope, rtol=0, atol=1e-7)
        assert not denoiser.exact


def test_the_better_approximations_are_of_higher_order_in_the_couplings():
    """Errors of the mean on an open square, whose shortest cycles are of four: K^2, K^3 and K^4."""
    y = measurements(tilted_torus((4, 4)), IsotropicNoise(1.0), 8)
    errors = {}
    for coupling in (0.05, 0.025):
        model = targets.Ising((4, 4), coupling, 0.2, periodic=False, dtype=F64)
        exact = Enumeration().estimate(model, y, IsotropicNoise(1.0)).mean
        found = [d.estimate(model, y, IsotropicNoise(1.0)).mean for d in (MeanField(), TAP(), BeliefPropagation())]
        errors[coupling] = [float((mean - exact).square().mean().sqrt()) for mean in found]
    rough, tap, bethe = errors[0.05]
    assert rough > 10 * tap > 10 * bethe
    orders = [math.log2(one / other) for one, other in zip(errors[0.05], errors[0.025], strict=True)]
    assert orders == pytest.approx([2, 3, 4], abs=0.15)


def test_the_mean_field_density_is_a_lower_bound():
    for model in MODELS.values():
        noise = IsotropicNoise(0.8)
        y = measurements(model, noise)
        exact, found = Enumeration().estimate(model, y, noise), MeanField().estimate(model, y, noise)
        assert bool((found.log_density <= exact.log_density + 1e-12).all())


def test_what_has_not_converged_is_not_trusted():
    model = random_mrf(10, 5, scale=2.0)
    y = torch.zeros(3, 10, dtype=F64)
    y[1:] = measurements(model, IsotropicNoise(0.1), 2)
    hasty = MeanField(damping=0.0, iterations=3)
    found = hasty.estimate(model, y, IsotropicNoise(3.0))
    assert found.trusted is not None
    assert not bool(found.trusted.all())
    with pytest.raises(UntrustedEstimate, match="MeanField does not believe"):
        Noisy(model, 3.0, denoiser=hasty).score(y)


def test_a_measurement_beyond_the_range_of_the_transfer_matrix_is_not_trusted():
    model = MODELS["3 x 3"]
    y = torch.stack([torch.zeros(9), 400 * torch.ones(9)]).double()
    found = TransferMatrix().estimate(model, y, IsotropicNoise(1.0))
    assert found.trusted.tolist() == [True, False]
    with pytest.raises(UntrustedEstimate, match="TransferMatrix does not believe 50%"):
        Noisy(model, 1.0, denoiser=TransferMatrix()).score(y)


# Short runs


def test_short_runs_agree_with_the_exact_mean_within_their_error(generator):
    model = MODELS["graph"]
    noise = IsotropicNoise(1.0)
    y = measurements(model, noise, 200)
    exact = Enumeration().estimate(model, y, noise)
    denoiser = GibbsMeans(particles=64)
    found = denoiser.estimate(model, y, noise, generator)
    again = denoiser.estimate(model, y, noise, generator, found.memory)
    for one in (found, again):  # squared errors less what is said of them, of measurements independent of each other
        excess = ((one.mean - exact.mean).square() - one.error.square()).sum(-1)
        assert abs(float(excess.mean() / (excess.std() / 200**0.5))) < 4
        assert float(one.error.square().sum()) < 0.05 * float((1 - exact.mean.square()).sum())
    assert found.memory.shape == (200, 64, 8)
    assert bool((found.memory.abs() == 1).all())
    assert not torch.equal(found.memory, again.memory)
    assert found.log_density is None
    assert not denoiser.density
    assert denoiser.persistent


def test_averaging_local_means_has_less_noise_than_averaging_spins(generator):
    model = MODELS["graph"]
    noise = IsotropicNoise(1.0)
    y = measurements(model, noise, 200)
    exact = Enumeration().estimate(model, y, noise)
    found = GibbsMeans(sweeps=1).estimate(model, y, noise, generator)
    of_means = float((found.mean - exact.mean).square().mean())
    of_spins = float((found.memory.mean(1) - exact.mean).square().mean())
    assert of_means < 0.7 * of_spins


def test_same_seed_same_bits():
    model = MODELS["graph"]
    y = measurements(model, IsotropicNoise(1.0))
    runs = [
        GibbsMeans().estimate(model, y, IsotropicNoise(1.0), torch.Generator().manual_seed(5)).mean for _ in range(2)
    ]
    assert torch.equal(*runs)


# Cost, choice, dtype, devices, bad input


def test_evaluations_are_counted(generator):
    model = MODELS["3 x 3"]
    y = measurements(model, IsotropicNoise(1.0), 5)

    def counts(denoiser, noise, act="estimate"):
        counted = Counted(model)
        getattr(denoiser, act)(counted, y, noise, generator)
        return counted.scores, counted.log_probs

    isotropic, shaped = IsotropicNoise(1.0), MRFNoise(model)
    assert counts(MRFShaped(), shaped) == counts(Enumeration(), isotropic) == counts(TransferMatrix(), isotropic)
    assert counts(MRFShaped(), shaped) == (5, 5)
    assert counts(MRFShaped(), shaped, "draw") == counts(Enumeration(), isotropic, "draw") == (0, 5)
    assert counts(GibbsMeans(particles=3, sweeps=2, first=4), isotropic) == (0, 5 * 3 * 6)
    assert counts(GibbsMeans(first=4), isotropic, "draw") == (0, 20)
    scores, log_probs = counts(MeanField(), isotropic)
    assert log_probs == 5
    assert scores % 5 == 0
    assert scores > 50
    assert counts(MeanField(), isotropic, "draw") == (scores, 5 * MeanField().sweeps)


def test_the_default():
    def chosen(model, noise):
        assert type(default_denoiser(model, noise)) is type(default_spin_denoiser(Counted(model), noise))
        return type(default_denoiser(model, noise))

    isotropic, torus = IsotropicNoise(1.0), targets.Ising((6, 6), 0.3, 0.1)
    assert chosen(torus, MRFNoise(torus)) is MRFShaped
    assert chosen(torus, MRFNoise(torus, extra=2.0)) is MRFShaped
    assert chosen(torus, isotropic) is TransferMatrix
    assert chosen(torus, MRFNoise(torus).scaled(0.5)) is TransferMatrix
    assert chosen(torus, MRFNoise(targets.Ising((6, 6), 0.2))) is GibbsMeans
    assert chosen(targets.Ising((8, 8), 0.3), isotropic) is GibbsMeans
    assert chosen(targets.Ising((6, 40), 0.3, periodic=False), isotropic) is TransferMatrix
    assert chosen(random_mrf(9), isotropic) is Enumeration
    assert chosen(random_mrf(14), isotropic) is GibbsMeans
    assert chosen(targets.PairwiseMRF(torch.zeros(20, 20), torch.ones(20)), isotropic) is MRFShaped


@pytest.mark.parametrize("denoiser", [MRFShaped(), Enumeration(), TransferMatrix(), MeanField(), GibbsMeans()])
def test_the_dtype_follows(denoiser):
    model = MODELS["3 x 3"]
    single = model.to(dtype=torch.float32)
    noise = MRFNoise(model)
    y = measurements(model, noise)
    generator = torch.Generator().manual_seed(0)
    found = denoiser.estimate(single, y.float(), noise, generator)
    assert found.mean.dtype == torch.float32
    assert denoiser.draw(single, y.float(), noise, generator).dtype == torch.float32
    if found.log_density is not None:
        assert found.log_density.dtype == F64
        exact = denoiser.estimate(model, y, noise)
        torch.testing.assert_close(found.log_density, exact.log_density, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("denoiser", [MRFShaped(), GibbsMeans()])
def test_meta(denoiser):
    model = targets.Ising((3, 4), 0.3, 0.2)
    noise = MRFNoise(model)
    model.neighbours  # noqa: B018  read before, since meta has no values to read it from
    y = torch.zeros(4, 12, device="meta")
    generator = torch.Generator().manual_seed(0)
    found = denoiser.estimate(model.to("meta"), y, noise, generator)
    assert found.mean.device.type == "meta"
    assert denoiser.draw(model.to("meta"), y, noise, generator).device.type == "meta"


def test_a_bound_denoiser_holds_the_posterior_of_its_target_and_noise():
    model, noise = MODELS["3 x 3"], MRFNoise(MODELS["3 x 3"])
    denoiser = MRFShaped().bind(model, noise)
    assert denoiser.found(model, noise) is denoiser.found(Counted(model), noise)
    assert denoiser.found(model, noise) is not denoiser.found(model, MRFNoise(model))


def test_what_cannot_be_served():
    model = MODELS["3 x 3"]
    for wrong in (
        IsotropicNoise(1.0),
        MRFNoise(model).scaled(0.5),
        MRFNoise(targets.Ising((3, 3), 0.1, dtype=F64)),
    ):
        with pytest.raises(ValueError, match="denoiser: got .*, expected MRFNoise with the couplings of Ising"):
            MRFShaped().estimate(model, torch.zeros(1, 9, dtype=F64), wrong)
    with pytest.raises(TypeError, match="denoiser: MeanField is for spins, got Gaussian"):
        Noisy(targets.Gaussian(torch.zeros(3)), 1.0, denoiser=MeanField())
    with pytest.raises(ValueError, match="denoiser: Ising has 64 spins, expected at most 16 for Enumeration"):
        Noisy(targets.Ising((8, 8)), 1.0, denoiser=Enumeration())
    with pytest.raises(ValueError, match="is no lattice of at most 12 rows"):
        Noisy(MODELS["graph"], 1.0, denoiser=TransferMatrix())
    with pytest.raises(ValueError, match="noise: got noise in 3 dimensions, expected 9"):
        Enumeration().check(model, CorrelatedNoise([1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="generator: got None"):
        GibbsMeans().estimate(model, torch.zeros(1, 9, dtype=F64), IsotropicNoise(1.0))
    memory = torch.ones(1, 3, 9, dtype=F64)
    with pytest.raises(ValueError, match=r"memory: got shape \(1, 3, 9\), expected \(1, 16, 9\)"):
        GibbsMeans().estimate(model, torch.zeros(1, 9, dtype=F64), IsotropicNoise(1.0), torch.Generator(), memory)


def test_bad_hyperparameters_are_named():
    for wrong in ({"damping": 1.0}, {"damping": -0.1}, {"tolerance": 0.0}, {"iterations": 0}, {"sweeps": 1.5}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"{name}: got"):
            TAP(**wrong)
    for wrong in ({"particles": 1}, {"sweeps": 0}, {"first": -1}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"{name}: got .*, expected an integer of at least"):
            GibbsMeans(**wrong)


# Walk-jump with noise of the model's shape


def glass(n=16):
    """Couplings of both signs between all pairs, and fields."""
    return random_mrf(n, 7, scale=0.25)


def shaped_walk(target, denoiser="auto", **fields):
    return WalkJump(noise="mrf", denoiser=denoiser, **fields).placed(target)


def statistics(target, x):
    """Energy, mean spin, its square and pair correlations of chains (chains, draws, dim), averaged over draws."""
    m = x.mean(-1)
    found = {"energy": -target.log_prob(x).mean(1), "m": m.mean(1), "m^2": m.square().mean(1)}
    if isinstance(target, targets.Ising):
        power = torch.fft.rfft2(x.unflatten(-1, target.shape)).abs().square().mean(1)
        pairs = (torch.fft.irfft2(power, s=target.shape) / target.dim).flatten(1)
        pairs = pairs[:, [1, 2, 9, 36]]  # the next, the second, across a corner, the farthest
    else:
        pairs = (x.mT @ x / x.shape[1])[:, *torch.triu_indices(target.dim, target.dim, 1)]
    return found | {f"pair {k}": pair for k, pair in enumerate(pairs.mT)}


def exact_statistics(target):
    """Those of the law: Kaufman, transfer matrix (for pairs with one spin held by a field), enumeration."""
    if isinstance(target, targets.Ising):
        held = torch.zeros(target.shape, dtype=F64)
        held[0, 0] = 25.0
        pairs = targets.Ising(target.shape, target.coupling, held, dtype=F64).mean[[1, 2, 9, 36]]
        values = {"m": 0.0, "m^2": target.mean_square_magnetisation}
    else:
        mean = target.mean
        pairs = target.covariance + mean[:, None] * mean
        values = {"m": float(mean.mean()), "m^2": float(pairs.mean())}
        pairs = pairs[*torch.triu_indices(target.dim, target.dim, 1)]
    values["energy"] = -target.mean_log_prob
    return values | {f"pair {k}": float(pair) for k, pair in enumerate(pairs)}


def check_answers(target, draws):
    """Each within 4 standard errors, from the spread among independent chains."""
    found, exact = statistics(target, draws.x), exact_statistics(target)
    off = {k: float((v.mean() - exact[k]) / (v.std() / len(v) ** 0.5)) for k, v in found.items()}
    assert max(map(abs, off.values())) < 4, off


TORI = {"0.2": 0.2, "critical": CRITICAL, "0.6": 0.6}


def torus(coupling):
    return targets.Ising((8, 8), TORI[coupling], dtype=F64)


def test_walk_jump_from_coins_on_a_weakly_coupled_torus():
    draws = WalkJump(noise="mrf").sample(torus("0.2"), chains=64, draws=40, warmup=20, seed=1)
    check_answers(torus("0.2"), draws)
    assert draws.attrs["smoothing"]["denoiser"] == "MRFShaped"


def test_walk_jump_from_coins_on_a_glass():
    check_answers(glass(), WalkJump(noise="mrf").sample(glass(), chains=128, draws=50, warmup=50, seed=2))


@pytest.mark.filterwarnings("ignore:.*never moved")  # a few all up or all down in the ordered phase
@pytest.mark.parametrize("coupling", TORI)
def test_walk_jump_from_exact_draws(coupling):
    target = torus(coupling)

    def exact(n, generator):
        return target.sample(n, generator=generator)

    check_answers(target, WalkJump(noise="mrf").sample(target, chains=500, draws=8, warmup=0, init=exact, seed=3))


@pytest.mark.slow
@pytest.mark.parametrize("coupling", TORI)
def test_walk_jump_from_coins_on_a_torus(coupling):
    check_answers(torus(coupling), WalkJump(noise="mrf").sample(torus(coupling), chains=128, draws=400, warmup=400))


WALKED = {"3 x 3": tilted_torus((3, 3)), "glass": glass()}


@pytest.mark.parametrize("model", WALKED)
def test_walk_jump_leaves_the_spins_invariant(model):
    kernel = shaped_walk(WALKED[model])
    assert kernel.exact
    check_invariance(kernel, WALKED[model], chains=10_000, steps=2)


def test_walk_jump_with_more_precision_or_another_kernel():
    model = WALKED["3 x 3"]
    for kernel in (
        WalkJump(noise=MRFNoise(model, extra=0.5)),
        WalkJump(noise="mrf", kernel=MALA(), steps=3),
        WalkJump(noise="isotropic", sigma=1.2, denoiser=Enumeration()),
    ):
        check_invariance(kernel.placed(model), model, chains=2_000, steps=2)


def test_walk_jump_is_reversible():
    kernel = shaped_walk(WALKED["3 x 3"], steps=2)
    assert kernel.reversible
    check_reversible(kernel, WALKED["3 x 3"], chains=2_000, length=5)


class JumpsToTheOtherSide(MRFShaped):
    """P(s = 1) = sigmoid(-2 (b + P y))."""

    def draw(self, target, y, noise, generator, memory=None):
        return -super().draw(target, y, noise, generator)


class JumpsWithoutFields(MRFShaped):
    """P(s = 1) = sigmoid(2 P y)."""

    def draw(self, target, y, noise, generator, memory=None):
        return independent_spins(noise.solve(y), generator)


class JumpsByHalf(MRFShaped):
    """sigmoid(h) in place of sigmoid(2h): spins -1 and +1 taken for 0 and 1."""

    def draw(self, target, y, noise, generator, memory=None):
        return independent_spins(0.5 * (noise.solve(y) + target.fields), generator)


class WalksWithoutFields(MRFShaped):
    """phi and mean of the model without its fields."""

    def estimate(self, target, y, noise, generator=None, memory=None):
        return super().estimate(targets.PairwiseMRF(target.couplings_matrix()), y, noise)


class WalksInTheSquare(MRFShaped):
    """y'P y in place of y'P y / 2 in phi."""

    def estimate(self, target, y, noise, generator=None, memory=None):
        found = super().estimate(target, y, noise)
        return replace(found, log_density=found.log_density - 0.5 * noise.square(y))


@pytest.mark.parametrize(
    "wrong", [JumpsToTheOtherSide, JumpsWithoutFields, JumpsByHalf, WalksWithoutFields, WalksInTheSquare]
)
@pytest.mark.parametrize("model", WALKED)
def test_a_wrong_walk_or_jump_is_rejected(wrong, model):
    with pytest.raises(AssertionError, match="invariance of WalkJump"):
        check_invariance(shaped_walk(WALKED[model], wrong()), WALKED[model], chains=3_000, steps=2)


def test_walk_jump_by_short_runs():
    target = targets.Ising((5, 5), 0.2, 0.1, dtype=F64)
    draws = WalkJump(sigma=2.0, denoiser=GibbsMeans(), steps=2).sample(target, chains=32, draws=20, warmup=5, seed=4)
    assert bool((draws.x.abs() == 1).all())
    assert draws.attrs["smoothing"]["denoiser"] == "GibbsMeans"
    assert draws.cost.log_prob > 32 * 20 * 2 * 16 * 4
