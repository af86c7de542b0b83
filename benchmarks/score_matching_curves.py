"""What iterations and seconds of training buy: score matching in three forms beside a continuous normalising flow.

On the Swiss roll of `examples/score_diffusion.py`, whose density is known: the negative log-density of 500 points that
training has not seen, exact by the probability flow, and the bound of it (`elbo`). The comparison is that of figure 3
of Huang, Lim and Courville 2021, https://arxiv.org/abs/2106.02808.

    denoising              `ScoreDiffusion` as it comes: the network's output is regressed on the noise
    denoising, likelihood  the same loss weighted by g^2, which makes it the bound up to a constant
    implicit, likelihood   the bound itself, with exact divergences (`Implicit`)
    flow                   dx/dt = v(x, t), log p(x) = log prior(x_1) + int div v dt, maximised as it is: by 6 steps of
                           Runge and Kutta's fourth order with exact divergences, and backpropagation through them

All have the same network (2 blocks of 64 units), batches, optimiser and start, the Gaussian of the samples' moments.
Every point is a run of its own, whose learning rate has come to its end. Seconds are those that the process computed,
without looks at held-out losses. All log-densities are those of an adaptive solver; for flows their own steps' are
beside them.

    python benchmarks/score_matching_curves.py
"""

from __future__ import annotations

import runpy
import time
from pathlib import Path

import torch
from _machine import RESULTS, Row, parser, write
from torch import Generator, Tensor

from samplers import ScoreDiffusion
from samplers.denoisers.network import DenoisingNetwork
from samplers.generative import ContinuousFlow, Denoising, Implicit, Loss, ScoreMLP, Training
from samplers.generative.data import Samples
from samplers.generative.divergence import with_divergence
from samplers.learning.descent import Descent, Group
from samplers.learning.rate import cosine
from targets import Gaussian

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/pictures/score_matching_curves.png"
roll = runpy.run_path(str(ROOT / "examples/score_diffusion.py"))["roll"]  # the mixture of its picture
ROWS, HELD, SEED = 20_000, 500, 0
SCORES, FLOWS = (100, 200, 400, 800, 1600), (25, 50, 100, 200)  # iterations
TRAINING = Training(validation=0)
NETWORK = ScoreMLP(width=64, blocks=2)
STEPS, FINER = 6, 4  # of Runge and Kutta; how many times as many show that they converge
CLOCK = 0.1, 1.0  # the noise levels that the network of the flow is told at times 0 and 1
LOSSES: dict[str, Loss] = {
    "denoising": Denoising(weighting="output"),
    "denoising, likelihood": Denoising(),
    "implicit, likelihood": Implicit(),
}
FLOW = "flow"
LOOKS = {"denoising": "#1f4e79", "denoising, likelihood": "#6a9bc3", "implicit, likelihood": "#b5542c", FLOW: "#4d4d4d"}


class Flow:
    """A continuous normalising flow on [0, 1] with the network of a score model, from v = 0 on."""

    def __init__(self, start: Gaussian) -> None:
        generator = Generator().manual_seed(SEED)
        self.start = start
        self.network = DenoisingNetwork(
            start.mean, start.covariance, *CLOCK, generator, width=NETWORK.width, blocks=NETWORK.blocks
        )

    def velocity(self, x: Tensor, t: float) -> Tensor:
        low, high = CLOCK
        clock = x.new_full((len(x),), low ** (1 - t) * high**t)
        return self.network.residual(x, clock) @ self.network.axes.mT

    def log_prob(self, x: Tensor, steps: int = STEPS) -> Tensor:
        """By steps of Runge and Kutta, (n,), differentiable in the parameters."""
        y, change, h = x.detach().requires_grad_(), x.new_zeros(len(x)), 1 / steps
        for k in range(steps):
            slope, total, traces = torch.zeros_like(y), torch.zeros_like(y), torch.zeros_like(change)
            for share, weight in ((0.0, 1), (0.5, 2), (0.5, 2), (1.0, 1)):
                t = (k + share) * h
                slope, trace = with_divergence(lambda at, t=t: self.velocity(at, t), y + share * h * slope)
                total, traces = total + weight * slope, traces + weight * trace
            y, change = y + h / 6 * total, change + h / 6 * traces
        return self.start.log_prob(y) + change

    def fit(self, data: Samples, iterations: int) -> None:
        """As score models are trained."""
        generator, parameters = Generator().manual_seed(SEED), list(self.network.parameters())
        rate, clip, average = TRAINING.learning_rate, TRAINING.gradient_clip, TRAINING.average
        descent = Descent([Group(parameters)], rate, clip=clip, average=average, betas=(0.9, 0.99))
        for done in range(iterations):
            descent.set_rate(cosine(done / iterations) * min(1.0, (done + 1) / (TRAINING.warmup + 1)))
            descent.clear()
            loss = -self.log_prob(data.batch(TRAINING.batch, generator)).mean()
            loss.backward()
            descent.step(float(loss.detach()))
        with torch.no_grad():
            for parameter, value in zip(parameters, descent.averages, strict=True):
                parameter.copy_(value)

    def exact(self, x: Tensor) -> Tensor:
        """The log-density by an adaptive solver, (n,)."""
        return ContinuousFlow(self.velocity, self.start, horizon=1.0, rtol=1e-5, atol=1e-5).log_prob(x)


def score_row(name: str, train: Tensor, held: Tensor, iterations: int) -> Row:
    model = ScoreDiffusion(network=NETWORK, loss=LOSSES[name], training=TRAINING)
    began = time.process_time()
    fitted = model.fit(train, seed=SEED, iterations=iterations, progress=False)
    seconds = time.process_time() - began
    bound, error = fitted.elbo(held).mean
    return _row(name, iterations, seconds, fitted.log_prob(held), held) | {"-bound": -bound, "its s.e.": error}


def flow_row(train: Tensor, held: Tensor, iterations: int) -> Row:
    """In the coordinates in which the score models are trained too."""
    at_start = ScoreDiffusion(network=NETWORK, training=TRAINING).fit(train, seed=SEED, iterations=0, progress=False)
    seen = at_start.transformation
    flow, began = Flow(at_start.start), time.process_time()
    flow.fit(Samples(seen.forward(train)[0]), iterations)
    seconds = time.process_time() - began
    u, c = seen.forward(held)
    flow.network.requires_grad_(False)
    exact, own, finer = flow.exact(u), *(flow.log_prob(u, n * STEPS).detach().double() for n in (1, FINER))
    return _row(FLOW, iterations, seconds, exact + c, held) | {
        "by its own steps": -float((own + c).mean()),
        f"error of {FINER} x as many": float((finer - exact).abs().max()),
    }


def _row(name: str, iterations: int, seconds: float, log_prob: Tensor, held: Tensor) -> Row:
    excess = roll().log_prob(held).double() - log_prob
    return {
        "trained by": name,
        "iterations": iterations,
        "seconds": seconds,
        "-log density": -float(log_prob.mean()),
        "above the truth": float(excess.mean()),
        "s.e.": float(excess.std() / len(held) ** 0.5),
        "-bound": None,
        "its s.e.": None,
        "by its own steps": None,
        f"error of {FINER} x as many": None,
    }


def figure(rows: list[Row], least: float, path: Path) -> None:
    from matplotlib.figure import Figure

    whole = Figure(figsize=(10, 3.8), layout="constrained")
    panels = whole.subplots(1, 2, sharey=True)
    for axes, column in zip(panels, ("iterations", "seconds"), strict=True):
        for name, colour in LOOKS.items():
            found = [row for row in rows if row["trained by"] == name]
            x = [row[column] for row in found]
            axes.plot(x, [row["-log density"] for row in found], ".-", color=colour, label=name)
            if found[0]["-bound"] is not None:
                axes.plot(x, [row["-bound"] for row in found], ":", color=colour)
        axes.axhline(least, color="black", linewidth=0.8)
        axes.set(xscale="log", xlabel={"iterations": column, "seconds": "seconds of one core"}[column])
    panels[0].set(ylabel="held-out -log density, nats")
    whole.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(LOOKS), frameon=False)
    whole.savefig(path, dpi=110)


def main() -> None:
    quick = parser(__doc__).parse_args().quick
    torch.set_num_threads(1)
    train, held = (roll().sample(n, generator=Generator().manual_seed(n)) for n in (ROWS, 20 if quick else HELD))
    scores, flows = ((5, 10), (2,)) if quick else (SCORES, FLOWS)
    least = -float(roll().log_prob(held).mean())
    score_row("denoising", train, held, 2)  # what is loaded on first use is not timed
    rows = []
    for name in LOOKS:
        for n in flows if name == FLOW else scores:
            rows.append(flow_row(train, held, n) if name == FLOW else score_row(name, train, held, n))
            print(rows[-1], flush=True)
    weights = sum(p.numel() for p in Flow(Gaussian([0.0, 0.0])).network.parameters())
    settings = {
        "samples": ROWS,
        "held out": len(held),
        "batch": TRAINING.batch,
        "parameters": weights,
        "torch threads": 1,
    }
    notes = [
        f"The truth is {least:.3f}; that of the Gaussian where all start {_gaussian(train, held):.3f}.",
        "Every row is a run of its own. Seconds are those that the process computed; the s.e. is over held-out points, "
        "that of the bound of its estimate alone.",
        "By its own steps: the same by the Runge-Kutta steps that a flow was trained with, which its log-density by an "
        f"adaptive solver stands beside; error: the largest difference of {FINER} times as many from the latter.",
        "The bound is of the reverse SDE's draws, the log-density of the probability flow's: it may be above.",
    ]
    title = "Score matching and a flow, against iterations and time"
    write(Path(__file__).stem, title, {"On the Swiss roll": rows}, settings=settings, notes=notes, quick=quick)
    figure(rows, least, RESULTS / "score_matching_curves-quick.png" if quick else PICTURE)


def _gaussian(train: Tensor, held: Tensor) -> float:
    return -float(Gaussian(train.mean(0), covariance=torch.cov(train.mT)).log_prob(held).mean())


if __name__ == "__main__":
    main()
