import pytest
from gliosuite.simulate.scans.dicomheaders import SERIES, UNITS, decimal, sequence_attributes


@pytest.mark.parametrize(
    "value, text", [(-0.0, "0"), (1 / 3, "0.3333333333"), (-1.23456789012e-5, "-1.23456789e-05"), (2000, "2000")]
)
def test_decimals_fit_into_sixteen_characters(value, text):
    assert decimal(value) == text
    assert len(decimal(-value / 7)) <= 16


def test_sequence_numbers_come_from_the_case():
    found = sequence_attributes("flair", {"tr_ms": 9000, "te_ms": 115.5, "ti_ms": 2400, "flip_angle_deg": 150})
    assert found["RepetitionTime"] == "9000"
    assert found["EchoTime"] == "115.5"
    assert found["InversionTime"] == "2400"
    assert found["FlipAngle"] == "150"
    assert found["SeriesDescription"] == found["ProtocolName"] == "T2 FLAIR axial"
    unknown = sequence_attributes("cni", {})
    assert unknown["EchoTime"] == ""
    assert "InversionTime" not in unknown


def test_contrast_agent_is_stated_where_it_was_given():
    assert {role for role, found in SERIES.items() if "ContrastBolusAgent" in found} == {"dce", "t1c", "dsc"}


def test_series_differ_by_their_descriptions():
    descriptions = [found["SeriesDescription"] for found in SERIES.values()]
    assert len(set(descriptions)) == len(SERIES)
    assert set(UNITS) <= set(SERIES)
