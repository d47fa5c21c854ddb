"""A folder of DICOM files as a patient's visits, with a role for each series and the reason for it."""

import datetime
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..case import SERIES_ROLES
from ..errors import InputError
from ..steps import Progress, silent
from .geometry import RT_DOSE, DicomSeries
from .headers import Header, files_in, read_headers
from .likeness import linked
from .privacy import redacted, words_of
from .roles import Verdict, judge_all, object_role
from .sort import Arrangement, arrange, split

IMAGE_ROLES = (
    *("t1", "t1c", "t2", "flair", "dti", "adc", "fa", "dce", "dsc", "vfa", "b1", "ct", "dose"),
    *("cho", "cre", "naa", "lac", "lip", "cni", "ccri", "crni"),
)


@dataclass(frozen=True)
class Entry:
    """One series (or RT object, then `series` is None) of a visit: its role, why, and what is wrong with it."""

    id: str
    files: tuple[Path, ...]
    header: Header
    series: DicomSeries | None
    role: str | None
    why: str
    strength: int = 2
    problem: str | None = None

    @cached_property
    def arrangement(self) -> Arrangement:
        """The slices in order of time and position."""
        if self.series is None:
            raise ValueError(f"{self.id} is no image series")
        return arrange(self.series)


@dataclass(frozen=True)
class Visit:
    """What was done on one day (and CT or RT of the days around it). `days` counts from the baseline visit."""

    date: str
    days: int
    entries: tuple[Entry, ...]

    @property
    def used(self) -> tuple[Entry, ...]:
        """The entries that have a role."""
        return tuple(e for e in self.entries if e.role)


@dataclass(frozen=True)
class Study:
    """One patient's visits in order of time, the first being the baseline; `earlier` are left out because --baseline came later."""

    visits: tuple[Visit, ...]
    earlier: int
    headers: tuple[Header, ...]
    others: tuple[Path, ...]

    @cached_property
    def words(self) -> frozenset[str]:
        """What names the patient."""
        return words_of(self.headers)

    def table(self, keep_identity: bool = False) -> dict[str, Any]:
        """What was found, as JSON: visits, their series, roles and reasons."""
        clean = (lambda t: t) if keep_identity else (lambda t: redacted(t, self.words))
        visits = []
        for number, visit in enumerate(self.visits, 1):
            rows = [_row(e, clean) for e in visit.entries]
            visits.append(
                {"visit": number, "days": visit.days}
                | ({"date": visit.date} if keep_identity else {})
                | {"series": rows}
            )
        return {
            "patients": 1,
            "visits": visits,
            "earlier_visits_left_out": self.earlier,
            "files_that_are_not_dicom": len(self.others),
        }


def without_role(study: Study) -> str:
    """Why the first series of a study have no role, for a message."""
    entries = [e for v in study.visits for e in v.entries]
    said = [f"series {e.id}: {e.why}" for e in entries[:_FIRST]]
    return "; ".join(said) + ("; ..." if len(entries) > _FIRST else "")


_FIRST = 3  # chosen: as many as can be read at once


def _row(e: Entry, clean: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "series": e.id,
        "description": clean(e.header.description),
        "modality": e.header.modality,
        "files": len(e.files),
    }
    if e.series is not None:
        size = (e.series.frame.columns, e.series.frame.rows, e.series.n_slices)
        row |= {"size": size, "spacing_mm": [round(v, 3) for v in e.series.spacing], "time_points": e.series.n_times}
    return row | {"role": e.role, "why": clean(e.why), "problem": e.problem and clean(e.problem)}


def scan(
    folder: str | Path,
    roles: Mapping[str, str] | None = None,
    baseline: str | None = None,
    skip: Sequence[str] = (),
    without: Path | None = None,
    progress: Progress = silent,
) -> Study:
    """Find the series in a folder (nested, mixed with other files) and give each its role.

    Parameters
    ----------
    roles
        Series chosen by hand: role -> series id (``"2"``, or ``"1/2"`` for series 2 of visit 1).
    baseline
        The baseline visit: its date (YYYYMMDD or YYYY-MM-DD) or its number from 1; default the earliest.
    skip
        Ids of series to leave out.
    without
        A folder below `folder` that is not looked into.

    Raises
    ------
    InputError
        If there is no DICOM file, more than one patient, or a chosen series or visit does not exist.
    """
    headers, others, damaged = read_headers(files_in(folder, without), progress)
    if damaged:
        raise InputError(redacted(damaged[0], words_of(headers)))
    if not headers:
        raise InputError(
            f"{folder} holds no DICOM file ({len(others)} other files found); a folder with DICOM images is needed"
        )
    patients = len({h.identity.key for h in headers})
    if patients > 1:
        name = redacted(str(folder), words_of(headers))
        raise InputError(
            f"{name} holds DICOM files of {patients} patients (PatientID); the files of one patient are needed, so put each "
            "patient's into a folder of their own"
        )
    days = _by_day(headers)
    first = _baseline(list(days), baseline)
    kept = list(days.items())[first:]
    visits = []
    for number, (date, members) in enumerate(kept, 1):
        entries = _entries(members, _chosen(roles or {}, number), _wanted(skip, number))
        visits.append(Visit(date, _days_between(kept[0][0], date), entries))
    _check_ids(visits, [*(roles or {}).values(), *skip])
    return Study(tuple(visits), first, tuple(headers), tuple(others))


# ------------------------------------------------------------------------------------------------------------------- visits


def _by_day(headers: Sequence[Header]) -> dict[str, list[Header]]:
    """Headers by study date in ascending order; a day without MR (a planning CT, RT objects) joins the nearest day with MR."""
    of_study: dict[str, str] = {}
    for h in headers:
        if h.study_date and (h.study_uid not in of_study or h.study_date < of_study[h.study_uid]):
            of_study[h.study_uid] = h.study_date
    days: dict[str, list[Header]] = defaultdict(list)
    for h in headers:
        days[of_study.get(h.study_uid, "")].append(h)
    with_mr = [d for d, members in days.items() if any(h.modality == "MR" and h.frames for h in members)]
    for day in [d for d in days if with_mr and d not in with_mr]:
        nearest = min(sorted(with_mr), key=lambda d: abs(_days_between(d, day)))
        days[nearest] += days.pop(day)
    return dict(sorted(days.items()))


def _days_between(a: str, b: str) -> int:
    try:
        first, second = (datetime.datetime.strptime(d, "%Y%m%d") for d in (a, b))
    except ValueError:  # no date in the headers
        return 0
    return (second - first).days


def _baseline(days: list[str], wanted: str | None) -> int:
    if wanted is None:
        return 0
    date = wanted.replace("-", "")
    if len(date) == 8 and date in days:
        return days.index(date)
    if wanted.isdigit() and 1 <= int(wanted) <= len(days):
        return int(wanted) - 1
    raise InputError(
        f"--baseline {wanted} is none of the {len(days)} visits found; a number from 1 to {len(days)} or the date of one is needed"
    )


def _wanted(names: Sequence[str], visit: int) -> set[str]:
    """The ids among `names` that hold for a visit."""
    return {n.partition("/")[2] if "/" in n else n for n in names if "/" not in n or n.partition("/")[0] == str(visit)}


def _chosen(roles: Mapping[str, str], visit: int) -> dict[str, str]:
    """Series id -> role, as chosen by hand for a visit."""
    return {next(iter(_wanted([name], visit))): role for role, name in roles.items() if _wanted([name], visit)}


def _check_ids(visits: Sequence[Visit], names: Sequence[str]) -> None:
    for name in names:
        known = [e.id for number, v in enumerate(visits, 1) for e in v.entries if e.id in _wanted([name], number)]
        if not known:
            ids = ", ".join(
                f"{number}/{e.id}" if len(visits) > 1 else e.id for number, v in enumerate(visits, 1) for e in v.entries
            )
            raise InputError(f"there is no series {name}; found: {ids} (gliosuite import --dry-run lists them)")


# ------------------------------------------------------------------------------------------------------------------- roles


def _entries(headers: Sequence[Header], chosen: Mapping[str, str], skip: set[str]) -> tuple[Entry, ...]:
    """The series of one visit with their roles; of several for one role the best has it, the others are numbered."""
    entries = [_judged(series, verdict, chosen, skip) for series, verdict in judge_all(split(headers))]
    known = {s.header.path for e in entries if e.series is not None for s in e.series.slices}
    entries += _objects([h for h in headers if h.path not in known], skip)
    return tuple(_numbered(entries))


def _judged(series: DicomSeries, verdict: Verdict, chosen: Mapping[str, str], skip: set[str]) -> Entry:
    if series.id in chosen:
        verdict = Verdict(chosen[series.id], "chosen by --role", 3)
    if series.id in skip:
        verdict = Verdict(None, "left out by --skip")
    entry = Entry(series.id, series.files, series.header, series, verdict.role, verdict.why, verdict.strength)
    if not entry.role:
        return entry
    try:
        count = len(entry.arrangement.slices)
    except InputError as error:
        return replace(entry, problem=str(error))
    several = entry.role in SERIES_ROLES
    if several != (count > 1):
        needed = "several are needed" if several else "one is needed"
        return replace(
            entry, problem=f"{series} has {count} time point{'s' if count > 1 else ''}; for {entry.role} {needed}"
        )
    return entry


def _objects(headers: Sequence[Header], skip: set[str]) -> list[Entry]:
    """RT structure sets and the like, and what has no place in space, by series."""
    groups: dict[tuple, list[Header]] = defaultdict(list)
    for h in headers:
        groups[(h.series_uid, object_role(h))].append(h)
    result: list[Entry] = []
    for (_, role), members in groups.items():
        h = members[0]
        name = f"{h.modality or 'object'}{'' if h.series_number is None else h.series_number}"
        while any(e.id == name for e in result):
            name += "'"
        if role == "dose" or (role is None and h.sop_class == RT_DOSE):
            role, why = None, "an RT Dose without a grid"
        elif role:
            why = {"rtstruct": "RT Structure Set", "reg": "Spatial Registration", "seg": "Segmentation"}[
                role
            ] + " by its SOP class"
        else:
            why = f"modality {h.modality or 'not given'} without image slices in space"
            if h.unplaced:
                why = f"modality {h.modality or 'not given'}: {h.path.name} {h.unplaced}"
        if name in skip:
            role, why = None, "left out by --skip"
        result.append(Entry(name, tuple(sorted(m.path for m in members)), h, None, role, why))
    return result


_SAME_FINENESS = 0.01  # chosen, relative: voxels that differ by less in volume are equally fine


def _fineness(entries: Sequence[Entry]) -> list[int]:
    """Numbers that rise with the volume of a series' voxels, equal where it is."""
    return linked([math.log(math.prod(e.series.spacing)) if e.series else None for e in entries], _SAME_FINENESS)


def _ranked(members: Sequence[Entry]) -> list[Entry]:
    """Better series first: chosen, surer, as measured, more time points, more slices, finer, later."""

    def rank(e: Entry, fineness: int) -> tuple:
        s = e.series
        if s is None:
            return (0,)
        derived = "DERIVED" in s.header.image_type
        return (-e.strength, derived, -s.n_times, -s.n_slices, fineness, -(s.start_s or 0.0), e.id)

    order = {id(e): rank(e, f) for e, f in zip(members, _fineness(members), strict=True)}
    return sorted(members, key=lambda e: order[id(e)])


def _numbered(entries: list[Entry]) -> list[Entry]:
    by_role: dict[str, list[Entry]] = defaultdict(list)
    for e in entries:
        if e.role and e.series is not None:
            by_role[e.role].append(e)
    place: dict[int, Entry] = {}
    for role, members in by_role.items():
        best, *others = _ranked(members)
        for i, e in enumerate(others, 2):
            better = f"{e.why}; {_better(best, e)}, so this one is {role}_{i}"
            place[id(e)] = replace(e, role=f"{role}_{i}", why=better)
    objects: Counter = Counter()
    for e in entries:
        if e.role and e.series is None:
            objects[e.role] += 1
            if objects[e.role] > 1:
                place[id(e)] = replace(e, role=f"{e.role}_{objects[e.role]}")
    return [place.get(id(e), e) for e in entries]


def _better(best: Entry, other: Entry) -> str:
    """Why another series of the same role was preferred."""
    a, b = best.series, other.series
    if a is None or b is None:
        return f"{best.id} comes first"
    if best.strength != other.strength:
        return f"series {a.id} was {'chosen' if best.strength == 3 else 'surer by its attributes'}"
    if "DERIVED" in b.header.image_type and "DERIVED" not in a.header.image_type:
        return f"series {a.id} is as measured, this one derived"
    if a.n_times != b.n_times:
        return f"series {a.id} has more time points ({a.n_times})"
    if a.n_slices != b.n_slices:
        return f"series {a.id} has more slices ({a.n_slices})"
    if len(set(_fineness([best, other]))) > 1:
        return f"series {a.id} is finer"
    return f"series {a.id} is later" if (a.start_s or 0) > (b.start_s or 0) else f"series {a.id} comes first"
