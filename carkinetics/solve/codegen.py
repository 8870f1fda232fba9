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
from pathlib import Path
from typing import TYPE_CHECKING

import sympy

from carkinetics.errors import SolverError
from carkinetics.solve.doses import dose_function
from carkinetics.solve.linear_code import linear_code
from carkinetics.solve.printer import Printer
from carkinetics.solve.sensitivities import (
    all_sensitivities,
    in_groups,
    sensitivities,
    total_derivative,
)
from carkinetics.solve.solvable import (
    level_scales,
    log_levels_and_slopes,
    of_states,
    seen_states,
    solvable,
)

if TYPE_CHECKING:
    from carkinetics.model import System

_BEGIN, _END = "# --- model: begin ---", "# --- model: end ---"
_FEATURES = re.compile(
    r" *# --- curve features: begin ---\n(.*?) *# --- curve features: end ---\n", re.DOTALL
)
# Files whose functions are compiled into the machine code of a solver.
_COMPILED_IN = ("control.py", "fastmath.py", "lanes.py", "queue.py", "written.py")
# Sensitivities whose stages fit into the nearest cache of a processor, with what they need.
_GROUP = 25
_OF_METHOD = {False: ("explicit.py", "tsitouras.py"), True: ("implicit.py", "rodas.py")}


def generate(system: System, *, curves: bool = False, stiff: bool | None = None) -> str:
    """Write the source of a solver module for a system.

    Parameters
    ----------
    system : System
        Expanded scalar equations of a model.
    curves : bool
        Whether the solver also gives maxima and areas.
    stiff : bool, optional
        Whether to solve it by the implicit method; by default what the system says.

    Returns
    -------
    str
        Python source with a function ``solve``, and ``solve_curves`` if `curves`; see
        ``stepper_template.py`` for their signatures. Without `curves` nothing of it is in the
        source, so that a plain fit neither compiles nor runs it.
    """
    template = _FEATURES.sub(r"\1" if curves else "", _text_of("stepper_template.py"))
    if system.absent:
        listed = ", ".join(system.absent)
        raise SolverError(f"no value for {listed}; give them with model.with_values(...)")
    if system.event_inputs or not system.levels:
        raise SolverError(
            "the compiled solver takes no days of events that differ between patients and no model "
            "without an assay; solve_states of carkinetics.solve.trajectory does"
        )
    stiff = system.stiff if stiff is None else stiff
    head, rest = template.split(_BEGIN)
    _, tail = rest.split(_END)
    # Machine code is cached with the source; these files are compiled into it.
    files = [*_COMPILED_IN, *_OF_METHOD[stiff], *(["curve_features.py"] if curves else [])]
    versions = "".join(f"# {name} {source_hash(_text_of(name))}\n" for name in files)
    return f"{head}{versions}{_model_code(system, stiff)}{tail.rstrip()}\n"


def source_hash(source: str) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of generated source."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _text_of(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _model_code(system: System, stiff: bool) -> str:
    whole = solvable(system)
    kept = seen_states(whole)
    equations = of_states(whole, kept)
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
    sizes = {
        "N_STATE": len(rates),
        "N_PAR": len(equations.parameters),
        "N_SHARED": len(hoisted),
        "N_SENS": len(sens_rates),
        "N_MEMO": len(memo),
        "N_OUT": len(levels),
    }
    log_scale = tuple(equations.log_scale)
    doses = [
        dataclasses.replace(dose, state=kept.index(dose.state))
        for dose in system.doses
        if dose.state in kept
    ]
    events, dose_code = dose_function(printer, doses, equations, sens)
    sides = "".join(f"({high}, sensitivity_side_{low}), " for low, high in groups_of_sens)
    sides = "sensitivity_side_0" if linear else f"({sides})"
    return "\n\n\n".join(
        [
            f"{', '.join(sizes)} = {', '.join(map(str, sizes.values()))}\n{_event_days(events)}",
            printer.lane_function("prepare", "p, c", {"c": hoisted}),
            printer.lane_function("start", "p, c, y, s", {"y": equations.start, "s": sens.start}),
            printer.lane_function(
                "right_side",
                "stage, t, y, p, c, dy, memo, scale",
                {
                    "dy at stage * N_STATE": rates,
                    "memo at stage * N_MEMO": memo,
                    "scale at stage * N_STATE": scales,
                },
                place="stage",
            ),
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
                "output_lanes", "t, y, p, c, out", {"out": [*levels, *slopes]}, floored=True
            ),
            printer.lane_function(
                "output_sensitivity_lanes",
                "t, y, s, p, c, jacobian",
                {"jacobian": jacobian},
                floored=True,
            ),
            dose_code,
            *(linear or ()),
            f"METHOD = {'implicit' if linear else 'explicit'}.make_method(\n"
            f"    Sizes({', '.join(sizes)}), {log_scale}, right_side, {sides}"
            f"{', LINEAR' if linear else ''}\n)",
        ]
    )


def _event_days(events: list[tuple[float, bool]]) -> str:
    before = [math.nextafter(day, -math.inf) for day, _ in events]
    after = [math.nextafter(day, math.inf) for day, _ in events]
    dosed = [dose for _, dose in events]
    return (
        f"BEFORE, AFTER = np.array({before}, np.float64), np.array({after}, np.float64)\n"
        f"HAS_DOSE = np.array({dosed}, np.bool_)"
    )
