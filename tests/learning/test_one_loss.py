"""Training on one loss: iterations that are not finite, and what is noted."""

import math

import pytest
import torch
from torch import Generator

from samplers.draws import SamplingWarning
from samplers.learning.descent import Descent, Group
from samplers.learning.one_loss import OneLoss
from targets import Gaussian


class Parabola(OneLoss):
    """(x - 3)^2, nan at the iterations of `broken`."""

    def __init__(self, total, broken=()):
        super().__init__("parabola", Gaussian([0.0]), Generator().manual_seed(0), total, None, None)
        self.x, self.broken, self.seen = torch.nn.Parameter(torch.zeros(())), broken, []
        self.descent = Descent([Group([self.x])], 0.1, clip=math.inf, average=None, betas=(0.9, 0.99))

    def begin(self):
        return torch.zeros(1, 1)

    def step(self):
        self.descent.clear()
        self.descend((self.x - 3) ** 2 * (math.nan if self.done in self.broken else 1))
        self.seen.append(float(self.x.detach()))

    def figures(self):
        return ""

    def more(self):
        return {"place": float(self.x.detach())}

    def settings(self):
        return {}

    def state_dict(self):
        return {"x": self.x.detach(), "descent": self.descent.state_dict(), **self.curves()}

    def load_state_dict(self, saved):
        with torch.no_grad():
            self.x.copy_(saved["x"])
        self.descent.load_state_dict(saved["descent"])
        self.load_curves(saved)


def test_an_iteration_that_is_not_finite_moves_nothing_and_is_told():
    run = Parabola(20, broken=(4, 5, 12))
    run.carry_out(None, False)
    assert run.seen[3] == run.seen[4] == run.seen[5] != run.seen[6]
    assert run.skipped == 3
    assert list(run.complaints()) == ["3 of 20 iterations were skipped: their loss or its gradient was not finite"]
    assert math.isfinite(run.seen[-1])
    assert not list(Parabola(5).complaints())


def test_an_entry_of_the_history_is_of_ten_iterations():
    run = Parabola(25)
    run.carry_out(None, False)
    assert run.history["iteration"] == [10.0, 20.0, 25.0]
    before = [0.0, *run.seen]
    assert run.history["loss"][1] == pytest.approx(sum((x - 3) ** 2 for x in before[10:20]) / 10, rel=1e-5)
    assert run.history["place"] == [run.seen[9], run.seen[19], run.seen[24]]
    assert {"gradient", "learning_rate", "skipped", "seconds"} <= run.history.keys()


def test_curves_are_continued(tmp_path):
    whole = Parabola(25, broken=(3,))
    whole.carry_out(None, False)
    half = Parabola(25, broken=(3,))
    half.stepped = lambda pressed, stepped=half.stepped: stepped(pressed) or half.done == 15
    with pytest.warns(SamplingWarning, match="interrupted after 15 of 25 iterations"):
        half.carry_out(tmp_path / "run.pt", False)
    rest = Parabola(25, broken=(3,))
    rest.carry_out(tmp_path / "run.pt", False)
    assert rest.seen == whole.seen[15:]
    for name in ("iteration", "loss", "place", "skipped"):
        assert rest.history[name] == pytest.approx(whole.history[name], rel=0, abs=0, nan_ok=True)
