"""Roles by attributes: names say nothing unless a test gives them one."""

import dicom_study as ds
import numpy as np
import pytest
from gliosuite.dicom.study import scan

FRAME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def series(n: int) -> np.ndarray:
    return np.stack([FRAME + t for t in range(n)])


def judged(folder, **options) -> dict[str, tuple[str | None, str]]:
    """Series id -> (role, why)."""
    return {e.id: (e.role, e.why) for v in scan(folder, **options).visits for e in v.entries}


def role_of(tmp_path, attributes, **more) -> tuple[str | None, str]:
    ds.classic(tmp_path, FRAME, ds.Patient(), 1, attributes, **more)
    return judged(tmp_path)["1"]


STRUCTURAL = {
    "t1": ds.T1,
    "t1c": ds.T1 | ds.GADOLINIUM,
    "t2": ds.T2,
    "flair": ds.FLAIR,
    "t1 spin echo": ds.T2 | {"RepetitionTime": 550, "EchoTime": 12, "FlipAngle": 90},
    "t1 spoiled gradient echo": ds.SPGR | {"RepetitionTime": 8.2, "EchoTime": 3.2, "FlipAngle": 20},
    "t2 with contrast agent": ds.T2 | ds.GADOLINIUM,
    "flair with contrast agent": ds.FLAIR | ds.GADOLINIUM,
    "adc": ds.DWI | {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]},
    "fa": ds.DWI | {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "FA"]},
    "b1": ds.SPGR | {"ImageType": ["DERIVED", "PRIMARY", "OTHER", "B1"]},
    "cho": ds.T2 | {"ImageType": ["DERIVED", "PRIMARY", "OTHER", "METABOLITE_MAP", "CHO"]},
    "ccri": ds.T2 | {"ImageType": ["DERIVED", "PRIMARY", "OTHER", "METABOLITE_MAP", "CCRI"]},
}


@pytest.mark.parametrize("name", STRUCTURAL)
def test_structural_series(tmp_path, name):
    role, why = role_of(tmp_path, STRUCTURAL[name])
    assert role == name.split()[0]
    assert why


NONE = {
    "localizer": ds.T1 | {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    "phase": ds.SPGR | {"ImageType": ["ORIGINAL", "PRIMARY", "P"]},
    "T2*": ds.SPGR | {"RepetitionTime": 30, "EchoTime": 20},
    "proton density": ds.T2 | {"EchoTime": 15},
    "nulls fat": ds.T2 | {"ScanningSequence": ["SE", "IR"], "InversionTime": 150, "EchoTime": 50},
    "an angiography": ds.SPGR | {"RepetitionTime": 22, "AngioFlag": "Y"},
    "the one b-value": ds.DWI | {"DiffusionBValue": 1000.0},
    "computed from other images": ds.EPI | {"ImageType": ["DERIVED", "PRIMARY", "RCBV"]},
    "balanced steady state": ds.SPGR | {"SequenceVariant": "SS", "FlipAngle": 60},
    "small flip angle": ds.SPGR | {"FlipAngle": 3},
    "values of a map": ds.SPGR | {"ImageType": ["ORIGINAL", "PRIMARY", "B0 MAP", "B0", "UNSPECIFIED"]},
    "ImageType B0": ds.SPGR | {"ImageType": ["ORIGINAL", "PRIMARY", "B0", "B0", "UNSPECIFIED"]},
    "ImageType T1 MAP": ds.T1 | {"ImageType": ["DERIVED", "PRIMARY", "T1 MAP", "ND"]},
    "ImageType T2_STAR_MAP": ds.SPGR | {"ImageType": ["DERIVED", "PRIMARY", "T2_STAR", "T2_STAR_MAP"]},
    "values in hz": ds.SPGR | {"RescaleType": "Hz"},
    "values in ms": ds.T1 | {"RescaleType": "ms"},
    "'t1 map'": ds.T1 | {"SeriesDescription": "T1_map_inline"},
    "the fat image": ds.T1 | {"ImageType": ["DERIVED", "PRIMARY", "M", "DIXON", "FAT"]},
}


@pytest.mark.parametrize("what", NONE)
def test_what_has_no_role_says_why(tmp_path, what):
    role, why = role_of(tmp_path, NONE[what])
    assert role is None
    assert what in why


def test_contrast_agent_decides_and_a_stated_none_does_not(tmp_path):
    assert role_of(tmp_path / "a", ds.T1 | {"ContrastBolusAgent": "NONE"})[0] == "t1"
    role, why = role_of(tmp_path / "b", ds.T1 | {"ContrastBolusVolume": 15, "SeriesDescription": "t1 nativ"})
    assert role == "t1c"
    assert "ContrastBolus" in why


def test_names_count_only_where_attributes_are_silent(tmp_path):
    role, why = role_of(tmp_path / "a", ds.T2 | {"SeriesDescription": "T1 mprage post gad"})
    assert role == "t2"
    role, why = role_of(tmp_path / "b", ds.T1 | {"SeriesDescription": "t1_mpr_sag_post"})
    assert (role, "its name says 'post'" in why) == ("t1c", True)
    role, why = role_of(tmp_path / "c", {"ScanningSequence": "SE", "SeriesDescription": "AX_FLAIR_fs"})
    assert (role, "its name says 'flair'" in why) == ("flair", True)
    role, why = role_of(tmp_path / "d", ds.T2 | {"SeriesDescription": "t2_tse_tra_restore"})
    assert role == "t2"


def test_t1_taken_for_planning_counts_as_contrast_enhanced_but_says_so(tmp_path):
    role, why = role_of(tmp_path, ds.T1 | {"StudyDescription": "Gamma Knife planning"})
    assert role == "t1c"
    assert "check this" in why


def test_t1_after_the_perfusion_series_is_contrast_enhanced(tmp_path):
    ds.classic(tmp_path / "a", FRAME, ds.Patient(), 1, ds.T1, start_s=35000)
    ds.siemens_dynamic(
        tmp_path / "b", series(12), [1.5 * t for t in range(12)], ds.Patient(), 2, ds.EPI | ds.GADOLINIUM
    )
    ds.classic(tmp_path / "c", FRAME, ds.Patient(), 3, ds.T1, start_s=37000)
    found = judged(tmp_path)
    assert found["1"][0] == "t1"
    assert found["3"][0] == "t1c"
    assert "after the perfusion series" in found["3"][1]


def test_a_contrast_agent_stated_for_every_series_tells_nothing(tmp_path):
    """Some scanners write the agent into all series once it has been entered."""
    ds.classic(tmp_path / "a", FRAME, ds.Patient(), 1, ds.T1 | ds.GADOLINIUM, start_s=35000)
    ds.classic(tmp_path / "b", FRAME, ds.Patient(), 2, ds.T2 | ds.GADOLINIUM, start_s=35500)
    ds.siemens_dynamic(
        tmp_path / "c", series(12), [1.5 * t for t in range(12)], ds.Patient(), 3, ds.EPI | ds.GADOLINIUM
    )
    ds.classic(tmp_path / "d", FRAME, ds.Patient(), 4, ds.T1 | ds.GADOLINIUM, start_s=37000)
    found = judged(tmp_path)
    assert [found[i][0] for i in "1234"] == ["t1", "t2", "dsc", "t1c"]


@pytest.mark.parametrize(
    "attributes, n, expected, why",
    [
        (ds.SPGR | ds.GADOLINIUM, 12, "dce", "T1-weighted dynamic"),
        (ds.EPI | ds.GADOLINIUM, 12, "dsc", "T2*-weighted echo-planar dynamic"),
        (ds.SPGR | {"EchoTime": 20, "RepetitionTime": 28} | ds.GADOLINIUM, 12, "dsc", "gradient-echo"),
        (ds.SPGR | ds.GADOLINIUM, 5, None, "5 time points"),
        (ds.EPI, 160, None, "functional MRI"),
        (ds.EPI | {"SeriesDescription": "pCASL"}, 12, None, "'pcasl'"),
    ],
)
def test_dynamic_series(tmp_path, attributes, n, expected, why):
    ds.siemens_dynamic(tmp_path, series(n), [2.0 * t for t in range(n)], ds.Patient(), 1, attributes)
    role, reason = judged(tmp_path)["1"]
    assert role == expected
    assert why in reason


@pytest.mark.parametrize("vendor", ["standard", "siemens", "ge", "philips"])
def test_diffusion_by_b_values(tmp_path, vendor):
    g = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    ds.diffusion(tmp_path, series(4), [0, 1000, 1000, 1000], g, ds.Patient(), 1, vendor)
    role, why = judged(tmp_path)["1"]
    assert role == "dti"
    assert "b = 0, 1000 s/mm2" in why


@pytest.mark.parametrize("vendor", ["philips", "ge", "siemens", "standard"])
def test_a_trace_weighted_volume_is_none_of_the_directions(tmp_path, vendor):
    """As Philips and GE append it: a b-value and no direction among volumes that have one."""
    g = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)]
    ds.diffusion(tmp_path, series(5), [0, 1000, 1000, 1000, 1000], g, ds.Patient(), 1, vendor)
    found = judged(tmp_path)
    assert {i: role for i, (role, _) in found.items()} == {"1a": "dti", "1b": None}
    assert "the one b-value 1000" in found["1b"][1]


def test_diffusion_without_any_direction_stays_together(tmp_path):
    ds.diffusion(tmp_path, series(3), [0, 500, 1000], [(0.0, 0.0, 0.0)] * 3, ds.Patient(), 1, "standard")
    assert judged(tmp_path)["1"][0] == "dti"


@pytest.mark.parametrize("where", ["standard", "ge"])
@pytest.mark.parametrize("component", [1, 2, 3])
def test_phase_and_magnitude_in_one_series_are_told_apart_by_their_component(tmp_path, where, component):
    names = ["MAGNITUDE", "PHASE", "REAL", "IMAGINARY"]

    def mark(d, t, z):
        kind = component if t % 2 else 0
        d.AcquisitionTime = ds.clock(36000 + 1.5 * (t // 2))
        if where == "standard":
            d.ComplexImageComponent = names[kind]
        else:
            d.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", kind)

    ds.classic(tmp_path, series(24), ds.Patient(), 1, ds.EPI | ds.GADOLINIUM, per_slice=mark)
    found = scan(tmp_path).visits[0].entries
    assert [(e.id, e.role, e.series.n_times) for e in found] == [("1a", "dsc", 12), ("1b", None, 12)]
    assert found[1].why == "phase, real or imaginary images"
    values = [s[0].frame.instance_number for s in found[0].arrangement.slices]
    assert values == [8 * t + 1 for t in range(12)]


def test_what_may_be_negative_gives_way_to_a_signal(tmp_path):
    fine = {"spacing": (2.0, 2.0, 2.0), "slope": 0.25, "intercept": -500.0}
    ds.classic(tmp_path / "a", FRAME, ds.Patient(), 1, ds.SPGR, **fine)
    ds.classic(tmp_path / "b", FRAME, ds.Patient(), 2, ds.SPGR)
    found = judged(tmp_path)
    assert (found["1"][0], found["2"][0]) == ("t1_2", "t1")
    assert "may be negative" in found["1"][1]


def test_equal_grids_are_equally_fine(tmp_path):
    """Of two that differ in the last digits the later one has the role, not the one that they round to be finer."""
    ds.classic(tmp_path / "a", FRAME, ds.Patient(), 1, ds.T1, spacing=(1.79684, 1.79684, 4.0), start_s=36000)
    ds.classic(tmp_path / "b", FRAME, ds.Patient(), 2, ds.T1, spacing=(1.79686, 1.79686, 4.0), start_s=36500)
    assert [judged(tmp_path)[i][0] for i in "12"] == ["t1_2", "t1"]


def test_a_night_is_one_visit_whose_t1_comes_after_the_perfusion_series(tmp_path):
    """The clock starts anew at midnight, the date in the headers does not."""
    ds.siemens_dynamic(
        tmp_path / "a", series(12), [49800 + 1.5 * t for t in range(12)], ds.Patient(), 1, ds.EPI | ds.GADOLINIUM
    )
    ds.classic(tmp_path / "b", FRAME, ds.Patient(), 2, ds.T1, start_s=900)
    found = judged(tmp_path)
    assert found["2"][0] == "t1c"
    assert "after the perfusion series" in found["2"][1]


def test_flip_angles_in_series_of_their_own_are_joined(tmp_path):
    for i, angle in enumerate((15, 2, 5), 1):
        ds.classic(tmp_path / str(i), FRAME, ds.Patient(), i, ds.SPGR | {"FlipAngle": angle})
    role, why = judged(tmp_path)["2+3+1"]
    assert role == "vfa"
    assert "2, 5, 15 degrees" in why


@pytest.mark.parametrize("start", [36000.0, 86385.0])
def test_frames_in_series_of_their_own_are_joined(tmp_path, start):
    """Also past midnight, and where TE and place differ in the last digits."""
    for t in range(12):
        more = {"EchoTime": f"{1.85 + 1e-6 * (-1) ** t:.6f}"}
        origin = (-20.5 + 1e-6 * (-1) ** t, -25.0, 30.0)
        attributes = ds.SPGR | ds.GADOLINIUM | more
        ds.classic(tmp_path / str(t), FRAME + t, ds.Patient(), t + 1, attributes, start_s=start + 5 * t, origin=origin)
    assert {i: role for i, (role, _) in judged(tmp_path).items()} == {"1-12": "dce"}


def test_ct_and_rt_objects(tmp_path):
    ds.ct(tmp_path / "ct", FRAME, ds.Patient())
    ds.rt_dose(tmp_path, FRAME / 10.0, ds.Patient())
    for i, kind in enumerate((ds.RTSTRUCT, ds.REG, ds.SEG), 50):
        ds.rt_object(tmp_path, kind, ds.Patient(), i)
    found = judged(tmp_path)
    assert {i: role for i, (role, _) in found.items()} == {
        "30": "ct",
        "40": "dose",
        "RTSTRUCT50": "rtstruct",
        "REG51": "reg",
        "SEG52": "seg",
    }


def test_the_best_of_several_has_the_role(tmp_path):
    ds.classic(tmp_path / "a", FRAME[:3], ds.Patient(), 1, ds.T1, start_s=36000)
    ds.classic(tmp_path / "b", FRAME, ds.Patient(), 2, ds.T1, start_s=36000)
    ds.classic(tmp_path / "c", FRAME, ds.Patient(), 3, ds.T1, start_s=36500)
    found = judged(tmp_path)
    assert [found[i][0] for i in "123"] == ["t1_3", "t1_2", "t1"]
    assert "series 3 has more slices (4)" in found["1"][1]
    assert "series 3 is later" in found["2"][1]
    chosen = judged(tmp_path, roles={"t1": "1"})
    assert chosen["1"] == ("t1", "chosen by --role")


def test_a_series_that_mixes_echoes_is_split(tmp_path):
    ds.classic(tmp_path / "a", FRAME, ds.Patient(), 1, ds.T2 | {"EchoTime": 12})

    def second(d, t, z):
        d.SOPInstanceUID += ".2"

    ds.classic(tmp_path / "b", FRAME, ds.Patient(), 1, ds.T2, per_slice=second)
    found = judged(tmp_path)
    assert {i: role for i, (role, _) in found.items()} == {"1a": None, "1b": "t2"}


def test_the_inversions_of_an_mp2rage_give_way_to_the_image_made_of_them(tmp_path):
    for i, (name, kinds) in enumerate(
        (
            ("INV1", ["ORIGINAL", "PRIMARY", "M"]),
            ("INV2", ["ORIGINAL", "PRIMARY", "M"]),
            ("UNI", ["DERIVED", "PRIMARY", "UNI"]),
        ),
        1,
    ):
        ds.classic(
            tmp_path / name,
            FRAME,
            ds.Patient(),
            i,
            ds.T1 | {"ImageType": kinds, "SeriesDescription": f"t1_mp2rage_sag_{name}"},
        )
    found = judged(tmp_path)
    assert [found[i][0] for i in "123"] == [None, None, "t1"]
    assert found["1"][1].startswith("one inversion of an MP2RAGE")


def test_a_file_without_its_times_stays_in_its_series(tmp_path):
    def mark(d, t, z):
        if z == 0:
            del d.EchoTime, d.RepetitionTime

    ds.classic(tmp_path, FRAME, ds.Patient(), 1, ds.T1, per_slice=mark)
    (entry,) = scan(tmp_path).visits[0].entries
    assert (entry.role, entry.series.n_slices) == ("t1", len(FRAME))


def test_directions_that_are_none_are_named(tmp_path):
    ds.classic(
        tmp_path, FRAME, ds.Patient(), 1, ds.T1, per_slice=lambda d, *_: setattr(d, "ImageOrientationPatient", [0] * 6)
    )
    (entry,) = scan(tmp_path).visits[0].entries
    assert entry.role is None
    assert "has an ImageOrientationPatient that is no two directions at right angles" in entry.why
