"""The kit itself: it lets right kernels pass, and rejects every seeded bug by name."""

import math

import pytest
import seeded_bugs
import torch
from hypothesis import given, settings, strategies as st
from kernel_cases import EXACT, diagonal_metric, skewed

import targets
from samplers import MALA, RandomWalkMetropolis
from samplers.testing import (
    check_detailed_balance,
    check_invariance,
    check_moves,
    check_reversible,
    check_stationary,
    metropolis_matrix,
    sequential,
    strategies,
    transition_matrix,
)
from samplers.testing.statistics import symmetric_signs, two_sample, uniform_ranks


@pytest.mark.parametrize("name", seeded_bugs.KERNELS)
def test_invariance_rejects(name):
    with pytest.raises(AssertionError, match="FAILED"):
        check_invariance(seeded_bugs.KERNELS[name], skewed(), seed=11)


def test_invariance_rejects_riemannian_without_determinant():
    with pytest.raises(AssertionError, match="FAILED"):
        check_invariance(seeded_bugs.RiemannianWithoutDeterminant(diagonal_metric, 0.4), skewed(), seed=12)


def test_invariance_rejects_a_wrong_log_jacobian():
    right = targets.Prior({"tau": targets.Positive(prior=torch.distributions.HalfNormal(1.0))})
    wrong = targets.Prior({"tau": seeded_bugs.PositiveWithoutJacobian(prior=torch.distributions.HalfNormal(1.0))})
    check_invariance(RandomWalkMetropolis(0.8), right, seed=13)
    with pytest.raises(AssertionError, match="FAILED"):
        check_invariance(RandomWalkMetropolis(0.8), wrong, seed=13)


@pytest.mark.parametrize(
    "name",
    [
        "MALA without the Hastings term",
        "MALA with a stale score",
        "HMC with an extra half kick",
        "ULA in place of MALA",
    ],
)
def test_reversibility_rejects(name):
    with pytest.raises(AssertionError, match="reversibility of .* FAILED"):
        check_reversible(seeded_bugs.KERNELS[name], skewed(), seed=14)


def test_a_kernel_that_never_moves_is_caught_by_the_movement_check_alone():
    class Still(RandomWalkMetropolis):
        def step(self, target, state, generator):
            _, info = super().step(target, state, generator)
            return state, info

    check_invariance(Still(0.5), skewed(), seed=15)
    with pytest.raises(AssertionError, match="have not moved"):
        check_moves(Still(0.5), skewed(), seed=15, steps=20)


def test_the_movement_check_reports_shares_and_limits():
    report = check_moves(MALA(0.3), skewed(), seed=15, steps=200, chains=200)
    assert report.passed
    assert (report.moved, report.chains, report.steps, report.most_gap) == (1.0, 200, 200, 0.1)
    assert str(report).startswith("moves of MALA on ")
    assert "100% of 200 chains moved in 200 steps" in str(report)


def test_a_check_without_exact_draws_names_where_to_get_them():
    two = targets.LogDensity(lambda x: -x.square().sum(-1), 2)
    with pytest.raises(ValueError, match=r"has no exact sampler.* targets.with_truth\(target\) finds it"):
        check_invariance(MALA(0.3), two)
    three = targets.LogDensity(lambda x: -x.square().sum(-1), 3)
    with pytest.raises(
        ValueError, match=r"has no exact sampler.*in one or two dimensions; of more, compare\(witnesses=\)"
    ):
        check_moves(MALA(0.3), three)


def test_a_kernel_that_stays_away_is_caught():
    with pytest.raises(AssertionError, match="Kolmogorov"):
        check_moves(RandomWalkMetropolis(0.02), skewed(), seed=16, steps=50)


def test_reports_name_the_statistic():
    report = check_invariance(MALA(0.3), skewed(), seed=17)
    assert report.passed
    assert report.worst in str(report)
    with pytest.raises(ValueError, match="has no exact sampler"):
        check_invariance(MALA(0.3), targets.LogDensity(lambda x: -x.square().sum(-1), 2))


# The rule


def test_false_alarms_are_as_rare_as_promised():
    """With uniform p-values and a level of 0.2, rejections over 2,000 runs stay below the level."""
    generator = torch.Generator().manual_seed(18)

    def p_values(stage, draws):
        return {str(i): float(p) for i, p in enumerate(torch.rand(5, generator=generator))}

    rejected = 0
    for _ in range(2000):
        try:
            sequential("null", 10, p_values, level=0.2)
        except AssertionError:
            rejected += 1
    assert rejected <= 0.2 * 2000 + 4 * math.sqrt(2000 * 0.2 * 0.8)


def test_suspicion_brings_more_draws():
    asked = []

    def p_values(stage, draws):
        asked.append(draws)
        return {"p": 1e-3 if stage < 2 else 0.5}

    assert sequential("suspicious", 100, p_values).stages == 3
    assert asked == [100, 400, 400]


@pytest.mark.parametrize("stat", ["location", "scale", "shape"])
def test_two_sample_p_values_are_uniform_under_the_null(stat):
    generator = torch.Generator().manual_seed(19)
    found = []
    for _ in range(400):
        a, b = torch.randn(2, 200, generator=generator).round(decimals=1)  # ties
        found.append(two_sample(a, b, "x", generator)[f"{stat} of x"])
    found = torch.tensor(found, dtype=torch.float64).sort().values
    gap = (found - torch.arange(1, 401) / 400).abs().max()
    # the asymptotic Kolmogorov p-value is conservative at 200 points, which shifts it up; Kolmogorov at level 1e-5
    assert gap < 2.4 / math.sqrt(400) + (0.08 if stat == "shape" else 0.0)


def test_a_nan_counts_as_the_largest_value():
    a, b = torch.randn(2, 4000, generator=torch.Generator().manual_seed(24), dtype=torch.float64)

    def p_values(instead):
        """With a sixth of the points replaced."""
        changed = torch.where(a < -1, instead, a)
        return two_sample(changed, b, "x", torch.Generator().manual_seed(25))

    assert p_values(torch.nan) == p_values(torch.inf) == p_values(1e3)
    assert p_values(-torch.inf) == p_values(-1e3)
    assert p_values(torch.nan)["location of x"] < 1e-20


def test_rank_and_sign_p_values():
    assert uniform_ranks(torch.arange(1000) % 10, 10) == pytest.approx(1.0)
    assert uniform_ranks(torch.zeros(1000, dtype=torch.long), 10) < 1e-100
    assert symmetric_signs(torch.zeros(5)) == 1.0
    assert symmetric_signs(torch.ones(100)) == pytest.approx(2 * 0.5**100)


# Finite spaces

LOG_PROB = torch.tensor([0.0, 1.3, -0.7, 0.4, 2.0], dtype=torch.float64)
PROPOSAL = torch.rand(5, 5, generator=torch.Generator().manual_seed(20), dtype=torch.float64)
PROPOSAL = PROPOSAL / PROPOSAL.sum(1, keepdim=True)


def test_metropolis_hastings_on_five_states():
    matrix = metropolis_matrix(PROPOSAL, LOG_PROB)
    assert check_stationary(matrix, LOG_PROB) < 1e-15
    assert check_detailed_balance(matrix, LOG_PROB) < 1e-15


def test_missing_hastings_term_is_found_without_statistics():
    accept = (LOG_PROB[None] - LOG_PROB[:, None]).clamp_max(0).exp()
    wrong = PROPOSAL * accept
    wrong = wrong + torch.diag(1 - wrong.sum(1))
    with pytest.raises(AssertionError, match="pi P differs from pi by"):
        check_stationary(wrong, LOG_PROB)
    with pytest.raises(AssertionError, match="the flow from state"):
        check_detailed_balance(wrong, LOG_PROB)


def test_what_is_not_a_number_is_refused():
    matrix = metropolis_matrix(PROPOSAL, LOG_PROB)
    hole = matrix.clone()
    hole[1, 3] = torch.nan
    for check in (check_stationary, check_detailed_balance):
        with pytest.raises(AssertionError, match="nan"):
            check(hole, LOG_PROB)
    unknown = LOG_PROB.clone()
    unknown[2] = torch.nan
    with pytest.raises(AssertionError, match="nan"):
        check_stationary(matrix, unknown)
    made = metropolis_matrix(PROPOSAL, unknown)
    assert bool(made[2].isnan().all() & made[:, 2].isnan().all())
    sparse = PROPOSAL * (1 - torch.eye(5, dtype=torch.float64).flip(0))
    assert bool(metropolis_matrix(sparse, unknown)[:, 2].isnan().all())  # also where the move is not proposed
    with pytest.raises(AssertionError, match="nan"):
        check_stationary(made, LOG_PROB)


def test_metropolis_matrix_with_moves_that_are_not_proposed_and_states_without_mass():
    proposal = torch.tensor(
        [[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.5, 0.0], [0.0, 0.5, 0.0, 0.5], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64
    )
    log_prob = torch.tensor([0.0, 1.0, -torch.inf, -torch.inf], dtype=torch.float64)
    matrix = metropolis_matrix(proposal, log_prob)
    assert matrix[1, 2] == 0
    assert matrix[2, 1] == 0.5
    assert matrix[0, 2] == matrix[0, 3] == 0
    torch.testing.assert_close(matrix.sum(1), torch.ones(4, dtype=torch.float64))
    check_stationary(matrix, log_prob)
    check_detailed_balance(matrix, log_prob)


def gibbs_outcomes(states, couplings, scan=(0, 1, 2)):
    """All outcomes of one systematic sweep of heat-bath updates of spins, as (probability, next states)."""
    branches = [(torch.ones(len(states), dtype=torch.float64), states)]
    for i in scan:
        grown = []
        for probability, s in branches:
            up = torch.sigmoid(2 * (s @ couplings[i]))
            for sign, share in ((1.0, up), (-1.0, 1 - up)):
                following = s.clone()
                following[:, i] = sign
                grown.append((probability * share, following))
        branches = grown
    return branches


def test_gibbs_sweep_on_three_spins_by_enumeration():
    couplings = torch.tensor([[0.0, 0.5, -0.3], [0.5, 0.0, 0.8], [-0.3, 0.8, 0.0]], dtype=torch.float64)
    states = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    log_prob = 0.5 * torch.einsum("ni,ij,nj->n", states, couplings, states)
    matrix = transition_matrix(lambda s: gibbs_outcomes(s, couplings), states)
    check_stationary(matrix, log_prob)
    with pytest.raises(AssertionError, match="the flow"):  # a systematic scan is not reversible
        check_detailed_balance(matrix, log_prob)
    doubled = transition_matrix(lambda s: gibbs_outcomes(s, 2 * couplings), states)
    with pytest.raises(AssertionError, match="pi P"):  # every edge counted twice
        check_stationary(doubled, log_prob)


def test_transition_matrix_names_bad_outcomes():
    states = torch.tensor([[0.0], [1.0]])
    with pytest.raises(ValueError, match="not among the states"):
        transition_matrix(lambda s: [(torch.ones(2), s + 5)], states)
    with pytest.raises(ValueError, match="probabilities sum to"):
        transition_matrix(lambda s: [(torch.full((2,), 0.5), s)], states)


# Strategies


@settings(max_examples=20, deadline=None, derandomize=True)
@given(target=strategies.targets(), kernel=strategies.kernels(), seed=st.integers(0, 2**32))
def test_any_kernel_on_any_target(target, kernel, seed):
    """The property that users will test: small samples here, any seed, and the promise of the rule."""
    check_invariance(kernel, target, seed=seed, chains=2000, steps=3)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.data())
def test_any_preconditioned_kernel(data):
    target = data.draw(strategies.gaussian_mixtures())
    check_invariance(data.draw(strategies.kernels(dim=target.dim)), target, seed=21, chains=2000, steps=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n for n in targets.benchmarks() if not n.startswith("lgcp") and "sample" in targets.benchmark(n).known]
)
def test_every_exact_sampler_agrees_with_its_density(name):
    """A random walk that leaves exp(log_prob) invariant leaves the exact sampler's law invariant only if they agree."""
    target = targets.benchmark(name, dtype=torch.float64)
    check_invariance(RandomWalkMetropolis(0.5 / math.sqrt(target.dim)), target, seed=22, chains=20_000, steps=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("seed", range(5))
def test_exact_kernels_pass_at_other_seeds_with_more_chains(name, seed):
    check_invariance(EXACT[name], skewed(), seed=100 + seed, chains=200_000)


def test_a_statistic_that_is_not_a_number_fails():
    with pytest.raises(AssertionError, match="FAILED"):
        sequential("a NaN", 100, lambda stage, draws: {"fine": 0.5, "broken": float("nan")})
    assert symmetric_signs(torch.tensor([1.0, -1.0, float("nan")])) == 0.0
