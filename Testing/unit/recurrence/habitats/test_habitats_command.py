"""``habitats predict`` and ``train`` on a small head with five kinds of tissue."""

import csv
import json

import numpy as np
import pytest
from gliosuite.images import Grid, Series, array, read_image, write_image, write_series
from tissuecurves import PATTERNS, REFERENCES, _signal

GRID = Grid.made((24, 26, 12), (3.0, 3.0, 4.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
TIMES = 1.5 * np.arange(60)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A series, its masks and the ADC, in a folder."""
    folder = tmp_path_factory.mktemp("head")
    rng = np.random.default_rng(1)
    z, y, x = np.indices(GRID.shape)
    brain = ((x - 11.5) / 11) ** 2 + ((y - 12.5) / 12) ** 2 + ((z - 5.5) / 7) ** 2 < 1
    frames = np.full((60, *GRID.shape), 2.0)
    put = lambda where, values: frames.__setitem__(
        (slice(None), where), 400 * _signal(TIMES, np.full((int(where.sum()), 1), values[0]), *values[1:], 15.0, 1.5).T
    )
    put(brain, REFERENCES["wm"])
    put(brain & (y < 6), REFERENCES["gm"])
    put(brain & (y == 3) & (np.abs(x - 11) < 2), REFERENCES["artery"])
    cel, nel = np.zeros((2, *GRID.shape), bool)
    for i, (region, mask) in enumerate((("cel", cel), ("nel", nel))):
        for j, (_, *values) in enumerate(PATTERNS[region]):
            where = (
                brain & (x >= 12 + 2 * j) & (x < 14 + 2 * j) & (y >= 14 + 4 * i) & (y < 18 + 4 * i) & (z > 3) & (z < 8)
            )
            put(where, values)
            mask |= where
    frames = frames + rng.normal(0, 6, frames.shape)
    write_series(Series(np.maximum(frames, 1).astype(np.float32), GRID, "dsc"), folder / "dsc.nii.gz", 1.5)
    for name, mask in (("cel", cel), ("nel", nel), ("brain", brain)):
        write_image(GRID.image(mask.astype(np.uint8)), folder / f"{name}.nii.gz")
    write_image(GRID.image(np.full(GRID.shape, 1.1e-3, np.float32)), folder / "adc.nii.gz")
    return folder


def arguments(head):
    masks = [w for n in ("cel", "nel", "brain") for w in (f"--{n}", head / f"{n}.nii.gz")]
    return [
        "habitats",
        "predict",
        head / "dsc.nii.gz",
        "--dt",
        "1.5",
        *masks,
        "--adc",
        head / "adc.nii.gz",
        "--no-motion",
    ]


def test_a_patient_gets_a_map_a_table_and_a_picture(head, tmp_path, gliosuite):
    code, out, err = gliosuite(*arguments(head), "--out", tmp_path / "out")
    assert code == 0, err
    found = json.loads(out)
    assert {"habitats.nii.gz", "habitats.ctbl", "patterns.csv", "habitats.json", "curves.npz"} <= set(found["files"])
    assert found["comparable"]
    labels = array(read_image(tmp_path / "out" / "habitats.nii.gz"))
    inside = sum(array(read_image(head / f"{n}.nii.gz")) > 0 for n in ("cel", "nel")) > 0
    np.testing.assert_array_equal(labels > 0, inside)
    rows = list(csv.DictReader((tmp_path / "out" / "patterns.csv").open(encoding="utf-8")))
    assert sum(int(r["voxels"] or 0) for r in rows) == int(inside.sum())
    white = next(r for r in rows if r["pattern"] == "wm")
    assert float(white["baseline"]) == pytest.approx(1.11 / 1.04, abs=0.06)
    there = [r for r in rows if r["region"] != "reference" and r["adc_mm2_s"]]
    assert all(float(r["adc_mm2_s"]) == pytest.approx(1.1e-3) for r in there)
    assert float(there[0]["drop_speed_per_frame"]) == pytest.approx(1.5 * float(there[0]["drop_speed_per_s"]), rel=1e-2)
    colours = (tmp_path / "out" / "habitats.ctbl").read_text().splitlines()
    assert len(colours) == 2 + len([r for r in rows if r["region"] != "reference"])


def test_the_arrival_or_the_baseline_can_be_given(head, tmp_path, gliosuite):
    found = []
    for more in ((), ("--baseline", 10), ("--arrival", 15.0), ("--arrival", 13.5)):
        out = tmp_path / f"out{len(found)}"
        code, _, err = gliosuite(*arguments(head), *more, "--out", out)
        assert code == 0, err
        found.append(array(read_image(out / "habitats.nii.gz")))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[1], found[2])
    assert (found[3] != found[0]).any()  # a wrong arrival shifts all windows
    code, _, err = gliosuite(*arguments(head), "--baseline", 10, "--arrival", 15.0, "--out", tmp_path / "both")
    assert code == 2
    assert "one of them is needed" in err


def test_a_fit_to_one_patient_says_that_it_cannot_be_compared(head, tmp_path, gliosuite):
    pytest.importorskip("torch")
    code, out, err = gliosuite(*arguments(head), "--fit-here", "--out", tmp_path / "out")
    assert code == 0, err
    found = json.loads(out)
    assert found["comparable"] is False
    assert "not comparable between patients" in found["notes"][-1] or any("not comparable" in n for n in found["notes"])
    assert "fit" not in found["files"]
    names = [p["pattern"] for p in found["patterns"]]
    assert {"nel_angiogenic", "nel_cellular", "nel_vasogenic", "cel_cellular", "cel_perinecrotic"} <= set(names)


def test_a_model_is_trained_on_results_and_knows_them(head, tmp_path, gliosuite):
    pytest.importorskip("torch")
    assert gliosuite(*arguments(head), "--out", tmp_path / "cases" / "one")[0] == 0
    code, out, err = gliosuite(
        "habitats", "train", "--cases", tmp_path / "cases", "--steps", "30", "--out", tmp_path / "m"
    )
    assert code == 0, err
    assert json.loads(out)["patients"] == 1
    card = (tmp_path / "m" / "model" / "card.md").read_text(encoding="utf-8")
    assert "Trained on simulated patients alone" not in card
    code, out, err = gliosuite(*arguments(head), "--model", tmp_path / "m" / "model", "--out", tmp_path / "again")
    assert code == 0, err
    assert any("one of those that the habitats' model was trained on" in n for n in json.loads(out)["notes"])


def test_what_is_wrong_is_said(head, tmp_path, gliosuite):
    last = lambda err: err.strip().splitlines()[-1]
    code, _, err = gliosuite(*arguments(head), "--fit-here", "--model", tmp_path, "--out", tmp_path / "out")
    assert code == 2
    assert "both --fit-here and --model" in last(err)
    code, _, err = gliosuite("habitats", "train", "--cases", tmp_path, "--out", tmp_path / "out")
    assert code == 2
    assert "holds no folder with habitats/curves.npz" in last(err)
    write_image(GRID.image(np.full(GRID.shape, 1100.0, np.float32)), tmp_path / "adc.nii.gz")
    code, _, err = gliosuite(
        *arguments(head)[:-3], "--adc", tmp_path / "adc.nii.gz", "--no-motion", "--out", tmp_path / "out"
    )
    assert code == 2
    assert "ADC in mm2/s is needed" in last(err)
    assert not (tmp_path / "out").exists()
