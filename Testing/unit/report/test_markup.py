"""Numbers, sentences and tables of the report."""

import pytest
from gliosuite.report.markup import listed, number, settings, spread, table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (110.4, "110"),
        (1184.325, "1184"),
        (25.034998799999997, "25.0"),
        (0.00289, "0.00289"),
        (-6.64, "-6.64"),
        (0.0, "0"),
        (2e-7, "0"),
        (float("nan"), "–"),
        (None, "–"),
        (12, "12"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value, text):
    assert number(value) == text


def test_a_range_does_not_wrap_and_settings_keep_their_digits():
    assert spread(0.00135, 110.2) == '<span class="nowrap">0.0014 to 110</span>'
    shown = settings({"bounds": {"kep": [0.001, 5.0]}, "times": [1.5, 25.034998799999997], "none": None, "on": True})
    assert "kep 0.001, 5" in shown
    assert "1.5, 25.035" in shown
    assert "<td>automatic</td>" in shown
    assert "<td>yes</td>" in shown


def test_notes_are_sentences_but_a_map_keeps_its_name():
    assert listed(["the head moved", "ve lies outside 0-1", "kep: at its bound."]) == (
        "<ul><li>The head moved.</li><li>ve lies outside 0-1.</li><li>kep: at its bound.</li></ul>"
    )
    assert "<li>masks.cavity (c.nii.gz) was carried.</li>" in listed(["masks.cavity (c.nii.gz) was carried"])
    assert not listed([])


def test_text_stands_left_and_numbers_right():
    text = table(("name", "cc", "how"), [("a", "1.0", "b")], text=(0, 2))
    assert text.count('class="n"') == 2
    assert '<td class="n">1.0</td><td>b</td>' in text
