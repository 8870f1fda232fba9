"""The whole story in one script: two tables, a fit, exposures, associations, a report.

Run it with your own tables, or without arguments on the built-in synthetic cohort:

    python examples/demo_trial.py levels.csv patients.csv
"""

from __future__ import annotations

import sys
from pathlib import Path

import carkinetics as ck


def main(tables: list[str], folder: Path = Path("."), **settings: object) -> Path:
    """Fit, summarize, relate, draw and report; return the path of the report."""
    cohort = ck.read_cohort(tables[0], patients=tables[1]) if tables else ck.synthetic_cohort()
    print(cohort)
    model = ck.load_model("cd4_cd8_expansion")
    fit = ck.fit(model, cohort, seed=2026, **settings)
    check = fit.check()
    print(check)

    exposure = ck.summarize(
        fit, ["cmax", "tmax", "auc_0_28", "persistence"], allow_failed=not check.passed
    )
    print(exposure.table(by="cell_type").head(8).to_string())
    # The peak counts as known on day 28: patients with an event before are left out.
    print(ck.associate(exposure, exposure="cmax", outcome="ttp", landmark=28))
    print(ck.associate(exposure, exposure="cmax", outcome="crs_grade"))

    ck.plot_levels(fit, patients=fit.patients[:2]).save(folder / "levels.png")
    fit.save(folder / "trial.nc")
    return ck.write_report(fit, folder / "report.html", allow_failed=not check.passed)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
