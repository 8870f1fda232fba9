"""Run the benchmarks: ``python -m tests.benchmarks [--small] [--only NAME ...]``.

Prints one table, and writes the figures into ``results.json`` beside this file; with names, only
those benchmarks are run and the other rows of the file stay. The small mode shows that they still
run; its figures mean nothing and are not written. Each benchmark writes its rows when it ends: a
run that is stopped keeps what it has. A peer that is not installed is named in its row.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from tests.benchmarks.result import Result

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
NAMES = [
    "import_time", "batches", "compiling", "exposures", "fits", "read_levels", "solver_gradient",
    "method_order", "ode_gradient", "ode_against_stan", "scaling", "peak_share", "whole_fit",
    "many_patients", "sparse_visits",
]  # fmt: skip
HEADINGS = ("name", "ours", "peer", "ratio", "target", "met", "peer is")


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; return the exit code, which says nothing about the targets."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Measure speed and memory."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="the same")
    parser.add_argument("--small", action="store_true", help="only show that they run, in seconds")
    parser.add_argument("--json", type=Path, help="write the figures here instead")
    asked = parser.parse_args(arguments)
    chosen = [*asked.names, *asked.only]
    if unknown := sorted(set(chosen) - set(NAMES)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    results: list[Result] = []
    path = asked.json or (None if asked.small else RESULTS)
    for name in chosen or NAMES:
        print(f"Measuring {name}.", file=sys.stderr, flush=True)
        started = time.perf_counter()
        found = importlib.import_module(f"tests.benchmarks.{name}").measure(asked.small)
        print(f"{name} took {time.perf_counter() - started:.0f} s.", file=sys.stderr, flush=True)
        results += found
        if path is not None:
            write(path, found)
    print(table(results))
    return 0


def table(results: list[Result]) -> str:
    """Write the results as a text table; lower figures are better."""
    rows = [HEADINGS]
    for result in results:
        record = result.record()
        found = [record[key] for key in ("ours", "peer", "ratio")]
        numbers = ["-" if value is None else f"{value:g}" for value in found]
        met = "yes" if result.met else "NO"
        of = "ratio " if result.of == "ratio" else ""
        target = "-" if result.target is None else f"{of}< {result.target:g}"
        rows.append((result.name, *numbers, target, met, result.peer_name))
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i in (0, len(row) - 1) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def write(path: Path, results: list[Result]) -> None:
    """Write the rows, in the place of older ones of the same name."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    rows = {row["name"]: row for row in known} | {r.name: r.record() for r in results}
    path.write_text(json.dumps(list(rows.values()), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
