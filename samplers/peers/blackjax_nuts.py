"""The no-U-turn sampler of BlackJAX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from samplers.peers.nuts import NUTSPeer
from samplers.runs.plan import Plan


@dataclass(frozen=True)
class BlackjaxNUTS(NUTSPeer):
    """NUTS of BlackJAX after its window adaptation; needs the package blackjax.

    A trajectory of leapfrog steps is doubled until it turns on itself, and the next state drawn from it in proportion
    to exp(-energy): leaves the target invariant. Hyper-parameters and cost are explained at `NUTSPeer`.

    Raises ValueError for hyper-parameters out of range. Hoffman and Gelman 2014, https://arxiv.org/abs/1111.4246;
    Cabezas et al. 2024, https://arxiv.org/abs/2402.10797.

    target_acceptance: a probability, to which dual averaging tunes the step. dense_mass: a dense mass matrix instead of
    a diagonal one. max_doublings: of a trajectory. step_size: before warmup.

        >>> from samplers.peers import BlackjaxNUTS
        >>> BlackjaxNUTS(target_acceptance=0.9).packages
        ('jax', 'blackjax')
    """

    packages: ClassVar = ("jax", "blackjax")

    def chains(self, log_prob: Callable[[Any], Any], plan: Plan) -> Callable[[Any, Any], Any]:
        """Every chain with a key of its own, vectorised by `jax.vmap`."""
        import blackjax
        import jax

        def chain(key: Any, start: Any) -> Any:
            first, second = jax.random.split(key)
            state, tuned = self._warmed(log_prob, first, start, plan.warmup)
            nuts = blackjax.nuts(log_prob, **tuned, max_num_doublings=self.max_doublings)

            def step(state: Any, key: Any) -> Any:
                state, info = nuts.step(key, state)
                stats = {
                    "lp": state.logdensity,
                    "acceptance_rate": info.acceptance_rate,
                    "diverging": info.is_divergent,
                    "energy": info.energy,
                    "n_steps": info.num_integration_steps,
                }
                return state, (state.position, stats)

            _, (positions, stats) = jax.lax.scan(step, state, jax.random.split(second, plan.draws * plan.thin))
            return positions, stats, tuned

        return lambda key, starts: jax.vmap(chain)(jax.random.split(key, plan.chains), starts)

    def _warmed(self, log_prob: Callable[[Any], Any], key: Any, start: Any, steps: int) -> tuple[Any, dict[str, Any]]:
        """The state of a chain after warmup, and what was found."""
        import blackjax
        import jax.numpy as jnp

        if steps == 0:
            identity = jnp.eye(len(start)) if self.dense_mass else jnp.ones(len(start))
            tuned = {"step_size": jnp.asarray(self.step_size), "inverse_mass_matrix": identity}
            return blackjax.nuts.init(start, log_prob), tuned
        adaptation = blackjax.window_adaptation(
            blackjax.nuts,
            log_prob,
            is_mass_matrix_diagonal=not self.dense_mass,
            initial_step_size=self.step_size,
            target_acceptance_rate=self.target_acceptance,
            adaptation_info_fn=lambda state, info, adaptation: None,
            max_num_doublings=self.max_doublings,
        )
        (state, parameters), _ = adaptation.run(key, start, steps)
        return state, {name: parameters[name] for name in ("step_size", "inverse_mass_matrix")}
