"""Exact scores of noised Gaussian mixtures as models, and the identities that score matching rests on.

Every `check_` function raises AssertionError where a piece is wrong: the tests call them, and so do seeded bugs.
"""

import math

import numpy as np
import torch
from scipy import integrate, stats
from torch import nn

import targets
from samplers.generative import (
    Bounded,
    Categorical,
    Chain,
    CleanOf,
    Columns,
    Control,
    DebiasedTimes,
    Denoising,
    Example,
    Explicit,
    HessianMatching,
    Implicit,
    Karras,
    Levels,
    LogSNRTimes,
    NoiseOf,
    NoisyState,
    Ordinal,
    Positive,
    Real,
    Samples,
    ScoreModel,
    ScoreOf,
    Sliced,
    Standardisation,
    TraceGradientMatching,
    TraceMatching,
    UniformTimes,
    Velocity,
)
from samplers.generative.high_order import hessian_rows, trace_gradient_rows, trace_rows
from samplers.processes.linear import VE, VP, Brownian, OrnsteinUhlenbeck, SubVP
from targets import CorrelatedNoise

F64 = torch.float64
NOISE = CorrelatedNoise(torch.tensor([[1.0, 0.4], [0.4, 0.5]], dtype=F64))
PROCESSES = {
    "VP": VP(),
    "VP, correlated": VP(noise=NOISE),
    "sub-VP": SubVP(),
    "VE, correlated": VE(0.02, 10.0, noise=NOISE),
    "OU": OrnsteinUhlenbeck(horizon=2.0),
    "Brownian": Brownian(horizon=3.0),
}
PARAMETRISATIONS = [ScoreOf(), NoiseOf(), CleanOf(), Velocity(), Karras(), Karras(0.3), Control()]
MIXTURE = targets.GaussianMixture(
    torch.tensor([[-1.5, 0.0], [1.0, 0.7]], dtype=F64),
    covariances=torch.tensor([[[0.3, 0.1], [0.1, 0.2]], [[0.15, 0.0], [0.0, 0.4]]], dtype=F64),
    weights=[0.35, 0.65],
)
NARROW = targets.GaussianMixture(torch.tensor([[-0.5], [0.8]], dtype=F64), scales=[0.02, 0.03], weights=[0.4, 0.6])
GAUSSIAN = targets.GaussianMixture(
    torch.tensor([[0.5, -0.2]], dtype=F64), covariances=torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=F64)
)
WITHIN = 5.0  # standard errors


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def check_mean(values, expected=0.0, what="mean"):
    """Every column of values (n, ..) has that mean, to 5 standard errors, and is not a constant by accident."""
    values = values.detach().double() - expected
    error = values.std(0) / math.sqrt(len(values))
    z = values.mean(0) / error.clamp_min(1e-300)
    assert bool((z.abs() < WITHIN).all()), f"{what}: {z.tolist()} standard errors from what it should be"
    return error


# Exact scores


def moments_of(target):
    """Weights, means and covariances of a mixture."""
    scales = target._exact.get("scales")
    covariances = torch.diag_embed(scales**2) if scales is not None else target._exact_covariances
    return target._exact["weights"], target._exact["means"], covariances


def log_joints(target, process, x, t):
    """Of the noised mixture at x (n, dim) and t (n,): log w_k N(x; mu_k, S_k) and S_k^-1 (mu_k - x), by definition."""
    weights, means, covariances = moments_of(target)
    dim = x.shape[-1]
    noise = torch.eye(dim, dtype=F64) if process.noise is None else process.noise.covariance(dim)
    a, v = process.scale(t)[:, None, None], process.variance(t)[:, None, None, None]
    total = a[..., None] ** 2 * covariances + v * noise
    residual = a * means - x[:, None]
    pull = torch.linalg.solve(total, residual[..., None])[..., 0]
    constant = torch.logdet(total) + dim * math.log(2 * math.pi)
    return weights.log() - 0.5 * ((residual * pull).sum(-1) + constant), pull


def log_density(target, process, x, t):
    return log_joints(target, process, x, t)[0].logsumexp(-1)


def exact_score(target, process):
    def score(x, t):
        logits, pull = log_joints(target, process, x, t)
        return (logits.softmax(-1)[..., None] * pull).sum(-2)

    return score


def gradients(values, x):
    """d values[:, i] / d x, one after the other, of rows that do not depend on one another; (n, i, dim)."""
    columns = values.sum(0)
    return torch.stack([torch.autograd.grad(column, x, create_graph=True)[0] for column in columns], 1)


def derivatives(target, process, x, t):
    """The Hessian of log p_t, (n, dim, dim), and grad tr(C H), (n, dim), from log p_t alone."""
    noise = torch.eye(target.dim, dtype=F64) if process.noise is None else process.noise.covariance(target.dim)
    x = x.detach().requires_grad_()
    hessian = gradients(gradients(log_density(target, process, x, t)[:, None], x)[:, 0], x)
    third = gradients((noise * hessian).sum((-2, -1))[:, None], x)[:, 0] if hessian.requires_grad else 0 * x
    return hessian.detach(), third.detach()


def bump(x, t):
    """A field with a Jacobian that is no symmetric matrix."""
    return torch.sin(x.roll(1, -1) + t[:, None]) + 0.3 * x


class Shifted(nn.Module):
    """The exact score plus theta times `bump`, in the terms of a parametrisation; theta () or one for each row."""

    def __init__(self, target, process, parametrisation, theta=0.0):
        super().__init__()
        self.exact, self.process, self.parametrisation = exact_score(target, process), process, parametrisation
        self.theta = torch.as_tensor(theta, dtype=F64)

    def forward(self, x, t):
        score = self.exact(x, t) + self.theta.reshape(-1, 1) * bump(x, t)
        state = NoisyState.at(self.process, t, x)
        return self.parametrisation.output(state.marginal.noise_of_score(score), state)


def model_of(target, process, parametrisation=None, theta=0.0):
    parametrisation = parametrisation or NoiseOf()
    return ScoreModel(Shifted(target, process, parametrisation, theta), process, parametrisation)


def example_of(target, process, n, seed=0, least=1e-3):
    generator = seeded(seed)
    t, _ = LogSNRTimes(least).draw(process, n, generator)
    return Example.draw(process, target.sample(n, generator=generator), t, generator)


def squared(v, process):
    """v' C v."""
    return (v * (v if process.noise is None else process.noise.times(v))).sum(-1)


# Losses


def losses_of(target, process):
    return {
        "explicit": Explicit(score=exact_score(target, process)),
        "implicit": Implicit(),
        "sliced": Sliced(),
        "denoising": Denoising(),
        "centred": Denoising(centred=True),
    }


def check_identities(process, n=20_000, target=MIXTURE):
    """ESM - I(p_t) / 2 = ISM = SSM = DSM - E I(p(. | x_0)) / 2, row by row but for terms of mean zero."""
    example, model = example_of(target, process, n), model_of(target, process, theta=0.7)
    state, v = example.state, example.state.s.square()
    with torch.no_grad():
        rows = {name: loss.rows(model, example, seeded(1)) for name, loss in losses_of(target, process).items()}
        fisher = 0.5 * squared(exact_score(target, process)(state.x, state.t), process)
        conditional = 0.5 * squared(process.conditional_score(state.x, example.clean, 0.0, state.t), process)
    check_mean(v * (rows["implicit"] - rows["explicit"] + fisher), what="ISM - ESM + I / 2")
    check_mean(v * (rows["sliced"] - rows["implicit"]), what="SSM - ISM")
    check_mean(v * (rows["denoising"] - conditional - rows["implicit"]), what="DSM - E I / 2 - ISM")
    torch.testing.assert_close(v * rows["centred"], v * (rows["denoising"] - conditional), rtol=1e-9, atol=1e-9)
    # the model is wrong by theta bump, and the explicit loss says by how much
    torch.testing.assert_close(rows["explicit"], 0.5 * 0.49 * squared(bump(state.x, state.t), process))


def slopes(loss, target, process, example, theta):
    """d l / d theta for each row, (n,)."""
    thetas = torch.full((len(example.clean),), theta, dtype=F64).requires_grad_()
    rows = loss.rows(model_of(target, process, theta=thetas), example, seeded(1))
    return torch.autograd.grad(rows.sum(), thetas)[0]


def check_minimum(process, n=5_000, target=MIXTURE):
    """Every loss has the slope theta E|bump|^2 along bump: zero at the exact score, and nowhere else."""
    example = example_of(target, process, n, seed=2)
    v, size = example.state.s.square(), squared(bump(example.state.x, example.state.t), process)
    for name, loss in losses_of(target, process).items():
        for theta in (0.0, 0.5):
            slope = slopes(loss, target, process, example, theta)
            if name == "explicit":
                torch.testing.assert_close(slope, theta * size, rtol=1e-9, atol=1e-9)
            else:
                check_mean(v * (slope - theta * size), what=f"{name}, {theta}")
        wrong = v * slope
        assert wrong.mean() > 5 * wrong.std() / math.sqrt(n), name


def check_weights(process, n=16):
    """Weights by their definition, and the loss as an integral over times, not a mean."""
    model, x, times = model_of(MIXTURE, process, theta=0.5), MIXTURE.sample(n, generator=seeded(3)), UniformTimes(1e-3)
    for weighting, of in {
        "uniform": torch.ones_like,
        "likelihood": lambda t: process.diffusion(t) ** 2,
        "noise level": process.variance,
        torch.sqrt: torch.sqrt,
    }.items():
        loss = Explicit(score=exact_score(MIXTURE, process), weighting=weighting, times=times)
        with torch.no_grad():
            found = loss(model, x, seeded(3))
            t, _ = times.draw(process, n, generator := seeded(3))
            rows = loss.rows(model, Example.draw(process, x, t, generator), generator)
        torch.testing.assert_close(found, of(t) * rows * (process.horizon - 1e-3), rtol=1e-10, atol=0.0)


# Parametrisations


def printed_output(parametrisation, process, state, noise):
    """F where E[e | x_t] is this, by the printed formula of each."""
    a, s = process.scale(state.t)[:, None], process.variance(state.t).sqrt()[:, None]
    x, clean = state.x, (state.x - s * noise) / a
    score = -(noise if process.noise is None else process.noise.solve(noise)) / s
    if isinstance(parametrisation, Karras):
        k, sigma, y = parametrisation.deviation, s / a, x / a
        skip, out = k**2 / (sigma**2 + k**2), sigma * k / (sigma**2 + k**2).sqrt()
        return (clean - skip * y) / out
    if isinstance(parametrisation, Control):
        covariance = (
            torch.eye(x.shape[-1], dtype=F64) if process.noise is None else process.noise.covariance(x.shape[-1])
        )
        return process.diffusion(state.t)[:, None] * score @ torch.linalg.cholesky(covariance)
    return {
        ScoreOf: score,
        NoiseOf: noise,
        CleanOf: clean,
        Velocity: (a * noise - s * clean) / (a**2 + s**2).sqrt(),
    }[type(parametrisation)]


def check_parametrisation(parametrisation, process):
    """F by its formula, and back; the same score through it; the loss in terms of F, with the stated weight."""
    example = example_of(MIXTURE, process, 32)
    state = example.state
    wanted = printed_output(parametrisation, process, state, example.noise)
    torch.testing.assert_close(parametrisation.output(example.noise, state), wanted)
    torch.testing.assert_close(parametrisation.noise(wanted, state), example.noise)
    model, plain = (model_of(MIXTURE, process, each, theta=0.4) for each in (parametrisation, NoiseOf()))
    score = exact_score(MIXTURE, process)(state.x, state.t) + 0.4 * bump(state.x, state.t)
    torch.testing.assert_close(model.score(state.x, state.t), score)
    with torch.no_grad():
        rows = Denoising().rows(model, example, seeded())
        conditional = process.conditional_score(state.x, example.clean, 0.0, state.t)
        torch.testing.assert_close(rows, 0.5 * squared(score - conditional, process))
        torch.testing.assert_close(rows, Denoising().rows(plain, example, seeded()))
        loss = Denoising(weighting="output")
        found = loss(model, example.clean, seeded(4))
        t, _ = loss.times.draw(process, 32, generator := seeded(4))
        again = Example.draw(process, example.clean, t, generator)
        error = model.output(again.state) - parametrisation.output(again.noise, again.state)
    norm = {ScoreOf: squared(error, process), Control: error.square().sum(-1)}.get(
        type(parametrisation), (error * (error if process.noise is None else process.noise.solve(error))).sum(-1)
    )
    torch.testing.assert_close(found, 0.5 * norm)


def check_karras_of_a_gaussian(process):
    """For data N(0, k^2 C) the best F is 0 and F* has the covariance C, at all noises."""
    k = 0.7
    t = LogSNRTimes(1e-3).at(process, torch.linspace(0.01, 1, 9, dtype=F64))
    unit = torch.ones(9, 1, dtype=F64)
    a, s = process.scale(t)[:, None], process.variance(t).sqrt()[:, None]
    by_clean = Karras(k).output(0 * unit, NoisyState.at(process, t, a * unit))  # F* = by_clean X + by_noise e
    by_noise = Karras(k).output(unit, NoisyState.at(process, t, s * unit))
    torch.testing.assert_close(k**2 * by_clean**2 + by_noise**2, torch.ones_like(unit))
    torch.testing.assert_close(k**2 * by_clean * a + by_noise * s, 0 * unit, atol=1e-12, rtol=0.0)  # none with x_t


# Times


def check_times(times, process):
    """Densities against quantiles, exactly: p(t) dt/dshare = 1; from the start to the horizon."""
    share = torch.cat([torch.tensor([1e-6, 1e-3]), torch.linspace(0.01, 1.0, 200)]).to(F64).requires_grad_()
    t = times.at(process, share)
    (slope,) = torch.autograd.grad(t.sum(), share)
    kinks = torch.zeros_like(share, dtype=torch.bool)
    kinks[-1] = True  # at the horizon, whose neighbour is cut off
    torch.testing.assert_close((times.density(process, t.detach()) * slope)[~kinks], torch.ones(201, dtype=F64))
    assert bool((t.diff() > 0).all())
    torch.testing.assert_close(t[-1].item(), process.horizon)
    first = float(times.at(process, torch.tensor([2.0**-53], dtype=F64)))
    assert 0 < first < max(times.start(process), 1e-8) * (1 + 1e-6) + 1e-12, first


def narrow_integral(process, least, target=NARROW):
    """int_least^horizon g^2 E|grad log p_t|^2 / 2 dt = H(p_horizon) - H(p_least) - log(a_horizon / a_least)."""

    weights, means, covariances = (moment.flatten().numpy() for moment in moments_of(target))

    def entropy(t):
        a, v = float(process.scale(t)), float(process.variance(t))
        parts = [stats.norm(a * m, math.sqrt(a**2 * c + v)) for m, c in zip(means, covariances, strict=True)]
        x = np.unique(np.concatenate([part.mean() + part.std() * np.linspace(-12, 12, 4001) for part in parts]))
        p = sum(w * part.pdf(x) for w, part in zip(weights, parts, strict=True))
        return -integrate.trapezoid(p * np.log(np.maximum(p, 1e-300)), x)

    whole = entropy(process.horizon) - entropy(least)
    return whole - math.log(float(process.scale(process.horizon) / process.scale(least)))


def estimates(loss, process, n, target=NARROW):
    with torch.no_grad():
        x = target.sample(n, generator=seeded(5))
        return loss(model_of(target, process), x, seeded(6))


def check_unbiased(times, process, n=20_000, kinds=("implicit", "centred")):
    """With the exact score the likelihood's loss is minus that integral, from where the times begin."""
    wanted = -narrow_integral(process, times.start(process))
    for name in kinds:
        kind = {"implicit": Implicit, "sliced": Sliced}.get(name)
        loss = (kind or Denoising)(weighting="likelihood", times=times, **({} if kind else {"centred": True}))
        error = check_mean(estimates(loss, process, n), wanted, what=f"{name} by {times}")
        assert float(error) < 0.2, float(error)  # sharp: the truth is some 3 to 8 nats


# High order


def check_high_order(process, target=MIXTURE, n=5_000):
    """Slopes of losses along a direction D from the true derivatives: theta |D|^2. An error of the score adds none."""
    example = example_of(target, process, n, seed=7, least=1e-2)
    state, dim = example.state, target.dim
    x, t, s = state.x, state.t, state.s
    noise = torch.eye(dim, dtype=F64) if process.noise is None else process.noise.covariance(dim)
    exact = exact_score(target, process)(x, t)
    hessian, third = derivatives(target, process, x, t)
    trace = (noise * hessian).sum((-2, -1))
    field = bump(x, t)
    matrix = field[:, :, None] * torch.cos(x)[:, None] + field[:, None, :]
    left = example.noise - state.marginal.noise_of_score(exact)
    thetas = torch.zeros(n, dtype=F64)

    def derivative(rows):
        """Of rows as a function of theta (n,), at two of its values."""
        for theta in (0.0, 0.5):
            at = torch.full_like(thetas, theta).requires_grad_()
            yield theta, torch.autograd.grad(rows(at).sum(), at)[0]

    size = torch.einsum("nij,ik,nkl,lj->n", matrix, noise, matrix, noise)  # tr(M' C M C)
    for theta, slope in derivative(lambda at: hessian_rows(state, hessian + at[:, None, None] * matrix, left)):
        check_mean(s**4 * (slope - theta * size), what=f"Hessian, {theta}")
    for theta, slope in derivative(lambda at: trace_rows(state, trace + at * field[:, 0], left)):
        check_mean(s**4 * (slope - theta * field[:, 0] ** 2), what=f"trace, {theta}")
    for theta, slope in derivative(lambda at: trace_gradient_rows(state, third + at[:, None] * field, left, hessian)):
        check_mean(s**6 * (slope - theta * squared(field, process)), what=f"gradient of the trace, {theta}")

    # an error of the score moves the minimum by its square only: the mean of its derivative's slope vanishes
    def moved(rows):
        at, error = torch.zeros(n, dtype=F64, requires_grad=True), torch.zeros(n, dtype=F64, requires_grad=True)
        (first,) = torch.autograd.grad(rows(at, left + (error * s)[:, None] * field).sum(), at, create_graph=True)
        return torch.autograd.grad(first.sum(), error)[0]

    check_mean(
        s**4 * moved(lambda at, r: hessian_rows(state, hessian + at[:, None, None] * matrix, r)), what="Hessian, moved"
    )
    check_mean(s**4 * moved(lambda at, r: trace_rows(state, trace + at * field[:, 0], r)), what="trace, moved")
    check_mean(
        s**6 * moved(lambda at, r: trace_gradient_rows(state, third + at[:, None] * field, r, hessian)),
        what="gradient of the trace, moved",
    )


def check_high_order_of_models(process, target=MIXTURE, n=3_000):
    """The losses take the derivatives of the model's own score: those of the exact one, by another path."""
    example = example_of(target, process, n, seed=8, least=1e-2)
    state, model = example.state, model_of(target, process, CleanOf())
    x, t = state.x, state.t
    noise = torch.eye(target.dim, dtype=F64) if process.noise is None else process.noise.covariance(target.dim)
    hessian, third = derivatives(target, process, x, t)
    left = example.noise - state.marginal.noise_of_score(exact_score(target, process)(x, t))
    with torch.no_grad():
        whole = HessianMatching().rows(model, example, seeded(9))
        some = HessianMatching(probes=2).rows(model, example, seeded(9))
        torch.testing.assert_close(whole, hessian_rows(state, hessian, left))
        torch.testing.assert_close(
            TraceMatching().rows(model, example, seeded(9)), trace_rows(state, (noise * hessian).sum((-2, -1)), left)
        )
        torch.testing.assert_close(
            TraceGradientMatching().rows(model, example, seeded(9)), trace_gradient_rows(state, third, left, hessian)
        )
    check_mean(state.s**4 * (some - whole), what="probes")


# Data


COLUMNS = Columns([Real(), Positive(), Bounded(-1.0, 3.0)])
POINTS = torch.tensor([[0.3, 2.0, -0.9], [-4.0, 0.01, 2.7], [1.0, 30.0, 1.1], [2.0, 5.0, 0.2]], dtype=F64)


def transformations():
    covariance = torch.tensor([[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 0.7]], dtype=F64)
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=F64)
    return [
        Standardisation.of(mean, covariance),
        Standardisation.of(mean, covariance, whiten=False),
        COLUMNS,
        Chain([COLUMNS, Standardisation.of(mean, covariance)]),
    ]


def check_jacobians():
    """c is the log-determinant by automatic differentiation, and what goes there comes back."""
    for each in transformations():
        u, c = each.forward(POINTS)
        for point, log_det in zip(POINTS, c, strict=True):
            jacobian = torch.autograd.functional.jacobian(lambda x, each=each: each.forward(x[None])[0][0], point)
            torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det)
        torch.testing.assert_close(each.inverse(u), POINTS)


def check_ordinal(n=20_000):
    """exp(log p(u) + c) has the mean P(x) for any density p of u, and log p(u) + c a smaller one than log P(x)."""
    kind, p = Ordinal(2, 6), stats.norm(0.4, 1.3)
    logit = lambda y: math.log((y - 2) / (7 - y)) if 2 < y < 7 else math.copysign(math.inf, y - 4)  # noqa: E731
    for x in range(2, 7):
        u, c = kind.encode(torch.full((n,), float(x), dtype=F64), seeded(x))
        assert torch.equal(kind.decode(u), torch.full((n,), float(x), dtype=F64))
        log_p = torch.as_tensor(p.logpdf(u[:, 0].numpy())) + c
        exact = p.cdf(logit(x + 1)) - p.cdf(logit(x))
        check_mean(log_p.exp(), exact, what=f"P({x})")
        assert log_p.mean() < math.log(exact)
    torch.testing.assert_close(log_uniform(kind), torch.full((5,), -math.log(5), dtype=F64))


def log_uniform(kind):
    """log p(u) + c for each value where p makes x + U uniform on all cells."""
    u, c = kind.encode(torch.arange(2.0, 7.0, dtype=F64), seeded(0))
    return (-u - 2 * torch.nn.functional.softplus(-u))[:, 0] + c


def check_levels(n=20_000):
    """The same of levels of unequal frequency; where their law is p u is standard normal, and the bound is exact."""
    kind, p = Levels(2, 5, probabilities=(0.5, 0.2, 0.05, 0.25)), stats.norm(0.4, 1.3)
    edges = stats.norm.ppf([0.0, 0.5, 0.7, 0.75, 1.0])
    for x, share in zip(range(2, 6), kind.probabilities, strict=True):
        u, c = kind.encode(torch.full((n,), float(x), dtype=F64), seeded(x))
        assert torch.equal(kind.decode(u), torch.full((n,), float(x), dtype=F64))
        log_p = torch.as_tensor(p.logpdf(u[:, 0].numpy())) + c
        exact = p.cdf(edges[x - 1]) - p.cdf(edges[x - 2])
        check_mean(log_p.exp(), exact, what=f"P({x})")
        assert log_p.mean() < math.log(exact)
        normal = torch.as_tensor(stats.norm.logpdf(u[:, 0].numpy())) + c
        torch.testing.assert_close(normal, torch.full((n,), math.log(share), dtype=F64))


def check_frequencies():
    """Shares of the rows, by their weights, with one row more that is spread over the levels."""
    x = torch.tensor([0.0, 0.0, 2.0, 2.0], dtype=F64)
    found = [Levels(0, 2).learned(x, None), Levels(0, 2).learned(x, torch.tensor([0.5, 0.5, 0, 0], dtype=F64))]
    expected = torch.tensor([[2 + 1 / 3, 1 / 3, 2 + 1 / 3], [2 + 1 / 3, 1 / 3, 1 / 3]], dtype=F64)
    expected /= expected.sum(-1, keepdim=True)
    torch.testing.assert_close(torch.tensor([one.probabilities for one in found], dtype=F64), expected)


def check_categorical(n=20_000):
    """The same of categories, with p = N(m, I); of three equal ones u is standard normal, and the bound is exact."""
    kind, m = Categorical(3), torch.tensor([0.5, -0.3, 0.1], dtype=F64)
    generator = seeded(1)
    for x in range(3):
        u, c = kind.encode(torch.full((n,), float(x), dtype=F64), generator)
        assert torch.equal(kind.decode(u), torch.full((n,), float(x), dtype=F64))
        normal = -0.5 * (u.square() + math.log(2 * math.pi)).sum(-1)
        torch.testing.assert_close(normal + c, torch.full((n,), -math.log(3), dtype=F64))
        shifted = -0.5 * ((u - m).square() + math.log(2 * math.pi)).sum(-1)
        others = [j for j in range(3) if j != x]
        exact = integrate.quad(
            lambda z, x=x, others=others: stats.norm.pdf(z, m[x]) * math.prod(stats.norm.cdf(z, m[j]) for j in others),
            -9,
            9,
        )[0]
        check_mean((shifted + c).exp(), exact, what=f"P({x})")
        assert (shifted + c).mean() < math.log(exact)
    u, _ = kind.encode(torch.arange(3.0, dtype=F64).repeat(n), generator)
    check_mean(torch.cat([u, u.square() - 1, u.roll(1, -1) * u], -1), what="moments of u")


def check_batches(n=20_000):
    """Batches are drawn in proportion to the weights, rows without weight never."""
    from samplers import Draws

    x = torch.arange(40.0, dtype=F64).reshape(20, 2)
    weights = torch.linspace(-3, 0.5, 20, dtype=F64)
    weights[4] = -math.inf
    samples = Samples.of(Draws(x[None], log_weights=weights[None]))
    shares = weights.softmax(0)
    mean = shares @ x
    check_mean(samples.batch(n, seeded(2)), mean, what="weighted batches")
    torch.testing.assert_close(samples.moments[0], mean)
    torch.testing.assert_close(samples.moments[1], torch.cov(x.mT, correction=0, aweights=shares))
    assert not bool((samples.x == x[4]).all(-1).any())
    plain = Samples.of(x)
    check_mean(plain.batch(n, seeded(3)), x.mean(0), what="batches")
    torch.testing.assert_close(plain.moments[1], torch.cov(x.mT, correction=0))


def check_split():
    """Rows of one block of a chain stay together, all rows are somewhere, and weights stay in proportion."""
    from samplers import Draws

    x = torch.arange(200.0, dtype=F64).reshape(4, 50, 1)
    train, held = Samples.of(Draws(x)).split(0.1, seeded(4))
    both = torch.cat([train.x, held.x]).flatten()
    assert torch.equal(both.sort().values, x.flatten())
    assert len(held.x) == 20
    assert set((held.x.flatten() // 5).tolist()) == {float(k) for k in held.x.flatten()[::5] // 5}
    weights = torch.linspace(0, 1, 200, dtype=F64)
    samples = Samples.of(Draws(x.reshape(1, 200, 1), log_weights=weights[None]))
    for part in samples.split(0.25, seeded(5)):
        expected = weights[part.x.flatten().long()].softmax(0)
        torch.testing.assert_close(part.shares, expected)
    copied = Draws((x.reshape(1, 200, 1) // 5), log_weights=weights[None])
    train, held = Samples.of(copied).split(0.1, seeded(6))
    assert not set(train.x.flatten().tolist()) & set(held.x.flatten().tolist())
    assert len(held.x) == 20


TIMES = [UniformTimes(0.0), UniformTimes(1e-3), LogSNRTimes(1e-3), DebiasedTimes(), DebiasedTimes(tail=1.0)]
LINE_TIMES = OrnsteinUhlenbeck(horizon=2.0)
