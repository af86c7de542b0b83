"""Each chain of a pair has exactly the law of the kernel, and pairs that have met stay together."""

import pytest
from coupling_cases import (
    ALL,
    EXACT,
    check_chain_is_invariant,
    check_coupling_of_noises,
    check_law_is_the_kernels,
    check_pairs_stay_together,
)
from coupling_pairs import SMALL, check_marginals_are_exact

BOTH = pytest.mark.parametrize("first", [True, False], ids=["first", "second"])


@BOTH
@pytest.mark.parametrize("name", EXACT)
def test_each_chain_leaves_the_target_invariant(name, first):
    check_chain_is_invariant(name, first)


@pytest.mark.parametrize("name", ALL)
def test_the_second_chain_has_the_law_of_the_kernel(name):
    check_law_is_the_kernels(name, first=False)


@pytest.mark.parametrize("name", SMALL)
def test_on_few_states_the_marginals_are_the_kernel_to_rounding(name):
    check_marginals_are_exact(name)


@pytest.mark.parametrize("name", ALL)
def test_once_met_together(name):
    check_pairs_stay_together(name)


def test_reflected_noises_are_normal_and_coincide_as_often_as_can_be():
    check_coupling_of_noises()


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("name", EXACT)
def test_each_chain_leaves_the_target_invariant_sharply(name, first):
    check_chain_is_invariant(name, first, chains=100_000)
