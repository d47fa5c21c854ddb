import json
from dataclasses import replace

import numpy as np
import pytest
from gliosuite.images import array, read_image, write_image, write_series
from gliosuite.perfusion.t1 import fit_vfa
from gliosuite.simulate.acquisition import Effects
from gliosuite.simulate.protocols import Vfa
from gliosuite.simulate.scans.vfa import scan_vfa

PROTOCOL = Vfa(tr_s=0.006, flip_angles_deg=(3.0, 9.0, 18.0))


def scan(block, effects, protocol=PROTOCOL):
    return block.scan(scan_vfa, protocol, effects)


def test_t1_is_found_where_b1_is_known_and_missed_where_not(block):
    scanned = scan(block, Effects.none(texture=True, b1=True))
    inside = np.isin(block.label, ("gm", "wm", "cel", "oedema"))
    truth = array(scanned.maps["vfa_t10"])[inside]
    b1 = array(scanned.images["b1"])[inside]
    np.testing.assert_allclose(b1, block.fields["b1"][inside], rtol=1e-6)
    curves = scanned.images["vfa"].curves(inside)
    found = [fit_vfa(curves, PROTOCOL.flip_angles_deg, PROTOCOL.tr_s, b)[0] for b in (b1, 1.0)]
    np.testing.assert_allclose(found[0], truth, rtol=2e-3)
    assert np.median(np.abs(found[1] / truth - 1)) > 0.1
    assert np.ptp(truth[block.label[inside] == "cel"]) > 0.05


def test_effects_of_b1_and_inflow_are_where_they_belong(block):
    plain, fresh = (scan(block, e).images["vfa"].frames for e in (Effects.none(), Effects.none(inflow=True)))
    assert ((fresh != plain).any(axis=0) == (block.label == "artery")).all()
    assert (array(scan(block, Effects.none()).images["b1"]) == 1).all()
    noisy = array(scan(block, Effects.none(noise=True), replace(PROTOCOL, b1_sd=0.05)).images["b1"])
    assert noisy.std() == pytest.approx(0.05, rel=0.1)


def test_command_makes_a_t1_map_of_the_scan(block, gliosuite, tmp_path):
    scanned = scan(block, Effects.none(b1=True))
    keys = scanned.acquisition["vfa"]
    write_series(scanned.images["vfa"], tmp_path / "vfa.nii.gz")
    write_image(scanned.images["b1"], tmp_path / "b1.nii.gz")
    write_image(block.grid.image(np.isin(block.label, ("gm", "wm", "cel"))), tmp_path / "mask.nii.gz")
    angles = ",".join(f"{a:g}" for a in keys["flip_angle_deg"])
    options = ("--flip-angles", angles, "--tr-ms", keys["tr_ms"], "--mask", tmp_path / "mask.nii.gz")
    code, out, _ = gliosuite(
        "t1", "--vfa", tmp_path / "vfa.nii.gz", "--b1", tmp_path / "b1.nii.gz", *options, "--out", tmp_path / "o"
    )
    assert code == 0
    assert json.loads(out)["units"]["t1"] == "s"
    t1 = array(read_image(tmp_path / "o" / "t1.nii.gz"))
    for name in ("gm", "wm", "cel"):
        assert t1[block.label == name].mean() == pytest.approx(block.physiology.means[name]["t1"], rel=0.005)
