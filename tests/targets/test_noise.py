import math

import pytest
import torch

import targets
from targets import CorrelatedNoise, IsotropicNoise, MRFNoise
from targets.noise import as_noise

F64 = torch.float64
MATRIX = torch.tensor([[1.3, 0.5], [0.5, 0.6]], dtype=F64)


def random_mrf(n, seed=0, scale=0.5):
    generator = torch.Generator().manual_seed(seed)
    upper = scale * torch.randn(n, n, generator=generator, dtype=F64).triu(1)
    return targets.PairwiseMRF(upper + upper.mT, 0.5 * torch.randn(n, generator=generator, dtype=F64))


def torus():
    return targets.Ising((3, 4), [0.3, -0.2], 0.1, temperature=1.25, dtype=F64)


GRAPH = random_mrf(5, 3)
DIAGONAL = torch.tensor([0.0, 0.5, 1.0, 2.0, 0.25], dtype=F64)

# noise, and its covariance by other means
NOISES = {
    "isotropic": (IsotropicNoise(0.7), 0.49 * torch.eye(4, dtype=F64)),
    "variances": (CorrelatedNoise([0.5, 2.0]), torch.diag(torch.tensor([0.5, 2.0], dtype=F64))),
    "covariance": (CorrelatedNoise(MATRIX), MATRIX),
    "torus": (
        MRFNoise(torus(), 1.7),
        (torus().couplings_matrix() + 1.7 * torch.eye(12, dtype=F64)).inverse(),
    ),
    "torus and more": (
        MRFNoise(torus(), 1.7, extra=0.8),
        (torus().couplings_matrix() + 2.5 * torch.eye(12, dtype=F64)).inverse(),
    ),
    "graph": (
        MRFNoise(GRAPH, 4.0),
        (GRAPH.couplings_matrix() + 4.0 * torch.eye(5, dtype=F64)).inverse(),
    ),
    "graph and more": (
        MRFNoise(GRAPH, 4.0, extra=DIAGONAL),
        (GRAPH.couplings_matrix() + torch.diag(4.0 + DIAGONAL)).inverse(),
    ),
    "a model in its diagonal": (
        MRFNoise(random_mrf(5, 3, scale=0.0), 1 + DIAGONAL),
        torch.diag(1 / (1 + DIAGONAL)),
    ),
}


@pytest.fixture(params=NOISES)
def case(request):
    return NOISES[request.param]


def close(a, b, tolerance=1e-11):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("factor", [1.0, 0.25, 3.0])
def test_products_roots_and_determinants_are_those_of_the_matrix(case, factor):
    noise, covariance = case
    if factor != 1:
        noise, covariance = noise.scaled(factor), factor * covariance
    n = len(covariance)
    v = torch.randn(2, 3, n, generator=torch.Generator().manual_seed(0), dtype=F64)
    close(noise.times(v), v @ covariance)
    close(noise.solve(v), v @ covariance.inverse())
    close(noise.square(v), (v * (v @ covariance.inverse())).sum(-1))
    root = noise.colour(torch.eye(n, dtype=F64))
    close(root.mT @ root, covariance)
    close(noise.covariance(n), covariance)
    assert noise.log_det(n) == pytest.approx(float(covariance.logdet()), abs=1e-11)
    normaliser = -float(torch.distributions.MultivariateNormal(torch.zeros(n, dtype=F64), covariance).log_prob(v[0, 0]))
    normaliser -= 0.5 * float(noise.square(v[0, 0]))
    assert noise.log_normaliser(n) == pytest.approx(normaliser, abs=1e-11)
    variances = noise.variances(n)
    if torch.equal(covariance, torch.diag(covariance.diagonal())):
        close(variances, covariance.diagonal())
    else:
        assert variances is None


def test_scales_multiply(case):
    noise, covariance = case
    close(noise.scaled(0.5).scaled(6.0).covariance(len(covariance)), 3 * covariance)


def test_draws_have_the_covariance(case, generator):
    noise, covariance = case
    x = noise.sample_like(torch.zeros(20_000, len(covariance), dtype=F64), generator)
    products = x[:, :, None] * x[:, None, :]
    error = products.std(0) / len(x) ** 0.5
    assert float(((products.mean(0) - covariance) / error).abs().max()) < 4


def test_the_dtype_is_that_of_what_it_meets(case):
    noise, covariance = case
    n = len(covariance)
    v = torch.randn(4, n, generator=torch.Generator().manual_seed(0), dtype=F64)
    for function in (noise.times, noise.solve, noise.colour, noise.square):
        single = function(v.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), function(v), rtol=1e-4, atol=1e-5)
    assert noise.covariance(n).dtype == F64


def test_meta(case):
    noise, covariance = case
    v = torch.zeros(4, len(covariance), device="meta")
    for function in (noise.times, noise.solve, noise.colour, noise.square):
        assert function(v).device.type == "meta"


# Targets measured with noise


def mixture(kind):
    means = torch.tensor([[1.0, -0.5], [-1.0, 0.8], [0.2, 0.1]], dtype=F64)
    spreads = {
        "isotropic": {"scales": torch.tensor([0.6, 0.9, 0.4], dtype=F64)},
        "diagonal": {"scales": torch.tensor([[0.6, 0.9], [0.5, 0.5], [1.1, 0.4]], dtype=F64)},
        "full": {"covariances": torch.stack([0.3 * MATRIX, 0.5 * torch.eye(2, dtype=F64), MATRIX.flip(0, 1)])},
    }
    return targets.GaussianMixture(means, **spreads[kind], weights=[0.5, 0.3, 0.2], log_z=0.7)


def product():
    left = targets.GaussianMixture(torch.tensor([[-1.0], [1.2]], dtype=F64), scales=[0.5, 0.8], weights=[0.4, 0.6])
    return targets.Product(left, targets.Gaussian(torch.tensor([0.3], dtype=F64), 0.9))


MEASURED = {
    "Gaussian": targets.Gaussian(torch.tensor([0.4, -0.3], dtype=F64), 0.8),
    "diagonal Gaussian": targets.Gaussian(torch.tensor([0.4, -0.3], dtype=F64), [0.5, 1.2]),
    "full Gaussian": targets.Gaussian(torch.tensor([0.4, -0.3], dtype=F64), covariance=0.7 * MATRIX),
    "mixture": mixture("isotropic"),
    "diagonal mixture": mixture("diagonal"),
    "full mixture": mixture("full"),
    "product": product(),
}
KINDS = {
    "number": 0.7,
    "isotropic": IsotropicNoise(0.7),
    "variances": CorrelatedNoise([0.5, 1.5]),
    "covariance": CorrelatedNoise(MATRIX),
    "pair of spins": MRFNoise(random_mrf(2, 1), 1.5),
}
Y = torch.tensor([[0.3, -0.2], [1.9, 1.1], [-2.4, 0.6]], dtype=F64)


PAIRS = [
    (target, noise)
    for target in MEASURED
    for noise in KINDS
    if target != "product" or noise not in ("covariance", "pair of spins")  # noise that couples its factors
]


@pytest.fixture(params=PAIRS, ids=", ".join)
def measured(request):
    target, noise = request.param
    return MEASURED[target], KINDS[noise]


def by_quadrature(target, noise, y):
    """phi, E[x | y] and the covariance of x given y."""
    axis = torch.linspace(-9, 9, 361, dtype=F64)  # the trapezium rule: errors far below 1e-12 for these widths
    x = torch.cartesian_prod(axis, axis)
    covariance = as_noise(noise, 2).covariance(2)
    kernel = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=F64), covariance)
    log_mass = target.log_prob(x) + kernel.log_prob(y[:, None] - x) + 2 * float((axis[1] - axis[0]).log())
    weights = log_mass.softmax(-1)
    mean = weights @ x
    apart = x - mean[:, None]
    return log_mass.logsumexp(-1), mean, torch.einsum("ng,ngi,ngj->nij", weights, apart, apart)


def test_smoothing_is_that_of_quadrature(measured):
    target, noise = measured
    phi, mean, _ = by_quadrature(target, noise, Y)
    smooth = target.smoothed(noise)
    value, score = smooth.log_prob_and_score(Y)
    close(value, phi, 1e-10)
    close(Y + as_noise(noise, 2).times(score), mean, 1e-10)  # Tweedie
    assert smooth.log_z == target.log_z


def test_draws_given_a_measurement_are_those_of_quadrature(measured, generator):
    target, noise = measured
    _, mean, covariance = by_quadrature(target, noise, Y)
    n = 20_000
    x = target.sample_given(Y.repeat_interleave(n, 0), noise, generator=generator).unflatten(0, (len(Y), n))
    gap = (x.mean(1) - mean) / (x.std(1) / n**0.5)
    assert float(gap.abs().max()) < 4
    products = (x - mean[:, None])[..., :, None] * (x - mean[:, None])[..., None, :]
    gap = (products.mean(1) - covariance) / (products.std(1) / n**0.5)
    assert float(gap.abs().max()) < 4


def test_no_noise_is_no_change():
    for name in ("Gaussian", "full Gaussian", "mixture", "full mixture"):
        assert MEASURED[name].smoothed(0) is MEASURED[name]


def test_a_product_takes_no_noise_that_couples_its_factors(generator):
    with pytest.raises(ValueError, match="sigma: got correlated noise, which couples the independent factors"):
        product().smoothed(CorrelatedNoise(MATRIX))
    with pytest.raises(ValueError, match="couples the independent factors"):
        product().sample_given(Y, CorrelatedNoise(MATRIX), generator=generator)


# What becomes noise


def test_what_becomes_noise():
    noise = CorrelatedNoise(MATRIX)
    assert as_noise(noise, 2) is noise
    assert as_noise(0.5, 3).sigma == 0.5
    close(as_noise(torch.tensor([1.0, 2.0]), 2).variances(2), torch.tensor([1.0, 2.0], dtype=F64))
    close(as_noise(MATRIX, 2).covariance(2), MATRIX)


def test_bad_noise():
    with pytest.raises(ValueError, match="sigma: got -1, expected a positive finite number"):
        IsotropicNoise(-1)
    with pytest.raises(ValueError, match="sigma: got inf"):
        as_noise(math.inf, 2, "sigma")
    with pytest.raises(ValueError, match="covariance: got variances that are not positive"):
        CorrelatedNoise([1.0, 0.0])
    with pytest.raises(ValueError, match="covariance: got a matrix that is not positive definite"):
        CorrelatedNoise([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match=r"noise: got shape \(3,\), expected a covariance \(2, 2\) or its diagonal"):
        as_noise(torch.ones(3), 2)
    with pytest.raises(ValueError, match="noise: got noise in 2 dimensions, expected 3"):
        as_noise(CorrelatedNoise(MATRIX), 3)


# Noise of the shape of a model


def test_the_diagonal_of_the_precision():
    close(MRFNoise(GRAPH).shift, GRAPH.relaxed().shift)
    close(MRFNoise(GRAPH, "dominance").shift, GRAPH.relaxed("dominance").shift)
    close(MRFNoise(GRAPH, extra=DIAGONAL).shift, GRAPH.relaxed().shift + DIAGONAL)
    assert type(MRFNoise(torus(), extra=2.0)._a) is type(MRFNoise(torus())._a)  # transforms still
    assert type(MRFNoise(torus(), extra=torch.arange(12.0))._a) is not type(MRFNoise(torus())._a)


def test_the_mean_of_measurements_weighted_by_their_precision():
    """One of precision A and three of precisions E each: the mean has precision A + 3 E."""
    first = MRFNoise(GRAPH, 4.0)
    a, e = first.covariance(5).inverse(), torch.diag(DIAGONAL + 0.1)
    weights = torch.linalg.solve(a + 3 * e, torch.stack([a, e, e, e]))
    parts = [a.inverse(), *[e.inverse()] * 3]
    spread = sum(w @ c @ w.mT for w, c in zip(weights, parts, strict=True))
    close(MRFNoise(GRAPH, 4.0, extra=3 * (DIAGONAL + 0.1)).covariance(5), spread)


def test_temperature_and_powers_are_in_force():
    cold = targets.PairwiseMRF(GRAPH.couplings_matrix(), GRAPH.fields, temperature=0.5)
    close(
        MRFNoise(cold, 9.0).solve(torch.eye(5, dtype=F64)), 2 * GRAPH.couplings_matrix() + 9 * torch.eye(5, dtype=F64)
    )
    warm = GRAPH.annealed(0.5)
    close(
        MRFNoise(warm, 4.0).solve(torch.eye(5, dtype=F64)), 0.5 * GRAPH.couplings_matrix() + 4 * torch.eye(5).double()
    )


def test_which_model_it_belongs_to():
    noise = MRFNoise(torus(), 2.0)
    assert noise.matches(torus())
    assert noise.matches(torus().to(dtype=torch.float32))
    assert noise.matches(targets.PairwiseMRF(torus().couplings_matrix()))  # edges in another order
    assert noise.matches(targets.Ising((3, 4), [0.24, -0.16], 0.7, dtype=F64))  # other fields, couplings over T
    assert not noise.matches(torus().annealed(0.9))
    assert not noise.matches(targets.Ising((4, 3), [-0.2, 0.3], temperature=1.25, dtype=F64))
    assert not noise.matches(GRAPH)


def test_a_large_torus_takes_no_matrix():
    noise = MRFNoise(targets.Ising((256, 256), 0.4))
    v = torch.randn(1, 256**2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(noise.solve(noise.times(v)), v, rtol=0, atol=1e-4)


def test_bad_noise_of_a_model():
    with pytest.raises(TypeError, match=r"mrf: got Gaussian, expected a targets.PairwiseMRF"):
        MRFNoise(MEASURED["Gaussian"])
    for extra in (-0.1, torch.ones(3), -DIAGONAL):
        with pytest.raises(ValueError, match="extra: got .*, expected a number of at least 0, or a diagonal"):
            MRFNoise(GRAPH, extra=extra)
    with pytest.raises(ValueError, match="shift: got 0.1, for which J \\+ shift I is not positive definite"):
        MRFNoise(GRAPH, 0.1)
    with pytest.raises(ValueError, match="noise: got noise in 5 dimensions, expected 2"):
        as_noise(MRFNoise(GRAPH), 2)
    with pytest.raises(ValueError, match="factor: got 0, expected a positive finite number"):
        MRFNoise(GRAPH).scaled(0)
