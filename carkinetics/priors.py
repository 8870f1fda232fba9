"""Prior text -> frozen Prior -> PyMC variable on the scale where the sampler works."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from carkinetics.equations.nodes import EquationFault, point_at
from carkinetics.equations.reading import read_constant
from carkinetics.errors import Fault, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymc.distributions.distribution import Distribution

_LONGEST = 200
LARGEST_LOG = 500.0
# Family -> names of its arguments, in order, and the scale on which it is sampled.
FAMILIES: dict[str, tuple[tuple[str, ...], str]] = {
    "normal": (("mean", "sd"), "identity"),
    "lognormal": (("median", "gsd"), "log"),
    "logitnormal": (("median", "sd"), "logit"),
    "halfnormal": (("sd",), "identity"),
    "gamma": (("shape", "rate"), "identity"),
    "beta": (("a", "b"), "identity"),
}
_SHAPE = re.compile(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Prior:
    """A prior distribution of one number.

    Parameters
    ----------
    family : str
        ``normal``, ``lognormal``, ``logitnormal``, ``halfnormal``, ``gamma`` or ``beta``.
    values : tuple of float
        Its arguments, in the order of :data:`FAMILIES`.

    Examples
    --------
    >>> prior = Prior.parse("lognormal(median=0.8, gsd=1.35)")
    >>> prior.median, round(prior.spread, 3)
    (0.8, 0.3)
    """

    family: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        what = _argument_fault(self.family, self.values)
        if what:
            raise ModelFileError(Fault("prior", what))

    @classmethod
    def parse(cls, text: str) -> Prior:
        """Read a prior such as ``"lognormal(median=100, gsd=exp(1.5))"``.

        Raises
        ------
        ModelFileError
            Where the text is no prior; the message points at the place.
        """
        try:
            return cls(*_read(text))
        except EquationFault as fault:
            shown = point_at(text[:_LONGEST], fault.place)
            raise ModelFileError(Fault("prior", f"{fault.what}\n{shown}")) from fault

    @property
    def arguments(self) -> Mapping[str, float]:
        """The arguments by name."""
        return dict(zip(FAMILIES[self.family][0], self.values, strict=True))

    @property
    def transform(self) -> str:
        """The scale of sampling: ``"identity"``, ``"log"`` or ``"logit"``."""
        return FAMILIES[self.family][1]

    @property
    def location(self) -> float:
        """Mean on the transformed scale (of a halfnormal: 0, where its density is highest)."""
        one = self.values[0]
        if self.family == "lognormal":
            return math.log(one)
        if self.family == "logitnormal":
            return math.log(one / (1 - one))
        if self.family == "halfnormal":
            return 0.0
        return {"normal": one, "gamma": one / self.values[-1]}.get(
            self.family, one / sum(self.values)
        )

    @property
    def spread(self) -> float:
        """SD on the transformed scale (of a halfnormal: its scale)."""
        one, last = self.values[0], self.values[-1]
        if self.family == "lognormal":
            return math.log(last)
        if self.family == "gamma":
            return math.sqrt(one) / last
        if self.family == "beta":
            return math.sqrt(self.location * (1 - self.location) / (one + last + 1))
        return last

    @property
    def median(self) -> float:
        """Median on the natural scale."""
        from scipy import special  # loads slowly, seldom needed

        if self.family == "halfnormal":
            return float(self.values[0] * special.ndtri(0.75))
        if self.family == "gamma":
            return float(special.gammaincinv(self.values[0], 0.5) / self.values[1])
        if self.family == "beta":
            return float(special.betaincinv(*self.values, 0.5))
        return self.values[0]

    @property
    def text(self) -> str:
        """The prior as it is written in model files."""
        return f"{self.family}({', '.join(f'{k}={v:.6g}' for k, v in self.arguments.items())})"

    def __str__(self) -> str:
        return self.text

    def scaled(self, factor: float) -> Prior:
        """Return the prior with its spread on the transformed scale multiplied.

        Location stays (the mean, for gamma and beta).
        """
        one, last = self.values[0], self.values[-1]
        if self.family == "lognormal":
            return Prior("lognormal", (one, last**factor))
        if self.family == "gamma":
            return Prior("gamma", (one / factor**2, last / factor**2))
        if self.family == "beta":
            weight = ((one + last + 1) / factor**2 - 1) / (one + last)
            return Prior("beta", (one * weight, last * weight))
        return Prior(self.family, (*self.values[:-1], last * factor))

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...] | None = None) -> Any:
        """Draw on the natural scale.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        size : int or tuple of int, optional
            Shape of the result.

        Returns
        -------
        float or array, shape `size`
            Draws in the unit of the parameter.
        """
        if self.family == "gamma":
            return rng.gamma(self.values[0], 1 / self.values[1], size)
        if self.family == "beta":
            return rng.beta(self.values[0], self.values[1], size)
        draws = rng.normal(self.location, self.spread, size)
        if self.family == "halfnormal":
            return np.abs(draws)
        return self.to_natural(draws)

    def to_natural(self, value: Any) -> Any:
        """Take a number or array from the transformed to the natural scale."""
        if self.transform == "log":
            # The far end of a heavy tail must not become zero or infinite: it has no logarithm.
            return np.exp(np.clip(value, -LARGEST_LOG, LARGEST_LOG))
        if self.transform == "logit":
            return 1 / (1 + np.exp(-np.asarray(value)))
        return value

    def to_transformed(self, value: Any) -> Any:
        """Take a number or array from the natural to the transformed scale."""
        if self.transform == "log":
            return np.log(value)
        if self.transform == "logit":
            return np.log(value) - np.log1p(-np.asarray(value))
        return value

    def variable(
        self, name: str, dims: str | Sequence[str] | None = None, scale: Any = 1.0
    ) -> Distribution:
        """Make the PyMC variable, on the transformed scale, in the model context.

        Parameters
        ----------
        name : str
            Name of the variable.
        dims : str or sequence of str, optional
            Its dims.
        scale : float or tensor, optional
            Multiplies the spread, as :meth:`scaled` does; may be a ``pm.Data``, so that one
            compiled model serves several prior scales.
        """
        import pymc as pm  # heavy: only when a model is built

        # PyTensor holds a plain number in the shortest type that represents it and then takes its
        # logarithm in that type: double precision has to be asked for.
        scale = np.float64(scale) if isinstance(scale, int | float) else scale
        if self.family == "halfnormal":
            return pm.HalfNormal(name, sigma=self.spread * scale, dims=dims)
        one, last = self.values[0], self.values[-1]
        if self.family == "gamma":
            return pm.Gamma(name, alpha=one / scale**2, beta=last / scale**2, dims=dims)
        if self.family == "beta":
            weight = ((one + last + 1) / scale**2 - 1) / (one + last)
            return pm.Beta(name, alpha=one * weight, beta=last * weight, dims=dims)
        return pm.Normal(name, mu=self.location, sigma=self.spread * scale, dims=dims)


def _read(text: str) -> tuple[str, tuple[float, ...]]:
    if len(text) > _LONGEST:
        raise EquationFault(f"a prior of {len(text)} characters; at most {_LONGEST} are read")
    shape = _SHAPE.match(text)
    if shape is None:
        raise EquationFault("write a prior like lognormal(median=100, gsd=2)")
    family = shape[1]
    if family not in FAMILIES:
        close = get_close_matches(family, FAMILIES, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(FAMILIES)}"
        raise EquationFault(f"unknown prior '{family}'; {hint}", shape.start(1))
    return family, _read_arguments(shape, FAMILIES[family][0])


def _read_arguments(shape: re.Match[str], names: tuple[str, ...]) -> tuple[float, ...]:
    family, place = shape[1], shape.start(2)
    wanted = f"{family} takes {' and '.join(names)}"
    found: dict[str, float] = {}
    pieces = _split(shape[2], place)
    if len(pieces) != len(names):
        raise EquationFault(f"{wanted}, here {len(pieces)} argument(s)", place)
    for (start, piece), expected in zip(pieces, names, strict=True):
        name, sign, number = piece.rpartition("=")
        key = name.strip() if sign else expected
        if key not in names or key in found:
            raise EquationFault(f"{wanted}, not '{key}'" if key not in names else wanted, start)
        try:
            found[key] = read_constant(number)
        except EquationFault as fault:
            at = start + len(piece) - len(number) + (fault.place or 0)
            raise EquationFault(fault.what, at) from fault
    return tuple(found[name] for name in names)


def _split(text: str, start: int) -> list[tuple[int, str]]:
    """Split at the commas outside parentheses; each piece with its place."""
    pieces, depth, first = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            pieces.append((start + first, text[first:place]))
            first = place + 1
    pieces.append((start + first, text[first:]))
    return pieces


def _argument_fault(family: str, values: tuple[float, ...]) -> str | None:
    if family not in FAMILIES:
        return f"unknown prior '{family}'; known are {', '.join(FAMILIES)}"
    names = FAMILIES[family][0]
    if len(values) != len(names) or not all(math.isfinite(value) for value in values):
        return f"{family} takes the numbers {' and '.join(names)}"
    for name, value in zip(names, values, strict=True):
        if name != "mean" and value <= 0:
            return f"{family}: {name} must be positive, here {value:g}"
        if name == "gsd" and value <= 1:
            return f"{family}: gsd must be above 1 (it is a factor), here {value:g}"
        if family == "logitnormal" and name == "median" and value >= 1:
            return f"{family}: median must lie between 0 and 1, here {value:g}"
    return None
