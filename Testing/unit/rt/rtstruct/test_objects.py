"""What written DICOM objects share: UIDs that all of their content determines, date and time, texts in a character set that holds them."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_series import Stack, save, write_series
from gliosuite.dicom.geometry import read_stack
from gliosuite.rt.rtstruct import (
    Roi,
    accepted_registration,
    export_rtstruct,
    objects,
    registration,
    segmentation,
    writing,
)
from gliosuite.rt.rtstruct.registration import write_registration

MOMENT = ("20260102", "030405")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Two small series of one patient, an accepted registration between them, a structure, and a clock that stands still."""
    grid = write_series(tmp_path / "mr", Stack((24, 20, 10), (2.0, 2.0, 3.0)), "mr", patient="Müller^Åse")
    write_series(tmp_path / "ct", Stack((24, 20, 10), (2.0, 2.0, 3.0)), "ct", patient="Müller^Åse", frame="CT")
    sitk.WriteTransform(sitk.Euler3DTransform(), str(tmp_path / "T.tfm"))
    mask = np.zeros(grid.shape, bool)
    mask[3:7, 5:15, 6:18] = True
    clock = list(MOMENT)
    for module in (writing, segmentation, registration):
        monkeypatch.setattr(module, "now", lambda: tuple(clock))
    return tmp_path, Roi("CTV", grid.image(mask), "CTV", (1, 2, 3), "rule"), clock


def uids(folder, roi, label="A", name="rs", **options):
    """The UIDs of a structure set and of the segmentation beside it."""
    seg = folder / f"{name}_seg.dcm"
    export_rtstruct(folder / f"{name}.dcm", folder / "mr", [roi], label, seg=seg, timed=True, **options)
    both = [pydicom.dcmread(f, stop_before_pixels=True) for f in (folder / f"{name}.dcm", seg)]
    return [(d.SOPInstanceUID, d.SeriesInstanceUID, d.file_meta.MediaStorageSOPInstanceUID) for d in both]


def test_whatever_differs_gives_other_uids(made, monkeypatch):
    pytest.importorskip("highdicom")
    folder, roi, clock = made
    first = uids(folder, roi)
    content = [(folder / f).read_bytes() for f in ("rs.dcm", "rs_seg.dcm")]
    assert uids(folder, roi) == first
    assert [(folder / f).read_bytes() for f in ("rs.dcm", "rs_seg.dcm")] == content, "the same at the same moment"
    others = [
        replace(roi, interpreted_type="GTV"), replace(roi, description="another rule"), replace(roi, color_rgb=(9, 9, 9)),
        replace(roi, name="CTV2"), replace(roi, algorithm="MANUAL"),
    ]  # fmt: skip
    found = [first, *(uids(folder, other) for other in others)]
    clock[1] = "030406"
    found.append(uids(folder, roi))
    for kind in (0, 1):
        assert len({u[kind][0] for u in found}) == len({u[kind][1] for u in found}) == len(found)
        assert all(u[kind][0] == u[kind][2] for u in found)
    assert uids(folder, roi, "B")[0] != found[-1][0]
    monkeypatch.setattr(writing, "version", lambda: "9.9")
    assert uids(folder, roi)[0] not in [f[0] for f in found]


def test_a_registrations_uids_hold_date_version_and_who_accepted_it(made, monkeypatch):
    folder, _, clock = made
    mr, ct = read_stack(folder / "mr"), read_stack(folder / "ct")

    def uid(by="Dr Example"):
        write_registration(folder / "reg.dcm", mr, ct, accepted_registration(folder / "T.tfm", by))
        d = pydicom.dcmread(folder / "reg.dcm")
        assert (d.ContentDate, d.ContentTime) == tuple(clock)
        return d.SOPInstanceUID

    found = [uid(), uid("Dr Other")]
    assert uid() == found[0]
    clock[0] = "20260103"
    found.append(uid())
    monkeypatch.setattr(registration, "version", lambda: "9.9")
    found.append(uid())
    assert len(set(found)) == 4


def test_date_and_time_of_a_structure_set(made):
    folder, roi, _ = made
    export_rtstruct(folder / "rs.dcm", folder / "mr", [roi])
    d = pydicom.dcmread(folder / "rs.dcm")
    assert (d.StructureSetDate, d.StructureSetTime) == (MOMENT[0], ""), (
        "a result of a run, the same on every run of a day"
    )
    export_rtstruct(folder / "rs.dcm", folder / "mr", [roi], timed=True)
    d = pydicom.dcmread(folder / "rs.dcm")
    assert (d.StructureSetDate, d.StructureSetTime) == (d.InstanceCreationDate, d.InstanceCreationTime) == MOMENT
    day, time = objects.now()
    assert (len(day), len(time)) == (8, 6)


@pytest.mark.parametrize(
    ("by", "charset"), [("山田^太郎", "ISO_IR 192"), ("Иванов", "ISO_IR 192"), ("Dr Ångström", "ISO_IR 100")]
)
def test_a_name_in_another_script_survives_and_the_patients_too(made, by, charset):
    pytest.importorskip("highdicom")
    folder, roi, _ = made
    for file in (folder / "mr").iterdir():  # a text in a sequence, too, that is copied as it was read
        d = pydicom.dcmread(file)
        code = pydicom.Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113100", "DCM", "Größe"
        d.DeidentificationMethodCodeSequence = [code]
        save(d, file)
    accepted = accepted_registration(folder / "T.tfm", by)
    export_rtstruct(folder / "rs.dcm", folder / "mr", [replace(roi, description=f"von {by}")], registration=accepted,
                    seg=folder / "seg.dcm")  # fmt: skip
    write_registration(folder / "reg.dcm", read_stack(folder / "mr"), read_stack(folder / "ct"), accepted)
    rs, reg, seg = (pydicom.dcmread(folder / f"{n}.dcm") for n in ("rs", "reg", "seg"))
    assert f"accepted by {by}" in rs.StructureSetDescription
    assert rs.StructureSetROISequence[0].ROIDescription == f"von {by}. For research use only."
    assert rs.DeidentificationMethodCodeSequence[0].CodeMeaning == "Größe"
    assert reg.ContentCreatorName == by
    assert by in reg.RegistrationSequence[1].MatrixRegistrationSequence[0].FrameOfReferenceTransformationComment
    assert seg.SegmentSequence[0].SegmentDescription.startswith(f"von {by}")
    assert [str(d.PatientName) for d in (rs, reg, seg)] == ["Müller^Åse"] * 3
    assert rs.SpecificCharacterSet == reg.SpecificCharacterSet == charset


def test_a_series_without_a_character_set_gets_one_where_a_text_needs_it(made):
    folder, roi, _ = made
    for file in (folder / "ct").iterdir():
        d = pydicom.dcmread(file)
        d.PatientName = d.PatientID = "Stand-In"
        del d.SpecificCharacterSet
        save(d, file)
    export_rtstruct(folder / "a.dcm", folder / "ct", [roi])
    assert "SpecificCharacterSet" not in pydicom.dcmread(folder / "a.dcm")
    export_rtstruct(folder / "b.dcm", folder / "ct", [replace(roi, description="Ödem + 15 mm")])
    d = pydicom.dcmread(folder / "b.dcm")
    assert (d.SpecificCharacterSet, str(d.StructureSetROISequence[0].ROIDescription)[:4]) == ("ISO_IR 192", "Ödem")
