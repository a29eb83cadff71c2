"""Many fits at once: a folder of answers to resume from, and its index.

Whatever runs the jobs, and in whichever order they finish, only this module writes, so the folder
holds the same bytes. It must not know who runs jobs, or how a job is answered.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec

from embact import __version__
from embact.errors import EmbactError
from embact.files import read_text, write_text
from embact.jobs import KEY_DIGITS, Answers, Job, Row, distinct, row_of

if TYPE_CHECKING:
    from pathlib import Path

Runner = Callable[[Sequence[Job]], Answers]
"""Answers jobs in any order; closing the generator stops the rest."""


def sweep(
    jobs: Sequence[Job],
    folder: Path,
    run: Runner,
    done: Callable[[Row, bool], None] = lambda _row, _resumed: None,
) -> list[Row]:
    """Answer every job, each in a file of the folder, and return their rows in the jobs' order.

    Jobs that the folder answers already are not run again; a damaged answer is. Each answer is
    written as soon as it is there, in one step, after it was read back; index.json and index.csv
    are written when all are. done: told each row, and whether it was there already.
    """
    wanted = {job.key: job for job in distinct(jobs)}
    rows = finished(wanted, folder)
    for row in rows.values():
        done(row, True)  # noqa: FBT003 - the meaning is in the docstring
    missing = [job for key, job in wanted.items() if key not in rows]
    if missing:
        with closing(run(missing)) as answers:
            for job, (name, text) in answers:
                rows[job.key] = row = row_of(job, name, text)
                write_text(folder / name, text)
                done(row, False)  # noqa: FBT003
    ordered = [rows[key] for key in wanted]
    write_text(folder / "index.json", index_json(ordered))
    write_text(folder / "index.csv", index_csv(ordered))
    return ordered


def finished(wanted: dict[str, Job], folder: Path) -> dict[str, Row]:
    """Return the rows by key of the jobs that a folder answers, in the jobs' order.

    Makes the folder if it is missing. Raises EmbactError if that is impossible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in folder.iterdir() if path.suffix == ".json")
    except OSError as error:
        raise EmbactError("folder cannot be used", got=error.strerror, where=str(folder)) from None
    there: dict[str, list[str]] = {}
    for name in names:
        there.setdefault(name.removesuffix(".json").rpartition("_")[2], []).append(name)
    rows: dict[str, Row] = {}
    for key, job in wanted.items():
        for name in there.get(key[:KEY_DIGITS], ()):
            if row := _trusted(job, folder / name):
                rows[key] = row
    return rows


def _trusted(job: Job, path: Path) -> Row | None:
    """Return the row of a job from a file, or None: what cannot be trusted is done again."""
    try:
        return row_of(job, path.name, read_text(path))
    except EmbactError:
        return None


def index_json(rows: Sequence[Row]) -> str:
    """Return the rows as JSON, equal for equal rows."""
    results = [vars(row) | {"job": row.job.asked} for row in rows]
    document = {"embact": __version__, "results": results}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def index_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with a heading; what a row does not have is empty."""
    table = [_flat(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]) if table else ["key"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _flat(row: Row) -> dict[str, object]:
    job, spec = row.job, row.job.quantisation
    result = {name: value for name, value in vars(row).items() if name not in {"key", "job"}}
    return {
        "key": row.key,
        "activation": job.activation,
        "parameters": " ".join(f"{name}={value!r}" for name, value in job.parameters.items()),
        "expr": job.expr,
        "in_dtype": spec.input.dtype,
        "in_scale": spec.input.scale,
        "in_zero_point": spec.input.zero_point,
        "out_dtype": spec.output.dtype,
        "out_scale": spec.output.scale,
        "out_zero_point": spec.output.zero_point,
        "histogram": job.histogram_digest,
        **asdict(job.limits),
        **asdict(job.options),
        "family_asked": job.family,
        **result,
    }
