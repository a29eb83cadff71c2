"""Writing the files of a command: where they go, and what is not replaced unasked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embact.errors import EmbactError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def folder(text: str) -> Path:
    """Return the folder that ``--out`` names; an empty name is a mistake, not the current one."""
    if not text:
        raise EmbactError("--out", got="''", allowed="a folder; . is the current one")
    return Path(text)


Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the files.", parser=folder)]
Force = Annotated[bool, typer.Option("--force", help="Replace headers that differ.")]


def refuse_others(
    out: Path, files: Mapping[str, str], own: Iterable[str], *, force: bool, rename: str = "--name"
) -> None:
    """Raise EmbactError if one of our own files is there with another text, unless forced.

    own: the files that depend on what was asked; those of the library are the same for everybody.
    rename: the option that gives them other names.
    """
    from embact.files import is_file, read_text

    for name in own:
        target = out / name
        if not force and is_file(target) and read_text(target) != files[name]:
            kind = "header" if name.endswith(".h") else "kernel"
            raise EmbactError(
                f"another {kind} is there",
                allowed=f"--force, or another {rename}",
                where=str(target),
            )


def write_files(
    out: Path, files: Mapping[str, str], own: Iterable[str], *, force: bool, rename: str = "--name"
) -> None:
    """Write all files or none, after `refuse_others`."""
    from embact.files import write_texts

    refuse_others(out, files, own, force=force, rename=rename)
    write_texts(out, files)
