"""Row: what the benchmark prints, and how rows become a table and CSV."""

from __future__ import annotations

import csv
import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from embact.grid import Reals

    Function = Callable[[Reals], Reals]

T = TypeVar("T")

OURS = "embact"
ROUNDING = 1.001
"""Another method is better only by more than this: an optimiser that is stopped has three digits,
as published numbers have."""


@dataclass(frozen=True)
class Row:
    """One method on one case.

    known: the number that embact's segments, seconds or error, whichever the section is about, is
    held against. behind: in words where embact is not at least as good, empty if it is.
    """

    section: str
    case: str
    method: str
    segments: int | None = None
    max_error: float | None = None
    mean_error: float | None = None
    mse: float | None = None
    seconds: float | None = None
    known: float | None = None
    behind: str = ""


def table(title: str, rows: Sequence[Row]) -> Table:
    """Return the rows as a table, without columns that are empty in all of them."""
    names = [field.name for field in dataclasses.fields(Row)][1:]
    names = [name for name in names if any(getattr(row, name) not in (None, "") for row in rows)]
    made = Table(title=title, title_justify="left")
    for name in names:
        text = name in {"case", "method", "behind"}
        made.add_column(name, justify="left" if text else "right")
    for row in rows:
        made.add_row(*(shown(getattr(row, name)) for name in names))
    return made


def shown(value: str | float | None) -> str:
    """Return a cell's text: reals to four digits."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write every field of every row, empty where there is no value."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Row)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) for row in rows)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return a result and the seconds of processor time it took."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def errors(fit: Function, truth: Function, x: Reals) -> dict[str, Any]:
    """Return the three errors on the points as fields of a row."""
    off = np.abs(fit(x) - truth(x))
    return {
        "max_error": float(off.max()),
        "mean_error": float(off.mean()),
        "mse": float((off**2).mean()),
    }


def excess(got: float, other: float, what: str, rival: str, allowed: float = ROUNDING) -> str:
    """Return in words that embact's number is larger than another's, or nothing."""
    return f"{what} {got / other - 1:.1%} above {rival}" if got > allowed * other else ""
