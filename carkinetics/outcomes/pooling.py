"""Pooling the estimates of many draws of the exposure into one (Rubin's rules)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class Pooled:
    """An estimate pooled over draws.

    Parameters
    ----------
    estimate : float
        Mean over the draws.
    within, between, total : float
        Variances: mean within a draw, between draws, and of the pooled estimate.
    freedom : float
        Degrees of freedom after Rubin.
    adjusted_freedom : float
        The same after Barnard and Rubin, for small samples; NaN without complete-data freedom.
    draws : int
        Number of draws.
    """

    estimate: float
    within: float
    between: float
    total: float
    freedom: float
    adjusted_freedom: float
    draws: int

    def interval(self, probability: float = 0.95) -> tuple[float, float]:
        """Give Student-t limits."""
        reach = stats.t.ppf(0.5 + probability / 2.0, self._used) * np.sqrt(self.total)
        return float(self.estimate - reach), float(self.estimate + reach)

    @property
    def p_value(self) -> float:
        """Two-sided Student-t p-value of no association."""
        return float(2.0 * stats.t.sf(abs(self.estimate) / np.sqrt(self.total), self._used))

    @property
    def _used(self) -> float:
        return self.freedom if np.isnan(self.adjusted_freedom) else self.adjusted_freedom


def pool(estimates: ArrayLike, variances: ArrayLike, complete_freedom: float = np.nan) -> Pooled:
    """Pool estimates over draws of what is uncertain.

    Parameters
    ----------
    estimates, variances : array_like, shape (draw,)
        Of each draw.
    complete_freedom : float
        Degrees of freedom had nothing been uncertain, such as events - 1; NaN for no adjustment.

    Returns
    -------
    Pooled
        With infinite degrees of freedom where the draws agree.

    References
    ----------
    Rubin 1987, doi 10.1002/9780470316696. Barnard and Rubin 1999, doi 10.1093/biomet/86.4.948.

    Examples
    --------
    >>> found = pool([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    >>> round(found.total, 5), round(found.freedom, 3)
    (2.33333, 6.125)
    """
    q, u = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    m = q.size
    within = float(u.mean())
    between = float(q.var(ddof=1)) if m > 1 else 0.0
    extra = (1.0 + 1.0 / m) * between
    total = within + extra
    share = extra / total
    freedom = (m - 1) / share**2 if share > 0 else np.inf
    adjusted = np.nan
    if np.isfinite(complete_freedom):
        nu = complete_freedom
        observed = (nu + 1.0) / (nu + 3.0) * nu * (1.0 - share)
        adjusted = 1.0 / (1.0 / freedom + 1.0 / observed) if observed > 0 else np.nan
    return Pooled(float(q.mean()), within, between, total, freedom, adjusted, m)
