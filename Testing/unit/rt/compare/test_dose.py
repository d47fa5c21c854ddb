"""Dose files in every layout, and histograms of a sphere in a dose that rises along x, whose shares are caps of the sphere."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_series import rotated, save, uid, write_dose
from gliosuite.errors import InputError
from gliosuite.images import Grid, array
from gliosuite.rt.compare import dvh, read_dose
from scipy.optimize import brentq

RADIUS, SLOPE = 15.3, 2.0  # mm, Gy/mm
EYE = tuple(np.eye(3).ravel())


def points(grid):
    index = np.indices(grid.shape)[::-1].reshape(3, -1).T * grid.spacing
    return index @ np.reshape(grid.direction, (3, 3)).T + grid.origin


def sphere(spacing, centre):
    size = tuple(int(v) for v in np.ceil(2 * (RADIUS + 6) / np.asarray(spacing)))
    origin = tuple(np.asarray(centre) - (np.asarray(size) / 2 - 0.3) * spacing)
    grid = Grid(size, tuple(spacing), origin, EYE)
    return grid.image((np.linalg.norm(points(grid) - centre, axis=1) <= RADIUS).reshape(grid.shape))


def ramp(centre, direction=EYE):
    """60 Gy at `centre`, rising along x."""
    grid = Grid((36, 36, 36), (2.5, 2.5, 2.5), (0.0, 0.0, 0.0), direction)
    shift = np.asarray(centre) - points(grid).mean(axis=0)
    grid = Grid(grid.size, grid.spacing, tuple(shift), direction)
    return grid.image((60 + SLOPE * (points(grid) - centre)[:, 0]).reshape(grid.shape).astype(np.float32))


def share_above(a):
    """Share of the sphere with x >= a."""
    return np.pi * (RADIUS - a) ** 2 * (2 * RADIUS + a) / 3 / (4 / 3 * np.pi * RADIUS**3)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (3.0, 3.0, 3.0)])
@pytest.mark.parametrize("direction", [EYE, tuple(rotated(18, -7, 4).ravel())], ids=["axial", "oblique"])
def test_histogram_of_a_sphere_in_a_ramp(spacing, direction):
    centre = np.array([4.1, -7.3, 12.9])
    result = dvh(ramp(centre, direction), sphere(spacing, centre))
    for percent in (98, 50, 2):
        exact = 60 + SLOPE * brentq(lambda a, p=percent: share_above(a) - p / 100, -RADIUS, RADIUS)
        # A quarter of a millimetre is what the voxels of the mask themselves are uncertain by.
        assert result.dose_at(percent) == pytest.approx(exact, abs=0.27 * SLOPE)
    assert result.mean_gy == pytest.approx(60, abs=0.3)
    for dose in (50, 57, 70):
        assert result.volume_at(dose) == pytest.approx(100 * share_above((dose - 60) / SLOPE), abs=1.2)
    assert result.outside_percent == 0


def test_parts_of_voxels_count():
    """On a 3 mm grid, voxel centres alone miss D2 by more than a voxel's half; points within the surface do not."""
    centre = np.zeros(3)
    mask = sphere((3.0, 3.0, 3.0), centre)
    exact = 60 + SLOPE * brentq(lambda a: share_above(a) - 0.02, -RADIUS, RADIUS)
    inside = array(mask, bool).ravel()
    centres = np.percentile(60 + SLOPE * points(Grid.of(mask))[inside, 0], 98)
    assert abs(dvh(ramp(centre), mask).dose_at(2) - exact) < 0.3 * abs(centres - exact)


def test_uniform_dose_and_summary():
    grid = Grid((20, 20, 20), (3.0, 3.0, 3.0), (0.0,) * 3, EYE)
    mask = np.zeros(grid.shape, bool)
    mask[8:12, 8:12, 8:12] = True
    dose = grid.image(np.full(grid.shape, 58.0, np.float32))
    summary = dvh(dose, grid.image(mask)).summary(60.0)
    assert summary["volume_cc"] == pytest.approx(64 * 27 / 1000)
    assert summary["mean_gy"] == pytest.approx(58)
    assert [summary[k] for k in ("d98_gy", "d50_gy", "d2_gy")] == pytest.approx([58] * 3, abs=0.06)
    assert summary["v95_percent"] == 100
    assert dvh(dose, grid.image(mask)).summary(62.0)["v95_percent"] == 0, "58 Gy is below 95 % of 62 Gy"


def test_what_lies_beyond_the_dose_grid_has_no_dose_and_is_told():
    grid = Grid((20, 20, 20), (3.0, 3.0, 3.0), (0.0,) * 3, EYE)
    longer = Grid((20, 20, 40), grid.spacing, grid.origin, EYE)
    mask = np.zeros(longer.shape, bool)
    mask[16:24, 8:12, 8:12] = True
    result = dvh(grid.image(np.full(grid.shape, 60.0, np.float32)), longer.image(mask))
    assert result.outside_percent == pytest.approx(50, abs=1)
    assert result.volume_at(59) == pytest.approx(50, abs=1)
    far = Grid((20, 20, 20), grid.spacing, (500.0, 0.0, 0.0), EYE)
    with pytest.raises(InputError, match="lies beyond the dose grid altogether"):
        dvh(grid.blank(sitk.sitkFloat32), far.image(mask[:20]))
    with pytest.raises(InputError, match="without voxels has no dose"):
        dvh(grid.blank(sitk.sitkFloat32), grid.blank())


@pytest.mark.parametrize("axes", ["axial", "oblique", "feet first"])
@pytest.mark.parametrize("layout", ["relative", "positions", "descending"])
def test_a_dose_file_is_read_where_it_lies(tmp_path, axes, layout):
    from dicom_series import AXES

    if layout == "positions" and axes == "oblique":
        pytest.skip("positions along z are defined for transverse planes alone (PS3.3 C.8.8.3.2)")
    direction = tuple(AXES[axes].ravel())
    grid = Grid((12, 10, 8), (2.0, 2.5, 3.0), (-10.0, 4.0, 33.0), direction)
    values = np.random.default_rng(3).uniform(0, 70, grid.shape)
    write_dose(tmp_path / "rd.dcm", grid, values, layout=layout)
    dose = read_dose(tmp_path / "rd.dcm")
    assert Grid.of(dose.image).matches(grid, 1e-3)
    assert np.abs(array(dose.image) - values).max() < 2e-3
    assert dose.frame_of_reference == uid("Stand-In frame of reference")
    assert dose.patient_id == "Stand-In"


def test_what_is_no_dose_is_refused(tmp_path):
    grid = Grid((6, 6, 4), (2.0, 2.0, 2.0), (0.0,) * 3, EYE)

    def spoiled(change):
        write_dose(tmp_path / "rd.dcm", grid, np.ones(grid.shape))
        d = pydicom.dcmread(tmp_path / "rd.dcm")
        change(d)
        save(d, tmp_path / "rd.dcm")
        return tmp_path / "rd.dcm"

    with pytest.raises(InputError, match=r"nothing\.dcm does not exist"):
        read_dose(tmp_path / "nothing.dcm")
    (tmp_path / "text.dcm").write_text("no dose" * 100)
    with pytest.raises(InputError, match=r"text\.dcm is not a DICOM file"):
        read_dose(tmp_path / "text.dcm")
    with pytest.raises(InputError, match="is a DICOM object of modality MR"):
        read_dose(
            spoiled(lambda d: (setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.4"), setattr(d, "Modality", "MR")))
        )
    with pytest.raises(InputError, match="holds doses in RELATIVE; doses in GY are needed"):
        read_dose(spoiled(lambda d: setattr(d, "DoseUnits", "RELATIVE")))
    write_dose(tmp_path / "none.dcm", grid, np.zeros(grid.shape))
    with pytest.raises(InputError, match=r"none\.dcm is 0 Gy everywhere"):
        read_dose(tmp_path / "none.dcm")
    write_dose(tmp_path / "cgy.dcm", grid, np.full(grid.shape, 6000.0))
    (caveat,) = read_dose(tmp_path / "cgy.dcm").caveats
    assert caveat.endswith("Gy, as one in cGy would be; look at its DoseGridScaling")
    with pytest.raises(InputError, match=r"holds the difference of two doses \(DoseType ERROR\)"):
        read_dose(spoiled(lambda d: setattr(d, "DoseType", "ERROR")))
    assert read_dose(spoiled(lambda d: None)).caveats == ()
    assert read_dose(spoiled(lambda d: setattr(d, "DoseType", "EFFECTIVE"))).caveats == (
        "it is an effective dose (DoseType EFFECTIVE), not a physical one",
    )
    for kind in ("BEAM", "FRACTION", "BRACHY", "CONTROL_POINT", "MULTI_PLAN", "NEW_KIND"):
        (caveat,) = read_dose(spoiled(lambda d, kind=kind: setattr(d, "DoseSummationType", kind))).caveats
        assert caveat.endswith(f"(DoseSummationType {kind}), not of one whole plan")
    with pytest.raises(InputError, match="has no DoseGridScaling"):
        read_dose(spoiled(lambda d: delattr(d, "DoseGridScaling")))
    with pytest.raises(InputError, match="planes are not evenly spaced"):
        read_dose(spoiled(lambda d: setattr(d, "GridFrameOffsetVector", ["0", "2", "5", "6"])))
    with pytest.raises(InputError, match="has 4 planes and 3 plane offsets"):
        read_dose(spoiled(lambda d: setattr(d, "GridFrameOffsetVector", ["0", "2", "4"])))
    with pytest.raises(InputError, match="its dose values cannot be read"):
        read_dose(spoiled(lambda d: setattr(d, "PixelData", b"\0" * 10)))
