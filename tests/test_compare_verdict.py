"""Planted faults, each named in words by the verdict; and samplers without a fault, of whom nothing is said."""

import math

import pytest
import torch
from compare_cases import DoubledJacobian, Exact, NarrowImportance, NoisyLangevin, OneMode

import targets
from samplers import compare
from samplers.compare.agreements import Together
from samplers.compare.facts import Facts
from samplers.compare.verdict import _largest_group, limit, verdicts


def two_modes():
    return targets.GaussianMixture([[-4.0, 0.0], [4.0, 0.0]], scales=1.0, weights=[0.6, 0.4])


def secret(target):
    """The same density with nothing known of it but exact draws, which the planted samplers need."""

    class Secret(targets.LogDensity):
        sample = staticmethod(target.sample)

    return Secret(target.log_prob, target.dim, dtype=target.dtype)


def verdict(target, samplers, **options):
    result = compare({"it": target}, samplers, distances=False, **options)
    assert (result.table["error"] == "").all(), result.table["error"]
    return result.verdicts["it"]


def test_a_chain_stuck_in_one_mode():
    found = verdict(two_modes(), {"right": Exact(), "stuck": OneMode()})
    assert found.faults["right"] == []
    assert "it misses the mode of weight 0.4" in found.faults["stuck"]
    assert found.conclusion.startswith("right agrees with what is exactly known; the others do not")


def test_a_chain_stuck_in_one_mode_where_nothing_is_known():
    """Two that agree stand against the one that does not."""
    found = verdict(secret(two_modes()), {"one": Exact(), "two": Exact(1e-3), "stuck": OneMode()})
    assert found.faults["one"] == found.faults["two"] == []
    assert "it disagrees with one on x[0] (R-hat between them 1." in found.faults["stuck"][0]
    assert "one and two agree with one another" in found.conclusion


def test_noise_five_percent_too_large():
    target = targets.Gaussian(torch.zeros(2, dtype=torch.float64), torch.tensor([1.0, 0.5], dtype=torch.float64))
    found = verdict(target, {"noisy": NoisyLangevin(), "right": Exact()})
    assert found.faults["right"] == []
    (said,) = found.faults["noisy"]
    assert "is too heavy" in said or "its spread of x" in said
    assert "should be" in said


def test_weights_of_infinite_variance():
    target = targets.Gaussian(torch.zeros(3, dtype=torch.float64))
    found = verdict(target, {"narrow": NarrowImportance(), "right": Exact()})
    assert found.faults["right"] == []
    assert any("as if their variance were infinite (k-hat " in said for said in found.faults["narrow"])


def test_a_wrong_jacobian():
    found = verdict(targets.benchmark("eight-schools"), {"doubled": DoubledJacobian(), "right": Exact()})
    assert found.faults["right"] == []
    assert any("its tau lies too high" in said for said in found.faults["doubled"])


def test_the_smaller_difference_that_r_hat_does_not_see():
    """A spread 5 % too large moves no R-hat above 1.01; the difference in standard errors does."""
    target = secret(targets.Gaussian(torch.zeros(1, dtype=torch.float64)))
    found = verdict(target, {"a": Exact(), "b": Exact(1e-3), "wide": Exact(scale=1.05)}, draws=4000)
    assert found.faults["a"] == found.faults["b"] == []
    assert "of their draws of x[0] are" in found.faults["wide"][0]
    assert "standard errors" in found.faults["wide"][0]


def test_exact_draws_have_no_fault():
    """Limits are for one false alarm in 10,000 rows."""
    result = compare(
        {"modes": two_modes(), "funnel": targets.benchmark("funnel10-std3")},
        {"exact": Exact()},
        seeds=4,
        distances=False,
    )
    assert [one.faults["exact"] for one in result.verdicts.values()] == [[], []]


UNKNOWN = (
    "mode_r_hat", "weight_ess", "pareto_k", "shape_error_se", "mode_error_se", "worst_mode", "worst_mode_true", "log_z",
    "log_z_se", "log_z_true",
)  # fmt: skip


def row(**changes):
    plain = {
        "target": "t", "sampler": "s", "seed": 0, "error": "", "draws": 1000, "r_hat": 1.0, "ess_bulk": 900.0,
        "divergences": 0, "mean_error_se": 1.0, "mean_error_sd": 0.1, "mean_error_at": "x[0]", "variables": 2,
        "shape_error": "", "shape_tests": 0,
    }  # fmt: skip
    return dict.fromkeys(UNKNOWN, math.nan) | plain | changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"r_hat": 1.02}, "its chains do not agree with one another (R-hat 1.020)"),
        ({"r_hat": 1.5, "mode_r_hat": 2.0}, "its chains do not mix between modes (R-hat 1.50, of modes 2.00)"),
        ({"divergences": 50}, "its proposals diverged, 5.0% of its draws"),
        ({"weight_ess": 0.01}, "only 1.0% of its weighted draws are effective"),
        ({"log_z": 1.0, "log_z_se": 0.1, "log_z_true": 0.0}, "its log Z is off by +1.000, 10.0 times its stated error"),
        ({"mean_error_se": 9.0}, "its mean of x[0] is off by 9.0 standard errors, 0.1 of a standard deviation"),
        (
            {"shape_error_se": 9.0, "shape_error": "its x[0] lies too low: so it does", "shape_tests": 8},
            "its x[0] lies too low: so it does (9.0 standard errors)",
        ),
        (
            {"mode_error_se": 9.0, "worst_mode": 0.3, "worst_mode_true": 0.5},
            "it gives a mode of weight 0.500 the weight 0.300 (9.0 standard errors)",
        ),
        ({"error": "timed out after 5 s"}, "the run failed (timed out after 5 s)"),
    ],
)
def test_each_fault_in_words(changes, said):
    facts = Facts("t", 2, False, moments={"x[0]": (0.0, 1.0)}, source="exact", mode_weights=[0.5, 0.5])
    (found,) = verdicts([row(**changes)], {"t": facts}, {}).values()
    assert found.faults == {"s": [said]}
    assert found.conclusion == "It cannot be believed."
    assert said in str(found)


def test_few_draws_are_a_caution_and_no_fault():
    facts = Facts("t", 2, False, moments={"x[0]": (0.0, 1.0)}, source="exact")
    (found,) = verdicts([row(ess_bulk=90.0, mean_error_se=9.0)], {"t": facts}, {}).values()
    assert found.faults == {"s": []}  # nine standard errors that nobody knows
    assert found.cautions == {"s": ["few effective draws (ESS 90, below 400)"]}
    assert found.conclusion == "s agrees with what is exactly known."


def test_alone_and_with_nothing_known():
    (found,) = verdicts([row()], {"t": Facts("t", 2, False)}, {}).values()
    assert found.conclusion == "Nothing speaks against s, and nothing confirms it."


def test_the_reference_is_named():
    facts = Facts("t", 2, False, moments={"x[0]": (0.0, 1.0)}, source="long HMC run", notes=["a remark"])
    (found,) = verdicts([row()], {"t": facts}, {"t": Together(None, [])}).values()
    assert found.conclusion == "s agrees with the long HMC run."
    assert str(found).endswith("a remark")


def test_the_largest_group_that_agrees():
    pairs = {frozenset(pair): "" for pair in ("ab", "ac", "ad", "bd")}
    assert _largest_group(list("abcd"), pairs) == {"b", "c"}
    assert _largest_group(list("abc"), {frozenset("ab"): "", frozenset("bc"): ""}) == {"a", "c"}
    assert _largest_group([], pairs) == set()


def test_the_limit_is_that_of_the_largest_of_many():
    assert limit(1) == pytest.approx(3.8906, abs=1e-3)
    z = torch.randn(200_000, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert 4 <= int((z.abs().amax(1) > limit(10)).sum()) <= 45  # 20 expected
