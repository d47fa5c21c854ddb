"""The whole way through the GlioRT panel as a person goes it, on a digital patient: found, tried, computed, looked at, saved, exported."""

import time

import numpy as np
import pytest
from gliosuite.images import boolean


@pytest.fixture
def patient(slicer, monkeypatch, tmp_path):
    """The scene with the sample, and its T1c in a DICOM database."""
    from gliosuite.mrml.sample import digital_patient
    from slicerapp.database import Database

    monkeypatch.setattr(slicer, "dicomDatabase", Database(tmp_path / "database"), raising=False)
    return digital_patient(seed=11, grid_mm=4.0)


def settled(until, seconds=20.0):
    import qt

    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        qt.QApplication.processEvents()
        time.sleep(0.02)
    assert until()


@pytest.mark.slow
def test_from_the_sample_to_the_structure_set(slicer, patient, module, tmp_path):
    from gliosuite.mrml.rt.comparison import mask_of
    from gliosuite.mrml.volumes import grid_of
    from gliosuite.rt.rtstruct import read_rtstruct
    from slicerapp import application

    panel = module("GlioRT").GlioRTWidget().panel
    ui = panel.ui
    assert panel.parameters.reference is patient["t1c"]
    assert panel.parameters.flair is patient["flair"]
    assert {"brain", "cel", "t2l", "cavity"} <= set(panel.structures.segments())

    choices = panel.structures.choices("progression")
    segments = patient["masks"].GetSegmentation()
    later = segments.GetSegmentIdBySegmentName("lesion at progression (T2L)")
    ui.progressionComboBox.currentIndex = choices.index(later)

    ui.previewCheckBox.checked = True
    settled(lambda: "15 mm round CEL" in ui.previewLabel.text)
    ui.marginSlider.value = 5
    settled(lambda: ui.previewLabel.text.startswith("5 mm round"))

    ui.computeButton.click()
    result = panel.results.result
    assert result.names == ["CTV_RTOG", "CTV_EANO"]
    assert not panel.parameters.previewSegmentation.GetDisplayVisibility()
    assert ui.resultTable.rowCount == 2
    assert ui.resultTable.item(0, 2).text() not in ("–", ""), "it is compared with the progression"
    ui.view3dCheckBox.click()
    ui.differenceCheckBox.click()
    assert panel.parameters.difference.GetName() == "CTV_RTOG beyond CTV_EANO"
    before = boolean(mask_of(result, "CTV_EANO", grid_of(patient["t1c"]))).copy()

    (tmp_path / "bundles").mkdir()
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "bundles" / "scene.mrb"))
    application.open_bundle(tmp_path / "bundles" / "scene.mrb", tmp_path / "loaded")
    assert ui.resultTable.item(1, 0).text() == "CTV_EANO"
    assert panel.structures.segments()["progression"][1] == later

    assert "files of Slicer's DICOM database" in ui.seriesLabel.text
    ui.destinationComboBox.currentIndex = 1
    ui.checkButton.click()
    assert "✓ All structures lie on the slices." in ui.checkLabel.text
    ui.exportButton.click()
    assert ui.exportStatus.text.startswith(
        "Slicer's DICOM database, beside its images holds CTV_RTOG, CTV_EANO, Brain"
    ), ui.exportStatus.text
    *_, written = sorted((tmp_path / "database").iterdir())
    series = tmp_path / "series"
    series.mkdir()
    for path in sorted((tmp_path / "database").iterdir())[:-1]:
        (series / path.name).write_bytes(path.read_bytes())
    back = read_rtstruct(written, series)
    assert np.array_equal(boolean(back["CTV_EANO"]), before)
