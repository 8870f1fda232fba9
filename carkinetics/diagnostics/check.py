"""The verdict on a fit: what was found, what passed, and what to do about the rest."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
import xarray as xr

from carkinetics.diagnostics.approximation import UNCHECKED, approximation_rows
from carkinetics.diagnostics.limits import DEFAULT_LIMITS, Limits
from carkinetics.diagnostics.predictive import coverage_row, coverage_table, heavy_tail
from carkinetics.diagnostics.sampler import convergence, divergences, smallest_e_bfmi

_ASSAYS = {"flow": "flow", "qpcr": "qPCR", "share": "CD8 share", "share_events": "CD8 events"}
_HEAVY = 2.0


@dataclass(frozen=True, repr=False)
class Check:
    """What was checked in a fit, with a verdict.

    Parameters
    ----------
    table : DataFrame
        One row per check: ``check``, ``value``, ``limit``, ``passed``, ``where``.
    coverage : DataFrame
        One row per assay, see `carkinetics.diagnostics.predictive.coverage_row`.
    problems, advice : tuple of str
        What failed and what to do; what passed but deserves a look.
    attempts : int
        How often the model was sampled; 2 after a rerun at stricter settings.
    approximate : bool
        Whether the draws come from an approximation, of which only a part can be checked.
    """

    table: pd.DataFrame
    coverage: pd.DataFrame
    problems: tuple[str, ...]
    advice: tuple[str, ...] = ()
    attempts: int = 1
    approximate: bool = False

    @property
    def passed(self) -> bool:
        """Whether the fit can be trusted."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """The verdict in one sentence."""
        again = ", after a rerun at stricter settings" if self.attempts > 1 else ""
        if self.approximate and self.passed:
            return "Approximate fit (Laplace): passes the few checks that it allows."
        if self.passed:
            return f"Fit passes its checks{again}."
        kind = "Approximate fit (Laplace)" if self.approximate else "Fit"
        return f"{kind} not trustworthy{again}: {len(self.problems)} check(s) failed."

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        lines = [self.verdict]
        for row in self.table.itertuples():
            mark = "ok  " if row.passed else "FAIL"
            where = f" ({row.where})" if row.where else ""
            lines.append(f"    {mark} {row.check}: {row.value:.4g}, limit {row.limit}{where}")
        lines += [f"         {_coverage_sentence(row)}" for row in self.coverage.itertuples()]
        lines += [f"  - {text}" for text in (*self.problems, *self.advice)]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td>{'ok' if row.passed else '<b>FAIL</b>'}</td><td>{escape(row.check)}</td>"
            f"<td>{row.value:.4g}</td><td>{escape(row.limit)}</td><td>{escape(row.where)}</td></tr>"
            for row in self.table.itertuples()
        )
        rows = (_coverage_sentence(row) for row in self.coverage.itertuples())
        items = "".join(f"<li>{escape(t)}</li>" for t in (*self.problems, *self.advice, *rows))
        head = "<tr><th></th><th>check</th><th>value</th><th>limit</th><th>where</th></tr>"
        return f"<p><b>{escape(self.verdict)}</b></p><table>{head}{cells}</table><ul>{items}</ul>"


def check_fit(data: xr.DataTree, limits: Limits = DEFAULT_LIMITS, attempts: int = 1) -> Check:
    """Judge a fit from its groups.

    Parameters
    ----------
    data : DataTree
        With ``sample_stats``, ``observed_data``, ``posterior_predictive`` and, under
        ``carkinetics``, ``population``, ``exposure_check``, ``effects`` and, in a joint model,
        ``outcomes``. An approximate fit has ``carkinetics/approximation`` in place of
        ``sample_stats``.
    limits : Limits
        What a trustworthy fit keeps.
    attempts : int
        How often the model was sampled.

    Returns
    -------
    Check
    """
    approximate = "approximation" in data["carkinetics"].children
    coverage = coverage_of(data)
    rows = _approximation_rows(data, limits) if approximate else _sampled_rows(data, limits)
    table = pd.DataFrame(rows, columns=["check", "value", "limit", "passed", "where", "remedy"])
    failed = table[~table["passed"]]
    problems = [
        f"{row.check} is {row.value:.4g}{_at(row)}. {row.remedy}" for row in failed.itertuples()
    ]
    problems += _coverage_problems(coverage, limits)
    return Check(
        table=table.drop(columns="remedy"),
        coverage=coverage,
        problems=tuple(problems),
        advice=(*([UNCHECKED] if approximate else []), *_heavy_tails(data)),
        attempts=attempts,
        approximate=approximate,
    )


def _approximation_rows(data: xr.DataTree, limits: Limits) -> list[tuple[object, ...]]:
    return approximation_rows(data["carkinetics/approximation"].to_dataset(), limits)


def _sampled_rows(data: xr.DataTree, limits: Limits) -> list[tuple[object, ...]]:
    stats = data["sample_stats"].to_dataset()
    names = ("population", "exposure_check", "outcomes")
    parts = [data[f"carkinetics/{n}"] for n in names if n in data["carkinetics"].children]
    both = pd.concat([convergence(part.to_dataset()) for part in parts], ignore_index=True)
    return [*_chain_rows(both, limits, stats.sizes["draw"]), *_sampler_rows(stats, limits)]


def coverage_of(data: xr.DataTree) -> pd.DataFrame:
    """Compare all samples with their replicates, one row per assay."""
    observed = data["observed_data"].to_dataset()
    replicates = data["posterior_predictive"].to_dataset()
    rows = {}
    for name, label in _ASSAYS.items():
        if name not in replicates:
            continue
        drawn = replicates[name].transpose("chain", "draw", ...).values
        nothing = np.zeros(observed[name].size, dtype=bool)
        below = observed[f"{name}_below"].values if f"{name}_below" in observed else nothing
        limit = (
            observed[f"{name}_lloq"].values
            if f"{name}_lloq" in observed
            else np.full(observed[name].size, np.nan)
        )
        levels = name in ("flow", "qpcr")
        with np.errstate(divide="ignore", invalid="ignore"):
            one, two, three = (
                (np.log(v) if levels else np.asarray(v))
                for v in (observed[name].values, limit, drawn.reshape(-1, drawn.shape[-1]))
            )
        rows[name] = coverage_row(label, one, below.astype(bool), two, three)
    return coverage_table(rows)


def _chain_rows(both: pd.DataFrame, limits: Limits, draws: int) -> list[tuple[object, ...]]:
    # One chain has no R-hat: its NaN is the worst of all.
    worst = both.loc[both["r_hat"].fillna(np.inf).idxmax()]
    rows: list[tuple[object, ...]] = [
        (
            "largest R-hat", worst["r_hat"], f"at most {limits.r_hat}",
            worst["r_hat"] <= limits.r_hat, worst["name"],
            f"The chains have not found the same answer: sample longer (draws={2 * draws}, "
            f"tune={2 * draws}); if it stays, the data do not determine this number, and a "
            "tighter prior is needed."
            if np.isfinite(worst["r_hat"])
            else "It takes at least two chains (chains=4), and a finite curve at every draw: "
            "where the solver failed between visits, pass a smaller tolerance "
            "or tighten the priors.",
        )
    ]  # fmt: skip
    for kind in ("bulk", "tail"):
        least = both.loc[both[f"ess_{kind}"].fillna(0.0).idxmin()]
        value = least[f"ess_{kind}"]
        rows.append(
            (
                f"smallest {kind} ESS", value, f"at least {limits.ess:g}",
                value >= limits.ess, least["name"],
                f"Sample longer: draws={2 * draws}.",
            )
        )  # fmt: skip
    return rows


def _sampler_rows(stats: xr.Dataset, limits: Limits) -> list[tuple[object, ...]]:
    energy, failed = divergences(stats)
    per_thousand = 1000 * energy / stats["diverging"].size
    bfmi = smallest_e_bfmi(stats)
    where = str(stats.attrs.get("failed_where", ""))
    return [
        (
            "energy divergences per 1,000 draws", per_thousand,
            f"at most {limits.divergences:g}", per_thousand <= limits.divergences, "",
            "Try target_accept=0.97; if they stay, the data say too little about some parameter, "
            "and a tighter prior with a source is the cure.",
        ),
        (
            "failed evaluations", float(failed), f"at most {limits.failed}",
            failed <= limits.failed, where,
            "The equations could not be solved for some proposed parameters: tighten the priors "
            "of the rates named, or pass a smaller tolerance.",
        ),
        (
            "smallest E-BFMI", bfmi, f"above {limits.e_bfmi:g}", bfmi > limits.e_bfmi, "",
            "The energy mixes slowly: a between-patient SD is probably close to zero. Try "
            "correlated=False, or a prior of that SD that stays off zero.",
        ),
    ]  # fmt: skip


def _at(row: object) -> str:
    where = getattr(row, "where", "")
    return f" for {where} (limit {row.limit})" if where else f" (limit {row.limit})"  # type: ignore[attr-defined]


def _coverage_problems(coverage: pd.DataFrame, limits: Limits) -> list[str]:
    found = []
    for row in coverage.itertuples():
        if row.quantified and row.alarm < limits.coverage_alarm:
            found.append(
                f"Only {row.inside:.0%} of {row.quantified} {row.assay} samples lie inside their "
                "90 % predictive interval. The levels scatter more than the model allows: try "
                "residual='student_t', and look at plot_levels for patients of another shape."
            )
    return found


def _coverage_sentence(row: object) -> str:
    text = f"{row.assay}: no quantified sample"  # type: ignore[attr-defined]
    if row.quantified:  # type: ignore[attr-defined]
        text = (
            f"{row.assay}: {row.inside:.0%} of {row.quantified} quantified samples inside their "  # type: ignore[attr-defined]
            "90 % predictive interval"
        )
    if row.with_limit:  # type: ignore[attr-defined]
        text += (
            f"; below the LLOQ {row.below_observed:.0%} observed, "  # type: ignore[attr-defined]
            f"{row.below_predicted:.0%} predicted"  # type: ignore[attr-defined]
        )
    return text


def _heavy_tails(data: xr.DataTree) -> list[str]:
    if "effects" not in data["carkinetics"].children:
        return []
    effects = data["carkinetics/effects"].to_dataset()
    if effects.attrs.get("distribution") != "normal":
        return []
    heavy = {}
    for name in effects["effect"].values:
        if float(effects["information"].sel(effect=name).mean()) < 0.5:
            continue
        gain = heavy_tail(effects["mean"].sel(effect=name).values)
        if gain > _HEAVY:
            heavy[str(name)] = gain
    if not heavy:
        return []
    names = ", ".join(f"{name} (log likelihood +{gain:.1f})" for name, gain in heavy.items())
    return [
        f"Patients differ with heavier tails than a Normal distribution has: {names}. "
        "Some patients may hardly expand; refit with patient_effects='student_t'."
    ]
