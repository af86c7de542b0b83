"""Iterative bridges with one mistake each, of the kinds that are really made.

BUGS: {name: (the test of tests/generative/test_bridges_iterative.py that must fail, its arguments, a function of
pytest's `monkeypatch`)}.
"""

import torch

from samplers.generative.bridges import path, simulation
from samplers.generative.bridges.half_bridges import HalfBridges
from samplers.generative.bridges.markovian import BridgeMatching
from samplers.generative.bridges.proportional import StepRegression
from samplers.generative.bridges.steps import BridgeSteps, Coefficients
from samplers.path_measures.base import Step

BUGS = {}


def bug(title, test, /, **arguments):
    def register(function):
        assert title not in BUGS
        BUGS[title] = (test, arguments, function)
        return function

    return register


# Steps

UNTRAINED = "test_untrained_steps_are_the_bridge_between_gaussians"


@bug("the noise of Brownian motion in place of that of a bridge", UNTRAINED, direction="forward")
def free_noise(patch):
    right = BridgeSteps.__init__

    def init(self, gaussian, grid, *rest):
        right(self, gaussian, grid, *rest)
        unit = torch.eye(self.dim).to(self.factor)
        self.factor = (gaussian.noise * self.grid.diff()).sqrt()[:, None, None].to(unit) * unit
        self.log_det = self.factor.diagonal(dim1=1, dim2=2).log().sum(1, keepdim=True).double()

    patch.setattr(BridgeSteps, "__init__", init)


@bug("steps behind at the times of the steps ahead", UNTRAINED, direction="backward")
def unmirrored(patch):
    patch.setattr(simulation, "_mirrored", lambda k, x, steps: torch.tensor([k], device=x.device))


@bug(
    "a share of the whole time in place of what is left",
    "test_the_drift_is_that_of_the_closed_form",
    direction="forward",
)
def whole_share(patch):
    right = Coefficients.at.__func__

    def at(cls, bridge, t):
        found = right(cls, bridge, t)
        return found._replace(shift=found.shift * (1 - t[:, None, None]))

    patch.setattr(Coefficients, "at", classmethod(at))


# Halves

REVERSAL = ("test_a_half_is_the_reversal_of_the_other_direction", {"half": 0})


@bug("the scale of the noise not squared when it is averaged", REVERSAL[0], **REVERSAL[1])
def mean_of_sizes(patch):
    right = Step.noise_of

    def calibrate(self, states):
        with torch.no_grad():
            for k in range(self.steps):
                index = torch.tensor([k])
                plain = Step(self.mean(index, states[k : k + 1]), states.new_ones(1), states, self.factor[index])
                self.log_stretch[k] = right(plain, states[k + 1 : k + 2]).abs().mean().log()

    patch.setattr(BridgeSteps, "calibrate", calibrate)


@bug("the present state regressed on the next", REVERSAL[0], half=1)
def exchanged(patch):
    right = StepRegression.error
    patch.setattr(StepRegression, "error", lambda self, trained, x, y: right(self, trained, y, x))


@bug("the other's mean at the wrong state", "test_mean_matching_by_its_formula")
def sign(patch):
    right = StepRegression.wanted
    patch.setattr(StepRegression, "wanted", lambda self, states, other: 2 * states[:-1] - right(self, states, other))


@bug(
    "the drift of the paths simulated, for that of their reversal",
    "test_the_halves_are_those_of_sinkhorn_and_end_at_the_bridge",
)
def forward_order(patch):
    right = StepRegression.error
    patch.setattr(
        StepRegression,
        "error",
        lambda self, trained, x, y: right(self, trained, torch.lerp(x, y, 0.1), y),
    )


@bug("states between pairs without the bridge's noise", "test_a_half_is_the_markovian_projection", half=1)
def no_noise(patch):
    right = BridgeMatching.error
    patch.setattr(BridgeMatching, "error", lambda self, trained, a, b, noise: right(self, trained, a, b, 0 * noise))


@bug("the noise of a bridge at another time", "test_markovian_halves_keep_both_ends_and_end_at_the_bridge")
def noise_at_time(patch):
    right = BridgeMatching.error

    def error(self, trained, begun, led_to, noise):
        t = trained.grid[:-1, None, None]
        return right(self, trained, begun, led_to, noise * (1 - t).sqrt())

    patch.setattr(BridgeMatching, "error", error)


# Weights

UNBIASED = ("test_z_is_unbiased_whatever_the_networks_say", {"direction": "forward"})


@bug("log weights without the determinant of correlated noise", UNBIASED[0], **UNBIASED[1])
def determinant(patch):
    right = BridgeSteps.around

    def around(self, k, mean):
        step = right(self, k, mean)
        return Step(step.mean, step.scale, step.log_det - self.dim * self.log_stretch[k].double()[:, None], step.factor)

    patch.setattr(BridgeSteps, "around", around)


@bug("whitened by the transposed factor", "test_a_step_of_correlated_noise_by_its_definition")
def transposed(patch):
    def noise_of(self, state):
        return torch.linalg.solve_triangular(self.factor, (state - self.mean).mT, upper=False).mT.flip(-1) / self.scale

    patch.setattr(Step, "noise_of", noise_of)


@bug("the step behind of the state before", "test_the_path_measures_have_the_weights_of_the_walks")
def neighbour(patch):
    right = path.BridgeMeasure.table

    def table(self, k):
        found = right(self, k)
        found.values["behind"] = (self.steps - 1 - k).clamp_min(0)
        return found

    patch.setattr(path.BridgeMeasure, "table", table)


# Runs


@bug("a half begun again after a crash", "test_a_crash_is_continued_to_the_same_bits", name="Markovian", done=5)
def begun_again(patch):
    right = HalfBridges.load_state_dict

    def load(self, saved):
        right(self, saved)
        self._open(saved["half"])

    patch.setattr(HalfBridges, "load_state_dict", load)
