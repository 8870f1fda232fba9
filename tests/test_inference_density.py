"""The density that is sampled: by hand with SciPy, for every centering, and its gradient."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from pytensor.compile.mode import Mode
from scipy import special, stats

import carkinetics as ck
from carkinetics.inference.centering import Seen
from carkinetics.inference.draws import correlation_of
from carkinetics.inference.effects import correlation_cholesky, lkj_shape, patient_effects
from carkinetics.inference.planning import plan_fit
from carkinetics.inference.prediction import expected_samples, log_likelihood

TIGHT = 1e-9  # of the solver, so that finite differences mean something
PLAIN = Mode(linker="py", optimizer=None)  # compiles in a second


class Compiled:
    """A PyMC model with its log density and gradient as plain functions of named values."""

    def __init__(self, model):
        self.model = model
        self.function = model.compile_fn([model.logp(), model.dlogp()], mode=PLAIN)
        self.values = [model.rvs_to_values[rv].name for rv in model.free_RVs]

    def point(self, draw):
        """Take natural values to those of the sampler."""
        found = {}
        for rv in self.model.free_RVs:
            name, value = self.model.rvs_to_values[rv].name, np.asarray(draw[rv.name], float)
            if name.endswith("_log__"):
                value = np.log(value)
            elif name.endswith("_logodds__"):
                value = special.logit(value)
            else:
                assert name == rv.name
            found[name] = value
        return found

    def __call__(self, draw):
        value, gradient = self.function(self.point(draw))
        return float(value), np.asarray(gradient)


@pytest.fixture(scope="module")
def plan(small_fit):
    return plan_fit(small_fit.kinetic_model, small_fit.cohort, tolerance=TIGHT)


@pytest.fixture(scope="module")
def compiled(small_fit):
    return Compiled(ck.build_model(small_fit.kinetic_model, small_fit.cohort, tolerance=TIGHT))


def seen_by_hand(location, omega, precision, pull):
    """Mean and root (by rows) of effects in units of omega given Normal data, by Bayes' formula."""
    inner = np.eye(len(omega)) + omega[:, None] * precision * omega
    mean = np.linalg.solve(inner, omega * (pull - precision @ location))
    return mean, np.linalg.cholesky(inner)


def draw_of(fit, plan, chain, draw, weights, shift_weights, seen=None):
    """One posterior draw, its patient effects rewritten for another centering."""
    posterior = fit.data["posterior"].to_dataset().isel(chain=chain, draw=draw)
    found = {str(name): v.values for name, v in posterior.data_vars.items()}
    location = np.array([found[p.variable] for p in plan.varying])
    omega = np.array([found[f"omega_{p.name}"] for p in plan.varying])
    constants = fit.data["constant_data"].to_dataset()
    assert (constants["centering"] == 0).all()
    theta = np.empty(found["x"].shape)
    for i, own in enumerate(zip(constants["data_precision"], constants["data_pull"], strict=True)):
        mean, root = seen_by_hand(location, omega, *(v.values for v in own))
        theta[i] = location + omega * (mean + np.linalg.solve(root.T, found["x"][i]))
    effects = (theta - location) / omega
    if seen is not None:
        for i, own in enumerate(zip(*seen, strict=True)):
            mean, root = seen_by_hand(location, omega, *own)
            effects[i] = root.T @ (effects[i] - mean)
    found["x"] = weights * location + omega**weights * effects
    found["x_qpcr_shift"] = found["omega_qpcr_shift"] ** (shift_weights - 1) * found["qpcr_shift"]
    return found, theta


def correlation_by_recursion(unit, size):
    """Correlations from the partial correlations of a C-vine, by the textbook recursion."""
    partial = np.eye(size)
    pairs = [(i, j) for j in range(size - 1) for i in range(j + 1, size)]
    for u, (i, j) in zip(unit, pairs, strict=True):
        partial[i, j] = partial[j, i] = 2 * u - 1
    result = np.eye(size)
    for i, j in pairs:
        r = partial[i, j]
        for k in range(j - 1, -1, -1):
            a, b = partial[i, k], partial[j, k]
            r = r * np.sqrt((1 - a**2) * (1 - b**2)) + a * b
        result[i, j] = result[j, i] = r
    return result


def log_prior_by_hand(plan, found):
    """Priors of everything but the patients, on the sampler's scale, Jacobians included."""
    total = 0.0
    for p in plan.parameters:
        total += stats.norm.logpdf(found[p.variable], p.prior.location, p.prior.spread)
    positive = {f"omega_{p.name}": p.omega.values[0] for p in plan.varying}
    positive |= {"sigma_flow": 0.4, "sigma_qpcr": 0.5, "sigma_share": 0.5, "omega_qpcr_shift": 0.4}
    for name, scale in positive.items():
        total += stats.halfnorm.logpdf(found[name], scale=scale) + np.log(found[name])
    total += stats.norm.logpdf(found["log_copies_per_cell"], np.log(2), np.log(1.4918247))
    total += stats.norm.logpdf(found["link_slope"], 1, 0.25)
    total += stats.norm.logpdf(found["wbc_slope"], 1, 0.3)
    size = len(plan.varying)
    column = np.array([j for j in range(size - 1) for _ in range(j + 1, size)])
    unit, beta = found["partial_correlation_unit"], 4 + (size - 2 - column) / 2
    return total + np.sum(stats.beta.logpdf(unit, beta, beta) + np.log(unit) + np.log1p(-unit))


def log_effects_by_hand(plan, found, theta, weights, shift_weights):
    """Density of the patients' values as the sampler sees them."""
    location = np.array([found[p.variable] for p in plan.varying])
    omega = np.array([found[f"omega_{p.name}"] for p in plan.varying])
    r = correlation_by_recursion(found["partial_correlation_unit"], len(plan.varying))
    effects = stats.multivariate_normal(location, omega[:, None] * r * omega)
    total = effects.logpdf(theta).sum() + ((1 - weights) * np.log(omega)).sum()
    spread = found["omega_qpcr_shift"]
    total += stats.norm.logpdf(found["qpcr_shift"], 0, spread).sum()
    return total + ((1 - shift_weights) * np.log(spread)).sum()


def log_root_by_hand(plan, found, seen):
    """Sum of the logarithms of how much less a patient's data leave open than the population."""
    location = np.array([found[p.variable] for p in plan.varying])
    omega = np.array([found[f"omega_{p.name}"] for p in plan.varying])
    roots = [seen_by_hand(location, omega, *own)[1] for own in zip(*seen, strict=True)]
    return sum(np.log(np.diagonal(root)).sum() for root in roots)


def log_likelihood_by_hand(plan, found, theta):
    """Sum over all samples, from the same functions as the group `log_likelihood`."""
    posterior = xr.Dataset(
        {
            name: (("chain", "draw", *(f"{name}_{k}" for k in range(np.ndim(v)))), v[None, None])
            for name, v in found.items()
            if name != "qpcr_shift"
        }
    )
    posterior["qpcr_shift"] = (("chain", "draw", "patient"), found["qpcr_shift"][None, None])
    columns = {p.name: theta[:, k] for k, p in enumerate(plan.varying)}
    natural = [
        p.prior.to_natural(columns.get(p.name, np.full(len(theta), found[p.variable])))
        for p in plan.parameters
    ]
    parameters = np.stack(natural, axis=-1)[None, None]
    return sum(
        log_likelihood(e).sum() for e in expected_samples(plan, posterior, parameters).values()
    )


@pytest.mark.parametrize("centering", [0.0, 0.3, 1.0, "mixed"])
def test_density_equals_the_one_by_hand_for_every_centering(small_fit, plan, compiled, centering):
    """One posterior, however it is centered: each differs from it by its Jacobian alone."""
    size = (len(plan.layout.patients), len(plan.varying))
    weights = (
        np.random.default_rng(2).uniform(size=size)
        if centering == "mixed"
        else np.full(size, centering)
    )
    shift_weights = weights[:, 0]
    pm.set_data({"centering": weights, "centering_qpcr_shift": shift_weights}, model=compiled.model)
    for chain, draw in ((0, 7), (1, 41)):
        found, theta = draw_of(small_fit, plan, chain, draw, weights, shift_weights)
        expected = (
            log_prior_by_hand(plan, found)
            + log_effects_by_hand(plan, found, theta, weights, shift_weights)
            + log_likelihood_by_hand(plan, found, theta)
        )
        assert compiled(found)[0] == pytest.approx(expected, abs=1e-6)


def test_log_likelihood_of_a_fit_is_the_one_sampled(small_fit, plan):
    """The stored terms add up to those by hand; they are kept to seven digits."""
    found, theta = draw_of(
        small_fit, plan, 1, 5, np.ones((len(plan.layout.patients), len(plan.varying))), np.ones(4)
    )
    stored = small_fit.data["log_likelihood"].to_dataset().isel(chain=1, draw=5)
    total = sum(float(v.astype(float).sum()) for v in stored.data_vars.values())
    assert total == pytest.approx(log_likelihood_by_hand(plan, found, theta), abs=0.01)


def test_gradient_agrees_with_finite_differences(small_fit, plan, compiled):
    weights = np.random.default_rng(3).uniform(size=(len(plan.layout.patients), len(plan.varying)))
    pm.set_data({"centering": weights, "centering_qpcr_shift": weights[:, 1]}, model=compiled.model)
    found, _ = draw_of(small_fit, plan, 0, 23, weights, weights[:, 1])
    point = compiled.point(found)
    value, gradient = compiled.function(point)
    sizes = [np.size(point[name]) for name in compiled.values]
    rng, step = np.random.default_rng(4), 1e-4
    for _ in range(8):
        direction = rng.standard_normal(sum(sizes))
        direction /= np.linalg.norm(direction)
        pieces = np.split(direction, np.cumsum(sizes)[:-1])
        ends = [
            compiled.function(
                {
                    name: point[name] + sign * step * piece.reshape(np.shape(point[name]))
                    for name, piece in zip(compiled.values, pieces, strict=True)
                }
            )[0]
            for sign in (1, -1)
        ]
        difference = (ends[0] - ends[1]) / (2 * step)
        # The solver leaves about 1e-8 in the density.
        assert gradient @ direction == pytest.approx(difference, rel=1e-4, abs=2e-4)
    assert np.isfinite(value)


def test_priors_in_words_are_those_of_the_variables(small_fit):
    """Every variable that is sampled has its prior in the settings, and nothing else has."""
    sampled = set(small_fit.data["posterior"].data_vars) - {"x", "x_qpcr_shift", "qpcr_shift"}
    assert set(small_fit.settings["priors"]) == sampled
    assert small_fit.settings["priors"]["partial_correlation_unit"] == "those of an LKJ(4)"


# --- correlations ---------------------------------------------------------------------------


def beta_of_pairs(model):
    """Shape of the Beta prior of every partial correlation."""
    a, b = model["partial_correlation_unit"].owner.inputs[-2:]
    assert a.eval() == pytest.approx(b.eval())
    return np.atleast_1d(a.eval())


def test_e02_lkj2_of_two_effects_has_sd_one_over_root_five():
    """(r + 1) / 2 ~ Beta(2, 2): analytic; and the factor hands the partial correlation on."""
    with pm.Model(coords={"effect_pair": ["b:a"]}) as model:
        factor = correlation_cholesky(2, 2.0)
    assert beta_of_pairs(model) == pytest.approx([2.0])
    sd = 2 * stats.beta(*beta_of_pairs(model).repeat(2)).std()
    assert sd == pytest.approx(1 / np.sqrt(5), abs=1e-12)
    unit = model["partial_correlation_unit"]
    for r in (-0.95, 0.0, 0.3):
        built = factor.eval({unit: np.array([(r + 1) / 2])}, mode=PLAIN)
        assert built @ built.T == pytest.approx(np.array([[1, r], [r, 1]]), abs=1e-12)


def test_lkj4_of_seven_effects_gives_every_pair_the_same_marginal(small_fit):
    """(r + 1) / 2 ~ Beta(4 + (7 - 2) / 2): SD 1 / sqrt(14) for all 21 pairs.

    40,000 draws: an SD is off by 0.0009 (one standard error), 0.005 is 5.5 of them; with 21 pairs
    the false-alarm rate is below 1e-6.
    """
    plan = small_fit.plan
    with pm.Model(coords={"effect_pair": range(21)}) as model:
        correlation_cholesky(7, 4.0)
    beta = beta_of_pairs(model)
    rng = np.random.default_rng(20)
    unit = rng.beta(beta, beta, size=(1, 40_000, 21))
    posterior = xr.Dataset(
        {"partial_correlation_unit": (("chain", "draw", "effect_pair"), unit)},
        coords={"chain": [0], "draw": np.arange(40_000)},
    )
    r = correlation_of(plan, posterior).values[0]
    assert np.diagonal(r, axis1=1, axis2=2) == pytest.approx(1.0, abs=1e-12)
    assert np.linalg.eigvalsh(r).min() > 0
    spread = r.std(axis=0)[np.tril_indices(7, -1)]
    assert spread == pytest.approx(np.full(21, 1 / np.sqrt(14)), abs=0.005)


def test_stored_correlation_is_that_of_the_sampled_effects(small_fit):
    stored = small_fit.data["carkinetics/population"]["correlation"].values
    unit = small_fit.data["posterior"]["partial_correlation_unit"].values
    by_recursion = correlation_by_recursion(unit[1, 30], stored.shape[-1])
    assert stored[1, 30] == pytest.approx(by_recursion, abs=1e-12)


def test_lkj_shape_is_four_under_25_patients():
    assert [lkj_shape(n) for n in (1, 24, 25, 200)] == [4.0, 4.0, 2.0, 2.0]


def test_density_equals_the_one_by_hand_where_data_are_seen(small_fit, plan, compiled):
    patients, effects = len(plan.layout.patients), len(plan.varying)
    rng = np.random.default_rng(5)
    roots = rng.normal(size=(patients, effects, effects)) * np.arange(patients)[:, None, None]
    seen = roots @ roots.swapaxes(1, 2), rng.normal(size=(patients, effects))
    weights = np.zeros((patients, effects))
    data = {"data_precision": seen[0], "data_pull": seen[1]}
    chosen = {"centering": weights, "centering_qpcr_shift": weights[:, 0]}
    pm.set_data(data | chosen, model=compiled.model)
    for chain, draw in ((0, 7), (1, 41)):
        found, theta = draw_of(small_fit, plan, chain, draw, weights, weights[:, 0], seen)
        expected = (
            log_prior_by_hand(plan, found)
            + log_effects_by_hand(plan, found, theta, weights, weights[:, 0])
            - log_root_by_hand(plan, found, seen)
            + log_likelihood_by_hand(plan, found, theta)
        )
        assert compiled(found)[0] == pytest.approx(expected, abs=1e-6)
    pm.set_data({name: np.zeros(value.shape) for name, value in data.items()}, model=compiled.model)


def test_a_cohort_of_25_has_the_wider_prior_of_correlations():
    model = ck.load_model("stein_2019")
    cohort = ck.simulate(model, 25, seed=1, assays=["qpcr"], visits=[7, 14, 28])
    effects = 6
    last_column = beta_of_pairs(ck.build_model(model, cohort))[-1]
    assert last_column == pytest.approx(2.0)
    few = beta_of_pairs(ck.build_model(model, cohort.select(cohort.patient_ids[:24])))
    assert few[-1] == pytest.approx(4.0)
    assert few[0] == pytest.approx(4.0 + (effects - 2) / 2)


# --- distribution of patient effects ----------------------------------------------------------


def effects_density(heavy, nu=None):
    """Log prior of two effects of three patients, correlated, at a fixed point."""
    coords = {"patient": range(3), "effect": ["a", "b"], "effect_pair": ["b:a"]}
    with pm.Model(coords=coords) as model:
        patient_effects(
            [pt.constant(1.0), pt.constant(-2.0)],
            [pt.constant(0.5), pt.constant(1.5)],
            pt.constant(np.array([[0.0, 1.0], [0.4, 0.4], [1.0, 0.0]])),
            Seen(np.zeros((3, 2, 2)), np.zeros((3, 2))),
            correlation_shape=4.0,
            heavy=heavy,
        )
    x = np.array([[0.3, -1.0], [0.9, -1.5], [2.0, 0.4]])
    given = {model["x"]: x, model["partial_correlation_unit"]: np.array([0.7])}
    if nu is not None:
        given[model["nu_patients"]] = np.float64(nu)
    return float(model["prior_of_effects"].eval(given, mode=PLAIN))


def test_e02_student_t_effects_become_normal_as_nu_grows():
    normal = effects_density(heavy=[False, False])
    assert effects_density(heavy=[True, True], nu=1e7) == pytest.approx(normal, abs=1e-6)
    assert abs(effects_density(heavy=[True, True], nu=4.0) - normal) > 0.01


@pytest.mark.parametrize("heavy", [[True, True], [True, False], [False, True]])
def test_student_t_effects_by_hand(heavy):
    """Independent variables, some of them Student-t, correlated by the factor."""
    x = np.array([[0.3, -1.0], [0.9, -1.5], [2.0, 0.4]])
    w = np.array([[0.0, 1.0], [0.4, 0.4], [1.0, 0.0]])
    location, omega = np.array([1.0, -2.0]), np.array([0.5, 1.5])
    factor = np.linalg.cholesky(np.array([[1, 0.4], [0.4, 1]]))
    z = np.linalg.solve(factor, ((x - w * location) * omega**-w).T).T
    expected = np.where(heavy, stats.t.logpdf(z, 3.0), stats.norm.logpdf(z)).sum()
    expected -= (w * np.log(omega)).sum() + 3 * np.log(np.diagonal(factor)).sum()
    assert effects_density(heavy=heavy, nu=3.0) == pytest.approx(expected, abs=1e-6)
