import numpy as np
import pytest
from gliosuite.simulate.draws import Hazard, LogNormal, Shares, Uniform
from scipy import stats

RNG_SEED = 5


def test_uniform_and_lognormal_draw_from_their_own_law():
    for law in (Uniform(2.0, 5.0), LogNormal(26.4, 0.727, 1.2, 153.6), LogNormal(3.0, 1.0, 2.0, 4.0)):
        rng = np.random.default_rng(RNG_SEED)
        drawn = [law.draw(rng) for _ in range(2000)]
        assert min(drawn) >= law.low
        assert max(drawn) <= law.high
        assert stats.kstest(drawn, law.cdf).pvalue > 0.05


def test_lognormal_of_s3_has_its_median_and_mean():
    law = LogNormal(26.4, 0.727, 1.2, 153.6)
    rng = np.random.default_rng(RNG_SEED)
    drawn = np.array([law.draw(rng) for _ in range(20000)])
    assert np.median(drawn) == pytest.approx(26.4, rel=0.03)
    assert drawn.mean() == pytest.approx(34.4, rel=0.05)  # S3's mean


def test_upper_end_of_one_draw_may_be_lower():
    law = LogNormal(13.0, 0.6, 3.0, 40.0)
    rng = np.random.default_rng(RNG_SEED)
    drawn = [law.draw(rng, high=8.0) for _ in range(500)]
    assert max(drawn) <= 8.0
    assert stats.kstest(law.cdf(drawn, 8.0), "uniform").pvalue > 0.05


def test_shares_are_drawn_by_weight():
    law = Shares((("a", 3), ("b", 1)))
    rng = np.random.default_rng(RNG_SEED)
    drawn = [law.draw(rng) for _ in range(4000)]
    assert drawn.count("a") / 4000 == pytest.approx(0.75, abs=0.025)
    assert str(law) == "a 75 %, b 25 %"


def test_hazards_are_proportional_and_keep_the_median():
    law = Hazard(213.0, 1.3, 30.0, (("x", float(np.log(2))),))
    rng = np.random.default_rng(RNG_SEED)
    plain, twice = ([law.draw(rng, {"x": v}) for _ in range(4000)] for v in (0.0, 1.0))
    assert np.median(plain) == pytest.approx(213, rel=0.04)
    assert min(plain) > 30
    assert stats.kstest(law.cdf(twice, {"x": 1.0}), "uniform").pvalue > 0.05
    days = np.array([100.0, 200.0, 400.0])
    ratio = np.log(1 - law.cdf(days, {"x": 1.0})) / np.log(1 - law.cdf(days, {"x": 0.0}))
    np.testing.assert_allclose(ratio, 2.0)
    assert "hazard ratios x 2.00" in str(law)
