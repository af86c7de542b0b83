"""An energy of your own: train a sampler on it, correct its draws, and get its normalising constant.

    python examples/custom_energy.py [iterations]

The density is any function of a batch of points; its score comes from automatic differentiation. The draws of the
trained sampler have weights; SMC along its paths corrects them, and both give log Z, here beside the value from a grid.
"""

import sys
import tempfile
from pathlib import Path

import torch

import samplers
import targets


def energy(x):
    """A ring with two dents, beside a small Gaussian: exp(-energy) is the density, of unknown constant."""
    radius = x.norm(dim=-1)
    ring = 8 * (radius - 2.5).square() - 1.5 * x[..., 0] / radius.clamp_min(1e-3)
    blob = 10 * (x - torch.tensor([0.5, 0.0])).square().sum(-1) - 2.7
    return -torch.logaddexp(-ring, -blob)


def by_grid():
    """log Z, and the mass within a radius of 1.5, from a fine grid."""
    line = torch.linspace(-7, 7, 1401, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    values = -energy(points.float()).double()
    share = values.softmax(0)
    return float(values.logsumexp(0) + 2 * (line[1] - line[0]).log()), float(share[points.norm(dim=-1) < 1.5].sum())


def main(iterations=300):
    target = targets.LogDensity(lambda x: -energy(x), dim=2, name="ring and blob")
    fitted = samplers.DDS(steps=48).fit(target, seed=0, iterations=iterations)
    print(*fitted.notes, sep="\n")
    log_z, mass = by_grid()
    print(f"log Z by {'a grid':20} {log_z:.3f}")
    for name, correct in {"weighted paths": None, "SMC along the paths": "smc"}.items():
        draws = fitted.sample(draws=4000, seed=1, correct=correct)
        print(f"log Z by {name:20} {draws.log_z.value:.3f} +- {draws.log_z.standard_error:.3f}")
    equal = fitted.sample(draws=4000, seed=1, correct="resample")
    inside = float((equal.x[0].norm(dim=-1) < 1.5).double().mean())
    print(f"mass of the blob {inside:.3f}, by the grid {mass:.3f}")
    with tempfile.TemporaryDirectory() as folder:
        again = samplers.load(fitted.save(Path(folder) / "sampler.pt"), target)
    same = torch.equal(again.sample(draws=100, seed=2).x, fitted.sample(draws=100, seed=2).x)
    print(f"saved and loaded, the same draws: {same}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
