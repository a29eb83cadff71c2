"""The command about many kernels: sweep, and the spec file that says which.

A spec is read strictly: a key that is not known, or a value of another type, stops everything
before any work starts.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from embact.cli import show
from embact.cli.options import Json, read_spec
from embact.errors import EmbactError, unknown_name

if TYPE_CHECKING:
    from embact.sweep import Job, Row, Runner

    Table = dict[str, list[Any]]


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
    dtype, in_dtype, out_dtype, range, in_scale, in_zero_point, out_scale, out_zero_point, family,
    and the limits and options of `embact fit` (max_error, objective, core, slope_bits ..), with _
    for -. The folder gets a kernel file for each combination, index.json and index.csv.

    Example: `embact sweep spec.toml --out kernels`
    """
    from embact import sweep as sweeping

    run = _runner(jobs, dask, timeout)
    wanted = sweeping.distinct(read_jobs(spec))
    with _progress(len(wanted)) as done:
        rows = sweeping.sweep(wanted, out, run, done)
    if json:
        show.say(sweeping.index_json(rows).rstrip("\n"))
    else:
        _show_rows(rows, out)


def _runner(jobs: int | None, dask: str | None, timeout: float) -> Runner:
    from embact import sweep as sweeping

    if not timeout > 0:
        raise EmbactError("--timeout", got=timeout, allowed="above 0")
    if jobs is not None and jobs < 1:
        raise EmbactError("--jobs", got=jobs, allowed="at least 1")
    if dask is not None:
        if jobs is not None:
            raise EmbactError("--jobs with --dask", allowed="one: the cluster has its own workers")
        return partial(sweeping.dask, address=dask, timeout_s=timeout)
    workers = jobs or _cpus()
    return sweeping.serial if workers == 1 else partial(sweeping.pool, workers=workers)


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
        ("job", "family", "error codes", "table bytes", "est. instructions", "file"),
        [
            (
                row.job.title,
                row.family or "none",
                "-" if row.max_error_codes is None else row.max_error_codes,
                "-" if row.table_bytes is None else row.table_bytes,
                "-" if row.estimated_instructions is None else row.estimated_instructions,
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


@dataclass(frozen=True)
class Combination:
    """One value for each key of a spec, but for limits and options: the types are the schema."""

    activation: str | dict[str, str | float] | None = None
    expr: str | dict[str, str] | None = None
    dtype: Literal["int8", "int16"] | None = None
    in_dtype: Literal["int8", "int16"] | None = None
    out_dtype: Literal["int8", "int16"] | None = None
    range: str | None = None
    in_scale: float | None = None
    in_zero_point: int | None = None
    out_scale: float | None = None
    out_zero_point: int | None = None
    family: str = "auto"


@dataclass(frozen=True)
class Spec:
    """A spec file."""

    sweep: list[dict[str, Any]] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)


REPLACES = {
    "activation": {"expr"},
    "expr": {"activation"},
    "dtype": {"in_dtype", "out_dtype"},
    "range": {"in_scale", "in_zero_point"},
    "in_scale": {"range"},
    "in_zero_point": {"range"},
}
"""The defaults that a key of a [[sweep]] puts out of force, besides its own."""

WORDS: dict[object, str] = {
    bool: "true, false",
    int: "an integer",
    float: "a number",
    str: "a string",
    dict: "a table with a name",
}


def read_jobs(path: Path) -> list[Job]:
    """Return the jobs that a spec file asks for: its tables in order, the first key slowest.

    The order of keys is that of ``Combination``, then limits, then options, whatever the file's.
    Raises EmbactError naming the file, the table and the key.
    """
    import msgspec

    from embact.files import read_text

    text, place = read_text(path), str(path)
    try:
        document = msgspec.toml.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise EmbactError("not a spec file", got=error, allowed="TOML", where=place) from None
    _check_keys(document, get_type_hints(Spec), place)
    try:
        spec = msgspec.convert(document, type=Spec)
    except msgspec.ValidationError as error:
        raise EmbactError(
            "not a spec file", got=error, allowed="[[sweep]] tables, [defaults]", where=place
        ) from None
    if not spec.sweep:
        raise EmbactError("nothing to do", got="no [[sweep]]", allowed="at least one", where=place)
    defaults = _table(spec.defaults, f"{place}: [defaults]")
    found: list[Job] = []
    for number, entries in enumerate(spec.sweep, 1):
        where = f"{place}: [[sweep]] {number}"
        own = _table(entries, where)
        hidden = set().union(*(REPLACES.get(key, ()) for key in own))
        inherited = {key: values for key, values in defaults.items() if key not in hidden}
        found += [_job(one, where) for one in _combinations({**inherited, **own}, where)]
    return found


def _schema() -> dict[str, Any]:
    """Return the type of every key that a table may have."""
    from embact.fit.problem import Limits, Options

    hints = get_type_hints(Combination) | get_type_hints(Limits) | get_type_hints(Options)
    del hints["on_support"]  # needs a histogram, and specs have none
    return hints


def _check_keys(table: dict[str, Any], known: dict[str, Any], where: str) -> None:
    for key in table:
        if key not in known:
            raise unknown_name("key", key, known, where=where)


def _table(entries: dict[str, Any], where: str) -> Table:
    """Return the lists of checked values that a table of a spec gives to its keys."""
    schema = _schema()
    _check_keys(entries, schema, where)
    table: Table = {}
    for key, entry in entries.items():
        values = entry if isinstance(entry, list) else [entry]
        if not values:
            raise EmbactError(key, got="[]", allowed="a value, or a list of some", where=where)
        table[key] = [_value(key, value, schema[key], where) for value in values]
    return table


def _value(key: str, value: Any, hint: Any, where: str) -> Any:
    import msgspec

    try:
        return msgspec.convert(value, type=hint)
    except (msgspec.ValidationError, OverflowError):
        raise EmbactError(key, got=repr(value), allowed=_words(hint), where=where) from None


def _words(hint: Any) -> str:
    """Return in words which values have a type."""
    if get_origin(hint) is Literal:
        return ", ".join(str(value) for value in get_args(hint))
    if (name := get_origin(hint) or hint) in WORDS:
        return WORDS[name]
    return ", or ".join(_words(one) for one in get_args(hint) if one is not NoneType)


def _combinations(table: Table, where: str) -> Iterator[dict[str, Any]]:
    """Yield every combination of the values of a table; activations, then formulas, slowest."""
    sources = [{key: value} for key in ("activation", "expr") for value in table.get(key, ())]
    if not sources:
        raise EmbactError("no activation", allowed="activation or expr", where=where)
    keys = [key for key in _schema() if key in table and key not in {"activation", "expr"}]
    for source, *values in product(sources, *(table[key] for key in keys)):
        yield {**source, **dict(zip(keys, values, strict=True))}


def _job(values: dict[str, Any], where: str) -> Job:
    """Return the job that one value for each key describes."""
    from embact.fit.problem import Limits, Options
    from embact.sweep import Job, function_of

    try:
        one, limits, options = (_of(kind, values) for kind in (Combination, Limits, Options))
        name, parameters, expr = _function(one)
        wanted = function_of(name, parameters, expr)
        into, out_of = (one.in_scale, one.in_zero_point), (one.out_scale, one.out_zero_point)
        spec = read_spec(wanted, (one.dtype, one.in_dtype, one.out_dtype), one.range, into, out_of)
        function = (name, wanted.settings(), None if expr is None else wanted.formula)
        return Job(*function, spec, limits, options, one.family)
    except EmbactError as error:
        raise EmbactError(
            _keys(error.what),
            got=error.got,
            allowed=_keys(error.allowed),
            where=f"{where}: {error.where}" if error.where else where,
        ) from None


def _of(kind: Any, values: dict[str, Any]) -> Any:
    names = [one.name for one in dataclasses.fields(kind)]
    return kind(**{name: values[name] for name in names if name in values})


def _function(one: Combination) -> tuple[str, dict[str, float], str | None]:
    """Return the name, the parameters and the formula that ``activation`` or ``expr`` gives."""
    from embact.expression import DEFAULT_NAME

    match one.activation, one.expr:
        case {"name": str() as name, **parameters}, None:
            numbers = {str(k): v for k, v in parameters.items() if isinstance(v, int | float)}
            if len(numbers) == len(parameters):
                return name, numbers, None
        case str() as name, None:
            return name, {}, None
        case None, {"name": str() as name, "formula": str() as formula, **rest} if not rest:
            return name, {}, formula
        case None, str() as formula:
            return DEFAULT_NAME, {}, formula
    if one.expr is None:
        allowed = '"NAME", or {name = "NAME", PARAMETER = number}'
        raise EmbactError("activation", got=one.activation, allowed=allowed)
    allowed = '"FORMULA", or {name = "NAME", formula = "FORMULA"}'
    raise EmbactError("expr", got=one.expr, allowed=allowed)


def _keys(text: str) -> str:
    """Return a message about options of the command line as one about keys of a spec."""
    return re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_"), text)
