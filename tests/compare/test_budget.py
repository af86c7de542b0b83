"""Runs of the length that a budget allows."""

import functools

import pytest
import torch

import samplers
import targets
from samplers import Cost, Draws, compare
from samplers.compare import limits
from samplers.compare.budget import AIM, Budget, OverBudget, evaluations, spend
from samplers.compare.filled import ENOUGH


class Costing:
    """A run costs fixed + each * draws."""

    def __init__(self, fixed, each):
        self.fixed, self.each, self.runs = fixed, each, []

    def sample(self, target, *, draws=1000, warmup=500, seed=0):
        self.runs.append(draws)
        spent = int(self.fixed + self.each * draws)
        return Draws(torch.zeros(1, draws, 1), cost=Cost(spent, 0, spent / 1000))


@pytest.mark.parametrize(("fixed", "each"), [(0, 1), (0, 7), (500, 3), (9000, 1), (0, 700), (3, 0.1)])
@pytest.mark.parametrize("budget", [Budget(10_000), Budget(seconds=10.0), Budget(10_000, 20.0)])
def test_a_run_uses_most_of_its_budget_and_no_more(fixed, each, budget):
    sampler = Costing(fixed, each)
    draws = spend(lambda options: sampler.sample(None, **options), sampler, {}, budget).draws
    share = budget.share(draws.cost)
    step = each / 10_000  # what one draw more costs
    assert min(ENOUGH, 1 - 1.5 * step) <= share <= 1
    assert sum(sampler.runs) <= (1 / AIM + 1.5) * max(sampler.runs) + 5 * 16  # the trials are short beside the run


def test_a_budget_below_the_shortest_run():
    sampler = Costing(20_000, 1)
    with pytest.raises(OverBudget, match="the shortest run \\(draws=1, warmup=1\\) took 2 times the budget of 10,000"):
        spend(lambda options: sampler.sample(None, **options), sampler, {}, Budget(10_000))


def test_the_length_must_be_open():
    sampler = Costing(0, 1)
    with pytest.raises(ValueError, match="draws: given beside a budget"):
        spend(lambda options: sampler.sample(None, **options), sampler, {"draws": 10}, Budget(10_000))


class Learning:
    """Learns from `samples` draws of a teacher, each of which costs 10; the weights cost 100."""

    def sample(self, target, *, draws=100, samples=16_000, iterations=4000, seed=0):
        self.length = samples, iterations
        return Draws(torch.zeros(1, draws, 1), cost=Cost(10 * samples + draws, 0, 0.1))


def test_what_learns_from_a_teacher_grows_in_both():
    sampler = Learning()
    draws = spend(lambda options: sampler.sample(None, **options), sampler, {}, Budget(100_000)).draws
    assert ENOUGH <= Budget(100_000).share(draws.cost) <= 1
    samples, iterations = sampler.length
    assert samples == 16 * iterations > 100
    spend(lambda options: sampler.sample(None, **options), sampler, {"samples": 500}, Budget(5200))


class Anything(Costing):
    """Takes what the sampler behind it takes."""

    def sample(self, target, **options):
        return super().sample(target, **options)


class NoWarmup(Costing):
    def sample(self, target, **options):
        assert options.keys() <= {"draws", "seed"}, options
        return super().sample(target, **options)


class Iterates(Costing):
    def sample(self, target, **options):
        return super().sample(target, draws=options["iterations"])


class Positional(Costing):
    def sample(self, target, draws, seed=0):
        return super().sample(target, draws=draws)


def partial():
    sampler = Costing(0, 1)
    sampler.sample = functools.partial(sampler.sample, draws=7, seed=3)
    return sampler


class Decorated(Costing):
    @functools.wraps(Costing.sample)
    def sample(self, *arguments, **options):
        return super().sample(*arguments, **options)


def called():
    sampler = Costing(0, 1)

    class Verb:
        def __call__(self, target, *, draws, seed=0):
            return Costing.sample(sampler, target, draws=draws)

    sampler.sample = Verb()
    return sampler


WAYS = {
    "any options": (lambda: Anything(0, 1), {}),
    "any options, warmup refused": (lambda: NoWarmup(0, 1), {}),
    "any options, draws given": (lambda: Iterates(0, 1), {"draws": 100}),
    "by position": (lambda: Positional(0, 1), {}),
    "partial": (partial, {}),
    "decorated": (lambda: Decorated(0, 1), {}),
    "an object that is called": (called, {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_however_the_verb_is_written(way):
    make, given = WAYS[way]
    sampler, budget = make(), Budget(10_000)
    draws = spend(lambda options: sampler.sample(None, **options), sampler, given, budget).draws
    assert ENOUGH <= budget.share(draws.cost) <= 1


def test_warmup_is_open_too_behind_any_options():
    seen = []

    class Watched(Anything):
        def sample(self, target, **options):
            seen.append(options)
            return super().sample(target, **options)

    sampler = Watched(0, 1)
    spend(lambda options: sampler.sample(None, **options), sampler, {}, Budget(1000))
    assert all(one["warmup"] == max(1, one["draws"] // 2) for one in seen)


class Fixed(Costing):
    def sample(self, target, *, points=3, seed=0):
        return super().sample(target, draws=points)


class ByPlace(Costing):
    def sample(self, target, draws=3, /):
        return super().sample(target, draws=draws)


def test_a_sampler_without_a_length_is_told_so():
    for sampler in (Fixed(0, 1), ByPlace(0, 1)):
        with pytest.raises(ValueError, match="sample takes neither draws= nor iterations= by name"):
            spend(lambda options: pytest.fail("was run"), sampler, {}, Budget(1000))
    sampler = Anything(0, 1)
    with pytest.raises(ValueError, match="draws: given beside a budget"):
        spend(lambda options: sampler.sample(None, **options), sampler, {"draws": 10}, Budget(1000))
    fault = ZeroDivisionError("its own")

    class Faulty(Costing):
        def sample(self, target, **options):
            raise fault

    sampler = Faulty(0, 1)
    with pytest.raises(ZeroDivisionError, match="its own"):
        spend(lambda options: sampler.sample(None, **options), sampler, {}, Budget(1000))


class Behind:
    """A sampler of a user's that hands on what it is given."""

    def __init__(self, inner):
        self.inner = inner

    def sample(self, target, **options):
        return self.inner.sample(target, **options)


@pytest.mark.slow
def test_a_comparison_of_samplers_that_take_any_options():
    target = targets.Gaussian(torch.zeros(2), torch.tensor([1.0, 2.0]))
    given = {"mala": (Behind(samplers.MALA(0.5)), {"chains": 8}), "svgd": (Behind(samplers.SVGD()), {"draws": 20})}
    result = compare({"plane": target}, given, max_evaluations=3000, distances=False)
    assert list(result.table["error"]) == [""] * 2
    assert result.table["budget_share"].between(ENOUGH, 1).all(), result.table["budget_share"]


@pytest.mark.slow
def test_options_for_all_reach_a_sampler_that_takes_any():
    given = {"mala": samplers.MALA(0.5), "behind": Behind(samplers.MALA(0.5))}
    options = {"chains": 3, "draws": 20, "warmup": 0}
    result = compare({"plane": targets.Gaussian(torch.zeros(2))}, given, distances=False, **options)
    assert torch.equal(result.draws["plane", "mala", 0].x, result.draws["plane", "behind", 0].x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "max_evaluations: got 0"), ((None, -1.0), "max_seconds: got -1"), ((2.5,), "max_evaluations: got 2.5")],
)
def test_bad_budgets(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Budget(*arguments)


def test_the_share_is_that_of_the_scarcer():
    cost = Cost(300, 400, 2.0)
    assert Budget(1000).share(cost) == pytest.approx(0.4)
    assert Budget(seconds=8.0).share(cost) == pytest.approx(0.25)
    assert Budget(1000, 2.5).share(cost) == pytest.approx(0.8)
    assert Budget().share(cost) == 0.0


def test_evaluations_are_the_larger_count():
    assert evaluations(Cost(3, 7)) == evaluations(Cost(7, 3)) == 7


@pytest.mark.slow
def test_real_samplers_meet_a_budget_of_evaluations():
    target = targets.Gaussian(torch.zeros(2), torch.tensor([1.0, 2.0]))
    given = {
        "mala": samplers.MALA(),
        "hmc": samplers.HMC(),
        "smc": samplers.SMC(base=targets.Gaussian(torch.zeros(2), 3.0)),
        "svgd": (samplers.SVGD(), {"draws": 100}),
    }
    result = compare({"plane": target}, given, max_evaluations=100_000, chains=64, distances=False)
    assert list(result.table["error"]) == [""] * 4
    assert result.table["budget_share"].between(ENOUGH, 1).all(), result.table["budget_share"]
    assert (result.table["evaluations"] <= 100_000).all()


def test_a_budget_that_cannot_be_met_is_a_row():
    target = targets.Gaussian(torch.zeros(2))
    result = compare({"plane": target}, {"smc": samplers.SMC()}, max_evaluations=10, distances=False)
    assert result.table["error"][0].startswith("OverBudget: the shortest run (draws=1) took")


@pytest.mark.parametrize("budget", [4000, 40_000])
@pytest.mark.parametrize("sampler", [samplers.HMC(), samplers.MALA()], ids=["hmc", "mala"])
def test_chains_end_where_the_budget_does(sampler, budget):
    """With warmup that changes what a step costs; the search beside it is short."""
    target = targets.Gaussian(torch.zeros(3), torch.tensor([0.1, 1.0, 10.0]))
    spent = spend(
        lambda options: sampler.sample(target, seed=1, progress=False, **options), sampler, {}, Budget(budget)
    )
    assert 0.9 <= evaluations(spent.draws.cost) / budget <= 1
    assert evaluations(spent.search) / budget < (0.3 if budget < 10_000 else 0.1)
    chains, draws = spent.draws.x.shape[:2]
    assert 4 <= chains <= 64
    assert spent.draws.attrs["draws"] == draws
    # they are the first draws of a run that is asked for by its length
    again = sampler.sample(
        target, seed=1, chains=chains, draws=draws, warmup=spent.draws.attrs["warmup"], progress=False
    )
    assert torch.equal(again.x, spent.draws.x)


def test_chains_that_were_given_stay():
    target = targets.Gaussian(torch.zeros(2))
    given = {"chains": 8, "warmup": 5, "progress": False}
    sampler = samplers.MALA(0.5)
    draws = spend(lambda options: sampler.sample(target, **options), sampler, given, Budget(5000)).draws
    assert draws.x.shape[0] == 8
    assert draws.attrs["warmup"] == 5
    assert evaluations(draws.cost) / 5000 > 0.9


def test_a_budget_that_is_not_used_is_a_caution():
    row = {"target": "t", "sampler": "s", "seed": 0, "error": "", "budget_share": 0.29}
    assert limits.BUDGET.said([row]) == ["it used only 29% of its budget: no length was found that uses more"]
    assert limits.BUDGET.said([row | {"budget_share": 0.93}, row | {"budget_share": float("nan")}]) == []
