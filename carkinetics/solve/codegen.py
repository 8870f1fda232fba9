"""Turn the equations of a model into numba source: right-hand side, sensitivities, outputs.

SymPy derives every derivative from the equation text, so value and gradient cannot disagree.
What depends on parameters only is computed once per solve; common subexpressions are shared, and
what states and sensitivities have in common is computed once per stage.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sympy

from carkinetics.errors import SolverError
from carkinetics.solve.adjoint_code import backwards, sweep_functions
from carkinetics.solve.doses import dose_function
from carkinetics.solve.linear_code import linear_code
from carkinetics.solve.printer import Printer
from carkinetics.solve.sensitivities import (
    Sensitivities,
    all_sensitivities,
    in_groups,
    sensitivities,
    total_derivative,
)
from carkinetics.solve.solvable import (
    Solvable,
    level_scales,
    log_levels_and_slopes,
    of_states,
    seen_states,
    solvable,
)

if TYPE_CHECKING:
    from carkinetics.model import System

_BEGIN, _END = "# --- model: begin ---", "# --- model: end ---"


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(f" *# --- {name}: begin ---\n(.*?) *# --- {name}: end ---\n", re.DOTALL)


_FEATURES, _TAPE, _STANDALONE = map(_marked, ("curve features", "tape", "standing alone"))
# Files whose functions are compiled into the machine code of a solver.
_COMPILED_IN = ("control.py", "fastmath.py", "lanes.py", "queue.py", "written.py")
# Sensitivities whose stages fit into the nearest cache of a processor, with what they need.
_GROUP = 25
_OF_METHOD = {False: ("explicit.py", "tsitouras.py"), True: ("implicit.py", "rodas.py")}


def generate(
    system: System, *, curves: bool = False, stiff: bool | None = None, tape: bool = False
) -> str:
    """Write the source of a solver module for a system.

    Parameters
    ----------
    system : System
        Expanded scalar equations of a model.
    curves : bool
        Whether the solver also gives maxima and areas.
    stiff : bool, optional
        Whether to solve it by the implicit method; by default what the system says.
    tape : bool
        Whether derivatives come from a reverse sweep, which knows no doses.

    Returns
    -------
    str
        Python source with a function ``solve``, and ``solve_curves`` if `curves`; with `tape`
        ``solve_with_tape`` and ``sweep``. See ``loop_template.py``, ``curves_template.py`` and
        ``sweep_template.py`` for their signatures. What is not asked for is not in the source, so
        that a plain fit neither compiles nor runs it.
    """
    _refuse_unsolvable(system)
    stiff = system.stiff if stiff is None else stiff
    # Machine code is cached with the source; these files are compiled into it.
    files = [*_COMPILED_IN, *_OF_METHOD[stiff], *(["curve_features.py"] if curves else [])]
    versions = _versions([*files, *(["adjoint.py"] if tape else [])])
    own, backwards = _taped_code(system) if tape else (_model_code(system, stiff), "")
    parts = [_filled(_template("stepper", curves, tape), versions + own)]
    parts.append(_template("loop", curves, tape))
    if curves:
        parts.append(_template("curves", curves, tape))
    if tape:
        parts.append(_filled(_template("sweep", curves, tape), backwards))
    return "\n\n\n".join(part.strip() for part in parts) + "\n"


def _refuse_unsolvable(system: System) -> None:
    if system.absent:
        listed = ", ".join(system.absent)
        raise SolverError(f"no value for {listed}; give them with model.with_values(...)")
    if system.event_inputs or not system.levels:
        raise SolverError(
            "the compiled solver takes no days of events that differ between patients and no model "
            "without an assay; solve_states of carkinetics.solve.trajectory does"
        )


def _template(name: str, curves: bool, tape: bool) -> str:
    """Return a part of the solver with the passages that are asked for."""
    text = _FEATURES.sub(r"\1" if curves else "", _text_of(f"{name}_template.py"))
    text = _TAPE.sub(r"\1" if tape else "", text)
    return text if name == "stepper" else _STANDALONE.sub("", text)


def _filled(template: str, model: str) -> str:
    """Put the functions of a model in the place of the example's."""
    head, rest = template.split(_BEGIN)
    _, tail = rest.split(_END)
    return f"{head}{model}{tail}"


def _versions(files: list[str]) -> str:
    return "".join(f"# {name} {source_hash(_text_of(name))}\n" for name in files)


def source_hash(source: str) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of generated source."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _text_of(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _equations(system: System) -> Solvable:
    """Return the equations that levels depend on."""
    whole = solvable(system)
    return of_states(whole, seen_states(whole))


def _model_code(system: System, stiff: bool) -> str:
    """Write the functions of a model with sensitivities."""
    equations = _equations(system)
    # What is found from the equations alone is no longer true after a dose, and a linear system of
    # equations is solved for all its rows.
    sens = (all_sensitivities if stiff or system.doses else sensitivities)(equations)
    # The implicit method solves for all sensitivities at a stage.
    sens, ends = (sens, [len(sens.symbols)]) if stiff else in_groups(sens, _GROUP)
    groups_of_sens = list(itertools.pairwise([0, *ends]))
    increments = [sympy.Symbol(f"increment_{i}", real=True) for i in range(len(equations.states))]
    levels, slopes = log_levels_and_slopes(equations)
    jacobian = [
        total_derivative(log_level, q, equations, sens.where)
        for log_level in levels
        for q in range(len(equations.parameters))
    ]
    printer = Printer(equations, sens.symbols, increments)
    linear = linear_code(printer, equations, sens, increments) if stiff else None
    hoisted, groups = printer.hoist(
        (equations.rates, sens.rates, levels, slopes, jacobian, level_scales(equations))
    )
    rates, sens_rates, levels, slopes, jacobian, scales = groups
    memo, sens_rates = printer.remember(sens_rates, "m")
    sides = "".join(f"({high}, sensitivity_side_{low}), " for low, high in groups_of_sens)
    sides = "sensitivity_side_0" if linear else f"({sides})"
    forward = _Forward(hoisted, rates, levels, slopes, scales, memo, sens_rates)
    return "\n\n\n".join(
        [
            *_forward_code(system, printer, equations, sens, forward),
            *(
                printer.lane_function(
                    f"sensitivity_side_{low}",
                    "stage, memo, s, p, c, ds",
                    {f"ds at stage * N_SENS + {low}": sens_rates[low:high]},
                    place="stage",
                )
                for low, high in groups_of_sens
            ),
            printer.lane_function(
                "output_sensitivity_lanes",
                "t, y, s, p, c, jacobian",
                {"jacobian": jacobian},
                floored=True,
            ),
            *(linear or ()),
            _method("implicit" if linear else "explicit", equations, sides, bool(linear)),
        ]
    )


def _taped_code(system: System) -> tuple[str, str]:
    """Write the functions of a model without sensitivities, and those of the sweep."""
    equations = _equations(system)
    levels, slopes = log_levels_and_slopes(equations)
    found = backwards(equations, levels)
    printer = Printer(equations, (), cotangents=found.cotangents)
    hoisted, groups = printer.hoist(
        (
            equations.rates, levels, slopes, level_scales(equations),
            found.states, found.acting, found.output_states, found.output_direct,
        )
    )  # fmt: skip
    rates, levels, slopes, scales, states, acting, output_states, output_direct = groups
    found = dataclasses.replace(
        found,
        states=states,
        acting=acting,
        output_states=output_states,
        output_direct=output_direct,
    )
    forward = _Forward(hoisted, rates, levels, slopes, scales, [], [])
    own = [
        *_forward_code(system, printer, equations, Sensitivities([], [], [], {}), forward),
        printer.lane_function("output_sensitivity_lanes", "t, y, s, p, c, jacobian", {}),
        _method("explicit", equations, "()", False),
    ]
    back = [_assigned(found.sizes), *sweep_functions(printer, found)]
    return "\n\n\n".join(own), "\n\n\n".join(back)


@dataclass(frozen=True)
class _Forward:
    """Expressions of the states' own solution, with what depends on parameters only pulled out."""

    hoisted: list[sympy.Expr]
    rates: list[sympy.Expr]
    levels: list[sympy.Expr]
    slopes: list[sympy.Expr]
    scales: list[sympy.Expr]
    memo: list[sympy.Expr]
    sens_rates: list[sympy.Expr]


def _forward_code(
    system: System,
    printer: Printer,
    equations: Solvable,
    sens: Sensitivities,
    found: _Forward,
) -> list[str]:
    """Write sizes, known days, and the functions that every explicit or implicit solver needs."""
    sizes = {
        "N_STATE": len(found.rates),
        "N_PAR": len(equations.parameters),
        "N_SHARED": len(found.hoisted),
        "N_SENS": len(found.sens_rates),
        "N_MEMO": len(found.memo),
        "N_OUT": len(found.levels),
    }
    kept = seen_states(solvable(system))
    doses = [
        dataclasses.replace(dose, state=kept.index(dose.state))
        for dose in system.doses
        if dose.state in kept
    ]
    events, dose_code = dose_function(printer, doses, equations, sens)
    return [
        f"{_assigned(sizes)}\n{_event_days(events)}",
        printer.lane_function("prepare", "p, c", {"c": found.hoisted}),
        printer.lane_function("start", "p, c, y, s", {"y": equations.start, "s": sens.start}),
        printer.lane_function(
            "right_side",
            "stage, t, y, p, c, dy, memo, scale",
            {
                "dy at stage * N_STATE": found.rates,
                "memo at stage * N_MEMO": found.memo,
                "scale at stage * N_STATE": found.scales,
            },
            place="stage",
        ),
        printer.lane_function(
            "output_lanes", "t, y, p, c, out", {"out": [*found.levels, *found.slopes]}, floored=True
        ),
        dose_code,
    ]


def _assigned(sizes: dict[str, int]) -> str:
    return f"{', '.join(sizes)} = {', '.join(map(str, sizes.values()))}"


def _method(name: str, equations: Solvable, sides: str, linear: bool) -> str:
    sizes = "N_STATE, N_PAR, N_SHARED, N_SENS, N_MEMO, N_OUT"
    return (
        f"METHOD = {name}.make_method(\n"
        f"    Sizes({sizes}), {tuple(equations.log_scale)}, right_side, {sides}"
        f"{', LINEAR' if linear else ''}\n)"
    )


def _event_days(events: list[tuple[float, bool]]) -> str:
    before = [math.nextafter(day, -math.inf) for day, _ in events]
    after = [math.nextafter(day, math.inf) for day, _ in events]
    dosed = [dose for _, dose in events]
    return (
        f"BEFORE, AFTER = np.array({before}, np.float64), np.array({after}, np.float64)\n"
        f"HAS_DOSE = np.array({dosed}, np.bool_)"
    )
