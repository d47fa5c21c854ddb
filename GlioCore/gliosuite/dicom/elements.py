"""Values of DICOM data elements, as far as they can be read: a missing or malformed one is empty, never an error."""

import datetime
import math
import re
import struct
from typing import Any


def text(ds: Any, keyword: str) -> str:
    """An element's value as text; the first of several; ``""`` if it is absent, empty or unreadable."""
    values = texts(ds, keyword)
    return values[0] if values else ""


def texts(ds: Any, keyword: str) -> list[str]:
    """An element's values as text, without empty ones."""
    try:
        value = ds.get(keyword) if ds is not None else None
    except Exception:  # a value that its VR does not allow
        return []
    if value is None:
        return []
    values = [value] if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") else list(value)
    if not isinstance(value, (str, bytes)) and hasattr(
        value, "family_name"
    ):  # a person's name iterates over its letters
        values = [str(value)]
    return [t for v in values if (t := str(v).replace("\0", "").strip())]


def number(ds: Any, keyword: str) -> float | None:
    """An element's first value as a finite number, or None."""
    try:
        value = float(text(ds, keyword))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def numbers(ds: Any, keyword: str) -> tuple[float, ...]:
    """An element's values as numbers; empty if one is none."""
    try:
        return tuple(float(t) for t in texts(ds, keyword))
    except ValueError:
        return ()


def whole(ds: Any, keyword: str) -> int | None:
    """An element's first value as a whole number, or None."""
    value = number(ds, keyword)
    return None if value is None else round(value)


def items(datasets: Any, keyword: str) -> list[Any]:
    """The items of a sequence in the first of `datasets` (one, or a list in order of precedence) that has it."""
    for ds in datasets if isinstance(datasets, list) else [datasets]:
        found = ds.get(keyword) if ds is not None else None
        if found:
            return list(found)
    return []


def shared_groups(ds: Any) -> list[Any]:
    """Functional groups of a multi-frame file that hold for its first frame, most specific first."""
    return items(ds, "PerFrameFunctionalGroupsSequence")[:1] + items(ds, "SharedFunctionalGroupsSequence")[:1]


def first_type(ds: Any) -> str:
    """Where vendors write that a sequence is an angiography."""
    return " ".join(texts(ds, "ScanOptions") + texts(ds, "TimeOfFlightContrast")).upper().replace("YES", "TOF")


def private(ds: Any, group: int, creator: str, element: int) -> list[float]:
    """Numbers of a private element, also where its VR is unknown (UN); empty if it is absent."""
    try:
        value = ds.private_block(group, creator)[element].value
    except (KeyError, AttributeError, ValueError):
        return []
    if isinstance(value, bytes):
        try:
            return [float(v) for v in value.decode("ascii").replace("\0", " ").split("\\") if v.strip()]
        except (UnicodeDecodeError, ValueError):
            kind = {4: "<f", 24: "<3d", 8: "<d", 2: "<H"}.get(len(value))
            return list(struct.unpack(kind, value)) if kind else []
    try:
        many = hasattr(value, "__iter__") and not isinstance(value, str)
        return [float(v) for v in (value if many else [value]) if v is not None]
    except (TypeError, ValueError):
        return []


def day_of(value: str) -> str:
    """A DICOM date as YYYYMMDD; ``""`` if it is none."""
    value = value.replace(".", "").replace("-", "")[:8]
    return value if re.fullmatch(r"\d{8}", value) and value != "00000000" else ""


def seconds(date: str, time: str) -> float | None:
    """A DICOM date (may be empty) and time as seconds from a fixed day."""
    time = time.replace(":", "")
    match = re.match(r"(\d{2})(\d{2})?(\d{2})?(\.\d+)?", time)
    if not match:
        return None
    hours, minutes, rest, fraction = match.groups()
    value = int(hours) * 3600 + int(minutes or 0) * 60 + int(rest or 0) + float(fraction or 0)
    try:
        day = datetime.datetime.strptime(day_of(date), "%Y%m%d").toordinal() if day_of(date) else 0
    except ValueError:
        day = 0
    return day * 86400.0 + value
