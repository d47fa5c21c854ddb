"""GlioRT's logic on nodes: targets in the right place, compared, corrected by hand, exported on the DICOM series and read back."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, signed_distance, volume_cc
from gliosuite.rt.compare import compare_ctv

from Testing.mrml.heads import CENTER, GRID, MASKS, ball


def test_targets_are_segments_where_the_rule_puts_them(slicer, logic, request_of):
    from gliosuite.mrml.segments import mask_from_segment

    with pytest.warns(
        UserWarning, match=r"(RTOG, first phase|ESTRO-EANO guideline): .*made without the resection cavity"
    ):
        result = logic.compute(request_of("brain", "cel", "t2l", schemes=("rtog", "estro-eano")))
    assert result.names == ["CTV_RTOG", "CTV_EANO"]
    segments = result.segmentation.GetSegmentation()
    mask = mask_from_segment(result.segmentation, segments.GetSegmentIdBySegmentName("CTV_EANO"), GRID)
    distance = array(signed_distance(MASKS["cel"]))
    brain = boolean(MASKS["brain"])
    assert boolean(mask)[brain & (distance < 13)].all()
    assert not boolean(mask)[distance > 17].any()
    assert not boolean(mask)[~brain].any()
    row = dict(zip(result.keys, result.rows[1], strict=True))
    assert row["ctv_cc"] == pytest.approx(volume_cc(mask), rel=1e-6)
    assert "15 mm" in result.described["CTV_EANO"]


def test_one_segment_in_two_roles_is_refused(logic, request_of):
    request = request_of("brain", "cel", "t2l", schemes=("rtog",))
    request.segments["t2l"] = request.segments["cel"]
    with pytest.raises(
        InputError, match=r"of structures is chosen as Enhancing lesion \(CEL\) and as T2 lesion \(T2L\); one segment"
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
    assert result.keys[:3] == ("name", "sensitivity", "specificity")
    for row in result.rows:
        identifier = result.segmentation.GetSegmentation().GetSegmentIdBySegmentName(row[0])
        mask = mask_from_segment(result.segmentation, identifier, GRID)
        exact = compare_ctv(mask, MASKS["progression"], MASKS["brain"])
        assert row[1] == pytest.approx(exact.sensitivity, abs=1e-6)
    assert result.rows[0][1] > result.rows[1][1]


def test_targets_of_two_runs_have_two_names(slicer, logic, request_of):
    request = request_of("brain", "cel", schemes=("estro-eano",))
    with pytest.warns(UserWarning, match="cavity"):
        names = [logic.compute(request).segmentation.GetName() for _ in range(3)]
    assert names == ["Target volumes", "Target volumes (2)", "Target volumes (3)"]


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
        ("a folder", {"barriers_folder": str(tmp_path)}),
        ("a segmentation", {"barriers_node": node}),
    ):
        with pytest.warns(UserWarning, match="cavity"):
            result = logic.compute(replace(request, barriers=choice, **more))
        identifier = result.segmentation.GetSegmentation().GetNthSegmentID(0)
        found[choice] = boolean(mask_from_segment(result.segmentation, identifier, GRID))
        said = result.described["CTV_EANO"]
        assert said.endswith("no barriers" if choice == "none" else "round falx (masks given)")
    assert np.array_equal(found["a folder"], found["a segmentation"])
    assert found["none"].sum() > 1.03 * found["a folder"].sum()


def test_placed_barriers_are_named_segments_that_say_where_they_come_from(slicer, logic, request_of):
    from gliosuite.images import read_image, write_image
    from gliosuite.mrml.rt import barriers

    request = replace(request_of("brain", "cel", schemes=("estro-eano",)), barriers="placed by registration")
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
        result = logic.compute(replace(request, barriers="a segmentation", barriers_node=node))
    assert "round falx (template registered to the image, as the segmentation has it)" in result.described["CTV_EANO"]


def test_barriers_that_are_none_are_said(slicer, logic, request_of):
    from gliosuite.mrml.segments import segmentation_from_masks

    request = request_of("brain", "cel", schemes=("estro-eano",))
    node = lambda names: segmentation_from_masks(dict.fromkeys(names, WALL), request.reference, "walls")
    for more, sentence in (
        ({"barriers": "a folder"}, "no folder of barriers is chosen"),
        ({"barriers": "a segmentation"}, "no segmentation of barriers is chosen"),
        (
            {"barriers": "a segmentation", "barriers_node": node(["skull"])},
            "segment skull of walls is no barrier that is known",
        ),
        ({"barriers": "a segmentation", "barriers_node": node([])}, "walls holds no barrier"),
        (
            {"barriers": "a segmentation", "barriers_node": node(["falx"]), "through": ("chiasm",)},
            "walls has no segment of it",
        ),
    ):
        with pytest.raises(InputError, match=sentence):
            logic.compute(replace(request, **more))
    with pytest.raises(InputError, match="no brain segment is chosen; the template"):
        logic.startBarriers(request_of("cel", schemes=("estro-eano",)))


def test_a_preview_is_the_margin_round_what_is_there_and_is_drawn_anew_in_its_node(slicer, logic, request_of):
    from gliosuite.mrml.segments import mask_from_segment
    from gliosuite.rt.margins import expand

    request = request_of("brain", "cel", "t2l", schemes=())
    node = None
    both = GRID.image(boolean(MASKS["cel"]) | boolean(MASKS["t2l"]))
    for margin in (15.0, 8.0):
        made = logic.preview(request, ("cel", "cavity", "t2l"), margin, node)
        node = made.segmentation
        segments = node.GetSegmentation()
        assert segments.GetNumberOfSegments() == 1
        mask = mask_from_segment(node, segments.GetNthSegmentID(0), GRID)
        wanted = boolean(expand(both, margin)) & boolean(MASKS["brain"])
        assert np.array_equal(boolean(mask), wanted)
        assert made.volume_cc == pytest.approx(volume_cc(mask))
        assert (made.roles, made.barriers) == (("cel", "t2l"), ())
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2


def test_a_preview_goes_round_barriers_as_the_target_does(slicer, logic, request_of):
    from gliosuite.mrml.segments import mask_from_segment, segmentation_from_masks

    request = request_of("brain", "cel", schemes=("estro-eano",))
    node = segmentation_from_masks({"Falx": WALL}, request.reference, "walls")
    request = replace(request, barriers="a segmentation", barriers_node=node)
    made = logic.preview(request, ("cel", "cavity"), 15.0)
    assert made.barriers == ("falx",)
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    masks = [
        mask_from_segment(n, n.GetSegmentation().GetNthSegmentID(0), GRID)
        for n in (made.segmentation, result.segmentation)
    ]
    assert np.array_equal(boolean(masks[0]), boolean(masks[1]))
    assert logic.preview(replace(request, barriers="placed by registration"), ("cel",), 15.0).barriers == ()


def test_a_preview_without_a_lesion_is_refused(logic, request_of):
    with pytest.raises(InputError, match=r"no segment is chosen for CEL \+ cavity; the margin"):
        logic.preview(request_of("brain", "t2l", schemes=()), ("cel", "cavity"), 10.0)


def test_critical_structures_are_taken_out_of_targets_and_previews(slicer, logic, request_of):
    from gliosuite.mrml.rt.comparison import mask_of
    from gliosuite.mrml.segments import mask_from_segment, segmentation_from_masks

    spared = ball(8, (18, 8, 0))
    request = request_of("brain", "cel", schemes=("estro-eano",))
    node = segmentation_from_masks({"brainstem": spared}, request.reference, "spared")
    with pytest.warns(UserWarning, match="cavity"):
        whole = boolean(mask_of(logic.compute(request), "CTV_EANO", GRID))
    request = replace(request, critical=node)
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    left = boolean(mask_of(result, "CTV_EANO", GRID))
    assert np.array_equal(left, whole & ~boolean(spared))
    assert left.sum() < whole.sum()
    assert "critical structures removed" in result.described["CTV_EANO"]
    preview = logic.preview(request, ("cel",), 15.0).segmentation
    drawn = boolean(mask_from_segment(preview, preview.GetSegmentation().GetNthSegmentID(0), GRID))
    assert not (drawn & boolean(spared)).any()
    node.GetSegmentation().RemoveAllSegments()
    with pytest.raises(InputError, match="spared holds no segment; critical structures are its segments"):
        logic.compute(request)


def test_a_ptv_is_the_ctv_and_its_margin(logic, request_of):
    from gliosuite.mrml.rt.comparison import mask_of
    from gliosuite.rt.margins import expand

    request = replace(request_of("brain", "cel", schemes=("estro-eano",)), ptv_mm=3.0)
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    assert result.kinds == {"CTV_EANO": "CTV", "PTV_EANO": "PTV"}
    assert result.described["PTV_EANO"] == "CTV_EANO + 3 mm"
    ctv, ptv = (mask_of(result, name, GRID) for name in result.names)
    assert np.array_equal(boolean(ptv), boolean(expand(ctv, 3.0)))
    assert len(result.rows) == 1, "the table is of CTVs"


def test_what_is_missing_is_said(logic, request_of, tmp_path):
    from gliosuite.mrml.rt.request import TargetsRequest, TargetsResult

    with pytest.raises(InputError, match="no reference image is chosen"):
        logic.compute(TargetsRequest(None, ("rtog",)))
    with pytest.raises(InputError, match="no brain segment is chosen"):
        logic.compute(request_of("cel", schemes=("rtog",)))
    with pytest.raises(InputError, match="needs the T2 lesion"):
        logic.compute(request_of("brain", "cel", schemes=("rtog",)))
    request = request_of("brain", "cel", schemes=("estro-eano",))
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    assert isinstance(result, TargetsResult)
