"""Choose, after the deterministic fit, how each patient effect is centered; see `centering`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from carkinetics.inference.centering import Centering, Given, Seen
from carkinetics.inference.marginal import Density, Marginal, NoMode
from carkinetics.inference.planning import Plan
from carkinetics.inference.prefit import EffectPlaces, Prefit

# Log likelihood ratio from which a between-patient SD of zero counts as excluded.
_EXCLUDES_NO_SPREAD = 5.0


def centered(plan: Plan, effects: Mapping[str, EffectPlaces]) -> Centering:
    """Return the centering by which the sampler's coordinates are the patients' own parameters."""
    n, k = len(plan.layout.patients), len(plan.varying)
    weights = {name: np.ones(n) for name in effects}
    if plan.given_before:
        return Centering(weights, given=Given(np.ones((n, k)), np.arange(k)))
    return Centering(weights, seen=Seen.nothing(n, k))


def chosen(
    plan: Plan, density: Density, start: Prefit, effects: Mapping[str, EffectPlaces]
) -> Centering:
    """Center every effect by what the data of its patient say of it.

    Parameters
    ----------
    plan : Plan
        Names the effects, and says whether they are centered given those before them.
    density : callable
        Point -> log density and gradient, with all patient effects centered.
    start : Prefit
        The deterministic fit.
    effects : mapping of str to EffectPlaces
        The patient effects; those of parameters first, in the order of the plan.

    Returns
    -------
    Centering
        Effects of few patients in units of what their data leave open; weights alone where that
        cannot be told.
    """
    weights = centering_weights(start.information)
    if plan.given_before:
        return Centering(weights, given=_given(plan, start, weights))
    names = [p.name for p in plan.varying]
    seen = seen_of_patients(density, start, effects, names)
    if seen is None:
        return by_weights(plan, start)
    return Centering(weights | {name: np.zeros(len(seen.pull)) for name in names}, seen=seen)


def by_weights(plan: Plan, start: Prefit) -> Centering:
    """Center every effect of few patients by its own weight, whatever is seen of the others."""
    nothing = Seen.nothing(len(plan.layout.patients), len(plan.varying))
    return Centering(centering_weights(start.information), seen=nothing)


def seen_of_patients(
    density: Density, start: Prefit, effects: Mapping[str, EffectPlaces], names: list[str]
) -> Seen | None:
    """Tell what the data of each patient say of the effects, as a Gaussian around their mode.

    Parameters
    ----------
    density, start, effects
        See `chosen`.
    names : list of str
        The effects of parameters, the first of all; what the data say of the others is integrated
        out.

    Returns
    -------
    Seen or None
        From the slope of the density and its curvature over the width of a Gaussian, less those of
        the prior of the effects. Nothing is seen of an effect whose between-patient SD may be zero
        even if all other effects were known: it would be the neck of a funnel. None where the
        density is not finite all over the width.
    """
    own = np.stack([places.patients for places in effects.values()], axis=1)
    shared = np.setdiff1d(np.arange(start.mode.size), own.ravel())
    rough = start.spread[own][..., None] * np.eye(own.shape[1])
    try:
        slope, root = Marginal(density, own, shared).slope_and_root(
            start.mode[shared], start.mode[own], rough
        )
    except NoMode:
        return None
    covariance = root @ root.swapaxes(1, 2)
    alone = 1.0 / np.diagonal(np.linalg.inv(covariance), axis1=1, axis2=2)
    shares = [1.0 - alone[:, k] / start.omega[name] ** 2 for k, name in enumerate(names)]
    spread = [_against_no_spread(share) > _EXCLUDES_NO_SPREAD for share in shares]
    kept, found = np.flatnonzero(spread), Seen.nothing(len(own), len(names))
    theta, slope = start.mode[own][:, kept], slope[:, kept]
    curvature = np.empty(slope.shape)
    for j, name in enumerate(np.array(names)[kept]):
        away = theta[:, j] - effects[name].center(start.mode)
        of_prior, curvature[:, j] = _prior(away, start.omega[name], effects[name].freedom)
        slope[:, j] += of_prior
    inner = np.linalg.inv(covariance[:, kept[:, None], kept])
    values, vectors = np.linalg.eigh(inner - curvature[..., None] * np.eye(len(kept)))
    precision = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.swapaxes(1, 2)
    found.precision[:, kept[:, None], kept] = precision
    found.pull[:, kept] = np.einsum("njk,nk->nj", precision, theta) + slope
    return found


def _prior(away: np.ndarray, omega: float, freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Give slope and curvature of the negative log prior at some distance from its center."""
    if np.isinf(freedom):
        return away / omega**2, np.full(away.shape, 1.0 / omega**2)
    squares = (away / omega) ** 2
    weight = (freedom + 1) / (freedom + squares) / omega**2
    return weight * away, weight * (freedom - squares) / (freedom + squares)


def _given(plan: Plan, start: Prefit, weights: Mapping[str, np.ndarray]) -> Given:
    """Choose how far effects are centered given those before them, and their order.

    The best informed effect comes first: an effect that is given those before it needs them to be
    known. Effects with heavy tails stay last, see `Plan.varying`.
    """
    names = [p.name for p in plan.varying]
    shares = [start.information[n] * start.omega[n] ** (weights[n] - 1.0) for n in names]
    means = np.array([start.information[n].mean() for n in names])
    return Given(np.stack(shares, axis=1), np.lexsort((-means, np.array(plan.heavy))))


def centering_weights(information: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Choose how far to center every patient effect.

    Parameters
    ----------
    information : mapping of str to array, shape (patient,)
        Share of each patient's effect that the data determine.

    Returns
    -------
    dict of str to array, shape (patient,)
        A patient is centered as far as their own data go, and no further than the data of the
        whole cohort determine the between-patient SD: a few centered patients under an SD that
        may be near zero make the funnel in which a sampler gets lost. Where the data do not
        exclude an SD of zero, no patient is centered at all.
    """
    return {
        name: share * np.sqrt(share.mean()) * (_against_no_spread(share) > _EXCLUDES_NO_SPREAD)
        for name, share in information.items()
    }


def _against_no_spread(share: np.ndarray) -> float:
    """Log likelihood ratio to expect between the between-patient SD found and one of zero.

    A patient's own estimate scatters around the population with a variance 1 / (1 - share) times
    as large as its error alone would make it.
    """
    ratio = 1.0 / np.clip(1.0 - share, 1e-9, 1.0)
    return float(0.5 * (ratio - 1.0 - np.log(ratio)).sum())
