import numpy as np
import pytest
from gliosuite.perfusion.dce.aif import _clean_baseline


@pytest.mark.parametrize("late, left", [(0, 10), (1, 9), (2, 8)])
def test_frames_with_agent_at_the_end_of_a_baseline_are_left_out(late, left):
    rng = np.random.default_rng(2)
    signal = np.full((500, 10), 0.8)
    signal[:, 10 - late :] = 1.2
    noisy = np.hypot(signal + rng.normal(0, 1, signal.shape), rng.normal(0, 1, signal.shape))
    assert _clean_baseline(noisy, 10) == left
    assert _clean_baseline(noisy[:1], 10) == 10  # one voxel tells nothing


def test_a_short_baseline_is_kept():
    assert _clean_baseline(np.array([[1.0, 1.0, 5.0], [1.0, 1.1, 5.0]]), 3) == 3
