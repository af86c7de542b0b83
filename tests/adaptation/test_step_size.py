"""The rules of step sizes, at acceptances that are known functions of them."""

import math
from statistics import NormalDist

import pytest
import torch

from samplers import HMC, MALA, ULA, Gibbs, RandomWalkMetropolis, RiemannianLangevin
from samplers.adaptation.left_open import LeftOpen
from samplers.adaptation.step_size import DualAveraging, RobbinsMonro, gaussian_harmonic_mean, robbins_monro


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


@pytest.mark.parametrize("mean", [0.65, 0.8, 0.9, 0.99])
def test_the_harmonic_mean_of_gaussian_energy_errors_by_quadrature(mean):
    """d ~ N(s^2/2, s^2) is where E exp(-d) = 1; a = min(1, exp(-d))."""
    s = -2 * NormalDist().inv_cdf(mean / 2)
    d = torch.linspace(-12, 12, 2_000_001, dtype=torch.float64)
    weights = torch.exp(-0.5 * d.square()) * (d[1] - d[0]) / math.sqrt(2 * math.pi)
    rate = (-(s * d + s * s / 2)).clamp_max(0.0).exp()
    assert float((weights * rate).sum()) == pytest.approx(mean, rel=1e-6)
    assert gaussian_harmonic_mean(mean) == pytest.approx(1 / float((weights / rate).sum()), rel=1e-6)


def test_a_cautious_rule_stops_at_a_share_of_its_step_size():
    rule = DualAveraging(1.0, 0.9)
    for _ in range(50):
        rule.update(acceptance(rule.value))
    before = math.exp(rule.log_average)
    rule.turn_cautious(0.5)
    for _ in range(200):
        rule.update(0.0)
    assert rule.value == pytest.approx(0.5 * before)
    rule.settle()
    assert 0.5 * before <= rule.value < 0.6 * before
    assert rule.target == gaussian_harmonic_mean(0.9)


@pytest.mark.parametrize(
    ("kernel", "left"),
    [
        (HMC(), LeftOpen(True, "auto", True)),
        (HMC(0.1), LeftOpen(False, "auto", True)),
        (HMC(0.1, "identity"), LeftOpen(False, None, True)),
        (HMC(0.1, "dense", steps=3), LeftOpen(False, "dense", False)),
        (MALA(), LeftOpen(True, "auto", False)),
        (RandomWalkMetropolis(inverse_mass_matrix="identity"), LeftOpen(True, None, False)),
        (ULA(), LeftOpen(False, "auto", False)),
        (RiemannianLangevin(torch.ones_like), LeftOpen(True, None, False)),
        (Gibbs(), LeftOpen(False, None, False)),
    ],
)
def test_what_a_kernel_leaves_open(kernel, left):
    assert LeftOpen.of(kernel) == left
