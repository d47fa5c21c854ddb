import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.patterns.patients import features, patients
from gliosuite.recurrence.patterns.settings import PatternSettings
from gliosuite.recurrence.survival.table import read_table


def test_recurrent_patients_are_told_by_either_column(table):
    found = patients(read_table(table), "recurrence_local", (), PatternSettings())
    assert found.y.size == 80
    assert found.y.sum() == 48
    assert found.said == "patients who recurred (80 of 90 rows)"
    assert len(found.names) == 60


def test_all_patients_are_an_option_that_is_said(table):
    found = patients(read_table(table), "recurrence_local", ("CE_*",), PatternSettings(patients="all"))
    assert (found.y.size, found.said, len(found.names)) == (90, "all patients", 30)


def test_rows_with_gaps_are_left_out_and_said(table):
    text = table.read_text().splitlines()
    text[1] = text[1].rsplit(",", 1)[0] + ","
    table.write_text("\n".join(text))
    with pytest.warns(UserWarning, match="1 of 80 rows are left out: a feature is missing"):
        assert patients(read_table(table), "recurrence_local", (), PatternSettings()).y.size == 79


def test_a_table_that_does_not_say_who_recurred_is_refused(table):
    table.write_text(table.read_text().replace("recurrence_distant", "far"))
    with pytest.raises(InputError, match=r"has no column 'recurrence_distant'.* take all rows \(--patients all\)"):
        patients(read_table(table), "recurrence_local", (), PatternSettings())


def test_an_outcome_is_no_feature(table):
    with pytest.raises(InputError, match="recurrence_local is an outcome and cannot be a feature"):
        patients(read_table(table), "recurrence_local", ("*_*",), PatternSettings())


def test_names_of_pyradiomics_are_taken_and_missing_ones_are_listed(table):
    table.write_text(table.read_text().replace("wavelet_LLH", "wavelet-LLH"))
    read = read_table(table)
    assert np.isfinite(features(read, ["NE_wavelet_LLH_f0"])).all()
    with pytest.raises(InputError, match="lacks 2 of 3 features: CE_a, CE_b; radiomic features are written by"):
        features(read, ["NE_wavelet_LLH_f0", "CE_a", "CE_b"])
