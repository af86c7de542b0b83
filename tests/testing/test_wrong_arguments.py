"""Arguments of checks that cannot be used, in one message each."""

import pytest
from kernel_cases import skewed

from samplers import MALA
from samplers.testing import check_invariance, check_moves, check_reversible, check_unbiased_z


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"chains": 0}, "chains: got 0, expected an integer of at least 1"),
        ({"chains": 1e3}, "chains: got 1000.0, expected an integer"),
        ({"seed": None}, "seed: got None, expected an integer"),
    ],
)
@pytest.mark.parametrize("check", [check_invariance, check_reversible, check_moves])
def test_numbers(check, given, words):
    with pytest.raises(ValueError, match=words):
        check(MALA(0.3), skewed(), **given)


@pytest.mark.parametrize("check", [check_invariance, check_reversible, check_moves])
def test_what_is_no_target(check):
    with pytest.raises(TypeError, match="target: got function, expected a targets.Target"):
        check(MALA(0.3), skewed)


def test_functions():
    with pytest.raises(TypeError, match=r"functions: got \[.*expected functions by name"):
        check_invariance(MALA(0.3), skewed(), functions=[lambda x: x[:, 0]])
    with pytest.raises(
        ValueError, match=r"functions: all returned shape \(50, 2\), expected a tensor of shape \(50,\)"
    ):
        check_invariance(MALA(0.3), skewed(), chains=50, functions={"all": lambda x: x})


def test_a_function_is_no_sampler():
    with pytest.raises(TypeError, match="sampler: got function, expected a sampler with sample"):
        check_unbiased_z(lambda target: 1.0, skewed())
