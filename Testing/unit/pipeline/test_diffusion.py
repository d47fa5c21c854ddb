"""ADC and FA of a raw series, and indices of metabolite maps, as steps of a run. The patient is simulated."""

import json
import shutil

import diffusion_series as ds
import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.case import Case
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, read_image, write_image
from gliosuite.pipeline import STEPS, RunSettings, run_case
from gliosuite.pipeline.seen import Files
from gliosuite.pipeline.step import kept
from gliosuite.simulate import simulate_case

QUICK = RunSettings(spacing_mm=3.0, motion=False, skip=("progression", "rt", "t1", "t2"))
B, G = ds.scheme(ds.spread(12), 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A case with a diffusion series in place of ADC and FA and with peaks in place of indices, the results, and the ADC and FA."""
    folder = tmp_path_factory.mktemp("diffusion")
    patient = simulate_case(1690102, grid_mm=3.0, scans=("structural", "diffusion", "mrsi"))
    patient.write(folder / "case", masks=("brain", "cel", "t2l", "cavity"))
    data = json.loads((folder / "case" / "case.json").read_text())
    truth = {n: read_image(folder / "case" / data["images"].pop(n)["path"]) for n in ("adc", "fa")}
    adc, fa = (array(truth[n]) for n in ("adc", "fa"))
    s0 = np.where(adc > 0, 1000 * np.exp(-0.3e3 * adc), 0)
    rng = np.random.default_rng(6)
    series = ds.series(Grid.of(truth["adc"]), adc, np.clip(fa, 0, 0.95), s0, B, G, rng, 10.0)
    ds.write(folder / "case", series, B, G, "dti")
    data["images"]["dti"] = {"path": "dti.nii.gz"}
    for name in ("cni", "ccri", "crni"):
        data["images"].pop(name)
    # A scanner fills up the image around the box.
    for name in ("cho", "cre", "naa", "lac", "lip"):
        path = folder / "case" / data["images"][name]["path"]
        write_image(sitk.ConstantPad(read_image(path), (3, 3, 3), (3, 3, 3), 0.0), path)
    (folder / "case" / "case.json").write_text(json.dumps(data))
    case = Case.load(folder / "case")
    return case, folder / "out", run_case(case, folder / "out", QUICK), truth


def step(summary, name):
    return next(s for s in summary["steps"] if s["step"] == name)


def test_a_run_makes_adc_and_fa_of_the_series(made):
    _, out, summary, truth = made
    record = step(summary, "dti")
    assert record["status"] == "done", record
    assert record["summary"]["volumes"] == "2 with b = 0 and 12 with b = 1000 s/mm2"
    inside = boolean(read_image(out / "dti" / "mask.nii.gz"))
    for name, close in (("adc", 0.06e-3), ("fa", 0.06)):
        native, true = array(read_image(out / "dti" / f"{name}.nii.gz")), array(truth[name])
        at = inside & (array(truth["adc"]) > 0)
        assert np.median(np.abs(native[at] - true[at])) < close, name
        carried = read_image(out / "dti" / "on_t1c" / f"{name}.nii.gz")
        assert Grid.of(carried).matches(Grid.of(read_image(out / "registered" / "t1c.nii.gz")))
    assert step(summary, "registered")["summary"]["dti"]["verdict"] != "refused"
    assert any("Movement between the volumes" in n for n in record["notes"])


def test_the_report_shows_both_maps_and_how_the_volumes_fit(made):
    _, out, _, _ = made
    page = (out / "report.html").read_text()
    section = page[page.index(">Diffusion<") :]
    assert section.index("<img") < section.index("How each volume fits the tensors")
    assert "2 with b = 0 and 12 with b = 1000 s/mm2" in section
    assert "fractional anisotropy" in page or "FA" in section
    rows = (out / "regions.csv").read_text()
    assert "\nadc," in rows or "adc" in rows


def test_recurrence_looks_at_maps_that_the_run_made(made):
    _, out, summary, _ = made
    record = step(summary, "recurrence")
    assert record["summary"]["kinds"] == ["anatomy", "diffusion", "spectroscopy"]
    assert {"adc", "fa", "cni", "ccri", "crni"} <= set(record["summary"]["channels"])
    cni = array(read_image(out / "recurrence" / "spectroscopy" / "cni.nii.gz"))
    cho = array(read_image(out / "recurrence" / "spectroscopy" / "cho.nii.gz"))
    assert np.isnan(cni[:3]).all()
    assert np.isnan(cho[:, :, -3:]).all()
    assert np.isfinite(cni[3:-3, 3:-3, 3:-3]).all()
    assert any("cni, ccri, crni: SDs from the line of normal tissue" in n for n in record["notes"])


def test_its_own_adc_goes_before_that_of_the_series(made, tmp_path):
    from gliosuite.recurrence.results import gathered

    _, out, _, _ = made
    shutil.copytree(out, tmp_path / "out")
    image = read_image(out / "registered" / "t1c.nii.gz")
    own = Grid.of(image).image(np.full(Grid.of(image).shape, 7.0, np.float32))
    write_image(own, tmp_path / "out" / "registered" / "adc.nii.gz")
    find = lambda *parts: path if (path := (tmp_path / "out").joinpath(*parts)).exists() else None
    found = gathered(find)
    assert np.nanmedian(found.images["adc"]) == 7
    assert np.nanmedian(found.images["fa"]) < 1


def test_what_lies_beside_the_series_is_seen(made, tmp_path):
    case, out, _, _ = made
    steps = [s for s in STEPS if s.note(out).exists()]
    again = lambda c: {s.name for s in steps if kept(s, c, out, QUICK, Files()) is None}
    shutil.copytree(case.folder, tmp_path / "case")
    assert again(Case.load(tmp_path / "case")) == set()
    (tmp_path / "case" / "dti.bvec").write_text("\n".join(" ".join(f"{v:.6f}" for v in r) for r in -G.T))
    assert again(Case.load(tmp_path / "case")) == {"registered", "dti"}


@pytest.mark.parametrize(
    "broken, sentence", [("bval", "no b_values and no .bval file"), ("count", "14 volumes and there are 13")]
)
def test_gradients_that_do_not_fit_stop_a_run_before_anything_is_done(made, tmp_path, broken, sentence):
    case, *_ = made
    shutil.copytree(case.folder, tmp_path / "case")
    if broken == "bval":
        (tmp_path / "case" / "dti.bval").unlink()
    else:
        (tmp_path / "case" / "dti.bval").write_text(" ".join(f"{v:g}" for v in B[:-1]))
        (tmp_path / "case" / "dti.bvec").unlink()
    with pytest.raises(InputError, match=sentence):
        run_case(Case.load(tmp_path / "case"), tmp_path / "out", QUICK)
    assert not (tmp_path / "out").exists()


def test_options_of_a_case_give_gradients(made, tmp_path, gliosuite):
    case, *_ = made
    shutil.copy(case.path("dti"), tmp_path / "plain.nii.gz")
    words = ("--t1c", case.path("t1c"), "--dti", tmp_path / "plain.nii.gz", "--out", tmp_path / "case")
    files = [case.path("dti").with_name(f"dti.{e}") for e in ("bval", "bvec")]
    code, _, err = gliosuite("case", *words, "--dti-bval", files[0], "--dti-bvec", files[1])
    assert code == 0, err
    known = Case.load(tmp_path / "case").acquisition("dti")
    np.testing.assert_allclose(known["b_vectors"], G, atol=1e-5)
    assert known["b_values"] == B.tolist()
    code, _, err = gliosuite("case", *words[:-1], tmp_path / "unknown")
    assert "has no .bval file beside it; --dti-bval is needed" in err
    code, _, err = gliosuite("case", *words[:2], "--dti-bval", files[0], "--out", tmp_path / "c2")
    assert (code, "--dti-bval belongs to --dti" in err) == (2, True)
