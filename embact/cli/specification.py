"""The spec file of a sweep: from TOML to jobs.

A spec is read strictly: a key that is not known, or a value of another type, stops everything
before any work starts.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import product
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from embact.cli.options import fill_in, read_histogram, read_spec
from embact.errors import EmbactError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from embact.certify import Histogram
    from embact.jobs import Job

    Table = dict[str, list[Any]]


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
    histogram: str | None = None
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

LIMITS = {"on_support": "max_error_on_support"}
"""The limits whose key is not their name, but that of the option of `embact fit`."""

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
    Histogram files are found from the spec's folder, and read once. Raises EmbactError naming the
    file, the table and the key.
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
    counts_of = cache(partial(_histogram, path.parent))
    found: list[Job] = []
    for number, entries in enumerate(spec.sweep, 1):
        where = f"{place}: [[sweep]] {number}"
        own = _table(entries, where)
        hidden = set().union(*(REPLACES.get(key, ()) for key in own))
        inherited = {key: values for key, values in defaults.items() if key not in hidden}
        combinations = _combinations({**inherited, **own}, where)
        found += [_job(one, counts_of, where) for one in combinations]
    return found


def _schema() -> dict[str, Any]:
    """Return the type of every key that a table may have."""
    from embact.fit.problem import Limits, Options

    limits = {LIMITS.get(name, name): hint for name, hint in get_type_hints(Limits).items()}
    return get_type_hints(Combination) | limits | get_type_hints(Options)


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


def _job(values: dict[str, Any], counts_of: Callable[[str, int], Histogram], where: str) -> Job:
    """Return the job that one value for each key describes."""
    from embact.fit.problem import Limits, Options
    from embact.jobs import Job, function_of

    try:
        one = _of(Combination, values)
        name, parameters, expr = _function(one)
        wanted = function_of(name, parameters, expr)
        into, out_of = (one.in_scale, one.in_zero_point), (one.out_scale, one.out_zero_point)
        spec = read_spec(wanted, (one.dtype, one.in_dtype, one.out_dtype), one.range, into, out_of)
        filled = fill_in(values, one.family, spec.input.bits)
        limits, options = _of(Limits, filled), _of(Options, filled)
        function = (name, wanted.settings(), None if expr is None else wanted.formula)
        counts = None if one.histogram is None else counts_of(one.histogram, spec.input.bits)
        return Job(*function, spec, limits, options, one.family, counts)
    except EmbactError as error:
        raise EmbactError(
            _keys(error.what),
            got=_keys(error.got) if isinstance(error.got, str) else error.got,
            allowed=_keys(error.allowed),
            where=f"{where}: {error.where}" if error.where else where,
        ) from None


def _of(kind: Any, values: dict[str, Any]) -> Any:
    keys = {one.name: LIMITS.get(one.name, one.name) for one in dataclasses.fields(kind)}
    return kind(**{name: values[key] for name, key in keys.items() if key in values})


def _histogram(folder: Path, name: str, bits: int) -> Histogram:
    """Return the histogram of a file. Raises EmbactError if there is none."""
    try:
        return read_histogram(folder / name, bits)
    except OSError as error:
        raise EmbactError(
            "histogram cannot be read", got=error.strerror or error, where=str(folder / name)
        ) from None


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
    return re.sub(r"(?<!\S)--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_"), text)
