"""Checks of noising processes whose noise has the shape of a random field; seeded bugs must fail them."""

from dataclasses import replace

import torch
from torch.distributions import MultivariateNormal

import targets
from samplers.generative import DiffusionDenoiser, ScoreDiffusion, ScoreMLP, Training, load, solvers
from samplers.processes.linear import VE, VP

F64 = torch.float64
# a Gaussian field on a path with two more edges: precision Q = J + D
COUPLINGS = torch.zeros(6, 6, dtype=F64)
for i, j, coupling in [(0, 1, -0.9), (1, 2, -0.6), (2, 3, 0.5), (3, 4, -0.8), (4, 5, -0.7), (0, 5, 0.3), (1, 4, -0.4)]:
    COUPLINGS[i, j] = COUPLINGS[j, i] = coupling
SHIFT = torch.tensor([1.6, 2.2, 1.5, 1.9, 2.3, 1.4], dtype=F64)
PRECISION = COUPLINGS + torch.diag(SHIFT)
COVARIANCE = torch.linalg.inv(PRECISION)
FIELD = targets.Gaussian(torch.zeros(6, dtype=F64), covariance=COVARIANCE, name="field")
NOISE = targets.MRFNoise(targets.PairwiseMRF(COUPLINGS), SHIFT)
TORUS = targets.MRFNoise(targets.Ising((3, 4), 0.3)).scaled(0.7)
NOISES = {"graph": NOISE, "torus": TORUS, "scaled": NOISE.scaled(2.5)}
SMALL = {"network": ScoreMLP(width=8, blocks=1), "training": Training(batch=32)}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def check_marginals():
    """Scores, draws and moments of x_t given x_0 beside those of N(a x_0, V C) with C the inverse of a dense matrix."""
    dense = {"graph": COVARIANCE, "scaled": 2.5 * COVARIANCE}
    x_0, x = torch.randn(2, 5, 6, generator=seeded(0), dtype=F64)
    for name, covariance in dense.items():
        for process in (VP(noise=NOISES[name]), VE(0.1, 5.0, noise=NOISES[name])):
            scale, variance = process.transition(0.0, 0.4)
            law = MultivariateNormal(scale * x_0, variance * covariance)
            at = x.clone().requires_grad_()
            (score,) = torch.autograd.grad(law.log_prob(at).sum(), at)
            torch.testing.assert_close(process.conditional_score(x, x_0, 0.0, 0.4), score)
            unit = process.noise.colour(torch.eye(6, dtype=F64))
            torch.testing.assert_close(unit.mT @ unit, covariance)
            drawn = process.diffuse(x_0, 0.0, 0.4, seeded(1))
            white = torch.randn(x_0.shape, generator=seeded(1), dtype=F64)
            torch.testing.assert_close(drawn, scale * x_0 + variance.sqrt() * process.noise.colour(white))


def covariance_reached(solver, process, data=COVARIANCE):
    """The covariance that a solver without noise makes of the law at the horizon by the exact score: it is linear."""
    noise = torch.eye(6, dtype=F64) if process.noise is None else process.noise.covariance(6)

    def noised(t):
        scale, variance = (float(value) for value in process.transition(0.0, t))
        return scale**2 * data + variance * noise

    def score(x, t):
        return -torch.linalg.solve(noised(t), x.mT).mT

    out = solver.solve(score, process, torch.eye(6, dtype=F64))
    return out.mT @ noised(process.horizon) @ out


def check_solvers_reproduce_the_field():
    """By the exact score, at the order of the solver; with the field's own noise the flow of VP stands still."""
    still = covariance_reached(solvers.Euler(steps=3), VP(noise=NOISE))
    torch.testing.assert_close(still, COVARIANCE)
    for noise in (None, NOISE, NOISE.scaled(2.5), targets.CorrelatedNoise(SHIFT)):
        errors = []
        for steps in (24, 96):
            found = covariance_reached(solvers.DPMSolver2M(steps=steps), VP(beta_max=10.0, noise=noise))
            errors.append(float((found - COVARIANCE).abs().max() / COVARIANCE.max()))
        assert errors[1] < 0.02, (noise, errors)
        assert errors[1] < errors[0] / 4, (noise, errors)


def model(noise=NOISE, **options):
    return ScoreDiffusion(**(SMALL | {"process": VP(beta_max=10.0, noise=noise), "standardise": "common"} | options))


def check_untrained_it_is_the_gaussian():
    """Score, likelihood, draws and denoiser of the Gaussian of the moments, in x, reckoned densely."""
    x = 3 * FIELD.sample(4000, generator=seeded(3)) + 1
    fitted = model(training=Training(validation=0)).fit(x, iterations=0, progress=False)
    mean, covariance = x.mean(0), x.mT.cov(correction=0)
    shift, factor = fitted.transformation.affine
    torch.testing.assert_close(shift, mean)
    k = float(factor[0])
    assert bool((factor == k).all())
    torch.testing.assert_close(torch.tensor(k, dtype=F64) ** 2, (PRECISION @ covariance).trace() / 6)
    law = MultivariateNormal(mean, covariance)
    torch.testing.assert_close(fitted.log_prob(x[:20]), law.log_prob(x[:20]), rtol=0, atol=0.02)
    scale, variance = (float(value) for value in fitted.process.transition(0.0, 0.3))
    noised = scale**2 * covariance + variance * k**2 * COVARIANCE
    u = torch.randn(4, 6, generator=seeded(1), dtype=F64)
    score = -torch.linalg.solve(noised, k * u.mT).mT * k
    torch.testing.assert_close(fitted.score(u, 0.3), score, rtol=1e-5, atol=1e-6)
    seen = targets.MRFNoise(NOISE.mrf, SHIFT).scaled(variance / scale**2 * k**2)
    denoiser = fitted.denoiser()
    assert isinstance(denoiser, DiffusionDenoiser)
    y = x[:5] + 0.5
    gain = covariance @ torch.linalg.inv(covariance + seen.covariance(6))
    found = denoiser.estimate(FIELD, y, seen).mean
    torch.testing.assert_close(found, mean + (y - mean) @ gain.mT, rtol=1e-5, atol=1e-6)
    drawn = fitted.sample(draws=4000, solver=solvers.DPMSolver2M(steps=100)).x[0]
    ratio = torch.linalg.eigvals(torch.linalg.solve(covariance, drawn.mT.cov())).real
    assert 0.85 < float(ratio.min()) < float(ratio.max()) < 1.15


def check_files(path):
    """Noise of a graph, of a torus and scaled is read as it was written: draws have the same bits."""
    for name, noise in NOISES.items():
        x = torch.randn(200, noise.dim, generator=seeded(0))
        fitted = model(noise).fit(x, iterations=3, progress=False)
        found = load(fitted.save(path / name))
        assert type(found.process.noise) is type(noise)
        assert torch.equal(found.process.noise.covariance(noise.dim), noise.covariance(noise.dim))
        assert torch.equal(found.sample(draws=20).x, fitted.sample(draws=20).x)
        assert torch.equal(*(one.elbo(x[:5], times=4, repetitions=2).value for one in (found, fitted)))
        assert found.settings == fitted.settings


def replaced(noise):
    return replace(VP(), noise=noise)
