"""What the report says of diffusion, with and without FA. The heads are simulated."""

import diffusion_series as ds
import numpy as np
import pytest
from gliosuite.diffusion import Gradients, dti_maps, write
from gliosuite.report import DIFFUSION
from gliosuite.report.results import Results


@pytest.mark.parametrize("directions, pictures", [(ds.spread(12), 1), (ds.THREE, 0)])
def test_volumes_are_drawn_where_a_tensor_says_how_they_fit(tmp_path, directions, pictures):
    b, g = ds.scheme(directions, 2)
    grid, adc, fa, s0 = ds.head()
    made = dti_maps(ds.series(grid, adc, fa, s0, b, g, np.random.default_rng(1), 5.0), Gradients.of(b, g))
    write(made, tmp_path / "dti")
    text = DIFFUSION.content(Results(tmp_path, {}), True)
    assert text.count("<img") == pictures
    assert f"2 with b = 0 and {len(directions)} with b = 1000 s/mm2" in text
    assert ("FA 0." in text) == bool(pictures)


def test_a_run_without_diffusion_has_nothing_to_show(tmp_path):
    assert DIFFUSION.content(Results(tmp_path, {}), True) == ""
