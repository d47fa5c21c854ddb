"""Brain masks of heads of known truth, of stripped images, by executables, and refusals."""

import sys

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.atlas import template as anatomy
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, array, boolean, resample, resample_mask, signed_distance, volume_cc
from gliosuite.lesions import brain
from gliosuite.steps import silent

GRID = Grid((92, 106, 92), (2.4, 2.4, 2.4), (-110.0, -120.0, -100.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def transform() -> sitk.Transform:
    """From points of the patient to points of the template."""
    result = sitk.AffineTransform(3)
    result.SetCenter((0.0, 18.0, 10.0))
    result.SetMatrix((1.08, 0.02, 0.0, 0.0, 1.06, 0.1, 0.0, -0.1, 1.1))
    result.SetTranslation((4.0, -6.0, 8.0))
    return result


def head(bias: float = 0.0) -> tuple[sitk.Image, np.ndarray]:
    """A head (template in skull and scalp, with noise and coil sensitivity) and its brain."""
    to_template = transform()
    values = array(resample(anatomy._head_pattern()[0], GRID, to_template))
    slope = 1 + bias * np.linspace(-1, 1, GRID.shape[1])[None, :, None]
    values = values * slope + np.random.default_rng(1).normal(0, 6, values.shape)
    return GRID.image(values.astype(np.float32)), boolean(resample_mask(anatomy.template().brain, GRID, to_template))


def dice(mask: sitk.Image, truth: np.ndarray) -> float:
    found = boolean(mask)
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_head_by_template():
    image, truth = head(bias=0.3)
    found = brain.brain_mask(image, method="atlas")
    assert sitk.GetArrayViewFromImage(sitk.ConnectedComponent(found.mask)).max() == 1
    assert (boolean(sitk.BinaryFillhole(found.mask)) == boolean(found.mask)).all()
    assert 900 < volume_cc(found.mask) < 2000
    assert found.source == "draft"
    assert dice(found.mask, truth) > 0.93
    assert "template registered" in found.how
    assert found.covered > 0.99


def test_marrow_behind_thin_bone_is_no_brain():
    """Marrow as bright as brain, 3 mm thick, behind bone that a voxel of 1 mm blurs to half of that; gyri and fissures stay."""
    fine = Grid((96, 96, 96), (1.0,) * 3, (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    z, y, x = np.indices(fine.shape) - 47.5
    radius = np.sqrt(x**2 + y**2 + z**2)
    level = np.where(radius < 32, 1.0, np.where(radius < 33.2, 0.5, np.where(radius < 36.2, 1.0, 0.1)))
    level[(np.abs(x) < 1) & (radius < 32) & (z > 0)] = 0.0
    coarse = fine.isotropic(2.0)
    tissue = brain._Tissue(np.ones(coarse.shape, np.float32), 0.0, 1.0, 0.1)
    found = brain._body(level.astype(np.float32), tissue, coarse, fine)
    inside = (radius < 31) & (level == 1)
    assert found[inside].mean() > 0.99
    assert not found[radius > 33].any()


def test_a_tumour_at_the_surface_stays_in_the_brain():
    """Its rim is as bright as fat, its necrosis as dark as bone; the template lies 6 % too small."""
    image, truth = head()
    values, depth = array(image), array(signed_distance(GRID.image(truth)))
    below = np.argwhere(np.abs(depth + 9) < 1)
    side = below[below[:, 2] == below[:, 2].min()]
    centre = side[np.abs(side[:, 0] - 50).argmin()]
    radius = 2.4 * np.sqrt(sum((i - c) ** 2 for i, c in zip(np.indices(GRID.shape), centre)))
    tumour = truth & (radius < 17)
    lit = np.where(tumour, np.where(radius < 9, 0.3, 2.2) * np.median(values[truth]), values)
    placed = transform()
    placed.SetMatrix(1.06 * np.array(placed.GetMatrix()))
    level, _ = brain._surface(GRID.image(lit.astype(np.float32)), placed, silent)
    found = array(resample(level, GRID, outside=1e3)) < 0
    assert found[tumour].mean() > 0.9


def test_part_of_a_head_says_so():
    image, truth = head()
    found = brain.brain_mask(image[:, :, 30:75], method="atlas")
    assert dice(found.mask, truth[30:75]) > 0.9
    assert 0.5 < found.covered < 0.95
    assert "in the field of view" in found.how


def test_stripped_image_is_taken_as_it_is():
    _, truth = head()
    values = np.where(truth, 100.0, -3.5).astype(np.float32)
    values[40, 50, 45] = -3.5  # a hole
    found = brain.brain_mask(GRID.image(values))
    assert found.source == "image"
    assert (boolean(found.mask) == truth).all()


def test_noise_is_refused():
    values = np.random.default_rng(0).normal(100, 20, GRID.shape).astype(np.float32)
    with pytest.raises(InputError, match="brain"):
        brain.brain_mask(GRID.image(values), method="atlas")


def test_a_ball_is_refused():
    z, y, x = np.ogrid[tuple(slice(-n // 2, n - n // 2) for n in GRID.shape)]
    ball = 300.0 * (x**2 + y**2 + z**2 < 30**2) + np.random.default_rng(0).normal(10, 5, GRID.shape)
    with pytest.raises(InputError, match="brain"):
        brain.brain_mask(GRID.image(ball.astype(np.float32)), method="atlas")


def test_a_small_foreground_is_refused():
    values = np.zeros(GRID.shape, np.float32)
    values[40:60, 40:60, 40:60] = 7
    with pytest.raises(InputError, match=r"measures 111 cc, too little for a brain"):
        brain.brain_mask(GRID.image(values))


def stand_in(folder, name: str, body: str) -> None:
    """An executable `name` in `folder` that takes -i and -o."""
    script = folder / name
    script.write_text(
        f"#!{sys.executable}\nimport sys\na = sys.argv\nsource, result = a[a.index('-i') + 1], a[a.index('-o') + 1]\n{body}\n"
    )
    script.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in executable is a script")
@pytest.mark.parametrize(("method", "name"), [("synthstrip", "mri_synthstrip"), ("hd-bet", "hd-bet")])
def test_executables(tmp_path, monkeypatch, method, name):
    image, truth = head()
    np.save(tmp_path / "truth.npy", truth)
    body = (
        "import numpy as np, SimpleITK as sitk\n"
        f"image = sitk.{'Read'}Image(source)\n"
        f"truth = sitk.GetImageFromArray(np.load({str(tmp_path / 'truth.npy')!r}).astype('uint8'))\n"
        "truth.CopyInformation(image)\n"
        "sitk.WriteImage(sitk.Mask(image, truth), result)"
    )
    stand_in(tmp_path, name, body)
    monkeypatch.setenv("PATH", str(tmp_path))
    for asked in (method, "auto"):
        found = brain.brain_mask(image, method=asked)
        assert dice(found.mask, truth) > 0.999
        assert name in found.how
        assert found.source == "draft"


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in executable is a script")
def test_executable_that_fails(tmp_path, monkeypatch):
    stand_in(tmp_path, "hd-bet", "sys.exit('no GPU memory')")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"hd-bet failed .*no GPU memory.*method atlas"):
        brain.brain_mask(head()[0], method="hd-bet")


def test_executable_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="mri_synthstrip is not on PATH"):
        brain.brain_mask(head()[0], method="synthstrip")


def test_unknown_method():
    with pytest.raises(InputError, match="'bet' is not known; choose from auto, atlas"):
        brain.brain_mask(head()[0], method="bet")


def test_the_brain_of_a_series_is_sought_on_its_mean():
    image, truth = head()
    rise = 1 + np.array([0.0, 0.2, 0.1])[:, None, None, None] * truth
    found = brain.series_brain(Series((array(image) * rise).astype(np.float32), GRID, "dce.nii.gz"))
    assert dice(found.mask, truth) > 0.93
    assert Grid.of(found.mask) == GRID


def test_a_series_without_a_brain_is_refused():
    with pytest.raises(InputError, match=r"empty\.nii\.gz has the same value everywhere"):
        brain.series_brain(Series(np.zeros((3, *GRID.shape), np.float32), GRID, "empty.nii.gz"))
    small = Grid((20, 20, 20), (2.0, 2.0, 2.0), (-20.0, 0.0, 0.0), GRID.direction)
    block = np.zeros(small.shape, np.float32)
    block[8:12, 8:12, 8:12] = 100
    with pytest.raises(InputError, match=r"no brain mask of block\.nii\.gz: .*give a brain mask with --mask"):
        brain.series_brain(Series(np.stack([block] * 3), small, "block.nii.gz"))


def test_where_the_mean_is_refused_the_fall_of_the_signal_is_taken(monkeypatch):
    frames = np.full((10, *GRID.shape), 100, np.float32)
    frames[6, 20:40] = 40
    seen = []

    def looked(image, method="auto", progress=None):
        seen.append(array(image))
        if len(seen) == 1:
            raise InputError("no brain was recognised")
        return brain.Brain(GRID.blank(), "draft", "found")

    monkeypatch.setattr(brain, "brain_mask", looked)
    assert brain.series_brain(Series(frames, GRID)).how == "found"
    assert seen[1][30, 0, 0] == 60
    assert seen[1][0, 0, 0] == 0


@pytest.mark.parametrize("value, said", [(49.97, "49.97"), (49.6, "49.6"), (49.4, "49"), (12.0, "12"), (50.0, "50")])
def test_what_was_found_never_reads_as_what_is_needed(value, said):
    from gliosuite.errors import beside

    assert beside(value, 50.0) == said


def test_a_brain_that_just_misses_a_clear_edge_is_told_apart_from_the_limit():
    from gliosuite.lesions.brain import _check

    with pytest.raises(
        InputError, match=r"explains 20 % of its grey levels, a clear edge was found over 49\.99 % of the"
    ):
        _check(None, None, 1.0, 0.2, 0.4999)
