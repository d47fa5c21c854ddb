"""What the network is shown, and what training does to it."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.recurrence.inputs import SEEN
from gliosuite.recurrence.network import augment
from gliosuite.recurrence.network.shown import Shown, channels_in, known_of

from Testing.unit.recurrence.conftest import patient

LOW, HIGH = np.zeros(len(SEEN), np.float32), np.full(len(SEEN), 2.0, np.float32)
ADC, FLAIR = SEEN.index("adc"), SEEN.index("flair")


@pytest.fixture(scope="module")
def one():
    return Shown.of(patient(3))


def test_images_are_carried_onto_0_to_1_and_what_is_missing_is_0_and_said_so(one):
    x = one.stacked(LOW, HIGH)
    assert x.shape == (channels_in(SEEN), *one.region.shape)
    assert np.isfinite(x).all()
    assert x.min() == 0
    assert x.max() == 1
    normal = x[FLAIR][one.inner].mean()
    assert normal == pytest.approx(0.5, abs=0.03), "half-way, since normal brain is 1"
    assert x[known_of(ADC)].all()
    for name in ("fa", "cbv"):
        assert not x[SEEN.index(name)].any()
        assert not x[known_of(SEEN.index(name))].any()


def test_nothing_of_a_later_visit_is_shown(one):
    other = patient(3)
    other = Shown.of(replace(other, target=other.masks["t2l"]))
    assert np.array_equal(one.stacked(LOW, HIGH), other.stacked(LOW, HIGH))
    assert one.share > other.share > 0
    assert Shown.of(replace(patient(3), target=None)).target is None


def test_voxels_that_were_not_measured_are_missing_one_by_one():
    whole = patient(3)
    adc = whole.images["adc"].copy()
    adc[:, :, 14:] = np.nan
    x = Shown.of(replace(whole, images=whole.images | {"adc": adc})).stacked(LOW, HIGH)
    known = x[known_of(ADC)] > 0
    assert 0.2 < known.mean() < 0.8
    assert (x[ADC][~known] == 0).all()
    assert (x[ADC][known] > 0).all()


def test_kinds_of_scan_are_hidden_and_what_is_needed_never(one):
    seen = [np.isfinite(augment.hidden(np.random.default_rng(i), one).images).any((1, 2, 3)) for i in range(60)]
    shares = np.mean(seen, axis=0)
    assert shares[FLAIR] == shares[SEEN.index("t1c")] == 1
    assert 0.4 < shares[ADC] < 0.9


def test_two_images_change_places_with_where_they_were_measured(one):
    x = one.stacked(LOW, HIGH)
    changed = [augment.swapped(np.random.default_rng(i), x.copy()) for i in range(150)]
    other = [c for c in changed if not np.array_equal(c, x)]
    assert 0 < len(other) < 40
    for c in other:
        i = int(np.flatnonzero([np.array_equal(c[k], x[ADC]) for k in range(len(SEEN))])[0])
        assert i >= 2
        assert c[known_of(i)].all()
        assert np.array_equal(c[:2], x[:2])


def test_turning_moves_all_channels_alike_and_keeps_their_size(one):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(np.stack([one.region, one.region * 2.0]).astype(np.float32))[None]
    for i in range(6):
        y = augment.turned(torch, np.random.default_rng(i), x)
        assert torch.allclose(2 * y[:, 0], y[:, 1])
        inside = torch.nn.functional.pad(torch.ones_like(x[..., 6:-6, 6:-6, 6:-6]), (6,) * 6)
        assert float((y * inside)[0, 0].sum() / (x * inside)[0, 0].sum()) == pytest.approx(1, abs=0.15)


def test_a_turn_is_a_turn_in_mm_whatever_the_sides():
    """A ball off the middle comes to lie where the rotation puts it, and stays a ball."""
    torch = pytest.importorskip("torch")
    shape = (24, 40, 32)
    z, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    ball = ((z - 2) ** 2 + (y - 8) ** 2 + (x + 5) ** 2 <= 16).astype(np.float32)
    for seed in range(20):
        found = augment.turned(torch, np.random.default_rng(seed), torch.from_numpy(ball)[None, None])[0, 0].numpy()
        mean = lambda of: np.array([(of * c).sum() for c in (z, y, x)]) / of.sum()
        assert np.linalg.norm(mean(found)) == pytest.approx(np.linalg.norm(mean(ball)), rel=0.02)
        assert found.sum() == pytest.approx(ball.sum(), rel=0.05)


def test_noise_is_on_what_was_measured_alone(one):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(one.stacked(LOW, HIGH))[None]
    y = augment.noisy(torch, np.random.default_rng(1), x)
    changed = (x != y)[0].flatten(1).float().mean(1).numpy()
    assert changed[FLAIR] > 0.99
    assert not changed[SEEN.index("fa")]
    assert not changed[len(SEEN) :].any()
    assert float((x - y).std()) < 0.03
