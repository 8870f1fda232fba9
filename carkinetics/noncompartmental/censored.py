"""Log-linear decline with samples below the limit as censored values (M3)."""

from __future__ import annotations

import numpy as np

from carkinetics.noncompartmental.slopes import Slopes, regression

_SD, _SD_SPREAD = 0.5, 0.5  # weak knowledge of the residual SD of ln(level): lognormal


def censored_regression(
    day: np.ndarray, level: np.ndarray, lloq: np.ndarray, below: np.ndarray, used: np.ndarray
) -> Slopes:
    """Fit ln(level) by day, samples below the limit counting as "somewhere below it".

    Parameters
    ----------
    day, level, lloq : array, shape (profile, point)
        Days [day], levels and limits [unit].
    below, used : array of bool, shape (profile, point)
        Points below the limit; points that count.

    Returns
    -------
    Slopes
        By maximum likelihood of Normal residuals on the log scale, whose SD has a weak lognormal
        penalty (median 0.5, SD of its logarithm 0.5) so that few points can be fitted. NaN with
        fewer than two quantifiable points. There is no adjusted R-squared.

    References
    ----------
    Beal 2001 (method M3), doi 10.1023/A:1012299115260.
    """
    plain = regression(day, level, used & ~below)
    rate, intercept = np.full(len(day), np.nan), np.full(len(day), np.nan)
    for i in np.flatnonzero(plain.n >= 2):
        here = used[i]
        value = np.log(np.where(below[i], lloq[i], level[i])[here])
        start = (plain.intercept[i], -plain.rate[i])
        intercept[i], slope = _fit(day[i][here], value, below[i][here], start)
        rate[i] = -slope
    count = used.sum(axis=1)
    nothing = np.full(len(day), np.nan)
    first = np.where(used, day, np.inf).min(axis=1)
    width = np.where(count > 0, np.where(used, day, -np.inf).max(axis=1) - first, np.nan)
    return Slopes(rate, intercept, nothing, width * rate / np.log(2), count)


def _fit(
    day: np.ndarray, value: np.ndarray, below: np.ndarray, start: tuple[float, float]
) -> tuple[float, float]:
    from scipy import optimize, stats

    middle = float(day.mean())

    def loss(parameters: np.ndarray) -> float:
        level, slope, log_sd = parameters
        z = (value - level - slope * (day - middle)) / np.exp(log_sd)
        terms = np.where(below, stats.norm.logcdf(z), stats.norm.logpdf(z) - log_sd)
        return 0.5 * float(((log_sd - np.log(_SD)) / _SD_SPREAD) ** 2) - float(terms.sum())

    first = [start[0] + start[1] * middle, start[1], np.log(_SD)]
    found = optimize.minimize(loss, first, method="BFGS")
    level, slope, _ = found.x
    return float(level - slope * middle), float(slope)
