"""Every bad input has its sentence: file, row, patient, what is wrong, what to do."""

from __future__ import annotations

import pandas as pd
import pytest

from carkinetics import read_cohort
from carkinetics.errors import DataError, Fault

HEADER = "patient,day,assay,cell_type,level,unit,lloq,below_lloq"
GOOD = "P01,7,qpcr,total,900,copies/ug,50,0"


def faults_of(tmp_path, *rows, patients=None, header=HEADER, **options) -> tuple[Fault, ...]:
    """Faults found in a file of these rows; the first row is row 2."""
    levels = tmp_path / "levels.csv"
    levels.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    if patients is not None:
        path = tmp_path / "patients.csv"
        path.write_text("\n".join(patients) + "\n", encoding="utf-8")
        options["patients"] = path
    with pytest.raises(DataError) as caught:
        read_cohort(levels, **options)
    return caught.value.faults


def only(faults: tuple[Fault, ...]) -> Fault:
    assert len(faults) == 1, [str(fault) for fault in faults]
    return faults[0]


ROWS = {
    "negative level": (
        "P02,7,qpcr,total,-4,copies/ug,50,0",
        "level",
        ["-4", "negative"],
    ),
    "text in a number": (
        "P02,7,qpcr,total,many,copies/ug,50,0",
        "level",
        ["'many'", "not a number"],
    ),
    "quoted decimal comma": (
        'P02,7,qpcr,total,"912,5",copies/ug,50,0',
        "level",
        ["'912,5'", "912.5"],
    ),
    "ambiguous ND": ("P02,7,qpcr,total,ND,copies/ug,50,0", "level", ["'ND'", "BLQ"]),
    "level above the upper limit": (
        "P02,7,qpcr,total,>9000,copies/ug,50,0",
        "level",
        ["'>9000'", "upper limit"],
    ),
    "infinite level": (
        "P02,7,qpcr,total,inf,copies/ug,50,0",
        "level",
        ["inf", "not a finite number"],
    ),
    "no level": ("P02,7,qpcr,total,NaN,copies/ug,50,0", "level", ["has no level", "below_lloq"]),
    "text in another number": (
        "P02,7,qpcr,total,90,copies/ug,low,0",
        "lloq",
        ["'low'", "not a number"],
    ),
    "LLOQ of zero": ("P02,7,qpcr,total,90,copies/ug,0,0", "lloq", ["lloq 0", "not above 0"]),
    "no day": ("P02,,qpcr,total,90,copies/ug,50,0", "day", ["has no day", "infusion"]),
    "date for a day": (
        "P02,2024-01-07,qpcr,total,90,copies/ug,50,0",
        "day",
        ["'2024-01-07', not a number", "days since the infusion"],
    ),
    "infinite day": ("P02,inf,qpcr,total,90,copies/ug,50,0", "day", ["not a finite number"]),
    "no patient": (",7,qpcr,total,90,copies/ug,50,0", "patient", ["has no patient"]),
    "unknown assay": ("P02,7,qpc,total,90,copies/ug,50,0", "assay", ["'qpc'", "'qpcr'"]),
    "no assay": ("P02,7,,total,90,copies/ug,50,0", "assay", ["has no assay", "flow, qpcr"]),
    "unknown cell type": (
        "P02,7,flow,totl,90,cells/uL,50,0",
        "cell_type",
        ["'totl'", "did you mean 'total'"],
    ),
    "qPCR of sorted cells": (
        "P02,7,qpcr,CD8,90,copies/ug,50,0",
        "cell_type",
        ["qpcr of CD8", "total"],
    ),
    "unknown unit": ("P02,7,flow,total,90,cells/tube,50,0", "unit", ["'cells/tube'", "cells/uL"]),
    "unit of the other assay": (
        "P02,7,flow,total,90,copies/ug,50,0",
        "unit",
        ["'copies/ug'", "a unit of qpcr"],
    ),
    "percent of what": ("P02,7,flow,total,9,%,1,0", "unit", ["'%'", "% of CD3"]),
    "no unit": ("P02,7,flow,total,90,,50,0", "unit", ["has no unit"]),
    "percentage without CD3 count": (
        "P02,7,flow,total,9,% of CD3,1,0",
        "cd3_per_ul",
        ["CD3 cells/uL of the same draw"],
    ),
    "flag against level": (
        "P02,7,qpcr,total,90,copies/ug,50,1",
        "below_lloq",
        ["level 90", "above the LLOQ 50"],
    ),
    "level not flagged": (
        "P02,7,qpcr,total,32,copies/ug,50,0",
        "below_lloq",
        ["level 32 is below its LLOQ 50 but is not flagged", "flag_below_lloq=True"],
    ),
    "flag unclear": (
        "P02,7,qpcr,total,90,copies/ug,50,perhaps",
        "below_lloq",
        ["'perhaps'", "neither yes nor no"],
    ),
    "text against flag": (
        "P02,7,qpcr,total,<50,copies/ug,50,0",
        "below_lloq",
        ["'<50'", "below_lloq is false"],
    ),
    "two limits": ("P02,7,qpcr,total,<50,copies/ug,20,1", "level", ["'<50'", "lloq 20"]),
    "censored without LLOQ": (
        "P02,7,qpcr,total,,copies/ug,,1",
        "lloq",
        ["no LLOQ", "lloq={'qpcr'", "copies/ug"],
    ),
    "zero without LLOQ": (
        "P02,7,flow,total,0,cells/uL,,",
        "lloq",
        ["level is 0 and no LLOQ", "lloq={'flow'", "censored, never read as 0"],
    ),
    "BLQ without LLOQ": ("P02,7,flow,total,BLQ,cells/uL,,", "lloq", ["no LLOQ"]),
}


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_a_bad_row_is_named_with_its_remedy(tmp_path, case):
    row, section, words = ROWS[case]
    fault = only(faults_of(tmp_path, GOOD, row))
    assert (fault.file, fault.row, fault.section) == ("levels.csv", 3, section)
    assert fault.patient == (row.split(",")[0] or None)
    assert fault.where.startswith("levels.csv, row 3 (")
    assert fault.remedy
    for word in words:
        assert word in str(fault)


def test_the_place_reads_as_in_the_style_guide(tmp_path):
    row = "P07,14,qpcr,total,32,copies/ug,50,0"
    fault = only(faults_of(tmp_path, GOOD, row))
    assert str(fault).splitlines()[0] == (
        "levels.csv, row 3 (patient P07, day 14, qpcr): "
        "level 32 is below its LLOQ 50 but is not flagged"
    )


def test_rows_are_lines_of_the_file_with_comments_and_blank_lines_counted(tmp_path):
    path = tmp_path / "levels.csv"
    path.write_text(
        f"# made by hand\n# today\n{HEADER}\n{GOOD}\n\n# note\nP02,7,qpcr,total,-4,copies/ug,50,0\n"
    )
    with pytest.raises(DataError) as caught:
        read_cohort(path)
    assert only(caught.value.faults).row == 7


def test_rows_count_lines_also_where_a_quoted_text_runs_over_two(tmp_path):
    header = HEADER + ",remark"
    rows = [GOOD + ',"first\nsecond"', "P02,7,qpcr,total,-4,copies/ug,50,0,x"]
    assert only(faults_of(tmp_path, *rows, header=header)).row == 4


def test_the_rows_of_a_data_frame_are_counted_as_in_a_file():
    frame = pd.DataFrame(
        {
            "patient": [1, 2],
            "day": [7, 7],
            "assay": "qpcr",
            "cell_type": "total",
            "level": [900.0, -4.0],
            "unit": "copies/ug",
        }
    )
    with pytest.raises(DataError) as caught:
        read_cohort(frame)
    fault = only(caught.value.faults)
    assert (fault.file, fault.row, fault.patient) == ("levels table", 3, "2")


def test_a_missing_column_is_named_with_the_nearest_one(tmp_path):
    header = HEADER.replace("level", "levl", 1)
    fault = only(faults_of(tmp_path, GOOD, header=header))
    assert (fault.file, fault.section) == ("levels.csv", "level")
    assert "column 'level' is missing; did you mean 'levl'?" in fault.what
    assert "columns={'your name': 'level'}" in fault.remedy


def test_a_missing_column_does_not_hide_the_faults_of_the_others(tmp_path):
    header = HEADER.replace(",unit", "")
    row = "P02,7,qpcr,total,-4,50,0"
    faults = faults_of(tmp_path, row, header=header)
    assert {fault.section for fault in faults} == {"unit", "level"}


def test_mixed_units_in_one_assay_are_refused(tmp_path):
    fault = only(faults_of(tmp_path, GOOD, "P02,7,qpcr,total,90,copies/50 ng,50,0"))
    assert (fault.row, fault.section) == (3, "unit")
    assert "in row 2 (1 rows differ)" in fault.what
    assert "one unit" in fault.remedy


def test_percent_of_cd3_mixed_with_counts_is_refused(tmp_path):
    header = HEADER + ",cd3_per_ul"
    rows = ["P01,7,flow,total,9,% of CD3,1,0,800", "P01,9,flow,total,9,cells/uL,1,0,800"]
    fault = only(faults_of(tmp_path, *rows, header=header))
    assert fault.section == "unit"
    assert "% of CD3" in fault.what


def test_spellings_of_one_unit_are_not_mixed_units(tmp_path):
    path = tmp_path / "levels.csv"
    path.write_text(
        f"{HEADER}\n{GOOD}\nP02,7,qpcr,total,90,copies/µg gDNA,50,0\n", encoding="utf-8"
    )
    assert set(read_cohort(path).levels["unit"]) == {"copies/ug"}


def test_a_duplicate_sample_names_both_rows(tmp_path):
    fault = only(faults_of(tmp_path, GOOD, "P02,7,qpcr,total,90,copies/ug,50,0", GOOD))
    assert (fault.row, fault.patient) == (4, "P01")
    assert "the first is in row 2" in fault.what


def test_all_faults_of_both_tables_are_raised_together(tmp_path):
    patients = ["patient,crs_grade", "P01,7", "P01,1"]
    faults = faults_of(
        tmp_path,
        "P01,7,qpcr,total,-4,copies/ug,50,0",
        "P01,x,qpcr,totl,8,copies/kg,0,0",
        patients=patients,
    )
    sections = {(fault.file, fault.section) for fault in faults}
    assert sections >= {
        ("levels.csv", "level"),
        ("levels.csv", "day"),
        ("levels.csv", "cell_type"),
        ("levels.csv", "unit"),
        ("levels.csv", "lloq"),
        ("patients.csv", "crs_grade"),
        ("patients.csv", "patient"),
    }


def test_a_fault_repeated_a_thousand_times_does_not_hide_another(tmp_path):
    rows = [f"P01,{day},qpcr,total,-4,copies/ug,50,0" for day in range(1000)]
    rows.append("P02,7,qpcr,total,9e3,copies/kg,50,0")
    faults = faults_of(tmp_path, *rows)
    assert "copies/kg" in str(faults[1])
    assert any("800 further rows have the same fault" in fault.what for fault in faults)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty"]),
        (b"\n\n# nothing\n", ["is empty"]),
        (HEADER.encode(), ["header but no rows"]),
        (HEADER.replace(",", ";").encode() + b"\nP01;7", ["semicolons", "sep=';', decimal=','"]),
        (HEADER.replace(",", "\t").encode() + b"\nP01\t7", ["tabs", r"sep='\t'"]),
        (HEADER.encode() + b"\nP\xe9ter,7,qpcr,total,9,copies/ug,5,0", ["not UTF-8", "0xe9"]),
        ((HEADER + "\n" + GOOD).encode("utf-16"), ["UTF-16"]),
        (b"PK\x03\x04rest of a workbook", ["Excel workbook", "read_excel"]),
        (
            HEADER.encode() + b"\nP01,7,qpcr,total,912,5,copies/ug,50,0",
            ["9 fields", "the header has 8", "decimal comma"],
        ),
        (HEADER.encode() + b"\nP01,7,qpcr,total", ["4 fields", "the header has 8"]),
        (HEADER.encode() + b",day\n" + GOOD.encode() + b",7", ["'day'", "stand twice"]),
    ],
    ids=[
        "empty",
        "comments only",
        "no rows",
        "semicolons",
        "tabs",
        "latin-1",
        "utf-16",
        "workbook",
        "decimal comma",
        "cut short",
        "column twice",
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_cure(tmp_path, content, words):
    path = tmp_path / "levels.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_cohort(path)
    fault = only(caught.value.faults)
    assert fault.file == "levels.csv"
    assert fault.remedy
    for word in words:
        assert word in str(fault)


def test_the_line_of_a_byte_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "levels.csv"
    path.write_bytes(f"{HEADER}\n{GOOD}\n".encode() + b"P\xe9,7,qpcr,total,9,copies/ug,5,0\n")
    with pytest.raises(DataError) as caught:
        read_cohort(path)
    assert only(caught.value.faults).row == 3


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: does not exist"):
        read_cohort(tmp_path / "nowhere.csv")


def test_an_empty_data_frame_is_refused():
    with pytest.raises(DataError, match="levels table: has no rows"):
        read_cohort(pd.DataFrame())


def test_something_that_is_no_table_is_refused():
    with pytest.raises(DataError, match="a list, neither a path nor a pandas DataFrame"):
        read_cohort([1, 2])


PATIENT_ROWS = {
    "grade outside 0-5": ("crs_grade", "7", "crs_grade", ["crs_grade 7", "0 to 5"]),
    "half a grade": ("icans_grade", "1.5", "icans_grade", ["1.5", "whole grade"]),
    "share as a percentage": ("product_cd4_share", "45", "product_cd4_share", ["45", "by 100"]),
    "negative day": ("crs_onset_day", "-3", "crs_onset_day", ["-3", "negative"]),
    "text in a grade": ("crs_grade", "mild", "crs_grade", ["'mild'", "not a number"]),
    "grade where yes or no belongs": ("iec_hs", "3", "iec_hs", ["'3'", "neither", "covariate"]),
    "event without day": ("ttp_day,progressed", ",1", "ttp_day", ["progressed is given"]),
    "day without event": ("ttp_day,progressed", "40,", "progressed", ["ttp_day is given"]),
    "dose of zero": ("dose", "0", "dose", ["not above 0"]),
}


@pytest.mark.parametrize("case", PATIENT_ROWS, ids=str)
def test_a_bad_row_of_the_patient_table_is_named_with_its_remedy(tmp_path, case):
    columns, values, section, words = PATIENT_ROWS[case]
    patients = [f"patient,{columns}", f"P01,{values}"]
    fault = only(faults_of(tmp_path, GOOD, patients=patients))
    assert (fault.file, fault.row, fault.patient) == ("patients.csv", 2, "P01")
    assert fault.section == section
    for word in words:
        assert word in str(fault)


def test_a_day_column_without_its_event_column_is_refused(tmp_path):
    fault = only(faults_of(tmp_path, GOOD, patients=["patient,os_day", "P01,90"]))
    assert "column 'os_day' needs column 'died'" in fault.what


def test_a_patient_table_without_patients_is_refused(tmp_path):
    fault = only(faults_of(tmp_path, GOOD, patients=["name,crs_grade", "P01,2"]))
    assert (fault.file, fault.section) == ("patients.csv", "patient")


def test_two_columns_of_one_meaning_are_refused(tmp_path):
    header = HEADER.replace("patient", "usubjid") + ",subject"
    fault = only(faults_of(tmp_path, GOOD + ",P01", header=header))
    assert "2 columns mean 'patient': usubjid, subject" in fault.what


def test_an_unknown_name_in_columns_is_named(tmp_path):
    faults = faults_of(tmp_path, GOOD, columns={"lvel": "level", "day": "daay"})
    text = "\n".join(str(fault) for fault in faults)
    assert "no table has a column 'lvel'; did you mean 'level'?" in text
    assert "'daay' is not a column of ours; did you mean 'day'?" in text


@pytest.mark.parametrize(
    ("lloq", "word"), [({"pcr": 50}, "'pcr'"), ({"flow": 0}, "flow is 0"), ({"flow": "x"}, "'x'")]
)
def test_a_stated_limit_that_makes_no_sense_is_refused(tmp_path, lloq, word):
    fault = only(faults_of(tmp_path, GOOD, lloq=lloq))
    assert fault.section == "lloq"
    assert word in fault.what


def test_synthetic_and_real_rows_do_not_mix(tmp_path):
    fault = only(
        faults_of(
            tmp_path,
            GOOD + ",1",
            "P02,7,qpcr,total,90,copies/ug,50,0,0",
            header=HEADER + ",synthetic",
        )
    )
    assert "some rows are marked synthetic and others are not" in fault.what


def test_draws_of_zero_cd4_and_cd8_need_a_limit_for_their_total(tmp_path):
    rows = ["P01,7,flow,CD4,0,cells/uL,,", "P01,7,flow,CD8,0,cells/uL,,"]
    fault = only(faults_of(tmp_path, *rows))
    assert "CD4 + CD8 is 0 and no LLOQ is given" in fault.what
    assert "lloq={'flow'" in fault.remedy


# --- limits of detection ----------------------------------------------------------------------

DETECTION = f"{HEADER},lod,detected"


@pytest.mark.parametrize(
    ("row", "section", "words"),
    [
        ("P02,7,qpcr,total,20,copies/ug,50,1,60,", "lod", ["LOD 60", "LLOQ 50"]),
        ("P02,7,qpcr,total,900,copies/ug,50,0,10,0", "detected", ["level 900", "not below"]),
        ("P02,7,qpcr,total,20,copies/ug,50,1,10,0", "detected", ["level 20", "LOD 10"]),
        ("P02,7,qpcr,total,5,copies/ug,50,1,10,1", "detected", ["level 5", "below the LOD 10"]),
        ("P02,7,qpcr,total,20,copies/ug,50,1,0,", "lod", ["lod 0", "not above 0"]),
        ("P02,7,qpcr,total,20,copies/ug,50,1,10,maybe", "detected", ["'maybe'", "yes nor no"]),
    ],
)
def test_detection_that_contradicts_itself_is_named(tmp_path, row, section, words):
    fault = only(faults_of(tmp_path, f"{GOOD},10,", row, header=DETECTION))
    assert fault.section == section
    assert (fault.patient, fault.row) == ("P02", 3)
    for word in words:
        assert word in str(fault)
