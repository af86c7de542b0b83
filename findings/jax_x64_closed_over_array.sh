#!/bin/sh
# A function that closes over a NumPy array in double precision, jitted once with x64 off and once with it on, both by
# the context that JAX documents for it: each call should compile for its own precision. The second raises; a function
# that copies the array at every trace does not.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy

print("jax", jax.__version__)
shared, copied = numpy.arange(8.0), numpy.arange(8.0)
functions = {
    "the array as it is": lambda x: ((shared - x[0]) ** 2).sum(),
    "a copy at every trace": lambda x: ((copied.copy() - x[0]) ** 2).sum(),
}
found = {}
for name, function in functions.items():
    for x64 in (False, True):
        with jax.enable_x64(x64):
            try:
                found[name, x64] = float(jax.jit(function)(jnp.ones(8)))
            except Exception as error:
                found[name, x64] = f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"
        print(f"{name}, x64 {x64}: {found[name, x64]}, expected 92.0")
fails = isinstance(found["the array as it is", True], str)
seen = fails and all(value == 92.0 for key, value in found.items() if key != ("the array as it is", True))
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
