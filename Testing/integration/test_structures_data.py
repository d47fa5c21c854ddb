"""The template's structures against an atlas drawn by hand, which is used for nothing else."""

import numpy as np
import pytest
from gliosuite.atlas import LABELS, template_structures
from gliosuite.images import Grid, array, read_image, resample

# Values of the Neuromorphometrics labels. Its brainstem ends in front at a coronal plane, ours holds the whole cerebral peduncles.
ATLAS = {"brainstem": (35,), "thalami": (59, 60), "cerebellum": (38, 39, 40, 41, 71, 72, 73)}


@pytest.mark.parametrize("name", ATLAS)
def test_overlap_with_an_atlas(data, name):
    atlas = read_image(data("mni-atlas/labels_Neuromorphometrics.nii.gz"))
    ours = array(resample(template_structures(), Grid.of(atlas), interpolation="nearest")) == LABELS[name]
    truth = np.isin(np.round(array(atlas)), ATLAS[name])
    dice = 2 * (ours & truth).sum() / (ours.sum() + truth.sum())
    print(f"{name}: Dice {dice:.3f}, {ours.sum() * 1.5**3 / 1000:.1f} cc, atlas {truth.sum() * 1.5**3 / 1000:.1f} cc")
    assert dice >= 0.75
