"""Planted faults, each named in words by the verdict; and samplers without a fault, of whom nothing is said."""

import math

import arviz
import pytest
import torch
from compare_cases import DoubledJacobian, Exact, NarrowImportance, NoisyLangevin, OneMode
from scipy.stats import norm, t

import targets
from samplers import Cost, Draws, compare
from samplers.compare.believed import believed
from samplers.compare.facts import Facts
from samplers.compare.limits import limit, log_z_limit, r_hat_limit
from samplers.compare.verdict import largest_groups, verdicts


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


def test_what_is_furthest_from_the_truth_is_named_before_r_hat():
    """Fourteen of sixteen chains in one mode, two in the other: the standard errors are no help."""

    class Torn:
        def sample(self, target, *, seed=0):
            generator = torch.Generator().manual_seed(seed)
            x = torch.randn(16, 200, 2, generator=generator)
            x[:14, :, 0] += 4
            x[14:, :, 0] -= 4
            return Draws(x, target=target, cost=Cost(3200, 0, 0.01))

    first, *others = verdict(two_modes(), {"torn": Torn()}).faults["torn"]
    assert first.startswith("it gives a mode of weight 0.600 the weight 0.125")
    assert any("its chains do not mix between modes" in said for said in others)


def test_a_chain_stuck_in_one_mode_where_nothing_is_known():
    """Scouts find the other."""
    found = verdict(secret(two_modes()), {"one": Exact(), "two": Exact(stream=1), "stuck": OneMode()})
    assert found.faults["one"] == found.faults["two"] == []
    (said,) = found.faults["stuck"]
    assert said.startswith("mass is missed: a search that shares nothing with this run found 0.6")
    assert "one and two agree with one another" in found.conclusion


def test_one_against_two_where_nothing_is_known():
    """Two that agree stand against the one that does not, which is moved by so little that its log Z does not tell."""
    given = {"one": Exact(), "two": Exact(stream=1), "moved": Exact(0.3, stream=2)}
    found = verdict(secret(targets.Gaussian(torch.zeros(1))), given)
    assert found.faults["one"] == found.faults["two"] == []
    (said,) = found.faults["moved"]
    assert said.startswith("it disagrees with one and two: with one, ")
    assert "R-hat between them 1." in said
    assert "one and two agree with one another" in found.conclusion


def test_one_that_its_log_z_gives_away():
    found = verdict(secret(targets.Gaussian(torch.zeros(1))), {"right": Exact(), "moved": Exact(1.0, stream=2)})
    assert found.faults["right"] == []
    (said,) = found.faults["moved"]
    assert said.startswith("estimates of log Z disagree: by bridge sampling -")


@pytest.mark.slow
def test_noise_five_percent_too_large():
    target = targets.Gaussian(torch.zeros(2, dtype=torch.float64), torch.tensor([1.0, 0.5], dtype=torch.float64))
    found = verdict(target, {"noisy": NoisyLangevin(), "right": Exact()})
    assert found.faults["right"] == []
    said = " ".join(found.faults["noisy"])
    assert "is too heavy" in said or "its spread of x" in said
    assert "should be" in said


def test_weights_of_infinite_variance():
    target = targets.Gaussian(torch.zeros(3, dtype=torch.float64))
    found = verdict(target, {"narrow": NarrowImportance(), "right": Exact()})
    assert found.faults["right"] == []
    assert any("as if their variance were infinite (k-hat " in said for said in found.faults["narrow"])


def test_constants_are_listed_and_are_no_fault():
    class Drawn:
        def sample(self, target, *, seed=0):
            x = target.prior.sample(2000, generator=torch.Generator().manual_seed(seed))
            return Draws(x.reshape(8, 250, -1), target=target, cost=Cost(2000, 0, 0.01))

    class Stuck(Drawn):
        def sample(self, target, *, seed=0):
            draws = super().sample(target, seed=seed)
            draws.x[..., 1] = 0.3
            return draws

    target = targets.Posterior(
        log_likelihood=lambda a, b: 0 * a,
        parameters={name: targets.Real(prior=torch.distributions.Normal(0.0, 1.0)) for name in "ab"},
        derived=lambda a, b: {"c": torch.full_like(a, 0.1)},
    )
    found = verdict(target, {"right": Drawn(), "stuck": Stuck()})
    assert found.faults["right"] == []
    constant, of_log_z = found.faults["stuck"]
    assert constant == "all its draws of b are the same"
    assert of_log_z.startswith("estimates of log Z disagree: ")
    assert found.remarks[-1] == "the same in all draws of a run, as they may be: c"
    assert abs(found.log_z.value) < 5 * (found.log_z.value - found.log_z.lower) / norm.isf(0.025)


def test_a_wrong_jacobian():
    found = verdict(targets.benchmark("eight-schools"), {"doubled": DoubledJacobian(), "right": Exact()})
    assert found.faults["right"] == []
    assert any("its tau lies too high" in said for said in found.faults["doubled"])


def test_the_smaller_difference_that_r_hat_does_not_see():
    """A tenth of a deviation moves no R-hat above 1.01; the difference in standard errors does."""
    target = secret(targets.Gaussian(torch.zeros(1, dtype=torch.float64)))
    found = verdict(target, {"a": Exact(), "b": Exact(stream=1), "moved": Exact(0.1, stream=2)}, draws=4000)
    assert found.faults["a"] == found.faults["b"] == []
    (said,) = found.faults["moved"]
    assert "standard errors" in said
    assert "R-hat" not in said


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2])
def test_exact_draws_have_no_fault(seeds):
    """Long chains and short ones, with truth and without, two samplers and their differences."""
    given = {"a": Exact(), "b": Exact(stream=1), "short": (Exact(stream=2), {"draws": 30})}
    grid = {
        "modes": two_modes(),
        "funnel": targets.benchmark("funnel10-std3"),
        "spins": targets.Ising((4, 4), coupling=0.3),
        "secret": secret(targets.Gaussian(torch.zeros(10))),
    }
    result = compare(grid, given, seeds=seeds, distances=False)
    assert {name: dict(one.faults) for name, one in result.verdicts.items()} == {
        name: {"a": [], "b": [], "short": []} for name in grid
    }


def test_spins_that_do_not_know_of_each_other():
    """Every spin has the right law, and the energy is wrong."""

    class Coins:
        def sample(self, target, *, seed=0):
            g = torch.Generator().manual_seed(seed)
            x = torch.randint(2, (8, 250, target.dim), generator=g).to(target.dtype) * 2 - 1
            return Draws(x, target=target, cost=Cost(2000, 0, 0.01))

    found = verdict(targets.Ising((4, 4), coupling=0.3), {"coins": Coins(), "right": Exact()})
    assert found.faults["right"] == []
    assert "of the log-density is too heavy" in found.faults["coins"][0]


def test_right_marginals_that_are_independent():
    class Marginals(Exact):
        def sample(self, target, *, seed=0):
            draws = super().sample(target, seed=seed)
            return Draws(torch.stack([draws.x[..., 0], draws.x.flip(0)[..., 1]], -1), target=target, cost=draws.cost)

    target = targets.Gaussian(torch.zeros(2), covariance=torch.tensor([[1.0, 0.95], [0.95, 1.0]]))
    assert "log-density" in " ".join(verdict(target, {"marginals": Marginals()}).faults["marginals"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x * torch.nan, "2000 of its 2000 draws are not finite"),
        (lambda x: x.clone().fill_(0.3), "all its draws of x[0] are the same"),
        (lambda x: x[:, :4] + 100.0, "100.0% of its draws are above"),
    ],
)
def test_draws_that_are_no_draws(change, said):
    """Also where too few are effective for the usual limits."""

    class Changed(Exact):
        def sample(self, target, *, seed=0):
            draws = super().sample(target, seed=seed)
            return Draws(change(draws.x), target=target, cost=draws.cost)

    found = verdict(targets.Gaussian(torch.zeros(2)), {"changed": Changed(), "right": Exact()})
    assert found.faults["right"] == []
    assert said in found.faults["changed"][0]
    assert "right agrees" in found.conclusion


@pytest.mark.slow
def test_two_against_two_nobody_is_believed():
    """Moved by so little that their log Z does not tell."""
    given = {"a": Exact(), "b": Exact(stream=1), "c": Exact(0.3, stream=2), "d": Exact(0.3, stream=3)}
    found = verdict(secret(targets.Gaussian(torch.zeros(1))), given)
    assert found.conclusion == "None of the samplers can be believed:"
    assert found.faults["a"][0].startswith("it disagrees with c and d: with c, ")
    assert found.faults["c"][0].startswith("it disagrees with a and b: with a, ")


UNKNOWN = (
    "mode_r_hat", "weight_ess", "pareto_k", "shape_error_se", "mode_error_se", "worst_mode", "worst_mode_true", "log_z",
    "log_z_se", "log_z_true",
)  # fmt: skip


def row(**changes):
    plain = {
        "target": "t", "sampler": "s", "seed": 0, "error": "", "draws": 1000, "chains": 4, "r_hat": 1.0, "variables": 2,
        "ess_bulk": 900.0, "divergences": 0, "not_finite": 0, "stuck": [], "mean_error_se": 1.0,
        "mean_error_sd": 0.1, "mean_error_at": "x[0]", "shape_error": "", "shape_tests": 0,
    }  # fmt: skip
    found = dict.fromkeys(UNKNOWN, math.nan) | plain | changes
    believed = {"believed_log_z": found["log_z"], "believed_log_z_se": found["log_z_se"], "log_z_high": math.nan}
    return believed | found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"r_hat": 1.1}, "its chains do not agree with one another (R-hat 1.100)"),
        ({"r_hat": 1.5, "mode_r_hat": 2.0}, "its chains do not mix between modes (R-hat 1.50; of modes 2.00)"),
        (
            {"r_hat": 1.5, "mode_r_hat": math.inf},
            "its chains do not mix between modes (R-hat 1.50; one of them is never entered or left)",
        ),
        ({"divergences": 50}, "its proposals diverged, 5.0% of its draws"),
        ({"divergences": 5000}, "its proposals diverged, 5.0 for each of its draws"),
        ({"weight_ess": 0.01}, "only 1.0% of its weighted draws are effective"),
        ({"log_z": 1.0, "log_z_se": 0.1, "log_z_true": 0.0}, "its log Z is off by +1.000, 10.0 times its stated error"),
        ({"log_z": 3.0, "log_z_true": 0.0}, "its log Z is off by +3.000, and it states no error"),
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
    assert found.conclusion == "It cannot be believed:"
    assert said in str(found)


@pytest.mark.parametrize(("divergences", "fault"), [(90, False), (110, True)])
def test_a_sampler_s_usual_divergences_are_no_fault(divergences, fault):
    (found,) = verdicts([row(divergences=divergences, usual_divergences=0.1)], {"t": Facts("t", 2, False)}, {}).values()
    assert bool(found.faults["s"]) == fault


def test_few_draws_are_a_caution_and_no_fault():
    facts = Facts("t", 2, False, moments={"x[0]": (0.0, 1.0)}, source="exact")
    (found,) = verdicts([row(ess_bulk=90.0, mean_error_se=5.0)], {"t": facts}, {}).values()
    assert found.faults == {"s": []}
    assert found.cautions == {"s": ["few effective draws (ESS 90, below 400)"]}
    assert found.conclusion == "Nothing can be said of s: too few effective draws."
    (found,) = verdicts([row(ess_bulk=90.0, mean_error_se=9.0)], {"t": facts}, {}).values()
    assert found.faults["s"]  # but what is far off is


def test_alone_and_with_nothing_known():
    (found,) = verdicts([row(mean_error_se=math.nan)], {"t": Facts("t", 2, False)}, {}).values()
    assert found.conclusion.startswith("Nothing speaks against s, which is no proof: nothing exact is known here")
    assert "try a sampler of another kind" in found.conclusion


def of_one_pilot(**changes):
    """Rows of a and b, which share a pilot, and of c."""
    unknown = {"mean_error_se": math.nan}
    own = {"a": {"pilot": "annealing"}, "b": {"pilot": "annealing"}, "c": {}}
    return [row(sampler=name, **unknown, **more, **changes.get(name, {})) for name, more in own.items()]


def test_samplers_that_share_a_pilot_count_as_one():
    (found,) = verdicts(of_one_pilot(), {"t": Facts("t", 2, False)}, {}).values()
    first = found.conclusion.partition(". ")[0]
    assert first.startswith("a, b and c agree with one another, which is no proof: nothing exact is known here")
    assert "they count as 2, as a and b start from one pilot and count as one" in first
    assert "try a sampler of another kind, points from elsewhere (witnesses=, init=) or more seeds" in first
    (found,) = verdicts(of_one_pilot()[:2], {"t": Facts("t", 2, False)}, {}).values()
    assert "they start from one pilot and count as one" in found.conclusion
    (found,) = verdicts(of_one_pilot(c={"r_hat": 2.0}), {"t": Facts("t", 2, False)}, {}).values()
    assert found.conclusion.startswith("a and b agree")
    assert found.conclusion.endswith(". The others do not agree, or have a fault of their own:")


def test_one_log_z_to_believe():
    stated = {name: {"log_z": value, "log_z_se": 0.1} for name, value in zip("abc", (1.0, 1.1, 5.0), strict=True)}
    stated["c"]["r_hat"] = 2.0  # at fault, so that it does not count
    (found,) = verdicts(of_one_pilot(**stated), {"t": Facts("t", 2, False)}, {}).values()
    assert (found.log_z.value, found.log_z.estimates, found.log_z.independent) == (pytest.approx(1.05), 2, 1)
    assert found.log_z.upper - found.log_z.value == pytest.approx(norm.isf(0.025) * 0.1 / math.sqrt(2))
    assert found.log_z.standard_error == pytest.approx(0.1 / math.sqrt(2))
    said = (
        "log Z to believe: 1.050 +- 0.071, from two independent estimates, by a and b, which start from one pilot; "
        "between 0.911 and 1.189 in 95% of cases"
    )
    assert found.remarks == [said]
    known = [one | {"log_z_true": 1.0} for one in of_one_pilot(**stated)]
    (found,) = verdicts(known, {"t": Facts("t", 2, False, log_z=1.0)}, {}).values()
    assert found.log_z is None
    assert found.remarks == ["log Z is exactly 1"]
    assert "nothing exact is known here but log Z" in found.conclusion


def test_the_interval_is_no_narrower_than_the_spread():
    """Two runs that differ by more than they state: Student's interval for their mean."""
    found = believed({"a": [row(log_z=1.0, log_z_se=0.01), row(log_z=1.2, log_z_se=0.01)]}, {"a": "a"})
    assert found.upper - found.value == pytest.approx(t.isf(0.025, 1) * 0.1)
    found = believed({"a": [row(log_z=1.0), row(log_z=1.2)]}, {"a": "a"})  # that state no error at all
    assert found.upper - found.value == pytest.approx(t.isf(0.025, 1) * 0.1)
    hidden = row(log_z=1.0, log_z_se=0.1, log_z_high=1.0 + 2 * 0.1 + 0.3)  # mass that nobody may have found
    found = believed({"a": [hidden]}, {"a": "a"})
    assert found.upper - found.value == pytest.approx(found.value - found.lower + 0.3)
    found = believed({"a": [row(log_z=1.0)]}, {"a": "a"})
    assert math.isnan(found.lower)
    assert str(found) == "log Z to believe: 1, of unknown error, from one estimate, by a"
    assert believed({"a": [row()]}, {"a": "a"}) is None


@pytest.mark.parametrize("understated", [1.0, 3.0])
def test_the_interval_covers(understated):
    g, covered, n = torch.Generator().manual_seed(0), 0, 2000
    for values in torch.randn(n, 5, generator=g, dtype=torch.float64).tolist():
        found = believed({"a": [row(log_z=v, log_z_se=1 / understated) for v in values]}, {"a": "a"})
        covered += found.lower < 0 < found.upper
    assert covered / n > 0.95 - 5 * math.sqrt(0.95 * 0.05 / n)


@pytest.mark.slow
def test_agreements_and_verdict_have_one_limit():
    """Where R-hat alone would say otherwise: a tenth of a deviation, and chains so short that R-hat moves by chance."""
    target = secret(targets.Gaussian(torch.zeros(1, dtype=torch.float64)))
    given = {"a": Exact(), "b": Exact(stream=1), "moved": Exact(0.1, stream=2)}
    result = compare({"it": target}, given, distances=False, draws=4000)
    found = result.agreements["it"]
    assert found.r_hat < 1.01
    assert not found.agree
    assert set(found.apart) == {frozenset(("a", "moved")), frozenset(("b", "moved"))}
    assert found.apart[frozenset(("a", "moved"))] in result.verdicts["it"].faults["moved"][0]
    assert "moved disagree: " in str(found)
    result = compare({"it": target}, {"a": Exact(), "b": Exact(stream=1)}, distances=False, draws=30, seeds=[6])
    found = result.agreements["it"]
    assert found.r_hat > 1.01
    assert found.agree
    assert str(found).startswith("the samplers agree: they differ by at most ")
    assert result.verdicts["it"].faults == {"a": [], "b": []}


def test_the_reference_is_named():
    facts = Facts("t", 2, False, moments={"x[0]": (0.0, 1.0)}, source="long HMC run", notes=["a remark"])
    (found,) = verdicts([row()], {"t": facts}, {}).values()
    assert found.conclusion == "s agrees with the long HMC run."
    assert str(found).endswith("a remark")


def test_the_largest_groups_that_agree():
    pairs = {frozenset(pair): "" for pair in ("ab", "ac", "ad", "bd")}
    assert largest_groups(list("abcd"), pairs) == [{"b", "c"}, {"c", "d"}]
    assert largest_groups(list("abc"), {frozenset("ab"): "", frozenset("bc"): ""}) == [{"a", "c"}]
    assert largest_groups([], pairs) == [set()]


@pytest.mark.parametrize(("chains", "draws", "variables"), [(4, 60, 1), (8, 50, 20), (16, 400, 5)])
def test_r_hat_of_independent_chains_is_below_its_limit(chains, draws, variables):
    limit = r_hat_limit({"chains": chains, "draws": chains * draws, "variables": variables})
    g = torch.Generator().manual_seed(7)
    found = [float(arviz.rhat(torch.randn(chains, draws, generator=g).numpy())) for _ in range(max(40, 4 * variables))]
    assert max(found) < limit < 1.25
    assert r_hat_limit({"chains": 4, "draws": 4_000_000, "variables": 1}) == 1.01


def test_log_z_from_replicates_has_the_limit_of_student():
    assert log_z_limit({"log_z_replicates": 1}) == limit(1)
    assert log_z_limit({"log_z_replicates": 4}) == pytest.approx(28.0, abs=0.1)  # P(|t_3| > 28.0) = 1e-4


def test_the_limit_is_that_of_the_largest_of_many():
    assert limit(1) == pytest.approx(3.8906, abs=1e-3)
    z = torch.randn(200_000, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert 4 <= int((z.abs().amax(1) > limit(10)).sum()) <= 45  # 20 expected
