"""What is installed and what each missing piece switches off."""

import sys

import pytest
from gliosuite import doctor


def test_a_missing_package_says_what_it_switches_off_and_how_to_get_it(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    sentences = doctor.switched_off()
    assert any(s.startswith("matplotlib is missing: no pictures") and "pip install matplotlib" in s for s in sentences)
    assert any(s.startswith("radiomics is missing: radiomic features are off") for s in sentences)


def test_radiomics_is_there_on_python_3_11(missing):
    if sys.version_info[:2] != (3, 11):
        pytest.skip("pyradiomics 3.0.1 builds on Python 3.11 only")
    if not next(f for f in doctor.examine() if f.piece.name == "radiomics").found:
        missing("pyradiomics is not installed; make test builds it where there is a C compiler")
    from radiomics import featureextractor

    assert featureextractor.RadiomicsFeatureExtractor().enabledFeatures


def test_slicer_is_slicer_core_and_not_the_package_of_shap():
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    assert hasattr(slicer, "vtkMRMLScene")
