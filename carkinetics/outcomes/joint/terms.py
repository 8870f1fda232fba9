"""Log-likelihood terms of outcomes, given a linear predictor of each patient, as tensors.

They know nothing of kinetics: the predictor may hold an exposure that was observed, or one that is
a function of unknown parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

# Stands for minus and plus infinity among cut-points, on the logit scale.
_BEYOND = 1e3


def weibull(
    log_day: Any,
    event: Any,
    linear: Any,
    log_scale: Any,
    log_shape: Any,
    log_entry: Any = None,
) -> Any:
    """Compute the terms of a proportional-hazards model, h(t) = (k/l) (t/l)^(k-1) exp(linear).

    Parameters
    ----------
    log_day, event : array, shape (patient,)
        ln of the day of event or censoring [ln day], and 1 for an event, else 0.
    linear : tensor, shape (patient,)
        Log hazard ratio of each patient.
    log_scale, log_shape : tensor
        ln l [ln day] and ln k.
    log_entry : array, shape (patient,), optional
        ln of the day from which a patient was at risk (left truncation) [ln day].

    Returns
    -------
    tensor, shape (patient,)

    References
    ----------
    Kalbfleisch and Prentice 2002, doi 10.1002/9781118032985.
    """
    shape = pt.exp(log_shape)
    z = shape * (log_day - log_scale)
    terms = event * (log_shape - log_day + z + linear) - pt.exp(z + linear)
    if log_entry is not None:
        terms += pt.exp(shape * (log_entry - log_scale) + linear)
    return terms


def piecewise(spent: Any, piece: Any, event: Any, linear: Any, log_hazard: Any) -> Any:
    """Compute the terms of a hazard that is constant between cuts, times exp(linear).

    Parameters
    ----------
    spent : array, shape (patient, piece)
        Days at risk in each piece [day].
    piece : array of int, shape (patient,)
        Piece in which the follow-up ends.
    event : array, shape (patient,)
        1 for an event, else 0.
    linear : tensor, shape (patient,)
        Log hazard ratio of each patient.
    log_hazard : tensor, shape (piece,)
        ln hazard [ln 1/day].

    Returns
    -------
    tensor, shape (patient,)
    """
    cumulative = pt.dot(spent, pt.exp(log_hazard))
    return event * (log_hazard[piece] + linear) - cumulative * pt.exp(linear)


def along_time(
    log_hazard_at_nodes: Any, weights: Any, owner: Any, log_hazard_at_end: Any, event: Any
) -> Any:
    """Compute the terms of a hazard that is only known at nodes of quadrature.

    Parameters
    ----------
    log_hazard_at_nodes : tensor, shape (node,)
        ln hazard.
    weights : array, shape (node,)
        Of the quadrature [day].
    owner : array of int, shape (node,)
        Patient of each node.
    log_hazard_at_end : tensor, shape (patient,)
        ln hazard where follow-up ends.
    event : array, shape (patient,)
        1 for an event, else 0.

    Returns
    -------
    tensor, shape (patient,)
    """
    parts = weights * pt.exp(log_hazard_at_nodes)
    cumulative = pt.inc_subtensor(pt.zeros(len(event))[owner], parts)
    return event * log_hazard_at_end - cumulative


def ordinal(grade: np.ndarray, linear: Any, cut_points: Any) -> Any:
    """Compute the terms of a cumulative logit: P(grade at least k) = logistic(linear - cut k).

    Parameters
    ----------
    grade : array of int, shape (patient,)
        From 0 up to the number of cut-points.
    linear : tensor, shape (patient,)
        Log odds ratio of a higher grade.
    cut_points : tensor, shape (cut,)
        Rising.

    Returns
    -------
    tensor, shape (patient,)
    """
    ends = pt.concatenate([[-_BEYOND], cut_points, [_BEYOND]])
    low, high = ends[grade] - linear, ends[grade + 1] - linear
    # ln of logistic(high) - logistic(low), exact in either tail.
    return -pt.softplus(-high) - pt.softplus(low) + pt.log1mexp(low - high)


def cut_points_of(probabilities: Any) -> Any:
    """Turn the probabilities of grades at an exposure of zero into cut-points.

    With Dirichlet(1) probabilities the cut-points have what is called an induced Dirichlet prior:
    it stays proper where no patient has some grade.
    """
    below = pt.cumsum(probabilities)[:-1]
    above = pt.cumsum(probabilities[::-1])[::-1][1:]
    return pt.log(below) - pt.log(above)


def binary(event: Any, linear: Any) -> Any:
    """Compute the terms of a logistic regression, shape (patient,)."""
    return event * linear - pt.softplus(linear)
