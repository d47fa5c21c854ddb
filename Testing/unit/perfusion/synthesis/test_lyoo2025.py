"""Lyoo 2025: sizes as published, no label at inference, raw signal scaled and resampled, training taken up again, the shipped model."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, array, boolean
from gliosuite.perfusion.prepared import prepare
from gliosuite.perfusion.settings import DceSettings, Lyoo2025Training
from gliosuite.perfusion.synthesis.lyoo2025.batches import patch_rows, patches, slices
from gliosuite.perfusion.synthesis.lyoo2025.cases import KIND, NAMES, Labelled, load_case, save_case, training_case
from gliosuite.perfusion.synthesis.lyoo2025.raw import ARRIVAL_S, FRAMES, INTERVAL_S, raw_curves, summary
from gliosuite.training import read_model, write_model
from gliosuite.training.model_folder import shipped

GRID = Grid((20, 24, 4), (1.875, 1.875, 3.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def series(n=60, dt=5.0, arrival_s=26.0, gain=1.0, seed=0):
    """A block of tissue that enhances, more in a cube (the lesion); its times."""
    times = dt * np.arange(n)
    since = np.maximum(times - arrival_s, 0.0)
    rise = 1.0 - np.exp(-since / 20.0)
    shape = GRID.shape
    inside, lesion = np.zeros(shape, bool), np.zeros(shape, bool)
    inside[:, 3:21, 2:18], lesion[1:3, 8:13, 6:11] = True, True
    height = np.where(lesion, 0.8, 0.1 + 0.1 * np.arange(shape[2]) / shape[2])
    signal = np.where(inside, 300.0 * (1.0 + height * rise[:, None, None, None]), 1.0)
    noise = np.random.default_rng(seed).normal(0, 1.0, signal.shape)
    return Series(np.abs(gain * (signal + noise)).astype(np.float32), GRID, "test"), times, GRID.image(lesion)


def prepared(**how):
    made, times, _ = series(**how)
    return prepare(made, times, DceSettings(), None)


@pytest.fixture(scope="module")
def case():
    made, times, lesion = series()
    maps = {
        n: GRID.image(np.where(boolean(lesion), v, v / 4).astype(np.float32)) for n, v in zip(NAMES, (0.1, 0.05, 0.3))
    }
    return training_case(Labelled(made, times, maps, lesion), np.random.default_rng(1), 4)


# ------------------------------------------------------------------------------------------------------------- the signal


def test_sixty_frames_of_5_s_are_taken_as_they_are_in_units_of_the_head():
    p = prepared()
    raw = raw_curves(p)
    assert raw.curves.shape == (p.region.sum(), FRAMES)
    np.testing.assert_allclose(raw.curves, p.raw / np.median(p.raw[:, :6].mean(axis=1)) - 1.0, atol=2e-3)
    assert not raw.notes
    assert not raw.unlike


def test_a_gain_of_the_scanner_changes_nothing():
    np.testing.assert_allclose(raw_curves(prepared()).curves, raw_curves(prepared(gain=7.5)).curves, atol=1e-4)


def test_the_agent_comes_at_30_s_whatever_the_delay_of_the_injection():
    early, late = (raw_curves(prepared(arrival_s=a)).curves.mean(axis=0) for a in (26.0, 56.0))
    frame = int(ARRIVAL_S / INTERVAL_S)
    assert abs(late[frame - 1]) < 0.02
    np.testing.assert_allclose(late[: FRAMES - 6], early[: FRAMES - 6], atol=0.01)


def test_another_number_and_interval_of_frames_is_resampled_and_said():
    raw = raw_curves(prepared(n=100, dt=3.5))
    assert raw.curves.shape[1] == FRAMES
    assert "the series has 100 frames of 3.5 s" in raw.notes[0]
    np.testing.assert_allclose(
        raw.curves.mean(axis=0)[-20:], raw_curves(prepared()).curves.mean(axis=0)[-20:], atol=0.02
    )
    assert not raw.unlike


def test_a_short_series_is_held_at_its_end_and_counts_as_unlike():
    raw = raw_curves(prepared(n=30))
    assert any("come after the series" in note for note in raw.notes)
    np.testing.assert_array_equal(raw.curves[:, -1], raw.curves[:, 30])
    assert any("after the agent's arrival" in why for why in raw.unlike)


def test_another_repetition_time_flip_angle_and_voxel_are_unlike():
    settings = DceSettings(tr_ms=7.0, flip_angle_deg=30.0)
    said = raw_curves(prepared(), settings).unlike
    assert said == ["its repetition time is 7 ms", "its flip angle is 30 degrees"]
    assert raw_curves(prepared(), DceSettings(tr_ms=3.5, flip_angle_deg=10.0)).unlike == []


# -------------------------------------------------------------------------------------------------------------- the cases


def test_a_case_holds_its_slices(case, tmp_path):
    assert case.rows.shape[0] == 4
    back = case.slices(case.labels.astype(np.float32), [1])[0]
    assert back.shape == (3, *case.rows.shape[1:])
    np.testing.assert_array_equal(
        np.moveaxis(back, 0, -1)[case.rows[1] >= 0], case.labels[case.rows[1][case.rows[1] >= 0]]
    )
    save_case(case, tmp_path / "0.npz")
    for name, values in vars(load_case(tmp_path / "0.npz")).items():
        np.testing.assert_array_equal(values, getattr(case, name))


def test_half_of_the_patches_lie_about_the_lesion(case):
    rows = [patch_rows(case, np.random.default_rng(i), True) for i in range(5)]
    assert all(case.lesion[r].any() for r in rows)
    curves, labels = patches([case], np.random.default_rng(3), 2)
    assert curves.shape[1] == FRAMES
    assert labels.shape == (len(curves), 3)


def test_slices_of_two_sizes_are_filled_up_and_mirrored(case):
    small = replace(case, rows=case.rows[:, :-2])
    maps = [case.labels.astype(np.float32)] * 2
    images, labels, inside = slices([case, small], maps, [(0, 1), (1, 1)], np.array([True, False]))
    np.testing.assert_array_equal(images, labels)
    assert (inside[1, 0, -2:] == 0).all()
    plain, _, _ = slices([case, small], maps, [(0, 1), (1, 1)])
    np.testing.assert_array_equal(images[0], plain[0][..., ::-1])
    np.testing.assert_array_equal(images[1], plain[1])


# ----------------------------------------------------------------------------------------------------------- the networks


def count(network, *names):
    return sum(p.numel() for name in names for p in network[name].parameters())


def test_sizes_are_those_of_the_released_code():
    pytest.importorskip("torch")
    from gliosuite.perfusion.synthesis.lyoo2025 import networks

    assert sum(p.numel() for p in networks.build_tcn(normed=True).parameters()) == pytest.approx(22.5e3, rel=0.01)
    unet = networks.build_unet(posterior=True)
    assert count(unet, "down", "up") == pytest.approx(2.26e6, rel=0.005)
    assert count(unet, "prior", "prior_last") == pytest.approx(1.37e6, rel=0.005)
    assert count(unet, "posterior", "posterior_last") == pytest.approx(1.37e6, rel=0.005)
    assert not [name for name in networks.build_unet() if name.startswith("posterior")]


def test_a_frame_sees_none_that_come_after_it_and_weight_norm_comes_off():
    torch = pytest.importorskip("torch")
    from gliosuite.perfusion.synthesis.lyoo2025 import networks

    torch.manual_seed(0)
    tcn = networks.build_tcn(normed=True)
    curves = torch.randn(5, FRAMES)
    before = networks.apply_tcn(tcn, curves).detach()
    torch.testing.assert_close(networks.apply_tcn(networks.plain(tcn), curves), before)
    # The last layer reads the time course; with its weight on one frame alone, later frames do not matter.
    with torch.no_grad():
        tcn["last"].weight.zero_()
        tcn["last"].weight[:, 20] = 1.0
        later = curves.clone()
        later[:, 21:] += 1.0
        torch.testing.assert_close(networks.apply_tcn(tcn, later), networks.apply_tcn(tcn, curves))


def test_the_loss_is_that_of_the_paper():
    torch = pytest.importorskip("torch")
    from gliosuite.perfusion.synthesis.lyoo2025.train import weighted

    error = torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.4, -0.1]])
    truth = torch.tensor([[0.5, 0.1, 0.2], [0.3, 0.0, 0.6]])
    alpha = (35.0, 35.0, 5.0)
    expected = sum((e.abs().mean() + a * (e.abs() * y).mean()) for e, y, a in zip(error.T, truth.T, alpha))
    assert float(weighted(error, truth, alpha)) == pytest.approx(float(expected), rel=1e-6)


def test_divergence_of_gaussians():
    torch = pytest.importorskip("torch")
    from gliosuite.perfusion.synthesis.lyoo2025.networks import divergence

    one = (torch.zeros(1, 2), torch.zeros(1, 2))
    assert float(divergence(one, one)) == 0.0
    other = (torch.tensor([[1.0, -0.5]]), torch.tensor([[0.3, -0.2]]))
    normal = [torch.distributions.Normal(m, s.exp()) for m, s in (one, other)]
    expected = torch.distributions.kl_divergence(*normal).sum()
    torch.testing.assert_close(divergence(one, other)[0], expected)


# --------------------------------------------------------------------------------------------------- training and the maps


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    import torch
    from gliosuite.perfusion.synthesis.lyoo2025.card import card
    from gliosuite.perfusion.synthesis.lyoo2025.train import train_lyoo2025

    torch.set_num_threads(1)
    settings = Lyoo2025Training(patients=8, slices=2, tcn_steps=3, tcn_patches=1, unet_steps=2, unet_slices=1)
    maps = {n: GRID.image(np.full(GRID.shape, v, np.float32)) for n, v in zip(NAMES, (0.1, 0.05, 0.3))}
    asked = []

    def patient(i):
        asked.append(i)
        made, times, lesion = series(seed=i)
        return Labelled(made, times, maps, lesion)

    folder = tmp_path_factory.mktemp("training")
    model = train_lyoo2025(patient, settings, folder)
    write_model(folder / "model", model, card(model))
    return settings, folder, patient, asked, read_model(folder / "model", KIND)


def test_training_is_taken_up_again_and_gives_the_same_weights(trained, tmp_path):
    from gliosuite.perfusion.synthesis.lyoo2025.train import train_lyoo2025

    settings, folder, patient, asked, model = trained
    assert asked == list(range(8))
    again = train_lyoo2025(patient, settings, folder)
    assert len(asked) == 8
    afresh = train_lyoo2025(patient, settings, tmp_path)
    for other in (again, afresh):
        for name, values in model.weights.items():
            np.testing.assert_array_equal(values, other.weights[name])
    assert not [name for name in model.weights if "posterior" in name]
    assert model.about["held_out_loss"]["unet"] > 0
    assert "NRMSE" in (folder / "model" / "card.md").read_text()


def test_a_changed_label_changes_no_map(trained):
    """The latent comes from the prior, which sees no label: weights of the posterior net are neither kept nor asked for."""
    torch = pytest.importorskip("torch")
    from gliosuite.perfusion.synthesis.lyoo2025 import networks
    from gliosuite.perfusion.synthesis.lyoo2025.inference import Networks

    *_, model = trained
    made, times, _ = series()
    raw = raw_curves(prepare(made, times, DceSettings(), None))
    asked = []

    class Watched(dict):
        def __getitem__(self, name):
            asked.append(name)
            return super().__getitem__(name)

    ready = Networks.of(model)
    full = networks.build_unet(posterior=True)
    full.load_state_dict(ready.unet.state_dict(), strict=False)
    watched = replace(ready, unet=Watched(full.items()))
    images = np.random.default_rng(0).random((2, 3, 12, 10)).astype(np.float32)
    before = watched.samples(images)
    assert not [name for name in asked if name.startswith("posterior")]
    assert {"prior", "prior_last", "combine"} <= set(asked)
    with torch.no_grad():
        for parameter in full["posterior"].parameters():
            parameter.add_(1.0)
    np.testing.assert_array_equal(watched.samples(images), before)
    assert (before[0] != before[1]).any()
    assert ready.first(raw.curves[:7]).shape == (7, 3)


def test_maps_are_means_of_samples_and_do_not_depend_on_the_mask(trained):
    from gliosuite.perfusion.synthesis.lyoo2025 import lyoo2025

    *_, model = trained
    made, times, lesion = series()
    whole = lyoo2025(made, times, DceSettings(), model=model)
    part = lyoo2025(made, times, DceSettings(), lesion, model)
    inside = boolean(lesion)
    for name in NAMES:
        np.testing.assert_array_equal(array(whole.maps[name])[inside], array(part.maps[name])[inside])
        assert (array(part.maps[name])[~inside] == 0).all()
        low, value, high = (array(of[name])[inside] for of in (whole.lower, whole.maps, whole.upper))
        assert (low <= value).all()
        assert (value <= high).all()
    first = lyoo2025(made, times, DceSettings(), model=model, one_stage=True)
    assert (array(first.sd["ve"]) == 0).all()
    assert any("neither AIF nor T1" in note for note in whole.notes)


def test_curves_unlike_those_trained_on_are_marked(trained):
    from gliosuite.perfusion.synthesis.lyoo2025 import lyoo2025

    *_, model = trained
    made, times, lesion = series()
    frames = made.frames.copy()
    frames[20:, boolean(lesion)] *= 0.4
    found = lyoo2025(Series(frames, GRID, "test"), times, DceSettings(), model=model)
    assert (array(found.outside)[boolean(lesion)] == 1).all()
    assert array(found.outside).sum() < boolean(found.mask).sum()
    assert found.record["outside_share"] > 0
    all_of_it = lyoo2025(made, times, DceSettings(tr_ms=9.0), model=model)
    assert all_of_it.record["outside_share"] == 1.0
    assert any("unlike those the networks were trained on: its repetition time" in n for n in all_of_it.notes)


def test_what_is_no_signal_or_shows_no_bolus_is_refused(trained):
    from gliosuite.perfusion.synthesis.lyoo2025 import lyoo2025

    *_, model = trained
    made, times, _ = series()
    with pytest.raises(InputError, match="test holds concentration; lyoo2025 takes raw signal"):
        lyoo2025(made, times, DceSettings(input="concentration"), model=model)
    still = Series(np.repeat(made.frames[:1], 60, axis=0), GRID, "test")
    with pytest.raises(InputError, match="shows no bolus"):
        lyoo2025(still, times, DceSettings(), model=model)


def test_a_summary_knows_a_baseline_from_an_end():
    curves = raw_curves(prepared()).curves
    told = summary(curves)
    assert abs(np.median(told[:, 0])) < 0.01
    assert (told[:, 1] <= told[:, 0]).all()
    assert (told[:, 2] >= told[:, 3]).all()


def test_the_shipped_weights_are_small_and_have_no_net_that_sees_labels():
    model = read_model(shipped(KIND), KIND)
    assert not [name for name in model.weights if "posterior" in name]
    assert {values.dtype for values in model.weights.values()} == {np.dtype(np.float16)}
    assert sum(values.nbytes for values in model.weights.values()) <= 10e6
    assert sum(values.size for name, values in model.weights.items() if name.startswith("unet.")) > 3.6e6
    # The default schedule is the one that made them.
    made = model.about["settings"]
    assert {name: made[name] for name in vars(Lyoo2025Training())} == vars(Lyoo2025Training())
