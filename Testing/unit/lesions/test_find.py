"""Label maps, given masks, and drafts on a simulated patient of known truth."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.atlas import template as anatomy
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, resample, resample_mask, volume_cc, write_image
from gliosuite.lesions import LesionSettings, find_lesions, from_labelmap
from gliosuite.lesions.find import CONVENTIONS

GRID = Grid((98, 116, 94), (2.0, 2.0, 2.0), (-98.0, -97.0, -72.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def labels(*values: int) -> sitk.Image:
    """A label map with one voxel of each value."""
    image = np.zeros((4, 4, 4), np.uint8)
    image.ravel()[: len(values)] = values
    return sitk.GetImageFromArray(image)


def ball(center: tuple[float, float, float], radius: float) -> np.ndarray:
    """A ball in mm (LPS)."""
    axes = [o + s * np.arange(n) for o, s, n in zip(GRID.origin, GRID.spacing, GRID.size)]
    x, y, z = axes[0][None, None, :], axes[1][None, :, None], axes[2][:, None, None]
    return (x - center[0]) ** 2 + (y - center[1]) ** 2 + (z - center[2]) ** 2 < radius**2


@pytest.fixture(scope="module")
def patient() -> tuple[dict[str, sitk.Image], dict[str, np.ndarray]]:
    """A simulated stripped brain with a ring-enhancing lesion (necrosis, rim, oedema) in white matter, and its truth."""
    t = anatomy.template()
    gm, wm = (array(resample(image, GRID)) / 255 for image in (t.gm, t.wm))
    inside = boolean(resample_mask(t.brain, GRID))
    fluid = np.clip(1 - gm - wm, 0, 1)
    center = (-32.0, 28.0, 28.0)
    necrosis = ball(center, 9.0) & inside
    cel = ball(center, 13.0) & inside & ~necrosis
    t2l = ball((-34.0, 30.0, 28.0), 22.0) & inside & (wm > 0.3) | cel | necrosis
    tissue = {"t1": (0.8, 1.0, 0.3), "t1c": (0.85, 1.03, 0.3), "flair": (1.1, 0.95, 0.25)}
    lesion = {"t1": (0.8, 0.75, 0.45), "t1c": (0.85, 1.6, 0.45), "flair": (1.7, 1.5, 0.9)}  # oedema, rim, necrosis
    rng = np.random.default_rng(4)
    images = {}
    for role, (a, b, c) in tissue.items():
        values = a * gm + b * wm + c * fluid
        for region, level in zip((t2l, cel, necrosis), lesion[role]):
            values = np.where(region, level, values)
        values = 200 * values * (1 + 0.1 * np.linspace(-1, 1, GRID.shape[1]))[None, :, None]
        values += rng.normal(0, 6, values.shape)
        images[role] = GRID.image(np.where(inside, values, 0).astype(np.float32))
    return images, {"brain": inside, "cel": cel, "t2l": t2l, "necrosis": necrosis, "nel": t2l & ~cel & ~necrosis}


def dice(mask: sitk.Image, truth: np.ndarray) -> float:
    found = boolean(mask)
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


# -------------------------------------------------------------------------------------------------------------- label maps


def test_brats2013():
    masks = from_labelmap(labels(1, 2, 3, 4, 4), "brats2013")
    count = {name: int(boolean(mask).sum()) for name, mask in masks.items()}
    assert count == {"cel": 2, "t2l": 5, "nel": 2, "necrosis": 1}


def test_hd_glio():
    masks = from_labelmap(labels(1, 1, 2), "hd-glio")
    assert {n: int(boolean(m).sum()) for n, m in masks.items()} == {"cel": 1, "t2l": 3, "nel": 2}


def test_brats2024_has_a_cavity():
    masks = from_labelmap(labels(1, 2, 3, 4), "brats2024")
    assert {n: int(boolean(m).sum()) for n, m in masks.items()} == {
        "cel": 1,
        "t2l": 3,
        "nel": 1,
        "necrosis": 1,
        "cavity": 1,
    }


def test_own_mapping():
    masks = from_labelmap(labels(7, 9), {7: "cel", 9: "cavity"})
    assert set(masks) == {"cel", "cavity"}


def test_no_enhancing_label_is_an_empty_mask():
    masks = from_labelmap(labels(2, 2), "brats2017")
    assert not boolean(masks["cel"]).any()
    assert boolean(masks["t2l"]).sum() == 2


def test_same_numbers_mean_different_things():
    enhancing = {
        c: boolean(from_labelmap(labels(1, 2, 3, 4), c)["cel"]).ravel()[:4].argmax() + 1
        for c in ("brats2013", "brats2024")
    }
    assert enhancing == {"brats2013": 4, "brats2024": 3}


@pytest.mark.parametrize(
    ("image", "convention", "text"),
    [
        (
            labels(1, 2, 4),
            "brats2023",
            r"label 4, which brats2023 has not.*labels found: 1, 2, 4; conventions with these labels: brats2013, brats2017",
        ),
        (labels(1, 2, 17), "hd-glio", "label 17"),
        (labels(), "brats2013", "is empty: no label but 0"),
        (labels(1), "brats99", "'brats99' is not known; choose from brats2013"),
        (labels(1), {1: "tumour"}, "names tumour; known are cel"),
        (sitk.Cast(labels(1), sitk.sitkFloat32) * 0.5, "brats2013", "not whole"),
    ],
)
def test_labelmap_refusals(image, convention, text):
    with pytest.raises(InputError, match=text):
        from_labelmap(image, convention)


def test_every_convention_has_an_enhancing_label():
    assert all("cel" in meaning.values() for meaning in CONVENTIONS.values())


# ------------------------------------------------------------------------------------------------------------------- drafts


@pytest.fixture(scope="module")
def found(patient):
    return find_lesions(patient[0])


def test_drafts_find_the_simulated_lesion(patient, found):
    truth = patient[1]
    assert dice(found.masks["brain"], truth["brain"]) > 0.98
    assert dice(found.masks["cel"], truth["cel"]) > 0.7
    assert dice(found.masks["t2l"], truth["t2l"]) > 0.75
    assert dice(found.masks["necrosis"], truth["necrosis"]) > 0.6
    assert 8 < volume_cc(found.masks["ventricles"]) < 40


def test_drafts_are_called_drafts(found):
    assert found.sources["brain"] == "image"
    assert {found.sources[n] for n in ("cel", "t2l", "necrosis", "ventricles")} == {"draft"}
    assert found.sources["nel"] == "draft"  # made from drafts
    assert all(found.how[name].strip() for name in found.masks)


def test_nel_is_t2l_without_cel_and_necrosis(found):
    m = {n: boolean(i) for n, i in found.masks.items()}
    assert (m["nel"] == (m["t2l"] & ~m["cel"] & ~m["necrosis"])).all()
    assert not (m["cel"] & ~m["t2l"]).any()


def test_given_masks_win(patient):
    images, truth = patient
    given = {n: GRID.image(truth[n]) for n in ("brain", "cel", "t2l", "necrosis")}
    given["ventricles"] = given["cavity"] = GRID.blank()
    result = find_lesions(images, given)
    assert {result.sources[n] for n in given} == {"file"}
    assert (boolean(result.masks["nel"]) == truth["nel"]).all()
    assert result.notes == []


def test_without_t1_there_is_a_suggestion_and_no_draft(patient):
    images, truth = patient
    result = find_lesions({"t1c": images["t1c"]})
    assert "cel" not in result.masks
    assert dice(result.suggestions["cel"], truth["cel"]) > 0.6
    assert any("are a suggestion of cel and no draft" in n for n in result.notes)
    assert "no FLAIR: no draft of the T2 lesion" in result.notes
    assert not {"t2l", "nel", "necrosis"} & set(result.masks)
    with_flair = find_lesions({r: images[r] for r in ("t1c", "flair")})
    assert set(with_flair.suggestions) == {"cel", "necrosis"}
    assert {"cel", "nel"}.isdisjoint(with_flair.masks)  # what does not enhance is not known
    assert dice(with_flair.masks["t2l"], truth["t2l"]) > 0.8


def test_drafts_that_are_small_or_on_both_sides_are_unsure(patient):
    from gliosuite.lesions.find import _doubt

    grid, identity = GRID, sitk.AffineTransform(3)
    small, one, both = ball((-32, 20, 20), 5.0), ball((-32, 20, 20), 12.0), ball((0, 20, 20), 20.0)
    assert _doubt(small, grid, identity).startswith("0.5 cc, less than 1")
    assert _doubt(one, grid, identity) is None
    assert "on both sides of the head" in _doubt(both, grid, identity)
    assert _doubt(ball((-18, 20, 20), 20.0), grid, identity) is None  # a few mm beyond the midline are mass effect


def test_enhancement_far_from_flair_is_left_out_and_listed(patient):
    images, truth = patient
    far = ball((40.0, -20.0, 40.0), 8.0) & truth["brain"]
    lit = images | {"t1c": GRID.image(np.where(far, 330.0, array(images["t1c"])).astype(np.float32))}
    result = find_lesions(lit)
    assert not (boolean(result.masks["cel"]) & far).any()
    told = [n for n in result.notes if "far from any FLAIR lesion was left out" in n]
    assert len(told) == 1
    assert "(40, -20, 40) mm" in told[0]


def test_a_given_draft_stays_a_draft(patient):
    images, truth = patient
    given = {n: GRID.image(truth[n]) for n in ("brain", "cel", "t2l", "necrosis")}
    given["ventricles"] = given["cavity"] = GRID.blank()
    result = find_lesions(images, given, unchecked=["cel"])
    assert result.sources["cel"] == "draft"
    assert result.sources["t2l"] == "file"
    assert result.sources["nel"] == "draft"  # made from one


def test_cavity_when_asked_for(patient):
    images, truth = patient
    watery = {r: GRID.image(np.where(truth["necrosis"], 30.0, array(i)).astype(np.float32)) for r, i in images.items()}
    result = find_lesions(watery, settings=LesionSettings(post_operative=True))
    assert dice(result.masks["cavity"], truth["necrosis"]) > 0.6
    assert not (boolean(result.masks["cavity"]) & boolean(result.masks["nel"])).any()


def test_a_healthy_brain_gives_empty_drafts_and_says_so():
    t = anatomy.template()
    gm, wm = (array(resample(image, GRID)) / 255 for image in (t.gm, t.wm))
    inside = boolean(resample_mask(t.brain, GRID))
    noise = np.random.default_rng(2).normal(0, 5, GRID.shape)
    healthy = lambda a, b: GRID.image(np.where(inside, 40 + a * gm + b * wm + noise, 0).astype(np.float32))
    result = find_lesions({"t1c": healthy(120, 160), "t1": healthy(110, 155), "flair": healthy(160, 140)})
    assert not boolean(result.masks["cel"]).any()
    assert volume_cc(result.masks["t2l"]) < 2
    assert "no enhancing lesion was found by the draft" in result.notes


def test_mask_outside_the_brain_is_noted(patient):
    images, truth = patient
    given = {n: GRID.image(truth[n]) for n in ("brain", "t2l", "necrosis")}
    given["ventricles"] = given["cavity"] = GRID.blank()
    given["cel"] = GRID.image(ball((-98.0, -97.0, -72.0), 20.0))
    assert any("100 % of cel (file) lies outside the brain mask" in n for n in find_lesions(images, given).notes)


def test_refusals(patient):
    images = patient[0]
    with pytest.raises(InputError, match="lesions need an image"):
        find_lesions({})
    with pytest.raises(InputError, match="flair is not on the grid"):
        find_lesions({"t1c": images["t1c"], "flair": images["flair"][1:]})
    with pytest.raises(InputError, match="mask tumor is not known"):
        find_lesions(images, {"tumor": GRID.blank()})


# ------------------------------------------------------------------------------------------------------------------ command


def test_command(patient, tmp_path, gliosuite):
    images, truth = patient
    paths = {r: write_image(i, tmp_path / f"{r}.nii.gz") for r, i in images.items()}
    label = np.zeros(GRID.shape, np.uint8)
    for value, role in ((2, "nel"), (4, "cel"), (1, "necrosis")):
        label[truth[role]] = value
    write_image(GRID.image(label), tmp_path / "labels.nii.gz")
    code, out, err = gliosuite(
        "lesions", "--t1c", paths["t1c"], "--flair", paths["flair"], "--labelmap", tmp_path / "labels.nii.gz",
        "--convention", "brats2017", "--out", tmp_path / "out", "--quiet",
    )  # fmt: skip
    assert code == 0, err
    result = json.loads(out)
    assert result["volumes_cc"]["cel"] == pytest.approx(truth["cel"].sum() * 0.008, abs=1e-3)
    written = json.loads((tmp_path / "out" / "lesions.json").read_text())
    assert written["masks"]["cel"]["source"] == "file"
    assert written["masks"]["ventricles"]["source"] == "draft"
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *(f"{n}.nii.gz" for n in ("brain", "cel", "t2l", "nel", "necrosis", "ventricles")), "lesions.json", "provenance.json",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "at least one of --t1c"),
        (["--t1c", "T1C", "--labelmap", "T1C"], "--labelmap and --convention go together"),
        (["--t1c", "T1C", "--labelmap", "T1C", "--convention", "1=a=b"], "cannot be read"),
    ],
)
def test_command_refusals(patient, tmp_path, gliosuite, options, text):
    path = write_image(patient[0]["t1c"], tmp_path / "t1c.nii.gz")
    code, out, err = gliosuite("lesions", *[path if o == "T1C" else o for o in options], "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.strip().splitlines()[-1].startswith("error: ")
    assert text in err
    assert not (tmp_path / "out").exists()
