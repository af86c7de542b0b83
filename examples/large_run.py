"""Runs larger than memory, and runs that break: draws streamed to disk, a checkpoint, and running moments.

A density that fails halfway stands for a power cut. The same call with the same `checkpoint=` and `stream=` goes on
where the run stopped, and ends with the bits of a run that was never interrupted. `keep="moments"` needs no disk.
"""

import tempfile
from pathlib import Path

import torch

import samplers
import targets


def bent(fail_at=None):
    """A bent Gaussian as a function; it raises at its evaluation number `fail_at`."""
    evaluations = 0

    def log_prob(x):
        nonlocal evaluations
        evaluations += 1
        if evaluations == fail_at:
            raise RuntimeError("the power went out")
        return -0.5 * x[:, 0].square() - 0.5 * (x[:, 1] - x[:, 0].square()).square()

    return targets.LogDensity(log_prob, dim=2, dtype=torch.float64, name="bent")


def main(folder):
    options = {"chains": 64, "draws": 150, "warmup": 50, "thin": 2, "seed": 3, "progress": False}
    on_disk = {"checkpoint": folder / "run.pt", "stream": folder / "draws"}
    try:
        samplers.MALA().sample(bent(fail_at=250), **options, **on_disk)
    except RuntimeError as error:
        print("stopped:", error)
    draws = samplers.MALA().sample(bent(), **options, **on_disk)  # the same call
    whole = samplers.MALA().sample(bent(), **options)
    print("resumed equals uninterrupted, bit for bit:", torch.equal(draws.x, whole.x))

    for block in draws.blocks():  # a block at a time; `draws.x` would read all
        print("block", tuple(block.shape))
    later = samplers.Draws.load(folder / "draws", bent())  # by another program, or while the run goes on
    print("loaded", tuple(later.x.shape), "at a cost of", later.cost.score, "scores")

    moments = samplers.MALA().sample(bent(), **options, keep="moments").moments
    print("moments of", moments.count, "draws: mean", [round(value, 3) for value in moments.mean.tolist()])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
