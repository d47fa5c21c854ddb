import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.simulate import growth, lesion, treatment
from gliosuite.simulate.biology import Tumours, draw_biology
from gliosuite.simulate.phantom import build_head, positions


@pytest.fixture(scope="module")
def scene():
    head = build_head(5, 3.0, 14.0)
    part = growth.region(head)
    squared = sum((p - c) ** 2 for p, c in zip(positions(part.fine), head.seed_mm))
    inside = (squared < 14**2) & part.fine_allowed
    cavity = treatment.resect(part, inside, inside, 0.7, 5)
    nothing = np.zeros_like(inside)
    treated = lesion.see(part, np.where(cavity, 0, 0.9 * inside), inside, nothing, cavity, 40.0, 5)
    return head, part, inside, cavity, treated


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_resection_takes_the_share_it_stands_for(scene, share):
    _, part, inside, _, _ = scene
    cavity = treatment.resect(part, inside, inside, share, 5)
    assert (cavity & inside).sum() / inside.sum() == pytest.approx(share, abs=0.02)
    assert not (cavity & ~part.fine_brain).any()
    assert not treatment.resect(part, inside, inside, 0.0, 5).any()


def test_dose_is_full_to_two_centimetres_and_falls_beyond(scene):
    _, part, _, _, treated = scene
    dose = treatment.dose(part, treated)
    away = treatment.distance_to(part, treated.t2l | treated.cavity, coarse=True)
    assert (dose[away <= 20] == 1).all()
    assert (dose[away >= 40] == 0).all()
    middle = (away > 29) & (away < 31)
    assert dose[middle].mean() == pytest.approx(0.5, abs=0.06)


def test_distant_seeds_lie_beyond_the_margin_at_ventricle_or_surface(scene):
    _, part, _, _, treated = scene
    away = treatment.distance_to(part, treated.t2l | treated.cavity, coarse=True)
    ventricle = treatment.distance_to(part, part.fine_ventricles, coarse=True)
    for seed in range(8):
        seeds = treatment.distant_seeds(part, treated, seed)
        peaks = np.argwhere(seeds > 0.8)
        assert len(peaks)
        assert away[tuple(peaks.T)].min() > 15
        assert away[tuple(peaks.T)].max() < 46
        assert ventricle[tuple(peaks.T)].min() >= 0


def regrown(scene, **options):
    head, part, _, _, treated = scene
    biology = draw_biology(5, Tumours())
    medium = growth.tumour_medium(part, biology, head.seed_mm, 5)
    grown = growth.first_cells(part, head.seed_mm, 5)
    grown, _ = growth.grow(grown, medium, 3.0, lambda u: float((u > 0.6).sum()) * 0.027, 12.0)
    uneven = tuple(lesion.unevenness(part, 5, finer) for finer in (False, True))
    return biology, treatment.regrow(part, biology, 5, grown, medium, treated, uneven, **options)


def test_recurrence_reaches_the_volume_at_which_it_is_called(scene):
    _, part, _, cavity, treated = scene
    biology, found = regrown(scene)
    called = max(biology.called_cc, 1.25 * treated.core.sum() * part.fine.voxel_cc)
    assert found.inside.sum() * part.fine.voxel_cc == pytest.approx(called, rel=0.1)
    assert not (found.inside & cavity).any()
    assert found.simulated_days > 10


def test_a_tumour_that_only_seeds_comes_back_away_from_its_bed(scene):
    _, part, _, _, treated = scene
    _, found = regrown(scene, local=False, distant=True)
    away = treatment.distance_to(part, treated.t2l | treated.cavity)
    assert np.median(away[found.inside]) > 15
    _, none = regrown(scene, local=False, distant=False)
    assert not none.inside.any()


def test_later_anatomy_is_drawn_towards_the_cavity_and_folds_nowhere(scene):
    head, part, _, cavity, treated = scene
    largest = []
    for seed in range(12):
        shift = treatment.later_anatomy(head.grid, part, treated, seed)
        spline, position = shift.transform.GetNthTransform(0), shift.transform.GetNthTransform(1)
        largest.append(shift.largest_mm)
        field = sitk.TransformToDisplacementField(
            spline, sitk.sitkVectorFloat64, head.grid.size, head.grid.origin, head.grid.spacing, head.grid.direction
        )
        assert sitk.GetArrayViewFromImage(sitk.DisplacementFieldJacobianDeterminant(field)).min() > 0.1
        moved = np.linalg.norm(sitk.GetArrayViewFromImage(field), axis=-1)
        assert moved.max() == pytest.approx(shift.largest_mm, rel=0.15)
        assert 0 < shift.mean_mm <= shift.largest_mm
        assert np.abs(np.rad2deg(position.GetParameters()[:3])).max() <= 5 + 1e-9
    assert min(largest) >= 1
    assert max(largest) <= 20
    where = np.asarray(part.fine.origin) + np.argwhere(cavity).mean(axis=0)[::-1] * part.fine.spacing
    beside = where + np.array([15.0, 0, 0])
    # What is seen nearer the cavity lay farther from it.
    assert spline.TransformPoint(beside.tolist())[0] > beside[0]


def test_rigid_transform_is_bounded():
    for seed in range(30):
        parameters = np.array(treatment.rigid(np.random.default_rng(seed), 1.0, 2.0).GetParameters())
        assert np.abs(np.rad2deg(parameters[:3])).max() <= 2 + 1e-9
        assert np.abs(parameters[3:]).max() <= 4
