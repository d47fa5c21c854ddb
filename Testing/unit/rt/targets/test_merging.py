"""Target volumes of several schemes: what is the same is drawn once, and said."""

import numpy as np
import pytest
from gliosuite.images import Grid, boolean
from gliosuite.pipeline import RunSettings
from gliosuite.rt.targets import Structures, drawn_once, scheme, target_volumes

GRID = Grid((50, 50, 50), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
MM = np.indices(GRID.shape)[::-1].reshape(3, -1).T * 2.0


def ball(x: float, radius: float):
    return GRID.image((np.linalg.norm(MM - (x, 50, 50), axis=1) <= radius).reshape(GRID.shape))


BRAIN, CEL, T2L, CAVITY = ball(50, 46), ball(48, 7), ball(52, 14), ball(42, 6)
ALL = Structures(BRAIN, CEL, T2L, CAVITY)


def test_two_schemes_that_share_rule_and_margin_are_drawn_once():
    drawn, notes = drawn_once([target_volumes(n, ALL) for n in ("s3-eortc", "estro-eano")])
    assert [d.name for d in drawn] == ["GTV_S3_EORTC", "CTV_S3_EORTC"]
    assert notes == [
        "GTV_EANO is the same volume as GTV_S3_EORTC and is drawn once, as GTV_S3_EORTC.",
        "CTV_EANO is the same volume as CTV_S3_EORTC and is drawn once, as CTV_S3_EORTC.",
    ]
    assert drawn[1].rule.endswith("; the same volume as CTV_EANO (ESTRO-EANO guideline)")
    assert drawn[1].dose == "60 Gy"


def test_volumes_of_unlike_dose_and_phases_of_one_scheme_stay_apart():
    drawn, notes = drawn_once([target_volumes(n, ALL) for n in ("rtog-boost", "eortc")])  # 14 and 60 Gy
    assert [d.name for d in drawn] == ["GTV_RTOG_BOOST", "CTV_RTOG_BOOST", "CTV_EORTC"]
    assert len(notes) == 1
    within = Structures(BRAIN, T2L, CEL)  # a T2 lesion that adds nothing
    drawn, notes = drawn_once([target_volumes("nrg", within)])
    assert [d.name for d in drawn] == ["GTV_4600", "GTV_6000", "CTV_4600", "CTV_6000"]
    assert not notes


@pytest.mark.parametrize("parts", [(CEL, T2L, CAVITY), (CEL, T2L, None)])
def test_the_schemes_of_a_run_differ(parts):
    made = [target_volumes(n, Structures(BRAIN, *parts)) for n in RunSettings().schemes]
    assert all(s.ptv_mm for s in map(scheme, RunSettings().schemes))
    ctvs = [boolean(v.ctv) for v in made]
    assert not any(np.array_equal(a, b) for i, a in enumerate(ctvs) for b in ctvs[:i])


def test_a_rule_says_what_was_in_it_and_what_was_not():
    said = lambda **parts: target_volumes("estro-eano", Structures(BRAIN, **parts)).targets[0]
    everything = said(cel=CEL, cavity=CAVITY, necrosis=ball(48, 3))
    assert everything.holds == "enhancing lesion + resection cavity + necrosis"
    assert everything.how == "enhancing lesion + resection cavity + necrosis + 15 mm, inside the brain"
    assert said(cel=CEL).holds == "enhancing lesion (no resection cavity, no necrosis)"
    assert said(cavity=CAVITY).holds == "resection cavity (no enhancing lesion, no necrosis)"
