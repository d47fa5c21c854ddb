"""Registration to a planning CT: only rigid, only accepted, and as a DICOM object that reads back as the same matrix."""

import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_series import Stack, save, uid, write_series
from gliosuite.dicom.geometry import read_stack
from gliosuite.errors import InputError
from gliosuite.images import boolean, write_image
from gliosuite.rt.rtstruct import Roi, accepted_registration, export_rtstruct, read_rtstruct, write_registration
from gliosuite.rt.rtstruct.registration import read_registration, rigid_matrix

MR, CT = Stack((40, 36, 30), (1.5, 1.5, 1.5)), Stack((48, 48, 24), (1.5, 1.5, 2.5), "oblique")


def rigid():
    transform = sitk.Euler3DTransform()
    transform.SetCenter((3.0, -11.0, 20.0))
    transform.SetRotation(0.10, 0.05, -0.08)
    transform.SetTranslation((3.0, -4.0, 2.0))
    return transform


@pytest.fixture
def pair(tmp_path):
    """An MR and a planning CT of one patient in two frames of reference, and the registration between them."""
    write_series(tmp_path / "mr", MR, "mr")
    write_series(tmp_path / "ct", CT, "ct", frame="CT")
    sitk.WriteTransform(rigid(), str(tmp_path / "T.tfm"))
    return tmp_path


def ball(grid, centre, radius):
    index = np.indices(grid.shape)[::-1].reshape(3, -1).T * grid.spacing
    points = index @ np.reshape(grid.direction, (3, 3)).T + grid.origin
    return grid.image((np.linalg.norm(points - centre, axis=1) <= radius).reshape(grid.shape))


def test_a_registration_must_be_accepted_by_name(pair):
    for name in (None, "", "  ", "a\\b", "x" * 65):
        with pytest.raises(InputError, match="was not accepted by anyone: look at its picture"):
            accepted_registration(pair / "T.tfm", name)
    accepted = accepted_registration(pair / "T.tfm", "Dr Example")
    assert accepted.sentence() == "rigid registration (turned by 7.8 deg), looked at and accepted by Dr Example"
    moved = accepted.matrix @ (10.0, 20.0, 30.0, 1.0)
    assert moved[:3] == pytest.approx(rigid().TransformPoint((10.0, 20.0, 30.0)), abs=1e-9)


def test_what_bends_or_scales_is_refused(tmp_path):
    scaled = sitk.AffineTransform(3)
    scaled.SetMatrix((1.02, 0, 0, 0, 1, 0, 0, 0, 1))
    mirrored = sitk.AffineTransform(3)
    mirrored.SetMatrix((-1, 0, 0, 0, 1, 0, 0, 0, 1))
    bent = sitk.BSplineTransformInitializer(sitk.Image(40, 40, 40, sitk.sitkUInt8), (2, 2, 2))
    bent.SetParameters(np.random.default_rng(0).normal(0, 3, len(bent.GetParameters())).tolist())
    for transform in (scaled, mirrored, bent):
        with pytest.raises(InputError, match="the transform is not rigid"):
            rigid_matrix(transform)
    both = sitk.CompositeTransform([rigid(), sitk.TranslationTransform(3, (1.0, 2.0, 3.0))])
    assert rigid_matrix(both)[:3, 3] == pytest.approx(both.TransformPoint((0.0, 0.0, 0.0)))
    with pytest.raises(InputError, match=r"none\.tfm does not exist"):
        accepted_registration(tmp_path / "none.tfm", "Dr Example")
    (tmp_path / "text.tfm").write_text("no transform")
    with pytest.raises(InputError, match="is not an ITK transform"):
        accepted_registration(tmp_path / "text.tfm", "Dr Example")


def test_structures_arrive_on_the_planning_ct_where_the_registration_puts_them(pair):
    mr, ct = read_stack(pair / "mr"), read_stack(pair / "ct")
    on_ct = np.array([3.0, -11.0, 20.0])
    mask = ball(mr.grid, rigid().TransformPoint(on_ct.tolist()), 9.0)
    accepted = accepted_registration(pair / "T.tfm", "Dr Example")
    exported = export_rtstruct(pair / "rs.dcm", pair / "ct", [Roi("CTV", mask, "CTV")], registration=accepted)
    again = boolean(read_rtstruct(pair / "rs.dcm", pair / "ct")["CTV"])
    where = np.argwhere(again).mean(axis=0)[::-1] * ct.grid.spacing @ np.reshape(ct.grid.direction, (3, 3)).T
    assert where + ct.grid.origin == pytest.approx(on_ct, abs=0.3)
    assert exported.rois[0].volume_voxels_cc == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.04)
    d = pydicom.dcmread(pair / "rs.dcm")
    assert d.FrameOfReferenceUID == ct.header.frame_of_reference
    assert "accepted by Dr Example" in d.StructureSetDescription


def test_the_registration_object_reads_back_and_passes_dciodvfy(pair, tool):
    mr, ct = read_stack(pair / "mr"), read_stack(pair / "ct")
    write_registration(pair / "reg.dcm", mr, ct, accepted_registration(pair / "T.tfm", "Dr Example"))
    matrices = read_registration(pair / "reg.dcm")
    assert np.array_equal(matrices[ct.header.frame_of_reference], np.eye(4))
    point = np.array([12.0, -30.0, 25.0, 1.0])
    on_mr = np.append(rigid().TransformPoint(point[:3].tolist()), 1.0)
    assert matrices[mr.header.frame_of_reference] @ on_mr == pytest.approx(point, abs=1e-6)
    d = pydicom.dcmread(pair / "reg.dcm")
    assert d.FrameOfReferenceUID == ct.header.frame_of_reference
    assert [len(r.ReferencedImageSequence) for r in d.RegistrationSequence] == [24, 30]
    assert d.ContentCreatorName == "Dr Example"
    output = subprocess.run([tool("dciodvfy"), str(pair / "reg.dcm")], capture_output=True, text=True).stderr
    assert "SpatialRegistration" in output
    assert "Error" not in output


def test_two_studies_are_both_referred_to(tmp_path, tool):
    write_series(tmp_path / "mr", MR, "mr", study="earlier")
    write_series(tmp_path / "ct", CT, "ct", frame="CT")
    sitk.WriteTransform(rigid(), str(tmp_path / "T.tfm"))
    mr, ct = read_stack(tmp_path / "mr"), read_stack(tmp_path / "ct")
    write_registration(tmp_path / "reg.dcm", mr, ct, accepted_registration(tmp_path / "T.tfm", "Dr Example"))
    d = pydicom.dcmread(tmp_path / "reg.dcm")
    assert d.StudyInstanceUID == ct.header.study_uid
    assert d.StudiesContainingOtherReferencedInstancesSequence[0].StudyInstanceUID == mr.header.study_uid
    output = subprocess.run([tool("dciodvfy"), str(tmp_path / "reg.dcm")], capture_output=True, text=True).stderr
    assert "Error" not in output


def test_one_frame_of_reference_or_two_patients_are_refused(pair):
    accepted = accepted_registration(pair / "T.tfm", "Dr Example")
    mr, ct = read_stack(pair / "mr"), read_stack(pair / "ct")
    with pytest.raises(InputError, match="share one frame of reference already"):
        write_registration(pair / "reg.dcm", mr, mr, accepted)
    write_series(pair / "other", CT, "other", patient="Somebody^Else")
    with pytest.raises(InputError, match="are of different patients"):
        write_registration(pair / "reg.dcm", mr, read_stack(pair / "other"), accepted)
    for file in (pair / "ct").iterdir():
        d = pydicom.dcmread(file)
        del d.FrameOfReferenceUID
        save(d, file)
    with pytest.raises(InputError, match="have no frame of reference UID"):
        write_registration(pair / "reg.dcm", mr, read_stack(pair / "ct"), accepted)
    assert not (pair / "reg.dcm").exists()
    with pytest.raises(InputError, match="a spatial registration object is needed"):
        read_registration(next((pair / "mr").iterdir()))
    assert ct.header.frame_of_reference != uid("Stand-In frame of reference")


def test_the_command_carries_and_ties_and_writes_all_or_nothing(pair, gliosuite):
    import json

    mr = read_stack(pair / "mr")
    write_image(ball(mr.grid, (5.0, -12.0, 22.0), 8.0), pair / "ctv.nii.gz", "drawn")
    roi, rs = f"CTV:CTV={pair / 'ctv.nii.gz'}", pair / "out" / "rs.dcm"
    code, _, err = gliosuite(
        "rtstruct", "--series", pair / "ct", "--roi", roi, "--transform", pair / "T.tfm", "--out", rs
    )
    assert code == 2
    assert "was not accepted by anyone" in err
    assert not rs.parent.exists()
    by = ("--transform", pair / "T.tfm", "--accepted-by", "Dr Example")
    assert gliosuite("rtstruct", "--series", pair / "ct", "--roi", roi, *by, "--out", rs)[0] == 0
    assert pydicom.dcmread(rs).FrameOfReferenceUID == uid("CT frame of reference")
    reg = pair / "out" / "reg.dcm"
    tie = ("--planning", pair / "ct", "--registration", reg)
    code, out, _ = gliosuite("rtstruct", "--series", pair / "mr", "--roi", roi, *by, *tie, "--out", rs)
    assert code == 0
    assert json.loads(out)["registration"] == str(reg)
    assert pydicom.dcmread(rs).FrameOfReferenceUID == mr.header.frame_of_reference == uid("Stand-In frame of reference")
    assert set(read_registration(reg)) == {mr.header.frame_of_reference, uid("CT frame of reference")}
    rs2, reg2 = pair / "two" / "rs.dcm", pair / "two" / "reg.dcm"
    tie = ("--planning", pair / "ct", "--registration", reg2)
    bad = f"CTV_WITH_A_LONG_NAME:CTV={pair / 'ctv.nii.gz'}"
    assert gliosuite("rtstruct", "--series", pair / "mr", "--roi", bad, *by, *tie, "--out", rs2)[0] == 2
    assert not rs2.parent.exists()
    for options, sentence in (
        (("--planning", pair / "ct"), "--planning and --registration belong together"),
        (("--accepted-by", "x"), "--transform is missing"),
    ):
        code, _, err = gliosuite("rtstruct", "--series", pair / "mr", "--roi", roi, *options, "--out", rs2)
        assert code == 2
        assert sentence in err
