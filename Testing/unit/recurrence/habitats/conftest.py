"""A cohort of five tissue types, and a model of it that is trained once."""

import pytest
from tissuecurves import tissue_patient


@pytest.fixture(scope="session")
def cohort():
    return [tissue_patient(100 + i, 20)[0] for i in range(10)]


@pytest.fixture(scope="session")
def model(cohort, tmp_path_factory):
    pytest.importorskip("torch")
    from gliosuite.recurrence.habitats.model import fit
    from gliosuite.recurrence.habitats.settings import HabitatTraining

    return fit(cohort, HabitatTraining(steps=150, batch=256), tmp_path_factory.mktemp("habitats"))
