#!/bin/sh
# ArviZ 0.x logs that draws hold a NaN, or are too few for R-hat. The guess was: once for each array that is bad, by the
# logger that logging.getLogger("arviz") gives. Seen: a text is logged once a process, so that of two bad models the
# second is passed over in silence; and the logger is another object, which neither levels nor handlers set by its name
# reach.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check arviz==0.23.4 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import logging
import sys

import arviz
import numpy

print("arviz", arviz.__version__, "numpy", numpy.__version__)


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


own, named = Kept(), Kept()
arviz._log.addHandler(own)
logging.getLogger("arviz").addHandler(named)
logging.getLogger("arviz").setLevel(logging.CRITICAL)  # which should silence it
print("arviz._log is logging.getLogger('arviz'):", arviz._log is logging.getLogger("arviz"))

noise = numpy.random.default_rng(0).standard_normal((2, 4, 500))
noise[:, 0, 7] = numpy.nan
logged = []
for model in ("first", "second"):
    before = len(own.texts)
    value = arviz.rhat(noise[("first", "second").index(model)])
    logged.append(len(own.texts) - before)
    print(f"{model} model, one NaN among its draws: R-hat {float(value)}, {logged[-1]} messages logged")
print("logged:", own.texts, "by the logger of that name:", named.texts)
seen = logged == [1, 0] and not named.texts and arviz._log is not logging.getLogger("arviz")
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
