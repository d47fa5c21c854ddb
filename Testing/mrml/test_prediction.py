"""The target from a probability on nodes: cut anywhere, and the same volume computed as drawn."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import array, boolean, signed_distance

from Testing.mrml.heads import GRID, MASKS


@pytest.fixture
def predicted(logic, request_of):
    """A request with a probability that falls off round the T2 lesion: .9 at its surface, 1 % per mm less."""
    from gliosuite.mrml.rt.request import Prediction
    from gliosuite.mrml.volumes import node_from_image

    fall = np.clip(0.9 - 0.03 * np.maximum(array(signed_distance(MASKS["t2l"])), 0), 0, 1)
    node = node_from_image(GRID.image(fall.astype(np.float32)), "recurrence")
    request = request_of("brain", "cel", "t2l", schemes=())
    return lambda **cut: replace(request, prediction=Prediction(node, **cut))


def drawn(logic, request, node=None):
    predictor = logic.predictor(request)
    return predictor.draw(request.prediction, node)


def test_what_is_drawn_is_what_is_computed(slicer, logic, predicted):
    from gliosuite.mrml.rt.comparison import mask_of
    from gliosuite.mrml.segments import mask_from_segment

    for cut in (
        {"cut": "a probability", "value": 0.6},
        {"cut": "a volume", "value": 60.0},
        {"cut": "the volume of a scheme", "like": "estro-eano"},
    ):
        request = predicted(**cut)
        node, level, volume = drawn(logic, request)
        with pytest.warns(UserWarning, match="cavity"):
            result = logic.compute(request)
        assert result.names[0] == "CTV_MODEL"
        preview = mask_from_segment(node, node.GetSegmentation().GetNthSegmentID(0), GRID)
        assert np.array_equal(boolean(preview), boolean(mask_of(result, "CTV_MODEL", GRID))), cut
        assert dict(zip(result.keys, result.rows[0], strict=True))["ctv_cc"] == pytest.approx(volume)
        assert "recurrence (its source is not stated)" in result.described["CTV_MODEL"]
        assert 0 < level <= 1


def test_an_equal_volume_is_that_of_the_scheme(logic, predicted):
    from gliosuite.images import volume_cc
    from gliosuite.mrml.rt.comparison import mask_of

    request = predicted(cut="the volume of a scheme", like="estro-eano")
    with pytest.warns(UserWarning, match="cavity"):
        scheme = logic.compute(replace(request, schemes=("estro-eano",), prediction=None))
    _, _, volume = drawn(logic, request)
    wanted = volume_cc(mask_of(scheme, "CTV_EANO", GRID))
    # Probabilities that are equal come or go together.
    assert wanted * 0.9 < volume <= wanted


def test_a_preview_is_drawn_anew_in_its_node_and_knows_its_range(slicer, logic, predicted):
    request = predicted(cut="a probability", value=0.8)
    predictor = logic.predictor(request)
    least, most = predictor.range_cc
    node, _, small = predictor.draw(request.prediction)
    again, _, large = predictor.draw(replace(request.prediction, value=0.4), node)
    assert again is node
    assert node.GetSegmentation().GetNumberOfSegments() == 1
    assert least <= small < large <= most


def test_what_does_not_touch_the_lesion_is_left_out_unless_it_is_wanted(slicer, logic, predicted):
    from gliosuite.mrml.rt.comparison import mask_of
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image

    from Testing.mrml.heads import ball

    apart = ball(5, (-20, -10, 5))
    values = np.maximum(0.9 * boolean(MASKS["t2l"]), 0.8 * boolean(apart)).astype(np.float32)
    node = node_from_image(GRID.image(values), "two parts")
    request = predicted(cut="a probability", value=0.5)
    volumes = {}
    for keep in (False, True):
        asked = replace(request, prediction=replace(request.prediction, probability=node, keep_satellites=keep))
        said = "were kept" if keep else "were left out"
        with pytest.warns(UserWarning, match=said):
            mask = boolean(mask_of(logic.compute(asked), "CTV_MODEL", GRID))
        assert (mask & boolean(apart)).any() == keep
        _node, _level, volumes[keep] = drawn(logic, asked)
        assert volumes[keep] == pytest.approx(mask.sum() * GRID.voxel_cc)
    critical = segmentation_from_masks({"brainstem": apart}, request.reference, "spared")
    _node, _level, volume = drawn(logic, replace(asked, critical=critical))
    assert volume < volumes[True], "the preview spares what the target spares"


def test_what_is_missing_is_said(logic, predicted, tmp_path):
    request = predicted(cut="a sensitivity", value=0.9)
    with pytest.raises(InputError, match="no folder of validation cases is chosen"):
        logic.compute(request)
    with pytest.raises(InputError, match="no lesion is chosen"):
        logic.predictor(replace(request, segments={"brain": request.segments["brain"]}))
    with pytest.raises(InputError, match="a reference, a brain and a probability are needed"):
        logic.predictor(replace(request, prediction=None))
    with pytest.raises(InputError, match="the probability runs from 0 to 100"):
        logic.predictor(replace(request, prediction=replace(request.prediction, probability=request.reference)))


def test_a_sensitivity_is_reached_on_validation_cases(logic, predicted, tmp_path):
    from gliosuite.images import write_image
    from gliosuite.mrml.volumes import image_from_node

    request = predicted(cut="a sensitivity", value=0.9, validation=str(tmp_path / "cases"))
    case = tmp_path / "cases" / "one"
    write_image(image_from_node(request.prediction.probability), case / "probability.nii.gz")
    for name in ("progression", "brain", "t2l"):
        write_image(MASKS[name], case / f"{name}.nii.gz")
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    _, level, _ = drawn(logic, request)
    assert f"probability >= {level:.3g}" in result.described["CTV_MODEL"]


def test_a_map_of_a_model_of_ours_is_found(slicer, logic, predicted):
    from gliosuite.mrml.display import show_map
    from gliosuite.mrml.rt.prediction import first_probability, source

    node = predicted().prediction.probability
    assert first_probability() is None, "no image is taken for a probability"
    show_map(node, "probability")
    assert first_probability() is node
    node.SetAttribute("GlioSuite.Source", "network of simulated patients")
    assert source(node) == "network of simulated patients"
