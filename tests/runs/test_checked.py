"""A kernel that returns what a run cannot use is told which field, what came and what was expected."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

import samplers
import targets
from samplers.kernels import Info, State, metropolis, noise_like
from samplers.testing import check_invariance, check_moves, check_repeatable, check_reversible

PLANE = targets.Gaussian(torch.zeros(2))


@dataclass(frozen=True, eq=False)
class Own(samplers.kernels.Kernel):
    needs_score: ClassVar[bool] = False

    def step(self, target, state, generator):
        x = state.x + noise_like(state.x, generator)
        proposal = State(x, target.log_prob(x), None)
        return metropolis(state, proposal, (proposal.log_prob - state.log_prob).double(), generator)


def changed(**fields):
    """Own, with functions of fields of its state or info."""

    class Changed(Own):
        def step(self, target, state, generator):
            state, info = super().step(target, state, generator)
            of_state = {name: f for name, f in fields.items() if hasattr(state, name)}
            of_info = fields.keys() - of_state
            return (
                replace(state, **{name: f(getattr(state, name)) for name, f in of_state.items()}),
                replace(info, **{name: fields[name](getattr(info, name)) for name in of_info}),
            )

    return Changed()


class LosesChains(Own):
    def step(self, target, state, generator):
        state, info = super().step(target, state, generator)
        half = len(state.x) // 2
        return State(state.x[:half], state.log_prob[:half], None), Info(info.acceptance_rate[:half], info.diverging)


class InPlace(Own):
    def step(self, target, state, generator):
        state.x.add_(noise_like(state.x, generator))
        return State(state.x, target.log_prob(state.x), None), Info(
            torch.ones(len(state.x)), torch.zeros(len(state.x), dtype=torch.bool)
        )


class Column(Own):
    def step(self, target, state, generator):
        x = state.x + noise_like(state.x, generator)
        proposal = State(x, target.log_prob(x), None)
        return metropolis(state, proposal, (proposal.log_prob - state.log_prob)[:, None].double(), generator)


class ColumnInit(Own):
    def init(self, target, x, generator):
        return State(x, target.log_prob(x)[:, None], None)


WRONG = {
    "chains": (LosesChains(), ValueError, r"LosesChains.step: State.x has shape \(50, 2\), expected shape \(100, 2\)"),
    "dtype": (changed(x=torch.Tensor.double), TypeError, r"State.x is in torch.float64, expected .* in torch.float32"),
    "log_prob": (
        changed(log_prob=lambda v: v[:, None]),
        ValueError,
        r"State.log_prob has shape \(100, 1\), expected shape \(100,\)",
    ),
    "log_prob's dtype": (changed(log_prob=torch.Tensor.double), TypeError, "State.log_prob is in torch.float64"),
    "score": (changed(score=lambda v: torch.zeros(100, 2)), TypeError, "returned a State with a score, expected none"),
    "scalar": (changed(acceptance_rate=torch.mean), ValueError, r"Info.acceptance_rate has shape \(\), expected"),
    "number": (changed(acceptance_rate=lambda v: 1.0), TypeError, "Info.acceptance_rate is float, expected shape"),
    "diverging": (changed(diverging=torch.Tensor.float), TypeError, "Info.diverging is in torch.float32"),
    "column": (Column(), ValueError, r"log_ratio: got shape \(100, 1\), expected \(100,\)"),
    "init": (ColumnInit(), ValueError, r"ColumnInit.init: State.log_prob has shape \(100, 1\)"),
    "in place": (InPlace(), ValueError, r"InPlace.step: changed the state that it was given in place \(its x\)"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("check", [check_invariance, check_reversible, check_moves, check_repeatable])
def test_checks(name, check):
    kernel, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        check(kernel, PLANE, chains=100)


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("warmup", [0, 5])
def test_runs(name, warmup):
    kernel, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        kernel.sample(PLANE, chains=100, draws=5, warmup=warmup)


def test_a_right_one_passes():
    Own().sample(PLANE, chains=5, draws=5, warmup=5)
    check_moves(Own(), PLANE, steps=50)


def test_a_kernel_that_does_not_say_that_it_is_discrete_is_told():
    with pytest.raises(TypeError, match=r"a kernel of your own that declares discrete: ClassVar\[bool\] = True"):
        Own().sample(targets.Ising((3,), coupling=0.1))
    with pytest.raises(TypeError) as caught:
        samplers.HMC().sample(targets.Ising((3,), coupling=0.1))
    assert "your own" not in str(caught.value)
