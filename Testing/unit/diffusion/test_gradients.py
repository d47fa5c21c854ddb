"""b-values and directions: what is read, refused, and what they allow."""

import diffusion_series as ds
import numpy as np
import pytest
from gliosuite.diffusion.gradients import MEAN, TENSOR, Gradients, plan, read_gradients, unweighted
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, array

B, G = ds.scheme(ds.spread(12), 2)


def written(tmp_path, bval, bvec):
    (tmp_path / "a.bval").write_text(bval)
    (tmp_path / "a.bvec").write_text(bvec)
    return tmp_path / "a.bval", tmp_path / "a.bvec"


def rows(values):
    return "\n".join(" ".join(f"{v:.5f}" for v in row) for row in values)


def test_rows_and_columns_are_read_alike(tmp_path):
    one = read_gradients(*written(tmp_path, " ".join(map(str, B)), rows(G.T)))
    two = read_gradients(*written(tmp_path, "\n".join(map(str, B)), rows(G)))
    np.testing.assert_array_equal(one.b, B)
    np.testing.assert_allclose(one.directions, G, atol=1e-5)
    np.testing.assert_array_equal(one.directions, two.directions)
    assert one.told() == "2 with b = 0 and 12 with b = 1000 s/mm2"


@pytest.mark.parametrize(
    "b, g, sentence",
    [
        (B / 1000, G, r"largest b-value is 1, which shows no diffusion; were they given in ms/um2"),
        (B * 1e6, G, r"largest b-value is 1e\+09, which no scanner reaches; were they given in s/m2"),
        (B, G[:-1], r"13 gradient directions and 14 b-values"),
        (B, 0.8 * G, r"direction of volume 3 has a length of 0\.800 \(and 11 others"),
        (-B, G, r"not all numbers of 0 or more"),
        (np.append(B[:-1], np.nan), G, r"not all numbers of 0 or more"),
        (["0", "b"], None, r"its b-values are not numbers"),
        ([0, 1000], [[0, 0, 0], [1]], r"its gradient directions are not numbers"),
    ],
)
def test_numbers_that_cannot_be_are_refused(b, g, sentence):
    with pytest.raises(InputError, match=sentence):
        Gradients.of(b, g, "dwi.nii.gz")


def test_files_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="3 rows of 13 numbers and there are 14 b-values"):
        read_gradients(*written(tmp_path, " ".join(map(str, B)), rows(G[:-1].T)))
    with pytest.raises(InputError, match="is empty"):
        read_gradients(*written(tmp_path, "\n", rows(G.T)))
    with pytest.raises(InputError, match="no number"):
        read_gradients(*written(tmp_path, "0 1000 b", rows(G.T)))
    with pytest.raises(InputError, match="does not exist"):
        read_gradients(tmp_path / "none.bval")
    grid = Grid((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    with pytest.raises(InputError, match="has 13 volumes and there are 14 b-values"):
        Gradients.of(B, G).check_count(Series(np.ones((13, 2, 2, 2), np.float32), grid))


def test_a_direction_beside_a_b_value_of_none_counts_for_nothing():
    g = G.copy()
    g[:2] = 0.4, np.nan, 3.0
    assert not Gradients.of(B, g).directions[:2].any()


def test_shells_are_told_by_distance():
    b = [5, 0, 995, 1000, 1005, 2000, 2010]
    assert Gradients.of(b).shells().tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_six_directions_make_a_tensor_and_five_do_not():
    assert plan(Gradients.of(*ds.scheme(ds.SIX)), 1500).kind == TENSOR
    with pytest.raises(InputError, match=r"5 independent gradient directions.*FA needs 6, ADC 3"):
        plan(Gradients.of(*ds.scheme(ds.SIX[:5])), 1500)
    # Six directions in one plane tell no tensor either.
    turn = np.deg2rad(30 * np.arange(6))
    flat = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    with pytest.raises(InputError, match="3 independent"):
        plan(Gradients.of(*ds.scheme(flat)), 1500)


def test_three_directions_at_right_angles_tell_adc_alone():
    found = plan(Gradients.of(*ds.scheme(ds.THREE)), 1500)
    assert found.kind == MEAN
    assert "needs 6 independent directions, and there are 3" in found.why
    with pytest.raises(InputError, match="2 independent"):
        plan(Gradients.of(*ds.scheme(ds.THREE[:2])), 1500)


def test_without_directions_adc_takes_volumes_for_means():
    found = plan(Gradients.of([0, 500, 1000]), 1500)
    assert found.kind == MEAN
    assert "no gradient directions are known" in found.why
    for b in ([1000, 1000], [0, 0]):
        with pytest.raises(InputError, match=r"one b-value 1000|no volume with a diffusion weight"):
            plan(Gradients.of(b), 1500)
    with pytest.raises(InputError, match="one b-value"):
        plan(Gradients.of(*ds.scheme(ds.spread(30), 0)), 1500)


def test_strong_weights_are_left_out_where_the_others_are_enough():
    b, g = ds.scheme(ds.spread(12), 1, (1000.0, 3000.0))
    found = plan(Gradients.of(b, g), 1500)
    assert b[found.volumes].max() == 1000
    assert "12 volumes with b above 1500 s/mm2 were left out" in found.notes[0]
    strong = plan(Gradients.of(*ds.scheme(ds.spread(12), 1, (2000.0,))), 1500)
    assert strong.volumes.size == 13
    assert "ADC is lower there" in strong.notes[0]


def test_means_among_directions_are_left_out():
    b, g = np.append(B, 1000.0), np.vstack([G, np.zeros(3)])
    found = plan(Gradients.of(b, g), 1500)
    assert 14 not in found.volumes
    assert "1 volumes with a b-value and no direction" in found.notes[0]


def test_the_unweighted_image_is_the_mean_of_those_with_the_least_weight():
    grid = Grid((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    frames = np.stack([np.full(grid.shape, v, np.float32) for v in (30, 10, 20)])
    assert (array(unweighted(Series(frames, grid), Gradients.of([1000, 0, 5]))) == 15).all()


@pytest.mark.parametrize(
    "b, g, kind",
    [
        (*ds.scheme(ds.spread(512)), TENSOR),  # one volume without weight beside hundreds
        (*ds.scheme(ds.SIX, 4, (200.0,)), TENSOR),
        (*ds.scheme(ds.spread(32), 0, (700.0, 1400.0)), TENSOR),
        (*ds.scheme(ds.spread(6), 1), TENSOR),
    ],
)
def test_whether_a_tensor_is_told_does_not_hang_on_how_many_volumes_there_are(b, g, kind):
    assert plan(Gradients.of(b, g), 1500).kind == kind


def test_b_values_that_only_jitter_are_one():
    b = np.random.default_rng(0).normal(1000, 5, 64)
    with pytest.raises(InputError, match="one b-value"):
        plan(Gradients.of(b, ds.spread(64)), 1500)
    with pytest.raises(InputError, match="too close to each other"):
        plan(Gradients.of([1000, 1000, 1150]), 1500)
