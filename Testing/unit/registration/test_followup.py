"""A later visit on the earlier one's grid: masks, both transforms, Jacobian, landmarks, and the ``progression`` command."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.files import read_json, write_csv, write_json
from gliosuite.images import Grid, array, boolean, is_draft, read_image, said_of, write_image
from gliosuite.registration import FollowupSettings, followup_of, read_landmarks, register_followup
from gliosuite.registration.followup import inverted
from gliosuite.registration.freeform import FreeformSettings
from heads import GRID, head, intensity, points_of, probes, rigid

FAST = FollowupSettings(deformable=FreeformSettings(metric="correlation", levels_mm=(8.0, 6.0), iterations=20))
POSE = rigid((4, -3, 5), (6, -4, 3))  # takes follow-up to baseline points
LATER = Grid((48, 56, 42), (4.0, 4.0, 4.0), (-90.0, -112.0, -80.0), GRID.direction)
LESION = (30.0, -30.0, 10.0)


def bent(points: np.ndarray) -> np.ndarray:
    return points + 5 * np.exp(-((points - (20, -10, 0)) ** 2).sum(-1, keepdims=True) / 30**2) * (0.7, 0.5, -0.5)


def to_baseline(points: np.ndarray) -> np.ndarray:
    """Follow-up to baseline points."""
    flat = np.array([POSE.TransformPoint(p) for p in points.reshape(-1, 3).tolist()])
    return bent(flat.reshape(points.shape))


def later_image(contrast: str) -> sitk.Image:
    values = intensity(to_baseline(points_of(LATER)), contrast)
    return LATER.image(np.abs(values + np.random.default_rng(1).normal(0, 4, values.shape)).astype(np.float32))


def later_mask() -> sitk.Image:
    return LATER.image(np.linalg.norm(to_baseline(points_of(LATER)) - LESION, axis=-1) < 14)


@pytest.fixture(scope="module")
def baseline():
    return {"t1c": head(), "flair": head(contrast="t2", seed=2)}


@pytest.fixture(scope="module")
def result(baseline):
    later = {"t1c": later_image("t1"), "flair": later_image("t2")}
    marks = np.random.default_rng(3).uniform(-40, 40, (20, 3))
    return register_followup(
        baseline, later, {"cel": later_mask()}, landmarks=(to_baseline(marks), marks), settings=FAST
    )


def test_landmarks_come_together(result):
    s = result.summary
    assert s["landmark_error_before_mm"] > 6
    assert s["landmark_error_after_mm"] < 0.75 * s["landmark_error_linear_mm"]
    assert s["landmark_error_after_mm"] < 1.2


def test_both_transforms_undo_each_other(result):
    there = np.array([result.transform.TransformPoint(p) for p in probes().tolist()])
    back = np.array([result.inverse.TransformPoint(p) for p in there.tolist()])
    assert np.linalg.norm(back - probes(), axis=1).max() < 0.3
    assert result.summary["inverse_error_mm"] < 0.5


def test_the_lesion_at_follow_up_lies_where_it_was_drawn(result):
    mask = result.masks["progression_cel"]
    assert Grid.of(mask).matches(GRID)
    truth = np.linalg.norm(points_of(GRID) - LESION, axis=-1) < 14
    found = boolean(mask)
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.88
    assert result.summary["progression_cel_cc"] == pytest.approx(truth.sum() * 0.064, rel=0.1)
    assert "progression_t2l" not in result.masks


def test_jacobian_is_positive_and_images_match(result, baseline):
    assert result.summary["jacobian_share_not_positive"] == 0
    assert 0 < result.summary["jacobian_min"] <= 1 <= result.summary["jacobian_max"]
    assert Grid.of(result.jacobian).matches(GRID)
    for role, image in result.images.items():
        assert Grid.of(image).matches(GRID)
        inside = intensity(points_of(GRID)) > 60
        assert np.corrcoef(array(image)[inside], array(baseline[role])[inside])[0, 1] > 0.9
    assert result.engine == "simpleitk"
    assert result.quality.verdict == "accepted"


def test_healthy_tissue_is_not_pulled_into_a_tumour_that_is_new(baseline):
    """A ball of tumour at follow-up where there was none: beside it, tissue lies where it lay only if the tumour is left out."""
    ball = later_mask()
    grown = lambda contrast: LATER.image(np.where(boolean(ball), 20, array(later_image(contrast))).astype(np.float32))
    later = {"t1c": grown("t1"), "flair": grown("t2")}
    shell = np.random.default_rng(4).normal(size=(300, 3))
    marks = LESION + 18 * shell / np.linalg.norm(shell, axis=1, keepdims=True)
    errors = []
    for masks in ({"t2l": ball}, {"cel": ball}):
        found = register_followup(baseline, later, masks, settings=FAST)
        moved = to_baseline(np.array([found.transform.TransformPoint(p) for p in marks.tolist()]))
        errors.append(np.linalg.norm(moved - marks, axis=1).mean())
    assert found.summary["not_compared_cc"] == pytest.approx(4 / 3 * np.pi * 1.4**3, rel=0.2)
    assert errors[1] < 0.9 * errors[0]


def test_linear_alone_gives_a_linear_inverse(baseline):
    result = register_followup(baseline, {"t1c": later_image("t1")}, settings=FollowupSettings(deformable=None))
    assert result.transform.IsLinear()
    assert result.summary["inverse_error_mm"] < 1e-6
    assert inverted(result.transform, GRID).IsLinear()


def test_images_of_a_visit_on_other_grids_are_brought_together(baseline):
    """The follow-up's FLAIR was taken in another position."""
    moved = rigid((0, 5, 0), (0, 6, -3))
    flair = head(Grid((50, 58, 20), (4.0, 4.0, 8.0), (-95.0, -115.0, -80.0), GRID.direction), "t2", moved)
    later = {"t1c": head(seed=5), "flair": flair}
    mask = Grid.of(flair).image(
        np.linalg.norm(
            np.array([moved.TransformPoint(p) for p in points_of(Grid.of(flair)).reshape(-1, 3).tolist()]) - LESION,
            axis=-1,
        ).reshape(Grid.of(flair).shape)
        < 16
    )
    result = register_followup(baseline, later, {"t2l": mask}, settings=FollowupSettings(deformable=None))
    centre = points_of(GRID)[boolean(result.masks["progression_t2l"])].mean(axis=0)
    assert np.linalg.norm(centre - LESION) < 1.5


def test_what_is_missing_is_said(baseline, tmp_path):
    with pytest.raises(InputError, match="have no image in common"):
        register_followup(baseline, {"adc": head()})
    with pytest.raises(InputError, match="1 landmarks at baseline and 2 at follow-up"):
        register_followup(
            {"t1c": head()},
            {"t1c": head(seed=1)},
            landmarks=(np.zeros((1, 3)), np.zeros((2, 3))),
            settings=FollowupSettings(deformable=None),
        )
    (tmp_path / "l.csv").write_text("Landmark,X,Y\n1,2,3\n")
    with pytest.raises(InputError, match=r"columns X, Y, Z with numbers in mm \(LPS\) are needed"):
        read_landmarks(tmp_path / "l.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_landmarks(tmp_path / "absent.csv")


@pytest.fixture
def case(tmp_path, baseline):
    folder = tmp_path / "case"
    write_image(baseline["t1c"], folder / "t1c.nii.gz")
    write_image(later_image("t1"), folder / "later.nii.gz")
    write_image(later_mask(), folder / "cel.nii.gz")
    later = {"images": {"t1c": {"path": "later.nii.gz"}}, "masks": {"cel": "cel.nii.gz", "t2l": "cel.nii.gz"}}
    write_json(folder / "case.json", {"id": "p", "images": {"t1c": {"path": "t1c.nii.gz"}}, "followup": later})
    return folder


def test_the_command_writes_what_the_contract_says(gliosuite, case, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    marks = np.random.default_rng(3).uniform(-40, 40, (8, 3))
    write_csv(tmp_path / "b.csv", "XYZ", to_baseline(marks).tolist())
    write_csv(tmp_path / "f.csv", "XYZ", marks.tolist())
    code, out, _ = gliosuite(
        *("progression", case, "--out", tmp_path / "o", "--spacing-mm", 0, "--quiet", "--no-bspline"),
        *("--landmarks", tmp_path / "b.csv", tmp_path / "f.csv"),
    )
    assert code == 0
    names = {p.name for p in (tmp_path / "o").iterdir()}
    assert names == {
        *("followup_t1c.nii.gz", "progression_cel.nii.gz", "progression_t2l.nii.gz", "jacobian.nii.gz"),
        *("baseline_to_followup.tfm", "followup_to_baseline.tfm", "progression.json", "provenance.json"),
        "checkerboard.png",
    }
    told = json.loads(out)
    written = read_json(tmp_path / "o" / "progression.json")
    assert told["landmark_error_after_mm"] == written["landmark_error_after_mm"] < written["landmark_error_before_mm"]
    assert written["quality"]["engine"] == "simpleitk"
    assert Grid.of(read_image(tmp_path / "o" / "progression_cel.nii.gz")).matches(GRID)
    there, back = (
        sitk.ReadTransform(str(tmp_path / "o" / f"{n}.tfm")) for n in ("baseline_to_followup", "followup_to_baseline")
    )
    assert np.allclose(back.TransformPoint(there.TransformPoint((1.0, 2.0, 3.0))), (1, 2, 3), atol=1e-6)


def test_a_case_without_followup_is_refused(gliosuite, case, tmp_path):
    write_json(case / "case.json", {"id": "p", "images": {"t1c": {"path": "t1c.nii.gz"}}})
    code, out, err = gliosuite("progression", case, "--out", tmp_path / "o", "--quiet")
    assert (code, out) == (2, "")
    assert "has no followup" in err
    assert not (tmp_path / "o").exists()


def test_a_case_is_taken_with_its_masks(case):
    from gliosuite.case import Case

    write_image(later_mask(), case / "t2l.nii.gz", "t2l (draft)")
    data = read_json(case / "case.json")
    data["followup"]["masks"]["t2l"] = "t2l.nii.gz"
    write_json(case / "case.json", data)
    result = followup_of(Case.load(case), settings=FollowupSettings(deformable=None))
    assert [is_draft(said_of(result.masks[n])) for n in ("progression_cel", "progression_t2l")] == [False, True]
    assert "The follow-up's t2l is a draft that no person has checked, and so is progression_t2l." in result.notes
