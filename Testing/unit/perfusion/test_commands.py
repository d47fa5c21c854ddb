"""The commands t1, aif, dce, dsc: what they print and write, and every kind of bad input (exit code 2, one sentence, nothing left)."""

import csv
import json

import numpy as np
import pytest
from gliosuite.images import Grid, Series, array, boolean, read_image, write_image, write_series
from heads import intensity, points_of, rigid
from smallseries import DCE, GRID, TIMES, write_small_series


@pytest.fixture
def folder(tmp_path):
    """A small DCE and DSC series, masks, T1 maps, tables."""
    return write_small_series(tmp_path)


@pytest.mark.parametrize("times", [("--times", "times.txt"), ("--times", "times.csv"), ("--dt", 2)])
def test_dce_prints_one_json_object_and_writes_its_maps(gliosuite, folder, times):
    times = (times[0], folder / times[1]) if times[0] == "--times" else times
    mask = ("--mask", folder / "mask.nii.gz", "--aif", folder / "aif.csv")
    code, out, _ = gliosuite("dce", folder / "dce.nii.gz", *times, *DCE, *mask, "--out", folder / "out")
    assert code == 0
    result = json.loads(out)
    assert result["medians"]["ktrans"] == pytest.approx(0.1, rel=0.05)
    assert result["units"]["ve"] == "fraction"
    assert all((folder / "out" / name).exists() for name in result["files"])


def test_dce_runs_with_every_kind_of_aif(gliosuite, folder):
    for aif in ("auto", "parker", "georgiou", folder / "artery.nii.gz"):
        arguments = ("--dt", 2, *DCE, "--aif", aif, "--format", "nrrd", "--out", folder / "out")
        code, out, _ = gliosuite("dce", folder / "dce.nii.gz", *arguments)
        assert code == 0
        # Another population's AIF has another area: the phantom's blood is Parker's.
        assert json.loads(out)["medians"]["ktrans"] == pytest.approx(0.1, rel=0.7 if aif == "georgiou" else 0.3)
        assert (folder / "out" / "ktrans.nrrd").exists()


def test_hematocrit_beside_a_table_warns(gliosuite, folder):
    arguments = ("--dt", 2, *DCE, "--aif", folder / "aif.csv", "--hematocrit", 0.3, "--out", folder / "out")
    code, _, err = gliosuite("dce", folder / "dce.nii.gz", *arguments)
    assert code == 0
    assert "warning: --hematocrit has no effect on an AIF table" in err


def test_aif_feeds_dce(gliosuite, folder):
    arguments = ("--kind", "dce", "--dt", 2, *DCE, "--out", folder / "found" / "aif.csv")
    code, out, _ = gliosuite("aif", folder / "dce.nii.gz", *arguments)
    assert code == 0
    assert {"aif.csv", "aif_mask.nii.gz"} <= set(json.loads(out)["files"])
    arguments = ("--dt", 2, *DCE, "--aif", folder / "found" / "aif.csv", "--out", folder / "out")
    code, out, _ = gliosuite("dce", folder / "dce.nii.gz", *arguments)
    assert code == 0
    assert json.loads(out)["medians"]["ktrans"] == pytest.approx(0.1, rel=0.15)


def test_points_take_the_voxels_that_they_lie_in(gliosuite, folder):
    points = ";".join(f"{-x:g},{-y:g},{z:g}" for x, y, z in [GRID.blank().TransformIndexToPhysicalPoint((3, 4, 1))] * 2)
    code, out, _ = gliosuite(
        *("aif", folder / "dce.nii.gz", "--kind", "dce", "--dt", 2, *DCE, "--method", "manual"),
        *(f"--aif-points={points}", "--no-sinus", "--out", folder / "points" / "aif.csv"),
    )
    assert code == 0
    assert json.loads(out)["voxels"] == 1
    base = (
        "dce",
        folder / "dce.nii.gz",
        "--dt",
        2,
        *DCE,
        f"--aif-points={points}",
        "--out",
        folder / "points" / "maps",
    )
    code, out, _ = gliosuite(*base, "--mask", folder / "mask.nii.gz")
    assert code == 0
    assert json.loads(out)["aif"]["method"] == "mask"
    refused(gliosuite, folder, "both --aif and --aif-points are given", *base[:-2], "--aif", folder / "artery.nii.gz")
    outside = ("dce", folder / "dce.nii.gz", "--dt", 2, *DCE, "--aif-points=900,0,0")
    refused(gliosuite, folder, "lies outside the series", *outside)


@pytest.mark.parametrize("search", ["mouridsen", "peruzzo"])
def test_published_searches_by_name(gliosuite, folder, search):
    arguments = ("--kind", "dce", "--dt", 2, *DCE, "--aif-search", search, "--out", folder / search / "aif.csv")
    code, out, _ = gliosuite("aif", folder / "dce.nii.gz", *arguments)
    assert code == 0
    assert f"found automatically ({search} search)" in json.loads(out)["how"]
    assert json.loads(out)["quality"]["candidates"] > 0


def test_dsc_and_its_aif(gliosuite, folder):
    arguments = ("--te-ms", 30, "--tr-ms", 2000, "--mask", folder / "mask.nii.gz")
    code, out, _ = gliosuite(
        "dsc", folder / "dsc.nii.gz", *arguments, "--nawm", folder / "mask.nii.gz", "--out", folder / "out"
    )
    assert code == 0
    relative, absolute = ["ncbv", "ncbf"], ["cbv", "cbf", "mtt", "tmax", "ttp", "k1", "k2", "kep", "psr", "ph"]
    assert list(json.loads(out)["units"])[:4] == [*relative, *absolute[:2]]
    assert {*relative, *absolute, "deconvolution_model"} == set(json.loads(out)["units"])
    arguments = ("--kind", "dsc", "--te-ms", 30, "--dt", 2, "--method", "manual", "--roi", folder / "artery.nii.gz")
    code, out, _ = gliosuite("aif", folder / "dsc.nii.gz", *arguments, "--out", folder / "aif" / "dsc.csv")
    assert code == 0
    assert json.loads(out)["voxels"] == 12


def test_t1(gliosuite, folder):
    arguments = ("--flip-angles", "2,5,10,15", "--tr-ms", 5, "--mask", folder / "mask.nii.gz", "--out", folder / "out")
    code, out, _ = gliosuite("t1", "--vfa", folder / "vfa.nii.gz", *arguments)
    assert code == 0
    assert json.loads(out)["medians"]["t1"] == pytest.approx(1.2, rel=1e-3)
    assert (folder / "out" / "m0.nii.gz").exists()


def test_t1_and_b1_together(gliosuite, folder):
    from gliosuite.perfusion.t1.hifi import Shot

    for name, shot in (("168", Shot(5.0, 0.005, 0.168, 160)), ("1068", Shot(5.0, 0.005, 1.068, 160))):
        image = np.full(GRID.shape, 1000 * float(shot.signal(1.2, 1.0)), np.float32)
        write_image(GRID.image(image), folder / f"ti_{name}.nii.gz")
    ir = ("--ir", folder / "ti_168.nii.gz", folder / "ti_1068.nii.gz")
    base = ("t1", "--vfa", folder / "vfa.nii.gz", "--flip-angles", "2,5,10,15", "--tr-ms", 5)
    base = (*base, "--mask", folder / "mask.nii.gz", *ir)
    how = ("--ti-ms", "168,1068", "--ir-flip-angle", 5, "--ir-pulses", 160)
    code, out, _ = gliosuite(*base, *how, "--out", folder / "both")
    assert code == 0
    assert json.loads(out)["medians"]["t1"] == pytest.approx(1.2, rel=1e-3)
    inside = boolean(read_image(folder / "mask.nii.gz"))
    assert np.median(array(read_image(folder / "both" / "b1.nii.gz"))[inside]) == pytest.approx(1.0, rel=1e-3)
    refused(gliosuite, folder, "--ir needs --ti-ms, --ir-flip-angle and --ir-pulses", *base)
    refused(gliosuite, folder, "leave --b1 and --linear out", *base, *how, "--linear")
    one = ("--ti-ms", "168", *how[2:])
    refused(gliosuite, folder, "has 2 volumes and 1 inversion times are given", *base, *one)
    in_s = ("--ti-ms", "0.168,1.068", *how[2:])
    refused(
        gliosuite,
        folder,
        "the inversion times are 0.168, 1.068 ms, which tell no T1; were they given in s?",
        *base,
        *in_s,
    )


def refused(gliosuite, folder, sentence, *arguments):
    code, out, err = gliosuite(*arguments, "--quiet", "--out", folder / "out" / "deep")
    assert code == 2
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert sentence in last
    assert "Traceback" not in err
    assert not (folder / "out").exists()


def test_baseline_and_arrival_are_options_of_all_three(gliosuite, folder):
    dce = ("dce", folder / "dce.nii.gz", "--dt", 2, *DCE, "--aif", folder / "aif.csv", "--mask", folder / "mask.nii.gz")
    dsc = ("dsc", folder / "dsc.nii.gz", "--te-ms", 30, "--tr-ms", 2000, "--mask", folder / "mask.nii.gz")
    for base in (dce, dsc):
        for option, n_baseline in ((("--baseline", 6), 6), (("--arrival", 15), 8)):
            code, _, err = gliosuite(*base, *option, "--out", folder / "maps")
            assert code == 0, err
            record = json.loads((folder / "maps" / "fit.json").read_text())
            assert record["n_baseline"] == n_baseline
            assert record["arrival_s"] == 2 * n_baseline
            assert "the baseline is the one that was given, not one found in the series" in record["notes"]
        refused(gliosuite, folder, "both --baseline and --arrival are given", *base, "--baseline", 6, "--arrival", 15)
        refused(gliosuite, folder, "--baseline is 49 and", *base, "--baseline", 49)
        refused(gliosuite, folder, "--arrival is 500 s and", *base, "--arrival", 500)
    aif = ("aif", folder / "dce.nii.gz", "--kind", "dce", "--dt", 2, *DCE)
    code, _, err = gliosuite(*aif, "--baseline", 8, "--out", folder / "found" / "aif.csv")
    assert code == 0, err
    code, _, err = gliosuite(*aif, "--baseline", 60, "--out", folder / "none" / "aif.csv")
    assert code == 2
    assert "--baseline is 60 and" in err


def test_a_series_that_starts_after_the_bolus_is_refused_and_baseline_overrules(gliosuite, folder):
    from gliosuite.images import read_series

    for kind, start in (("dce", 15), ("dce", 30), ("dsc", 14)):
        series = read_series(folder / f"{kind}.nii.gz")
        write_series(Series(series.frames[start:], GRID), folder / "late.nii.gz")
        base = ("dsc", folder / "late.nii.gz", "--te-ms", 30, "--tr-ms", 2000)
        if kind == "dce":
            base = ("dce", folder / "late.nii.gz", "--dt", 2, *DCE, "--aif", folder / "aif.csv")
        refused(gliosuite, folder, "; a series that starts before the contrast agent arrives is needed", *base)
        if kind == "dce":
            code, _, err = gliosuite(*base, "--baseline", 3, "--out", folder / "maps")
            assert code == 0, err


def test_a_spoiled_frame_is_left_out_and_said(gliosuite, folder):
    from gliosuite.images import read_series

    base = ("--dt", 2, *DCE, "--mask", folder / "mask.nii.gz", "--aif", folder / "aif.csv", "--out", folder / "maps")
    medians = []
    for name in ("whole", "spoiled"):
        series = read_series(folder / "dce.nii.gz")
        if name == "spoiled":
            series.frames[30] = 0.0
            series.frames[4] = np.nan
        write_series(series, folder / f"{name}.nii.gz")
        code, out, err = gliosuite("dce", folder / f"{name}.nii.gz", *base)
        assert code == 0, err
        medians.append(json.loads(out)["medians"])
    notes = json.loads(out)["notes"]
    assert "left out, with their times: frame 5 is no number, frame 31 is blank (numbers from 1)" in notes
    for name in ("ktrans", "ve", "vp"):
        assert medians[1][name] == pytest.approx(medians[0][name], rel=0.005)
    series.frames[12] = 0.0
    series.frames[11] = 0.0
    write_series(series, folder / "broken.nii.gz")
    refused(
        gliosuite, folder, "and the bolus is in it: 6 s from 20.0 s on", "dce", folder / "broken.nii.gz", *base[:-2]
    )


def test_a_mask_without_a_bolus_is_no_artery(gliosuite, folder):
    air = np.zeros(GRID.shape, bool)
    air[:, 0, :] = True
    write_image(GRID.image(air), folder / "air.nii.gz")
    base = ("--aif", folder / "air.nii.gz")
    refused(gliosuite, folder, "the AIF mask shows no bolus", "dce", folder / "dce.nii.gz", "--dt", 2, *DCE, *base)
    refused(
        gliosuite, folder, "the AIF mask shows no bolus", "dsc", folder / "dsc.nii.gz", "--te-ms", 30, "--dt", 2, *base
    )


def test_dce_refuses_missing_and_wrong_timing(gliosuite, folder):
    series = folder / "dce.nii.gz"
    refused(gliosuite, folder, "give them with --times or --dt", "dce", series, *DCE)
    (folder / "short.txt").write_text("0 2 4\n")
    refused(
        gliosuite,
        folder,
        "short.txt gives 3 times and dce.nii.gz has 50",
        "dce",
        series,
        *DCE,
        "--times",
        folder / "short.txt",
    )
    falling = [*TIMES[:20], 3.0, *TIMES[21:]]
    (folder / "falling.txt").write_text("\n".join(map(str, falling)))
    sentence = "do not rise: frame 20 is at 38 s and frame 21 at 3 s"
    refused(gliosuite, folder, sentence, "dce", series, *DCE, "--times", folder / "falling.txt")
    (folder / "words.txt").write_text("0\ntwo\n")
    refused(
        gliosuite,
        folder,
        "words.txt holds a value that is no number",
        "dce",
        series,
        *DCE,
        "--times",
        folder / "words.txt",
    )
    refused(gliosuite, folder, "frame interval above 0 s", "dce", series, *DCE, "--dt", 0)


def test_dce_refuses_missing_acquisition(gliosuite, folder):
    series = folder / "dce.nii.gz"
    refused(
        gliosuite,
        folder,
        "repetition time is not known; give it with --tr-ms",
        "dce",
        series,
        "--dt",
        2,
        "--flip-angle",
        15,
    )
    refused(
        gliosuite, folder, "flip angle is not known; give it with --flip-angle", "dce", series, "--dt", 2, "--tr-ms", 5
    )


def test_dce_refuses_too_few_time_points(gliosuite, folder):
    write_series(Series(np.ones((4, *GRID.shape), np.float32), GRID), folder / "four.nii.gz")
    refused(
        gliosuite,
        folder,
        "DCE series has 4 time points; at least 10 are needed (four.nii.gz, 4th axis)",
        *("dce", folder / "four.nii.gz", "--dt", 2, *DCE),
    )
    write_image(GRID.image(np.ones(GRID.shape, np.float32)), folder / "one.nii.gz")
    refused(
        gliosuite, folder, "has 1 time point; a 4-D series is needed", "dce", folder / "one.nii.gz", "--dt", 2, *DCE
    )


def test_dce_refuses_invalid_voxels_unless_allowed(gliosuite, folder):
    from gliosuite.images import read_series

    series = read_series(folder / "dce.nii.gz")
    series.frames[5, 1, 5, 5] = np.nan
    series.frames[6, 1, 6, 6] = -3.0
    write_series(series, folder / "bad.nii.gz")
    arguments = ("dce", folder / "bad.nii.gz", "--dt", 2, *DCE, "--aif", folder / "aif.csv")
    refused(
        gliosuite, folder, "bad.nii.gz has 1 voxels with NaN or infinite values and 1 with negative ones", *arguments
    )
    allowed = ("--allow-invalid-voxels", "--mask", folder / "mask.nii.gz", "--out", folder / "out")
    code, out, _ = gliosuite(*arguments, *allowed)
    assert code == 0
    # The 12 arterial voxels have no concentration at the tissue's T1 (their signal is above what it allows).
    assert json.loads(out)["fitted_voxels"] == 3 * 64 - 12 - 2


def test_dce_refuses_masks_t1_and_aif(gliosuite, folder):
    base = ("dce", folder / "dce.nii.gz", "--dt", 2, "--tr-ms", 5, "--flip-angle", 15)
    refused(gliosuite, folder, "empty.nii.gz is empty", *base, "--mask", folder / "empty.nii.gz")
    refused(gliosuite, folder, "no brain mask of dce.nii.gz: ", *base, "--mask", "brain")
    far = Grid(GRID.size, GRID.spacing, (900.0, 0.0, 0.0), GRID.direction)
    write_image(far.image(np.ones(GRID.shape, bool)), folder / "far.nii.gz")
    refused(gliosuite, folder, "far.nii.gz does not overlap", *base, "--mask", folder / "far.nii.gz")
    refused(
        gliosuite,
        folder,
        "t1_ms.nii.gz has a median of 1200, which looks like milliseconds",
        *base,
        "--t10",
        folder / "t1_ms.nii.gz",
    )
    refused(gliosuite, folder, "t10 is 1200, which looks like milliseconds", *base, "--t10", 1200)
    (folder / "bad.csv").write_text("a,b\n1,2\n")
    refused(gliosuite, folder, "bad.csv has the columns a, b", *base, "--aif", folder / "bad.csv")
    short = (folder / "aif.csv").read_text().splitlines()[:20]
    (folder / "short.csv").write_text("\n".join(short))
    refused(
        gliosuite,
        folder,
        "short.csv runs from 0 s to 36 s and the series ends at 98 s",
        *base,
        "--aif",
        folder / "short.csv",
    )
    for factor, other in ((1000, "uM"), (0.001, "M")):
        head, *rows = (folder / "aif.csv").read_text().splitlines()
        scaled = [f"{t},{factor * float(c)}" for t, c in (row.split(",") for row in rows)]
        (folder / "unit.csv").write_text("\n".join([head, *scaled]))
        refused(
            gliosuite,
            folder,
            f"mM are possible in plasma; was it given in {other}?",
            *base,
            "--aif",
            folder / "unit.csv",
        )
    refused(gliosuite, folder, "--aif is 'atuo'", *base, "--aif", "atuo")
    refused(gliosuite, folder, "is not NAME=LOW,HIGH", *base, "--bounds", "ktrans:0-5")
    for bounds, sentence in (
        ("ktrnas=0,5", "bounds of ktrnas have no effect: the model etm has bounds of ktrans, vp, kep, delay"),
        ("ve=0.1,0.2", "bounds of ve have no effect"),
        ("kep=5,1", "the bounds of kep are 5 and 1; a lowest and a higher value, both above 0,"),
        ("vp=nan,1", "the bounds of vp are nan and 1"),
    ):
        refused(gliosuite, folder, sentence, *base, "--bounds", bounds)
    refused(gliosuite, folder, "the T1 of blood is 1650; 0.1 to 10 s are possible", *base, "--t10-blood", 1650)
    refused(gliosuite, folder, "use --device cpu or auto", *base, "--device", "cuda")


def test_flat_and_truncated_series_are_refused(gliosuite, folder):
    rng = np.random.default_rng(0)
    flat = Series((500 + rng.normal(0, 3, (50, *GRID.shape))).astype(np.float32), GRID)
    write_series(flat, folder / "flat.nii.gz")
    mask = ("--mask", folder / "mask.nii.gz")
    refused(
        gliosuite,
        folder,
        "flat.nii.gz shows no bolus: its signal rises",
        "dce",
        folder / "flat.nii.gz",
        "--dt",
        2,
        *DCE,
        *mask,
    )
    dsc = ("dsc", folder / "flat.nii.gz", "--te-ms", 30, "--tr-ms", 2000, *mask)
    refused(gliosuite, folder, "flat.nii.gz shows no bolus: its signal falls", *dsc)
    whole = (folder / "dce.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    refused(gliosuite, folder, "cut.nii.gz is truncated", "dce", folder / "cut.nii.gz", "--dt", 2, *DCE)


def test_dsc_and_t1_refuse_missing_acquisition(gliosuite, folder):
    series = folder / "dsc.nii.gz"
    refused(gliosuite, folder, "echo time is not known; give it with --te-ms", "dsc", series, "--tr-ms", 2000)
    refused(gliosuite, folder, "frame times are not known", "dsc", series, "--te-ms", 30)
    known = ("dsc", series, "--te-ms", 30, "--tr-ms", 2000)
    refused(gliosuite, folder, "the flip angle is 0; 2 to 90 degrees are possible", *known, "--flip-angle", 0)
    refused(gliosuite, folder, "the T1 before the bolus is 1500; one between", *known, "--t10", 1500)
    refused(gliosuite, folder, "--tr-ms", "t1", "--vfa", folder / "vfa.nii.gz", "--flip-angles", "2,5,10,15")
    vfa = ("t1", "--vfa", folder / "vfa.nii.gz", "--tr-ms", 5)
    refused(gliosuite, folder, "vfa.nii.gz has 4 volumes and 3 flip angles", *vfa, "--flip-angles", "2,5,10")
    refused(
        gliosuite,
        folder,
        "--nawm auto needs --brain and --lesion",
        "dsc",
        series,
        "--te-ms",
        30,
        "--dt",
        2,
        "--nawm",
        "auto",
    )


def test_dsc_takes_maps_of_t1_and_flip_angle(gliosuite, folder):
    for name, value in (("t1", 1.4), ("ms", 1400.0), ("b1", 0.9), ("percent", 90.0)):
        write_image(GRID.image(np.full(GRID.shape, value, np.float32)), folder / f"{name}.nii.gz")
    dsc = ("dsc", folder / "dsc.nii.gz", "--te-ms", 30, "--tr-ms", 2000, "--flip-angle", 60)
    dsc += ("--mask", folder / "mask.nii.gz")
    for given, t10, b1 in (
        (("--t10", folder / "t1.nii.gz", "--b1", folder / "b1.nii.gz"), "map", "map"),
        (("--t10", 1.2), 1.2, "nominal"),
        ((), 1.5, "nominal"),
    ):
        code, _, err = gliosuite(*dsc, *given, "--out", folder / "maps")
        assert code == 0, err
        record = json.loads((folder / "maps" / "fit.json").read_text())
        assert (record["t1_effect"]["t10_s"], record["t1_effect"]["b1"]) == (t10, b1)
        assert record["settings"]["aif_r2star"] in ("quadratic", "linear")
    refused(gliosuite, folder, "looks like milliseconds", *dsc, "--t10", folder / "ms.nii.gz")
    refused(gliosuite, folder, "the B1 map has a median of 90", *dsc, "--b1", folder / "percent.nii.gz")
    refused(gliosuite, folder, "the T1 before the bolus is 20; one between 0.1 and 10 s is needed", *dsc, "--t10", 20)


def test_dsc_passes_the_device_on(gliosuite, folder):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    arguments = ("dsc", folder / "dsc.nii.gz", "--te-ms", 30, "--tr-ms", 2000, "--mask", folder / "mask.nii.gz")
    refused(gliosuite, folder, "no CUDA device is seen by torch", *arguments, "--device", "cuda")


def test_an_output_that_is_a_file_is_refused(gliosuite, folder):
    (folder / "file").write_text("x")
    arguments = ("--dt", 2, *DCE, "--aif", folder / "aif.csv", "--out", folder / "file")
    code, _, err = gliosuite("dce", folder / "dce.nii.gz", *arguments)
    assert code == 2
    assert "file" in err.strip().splitlines()[-1]
    assert (folder / "file").read_text() == "x"


def test_a_dicom_folder_gives_series_and_acquisition(gliosuite, folder, monkeypatch):
    from gliosuite import dicom
    from gliosuite.images import read_series

    acquisition = {"tr_ms": 5.0, "flip_angle_deg": 15.0, "times_s": list(TIMES)}
    reader = lambda path: (read_series(folder / "dce.nii.gz"), acquisition)
    monkeypatch.setattr(dicom, "read_dicom_series", reader, raising=False)
    (folder / "dicom").mkdir()
    arguments = ("--t10", 1.2, "--aif", folder / "aif.csv", "--mask", folder / "mask.nii.gz")
    code, out, err = gliosuite("dce", folder / "dicom", *arguments, "--out", folder / "out")
    assert code == 0, err
    assert json.loads(out)["medians"]["ktrans"] == pytest.approx(0.1, rel=0.05)


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_dce_writes_regions_of_masks_on_any_grid(gliosuite, folder):
    fine = Grid((24, 24, 6), (2.0, 2.0, 2.5), (-1.0, -1.0, -1.25), GRID.direction)
    lesion = np.zeros(fine.shape, bool)
    lesion[:, 12:18, 12:18] = True
    write_image(fine.image(lesion), folder / "fine.nii.gz", "lesion (draft)")
    arguments = ("--dt", 2, *DCE, "--mask", folder / "mask.nii.gz", "--aif", folder / "aif.csv", "--unclamped")
    regions = ("--regions", f"lesion={folder / 'fine.nii.gz'}", f"artery={folder / 'artery.nii.gz'}")
    code, out, _ = gliosuite("dce", folder / "dce.nii.gz", *arguments, *regions, "--out", folder / "out")
    assert code == 0
    assert "regions.csv" in out
    rows = {(r["map"], r["region"]): r for r in rows_of(folder / "out" / "regions.csv")}
    assert float(rows["ktrans", "lesion"]["median"]) == pytest.approx(0.1, rel=0.05)
    assert float(rows["ktrans_unclamped", "lesion"]["mean"]) == pytest.approx(0.1, rel=0.05)
    assert float(rows["ktrans", "lesion"]["volume_cc"]) == pytest.approx(lesion.sum() * 0.01, rel=0.3)
    assert rows["ktrans", "lesion"]["unit"] == "1/min"
    assert (rows["ktrans", "lesion"]["draft"], rows["ktrans", "artery"]["draft"]) == ("DRAFT", "")
    bins = [r for r in rows_of(folder / "out" / "regions_histogram.csv") if r["map"] == "ktrans"]
    assert sum(int(r["lesion"]) for r in bins) == int(rows["ktrans", "lesion"]["n"])


def test_regions_that_cannot_be_used_are_refused(gliosuite, folder):
    base = ("dce", folder / "dce.nii.gz", "--dt", 2, *DCE, "--regions")
    refused(gliosuite, folder, "empty.nii.gz is empty", *base, f"cel={folder / 'empty.nii.gz'}")
    refused(gliosuite, folder, "'cel' is not NAME=MASK", *base, "cel")
    twice = f"cel={folder / 'artery.nii.gz'}"
    refused(gliosuite, folder, "--regions gives cel twice", *base, twice, twice)


def test_dsc_adds_the_normal_white_matter(gliosuite, folder):
    arguments = ("--te-ms", 30, "--tr-ms", 2000, "--mask", folder / "mask.nii.gz", "--nawm", folder / "mask.nii.gz")
    region = ("--regions", f"artery={folder / 'artery.nii.gz'}", "--out", folder / "out")
    code, _, _ = gliosuite("dsc", folder / "dsc.nii.gz", *arguments, *region)
    assert code == 0
    rows = {(r["map"], r["region"]): r for r in rows_of(folder / "out" / "regions.csv")}
    assert float(rows["ncbv", "nawm"]["mean"]) == pytest.approx(1.0, rel=0.6)
    assert float(rows["ncbv", "artery"]["mean"]) > float(rows["ncbv", "nawm"]["mean"])


def test_a_preset_fixes_settings_and_says_what_overrides_it(gliosuite, folder):
    base = ("--dt", 2, "--tr-ms", 5, "--flip-angle", 15, "--mask", folder / "mask.nii.gz", "--preset", "yoon2024")
    code, out, _ = gliosuite("dce", folder / "dce.nii.gz", *base, "--aif", folder / "aif.csv", "--out", folder / "out")
    assert code == 0
    record = json.loads((folder / "out" / "fit.json").read_text())
    assert (record["settings"]["model"], record["t10_s"]) == ("tofts", 1.0)
    assert record["settings"]["aif_search"] == "mouridsen"
    assert record["preset"]["overridden"] == {"aif": {"preset": "auto", "used": "csv"}}
    assert "vp" not in record["units"]
    assert json.loads(out)["preset"]["name"] == "yoon2024"
    more = ("--model", "etm", "--t10", 1.2, "--aif", folder / "aif.csv", "--out", folder / "out")
    code, _, _ = gliosuite("dce", folder / "dce.nii.gz", *base, *more)
    assert code == 0
    record = json.loads((folder / "out" / "fit.json").read_text())
    assert record["settings"]["model"] == "etm"
    assert set(record["preset"]["overridden"]) == {"model", "t10_s", "aif"}
    assert any("model is etm in place of the preset's tofts" in note for note in record["notes"])


def test_a_population_aif_is_the_one_asked_for(gliosuite, folder):
    arguments = ("--kind", "dce", "--dt", 2, *DCE, "--method", "population", "--population", "georgiou")
    code, out, _ = gliosuite("aif", folder / "dce.nii.gz", *arguments, "--out", folder / "found" / "aif.csv")
    assert code == 0
    assert "Georgiou 2019" in json.loads(out)["how"]
    assert json.loads(out)["method"] == "georgiou"


HEAD = Grid((40, 48, 14), (4.0, 4.0, 6.0), (-78.0, -94.0, -39.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A head that fills with contrast agent in front and moves in its last frames; a mask of the front."""
    folder = tmp_path_factory.mktemp("moving")
    back = rigid((2, 0, 1), (1.5, -3, 1)).GetInverse()
    turn = np.reshape(back.GetMatrix(), (3, 3))
    frames = []
    for t in range(24):
        points = points_of(HEAD)
        points = points @ turn.T + back.GetTranslation() if t >= 18 else points
        front = 1 / (1 + np.exp((points[..., 1] + 60) / 3))
        frames.append(intensity(points) * (1 + 0.6 * front * (1 - np.exp(-max(t - 5, 0) / 4))))
    noisy = np.abs(np.stack(frames) + np.random.default_rng(4).normal(0, 4, (24, *HEAD.shape)))
    write_series(Series(noisy.astype(np.float32), HEAD), folder / "dce.nii.gz")
    write_image(
        HEAD.image((points_of(HEAD)[..., 1] < -65) & (intensity(points_of(HEAD)) > 150)), folder / "front.nii.gz"
    )
    return folder


def test_dce_moves_frames_back_before_it_fits_and_says_so(gliosuite, moving, tmp_path):
    words = ("dce", moving / "dce.nii.gz", "--dt", 5, *DCE, "--aif", "parker", "--mask", moving / "front.nii.gz")
    results = {}
    for name, option in (("as it comes", ()), ("left", ("--no-motion",))):
        code, out, err = gliosuite(*words, *option, "--out", tmp_path / name)
        assert code == 0, err
        results[name] = json.loads(out)
        misfit = array(read_image(tmp_path / name / "rmse.nii.gz"))
        results[name]["rmse"] = float(np.median(misfit[misfit > 0]))
    found, left = results.values()
    assert "6 of 24 frames were moved back" in found["notes"][0]
    assert json.loads((tmp_path / "as it comes" / "fit.json").read_text())["motion"]["frames_corrected"] == 6
    assert "motion.csv" in found["files"]
    assert found["rmse"] < 0.8 * left["rmse"]
    assert left["notes"][0] == "Motion was not corrected."
    assert not (tmp_path / "left" / "motion.csv").exists()


def test_an_aif_by_hand_is_read_where_it_was_drawn_unless_motion_is_asked_for(gliosuite, moving, tmp_path):
    words = ("aif", moving / "dce.nii.gz", "--kind", "dce", "--dt", 5, *DCE[:4], "--method", "manual")
    tables = []
    for option in ((), ("--no-motion",), ("--motion",)):
        code, _, err = gliosuite(*words, "--roi", moving / "front.nii.gz", *option, "--out", tmp_path / "aif.csv")
        assert code == 0, err
        assert ("6 of 24 frames were moved back" in err) == (option == ("--motion",))
        tables.append((tmp_path / "aif.csv").read_text())
    assert tables[0] == tables[1] != tables[2]


def test_concentrations_are_not_moved(gliosuite, folder, tmp_path):
    arguments = ("--dt", 2, "--input", "concentration", "--aif", folder / "aif.csv", "--mask", folder / "mask.nii.gz")
    code, out, err = gliosuite("dce", folder / "dce.nii.gz", *arguments, "--out", tmp_path / "out")
    assert code == 0, err
    assert json.loads(out)["notes"][0] == "Motion was not corrected: the series holds concentration, not signal."


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            ("dce", "dce.nii.gz", "--tr-ms", 0.005, "--flip-angle", 15),
            "the repetition time is 0.005; 0.5 to 200 ms are possible",
        ),
        (
            ("dce", "dce.nii.gz", "--tr-ms", 5, "--flip-angle", 0.2618),
            "1 to 90 degrees are possible; was it given in radians?",
        ),
        (
            ("dce", "dce.nii.gz", *DCE, "--relaxivity", 0.0045),
            "0.1 to 100 1/(mM s) are possible; was it given in 1/(uM s)?",
        ),
        (("dce", "dce.nii.gz", *DCE, "--te-ms", 0.0015), "the echo time is 0.0015; 0.1 to 100 ms are possible"),
        (("dsc", "dsc.nii.gz", "--te-ms", 0.03), "the echo time is 0.03; 1 to 300 ms are possible; was it given in s?"),
        (
            ("dsc", "dsc.nii.gz", "--te-ms", 30, "--tr-ms", 1.5),
            "the repetition time is 1.5; 10 to 20000 ms are possible",
        ),
    ],
)
def test_a_value_in_another_unit_is_refused(gliosuite, folder, command, sentence):
    name, series, *options = command
    code, out, err = gliosuite(name, folder / series, "--dt", 2, *options, "--out", folder / "out")
    assert code == 2
    assert not out
    assert sentence in err
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--flip-angles", "2,5,10,15", "--tr-ms", 0.005),
            "the repetition time is 0.005; 0.5 to 200 ms are possible; was it given in s?",
        ),
        (
            ("--flip-angles", "2,5,10,150", "--tr-ms", 5),
            "the flip angles are 2, 5, 10, 150; angles above 0 and up to 90 degrees",
        ),
        (("--flip-angles", "2,5,10,15", "--tr-ms", 5000), "the repetition time is 5000; 0.5 to 200 ms are possible"),
        (("--flip-angles", "0.035,0.087,0.17,0.26", "--tr-ms", 5), "were the angles given in radians?"),
    ],
)
def test_t1_of_values_in_another_unit_is_refused(gliosuite, folder, options, sentence):
    words = ("t1", "--vfa", folder / "vfa.nii.gz", "--no-motion", "--mask", folder / "mask.nii.gz")
    code, _, err = gliosuite(*words, *options, "--out", folder / "out")
    assert code == 2
    assert sentence in err
