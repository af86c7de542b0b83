"""Steps of the optimiser: what is shortened, skipped, averaged and continued, against the formulas."""

import math

import pytest
import torch

from samplers.learning.descent import Descent, Group
from samplers.learning.rate import LAST_RATE, cosine


def parameter(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def with_gradients(*pairs):
    for p, gradient in pairs:
        p.grad = torch.tensor(gradient, dtype=torch.float64)


def test_rate_falls_as_half_a_cosine():
    assert cosine(0.0) == 1.0
    assert cosine(1.0) == pytest.approx(LAST_RATE)
    assert cosine(0.5) == pytest.approx((1 + LAST_RATE) / 2)


def test_groups_learn_at_their_share():
    """The first step of Adam is the rate, whatever the gradient's size."""
    fast, slow = parameter(0.0), parameter(0.0)
    descent = Descent([Group([fast]), Group([slow], share=0.1)], 0.5, clip=100.0)
    descent.set_rate(0.2)
    with_gradients((fast, [3.0]), (slow, [-7.0]))
    assert descent.step(0.0) == (pytest.approx(math.hypot(3, 7)), False)
    assert fast.item() == pytest.approx(-0.1)
    assert slow.item() == pytest.approx(0.01)
    assert descent.rate == 0.1


def test_gradients_are_shortened_but_those_alone():
    p, q, alone = parameter(0.0), parameter(0.0), parameter(0.0)
    descent = Descent([Group([p, q]), Group([alone], alone=True)], 0.1, clip=1.0, average=0.9)
    with_gradients((p, [3.0]), (q, [4.0]), (alone, [5.0]))
    assert descent.step(0.0).gradient == 5.0
    assert (p.grad.item(), q.grad.item(), alone.grad.item()) == pytest.approx((0.6, 0.8, 5.0), rel=1e-6)
    assert descent.averaged().keys() == {id(p), id(q)}


@pytest.mark.parametrize(("loss", "gradient"), [(math.nan, 1.0), (math.inf, 1.0), (0.0, math.nan), (0.0, math.inf)])
def test_what_is_not_finite_is_skipped(loss, gradient):
    p = parameter(2.0)
    descent = Descent([Group([p])], 0.1, average=0.9)
    with_gradients((p, [gradient]))
    assert descent.step(loss).skipped
    assert (p.item(), descent.averages[0].item(), descent.taken) == (2.0, 2.0, 1)


def test_average_of_the_parameters():
    p = parameter(0.0)
    descent, wanted = Descent([Group([p])], 0.1, average=0.5), 0.0
    for i in range(20):
        with_gradients((p, [1.0]))
        descent.step(0.0)
        keep = min(0.5, (1 + i) / (10 + i))
        wanted = keep * wanted + (1 - keep) * p.item()
    assert descent.averages[0].item() == pytest.approx(wanted)
    descent.begin_average()
    assert torch.equal(descent.averages[0], p.detach())


def test_continued_from_its_state_dict():
    def learn(descent, p, steps):
        for _ in range(steps):
            descent.set_rate(cosine(descent.taken / 10))
            descent.clear()
            (p - 3).square().sum().backward()
            descent.step(0.0)

    whole, first = parameter(0.0, 1.0), parameter(0.0, 1.0)
    straight, begun = (Descent([Group([p])], 0.1, average=0.9) for p in (whole, first))
    learn(straight, whole, 10)
    learn(begun, first, 4)
    rest = first.detach().clone().requires_grad_()
    continued = Descent([Group([rest])], 0.1, average=0.9)
    continued.load_state_dict(begun.state_dict())
    learn(continued, rest, 6)
    assert torch.equal(rest, whole)
    assert torch.equal(continued.averages[0], straight.averages[0])
