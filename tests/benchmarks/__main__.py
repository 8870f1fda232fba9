"""Run the benchmarks: ``python -m tests.benchmarks [--small] [NAME ...]``.

Prints one table, and writes the figures into ``results.json`` beside this file; with names, only
those benchmarks are run and the other rows of the file stay. The small mode shows that they still
run; its figures mean nothing and are not written.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from tests.benchmarks.result import Result

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
NAMES = [
    "import_time", "batches", "compiling", "exposures", "fits", "read_levels", "solver_gradient",
    "ode_gradient", "scaling", "peak_share",
]  # fmt: skip
HEADINGS = ("name", "ours", "peer", "ratio", "target", "met", "peer is")


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; return the exit code, which says nothing about the targets."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Measure speed and memory."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--small", action="store_true", help="only show that they run, in seconds")
    parser.add_argument("--json", type=Path, help="write the figures here instead")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.names) - set(NAMES)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    results: list[Result] = []
    for name in asked.names or NAMES:
        print(f"Measuring {name}.", file=sys.stderr, flush=True)
        results += importlib.import_module(f"tests.benchmarks.{name}").measure(asked.small)
    print(table(results))
    path = asked.json or (None if asked.small else RESULTS)
    if path is not None:
        write(path, results)
    return 0


def table(results: list[Result]) -> str:
    """Write the results as a text table; lower figures are better."""
    rows = [HEADINGS]
    for result in results:
        record = result.record()
        numbers = [f"{record[key]:g}" for key in ("ours", "peer", "ratio")]
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
