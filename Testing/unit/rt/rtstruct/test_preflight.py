"""The pre-flight list: each line of it, and what blocks."""

import json
import re
import warnings
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pydicom
import pytest
from dicom_series import Stack, save, write_series
from gliosuite.dicom.geometry import read_stack
from gliosuite.errors import InputError
from gliosuite.images import Grid, boolean, resample_mask, write_image
from gliosuite.rt.rtstruct import Roi, export_rtstruct, read_rtstruct, write_rtstruct
from gliosuite.rt.rtstruct.preflight import Finding, block, check_masks, check_rois, check_series


@pytest.fixture
def series(tmp_path):
    write_series(tmp_path / "series", Stack((24, 20, 10), (2.0, 2.0, 3.0)))
    return read_stack(tmp_path / "series")


def box(grid, hole=False):
    mask = np.zeros(grid.shape, bool)
    mask[3:7, 5:15, 6:18] = True
    if hole:
        mask[4:6, 9:11, 10:12] = False
        mask[4, 7, 8] = False
    return mask


def levels(findings):
    return {f.check: f.level for f in findings}


def test_a_sound_export_has_a_line_for_everything_that_was_looked_at(series, tmp_path):
    rois = [Roi("CTV_6000", series.grid.image(box(series.grid)), "CTV")]
    exported = export_rtstruct(tmp_path / "rs.dcm", series.folder, rois)
    assert levels(exported.findings) == {
        "names": "ok",
        "empty": "ok",
        "series": "ok",
        "frame of reference": "ok",
        "age": "warning",  # the stand-in's series is of 2020
        "slice thickness": "ok",
        "overlap": "ok",
        "holes": "ok",
    }
    assert exported.findings[2].sentence == "The MR series is complete: 10 slices, 3.00 mm apart."


def with_header(series, **changes):
    """The series as if its files said something else."""
    slices = tuple(replace(s, header=replace(s.header, **changes)) for s in series.series.slices)
    return replace(series, series=replace(series.series, slices=slices))


def test_the_age_of_an_mr(series):
    today = date.today()
    at = lambda days: with_header(series, acquired=(today - timedelta(days)).strftime("%Y%m%d"))
    age = lambda s, *when: next(f for f in check_series(s, *when) if f.check == "age")
    assert (age(at(14)).level, age(at(14)).sentence) == ("ok", "The MR is 14 days old.")
    assert age(at(15)).level == "warning"
    assert age(at(15)).sentence.startswith("The MR is 15 days old; a cavity moves and shrinks")
    assert age(with_header(series, acquired="20200102"), "20200110").level == "ok"
    assert (
        "The MR and the planning CT are 18 days apart;"
        in age(with_header(series, acquired="20200102"), "20200120").sentence
    )
    for text in ("", "yesterday", "20209999"):
        assert "has no date" in age(with_header(series, acquired=text)).sentence
    assert "age" not in levels(check_series(with_header(series, modality="CT")))


def test_thick_slices(series):
    assert levels(check_series(series))["slice thickness"] == "ok", "3 mm"
    thick = check_series(with_header(series, thickness_mm=5.0))
    assert levels(check_series(with_header(series, thickness_mm=3.0004)))["slice thickness"] == "ok", "said as 3.0 mm"
    assert next(f for f in thick if f.check == "slice thickness").sentence == (
        "The slices are 5.0 mm thick; at most 3 mm is advised for target volumes."
    )


def test_holes_are_counted_within_slices(series):
    roi = Roi("CTV", series.grid.image(box(series.grid, hole=True)), "CTV")
    (hole, _) = check_masks([roi], [box(series.grid, hole=True)], [0.0], series)
    assert (hole.check, hole.level) == ("holes", "warning")
    assert hole.sentence.startswith("ROI CTV has 3 holes within slices (0.11 cc)"), "4 + 4 + 1 voxels of 12 mm3"


def test_a_derived_series_is_refused_and_nothing_is_left(series, tmp_path, gliosuite):
    for file in series.folder.iterdir():
        d = pydicom.dcmread(file)
        d.ImageType = ["DERIVED", "SECONDARY", "MPR"]
        save(d, file)
    roi = Roi("CTV", series.grid.image(box(series.grid)), "CTV")
    with pytest.raises(InputError, match=r"holds a derived series \(ImageType DERIVED/SECONDARY/MPR\)"):
        write_rtstruct(tmp_path / "out" / "rs.dcm", series.folder, [roi])
    write_image(roi.mask, tmp_path / "ctv.nii.gz")
    code, out, err = gliosuite("rtstruct", "--series", series.folder, "--roi", f"CTV:CTV={tmp_path / 'ctv.nii.gz'}",
                               "--out", tmp_path / "out" / "rs.dcm")  # fmt: skip
    assert (code, out) == (2, "")
    assert err.strip().splitlines()[-1].startswith("error: ")
    assert err.strip().endswith("this is the series that is planned on, allow it: --allow-derived")
    assert not (tmp_path / "out").exists()


def test_a_derived_series_is_taken_where_it_is_allowed_and_that_is_told(series, tmp_path, gliosuite):
    for file in series.folder.iterdir():
        d = pydicom.dcmread(file)
        d.ImageType = ["DERIVED", "PRIMARY", "DIS3D"]
        save(d, file)
    write_image(series.grid.image(box(series.grid)), tmp_path / "ctv.nii.gz")
    code, out, _ = gliosuite("rtstruct", "--series", series.folder, "--roi", f"CTV:CTV={tmp_path / 'ctv.nii.gz'}",
                             "--allow-derived", "--out", tmp_path / "rs.dcm")  # fmt: skip
    assert code == 0
    found = {f["check"]: f for f in json.loads(out)["preflight"]}
    assert found["series"]["level"] == "ok"
    assert found["origin"]["level"] == "warning"
    assert "a derived series (ImageType DERIVED/PRIMARY/DIS3D), and it was allowed" in found["origin"]["sentence"]
    written = pydicom.dcmread(tmp_path / "rs.dcm")
    assert "That series is derived (DERIVED/PRIMARY/DIS3D)." in written.StructureSetDescription
    assert np.array_equal(boolean(read_rtstruct(tmp_path / "rs.dcm", series.folder)["CTV"]), box(series.grid))


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        (["DERIVED", "PRIMARY", "AXIAL"], True),  # a real planning MR with a clinical structure set
        (["DERIVED", "PRIMARY", "M", "NORM", "DIS3D"], True),
        (["DERIVED", "PRIMARY", "VOLUME", "NONE"], True),
        (["DERIVED", "PRIMARY", "MPR", "NORM"], False),
        (["DERIVED", "PRIMARY", "AXIAL", "CSA MPR"], False),
        (["DERIVED", "PRIMARY", "PROJECTION IMAGE", "MIP"], False),
        (["DERIVED", "PRIMARY", "REFORMATTED", "AVERAGE"], False),
        (["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"], False),
        (["DERIVED", "SECONDARY", "OTHER"], False),
        (["ORIGINAL", "PRIMARY", "MPR_LIKE"], True),
    ],
)
def test_derived_planning_images_are_taken_and_reformats_and_copies_refused(series, tmp_path, kind, taken):
    changed = with_header(series, object_type=tuple(kind))
    roi = Roi("CTV", series.grid.image(box(series.grid)), "CTV")
    if not taken:
        with pytest.raises(InputError, match="a reformat or a secondary copy"):
            export_rtstruct(tmp_path / "rs.dcm", changed, [roi])
        assert not (tmp_path / "rs.dcm").exists()
        with pytest.warns(UserWarning, match="and it was allowed"):
            export_rtstruct(tmp_path / "rs.dcm", changed, [roi], allow_derived=True)
    elif kind[0] == "DERIVED":
        with pytest.warns(UserWarning, match=r"This is a derived series \(ImageType DERIVED/PRIMARY"):
            export_rtstruct(tmp_path / "rs.dcm", changed, [roi])
        assert "That series is derived" in pydicom.dcmread(tmp_path / "rs.dcm").StructureSetDescription
    else:
        assert "origin" not in levels(export_rtstruct(tmp_path / "rs.dcm", changed, [roi]).findings)


def test_a_check_that_finds_problems_ends_with_3_and_a_line_for_each(series, tmp_path, gliosuite):
    rois = [Roi("CTV", series.grid.image(box(series.grid)), "CTV")]
    write_rtstruct(tmp_path / "rs.dcm", series.folder, rois)
    assert gliosuite("rtstruct", "--check", tmp_path / "rs.dcm", "--series", series.folder)[0] == 0
    dataset = pydicom.dcmread(tmp_path / "rs.dcm")
    dataset.PatientID, dataset.ApprovalStatus = "another", "REJECTED"
    dataset.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints = 99
    save(dataset, tmp_path / "odd.dcm")
    code, out, err = gliosuite("rtstruct", "--check", tmp_path / "odd.dcm", "--series", series.folder)
    assert code == 3
    assert json.loads(out)["rois"][0]["problems"] == ["1 contours hold another number of points than they say"]
    assert [line for line in err.splitlines() if line.startswith("problem: ")] == [
        f"problem: {tmp_path / 'odd.dcm'}: somebody rejected it (ApprovalStatus)",
        f"problem: {tmp_path / 'odd.dcm'}: it is of another patient than the series (PatientID differs)",
        f"problem: {tmp_path / 'odd.dcm'}:CTV: 1 contours hold another number of points than they say",
    ]


def test_a_mask_on_another_grid_is_told_with_its_volume_before_and_after(series, tmp_path):
    grid = series.grid
    mask = box(grid)
    x, y, z = grid.origin
    moved = Grid(grid.size, grid.spacing, (x, y, z + 3.0), grid.direction)
    half = Grid(grid.size, tuple(np.asarray(grid.spacing) / 2), grid.origin, grid.direction)
    fine = grid.isotropic(1.0)
    for own, array, level, sentence in (
        (grid, mask, None, ""),
        (moved, mask, "warning", r"5\.76 cc there, 5\.76 cc here; it has as many voxels as the image"),
        (half, mask, "warning", r"0\.72 cc there, 0\.\d\d cc here; it has as many voxels"),
        (fine, boolean(resample_mask(grid.image(mask), fine)), "ok", r"cc there, 5\.\d\d cc here\.$"),
    ):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            exported = export_rtstruct(tmp_path / "rs.dcm", series, [Roi("CTV", own.image(array), "CTV")])
        found = [f for f in exported.findings if f.check == "grid"]
        assert [f.level for f in found] == ([level] if level else [])
        assert not found or re.search(sentence, found[0].sentence), found[0].sentence
        assert any("carried from a grid of its own" in str(w.message) for w in told) == (level == "warning")


def test_all_errors_are_said_at_once(series):
    rois = [
        Roi("CTV_WITH_A_LONG_NAME", series.grid.blank(), "TUMOUR"),
        Roi("ctv 2", series.grid.image(box(series.grid)), "CTV"),
    ]
    findings = check_rois(rois, "x" * 17)
    with pytest.raises(InputError) as told:
        block(findings)
    for part in ("label", "20 characters", "'ctv 2' is not usable", "type TUMOUR is not known", "is empty"):
        assert part in str(told.value)
    block([Finding("age", "warning", "old"), Finding("names", "ok", "fine")])


def test_a_mask_of_another_patient_is_refused(series, tmp_path, gliosuite):
    other = write_series(tmp_path / "other", Stack((24, 20, 10), (2.0, 2.0, 3.0)), "other", patient="Somebody^Else")
    write_rtstruct(tmp_path / "other.dcm", tmp_path / "other", [Roi("GTV", other.image(box(other)), "GTV")])
    code, _, err = gliosuite("rtstruct", "--series", series.folder, "--roi", f"GTV:GTV={tmp_path / 'other.dcm'}:GTV",
                             "--out", tmp_path / "out" / "rs.dcm")  # fmt: skip
    assert code == 2
    assert "are of different patients (PatientID differs)" in err.strip().splitlines()[-1]
    assert "Somebody" not in err
    assert not (tmp_path / "out").exists()


def test_a_mask_of_another_frame_of_reference_is_refused(series, tmp_path, gliosuite):
    other = write_series(tmp_path / "other", Stack((24, 20, 10), (2.0, 2.0, 3.0)), "other", frame="later")
    write_rtstruct(tmp_path / "other.dcm", tmp_path / "other", [Roi("GTV", other.image(box(other)), "GTV")])
    code, _, err = gliosuite("rtstruct", "--series", series.folder, "--roi", f"GTV:GTV={tmp_path / 'other.dcm'}:GTV",
                             "--out", tmp_path / "out" / "rs.dcm")  # fmt: skip
    assert code == 2
    assert "was drawn in another frame of reference" in err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_the_list_is_in_the_commands_answer(series, tmp_path, gliosuite):
    write_image(series.grid.image(box(series.grid, hole=True)), tmp_path / "ctv.nii.gz")
    code, out, _ = gliosuite("rtstruct", "--series", series.folder, "--roi", f"CTV:CTV={tmp_path / 'ctv.nii.gz'}",
                             "--out", tmp_path / "rs.dcm")  # fmt: skip
    assert code == 0
    listed = json.loads(out)["preflight"]
    assert {f["level"] for f in listed} == {"ok", "warning"}
    assert any("3 holes within slices" in f["sentence"] for f in listed)
