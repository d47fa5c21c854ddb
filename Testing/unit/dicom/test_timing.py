"""When frames were taken, and what is said where the headers contradict each other."""

import dicom_study as ds
import numpy as np
import pytest
from gliosuite.dicom import read_dicom_series
from gliosuite.dicom.headers import files_in, read_headers
from gliosuite.dicom.sort import arrange, split
from gliosuite.dicom.volumes import acquisition as describe


def truth(n_times: int = 11, n_slices: int = 4) -> np.ndarray:
    """Frames (t, z, y, x) in which every voxel's value says where and when it is."""
    t, z, y, x = np.meshgrid(np.arange(n_times), np.arange(n_slices), np.arange(6), np.arange(5), indexing="ij")
    return (1000 * t + 100 * z + 10 * y + x).astype(np.int16)


def test_per_slice_times_give_the_start_of_each_frame(tmp_path):
    """A 2-D echo-planar series: each slice has its own time, interleaved, and nothing numbers the frames."""

    def mark(d, t, z):
        d.AcquisitionNumber = 1
        d.AcquisitionTime = ds.clock(36000 + 1.5 * t + (0.75 if z % 2 else 0.0) + 0.1 * z)

    ds.classic(tmp_path, truth(), ds.Patient(), 7, ds.EPI | ds.GADOLINIUM, per_slice=mark)
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, truth())
    np.testing.assert_allclose(acquisition["times_s"], 1.5 * np.arange(11), atol=1e-3)


def test_without_times_an_echo_planar_series_has_one_frame_per_tr(tmp_path):
    def mark(d, t, z):
        d.AcquisitionNumber = t + 1

    ds.classic(tmp_path, truth(), ds.Patient(), 7, ds.EPI | ds.GADOLINIUM, per_slice=mark)
    _, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_allclose(acquisition["times_s"], 1.5 * np.arange(11))
    assert acquisition["times_from"] == "TR, as one frame per TR"


CLOCK = "AcquisitionTime agrees, a clock of whole seconds"


@pytest.mark.parametrize(
    "attributes, interval, source",
    [
        (ds.EPI, 1.5, f"TR, with which {CLOCK}"),
        (ds.EPI, 0.6, f"TR, with which {CLOCK}"),
        (ds.EPI | {"TemporalResolution": 1500}, 1.5, f"TemporalResolution, with which {CLOCK}"),
        (ds.SPGR | {"TemporalResolution": 5200}, 5.2, f"TemporalResolution, with which {CLOCK}"),
        (ds.SPGR | {"TemporalResolution": 5000}, 5.0, "AcquisitionTime"),
        (ds.EPI | {"RepetitionTime": 2000}, 2.0, "AcquisitionTime"),
    ],
)
def test_a_clock_of_whole_seconds_gives_way_to_an_interval_with_which_it_agrees(tmp_path, attributes, interval, source):
    def mark(d, t, z):
        d.AcquisitionNumber = t + 1
        d.AcquisitionTime = ds.clock(36000.3 + interval * t)[:6]

    if attributes["ScanningSequence"] == "EP":
        attributes = attributes | {"RepetitionTime": 1000 * interval}
    ds.classic(tmp_path, truth(20), ds.Patient(), 7, attributes | ds.GADOLINIUM, per_slice=mark)
    _, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_allclose(acquisition["times_s"], interval * np.arange(20), atol=1e-3)
    assert acquisition["times_from"] == source


def doubted(tmp_path) -> tuple[dict, list[str]]:
    """What the headers say, and what is said about it."""
    found = split(read_headers(files_in(tmp_path))[0])[0]
    return describe(found, arrange(found), "dsc")


@pytest.mark.parametrize("interval", [5.3, 5.0])
def test_a_clock_of_whole_seconds_that_nothing_confirms_is_questioned(tmp_path, interval):
    def mark(d, t, z):
        d.AcquisitionNumber = t + 1
        d.AcquisitionTime = ds.clock(36000 + interval * t)[:6]

    ds.classic(tmp_path, truth(), ds.Patient(), 7, ds.SPGR | ds.GADOLINIUM, per_slice=mark)
    found, said = doubted(tmp_path)
    np.testing.assert_allclose(found["times_s"], np.floor(interval * np.arange(11)))
    assert "it is a clock of whole seconds, so that each may be wrong by 1 s; check" in said[0]


@pytest.mark.parametrize("trigger, said", [(1.5, None), (2.5, "the frames take 15 s by it and 25 s by TriggerTime")])
@pytest.mark.parametrize("digits", [6, 13])
def test_two_clocks_agree_or_are_questioned(tmp_path, trigger, said, digits):
    """Of two that agree, one of which has whole seconds, the other is taken."""

    def mark(d, t, z):
        d.AcquisitionNumber = t + 1
        d.AcquisitionTime = ds.clock(36000 + 1.5 * t)[:digits]
        d.TriggerTime = f"{1000 * trigger * t:.1f}"

    ds.classic(tmp_path, truth(), ds.Patient(), 7, ds.SPGR | ds.GADOLINIUM, per_slice=mark)
    found, doubts = doubted(tmp_path)
    assert [said in d for d in doubts] == ([True] if said else [])
    if not said:
        np.testing.assert_allclose(found["times_s"], 1.5 * np.arange(11), atol=1e-3)
        assert found["times_from"].startswith("TriggerTime" if digits == 6 else "AcquisitionTime")


def ge(tmp_path, n, duration_s, **more):
    """A GE series of `n` frames with nothing but its duration (0019,105A), and what else is given."""

    def mark(d, t, z):
        d.TemporalPositionIdentifier = t + 1
        d.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0x5A, "FL", duration_s * 1e6)
        if "trigger_s" in more:
            d.TriggerTime = f"{1000 * more['trigger_s'] * t:.1f}"
        if "resolution_s" in more:
            d.TemporalResolution = f"{1000 * more['resolution_s']:.1f}"

    attributes = ds.EPI | ds.GADOLINIUM | {"RepetitionTime": 2000}
    ds.classic(tmp_path, truth(n), ds.Patient(), 7, attributes, per_slice=mark)
    return doubted(tmp_path)


def test_delays_between_groups_are_seen_in_the_duration(tmp_path):
    found, said = ge(tmp_path, 20, 100.0)
    np.testing.assert_allclose(found["times_s"], 5.0 * np.arange(20), atol=1e-3)
    assert "AcquisitionDuration divided by the number of frames, but TR is 2 s; check" in said[0]


def test_a_doubt_is_said_also_where_a_command_reads_the_folder_itself(tmp_path):
    ge(tmp_path, 20, 100.0)
    with pytest.warns(UserWarning, match=r"but TR is 2 s; check images.dsc.times_s in case.json, or give --times"):
        read_dicom_series(tmp_path)


@pytest.mark.parametrize("duration", [40.0, 48.0])  # the second with four frames before the first
def test_a_duration_that_agrees_with_tr_makes_it_sure(tmp_path, duration):
    found, said = ge(tmp_path, 20, duration)
    np.testing.assert_allclose(found["times_s"], 2.0 * np.arange(20), atol=1e-3)
    assert (said, found["times_from"]) == ([], "TR, as one frame per TR, with which AcquisitionDuration agrees")


@pytest.mark.parametrize(
    "more, duration, contradiction",
    [
        ({"trigger_s": 2.0}, 100.0, "TriggerTime, but AcquisitionDuration is 100 s, the frames take 40 s"),
        ({"trigger_s": 2.0, "resolution_s": 5.0}, 45.0, "TemporalResolution is 5 s, the frames are 2 s apart"),
        ({"resolution_s": 5.0}, 100.0, "TemporalResolution, but TR is 2 s"),
        ({"resolution_s": 2.0}, 100.0, "TemporalResolution, but AcquisitionDuration is 100 s, the frames take 40 s"),
        ({"trigger_s": 2.0, "resolution_s": 2.0}, 52.0, None),
        ({"resolution_s": 4.0}, 85.0, None),
    ],
)
def test_sources_of_time_that_contradict_each_other_are_questioned(tmp_path, more, duration, contradiction):
    _, said = ge(tmp_path, 20, duration, **more)
    assert [contradiction in s for s in said] == ([True] if contradiction else [])


def test_without_any_time_there_are_no_times(tmp_path):
    def mark(d, t, z):
        d.AcquisitionNumber = t + 1

    ds.classic(tmp_path, truth(), ds.Patient(), 7, ds.SPGR | ds.GADOLINIUM, per_slice=mark)
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, truth())
    assert "times_s" not in acquisition
