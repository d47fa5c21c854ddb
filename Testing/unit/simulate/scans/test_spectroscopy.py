from dataclasses import replace

import numpy as np
import pytest
from gliosuite.images import Grid, array
from gliosuite.simulate.acquisition import Effects
from gliosuite.simulate.protocols import Mrsi
from gliosuite.simulate.scans.spectroscopy import place_box, scan_mrsi

PROTOCOL = Mrsi(box_mm=(40.0, 40.0, 20.0))
ROLES = ("cho", "cre", "naa", "lac", "lip", "cni", "ccri", "crni")


def scan(block, effects, **fields):
    return block.scan(scan_mrsi, PROTOCOL, effects, **fields)


def test_images_are_the_box_over_the_lesion(block):
    scanned = scan(block, Effects.none())
    assert tuple(scanned.images) == ROLES
    grid = Grid.of(scanned.images["cho"])
    assert grid.size == (4, 4, 2)
    assert grid.spacing == (10.0, 10.0, 10.0)
    centre = np.asarray(grid.origin) + 15.0 * np.array([1, 1, 1 / 3])
    np.testing.assert_allclose(centre, (0, 18, -1.5), atol=4)
    assert scanned.acquisition["naa"] == {"tr_ms": 1100.0, "te_ms": 144.0}


def test_box_is_shifted_into_the_brain(block):
    box = (30.0, 30.0, 30.0)
    label = np.full(block.label.shape, "wm", "<U8")
    label[:, :, 14:] = "bone"
    label[8:12, 8:12, 11:14] = "cel"
    x = place_box(replace(block, label=label).packed(), block.grid, box)[0]
    edge = -30 + 14 * 3  # of the brain
    assert x + 15 <= edge + 5
    assert x > -10


def test_tumour_has_choline_lactate_and_a_high_cni_and_little_naa(block):
    whole = replace(PROTOCOL, box_mm=(60.0, 60.0, 60.0))
    peaks = {r: array(i) for r, i in block.scan(scan_mrsi, whole, Effects.none()).images.items()}
    inner, rim = np.s_[2:4, 2:4, 2:4], np.ones((6, 6, 6), bool)
    rim[1:5, 1:5, 1:5] = False
    assert peaks["naa"][inner].mean() < 0.5 * peaks["naa"][rim].mean()
    assert peaks["lac"][inner].mean() > 3 * peaks["lac"][rim].mean()
    assert (peaks["cho"] / peaks["cre"])[inner].min() > 1.3 * np.median((peaks["cho"] / peaks["cre"])[rim])
    assert peaks["cni"][inner].min() > 3
    assert abs(np.median(peaks["cni"][rim])) < 1.5


def test_point_spread_spreads_a_small_tumour_and_keeps_its_total(block):
    label = np.full(block.label.shape, "csf", "<U8")
    label[9:11, 9:11, 9:11] = "cel"
    lone = replace(block, label=label)
    whole = replace(PROTOCOL, box_mm=(60.0, 60.0, 60.0))
    cho = array(lone.scan(scan_mrsi, whole, Effects.none(partial_volume=True)).images["cho"])
    assert cho.max() < 25  # of some 90 in a voxel full of it
    assert cho.sum() * 1000 == pytest.approx(100 * block.physiology.means["cel"]["cho"] * 8 * 27, rel=0.25)


def test_noise_and_bias_switch_off_one_by_one(block):
    plain, noisy, biased = (
        {r: array(i) for r, i in scan(block, Effects.none(**e)).images.items()}
        for e in ({}, {"noise": True}, {"bias": True})
    )
    residual = np.concatenate([(noisy[r] - plain[r]).ravel() for r in ("cho", "cre", "naa")])
    assert residual.std() == pytest.approx(100 / PROTOCOL.snr, rel=0.15)
    assert noisy["lac"].min() >= 0
    np.testing.assert_allclose(biased["cho"] / biased["naa"], plain["cho"] / plain["naa"], rtol=1e-4)
    assert np.ptp(biased["naa"] / plain["naa"]) > 0.01
