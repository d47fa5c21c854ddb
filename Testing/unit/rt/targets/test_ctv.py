"""Every row of the scheme table on a phantom, and what is refused."""

import json

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, boolean, read_image, write_image
from gliosuite.resources import read_text
from gliosuite.rt.barriers import BarrierMasks
from gliosuite.rt.margins import expand
from gliosuite.rt.targets import Structures, scheme, target_volumes
from gliosuite.rt.targets.schemes import schemes

GRID = Grid((72, 66, 60), (2.0, 2.0, 2.0), (-70.0, -60.0, -50.0), tuple(np.eye(3).ravel()))
MM = np.indices(GRID.shape)[::-1].reshape(3, -1).T * 2.0


def ball(x: float, y: float, z: float, radius: float) -> np.ndarray:
    return (np.linalg.norm(MM - (x, y, z), axis=1) <= radius).reshape(GRID.shape)


CEL, T2L, CAVITY = ball(60, 60, 60, 9), ball(66, 60, 60, 16), ball(50, 60, 60, 8)
BRAIN = ball(70, 64, 60, 52)
ALL = Structures(brain=GRID.image(BRAIN), cel=GRID.image(CEL), t2l=GRID.image(T2L), cavity=GRID.image(CAVITY))

# INTERFACE: scheme, GTV, margin mm.
TABLE = [
    ("rtog", CEL | CAVITY | T2L, 20),
    ("rtog-boost", CEL | CAVITY, 20),
    ("eortc", CEL | CAVITY, 20),
    ("estro-acrop", CEL | CAVITY, 20),
    ("estro-eano", CEL | CAVITY, 15),
    ("nrg", CEL | CAVITY | T2L, 20),
    ("s3-rtog", CEL | T2L, 20),
    ("s3-eortc", CEL | CAVITY, 15),
]


def from_edge(gtv: np.ndarray, spacing: float = 2.0) -> np.ndarray:
    """Distance to the nearest voxel centre of the GTV, by brute force over a distance transform of scipy."""
    from scipy import ndimage

    return ndimage.distance_transform_edt(~gtv, sampling=spacing)


@pytest.mark.parametrize(("name", "gtv", "margin"), TABLE, ids=[t[0] for t in TABLE])
def test_a_scheme_is_its_gtv_and_its_margin_inside_the_brain(name, gtv, margin):
    made = target_volumes(name, ALL)
    assert np.array_equal(boolean(made.gtv), gtv)
    ctv = boolean(made.ctv)
    distance = from_edge(gtv)
    # The surface lies between half a voxel's edge and half its diagonal beyond the outermost centres.
    assert ctv[BRAIN & (distance <= margin - 1)].all()
    assert not ctv[(distance > margin + np.sqrt(3) + 1) | ~BRAIN].any()
    assert made.volumes_cc[made.targets[0].rule.ctv_name] == pytest.approx(ctv.sum() * GRID.voxel_cc, abs=1e-4)
    assert f"{margin} mm" in made.targets[0].how


def test_nrg_has_two_phases_named_by_dose():
    made = target_volumes("nrg", ALL)
    assert [t.rule.ctv_name for t in made.targets] == ["CTV_4600", "CTV_6000"]
    rtog, boost = target_volumes("rtog", ALL), target_volumes("rtog-boost", ALL)
    assert np.array_equal(boolean(made.targets[0].ctv), boolean(rtog.ctv))
    assert np.array_equal(boolean(made.targets[1].ctv), boolean(boost.ctv))


def test_the_table_names_sources_and_fits_tg_263():
    rows = json.loads(read_text("ctv_schemes.json"))["schemes"]
    assert [r["name"] for r in rows] == [*(t[0] for t in TABLE), "model"]
    names = [n for s in schemes().values() for t in s.targets for n in (t.ctv_name, t.gtv_name)]
    assert all(len(n) <= 16 for n in names)
    assert len(set(names)) == len(names)
    assert all(s.source and s.year >= 2005 for s in schemes().values())
    with pytest.raises(InputError, match="CTV scheme 'eroc' is not known; choose from rtog"):
        scheme("eroc")


def test_without_a_cavity_the_scheme_says_so():
    made = target_volumes("estro-eano", Structures(brain=ALL.brain, cel=ALL.cel))
    assert np.array_equal(boolean(made.gtv), CEL)
    assert made.notes == ("GTV_EANO was made without the resection cavity (cavity), which is not given.",)


def test_masks_on_other_grids_are_carried_over():
    fine = Grid((140, 130, 118), (1.0, 1.0, 1.0), (-69.5, -59.5, -49.5), GRID.direction)
    made = target_volumes("s3-eortc", ALL, like=fine)
    coarse = target_volumes("s3-eortc", ALL)
    assert Grid.of(made.ctv).matches(fine)
    assert made.volumes_cc["CTV_S3_EORTC"] == pytest.approx(coarse.volumes_cc["CTV_S3_EORTC"], rel=0.01)


def test_necrosis_joins_the_gtv_and_critical_structures_leave_the_ctv():
    ring, core = CEL & ~ball(60, 60, 60, 5), ball(60, 60, 60, 5)
    stem = ball(70, 70, 40, 10)
    made = target_volumes(
        "s3-eortc",
        Structures(brain=ALL.brain, cel=GRID.image(ring), necrosis=GRID.image(core), critical=(GRID.image(stem),)),
    )
    assert np.array_equal(boolean(made.gtv), CEL)
    assert not boolean(made.ctv)[stem].any()
    assert made.targets[0].how.endswith("critical structures removed")


def test_a_gtv_partly_outside_the_brain_is_cut_and_told():
    made = target_volumes(
        "s3-eortc", Structures(brain=GRID.image(BRAIN & (MM[:, 0] > 60).reshape(GRID.shape)), cel=ALL.cel)
    )
    assert not boolean(made.gtv)[~BRAIN].any()
    assert any("cc of GTV_S3_EORTC lie outside the brain mask and were cut off" in n for n in made.notes)


PROBABILITY = GRID.image(
    np.maximum(
        np.exp(-np.linalg.norm(MM - (74, 60, 60), axis=1) / 20).reshape(GRID.shape), 0.9 * ball(110, 60, 60, 5)
    ).astype(np.float32)
)


def test_a_predicted_target_holds_the_lesion_and_what_touches_it():
    made = target_volumes("model", ALL, probability=PROBABILITY, threshold=0.3)
    ctv = boolean(made.ctv)
    assert ctv[boolean(made.gtv)].all()
    assert ctv[(np.exp(-np.linalg.norm(MM - (74, 60, 60), axis=1) / 20) >= 0.31).reshape(GRID.shape) & BRAIN].all()
    assert not ctv[ball(110, 60, 60, 4)].any()
    assert any("do not touch the lesion and were left out" in n for n in made.notes)


def test_a_predicted_target_has_the_volume_that_was_asked_for():
    wanted = target_volumes("s3-eortc", ALL).volumes_cc["CTV_S3_EORTC"]
    made = target_volumes("model", ALL, probability=PROBABILITY, like_scheme="s3-eortc")
    assert made.volumes_cc["CTV_MODEL"] == pytest.approx(wanted, rel=0.01)
    assert made.volumes_cc["CTV_MODEL"] <= wanted
    again = target_volumes("model", ALL, probability=PROBABILITY, volume_cc=wanted)
    assert np.array_equal(boolean(made.ctv), boolean(again.ctv))


def test_a_model_has_a_lower_dose_level_for_the_rest_of_the_t2_lesion_and_2_cm():
    made = target_volumes("model", ALL, probability=PROBABILITY, threshold=0.5, probability_source="a phantom")
    high, low = made.targets
    assert [t.rule.ctv_name for t in made.targets] == ["CTV_MODEL", "CTV_MODEL_LOW"]
    assert (high.rule.dose, low.rule.dose) == ("60 Gy", "lower level")
    around = boolean(target_volumes("s3-rtog", ALL).ctv)
    assert np.array_equal(boolean(low.ctv), around & ~boolean(high.ctv))
    assert "from a phantom" in high.how
    assert low.how.endswith("without CTV_MODEL")
    alone = target_volumes("model", Structures(brain=ALL.brain, cel=ALL.cel), probability=PROBABILITY, threshold=0.5)
    assert len(alone.targets) == 1
    assert "CTV_MODEL_LOW was not made: it needs the T2 lesion (t2l), which is not given." in alone.notes


def test_satellites_are_reported_and_kept_when_asked_for():
    made = target_volumes("model", ALL, probability=PROBABILITY, threshold=0.5)
    assert len(made.satellites) == 1
    assert made.satellites[0].max_probability == pytest.approx(0.9)
    kept = target_volumes("model", ALL, probability=PROBABILITY, threshold=0.5, keep_satellites=True)
    assert boolean(kept.ctv)[ball(110, 60, 60, 2)].all()
    assert kept.volumes_cc["CTV_MODEL"] > made.volumes_cc["CTV_MODEL"]


@pytest.mark.parametrize("name", [*(t[0] for t in TABLE), "model"])
def test_a_ptv_is_the_ctv_and_its_margin(name):
    options = {"probability": PROBABILITY, "threshold": 0.5} if name == "model" else {}
    for target in target_volumes(name, ALL, ptv_mm=3.0, **options).targets:
        assert target.rule.ptv_name == target.rule.ctv_name.replace("CTV", "PTV")
        assert np.array_equal(boolean(target.ptv), boolean(expand(target.ctv, 3.0)))


def test_the_brain_mask_does_not_stop_a_ptv():
    small = ball(62, 60, 60, 22)
    target = target_volumes("estro-eano", Structures(brain=GRID.image(small), cel=ALL.cel), ptv_mm=5.0).targets[0]
    assert not boolean(target.ctv)[~small].any()
    assert boolean(target.ptv)[~small].any()


def test_barriers_bear_on_every_scheme_and_are_told():
    falx = (np.abs(MM[:, 0] - 78) < 2.1).reshape(GRID.shape)
    barriers = BarrierMasks({"falx": GRID.image(falx)}, "masks given")
    structures = Structures(brain=ALL.brain, cel=ALL.cel, cavity=ALL.cavity)
    beyond = (MM[:, 0] > 82).reshape(GRID.shape)
    for name in ("estro-eano", "eortc"):
        made, plain = (target_volumes(name, structures, barriers=b) for b in (barriers, None))
        assert boolean(plain.ctv)[beyond].any()
        assert not boolean(made.ctv)[beyond | falx].any()
        assert made.targets[0].how.endswith("round falx (masks given)")
        assert (made.barriers, made.barriers_source) == ({"falx": "stops"}, "masks given")
        assert (plain.barriers, plain.barriers_source) == ({}, "none")


def test_critical_structures_leave_every_ctv_alike():
    stem = ball(70, 70, 50, 10)
    structures = Structures(ALL.brain, ALL.cel, ALL.t2l, ALL.cavity, critical=(GRID.image(stem),))
    for name in ("nrg", "model"):
        options = {"probability": PROBABILITY, "threshold": 0.3} if name == "model" else {}
        for target in target_volumes(name, structures, **options).targets:
            assert not boolean(target.ctv)[stem].any()


@pytest.mark.parametrize(
    ("name", "change", "options", "sentence"),
    [
        ("rtog", {"t2l": None}, {}, r"CTV scheme rtog needs the T2 lesion \(t2l\), which is not given"),
        ("s3-eortc", {"cel": None, "cavity": None}, {}, "CTV scheme s3-eortc needs the enhancing lesion .* and none of them is given"),
        ("s3-eortc", {"cel": GRID.blank()}, {}, r"the enhancing lesion \(cel\) is empty on the grid"),
        ("s3-eortc", {"brain": GRID.blank()}, {}, "the brain mask is empty on the grid"),
        ("s3-eortc", {"cavity": None, "brain": GRID.image(ball(110, 64, 60, 20))}, {}, "lies outside the brain mask altogether"),
        ("s3-eortc", {}, {"ptv_mm": 40.0}, "a PTV margin of 40.0 mm is out of range"),
        ("s3-eortc", {}, {"margin_mm": -3}, "margin -3 mm is out of range"),
        ("s3-eortc", {}, {"threshold": 0.5}, "scheme s3-eortc takes no probability, threshold or volume"),
        ("model", {}, {}, "scheme model needs a probability"),
        ("model", {}, {"probability": PROBABILITY, "threshold": 2.0}, "threshold 2.0 is out of range"),
        ("model", {}, {"probability": PROBABILITY, "volume_cc": 3.0}, "a CTV of 3 cc is not possible"),
        ("model", {}, {"probability": PROBABILITY, "threshold": 0.2, "volume_cc": 90.0}, "one of --threshold"),
    ],
)  # fmt: skip
def test_what_is_refused(name, change, options, sentence):
    structures = Structures(**{"brain": ALL.brain, "cel": ALL.cel, "t2l": ALL.t2l, "cavity": ALL.cavity} | change)
    with pytest.raises(InputError, match=sentence):
        target_volumes(name, structures, **options)


# ------------------------------------------------------------------------------------------------------- command line


@pytest.fixture
def masks(tmp_path):
    for name, mask in (
        ("brain", BRAIN),
        ("cel", CEL),
        ("t2l", T2L),
        ("cavity", CAVITY),
        ("progression", ball(80, 60, 60, 14)),
    ):
        write_image(GRID.image(mask), tmp_path / f"{name}.nii.gz")
    return tmp_path


def test_the_command_writes_the_mask_and_its_volumes(gliosuite, masks):
    out = masks / "out" / "ctv.nii.gz"
    code, text, _ = gliosuite("ctv", "--scheme", "estro-eano", "--cel", masks / "cel.nii.gz", "--cavity", masks / "cavity.nii.gz",
                              "--brain", masks / "brain.nii.gz", "--out", out, "--gtv-out", masks / "out" / "gtv.nii.gz")  # fmt: skip
    assert code == 0
    report = json.loads(text)
    assert report["volumes_cc"] == json.loads((masks / "out" / "ctv.json").read_text())["volumes_cc"]
    expected = target_volumes("estro-eano", ALL)
    assert np.array_equal(boolean(read_image(out)), boolean(expected.ctv))
    assert np.array_equal(boolean(read_image(masks / "out" / "gtv.nii.gz")), CEL | CAVITY)
    assert sorted(p.name for p in (masks / "out").iterdir()) == ["ctv.json", "ctv.nii.gz", "gtv.nii.gz"]


def test_two_phases_give_two_masks(gliosuite, masks):
    code, text, _ = gliosuite("ctv", "--scheme", "nrg", "--cel", masks / "cel.nii.gz", "--t2l", masks / "t2l.nii.gz",
                              "--brain", masks / "brain.nii.gz", "--out", masks / "out" / "m.nii.gz")  # fmt: skip
    assert code == 0
    assert json.loads(text)["more"] == [(masks / "out" / "m_CTV_6000.nii.gz").as_posix()]
    assert (masks / "out" / "m_CTV_6000.nii.gz").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--scheme", "rtog", "--cel", "cel"], "needs the T2 lesion"),
        (["--scheme", "rtogg", "--cel", "cel"], "CTV scheme 'rtogg' is not known"),
        (["--scheme", "estro-eano", "--cel", "missing"], "missing.nii.gz (--cel) does not exist"),
        (["--scheme", "estro-eano", "--cel", "cel", "--barriers", "x"], "x is no folder"),
        (
            ["--scheme", "estro-eano", "--cel", "cel", "--barriers", "auto"],
            "registers the template to an image; --image I",
        ),
        (["--scheme", "estro-eano", "--cel", "cel", "--through", "chiasm"], "there are none; --barriers DIR or auto"),
        (["--scheme", "estro-eano", "--cel", "cel", "--schemes", "cel"], "cel.nii.gz"),
        (
            ["--scheme", "model", "--cel", "cel", "--sensitivity", "0.9"],
            "--sensitivity S and --validation DIR belong together",
        ),
        (["--scheme", "model", "--cel", "cel"], "scheme model needs a probability"),
    ],
)
def test_bad_options_are_one_sentence_and_nothing_is_written(gliosuite, masks, options, sentence):
    options = [masks / f"{o}.nii.gz" if o in ("cel", "missing") else o for o in options]
    code, out, err = gliosuite("ctv", *options, "--brain", masks / "brain.nii.gz", "--out", masks / "new" / "m.nii.gz")
    assert (code, out) == (2, "")
    assert sentence in err.strip().splitlines()[-1]
    assert not (masks / "new").exists()


def test_barriers_ptv_and_an_edited_table_on_the_command_line(gliosuite, masks):
    walls = masks / "walls"
    write_image(GRID.image((np.abs(MM[:, 0] - 78) < 2.1).reshape(GRID.shape)), walls / "falx.nii.gz")
    rows = json.loads(read_text("ctv_schemes.json"))
    rows["schemes"][4]["targets"][0]["margin_mm"] = 10
    (masks / "ours.json").write_text(json.dumps(rows), encoding="utf-8")
    code, text, _ = gliosuite("ctv", "--scheme", "estro-eano", "--schemes", masks / "ours.json", "--cel",
                              masks / "cel.nii.gz", "--brain", masks / "brain.nii.gz", "--barriers", walls, "--ptv-mm", "3",
                              "--out", masks / "o" / "m.nii.gz")  # fmt: skip
    assert code == 0
    report = json.loads(text)
    assert report["barriers"] == {"source": "masks given", "rules": {"falx": "stops"}}
    assert report["targets"][0]["how"].startswith("enhancing lesion (no resection cavity, no necrosis) + 10 mm")
    assert (report["targets"][0]["ptv"], report["targets"][0]["ptv_mm"]) == ("PTV_EANO", 3)
    assert sorted(p.name for p in (masks / "o").iterdir()) == ["m.json", "m.nii.gz", "m_PTV_EANO.nii.gz"]
    assert report["volumes_cc"]["PTV_EANO"] > report["volumes_cc"]["CTV_EANO"]


def test_a_predicted_target_says_where_its_probability_comes_from(gliosuite, masks):
    probability = masks / "p.nii.gz"
    write_image(PROBABILITY, probability, "blurred truth of a phantom")
    common = [
        "ctv",
        "--scheme",
        "model",
        "--cel",
        masks / "cel.nii.gz",
        "--brain",
        masks / "brain.nii.gz",
        "--probability",
        probability,
    ]
    code, text, _ = gliosuite(*common, "--threshold", "0.5", "--out", masks / "a" / "m.nii.gz")
    assert code == 0
    report = json.loads(text)["probability"]
    assert report["source"] == "blurred truth of a phantom"
    assert report["smoothing_mm"] == 2
    assert [s["max_probability"] for s in report["satellites"]] == [0.9]
    place = masks / "validation" / "one"
    for name, mask in (("brain", BRAIN), ("cel", CEL), ("progression", ball(74, 60, 60, 14) | CEL)):
        write_image(GRID.image(mask), place / f"{name}.nii.gz")
    write_image(PROBABILITY, place / "probability.nii.gz")
    code, text, _ = gliosuite(
        *common, "--sensitivity", "0.9", "--validation", masks / "validation", "--out", masks / "b" / "m.nii.gz"
    )
    assert code == 0
    validation = json.loads(text)["probability"]["validation"]
    assert validation["cases"] == 1
    assert validation["sensitivity"] >= 0.9
    assert validation["threshold"] == pytest.approx(np.exp(-14 / 20), abs=0.06)


def test_compare_writes_the_table_and_the_picture(gliosuite, masks):
    pytest.importorskip("matplotlib")
    for name in ("rtog", "s3-eortc"):
        assert gliosuite("ctv", "--scheme", name, "--cel", masks / "cel.nii.gz", "--t2l", masks / "t2l.nii.gz", "--brain",
                         masks / "brain.nii.gz", "--out", masks / f"{name}.nii.gz")[0] == 0  # fmt: skip
    out = masks / "comparison"
    code, text, _ = gliosuite("compare", "--reference", masks / "progression.nii.gz", "--brain", masks / "brain.nii.gz",
                              f"RTOG={masks / 'rtog.nii.gz'}", f"EORTC={masks / 's3-eortc.nii.gz'}", "--out", out)  # fmt: skip
    assert code == 0
    rows = json.loads(text)["rows"]
    table = (out / "comparison.csv").read_text().splitlines()
    assert table[0].startswith("name,sensitivity,specificity,dice,hd95_mm,tversky,pcc,equal_volume_coverage")
    assert [line.split(",")[0] for line in table[1:]] == ["RTOG", "EORTC"]
    assert rows[0]["sensitivity"] >= rows[1]["sensitivity"]
    assert rows[0]["specificity"] < rows[1]["specificity"]
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_compare_refuses_what_it_cannot_name(gliosuite, masks):
    common = ["--reference", masks / "progression.nii.gz", "--brain", masks / "brain.nii.gz", "--out", masks / "new"]
    for names, sentence in (
        ([masks / "cel.nii.gz"], "is not of the form NAME=CTV"),
        ([f"A={masks / 'cel.nii.gz'}", f"A={masks / 't2l.nii.gz'}"], "the name A is given twice"),
        ([f"A={masks / 'rs.dcm'}:CTV"], "rs.dcm (NAME=CTV) does not exist"),
    ):
        code, _, err = gliosuite("compare", *names, *common)
        assert code == 2
        assert sentence in err.strip().splitlines()[-1]
        assert not (masks / "new").exists()
