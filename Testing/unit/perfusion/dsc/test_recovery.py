import numpy as np
import pytest
from gliosuite.perfusion.dsc.recovery import recovery

TIMES = 1.5 * np.arange(60)


def curves():
    """Three voxels whose signal (TE 30 ms) falls to half and recovers by 80, 100 and 120 %, and one without bolus."""
    signal = np.ones((4, 60))
    signal[:3, 20:25] = 0.5
    signal[:3, 25:] = 0.5 + 0.5 * np.array([[0.8], [1.0], [1.2]])
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, (4, 60))
    noise[3] = 0.05 * (-1.0) ** np.arange(60)  # never beyond three standard deviations
    return -np.log(signal) / 0.03 + noise


def test_recovery_is_right_and_undefined_without_bolus():
    found, note = recovery(curves(), TIMES, 20, 22, 30.0, 10)
    np.testing.assert_allclose(found["psr"][:3], [80, 100, 120], atol=1.0)
    assert np.isnan(found["psr"][3])
    np.testing.assert_allclose(found["ph"][:3], np.log(2) / 0.03, rtol=0.01)
    assert "the mean of the last 10 frames (75 to 88.5 s)" in note


def test_short_baselines_serve():
    found, _ = recovery(curves()[:, 18:], TIMES[18:], 2, 4, 30.0, 10)
    np.testing.assert_allclose(found["psr"][:3], [80, 100, 120], atol=2.0)


@pytest.mark.parametrize(
    ("frames", "te_ms", "sentence"),
    [
        (30, 30.0, "psr is undefined: the last 10 frames begin within 10 s of the peak"),
        (60, None, "psr needs the echo time"),
    ],
)
def test_what_is_missing_is_said(frames, te_ms, sentence):
    found, note = recovery(curves()[:, :frames], TIMES[:frames], 20, 22, te_ms, 10)
    assert note.startswith(sentence)
    assert "psr" not in found or np.isnan(found["psr"]).all()
