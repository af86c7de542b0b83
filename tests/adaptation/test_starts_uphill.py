"""Where chains start: paths that went astray are left for others, modes of less mass are not."""

import functools

import pytest
import torch
from torch.distributions import HalfNormal, Normal

import samplers
import targets
from samplers.adaptation.pathfinder import BEHIND, BEHIND_EACH, local_gaussians
from targets import Positive, Real

F64 = torch.float64


def generator(seed):
    return torch.Generator().manual_seed(seed)


def grouped():
    """Fifteen groups of six data, centred: half of the paths from the prior climb the spike at tau = 0."""
    level = 5.0 + torch.randn(15, 1, generator=generator(0), dtype=F64)
    y = (level + 0.4 * torch.randn(15, 6, generator=generator(1), dtype=F64)).reshape(-1)
    group = torch.arange(15).repeat_interleave(6)
    return targets.Posterior(
        log_likelihood=lambda a, sigma: Normal(a[:, group], sigma[:, None]).log_prob(y).sum(-1),
        parameters={
            "a": Real(15, prior=lambda mean, tau: Normal(mean, tau)),
            "mean": Real(prior=Normal(4.0, 3.0)),
            "tau": Positive(prior=HalfNormal(1.0)),
            "sigma": Positive(prior=HalfNormal(1.0)),
        },
    )


@functools.cache
def paths():
    """From 32 draws of the prior."""
    target = grouped()
    return target, local_gaussians(target, target.prior.sample(32, generator=generator(2)), generator(3))


def test_no_chain_starts_in_the_spike_of_a_centred_hierarchy():
    target, found = paths()
    astray = target.constrain(found.draw)["tau"] < 0.01
    assert astray.any()  # else there is nothing to mend
    kept = found.without_far_behind(target, generator(4))
    assert not (target.constrain(kept.draw)["tau"] < 0.1).any()
    good = found.bound >= found.bound.max() - BEHIND - BEHIND_EACH * target.dim
    assert torch.equal(kept.draw[good], found.draw[good])
    assert len(kept.draw.unique(dim=0)) == len(kept.draw)  # further draws, no copies


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")  # few draws
def test_a_centred_hierarchy_is_sampled_by_default():
    draws = samplers.HMC().sample(grouped(), chains=16, draws=50, warmup=100, seed=0)
    assert draws.kernel.step_size > 0.1  # 2e-5 with chains in the spike
    assert not draws.divergences.any()


def test_modes_of_little_mass_keep_their_chains_and_the_generator_is_left_alone():
    weights = torch.tensor([1.0, 1e-6], dtype=F64)
    target = targets.GaussianMixture(
        torch.tensor([[-9.0, 0.0], [9.0, 0.0]], dtype=F64), scales=0.5, weights=weights / weights.sum()
    )
    x = torch.cat([torch.full((4, 2), -8.0), torch.full((4, 2), 8.0)]).double()
    found = local_gaussians(target, x, generator(0))
    source = generator(1)
    assert found.without_far_behind(target, source) is found
    assert torch.equal(source.get_state(), generator(1).get_state())


def test_a_draw_without_a_density_is_not_taken():
    target, found = paths()
    nowhere = targets.LogDensity(lambda x: x.sum(-1) * torch.nan, target.dim, dtype=F64)
    kept = found.without_far_behind(nowhere, generator(4))
    assert (kept.draw[:, None] == found.draw[None]).all(-1).any(1).all()
