"""HMC with defaults on posteriors written by a user, against exact moments."""

import pytest
import torch
from posteriordb import DATA, MODELS, exact, flat

from samplers import HMC
from samplers.draws.records import import_arviz

pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason="the posteriordb data are not beside the project; name their folder in UNNORM_DATA"
)


def agreement(name, seed):
    """(largest error of a mean in standard errors, largest relative error of an sd, largest R-hat)."""
    build, order = MODELS[name]
    draws = HMC().sample(build(), seed=seed)
    values = flat(draws.constrained, order)
    mean, sd, reference_error = exact(name)
    arviz = import_arviz()
    data = arviz.convert_to_dataset({"v": values.numpy()})
    error = torch.as_tensor(arviz.mcse(data, method="mean")["v"].values)
    z = (values.mean((0, 1)) - mean).abs() / torch.hypot(error, reference_error.double())
    return float(z.max()), float((values.std((0, 1)) / sd - 1).abs().max()), float(arviz.rhat(data)["v"].max())


LONG = (
    "earnings-earn_height",
    "earnings-logearn_height_male",
    "kidiq-kidscore_interaction",
    "kidiq-kidscore_momhsiq",
    "kidiq-kidscore_momiq",
    "kilpisjarvi_mod-kilpisjarvi",
    "sblrc-blr",
)


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in MODELS]
)
def test_hmc_with_defaults(name):
    z, spread, r_hat = agreement(name, seed=0)
    assert z < 4
    assert spread < 0.05
    assert r_hat < 1.01


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(1, 5))
def test_hmc_with_defaults_at_other_seeds(name, seed):
    z, spread, r_hat = agreement(name, seed)
    assert z < 4
    assert spread < 0.05
    assert r_hat < 1.01
