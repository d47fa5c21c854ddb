"""The RT structure set from nodes: the series found, what is checked, a folder or the database, corrections by hand."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean

from Testing.mrml.heads import GRID, MASKS, ball


def series_in(folder):
    """A DICOM series on the masks' grid, in `folder`."""
    from gliosuite.simulate.scans.dicomseries import write_dicom_series

    write_dicom_series(GRID.image((array(MASKS["brain"]) * 100).astype(np.float32)), folder, "T1c", 5)
    return folder


@pytest.fixture
def database(slicer, tmp_path, monkeypatch):
    from slicerapp.database import Database

    found = Database(tmp_path / "database")
    found.link(series_in(tmp_path / "dicom"))
    monkeypatch.setattr(slicer, "dicomDatabase", found, raising=False)
    return found


def computed(logic, request_of, *regions, schemes=("estro-eano",)):
    request = request_of("brain", *regions, schemes=schemes)
    with pytest.warns(UserWarning, match="cavity"):
        return logic.compute(request), request


def wanted(**changes):
    from gliosuite.mrml.rt.structureset import ExportRequest

    return ExportRequest(**{k: str(v) if k.endswith("folder") else v for k, v in changes.items()})


def test_structure_set_on_the_dicom_series_reads_back(logic, request_of, tmp_path):
    from gliosuite.rt.rtstruct import read_rtstruct

    series = series_in(tmp_path / "dicom")
    request = request_of("brain", "cel", "t2l", "progression", schemes=("rtog",))
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    exported, _ = logic.export(result, request, wanted(series_folder=series, folder=tmp_path))
    assert [(w.name, w.interpreted_type) for w in exported.rois] == [
        ("CTV_RTOG", "CTV"),
        ("Brain", "ORGAN"),
        ("GTV_CEL", "GTV"),
        ("GTV_T2L", "GTV"),
    ]
    back = read_rtstruct(tmp_path / "RS_GlioSuite.dcm", series)
    for name, region in (("Brain", "brain"), ("GTV_CEL", "cel"), ("GTV_T2L", "t2l")):
        assert Grid.of(back[name]).matches(GRID, 0.02)
        assert np.array_equal(boolean(back[name]), boolean(MASKS[region]))


def test_a_correction_by_hand_is_exported(slicer, logic, request_of, tmp_path):
    from gliosuite.mrml.segments import oriented
    from gliosuite.rt.rtstruct import read_rtstruct

    series_in(tmp_path / "dicom")
    request = request_of("brain", "cel", schemes=("estro-eano",))
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    drawn = ball(7, (0, -20, 0))
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        oriented(drawn),
        result.segmentation,
        result.segmentation.GetSegmentation().GetSegmentIdBySegmentName("CTV_EANO"),
        slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE,
    )
    logic.export(result, request, wanted(series_folder=tmp_path / "dicom", folder=tmp_path))
    back = read_rtstruct(tmp_path / "RS_GlioSuite.dcm", tmp_path / "dicom")
    assert np.array_equal(boolean(back["CTV_EANO"]), boolean(drawn))


def test_a_correction_by_hand_is_exported_after_save_and_reload(slicer, logic, request_of, tmp_path):
    from gliosuite.mrml.segments import oriented
    from gliosuite.rt.rtstruct import read_rtstruct
    from slicerapp import application

    series_in(tmp_path / "dicom")
    request = request_of("brain", "cel", schemes=("estro-eano",))
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    drawn = ball(7, (0, -20, 0))
    segments = result.segmentation.GetSegmentation()
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        oriented(drawn),
        result.segmentation,
        segments.GetSegmentIdBySegmentName("CTV_EANO"),
        slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE,
    )
    logic.getParameterNode().targets = result.segmentation
    (tmp_path / "bundles").mkdir()
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "bundles" / "scene.mrb"))
    application.open_bundle(tmp_path / "bundles" / "scene.mrb", tmp_path / "loaded")
    loaded, asked = logic.recall(logic.getParameterNode().targets)
    assert loaded.segmentation is slicer.util.getNode("Target volumes")
    assert (loaded.kinds, loaded.described) == (result.kinds, result.described)
    assert loaded.keys == result.keys
    np.testing.assert_equal(loaded.rows, result.rows)
    assert (asked.reference.GetName(), asked.schemes, set(asked.segments)) == ("T1c", ("estro-eano",), {"brain", "cel"})
    exported, _ = logic.export(loaded, asked, wanted(series_folder=tmp_path / "dicom", folder=tmp_path))
    assert [roi.name for roi in exported.rois] == ["CTV_EANO", "Brain", "GTV_CEL"]
    back = read_rtstruct(tmp_path / "RS_GlioSuite.dcm", tmp_path / "dicom")
    assert np.array_equal(boolean(back["CTV_EANO"]), boolean(drawn))
    assert logic.recall(slicer.util.getNode("structures")) is None
    assert logic.recall(None) is None


def test_an_image_that_is_gone_is_said(slicer, logic, request_of, tmp_path):
    request = request_of("brain", "cel", schemes=("estro-eano",))
    with pytest.warns(UserWarning, match="cavity"):
        result = logic.compute(request)
    slicer.mrmlScene.RemoveNode(request.reference)
    with pytest.raises(InputError, match="the image that the targets were drawn on is gone"):
        logic.export(*logic.recall(result.segmentation), wanted(series_folder=tmp_path, folder=tmp_path))


def test_what_is_missing_is_said(logic, request_of, tmp_path):
    result, request = computed(logic, request_of, "cel")
    with pytest.raises(InputError, match="no folder is chosen; the folder of its DICOM series is needed"):
        logic.export(result, request, wanted(folder=tmp_path))
    with pytest.raises(InputError, match="no folder is chosen for the RT structure set"):
        logic.export(result, request, wanted(series_folder=tmp_path))
    with pytest.raises(InputError, match="Slicer's DICOM database is not open"):
        logic.export(result, request, wanted(destination="Slicer's DICOM database"))
    segments = result.segmentation.GetSegmentation()
    segments.RemoveSegment(segments.GetNthSegmentID(0))
    series = series_in(tmp_path / "dicom")
    with pytest.raises(InputError, match="has no segment CTV_EANO any more"):
        logic.export(result, request, wanted(series_folder=series, folder=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_series_is_found_from_the_volume_itself(slicer, logic, request_of, database, tmp_path):
    result, request = computed(logic, request_of, "cel")
    assert logic.dicomSource(request.reference) is None, "it names no instances"
    (tmp_path / "dicom" / "other.dcm").write_text("not DICOM")
    request.reference.SetAttribute("DICOM.instanceUIDs", " ".join(database.files))
    source = logic.dicomSource(request.reference)
    assert (len(source.files), source.title) == (GRID.size[2], "T1c")
    exported, where = logic.export(result, request, wanted(folder=tmp_path / "out"))
    assert where == str(tmp_path / "out" / "RS_GlioSuite.dcm")
    assert [roi.name for roi in exported.rois] == ["CTV_EANO", "Brain", "GTV_CEL"]
    first = next(iter(database.files))
    database.files[first] = str(tmp_path / "gone.dcm")
    assert logic.dicomSource(request.reference) is None, "a file that is gone is no series"


def test_it_goes_into_the_database_beside_its_images(slicer, logic, request_of, database, tmp_path):
    import pydicom
    from gliosuite.rt.rtstruct import read_rtstruct

    result, request = computed(logic, request_of, "cel")
    request.reference.SetAttribute("DICOM.instanceUIDs", " ".join(database.files))
    to_database = wanted(destination="Slicer's DICOM database", label="plan A")
    _, where = logic.export(result, request, to_database)
    assert where == "Slicer's DICOM database, beside its images"
    (file,) = database.store.iterdir()
    header = pydicom.dcmread(file)
    image = pydicom.dcmread(next(iter(database.files.values())), stop_before_pixels=True)
    assert (header.StudyInstanceUID, header.StructureSetLabel) == (image.StudyInstanceUID, "plan A")
    back = read_rtstruct(file, tmp_path / "dicom")
    assert np.array_equal(boolean(back["GTV_CEL"]), boolean(MASKS["cel"]))
    database.takes = False
    with pytest.raises(InputError, match="did not take the structure set"):
        logic.export(result, request, wanted(destination="Slicer's DICOM database", label="plan B"))


def test_a_file_that_is_there_is_never_replaced(logic, request_of, tmp_path):
    result, request = computed(logic, request_of, "cel")
    series = series_in(tmp_path / "dicom")
    for name in ("RS_GlioSuite.dcm", "RS_GlioSuite_2.dcm", "RS_GlioSuite_3.dcm"):
        _, where = logic.export(result, request, wanted(series_folder=series, folder=tmp_path / "out"))
        assert where == str(tmp_path / "out" / name)


def test_the_list_names_all_errors_before_anything_is_written(logic, request_of, tmp_path):
    result, request = computed(logic, request_of, "cel")
    series = series_in(tmp_path / "dicom")
    findings = logic.check(result, request, wanted(series_folder=series))
    assert {f.level for f in findings if f.check in ("names", "series", "overlap")} == {"ok"}
    for path in sorted(series.iterdir())[5:7]:
        path.unlink()
    findings = logic.check(result, request, wanted(series_folder=series, label="a label that is far too long"))
    errors = {f.check: f.sentence for f in findings if f.level == "error"}
    assert set(errors) == {"names", "series"}
    assert "slices are missing" in errors["series"]


def _names(segmentation):
    segments = segmentation.GetSegmentation()
    return [segments.GetSegment(i).GetName() for i in segments.GetSegmentIDs()]


@pytest.fixture
def drafted(slicer, logic, tmp_path):
    """A request whose T2 lesion was read from a file that says that it is a draft, and the folder of its series."""
    from gliosuite.images import read_image, write_image
    from gliosuite.mrml.rt.request import TargetsRequest
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image

    write_image(MASKS["t2l"], tmp_path / "t2l.nii.gz", "t2l (draft)")
    masks = {"brain": MASKS["brain"], "cel": MASKS["cel"], "t2l": read_image(tmp_path / "t2l.nii.gz")}
    reference = node_from_image(GRID.image(array(MASKS["brain"]) * 100), "T1c")
    node = segmentation_from_masks(masks, reference, "structures")
    ids = node.GetSegmentation().GetSegmentIDs()
    request = TargetsRequest(reference, ("rtog", "estro-eano"), {r: (node, i) for r, i in zip(masks, ids, strict=True)})
    return request, series_in(tmp_path / "dicom")


def test_what_rests_on_a_draft_is_called_one_until_a_person_accepts_it(slicer, logic, drafted, tmp_path):
    import pydicom

    request, series = drafted
    with pytest.warns(UserWarning, match=r"targets rest on drafts that no person has checked: T2 lesion \(T2L\)"):
        result = logic.compute(request)
    assert result.drafts == ["CTV_RTOG"], "the other is made from the enhancing lesion alone"
    assert _names(result.segmentation) == ["DRAFT CTV_RTOG", "CTV_EANO"]
    assert _names(request.segments["t2l"][0])[-1] == "DRAFT T2 lesion (T2L)"
    assert logic.recall(result.segmentation)[0].drafts == ["CTV_RTOG"]
    assert logic.drafts(result, request) == ["CTV_RTOG", "GTV_T2L"]
    findings = {f.check: f for f in logic.check(result, request, wanted(series_folder=series))}
    assert findings["drafts"].level == "warning"

    def written(**more):
        _, where = logic.export(result, request, wanted(series_folder=series, folder=tmp_path / "out", **more))
        dataset = pydicom.dcmread(where)
        return dataset.StructureSetLabel, {r.ROIName: r for r in dataset.StructureSetROISequence}

    with pytest.warns(UserWarning, match="CTV_RTOG, GTV_T2L: drafts"):
        label, rois = written()
    assert label == "DRAFT"
    assert rois["GTV_T2L"].ROIDescription.startswith("DRAFT")
    assert rois["GTV_T2L"].ROIGenerationAlgorithm == "AUTOMATIC"
    assert "DRAFT" not in rois["CTV_EANO"].ROIDescription
    label, rois = written(accepted_by="R. Reader")
    assert label == "GlioSuite"
    assert "Draft accepted by R. Reader" in rois["CTV_RTOG"].ROIDescription
    with pytest.raises(InputError, match="names nobody"):
        written(accepted_by="  ")
