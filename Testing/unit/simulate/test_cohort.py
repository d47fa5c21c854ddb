import csv
import hashlib
import json

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.case import Case
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, read_image, resample_mask
from gliosuite.simulate.acquisition import Effects
from gliosuite.simulate.cohort import simulate_case


@pytest.fixture(scope="module")
def patient():
    return simulate_case(7, grid_mm=3.0)


@pytest.fixture(scope="module")
def written(patient, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    return patient.write(folder / "p", folder / "truth"), folder


def hashes(folder):
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_importing_the_package_loads_no_numpy():
    import subprocess
    import sys

    code = "import gliosuite.simulate, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


def test_case_has_what_the_contract_names(patient):
    case = patient.case
    assert case.images == ("t1", "t1c", "t2", "flair", "dce", "dsc")
    assert case.series("dce").n_times == len(case.acquisition("dce")["times_s"]) == 60
    assert {"tr_ms", "te_ms", "flip_angle_deg", "times_s", "t10_s", "hematocrit", "relaxivity"} <= set(
        case.acquisition("dce")
    )
    assert case.data["simulated"] is True
    assert case.followup.images == ("t1", "t1c", "flair")
    for name in ("ktrans", "ve", "vp", "t10", "cbf", "cbv", "mtt", "delay", "brain", "cel", "t2l", "progression_cel"):
        assert Grid.of(patient.truth[name]).matches(Grid.of(case.image("t1c")))
    assert array(patient.truth["ktrans"])[boolean(patient.truth["cel"])].mean() > 0.03


def test_what_is_written_is_read_back(patient, written):
    case, folder = written
    assert isinstance(case, Case)
    assert case.id == "sim-7"
    assert np.array_equal(array(case.image("t1c")), array(patient.case.image("t1c")))
    np.testing.assert_allclose(case.series("dce").frames, patient.case.series("dce").frames, atol=0.51)
    assert boolean(case.mask("cel")).sum() == boolean(patient.truth["cel"]).sum()
    assert case.followup.mask("cel").GetSize() == case.followup.image("t1c").GetSize()
    assert case.clinical["resection"] == "biopsy"
    assert "cavity" not in case.masks  # a biopsy leaves none, and an empty mask helps nobody
    assert boolean(read_image(folder / "truth" / "brain.nii.gz")).any()
    moved = (folder / "truth" / "motion_dce.csv").read_text().splitlines()
    assert moved[0] == "frame,x_mm,y_mm,z_mm,x_degrees,y_degrees,z_degrees"
    assert len(moved) == 61
    np.testing.assert_allclose([float(v) for v in moved[-1].split(",")[1:]], patient.truth.motion["dce"][-1], atol=1e-4)
    text = (folder / "p" / "case.json").read_text()
    assert str(folder) not in text


def test_same_seed_same_bytes_other_seed_other_patient(written, tmp_path):
    simulate_case(7, grid_mm=3.0).write(tmp_path / "p", tmp_path / "truth")
    assert hashes(tmp_path) == hashes(written[1])
    other = simulate_case(10, grid_mm=3.0, scans=())
    assert boolean(other.truth["t2l"]).sum() != boolean(read_image(written[1] / "truth" / "t2l.nii.gz")).sum()


def test_switching_an_effect_or_a_scan_off_changes_nothing_else(patient):
    quiet = simulate_case(7, grid_mm=3.0, scans=("structural",), effects=Effects(noise=False))
    assert np.array_equal(array(quiet.truth["cel"]), array(patient.truth["cel"]))
    clean, noisy = array(quiet.case.image("flair")), array(patient.case.image("flair"))
    inside = clean > 200
    assert (noisy - clean)[inside].std() == pytest.approx(400 / 32, rel=0.1)
    assert "dce" not in quiet.case.images


def test_structural_scans_lie_where_the_truth_says():
    sharp = simulate_case(9, grid_mm=3.0, scans=("structural",), effects=Effects.none(offset=True, texture=True))
    still = simulate_case(9, grid_mm=3.0, scans=("structural",), effects=Effects.none(texture=True))
    for role in ("t1", "t2"):
        reference = still.case.image(role)
        inside = boolean(resample_mask(still.truth["brain"], reference))
        error = [
            np.abs(array(sitk.Resample(sharp.case.image(role), reference, move, sitk.sitkBSpline)) - array(reference))
            for move in (sharp.truth.transforms[role], sitk.Transform())
        ]
        assert error[0][inside].mean() < 0.6 * error[1][inside].mean()


def test_followup_transform_and_landmarks_agree(patient):
    transform = patient.truth.transforms["followup_to_baseline"]
    points = patient.truth.landmarks
    assert points.shape == (12, 6)
    for row in points:
        assert np.allclose(transform.TransformPoint(row[3:].tolist()), row[:3], atol=0.05)
    assert np.linalg.norm(points[:, 3:] - points[:, :3], axis=1).max() > 0.5
    later = patient.case.followup.mask("cel")
    inverse = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, later.GetSize(), later.GetOrigin(), later.GetSpacing(), later.GetDirection()
    )
    carried = resample_mask(patient.truth["progression_cel"], later, sitk.DisplacementFieldTransform(inverse))
    both = 2 * (boolean(carried) & boolean(later)).sum() / (boolean(carried).sum() + boolean(later).sum())
    assert both > 0.97


def test_transforms_are_read_back_from_their_files(patient, written):
    stored = sitk.ReadTransform(str(written[1] / "truth" / "followup_to_baseline.tfm"))
    for row in patient.truth.landmarks:
        assert np.allclose(stored.TransformPoint(row[3:].tolist()), row[:3], atol=0.05)


def test_masks_may_be_left_out_and_dicom_added(patient, tmp_path):
    case = patient.write(tmp_path / "p", dicom=("t1c",), masks=())
    assert case.masks == ()
    assert len(list(case.dicom("t1c").iterdir())) == patient.case.image("t1c").GetSize()[2]


def test_a_scale_changes_one_tissue_of_the_same_patient():
    one, other = (
        simulate_case(5, "default", 5.0, ("dce",), scale=scale).truth for scale in (None, {"cel": {"ktrans": 2.0}})
    )
    ktrans, scaled = array(one["ktrans"]), array(other["ktrans"])
    tumour = array(one["cel"]) > 0
    np.testing.assert_array_equal(tumour, array(other["cel"]) > 0)
    np.testing.assert_array_equal(array(one["vp"]), array(other["vp"]))
    assert np.median(scaled[tumour] / ktrans[tumour]) == pytest.approx(2.0)
    assert (scaled != ktrans)[~tumour].mean() < 0.01


def test_unknown_preset_scan_and_grid_are_refused():
    with pytest.raises(InputError, match="preset 'easy' is not known; choose from default, compact"):
        simulate_case(1, preset="easy")
    with pytest.raises(InputError, match="scan 'pet' is not known; choose from structural, vfa, dce, dsc"):
        simulate_case(1, scans=("pet",))
    with pytest.raises(InputError, match=r"grid_mm is 9; 0\.5 to 5 mm are possible"):
        simulate_case(1, grid_mm=9)


def test_command_writes_a_cohort(gliosuite, tmp_path):
    out = tmp_path / "cohort"
    code, stdout, _ = gliosuite(
        "simulate", "--n", 2, "--seed", 7, "--grid-mm", 4, "--scans", "structural", "--out", out, "--quiet"
    )
    assert code == 0
    cases = json.loads(stdout)["cases"]
    assert cases == ["sim-7-001", "sim-7-002"]
    record = json.loads((out / "cohort.json").read_text())
    assert record["preset"] == "default"
    assert record["seed"] == 7
    assert str(tmp_path) not in (out / "cohort.json").read_text()
    with (out / "outcomes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [r["id"] for r in rows] == cases
    assert {r["resection"] for r in rows} <= {"GTR", "STR", "biopsy"}
    for name in cases:
        Case.load(out / name)
        assert (out / "truth" / name / "ktrans.nii.gz").exists()


def test_bad_options_end_with_one_sentence(gliosuite, tmp_path):
    code, _, err = gliosuite("simulate", "--n", 0, "--out", tmp_path / "c")
    assert code == 2
    assert err.strip().splitlines()[-1] == "error: 0 cases asked for; at least 1 is needed"
    code, _, err = gliosuite("simulate", "--seed", -3, "--out", tmp_path / "c")
    assert code == 2
    assert err.strip().splitlines()[-1] == "error: seed is -3; a whole number of at least 0 is needed"
    assert not (tmp_path / "c").exists()


def test_workers_change_no_byte(gliosuite, tmp_path):
    for workers, folder in ((1, "a"), (2, "b")):
        options = ("--n", 3, "--seed", 7, "--grid-mm", 5, "--scans", "structural", "--workers", workers, "--quiet")
        code, _, err = gliosuite("simulate", *options, "--out", tmp_path / folder)
        assert code == 0, err
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_a_disk_without_room_is_refused_before_anything_is_written(gliosuite, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**40, 2**40 - 2**24, 2**24))
    code, _, err = gliosuite("simulate", "--n", 60, "--out", tmp_path / "c")
    assert code == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: 60 cases need up to ")
    assert "has 16 MiB left" in last
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("scans", [("structural",), ("structural", "vfa", "dce", "dsc", "diffusion", "mrsi")])
def test_the_space_asked_for_is_enough_and_not_absurd(scans, tmp_path):
    from gliosuite.simulate.cohort import space_bytes

    simulate_case(3, grid_mm=3.0, scans=scans).write(tmp_path / "p", tmp_path / "t", dicom=("t1c", "dce", "dsc", "t2"))
    size = {True: 0, False: 0}
    for path in tmp_path.rglob("*"):
        if path.is_file():
            size["dicom" in path.parts] += path.stat().st_size
    needed = space_bytes(1, 3.0, scans, False)
    assert size[False] <= needed <= 3 * size[False]
    assert sum(size.values()) <= space_bytes(1, 3.0, scans, True)


def test_pair_of_visits_shows_the_same_tissue_again():
    pair = simulate_case(3, "visit-pairs", 4.0, scans=("structural", "dsc"))
    later = pair.case.followup
    assert set(later.images) == set(pair.case.images)
    assert later.data["days"] == 3
    assert "pfs_days" not in pair.case.clinical
    assert "progression_cel" not in pair.case.masks
    assert pair.truth.facts["largest_shift_mm"] == 0
    to_baseline = pair.truth.transforms["followup_to_baseline"]
    carried = array(sitk.Resample(pair.case.image("t1"), later.image("t1c"), to_baseline, sitk.sitkLinear))
    again = array(later.image("t1"))
    inside = boolean(resample_mask(pair.truth["brain"], later.image("t1c"), to_baseline))
    assert np.corrcoef(carried[inside], again[inside])[0, 1] > 0.85
    assert not np.array_equal(array(pair.case.image("t1")), again)


def test_shifted_is_another_scanner_and_the_same_patient():
    usual, other = (simulate_case(3, name, 4.0, scans=("structural", "dce")) for name in ("default", "shifted"))
    assert np.array_equal(array(usual.truth["cel"]), array(other.truth["cel"]))
    assert usual.case.acquisition("dce")["tr_ms"] != other.case.acquisition("dce")["tr_ms"]
    assert other.case.series("dce").n_times == 90


def test_vfa_serves_the_t1_command(gliosuite, tmp_path):
    case = simulate_case(3, grid_mm=4.0, scans=("structural", "vfa")).write(tmp_path / "p")
    entry = case.acquisition("vfa")
    angles = ",".join(str(a) for a in entry["flip_angle_deg"])
    vfa, b1 = (tmp_path / "p" / f"{r}.nii.gz" for r in ("vfa", "b1"))
    code, _, err = gliosuite(
        "t1", "--vfa", vfa, "--flip-angles", angles, "--tr-ms", entry["tr_ms"], "--b1", b1, "--out", tmp_path / "t1"
    )
    assert code == 0, err
    assert (tmp_path / "t1" / "t1.nii.gz").exists()


def test_planted_truth_is_written(tmp_path):
    patient = simulate_case(4, "habitats", 4.0, scans=())
    assert set(np.unique(array(patient.truth["habitats"]))) <= set(range(9))
    assert patient.case.clinical["egfr"] in ("amplified", "not amplified")
    grade = simulate_case(4, "idh-grade", 4.0, scans=())
    assert grade.case.clinical["codeletion_1p19q"] in ("codeleted", "intact")


def test_effects_and_protocols_by_option(gliosuite, tmp_path):
    options = ("--grid-mm", 5, "--scans", "dsc", "--quiet", "--out", tmp_path / "c")
    code, _, err = gliosuite(
        "simulate",
        *options,
        "--without",
        "noise,motion",
        "--protocol",
        "dsc.preload=true",
        "--protocol",
        "dsc.frames=40",
    )
    assert code == 0, err
    record = json.loads((tmp_path / "c" / "cohort.json").read_text())
    assert record["without"] == ["noise", "motion"]
    assert record["settings"] == ["dsc.preload=true", "dsc.frames=40"]
    assert Case.load(tmp_path / "c" / "sim-0-001").series("dsc").n_times == 40
    assert not (tmp_path / "c" / "truth" / "sim-0-001" / "motion_dsc.csv").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--without", "noise,gravity"), "effect 'gravity' is not known; choose from noise, bias"),
        (
            ("--protocol", "dsc.preload"),
            "protocol setting 'dsc.preload' is not SCAN.SETTING=VALUE with a scan of vfa, dce",
        ),
        (("--protocol", "pet.tr_s=2"), "protocol setting 'pet.tr_s=2' is not SCAN.SETTING=VALUE"),
        (("--protocol", "dsc.colour=2"), "dsc has no setting 'colour'; it has tr_s, te_s"),
        (("--protocol", "dsc.preload=perhaps"), "dsc.preload is 'perhaps'; something like false is needed"),
    ],
)
def test_bad_effects_and_protocols_are_refused(gliosuite, tmp_path, options, sentence):
    code, _, err = gliosuite("simulate", *options, "--out", tmp_path / "c")
    assert code == 2
    assert err.strip().splitlines()[-1].startswith(f"error: {sentence}")
    assert not (tmp_path / "c").exists()


def test_protocol_settings_take_lists_whole_numbers_and_structural_scans():
    from gliosuite.simulate.protocols import DEFAULT, changed

    other = changed(DEFAULT, ["dce.spacing_mm=[1.25,1.25,3]", "dsc.te_s=1", "t1.tr_ms=1900"])
    assert other.dce.spacing_mm == (1.25, 1.25, 3)
    assert other.dsc.te_s == 1.0
    assert other.structural["t1"].tr_ms == 1900
    assert DEFAULT.structural["t1"].tr_ms == 2000
