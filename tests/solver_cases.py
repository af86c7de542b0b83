"""What tests of reverse solvers share: a mixture and a Gaussian noised by each process, and errors without sampling.

On a Gaussian every step maps mean and covariance exactly: the map is read off by solving at 0 and at unit vectors with
noise that is 0, and at 0 with the unit vectors of each draw of noise in turn.
"""

from dataclasses import dataclass, replace
from functools import cache, partial
from math import log2

import numpy as np
import torch
from scipy.integrate import solve_ivp

import targets
from samplers.denoisers import ClosedForm
from samplers.generative import as_score, solvers
from samplers.processes import grids
from samplers.processes.linear import VE, VP, OrnsteinUhlenbeck, SubVP
from targets import CorrelatedNoise, GaussianMixture, Noise

F64 = torch.float64
MEANS = torch.tensor([[-2.0, 0.0], [1.0, 1.5]], dtype=F64)
COVARIANCES = torch.tensor([[[0.5, 0.2], [0.2, 0.4]], [[0.3, 0.0], [0.0, 0.6]]], dtype=F64)
WEIGHTS = torch.tensor([0.3, 0.7], dtype=F64)
MIXTURE = GaussianMixture(MEANS, covariances=COVARIANCES, weights=WEIGHTS)
MEAN, COVARIANCE = torch.tensor([1.0, -0.5], dtype=F64), torch.tensor([[0.6, 0.25], [0.25, 0.4]], dtype=F64)
GAUSSIAN = targets.Gaussian(MEAN, covariance=COVARIANCE)
NOISE = CorrelatedNoise(torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=F64))

PROCESSES = {
    "VP": VP(beta_max=8.0),
    "SubVP": SubVP(beta_max=8.0, noise=NOISE),
    "VE": VE(0.1, 10.0, noise=NOISE),
    "OU": OrnsteinUhlenbeck(rate=1.0, horizon=2.0),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mixture_score(process):
    return as_score(ClosedForm(), process, MIXTURE)


def covariance_of(process):
    return torch.eye(2, dtype=F64) if process.noise is None else process.noise.covariance(2)


def noised_law(process, t):
    """Mean and covariance of the Gaussian at time t."""
    scale, variance = process.transition(0.0, t)
    return scale * MEAN, scale**2 * COVARIANCE + variance * covariance_of(process)


def gaussian_score(process):
    """Linear in x; of the Gaussian as it is noised by the process."""

    def score(x, t):
        mean, covariance = noised_law(process, t)
        return -torch.linalg.solve(covariance, (x - mean).mT).mT

    return score


class Recording(Noise):
    """N(0, C) of which draw k of a batch of `rows` states is 0 but in rows first + dim k + i, the unit vectors i."""

    def __init__(self, inner, rows, first):
        self.inner, self.rows, self.first, self.draws = inner, rows, first, 0

    def sample_like(self, v, generator):
        if len(v) != self.rows:
            return self.inner.sample_like(v, generator)
        return self.colour(self.white(v))

    def white(self, v):
        white, dim = torch.zeros_like(v), v.shape[1]
        begin = self.first + dim * self.draws
        for i in range(dim):
            if begin + i < self.rows:
                white[begin + i, i] = 1.0
        self.draws += 1
        return white

    def times(self, v):
        return self.inner.times(v)

    def solve(self, v):
        return self.inner.solve(v)

    def colour(self, white):
        return self.inner.colour(white)

    def scaled(self, factor):
        return self.inner.scaled(factor)

    def log_det(self, dim):
        return self.inner.log_det(dim)

    def covariance(self, dim):
        return self.inner.covariance(dim)


class RecordedMotion:
    """torchsde's Brownian motion over one step, whose draws are those of a Recording."""

    recording = None

    def __init__(self, t0, t1, size, dtype, device, entropy, levy_area_approximation):
        self.shape, self.dtype, self.device = size, dtype, device
        self.levy_area_approximation, self.length = levy_area_approximation, t1 - t0
        like = torch.zeros(size, dtype=dtype, device=device)
        self.first, self.second = self.recording.white(like), self.recording.white(like)

    def __call__(self, ta, tb, return_U=False, return_A=False):
        h = self.length
        assert abs(float(tb - ta) - h) < 1e-12
        w = h**0.5 * self.first
        u = 0.5 * h * w + (h**3 / 12) ** 0.5 * self.second
        return (w, u) if return_U else w


@dataclass
class Law:
    """Mean (dim,) and covariance (dim, dim)."""

    mean: torch.Tensor
    covariance: torch.Tensor

    def error(self, mean, covariance):
        """The largest error of a mean or covariance."""
        return float(torch.cat([self.mean - mean, (self.covariance - covariance).flatten()]).abs().max())


def exact_path(solver, process, patch=None, score=gaussian_score, start=None):
    """The laws along the trajectory of states that begin with that of the noised Gaussian; no sampling."""
    dim, inner = len(MEAN), process.noise or targets.IsotropicNoise(1.0)
    if patch is not None:
        patch.setattr("torchsde.BrownianInterval", RecordedMotion)
    rows = 1 + dim
    for _ in range(2):  # the draws are counted first
        recording = RecordedMotion.recording = Recording(inner, rows, 1 + dim)
        x = torch.zeros(rows, dim, dtype=F64)
        x[1 : 1 + dim] = torch.eye(dim, dtype=F64)
        recorded = replace(process, noise=recording)
        path = solver.solve(score(process), recorded, x, seeded(), trajectory=True)
        rows = 1 + dim + dim * recording.draws
    mean, covariance = noised_law(process, process.horizon) if start is None else start
    laws = []
    for out in path:
        maps = (out - out[0]).mT
        onto, noise = maps[:, 1 : 1 + dim], maps[:, 1 + dim :]
        laws.append(Law(out[0] + onto @ mean, onto @ covariance @ onto.mT + noise @ noise.mT))
    return laws


def exact_law(solver, process, patch=None, place=-1, **more):
    """The law at a place of the trajectory."""
    return exact_path(solver, process, patch, **more)[place]


def flow_reference(process, x, t):
    """The probability flow of the mixture from x at the horizon to t, to 1e-10, from the score at 0 too."""
    score = mixture_score(process)

    def velocity(now, x):
        drift, diffusion = process.drift_coefficient(now), process.diffusion(now)
        force = score(x, now)
        return drift * x - 0.5 * diffusion**2 * (force if process.noise is None else process.noise.times(force))

    def slope(now, flat):
        return velocity(float(now), torch.from_numpy(flat).reshape(x.shape)).flatten().numpy()

    stop = t if t > 0 else 1e-3 * process.horizon
    found = solve_ivp(slope, (process.horizon, stop), x.flatten().numpy(), method="DOP853", rtol=1e-10, atol=1e-10)
    end = torch.from_numpy(np.ascontiguousarray(found.y[:, -1])).reshape(x.shape)
    if t > 0:
        return end
    half = 0.5 * stop  # one step of Runge and Kutta's order 4
    first = velocity(stop, end)
    second = velocity(half, end - half * first)
    third = velocity(half, end - half * second)
    last = velocity(0.0, end - stop * third)
    return end - stop / 6 * (first + 2 * second + 2 * third + last)


# Every solver, from the number of its steps and a grid

DATA = GAUSSIAN.sample(4000, generator=seeded(1))
SOLVERS = {
    "Euler-Maruyama": solvers.EulerMaruyama,
    "Euler-Maruyama, lam 1/2": partial(solvers.EulerMaruyama, lam=0.5),
    "Euler-Maruyama, lam -1": partial(solvers.EulerMaruyama, lam=-1.0),
    "exponential": solvers.ExponentialIntegrator,
    "exponential, lam 1/2": partial(solvers.ExponentialIntegrator, lam=0.5),
    "exponential, lam 1": partial(solvers.ExponentialIntegrator, lam=1.0),
    "ancestral": solvers.Ancestral,
    "DDIM": solvers.DDIM,
    "DDIM, eta 1/2": partial(solvers.DDIM, eta=0.5),
    "DDIM, eta 1": partial(solvers.DDIM, eta=1.0),
    "Analytic-DPM": partial(solvers.AnalyticDPM, samples=DATA),
    "Analytic-DPM, diagonal": partial(solvers.DiagonalAnalyticDPM, samples=DATA),
    "predictor-corrector": lambda steps, **grid: solvers.PredictorCorrector(solvers.Ancestral(steps, **grid)),
    "two corrections": lambda steps, **grid: solvers.PredictorCorrector(
        solvers.DPMSolver2(steps, **grid), corrections=2
    ),
    "Euler": solvers.Euler,
    "Heun": solvers.Heun,
    "DPM-Solver 1": solvers.DPMSolver1,
    "DPM-Solver 2": solvers.DPMSolver2,
    "DPM-Solver 3": solvers.DPMSolver3,
    "DPM-Solver++ 2M": solvers.DPMSolver2M,
    "EDM": solvers.EDM,
    "EDM with churn": partial(solvers.EDM, churn=3.0),
    "torchsde, srk": solvers.TorchSDE,
    "torchsde, heun": partial(solvers.TorchSDE, method="heun"),
    "torchsde, midpoint": partial(solvers.TorchSDE, method="midpoint"),
    "torchsde, euler": partial(solvers.TorchSDE, method="euler"),
    "torchsde, milstein": partial(solvers.TorchSDE, method="milstein"),
}
BAND = 0.25  # of a measured order around the one declared


def uneven(process, steps, least):
    """0, then `steps` times from least of the horizon to its end: equal steps of sqrt(t), every second one doubled.

    A rule for equal steps alone has another order on such a grid.
    """
    lengths = torch.ones(steps - 1, dtype=F64)
    lengths[1::2] = 2.0
    u = torch.cat([torch.zeros(1, dtype=F64), lengths.cumsum(0) / lengths.sum()])
    grid = torch.cat([torch.zeros(1, dtype=F64), process.horizon * (least**0.5 + u * (1 - least**0.5)) ** 2])
    grid[-1] = process.horizon
    return grid


@cache
def flow_case(name, least):
    """States at the horizon of a process and where the probability flow of the mixture leads them."""
    process = PROCESSES[name]
    generator = seeded(3)
    x = process.diffuse(MIXTURE.sample(16, generator=generator), 0.0, process.horizon, generator)
    return x, flow_reference(process, x, least * process.horizon)


def error(make, name, patch, *, steps, least):
    """Of a solver before its last step, on an uneven grid: of states where nothing is drawn, else of the law."""
    process = PROCESSES[name]
    solver = make(steps=steps + 1, grid=uneven(process, steps + 1, least))
    if solver.deterministic:
        x, reference = flow_case(name, least)
        found = solver.solve(mixture_score(process), process, x, trajectory=True)[-2]
        return solver, float((found - reference).abs().max())
    law = exact_law(solver, process, patch, -2)
    return solver, law.error(*noised_law(process, least * process.horizon))


def check_order(make, name, patch, steps=16, least=0.1):
    """AssertionError unless the error falls at the declared order as the steps are halved; the order measured."""
    (solver, before), (_, after) = (error(make, name, patch, steps=n, least=least) for n in (steps, 2 * steps))
    measured = log2(before / after)
    assert abs(measured - solver.order) < BAND, f"order {measured:.2f}, {solver.order} is declared ({after:.2g})"
    return measured


# Identities


def check_equal(first="DDIM, eta 1", second="ancestral", steps=12):
    """AssertionError unless two solvers take the same states along the same paths, noise and all, to rounding."""
    for process in PROCESSES.values():
        x = process.diffuse(MIXTURE.sample(8, generator=seeded(2)), 0.0, process.horizon, seeded(3))
        paths = [
            SOLVERS[name](steps=steps).solve(mixture_score(process), process, x, seeded(4), trajectory=True)
            for name in (first, second)
        ]
        torch.testing.assert_close(*paths, rtol=1e-10, atol=1e-10)


def check_denoised_at_zero(make, steps=6):
    """AssertionError unless the state at 0 is the denoised mean of the one before it."""
    for process in PROCESSES.values():
        solver, score = make(steps=steps), mixture_score(process)
        x = process.diffuse(MIXTURE.sample(8, generator=seeded(2)), 0.0, process.horizon, seeded(3))
        *_, before, end = solver.solve(score, process, x, seeded(4), trajectory=True)
        t = float(solver.times(process)[1])
        torch.testing.assert_close(end, solvers.Reversal(score, process, None).clean(before, t))


def check_constant_score(name="exponential, lam 1", spread="exponential"):
    """AssertionError unless exponential steps are exact, in mean and covariance, where the score is constant."""
    constant = torch.tensor([0.3, -0.7], dtype=F64)
    for process in PROCESSES.values():
        laws = [
            exact_law(SOLVERS[one](steps=steps), process, score=lambda process: lambda x, t: constant.expand_as(x))
            for one in (name, spread)
            for steps in (1, 7)
        ]
        for one, many in (laws[:2], laws[2:]):
            torch.testing.assert_close(one.mean, many.mean, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(one.covariance, many.covariance, rtol=1e-10, atol=1e-10)


SPREADS = {solvers.AnalyticDPM: [0.5, 0.5], solvers.DiagonalAnalyticDPM: [0.3, 1.7]}


def check_exact_in_few_steps(kind):
    """AssertionError unless three steps with the optimal variance have the law of independent normals.

    Means are exact. Variances are those of the samples': the errors of all levels together, each 5 standard errors of
    (sigma / a)^2 sigma^2 E[s^2], or of the mean square of what is missed, bound theirs.
    """
    spread = torch.tensor(SPREADS[kind], dtype=F64)
    data, process = targets.Gaussian(MEAN, covariance=spread.diag()), OrnsteinUhlenbeck(horizon=0.5)
    samples = data.sample(20_000, generator=seeded(6))
    score = as_score(ClosedForm(), process, data)
    scale, variance = process.transition(0.0, process.horizon)
    start = scale * MEAN, (scale**2 * spread + variance).diag()
    for eta in (0.0, 0.5, 1.0):
        solver = kind(steps=3, samples=samples, eta=eta, grid=grids.uniform(3, process.horizon))
        scale, variance = process.transition(0.0, solver.times(process)[1:])
        ratio = (variance / scale**2)[:, None]
        missed = ratio**2 / (spread + ratio) if kind is solvers.AnalyticDPM else ratio * spread / (spread + ratio)
        law = exact_law(solver, process, score=lambda process: score, start=start)
        torch.testing.assert_close(law.mean, MEAN, rtol=1e-10, atol=1e-10)
        bound = 5 * (2 / len(samples)) ** 0.5 * missed.sum(0)
        assert bool(((law.covariance.diagonal() - spread).abs() < bound).all()), (law.covariance, bound)
