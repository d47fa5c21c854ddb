import numpy as np
import pytest
from gliosuite.simulate import growth, treatment
from gliosuite.simulate.phantom import build_head


@pytest.fixture(scope="module", params=[4, 5, 9])
def patient(request):
    seed = request.param
    head = build_head(seed, 3.0, 18.0)
    part = growth.region(head)
    return seed, head, part, treatment.follow(head, part, growth.draw_biology(seed), seed)


def test_masks_do_not_overlap_and_lie_in_the_brain(patient):
    _, _, part, course = patient
    for lesion in (course.baseline, course.followup):
        stacked = lesion.cel.astype(int) + lesion.necrosis + lesion.cavity
        assert stacked.max() == 1
        assert not (lesion.t2l & lesion.cavity).any()
        assert lesion.t2l[lesion.cel].all()
        assert not (lesion.t2l & ~part.fine_brain).any()
        assert lesion.cel.any()
        assert 0 <= lesion.oedema.min() <= lesion.oedema.max() <= 1


def test_resection_takes_the_share_it_stands_for(patient):
    seed, _, part, course = patient
    extent = course.clinical["resection"]
    assert extent == {4: "STR", 5: "GTR", 9: "biopsy"}[seed]
    inside = growth.core(course.density, growth.draw_biology(seed), growth.unevenness(part, seed, True))
    left = course.baseline.cel.sum() / (course.baseline.cel | course.baseline.cavity & inside).sum()
    if extent == "biopsy":
        assert course.facts["cavity_cc"] == 0
        assert left == 1
        assert not course.baseline.cavity.any()
    else:
        assert course.facts["cavity_cc"] > 1
        assert course.baseline.cel.sum() * part.fine.voxel_cc < {"GTR": 2.5, "STR": 30}[extent]


def test_recurrence_comes_after_radiotherapy_and_is_new(patient):
    _, _, part, course = patient
    assert course.clinical["pfs_days"] >= 30
    assert course.clinical["os_days"] >= course.clinical["pfs_days"]
    assert course.followup.cel.sum() * part.fine.voxel_cc >= 1.5
    assert (course.followup.cel & ~course.baseline.cel).any()
    assert np.array_equal(course.followup.cavity, course.baseline.cavity)
    assert 0.7 <= course.facts["radiotherapy_log10_kill"] <= 2.0


def test_later_anatomy_shifts_by_millimetres(patient):
    seed, head, part, course = patient
    transform = treatment.later_anatomy(head.grid, part, course, seed)
    spline, position = transform.GetNthTransform(0), transform.GetNthTransform(1)
    rng = np.random.default_rng(0)
    points = np.asarray(head.grid.origin) + np.argwhere(head.brain)[rng.integers(0, 5000, 200)][:, ::-1] * 3.0
    shift = [np.linalg.norm(np.subtract(spline.TransformPoint(p.tolist()), p)) for p in points]
    assert max(shift) < 5
    assert max(shift) > 0
    assert np.abs(np.rad2deg(position.GetParameters()[:3])).max() <= 5 + 1e-9


def test_rigid_transform_is_bounded():
    for seed in range(30):
        parameters = np.array(treatment.rigid(np.random.default_rng(seed), 1.0, 2.0).GetParameters())
        assert np.abs(np.rad2deg(parameters[:3])).max() <= 2 + 1e-9
        assert np.abs(parameters[3:]).max() <= 4
