import warnings
from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.files import read_json
from gliosuite.images import Grid, Series, array, boolean, read_image
from gliosuite.perfusion.aif import Aif
from gliosuite.perfusion.dce import DcePicking, check_t10, dce_aif, dce_maps, write
from gliosuite.perfusion.dce.dispersion import disperse
from gliosuite.perfusion.kinetics import extended_tofts, parker_aif
from gliosuite.perfusion.settings import DceSettings
from gliosuite.perfusion.signal import concentration_to_spgr

GRID = Grid((16, 16, 4), (4.0, 4.0, 5.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
TIMES = 2.0 * np.arange(70)
SETTINGS = DceSettings(tr_ms=5.0, flip_angle_deg=15.0)
AIF_TIMES = 0.1 * np.arange(1400)


@pytest.fixture(scope="module")
def phantom():
    """A head with a lesion and a block of arteries; signal, truth of ktrans, masks."""
    rng = np.random.default_rng(0)
    y, x = (np.broadcast_to(a, GRID.shape) for a in np.meshgrid(np.arange(16), np.arange(16), indexing="ij"))
    head = (x - 7.5) ** 2 + (y - 7.5) ** 2 < 49
    lesion = (x > 9) & (x < 13) & (y > 5) & (y < 9)
    artery = (x > 3) & (x < 6) & (y > 3) & (y < 6)
    ktrans = np.where(lesion, 0.12, 0.005)
    blood = parker_aif(AIF_TIMES, 30.0)
    concentration = extended_tofts(
        TIMES, blood / 0.58, ktrans[head], 0.3, np.where(lesion, 0.05, 0.02)[head], aif_times_s=AIF_TIMES
    )
    t10 = np.where(artery, 1.65, 1.2)[head]
    concentration[artery[head]] = parker_aif(TIMES, 30.0)
    signal = concentration_to_spgr(concentration, 0.005, 15.0, t10, 4.5, 500.0)
    frames = np.zeros((70, *GRID.shape), np.float32)
    frames[:, head] = signal.T
    frames = np.abs(frames + rng.normal(0, 1.0, frames.shape)).astype(np.float32)
    return frames, ktrans, head, lesion, artery


def series(frames):
    return Series(frames.copy(), GRID, "dce.nii.gz")


def test_maps_are_right_with_a_mask_of_the_artery(phantom):
    frames, _, head, lesion, artery = phantom
    result = dce_maps(series(frames), TIMES, SETTINGS, GRID.image(artery), 1.2, GRID.image(head))
    found = array(result.maps["ktrans"])
    assert np.median(found[lesion]) == pytest.approx(0.12, rel=0.05)
    assert np.median(found[head & ~lesion & ~artery]) == pytest.approx(0.005, abs=0.001)
    assert np.median(array(result.maps["vp"])[lesion]) == pytest.approx(0.05, abs=0.005)
    assert (found[~head] == 0).all()
    assert result.aif.concentration.max() == pytest.approx(parker_aif(TIMES, 30.0).max() / 0.58, rel=0.1)
    assert set(result.sd) == {"ktrans", "ve", "vp", "kep", "delay"}
    assert any("contrast agent arrives" in n for n in result.notes)


def test_automatic_aif_and_mask(phantom):
    frames, _, head, lesion, artery = phantom
    result = dce_maps(series(frames), TIMES, SETTINGS, "auto", 1.2)
    assert artery[result.aif.voxels].mean() >= 0.9
    assert np.median(array(result.maps["ktrans"])[lesion]) == pytest.approx(0.12, rel=0.1)
    assert (boolean(result.mask) == head).mean() > 0.95
    assert "divided by 1 - hematocrit" in result.aif.how


def test_concentration_in_and_a_map_of_t1_give_the_same(phantom):
    frames, _, head, lesion, artery = phantom
    from gliosuite.perfusion.signal import spgr_to_concentration

    curves = spgr_to_concentration(np.moveaxis(frames, 0, -1)[head], 0.005, 15.0, 1.2, 4.5, 15)
    whole = np.zeros_like(frames)
    whole[:, head] = curves.T
    aif = dce_maps(series(frames), TIMES, SETTINGS, GRID.image(artery), 1.2, GRID.image(head)).aif
    t1 = GRID.image(np.full(GRID.shape, 1.2, np.float32))
    a = dce_maps(series(frames), TIMES, SETTINGS, aif, t1, GRID.image(lesion))
    b = dce_maps(series(whole), TIMES, DceSettings(input="concentration"), aif, 1.0, GRID.image(lesion))
    np.testing.assert_allclose(array(a.maps["ktrans"])[lesion], array(b.maps["ktrans"])[lesion], rtol=0.05)


def test_a_map_of_b1_corrects_the_flip_angle_of_the_tissue(phantom):
    _, ktrans, _, lesion, _ = phantom
    blood = parker_aif(AIF_TIMES, 30.0) / 0.58
    concentration = extended_tofts(TIMES, blood, ktrans[lesion], 0.3, 0.05, aif_times_s=AIF_TIMES)
    frames = np.zeros((70, *GRID.shape), np.float32)
    frames[:, lesion] = concentration_to_spgr(concentration, 0.005, 15.0 * 0.85, 1.2, 4.5, 500.0).T
    aif = Aif(AIF_TIMES, blood, "given", "table")
    field = GRID.image(np.full(GRID.shape, 0.85, np.float32))
    fit = lambda b1: array(
        dce_maps(series(frames), TIMES, SETTINGS, aif, 1.2, GRID.image(lesion), b1=b1).maps["ktrans"]
    )[lesion]
    np.testing.assert_allclose(fit(field), 0.12, rtol=0.01)
    assert abs(np.median(fit(None)) / 0.12 - 1) > 0.05
    with pytest.raises(InputError, match="B1 map has a median of 85"):
        fit(GRID.image(np.full(GRID.shape, 85.0, np.float32)))


def test_invalid_voxels_come_back_as_nan_where_allowed(phantom):
    frames, _, head, _, artery = phantom
    broken = series(frames)
    broken.frames[9, 2, 7, 11] = np.nan
    aif = GRID.image(artery)
    with pytest.raises(InputError, match=r"dce\.nii\.gz has 1 voxels with NaN or infinite values and 0 with negative"):
        dce_maps(broken, TIMES, SETTINGS, aif, 1.2, GRID.image(head))
    allowed = DceSettings(tr_ms=5.0, flip_angle_deg=15.0, allow_invalid_voxels=True)
    result = dce_maps(broken, TIMES, allowed, aif, 1.2, GRID.image(head))
    assert np.isnan(array(result.maps["ktrans"])[2, 7, 11])
    assert not boolean(result.mask)[2, 7, 11]
    assert any("could not be fitted and are NaN" in n for n in result.notes)


def test_files_are_those_of_the_contract_and_the_same_twice(phantom, tmp_path):
    frames, _, _, lesion, _ = phantom
    settings = DceSettings(tr_ms=5.0, flip_angle_deg=15.0, delay=True)
    for name in ("a", "b"):
        write(dce_maps(series(frames), TIMES, settings, "auto", 1.2, GRID.image(lesion)), tmp_path / name)
    names = {p.name for p in (tmp_path / "a").iterdir()}
    maps = {"ktrans", "ve", "vp", "kep", "delay"}
    expected = {f"{m}{e}.nii.gz" for m in maps for e in ("", "_sd")} | {
        "rmse.nii.gz",
        "mask.nii.gz",
        "aif.csv",
        "fit.json",
    }
    assert expected <= names
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    record = read_json(tmp_path / "a" / "fit.json")
    assert record["units"]["ktrans"] == "1/min"
    assert record["settings"]["hematocrit"] == 0.42
    assert read_image(tmp_path / "a" / "ktrans.nii.gz").GetMetaData("descrip") == "ktrans [1/min]"
    assert (tmp_path / "a" / "aif.csv").read_text().startswith("time_s,concentration\n")


def test_a_missing_matplotlib_costs_only_the_picture(phantom, tmp_path, monkeypatch):
    frames, _, _, lesion, artery = phantom
    import sys

    result = dce_maps(series(frames), TIMES, SETTINGS, GRID.image(artery), 1.2, GRID.image(lesion))
    for name in [m for m in sys.modules if m.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(UserWarning, match=r"qc\.png was not drawn: matplotlib is needed"):
        write(result, tmp_path / "out")
    assert (tmp_path / "out" / "ktrans.nii.gz").exists()
    assert not (tmp_path / "out" / "qc.png").exists()


@pytest.mark.parametrize("model", ["tofts", "patlak", "2cxm", "2cum", "auto"])
def test_every_model_writes_its_maps(phantom, tmp_path, model):
    frames, _, _, lesion, artery = phantom
    settings = DceSettings(tr_ms=5.0, flip_angle_deg=15.0, model=model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = dce_maps(series(frames), TIMES, settings, GRID.image(artery), 1.2, GRID.image(lesion))
    expected = {
        "tofts": {"ktrans", "ve", "kep"},
        "patlak": {"ktrans", "vp", "ps"},
        "2cxm": {"ktrans", "ve", "vp", "kep", "fp", "ps"},
        "2cum": {"ktrans", "vp", "fp", "ps"},
        "auto": {"ktrans", "ve", "vp", "kep", "model"},
    }[model]
    # An exchange model has a flow, and its kep no bound of its own; Patlak has no kep.
    fast = {"fast"} if model in ("tofts", "etm", "auto") else set()
    assert set(result.maps) == expected | fast | {"delay", "rmse", "misfit"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tr_ms": None}, r"the repetition time is not known; give it with --tr-ms"),
        ({"flip_angle_deg": None}, r"the flip angle is not known; give it with --flip-angle"),
        ({"hematocrit": 42.0}, "hematocrit is 42; a fraction"),
    ],
)
def test_unfit_settings_are_refused(phantom, change, sentence):
    from dataclasses import replace

    with pytest.raises(InputError, match=sentence):
        dce_maps(series(phantom[0]), TIMES, replace(SETTINGS, **change), "auto", 1.2)


def test_t1_in_milliseconds_is_refused():
    with pytest.raises(InputError, match="t10 is 1200, which looks like milliseconds"):
        check_t10(1200.0)
    with pytest.raises(InputError, match=r"t1\.nii has a median of 1200, which looks like milliseconds"):
        check_t10(GRID.image(np.full(GRID.shape, 1200.0, np.float32)), "t1.nii")
    with pytest.raises(InputError, match=r"t10 is 0; a T1 of 0\.05 s or more"):
        check_t10(0.0)
    with pytest.raises(InputError, match=r"t10 is 0\.0014; a T1 of 0\.05 s or more"):
        check_t10(0.0014)


def test_maps_on_request(phantom):
    frames, _, _, lesion, artery = phantom
    settings = DceSettings(tr_ms=5.0, flip_angle_deg=15.0, unclamped=True, semiquantitative=True)
    result = dce_maps(series(frames), TIMES, settings, GRID.image(artery), 1.2, GRID.image(lesion))
    more = {"ktrans_unclamped", "vp_unclamped", "iauc60", "iauc90", "wash_in", "wash_out", "ttp", "max_enhancement"}
    assert more <= set(result.maps)
    assert result.units["iauc60"] == "mM s"
    assert np.median(array(result.maps["ttp"])[lesion]) > 0
    assert any("1 % is expected by chance" in n for n in result.notes)
    with pytest.raises(InputError, match=r"T2\* relaxivity is given without the echo time; give both"):
        dce_maps(series(frames), TIMES, DceSettings(tr_ms=5.0, flip_angle_deg=15.0, r2star=5.0), "auto", 1.2)


def test_where_no_curve_can_be_fitted_the_reason_is_said(phantom):
    frames, _, head, _, artery = phantom
    inside, nowhere = GRID.image(head & ~artery), np.where(head & ~artery, 0.0, 1.0).astype(np.float32)
    with pytest.raises(InputError, match="the T1 map has no value above 0 inside the mask, so no curve there can be"):
        dce_maps(series(frames), TIMES, SETTINGS, GRID.image(artery), GRID.image(nowhere), inside)
    flat = frames.copy()
    flat[:-1, head & ~artery] = 0.0  # the baseline too
    with pytest.raises(InputError, match=r"none of the \d+ curves inside the mask can be fitted: a signal, T1 or B1"):
        dce_maps(series(flat), TIMES, SETTINGS, GRID.image(artery), 1.2, inside)


def test_the_delay_is_fitted_unless_the_aif_is_a_populations(phantom):
    frames, _, _, lesion, artery = phantom
    here = dce_maps(series(frames), TIMES, SETTINGS, GRID.image(artery), 1.2, GRID.image(lesion))
    assert "delay" in here.maps
    assert here.settings.delay is True
    assert any("dispersion of the bolus" in note for note in here.notes)
    population = dce_maps(series(frames), TIMES, SETTINGS, "parker", 1.2, GRID.image(lesion))
    assert "delay" not in population.maps
    assert population.settings.dispersion_s == 0
    off = dce_maps(series(frames), TIMES, replace(SETTINGS, delay=False), GRID.image(artery), 1.2, GRID.image(lesion))
    assert "delay" not in off.maps


def test_late_and_dispersed_plasma_is_no_leakage_and_what_is_fast_is_labelled():
    rng = np.random.default_rng(2)
    fine = np.arange(0.0, TIMES[-1] + 1, 0.5)
    aif = Aif(fine, parker_aif(fine, 30.0) / 0.58, "known", "csv")
    at, fed = disperse(aif.times_s, aif.concentration, 4.0)
    shape = GRID.shape
    n = int(np.prod(shape))
    curves = extended_tofts(TIMES, fed, 0.0015, 0.1, rng.uniform(0.01, 0.04, n), rng.uniform(0.5, 2, n), at)
    frames = (curves + rng.normal(0, 0.01, curves.shape)).T.reshape(TIMES.size, *shape)
    whole = GRID.image(np.ones(shape, bool))
    settings = DceSettings(input="concentration")
    result = dce_maps(series(frames), TIMES, settings, aif, 1.0, whole)
    leaky = lambda r: (array(r.maps["ktrans"]) > 0.05).mean()
    assert result.settings.dispersion_s == pytest.approx(4.0, abs=0.4)
    assert leaky(result) < 0.05
    without = dce_maps(series(frames), TIMES, replace(settings, dispersion_s=0.0), aif, 1.0, whole)
    assert leaky(without) > 3 * leaky(result) + 0.05
    fast = array(without.maps["fast"]) > 0
    assert fast.any()
    assert (array(without.maps["kep"])[fast] > 4.8).all()


def test_ve_is_unknown_where_nothing_leaks_and_t1_is_said_to_be_assumed(phantom):
    frames, _, head, lesion, artery = phantom
    rng = np.random.default_rng(4)
    noisy = np.abs(frames + rng.normal(0, 12.0, frames.shape)).astype(np.float32)
    aif = Aif(AIF_TIMES, parker_aif(AIF_TIMES, 30.0) / 0.58, "", "csv")
    result = dce_maps(series(noisy), TIMES, SETTINGS, aif, 1.2, GRID.image(head))
    sd = array(result.sd["ve"])
    normal = head & ~lesion & ~artery
    assert np.isfinite(sd[lesion]).mean() > 0.9
    assert np.isnan(sd[normal]).mean() > np.isnan(sd[lesion]).mean()
    # More plasma than fluid outside the vessels is no tissue.
    ve, vp = (array(result.maps[n]) for n in ("ve", "vp"))
    assert np.isnan(sd[head & (ve <= vp)]).all()
    assert any("T1 before contrast was assumed to be 1.2 s" in n for n in result.notes)
    measured = dce_maps(series(noisy), TIMES, SETTINGS, aif, GRID.image(np.where(head, 1.2, 0.0)), GRID.image(head))
    assert not any("assumed" in n for n in measured.notes)


def test_what_lies_near_the_noise_floor_is_corrected_unless_it_is_to_be_left(phantom):
    frames, _, head, lesion, _ = phantom
    rng = np.random.default_rng(5)
    aif = Aif(AIF_TIMES, parker_aif(AIF_TIMES, 30.0) / 0.58, "", "csv")
    noisy = np.hypot(frames + rng.normal(0, 150.0, frames.shape), rng.normal(0, 150.0, frames.shape))
    inside = GRID.image(head)
    taken, left = (
        dce_maps(series(noisy.astype(np.float32)), TIMES, replace(SETTINGS, noise_floor=f), aif, 1.2, inside)
        for f in (True, False)
    )
    assert any("noise floor" in n for n in taken.notes)
    assert not any("noise floor" in n for n in left.notes)
    # The floor raises the signal before contrast more than what comes after.
    assert np.median(array(taken.maps["vp"])[lesion]) > np.median(array(left.maps["vp"])[lesion])


def test_what_flickers_over_quiet_air_is_no_noise_floor(phantom):
    frames, _, head, lesion, artery = phantom
    flicker = np.random.default_rng(3).normal(1.0, 0.15, frames.shape)
    moving = np.where(head, frames * np.abs(flicker), frames).astype(np.float32)
    result = dce_maps(series(moving), TIMES, SETTINGS, GRID.image(artery), 1.2, GRID.image(lesion))
    assert not any("noise floor" in n for n in result.notes)


def test_nothing_is_written_where_nothing_could_be_computed(phantom, tmp_path):
    frames, _, head, lesion, artery = phantom
    t10 = GRID.image(np.where(head & ~lesion, 1.2, np.nan).astype(np.float32))
    with pytest.raises(InputError, match=r"nothing could be computed|T1"):
        write(dce_maps(series(frames), TIMES, SETTINGS, GRID.image(artery), t10, GRID.image(lesion)), tmp_path / "out")
    whole = dce_maps(series(frames), TIMES, SETTINGS, GRID.image(artery), 1.2, GRID.image(head))
    none = replace(whole, medians=dict.fromkeys(whole.medians), notes=["why not"])
    with pytest.raises(InputError, match=r"nothing could be computed: ktrans.* undefined in all \d+ voxels: why not"):
        write(none, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_picked_is_what_the_maps_take(phantom):
    """A series prepared once: the mean over a mask is that of `dce_aif`, and of its voxels' own curves."""
    frames, _, head, _, artery = phantom
    picking = DcePicking.of(series(frames), TIMES, SETTINGS, GRID.image(head))
    voxels = np.argwhere(artery)[:3]
    mask = np.zeros(GRID.shape, bool)
    mask[tuple(voxels.T)] = True
    mean = picking.mean(GRID.image(mask))
    whole = dce_aif(series(frames), TIMES, replace(SETTINGS, sinus=False), GRID.image(mask), GRID.image(head))
    assert np.array_equal(mean.concentration, whole.concentration)
    single = picking.curves(voxels)
    n = picking.prepared.n_baseline
    np.testing.assert_allclose(single.mean(axis=0)[n:], mean.concentration[n:], rtol=1e-5)
    found = picking.candidates()
    assert artery[tuple(found.T)].mean() > 0.9
