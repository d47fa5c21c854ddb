"""The curves that the DSC step keeps, and why there may be none."""

from types import SimpleNamespace

import numpy as np
import pytest
from gliosuite.curves import Bolus
from gliosuite.images import Grid, Series
from gliosuite.pipeline.context import SkippedStep
from gliosuite.pipeline.habitats import CURVES, habitats, keep_curves
from gliosuite.recurrence.habitats.curves import LesionCurves
from tissuecurves import REFERENCES, _signal

GRID = Grid.made((20, 20, 10), (3.0, 3.0, 4.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
TIMES = 1.5 * np.arange(60)
MAPS = SimpleNamespace(aif=SimpleNamespace(voxels=None))


def head(**boxes):
    """A series of white matter throughout, with noise, and masks."""
    rng = np.random.default_rng(3)
    signal = 400 * _signal(TIMES, np.full((4000, 1), REFERENCES["wm"][0]), *REFERENCES["wm"][1:], 15.0, 1.5)
    frames = (signal + rng.normal(0, 4, signal.shape)).T.reshape(60, *GRID.shape).astype(np.float32)
    masks = {}
    for name, box in boxes.items():
        inside = np.zeros(GRID.shape, np.uint8)
        inside[box] = 1
        masks[name] = GRID.image(inside)
    return masks, Series(frames, GRID, "dsc.nii.gz")


def test_nel_is_what_is_left_of_the_t2_lesion(tmp_path):
    at = lambda a, b: (slice(3, 7), slice(8, 12), slice(a, b))
    masks, series = head(brain=..., t2l=at(13, 19), cel=at(13, 15), necrosis=at(15, 16), cavity=at(16, 17))
    keep_curves(masks, series, list(TIMES), MAPS, tmp_path)
    lesion = LesionCurves.read(tmp_path / CURVES)
    assert (int(lesion.cel.sum()), int((~lesion.cel).sum())) == (32, 32)
    assert lesion.tr_s == 1.5


def test_a_bolus_that_a_person_gave_is_taken(tmp_path):
    at = (slice(3, 7), slice(8, 12), slice(13, 19))
    masks, series = head(brain=..., t2l=at)
    found = []
    for i, bolus in enumerate((None, Bolus(0, 10, 13, 0.3), Bolus(0, 6, 13, 0.3))):
        keep_curves(masks, series, list(TIMES), MAPS, tmp_path / f"{i}", bolus)
        found.append(LesionCurves.read(tmp_path / f"{i}" / CURVES).curves)
    np.testing.assert_allclose(found[0], found[1], atol=0.02)
    assert np.abs(found[2] - found[1]).max() > 0.1


@pytest.mark.parametrize(
    "boxes, why", [({"brain": ...}, "no lesion"), ({"brain": ..., "cel": (4, 9, 15)}, "1 voxels of the lesion")]
)
def test_what_is_lacking_is_the_reason_to_skip(tmp_path, boxes, why):
    masks, series = head(**boxes)
    keep_curves(masks, series, list(TIMES), MAPS, tmp_path / "dsc")
    run = SimpleNamespace(
        result=lambda *parts: p if (p := tmp_path.joinpath(*parts)).exists() else None, transform=lambda role: object()
    )
    with pytest.raises(SkippedStep, match=why):
        habitats(run, tmp_path / "habitats", lambda *_: None)
