"""How far a batch is: plain lines, and a file for whoever looks from elsewhere."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from carkinetics.batch.job import Job
from carkinetics.batch.store import STATUS, Store
from carkinetics.batch.timing import expected_seconds, in_time

if TYPE_CHECKING:
    from carkinetics.batch.plan import BatchPlan

_REFRESH = 5.0  # of the status file while nothing happens [s]
_REASON = 160  # letters of a reason in a line


class Progress:
    """Counts what is finished, and tells it.

    Parameters
    ----------
    plan : BatchPlan
        The batch.
    store : Store
        Whose log and status file are written.
    jobs : sequence of Job
        What this run has to do.
    quiet : bool
        Write to the folder only.
    """

    def __init__(self, plan: BatchPlan, store: Store, jobs: Sequence[Job], quiet: bool) -> None:
        self._plan, self._store, self._quiet = plan, store, quiet
        self._to_do = sum(len(job.analyses) for job in jobs)
        self._jobs_left = len(jobs)
        self._before = len(plan.variants) - self._to_do
        self._done = self._failed = 0
        self._jobs_done = 0
        self._started = time.monotonic()
        self._shown = 0.0
        self._running = 0
        self._expected, _ = expected_seconds(plan, store)

    def start(self) -> None:
        """Tell what there is to do."""
        total = len(self._plan.variants)
        refused = len(self._plan.refused)
        text = f"{total:,} variants: {self._before - refused:,} finished before"
        if refused:
            text += f", {refused:,} refused"
        left = f"; about {in_time(self._left())}" if self._to_do else ""
        self.say(f"{text}, {self._to_do:,} to do in {self._jobs_left:,} processes{left}")
        self._write("running")

    def stored(self) -> None:
        """Count a result that is in the folder, whatever becomes of the rest of its job."""
        self._done += 1

    def finished(self, job: Job, failed: int, seconds: float | None, why: str) -> None:
        """Count a job, and tell it."""
        self._failed += failed
        self._jobs_left -= 1
        self._jobs_done += 1
        names = job.analyses[0].name
        if len(job.analyses) > 1:
            names += f" and {len(job.analyses) - 1} more"
        took = f" in {in_time(seconds)}" if seconds is not None else ""
        what = f"{names}{took}"
        if failed:
            shown = why.splitlines()[0][:_REASON] if why else ""
            what += f", {failed} FAILED: {shown}" if len(job.analyses) > 1 else f" FAILED: {shown}"
        left = f"; about {in_time(self._left())} left" if self._jobs_left else ""
        self.say(f"{self._before + self._done:,} of {len(self._plan.variants):,}: {what}{left}")
        self._write("running")

    def reweighed(self, done: int, left: int, tried: int, fits: int) -> None:
        """Tell what the draws of the base case could do, and count the fits tried."""
        self._jobs_left += fits - tried
        text = f"{done} variant(s) from the weighed draws of the base case"
        if left:
            text += f"; {left} need {fits} fit(s) of their own"
        self.say(text)
        self._write("running")

    def tick(self, running: int) -> None:
        """Refresh the status file now and then."""
        self._running = running
        if time.monotonic() - self._shown > _REFRESH:
            self._write("running")

    def end(self, how: str) -> None:
        """Tell how the run ended."""
        took = in_time(time.monotonic() - self._started)
        text = f"{how} after {took}: {self._done:,} in this run, {self._failed:,} of them failed"
        if how != "finished":
            text += f"; {self._to_do - self._done:,} left. The same command goes on from here"
        self.say(text)
        self._running = 0
        self._write(how)

    def say(self, text: str) -> None:
        """Write a line to the log, and to standard error."""
        line = f"{datetime.datetime.now().strftime('%H:%M:%S')}  {text}"
        self._store.say(line)
        if not self._quiet:
            print(line, file=sys.stderr, flush=True)

    def _left(self) -> float:
        """Estimate what is left, once a job is finished from the pace of this run [s]."""
        if self._jobs_done:
            return (time.monotonic() - self._started) * self._jobs_left / self._jobs_done
        return self._expected * -(-self._jobs_left // self._plan.n_workers)

    def _write(self, state: str) -> None:
        from carkinetics.errors import BatchError

        self._shown = time.monotonic()
        status: dict[str, Any] = {
            "state": state,
            "variants": len(self._plan.variants),
            "finished": self._before + self._done,
            "failed_in_this_run": self._failed,
            "jobs_left": self._jobs_left,
            "seconds_left": round(self._left()) if self._jobs_left else 0,
            "pid": os.getpid(),
            "host": platform.node(),
            "updated": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        try:
            self._store.write_text(STATUS, json.dumps(status, indent=2) + "\n")
        except BatchError:
            if state == "running":
                raise
            # The end itself must be told, also where the disk is full.
            self.say("the status file could not be written")
