"""The command that writes a benchmark for real hardware: board."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import Json
from embact.cli.writing import Out
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.bench.subject import Subject


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(board)


def board(
    out: Out,
    core: Annotated[str, typer.Option(metavar="CORE", help="See `embact list cores`.")],
    kernels: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[KERNEL.json]...", help="From `fit`; else the standard rows."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that differ.")] = False,
    json: Json = False,
) -> None:
    """Write a folder that runs the benchmark on a board: C, linker script, Makefile, README.md.

    It counts cycles by the core's own counter and checks every kernel there. `embact bench
    --import` reads what it prints.

    Example: `embact board --core cortex-m4 --out board/`
    """
    from embact.bench.board_folder import board_files
    from embact.cores import core as core_of
    from embact.files import write_texts

    chosen = core_of(core)
    subjects = _subjects(kernels or [])
    files = board_files(subjects, chosen)
    _refuse_others(out, files, force=force)
    write_texts(out, files)
    if json:
        show.as_json(
            {
                "core": chosen.name,
                "rows": [one.name for one in subjects],
                "files": [str(out / name) for name in files],
            }
        )
        return
    show.say(f"wrote {out}: {len(files)} files, {len(subjects)} rows for {chosen.name}")
    show.say(f"read: {out / 'README.md'}")
    show.say(f"try: make -C {quote(str(out))} run-qemu")


def _subjects(kernels: list[Path]) -> tuple[Subject, ...]:
    """Return the rows of kernel files, called as the files are, or the standard ones."""
    from embact.bench.rows import standard
    from embact.bench.subject import of_fit
    from embact.files import read_text
    from embact.fit.record import fit_of_json

    if not kernels:
        return standard()
    return tuple(
        of_fit(path.stem, fit_of_json(read_text(path), where=str(path))) for path in kernels
    )


def _refuse_others(out: Path, files: dict[str, str], *, force: bool) -> None:
    """Raise EmbactError if a file of ours is there with another text, unless forced."""
    from embact.files import is_file, read_text

    for name, text in files.items():
        if not force and is_file(out / name) and read_text(out / name) != text:
            raise EmbactError(
                "another file is there", allowed="--force, or another --out", where=str(out / name)
            )
