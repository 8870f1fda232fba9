"""Keep a fit in a file: draws, both tables, model text, settings; written whole or not at all."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from carkinetics.cohort import Cohort
from carkinetics.cohort.notices import Notice
from carkinetics.errors import CarkineticsWarning, FitError
from carkinetics.inference.centering import given_before
from carkinetics.inference.versions import package_versions
from carkinetics.model import Model

if TYPE_CHECKING:
    from carkinetics.inference.result import Fit

FORMAT = "carkinetics fit, version 1"
_SOURCE = "carkinetics/source"
_TEXTS = {"model_text", "levels", "patients"}
_FACTS = {
    "settings", "model_name", "model_hash", "model_cell_types", "cohort_name", "synthetic",
    "data_hash", "notices", "dtypes", "mixed",
}  # fmt: skip


def save_fit(fit: Fit, path: str | Path) -> Path:
    """Write a fit; see `Fit.save`."""
    path = Path(path)
    if path.suffix not in (".nc", ".zarr"):
        raise FitError(f"{path}: cannot tell the format; end the name with .nc or .zarr.")
    if not path.parent.is_dir():
        raise FitError(f"{path}: the folder {path.parent} does not exist; make it first.")
    tree = xr.DataTree.from_dict({f"/{_SOURCE}": _source(fit)} | _plain_groups(fit.data))
    tree.attrs = {"format": FORMAT, "synthetic": int(fit.synthetic)}
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        written = temporary / path.name
        if path.suffix == ".nc":
            tree.to_netcdf(written, engine="h5netcdf", encoding=_compression(tree))
        else:
            tree.to_zarr(written, consolidated=False)
        _replace(written, path)
    except ImportError as error:
        raise FitError(
            f"{path}: cannot be written ({error}). Install zarr, or save as .nc."
        ) from error
    except OSError as error:
        raise FitError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def load_fit(path: str | Path) -> Fit:
    """Read a fit that `Fit.save` wrote.

    Parameters
    ----------
    path : path
        The ``.nc`` file or ``.zarr`` folder.

    Returns
    -------
    Fit
        With ``differences``: which package versions are not those that made the draws; a
        `CarkineticsWarning` says the same. Opening a stranger's file runs no code from it.

    Raises
    ------
    FitError
        Where there is no such file, it is not a fit, or its tables or model text do not agree
        with the hash they were saved with.
    """
    from carkinetics.inference.result import Fit

    tree = _open(Path(path))
    source, facts = _facts(tree, Path(path))
    cohort = _cohort(source, facts, Path(path))
    model = _model(source, facts, Path(path))
    differences = _differences(facts["settings"]["versions"])
    if differences:
        warnings.warn(f"{path}: {'; '.join(differences)}", CarkineticsWarning, stacklevel=2)
    groups = {name: node.to_dataset() for name, node in tree.subtree_with_keys if node.data_vars}
    data = xr.DataTree.from_dict(
        {f"/{name}": group for name, group in groups.items() if name != _SOURCE}
    )
    _refuse_other_centering(data, Path(path))
    return Fit(model, cohort, data, facts["settings"], None, differences)


def _refuse_other_centering(data: xr.DataTree, path: Path) -> None:
    """Refuse what the sampler saw of many patients in coordinates of other versions."""
    posterior, constants = data["posterior"].to_dataset(), data["constant_data"].to_dataset()
    many = given_before(posterior.sizes["patient"], "partial_correlation_unit" in posterior)
    if many and "effect_order" not in constants:
        raise FitError(
            f"{path}: was saved by an earlier version, which centered the effects of many patients "
            "in another way. Fit again."
        )


def _source(fit: Fit) -> xr.Dataset:
    """Everything the draws came from, as text."""
    cohort = fit.cohort
    facts = {
        "settings": dict(fit.settings),
        "model_name": fit.kinetic_model.name,
        "model_hash": fit.kinetic_model.text_hash,
        "model_cell_types": list(fit.kinetic_model.cell_types),
        "cohort_name": cohort.name,
        "synthetic": cohort.synthetic,
        "data_hash": cohort.data_hash,
        "notices": [[n.kind, n.count, list(n.patients), n.text] for n in cohort.notices],
        "dtypes": {
            name: {str(column): str(dtype) for column, dtype in table.dtypes.items()}
            for name, table in (("levels", cohort.levels), ("patients", cohort.patients))
        },
        "mixed": {
            name: {
                str(column): [_plain(value) for value in table[column]]
                for column, dtype in table.dtypes.items()
                if str(dtype) == "object"
            }
            for name, table in (("levels", cohort.levels), ("patients", cohort.patients))
        },
    }
    texts = {
        "facts": json.dumps(facts),
        "model_text": fit.kinetic_model.text,
        "levels": cohort.levels.to_csv(index=False),
        "patients": cohort.patients.to_csv(index=False),
    }
    return xr.Dataset({name: ((), np.array(text, dtype=object)) for name, text in texts.items()})


def _plain(value: Any) -> Any:
    """Give one entry of a column of mixed kinds (text, yes and no, nothing) as JSON knows it."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _plain_groups(data: xr.DataTree) -> dict[str, xr.Dataset]:
    """Give the groups with fixed strings as labels, which every format can hold."""
    groups = {}
    for name, node in data.subtree_with_keys:
        group = node.to_dataset()
        if not group.data_vars:
            continue
        for label, values in list(group.coords.items()):
            if values.dtype == object or values.dtype.kind in "UT":
                group = group.assign_coords({label: (values.dims, values.values.astype(str))})
        groups[f"/{name}"] = group
    return groups


def _compression(tree: xr.DataTree) -> dict[str, Any]:
    return {
        f"/{name}": {
            str(variable): {"zlib": True, "complevel": 1, "shuffle": True}
            for variable, values in node.data_vars.items()
            if values.dtype.kind == "f" and values.size > 1000
        }
        for name, node in tree.subtree_with_keys
        if node.data_vars
    }


def _replace(written: Path, path: Path) -> None:
    """Put the complete file in its place; a folder is moved aside, and back if that fails."""
    if not path.is_dir():
        os.replace(written, path)
        return
    aside = written.parent / "old"
    os.replace(path, aside)
    try:
        os.replace(written, path)
    except BaseException:
        os.rename(aside, path)
        raise


def _open(path: Path) -> xr.DataTree:
    if not path.exists():
        raise FitError(f"{path}: does not exist.")
    try:
        how: dict[str, Any] = {"engine": "h5netcdf"}
        if path.is_dir():
            how = {"engine": "zarr", "consolidated": False}
        with xr.open_datatree(path, **how) as tree:
            loaded = tree.load()
    except Exception as error:  # whatever a broken file makes its reader raise
        raise FitError(f"{path}: cannot be read as a saved fit ({error}).") from error
    if loaded.attrs.get("format") != FORMAT:
        found = loaded.attrs.get("format", "something else")
        raise FitError(f"{path}: is not '{FORMAT}' but '{found}'.")
    return loaded


def _facts(tree: xr.DataTree, path: Path) -> tuple[xr.Dataset, dict[str, Any]]:
    try:
        source = tree[_SOURCE].to_dataset()
        facts = json.loads(str(source["facts"].values))
        missing = sorted((_TEXTS - set(source)) | (_FACTS - set(facts)))
        if missing:
            raise KeyError(f"without {', '.join(missing)}")
    except (KeyError, ValueError) as error:
        raise FitError(f"{path}: what it says of its own origin is damaged ({error}).") from error
    return source, facts


def _cohort(source: xr.Dataset, facts: dict[str, Any], path: Path) -> Cohort:
    tables = {
        name: _table(str(source[name].values), facts["dtypes"][name], facts["mixed"][name])
        for name in ("levels", "patients")
    }
    notices = tuple(Notice(k, n, tuple(p), text) for k, n, p, text in facts["notices"])
    cohort = Cohort(
        tables["levels"], tables["patients"], facts["cohort_name"], facts["synthetic"], notices
    )
    if cohort.data_hash != facts["data_hash"]:
        raise FitError(
            f"{path}: the tables in it do not agree with the hash they were saved with; the file "
            "was changed. Fit again from the original tables."
        )
    return cohort


def _model(source: xr.Dataset, facts: dict[str, Any], path: Path) -> Model:
    text = str(source["model_text"].values)
    model = Model.from_text(text, facts["model_name"], facts["model_cell_types"])
    if model.text_hash != facts["model_hash"]:
        raise FitError(
            f"{path}: the model text in it does not agree with the hash it was saved with; the "
            "file was changed. Fit again with the original model."
        )
    return model


def _table(text: str, dtypes: dict[str, str], mixed: dict[str, list[Any]]) -> pd.DataFrame:
    as_text = dict.fromkeys(dtypes, str)
    table = pd.read_csv(io.StringIO(text), dtype=as_text, keep_default_na=False, na_values=[""])
    for column, dtype in dtypes.items():
        if column in mixed:
            table[column] = pd.Series(mixed[column], dtype=object, index=table.index)
        else:
            table[column] = _restored(table[column], dtype)
    return table


def _restored(values: pd.Series, dtype: str) -> pd.Series:
    if dtype == "bool":
        return values.map({"True": True, "False": False}).astype(bool)
    if dtype == "boolean":
        return values.map({"True": True, "False": False}).astype("boolean")
    if dtype.startswith(("Int", "UInt")):
        whole = [pd.NA if pd.isna(value) else int(value) for value in values]
        return pd.Series(whole, dtype=dtype, index=values.index)
    return values.astype(dtype)


def _differences(then: dict[str, str]) -> tuple[str, ...]:
    now = package_versions()
    return tuple(
        f"made with {name} {version}, read with {now.get(name, 'none')}"
        for name, version in then.items()
        if now.get(name) != version
    )
