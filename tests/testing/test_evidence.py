"""The check of an unbiased Z: what it rejects, and how often it errs on laws whose mean is known."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from annealing_cases import PLAIN, gaussian, skewed
from seeded_bugs_annealing import BUGS, SLOW

import targets
from samplers import MALA, Draws, LogZ
from samplers.annealing import SMC
from samplers.testing import check_unbiased_z
from samplers.testing.evidence import _hall, _log_capital, _wager


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else []) for n in BUGS])
def test_seeded_bugs_are_rejected(name, monkeypatch):
    sampler, target, *options = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError, match=r"unbiased Z of .* FAILED .* Z-hat / Z = .* runs"):
        check_unbiased_z(sampler, target, seed=1, **dict(*options))


@dataclass
class LogNormal:
    """Z-hat = Z bias exp(s xi - s^2 / 2): called run by run, for it has no replicates."""

    spread: float
    bias: float = 1.0
    calls: int = 0

    def sample(self, target, *, draws, seed):
        self.calls += 1
        noise = float(np.random.default_rng(seed).standard_normal())
        value = target.log_z + math.log(self.bias) + self.spread * noise - self.spread**2 / 2
        return Draws(torch.zeros(1, draws, target.dim), log_z=LogZ(value, self.spread))


TARGET = skewed()


def test_the_report_names_ratio_error_and_runs():
    report = check_unbiased_z(SMC(MALA(0.3, PLAIN), gaussian(2, 2.0), betas=6, moves=1), TARGET, seed=1)
    assert report.passed
    assert "mean of Z-hat / Z = " in str(report)
    assert "in 2000 runs" in str(report)
    assert report.check == "unbiased Z of SMC on skewed"


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_skewed_but_unbiased_estimates_pass(spread, seed):
    sampler = LogNormal(spread)
    assert check_unbiased_z(sampler, TARGET, seed=seed, runs=5000).passed
    assert sampler.calls >= 5000


@pytest.mark.parametrize("bias", [0.95, 1.05])
def test_a_bias_of_eight_standard_errors_is_found(bias):
    with pytest.raises(AssertionError, match="unbiased Z of LogNormal on skewed FAILED"):
        check_unbiased_z(LogNormal(0.28, bias), TARGET, runs=2000)


def test_an_estimate_unbiased_in_the_log_is_rejected():
    """E[log Z-hat] = log Z makes the mean of Z-hat / Z exp(s^2 / 2)."""
    with pytest.raises(AssertionError, match="FAILED"):
        check_unbiased_z(LogNormal(0.5, math.exp(0.125)), TARGET)


def test_too_skewed_for_a_verdict():
    with pytest.raises(
        ValueError, match=r"draws: with 16 points Z-hat / Z is too skewed for a verdict .*take more draws"
    ):
        check_unbiased_z(LogNormal(3.0), TARGET)
    with pytest.raises(AssertionError, match="by a wager"):  # but too large beyond doubt
        check_unbiased_z(LogNormal(3.0, 1e4), TARGET)


def test_estimates_that_are_no_numbers_are_rejected():
    with pytest.raises(AssertionError, match="Z-hat / Z = nan in one of 100 runs"):
        check_unbiased_z(LogNormal(0.1, math.nan), TARGET, runs=100)


def test_an_estimate_without_noise_is_compared_as_a_number():
    assert check_unbiased_z(LogNormal(0.0), TARGET, runs=20).passed
    with pytest.raises(AssertionError, match="FAILED"):
        check_unbiased_z(LogNormal(0.0, 1.01), TARGET, runs=20)


def test_bad_arguments_are_named():
    secret = targets.LogDensity(lambda x: -x.square().sum(-1), 2, name="secret")
    with pytest.raises(ValueError, match="target: the log_z of secret is not known"):
        check_unbiased_z(LogNormal(0.1), secret)
    for name, value in (("runs", 3), ("runs", 2.5), ("draws", 0)):
        with pytest.raises(ValueError, match=f"{name}: got {value}, expected an integer of at least"):
            check_unbiased_z(LogNormal(0.1), TARGET, **{name: value})


LAWS = {
    "log-normal": lambda g, shape: np.exp(0.6 * g.standard_normal(shape) - 0.18),
    "exponential": lambda g, shape: g.exponential(size=shape),
    "seldom more than zero": lambda g, shape: (g.random(shape) < 0.1) / 0.1,
}


@pytest.mark.parametrize("law", LAWS)
def test_p_values_are_right_in_the_tail(law):
    """Of 3000 batches of 1000 with mean one, those below 0.01: about 30, their binomial s.e. 5."""
    generator = np.random.default_rng(11)
    hall, wager = [], []
    for _ in range(30):
        for y in LAWS[law](generator, (100, 1000)):
            hall.append(_hall(y))
            wager.append(_wager(y))
    assert abs(np.mean(np.array(hall) < 0.01) - 0.01) < 4 * math.sqrt(0.01 * 0.99 / 3000)
    assert np.mean(np.array(wager) < 0.01) < 0.01 + 4 * math.sqrt(0.01 * 0.99 / 3000)


def test_a_wager_is_fair_by_enumeration():
    """E[capital] = 1 for a Y of two values and mean one, summed over every outcome of five runs."""
    values, odds = np.array([0.25, 3.25]), np.array([0.75, 0.25])
    outcomes = [list(outcome) for outcome in np.ndindex(*(2,) * 5)]
    mean = sum(odds[outcome].prod() * math.exp(_log_capital(values[outcome])) for outcome in outcomes)
    assert mean == pytest.approx(1.0, abs=1e-12)
