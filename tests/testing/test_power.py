"""What a passing check could have seen, as its report says it."""

import math
import re

import torch

import targets
from samplers import MALA
from samplers.testing import check_invariance, check_reversible
from samplers.testing.sequential_rule import least_seen

CHAINS, SEEDS = 400, 100


def share_rejected(step):
    found = 0
    for seed in range(SEEDS):
        try:
            check_invariance(step, targets.Gaussian([0.0]), chains=CHAINS, steps=1, seed=seed)
        except AssertionError:
            found += 1
    return found / SEEDS


def test_the_error_that_a_report_names_is_found_as_often_as_it_says():
    """A share of 100 runs is within .13 of .9, 4.4 standard errors; the normal limit at 400 chains adds little."""
    z = least_seen(6)  # location, scale and shape of x and of its log-density
    off = math.sqrt(2) * z / math.sqrt(CHAINS)
    assert share_rejected(lambda x, generator: torch.randn(x.shape, generator=generator) + off) >= 0.77


def test_an_error_much_smaller_than_that_is_not():
    off = math.sqrt(2) * least_seen(6) / math.sqrt(CHAINS) / 3
    assert share_rejected(lambda x, generator: torch.randn(x.shape, generator=generator) + off) < 0.2


def test_reports_say_it():
    report = check_invariance(MALA(0.5), targets.Gaussian([0.0]), chains=CHAINS, seed=0)
    mean = math.sqrt(2) * least_seen(6) / math.sqrt(CHAINS)
    said = re.search(r"shown a mean off by (\S+) standard deviations, or a variance off by (\S+)%, with", str(report))
    assert abs(float(said[1]) - mean) < 0.01
    assert abs(float(said[2]) / 100 - math.sqrt(2) * mean) < 0.001
    said = str(check_reversible(MALA(0.5), targets.Gaussian([0.0]), chains=CHAINS, seed=0))
    assert "It would have shown a share of " in said
