"""`run_variants`: do what a plan says, survive what happens meanwhile, and go on another day."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carkinetics.batch.cluster import connected
from carkinetics.batch.dispatch import Dispatch
from carkinetics.batch.progress import Progress
from carkinetics.batch.records import failed_record, plan_record
from carkinetics.batch.runs import Runs, load_runs
from carkinetics.batch.store import PLAN, TABLE, Store
from carkinetics.batch.variants import Variants

if TYPE_CHECKING:
    from carkinetics.batch.plan import BatchPlan
    from carkinetics.cohort import Cohort
    from carkinetics.model import Model


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
                Dispatch(plan, store, client, workers, shown, retries, time_limit).run(jobs)
        ended = "finished"
    finally:
        shown.end(ended)


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
