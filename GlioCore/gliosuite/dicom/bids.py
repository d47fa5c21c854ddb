"""A BIDS subject (NIfTI with JSON sidecars) becomes a case folder."""

import datetime
import gzip
import math
import re
import shutil
import statistics
import time
import warnings
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..case import SERIES_ROLES, Case
from ..errors import InputError
from ..files import read_json, staged, write_json
from ..images import read_image, read_series, suffix
from ..steps import Progress, provenance, sha256, silent

_SUFFIXES = {
    "UNIT1": "t1",  # of MP2RAGE
    "T2w": "t2",
    "FLAIR": "flair",
    "dwi": "dti",
    "dsc": "dsc",
    "dce": "dce",
    "ADC": "adc",
    "adc": "adc",
    "VFA": "vfa",
}


def is_bids(folder: str | Path) -> bool:
    """Whether a folder looks like a BIDS subject: NIfTI files in ``anat``, ``perf`` or ``dwi``, of sessions or directly."""
    return bool(_files(Path(folder)))


def _files(folder: Path) -> dict[str, list[Path]]:
    """NIfTI files by session (``""`` where there are none), in order."""
    found: dict[str, list[Path]] = {}
    if not folder.is_dir():
        return found
    for session in (folder, *sorted(folder.glob("ses-*"))):
        files = [
            p
            for kind in ("anat", "perf", "dwi")
            for p in sorted((session / kind).glob("*"))
            if suffix(p) in (".nii", ".nii.gz")
        ]
        if files:
            found["" if session == folder else session.name] = files
    return found


def import_bids(
    src: str | Path, out: str | Path, case_id: str | None = None, keep_dates: bool = False, progress: Progress = silent
) -> Case:
    """Write a BIDS subject as a case folder; its sessions become baseline and follow-ups in the order of their names.

    Roles come from the suffixes: ``T1w`` (with an entity ``ce-``: t1c), ``T2w``, ``FLAIR``, ``dwi``, ``dsc``, ``dce``, ``VFA``; TR,
    TE, flip angle and frame times from the JSON sidecars (s, made ms). ``days`` come from ``acq_time`` in ``*_scans.tsv``.

    Raises
    ------
    InputError
        If no file has a known suffix, a file is damaged, or a sidecar's numbers are none or its times cannot be in s.
    """
    src, out = Path(src), Path(out)
    started = time.monotonic()
    sessions = _files(src)
    notes: list[str] = []
    with staged(out) as folder:
        visits = []
        for number, (session, files) in enumerate(sessions.items()):
            progress(number / len(sessions), f"session {session or number + 1}")
            place = "" if number == 0 else "followup/" if number == 1 else f"followup_{number}/"
            visits.append(_visit(files, folder, place, notes))
        if not any(v["images"] for v in visits):
            raise InputError(
                f"{src} holds no T1w, T2w, FLAIR, dwi, dsc, dce or VFA image; a BIDS subject folder with some is needed"
            )
        dates = [_date(src if not s else src / s) for s in sessions]
        first = dates[0]
        for i in range(len(visits) - 1, 0, -1):
            if first and (date := dates[i]):
                visits[i] = {"days": (date - first).days} | visits[i]
            visits[i - 1]["followup"] = visits[i]
        if keep_dates and first:
            visits[0]["date"] = first.strftime("%Y%m%d")
        write_json(folder / "case.json", {"id": case_id or out.resolve().name} | visits[0] | {"notes": notes})
        hashes = {p.relative_to(folder).as_posix(): sha256(p) for p in sorted(folder.rglob("*.nii.gz"))}
        write_json(folder / "provenance.json", provenance("import", {}, {}, time.monotonic() - started, outputs=hashes))
    progress(1.0, "done")
    return Case.load(out)


def _role(path: Path) -> str | None:
    stem = path.name[: -len(suffix(path))]
    kind = stem.rpartition("_")[2]
    if kind == "T1w":
        return "t1c" if re.search(r"_ce-", stem) else "t1"
    return _SUFFIXES.get(kind)


def _visit(files: list[Path], folder: Path, place: str, notes: list[str]) -> dict[str, Any]:
    images: dict[str, Any] = {}
    for path in files:
        role = _role(path)
        if role is None:
            notes.append(f"{path.name} has no role: its suffix is not one that GlioSuite uses")
            continue
        if role == "vfa" and "_flip-" in path.name:
            notes.append(
                f"{path.name} has no role: one 4-D file with a list of flip angles is needed, not one file per angle"
            )
            continue
        if role in images:
            count = sum(r.split("_")[0] == role for r in images) + 1
            notes.append(f"{path.name} became {role}_{count}: another file comes first for {role}")
            role = f"{role}_{count}"
        base = role.split("_")[0]
        count = read_series(path).n_times if base in SERIES_ROLES else 0 * read_image(path).GetDimension()
        target = folder / f"{place}images/{role}.nii.gz"
        _copy(path, target)
        stem = path.name[: -len(suffix(path))]
        for kind in (".bval", ".bvec"):
            side = path.with_name(stem + kind)
            if base == "dti" and side.exists():
                shutil.copyfile(side, target.with_name(role + kind))
        sidecar = path.with_name(stem + ".json")
        found, doubts = _acquisition(sidecar, base, count)
        images[role] = {"path": target.relative_to(folder).as_posix()} | found
        for doubt in doubts:
            sentence = f"{sidecar.name}: {doubt}; check images.{role} in case.json"
            notes.append(sentence)
            warnings.warn(sentence, stacklevel=2)
        if base in ("dce", "dsc") and "times_s" not in images[role]:
            warnings.warn(
                f"{path.name}: its sidecar gives no frame times; add images.{role}.times_s to case.json", stacklevel=2
            )
    return {"images": images, "masks": {}, "clinical": {}, "dicom": {}}


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".gz"):
        shutil.copyfile(path, target)
        return
    with path.open("rb") as source, target.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream:
        shutil.copyfileobj(source, stream)


# BIDS gives times in s. Chosen: the longest that acquisitions use, which in ms would be the shortest or less than that.
_LONGEST_S = {
    "EchoTime": 0.5,
    "RepetitionTime": 30.0,
    "RepetitionTimeExcitation": 30.0,
    "InversionTime": 10.0,
    "TemporalResolution": 600.0,
}
_LONGEST_FRAME_S = 600.0
_SPOILED_TR_S = 0.2  # chosen: DCE and T1 measurements by spoiled gradient echoes are taken at TR 0.003 to 0.02
_DISAGREE = 0.1  # chosen, relative: frame intervals that differ by more contradict each other


def _acquisition(path: Path, role: str, count: int) -> tuple[dict[str, Any], list[str]]:
    """What an image's sidecar, if there is one, says of its acquisition, with the keys of ``case.json``, and doubts about it.

    Raises
    ------
    InputError
        If a time cannot be in s, or frame times do not rise.
    """
    sidecar: Mapping[str, Any] = read_json(path) if path.exists() else {}
    if not isinstance(sidecar, dict):
        raise InputError(f"{path} holds a {type(sidecar).__name__}; a JSON object is needed")
    several = [n for n in _LONGEST_S if isinstance(sidecar.get(n), list)]
    zero = [n for n in ("InversionTime", "TemporalResolution") if sidecar.get(n) == 0]  # there is none
    given = {n: sidecar[n] for n in (*_LONGEST_S, "FlipAngle", "MagneticFieldStrength") if sidecar.get(n) is not None}
    given = {n: v for n, v in given.items() if n not in (*several, *zero)}
    for name, values in given.items():
        for value in values if isinstance(values, list) else [values]:
            if not _is_number(value) or value <= 0:
                raise InputError(f"{path}: {name} is {value!r}; a number above 0 is needed")
    said = {name: float(value) for name, value in given.items() if name in _LONGEST_S}
    for name, value in said.items():
        if value > _LONGEST_S[name]:
            raise InputError(
                f"{path}: {name} is {value:g}, which cannot be in s as BIDS has it (at most {_LONGEST_S[name]:g}); if it is in ms, "
                "divide it, and the other times of this file, by 1000"
            )
    found: dict[str, Any] = {}
    doubts = [f"{name} has several values and was left out" for name in several]
    for key, name in (("tr_ms", "RepetitionTime"), ("te_ms", "EchoTime"), ("ti_ms", "InversionTime")):
        if name in said:
            found[key] = round(said[name] * 1000.0, 6)
    if "RepetitionTimeExcitation" in said:  # where RepetitionTime means the time per volume
        found["tr_ms"] = round(said["RepetitionTimeExcitation"] * 1000, 6)
    if role in ("dce", "vfa") and found.get("tr_ms", 0.0) > 1000 * _SPOILED_TR_S:
        tr_s = found.pop("tr_ms") / 1000
        doubts.append(
            f"a RepetitionTime of {tr_s:g} s is none of a spoiled gradient echo (s per volume, or ms?) and was left out"
        )
    found |= {
        k: given[n]
        for k, n in (("flip_angle_deg", "FlipAngle"), ("field_strength_t", "MagneticFieldStrength"))
        if n in given
    }
    if role in ("dce", "dsc"):
        times, doubt = _times(path, sidecar, said, role, count)
        found |= {"times_s": times} if times else {}
        doubts += [doubt] if doubt else []
    return found, doubts


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _times(
    path: Path, sidecar: Mapping[str, Any], said: Mapping[str, float], role: str, count: int
) -> tuple[list[float] | None, str | None]:
    """Frame times in s from the first, and what contradicts them."""
    steps = [(n, said[n]) for n in ("TemporalResolution", "RepetitionTime")[: 1 + (role == "dsc")] if said.get(n)]
    doubt = None
    for name in ("FrameTimes", "FrameTimesStart", "VolumeTiming"):
        times = sidecar.get(name)
        if not isinstance(times, list) or len(times) < 2:
            continue
        if not all(map(_is_number, times)):
            raise InputError(f"{path}: {name} holds what is no number; one rising time in s per frame is needed")
        if len(times) != count:
            doubt = f"{name} has {len(times)} times for {count} frames and was not used"
            continue
        between = [float(b) - float(a) for a, b in pairwise(times)]
        interval = statistics.median(between)
        if min(between) <= 0 or interval > _LONGEST_FRAME_S:
            raise InputError(
                f"{path}: {name} does not rise by what frames take, in s ({min(between):g} to {max(between):g}); one rising time in s "
                "per frame is needed (if they are in ms, divide them, and the other times of this file, by 1000)"
            )
        for other, step in steps:
            if abs(step - interval) > _DISAGREE * interval:
                doubt = f"{other} is {step:g} s, by {name} the frames are {interval:g} s apart"
        return [float(t) - float(times[0]) for t in times], doubt
    if not steps:
        return None, doubt
    name, step = steps[0]
    if len(steps) > 1 and abs(steps[1][1] - step) > _DISAGREE * step:
        doubt = f"{name} is {step:g} s, {steps[1][0]} {steps[1][1]:g} s"
    return [round(i * step, 6) for i in range(count)], doubt


def _date(session: Path) -> datetime.date | None:
    """The earliest ``acq_time`` of a session's scans."""
    found = []
    for table in session.glob("*_scans.tsv"):
        rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
        if rows and "acq_time" in rows[0]:
            column = rows[0].index("acq_time")
            found += [
                m[0] for row in rows[1:] if column < len(row) and (m := re.match(r"\d{4}-\d{2}-\d{2}", row[column]))
            ]
    return datetime.date.fromisoformat(min(found)) if found else None
