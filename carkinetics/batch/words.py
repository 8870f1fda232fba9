"""Levels as text: for keys, which must not depend on how they were written, and for readers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def frozen(choices: Mapping[str, Any] | list[Any]) -> str:
    """Write choices so that equal ones are equal, whatever the order of their keys."""
    return json.dumps(choices, sort_keys=True, default=list)


def in_words(level: Any) -> str:
    """Write a level as figures and names of variants have it.

    Examples
    --------
    >>> in_words([7, 14, 21, 28]), in_words({"cmax": ["age"]}), in_words(2.0)
    ('7/14/21/28', 'cmax ~ age', '2')
    >>> in_words("models/wide_gate.toml")
    'wide_gate.toml'
    """
    if isinstance(level, bool):
        return "yes" if level else "no"
    if isinstance(level, int | float):
        return f"{level:g}"
    if isinstance(level, Mapping):
        return "; ".join(
            f"{name} ~ {terms if isinstance(terms, str) else ' + '.join(terms)}"
            for name, terms in level.items()
        )
    if isinstance(level, list | tuple):
        return "/".join(map(in_words, level))
    text = str(level)
    return Path(text).name if text.endswith(".toml") else text


def same_level(level: Any) -> Any:
    """Write 28.0 as 28, so that the same level has the same key."""
    if isinstance(level, float) and level.is_integer():
        return int(level)
    if isinstance(level, list | tuple):
        return type(level)(same_level(item) for item in level)
    return level
