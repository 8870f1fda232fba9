"""The cohort that ships with the package: invented patients, never to be taken for real ones."""

from __future__ import annotations

from importlib.resources import as_file, files

from carkinetics.cohort.cohort import Cohort
from carkinetics.cohort.reader import read_cohort


def synthetic_cohort() -> Cohort:
    """Read the built-in cohort `virtual_cd22`: SYNTHETIC, not patient data.

    Sixteen invented patients whose aggregates match, as far as possible, those of a published
    trial of CD22 CAR T cells (doi:10.1038/s41375-024-02220-y). Flow and qPCR of 151 blood draws;
    CD4 and CD8 are the split of the flow total, whose LLOQ is 0.5 cells/uL.

    Returns
    -------
    Cohort
        With `synthetic` true: every plot and report made from it says so.
    """
    with as_file(files("carkinetics.cohort") / "_data" / "virtual_cd22") as folder:
        return read_cohort(
            folder / "levels.csv", patients=folder / "patients.csv", name="virtual_cd22"
        )
