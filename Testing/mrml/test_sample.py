"""The digital patient: what its nodes hold, and its T1c in the application's DICOM database."""

from pathlib import Path

import pytest
from gliosuite.images import boolean


class Database:
    """Stands for ``slicer.dicomDatabase``."""

    isOpen = True  # noqa: N815

    def __init__(self):
        self.inserted = []

    def insert(self, path, store, thumbnail):
        self.inserted.append((Path(path).name, store))


@pytest.mark.slow
def test_a_digital_patient_is_made_and_loaded(slicer, logic, monkeypatch):
    from gliosuite.mrml.rt.matching import match_segments
    from gliosuite.mrml.sample import digital_patient
    from gliosuite.mrml.segments import mask_from_segment
    from gliosuite.mrml.volumes import grid_of

    database = Database()
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    nodes = digital_patient(grid_mm=5.0)
    assert {"t1c", "flair", "dce", "dsc", "masks"} <= set(nodes)
    found = match_segments(nodes["masks"])
    assert {"brain", "cel", "t2l", "cavity"} <= {role for role, match in found.items() if match.identifier}
    brain, lesion = (
        mask_from_segment(nodes["masks"], found[r].identifier, grid_of(nodes["t1c"])) for r in ("brain", "t2l")
    )
    assert boolean(brain)[boolean(lesion)].mean() > 0.99
    uids = nodes["t1c"].GetAttribute("DICOM.instanceUIDs").split()
    assert len(uids) == len(set(uids)) == len(database.inserted) == grid_of(nodes["t1c"]).size[2]
    assert all(store for _, store in database.inserted), "the database keeps copies: the folder is gone"
