"""Reading and checking a table of levels, against reading the same file without any check.

The trial is larger than any (12,500 patients, 80 samples each), so that what grows with the
number of rows shows. The time is that of the call, without imports; the memory is the peak of the
whole process. The peer, `pandas.read_csv`, is a lower bound: it converts columns and checks
nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.result import Result, seconds_and_megabytes

DAYS = [0, 1, 2, 3, 5, 7, 9, 11, 14, 17, 21, 25, 28, 42, 60, 90, 120, 180, 270, 365]


def measure(small: bool) -> list[Result]:
    rows = 4_000 if small else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "levels.csv"
        write_levels(path, rows)
        seconds, megabytes = seconds_and_megabytes(
            "import carkinetics as ck", f"assert ck.read_cohort({str(path)!r}).levels.shape[0]"
        )
        peer_seconds, peer_megabytes = seconds_and_megabytes(
            "import pandas", f"assert pandas.read_csv({str(path)!r}).shape[0]"
        )
    peer = "pandas.read_csv"
    what = f"read_cohort, {rows:,} rows"
    return [
        Result(f"{what} [s]", seconds, peer_seconds, peer, target=30.0),
        Result(f"{what}, peak memory [MB]", megabytes, peer_megabytes, peer, target=2_000.0),
    ]


def write_levels(path: Path, rows: int) -> None:
    """Write flow (CD4, CD8, total) and qPCR levels of as many patients as the rows allow."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(1)
    draws = rows // 4
    patients = [f"P{i // len(DAYS):06}" for i in range(draws)]
    days = [DAYS[i % len(DAYS)] for i in range(draws)]
    cd4, cd8, copies = np.exp(rng.normal([[2.0], [3.0], [7.0]], 2.0, (3, draws))).round(4)
    total = (cd4 + cd8).round(4)
    tables = []
    for assay, cell_type, unit, level, lloq in (
        ("flow", "CD4", "cells/uL", cd4, None),
        ("flow", "CD8", "cells/uL", cd8, None),
        ("flow", "total", "cells/uL", total, 0.5),
        ("qpcr", "total", "copies/ug", copies, 50.0),
    ):
        below = level < (lloq or 0.0)
        columns = {"patient": patients, "day": days, "assay": assay, "cell_type": cell_type}
        columns |= {"level": np.where(below, np.nan, level), "unit": unit}
        tables.append(pd.DataFrame(columns | {"lloq": lloq, "below_lloq": below}))
    pd.concat(tables).sort_index(kind="stable").to_csv(path, index=False)
