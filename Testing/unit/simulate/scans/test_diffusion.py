from dataclasses import replace

import numpy as np
import pytest
from gliosuite.images import array
from gliosuite.simulate.acquisition import CLASSES, Effects
from gliosuite.simulate.protocols import Diffusion
from gliosuite.simulate.scans.diffusion import scan_diffusion
from gliosuite.simulate.scans.scanning import Packed

SOLID = ("gm", "wm", "oedema", "cel", "necrosis", "csf")


def scan(block, effects, protocol=None):
    return block.scan(scan_diffusion, protocol or Diffusion(), effects)


def test_noise_free_maps_are_the_truth(block):
    scanned = scan(block, Effects.none(texture=True))
    inside = np.isin(block.label, SOLID)
    for role in ("adc", "fa"):
        got, truth = array(scanned.images[role])[inside], array(scanned.maps[f"diffusion_{role}"])[inside]
        np.testing.assert_allclose(got, truth, rtol=1e-4)
    assert array(scanned.images["adc"])[block.label == "artery"].max() == 0


def test_order_of_tissues_is_that_of_the_clinic(block):
    adc = array(scan(block, Effects.none()).images["adc"])
    mean = {n: adc[block.label == n].mean() for n in SOLID}
    assert 0.65e-3 < mean["wm"] < 0.85e-3
    assert mean["wm"] < mean["gm"] < mean["cel"] < mean["oedema"] < mean["necrosis"] < mean["csf"]
    assert mean["csf"] == pytest.approx(3.0e-3, rel=0.1)


def test_noise_falls_with_the_number_of_images(block):
    few, many = Diffusion(n_b0=1, n_directions=6), Diffusion(n_b0=16, n_directions=96)
    white = block.label == "wm"
    sd = [
        array(scan(block, Effects.none(noise=True), replace(p, fa_sd=0.0)).images["adc"])[white].std()
        for p in (few, many)
    ]
    assert sd[0] == pytest.approx(4 * sd[1], rel=0.25)


def test_a_mixture_with_fluid_weighs_signals_not_values(block):
    half = {n: np.zeros(block.grid.shape, np.float32) for n in CLASSES}
    half["wm"][:], half["csf"][:] = 0.5, 0.5
    packed = Packed.of(block.grid, half, block.fields)
    protocol = replace(Diffusion(), spacing_mm=block.grid.spacing)
    args = (
        block.grid,
        block.physiology,
        None,
        protocol,
        None,
        Effects.none(partial_volume=True),
        np.random.default_rng(1),
    )
    adc = array(scan_diffusion(packed, *args).images["adc"])
    whole = array(scan_diffusion(block.packed(), *args).images["adc"])
    white, fluid = whole[block.label == "wm"].mean(), whole[block.label == "csf"].mean()
    assert white < adc.mean() < fluid
    assert adc.mean() != pytest.approx((white + fluid) / 2, rel=0.02)
