"""The start of a fit of many patients: the optimum of everything that they share.

The deterministic fit of `prefit` holds the residual SDs and ends before the between-patient SD of
an effect that is hardly seen has settled; of few patients neither is known any better. Of many
both are, and what is held too low makes effects look known that are not: they would be centered
upon an SD that may be small, which is the neck of a funnel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from carkinetics.inference.laplace import optimum
from carkinetics.inference.marginal import NoMode
from carkinetics.inference.prefit import Density, EffectPlaces, Prefit


def refined(
    density: Density, start: Prefit, effects: Mapping[str, EffectPlaces], held: np.ndarray
) -> Prefit:
    """Go on from a deterministic fit to the optimum of Laplace's approximate marginal density.

    Parameters
    ----------
    density : callable
        Unconstrained point -> log density and gradient, with all effects centered.
    start : Prefit
        The deterministic fit.
    effects : mapping of str to EffectPlaces
        The patient effects.
    held : array of int
        Places that keep their value (correlations, degrees of freedom).

    Returns
    -------
    Prefit
        The start itself where no optimum is found.
    """
    own = np.stack([places.patients for places in effects.values()], axis=1)
    free = np.setdiff1d(np.arange(start.mode.size), held)

    def of_free(point: np.ndarray) -> tuple[float, np.ndarray]:
        full = start.mode.copy()
        full[free] = point
        value, gradient = density(full)
        return value, gradient[free]

    try:
        found = optimum(of_free, start.mode[free], np.searchsorted(free, own), start.spread[free])
    except NoMode:
        return start
    mode = start.mode.copy()
    mode[np.setdiff1d(free, own)], mode[own] = found.shared, found.mode
    omega = {name: float(np.exp(mode[places.omega])) for name, places in effects.items()}
    variance = np.einsum("nij,nij->ni", found.root, found.root)
    return dataclasses.replace(
        start,
        mode=mode,
        omega=omega,
        information={
            name: np.clip(1.0 - variance[:, k] / omega[name] ** 2, 0.0, 1.0)
            for k, name in enumerate(effects)
        },
        log_density=found.log_density,
        log_marginal=found.log_marginal,
    )
