"""Published numbers as weakly informative priors of a new fit.

A published typical value is treated as if it came from a trial of 16 patients: its standard error
is then a quarter of the between-patient SD. The SD of the new prior is that times ``widen``. The
published between-patient SD becomes the scale of a half-normal, whose root mean square it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from carkinetics.priors import Prior

# Square root of the number of patients that a published typical value stands for.
ROOT_OF_PATIENTS = 4.0
_KEY = "published_priors"
_LINE = re.compile(rf"\A{_KEY} = [^\n]*\n")
STANDINGS = ("published", "computed")


def text_with_published_priors(text: str, widen: float) -> str:
    """Return the text of a model file that asks for published priors.

    A key before the first table is read as one of the whole file, whatever follows.
    """
    return f"{_KEY} = {widen!r}\n{_LINE.sub('', text)}"


def published_priors(
    priors: Mapping[str, Prior],
    omegas: Mapping[str, Prior],
    values: Mapping[str, float],
    omega_value: float | None,
    widen: float,
) -> tuple[dict[str, Prior], dict[str, Prior]]:
    """Center the priors of one parameter on what was published of it.

    Parameters
    ----------
    priors, omegas : mapping of str to Prior
        As in the file, by latent unit.
    values : mapping of str to float
        Published typical values, by latent unit; other units keep their priors.
    omega_value : float or None
        Published between-patient SD, transformed scale.
    widen : float
        Factor of the prior's SD.

    Returns
    -------
    priors, omegas : dict of str to Prior
        Without a between-patient SD in the paper that of the file's prior stands for it; where
        the parameter does not vary, the file's spread stays.
    """
    located, spread = dict(priors), dict(omegas)
    for unit, value in values.items():
        prior, key = priors.get(unit), unit if unit in omegas else ""
        if prior is None or not _fits(prior, value):
            continue
        omega = omegas.get(key)
        between = omega_value or (omega.spread if omega else None)
        sd = prior.spread if between is None else widen * between / ROOT_OF_PATIENTS
        located[unit] = _at(prior, value, sd)
        if omega_value is not None and omega is not None:
            spread[key] = Prior("halfnormal", (omega_value,))
    return located, spread


def _fits(prior: Prior, value: float) -> bool:
    if prior.family == "logitnormal":
        return 0 < value < 1
    return prior.family == "normal" or (prior.family == "lognormal" and value > 0)


def _at(prior: Prior, value: float, sd: float) -> Prior:
    if prior.family == "lognormal":
        return Prior("lognormal", (value, math.exp(sd)))
    return Prior(prior.family, (value, sd))
