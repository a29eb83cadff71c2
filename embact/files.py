"""Reading and writing whole files, with errors in the user's words and nothing half-written.

This module must not know what the files hold.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from embact.errors import EmbactError


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
    is. Raises EmbactError if the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        if path.exists() and not path.is_file():
            path.write_text(text, "utf-8")
            return
        path = path.resolve()
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            mask = os.umask(0)
            os.umask(mask)
            Path(temporary).chmod(0o666 & ~mask)  # mkstemp makes private files
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EmbactError("file cannot be written", got=error.strerror, where=str(path)) from None
