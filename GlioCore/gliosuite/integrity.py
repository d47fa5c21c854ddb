"""Whether an image file is whole: gzip streams are read to their end, byte counts checked against headers.

SimpleITK reads a truncated NIfTI without a word, its missing voxels 0.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from .errors import InputError

SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".seq.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")


def suffix(path: str | Path) -> str:
    """The image suffix of `path` (``".nii.gz"``), or ``""`` if it is not one that GlioSuite reads."""
    name = Path(path).name.lower()
    return next((s for s in SUFFIXES if name.endswith(s)), "")


_NIFTI_BITS = {
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


def _inflated_bytes(path: Path) -> tuple[bytes, int]:
    """The first 352 bytes and the full length of a gzip stream, read to its end.

    Raises
    ------
    InputError
        If the stream ends early or its checksum is wrong.
    """
    head, length = b"", 0
    try:
        with gzip.open(path, "rb") as stream:
            while block := stream.read(1 << 22):
                if len(head) < 352:
                    head += block[: 352 - len(head)]
                length += len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path} is truncated or damaged ({str(error).rstrip('.')}); copy or export the file again"
        ) from error
    return head, length


def _check_nifti(path: Path) -> None:
    """Refuse a NIfTI file that holds fewer voxels than its header says: SimpleITK reads the missing ones as 0 without a word."""
    if path.name.lower().endswith(".gz"):
        head, length = _inflated_bytes(path)
    else:
        length = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(352)
    if len(head) < 348:
        raise InputError(f"{path} is not a NIfTI file: {len(head)} bytes of header found, 348 needed")
    order = next((o for o in "<>" if struct.unpack(o + "i", head[:4])[0] in (348, 540)), None)
    if order is None:
        raise InputError(f"{path} is not a NIfTI file: its header does not start with 348 or 540")
    if struct.unpack(order + "i", head[:4])[0] == 348:
        dims = struct.unpack(order + "8h", head[40:56])
        kind = struct.unpack(order + "h", head[70:72])[0]
        offset = struct.unpack(order + "f", head[108:112])[0]
    else:
        dims = struct.unpack(order + "8q", head[16:80])
        kind = struct.unpack(order + "h", head[12:14])[0]
        offset = struct.unpack(order + "q", head[168:176])[0]
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        raise InputError(f"{path} has impossible dimensions {dims} in its header")
    voxels = int(np.prod(np.asarray(dims[1 : dims[0] + 1], dtype=np.int64)))
    needed = int(offset) + voxels * _NIFTI_BITS.get(kind, 8) // 8
    if length < needed:
        raise InputError(
            f"{path} is truncated: {length} bytes found, {needed} needed for {'x'.join(map(str, dims[1 : dims[0] + 1]))} voxels"
        )


def _check_nrrd(path: Path) -> None:
    """Read a compressed NRRD's stream to its end; the byte count of a raw one is checked by ITK itself."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if not head.startswith(b"NRRD"):
        raise InputError(f"{path} is not an NRRD file: it starts with {head[:8]!r}")
    end = head.find(b"\n\n")
    end, gap = (end, 2) if end >= 0 else (head.find(b"\r\n\r\n"), 4)
    fields = dict(line.split(": ", 1) for line in head[: max(end, 0)].decode("latin-1").splitlines() if ": " in line)
    if end < 0 or "data file" in fields or "encoding" not in fields:
        return
    sizes = [int(s) for s in fields.get("sizes", "0").split()]
    width = {
        "char": 1,
        "int8": 1,
        "uint8": 1,
        "uchar": 1,
        "short": 2,
        "int16": 2,
        "uint16": 2,
        "ushort": 2,
        "float": 4,
        "int": 4,
        "int32": 4,
        "uint32": 4,
        "uint": 4,
        "double": 8,
    }
    kind = (
        fields.get("type", "")
        .replace("unsigned ", "u")
        .replace("signed ", "")
        .replace("_t", "")
        .replace("ulong long", "double")
        .replace("long long", "double")
    )
    needed = int(np.prod(sizes)) * width.get(kind, 1)
    if fields["encoding"].strip() in ("gzip", "gz"):
        with path.open("rb") as stream:
            stream.seek(end + gap)
            inflate, length = zlib.decompressobj(47), 0
            try:
                while block := stream.read(1 << 22):
                    length += len(inflate.decompress(block))
            except zlib.error as error:
                raise InputError(f"{path} is damaged ({error}); copy or export the file again") from error
    else:
        length = path.stat().st_size - end - gap
    if fields["encoding"].strip() in ("gzip", "gz", "raw") and length < needed:
        raise InputError(
            f"{path} is truncated: {length} bytes of voxels found, {needed} needed; copy or export the file again"
        )


def check_file(path: str | Path) -> None:
    """Refuse an image file that is missing, truncated or damaged, without decoding its voxels."""
    path = _existing(path)
    kind = suffix(path)
    try:
        if ".nii" in kind:
            _check_nifti(path)
        elif ".nrrd" in kind:
            _check_nrrd(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.is_dir():
        raise InputError(f"{path} is a folder; an image file ({', '.join(SUFFIXES)}) is needed")
    if not suffix(path):
        raise InputError(
            f"{path} is not an image that GlioSuite reads; its name must end in one of {', '.join(SUFFIXES)}"
        )
    return path
