"""Peak and outcome in a public CD22 CAR T-cell trial, by every estimator.

The tables are those of `cd22_trial.py`, which says where they come from and makes the fit of the
kinetics. This script relates the peak to CRS grade, HLH-like toxicity and complete response: by the
joint model, by classical methods on the posterior mean and on the observed value, and propagated.

    python examples/cd22_trial.py FOLDER
    python examples/cd22_associations.py cd22_fit.nc

It writes `cd22_joint.nc` and `cd22_trial.html`, in about an hour on two cores.

CRS began before the observed peak in 47 of 48 patients: what is found is an association and cannot
be exposure first, grade second. Tocilizumab was given because of toxicity and is no adjuster of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import carkinetics as ck

OUTCOMES = ("crs_grade", "iec_hs", "complete_response")
# As for the fit of the kinetics, where weekly samples leave the day of the peak open.
SETTINGS = {"draws": 8000, "tune": 2000, "target_accept": 0.95}


def associations(source: ck.JointFit | ck.Fit | ck.Cohort) -> dict[str, ck.Association]:
    """Relate the peak to every outcome; a joint fit gives all estimators, a cohort the observed.

    Parameters
    ----------
    source : JointFit, Fit or Cohort
        Of the trial.

    Returns
    -------
    dict of str to Association
        By the name of the outcome.
    """
    exposure = None if isinstance(source, ck.JointFit) else "cmax"
    return {name: ck.associate(source, exposure, name) for name in OUTCOMES}


def main(fit: str | Path, output: str | Path = ".", **settings: object) -> Path:
    """Fit the joint model of a saved fit of the trial, and write the page of the trial.

    Parameters
    ----------
    fit : str or Path
        A fit of the kinetics, from `cd22_trial.py`.
    output : str or Path
        Folder of the joint fit and the page.
    **settings
        For `carkinetics.fit_joint`.

    Returns
    -------
    Path
        The page.
    """
    alone = ck.load_fit(fit)
    joint = ck.fit_joint(
        alone.kinetic_model, alone.cohort, "cmax", OUTCOMES, seed=1, fit=alone,
        **(SETTINGS | settings),
    )  # fmt: skip
    check = joint.check()
    print(check)
    joint.save(Path(output) / "cd22_joint.nc")
    passed = check.passed and alone.check().passed
    # A fit that fails its checks gives no numbers to print; the page below says so in red.
    for found in associations(joint).values() if passed else ():
        print(found, end="\n\n")
    return ck.trial_report(
        alone.cohort, alone, Path(output) / "cd22_trial.html", joint=joint, exposures=["cmax"],
        outcomes=OUTCOMES, allow_failed=not passed,
    )  # fmt: skip


if __name__ == "__main__":
    print(main(sys.argv[1]))
