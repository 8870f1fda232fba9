"""Days at which a hazard that follows the curve is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carkinetics.inference.extension import Rows
from carkinetics.outcomes.joint.data import JointOutcome

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(15)


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes of quadrature over the time at risk, and its ends.

    Attributes
    ----------
    rows : Rows
        All of them, by patient of the fit and day.
    at_node, at_end : array of int
        Which rows are nodes, and which the ends of follow-up.
    weights : array, shape (node,)
        Of the quadrature [day].
    owner : array of int, shape (node,)
        Place of the patient among those of the outcome.
    """

    rows: Rows
    at_node: np.ndarray
    at_end: np.ndarray
    weights: np.ndarray
    owner: np.ndarray


def quadrature(
    outcome: JointOutcome, offsets: np.ndarray, days: np.ndarray, cuts: tuple[float, ...]
) -> Nodes:
    """Put 15 Gauss-Legendre nodes between each two of a patient's visits and of the cuts.

    Parameters
    ----------
    outcome : JointOutcome
        A survival outcome.
    offsets, days : array
        Visits of each patient of the fit [day].
    cuts : tuple of float
        Further days on which the hazard may jump [day].

    Returns
    -------
    Nodes
    """
    patient, day, weight, owner, end = [], [], [], [], []
    for k, who in enumerate(outcome.patient):
        first, last = float(outcome.entry[k]), float(outcome.day[k])
        inner = np.concatenate([days[offsets[who] : offsets[who + 1]], cuts])
        inner = inner[(inner > first) & (inner < last)]
        marks = np.unique(np.concatenate([[first], inner, [last]]))
        half = np.diff(marks)[:, None] / 2
        found = (marks[:-1, None] + half * (1 + _NODES)).ravel()
        day.append(np.append(found, last))
        weight.append(np.append((half * _WEIGHTS).ravel(), 0.0))
        patient.append(np.full(found.size + 1, who))
        owner.append(np.full(found.size + 1, k))
        end.append(np.append(np.zeros(found.size, bool), True))
    is_end = np.concatenate(end)
    return Nodes(
        rows=Rows(np.concatenate(patient), np.concatenate(day)),
        at_node=np.flatnonzero(~is_end),
        at_end=np.flatnonzero(is_end),
        weights=np.concatenate(weight)[~is_end],
        owner=np.concatenate(owner)[~is_end],
    )


def merge(parts: list[Rows]) -> tuple[Rows, list[np.ndarray]]:
    """Sort the rows of several askers into one list; say where those of each are.

    Returns
    -------
    rows : Rows
        All of them.
    places : list of array of int
        For each part, the places of its rows.
    """
    patient = np.concatenate([part.patient for part in parts]).astype(np.int64)
    day = np.concatenate([part.day for part in parts])
    order = np.lexsort((day, patient))
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    ends = np.cumsum([len(part.day) for part in parts])
    return Rows(patient[order], day[order]), np.split(place, ends[:-1])
