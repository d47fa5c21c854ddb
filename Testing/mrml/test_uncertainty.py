"""A map and its SD: pairs, hidden voxels, four views; numbers and histograms of regions."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid

GRID = Grid((12, 11, 10), (2.0, 2.0, 4.0), (-12.0, -9.0, 30.0), sitk.VersorTransform((0.2, 0.4, 0.9), 0.3).GetMatrix())


def inside():
    mask = np.zeros(GRID.shape, bool)
    mask[2:8, 2:9, 2:10] = True
    return mask


def made(slicer, quantity="ktrans", name="DCE", grid=GRID, value=None, sd=None, folder="maps"):
    """A map and its SD in a folder of their own: values rise from .1 to .3, SDs from 10 to 100 %."""
    from gliosuite.mrml.display import show_map
    from gliosuite.mrml.volumes import node_from_image

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parent = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), folder)
    rising = np.linspace(0, 1, int(inside().sum()))
    values, sds = np.zeros((2, *GRID.shape), np.float32)
    values[inside()] = 0.1 + 0.2 * rising if value is None else value
    sds[inside()] = values[inside()] * (0.1 + 0.9 * rising) if sd is None else sd
    nodes = []
    for array, what in ((values, quantity), (sds, f"{quantity}_sd")):
        node = node_from_image(grid.image(array), f"{name} {what}")
        show_map(node, what)
        hierarchy.SetItemParent(hierarchy.CreateItem(parent, node), parent)
        nodes.append(node)
    return (*nodes, parent)


def test_a_map_finds_its_own_sd(slicer):
    """Not that of another result, nor one on another grid; what has no SD is a map too."""
    from gliosuite.mrml.perfusion.uncertainty import maps

    first, first_sd, _ = made(slicer, folder="one")
    second, second_sd, _ = made(slicer, folder="two")
    second_sd.SetAttribute("GlioSuite.Quantity", "ve_sd")
    plain = slicer.util.addVolumeFromArray(np.ones((3, 3, 3), np.float32), name="T1c")
    found = maps()
    assert [(m.node, m.sd) for m in found] == [(first, first_sd), (second, None)]
    assert [m.quantity for m in found] == ["ktrans", "ktrans"]
    assert plain not in [m.node for m in found]


def test_what_is_not_known_well_enough_is_hidden_in_a_copy(slicer):
    from gliosuite.mrml.perfusion.uncertainty import hide, maps

    node, sd, _ = made(slicer)
    before = np.array(slicer.util.arrayFromVolume(node))
    (one,) = maps()
    assert hide(one, None) is node
    copy = hide(one, 50)
    assert copy is not node
    assert copy.GetName() == "DCE ktrans, SD up to 50 %"
    shown = slicer.util.arrayFromVolume(copy)
    sure = (slicer.util.arrayFromVolume(sd) <= 0.5 * before) & inside()
    assert 0 < sure.sum() < inside().sum()
    assert np.array_equal(shown > 0, sure)
    assert np.array_equal(shown[sure], before[sure])
    assert copy.GetDisplayNode().GetColorNode() is node.GetDisplayNode().GetColorNode()
    assert copy.GetDisplayNode().GetApplyThreshold()
    # Moved on, the same copy holds more; the map stays what it was, and the copy is no map of its own.
    assert hide(one, 80) is copy
    assert (slicer.util.arrayFromVolume(copy) > 0).sum() > sure.sum()
    assert np.array_equal(slicer.util.arrayFromVolume(node), before)
    assert [m.node for m in maps()] == [node]
    assert maps()[0].quantity == "ktrans"


def test_hidden_voxels_of_a_map_that_may_be_negative_lie_below_what_is_shown(slicer):
    from gliosuite.mrml.perfusion.uncertainty import hide, maps

    made(slicer, "delay", value=-1.0, sd=5.0)
    copy = hide(maps()[0], 50)
    assert slicer.util.arrayFromVolume(copy).max() < copy.GetDisplayNode().GetLowerThreshold()


def test_zero_is_a_value_where_its_sd_is_known(slicer):
    from gliosuite.mrml.perfusion.uncertainty import maps

    made(slicer, value=0.0, sd=0.01)
    (one,) = maps()
    assert np.array_equal(np.isfinite(one.values()), inside())
    assert not np.isfinite(one.values(50)).any(), "its SD is above any share of it"


def test_map_and_sd_stand_beside_each_other(slicer):
    from gliosuite.mrml.perfusion.uncertainty import maps, replace_shown, show_side_by_side

    node, sd, _ = made(slicer)
    t1c = slicer.util.addVolumeFromArray(np.ones((3, 3, 3), np.float32), name="T1c")
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    composites = {}
    for name in ("Red", "Slice4", "Green", "Yellow"):
        composites[name] = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        composites[name].SetLayoutName(name)
    show_side_by_side(node, maps()[0], t1c)
    assert layout.GetViewArrangement() == layout.SlicerLayoutTwoOverTwoView
    over = {name: composite.GetForegroundVolumeID() for name, composite in composites.items()}
    assert over == {"Red": node.GetID(), "Slice4": sd.GetID(), "Green": node.GetID(), "Yellow": sd.GetID()}
    assert {c.GetBackgroundVolumeID() for c in composites.values()} == {t1c.GetID()}
    views = {name: slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode") for name in composites}
    assert {n: v.GetOrientation() for n, v in views.items()} == {
        "Red": "Axial",
        "Slice4": "Axial",
        "Green": "Coronal",
        "Yellow": "Coronal",
    }
    replace_shown(node, t1c)
    assert composites["Red"].GetForegroundVolumeID() == t1c.GetID()
    assert composites["Slice4"].GetForegroundVolumeID() == sd.GetID()


def segments(slicer, **masks):
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image

    volume = node_from_image(GRID.image(np.zeros(GRID.shape, np.float32)), "reference")
    images = {name: GRID.image(mask.astype(np.uint8)) for name, mask in masks.items()}
    return segmentation_from_masks(images, volume, "lesions")


def halves():
    low, high = inside(), inside()
    low[5:], high[:5] = False, False
    return low, high


def test_the_share_that_is_left_and_its_median(slicer):
    from gliosuite.mrml.perfusion.regions import regions_of, summary
    from gliosuite.mrml.perfusion.uncertainty import maps

    made(slicer)
    (one,) = maps()
    low, high = halves()
    found = regions_of(segments(slicer, low=low, high=high), one)
    assert found.notes == ()
    assert np.array_equal(found.masks["low"], low)
    rows = summary(one, found.masks, 55)
    assert [row[0] for row in rows] == ["all of the map", "low", "high"]
    assert [row[1] for row in rows] == pytest.approx([50, 100, 0], abs=1)
    values = one.values(55)
    assert rows[1][2] == pytest.approx(np.median(values[low]))
    assert np.isnan(rows[2][2])
    assert summary(one, found.masks, None)[2][1] == 100


def test_a_segment_outside_is_left_out_and_said(slicer):
    from gliosuite.mrml.perfusion.regions import regions_of
    from gliosuite.mrml.perfusion.uncertainty import maps

    made(slicer)
    node = segments(slicer, low=halves()[0])
    node.GetSegmentation().AddEmptySegment("", "nothing", (1, 0, 0))
    found = regions_of(node, maps()[0])
    assert list(found.masks) == ["low"]
    assert "segment nothing of lesions is empty" in found.notes[0]


def test_histograms_have_the_segments_colours(slicer):
    from gliosuite.mrml.perfusion.regions import histogram, regions_of
    from gliosuite.mrml.perfusion.uncertainty import maps

    from Testing.standin.patients import curves_of

    made(slicer)
    (one,) = maps()
    low, high = halves()
    found = regions_of(segments(slicer, cel=low, t2l=high), one)
    chart = histogram(one, found)
    curves = curves_of(chart)
    assert set(curves) == set(found.masks)
    for _, share in curves.values():
        assert share.sum() == pytest.approx(100)
    assert chart.GetXAxisTitle() == "Ktrans [1/min]"
    colours = [chart.GetNthPlotSeriesNode(i).GetColor() for i in range(2)]
    node = slicer.util.getNode("lesions").GetSegmentation()
    assert colours[0] == pytest.approx(node.GetNthSegment(0).GetColor(), abs=1 / 255)
    assert histogram(one, found, 55, chart) is chart
    assert set(curves_of(chart)) == {next(iter(found.masks))}
    with pytest.raises(InputError, match="has no value in these segments"):
        histogram(one, regions_of(segments(slicer, far=~inside()), one))


def test_numbers_are_those_of_the_command(slicer, tmp_path, gliosuite):
    """The table of a fit in nodes is the regions.csv of the same fit."""
    from gliosuite.images import write_image
    from gliosuite.mrml.perfusion import PerfusionRequest, arguments, load
    from gliosuite.mrml.perfusion.regions import as_text, regions_of, save, statistics
    from gliosuite.mrml.perfusion.uncertainty import maps
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.sequences import node_from_series

    from Testing.mrml import test_perfusion as phantom

    series = node_from_series(phantom.dce()[0], tuple(phantom.TIMES), "DCE")
    table = tmp_path / "aif.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([("time_s", "concentration"), *zip(phantom.TIMES, phantom.dce()[1], strict=True)])
    request = PerfusionRequest(
        series, times_s=tuple(phantom.TIMES), tr_ms=5.4, flip_angle_deg=12.0, aif="CSV file", aif_file=str(table)
    )
    wide = np.zeros(phantom.GRID.shape, bool)
    wide[2:7, 3:10, 4:12] = True
    masks = {"lesion": phantom.lesion(), "wide": wide}
    given = arguments(request, tmp_path)
    for name, mask in masks.items():
        write_image(phantom.GRID.image(mask.astype(np.uint8)), tmp_path / f"{name}.nii")
        given += ["--regions", f"{name}={tmp_path / f'{name}.nii'}"]
    code, _out, err = gliosuite(*given)
    assert code == 0, err
    load(request, tmp_path, {})
    with (tmp_path / "out" / "regions.csv").open(newline="") as stream:
        wanted = list(csv.DictReader(stream))
    one = next(m for m in maps() if m.quantity == "ktrans")
    segmentation = segmentation_from_masks(
        {n: phantom.GRID.image(m.astype(np.uint8)) for n, m in masks.items()}, one.node, "lesions"
    )
    header, rows = statistics(one, regions_of(segmentation, one).masks)
    found = {(row[0], row[2]): dict(zip(header, row, strict=True)) for row in rows}
    compared = 0
    for row in wanted:
        mine = found.get((row["map"], row["region"]))
        if mine is None:
            continue  # maps that the module does not load
        for key in ("n", "n_undefined", "volume_cc", "mean", "sd", "median", "p5", "p95", "hotspot"):
            a, b = row[key], str(mine[key])
            assert (a == b == "") or float(a) == pytest.approx(float(b), rel=1e-4, abs=1e-6), (
                row["map"],
                row["region"],
                key,
            )
        compared += 1
    assert compared >= 10
    save(header, rows, str(tmp_path / "mine.csv"))
    with (tmp_path / "mine.csv").open(newline="") as stream:
        assert list(csv.reader(stream)) == [header, *[[str(cell) for cell in row] for row in rows]]
    assert as_text(header, rows).splitlines()[0].split("\t") == header
    with pytest.raises(InputError, match=r"a name that ends in \.csv is needed"):
        save(header, rows, "")
