import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.images import Grid
from gliosuite.simulate import acquisition as acq

GRID = Grid((40, 36, 30), (1.0, 1.0, 1.0), (-20.0, -18.0, -15.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def fractions(**amounts):
    shape = GRID.shape
    return {n: np.full(shape, amounts.get(n, 0.0), np.float32) for n in acq.CLASSES}


def test_contrasts_are_those_of_the_sequences():
    s = {role: {n: float(p.signal(t.t1, t)) for n, t in acq.TISSUE.items()} for role, p in acq.PROTOCOLS.items()}
    assert s["t1"]["wm"] > 1.5 * s["t1"]["gm"] > 3 * s["t1"]["csf"]
    assert s["flair"]["csf"] < 0.25 * s["flair"]["wm"]
    assert s["flair"]["oedema"] > 1.4 * s["flair"]["gm"]
    assert s["t2"]["csf"] > 2 * s["t2"]["gm"] > 2 * s["t2"]["wm"]
    enhanced = acq.PROTOCOLS["t1c"].signal(1 / (1 / 1.5 + 4.5 * 0.3), acq.TISSUE["cel"])
    assert enhanced > 1.2 * s["t1"]["wm"]


def test_signal_of_a_mixture_is_the_mixture_of_signals():
    protocol = acq.PROTOCOLS["flair"]
    pure = {n: acq.tissue_signal(protocol, fractions(**{n: 1}), None, {})[0, 0, 0] for n in ("gm", "csf")}
    mixed = acq.tissue_signal(protocol, fractions(gm=0.3, csf=0.7), None, {})
    np.testing.assert_allclose(mixed, 0.3 * pure["gm"] + 0.7 * pure["csf"], rtol=1e-5)


def test_contrast_agent_may_vary_within_a_class():
    added = np.zeros(GRID.shape, np.float32)
    added[:, :, 20:] = 2.0
    signal = acq.tissue_signal(acq.PROTOCOLS["t1c"], fractions(cel=1), None, {"cel": added})
    assert signal[0, 0, 30] > 2 * signal[0, 0, 5]


def test_a_longer_t1_darkens_t1_weighted_scans_of_brain_alone():
    longer = np.zeros(GRID.shape, np.float32)
    longer[:, :, 20:] = np.log(1.3)
    of = lambda kind, name: acq.tissue_signal(acq.PROTOCOLS[kind], fractions(**{name: 1}), None, {}, None, longer)
    signal, tissue = of("t1c", "oedema"), acq.TISSUE["oedema"]
    expected = [acq.PROTOCOLS["t1c"].signal(tissue.t1 * by, tissue) for by in (1.0, 1.3)]
    np.testing.assert_allclose(signal[0, 0, [5, 30]], expected, rtol=1e-5)
    assert expected[1] < 0.9 * expected[0]
    for kind, name in (("flair", "oedema"), ("t2", "oedema"), ("t1c", "muscle")):
        assert np.ptp(of(kind, name)) == 0


def test_thick_slices_average_and_a_shifted_head_is_found_where_it_lies():
    z = np.arange(30, dtype=np.float32)[:, None, None]
    ramp = GRID.image(np.broadcast_to(z - 14.5, GRID.shape).copy())
    grid = acq.scan_grid(GRID, (2.0, 2.0, 5.0))
    values = acq.sample(ramp, grid, None, 1.0)
    centres = grid.origin[2] + 5.0 * np.arange(grid.size[2]) + 0.5
    np.testing.assert_allclose(values[1:-1, 5, 5], centres[1:-1], atol=1e-4)
    moved = acq.sample(ramp, grid, sitk.TranslationTransform(3, (0.0, 0.0, 2.0)), 1.0)
    np.testing.assert_allclose(moved[1:-1, 5, 5], centres[1:-1] + 2, atol=1e-4)


def test_scan_grid_is_never_finer_than_the_head_and_keeps_to_its_slab():
    assert acq.scan_grid(GRID, (0.5, 0.5, 3.0)).spacing == (1.0, 1.0, 3.0)
    slab = acq.scan_grid(GRID, (1.0, 1.0, 3.0), (-6.0, 7.0))
    assert slab.size[2] == 4
    assert slab.origin[2] - 1.5 >= -6.0


def test_noise_is_rician():
    rng = np.random.default_rng(2)
    air = acq.rician(np.zeros((50, 50, 50), np.float32), 10.0, rng)
    assert air.mean() == pytest.approx(10 * np.sqrt(np.pi / 2), rel=0.01)
    strong = acq.rician(np.full((50, 50, 50), 400, np.float32), 10.0, rng)
    assert strong.std() == pytest.approx(10.0, rel=0.02)
    assert strong.mean() == pytest.approx(np.hypot(400, 10 / np.sqrt(2) * 1.0), rel=0.002)


def test_effects_switch_off_one_by_one():
    signal = acq.tissue_signal(acq.PROTOCOLS["t1c"], fractions(wm=1), None, {})

    def scan(effects):
        image = acq.structural(signal, GRID, acq.PROTOCOLS["t1c"], None, effects, np.random.default_rng(1))
        return sitk.GetArrayFromImage(image).astype(float)

    assert (scan(acq.Effects.none()) == 400).all()
    noisy = scan(acq.Effects.none(noise=True))
    assert noisy.std() == pytest.approx(400 / acq.PROTOCOLS["t1c"].snr, rel=0.05)
    biased = scan(acq.Effects.none(bias=True))
    assert biased.std() > 0.5
    assert abs(np.diff(biased, axis=0)).max() < 8


def test_tumour_cells_darken_oedema_and_brighten_brain_on_flair():
    density = np.zeros(GRID.shape, np.float32)
    density[:, :, 20:] = 0.5
    for name, kind, sign in (("oedema", "flair", -1), ("wm", "flair", 1), ("wm", "t1", -1)):
        signal = acq.tissue_signal(acq.PROTOCOLS[kind], fractions(**{name: 1}), None, {}, density)
        assert np.sign(signal[0, 0, 30] - signal[0, 0, 5]) == sign
    assert np.ptp(acq.tissue_signal(acq.PROTOCOLS["flair"], fractions(cel=1), None, {}, density)) == 0


def test_flip_angles_are_high_in_the_middle_of_the_head_and_low_at_its_rim():
    head = Grid((64, 76, 60), (3.0, 3.0, 3.0), (-94.5, -102.5, -74.5), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    fields = [acq.b1_field(head, np.random.default_rng(s)) for s in range(6)]
    assert 1.0 < np.mean([f[28, 40, 32] for f in fields]) < 1.2
    assert 0.7 < np.mean([f[28, 40, 6] for f in fields]) < 0.95
    assert len({float(f[28, 40, 32]) for f in fields}) == 6
