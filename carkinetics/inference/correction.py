"""Metropolis steps that make each patient's draws, given what all patients share, exact.

The Gaussian of a patient is a good proposal, not the truth: where samples lie below their limit
the density falls off on one side only. Given theta, patients are independent, and a Metropolis
step with the Gaussian (with the tails of a Student-t) as an independent proposal needs only that
patient's own likelihood. A few such steps, at every draw, leave the exact density of the
patient given theta unchanged, and come close to it from a start in the proposal itself (Tierney
1994, doi 10.1214/aos/1176325750). How often they are accepted measures the approximation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from carkinetics.inference.draws import cholesky_of, natural_parameters, patient_centers
from carkinetics.inference.laplace import Approximation
from carkinetics.inference.planning import SHIFT, Plan
from carkinetics.inference.prediction import expected_samples, log_likelihood

# Degrees of freedom of the proposals' tails.
FREEDOM = 10.0

LogTarget = Callable[[np.ndarray], np.ndarray]


def corrected(
    found: Approximation,
    theta: np.ndarray,
    log_target: LogTarget,
    steps: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the patients' coordinates given what they share.

    Parameters
    ----------
    found : Approximation
        Gives the proposals.
    theta : array, shape (draw, shared)
        What patients share.
    log_target : callable
        Points, shape (draw, coordinate) -> log density of each patient's own coordinates and
        samples given theta, shape (draw, patient), up to a constant for every draw and patient.
    steps : int
        Metropolis steps.
    rng : Generator
        Source of randomness.

    Returns
    -------
    points : array, shape (draw, coordinate)
        On the sampler's scale.
    accepted : array, shape (patient,)
        Share of the steps that were accepted.
    """
    points, tilt = _proposal(found, theta, rng)
    weight = _finite(log_target(points)) - tilt
    accepted = np.zeros(weight.shape[1])
    for _ in range(steps):
        proposed, tilt = _proposal(found, theta, rng)
        new = _finite(log_target(proposed)) - tilt
        with np.errstate(invalid="ignore"):  # both may be impossible
            better = np.log(rng.uniform(size=weight.shape)) < new - weight
        weight = np.where(better, new, weight)
        own = found.marginal.own
        points[:, own] = np.where(better[:, :, None], proposed[:, own], points[:, own])
        accepted += better.mean(axis=0) / steps
    return points, accepted


def patient_target(plan: Plan, posterior_of: Callable[[np.ndarray], xr.Dataset]) -> LogTarget:
    """Make the log density of every patient from the samples themselves.

    Parameters
    ----------
    plan : Plan
        Shape of the fit.
    posterior_of : callable
        Points -> Dataset of the free variables, dims chain and draw first, with ``qpcr_shift``.

    Returns
    -------
    callable
        See `corrected`.
    """

    def log_target(points: np.ndarray) -> np.ndarray:
        posterior = posterior_of(points)
        parameters = natural_parameters(plan, posterior, posterior["x"].values)  # all centered
        total = _log_prior(plan, posterior)
        for expected in expected_samples(plan, posterior, parameters).values():
            terms = log_likelihood(expected).reshape(len(points), -1)
            np.add.at(total.T, expected.samples.patient, terms.T)
        return total

    return log_target


def _log_prior(plan: Plan, posterior: xr.Dataset) -> np.ndarray:
    """Log density of the patients' effects, shape (draw, patient), without its constant."""
    omega = np.stack([posterior[f"omega_{p.name}"].values for p in plan.varying], axis=-1)
    effects = posterior["x"].values - patient_centers(plan, posterior)
    u = effects / omega[:, :, None, :]
    factor = cholesky_of(plan, posterior)
    if factor is not None:
        u = np.linalg.solve(factor, u.swapaxes(-1, -2)).swapaxes(-1, -2)
    terms = -0.5 * u**2
    if any(plan.heavy):
        nu = posterior["nu_patients"].values[:, :, None, None]
        student = -0.5 * (nu + 1.0) * np.log1p(u**2 / nu)
        terms = np.where(plan.heavy, student, terms)
    total = terms.sum(axis=-1)
    if f"x_{SHIFT}" in posterior:
        spread = posterior[f"omega_{SHIFT}"].values[..., None]
        total = total - 0.5 * (posterior[f"x_{SHIFT}"].values / spread) ** 2
    return total.reshape(-1, total.shape[-1])


def _proposal(
    found: Approximation, theta: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw all patients, and the log density of each, shape (draw, patient)."""
    n, k = found.marginal.own.shape
    noise = rng.standard_normal((n, len(theta), k))
    noise *= np.sqrt(FREEDOM / rng.chisquare(FREEDOM, (n, len(theta), 1)))
    points = found.points(theta, noise)
    length = (noise**2).sum(axis=-1).T
    return points, -0.5 * (FREEDOM + k) * np.log1p(length / FREEDOM)


def _finite(value: np.ndarray) -> np.ndarray:
    """Take a failed solve as impossible, not as undefined."""
    return np.where(np.isfinite(value), value, -np.inf)
