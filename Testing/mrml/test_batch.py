"""A case in batch: one scene file that holds what `gliosuite run` made. The patient is simulated."""

import numpy as np
import pytest
from gliosuite.images import array, boolean, read_image
from gliosuite.simulate.cohort import simulate_case

OPTIONS = ("--", "--spacing", "3", "--no-motion", "--skip", "dsc")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient") / "case"
    simulate_case(14, grid_mm=3.0, scans=("structural", "dce")).write(folder, masks=("cel", "t2l", "cavity"))
    return folder


def test_a_scene_file_holds_the_numbers_of_the_run(slicer, case, tmp_path, capsys):
    from gliosuite.mrml.batch import SCENE, main
    from slicerapp import application

    assert main(["--case", str(case), "--out", str(tmp_path / "batch"), *OPTIONS]) == 0
    said = capsys.readouterr().err
    assert "%" in said
    assert said.rstrip().endswith(f"{SCENE} written")
    run = tmp_path / "batch"
    application.open_bundle(run / SCENE, tmp_path / "opened")
    ktrans = array(read_image(run / "dce" / "on_t1c" / "ktrans.nii.gz"))
    node = slicer.util.getNode("*Ktrans (DCE)")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), np.nan_to_num(ktrans))
    assert node.GetDisplayNode().GetColorNode().GetName() == "GlioSuite inferno"
    targets = slicer.util.getNode("*target volumes")
    made = sorted(p.name.removesuffix(".nii.gz") for p in (run / "rt").glob("CTV*.nii.gz"))
    segments = targets.GetSegmentation()
    assert sorted(segments.GetNthSegment(i).GetName() for i in range(segments.GetNumberOfSegments())) == made
    from gliosuite.mrml.segments import mask_from_segment

    want = read_image(run / "rt" / f"{made[0]}.nii.gz")
    found = mask_from_segment(targets, segments.GetSegmentIdBySegmentName(made[0]), want)
    np.testing.assert_array_equal(boolean(found), boolean(want))


def test_bad_input_ends_with_one_sentence_and_its_code(slicer, case, tmp_path, capsys):
    from gliosuite.mrml.batch import main

    assert main(["--case", str(tmp_path / "nowhere"), "--out", str(tmp_path / "o")]) == 2
    assert "nowhere" in capsys.readouterr().err.splitlines()[-1]


def test_results_without_a_run_are_refused(slicer, tmp_path):
    from gliosuite.errors import InputError
    from gliosuite.mrml.results import load_results

    with pytest.raises(InputError, match=r"holds no run\.json"):
        load_results(tmp_path)
