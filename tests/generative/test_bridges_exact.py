"""Bridges against exact answers, and the mistakes that these checks reject."""

import bridge_cases as cases
import pytest
from seeded_bugs_bridges import BUGS

CHECKS = [
    cases.check_gaussian_plan,
    cases.check_gaussian_quadrature,
    cases.check_gaussian_flow,
    cases.check_end_given_now,
    cases.check_draws,
    cases.check_path,
    cases.check_pinned,
    cases.check_backward_time,
    cases.check_loss,
    cases.check_moments,
    cases.check_start,
    cases.check_two_by_two,
    cases.check_weighted_rows,
    cases.check_point_drift,
    cases.check_weights_by_ends,
    cases.check_weights_by_path,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_exact(check):
    check()


@pytest.mark.parametrize("axes", [True, False])
def test_potentials(axes):
    cases.check_heat(axes)
    cases.check_conditional(axes)


@pytest.mark.parametrize("diagonal", [True, False])
def test_pieces_are_what_they_become(diagonal):
    cases.check_pieces(diagonal)


@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()


@pytest.mark.slow
def test_a_planted_plan_is_recovered():
    cases.check_recovered()
