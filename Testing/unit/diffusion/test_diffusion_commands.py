"""`dti` and `metabolites` on files, and on DICOM series of every vendor. All of it is simulated."""

import json
import shutil

import dicom_study as study
import diffusion_series as ds
import numpy as np
import pytest
from gliosuite.case import Case
from gliosuite.images import array, boolean, read_image, write_image

B, G = ds.scheme(ds.spread(12), 2, (600.0, 1200.0))


@pytest.fixture(scope="module")
def dwi(tmp_path_factory):
    """A series with its gradients beside it, and the ADC and FA that it was made of."""
    grid, adc, fa, s0 = ds.head()
    made = ds.series(grid, adc, fa, s0, B, G, np.random.default_rng(2), 3.0)
    return ds.write(tmp_path_factory.mktemp("dwi"), made, B, G), adc, fa, s0 > 0


def near(folder, adc, fa, inside, rtol=0.03, atol=0.04):
    found = {n: array(read_image(folder / f"{n}.nii.gz")) for n in ("adc", "fa")}
    at = inside & np.isfinite(found["adc"]) & (found["adc"] > 0)
    assert at.sum() > 0.9 * inside.sum()
    assert np.median(np.abs(found["adc"][at] / adc[at] - 1)) < rtol
    assert np.median(np.abs(found["fa"][at] - fa[at])) < atol


def test_gradients_are_taken_from_beside_the_image(dwi, tmp_path, gliosuite):
    path, adc, fa, inside = dwi
    code, out, err = gliosuite("dti", path, "--out", tmp_path / "out")
    assert code == 0, err
    near(tmp_path / "out", adc, fa, inside)
    said = json.loads(out)
    assert said["volumes"] == "2 with b = 0, 12 with b = 600 and 12 with b = 1200 s/mm2"
    assert said["settings"]["fit"] == "weighted"
    assert "b_values" not in said


def test_options_choose_fit_gradients_and_mask(dwi, tmp_path, gliosuite):
    path, adc, fa, inside = dwi
    shutil.copy(path, tmp_path / "plain.nii.gz")
    code, _, err = gliosuite("dti", tmp_path / "plain.nii.gz", "--out", tmp_path / "out")
    assert code == 2
    assert "has no .bval file beside it" in err
    write_image(ds.head()[0].image(inside), tmp_path / "m.nii.gz")
    words = (
        "--bval",
        path.with_name("dwi.bval"),
        "--bvec",
        path.with_name("dwi.bvec"),
        "--mask",
        tmp_path / "m.nii.gz",
    )
    code, out, err = gliosuite(
        "dti", tmp_path / "plain.nii.gz", *words, "--fit", "ordinary", "--b-max", 800, "--out", tmp_path / "out"
    )
    assert code == 0, err
    near(tmp_path / "out", adc, fa, inside)
    assert json.loads(out)["volumes"].endswith("b = 600 s/mm2")
    assert boolean(read_image(tmp_path / "out" / "mask.nii.gz"))[~inside].sum() == 0
    code, _, err = gliosuite("dti", path, "--bvec", path.with_name("dwi.bvec"), "--out", tmp_path / "o")
    assert (code, "--bval is needed too" in err) == (2, True)


def test_without_directions_there_is_adc_and_a_problem_is_told(dwi, tmp_path, gliosuite):
    path, _, _, _ = dwi
    code, _, err = gliosuite("dti", path, "--bval", path.with_name("dwi.bval"), "--out", tmp_path / "out")
    assert code == 3
    assert "problem: FA was not computed: no gradient directions are known" in err
    assert not (tmp_path / "out" / "fa.nii.gz").exists()
    assert (tmp_path / "out" / "adc.nii.gz").exists()


def test_b_values_in_another_unit_are_refused_and_nothing_is_written(dwi, tmp_path, gliosuite):
    path, *_ = dwi
    (tmp_path / "k.bval").write_text(" ".join(f"{v / 1000:g}" for v in B))
    code, out, err = gliosuite("dti", path, "--bval", tmp_path / "k.bval", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "were they given in ms/um2" in err
    assert not (tmp_path / "out").exists()


# --------------------------------------------------------------------------------------------------------------------- DICOM

# Directions are given in the patient's axes; the image lies askew.
ANGLES = (20.0, -10.0)
VENDORS = ["standard", "siemens", "siemens csa", "ge", "ge rows", "philips", "uih", "enhanced"]


def dicom(folder, vendor):
    """A DICOM series of a head, and the ADC and FA that it was made of."""
    grid, adc, fa, s0 = ds.head()
    made = ds.series(grid, adc, fa, s0, B, G, np.random.default_rng(3), 3.0)
    frames, g = np.rint(made.frames).astype(np.int16), [tuple(v) for v in G]
    if vendor == "enhanced":
        study.enhanced(folder, frames, study.Patient(), 1, b_values=B.tolist(), b_vectors=g, te_ms=80, tr_ms=7000,
                       flip_angle_deg=90, pulse="SPIN", echo_planar=True, angles=ANGLES)  # fmt: skip
    else:
        study.diffusion(folder, frames, B.tolist(), g, study.Patient(), 1, vendor, angles=ANGLES)
    return adc, fa, s0 > 0


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_dicom_series_of_every_vendor_gives_its_adc_and_fa(tmp_path, gliosuite, vendor):
    adc, fa, inside = dicom(tmp_path / "src", vendor)
    code, _, err = gliosuite("dti", tmp_path / "src", "--out", tmp_path / "out")
    assert code == 0, err
    near(tmp_path / "out", adc, fa, inside)


@pytest.mark.parametrize("vendor", ["siemens", "ge", "enhanced"])
def test_an_imported_series_gives_the_same_by_the_files_beside_it(tmp_path, gliosuite, vendor):
    dicom(tmp_path / "src", vendor)
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case")[0] == 0
    case = Case.load(tmp_path / "case")
    assert case.images == ("dti",)
    assert "b_vectors" not in case.acquisition("dti")
    assert case.beside("dti", ".bvec") is not None
    for source, out in ((case.path("dti"), "a"), (tmp_path / "src", "b")):
        assert gliosuite("dti", source, "--out", tmp_path / out)[0] == 0
    one, two = (array(read_image(tmp_path / n / "fa.nii.gz")) for n in "ab")
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_directions_come_out_in_the_patients_axes_whoever_wrote_them(tmp_path, gliosuite):
    vectors = {}
    for vendor in ("standard", "ge", "ge rows", "philips", "siemens csa"):
        dicom(tmp_path / vendor, vendor)
        assert gliosuite("import", tmp_path / vendor, "--out", tmp_path / f"{vendor} case")[0] == 0
        found = np.loadtxt(tmp_path / f"{vendor} case" / "images" / "dti.bvec")
        order = np.lexsort(found.round(3))
        vectors[vendor] = found[:, order]
    for vendor, found in vectors.items():
        np.testing.assert_allclose(found, vectors["standard"], atol=1e-3, err_msg=vendor)


def test_a_shorter_direction_of_ge_says_a_smaller_b_value(tmp_path):
    from gliosuite.dicom import read_dicom_series

    frames = np.stack([np.full((4, 5, 6), 100 + t, np.int16) for t in range(3)])
    g = [(0.0, 0.0, 0.0), (0.5**0.5, 0.0, 0.0), (0.0, 1.0, 0.0)]
    study.diffusion(tmp_path, frames, [0, 1000, 1000], g, study.Patient(), 1, "ge")
    known = read_dicom_series(tmp_path)[1]
    assert sorted(known["b_values"]) == pytest.approx([0, 500, 1000], rel=1e-3)
    assert np.linalg.norm(known["b_vectors"], axis=1) == pytest.approx([0, 1, 1], abs=1e-4)


def test_means_over_directions_in_one_series_with_them_are_no_second_series(tmp_path, gliosuite):
    grid, adc, fa, s0 = ds.head()
    b, g = np.append(B, [600.0, 1200.0]), np.vstack([G, np.zeros((2, 3))])
    made = ds.series(grid, adc, fa, s0, b, g, np.random.default_rng(3), 3.0)
    study.diffusion(
        tmp_path / "src",
        np.rint(made.frames).astype(np.int16),
        b.tolist(),
        [tuple(v) for v in g],
        study.Patient(),
        1,
        "philips",
    )
    code, out, err = gliosuite("dti", tmp_path / "src", "--out", tmp_path / "out")
    assert code == 0, err
    assert json.loads(out)["volumes"].startswith("2 with b = 0, 12 with")
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case")[0] == 0
    assert Case.load(tmp_path / "case").images == ("dti",)


# ---------------------------------------------------------------------------------------------------------------- metabolites


def test_metabolite_maps_give_indices(tmp_path, gliosuite):
    from Testing.unit.test_metabolites import spectra

    images, box, tumour, _ = spectra()
    for name, image in images.items():
        write_image(image, tmp_path / f"{name}.nii.gz")
    words = [w for n in ("cho", "cre", "naa") for w in (f"--{n}", tmp_path / f"{n}.nii.gz")]
    code, out, err = gliosuite("metabolites", *words, "--out", tmp_path / "out")
    assert code == 0, err
    cni = array(read_image(tmp_path / "out" / "cni.nii.gz"))
    assert np.array_equal(np.isfinite(cni), box)
    assert cni[tumour].min() > 10
    assert json.loads(out)["box_voxels"] == box.sum()
    code, _, err = gliosuite("metabolites", *words[:2], "--out", tmp_path / "o")
    assert (code, "two at least of --cho --cre --naa" in err) == (2, True)
