"""Diffusion on the published block of a brain, against the medians of its README (an ordinary fit)."""

import numpy as np
import pytest
from gliosuite.diffusion import fit_tensor, gradients_beside
from gliosuite.images import array, read_image, read_series


@pytest.mark.parametrize("fit, close", [("ordinary", 0.01), ("weighted", 0.02)])
def test_a_block_of_a_real_brain(data, tmp_path, gliosuite, fit, close):
    path = data("dwi-brain-small/small_64D.nii")
    gradients, series = gradients_beside(path), read_series(path)
    signals = series.curves()
    plain = fit_tensor(signals, gradients.b, gradients.directions, weighted=False)
    at = ((signals[:, 0] > 100) & np.isfinite(plain.adc) & ~plain.negative).reshape(series.grid.shape)
    assert at.sum() == 966
    code, _, err = gliosuite("dti", path, "--fit", fit, "--out", tmp_path / "out")
    assert code == 0, err
    adc, fa = (array(read_image(tmp_path / "out" / f"{n}.nii.gz"))[at] for n in ("adc", "fa"))
    assert np.nanmedian(adc) == pytest.approx(8.488e-4, rel=close)
    assert np.nanmedian(fa) == pytest.approx(0.343, rel=close)
