"""Volumes of several contrasts laid onto one image: simulated heads, each at a known place."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series
from gliosuite.registration.motion import align_flip_angles, align_onto
from heads import intensity, points_of, probes, rigid

GRID = Grid((40, 48, 14), (4.0, 4.0, 6.0), (-78.0, -94.0, -39.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
OTHER = Grid((44, 50, 15), (3.8, 3.9, 5.0), (-80.0, -96.0, -34.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
CONTRASTS = (lambda s: 0.3 * s, lambda s: s, lambda s: 13 * np.sqrt(s))  # of three volumes; the second is the brightest
APART = 0.5  # mm that a movement may be off by, root mean square over the head


def volume(grid: Grid, contrast, move: sitk.Transform) -> np.ndarray:
    """A head that was moved, the mean over each voxel, with noise."""
    points = points_of(grid)
    parts = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 0, 1)]) * (1.0, 1.0, 1.8)
    back = move.GetInverse()
    turn = np.reshape(back.GetMatrix(), (3, 3))
    values = np.mean([contrast(intensity((points + p) @ turn.T + back.GetTranslation())) for p in parts], axis=0)
    noise = np.random.default_rng(3).normal(0, 4, values.shape)
    return np.clip(values + noise, 0, None).astype(np.float32)


def off(found: sitk.Transform, true: sitk.Transform) -> float:
    points = probes()[np.abs(probes()[:, 2]) < 30].tolist()
    apart = [np.subtract(found.TransformPoint(p), true.TransformPoint(p)) for p in points]
    return float(np.sqrt(np.mean(np.sum(np.square(apart), axis=1))))


NOWHERE, STEP, FAR = rigid((0, 0, 0), (0, 0, 0)), rigid((0, 0, 3), (1.5, -1, 1)), rigid((2, 0, 2), (-2, 3, 2))


def test_a_volume_that_moved_within_its_series_is_laid_onto_the_brightest():
    moves = (NOWHERE, NOWHERE, STEP)
    frames = np.stack([volume(GRID, c, m) for c, m in zip(CONTRASTS, moves)])
    found = align_flip_angles(Series(frames, GRID, "vfa"))
    assert off(found.transforms[2], STEP) < APART
    np.testing.assert_array_equal(found.series.frames[1], frames[1])  # not interpolated
    assert found.displacements_mm[1] == 0
    still = volume(GRID, CONTRASTS[2], NOWHERE)
    wrong = lambda image: np.abs(image - still)[3:-3].mean()
    assert wrong(found.series.frames[2]) < 0.6 * wrong(frames[2])


@pytest.mark.parametrize("grid", [GRID, OTHER], ids=["one grid", "another grid"])
def test_volumes_are_laid_onto_an_image_taken_when_the_head_lay_elsewhere(grid):
    image = GRID.image(volume(GRID, lambda s: 1.2 * s + 0.001 * s**2, NOWHERE))
    moves = (FAR, FAR, sitk.Euler3DTransform(FAR))
    moves[2].SetTranslation(np.add(FAR.GetTranslation(), (0.0, 1.5, 0.0)).tolist())
    frames = np.stack([volume(grid, c, m) for c, m in zip(CONTRASTS, moves)])
    found = align_onto(Series(frames, grid, "vfa"), image)
    assert found.series.grid.matches(GRID)
    for t, true in zip(found.transforms, moves):
        assert off(t, true) < APART
    assert found.largest_mm == pytest.approx(found.displacements_mm.max())


def test_what_does_not_look_alike_or_overlap_is_refused():
    frames = np.stack([volume(GRID, CONTRASTS[1], NOWHERE)] * 2)
    noise = GRID.image(np.random.default_rng(0).random(GRID.shape, np.float32))
    with pytest.raises(InputError, match="looks too different"):
        align_onto(Series(frames, GRID, "vfa"), noise)
    away = Grid(GRID.size, GRID.spacing, (2000.0, 0.0, 0.0), GRID.direction)
    with pytest.raises(InputError, match="vfa does not overlap"):
        align_onto(Series(frames, GRID, "vfa"), away.image(frames[0]))
    corner = Grid(GRID.size, GRID.spacing, (68.0, 85.0, 30.0), GRID.direction)
    with pytest.raises(InputError, match=r"too small to tell motion from|does not overlap"):
        align_onto(Series(frames, corner, "vfa"), GRID.image(frames[0]))
    frames[1] = np.random.default_rng(1).random(GRID.shape, np.float32)
    with pytest.raises(InputError, match="volume 2 of vfa looks too different from volume 1"):
        align_flip_angles(Series(frames, GRID, "vfa"))


def test_volumes_of_a_phantom_and_movements_no_head_makes_are_left_alone():
    frames = np.stack([volume(GRID, c, NOWHERE) for c in CONTRASTS])
    small = Grid(GRID.size, (2.0, 2.0, 2.0), GRID.origin, GRID.direction)
    with pytest.raises(InputError, match="smaller than a head"):
        align_flip_angles(Series(frames, small, "vfa"))
    frames[2] = np.roll(frames[2], 9, axis=1)  # 36 mm
    with pytest.raises(InputError, match="farther than a head moves"):
        align_flip_angles(Series(frames, GRID, "vfa"))
