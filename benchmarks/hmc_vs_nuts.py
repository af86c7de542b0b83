"""Effective draws a second: HMC with its defaults against NumPyro's NUTS, on sonar and eight schools.

The figure is the least bulk ESS over all parameters, by ArviZ for both, over the wall time of the whole call, warmup
included: once with the first call, which holds compilation, and once as the median of calls after it, each with a seed
of its own. NumPyro's later calls are the whole of `MCMC.run` within `jax.jit`, compiled beforehand, because on its own
`MCMC.run` compiles anew at every call. The parameters are the weights for sonar; mu, tau and the eight theta for eight
schools, both sides sampling the non-centred form. Both sides run in the same precision, `--dtype`.

    ours      samplers.HMC().sample(target, chains=64), 500 warmup and 1000 draws a chain; and 256 chains, 250 draws.
              Eight schools as a user writes it (`targets.Posterior`, automatic differentiation) and as built in
    NumPyro   NUTS with its defaults on the model as its users write it, chain_method="vectorized",
              1000 warmup and 1000 draws a chain, 4 chains and 64 chains

All rows are shown. The largest R-hat and the divergences stand beside the figure, for a large ESS of chains that do not
agree means nothing. Sides run in turn. Run it with nothing else on the machine:

    python benchmarks/hmc_vs_nuts.py
    python benchmarks/hmc_vs_nuts.py --dtype float32
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import torch
from _machine import Row, parser, write
from _timing import timed
from numpyro.distributions import Bernoulli, HalfCauchy, Normal
from numpyro.infer import MCMC, NUTS

import samplers
import targets
from samplers.draws.records import import_arviz
from targets.datasets import sonar, standardised
from targets.eight_schools import EFFECTS, ERRORS

az = import_arviz()

OURS = ((64, 1000, 500), (256, 250, 500))  # chains, draws, warmup
THEIRS = ((4, 1000, 1000), (64, 1000, 1000))

Values = Mapping[str, np.ndarray]  # named draws, (chains, draws, *shape)


# The models


def our_schools(dtype: torch.dtype) -> targets.Target:
    """Eight schools as a user writes it."""
    y, errors = torch.tensor(EFFECTS, dtype=dtype), torch.tensor(ERRORS, dtype=dtype)
    normal, cauchy = torch.distributions.Normal, torch.distributions.HalfCauchy

    def log_likelihood(mu: torch.Tensor, tau: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return normal(mu[:, None] + tau[:, None] * z, errors).log_prob(y).sum(-1)

    return targets.Posterior(
        log_likelihood=log_likelihood,
        parameters={
            "mu": targets.Real(prior=normal(0.0, 5.0)),
            "tau": targets.Positive(prior=cauchy(5.0)),
            "z": targets.Real(8, prior=normal(0.0, 1.0)),
        },
        derived=lambda mu, tau, z: {"theta": mu[:, None] + tau[:, None] * z},
        dtype=dtype,
    )


def their_schools() -> None:
    """The same for NumPyro."""
    mu = numpyro.sample("mu", Normal(0.0, 5.0))
    tau = numpyro.sample("tau", HalfCauchy(5.0))
    with numpyro.plate("school", len(EFFECTS)):
        z = numpyro.sample("z", Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * z)
        numpyro.sample("y", Normal(theta, jnp.array(ERRORS)), obs=jnp.array(EFFECTS))


def their_sonar() -> Callable[[], None]:
    """Logistic regression on the same standardised features, priors N(0, 1)."""
    features, labels = sonar()
    design, outcome = jnp.asarray(standardised(features)), jnp.asarray(labels)

    def model() -> None:
        w = numpyro.sample("w", Normal(0.0, 1.0).expand([design.shape[1]]).to_event(1))
        numpyro.sample("y", Bernoulli(logits=design @ w), obs=outcome)

    return model


# The samplers

Run = Callable[[int], tuple[Values, int]]  # a seed to named draws and the number of divergences


@dataclass(frozen=True)
class Calls:
    """The first call, as a user makes it; those after it; and what makes the later ones ready, which is not timed."""

    first: Run
    later: Run
    prepare: Callable[[], object]


def ours(target: targets.Target, chains: int, draws: int, warmup: int) -> Calls:
    def run(seed: int) -> tuple[Values, int]:
        result = samplers.HMC().sample(target, chains=chains, draws=draws, warmup=warmup, seed=seed, progress=False)
        values = {name: value.numpy() for name, value in result.constrained.items()}
        return values, int(result.divergences.sum())

    return Calls(run, run, lambda: None)


def theirs(model: Callable[[], None], chains: int, draws: int, warmup: int) -> Calls:
    def call(key: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
        mcmc = MCMC(
            NUTS(model),
            num_warmup=warmup,
            num_samples=draws,
            num_chains=chains,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(key)
        return mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields()["diverging"].sum()

    # MCMC.run compiles anew at every call; within jit it is compiled once
    compiled = cache(lambda: jax.jit(call).lower(jax.random.key(0)).compile())

    def fetched(answer: tuple[dict[str, jax.Array], jax.Array]) -> tuple[Values, int]:
        return {name: np.asarray(value) for name, value in answer[0].items()}, int(answer[1])

    return Calls(
        first=lambda seed: fetched(call(jax.random.key(seed))),
        later=lambda seed: fetched(compiled()(jax.random.key(seed))),
        prepare=compiled,
    )


@dataclass
class Contestant:
    """One row: how it runs, and what its calls gave."""

    model: str
    sampler: str
    chains: int
    draws: int
    warmup: int
    calls: Calls
    names: tuple[str, ...]
    dtype: np.dtype
    found: list[Row] = field(default_factory=list)

    def call(self, seed: int) -> None:
        """Run once more."""
        if self.found:
            self.calls.prepare()
        run = self.calls.later if self.found else self.calls.first
        (values, divergences), seconds = timed(partial(run, seed))
        assert all(values[name].dtype == self.dtype for name in self.names), "the sides differ in precision"
        data = az.convert_to_dataset({name: values[name] for name in self.names})
        ess = min(float(value.min()) for value in az.ess(data, method="bulk").values())
        r_hat = max(float(value.max()) for value in az.rhat(data).values())
        self.found.append({"seconds": seconds, "ess": ess, "r_hat": r_hat, "divergences": divergences})
        print(f"{self.model}, {self.sampler}, {self.chains} chains: ESS {ess:.0f} in {seconds:.2f} s", flush=True)

    def row(self) -> Row:
        """The first call with compilation, and the medians of those after it."""
        first, later = self.found[0], self.found[1:]
        return {
            "model": self.model,
            "sampler": self.sampler,
            "chains": self.chains,
            "draws": self.draws,
            "warmup": self.warmup,
            "first call s": first["seconds"],
            "ESS/s with compilation": first["ess"] / first["seconds"],
            "later calls s": median(call["seconds"] for call in later),
            "least bulk ESS": median(call["ess"] for call in later),
            "ESS/s": median(call["ess"] / call["seconds"] for call in later),
            "R-hat": max(call["r_hat"] for call in self.found),
            "divergences": max(call["divergences"] for call in self.found),
        }


def contestants(dtype: torch.dtype, scale: int) -> list[Contestant]:
    """All rows; draws and warmup are divided by `scale`."""
    models = {
        "sonar": (("w",), {"HMC": targets.benchmark("sonar", dtype=dtype)}, their_sonar()),
        "eight schools": (
            ("mu", "tau", "theta"),
            {"HMC, Posterior": our_schools(dtype), "HMC, built in": targets.benchmark("eight-schools", dtype=dtype)},
            their_schools,
        ),
    }
    precision = np.dtype(str(dtype).removeprefix("torch."))
    found = []
    for model, (names, mine, peer) in models.items():
        plans = [(label, partial(ours, target), *plan) for label, target in mine.items() for plan in OURS]
        plans += [("NumPyro NUTS", partial(theirs, peer), *plan) for plan in THEIRS]
        for label, build, chains, draws, warmup in plans:
            sizes = (chains, draws // scale, warmup // scale)
            found.append(Contestant(model, label, *sizes, build(*sizes), names, precision))
    return found


def ratios(rows: list[Row]) -> list[Row]:
    """Each of ours over the peer's better row."""
    table = []
    for row in rows:
        peers = [other for other in rows if other["model"] == row["model"] and other["sampler"] == "NumPyro NUTS"]
        if row in peers:
            continue
        names = ("ESS/s with compilation", "ESS/s")
        table.append(
            {"model": row["model"], "sampler": row["sampler"], "chains": row["chains"]}
            | {f"{name}: ratio": row[name] / max(other[name] for other in peers) for name in names}
        )
    return table


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="of both sides")
    command_line.add_argument("--repetitions", type=int, default=2, help="calls after the first one")
    arguments = command_line.parse_args()
    numpyro.enable_x64(arguments.dtype == "float64")
    jnp.zeros(1).block_until_ready()  # JAX starts up before the first clock does
    warnings.simplefilter("ignore", samplers.SamplingWarning)  # R-hat and divergences are in the table
    warnings.filterwarnings("ignore", "More chains")  # ArviZ doubts the order of the axes
    repetitions, scale = (1, 10) if arguments.quick else (arguments.repetitions, 1)
    entries = contestants(getattr(torch, arguments.dtype), scale)
    for seed in range(1 + repetitions):
        for contestant in entries:
            contestant.call(seed)
    rows = [contestant.row() for contestant in entries]
    write(
        f"hmc_vs_nuts_{arguments.dtype}",
        f"HMC against NUTS, {arguments.dtype}",
        {"All rows": rows, "Ours over the peer's better row": ratios(rows)},
        settings={
            "dtype": arguments.dtype,
            "calls after the first": repetitions,
            "torch threads": torch.get_num_threads(),
        },
        notes=[
            "seconds hold warmup, draws and the map to the named parameters; ESS and R-hat are computed outside them",
            "from 'later calls s' to 'ESS/s': medians of the later calls; R-hat and divergences: the worst of all",
        ],
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
