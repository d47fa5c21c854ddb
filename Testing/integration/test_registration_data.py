"""Registration of real images: strong motion between oblique series, and a follow-up with landmarks."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.images import read_image
from gliosuite.registration import read_landmarks, register, register_followup
from gliosuite.registration.quality import landmark_error

# Angles about x, y, z (degrees) that the data's README gives for its own rigid registration of each series against the T1c. They are
# estimates of the movement back, so ours are compared through the inverse.
ESTIMATES = {"t1": (-4.7, 3.2, 7.8), "t2": (-0.6, 4.1, -7.0), "fla": (-3.3, 7.4, 10.9)}


@pytest.mark.parametrize("series", ESTIMATES)
def test_strong_motion_between_oblique_series(data, series):
    name = "glioma-tcga-fg-6692/native-brainmasked/TCGA-FG-6692_{}_native_brainmasked.nii.gz"
    result = register(read_image(data(name.format("t1c"))), read_image(data(name.format(series))), engine="simpleitk")
    back = sitk.Euler3DTransform()
    back.SetMatrix(sitk.VersorRigid3DTransform(result.transform.GetInverse()).GetMatrix())
    angles = np.degrees([back.GetAngleX(), back.GetAngleY(), back.GetAngleZ()])
    quality = result.quality
    print(f"{series}: {angles.round(1)} degrees, estimate {ESTIMATES[series]}; {quality}")
    assert np.abs(angles - ESTIMATES[series]).max() < 2
    assert quality.mutual_information_after > 1.5 * quality.mutual_information_before
    assert quality.overlap > 0.95


@pytest.mark.slow
def test_followup_brings_expert_landmarks_closer(data):
    where = "glioma-preop-followup/BraTSReg_002_{}_{}"
    visit = lambda v: {
        r: read_image(data(where.format(v, f"{n}.nii.gz"))) for r, n in (("t1c", "t1ce"), ("flair", "flair"))
    }
    marks = tuple(read_landmarks(data(where.format(v, "landmarks.csv"))) for v in ("00_0000", "01_0262"))
    result = register_followup(visit("00_0000"), visit("01_0262"), landmarks=marks, engine="simpleitk")
    print({k: v for k, v in result.summary.items() if "landmark" in k or "jacobian" in k or "inverse" in k})
    assert landmark_error(None, *marks).mean() == pytest.approx(2.33, abs=0.01)
    assert landmark_error(result.transform, *marks).mean() < 2.33
    assert result.summary["jacobian_min"] > 0
    assert result.quality.verdict == "accepted"
