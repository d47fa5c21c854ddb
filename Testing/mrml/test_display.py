"""Colour tables, ranges, transparency and legend of maps; a slice view drawn by Slicer's own displayable managers."""

import os

import numpy as np
import pytest
from gliosuite.images import Grid
from gliosuite.resources import look

from Testing.conftest import missing

GRID = Grid((48, 48, 24), (2.0, 2.0, 3.0), (-46.0, -50.0, -30.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
CENTER_LPS = (-16.0, 14.0, 3.0)  # patient's right, posterior


def ball(radius):
    index = np.stack(np.meshgrid(*[np.arange(s) for s in GRID.size], indexing="ij"), -1)
    inside = np.linalg.norm(index * GRID.spacing + GRID.origin - CENTER_LPS, axis=-1) < radius
    return np.ascontiguousarray(inside.T)


def head():
    index = np.stack(np.meshgrid(*[np.arange(s) for s in GRID.size], indexing="ij"), -1)
    inside = np.linalg.norm((index * GRID.spacing + GRID.origin) / (40, 44, 60), axis=-1) < 1
    texture = np.random.default_rng(5).uniform(30, 100, GRID.shape)
    return (np.ascontiguousarray(inside.T) * texture).astype(np.float32)


def map_node(values, quantity):
    from gliosuite.mrml.display import show_map
    from gliosuite.mrml.volumes import node_from_image

    node = node_from_image(GRID.image(values.astype(np.float32)), quantity)
    show_map(node, quantity)
    return node


def test_ktrans_has_its_range_unit_and_colors(slicer):
    node = map_node(np.where(ball(12), 0.1, 0.0), "ktrans")
    display = node.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx((0.0, 0.2))
    assert node.GetAttribute("GlioSuite.Unit") == "1/min"
    table = display.GetColorNode()
    assert table.GetName() == "GlioSuite inferno"
    first, last, rgba = [0.0] * 4, [0.0] * 4, [0.0] * 4
    table.GetColor(0, first)
    table.GetColor(255, last)
    table.GetColor(128, rgba)
    assert sum(first[:3]) < 0.05 < sum(rgba[:3]) < sum(last[:3])


def presets(node):
    """Lower and upper end of each window preset."""
    display = node.GetDisplayNode()
    found = [
        (display.GetWindowPreset(i), display.GetLevelPreset(i)) for i in range(display.GetNumberOfWindowLevelPresets())
    ]
    return [pytest.approx((level - window / 2, level + window / 2)) for window, level in found]


def test_windows_of_half_and_twice_the_range_are_presets(slicer):
    from gliosuite.mrml.display import show_difference

    node = map_node(np.where(ball(12), 0.1, 0.0), "ktrans")
    assert presets(node) == [(0.0, 0.1), (0.0, 0.2), (0.0, 0.4)]
    show_difference(node, "ktrans")
    assert presets(node) == [(-0.05, 0.05), (-0.1, 0.1), (-0.2, 0.2)], "0 stays in the middle"


def test_values_say_by_codes_what_they_are(slicer):
    node = map_node(ball(12) * 0.1, "ktrans")
    quantity, unit = node.GetVoxelValueQuantity(), node.GetVoxelValueUnits()
    assert (quantity.GetCodingSchemeDesignator(), quantity.GetCodeValue()) == ("DCM", "126312")
    assert (unit.GetCodingSchemeDesignator(), unit.GetCodeValue()) == ("UCUM", "/min")
    assert map_node(ball(12) * 0.1, "ktrans_sd").GetVoxelValueQuantity() is None
    assert map_node(ball(12) * 0.1, "mine").GetVoxelValueUnits() is None


def test_codes_are_saved_with_the_scene(slicer):
    map_node(ball(12) * 0.1, "cbv")
    scene = slicer.mrmlScene
    scene.SetSaveToXMLString(1)
    scene.Commit()
    text = scene.GetSceneXMLString()
    assert "126398" in text
    assert "ml/[100]ml" in text


def test_one_color_table_per_scene(slicer):
    map_node(ball(12) * 0.1, "ktrans")
    map_node(ball(12) * 0.1, "kep")
    assert slicer.mrmlScene.GetNodesByName("GlioSuite inferno").GetNumberOfItems() == 1


def test_0_is_transparent_and_values_are_not(slicer):
    node = map_node(np.where(ball(12), 0.02, 0.0), "vp")
    display = node.GetDisplayNode()
    assert display.GetApplyThreshold()
    assert 0 < display.GetLowerThreshold() < 0.02
    assert display.GetUpperThreshold() >= 0.1


def test_range_from_the_data_where_the_quantity_has_none(slicer):
    values = np.where(ball(12), np.linspace(1, 30, ball(12).size).reshape(GRID.shape), 0.0)
    node = map_node(values, "cbv")
    expected = np.percentile(values[values > 0], 98)
    assert node.GetDisplayNode().GetWindowLevelMax() == pytest.approx(expected, rel=1e-4)
    empty = map_node(np.zeros(GRID.shape), "cbv")
    assert empty.GetDisplayNode().GetWindowLevelMax() == 1.0


def test_sd_looks_like_its_map_and_says_so():
    assert look("ktrans_sd").title == "SD of Ktrans"
    assert look("ktrans_sd")[1:] == look("ktrans")[1:]


def test_legend_names_map_and_unit(slicer):
    node = map_node(np.where(ball(12), 0.1, 0.0), "ktrans")
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    assert legend.GetTitleText() == "Ktrans [1/min]"
    assert legend.GetVisibility()


@pytest.fixture
def view(slicer):
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    from slicerapp.views import SliceView, off_screen

    if not off_screen():
        missing("EGL is not there, so nothing can be drawn without a screen")
    return SliceView()


def test_map_and_outline_are_drawn_where_they_are(slicer, view, tmp_path):
    """The lesion lies at the patient's right and posterior: left and below in an axial view."""
    from gliosuite.mrml.display import show_over
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image

    background = node_from_image(GRID.image(head()), "T1c")
    node = map_node(np.where(ball(12), 0.12, 0.0), "ktrans")
    segmentation_from_masks({"cel": GRID.image(ball(16).astype(np.uint8))}, background, "lesions")
    show_over(node, background, 1.0)
    view.fit(CENTER_LPS[2])
    picture = view.picture().astype(int)
    _save(picture, tmp_path)
    lesion_ras = (-CENTER_LPS[0], -CENTER_LPS[1], CENTER_LPS[2])
    row, column = view.pixel(lesion_ras)
    assert row > 200 > column - 1, "posterior is below the middle; the patient's right is left of it"
    red, green, _ = picture[row, column]
    assert red > green + 60, "inside the lesion stands inferno's orange, not grey"
    mirrored = view.pixel((-lesion_ras[0], lesion_ras[1], lesion_ras[2]))
    around = picture[mirrored[0] - 20 : mirrored[0] + 20, mirrored[1] - 20 : mirrored[1] + 20]
    assert np.ptp(around, axis=-1).max() == 0, "the map is transparent where it is 0: only grey shows"
    assert around.max() > 100 > around.min(), "the background's texture shows there"
    assert np.ptp(picture[100:300, 370:390], axis=-1).max() > 150, "the colour legend stands at the right"
    # the lesion's outline, 16 mm from the centre
    for direction in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        ring = [
            view.pixel((lesion_ras[0] + direction[0] * r, lesion_ras[1] + direction[1] * r, lesion_ras[2]))
            for r in np.arange(13.0, 19.0, 0.5)
        ]
        assert any(picture[p][0] > 180 and picture[p][1] < 140 and picture[p][2] < 140 for p in ring)


def test_a_view_draws_the_legend_of_the_map_that_it_shows(slicer, view, tmp_path):
    from gliosuite.mrml.display import show_over
    from gliosuite.mrml.volumes import node_from_image

    background = node_from_image(GRID.image(head()), "T1c")
    maps = [map_node(np.where(ball(12), value, 0.0), name) for name, value in (("ktrans", 0.12), ("mtt", 6.0))]
    pictures = []
    for node in maps:
        show_over(node, background, 1.0)
        view.fit(CENTER_LPS[2])
        pictures.append(view.picture().astype(int))
        _save(pictures[-1], tmp_path / node.GetName())
    assert np.ptp(pictures[1][100:300, 370:390], axis=-1).max() > 150
    different = np.abs(pictures[0] - pictures[1]).max(axis=-1)[:, 300:]
    assert (different > 40).sum() > 500, "another map, another legend, and not both on each other"


def _save(picture, folder):
    from PIL import Image

    folder.mkdir(exist_ok=True)
    Image.fromarray(np.ascontiguousarray(picture, dtype=np.uint8)).save(folder / "view.png")
