"""Results appear whole or not at all: temporary names in the same folder, then ``os.replace``."""

import contextlib
import csv
import errno
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .errors import InputError, option

_PARTIAL = ".gliosuite-partial-"
_TRIES = 20  # to make a folder that another process removes
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} if hasattr(errno, "EDQUOT") else {errno.ENOSPC, errno.EFBIG}


def _sentence(path: Path, error: OSError) -> InputError:
    """Say in one sentence why `path` could not be written."""
    if error.errno in _FULL:
        return InputError(f"no space left to write {path}: free some disk space or choose another {option('--out')}")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"{path} cannot be written ({error.strerror}): choose an output folder that you may write to")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return InputError(f"{path} cannot be written: a file stands where a folder is needed")
    return InputError(f"{path} cannot be written: {error.strerror or error}")


_inputs: set[Path] = set()  # what no result may replace


@contextlib.contextmanager
def keeping(inputs: Iterable[Path]) -> Iterator[None]:
    """Refuse results that would replace one of these files while a ``with`` statement lasts."""
    global _inputs
    before, _inputs = _inputs, {p.resolve() for p in inputs}
    try:
        yield
    finally:
        _inputs = before


def _refuse_replacing(path: Path) -> None:
    if _inputs and path.resolve() in _inputs:
        raise InputError(
            f"{path} is read by this command and would be replaced; choose another {option('--out')} for the results"
        )


def check_room(path: str | Path, is_folder: bool) -> None:
    """Refuse a place for results that cannot be written, by writing there; nothing is left.

    Raises
    ------
    InputError
        If a file stands where a folder is needed or the other way round, or the folder may not be written.
    """
    path = Path(path).absolute()
    if not is_folder and path.is_dir():
        raise InputError(f"{path} is a folder; the name of a file is needed")
    there = next(p for p in (path if is_folder else path.parent, *path.parents) if p.exists())
    if not there.is_dir():
        raise InputError(f"{there} is a file; an output folder is needed")
    try:
        tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=there).cleanup()
    except OSError as error:
        raise _sentence(path, error) from error


@contextlib.contextmanager
def _partial_in(folder: Path, what: Path) -> Iterator[Path]:
    """Make a folder of a temporary name in `folder`, from which `what` is to be written.

    Parents that were made are removed again if the body fails and leaves them empty.
    """
    made: list[Path] = []
    try:
        partial = _make_partial(folder, made)
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except BaseException as error:
        for parent in reversed(made):
            with contextlib.suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise _sentence(what, error) from error
        raise


def _make_partial(folder: Path, made: list[Path]) -> Path:
    """The temporary folder; what had to be made for it is noted in `made`.

    Another process may make the same folders at the same time, or remove those that it had made and found empty again.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            for parent in [*reversed(folder.parents), folder]:
                if not parent.exists():
                    with contextlib.suppress(FileExistsError):
                        parent.mkdir()
                        made.append(parent)
            if not folder.is_dir() and folder.exists():
                raise InputError(f"{folder} is a file; an output folder is needed")
            return Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder))
        except FileNotFoundError:
            if not tries_left:
                raise
    raise AssertionError("unreachable")


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` (same suffixes); move it into place when the body succeeds.

    Raises
    ------
    InputError
        If the folder cannot be written or the disk is full; then nothing is left behind.
    """
    path = Path(path).absolute()
    _refuse_replacing(path)
    with _partial_in(path.parent, path) as folder:
        partial = folder / path.name
        yield partial
        os.replace(partial, path)


@contextlib.contextmanager
def staged(out: str | Path, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder on the same disk; when the body succeeds, move all that it holds into `out`, file by file.

    Files already in `out` are replaced only as whole files; others stay. When the body fails, `out` is as it was before (absent, if
    it was made here). With `replace`, files that the body did not write are removed from `out` once all others are in place.

    Raises
    ------
    InputError
        If `out` cannot be written, is a file, or the disk is full.
    """
    out = Path(out).absolute()
    with _partial_in(out, out) as folder:
        yield folder
        kept = set()
        made = sorted(p for p in folder.rglob("*") if p.is_file())
        for source in made if _inputs else ():
            _refuse_replacing(out / source.relative_to(folder))
        for source in made:
            target = out / source.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
            kept.add(target)
        for old in [p for p in out.rglob("*") if p.is_file()] if replace else ():
            if old not in kept and folder not in old.parents:
                old.unlink()


def clear_partial(folder: str | Path) -> None:
    """Remove what a process that was ended from outside has left half-written in a folder, and the folder where nothing else is in it."""
    for partial in sorted(Path(folder).glob(f"{_PARTIAL}*")):
        shutil.rmtree(partial, ignore_errors=True)
    with contextlib.suppress(OSError):
        Path(folder).rmdir()


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write `content` to `path`, whole or not at all."""
    with atomic(path) as partial:
        partial.write_bytes(content)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text with ``\\n`` line ends on every platform."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, content: Any) -> Path:
    """Write JSON with sorted content as given, NaN as null, ending in a newline."""
    return write_text(path, json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write a CSV table with ``\\n`` line ends."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return write_text(path, buffer.getvalue())


def plain(content: Any) -> Any:
    """Turn dataclasses, numpy scalars and arrays, paths and non-finite numbers into what JSON can hold."""
    import dataclasses
    import math

    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        return plain({f.name: getattr(content, f.name) for f in dataclasses.fields(content)})
    if isinstance(content, dict):
        return {str(k): plain(v) for k, v in content.items()}
    if isinstance(content, (list, tuple, set, frozenset)):
        return [plain(v) for v in content]
    if isinstance(content, Path):
        return content.as_posix()
    if hasattr(content, "tolist"):
        return plain(content.tolist())
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a missing or broken one is an `InputError` that names it."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
