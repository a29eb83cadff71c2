"""Reading and writing whole files, with errors in the user's words and nothing half-written.

This module must not know what the files hold.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embact.errors import EmbactError

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_text(path: Path) -> str:
    """Return a UTF-8 text file. Raises EmbactError if it cannot be read."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise EmbactError(
            "not a text file", got="bytes that are not UTF-8", where=str(path)
        ) from None
    except OSError as error:
        raise EmbactError("file cannot be read", got=error.strerror, where=str(path)) from None


def is_file(path: Path) -> bool:
    """Return whether a file is there. Raises EmbactError if that cannot be told."""
    try:
        return path.is_file()
    except OSError as error:
        raise EmbactError("file cannot be read", got=error.strerror, where=str(path)) from None


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file in one step: it is the old one or the new one, never a part.

    Makes the folder if it is missing. A link is followed; a device or a pipe is written to as it
    is. Raises EmbactError if the place cannot be written; then nothing has changed.
    """
    _write({path: text})


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Write UTF-8 files, by their names, into a folder: all of them or none.

    Everything is on the disk under other names before the first file is put in place, so that a
    disk that is full changes nothing. Makes the folder if it is missing. Raises EmbactError if
    one place cannot be written; then every file is as it was, and a folder made here is gone.
    """
    try:
        blocked = folder.exists() and not folder.is_dir()
    except OSError as error:
        raise EmbactError("no folder", got=error.strerror, where=str(folder)) from None
    if blocked:
        raise EmbactError("not a folder", got="a file", allowed="a folder", where=str(folder))
    _write({folder / name: text for name, text in texts.items()})


@dataclass
class _Move:
    """A file that waits beside its place. old: a copy of what is there, if anything is."""

    place: Path
    new: Path | None = None
    old: Path | None = None
    done: bool = False


def _write(texts: Mapping[Path, str]) -> None:
    made: list[Path] = []
    moves: list[_Move] = []
    streams: dict[Path, str] = {}
    path = Path()
    try:
        for path, text in texts.items():
            made += _make_folder(path.parent)
            if path.exists() and not path.is_file() and not path.is_dir():
                streams[path] = text
                continue
            moves.append(_Move(path.resolve()))
            _prepare(moves[-1], text, keep=len(texts) > 1)
        for path, text in streams.items():
            path.write_text(text, "utf-8")
        for move in moves:
            path = move.place
            if move.new is not None:
                move.new.replace(path)
                move.done = True
    except BaseException as error:
        _undo(moves, made)
        if isinstance(error, OSError):
            blocked = isinstance(error, FileExistsError | NotADirectoryError)
            got = "a file where its folder should be" if blocked else error.strerror
            raise EmbactError("file cannot be written", got=got, where=str(path)) from None
        raise
    for move in moves:
        if move.old is not None:
            move.old.unlink(missing_ok=True)


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it; returns what was not there, the innermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    made: list[Path] = []
    try:
        for one in reversed(missing):
            one.mkdir(exist_ok=True)
            made.insert(0, one)
        folder.mkdir(exist_ok=True)  # refuses a file
    except BaseException:
        _remove_folders(made)
        raise
    return made


def _prepare(move: _Move, text: str, *, keep: bool) -> None:
    """Write a text beside its place, and keep a copy of what is there if that is wanted."""
    place = move.place
    if place.is_dir():
        raise IsADirectoryError(None, "it is a folder")
    there = place.exists()
    if there and not os.access(place, os.W_OK):
        raise PermissionError(None, "it is read-only")
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    move.new = Path(name)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    mask = os.umask(0)
    os.umask(mask)
    move.new.chmod(0o666 & ~mask)  # mkstemp makes private files
    if there and keep:
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        os.close(handle)
        move.old = Path(name)
        shutil.copy2(place, move.old)


def _undo(moves: list[_Move], made: list[Path]) -> None:
    """Put back what was there and remove what was not, as far as that can still be done."""
    for move in moves:
        with contextlib.suppress(OSError):
            if move.done and move.old is not None:
                move.old.replace(move.place)
            elif move.done:
                move.place.unlink(missing_ok=True)
        for rest in (move.new, move.old):
            if rest is not None:
                with contextlib.suppress(OSError):
                    rest.unlink(missing_ok=True)
    _remove_folders(made)


def _remove_folders(made: list[Path]) -> None:
    for folder in sorted(made, key=lambda one: -len(one.parts)):
        with contextlib.suppress(OSError):
            folder.rmdir()
