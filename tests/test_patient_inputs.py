"""Inputs that differ between patients: read from the table of patients, seen by every curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytensor
import pytest

import carkinetics as ck
from carkinetics.errors import FitError
from carkinetics.inference.build import build_model
from carkinetics.inference.curves import levels_at
from carkinetics.inference.gate import prior_gate
from carkinetics.inference.patient_inputs import read_inputs
from carkinetics.inference.planning import plan_fit
from carkinetics.simulation import true_parameters
from carkinetics.solve.closed_form import closed_form_log_levels
from carkinetics.solve.curves import latent_levels

VISITS = (3, 7, 10, 14, 28, 90)
DAYS = {"tocilizumab_day": [5.7, np.nan, 3.0], "steroid_day": [np.nan, np.nan, 4.0]}
NAMES = ["S01", "S02", "S03"]


@pytest.fixture(scope="module")
def comedication():
    return ck.load_model("stein_2019_comedication")


@pytest.fixture(scope="module")
def cohort(comedication):
    """Three patients: tocilizumab, nothing, both."""
    table = pd.DataFrame({"patient": NAMES, **DAYS})
    return ck.simulate(comedication, seed=4, visits=VISITS, patients=table, covariates={})


def test_the_table_of_patients_is_read_without_asking(comedication, cohort):
    plan = plan_fit(comedication, cohort)
    assert plan.inputs.names == plan.system.inputs == ("tocilizumab_day", "steroid_day")
    assert plan.inputs.values.tolist() == [[5.7, 10_000], [10_000, 10_000], [3.0, 4.0]]
    assert plan.inputs.typical.tolist() == [10_000, 10_000]
    assert plan.inputs.request == {name: name for name in DAYS}


def test_a_fit_sees_the_curves_that_the_patients_were_drawn_from(comedication, cohort):
    """As one patient after another, each with days of their own, is drawn by `model_curves`."""
    truth = true_parameters(comedication, 3, seed=4, unit="copies/ug")
    plan = plan_fit(comedication, cohort)
    found = levels_at(plan, plan.inputs.of_patients(truth.to_numpy()), np.array(VISITS, float))
    for i in range(3):
        days = {name: given[i] for name, given in DAYS.items() if np.isfinite(given[i])}
        curve = ck.model_curves(comedication, VISITS, dict(truth.iloc[i]) | days)
        assert np.exp(found.log_level[i, 0]) == pytest.approx(curve["level"].to_numpy(), rel=1e-9)


def test_the_density_sees_them_too(comedication, cohort):
    """The expression that PyMC samples: another day, another level."""
    plan = plan_fit(comedication, cohort)
    truth = true_parameters(comedication, 3, seed=4, unit="copies/ug")
    numbers = plan.inputs.of_patients(truth.to_numpy())
    rows = np.repeat(np.arange(3), np.diff(plan.layout.offsets))
    columns = [pytensor.tensor.constant(column[rows]) for column in numbers.T]
    level = closed_form_log_levels(plan.system, columns, plan.layout.days)
    found = pytensor.function([], level, mode="FAST_COMPILE")()
    days = np.array(VISITS, float)
    assert found[:, 0] == pytest.approx(levels_at(plan, numbers, days).log_level[:, 0].ravel())


def test_a_column_may_have_another_name_and_a_number_may_stand_for_all(comedication, cohort):
    table = cohort.patients.rename(columns={"tocilizumab_day": "first_toci"})
    levels = cohort.levels.drop(columns=["row", "baseline"]).assign(synthetic=True)
    renamed = ck.read_cohort(levels, patients=table.assign(synthetic=True))
    asked = {"tocilizumab_day": "first_toci", "steroid_day": 6}
    plan = plan_fit(comedication, renamed, inputs=asked)
    assert plan.inputs.values.tolist() == [[5.7, 6], [10_000, 6], [3.0, 6]]
    assert plan.inputs.request == asked


def test_without_columns_nothing_changes(comedication):
    plain = ck.simulate(comedication, 3, seed=4, visits=VISITS)
    plan = plan_fit(comedication, plain)
    assert plan.inputs.names == ()
    assert plan.system == comedication.system()
    assert plan.inputs.of_typical(np.ones((2, 6))).shape == (2, 6)


def test_one_number_per_patient_becomes_a_column(comedication):
    drawn = ck.simulate(
        comedication, 3, seed=4, visits=VISITS, inputs={"steroid_day": [4, 10_000, 6]}
    )
    assert drawn.patients["steroid_day"].tolist() == [4, 10_000, 6]
    assert plan_fit(comedication, drawn).inputs.values[:, 1].tolist() == [4, 10_000, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"asked": {"steroid_dayy": 5}}, "did you mean 'steroid_day'"),
        ({"asked": {"steroid_day": "first_steroid"}}, "has no column 'first_steroid'"),
        ({"asked": {"steroid_day": np.inf}}, "Give a finite number"),
        ({"asked": {"steroid_day": True}}, "no column True"),
        ({"steroid_day": ["no", "no", "day 4"]}, "is no number for S01, S02, S03"),
    ],
)
def test_faults_are_named(comedication, cohort, change, message):
    asked = change.pop("asked", None)
    table = cohort.patients.assign(**change)
    with pytest.raises(FitError, match=message):
        read_inputs(asked, comedication, NAMES, table)


def test_an_input_without_default_needs_a_number_for_everyone(comedication):
    text = comedication.text.replace('"day", default = 10000, label = "day of the first steroid',
                                     '"day", label = "day of the first steroid')  # fmt: skip
    model = ck.Model.from_text(text, "without_default")
    drawn = ck.simulate(model, 3, seed=4, visits=VISITS, inputs={"steroid_day": [4, 5, 9]})
    assert plan_fit(model, drawn).inputs.typical.tolist() == [10_000, 5]
    plain = ck.simulate(comedication, 3, seed=4, visits=VISITS)
    with pytest.raises(FitError, match="the model has no default"):
        plan_fit(model, plain)


def test_a_tumor_volume_of_each_patient_is_solved_by_the_compiled_solver():
    """Differential equations whose start differs between patients, against LSODA."""
    model = ck.load_model("mueller_schoell_2021")
    volumes = [30.0, 400.0]
    drawn = ck.simulate(
        model, 2, seed=1, visits=(3, 7, 14), assays=["flow"], inputs={"tumor_volume": volumes}
    )
    plan = plan_fit(model, drawn)
    truth = plan.inputs.of_patients(true_parameters(model, 2, seed=1).to_numpy())
    days = np.array([3.0, 7.0, 14.0, 28.0])
    found = latent_levels(plan.system, truth, days)
    for i, volume in enumerate(volumes):
        values = dict(zip(model.system().parameters, truth[i], strict=False))
        curve = ck.model_curves(model, days, values | {"tumor_volume": volume})
        assert np.exp(found.log_level[i, 0]) == pytest.approx(curve["level"].to_numpy(), rel=1e-4)
    assert prior_gate(plan, 1).failed < 0.01


def test_an_event_day_of_each_patient_is_fitted_in_closed_forms_only():
    """Or the solver would have to begin anew on another day for each patient."""
    text = ck.load_model("mueller_schoell_2021").text
    text = text.replace("[inputs]", '[inputs]\nstop = { unit = "day", default = 50, label = "day", '
                        'source = "test", standing = "choice" }')  # fmt: skip
    text = text.replace('TEFF = "k34 * TEM - ke4 * TEFF"',
                        'TEFF = "where(t < stop, k34 * TEM, 0 * TEM) - ke4 * TEFF"')  # fmt: skip
    text = text.replace("0 * TEM)", "0 * k34 * TEM)")
    model = ck.Model.from_text(text, "with_stop")
    drawn = ck.simulate(model, 2, seed=1, visits=(3, 7), assays=["flow"], inputs={"stop": [5, 9]})
    with pytest.raises(FitError, match="stop sets the day of an event"):
        plan_fit(model, drawn)


def test_inputs_are_data_of_the_pymc_model(comedication, cohort):
    """So that a model that is compiled can be used again for other patients."""
    built = build_model(comedication, cohort)
    assert built["inputs"].get_value().tolist() == [[5.7, 10_000], [10_000, 10_000], [3.0, 4.0]]
    point = built.initial_point()
    before = built.compile_logp(mode="FAST_COMPILE")(point)
    built.set_data("inputs", np.array([[10_000.0, 10_000.0]] * 3))
    assert np.isfinite(before)
    assert built.compile_logp(mode="FAST_COMPILE")(point) != before
