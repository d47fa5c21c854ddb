import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, array
from gliosuite.perfusion.aif import curve as aifs
from gliosuite.perfusion.kinetics import parker_aif

TIMES = 2.5 * np.arange(60)
BLOOD = parker_aif(TIMES, 25.0)


def test_population_aif_is_plasma_once():
    aif = aifs.population_aif(TIMES, 25.0, 0.42)
    np.testing.assert_allclose(aif.concentration, parker_aif(aif.times_s, 25.0) / 0.58)
    assert "population" in aif.notes[0]


def test_parametric_fit_recovers_what_lies_between_the_samples():
    coarse = 5.0 * np.arange(60)
    aif = aifs.Aif(coarse, parker_aif(coarse, 27.3) / 0.58, "test", "csv")
    fitted, residual, _ = aifs.fit_parametric(aif, 25.0)
    truth = parker_aif(fitted.times_s, 27.3) / 0.58
    assert residual < 0.01 * truth.max()
    assert np.abs(fitted.concentration - truth).max() < 0.1 * truth.max()
    assert fitted.fitted
    np.testing.assert_array_equal(fitted.measured, aif.concentration)


def write(folder, text):
    path = folder / "aif.csv"
    path.write_text(text)
    return path


def test_table_is_read(tmp_path):
    rows = "".join(f"{t},{c}\n" for t, c in zip(TIMES, BLOOD))
    aif = aifs.read_aif(write(tmp_path, "time_s,concentration\n" + rows), TIMES)
    np.testing.assert_allclose(aif.concentration, BLOOD)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("t,c\n0,1\n", "has the columns t, c; time_s and concentration are needed"),
        ("time_s,concentration\n0,a\n", "holds a value that is no number"),
        ("time_s,concentration\n0,1\n1\n", "has too few values in row 2 after its head"),
        ("time_s,concentration\n0,1\n1,2\n", "has 2 rows"),
        ("time_s,concentration\n0,0\n5,1\n4,2\n300,1\n", "time_s does not rise from 5 s to 4 s"),
        ("time_s,concentration\n0,0\n5,1\n9,2\n30,1\n", r"runs from 0 s to 30 s and the series ends at 147\.5 s"),
        ("time_s,concentration\n0,0\n5,0\n9,0\n200,0\n", "nowhere above 0"),
    ],
)
def test_malformed_tables_are_refused(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        aifs.read_aif(write(tmp_path, text), TIMES)


GRID = Grid((8, 6, 4), (2.0, 2.0, 3.0), (-8.0, 10.0, -6.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def test_points_are_ras_and_take_their_voxel():
    mask = array(aifs.points_mask([(8.0, -14.0, 0.0), (4.9, -14.0, 0.0)], GRID))
    assert np.argwhere(mask).tolist() == [[2, 2, 0], [2, 2, 2]]


def test_points_with_a_radius_take_all_within_it():
    mask = array(aifs.points_mask([(0.0, -14.0, 0.0)], GRID, 2.5))
    assert sorted(np.argwhere(mask).tolist()) == [[2, 1, 4], [2, 2, 3], [2, 2, 4], [2, 2, 5], [2, 3, 4]]


def test_points_outside_are_refused():
    with pytest.raises(InputError, match=r"the AIF point 100,-14,0 \(R,A,S in mm\) lies outside the series"):
        aifs.points_mask([(100.0, -14.0, 0.0)], GRID)
    with pytest.raises(InputError, match="no point is given"):
        aifs.points_mask([], GRID)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t, c: (t[:3], c[:3]), r"has 3 rows; an AIF of 4 samples at least is needed"),
        (
            lambda t, c: (t, np.where(t == 20, np.nan, c)),
            r"has 20,nan in row 11 after its head; finite numbers are needed",
        ),
        (lambda t, c: (t[::-1], c[::-1]), r"time_s does not rise from 98 s to 96 s"),
        (lambda t, c: (t / 60, c), r"the series ends at 98 s; .*; its times look like minutes$"),
        (
            lambda t, c: (t * 1000, c),
            r"has 1 of its 50 samples before the series ends at 98 s; .*; its times look like milliseconds$",
        ),
        (lambda t, c: (t + 200, c), r"runs from 200 s to 298 s and the series ends at 98 s"),
        (
            lambda t, c: (t[:30], c[:30]),
            r"runs from 0 s to 58 s and the series ends at 98 s; .*before its first sample\)$",
        ),
    ],
)
def test_tables_that_cannot_be_an_aif_are_refused_with_the_reason(tmp_path, change, sentence):
    times = 2.0 * np.arange(50)
    rows = zip(*change(times, parker_aif(times, 20.0)), strict=True)
    path = tmp_path / "aif.csv"
    path.write_text("time_s,concentration\n" + "".join(f"{t:g},{c:g}\n" for t, c in rows))
    with pytest.raises(InputError, match=sentence):
        aifs.read_aif(path, times)


def test_a_table_that_begins_high_is_said(tmp_path):
    times = 2.0 * np.arange(50)
    path = tmp_path / "aif.csv"
    rows = [(t, c) for t, c in zip(times, parker_aif(times, 20.0), strict=True) if t >= 40]
    path.write_text("time_s,concentration\n" + "".join(f"{t:g},{c:g}\n" for t, c in rows))
    (note,) = aifs.read_aif(path, times).notes
    assert note.startswith("the AIF table begins at 40 s with 83 % of its highest value and counts as 0 before")
