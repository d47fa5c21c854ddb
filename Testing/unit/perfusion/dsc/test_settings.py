import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series
from gliosuite.perfusion.dsc import DscSettings, check_settings
from gliosuite.perfusion.dsc.settings import excitation

GRID = Grid((2, 2, 1), (1.0, 1.0, 1.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def series(n):
    return Series(np.ones((n, 1, 2, 2), np.float32), GRID, "dsc.nii.gz")


def test_the_excitation_is_known_only_where_all_of_it_is():
    scan = excitation(DscSettings(te_ms=30.0, tr_ms=1500.0, flip_angle_deg=60.0))
    assert (scan.te_s, scan.tr_s, scan.flip_angle_deg, scan.t10_s) == (0.03, 1.5, 60.0, 1.5)
    assert excitation(DscSettings(te_ms=30.0, tr_ms=1500.0)) is None
    assert excitation(DscSettings(tr_ms=1500.0, flip_angle_deg=60.0)) is None


@pytest.mark.parametrize(
    ("settings", "frames", "sentence"),
    [
        ({"te_ms": 30.0}, 1, "DSC series has 1 time point; at least 10 are needed"),
        ({}, 60, "the echo time is not known; give it with --te-ms"),
        ({"te_ms": 0.0}, 60, "the echo time is 0; 1 to 300 ms are possible"),
        ({"te_ms": 0.03}, 60, "the echo time is 0.03; 1 to 300 ms are possible; was it given in s?"),
        ({"te_ms": 30.0, "tr_ms": -1.0}, 60, "the repetition time is -1; 10 to 20000 ms are possible"),
        (
            {"te_ms": 30.0, "tr_ms": 1.5},
            60,
            "the repetition time is 1.5; 10 to 20000 ms are possible; was it given in s?",
        ),
        (
            {"te_ms": 30.0, "flip_angle_deg": 1.05},
            60,
            "the flip angle is 1.05; 2 to 90 degrees are possible; was it given in rad",
        ),
        ({"te_ms": 30.0, "flip_angle_deg": 120.0}, 60, "the flip angle is 120; 2 to 90 degrees"),
        ({"te_ms": 30.0, "t10_s": 1500.0}, 60, "the T1 before the bolus is 1500; one between 0.1 and 10 s is needed"),
    ],
)
def test_what_cannot_be_computed_is_refused(settings, frames, sentence):
    with pytest.raises(InputError, match=sentence):
        check_settings(DscSettings(**settings), series(frames))


def test_an_echo_time_is_not_needed_for_relaxation_rates():
    check_settings(DscSettings(input="dr2star"), series(60))
