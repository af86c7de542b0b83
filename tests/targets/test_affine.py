"""A density in other coordinates: all that is known of it is that of the target, moved."""

import math

import pytest
import torch

import targets
from targets.affine import Affine

F64 = torch.float64
FULL = torch.tensor([[1.5, 0.0, 0.0], [-0.4, 0.7, 0.0], [0.3, 0.2, 2.0]], dtype=F64)
FACTORS = {
    "number": (0.3, 1.7),
    "diagonal": (torch.tensor([0.5, -1.0, 2.0], dtype=F64), torch.tensor([0.5, 2.0, 1.3], dtype=F64)),
    "full": (torch.tensor([0.5, -1.0, 2.0], dtype=F64), FULL),
    "full, one shift": (0.3, FULL),
}
MIXTURE = targets.GaussianMixture(
    torch.tensor([[-1.0, 0.0, 2.0], [1.0, 1.0, -1.0]], dtype=F64),
    covariances=torch.stack([torch.eye(3, dtype=F64), 0.4 * torch.eye(3, dtype=F64) + 0.2]),
    weights=[0.3, 0.7],
    log_z=1.1,
)
DIAGONAL = targets.GaussianMixture(MIXTURE.modes, scales=[0.5, 1.5])
DENSITIES = {
    "mixture": MIXTURE,
    "diagonal mixture": DIAGONAL,
    "Gaussian": targets.Gaussian(torch.tensor([1.0, -2.0, 0.5], dtype=F64), [0.5, 1.0, 2.0]),
    "full Gaussian": targets.Gaussian(torch.zeros(3, dtype=F64), covariance=FULL @ FULL.mT),
}


def matrix(factor):
    factor = torch.as_tensor(factor, dtype=F64)
    return factor if factor.ndim == 2 else torch.diag(factor.expand(3))


@pytest.fixture(params=FACTORS)
def coordinates(request):
    return FACTORS[request.param]


def points(generator, n=40):
    return torch.randn(n, 3, generator=generator, dtype=F64)


def test_the_density_is_that_of_u(coordinates, generator):
    """log gamma(shift + L u) + log |det L|."""
    shift, factor = coordinates
    u, moved = points(generator), Affine(MIXTURE, shift, factor)
    x = shift + u @ matrix(factor).mT
    torch.testing.assert_close(moved.to_x(u), x)
    torch.testing.assert_close(moved.to_u(x), u)
    assert moved.log_det == pytest.approx(float(matrix(factor).det().log()), rel=1e-12)
    torch.testing.assert_close(moved.log_prob(u), MIXTURE.log_prob(x) + matrix(factor).det().log())
    torch.testing.assert_close(moved.log_prob(u.reshape(2, 20, 3)), moved.log_prob(u).reshape(2, 20))


def test_the_score_is_the_gradient(coordinates, generator):
    moved, u = Affine(MIXTURE, *coordinates), points(generator).requires_grad_()
    (slope,) = torch.autograd.grad(moved.log_prob(u).sum(), u)
    value, score = moved.log_prob_and_score(u.detach())
    torch.testing.assert_close(score, slope)
    torch.testing.assert_close(moved.score(u.detach()), slope)
    torch.testing.assert_close(value, moved.log_prob(u.detach()))


@pytest.mark.parametrize("name", DENSITIES)
def test_a_mixture_in_u_has_the_density_of_u(name, coordinates, generator):
    moved, density = Affine(MIXTURE, *coordinates), DENSITIES[name]
    mapped = moved.mixture(density)
    assert isinstance(mapped, targets.GaussianMixture)
    assert mapped.log_z == 0.0
    u = points(generator)
    expected = density.log_prob(moved.to_x(u)) + moved.log_det - density.log_z
    torch.testing.assert_close(mapped.log_prob(u), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(mapped.score(u), Affine(density, *coordinates).score(u), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(mapped.mean, moved.to_u(density.mean))


def test_only_diagonal_covariances_stay_diagonal():
    scaled, sheared = Affine(MIXTURE, *FACTORS["diagonal"]), Affine(MIXTURE, *FACTORS["full"])
    assert scaled.mixture(DIAGONAL).component_factors.ndim == 2
    assert scaled.mixture(DENSITIES["Gaussian"]).component_factors.ndim == 2
    assert sheared.mixture(DIAGONAL).component_factors.ndim == 3
    assert scaled.mixture(MIXTURE).component_factors.ndim == 3


def test_what_is_known_is_what_the_target_knows(coordinates):
    moved = Affine(MIXTURE, *coordinates)
    assert moved.log_z == MIXTURE.log_z
    assert {"log_z", "sample", "modes", "mode_weights"} <= moved.known
    assert not {"mean", "smoothed", "prior"} & moved.known
    torch.testing.assert_close(moved.to_x(moved.modes), MIXTURE.modes)
    assert torch.equal(moved.mode_weights, MIXTURE.mode_weights)
    u = moved.sample(30, generator=torch.Generator().manual_seed(1))
    x = MIXTURE.sample(30, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(moved.to_x(u), x)
    torch.testing.assert_close(moved.mode_probabilities(u), MIXTURE.mode_probabilities(x))
    torch.testing.assert_close(moved.constrain(u)["x"], x)
    assert moved.variables == MIXTURE.variables


def test_what_the_target_does_not_know_stays_unknown():
    moved = Affine(targets.LogDensity(lambda x: -x.square().sum(-1), 3, dtype=F64))
    assert moved.known == frozenset()
    for ask in (lambda: moved.log_z, lambda: moved.modes, lambda: moved.sample(2, generator=torch.Generator())):
        with pytest.raises(NotImplementedError, match="is not known exactly"):
            ask()


def test_the_integral_over_u_is_z():
    line = targets.GaussianMixture(torch.tensor([[-1.0], [2.0]]).double(), scales=[0.5, 1.0], log_z=-0.7)
    u = torch.linspace(-30, 30, 4001, dtype=F64)[:, None]
    for factor in (0.4, 3.0, [[2.0]]):
        moved = Affine(line, 0.5, factor)
        assert float(moved.log_prob(u).exp().sum() * 60 / 4000) == pytest.approx(math.exp(-0.7), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_it_moves_with_its_tensors(coordinates, dtype, generator):
    moved = Affine(MIXTURE, *coordinates).to(dtype=dtype)
    assert moved.dtype == moved.target.dtype == dtype
    u = points(generator)
    value, score = moved.log_prob_and_score(u.to(dtype))
    assert value.dtype == score.dtype == moved.to_u(moved.to_x(u.to(dtype))).dtype == dtype
    whole = Affine(MIXTURE, *coordinates)
    torch.testing.assert_close(value.double(), whole.log_prob(u), rtol=1e-4, atol=1e-3)
    back = moved.to(dtype=F64)  # from exact numbers, not from rounded ones
    assert torch.equal(back.to_u(u), whole.to_u(u))
    assert moved.mixture(MIXTURE).dtype == dtype
    assert moved.sample(3, generator=generator).dtype == dtype
    there = whole.to("meta")
    assert there.log_prob_and_score(torch.zeros(4, 3, dtype=F64, device="meta"))[1].device.type == "meta"


@pytest.mark.parametrize(
    ("shift", "factor", "message"),
    [
        ([1.0, 2.0], 1.0, r"shift: got shape \(2,\), expected \(\) or \(3,\)"),
        (0.0, [1.0, 2.0], r"factor: got shape \(2,\), expected \(\), \(3,\) or \(3, 3\)"),
        (0.0, torch.ones(2, 2), r"factor: got shape \(2, 2\), expected"),
        (0.0, 0.0, "factor: expected positive numbers, or a lower triangular matrix with a positive diagonal"),
        (0.0, [1.0, -1.0, 2.0], "factor: expected positive numbers"),
        (0.0, FULL.mT, "factor: expected positive numbers, or a lower triangular matrix"),
        (0.0, -FULL, "factor: expected positive numbers, or a lower triangular matrix"),
        (0.0, math.nan, "factor: "),
        (math.inf, 1.0, "shift: "),
    ],
)
def test_bad_coordinates_are_named(shift, factor, message):
    with pytest.raises(ValueError, match=message):
        Affine(MIXTURE, shift, factor)


def test_other_bad_input_is_named():
    with pytest.raises(TypeError, match="target: got .*, a law on configurations; expected a density"):
        Affine(targets.Ising((2, 2), 0.4, periodic=False))
    moved = Affine(MIXTURE)
    for call in (moved.log_prob, moved.log_prob_and_score):
        with pytest.raises(ValueError, match=r"x: got shape \(5, 2\), expected \(\*batch, 3\)"):
            call(torch.zeros(5, 2, dtype=F64))


def test_names():
    assert Affine(MIXTURE).name == MIXTURE.name
    assert Affine(MIXTURE, name="moved").name == "moved"
    assert targets.Affine is Affine
