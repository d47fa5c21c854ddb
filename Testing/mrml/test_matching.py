"""Which segment is which structure: by code, by name, or by a person where several fit."""

import numpy as np
import pytest
from gliosuite.images import Grid

GRID = Grid((6, 6, 6), (2.0, 2.0, 2.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
ENTRY = "list~SCT^49755003^Morphologically Abnormal Structure~{code}~^^~Anatomic codes~^^~^^"


@pytest.fixture
def segmentation(slicer):
    """``segmentation("ET", ("whatever", "SCT^79654002^Edema"))``: segments by name, some with a code."""

    def make(*segments):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "lesions")
        for i, entry in enumerate(segments):
            name, code = entry if isinstance(entry, tuple) else (entry, "")
            node.GetSegmentation().AddEmptySegment(f"id{i}", name)
            if code:
                tag = slicer.vtkSegment.GetTerminologyEntryTagName()
                node.GetSegmentation().GetSegment(f"id{i}").SetTag(tag, ENTRY.format(code=code))
        return node

    return make


@pytest.fixture
def found(slicer):
    """What is matched: role to identifier and what by."""
    from gliosuite.mrml.rt.matching import match_segments

    return lambda node: {role: (m.identifier, m.by) for role, m in match_segments(node).items()}


def test_segments_of_our_own_are_matched(slicer, found):
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image

    image = node_from_image(GRID.image(np.ones(GRID.shape, np.float32)), "T1c")
    roles = ("brain", "cel", "t2l", "cavity", "necrosis", "nel", "ventricles", "progression_cel")
    node = segmentation_from_masks(dict.fromkeys(roles, GRID.image(np.ones(GRID.shape, np.uint8))), image, "masks")
    ids = dict(zip(roles, node.GetSegmentation().GetSegmentIDs(), strict=True))
    assert found(node) == {
        "brain": (ids["brain"], "terminology"),
        "cel": (ids["cel"], "terminology"),
        "t2l": (ids["t2l"], "name"),
        "cavity": (ids["cavity"], "name"),
        "necrosis": (ids["necrosis"], "terminology"),
        "progression": (ids["progression_cel"], "name"),
    }


def test_a_code_is_believed_before_a_name(segmentation, found):
    node = segmentation("edema", ("Segment_2", "SCT^79654002^Edema"), ("Segment_3", "NCIt^C113842^Enhancing Lesion"))
    assert found(node) == {"t2l": ("id1", "terminology"), "cel": ("id2", "terminology")}


def test_general_codes_decide_nothing(segmentation, found):
    assert found(segmentation(("Segment_1", "SCT^108369006^Neoplasm"), ("tumour", "SCT^52988006^Lesion"))) == {}


def test_a_lesion_at_progression_is_none_before_treatment(segmentation, found):
    node = segmentation("CEL", ("CEL at recurrence", "NCIt^C113842^Enhancing Lesion"))
    assert found(node) == {"cel": ("id0", "name"), "progression": ("id1", "name")}


def test_where_two_fit_alike_none_is_chosen(slicer, segmentation):
    from gliosuite.mrml.rt.matching import match_segments

    match = match_segments(segmentation("edema left", "edema right"))["t2l"]
    assert (match.identifier, match.rivals) == ("", ("edema left", "edema right"))


@pytest.mark.parametrize(
    "name, role",
    [
        ("ET", "cel"),
        ("GTV_CEL", "cel"),
        ("contrast-enhancing", "cel"),
        ("Non-Enhancing Tumor", None),
        ("nonenhancing", None),
        ("FLAIR lesion", "t2l"),
        ("WT", "t2l"),
        ("NCR", "necrosis"),
        ("Resection cavity", "cavity"),
        ("Brain", "brain"),
        ("brain mask", "brain"),
        ("Brainstem", None),
        ("brain metastasis", None),
        ("CTV_EANO", None),
        ("Follow-up", "progression"),
    ],
)
def test_names_of_segments(slicer, name, role):
    from gliosuite.mrml.rt.matching import role_of_name

    assert role_of_name(name) == role


def test_no_segmentation_no_roles(slicer, found):
    from gliosuite.mrml.rt.matching import segments_of

    assert (found(None), segments_of(None)) == ({}, {})
