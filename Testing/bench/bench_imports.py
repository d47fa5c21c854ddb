"""What an import makes of headers that round, jitter, contradict each other or call a map an image; every figure with its bar.

Run by ``make bench``, or alone: ``python Testing/bench/bench_imports.py [part ...]`` with parts of ``split midnight roles clocks cases``,
all where none is given. Exits with 1 where a bar is missed. All series are generated; the rules were developed on seeds 3, 5, 911 and 912,
those here were not looked at before. ``cases`` reads the reported cases, where the test data are.
"""

import os
import sys
import tarfile
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing" / "standin")]

import dicom_study as ds
from gliosuite.dicom.headers import Header, files_in, read_headers
from gliosuite.dicom.importing import import_study
from gliosuite.dicom.sort import arrange, split
from gliosuite.dicom.study import scan
from gliosuite.dicom.timing import frame_times
from gliosuite.errors import InputError
from gliosuite.images import read_image, read_series

DATA = Path(os.environ.get("GLIOSUITE_DATA") or ROOT.parent / "shared" / "data") / "reported-cases"
SEEDS = (921, 922)
missed: list[str] = []


def bar(text: str, good: bool, bar_text: str) -> None:
    print(f"  {text}   bar {bar_text}{'' if good else '   MISSED'}", flush=True)
    if not good:
        missed.append(text)


def headers(values: np.ndarray, attributes: dict[str, Any], **more: Any) -> list[Header]:
    """The headers of a generated series."""
    with tempfile.TemporaryDirectory() as folder:
        ds.classic(Path(folder), values, ds.Patient(), 1, attributes, **more)
        return read_headers(files_in(folder))[0]


def changed(header: Header, **frame: Any) -> Header:
    return replace(header, frames=tuple(replace(f, **frame) for f in header.frames))


def split_by_noise(count: int = 300) -> None:
    print(f"split: {count} oblique series of 40 slices each, noise in what their slices share; series that fall apart")
    whole = headers(np.ones((40, 4, 4), np.int16), ds.T2)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        for name, sizes in (("cosines", (1e-6, 1e-5, 1e-4)), ("spacing mm", (1e-7, 1e-6)), ("TE ms", (1e-3, 1e-2))):
            for size in sizes:
                apart = 0
                for _ in range(count):
                    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0][:2].ravel()
                    spacing, te = rng.uniform(0.4, 2.0), rng.uniform(10.0, 100.0)
                    series = []
                    for h in whole:
                        noise = rng.uniform(-size, size, 6)
                        o = axes + noise * (name == "cosines")
                        s = spacing + noise[0] * (name == "spacing mm")
                        t = te + noise[0] * (name == "TE ms")
                        series.append(changed(h, orientation=tuple(o), spacing=(s, s), te_ms=t))
                    apart += len(split(series)) > 1
                bar(f"seed {seed} {name} +-{size:g}: {apart} of {count}", apart == 0, "0")


def midnight() -> None:
    print("midnight: 20 frames that begin 1 to 29 s before it, instances numbered at random; time points in order")
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        good, starts = 0, range(1, 30, 2)
        for start in starts:
            numbers = rng.permutation(20) + 1

            def mark(d: Any, t: int, z: int, start: int = start, numbers: np.ndarray = numbers) -> None:
                d.AcquisitionTime = d.ContentTime = ds.clock(86400.0 - start + 1.5 * t)
                d.InstanceNumber = int(numbers[t])
                d.ImageComments = str(t)

            found = split(headers(np.ones((20, 3, 4, 4), np.int16), ds.EPI | ds.GADOLINIUM, per_slice=mark))[0]
            ordered = arrange(found)
            numbered = [frame[0].frame.instance_number for frame in ordered.slices]
            times = frame_times(found, ordered).times_s or ()
            good += numbered == numbers.tolist() and np.allclose(times, 1.5 * np.arange(20), atol=1e-3)
        bar(f"seed {seed}: {good} of {len(starts)}", good == len(starts), "all")


ORIGINAL, DERIVED = ["ORIGINAL", "PRIMARY"], ["DERIVED", "PRIMARY"]
NO_ROLE: dict[str, dict[str, Any]] = {
    "B0 map (release 5)": ds.SPGR | {"ImageType": [*ORIGINAL, "B0 MAP", "B0", "UNSPECIFIED"]},
    "B0 map (release 11)": ds.SPGR | {"ImageType": [*ORIGINAL, "B0", "B0"]},
    "field map": ds.SPGR | {"ImageType": [*DERIVED, "VOLUME", "FIELD_MAP"]},
    "B1 map": ds.SPGR | {"ImageType": [*ORIGINAL, "B1 MAP", "B1", "UNSPECIFIED"]},
    "T1 map": ds.T1 | {"ImageType": [*DERIVED, "T1 MAP", "ND"]},
    "T1 map, by name": ds.T1 | {"SeriesDescription": "t1_map_sag"},
    "T1 map, by units": ds.T1 | {"RescaleType": "ms"},
    "T2* map": ds.SPGR | {"ImageType": [*DERIVED, "T2_STAR_MAP"]},
    "R2* map, by units": ds.SPGR | {"RescaleType": "1/s"},
    "phase": ds.SPGR | {"ImageType": [*ORIGINAL, "P", "ND"]},
    "phase, by component": ds.SPGR | {"ComplexImageComponent": "PHASE"},
    "real, by component": ds.SPGR | {"ComplexImageComponent": "REAL"},
    "fat of a Dixon": ds.T1 | {"ImageType": [*DERIVED, "DIXON", "FAT"]},
}
SIGNAL: dict[str, dict[str, Any]] = {
    "MPRAGE": ds.T1,
    "spoiled gradient echo": ds.SPGR,
    "Philips magnitude": ds.SPGR | {"ImageType": [*ORIGINAL, "M_FFE", "M", "FFE"]},
    "magnitude, by component": ds.T1 | {"ComplexImageComponent": "MAGNITUDE"},
    "Siemens, filtered": ds.T1 | {"ImageType": [*ORIGINAL, "M", "ND", "NORM", "DIS3D"]},
    "GE": ds.SPGR | {"ImageType": [*ORIGINAL, "OTHER"]},
    "water of a Dixon": ds.T1 | {"ImageType": [*DERIVED, "DIXON", "WATER"]},
    "rescaled": ds.T1 | {"RescaleType": "US"},
}


def roles() -> None:
    print("roles: each kind of image alone, and beside a thicker T1")
    frame = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    right = 0
    for kinds, wanted in ((NO_ROLE, [None, "t1"]), (SIGNAL, ["t1", "t1_2"])):
        for name, attributes in kinds.items():
            with tempfile.TemporaryDirectory() as folder:
                ds.classic(Path(folder) / "a", frame, ds.Patient(), 1, attributes, spacing=(2.0, 2.0, 2.0))
                ds.classic(Path(folder) / "b", frame, ds.Patient(), 2, ds.T1)
                found = [e.role for e in scan(folder).visits[0].entries]
            # Of two signals a derived one gives way to one as measured.
            expected = wanted[::-1] if wanted[0] and "DERIVED" in attributes.get("ImageType", []) else wanted
            right += found == expected
            if found != expected:
                print(f"    {name}: {found}")
    count = len(NO_ROLE) + len(SIGNAL)
    bar(f"{right} of {count} right", right == count, "all")


def clocks(count: int = 40) -> None:
    print("clocks of whole seconds: frames every 0.8 to 7 s from any fraction of a second on; largest error of a time")
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        error, silent = {"TR": 0.0, "TemporalResolution": 0.0}, 0
        for i in range(count):
            dt, start = float(np.round(rng.uniform(0.8, 7.0), 3)), 36000 + rng.uniform()
            kind = ("TR", "TemporalResolution", "nothing")[i % 3]

            def mark(d: Any, t: int, z: int, start: float = start, dt: float = dt) -> None:
                d.AcquisitionNumber = t + 1
                d.AcquisitionTime = ds.clock(start + dt * t)[:6]

            attributes = {
                "TR": ds.EPI | {"RepetitionTime": 1000 * dt},
                "TemporalResolution": ds.SPGR | {"TemporalResolution": 1000 * dt},
                "nothing": ds.SPGR,
            }[kind]
            found = split(headers(np.ones((30, 1, 2, 2), np.int16), attributes, per_slice=mark))[0]
            timing = frame_times(found, arrange(found))
            off = np.inf if timing.times_s is None else float(np.abs(timing.times_s - dt * np.arange(30)).max())
            if kind == "nothing":
                silent += off > 1e-3 and timing.sure
            else:
                error[kind] = max(error[kind], off)
        for kind, worst in error.items():
            bar(f"seed {seed} {kind} in the header: {worst:.4f} s", worst <= 1e-3, "0.001 s")
        bar(f"seed {seed} nothing in the header: {silent} wrong without a question", silent == 0, "0")


def said(folder: Path) -> str:
    """What an import of a folder says and gives: error, or roles with time points, times and warnings."""
    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            done = import_study(folder, Path(out) / "case")
        except InputError as error:
            return f"refused: {error}"
        parts = []
        for role in done.case.images:
            times = done.case.acquisition(role).get("times_s")
            parts.append(role + (f" {len(times)} times 0..{times[-1]:g} s" if times else ""))
    return "; ".join([*parts, *(str(w.message) for w in caught)])


def opened(path: Path) -> str:
    try:
        return f"{read_series(path).n_times} time points"
    except InputError as error:
        try:
            read_image(path)
        except InputError:
            return f"refused: {error}"
        return "an image"


CASES = (
    ("series-split-by-rounding/S_iop_edge.tar.gz", "dsc 20 times 0..28.5 s"),
    ("midnight-order/B_midnight_samedate.tar.gz", "dsc 20 times 0..28.5 s"),
    ("fieldmap-as-t1/B0_map_classic.tar.gz", "t1"),
    ("magnitude-phase-one-series/F2_ge_mag_phase_real_imag.tar.gz", "dsc 20 times 0..28.5 s"),
    ("magnitude-phase-one-series/N6_enh_shuffle_dims_only.tar.gz", "dce; series 7 (dce enhanced): no header tells"),
    ("whole-second-clock/A_wholesec.tar.gz", "dsc 20 times 0..28.5 s"),
    ("whole-second-clock/A2_wholesec_tempres.tar.gz", "dsc 20 times 0..28.5 s"),
    (
        "unclear-messages/P_pmc_shift.tar.gz",
        "dsc 20 times 0..28.5 s; series 1 (dsc perfusion): its time points lie up to",
    ),
    ("unclear-messages/Q_copies.tar.gz", "refused: series 5 (t1 post) has doubled slices"),
    ("unclear-messages/nifti2.nii.gz", "refused: nifti2.nii.gz is a NIfTI-2 file"),
    ("unclear-messages/m_trunc.mha", "refused: m_trunc.mha is truncated: 35800 bytes of voxels found, 36000 needed"),
    ("unclear-messages/rgb.nii", "refused: rgb.nii holds colours"),
    ("unclear-messages/dsc_complex.nii.gz", "refused: dsc_complex.nii.gz holds complex numbers"),
    ("sheared-nrrd/sheared.nrrd", "refused: sheared.nrrd is sheared"),
    ("sheared-nrrd/control.nii.gz", "75 time points"),
)


def cases() -> None:
    print("reported cases")
    for name, wanted in CASES:
        path = DATA / name
        if not path.exists():
            print(f"  {path} is not there: skipped")
            continue
        if path.name.endswith(".tar.gz"):
            with tempfile.TemporaryDirectory() as folder, tarfile.open(path) as archive:
                archive.extractall(folder)
                found = said(Path(folder)).replace(f"{folder}/", "")
        else:
            found = opened(path).replace(f"{path.parent}/", "")
        good = found.startswith(wanted) if wanted not in ("t1", "dsc 20 times 0..28.5 s") else found == wanted
        bar(f"{name}: {found}", good, wanted)


PARTS = {"split": split_by_noise, "midnight": midnight, "roles": roles, "clocks": clocks, "cases": cases}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
    if missed:
        print(f"{len(missed)} bars missed")
        sys.exit(1)
