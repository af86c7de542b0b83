"""The checkpoint of a run of chains: it stops after any step and continues to the same bits."""

from __future__ import annotations

import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from samplers.identity import Known, Watched, known
from samplers.runs import checkpoint as checkpoints
from targets.counting import Counted, Tally

if TYPE_CHECKING:
    from samplers.runs.chains import Run


class ChainCheckpoint:
    """Writes a run to a file once a minute, at its end and in a crash, and reads one that is there already.

    `found`: there is one, of a run with the same header; ValueError where it is of another. Without a path nothing is
    written.
    """

    def __init__(self, run: Run, path: Path | None) -> None:
        self._run, self._path = run, path
        self._saved = None if path is None or not path.exists() else checkpoints.load(path, run.header())
        self._next = time.monotonic() + checkpoints.INTERVAL
        self._known: Known | None = None

    @property
    def found(self) -> bool:
        """Whether the run is continued."""
        return self._saved is not None

    def watched(self, target: Counted) -> Counted:
        """The target for the evaluation of the starts, seen to know it again; itself where nothing is written."""
        return target if self._path is None else Watched(target.inner, target.tally)

    def remember(self, target: Counted, start: Tensor) -> None:
        """What to know the target again by: the last evaluation of a watched one, else one at the starts."""
        if self._path is not None:
            seen = target.seen if isinstance(target, Watched) else None
            self._known = known(target, start) if seen is None else seen

    def mark(self) -> None:
        """Remember what to go back to when the step that begins fails halfway."""
        if self._path is not None:
            run = self._run
            self._mark = (run.t, run.generator.get_state(), asdict(run.target.tally), run.state)

    def save_when_due(self) -> None:
        """Save if the last time was a minute ago."""
        if self._path is not None and time.monotonic() > self._next:
            self.save()
            self._next = time.monotonic() + checkpoints.INTERVAL

    def save_quietly(self) -> None:
        """Save on the way out of a crash, whose own error must stay the one that is seen."""
        checkpoints.save_quietly(self.save)

    def save(self) -> None:
        """Write the run as it is after its last whole step."""
        if self._path is None:
            return
        assert self._known is not None
        run = self._run
        if run.t == self._mark[0] + 1:
            t, generator, tally, state = run.t, run.generator.get_state(), asdict(run.target.tally), run.state
        else:  # the step after the mark did not end
            t, generator, tally, state = self._mark
        checkpoints.save(
            self._path,
            {
                "header": run.header(),
                "t": t,
                "generator": generator,
                "tally": tally,
                "seconds": run.seconds,
                "state": {field.name: getattr(state, field.name) for field in fields(state)},
                "known": self._known.state_dict(),
                "warmup": run.warmup.state_dict(),
                "remarks": run.remarks,
                "divergences": run.divergences,
                "recorder": run.recorder.state_dict(),
            },
        )

    def restore(self) -> None:
        """Bring the run to where the file left it."""
        run, saved = self._run, self._saved
        assert self._path is not None
        assert saved is not None
        target, device = run.target.inner, run.target.device
        checkpoints.check_density(self._path, target, saved["known"])
        self._known = Known.from_state(saved["known"])
        run.t = saved["t"]
        run.warmup.load_state_dict(saved["warmup"])
        run.remarks = saved["remarks"]
        run.kernel = run.warmup.kernel if run.t <= run.plan.warmup and run.plan.warmup else run.given
        if run.t > run.plan.warmup > 0:
            run.kernel = run.given.tuned(run.warmup.kernel)
        values: dict[str, Any] = {k: None if v is None else v.to(device) for k, v in saved["state"].items()}
        run.state = type(run.kernel.init(target, values["x"], run.generator))(**values)
        run.generator.set_state(saved["generator"].cpu())
        run.target.tally = Tally(**saved["tally"])
        run.seconds = saved["seconds"]
        run.divergences = saved["divergences"].to(device)
        run.recorder.load_state_dict(saved["recorder"])
        self._saved = None
