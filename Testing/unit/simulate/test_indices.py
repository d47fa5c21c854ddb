import numpy as np
import pytest
from gliosuite.simulate.indices import indices, metabolite_index


@pytest.fixture
def normal_and_tumour():
    rng = np.random.default_rng(2)
    naa = rng.uniform(20, 100, 4000)  # partial fluid
    cho = 0.5 * naa + rng.normal(0, 3, 4000)
    return np.concatenate([cho, np.full(200, 90.0)]), np.concatenate([naa, np.full(200, 25.0)])


def test_index_counts_standard_deviations_from_the_line_of_normal_tissue(normal_and_tumour):
    cho, naa = normal_and_tumour
    cni = metabolite_index(cho, naa, np.ones(cho.size, bool))
    assert cni[:4000].mean() == pytest.approx(0, abs=0.15)
    assert cni[:4000].std() == pytest.approx(1, abs=0.15)
    # (90 - .5 * 25) / hypot(1, .5), in units of 3 / hypot(1, .5)
    assert cni[4000:].mean() == pytest.approx((90 - 12.5) / 3, rel=0.12)


def test_tumour_among_the_candidates_is_taken_out(normal_and_tumour):
    cho, naa = normal_and_tumour
    known = np.arange(cho.size) < 4000
    with_tumour, without = (metabolite_index(cho, naa, k) for k in (np.ones(cho.size, bool), known))
    np.testing.assert_allclose(with_tumour, without, rtol=0.05, atol=0.05)


def test_fluid_has_no_index_and_nothing_to_compare_with_gives_zero():
    rng = np.random.default_rng(1)
    naa = np.append(rng.uniform(50, 100, 300), 0.0)
    cho = np.append(0.4 * naa[:300] + rng.normal(0, 2, 300), 0.0)
    normal = np.arange(301) < 300
    assert metabolite_index(cho, naa, normal)[-1] == 0
    assert (metabolite_index(cho, naa, np.zeros(301, bool)) == 0).all()
    assert (metabolite_index(2 * naa, naa, normal) == 0).all()


def test_indices_compare_choline_naa_and_creatine():
    rng = np.random.default_rng(3)
    peaks = {n: rng.normal(m, 2, 500) for n, m in (("cho", 50.0), ("cre", 45.0), ("naa", 100.0))}
    peaks["cho"][0] = 90.0
    found = indices(peaks, np.ones(500, bool))
    assert found["cni"][0] > 8
    assert found["ccri"][0] > 8
    assert abs(found["crni"][0]) < 4
