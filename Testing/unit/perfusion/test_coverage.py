"""A mask that leaves out what enhances most is said, and one that does not is not."""

import numpy as np
import pytest
from gliosuite.curves import mask_array
from gliosuite.images import Grid, Series
from gliosuite.perfusion.dce import dce_maps
from gliosuite.perfusion.kinetics import extended_tofts, parker_aif
from gliosuite.perfusion.prepared import prepare
from gliosuite.perfusion.settings import DceSettings, DscSettings
from gliosuite.perfusion.signal import concentration_to_spgr

GRID = Grid((40, 40, 6), (4.0, 4.0, 5.0), (-78.0, -78.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
TIMES = 4.0 * np.arange(60)
SETTINGS = DceSettings(tr_ms=5.0, flip_angle_deg=15.0)
Z, Y, X = np.indices(GRID.shape)
TRUNK = ((X - 14) / 12) ** 2 + ((Y - 20) / 16) ** 2 < 1
VESSEL = (X - 10) ** 2 + (Y - 20) ** 2 < 3
TUMOUR = (X - 33) ** 2 + (Y - 20) ** 2 < 9  # beside the trunk, with air between


def body():
    """A trunk with a vessel, and a tumour (ktrans .2) apart from it."""
    inside = TRUNK | TUMOUR
    ktrans = np.where(TUMOUR, 0.2, 0.01)[inside]
    blood = parker_aif(TIMES, 30.0)
    curves = extended_tofts(TIMES, blood / 0.58, ktrans, 0.3, np.where(TUMOUR, 0.05, 0.01)[inside])
    curves[VESSEL[inside]] = blood
    frames = np.zeros((60, *GRID.shape), np.float32)
    frames[:, inside] = concentration_to_spgr(curves, 0.005, 15.0, 1.2, 4.5, 500.0).T
    noise = np.random.default_rng(0).normal(0, 4.0, frames.shape)
    return Series(np.abs(frames + noise).astype(np.float32), GRID, "body.nii.gz")


def said(notes):
    return [n for n in notes if "of what enhances most" in n]


def test_an_automatic_mask_without_the_tumour_is_said():
    series = body()
    assert not (mask_array(None, series) & TUMOUR).any()
    (note,) = said(dce_maps(series, TIMES, SETTINGS, "parker", 1.2).notes)
    assert note.startswith("the automatic mask leaves out")
    assert "is around R,A,S -54,-2,12 mm): look at it, and give another mask (--mask)" in note


@pytest.mark.parametrize(
    ("mask", "known"),
    [
        (TRUNK | TUMOUR, False),
        (TUMOUR, False),
        (TRUNK & ~VESSEL & (X > 13), True),
    ],
    ids=["all", "tumour", "muscle"],
)
def test_of_a_given_mask_only_one_beside_it_all_is_said(mask, known):
    notes = said(prepare(body(), TIMES, SETTINGS, GRID.image(mask)).notes)
    assert bool(notes) == known
    assert all(n.startswith("the given mask leaves out 100 %") for n in notes)


def test_a_head_has_no_such_note_even_when_it_moves():
    series = body()
    dark = 1000.0 - 0.3 * np.minimum(series.frames, 2000.0)
    frames = np.where(TRUNK, dark, series.frames[0])
    frames[30:, (X < 5) & TRUNK] *= 0.4
    moved = Series(frames.astype(np.float32), GRID, "dsc.nii.gz")
    assert said(prepare(moved, TIMES, DscSettings(te_ms=30.0), None, even=True).notes) == []
