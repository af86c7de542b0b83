"""The run of BlackJAX's tempered SMC: base, compiled step, temperatures, log Z."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from samplers.annealing.evidence import log_mean_exp
from samplers.annealing.paths import GeometricPath, Likelihood
from samplers.annealing.pilot import PILOT, find_base
from samplers.annealing.schedule import MOST_TEMPERATURES
from samplers.annealing.smc import SMC
from samplers.draws import INDEPENDENT, Cost, Draws, LogZ
from samplers.peers.base import Peer
from samplers.peers.bridge import Bridge, as_tensor, from_numpy, key, to_numpy
from targets import Target
from targets.counting import Counted


class Ratio(Target):
    """log p - log q: what a target is as a likelihood, with a normalised base q as the prior."""

    def __init__(self, target: Target, base: Target) -> None:
        super().__init__(target.dim, dtype=target.dtype, device=target.device, name=target.name)
        self._target, self._base = target, base

    def log_prob(self, x: Tensor) -> Tensor:
        """The difference of the log-densities."""
        return self._target.log_prob(x) - self._base.log_prob(x)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The difference, and that of the scores."""
        (value, score), (base, base_score) = self._target.log_prob_and_score(x), self._base.log_prob_and_score(x)
        return value - base, score - base_score


@dataclass(eq=False)
class Cloud:
    """Particles x (n, dim) on their way, with normalised log-weights (n,), and what happened at every temperature."""

    log_z: float
    betas: list[float] = field(default_factory=lambda: [0.0])
    ess: list[float] = field(default_factory=list)
    acceptance: list[float] = field(default_factory=list)
    divergences: int = 0
    x: Tensor | None = None
    log_weights: Tensor | None = None
    stats: dict[str, Tensor] = field(default_factory=dict)

    def take_in(self, info: dict[str, np.ndarray], target: Target) -> None:
        """One temperature; ValueError where it leads nowhere."""
        beta, increment = float(info["beta"]), float(info["increment"])
        if not (math.isfinite(increment) and math.isfinite(beta)):
            raise ValueError(
                f"all weights are zero or undefined after b = {self.betas[-1]:.3g}: log Z grew by {increment}. The "
                f"particles may not be where {target.name} has mass; give a base= that covers it"
            )
        if len(self.betas) > MOST_TEMPERATURES or beta <= self.betas[-1]:
            raise ValueError(
                f"after {len(self.betas)} temperatures b is {beta:.9g} and does not come to 1: {target.name} looks "
                "improper, or its tails are far heavier than those of the base"
            )
        self.betas.append(beta)
        self.log_z += increment
        self.ess.append(float(info["ess"]))
        self.acceptance.append(float(info["acceptance_rate"].mean()))
        self.divergences += int(info["divergences"])


@dataclass(eq=False)
class Tempering:
    """All replicates of n particles each, from one base by one compiled step; `peer` is whose run it is, and the fields
    from `base` on are explained there.
    """

    peer: Peer
    target: Target
    n: int
    seed: int
    base: Target | Literal["pilot"] | None
    moves: int
    leapfrogs: int
    step_size: float
    target_ess: float
    replicates: int

    def __post_init__(self) -> None:
        self.began, self.pilot = time.perf_counter(), dict[str, str]()
        self.start, self.likelihood, self.counted = self._ends()
        self.prior_bridge, self.bridge = Bridge(self.start), Bridge(self.likelihood)
        generator = self._generator()
        with self.bridge.precision():
            import jax

            first, step = self._algorithm()
            starts = [self.start.sample(self.n, generator=generator) for _ in range(self.replicates)]
            states = [first(to_numpy(start, self.bridge.dtype)) for start in starts]
            keys = jax.random.split(key(self.seed), self.replicates)
            run = self.bridge.compile(step, keys[0], states[0])
            self.clouds = [self._through(run, *pair) for pair in zip(keys, states, strict=True)]

    def _generator(self, offset: int = 0) -> Generator:
        return Generator(self.target.device).manual_seed(self.seed + offset)

    def _ends(self) -> tuple[Target, Target, Counted]:
        """q, p / q, and that in the latter whose evaluations count."""
        target = self.target
        if self.base is None and target.has_likelihood:
            likelihood = Counted(Likelihood(target))
            return target.prior, likelihood, likelihood
        counted = Counted(target)
        prior = target.prior if "prior" in target.known else None
        if isinstance(self.base, Target):
            base = self.base.to(target.device, target.dtype)
        elif self.base is None and prior is not None:
            base = prior
        else:
            base = find_base(SMC(), counted, prior, self._generator(3_000_017)).density
            self.pilot = {"pilot": PILOT}
        GeometricPath(base, target)  # says what is wrong with a base
        return base, Ratio(counted, base), counted

    def _algorithm(self) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
        """BlackJAX's SMC: particles -> state, and (key, state) -> (state, info)."""
        import blackjax
        import jax.numpy as jnp
        from blackjax.smc import extend_params, resampling
        from blackjax.smc.tuning.from_particles import particles_stds

        def parameters(particles: Any) -> Any:
            return extend_params(
                {
                    "step_size": jnp.asarray(self.step_size, self.bridge.dtype),
                    "inverse_mass_matrix": particles_stds(particles) ** 2,
                    "num_integration_steps": jnp.asarray(self.leapfrogs),
                }
            )

        def smc(particles: Any) -> Any:
            return blackjax.inner_kernel_tuning(
                blackjax.adaptive_tempered_smc,
                self.prior_bridge.log_prob(),
                self.bridge.log_prob(),
                blackjax.hmc.build_kernel(),
                blackjax.hmc.init,
                resampling.systematic,
                mcmc_parameter_update_fn=lambda key, state, info: parameters(state.particles),
                initial_parameter_value=parameters(particles),
                num_mcmc_steps=self.moves,
                target_ess=self.target_ess,
            )

        def first(particles: Any) -> Any:
            particles = jnp.asarray(particles)
            state = smc(particles).init(particles)
            zero = jnp.zeros((), self.bridge.dtype)
            return state._replace(sampler_state=state.sampler_state._replace(tempering_param=zero))

        def step(key: Any, state: Any) -> Any:
            state, info = smc(state.sampler_state.particles).step(key, state)
            cloud, moves = state.sampler_state, info.update_info
            return state, {
                "beta": cloud.tempering_param,
                "increment": info.log_likelihood_increment,
                "ess": 1 / jnp.square(cloud.weights).sum() / self.n,
                "acceptance_rate": moves.acceptance_rate.mean(1),
                "diverging": moves.is_divergent.any(1),
                "divergences": moves.is_divergent.sum(),
            }

        return first, step

    def _through(self, run: Callable[[Any, Any], Any], keys: Any, state: Any) -> Cloud:
        """From the base to the target."""
        import jax

        cloud = Cloud(self.start.log_z)
        while cloud.betas[-1] < 1:
            keys, now = jax.random.split(keys)
            state, info = run(now, state)
            if self.prior_bridge.error is not None:
                raise self.prior_bridge.error
            cloud.take_in({name: np.asarray(value) for name, value in info.items()}, self.target)
        found = state.sampler_state
        cloud.x = from_numpy(found.particles, self.start)
        cloud.log_weights = as_tensor(found.weights, self.start).double().log()
        cloud.stats = {name: as_tensor(info[name], self.start) for name in ("acceptance_rate", "diverging")}
        return cloud

    def complaints(self) -> list[str]:
        """What a reader must know."""
        count = sum(cloud.divergences for cloud in self.clouds)
        moves = self.n * self.moves * sum(len(cloud.ess) for cloud in self.clouds)
        return [f"{count} of {moves} moves diverged: a non-finite density or a large energy error"] if count else []

    def draws(self) -> Draws:
        """The particles of all replicates at the target."""
        clouds, log_z = self.clouds, torch.tensor([cloud.log_z for cloud in self.clouds], dtype=torch.float64)
        found = {
            "kind": INDEPENDENT,
            "base": self.start.name,
            "draws": self.n,
            "seed": self.seed,
            **{name: [getattr(cloud, name) for cloud in clouds] for name in ("betas", "ess", "acceptance")},
            "compile_seconds": self.bridge.compile_seconds,
        }
        return Draws(
            torch.cat([cloud.x for cloud in clouds if cloud.x is not None])[None],
            stats={name: torch.cat([cloud.stats[name] for cloud in clouds])[None] for name in clouds[0].stats},
            log_weights=torch.cat([c.log_weights + c.log_z for c in clouds if c.log_weights is not None])[None]
            + math.log(self.n),
            log_z=_estimate(log_z),
            cost=Cost(self.counted.log_probs, self.counted.scores, time.perf_counter() - self.began),
            target=self.target,
            kernel=self.peer,
            attrs=self.peer.record(self.target) | found | self.pilot,
            divergences=torch.tensor([sum(cloud.divergences for cloud in clouds)]),
        )


def _estimate(log_z: Tensor) -> LogZ:
    """The log of the mean Z over replicates, with its standard error where there are several."""
    value = log_mean_exp(log_z)
    if len(log_z) == 1:
        return LogZ(value, math.nan)
    spread = (log_z - value).exp().std() / math.sqrt(len(log_z))
    return LogZ(value, float(spread), estimates=tuple(log_z.tolist()))
