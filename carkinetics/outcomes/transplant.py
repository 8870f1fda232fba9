"""Transplant in remission: the end of follow-up, a competing event, or a change of hazard."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from carkinetics.cohort.notices import Notice
from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental.select import NEW_CELLS
from carkinetics.outcomes.association import Estimate
from carkinetics.outcomes.hazards import no_hazards
from carkinetics.outcomes.regression import Regression, likelihood_ratio_p, profile_interval
from carkinetics.outcomes.scales import told_per, told_ratio

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.outcomes.endpoint import Endpoint
    from carkinetics.outcomes.exposure_values import ExposureValues
    from carkinetics.outcomes.pairs import Pairs

Array = NDArray[np.float64]

ACROSS_TRANSPLANT = "Cox (Efron), transplant over time"
_CUT = (("ttp_day", "progressed"), ("pfs_day", "pfs_event"))


def transplant_days(cohort: Cohort) -> pd.Series:
    """Give the day of transplant of every patient [day]; NaN without one.

    Raises
    ------
    DataError
        If the table of patients has no such column.
    """
    names = NEW_CELLS["transplant_day"]
    name = next((n for n in names if n in cohort.patients.columns), None)
    if name is None:
        what = "the day of transplant is not in the table of patients"
        raise DataError(Fault(f"cohort {cohort.name}", what, f"Add it as {' or '.join(names)}."))
    return cohort.patients.set_index("patient")[name].astype(float)


def censor_at_transplant(cohort: Cohort) -> Cohort:
    """End the follow-up of time to progression and of progression-free survival at transplant.

    What happens after a transplant is then not counted for or against the CAR T cells. Overall
    survival and toxicity stay as they are.

    Parameters
    ----------
    cohort : Cohort
        With the day of transplant (``hct_day`` or ``transplant_day``).

    Returns
    -------
    Cohort
        For every function that takes a cohort; a notice names the patients.

    Raises
    ------
    DataError
        If there is no such column.
    """
    day = transplant_days(cohort).to_numpy()
    table, changed = cohort.patients.copy(), np.zeros(len(cohort.patients), dtype=bool)
    for end, event in _CUT:
        if not {end, event} <= set(table.columns):
            continue
        later = (table[end].astype(float) > day).to_numpy()
        changed |= later
        table[end] = table[end].astype(float).mask(later, day)
        table[event] = table[event].astype("boolean").mask(later, False)
    who = tuple(map(str, table.loc[changed, "patient"]))
    text = f"follow-up ended at transplant: {len(who)} patient(s) ({', '.join(who) or 'nobody'})"
    notices = (*cohort.notices, Notice("censored_at_transplant", len(who), who, text))
    return dataclasses.replace(cohort, patients=table, notices=notices)


def cox_across_transplant(
    time: ArrayLike,
    event: ArrayLike,
    x: ArrayLike,
    transplant: ArrayLike,
    *,
    probability: float = 0.95,
) -> Regression:
    """Fit proportional hazards of an exposure, the hazard changing at transplant.

    Parameters
    ----------
    time, event : array_like, shape (patient,)
        Day of event or censoring [day], transplant or not; and whether it was an event.
    x : array_like, shape (patient,)
        Exposure, such as ln Cmax.
    transplant : array_like, shape (patient,)
        Day of transplant on the same clock [day]; NaN without one.
    probability : float
        Coverage of the profile-likelihood intervals.

    Returns
    -------
    Regression
        Log hazard ratios per unit of exposure, and after transplant against before it: a
        covariate that is 0 until that day and 1 from then on, so that nobody is credited with
        the days it took to get there. Ties after Efron.

    References
    ----------
    Crowley and Hu 1977, doi 10.1080/01621459.1977.10479903.
    """
    from statsmodels.duration.hazard_regression import PHReg

    time, x = np.asarray(time, dtype=float), np.asarray(x, dtype=float)
    event, day = np.asarray(event, dtype=bool), np.asarray(transplant, dtype=float)
    n, n_events = time.size, int(event.sum())
    reason = no_hazards(time, event, x[:, None])
    grafted = day < time  # False where NaN
    if not reason and not event[grafted].any():
        reason = "no event comes after a transplant, so that its hazard ratio has no maximum"
    if not reason and not any((~(day < d) & (time >= d)).any() for d in time[event & grafted]):
        reason = "nobody without transplant is at risk when events come after one"
    if reason:
        return Regression.missing(reason, 2, n, n_events)
    center = x.mean()
    start = np.concatenate([np.zeros(n), day[grafted]])
    stop = np.concatenate([np.where(grafted, day, time), time[grafted]])
    struck = np.concatenate([event & ~grafted, event[grafted]]).astype(int)
    matrix = np.column_stack(
        [np.concatenate([x, x[grafted]]) - center, np.arange(stop.size) >= n]
    ).astype(float)
    # A transplant before or on the day of infusion leaves an empty first span.
    real = stop > start
    start, stop, struck, matrix = start[real], stop[real], struck[real], matrix[real]

    def model(columns: list[int], offset: Array | None = None) -> Any:
        return PHReg(stop, matrix[:, columns], struck, entry=start, ties="efron", offset=offset)

    fitted = model([0, 1]).fit(disp=0)
    loglik = float(fitted.llf)
    lower, upper, p_values = (np.empty(2) for _ in range(3))
    for j in (0, 1):

        def profile(value: float, j: int = j) -> float:
            with np.errstate(all="ignore"):  # far-off values have no likelihood
                found = float(model([1 - j], value * matrix[:, j]).fit(disp=0).llf)
            return found if np.isfinite(found) else -np.inf

        p_values[j] = likelihood_ratio_p(loglik, profile(0.0))
        lower[j], upper[j] = profile_interval(
            profile, fitted.params[j], loglik, fitted.bse[j], probability
        )
    return Regression(
        np.asarray(fitted.params), np.asarray(fitted.bse), lower, upper, p_values,
        loglik=loglik, n=n, n_events=n_events,
    )  # fmt: skip


def across_transplant(
    cohort: Cohort, endpoint: Endpoint, values: ExposureValues, pairs: Pairs
) -> Estimate:
    """Estimate an exposure's hazard ratio by `cox_across_transplant`.

    Parameters
    ----------
    cohort : Cohort
        With the day of transplant.
    endpoint : Endpoint
        A survival outcome.
    values : ExposureValues
        Exposure of the patients.
    pairs : Pairs
        Exposure and outcome, from both.

    Returns
    -------
    Estimate
    """
    used = endpoint.used.index
    known = values.table.reindex(used)["rank"].notna().to_numpy()
    day = (transplant_days(cohort).reindex(used) - endpoint.starts)[known][pairs.regressed]
    fitted = cox_across_transplant(
        pairs.day[pairs.regressed], pairs.outcome[pairs.regressed], pairs.x[pairs.regressed], day,
        probability=pairs.probability,
    )  # fmt: skip
    numbers = np.array([fitted.coefficients[0], fitted.lower[0], fitted.upper[0]])
    estimate, lower, upper = told_ratio(pairs.scale, numbers)
    missing = bool(fitted.reason)
    after = "" if missing else f"hazard ratio after transplant {np.exp(fitted.coefficients[1]):.2g}"
    return Estimate(
        mode=pairs.mode,
        method=ACROSS_TRANSPLANT,
        measure=f"hazard ratio {told_per(pairs.scale)}",
        estimate=float(estimate),
        lower=float(lower),
        upper=float(upper),
        probability=np.nan if missing else pairs.probability,
        interval_kind="" if missing else "profile likelihood",
        p_value=float(fitted.p_values[0]),
        p_kind="" if missing else "likelihood ratio",
        n=fitted.n,
        n_events=fitted.n_events,
        note=fitted.reason or after,
    )
