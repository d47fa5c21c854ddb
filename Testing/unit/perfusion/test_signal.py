import csv

import numpy as np
import pytest
from gliosuite.perfusion.signal import concentration_to_spgr, signal_to_dr2star, spgr_to_concentration


def test_osipi_concentrations(data):
    with data("osipi-reference/SI2Conc_data.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 5
    for row in rows:
        signal, reference = (np.array(row[k].split(), float) for k in ("s", "conc"))
        tr, angle, t1, r1 = (float(row[k]) for k in ("TR", "FA", "T1base", "r1"))
        # The set leaves its first frame, which counts as one of the baseline's, out.
        found = spgr_to_concentration(signal[1:], tr, angle, t1, r1, int(row["numbaselinepts"]) - 1)
        np.testing.assert_allclose(found, reference[1:], atol=1e-10)


def test_there_and_back():
    truth = np.random.default_rng(0).uniform(0, 6, (7, 30))
    truth[:, :4] = 0
    t10 = np.linspace(0.5, 3.0, 7)
    signal = concentration_to_spgr(truth, 0.005, 12.0, t10, 4.5, s0=np.linspace(10, 900, 7))
    np.testing.assert_allclose(signal[:, 0], np.linspace(10, 900, 7))
    np.testing.assert_allclose(spgr_to_concentration(signal, 0.005, 12.0, t10, 4.5, 4), truth, atol=1e-10)


def test_impossible_signal_is_nan_not_a_number():
    signal = np.array([[100.0, 100, 100, 1e6], [0, 0, 0, 5.0]])
    found = spgr_to_concentration(signal, 0.005, 12.0, 1.0, 4.5, 3)
    assert np.isfinite(found[0, :3]).all()
    assert np.isnan(found[0, 3])
    assert np.isnan(found[1]).all()


def test_dr2star_and_signal_at_zero():
    signal = 200 * np.exp(-0.03 * np.array([[0, 0, 0, 10.0, 20.0]]))
    np.testing.assert_allclose(signal_to_dr2star(signal, 0.03, 3), [[0, 0, 0, 10, 20]], atol=1e-12)
    signal[0, 4] = 0.0
    found = signal_to_dr2star(signal, 0.03, 3)
    assert found[0, 4] == pytest.approx(-np.log(0.01) / 0.03)
    assert np.isnan(signal_to_dr2star(np.zeros((1, 5)), 0.03, 3)).all()


def test_decay_by_t2star_is_taken_out_exactly():
    truth = np.random.default_rng(2).uniform(-0.1, 4.5, (5, 30))  # the signal peaks above 5 mM
    truth[:, :4] = 0
    t10 = np.linspace(0.6, 1.5, 5)
    decay = {"te_s": 0.003, "r2star": 20.0}
    signal = concentration_to_spgr(truth, 0.005, 20.0, t10, 4.5, 100.0, **decay)
    np.testing.assert_allclose(spgr_to_concentration(signal, 0.005, 20.0, t10, 4.5, 4, **decay), truth, atol=1e-8)
    plain = spgr_to_concentration(signal, 0.005, 20.0, t10, 4.5, 4)
    assert (plain[truth > 1] < 0.97 * truth[truth > 1]).all()
    # Above the highest signal that any concentration gives.
    high = np.array([[100.0, 100, 100, 100, 2000.0]])
    assert np.isnan(spgr_to_concentration(high, 0.005, 20.0, 1.0, 4.5, 4, te_s=0.02, r2star=20.0)[0, 4])
