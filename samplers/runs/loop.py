"""The loop of every run: progress, Ctrl-C, and a checkpoint that a crash leaves behind."""

from __future__ import annotations

from pathlib import Path

from samplers.runs.checkpoint import Checkpoint
from samplers.runs.interrupt import deferred_interrupt
from samplers.runs.job import Job
from samplers.runs.progress import Progress
from targets.sampling_warning import overheard, warn


def carry_out(job: Job, path: Path | None, progress: bool | None) -> None:
    """Begin, or continue from the checkpoint at `path`, and go through the steps that are left.

    Ctrl-C ends a run after its present step, a second one breaks into that step. Where what is there so far can be
    given, there is a warning (SamplingWarning) and this returns; else KeyboardInterrupt is raised. Either way, and
    where an error ends the run, the checkpoint holds all whole steps.
    """
    checkpoint = Checkpoint(path, job)
    with overheard(job.said):
        _carry_out(job, checkpoint, progress)


def _carry_out(job: Job, checkpoint: Checkpoint, progress: bool | None) -> None:
    checkpoint.begin()
    bar = Progress(job.total, job.done, progress, f"{job.name} on {job.target.name}", job.unit, job)
    stopped = False
    try:
        with deferred_interrupt() as pressed:
            while not (stopped or job.finished):
                checkpoint.mark()
                job.step()
                job.done += 1
                bar.advance(job.figures)
                stopped = job.stepped(pressed.is_set())
                checkpoint.save_when_due()
    except KeyboardInterrupt:
        if not job.whole:
            checkpoint.save_quietly()
            raise
        stopped = True
    except BaseException:
        checkpoint.save_quietly()
        raise
    finally:
        bar.close()
    checkpoint.save()
    if stopped and not job.finished:
        if not job.useful:
            raise KeyboardInterrupt(f"interrupted {job.so_far()}")
        warn(f"interrupted {job.so_far()}")
