"""The models that come with the package, and what happens to a model file with faults."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import pickle
import time

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import sympy
from scipy.integrate import solve_ivp

import carkinetics as ck
from carkinetics.equations import NUMERIC
from carkinetics.errors import ModelFileError, UnitError
from carkinetics.library import models_folder
from carkinetics.model.parts import Claim
from carkinetics.solve.closed_form import closed_form_log_levels
from carkinetics.solve.compiled import compile_system, solve_system
from carkinetics.units import parse_unit

MODELS = ck.list_models()

# Those that a fit can use: an assay sees them, patients differ, and they are not stiff.
FITTED = [
    name
    for name, model in ((name, ck.load_model(name)) for name in MODELS)
    if model.observed and not model.stiff and any(p.vary for p in model.parameters.values())
]
CASES = [(name, unit) for name in FITTED for unit in ck.load_model(name).latent_units]
DAYS = np.array([0, 1, 4, 7, 9.5, 12, 14, 18, 23, 28, 45, 90, 200, 365.0])


@functools.cache
def load(name):
    return ck.load_model(name)


def prior_draws(model, n, unit, seed=41):
    rng = np.random.default_rng(seed)
    priors = [model.parameters[name.split("[")[0]] for name in model.system().parameters]
    return np.column_stack([p.prior_for(unit).sample(rng, n) for p in priors])


@functools.cache
def closed_form(system, n, days):
    """Compile params, shape (row, parameter) -> log levels and the gradient of each cell type."""
    params = pt.dmatrix()
    columns = [params[:, q] for q in range(len(system.parameters))]
    level = closed_form_log_levels(system, columns, np.tile(days, n))
    slopes = [pytensor.grad(level[:, j].sum(), params) for j in range(len(system.cell_types))]
    return pytensor.function([params], [level, *slopes], mode="FAST_COMPILE")


def log_levels(model, params, days, gradient=False):
    """Log level and Jacobian of shape (patient, day, cell_type[, parameter]) by the package."""
    system, n = model.system(), len(params)
    shape = (n, len(days), len(system.cell_types))
    if system.closed_form:
        f = closed_form(system, n, tuple(days))
        found, *slopes = f(np.repeat(params, len(days), axis=0))
        return found.reshape(shape), np.stack(slopes, axis=1).reshape(*shape, -1)
    found = solve_system(
        compile_system(system),
        params,
        np.arange(n + 1) * len(days),
        np.tile(days, n),
        tolerance=1e-11,
        sensitivities=gradient,
        max_steps=100_000,
    )
    return found.log_level.reshape(shape), found.jacobian.reshape(*shape, -1) if gradient else None


def by_scipy(system, p, days):
    """Solve one patient by DOP853 at 1e-10, states as the file has them; (day, cell_type)."""
    symbols = (system.time, system.state_symbols, system.parameter_symbols)
    level = sympy.lambdify(symbols, system.levels, modules=[NUMERIC, "numpy"])
    if system.closed_form:
        return np.log([[float(v) for v in level(t, (), p)] for t in days])
    right = sympy.lambdify(symbols, system.rhs, modules=[NUMERIC, "numpy"], cse=True)
    start = sympy.lambdify((system.parameter_symbols,), system.start, modules=[NUMERIC, "numpy"])
    first = np.array(start(p), dtype=float)
    found = solve_ivp(
        lambda t, y: right(t, y, p),
        (0, days[-1]),
        first,
        "DOP853",
        t_eval=days,
        rtol=1e-10,
        atol=1e-14 * max(first.max(), 1e-6),
        max_step=1.0,
    )
    assert found.success
    return np.log([level(t, y, p) for t, y in zip(days, found.y.T, strict=True)])


@pytest.mark.parametrize("name", MODELS)
def test_published_numbers_are_met(name):
    """Where the papers know one population only, the model is written out for that."""
    claims = load(name).published or ck.load_model(name, ["total"]).published
    assert claims or "\n# No [published] table: " in load(name).text
    for claim in claims:
        assert claim.holds(), claim.describe()


def test_a_claim_that_does_not_hold_says_so():
    claim = Claim("doubling", "day", 0.78, 0.0156, "2%", 0.80, "Discussion", "published")
    assert not claim.holds()
    assert claim.describe() == "doubling: 0.8 day, published 0.78 +/- 2% (Discussion)"


@pytest.mark.parametrize(("name", "unit"), CASES)
def test_solver_agrees_with_scipy(name, unit):
    """20 prior draws, days 0 to 365, relative 1e-6 of the level."""
    model = load(name)
    params = prior_draws(model, 20, unit)
    found, _ = log_levels(model, params, DAYS)
    for i in range(20):
        assert found[i] == pytest.approx(by_scipy(model.system(), params[i], DAYS), abs=1e-6)


@pytest.mark.parametrize(("name", "unit"), CASES)
def test_sensitivities_agree_with_finite_differences(name, unit):
    """Central differences of fourth order, scaled by the parameter; 1e-6 of the largest."""
    model = load(name)
    params = prior_draws(model, 6, unit, seed=42)
    # A closed form may have a kink, on the day that one of its parameters is.
    days = np.array([0.0, 3.0, 6.0, 25.0, 60.0, 300.0])
    _, jacobian = log_levels(model, params, days, gradient=True)
    for q in range(params.shape[1]):
        # A positive parameter is scaled by itself, however small; one around zero needs a size.
        prior = model.parameters[model.system().parameters[q].split("[")[0]].prior_for(unit)
        smallest = 0.1 if prior.transform == "identity" else 0.0
        step = 2e-4 * np.maximum(np.abs(params[:, q]), smallest)
        values = []
        for k in (-2, -1, 1, 2):
            moved = params.copy()
            moved[:, q] += k * step
            values.append(log_levels(model, moved, days)[0])
        a, b, c, d = values
        difference = (a - 8 * b + 8 * c - d) / (12 * step[:, None, None])
        size = np.maximum(np.abs(params[:, q]), smallest)[:, None, None]
        scale = max(1.0, np.abs(difference * size).max())
        assert jacobian[..., q] * size == pytest.approx(difference * size, abs=1e-6 * scale)


@pytest.mark.parametrize(("name", "unit"), CASES)
def test_levels_start_positive_and_stay_so(name, unit):
    found, _ = log_levels(load(name), prior_draws(load(name), 300, unit, seed=43), DAYS)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", MODELS)
def test_every_number_has_a_unit_a_source_and_a_standing(name):
    model = load(name)
    for parameter in model.parameters.values():
        parse_unit(parameter.unit)
        assert parameter.source
        assert parameter.label
        for unit in model.latent_units:
            assert np.isfinite(parameter.typical(unit))
            if parameter.vary:
                assert parameter.omega_for(unit).family == "halfnormal"
    for observed in model.observed.values():
        assert parse_unit(observed.unit)


@pytest.mark.parametrize("name", FITTED)
def test_levels_scale_with_their_unit(name):
    """A thousand times the level parameter is a thousand times the level on every day."""
    model = load(name)
    if all(parameter.unit != "level" for parameter in model.parameters.values()):
        pytest.skip("its level has one unit of its own")
    unit = model.latent_units[0]
    params = prior_draws(model, 3, unit, seed=44)
    (column,) = [
        i
        for i, key in enumerate(model.system().parameters)
        if model.parameters[key.split("[")[0]].unit == "level"
    ]
    other = params.copy()
    other[:, column] *= 1000
    one, two = (log_levels(model, p, DAYS)[0] for p in (params, other))
    assert two - one == pytest.approx(np.full_like(one, np.log(1000)), abs=1e-9)


def test_one_population_is_the_sum_of_two_alike():
    """Without differences between cell types, CD4 + CD8 is the model of the total."""
    both, total = load("cd4_cd8_expansion"), ck.load_model("cd4_cd8_expansion", ["total"])
    params = prior_draws(both, 5, "cells/uL", seed=45)
    names = list(both.system().parameters)
    for difference in ("growth_difference", "contraction_difference"):
        params[:, names.index(difference)] = 0.0
    shared = params[:, [names.index(key) for key in total.system().parameters]]
    two, _ = log_levels(both, params, DAYS)
    one, _ = log_levels(total, shared, DAYS)
    assert np.logaddexp(two[:, :, 0], two[:, :, 1]) == pytest.approx(one[:, :, 0], abs=1e-9)
    dropped = set(names) - set(total.system().parameters)
    assert dropped == {"cd8_share", "growth_difference", "contraction_difference"}
    assert dropped.isdisjoint(total.parameters)


def test_effector_peak_of_the_default_model_is_where_growth_and_contraction_balance():
    """By hand: w ln(rho/alpha) after the gate, lower by exp(-(rho + alpha) w h)."""
    model = load("cd4_cd8_expansion")
    values = model.typical("cells/uL")
    derived = model.derived(values | {"growth_difference": 0.0})
    rho, alpha, width = np.log(2) / 0.8, np.log(2) / 4, 0.25
    p = alpha / (rho + alpha)
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    assert derived["effector_peak_day[CD4]"] == (pytest.approx(12 + width * np.log(5)), "day")
    exact = 50 * np.exp(-(rho + alpha) * width * entropy)
    assert derived["effector_peak_level[CD8]"] == (pytest.approx(exact), "level")


# --- the Model object


@pytest.mark.parametrize("name", MODELS)
def test_a_model_shows_what_it_is(name):
    model = load(name)
    shown = repr(model)
    assert model.title in shown
    assert ", ".join(model.cell_types) in shown
    assert all(parameter in shown for parameter in model.system().parameters)
    assert ("closed form" in shown) == model.closed_form


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_its_text(name):
    model = load(name)
    again = ck.Model.from_text(model.text, name)
    assert again == model
    assert hash(again) == hash(model)
    assert again.text_hash == model.text_hash
    assert pickle.loads(pickle.dumps(model)) == model
    assert again != ck.Model.from_text(model.text + "\n# more", name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.title = "other"


def test_cell_types_can_be_chosen_but_not_invented():
    model = load("cd4_cd8_expansion")
    assert model.with_cell_types(["CD4", "CD8"]) is model
    assert model.with_cell_types(["CD8"]).system().states == ("E[CD8]", "M[CD8]")
    for wrong in (["CD19"], ["CD4", "total"], ["CD4", "CD4"]):
        with pytest.raises(ModelFileError):
            model.with_cell_types(wrong)


def test_a_prior_for_a_unit_that_no_assay_has_is_refused():
    with pytest.raises(ModelFileError, match="none for the latent unit 'percent'"):
        load("cd4_cd8_expansion").typical("percent")


# --- the library


def test_a_misspelled_model_is_suggested():
    with pytest.raises(ModelFileError, match="did you mean 'stein_2019'"):
        ck.load_model("stein_2018")
    with pytest.raises(ModelFileError, match=r"(?s)there are .*cd4_cd8_expansion.*give its path"):
        ck.load_model("zzz")


def test_an_installed_package_reads_the_models_packed_with_it(tmp_path):
    (tmp_path / "_models").mkdir()
    assert models_folder(tmp_path) == tmp_path / "_models"
    assert models_folder(tmp_path / "elsewhere") == tmp_path / "models"


def test_a_file_of_ones_own_is_loaded_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(load("stein_2019").text, encoding="utf-8")
    for given in (path, str(path)):
        model = ck.load_model(given)
        assert model.name == "mine"
        assert model.typical() == load("stein_2019").typical()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"#" * 500_000, "too large for a model file"),
        (b"#" * 150_000, "has at most 100,000"),
        (b"x = [", "cannot be read as TOML"),
        (b"", "'model' is missing"),
        (b"a" + b".a" * 3000 + b" = 1", "dots in one line"),
        (b"x = " + b"[" * 5000 + b"]" * 5000, "cannot be read as TOML"),
    ],
    ids=["none", "bytes", "bytes-too-many", "text-too-long", "half", "empty", "dots", "deep"],
)
def test_what_is_no_model_file_is_refused_within_a_second(tmp_path, content, message):
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    begin = time.process_time()
    with pytest.raises(ModelFileError, match=message):
        ck.load_model(path)
    assert time.process_time() - begin < 1


def test_pipes_devices_and_folders_are_no_model_files(tmp_path):
    """A pipe would be waited for, a device read without end."""
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    for path in (tmp_path / "pipe.toml", tmp_path / "folder.toml", "/dev/zero"):
        with pytest.raises(ModelFileError, match="is no file"):
            ck.load_model(pathlib.Path(path))


# --- faults in a user's file


def altered(*changes, name="cd4_cd8_expansion"):
    """Return the text of a model with some of it replaced; every replacement must take."""
    text = load(name).text
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def faults_of(text):
    with pytest.raises(ModelFileError) as caught:
        ck.Model.from_text(text, "mine.toml")
    assert all(fault.file == "mine.toml" for fault in caught.value.faults)
    return caught.value


GROWTH = ('total = "log(2) / doubling_time"', 'total = "log(2) / doublng_time"')
EQUATION = ('E = "(growth_rate * growing - contraction_rate * (1 - growing)) * E"\n', "")
DERIVED = 'is = "log(2) / growth_rate"'


@pytest.mark.parametrize(
    ("change", "section", "message"),
    [
        (
            GROWTH,
            "terms.growth_rate.total",
            "unknown name 'doublng_time'; did you mean 'doubling_time'?\n"
            "    log(2) / doublng_time\n"
            "             ^",
        ),
        (EQUATION, "equations", "no equation for state(s) ['E']"),
        (
            ('\nE = "(growth', '\nF = "(growth'),
            "equations.F",
            "'F' is no state",
        ),
        (
            (DERIVED, 'is = "log(2) * growth_rate"'),
            "derived.growth_doubling_time.is",
            "has unit [1/day], declared [day]",
        ),
        (
            ('growing = "logistic((gate_day - t)', 'growing = "logistic((gate_day - cd8_share)'),
            "terms.growing",
            "cannot subtract 'cd8_share' [1] from 'gate_day' [day]",
        ),
        (
            (
                'growing = "logistic((gate_day - t) / gate_width)"',
                'growing = "where(t < gate_day, 1, 0)"',
            ),
            "equations.E",
            "where(...) switches at an estimated place",
        ),
        (
            ('growing = "logistic((gate_day - t) / gate_width)"', "growing = \"__import__('os')\""),
            "terms.growing",
            'the character "\'" is not allowed',
        ),
        (
            (
                'prior = "lognormal(median=0.8, gsd=exp(0.3))"',
                'prior = "lognrmal(median=1, gsd=2)"',
            ),
            "parameters.doubling_time.prior",
            "unknown prior 'lognrmal'; did you mean 'lognormal'?",
        ),
        (
            ('[parameters.gate_day]\nunit = "day"', '[parameters.gate_day]\nunit = "dya"'),
            "parameters.gate_day",
            "unknown unit 'dya'; did you mean 'day'?",
        ),
        (
            ('standing = "reconstruction"', 'standing = "guess"'),
            "parameters.growth_difference.standing",
            "must be 'published', 'computed', 'choice', 'reconstruction' or 'unverified'",
        ),
        (
            ('omega = "halfnormal(0.4)"\n', ""),
            "parameters.doubling_time",
            'vary = "patient" and omega belong together',
        ),
        (
            ('total = "1"\n\n[terms.growth_rate]', "\n[terms.growth_rate]"),
            "",
            "",
        ),
        (
            ('CD8 = "cd8_share"', 'CD9 = "cd8_share"'),
            "terms.share",
            "unknown cell type 'CD9'; did you mean 'CD",
        ),
        (
            ('is = "gate_day + gate_width', 'is = "E * 0 + gate_day + gate_width'),
            "derived.effector_peak_day.is",
            "'E' is a state and cannot stand here",
        ),
        (
            ('"growth_doubling_time[total]" =', '"growth_doubling_tim[total]" ='),
            "published.growth_doubling_tim[total]",
            "did you mean 'growth_doubling_time[total]'",
        ),
        (
            ("[constants.gate_width]\n", '[constants.gate_width]\nunits = "day"\n'),
            "constants.gate_width",
            "unknown key 'units'; did you mean 'unit'?",
        ),
    ],
)
def test_a_fault_is_named_with_its_place(change, section, message):
    if not message:
        # A term without the population form is fine as long as nobody asks for it.
        text = altered(change)
        assert ck.Model.from_text(text).cell_types == ("CD4", "CD8")
        with pytest.raises(ModelFileError, match="no expression for cell type 'total'"):
            ck.Model.from_text(text, cell_types=["total"])
        return
    error = faults_of(altered(change))
    found = [fault.what for fault in error.faults if fault.section == section]
    assert any(message in what for what in found)
    assert f"{section}: " in str(error)


def test_all_faults_are_shown_at_once_each_with_its_caret():
    text = altered(
        GROWTH,
        EQUATION,
        ('standing = "reconstruction"', 'standing = "guess"'),
        ('label = "level of all CAR T cells where growth and contraction lines meet"\n', ""),
        ('is = "log(2) / contraction_rate"', 'is = "E.__class__"'),
        ("lognormal(median=0.8, gsd=exp(0.3))", "lognrmal(median=0.8, gsd=exp(0.3))"),
        ("[states.M]\n", '[states.M]\ncolor = "red"\n'),
    )
    error = faults_of(text)
    assert {fault.section for fault in error.faults} == {
        "terms.growth_rate.total",
        "equations",
        "parameters.growth_difference.standing",
        "parameters.level_at_gate",
        "derived.contraction_half_life_by_type.is",
        "parameters.doubling_time.prior",
        "states.M",
    }
    lines = str(error).splitlines()
    assert lines[0] == "7 faults found:"
    carets = [i for i, line in enumerate(lines) if line.strip() == "^"]
    marked = [lines[i - 1][lines[i].index("^") :] for i in carets]
    assert sorted(marked) == ["E.__class__", "doublng_time", "lognrmal(median=0.8, gsd=exp(0.3))"]


def test_faults_about_units_alone_are_unit_errors():
    error = faults_of(altered((DERIVED, 'is = "log(2) * growth_rate"')))
    assert isinstance(error, UnitError)
    error = faults_of(altered((DERIVED, 'is = "log(2) * growth_rate"'), GROWTH))
    assert not isinstance(error, UnitError)


def test_a_parameter_called_label_does_not_confuse_the_reader():
    error = faults_of(altered(("[parameters.gate_day]", "[parameters]\nlabel = 3\n[parameters.x]")))
    assert "must be a table" in str(error)


def test_a_sum_over_cell_types_of_what_has_none_is_refused():
    growing = 'growing = "logistic((gate_day - t) / gate_width)"'
    text = altered((growing, 'growing = "total(gate_day) / gate_day"'))
    assert "'gate_day' is the same for all cell types; leave out total" in str(faults_of(text))


@pytest.mark.parametrize(
    ("listed", "what"),
    [
        ('["CD4", "CD4"]', "a cell type is listed twice"),
        ('["CD4", "CD8", "total"]', "'total' stands alone"),
        ('["CD4", "CD 8"]', "a name starts with a letter"),
    ],
)
def test_cell_types_of_a_file_are_checked_with_the_rest_of_it(listed, what):
    error = faults_of(altered(('["CD4", "CD8"]', listed), EQUATION))
    assert what in str(error)
    assert "no equation for state(s) ['E']" in str(error)


def test_an_equation_of_no_state_is_one_fault():
    error = faults_of(altered(('\nE = "(growth', '\nF = "(growth')))
    assert [fault.section for fault in error.faults] == ["equations", "equations.F"]


def test_a_short_file_needs_no_more_than_the_documentation_says():
    text = """
[model]
title = "Decline"
summary = "One exponential."
reference = "test"
[subsets]
cell_type = ["total"]
[solution]
level = "first * exp(-rate * t)"
[observed.flow]
unit = "cells/uL"
is = "level"
sigma = "halfnormal(0.4)"
[parameters.first]
unit = "level"
label = "level on day 0"
prior = { "cells/uL" = "lognormal(median=100, gsd=5)" }
source = "test"
standing = "choice"
[parameters.rate]
unit = "1/day"
label = "rate"
prior = "lognormal(median=0.1, gsd=2)"
source = "test"
standing = "choice"
"""
    model = ck.Model.from_text(text, "short")
    found, _ = log_levels(model, np.array([[50.0, 0.2]]), np.array([0.0, 10.0]))
    assert found[0, :, 0] == pytest.approx(np.log(50) - np.array([0.0, 2.0]), abs=1e-12)
