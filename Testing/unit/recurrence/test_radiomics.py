"""Radiomic features against pyradiomics itself, and what is said of maps that do not suit them."""

import csv
import json
import sys

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, write_image
from gliosuite.recurrence import radiomics
from gliosuite.recurrence.settings import RadiomicsSettings
from scipy import ndimage

GRID = Grid.made((50, 46, 41), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
Z, Y, X = np.indices(GRID.shape)
R = np.sqrt((Z - 20) ** 2 + (Y - 22) ** 2 + (X - 25) ** 2)
CEL, T2L = R < 6, R < 10
# float32, as maps are kept.
VALUES = (1.5 + 5 * ndimage.gaussian_filter(np.random.default_rng(8).standard_normal(GRID.shape), 1)).astype(np.float32)


@pytest.fixture
def there(missing):
    if sys.version_info[:2] != (3, 11):
        pytest.skip("pyradiomics 3.0.1 builds on Python 3.11 only")
    try:
        import radiomics  # noqa: F401
    except ImportError:
        missing("pyradiomics is not installed; make test builds it where there is a C compiler")


def measured(values=VALUES, cel=CEL, nel=T2L, **settings):
    images = (GRID.image(v) for v in (values, cel, nel))
    return radiomics.measure(*images, GRID, RadiomicsSettings(**settings))


def test_features_are_those_of_pyradiomics_on_the_whole_image(there):
    from radiomics import featureextractor

    found = measured()
    assert len(found.features) == 1702
    assert {n[:3] for n in found.features} == {"CE_", "NE_"}
    extractor = featureextractor.RadiomicsFeatureExtractor(binWidth=5, additionalInfo=False)
    extractor.enableAllFeatures()
    extractor.enableImageTypes(Original={}, Wavelet={})
    known = extractor.execute(GRID.image(100.0 * VALUES.astype(np.float64)), GRID.image(T2L & ~CEL))
    assert len(known) == 851
    for name, value in known.items():
        mine = found.features["NE_" + name.replace("wavelet-", "wavelet_")]
        assert mine == pytest.approx(float(value), rel=1e-6, abs=1e-9), name
    # What the published score takes.
    assert {
        "CE_wavelet_LHH_glcm_MCC",
        "CE_wavelet_HHH_gldm_DependenceNonUniformity",
        "NE_wavelet_LLL_firstorder_Kurtosis",
    } <= set(found.features)
    assert found.volumes_cc == pytest.approx({"CE": CEL.sum() / 1000, "NE": (T2L & ~CEL).sum() / 1000})
    assert found.notes == []


def test_few_grey_levels_are_said(there):
    found = measured(scale=1.0)
    assert max(found.bins.values()) < 16
    assert found.notes[0].startswith(
        f"CE: the map has {found.bins['CE']} grey levels of width 5 there, too few for textures"
    )
    assert "(--scale)" in found.notes[0]


def test_grey_levels_are_counted_from_multiples_of_their_width():
    assert radiomics._bins(np.array([4.9, 5.1]), 5.0) == 2
    assert radiomics._bins(np.array([5.0, 9.9]), 5.0) == 1


def test_voxels_without_a_value_are_left_out(there):
    values = VALUES.copy()
    values[20, 22, 24:27] = np.nan
    found = measured(values)
    assert found.notes == [f"CE: 3 of {CEL.sum()} voxels have no value in the map and are left out"]
    assert np.isfinite(list(found.features.values())).all()
    assert found.features["CE_original_firstorder_Mean"] == pytest.approx(np.nanmean(100 * values[CEL]), rel=1e-6)


def test_voxels_that_were_not_fitted_are_said(there):
    values = np.where(X > 27, 0, VALUES)
    zero = int((CEL & (X > 27)).sum())
    assert (
        measured(values)
        .notes[0]
        .startswith(f"CE: {zero} of {CEL.sum()} voxels are 0 in the map, as voxels are that were not fitted")
    )


def test_a_lesion_at_the_image_s_end_takes_the_whole_axis():
    inside = np.zeros(GRID.shape, bool)
    inside[3:9, 20:25, 20:25] = True
    assert radiomics._around(inside) == (slice(0, 41), slice(12, 33), slice(12, 33))


def test_what_cannot_be_measured_is_said(there, monkeypatch):
    with pytest.raises(InputError, match=r"CE: 7 voxels of 1 mm have a value; 27 at least are needed"):
        measured(cel=R < 1.1)
    with pytest.raises(InputError, match="scale is 0; more than 0 is needed"):
        RadiomicsSettings(scale=0.0)
    monkeypatch.setitem(sys.modules, "radiomics", None)
    with pytest.raises(InputError, match="pyradiomics is needed for radiomic features"):
        measured()


def test_the_command_writes_one_row(there, gliosuite, tmp_path):
    for name, values in (("cbv", VALUES), ("cel", CEL), ("nel", T2L & ~CEL)):
        write_image(GRID.image(values), tmp_path / f"{name}.nii.gz")
    given = [w for n in ("cbv", "cel", "nel") for w in (f"--{n}", tmp_path / f"{n}.nii.gz")]
    code, said, err = gliosuite("radiomics", *given, "--grid-mm", "2", "--out", tmp_path / "out" / "features.csv")
    assert code == 0, err
    with (tmp_path / "out" / "features.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert len(row) == 1702
    record = json.loads((tmp_path / "out" / "features.json").read_text())
    assert record["grey_levels"]["NE"] > 16
    assert record["settings"]["grid_mm"] == 2
    # Half the resolution: the same lesion to a few voxels.
    assert record["volumes_cc"]["CE"] == pytest.approx(CEL.sum() / 1000, rel=0.1)
    assert json.loads(said)["features"] == 1702
    code, _, err = gliosuite("radiomics", *given, "--out", tmp_path / "features.txt")
    assert code == 2
    assert "it must end in .csv" in err
