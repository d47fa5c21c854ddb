from dataclasses import replace

import numpy as np
import pytest
from gliosuite.images import Grid, array
from gliosuite.perfusion import signal
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.kinetics import extended_tofts
from gliosuite.simulate import Effects, dynamic, simulate_case
from gliosuite.simulate.acquisition import CLASSES
from gliosuite.simulate.blood import Blood, draw_blood
from gliosuite.simulate.properties import TYPICAL, draw_physiology
from gliosuite.simulate.protocols import Dce, Dsc
from gliosuite.simulate.scanning import Packed


@pytest.fixture(scope="module")
def exact():
    """A patient whose scans have no noise, mixing, delay or motion."""
    return simulate_case(9, grid_mm=3.0, scans=("dce", "dsc"), effects=Effects.none(texture=True))


def main_tissue(case, kind, name):
    return array(case.truth[f"{kind}_tissue"], np.uint8) == CLASSES.index(name) + 1


def test_dce_fit_with_the_true_aif_returns_the_truth(exact):
    inside = main_tissue(exact, "dce", "cel")
    assert inside.sum() > 300
    acquisition = exact.case.acquisition("dce")
    concentration = signal.spgr_to_concentration(
        exact.case.series("dce").curves(inside),
        acquisition["tr_ms"] / 1000,
        acquisition["flip_angle_deg"],
        array(exact.truth["dce_t10"])[inside],
        acquisition["relaxivity"],
        6,
    )
    aif = exact.truth.curves["aif_dce"]
    fit = fit_curves(concentration, np.array(acquisition["times_s"]), aif[:, 1], aif_times_s=aif[:, 0])
    for name in ("ktrans", "ve", "vp"):
        np.testing.assert_allclose(getattr(fit, name), array(exact.truth[f"dce_{name}"])[inside], rtol=0.01)


@pytest.fixture(scope="module")
def block():
    """A block of white matter with a tumour, necrosis in it, an artery, and fluid around; fields of all kinds."""
    grid = Grid((20, 20, 20), (3.0, 3.0, 3.0), (-28.5, -10.5, -30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    z, y, x = np.indices(grid.shape)
    r = np.sqrt((x - 9.5) ** 2 + (y - 9.5) ** 2 + (z - 9.5) ** 2)
    label = np.where(r < 2, "necrosis", np.where(r < 5, "cel", np.where(r < 7, "oedema", np.where(x < 10, "gm", "wm"))))
    label[:, 0, 0], label[:, -1, -1], label[:, 0, 1:3] = "artery", "vein", "csf"
    fractions = {n: (label == n).astype(np.float32) for n in CLASSES}
    rng = np.random.default_rng(0)
    fields = {n: rng.normal(size=grid.shape).astype(np.float32) for n in ("vascular", "leaky", "cellular")}
    fields["b1"] = np.broadcast_to(np.linspace(0.8, 1.2, 20, dtype=np.float32), grid.shape).copy()
    return grid, label, Packed.of(grid, fractions, fields)


PATIENT = draw_physiology(np.random.default_rng(5))


def scan(block, kind, effects, protocol=None, blood=None, patient=PATIENT):
    grid, _, packed = block
    run, usual = {"dce": (dynamic.scan_dce, Dce()), "dsc": (dynamic.scan_dsc, Dsc())}[kind]
    protocol = replace(protocol or usual, spacing_mm=grid.spacing)
    return run(packed, grid, patient, blood or Blood(), protocol, None, effects, np.random.default_rng(2))


def test_cbv_ratio_to_white_matter_is_that_of_the_truth(block):
    # Without recirculation all agent has passed when the series ends. With it, some is always on its way through the tissue, and
    # areas miss the more of it the longer the transit.
    passing = Blood(recirculation=0.0, tail=0.0)
    scanned = scan(block, "dsc", Effects.none(texture=True), replace(Dsc(), frames=90), passing)
    curve = scanned.curves["aif_dsc"]
    label = block[1]
    inside = np.isin(label, ("cel", "wm"))
    curves = signal.signal_to_dr2star(scanned.images["dsc"].curves(inside), 0.030, 8)
    fit = perfusion_maps(curves, 1.5, np.interp(np.arange(90) * 1.5, *curve.T), "none")
    truth = array(scanned.maps["dsc_cbv"])[inside]
    ratio = fit.cbv / fit.cbv[label[inside] == "wm"].mean()
    np.testing.assert_allclose(ratio, truth / truth[label[inside] == "wm"].mean(), rtol=0.01)


def test_cbf_is_cbv_over_mtt(exact):
    cbv, cbf, mtt = (array(exact.truth[f"dsc_{n}"]) for n in ("cbv", "cbf", "mtt"))
    inside = main_tissue(exact, "dsc", "cel")
    np.testing.assert_allclose(cbf[inside], 60 * cbv[inside] / mtt[inside], rtol=1e-5)


def test_arteries_show_the_patients_own_curve(exact):
    inside = main_tissue(exact, "dce", "artery")
    acquisition, aif = exact.case.acquisition("dce"), exact.truth.curves["aif_dce"]
    concentration = signal.spgr_to_concentration(
        exact.case.series("dce").curves(inside), acquisition["tr_ms"] / 1000, 10.0, TYPICAL["artery"].t1, 4.5, 6
    )
    plasma = concentration / (1 - acquisition["hematocrit"])
    assert inside.sum() > 10
    expected = np.interp(acquisition["times_s"], aif[:, 0], aif[:, 1])
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


def test_sinus_is_later_and_lower_than_the_artery():
    blood = draw_blood(np.random.default_rng(4))
    times = np.arange(0, 120, 0.5)
    artery, vein = blood.arterial(times, 20.0), blood.venous(times, 20.0)
    assert artery[times < 20].max() == 0
    assert vein.argmax() > artery.argmax()
    assert 0.3 * artery.max() < vein.max() < 0.95 * artery.max()
    assert vein.sum() == pytest.approx(artery.sum(), rel=0.15)


def test_leakage_changes_dsc_in_enhancing_tissue_only(exact):
    leaky = simulate_case(9, grid_mm=3.0, scans=("dsc",), effects=Effects.none(texture=True, leakage=True))
    change = np.abs(leaky.case.series("dsc").frames - exact.case.series("dsc").frames).max(axis=0)
    assert change[main_tissue(exact, "dsc", "cel")].mean() > 5
    assert change[main_tissue(exact, "dsc", "wm")].max() == 0
