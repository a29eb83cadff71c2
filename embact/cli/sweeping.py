"""The command about many kernels: sweep."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import Json
from embact.cli.specification import read_jobs
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.jobs import Row
    from embact.sweep import Runner


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(sweep)


def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="What to fit; see below.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results; resumed.")],
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Worker processes; default: one per CPU.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on a Dask cluster, as tcp://HOST:8786."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long the Dask cluster may take to answer.")
    ] = 10.0,
    json: Json = False,
) -> None:
    """Fit many activations on many quantisations: resumably, and in parallel.

    The spec has [[sweep]] tables. Each stands for every combination of the values that its keys
    list, and [defaults] gives keys to all of them. Keys: activation (a name, or {name =
    "leaky_relu", alpha = 0.1}), expr (a formula, or {name = "mine", formula = "x*tanh(x)"}),
    dtype, in_dtype, out_dtype, range, in_scale, in_zero_point, out_scale, out_zero_point,
    histogram (a file beside the spec), family, and the limits and options of `embact fit`
    (max_error, objective, core, slope_bits ..), with _ for -. The folder gets a kernel file for
    each combination, index.json and index.csv.

    Example: `embact sweep spec.toml --out kernels`
    """
    from embact import sweep as sweeping
    from embact.jobs import distinct

    run = _runner(jobs, dask, timeout)
    wanted = distinct(read_jobs(spec))
    with _progress(len(wanted)) as done:
        rows = sweeping.sweep(wanted, out, run, done)
    if json:
        show.say(sweeping.index_json(rows).rstrip("\n"))
    else:
        _show_rows(rows, out)


def _runner(jobs: int | None, dask: str | None, timeout: float) -> Runner:
    from embact import workers

    if not timeout > 0:
        raise EmbactError("--timeout", got=timeout, allowed="above 0")
    if jobs is not None and jobs < 1:
        raise EmbactError("--jobs", got=jobs, allowed="at least 1")
    if dask is not None:
        if jobs is not None:
            raise EmbactError("--jobs with --dask", allowed="one: the cluster has its own workers")
        return partial(workers.dask, address=dask, timeout_s=timeout)
    processes = jobs or _cpus()
    return workers.serial if processes == 1 else partial(workers.pool, workers=processes)


def _cpus() -> int:
    """Return how many CPUs this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(allowed(0)) if allowed else os.cpu_count() or 1


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Row, bool], None]]:
    """Show on stderr how far the jobs are: a bar on a terminal, else a line for each new result."""
    from rich.console import Console
    from rich.progress import Progress

    count = 0

    def line(row: Row, resumed: bool) -> None:
        nonlocal count
        count += 1
        if not resumed:
            show.complain(f"{count}/{total} {row.job.title}: {row.error or row.file}")

    try:
        if not sys.stderr.isatty():
            yield line
            return
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("sweep", total=total)

            def advance(_row: Row, _resumed: bool) -> None:
                nonlocal count
                count += 1
                bar.update(task, completed=count, description=f"{count}/{total}")

            yield advance
    except KeyboardInterrupt:
        show.complain(f"interrupted: {count} of {total} are done; the same command does the rest")
        raise


def _show_rows(rows: list[Row], out: Path) -> None:
    show.table(
        ("job", "family", "error codes", "table bytes", "instructions", "file"),
        [
            (
                row.job.title,
                row.family or "none",
                _error(row),
                "-" if row.table_bytes is None else row.table_bytes,
                "-" if row.instructions is None else row.instructions,
                row.file,
            )
            for row in rows
        ],
    )
    failed = sum(row.error is not None for row in rows)
    show.say(
        f"\n{len(rows)} jobs: {len(rows) - failed} kernels, {failed} without one in its limits"
    )
    show.say(f"wrote {out / 'index.json'} and {out / 'index.csv'}")


def _error(row: Row) -> str:
    """Return the error in codes; of a job about the support, that one first."""
    if row.max_error_codes is None:
        return "-"
    if row.job.limits.on_support:
        return f"{row.max_error_codes_on_support} (all inputs: {row.max_error_codes})"
    return str(row.max_error_codes)
