"""The estimators of a slope side by side over simulated trials, and the page that tells of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from tests.validation.kinetic_trials import CLOSED_FORM, EQUATIONS, Estimators, draw_trial
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
    """

    name: str
    n: int
    repetitions: int
    slope: float
    model: str = CLOSED_FORM

    @property
    def path(self) -> Path:
        """File of its rows."""
        return ROWS / f"{self.name}.csv"

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
    Setting("64-none", 64, 100, 0.0),
    Setting("64-slope", 64, 100, SLOPE),
    Setting("16-none-equations", 16, 50, 0.0, EQUATIONS),
    Setting("16-slope-equations", 16, 50, SLOPE, EQUATIONS),
)


def simulate(minutes: float, names: Iterable[str] = (), repetitions: int | None = None) -> None:
    """Go on with every setting, or those named, sharing the time between them [min]."""
    chosen = [s for s in SETTINGS if not names or s.name in names]
    open_ones = [s for s in chosen if len(s.rows) < (repetitions or s.repetitions)]
    made: dict[tuple[int, str], Estimators] = {}
    for setting in open_ones:
        key = (setting.n, setting.model)
        made.setdefault(key, Estimators(*key))
        _go_on(setting, made[key], repetitions, minutes / len(open_ones))


def _go_on(setting: Setting, use: Estimators, repetitions: int | None, minutes: float) -> None:
    def row(rng: np.random.Generator, k: int) -> dict[str, float]:
        trial = draw_trial(rng, setting.n, setting.slope)
        return use.row(trial, setting.slope, k, joint_only=setting.model == EQUATIONS)

    # The same trials by either route: the seed knows the size and the slope only.
    seed = [SEED, setting.n, int(setting.slope != 0)]
    collect(row, setting.path, repetitions or setting.repetitions, seed, minutes)
