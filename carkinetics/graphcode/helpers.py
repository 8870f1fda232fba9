"""Functions of numbers that printed code may call.

They are Python for who reads or tests them; `functions` translates them for the machine.
"""

from math import erfc, exp, expm1, floor, log, log1p

ROOT_OF_PI = 1.7724538509055159
LOG_HALF = -0.6931471805599453
# Where the series of erfcx in 1 / (2 x^2) is exact after a dozen terms.
FAR = 10.0


def select(condition: bool, one: float, other: float) -> float:
    """Return one number or the other."""
    return one if condition else other


def larger(a: float, b: float) -> float:
    """Return the larger number; the missing one where one is missing."""
    return select((a > b) | (a != a), a, b)


def smaller(a: float, b: float) -> float:
    """Return the smaller number; the missing one where one is missing."""
    return select((a < b) | (a != a), a, b)


def sign(x: float) -> float:
    """Return -1, 0 or 1."""
    return select(x > 0.0, 1.0, select(x < 0.0, -1.0, x))


def sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(-x)) without overflow."""
    small = exp(-abs(x))
    return select(x >= 0.0, 1.0, small) / (1.0 + small)


def softplus(x: float) -> float:
    """Return ln(1 + exp(x)) without overflow."""
    return larger(x, 0.0) + log1p(exp(-abs(x)))


def log1mexp(x: float) -> float:
    """Return ln(1 - exp(x)) of a negative number."""
    if x > LOG_HALF:
        return log(-expm1(x))
    return log1p(-exp(x))


def erfcx(x: float) -> float:
    """Return exp(x^2) erfc(x), to some units in the last place.

    Far out the asymptotic series is used (Abramowitz and Stegun 1964, 7.1.23).
    """
    if x < FAR:
        # The square in two parts, the first without rounding.
        coarse = floor(x * 1024.0) / 1024.0
        return exp(coarse * coarse) * exp((x - coarse) * (x + coarse)) * erfc(x)
    step = 0.5 / (x * x)
    term = 1.0
    total = 1.0
    for n in range(1, 26, 2):
        term = -term * n * step
        total = total + term
    return total / (x * ROOT_OF_PI)


def digamma(x: float) -> float:
    """Return the derivative of ln Gamma(x), x > 0.

    Asymptotic series from 10 on (Abramowitz and Stegun 1964, 6.3.18), recurrence below.
    """
    total = 0.0
    for _ in range(10):
        below = x < 10.0
        total = total - select(below, 1.0 / x, 0.0)
        x = x + select(below, 1.0, 0.0)
    s = 1.0 / (x * x)
    series = s * (
        1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s * (1 / 132 - s * 691 / 32760))))
    )
    return total + log(x) - 0.5 / x - series
