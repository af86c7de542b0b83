"""A network, a process and what the network's output means: together a score."""

from __future__ import annotations

from torch import Tensor, nn

from samplers.generative.noisy_state import NoisyState
from samplers.generative.parametrisation import Parametrisation
from samplers.processes.base import Process, Time
from targets.arguments import shown


class ScoreModel(nn.Module):
    """A network, read as the score of a process: `model.score` is what reverse solvers take.

    network: called as network(x, t) with x (*batch, dim) and t (*batch), both in the dtype of x; returns (*batch, dim).
    Rows must not depend on one another (no batch normalisation): divergences are taken row by row. process:
    a `samplers.processes.base.Process`. parametrisation: what its output means.
    ValueError for an output of another shape, for t outside (0, horizon], and TypeError for other arguments.

        >>> from samplers.generative import NoiseOf, ScoreModel
        >>> from samplers.processes.linear import Brownian
        >>> class Half(torch.nn.Module):
        ...     def forward(self, x, t):
        ...         return x / 2
        >>> ScoreModel(Half(), Brownian(), NoiseOf()).score(torch.ones(1, 2), 0.25)
        tensor([[-1., -1.]])
    """

    def __init__(self, network: nn.Module, process: Process, parametrisation: Parametrisation) -> None:
        super().__init__()
        self.network, self.process, self.parametrisation = network, process, parametrisation
        check_kinds(self, network=(nn.Module,), process=(Process,), parametrisation=(Parametrisation,))

    def output(self, state: NoisyState) -> Tensor:
        """F, (*batch, dim)."""
        found = self.network(state.x, state.t.to(state.x))
        if not isinstance(found, Tensor) or found.shape != state.x.shape:
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"network: returned {got}, expected {tuple(state.x.shape)}, that of x")
        return found

    def noise_at(self, state: NoisyState) -> Tensor:
        """E[e | x_t], (*batch, dim)."""
        return self.parametrisation.noise(self.output(state), state)

    def score_at(self, state: NoisyState) -> Tensor:
        """grad log p_t(x_t), (*batch, dim)."""
        return state.marginal.score_of_noise(self.noise_at(state))

    def score(self, x: Tensor, t: Time) -> Tensor:
        """grad log p_t(x), (*batch, dim), for 0 < t <= horizon."""
        return self.score_at(NoisyState.at(self.process, t, x))

    def clean(self, x: Tensor, t: Time) -> Tensor:
        """E[X | x_t = x], (*batch, dim), likewise."""
        state = NoisyState.at(self.process, t, x)
        return state.marginal.clean_of_noise(self.noise_at(state))

    def forward(self, x: Tensor, t: Time) -> Tensor:
        """The score."""
        return self.score(x, t)


def check_kinds(owner: object, **kinds: tuple[type, ...]) -> None:
    """TypeError for an attribute that is of none of its kinds."""
    for name, expected in kinds.items():
        value = getattr(owner, name)
        if not isinstance(value, expected):
            names = ("torch.nn.Module" if kind is nn.Module else kind.__name__ for kind in expected)
            raise TypeError(f"{name}: got {shown(value)}, expected a {' or a '.join(names)}")
