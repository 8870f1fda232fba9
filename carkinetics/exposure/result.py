"""`Exposure`: posterior draws of quantities, and the tables made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from carkinetics.cohort import Cohort
from carkinetics.errors import DataError, Fault
from carkinetics.exposure.tables import (
    noted,
    population_noted,
    printable,
    sort_by,
    summary_table,
)
from carkinetics.quantities.cdisc import adpp_table, pp_table, table_html, table_latex

if TYPE_CHECKING:
    from carkinetics.quantities.why import Why

TYPICAL, NEW = "typical patient", "new patient"


@dataclass(frozen=True, eq=False, repr=False)
class Exposure:
    """Posterior draws of quantities of the latent curves.

    Made by `summarize`.

    Parameters
    ----------
    data : Dataset
        One variable per quantity, dims (chain, draw, patient, cell_type), with ``units`` and
        ``long_name``.
    population : Dataset
        The same for the typical patient and for a new one, dims (chain, draw, who, cell_type).
    censored : DataArray or None
        Share of draws whose persistence reaches the horizon, dims (patient, cell_type).
    last_sample : Series
        Last day with a fitted sample, by patient [day].
    cohort : Cohort
        The data.
    limit : float
        Limit of persistence and detection [unit of the level].
    horizon : float
        Day at which persistence is censored [day].
    contraction : Series or None
        By patient, with persistence: 1 minus the posterior variance of ln terminal half-life over
        the prior variance of a new patient's. Near 0 the tail is known from the priors alone.
    at_samples : mapping of str to DataFrame
        By patient, for some draws (positions in the index), what the curves hold on the sampled
        days; columns (``"level"`` or ``"area"`` from day 0, cell type, day).
    facts : mapping
        What the numbers come from: model and its hash, data hash, chains, draws, seed, versions,
        tolerance of the solver, bound of the error of the curves between their days.
    """

    data: xr.Dataset
    population: xr.Dataset
    censored: xr.DataArray | None
    last_sample: pd.Series
    cohort: Cohort
    limit: float
    horizon: float
    contraction: pd.Series | None = None
    at_samples: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the quantities."""
        return tuple(map(str, self.data.data_vars))

    @property
    def synthetic(self) -> bool:
        """Whether the patients are invented."""
        return self.cohort.synthetic

    @property
    def approximate(self) -> bool:
        """Whether the fit behind it is an approximation of the posterior."""
        return bool(self.facts.get("approximate", False))

    @property
    def error_bound(self) -> float:
        """Largest distance of ln level from the curves used, estimated, over all draws."""
        return float(self.facts.get("error_bound", np.nan))

    def table(self, by: str = "patient", probability: float = 0.95) -> pd.DataFrame:
        """Summarize every patient.

        Parameters
        ----------
        by : {"patient", "cell_type", "quantity"}
            What the rows are sorted by first.
        probability : float
            Of the equal-tailed intervals.

        Returns
        -------
        DataFrame
            One row per patient, cell type and quantity: ``estimate`` (the median of the draws,
            or the probability), ``lower``, ``upper``, ``unit``, ``statistic``, ``probability``,
            ``interval`` and a ``note`` where there is something to know: persistence that is
            censored or extrapolated, or why a number is missing.
        """
        order = {"patient", "cell_type", "quantity"}
        if by not in order:
            raise DataError(Fault("table", f"by={by!r}", "Choose patient, cell_type or quantity."))
        table, undefined = summary_table(self.data, "patient", probability)
        return sort_by(noted(table, undefined, self), by)

    def population_table(self, probability: float = 0.95) -> pd.DataFrame:
        """Summarize the typical patient, and a new patient of the same population.

        Parameters
        ----------
        probability : float
            Of the equal-tailed intervals.

        Returns
        -------
        DataFrame
            As `table`, with ``who`` in place of ``patient``. The interval of the typical patient
            says how well the center of the population is known, that of a new patient how far
            patients differ. ``note`` says what is censored or has another meaning than for a
            patient, and why a number is missing.
        """
        table, undefined = summary_table(self.population, "who", probability)
        return sort_by(population_noted(table, undefined, self), "who")

    def against_samples(self, rules: object = "default", probability: float = 0.95) -> pd.DataFrame:
        """Put what samples show beside what the curves hold, with the reason for each difference.

        Parameters
        ----------
        rules : Rules, str or mapping
            Of the noncompartmental analysis; see `nca`.
        probability : float
            Of the equal-tailed intervals.

        Returns
        -------
        DataFrame
            One row per patient, cell type and quantity that both have: ``observed``, ``latent``,
            ``lower``, ``upper``, ``unit``. Levels and areas: ``ratio`` of observed to latent
            (geometric mean of the draws), and its factors, whose product it is: ``between``
            visits (a missed peak, lines instead of curves), ``blq`` (samples below the limit),
            ``extrapolated`` (after the last sample), ``error`` (of the assay). Days:
            ``difference``, the sum of the same parts. ``reason``: the largest part in words, or
            why the observed value is missing. Persistence stands next to Tlast.

        Raises
        ------
        DataError
            Where the assay in whose unit the curves are has no samples in the cohort.
        """
        from carkinetics.exposure.comparison import against_samples

        return against_samples(self, rules, probability)

    def reliability(self) -> pd.DataFrame:
        """Say how well the data tell the patients apart.

        Returns
        -------
        DataFrame
            One row per quantity and cell type: ``reliability`` (variance of the patients'
            posterior means over that plus the mean posterior variance), ``shrinkage`` (1 minus
            its square root), ``scale`` (``"log"`` for levels and areas), ``n`` patients.
        """
        from carkinetics.exposure.reliability import reliability_table

        return reliability_table(self)

    def why(self, patient: str, quantity: str, cell_type: str = "total") -> Why:
        """Trace one cell of `table` to what it comes from.

        Parameters
        ----------
        patient, quantity, cell_type : str
            The cell.

        Returns
        -------
        Why
            The number with its rows of data, rule, limit, model text hash, draws and seed.
        """
        from carkinetics.exposure.trace import trace

        return trace(self, patient, quantity, cell_type)

    def to_pp(self, study: str = "", probability: float = 0.95) -> pd.DataFrame:
        """Arrange the estimates as a CDISC PP-like table.

        Parameters
        ----------
        study : str
            ``STUDYID``; the name of the cohort when left out.
        probability : float
            Of the equal-tailed intervals, in the sponsor's columns ``PPLO`` and ``PPHI``.

        Returns
        -------
        DataFrame
            One row per patient, cell type and quantity.
        """
        return pp_table(self._for_export(probability), study or self.cohort.name, self.synthetic)

    def to_adpp(self, study: str = "", probability: float = 0.95) -> pd.DataFrame:
        """Arrange the estimates as a CDISC ADPP-like table.

        Parameters
        ----------
        study : str
            ``STUDYID``; the name of the cohort when left out.
        probability : float
            Of the equal-tailed intervals, in the sponsor's columns ``AVALLO`` and ``AVALHI``.

        Returns
        -------
        DataFrame
            One row per patient, cell type and quantity.
        """
        return adpp_table(self._for_export(probability), study or self.cohort.name, self.synthetic)

    def to_latex(self, by: str = "patient", probability: float = 0.95) -> str:
        """Write `table` as LaTeX.

        Parameters
        ----------
        by, probability : str, float
            As for `table`.

        Returns
        -------
        str
            A ``tabular`` in a ``table``, its caption saying what it is.
        """
        return table_latex(printable(self.table(by, probability)), self._heading())

    def to_html(self, by: str = "patient", probability: float = 0.95) -> str:
        """Write `table` as HTML.

        Parameters
        ----------
        by, probability : str, float
            As for `table`.

        Returns
        -------
        str
            A ``table`` with a caption.
        """
        return table_html(printable(self.table(by, probability)), self._heading())

    def _for_export(self, probability: float) -> pd.DataFrame:
        table = self.table(probability=probability)
        table = table.rename(columns={"estimate": "value", "note": "reason"})
        table["reason"] = table["reason"].where(table["value"].isna(), "")
        table["unit"] = table["unit"].fillna("")
        category = "CELLULAR KINETICS, POSTERIOR MEDIAN"
        if self.approximate:
            category += " (APPROXIMATE, LAPLACE)"
        return table.assign(category=category, below=np.nan)

    def _heading(self) -> str:
        mark = " [SYNTHETIC, not patient data]" if self.synthetic else ""
        mark += " [APPROXIMATE: Laplace, not MCMC]" if self.approximate else ""
        return (
            f"Exposure of {self.data.sizes['patient']} patients of {self.cohort.name}{mark}: "
            f"{', '.join(self.quantities)}; limit {self.limit:g}, horizon day {self.horizon:g}"
        )

    def __repr__(self) -> str:
        total = self.table("quantity")
        total = total[total["cell_type"] == self.data["cell_type"].values[-1]]
        return f"{self._heading()}\n{printable(total).to_string(index=False)}"

    def _repr_html_(self) -> str:
        return f"<p>{self._heading()}</p>" + printable(self.table()).to_html(index=False)
