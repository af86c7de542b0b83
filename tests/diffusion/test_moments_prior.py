"""The Gaussian of the target's moments as what paths start from."""

import moments_prior_cases as cases
import pytest
import torch
from diffusion_cases import TARGETS, Weights, method, untrained
from seeded_bugs_moments_prior import BUGS

import samplers
from samplers.networks import ResidualMLP
from samplers.testing import check_unbiased_z

CHECKS = [value for name, value in vars(cases).items() if name.startswith("check_")]
pytestmark = pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")  # nothing is trained


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_moments(check):
    check()


@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize("name", ["CMCD", "DDS", "DIS"])
def test_z_is_unbiased(name):
    """On the line, whose components are narrower than the whole: weights have a variance."""
    fitted = untrained(method(name, "line", prior="moments"), TARGETS["line"], size=0.35)
    assert fitted.space.source == "the target's moments"
    check_unbiased_z(Weights(fitted), TARGETS["line"], seed=1, draws=64)


def test_files_hold_it(tmp_path):
    fitted = cases.fitted(cases.TILTED, network=ResidualMLP(width=8, layers=1, features=4))
    loaded = samplers.load(fitted.save(tmp_path / "file"), cases.TILTED)
    assert loaded.method.prior == "moments"
    assert torch.equal(loaded.sample(draws=20).x, fitted.sample(draws=20).x)


def test_no_pilot_is_paid_for_where_moments_are_known():
    known, hidden = (cases.fitted(law, samplers.DDS) for law in (cases.TILTED, cases.Hidden(cases.TILTED)))
    assert known.cost.score == 0 or known.cost.score < 0.1 * hidden.cost.score
