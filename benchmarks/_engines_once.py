"""One engine on one model in a process of its own, as JSON, for `engines.py`: model, engine, draws, warmup, seed.

Imports are not timed. `cold` is the first run, with everything that it builds and compiles; then come, each compiled
before, a run with all draws (`warm`) and one with a quarter of them (`short`), from which one sees what a draw takes.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import _engine_blackjax
import numpy as np
from _engine_models import MODELS, Model
from _timing import timed

CHAINS = 4  # of the peers; ours takes 64

Values = Mapping[str, np.ndarray]  # named draws, (chains, draws, *shape)
Found = tuple[Values, float, int]  # and the gradients after warmup, and the divergences
Run = Callable[[int, int], Found]  # draws of a chain, and a seed
Build = Callable[[], Run]


def hmc(model: Model, warmup: int, compiled: bool) -> Build:
    """`samplers.HMC()` with 64 chains on one thread."""
    import torch

    import samplers

    torch.set_num_threads(1)

    def build() -> Run:
        target = model.ours(compiled)

        def run(draws: int, seed: int) -> Found:
            chains = samplers.HMC().sample(target, chains=64, draws=draws, warmup=warmup, seed=seed, progress=False)
            values = {name: value.numpy() for name, value in chains.constrained.items()}
            return values, float(chains.stats["n_steps"].double().sum()), int(chains.divergences.sum())

        return run

    return build


def numpyro_nuts(model: Model, warmup: int) -> Build:
    """NUTS of NumPyro with its defaults; the whole of `MCMC.run` is compiled once, by jax.jit."""
    import jax
    from numpyro.infer import MCMC, NUTS

    jax.config.update("jax_enable_x64", True)

    def build() -> Run:
        written = model.numpyro()
        compiled: dict[int, Any] = {}

        def run(draws: int, seed: int) -> Found:
            def call(key: Any) -> Any:
                nuts = NUTS(written)
                sizes = {"num_warmup": warmup, "num_samples": draws, "num_chains": CHAINS}
                mcmc = MCMC(nuts, **sizes, chain_method="vectorized", progress_bar=False)
                mcmc.run(key, extra_fields=("num_steps",))
                fields = mcmc.get_extra_fields()
                return mcmc.get_samples(group_by_chain=True), fields["num_steps"].sum(), fields["diverging"].sum()

            key = jax.random.key(seed)
            if draws not in compiled:
                compiled[draws] = jax.jit(call).lower(key).compile()
            values, steps, divergences = compiled[draws](key)
            return {name: np.asarray(value) for name, value in values.items()}, float(steps), int(divergences)

        return run

    return build


def nutpie_nuts(model: Model, warmup: int) -> Build:
    """nutpie on the PyMC model, its chains on all cores."""
    import nutpie
    import pymc  # noqa: F401  (its import is not timed)

    def build() -> Run:
        compiled = nutpie.compile_pymc_model(model.pymc())

        def run(draws: int, seed: int) -> Found:
            options = {"draws": draws, "tune": warmup, "chains": CHAINS, "seed": seed, "progress_bar": False}
            tree = nutpie.sample(compiled, **options)
            values = {str(name): value.values for name, value in tree.posterior.data_vars.items()}
            return values, float(tree.sample_stats.n_steps.sum()), int(tree.sample_stats.diverging.sum())

        return run

    return build


def stan_nuts(model: Model, warmup: int) -> Build:
    """Stan's NUTS by PyStan, its chains on all cores. The program is compiled once, whatever the seed."""
    import stan

    def build() -> Run:
        program, data = model.stan()

        def run(draws: int, seed: int) -> Found:
            built = stan.build(program, data=data, random_seed=seed)
            fit = built.sample(num_chains=CHAINS, num_samples=draws, num_warmup=warmup)
            values = {
                name: np.moveaxis(fit[name].reshape(*dims, draws, CHAINS), (-1, -2), (0, 1))
                for name, dims in zip(fit.param_names, fit.dims, strict=True)
            }
            return values, float(fit["n_leapfrog__"].sum()), int(fit["divergent__"].sum())

        return run

    return build


ENGINES: dict[str, Callable[[Model, int], Build]] = {
    "HMC": lambda model, warmup: hmc(model, warmup, compiled=False),
    "HMC, compiled": lambda model, warmup: hmc(model, warmup, compiled=True),
    "NumPyro": numpyro_nuts,
    "nutpie": nutpie_nuts,
    "Stan": stan_nuts,
    "BlackJAX NUTS": lambda model, warmup: _engine_blackjax.engine(model, warmup, _engine_blackjax.nuts),
    "BlackJAX MAMS": lambda model, warmup: _engine_blackjax.engine(model, warmup, _engine_blackjax.mams),
    "BlackJAX MCLMC": lambda model, warmup: _engine_blackjax.engine(model, warmup, _engine_blackjax.mclmc),
}


def judged(values: Values) -> dict[str, Any]:
    """Least effective draws and largest R-hat over all parameters, by ArviZ, the means and their standard errors."""
    import arviz

    data = arviz.convert_to_dataset(dict(values))
    least = {kind: min(float(v.min()) for v in arviz.ess(data, method=kind).values()) for kind in ("bulk", "tail")}
    worst = max(float(v.max()) for v in arviz.rhat(data).values())
    means, errors = data.mean(("chain", "draw")), arviz.mcse(data, method="mean")
    names = sorted(data.data_vars)
    joined = {
        key: np.concatenate([np.ravel(of[name]) for name in names])
        for key, of in (("means", means), ("errors", errors))
    }
    return {**least, "r_hat": worst, **{key: value.tolist() for key, value in joined.items()}}


def main() -> None:
    name, engine, draws, warmup, seed = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    warnings.simplefilter("ignore")
    build = ENGINES[engine](MODELS[name], warmup)

    def first() -> Run:
        made = build()
        made(draws, seed)
        return made

    run, cold = timed(first)
    quarter = max(4, draws // 4)
    run(quarter, seed + 1)
    (values, gradients, divergences), warm = timed(lambda: run(draws, seed + 2))
    _, short = timed(lambda: run(quarter, seed + 3))
    said = {"cold": cold, "warm": warm, "a draw": (warm - short) / (draws - quarter)}
    print(json.dumps({**said, "gradients": gradients, "divergences": divergences, **judged(values)}))


if __name__ == "__main__":
    main()
