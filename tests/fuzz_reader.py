"""Fuzz the readers of foreign text: random changes of the library's own model files.

`python -m tests.fuzz_reader --inputs 1000000 --seed 1` says how many inputs were read and how many
refused, and stops at the first that was neither. The same seed gives the same inputs. Of a hundred
inputs 94 are equations, 3 priors, 2 units and 1 is a whole model file: files take longest, and the
texts inside them are where a reader meets what it did not expect.
"""

from __future__ import annotations

import argparse
import random
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import carkinetics as ck
from carkinetics.equations import read_expression
from carkinetics.equations.nodes import EquationFault
from carkinetics.errors import ModelFileError
from carkinetics.library import models_folder
from carkinetics.priors import Prior
from carkinetics.units import parse_unit

# CPU time, not that of the clock: other programs must not make an input look slow.
LONGEST = 1.0
TOKENS = (
    *("1", "2 * ", " + 1", " - E", "E * ", "(E)", "exp(E)", "log(rate) + ", "min(E, t) * ", " / t"),
    *("E", "rate", "t", "level", "2", "0", "1e300", "1e-320", ".5", "9**9", "0x7f", "1_0", "1j"),
    *("exp(", "log(", "sqrt(", "min(", "max(", "where(", "hill(", "total(", "logistic("),
    *("(", ")", "[", "]", "{", "}", ",", ":", ":=", "+", "-", "*", "/", "//", "%", "**", "@"),
    *("<", "<=", "==", "!=", "~", "not ", " and ", " if ", " else ", "lambda:", "await ", "yield "),
    *("__import__('os')", ".__class__", "f'{E}'", "'", '"', '"""', "#", "\\", "\n", "\t", "\x00"),
    *("\ufeff", "\u202e", "\uff45\uff58\uff50", "\u00e9", "\U0001f600", "\ud7ff", "nan", "inf"),
)
TOML_VALUES = (
    *("1", "-1", "1e999", "nan", "inf", "true", "''", '"x"', "[]", "[[]]", "{}", "{a = 1}"),
    *("1979-05-27", "07:32:00", "0xdead", "0b1", "[1, 'a']", '"""\n"""', "'9**9**9'", '"t"'),
)


@dataclass(frozen=True)
class Corpus:
    """What the library's own files hold, to be changed."""

    files: tuple[str, ...]
    equations: tuple[str, ...]
    priors: tuple[str, ...]
    units: tuple[str, ...]


def corpus() -> Corpus:
    """Collect the texts of all models."""
    folder = models_folder()
    files = tuple((folder / f"{n}.toml").read_text(encoding="utf-8") for n in ck.list_models())
    texts: dict[str, list[str]] = {"equations": [], "priors": [], "units": []}
    for file in files:
        for path, text in _strings(tomllib.loads(file), ()):
            kind = _kind(path)
            if kind:
                texts[kind].append(text)
    return Corpus(
        files, *(tuple(dict.fromkeys(texts[k])) for k in ("equations", "priors", "units"))
    )


def _strings(table: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(table, dict):
        for key, value in table.items():
            yield from _strings(value, (*path, key))
    elif isinstance(table, str):
        yield path, table


def _kind(path: tuple[str, ...]) -> str:
    if path[0] in ("terms", "equations", "solution") or path[-1] in ("is", "start", "amount"):
        return "equations"
    if path[-1] in ("sigma", "omega", "prior") or path[-2:-1] in (("prior",), ("omega",)):
        return "priors"
    return "units" if path[-1] == "unit" else ""


def changed(text: str, others: tuple[str, ...], rng: random.Random) -> str:
    """Change a text in one to six places: cut, double, move, put in tokens, bytes, other texts."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        i, j = sorted(rng.randint(0, len(text)) for _ in range(2))
        j = min(j, i + rng.choice((1, 1, 3, 10, 300)))
        part = text[i:j]
        match rng.randrange(8):
            case 0:
                text = text[:i] + text[j:]
            case 1:
                text = text[:i] + part * rng.choice((2, 2, 3, 10)) + text[j:]
            case 2 | 3:
                text = text[:i] + rng.choice(TOKENS) + text[i:]
            case 4:
                text = text[:i] + rng.choice(TOKENS) + text[j:]
            case 5:
                text = (
                    text[:i]
                    + chr(rng.choice((rng.randrange(128), rng.randrange(0xD800))))
                    + text[j:]
                )
            case 6:
                other = rng.choice(others)
                k = rng.randint(0, len(other))
                text = text[:i] + other[k : k + rng.choice((1, 5, 50, 500))] + text[j:]
            case 7:
                text = text[:i] + "(" * rng.choice((1, 2, 90, 1000)) + text[i:]
    return text[:4000]


def grown(rng: random.Random, depth: int = 0) -> str:
    """Write an equation by the grammar, or nearly so."""
    if depth > rng.randint(1, 7):
        return rng.choice(("E", "t", "rate", "x", "2", "0", "1e-320", "1e308", "9", "-1", "0.5"))
    inner = grown(rng, depth + 1)
    match rng.randrange(6):
        case 0:
            return f"({inner} {rng.choice(('+', '-', '*', '/', '**'))} {grown(rng, depth + 1)})"
        case 1:
            return (
                f"{inner}{rng.choice(('+', '-', '*', '/', '**', ' ', ''))}{grown(rng, depth + 1)}"
            )
        case 2:
            return f"{rng.choice(('exp', 'log', 'sqrt', 'logistic', 'softplus', 'total'))}({inner})"
        case 3:
            name = rng.choice(("min", "max", "hill", "where"))
            count = rng.choice((1, 2, 2, 3, 3, 4))
            rest = ", ".join(grown(rng, depth + 1) for _ in range(count))
            return f"{name}({inner} {rng.choice(('<', '<=', ',', '>'))} {rest})"
        case 4:
            return f"-{inner}"
    return inner


def changed_file(files: tuple[str, ...], rng: random.Random) -> str:
    """Change a model file: its lines, its values, its characters."""
    lines = rng.choice(files).splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        i = rng.randrange(len(lines))
        match rng.randrange(6):
            case 0:
                del lines[i : i + rng.choice((1, 1, 1, 10))]
            case 1:
                lines.insert(i, lines[rng.randrange(len(lines))])
            case 2:
                lines.insert(i, rng.choice(rng.choice(files).splitlines()))
            case 3:
                key = lines[i].split("=")[0]
                lines[i] = f"{key}= {rng.choice(TOML_VALUES)}"
            case _:
                lines[i] = changed(lines[i], tuple(lines), rng)
        if not lines:
            return ""
    return "\n".join(lines)


def one_input(texts: Corpus, rng: random.Random) -> tuple[str, str, Callable[[str], Any]]:
    """Draw an input: its kind, its text and the reader that gets it."""
    where = rng.randrange(100)
    if where < 30:
        return "equation", grown(rng), read_expression
    if where < 94:
        text = changed(rng.choice(texts.equations), texts.equations, rng)
        return "equation", text, read_expression
    if where < 97:
        return "prior", changed(rng.choice(texts.priors), texts.priors, rng), Prior.parse
    if where < 99:
        return "unit", changed(rng.choice(texts.units), texts.units, rng), parse_unit
    return "file", changed_file(texts.files, rng), ck.Model.from_text


def fuzz(inputs: int, seed: int) -> Counter[tuple[str, str]]:
    """Give so many inputs to the readers.

    Parameters
    ----------
    inputs : int
        How many.
    seed : int
        The same seed gives the same inputs.

    Returns
    -------
    Counter
        By kind and outcome, ``"read"`` or ``"refused"``.

    Raises
    ------
    AssertionError
        For an input that raised anything but a clear refusal, or took more than a second of CPU.
    """
    texts, rng = corpus(), random.Random(seed)
    found: Counter[tuple[str, str]] = Counter()
    ck.Model.from_text(texts.files[0])  # what is loaded on first use is nobody's second
    for k in range(inputs):
        kind, text, reader = one_input(texts, rng)
        with Told(f"seed {seed}, input {k}, {kind}: {text!r}"):
            found[kind, outcome_of(kind, text, reader)] += 1
    return found


def outcome_of(kind: str, text: str, reader: Callable[[str], Any]) -> str:
    """Read a text; only a refusal with words may come of it, and soon."""
    begin, refusal = time.process_time(), "read"
    try:
        reader(text)
    except (EquationFault, ModelFileError) as fault:
        refusal = str(fault)
    seconds = time.process_time() - begin
    # A model file that is still whole is written out by SymPy, which takes its time.
    limit = LONGEST if refusal != "read" or kind != "file" else 5 * LONGEST
    assert refusal.strip(), "refused without a word"
    assert seconds < limit, f"took {seconds:.1f} s"
    return "read" if refusal == "read" else "refused"


@dataclass(frozen=True)
class Told:
    """Adds to an exception which input raised it."""

    what: str

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Add the note; the exception goes on."""
        if error is not None:
            error.add_note(self.what)


def main() -> None:
    """Fuzz and print what was read and refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begin = time.process_time()
    found = fuzz(given.inputs, given.seed)
    for (kind, outcome), count in sorted(found.items()):
        print(f"{kind:10}{outcome:10}{count:>10,}")
    print(f"{given.inputs:,} inputs, {time.process_time() - begin:.0f} s of CPU")


if __name__ == "__main__":
    main()
