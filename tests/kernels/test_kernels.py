"""Every kernel of the list by the kit, and the identities behind each."""

import math

import pytest
import torch
from kernel_cases import ALL, BIASED, EXACT, ROBUST, skewed

import targets
from samplers import HMC, MALA, MAMS, MCLMC, ULA, RandomWalkMetropolis, RiemannianLangevin, UnderdampedLangevin
from samplers.kernels import State, evaluate, metropolis
from samplers.testing import check_invariance, check_leapfrog, check_moves, check_reversible


@pytest.mark.parametrize("name", EXACT)
def test_exact_kernels_leave_the_target_invariant(name):
    assert EXACT[name].exact
    check_invariance(EXACT[name], skewed(), seed=1)


@pytest.mark.parametrize("name", EXACT)
def test_reversible_kernels_are_reversible(name):
    assert EXACT[name].reversible
    check_reversible(EXACT[name], skewed(), seed=2)


@pytest.mark.parametrize("name", ALL)
def test_kernels_move_and_come_in_from_afar(name):
    correlated = targets.Gaussian(torch.zeros(2).double(), covariance=torch.tensor([[1.0, 0.6], [0.6, 1.0]]).double())
    check_moves(ALL[name], correlated, seed=3, steps=300)


HARD = {
    "a tail as light as exp(-exp(x))": (targets.LogExponential(1, dtype=torch.float64), 6.0),
    "a scale of a fiftieth": (targets.Gaussian(torch.zeros(2).double(), torch.tensor([1.0, 0.02]).double()), 2.0),
}


@pytest.mark.parametrize("where", HARD)
def test_robust_kernels_move_where_mala_does_not(where):
    """MALA overshoots: what it proposes there cannot be the start of a way back, so that it stays for ever."""
    target, distance = HARD[where]
    for kernel in ROBUST.values():
        check_moves(kernel, target, seed=11, chains=300, steps=2_000, distance=distance)
    with pytest.raises(AssertionError, match="have not moved in 2000 steps"):
        check_moves(MALA(0.5), target, seed=11, chains=300, steps=2_000, distance=distance)


@pytest.mark.parametrize("name", BIASED)
def test_kernels_that_declare_a_bias_have_one(name):
    assert not BIASED[name].exact
    assert BIASED[name].order in (1, 2)
    with pytest.raises(AssertionError, match="invariance of"):
        check_invariance(BIASED[name], skewed(), seed=4, steps=20)


SKEWED_MIXTURE = targets.GaussianMixture(
    torch.tensor([[0.0], [1.5]], dtype=torch.float64), scales=[0.6, 1.0], weights=[0.6, 0.4]
)


MIXTURE_IN_A_PLANE = targets.Product(SKEWED_MIXTURE, targets.Gaussian(torch.zeros(1, dtype=torch.float64)))


def stationary_second_moment(kernel, target, steps, chains):
    """E[x_0^2] of the mixture after the kernel has settled, from exact draws."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        state = kernel.init(target, target.sample(chains, generator=generator), generator)
        for _ in range(steps):
            state, _ = kernel.step(target, state, generator)
    return float(state.x[:, 0].square().mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "target", "order", "h", "time"),
    [
        (ULA, SKEWED_MIXTURE, 1, 0.2, 6.0),
        (UnderdampedLangevin, SKEWED_MIXTURE, 2, 0.45, 12.0),
        (MCLMC, MIXTURE_IN_A_PLANE, 2, 0.8, 12.0),
    ],
)
def test_bias_shrinks_with_the_declared_order(kernel, target, order, h, time):
    """Halving the step divides the bias of E[x^2] by 2^order, up to four standard errors and terms of higher order."""
    assert kernel(h).order == order
    chains = 2_000_000
    mean, variance = SKEWED_MIXTURE.mean, SKEWED_MIXTURE.covariance
    exact = float(mean.square() + variance.squeeze())
    error = 3.0 / math.sqrt(chains)  # the standard deviation of x^2 is 2.7
    coarse, fine = (
        stationary_second_moment(kernel(h / k), target, round(time * k / h), chains) - exact for k in (1, 2)
    )
    assert abs(coarse) > 8 * error
    # terms of higher order are a third of the leading one at most at these steps
    assert abs(coarse - 2**order * fine) < abs(coarse) / 3 + 4 * error * (1 + 2**order)


def test_underdamped_is_exact_on_a_gaussian():
    """The half-step scheme keeps N(0, 1) for x at any step below the limit: a theorem, tested as invariance."""
    target = targets.Gaussian(torch.zeros(2, dtype=torch.float64))
    kernel = UnderdampedLangevin(1.2, friction=0.7)

    class Started(UnderdampedLangevin):
        """Velocities from the scheme's own invariant law, N(0, 1 / (1 - h^2/4))."""

        def init(self, target, x, generator):
            state = super().init(target, x, generator)
            return type(state)(state.x, state.log_prob, state.score, state.velocity / math.sqrt(1 - self.h**2 / 4))

    check_invariance(Started(kernel.h, friction=kernel.friction), target, seed=6, steps=7)


def test_ula_bias_on_a_gaussian_is_the_stated_one():
    """Variance 1/(1 - h/2), so exact draws of that variance stay."""
    h = 0.5
    kernel = ULA(h, "identity")
    target = targets.Gaussian(torch.zeros(1, dtype=torch.float64))

    class Biased(targets.Gaussian):
        """The law that ULA leaves invariant, with the score that ULA follows."""

        def log_prob_and_score(self, x):
            return target.log_prob_and_score(x)

    check_invariance(kernel, Biased(torch.zeros(1).double(), 1 / math.sqrt(1 - h / 2)), seed=7)


@pytest.mark.parametrize(
    "mass", ["identity", torch.tensor([0.5, 2.0]).double(), torch.tensor([[1, 0.3], [0.3, 2]]).double()]
)
def test_leapfrog_runs_back_keeps_volume_and_has_order_two(mass):
    report = check_leapfrog(HMC(0.3, mass, steps=5), skewed(), seed=8)
    assert report.return_error < 1e-10


def test_mass_matrix_is_a_linear_change_of_coordinates():
    """MALA with C = L L' on p(x) makes the steps of plain MALA on p(L z), mapped by L."""
    factor = torch.tensor([[1.0, 0.0], [0.5, 0.8]], dtype=torch.float64)
    target = skewed()
    pulled = targets.LogDensity(lambda z: target.log_prob(z @ factor.mT), 2, dtype=torch.float64)
    z = torch.tensor([[0.3, -0.2], [1.0, 0.4]], dtype=torch.float64)
    for kind in (MALA, ULA, RandomWalkMetropolis):
        plain, shaped = kind(0.3, "identity"), kind(0.3, factor @ factor.mT)
        ends = []
        for kernel, density, start in ((plain, pulled, z), (shaped, target, z @ factor.mT)):
            generator = torch.Generator().manual_seed(9)
            state = kernel.init(density, start, generator)
            for _ in range(5):
                state, _ = kernel.step(density, state, generator)
            ends.append(state.x)
        torch.testing.assert_close(ends[0] @ factor.mT, ends[1])


def test_riemannian_with_constant_metric_is_mala():
    """The constant metric has no divergence, and the Hastings terms agree."""
    metric = torch.tensor([2.0, 0.5], dtype=torch.float64)
    target = skewed()
    x = torch.tensor([[0.3, -0.2], [1.0, 0.4]], dtype=torch.float64)
    for given in (lambda x: metric.expand_as(x), lambda x: torch.diag(metric).expand(len(x), 2, 2)):
        ends = []
        for kernel in (MALA(0.3, 1 / metric), RiemannianLangevin(given, 0.3)):
            generator = torch.Generator().manual_seed(10)
            state = kernel.init(target, x, generator)
            for _ in range(5):
                state, _ = kernel.step(target, state, generator)
            ends.append(state.x)
        torch.testing.assert_close(ends[0], ends[1])


def test_riemannian_divergence_equals_finite_differences():
    def metric(x):
        eye = torch.eye(2, dtype=x.dtype)
        return eye + x[:, :, None] * x[:, None, :] + torch.diag_embed(x.square())

    x, width = torch.tensor([[0.4, -0.7]], dtype=torch.float64), 1e-6
    expected = torch.zeros(2, dtype=torch.float64)
    for j in range(2):
        shift = width * torch.eye(2, dtype=torch.float64)[j]
        slope = (torch.linalg.inv(metric(x + shift)) - torch.linalg.inv(metric(x - shift)))[0] / (2 * width)
        expected += slope[:, j]
    torch.testing.assert_close(RiemannianLangevin(metric)._divergence(x)[0], expected, rtol=1e-6, atol=1e-8)


def spread(x):
    """A(x) = (1 + |x|^2) I + x x'; div A = (dim + 3) x, and det A = (1 + |x|^2)^(dim - 1) (1 + 2 |x|^2)."""
    eye = torch.eye(x.shape[-1], dtype=x.dtype).expand(len(x), -1, -1)
    return (1 + x.square().sum(-1))[:, None, None] * eye + x[:, :, None] * x[:, None, :], eye


INVERSES = {
    "inv": lambda a, eye: torch.linalg.inv(a),
    "solve": lambda a, eye: torch.linalg.solve(a, eye),
    "lu_solve": lambda a, eye: torch.linalg.lu_solve(*torch.linalg.lu_factor(a), eye),
    "cholesky_solve": lambda a, eye: torch.cholesky_solve(eye, torch.linalg.cholesky(a)),
    "cholesky_inverse": lambda a, eye: torch.cholesky_inverse(torch.linalg.cholesky(a)),
    "solve_triangular": lambda a, eye: (
        (half := torch.linalg.solve_triangular(torch.linalg.cholesky(a), eye, upper=False)).mT @ half
    ),
    "matrix_power": lambda a, eye: torch.linalg.matrix_power(a, -1),
}


@pytest.mark.parametrize("name", INVERSES)
def test_riemannian_divergence_of_a_metric_that_is_an_inverse(name):
    """Forward and vectorised derivatives of some of these are wrong in torch 2.13."""
    x = torch.tensor([[0.4, -0.7, 0.2], [1.0, 0.1, -1.5], [-0.3, 0.8, 0.6]], dtype=torch.float64)
    kernel = RiemannianLangevin(lambda x: INVERSES[name](*spread(x)))
    torch.testing.assert_close(kernel._divergence(x), 6 * x)


DETERMINANTS = {"det": torch.linalg.det, "slogdet": lambda a: torch.linalg.slogdet(a)[1].exp(), "logdet": torch.logdet}


@pytest.mark.parametrize("name", DETERMINANTS)
@pytest.mark.parametrize("dense", [False, True])
def test_riemannian_divergence_of_a_metric_that_is_a_determinant(name, dense):
    """G^-1 is det A, or log det A, times the identity."""
    x = torch.tensor([[0.4, -0.7, 0.2], [1.0, 0.1, -1.5], [-0.3, 0.8, 0.6]], dtype=torch.float64)

    def metric(x):
        matrix, eye = spread(x)
        found = 1 / DETERMINANTS[name](matrix)
        return found[:, None, None] * eye if dense else found[:, None].expand_as(x)

    square = x.square().sum(-1, keepdim=True)
    expected = 4 * x * (1 + square) * (2 + 3 * square)
    if name == "logdet":
        expected = expected / ((1 + square) ** 2 * (1 + 2 * square))
    torch.testing.assert_close(RiemannianLangevin(metric)._divergence(x), expected)


def test_riemannian_divergence_is_taken_in_parts(monkeypatch):
    """However few entries are differentiated at once, and where parts of the metric are constant."""
    from samplers.kernels import riemannian

    x = torch.tensor([[0.4, -0.7, 0.2], [1.0, 0.1, -1.5]], dtype=torch.float64)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    kernels = [
        RiemannianLangevin(lambda x: spread(x)[0]),
        RiemannianLangevin(lambda x: 1 + x.square()),
        RiemannianLangevin(lambda x: weight * torch.ones_like(x)),
        RiemannianLangevin(lambda x: weight * spread(torch.zeros_like(x))[0]),
    ]
    whole = [kernel._divergence(x) for kernel in kernels]
    monkeypatch.setattr(riemannian, "HELD", 1)
    for kernel, expected in zip(kernels, whole, strict=True):
        torch.testing.assert_close(kernel._divergence(x), expected)
    assert not bool(whole[2].any())
    assert not bool(whole[3].any())


def test_metropolis_ratio_is_antisymmetric():
    """log a(x -> y) = -log a(y -> x) for MALA's exact ratio, from its one-step densities."""
    target, h = skewed(), 0.3
    x, y = torch.tensor([[0.2, -0.5]]).double(), torch.tensor([[-0.3, 0.4]]).double()

    def log_q(a, b):
        score = evaluate(target, a).score
        return -((b - a - h * score) ** 2).sum(-1) / (4 * h)

    def ratio(a, b):
        return target.log_prob(b) - target.log_prob(a) + log_q(b, a) - log_q(a, b)

    noise = (y - x - h * evaluate(target, x).score) / math.sqrt(2 * h)
    back = noise + math.sqrt(h / 2) * (evaluate(target, x).score + evaluate(target, y).score)
    short = target.log_prob(y) - target.log_prob(x) + 0.5 * ((noise - back) * (noise + back)).sum(-1)
    torch.testing.assert_close(short, ratio(x, y))
    torch.testing.assert_close(ratio(x, y), -ratio(y, x))


def test_metropolis_rejects_and_counts_what_is_not_finite():
    state = State(torch.zeros(5, 1), torch.zeros(5), torch.zeros(5, 1))
    nan, inf = math.nan, math.inf
    proposal = State(
        torch.ones(5, 1), torch.tensor([nan, inf, -inf, 1.0, 1.0]), torch.tensor([[0.0], [0.0], [0.0], [nan], [0.0]])
    )
    ratio = (proposal.log_prob - state.log_prob).double()
    new, info = metropolis(state, proposal, ratio, torch.Generator().manual_seed(0))
    assert info.diverging.tolist() == [True, True, False, True, False]
    assert new.x[:, 0].tolist() == [0, 0, 0, 0, 1]
    assert info.acceptance_rate.tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("kind", [MALA, ULA, HMC, MAMS, MCLMC, RandomWalkMetropolis, UnderdampedLangevin])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, True, "0.1"])
def test_bad_step_size_is_named(kind, value):
    with pytest.raises(ValueError, match=r"step_size: got .*, expected a positive finite number"):
        kind(step_size=value)


def test_bad_hyperparameters_are_named():
    with pytest.raises(ValueError, match="inverse_mass_matrix: got 'full'"):
        MALA(inverse_mass_matrix="full")
    with pytest.raises(ValueError, match=r"inverse_mass_matrix: got shape \(2, 3\)"):
        MALA(inverse_mass_matrix=torch.ones(2, 3))
    with pytest.raises(ValueError, match="inverse_mass_matrix: .*not positive definite"):
        MALA(inverse_mass_matrix=torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(ValueError, match="inverse_mass_matrix: .*not positive"):
        MALA(inverse_mass_matrix=torch.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="steps, trajectory_length: got both"):
        HMC(steps=3, trajectory_length=1.0)
    with pytest.raises(ValueError, match="steps: got 0"):
        HMC(steps=0)
    with pytest.raises(ValueError, match="friction: got -1"):
        UnderdampedLangevin(friction=-1)
    with pytest.raises(TypeError, match="metric: got float"):
        RiemannianLangevin(1.0)
    with pytest.raises(ValueError, match=r"metric: returned shape \(3,\)"):
        RiemannianLangevin(lambda x: x[:, 0]).init(skewed(), torch.zeros(3, 2).double(), torch.Generator())
