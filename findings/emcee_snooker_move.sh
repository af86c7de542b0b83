#!/bin/sh
# Of a standard normal each coordinate has variance 1, whichever of emcee's moves draws it. By DESnookerMove it is .91 in
# two dimensions and .71 in five. The snooker move steps along the line from another walker z by an amount that does not
# depend on the distance to z, and its ratio has (|q - z| / |x - z|)^(d - 1). Here the step is a multiple of that
# distance, as the difference is divided by the root of its norm, and the exponent is half of this one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check emcee==3.1.6 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import emcee
import numpy

print("emcee", emcee.__version__)
found = {}
for name, move in {"stretch": emcee.moves.StretchMove(), "snooker": emcee.moves.DESnookerMove()}.items():
    for d in (2, 5):
        numpy.random.seed(0)
        sampler = emcee.EnsembleSampler(64, d, lambda x: -(x * x).sum(-1) / 2, vectorize=True, moves=move)
        sampler.run_mcmc(numpy.random.standard_normal((64, d)), 1500)
        batches = (sampler.get_chain()[100:] ** 2).mean((1, 2)).reshape(20, -1).mean(1)
        found[name, d] = batches.mean()
        error = batches.std(ddof=1) / 20**0.5
        print(f"{name} move, d = {d}: variance {batches.mean():.3f} +- {error:.3f}, expected 1")
seen = all(abs(found["stretch", d] - 1) < 0.05 for d in (2, 5))
seen = seen and abs(found["snooker", 2] - 0.91) < 0.05 and abs(found["snooker", 5] - 0.71) < 0.05
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
