"""A user's own density in one or two dimensions, judged against quadrature as a benchmark is against what it states."""

import pytest
import torch
from compare_cases import Exact, OneMode

import samplers
import targets
from samplers import compare
from samplers.compare.truth import with_truths

DOUBLE = torch.float64


def own():
    """Two modes, of which nothing is stated."""
    mixture = targets.GaussianMixture(
        torch.tensor([[-4.0, 0.0], [4.0, 0.0]], dtype=DOUBLE), scales=1.0, weights=[0.6, 0.4]
    )
    return targets.LogDensity(mixture.log_prob, 2, dtype=DOUBLE, name="own")


def test_faults_are_named_against_the_truth_by_quadrature():
    found = compare({"own": own()}, {"exact": Exact(), "half": OneMode(), "off": Exact(shift=0.3)}, truth=True, seeds=1)
    verdict = found.verdicts["own"]
    assert verdict.faults["exact"] == []
    assert any("it misses the mode of weight 0.4" in said for said in verdict.faults["half"])
    assert verdict.faults["off"]
    assert any(said.startswith("the truth is by quadrature: log Z to ") for said in verdict.remarks)
    assert verdict.conclusion.startswith("exact agrees with what is exactly known")
    row = next(row for row in found.rows if row["sampler"] == "exact")
    assert row["mean_error_se"] < 5


def test_which_targets_are_looked_at():
    three = targets.LogDensity(lambda x: -x.square().sum(-1), 3)
    known = targets.Gaussian([0.0])
    heavy = targets.LogDensity(lambda x: 0 * x[:, 0], 1, dtype=DOUBLE, name="flat")
    given = {"own": own(), "three": three, "known": known, "flat": heavy}
    found, remarks = with_truths(given)
    assert isinstance(found["own"], targets.WithTruth)
    assert (found["three"], found["known"], found["flat"]) == (three, known, heavy)
    assert set(remarks) == {"own", "flat", "three"}
    for word in ("one or two dimensions and three has 3", "reference=True", "witnesses=", "modes= of a LogDensity"):
        assert word in remarks["three"]
    assert "quadrature does not tell the truth: target: the integral of flat is infinite" in remarks["flat"]
    assert not isinstance(given["own"], targets.WithTruth)


def test_a_named_mode_that_draws_lack_is_a_doubt():
    """As of a benchmark's witnesses: the certificate measures the mass around modes that a user states."""
    density = own().log_prob

    def narrow(x):  # a tenth of the mass where no path from the rest leads
        spike = -0.5 * ((x - 30.0) / 1e-3).square().sum(-1) - 2 * torch.log(
            torch.tensor(1e-3 * 6.28**0.5, dtype=DOUBLE)
        )
        return torch.logaddexp(density(x), spike - 2.0)

    unnamed = targets.LogDensity(narrow, 2, dtype=DOUBLE)
    named = targets.LogDensity(narrow, 2, dtype=DOUBLE, modes=[[-4.0, 0.0], [4.0, 0.0], [30.0, 30.0]])
    draws = own()
    x = targets.with_truth(draws).sample(2000, generator=torch.Generator().manual_seed(0)).reshape(4, 500, 2)
    assert samplers.Draws(x, target=unnamed).certificate.doubts == ()
    certificate = samplers.Draws(x, target=named).certificate
    assert certificate.missed == pytest.approx(0.135, abs=0.02)
    assert certificate.missed_at == pytest.approx((30.0, 30.0), abs=0.01)
    assert len(certificate.doubts) == 1


def test_exact_draws_without_both_moments_are_said_not_to_judge_means():
    class Own(targets.Target):
        log_z = 0.0

        def log_prob(self, x):
            return -0.5 * x.square().sum(-1) - 3 * torch.log(torch.tensor(2 * torch.pi, dtype=x.dtype))

        def sample(self, n, *, generator):
            return torch.randn(n, 6, generator=generator, dtype=DOUBLE)

    found = compare({"own": Own(6, dtype=DOUBLE)}, {"exact": Exact()}, seeds=1, distances=False)
    said = [
        one for one in found.verdicts["own"].remarks if "states exact draws, but not both mean and covariance" in one
    ]
    assert len(said) == 1
