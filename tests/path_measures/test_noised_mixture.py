import pytest
import torch

import targets
from samplers.path_measures.noised_mixture import noised, on_its_way
from targets.mixture_blocks import Blocks
from targets.mixture_product import MixtureProduct

F64 = torch.float64
MEANS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.5, -1.0]], dtype=F64)
FACTOR = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.7, 0.0], [-0.3, 0.2, 0.4]], dtype=F64)
MIXTURES = {
    "diagonal": targets.GaussianMixture(MEANS, scales=[[0.3, 1.0, 0.2], [2.0, 0.5, 1.0]], weights=[1, 3]),
    "full": targets.GaussianMixture(MEANS, covariances=torch.stack([FACTOR @ FACTOR.mT, torch.eye(3)]), weights=[1, 3]),
}
PAIR = Blocks(
    torch.tensor([[2, 0]]),
    torch.tensor([[0.3, 0.7]], dtype=F64),
    MEANS[None, :, :2],
    torch.stack([FACTOR[:2, :2] @ FACTOR[:2, :2].mT, torch.eye(2)])[None],
)
SINGLE = Blocks(
    torch.tensor([[1]]),
    torch.tensor([[0.2, 0.5, 0.3]], dtype=F64),
    MEANS[:1, :, None],
    torch.tensor([0.3, 1.0, 2.0], dtype=F64)[None, :, None, None],
)
MIXTURES["product"] = MixtureProduct([PAIR, SINGLE])
SIGNALS = [1.0, 0.7, 0.05]
EVERY = pytest.mark.parametrize("name", MIXTURES)


def in_units(mixture, shift, factor):
    """The law of u where x = shift + factor u."""
    if isinstance(mixture, MixtureProduct):
        return mixture.scaled(torch.tensor(shift, dtype=F64), torch.tensor(factor, dtype=F64))
    return targets.Affine(mixture, shift, factor).mixture(mixture)


@EVERY
def test_scores_and_densities_at_several_noises_are_those_of_the_noised_mixtures(name, generator):
    mixture = MIXTURES[name]
    x = 2 * torch.randn(3, 7, 3, generator=generator, dtype=F64)
    a = torch.tensor(SIGNALS, dtype=F64)[:, None, None]
    moving = on_its_way(mixture)
    for k, signal in enumerate(SIGNALS):
        there = noised(mixture, signal)
        torch.testing.assert_close(moving.score(a, x)[k], there.score(x[k]), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(moving.log_prob(a, x)[k], there.log_prob(x[k]), rtol=1e-12, atol=1e-12)


@EVERY
def test_a_noised_mixture_is_the_smoothed_one_in_other_units(name, generator):
    x = torch.randn(5, 3, generator=generator, dtype=F64)
    a = 0.6
    wider = in_units(MIXTURES[name].smoothed((1 / a**2 - 1) ** 0.5), 0.0, 1 / a)
    torch.testing.assert_close(noised(MIXTURES[name], a).log_prob(x), wider.log_prob(x), rtol=1e-10, atol=1e-10)


@EVERY
def test_nothing_is_lost_in_a_file(name, generator):
    x = torch.randn(1, 5, 3, generator=generator, dtype=F64)
    one = on_its_way(MIXTURES[name])
    other = on_its_way(in_units(MIXTURES[name], 1.0, 2.0))
    other.load_state_dict(one.state_dict())
    a = torch.ones(1, 1, 1, dtype=F64)
    assert torch.equal(one.score(a, x), other.score(a, x))
