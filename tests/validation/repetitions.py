"""Counts of rejections over many simulated trials: kept in a file, gone on with after a stop."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[2] / "docs" / "validation"
LEVEL = 0.05
_BLOCK = 20  # trials between two writes

# Draws one trial and gives the p-value of every analysis; 1 where an analysis cannot be made.
Trial = Callable[[np.random.Generator], dict[str, float]]


@dataclass(frozen=True)
class Counts:
    """How often each analysis of one setting was below 5 %.

    Parameters
    ----------
    repetitions : int
        Simulated trials.
    rejected : dict
        Analysis to its number of p-values below 0.05.
    """

    repetitions: int
    rejected: dict[str, int]


def count(
    settings: dict[str, Trial], path: Path, repetitions: int, seed: int, minutes: float
) -> dict[str, Counts]:
    """Simulate trials of every setting until there are enough, or the time is up.

    Parameters
    ----------
    settings : dict
        Name to a function that draws and analyzes one trial.
    path : Path
        Counts so far; trials in it are not repeated. Another seed starts over.
    repetitions : int
        Trials wanted per setting.
    seed : int
        Trial k of a setting has a random state of its own, made of the seed, the setting's place
        and k, so that a stop changes no number.
    minutes : float
        Time after which no new block starts, for all settings together [min].

    Returns
    -------
    dict
        Name to `Counts`.
    """
    known = _read(path, seed)
    end = time.monotonic() + 60.0 * minutes
    unfinished = True
    while unfinished and time.monotonic() < end:
        unfinished = False
        for place, (name, trial) in enumerate(settings.items()):
            before = known.get(name, Counts(0, {}))
            last = min(before.repetitions + _BLOCK, repetitions)
            if before.repetitions >= last or time.monotonic() >= end:
                continue
            unfinished = True
            rejected = dict(before.rejected)
            for k in range(before.repetitions, last):
                for analysis, p in trial(np.random.default_rng([seed, place, k])).items():
                    rejected[analysis] = rejected.get(analysis, 0) + (p < LEVEL)
            known[name] = Counts(last, rejected)
            _write(path, seed, known)
    return {name: known[name] for name in settings if name in known}


def _read(path: Path, seed: int) -> dict[str, Counts]:
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["seed"] != seed:
        return {}
    return {name: Counts(**counts) for name, counts in found["settings"].items()}


def _write(path: Path, seed: int, known: dict[str, Counts]) -> None:
    settings = {
        name: {
            "repetitions": counts.repetitions,
            "rejected": {key: int(number) for key, number in counts.rejected.items()},
        }
        for name, counts in known.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    text = json.dumps({"seed": seed, "settings": settings}, indent=1) + "\n"
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
