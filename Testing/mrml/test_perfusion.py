"""GlioPerfusion's logic on nodes: a DCE and a DSC sequence with known truth become maps in the right place."""

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, boolean
from gliosuite.perfusion.kinetics import extended_tofts, parker_aif
from gliosuite.perfusion.signal import concentration_to_spgr

from Testing.conftest import ROOT

GRID = Grid((14, 12, 8), (2.0, 2.2, 4.0), (-12.0, -9.0, 30.0), sitk.VersorTransform((0.1, -0.3, 0.9), 0.3).GetMatrix())
TIMES = np.arange(60) * 4.0
DELAY, HEMATOCRIT = 24.0, 0.42
KTRANS, VE, VP = 0.12, 0.3, 0.03


def lesion():
    inside = np.zeros(GRID.shape, bool)
    inside[3:6, 4:9, 5:11] = True
    return inside


def dce():
    """A head of 100 units without leakage, a lesion with known parameters, signals as the scanner would give them."""
    fine = np.arange(0, TIMES[-1] + 0.5, 0.5)
    plasma = parker_aif(fine, DELAY) / (1 - HEMATOCRIT)
    concentration = np.zeros((*GRID.shape, len(TIMES)))
    concentration[lesion()] = extended_tofts(TIMES, plasma, KTRANS, VE, VP, aif_times_s=fine)[0]
    signal = concentration_to_spgr(concentration, 0.0054, 12.0, 1.0, 4.5, s0=1000.0)
    noise = np.random.default_rng(7).normal(0, 0.1, signal.shape)
    table = np.interp(TIMES, fine, plasma)
    return Series(np.moveaxis(signal + noise, -1, 0).astype(np.float32), GRID, "DCE"), table


@pytest.fixture
def logic(slicer):
    from slicerapp import application

    application.load(ROOT / "GlioCore" / "GlioCore.py")
    return application.load(ROOT / "GlioPerfusion" / "GlioPerfusion.py").GlioPerfusionLogic()


@pytest.fixture
def series(slicer, logic):
    from gliosuite.mrml.sequences import node_from_series

    return node_from_series(dce()[0], tuple(TIMES), "DCE")


def lesion_segment(series):
    from gliosuite.mrml.segments import segmentation_from_masks

    node = segmentation_from_masks({"cel": GRID.image(lesion().astype(np.uint8))}, series.GetNthDataNode(0), "lesions")
    return node, node.GetSegmentation().GetNthSegmentID(0)


def test_the_file_is_called_as_the_series_is(slicer, logic, series, tmp_path):
    from gliosuite.mrml.perfusion import PerfusionRequest, arguments

    series.SetName("DCE 3/2 (a)")
    request = PerfusionRequest(series, times_s=tuple(TIMES), tr_ms=5.4, flip_angle_deg=12.0)
    assert Path(arguments(request, tmp_path)[1]).name == "DCE_3_2__a_.nii"


def test_baseline_and_arrival_reach_the_command(slicer, logic, series, tmp_path):
    from gliosuite.mrml.perfusion import PerfusionRequest, arguments

    given = {"times_s": tuple(TIMES), "tr_ms": 5.4, "flip_angle_deg": 12.0, "te_ms": 30.0}
    for kind in ("DCE", "DSC"):
        line = arguments(PerfusionRequest(series, kind=kind, **given), tmp_path)
        assert not {"--baseline", "--arrival"} & set(line)
        line = arguments(PerfusionRequest(series, kind=kind, baseline=6, **given), tmp_path)
        assert line[line.index("--baseline") + 1] == "6"
        line = arguments(PerfusionRequest(series, kind=kind, arrival_s=24.5, **given), tmp_path)
        assert line[line.index("--arrival") + 1] == "24.5"


def test_t1_and_b1_maps_reach_the_command(slicer, logic, series, tmp_path):
    from gliosuite.images import array, read_image
    from gliosuite.mrml.perfusion import PerfusionRequest, arguments
    from gliosuite.mrml.volumes import node_from_image

    given = {"times_s": tuple(TIMES), "tr_ms": 5.4, "flip_angle_deg": 12.0, "te_ms": 30.0}
    nodes = {
        n: node_from_image(GRID.image(np.full(GRID.shape, v, np.float32)), n) for n, v in (("t1", 1.4), ("b1", 0.9))
    }
    line = arguments(PerfusionRequest(series, kind="DSC", **given), tmp_path)
    assert not {"--t10", "--b1"} & set(line)
    line = arguments(PerfusionRequest(series, kind="DSC", t1_map=nodes["t1"], b1_map=nodes["b1"], **given), tmp_path)
    for option, value in (("--t10", 1.4), ("--b1", 0.9)):
        assert array(read_image(line[line.index(option) + 1])).max() == pytest.approx(value)


def test_dce_maps_lie_where_the_series_lies(slicer, logic, series, tmp_path):
    from gliosuite.mrml.perfusion import PerfusionRequest
    from gliosuite.mrml.volumes import image_from_node

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "baseline")
    hierarchy.CreateItem(study, series)
    with (tmp_path / "aif.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("time_s", "concentration"), *zip(TIMES, dce()[1], strict=True)])
    seen = []
    request = PerfusionRequest(
        series,
        times_s=tuple(TIMES),
        tr_ms=5.4,
        flip_angle_deg=12.0,
        aif="CSV file",
        aif_file=str(tmp_path / "aif.csv"),
        mask=lesion_segment(series),
        name="baseline",
    )
    result = logic.compute(request, lambda fraction, message: seen.append(fraction))
    node = result.maps["ktrans"]
    image = image_from_node(node)
    assert Grid.of(image).matches(GRID, 1e-3)
    values = sitk.GetArrayFromImage(image)
    assert (values[~lesion()] == 0).all()
    assert np.median(values[lesion()]) == pytest.approx(KTRANS, rel=0.1)
    assert np.median(sitk.GetArrayFromImage(image_from_node(result.maps["ve"]))[lesion()]) == pytest.approx(VE, rel=0.1)
    assert node.GetName() == "baseline ktrans"
    assert node.GetDisplayNode().GetColorNode().GetName() == "GlioSuite inferno"
    assert slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node).GetTitleText() == "Ktrans [1/min]"
    folder = hierarchy.GetItemChildWithName(study, "baseline maps")
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder
    table = result.aif.GetNthPlotSeriesNode(0).GetTableNode()
    assert table.GetTable().GetColumnByName("AIF").GetNumberOfTuples() >= len(TIMES)
    assert len(seen) > 1
    assert seen == sorted(seen)
    logic.show(result)


def dsc():
    """A T2*-weighted bolus: tissue sees the artery's gamma variate, spread by an exponential residue; the artery is a few voxels."""
    times = np.arange(60) * 1.5
    shape = np.where(times > 15, ((times - 15).clip(0) / 6) ** 3 * np.exp(-(times - 15).clip(0) / 2.0), 0)
    artery = 60 * shape / shape.max()
    change = np.zeros((*GRID.shape, 60))
    for mtt, where in ((4.0, np.ones(GRID.shape, bool)), (6.0, lesion())):
        residue = np.exp(-times / mtt) / mtt
        change[where] = 0.08 * np.convolve(artery, residue)[:60] * 1.5 * (2.0 if mtt > 5 else 1.0)
    change[1, 2:4, 2:4] = artery
    noise = np.random.default_rng(9).normal(0, 1.0, change.shape)
    return Series(np.moveaxis(1000 * np.exp(-0.03 * change) + noise, -1, 0).astype(np.float32), GRID, "DSC"), times


def test_dsc_maps_lie_where_the_series_lies(slicer, logic):
    from gliosuite.mrml.perfusion import PerfusionRequest
    from gliosuite.mrml.sequences import node_from_series
    from gliosuite.mrml.volumes import image_from_node

    truth, times = dsc()
    node = node_from_series(truth, tuple(times), "DSC")
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "AIF")
    for j in (2, 3):
        x, y, z = GRID.blank().TransformIndexToPhysicalPoint((2, j, 1))
        points.AddControlPoint(-x, -y, z)
    request = PerfusionRequest(
        node, "DSC", tuple(times), te_ms=30.0, aif="control points", points=points, leakage="none"
    )
    result = logic.compute(request)
    assert {"cbv", "cbf", "mtt", "tmax"} <= set(result.maps)
    cbv = image_from_node(result.maps["cbv"])
    assert Grid.of(cbv).matches(GRID, 1e-3)
    values = sitk.GetArrayFromImage(cbv)
    normal = ~lesion()
    normal[1, 2:4, 2:4] = False
    assert np.median(values[lesion()]) / np.median(values[normal]) == pytest.approx(2.0, rel=0.1)
    assert result.maps["cbv"].GetDisplayNode().GetColorNode().GetName() == "GlioSuite inferno"
    assert result.aif.GetYAxisTitle() == "ΔR2* [1/s]"


def test_results_of_a_dicom_series_lie_in_its_study_and_are_shown(slicer, logic):
    """The node that Slicer's loader makes: its proxy lies in the patient's study, its sequence does not."""
    from gliosuite.mrml.perfusion import PerfusionRequest
    from gliosuite.mrml.segments import mask_from_segment
    from gliosuite.mrml.sequences import proxy_of, timing
    from slicerapp.loaded import dicom_sequence

    truth, times = dsc()
    series = dicom_sequence(truth, 36e6 + 1000 * times, "DSC", te_ms=30, tr_ms=1500, flip_angle_deg=90)
    layout = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLayoutNode")
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "AIF")
    x, y, z = GRID.blank().TransformIndexToPhysicalPoint((2, 2, 1))
    points.AddControlPoint(-x, -y, z)
    request = PerfusionRequest(
        series, "DSC", timing(series).seconds(), te_ms=30.0, aif="control points", points=points, leakage="none"
    )
    results = [logic.compute(request) for _ in range(2)]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(proxy_of(series)))
    assert hierarchy.GetItemName(study) == "study"
    for result, name in zip(results, ("7: DSC", "7: DSC (2)"), strict=True):
        folder = hierarchy.GetItemChildWithName(study, f"{name} maps")
        assert {n.GetName() for n in result.maps.values()} == {f"{name} {key}" for key in result.maps}
        for node in (*result.maps.values(), result.voxels):
            assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder
        for node in result.maps.values():
            legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
            assert legend is not None
            assert legend.GetVisibility()
        assert result.aif.GetName() == f"{name} AIF"
    segments = results[0].voxels.GetSegmentation()
    identifier = segments.GetSegmentIdBySegmentName("AIF voxels")
    mask = mask_from_segment(results[0].voxels, identifier, GRID)
    assert np.argwhere(boolean(mask)).tolist() == [[1, 2, 2]]
    logic.show(results[0])
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActivePlotChartID() == results[0].aif.GetID()
    assert layout.GetViewArrangement() != 0


def test_where_the_model_does_not_fit_is_a_map_too(slicer, logic, series, tmp_path):
    from gliosuite.mrml.perfusion import PerfusionRequest

    with (tmp_path / "aif.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("time_s", "concentration"), *zip(TIMES, dce()[1], strict=True)])
    request = PerfusionRequest(
        series,
        times_s=tuple(TIMES),
        tr_ms=5.4,
        flip_angle_deg=12.0,
        aif="CSV file",
        aif_file=str(tmp_path / "aif.csv"),
        mask=lesion_segment(series),
    )
    assert logic.compute(request).maps["misfit"].GetName() == "DCE misfit"


def test_inputs_are_written_as_the_step_reads_them(slicer, logic, series, tmp_path):
    from gliosuite.images import read_image, read_series
    from gliosuite.mrml.perfusion import PerfusionRequest, arguments
    from gliosuite.mrml.volumes import node_from_image

    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "AIF")
    x, y, z = GRID.blank().TransformIndexToPhysicalPoint((5, 4, 3))
    points.AddControlPoint(-x, -y, z)
    t1 = node_from_image(GRID.image(np.full(GRID.shape, 1.3, np.float32)), "T1 map")
    request = PerfusionRequest(
        series,
        times_s=tuple(TIMES),
        tr_ms=5.4,
        flip_angle_deg=12.0,
        t1_map=t1,
        aif="control points",
        points=points,
        model="patlak",
        mask=lesion_segment(series),
    )
    given = arguments(request, tmp_path)
    options = dict(zip(given[2::2], given[3::2], strict=True))
    assert given[0] == "dce"
    back = read_series(given[1])
    assert back.grid.matches(GRID, 1e-3)
    assert np.array_equal(back.frames, dce()[0].frames)
    assert [float(t) for t in Path(options["--times"]).read_text().split()] == list(TIMES)
    assert (options["--tr-ms"], options["--flip-angle"], options["--model"]) == ("5.4", "12", "patlak")
    assert np.argwhere(boolean(read_image(options["--aif"]))).tolist() == [[3, 4, 5]]
    assert np.array_equal(boolean(read_image(options["--mask"])), lesion())
    assert np.allclose(sitk.GetArrayFromImage(read_image(options["--t10"])), 1.3)


def test_nothing_is_left_behind_when_a_step_refuses(logic, series, tmp_path, monkeypatch):
    import tempfile

    from gliosuite.mrml.perfusion import PerfusionRequest

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    request = PerfusionRequest(
        series, times_s=tuple(TIMES), tr_ms=5.4, flip_angle_deg=12.0, aif="CSV file", aif_file=str(tmp_path / "no.csv")
    )
    with pytest.raises(InputError, match=r"no\.csv"):
        logic.compute(request)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"times_s": ()}, "DCE has 60 frames and 0 times"),
        ({"tr_ms": 0.0}, r"the repetition time \(TR, ms\) of DCE is not known; DCE maps need it"),
        ({"kind": "DSC"}, r"the echo time \(TE, ms\) of DCE is not known"),
        ({"aif": "control points"}, "no control points are chosen for the AIF"),
        ({"aif": "segment"}, "no segment is chosen for the AIF"),
        ({"aif": "CSV file"}, "no AIF file is chosen"),
        ({"kind": "DSC", "te_ms": 30.0, "aif": "population (Parker)"}, "choose another for DSC"),
        ({"aif": "segment", "twice": True}, "is chosen as AIF and as mask; one segment for each"),
    ],
)
def test_what_is_missing_is_said(logic, series, changes, sentence):
    from gliosuite.mrml.perfusion import PerfusionRequest

    changes = dict(changes)

    if changes.pop("twice", False):
        changes["segment"] = changes["mask"] = lesion_segment(series)
    request = PerfusionRequest(
        **({"series": series, "times_s": tuple(TIMES), "tr_ms": 5.4, "flip_angle_deg": 12.0} | changes)
    )
    with pytest.raises(InputError, match=sentence):
        logic.start(request)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the times of the frames are not known"),
        ("0, x, 2", "the times hold 'x'; numbers in s are needed"),
        ("-1", "the frame interval is -1 s"),
        ("0 1 2", "3 times are given for 4 frames"),
        ("0, 2, 1, 3", "the times do not rise"),
    ],
)
def test_times_that_were_typed_wrongly(slicer, text, sentence):
    from gliosuite.mrml.perfusion import parse_times

    with pytest.raises(InputError, match=sentence):
        parse_times(text, 4)
    assert parse_times("0; 1.5; 3; 6", 4) == (0.0, 1.5, 3.0, 6.0)


def test_module_says_what_it_is(slicer, logic):
    metadata = slicer.modules.glioperfusion.metadata
    assert metadata.title == "GlioPerfusion"
    assert metadata.contributors
    assert metadata.helpText
    assert metadata.acknowledgementText
    assert metadata.categories == ["Quantification"]
    assert Path(metadata.icon).name == "GlioPerfusion.png"
    assert slicer.modules.gliocore.metadata.hidden
