"""A generated study becomes a case folder: content, visits, privacy, bad input."""

import errno
import gzip
import json
import os
import shutil

import dicom_study as ds
import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.case import Case
from gliosuite.images import read_image, read_series

FRAME = (np.arange(4 * 5 * 6, dtype=np.int16) * 3).reshape(4, 5, 6)
TIMES = [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 56.0]
DYNAMIC = np.stack([FRAME + 7 * t for t in range(len(TIMES))])


def study(folder, patient=None, names="abcdef") -> None:
    """T1, T1c, FLAIR, DCE of one visit, with a text file in between."""
    patient = patient or ds.Patient()
    ds.classic(folder / names[0], FRAME, patient, 1, ds.T1)
    ds.classic(
        folder / names[1], FRAME + 1, patient, 2, ds.T1 | ds.GADOLINIUM | {"MagneticFieldStrength": 3}, angles=(18, -7)
    )
    ds.classic(folder / names[2], FRAME + 2, patient, 3, ds.FLAIR)
    ds.ge_dynamic(folder / names[3], DYNAMIC, TIMES, patient, 4, ds.SPGR | ds.GADOLINIUM)
    (folder / names[3] / "readme.txt").write_text("not DICOM")


def nothing_written(folder) -> bool:
    return not folder.exists() and not [p for p in folder.parent.rglob("*") if "partial" in p.name]


def test_study_becomes_a_case(tmp_path, gliosuite):
    study(tmp_path / "src")
    code, out, err = gliosuite("import", tmp_path / "src", "--out", tmp_path / "case")
    assert code == 0, err
    case = Case.load(tmp_path / "case")
    assert case.id == "case"
    assert set(case.images) == {"t1", "t1c", "flair", "dce"}
    assert case.clinical == {"age": 62.0, "sex": "F"}
    np.testing.assert_array_equal(sitk.GetArrayFromImage(case.image("t1c")), FRAME + 1)
    assert case.image("t1c").GetPixelID() == sitk.sitkInt16
    np.testing.assert_array_equal(case.series("dce").frames, DYNAMIC)
    assert case.need("dce", "tr_ms", "te_ms", "flip_angle_deg", "times_s") == [5.4, 1.8, 12.0, TIMES]
    assert case.acquisition("t1c")["contrast"] == {"agent": "Gadovist", "volume_ml": 7.5}
    assert case.acquisition("t1c")["weight_kg"] == 74.5
    assert case.acquisition("t1c")["field_strength_t"] == 3.0
    assert case.dicom("t1c").resolve() == tmp_path / "src" / "b"
    result = json.loads(out)
    assert [s["role"] for s in result["visits"][0]["series"]] == ["t1", "t1c", "flair", "dce"]
    assert result["files_that_are_not_dicom"] == 1
    record = json.loads((tmp_path / "case" / "provenance.json").read_text())
    assert record["step"] == "import"
    assert set(record["outputs"]) == {"t1", "t1c", "flair", "dce"}


def test_same_study_gives_the_same_bytes(tmp_path, gliosuite):
    study(tmp_path / "src")
    for name in ("one", "two"):
        assert gliosuite("import", tmp_path / "src", "--out", tmp_path / name / "case", "--quiet")[0] == 0
    for file in ("case.json", "images/t1c.nii.gz", "images/dce.nii.gz"):
        assert (tmp_path / "one/case" / file).read_bytes() == (tmp_path / "two/case" / file).read_bytes()


def test_dry_run_writes_nothing_and_explains(tmp_path, gliosuite):
    study(tmp_path / "src")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = gliosuite("import", tmp_path / "src", "--dry-run", "--quiet")
    assert code == 0
    assert sorted(tmp_path.rglob("*")) == before
    rows = json.loads(out)["visits"][0]["series"]
    assert {r["series"]: r["role"] for r in rows} == {"1": "t1", "2": "t1c", "3": "flair", "4": "dce"}
    assert all(r["why"] in err for r in rows)


# ------------------------------------------------------------------------------------------------------------------- visits


def test_later_study_is_the_follow_up(tmp_path, gliosuite):
    study(tmp_path / "src" / "later", ds.Patient(study_date="20240625", study=2))
    study(tmp_path / "src" / "first")
    ds.ct(tmp_path / "src" / "ct", FRAME, ds.Patient(study_date="20240314", study=3))
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case")[0] == 0
    case = Case.load(tmp_path / "case")
    assert "ct" in case.images  # 3 days after the first MR: its planning CT
    assert case.data["followup"]["days"] == 106
    assert set(case.followup.images) == {"t1", "t1c", "flair", "dce"}
    assert case.followup.path("t1c") == tmp_path / "case" / "followup/images/t1c.nii.gz"
    assert case.followup.dicom("t1c").resolve() == tmp_path / "src/later/b"


@pytest.mark.parametrize("baseline", ["2024-06-25", "20240625", "2"])
def test_baseline_can_be_chosen(tmp_path, gliosuite, baseline):
    study(tmp_path / "src" / "later", ds.Patient(study_date="20240625", study=2))
    study(tmp_path / "src" / "first")
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case", "--baseline", baseline)[0] == 0
    case = Case.load(tmp_path / "case")
    assert case.followup is None
    assert "1 earlier visit(s) left out" in case.data["notes"][0]
    code, _, err = gliosuite("import", tmp_path / "src", "--out", tmp_path / "x", "--baseline", "7")
    assert code == 2
    assert "--baseline 7 is none of the 2 visits found" in err


# ------------------------------------------------------------------------------------------------------------------ privacy


def everything(folder) -> bytes:
    """All bytes of all files but those under dicom/, gzip streams also unpacked, and all file names."""
    found = b""
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "dicom" not in p.relative_to(folder).parts):
        content = path.read_bytes()
        found += path.relative_to(folder).as_posix().encode() + content
        if path.name.endswith(".gz"):
            found += gzip.decompress(content)
    return found


SECRETS = ("mustermann", "erika", "48151623", "19610704", "1961-07-04", "acc1623", "20240311", "2024-03-11", "20240625")


def secrets_in(content: bytes) -> list[str]:
    return [s for s in SECRETS if s.encode() in content.lower()]


@pytest.mark.parametrize("quiet", [True, False])
def test_nothing_written_names_the_patient(tmp_path, gliosuite, quiet):
    """Names in descriptions, in the folder and in a contrast agent's text are kept out too."""
    src = tmp_path / "Mustermann_Erika_19610704"
    more = {"SeriesDescription": "Mustermann t1 post", "PatientComments": "Erika", "ProtocolName": "PID-48151623"}
    study(src, ds.Patient(more=more))
    study(src / "PID-48151623", ds.Patient(study_date="20240625", study=2))
    ds.classic(src / "odd", FRAME, ds.Patient(), 9, ds.T1 | {"ContrastBolusAgent": "Gadovist for Mustermann"})
    options = ["--quiet"] if quiet else []
    code, out, err = gliosuite("import", src, "--out", tmp_path / "case", *options)
    assert code == 0, err
    assert secrets_in(everything(tmp_path / "case")) == []
    assert secrets_in((out + err).encode()) == []
    assert Case.load(tmp_path / "case").dicom("t1c") == tmp_path / "case" / "dicom/t1c"
    assert len(list((tmp_path / "case/dicom/t1c").iterdir())) == len(FRAME)
    code, out, err = gliosuite("import", src, "--dry-run")
    assert secrets_in((out + err).encode()) == []


def test_the_search_for_secrets_finds_them_where_they_are_kept(tmp_path, gliosuite):
    study(tmp_path / "src")
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case", "--keep-identity")[0] == 0
    assert secrets_in(everything(tmp_path / "case")) == ["mustermann", "erika", "48151623", "19610704", "20240311"]


def test_errors_do_not_name_the_patient(tmp_path, gliosuite):
    """Neither by a description nor by a folder's name."""
    study(tmp_path / "src" / "Mustermann", ds.Patient(more={"SeriesDescription": "Mustermann"}))
    next((tmp_path / "src/Mustermann/c").iterdir()).write_bytes(b"\0" * 128 + b"DICM")
    err = refused(gliosuite, tmp_path)
    assert "damaged or truncated DICOM file" in err
    assert secrets_in(err.encode()) == []
    shutil.rmtree(tmp_path / "src/Mustermann/c")
    image = next((tmp_path / "src/Mustermann/b").iterdir())
    image.write_bytes(image.read_bytes()[:-4])
    err = refused(gliosuite, tmp_path)
    assert f"{image.name} is truncated" in err
    assert secrets_in(err.encode()) == []


def test_series_that_shares_its_folder_is_linked(tmp_path, gliosuite):
    ds.classic(tmp_path / "two" / "x", FRAME, ds.Patient(), 1, ds.T1)
    ds.classic(tmp_path / "two" / "y", FRAME, ds.Patient(), 2, ds.FLAIR)
    for i, file in enumerate(sorted((tmp_path / "two/y").iterdir())):
        shutil.move(file, tmp_path / "two/x" / f"other{i}")
    assert gliosuite("import", tmp_path / "two", "--out", tmp_path / "case2")[0] == 0
    case = Case.load(tmp_path / "case2")
    assert case.dicom("t1") == tmp_path / "case2/dicom/t1"
    assert sorted(p.name for p in case.dicom("t1").iterdir()) == [f"{i:05d}.dcm" for i in range(1, 5)]
    assert "leave that folder out when passing the case on" in case.data["notes"][0]
    # A second import into the same folder does not find the links as new images.
    assert gliosuite("import", tmp_path / "two", "--out", tmp_path / "two/case")[0] == 0
    assert gliosuite("import", tmp_path / "two", "--out", tmp_path / "two/case")[0] == 0


# ---------------------------------------------------------------------------------------------------------------- bad input


def refused(gliosuite, tmp_path, *options) -> str:
    code, out, err = gliosuite("import", tmp_path / "src", "--out", tmp_path / "case", "--quiet", *options)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert nothing_written(tmp_path / "case")
    return err


def test_mixed_patients(tmp_path, gliosuite):
    study(tmp_path / "src" / "1")
    study(tmp_path / "src" / "2", ds.Patient(name="Other^Person", number="X-77"))
    err = refused(gliosuite, tmp_path)
    assert "holds DICOM files of 2 patients" in err
    assert secrets_in(err.encode()) == []


def test_no_dicom_and_no_role(tmp_path, gliosuite):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.txt").write_text("x")
    assert "holds no DICOM file (1 other files found)" in refused(gliosuite, tmp_path)
    ds.classic(tmp_path / "src", FRAME, ds.Patient(), 1, ds.SPGR | {"EchoTime": 30})
    err = refused(gliosuite, tmp_path)
    assert "none of the 1 series has a role in a glioma study (series 1: GR, TR 5.4 ms, TE 30 ms" in err
    assert "T2*-weighted gradient echo); choose with --role" in err


def test_every_file_twice_is_said_of_a_volume_as_of_a_series(tmp_path, gliosuite):
    for folder in ("src", "src/copy"):
        ds.classic(tmp_path / folder, FRAME, ds.Patient(), 5, ds.T1 | ds.GADOLINIUM)
    err = refused(gliosuite, tmp_path)
    assert "series 5 has doubled slices" in err
    assert "are the same image (and 3 more pairs); remove one of them (--skip 5 leaves it out)" in err
    code, _, err = gliosuite("import", tmp_path / "src", "--dry-run")
    assert (code, err.splitlines()[-1].startswith("problem: series 5 has doubled slices")) == (3, True)


def test_copies_with_numbers_of_their_own_are_said_to_be_such(tmp_path, gliosuite):
    import pydicom

    for path in ds.classic(tmp_path / "in", FRAME, ds.Patient(), 1, ds.T1):
        copy = pydicom.dcmread(path)
        copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = f"{copy.SOPInstanceUID}.9"
        copy.save_as(path.with_name(f"{path.name}_2"))
    code, _, err = gliosuite("import", tmp_path / "in", "--out", tmp_path / "case")
    assert code == 2
    assert "has doubled slices: each position occurs 2 times and nothing in the headers tells the images apart" in err


@pytest.mark.parametrize("vendor", ["uih", "unknown"])
def test_mosaics_that_are_not_read_are_named(tmp_path, gliosuite, vendor):
    def mark(d, t, z):
        if vendor == "uih":
            d.private_block(0x0065, "Image Private Header", create=True).add_new(0x51, "SQ", [])
        else:
            d.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]

    ds.classic(tmp_path / "src", DYNAMIC[:, :1], ds.Patient(), 5, ds.EPI, per_slice=mark)
    err = refused(gliosuite, tmp_path)
    what = {"uih": "as United Imaging writes it, which is not read", "unknown": "whose header does not say of how many"}
    assert f"is a mosaic {what[vendor]}" in err
    assert "export it as single images or as enhanced MR" in err


@pytest.mark.parametrize("damage", ["missing", "doubled", "truncated"])
def test_broken_series_with_a_role_is_refused_and_can_be_skipped(tmp_path, gliosuite, damage):
    study(tmp_path / "src")
    import pydicom

    files = sorted((tmp_path / "src/c").iterdir(), key=lambda f: pydicom.dcmread(f).InstanceNumber)
    if damage == "missing":
        files[1].unlink()
    elif damage == "doubled":
        shutil.copy(files[1], tmp_path / "src/c/copy")
    else:
        files[1].write_bytes(files[1].read_bytes()[:-7])
    err = refused(gliosuite, tmp_path)
    assert damage in err
    assert "series 3" in err
    assert "--skip 3 leaves it out" in err
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case", "--skip", "3")[0] == 0
    assert set(Case.load(tmp_path / "case").images) == {"t1", "t1c", "dce"}


def test_broken_series_without_a_role_does_not_stop_the_import(tmp_path, gliosuite):
    study(tmp_path / "src")
    files = ds.classic(tmp_path / "src/g", FRAME, ds.Patient(), 8, ds.SPGR | {"EchoTime": 30})
    files[0].unlink()
    files = ds.classic(tmp_path / "src/h", FRAME[:3], ds.Patient(), 9, ds.T1)
    files[1].write_bytes(files[1].read_bytes()[:-7])
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case")[0] == 0
    case = Case.load(tmp_path / "case")
    assert "t1_2" not in case.images
    assert case.data["notes"][0].startswith("t1_2 left out: series 9")


def test_a_series_that_cannot_be_decoded_is_named(tmp_path, gliosuite):
    import pydicom

    study(tmp_path / "src")
    study(tmp_path / "src" / "later", ds.Patient(study_date="20240625", study=2))
    for file in (tmp_path / "src/later/c").iterdir():
        whole = pydicom.dcmread(file)
        whole.PixelData = pydicom.encaps.encapsulate([b"\0" * 64])
        whole["PixelData"].VR = "OB"
        whole["PixelData"].is_undefined_length = True
        ds.save(whole, file, "1.2.840.10008.1.2.4.102")
    err = refused(gliosuite, tmp_path)
    assert "is compressed as MPEG-4" in err
    assert "--skip 2/3 leaves it out" in err
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case", "--skip", "2/3")[0] == 0
    assert "flair" in Case.load(tmp_path / "case").images
    assert "flair" not in Case.load(tmp_path / "case").followup.images


def test_several_structure_sets_stay_apart_and_whole(tmp_path, gliosuite):
    study(tmp_path / "src")
    files = [ds.rt_object(tmp_path / "src/rt", ds.RTSTRUCT, ds.Patient(), i) for i in (50, 51)]
    before = [f.read_bytes() for f in files]
    for _ in range(2):  # the second import meets the links of the first
        assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case")[0] == 0
    case = Case.load(tmp_path / "case")
    assert [f.read_bytes() for f in files] == before
    assert [next(case.dicom(r).iterdir()).read_bytes() for r in ("rtstruct", "rtstruct_2")] == before


def test_wrong_choices(tmp_path, gliosuite):
    study(tmp_path / "src")
    assert "--role t9=1 is not ROLE=SERIES" in refused(gliosuite, tmp_path, "--role", "t9=1")
    assert "there is no series 77; found: 1, 2, 3, 4" in refused(gliosuite, tmp_path, "--skip", "77")
    assert "for dsc several are needed" in refused(gliosuite, tmp_path, "--role", "dsc=1")
    code, _, err = gliosuite("import", tmp_path / "src")
    assert (code, "--out CASE is needed" in err) == (2, True)


def test_full_disk_and_read_only_folder(tmp_path, gliosuite, monkeypatch):
    study(tmp_path / "src")
    replace = os.replace

    def full(source, target):
        if str(target).endswith("case.json"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert "no space left to write" in refused(gliosuite, tmp_path)
    monkeypatch.undo()
    (tmp_path / "case").write_text("a file")
    code, _, err = gliosuite("import", tmp_path / "src", "--out", tmp_path / "case", "--quiet")
    assert (code, "is a file; an output folder is needed" in err) == (2, True)
    assert (tmp_path / "case").read_text() == "a file"


# ---------------------------------------------------------------------------------------------------------- special series


def test_diffusion_gets_fsl_files(tmp_path, gliosuite):
    g = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    frames = np.stack([FRAME + t for t in range(4)])
    ds.diffusion(tmp_path / "src", frames, [0, 1000, 1000, 1000], g, ds.Patient(), 1, "siemens", angles=(0.0, 90.0))
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case")[0] == 0
    case = Case.load(tmp_path / "case")
    assert case.acquisition("dti")["b_values"] == [0, 1000, 1000, 1000]
    assert (tmp_path / "case/images/dti.bval").read_text() == "0 1000 1000 1000\n"
    vectors = np.loadtxt(tmp_path / "case/images/dti.bvec")
    # Rows run along +y and columns along -x of the patient; FSL reverses the first axis of a right-handed image.
    np.testing.assert_allclose(vectors, [[0, 0, -1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], atol=1e-6)


def test_flip_angles_and_dose(tmp_path, gliosuite):
    for i, angle in enumerate((15, 2, 5), 1):
        ds.classic(tmp_path / "src" / str(i), FRAME + angle, ds.Patient(), i, ds.SPGR | {"FlipAngle": angle})
    dose = FRAME.astype(float) / 8
    ds.rt_dose(tmp_path / "src", dose, ds.Patient(), scaling=0.125)
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case")[0] == 0
    case = Case.load(tmp_path / "case")
    assert case.acquisition("vfa")["flip_angle_deg"] == [2, 5, 15]
    np.testing.assert_array_equal(read_series(case.path("vfa")).frames, np.stack([FRAME + a for a in (2, 5, 15)]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(case.path("dose"))), dose)
    np.testing.assert_allclose(case.image("dose").GetSpacing(), (2, 2, 4))


def test_philips_private_scale_makes_flip_angles_comparable(tmp_path, gliosuite):
    """Displayed values are (stored * slope); stored * 1 / scale slope are the comparable ones."""
    for i, (angle, slope, scale) in enumerate(((2, 2.0, 0.5), (15, 3.0, 0.25)), 1):

        def mark(d, t, z, scale=scale):
            d.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", scale)

        ds.classic(
            tmp_path / "src" / str(i),
            FRAME,
            ds.Patient(),
            i,
            ds.SPGR | {"FlipAngle": angle},
            slope=slope,
            per_slice=mark,
        )
    assert gliosuite("import", tmp_path / "src", "--out", tmp_path / "case")[0] == 0
    frames = Case.load(tmp_path / "case").series("vfa").frames
    np.testing.assert_allclose(frames, np.stack([FRAME / 0.5, FRAME / 0.25]))
