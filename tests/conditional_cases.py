"""Conditional models against laws whose conditionals are known: a Gaussian, a parabola, a mixture with labels.

A check is a function that raises AssertionError; `seeded_bugs_conditional` lists mistakes that it must reject.
"""

import math
from functools import cache

import numpy as np
import torch

import targets
from samplers import Draws, ScoreDiffusion
from samplers.denoisers import ClosedForm
from samplers.generative import Denoising, Samples, ScoreMLP, Training, as_score
from samplers.generative.trained import at_time

F64 = torch.float64
SMALL = ScoreMLP(width=32, blocks=1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def kl(law, other, nodes=16):
    """KL(law || other) in nats of a Gaussian law, by Gauss-Hermite quadrature; other: log-density of (n, dim)."""
    at, weight = np.polynomial.hermite_e.hermegauss(nodes)
    at, weight = torch.tensor(at, dtype=F64), torch.tensor(weight / weight.sum(), dtype=F64)
    points = torch.cartesian_prod(*[at] * law.dim).reshape(-1, law.dim)
    weights = math.prod(weight.reshape([-1 if j == i else 1 for j in range(law.dim)]) for i in range(law.dim)).flatten()
    x = law.mean + points @ torch.linalg.cholesky(law.covariance).mT
    return float(weights @ (law.log_prob(x) - other(x)))


# A joint Gaussian of two x and two y of other units

MEAN = torch.tensor([3.0, -1.0, 10.0, 200.0], dtype=F64)
FACTOR = torch.tensor([[1, 0, 0, 0], [0.5, 1.2, 0, 0], [0.8, -0.3, 0.6, 0], [-40, 90, 20, 50]], dtype=F64)
JOINT = FACTOR @ FACTOR.mT
SLOPE = JOINT[:2, 2:] @ torch.linalg.inv(JOINT[2:, 2:])
ALL = targets.Gaussian(MEAN[:2], covariance=JOINT[:2, :2])
CONDITIONS = MEAN[2:] + torch.tensor([[0, 0], [1, -1], [-1.5, 1], [2, 2]], dtype=F64) @ FACTOR[2:, 2:].mT


def conditional(y):
    """The exact law of x given y."""
    return targets.Gaussian(MEAN[:2] + SLOPE @ (y - MEAN[2:]), covariance=JOINT[:2, :2] - SLOPE @ JOINT[2:, :2])


def gaussian_rows(n=4000, seed=0):
    rows = MEAN + torch.randn(n, 4, dtype=F64, generator=seeded(seed)) @ FACTOR.mT
    return rows[:, :2], rows[:, 2:]


def gaussian_model(iterations=200, drop=0.2, **options):
    x, y = gaussian_rows()
    training = Training(batch=256, learning_rate=5e-3, drop_condition=drop)
    return ScoreDiffusion(**{"network": SMALL, "training": training} | options).fit(
        x, given=y, iterations=iterations, progress=False
    )


TINY = {"network": ScoreMLP(width=8, blocks=1), "training": Training(batch=32, drop_condition=0.2)}


def tiny(iterations=10, **options):
    x, y = gaussian_rows(300)
    fit = {name: options.pop(name) for name in ("checkpoint", "seed", "dtype") if name in options}
    return ScoreDiffusion(**TINY | options).fit(x, given=y, iterations=iterations, progress=False, **fit)


def check_gaussian(model=gaussian_model):
    """Mean, covariance and law of x | y, beside those of all x."""
    fitted = model()
    lost, all_x = [], []
    for y in CONDITIONS:
        one, exact = fitted.given(y), conditional(y)
        x = one.sample(draws=4000, seed=3).x[0]
        deviation = exact.covariance.diagonal().sqrt()
        assert float(((x.mean(0) - exact.mean) / deviation).abs().max()) < 0.15
        scaled = (torch.cov(x.mT) - exact.covariance) / deviation / deviation[:, None]
        assert float(scaled.abs().max()) < 0.15
        lost.append(kl(exact, one.log_prob))
        all_x.append(kl(exact, ALL.log_prob))
    assert max(lost) < 0.03, lost
    assert sum(lost) < 0.01 * sum(all_x), (lost, all_x)


def check_start(iterations=0):
    """Untrained, x | y of the joint moments: the mean of its draws is the regression's, far out as well."""
    fitted = gaussian_model(iterations, training=Training(validation=0, drop_condition=0.5))
    x, y = gaussian_rows()
    design = torch.cat([y - y.mean(0), torch.ones(len(y), 1, dtype=F64)], 1)
    slope = torch.linalg.lstsq(design, x).solution
    residual = x - design @ slope
    for y0 in CONDITIONS:
        one = fitted.given(y0)
        mean = torch.cat([y0 - y.mean(0), torch.ones(1, dtype=F64)]) @ slope
        found = one.transformation.inverse(
            one.flow(rtol=1e-7, atol=1e-7).transport(one.prior.mean[None], to_prior=False)
        )
        covariance = residual.mT @ residual / len(x)
        error = (found[0] - mean) / covariance.diagonal().sqrt()
        assert float(error.abs().max()) < 5e-3, (
            error
        )  # a ridge of 5e-4 beside an eigenvalue of .62: 8e-4 of 4 deviations
        for t in (0.05, 0.5, 1.0):
            u = torch.randn(5, 2, dtype=F64, generator=seeded(4))
            shift, factor = fitted.transformation.affine
            law = targets.Gaussian((mean - shift) / factor, covariance=covariance / factor / factor[:, None])
            wanted = at_time(law, fitted.process, t).score(u)
            for _ in range(10):
                score = fitted.conditional_score(u, t, y0)
                assert float((score - wanted).norm() / wanted.norm()) < 1e-2


def check_without():
    """Trained with conditions dropped, and given none: the score of all x, which is far from that given y."""
    fitted = gaussian_model(400)
    shift, factor = fitted.transformation.affine
    law = targets.Gaussian((ALL.mean - shift) / factor, covariance=ALL.covariance / factor / factor[:, None])
    for t in (0.03, 0.1, 0.3):
        exact = at_time(law, fitted.process, t)
        u = exact.sample(500, generator=seeded(5))
        free, given = (error(fitted.conditional_score(u, t, y), exact.score(u)) for y in (None, CONDITIONS[3]))
        assert free < 0.05, free
        assert given > 1, given


def error(score, wanted):
    """Relative, of squares."""
    return float((score - wanted).square().sum() / wanted.square().sum())


# A parabola: x = y_0^2 + noise of a width that depends on y_1; linear regression sees nothing of it


def parabola(y):
    """The exact law of x given y."""
    return targets.Gaussian(y[:1].square(), covariance=(0.2 + 0.2 * (y[1] + 1)).square()[None, None])


@cache
def parabola_rows(n=4000):
    y = 2 * torch.rand(n, 2, dtype=F64, generator=seeded(1)) - 1
    noise = torch.randn(n, 1, dtype=F64, generator=seeded(2))
    return y[:, :1].square() + (0.2 + 0.2 * (y[:, 1:] + 1)) * noise, y


def parabola_model(iterations=400, **options):
    x, y = parabola_rows()
    training = Training(batch=256, learning_rate=5e-3)
    return ScoreDiffusion(**{"network": SMALL, "training": training} | options).fit(
        x, given=y, iterations=iterations, progress=False
    )


def check_parabola(**options):
    """Trained: x | y for several y, beside that of the regression that training starts from."""
    fitted, start = parabola_model(**options), parabola_model(0)
    places = torch.tensor([[0.0, -0.5], [0.8, -0.5], [-0.8, 0.5], [0.0, 0.8]], dtype=F64)
    lost, before = ([kl(parabola(y), model.given(y).log_prob) for y in places] for model in (fitted, start))
    assert max(lost) < 0.05, lost
    assert sum(lost) < 0.2 * sum(before), (lost, before)


# A mixture with labels: regression knows the means of the components and the mean of their covariances

TURNED = 0.25 * torch.tensor(
    [[[1.0, 0.8], [0.8, 1.0]], [[1.0, -0.8], [-0.8, 1.0]], [[0.1, 0.0], [0.0, 0.1]]], dtype=F64
)
RING = 3 * torch.tensor([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]], dtype=F64)
MIXTURE = targets.GaussianMixture(RING, covariances=TURNED, weights=[0.5, 0.3, 0.2])
LABELS = torch.eye(3, dtype=F64)


@cache
def labelled(n=4000):
    label = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), n, replacement=True, generator=seeded(1))
    noise = torch.randn(n, 2, 1, dtype=F64, generator=seeded(2))
    x = RING[label] + (torch.linalg.cholesky(TURNED)[label] @ noise)[..., 0]
    return x, LABELS[label]


def labelled_model(iterations=800, drop=0.3, **options):
    x, y = labelled()
    training = Training(batch=256, learning_rate=1e-2, average=0.99, drop_condition=drop)
    return ScoreDiffusion(**{"network": SMALL, "training": training} | options).fit(
        x, given=y, iterations=iterations, progress=False
    )


def check_labels(**options):
    """Draws given a label lie in its component, whose law they have; those given none have that of the mixture."""
    fitted, start = labelled_model(**options), labelled_model(0)
    lost, before = [], []
    for label, mean, covariance in zip(LABELS, RING, TURNED, strict=True):
        x = fitted.given(label).sample(draws=1000).x[0]
        assert float((torch.cdist(x, RING).argmin(1) == int(label.argmax())).double().mean()) > 0.99
        law = targets.Gaussian(mean, covariance=covariance)
        for model, found in ((fitted, lost), (start, before)):
            found.append(kl(law, model.given(label).log_prob))
    assert sum(lost) < 0.2 * sum(before), (lost, before)
    shift, factor = fitted.transformation.affine
    law = targets.GaussianMixture(
        (RING - shift) / factor, covariances=TURNED / factor / factor[:, None], weights=[0.5, 0.3, 0.2]
    )
    score = as_score(ClosedForm(), fitted.process, law)
    for t in (0.1, 0.3):
        a, s = (float(value) for value in (fitted.process.scale(t), fitted.process.variance(t).sqrt()))
        x = law.sample(1000, generator=seeded(3))
        u = a * x + s * torch.randn(1000, 2, dtype=F64, generator=seeded(4))
        free, first = (error(model.conditional_score(u, t, None), score(u, t)) for model in (fitted, start))
        assert free < 0.2 * first, (free, first)


# What reaches the network, number by number


class Spy(Denoising):
    """The denoising loss, which remembers the clean rows and their contexts."""

    seen: tuple = ()

    def rows(self, model, example, generator):
        object.__setattr__(self, "seen", (*self.seen, (example.clean, model.network.context, torch.is_grad_enabled())))
        return super().rows(model, example, generator)


def check_contexts(drop=0.3, iterations=30):
    """Every row of every batch has its own condition, standardised, with a 1; or zeros, as often as was asked for, and
    never among the rows held out."""
    y = 50 + 3 * torch.randn(500, 2, dtype=F64, generator=seeded())
    x = y + torch.randn(500, 2, dtype=F64, generator=seeded(1)) * 1e-3
    loss = Spy(weighting="output")
    model = ScoreDiffusion(network=SMALL, loss=loss, training=Training(batch=64, drop_condition=drop))
    fitted = model.fit(x, given=y, iterations=iterations, progress=False)
    exact = (y - y.mean(0)) / y.std(0, correction=0)
    none = total = 0
    for clean, context, training in loss.seen:
        if context.ndim == 1:  # of rows held out, a second time
            assert not training
            assert not bool(context.any())
            continue
        own = torch.cdist(fitted.transformation.inverse(clean), x).argmin(1)
        dropped = (context == 0).all(1)
        wanted = torch.cat([exact[own], torch.ones(len(own), 1, dtype=F64)], 1) * ~dropped[:, None]
        torch.testing.assert_close(context, wanted, rtol=0, atol=1e-9)
        if training:
            assert 0 < int(dropped.sum()) < len(dropped), "the rows of a batch share one fate"
            none, total = none + int(dropped.sum()), total + len(dropped)
        assert training or not bool(dropped.any()), "a condition of a row held out was dropped"
    assert abs(none - drop * total) < 5 * math.sqrt(total * drop * (1 - drop)), (none, total)


def check_pairs():
    """Rows keep their conditions in batches and splits, with and without weights, and from draws in any shape."""
    x = torch.arange(120.0, dtype=F64).reshape(60, 2)
    y = -x[:, :1].square()
    weights = torch.linspace(-2, 0, 60, dtype=F64)
    weights[7] = -math.inf
    kinds = [
        Samples.of(x, given=y),
        Samples.of(Draws(x[None], log_weights=weights[None]), given=y),
        Samples.of(Draws(x.reshape(3, 20, 2)), given=y),
        Samples.of(Draws(x.reshape(3, 20, 2)), given=y.reshape(3, 20, 1)),
    ]
    for samples in kinds:
        for part in (samples, *samples.split(0.2, seeded(1)), samples.to(dtype=torch.float32)):
            assert torch.equal(part.given, -part.x[:, :1].double().square())
            rows, given = part.pairs(50, seeded(2))
            assert torch.equal(given, -rows[:, :1].double().square())
            assert torch.equal(part.batch(50, seeded(2)), rows)


def check_rows():
    """log_prob and elbo of rows with conditions of their own are those of each condition by itself."""
    fitted = gaussian_model(20)
    x, y = (rows[:4] for rows in gaussian_rows(seed=1))
    together = fitted.log_prob(x, given=y, rtol=1e-8, atol=1e-8)
    mixed = fitted.elbo(x, given=y, times=4, repetitions=2).repetitions
    for i in range(4):
        one = fitted.given(y[i])
        assert abs(float(one.log_prob(x[i : i + 1], rtol=1e-8, atol=1e-8) - together[i])) < 1e-6
        same = fitted.elbo(x, given=y[i].expand(4, -1), times=4, repetitions=2).repetitions
        torch.testing.assert_close(mixed[:, i], same[:, i])
        alone = fitted.elbo(x, given=y[i], times=4, repetitions=2).repetitions
        torch.testing.assert_close(mixed[:, i], alone[:, i])
