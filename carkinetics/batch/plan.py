"""What a batch will do: every variant checked, the fits it needs, and an estimate of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from carkinetics.batch.checks import METHODS, level_faults, setting_faults
from carkinetics.batch.factors import ANALYSIS, FACTORS, SAMPLES, Context
from carkinetics.batch.job import Analysis, Job, Watched
from carkinetics.batch.joint import joint_parts
from carkinetics.batch.keys import analysis_key, fit_key, versions
from carkinetics.batch.near import can_be_reweighted, same_samples
from carkinetics.batch.predictive import ELPD
from carkinetics.batch.refusals import refusals
from carkinetics.batch.store import Store
from carkinetics.batch.timing import expected_seconds, in_time, start_seconds, workers_here
from carkinetics.batch.variants import Variant, Variants
from carkinetics.batch.words import frozen
from carkinetics.cohort import Cohort
from carkinetics.errors import BatchError
from carkinetics.library import load_model
from carkinetics.model import Model

_DEFAULT_SEED = 2026
# Analyses of samples in one process: some processes for every worker, within bounds.
_SHARES, _FEWEST, _MOST = 4, 20, 200
_SHOWN = 12


@dataclass(frozen=True, eq=False, repr=False)
class BatchPlan:
    """A batch, checked and counted.

    Made by `Variants.plan`.

    Parameters
    ----------
    model : Model or None
        What the variants start from; None where nothing is fitted.
    cohort : Cohort
        The data they start from.
    declared : Variants
        What was asked for.
    variants : tuple of Variant
        All of them, the base case first.
    method : str
        How exposures are found.
    settings : mapping
        Of the fits, seed included.
    refused : mapping of str to str
        Variants that cannot be analyzed, by name, with the reason: they become rows without a
        number.
    allow_failed : bool
        Whether fits that fail their checks are analyzed.
    reweight : bool
        Whether variants near the base case are tried with its weighed draws first.
    n_workers : int
        Processes at the same time.
    folder : Path or None
        Where finished work is looked for.
    """

    model: Model | None
    cohort: Cohort
    declared: Variants
    variants: tuple[Variant, ...]
    method: str
    settings: Mapping[str, Any]
    refused: Mapping[str, str]
    allow_failed: bool
    reweight: bool
    n_workers: int
    folder: Path | None

    @cached_property
    def watched(self) -> Watched:
        """What is computed for every variant."""
        d = self.declared
        return Watched(d.outcomes, d.quantities, d.per, d.probability)

    @cached_property
    def analyses(self) -> dict[str, tuple[Analysis, ...]]:
        """Variants by the key of the fit that they need."""
        found: dict[str, list[Analysis]] = {}
        watched = self.watched.as_dict()
        watched |= {"allow_failed": self.allow_failed, "reweight": self.reweight}
        fit_keys: dict[str, str] = {}
        for v in self.variants:
            parts = {n: v.choices[n] for n, f in FACTORS.items() if f.part != ANALYSIS}
            shared = frozen(parts | {"joint": joint_parts(v.choices, self.declared.outcomes)})
            if shared not in fit_keys:
                fit_keys[shared] = self._fit_key(v)
            of_fit = fit_keys[shared]
            same = same_samples(v.choices, self.variants[0].choices) and self._scores_alike(v)
            # Whether an elpd compares depends on the base case, which is in no other part of a key.
            more = {"same_samples": same} if self.watched.elpd else {}
            key = analysis_key(of_fit, v.choices, watched | more)
            analysis = Analysis(key, of_fit, v.name, v.factor, v.level, v.choices, same)
            found.setdefault(of_fit, []).append(analysis)
        return {key: tuple(group) for key, group in found.items()}

    @cached_property
    def keys(self) -> dict[str, str]:
        """Key of the result of every variant, by its name."""
        return {a.name: a.key for group in self.analyses.values() for a in group}

    @cached_property
    def by_name(self) -> dict[str, Variant]:
        """Every variant, by its name."""
        return {variant.name: variant for variant in self.variants}

    @property
    def n_fits(self) -> int:
        """Number of different fits that the variants need."""
        return 0 if self.method == SAMPLES else len(self.analyses)

    def jobs(self, finished: set[str], cores: int = 1) -> list[Job]:
        """List the work that is not finished.

        Parameters
        ----------
        finished : set of str
            Keys of results to be left out.
        cores : int
            Chains that each fit runs at the same time.

        Returns
        -------
        list of Job
            The fit of the base case first.
        """
        groups = [
            (key, [a for a in group if a.key not in finished and a.name not in self.refused])
            for key, group in self.analyses.items()
        ]
        if self.method == SAMPLES:
            # Nothing is fitted: many analyses share the start of a process.
            left = [a for _, group in groups for a in group]
            size = min(max(-(-len(left) // (_SHARES * self.n_workers)), _FEWEST), _MOST)
            parts = [left[start : start + size] for start in range(0, len(left), size)]
            groups = [(part[0].key, part) for part in parts]
        return [
            Job(
                key=key,
                model=self._model_of(group[0].choices["model"]),
                cohort=self.cohort,
                analyses=tuple(group),
                method=self.method,
                settings=self.settings,
                watched=self.watched,
                versions=versions(),
                allow_failed=self.allow_failed,
                cores=cores,
            )
            for key, group in groups
            if group
        ]

    @cached_property
    def unfinished(self) -> list[Job]:
        """The work that is not finished in the folder."""
        if self.folder is None or not self.folder.is_dir():
            return self.jobs(set())
        return self.jobs(set(Store(self.folder).finished()))

    def near_base(self, jobs: list[Job]) -> tuple[list[Job], list[Job]]:
        """Split jobs into those that need a fit, and those that may do with the base case's."""
        base = self.variants[0].choices
        near = [self.reweight and can_be_reweighted(job.analyses[0].choices, base) for job in jobs]
        return (
            [job for job, is_near in zip(jobs, near, strict=True) if not is_near],
            [job for job, is_near in zip(jobs, near, strict=True) if is_near],
        )

    def reweighing(self, jobs: list[Job]) -> Job:
        """Make the one job that tries all of these with the draws of the base case."""
        return replace(
            jobs[0],
            key=self.base_fit,
            analyses=tuple(a for job in jobs for a in job.analyses),
            reweigh=True,
        )

    @property
    def base_fit(self) -> str:
        """Key of the fit of the base case."""
        return next(iter(self.analyses))

    def table(self) -> pd.DataFrame:
        """List the variants.

        Returns
        -------
        DataFrame
            One row per variant: ``analysis_id``, ``factor``, ``level``, ``fit`` (which variants
            share one), ``refused`` (the reason, or empty).
        """
        fits = {a.name: key[:8] for key, group in self.analyses.items() for a in group}
        rows = [
            (v.name, v.factor, v.level, fits[v.name], self.refused.get(v.name, ""))
            for v in self.variants
        ]
        return pd.DataFrame(rows, columns=["analysis_id", "factor", "level", "fit", "refused"])

    def seconds(self) -> tuple[float, str]:
        """Estimate how long the unfinished work takes.

        Returns
        -------
        float and str
            Seconds, and what the estimate rests on.
        """
        store = None
        if self.folder is not None and self.folder.is_dir():
            store = Store(self.folder)
        each, basis = expected_seconds(self, store)
        jobs = len(self.unfinished)
        return start_seconds(self) + each * -(-jobs // self.n_workers) if jobs else 0.0, basis

    def _scores_alike(self, variant: Variant) -> bool:
        """Tell whether the model of a variant predicts the samples that the base case's does.

        One without subsets does not predict the share of CD8.
        """
        base = self.variants[0].choices["model"]
        if not self.watched.elpd or variant.choices["model"] == base:
            return True
        return self._scored(variant.choices["model"]) == self._scored(base)

    def _scored(self, name: str) -> tuple[int, ...]:
        from carkinetics.inference.layout import lay_out

        model = self._model_of(name)
        assert model is not None  # what is watched needs a fit, and a fit a model
        layout = lay_out(self.cohort, model)
        return tuple(map(len, (layout.flow, layout.split, layout.split_events, layout.qpcr)))

    def _model_of(self, name: str) -> Model | None:
        if name == "given":
            return self.model
        if name not in self._models:
            self._models[name] = load_model(name)
        return self._models[name]

    @cached_property
    def _models(self) -> dict[str, Model]:
        return {}

    def _fit_key(self, variant: Variant) -> str:
        model = self._model_of(variant.choices["model"])
        identity = None
        if model is not None and self.method != SAMPLES:
            identity = (model.name, model.text_hash, model.cell_types)
        settings = dict(self.settings)
        if (joint := joint_parts(variant.choices, self.declared.outcomes)) is not None:
            settings["joint"] = joint
        return fit_key(identity, self.cohort.data_hash, variant.choices, self.method, settings)

    def _lines(self) -> list[str]:
        seconds, basis = self.seconds()
        fits = "no fit" if self.method == SAMPLES else f"{_counted(self.n_fits, 'different fit')}"
        left = sum(len(job.analyses) for job in self.unfinished)
        done = len(self.variants) - len(self.refused) - left
        mark = " [SYNTHETIC, not patient data]" if self.cohort.synthetic else ""
        lines = [
            f"Batch on {self.cohort.name}{mark}: {_counted(len(self.variants), 'variant')}, "
            f"{fits} ({self.method}), {_counted(self.n_workers, 'process')} at a time",
            f"{done} finished, {left} to do: about {in_time(seconds)} ({basis})",
        ]
        if self.refused:
            lines.append(f"{_counted(len(self.refused), 'variant')} cannot be analyzed:")
            shown = list(self.refused.items())[:3]
            lines += [f"    {name}: {reason.splitlines()[0]}" for name, reason in shown]
            if len(self.refused) > len(shown):
                lines.append(f"    ... and {len(self.refused) - len(shown)} more")
        names = [v.name for v in self.variants[:_SHOWN]]
        more = len(self.variants) - len(names)
        lines.append("; ".join(names) + (f"; ... and {more:,} more" if more else ""))
        return lines

    def __repr__(self) -> str:
        return "\n    ".join(self._lines())


def plan_batch(
    model: Model | None,
    cohort: Cohort,
    declared: Variants,
    *,
    method: str = "nuts",
    folder: str | Path | None = None,
    n_workers: int | None = None,
    allow_failed: bool = False,
    reweight: bool = True,
    **settings: Any,
) -> BatchPlan:
    """Check every variant; see `Variants.plan`."""
    faults = setting_faults(model, method, n_workers, settings)
    context = Context(model, cohort, method)
    if method in METHODS:
        faults += level_faults(declared, context)
    if faults:
        raise BatchError(faults)
    chosen = {"seed": _DEFAULT_SEED} | settings
    listed = tuple(declared.expand(cohort, method))
    return BatchPlan(
        model=model,
        cohort=cohort,
        declared=declared,
        variants=listed,
        method=method,
        settings=chosen,
        refused=refusals(listed, declared, cohort, method),
        allow_failed=allow_failed,
        # Weighed draws say nothing of how well their own variant predicts a patient.
        reweight=reweight and method != SAMPLES and ELPD not in declared.quantities,
        n_workers=workers_here() if n_workers is None else n_workers,
        folder=None if folder is None else Path(folder),
    )


def _counted(count: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{count:,} {word if count == 1 else plural}"
