"""A DICOM study becomes a case folder."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from ..case import Case
from ..errors import InputError
from ..files import staged, write_json, write_text
from ..images import Series, write_image, write_series
from ..steps import Progress, part, provenance, sha256, silent
from .headers import Identity
from .privacy import LINK_NOTE, link, names_patient, redacted, relative_folder
from .study import Entry, Study, Visit, scan, without_role
from .volumes import acquisition, compact, frames, volume

# Series that contours and maps are exported for; of the others the originals are not needed again.
_ORIGINALS = ("t1", "t1c", "t2", "flair", "ct", "dose", "rtstruct", "reg", "seg")


@dataclass(frozen=True)
class Imported:
    """A case folder as it was written: the case, what was found (`Study.table`), and the notes."""

    case: Case
    found: dict[str, Any]
    notes: tuple[str, ...]


def import_study(
    src: str | Path,
    out: str | Path,
    case_id: str | None = None,
    roles: Mapping[str, str] | None = None,
    baseline: str | None = None,
    skip: Sequence[str] = (),
    keep_identity: bool = False,
    progress: Progress = silent,
) -> Imported:
    """Sort a folder of DICOM files and write it as a case folder: ``case.json``, ``images/``, ``provenance.json``.

    Later visits lie below ``followup/`` (``followup_2/`` ...) and under ``followup`` in case.json, with ``days`` since the baseline.
    ``dicom`` in case.json names the folder of the original series where it is alone there and its path does not name the patient;
    otherwise ``dicom/<role>/`` gets hard links or copies, for the series that contours are exported for. Values are rescaled as the
    headers say, and written as int16 where that holds them exactly, else as float32.

    Parameters
    ----------
    src, out
        Source folder; case folder to write.
    case_id
        Name of the case; default the name of `out`.
    roles, baseline, skip
        As for `scan`.
    keep_identity
        Write the patient's name, number, birth date and the visits' dates into case.json.

    Raises
    ------
    InputError
        If no series has a role, or one with a role is truncated, incomplete, doubled or cannot be decoded. Nothing is written then.
    """
    src, out = Path(src), Path(out)
    started = time.monotonic()
    study = scan(src, roles, baseline, skip, out.resolve(), part(progress, 0.0, 0.3))
    words = frozenset() if keep_identity else study.words
    settings = {
        "roles": dict(roles or {}),
        "skip": list(skip),
        "baseline": study.earlier + 1,
        "keep_identity": keep_identity,
    }
    try:
        with staged(out) as folder:
            data = _write(src, out, folder, study, case_id, words, keep_identity, part(progress, 0.3, 1.0))
            # The inputs' own hashes are left out: they could be matched with the originals.
            hashes = {role: sha256(folder / path) for role, path in _images(data).items()}
            record = provenance("import", settings, {}, time.monotonic() - started, outputs=hashes)
            write_json(folder / "provenance.json", record)
    except InputError as error:
        raise InputError(redacted(str(error), words)) from error
    progress(1.0, "done")
    return Imported(Case.load(out), study.table(keep_identity), tuple(data["notes"]))


def _write(
    src: Path,
    out: Path,
    folder: Path,
    study: Study,
    case_id: str | None,
    words: frozenset[str],
    keep_identity: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Write all visits into `folder`, which becomes `out`; the content of case.json."""
    count = sum(e.series is not None for v in study.visits for e in v.used)
    if not count:
        raise InputError(
            f"{src}: none of the {sum(len(v.entries) for v in study.visits)} series has a role in a glioma study "
            f"({without_role(study)}); choose with --role ROLE=SERIES (gliosuite import --dry-run lists them)"
        )
    notes = [f"{study.earlier} earlier visit(s) left out, as --baseline says"] if study.earlier else []
    visits: list[dict[str, Any]] = []
    done = 0
    for number, visit in enumerate(study.visits):
        place = "" if number == 0 else "followup/" if number == 1 else f"followup_{number}/"
        share = sum(e.series is not None for e in visit.used)
        stretch = part(progress, done / count, (done + share) / count)
        entry = _visit(visit, study, folder, out, place, words, notes, stretch)
        visits.append(
            ({"days": visit.days} if number else {}) | ({"date": visit.date} if keep_identity else {}) | entry
        )
        done += share
    for earlier, later in zip(reversed(visits[:-1]), reversed(visits[1:]), strict=True):
        earlier["followup"] = later
    name = case_id or ("case" if names_patient(out.resolve().name, words) else out.resolve().name)
    data = {"id": name} | visits[0]
    if keep_identity:
        data["identity"] = _identity(study.headers[0].identity)
    data["notes"] = [redacted(n, words) for n in dict.fromkeys(notes)]
    write_json(folder / "case.json", data)
    return data


def _identity(identity: Identity) -> dict[str, str]:
    return {"name": identity.name, "patient_id": identity.patient_id, "birth_date": identity.birth_date}


def _visit(
    visit: Visit,
    study: Study,
    folder: Path,
    out: Path,
    place: str,
    words: frozenset[str],
    notes: list[str],
    progress: Progress,
) -> dict[str, Any]:
    """Write the images of one visit below `folder`; its part of case.json, paths from the case folder."""
    images: dict[str, Any] = {}
    dicom: dict[str, str] = {}
    every = {h.path.resolve() for h in study.headers}
    entries = visit.used
    for i, e in enumerate(entries):
        progress(i / len(entries), f"converting {e.role} (series {e.id})")
        role = str(e.role)
        if e.series is not None:
            try:
                image = _read(e)
            except InputError as error:
                if "_" in role:  # not the best of its role, so the case is whole without it
                    _say(redacted(f"{role} left out: {error}", words), notes)
                    continue
                name = e.id if len(study.visits) == 1 else f"{study.visits.index(visit) + 1}/{e.id}"
                raise InputError(f"{error} (--skip {name} leaves it out)") from error
            path = f"{place}images/{role}.nii.gz"
            images[role] = {"path": path} | _convert(e, image, folder / path, words, notes)
            if e.strength == 1:
                _say(f"series {e.id} became {role} by a weaker hint: {redacted(e.why, words)}", notes)
        if role.split("_")[0] not in _ORIGINALS:
            continue
        relative = relative_folder(e.files, out, every, words)
        if relative is None:
            relative = f"{place}dicom/{role}"
            link(e.files, folder / relative)
            notes.append(LINK_NOTE)
        dicom[role] = relative
    headers = [e.header for e in entries] or [study.headers[0]]
    clinical = {
        "age": next((h.age for h in headers if h.age is not None), None),
        "sex": next((h.sex for h in headers if h.sex), None),
    }
    return {
        "images": images,
        "masks": {},
        "clinical": {k: v for k, v in clinical.items() if v is not None},
        "dicom": dicom,
    }


def _say(sentence: str, notes: list[str]) -> None:
    notes.append(sentence)
    warnings.warn(sentence, stacklevel=2)


def _read(e: Entry) -> sitk.Image | Series:
    """The voxels of a series, one volume or several."""
    if e.problem or e.series is None:
        raise InputError(e.problem or "no image series")
    if len(e.arrangement.slices) == 1:
        return volume(e.series, e.arrangement)
    series = frames(e.series, e.arrangement)
    return Series(compact(series.frames), series.grid)


def _convert(
    e: Entry, image: sitk.Image | Series, path: Path, words: frozenset[str], notes: list[str]
) -> dict[str, Any]:
    """Write one series as NIfTI; its acquisition, with the reason for its role."""
    if e.series is None:
        raise ValueError("no image series")
    role = str(e.role).split("_")[0]
    found, doubts = acquisition(e.series, e.arrangement, role)
    for doubt in doubts:
        _say(redacted(doubt, words), notes)
    if isinstance(image, Series):
        times = found.get("times_s") or [0.0, 1.0]
        write_series(image, path, times[1] - times[0])
    else:
        write_image(image, path)
    if role == "dti":
        # Other programs look for them here; what lies here is not repeated in case.json but for the b-values.
        stem, vectors = path.name.removesuffix(".nii.gz"), found.pop("b_vectors", None)
        write_text(path.with_name(f"{stem}.bval"), " ".join(f"{v:g}" for v in found["b_values"]) + "\n")
        if vectors:
            lines = (" ".join(f"{v:.6f}" for v in row) for row in zip(*vectors, strict=True))
            write_text(path.with_name(f"{stem}.bvec"), "\n".join(lines) + "\n")
    if "contrast" in found and "agent" in found["contrast"]:
        found["contrast"] = found["contrast"] | {"agent": redacted(found["contrast"]["agent"], words)}
    return found | {"series": e.id, "why": redacted(e.why, words)}


def _images(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Role -> path of all images of all visits."""
    found = {prefix + role: entry["path"] for role, entry in data.get("images", {}).items()}
    later = data.get("followup")
    return found | (_images(later, f"{prefix}followup:") if later else {})
