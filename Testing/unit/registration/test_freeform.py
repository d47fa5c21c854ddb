"""The deformable stage: its transform is ITK's, its gradients are exact."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.images import Grid, boolean, resample
from gliosuite.registration.freeform import FreeformSettings, _Level, bending_energy, deform, local_correlation
from gliosuite.registration.quality import min_jacobian
from heads import GRID, head, intensity, points_of, probes

TURNED = tuple(np.reshape(sitk.Euler3DTransform((0, 0, 0), 0.1, -0.2, 0.3).GetMatrix(), 9))
SMALL = Grid((18, 20, 16), (9.0, 9.0, 9.0), (-70.0, -80.0, -75.0), TURNED)


def level(metric: str, width: float = 1.0) -> _Level:
    settings = FreeformSettings(metric=metric, spline_grid=(5, 4, 4), radius_mm=20.0)
    rng = np.random.default_rng(0)
    f, m = (
        np.clip(intensity(points_of(SMALL) + d) / 500 + rng.normal(0, 0.02, SMALL.shape), 0.02, 0.98) for d in (0, 5)
    )
    return _Level(SMALL, SMALL, intensity(points_of(SMALL)) > 30, [(f, m)], width, settings)


@pytest.mark.parametrize("metric", ["mi", "correlation"])
def test_the_gradient_is_that_of_the_cost(metric):
    problem = level(metric)
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1.0, problem.blank().size)
    direction = rng.normal(0, 1.0, x.size)
    step = 1e-5
    slope = (problem.cost(x + step * direction)[0] - problem.cost(x - step * direction)[0]) / (2 * step)
    assert problem.cost(x)[1] @ direction == pytest.approx(slope, rel=1e-3)


def test_the_displacement_is_that_of_itks_transform():
    problem = level("mi")
    x = np.random.default_rng(2).normal(0, 3.0, problem.blank().size)
    transform = problem.transform(x)
    from gliosuite.registration.freeform import _expand

    along = np.stack([_expand(c, problem.basis) for c in x.reshape(problem.blank().shape)])[::-1]
    dense = np.moveaxis(along, 0, -1) @ np.reshape(SMALL.direction, (3, 3)).T
    here = points_of(SMALL)[problem.box]
    for index in [(0, 0, 0), (3, 4, 5), tuple(n - 1 for n in problem.shape)]:
        moved = np.subtract(transform.TransformPoint(here[index].tolist()), here[index])
        assert np.allclose(moved, dense[index], atol=1e-9)


def test_a_coarser_spline_is_repeated_on_a_finer_lattice():
    coarse, fine = level("mi", 2.0), level("mi", 1.0)
    first = coarse.transform(np.random.default_rng(3).normal(0, 4.0, coarse.blank().size))
    second = fine.transform(fine.refit(first).ravel())
    points = points_of(SMALL)[fine.mask.shape[0] // 2 - 3 : fine.mask.shape[0] // 2 + 3, 5:15, 5:13].reshape(-1, 3)
    gap = [np.subtract(first.TransformPoint(p), second.TransformPoint(p)) for p in points.tolist()]
    size = [np.subtract(first.TransformPoint(p), p) for p in points.tolist()]
    assert np.abs(gap).max() < 0.15 * np.abs(size).max()


def test_bending_energy_spares_what_is_straight():
    z, y, x = np.indices((5, 6, 7)).astype(float)
    pitch = np.array([10.0, 12.0, 15.0])
    assert bending_energy(np.stack([2 * z - y, x + 3, y - 0.5 * x]), pitch)[0] == pytest.approx(0)
    rng = np.random.default_rng(0)
    c, d = rng.normal(size=(2, 3, 5, 6, 7))
    energy, gradient = bending_energy(c, pitch)
    assert energy > 0
    numeric = (bending_energy(c + 1e-5 * d, pitch)[0] - bending_energy(c - 1e-5 * d, pitch)[0]) / 2e-5
    assert (gradient * d).sum() == pytest.approx(numeric, rel=1e-6)


def test_local_correlation_is_one_for_any_linear_change():
    f = np.random.default_rng(0).uniform(0.2, 0.8, (9, 9, 9))
    mask = np.ones(f.shape, bool)
    assert local_correlation(f, 0.9 - 0.7 * f, mask, 2)[0] > 0.98
    assert local_correlation(f, np.random.default_rng(1).uniform(0.2, 0.8, f.shape), mask, 2)[0] < 0.1


@pytest.mark.parametrize("metric", ["mi", "correlation"])
def test_a_known_bend_is_followed_and_does_not_fold(metric):
    def bent(points):
        return points + 7 * np.exp(-((points - (10, 20, 0)) ** 2).sum(-1, keepdims=True) / 30**2) * (0.6, -0.6, 0.5)

    moving = GRID.image(intensity(bent(points_of(GRID))).astype(np.float32))
    mask = GRID.image(intensity(points_of(GRID)) > 30)
    identity = sitk.Transform(3, sitk.sitkIdentity)
    settings = FreeformSettings(metric=metric, levels_mm=(8.0, 5.0), iterations=30)
    spline = deform([head()], [moving], identity, mask, settings)
    error = lambda points: np.linalg.norm(bent(points) - probes(), axis=1).mean()
    assert error(np.array([spline.TransformPoint(p) for p in probes().tolist()])) < 0.45 * error(probes())
    assert 0.3 < min_jacobian(spline, mask) < 1
    assert boolean(resample(mask, GRID, spline, "nearest")).any()


@pytest.mark.parametrize("turned, beyond", [(0.0, 0.0), (0.3, 0.0), (0.0, 40.0)], ids=["aligned", "turned", "outside"])
def test_a_displacement_field_is_that_of_itk(turned, beyond):
    from gliosuite.registration.freeform import spline_displacement
    from gliosuite.registration.quality import displacement_field

    direction = tuple(sitk.Euler3DTransform((0, 0, 0), 0.1, -0.2, 0.3).GetMatrix())
    image = Grid((30, 26, 20), (2.0, 2.0, 3.0), (-20.0, 5.0, 8.0), direction).blank(sitk.sitkFloat32)
    spline = sitk.BSplineTransform(3, 3)
    spline.SetTransformDomainOrigin(image.GetOrigin())
    spline.SetTransformDomainPhysicalDimensions((60.0, 52.0, 60.0))
    spline.SetTransformDomainMeshSize((4, 3, 2))
    spline.SetTransformDomainDirection(direction)
    rng = np.random.default_rng(7)
    spline.SetParameters(rng.normal(0, 3, len(spline.GetParameters())).tolist())
    linear = sitk.AffineTransform(3)
    linear.SetMatrix((np.eye(3) + rng.normal(0, 0.1, (3, 3))).ravel().tolist())
    linear.SetTranslation((3.0, -2.0, 1.0))
    whole = sitk.CompositeTransform([linear, spline])
    matrix = np.reshape(sitk.Euler3DTransform((0, 0, 0), 0, 0, turned).GetMatrix(), (3, 3)) @ np.reshape(
        direction, (3, 3)
    )
    origin = np.array(image.TransformContinuousIndexToPhysicalPoint((2.3, 1.9, 1.2)))
    grid = Grid.made((22, 17, 21), (1.7, 1.9, 2.1), origin + np.array(beyond), matrix.ravel())
    assert (spline_displacement(spline, grid) is None) == bool(turned or beyond)
    found = sitk.GetArrayFromImage(displacement_field(whole, grid))
    expected = sitk.TransformToDisplacementField(
        whole, sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
    )
    np.testing.assert_allclose(found, sitk.GetArrayFromImage(expected), atol=1e-10)
    assert displacement_field(whole, grid).GetOrigin() == pytest.approx(grid.origin)
