"""ITK's ``.h5`` transforms without the hour and the machine: the same transform gives the same bytes.

HDF5 keeps four time stamps in every object header and ITK notes the system's release. Both are blanked in the finished file, and the
headers' checksums are made right again (HDF5 file format specification 3.0, IV.A.1.b; Jenkins' lookup3).
"""

import platform
import struct
from pathlib import Path

import SimpleITK as sitk

from ..errors import InputError
from ..files import atomic

_TIMES, _PHASE = 0x20, 0x10  # bits of an object header's flags
_LONGEST_HEADER = 1 << 16  # bytes; those of ITK's transforms have some hundred


def blank_origin(path: str | Path) -> None:
    """Set all time stamps of the HDF5 file `path` to 0 and blank the name and release of the system in it."""
    data = bytearray(Path(path).read_bytes())
    start = data.find(b"OHDR\x02")
    while start >= 0:
        end = _header_end(data, start)
        # Numbers of a transform may look like a header; what has no valid checksum is none.
        if end and data[end : end + 4] == struct.pack("<I", lookup3(bytes(data[start:end]))):
            if data[start + 5] & _TIMES:
                data[start + 6 : start + 22] = bytes(16)
            data[end : end + 4] = struct.pack("<I", lookup3(bytes(data[start:end])))
        else:
            end = start + 5
        start = data.find(b"OHDR\x02", end)
    heap = data.find(b"GCOL\x01\0\0\0")  # variable-length strings lie there; it has no checksum
    size = int.from_bytes(data[heap + 8 : heap + 16], "little") if heap >= 0 else 0
    for word in (platform.release(), platform.system()):
        at = data.find(word.encode(), heap, heap + size) if size and word else -1
        if at >= 0:
            data[at : at + len(word.encode())] = b" " * len(word.encode())
    Path(path).write_bytes(bytes(data))


def _header_end(data: bytearray, start: int) -> int:
    """Where the checksum of an object header would stand; 0 where the file ends before it, or it is too long for a header of ITK's."""
    if start + 6 > len(data):
        return 0
    flags = data[start + 5]
    at = start + 6 + (16 if flags & _TIMES else 0) + (4 if flags & _PHASE else 0)
    width = 1 << (flags & 3)
    end = at + width + int.from_bytes(data[at : at + width], "little")
    return end if end + 4 <= len(data) and end - start < _LONGEST_HEADER else 0


def lookup3(key: bytes) -> int:
    """Jenkins' lookup3 hash (``hashlittle`` with initial value 0), HDF5's checksum of metadata."""
    mask = 0xFFFFFFFF
    rotated = lambda x, k: ((x << k) | (x >> (32 - k))) & mask
    a = b = c = (0xDEADBEEF + len(key)) & mask
    whole = (len(key) - 1) // 12 * 12
    for i in range(0, whole, 12):
        x, y, z = struct.unpack_from("<III", key, i)
        p, q, r = (a + x) & mask, (c + z) & mask, (b + y) & mask
        for k in (4, 6, 8, 16, 19, 4):  # the three words change places from round to round
            p, q = ((p - q) & mask) ^ rotated(q, k), (q + r) & mask
            p, q, r = r, p, q
        a, c, b = p, q, r
    x, y, z = struct.unpack("<III", key[whole:].ljust(12, b"\0"))
    p, q, r = (c + z) & mask, (b + y) & mask, (a + x) & mask
    for k in (14, 11, 25, 16, 4, 14, 24):
        p = ((p ^ q) - rotated(q, k)) & mask
        p, q, r = r, p, q
    return q


def write_transform(transform: sitk.Transform, path: str | Path) -> Path:
    """Write an ITK transform whole or not at all: ``.tfm`` for a linear one, ``.h5`` for any.

    Raises
    ------
    InputError
        If the suffix does not fit, or the folder cannot be written.
    """
    path = Path(path)
    check_transform_name(path, isinstance(transform, sitk.CompositeTransform))
    with atomic(path) as partial:
        try:
            sitk.WriteTransform(transform, str(partial))
            if partial.suffix.lower() == ".h5":
                blank_origin(partial)
        except RuntimeError as error:
            raise InputError(f"{path} could not be written: {str(error).strip().splitlines()[-1]}") from error
    return path


def check_transform_name(path: str | Path, deformable: bool) -> None:
    """Refuse a transform's file name that the result will not fit."""
    allowed = (".h5",) if deformable else (".tfm", ".h5")
    if Path(path).suffix.lower() not in allowed:
        kind = "with a bspline stage the transform is a composite" if deformable else "this is a transform"
        raise InputError(f"{path}: {kind}, and its name must end in {' or '.join(allowed)}")
