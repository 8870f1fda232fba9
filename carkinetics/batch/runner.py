"""`run_variants`: do what a plan says, survive what happens meanwhile, and go on another day."""

from __future__ import annotations

import contextlib
import pickle
import queue
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carkinetics.batch.cluster import Workers, connected
from carkinetics.batch.job import Finished, Job
from carkinetics.batch.lost import Lost
from carkinetics.batch.progress import Progress
from carkinetics.batch.records import failed_record, plan_record
from carkinetics.batch.runs import Runs, load_runs
from carkinetics.batch.store import PLAN, TABLE, Store
from carkinetics.batch.supervise import supervise
from carkinetics.batch.variants import Variants
from carkinetics.errors import BatchError

if TYPE_CHECKING:
    from carkinetics.batch.plan import BatchPlan
    from carkinetics.cohort import Cohort
    from carkinetics.model import Model

_TICK = 1.0  # how often the runner looks around [s]
_AHEAD = 2  # jobs that wait for each running one
_LOST_SCHEDULER = 120.0  # how long a scheduler may be away [s]


def run_variants(
    model: Model | None,
    cohort: Cohort,
    variants: Variants,
    *,
    folder: str | Path,
    method: str = "nuts",
    n_workers: int | None = None,
    scheduler: str | None = None,
    retries: int = 2,
    time_limit: float | None = None,
    allow_failed: bool = False,
    reweight: bool = True,
    progress: str = "log",
    **settings: Any,
) -> Runs:
    """Run a batch of variants, or go on with one that was stopped.

    Parameters
    ----------
    model : Model or None
        From `load_model`; None where exposures come from samples.
    cohort : Cohort
        From `read_cohort`.
    variants : Variants
        From `variants`.
    folder : path
        Where results are kept. What is finished there is not computed again.
    method : {"nuts", "laplace", "samples"}
        A full fit per variant, an approximate one, or none: exposures from samples.

    Returns
    -------
    Runs
        The table, its figures and its sentences.

    Other Parameters
    ----------------
    n_workers : int, optional
        Fits at the same time on this machine; as many as there are processors by default.
    scheduler : str, optional
        Address of a dask cluster whose workers have carkinetics; they do the work, and need no
        disk in common with this machine.
    retries : int
        How often a job is tried again whose process or worker was lost.
    time_limit : float, optional
        After which the process of a fit is ended [s].
    allow_failed : bool
        Also analyze fits that fail their checks. Without it they are rows without a number.
    reweight : bool
        Try variants near the base case (scales of priors, one patient left out, rules for samples
        below the limit) with its weighed draws, and fit only those whose Pareto k-hat is above
        0.7. The table says which row was obtained how.
    progress : {"log", "none"}
        Lines on standard error; the folder has them in any case.
    **settings
        Of `fit`: ``seed`` (2026 by default, the same for every variant), ``draws``, ``tune``,
        ``chains``, ``target_accept``, ``common``, ``tolerance``, ``rerun``.

    Raises
    ------
    BatchError
        With every fault of the plan, before the first fit; where another batch works in the
        folder, it cannot be written, or the scheduler is gone.

    Notes
    -----
    Each fit runs in a process of its own. Its key is a hash of the model's text, the data, all
    settings, the seed and the versions of packages; a result is written whole or not at all. So
    a batch that was stopped, killed or cut off goes on where it stood when the same command is
    given again, and a variant that was added later costs its own fit only. A variant that fails
    is a row with the reason; one that was lost (killed, out of memory, too long) is tried again
    in the next run, one that was refused is not.
    """
    plan = variants.plan(
        model,
        cohort,
        method=method,
        folder=folder,
        n_workers=n_workers,
        allow_failed=allow_failed,
        reweight=reweight,
        **settings,
    )
    store = Store(Path(folder))
    with store.opened(), _stoppable():
        _run(plan, store, scheduler, max(0, int(retries)), time_limit, progress)
        runs = load_runs(folder)
        store.write_text(TABLE, runs.table.to_csv(index=False, lineterminator="\n"))
    return runs


def _run(
    plan: BatchPlan,
    store: Store,
    scheduler: str | None,
    retries: int,
    time_limit: float | None,
    progress: str,
) -> None:
    import json

    store.write_text(PLAN, json.dumps(plan_record(plan)))
    finished = store.finished()
    for name, reason in plan.refused.items():
        if plan.keys[name] not in finished:
            store.put_result(plan.keys[name], failed_record(plan, name, reason, lost=False))
    jobs = plan.jobs({key for key, record in finished.items() if not record.get("lost")})
    shown = Progress(plan, store, jobs, quiet=progress == "none")
    shown.start()
    ended = "stopped"
    try:
        if jobs:
            with connected(scheduler, plan.n_workers, retries, store.scratch, shown.say) as (
                client,
                workers,
            ):
                _Dispatch(plan, store, client, workers, shown, retries, time_limit).run(jobs)
        ended = "finished"
    finally:
        shown.end(ended)


class _Dispatch:
    """Hands out jobs, a few ahead of the workers, and takes in what comes back."""

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
            str(self._store.caches.resolve()),
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
            self._store.put_result(analysis.key, record)
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
            self._store.put_result(key, result)
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


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let a cluster's or a service manager's request to end be like Ctrl-C: tidy up, then end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
