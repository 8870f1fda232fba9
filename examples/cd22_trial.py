"""Tables of a public CD22 CAR T-cell trial, in the form that `ck.read_cohort` takes.

The data belong to Lichtenstein et al. 2021, Blood 138:2469, doi:10.1182/blood.2021011898
(NCT02315612), and lie under GPL-3 in the repository ruppinlab/car22-hlh. They are not part of this
package: give the folder with `tidy_car_expansion.csv` and `tidy_clinical.csv`.

Zeros stay zeros here, because the trial states no limit of quantification: whoever reads the
tables has to state one.

    python examples/cd22_trial.py FOLDER

writes `cd22_fit.nc` and `cd22_report.html`, in about half an hour on two cores.

The settings differ from the defaults, each for a reason that the data show. Some patients hardly
expand, and a few counts lie far from any curve: heavy tails for patients and samples. No sample is
later than day 30, so that nothing is said of memory cells: all patients share their share and
half-life. Three samples a patient say nothing of correlations. Weekly samples leave the day of the
peak open, and what is open takes smaller steps and more draws.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import carkinetics as ck

# Just under the smallest positive count of the trial, 0.041 cells/uL.
LLOQ = {"flow": 0.04}

SETTINGS = {
    "patient_effects": "student_t",
    "residual": "student_t",
    "common": ["memory_fraction", "half_life_gain"],
    "correlated": False,
    "target_accept": 0.95,
    "draws": 8000,
    "tune": 2000,
}

# HLH-like toxicity of this trial is what was later named IEC-HS (Hines et al. 2023).
_PATIENT_COLUMNS = {
    "patient_id": "patient",
    "max_CRS_grade_Lee": "crs_grade",
    "CRS_onset_day": "crs_onset_day",
    "HLH": "iec_hs",
    "HLH_day": "iec_hs_day",
    "CR": "complete_response",
    "max_CRS_grade_ASBMT": "crs_grade_astct",
    "BM_blast_pct": "marrow_blasts_pct",
}


def trial_tables(folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read levels and patients of the trial.

    Parameters
    ----------
    folder : str or Path
        Where the two tables lie.

    Returns
    -------
    levels : DataFrame
        CAR+ T cells by flow [cells/uL], one row per sample with an absolute count. Day is the
        day after infusion of the sample, not its planned window.
    patients : DataFrame
        One row per patient. ``crs_grade`` is the grade after Lee, ``crs_grade_astct`` that of the
        later consensus: they differ in 14 patients.
    """
    folder = Path(folder)
    samples = pd.read_csv(folder / "tidy_car_expansion.csv")
    counted = samples.dropna(subset=["CAR_abs_cells_per_uL"])
    levels = pd.DataFrame(
        {
            "patient": counted["patient_id"].astype(str),
            "day": counted["day"],
            "assay": "flow",
            "cell_type": "total",
            "level": counted["CAR_abs_cells_per_uL"],
            "unit": "cells/uL",
        }
    )
    clinical = pd.read_csv(folder / "tidy_clinical.csv", na_values=["-", "---"])
    patients = clinical.rename(columns=_PATIENT_COLUMNS)
    patients["patient"] = patients["patient"].astype(str)
    return levels.reset_index(drop=True), patients


def main(folder: str | Path, output: str | Path = ".", **settings: object) -> Path:
    """Fit the total CAR+ cells of the trial and write its report.

    Parameters
    ----------
    folder : str or Path
        Where the two tables lie.
    output : str or Path
        Folder of the fit and the report.
    **settings
        For `carkinetics.fit`.

    Returns
    -------
    Path
        The report.
    """
    levels, patients = trial_tables(folder)
    cohort = ck.read_cohort(levels, patients, lloq=LLOQ, name="cd22_nci_2021")
    print(cohort)
    fit = ck.fit(ck.load_model("cd4_cd8_expansion"), cohort, seed=1, **(SETTINGS | settings))
    check = fit.check()
    print(check)
    fit.save(Path(output) / "cd22_fit.nc")
    return ck.write_report(fit, Path(output) / "cd22_report.html", allow_failed=not check.passed)


if __name__ == "__main__":
    print(main(sys.argv[1]))
