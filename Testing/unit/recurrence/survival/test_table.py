"""Tables as people keep them, and slips that are told in a sentence."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.survival.table import Covariate, read_table


def made(tmp_path, text, encoding="utf-8", name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read_table(path)


@pytest.mark.parametrize(
    "text, encoding",
    [
        ("age;os\n61,5;12\n48;1.204,25\n", "utf-8"),
        ("age;os\r\n61,5;12\r\n48;1204,25\r\n", "utf-8-sig"),
        ("age\tos\n61,5\t12\n48\t1204,25\n", "utf-16"),
        ("age,os\n61.5,12\n48,1204.25\n\n", "utf-8"),
        ('age,os\n"61,5",12\n48,"1204,25"\n', "utf-8"),
        ('sep=;\n"age";"os";;\n61,5;12;;\n48;1204,25;;\n', "utf-8"),
    ],
)
def test_delimiters_decimals_and_encodings(tmp_path, text, encoding):
    table = made(tmp_path, text, encoding)
    assert table.numbers("age").tolist() == [61.5, 48]
    assert table.numbers("os").tolist() == [12, 1204.25]


def test_words_of_the_code_page_of_windows(tmp_path):
    assert list(made(tmp_path, "Überleben;Größe\n1;2\n", "cp1252").columns) == ["Überleben", "Größe"]


def test_gaps_of_any_spelling_are_missing(tmp_path):
    table = made(tmp_path, "a,b\n1,x\nNA,unknown\n?,\nn/a,y\n 3 ,-\n")
    assert np.isnan(table.numbers("a")).tolist() == [False, True, True, True, False]
    assert table.categories("b") == ["x", "", "", "y", ""]
    assert made(tmp_path, "b\n+\n-\n+\n").categories("b") == ["+", "-", "+"]


@pytest.mark.parametrize(
    "cells, expected",
    [
        (["0", "1", ""], [0, 1, np.nan]),
        (["alive", "Dead", "NA"], [0, 1, np.nan]),
        (["No", "YES", "no"], [0, 1, 0]),
        (["0:LIVING", "1:DECEASED", "0:LIVING"], [0, 1, 0]),
        (["FALSE", "true", "1.0"], [0, 1, 1]),
    ],
)
def test_events_are_told_from_words(tmp_path, cells, expected):
    table = made(tmp_path, "e,x\n" + "".join(f"{c},1\n" for c in cells))
    assert table.events("e") == pytest.approx(np.array(expected), nan_ok=True)


def test_an_event_that_could_be_either_is_refused(tmp_path):
    table = made(tmp_path, "e\n1\n2\n1\n")
    with pytest.raises(
        InputError, match=r"e holds '1', '2', of which '2' may mean that the event happened or not;.*--event-value"
    ):
        table.events("e")
    assert table.events("e", "2").tolist() == [0, 1, 0]
    with pytest.raises(InputError, match="no row of e is 'dead'"):
        table.events("e", "dead")


def test_categories_become_columns_against_a_reference(tmp_path):
    text = (
        "mgmt,grade,sex\n"
        + "methylated,g2,M\nunmethylated,g3,F\nunmethylated,g4,F\nmethylated,g4,M\nUnmethylated,g4,F\n" * 3
    )
    table = made(tmp_path, text)
    found = table.covariates(["mgmt", "grade", "sex"], references={"grade": "g4"})
    assert [c.name for c in found] == ["mgmt=methylated", "grade=g2", "grade=g3", "sex=M"]
    assert [c.reference for c in found] == ["unmethylated", "g4", "g4", "F"]
    assert table.design(found)[:4].tolist() == [[1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]]
    assert found[0].title == "mgmt: methylated (against unmethylated)"


def test_numbers_may_stand_for_categories(tmp_path):
    table = made(tmp_path, "centre,age\n1,50\n2,60\n10,70\n1,55\n2,65\n10,75\n")
    assert [c.name for c in table.covariates(["centre", "age"])] == ["centre", "age"]
    assert [c.name for c in table.covariates(["centre", "age"], ["centre"])] == ["centre=2", "centre=10", "age"]


def test_patterns_stand_for_columns(tmp_path):
    table = made(tmp_path, "CE_a,CE_b,NE_a,age\n1,2,3,4\n")
    assert table.matching(["age", "CE_*", "CE_a"]) == ["age", "CE_a", "CE_b"]
    with pytest.raises(InputError, match=r"no column that matches 'XX_\*'"):
        table.matching(["XX_*"])


@pytest.mark.parametrize(
    "text, call, said",
    [
        ("age,os\n1,2\n", lambda t: t.numbers("Aeg"), "no column 'Aeg'; did you mean 'age'"),
        ("age,os\n1,2\n", lambda t: t.numbers("xyz"), "no column 'xyz'; it has 'age', 'os'"),
        ("age\n60\n>80\n55\n", lambda t: t.covariates(["age"]), "age holds '>80' in line 3, which is no number"),
        ('age,x\n"1,234",1\n', lambda t: t.numbers("age"), "'1,234' in line 2, a decimal comma or thousands"),
        ("a\nx\nx\n", lambda t: t.covariates(["a"]), "a is 'x' in all rows"),
        ("a,b\n,1\nNA,2\n", lambda t: t.covariates(["a"]), "a is empty in all rows"),
        ("n\n" + "".join(f"name {i}\n" for i in range(30)), lambda t: t.covariates(["n"]), "30 different texts"),
        ("a\nx\ny\n", lambda t: t.covariates(["a"], references={"a": "z"}), "no row of a is 'z'; it holds 'x', 'y'"),
        ("a\nx\ny\n", lambda t: t.covariates(["a"], references={"b": "z"}), "'b' is not among the covariates"),
        (
            "a\nx\nz\n",
            lambda t: t.design([Covariate("a", "x", "y", ("x", "y"))]),
            "a is 'z' in line 3; the model knows",
        ),
    ],
)
def test_slips_are_told_in_a_sentence(tmp_path, text, call, said):
    with pytest.raises(InputError, match=said):
        call(made(tmp_path, text))


@pytest.mark.parametrize(
    "content, said",
    [
        (b"PK\x03\x04 and more", "save it as CSV there"),
        (b"\xd0\xcf\x11\xe0 and more", "save it as CSV there"),
        (b"a\0b", "is no text"),
        (b"", "has 0 lines with text"),
        (b"a,b\n", "has 1 line with text"),
        (b"a,b,a\n1,2,3\n", "'a' as the name of more than one column"),
        (b"a,b\n1,2\n1,2,3\n", "3 cells in line 3 and 2 named columns"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, said):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "nothing.csv")


def test_what_looks_like_a_slip_is_remarked(tmp_path):
    rows = [f"P{i % 9},{'M' if i % 2 else 'F'},1" for i in range(10)]
    table = made(tmp_path, "Patient_ID,sex,x\n" + "\n".join([*rows, "P20,Male,1"]))
    first, second = table.remarks(table.covariates(["sex"]))
    assert first == "sex: 'Male' stands in fewer than 3 rows; a misspelling?"
    assert second.startswith("1 value of Patient_ID stands in more than one row (e.g. lines 2, 11)")
