"""What the perfusion steps of a run say."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.case import Case
from gliosuite.cli import build_parser
from gliosuite.errors import door, option
from gliosuite.pipeline.context import RunSettings
from gliosuite.pipeline.maps import names_in_run
from gliosuite.pipeline.run import run_case


@pytest.mark.parametrize("kind", ["dce", "dsc"])
def test_a_run_names_its_own_options(kind):
    (commands,) = (a.choices for a in build_parser()._actions if isinstance(a.choices, dict))
    its_own = {s for action in commands["run"]._actions for s in action.option_strings}
    names = names_in_run(kind)
    assert names["--baseline"] == f"--{kind}-baseline"
    assert names["--arrival"] == f"--{kind}-arrival"
    assert names["--tr-ms"] == f"images.{kind}.tr_ms in case.json"
    for name in names.values():
        assert name in its_own or name.endswith(" in case.json")
    with door(names, f"gliosuite {kind}"):
        assert option("--no-noise-floor") == f"gliosuite {kind} --no-noise-floor"
    assert option("--baseline") == "--baseline"


def test_a_series_without_a_bolus_is_refused_in_the_words_of_a_run(tmp_path):
    frames = np.random.default_rng(5).normal(100, 1, (20, 4, 6, 6)).astype(np.float32)
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(f) for f in frames]), str(tmp_path / "dce.nii.gz"))
    series = {"path": "dce.nii.gz", "tr_ms": 5.0, "flip_angle_deg": 15.0, "times_s": [5.0 * i for i in range(20)]}
    case = Case(tmp_path, {"id": "p", "images": {"dce": series}})
    (step,) = (s for s in run_case(case, tmp_path / "out", RunSettings(motion=False))["steps"] if s["step"] == "dce")
    assert step["status"] == "refused"
    assert step["why"].endswith("(give --dce-baseline, if it does)")
