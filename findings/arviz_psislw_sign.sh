#!/bin/sh
# Pareto k-hat of importance weights whose tail index is 0.8 is 1 / 0.8 = 1.25. `arviz.psislw(log_weights)` of 0.23 says
# about so. The function of the same name that stands in its place in arviz-stats says -0.96, a verdict of perfect
# weights: it takes the negated log-weights (log-likelihoods, whose negative the weights of leave-one-out are), which its
# documentation does not say.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for name in older newer; do python3 -m venv "$folder/$name"; done
pip="pip install --quiet --disable-pip-version-check"
"$folder/older/bin/python" -m $pip arviz==0.23.4 numpy==2.4.6 scipy==1.17.1
# 1.3.3 asks for Python 3.12; what is used of it runs on 3.11 as well
"$folder/newer/bin/python" -m $pip numpy==2.4.6 scipy==1.17.1
"$folder/newer/bin/python" -m $pip --no-deps --ignore-requires-python arviz-stats==1.3.3
cat >"$folder/weights.py" <<'PYTHON'
import numpy

uniform = numpy.random.default_rng(0).random(20000)
heavy = -numpy.log(1 - uniform) / 0.8  # logarithms of Pareto weights, P(w > t) = t^-0.8
PYTHON
cd "$folder"
older=$(older/bin/python -W ignore -c "
import arviz
from weights import heavy
print(f'{float(arviz.psislw(heavy)[1]):.2f}')")
newer=$(newer/bin/python -W ignore -c "
from arviz_stats.base import array_stats
from weights import heavy
print(f'{float(array_stats.psislw(heavy)[1]):.2f} {float(array_stats.psislw(-heavy)[1]):.2f}')")
echo "expected k-hat near 1.25"
echo "arviz 0.23.4: $older"
echo "arviz-stats 1.3.3, of the weights and of their negative: $newer"
older/bin/python - "$older" $newer <<'PYTHON'
import sys

older, newer, negated = map(float, sys.argv[1:])
seen = older > 1 and newer < 0 and negated > 1
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
