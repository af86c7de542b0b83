#!/bin/sh
# Nested sampling keeps each point that it discards: `points` is, so the documentation, "list of points selected at each
# iteration", and the log-likelihood kept with a point should be the likelihood of its parameters. Prior N(0, 1) for x and
# for y, likelihood exp(-((x - 1.5)^2 + y^2) / (2 0.3^2)): the posterior of x is N(1.376, 0.0826). In the points kept,
# the parameters are views of the live points, so all are overwritten by what came later. With the weights that belong
# to them, the posterior is a spike at the maximum of the likelihood.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check particles==0.4 numpy==1.26.4 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import contextlib
import io
import sys
from importlib.metadata import version

import numpy as np
from particles import distributions, nested, smc_samplers

np.random.seed(0)
print("particles", version("particles"), "numpy", np.__version__)


def log_likelihood(x, y):
    return -((x - 1.5) ** 2 + y**2) / (2 * 0.3**2)


class Model(smc_samplers.StaticModel):
    def loglik(self, theta, t=None):
        return log_likelihood(theta["x"], theta["y"])


prior = distributions.StructDist({"x": distributions.Normal(), "y": distributions.Normal()})
run = nested.Nested_RWmoves(model=Model(data=np.zeros(1), prior=prior), N=100, nsteps=10)
with contextlib.redirect_stdout(io.StringIO()):
    run.run()
kept = np.array([point["llik"] for point in run.points])
x, y = (np.array([point["theta"][name] for point in run.points]) for name in ("x", "y"))
agree = float(np.mean(np.abs(log_likelihood(x, y) - kept) < 1e-9))
weight = np.exp(np.array(run.log_weights) + kept[: len(run.log_weights)] - run.lZhats[-1])
weight /= weight.sum()
mean = float(weight @ x[: len(weight)])
variance = float(weight @ (x[: len(weight)] - mean) ** 2)
print(f"{len(kept)} points kept, {len(np.unique(x))} distinct; expected {len(kept)}, or hardly fewer")
print(f"share whose log-likelihood is that of their parameters: {agree:.3f}, expected 1")
print(f"posterior mean of x {mean:.3f}, expected {1.5 / 1.09:.3f}; variance {variance:.2g}, expected {0.09 / 1.09:.2g}")
seen = len(np.unique(x)) <= 100 and agree < 0.1 and abs(mean - 1.5) < 0.02 and variance < 1e-3
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
