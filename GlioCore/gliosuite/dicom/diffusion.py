"""How strongly and in which direction an image is diffusion-weighted, as the standard and as vendors write it."""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from .elements import items, number, numbers, private, text

PHILIPS = "Philips MR Imaging DD 001"
_GE_SCALED = (0.03, 0.97)  # lengths of GE's directions that scale the b-value, as dcm2niix has it
Weight = tuple[float | None, tuple[float, ...] | None]


def diffusion(ds: Any, groups: list[Any], philips: list[Any], orientation: Sequence[float]) -> Weight:
    """b-value (s/mm2) and gradient direction (LPS) of a frame: by the standard's elements, else by Siemens', GE's, Philips' and UIH's.

    Parameters
    ----------
    groups, philips
        Functional groups of a frame of an enhanced file, most specific first; where Philips' private elements of the frame are.
    orientation
        Direction cosines along a row and along a column.
    """
    b, vector = _standard(ds, groups)
    for other in (_siemens, _ge, _uih, lambda d, _: _philips(philips)):
        if b is not None and len(vector) == 3:
            break
        own, direction = other(ds, orientation)
        # A direction belongs to its own vendor's b-value, unless the standard's says the same.
        if own is not None and (b is None or not len(vector)):
            scaled = own if b is None or other is _ge else b
            b, vector = scaled, direction
    if b is None or not math.isfinite(b) or b < 0:
        return None, None
    return float(b), tuple(float(v) for v in vector) if len(vector) == 3 else None


def _standard(ds: Any, groups: list[Any]) -> tuple[float | None, Sequence[float]]:
    if groups:
        macro = (items(groups, "MRDiffusionSequence") or [None])[0]
        directions = items(macro, "DiffusionGradientDirectionSequence")
        b = number(macro, "DiffusionBValue")
        if b is not None:
            return b, numbers(directions[0], "DiffusionGradientOrientation") if directions else ()
    return number(ds, "DiffusionBValue"), numbers(ds, "DiffusionGradientOrientation")


def _siemens(ds: Any, _: Sequence[float]) -> tuple[float | None, Sequence[float]]:
    """The private elements, else the CSA header, which older software has alone."""
    if found := private(ds, 0x0019, "SIEMENS MR HEADER", 0x0C):
        return found[0], private(ds, 0x0019, "SIEMENS MR HEADER", 0x0E)
    header = csa(ds)
    if found := header.get("B_value") or []:
        return found[0], header.get("DiffusionGradientDirection") or ()
    return None, ()


def _ge(ds: Any, orientation: Sequence[float]) -> tuple[float | None, Sequence[float]]:
    """GE's directions are along its frequency, phase and slice axes; by dcm2niix, tested there on axial images.

    ADC and FA do not depend on the signs. A direction that is shorter than 1 means that the b-value is that share (squared) of the nominal
    one. GE adds 1e9 to say that the value is the nominal one.
    """
    found = private(ds, 0x0043, "GEMS_PARM_01", 0x39)
    if not found:
        return None, ()
    b = found[0] % 1e6 if found[0] >= 1e6 else found[0]
    axes = [private(ds, 0x0019, "GEMS_ACQU_01", e) for e in (0xBB, 0xBC, 0xBD)]
    if not all(axes):
        return b, ()
    along = np.array([a[0] for a in axes])
    length = float(np.linalg.norm(along))
    if not length or not b:
        return b, ()
    if _GE_SCALED[0] < length < _GE_SCALED[1]:
        b = round(b * length**2, 3)
    x, y, z = along / length
    row, column = np.asarray(orientation[:3]), np.asarray(orientation[3:])
    first, second = (y, -x) if text(ds, "InPlanePhaseEncodingDirection").upper().startswith("ROW") else (x, y)
    return b, first * row + second * column - z * np.cross(row, column)


def _uih(ds: Any, _: Sequence[float]) -> tuple[float | None, Sequence[float]]:
    if found := private(ds, 0x0065, "Image Private Header", 0x09):
        return found[0], private(ds, 0x0065, "Image Private Header", 0x37)
    return None, ()


def _philips(elements: list[Any]) -> tuple[float | None, Sequence[float]]:
    for p in elements:
        if found := private(p, 0x2001, "Philips Imaging DD 001", 0x03):
            axes = [private(p, 0x2005, PHILIPS, e) for e in (0xB0, 0xB1, 0xB2)]
            return found[0], [a[0] for a in axes] if all(axes) else ()
    return None, ()


_CSA = ("NumberOfImagesInMosaic", "SliceNormalVector", "B_value", "DiffusionGradientDirection")


def csa(ds: Any) -> dict[str, list[float]]:
    """Numbers in Siemens' CSA image header (format SV10): name -> values, of mosaics and diffusion."""
    try:
        raw = ds.private_block(0x0029, "SIEMENS CSA HEADER")[0x10].value
    except (KeyError, AttributeError):
        return {}
    if not isinstance(raw, bytes) or raw[:4] != b"SV10":
        return {}
    found: dict[str, list[float]] = {}
    try:
        (tags,) = struct.unpack_from("<I", raw, 8)
        at = 16
        for _ in range(tags):
            name = raw[at : at + 64].split(b"\0")[0].decode("latin-1")
            (count,) = struct.unpack_from("<i", raw, at + 76)
            at += 84
            values = []
            for _ in range(count):
                (length,) = struct.unpack_from("<i", raw, at + 4)
                values.append(raw[at + 16 : at + 16 + length].split(b"\0")[0].strip())
                at += 16 + (length + 3) // 4 * 4
            if name in _CSA:
                found[name] = [float(v) for v in values if v]
    except (struct.error, ValueError):
        return {}
    return found
