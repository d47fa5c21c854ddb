import numpy as np
import pytest
from gliosuite.images import array
from gliosuite.perfusion import signal
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.kinetics import extended_tofts
from gliosuite.simulate import Effects, dynamic, simulate_case
from gliosuite.simulate.acquisition import CLASSES, TISSUE


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
        TISSUE["cel"].t1,
        acquisition["relaxivity"],
        6,
    )
    aif = exact.truth.curves["aif_dce"]
    fit = fit_curves(concentration, np.array(acquisition["times_s"]), aif[:, 1], aif_times_s=aif[:, 0])
    for name in ("ktrans", "ve", "vp"):
        np.testing.assert_allclose(getattr(fit, name), array(exact.truth[f"dce_{name}"])[inside], rtol=0.01)


def test_cbv_ratio_to_white_matter_is_that_of_the_truth(exact):
    series, acquisition = exact.case.series("dsc"), exact.case.acquisition("dsc")
    cel, white = main_tissue(exact, "dsc", "cel"), main_tissue(exact, "dsc", "wm")
    area = [
        signal.signal_to_dr2star(series.curves(m), acquisition["te_ms"] / 1000, 8).sum(axis=1).mean()
        for m in (cel, white)
    ]
    truth = array(exact.truth["dsc_cbv"])
    assert area[0] / area[1] == pytest.approx(truth[cel].mean() / truth[white].mean(), rel=0.01)


def test_cbf_is_cbv_over_mtt(exact):
    cbv, cbf, mtt = (array(exact.truth[f"dsc_{n}"]) for n in ("cbv", "cbf", "mtt"))
    inside = main_tissue(exact, "dsc", "cel")
    np.testing.assert_allclose(cbf[inside], 60 * cbv[inside] / mtt[inside], rtol=1e-5)


def test_arteries_show_the_patients_own_curve(exact):
    inside = main_tissue(exact, "dce", "artery")
    acquisition, aif = exact.case.acquisition("dce"), exact.truth.curves["aif_dce"]
    concentration = signal.spgr_to_concentration(
        exact.case.series("dce").curves(inside), acquisition["tr_ms"] / 1000, 10.0, TISSUE["artery"].t1, 4.5, 6
    )
    plasma = concentration / (1 - acquisition["hematocrit"])
    assert inside.sum() > 10
    expected = np.interp(acquisition["times_s"], aif[:, 0], aif[:, 1])
    np.testing.assert_allclose(plasma, np.broadcast_to(expected, plasma.shape), atol=0.02)


def test_responses_agree_with_the_kinetic_model():
    blood = dynamic.draw_blood(np.random.default_rng(4))
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
    blood = dynamic.draw_blood(np.random.default_rng(4))
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


def test_texture_off_makes_a_class_uniform():
    fields = {n: np.linspace(-2, 2, 9, dtype=np.float32) for n in ("vascular", "leaky", "cellular")}
    flat = dynamic.parameters("cel", fields, Effects.none())
    assert np.ptp(flat["ktrans"]) == 0
    assert (flat["delay"] == 0).all()
    rough = dynamic.parameters("cel", fields, Effects())
    assert np.ptp(rough["ktrans"]) > 0.02
    assert rough["ve"].max() <= 0.75
