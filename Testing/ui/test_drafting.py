"""Brain and lesions drafted from within both panels, on a digital patient: called DRAFT, found for their roles, told at the export."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.files import write_json
from gliosuite.images import Grid, array, boolean, read_mask, resample_mask, write_image

from Testing.standin.patients import simulated


@pytest.fixture(scope="session")
def patient(tmp_path_factory):
    """A digital patient before surgery, 3 mm."""
    return simulated(tmp_path_factory.mktemp("drafting"), seed=8127, scans="structural", grid_mm=3.0)


@pytest.fixture
def nodes(slicer, patient):
    """The patient's images in the scene, and none of its masks."""
    from gliosuite.mrml.case import load_case

    nodes = load_case(patient)
    if "masks" in nodes:
        slicer.mrmlScene.RemoveNode(nodes.pop("masks"))
    return nodes


def names_of(node):
    from gliosuite.mrml.rt.matching import segments_of

    return list(segments_of(node).values())


def finish(panel):
    from gliosuite.ui import selftest

    selftest.finish(panel)


@pytest.mark.slow
def test_a_person_has_structures_for_targets_without_leaving_the_panel(slicer, nodes, module, patient):
    from gliosuite.mrml.segments import is_drafted, mask_from_segment
    from gliosuite.mrml.volumes import grid_of

    panel = module("GlioRT").GlioRTWidget().panel
    ui = panel.ui
    assert panel.structures.segments() == {}
    ui.draftButton.click()
    assert not ui.draftButton.enabled
    assert ui.cancelButton.enabled
    finish(panel)
    structures = panel.parameters.segmentation
    assert structures is not None, ui.inputStatus.text
    assert all(name.startswith("DRAFT") for name in names_of(structures))
    assert "DRAFT brain" in ui.inputStatus.text
    found = panel.structures.segments()
    assert {"brain", "cel", "t2l"} <= set(found), ui.inputStatus.text
    assert all(is_drafted(*segment) for segment in found.values())
    brain = mask_from_segment(*found["brain"], grid_of(nodes["t1c"]))
    truth = resample_mask(read_mask(patient.parent / "truth" / patient.name / "brain.nii.gz"), Grid.of(brain))
    a, b = boolean(brain), boolean(truth)
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.9

    # What rests on drafts is said, until somebody's name stands for them.
    ui.computeButton.click()
    assert "rest on drafts that no person has checked" in ui.resultStatus.text
    assert ui.draftsLabel.text.startswith("Drafts: CTV_RTOG")
    ui.exportBox.collapsed = False
    assert not ui.acceptedByEdit.isHidden()

    # Drawn anew, there is still one of each.
    ui.draftButton.click()
    finish(panel)
    again = names_of(panel.parameters.segmentation)
    assert panel.parameters.segmentation is structures
    assert len(again) == len(set(again))


@pytest.mark.slow
def test_what_is_drawn_is_kept_and_the_rest_drafted(slicer, nodes, module, patient):
    """In GlioPerfusion, where the regions take them."""
    from gliosuite.mrml.segments import is_drafted, segmentation_from_masks
    from gliosuite.mrml.volumes import grid_of

    truth = read_mask(patient.parent / "truth" / patient.name / "brain.nii.gz")
    drawn = segmentation_from_masks(
        {"brain": resample_mask(truth, grid_of(nodes["t1c"]))}, nodes["t1c"], "drawn by hand"
    )
    panel = module("GlioPerfusion").GlioPerfusionWidget().panel
    panel.ui.draftButton.click()
    step = panel._running
    assert step is not None, panel.ui.statusLabel.text
    finish(panel)
    names = names_of(drawn)
    assert names[0] == "brain"
    assert "DRAFT brain" not in names
    assert "DRAFT T2 lesion (T2L)" in names, panel.ui.statusLabel.text
    assert not is_drafted(drawn, drawn.GetSegmentation().GetNthSegmentID(0))
    assert panel.parameters.regionSegmentation is drawn


# ------------------------------------------------------------------------------------------------- without processes


GRID = Grid((20, 20, 20), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def block(*at):
    values = np.zeros(GRID.shape, np.uint8)
    values[tuple(slice(a, a + 6) for a in at)] = 1
    return GRID.image(values)


def written(job, unsure=(), suggested=()):
    """What a step of `gliosuite lesions` leaves, and says."""
    out = job.folder / "out"
    (out / "suggestions").mkdir(parents=True)
    masks = {"brain": block(2, 2, 2), "cel": block(3, 3, 3), "necrosis": GRID.image(np.zeros(GRID.shape, np.uint8))}
    for name, mask in masks.items():
        write_image(mask, out / f"{name}.nii.gz", f"{name} (draft)")
    for name in suggested:
        write_image(block(4, 4, 4), out / "suggestions" / f"{name}.nii.gz", f"{name} (suggestion)")
    table = {name: {"source": "draft"} | ({"unsure": "0.4 cc"} if name in unsure else {}) for name in masks}
    write_json(out / "lesions.json", {"masks": table})
    volumes = {name: float(boolean(mask).sum()) for name, mask in masks.items()}
    return {
        "sources": dict.fromkeys(masks, "draft"),
        "volumes_cc": volumes,
        "suggestions": dict.fromkeys(suggested, ""),
    }


@pytest.fixture
def rt(slicer, module, fake_steps):
    from gliosuite.mrml.volumes import node_from_image

    image = node_from_image(GRID.image(array(block(2, 2, 2)).astype(np.float32)), "T1c")
    panel = module("GlioRT").GlioRTWidget().panel
    panel.steps, panel.image = fake_steps(panel), image
    return panel


def test_what_the_program_doubts_is_there_and_chosen_by_nobody_but_a_person(rt):
    rt.ui.postOperativeCheckBox.checked = True
    rt.ui.draftButton.click()
    assert rt.steps[0].arguments[0] == "lesions"
    assert "--post-operative" in rt.steps[0].arguments
    rt.steps[0].done(written(rt._job, unsure=["cel"], suggested=["necrosis"]))
    node = rt.parameters.segmentation
    assert names_of(node) == ["DRAFT brain", "DRAFT, unsure: enhancing lesion (CEL)", "DRAFT, unsure: necrosis"]
    assert set(rt.structures.segments()) == {"brain"}
    unsure = node.GetSegmentation().GetNthSegmentID(1)
    rt.ui.celComboBox.currentIndex = rt.structures.choices("cel").index(unsure)
    assert rt.structures.segments()["cel"] == (node, unsure), "a person may"
    # Drawn anew, what was unsure before does not pile up.
    rt.ui.draftButton.click()
    assert "--cel" not in rt.steps[1].arguments, "a draft is no outline that a person has drawn"
    rt.steps[1].done(written(rt._job))
    assert names_of(node) == ["DRAFT brain", "DRAFT enhancing lesion (CEL)"]


def test_drafts_are_kept_with_the_scene(rt, tmp_path):
    from gliosuite.mrml.segments import is_drafted, is_unsure
    from slicerapp.saving import save_and_load

    rt.ui.draftButton.click()
    rt.steps[0].done(written(rt._job, unsure=["cel"]))
    save_and_load(tmp_path / "scene")
    node = rt.parameters.segmentation
    ids = [node.GetSegmentation().GetNthSegmentID(i) for i in range(2)]
    assert [is_drafted(node, i) for i in ids] == [True, True]
    assert [is_unsure(node, i) for i in ids] == [False, True]
    assert set(rt.structures.segments()) == {"brain"}


def test_what_is_missing_is_said(slicer, module, fake_steps):
    panel = module("GlioRT").GlioRTWidget().panel
    steps = fake_steps(panel)
    panel.ui.draftButton.click()
    assert steps == []
    assert panel.ui.inputStatus.text.startswith("no image is known to be T1c, T1, FLAIR or T2")


def test_a_step_that_fails_is_a_sentence_beside_the_button(rt):
    rt.ui.draftButton.click()
    folder = rt._job.folder
    rt.steps[0].failed(InputError("no brain was recognised in the image"))
    assert rt.ui.inputStatus.text == "no brain was recognised in the image"
    assert not folder.exists()
    assert rt.ui.draftButton.enabled
