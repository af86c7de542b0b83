"""Posteriors of Pyro models (extra `pyro`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from targets.base import Target, Variable
from targets.log_density import check_values


class PyroModel(Target):
    """The posterior of a Pyro model given its arguments, in Pyro's unconstrained coordinates of the latent sites.

        log p(x) = -potential(x),    the model's joint log-density plus the log-Jacobian of Pyro's transforms

    Sites keep their names and come out constrained. The model is traced once and vectorised by `torch.func.vmap`.
    """

    def __init__(self, potential: Callable[[dict[str, Tensor]], Tensor], transforms: dict[str, Any], start: dict[str, Tensor], name: str):
        super().__init__(sum(value.numel() for value in start.values()), dtype=next(iter(start.values())).dtype, name=name)
        self._potential = torch.func.vmap(potential)
        self._transforms = transforms
        self._shapes = {site: tuple(value.shape) for site, value in start.items()}
        self._sizes = [value.numel() for value in start.values()]

    def _sites(self, flat: Tensor) -> dict[str, Tensor]:
        parts = flat.split(self._sizes, -1)
        return {site: part.reshape(-1, *shape) for (site, shape), part in zip(self._shapes.items(), parts, strict=True)}

    def log_prob(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.dim)
        return check_values(-self._potential(self._sites(flat)), flat, "model").reshape(x.shape[:-1])

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        sites = self._sites(x.reshape(-1, self.dim))
        values = {site: self._transforms[site].inv(value) for site, value in sites.items()}
        return {site: value.reshape(*x.shape[:-1], *value.shape[1:]) for site, value in values.items()}

    @property
    def variables(self) -> dict[str, Variable]:
        probe = self.constrain(torch.zeros(1, self.dim, dtype=self.dtype))
        return {site: Variable(tuple(value.shape[1:])) for site, value in probe.items()}


def from_pyro(model: Callable[..., Any], *args: Any, **kwargs: Any) -> Target:
    """The posterior of a Pyro model with continuous latent sites: `from_pyro(model, *args, **kwargs)`.

    Raises ModuleNotFoundError with the command to install Pyro where it is missing, ValueError for a model without
    continuous latent sites.
    """
    try:
        from pyro.infer.mcmc.util import initialize_model
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("from_pyro needs Pyro; install it with: pip install 'unnorm[pyro]'") from error
    # Pyro draws a starting point from the global generator, which is left as it was found
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        start, potential, transforms, _ = initialize_model(model, model_args=args, model_kwargs=kwargs)
    if not start:
        raise ValueError("model: has no continuous latent sites, expected at least one")
    return PyroModel(potential, transforms, start, getattr(model, "__name__", "pyro model"))
