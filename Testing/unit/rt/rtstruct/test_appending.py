"""Structures appended to an existing set, a series chosen from a folder with several, and results that would replace an input."""

import json

import numpy as np
import pydicom
import pytest
from dicom_series import Stack, save, write_series
from gliosuite.errors import InputError
from gliosuite.images import boolean, write_image
from gliosuite.rt.rtstruct import Roi, export_rtstruct, read_rtstruct, write_rtstruct


@pytest.fixture
def made(tmp_path):
    """A series, a structure set of two structures as another system wrote it, and a mask."""
    grid = write_series(tmp_path / "series", Stack((24, 20, 10), (2.0, 2.0, 3.0), "oblique"), patient="Müller^Åse")
    masks = []
    for k in (2, 4):
        mask = np.zeros(grid.shape, bool)
        mask[k : k + 4, 5:15, 6:18] = True
        masks.append(mask)
    rois = [Roi("GTV", grid.image(masks[0]), "GTV"), Roi("Brain", grid.image(masks[1]), "ORGAN")]
    write_rtstruct(tmp_path / "ours.dcm", tmp_path / "series", rois, "Planning")
    dataset = pydicom.dcmread(tmp_path / "ours.dcm")
    dataset.StructureSetROISequence[1].ROIName = "Hirn Größe"
    dataset.StructureSetROISequence[1].ROINumber = dataset.ROIContourSequence[1].ReferencedROINumber = 7
    dataset.RTROIObservationsSequence[1].ReferencedROINumber = 7
    for drawn in dataset.ROIContourSequence:
        del drawn.SourcePixelPlanesCharacteristicsSequence
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData[0] = "-12.125000000001"
    save(dataset, tmp_path / "rs.dcm")
    new = np.zeros(grid.shape, bool)
    new[3:5, 2:6, 3:9] = True
    write_image(grid.image(new), tmp_path / "ctv.nii.gz")
    return tmp_path, grid, new


def test_the_old_structures_stay_and_the_new_come_behind(made, gliosuite, tool):
    import subprocess

    folder, _, new = made
    code, out, _ = gliosuite("rtstruct", "--series", folder / "series", "--roi", f"CTV:CTV={folder / 'ctv.nii.gz'}",
                             "--append", folder / "rs.dcm", "--out", folder / "both.dcm")  # fmt: skip
    assert code == 0
    assert json.loads(out)["label"] == "Planning"
    assert [r["name"] for r in json.loads(out)["rois"]] == ["CTV"]
    old, both = (pydicom.dcmread(folder / f) for f in ("rs.dcm", "both.dcm"))
    assert [(r.ROINumber, r.ROIName) for r in both.StructureSetROISequence] == [
        (1, "GTV"),
        (7, "Hirn Größe"),
        (8, "CTV"),
    ]
    assert [c.ReferencedROINumber for c in both.ROIContourSequence] == [1, 7, 8]
    assert [o.ObservationNumber for o in both.RTROIObservationsSequence] == [1, 2, 3]
    for a, b in zip(old.ROIContourSequence, both.ROIContourSequence):
        assert [c.ContourData for c in a.ContourSequence] == [c.ContourData for c in b.ContourSequence]
    assert both.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert both.SOPInstanceUID != old.SOPInstanceUID
    assert both.StructureSetDescription.startswith(
        "Structures 8 and above were appended to the structure set Planning."
    )
    assert str(both.PatientName) == "Müller^Åse"
    again = read_rtstruct(folder / "both.dcm", folder / "series")
    assert list(again) == ["GTV", "Hirn Größe", "CTV"]
    assert np.array_equal(boolean(again["CTV"]), new)
    said = subprocess.run([tool("dciodvfy"), str(folder / "both.dcm")], capture_output=True, text=True).stderr
    # The name with a space and a number of 16 characters are the other system's.
    assert "Error" not in said


def test_what_a_set_cannot_be_appended_to_is_refused(made):
    folder, grid, new = made
    roi = Roi("gtv", grid.image(new), "GTV")
    with pytest.raises(InputError, match=r"has structures of the same name \(gtv\)"):
        export_rtstruct(folder / "o" / "x.dcm", folder / "series", [roi], append_to=folder / "rs.dcm")
    roi = Roi("CTV", grid.image(new), "CTV")
    write_series(folder / "later", Stack((24, 20, 10), (2.0, 2.0, 3.0), "oblique"), "later", patient="Müller^Åse")
    with pytest.raises(InputError, match="refers to another series"):
        export_rtstruct(folder / "o" / "x.dcm", folder / "later", [roi], append_to=folder / "rs.dcm")
    dataset = pydicom.dcmread(folder / "rs.dcm")
    dataset.PatientID = "another"
    save(dataset, folder / "other.dcm")
    with pytest.raises(InputError, match="are of different patients"):
        export_rtstruct(folder / "o" / "x.dcm", folder / "series", [roi], append_to=folder / "other.dcm")
    assert not (folder / "o").exists()


def test_one_of_several_series_is_chosen_by_its_uid(made, gliosuite):
    folder, _, _ = made
    write_series(
        folder / "series" / "second", Stack((24, 20, 10), (2.0, 2.0, 3.0), "oblique"), "b", patient="Müller^Åse"
    )
    uids = [
        pydicom.dcmread(next(f.glob("*.dcm"))).SeriesInstanceUID for f in (folder / "series", folder / "series/second")
    ]
    roi = f"CTV:CTV={folder / 'ctv.nii.gz'}"
    code, _, err = gliosuite("rtstruct", "--series", folder / "series", "--roi", roi, "--out", folder / "x.dcm")
    assert code == 2
    assert "holds 2 series" in err
    assert "or the SeriesInstanceUID of the one that is meant" in err
    for uid in uids:
        code, _, _ = gliosuite("rtstruct", "--series", folder / "series", "--series-uid", uid, "--roi", roi,
                               "--out", folder / "x.dcm")  # fmt: skip
        assert code == 0
        study = pydicom.dcmread(folder / "x.dcm").ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        assert study.RTReferencedSeriesSequence[0].SeriesInstanceUID == uid
    code, _, err = gliosuite("rtstruct", "--series", folder / "series/second", "--series-uid", "1.2.3", "--roi", roi,
                             "--out", folder / "y.dcm")  # fmt: skip
    assert code == 2
    assert "holds no series 1.2.3; it holds" in err


def test_a_result_never_replaces_an_input(made, gliosuite):
    folder, _, _ = made
    mask, slice_ = folder / "ctv.nii.gz", next((folder / "series").iterdir())
    before = {p: p.read_bytes() for p in (mask, slice_, folder / "rs.dcm")}
    common = ["rtstruct", "--series", folder / "series", "--roi", f"CTV:CTV={mask}"]
    for more in (["--out", slice_], ["--out", mask], ["--append", folder / "rs.dcm", "--out", folder / "rs.dcm"],
                 ["--out", folder / "x.dcm", "--seg", slice_]):  # fmt: skip
        code, _, err = gliosuite(*common, *more)
        assert code == 2
        assert "is read by this command and would be replaced" in err.strip().splitlines()[-1]
    code, _, err = gliosuite(*common, "--out", folder / "x.dcm", "--seg", folder / "x.dcm")
    assert code == 2
    assert "--seg and --out name one file" in err
    assert {p: p.read_bytes() for p in before} == before
    assert not (folder / "x.dcm").exists()
