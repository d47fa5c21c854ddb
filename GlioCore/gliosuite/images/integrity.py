"""Whether an image file is whole: gzip streams are read to their end, byte counts checked against headers.

SimpleITK reads a truncated NIfTI without a word, its missing voxels 0.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ..errors import InputError
from .nifti import HEAD, check_length, damaged, read_header

SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".seq.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")


def suffix(path: str | Path) -> str:
    """The image suffix of `path` (``".nii.gz"``), or ``""`` if it is not one that GlioSuite reads."""
    name = Path(path).name.lower()
    return next((s for s in SUFFIXES if name.endswith(s)), "")


def beside(path: str | Path, ending: str) -> Path | None:
    """The file of an image's name with another ending, as b-values lie beside a diffusion series (``.bval``); None where there is none."""
    path = Path(path)
    found = path.with_name(path.name[: len(path.name) - len(suffix(path))] + ending)
    return found if found.is_file() else None


def _inflated_bytes(path: Path) -> tuple[bytes, int]:
    """The first bytes and the full length of a gzip stream, read to its end.

    Raises
    ------
    InputError
        If the stream ends early or its checksum is wrong.
    """
    head, length = b"", 0
    try:
        with gzip.open(path, "rb") as stream:
            while block := stream.read(1 << 22):
                if len(head) < HEAD:
                    head += block[: HEAD - len(head)]
                length += len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, error) from error
    return head, length


def _check_nifti(path: Path) -> None:
    """Refuse a NIfTI file that holds fewer voxels than its header says, without keeping them in memory."""
    if path.name.lower().endswith(".gz"):
        head, length = _inflated_bytes(path)
    else:
        length = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    check_length(read_header(head, path), length, path)


def _check_nrrd(path: Path) -> None:
    """Read a compressed NRRD's stream to its end; the byte count of a raw one is checked by ITK itself."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if not head.startswith(b"NRRD"):
        raise InputError(f"{path} is not an NRRD file: it starts with {head[:8]!r}")
    end = head.find(b"\n\n")
    end, gap = (end, 2) if end >= 0 else (head.find(b"\r\n\r\n"), 4)
    fields = dict(line.split(": ", 1) for line in head[: max(end, 0)].decode("latin-1").splitlines() if ": " in line)
    if "rgb" in fields.get("kinds", "").lower():
        raise InputError(f"{path} holds colours ({fields['kinds'].strip()}); measured values are needed")
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
        raise _truncated(path, length, needed)


_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "FLOAT": 4, "DOUBLE": 8}


def _check_meta(path: Path) -> None:
    """Compare the bytes of a MetaImage's voxels, in its own or in one other file, with its header."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    mark = head.find(b"ElementDataFile")
    end = head.find(b"\n", mark)
    lines = head[: end if end >= 0 else len(head)].decode("latin-1").splitlines()
    fields = {key.strip(): value.strip() for key, equals, value in (line.partition("=") for line in lines) if equals}
    if mark < 0 or not {"DimSize", "ElementType"} <= fields.keys():
        raise InputError(f"{path} is no MetaImage file: its header has no DimSize, ElementType and ElementDataFile")
    name = fields["ElementDataFile"]
    if fields.get("BinaryData", "True").lower() == "false":
        return  # numbers as text have no width
    if name.upper() == "LOCAL":
        length = path.stat().st_size - end - 1
    elif name.startswith("LIST") or "%" in name:
        return
    else:
        other = path.parent / name
        if not other.is_file():
            raise InputError(
                f"{path} names {name} as the file of its voxels, which is not there; keep both in one folder"
            )
        length = other.stat().st_size
    if fields.get("CompressedData", "").lower() == "true":
        needed = int(fields.get("CompressedDataSize", 0))
    else:
        width = _META_BYTES.get(fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY"), 1)
        sizes = [int(n) for n in fields["DimSize"].split()]
        needed = math.prod(sizes) * int(fields.get("ElementNumberOfChannels", 1)) * width
    if length < needed:
        raise _truncated(path, length, needed)


def _truncated(path: Path, length: int, needed: int) -> InputError:
    return InputError(
        f"{path} is truncated: {length} bytes of voxels found, {needed} needed; copy or export the file again"
    )


def check_file(path: str | Path) -> None:
    """Refuse an image file that is missing, truncated or damaged, without decoding its voxels."""
    path = existing(path)
    kind = suffix(path)
    try:
        if ".nii" in kind:
            _check_nifti(path)
        elif ".nrrd" in kind:
            _check_nrrd(path)
        else:
            _check_meta(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged: its header cannot be understood ({error})") from error


def existing(path: str | Path) -> Path:
    """The path of an image file that is there; an `InputError` says what is wrong otherwise."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.is_dir():
        raise InputError(f"{path} is a folder; an image file ({', '.join(SUFFIXES)}) is needed")
    if not suffix(path):
        with path.open("rb") as stream:
            if stream.read(132)[128:] == b"DICM":
                raise InputError(
                    f"{path} is a DICOM file; a structure of an RT structure set is named behind it (RS.dcm:ROI), and gliosuite import "
                    "makes images of a folder of DICOM files"
                )
        raise InputError(
            f"{path} is not an image that GlioSuite reads; its name must end in one of {', '.join(SUFFIXES)}"
        )
    return path
