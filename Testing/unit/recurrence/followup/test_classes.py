"""Classes of voxels by hand, medians, paired tests."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.images import Grid
from gliosuite.recurrence import CHANNELS, Inputs
from gliosuite.recurrence.followup.classes import CLASSES, LEAST, Followed, became, compared, medians
from gliosuite.statistics.groups import wilcoxon

GRID = Grid.made((1, 1, 40), (3.0, 3.0, 3.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def along(text: str) -> np.ndarray:
    """A row of voxels: true where the text has an x."""
    return np.array([c == "x" for c in text.ljust(40)]).reshape(GRID.shape)


def row(**images: np.ndarray) -> Followed:
    """Brain of 36 voxels in a row; T2L 2-9 with CEL 2-4 and necrosis 8; cavity 0-1; ventricles 20-21."""
    masks = {
        "brain": along("x" * 36),
        "cavity": along("xx"),
        "t2l": along("  xxxxxxxx"),
        "cel": along("  xxx"),
    }
    later = {"cel": along("   xxx    x"), "t2l": along("   xxxxxxxxxx")}
    apart = along("        x           xx")
    return Followed("row", Inputs(images, masks, GRID, masks["t2l"] | later["t2l"]), later, apart)


def test_each_voxel_has_the_class_that_was_drawn():
    found = became(row(), within_mm=1000).ravel()
    name = lambda i: CLASSES[found[i]] if found[i] >= 0 else None
    assert [name(i) for i in range(14)] == [
        None,
        None,
        "CEL to NAV",
        "CEL to CEL",
        "CEL to CEL",
        "NEL to CEL",
        "NEL to NEL",
        "NEL to NEL",
        None,
        "NEL to NEL",
        "NAV to CEL",
        "NAV to NEL",
        "NAV to NEL",
        "NAV to NAV",
    ]
    assert [name(i) for i in (19, 20, 21, 22, 35, 36)] == ["NAV to NAV", None, None, "NAV to NAV", "NAV to NAV", None]


def test_what_lies_beyond_the_distance_is_left_out():
    found = became(row(), within_mm=30).ravel()  # the lesion ends in voxel 9: voxel 19 lies 30 mm away
    assert found[19] == CLASSES.index("NAV to NAV")
    assert (found[20:] == -1).all()


def test_enhancement_inside_necrosis_still_enhances():
    one = row()
    assert became(replace(one, apart=one.inputs.masks["cel"])).ravel()[3] == CLASSES.index("CEL to CEL")


def test_medians_are_taken_of_five_voxels_at_least():
    values = np.arange(40, dtype=np.float32).reshape(GRID.shape)
    values.flat[13] = np.nan
    found, counts = medians(row(cni=values), within_mm=1000)
    at = list(CHANNELS).index("cni")
    of = lambda name: (found[CLASSES.index(name), at], counts[CLASSES.index(name), at])
    stable = [*range(14, 20), *range(22, 36)]
    assert of("NAV to NAV") == (np.median(stable), len(stable))
    assert np.isnan(of("NAV to NEL")[0])
    assert of("NAV to NEL")[1] == 2 < LEAST
    assert np.isnan(np.delete(found, at, axis=1)).all(), "no other image was there"


def test_intensities_are_over_those_of_normal_brain(cohort):
    found, _ = medians(cohort[0])
    adc = found[:, list(CHANNELS).index("adc")]
    assert adc[CLASSES.index("NAV to NAV")] == pytest.approx(1, abs=0.02)
    assert adc[CLASSES.index("NAV to CEL")] == pytest.approx(0.7, abs=0.03)
    assert adc[CLASSES.index("NAV to NEL")] == pytest.approx(0.7, abs=0.03)


def test_pairs_are_compared_within_patients(cohort):
    table = np.stack([medians(p)[0] for p in cohort])
    rows = compared(table)
    of = {(r["feature"], r["first"]): r for r in rows if r["second"] == "NAV to NAV"}
    adc = of["nadc", "NAV to CEL"]
    assert adc["patients"] == 12
    assert adc["p"] == pytest.approx(2 / 2**12)
    assert adc["median_difference"] == pytest.approx(-0.3, abs=0.02)
    assert of["nt1c", "NAV to CEL"]["p_holm"] > 0.05, "T1c tells nothing here"
    first, second = (table[:, CLASSES.index(n), list(CHANNELS).index("t1c")] for n in ("NAV to CEL", "NAV to NAV"))
    assert of["nt1c", "NAV to CEL"]["p"] == wilcoxon(first, second)


def test_a_patient_without_one_of_both_is_left_out(cohort):
    table = np.stack([medians(p)[0] for p in cohort])
    table[:3, CLASSES.index("NAV to CEL")] = np.nan
    assert {r["patients"] for r in compared(table, [("NAV to CEL", "NAV to NAV")])} == {9}
    table[:11, CLASSES.index("NAV to CEL")] = np.nan
    assert compared(table, [("NAV to CEL", "NAV to NAV")]) == []
