"""Pictures: no texts over each other, numbers that are said, the same bytes each time."""

import numpy as np
import pytest
from gliosuite.recurrence import CHANNELS
from gliosuite.recurrence.followup import pictures
from gliosuite.recurrence.followup.classes import CLASSES, compared
from gliosuite.recurrence.followup.forest import Judged
from gliosuite.statistics.agreement import Estimate

from ..survival.test_pictures import check

pytest.importorskip("matplotlib")
RNG = np.random.default_rng(4)
NAMES = [n for n in CHANNELS if CHANNELS[n].kind != "perfusion"]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    kept = []
    save = pictures.save
    monkeypatch.setattr(pictures, "save", lambda figure, path: (kept.append(figure), save(figure, path)))

    def draw(picture, *args):
        picture(*args, tmp_path / "p.png")
        return kept[-1], (tmp_path / "p.png").read_bytes()

    return draw


def judged(target, group):
    e = Estimate(0.81234, 0.7, 0.9)
    curve = np.stack([np.linspace(0, 1, 50), np.linspace(0, 1, 50) ** 0.3])
    some = RNG.random(len(NAMES)) / len(NAMES)
    return Judged(target, group, 50, 40, e, np.array([0.8, 0.9]), e, e, curve, [5, 5], some, some, some / 5)


FOUND = [judged(t, g) for t in ("CEL", "NEL", "CEL + NEL") for g in ("all", "early", "late")]


def test_boxes_mark_pairs_that_differ(drawn):
    values = RNG.normal(1, 0.1, (30, len(CLASSES), len(CHANNELS)))
    values[:, CLASSES.index("NAV to CEL"), 0] += 1
    values[:, CLASSES.index("NEL to CEL"), 0] += 2
    values[:, :, list(CHANNELS).index("lip")] *= 20000
    values[10:, CLASSES.index("NAV to NEL")] = np.nan
    values[:, :, 5] = np.nan
    figure, one = drawn(pictures.draw_classes, values, compared(values))
    said = check(figure)
    assert len(figure.axes) == len(CHANNELS) - 1
    assert {"T1c / normal brain", "ktrans (1/min)", "NAV→CEL\nn 30", "NAV→NEL\nn 10", "****"} <= said
    assert drawn(pictures.draw_classes, values, compared(values))[1] == one


def test_curves_say_areas(drawn):
    said = check(drawn(pictures.draw_roc, FOUND)[0])
    assert {"CEL + NEL progression", "early (50): 0.81 (0.70–0.90)"} <= said


def test_importances_name_images(drawn):
    said = check(drawn(pictures.draw_importances, FOUND, NAMES)[0])
    assert {"NAA / normal brain", "CNI", "AUC lost, shuffled", "NEL progression"} <= said


def test_patients_are_joined(drawn):
    ctvs = ["model", "s3-rtog", "s3-eortc", "lesion"]
    rows = [
        {"patient": i, "ctv": c, **{k: RNG.random() for k in ("sensitivity", "specificity", "pcc")}}
        for i in range(12)
        for c in ctvs
    ]
    figure, _ = drawn(pictures.draw_paired, rows, ctvs, {"pcc, model and s3-rtog": 0.0312})
    said = check(figure)
    assert any("PCC" in s and "s3-rtog: P = 0.031" in s for s in said)
    mean = np.mean([r["pcc"] for r in rows if r["ctv"] == "model"])
    assert f"model\n{mean:.2f}" in said


def test_reliability_is_drawn(drawn):
    bins = [{"predicted": p, "recurred": p / 2, "voxels": int(10 ** (6 - 5 * p))} for p in (0.003, 0.05, 0.3, 0.8)]
    assert {"predicted probability", "share that came true", "voxels"} <= check(
        drawn(pictures.draw_reliability, bins)[0]
    )
