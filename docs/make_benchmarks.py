"""Write the table of `benchmarks.md` from the figures that `make bench` left.

From the folder of the project: python docs/make_benchmarks.py
"""

import json
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("benchmarks.md")
RESULTS = Path(__file__).parent.parent / "tests" / "benchmarks" / "results.json"
_MARK = "<!-- figures: written by make_benchmarks.py -->\n"


def table(rows: list[dict[str, Any]]) -> str:
    """Give one row per figure."""
    lines = ["| what | ours | peer | ratio | peer is | target met |", "|---|---|---|---|---|---|"]
    for row in rows:
        met = "yes" if row["met"] else "**no**"
        target = "no target" if row["target"] is None else f"{met} ({row['target']:g})"
        reason = f"; {row['reason']}" if row.get("reason") else ""
        ours, peer, ratio = (_number(row[key]) for key in ("ours", "peer", "ratio"))
        lines.append(
            f"| {row['name']} | {ours} | {peer} | {ratio} | {row['peer_name']} | {target}{reason} |"
        )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def filled(page: str) -> str:
    """Put the table between its mark and the next empty line after it."""
    before, after = page.split(_MARK, 1)
    rest = after.split("\n\n", 1)[1]
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))
    return f"{before}{_MARK}{table(rows)}\n\n{rest}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
