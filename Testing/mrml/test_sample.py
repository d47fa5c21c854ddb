"""The digital patient: what its nodes hold, and its T1c in the application's DICOM database."""

import pytest
from gliosuite.images import boolean


@pytest.mark.slow
def test_a_digital_patient_is_made_and_loaded(slicer, logic, monkeypatch, tmp_path):
    from gliosuite.mrml.rt.matching import match_segments
    from gliosuite.mrml.sample import digital_patient
    from gliosuite.mrml.segments import mask_from_segment
    from gliosuite.mrml.volumes import grid_of
    from slicerapp.database import Database

    database = Database(tmp_path / "database")
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
    assert uids == list(database.files)
    assert len(uids) == len(list(database.store.iterdir())) == grid_of(nodes["t1c"]).size[2], (
        "the folder itself is gone"
    )
    assert "no patient was scanned" in database.instanceValue(uids[0], "0020,4000")
