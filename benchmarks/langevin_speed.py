"""Particle-steps a second of ULA and MALA against JAX, on the mixture gmm40-fab, 1,000 chains in float32 on the CPU.

Ours is timed twice: `kernel.step` in a plain loop, and the whole driver, `kernel.sample(warmup=0)`. The peers are one
`jax.jit` of a `lax.scan` each: ULA written by hand, MALA from blackjax and vmapped over the chains. The peer takes the
fastest of several ways to write the same mixture (all listed): squares expanded into matrix products or broadcast, a
closed-form score or `jax.grad`, two random generators. Before anything is timed the densities and scores of both sides
are checked to agree.

Both sides of a row keep the same:
    last      the chains' last positions
    draws     the position of every chain at every step; `sample` keeps log-density, acceptance and divergence as well
    moments   the last positions, and mean and variance of all positions
Our states carry log-density and score and every step checks that they are finite; the peer's ULA has the score alone.

torch runs on one thread, which is faster than two at this size; JAX has both cores.

The last rows are a density as a user writes it, a logsumexp of squared distances differentiated automatically:
`targets.LogDensity`, eager and with compile=True, against the same expression under `jax.grad`.

Times are of the runs alone, ours and the peer's in turn, 5 of each; compilation is listed separately. A ratio above one
means that ours is faster. Run it with nothing else on the machine:

    python benchmarks/langevin_speed.py
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
import torch
import torch._inductor.config as inductor
from _machine import Row, parser, write
from _timing import Times, alternate, timed
from torch import Tensor

import samplers
import targets

CHAINS = 1000
STEP_SIZES = {"ULA": 0.1, "MALA": 1.0}
GOALS = {"ULA": 3.0, "MALA": 3.0, "user": 1.0}
SCALE = math.log1p(math.e)  # the standard deviation of every component
GENERATORS = ("threefry2x32", "rbg")

Array = Any


# Our side


def loop(kernel: samplers.Kernel, target: targets.Target, x: Tensor, steps: int, keep: str) -> Tensor:
    """The kernel's step without a driver."""
    generator = torch.Generator().manual_seed(0)
    kept = x.new_empty(steps, *x.shape) if keep == "draws" else None
    with torch.no_grad():
        state = kernel.init(target, x, generator)
        for t in range(steps):
            state, _ = kernel.step(target, state, generator)
            if kept is not None:
                kept[t] = state.x
    return state.x if kept is None else kept


def sample(kernel: samplers.Kernel, target: targets.Target, x: Tensor, steps: int, keep: str) -> samplers.Draws:
    """The whole driver."""
    return kernel.sample(target, chains=len(x), draws=steps, warmup=0, init=x, progress=False, keep=keep)


def user_density(means: Tensor) -> Callable[[Tensor], Tensor]:
    """The mixture as a user writes it, up to a constant."""

    def log_density(x: Tensor) -> Tensor:
        squares = ((x[:, None] - means) / SCALE).square().sum(-1)
        return torch.logsumexp(-0.5 * squares, -1)

    return log_density


# The peer's side. Densities take (*batch, dim), up to a constant


@dataclass(frozen=True)
class Mixture:
    """One way to write the mixture: the log-density that is differentiated, and the batched score."""

    log_prob: Callable[[Array], Array]
    score: Callable[[Array], Array]


def mixtures(means: Array) -> dict[str, Mixture]:
    """The ways, by name."""
    variance = SCALE**2
    offset = -0.5 * (means**2).sum(-1) / variance

    def expanded(x: Array) -> Array:
        return x @ means.T / variance + offset - 0.5 * (x**2).sum(-1)[..., None] / variance

    def broadcast(x: Array) -> Array:
        return -0.5 * (((x[..., None, :] - means) / SCALE) ** 2).sum(-1)

    def log_prob(logits: Callable[[Array], Array], x: Array) -> Array:
        return jax.nn.logsumexp(logits(x), -1)

    def score(logits: Callable[[Array], Array], x: Array) -> Array:
        return (jax.nn.softmax(logits(x), -1) @ means - x) / variance

    found = {}
    for name, logits in (("expanded", expanded), ("broadcast", broadcast)):
        plain = partial(log_prob, logits)
        closed = partial(score, logits)
        found[f"{name}, jax.grad"] = Mixture(plain, jax.grad(lambda x, f=plain: f(x).sum()))
        found[f"{name}, closed form"] = Mixture(with_score(plain, closed), closed)
    return found


def with_score(log_prob: Callable[[Array], Array], score: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The log-density with its closed-form gradient in place of the automatic one."""
    known = jax.custom_vjp(log_prob)
    known.defvjp(lambda x: (log_prob(x), score(x)), lambda kept, slope: (slope[..., None] * kept,))
    return known


def ula(mixture: Mixture, x: Array) -> tuple[Array, Callable[[Array, Array], Array], Callable[[Array], Array]]:
    """First state, step and position of a state."""
    h = STEP_SIZES["ULA"]

    def step(x: Array, key: Array) -> Array:
        return x + h * mixture.score(x) + math.sqrt(2 * h) * jax.random.normal(key, x.shape)

    return x, step, lambda x: x


def mala(mixture: Mixture, x: Array) -> tuple[Any, Callable[[Any, Array], Any], Callable[[Any], Array]]:
    """Likewise, by blackjax over all chains."""
    algorithm = blackjax.mala(mixture.log_prob, STEP_SIZES["MALA"])

    def step(state: Any, key: Array) -> Any:
        return jax.vmap(algorithm.step)(jax.random.split(key, len(x)), state)[0]

    return jax.vmap(algorithm.init)(x), step, lambda state: state.position


PEERS = {"ULA": ula, "MALA": mala}


def compiled(
    algorithm: str, mixture: Mixture, generator: str, x: Tensor, steps: int, keep: str
) -> tuple[Callable[[], Any], float]:
    """A call of the peer that waits for its result, and the seconds of its compilation."""
    state, step, position = PEERS[algorithm](mixture, jnp.asarray(x.numpy()))

    def run(state: Any, key: Array) -> Any:
        def body(carry: Any, key: Array) -> Any:
            state, total, squares = carry
            state = step(state, key)
            x = position(state)
            if keep == "moments":
                total, squares = total + x.mean(0), squares + (x**2).mean(0)
            return (state, total, squares), x if keep == "draws" else None

        zero = jnp.zeros(x.shape[1])
        (state, total, squares), kept = jax.lax.scan(body, (state, zero, zero), jax.random.split(key, steps))
        if keep == "draws":
            return kept
        mean = total / steps
        return (position(state), mean, squares / steps - mean**2) if keep == "moments" else position(state)

    key = jax.random.key(0, impl=generator)
    ready, seconds = timed(lambda: jax.jit(run).lower(state, key).compile())
    return lambda: jax.block_until_ready(ready(state, key)), seconds


# The comparison


@dataclass
class Comparison:
    """All the rows, over the same start, number of steps and repetitions."""

    x: Tensor
    means: Array
    steps: int
    repetitions: int

    def __post_init__(self) -> None:
        self.mixtures = mixtures(self.means)
        self.rows: list[Row] = []
        self.ways: list[Row] = []

    def fastest_peer(self, algorithm: str, names: list[str]) -> tuple[str, str]:
        """The way to write the mixture and the random generator with which the peer is fastest; lists all."""
        choices = [(name, generator) for name in names for generator in GENERATORS]
        built = [self._peer(algorithm, choice, "last") for choice in choices]
        times = alternate([run for run, _ in built], self.repetitions)
        for (name, generator), found, (_, seconds) in zip(choices, times, built, strict=True):
            rate = self._rate(found.median)
            way = {"peer": algorithm, "mixture": name, "generator": generator, "M/s": rate, "compile s": seconds}
            self.ways.append(way)
        return min(zip(times, choices, strict=True), key=lambda pair: pair[0].median)[1]

    def compare(
        self, case: str, ours: Callable[[], Any], algorithm: str, choice: tuple[str, str], keep: str, goal: float
    ) -> None:
        """Add the row of one pair."""
        peer, seconds = self._peer(algorithm, choice, keep)
        _, first = timed(ours)
        here, there = alternate([ours, peer], self.repetitions)
        row = {
            "ours": case,
            "peer": f"{'blackjax MALA' if algorithm == 'MALA' else 'JAX ULA'} ({choice[0]}, {choice[1]})",
            "kept": keep,
            **self._rates("ours", here),
            **self._rates("peer", there),
            "ratio": there.median / here.median,
            "ratio of best": there.best / here.best,
            "goal": goal,
            "our first call s": first,
            "peer's compilation s": seconds,
        }
        self.rows.append(row)
        print(f"{case}, {keep}: ratio {row['ratio']:.2f}")

    def _peer(self, algorithm: str, choice: tuple[str, str], keep: str) -> tuple[Callable[[], Any], float]:
        return compiled(algorithm, self.mixtures[choice[0]], choice[1], self.x, self.steps, keep)

    def _rates(self, side: str, times: Times) -> Row:
        return {f"{side} M/s": self._rate(times.median), f"{side} best M/s": self._rate(times.best)}

    def _rate(self, seconds: float) -> float:
        return len(self.x) * self.steps / seconds / 1e6


def check_agreement(target: targets.Target, user: targets.Target, comparison: Comparison) -> None:
    """Both sides have the same density up to a constant, and the same score."""
    x = comparison.x
    value, score = target.log_prob_and_score(x)
    ways = [(name, mixture.log_prob, mixture.score) for name, mixture in comparison.mixtures.items()]
    for name, log_prob, gradient in ways:
        other = torch.tensor(jax.device_get(log_prob(jnp.asarray(x.numpy()))))
        slope = torch.tensor(jax.device_get(gradient(jnp.asarray(x.numpy()))))
        _agree(name, value, other, score, slope)
    _agree("LogDensity", value, user.log_prob(x), score, user.score(x))


def _agree(name: str, value: Tensor, other: Tensor, score: Tensor, slope: Tensor) -> None:
    shift = value - other
    assert float(shift.max() - shift.min()) < 1e-2, f"{name}: another density, off by {shift.min()} to {shift.max()}"
    assert torch.allclose(score, slope, atol=5e-3), f"{name}: another score, off by {(score - slope).abs().max()}"


def main() -> None:
    quick = parser(__doc__).parse_args().quick
    torch.set_num_threads(1)
    inductor.force_disable_caches = True  # our compilation starts from nothing, as the peer's does
    steps, repetitions = (100, 2) if quick else (1000, 5)
    target = targets.benchmark("gmm40-fab", dtype=torch.float32)
    x = target.sample(CHAINS, generator=torch.Generator().manual_seed(0))
    comparison = Comparison(x, jnp.asarray(target.modes.numpy()), steps, repetitions)
    user = user_density(target.modes)
    eager = targets.LogDensity(user, 2, dtype=torch.float32)
    check_agreement(target, eager, comparison)

    kernels = {name: getattr(samplers, name)(STEP_SIZES[name], "identity") for name in PEERS}
    for name, kernel in kernels.items():
        fastest = comparison.fastest_peer(name, list(comparison.mixtures))
        for way, run, keep in (
            ("kernel.step", loop, "last"),
            ("kernel.step", loop, "draws"),
            ("sample()", sample, "moments"),
            ("sample()", sample, "draws"),
        ):
            ours = partial(run, kernel, target, x, steps, keep)
            comparison.compare(f"{name}, {way}", ours, name, fastest, keep, GOALS[name])

    choice = comparison.fastest_peer("ULA", ["broadcast, jax.grad"])
    for way, density in (
        ("eager", eager),
        ("compile=True", targets.LogDensity(user, 2, dtype=torch.float32, compile=True)),
    ):
        ours = partial(loop, kernels["ULA"], density, x, steps, "last")
        comparison.compare(f"ULA on a user's density, {way}, kernel.step", ours, "ULA", choice, "last", GOALS["user"])

    write(
        "langevin_speed",
        "Langevin steps a second against JAX",
        {"Millions of particle-steps a second, median and best": comparison.rows, "The peer's ways": comparison.ways},
        settings={
            "target": "gmm40-fab",
            "chains": CHAINS,
            "steps": steps,
            "dtype": "float32",
            "repetitions": repetitions,
            "torch threads": torch.get_num_threads(),
            **{f"{name} step size": h for name, h in STEP_SIZES.items()},
        },
        notes=[
            "ratio: our rate over the peer's, of the medians; above one ours is faster",
            "our first call holds torch.compile where there is one, and a whole run",
            "the peer's ULA keeps no log-density and checks nothing; ours does both in every step",
        ],
        quick=quick,
    )


if __name__ == "__main__":
    main()
