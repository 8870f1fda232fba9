"""`summarize`: quantities of the posterior curves, draw by draw, for patients and population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from carkinetics.cohort import Cohort
from carkinetics.errors import DataError, Fault, FitError
from carkinetics.inference.curves import curves_of, patient_curves
from carkinetics.inference.draws import SAMPLE, new_patients, population_parameters
from carkinetics.inference.gate import median_limit
from carkinetics.quantities import Quantity, find_quantity
from carkinetics.quantities.curve import Curve
from carkinetics.quantities.measures import loss

if TYPE_CHECKING:
    from carkinetics.inference.result import Fit

DEFAULT = ("cmax", "tmax", "auc_0_28", "persistence")
AT_DAYS = (28, 90, 180)
INTERVAL = "equal-tailed"
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
    """

    data: xr.Dataset
    population: xr.Dataset
    censored: xr.DataArray | None
    last_sample: pd.Series
    cohort: Cohort
    limit: float
    horizon: float

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the quantities."""
        return tuple(map(str, self.data.data_vars))

    @property
    def synthetic(self) -> bool:
        """Whether the patients are invented."""
        return self.cohort.synthetic

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
            or for ``detectable_<day>`` the probability), ``lower``, ``upper``, ``unit``,
            ``statistic``, ``probability``, ``interval`` and a ``note`` where there is something
            to know: persistence that is censored or extrapolated, or why a number is missing.
        """
        order = {"patient", "cell_type", "quantity"}
        if by not in order:
            raise DataError(Fault("table", f"by={by!r}", "Choose patient, cell_type or quantity."))
        table = _summary(self.data, "patient", probability)
        table["note"] = [self._note(row) for row in table.itertuples()]
        return _sorted(table, by)

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
            patients differ.
        """
        return _sorted(_summary(self.population, "who", probability), "who")

    def _note(self, row: object) -> str:
        patient, name, cell = row.patient, row.quantity, row.cell_type  # type: ignore[attr-defined]
        if np.isnan(row.estimate):  # type: ignore[attr-defined]
            if np.isnan(self.limit) and name.startswith(("persistence", "detectable_")):
                return "no limit of quantification: pass limit= to summarize"
            return "the curve is not finite at some draws: the solver failed there"
        notes = []
        last = float(self.last_sample[patient])
        if name == "persistence" and self.censored is not None:
            share = float(self.censored.sel(patient=patient, cell_type=cell))
            if share > 0:
                notes.append(f"beyond day {self.horizon:g} in {share:.0%} of draws (censored)")
            if row.upper > last:  # type: ignore[attr-defined]
                notes.append(f"extrapolated after the last sample on day {last:g}")
        if name.startswith(("detectable_", "level_")) and float(name.split("_")[1]) > last:
            notes.append(f"extrapolated after the last sample on day {last:g}")
        if name.startswith("auc_") and float(name.split("_")[2]) > last:
            notes.append(f"extrapolated after the last sample on day {last:g}")
        return "; ".join(notes)

    def _heading(self) -> str:
        mark = " [SYNTHETIC, not patient data]" if self.synthetic else ""
        return (
            f"Exposure of {self.data.sizes['patient']} patients of {self.cohort.name}{mark}: "
            f"{', '.join(self.quantities)}; limit {self.limit:g}, horizon day {self.horizon:g}"
        )

    def __repr__(self) -> str:
        total = self.table("quantity")
        total = total[total["cell_type"] == self.data["cell_type"].values[-1]]
        return f"{self._heading()}\n{_printable(total).to_string(index=False)}"

    def _repr_html_(self) -> str:
        return f"<p>{self._heading()}</p>" + _printable(self.table()).to_html(index=False)


def summarize(
    fit: Fit,
    quantities: Sequence[str] = DEFAULT,
    *,
    limit: float | None = None,
    horizon: float | None = None,
    at_days: Sequence[int] = AT_DAYS,
    allow_failed: bool = False,
    seed: int = 0,
) -> Exposure:
    """Compute quantities of the latent curve on every posterior draw.

    Parameters
    ----------
    fit : Fit
        From `fit` or `load_fit`.
    quantities : sequence of str
        ``"cmax"``, ``"tmax"``, ``"auc_<day>_<day>"``, ``"level_<day>"``, ``"persistence"``,
        ``"detectable_<day>"``.

    Returns
    -------
    Exposure
        Draws for CD4, CD8 and total (or total alone), per patient and for the population.

    Other Parameters
    ----------------
    limit : float, optional
        Limit of persistence and detection, in the unit of the curves; the median LLOQ of that
        assay by default. It is applied to each cell type.
    horizon : float, optional
        Day at which persistence is censored; the last sample of the cohort by default [day].
    at_days : sequence of int
        With persistence, also the probability that the latent level exceeds the limit on these
        days. That a sample would be quantifiable is another number: assay error comes on top.
    allow_failed : bool
        Summarize a fit that fails its checks.
    seed : int
        For the new patients of the population.

    Raises
    ------
    FitError
        For a fit that fails its checks.
    DataError
        For an unknown quantity, a limit that is not positive, or a horizon before day 1.

    Notes
    -----
    Curves are cubics between nodes a quarter day apart until day 42, through level and slope of
    the solver: peaks are not limited to the nodes. Persistence is definition P5: the last
    downward crossing of the limit, day 0 where it is never exceeded, the horizon where it still
    is.
    """
    if not allow_failed and not (check := fit.check()).passed:
        raise FitError(f"{check}\n    Pass allow_failed=True to summarize it all the same.")
    names = _names(quantities, at_days)
    found = [find_quantity(name) for name in names]
    last_sample = _last_samples(fit)
    horizon = float(last_sample.max()) if horizon is None else float(horizon)
    limit = median_limit(fit.plan) if limit is None else float(limit)
    _check(limit, horizon)
    reach = max(horizon, *(float(d) for name in names for d in _days_in(name)), 28.0)
    parameters = fit.patient_draws()
    shape = (*parameters.shape[:3], len(fit.cell_types))
    values = {q.name: np.empty(shape) for q in found}
    censored = np.zeros(shape[2:])
    for i, curve in patient_curves(fit.plan, parameters, reach, limit):
        computed, beyond = _compute(found, curve, horizon)
        for name, array in computed.items():
            values[name][:, :, i] = array
        censored[i] = beyond
    population = _population(fit, found, reach, limit, horizon, seed)
    coords = _coords(fit)
    return Exposure(
        data=_dataset(found, values, ("patient",), coords | {"patient": list(fit.patients)}, fit),
        population=_dataset(found, population, ("who",), coords | {"who": [TYPICAL, NEW]}, fit),
        censored=xr.DataArray(
            censored,
            dims=("patient", "cell_type"),
            coords={"patient": list(fit.patients), "cell_type": list(fit.cell_types)},
        )
        if "persistence" in names
        else None,
        last_sample=last_sample,
        cohort=fit.cohort,
        limit=limit,
        horizon=horizon,
    )


def _names(quantities: Sequence[str], at_days: Sequence[int]) -> list[str]:
    chosen = [quantities] if isinstance(quantities, str) else list(quantities)
    if not chosen:
        raise DataError(Fault("summarize", "no quantity", f"Name some of {', '.join(DEFAULT)}."))
    if "persistence" in chosen:
        if broken := [day for day in at_days if day != int(day)]:
            raise DataError(Fault("at_days", f"has {broken[0]:g}", "Give whole days."))
        chosen += [f"detectable_{int(day)}" for day in at_days]
    return list(dict.fromkeys(chosen))


def _days_in(name: str) -> list[str]:
    return [part for part in name.split("_") if part.isdigit()]


def _check(limit: float, horizon: float) -> None:
    # A cohort without any limit has NaN, which the table explains.
    if limit <= 0 or np.isinf(limit):
        raise DataError(Fault("limit", f"is {limit:g}", "Give a positive level."))
    if not 1 <= horizon < np.inf:
        raise DataError(Fault("horizon", f"is day {horizon:g}", "Give a day from 1 on."))


def _last_samples(fit: Fit) -> pd.Series:
    layout = fit.plan.layout
    last = [layout.days[end - 1] for end in layout.offsets[1:]]
    return pd.Series(last, index=list(layout.patients), name="last_sample", dtype=float)


def _compute(
    found: Sequence[Quantity], curve: Curve, horizon: float
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Compute all quantities of one bundle of curves; the share censored comes with them."""
    values, beyond = {}, np.zeros(curve.log_level.shape[-2])
    for quantity in found:
        if quantity.name == "persistence":
            lost = loss(curve, horizon)
            values["persistence"] = lost.day
            beyond = lost.censored.mean(axis=(0, 1))
        else:
            values[quantity.name] = quantity.compute(curve)
    return values, beyond


def _population(
    fit: Fit, found: Sequence[Quantity], reach: float, limit: float, horizon: float, seed: int
) -> dict[str, np.ndarray]:
    posterior = fit.data["posterior"].to_dataset()
    rng = np.random.default_rng([seed, 13])
    who = [population_parameters(fit.plan, posterior), new_patients(fit.plan, posterior, rng)]
    parts = [_compute(found, curves_of(fit.plan, p, reach, limit), horizon)[0] for p in who]
    return {q.name: np.stack([part[q.name] for part in parts], axis=2) for q in found}


def _coords(fit: Fit) -> dict[str, list[object]]:
    posterior = fit.data["posterior"]
    found = {name: list(posterior[name].values) for name in SAMPLE}
    return found | {"cell_type": list(fit.cell_types)}


def _dataset(
    found: Sequence[Quantity],
    values: dict[str, np.ndarray],
    extra: tuple[str, ...],
    coords: dict[str, list[object]],
    fit: Fit,
) -> xr.Dataset:
    dims = (*SAMPLE, *extra, "cell_type")
    return xr.Dataset(
        {
            q.name: (
                dims,
                values[q.name],
                {"units": q.unit(fit.latent_unit), "long_name": q.label},
            )
            for q in found
        },
        coords=coords,
    )


def _summary(data: xr.Dataset, index: str, probability: float) -> pd.DataFrame:
    if not 0 < probability < 1:
        raise DataError(Fault("table", f"probability={probability}", "Give one between 0 and 1."))
    tail = (1 - probability) / 2
    rows = []
    for name, values in data.data_vars.items():
        draws = values.transpose(*SAMPLE, index, "cell_type").values
        flat = draws.reshape(-1, *draws.shape[2:])
        is_probability = str(name).startswith("detectable_")
        low, middle, high = np.quantile(flat, [tail, 0.5, 1 - tail], axis=0)
        for i, who in enumerate(data[index].values):
            for j, cell in enumerate(data["cell_type"].values):
                numbers = (middle[i, j], low[i, j], high[i, j])
                if is_probability:
                    numbers = (flat[:, i, j].mean(), np.nan, np.nan)
                rows.append(
                    (str(who), str(cell), str(name), values.attrs["long_name"], *numbers,
                     values.attrs["units"], "probability" if is_probability else "median")
                )  # fmt: skip
    columns = [index, "cell_type", "quantity", "label", "estimate", "lower", "upper", "unit",
               "statistic"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    with_interval = table["statistic"] == "median"
    table["probability"] = np.where(with_interval, probability, np.nan)
    table["interval"] = np.where(with_interval, INTERVAL, "")
    return table


def _sorted(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Sort by first appearance, so that cell types and quantities keep their natural order."""
    rest = [c for c in table.columns[:3] if c != by]
    order = {c: {v: k for k, v in enumerate(table[c].unique())} for c in (by, *rest)}
    key = pd.DataFrame({c: table[c].map(order[c]) for c in order})
    return table.loc[key.sort_values(list(order)).index].reset_index(drop=True)


def _printable(table: pd.DataFrame) -> pd.DataFrame:
    shown = table[["patient", "cell_type", "label"]].copy()
    for column in ("estimate", "lower", "upper"):
        shown[column] = [f"{v:.3g}" if np.isfinite(v) else "" for v in table[column]]
    return shown.assign(unit=table["unit"], note=table["note"])
