"""BlackJAX on the potential of a NumPyro model: NUTS, adjusted (MAMS) and unadjusted (MCLMC) microcanonical chains.

Each is tuned as BlackJAX's own functions do it: NUTS by `window_adaptation`; MCLMC by `mclmc_find_L_and_step_size`,
whose chains keep one of ten steps; MAMS by `adjusted_mclmc_find_L_and_step_size` at an acceptance of .9, with random
lengths.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from _engine_models import Model
    from _engines_once import Build, Found, Run

CHAINS = 4
THIN = 10  # of MCLMC, whose steps are single gradients
GRADIENTS = 2  # of a minimal-norm step

Chain = Callable[[Any, Any, Any, int, int], tuple[Any, Any, Any]]  # positions, gradients and divergences of each draw


def nuts(log_prob: Any, key: Any, start: Any, warmup: int, draws: int) -> tuple[Any, Any, Any]:
    """One chain of NUTS."""
    import blackjax
    import jax

    first, second = jax.random.split(key)
    (state, tuned), _ = blackjax.window_adaptation(blackjax.nuts, log_prob).run(first, start, warmup)
    kernel = blackjax.nuts(log_prob, **tuned)

    def step(state: Any, key: Any) -> Any:
        state, info = kernel.step(key, state)
        return state, (state.position, info.num_integration_steps, info.is_divergent)

    return jax.lax.scan(step, state, jax.random.split(second, draws))[1]


def mclmc(log_prob: Any, key: Any, start: Any, warmup: int, draws: int) -> tuple[Any, Any, Any]:
    """One unadjusted chain; its warmup takes THIN times as many steps too."""
    import blackjax
    import jax
    import jax.numpy as jnp

    first, second, third = jax.random.split(key, 3)
    state = blackjax.mcmc.mclmc.init(start, log_prob, first)
    kernel = blackjax.mcmc.mclmc.build_kernel(blackjax.mcmc.integrators.isokinetic_mclachlan)
    state, tuned, _ = blackjax.mclmc_find_L_and_step_size(
        kernel, num_steps=THIN * warmup, state=state, rng_key=second, logdensity_fn=log_prob
    )
    chain = blackjax.mclmc(
        log_prob, L=tuned.L, step_size=tuned.step_size, inverse_mass_matrix=tuned.inverse_mass_matrix
    )

    def step(state: Any, key: Any) -> Any:
        state, _ = jax.lax.scan(lambda s, k: (chain.step(k, s)[0], None), state, jax.random.split(key, THIN))
        return state, (state.position, jnp.asarray(GRADIENTS * THIN), jnp.asarray(False))

    return jax.lax.scan(step, state, jax.random.split(third, draws))[1]


def mams(log_prob: Any, key: Any, start: Any, warmup: int, draws: int) -> tuple[Any, Any, Any]:
    """One adjusted chain."""
    import blackjax
    import jax
    from blackjax.mcmc.adjusted_mclmc_dynamic import make_random_trajectory_length_fn

    first, second, third = jax.random.split(key, 3)
    length = make_random_trajectory_length_fn(random_trajectory_length=True)
    state = blackjax.mcmc.adjusted_mclmc_dynamic.init(start, log_prob, first)
    kernel = blackjax.mcmc.adjusted_mclmc_dynamic.build_kernel(integration_steps_fn=length)

    def tuning(
        rng_key: Any,
        state: Any,
        logdensity_fn: Any,
        step_size: Any,
        inverse_mass_matrix: Any,
        integration_steps_params: Any,
    ) -> Any:
        return kernel(
            rng_key,
            state,
            logdensity_fn,
            step_size,
            inverse_mass_matrix=inverse_mass_matrix,
            integration_steps_params=integration_steps_params,
        )

    state, tuned, _ = blackjax.adjusted_mclmc_find_L_and_step_size(
        tuning, log_prob, num_steps=10 * warmup, state=state, rng_key=second, target=0.9, frac_tune1=0.1, frac_tune2=0.1
    )
    steps = (tuned.L / tuned.step_size,)

    def step(state: Any, key: Any) -> Any:
        state, info = tuning(key, state, log_prob, tuned.step_size, tuned.inverse_mass_matrix, steps)
        return state, (state.position, GRADIENTS * info.num_integration_steps, info.is_divergent)

    return jax.lax.scan(step, state, jax.random.split(third, draws))[1]


def engine(model: Model, warmup: int, chain: Chain) -> Build:
    """All chains by `jax.vmap`, compiled once; starts by NumPyro's rule."""
    import blackjax  # noqa: F401  (its import is not timed)
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree
    from numpyro.infer.util import initialize_model

    jax.config.update("jax_enable_x64", True)

    def build() -> Run:
        written, compiled = model.numpyro(), {}
        made = initialize_model(jax.random.key(0), written)
        _, unravel = ravel_pytree(made.param_info.z)

        def log_prob(x: Any) -> Any:
            return -made.potential_fn(unravel(x))

        def run(draws: int, seed: int) -> Found:
            keys = jax.random.split(jax.random.key(seed), CHAINS)
            starts = jnp.stack([ravel_pytree(initialize_model(key, written).param_info.z)[0] for key in keys])

            def call(keys: Any, starts: Any) -> Any:
                x, gradients, bad = jax.vmap(lambda key, start: chain(log_prob, key, start, warmup, draws))(
                    keys, starts
                )
                values = jax.vmap(jax.vmap(lambda one: made.postprocess_fn(unravel(one))))(x)
                return values, gradients.sum(), bad.sum()

            if draws not in compiled:
                compiled[draws] = jax.jit(call).lower(keys, starts).compile()
            values, gradients, bad = compiled[draws](keys, starts)
            return {name: np.asarray(value) for name, value in values.items()}, float(gradients), int(bad)

        return run

    return build
