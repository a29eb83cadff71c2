import os
import subprocess
import sys
from pathlib import Path

import pytest

from embact.errors import EmbactError
from embact.files import read_text, write_text, write_texts


def test_a_write_that_fails_midway_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "k.json"
    write_text(target, "old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(EmbactError, match="cannot be written: got No space left"):
        write_text(target, "new")
    assert target.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path, monkeypatch):
    target, seen = tmp_path / "k.json", []
    write_text(target, "old")
    replace = Path.replace

    def watch(self, other):
        seen.append((target.read_text("utf-8"), self.read_text("utf-8")))
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", watch)
    write_text(target, "new")
    assert seen == [("old", "new")]
    assert target.read_text("utf-8") == "new"


def test_folders_are_made_and_files_have_the_usual_rights(tmp_path):
    target = tmp_path / "a" / "b.txt"
    write_text(target, "x")
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.txt").write_text("old", "utf-8")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text("utf-8") == "new"


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert os.read(reader, 99) == b"through"
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["folder", "file/k.json", "x" * 300])
def test_places_that_cannot_be_written_are_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(EmbactError, match="cannot be written"):
        write_text(tmp_path / name, "text")


def test_reading_says_what_is_wrong(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"\xe9")
    for name, words in (("missing.txt", "cannot be read"), ("latin.txt", "not a text file")):
        with pytest.raises(EmbactError, match=words):
            read_text(tmp_path / name)


# Several files


def everything_in(folder):
    """What lies in a folder, hidden files too: name -> text, or None of a folder."""
    return {
        path.name: None if path.is_dir() else path.read_text("utf-8") for path in folder.iterdir()
    }


def test_all_files_are_written_and_others_stay(tmp_path):
    (tmp_path / "old").write_text("old", "utf-8")
    (tmp_path / "other").write_text("other", "utf-8")
    write_texts(tmp_path, {"old": "new", "b": "b"})
    assert everything_in(tmp_path) == {"old": "new", "other": "other", "b": "b"}
    write_texts(tmp_path / "x" / "y", {"a": "a", "b": "b"})
    assert everything_in(tmp_path / "x" / "y") == {"a": "a", "b": "b"}


def test_a_folder_in_the_way_of_the_last_file_changes_nothing(tmp_path):
    (tmp_path / "a").write_text("old", "utf-8")
    (tmp_path / "c").mkdir()
    before = everything_in(tmp_path)
    with pytest.raises(EmbactError, match="c: file cannot be written: got it is a folder"):
        write_texts(tmp_path, {"a": "new", "b": "new", "c": "new"})
    assert everything_in(tmp_path) == before


def test_a_read_only_file_in_the_way_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old", "utf-8")
    monkeypatch.setattr(os, "access", lambda path, _: path.name != "a")  # root may write anywhere
    with pytest.raises(EmbactError, match="a: file cannot be written: got it is read-only"):
        write_texts(tmp_path, {"b": "new", "a": "new"})
    assert everything_in(tmp_path) == {"a": "old"}


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_move_that_fails_puts_everything_back(tmp_path, monkeypatch, fails_at):
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "a").write_text("old", "utf-8")
    replace, moved = Path.replace, []

    def fail(self, other):
        if len(moved) == fails_at and "old" not in self.read_text("utf-8"):
            raise OSError(5, "Input/output error")
        moved.append(other)
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(EmbactError, match="Input/output error"):
        write_texts(folder, {"a": "new", "b": "new", "c": "new"})
    assert everything_in(folder) == {"a": "old"}
    moved.clear()
    with pytest.raises(EmbactError, match="Input/output error"):
        write_texts(tmp_path / "made" / "here", {"a": "new", "b": "new", "c": "new"})
    assert not (tmp_path / "made").exists()


LIMITED = """
import resource, sys
from pathlib import Path
from embact.errors import EmbactError
from embact.files import write_texts
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_texts(Path(sys.argv[1]), {"small": "x" * 10, "large": "x" * int(sys.argv[2])})
except EmbactError as error:
    print(error)
"""


@pytest.mark.parametrize(("size", "written"), [(1000, True), (1001, False), (100000, False)])
def test_a_limit_of_file_sizes_leaves_all_or_nothing(tmp_path, size, written):
    for folder in (tmp_path, tmp_path / "new"):
        line = [sys.executable, "-c", LIMITED, str(folder), str(size)]
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
        assert ("large: file cannot be written: got File too large" in done.stdout) != written
        assert (folder / "small").exists() == (folder / "large").exists() == written
        assert [path.name for path in tmp_path.glob(".*")] == []
    assert (tmp_path / "new").exists() == written


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("old", "utf-8")
    with pytest.raises(EmbactError, match="file: not a folder: got a file"):
        write_texts(tmp_path / "file", {"a": "a"})
    for deeper in (tmp_path / "file" / "deeper", tmp_path / "file" / "deeper" / "still"):
        with pytest.raises(EmbactError, match="got a file where its folder should be"):
            write_texts(deeper, {"a": "a"})
    with pytest.raises(EmbactError, match="got a file where its folder should be"):
        write_text(tmp_path / "file" / "a", "a")
    assert everything_in(tmp_path) == {"file": "old"}
