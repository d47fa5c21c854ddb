"""The spatial stage: its convolutions, what multiplies with what, its training on heads, and intervals by tissue."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import array
from gliosuite.perfusion.settings import SynthesisTraining
from gliosuite.perfusion.synthesis.features import NAMES, PARAMETERS, PRIOR, Inputs
from gliosuite.perfusion.synthesis.network import gaussian
from gliosuite.perfusion.synthesis.posterior import SPATIAL, distribution, of_neighbours, posterior
from gliosuite.perfusion.synthesis.spatial import (
    CHANNELS,
    GROUPS,
    LAYERS,
    LEVELS,
    N_OUT,
    WIDTH,
    N,
    channels,
    from_torch,
    product,
    refine,
)
from gliosuite.perfusion.synthesis.spatial_train import Head, calibrate_tissues, train_spatial
from gliosuite.training import Model, read_model
from gliosuite.training.model_folder import shipped

PRIOR_MEAN, PRIOR_SD = (np.array([PRIOR[name][i] for name in PARAMETERS], np.float32) for i in (0, 1))
CEL = GROUPS.index("cel")


def random_weights(rng, last=0.1):
    sizes = [CHANNELS, *[WIDTH] * (len(LAYERS) - 1), N_OUT + len(GROUPS)]
    found = {}
    for i, (kernel, _) in enumerate(LAYERS):
        taps = int(np.prod(kernel))
        scale = (last if i + 1 == len(LAYERS) else 1.0) / np.sqrt(taps * sizes[i])
        found[f"{i}.weight"] = (scale * rng.normal(size=(taps, sizes[i], sizes[i + 1]))).astype(np.float32)
        found[f"{i}.bias"] = (0.1 * rng.normal(size=sizes[i + 1])).astype(np.float32)
    return found


def nothing(out):
    """No tissue is likely."""
    return np.zeros((len(out), len(GROUPS)), np.float32)


def ball(shape=(7, 16, 14)):
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    return (at**2).sum(axis=0) < 0.9


def voxels(mask, rng):
    n = int(mask.sum())
    told = rng.normal(size=(n, len(NAMES))).astype(np.float32)
    mean = (PRIOR_MEAN + PRIOR_SD * rng.normal(size=(n, N))).astype(np.float32)
    return told, mean, (PRIOR_SD * rng.uniform(0.1, 1.0, (n, N))).astype(np.float32)


def test_convolutions_are_those_of_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    mask, weights = ball(), random_weights(rng, last=1.0)
    told, mean, spread = voxels(mask, rng)
    read = channels(told, mean, spread, rng.uniform(0.5, 3.0, len(told)))
    x = torch.zeros(1, CHANNELS, *mask.shape)
    x[0][:, torch.from_numpy(mask)] = torch.from_numpy(read.T.copy())
    inside, before = torch.from_numpy(mask).float(), None
    for i, (kernel, dilation) in enumerate(LAYERS):
        weight = weights[f"{i}.weight"].transpose(2, 1, 0).reshape(-1, weights[f"{i}.weight"].shape[1], *kernel)
        reach = tuple((k // 2) * d for k, d in zip(kernel, dilation))
        new = torch.nn.functional.conv3d(
            x, torch.from_numpy(weight.copy()), torch.from_numpy(weights[f"{i}.bias"]), 1, reach, dilation
        )
        if i + 1 == len(LAYERS):
            break
        new = torch.relu(new) * inside
        x, before = (new + before if i == 2 else new), new
    out = new[0].numpy()[:, mask].T
    likely = np.exp(out[:, N_OUT:]) / np.exp(out[:, N_OUT:]).sum(axis=1, keepdims=True)
    expected = product(np, out, likely, mean, spread, PRIOR_MEAN, PRIOR_SD)
    found = refine([weights], mask, read, mean, spread)
    for one, other in zip(found, (*expected, likely)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_how_far_the_image_reaches_says_nothing():
    rng = np.random.default_rng(5)
    mask, weights = ball(), [random_weights(rng), random_weights(rng)]
    some = voxels(mask, rng)
    read = channels(*some)
    wide = np.pad(mask, 9)
    for one, other in zip(refine(weights, mask, read, *some[1:]), refine(weights, wide, read, *some[1:])):
        np.testing.assert_array_equal(one, other)


def test_sharp_data_are_hardly_moved_and_vague_ones_are():
    out = np.zeros((2, N_OUT), np.float32)
    out[:, N : 2 * N] = -9.0  # neighbours as sharp as they may be, at the prior's mean
    out[:, 3 * N :] = -9.0
    mean = np.tile(PRIOR_MEAN + PRIOR_SD, (2, 1))
    spread = np.stack([0.01 * PRIOR_SD, PRIOR_SD])
    moved, sd = product(np, out, nothing(out), mean, spread, PRIOR_MEAN, PRIOR_SD)
    off = (mean - moved) / PRIOR_SD
    assert (off[0] < 0.01).all()
    assert (off[1] > 0.9).all()
    assert (sd[1] < 0.2 * PRIOR_SD).all()


def test_networks_together_are_the_mixture_of_what_each_says():
    rng = np.random.default_rng(7)
    mask, two = ball(), [random_weights(rng, last=1.0), random_weights(rng, last=1.0)]
    some = voxels(mask, rng)
    read = channels(*some)
    each = [refine([one], mask, read, *some[1:]) for one in two]
    mean, sd, likely = refine(two, mask, read, *some[1:])
    means, sds, tissues = (np.stack(values) for values in zip(*each))
    assert np.abs(means[0] - means[1]).max() > 0.1
    np.testing.assert_allclose(mean, means.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(sd**2, (sds**2 + means**2).mean(axis=0) - mean**2, rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(likely, tissues.mean(axis=0), rtol=1e-5, atol=1e-7)


def test_ktrans_of_enhancing_tumour_is_its_own_and_its_ve_hears_its_neighbours():
    out = np.zeros((2, N_OUT), np.float32)
    out[:, N : 2 * N], out[:, 3 * N :] = -9.0, -9.0  # neighbours as sharp as they may be, at the prior's mean
    mean, spread = np.tile(PRIOR_MEAN + PRIOR_SD, (2, 1)), np.tile(0.06 * PRIOR_SD, (2, 1))
    likely = nothing(out)
    likely[1, CEL] = 1.0
    moved, sd = product(np, out, likely, mean, spread, PRIOR_MEAN, PRIOR_SD)
    off = (mean - moved) / PRIOR_SD
    ktrans, ve = (PARAMETERS.index(name) for name in ("ktrans", "ve"))
    assert off[0, ktrans] > 0.1
    assert off[1, ktrans] == pytest.approx(0.0, abs=1e-6)
    assert sd[1, ktrans] == pytest.approx(spread[1, ktrans])
    assert off[1, ve] == off[0, ve]


def test_an_open_gate_corrects_the_voxels_own_value_by_what_neighbours_say():
    out = np.zeros((1, N_OUT), np.float32)
    out[:, :N], out[:, N : 2 * N], out[:, 3 * N :] = 0.5, -9.0, 9.0
    mean, spread = (PRIOR_MEAN + 2 * PRIOR_SD)[None], PRIOR_SD[None]
    moved, _ = product(np, out, nothing(out), mean, spread, PRIOR_MEAN, PRIOR_SD)
    np.testing.assert_allclose((moved - mean) / PRIOR_SD, 0.5, atol=0.02)


def test_a_t1_that_is_none_is_not_known():
    told, mean, spread = voxels(ball((5, 6, 4)), np.random.default_rng(1))
    t10 = np.full(len(told), 1.3)
    t10[:3] = np.nan, 0.0, 50.0
    read = channels(told, mean, spread, t10)
    assert np.isfinite(read).all()
    np.testing.assert_array_equal(read[:, -2], [0, 0, 0, *[1] * (len(told) - 3)])
    np.testing.assert_array_equal(channels(told, mean, spread)[:, -3:-1], 0)


def simulated_head(seed, calibration=False):
    """A ball whose voxels are far too noisy, with two tissues in halves whose parameters hardly vary."""
    rng = np.random.default_rng(seed)
    mask = ball((6, 18, 18))
    n = int(mask.sum())
    left = (np.nonzero(mask)[2] < 9).astype(np.uint8)
    truth = np.where(left[:, None] == 1, -0.5, 0.5) + 0.05 * rng.normal(size=(n, N))
    centre = truth + 0.8 * rng.normal(size=(n, N))
    told = np.zeros((n, len(NAMES)), np.float32)
    real = lambda v: (PRIOR_MEAN + PRIOR_SD * v).astype(np.float32)
    width = np.tile(0.8 * PRIOR_SD, (n, 1)).astype(np.float32)
    return Head(mask, Inputs(told, real(centre), width), np.empty(0, np.float32), real(truth), left)


def test_it_learns_from_neighbours_and_its_intervals_hold_in_each_tissue(tmp_path, silent_network):
    pytest.importorskip("torch")
    settings = SynthesisTraining(heads=4, calibration_heads=2, first_head=50, spatial_steps=150)
    weights, intervals, histories = train_spatial(simulated_head, silent_network(), settings, tmp_path)
    assert [history[-1][0] for history in histories] == [settings.spatial_steps] * 2
    one = simulated_head(9000)
    mean, spread, _ = refine(
        weights,
        one.mask,
        channels(one.voxels.told, one.voxels.centre, one.voxels.width),
        one.voxels.centre,
        one.voxels.width,
    )
    rmse = lambda v: float(np.sqrt(np.mean(((v - one.truth) / PRIOR_SD) ** 2)))
    assert rmse(mean) < 0.5 * rmse(one.voxels.centre)
    for group in (0, 1):
        here = one.group == group
        off = np.abs(one.truth - mean)[here] / spread[here]
        for i, name in enumerate(PARAMETERS):
            assert (off[:, i] <= intervals["0.9"][name][group]).mean() == pytest.approx(0.9, abs=0.08)
    # What was drawn is not drawn again, and a run that was stopped goes on: here it is done.
    again = train_spatial(lambda *_: pytest.fail("drawn again"), silent_network(), settings, tmp_path)[0]
    for one, other in zip(again, weights, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert not np.array_equal(weights[0]["0.weight"], weights[1]["0.weight"])


def test_a_head_that_cannot_be_fitted_is_passed_over(tmp_path, silent_network):
    pytest.importorskip("torch")

    def draw(seed, calibration):
        assert calibration == (seed > 52)
        if seed == 51:
            raise InputError("no artery")
        return simulated_head(seed)

    settings = SynthesisTraining(heads=2, calibration_heads=1, first_head=50, spatial_steps=2)
    train_spatial(draw, silent_network(), settings, tmp_path)
    assert sorted(p.name for p in (tmp_path / "heads").iterdir()) == [
        "50.npz",
        "51.npz",
        "52.npz",
        "calibration-53.npz",
    ]


def test_rare_tissues_take_the_interval_of_all(silent_network):
    weights = from_torch(
        {
            f"{i}.{k}": v
            for i, (kernel, _) in enumerate(LAYERS)
            for k, v in (
                (
                    "weight",
                    np.zeros((N_OUT + len(GROUPS) if i == 4 else WIDTH, CHANNELS if i == 0 else WIDTH, *kernel)),
                ),
                ("bias", np.zeros(N_OUT + len(GROUPS) if i == 4 else WIDTH)),
            )
        }
    )
    found = calibrate_tissues([weights], silent_network(), [simulated_head(1)])
    for level in LEVELS:
        own = found[f"{level:g}"]["ve"]
        assert len(own) == len(GROUPS)
        assert len(set(own[2:])) == 1


def test_recalibrated_intervals_hold_the_truth_and_voxels_that_show_the_fit_do_not_count(model):
    from gliosuite.perfusion.synthesis.train import recalibrate

    wide = Model(model.weights, model.about | {"trained_between": [[-9.0] * len(NAMES), [9.0] * len(NAMES)]})
    found = recalibrate(wide, [simulated_head(seed) for seed in range(8)])
    off = []
    for one in [simulated_head(seed) for seed in range(9000, 9008)]:
        mean, spread = gaussian(model.weights, one.voxels)
        mean, spread, _ = refine(of_neighbours(wide), one.mask, channels(one.voxels.told, mean, spread), mean, spread)
        off.append([(np.abs(one.truth - mean) / spread)[one.group == group] for group in (0, 1)])
    for group, parts in enumerate(zip(*off)):
        for i, name in enumerate(PARAMETERS):
            held = found.about["tissue_intervals"]["0.9"][name][group]
            assert (np.concatenate(parts)[:, i] <= held).mean() == pytest.approx(0.9, abs=0.06)
    # A head whose inputs lie far out changes nothing, however wrong it is.
    far = simulated_head(5)
    far.voxels.told[:] = 50.0
    far.truth[:] += 100.0
    again = recalibrate(wide, [*(simulated_head(seed) for seed in range(8)), far])
    assert again.about["tissue_intervals"] == found.about["tissue_intervals"]


@pytest.fixture(scope="module")
def model():
    return read_model(shipped("posterior"), "posterior")


def test_the_shipped_model_has_the_stage_and_stays_small(model):
    spatial = sum(v.size for name, v in model.weights.items() if name.startswith(SPATIAL))
    alone = sum(v.size for name, v in model.weights.items() if not name.startswith(SPATIAL))
    assert 0 < spatial <= 100_000
    assert alone <= 150_000


def test_a_model_without_the_stage_still_predicts(model, fitted_ball):
    old = Model({n: v for n, v in model.weights.items() if not n.startswith(SPATIAL)}, model.about)
    found = distribution(fitted_ball(), old)
    assert found.held is model.about["intervals"]
    assert np.isfinite(found.mean).all()


def test_weights_of_another_shape_are_refused(model):
    last = f"{SPATIAL}1.{len(LAYERS) - 1}.bias"
    with pytest.raises(InputError, match="another version of GlioSuite"):
        of_neighbours(Model(model.weights | {last: model.weights[last][N:]}, model.about))


@pytest.mark.parametrize("factor, outside", [(1.0, False), (1.36, True), (0.7, True), (None, False)])
def test_blood_that_contradicts_the_acquisition_sends_the_series_back_to_the_fit(model, factor, outside, fitted_ball):
    fitted = fitted_ball(flip_factor=factor)
    wide = [[-9.0] * len(NAMES), [9.0] * len(NAMES)]
    made = posterior(fitted, Model(model.weights, model.about | {"trained_between": wide}))
    assert (array(made.outside)[ball()] > 0).all() == outside
    assert any("times the flip angle that was given" in note for note in made.notes) == outside
    if outside:
        np.testing.assert_allclose(array(made.maps["ktrans"]), array(fitted.values["ktrans"]), rtol=1e-6)


def test_a_blood_volume_that_no_brain_has_sends_the_series_back_to_the_fit(model, fitted_ball, monkeypatch):
    fitted = fitted_ball()
    fitted.values["vp"] = fitted.values["vp"] * 3.0
    wide = Model(model.weights, model.about | {"trained_between": [[-9.0] * len(NAMES), [9.0] * len(NAMES)]})
    assert not (array(posterior(fitted, wide).outside) > 0).any()  # 8 cc may be a lesion
    monkeypatch.setattr("gliosuite.perfusion.dce.notes._BRAIN_CC", 5.0)
    made = posterior(fitted, wide)
    assert (array(made.outside)[ball()] > 0).all()
    assert "the median vp is 9.0 %, as no brain's is" in made.notes[1]


def test_an_assumed_t1_is_brought_to_the_one_that_was_trained_with(fitted_ball):
    values, sd, rmse, _ = fitted_ball().voxels()
    scaled, wide, far, _ = fitted_ball(assumed_t10_s=1.5).voxels()
    for name in ("ktrans", "ve", "vp"):
        np.testing.assert_allclose(scaled[name], 1.5 * values[name])
        np.testing.assert_allclose(wide[name], 1.5 * sd[name])
    np.testing.assert_allclose(scaled["kep"], values["kep"])
    np.testing.assert_allclose(far, 1.5 * rmse)
