import numpy as np
import pytest
from gliosuite.perfusion.kinetics import parker_aif
from gliosuite.simulate.blood import Blood, disperse, draw_blood

TIMES = np.arange(0, 300, 0.5)


def test_default_blood_is_parkers_dispersed():
    expected = disperse(np.arange(0, 300, 0.1), parker_aif(np.arange(0, 300, 0.1), 20.0), 1.0)
    np.testing.assert_allclose(
        Blood().arterial(TIMES, 20.0), np.interp(TIMES, np.arange(0, 300, 0.1), expected), atol=1e-6
    )


def test_each_property_changes_the_curve_as_it_says():
    plain = Blood().arterial(TIMES, 20.0)
    assert Blood(dose=1.3).arterial(TIMES, 20.0) == pytest.approx(1.3 * plain)
    assert Blood(hematocrit=0.5).arterial(TIMES, 20.0) == pytest.approx(0.5 / 0.58 * plain)
    assert Blood(late_s=3.0).arterial(TIMES, 20.0) == pytest.approx(Blood().arterial(TIMES, 23.0))
    wide = Blood(width=1.4).arterial(TIMES, 20.0)
    assert wide.max() < 0.8 * plain.max()
    assert wide.sum() == pytest.approx(plain.sum(), rel=0.02)
    assert Blood(tail=1.2).arterial(TIMES, 20.0)[-1] == pytest.approx(1.2 * plain[-1], rel=1e-3)
    assert Blood(tail_rate=2.0).arterial(TIMES, 20.0)[-1] < 0.6 * plain[-1]
    second = (TIMES > 38) & (TIMES < 48)
    assert Blood(recirculation=1.5).arterial(TIMES, 20.0)[second].mean() > 1.1 * plain[second].mean()


def test_tissue_is_fed_by_the_same_blood_later_and_wider():
    artery, tissue = Blood().arterial(TIMES, 20.0), Blood().feeding(TIMES, 20.0)
    assert tissue.max() < artery.max()
    assert tissue.sum() == pytest.approx(artery.sum(), rel=0.005)
    assert (Blood().feeding(TIMES, 20.0, dispersed=False) == artery).all()


def test_sinus_is_later_and_lower_than_the_artery():
    blood = draw_blood(np.random.default_rng(4))
    times = np.arange(0, 120, 0.5)
    artery, vein = blood.arterial(times, 20.0), blood.venous(times, 20.0)
    assert artery[times < 20 + min(blood.late_s, 0)].max() == 0
    assert vein.argmax() > artery.argmax()
    assert 0.3 * artery.max() < vein.max() < 0.95 * artery.max()
    assert vein.sum() == pytest.approx(artery.sum(), rel=0.15)


def test_patients_differ_around_the_population():
    drawn = [draw_blood(np.random.default_rng(s)) for s in range(300)]
    peaks = np.array([b.arterial(TIMES, 20.0).max() for b in drawn])
    assert np.median(peaks) == pytest.approx(Blood(dispersion_s=1.3).arterial(TIMES, 20.0).max(), rel=0.06)
    assert 0.15 < np.log(peaks).std() < 0.35
    assert np.ptp([b.late_s for b in drawn]) > 6
