"""Agreement between samplers and mixing between modes, on draws whose faults are known."""

import math

import pytest
import torch

import targets
from samplers import Draws
from samplers.diagnostics import agreement, mode_mixing

TWO = targets.GaussianMixture(torch.tensor([[-5.0, 0.0], [5.0, 0.0]]), scales=1.0, weights=[0.7, 0.3])


def exact(target=TWO, chains=4, draws=500, seed=0):
    x = target.sample(chains * draws, generator=torch.Generator().manual_seed(seed))
    return Draws(x.reshape(chains, draws, -1), target=target)


def changed(draws, function):
    return Draws(function(draws.x.clone()), target=draws.target)


def test_samplers_of_one_law_agree():
    found = agreement({"a": exact(seed=0), "b": exact(seed=1), "c": exact(chains=1, draws=2000, seed=2)})
    assert found.agree
    assert len(found.pairs) == 3
    assert str(found).startswith("the samplers agree")


def test_the_pair_and_the_variable_that_disagree_are_named():
    def shifted(x):
        x[..., 1] += 1.5
        return x

    found = agreement({"a": exact(seed=0), "wrong": changed(exact(seed=1), shifted), "c": exact(seed=2)})
    assert not found.agree
    assert "wrong" in found.pair
    assert found.variable == "x[1]"
    assert found.pairs["a", "c"][0] < 1.02
    assert "wrong disagree on x[1]" in str(found) or "wrong and c disagree on x[1]" in str(found)


ONE = targets.Gaussian(torch.zeros(1), 1.0)


def test_few_effective_draws_are_too_few_to_tell_and_not_a_disagreement():
    """20 pairs of exact samplers, each called wrong with chance 1e-4; four copies in a row are worth one draw."""
    above = 0
    for seed in range(20):
        one, other = (exact(ONE, chains=8, draws=30, seed=1000 * part + seed) for part in (1, 2))
        found = agreement({"one": one, "other": changed(other, lambda x: x.repeat_interleave(4, 1))})
        assert not found.disagree, str(found)
        if not found.agree:
            above += 1
            assert "too few draws to tell" in str(found)
            assert "wrong" not in str(found)
    assert above > 10  # of R-hat above 1.01, which chance leaves


def test_as_many_draws_that_differ_disagree():
    shifted = changed(exact(ONE, chains=8, draws=60, seed=1), lambda x: x + 1.0)
    found = agreement({"one": exact(ONE, chains=8, draws=60), "other": shifted})
    assert found.disagree
    assert "One of them is wrong, or both" in str(found)


def test_a_few_weighted_draws_are_worth_no_more_than_their_weights_say():
    x = exact(ONE, chains=1, draws=400).x
    log_weights = torch.zeros(1, 400)
    log_weights[:, :10] = 6.0  # ten draws have nearly all the weight
    found = agreement({"few": Draws(x, log_weights=log_weights, target=ONE), "exact": exact(ONE, seed=1)})
    assert not found.agree
    assert not found.disagree
    assert "few" in found.pair
    assert "too few draws to tell" in str(found)


def test_chains_too_short_for_r_hat_are_too_few():
    found = agreement({"a": exact(ONE, chains=1, draws=8), "b": exact(ONE, chains=1, draws=8, seed=1)})
    assert not found.agree
    assert not found.disagree
    assert "too few draws to tell" in str(found)


def test_variables_have_the_labels_of_the_summary():
    target = targets.Posterior(
        lambda beta: -0.5 * beta.square().sum(-1),
        {"beta": targets.Real(2, dims="of")},
        coords={"of": ["sex", "age"]},
    )
    draws = Draws(exact(targets.Gaussian(torch.zeros(2), 1.0)).x.double(), target=target)
    moved = Draws(draws.x + torch.tensor([0.0, 1.5]), target=target)
    assert agreement({"a": draws, "moved": moved}).variable == "beta[age]"
    assert "beta[age]" in draws.summary().index


def test_a_sampler_stuck_in_one_mode_disagrees_although_its_chains_agree():
    stuck = changed(exact(seed=1), lambda x: torch.stack([-x[..., 0].abs(), x[..., 1]], -1))
    again = changed(exact(seed=2), lambda x: torch.stack([-x[..., 0].abs(), x[..., 1]], -1))
    assert not agreement({"a": exact(seed=0), "stuck": stuck}).agree
    assert agreement({"stuck": stuck, "again": again}).agree


def test_a_spread_that_is_wrong_is_seen_by_folded_ranks():
    wide = changed(exact(targets.Gaussian(torch.zeros(1), 1.0)), lambda x: 2 * x)
    assert agreement({"a": exact(targets.Gaussian(torch.zeros(1), 1.0), seed=1), "wide": wide}).r_hat > 1.05


def test_draws_that_never_move_are_the_worst_pair():
    still = changed(exact(seed=1), torch.zeros_like)
    found = agreement({"a": exact(), "still": still})
    assert not found.agree


def test_weighted_draws_count_by_their_weights():
    uniform = 20 * torch.rand(1, 20_000, 2, generator=torch.Generator().manual_seed(3)) - 10
    weighted = Draws(uniform, log_weights=TWO.log_prob(uniform).double(), target=TWO)
    assert agreement({"exact": exact(draws=2000), "weighted": weighted}).r_hat < 1.02


def test_independent_draws_mix_between_modes():
    found = mode_mixing(exact(chains=4, draws=2000))
    torch.testing.assert_close(found.weights, torch.tensor([0.7, 0.3], dtype=torch.float64), atol=0.03, rtol=0)
    assert found.worst_r_hat < 1.01
    assert found.least_ess > 4000
    assert found.crossings == pytest.approx(2000 * 2 * 0.7 * 0.3, rel=0.1)


def test_chains_that_never_cross_have_no_effective_draws():
    apart = changed(
        exact(), lambda x: torch.stack([x[..., 0].abs() * torch.tensor([[1.0], [-1], [1], [-1]]), x[..., 1]], -1)
    )
    found = mode_mixing(apart)
    assert found.worst_r_hat == math.inf
    assert found.least_ess == 0
    assert found.crossings == 0


def test_a_chain_that_crosses_seldom_has_few_effective_draws_of_the_mode():
    """Four chains that change their mode every hundred draws: within a mode they are fresh, the label is not."""
    x = exact(draws=1000).x
    side = torch.where((torch.arange(1000) // 100) % 2 == 0, 1.0, -1.0) * torch.tensor([[1.0], [1], [-1], [-1]])
    slow = Draws(torch.stack([x[..., 0].abs() * side, x[..., 1]], -1), target=TWO)
    found = mode_mixing(slow)
    assert found.least_ess < 200
    assert found.crossings == 9


def test_a_mode_that_no_chain_visits_has_no_r_hat():
    alone = changed(exact(), lambda x: torch.stack([-x[..., 0].abs(), x[..., 1]], -1))
    found = mode_mixing(alone)
    assert found.weights.tolist() == [1.0, 0.0]
    assert found.r_hat.isnan().all()
    assert math.isnan(found.worst_r_hat)  # one would say that all is well
    assert found.least_ess == 0


REFUSED = {
    "draws: got 1 samplers, expected at least two": lambda: agreement({"a": exact()}),
    "draws: b has the variables .* a has": lambda: agreement(
        {"a": exact(), "b": exact(targets.Gaussian(torch.zeros(3), 1.0))}
    ),
    "draws: got 5 of x in one chain, expected at least 8": lambda: agreement(
        {"a": exact(), "b": exact(chains=1, draws=5)}
    ),
    "draws: got draws of a target without known modes": lambda: mode_mixing(
        exact(targets.Gaussian(torch.zeros(2), 1.0))
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()
