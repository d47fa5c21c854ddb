"""One patient's study: roles, files, timing, clinical facts (``case.json``)."""

import copy
import difflib
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from . import roles
from .errors import InputError
from .files import read_json, write_json
from .images import Grid, Series, beside, chosen, read_image, read_mask, read_series

IMAGE_ROLES, SERIES_ROLES, MASK_ROLES = tuple(roles.IMAGES), roles.SERIES, tuple(roles.MASKS)
_LIKE = 0.75  # of a role and a known one, as difflib has it: chosen, "flare" and "flair" have .8, "brainstem" and "brain" .71

_ACQUISITION_UNITS = {
    "tr_ms": "ms",
    "te_ms": "ms",
    "flip_angle_deg": "degrees",
    "t10_s": "s",
    "hematocrit": "fraction",
    "relaxivity": "1/(mM s)",
}
# What else a case and its images may hold, so that a slip is told from it.
_KEYS = ("id", "images", "masks", "dicom", "clinical", "followup", "days", "date", "notes", "simulated", "truth")
_OF_IMAGES = (
    *("path", "source", "times_s", *_ACQUISITION_UNITS),
    *("ti_ms", "times_from", "b_values", "b_vectors", "field_strength_t", "contrast", "weight_kg", "series", "why"),
)
_CLINICAL = (
    *(
        "age",
        "sex",
        "kps",
        "idh",
        "mgmt",
        "egfr",
        "grade",
        "pathology",
        "codeletion_1p19q",
        "resection",
        "treatment",
        "rt_dose_gy",
    ),
    *("os_days", "os_event", "pfs_days", "pfs_event", "recurrence_local", "recurrence_distant", "max_diameter_mm"),
)


@dataclass
class Case:
    """A patient's study as `case.json` describes it; paths in it are relative to `folder`.

    Parameters
    ----------
    folder
        The folder that relative paths start from.
    data
        The content of ``case.json``; unknown keys are kept.
    source
        How to name the file in messages.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     case = Case(Path(folder), {"id": "patient-1", "images": {}, "clinical": {"age": 61}})
    ...     _ = case.save(folder)
    ...     again = Case.load(folder)
    >>> again.id, again.clinical["age"]
    ('patient-1', 61)
    """

    folder: Path
    data: dict[str, Any] = field(default_factory=dict)
    source: str = "case.json"

    @classmethod
    def load(cls, folder_or_json: str | Path) -> "Case":
        """Load a case folder or its ``case.json``.

        Raises
        ------
        InputError
            If the file is missing, is no valid JSON, names files that do not exist, or holds impossible acquisition values.
        """
        path = Path(folder_or_json)
        path = path / "case.json" if path.is_dir() else path
        if not path.exists():
            raise InputError(
                f"{path} does not exist; a case folder with a case.json is needed (gliosuite import makes one from DICOM)"
            )
        data = read_json(path)
        if not isinstance(data, dict):
            raise InputError(f"{path} holds a {type(data).__name__}; a JSON object with id and images is needed")
        case = cls(path.parent, data, str(path))
        case.check()
        return case

    def check(self) -> None:
        """Check structure, files and acquisition values; see `load`."""
        for key in ("images", "masks", "clinical", "dicom"):
            if not isinstance(self.data.get(key, {}), dict):
                raise InputError(f"{self.source}: {key} is a {type(self.data[key]).__name__}; an object is needed")
        for role, entry in self.data.get("images", {}).items():
            if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
                raise InputError(f'{self.source}: images.{role} has no path; {{"path": "..."}} is needed')
            _check_acquisition(entry, f"{self.source}: images.{role}")
        for role, entry in self.data.get("masks", {}).items():
            if not isinstance(entry, str) and not (isinstance(entry, dict) and isinstance(entry.get("path"), str)):
                raise InputError(
                    f'{self.source}: masks.{role} is {entry!r}; a path or {{"path": "...", "labels": [...]}} is needed'
                )
            # Labels chosen behind the name (``labels.nii.gz:2``) are kept as those that are given beside it.
            text = entry if isinstance(entry, str) else entry["path"]
            _, labels = chosen(self.folder / text)
            if labels:
                own = {} if isinstance(entry, str) else entry
                self.data["masks"][role] = {**own, "path": text.rpartition(":")[0], "labels": labels}
        missing = [str(path) for path in self.files().values() if not path.exists()]
        if missing:
            do = "does" if len(missing) == 1 else "do"
            raise InputError(f"{self.source} names {' and '.join(missing)}, which {do} not exist")
        for where, known, given in (
            ("", _KEYS, self.data),
            ("images.", IMAGE_ROLES, self.images),
            ("masks.", MASK_ROLES, self.masks),
            ("dicom.", self.images, self.data.get("dicom", {})),
            ("clinical.", _CLINICAL, self.clinical),
            *((f"images.{r}.", _OF_IMAGES, entry) for r, entry in self.data.get("images", {}).items()),
        ):
            for name in given:
                # A name of one's own is allowed, and is no slip where what it resembles is there too.
                near = difflib.get_close_matches(name.lower(), known, 1, _LIKE)
                if name not in known and near and near[0] not in given:
                    warnings.warn(
                        f"{self.source}: no step knows {where}{name}, which is left alone; is {near[0]} meant?",
                        stacklevel=2,
                    )
        if self.followup is not None:
            self.followup.check()

    @property
    def id(self) -> str:
        """The case's name; the folder's where case.json gives none."""
        return str(self.data.get("id") or self.folder.resolve().name)

    @property
    def images(self) -> tuple[str, ...]:
        """Image roles present."""
        return tuple(self.data.get("images", {}))

    @property
    def masks(self) -> tuple[str, ...]:
        """Mask roles present."""
        return tuple(self.data.get("masks", {}))

    @property
    def clinical(self) -> dict[str, Any]:
        """Clinical facts (age, idh, mgmt, os_days, ...)."""
        return self.data.get("clinical", {})

    def files(self) -> dict[str, Path]:
        """All files of this visit by role (``dicom:`` and ``mask:`` before the roles of those kinds)."""
        result = {role: self.path(role) for role in self.images}
        result |= {f"mask:{role}": self.mask_path(role) for role in self.masks}
        return result | {f"dicom:{role}": self.folder / folder for role, folder in self.data.get("dicom", {}).items()}

    def keep(self, out: str | Path, folders: Sequence[str] = ()) -> None:
        """Refuse a folder for results that holds files of this case, itself or in one of these folders: results would replace them.

        Raises
        ------
        InputError
            With the first such file.
        """
        place = Path(out).resolve()
        files = [self.folder / "case.json", *self.files().values()]
        files += list(self.followup.files().values()) if self.followup is not None else []
        for path in [f for f in files if f.exists()]:
            inside = path.resolve().parts[len(place.parts) :] if place in path.resolve().parents else ()
            if len(inside) == 1 or (inside and inside[0] in folders):
                raise InputError(
                    f"{out} holds {'/'.join(inside)}, which the case reads; results need a folder of their own, e.g. {place / 'results'}"
                )

    def path(self, role: str) -> Path:
        """The file of an image role."""
        return self.folder / self._entry("images", role)["path"]

    def beside(self, role: str, ending: str) -> Path | None:
        """The file beside that of an image role with its name and another ending (``.bval``), or None."""
        return beside(self.folder / self._entry("images", role)["path"], ending)

    def mask_path(self, role: str) -> Path:
        """The file of a mask role."""
        entry = self._entry("masks", role)
        return self.folder / (entry if isinstance(entry, str) else entry["path"])

    def image(self, role: str) -> sitk.Image:
        """The 3-D image of a role, e.g. ``"t1c"``."""
        return read_image(self.path(role))

    def series(self, role: str) -> Series:
        """The 4-D series of a role, its number of frames checked against ``times_s``."""
        series = read_series(self.path(role))
        times = self.acquisition(role).get("times_s")
        if times is not None and len(times) != series.n_times:
            raise InputError(
                f"{self.path(role)} has {series.n_times} time points; {self.source} gives {len(times)} in images.{role}.times_s; "
                "as many as time points are needed"
            )
        return series

    def mask(self, role: str, like: sitk.Image | Grid | None = None) -> sitk.Image:
        """The mask of a role as uint8 0/1, on the grid of `like` where given.

        Raises
        ------
        InputError
            If it cannot be read, or is a ROI of a structure set (``{"path", "roi"}``), which has no voxels of its own.
        """
        entry = self._entry("masks", role)
        if self.roi(role) is not None:
            raise InputError(
                f"{self.source}: masks.{role} is a ROI of a structure set, which gliosuite run carries to its grid; an image is needed here"
            )
        path = self.mask_path(role)
        labels = None if isinstance(entry, str) else entry.get("labels")
        return read_mask(path, like, labels, f"masks.{role} ({path.name})")

    def roi(self, role: str) -> str | None:
        """The ROI's name where a mask is one of an RT structure set (``{"path": "RS.dcm", "roi": "GTV"}``), else None."""
        entry = self._entry("masks", role)
        return str(entry["roi"]) if isinstance(entry, dict) and "roi" in entry else None

    def acquisition(self, role: str) -> dict[str, Any]:
        """What is known of how an image was taken: ``tr_ms te_ms flip_angle_deg times_s t10_s hematocrit relaxivity`` and free keys."""
        return {k: v for k, v in self._entry("images", role).items() if k != "path"}

    def need(self, role: str, *keys: str) -> list[Any]:
        """Acquisition values that a step cannot do without, in the order of `keys`.

        Raises
        ------
        InputError
            If one is missing; the text says where to put it.
        """
        acquisition = self.acquisition(role)
        missing = [k for k in keys if acquisition.get(k) is None]
        if missing:
            known = ", ".join(sorted(acquisition)) or "nothing"
            raise InputError(
                f"{self.source}: images.{role} ({self.path(role).name}) has no {' and no '.join(missing)} "
                f"(found: {known}); add {'it' if len(missing) == 1 else 'them'} there"
            )
        return [acquisition[k] for k in keys]

    def dicom(self, role: str) -> Path | None:
        """The folder of the DICOM series that a role came from, or None."""
        folder = self.data.get("dicom", {}).get(role)
        return None if folder is None else self.folder / folder

    @property
    def truth(self) -> Path | None:
        """The folder with what a simulation knows of this patient, or None."""
        folder = self.data.get("truth")
        return self.folder / folder if isinstance(folder, str) and folder else None

    @cached_property
    def followup(self) -> "Case | None":
        """The later visit, or None."""
        data = self.data.get("followup")
        return Case(self.folder, data, f"{self.source}: followup") if isinstance(data, dict) and data else None

    def save(self, folder: str | Path) -> Path:
        """Write ``case.json`` into `folder`, with paths relative to it; image files stay where they are."""
        folder = Path(folder)
        data = _rebase(self.data, self.folder, folder)
        return write_json(folder / "case.json", {"id": self.id, **{k: v for k, v in data.items() if k != "id"}})

    def _entry(self, kind: str, role: str) -> Any:
        entries = self.data.get(kind, {})
        if role not in entries:
            raise InputError(f"{self.source} has no {kind[:-1]} {role!r}; it has {', '.join(entries) or 'none'}")
        return entries[role]


def _check_acquisition(entry: Mapping[str, Any], where: str) -> None:
    for key, unit in _ACQUISITION_UNITS.items():
        value = entry.get(key)
        values = value if isinstance(value, list) and key == "flip_angle_deg" else [value]
        for v in values:
            if v is not None and (
                isinstance(v, bool) or not isinstance(v, (int, float)) or not math.isfinite(v) or v <= 0
            ):
                raise InputError(f"{where}.{key} is {v!r}; a number above 0 ({unit}) is needed")
    times = entry.get("times_s")
    if times is None:
        return
    if not isinstance(times, list) or not all(isinstance(t, (int, float)) and math.isfinite(t) for t in times):
        raise InputError(f"{where}.times_s is not a list of numbers; one time in s per frame is needed")
    for i, (a, b) in enumerate(zip(times, times[1:], strict=False)):
        if b <= a:
            raise InputError(
                f"{where}.times_s does not rise: frame {i + 1} is at {a} s and frame {i + 2} at {b} s; rising times are needed"
            )


def _rebase(data: Mapping[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """A copy of a visit's data whose paths start at `new` instead of `old`."""

    def moved(path: str) -> str:
        target = (old / path).resolve()
        try:
            return Path(os.path.relpath(target, new.resolve())).as_posix()
        except ValueError:  # another drive on Windows
            return target.as_posix()

    result = copy.deepcopy(dict(data))
    for entry in result.get("images", {}).values():
        entry["path"] = moved(entry["path"])
    result["masks"] = {
        r: moved(e) if isinstance(e, str) else e | {"path": moved(e["path"])}
        for r, e in result.get("masks", {}).items()
    }
    result["dicom"] = {r: moved(p) for r, p in result.get("dicom", {}).items()}
    if isinstance(result.get("truth"), str):
        result["truth"] = moved(result["truth"])
    if isinstance(result.get("followup"), dict) and result["followup"]:
        result["followup"] = _rebase(result["followup"], old, new)
    return result
