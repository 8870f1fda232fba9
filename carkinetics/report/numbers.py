"""Numbers as a reader wants them: enough digits to use, no more than are known."""

from __future__ import annotations

import math

import numpy as np

UNITS = {
    "cells/uL": "cells/µL",
    "copies/ug": "copies/µg",
    "cells/uL*day": "cells/µL x day",
    "copies/ug*day": "copies/µg x day",
}
_OPEN = 1e6  # a ratio beyond this is no number but a sign that nothing bounds it


def number(value: float, digits: int = 3) -> str:
    """Write a number with some significant digits and no exponent where it can be helped.

    Examples
    --------
    >>> number(94.2113), number(70.0), number(12345.6), number(0.0123456)
    ('94.2', '70.0', '12,300', '0.0123')
    """
    if np.isnan(value):
        return ""
    if np.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    # Rounding up to the next power of ten leaves one digit too many.
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    if places > 8:
        return f"{value:.{digits - 1}e}"
    return f"{rounded:,.{max(places, 0)}f}"


def day(value: float) -> str:
    """Write a day: one decimal below 100, none above.

    Examples
    --------
    >>> day(13.249), day(132.7)
    ('13.2', '133')
    """
    if np.isnan(value):
        return ""
    if np.isinf(value):
        return "not reached"
    return f"{value:.1f}" if abs(value) < 99.95 else f"{value:,.0f}"


def censored_day(value: float, horizon: float) -> str:
    """Write a day, or that it lies at the horizon or beyond.

    Examples
    --------
    >>> censored_day(523.0, 523.0), censored_day(61.04, 523.0)
    ('≥ 523', '61.0')
    """
    return f"≥ {horizon:g}" if value >= horizon * (1 - 1e-9) else day(value)


def ratio(value: float) -> str:
    """Write a ratio, a chance or a correlation.

    Examples
    --------
    >>> ratio(0.5921), ratio(-0.204), ratio(12.44), ratio(3e9)
    ('0.59', '-0.20', '12.4', '> 1,000,000')
    """
    if np.isnan(value):
        return ""
    if value > _OPEN:
        return "> 1,000,000" if np.isfinite(value) else "∞"
    return f"{value:.2f}" if abs(value) < 10 else number(value)


def percent(share: float) -> str:
    """Write a share as a percentage, with a decimal where it is small.

    Examples
    --------
    >>> percent(0.258), percent(0.0402), percent(0.0), percent(0.0001)
    ('26 %', '4.0 %', '0 %', '< 0.1 %')
    """
    if np.isnan(share):
        return ""
    scaled = 100 * share
    if 0 < scaled < 0.05:
        return "< 0.1 %"
    if 99.5 <= scaled < 100:
        return "> 99 %"
    return f"{scaled:.1f} %" if 0 < scaled < 9.95 else f"{scaled:.0f} %"


def exact_percent(share: float) -> str:
    """Write a share as a percentage with one decimal, as tables of counts have it.

    Examples
    --------
    >>> exact_percent(0.1875), exact_percent(1.0)
    ('18.8 %', '100.0 %')
    """
    return f"{100 * share:.1f} %"


def stated(value: float) -> str:
    """Write a number that somebody chose, such as a limit, without digits it does not have.

    Examples
    --------
    >>> stated(0.5), stated(1250.0)
    ('0.5', '1,250')
    """
    return "none" if np.isnan(value) else f"{value:,.6g}"


def p_value(value: float) -> str:
    """Write a p-value.

    Examples
    --------
    >>> p_value(0.0608), p_value(0.00003), p_value(1.0)
    ('0.061', '< 0.001', '1.000')
    """
    if np.isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def between(middle: str, low: str, high: str) -> str:
    """Put an estimate and its limits into one cell."""
    if not middle:
        return "missing"
    return f"{middle} ({low} to {high})" if low and high else middle


def unit(name: str) -> str:
    """Write a unit."""
    return UNITS.get(name, name)
