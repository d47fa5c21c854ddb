"""NIfTI files as bytes: read and inflated once, their length checked against the header, their numbers taken from that one buffer.

Geometry is left to ITK, which reads headers only; what it does to numbers (scaling, NaN turned into 0) is done here.
"""

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError

HEAD = 352
_BITS = {
    2: 8,
    4: 16,
    8: 32,
    16: 32,
    32: 64,
    64: 64,
    128: 24,
    256: 8,
    512: 16,
    768: 32,
    1024: 64,
    1280: 64,
    1536: 128,
    1792: 128,
    2304: 32,
}
COMPLEX, COLOURS = (32, 1792, 2048), (128, 2304)
PLAIN = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}


@dataclass(frozen=True)
class NiftiHeader:
    """What the voxels of a NIfTI-1 file are: byte order, size along each axis, kind of number, where they start, scaling.

    `forms` are qform and sform, (3, 4) from voxels to mm (RAS), where the file has both; `apart_mm` is how far they put a voxel apart.
    """

    order: str
    size: tuple[int, ...]
    kind: int
    offset: int
    slope: float
    intercept: float
    forms: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def apart_mm(self) -> float:
        """How far a corner of the image lies by the qform from where the sform has it, mm."""
        if self.forms is None:
            return 0.0
        corners = np.array([(*i, 1) for i in np.ndindex(2, 2, 2)]) * [*np.subtract((*self.size, 1, 1)[:3], 1), 1]
        return float(np.linalg.norm(corners @ (self.forms[0] - self.forms[1]).T, axis=1).max())

    @property
    def count(self) -> int:
        """Number of voxels."""
        return int(np.prod(np.asarray(self.size, dtype=np.int64)))

    @property
    def scaled(self) -> bool:
        """Whether stored numbers are multiplied and shifted; a slope of 0 says no."""
        return bool(
            np.isfinite([self.slope, self.intercept]).all()
            and self.slope != 0
            and (self.slope != 1 or self.intercept != 0)
        )


def read_header(head: bytes, path: Path) -> NiftiHeader:
    """The header from a file's first `HEAD` bytes.

    Raises
    ------
    InputError
        If they are no NIfTI-1 header.
    """
    if len(head) < 348:
        raise InputError(f"{path} is not a NIfTI file: {len(head)} bytes of header found, 348 needed")
    order = next((o for o in "<>" if struct.unpack(o + "i", head[:4])[0] in (348, 540)), None)
    if order is None:
        raise InputError(f"{path} is not a NIfTI file: its header does not start with 348 or 540")
    if struct.unpack(order + "i", head[:4])[0] == 540:
        raise InputError(
            f"{path} is a NIfTI-2 file, which ITK does not read; convert it to NIfTI-1, e.g. with nibabel: "
            "nib.save(nib.Nifti1Image.from_image(nib.load(FILE)), OTHER)"
        )
    dims = struct.unpack_from(order + "8h", head, 40)
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        raise InputError(f"{path} has impossible dimensions {dims} in its header")
    (kind,) = struct.unpack_from(order + "h", head, 70)
    offset, slope, intercept = struct.unpack_from(order + "3f", head, 108)
    return NiftiHeader(order, dims[1 : dims[0] + 1], kind, int(offset), slope, intercept, _forms(head, order))


def _forms(head: bytes, order: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The two positions that a file may have (NIfTI-1, "3D image (volume) orientation and location in space")."""
    if min(struct.unpack_from(order + "hh", head, 252)) <= 0:
        return None
    handed, *spacing = struct.unpack_from(order + "4f", head, 76)
    b, c, d, *origin = struct.unpack_from(order + "6f", head, 256)
    a = np.sqrt(max(1.0 - b * b - c * c - d * d, 0.0))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    qform = np.column_stack([turn * spacing * [1, 1, -1 if handed < 0 else 1], origin])
    return qform, np.reshape(struct.unpack_from(order + "12f", head, 280), (3, 4))


def check_length(header: NiftiHeader, length: int, path: Path) -> None:
    """Refuse a file of `length` bytes that holds fewer voxels than its header says: ITK reads the missing ones as 0 without a word."""
    needed = header.offset + header.count * _BITS.get(header.kind, 8) // 8
    if length < needed:
        raise InputError(
            f"{path} is truncated: {length} bytes found, {needed} needed for {'x'.join(map(str, header.size))} voxels"
        )


def damaged(path: Path, error: Exception) -> InputError:
    """The sentence for a gzip stream that ends early or whose checksum is wrong."""
    return InputError(f"{path} is truncated or damaged ({str(error).rstrip('.')}); copy or export the file again")


def read_content(path: Path) -> tuple[NiftiHeader, bytes]:
    """Header and inflated bytes of a whole file.

    Raises
    ------
    InputError
        If it is no NIfTI file, truncated or damaged.
    """
    content = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise damaged(path, error) from error
    header = read_header(content[:HEAD], path)
    check_length(header, len(content), path)
    return header, content


def deflate(content: bytes, real: bool) -> bytes:
    """A gzip stream of `content` without a time stamp.

    Maps of real numbers repeat nothing but 0: looking for runs alone takes a third of the time and saves as much.
    """
    level, strategy = (1, zlib.Z_RLE) if real else (6, zlib.Z_DEFAULT_STRATEGY)
    stream = zlib.compressobj(level, zlib.DEFLATED, 31, 9, strategy)
    return stream.compress(content) + stream.flush()


def numbers(header: NiftiHeader, content: bytes) -> np.ndarray | None:
    """The voxels (..., z, y, x) as ITK would give them, but for NaN and infinite ones, which are NaN; None for colours and complex numbers.

    The array may be a view of `content` that cannot be written to.
    """
    if header.kind not in PLAIN:
        return None
    stored = np.dtype(header.order + PLAIN[header.kind])
    values = np.frombuffer(content, stored, header.count, header.offset).reshape(header.size[::-1])
    if header.scaled:
        # As ITK: integers become float32, the sum is formed in double precision.
        values = values.astype(np.float64 if PLAIN[header.kind] == "f8" else np.float32)
        for part in values.reshape(header.size[-1], -1):
            part[:] = part * np.float64(header.slope) + np.float64(header.intercept)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind == "f" and not (known := np.isfinite(values)).all():
        values = np.where(known, values, values.dtype.type(np.nan))
    return values
