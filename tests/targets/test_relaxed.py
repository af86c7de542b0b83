import math

import numpy as np
import pytest
import torch
from scipy import stats

import targets
from targets.base import Target

F64 = torch.float64


def random_mrf(n, seed=0, scale=0.7):
    generator = torch.Generator().manual_seed(seed)
    upper = scale * torch.randn(n, n, generator=generator, dtype=F64).triu(1)
    return targets.PairwiseMRF(upper + upper.mT, 0.5 * torch.randn(n, generator=generator, dtype=F64))


def as_graph(model):
    return targets.PairwiseMRF(model.couplings_matrix(), model.fields)


SHIFTS = {
    "smallest": None,
    "dominance": "dominance",
    "number": 2.5,
    "diagonal": "diagonal",
}


@pytest.fixture(params=["x", "w"])
def coordinates(request):
    return request.param


@pytest.fixture(params=SHIFTS)
def shift(request):
    return SHIFTS[request.param]


def relax(mrf, shift, coordinates):
    if shift == "diagonal":
        shift = 2.0 + torch.arange(mrf.dim, dtype=F64)
    return mrf.relaxed(shift, coordinates=coordinates)


def matrix_a(relaxed):
    return relaxed.mrf.couplings_matrix() + torch.diag(relaxed.shift)


@pytest.mark.parametrize("n", [1, 2])
def test_log_z_and_moments_are_those_of_quadrature(n, shift, coordinates):
    mrf = random_mrf(n)
    relaxed = relax(mrf, shift, coordinates)
    # the spread of a coordinate: the mixture's part 1 and that of the Gaussians
    a = matrix_a(relaxed)
    reach = 1 + 9 * a.inverse().diagonal().max().sqrt() if coordinates == "w" else a.sum(0).max() + 9 * a.max().sqrt()
    axis = torch.linspace(-float(reach), float(reach), 1201, dtype=F64)
    x = torch.cartesian_prod(*[axis] * n).reshape(-1, n)
    log_mass = relaxed.log_prob(x)
    assert relaxed.log_z == pytest.approx(float(log_mass.logsumexp(0) + n * (axis[1] - axis[0]).log()), abs=1e-10)
    assert relaxed.log_z - mrf.log_z == pytest.approx(relaxed.log_z_difference, abs=1e-12)
    weight = log_mass.softmax(0)
    mean = weight @ x
    torch.testing.assert_close(relaxed.mean, mean, rtol=0, atol=1e-10)
    covariance = (x - mean).mT @ (weight[:, None] * (x - mean))
    torch.testing.assert_close(relaxed.covariance, covariance, rtol=0, atol=1e-9)
    torch.testing.assert_close(weight @ relaxed.spin_mean(x), mrf.mean, rtol=0, atol=1e-10)


def test_log_z_is_that_of_gauss_hermite_quadrature(coordinates):
    mrf = random_mrf(3, seed=4, scale=0.4)
    relaxed = mrf.relaxed(coordinates=coordinates)
    a = matrix_a(relaxed)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    z = torch.cartesian_prod(*[torch.as_tensor(nodes)] * 3)
    log_weight = torch.cartesian_prod(*[torch.as_tensor(weights).log()] * 3).sum(-1)
    covariance = a.inverse() if coordinates == "w" else a
    factor = torch.linalg.cholesky(covariance)
    integrand = relaxed.log_prob(z @ factor.mT) + 0.5 * z.square().sum(-1) + factor.diagonal().log().sum()
    assert relaxed.log_z == pytest.approx(float((integrand + log_weight).logsumexp(0)), abs=1e-10)


def test_the_density_is_a_mixture_over_spins(shift, coordinates):
    mrf = random_mrf(5, seed=1)
    relaxed = relax(mrf, shift, coordinates)
    a = matrix_a(relaxed)
    s = mrf.enumerate()
    means, covariance = (s @ a, a) if coordinates == "x" else (s, a.inverse())
    x = 2 * torch.randn(7, 5, generator=torch.Generator().manual_seed(2), dtype=F64)
    parts = torch.distributions.MultivariateNormal(means, covariance).log_prob(x[:, None]) + mrf.log_prob(s)
    torch.testing.assert_close(relaxed.log_prob(x) - relaxed.log_z_difference, parts.logsumexp(-1), rtol=0, atol=1e-10)
    torch.testing.assert_close(relaxed.spin_mean(x), parts.softmax(-1) @ s, rtol=0, atol=1e-10)
    torch.testing.assert_close(relaxed.to_x(x), x if coordinates == "x" else x @ a)


def test_the_score_is_that_of_automatic_differentiation(shift, coordinates):
    for mrf in (random_mrf(6), targets.Ising((3, 4), [0.3, -0.5], 0.2, dtype=F64)):
        relaxed = relax(mrf, shift, coordinates)
        x = 3 * torch.randn(4, mrf.dim, generator=torch.Generator().manual_seed(2), dtype=F64)
        value, score = Target.log_prob_and_score(relaxed, x)
        got = relaxed.log_prob_and_score(x)
        torch.testing.assert_close(got[0], value, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(got[1], score, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(3, 5), (4, 4), (3, 3, 4), (7,), (1, 6)])
def test_fourier_transforms_give_what_the_matrix_gives(shape, coordinates):
    coupling = [0.3 * (-1) ** axis for axis in range(len(shape))]
    model = targets.Ising(shape, coupling, 0.2, dtype=F64)
    fast, dense = model.relaxed(coordinates=coordinates), as_graph(model).relaxed(coordinates=coordinates)
    assert type(fast._a) is not type(dense._a)
    x = torch.randn(2, 3, model.dim, generator=torch.Generator().manual_seed(2), dtype=F64)
    torch.testing.assert_close(fast.shift, dense.shift, rtol=0, atol=1e-12)
    torch.testing.assert_close(fast.log_prob(x), dense.log_prob(x), rtol=0, atol=1e-10)
    torch.testing.assert_close(fast.score(x), dense.score(x), rtol=0, atol=1e-10)
    torch.testing.assert_close(fast._a.solve(x), dense._a.solve(x), rtol=0, atol=1e-10)
    for one, other in ((fast._a.colour, matrix_a(fast)), (fast._a.whiten, matrix_a(fast).inverse())):
        root = one(torch.eye(model.dim, dtype=F64))
        torch.testing.assert_close(root @ root.mT, other, rtol=0, atol=1e-10)
    assert fast.log_z_difference == pytest.approx(dense.log_z_difference, abs=1e-10)


def test_exact_draws_have_the_moments_and_give_exact_spins(coordinates, generator):
    model = targets.Ising((3, 3), 0.3, 0.2, dtype=F64)
    states, weights = model.enumerate(), model._enumerated_log_prob.softmax(0)
    for relaxed in (
        model.relaxed(coordinates=coordinates),
        as_graph(model).relaxed("dominance", coordinates=coordinates),
    ):
        x = relaxed.sample(20_000, generator=generator)
        error = (relaxed.covariance.diagonal() / len(x)).sqrt()
        assert ((x.mean(0) - relaxed.mean) / error).abs().max() < 4
        squares = (x - relaxed.mean)[:, :, None] * (x - relaxed.mean)[:, None, :]
        gap = (squares.mean(0) - relaxed.covariance) / (squares.std(0) / len(x) ** 0.5)
        assert gap.abs().max() < 4
        spins = relaxed.spins(x, generator=generator)
        number = ((spins > 0).long() * 2 ** torch.arange(8, -1, -1)).sum(-1)
        counts = torch.bincount(number, minlength=len(states)).numpy()
        expected = len(x) * weights.numpy()
        often = expected > 5
        observed = [*counts[often], counts[~often].sum()]
        assert stats.chisquare(observed, [*expected[often], expected[~often].sum()]).pvalue > 1e-5


def test_log_concavity_is_a_below_the_identity():
    weak, strong = targets.Ising((4, 4), 0.1, dtype=F64), targets.Ising((4, 4), 0.2, dtype=F64)
    assert weak.relaxed().log_concave
    assert not strong.relaxed().log_concave
    assert not weak.relaxed(0.7).log_concave
    for relaxed in (weak.relaxed(), strong.relaxed(), weak.relaxed(0.7)):
        origin = torch.zeros(16, dtype=F64)  # where the density is least concave: no fields
        hessian = torch.autograd.functional.hessian(relaxed.log_prob, origin)
        assert (float(torch.linalg.eigvalsh(hessian).max()) <= 1e-12) == relaxed.log_concave


def test_a_large_torus_takes_no_matrix():
    model = targets.Ising((256, 256), 0.4)
    relaxed = model.relaxed()
    assert relaxed.known == {"log_z", "mean"}
    assert relaxed.log_z == pytest.approx(model.log_z + relaxed.log_z_difference, rel=1e-15)
    x = torch.randn(2, relaxed.dim, generator=torch.Generator().manual_seed(0))
    exact = relaxed.to(dtype=F64)
    torch.testing.assert_close(relaxed.score(x).double(), exact.score(x.double()), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="relaxed: Ising has 65536 sites, and a dense matrix at most 20000"):
        model.relaxed("dominance")


def test_what_is_known_is_what_is_known_of_the_spins(generator):
    everything = {"log_z", "sample", "mean", "covariance", "moments"}
    assert targets.Ising((4, 4), 0.3, 0.1).relaxed().known == everything
    assert targets.Ising((4, 20), 0.3, 0.1).relaxed().known == {"log_z", "sample", "mean"}
    unknown = targets.Ising((64, 64), 0.3, 0.1).relaxed()
    assert unknown.known == set()
    assert math.isfinite(unknown.log_z_difference)
    for item in ("log_z", "mean", "covariance", "moments"):
        with pytest.raises(NotImplementedError, match=f"relaxed Ising: {item} is not known exactly"):
            getattr(unknown, item)
    with pytest.raises(NotImplementedError, match="sample is not known"):
        unknown.sample(1, generator=generator)


def test_the_relaxation_of_an_annealed_law():
    model = targets.Ising((3, 4), 0.5, 0.3, dtype=F64)
    fresh = targets.Ising((3, 4), 0.2, 0.12, dtype=F64)
    warm = model.annealed(0.4)
    x = torch.randn(3, 12, generator=torch.Generator().manual_seed(0), dtype=F64)
    for shift in (2.0, "dominance"):
        torch.testing.assert_close(warm.relaxed(shift).log_prob(x), fresh.relaxed(shift).log_prob(x))


def test_the_dtype_follows(coordinates):
    for model in (targets.Ising((3, 4), 0.3, 0.2, dtype=F64), random_mrf(6)):
        exact = model.relaxed(coordinates=coordinates)
        single = exact.to(dtype=torch.float32)
        x = torch.randn(3, model.dim, generator=torch.Generator().manual_seed(0), dtype=F64)
        assert single.score(x.float()).dtype == single.log_prob(x.float()).dtype == torch.float32
        assert single.spins(x.float(), generator=torch.Generator()).dtype == torch.float32
        torch.testing.assert_close(single.log_prob(x.float()).double(), exact.log_prob(x), rtol=1e-5, atol=1e-4)
        again = single.to(dtype=F64)
        assert torch.equal(again.score(x), exact.score(x))
        assert exact.score(x).dtype == F64


def test_meta(coordinates):
    for model in (targets.Ising((3, 4), 0.3, 0.2), random_mrf(6).to(dtype=torch.float32)):
        relaxed = model.relaxed(coordinates=coordinates).to("meta")
        x = torch.zeros(3, model.dim, device="meta")
        assert relaxed.log_prob_and_score(x)[1].device.type == "meta"
        assert relaxed.spin_mean(x).device.type == "meta"


@pytest.mark.parametrize("graph", [False, True])
def test_a_shift_that_is_too_small(graph):
    model = targets.Ising((4, 4), 0.25, dtype=F64)
    model = as_graph(model) if graph else model
    with pytest.raises(
        ValueError, match="shift: got 0.9, for which J \\+ shift I is not positive definite; .* above 1"
    ):
        model.relaxed(0.9)
    with pytest.raises(ValueError, match="shift: got a diagonal D for which J \\+ D is not positive definite"):
        model.relaxed(torch.linspace(0.1, 0.2, 16))


def test_bad_input():
    model = random_mrf(3)
    with pytest.raises(
        ValueError, match="shift: got 'small', expected a number, a diagonal, 'smallest' or 'dominance'"
    ):
        model.relaxed("small")
    with pytest.raises(ValueError, match=r"shift: got shape \(2,\), expected a number or a diagonal \(3,\)"):
        model.relaxed(torch.ones(2))
    with pytest.raises(ValueError, match="shift: holds non-finite values, expected finite numbers"):
        model.relaxed(math.nan)
    with pytest.raises(ValueError, match="coordinates: got 'v', expected 'x' or 'w'"):
        model.relaxed(coordinates="v")
    with pytest.raises(ValueError, match=r"x: got shape \(2, 4\)"):
        model.relaxed().log_prob(torch.ones(2, 4))
