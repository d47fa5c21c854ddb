"""An image and the DICOM series that the case names for it lie in one place, or no contour goes from one to the other."""

import json

import dicom_study as ds
import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.case import Case
from gliosuite.dicom.geometry import read_stack
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, read_image, resample, write_image
from gliosuite.pipeline.context import Run, RunSettings
from gliosuite.pipeline.run import run_case
from gliosuite.pipeline.structure import carried_mask, require_same_place
from gliosuite.rt.rtstruct import Roi, write_rtstruct


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A folder with a DICOM series of a head, the image of it, and masks of brain and lesion."""
    folder = tmp_path_factory.mktemp("head")
    z, y, x = np.indices((30, 44, 40))
    far = ((z - 14.5) / 13) ** 2 + ((y - 21.5) / 20) ** 2 + ((x - 19.5) / 17) ** 2
    brain, cel = far < 0.8, (z - 16) ** 2 + (y - 22) ** 2 + (x - 12) ** 2 < 16
    noise = np.random.default_rng(0).normal(0, 10, far.shape)
    values = np.clip((far < 1) * 200 + brain * 300 + cel * 300 + noise, 0, None).astype(np.int16)
    ds.classic(folder / "series", values, ds.Patient(), 5, ds.T1 | ds.GADOLINIUM, spacing=(4, 4, 4))
    grid = read_stack(folder / "series").grid
    write_image(grid.image(values.astype(np.float32)), folder / "t1c.nii.gz")
    write_image(grid.image(brain), folder / "brain.nii.gz")
    write_image(grid.image(cel), folder / "cel.nii.gz")
    write_rtstruct(folder / "RS.dcm", folder / "series", [Roi("GTV", grid.image(cel), "GTV")])
    return folder


def case_of(head, folder, image, cel):
    write_image(image, folder / "t1c.nii.gz")
    data = {
        "images": {"t1c": {"path": "t1c.nii.gz"}},
        "masks": {"brain": str(head / "brain.nii.gz"), "cel": cel},
        "dicom": {"t1c": str(head / "series")},
    }
    (folder / "case.json").write_text(json.dumps(data))
    return Case.load(folder)


def moved(image, mm):
    result = sitk.Image(image)
    result.SetOrigin([image.GetOrigin()[0] + mm, *image.GetOrigin()[1:]])
    return result


def shaded(image):
    x = np.linspace(0.6, 1.4, image.GetSize()[0])
    return Grid.of(image).image((array(image) * x).astype(np.float32))


@pytest.mark.parametrize(
    ("change", "there"),
    [
        (lambda i: i, True),
        (lambda i: sitk.DICOMOrient(i, "RAI"), True),
        (lambda i: resample(i, Grid.of(i).isotropic(3.0)), True),
        (lambda i: shaded(resample(i, Grid.of(i).isotropic(3.0))), True),
        (lambda i: sitk.RegionOfInterest(i, [20, 30, 20], [4, 6, 5]), True),
        (lambda i: moved(i, 3.0), False),
        (lambda i: moved(resample(i, Grid.of(i).isotropic(3.0)), 3.0), False),
        (lambda i: moved(i, 300.0), False),
    ],
    ids=["same", "turned axes", "resampled", "shaded", "cropped", "3 mm off", "resampled, 3 mm off", "elsewhere"],
)
def test_an_image_lies_where_its_series_does_or_is_refused(head, tmp_path, change, there):
    case = case_of(head, tmp_path, change(read_image(head / "t1c.nii.gz")), str(head / "cel.nii.gz"))
    stack = read_stack(head / "series")
    if there:
        require_same_place(case, "t1c", stack)
    else:
        with pytest.raises(InputError, match=r"t1c\.nii\.gz \(t1c\) does not lie where its DICOM series does"):
            require_same_place(case, "t1c", stack)


def test_a_structure_set_is_not_written_beside_its_images(head, tmp_path):
    case = case_of(head, tmp_path, moved(read_image(head / "t1c.nii.gz"), 8.0), str(head / "cel.nii.gz"))
    settings = RunSettings(spacing_mm=2.0, schemes=("eortc",), skip=("registered", "recurrence"))
    made = run_case(case, tmp_path / "out", settings)
    assert any("The RT structure set was not written: t1c.nii.gz (t1c) does not lie where" in s for s in made["losses"])
    assert (tmp_path / "out" / "rt" / "CTV_EORTC.nii.gz").exists()
    assert not (tmp_path / "out" / "rt" / "RS.dcm").exists()


def test_a_structure_is_not_carried_to_an_image_that_lies_elsewhere(head, tmp_path):
    roi = {"path": str(head / "RS.dcm"), "roi": "GTV"}
    case = case_of(head, tmp_path, moved(read_image(head / "t1c.nii.gz"), 8.0), roi)
    with pytest.raises(InputError, match="does not lie where its DICOM series does"):
        carried_mask(Run(case, tmp_path / "out", RunSettings()), "cel")
