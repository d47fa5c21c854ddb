"""Numbers are the same by distance, not by what they round to; places of slices; clocks that run past midnight."""

import numpy as np
import pytest
from gliosuite.dicom.likeness import linked, linked_rows, past_midnight, places


def test_close_numbers_are_the_same_wherever_they_lie():
    for edge in (0.05, 29.95, 0.9995):
        assert linked([edge - 1e-6, edge + 1e-6, None, edge + 1.0], 1e-3) == [0, 0, -1, 1]
    assert linked([], 1.0) == []
    assert linked([None, None], 1.0) == [-1, -1]


def test_noise_never_splits_what_is_one():
    rng = np.random.default_rng(5)
    for _ in range(50):
        direction = rng.normal(size=6)
        rows = direction + rng.uniform(-1e-4, 1e-4, (40, 6))
        assert len(set(linked_rows(rows.tolist(), 1e-3))) == 1


def test_rows_differ_where_one_number_does():
    labels = linked_rows([(0, 0, 1), (0, 0, 1.0005), None, (0, 0.3, 1)], 1e-3)
    assert labels[0] == labels[1] != labels[3]
    assert labels[2] == ()


DAY = 738000 * 86400.0


@pytest.mark.parametrize("start", [0.0, DAY])
def test_a_night_runs_on(start):
    assert past_midnight([start + 86391, None, start + 4.5]) == [start + 86391, None, start + 86404.5]


@pytest.mark.parametrize(
    "times",
    [
        [DAY + 8 * 3600, DAY + 21 * 3600],  # two sittings of one day
        [DAY + 86391, DAY + 86400 + 4.5],  # the date ran on too
        [DAY + 600, DAY + 3000],  # begun after midnight
    ],
)
def test_a_day_stays_as_it_is(times):
    assert past_midnight(times) == times


def test_slices_that_followed_the_head_are_in_one_place():
    rng = np.random.default_rng(3)
    drift = np.cumsum(rng.normal(0, 0.05, 20))
    along = (drift[:, None] + 5.0 * np.arange(4)).ravel()
    assert places(along, 5.0).tolist() == list(range(4)) * 20
    far = 0.31 * np.arange(20)  # by more than a slice in all: only the volumes' numbers tell
    along = (far[:, None] + 5.0 * np.arange(4)).ravel()
    assert len(set(places(along, 5.0))) == 80
    assert places(along, 5.0, [[None] * 80, np.repeat(range(20), 4).tolist()]).tolist() == list(range(4)) * 20


@pytest.mark.parametrize("thickness, step", [(5.0, 0.625), (5.0, 1.0), (1.0, 0.5), (5.0, 6.5), (None, 2.0)])
def test_overlapping_slices_are_places_of_their_own(thickness, step):
    along = step * np.arange(30)
    volumes = [[None] * 30, [1] * 30, list(range(30)), [i % 2 for i in range(30)]]
    assert places(along, thickness, volumes).tolist() == list(range(30))
