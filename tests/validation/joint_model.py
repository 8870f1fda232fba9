"""The estimators of a slope side by side over simulated trials, and the page that tells of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from carkinetics.outcomes import clopper_pearson
from tests.validation.kinetic_trials import CLOSED_FORM, EQUATIONS, Estimators, draw_trial
from tests.validation.page import versions
from tests.validation.repetitions import FOLDER
from tests.validation.rows import collect

ROWS = FOLDER / "joint-model"
SEED, SLOPE = 2026, -0.7
# Estimator -> its columns, in the order of the table.
ESTIMATORS = {
    "true": "true exposure, which nobody has: Cox",
    "raw": "observed peak: Cox",
    "mean": "posterior mean: Cox",
    "cut": "propagated (cut): Cox, Rubin's rules",
    "joint": "**joint model**",
}


@dataclass(frozen=True)
class Setting:
    """Trials of one size and slope, by one route.

    Attributes
    ----------
    name : str
        Of its file.
    n, repetitions : int
        Patients, and trials wanted.
    slope : float
        Log hazard ratio per e-fold of Cmax.
    model : str
        Kinetic model of the fits.
    compared : int
        First trials that the other estimators estimate too, which takes a second fit of each.
    folder : Path
        Where its rows are kept.
    """

    name: str
    n: int
    repetitions: int
    slope: float
    model: str = CLOSED_FORM
    compared: int = 75
    folder: Path = ROWS

    @property
    def path(self) -> Path:
        """File of its rows."""
        return self.folder / f"{self.name}.csv"

    @property
    def rows(self) -> pd.DataFrame:
        """Rows so far."""
        return pd.read_csv(self.path) if self.path.exists() else pd.DataFrame()

    @cached_property
    def title(self) -> str:
        """Head of its column."""
        what = "no association" if self.slope == 0 else f"slope {self.slope:g}"
        return f"N = {self.n}, {what}"


SETTINGS = (
    Setting("16-none", 16, 400, 0.0),
    Setting("16-slope", 16, 200, SLOPE),
    Setting("64-none", 64, 100, 0.0, compared=13),
    Setting("64-slope", 64, 100, SLOPE, compared=13),
    Setting("16-none-equations", 16, 50, 0.0, EQUATIONS, compared=0),
    Setting("16-slope-equations", 16, 50, SLOPE, EQUATIONS, compared=0),
    Setting("64-none-equations", 64, 50, 0.0, EQUATIONS, compared=0),
    Setting("64-slope-equations", 64, 50, SLOPE, EQUATIONS, compared=0),
)


def settings_in(folder: Path) -> tuple[Setting, ...]:
    """Give all settings with their rows in a folder."""
    return tuple(replace(s, folder=folder) for s in SETTINGS)


def simulate(
    minutes: float,
    names: Iterable[str] = (),
    repetitions: int | None = None,
    folder: Path = ROWS,
    cores: int = 1,
) -> None:
    """Go on with every setting, or those named, sharing the time between them [min].

    Without any time nothing is compiled: that writes the page from the rows there are.
    """
    if minutes <= 0:
        return
    chosen = [s for s in settings_in(folder) if not names or s.name in names]
    open_ones = [s for s in chosen if len(s.rows) < (repetitions or s.repetitions)]
    made: dict[tuple[int, str], Estimators] = {}
    for setting in open_ones:
        key = (setting.n, setting.model)
        if key not in made:
            made[key] = Estimators(*key, cores=cores)
        _go_on(setting, made[key], repetitions, minutes / len(open_ones))


def _go_on(setting: Setting, use: Estimators, repetitions: int | None, minutes: float) -> None:
    def row(rng: np.random.Generator, k: int) -> dict[str, float]:
        trial = draw_trial(rng, setting.n, setting.slope)
        return use.row(trial, setting.slope, k, joint_only=k >= setting.compared)

    # The same trials by either route: the seed knows the size and the slope only.
    seed = [SEED, setting.n, int(setting.slope != 0)]
    collect(row, setting.path, repetitions or setting.repetitions, seed, minutes)


def page(folder: Path = ROWS) -> str:
    """Write the page from the rows there are."""
    every = settings_in(folder)
    parts = ["# The joint model over repeated trials", "", _DESIGN]
    for n in (16, 64):
        settings = [s for s in every if s.n == n and s.model == CLOSED_FORM and len(s.rows)]
        if settings:
            parts += ["", f"## {n} patients", "", _table(settings)]
    known = [s for s in every if s.model == CLOSED_FORM and len(s.rows)]
    parts += ["", "## What was asked of it beforehand", "", *map(_verdict, known)]
    parts += ["", "## Another route to the same slopes", "", _routes(every), "", _footing(every)]
    return "\n".join(parts) + "\n"


_DESIGN = f"""\
Each trial draws patients with the curves of Stein et al. 2019 (doi 10.1002/psp4.12388): ln Cmax
with an SD of 1 between patients, and samples of qPCR on ten days (3 to 180) with an assay error of
0.5 on the log scale and an LLOQ of 50 copies/ug. Time to progression is exponential, with a median
of 77 days at the mean ln Cmax and a log hazard ratio of {SLOPE:g} (hazard ratio 0.50) or 0 per SD,
which is also per e-fold; censoring is uniform between days 120 and 900. Samples go on after
progression, so that what is seen here is the error of the exposure and not immortal time (that is
on [its own page](immortal-time.md)).

The kinetics are fitted by the same hierarchical model as any cohort's (the closed form
`stein_2019`), with NUTS, once with the outcome (joint) and once without. Cox regressions take the
true ln Cmax, the highest sample, the posterior mean of the fit without outcome, or a hundred of its
draws, pooled."""


def _table(settings: list[Setting]) -> str:
    lines = ["| estimator | " + " | ".join(f"{s.title}: {h}" for s in settings
                                           for h in _heads(s)) + " |"]  # fmt: skip
    lines.append("|---|" + "---:|" * sum(len(_heads(s)) for s in settings))
    for name, label in ESTIMATORS.items():
        cells = [cell for s in settings for cell in _cells(s, name)]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    counts = "; ".join(
        f"{s.title}: {len(s.rows)} trials of {s.repetitions} planned, "
        f"{s.rows['events'].mean():.1f} events, reliability {s.rows['reliability'].mean():.2f}"
        f"{_compared(s)}"
        for s in settings
    )
    return "\n".join([*lines, "", f"{counts}. Events and reliability are means."])


def _compared(setting: Setting) -> str:
    n = setting.rows["mean"].count()
    return "" if n == len(setting.rows) else f"; the first {n} by the other estimators too"


def _heads(setting: Setting) -> tuple[str, ...]:
    if setting.slope == 0:
        return ("finds something by chance", "intervals that cover")
    return ("mean (median)", "intervals that cover", "finds it")


def _cells(setting: Setting, name: str) -> list[str]:
    rows = setting.rows
    known = rows.dropna(subset=[name])
    low, high = known[f"{name}_low"], known[f"{name}_high"]
    outside = (low > 0) | (high < 0)
    # A joint model has no p-value: it finds something where its interval leaves out zero.
    found = outside if name == "joint" else known[f"{name}_p"] < 0.05
    covers = (low <= setting.slope) & (setting.slope <= high)
    if setting.slope == 0:
        return [_share(found), _share(covers)]
    middle = f"{known[name].mean():.2f} ({known[name].median():.2f})"
    return [middle, _share(covers), _share(found)]


def _share(found: pd.Series) -> str:
    low, high = clopper_pearson(int(found.sum()), len(found))
    return f"**{found.mean():.3f}** ({low:.3f} to {high:.3f})"


COVERS, REJECTS, CONSERVATIVE = 0.905, 0.075, 0.025  # at least, at most, and below which it is


def _verdict(setting: Setting) -> str:
    """Say whether coverage and level of the joint model are as asked, and how sure that is."""
    rows = setting.rows
    low, high = rows["joint_low"], rows["joint_high"]
    covers = (low <= setting.slope) & (setting.slope <= high)
    told = f"coverage {_share(covers)}, {_met(covers.mean() >= COVERS)} {COVERS:.1%} or more"
    if setting.slope == 0:
        outside = (low > 0) | (high < 0)
        told += (
            f"; type I error {_share(outside)}, {_met(outside.mean() <= REJECTS)} {REJECTS:.1%} "
        )
        told += "or less" + ": conservative" * bool(outside.mean() < CONSERVATIVE)
    return f"- {setting.title}, {len(rows)} trials: {told}."


def _met(is_met: bool) -> str:
    return "as asked," if is_met else "**not as asked,**"


def _routes(every: tuple[Setting, ...]) -> str:
    text = (
        f"The first of the same trials, fitted by the equations of `{EQUATIONS}`, which the solver "
        "integrates, instead of the closed form. That model is smooth where the closed form has a "
        "kink, so that the two need not agree to the last digit."
    )
    lines = ["| setting | trials | rejects, closed form | rejects, equations | both agree | "
             "mean difference of slopes | SD of the difference | posterior SD |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    by_name = {s.name: s for s in every}
    for setting in every:
        if setting.model == CLOSED_FORM or not len(setting.rows):
            continue
        other = by_name[setting.name.removesuffix("-equations")]
        both = setting.rows.merge(other.rows, on="k", suffixes=("", "_closed"))
        if both.empty:
            continue
        ours = (both["joint_low"] > 0) | (both["joint_high"] < 0)
        theirs = (both["joint_low_closed"] > 0) | (both["joint_high_closed"] < 0)
        difference = both["joint"] - both["joint_closed"]
        sd = (both["joint_high_closed"] - both["joint_low_closed"]).mean() / (2 * 1.96)
        spread = f"{difference.std():.3f}" if len(both) > 1 else ""
        lines.append(
            f"| {setting.title} | {len(both)} | {theirs.mean():.2f} | {ours.mean():.2f} | "
            f"{(ours == theirs).mean():.2f} | {difference.mean():+.3f} | {spread} | {sd:.2f} |"
        )
    if len(lines) == 2:
        return f"{text} No trial has been fitted by both routes yet."
    return "\n".join([text, "", *lines])


def _footing(every: tuple[Setting, ...]) -> str:
    known = [s.rows for s in every if len(s.rows)]
    rows = pd.concat(known)
    worst, diverged = rows["rhat"].max(), int(rows["divergences"].sum())
    return (
        f"{len(rows):,} fits with outcome in all; seed {SEED}; two chains of 500 draws after 300; "
        f"largest R-hat of a slope {worst:.2f} ({int((rows['rhat'] > 1.05).sum())} above 1.05, "
        f"none left out), {diverged} divergences in {len(rows) * 1000:,} "
        "draws. In brackets: exact 95 % intervals of the shares.\n\n"
        f"Made by `python -m tests.validation joint-model` with {versions()}. The command goes on "
        "from the rows beside this page, which a stop does not lose; `make calibrate` runs it to "
        "the end."
    )
