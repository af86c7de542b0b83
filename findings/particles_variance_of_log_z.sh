#!/bin/sh
# `Var_logLt` "computes and collects estimates of the variance of the log normalising constant estimator". Observations
# with noise of variance sigma^2 of an autoregression, 200 particles, multinomial resampling at every step; the variance
# over 200 runs against the mean of the estimates. They are 1/N too large at every step: 6 times the truth where
# observations are informative, and millions of times where weights are nearly equal, as 1/N is all that they say then.
# The estimate of Lee and Whiteley (2018), which the documentation cites, from the same family trees is right:
# 1 - (N / (N - 1))^T (1 - S), S being what is returned.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check particles==0.4 numpy==1.26.4 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import particles
from particles import distributions, state_space_models
from particles.variance_estimators import Var_logLt

np.random.seed(0)
print("particles", version("particles"), "numpy", np.__version__)
N, steps, runs = 200, 5, 200


class Autoregression(state_space_models.StateSpaceModel):
    def PX0(self):
        return distributions.Normal(0.0, 1.0)

    def PX(self, t, xp):
        return distributions.Normal(0.6 * xp, 0.8)

    def PY(self, t, xp, x):
        return distributions.Normal(x, self.sigma)


seen = True
for sigma, least in ((1.0, 4.0), (100.0, 1e6)):
    filters = []
    for _ in range(runs):
        law = state_space_models.Bootstrap(ssm=Autoregression(sigma=sigma), data=[0.3] * steps)
        run = particles.SMC(fk=law, N=N, resampling="multinomial", ESSrmin=1.0, collect=[Var_logLt()])
        run.run()
        filters.append((run.logLt, run.summaries.var_logLt[-1]))
    log_z, estimates = np.array(filters).T
    cited = 1 - (N / (N - 1)) ** steps * (1 - estimates.mean())
    print(f"noise {sigma:g}: variance of log Z over runs {log_z.var():.3g}, expected of the estimates' mean")
    print(f"  they say {estimates.mean():.3g}, the estimate of the paper {cited:.3g}")
    seen = seen and estimates.mean() > least * log_z.var()
    seen = seen and abs(cited - log_z.var()) < 0.3 * log_z.var() + 1e-3
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
