"""A run of SMC() of one tree, as JSON, for `smc_against_commit.py`: target, particles and seed are the arguments."""

from __future__ import annotations

import json
import sys
import time

import torch

import samplers
import targets

name, particles, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
target = targets.benchmark(name)
samplers.SMC().sample(targets.benchmark("gmm9"), draws=20, seed=0, progress=False)  # imports are not timed
began = time.process_time()
draws = samplers.SMC().sample(target, draws=particles, seed=seed, progress=False)
seconds = time.process_time() - began
assert draws.log_z is not None
print(
    json.dumps(
        {
            "seconds": seconds,
            "evaluations": draws.cost.log_prob + draws.cost.score,
            "log_z": draws.log_z.value,
            "stated": draws.log_z.standard_error,
        }
    )
)
