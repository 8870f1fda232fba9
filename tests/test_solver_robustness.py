"""The solver neither hangs nor raises, names its failures, and keeps patients apart."""

from __future__ import annotations

import collections
import functools
import itertools
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from numba import njit

import carkinetics as ck
from carkinetics.errors import SolverOutcome
from carkinetics.solve import generated as generated_module
from carkinetics.solve import kept as kept_module
from carkinetics.solve import loop_template
from carkinetics.solve.codegen import generate
from carkinetics.solve.compiled import compile_system, solve_system
from carkinetics.solve.solvable import solvable, switch_days
from carkinetics.solve.written import inlined

BOTH, TOTAL = ("CD4", "CD8"), ("total",)
VISITS = np.array([0, 3, 7, 10, 14, 17, 21, 28, 42, 60, 90, 120, 180, 270, 365.0])


@functools.cache
def solver(cell_types=BOTH):
    model = ck.load_model("cd4_cd8_expansion", cell_types)
    return model, compile_system(model.system())


def prior_draws(model, n, seed, unit="cells/uL"):
    rng = np.random.default_rng(seed)
    priors = [model.parameters[name.split("[")[0]] for name in model.system().parameters]
    return np.column_stack([p.prior_for(unit).sample(rng, n) for p in priors])


def solve_visits(compiled, params, **options):
    n = len(params)
    offsets = np.arange(n + 1) * len(VISITS)
    return solve_system(
        compiled, params, offsets, np.tile(VISITS, n), sensitivities=True, **options
    )


@pytest.mark.parametrize("unit", ["cells/uL", "copies/ug"])
@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
def test_ten_thousand_prior_draws_are_solved_to_day_365(cell_types, unit):
    """At least 99.9 % finite, every failure named; a fixed seed, so no false alarm."""
    model, compiled = solver(cell_types)
    params = prior_draws(model, 10_000, seed=21, unit=unit)
    begin = time.perf_counter()
    solution = solve_visits(compiled, params)
    assert time.perf_counter() - begin < 60  # about half a second
    counts = collections.Counter(solution.outcome)
    assert counts[SolverOutcome.SOLVED] >= 9_990
    solved = np.array([outcome is SolverOutcome.SOLVED for outcome in solution.outcome])
    for array in (solution.log_level, solution.slope, solution.jacobian):
        finite = np.isfinite(array.reshape(len(params), -1)).all(axis=1)
        assert (finite == solved).all()
    assert solution.steps.max() < 1000


@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
def test_draws_from_priors_twice_as_wide_are_solved_too(cell_types):
    """Also where memory decays to 1e-30 of the peak: it must not slip below zero."""
    model, compiled = solver(cell_types)
    rng = np.random.default_rng(22)
    priors = [model.parameters[name].prior_for("cells/uL") for name in compiled.parameters]
    params = np.column_stack([prior.scaled(2).sample(rng, 10_000) for prior in priors])
    solution = solve_visits(compiled, params)
    solved = assert_named(solution, len(params))
    assert solved.mean() >= 0.999


EXTREME = [1e6, -1e6, 1e300, 1e-300, 0.0, -1.0, np.nan, np.inf, -np.inf]


def assert_named(solution, n):
    """Every patient is either finite everywhere or a named failure without any number."""
    assert all(isinstance(outcome, SolverOutcome) for outcome in solution.outcome)
    solved = np.array([outcome is SolverOutcome.SOLVED for outcome in solution.outcome])
    for array in (solution.log_level, solution.slope, solution.jacobian):
        rows = array.reshape(n, -1)
        assert np.isfinite(rows[solved]).all()
        assert np.isnan(rows[~solved]).all()
    return solved


@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
def test_extreme_parameters_give_an_outcome_and_leave_the_others_alone(cell_types):
    model, compiled = solver(cell_types)
    names = compiled.parameters
    plain = prior_draws(model, 1, seed=22)[0]
    rows = [plain]
    for q in range(len(names)):
        for value in EXTREME:
            rows += [plain.copy(), plain]
            rows[-2][q] = value
    rows += [np.full(len(names), value) for value in EXTREME]
    params = np.array(rows)
    begin = time.perf_counter()
    solution = solve_visits(compiled, params)
    assert time.perf_counter() - begin < 30
    solved = assert_named(solution, len(params))
    ordinary = (params == plain).all(axis=1)
    assert solved[ordinary].all()
    level = solution.log_level.reshape(len(params), -1)
    assert (level[ordinary] == level[0]).all()
    # An infinite half-life is a rate of zero; what is not a number is nothing.
    assert not solved[np.isnan(params).any(axis=1)].any()


def test_a_level_below_the_smallest_number_leaves_the_curve_whole():
    """A doubling in a quarter of an hour, followed back from day 12, starts at e^-756 cells/uL."""
    model = ck.load_model("cd4_cd8_expansion").with_cell_types(("total",))
    values = model.typical() | {"doubling_time": 0.011, "level_at_gate": 600.0}
    compiled = compile_system(model.system())
    params = np.array([[values[name] for name in compiled.parameters]])
    days = np.array([0.0, 1.0, 11.0, 14.0, 28.0])
    found = solve_system(compiled, params, np.array([0, 5]), days, sensitivities=True)
    assert found.outcome == (SolverOutcome.SOLVED,)
    assert np.isfinite(found.slope).all()
    assert np.isfinite(found.jacobian).all()
    assert found.log_level[0, 0] == pytest.approx(-650, abs=1)
    assert found.log_level[3, 0] == pytest.approx(np.log(600) - 2 * np.log(2) / 4, abs=0.15)


def test_a_stiff_or_exploding_patient_runs_out_of_steps_not_of_time():
    model, compiled = solver(TOTAL)
    params = prior_draws(model, 3, seed=23)
    params[:, compiled.parameters.index("contraction_half_life")] = [1e-6, 1e-4, 4.0]
    last = [name for name in compiled.parameters if "half_life" in name and "contr" not in name]
    params[:, compiled.parameters.index(last[0])] = [1e-7, 1e-5, 200.0]
    solution = solve_visits(compiled, params, max_steps=300, fall_back=False)
    assert_named(solution, 3)
    assert solution.outcome[0] in (SolverOutcome.TOO_MANY_STEPS, SolverOutcome.NOT_FINITE)
    assert solution.outcome[2] is SolverOutcome.SOLVED
    assert solution.steps.max() <= 300


def test_a_stiff_patient_falls_back_to_the_implicit_solver():
    """Half-lives of seconds beside those of weeks; the others keep their bits."""
    model, compiled = solver(TOTAL)
    params = prior_draws(model, 3, seed=23)
    gain = [name for name in compiled.parameters if name == "half_life_gain"]
    for name in ("contraction_half_life", *gain):
        params[0, compiled.parameters.index(name)] = 1e-3
    alone = solve_visits(compiled, params, max_steps=500, fall_back=False)
    assert alone.outcome[0] is SolverOutcome.TOO_MANY_STEPS
    solution = solve_visits(compiled, params, max_steps=500)
    assert_named(solution, 3)
    rows = len(VISITS)
    assert (solution.log_level[rows:] == alone.log_level[rows:]).all()
    assert (solution.jacobian[rows:] == alone.jacobian[rows:]).all()
    if solution.outcome[0] is SolverOutcome.SOLVED:
        patient = solve_visits(compiled, params[:1], max_steps=10**6, fall_back=False)
        assert solution.log_level[:rows] == pytest.approx(patient.log_level, abs=1e-3)


def ragged(n, seed):
    """Visits of n patients: none, one on day 0, repeated days, and ordinary ones."""
    rng = np.random.default_rng(seed)
    days = [np.sort(rng.uniform(0, 300, rng.integers(1, 15))) for _ in range(n)]
    days[3], days[n // 2] = np.array([]), np.array([0.0])
    days[5] = np.repeat([0.0, 0.0, 12.0, 12.0, 12.0, 90.0], 2)
    days[7] = np.array([-3.0, -1.0, 0.0, 10.0])
    return days


def solve_ragged(compiled, params, days, **options):
    offsets = np.append(0, np.cumsum([len(d) for d in days]))
    solution = solve_system(
        compiled, params, offsets, np.concatenate([*days, []]), sensitivities=True, **options
    )
    arrays = (solution.log_level, solution.slope, solution.jacobian)
    return [tuple(a[i:j] for a in arrays) for i, j in itertools.pairwise(offsets)]


@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
def test_a_patient_does_not_depend_on_the_company_or_the_order(cell_types):
    """Bit for bit: alone, among 37, and in another order."""
    model, compiled = solver(cell_types)
    params, days = prior_draws(model, 37, seed=24), ragged(37, seed=25)
    together = solve_ragged(compiled, params, days)
    order = np.random.default_rng(26).permutation(37)
    shuffled = solve_ragged(compiled, params[order], [days[i] for i in order])
    for place, i in enumerate(order):
        alone = solve_ragged(compiled, params[i : i + 1], [days[i]])[0]
        for one, two, three in zip(together[i], shuffled[place], alone, strict=True):
            assert one.tobytes() == two.tobytes() == three.tobytes()


def test_more_days_within_the_follow_up_do_not_change_the_level_on_the_others():
    """Bit for bit: steps do not stop at samples, the last one excepted."""
    model, compiled = solver()
    params = prior_draws(model, 1, seed=27)
    few, many = VISITS, np.unique(np.concatenate([VISITS, np.linspace(0, 365, 500)]))
    sparse = solve_system(compiled, params, [0, len(few)], few)
    dense = solve_system(compiled, params, [0, len(many)], many)
    assert (dense.log_level[np.isin(many, few)] == sparse.log_level).all()


def test_repeated_days_and_days_before_the_infusion_have_their_level():
    model, compiled = solver()
    params = prior_draws(model, 1, seed=28)
    days = np.array([-5.0, 0.0, 0.0, 12.0, 12.0, 30.0, 30.0])
    level = solve_system(compiled, params, [0, 7], days).log_level
    assert (level[0] == level[1]).all()
    assert (level[1] == level[2]).all()
    assert (level[3] == level[4]).all()
    assert (level[5] == level[6]).all()
    assert np.isfinite(level).all()
    only_zero = solve_system(compiled, params, [0, 1], [0.0]).log_level
    assert (only_zero[0] == level[1]).all()


def test_nobody_and_nothing_to_solve_is_an_empty_answer():
    model, compiled = solver()
    params = prior_draws(model, 3, seed=29)
    nobody = solve_system(compiled, params[:0], [0], [], sensitivities=True)
    assert (nobody.log_level.shape, nobody.jacobian.shape, nobody.outcome) == (
        (0, 2),
        (0, 2, len(compiled.parameters)),
        (),
    )
    nothing = solve_system(compiled, params, [0, 0, 0, 0], [])
    assert nothing.outcome == (SolverOutcome.SOLVED,) * 3
    assert nothing.steps.tolist() == [0, 0, 0]


def test_days_that_are_no_numbers_or_out_of_order_do_not_hang():
    model, compiled = solver()
    params = prior_draws(model, 2, seed=30)
    for days in ([1.0, np.nan], [1.0, np.inf], [30.0, 2.0], [np.nan, 5.0]):
        solution = solve_system(compiled, params, [0, 2, 4], days * 2, max_steps=500)
        assert len(solution.outcome) == 2


def test_read_only_and_strided_arrays_are_accepted_without_another_compilation():
    model, compiled = solver()
    params = np.asfortranarray(prior_draws(model, 4, seed=31))
    offsets, days = np.array([0, 1, 2, 3, 4], dtype=np.int32), np.arange(8.0)[::2]
    params.flags.writeable = days.flags.writeable = False
    first = solve_system(compiled, params, offsets, days)
    again = solve_system(compiled, np.array(params, order="C"), offsets, days.copy())
    assert (first.log_level == again.log_level).all()
    assert len(compiled.solve.signatures) == 1


# --- the generated code


@pytest.mark.parametrize("name", ["right_side", "sensitivity_side_0"])
def test_generated_functions_become_vector_code(name):
    """Vectors of doubles are multiplied, and exp is arithmetic: no call for each lane."""
    _, compiled = solver()
    module = sys.modules[compiled.solve.__module__]

    def room(vectors):
        return np.ones(vectors * module.LANES)

    states, slopes = room(7 * module.N_STATE), room(7 * module.N_STATE)
    memo, p, c = room(7 * module.N_MEMO), room(module.N_PAR), room(module.N_SHARED)
    sens, sens_slopes = room(module.N_SENS), room(7 * module.N_SENS)
    arguments = {
        "right_side": (0, room(7), states, p, c, slopes, memo, states.copy()),
        "sensitivity_side_0": (0, memo, sens, p, c, sens_slopes),
    }
    side = inlined(getattr(module, name))
    function = njit(lambda *found: side(*found))
    function(*arguments[name])
    (ir,) = function.inspect_llvm().values()
    assert re.search(rf"fmul (contract )?<{module.LANES} x double>", ir)
    called = set(re.findall(r"call [^\n]*?double>? @([\w.]+)\(", ir))
    assert not {name for name in called if not name.startswith("llvm.")}


def test_sensitivities_that_are_zero_or_constant_are_not_integrated():
    """CD4 effector does not depend on memory; ln E moves with ln level one to one, always."""
    model, compiled = solver()
    module = sys.modules[compiled.solve.__module__]
    equations = solvable(model.system())
    all_pairs = len(equations.states) * len(equations.parameters)
    assert module.N_SENS < len(equations.sensitivities) < all_pairs


def test_known_switch_days_are_found():
    text = ck.load_model("cd4_cd8_expansion").text
    text = text.replace(
        "[constants.gate_width]",
        '[constants]\nstop = { value = 40.5, unit = "day", label = "end", source = "test", '
        'standing = "choice" }\n[constants.gate_width]',
    ).replace("logistic((gate_day", "where(2 * t > stop - t, 1, 0.5) * logistic((gate_day")
    system = ck.Model.from_text(text, "switched").system()
    assert switch_days(solvable(system)) == (13.5,)
    assert switch_days(solvable(solver()[0].system())) == ()


def test_the_same_equations_give_the_same_source_and_solver():
    model, compiled = solver()
    again = ck.Model.from_text(model.text, "another_name")
    assert generate(again.system()) == generate(model.system())
    assert compile_system(again.system()).solve is compiled.solve


def test_the_template_is_a_working_solver_of_its_own_example():
    """Exponential decay, analytic: ln level = ln first - rate t."""
    params = np.array([[50.0, 0.1], [3.0, 2.0]])
    days = np.array([0.0, 4.0, 10.0, 1.0])
    level, slope, jacobian, outcome, _ = loop_template.solve(
        params, np.array([0, 3, 4]), days, 1e-9, 1000, True
    )
    first, rate = np.repeat(params, [3, 1], axis=0).T
    assert outcome.tolist() == [0, 0]
    assert level[:, 0] == pytest.approx(np.log(first) - rate * days, abs=1e-7)
    assert slope[:, 0] == pytest.approx(-rate, abs=1e-12)
    assert jacobian[:, 0] == pytest.approx(np.column_stack([1 / first, -days]), abs=1e-6)


# --- the cache folder

DECAY = """
[model]
title = "Decay"
summary = "An exponential."
reference = "test"
time = "day"
[subsets]
cell_type = ["total"]
[states.N]
unit = "level"
start = "first"
label = "cells"
[equations]
N = "-rate * N"
[observed.flow]
unit = "cells/uL"
is = "N"
error = "lognormal"
sigma = "halfnormal(0.5)"
label = "cells"
[parameters.first]
unit = "level"
label = "level on day 0"
source = "test"
standing = "choice"
[parameters.first.prior]
"cells/uL" = "lognormal(median=100, gsd=2)"
[parameters.rate]
unit = "1/day"
label = "rate"
prior = "lognormal(median=0.1, gsd=2)"
source = "test"
standing = "choice"
"""
SOLVE_DECAY = """
import sys
import numpy as np
import carkinetics as ck
from carkinetics.solve.compiled import compile_system, solve_system
compiled = compile_system(ck.load_model(sys.argv[1]).system())
found = solve_system(compiled, [[50.0, 0.1]], [0, 2], [0.0, 10.0], sensitivities=True)
assert np.allclose(found.log_level[:, 0], np.log(50) - np.array([0.0, 1.0]), atol=1e-5)
assert np.allclose(found.jacobian[:, 0], [[1 / 50, 0.0], [1 / 50, -10.0]], atol=1e-4)
print(compiled.solve.stats.cache_hits.total(), compiled.solve.__module__)
"""


def start_process(tmp_path, cache):
    model = tmp_path / "decay.toml"
    model.write_text(DECAY)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SOLVE_DECAY, str(model)],
        env=os.environ | {"CARKINETICS_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.split()


def test_two_processes_may_compile_at_once_and_a_third_reads_what_they_left(tmp_path):
    cache = tmp_path / "cache"
    both = [start_process(tmp_path, cache) for _ in range(2)]
    first, second = (finished(process) for process in both)
    assert first[1] == second[1]
    hits, name = finished(start_process(tmp_path, cache))
    assert (hits, name) == ("1", first[1])
    assert [path.name for path in cache.glob("*.py")] == [f"{name}.py"]
    assert not list(cache.glob("*.tmp"))


def test_a_cache_folder_that_cannot_be_made_only_costs_the_reuse(tmp_path):
    """Below a plain file no folder can be made, whoever asks."""
    (tmp_path / "file").write_text("")
    hits, _ = finished(start_process(tmp_path, tmp_path / "file" / "cache"))
    assert hits == "0"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_cache_folder_only_costs_the_reuse(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o500)
    hits, _ = finished(start_process(tmp_path, cache))
    assert hits == "0"


def test_source_is_generated_once_and_again_where_it_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("CARKINETICS_CACHE", str(tmp_path))
    model, other = ck.load_model("cd4_cd8_expansion"), ck.load_model("cd4_cd8_antigen")
    first = generated_module.generated(model.system())
    assert first == generate(model.system())
    (kept,) = tmp_path.glob("*source*")
    monkeypatch.setattr(generated_module, "generate", lambda system, **options: str(options))
    assert generated_module.generated(model.system()) == first
    assert generated_module.generated(model.system(), curves=True) == "{'curves': True}"
    assert generated_module.generated(other.system()) == "{}"
    kept.write_bytes(b"\xff half a fi")
    assert generated_module.generated(model.system()) == "{}"


def test_solver_source_is_written_once_and_a_damaged_file_is_replaced(tmp_path, monkeypatch):
    """Numba's own cache goes by the time of change, so an equal file must stay as it is."""
    monkeypatch.setenv("CARKINETICS_CACHE", str(tmp_path))
    path = kept_module._write("solver.py", "x = 1")
    before = path.stat().st_mtime_ns
    assert kept_module._write("solver.py", "x = 1") == path
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b"\xff half a fi")
    assert kept_module._write("solver.py", "x = 1").read_text() == "x = 1"
    assert [file.name for file in tmp_path.iterdir()] == ["solver.py"]
