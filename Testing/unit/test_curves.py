import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite import curves
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, boolean
from gliosuite.perfusion.kinetics import parker_aif


def bolus_signal(rng, frames, arrival, dt=1.5, noise=1.0, kind="dsc"):
    times = dt * np.arange(frames)
    aif = parker_aif(times, arrival * dt - 3.0)
    signal = 100 * np.exp(-0.13 * aif) if kind == "dsc" else 100 + 10 * aif
    true = int(np.argmax(aif > 0.05 * aif.max()))
    return signal + rng.normal(0, noise, frames), true


@pytest.mark.parametrize("kind", ["dsc", "dce"])
@pytest.mark.parametrize("arrival", [5, 8, 20, 40])
def test_arrival_is_found_within_a_frame(kind, arrival):
    rng = np.random.default_rng(arrival)
    for _ in range(20):
        signal, true = bolus_signal(rng, 70, arrival, kind=kind)
        found = curves.find_bolus(signal, kind == "dce")
        assert abs(found.arrival - true) <= 1
        assert found.steady == 0


@pytest.mark.parametrize("unsteady", [1, 2, 3])
def test_frames_before_steady_state_are_left_out(unsteady):
    rng = np.random.default_rng(unsteady)
    signal, true = bolus_signal(rng, 60, 15)
    signal[:unsteady] += 40 * 0.6 ** np.arange(unsteady)
    found = curves.find_bolus(signal, False)
    assert found.steady == unsteady
    assert abs(found.arrival - true) <= 1


def test_baseline_is_not_biased():
    rng = np.random.default_rng(3)
    signal, _ = bolus_signal(rng, 60, 20, noise=0.2)
    found = curves.find_bolus(signal, False)
    assert np.mean(signal[found.steady : found.arrival]) == pytest.approx(100, rel=0.005)


def test_flat_series_is_refused():
    flat = 100 + np.random.default_rng(0).normal(0, 1, 40)
    with pytest.raises(InputError, match=r"dsc\.nii\.gz shows no bolus: its signal falls by at most"):
        curves.find_bolus(flat, False, "dsc.nii.gz")


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ([0, 1], "gives 2 times and dce.nii.gz has 3 time points"),
        ([0, 2, 2], r"do not rise: frame 2 is at 2 s and frame 3 at 2 s"),
        ([0, np.nan, 2], "the time of frame 2 of dce.nii.gz is no number"),
    ],
)
def test_times_are_checked(times, sentence):
    with pytest.raises(InputError, match=sentence):
        curves.check_times(times, 3, "dce.nii.gz")


def test_noise_is_measured_beside_a_bolus():
    rng = np.random.default_rng(1)
    found = [curves.noise_sd(bolus_signal(rng, 100, 30, noise=2.0)[0]) for _ in range(50)]
    assert np.mean(found) == pytest.approx(2.0, rel=0.25)


def test_enhancing_mean_takes_the_voxels_that_change():
    still = np.ones((95, 20))
    moving = np.ones((5, 20))
    moving[:, 10:] = 3.0
    mean = curves.enhancing_mean(np.concatenate([still, moving]))
    assert mean[15] == pytest.approx(3.0)


def head(frames=12):
    y, x = np.meshgrid(np.arange(20), np.arange(20), indexing="ij")
    x, y = np.broadcast_to(x, (4, 20, 20)), np.broadcast_to(y, (4, 20, 20))
    inside = (x - 9.5) ** 2 + (y - 9.5) ** 2 < 64
    signal = np.where(inside, 500.0, 5.0) * np.ones((frames, 1, 1, 1))
    signal[:, 2, 9:11, 9:11] = 10.0  # a hole, as of air
    return Series(
        signal.astype(np.float32), Grid((20, 20, 4), (3.0, 3.0, 5.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    ), inside


def test_signal_mask_is_the_filled_head():
    series, inside = head()
    mask = boolean(curves.signal_mask(series))
    assert (mask == inside).mean() > 0.98
    assert mask[2, 9, 9]


def test_invalid_voxels_are_counted_and_refused():
    series, inside = head()
    series.frames[3, 1, 9, 9] = np.nan
    series.frames[4, 1, 9, 10] = -2.0
    with pytest.raises(InputError, match="1 voxels with NaN or infinite values and 1 with negative ones"):
        curves.check_signal(series, inside, False)
    left = curves.check_signal(series, inside, True)
    assert left.sum() == inside.sum() - 2


def test_resampling_in_time_is_linear():
    times = np.array([0.0, 1.0, 3.0])
    result = curves.resample_time(np.array([[0.0, 2.0, 6.0]]), times, np.array([0.5, 2.0, 4.0]))
    np.testing.assert_allclose(result, [[1.0, 4.0, 6.0]])


def test_mask_elsewhere_is_refused():
    series, _ = head()
    far = sitk.Image([5, 5, 5], sitk.sitkUInt8) + 1
    far.SetOrigin((1000, 1000, 1000))
    with pytest.raises(InputError, match="the mask has no voxel on the grid of"):
        curves.mask_array(far, series)


@pytest.mark.parametrize("unit, dt", [("milliseconds", 2000.0), ("minutes", 1 / 30)])
def test_times_in_another_unit_are_refused(unit, dt):
    assert curves.check_duration(np.arange(60) * 2.0, "dce.nii.gz")[-1] == 118
    with pytest.raises(InputError, match=f"dce.nii.gz: its 60 frames last .* s, as times in {unit} would"):
        curves.check_duration(np.arange(60) * dt, "dce.nii.gz")
