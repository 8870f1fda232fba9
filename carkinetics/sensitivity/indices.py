"""Sensitivity indices of any function: Sobol, Morris, and those of draws that are given."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault

type Function = Callable[[np.ndarray], np.ndarray]

_BINS = 30
_LEAST = 0.5  # share of runs that must not have failed
_MOST_INPUTS = 12


def sobol(
    function: Function, n_inputs: int, outputs: tuple[str, ...], n: int = 4096, seed: int = 0
) -> pd.DataFrame:
    """Share the variance of outputs among independent inputs.

    Parameters
    ----------
    function : callable
        From points of the unit cube, shape (run, input), to outputs, shape (run, output); NaN
        where a run failed.
    n_inputs : int
        Number of inputs.
    outputs : tuple of str
        Names of the outputs.
    n : int
        Base points, a power of two; ``n * (n_inputs + 2)`` runs are made.
    seed : int
        Of the scrambled sequence.

    Returns
    -------
    DataFrame
        One row per output and input: ``output``, ``input`` (its position), ``first``,
        ``first_error``, ``total``, ``total_error`` (half of a 95 % interval), ``runs``,
        ``failed``. A base point with a failed run is left out whole, and counted.

    References
    ----------
    Saltelli et al. 2010, doi 10.1016/j.cpc.2009.09.018; the errors by the bootstrap of SALib.
    """
    _require_salib()
    from SALib.analyze import sobol as analyze
    from SALib.sample import sobol as sample

    problem = _problem(n_inputs)
    points = sample.sample(problem, n, calc_second_order=False, seed=seed)
    values = _run(function, points, len(outputs))
    block = n_inputs + 2
    rows = []
    for k, name in enumerate(outputs):
        column = values[:, k].reshape(-1, block)
        good = np.isfinite(column).all(axis=1)
        _check_failed(name, good)
        found = analyze.analyze(
            problem,
            column[good].ravel(),
            calc_second_order=False,
            seed=seed,
            print_to_console=False,
        )
        failed = int((~np.isfinite(values[:, k])).sum())
        rows += [
            (name, j, found["S1"][j], found["S1_conf"][j], found["ST"][j], found["ST_conf"][j],
             len(points), failed)
            for j in range(n_inputs)
        ]  # fmt: skip
    columns = ["output", "input", "first", "first_error", "total", "total_error", "runs", "failed"]
    return pd.DataFrame(rows, columns=columns)


def morris(
    function: Function, n_inputs: int, outputs: tuple[str, ...], n: int = 40, seed: int = 0
) -> pd.DataFrame:
    """Screen inputs by elementary effects.

    Parameters
    ----------
    function, n_inputs, outputs, seed
        As for `sobol`.
    n : int
        Trajectories; ``n * (n_inputs + 1)`` runs are made.

    Returns
    -------
    DataFrame
        One row per output and input: ``output``, ``input``, ``mu``, ``mu_star`` (mean and mean
        absolute effect of an input over its whole range), ``sigma`` (their SD: interactions and
        curvature), ``runs``, ``failed``. A trajectory with a failed run is left out whole.

    References
    ----------
    Morris 1991, doi 10.1080/00401706.1991.10484804; Campolongo et al. 2007,
    doi 10.1016/j.envsoft.2006.10.004.
    """
    _require_salib()
    from SALib.analyze import morris as analyze
    from SALib.sample import morris as sample

    problem = _problem(n_inputs)
    points = sample.sample(problem, n, num_levels=4, seed=seed)
    values = _run(function, points, len(outputs))
    length = n_inputs + 1
    rows = []
    for k, name in enumerate(outputs):
        column = values[:, k].reshape(-1, length)
        good = np.isfinite(column).all(axis=1)
        _check_failed(name, good)
        kept = np.repeat(good, length)
        found = analyze.analyze(
            problem, points[kept], column[good].ravel(), num_levels=4, seed=seed,
            print_to_console=False,
        )  # fmt: skip
        failed = int((~np.isfinite(values[:, k])).sum())
        rows += [
            (name, j, found["mu"][j], found["mu_star"][j], found["sigma"][j], len(points), failed)
            for j in range(n_inputs)
        ]
    columns = ["output", "input", "mu", "mu_star", "sigma", "runs", "failed"]
    return pd.DataFrame(rows, columns=columns)


def given_data(inputs: np.ndarray, outputs: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    """Take first-order shares of variance from draws that are given, correlated or not.

    Parameters
    ----------
    inputs : array, shape (draw, input)
        Such as posterior draws of parameters.
    outputs : array, shape (draw, output)
        NaN where a run failed.
    names : tuple of str
        Of the outputs.

    Returns
    -------
    DataFrame
        ``output``, ``input``, ``first`` (share of the variance that would go if the input were
        known, what it shares with others included), ``runs``, ``failed``.

    Notes
    -----
    Variance of the means in bins of equal size, less what the means would vary by chance.
    Of correlated inputs the shares need not sum to one; see `shapley`.
    """
    rows = []
    for k, name in enumerate(names):
        good = np.isfinite(outputs[:, k])
        _check_failed(name, good)
        y, x = outputs[good, k], inputs[good]
        for j in range(x.shape[1]):
            rows.append((name, j, _binned(x[:, j], y), len(good), int((~good).sum())))
    return pd.DataFrame(rows, columns=["output", "input", "first", "runs", "failed"])


def shapley(inputs: np.ndarray, outputs: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    """Share the variance of outputs among inputs that may be correlated, fairly.

    Parameters
    ----------
    inputs : array, shape (draw, input)
        Such as posterior draws of parameters; at most 12.
    outputs : array, shape (draw, output)
        NaN where a run failed.
    names : tuple of str
        Of the outputs.

    Returns
    -------
    DataFrame
        ``output``, ``input``, ``shapley`` (share of the variance), ``explained`` (their sum: the
        share that a quadratic function of the inputs explains), ``runs``, ``failed``.

    Notes
    -----
    Shapley effects with the variance explained by least squares on the inputs and their squares
    as the worth of a set of inputs. What interactions and stronger curvature add is in none of
    them; ``explained`` says how much that is.

    References
    ----------
    Owen 2014, doi 10.1137/130936233; Lindeman, Merenda and Gold 1980.
    """
    n_inputs = inputs.shape[1]
    if n_inputs > _MOST_INPUTS:
        what = f"are {n_inputs}; Shapley effects need a regression for every set of them"
        raise DataError(Fault("inputs", what, f"Choose at most {_MOST_INPUTS}."))
    rows = []
    for k, name in enumerate(names):
        good = np.isfinite(outputs[:, k])
        _check_failed(name, good)
        worth = _explained(inputs[good], outputs[good, k])
        whole = worth[frozenset(range(n_inputs))]
        for j in range(n_inputs):
            value = _shapley_of(j, n_inputs, worth)
            rows.append((name, j, value, whole, len(good), int((~good).sum())))
    columns = ["output", "input", "shapley", "explained", "runs", "failed"]
    return pd.DataFrame(rows, columns=columns)


def _run(function: Function, points: np.ndarray, n_outputs: int) -> np.ndarray:
    values = np.asarray(function(points), dtype=float).reshape(len(points), n_outputs)
    return np.where(np.isfinite(values), values, np.nan)


def _binned(x: np.ndarray, y: np.ndarray) -> float:
    bins = min(_BINS, max(2, y.size // 20))
    parts = np.array_split(y[np.argsort(x, kind="stable")], bins)
    within = float(np.mean([part.var(ddof=1) for part in parts]))
    between = float(np.var([part.mean() for part in parts], ddof=1))
    chance = within * float(np.mean([1.0 / part.size for part in parts]))
    total = float(y.var(ddof=1))
    return max(0.0, (between - chance) / total) if total > 0 else 0.0


def _explained(x: np.ndarray, y: np.ndarray) -> dict[frozenset[int], float]:
    """Give the share of variance that each set of inputs explains."""
    z = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    columns = np.column_stack([z, z**2 - 1.0])
    columns -= columns.mean(axis=0)
    centered = y - y.mean()
    total = float(centered @ centered)
    gram, moments = columns.T @ columns, columns.T @ centered
    n = x.shape[1]
    found: dict[frozenset[int], float] = {frozenset(): 0.0}
    for size in range(1, n + 1):
        for chosen in itertools.combinations(range(n), size):
            at = [*chosen, *(j + n for j in chosen)]
            part = np.linalg.lstsq(gram[np.ix_(at, at)], moments[at], rcond=1e-10)[0]
            found[frozenset(chosen)] = float(part @ moments[at]) / total if total > 0 else 0.0
    return found


def _shapley_of(j: int, n: int, worth: dict[frozenset[int], float]) -> float:
    others = [k for k in range(n) if k != j]
    value = 0.0
    for size in range(n):
        weight = 1.0 / (n * math.comb(n - 1, size))
        for chosen in itertools.combinations(others, size):
            without = frozenset(chosen)
            value += weight * (worth[without | {j}] - worth[without])
    return value


def _check_failed(name: str, good: np.ndarray) -> None:
    if good.mean() < _LEAST:
        what = f"{1 - good.mean():.0%} of the runs failed or have no value"
        raise DataError(Fault(name, what, "Narrow the inputs, or choose another quantity."))


def _problem(n_inputs: int) -> dict[str, object]:
    names = [f"x{j}" for j in range(n_inputs)]
    return {"num_vars": n_inputs, "names": names, "bounds": [[0.0, 1.0]] * n_inputs}


def _require_salib() -> None:
    try:
        import SALib  # noqa: F401
    except ImportError as error:
        raise DataError(
            Fault("SALib", "is not installed", "pip install 'carkinetics[sensitivity]'")
        ) from error
