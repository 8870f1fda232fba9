"""Assay models: residual error, censoring below the LLOQ, and the link from cells to qPCR.

Everything here works on natural logarithms of levels. The functions that build likelihood terms
import PyMC when called, so that the conversions stay cheap to import.
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
    >>> round(copies_per_ug(100.0, 5000.0, 2.0), 3)
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
    >>> round(cells_per_ul(50.0, 5000.0), 4)
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
    below : array of bool, shape (sample,)
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
    import pymc as pm
    import pytensor.tensor as pt

    if degrees_of_freedom is None:
        residual = pm.Normal.dist(mean, sigma)
    else:
        residual = pm.StudentT.dist(nu=degrees_of_freedom, mu=mean, sigma=sigma)
    below = np.asarray(below, dtype=bool)
    if not below.any():
        return pm.logp(residual, log_level)
    if below.all():
        return pm.logcdf(residual, log_level)
    return pt.switch(below, pm.logcdf(residual, log_level), pm.logp(residual, log_level))


def event_count_log_likelihood(events: Any, expected: Any, inverse_root_phi: Any) -> Any:
    """Log likelihood of counted CAR+ events: negative binomial, Poisson in the limit.

    Parameters
    ----------
    events : array of int, shape (sample,)
        CAR+ events acquired; zero is data and needs no LLOQ.
    expected : tensor, shape (sample,)
        Expected events: level x volume x recovery.
    inverse_root_phi : tensor or float
        1 / sqrt(phi); 0 gives the Poisson limit, approached smoothly.

    Returns
    -------
    tensor, shape (sample,)
    """
    import pymc as pm

    return pm.logp(
        pm.NegativeBinomial.dist(mu=expected, alpha=1.0 / inverse_root_phi**2), events
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
        rho in (0, 1); the binomial is its limit at 0. The beta has shape
        ``share * (1 / rho - 1)`` and ``(1 - share) * (1 / rho - 1)``.

    Returns
    -------
    tensor, shape (sample,)
    """
    import pymc as pm

    concentration = 1.0 / overdispersion - 1.0
    return pm.logp(
        pm.BetaBinomial.dist(
            n=events, alpha=share * concentration, beta=(1.0 - share) * concentration
        ),
        cd8_events,
    )
