import copy

import pytest
import torch

import targets
from targets.base import KNOWLEDGE


class Quartic(targets.Target):
    """A target of a user: only log_prob is written."""

    def __init__(self, dim, **placement):
        super().__init__(dim, **placement)
        self.power = torch.tensor(4.0, dtype=self.dtype, device=self.device)

    def log_prob(self, x):
        return -(x**self.power).sum(-1)


def test_a_target_that_only_writes_log_prob_has_a_score():
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    value, score = Quartic(2).log_prob_and_score(x)
    torch.testing.assert_close(score, -4 * x**3)
    torch.testing.assert_close(value, -(x**4).sum(-1))
    assert not value.requires_grad


def test_the_score_is_there_inside_no_grad():
    with torch.no_grad():
        assert Quartic(1).score(torch.ones(3, 1)).tolist() == [[-4.0]] * 3


def test_a_target_without_log_prob_says_so():
    with pytest.raises(NotImplementedError, match="Target does not define log_prob"):
        targets.Target(2).log_prob(torch.zeros(2))


def test_nothing_is_known_of_a_plain_target():
    assert Quartic(2).known == frozenset()


@pytest.mark.parametrize("item", KNOWLEDGE)
def test_what_is_unknown_raises_and_is_named(item):
    target = Quartic(2, name="mine")
    generator = torch.Generator()
    calls = {
        "sample": lambda: target.sample(3, generator=generator),
        "smoothed": lambda: target.smoothed(1.0),
        "sample_given": lambda: target.sample_given(torch.zeros(1, target.dim), 1.0, generator=generator),
    }
    with pytest.raises(NotImplementedError, match=rf"mine: {item} is not known exactly; known here: \[\]"):
        calls.get(item, lambda: getattr(target, item))()


def test_stating_a_mean_and_a_covariance_states_the_moments():
    class Known(Quartic):
        mean = property(lambda self: torch.zeros(2))
        covariance = property(lambda self: 4 * torch.eye(2))

    target = Known(2)
    assert target.known == {"mean", "covariance", "moments"}
    assert target.moments["x"].sd.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("dim", [0, -1, 2.0, True, None])
def test_a_dimension_that_is_no_positive_integer_is_refused(dim):
    with pytest.raises(ValueError, match=f"dim: got {dim!r}, expected an integer of at least 1"):
        Quartic(dim)


def test_an_integer_dtype_is_refused():
    with pytest.raises(TypeError, match=r"dtype: got torch\.int64, expected a floating-point dtype"):
        Quartic(2, dtype=torch.int64)


def test_the_default_dtype_is_that_of_torch():
    assert Quartic(2).dtype == torch.get_default_dtype()


def test_to_copies_the_tensors_and_leaves_the_original():
    target = Quartic(2)
    moved = target.to("meta", torch.float64)
    assert (moved.device.type, moved.dtype, moved.power.device.type) == ("meta", torch.float64, "meta")
    assert (target.device.type, target.dtype, target.power.dtype) == ("cpu", torch.float32, torch.float32)


def test_to_without_a_change_is_the_target_itself():
    target = Quartic(2)
    assert target.to() is target
    assert target.to("cpu", torch.float32) is target


def test_integer_tensors_keep_their_dtype_when_moved():
    target = targets.ManyWell(1).to(dtype=torch.float64)
    assert target._wells.dtype == torch.long


@pytest.mark.parametrize("name", ["eight-schools", "many-well6-fab", "gmm9", "rings4-slips", "funnel10-std3"])
@pytest.mark.parametrize("evaluated_before", [True, False])
def test_moments_follow_a_copy_whether_or_not_they_were_evaluated_before(name, evaluated_before):
    target = targets.benchmark(name, dtype=torch.float64)
    if evaluated_before:
        assert target.moments
    copied = target.to(dtype=torch.float32)
    assert {m.mean.dtype for m in copied.moments.values()} == {torch.float32}
    assert {m.sd.dtype for m in copied.moments.values()} == {torch.float32}


def test_constrain_and_variables_of_a_plain_target_are_x():
    x = torch.ones(3, 2)
    target = Quartic(2)
    assert target.constrain(x)["x"] is x
    assert target.variables["x"].shape == (2,)


def test_mode_probabilities_go_to_the_nearest_centre():
    target = targets.SquareWell(1, delta=4.0)
    nearest = targets.Target.mode_probabilities(target, torch.tensor([[[-1.0], [3.0]]]))
    assert nearest.tolist() == [[[1.0, 0.0], [0.0, 1.0]]]


@pytest.mark.parametrize("name", ["gmm9", "rings4-slips", "many-well6-fab", "eight-schools", "mos10-d2"])
def test_a_target_survives_a_deep_copy(name):
    target = targets.benchmark(name)
    assert copy.deepcopy(target).log_z == target.log_z


def test_the_public_names_are_all_there():
    assert all(hasattr(targets, name) for name in targets.__all__)


def test_what_is_not_known_says_how_it_can_be_found():
    for name in ("log_z", "mean"):
        with pytest.raises(NotImplementedError, match=rf"{name} is not known .*targets.with_truth\(target\) finds it"):
            getattr(Quartic(2), name)
        with pytest.raises(NotImplementedError, match=r"of more, compare\(witnesses=\) holds a sampler against"):
            getattr(Quartic(3), name)
    with pytest.raises(NotImplementedError) as caught:
        _ = Quartic(2).prior
    assert "with_truth" not in str(caught.value)
