"""What the parameters of a global sensitivity analysis vary over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from carkinetics.errors import DataError, Fault
from carkinetics.model import Model
from carkinetics.priors import Prior

PRIOR, POPULATION = "prior", "population"
_EDGE = 1e-9  # of a probability, so that a normal quantile stays finite


@dataclass(frozen=True)
class Inputs:
    """Independent inputs.

    Parameters
    ----------
    names : tuple of str
        Of the inputs that vary.
    priors : tuple of Prior
        Their distributions.
    """

    names: tuple[str, ...]
    priors: tuple[Prior, ...]

    def natural(self, unit: np.ndarray) -> np.ndarray:
        """Take points of the unit cube to values on the natural scale.

        Parameters
        ----------
        unit : array, shape (run, input)
            From 0 to 1.

        Returns
        -------
        array, shape (run, input)
        """
        unit = np.clip(unit, _EDGE, 1.0 - _EDGE)
        return np.column_stack([_quantile(p, unit[:, k]) for k, p in enumerate(self.priors)])


def inputs_of(model: Model, over: str | Mapping[str, str], unit: str | None = None) -> Inputs:
    """Choose what the parameters of a model vary over.

    Parameters
    ----------
    model : Model
        The model.
    over : {"population", "prior"} or mapping of str to str
        ``"population"``: between patients, around typical values, with the published
        between-patient SDs or the scale of their priors. ``"prior"``: the priors of the typical
        values. Or distributions by parameter, written as priors of model files.
    unit : str, optional
        Latent unit; the first of the model by default.

    Returns
    -------
    Inputs

    Raises
    ------
    DataError
        For a parameter the model does not have, or where nothing varies.
    """
    unit = unit or model.latent_units[0]
    names = model.system().parameters
    if isinstance(over, Mapping):
        unknown = sorted(set(over) - set(names))
        if unknown:
            what = f"{', '.join(unknown)}: no such parameter"
            raise DataError(Fault("over", what, f"There are {', '.join(names)}."))
        chosen = {name: Prior.parse(text) for name, text in over.items()}
    elif over == PRIOR:
        chosen = {n: model.parameters[n.split("[")[0]].prior_for(unit) for n in names}
    elif over == POPULATION:
        chosen = _between_patients(model, names, unit)
    else:
        what = f"is {over!r}"
        raise DataError(Fault("over", what, f"Choose {PRIOR!r}, {POPULATION!r} or a mapping."))
    if not chosen:
        raise DataError(Fault("over", "leaves nothing to vary", "Give distributions by parameter."))
    return Inputs(tuple(chosen), tuple(chosen.values()))


def _between_patients(model: Model, names: tuple[str, ...], unit: str) -> dict[str, Prior]:
    typical = model.typical(unit)
    found = {}
    for name in names:
        parameter = model.parameters[name.split("[")[0]]
        if parameter.vary != "patient":
            continue
        prior = parameter.prior_for(unit)
        spread = parameter.omega_value
        if spread is None:
            omega = parameter.omega_for(unit)
            spread = omega.median
        center = typical[name]
        if prior.transform == "log":
            found[name] = Prior("lognormal", (center, float(np.exp(spread))))
        elif prior.transform == "logit":
            found[name] = Prior("logitnormal", (center, spread))
        else:
            found[name] = Prior("normal", (center, spread))
    return found


def _quantile(prior: Prior, unit: np.ndarray) -> np.ndarray:
    from scipy import special

    one, last = prior.values[0], prior.values[-1]
    if prior.family == "halfnormal":
        return one * special.ndtri(0.5 + unit / 2)
    if prior.family == "gamma":
        return special.gammaincinv(one, unit) / last
    if prior.family == "beta":
        return special.betaincinv(one, last, unit)
    return np.asarray(prior.to_natural(prior.location + prior.spread * special.ndtri(unit)))
