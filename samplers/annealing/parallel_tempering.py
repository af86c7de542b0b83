"""Parallel tempering as a sampler: a pilot where base or temperatures are open, warmup of the ladder, log Z."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

from torch import Generator, Tensor

from samplers.annealing.given import as_tuple
from samplers.annealing.ladder import LadderWarmup
from samplers.annealing.pilot import PILOT
from samplers.annealing.tempering import Tempering
from samplers.annealing.tempering_pilot import pilot
from samplers.annealing.tempering_record import TemperingState, findings
from samplers.draws import Cost
from samplers.draws.brief import in_full
from samplers.kernels import Kernel, State
from samplers.runs.starts import Init, positions
from samplers.runs.state import Findings
from targets import Target


@dataclass(frozen=True, eq=False)
class ParallelTempering(Tempering):
    """Parallel tempering; leaves prod_k pi_k invariant, so that the last replica's law is the target. Not reversible.

    kernel: any exact kernel, or one for each temperature above the base; None is HMC, or Gibbs on discrete targets.
    Fields that it leaves open are found in warmup at each temperature by itself; where a pilot run finds the base as a
    mixture, HMC that leaves all open takes the mass matrices of its components (RegionalHMC).
    base: q, a normalised Target with exact draws; None takes the target's prior, else a mixture from a pilot run. On
    discrete targets it is the uniform law.
    path: a function b -> Target, or a Path, in place of the geometric one. Its densities are evaluated anew for swaps.
    temperatures: the b_k from 0 to 1, or their number, or None: the number is then ceil(2 L) + 1, from 4 to 64, for the
    barrier L = sum_k (rejection of swap k) that a pilot run of SMC estimates, whence about half of all swaps pass. The
    number is fixed before the run.
    adapt: warmup moves the temperatures to equal rejection, at a sixteenth, an eighth, a quarter and a half of its
    steps; None does so unless temperatures are given one by one. After warmup all is frozen.
    swaps_every: moves of each replica in a step, which ends with one attempt to swap.

    Chains are independent ladders. Where that pilot run finds the temperatures, replicas start at its particles at
    theirs, with the covariance found there as a first mass matrix, and `init` places those at b = 1; elsewhere every
    replica starts where its chain does: at base draws for init=None. HMC whose step size, length and number of steps
    are left open makes at most 32 leapfrogs a move. The state holds all replicas; its x is the one at b = 1. Draws
    carry `log_z` by the geometric bridge between neighbours,

        Z_{k+1} / Z_k = E_k[exp(w_k / 2)] / E_{k+1}[exp(-w_k / 2)]

    with a standard error by the jackknife over chains, wider where a coordinate mixes more slowly than the energy
    (`samplers.draws.slow`), and attrs["tempering"]: betas, rejection of each swap, barrier,
    round trips from base to target and back (in all; per 1000 steps and chain), acceptance and divergences by level.
    One evaluation a step at the base, and those of the kernel at each other temperature. The pilot's are counted too;
    a run continued from a checkpoint goes through the pilot again.

    Raises ValueError for inexact kernels, bases without exact draws and temperatures that do not rise from 0 to 1.
    Swendsen and Wang 1986, https://doi.org/10.1103/PhysRevLett.57.2607; Geyer 1991; Syed, Bouchard-Cote, Deligiannidis
    and Doucet 2022 (even-odd swaps, barrier), https://arxiv.org/abs/1905.02939; Meng and Wong 1996 (bridge).

    clouds, piloted: what the pilot has found, and whether it ran; `sample` sets them.

        >>> base = targets.Gaussian([0.0], scale=5.0)
        >>> modes = targets.GaussianMixture([[-4.0], [4.0]], scales=0.5)
        >>> tempering = samplers.ParallelTempering(samplers.MALA(0.1), base=base, temperatures=(0.0, 0.3, 1.0))
        >>> draws = tempering.sample(modes, chains=8, draws=100, warmup=20, seed=0)
        >>> len(draws.attrs["tempering"]["rejection"]), abs(draws.log_z.value) < 4 * draws.log_z.standard_error
        (2, True)
    """

    def prepare(self, target: Target, seed: int) -> tuple[Kernel, Cost]:
        """With the base and the temperatures of a pilot run where they are not given."""
        return pilot(self, target, seed)

    def make_warmup(self, steps: int, target: Target) -> LadderWarmup:
        return LadderWarmup(self, steps, target)

    def tuned(self, warm: Kernel) -> Self:
        assert isinstance(warm, ParallelTempering)
        pairs = zip(as_tuple(self.kernel), as_tuple(warm.kernel), strict=True)
        kernels = tuple(given.tuned(found) for given, found in pairs)
        return replace(self, kernel=kernels, temperatures=warm.betas, adapt=False)

    def starts(self, init: Init, n: int, target: Target, generator: Generator) -> Tensor:
        if init is None and self.clouds is not None:
            return self.clouds.starts((1.0,), n, generator)[:, 0].to(target.device, target.dtype)
        if init is None:
            return self.base_draws(self.rungs(target), n, generator)
        return positions(init, n, target, generator)

    def begin_sampling(self, state: State) -> TemperingState:
        assert isinstance(state, TemperingState)
        return state.emptied()

    def findings(self, target: Target, state: State) -> Findings:
        assert isinstance(state, TemperingState)
        found = findings(state, self.betas, self.rungs(target).base.log_z)
        return replace(found, attrs=found.attrs | {"pilot": PILOT}) if self.piloted else found

    def hyperparameters(self) -> dict[str, Any]:
        values = super().hyperparameters()
        del values["clouds"], values["piloted"]
        values["kernel"] = [_described(kernel) for kernel in as_tuple(self.kernel)] or None
        values["base"] = None if self.base is None else self.base.name
        values["path"] = None if self.path is None else getattr(self.path, "__qualname__", type(self.path).__name__)
        values["temperatures"] = list(self.temperatures) if isinstance(self.temperatures, tuple) else self.temperatures
        return values


def _described(kernel: Kernel) -> str:
    """The kernel's name and fields, tensors by their shape."""
    values = {field.name: getattr(kernel, field.name) for field in fields(kernel)}
    shown = {name: f"tensor{tuple(v.shape)}" if isinstance(v, Tensor) else in_full(v) for name, v in values.items()}
    return f"{type(kernel).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"
