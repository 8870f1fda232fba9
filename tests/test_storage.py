"""A fit in a file: everything comes back, nothing is half written, nothing is trusted blindly."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pytensor.compile.mode import Mode
from scipy import special

import carkinetics as ck
from carkinetics.errors import CarkineticsWarning, FitError
from carkinetics.inference import storage


@pytest.fixture(scope="module")
def saved(small_fit, tmp_path_factory):
    """The same fit in both formats, with patients of every kind of column."""
    folder = tmp_path_factory.mktemp("fits")
    fit = dataclasses.replace(small_fit, cohort=with_covariates(small_fit.cohort))
    fit.__dict__["plan"] = small_fit.plan
    for suffix in (".nc", ".zarr"):
        assert fit.save(folder / f"fit{suffix}") == folder / f"fit{suffix}"
    return fit, folder


def with_covariates(cohort):
    patients = pd.DataFrame(
        {
            "patient": list(cohort.patient_ids),
            "age": [7, 31, None, 12],
            "weight": [20.1, 1 / 3, np.nan, 55.5],
            "site": ["A, north", 'the "old" one', None, "NA"],
            "prior_transplant": [True, None, False, True],
            "crs_grade": [0, 3, 2, None],
            "ttp_day": [90.5, 100, 365, None],
            "progressed": [True, False, False, None],
        }
    )
    table = cohort.levels.drop(columns=["row", "baseline"]).assign(synthetic=True)
    return ck.read_cohort(table, patients=patients, name="four, named")


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_arviz_draws_the_divergences_of_a_fit_read_again(small_fit, tmp_path, suffix):
    """By ArviZ, which takes numbers for positions and only booleans for a choice."""
    import arviz as az

    data = small_fit.data.copy(deep=True)
    data["sample_stats/diverging"].values[0, 3:5] = True
    path = dataclasses.replace(small_fit, data=data).save(tmp_path / f"fit{suffix}")
    loaded = ck.load_fit(path)
    assert loaded.data["sample_stats"]["diverging"].dtype == bool
    az.plot_trace_dist(loaded.data, var_names=["log_gate_day"])


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_everything_comes_back_to_the_last_bit(saved, suffix):
    fit, folder = saved
    loaded = ck.load_fit(folder / f"fit{suffix}")
    assert sorted(loaded.data.groups) == sorted(fit.data.groups)
    for name, node in fit.data.subtree_with_keys:
        there = loaded.data[name] if name != "." else loaded.data
        xr.testing.assert_identical(
            plain_labels(node.to_dataset(inherit=False)), there.to_dataset(inherit=False)
        )
        for variable, values in node.data_vars.items():
            assert there[variable].dtype == values.dtype
            assert there[variable].dims == values.dims
    assert loaded.differences == ()


def plain_labels(group):
    """Labels come back as fixed strings, whatever they were."""
    for name, values in list(group.coords.items()):
        if values.dtype.kind in "OUT":
            group = group.assign_coords({name: (values.dims, values.values.astype(str))})
    return group


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_tables_model_and_settings_come_back(saved, suffix):
    fit, folder = saved
    loaded = ck.load_fit(folder / f"fit{suffix}")
    assert loaded.settings == fit.settings
    assert loaded.kinetic_model == fit.kinetic_model
    for table in ("levels", "patients"):
        pd.testing.assert_frame_equal(
            getattr(loaded.cohort, table), getattr(fit.cohort, table), check_exact=True
        )
    assert loaded.cohort.name == "four, named"
    assert loaded.cohort.data_hash == fit.cohort.data_hash
    assert loaded.cohort.notices == fit.cohort.notices
    assert loaded.synthetic
    assert "SYNTHETIC" in repr(loaded)


def test_yes_and_no_with_gaps_stay_so(saved):
    """Such a column holds True, False and nothing, not their names."""
    _, folder = saved
    values = ck.load_fit(folder / "fit.nc").cohort.patients["prior_transplant"]
    assert [value if value is None else bool(value) for value in values] == [
        True, None, False, True,
    ]  # fmt: skip
    assert not any(isinstance(value, str) for value in values)


def test_a_model_written_out_for_one_population_stays_so(saved):
    """Else the loaded fit would lay CD4 and CD8 out anew, and not know its own draws."""
    fit, folder = saved
    one = dataclasses.replace(fit, kinetic_model=fit.kinetic_model.with_cell_types(["total"]))
    one.save(folder / "one.nc")
    assert ck.load_fit(folder / "one.nc").kinetic_model.cell_types == ("total",)


def test_the_model_of_a_loaded_fit_has_the_density_that_was_sampled(saved):
    """The sampler recorded its own log density of every draw."""
    loaded = ck.load_fit(saved[1] / "fit.nc")
    model = loaded.model
    density = model.compile_fn([model.logp()], mode=Mode(linker="py", optimizer=None))
    for chain, draw in ((0, 3), (1, 59)):
        values = loaded.data["posterior"].to_dataset().isel(chain=chain, draw=draw)
        point = {}
        for rv in model.free_RVs:
            name, value = model.rvs_to_values[rv].name, values[rv.name].values
            point[name] = np.log(value) if name.endswith("_log__") else value
            if name.endswith("_logodds__"):
                point[name] = special.logit(value)
        recorded = loaded.data["sample_stats"]["logp"].values[chain, draw]
        # Fused and plain arithmetic round differently, and so choose slightly different steps.
        assert density(point)[0] == pytest.approx(recorded, abs=1e-5)


def test_a_loaded_fit_gives_the_same_curves(saved):
    fit, folder = saved
    days = [0.0, 7.0, 28.0]
    loaded = ck.load_fit(folder / "fit.zarr")
    assert np.array_equal(loaded.curves(days).values, fit.curves(days).values)


def test_the_file_is_plain_hdf5_without_pickles(saved):
    """Every variable is a number or text; none is an object only Python can make sense of."""
    kinds = set()

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            text = h5py.check_string_dtype(item.dtype)
            opaque = h5py.check_opaque_dtype(item.dtype)
            assert not opaque, name
            kinds.add("text" if text else item.dtype.kind)

    with h5py.File(saved[1] / "fit.nc") as file:
        file.visititems(visit)
    assert kinds <= {"text", "f", "i", "u", "S"}


# --- writing ---------------------------------------------------------------------------------


def contents(folder):
    return sorted(p.name for p in Path(folder).iterdir())


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_no_temporary_is_left_behind(small_fit, tmp_path, suffix):
    for _ in range(2):  # the second time over the first
        small_fit.save(tmp_path / f"fit{suffix}")
        assert contents(tmp_path) == [f"fit{suffix}"]


@pytest.mark.parametrize(
    ("suffix", "writer"), [(".nc", "to_netcdf"), (".zarr", "to_zarr")], ids=["netCDF", "Zarr"]
)
def test_an_interrupted_write_leaves_the_old_file_whole(
    small_fit, tmp_path, monkeypatch, suffix, writer
):
    path = small_fit.save(tmp_path / f"fit{suffix}")
    whole = getattr(xr.DataTree, writer)

    def stopped(tree, where, **options):
        whole(tree, where, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(xr.DataTree, writer, stopped)
        with pytest.raises(KeyboardInterrupt):
            small_fit.save(path)
    assert contents(tmp_path) == [path.name]
    assert ck.load_fit(path).settings == small_fit.settings


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_rename_that_fails_leaves_the_old_file_whole(small_fit, tmp_path, monkeypatch, suffix):
    path = small_fit.save(tmp_path / f"fit{suffix}")
    rename = os.replace

    def fails(source, target):
        if Path(target) == path:
            raise OSError(28, "No space left on device")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        with pytest.raises(FitError, match=r"cannot be written \(No space left on device\)"):
            small_fit.save(path)
    assert contents(tmp_path) == [path.name]
    assert ck.load_fit(path).settings == small_fit.settings


def test_a_wrong_ending_is_named(small_fit, tmp_path):
    with pytest.raises(FitError, match=r"fit\.pkl: cannot tell the format; end the name with \.nc"):
        small_fit.save(tmp_path / "fit.pkl")


def test_a_missing_folder_is_named(small_fit, tmp_path):
    with pytest.raises(FitError, match=r"the folder .*nowhere does not exist"):
        small_fit.save(tmp_path / "nowhere" / "fit.nc")


# --- reading ---------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FitError, match=r"fit\.nc: does not exist"):
        ck.load_fit(tmp_path / "fit.nc")


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "text.nc").write_text("patient,day\n")
    with pytest.raises(FitError, match="cannot be read as a saved fit"):
        ck.load_fit(tmp_path / "text.nc")
    xr.Dataset({"x": 1.0}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(FitError, match="is not 'carkinetics fit, version 1' but 'something else'"):
        ck.load_fit(tmp_path / "other.nc")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(FitError, match="cannot be read as a saved fit"):
        ck.load_fit(tmp_path / "empty.zarr")


def test_many_patients_who_were_centered_in_another_way_are_refused(saved, monkeypatch):
    """Their x would be taken for that of other patients; this fit is taken for one of many."""
    monkeypatch.setattr("carkinetics.inference.centering.MANY_PATIENTS", 2)
    with pytest.raises(FitError, match="centered the effects of many patients in another way"):
        ck.load_fit(saved[1] / "fit.nc")


def tamper(path, name, change):
    with h5py.File(path, "r+") as file:
        node = file[f"carkinetics/source/{name}"]
        text = node[()].decode()
        assert change(text) != text
        node[()] = change(text)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("levels", lambda t: t.replace("S01,3.0,", "S01,3.5,"), "tables in it do not agree"),
        ("patients", lambda t: t.replace("S02", "S09"), "tables in it do not agree"),
        ("model_text", lambda t: t.replace("gsd=exp(0.3)", "gsd=exp(0.4)"), "model text in it"),
        ("facts", lambda t: t[:-5], "what it says of its own origin is damaged"),
        ("facts", lambda _: "{}", "what it says of its own origin is damaged"),
    ],
)
def test_a_file_that_was_changed_is_refused(small_fit, tmp_path, name, change, message):
    path = small_fit.save(tmp_path / "fit.nc")
    tamper(path, name, change)
    with pytest.raises(FitError, match=message):
        ck.load_fit(path)


def test_other_versions_are_said(small_fit, tmp_path, monkeypatch):
    path = small_fit.save(tmp_path / "fit.nc")
    now = dict(small_fit.settings["versions"])
    monkeypatch.setattr(storage, "package_versions", lambda: now | {"numba": "99.1"})
    with pytest.warns(CarkineticsWarning, match=r"made with numba .*, read with 99\.1"):
        loaded = ck.load_fit(path)
    assert loaded.differences == (f"made with numba {now['numba']}, read with 99.1",)
    assert loaded.differences[0] in repr(loaded)


def test_settings_are_readable_without_carkinetics(saved):
    with h5py.File(saved[1] / "fit.nc") as file:
        facts = json.loads(file["carkinetics/source/facts"][()].decode())
        assert file.attrs["synthetic"] == 1
    assert facts["settings"]["seed"] == saved[0].settings["seed"]
