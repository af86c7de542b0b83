"""The state of a training run between two iterations, for a checkpoint."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import Any

from samplers.diffusion.training import Run
from samplers.path_measures.evaluation import Evaluation


def state_of(run: Run) -> dict[str, Any]:
    """All that the next iteration depends on, besides the generator."""
    return {
        "measure": run.measure.state_dict(),
        "descent": run.descent.state_dict(),
        "log_z": run.log_z.detach(),
        "counts": [run.lost, run.skipped],
        "history": run.history,
        "untrained": None if run.untrained is None else asdict(run.untrained),
        **_moved(run),
    }


def moved_by(run: Run) -> dict[str, Any]:
    """Copies of what an iteration changes before it learns: the points that it moves."""
    return copy.deepcopy(_moved(run))


def _moved(run: Run) -> dict[str, Any]:
    return {
        "buffer": None if run.buffer is None else run.buffer.state_dict(),
        "witnesses": None if run.witnesses is None else run.witnesses.state_dict(),
        "move_steps": run.move_steps,
    }


def put_back(run: Run, saved: dict[str, Any]) -> None:
    """Put a new run where the saved one was."""
    run.measure.load_state_dict(saved["measure"])
    run.descent.load_state_dict(saved["descent"])
    run.log_z.data.copy_(saved["log_z"])
    run.lost, run.skipped = saved["counts"]
    run.history.update(saved["history"])
    run.untrained = None if saved["untrained"] is None else Evaluation(**saved["untrained"])
    if run.buffer is not None:
        run.buffer.load_state_dict(saved["buffer"])
    if run.witnesses is not None:
        run.witnesses.load_state_dict(saved["witnesses"])
    if run.move_steps is not None:
        run.move_steps.copy_(saved["move_steps"])
