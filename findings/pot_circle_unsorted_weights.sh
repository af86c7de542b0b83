#!/bin/sh
# A distance between laws does not ask in which order atoms are listed. The squared Wasserstein distance between weighted
# points of a circle and its uniform law comes out right if the points are sorted, and else up to several times too large
# or too small: points are sorted, and the sums of weights are not. The documentation asks for no order. Exact: the formula
# that it gives, and a linear programme with the uniform law on a grid. With equal weights any order is right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    POT==0.9.7.post1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy
import ot

print("POT", ot.__version__, "numpy", numpy.__version__)
generator = numpy.random.default_rng(0)
points, weights = generator.random(40), generator.random(40)
weights /= weights.sum()
order = numpy.argsort(points)
equal = numpy.full(40, 1 / 40)
distance = ot.semidiscrete_wasserstein2_unif_circle
found = {
    "as drawn": float(distance(points, weights)[0]),
    "sorted": float(distance(points[order], weights[order])[0]),
    "equal weights, as drawn": float(distance(points, equal)[0]),
    "equal weights, sorted": float(distance(points[order], equal)[0]),
}
grid = (numpy.arange(1000) + 0.5) / 1000
apart = numpy.abs(points[:, None] - grid)
cost = numpy.minimum(apart, 1 - apart) ** 2
right = {name: ot.emd2(w, numpy.full(1000, 1e-3), cost) for name, w in (("equal", equal), ("", weights))}
for name, value in found.items():
    print(f"{name}: {value:.6f}, expected {right['equal' if 'equal' in name else '']:.6f}")
exact = all(abs(value - right["equal"]) < 1e-5 for name, value in found.items() if "equal" in name)
seen = exact and abs(found["sorted"] - right[""]) < 1e-5 and abs(found["as drawn"] - right[""]) > 5e-4
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
