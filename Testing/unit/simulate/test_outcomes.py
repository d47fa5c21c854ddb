import numpy as np
import pytest
from gliosuite.simulate.biology import Tumours, draw_biology
from gliosuite.simulate.outcomes import People, draw_person, draw_times


def people(n, seed0=0, **options):
    law, tumours = People(), Tumours()
    rows = []
    for seed in range(seed0, seed0 + n):
        person = draw_person(seed, law, draw_biology(seed, tumours), tumours)
        rows.append(draw_times(seed, law, person, {}, **options))
    return rows


def test_clinical_keys_are_the_contracts_and_in_range():
    for row in people(60):
        c = row.clinical
        assert 18 <= c["age"] <= 90
        assert c["sex"] in ("F", "M")
        assert c["kps"] in (70, 80, 90, 100)
        assert c["mgmt"] in ("methylated", "unmethylated")
        assert c["resection"] in ("GTR", "STR", "biopsy")
        assert 30 <= c["pfs_days"] <= c["os_days"]
        assert c["pfs_event"] == 1


def test_covariates_are_centred():
    rows = people(1500)
    for name in ("unmethylated", "residual", "proliferation"):
        assert np.mean([r.covariates[name] for r in rows]) == pytest.approx(0, abs=0.09)


def test_who_recurs_within_a_year_does_so_before_it_and_others_are_censored():
    assert max(r.clinical["pfs_days"] for r in people(60, within_days=365)) <= 365
    for row in people(60, within_days=365, recurred=False):
        assert (row.clinical["pfs_days"], row.clinical["pfs_event"]) == (365, 0)
        assert row.clinical["os_days"] >= 365


def test_death_is_censored_at_the_end_of_the_study():
    rows = people(300)
    censored = [r for r in rows if not r.clinical["os_event"]]
    assert 0 < len(censored) < 150
    for row in censored:
        assert row.clinical["os_days"] < row.clinical["pfs_days"] + row.after_days


def test_biology_leaves_room_for_the_core_in_the_t2_lesion():
    for tumours, before in ((Tumours(), False), (Tumours(), True)):
        for seed in range(400):
            b = draw_biology(seed, tumours, before)
            left = 1.0 if before else 1 - b.removed
            assert left * b.core_cc <= 0.81 * b.t2l_cc or before
            assert 3 <= b.cel_cc <= 40
            assert b.cel_cc <= b.room_cc
