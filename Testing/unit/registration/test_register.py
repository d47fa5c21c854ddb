"""Registration on heads moved by known transforms; what is refused; the ``register`` command."""

import json
import warnings

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.files import read_json
from gliosuite.images import Grid, array, boolean, is_draft, read_image, resample, said_of, write_image
from gliosuite.registration import RegistrationSettings, common_grid, register, write_transform
from gliosuite.registration.pictures import checkerboard
from gliosuite.registration.quality import landmark_error
from heads import GRID, head, points_of, probes, rigid

# Thick oblique slices, another origin: what a second series of the same study may look like.
_TILT = np.reshape(sitk.Euler3DTransform((0, 0, 0), 0.25, 0.0, 0.0).GetMatrix(), 9)
OBLIQUE = Grid((60, 70, 24), (3.0, 3.0, 7.0), (-90.0, -85.0, -110.0), tuple(_TILT))


@pytest.fixture(autouse=True)
def _no_brainsfit(monkeypatch):
    for name in ("GLIOSUITE_BRAINSFIT", "SLICER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")


def true_points(moved: sitk.Transform) -> np.ndarray:
    return np.array([moved.GetInverse().TransformPoint(p) for p in probes().tolist()])


def test_strong_motion_between_contrasts_and_oblique_grids_is_found():
    moved = rigid((11, -7, 10), (14, -9, 8))
    fixed, moving = head(), head(OBLIQUE, "t2", moved, seed=1)
    result = register(fixed, moving)
    assert landmark_error(None, probes(), true_points(moved)).mean() > 10
    assert landmark_error(result.transform, probes(), true_points(moved)).max() < 1.0
    assert result.engine == "simpleitk"
    assert result.quality.verdict == "accepted"
    assert result.quality.mutual_information_after > result.quality.mutual_information_before + 0.1
    assert result.quality.overlap > 0.9
    assert result.quality.rotation_deg == pytest.approx(16.4, abs=1.0)
    assert result.transform.GetName() == "VersorRigid3DTransform"
    assert Grid.of(result.image).matches(GRID)


def test_a_result_that_did_not_move_is_questioned_and_taken_with_a_warning(monkeypatch):
    from gliosuite.registration.quality import Pair, judge

    moved = rigid((3, -2, 2), (1, 0, 1))
    fixed, moving = head(), head(contrast="t2", moved=moved, seed=1)
    pair, settings = Pair.of(fixed, moving, None, None), RegistrationSettings()
    stuck = judge(pair, sitk.Euler3DTransform(), settings)
    assert stuck.verdict == "questioned"
    assert stuck.mutual_information_nearby > stuck.mutual_information_after
    assert "when the result is moved by 2 mm" in stuck.reason
    assert judge(pair, moved.GetInverse(), settings).verdict == "accepted"
    monkeypatch.setitem(register.__globals__, "_by_simpleitk", lambda *_: sitk.Euler3DTransform())
    with pytest.warns(UserWarning, match="the registration is questioned: mutual information rises"):
        result = register(fixed, moving, engine="simpleitk")
    assert result.quality.verdict == "questioned"
    assert result.notes[0].startswith("the registration is questioned")


def test_the_transform_is_itks_map_from_fixed_to_moving_points():
    """A moving image that is the fixed one with its origin shifted by (20, 0, 0): every point lies 20 mm further on."""
    fixed = head()
    moving = head(seed=1)
    moving.SetOrigin(np.add(moving.GetOrigin(), (20, 0, 0)).tolist())
    result = register(fixed, moving)
    assert np.allclose(result.transform.TransformPoint((0.0, 0.0, 0.0)), (20, 0, 0), atol=0.3)
    carried = resample(moving, fixed, result.transform)
    assert np.corrcoef(array(carried).ravel(), array(fixed).ravel())[0, 1] > 0.99


def test_scanner_positions_far_apart_are_bridged():
    moving = head(contrast="t2", seed=1)
    moving.SetOrigin(np.add(moving.GetOrigin(), (300, -250, 900)).tolist())
    result = register(head(), moving)
    assert np.allclose(result.transform.TransformPoint((0.0, 0.0, 0.0)), (300, -250, 900), atol=0.5)


def test_a_slab_is_placed_in_the_head():
    slab = Grid((60, 70, 8), (3.0, 3.0, 5.0), (-90.0, -105.0, -15.0), GRID.direction)
    moved = rigid((4, 0, -5), (5, 3, -4))
    result = register(head(), head(slab, "t2", moved, seed=1))
    inside = np.abs(probes()[:, 2]) < 15
    assert landmark_error(result.transform, probes(), true_points(moved))[inside].max() < 1.5


def test_images_that_lie_right_already_are_accepted_and_stay():
    result = register(head(), head(contrast="t2", seed=1))
    assert result.quality.verdict == "accepted"
    assert landmark_error(result.transform, probes(), probes()).max() < 0.3
    assert result.quality.mutual_information_after >= result.quality.mutual_information_before - 0.01


def test_affine_finds_a_scale():
    moved = sitk.AffineTransform(3)
    moved.SetMatrix([1.06, 0.03, 0, 0, 0.95, 0, 0, 0, 1.04])
    moved.SetTranslation((3, -2, 1))
    moving = head(contrast="t2", moved=moved, seed=1)
    stiff = register(head(), moving)
    result = register(head(), moving, RegistrationSettings(stages=("rigid", "affine")))
    assert landmark_error(stiff.transform, probes(), true_points(moved)).mean() > 1.5
    assert landmark_error(result.transform, probes(), true_points(moved)).mean() < 0.7
    assert result.quality.scales[2] - result.quality.scales[0] > 0.08


def test_bspline_follows_a_smooth_deformation_without_folding():
    def bent(points):
        return points + 6 * np.exp(-((points - (20, -20, 0)) ** 2).sum(-1, keepdims=True) / 30**2) * (1.0, 0.5, -0.5)

    from heads import intensity

    moving = GRID.image(intensity(bent(points_of(GRID))).astype(np.float32))
    settings = RegistrationSettings(stages=("rigid", "bspline"), spline_levels_mm=(8.0, 5.0))
    stiff, result = register(head(), moving), register(head(), moving, settings)
    # moving(q) = head(bent(q)), so the truth is the inverse of bent; compare where it leads back to.
    back = lambda t: np.linalg.norm(bent(np.array([t.TransformPoint(p) for p in probes().tolist()])) - probes(), axis=1)
    assert back(result.transform).mean() < 0.6 * back(stiff.transform).mean()
    assert back(result.transform).mean() < 1.0
    assert 0.3 < result.quality.min_jacobian < 1
    assert isinstance(result.transform, sitk.CompositeTransform)
    assert result.quality.mutual_information_after > stiff.quality.mutual_information_after


def test_masks_say_where_to_look():
    """A second object moves differently; with masks on the head alone it does not matter."""
    moved = rigid((0, 0, 8), (6, 0, 0))
    fixed, moving = head(), head(moved=moved, seed=1)
    ball = lambda centre: 900.0 * (np.linalg.norm(points_of(GRID) - centre, axis=-1) < 16)
    fixed_disturbed = GRID.image(array(fixed) + ball((-60, 80, -50)).astype(np.float32))
    moving_disturbed = GRID.image(array(moving) + ball((60, 80, 50)).astype(np.float32))
    inside = lambda image: sitk.BinaryErode(GRID.image(array(image) > 60), [1] * 3)
    result = register(fixed_disturbed, moving_disturbed, fixed_mask=inside(fixed), moving_mask=inside(moving))
    assert landmark_error(result.transform, probes(), true_points(moved)).max() < 1.0


def test_two_runs_give_the_same_numbers():
    settings = RegistrationSettings(stages=("rigid", "affine", "bspline"), levels_mm=(6.0,), spline_levels_mm=(8.0,))
    moving = head(contrast="t2", moved=rigid((3, 2, -4), (3, 1, 2)), seed=1)
    first, second = (register(head(), moving, settings) for _ in range(2))
    for a, b in zip(
        (first.transform.GetNthTransform(i) for i in (0, 1)), (second.transform.GetNthTransform(i) for i in (0, 1))
    ):
        assert a.GetParameters() == b.GetParameters()
    assert (array(first.image) == array(second.image)).all()
    assert first.quality == second.quality


def test_noise_is_refused_and_the_sentence_says_why():
    noise = np.random.default_rng(0).normal(100, 20, GRID.shape).astype(np.float32)
    with pytest.raises(InputError, match=r"the registration was refused: .*(mutual information|overlap)"):
        register(head(), GRID.image(noise))


def test_a_transform_beyond_the_limits_is_refused():
    settings = RegistrationSettings(max_rotation_deg=5)
    with pytest.raises(InputError, match=r"refused: a rotation by 1\d degrees was found; at most 5 is accepted"):
        register(head(), head(moved=rigid((0, 0, 14), (0, 0, 0)), seed=1), settings)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda k: k | {"moving": GRID.blank(sitk.sitkFloat32)}, "the moving image has the same value 0 everywhere"),
        (lambda k: k | {"fixed_mask": GRID.blank()}, "the fixed mask is empty"),
        (lambda k: k | {"settings": RegistrationSettings(stages=("affine", "rigid"))}, "in this order are needed"),
        (lambda k: k | {"settings": RegistrationSettings(start="luck")}, "start 'luck' is not known"),
        (lambda k: k | {"engine": "elastix"}, "engine 'elastix' is not known"),
        (lambda k: k | {"engine": "brainsfit"}, "BRAINSFit was asked for and not found"),
    ],
)
def test_what_cannot_be_registered_is_said(change, sentence):
    with pytest.raises(InputError, match=sentence):
        register(**change({"fixed": head(), "moving": head()}))


def test_nan_is_no_obstacle():
    values = array(head(seed=1))
    values[0, 0, :5] = np.nan
    assert register(head(), GRID.image(values)).quality.verdict == "accepted"


def test_common_grid_keeps_the_field_of_view():
    grid = common_grid(OBLIQUE.blank())
    assert grid.spacing == (1.0, 1.0, 1.0)
    assert grid.size == (180, 210, 168)
    assert np.allclose(grid.corners().mean(0), OBLIQUE.corners().mean(0))


def test_transform_names(tmp_path):
    composite = sitk.CompositeTransform([sitk.Euler3DTransform(), sitk.BSplineTransform(3, 3)])
    with pytest.raises(InputError, match=r"x\.tfm: with a bspline stage the transform is a composite.*\.h5"):
        write_transform(composite, tmp_path / "x.tfm")
    with pytest.raises(InputError, match=r"must end in \.tfm or \.h5"):
        write_transform(sitk.Euler3DTransform(), tmp_path / "x.txt")
    assert list(tmp_path.iterdir()) == []


def test_checkerboard_shows_both_images():
    fixed, moved = head(), head(contrast="t2")
    picture = checkerboard(fixed, moved)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    tinted = (picture[..., 0].astype(int) - picture[..., 2]) > 10
    grey = (picture[..., 0] == picture[..., 2]) & (picture[..., 0] > 10)
    assert 0.5 < tinted.sum() / grey.sum() < 2


# ------------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def files(tmp_path):
    moved = rigid((0, 5, 8), (8, -4, 3))
    write_image(head(), tmp_path / "t1c.nii.gz")
    write_image(head(contrast="t2", moved=moved, seed=1), tmp_path / "flair.nii.gz")
    centre = np.array(moved.GetInverse().TransformPoint((30.0, -30.0, 10.0)))
    ball = np.linalg.norm(points_of(GRID) - centre, axis=-1) < 14
    write_image(GRID.image(ball), tmp_path / "lesion.nii.gz")
    labels = ball.astype(np.uint8) + (np.linalg.norm(points_of(GRID) - centre, axis=-1) < 8)
    write_image(GRID.image(labels), tmp_path / "labels.nii.gz")
    return tmp_path


def _centre(path):
    return points_of(GRID)[boolean(read_image(path))].mean(axis=0)


def test_register_command_writes_image_transform_label_and_quality(gliosuite, files):
    code, out, err = gliosuite(
        *("register", "--fixed", files / "t1c.nii.gz", "--moving", files / "flair.nii.gz"),
        *("--out", files / "r" / "moved.nii.gz", "--transform", files / "r" / "t.tfm", "--quiet"),
        *("--label", files / "lesion.nii.gz", "--label-out", files / "r" / "lesion.nii.gz"),
    )
    assert (code, err) == (0, "")
    assert sorted(p.name for p in (files / "r").iterdir()) == ["lesion.nii.gz", "moved.json", "moved.nii.gz", "t.tfm"]
    quality = read_json(files / "r" / "moved.json")
    assert quality["verdict"] == "accepted"
    assert quality["engine"] == "simpleitk"
    assert quality["mutual_information_after"] > quality["mutual_information_before"]
    assert json.loads(out)["rotation_deg"] == quality["rotation_deg"] == pytest.approx(9.4, abs=0.5)
    assert np.linalg.norm(_centre(files / "r" / "lesion.nii.gz") - (30, -30, 10)) < 1.0
    # The transform on disk does what the image shows.
    transform = sitk.ReadTransform(str(files / "r" / "t.tfm"))
    again = resample(read_image(files / "flair.nii.gz"), GRID, transform)
    assert np.allclose(array(again), array(read_image(files / "r" / "moved.nii.gz")), atol=0.5)


def test_a_picture_that_cannot_be_drawn_is_said_and_fails_nothing(gliosuite, files, monkeypatch):
    from gliosuite.registration import pictures

    def gone(module, purpose, install=None):
        raise InputError(f"matplotlib is needed for {purpose}")

    monkeypatch.setattr(pictures, "require", gone)
    code, _, err = gliosuite(
        *("register", "--fixed", files / "t1c.nii.gz", "--moving", files / "flair.nii.gz", "--quiet"),
        *("--out", files / "r.nii.gz", "--transform", files / "t.tfm", "--picture", files / "r.png"),
    )
    assert code == 0
    assert (files / "r.nii.gz").exists()
    assert not (files / "r.png").exists()
    assert "warning: r.png was not written: matplotlib is needed" in err.strip().splitlines()[-1]


def test_register_command_carries_label_maps_and_resamples_to_1_mm(gliosuite, files):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    code, _, _ = gliosuite(
        *("register", "--fixed", files / "t1c.nii.gz", "--moving", files / "flair.nii.gz", "--spacing-mm", 3),
        *("--out", files / "r.nii.gz", "--transform", files / "t.h5", "--picture", files / "r.png"),
        *("--label", files / "labels.nii.gz", "--label-out", files / "l.nii.gz"),
    )
    assert code == 0
    labels = read_image(files / "l.nii.gz")
    assert is_draft(said_of(labels)) is False
    assert labels.GetSpacing() == (3.0, 3.0, 3.0)
    assert sorted(np.unique(array(labels))) == [0, 1, 2]
    inner = points_of(Grid.of(labels))[array(labels) == 2].mean(axis=0)
    assert np.linalg.norm(inner - (30, -30, 10)) < 1.5
    assert (files / "r.png").read_bytes().startswith(b"\x89PNG")


def test_a_draft_that_is_carried_stays_one(gliosuite, files):
    write_image(read_image(files / "lesion.nii.gz"), files / "draft.nii.gz", "cel (draft)")
    code, _, err = gliosuite(
        *("register", "--fixed", files / "t1c.nii.gz", "--moving", files / "flair.nii.gz", "--spacing-mm", 3),
        *("--out", files / "r.nii.gz", "--transform", files / "t.h5"),
        *("--label", files / "draft.nii.gz", "--label-out", files / "l.nii.gz"),
    )
    assert code == 0, err
    assert is_draft(said_of(read_image(files / "l.nii.gz")))


def test_register_command_writes_nothing_when_refused(gliosuite, files):
    noise = np.random.default_rng(0).normal(100, 20, GRID.shape).astype(np.float32)
    write_image(GRID.image(noise), files / "noise.nii.gz")
    before = sorted(files.iterdir())
    code, out, err = gliosuite(
        *("register", "--fixed", files / "t1c.nii.gz", "--moving", files / "noise.nii.gz", "--quiet"),
        *("--out", files / "r" / "o.nii.gz", "--transform", files / "r" / "t.tfm"),
    )
    assert (code, out) == (2, "")
    assert err.startswith("error: the registration was refused: ")
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize(
    "options, sentence",
    [
        (("--stages", "rigid,bspline"), "its name must end in .h5"),
        (("--stages", "rigid,warp"), "stages rigid,warp are not known"),
        (("--label", "t1c.nii.gz"), "--label and --label-out belong together"),
        (("--spacing-mm", "0"), "--spacing-mm is 0"),
        (("--out", "o.jpg"), "not an image name that GlioSuite writes"),
        (("--fixed", "absent.nii.gz"), "absent.nii.gz (--fixed) does not exist"),
        (("--engine", "brainsfit"), "BRAINSFit was asked for and not found"),
    ],
)
def test_register_command_says_what_is_wrong(gliosuite, files, monkeypatch, options, sentence):
    monkeypatch.chdir(files)
    before = sorted(files.iterdir())
    given = {"--fixed": "t1c.nii.gz", "--moving": "flair.nii.gz", "--out": "o.nii.gz", "--transform": "t.tfm"}
    given |= dict([options])
    code, _, err = gliosuite("register", *[w for pair in given.items() for w in pair], "--quiet")
    assert code == 2
    assert err.startswith("error: ")
    assert sentence in err
    assert sorted(files.iterdir()) == before


def test_a_found_transform_ends_at_nine_decimals():
    from gliosuite.registration.linear import as_affine, as_versor

    euler = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1234567890123, -0.05, 0.02, (1.23456789012345, 0, 0))
    for found in (as_versor(euler, np.array([4.0, 5, 6])), as_affine(euler, np.array([4.0, 5, 6]))):
        assert list(found.GetParameters()) == [round(p, 9) for p in found.GetParameters()]
        np.testing.assert_allclose(
            found.TransformPoint((30.0, -20.0, 50.0)), euler.TransformPoint((30.0, -20.0, 50.0)), atol=1e-6
        )


def test_a_bspline_stage_alone_runs_the_linear_stages_where_images_lie_far_apart():
    turned = head(contrast="t2", moved=rigid((4.0, -6.0, 9.0), (8.0, -6.0, 4.0)), seed=1)
    settings = RegistrationSettings(stages=("bspline",), levels_mm=(6.0,), spline_levels_mm=(8.0,))
    with pytest.warns(UserWarning, match=r"too far for a B-spline stage alone: the rigid and affine stages were run"):
        result = register(head(), turned, settings, engine="simpleitk")
    assert result.stages == ("rigid", "affine", "bspline")
    assert result.quality.min_jacobian > 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        near = register(head(), head(contrast="t2", seed=1), settings, engine="simpleitk")
    assert near.stages == ("bspline",)
    assert near.notes == ()
