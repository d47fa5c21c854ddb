"""case.json: what it holds, what is refused, and paths that stay right when a case moves."""

import json

import numpy as np
import pytest
from gliosuite.case import Case
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, boolean, read_image, write_image, write_series

GRID = Grid((5, 6, 4), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
FRAME = np.arange(120, dtype=np.float32).reshape(GRID.shape)
DCE = {"path": "images/dce.nii.gz", "tr_ms": 5.4, "te_ms": 1.8, "flip_angle_deg": 12, "times_s": [0, 5.0, 10.0]}


@pytest.fixture
def folder(tmp_path):
    case = tmp_path / "case"
    write_image(GRID.image(FRAME), case / "images/t1c.nii.gz")
    write_series(Series(np.stack([FRAME] * 3), GRID), case / "images/dce.nii.gz")
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1:3, 1:3, 1:3], labels[3, 3, 3] = 1, 4
    write_image(GRID.image(labels), case / "masks/seg.nii.gz")
    (case / "dicom").mkdir()
    return case


def put(folder, **changes) -> None:
    data = {
        "id": "P1",
        "images": {"t1c": {"path": "images/t1c.nii.gz"}, "dce": DCE},
        "masks": {"cel": {"path": "masks/seg.nii.gz", "labels": [4]}, "t2l": "masks/seg.nii.gz"},
        "clinical": {"age": 61, "idh": "wildtype"},
        "dicom": {"t1c": "dicom"},
        "site": "kept",
    }
    (folder / "case.json").write_text(json.dumps(data | changes))


def refused(folder, **changes) -> str:
    put(folder, **changes)
    with pytest.raises(InputError) as error:
        Case.load(folder)
    return str(error.value)


def test_a_case_is_read(folder):
    put(folder, followup={"days": 90, "images": {"t1c": {"path": "images/t1c.nii.gz"}}})
    for case in (Case.load(folder), Case.load(folder / "case.json")):
        assert case.id == "P1"
        assert case.images == ("t1c", "dce")
        assert case.clinical == {"age": 61, "idh": "wildtype"}
        assert case.series("dce").n_times == 3
        assert boolean(case.mask("cel")).sum() == 1
        assert boolean(case.mask("t2l")).sum() == 9
        assert case.need("dce", "tr_ms", "times_s") == [5.4, [0, 5.0, 10.0]]
        assert case.dicom("t1c") == folder / "dicom"
        assert case.dicom("ct") is None
        assert case.followup.images == ("t1c",)
        assert case.followup.followup is None
        assert case.data["site"] == "kept"


def test_a_case_without_id_is_named_after_its_folder(folder):
    put(folder, id="")
    assert Case.load(folder).id == "case"


def test_saving_elsewhere_keeps_the_files_in_reach(folder, tmp_path):
    put(folder, followup={"images": {"t1c": {"path": "images/t1c.nii.gz"}}, "masks": {"cel": "masks/seg.nii.gz"}})
    Case.load(folder).save(tmp_path / "far" / "copy")
    copy = Case.load(tmp_path / "far" / "copy")
    assert copy.id == "P1"
    assert copy.data["site"] == "kept"
    assert copy.path("t1c").resolve() == folder / "images/t1c.nii.gz"
    assert copy.mask_path("cel").resolve() == folder / "masks/seg.nii.gz"
    assert copy.dicom("t1c").resolve() == folder / "dicom"
    assert copy.followup.path("t1c").resolve() == folder / "images/t1c.nii.gz"
    assert "\\" not in (tmp_path / "far/copy/case.json").read_text()
    np.testing.assert_array_equal(boolean(copy.mask("cel")), boolean(Case.load(folder).mask("cel")))


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"images": []}, "images is a list; an object is needed"),
        ({"images": {"t1c": "images/t1c.nii.gz"}}, "images.t1c has no path"),
        ({"masks": {"cel": 3}}, "masks.cel is 3; a path"),
        ({"images": {"t1c": {"path": "no.nii.gz"}}}, "no.nii.gz, which does not exist"),
        ({"dicom": {"t1c": "nowhere"}}, "nowhere, which does not exist"),
        ({"images": {"dce": DCE | {"tr_ms": 0}}}, "images.dce.tr_ms is 0; a number above 0 (ms) is needed"),
        ({"images": {"dce": DCE | {"te_ms": "2"}}}, "images.dce.te_ms is '2'; a number above 0 (ms) is needed"),
        ({"images": {"dce": DCE | {"flip_angle_deg": True}}}, "flip_angle_deg is True; a number above 0 (degrees)"),
        (
            {"images": {"dce": DCE | {"times_s": [0, 5, 5]}}},
            "frame 2 is at 5 s and frame 3 at 5 s; rising times are needed",
        ),
        ({"images": {"dce": DCE | {"times_s": 5}}}, "times_s is not a list of numbers"),
        ({"followup": {"images": {"t1c": {"path": "no.nii.gz"}}}}, "followup names"),
    ],
)
def test_what_cannot_be_is_refused(folder, changes, text):
    message = refused(folder, **changes)
    assert text in message
    assert "case.json" in message


def test_a_missing_or_broken_file_is_said(folder):
    with pytest.raises(InputError, match=r"does not exist; a case folder with a case.json is needed"):
        Case.load(folder)
    (folder / "case.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="holds a list; a JSON object"):
        Case.load(folder)
    (folder / "case.json").write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        Case.load(folder)


def test_what_a_step_needs_is_asked_for_by_name(folder):
    put(folder, images={"dce": {"path": "images/dce.nii.gz", "tr_ms": 5.4}})
    case = Case.load(folder)
    with pytest.raises(
        InputError,
        match=r"images\.dce \(dce\.nii\.gz\) has no te_ms and no flip_angle_deg \(found: tr_ms\); add them there",
    ):
        case.need("dce", "tr_ms", "te_ms", "flip_angle_deg")
    with pytest.raises(InputError, match="has no image 't2'; it has dce"):
        case.image("t2")
    with pytest.raises(InputError, match="has no mask 'brain'; it has cel, t2l"):
        case.mask("brain")


def test_as_many_times_as_frames_are_needed(folder):
    put(folder, images={"dce": DCE | {"times_s": [0, 5]}})
    with pytest.raises(InputError, match=r"has 3 time points; .* gives 2 in images\.dce\.times_s"):
        Case.load(folder).series("dce")


def test_a_mask_on_another_grid_is_carried(folder):
    put(folder)
    other = GRID.isotropic(1.0)
    write_image(other.image(np.zeros(other.shape, np.float32)), folder / "other.nii.gz")
    mask = Case.load(folder).mask("t2l", read_image(folder / "other.nii.gz"))
    assert Grid.of(mask).matches(other)
    assert boolean(mask).any()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"images": {"flare": {"path": "a.nii.gz"}}}, "images.flare, which is left alone; is flair meant?"),
        ({"images": {"T1C": {"path": "a.nii.gz"}}}, "images.T1C, which is left alone; is t1c meant?"),
        ({"masks": {"ventricle": "a.nii.gz"}}, "masks.ventricle, which is left alone; is ventricles meant?"),
        ({"followup": {"images": {"t1ce": {"path": "a.nii.gz"}}}}, "images.t1ce, which is left alone; is t1c meant?"),
        ({"images": {"t1c": {"path": "a.nii.gz"}, "t1ce": {"path": "a.nii.gz"}}}, None),
        ({"image": {}}, "no step knows image, which is left alone; is images meant?"),
        ({"follow_up": {"images": {}}}, "no step knows follow_up, which is left alone; is followup meant?"),
        ({"clinical": {"resektion": "GTR"}}, "clinical.resektion, which is left alone; is resection meant?"),
        (
            {"images": {"dce": {"path": "a.nii.gz", "haematocrit": 0.35}}},
            "images.dce.haematocrit, which is left alone; is hematocrit meant?",
        ),
        (
            {"images": {"t1c": {"path": "a.nii.gz"}}, "dicom": {"t1ce": "."}},
            "dicom.t1ce, which is left alone; is t1c meant?",
        ),
        ({"images": {"t1": {"path": "a.nii.gz", "ti_ms": 900, "protocol": "x"}}, "site": "B"}, None),
        ({"images": {"swi": {"path": "a.nii.gz"}}, "masks": {"brainstem": "a.nii.gz", "gtv": "a.nii.gz"}}, None),
    ],
)
def test_a_role_that_is_misspelt_is_said_with_the_nearest_name(tmp_path, content, said, recwarn):
    (tmp_path / "a.nii.gz").touch()
    (tmp_path / "case.json").write_text(json.dumps({"id": "a"} | content))
    Case.load(tmp_path)
    found = [str(w.message) for w in recwarn]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
