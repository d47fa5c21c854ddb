"""The vascular model on simulated curves with known truth."""

import numpy as np
import pytest
from gliosuite.perfusion.dsc.flow.posterior import fit_vascular
from gliosuite.perfusion.dsc.flow.prior import dispersed, learn
from gliosuite.perfusion.dsc.flow.transit import MTT_S, transit

DT = 1.5


@pytest.mark.parametrize(("shape", "dispersion_s"), [(1.0, 0.0), (3.0, 0.0), (np.inf, 0.0), (1.5, 2.0)])
def test_volume_flow_and_transit_are_right_whatever_the_residue(simulated, artery, shape, dispersion_s):
    curves, cbv, cbf, mtt = simulated(shape, 1200, 0.08, dispersion_s)
    found = fit_vascular(curves, DT, artery)
    for values, truth, most in ((found.cbv, cbv, 0.02), (found.cbf, cbf, 0.12), (found.mtt_s, mtt, 0.12)):
        assert np.median(values / truth) == pytest.approx(1.0, abs=most)
    np.testing.assert_allclose(found.cbv / found.cbf, found.mtt_s)


def test_intervals_cover_the_truth(simulated, artery):
    curves, cbv, cbf, mtt = simulated(1.5, 2000, 0.1, seed=1)
    found = fit_vascular(curves, DT, artery)
    pairs = ((found.cbv, found.cbv_sd, cbv), (found.cbf, found.cbf_sd, cbf), (found.mtt_s, found.mtt_sd, mtt))
    for values, sd, truth in pairs:
        assert 0.90 <= np.mean(np.abs(values - truth) < 1.96 * sd) <= 0.995


def test_a_curve_alone_is_fitted_and_what_is_no_curve_is_nan(simulated, artery):
    curves, cbv, _, _ = simulated(1.5, 1, 0.0)
    rows = np.concatenate([curves, np.full((1, 60), np.nan), np.zeros((1, 60)), -curves, 5 * curves])
    found = fit_vascular(rows, DT, artery)
    assert found.cbv[0] == pytest.approx(cbv[0], rel=0.03)
    assert found.cbv[4] == pytest.approx(5 * found.cbv[0], rel=1e-4)
    assert found.mtt_s[4] == pytest.approx(found.mtt_s[0], rel=1e-4)
    assert np.isnan(found.cbv[1:3]).all()
    assert np.isnan(found.mtt_sd[1:3]).all()
    assert fit_vascular(rows[:0], DT, artery).cbv.size == 0


def test_results_do_not_depend_on_the_number_of_threads(simulated, artery, monkeypatch):
    curves = simulated(1.5, 700, 0.1)[0]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = fit_vascular(curves, DT, artery)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    three = fit_vascular(curves, DT, artery)
    for name in ("cbv", "cbf", "mtt_s", "cbv_sd", "cbf_sd", "mtt_sd", "delay_s"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


def test_the_prior_is_that_of_the_series(simulated, artery):
    curves = simulated(1.0, 1500, 0.05, 2.0)[0]
    table = transit(artery, DT)
    learned = learn(curves, table, 8e-3)
    assert learned.shares @ learned.dispersions_s == pytest.approx(2.0, abs=0.4)
    own = learned.distributions[int(np.argmax(learned.shares))]
    assert own.mtt_s == pytest.approx(5.0, rel=0.1)
    assert own.delay_s == pytest.approx(1.0, abs=0.3)
    assert np.argmax(own.shapes) == 0
    assert learned.plug(table) < 0.1
    assert learned.nodes(table).sum() == pytest.approx(1.0)
    assert "dispersion of the AIF" in learned.said()


def test_the_dispersion_is_learned_as_well_as_the_aif_is_known(simulated, artery):
    curves = simulated(3.0, 600, 1 / 60)[0]
    wrong = artery * (1 + 0.1 * np.sin(1.3 * np.arange(60)))
    right, doubtful = (learn(curves, transit(a, DT), 2e-3).shares for a in (artery, wrong))
    # Curves with hardly any noise say that nothing is dispersed; with a wrong AIF they say it less surely.
    assert right[0] + right[1] > 0.95
    assert right.max() > doubtful.max()


def test_prior_of_dispersion_is_that_of_each_node_s_cell():
    shares = dispersed(np.array([0.0, 0.5, 1.0, 1.5, 2.0]))
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == pytest.approx(1 - np.exp(-0.25))
    assert shares[-1] == pytest.approx(np.exp(-1.75))


def test_vascular_curves_have_the_aif_s_area(artery):
    table = transit(artery, DT)
    # Without what is taken out of them, curves are unit vectors; short transits are higher than long ones of the same area.
    assert table.parts.shape == (table.onto.shape[1], table.size.size)
    np.testing.assert_allclose((table.parts**2).sum(axis=0), 1.0, atol=1e-4)
    size = table.size.reshape(table.shape)[0, 0, :, 4]
    assert (np.diff(size[MTT_S < 12]) < 0).all()
    np.testing.assert_allclose(table.nuisance.T @ table.nuisance, np.eye(2), atol=1e-12)


def test_noise_of_the_aif_is_not_taken_for_the_tissue_s(simulated, artery):
    curves, _, _, mtt = simulated(1.0, 1500, 0.1)
    noisy = artery + np.random.default_rng(2).normal(0, 0.12, 60) * (artery > 0)
    found = fit_vascular(curves, DT, noisy)
    assert np.median(found.mtt_s / mtt) == pytest.approx(1.0, abs=0.2)
