"""Results appear whole or not at all."""

import errno
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gliosuite import files
from gliosuite.errors import InputError

_FILE_THERE = r"is a file; an output folder is needed|a file stands where a folder is needed"


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def half_atomic(path: Path, error: BaseException) -> None:
    with files.atomic(path) as partial:
        partial.write_text("half")
        raise error


def half_staged(out: Path, error: BaseException) -> None:
    with files.staged(out) as folder:
        (folder / "x.txt").write_text("x")
        raise error


def failing(code: int):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


def test_atomic_replaces_whole_files(tmp_path):
    path = tmp_path / "new" / "deep" / "a.txt"
    files.write_text(path, "one")
    files.write_text(path, "two")
    assert content(tmp_path) == {"new/deep/a.txt": b"two"}


def test_atomic_leaves_the_old_file_when_the_body_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError):
        half_atomic(path, ValueError())
    assert content(tmp_path) == {"a.txt": b"old"}


def test_atomic_removes_the_folders_it_made_when_the_body_fails(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        half_atomic(tmp_path / "x" / "y" / "a.txt", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_staged_moves_everything_and_keeps_what_was_there(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "kept.txt").write_text("kept")
    (out / "a.txt").write_text("old")
    with files.staged(out) as folder:
        (folder / "sub").mkdir()
        (folder / "a.txt").write_text("new")
        (folder / "sub" / "b.txt").write_text("b")
        assert (out / "a.txt").read_text() == "old"
    assert content(out) == {"a.txt": b"new", "kept.txt": b"kept", "sub/b.txt": b"b"}
    assert sorted(p.name for p in out.iterdir()) == ["a.txt", "kept.txt", "sub"]


@pytest.mark.parametrize("error", [ValueError, InputError, KeyboardInterrupt])
def test_staged_leaves_nothing_when_the_body_fails(tmp_path, error):
    with pytest.raises(error):
        half_staged(tmp_path / "a" / "out", error("why"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "replace", failing(code))
    with pytest.raises(
        InputError, match=r"no space left to write .*a\.txt: free some disk space or choose another --out"
    ):
        files.write_text(tmp_path / "new" / "a.txt", "x")
    with pytest.raises(InputError, match=r"no space left to write .*out"), files.staged(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_while_writing_leaves_nothing(tmp_path):
    """The write itself fails, as it does on a full disk."""
    with pytest.raises(InputError, match="no space left"):
        half_staged(tmp_path / "out", OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "mkdtemp", failing(errno.EACCES))
    with pytest.raises(InputError, match=r"cannot be written .*: choose an output folder that you may write to"):
        files.write_text(tmp_path / "a.txt", "x")
    with (
        pytest.raises(InputError, match="choose an output folder that you may write to"),
        files.staged(tmp_path / "out"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with (
            pytest.raises(InputError, match=_FILE_THERE),
            files.staged(out),
        ):
            pass
        with pytest.raises(InputError, match=_FILE_THERE):
            files.write_text(out / "a.txt", "x")
    assert content(tmp_path) == {"file": b"x"}


def test_a_folder_that_another_process_makes_at_the_same_moment_is_taken(tmp_path, monkeypatch):
    mkdir = Path.mkdir

    def made_before(self, *args, **kwargs):
        if not self.exists():
            mkdir(self)
        mkdir(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", made_before)
    files.write_text(tmp_path / "x" / "y" / "a.txt", "a")
    assert content(tmp_path) == {"x/y/a.txt": b"a"}


@pytest.mark.parametrize("lost", [1, 2])
def test_a_folder_that_another_process_removes_at_the_same_moment_is_made_again(tmp_path, monkeypatch, lost):
    """A step that is skipped removes the results folder that it had made, where another is about to begin."""
    mkdir, mkdtemp, removed = Path.mkdir, tempfile.mkdtemp, []

    def remove(folder):
        if len(removed) < lost:
            removed.append(folder)
            folder.rmdir()

    def into_what_goes(self, *args, **kwargs):
        if lost == 2 and self.name == "y":
            remove(self.parent)
        mkdir(self, *args, **kwargs)

    def beside_what_goes(*, prefix, dir):
        remove(dir)
        return mkdtemp(prefix=prefix, dir=dir)

    monkeypatch.setattr(Path, "mkdir", into_what_goes)
    monkeypatch.setattr(tempfile, "mkdtemp", beside_what_goes)
    with files.staged(tmp_path / "x" / "y") as folder:
        (folder / "a.txt").write_text("a")
    assert len(removed) == lost
    assert content(tmp_path) == {"x/y/a.txt": b"a"}
    assert [p.name for p in (tmp_path / "x" / "y").iterdir()] == ["a.txt"]


def test_processes_that_make_and_remove_the_same_folder_do_not_disturb_each_other(tmp_path):
    """In threads, which meet more often."""

    def one(index):
        try:
            if index % 2:
                half_staged(tmp_path / "x" / "y", ValueError())
            files.write_text(tmp_path / "x" / "y" / f"{index}.txt", "x")
            (tmp_path / "x" / "y" / f"{index}.txt").unlink()
        except ValueError:
            return 1
        return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(400))) == 200


def test_json_holds_what_arrays_and_dataclasses_hold(tmp_path):
    from gliosuite.images import Grid

    grid = Grid((1, 2, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0,) * 9)
    path = files.write_json(
        tmp_path / "a.json",
        {"a": np.float32(0.5), "b": np.arange(3), "c": float("nan"), "d": Path("x/y"), "e": grid, "f": "µ"},
    )
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read["a"] == 0.5
    assert read["b"] == [0, 1, 2]
    assert read["c"] is None
    assert read["d"] == "x/y"
    assert read["e"]["size"] == [1, 2, 3]
    assert read["f"] == "µ"
    assert b"\r" not in path.read_bytes()
    assert path.read_bytes().endswith(b"\n")


def test_csv_has_the_same_line_ends_everywhere(tmp_path):
    files.write_csv(tmp_path / "a.csv", ["x", "y"], [[1, "a,b"], [2.5, ""]])
    assert (tmp_path / "a.csv").read_bytes() == b'x,y\n1,"a,b"\n2.5,\n'


def test_broken_json_is_said(tmp_path):
    with pytest.raises(InputError, match=r"a\.json does not exist"):
        files.read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        files.read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot be read"):
        files.read_json(tmp_path)
