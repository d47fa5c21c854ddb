"""GlioRT's logic on nodes: targets in the right place, compared, corrected by hand, exported on the DICOM series and read back."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, signed_distance, volume_cc
from gliosuite.rt.compare import compare_ctv

from Testing.conftest import ROOT

ROTATION = sitk.VersorTransform((0.05, -0.1, 0.99), 0.15).GetMatrix()
GRID = Grid((60, 66, 50), (2.0, 2.0, 2.5), (-58.0, -60.0, -55.0), ROTATION)
CENTER = GRID.corners().mean(axis=0)


def ball(radius, shift=(0.0, 0.0, 0.0), grid=GRID):
    index = np.stack(np.meshgrid(*[np.arange(s) for s in grid.size], indexing="ij"), -1)
    points = index @ (np.reshape(grid.direction, (3, 3)) * grid.spacing).T + grid.origin
    return grid.image(
        np.ascontiguousarray((np.linalg.norm(points - CENTER - shift, axis=-1) < radius).T).astype(np.uint8)
    )


MASKS = {
    "brain": ball(52),
    "cel": ball(9, (25, 0, 0)),
    "t2l": ball(14, (22, 2, 0)),
    "progression": ball(10, (18, 16, 0)),
}


@pytest.fixture
def logic(slicer):
    from slicerapp import application

    application.load(ROOT / "GlioCore" / "GlioCore.py")
    return application.load(ROOT / "GlioRT" / "GlioRT.py").GlioRTLogic()


@pytest.fixture
def request_of(logic):
    """``request_of("brain", "cel", schemes=(...))``: the scene and a request for those structures."""
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.targets import TargetsRequest
    from gliosuite.mrml.volumes import node_from_image

    reference = node_from_image(GRID.image(array(MASKS["brain"]) * 100), "T1c")
    node = segmentation_from_masks(MASKS, reference, "structures")
    ids = {region: node.GetSegmentation().GetNthSegmentID(i) for i, region in enumerate(MASKS)}
    return lambda *regions, schemes: TargetsRequest(reference, schemes, {r: (node, ids[r]) for r in regions})


def test_targets_are_segments_where_the_rule_puts_them(slicer, logic, request_of):
    from gliosuite.mrml.segments import mask_from_segment

    with pytest.warns(UserWarning, match=r"(rtog|estro-eano): .*made without the resection cavity"):
        result = logic.compute(request_of("brain", "cel", "t2l", schemes=("rtog", "estro-eano")))
    assert result.names == ["CTV_RTOG", "CTV_EANO"]
    segments = result.segmentation.GetSegmentation()
    mask = mask_from_segment(result.segmentation, segments.GetSegmentIdBySegmentName("CTV_EANO"), GRID)
    distance = array(signed_distance(MASKS["cel"]))
    brain = boolean(MASKS["brain"])
    assert boolean(mask)[brain & (distance < 13)].all()
    assert not boolean(mask)[distance > 17].any()
    assert not boolean(mask)[~brain].any()
    row = dict(zip(result.columns, result.rows[1], strict=True))
    assert row["CTV (cc)"] == pytest.approx(volume_cc(mask), rel=1e-6)
    assert "15 mm" in row["rule"]


def test_one_segment_in_two_roles_is_refused(logic, request_of):
    request = request_of("brain", "cel", "t2l", schemes=("rtog",))
    request.segments["t2l"] = request.segments["cel"]
    with pytest.raises(
        InputError, match=r"of structures is chosen as enhancing lesion \(CEL\) and as T2 lesion \(T2L\); one segment"
    ):
        logic.compute(request)


def test_slicer_sees_the_target_where_it_is(slicer, logic, request_of):
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request_of("brain", "cel", schemes=("estro-eano",)))
    identifier = result.segmentation.GetSegmentation().GetNthSegmentID(0)
    center = np.array(result.segmentation.GetSegmentCenterRAS(identifier)) * (-1, -1, 1)
    assert np.linalg.norm(center - CENTER - (25, 0, 0)) < 6


def test_comparison_with_a_progression(logic, request_of):
    from gliosuite.mrml.segments import mask_from_segment

    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request_of("brain", "cel", "t2l", "progression", schemes=("s3-rtog", "s3-eortc")))
    assert result.columns[:3] == ("target", "sensitivity", "specificity")
    for row in result.rows:
        identifier = result.segmentation.GetSegmentation().GetSegmentIdBySegmentName(row[0])
        mask = mask_from_segment(result.segmentation, identifier, GRID)
        exact = compare_ctv(mask, MASKS["progression"], MASKS["brain"])
        assert row[1] == pytest.approx(exact.sensitivity, abs=1e-6)
    assert result.rows[0][1] > result.rows[1][1]


def test_structure_set_on_the_dicom_series_reads_back(logic, request_of, tmp_path):
    from gliosuite.rt.rtstruct import read_rtstruct
    from gliosuite.simulate.scans.dicomseries import write_dicom_series

    series = tmp_path / "dicom"
    write_dicom_series(GRID.image((array(MASKS["brain"]) * 100).astype(np.float32)), series, "T1c", 5)
    request = request_of("brain", "cel", "t2l", "progression", schemes=("rtog",))
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    written = logic.export(result, request, str(series), str(tmp_path / "RS.dcm"))
    assert [(w.name, w.interpreted_type) for w in written] == [
        ("CTV_RTOG", "CTV"),
        ("Brain", "ORGAN"),
        ("GTV_CEL", "GTV"),
        ("GTV_T2L", "GTV"),
    ]
    back = read_rtstruct(tmp_path / "RS.dcm", series)
    for name, region in (("Brain", "brain"), ("GTV_CEL", "cel"), ("GTV_T2L", "t2l")):
        assert Grid.of(back[name]).matches(GRID, 0.02)
        assert np.array_equal(boolean(back[name]), boolean(MASKS[region]))


def test_a_correction_by_hand_is_exported(slicer, logic, request_of, tmp_path):
    from gliosuite.mrml.segments import oriented
    from gliosuite.rt.rtstruct import read_rtstruct
    from gliosuite.simulate.scans.dicomseries import write_dicom_series

    write_dicom_series(GRID.image((array(MASKS["brain"]) * 100).astype(np.float32)), tmp_path / "dicom", "T1c", 5)
    request = request_of("brain", "cel", schemes=("estro-eano",))
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    drawn = ball(7, (0, -20, 0))
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        oriented(drawn),
        result.segmentation,
        result.segmentation.GetSegmentation().GetSegmentIdBySegmentName("CTV_EANO"),
        slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE,
    )
    logic.export(result, request, str(tmp_path / "dicom"), str(tmp_path / "RS.dcm"))
    back = read_rtstruct(tmp_path / "RS.dcm", tmp_path / "dicom")
    assert np.array_equal(boolean(back["CTV_EANO"]), boolean(drawn))


def test_a_correction_by_hand_is_exported_after_save_and_reload(slicer, logic, request_of, tmp_path):
    from gliosuite.mrml.segments import oriented
    from gliosuite.rt.rtstruct import read_rtstruct
    from gliosuite.simulate.scans.dicomseries import write_dicom_series
    from slicerapp import application

    write_dicom_series(GRID.image((array(MASKS["brain"]) * 100).astype(np.float32)), tmp_path / "dicom", "T1c", 5)
    request = request_of("brain", "cel", schemes=("estro-eano",))
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    drawn = ball(7, (0, -20, 0))
    segments = result.segmentation.GetSegmentation()
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        oriented(drawn),
        result.segmentation,
        segments.GetSegmentIdBySegmentName("CTV_EANO"),
        slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE,
    )
    logic.getParameterNode().targets = result.segmentation
    (tmp_path / "bundles").mkdir()
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "bundles" / "scene.mrb"))
    application.open_bundle(tmp_path / "bundles" / "scene.mrb", tmp_path / "loaded")
    loaded, asked = logic.recall(logic.getParameterNode().targets)
    assert loaded.segmentation is slicer.util.getNode("Target volumes")
    assert (loaded.names, loaded.described) == (result.names, result.described)
    assert (loaded.columns, loaded.rows) == (result.columns, result.rows)
    assert (asked.reference.GetName(), asked.schemes, set(asked.segments)) == ("T1c", ("estro-eano",), {"brain", "cel"})
    written = logic.export(loaded, asked, str(tmp_path / "dicom"), str(tmp_path / "RS.dcm"))
    assert [roi.name for roi in written] == ["CTV_EANO", "Brain", "GTV_CEL"]
    back = read_rtstruct(tmp_path / "RS.dcm", tmp_path / "dicom")
    assert np.array_equal(boolean(back["CTV_EANO"]), boolean(drawn))
    assert logic.recall(slicer.util.getNode("structures")) is None
    assert logic.recall(None) is None


def test_an_image_that_is_gone_is_said(slicer, logic, request_of, tmp_path):
    request = request_of("brain", "cel", schemes=("estro-eano",))
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    slicer.mrmlScene.RemoveNode(request.reference)
    with pytest.raises(InputError, match="the image that the targets were drawn on is gone"):
        logic.export(*logic.recall(result.segmentation), str(tmp_path), str(tmp_path / "RS.dcm"))


def test_targets_of_two_runs_have_two_names(slicer, logic, request_of):
    request = request_of("brain", "cel", schemes=("estro-eano",))
    with pytest.warns(UserWarning, match="cavity"):
        names = [logic.compute(request).segmentation.GetName() for _ in range(3)]
    assert names == ["Target volumes", "Target volumes (2)", "Target volumes (3)"]


def test_a_preview_is_the_margin_and_is_drawn_anew_in_its_node(slicer, logic, request_of):
    from gliosuite.mrml.segments import mask_from_segment
    from gliosuite.rt.margins import expand

    request = request_of("brain", "cel", schemes=())
    node = None
    for margin in (15.0, 8.0):
        node, volume = logic.preview(
            request.reference, request.segments["cel"], request.segments["brain"], margin, node
        )
        segments = node.GetSegmentation()
        assert segments.GetNumberOfSegments() == 1
        mask = mask_from_segment(node, segments.GetNthSegmentID(0), GRID)
        wanted = boolean(expand(MASKS["cel"], margin)) & boolean(MASKS["brain"])
        assert np.array_equal(boolean(mask), wanted)
        assert volume == pytest.approx(volume_cc(mask))
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2


WALL = GRID.image((np.arange(GRID.size[0]) == 32)[None, None, :] & np.ones(GRID.shape, bool))  # 17 mm from CEL's centre


def test_barriers_come_from_a_folder_or_a_segmentation_alike(slicer, logic, request_of, tmp_path):
    from gliosuite.images import write_image
    from gliosuite.mrml.segments import mask_from_segment, segmentation_from_masks

    write_image(WALL, tmp_path / "falx.nii.gz")
    request = request_of("brain", "cel", schemes=("estro-eano",))
    node = segmentation_from_masks({"Falx": WALL}, request.reference, "walls")
    found = {}
    for choice, more in (
        ("none", {}),
        ("folder", {"barriers_folder": str(tmp_path)}),
        ("segmentation", {"barriers_node": node}),
    ):
        with pytest.warns(UserWarning, match="cavity"):
            result = logic.compute(replace(request, barriers=choice, **more))
        identifier = result.segmentation.GetSegmentation().GetNthSegmentID(0)
        found[choice] = boolean(mask_from_segment(result.segmentation, identifier, GRID))
        said = result.described["CTV_EANO"]
        assert said.endswith("no barriers" if choice == "none" else "round falx (masks given)")
    assert np.array_equal(found["folder"], found["segmentation"])
    assert found["none"].sum() > 1.03 * found["folder"].sum()


def test_placed_barriers_are_named_segments_that_say_where_they_come_from(slicer, logic, request_of):
    from gliosuite.images import read_image, write_image
    from gliosuite.mrml import barriers

    request = replace(request_of("brain", "cel", schemes=("estro-eano",)), barriers="by registration")
    seen = {}

    def run(arguments):
        options = dict(zip(arguments[1::2], arguments[2::2], strict=True))
        seen.update({n: read_image(options[f"--{n}"]) for n in ("image", "brain", "lesion")})
        write_image(WALL, f"{options['--out']}/falx.nii.gz")
        return {"source": "template registered to the image"}

    node = barriers.place(request, run)
    assert np.array_equal(boolean(seen["lesion"]), boolean(MASKS["cel"]))
    assert Grid.of(seen["image"]).matches(GRID)
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(replace(request, barriers="segmentation", barriers_node=node))
    assert "round falx (template registered to the image, as the segmentation has it)" in result.described["CTV_EANO"]


def test_barriers_that_are_none_are_said(slicer, logic, request_of):
    from gliosuite.mrml.segments import segmentation_from_masks

    request = request_of("brain", "cel", schemes=("estro-eano",))
    node = lambda names: segmentation_from_masks(dict.fromkeys(names, WALL), request.reference, "walls")
    for more, sentence in (
        ({"barriers": "folder"}, "no folder of barriers is chosen"),
        ({"barriers": "segmentation"}, "no segmentation of barriers is chosen"),
        (
            {"barriers": "segmentation", "barriers_node": node(["skull"])},
            "segment skull of walls is no barrier that is known",
        ),
        ({"barriers": "segmentation", "barriers_node": node([])}, "walls holds no barrier"),
        (
            {"barriers": "segmentation", "barriers_node": node(["falx"]), "through": ("chiasm",)},
            "walls has no segment of it",
        ),
    ):
        with pytest.raises(InputError, match=sentence):
            logic.compute(replace(request, **more))
    with pytest.raises(InputError, match="no brain segment is chosen; the template"):
        logic.startBarriers(request_of("cel", schemes=("estro-eano",)))


def test_what_is_missing_is_said(logic, request_of, tmp_path):
    from gliosuite.mrml.targets import TargetsRequest, TargetsResult

    with pytest.raises(InputError, match="no reference image is chosen"):
        logic.compute(TargetsRequest(None, ("rtog",)))
    with pytest.raises(InputError, match="no brain segment is chosen"):
        logic.compute(request_of("cel", schemes=("rtog",)))
    with pytest.raises(InputError, match="needs the T2 lesion"):
        logic.compute(request_of("brain", "cel", schemes=("rtog",)))
    request = request_of("brain", "cel", schemes=("estro-eano",))
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    with pytest.raises(InputError, match="no DICOM series is chosen"):
        logic.export(result, request, "", "RS.dcm")
    with pytest.raises(InputError, match="no file is chosen"):
        logic.export(result, request, str(tmp_path), "")
    result.segmentation.GetSegmentation().RemoveSegment(result.segmentation.GetSegmentation().GetNthSegmentID(0))
    with pytest.raises(InputError, match="has no segment CTV_EANO any more"):
        logic.export(result, request, str(tmp_path), str(tmp_path / "RS.dcm"))
    assert not (tmp_path / "RS.dcm").exists()
    assert isinstance(result, TargetsResult)


def test_the_modules_own_test(slicer, logic):
    import sys

    sys.modules["GlioRT"].GlioRTTest().runTest()
    assert slicer.modules.gliort.metadata.contributors
