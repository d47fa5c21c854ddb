"""One label of a file with several, at every door that takes a mask: ``FILE:2`` on the command line and in case.json."""

import json

import numpy as np
import pytest
from dicom_series import Stack, write_series
from gliosuite.case import Case
from gliosuite.commands.places import READS, of_kind
from gliosuite.images import chosen, read_image, read_mask, volume_cc, write_image
from gliosuite.rt.rtstruct import read_rtstruct


def ball(grid, radius, shift=(0, 0, 0)):
    points = np.indices(grid.shape)[::-1].reshape(3, -1).T * grid.spacing
    middle = (np.asarray(grid.size) - 1) * grid.spacing / 2 + shift
    return (np.linalg.norm(points - middle, axis=1) <= radius).reshape(grid.shape)


@pytest.fixture
def labels(tmp_path):
    """A series, its image, and a label map: 1 brain, 2 lesion, 4 cavity."""
    grid = write_series(tmp_path / "series", Stack((40, 40, 24), (2.0, 2.0, 2.5)))
    values = ball(grid, 28).astype(np.uint8)
    values[ball(grid, 8)] = 2
    values[ball(grid, 6, (14, 0, 0))] = 4
    write_image(grid.image(values), tmp_path / "labels.nii.gz", "labels")
    write_image(grid.image(100.0 * (values > 0) + values), tmp_path / "t1c.nii.gz", "t1c")
    return tmp_path, {v: float((values == v).sum()) * grid.voxel_cc for v in (1, 2, 4)}


def test_a_label_is_what_stands_behind_the_last_colon_unless_a_file_is_called_so(labels):
    folder, _ = labels
    file = folder / "labels.nii.gz"
    assert chosen(f"{file}:2") == (str(file), [2])
    assert chosen(f"{file}:1,4") == (str(file), [1, 4])
    assert chosen(file) == (str(file), None)
    odd = folder / "visit:2"
    odd.write_bytes(b"")
    assert chosen(odd) == (str(odd), None)


def test_the_library_reads_one_label_or_some(labels, recwarn):
    folder, cc = labels
    assert volume_cc(read_mask(f"{folder}/labels.nii.gz:2")) == pytest.approx(cc[2])
    assert volume_cc(read_mask(f"{folder}/labels.nii.gz:2,4")) == pytest.approx(cc[2] + cc[4])
    assert not recwarn


def test_targets_structure_sets_and_comparison_take_a_label(labels, gliosuite):
    folder, cc = labels
    file = f"{folder}/labels.nii.gz"
    ctv = ("ctv", "--scheme", "eortc", "--brain", f"{file}:1,2,4", "--cel", f"{file}:2", "--cavity", f"{file}:4")
    code, _, err = gliosuite(*ctv, "--out", folder / "ctv.nii.gz")
    assert (code, "several labels" in err) == (0, False)
    roi = ("--roi", f"GTV:GTV={file}:2", "--roi", f"Cavity:AVOIDANCE={file}:4")
    code, _, err = gliosuite("rtstruct", "--series", folder / "series", *roi, "--out", folder / "RS.dcm")
    assert code == 0
    found = read_rtstruct(folder / "RS.dcm", folder / "series")
    assert volume_cc(found["GTV"]) == pytest.approx(cc[2])
    assert volume_cc(found["Cavity"]) == pytest.approx(cc[4])
    code, _, err = gliosuite("compare", f"a={file}:2", f"b={file}:4", "--out", folder / "compared")
    assert code == 0
    refused = lambda mask: gliosuite(
        "rtstruct", "--series", folder / "series", "--roi", f"GTV:GTV={mask}", "--out", folder / "n.dcm"
    )
    code, _, err = refused(f"{file}:9")
    assert code == 2
    assert "no voxel with a label of [9]" in err
    code, _, err = refused(f"{folder}/no.nii.gz:2")
    assert code == 2
    assert f"{folder}/no.nii.gz (--roi) does not exist" in err


def test_lesions_take_a_label(labels, gliosuite):
    folder, cc = labels
    file, image = f"{folder}/labels.nii.gz", folder / "t1c.nii.gz"
    roles = {"brain": "1,2,4", "cel": "2", "t2l": "2", "necrosis": "4", "cavity": "4", "ventricles": "4"}
    given = [word for role, label in roles.items() for word in (f"--{role}", f"{file}:{label}")]
    code, _, err = gliosuite("lesions", "--t1c", image, *given, "--out", folder / "lesions")
    assert code == 0, err
    assert volume_cc(read_image(folder / "lesions" / "cel.nii.gz")) == pytest.approx(cc[2])


def test_case_json_and_the_options_of_case_take_a_label(labels, gliosuite):
    folder, cc = labels
    file = f"{folder}/labels.nii.gz"
    code, _, err = gliosuite("case", "--t1c", folder / "t1c.nii.gz", "--cel", f"{file}:2", "--out", folder / "case")
    assert code == 0, err
    assert json.loads((folder / "case" / "case.json").read_text())["masks"]["cel"]["labels"] == [2]
    assert volume_cc(Case.load(folder / "case").mask("cel")) == pytest.approx(cc[2])
    data = {"id": "a", "images": {"t1c": {"path": "t1c.nii.gz"}}, "masks": {"cel": "labels.nii.gz:4"}}
    (folder / "case.json").write_text(json.dumps(data))
    case = Case.load(folder)
    assert volume_cc(case.mask("cel")) == pytest.approx(cc[4])
    case.save(folder / "moved")
    assert volume_cc(Case.load(folder / "moved").mask("cel")) == pytest.approx(cc[4])


def test_the_sentence_on_several_labels_says_how_to_choose(labels):
    with pytest.warns(UserWarning, match=r"several labels, 1 .*name it behind the file \(FILE:1\)"):
        read_mask(labels[0] / "labels.nii.gz")


def test_masks_are_looked_for_under_the_name_of_their_file():
    masks = ("mask", "roi", "nawm", "brain", "lesion", "regions", "cel", "t2l", "necrosis", "cavity", "critical")
    assert all(of_kind("run", option, READS) for option in masks)
