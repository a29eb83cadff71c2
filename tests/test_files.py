import os
from pathlib import Path

import pytest

from embact.errors import EmbactError
from embact.files import read_text, write_text


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
