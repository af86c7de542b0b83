"""Samples as data: where they come from, weights, splits, batches, what is refused."""

import math

import pytest
import score_matching_cases as cases
import torch
from score_matching_cases import F64, MIXTURE, seeded

import samplers
import targets
from samplers import Draws
from samplers.generative import Samples, Standardisation


def test_batches_follow_the_weights():
    cases.check_batches()


def test_splits():
    cases.check_split()


def test_from_a_target_and_its_draws():
    from_target = Samples.of(MIXTURE, rows=100, generator=seeded(1))
    assert torch.equal(from_target.x, MIXTURE.sample(100, generator=seeded(1)))
    draws = samplers.MALA(0.3).sample(MIXTURE, chains=3, draws=40, warmup=0, seed=0)
    found = Samples.of(draws)
    assert torch.equal(found.x, draws.x.reshape(120, 2))
    assert found.groups.unique().tolist() == list(range(30))  # ten blocks of each chain
    weighted = samplers.SMC(samplers.MALA(0.3), base=targets.Gaussian(torch.zeros(2, dtype=F64), scale=3.0))
    drawn = weighted.sample(MIXTURE, draws=200, seed=0)
    found = Samples.of(drawn)
    torch.testing.assert_close(found.moments[0], drawn.log_weights[0].double().softmax(0) @ drawn.x[0])


def test_split_of_rows_by_a_generator():
    samples = Samples.of(torch.arange(40.0).reshape(20, 2))
    first, second = (samples.split(0.25, seeded(3)) for _ in range(2))
    assert torch.equal(first[0].x, second[0].x)
    assert len(first[1].x) == 5
    assert not torch.equal(first[1].x, samples.split(0.25, seeded(4))[1].x)


def bad(value):
    x = torch.randn(10, 3, generator=seeded())
    x[4, 1] = value
    return x


def constant():
    x = torch.randn(10, 3, generator=seeded())
    x[:, 2] = 7.0
    return x


def weighted(log_weights):
    return Draws(torch.randn(1, len(log_weights), 3, generator=seeded()), log_weights=torch.tensor([log_weights]))


def unnormalised():
    return targets.LogDensity(lambda x: -x.square().sum(-1), dim=2, name="energy")


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        (bad(math.nan), ValueError, "samples: got nan in row 4, column 1, expected finite numbers"),
        (bad(-math.inf), ValueError, "samples: got -inf in row 4, column 1, expected finite numbers"),
        (constant(), ValueError, "samples: column 2 is 7 in every row, expected values that differ"),
        (torch.randn(3, 3), ValueError, "samples: got 3 rows in 3 dimensions, expected more rows than dimensions"),
        (torch.randn(10), ValueError, r"samples: got shape \(10,\), expected \(n, dim\)"),
        (torch.randn(2, 5, 3), ValueError, r"samples: got shape \(2, 5, 3\), expected \(n, dim\)"),
        (torch.zeros(0, 3), ValueError, r"samples: got shape \(0, 3\), expected \(n, dim\)"),
        (torch.ones(10, 3, dtype=torch.int64), TypeError, "samples: got dtype torch.int64, expected a floating-point"),
        ([[1.0, 2.0]], TypeError, "samples: got list, expected a tensor"),
        (weighted([0.0] + 9 * [-50.0]), ValueError, "samples: got weights worth 1 rows in 3 dimensions"),
        (weighted(10 * [math.nan]), ValueError, "samples: got log_weights that are not a number or infinite"),
        (weighted(10 * [-math.inf]), ValueError, "samples: got log_weights that are not a number or infinite"),
        (unnormalised(), ValueError, "samples: got energy, which has no exact draws"),
        (MIXTURE, ValueError, "generator: got None, expected one"),
    ],
)
def test_bad_samples(samples, error, message):
    with pytest.raises(error, match=message):
        Samples.of(samples)


def test_bad_arguments():
    samples = Samples.of(torch.randn(10, 2, generator=seeded()))
    for share in (0.0, 1.0, 0.99):
        with pytest.raises(ValueError, match=f"share: got {share}"):
            samples.split(share, seeded())
    with pytest.raises(ValueError, match="size: got 0"):
        samples.batch(0, seeded())
    with pytest.raises(ValueError, match="rows: got 0"):
        Samples.of(MIXTURE, rows=0, generator=seeded())


def test_columns_that_depend_on_one_another():
    x = torch.randn(50, 2, dtype=F64, generator=seeded())
    samples = Samples.of(torch.cat([x, x.sum(-1, keepdim=True)], -1))
    with pytest.raises(ValueError, match="samples: got columns that depend linearly on one another"):
        Standardisation.of(*samples.moments)
