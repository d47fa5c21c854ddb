"""What a step was seen to read: keys of case.json, files, settings and results of earlier steps, each with a hash of its content.

A step's result can be kept as long as all that it once read is as it was. Nobody keeps a list of inputs by hand: what a step reads
goes through a `SeenCase`, `SeenSettings` and `Run.result`, and these take note.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..case import Case
from ..files import plain, read_json
from ..steps import sha256

ABSENT = "absent"
# Of what kind and where: ("key", "images", "dce", "tr_ms"), ("file", "masks", "cel"), ("setting", "engine"), ("result", "dce", "fit.json").
What = tuple[str, ...]
Note = Callable[[What, str], None]


def value_hash(value: Any) -> str:
    """A hash of a value: notes lie beside results, and a value can name a patient."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


class Files:
    """Hashes of files and folders, each computed once until a step writes there."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def hash(self, path: Path) -> str:
        """The hash of a file's or a folder's content; `ABSENT` where there is none."""
        if path not in self._known:
            self._known[path] = sha256(path) if path.exists() else ABSENT
        return self._known[path]

    def forget(self, folder: Path) -> None:
        """Forget what lies in a folder."""
        self._known = {p: h for p, h in self._known.items() if folder != p and folder not in p.parents}


class _Seen(dict[str, Any]):
    """A part of case.json that notes each key asked for. A path is not noted: the content of its file is, when it is read."""

    def __init__(self, data: dict[str, Any], where: What, note: Note) -> None:
        super().__init__(data)
        self.where, self._note = where, note

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if isinstance(value, dict):
            return _Seen(value, (*self.where, key), self._note)
        names_a_file = key == "path" or self.where[-1:] in (("masks",), ("dicom",))
        if not names_a_file:
            self._note(("key", *self.where, key), value_hash(value))
        return value

    def __contains__(self, key: object) -> bool:
        there = super().__contains__(key)
        self._note(("has", *self.where, str(key)), str(there))
        return there

    def __iter__(self) -> Iterator[str]:
        self._note(("keys", *self.where), value_hash(sorted(super().keys())))
        return super().__iter__()

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dict, noted."""
        there = key in self
        return self[key] if there else default

    def items(self) -> Any:
        """As of a dict, noted."""
        return [(key, self[key]) for key in self]

    def without_path(self) -> "_Seen":
        """The same without the key ``path``."""
        return _Seen({k: v for k, v in super().items() if k != "path"}, self.where, self._note)


class SeenCase(Case):
    """A case that notes which of its keys and files are read."""

    def __init__(self, case: Case, files: Files, note: Note, where: What = ()) -> None:
        super().__init__(case.folder, _Seen(case.data, where, note), case.source)
        self._plain, self._files, self._note, self._where = case, files, note, where

    # Asking whether a role is there notes that role alone, not all that there are.
    @property
    def images(self) -> Any:
        """Image roles present."""
        return self.data.get("images", {})

    @property
    def masks(self) -> Any:
        """Mask roles present."""
        return self.data.get("masks", {})

    def path(self, role: str) -> Path:
        """The file of an image role."""
        return self._noted("images", role, super().path(role))

    def beside(self, role: str, ending: str) -> Path | None:
        """The file beside that of an image role with another ending, or None."""
        found = self._plain.beside(role, ending)
        self._note(("beside", *self._where, role, ending), ABSENT if found is None else self._files.hash(found))
        return found

    def mask_path(self, role: str) -> Path:
        """The file of a mask role."""
        return self._noted("masks", role, super().mask_path(role))

    def dicom(self, role: str) -> Path | None:
        """The folder of the DICOM series that a role came from, or None."""
        folder = super().dicom(role)
        return None if folder is None else self._noted("dicom", role, folder)

    def acquisition(self, role: str) -> dict[str, Any]:
        """What is known of how an image was taken; a key is noted when it is asked for."""
        return self._entry("images", role).without_path()

    @property
    def truth(self) -> Path | None:
        """The folder with what a simulation knows of this patient, or None."""
        folder = self._plain.truth
        self._note(("file", "truth"), ABSENT if folder is None else self._files.hash(folder))
        return folder

    @property
    def followup(self) -> "SeenCase | None":
        """The later visit, or None."""
        later = self._plain.followup
        self._note(("later",), str(later is not None))
        return None if later is None else SeenCase(later, self._files, self._note, ("followup",))

    def _noted(self, kind: str, role: str, path: Path) -> Path:
        self._note(("file", *self._where, kind, role), self._files.hash(path))
        return path


class SeenSettings:
    """Settings that note which of their fields are read."""

    def __init__(self, settings: Any, files: Files, note: Note) -> None:
        self._settings, self._files, self._note = settings, files, note

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._settings, name)
        self._note(("setting", name), value_hash(value))
        return value

    def skips(self, role: str) -> bool:
        """Whether a step or role is to be left out."""
        found = role in self._settings.skip
        self._note(("skip", role), str(found))
        return found

    def choice_or_folder(self, name: str, choices: tuple[str, ...]) -> str:
        """A setting that is one of `choices` or a folder; a folder is known by its content, since its path can hold a patient's name."""
        value = getattr(self._settings, name)
        self._note(("choice", name, *choices), _choice(self._settings, self._files, name, choices))
        return value


def _choice(settings: Any, files: Files, name: str, choices: tuple[str, ...]) -> str:
    value = getattr(settings, name)
    return value if value in choices else files.hash(Path(value))


def record_of(out: Path, step: str) -> dict[str, Any]:
    """What a step reported, of ``provenance.json``; empty where it did not run."""
    path = out / step / "provenance.json"
    return read_json(path)["record"] if path.exists() else {}


def now(what: What, case: Case, settings: Any, out: Path, files: Files) -> str:
    """What a note of `what` would say now."""
    kind, *where = what
    if kind == "setting":
        return value_hash(getattr(settings, where[0], None))
    if kind == "skip":
        return str(where[0] in settings.skip)
    if kind == "choice":
        return _choice(settings, files, where[0], tuple(where[1:]))
    if kind == "result":
        return files.hash(out.joinpath(*where))
    if kind == "record":
        return value_hash(record_of(out, where[0]))
    if kind == "later":
        return str(case.followup is not None)
    if kind == "beside":
        visit = case if len(where) == 2 else case.followup
        found = visit.beside(*where[-2:]) if visit is not None and where[-2] in visit.images else None
        return ABSENT if found is None else files.hash(found)
    if kind == "results":
        return value_hash(sorted(p.name for p in out.joinpath(where[0]).glob(where[1])))
    data: Any = case.data
    for key in where[:-1] if kind != "keys" else where:
        data = data.get(key, {}) if isinstance(data, dict) else {}
    if kind == "keys":
        return value_hash(sorted(data)) if isinstance(data, dict) else ABSENT
    if kind == "has":
        return str(isinstance(data, dict) and where[-1] in data)
    if not isinstance(data, dict) or where[-1] not in data:
        return ABSENT
    value = data[where[-1]]
    if kind == "key":
        return value_hash(value)
    path = value if isinstance(value, str) else value.get("path", "") if isinstance(value, dict) else ""
    return files.hash(case.folder / path)
