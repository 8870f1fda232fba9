"""Assay models: residual error, censoring below the LLOQ, and the link from cells to qPCR.

Everything here works on natural logarithms of levels. The functions that build likelihood terms
import PyMC and PyTensor when called, so that the conversions stay cheap to import.
"""

from __future__ import annotations

from typing import Any

import numpy as np

PICOGRAMS_PER_GENOME = 6.6
GENOMES_PER_UG = 1e6 / PICOGRAMS_PER_GENOME
# Reference point of the link: kappa has no meaning without it when a slope differs from one.
REFERENCE_CELLS = 100.0
REFERENCE_WBC = 1000.0
# Degrees of freedom of the CD8 share: a single odd gate should not move a patient's split.
SHARE_DEGREES_OF_FREEDOM = 4.0
# Overdispersion below this counts as this: log probabilities differ by less than 1e-6 up to
# a thousand events.
_NO_OVERDISPERSION = 1e-12
_STIRLING_FROM = 16.0
_ROOT_HALF = np.sqrt(0.5)


def copies_per_ug(cells: Any, wbc: Any, copies_per_cell: Any = 1.0) -> Any:
    """Convert CAR+ cells per uL of blood to transgene copies per ug of genomic DNA.

    Parameters
    ----------
    cells : array_like
        CAR+ cells [cells/uL].
    wbc : array_like
        Nucleated cells in the same blood [cells/uL].
    copies_per_cell : array_like
        Vector copy number [copies/cell].

    Returns
    -------
    array_like
        Transgene level [copies/ug], for 6.6 pg of DNA per diploid genome.

    Examples
    --------
    >>> print(round(copies_per_ug(100.0, 5000.0, 2.0), 3))
    6060.606
    """
    return copies_per_cell * np.divide(cells, wbc) * GENOMES_PER_UG


def cells_per_ul(copies: Any, wbc: Any, copies_per_cell: Any = 1.0) -> Any:
    """Convert transgene copies per ug of genomic DNA to CAR+ cells per uL; see `copies_per_ug`.

    Parameters
    ----------
    copies : array_like
        Transgene level [copies/ug].
    wbc : array_like
        Nucleated cells in the same blood [cells/uL].
    copies_per_cell : array_like
        Vector copy number [copies/cell].

    Returns
    -------
    array_like
        CAR+ cells [cells/uL].

    Examples
    --------
    >>> print(round(cells_per_ul(50.0, 5000.0), 4))
    1.65
    """
    return np.multiply(copies, wbc) / GENOMES_PER_UG / copies_per_cell


def link_log_copies(
    log_cells: Any,
    log_wbc: Any,
    log_copies_per_cell: Any,
    slope: Any = 1.0,
    wbc_slope: Any = 1.0,
    patient_shift: Any = 0.0,
) -> Any:
    """Predict ln copies/ug from ln cells/uL through the assay link.

    ``ln Q = ln kappa + ln(C0 / W0) + slope * ln(C / C0) - wbc_slope * ln(W / W0) + shift`` with
    kappa = 151,515 * copies per cell, C0 = 100 cells/uL and W0 = 1,000 per uL. The slope is free
    in a fit: in real data qPCR rises more slowly than flow, and copies per ug fall when other
    leukocytes return (doi 10.1038/s41598-020-74927-8).

    Parameters
    ----------
    log_cells : array_like or tensor
        ln total CAR+ cells [ln cells/uL].
    log_wbc : array_like or tensor
        ln leukocytes of the same draw [ln cells/uL]; ``ln 1000`` removes the term.
    log_copies_per_cell : float or tensor
        ln vector copy number.
    slope, wbc_slope, patient_shift : float or tensor
        See the formula.

    Returns
    -------
    array_like or tensor
        ln Q [ln copies/ug].
    """
    intercept = np.log(GENOMES_PER_UG) + np.log(REFERENCE_CELLS / REFERENCE_WBC)
    return (
        intercept
        + log_copies_per_cell
        + slope * (log_cells - np.log(REFERENCE_CELLS))
        - wbc_slope * (log_wbc - np.log(REFERENCE_WBC))
        + patient_shift
    )


def censored_log_likelihood(
    log_level: Any, below: Any, mean: Any, sigma: Any, degrees_of_freedom: Any = None
) -> Any:
    """Log likelihood of log levels, some below their limit of quantification (method M3).

    A quantified sample contributes the log density of its log level, a sample below the LLOQ
    the log probability of lying below it (Beal 2001, doi 10.1023/A:1012299115260).

    Parameters
    ----------
    log_level : array, shape (sample,)
        ln level; where ``below``, ln LLOQ of that sample.
    below : array or tensor of bool, shape (sample,)
        Whether the sample lies below its LLOQ.
    mean, sigma : tensor, shape (sample,)
        Predicted ln level and residual SD.
    degrees_of_freedom : tensor, optional
        Student-t residuals with these degrees of freedom; Normal when None.

    Returns
    -------
    tensor, shape (sample,)
        Log likelihood per sample. Uses log-cdfs, finite far below the limit.
    """
    symbolic = hasattr(below, "owner")
    if not symbolic:
        below = np.asarray(below, dtype=bool)
    if degrees_of_freedom is None:
        density, log_cdf = _normal_terms(log_level, mean, sigma)
    else:
        density, log_cdf = _student_terms(log_level, mean, sigma, degrees_of_freedom)
    if not symbolic and not below.any():
        return density
    if not symbolic and below.all():
        return log_cdf
    import pytensor.tensor as pt

    return pt.switch(below, log_cdf, density)


def _normal_terms(log_level: Any, mean: Any, sigma: Any) -> tuple[Any, Any]:
    """Return log density and log probability below, of a normal distribution.

    Written here because PyMC 6 computes a root of two in single precision: 1e-8 off.
    """
    import pytensor.tensor as pt

    sigma = _double(sigma)
    z = (_double(log_level) - _double(mean)) / sigma
    density = -0.5 * z**2 - pt.log(sigma) - np.log(2 * np.pi) / 2
    # Each branch sees only what it can take: the one not chosen must not spoil the gradient.
    low, high = pt.minimum(z, -1.0), pt.maximum(z, -1.0)
    far_below = pt.log(pt.erfcx(-low * _ROOT_HALF) / 2) - low**2 / 2
    near_or_above = pt.log1p(-pt.erfc(high * _ROOT_HALF) / 2)
    return density, pt.switch(pt.lt(z, -1.0), far_below, near_or_above)


def _student_terms(log_level: Any, mean: Any, sigma: Any, nu: Any) -> tuple[Any, Any]:
    """Return log density and log probability below, of a Student-t distribution."""
    import pymc as pm

    from carkinetics.student_t import student_log_cdf

    level, mean, sigma, nu = (_double(value) for value in (log_level, mean, sigma, nu))
    density = pm.logp(pm.StudentT.dist(nu=nu, mu=mean, sigma=sigma), level)
    return density, student_log_cdf((level - mean) / sigma, nu)


def _double(value: Any) -> Any:
    """Make a tensor in double precision; PyTensor takes a plain number as single."""
    import pytensor.tensor as pt

    if not hasattr(value, "owner"):
        value = np.asarray(value, dtype=np.float64)
    return pt.cast(pt.as_tensor_variable(value), "float64")


def _log_rising(x: Any, count: Any) -> Any:
    """Return ln gamma(x + count) - ln gamma(x), exact to the last digits for a huge x, too.

    The plain difference loses them: at x = 1e12 it is off by 1e-4.
    """
    import pytensor.tensor as pt

    small, large = pt.minimum(x, _STIRLING_FROM), pt.maximum(x, _STIRLING_FROM)
    direct = pt.gammaln(small + count) - pt.gammaln(small)
    end = large + count
    series = (
        (large - 0.5) * pt.log1p(count / large)
        + count * pt.log(end)
        - count
        + _stirling(end)
        - _stirling(large)
    )
    return pt.switch(pt.lt(x, _STIRLING_FROM), direct, series)


def _stirling(x: Any) -> Any:
    """Return what Stirling's formula leaves of ln gamma; 1e-15 from x = 16 on."""
    y = 1.0 / x**2
    return (1 / 12 + y * (-1 / 360 + y * (1 / 1260 + y * (-1 / 1680 + y / 1188)))) / x


def event_count_log_likelihood(events: Any, expected: Any, inverse_root_phi: Any) -> Any:
    """Log likelihood of counted CAR+ events: negative binomial, Poisson in the limit.

    Parameters
    ----------
    events : array of int, shape (sample,)
        CAR+ events acquired; zero is data and needs no LLOQ.
    expected : tensor, shape (sample,)
        Expected events: level x volume x recovery.
    inverse_root_phi : tensor or float
        1 / sqrt(phi); at 0 the Poisson distribution.

    Returns
    -------
    tensor, shape (sample,)
    """
    import pytensor.tensor as pt

    events, expected = _double(events), _double(expected)
    phi = 1.0 / pt.maximum(_double(inverse_root_phi) ** 2, _NO_OVERDISPERSION)
    return (
        _log_rising(phi, events)
        - pt.gammaln(events + 1.0)
        + events * (pt.log(expected) - pt.log(phi + expected))
        - phi * pt.log1p(expected / phi)
    )


def split_log_likelihood(cd8_events: Any, events: Any, share: Any, overdispersion: Any) -> Any:
    """Log likelihood of CD8 events among CAR+ events: beta-binomial.

    Parameters
    ----------
    cd8_events, events : array of int, shape (sample,)
        CD8 events and all CAR+ events of the same tube.
    share : tensor, shape (sample,)
        Expected CD8 share, 0-1.
    overdispersion : tensor or float
        rho, from 0, the binomial distribution, to below 1. The beta has shape
        ``share * (1 / rho - 1)`` and ``(1 - share) * (1 / rho - 1)``.

    Returns
    -------
    tensor, shape (sample,)
    """
    import pytensor.tensor as pt

    events, cd8 = _double(events), _double(cd8_events)
    # A share of exactly 0 or 1 would give single odd events no probability and no gradient.
    share = pt.clip(_double(share), 1e-12, 1 - 1e-12)
    concentration = 1.0 / pt.maximum(_double(overdispersion), _NO_OVERDISPERSION) - 1.0
    choices = pt.gammaln(events + 1.0) - pt.gammaln(cd8 + 1.0) - pt.gammaln(events - cd8 + 1.0)
    return (
        choices
        + _log_rising(share * concentration, cd8)
        + _log_rising((1.0 - share) * concentration, events - cd8)
        - _log_rising(concentration, events)
    )
