"""The cut that parts survival most, on times that depend on a value and on times that do not."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.statistics.survival import best_cut


def test_the_best_cut_parts_groups_and_pays_for_the_choice():
    rng = np.random.default_rng(8)
    x = rng.uniform(0, 10, 120)
    times = rng.exponential(np.where(x > 6, 1.0, 4.0))
    cut = best_cut(x, times, np.ones(120, bool), 1, draws=400)
    assert abs(cut.value - 6) < 1
    assert cut.p < 0.01
    unrelated = [best_cut(rng.uniform(0, 10, 60), times[:60], np.ones(60, bool), s, draws=200).p for s in range(60)]
    assert 0.01 <= np.mean(np.array(unrelated) < 0.1) <= 0.2
    with pytest.raises(InputError, match="leave no cut"):
        best_cut(np.ones(60), times[:60], np.ones(60, bool), 1)
