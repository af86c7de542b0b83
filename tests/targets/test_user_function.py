"""Functions of users: their memory is not the chain's, and what is said when they do not fit."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

import samplers
import targets
from targets.linear_algebra import failures_raised

F64 = torch.float64
X = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
UNIT = Normal(0.0, 1.0)


# The caller's memory is never the chain's


def halves(x):
    x *= 0.5
    return -0.5 * (x**2).sum(-1)


def columns(x):
    x[:, 0] = 2 * x[:, 0]
    return -0.5 * x.square().sum(-1)


def columns_of_one(x):
    x[0] = 2 * x[0]
    return -0.5 * (x**2).sum(-1)


def folded(x):
    np.abs(x, out=x)
    return -x.sum(-1)


def writing_score(x):
    x.mul_(-0.25)
    return x


def posterior(function, **more):
    kinds = {"a": targets.Real(prior=UNIT), "b": targets.Positive(2, prior=half_normal())}
    return targets.Posterior(log_likelihood=function, parameters=kinds, **more)


def half_normal():
    return torch.distributions.HalfNormal(torch.tensor(1.0, dtype=F64))


def writes_parameters(a, b):
    a.add_(1)
    b.mul_(0.5)
    return -a.square() - b.sum(-1)


def writes_one(a, b):
    a.add_(1)
    b.mul_(0.5)
    return -a.square() - b.sum()


def leaves_parameters(a, b):
    return -(a + 1).square() - 0.5 * b.sum(-1)


SQUARE = -0.125 * X.square().sum(-1)
STRETCHED = -0.5 * (X * torch.tensor([2.0, 1.0, 1.0])).square().sum(-1)
WRITERS = {
    "torch": (targets.LogDensity(halves, 3, dtype=F64), SQUARE),
    "torch columns": (targets.LogDensity(columns, 3, dtype=F64), STRETCHED),
    "torch of one point": (targets.LogDensity(columns_of_one, 3, batched=False, dtype=F64), STRETCHED),
    "a score that writes": (targets.LogDensity(halves, 3, score=writing_score, dtype=F64), SQUARE),
    "numpy": (targets.from_numpy(halves, lambda x: np.multiply(x, -0.25, out=x), dim=3), SQUARE),
    "numpy of one point": (
        targets.from_numpy(columns_of_one, lambda x: -x * [4, 1, 1], dim=3, batched=False),
        STRETCHED,
    ),
    "posterior": (posterior(writes_parameters), posterior(leaves_parameters).log_prob(X)),
    "posterior of one point": (posterior(writes_one, batched=False), posterior(leaves_parameters).log_prob(X)),
    "derived": (
        posterior(leaves_parameters, derived=lambda a, b: {"c": a.mul_(2), "d": b.zero_()}),
        posterior(leaves_parameters).log_prob(X),
    ),
}


@pytest.mark.parametrize("case", WRITERS)
def test_a_function_may_write_into_its_argument(case):
    target, expected = WRITERS[case]
    x = X.clone()
    torch.testing.assert_close(target.log_prob(x), expected)
    value, score = target.log_prob_and_score(x)
    target.constrain(x)
    assert torch.equal(x, X)
    torch.testing.assert_close(value, expected)
    steps = 1e-6 * torch.eye(3, dtype=F64)
    slope = torch.stack([(target.log_prob(x + h) - target.log_prob(x - h)) / 2e-6 for h in steps], -1)
    torch.testing.assert_close(score, slope, rtol=1e-6, atol=1e-6)


def test_derived_values_do_not_change_the_parameters_beside_them():
    target = posterior(leaves_parameters, derived=lambda a, b: {"c": a.mul_(2)})
    values = target.constrain(X)
    torch.testing.assert_close(values["a"], X[:, 0])
    torch.testing.assert_close(values["c"], 2 * X[:, 0])


@pytest.mark.parametrize("batched", [True, False])
def test_what_a_function_returns_is_not_memory_that_it_uses_again(batched):
    shape = (7,) if batched else ()
    value, slope = np.zeros(shape), np.zeros((*shape, 3))

    def density(x):
        return np.multiply(-0.5, (x**2).sum(-1), out=value) if batched else np.copyto(value, -0.5 * (x @ x)) or value

    def gradient(x):
        return np.negative(x, out=slope)

    target = targets.from_numpy(density, gradient, dim=3, batched=batched)
    first = target.log_prob(X)
    one, score = target.log_prob_and_score(X)
    target.log_prob_and_score(X + 1)
    for got in (first, one):
        torch.testing.assert_close(got, -0.5 * X.square().sum(-1))
    torch.testing.assert_close(score, -X)


def test_a_view_of_the_argument_and_a_cached_tensor_are_copied():
    held = torch.zeros(7, dtype=F64)
    view = targets.LogDensity(lambda x: x[:, 0], 3, dtype=F64)
    cached = targets.LogDensity(lambda x: held, 3, score=torch.zeros_like, dtype=F64)
    x = X.clone()
    view.log_prob(x).add_(1)
    cached.log_prob(x).add_(1)
    cached.log_prob_and_score(x)[0].add_(1)
    assert torch.equal(x, X)
    assert not held.any()


# Linear algebra


def gaussian(x):
    """-1/2 log det of a matrix that is positive definite for x_0 > 0 alone, minus |x|^2."""
    matrix = x[:, :1, None] * torch.eye(2, dtype=x.dtype)
    return -torch.linalg.cholesky(matrix).diagonal(dim1=-2, dim2=-1).log().sum(-1) - x.square().sum(-1)


def gaussian_of_one(x):
    return -torch.linalg.cholesky(x[0] * torch.eye(2, dtype=x.dtype)).diagonal().log().sum() - x.square().sum()


def normal(x):
    covariance = x[:, :1, None] * torch.eye(2, dtype=x.dtype)
    law = MultivariateNormal(torch.zeros(2, dtype=x.dtype), covariance_matrix=covariance)
    return law.log_prob(torch.zeros(2, dtype=x.dtype)) + math.log(2 * math.pi) - x.square().sum(-1)


def numpy_gaussian(x):
    matrix = x[:, :1, None] * np.eye(2)
    return -np.log(np.linalg.cholesky(matrix).diagonal(axis1=-2, axis2=-1)).sum(-1) - (x**2).sum(-1)


def numpy_gradient(x):
    np.linalg.cholesky(x[:, :1, None] * np.eye(2))
    return -2 * x - np.array([1.0, 0, 0]) / x[:, :1]


class BackwardFails(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return -x[:, 0].log() - x.square().sum(-1)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        torch.linalg.cholesky(x[:, :1, None] * torch.eye(2, dtype=x.dtype))
        first = torch.tensor([1.0, 0, 0], dtype=x.dtype)
        return grad[:, None] * (-2 * x - first / x[:, :1])


FACTORS = {
    "cholesky": targets.LogDensity(gaussian, 3, dtype=F64),
    "of one point": targets.LogDensity(gaussian_of_one, 3, batched=False, dtype=F64),
    "MultivariateNormal": targets.LogDensity(normal, 3, dtype=F64),
    "inverse": targets.LogDensity(
        lambda x: (
            gaussian(x) + 0 * torch.linalg.inv(x[:, :1, None].clamp_min(0) * torch.eye(2, dtype=F64)).sum((-1, -2))
        ),
        3,
        dtype=F64,
    ),
    "numpy": targets.from_numpy(numpy_gaussian, numpy_gradient, dim=3),
    "backward": targets.LogDensity(BackwardFails.apply, 3, dtype=F64),
    "posterior": targets.Posterior(
        lambda x: gaussian(torch.cat([x[:, :1] + 0.01, x[:, 1:]], -1) - torch.tensor([0.01, 0, 0])),
        {"x": targets.Real(3)},
    ),
}
GOOD = X[:, 0] > 0


@pytest.mark.parametrize("case", FACTORS)
def test_where_a_matrix_cannot_be_factorised_there_is_no_number_and_elsewhere_the_right_one(case):
    target = FACTORS[case]
    assert 2 <= GOOD.sum() <= 5
    expected = -X[:, 0].log() - X.square().sum(-1)  # NaN where x_0 < 0
    slope = -2 * X - torch.tensor([1.0, 0, 0]) / X[:, :1]
    slope[~GOOD] = math.nan
    value, score = target.log_prob_and_score(X)
    torch.testing.assert_close(target.log_prob(X), expected, equal_nan=True)
    torch.testing.assert_close(value, expected, equal_nan=True)
    torch.testing.assert_close(score, slope, equal_nan=True)
    assert target.log_prob(X[~GOOD]).isnan().all()
    assert target.log_prob_and_score(X[~GOOD][:1])[1].isnan().all()


def test_other_errors_end_the_run_and_failures_are_raised_where_asked():
    def broken(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        targets.LogDensity(broken, 3, dtype=F64).log_prob(X)
    with failures_raised(), pytest.raises(torch.linalg.LinAlgError, match="cholesky"):
        FACTORS["cholesky"].log_prob(X)


def test_a_posterior_whose_matrices_fail_everywhere_says_so_when_it_is_made():
    with pytest.raises(torch.linalg.LinAlgError, match="cholesky"):
        targets.Posterior(lambda a: torch.linalg.cholesky(-torch.eye(2, dtype=F64)).sum() + a, {"a": targets.Real()})


def test_a_derived_quantity_whose_matrix_fails_at_one_draw_is_missing_there_alone():
    target = targets.Posterior(
        lambda a: -a.square(),
        {"a": targets.Positive()},
        derived=lambda a: {"root": torch.linalg.cholesky((2 - a)[:, None, None] * torch.eye(2, dtype=F64))},
    )
    root = target.constrain(torch.tensor([[0.0], [1.0], [0.0]], dtype=F64))["root"]
    eye = torch.eye(2, dtype=F64)
    torch.testing.assert_close(root, torch.stack([eye, eye * math.nan, eye]), equal_nan=True)


# Words


def numpy_of_tensors(x):
    return -0.5 * np.sum(np.asarray(x) ** 2, axis=-1)


HELD = torch.eye(3, dtype=F64)
COLUMN = pd.Series([1.0, 2.0])
MISTAKES = {
    "one point": (lambda: targets.LogDensity(lambda x: -x @ x, 3).score(X.float()), "pass batched=False"),
    "one point by index": (
        lambda: targets.LogDensity(lambda x: -((1 - x[0]) ** 2) - 100 * (x[1] - x[0] ** 2) ** 2, 2).log_prob(
            X[:, :2].float()
        ),
        "pass batched=False",
    ),
    "one point, as many as coordinates": (
        lambda: targets.LogDensity(lambda x: -((1 - x[0]) ** 2) - x[1] ** 2 - x[2], 3, dtype=F64).log_prob(X[:3]),
        "batched=False",
    ),
    "one point of a posterior": (
        lambda: targets.Posterior(lambda a, b: -(a**2) - b.square().sum(), {"a": targets.Real(), "b": targets.Real(2)}),
        "use batched=False",
    ),
    "one point in numpy": (
        lambda: targets.from_numpy(lambda x: -0.5 * float(x @ x), dim=3).log_prob(X),
        "pass batched=False",
    ),
    "numpy": (lambda: targets.LogDensity(numpy_of_tensors, 3).score(X.float()), r"targets\.from_numpy"),
    "numpy values": (lambda: targets.LogDensity(numpy_of_tensors, 3).log_prob(X.float()), r"targets\.from_numpy"),
    "torch in from_numpy": (
        lambda: targets.from_numpy(lambda x: -torch.exp(x).sum(-1), dim=3).log_prob(X),
        "is for LogDensity",
    ),
    "data in another dtype": (
        lambda: targets.LogDensity(lambda x: -(x @ HELD).square().sum(-1), 3).log_prob(X.float()),
        r"pass dtype=torch\.float64",
    ),
    "a value in another dtype": (
        lambda: targets.LogDensity(lambda x: -(x * HELD[0]).sum(-1), 3).log_prob(X.float()),
        r"pass dtype=torch\.float64",
    ),
    "a score in another dtype": (
        lambda: targets.LogDensity(lambda x: -x.sum(-1), 3, score=lambda x: -x.double()).score(X.float()),
        r"score: returned torch\.float64 for x in torch\.float32",
    ),
    "values of integers": (
        lambda: targets.LogDensity(lambda x: (x > 0).sum(-1), 3).log_prob(X.float()),
        "convert the data it closes over\n",
    ),
    "math in a posterior": (
        lambda: targets.Posterior(lambda a: -math.exp(a), {"a": targets.Real()}),
        r"torch\.exp, not math\.exp",
    ),
    "math at one point": (
        lambda: targets.Posterior(lambda a: -math.exp(a), {"a": targets.Real()}, batched=False),
        r"torch\.exp, not math\.exp",
    ),
    "if at one point": (
        lambda: targets.LogDensity(lambda x: -x[0] if x[0] > 0 else x[0], 1, batched=False).log_prob(X[:, :1].float()),
        "not `if` on a value",
    ),
    "a pandas column": (
        lambda: targets.Posterior(lambda a: -(a[:, None] - COLUMN).square().sum(-1), {"a": targets.Real()}),
        "write it in torch operations",
    ),
    "a pandas column at one point": (
        lambda: targets.Posterior(lambda a: -((a * COLUMN) ** 2).sum(-1), {"a": targets.Real()}, batched=False),
        "write it in torch operations",
    ),
    "a random posterior": (
        lambda: targets.Posterior(lambda a: -(a**2) + torch.rand(len(a), dtype=F64), {"a": targets.Real()}),
        "log_joint: is random: two evaluations",
    ),
    "dropout": (
        lambda: targets.LogDensity(
            lambda x: -torch.nn.functional.dropout(x, 0.5).square().sum(-1), 3, dtype=F64
        ).log_prob(X[:3]),
        "fn: is random",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_newcomers_mistake_is_told_what_to_pass(case):
    make, message = MISTAKES[case]
    with torch.random.fork_rng(), pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        make()


def test_batched_false_is_not_advised_where_it_was_passed():
    target = targets.LogDensity(lambda x: -x[:, 0], 3, batched=False, dtype=F64)
    with pytest.raises(IndexError) as caught:
        target.log_prob(X)
    assert "batched=False" not in str(caught.value)


def test_an_error_of_the_users_own_is_left_as_it_is():
    def careful(x):
        if len(x) > 1 and x.ndim > 1:
            raise ValueError("my own words")
        return -x.square().sum(-1)

    with pytest.raises(
        ValueError, match="^my own words\nfn was called with 7 points at once, x .* the first axis is the batch"
    ):
        targets.LogDensity(careful, 3, dtype=F64).log_prob(X)


def test_a_start_whose_matrix_cannot_be_factorised_is_told_with_the_librarys_words():
    with pytest.raises(ValueError, match=r"init: the density is not finite where chain 1 starts: .*cholesky"):
        samplers.HMC().sample(
            FACTORS["cholesky"], chains=2, draws=2, warmup=0, init=torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]), seed=0
        )


@pytest.mark.parametrize(
    ("data", "init", "message"),
    [
        (math.nan, None, r"^the density is not finite .* It is nan at every start: look for a nan in the data"),
        (math.nan, torch.zeros(2, 3), r"^init: the density is not finite .* look for a nan in the data"),
        (math.inf, None, r"^the density is not finite .* starts that were tried is better; give init= where"),
    ],
)
def test_starts_without_a_density_are_blamed_on_what_is_wrong(data, init, message):
    target = targets.LogDensity(lambda x: -(x - data).square().sum(-1), 3, dtype=F64)
    with pytest.raises(ValueError, match=message):
        samplers.MALA().sample(target, chains=2, draws=2, warmup=0, init=init, seed=0)
