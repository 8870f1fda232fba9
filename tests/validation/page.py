"""Pages of the documentation with the rates of simulated trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from carkinetics.outcomes import clopper_pearson
from tests.validation.repetitions import Counts

_PACKAGES = ("carkinetics", "numpy", "scipy", "statsmodels")


def rates_table(
    analyses: Mapping[str, str],
    counts: Mapping[str, Counts],
    published: Mapping[str, Sequence[float | None]],
    standing: str,
) -> str:
    """Write one table: rows are analyses, columns are settings.

    Parameters
    ----------
    analyses : mapping
        Analysis to what carkinetics does with it.
    counts : mapping
        Setting to `Counts`.
    published : mapping
        Analysis to one expected rate per setting, as far as there are.
    standing : str
        Head of the column that says what carkinetics does.
    """
    heads = ["analysis", *counts, standing]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * len(counts)}---|"]
    for analysis, word in analyses.items():
        expected = published.get(analysis, (None,) * len(counts))
        cells = [
            _cell(found.rejected[analysis], found.repetitions, rate)
            for found, rate in zip(counts.values(), expected, strict=True)
        ]
        lines.append(f"| {analysis} | {' | '.join(cells)} | {word} |")
    return "\n".join(lines)


def _cell(rejected: int, repetitions: int, expected: float | None) -> str:
    low, high = clopper_pearson(rejected, repetitions)
    cell = f"**{rejected / repetitions:.3f}** ({low:.3f} to {high:.3f})"
    return cell if expected is None else f"{cell} [{expected:.3g}]"


def versions() -> str:
    """Name the packages that numbers depend on, with their versions."""
    return ", ".join(f"{name} {version(name)}" for name in _PACKAGES)


def footing(counts: Mapping[str, Counts], seed: int, command: str) -> str:
    """Say how the numbers came about: repetitions, seed, versions, and how to make them again."""
    numbers = sorted({found.repetitions for found in counts.values()})
    trials = " or ".join(f"{number:,}" for number in numbers)
    return (
        f"{trials} simulated trials per column, seed {seed}. In each cell: share of trials with "
        "p < 0.05, its exact 95 % interval, and in square brackets the rate expected from an "
        "earlier simulation of the same design by other code (600 trials or more).\n\n"
        f"Made by `{command}` with {versions()}. The command goes on from the counts beside this "
        "page, which a stop does not lose."
    )
