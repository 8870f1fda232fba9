"""Rows of numbers over many simulated trials: kept in files, gone on with after a stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

# Estimates one trial, drawn with the given random state.
Row = Callable[[np.random.Generator, int], dict[str, float]]


def collect(
    row: Row, path: Path, repetitions: int, seed: list[int], minutes: float
) -> pd.DataFrame:
    """Simulate trials until there are enough rows, or the time is up.

    Parameters
    ----------
    row : callable
        Gets a random state and the number of the trial, and returns its numbers.
    path : Path
        A CSV file with the rows so far, which are not made again.
    repetitions : int
        Rows wanted.
    seed : list of int
        Trial k has a random state of its own, made of the seed and k, so that a stop changes no
        number.
    minutes : float
        Time after which no new trial starts [min].

    Returns
    -------
    DataFrame
        One row per trial, with its number ``k``.
    """
    known = pd.read_csv(path) if path.exists() else pd.DataFrame({"k": []})
    end = time.monotonic() + 60.0 * minutes
    while len(known) < repetitions and time.monotonic() < end:
        k = len(known)
        made = {"k": k} | row(np.random.default_rng([*seed, k]), k)
        known = pd.DataFrame([made]) if known.empty else pd.concat([known, pd.DataFrame([made])])
        _write(known, path)
    return known


def _write(rows: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    rows.to_csv(beside, index=False, float_format="%.4g")
    os.replace(beside, path)
