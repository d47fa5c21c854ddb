"""The probability of recurrence on nodes: what the library gives, which images are found, how it is shown and what a scene keeps."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, boolean

from Testing.standin.patients import brain_of, predicted_by_library, simulated


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    """A simulated patient with images of its structure alone."""
    return simulated(tmp_path_factory.mktemp("recurrence"), 1690102, "structural")


@pytest.fixture
def loaded(slicer, case):
    """The patient in the scene, and a request for its prediction."""
    from gliosuite.mrml.case import load_case
    from gliosuite.mrml.recurrence import ROLES, RecurrenceRequest
    from gliosuite.mrml.rt.matching import match_segments
    from gliosuite.mrml.segments import segmentation_from_masks

    nodes = load_case(case)
    segmentation_from_masks({"brain": brain_of(case)}, nodes["t1c"], "", nodes["masks"])
    found = match_segments(nodes["masks"])
    segments = {role: (nodes["masks"], found[role].identifier) for role in ROLES if role in found}
    return nodes, RecurrenceRequest({name: nodes[name] for name in ("t1c", "flair", "t1")}, segments)


@pytest.fixture
def predicted(loaded):
    from gliosuite.mrml.recurrence import predict

    return predict(loaded[1])


def test_it_is_what_the_library_gives(slicer, case, predicted, tmp_path):
    from gliosuite.mrml.volumes import grid_of

    found, probability, sd = predicted_by_library(case, tmp_path)
    for node, values in ((predicted.probability, probability), (predicted.sd, sd)):
        assert np.abs(slicer.util.arrayFromVolume(node) - values).max() < 1e-6
        assert grid_of(node).matches(grid_of(predicted.t1c))
    assert ((probability > 0) & (probability < 1)).sum() > 1000
    assert (predicted.threshold, predicted.channels) == (found.threshold, found.channels)
    assert "simulated patients alone" in predicted.notes[0]


def test_nodes_say_what_they_are_and_what_made_them(predicted):
    from gliosuite.mrml.rt.prediction import first_probability, source

    assert first_probability() is predicted.probability
    assert "simulated" in source(predicted.probability)
    assert predicted.probability.GetName() == "Recurrence probability"
    assert predicted.sd.GetName() == "Recurrence probability SD"
    assert "looked at T1c, T1, FLAIR" in predicted.probability.GetDescription()
    assert predicted.sd.GetDescription().startswith("SD among the members")
    assert predicted.probability.GetDisplayNode().GetColorNode().GetName() == "GlioSuite inferno"


def test_another_prediction_is_another_pair(loaded, predicted):
    from gliosuite.mrml.recurrence import predict

    again = predict(loaded[1])
    assert again.probability is not predicted.probability
    assert again.sd.GetName() == "Recurrence probability (2) SD"


@pytest.mark.parametrize("missing", ["t1c", "flair"])
def test_a_missing_image_is_one_sentence(loaded, missing):
    from gliosuite.mrml.recurrence import predict

    images = {n: node for n, node in loaded[1].images.items() if n != missing}
    with pytest.raises(InputError, match="is chosen; T1c and FLAIR are needed"):
        predict(replace(loaded[1], images=images))


def test_what_else_is_missing_is_said(loaded, tmp_path):
    from gliosuite.mrml.recurrence import card, predict

    request = loaded[1]
    with pytest.raises(InputError, match="there is no brain mask"):
        predict(replace(request, segments={"cel": request.segments["cel"]}))
    with pytest.raises(InputError, match="there is no lesion"):
        predict(replace(request, segments={"brain": request.segments["brain"]}))
    with pytest.raises(InputError, match="one segment for each is needed"):
        predict(replace(request, segments=request.segments | {"cel": request.segments["t2l"]}))
    with pytest.raises(InputError, match="is no model folder"):
        predict(replace(request, model_folder=str(tmp_path)))
    with pytest.raises(InputError, match=r"holds no card\.md"):
        card(str(tmp_path))
    assert "simulated patients alone" in " ".join(card().split())


def test_a_prediction_without_a_cavity_or_on_drafts_says_so(loaded):
    from gliosuite.mrml.recurrence import predict

    nodes, request = loaded
    without = {role: s for role, s in request.segments.items() if role != "cavity"}
    nodes["masks"].GetSegmentation().GetSegment(without["t2l"][1]).SetTag("GlioSuite.Draft", "1")
    notes = predict(replace(request, segments=without)).notes
    assert any("rests on drafts (t2l)" in n for n in notes)
    assert any("Neither a cavity" in n for n in notes)


def test_a_map_counts_where_its_series_was_measured(slicer):
    """vp is 0 in much of the brain; where ktrans is 0 too, nothing was measured."""
    from gliosuite.mrml.recurrence import _measured

    grid = Grid((3, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    image = lambda *values: grid.image(np.array([[values]], np.float32))
    found = _measured(
        {"ktrans": image(0, 0.1, 0.2), "vp": image(0, 0, 0.1), "cbv": image(1, 0, 0), "t1c": image(0, 1, 2)}
    )
    assert {n: boolean(m).ravel().tolist() for n, m in found.items()} == {
        "ktrans": [False, True, True],
        "vp": [False, True, True],
        "cbv": [True, False, False],
    }


@pytest.mark.parametrize(
    "name, called",
    [
        ("t1", ["5: T1w axial", "sim t1", "t1"]),
        ("adc", ["ADC", "9: apparent diffusion coefficient"]),
        ("fa", ["DTI FA"]),
        ("cbv", ["rCBV", "CBV map"]),
        ("tmax", ["Tmax [s]"]),
    ],
)
def test_images_are_found_by_name(slicer, name, called):
    from gliosuite.mrml.recurrence import guessed

    others = ("t1c", "7: t1 post gad", "T1 map", "T1-weighted FLAIR contrast", "fat", "t1ce", "velocity")
    make = lambda n: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", n)
    for other in others:
        make(other)
    assert guessed(name, ()) is None
    for title in called:
        node = make(title)
        assert guessed(name, ()) is node, title
        assert guessed(name, (node,)) is None
        slicer.mrmlScene.RemoveNode(node)


def test_maps_of_our_own_are_found_by_what_they_say(slicer):
    from gliosuite.mrml.recurrence import guessed
    from gliosuite.mrml.volumes import QUANTITY

    for quantity in ("ktrans_sd", "ktrans"):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "whatever")
        node.SetAttribute(QUANTITY, quantity)
    assert guessed("ktrans", ()) is node
    assert guessed("ve", ()) is None


def test_it_is_shown_over_t1c_from_a_threshold_on(slicer, predicted):
    from gliosuite.mrml.recurrence import look, show

    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    show(predicted, 0.5, 0.2)
    assert composite.GetBackgroundVolumeID() == predicted.t1c.GetID()
    assert composite.GetForegroundVolumeID() == predicted.probability.GetID()
    display = predicted.probability.GetDisplayNode()
    assert (composite.GetForegroundOpacity(), display.GetLowerThreshold()) == (0.5, 0.2)
    assert display.GetApplyThreshold()
    composite.SetForegroundVolumeID(predicted.t1c.GetID())
    look(predicted.probability, 0.9, 0.3)
    assert composite.GetForegroundOpacity() == 0.5, "another map's opacity is its own"
    assert display.GetLowerThreshold() == 0.3


def test_the_sd_is_shown_in_its_place_with_a_legend_of_its_own(slicer, predicted):
    from gliosuite.mrml.recurrence import look, show, show_sd

    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    show_sd(predicted, 0.5)
    assert composite.GetForegroundVolumeID() == predicted.sd.GetID()
    assert composite.GetBackgroundVolumeID() == predicted.t1c.GetID()
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(predicted.sd)
    assert legend.GetTitleText() == "SD among members [probability]"
    least = predicted.sd.GetDisplayNode().GetLowerThreshold()
    look(predicted.probability, 0.8, 0.3)
    assert composite.GetForegroundOpacity() == 0.8
    assert predicted.sd.GetDisplayNode().GetLowerThreshold() == least, "the threshold is one of the probability"
    show(predicted, 0.8, 0.3)
    assert composite.GetForegroundVolumeID() == predicted.probability.GetID()


def place_of(case, node):
    """The centre (RAS, mm) of a voxel of the model in which the probability is high, and what is there."""
    found = predicted_by_library(case, node)[0]
    z, y, x = np.argwhere(found.predicted & (found.probability > 0.2))[0]
    lps = found.grid.blank().TransformIndexToPhysicalPoint((int(x), int(y), int(z)))
    return (-lps[0], -lps[1], lps[2]), float(found.probability[z, y, x])


def test_what_drove_a_voxel_is_what_the_library_says(slicer, case, predicted, tmp_path):
    from gliosuite.mrml.recurrence import crosshair, why

    place, probability = place_of(case, tmp_path)
    with pytest.raises(InputError, match="hold Shift"):
        crosshair()
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode").SetCrosshairRAS(*place)
    assert crosshair() == pytest.approx(place)
    said = why(predicted.probability, crosshair())
    assert said.probability == pytest.approx(probability, abs=1e-6)
    assert {r.input for r in said.reasons} >= {"T1c", "FLAIR", "T1", "from T2L", "all distances"}
    with pytest.raises(InputError, match="lies outside the images"):
        why(predicted.probability, (900.0, 0.0, 0.0))


def test_a_saved_prediction_still_knows_what_drove_it(slicer, case, predicted, tmp_path):
    from gliosuite.mrml.recurrence import why

    place, _ = place_of(case, tmp_path / "library")
    before = why(predicted.probability, place)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    node = slicer.util.getNode("Recurrence probability")
    after = why(node, place)
    assert [(r.input, pytest.approx(r.log_odds)) for r in after.reasons] == [
        (r.input, r.log_odds) for r in before.reasons
    ]
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("*flair*"))
    with pytest.raises(InputError, match="are not in the scene; predict again"):
        why(node, place)


def test_a_model_that_was_changed_is_said(predicted):
    import json

    from gliosuite.mrml.recurrence import _RECORD, why

    record = json.loads(predicted.probability.GetAttribute(_RECORD)) | {"weights_sha256": "another"}
    predicted.probability.SetAttribute(_RECORD, json.dumps(record))
    with pytest.raises(
        InputError, match="the shipped model is not the model any more that made Recurrence probability"
    ):
        why(predicted.probability, (0.0, 0.0, 0.0))


def test_a_model_of_finer_voxels_is_asked_on_its_own(loaded, tmp_path):
    from gliosuite.mrml.recurrence import predict
    from gliosuite.recurrence import shipped
    from gliosuite.training import Model, write_model

    write_model(tmp_path / "model", Model(shipped().weights, shipped().about | {"grid_mm": 2.5}), "")
    found = predict(replace(loaded[1], model_folder=str(tmp_path / "model")))
    assert "simulated patients alone" in found.notes[0]


def test_the_shipped_network_is_asked_by_its_name(loaded):
    pytest.importorskip("torch")
    from gliosuite.mrml.recurrence import card, predict, why

    found = predict(replace(loaded[1], model_folder="network"))
    assert "simulated patients alone" in found.notes[0]
    assert "3D U-Net" in card("network")
    assert "3D U-Net" not in card()
    with pytest.raises(InputError, match="lies outside the"):
        why(found.probability, (900.0, 0.0, 0.0))


def test_a_saved_scene_knows_what_was_said(slicer, predicted, tmp_path):
    from gliosuite.mrml.recurrence import recall

    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    node = slicer.util.getNode("Recurrence probability")
    again = recall(node)
    assert (again.notes, again.threshold, again.channels) == (predicted.notes, predicted.threshold, predicted.channels)
    assert again.sd.GetName() == "Recurrence probability SD"
    assert again.t1c.GetName().endswith("t1c")
    assert recall(again.sd) is None
    assert recall(None) is None


def test_gliort_draws_a_target_from_it(loaded, predicted):
    from gliosuite.mrml.rt.request import Prediction, TargetsRequest
    from gliosuite.mrml.rt.targets import compute

    nodes, request = loaded
    wanted = Prediction(predicted.probability, value=predicted.threshold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = compute(TargetsRequest(nodes["t1c"], (), request.segments, prediction=wanted))
    assert result.names[0] == "CTV_MODEL"
    assert "simulated" in result.described["CTV_MODEL"]
