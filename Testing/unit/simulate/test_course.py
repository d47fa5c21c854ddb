import numpy as np
import pytest
from gliosuite.simulate import course, growth
from gliosuite.simulate.biology import draw_biology
from gliosuite.simulate.phantom import build_head
from gliosuite.simulate.presets import preset


def followed(seed, name):
    chosen = preset(name)
    biology = draw_biology(seed, chosen.tumours, chosen.preoperative)
    head = build_head(seed, 3.0, 14.0, mass_effect=biology.mass_effect)
    part = growth.region(head)
    return part, biology, course.follow(head, part, biology, chosen, seed)


@pytest.fixture(scope="module", params=[4, 5, 9])
def patient(request):
    return followed(request.param, "default")


def test_masks_do_not_overlap_and_lie_in_the_brain(patient):
    part, _, found = patient
    for lesion in (found.baseline, found.followup):
        stacked = lesion.cel.astype(int) + lesion.necrosis + lesion.cavity
        assert stacked.max() == 1
        assert not (lesion.t2l & lesion.cavity).any()
        assert lesion.t2l[lesion.cel].all()
        assert not (lesion.t2l & ~part.fine_brain).any()
        assert lesion.cel.any()
        assert 0 <= lesion.oedema.min() <= lesion.oedema.max() <= 1


def test_volumes_are_those_drawn(patient):
    _, biology, found = patient
    assert found.facts["baseline_t2l_cc"] == pytest.approx(biology.t2l_cc, rel=0.05)
    assert found.facts["grown_cel_cc"] == pytest.approx(biology.cel_cc, rel=0.25)
    assert found.facts["removed_share"] == pytest.approx(biology.removed, abs=0.03)


def test_recurrence_is_new_and_keeps_the_cavity(patient):
    _, _, found = patient
    assert found.clinical["pfs_days"] >= 30
    assert found.clinical["os_days"] >= found.clinical["pfs_days"]
    assert (found.followup.cel & ~found.baseline.cel).any()
    assert np.array_equal(found.followup.cavity, found.baseline.cavity)
    assert found.followup.t2l[found.baseline.t2l & ~found.baseline.cavity].all()
    assert found.facts["extent"] in course.PATTERNS_OF_S3
    assert found.facts["regrowth_rate_factor"] > 0


def test_before_surgery_there_is_no_cavity_and_after_it_there_is():
    _, biology, found = followed(5, "habitats")
    assert not found.baseline.cavity.any()
    assert biology.extent != "biopsy"
    assert found.treated.cavity.any()
    assert found.followup.cavity.any()
    assert found.baseline.cel.sum() > found.treated.cel.sum()


def test_kinds_of_progression():
    kinds = {}
    for seed in range(14):
        part, _, found = followed(seed, "arms")
        kind = found.facts["progression_kind"]
        kinds.setdefault(kind, []).append(found)
        new_t2l = (found.followup.t2l & ~found.baseline.t2l & ~found.followup.core).sum() * part.fine.voxel_cc
        if kind == "T2L":
            assert not found.followup.cel.any()
            assert new_t2l > 1
        else:
            assert found.followup.cel.any()
    assert {"T2L", "both"} <= set(kinds)


def test_recurrence_foci_lie_where_ve_is_raised_and_enhance_later():
    seen = 0
    for seed in range(10):
        part, _, found = followed(seed, "ve-foci")
        focus = found.planted.maps.get("recurrence_focus")
        if focus is None:
            assert found.clinical["pfs_event"] == 0
            assert not found.followup.cel.any()
            continue
        seen += 1
        assert not (focus & found.baseline.core).any()
        assert found.baseline.t2l[focus].all()
        assert found.planted.fields["log_ve"][focus].mean() > 0.2
        free = focus & ~found.treated.cavity
        if free.sum() * part.fine.voxel_cc > 0.2:
            assert found.followup.cel[free].mean() > 0.9
        assert found.clinical["pfs_days"] <= 365
    assert 1 <= seen <= 9


def test_twins_differ_only_in_what_is_planted():
    drawn = ((i, followed(i, "ve-foci")[2]) for i in range(9))
    seed, effect = next((i, found) for i, found in drawn if "recurrence_focus" in found.planted.maps)
    _, _, twin = followed(seed, "ve-foci-twin")
    assert np.array_equal(effect.baseline.t2l, twin.baseline.t2l)
    assert effect.clinical == twin.clinical
    assert set(effect.planted.fields) == {"log_ve", "log_ktrans", "log_t1"}
    for name, values in effect.planted.fields.items():
        assert np.abs(values).max() > 0.2
        assert np.abs(twin.planted.fields[name]).max() == 0


def test_habitats_fill_the_lesion_and_drive_the_hazard():
    part, _, found = followed(4, "habitats")
    labels = found.planted.maps["habitats"]
    assert (labels[found.baseline.cel] > 0).all()
    assert set(np.unique(labels[found.baseline.cel])) <= {1, 2, 3, 4}
    nel = found.baseline.t2l & ~found.baseline.core
    assert set(np.unique(labels[nel])) <= {5, 6, 7, 8}
    cc = found.facts["habitat_cc"]["nel infiltrated oedema"]
    assert cc == pytest.approx((labels == 7).sum() * part.fine.voxel_cc)
    assert found.facts["covariates"]["infiltrated"] == pytest.approx(np.log(1.88) * (cc - 8) / 10)
    _, _, twin = followed(4, "habitats-twin")
    assert twin.facts["covariates"]["infiltrated"] == 0


def test_how_far_tells_s3s_classes():
    part, _, found = followed(4, "default")
    near = course.how_far(part, found.baseline, found.baseline)
    assert near["extent"] == "within T2L"
    assert near["beyond_2cm_cc"] == 0
