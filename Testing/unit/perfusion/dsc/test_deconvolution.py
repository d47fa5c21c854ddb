import csv

import numpy as np
import pytest
from gliosuite.perfusion.dsc.flow.deconvolution import deconvolve
from gliosuite.perfusion.kinetics import convolve

TIMES = 1.25 * np.arange(80)


def aif():
    u = np.maximum(TIMES - 20, 0)
    return 40 * (u / 4.5) ** 3 * np.exp(3 - u / 1.5)


def tissue(cbf, mtt, delay=0.0):
    """Exponential residue; flow in ml/100ml/min."""
    return cbf / 100 * convolve(TIMES, aif(), 60 / mtt, delay, TIMES)[0]


@pytest.fixture
def osipi(data):
    csv.field_size_limit(10**7)
    with data("osipi-reference/dsc_data_rows_odd.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    curves = np.array([r["C_tis"].split() for r in rows], float)
    arterial = np.array(rows[0]["C_aif"].split(), float)
    return (
        curves,
        arterial,
        float(rows[0]["tr"].split()[0]),
        *(np.array([float(r[k]) for r in rows]) for k in ("cbv", "cbf")),
    )


@pytest.mark.parametrize(("method", "bar"), [("osvd", 2.6), ("ssvd", 3.0), ("tikhonov", 2.6)])
def test_osipi_flow(osipi, method, bar):
    curves, arterial, dt, _, cbf = osipi
    arterial = np.where(np.arange(arterial.size) < 17, 0.0, arterial)  # the bolus arrives in frame 17
    error = np.abs(6000 * deconvolve(curves, dt, arterial, method).height - cbf)
    assert (error <= 15 + 0.1 * cbf).all()
    assert error.mean() <= bar


def test_osipi_volume(osipi):
    curves, arterial, _, cbv, _ = osipi
    error = np.abs(100 * curves.sum(1) / arterial.sum() - cbv)
    assert (error <= 1 + 0.1 * cbv).all()
    assert error.mean() <= 0.36


@pytest.mark.parametrize("method", ["osvd", "csvd"])
def test_circulant_flow_does_not_depend_on_the_delay(method):
    curves = np.array([tissue(40, 4.0, d) for d in (0.0, 0.4, 0.8, 1.25, 2.5, 3.1, 5.0)])
    height = deconvolve(curves, 1.25, aif(), method).height
    np.testing.assert_allclose(height, height[0], rtol=0.05)


def test_tmax_follows_the_delay_within_half_a_frame():
    delays = np.array([0.0, 0.5, 1.25, 2.1, 2.5, 3.75, 5.0])
    curves = np.array([tissue(40, 5.0, d) for d in delays])
    tmax = deconvolve(curves, 1.25, aif(), "osvd").tmax_s
    np.testing.assert_allclose(tmax - tmax[0], delays, atol=0.625)


def test_tissue_earlier_than_the_aif_has_a_negative_tmax():
    early = deconvolve(tissue(40, 5.0, -5.0)[None], 1.25, aif(), "osvd").tmax_s[0]
    here = deconvolve(tissue(40, 5.0, 0.0)[None], 1.25, aif(), "osvd").tmax_s[0]
    assert early - here == pytest.approx(-5.0, abs=0.7)


@pytest.mark.parametrize("method", ["osvd", "csvd", "ssvd", "tikhonov"])
def test_flow_scales_and_nan_stays_nan(method):
    curves = np.array([tissue(20, 4.0), 2 * tissue(20, 4.0), np.full(80, np.nan)])
    height = deconvolve(curves, 1.25, aif(), method).height
    assert height[1] == pytest.approx(2 * height[0], rel=1e-6)
    assert np.isnan(height[2])
