"""Features of voxels."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.recurrence.features import NAMES, feature_of, features, features_of, mode
from gliosuite.recurrence.inputs import CHANNELS

from .conftest import patient

COLUMN = {n: i for i, n in enumerate(NAMES)}


def test_the_mode_is_the_peak_of_what_there_is_most_of():
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(100, 5, 8000), rng.normal(300, 5, 2000), [np.nan]])
    assert mode(values) == pytest.approx(100, rel=0.03)
    assert np.isnan(mode(np.array([np.nan])))
    assert mode(np.full(9, 4.0)) == 4.0


def test_a_scanner_s_own_unit_does_not_matter():
    one = patient(1)
    other = replace(one, images={n: v * (3 if n != "adc" else 1e6) for n, v in one.images.items()})
    assert np.allclose(features(one)[0], features(other)[0], rtol=1e-3, equal_nan=True)


def test_voxels_are_those_round_the_lesion_in_the_brain():
    one = patient(1)
    values, where = features(one)
    assert values.shape == (where.sum(), len(NAMES))
    assert not (where & (one.masks["t2l"] | ~one.masks["brain"])).any()
    away = values[:, COLUMN["from_t2l_mm"]]
    assert away.min() == 3
    assert away.max() <= 40


def test_what_is_missing_is_nan_and_what_is_there_is_relative_to_normal_brain():
    values, _ = features(patient(1))
    assert np.isnan(values[:, COLUMN["nfa"]]).all()
    assert np.isnan(values[:, COLUMN["cni"]]).all()
    assert np.median(values[:, COLUMN["nt1c"]]) == pytest.approx(1, abs=0.05)
    assert values[:, COLUMN["nflair_around"]].std() < values[:, COLUMN["nflair"]].std()


def test_a_missing_mask_is_far_away():
    one = patient(1)
    one = replace(one, masks=one.masks | {"cel": np.zeros_like(one.masks["brain"])})
    assert (features(one)[0][:, COLUMN["from_cel_mm"]] == 100).all()


@pytest.mark.parametrize(
    "channel, own, all_of_it",
    [
        ("t1", "nt1", {"nt1"}),
        ("t1c", "nt1c", {"nt1c", "nt1c_around"}),
        ("naa", "nnaa", {"nnaa"}),
        ("cni", "cni", {"cni"}),
    ],
)
def test_a_channel_has_its_features(channel, own, all_of_it):
    assert (feature_of(channel), features_of(channel)) == (own, all_of_it)


def test_every_feature_of_an_image_belongs_to_one_channel():
    held = [f for name in CHANNELS for f in features_of(name)]
    assert sorted(held) == sorted(n for n in NAMES if not n.endswith(("_mm", "_cc")))
