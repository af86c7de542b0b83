"""Exact answers on latent diffusion: linear Gaussian data, codes of one number by quadrature, laws of few values.

Every `check_` function raises AssertionError where a piece is wrong: the tests call them, and so do seeded bugs.
"""

import itertools
import math

import torch

from samplers import ScoreDiffusion
from samplers.generative import Autoencoder, Code, LatentDiffusion, Levels, Ordinal, Real, ScoreMLP, Training
from samplers.generative.autoencoder import AutoencoderNetwork
from targets import Gaussian

F64 = torch.float64
WITHIN = 5.0  # standard errors
KINDS = [Levels(0, 2, probabilities=(0.5, 0.3, 0.2)), Ordinal(-1, 2), Real()]
SMALL = ScoreDiffusion(network=ScoreMLP(width=8, blocks=1), training=Training(validation=0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mixed(n, seed=0):
    """Rows of the kinds above that depend on one another."""
    z = torch.randn(n, 1, dtype=F64, generator=seeded(seed))
    y = z + 0.5 * torch.randn(n, 3, dtype=F64, generator=seeded(seed + 1))
    return torch.stack([(y[:, 0] > -0.2).double() + (y[:, 0] > 0.8), y[:, 1].round().clamp(-1, 2), 3 + 2 * y[:, 2]], 1)


def linear(n, seed=0):
    """Rows x = W z + noise of five columns of different sizes, z of two numbers."""
    out = torch.tensor([[1.0, 0.2], [0.5, -1.0], [0.0, 0.7], [2.0, 1.0], [-0.3, 0.4]], dtype=F64)
    z = torch.randn(n, 2, dtype=F64, generator=seeded(seed))
    noise = torch.randn(n, 5, dtype=F64, generator=seeded(seed + 1))
    return torch.linspace(-2, 2, 5, dtype=F64) + z @ out.mT + torch.linspace(0.3, 0.6, 5, dtype=F64) * noise


def network_of(kinds, x, size, spread=0.0, seed=3):
    """An autoencoder at its start, or with random weights of this size added everywhere."""
    network = AutoencoderNetwork(kinds, size, 6, 2, x[0], seeded(seed))
    network.begin(x, None)
    generator = seeded(seed + 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += spread * torch.randn(parameter.shape, dtype=F64, generator=generator)
    return network


def code_of(kinds, x, size, spread=0.0):
    return Code.of(kinds, network_of(kinds, x, size, spread), 6, 2)


def components(x, size):
    """Mean and covariance of probabilistic principal components of x with its columns in units of their deviations."""
    mean, deviation = x.mean(0), x.std(0, correction=0)
    values, vectors = torch.linalg.eigh(torch.cov(((x - mean) / deviation).mT, correction=0))
    values[:-size] = values[:-size].mean()
    return mean, deviation[:, None] * (vectors * values) @ vectors.mT * deviation


def check_principal_components():
    """At first log N(z; 0, I) + c is log p(x) of probabilistic components at every z: the encoder is the posterior."""
    x = linear(400)
    code = code_of([Real()] * 5, x, 2)
    z, c = code.forward(x, seeded(5))
    mean, covariance = components(x, 2)
    standard = Gaussian(torch.zeros(2, dtype=F64))
    found = standard.log_prob(z) + c
    torch.testing.assert_close(found, Gaussian(mean, covariance=covariance).log_prob(x), rtol=1e-9, atol=1e-9)


def check_probabilities():
    """Given a code, the probabilities of all values of the integer columns sum to one, also of far-off means."""
    kinds = KINDS[:2]
    network = network_of(kinds, mixed(300)[:, :2], 1, spread=0.5)
    every = torch.tensor(list(itertools.product(range(3), range(-1, 3))), dtype=F64)
    for code in (-100.0, -3.0, 0.1, 2.0, 100.0):
        z = torch.full((len(every), 1), code, dtype=F64)
        rows = network.log_likelihood(every, z)
        assert bool(rows.isfinite().all()), "a cell far off has no mass at all"
        total = rows.exp().sum()
        torch.testing.assert_close(total, torch.ones((), dtype=F64), rtol=1e-12, atol=1e-12)


def check_real_columns():
    """The density of real columns against torch's own."""
    x = linear(200)
    network = network_of([Real()] * 5, x, 2, spread=0.3)
    z = torch.randn(200, 2, dtype=F64, generator=seeded(6))
    with torch.no_grad():
        mu, sigma = network.decoder(z), network.log_sigma.exp()
        deviation = x.std(0, correction=0)
        law = torch.distributions.Normal(x.mean(0) + deviation * mu, deviation * sigma)
        found = network.log_likelihood(x, z)
    torch.testing.assert_close(found, law.log_prob(x).sum(-1), rtol=1e-10, atol=1e-10)


def marginal(code, x, prior, points=4001, reach=12.0):
    """log p(x) = log int p(x | z) p(z) dz of a code of one number, by the trapezium rule."""
    z = torch.linspace(-reach, reach, points, dtype=F64)[:, None]
    rows = torch.stack([code.network.log_likelihood(row.expand(points, -1), z) for row in x])
    return (rows + prior.log_prob(z)).logsumexp(1) + math.log(2 * reach / (points - 1))


def check_evidence():
    """E_q[exp(log p(z) + c)] = p(x) by quadrature, for columns of every kind and random weights."""
    x = mixed(300)
    code, prior = code_of(KINDS, x, 1, spread=0.05), Gaussian(torch.zeros(1, dtype=F64))
    rows = x[:6]
    exact = marginal(code, rows, prior)
    many = rows.repeat_interleave(20_000, 0)
    z, c = code.forward(many, seeded(7))
    share = (prior.log_prob(z) + c - exact.repeat_interleave(20_000)).exp().reshape(6, -1)
    error = share.std(1) / share.shape[1] ** 0.5
    assert bool(((share.mean(1) - 1).abs() < WITHIN * error).all()), (share.mean(1), error)
    assert bool((error < 0.05).all()), error


def check_draws():
    """Draws of x given a code: shares of integers and the mean and deviation of real columns."""
    x = mixed(300)
    code, n = code_of(KINDS, x, 1, spread=0.3), 20_000
    network, z = code.network, torch.full((n, 1), 0.4, dtype=F64)
    drawn = code.draw(z, seeded(8))
    mu, sigma = network.decoder(z[:1])[0], network.log_sigma.exp()
    for column, levels in ((0, range(3)), (1, range(-1, 3))):
        for level in levels:
            at = x[:1].clone()
            at[0, column] = level
            others = network.log_likelihood(at, z[:1]).exp()
            whole = sum(
                float(network.log_likelihood(at.index_fill(1, torch.tensor([column]), float(other)), z[:1]).exp())
                for other in levels
            )
            p = float(others) / whole
            share = float((drawn[:, column] == level).double().mean())
            assert abs(share - p) < WITHIN * math.sqrt(p * (1 - p) / n), (column, level, share, p)
    away = (drawn[:, 2] - x[:, 2].mean()) / x[:, 2].std(correction=0) - mu[2]
    assert abs(float(away.mean())) < WITHIN * float(sigma[2]) / math.sqrt(n)
    assert abs(float(away.std() / sigma[2]) - 1) < WITHIN / math.sqrt(2 * n)


def check_bound():
    """Of linear Gaussian data the bound is log p(x) less KL(q || posterior), both in closed form, for a code whose
    law is the Gaussian of its draws."""
    x = linear(1500)
    model = LatentDiffusion(Autoencoder(size=2, width=6, iterations=0), SMALL)
    fitted = model.fit(x, iterations=0, progress=False)
    code, scale = fitted.transformation.parts
    factor = torch.diag(scale.factor)
    m0, c0 = scale.shift + factor @ fitted.start.mean, factor @ fitted.start.covariance @ factor
    network, deviation = code.network, x.std(0, correction=0)
    out, s = deviation[:, None] * network.decoder.straight.weight, deviation * network.log_sigma.exp()
    rows = linear(40, seed=9)
    m, log_s = network.encode(rows)
    law = Gaussian(x.mean(0) + out @ m0, covariance=out @ c0 @ out.mT + torch.diag(s**2))
    precision = torch.linalg.inv(c0) + (out.mT / s**2) @ out
    pull = (torch.linalg.inv(c0) @ m0) + (rows - x.mean(0)) / s**2 @ out
    mean = torch.linalg.solve(precision, pull.mT).mT
    trace = ((2 * log_s).exp() * precision.diagonal()).sum(-1)
    away = ((m - mean) @ precision * (m - mean)).sum(-1)
    kl = 0.5 * (trace + away - 2 - precision.logdet()) - log_s.sum(-1)
    wanted = float((law.log_prob(rows) - kl).mean())
    found, error = fitted.elbo(rows, times=16, repetitions=12).mean
    assert abs(found - wanted) < WITHIN * error, (found, wanted, error)
    assert error < 0.2, error  # a nat would be seen


def check_below():
    """A trained autoencoder of columns of every kind: the bound is not above the exact marginal likelihood."""
    x = mixed(600)
    spec = Autoencoder(size=1, width=16, iterations=60, training=Training(batch=64, learning_rate=1e-2, validation=0))
    fitted = LatentDiffusion(spec, SMALL, columns=KINDS).fit(x, iterations=0, progress=False)
    code, scale = fitted.transformation.parts
    law = Gaussian(scale.shift + scale.factor * fitted.start.mean, covariance=scale.factor**2 * fitted.start.covariance)
    rows = mixed(40, seed=9)
    exact = float(marginal(code, rows, law).mean())
    found, error = fitted.elbo(rows, times=16, repetitions=10).mean
    assert found - exact < WITHIN * error, (found, exact, error)
    assert exact - found < 1.0, "the encoder is far from the posterior"
