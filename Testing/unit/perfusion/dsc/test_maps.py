from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.files import read_json
from gliosuite.images import Grid, Series, array, boolean
from gliosuite.perfusion.aif import Aif
from gliosuite.perfusion.dsc import DscPicking, DscSettings, dsc_aif, dsc_maps, perfusion_maps, write
from gliosuite.perfusion.kinetics import convolve
from gliosuite.perfusion.signal import BLOOD_R2STAR

GRID = Grid((32, 32, 6), (6.0, 6.0, 6.0), (-93.0, -93.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
DT = 1.5
TIMES = DT * np.arange(60)
SETTINGS = DscSettings(te_ms=30.0, tr_ms=1500.0)
# The phantom's artery changes R2* in proportion to its agent, as strongly as tissue does.
PROPORTIONAL = {"aif_r2star": "linear", "tissue_r2star": BLOOD_R2STAR[0]}


def bolus():
    u = np.maximum(TIMES - 20, 0)
    # A tail that falls to 0, so that non-enhancing tissue returns to its baseline.
    return 60 * (u / 4.5) ** 3 * np.exp(3 - u / 1.5)


@pytest.fixture(scope="module")
def phantom():
    """A head: white matter (cbv 2) in a shell of grey (4), a leaky lesion (6), an artery; signal at TE 30 ms."""
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij")
    radius = ((x - 15.5) / 14) ** 2 + ((y - 15.5) / 15) ** 2
    head = radius < 1
    lesion = ((x - 22) ** 2 + (y - 15) ** 2 < 12) & (z > 0) & (z < 5)
    artery = (x > 8) & (x < 11) & (y > 7) & (y < 10)
    cbv = np.where(lesion, 6.0, np.where(radius > 0.7, 4.0, 2.0))
    through = convolve(TIMES, bolus(), 15.0)[0] * 15.0
    curves = cbv[head][:, None] / 100 * through
    leak = 60 * convolve(TIMES, 0.02 * through, 0.0)[0]
    curves[lesion[head]] -= 0.05 * leak
    curves[artery[head]] = 0.5 * bolus()
    frames = np.zeros((60, *GRID.shape), np.float32)
    frames[:, head] = 800 * np.exp(-0.03 * curves.T)
    frames = np.abs(frames + rng.normal(0, 4, frames.shape)).astype(np.float32)
    frames[0] *= 1.3
    frames[1] *= 1.1
    return frames, cbv, head, lesion, artery


def series(frames):
    return Series(frames.copy(), GRID, "dsc.nii.gz")


def test_volume_and_leakage_are_right(phantom):
    frames, cbv, head, lesion, artery = phantom
    aif = GRID.image(artery)
    for leakage, tolerance in (("bsw", 0.06), ("bidirectional", 0.06), ("residue", 0.06)):
        settings = DscSettings(te_ms=30.0, leakage=leakage, **PROPORTIONAL)
        result = dsc_maps(series(frames), TIMES, settings, aif, GRID.image(head), lesion=GRID.image(lesion))
        found = array(result.maps["cbv"]) / 2  # the artery holds half of the bolus
        assert np.median(found[lesion]) == pytest.approx(6.0, rel=tolerance), leakage
        some = head & ~lesion & ~artery
        assert np.median(found[some] / cbv[some]) == pytest.approx(1.0, rel=tolerance), leakage
        assert np.median(array(result.maps["k2"])[lesion]) > 0
    raw = dsc_maps(
        series(frames),
        TIMES,
        DscSettings(te_ms=30.0, leakage="none", deconvolution="osvd", **PROPORTIONAL),
        aif,
        GRID.image(head),
    )
    assert np.median(array(raw.maps["cbv"])[lesion]) / 2 < 4.5
    assert "k1" not in raw.maps


def test_automatic_aif_arrival_and_steady_state(phantom):
    frames, _, _, _, artery = phantom
    aif = dsc_aif(series(frames), TIMES, SETTINGS)
    assert artery[aif.voxels].mean() >= 0.9
    result = dsc_maps(series(frames), TIMES, SETTINGS)
    assert result.bolus.steady == 2
    assert abs(TIMES[result.bolus.arrival] - 21.0) <= DT
    assert any("first 2 frames" in n for n in result.notes)


def test_psr_and_peak_height(phantom):
    frames, _, head, lesion, artery = phantom
    result = dsc_maps(series(frames), TIMES, SETTINGS, GRID.image(artery), GRID.image(head))
    psr, ph = array(result.maps["psr"]), array(result.maps["ph"])
    normal = head & ~lesion & ~artery
    assert np.nanmedian(psr[normal]) == pytest.approx(100, abs=6)
    assert np.nanmedian(psr[lesion]) > 103
    assert np.median(ph[artery]) == pytest.approx(0.5 * bolus().max(), rel=0.1)
    assert result.units["psr"] == "%"


@pytest.mark.parametrize("leakage", ["bsw", "residue"])
def test_normal_white_matter_and_files(phantom, tmp_path, leakage):
    frames, _, head, lesion, artery = phantom
    images = [GRID.image(m) for m in (artery, head, head, lesion)]
    settings = replace(SETTINGS, leakage=leakage, **PROPORTIONAL)
    result = dsc_maps(series(frames), TIMES, settings, images[0], images[1], "auto", *images[2:])
    assert np.median(array(result.maps["ncbv"])[lesion]) == pytest.approx(3.0, rel=0.1)
    assert boolean(result.masks["nawm"])[:, :, 16:].sum() == 0
    write(result, tmp_path / "out")
    names = {p.name for p in (tmp_path / "out").iterdir()}
    reference, more = (["leakage_reference"], set()) if leakage == "bsw" else ([], {"kep"})
    maps = {f"{n}.nii.gz" for n in [*result.maps, "mask", "nawm", *reference]}
    assert (
        set(result.maps)
        == {"cbv", "cbf", "mtt", "tmax", "ttp", "k1", "k2", "psr", "ph", "ncbv", "ncbf"}
        | {"deconvolution_model"}
        | more
    )
    assert maps | {"aif.csv", "fit.json"} <= names
    record = read_json(tmp_path / "out" / "fit.json")
    assert record["units"]["cbf"] == "ml/100ml/min"
    assert record["nawm_cbv"] > 0


def test_a_rate_of_return_is_given_where_something_leaks(phantom):
    frames, _, head, lesion, artery = phantom
    result = dsc_maps(
        series(frames), TIMES, replace(SETTINGS, leakage="residue"), *(GRID.image(m) for m in (artery, head))
    )
    known = np.isfinite(array(result.maps["kep"]))
    assert known[lesion].mean() > 0.9
    assert (
        known[head & ~lesion & ~artery].mean() < 0.25
    )  # the phantom has little noise, so that what the model misses counts
    assert any("kep is that of the leakage" in n for n in result.notes)


def test_scale_and_method_are_said_in_notes_and_heads(phantom):
    frames, _, head, _, artery = phantom
    images = [GRID.image(m) for m in (artery, head)]
    auto = dsc_maps(series(frames), TIMES, SETTINGS, *images)
    assert any("cbv and cbf are not calibrated" in n for n in auto.notes)
    assert any(n.startswith("mtt, tmax: posterior means of the vascular model") for n in auto.notes)
    assert auto.heads["cbf"] == "ml/100ml/min, not calibrated"
    assert auto.heads["tmax"] == "s, delay of the vascular model"
    assert set(auto.sd) == {"k1", "k2", "cbv", "cbf", "mtt"}
    twice = dsc_maps(series(frames), TIMES, replace(SETTINGS, tissue_r2star=2 * SETTINGS.tissue_r2star), *images)
    inside = head & np.isfinite(array(auto.maps["cbv"]))
    for name, image in (("cbv", twice.maps["cbv"]), ("cbf_sd", twice.sd["cbf"])):
        whole = auto.sd["cbf"] if name.endswith("_sd") else auto.maps[name]
        np.testing.assert_allclose(2 * array(image)[inside], array(whole)[inside], rtol=1e-4)
    osvd = dsc_maps(series(frames), TIMES, replace(SETTINGS, deconvolution="osvd"), *images)
    assert osvd.heads["mtt"] == "s, cbv / cbf"
    assert any("mtt and tmax are too long" in n for n in osvd.notes)
    assert set(osvd.sd) == {"k1", "k2"}
    with pytest.raises(InputError, match="T2\\* relaxivity of tissue is 0"):
        dsc_maps(series(frames), TIMES, replace(SETTINGS, tissue_r2star=0.0), *images)


def test_no_reference_is_said_not_invented(phantom):
    frames, _, head, _, artery = phantom
    result = dsc_maps(series(frames), TIMES, SETTINGS, GRID.image(artery), GRID.image(head), "auto")
    assert "ncbv" not in result.maps
    assert any(n.startswith("no ncbv and ncbf") for n in result.notes)


def test_uneven_times_are_resampled_and_said(phantom):
    frames, _, head, _, artery = phantom
    times = TIMES.copy()
    times[30:] += 0.7
    result = dsc_maps(series(frames), times, SETTINGS, GRID.image(artery), GRID.image(head))
    assert any("resampled to even ones" in n for n in result.notes)
    np.testing.assert_allclose(np.diff(result.times_s), DT)


def test_clipped_aif_is_said(phantom):
    frames, _, head, _, artery = phantom
    wide = series(frames)
    u = np.maximum(TIMES - 20, 0)
    slow = 60 * (u / 9.0) ** 3 * np.exp(3 - u / 3.0)
    wide.frames[2:, artery] = (800 * np.exp(-0.03 * np.minimum(slow, 30)))[2:, None]
    result = dsc_maps(wide, TIMES, SETTINGS, GRID.image(artery), GRID.image(head))
    assert any("plateau instead of a peak" in n for n in result.notes)


def test_kernel_keeps_the_contract():
    through = 15.0 * convolve(TIMES, bolus(), 15.0)[0]
    curves = np.outer([0.02, 0.04, np.nan], through)
    for leakage in ("none", "bsw", "bidirectional", "residue"):
        fit = perfusion_maps(curves, DT, bolus(), leakage=leakage, reference=np.array([True, False, False]))
        np.testing.assert_allclose(fit.cbv[:2], [2.0, 4.0], rtol=0.04)
        assert np.isnan(fit.cbv[2])
        np.testing.assert_allclose(fit.mtt_s[:2], 60 * fit.cbv[:2] / fit.cbf[:2], rtol=1e-5)
    # An exponential residue of 4 s: flow = volume / 4 s; oSVD flattens its top by about a fifth.
    np.testing.assert_allclose(fit.cbf[:2], 60 * np.array([2.0, 4.0]) / 4.0, rtol=0.25)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"leakage": "bws"}, "leakage correction 'bws' is not known"),
        ({"deconvolution": "svd"}, "deconvolution 'svd' is not known"),
        ({"aif_dr2star": np.zeros(60)}, "an area of 0 for curves of 60 time points"),
        ({"device": "tpu"}, "device 'tpu' is not known; choose from auto, cpu, cuda"),
    ],
)
def test_unfit_input_is_refused(change, sentence):
    arguments = {"dr2star": np.ones((3, 60)), "dt_s": DT, "aif_dr2star": bolus()} | change
    with pytest.raises(InputError, match=sentence):
        perfusion_maps(**arguments)


def test_standard_deviations_and_automatic_choice_are_maps(phantom, tmp_path):
    frames, _, head, lesion, artery = phantom
    settings = DscSettings(te_ms=30.0, tr_ms=1500.0, leakage="auto")
    images = [GRID.image(m) for m in (artery, head)]
    result = dsc_maps(series(frames), TIMES, settings, *images, lesion=GRID.image(lesion))
    model = array(result.maps["leakage_model"])
    assert set(np.unique(model[head])) <= {1.0, 2.0, 3.0}
    assert result.units["leakage_model"].startswith("1 bsw")
    assert (array(result.sd["k2"])[head] > 0).all()
    assert any(n.startswith("leakage correction by corrected Akaike criterion") for n in result.notes)
    write(result, tmp_path / "out")
    assert {"k1_sd.nii.gz", "k2_sd.nii.gz", "leakage_model.nii.gz"} <= {p.name for p in (tmp_path / "out").iterdir()}


def test_recovery_is_undefined_where_the_series_ends_too_early(phantom):
    frames, _, head, _, artery = phantom
    peak = int(np.argmax(bolus()))
    short = Series(frames[: peak + 8].copy(), GRID, "dsc.nii.gz")
    result = dsc_maps(short, TIMES[: peak + 8], SETTINGS, GRID.image(artery), GRID.image(head))
    assert np.isnan(array(result.maps["psr"])[head]).all()
    assert any(n.startswith("psr is undefined: the last 10 frames begin within 10 s of the peak") for n in result.notes)
    assert abs(TIMES[result.bolus.arrival] - 21.0) <= DT


def test_a_head_that_moves_is_not_taken_for_the_bolus(phantom):
    frames, _, head, _, _ = phantom
    moved = frames.copy()
    edge = np.zeros_like(head)
    edge[:, 2:30, 2:6] = True
    moved[48:, edge & head] *= 0.3
    result = dsc_maps(series(moved), TIMES, SETTINGS)
    assert abs(TIMES[result.bolus.arrival] - 21.0) <= DT
    assert result.bolus.steady == 2


def test_clipping_of_a_table_is_said_too(phantom):
    frames, _, head, _, _ = phantom
    u = np.maximum(TIMES - 20, 0)
    wide = Aif(TIMES, np.minimum(60 * (u / 9.0) ** 3 * np.exp(3 - u / 3.0), 30), "table", "csv")
    result = dsc_maps(series(frames), TIMES, SETTINGS, wide, GRID.image(head))
    assert any("plateau instead of a peak" in n for n in result.notes)


def test_what_is_picked_is_what_the_maps_take(phantom):
    """A series prepared once: the mean over a mask is that of `dsc_aif`, and of its voxels' own curves."""
    frames, _, head, _, artery = phantom
    picking = DscPicking.of(series(frames), TIMES, SETTINGS, GRID.image(head))
    voxels = np.argwhere(artery)[:3]
    mask = np.zeros(GRID.shape, bool)
    mask[tuple(voxels.T)] = True
    mean = picking.mean(GRID.image(mask))
    whole = dsc_aif(series(frames), TIMES, SETTINGS, GRID.image(mask), GRID.image(head))
    assert np.array_equal(mean.concentration, whole.concentration)
    np.testing.assert_allclose(picking.curves(voxels).mean(axis=0), mean.concentration, rtol=1e-5, atol=1e-4)
    found = picking.candidates()
    assert artery[tuple(found.T)].mean() > 0.9
