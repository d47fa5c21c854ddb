"""What drove a voxel: hand-made trees, of which it is known what they look at."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence import predict
from gliosuite.recurrence.features import NAMES, features
from gliosuite.recurrence.reasons import RELATIVE, reasons
from gliosuite.recurrence.trees import Trees
from gliosuite.training import Model

from .conftest import GRID, patient

SLOPE, OFFSET = 2.0, 0.3


def stump(feature: str, threshold: float, low: float, high: float, missing_left: int = 1):
    """A tree that asks one feature: `low` up to the threshold."""
    return (NAMES.index(feature), threshold, missing_left, low, high)


def model(*members, base=0.1):
    """A model whose members are each a sum of stumps, as many in each."""
    columns = {f: [] for f in ("feature", "threshold", "left", "right", "missing_left", "value")}
    roots = []
    for member in members:
        roots.append([])
        for feature, threshold, missing_left, low, high in member:
            at = len(columns["feature"])
            roots[-1].append(at)
            columns["feature"] += [feature, -1, -1]
            columns["threshold"] += [threshold, 0.0, 0.0]
            columns["left"] += [at + 1, 0, 0]
            columns["right"] += [at + 2, 0, 0]
            columns["missing_left"] += [missing_left, 0, 0]
            columns["value"] += [0.0, low, high]
    types = {"feature": np.int16, "left": np.int32, "right": np.int32, "missing_left": np.uint8}
    arrays = {n: np.array(v, types.get(n, np.float64)) for n, v in columns.items()}
    trees = Trees(**arrays, roots=np.array(roots, np.int32), base=np.full(len(members), base))
    ranges = dict.fromkeys(("t1c", "flair", "adc", "fa", "cni"), (-100.0, 100.0))
    about = {
        "grid_mm": 3.0,
        "features": list(NAMES),
        "ranges": ranges,
        "calibration": {"slope": SLOPE, "offset": OFFSET},
        "kind": "voxelwise",
        "trained_on": "nobody",
        "threshold": 0.5,
        "weights_sha256": "",
    }
    return Model(trees.arrays(), about)


def place_of(voxel):
    """The centre (LPS, mm) of a voxel (z, y, x)."""
    return GRID.blank().TransformIndexToPhysicalPoint([int(i) for i in voxel[::-1]])


@pytest.fixture(scope="module")
def one():
    return patient(3)


@pytest.fixture(scope="module")
def asked(one):
    """Features and voxels, and one of the latter: its row, and where it is."""
    values, where = features(one)
    voxel = tuple(np.argwhere(where)[700])
    return values, voxel, 700


def by_name(found):
    return {r.input: r for r in found.reasons}


def test_trees_that_look_at_one_channel_give_it_all_of_the_credit(one, asked):
    values, voxel, row = asked
    adc = values[row, NAMES.index("nadc")]
    made = model([stump("nadc", adc + 0.01, 1.5, -1.0, missing_left=0)])
    found = by_name(reasons(one, place_of(voxel), made))
    assert found["ADC"].log_odds == pytest.approx(SLOPE * 2.5)
    assert found["ADC"].without == pytest.approx(1 / (1 + math.exp(-(SLOPE * (0.1 - 1.0) + OFFSET))))
    assert found["ADC"].value == pytest.approx(adc)
    assert found["ADC"].unit == RELATIVE
    assert all(r.log_odds == 0 and r.log_odds_sd == 0 for name, r in found.items() if name != "ADC")


def test_a_smoothed_value_goes_with_its_channel(one, asked):
    around = asked[0][asked[2], NAMES.index("nflair_around")]
    made = model([stump("nflair_around", around + 0.01, 1.0, 0.0, missing_left=0)])
    assert by_name(reasons(one, place_of(asked[1]), made))["FLAIR"].log_odds == pytest.approx(SLOPE)


def test_sums_are_exact_over_trees_and_members(one, asked):
    values, voxel, row = asked
    at = lambda name: values[row, NAMES.index(name)]
    flair, t1c = at("nflair"), at("nt1c")
    made = model(
        [stump("nflair", flair, 0.5, 0.0, 0), stump("nt1c", t1c - 0.1, 0.0, 0.25)],
        [stump("nflair", flair, 0.9, 0.0, 0), stump("nflair", flair - 0.1, 0.0, -0.2)],
    )
    said = reasons(one, place_of(voxel), made)
    found = by_name(said)
    flair_adds, t1c_adds = SLOPE * np.array([0.5, 0.9 - 0.2]), SLOPE * np.array([0.25, 0.0])
    for name, adds in (("FLAIR", flair_adds), ("T1c", t1c_adds)):
        assert found[name].log_odds == pytest.approx(adds.mean())
        assert found[name].log_odds_sd == pytest.approx(adds.std())
    p = 1 / (1 + np.exp(-(SLOPE * np.array([0.1 + 0.75, 0.1 + 0.7]) + OFFSET)))
    assert (said.probability, said.sd) == (pytest.approx(p.mean()), pytest.approx(p.std()))
    assert [r.input for r in said.reasons[:2]] == ["FLAIR", "T1c"]


def test_it_is_the_probability_of_the_map(one, asked):
    made = model([stump("from_t2l_mm", 12.0, 1.0, -1.0)], [stump("nadc", 0.9, 1.0, -0.5)])
    said, whole = reasons(one, place_of(asked[1]), made), predict(one, made)
    assert said.probability == pytest.approx(float(whole.probability[asked[1]]), abs=1e-6)
    assert said.sd == pytest.approx(float(whole.sd[asked[1]]), abs=1e-6)


def test_a_distance_is_held_against_the_median(one, asked):
    values, _, _ = asked
    away = values[:, NAMES.index("from_t2l_mm")]
    row = int(np.argmin(away))
    made = model([stump("from_t2l_mm", float(np.median(away)) - 0.01, 2.0, 0.0)])
    said = reasons(one, place_of(np.argwhere(features(one)[1])[row]), made)
    found = by_name(said)
    assert found["from T2L"].log_odds == found["all distances"].log_odds == pytest.approx(SLOPE * 2.0)
    assert (found["from T2L"].value, found["from T2L"].unit) == (away.min(), "mm")
    assert "from cavity" not in found, "there is none"
    assert "not what causes recurrence" in said.notes[0]
    assert "median" in said.notes[0]


def test_sizes_of_the_lesion_count_too(one, asked):
    cc = {name: one.masks[name].sum() * 0.027 for name in ("t2l", "cel")}
    made = model([stump("log_t2l_cc", 0.0, 0.0, 0.4), stump("log_cel_cc", -9.0, 0.5, 0.0)])
    found = by_name(reasons(one, place_of(asked[1]), made))
    assert found["T2L size"].log_odds == pytest.approx(SLOPE * 0.4)
    assert found["all sizes"].log_odds == pytest.approx(SLOPE * (0.4 - 0.5))
    assert [found[n].value for n in ("T2L size", "CEL size")] == pytest.approx(list(cc.values()))


def test_what_was_not_measured_adds_nothing_and_a_missing_channel_is_not_named(one, asked):
    adc = one.images["adc"].copy()
    adc[asked[1]] = np.nan
    made = model([stump("nadc", 0.0, 1.0, -1.0), stump("nfa", 1.0, 5.0, 3.0)])
    found = by_name(reasons(replace(one, images=one.images | {"adc": adc}), place_of(asked[1]), made))
    assert (found["ADC"].log_odds, found["ADC"].value, found["ADC"].percentile) == (0, None, None)
    assert "FA" not in found


def test_a_map_of_the_lesion_alone_has_no_place_in_normal_brain(one, asked):
    cni = np.where(one.away("t2l") <= 9, 1.5, np.nan).astype(np.float32)
    values, where = features(one)
    near = int(np.argmin(values[:, NAMES.index("from_t2l_mm")]))
    made = model([stump("cni", 1.0, 0.0, 1.0)])
    place = place_of(np.argwhere(where)[near])
    found = by_name(reasons(replace(one, images=one.images | {"cni": cni}), place, made))["CNI"]
    assert (found.value, found.percentile, found.log_odds) == (1.5, None, pytest.approx(SLOPE))


def test_kinds_of_scan_go_together(one, asked):
    both = replace(one, images=one.images | {"fa": one.images["adc"]})
    nfa = features(both)[0][asked[2], NAMES.index("nfa")]
    made = model([stump("nadc", nfa, 0.5, 0.0, 0), stump("nfa", nfa, 0.25, 0.0, 0)])
    found = by_name(reasons(both, place_of(asked[1]), made))
    assert found["ADC"].log_odds == pytest.approx(SLOPE * 0.5)
    assert found["all diffusion"].log_odds == pytest.approx(SLOPE * 0.75)
    assert "all perfusion" not in found


def test_a_value_is_told_beside_normal_brain_and_training(one, asked):
    low, high = (replace(one, images=dict(one.images)) for _ in range(2))
    for other, value in ((low, 0.0), (high, 1e6)):
        other.images["flair"] = one.images["flair"].copy()
        other.images["flair"][asked[1]] = value
    made = model([stump("nadc", 0.0, 1.0, -1.0)])
    told = [by_name(reasons(i, place_of(asked[1]), made))["FLAIR"] for i in (low, one, high)]
    assert told[0].percentile == 0
    assert 0 < told[1].percentile < 100
    assert told[2].percentile > 99
    assert (told[1].low, told[1].high) == (-100, 100)


@pytest.mark.parametrize(
    "place, sentence",
    [
        ("t2l", "in the lesion, where the probability is 1"),
        ("cavity", "in the cavity"),
        ("far", "farther than 40 mm from the T2 lesion"),
        ("air", "outside the brain"),
        ("nowhere", r"the place -900,-5,0 \(R,A,S in mm\) lies outside the images"),
    ],
)
def test_where_nothing_is_predicted_is_one_sentence(one, place, sentence):
    cavity = np.zeros(GRID.shape, bool)
    cavity[14, 22, 15] = True
    assert not one.masks["t2l"][14, 22, 15]
    brain = one.masks["brain"] | (one.away("t2l") > 42)
    inputs = replace(one, masks=one.masks | {"cavity": cavity, "brain": brain})
    masks = inputs.masks | {"far": one.away("t2l") > 42, "air": ~brain}
    point = (900, 5, 0) if place == "nowhere" else place_of(np.argwhere(masks[place])[0])
    with pytest.raises(InputError, match=sentence):
        reasons(inputs, point, model([stump("nadc", 0.0, 1.0, -1.0)]))
