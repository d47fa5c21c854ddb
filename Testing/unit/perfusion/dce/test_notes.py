import numpy as np
import pytest
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.aif import Aif
from gliosuite.perfusion.dce.notes import aif_notes, fit_notes, has_plateau, signal_drift
from gliosuite.perfusion.fit import fit_curves

TIMES = 5.0 * np.arange(60)


def test_drift_shows_in_the_baseline():
    rng = np.random.default_rng(0)
    level = rng.uniform(50, 150, (4000, 1))
    for drift in (0.05, -0.05):
        curves = level * (1 + drift * TIMES[:8] / TIMES[-1]) + rng.normal(0, 1, (4000, 8))
        assert signal_drift(curves, TIMES) == pytest.approx(drift, abs=0.02)
    still = level + rng.normal(0, 1, (4000, 8))
    assert abs(signal_drift(still, TIMES)) < 0.03
    assert signal_drift(still[:, :3], TIMES) == 0.0


@pytest.mark.parametrize("frame_s", [0.5, 1.0, 2.0, 5.0])
def test_a_clipped_aif_has_a_plateau(frame_s):
    times = frame_s * np.arange(round(200 / frame_s))
    aif = kinetics.parker_aif(times, 17.0)  # at 5 s, two samples near the peak: one alone would not tell
    assert not has_plateau(aif, times)
    assert has_plateau(np.minimum(aif, 0.5 * aif.max()), times)


@pytest.mark.parametrize(
    "method, hematocrit, said",
    [("auto", 0.42, True), ("mask", 0.42, True), ("auto", 0.37, False), ("csv", 0.42, False)],
)
def test_a_haematocrit_that_nobody_gave_is_said_where_it_counts(method, hematocrit, said):
    aif = Aif(TIMES, kinetics.parker_aif(TIMES, 17.0), "how", method)
    notes = aif_notes(aif, hematocrit)
    assert any("haematocrit was taken to be 0.42" in note for note in notes) == said


@pytest.mark.parametrize("vp, said", [(0.0, True), (0.03, False)])
def test_tissue_that_leaks_without_vessels_is_said(vp, said):
    rng = np.random.default_rng(3)
    fine = 0.5 * np.arange(600)
    aif = kinetics.parker_aif(fine, 25.0) / 0.58
    clean = kinetics.extended_tofts(TIMES, aif, rng.uniform(0.05, 0.3, 200), rng.uniform(0.1, 0.4, 200), vp, 0.0, fine)
    fit = fit_curves(clean + rng.normal(0, 0.01, clean.shape), TIMES, aif, "etm", delay=True, aif_times_s=fine)
    notes = fit_notes(fit, np.isfinite(fit.sse), None, 5.0)
    assert any("vp is within its noise" in note for note in notes) == said


@pytest.mark.parametrize("late_s, said", [(0.0, False), (3.0, True)])
def test_an_aif_that_comes_after_the_tissues_bolus_is_said(late_s, said):
    rng = np.random.default_rng(4)
    fine = 0.5 * np.arange(600)
    aif = kinetics.parker_aif(fine, 25.0) / 0.58
    clean = kinetics.extended_tofts(
        TIMES, aif, 0.002, 0.1, rng.uniform(0.01, 0.04, 200), rng.uniform(0, 1, 200), fine - late_s
    )
    fit = fit_curves(clean + rng.normal(0, 0.01, clean.shape), TIMES, aif, "etm", delay=True, aif_times_s=fine)
    notes = fit_notes(fit, np.isfinite(fit.sse), None, 5.0)
    assert any("before it does in the AIF" in note for note in notes) == said


@pytest.mark.parametrize(
    "factor, said", [(1.0, ""), (0.3, "AIF is probably too low"), (6.0, "AIF is probably too high")]
)
def test_a_blood_volume_that_no_brain_has_is_said(factor, said):
    rng = np.random.default_rng(5)
    fine = 0.5 * np.arange(600)
    aif = kinetics.parker_aif(fine, 25.0) / 0.58
    clean = kinetics.extended_tofts(TIMES, aif, 0.002, 0.1, rng.uniform(0.01, 0.03, 200), rng.uniform(0, 1, 200), fine)
    curves = clean + rng.normal(0, 0.01, clean.shape)
    fit = fit_curves(curves, TIMES, factor * aif, "etm", delay=True, aif_times_s=fine)
    notes = [n for n in fit_notes(fit, np.isfinite(fit.sse), None, 5.0) if "the median vp is" in n]
    assert len(notes) == bool(said)
    assert all(said in note for note in notes)
    # Of a lesion alone nothing is said, whose vp may be anything.
    assert not any("the median vp is" in n for n in fit_notes(fit, np.isfinite(fit.sse), None, 0.05))
