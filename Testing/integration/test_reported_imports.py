"""Series and files that users reported, as they were handed in: what an import makes of them."""

import json
import tarfile

import numpy as np
import pytest
from gliosuite.case import Case
from gliosuite.errors import InputError
from gliosuite.images import read_image, read_series


@pytest.fixture
def imported(data, tmp_path, gliosuite):
    def run(name: str):
        with tarfile.open(data(f"reported-cases/{name}.tar.gz")) as archive:
            archive.extractall(tmp_path / "src")
        code, text, err = gliosuite("import", tmp_path / "src", "--out", tmp_path / "case", "--quiet")
        return code, (Case.load(tmp_path / "case"), json.loads(text)) if code == 0 else None, err

    return run


@pytest.mark.parametrize(
    "name",
    [
        "series-split-by-rounding/S_iop_edge",
        "midnight-order/B_midnight_samedate",
        "magnitude-phase-one-series/F2_ge_mag_phase_real_imag",
        "whole-second-clock/A_wholesec",
        "whole-second-clock/A2_wholesec_tempres",
        "unclear-messages/P_pmc_shift",
    ],
)
def test_one_series_in_order_with_its_times(imported, name):
    code, found, err = imported(name)
    assert code == 0, err
    case, result = found
    assert case.images == ("dsc",)
    assert [r["role"] for r in result["visits"][0]["series"]] == ["dsc", None][: 1 + ("mag_phase" in name)]
    series = case.series("dsc")
    assert series.frames.shape[:2] == (20, 4)
    np.testing.assert_allclose(case.acquisition("dsc")["times_s"], 1.5 * np.arange(20), atol=1e-3)
    assert int(series.frames.mean(axis=(1, 2, 3)).argmin()) == 9
    assert ("lie up to 0.68 mm apart" in err) == ("pmc" in name)


def test_the_dimensions_of_an_enhanced_file_tell_the_order(imported):
    code, (case, _), err = imported("magnitude-phase-one-series/N6_enh_shuffle_dims_only")
    assert code == 0
    assert "the order of its frames" not in err
    steps = np.diff(case.series("dce").frames.mean(axis=(1, 2, 3)))
    assert np.sign(steps).tolist() == [0] * 4 + [-1] * 3 + [1] * 4  # a baseline, and one bolus


def test_a_field_map_has_no_role(imported):
    _, (case, result), _ = imported("fieldmap-as-t1/B0_map_classic")
    assert case.images == ("t1",)
    assert {r["series"]: r["role"] for r in result["visits"][0]["series"]} == {"7": None, "9": "t1"}


def test_files_that_are_there_twice_are_said(imported):
    code, _, err = imported("unclear-messages/Q_copies")
    assert code == 2
    assert "are the same image (and 11 more pairs); remove one of them" in err


@pytest.mark.parametrize(
    "name, said",
    [
        ("nifti2.nii.gz", "is a NIfTI-2 file"),
        ("m_trunc.mha", "is truncated: 35800 bytes of voxels found, 36000 needed"),
        ("rgb.nii", "holds colours"),
        ("dsc_complex.nii.gz", "holds complex numbers"),
        ("../sheared-nrrd/sheared.nrrd", "is sheared: its axes are not at right angles"),
    ],
)
def test_files_that_would_be_read_as_something_else_are_refused(data, name, said):
    for read in (read_image, read_series):
        with pytest.raises(InputError, match=said):
            read(data(f"reported-cases/unclear-messages/{name}"))
