"""What is looked at before anything is computed: missing inputs, results over inputs, folders that cannot be written."""

import argparse

import numpy as np
import pytest
from gliosuite import files
from gliosuite.cli import build_parser
from gliosuite.commands.places import NEITHER, READS, WRITES, check_places, of_kind
from gliosuite.errors import InputError
from gliosuite.images import Grid, write_image

GRID = Grid((12, 12, 8), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))


@pytest.fixture
def masks(tmp_path):
    """A brain and a lesion in a folder of inputs."""
    folder = tmp_path / "in"
    for name, low in (("brain", 1), ("cel", 4)):
        values = np.zeros(GRID.shape, bool)
        values[low : -low or None, low:-low, low:-low] = True
        values[4, 4, 4] = True
        write_image(GRID.image(values), folder / f"{name}.nii.gz")
    return folder


def last(err):
    return err.strip().splitlines()[-1]


def test_of_every_option_it_is_said_whether_it_names_a_file():
    commands = next(a for a in build_parser()._actions if a.dest == "command").choices
    for command, parser in commands.items():
        for action in parser._actions:
            words = action.type in (int, float) or action.choices or action.nargs == 0 or action.dest == "help"
            kinds = sum(of_kind(command, action.dest, kind) for kind in (READS, WRITES, NEITHER))
            assert kinds == 1 or (words and not kinds), f"{command} {action.dest}"


def test_all_files_that_are_missing_are_named_at_once(gliosuite, masks, tmp_path):
    code, out, err = gliosuite("ctv", "--scheme", "rtog", "--cel", masks / "no.nii.gz", "--brain", masks / "none.nii.gz",
                               "--t2l", masks / "cel.nii.gz", "--out", tmp_path / "out" / "c.nii.gz")  # fmt: skip
    assert (code, out) == (2, "")
    assert f"{masks / 'no.nii.gz'} (--cel)" in last(err)
    assert f"{masks / 'none.nii.gz'} (--brain)" in last(err)
    assert last(err).endswith("do not exist")
    assert not (tmp_path / "out").exists()


def test_a_result_over_an_input_is_refused_before_anything_is_done(gliosuite, masks):
    before = {p: p.read_bytes() for p in masks.iterdir()}
    ctv = [
        "ctv",
        "--scheme",
        "rtog",
        "--cel",
        masks / "cel.nii.gz",
        "--t2l",
        masks / "cel.nii.gz",
        "--brain",
        masks / "brain.nii.gz",
    ]
    for command, sentence in (
        ([*ctv, "--out", masks / "cel.nii.gz"], "is read by this command and would be replaced"),
        ([*ctv, "--out", masks / "o.nii.gz", "--gtv-out", masks / "o.nii.gz"], "name one file"),
        ([*ctv, "--out", masks / ".." / "in" / "brain.nii.gz"], "is read by this command and would be replaced"),
        (["compare", f"A={masks / 'cel.nii.gz'}", f"B={masks / 'brain.nii.gz'}", "--out", masks], "results need a folder of their own"),
        (["lesions", "--t1c", masks / "brain.nii.gz", "--cel", masks / "cel.nii.gz", "--out", masks], "results need a folder of their own"),
    ):  # fmt: skip
        code, out, err = gliosuite(*command)
        assert (code, out) == (2, ""), err
        assert sentence in last(err)
        assert {p: p.read_bytes() for p in masks.iterdir()} == before


def test_a_file_beside_the_result_does_not_replace_an_input_either(gliosuite, masks):
    cel = masks / "c_PTV_0001.nii.gz"
    (masks / "cel.nii.gz").rename(cel)
    before = cel.read_bytes()
    found = gliosuite("ctv", "--scheme", "rtog", "--cel", cel, "--t2l", cel, "--brain", masks / "brain.nii.gz",
                      "--out", masks / "c.nii.gz", "--ptv-mm", 3)  # fmt: skip
    assert cel.read_bytes() == before
    names = {p.name for p in masks.iterdir()}
    if found[0] == 0:  # the name of the PTV is the scheme's: make it the input's
        (ptv,) = [n for n in names if n.startswith("c_PTV") and n != cel.name]
        cel.rename(masks / ptv)
        before = (masks / ptv).read_bytes()
        code, _, err = gliosuite("ctv", "--scheme", "rtog", "--cel", masks / ptv, "--t2l", masks / ptv, "--brain",
                                 masks / "brain.nii.gz", "--out", masks / "c.nii.gz", "--ptv-mm", 3)  # fmt: skip
        assert code == 2
        assert "would be replaced" in last(err)
        assert (masks / ptv).read_bytes() == before


@pytest.mark.parametrize(
    "out, sentence", [("file/out", "a file stands|is a file"), ("folder.nii.gz", "is a folder; the name of a file")]
)
def test_a_place_that_cannot_hold_the_result_is_found_first(masks, tmp_path, out, sentence):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.nii.gz").mkdir()
    args = argparse.Namespace(command="ctv", cel=str(masks / "cel.nii.gz"), out=str(tmp_path / out))
    with pytest.raises(InputError, match=sentence):
        check_places(args)


def test_a_folder_that_may_not_be_written_is_found_first(gliosuite, masks, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryDirectory", refused)
    code, _, err = gliosuite("ctv", "--scheme", "rtog", "--cel", masks / "cel.nii.gz", "--brain", masks / "brain.nii.gz",
                             "--out", tmp_path / "new" / "c.nii.gz")  # fmt: skip
    assert code == 2
    assert "cannot be written (Permission denied): choose an output folder that you may write to" in last(err)
    assert not (tmp_path / "new").exists()
