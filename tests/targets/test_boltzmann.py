import pytest
import torch

import targets
from targets.base import differentiate

F64 = torch.float64


class Quartic(targets.Boltzmann):
    """A system of a user: only the energy is written."""

    def energy(self, x):
        return x.square().square().sum(-1)


def test_log_prob_and_score_are_those_of_the_energy_over_the_temperature():
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    value, score = Quartic(4, 2.5, dtype=F64).log_prob_and_score(x)
    torch.testing.assert_close(value, -(x**4).sum(-1) / 2.5, rtol=1e-14, atol=0)
    torch.testing.assert_close(score, -4 * x**3 / 2.5, rtol=1e-14, atol=0)
    assert torch.equal(Quartic(4, 2.5, dtype=F64).log_prob(x), value)


def test_another_temperature_is_a_copy():
    target = Quartic(1, 2.0)
    colder = target.at(0.5)
    x = torch.ones(3, 1)
    assert (colder.log_prob(x) / target.log_prob(x)).tolist() == [4.0] * 3
    assert (target.temperature, colder.temperature, type(colder)) == (2.0, 0.5, Quartic)


def test_what_was_computed_for_one_temperature_is_forgotten_at_another():
    target = targets.Prinz(dtype=F64)
    weights, log_z = target.mode_weights, target.log_z
    assert not torch.equal(target.at(0.5).mode_weights, weights)
    assert target.at(0.5).log_z != log_z
    assert target.log_z == log_z


def test_stated_tensors_follow_the_dtype_without_losing_digits():
    target = targets.Prinz(dtype=F64)
    weights = target.mode_weights
    single = target.to(dtype=torch.float32)
    assert single.mode_weights.dtype == single.modes.dtype == torch.float32
    assert torch.equal(single.to(dtype=F64).mode_weights, weights)


def test_an_infinite_energy_has_density_zero():
    class Wall(targets.Boltzmann):
        def energy(self, x):
            return torch.where(x[..., 0] > 0, x[..., 0], torch.inf)

    assert Wall(1).log_prob(torch.tensor([[-1.0], [2.0]])).tolist() == [-torch.inf, -2.0]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_is_positive_and_finite(temperature):
    with pytest.raises(ValueError, match="temperature: got .*, expected a positive finite number"):
        Quartic(1, temperature)
    with pytest.raises(ValueError, match="temperature: got .*, expected a positive finite number"):
        Quartic(1).at(temperature)


def test_without_an_energy_there_is_no_density():
    with pytest.raises(NotImplementedError, match="Boltzmann does not define energy"):
        targets.Boltzmann(2).log_prob(torch.zeros(2))


CLOSED_FORMS = {
    "mueller-brown": targets.MuellerBrown(dtype=F64),
    "double well": targets.DoubleWell(2.0, 0.3, 1.5, 0.7, dtype=F64),
    "three-hole": targets.ThreeHole(0.4, dtype=F64),
    "prinz": targets.Prinz(0.8, dtype=F64),
    "torus": targets.PhiFourLattice((3, 4), -1.0, 0.7, stiffness=0.6, temperature=1.3, dtype=F64),
    "cylinder": targets.PhiFourLattice((2, 3, 4), 0.4, 0.7, periodic=(True, False, True), dtype=F64),
    "dw4": targets.DoubleWellParticles(temperature=2.0, oscillator=0.1, c=0.3, dtype=F64),
    "lj": targets.LennardJones(5, 3, pair_factor=2.0, epsilon=1.3, rm=0.9, oscillator=0.5, dtype=F64),
    "tempered": targets.Tempered(targets.Banana(dtype=F64), 3.0),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_form_scores_are_those_of_automatic_differentiation(name):
    target = CLOSED_FORMS[name]
    x = torch.randn(2, 5, target.dim, generator=torch.Generator().manual_seed(0), dtype=F64)
    value, score = differentiate(target.log_prob, x, name)
    found, gradient = target.log_prob_and_score(x)
    torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradient, score, rtol=1e-10, atol=1e-10 * float(score.abs().max()))
    single = target.to(dtype=torch.float32)
    values = single.log_prob_and_score(0.5 * x.float())
    assert all(v.dtype == torch.float32 and bool(v.isfinite().all()) for v in values)
    meta = target.to("meta").log_prob_and_score(x.to("meta"))
    assert [tuple(v.shape) for v in meta] == [(2, 5), (2, 5, target.dim)]


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_wrong_dimension_is_an_error(name):
    target = CLOSED_FORMS[name]
    for call in (target.log_prob, target.score):
        with pytest.raises(ValueError, match=rf"x: got shape \(3, 99\), expected \(\*batch, {target.dim}\)"):
            call(torch.zeros(3, 99))
