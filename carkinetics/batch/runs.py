"""`Runs`: the table of a batch, and what can be made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carkinetics.batch.rows import COLUMNS, DONE, FAILED
from carkinetics.batch.store import PLAN, Store
from carkinetics.batch.variants import BASE
from carkinetics.batch.words import in_words
from carkinetics.errors import BatchError

if TYPE_CHECKING:
    from carkinetics.plotting import Picture

_NUMBERS = ("estimate", "lo", "hi", "p_dir", "p_value", "n", "events", "khat_max", "divergences",
            "seconds", "probability")  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Runs:
    """The results of a batch.

    Made by `run_variants` or `load_runs`.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    table : DataFrame
        One row per variant and estimand; variants that failed or are not finished are rows with
        the reason. ``carkinetics.batch.rows.COLUMNS`` says what each column holds.
    choices : DataFrame
        Level of every factor in words, index ``analysis_id``.
    facts : mapping
        The plan as it was written down.
    elpd : mapping of str to mapping of str to float
        Log predictive density of each patient, left out, by variant [nat].
    """

    folder: Path
    table: pd.DataFrame
    choices: pd.DataFrame
    facts: Mapping[str, Any]
    elpd: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """Whether the patients are invented."""
        return bool(self.facts["synthetic"])

    @property
    def estimands(self) -> tuple[str, ...]:
        """What was estimated, in the order of the table."""
        return tuple(dict.fromkeys(self.table.loc[self.table["status"] == DONE, "estimand"]))

    @property
    def varied(self) -> tuple[str, ...]:
        """Factors with more than one level."""
        return tuple(n for n in self.choices.columns if self.choices[n].nunique() > 1)

    def of(self, estimand: str | None = None) -> pd.DataFrame:
        """Give the finished rows of one estimand, the first by default."""
        if not self.estimands:
            reasons = self.table["reason"].replace("", np.nan).dropna()
            first = f" The first reason: {reasons.iloc[0]}" if len(reasons) else ""
            raise BatchError(f"{self.folder}: no variant has a number.{first}")
        name = self.estimands[0] if estimand is None else estimand
        if name not in self.estimands:
            raise BatchError(f"no estimand {name!r}; there are: {'; '.join(self.estimands)}.")
        rows = self.table
        return rows[(rows["estimand"] == name) & (rows["status"] == DONE)].reset_index(drop=True)

    def sentences(self) -> list[str]:
        """Say in one sentence per estimand whether it is robust."""
        from carkinetics.batch.comparison import sentence

        return [sentence(self, name) for name in self.estimands]

    def predictive(self) -> pd.DataFrame:
        """Compare variants by how well they predict a patient that was left out.

        Returns
        -------
        DataFrame
            Of the variants with the samples of the base case: ``analysis_id``, ``elpd`` [nat],
            ``difference`` from the base case (positive: better) with its ``standard_error`` over
            patients, ``n`` patients, and ``verdict``: below 4 nat or 2 standard errors there is no
            preference. Empty where ``"elpd"`` is not among the quantities watched.
        """
        from carkinetics.batch.predictive import differences

        return differences(self.elpd, BASE)

    def plot(self, estimand: str | None = None) -> Picture:
        """Draw the comparison that goes with the design: crossed, a specification curve."""
        crossed = self.facts["declared"]["design"] == "crossed"
        return self.specification_curve(estimand) if crossed else self.tornado(estimand)

    def tornado(self, estimand: str | None = None) -> Picture:
        """Draw how far each factor moves an estimand, the first by default."""
        from carkinetics.batch.figures import tornado

        return tornado(self, estimand)

    def specification_curve(self, estimand: str | None = None) -> Picture:
        """Draw all variants of an estimand with the choices behind them."""
        from carkinetics.batch.figures import specification_curve

        return specification_curve(self, estimand)

    def leave_one_out(self, estimand: str | None = None) -> Picture:
        """Draw an estimand without each patient in turn."""
        from carkinetics.batch.figures import leave_one_out

        return leave_one_out(self, estimand)

    def _lines(self) -> list[str]:
        done = int((self.table["status"] == DONE).sum())
        failed = int((self.table["status"] == FAILED).sum())
        mark = " [SYNTHETIC, not patient data]" if self.synthetic else ""
        n = self.table["analysis_id"].nunique()
        lines = [
            f"Runs of {n:,} variants on {self.facts['cohort']}{mark} in {self.folder}",
            f"{done:,} rows done, {failed:,} failed, {len(self.table) - done - failed:,} not "
            f"finished; obtained by: {', '.join(filter(None, self.table['how'].unique()))}",
        ]
        return lines + self.sentences()

    def __repr__(self) -> str:
        return "\n    ".join(self._lines())


def load_runs(folder: str | Path) -> Runs:
    """Read the results of a batch, finished or not.

    Parameters
    ----------
    folder : path
        As given to `run_variants`; it may be at work there.

    Returns
    -------
    Runs
        Every variant of the last plan has at least one row.

    Raises
    ------
    BatchError
        Where there is no batch in the folder.
    """
    store = Store(Path(folder))
    facts = store.read_json(PLAN)
    if facts is None:
        raise BatchError(f"{folder}: there is no batch in this folder.")
    finished = store.finished()
    rows, choices, elpd = [], {}, {}
    for name, key in facts.pop("keys"):
        record = finished.get(key)
        if record is None:
            rows.append({"analysis_id": name, "status": "not finished", "is_base": name == BASE})
            continue
        if record.get("elpd"):
            elpd[name] = record["elpd"]
        choices[name] = {k: in_words(v) for k, v in record["choices"].items()}
        shared = {k: record[k] for k in ("analysis_id", "factor", "level")}
        rows += [shared | row | {"is_base": name == BASE} for row in record["rows"]]
    levels = pd.DataFrame.from_dict(choices, orient="index")
    return Runs(Path(folder), _table(rows), levels, facts, elpd)


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    for name in _NUMBERS:
        table[name] = table[name].astype(float)  # an open limit is written as "inf"
    texts = [name for name in COLUMNS if name not in (*_NUMBERS, "is_base")]
    # A column without any entry holds numbers that are missing.
    table[texts] = table[texts].astype(object).where(table[texts].notna(), "").astype(str)
    table["is_base"] = table["is_base"].astype(bool)
    return table
