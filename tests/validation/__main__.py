"""Write the pages of docs/validation: ``python -m tests.validation [NAME ...]``.

Simulations go on from the counts that stand beside their page, until there are enough of them or
the time is up. The table of acceptance numbers is made anew every time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.validation import cut_points, immortal_time, joint_model
from tests.validation.page import footing, rates_table
from tests.validation.repetitions import FOLDER, count

SEED = 2026
_SIMULATIONS = {
    "immortal-time": (
        immortal_time,
        "Immortal time",
        """\
An exposure that is measured after the clock has started is cut short by an early event: whoever
progresses on day 10 has no peak of day 14, and nothing beyond day 28. In these trials the kinetics
and the day of progression have **nothing to do with each other**, so that an honest test at 5 %
finds something in 5 % of them. Sixteen or sixty-four patients, Stein curves in copies/ug with an
assay error of 0.5 on the log scale and an LLOQ of 50, samples on days 3 to 365 up to the event,
censoring uniform between days 300 and 1300. The tests are likelihood ratios of Cox regression
unless another is named.
""",
        """\
What it shows: with events from day 0, the exposures that `associate` refuses find something in half
of the trials or more. Peak and AUC0-28 are safe where no event can precede day 28; presence beyond
day 28 and the last detectable day never are: 42 % and 65 % of trials of sixteen patients. The
landmark and the exposure so far come close to 5 %; with sixteen patients and few events their
likelihood ratios reject a little more often (up to 7.3 % here). For detection on day 28 the
likelihood ratio rejects in 6 to 7 % of trials and the permuted log-rank test in 0.4 to 5 %: it is
safe, and with sixteen patients it can hardly find anything. Trials in which all patients, or none,
are detectable count as not rejected here, about four in ten of those with sixteen patients and no
event before day 28; among the others the likelihood ratio rejects in about 10 %, near the expected
rate, which seems to leave them out.
""",
        "with events before day 28",
    ),
    "cut-points": (
        cut_points,
        "Cut-points",
        """\
Exposure is standard normal on the log scale, time to progression is exponential (median 77 days at
the mean exposure), censoring is uniform between days 120 and 900. The optimal cut is searched among
the central 60 % of the patients.
""",
        """\
What it shows: a median split loses a third of the power of the exposure as it is; a searched cut
finds something in a quarter of the trials in which there is nothing, and once corrected it is no
better than the split.
""",
        "in carkinetics",
    ),
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Write the pages that were asked for, all by default."""
    names = ["acceptance", *_SIMULATIONS, "joint-model"]
    parser = argparse.ArgumentParser(prog="python -m tests.validation")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(names)}")
    parser.add_argument("--repetitions", type=int, default=2000, help="trials per setting")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each simulation")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="write the pages here instead")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="SETTING",
        help="of joint-model: this one only, so that several processes may share the work",
    )  # fmt: skip
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.names) - set(names)):
        parser.error(f"no page is called {', '.join(unknown)}; there are {', '.join(names)}")
    for name in asked.names or names:
        print(f"Writing {name}.", file=sys.stderr, flush=True)
        if name == "acceptance":
            from tests.validation.acceptance import page

            text = page()
        elif name == "joint-model":
            rows = asked.folder / "joint-model"
            joint_model.simulate(asked.minutes, asked.setting, folder=rows)
            text = joint_model.page(rows)
        else:
            text = simulation_page(name, asked.folder, asked.repetitions, asked.minutes)
        asked.folder.mkdir(parents=True, exist_ok=True)
        (asked.folder / f"{name}.md").write_text(text, encoding="utf-8")
    return 0


def simulation_page(name: str, folder: Path, repetitions: int, minutes: float) -> str:
    """Simulate as far as the time allows, and write the page."""
    module, title, design, reading, standing = _SIMULATIONS[name]
    path = folder / f"{name}.json"
    counts = count(module.SETTINGS, path, repetitions, SEED, minutes)
    published = {analysis: rates[: len(counts)] for analysis, rates in module.PUBLISHED.items()}
    table = rates_table(module.ANALYSES, counts, published, standing)
    made = footing(counts, SEED, f"python -m tests.validation {name}")
    return f"# {title}\n\n{design}\n{table}\n\n{made}\n\n{reading}"


if __name__ == "__main__":
    sys.exit(main())
