"""What the perfusion steps of a run say."""

import pytest
from gliosuite.errors import InputError
from gliosuite.pipeline.maps import own_options


def test_a_run_names_its_own_options():
    with (
        pytest.raises(
            InputError, match=r"^late \(--dsc-baseline N, if it does\); --dsc-arrival is 3 s; no --baseliner$"
        ),
        own_options("dsc"),
    ):
        raise InputError("late (--baseline N, if it does); --arrival is 3 s; no --baseliner")
    with own_options("dce"):
        pass
