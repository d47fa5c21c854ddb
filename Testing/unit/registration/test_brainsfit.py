"""The BRAINSFit runner against a stand-in executable that knows BRAINSFit's flags and rules."""

import json
import os
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.files import read_json
from gliosuite.images import boolean, read_image, write_image
from gliosuite.registration import RegistrationSettings, find_brainsfit, register
from gliosuite.registration.brainsfit import BrainsFitError, run_brainsfit
from heads import GRID, head, points_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is started by its first line")
STANDIN = Path(__file__).resolve().parents[2] / "standin" / "brainsfit"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A Slicer folder with the stand-in as its BRAINSFit; nothing else is found."""
    monkeypatch.setenv("PATH", "")
    for name in list(os.environ):
        if name.startswith("STANDIN_") or name in ("GLIOSUITE_BRAINSFIT", "SLICER_HOME"):
            monkeypatch.delenv(name)
    target = tmp_path / "Slicer" / "lib" / "Slicer-5.10" / "cli-modules" / "BRAINSFit"
    target.parent.mkdir(parents=True)
    target.write_text(f"#!{sys.executable}\n" + STANDIN.read_text(encoding="utf-8").split("\n", 1)[1], encoding="utf-8")
    target.chmod(target.stat().st_mode | stat.S_IXUSR)
    return target


def shifted(shift=(12.0, -8.0, 5.0)) -> sitk.Image:
    """A head that lies `shift` further: the map from fixed to moving points is that shift."""
    moving = head(contrast="t2", seed=1)
    moving.SetOrigin((np.asarray(moving.GetOrigin()) + shift).tolist())
    return moving


# ----------------------------------------------------------------------------------------------------------------- finding


def test_it_is_found_by_argument_variable_path_and_slicer_folder(place, monkeypatch):
    assert find_brainsfit() is None
    assert find_brainsfit(place) == place
    assert find_brainsfit(place.parents[3]) == place
    monkeypatch.setenv("SLICER_HOME", str(place.parents[3]))
    assert find_brainsfit() == place
    monkeypatch.delenv("SLICER_HOME")
    monkeypatch.setenv("PATH", str(place.parent))
    assert find_brainsfit() == place
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("GLIOSUITE_BRAINSFIT", str(place.parents[3]))
    assert find_brainsfit() == place


def test_a_wrong_place_is_said(place, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="neither a BRAINSFit executable nor a Slicer folder"):
        find_brainsfit(tmp_path / "absent")
    monkeypatch.setenv("GLIOSUITE_BRAINSFIT", str(tmp_path / "absent"))
    with pytest.warns(UserWarning, match="GLIOSUITE_BRAINSFIT names .*absent, where there is no BRAINSFit"):
        assert find_brainsfit() is None


# ----------------------------------------------------------------------------------------------------------------- running


def test_flags_direction_and_engine(place, tmp_path, monkeypatch):
    monkeypatch.setenv("STANDIN_TRANSLATION", "12,-8,5")
    monkeypatch.setenv("STANDIN_RECORD", str(tmp_path / "record.json"))
    result = register(head(), shifted(), RegistrationSettings(stages=("rigid", "affine")), brainsfit=place)
    assert result.engine == "brainsfit"
    assert np.allclose(result.transform.TransformPoint((1.0, 2.0, 3.0)), (13, -6, 8))
    assert (
        np.corrcoef(sitk.GetArrayFromImage(result.image).ravel(), sitk.GetArrayFromImage(head(contrast="t2")).ravel())[
            0, 1
        ]
        > 0.98
    )
    record = read_json(tmp_path / "record.json")
    flags = record["flags"]
    assert {k for k, v in flags.items() if v is True} == {"useRigid", "useAffine"}
    assert flags["costMetric"] == "MMI"
    assert flags["numberOfHistogramBins"] == "50"
    assert flags["splineGridSize"] == "14,10,12"
    assert 0.002 <= float(flags["samplingPercentage"]) <= 1
    assert flags["maskProcessingMode"] == "NOMASK"
    assert "linearTransform" in flags
    assert record["initial"] == "VersorRigid3DTransform"
    assert not Path(flags["fixedVolume"]).exists()  # its folder is gone


def test_bspline_masks_and_start_modes_pass_brainsfits_own_rules(place, tmp_path, monkeypatch):
    monkeypatch.setenv("STANDIN_TRANSLATION", "12,-8,5")
    monkeypatch.setenv("STANDIN_RECORD", str(tmp_path / "record.json"))
    mask = GRID.image(sitk.GetArrayFromImage(head()) > 80)
    for start, mode in (
        ("center-of-head", None),  # found by us and given as a transform: BRAINSFit's own fails beside masks
        ("identity", "Off"),
        ("moments", "useMomentsAlign"),
    ):
        settings = RegistrationSettings(stages=("rigid", "affine", "bspline"), start=start)
        result = register(head(), shifted(), settings, fixed_mask=mask, brainsfit=place)
        assert result.engine == "brainsfit"
        assert result.quality.min_jacobian == pytest.approx(1, abs=1e-3)
        flags = read_json(tmp_path / "record.json")["flags"]
        assert flags.get("initializeTransformMode") == mode
        assert ("initialTransform" in flags) == (mode is None)
        assert flags["maskProcessingMode"] == "ROI"  # BRAINSFit needs both masks: the other one is the head
        assert {"fixedBinaryVolume", "movingBinaryVolume", "bsplineTransform"} <= set(flags)


def test_unknown_flags_fail_with_brainsfits_words(place):
    with pytest.raises(
        BrainsFitError, match=r"PARSE ERROR: Argument: --useMagic Couldn't find match .*\(exit code 1\)"
    ):
        run_brainsfit(place, head(), head(), {"useRigid": True, "useMagic": True}, deformable=False)


@pytest.mark.parametrize("stream", ["STANDIN_FAIL", "STANDIN_FAIL_STDOUT"])
def test_failure_text_is_told_and_simpleitk_takes_over(place, monkeypatch, stream):
    monkeypatch.setenv(stream, "itk::ERROR: MattesMutualInformation: Too many samples map outside moving image buffer")
    with pytest.raises(InputError, match=r"BRAINSFit failed: .*Too many samples map outside .*\(exit code 1\)"):
        register(head(), shifted(), engine="brainsfit", brainsfit=place)
    with pytest.warns(UserWarning, match="BRAINSFit failed .*Too many samples.* SimpleITK was taken instead"):
        result = register(head(), shifted(), brainsfit=place)
    assert result.engine == "simpleitk"
    assert "Too many samples" in result.notes[0]
    assert np.allclose(result.transform.TransformPoint((0.0, 0.0, 0.0)), (12, -8, 5), atol=0.4)


def test_a_missing_transform_and_a_file_that_is_no_program_are_failures(place, monkeypatch, tmp_path):
    monkeypatch.setenv("STANDIN_NOTHING", "1")
    with pytest.raises(InputError, match="BRAINSFit failed: it left no transform that can be read"):
        register(head(), shifted(), engine="brainsfit", brainsfit=place)
    dull = tmp_path / "BRAINSFit"
    dull.write_text("no program")
    with pytest.raises(InputError, match="BRAINSFit failed: it cannot be started"):
        register(head(), shifted(), engine="brainsfit", brainsfit=dull)


def test_a_wrong_result_is_refused_or_replaced(place, monkeypatch):
    monkeypatch.setenv("STANDIN_TRANSLATION", "-60,0,0")
    with pytest.raises(InputError, match="the registration was refused"):
        register(head(), shifted(), engine="brainsfit", brainsfit=place)
    result = register(head(), shifted(), brainsfit=place)
    assert result.engine == "simpleitk"
    assert "was refused" in result.notes[0]


def test_cancel_ends_the_child(place, tmp_path, monkeypatch):
    monkeypatch.setenv("STANDIN_SLEEP", "60")
    calls = []

    def cancelled(fraction, message):
        calls.append(message)
        if calls.count("BRAINSFit") > 2:
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_brainsfit(place, head(), head(), {"useRigid": True}, deformable=False, progress=cancelled)
    assert time.monotonic() - start < 30  # it would have slept for 60 s


def test_the_command_carries_a_label_and_says_which_engine_ran(place, tmp_path, monkeypatch, gliosuite):
    monkeypatch.setenv("GLIOSUITE_BRAINSFIT", str(place))
    monkeypatch.setenv("STANDIN_TRANSLATION", "12,-8,5")
    moving = shifted()
    ball = GRID.image(np.linalg.norm(points_of(GRID) - (20, 10, 0), axis=-1) < 15)
    ball.CopyInformation(moving)
    write_image(head(), tmp_path / "f.nii.gz")
    write_image(moving, tmp_path / "m.nii.gz")
    write_image(ball, tmp_path / "l.nii.gz")
    code, out, _ = gliosuite(
        *("register", "--fixed", tmp_path / "f.nii.gz", "--moving", tmp_path / "m.nii.gz"),
        *("--out", tmp_path / "o.nii.gz", "--transform", tmp_path / "t.tfm"),
        *("--label", tmp_path / "l.nii.gz", "--label-out", tmp_path / "lo.nii.gz"),
    )
    assert code == 0
    assert json.loads(out)["engine"] == "brainsfit"
    assert read_json(tmp_path / "o.json")["engine"] == "brainsfit"
    carried = points_of(GRID)[boolean(read_image(tmp_path / "lo.nii.gz"))]
    assert np.allclose(carried.mean(axis=0), (20, 10, 0), atol=0.2)
