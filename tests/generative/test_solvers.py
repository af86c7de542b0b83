"""Reverse solvers: the face that all share, the identities between them, and what is refused."""

import math
import re

import pytest
import torch
from solver_cases import (
    F64,
    MEAN,
    MIXTURE,
    NOISE,
    PROCESSES,
    SOLVERS,
    SPREADS,
    check_constant_score,
    check_denoised_at_zero,
    check_equal,
    check_exact_in_few_steps,
    mixture_score,
    seeded,
)

import samplers.generative.solvers as package
from samplers.generative import solvers
from samplers.processes import grids
from samplers.processes.linear import VE, VP, Brownian

WITH_ADAPTIVE = {**SOLVERS, "adaptive": lambda steps, **grid: solvers.AdaptiveFlow()}
EVERY = pytest.mark.parametrize("name", WITH_ADAPTIVE)


def states(process, n=6, dtype=F64, seed=0):
    generator = seeded(seed)
    return process.diffuse(MIXTURE.sample(n, generator=generator), 0.0, process.horizon, generator).to(dtype)


class Counting:
    """A score that counts the calls of n states, and the least time asked for."""

    def __init__(self, score, n):
        self.score, self.n, self.calls, self.least = score, n, 0, math.inf

    def __call__(self, x, t):
        assert isinstance(t, float)
        self.calls += len(x) == self.n
        self.least = min(self.least, t)
        return self.score(x, t)


# The face


def test_every_exported_solver_is_tested():
    named = {type(make(steps=4)) for make in WITH_ADAPTIVE.values()}
    exported = {getattr(package, name) for name in package.__all__}
    abstract = {package.Solver, package.GridSolver, package.LogSNR, package.OptimalVariance, package.PlugIn}
    assert named == exported - abstract - {package.Reversal}


@EVERY
@pytest.mark.parametrize("process", ["SubVP", "VE"])
def test_solve(name, process):
    """Shape, dtype, the declared evaluations, no score at 0, the trajectory, and what nothing is drawn for."""
    process, solver = PROCESSES[process], WITH_ADAPTIVE[name](steps=6)
    x = states(process)
    score, before = Counting(mixture_score(process), len(x)), x.clone()
    generator = None if solver.deterministic else seeded(1)
    found = solver.solve(score, process, x, generator)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    assert found.isfinite().all()
    assert torch.equal(x, before)
    assert score.least > 0
    assert score.calls == (solver.evaluations or score.calls)
    path = solver.solve(score, process, x, None if solver.deterministic else seeded(1), trajectory=True)
    assert path.shape == (len(solver.times(process)), *x.shape)
    assert torch.equal(path[0], x)
    assert torch.equal(path[-1], found)


@EVERY
def test_states_keep_their_dtype(name):
    process = PROCESSES["VP"]
    score, solver = mixture_score(process), WITH_ADAPTIVE[name](steps=6)
    exact, rounded = (
        solver.solve(lambda x, t: score(x.double(), t).to(x.dtype), process, states(process, dtype=dtype), seeded(1))
        for dtype in (F64, torch.float32)
    )
    assert rounded.dtype == torch.float32
    if solver.deterministic:  # float32 draws other noise
        torch.testing.assert_close(rounded.double(), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in SOLVERS if "torchsde" not in name and "Analytic" not in name])
def test_nothing_is_made_on_another_device(name):
    x = torch.zeros(6, 2, device="meta")
    found = SOLVERS[name](steps=6).solve(lambda x, t: -x, VP(), x, torch.Generator())
    assert found.is_meta
    assert found.shape == x.shape


@EVERY
def test_randomness_is_that_of_the_generator(name):
    process, solver = PROCESSES["OU"], WITH_ADAPTIVE[name](steps=6)
    x, score = states(process), mixture_score(process)
    state = torch.get_rng_state()
    first, second, other = (solver.solve(score, process, x, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, second)
    assert torch.equal(first, other) == solver.deterministic


@pytest.mark.parametrize("name", ["Euler-Maruyama", "ancestral", "two corrections", "torchsde, srk"])
def test_draws_of_the_mixture(name):
    """Means and second moments of 1000 draws, by z-tests; the bias of 50 steps is far below the standard error."""
    process, exact = PROCESSES["OU"], MIXTURE.sample(100_000, generator=seeded(7))
    found = SOLVERS[name](steps=50).solve(mixture_score(process), process, states(process, 1000), seeded(1))
    for function in (lambda x: x, lambda x: x.square(), lambda x: x.prod(1, keepdim=True)):
        left, right = function(found), function(exact)
        error = (left.var(0) / len(left) + right.var(0) / len(right)).sqrt()
        assert float(((left.mean(0) - right.mean(0)) / error).abs().max()) < 5


# Identities


def test_ddim_at_eta_1_is_ancestral():
    check_equal("DDIM, eta 1", "ancestral")


def test_dpm_solver_1_is_ddim():
    check_equal("DPM-Solver 1", "DDIM")


def test_milstein_is_euler_where_noise_is_additive():
    check_equal("torchsde, milstein", "torchsde, euler")


def test_plug_in_family_ends_in_the_flow():
    process = PROCESSES["SubVP"]
    x, score = states(process), mixture_score(process)
    found = solvers.EulerMaruyama(10, lam=1.0).solve(score, process, x)
    torch.testing.assert_close(found, solvers.Euler(10).solve(score, process, x), rtol=1e-12, atol=1e-12)


def test_ancestral_sampling_of_annealed_noise():
    """VE: x + (v_t - v_s) s + noise of variance (v_t - v_s) v_s / v_t, as it is published."""
    process = VE(0.1, 10.0)
    reversal = solvers.Reversal(mixture_score(process), process, seeded(2))
    x, t, s = states(process), 0.8, 0.5
    v_t, v_s = (float(process.variance(time)) for time in (t, s))
    noise = torch.randn(x.shape, generator=seeded(2), dtype=x.dtype)
    expected = x + (v_t - v_s) * reversal.score(x, t) + math.sqrt((v_t - v_s) * v_s / v_t) * noise
    torch.testing.assert_close(solvers.Ancestral(4).step(reversal, x, t, s), expected)


def test_exponential_steps_of_vp_are_those_published():
    """K = 2 (exp(B/2) - 1) for VP, B = int_s^t beta."""
    process = VP()
    reversal = solvers.Reversal(mixture_score(process), process, None)
    x, t, s = states(process), 0.8, 0.3
    growth = 1 / float(process.transition(s, t)[0])
    expected = growth * x + (growth - 1) * reversal.score(x, t)  # lam = 1: half of K
    torch.testing.assert_close(solvers.ExponentialIntegrator(1, lam=1.0).step(reversal, x, t, s), expected)


def test_exponential_steps_are_exact_for_a_constant_score():
    check_constant_score()


@pytest.mark.parametrize(
    "name", ["ancestral", "DDIM", "DDIM, eta 1", "DPM-Solver 3", "DPM-Solver++ 2M", "EDM", "predictor-corrector"]
)
def test_the_last_state_is_the_denoised_mean(name):
    check_denoised_at_zero(SOLVERS[name])


@pytest.mark.parametrize("kind", SPREADS)
def test_optimal_variance_is_exact_for_independent_normals(kind):
    check_exact_in_few_steps(kind)


def test_optimal_variance_of_an_imperfect_mean():
    """A denoiser that says 0 misses all of X: the variance is the second moment of the samples."""
    process, samples = VP(noise=NOISE), torch.tensor([[1.0, 2.0], [3.0, -4.0]], dtype=F64)
    solver = solvers.DiagonalAnalyticDPM(2, samples=samples)

    def blind(x, t):  # D = (x + v C s) / a = 0
        return -NOISE.solve(x) / float(process.variance(t))

    found = solver.unknown(solvers.Reversal(blind, process, seeded()), 0.5, samples)
    diagonal = NOISE.covariance(2).diagonal()
    torch.testing.assert_close(found * diagonal, samples.square().mean(0), rtol=1e-9, atol=1e-9)


def test_edm_does_not_depend_on_the_process():
    """In y = x / a and sigma the flow is one: VP and Brownian motion lead the same y to the same data."""
    vp = VP()
    most = math.exp(-0.5 * float(vp.log_snr(1.0)))
    motion = Brownian(horizon=most**2)
    scale = float(vp.scale(1.0))
    x = states(vp)
    found = [
        solvers.EDM(12).solve(mixture_score(process), process, start)
        for process, start in ((vp, x), (motion, x / scale))
    ]
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)


def test_churn_stays_within_the_horizon_and_its_range():
    process = PROCESSES["VP"]
    x, score = states(process), Counting(mixture_score(process), 6)
    solvers.EDM(6, churn=100.0).solve(score, process, x, seeded())
    assert solvers.EDM(6, churn=100.0, churn_min=1e6).solve(score, process, x) is not None  # draws nothing


def test_own_grids():
    process = PROCESSES["OU"]
    levels = torch.exp(-0.5 * process.log_snr(solvers.EDM(6).times(process)[1:])).pow(1 / 7)
    torch.testing.assert_close(levels.diff().diff(), torch.zeros(4, dtype=F64), rtol=0, atol=1e-12)
    snr = process.log_snr(solvers.DPMSolver2(6).times(process)[1:])
    torch.testing.assert_close(snr.diff().diff(), torch.zeros(4, dtype=F64), rtol=0, atol=1e-10)
    given = grids.cosine(6, process.horizon)
    assert torch.equal(solvers.DPMSolver2(6, grid=given.float().double()).times(process)[1:-1], given.float()[1:-1])
    assert solvers.DDIM(4).times(VP(horizon=1e-4))[1] == pytest.approx(1e-7)


# What is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: solvers.Euler(0), "steps: got 0, expected an integer of at least 1"),
        (lambda: solvers.Euler(2.0), "steps: got 2.0, expected an integer"),
        (lambda: solvers.Heun(1), "steps: got 1, expected at least 2: with fewer, no step of Heun is of order 2"),
        (lambda: solvers.DPMSolver3(1), "steps: got 1, expected at least 2: .* DPMSolver3 is of order 3"),
        (lambda: solvers.DPMSolver2M(2), "steps: got 2, expected at least 3: .* DPMSolver2M is of order 2"),
        (lambda: solvers.EDM(1), "steps: got 1, expected at least 2: .* EDM is of order 2"),
        (lambda: solvers.TorchSDE(1), "steps: got 1, expected at least 2"),
        (lambda: solvers.Euler(3, grid=torch.arange(3.0)), "grid: got shape (3,), expected (4,), the times of 3 steps"),
        (lambda: solvers.Euler(1, grid=[0, 1]), "grid: got [0, 1], expected (2,)"),
        (lambda: solvers.Euler(2, grid=torch.tensor([0.1, 0.5, 1.0])), "grid: got times from 0.1 on, expected .* 0 on"),
        (lambda: solvers.Euler(2, grid=torch.tensor([0.0, 1.0, 1.0])), "grid: got times that do not increase"),
        (lambda: solvers.Euler(2, grid=torch.tensor([0.0, math.nan, 1.0])), "grid: got times that do not increase"),
        (lambda: solvers.EulerMaruyama(2, lam=1.5), "lam: got 1.5, expected a finite number of at most 1"),
        (lambda: solvers.EulerMaruyama(2, lam=math.nan), "lam: got nan"),
        (lambda: solvers.DDIM(2, eta=1.5), "eta: got 1.5, expected a number from 0"),
        (lambda: solvers.DDIM(2, eta=-0.5), "eta: got -0.5"),
        (lambda: solvers.AnalyticDPM(2, samples=torch.zeros(3)), "samples: got shape (3,) of torch.float32"),
        (lambda: solvers.AnalyticDPM(2, samples=torch.full((3, 1), math.inf)), "samples: got non-finite values in 3"),
        (lambda: solvers.EDM(2, churn=-1.0), "churn: got -1.0, expected a finite number of at least 0"),
        (lambda: solvers.EDM(2, rho=0.0), "rho: got 0.0, expected a positive"),
        (lambda: solvers.EDM(2, churn_min=2.0, churn_max=1.0), "churn_max: got 1.0, expected at least churn_min = 2.0"),
        (lambda: solvers.EDM(3, sigma_min=1e3).times(VP()), "sigma_min: got 1000, expected less than the noise level"),
        (lambda: solvers.PredictorCorrector(solvers.DPMSolver2M(4)), "predictor: got .*, expected a solver of single"),
        (lambda: solvers.PredictorCorrector(solvers.AdaptiveFlow()), "predictor: got AdaptiveFlow"),
        (lambda: solvers.PredictorCorrector(solvers.Euler(4), corrections=0), "corrections: got 0"),
        (lambda: solvers.PredictorCorrector(solvers.Euler(4), ratio=2.0), "ratio: got 2.0, expected less than 2"),
        (lambda: solvers.TorchSDE(4, method="rk4"), "method: got 'rk4', expected 'euler', 'milstein', 'srk'"),
        (lambda: solvers.AdaptiveFlow(method="LSODA"), "method: got 'LSODA', expected 'RK23', 'RK45' or 'DOP853'"),
        (lambda: solvers.AdaptiveFlow(rtol=0.0), "rtol: got 0.0, expected a positive finite number"),
        (lambda: solvers.AdaptiveFlow(least=1.0), "least: got 1, expected a part of the horizon"),
    ],
)
def test_fields_that_are_refused(make, message):
    with pytest.raises(ValueError, match=pattern(message)):
        make()


def pattern(message):
    return ".*".join(map(re.escape, message.split(".*")))


@EVERY
@pytest.mark.parametrize(
    ("x", "score", "message"),
    [
        (torch.zeros(5), lambda x, t: -x, "x: got shape (5,) of torch.float32, expected states (n, dim)"),
        (torch.zeros(0, 2), lambda x, t: -x, "x: got shape (0, 2)"),
        (torch.zeros(5, 2, dtype=torch.long), lambda x, t: -x, "x: got shape (5, 2) of torch.int64"),
        ([[0.0]], lambda x, t: -x, "x: got [[0.0]], expected states (n, dim)"),
        (torch.tensor([[0.0], [math.nan]]), lambda x, t: -x, "x: got non-finite values in 1 of 2 rows"),
        (
            torch.zeros(5, 2),
            lambda x, t: -x.sum(1, keepdim=True),
            "score: returned shape (5, 1) at t = .*, expected the shape of x, (5, 2)",
        ),
        (torch.zeros(5, 2), lambda x, t: 0.0, "score: returned 0.0 at t = .*, expected the shape of x"),
        (
            torch.zeros(5, 2),
            lambda x, t: x / x,
            "score: returned non-finite values in 5 of 5 rows at t = .*, expected finite numbers",
        ),
    ],
)
def test_states_and_scores_that_are_refused(name, x, score, message):
    with pytest.raises(ValueError, match=pattern(message)):
        WITH_ADAPTIVE[name](steps=4).solve(score, VP(), x, seeded())


@EVERY
def test_noise_of_another_dimension_is_refused(name):
    with pytest.raises(ValueError, match="noise: got noise in 2 dimensions, expected 3"):
        WITH_ADAPTIVE[name](steps=4).solve(lambda x, t: -x, VP(noise=NOISE), torch.zeros(5, 3), seeded())


@pytest.mark.parametrize("name", [name for name in SOLVERS if not SOLVERS[name](steps=4).deterministic])
def test_no_generator_is_refused_where_noise_is_drawn(name):
    with pytest.raises(ValueError, match="generator: got None, expected a torch.Generator: this solver draws noise"):
        SOLVERS[name](steps=4).solve(lambda x, t: -x, VP(), torch.zeros(5, 2, dtype=F64))


def test_a_grid_of_another_horizon_is_refused():
    solver = solvers.Euler(2, grid=grids.uniform(2, 1.0))
    with pytest.raises(ValueError, match="grid: got times that end at 1, expected the horizon of the process, 2"):
        solver.solve(lambda x, t: -x, PROCESSES["OU"], torch.zeros(5, 2))


def test_samples_of_another_dimension_are_refused():
    solver = solvers.AnalyticDPM(4, samples=torch.zeros(10, 3))
    with pytest.raises(ValueError, match="samples: got 3 columns, expected 2, those of x"):
        solver.solve(lambda x, t: -x, VP(), torch.zeros(5, 2), seeded())


def test_a_flow_without_a_step_that_is_short_enough():
    def rough(x, t):
        return torch.sign(x) * 1e12 / abs(t - 0.5) ** 3

    with pytest.raises(
        (RuntimeError, ValueError), match="AdaptiveFlow: no step is short enough|score: returned non-fi"
    ):
        solvers.AdaptiveFlow().solve(rough, VP(), torch.ones(2, 1, dtype=F64) + MEAN[:1])
