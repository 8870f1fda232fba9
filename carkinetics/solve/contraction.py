"""What the operations of the solver do with Jacobians, in compiled code and in Python."""

from __future__ import annotations

import numpy as np
from numba import njit


# Plain numba, because Python mode calls these too: PyTensor's own decorator leaves out what a
# call from Python needs.
@njit(cache=True)
def blank_failures(
    level: np.ndarray, jacobian: np.ndarray, offsets: np.ndarray, outcome: np.ndarray
) -> None:
    """Set the rows of failed patients to zero, so that no NaN reaches the likelihood."""
    for i in range(outcome.shape[0]):
        if outcome[i] != 0:
            level[offsets[i] : offsets[i + 1]] = 0.0
            jacobian[offsets[i] : offsets[i + 1]] = 0.0


@njit(cache=True)
def contract(gradient: np.ndarray, jacobian: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum gradient times Jacobian over the rows and cell types of each patient.

    Parameters
    ----------
    gradient : array, shape (row, cell_type)
    jacobian : array, shape (row, cell_type, parameter)
    offsets : array of int, shape (patient + 1,)

    Returns
    -------
    array, shape (patient, parameter)
    """
    result = np.zeros((offsets.shape[0] - 1, jacobian.shape[2]))
    for i in range(offsets.shape[0] - 1):
        for row in range(offsets[i], offsets[i + 1]):
            for j in range(jacobian.shape[1]):
                g = gradient[row, j]
                for q in range(jacobian.shape[2]):
                    result[i, q] += g * jacobian[row, j, q]
    return result
