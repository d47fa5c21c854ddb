"""Patients made of balls with a progression whose classes are known by hand."""

import numpy as np
import pytest
from gliosuite.recurrence.followup.classes import Followed

from ..conftest import patient


def followed(seed: int, informative: bool = True) -> Followed:
    """What was seen stays, and the ball that progresses enhances in its lower half; ADC is low in all of it beforehand."""
    one = patient(seed, informative)
    new = one.target & ~one.masks["t2l"]
    lower = np.arange(new.shape[0])[:, None, None] < np.argwhere(new)[:, 0].mean()
    later = {"cel": one.masks["cel"] | (new & lower), "t2l": one.target}
    return Followed(f"p{seed}", one, later, np.zeros(new.shape, bool))


@pytest.fixture(scope="session")
def cohort():
    return [followed(i) for i in range(12)]
