"""The models that come with the package, and models from the user's own files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from carkinetics.errors import ModelFileError
from carkinetics.model import Model
from carkinetics.model.page import kind_of
from carkinetics.model.schema import MAX_CHARACTERS


def models_folder(package: Traversable | None = None) -> Traversable:
    """Return the folder of model files.

    Parameters
    ----------
    package : Traversable, optional
        The package's own folder.

    Returns
    -------
    Traversable
        ``carkinetics/_models`` in an installed wheel; ``models`` next to the package in a clone.
    """
    package = package or resources.files("carkinetics")
    packed = package / "_models"
    if packed.is_dir():
        return packed
    return Path(str(package)).parent / "models"


def list_models() -> list[str]:
    """Return the names of the models that come with the package, sorted.

    Examples
    --------
    >>> "stein_2019" in list_models()
    True
    """
    folder = models_folder()
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_model(name: str | os.PathLike[str], cell_types: Sequence[str] | None = None) -> Model:
    """Load a model by name, or from a TOML file of your own.

    Parameters
    ----------
    name : str or path
        One of :func:`list_models`, or the path of a ``.toml`` file.
    cell_types : sequence of str, optional
        Write it out for these: some of the file's own, or ``("total",)`` for one population.

    Returns
    -------
    Model
        The checked model.

    Raises
    ------
    ModelFileError
        Where there is no such model, or with every fault of its file.

    Examples
    --------
    >>> load_model("stein_2019").cell_types
    ('total',)
    """
    if isinstance(name, os.PathLike) or name.endswith(".toml") or "/" in name or os.sep in name:
        path = Path(name)
        return Model.from_text(_read_file(path), path.stem, cell_types)
    known = list_models()
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known)}"
        raise ModelFileError(f"no model is called '{name}'; {hint}\n    For a file, give its path.")
    text = (models_folder() / f"{name}.toml").read_text(encoding="utf-8")
    return Model.from_text(text, name, cell_types)


def _read_file(path: Path) -> str:
    try:
        # Bytes may outnumber characters four to one; more than that is never a model.
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise ModelFileError(
                f"{path}: {path.stat().st_size:,} bytes; too large for a model file"
            )
        if path.exists() and not path.is_file():
            # A pipe would be waited for, a device read without end.
            raise ModelFileError(f"{path}: is no file")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def model_list() -> str:
    """Write the list of the package's models: name, what it needs, how it is solved, title.

    Returns
    -------
    str
        One line per model: assays it is fitted to and, after them, what is known of each patient. A
        model that no assay sees can be drawn, not fitted.
    """
    rows = []
    for name in list_models():
        model = load_model(name)
        data = " or ".join(model.observed) or "no assay"
        known = f"; {', '.join(model.inputs)}" if model.observed and model.inputs else ""
        rows.append((name, data + known, kind_of(model), model.title))
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:3]]
    return "\n".join(
        "  ".join([*(part.ljust(w) for part, w in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )
