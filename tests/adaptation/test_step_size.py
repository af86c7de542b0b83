"""The rules of step sizes, at acceptances that are known functions of them."""

import math

import pytest

from samplers import HMC, MALA, ULA, Gibbs, RandomWalkMetropolis
from samplers.adaptation.left_open import LeftOpen
from samplers.adaptation.step_size import DualAveraging, RobbinsMonro, robbins_monro


def acceptance(step_size):
    """exp(-h), which is 0.6 at h = -log 0.6."""
    return math.exp(-step_size)


def test_a_constant_gain_settles_where_the_acceptance_is_met():
    rule = RobbinsMonro(math.log(9.0), 0.6)
    for _ in range(200):
        rule.update(acceptance(rule.value))
    assert rule.value == pytest.approx(-math.log(0.6), rel=1e-12)


def test_dual_averaging_comes_as_close_as_its_pull_to_the_start_allows():
    """A step size held at h needs a mean error of gamma |mu - log h| / sqrt(t): acceptance is that far off."""
    rule = DualAveraging(9.0, 0.6)
    for _ in range(3_000):
        rule.update(acceptance(rule.value))
    allowed = rule.gamma * abs(rule.mu - rule.log_value) / math.sqrt(rule.t)
    rule.settle()
    assert 0 < abs(acceptance(rule.value) - 0.6) < allowed


def test_one_rule_moves_the_log_of_the_step_size():
    rule = RobbinsMonro(0.25, 0.8, gain=1.5)
    rule.update(0.5)
    rule.update(0.9, share=0.5)
    assert rule.log_value == 0.25 + robbins_monro(0.5, 0.8, 1.5) + robbins_monro(0.9, 0.8, 0.75)
    assert robbins_monro(0.5, 0.8) < 0 < robbins_monro(0.9, 0.8)
    assert robbins_monro(0.8, 0.8, 3.0) == 0


def test_a_restart_forgets_the_acceptances_and_keeps_the_step_size():
    rule = DualAveraging(1.0, 0.6)
    for _ in range(50):
        rule.update(0.1)
    before = rule.value
    rule.restart()
    assert (rule.value, rule.t, rule.error) == (before, 0, 0.0)
    rule.restart(0.5)
    assert rule.value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("kernel", "left"),
    [
        (HMC(), LeftOpen(True, "auto", True)),
        (HMC(0.1), LeftOpen(False, None, True)),
        (HMC(0.1, "dense", steps=3), LeftOpen(False, "dense", False)),
        (MALA(), LeftOpen(True, "auto", False)),
        (RandomWalkMetropolis(inverse_mass_matrix="identity"), LeftOpen(True, None, False)),
        (ULA(), LeftOpen(False, "auto", False)),
        (Gibbs(), LeftOpen(False, None, False)),
    ],
)
def test_what_a_kernel_leaves_open(kernel, left):
    assert LeftOpen.of(kernel) == left
