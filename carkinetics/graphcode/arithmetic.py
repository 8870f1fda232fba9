"""Whole-number expressions of places and sizes, as text."""

from __future__ import annotations

from collections.abc import Iterable


def plus(one: str, other: str) -> str:
    """Add two expressions."""
    if one.lstrip("-").isdigit() and other.lstrip("-").isdigit():
        return str(int(one) + int(other))
    if one == "0":
        return other
    if other == "0":
        return one
    return f"{one} + {other}"


def times(one: str, other: str) -> str:
    """Multiply two expressions."""
    if one.lstrip("-").isdigit() and other.lstrip("-").isdigit():
        return str(int(one) * int(other))
    if "0" in (one, other):
        return "0"
    if one == "1":
        return other
    if other == "1":
        return one
    return f"{_closed(one)} * {_closed(other)}"


def product(factors: Iterable[str]) -> str:
    """Multiply any number of expressions."""
    result = "1"
    for factor in factors:
        result = times(result, factor)
    return result


def _closed(text: str) -> str:
    return text if text.isidentifier() or text.isdigit() else f"({text})"
