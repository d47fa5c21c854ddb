"""Habitats in the scene: a segment a pattern with its voxels, title and colour, and a chart of the mean curves."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.habitats.model import apply, shipped
from gliosuite.recurrence.habitats.output import record_of, write
from tissuecurves import tissue_patient


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a run leaves of a small patient."""
    place = tmp_path_factory.mktemp("results") / "habitats"
    found = apply(shipped(), tissue_patient(3, 20)[0])
    write(found, record_of(found, shipped()), place)
    return place.parent


def test_patterns_are_segments_and_curves_a_chart(slicer, folder):
    from gliosuite.images import array, read_image
    from gliosuite.mrml.habitats import load
    from gliosuite.mrml.segments import mask_from_segment

    found = load(str(folder))
    image = read_image(folder / "habitats" / "habitats.nii.gz")
    segments = found.segmentation.GetSegmentation()
    assert segments.GetNumberOfSegments() == len(found.patterns)
    for i, row in enumerate(found.patterns):
        segment = segments.GetNthSegment(i)
        assert segment.GetName() == row["title"]
        np.testing.assert_allclose(
            segment.GetColor(), [int(row["color"][k : k + 2], 16) / 255 for k in (1, 3, 5)], atol=1e-6
        )
        own = array(mask_from_segment(found.segmentation, segments.GetNthSegmentID(i), image))
        np.testing.assert_array_equal(own > 0, array(image) == row["value"])
    assert found.chart.GetNumberOfPlotSeriesNodes() == len(found.patterns)
    assert any("simulated patients alone" in n for n in found.notes)
    again = load(str(folder / "habitats"))
    assert again.segmentation.GetName() == "Habitats (2)"


def test_a_folder_without_habitats_is_refused(slicer, tmp_path):
    from gliosuite.mrml.habitats import load

    with pytest.raises(InputError, match="no folder is chosen"):
        load("")
    with pytest.raises(InputError, match=r"holds no habitats\.json"):
        load(str(tmp_path))
