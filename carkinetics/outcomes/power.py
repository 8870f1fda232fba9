"""`power`: how often each classical estimator would see an assumed association."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes.assumed_outcomes import (
    ASSUMED_RATIO,
    draw_events,
    draw_grades,
    draw_times,
)
from carkinetics.outcomes.exposure_values import observed_values
from carkinetics.outcomes.light_tests import binary_tests, ordinal_tests, survival_tests
from carkinetics.outcomes.proportions import clopper_pearson
from carkinetics.simulation import VISITS, simulate, true_parameters

if TYPE_CHECKING:
    from carkinetics.model import Model

Array = NDArray[np.float64]

_KINDS = {"ttp": "survival", "crs_grade": "ordinal", "iec_hs": "binary"}
_TRUE, _OBSERVED = "true exposure", "observed exposure"
_POOL = 400  # virtual patients from whom trials are drawn
_GRID = np.arange(0.0, 28.01, 0.25)  # days of the true curve


@dataclass(frozen=True, repr=False, eq=False)
class Power:
    """How often tests would see an association of stated size.

    Made by `power`.

    Parameters
    ----------
    table : DataFrame
        One row per way of taking the exposure and test: ``exposure`` (``"true exposure"``, which
        nobody has, or ``"observed exposure"``), ``test``, ``power`` (share of trials with p below
        `level`), and ``lower``, ``upper``, exact 95 % limits of the simulation.
    assumption : str
        What was assumed, in words.
    reliability : float
        Squared correlation of observed and true ln exposure among the virtual patients.
    n_patients, repeats : int
        Patients per trial, and trials.
    ratio, level : float
        Assumed ratio per doubling, and the level of the tests.
    """

    table: pd.DataFrame
    assumption: str
    reliability: float
    n_patients: int
    repeats: int
    ratio: float
    level: float

    def __repr__(self) -> str:
        lines = [
            f"Power of {self.n_patients} patients at p < {self.level:g} "
            f"({self.repeats} SYNTHETIC trials)",
            f"  assumed: {self.assumption}",
            f"  reliability of the observed exposure: {self.reliability:.2f}",
        ]
        width = self.table["test"].str.len().max()
        lines += [
            f"  {row.exposure:<17}  {row.test:<{width}}  {row.power:5.0%}  "
            f"({row.lower:.0%} to {row.upper:.0%})"
            for row in self.table.itertuples()
        ]
        return "\n".join(lines)


def power(
    model: Model,
    n_patients: int = 16,
    outcome: str = "iec_hs",
    *,
    ratio: float | None = None,
    exposure: str = "cmax",
    assay: str = "flow",
    visits: Sequence[float] = VISITS,
    share: float | Sequence[float] | None = None,
    median_day: float = 77.0,
    follow_up: tuple[float, float] = (120.0, 900.0),
    repeats: int = 400,
    level: float = 0.05,
    seed: int = 2026,
) -> Power:
    """Simulate trials from a model, and count how often each classical test sees the association.

    Parameters
    ----------
    model : Model
        Draws the kinetics, see `simulate`.
    n_patients : int
        Patients per trial.
    outcome : {"ttp", "crs_grade", "iec_hs"}
        Time to an event, ordered grades, or yes and no.
    ratio : float, optional
        Assumed hazard ratio (``"ttp"``; 0.6 by default) or odds ratio (1.7) per doubling of the
        true exposure; 1 gives the false-positive rate.
    exposure : str
        ``"cmax"`` or ``"auc_0_28"``.
    assay : str
        Assay of the observed exposure.
    visits : sequence of float
        Days of sampling [day].
    share : float or sequence of float, optional
        Expected share of patients with the event (0.19 by default), or of each grade from 0 up
        (those of 16 patients with 3, 6, 6 and 1).
    median_day : float
        Median time to the event at the typical exposure [day].
    follow_up : tuple of two floats
        Follow-up ends on a day between these two [day].
    repeats : int
        Simulated trials.
    level : float
        A p-value below it counts as seen.
    seed : int
        The same seed gives the same answer.

    Returns
    -------
    Power
        For the true exposure, which an assay without error would give, and for the one observed.

    Raises
    ------
    DataError
        For an outcome or exposure it does not know, or shares that are none.

    Examples
    --------
    >>> from carkinetics.library import load_model
    >>> found = power(load_model("cd4_cd8_expansion"), 16, "iec_hs", repeats=50, seed=1)
    >>> sorted(found.table["test"].unique())
    ['Firth logistic', 'Mann-Whitney']
    """
    kind = _checked(n_patients, outcome, exposure, repeats, share, ratio)
    wanted = ASSUMED_RATIO[kind] if ratio is None else ratio
    true, observed = _exposures(model, exposure, assay, visits, seed)
    rng = np.random.default_rng([seed, 11])
    chosen = np.stack([rng.permutation(true.size)[:n_patients] for _ in range(repeats)])
    x, w = true[chosen], observed[chosen]
    shares = _shares(kind, share)
    counts: dict[tuple[str, str], int] = {}
    outcomes = _outcomes(rng, kind, x, wanted, shares, median_day, follow_up)
    for i in range(repeats):
        for name, values in ((_TRUE, x[i]), (_OBSERVED, w[i])):
            for test, p in _tests(kind, values, outcomes, i).items():
                key = (name, test)
                counts[key] = counts.get(key, 0) + int(p < level)
    rows = [
        (name, test, seen / repeats, *clopper_pearson(seen, repeats))
        for (name, test), seen in sorted(counts.items(), reverse=True)
    ]
    table = pd.DataFrame(rows, columns=["exposure", "test", "power", "lower", "upper"])
    return Power(
        table,
        _assumption(kind, wanted, exposure, shares, median_day, follow_up, visits, assay),
        float(np.corrcoef(true, observed)[0, 1] ** 2),
        n_patients,
        repeats,
        wanted,
        level,
    )


def _exposures(
    model: Model, exposure: str, assay: str, visits: Sequence[float], seed: int
) -> tuple[Array, Array]:
    """Draw patients once: ln exposure of the true curve, and as observed."""
    from carkinetics.quantities import find_quantity
    from carkinetics.quantities.curve import Curve
    from carkinetics.solve.curves import latent_levels

    assays = ("flow", "qpcr") if "flow" in model.observed and assay == "qpcr" else (assay,)
    cohort = simulate(model, _POOL, seed=seed, visits=visits, assays=assays)
    unit = "cells/uL" if "flow" in assays else "copies/ug"
    parameters = true_parameters(model, _POOL, seed=seed, unit=unit)
    curves = latent_levels(model.system(), parameters.to_numpy(), _GRID[1:], tolerance=1e-6)
    curve = Curve(_GRID[1:], curves.log_level[:, -1])
    true = np.log(find_quantity(exposure.replace("auc_0_", "auc_1_")).compute(curve))
    seen = observed_values(cohort, exposure, assay, "total").table["x"]
    order = seen.reindex(parameters.index).to_numpy(float)
    known = np.isfinite(order) & np.isfinite(true)
    return true[known], order[known]


def _outcomes(
    rng: np.random.Generator, kind: str, x: Array, ratio: float, shares: list[float],
    median_day: float, follow_up: tuple[float, float],
) -> tuple[Array, ...]:  # fmt: skip
    if kind == "binary":
        return (draw_events(rng, x, ratio, shares[0]).astype(float),)
    if kind == "ordinal":
        return (draw_grades(rng, x, ratio, shares).astype(float),)
    ends = rng.uniform(*follow_up, size=x.shape)
    day, event = draw_times(rng, x, ratio, np.log(2.0) / median_day, ends)
    return day, event.astype(float)


def _tests(kind: str, x: Array, outcomes: tuple[Array, ...], i: int) -> dict[str, float]:
    if kind == "binary":
        return binary_tests(x, outcomes[0][i].astype(bool))
    if kind == "ordinal":
        return ordinal_tests(x, outcomes[0][i])
    return survival_tests(x, outcomes[0][i], outcomes[1][i].astype(bool))


def _shares(kind: str, share: float | Sequence[float] | None) -> list[float]:
    if share is None:
        return [0.19] if kind == "binary" else [3 / 16, 6 / 16, 6 / 16, 1 / 16]
    return [float(share)] if isinstance(share, int | float) else [float(s) for s in share]


def _checked(
    n_patients: int, outcome: str, exposure: str, repeats: int,
    share: float | Sequence[float] | None, ratio: float | None,
) -> str:  # fmt: skip
    """Give the kind of outcome, or name everything that is wrong with the question."""
    faults = []
    if outcome not in _KINDS:
        faults.append(Fault("power", f"no outcome {outcome!r}", f"Choose from {list(_KINDS)}."))
    if exposure not in ("cmax", "auc_0_28"):
        faults.append(Fault("power", f"no exposure {exposure!r}", "Choose cmax or auc_0_28."))
    if not 5 <= n_patients <= _POOL // 2:
        what = f"n_patients is {n_patients}"
        faults.append(Fault("power", what, f"Give 5 to {_POOL // 2}."))
    if repeats < 1:
        faults.append(Fault("power", f"repeats is {repeats}", "Give at least 1."))
    if ratio is not None and not ratio > 0:
        faults.append(Fault("power", f"ratio is {ratio}", "Give a ratio above 0, such as 0.6."))
    kind = _KINDS.get(outcome, "")
    shares = np.array(_shares(kind, share))
    whole = np.isclose(shares.sum(), 1.0) and shares.size > 1
    if kind == "binary" and not (shares.size == 1 and 0 < shares[0] < 1):
        faults.append(Fault("power", f"share is {share}", "Give a share between 0 and 1."))
    if kind == "ordinal" and not (whole and (shares > 0).all()):
        faults.append(Fault("power", f"share is {share}", "Give a share per grade, sum 1."))
    if faults:
        raise DataError(faults)
    return kind


def _assumption(
    kind: str, ratio: float, exposure: str, shares: list[float], median_day: float,
    follow_up: tuple[float, float], visits: Sequence[float], assay: str,
) -> str:  # fmt: skip
    what = {"survival": "hazard ratio", "ordinal": "odds ratio of a higher grade",
            "binary": "odds ratio"}[kind]  # fmt: skip
    days = ", ".join(f"{day:g}" for day in visits)
    more = {
        "binary": f"{shares[0]:.0%} of patients have the event",
        "ordinal": f"shares of grades {', '.join(f'{s:.0%}' for s in shares)}",
        "survival": f"median {median_day:g} days, follow-up to day {follow_up[0]:g} to "
        f"{follow_up[1]:g}",
    }[kind]
    return f"{what} {ratio:g} per doubling of {exposure}; {more}; {assay} on days {days}"
