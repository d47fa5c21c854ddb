"""A later visit on nodes: put onto the earlier one as the command does it, looked at, and drawn on."""

import warnings

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import array, boolean, read_image

from Testing.standin.patients import brain_of, simulated


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    """A simulated patient with a later visit, voxels of 3 mm."""
    return simulated(tmp_path_factory.mktemp("followup"), 1690102, "structural", 3.0)


@pytest.fixture
def visits(slicer, case):
    """Both visits in the scene, and a request to bring them together."""
    from gliosuite.case import Case
    from gliosuite.mrml.case import load_case
    from gliosuite.mrml.followup import FollowupRequest
    from gliosuite.mrml.rt.matching import match_segments
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image

    nodes = load_case(case)
    segmentation_from_masks({"brain": brain_of(case)}, nodes["t1c"], "", nodes["masks"])
    found = match_segments(nodes["masks"])
    segments = {r: (nodes["masks"], m.identifier) for r, m in found.items() if m.identifier}
    followup = Case.load(case).followup
    later = {role: node_from_image(followup.image(role), f"later {role}") for role in ("t1c", "flair")}
    return FollowupRequest({role: nodes[role] for role in ("t1c", "flair")}, later, segments)


def run(job):
    from gliosuite.mrml.process import run

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(job.arguments)


@pytest.fixture
def found(visits):
    from gliosuite.mrml.followup import finish, start

    job = start(visits)
    summary = run(job)
    result = finish(job, summary)
    assert not job.folder.exists()
    return result


@pytest.mark.slow
def test_a_later_visit_lies_where_the_earlier_one_shows_the_same(slicer, visits, found):
    from gliosuite.mrml.followup import recall, show_both, show_checkerboard
    from gliosuite.mrml.segments import is_drafted, mask_from_segment, segment_called
    from gliosuite.mrml.volumes import grid_of, image_from_node

    earlier = visits.earlier["t1c"]
    assert found.t1c.GetName() == f"later t1c on {earlier.GetName()}"
    assert grid_of(found.t1c).matches(grid_of(earlier))
    assert grid_of(found.flair).matches(grid_of(earlier))
    # Where neither visit has tumour, both heads look alike: much more than before.
    brain = boolean(mask_from_segment(*visits.segments["brain"], grid_of(earlier)))
    t2l = boolean(mask_from_segment(*visits.segments["t2l"], grid_of(earlier)))
    likeness = lambda node: np.corrcoef(*(array(image_from_node(n))[brain & ~t2l] for n in (earlier, node)))[0, 1]
    assert likeness(found.t1c) > 0.7
    assert found.quality["mutual_information_after"] > found.quality["mutual_information_before"]
    again = recall(found.t1c)
    assert (again.t1c, again.flair, again.earlier) == (found.t1c, found.flair, earlier)
    assert again.quality == found.quality
    assert recall(earlier) is None
    board = show_checkerboard(found)
    assert board.GetName() == f"checkerboard of {found.t1c.GetName()}"
    assert show_checkerboard(found) is board, "the scene has one checkerboard"
    show_both(found)

    # Drafts of the later visit are a progression, and say what they are.
    from gliosuite.mrml.followup import edit, finish_drafts, start_drafts

    job = start_drafts(found)
    node, names = finish_drafts(job, run(job), found)
    assert names
    assert all(name.startswith("DRAFT lesion at progression") for name in names)
    assert node.GetName() == "Progression"
    # What a person draws inside the lesion that did not enhance: the mask is that lesion, and drawing does not eat it.
    edit(found, node, visits.segments)
    editor = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
    nel = boolean(mask_from_segment(node, editor.GetMaskSegmentID(), grid_of(earlier)))
    cel = boolean(mask_from_segment(*visits.segments["cel"], grid_of(earlier)))
    assert nel.any()
    assert not (nel & cel).any()
    assert not (nel & ~t2l).any()
    assert editor.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment
    assert editor.GetOverwriteMode() == editor.OverwriteNone
    assert editor.GetSegmentationNode() is node
    assert editor.GetSourceVolumeNode() is found.t1c
    chosen = editor.GetSelectedSegmentID()
    assert node.GetSegmentation().GetSegment(chosen).GetName().endswith("lesion at progression (CEL)")
    edit(found, node)
    assert editor.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere

    # A person's own drawing is not replaced by another draft.
    t2l_then = segment_called(node, "lesion at progression (T2L)")
    assert is_drafted(node, t2l_then)
    node.GetSegmentation().GetSegment(t2l_then).RemoveTag("GlioSuite.Draft")
    node.GetSegmentation().GetSegment(t2l_then).SetName("lesion at progression (T2L)")
    before = array(mask_from_segment(node, t2l_then, grid_of(earlier)))
    job = start_drafts(found)
    summary = run(job)
    with pytest.warns(UserWarning, match=r"lesion at progression \(T2L\) of Progression was drawn by hand and stays"):
        _node, names = finish_drafts(job, summary, found, node)
    assert not any("T2L" in name for name in names)
    assert np.array_equal(array(mask_from_segment(node, t2l_then, grid_of(earlier))), before)


def test_what_is_missing_is_one_sentence(visits):
    from gliosuite.mrml.followup import FollowupRequest, start

    with pytest.raises(InputError, match="no T1c of the later visit is chosen"):
        start(FollowupRequest(visits.earlier, {"flair": visits.later["flair"]}))
    with pytest.raises(InputError, match=r"t1c is chosen for both visits; an image of each is needed"):
        start(FollowupRequest(visits.earlier, visits.earlier))


def test_drawing_begins_with_an_empty_segment(slicer, visits):
    from gliosuite.mrml.followup import Followup, edit

    later = Followup(visits.later["t1c"], None, visits.earlier["t1c"], {})
    node = edit(later)
    segments = node.GetSegmentation()
    assert [segments.GetNthSegment(i).GetName() for i in range(segments.GetNumberOfSegments())] == [
        "lesion at progression (CEL)"
    ]
    assert edit(later, node) is node
    assert segments.GetNumberOfSegments() == 1
    with pytest.raises(InputError, match="no T2 lesion of the earlier visit, inside which to draw"):
        edit(later, node, {})


def test_the_case_that_is_written_can_be_read(visits):
    from gliosuite.case import Case
    from gliosuite.mrml.followup import start
    from gliosuite.mrml.process import abandon
    from gliosuite.mrml.volumes import image_from_node

    job = start(visits)
    case = Case.load(job.folder / "case")
    assert set(case.masks) >= {"brain", "cel", "t2l"}
    assert set(case.followup.images) == {"t1c", "flair"}
    np.testing.assert_array_equal(array(case.followup.image("t1c")), array(image_from_node(visits.later["t1c"])))
    assert read_image(job.folder / "case" / "t1c.nii").GetSize() == image_from_node(visits.earlier["t1c"]).GetSize()
    abandon(job)
