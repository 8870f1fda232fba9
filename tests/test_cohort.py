"""What a cohort holds, what is accepted and counted, and the cohort that ships."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carkinetics import Cohort, read_cohort, synthetic_cohort
from carkinetics.errors import DataError

COLUMNS = ["patient", "day", "assay", "cell_type", "level", "unit", "lloq", "below_lloq"]


def levels_of(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS)


def flow(patient, day, cell_type, level, lloq=None, below=None):
    return (patient, day, "flow", cell_type, level, "cells/uL", lloq, below)


def qpcr(patient, day, level, lloq=50.0, below=None):
    return (patient, day, "qpcr", "total", level, "copies/ug", lloq, below)


def notice_of(cohort: Cohort, kind: str):
    found = [notice for notice in cohort.notices if notice.kind == kind]
    assert len(found) == 1, [notice.kind for notice in cohort.notices]
    return found[0]


@pytest.fixture(scope="module")
def built_in() -> Cohort:
    return synthetic_cohort()


# The cohort that ships. Counts: README of the source data.


def test_the_built_in_cohort_has_the_documented_counts(built_in):
    assert built_in.n_patients == 16
    assert built_in.assays == ("flow", "qpcr")
    assert built_in.cell_types("flow") == ("CD4", "CD8", "total")
    assert built_in.cell_types("qpcr") == ("total",)
    assert len(built_in.samples("flow", "total")) == 151
    assert built_in.samples("flow", "total")["below_lloq"].sum() == 39
    assert built_in.samples("qpcr")["below_lloq"].sum() == 27
    assert built_in.notices == ()


def test_the_limits_of_the_built_in_cohort_stand_on_the_totals(built_in):
    assert set(built_in.samples("flow", "total")["lloq"]) == {0.5}
    assert set(built_in.samples("qpcr")["lloq"]) == {50.0}
    for cell_type in ("CD4", "CD8"):
        split = built_in.samples("flow", cell_type)
        assert split["lloq"].isna().all()
        assert not split["below_lloq"].any()
    assert built_in.levels["wbc_per_ul"].notna().all()


def test_the_built_in_cohort_says_it_is_synthetic_everywhere(built_in):
    assert built_in.synthetic
    assert "SYNTHETIC, not patient data" in repr(built_in)
    assert "SYNTHETIC, not patient data" in built_in._repr_html_()
    folder = Path(sys.modules["carkinetics.cohort"].__file__).parent / "_data" / "virtual_cd22"
    for name in ("levels.csv", "patients.csv"):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# SYNTHETIC - NOT PATIENT DATA")
        assert lines[1].startswith("# every per-patient value is invented")
        assert all(line.endswith(",1") for line in lines[3:])


def test_the_outcomes_of_the_built_in_cohort_carry_our_names(built_in):
    patients = built_in.patients
    assert patients["progressed"].sum() == 11
    assert patients["pfs_event"].sum() == 13
    assert patients["died"].sum() == 10
    assert patients["iec_hs"].sum() == 3
    assert patients["crs_grade"].value_counts().to_dict() == {0: 3, 1: 6, 2: 6, 3: 1}
    assert patients["response"].value_counts()["CR"] == 12
    assert str(patients["crs_grade"].dtype) == "Int64"
    assert str(patients["iec_hs"].dtype) == "boolean"


@pytest.mark.real_data
def test_the_built_in_cohort_equals_its_source_number_by_number(built_in, real_data):
    folder = real_data / "virtual_cd22"
    source = pd.read_csv(folder / "virtual_cd22_kinetics.csv", comment="#")
    source = source.sort_values(["patient_id", "day"], ignore_index=True)
    wanted = {
        ("flow", "CD4"): source["cd4_car_per_ul"],
        ("flow", "CD8"): source["cd8_car_per_ul"],
        ("flow", "total"): (source["cd4_car_per_ul"] + source["cd8_car_per_ul"]).round(9),
        ("qpcr", "total"): source["qpcr_copies_per_ug"],
    }
    for (assay, cell_type), level in wanted.items():
        ours = built_in.samples(assay, cell_type)
        assert list(ours["patient"]) == list(source["patient_id"])
        np.testing.assert_array_equal(ours["day"], source["day"])
        np.testing.assert_array_equal(ours["level"], level)
        np.testing.assert_array_equal(ours["wbc_per_ul"], source["wbc_per_ul"])
        if cell_type == "total":
            flag, limit = ("blq_flow", "lloq_flow_per_ul")
            if assay == "qpcr":
                flag, limit = ("blq_qpcr", "lloq_qpcr_per_ug")
            np.testing.assert_array_equal(ours["below_lloq"], source[flag] == 1)
            np.testing.assert_array_equal(ours["lloq"], source[limit])


@pytest.mark.real_data
def test_the_built_in_patient_table_equals_its_source_column_by_column(built_in, real_data):
    source = pd.read_csv(real_data / "virtual_cd22" / "virtual_cd22_outcomes.csv", comment="#")
    source = source.sort_values("patient_id", ignore_index=True)
    renamed = {
        "patient_id": "patient",
        "best_response": "response",
        "pfs_days": "pfs_day",
        "os_days": "os_day",
        "death_event": "died",
        "iechs_day": "iec_hs_day",
        "iechs": "iec_hs",
        "ttp_days": "ttp_day",
        "ttp_event": "progressed",
        "dose_cells_per_kg": "dose",
        "product_cd4_frac": "product_cd4_share",
    }
    source = source.rename(columns=renamed)
    assert list(source.columns) == list(built_in.patients.columns)
    for name in source.columns:
        ours, theirs = built_in.patients[name], source[name]
        np.testing.assert_array_equal(ours.isna(), theirs.isna(), err_msg=name)
        given = theirs.notna()
        if pd.api.types.is_numeric_dtype(theirs.dtype):
            ours, theirs = ours[given].astype(float), theirs[given].astype(float)
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
        else:
            assert list(ours[given]) == list(theirs[given]), name


# The frozen object.


def test_a_cohort_is_frozen_and_has_its_own_tables():
    frame = levels_of(qpcr("P1", 7, 900.0))
    cohort = read_cohort(frame)
    with pytest.raises(dataclasses.FrozenInstanceError):
        cohort.name = "other"
    frame.loc[0, "level"] = 1.0
    assert cohort.levels["level"].tolist() == [900.0]
    samples = cohort.samples()
    samples.loc[0, "level"] = 2.0
    assert cohort.levels["level"].tolist() == [900.0]


def test_the_hash_follows_the_data_and_not_the_file(tmp_path):
    text = ",".join(COLUMNS) + "\nP1,7,qpcr,total,900,copies/ug,50,0\n"
    plain, commented, other = (tmp_path / f"{name}.csv" for name in "abc")
    plain.write_text(text)
    commented.write_text("# a comment\n" + text)
    other.write_text(text.replace("900", "901"))
    assert len(read_cohort(plain).data_hash) == 64
    assert read_cohort(plain).data_hash == read_cohort(commented).data_hash
    assert read_cohort(plain).data_hash != read_cohort(other).data_hash


def test_levels_are_sorted_and_numbered_whatever_the_order_of_the_file():
    rows = [qpcr("B", 7, 90.0), flow("A", 9, "total", 4.0), qpcr("A", 9, 80.0), qpcr("A", 3, 70.0)]
    levels = read_cohort(levels_of(*rows)).levels
    assert list(levels["patient"]) == ["A", "A", "A", "B"]
    assert list(levels["day"]) == [3, 9, 9, 7]
    assert list(levels["assay"]) == ["qpcr", "flow", "qpcr", "qpcr"]
    assert list(levels["row"]) == [5, 3, 4, 2]
    assert list(levels.index) == [0, 1, 2, 3]


def test_select_keeps_patients_and_their_notices(built_in):
    part = built_in.select(["VP03", "VA01"])
    assert part.patient_ids == ("VA01", "VP03")
    assert set(part.levels["patient"]) == {"VA01", "VP03"}
    assert part.synthetic
    rows = [qpcr("A", 7, 90.0), qpcr("B", -2, 90.0), qpcr("B", 7, 90.0), qpcr("B", 9, 90.0)]
    cohort = read_cohort(levels_of(*rows))
    assert notice_of(cohort, "baseline_samples").patients == ("B",)
    assert [notice.kind for notice in cohort.select("A").notices] == ["single_sample"]


def test_select_names_an_unknown_patient(built_in):
    with pytest.raises(DataError, match="no patient 'VP3'; did you mean 'VP03'"):
        built_in.select(["VP3"])


def test_a_cohort_prints_its_samples_and_notices():
    rows = [flow("<b>", 7, "CD4", 1.0), flow("<b>", 7, "CD8", 3.0), qpcr("<b>", -1, 60.0)]
    cohort = read_cohort(levels_of(*rows), name="trial")
    text = repr(cohort)
    assert "Cohort trial: 1 patients, 4 levels, days -1 to 7" in text
    assert "split of total" in text
    assert "levels before infusion, kept but not fitted: 1 sample of 1 patient" in text
    assert "<b>" not in cohort._repr_html_()
    assert "&lt;b&gt;" in cohort._repr_html_()


# Reading: names, units, limits.


def test_common_names_of_columns_are_understood(tmp_path):
    path = tmp_path / "levels.csv"
    path.write_text(
        "USUBJID,Day,Assay,Cell Type,DV,Units,ALLOQ,BLQFL\n001,7,qPCR,CAR+,900,copies/ug,50,N\n"
    )
    levels = read_cohort(path).levels
    assert levels.loc[0, ["patient", "cell_type", "level", "lloq"]].tolist() == [
        "001",
        "total",
        900.0,
        50.0,
    ]


def test_columns_maps_names_of_both_tables():
    levels = levels_of(qpcr("P1", 7, 900.0)).rename(columns={"patient": "pat", "level": "amount"})
    patients = pd.DataFrame({"pat": ["P1"], "worst": [2]})
    columns = {"pat": "patient", "amount": "level", "worst": "crs_grade"}
    cohort = read_cohort(levels, patients, columns=columns)
    assert cohort.patients["crs_grade"].tolist() == [2]


def test_ids_agree_between_text_numbers_and_numbers_with_gaps():
    levels = levels_of(qpcr(277, 7, 900.0))
    patients = pd.DataFrame({"patient": [277.0], "crs_grade": [1]})
    assert read_cohort(levels, patients).patient_ids == ("277",)


@pytest.mark.parametrize(
    ("assay", "unit", "factor"),
    [
        ("flow", "cells/µL", 1.0),  # micro sign
        ("flow", "cells/μl", 1.0),  # Greek mu
        ("flow", "cells/mm3", 1.0),
        ("flow", "cells/mL", 1e-3),
        ("flow", "10^9/L", 1e3),
        ("qpcr", "copies/µg gDNA", 1.0),
        ("qpcr", "copies per ug DNA", 1.0),
        ("qpcr", "copies/50 ng", 20.0),
        ("qpcr", "copies/ng", 1000.0),
    ],
)
def test_units_are_converted_with_their_limits(assay, unit, factor):
    row = ("P1", 7, assay, "total", 80.0, unit, 10.0, False)
    levels = read_cohort(levels_of(row)).levels
    assert levels.loc[0, "level"] == pytest.approx(80.0 * factor)
    assert levels.loc[0, "lloq"] == pytest.approx(10.0 * factor)
    assert levels.loc[0, "unit"] == {"flow": "cells/uL", "qpcr": "copies/ug"}[assay]


def test_percent_of_cd3_becomes_a_count_with_its_limit():
    frame = levels_of(("P1", 7, "flow", "total", 5.0, "% of CD3", 0.1, False))
    levels = read_cohort(frame.assign(cd3_per_ul=800.0)).levels
    assert levels.loc[0, ["level", "lloq"]].tolist() == pytest.approx([40.0, 0.8])


@pytest.mark.parametrize("text", ["<50", "< 50", "BLQ", "BLOQ", "<LLOQ"])
def test_words_for_below_the_limit_are_understood(text):
    levels = read_cohort(levels_of(qpcr("P1", 7, text), qpcr("P1", 9, "90"))).levels
    assert levels["below_lloq"].tolist() == [True, False]
    assert np.isnan(levels.loc[0, "level"])
    assert levels.loc[0, "lloq"] == 50.0


def test_a_text_may_be_the_only_statement_of_the_limit():
    levels = read_cohort(levels_of(qpcr("P1", 7, "<25", lloq=None))).levels
    assert levels.loc[0, "lloq"] == 25.0
    assert levels.loc[0, "below_lloq"]


def test_a_level_held_at_its_limit_may_be_flagged():
    """NONMEM and Monolix put the LLOQ into the level of a censored row."""
    assert read_cohort(levels_of(qpcr("P1", 7, 50.0, 50.0, True))).levels["below_lloq"].all()


def test_a_level_at_its_limit_is_quantified():
    assert not read_cohort(levels_of(qpcr("P1", 7, 50.0))).levels["below_lloq"].any()


def test_flag_below_lloq_flags_and_counts():
    rows = [qpcr("P1", 7, 32.0), qpcr("P1", 9, 90.0, 50.0, False)]
    cohort = read_cohort(levels_of(*rows), flag_below_lloq=True)
    assert cohort.levels["below_lloq"].tolist() == [True, False]
    assert notice_of(cohort, "flagged_on_reading").count == 1


def test_a_stated_limit_censors_zeros_and_leaves_other_limits_alone():
    rows = [
        flow("P1", 3, "total", 0.0),
        flow("P1", 7, "total", 9.0),
        flow("P1", 9, "total", 2.0, 1.5),
    ]
    cohort = read_cohort(levels_of(*rows), lloq={"flow": 0.5})
    assert cohort.levels["below_lloq"].tolist() == [True, False, False]
    assert cohort.levels["lloq"].tolist() == [0.5, 0.5, 1.5]
    assert notice_of(cohort, "limit_stated").count == 2


def test_zeros_of_the_split_need_no_limit():
    rows = [flow("P1", 7, "CD4", 0.0), flow("P1", 7, "CD8", 8.0), flow("P1", 7, "total", 8.0, 0.5)]
    levels = read_cohort(levels_of(*rows)).levels
    assert not levels["below_lloq"].any()
    assert levels["lloq"].tolist()[2] == 0.5


# Totals of CD4 and CD8.


def test_totals_are_computed_where_only_cd4_and_cd8_are_given():
    rows = [flow("P1", 7, "CD4", 1.0), flow("P1", 7, "CD8", 3.0)]
    cohort = read_cohort(levels_of(*rows))
    assert cohort.samples("flow", "total")["level"].tolist() == [4.0]
    assert notice_of(cohort, "total_computed").count == 1


def test_a_computed_total_takes_the_stated_limit():
    rows = [flow("P1", 7, "CD4", 0.0), flow("P1", 7, "CD8", 0.2)]
    total = read_cohort(levels_of(*rows), lloq={"flow": 0.5}).samples("flow", "total")
    assert total[["level", "lloq", "below_lloq"]].to_numpy().tolist() == [[0.2, 0.5, True]]


@pytest.mark.parametrize(
    ("four", "eight", "level", "lloq", "below"),
    [
        ((5.0, False), (9.0, False), 14.0, 2.0, False),
        (("BLQ", None), ("BLQ", None), None, 2.0, True),
        (("BLQ", None), (0.9, True), None, 2.0, True),
        # CD8 is 1.2, CD4 somewhere under 1: the total lies under 2.2.
        (("BLQ", None), (1.2, False), None, 2.2, True),
        (("BLQ", None), (90.0, False), 90.0, 2.0, False),
    ],
)
def test_a_computed_total_is_below_its_limit_when_its_parts_cannot_show_more(
    four, eight, level, lloq, below
):
    rows = [
        flow("P1", 7, "CD4", four[0], 1.0, four[1]),
        flow("P1", 7, "CD8", eight[0], 1.0, eight[1]),
    ]
    total = read_cohort(levels_of(*rows)).samples("flow", "total").loc[0]
    assert total["below_lloq"] == below
    assert total["lloq"] == pytest.approx(lloq)
    assert np.isnan(total["level"]) if level is None else total["level"] == level


def test_a_total_that_differs_from_its_parts_is_noticed():
    rows = [flow("P1", 7, "CD4", 1.0), flow("P1", 7, "CD8", 3.0), flow("P1", 7, "total", 8.0)]
    assert notice_of(read_cohort(levels_of(*rows)), "split_differs").patients == ("P1",)


def test_cd4_without_cd8_and_total_is_noticed():
    rows = [flow("P1", 7, "CD4", 1.0), flow("P1", 9, "total", 3.0)]
    assert notice_of(read_cohort(levels_of(*rows)), "split_incomplete").count == 1


# Accepted and counted.


def test_patients_missing_from_either_table_are_kept_and_counted():
    levels = levels_of(qpcr("A", 7, 90.0), qpcr("B", 7, 90.0))
    patients = pd.DataFrame({"patient": ["B", "C"], "crs_grade": [2, 0], "age": [20, 30]})
    cohort = read_cohort(levels, patients)
    assert cohort.patient_ids == ("A", "B", "C")
    assert notice_of(cohort, "without_outcomes").patients == ("A",)
    assert notice_of(cohort, "without_levels").patients == ("C",)
    assert cohort.patients["crs_grade"].isna().tolist() == [True, False, False]
    assert str(cohort.patients["age"].dtype) == "Int64"


def test_samples_before_infusion_are_kept_and_not_fitted():
    cohort = read_cohort(levels_of(qpcr("A", -3, 60.0), qpcr("A", 0, 70.0), qpcr("A", 7, 90.0)))
    assert cohort.levels["baseline"].tolist() == [True, False, False]
    assert len(cohort.samples()) == 2
    assert len(cohort.samples(fitted=False)) == 3
    assert notice_of(cohort, "baseline_samples").count == 1


def test_patients_all_below_the_limit_or_with_one_sample_are_counted():
    rows = [qpcr("A", 7, "BLQ"), qpcr("A", 9, "BLQ"), qpcr("B", 7, 90.0)]
    cohort = read_cohort(levels_of(*rows))
    assert notice_of(cohort, "all_below_lloq").patients == ("A",)
    assert notice_of(cohort, "single_sample").patients == ("B",)


def test_a_patient_without_one_assay_is_counted():
    rows = [qpcr("A", 7, 90.0), flow("A", 7, "total", 4.0), qpcr("B", 7, 90.0)]
    assert notice_of(read_cohort(levels_of(*rows)), "no_samples").patients == ("B",)


def test_columns_that_are_not_used_are_named():
    frame = levels_of(qpcr("A", 7, 90.0)).assign(tube="x")
    assert "tube" in notice_of(read_cohort(frame), "columns_not_used").text


def test_contradictory_outcomes_are_noticed():
    patients = pd.DataFrame({"patient": ["A"], "crs_grade": [0], "crs_onset_day": [3]})
    cohort = read_cohort(levels_of(qpcr("A", 7, 90.0)), patients)
    assert "day of CRS onset" in notice_of(cohort, "contradictory_outcomes").text


def test_levels_after_the_end_of_follow_up_are_noticed():
    patients = pd.DataFrame({"patient": ["A"], "os_day": [5], "died": [True]})
    cohort = read_cohort(levels_of(qpcr("A", 7, 90.0)), patients)
    assert notice_of(cohort, "after_follow_up").patients == ("A",)


def test_covariates_of_a_file_keep_their_kind(tmp_path):
    path = tmp_path / "patients.csv"
    path.write_text(
        "patient,age,weight,center,sex,visits,died,os_day\nA,20,71.5,007,F,,yes,90\nB,31,80,011,M,4,no,95\n"
    )
    rows = [qpcr("A", 7, 90.0), qpcr("B", 7, 90.0)]
    patients = read_cohort(levels_of(*rows), path).patients
    kinds = patients.dtypes.astype(str)
    assert kinds[["age", "weight", "visits"]].tolist() == ["int64", "float64", "Int64"]
    assert patients["center"].tolist() == ["007", "011"]
    assert patients["died"].tolist() == [True, False]


def test_a_cohort_loads_without_the_heavy_packages():
    code = (
        "import sys, carkinetics; carkinetics.synthetic_cohort(); "
        "print([name for name in ('pymc', 'numba', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_cells_seen_below_the_limit_of_quantification_are_detected():
    """By LOD or by flag; in %, the LOD is converted with the level; a total is seen in a part."""
    columns = ["patient", "day", "assay", "cell_type", "level", "unit", "lloq", "lod", "detected"]
    rows = [
        ("A", 7, "qpcr", "total", 900, "copies/ug", 50, 10, None),
        ("A", 14, "qpcr", "total", 20, "copies/ug", 50, 10, None),
        ("A", 21, "qpcr", "total", 5, "copies/ug", 50, 10, None),
        ("A", 28, "qpcr", "total", "BLQ", "copies/ug", 50, 10, None),
        ("A", 60, "qpcr", "total", "BLQ", "copies/ug", 50, None, "yes"),
        ("A", 7, "flow", "CD4", 0.002, "% of CD3", 0.01, 0.001, None),
        ("A", 7, "flow", "CD8", 0.0005, "% of CD3", 0.01, 0.001, None),
    ]
    table = pd.DataFrame(rows, columns=columns).assign(cd3_per_ul=1000)
    cohort = read_cohort(table, flag_below_lloq=True)
    qpcr = cohort.samples("qpcr")
    assert qpcr["detected"].tolist() == [True, True, False, False, True]
    assert qpcr["lod"].iloc[0] == 10
    flow = cohort.samples("flow").set_index("cell_type")
    assert flow.loc["CD4", "lod"] == pytest.approx(0.01)
    assert flow["detected"].to_dict() == {"CD4": True, "CD8": False, "total": True}
    assert "detected below LLOQ" in repr(cohort)
    silent = read_cohort(table.drop(columns=["lod", "detected"]), flag_below_lloq=True)
    assert "detected" not in silent.levels
    assert "lod" not in silent.levels
