"""Few visits, half of the values below the limit: how each effect is centered, and what it costs.

SYNTHETIC patients of the default model with both assays on days 7, 14, 21 and 28; the limit of
each assay is the median of its simulated totals. The same compiled model is sampled three times
from the same start: effects centered by what their data say, as a fit does it, all of them
centered, and none. Each is judged by the checks of a fit, its first attempt alone. The figures
count leapfrog steps and not seconds, so that they are the same on a busy machine.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.result import Result

VISITS = (7.0, 14.0, 21.0, 28.0)
BY_DATA = "by the data"
# Weight of every effect: 1 centered, 0 not.
FORCED = {"all centered": 1.0, "none centered": 0.0}
# The checks of a fit that the sampler, and not the model, has to keep.
_HEADINGS = {
    "largest R-hat": "R-hat",
    "smallest bulk ESS": "bulk ESS",
    "smallest tail ESS": "tail ESS",
    "energy divergences per 1,000 draws": "divergences per 1,000",
    "failed evaluations": "failed evaluations",
    "smallest E-BFMI": "E-BFMI",
}


@dataclass(frozen=True)
class Run:
    """One run of the sampler: leapfrog steps per kept draw and per effective one, and its checks.

    ``missed`` names the checks of a fit that it misses, ``found`` all of them.
    """

    steps: float
    cost: float
    missed: tuple[str, ...]
    found: str


def measure(small: bool) -> list[Result]:
    from carkinetics.inference.planning import plan_fit
    from carkinetics.inference.reuse import machine
    from carkinetics.inference.sampling import prepare, ready_to_run

    draws, seeds = (20, (1,)) if small else (1000, (1, 2))
    model, cohort = sparse_cohort(4 if small else 16)
    with machine(plan := plan_fit(model, cohort)) as compiled:
        prepared = prepare(ready_to_run(plan, compiled))
        runs = {BY_DATA: _runs(BY_DATA, prepared, max(draws, 50), draws, seeds)}
        for name, weight in FORCED.items():
            runs[name] = _runs(name, _forced(prepared, weight), max(draws, 50), draws, seeds)
    return [_row(runs, name) for name in FORCED]


def sparse_cohort(patients: int) -> tuple[Any, Any]:
    """Return the default model and patients of whose totals half lie below the limit."""
    import carkinetics as ck

    model = ck.load_model("cd4_cd8_expansion")
    options: dict[str, Any] = {"seed": 7, "visits": VISITS}
    whole = ck.simulate(model, patients, lloq={"flow": 1e-9, "qpcr": 1e-9}, **options).levels
    totals = whole[whole["cell_type"] == "total"]
    limits = totals.groupby("assay")["level"].median()
    return model, ck.simulate(model, patients, lloq=limits.to_dict(), **options)


def _forced(prepared: Any, weight: float) -> Any:
    """Center all effects with one weight; the patients' start stays where it is."""
    import numpy as np

    from carkinetics.inference.centering import Centering
    from carkinetics.inference.choose_centering import centered
    from carkinetics.inference.sampling import recentered

    ends = centered(prepared.plan, prepared.effects)
    weights = {name: np.full(w.shape, weight) for name, w in ends.weights.items()}
    return recentered(prepared, Centering(weights, seen=ends.seen))


def _runs(name: str, prepared: Any, tune: int, draws: int, seeds: tuple[int, ...]) -> list[Run]:
    runs = []
    for seed in seeds:
        runs.append(run := _run(prepared, tune, draws, seed))
        print(f"{name}, seed {seed}: {run.steps:.1f} steps per draw, {run.found}", file=sys.stderr)
    return runs


def _run(prepared: Any, tune: int, draws: int, seed: int) -> Run:
    from carkinetics.diagnostics import check_fit
    from carkinetics.inference.progress import Reporter
    from carkinetics.inference.sampling import SamplerSettings, sample
    from carkinetics.inference.tree import build_tree

    settings = SamplerSettings(draws, tune, 4, 1)
    tree = build_tree(prepared, sample(prepared, settings, seed, Reporter("none")), seed)
    checks = check_fit(tree).table.set_index("check")
    steps = tree["sample_stats"]["n_steps"].values
    found = []
    for name, label in _HEADINGS.items():
        of = f" ({checks['where'][name]})" if checks["where"][name] else ""
        found.append(f"{label} {checks['value'][name]:.4g}{of}")
    return Run(
        steps=float(steps.mean()),
        cost=float(steps.sum() / checks["value"]["smallest bulk ESS"]),
        missed=tuple(label for name, label in _HEADINGS.items() if not checks["passed"][name]),
        found=", ".join(found),
    )


def _row(runs: dict[str, list[Run]], name: str) -> Result:
    """Compare with one forced choice; who misses a check of a fit gives no ratio."""
    mine, theirs = runs[BY_DATA], runs[name]
    told = [f"{who}: {_told(runs[who])}" for who in (BY_DATA, name)]
    healthy = not any(run.missed for run in theirs)
    return Result(
        "sparse visits, half below the limit, worst number [leapfrog steps per effective draw], "
        f"against {name}",
        _mean(mine), _mean(theirs) if healthy else None, name, 1.0 if healthy else None, "ratio",
        "; ".join(told),
    )  # fmt: skip


def _mean(runs: list[Run]) -> float:
    return sum(run.cost for run in runs) / len(runs)


def _told(runs: list[Run]) -> str:
    steps = " and ".join(f"{run.steps:.0f}" for run in runs)
    missed = [f"seed {i} misses {', '.join(r.missed)}" for i, r in enumerate(runs, 1) if r.missed]
    return f"{steps} steps per draw, " + ("; ".join(missed) or "all checks kept")
