"""Template, ventricles, registration of the template to heads of known pose."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.atlas import template as anatomy
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, resample, resample_mask, volume_cc


def pose(angles=(0.15, 0.05, -0.08), shift=(6.0, -9.0, 12.0), size=0.93) -> sitk.Similarity3DTransform:
    """From points of a patient to points of the template."""
    turn = sitk.VersorRigid3DTransform()
    rotation = sitk.Euler3DTransform((0.0, 18.0, 10.0), *angles)
    turn.SetMatrix(rotation.GetMatrix())
    result = sitk.Similarity3DTransform()
    result.SetCenter((0.0, 18.0, 10.0))
    result.SetMatrix([v / size for v in turn.GetMatrix()])
    result.SetTranslation(shift)
    return result


def head(to_template: sitk.Transform, stripped: bool, noise: float = 8.0) -> sitk.Image:
    """The template in skull and scalp (or without) in another pose, 2 mm, with noise."""
    t = anatomy.template()
    pattern = t.t1 if stripped else anatomy._head_pattern()[0]
    grid = Grid((110, 128, 110), (2.0, 2.0, 2.0), (-110.0, -120.0, -100.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    values = array(resample(pattern, grid, to_template))
    values = values + np.random.default_rng(3).normal(0, noise, values.shape) * ((values > 0) | (not stripped))
    return grid.image(values.astype(np.float32))


def error_mm(found: sitk.Transform, truth: sitk.Transform) -> float:
    """Largest distance between where both put points of the brain (given in template space)."""
    back = truth.GetInverse()
    points = [(x, y, z) for x in (-50.0, 50.0) for y in (-50.0, 70.0) for z in (-20.0, 60.0)]
    return max(np.linalg.norm(np.subtract(found.TransformPoint(back.TransformPoint(p)), p)) for p in points)


def test_template_is_where_mni_says():
    t = anatomy.template()
    assert t.grid.size == (197, 233, 189)
    assert t.grid.spacing == (1.0, 1.0, 1.0)
    origin = t.t1.TransformPhysicalPointToIndex((0.0, 0.0, 0.0))  # the anterior commissure
    assert boolean(t.brain)[origin[::-1]]
    assert 1700 < volume_cc(t.brain) < 2000
    left, right = array(t.brain)[:, :, :98].sum(), array(t.brain)[:, :, 99:].sum()
    assert abs(left - right) / left < 0.02


def test_template_tissues_fill_the_brain():
    t = anatomy.template()
    assert volume_cc(t.gm > 127) == pytest.approx(900, rel=0.25)
    assert volume_cc(t.wm > 127) == pytest.approx(600, rel=0.25)
    total = array(t.gm) / 255 + array(t.wm) / 255 + array(anatomy.template_csf())
    assert np.percentile(total[boolean(t.brain)], 1) > 0.95


def test_ventricles_lie_where_they_should():
    v = anatomy.template_ventricles()
    t = anatomy.template()
    assert 12 < volume_cc(v) < 25
    for x, y, z in ((9, 15, 12), (-9, 15, 12), (24, -46, 8), (0, -14, 0)):
        x, y, z = t.t1.TransformPhysicalPointToIndex((-x, -y, z))
        assert boolean(v)[z - 4 : z + 5, y - 4 : y + 5, x - 4 : x + 5].any()
    assert not boolean(v)[:, :, : 98 - 50].any()  # nothing 50 mm to the side
    assert array(anatomy.template_csf())[boolean(v)].min() > 0.5


def test_ventricles_agree_with_an_atlas(data):
    from gliosuite.images import read_image

    labels = read_image(data("mni-atlas/labels_Neuromorphometrics.nii.gz"))
    t = anatomy.template()
    truth = np.isin(np.round(array(resample(labels, t.grid, interpolation="nearest"))), (4, 51, 52))
    ours = boolean(anatomy.template_ventricles())
    assert 2 * (truth & ours).sum() / (truth.sum() + ours.sum()) > 0.7


@pytest.mark.parametrize("stripped", [True, False])
def test_registration_finds_a_known_pose(stripped):
    truth = pose()
    image = head(truth, stripped)
    found = anatomy.register_template(image)
    assert error_mm(found, truth) < 4.0
    assert anatomy.similarity_to_template(image, found) > 0.5
    assert anatomy.covered(image, found) > 0.99


def test_registration_of_part_of_a_head():
    truth = pose(angles=(0.05, 0.0, 0.05), shift=(3.0, -5.0, 8.0))
    image = head(truth, False)[:, :, 42:90]
    found = anatomy.register_template(image)
    assert error_mm(found, truth) < 8.0
    assert 0.4 < anatomy.covered(image, found) < 0.95


def test_registration_gives_the_same_every_time():
    image = head(pose(), True)[:, :, 30:80]
    first, second = (anatomy.register_template(image).GetParameters() for _ in range(2))
    assert first == second


def test_bspline_stage_improves_a_bent_brain():
    t = anatomy.template()
    bend = sitk.BSplineTransformInitializer(t.t1, [5, 5, 5], 3)
    rng = np.random.default_rng(5)
    bend.SetParameters(tuple(rng.normal(0, 5.0, len(bend.GetParameters()))))
    image = head(sitk.CompositeTransform([bend, pose()]), True)[::2, ::2, ::2]
    truth = boolean(resample_mask(t.wm > 127, image, sitk.CompositeTransform([bend, pose()])))

    def overlap(transform):
        found = boolean(resample_mask(t.wm > 127, image, transform))
        return 2 * (truth & found).sum() / (truth.sum() + found.sum())

    found = sitk.CompositeTransform(anatomy.register_template(image, stages=("affine", "bspline")))
    assert overlap(found) > overlap(found.GetNthTransform(0)) + 0.02
    assert np.abs(found.GetNthTransform(1).GetParameters()).max() <= 12, "a head does not bend without limit"


def test_stripped_tells_brains_from_heads():
    assert anatomy.stripped(head(pose(), False)) is None
    found = anatomy.stripped(head(pose(), True))
    truth = resample_mask(anatomy.template().brain, found, pose())
    assert volume_cc(found) == pytest.approx(volume_cc(truth), rel=0.05)


def test_too_little_of_a_head_is_refused():
    image = head(pose(), False)[:, :, 80:84]
    with pytest.raises(InputError, match="less than a third of a brain"):
        anatomy.register_template(image)


def test_unknown_stage():
    with pytest.raises(ValueError, match="stages"):
        anatomy.register_template(head(pose(), True), stages=("bspline",))
