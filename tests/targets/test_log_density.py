import numpy as np
import pytest
import torch
from torch.distributions import Distribution, Normal

import targets
from targets.log_density import no_validation


def quartic(x):
    return -(x**4).sum(-1) / 4


def quartic_of_one_point(x):
    return -(x**4).sum() / 4


X = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    "target",
    [
        targets.LogDensity(quartic, 2),
        targets.LogDensity(quartic_of_one_point, 2, batched=False),
        targets.LogDensity(quartic, 2, score=lambda x: -(x**3)),
        targets.LogDensity(quartic_of_one_point, 2, batched=False, score=lambda x: -(x**3)),
    ],
    ids=["batched", "one point", "with score", "one point with score"],
)
def test_value_and_score_are_those_of_the_function(target):
    value, score = target.log_prob_and_score(X)
    torch.testing.assert_close(value, quartic(X))
    torch.testing.assert_close(target.log_prob(X), quartic(X))
    torch.testing.assert_close(score, -(X**3))
    torch.testing.assert_close(target.score(X.expand(2, 3, 2)), -(X**3).expand(2, 3, 2))
    assert target.log_prob(X[0]).shape == ()
    assert target.score(X[0]).shape == (2,)
    assert target.log_prob_and_score(X[:0])[0].shape == (0,)
    assert target.known == frozenset()


def test_a_given_score_is_the_one_used():
    target = targets.LogDensity(quartic, 2, score=torch.ones_like)
    assert torch.equal(target.score(X), torch.ones(3, 2))


def test_a_given_score_makes_a_function_without_gradient_usable():
    target = targets.LogDensity(lambda x: quartic(x).detach(), 2, score=lambda x: -(x**3))
    torch.testing.assert_close(target.score(X), -(X**3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_compiled_density_is_the_same_density():
    target = targets.LogDensity(quartic, 2, compile=True)
    value, score = target.log_prob_and_score(X)
    torch.testing.assert_close(value, quartic(X))
    torch.testing.assert_close(score, -(X**3))


def test_the_name_is_that_of_the_function_unless_given():
    assert targets.LogDensity(quartic, 2).name == "quartic"
    assert targets.LogDensity(quartic, 2, name="mine").name == "mine"


ERRORS = {
    "a column": (
        lambda x: quartic(x)[:, None],
        ValueError,
        r"fn: returned shape \(3, 1\) for x of shape \(3, 2\), expected \(3,\)",
    ),
    "a matrix": (
        lambda x: -(x**4),
        ValueError,
        r"fn: returned shape \(3, 2\) for x of shape \(3, 2\), expected \(3,\)",
    ),
    "a total": (lambda x: quartic(x).sum(), ValueError, r"fn: returned shape \(\) for x"),
    "another dtype": (lambda x: quartic(x).double(), TypeError, r"fn: returned torch\.float64 for x in torch\.float32"),
    "another device": (lambda x: quartic(x).to("meta"), ValueError, "fn: returned a tensor on meta for x on cpu"),
    "a float": (lambda x: 0.0, TypeError, r"fn: returned float, expected a tensor of shape \(3,\)"),
    "an array": (lambda x: x.detach().numpy().sum(-1), TypeError, "fn: returned ndarray, expected a tensor"),
    "nothing": (lambda x: None, TypeError, "fn: returned NoneType, expected a tensor"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_result_gets_one_error_that_names_what_came(case):
    fn, error, message = ERRORS[case]
    target = targets.LogDensity(fn, 2)
    with pytest.raises(error, match=message):
        target.log_prob(X)
    with pytest.raises(error, match=message):
        target.score(X)


def test_a_density_without_gradient_says_what_to_do():
    target = targets.LogDensity(lambda x: quartic(x).detach(), 2, name="flat")
    torch.testing.assert_close(target.log_prob(X), quartic(X))
    with pytest.raises(
        TypeError, match=r"flat: the log-density is not differentiable with respect to x.*RandomWalkMetropolis"
    ):
        target.score(X)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda x: x.sum(-1), r"score: returned \(3,\) for x of shape \(3, 2\), expected the shape of x"),
        (lambda x: None, r"score: returned NoneType for x of shape \(3, 2\)"),
    ],
)
def test_a_score_of_wrong_shape_is_refused(score, message):
    with pytest.raises(ValueError, match=message):
        targets.LogDensity(quartic, 2, score=score).score(X)


def test_a_density_that_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"fn: got Tensor, expected a function \(n, dim\) -> \(n,\)"):
        targets.LogDensity(torch.zeros(3), 2)


def test_a_non_finite_point_gives_nan_and_no_exception():
    target = targets.LogDensity(lambda x: Normal(0.0, x[:, 0]).log_prob(x[:, 1]), 2)
    assert target.log_prob(torch.tensor([[-1.0, 0.0]])).isnan().all()


def test_the_checks_of_torch_distributions_are_found_again_even_after_an_error():
    before = Distribution._validate_args

    def fail():
        with no_validation():
            assert Distribution._validate_args is False
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert Distribution._validate_args is before


# NumPy


def numpy_quartic(x):
    return -(x**4).sum(-1) / 4


@pytest.mark.parametrize("batched", [True, False])
def test_a_numpy_density_with_its_gradient(batched):
    target = targets.from_numpy(numpy_quartic, lambda x: -(x**3), dim=2, batched=batched)
    x = X.double().expand(2, 3, 2)
    assert target.dtype == torch.float64
    assert target.name == "numpy_quartic"
    torch.testing.assert_close(target.log_prob(x), quartic(x))
    torch.testing.assert_close(target.score(x), -(x**3))


def test_a_numpy_density_without_gradient_has_values_and_says_so_for_the_score():
    target = targets.from_numpy(numpy_quartic, dim=2)
    torch.testing.assert_close(target.log_prob(X.double()), quartic(X.double()))
    with pytest.raises(
        TypeError, match=r"numpy_quartic: the log-density is not differentiable.*`grad=` of `from_numpy`"
    ):
        target.score(X.double())


def test_a_numpy_density_with_a_result_of_wrong_shape_is_refused():
    target = targets.from_numpy(lambda x: np.ones((len(x), 1)), dim=2)
    with pytest.raises(ValueError, match=r"fn: returned shape \(3, 1\)"):
        target.log_prob(X.double())


def test_an_empty_batch_of_a_numpy_density_of_one_point():
    target = targets.from_numpy(numpy_quartic, lambda x: -(x**3), dim=2, batched=False)
    value, score = target.log_prob_and_score(torch.zeros(0, 2, dtype=torch.float64))
    assert (value.shape, score.shape) == ((0,), (0, 2))


# Modes


def test_named_modes_are_known_and_move_with_the_target():
    target = targets.LogDensity(quartic, 2, modes=[[0.0, 0.0], [1, 2]], dtype=torch.float64)
    assert target.known == {"modes"}
    assert target.modes.dtype == torch.float64
    assert target.to(dtype=torch.float32).modes.dtype == torch.float32
    assert target.mode_probabilities(torch.tensor([[0.9, 1.9]], dtype=torch.float64)).tolist() == [[0, 1]]
    assert targets.from_numpy(lambda x: -(x**2).sum(-1), dim=1, modes=np.zeros((1, 1))).modes.tolist() == [[0.0]]


def test_without_them_none_are_known():
    target = targets.LogDensity(quartic, 2)
    assert target.known == frozenset()
    with pytest.raises(NotImplementedError, match="modes is not known exactly"):
        _ = target.modes


@pytest.mark.parametrize("modes", [[0.0, 0.0], [[0.0]], torch.empty(0, 2)])
def test_named_modes_of_a_wrong_shape(modes):
    with pytest.raises(ValueError, match=r"modes: got shape .*, expected \(modes, 2\), at least one"):
        targets.LogDensity(quartic, 2, modes=modes)
