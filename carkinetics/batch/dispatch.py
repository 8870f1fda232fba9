"""Jobs out, results in: what happens between the first job of a batch and the last."""

from __future__ import annotations

import pickle
import queue
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from carkinetics.batch.cluster import Workers
from carkinetics.batch.job import Finished, Job
from carkinetics.batch.lost import Lost
from carkinetics.batch.progress import Progress
from carkinetics.batch.records import failed_record
from carkinetics.batch.store import Store
from carkinetics.batch.supervise import supervise
from carkinetics.errors import BatchError

if TYPE_CHECKING:
    from carkinetics.batch.plan import BatchPlan

_TICK = 1.0  # how often the runner looks around [s]
_AHEAD = 2  # jobs that wait for each running one
_LOST_SCHEDULER = 120.0  # how long a scheduler may be away [s]


class Dispatch:
    """Hands out jobs, a few ahead of the workers, and takes in what comes back.

    Parameters
    ----------
    plan, store
        The batch and its folder.
    client : distributed.Client
        Of the scheduler.
    workers : Workers or None
        Those of this machine, where they are ours.
    shown : Progress
        Told of everything.
    retries : int
        How often a job is tried again.
    time_limit : float or None
        For each process [s].
    """

    def __init__(
        self,
        plan: BatchPlan,
        store: Store,
        client: Any,
        workers: Workers | None,
        shown: Progress,
        retries: int,
        time_limit: float | None,
    ) -> None:
        self._plan, self._store, self._client = plan, store, client
        self._workers, self._shown = workers, shown
        self._retries, self._time_limit = retries, time_limit
        self._back: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._out: dict[Any, tuple[Job, int]] = {}
        self._away = 0.0
        self._waiting: list[tuple[Job, int]] = []  # with how often it was tried; next at the end
        self._near: list[Job] = []

    def run(self, jobs: Sequence[Job]) -> None:
        """Do all jobs."""
        others, self._near = self._plan.near_base(list(jobs))
        self._last(others)
        if not any(job.key == self._plan.base_fit for job in others):
            self._try_near()
        while self._waiting or self._out:
            while self._waiting and len(self._out) < self._room():
                self._hand_out(*self._waiting.pop())
            self._shown.tick(len(self._out))
            if self._workers is not None:
                self._workers.look_after()
            else:
                self._check_scheduler()
            try:
                self._take_in(self._back.get(timeout=_TICK))
            except queue.Empty:
                continue

    def _try_near(self) -> None:
        """Let the draws of the base case do what they can, once they are there."""
        near, self._near = self._near, []
        if not near:
            return
        if self._store.fit_facts(self._plan.base_fit) is None:
            self._last(near)
        else:
            self._waiting.append((self._plan.reweighing(near), 0))

    def _last(self, jobs: Sequence[Job]) -> None:
        """Put jobs behind those that wait."""
        self._waiting = [(job, 0) for job in reversed(jobs)] + self._waiting

    def _room(self) -> int:
        if self._workers is not None:
            return self._plan.n_workers * _AHEAD
        if not self._is_there():
            return 0
        return max(1, sum(self._client.nthreads().values())) * _AHEAD

    def _hand_out(self, job: Job, attempt: int) -> None:
        if self._plan.n_fits:
            job = replace(job, fit_file=self._store.fit(job.key))
        future = self._client.submit(
            supervise,
            pickle.dumps(job),
            str(self._store.scratch.resolve()),
            None,
            self._time_limit,
            key=f"{job.key}-{job.analyses[0].key[:8]}-{attempt}",
            pure=False,
        )
        self._out[future.key] = (job, attempt)
        future.add_done_callback(self._back.put)

    def _take_in(self, future: Any) -> None:
        from distributed import KilledWorker

        job, attempt = self._out.pop(future.key)
        if future.status == "cancelled":
            # The scheduler went; it may come back, without its tasks.
            self._waiting.append((job, attempt))
            return
        try:
            content = future.result()
        except Lost as lost:
            self._lost(job, attempt, lost.reason)
        except KilledWorker:
            # The scheduler itself has tried again.
            self._lost(job, self._retries, "its worker was lost")
        except (ImportError, AttributeError) as error:
            raise BatchError(
                f"a worker cannot run carkinetics ({error}). Install carkinetics on every worker, "
                "in the version of this machine."
            ) from error
        else:
            self._keep(job, pickle.loads(content))
        finally:
            future.release()

    def _lost(self, job: Job, attempt: int, reason: str) -> None:
        if attempt < self._retries:
            self._shown.say(f"{job.analyses[0].name}: {reason}; trying again")
            self._waiting.append((job, attempt + 1))
            return
        if job.reweigh:
            self._refit(job, set())
            return
        tries = f"{attempt + 1} tries" if attempt else "1 try"
        for analysis in job.analyses:
            record = failed_record(self._plan, analysis.name, f"{reason} ({tries})", lost=True)
            self._put(analysis.key, record)
        self._shown.finished(job, failed=len(job.analyses), seconds=None, why=reason)
        self._base_is_over(job)

    def _base_is_over(self, job: Job) -> None:
        if job.key == self._plan.base_fit and not job.reweigh:
            self._try_near()

    def _refit(self, job: Job, done: set[str]) -> None:
        """Fit what the draws of the base case could not do."""
        left = [a.key for a in job.analyses if a.key not in done]
        again = [j for j in self._plan.jobs(self._finished()) if j.analyses[0].key in left]
        self._last(again)
        self._shown.reweighed(len(done), len(left), len({a.fit for a in job.analyses}), len(again))

    def _finished(self) -> set[str]:
        found = self._store.finished()
        return {key for key, record in found.items() if not record.get("lost")}

    def _keep(self, job: Job, finished: Finished) -> None:
        if finished.fit_file is not None:
            self._store.put_fit(job.key, finished.fit_file, finished.fit_facts)
        failed, seconds, why = 0, None, ""
        for key, result in finished.results.items():
            self._put(key, result)
            reasons = [row["reason"] for row in result["rows"] if row["status"] == "failed"]
            failed += bool(reasons)
            why = why or (reasons[0] if reasons else "")
            seconds = result.get("process_seconds", seconds)
        if self._workers is not None:
            self._workers.progressed()
        if job.reweigh:
            self._refit(job, set(finished.results))
            return
        self._shown.finished(job, failed=failed, seconds=seconds, why=why)
        self._base_is_over(job)

    def _put(self, key: str, record: Mapping[str, Any]) -> None:
        self._store.put_result(key, record)
        self._shown.stored()

    def _is_there(self) -> bool:
        return self._client.status == "running"

    def _check_scheduler(self) -> None:
        """Stop once the user's scheduler has been away for too long."""
        if self._is_there():
            self._away = 0.0
            return
        self._away += _TICK
        if self._away > _LOST_SCHEDULER or self._client.status == "closed":
            raise BatchError(
                "the scheduler is gone. What is finished is kept: start the cluster again and "
                "give the same command."
            )
