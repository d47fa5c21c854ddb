from dataclasses import replace

import numpy as np
import pytest
from gliosuite.images import array
from gliosuite.perfusion import signal
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.perfusion.dsc.leakage.corrections import correct_bsw
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.kinetics import extended_tofts
from gliosuite.simulate.acquisition import CLASSES, Effects
from gliosuite.simulate.blood import Blood, draw_blood
from gliosuite.simulate.properties import leakage_rate
from gliosuite.simulate.protocols import SHIFTED, Dce, Dsc
from gliosuite.simulate.scans import dynamic

EXACT = Effects.none(texture=True)
TISSUE = ("gm", "wm", "oedema", "cel", "necrosis")


def dce(block, effects=EXACT, protocol=None, **more):
    return block.scan(dynamic.scan_dce, protocol or Dce(), effects, **more)


def dsc(block, effects=EXACT, protocol=None, **more):
    return block.scan(dynamic.scan_dsc, protocol or Dsc(), effects, **more)


def concentration(scanned, inside, protocol=None):
    protocol = protocol or Dce()
    t10 = array(scanned.maps["dce_t10"])[inside]
    curves = scanned.images["dce"].curves(inside)
    return signal.spgr_to_concentration(curves, protocol.tr_s, protocol.flip_angle_deg, t10, 4.5, 6)


def fitted(scanned, inside, **options):
    times, aif = np.array(scanned.acquisition["dce"]["times_s"]), scanned.curves["aif_dce"]
    return fit_curves(concentration(scanned, inside), times, aif[:, 1], aif_times_s=aif[:, 0], **options)


def changed(a, b):
    """Voxels in which two series differ anywhere."""
    return (a.frames != b.frames).any(axis=0)


@pytest.mark.parametrize("protocol", [Dce(), SHIFTED.dce], ids=["default", "shifted"])
def test_dce_fit_with_the_true_aif_returns_the_truth(block, protocol):
    scanned = dce(block, protocol=protocol, blood=draw_blood(np.random.default_rng(1)))
    inside = block.label == "cel"
    times, aif = np.array(scanned.acquisition["dce"]["times_s"]), scanned.curves["aif_dce"]
    fit = fit_curves(concentration(scanned, inside, protocol), times, aif[:, 1], aif_times_s=aif[:, 0])
    for name in ("ktrans", "ve", "vp"):
        np.testing.assert_allclose(getattr(fit, name), array(scanned.maps[f"dce_{name}"])[inside], rtol=0.01)


def test_delay_is_found_where_tissue_is_late(block):
    scanned = dce(block, Effects.none(texture=True, delay=True))
    inside = block.label == "cel"
    fit = fitted(scanned, inside, delay=True)
    np.testing.assert_allclose(fit.delay_s, array(scanned.maps["dce_delay"])[inside], atol=0.15)


def test_cbv_ratio_to_white_matter_is_that_of_the_truth(block):
    # Without recirculation all agent has passed when the series ends. With it, some is always on its way through the tissue, and
    # areas miss the more of it the longer the transit.
    passing = Blood(recirculation=0.0, tail=0.0)
    scanned = dsc(block, protocol=replace(Dsc(), frames=90), blood=passing)
    inside = np.isin(block.label, TISSUE)
    curves = signal.signal_to_dr2star(scanned.images["dsc"].curves(inside), 0.030, 8)
    fit = perfusion_maps(curves, 1.5, np.interp(np.arange(90) * 1.5, *scanned.curves["aif_dsc"].T), "none")
    truth = array(scanned.maps["dsc_cbv"])[inside]
    white = block.label[inside] == "wm"
    np.testing.assert_allclose(fit.cbv / fit.cbv[white].mean(), truth / truth[white].mean(), rtol=0.01)


def test_mean_transit_time_is_that_of_the_truth(block):
    # First moments: that of the tissue is the AIF's plus the mean age of blood in it, MTT (1 + 1 / shape) / 2.
    passing = Blood(recirculation=0.0, tail=0.0)
    scanned = dsc(block, protocol=replace(Dsc(), frames=120, tr_s=1.0), blood=passing)
    inside = np.isin(block.label, ("gm", "wm", "cel"))
    curves = signal.signal_to_dr2star(scanned.images["dsc"].curves(inside), 0.030, 12)
    times = np.arange(120.0)
    aif = np.interp(times, *scanned.curves["aif_dsc"].T)
    late = (curves * times).sum(axis=1) / curves.sum(axis=1) - (aif * times).sum() / aif.sum()
    mtt, shape = (array(scanned.maps[f"dsc_{n}"])[inside] for n in ("mtt", "residue"))
    assert len(np.unique(shape)) > 1
    np.testing.assert_allclose(late, mtt * (1 + 1 / shape) / 2, rtol=0.01)


def test_cbf_is_cbv_over_mtt(block):
    cbv, cbf, mtt = (array(dsc(block).maps[f"dsc_{n}"]) for n in ("cbv", "cbf", "mtt"))
    inside = block.label == "cel"
    np.testing.assert_allclose(cbf[inside], 60 * cbv[inside] / mtt[inside], rtol=1e-5)


def test_arteries_show_the_patients_own_curve(block):
    scanned = dce(block)
    aif = scanned.curves["aif_dce"]
    plasma = concentration(scanned, block.label == "artery") / (1 - scanned.acquisition["dce"]["hematocrit"])
    expected = np.interp(scanned.acquisition["dce"]["times_s"], aif[:, 0], aif[:, 1])
    np.testing.assert_allclose(plasma, np.broadcast_to(expected, plasma.shape), atol=0.02)


def test_responses_agree_with_the_kinetic_model():
    blood = draw_blood(np.random.default_rng(4))
    fine = np.arange(0.0, 300.2, 0.1)
    plasma = blood.arterial(fine, 30.0) / (1 - blood.hematocrit)
    times = np.arange(60) * 5.0
    ktrans, ve, vp = np.array([0.004, 0.05, 0.3]), np.array([0.4, 0.2, 0.35]), np.array([0.01, 0.05, 0.1])
    delay = np.array([0.0, 1.23, 3.7])
    convolved, arterial = dynamic.Responses.of(fine, plasma, 2e-4, 30.0).at(times, ktrans / ve, delay)
    got = ktrans[:, None] * convolved + vp[:, None] * arterial
    expected = extended_tofts(times, plasma, ktrans, ve, vp, delay, fine)
    np.testing.assert_allclose(got, expected, atol=2e-3 * expected.max())


def test_transit_of_a_narrow_distribution_is_a_delayed_plateau():
    fine = np.arange(0.0, 60.0, 0.1)
    curve = np.exp(-0.5 * ((fine - 15) / 3) ** 2)
    for shape in (1.0, 2.0, 16.0):
        table = dynamic.Responses.transit(fine, curve, shape)
        convolved, _ = table.at(fine, np.array([12.0]), np.array([0.0]))  # a mean of 5 s
        assert convolved[0].sum() * 60 == pytest.approx(5.0 * curve.sum(), rel=2e-3)
    passed = np.cumsum(curve) * 0.1
    plateau = passed - np.interp(fine - 5.0, fine, passed, left=0)
    assert np.abs(60 * convolved[0] - plateau).max() < 0.12 * plateau.max()


def test_leakage_changes_dsc_in_the_lesion_only(block):
    leaky = dsc(block, Effects.none(texture=True, leakage=True)).images["dsc"]
    change = np.abs(leaky.frames - dsc(block).images["dsc"].frames).max(axis=0)
    assert change[block.label == "cel"].mean() > 5
    assert change[np.isin(block.label, ("gm", "wm", "artery", "csf"))].max() == 0


@pytest.mark.parametrize(
    "protocol", [Dsc(), Dsc(flip_angle_deg=30.0, preload=True, outside_r2star=25.0)], ids=["T1", "T2* after preload"]
)
def test_leakage_rate_predicts_the_sign_of_k2(block, protocol):
    scanned = dsc(block, Effects.none(texture=True, leakage=True), protocol)
    curves = signal.signal_to_dr2star(scanned.images["dsc"].frames.reshape(60, -1).T, protocol.te_s, 8)
    flat = block.label.ravel()
    cel = flat == "cel"
    k2 = correct_bsw(curves[cel], protocol.tr_s, curves[flat == "wm"].mean(axis=0)).k2
    p = block.physiology.means["cel"]
    rate = leakage_rate({k: np.array([p[k]]) for k in ("t1", "ktrans", "ve")}, 1.0, protocol)
    assert (rate > 0) == protocol.preload
    assert (np.sign(k2) == -np.sign(rate)).mean() > 0.95


def test_leakage_rate_is_the_slope_of_apparent_relaxation(block):
    # Agent at a constant plasma concentration: for a short while the apparent ΔR2* rises by the rate times concentration times time.
    protocol, p = Dsc(), {"t1": np.array([1.5]), "ktrans": np.array([0.1]), "ve": np.array([0.3])}
    added = p["ktrans"] / 60 * 0.01  # mM after 1 s at .01 mM
    s = signal.spgr_signal(1 / p["t1"] + np.array([0.0, 4.5 * added[0]]), protocol.tr_s, protocol.flip_angle_deg)
    apparent = -np.log(s[1] / s[0]) / protocol.te_s + protocol.outside_r2star * added[0]
    assert leakage_rate(p, 1.0, protocol)[0] * 0.01 == pytest.approx(apparent, rel=1e-3)


def test_preload_shortens_t1_of_leaky_tissue_before_the_bolus(block):
    effects = Effects.none(leakage=True)
    first, after = (dsc(block, effects, Dsc(preload=p)).images["dsc"].frames[:6].mean(axis=0) for p in (False, True))
    ratio = after / np.where(first > 0, first, 1)
    assert ratio[block.label == "cel"].mean() > ratio[block.label == "wm"].mean() + 0.1
    assert 0.85 < ratio[block.label == "wm"].mean() < 1.0  # its vessels hold agent, too


def test_b1_changes_flip_angles_and_with_them_concentrations(block):
    inside = block.label == "cel"
    exact, wrong = (
        concentration(dce(block, e), inside)[:, -20:].mean(axis=1) for e in (EXACT, Effects.none(texture=True, b1=True))
    )
    # At a lower angle than assumed the signal saturates less and rises less with R1.
    low, high = block.fields["b1"][inside] < 0.97, block.fields["b1"][inside] > 1.03
    assert (wrong < exact)[low].all()
    assert (wrong > exact)[high].all()
    b1 = block.fields["b1"][inside]
    t10 = array(dce(block).maps["dce_t10"])[inside]
    curves = dce(block, Effects.none(texture=True, b1=True)).images["dce"].curves(inside)
    mended = signal.spgr_to_concentration(curves, Dce().tr_s, 10 * b1, t10, 4.5, 6)[:, -20:].mean(axis=1)
    np.testing.assert_allclose(mended, exact, rtol=0.01)
    assert changed(dsc(block, Effects.none(texture=True, b1=True)).images["dsc"], dsc(block).images["dsc"]).any()


def test_inflow_brightens_arteries_the_more_the_lower_they_lie(block):
    plain, fresh = (dce(block, e).images["dce"] for e in (EXACT, Effects.none(texture=True, inflow=True)))
    assert (changed(plain, fresh) == (block.label == "artery")).all()
    gain = (fresh.frames[0] / np.maximum(plain.frames[0], 1e-6))[block.label == "artery"]
    assert (np.diff(gain) < 0).all()
    assert gain[0] > 5
    # What an AIF from the lowest slices shows is too low.
    peak = concentration(dce(block, Effects.none(texture=True, inflow=True)), block.label == "artery").max(axis=1)
    assert peak[0] < 0.5 * peak[-1]


def test_saturation_acts_on_blood_at_high_concentration_only(block):
    effects = Effects.none(texture=True, saturation=True)
    vessels = np.isin(block.label, ("artery", "vein"))
    plain, decayed = dce(block).images["dce"], dce(block, effects).images["dce"]
    assert (changed(plain, decayed) == vessels).all()
    ratio = (decayed.frames / plain.frames)[:, block.label == "artery"][:, 0]
    assert ratio[:6] == pytest.approx(1)
    assert ratio.min() < 0.95
    plain, low = dsc(block).images["dsc"], dsc(block, effects, Dsc(te_s=0.05)).images["dsc"]
    assert (changed(plain, dsc(block, effects).images["dsc"]) == vessels).all()
    bottom = low.frames[:, block.label == "artery"].min() / low.frames[0][block.label == "wm"].mean()
    assert bottom >= 1.2 / Dsc().snr  # the mean of noise in a magnitude image


def test_dispersion_acts_on_tissue_and_not_on_arteries(block):
    plain, wide = (dce(block, e) for e in (EXACT, Effects.none(texture=True, dispersion=True)))
    difference = changed(plain.images["dce"], wide.images["dce"])
    assert (difference == np.isin(block.label, TISSUE)).all()
    np.testing.assert_array_equal(plain.curves["aif_dce"], wide.curves["aif_dce"])


@pytest.mark.parametrize("scan", [dce, dsc])
def test_switching_an_effect_off_leaves_everything_else_equal_to_the_byte(block, scan):
    kind = scan.__name__
    still = Effects(motion=False)  # motion mixes neighbours; noise and bias are on, and must not change elsewhere
    whole = scan(block, still)
    lesion = np.isin(block.label, ("oedema", "cel", "necrosis"))
    vessels = np.isin(block.label, ("artery", "vein"))
    where = {"saturation": vessels, "dispersion": np.isin(block.label, TISSUE)}
    where |= {"inflow": block.label == "artery"} if kind == "dce" else {"leakage": lesion}
    for name, expected in where.items():
        other = scan(block, replace(still, **{name: False}))
        difference = changed(whole.images[kind], other.images[kind])
        assert not difference[~expected].any(), name
        assert difference.any(), name
        assert all(np.array_equal(array(whole.maps[k]), array(other.maps[k])) for k in whole.maps)


def test_what_a_scan_says_of_itself(block):
    scanned = dce(block, blood=Blood(hematocrit=0.4))
    keys = scanned.acquisition["dce"]
    assert keys["hematocrit"] == 0.4
    assert {"tr_ms": 3.5, "te_ms": 1.5, "flip_angle_deg": 10.0, "t10_s": 1.5, "relaxivity": 4.5}.items() <= keys.items()
    assert len(keys["times_s"]) == scanned.images["dce"].n_times == 60
    label = array(scanned.maps["dce_tissue"], np.uint8)
    assert all((label[block.label == n] == CLASSES.index(n) + 1).all() for n in np.unique(block.label))
    assert "relaxivity" not in dsc(block).acquisition["dsc"]


def test_enhancement_of_t1c_follows_leakage_and_blood(block):
    fractions = {n: (block.label == n).astype(np.float32) for n in CLASSES}
    added = dynamic.enhancement(Blood(), block.physiology, fractions, block.fields, Effects())
    assert added["cel"].shape == block.grid.shape
    assert added["cel"][block.label == "cel"].mean() > 5 * added["wm"] > 0
    assert added["artery"] == pytest.approx(4.5 * Blood().arterial(np.array([360.0]), 30.0)[0])
    assert added["csf"] == 0


def test_a_planted_signal_scales_dsc_and_leaves_its_decay(block):
    plain = dsc(block).images["dsc"]
    brighter = dsc(block, log_s0=np.where(block.label == "oedema", np.float32(np.log(1.8)), np.float32(0))).images[
        "dsc"
    ]
    oedema = block.label == "oedema"
    np.testing.assert_allclose(brighter.curves(oedema), 1.8 * plain.curves(oedema), rtol=1e-4)
    assert np.array_equal(brighter.curves(~oedema), plain.curves(~oedema))
