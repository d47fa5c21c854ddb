"""Roles of a study's images, DCE told from DSC, flip angles, registration to the T1c."""

import types
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.files import write_json
from gliosuite.images import Grid, Series

GRID = Grid((12, 11, 10), (2.0, 2.0, 4.0), (-12.0, -9.0, 30.0), sitk.VersorTransform((0.2, 0.4, 0.9), 0.3).GetMatrix())


def volume(slicer, name, grid=GRID, value=1.0, **attributes):
    from gliosuite.mrml.volumes import node_from_image

    node = node_from_image(grid.image(np.full(grid.shape, value, np.float32)), name)
    for key, text in attributes.items():
        node.SetAttribute(key.replace("__", "."), text)
    return node


def frames(change):
    """A series of 12 frames whose brighter half changes by a share of its signal from frame 6 to 8."""
    values = np.full((12, *GRID.shape), 100.0, np.float32)
    values[:, :5] = 20.0
    values[6:9, 7:] *= 1 + change
    values[0] *= 1.4  # not in steady state
    return Series(values, GRID, "series")


def roles(entries):
    return {e.node.GetName(): e.role for e in entries}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("7: t1_mprage_sag post GAD", "t1c"),
        ("t1ce", "t1c"),
        ("P1 t1", "t1"),
        ("ax T1 pre contrast", "t1"),
        ("AX FLAIR", "flair"),
        ("t2_tse_tra", "t2"),
        ("t1 map", "t1_map"),
        ("rCBV", ""),
        ("SWI", ""),
        ("head", ""),
        ("VFA fa 10", "vfa"),
    ],
)
def test_names_tell_roles(slicer, name, role):
    from gliosuite.mrml.perfusion.study import entries

    node = volume(slicer, name)
    (entry,) = entries()
    assert (entry.node, entry.role) == (node, role)
    assert entry.why


def test_one_image_alone_is_the_t1c(slicer):
    from gliosuite.mrml.perfusion.study import choose_role, entries, with_role

    fine = replace(GRID, size=(24, 22, 20))
    first, second = volume(slicer, "t1c thick"), volume(slicer, "t1c thin", fine)
    assert roles(entries()) == {"t1c thick": "", "t1c thin": "t1c"}
    assert "t1c thin is finer" in entries()[0].why
    choose_role(first, "t1c")
    assert with_role("t1c") == [first]
    assert entries()[0].why == "as it was chosen"
    choose_role(first, "")
    assert with_role("t1c") == [], "a person has said of both that they are not"
    choose_role(second, "t1c")
    assert with_role("t1c") == [second]


def test_no_map_of_ours_and_no_frame_of_a_series_is_an_image(slicer):
    from gliosuite.mrml.display import show_map
    from gliosuite.mrml.perfusion.study import entries
    from slicerapp.loaded import dicom_sequence

    show_map(volume(slicer, "T1 something"), "ktrans")
    volume(slicer, "hidden t1").SetHideFromEditors(True)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "t1 empty")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "t1 labels")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "dce empty")
    transforms = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "dce movement")
    transforms.SetDataNodeAtValue(slicer.vtkMRMLLinearTransformNode(), "0")
    sequence = dicom_sequence(frames(0.5), range(12), te_ms=2)
    assert roles(entries()) == {sequence.GetName(): "dce"}


def test_dicom_attributes_tell_roles(slicer, tmp_path, monkeypatch):
    """Names say nothing; the application's database knows the files."""
    pytest.importorskip("pydicom")
    import pydicom
    from dicom_study import FLAIR, GADOLINIUM, SPGR, T1, T2, Patient, classic
    from gliosuite.mrml.perfusion.study import entries

    known = {}
    values = np.arange(4 * 6 * 5, dtype=np.int16).reshape(4, 6, 5)
    patient = Patient()
    wanted = {"a": ("t1", T1), "b": ("t1c", T1 | GADOLINIUM), "c": ("t2", T2), "d": ("flair", FLAIR)}
    wanted |= {f"v{angle}": ("vfa", SPGR | {"FlipAngle": angle}) for angle in (2, 10, 15)}
    for number, (name, (_, kind)) in enumerate(wanted.items(), 1):
        files = classic(tmp_path / name, values, patient, number, kind | {"SeriesDescription": "scan"})
        uids = []
        for file in sorted(files):
            uid = str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)
            known[uid] = str(file)
            uids.append(uid)
        volume(slicer, name, DICOM__instanceUIDs=" ".join(uids))
    database = types.SimpleNamespace(fileForInstance=lambda uid: known.get(uid, ""), instanceValue=lambda uid, tag: "")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert roles(entries()) == {name: role for name, (role, _) in wanted.items()}
    assert "ContrastBolus" in next(e.why for e in entries() if e.role == "t1c")


@pytest.mark.parametrize(
    ("change", "acquired", "name", "kind"),
    [
        (0.5, {"te_ms": 2}, "series", "DCE"),
        (0.5, {"te_ms": 30}, "series", "DSC"),
        (-0.4, {}, "series", "DSC"),
        (0.5, {}, "series", "DCE"),
        (0.5, {}, "ep2d_perf", "DSC"),
        (-0.4, {"te_ms": 1.8}, "ep2d_perf", "DCE"),
        (-0.4, {"tr_ms": 4.2}, "series", "DCE"),
        (0.5, {"tr_ms": 1500}, "series", "DSC"),
        (0.5, {"tr_ms": 60}, "ep2d_perf", "DSC"),
    ],
)
def test_kind_follows_te_then_tr_then_name_then_signal(slicer, change, acquired, name, kind):
    from gliosuite.mrml.perfusion.study import kind_of
    from slicerapp.loaded import dicom_sequence

    assert kind_of(dicom_sequence(frames(change), range(12), name, **acquired))[0] == kind


def test_flip_angles_are_read(slicer, monkeypatch):
    from gliosuite.mrml.perfusion.preparing import flip_angles, parse_flip_angles
    from slicerapp.loaded import dicom_sequence

    sequence = dicom_sequence(frames(0), range(12), tag="FlipAngle", unit="degrees")
    assert flip_angles([sequence]) == tuple(map(float, range(12)))
    images = [volume(slicer, name, DICOM__instanceUIDs=f"1.{name} 2.{name}") for name in ("2", "15")]
    assert flip_angles(images) == ()
    database = types.SimpleNamespace(instanceValue=lambda uid, tag: uid[2:] if tag == "0018,1314" else "")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert flip_angles(images) == (2.0, 15.0)
    assert parse_flip_angles("2; 5, 10") == (2.0, 5.0, 10.0)
    for text, sentence in (("", "not known"), ("2, x", "the flip angles hold 'x'")):
        with pytest.raises(InputError, match=sentence):
            parse_flip_angles(text)


def registered(slicer, moving, transform, tmp_path):
    """What a registration leaves, as a step writes it."""
    from gliosuite.mrml.perfusion.registration import RegistrationRequest, finish
    from gliosuite.mrml.process import Job

    folder = tmp_path / "job"
    folder.mkdir()
    sitk.WriteTransform(transform, str(folder / "T.tfm"))
    numbers = {"translation_mm": 3.0, "rotation_deg": 5.0, "overlap": 0.9, "engine": "simpleitk"}
    write_json(folder / "out.json", numbers | {"mutual_information_before": 0.2, "mutual_information_after": 0.5})
    job = Job(RegistrationRequest(volume(slicer, "T1c"), moving), folder, [])
    found = finish(job, {})
    assert not folder.exists()
    return found


def turned():
    return sitk.Euler3DTransform((3.0, -4.0, 5.0), 0.05, -0.1, 0.2, (4.0, -6.0, 9.0))


def test_an_accepted_series_lies_where_the_t1c_shows_it(slicer, tmp_path):
    """ITK's transform takes points of the T1c to points of the series; the node's does the reverse, in RAS."""
    from gliosuite.mrml.perfusion.registration import accept, accepted, forget, quality_of, registration_for, withdraw
    from gliosuite.mrml.sequences import node_from_series, proxy_of, series_from_node

    truth = frames(0.5)
    node = node_from_series(truth, tuple(range(12)), "DCE")
    transform = registered(slicer, node, turned(), tmp_path)
    assert transform.GetName() == "DCE to T1c"
    assert registration_for(node) is transform
    assert quality_of(transform)["overlap"] == 0.9
    assert not accepted(node)
    assert series_from_node(node).grid.matches(GRID, 1e-6)
    accept(node)
    assert accepted(node)
    assert proxy_of(node).GetParentTransformNode() is transform
    moved = series_from_node(node)
    assert np.array_equal(moved.frames, truth.frames)
    for there, here in zip(moved.grid.corners(), GRID.corners(), strict=True):
        assert turned().TransformPoint(there.tolist()) == pytest.approx(here.tolist(), abs=1e-6)
    withdraw(node)
    assert series_from_node(node).grid.matches(GRID, 1e-6)
    accept(node)
    forget(node)
    assert registration_for(node) is None
    assert series_from_node(node).grid.matches(GRID, 1e-6)
    with pytest.raises(InputError, match="DCE has not been registered yet"):
        accept(node)


def test_points_and_segments_follow_an_accepted_series(slicer, tmp_path):
    """What was drawn on the T1c marks the voxels that are seen under it."""
    from gliosuite.mrml.curves import mask_from_points
    from gliosuite.mrml.perfusion.registration import accept
    from gliosuite.mrml.sequences import node_from_series, series_from_node

    node = node_from_series(frames(0.5), tuple(range(12)), "DCE")
    registered(slicer, node, turned(), tmp_path)
    accept(node)
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "AIF")
    here = GRID.blank().TransformIndexToPhysicalPoint((4, 6, 2))
    x, y, z = turned().GetInverse().TransformPoint(here)  # where the T1c shows that voxel
    points.AddControlPoint(-x, -y, z)
    mask = sitk.GetArrayFromImage(mask_from_points(points, series_from_node(node).grid))
    assert np.argwhere(mask).tolist() == [[2, 6, 4]]


def test_a_new_registration_takes_the_place_of_the_old(slicer, tmp_path):
    from gliosuite.mrml.perfusion.registration import accept, accepted, registration_for

    image = volume(slicer, "FLAIR")
    first = registered(slicer, image, turned(), tmp_path)
    accept(image)
    assert image.GetParentTransformNode() is first
    second = registered(slicer, image, sitk.Euler3DTransform(), tmp_path)
    assert registration_for(image) is second
    assert not accepted(image)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLLinearTransformNode") == 1


def test_what_is_not_rigid_is_refused_for_a_series(slicer, tmp_path):
    from gliosuite.mrml.perfusion.registration import accept
    from gliosuite.mrml.sequences import node_from_series, series_from_node

    node = node_from_series(frames(0.5), tuple(range(12)), "DCE")
    scaled = sitk.AffineTransform(3)
    scaled.Scale(1.1)
    registered(slicer, node, scaled, tmp_path)
    accept(node)
    with pytest.raises(InputError, match="DCE to T1c is not rigid"):
        series_from_node(node)


def test_the_checkerboard_shows_both(slicer, tmp_path):
    """Where the images are the same and lie together, no square is seen; moved by a voxel, edges are."""
    from gliosuite.mrml.perfusion.registration import RegistrationRequest, finish, show_checkerboard
    from gliosuite.mrml.process import Job
    from gliosuite.mrml.volumes import node_from_image
    from heads import head

    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    image = head()
    fixed, moving = node_from_image(image, "T1c"), node_from_image(image, "T1")
    boards = []
    for shift in (0.0, 6.0):
        folder = tmp_path / f"job{shift:g}"
        folder.mkdir()
        sitk.WriteTransform(sitk.Euler3DTransform((0, 0, 0), 0, 0, 0, (shift, 0, 0)), str(folder / "T.tfm"))
        write_json(folder / "out.json", {})
        finish(Job(RegistrationRequest(fixed, moving), folder, []), {})
        board = show_checkerboard(moving)
        boards.append(np.array(slicer.util.arrayFromVolume(board)))
    assert composite.GetBackgroundVolumeID() == board.GetID()
    assert len(slicer.util.getNodes("checkerboard*")) == 1
    assert board.GetName() == "checkerboard of T1 to T1c"
    assert np.abs(boards[0] - boards[1]).max() > 0.3
    assert 0 <= boards[0].min() <= boards[0].max() <= 1
