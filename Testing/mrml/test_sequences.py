"""Sequence and MultiVolume nodes as series, with times in s or ms and what is known of the acquisition."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series

ROTATION = sitk.VersorTransform((0.1, 0.2, 0.9), 0.3).GetMatrix()
GRID = Grid((6, 5, 4), (1.2, 1.0, 3.0), (10.0, -20.0, 5.0), ROTATION)
TIMES = (0.0, 4.5, 9.0, 15.0)


def series():
    frames = np.random.default_rng(3).normal(100, 5, (4, *GRID.shape)).astype(np.float32)
    return Series(frames, GRID, "DCE")


def multivolume(slicer, labels="0,4500,9000,15000", unit="ms"):
    """A vector volume with MultiVolume's attributes: the node's own class is not in slicer-core."""
    import vtk
    from gliosuite.mrml.volumes import ijk_to_ras
    from vtk.util import numpy_support

    truth = series()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "DCE multivolume")
    image = vtk.vtkImageData()
    image.SetDimensions(*GRID.size)
    values = np.ascontiguousarray(np.moveaxis(truth.frames, 0, -1)).reshape(-1, 4)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(values, deep=True))
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras(GRID)))
    node.SetAttribute("MultiVolume.NumberOfFrames", "4")
    node.SetAttribute("MultiVolume.FrameLabels", labels)
    node.SetAttribute("MultiVolume.FrameIdentifyingDICOMTagUnits", unit)
    return node


def test_sequence_round_trip(slicer):
    from gliosuite.mrml.sequences import node_from_series, series_from_node, timing

    truth = series()
    node = node_from_series(truth, TIMES, "DCE")
    back = series_from_node(node)
    assert np.array_equal(back.frames, truth.frames)
    assert back.grid.matches(GRID, 1e-5)
    assert back.name == "DCE"
    assert timing(node).seconds() == TIMES


def test_sequence_file_written_by_slicer_reads_back_the_same(slicer, tmp_path):
    from gliosuite.images import read_series
    from gliosuite.mrml.sequences import node_from_series

    truth = series()
    node = node_from_series(truth, TIMES, "DCE")
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    slicer.mrmlScene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "dce.seq.nrrd"))
    assert storage.WriteData(node)
    back = read_series(tmp_path / "dce.seq.nrrd")
    assert np.allclose(back.frames, truth.frames)
    assert back.grid.matches(GRID, 1e-4)


def test_index_in_ms_and_an_override(slicer):
    from gliosuite.mrml.sequences import node_from_series, timing

    node = node_from_series(series(), (0, 4500, 9000, 15000), "DCE")
    assert timing(node).seconds() == (0.0, 4500.0, 9000.0, 15000.0)
    assert timing(node).seconds("ms") == TIMES
    node.SetIndexUnit("ms")
    assert timing(node).unit == "ms"
    assert timing(node).seconds() == TIMES


def test_no_unit_or_no_rising_index_gives_no_times(slicer):
    from gliosuite.mrml.sequences import node_from_series, timing

    node = node_from_series(series(), TIMES, "DCE")
    node.SetIndexUnit("")
    assert timing(node).seconds() is None
    assert timing(node).seconds("s") == TIMES
    assert timing(multivolume(slicer, labels="a,b,c,d")).seconds("s") is None
    assert timing(multivolume(slicer, labels="0,2,1,3")).seconds("s") is None


def test_times_start_at_0(slicer):
    from gliosuite.mrml.sequences import timing

    assert timing(multivolume(slicer, labels="36000,36004.5,36009,36015", unit="s")).seconds() == TIMES


def test_multivolume(slicer):
    from gliosuite.mrml.sequences import series_from_node, timing

    node = multivolume(slicer)
    back = series_from_node(node)
    assert np.array_equal(back.frames, series().frames)
    assert back.grid.matches(GRID, 1e-5)
    assert timing(node).seconds() == TIMES


def test_acquisition_from_attributes_then_dicom(slicer, monkeypatch):
    from types import SimpleNamespace

    from gliosuite.mrml.sequences import acquisition, node_from_series

    node = multivolume(slicer)
    node.SetAttribute("MultiVolume.DICOM.RepetitionTime", "5.4")
    node.SetAttribute("MultiVolume.DICOM.FlipAngle", "0")
    assert acquisition(node) == {"tr_ms": 5.4}
    sequence = node_from_series(series(), TIMES, "DCE")
    sequence.GetNthDataNode(0).SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    database = {("1.2.3", "0018,0080"): "6.1", ("1.2.3", "0018,0081"): "", ("1.2.3", "0018,1314"): "12"}
    known = SimpleNamespace(instanceValue=lambda uid, tag: database[uid, tag])
    monkeypatch.setattr(slicer, "dicomDatabase", known, raising=False)
    assert acquisition(sequence) == {"tr_ms": 6.1, "flip_angle_deg": 12.0}


def test_other_nodes_are_refused(slicer):
    from gliosuite.mrml.sequences import series_from_node
    from gliosuite.mrml.volumes import node_from_image

    with pytest.raises(InputError, match="T1c is a vtkMRMLScalarVolumeNode; a sequence"):
        series_from_node(node_from_image(GRID.blank(), "T1c"))
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "empty")
    with pytest.raises(InputError, match="empty has no frames"):
        series_from_node(empty)


def test_frames_of_two_geometries_are_refused(slicer):
    from gliosuite.mrml.sequences import node_from_series, series_from_node

    node = node_from_series(series(), TIMES, "DCE")
    node.GetNthDataNode(2).SetSpacing(2, 2, 2)
    with pytest.raises(InputError, match="DCE: frame 3 lies on another grid than frame 1"):
        series_from_node(node)


CLOCK = (36000000.0, 36004500.0, 36009000.0, 36015000.0)  # ms since midnight, as the loader writes an AcquisitionTime


def test_a_dicom_series_as_slicer_loads_it(slicer):
    from gliosuite.mrml.sequences import (
        acquisition,
        is_multivolume,
        n_frames,
        proxy_of,
        series_from_node,
        timing,
        title_of,
    )
    from slicerapp.loaded import dicom_sequence

    node = dicom_sequence(series(), CLOCK, tr_ms=5.4, te_ms=2.1, flip_angle_deg=12)
    assert [node.GetNthIndexValue(i) for i in range(4)] == ["0", "1", "2", "3"]
    assert (is_multivolume(node), n_frames(node)) == (False, 4)
    assert timing(node).seconds() == TIMES
    assert np.array_equal(series_from_node(node).frames, series().frames)
    assert acquisition(node) == {"tr_ms": 5.4, "te_ms": 2.1, "flip_angle_deg": 12.0}
    assert proxy_of(node).IsA("vtkMRMLScalarVolumeNode")
    assert title_of(node) == "7: DCE"


@pytest.mark.parametrize(
    ("tag", "unit", "labels", "times"),
    [
        ("TriggerTime", "ms", (0, 4500, 9000, 15000), TIMES),
        ("DeltaStartTime", "sec", (2, 6.5, 11, 17), TIMES),
        ("Time", "ms", ("0", "4500.0", "9000.0", "15000.0"), TIMES),
        ("EchoTime", "ms", (10, 20, 30, 40), None),  # four echoes, not four times
        ("RepetitionTime", "ms", (10, 20, 30, 40), None),
        ("FlipAngle", "degrees", (2, 5, 10, 15), None),
        ("TemporalPositionIdentifier", "count", (1, 2, 3, 4), None),
        ("Standard.B-value", "sec/mm2", (0, 500, 1000, 2000), None),
        ("AcquisitionTime", "ms", (0, 4500, 9000), None),  # one label short
    ],
)
def test_what_tells_the_frames_apart_is_time_or_none(slicer, tag, unit, labels, times):
    from gliosuite.mrml.sequences import timing
    from slicerapp.loaded import dicom_sequence

    found = timing(dicom_sequence(series(), labels, tag=tag, unit=unit))
    assert found.seconds() == times
    if times is None:
        assert found.seconds("s") is None, "no unit makes an echo time or a count a time"
        assert found.reason


def test_an_index_that_only_counts_is_never_seconds(slicer):
    from gliosuite.mrml.sequences import timing
    from slicerapp.loaded import dicom_sequence

    node = dicom_sequence(series(), (), attributes=False)
    assert timing(node).seconds() is None
    assert timing(node).seconds("s") is None
    assert timing(node).reason == "only counts its frames"


def test_times_that_the_loader_left_out_are_those_of_the_files(slicer, monkeypatch):
    from types import SimpleNamespace

    from gliosuite.mrml.sequences import series_from_node, timing
    from slicerapp.loaded import dicom_sequence

    node = dicom_sequence(series(), (), attributes=False)
    clock = ["235957.5", "000002", "000006.500", "000012.5"]
    known = {f"1.2.7.{i}.1": t for i, t in enumerate(clock)}
    database = SimpleNamespace(instanceValue=lambda uid, tag: known[uid] if tag == "0008,0032" else "")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert timing(node).seconds() == TIMES, "past midnight"
    known.update({f"1.2.7.{i}.1": t for i, t in enumerate(["120000", "120004.5", "120009", "120015"])})
    assert timing(node).seconds() == TIMES
    assert np.array_equal(series_from_node(node).frames, series().frames)
    known["1.2.7.3.1"] = "120009"  # one time for two frames tells nothing
    assert timing(node).seconds() is None
    known["1.2.7.3.1"] = ""
    assert timing(node).seconds() is None


def test_a_clock_of_whole_seconds_is_questioned(slicer, monkeypatch):
    from types import SimpleNamespace

    from gliosuite.mrml.sequences import timing
    from slicerapp.loaded import dicom_sequence

    many = Series(np.concatenate([series().frames] * 2)[:5], GRID, "DCE")
    node = dicom_sequence(many, [36e6 + 1000 * t for t in (0, 1, 3, 4, 6)])  # truth: every 1.5 s
    assert timing(node).seconds() == (0, 1, 3, 4, 6)
    assert timing(node).note.endswith("each time may be wrong by 1 s")
    for resolution, truth in (("1500", (0, 1.5, 3, 4.5, 6)), ("1900", (0, 1, 3, 4, 6)), ("", (0, 1, 3, 4, 6))):
        database = SimpleNamespace(instanceValue=lambda uid, tag, r=resolution: r if tag == "0020,0110" else "")
        monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
        assert timing(node).seconds() == truth
    even = dicom_sequence(many, [36e6 + 5000 * t for t in range(5)])
    assert timing(even).note == ""
    uneven = dicom_sequence(many, [36e6 + 1000 * t for t in (0, 5, 10, 15, 45)])  # a pause, no rounding
    assert timing(uneven).note == ""


def test_frames_past_midnight_are_put_in_order(slicer):
    """The loader sorts by the clock: what was taken after midnight stands first."""
    from gliosuite.mrml.sequences import series_from_node, timing
    from slicerapp.loaded import dicom_sequence

    truth = series()
    sorted_by_clock = Series(truth.frames[[2, 3, 0, 1]], GRID, "DCE")
    node = dicom_sequence(sorted_by_clock, (3000.0, 9000.0, 86394000.0, 86398500.0))
    assert timing(node).seconds() == TIMES
    assert np.array_equal(series_from_node(node).frames, truth.frames)


def test_a_series_that_was_moved_is_refused(slicer):
    from gliosuite.mrml.sequences import proxy_of, series_from_node
    from slicerapp.loaded import dicom_sequence

    node = dicom_sequence(series(), CLOCK)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved by hand")
    proxy_of(node).SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="lies under the transform moved by hand"):
        series_from_node(node)
