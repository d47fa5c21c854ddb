"""Tables over regions beside the maps: which maps and which voxels count."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from gliosuite.images import Grid
from gliosuite.perfusion.regions import write_regions

GRID = Grid((12, 12, 3), (4.0, 4.0, 5.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_voxels_that_were_not_fitted_count_as_undefined(tmp_path):
    fitted = np.zeros(GRID.shape, bool)
    fitted[:, :6] = True
    ktrans = np.where(fitted, 0.1, 0.0).astype(np.float32)
    ktrans[1, 2, 3] = np.nan
    result = SimpleNamespace(
        maps={"ktrans": GRID.image(ktrans), "model": GRID.image(ktrans)},
        sd={},
        heads={"ktrans": "1/min", "model": "1 tofts, 2 patlak, 3 etm"},
        mask=GRID.image(fitted),
        masks={"nawm": GRID.image(fitted), "leakage_reference": GRID.image(fitted)},
    )
    outside = np.zeros(GRID.shape, bool)
    outside[0, 10:, 10:] = True
    whole = np.ones(GRID.shape, bool)
    notes = write_regions(result, {"whole": GRID.image(whole), "outside": GRID.image(outside)}, tmp_path)
    rows = table(tmp_path / "regions.csv")
    assert [(r["map"], r["region"]) for r in rows] == [("ktrans", n) for n in ("nawm", "whole", "outside")]
    assert float(rows[1]["mean"]) == pytest.approx(0.1)
    assert int(rows[1]["n"]) == 3 * 6 * 12 - 1
    assert int(rows[1]["n_undefined"]) == 3 * 6 * 12 + 1
    assert rows[2]["mean"] == ""
    assert notes == ["region outside: none of its 4 voxels was fitted, so regions.csv has no numbers for it"]


def test_ve_counts_where_it_is_valid_and_known_and_the_share_is_said(tmp_path):
    inside = np.ones(GRID.shape, bool)
    ve = np.full(GRID.shape, 0.3, np.float32)
    ve[0] = 40.0
    sd = np.full(GRID.shape, 0.05, np.float32)
    sd[1, :6] = np.nan
    result = SimpleNamespace(
        maps={"ve": GRID.image(ve)},
        sd={"ve": GRID.image(sd)},
        heads={"ve": "fraction"},
        mask=GRID.image(inside),
        masks={},
    )
    notes = write_regions(result, {"all": GRID.image(inside)}, tmp_path)
    (row,) = table(tmp_path / "regions.csv")
    assert float(row["mean"]) == pytest.approx(0.3)
    assert int(row["n"]) == 144 + 72
    assert notes == [
        "region all: its numbers of ve and kep are of 50 % of its fitted voxels, where ve lies in 0-1 and is known"
    ]
