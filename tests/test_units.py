"""Units know cells, copies and the latent level, and nothing reaches pint but plain names."""

import pytest

from carkinetics.errors import UnitError
from carkinetics.units import format_unit, parse_unit, same_unit, scale_between


@pytest.mark.parametrize(
    "text", ["cells/uL", "copies/ug", "1/day", "level*day", "cells/uL/day", "1", "copies/cells"]
)
def test_units_are_written_as_they_were_read(text):
    assert format_unit(parse_unit(text)) == text


def test_micro_signs_and_singulars_mean_the_same_unit():
    assert same_unit(parse_unit("cell/\u00b5L"), parse_unit("cells/uL"))
    assert same_unit(parse_unit("copy/\u03bcg"), parse_unit("copies/ug"))


def test_cells_copies_and_level_measure_different_things():
    assert scale_between(parse_unit("cells"), parse_unit("copies")) is None
    assert scale_between(parse_unit("level"), parse_unit("cells/uL")) is None
    assert scale_between(parse_unit("cells"), parse_unit("1")) is None


def test_units_of_other_size_are_not_the_same():
    # Analytic: 1 cells/uL = 1000 cells/mL; a week has 7 days.
    assert scale_between(parse_unit("cells/uL"), parse_unit("cells/mL")) == 1000
    assert scale_between(parse_unit("week"), parse_unit("day")) == 7
    assert not same_unit(parse_unit("cells/uL"), parse_unit("cells/mL"))


def test_a_misspelled_unit_is_named_with_a_suggestion():
    with pytest.raises(UnitError, match="unknown unit 'cels' in 'cels/uL'; did you mean 'cells'"):
        parse_unit("cels/uL")


@pytest.mark.parametrize(
    "text",
    [
        *("m**9**9**9", "day**999999999", "1//day", "cells/", "2*day", "(cells)", "cells uL"),
        *("__import__('os')", "E.__class__", "day" * 50, "*", "c\u00e9lls"),
    ],
)
def test_text_that_is_no_unit_is_refused(text):
    with pytest.raises(UnitError):
        parse_unit(text)
