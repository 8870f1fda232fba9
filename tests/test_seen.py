"""What the data say of each patient's effects, and what is made of it before sampling."""

import dataclasses

import numpy as np
import pytest

from carkinetics.inference.choose_centering import (
    by_weights,
    centered,
    centering_weights,
    seen_of_patients,
)
from carkinetics.inference.machine_code import log_density
from carkinetics.inference.planning import plan_fit
from carkinetics.inference.prefit import EffectPlaces, Prefit, recenter
from carkinetics.inference.reuse import machine
from carkinetics.inference.sampling import (
    SamplerSettings,
    otherwise_centered,
    prepare,
    ready_to_run,
)

PATIENTS, EFFECTS = 12, 3
RNG = np.random.default_rng(6)
OMEGA, LOCATION = np.array([0.5, 1.2, 0.8]), np.array([1.0, -0.5, 0.0])
NAMES = ["a", "b", "c"]


def hierarchy(precision, pull, freedom=np.inf):
    """Log density of effects around locations, Normal data; its start; the effects' places."""
    size = PATIENTS * EFFECTS
    places = np.arange(size).reshape(PATIENTS, EFFECTS)
    effects = {
        name: EffectPlaces(places[:, k], size + k, size + EFFECTS + k, 1.0, freedom)
        for k, name in enumerate(NAMES)
    }

    def density(point):
        theta = point[places]
        u = (theta - LOCATION) / OMEGA
        value = (pull * theta).sum() - 0.5 * np.einsum("nj,njk,nk", theta, precision, theta)
        slope = pull - np.einsum("njk,nk->nj", precision, theta)
        if np.isinf(freedom):
            value, slope = value - 0.5 * (u**2).sum(), slope - u / OMEGA
        else:
            value -= 0.5 * (freedom + 1) * np.log1p(u**2 / freedom).sum()
            slope = slope - (freedom + 1) * u / (freedom + u**2) / OMEGA
        return value, np.concatenate([slope.ravel(), np.zeros(2 * EFFECTS)])

    inner = precision + np.diag(OMEGA**-2.0)
    mode = np.linalg.solve(inner, (pull + LOCATION / OMEGA**2)[..., None])[..., 0]
    point = np.concatenate([mode.ravel(), LOCATION, np.log(OMEGA)])
    omega = dict(zip(NAMES, OMEGA, strict=True))
    start = Prefit(point, np.full(point.size, 0.2), {}, omega, 0.0, 0.0)
    return density, start, effects


def data(strength):
    """Normal data of all patients: precision and pull, correlated, as strong as is said."""
    roots = RNG.normal(size=(PATIENTS, EFFECTS, EFFECTS)) * np.asarray(strength)[:, None]
    precision = roots @ roots.swapaxes(1, 2)
    own = LOCATION + OMEGA * RNG.normal(size=(PATIENTS, EFFECTS))
    return precision, np.einsum("njk,nk->nj", precision, own)


def test_normal_data_are_told_as_they_are():
    precision, pull = data([4.0, 4.0, 4.0])
    found = seen_of_patients(*hierarchy(precision, pull), NAMES)
    assert found.precision == pytest.approx(precision, abs=1e-6)
    assert found.pull == pytest.approx(pull, abs=1e-6)


def test_slope_and_curvature_of_heavy_tails_are_not_taken_for_data():
    """Student-t effects: to the error of a curvature over a width, in units of the SDs."""
    precision, pull = data([20.0, 20.0, 20.0])
    found = seen_of_patients(*hierarchy(precision, pull, freedom=4.0), NAMES)
    assert found.precision == pytest.approx(precision, rel=0.05, abs=2.0)


def test_nothing_is_seen_of_an_effect_whose_spread_may_be_zero():
    """Of the third effect data say a fifth of what its population says: it is integrated out."""
    precision, pull = data([6.0, 6.0, 0.0])
    precision[:, 2, 2] = 0.2 / OMEGA[2] ** 2
    found = seen_of_patients(*hierarchy(precision, pull), NAMES)
    assert (found.precision[:, 2] == 0).all()
    assert (found.precision[:, :, 2] == 0).all()
    assert (found.pull[:, 2] == 0).all()
    inner = precision + np.diag(OMEGA**-2.0)
    marginal = np.linalg.inv(np.linalg.inv(inner)[:, :2, :2]) - np.diag(OMEGA[:2] ** -2.0)
    assert found.precision[:, :2, :2] == pytest.approx(marginal, abs=1e-6)


def test_an_effect_that_is_known_where_the_others_are_is_seen():
    """Two effects of which the data know but the sum: by itself each has a share of a half."""
    both = np.array([1.0, 1.0, 0.0])
    precision = np.repeat(400.0 * np.outer(both, both)[None], PATIENTS, axis=0)
    own = LOCATION + OMEGA * RNG.normal(size=(PATIENTS, EFFECTS))
    pull = np.einsum("njk,nk->nj", precision, own)
    found = seen_of_patients(*hierarchy(precision, pull), NAMES)
    assert found.precision == pytest.approx(precision, abs=1e-4)


def test_a_density_that_ends_beside_the_mode_says_nothing():
    precision, pull = data([4.0, 4.0, 4.0])
    density, start, effects = hierarchy(precision, pull)

    def ends(point):
        value, slope = density(point)
        return (value, slope) if point[0] <= start.mode[0] else (-np.inf, slope)

    assert seen_of_patients(ends, start, effects, NAMES) is None


@pytest.fixture(scope="module")
def prepared(small_fit):
    plan = plan_fit(small_fit.kinetic_model, small_fit.cohort)
    with machine(plan) as compiled:
        ready = ready_to_run(plan, compiled)
        yield ready, prepare(ready)


def test_every_centering_has_the_density_of_the_patients_parameters(prepared):
    """At one place of all, densities differ by the logarithm of the volume alone."""
    ready, first = prepared
    at = first.start.mode
    slots = ready.slots
    spread = np.array([at[slots[f"omega_{p.name}"]].item() for p in first.plan.varying])
    weighted = otherwise_centered(first)
    weights = np.stack([weighted.centering.weights[p.name] for p in first.plan.varying], axis=1)
    shift = 1.0 - weighted.centering.weights["qpcr_shift"]
    volume = ((1.0 - weights) * spread).sum()
    volume += (shift * at[slots["omega_qpcr_shift"]]).sum()
    found = log_density(weighted.compiled, recenter(at, first.effects, weighted.centering))[0]
    whole = centered(first.plan, first.effects)
    assert recenter(at, first.effects, whole) == pytest.approx(at)
    assert found == pytest.approx(first.start.log_density + volume, abs=1e-3)


def test_a_second_try_after_divergences_has_weights(prepared):
    _, first = prepared
    assert first.centering.seen.precision.any()
    second = otherwise_centered(first)
    expected = by_weights(first.plan, first.start)
    assert not second.centering.seen.precision.any()
    for name, weight in centering_weights(first.start.information).items():
        assert second.centering.weights[name] == pytest.approx(weight)
        assert expected.weights[name] == pytest.approx(weight)


@pytest.mark.parametrize(("share", "target"), [(0.9, 0.9), (0.5, 0.95)])
def test_steps_are_smaller_where_data_say_little(prepared, share, target):
    _, first = prepared
    information = {name: np.full(v.shape, share) for name, v in first.start.information.items()}
    told = dataclasses.replace(
        first, start=dataclasses.replace(first.start, information=information)
    )
    assert SamplerSettings().suited(told).target_accept == target
    assert SamplerSettings(target_accept=0.8).suited(told).target_accept == 0.8


def test_a_fit_says_which_acceptance_it_had(small_fit):
    mean = small_fit.data["carkinetics/effects/information"].values.mean()
    assert small_fit.settings["target_accept"] == (0.95 if mean < 0.7 else 0.9)
