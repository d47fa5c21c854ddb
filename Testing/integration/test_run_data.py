"""A real DICOM study from door to door: import, a drawn ellipsoid, run, structure set, report; no identity outside the structure set."""

import gzip
import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from gliosuite.images import Grid, read_image, volume_cc, write_image
from gliosuite.rt.rtstruct import read_rtstruct


@pytest.fixture(scope="module")
def study(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    with tarfile.open(next(data("head-mr-dicom").glob("*.tar.gz"))) as archive:
        archive.extractall(folder)
    return folder


def test_from_dicom_to_structure_set(study, tmp_path, gliosuite, tool):
    code, _, err = gliosuite("import", study, "--out", tmp_path / "case", "--quiet")
    assert code == 0, err
    image = read_image(tmp_path / "case" / "images" / "t1c.nii.gz")
    grid = Grid.of(image)
    at = np.indices(grid.shape)
    centre, radius = (38, 256, 330), np.array([9, 32, 32])  # voxels: about 13 mm each way
    ball = sum(((a - c) / r) ** 2 for a, c, r in zip(at, centre, radius)) <= 1
    write_image(grid.image(ball), tmp_path / "case" / "gtv.nii.gz")
    record = json.loads((tmp_path / "case" / "case.json").read_text())
    record["masks"] = {"cel": "gtv.nii.gz"}
    (tmp_path / "case" / "case.json").write_text(json.dumps(record))

    out = tmp_path / "results"
    code, text, err = gliosuite("run", tmp_path / "case", "--out", out, "--scheme", "estro-eano", "--quiet")
    assert code == 0, err
    status = {s["step"]: s["status"] for s in json.loads(text)["steps"]}
    assert status["lesions"] == status["rt"] == "done"
    assert status["dce"] == status["dsc"] == "skipped"

    said = subprocess.run([tool("dciodvfy"), out / "rt" / "RS.dcm"], capture_output=True, text=True)
    assert not [line for line in (said.stderr + said.stdout).splitlines() if line.startswith("Error")]
    structures = read_rtstruct(out / "rt" / "RS.dcm", study)
    assert set(structures) == {"GTV_EANO", "CTV_EANO"}
    gtv = volume_cc(structures["GTV_EANO"])
    assert gtv == pytest.approx(ball.sum() * grid.voxel_cc, rel=0.03)
    assert volume_cc(structures["CTV_EANO"]) > 4 * gtv
    assert "Drafts, to be checked and corrected by a reader: brain" in (out / "report.html").read_text()

    header = pydicom.dcmread(next(study.rglob("*.dcm")), stop_before_pixels=True)
    identity = {str(header.PatientName), str(header.PatientID), str(header.get("PatientBirthDate", ""))} - {"", "None"}
    assert identity
    for file in [*out.rglob("*"), *(tmp_path / "case").rglob("*")]:
        if file.is_file() and file.suffix != ".dcm":
            content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            for word in identity:
                assert word.encode() not in content, f"{file.name} holds the patient's identity"
    assert all(word not in text + err for word in identity)
