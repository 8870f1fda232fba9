"""What the slope of an outcome would be without one patient, or under another prior.

Nothing is fitted again: draws are weighed by Pareto-smoothed importance sampling, and where that
cannot be relied on, the row says so.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from carkinetics.outcomes.joint.effects import Slope

Array = NDArray[np.float64]

LARGEST_K = 0.7  # above, importance sampling is not to be relied on
SENSITIVE = 0.05  # of a power-scaling diagnostic, above which a posterior depends on a part
_FACTORS = {"half": 0.5, "twice": 2.0}  # on the SD of the prior


def influence_table(slope: Slope, terms: xr.DataArray) -> pd.DataFrame:
    """Tell the ratio of an outcome with each patient's outcome left out.

    Parameters
    ----------
    slope : Slope
        Draws of the slope.
    terms : DataArray, dims (chain, draw, patient)
        Log-likelihood of each patient's outcome.

    Returns
    -------
    DataFrame
        One row per patient, the most influential first: ``patient``, ``median``, ``lower``,
        ``upper`` (ratio per doubling without this patient, 95 % equal-tailed), ``shift`` (of the
        mean slope, over its posterior SD), ``k_hat``, and ``reason`` where the numbers are not to
        be relied on.

    References
    ----------
    Vehtari et al. 2024, Pareto smoothed importance sampling, jmlr.org/papers/v25/19-556.html.
    """
    rows = []
    for patient in terms["patient"].values:
        log_weights, k = _smoothed(terms.sel(patient=patient))
        low, middle, high = np.exp2(_quantiles(slope.draws, log_weights, (0.025, 0.5, 0.975)))
        mean = float(np.average(slope.draws, weights=np.exp(log_weights)))
        rows.append(
            {
                "patient": str(patient),
                "median": middle,
                "lower": low,
                "upper": high,
                "shift": (mean - slope.draws.mean()) / slope.draws.std(ddof=1),
                "k_hat": k,
                "reason": _reason(k),
            }
        )
    table = pd.DataFrame(rows)
    order = table["shift"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def sensitivity_row(slope: Slope, terms: xr.DataArray) -> dict[str, object]:
    """Tell how far a slope depends on its prior, and on the outcome.

    Parameters
    ----------
    slope : Slope
        Draws of the slope.
    terms : DataArray, dims (chain, draw, patient)
        Log-likelihood of each patient's outcome.

    Returns
    -------
    dict
        ``prior`` and ``likelihood``: the power-scaling diagnostics of the prior of the slope and
        of the likelihood of the outcome; ``half_median``, ``twice_median`` (with ``_lower`` and
        ``_upper``): the ratio per doubling under half and twice the SD of the prior; ``k_hat``,
        the larger of the two; ``diagnosis`` in words.

    References
    ----------
    Kallioinen et al. 2024, doi 10.1007/s11222-023-10366-5.
    """
    from arviz_stats import psense

    prior = xr.zeros_like(terms.isel(patient=0, drop=True)) + _log_prior(slope, 1.0).reshape(
        terms.shape[:2]
    )
    draws = xr.DataArray(slope.draws.reshape(terms.shape[:2]), dims=("chain", "draw"))
    tree = xr.DataTree.from_dict(
        {
            "/posterior": xr.Dataset({"slope": draws}),
            "/log_prior": xr.Dataset({"slope": prior}),
            "/log_likelihood": xr.Dataset({"outcome": terms}),
        }
    )
    found: dict[str, object] = {
        part: float(psense(tree, group=part)["slope"]) for part in ("prior", "likelihood")
    }
    worst = -np.inf
    for name, factor in _FACTORS.items():
        ratio = _log_prior(slope, factor) - _log_prior(slope, 1.0)
        # Smoothing divides by what it is given, as in leaving out an observation.
        log_weights, k = _smoothed(prior.copy(data=-ratio.reshape(terms.shape[:2])))
        low, middle, high = np.exp2(_quantiles(slope.draws, log_weights, (0.025, 0.5, 0.975)))
        found |= {f"{name}_median": middle, f"{name}_lower": low, f"{name}_upper": high}
        worst = float(np.maximum(worst, k))  # unknown stays unknown
    return found | {"k_hat": worst, "diagnosis": _diagnosis(found, worst)}


def _log_prior(slope: Slope, factor: float) -> Array:
    return np.asarray(stats.norm.logpdf(slope.draws, 0.0, factor * slope.prior_sd))


def _smoothed(divided_by: xr.DataArray) -> tuple[Array, float]:
    """Give normalized log weights of the draws, divided by the exponential of what is given."""
    import arviz_stats  # noqa: F401  # gives arrays their `azstats`

    log_weights, k = divided_by.azstats.psislw(dim=["chain", "draw"])
    return log_weights.values.ravel(), float(k)


def _quantiles(draws: Array, log_weights: Array, at: tuple[float, ...]) -> Array:
    order = np.argsort(draws)
    weights = np.exp(log_weights[order] - log_weights.max())
    below = (np.cumsum(weights) - 0.5 * weights) / weights.sum()
    return np.asarray(np.interp(at, below, draws[order]))


def _reason(k: float) -> str:
    if k <= LARGEST_K:
        return ""
    # Not a number where the weights have no tail to speak of: one draw has all of it.
    said = "unknown" if np.isnan(k) else f"{k:.2f}, above {LARGEST_K:g}"
    return f"k-hat is {said}: fit without this patient to know"


def _diagnosis(found: dict[str, object], k: float) -> str:
    prior, likelihood = (float(str(found[part])) > SENSITIVE for part in ("prior", "likelihood"))
    if prior and likelihood:
        said = "prior and outcome both count, and may disagree"
    elif prior:
        said = "the prior counts, the outcome hardly"
    elif likelihood:
        said = "the outcome counts, the prior hardly"
    else:
        said = "neither counts much"
    return said if k <= LARGEST_K else f"{said}; k-hat {k:.2f}: other priors need another fit"
