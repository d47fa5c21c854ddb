"""A BIDS subject becomes a case folder."""

import json

import numpy as np
import pytest
from gliosuite.case import Case
from gliosuite.images import Grid, Series, write_image, write_series

GRID = Grid((5, 6, 4), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
FRAME = np.arange(120, dtype=np.float32).reshape(GRID.shape)


def put(path, sidecar=None, n=1):
    if n == 1:
        write_image(GRID.image(FRAME), path)
    else:
        write_series(Series(np.stack([FRAME + t for t in range(n)]), GRID), path)
    if sidecar:
        path.with_name(path.name.removesuffix(".nii.gz") + ".json").write_text(json.dumps(sidecar))


def test_sessions_become_visits(tmp_path, gliosuite):
    src = tmp_path / "sub-01"
    for session in ("ses-1", "ses-2"):
        (src / session / "anat").mkdir(parents=True)
        put(
            src / session / "anat" / f"sub-01_{session}_T1w.nii.gz",
            {"RepetitionTime": 1.9, "EchoTime": 0.0029, "FlipAngle": 9},
        )
        put(src / session / "anat" / f"sub-01_{session}_ce-gadolinium_T1w.nii.gz")
        put(src / session / "anat" / f"sub-01_{session}_FLAIR.nii.gz")
    perf = src / "ses-1" / "perf"
    perf.mkdir()
    put(
        perf / "sub-01_ses-1_dce.nii.gz",
        {"RepetitionTime": 0.0054, "EchoTime": 0.0018, "FlipAngle": 12, "FrameTimes": [2.0, 7.0, 12.5]},
        n=3,
    )
    for session, day in (("ses-1", "2024-03-11"), ("ses-2", "2024-06-25")):
        (src / session / f"sub-01_{session}_scans.tsv").write_text(f"filename\tacq_time\nanat/x\t{day}T10:00:00\n")
    code, _, err = gliosuite("import", src, "--out", tmp_path / "case")
    assert code == 0, err
    case = Case.load(tmp_path / "case")
    assert set(case.images) == {"t1", "t1c", "flair", "dce"}
    assert case.need("dce", "tr_ms", "te_ms", "flip_angle_deg", "times_s") == [5.4, 1.8, 12, [0.0, 5.0, 10.5]]
    np.testing.assert_array_equal(case.series("dce").frames[2], FRAME + 2)
    assert case.data["followup"]["days"] == 106
    assert set(case.followup.images) == {"t1", "t1c", "flair"}
    assert "2024" not in (tmp_path / "case/case.json").read_text()


def test_a_truncated_image_is_refused(tmp_path, gliosuite):
    (tmp_path / "sub-01/anat").mkdir(parents=True)
    path = tmp_path / "sub-01/anat/sub-01_T1w.nii.gz"
    put(path)
    path.write_bytes(path.read_bytes()[:-30])
    code, _, err = gliosuite("import", tmp_path / "sub-01", "--out", tmp_path / "case", "--quiet")
    assert code == 2
    assert "sub-01_T1w.nii.gz" in err
    assert not (tmp_path / "case").exists()


def perfusion(tmp_path, gliosuite, kind, sidecar, n=3):
    (tmp_path / "sub-01/perf").mkdir(parents=True, exist_ok=True)
    put(tmp_path / f"sub-01/perf/sub-01_{kind}.nii.gz", sidecar, n)
    code, _, err = gliosuite("import", tmp_path / "sub-01", "--out", tmp_path / "case", "--quiet")
    return code, err, Case.load(tmp_path / "case").acquisition(kind) if code == 0 else None


@pytest.mark.parametrize(
    "sidecar, name",
    [
        ({"RepetitionTime": 5.4, "EchoTime": 1.8}, "EchoTime is 1.8"),
        ({"RepetitionTime": 1500, "EchoTime": 30}, "EchoTime is 30"),
        ({"RepetitionTime": 1500}, "RepetitionTime is 1500"),
        ({"InversionTime": 900}, "InversionTime is 900"),
        ({"TemporalResolution": 1500}, "TemporalResolution is 1500"),
        ({"FrameTimes": [0, 1500, 3000]}, "FrameTimes does not rise by what frames take, in s (1500 to 1500)"),
        ({"FrameTimes": [0.0, 5.0, 5.0]}, "FrameTimes does not rise by what frames take, in s (0 to 5)"),
    ],
)
def test_times_that_cannot_be_in_seconds_are_refused(tmp_path, gliosuite, sidecar, name):
    code, err, _ = perfusion(tmp_path, gliosuite, "dsc", sidecar)
    assert (code, name in err, "ms, divide" in err) == (2, True, True)
    assert not (tmp_path / "case").exists()


@pytest.mark.parametrize(
    "sidecar, sentence",
    [
        (["RepetitionTime"], "sub-01_dsc.json holds a list; a JSON object is needed"),
        ({"RepetitionTime": "1.5"}, "RepetitionTime is '1.5'; a number above 0 is needed"),
        ({"EchoTime": -0.03}, "EchoTime is -0.03; a number above 0 is needed"),
        ({"FlipAngle": "60"}, "FlipAngle is '60'; a number above 0 is needed"),
        ({"FrameTimes": [0, "1.5", 3]}, "FrameTimes holds what is no number"),
    ],
)
def test_a_sidecar_that_holds_no_numbers_is_refused_and_nothing_is_left(tmp_path, gliosuite, sidecar, sentence):
    code, err, _ = perfusion(tmp_path, gliosuite, "dsc", sidecar)
    assert (code, sentence in err) == (2, True)
    assert not (tmp_path / "case").exists()


@pytest.mark.parametrize(
    "kind, sidecar, times, said",
    [
        (
            "dsc",
            {"RepetitionTime": 1.5, "FrameTimes": [0, 5, 10]},
            [0, 5, 10],
            "RepetitionTime is 1.5 s, by FrameTimes",
        ),
        (
            "dsc",
            {"RepetitionTime": 2.0, "TemporalResolution": 5.0},
            [0, 5, 10],
            "TemporalResolution is 5 s, RepetitionTime",
        ),
        ("dsc", {"RepetitionTime": 1.5, "FrameTimes": [0, 5]}, [0, 1.5, 3], "FrameTimes has 2 times for 3 frames"),
        (
            "dce",
            {"RepetitionTime": 5.0, "FrameTimes": [0, 5, 10]},
            [0, 5, 10],
            "a RepetitionTime of 5 s is none of a spoiled",
        ),
        ("dsc", {"RepetitionTime": 1.5, "FrameTimes": [1.0, 2.5, 4.0]}, [0, 1.5, 3], None),
    ],
)
def test_sources_of_time_that_contradict_each_other_are_questioned(tmp_path, gliosuite, kind, sidecar, times, said):
    code, err, acquisition = perfusion(tmp_path, gliosuite, kind, sidecar)
    assert code == 0, err
    assert acquisition["times_s"] == times
    assert (said in err) if said else err == ""
    assert ("tr_ms" in acquisition) == (kind == "dsc")
    assert [said in n for n in Case.load(tmp_path / "case").data["notes"]] == ([True] if said else [])


def test_names_without_a_role_are_said(tmp_path, gliosuite):
    (tmp_path / "sub-01/anat").mkdir(parents=True)
    put(tmp_path / "sub-01/anat/sub-01_T2starw.nii.gz")
    code, _, err = gliosuite("import", tmp_path / "sub-01", "--out", tmp_path / "case", "--quiet")
    assert (code, "holds no T1w, T2w, FLAIR, dwi, dsc, dce or VFA image" in err) == (2, True)
    put(tmp_path / "sub-01/anat/sub-01_T2w.nii.gz")
    assert gliosuite("import", tmp_path / "sub-01", "--out", tmp_path / "case")[0] == 0
    case = Case.load(tmp_path / "case")
    assert case.images == ("t2",)
    assert "sub-01_T2starw.nii.gz has no role" in case.data["notes"][0]


def test_b_values_and_directions_come_along(tmp_path, gliosuite):
    import diffusion_series as dwi

    b, g = dwi.scheme(dwi.SIX)
    grid, adc, fa, s0 = dwi.head()
    made = dwi.series(grid, adc, fa, s0, b, g, np.random.default_rng(0))
    dwi.write(tmp_path / "sub-1" / "dwi", made, b, g, "sub-1_dwi")
    assert gliosuite("import", tmp_path / "sub-1", "--out", tmp_path / "case")[0] == 0
    code, out, err = gliosuite("dti", tmp_path / "case" / "images" / "dti.nii.gz", "--out", tmp_path / "maps")
    assert code == 0, err
    assert "6 directions" in out
