"""Outcomes from a table beside the results."""

import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.followup.outcomes import read_outcomes

TABLE = "id,treatment,pfs_days,pfs_event,os_days\nb,RT,300,1,500\na,rt+x,120,0,\nc,RT,90,1,400\n"


@pytest.fixture
def table(tmp_path):
    def write(text=TABLE):
        path = tmp_path / "outcomes.csv"
        path.write_text(text)
        return path

    return write


def test_rows_are_found_by_name(table):
    found = read_outcomes(table(), ["a", "b"])
    assert found.treatment == ["rt+x", "RT"]
    days, event = found.times("pfs")
    assert days.tolist() == [120, 300]
    assert event.tolist() == [False, True]
    assert found.times("os") is None, "a's is not known"
    assert read_outcomes(table(), ["b", "c"]).times("os")[1].all(), "events that the table says nothing of have come"


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("x,pfs_days\na,3\n", "has no column id"),
        (TABLE.replace("\na,", "\nz,"), "has 0 rows whose id is 'a'"),
        (TABLE.replace("\nb,", "\na,"), "has 2 rows whose id is 'a'"),
        (TABLE.replace("120", "-1"), "pfs_days is below 0 in line 3"),
        (TABLE.replace("120", "soon"), "holds 'soon' in line 3"),
    ],
)
def test_what_is_wrong_is_one_sentence(table, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read_outcomes(table(text), ["a"])
