#!/bin/sh
# Draws of SineBivariateVonMises against its own density, two angles with concentrations 2 and 3. Integrated on a grid,
# the density is normalised and says E cos(phi) and E sin(phi) sin(psi). Draws differ by many standard errors, also
# without any correlation, where phi is a von Mises variable and E cos(phi) = I1(2) / I0(2) = 0.6978. The documentation
# cites a rejection sampler that is exact.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 pyro-ppl==1.9.2 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import sys

import pyro
import torch
from pyro.distributions import SineBivariateVonMises

torch.manual_seed(0)
print("pyro", pyro.__version__, "torch", torch.__version__)
angle = torch.linspace(-math.pi, math.pi, 401)[:-1].double()
grid = torch.stack(torch.meshgrid(angle, angle, indexing="ij"), dim=-1)
functions = {
    "E cos(phi)": lambda x: x[..., 0].cos(),
    "E cos(psi)": lambda x: x[..., 1].cos(),
    "E sin(phi) sin(psi)": lambda x: x.sin().prod(-1),
}
found = {}
for correlation in (0.0, 1.5):
    zero, two, three = (torch.tensor(value).double() for value in (0.0, 2.0, 3.0))
    law = SineBivariateVonMises(zero, zero, two, three, correlation=torch.tensor(correlation).double())
    weight = law.log_prob(grid).exp() * (2 * math.pi / 400) ** 2
    draws = law.sample((100_000,))
    found[correlation, "mass"] = float(weight.sum())
    print(f"correlation {correlation}: mass of the density {found[correlation, 'mass']:.6f}, expected 1")
    for name, function in functions.items():
        values = function(draws)
        right, mean, error = float((weight * function(grid)).sum()), float(values.mean()), float(values.std()) / 316.2
        found[correlation, name] = (mean - right) / error
        print(f"  {name}: {mean:.4f} +- {error:.4f} in draws, expected {right:.4f}")
exact = all(abs(found[correlation, "mass"] - 1) < 1e-6 for correlation in (0.0, 1.5))
seen = exact and all(found[correlation, "E cos(phi)"] < -10 for correlation in (0.0, 1.5))
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
