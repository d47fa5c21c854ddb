import numpy as np
import pytest
from gliosuite.simulate import growth, lesion, scatter
from gliosuite.simulate.phantom import build_head, positions
from scipy import ndimage


@pytest.fixture(scope="module")
def scene():
    head = build_head(3, 3.0, 12.0)
    part = growth.region(head)
    inside = (sum((p - c) ** 2 for p, c in zip(positions(part.fine), head.seed_mm)) < 12**2) & part.fine_allowed
    nothing = np.zeros_like(inside)
    return part, lesion.see(part, 0.9 * inside, inside, nothing, nothing, 20.0, 3)


def test_volumes_are_those_asked_for(scene):
    part, treated = scene
    found = scatter.scatter(part, treated, 8.0, 40.0, 1, None)
    assert found.inside.sum() * part.fine.voxel_cc == pytest.approx(8.0, rel=0.1)
    assert found.t2l.sum() * part.fine.voxel_cc == pytest.approx(40.0, rel=0.1)
    assert found.t2l[found.inside].mean() > 0.98


def test_it_is_nearer_the_lesion_than_not_and_ignores_tissue(scene):
    part, treated = scene
    away = ndimage.distance_transform_edt(~treated.t2l, sampling=part.fine.spacing)
    shell = (away > 2) & (away < 8) & part.fine_brain & ~part.fine_ventricles
    grey = part.refine(part.gm)
    differences = []
    for seed in range(40):
        found = scatter.scatter(part, treated, 8.0, 40.0, seed, None)
        new = found.t2l & shell
        assert away[found.t2l].mean() < 0.5 * away[part.fine_brain].mean()
        differences.append(grey[new].mean() - grey[shell & ~new].mean())
    assert abs(np.mean(differences)) < 3 * np.std(differences) / np.sqrt(40)


def test_the_hidden_field_tells_where(scene):
    part, treated = scene
    away = ndimage.distance_transform_edt(~treated.t2l, sampling=part.fine.spacing)
    shell = (away > 2) & (away < 8) & part.fine_allowed
    gains = []
    for seed in range(20):
        hidden = scatter.hidden_field(part, seed)
        found = scatter.scatter(part, treated, 8.0, 40.0, seed, hidden)
        gains.append(hidden[found.t2l & shell].mean() - hidden[shell & ~found.t2l].mean())
    assert np.mean(gains) > 0.4
