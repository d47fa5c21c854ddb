"""CTVs from a probability: nested, closed, clipped, of the wanted volume or sensitivity."""

import sys
from pathlib import Path

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, write_image
from gliosuite.rt.targets import read_validation, threshold_for
from gliosuite.rt.targets.predicted import REACH_MM, Candidates
from scipy import ndimage

sys.path.append(str(Path(__file__).parents[3] / "standin"))
from probabilities import blurred_truth

GRID = Grid((70, 60, 50), (2.0, 2.0, 2.0), (0.0,) * 3, tuple(np.eye(3).ravel()))
Z, Y, X = (2.0 * a for a in np.indices(GRID.shape))


def ball(x, y, z, radius):
    return (X - x) ** 2 + (Y - y) ** 2 + (Z - z) ** 2 <= radius**2


LESION, BRAIN = ball(50, 60, 50, 10), ball(66, 60, 50, 58)
RECURRENCE = (ball(58, 64, 50, 16) | LESION) & BRAIN
SOFT = blurred_truth(RECURRENCE, GRID.spacing[::-1])


def candidates(probability=SOFT, smoothing_mm=2.0, **options):
    return Candidates.of(LESION, BRAIN, GRID.image(probability.astype(np.float32)), GRID, smoothing_mm, **options)


def test_ctvs_are_nested_hold_the_lesion_and_have_no_holes():
    made = candidates()
    before = None
    for level in (0.7, 0.5, 0.3, 0.1):
        ctv = made.whole(made.ctv(level))
        assert ctv[LESION].all()
        assert not ctv[~BRAIN].any()
        assert (ndimage.binary_fill_holes(ctv) & BRAIN == ctv).all()
        assert ndimage.label(ctv, np.ones((3, 3, 3)))[1] == 1
        assert before is None or ctv[before].all()
        before = ctv


def test_slits_narrower_than_the_scale_are_closed_and_wide_ones_stay():
    for width, closed in ((2.0, True), (14.0, False)):
        slit = np.abs(X - 66) < width / 2 + 0.1
        made = candidates(np.where(ball(66, 60, 50, 26) & ~slit, 0.9, 0.0), 3.0)
        assert made.whole(made.ctv(0.4))[slit & ball(66, 60, 50, 10)].all() == closed


def test_smoothing_takes_single_voxels_away():
    probability = np.where(ball(58, 60, 50, 14), 0.9, 0.0)
    spike = (X == 90) & (Y == 60) & (Z == 50)
    assert candidates(np.maximum(probability, spike), 0.0).score.max() == 2
    rough, smooth = (candidates(np.maximum(probability, spike), s, keep_satellites=True) for s in (0.0, 2.0))
    assert rough.whole(rough.ctv(0.5))[spike].all()
    assert not smooth.whole(smooth.ctv(0.5))[spike].any()


def test_nothing_lies_beyond_four_cm():
    made = candidates(np.full(GRID.shape, 0.9))
    ctv = made.whole(made.ctv(0.5))
    away = ndimage.distance_transform_edt(~LESION, sampling=2.0)
    assert away[ctv].max() <= REACH_MM
    assert ctv[BRAIN & (away <= REACH_MM)].all()
    assert made.beyond_cc(0.5) > 0


@pytest.mark.parametrize("wanted_cc", [20.0, 40.0, 75.0])
@pytest.mark.parametrize("keep", [False, True])
def test_a_wanted_volume_is_met_to_one_step_of_the_probability(wanted_cc, keep):
    made = candidates(keep_satellites=keep)
    count = wanted_cc / GRID.voxel_cc
    level = made.level_for(count)
    assert made.ctv(level).sum() <= count
    lower = made.score[made.score < level].max()
    assert made.ctv(lower).sum() > count


def test_satellites_are_listed_and_can_be_kept():
    apart, small = ball(84, 60, 50, 6), ball(50, 92, 50, 4)
    probability = np.maximum(np.where(ball(52, 60, 50, 13), 0.9, 0.0), np.maximum(0.8 * apart, 0.7 * small))
    made = candidates(probability, 0.0)
    ctv = made.ctv(0.5)
    found = made.satellites(0.5, ctv)
    assert [s.volume_cc for s in found] == pytest.approx([m.sum() * GRID.voxel_cc for m in (apart, small)])
    assert [s.max_probability for s in found] == pytest.approx([0.8, 0.7])
    assert found[0].mean_probability == pytest.approx(0.8)
    assert found[0].distance_mm == pytest.approx(18, abs=2)
    assert not made.whole(ctv)[apart | small].any()
    kept = candidates(probability, 0.0, keep_satellites=True)
    assert kept.whole(kept.ctv(0.5))[apart | small].all()
    assert kept.satellites(0.5, kept.ctv(0.5)) == found


def test_percent_is_no_probability():
    with pytest.raises(InputError, match=r"runs from 0 to 100; 0 to 1 is needed"):
        candidates(100.0 * LESION)
    with pytest.raises(InputError, match="smoothing of 30 mm is out of range"):
        candidates(smoothing_mm=30)


@pytest.fixture
def validation(tmp_path):
    for i in range(3):
        place = tmp_path / "cases" / f"p{i}"
        recurrence = (ball(56 + 3 * i, 62, 50, 13 + i) | LESION) & BRAIN
        images = {"brain": BRAIN, "cel": LESION, "progression": recurrence}
        for name, mask in images.items():
            write_image(GRID.image(mask), place / f"{name}.nii.gz")
        write_image(GRID.image(blurred_truth(recurrence, GRID.spacing[::-1], i)), place / "probability.nii.gz")
    return tmp_path / "cases"


def test_a_threshold_reaches_the_wanted_sensitivity_and_no_more(validation):
    cases = read_validation(validation)
    for wanted in (0.8, 0.95):
        found = threshold_for(cases, wanted)
        assert found.sensitivity >= wanted
        assert found.cases == 3
        assert found.least <= found.sensitivity
        higher = np.mean([(c.ctv(found.threshold + 0.01) & p[c.box]).sum() / p.sum() for c, p in cases])
        assert higher < wanted


def test_unfit_validation_data_are_refused(validation, tmp_path):
    cases = read_validation(validation)
    with pytest.raises(InputError, match="a sensitivity of 90 is out of range"):
        threshold_for(cases, 90)
    blind = [(candidates(np.zeros(GRID.shape)), RECURRENCE)]
    with pytest.raises(
        InputError, match=r"no threshold reaches a sensitivity of 0.99 on the 1 validation cases: the most is"
    ):
        threshold_for(blind, 0.99)
    with pytest.raises(InputError, match="has no validation cases"):
        read_validation(tmp_path / "missing")
    (validation / "p1" / "progression.nii.gz").unlink()
    with pytest.raises(InputError, match="p1 has no progression image"):
        read_validation(validation)
    (validation / "p0" / "cel.nii.gz").unlink()
    with pytest.raises(InputError, match="p0 has no lesion"):
        read_validation(validation)
