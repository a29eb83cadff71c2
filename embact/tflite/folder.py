"""The output folder of a conversion, complete or not at all.

It holds the model, the C (``routines.sources``), what a firmware project needs
(``deployment.deployment_files``), ``kernels/<function>.json`` and ``report.json``. In the form
override the model is the user's own, copied, so that the folder stands alone; in the form builtin
there is neither C nor ``kernels``, because the model has its tables. This module must not know
interpreters.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from embact import __version__
from embact.cores import core
from embact.emit.header import table_bytes as bytes_of_kernels
from embact.errors import EmbactError
from embact.fit.record import fit_json
from embact.tflite.builtin_form import bytes_of_tables
from embact.tflite.convert import PREFIX, convert
from embact.tflite.layer_record import layer_json
from embact.tflite.layers import table_bytes
from embact.tflite.model import builtin_code, items, names_of, parse, text
from embact.tflite.placement import (
    LayerPlacement,
    Placement,
    kernels_of,
    layers_of,
    unit_key,
)
from embact.tflite.routines import routines, sources
from embact.tflite.site_report import (
    REPORT_SCHEMA,
    Decisions,
    LayerReport,
    Report,
    SiteReport,
    layer_report,
    site_report,
)
from embact.tflite.stock.cost import stops_of_tflm
from embact.tflite.tflm.deployment import Deployment, deployment_files, obstacles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embact.tflite.model import Model
    from embact.tflite.placement import Placed
    from embact.tflite.routine import Routine
    from embact.tflite.stock.today import NoStockError, StockError

KERNELS = "kernels"
REPORT = "report.json"


@dataclass(frozen=True)
class Conversion:
    """Where a converted model was written, and its report. files: all, without the report."""

    folder: Path
    model: Path
    kernels: tuple[Path, ...]
    files: tuple[Path, ...]
    report: Report


def write_conversion(
    folder: str | os.PathLike[str],
    model: Model,
    placements: Sequence[Placed],
    decisions: Decisions | None = None,
    errors: Mapping[tuple[int, ...], StockError | NoStockError] | None = None,
) -> Conversion:
    """Convert a model into a new folder and return where everything is.

    errors: of the runtime's own operators, by the operators of a site, for the report. The files
    depend on the arguments alone. Raises EmbactError if the
    folder exists or cannot be written; then nothing is left behind.
    """
    target = Path(folder)
    if target.exists() or target.is_symlink():
        raise EmbactError("output folder", got=f"{target} exists", allowed="a new folder")
    decisions = decisions or Decisions()
    if decisions.form == "builtin":
        placements = [one for one in placements if isinstance(one, Placement)]
    converted = convert(model, placements, decisions.form)
    ours = [i for one in placements for i in one.site.operators]
    stops = stops_of_tflm(
        parse(converted, model.where), ours if decisions.form == "override" else ()
    )
    decisions = dataclasses.replace(decisions, warnings=(*decisions.warnings, *stops))
    files = conversion_files(model, placements, converted, decisions)
    asked = _deployment(model, placements, converted, decisions)
    decisions = dataclasses.replace(decisions, warnings=(*decisions.warnings, *obstacles(asked)))
    rows = [
        layer_report(model, one, decisions)
        if isinstance(one, LayerPlacement)
        else site_report(model, one, decisions, (errors or {}).get(one.site.operators))
        for one in placements
    ]
    report = Report(
        schema=REPORT_SCHEMA,
        embact=__version__,
        model=_readable(Path(model.where).name),
        model_sha256=model.sha256,
        converted=stem_of(model) + ".tflite",
        converted_sha256=hashlib.sha256(converted).hexdigest(),
        table_bytes=_table_bytes(placements, decisions.form),
        sites=tuple(row for row in rows if isinstance(row, SiteReport)),
        layers=tuple(row for row in rows if isinstance(row, LayerReport)),
        decisions=decisions,
        files=tuple(sorted(files)),
    )
    files[REPORT] = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    _write_folder(target, files)
    return Conversion(
        folder=target,
        model=target / report.converted,
        kernels=tuple(target / name for name in files if name.startswith(f"{KERNELS}/")),
        files=tuple(target / name for name in report.files),
        report=report,
    )


def conversion_files(
    model: Model, placements: Sequence[Placed], converted: bytes, decisions: Decisions
) -> dict[str, bytes]:
    """Return every file of a conversion but the report, by path inside the folder.

    Raises EmbactError if two files would have one name.
    """
    form = decisions.form
    only = core(decisions.target) if decisions.target else None
    code: dict[str, str] = {}
    records: dict[str, str] = {}
    if form != "builtin":
        code = sources(placements, only)
        records = {name: fit_json(fit) for name, fit in kernels_of(placements).items()}
        records |= {name: layer_json(one) for name, one in layers_of(placements).items()}
    asked = _deployment(model, placements, converted, decisions)
    asked = dataclasses.replace(
        asked,
        c_sources=tuple(name for name in code if name.endswith(".c")),
    )
    parts: list[Mapping[str, str]] = [
        code,
        deployment_files(asked),
        {f"{KERNELS}/{name}.json": record for name, record in records.items()},
    ]
    files = {f"{asked.stem}.tflite": converted}
    for part in parts:
        if both := sorted(files.keys() & part.keys()):
            raise EmbactError("files of one name", got=", ".join(both), where=model.where)
        files |= {name: content.encode() for name, content in part.items()}
    return files


def _deployment(
    model: Model, placements: Sequence[Placed], converted: bytes, decisions: Decisions
) -> Deployment:
    """Return what firmware needs of a conversion, without the names of its C files."""
    return Deployment(
        stem=stem_of(model),
        model=converted,
        form=decisions.form,
        routines=_routines(model, placements, decisions.form),
        notes=decisions.warnings,
        **operators_in(parse(converted, model.where)),
    )


def _routines(model: Model, placements: Sequence[Placed], form: str) -> tuple[Routine, ...]:
    """Return the routines that firmware registers: none for the builtin form."""
    if form == "builtin":
        return ()
    return routines(placements, model if form == "override" else None)


def stem_of(model: Model) -> str:
    """Return the name of a model's file without suffix; bytes that are no UTF-8 become _."""
    return _readable(Path(model.where).stem).replace("\N{REPLACEMENT CHARACTER}", "_")


def _readable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


def operators_in(model: Model) -> dict[str, tuple[str, ...]]:
    """Return the operators that a model has: builtin ones as ``stock``, foreign custom ones."""
    known = names_of("BuiltinOperator")
    used = {int(n.opcodeIndex) for g in model.tree.subgraphs for n in items(g.operators)}
    codes = [model.tree.operatorCodes[i] for i in sorted(used)]
    custom = {text(code.customCode) for code in codes if known[builtin_code(code)] == "CUSTOM"}
    stock = {known[builtin_code(code)] for code in codes} - {"CUSTOM"}
    foreign = {name for name in custom if not name.startswith(PREFIX)}
    return {"stock": tuple(sorted(stock)), "foreign": tuple(sorted(foreign))}


def _write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write all files into a folder beside the target, then rename it."""
    partial = target.absolute().parent / f".{target.name}.{os.getpid()}.partial"
    try:
        partial.mkdir()
        for name, content in files.items():
            path = partial / name
            if path.parent != partial:
                path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        partial.rename(target)
    except OSError as error:
        raise EmbactError(
            "cannot write the output folder",
            got=error.strerror,
            allowed="a new folder in an existing one that you may write to",
            where=str(target),
        ) from None
    finally:  # also when the user interrupts; nothing is there after the rename
        shutil.rmtree(partial, ignore_errors=True)


def _table_bytes(placements: Sequence[Placed], form: str) -> int:
    """Return the bytes of constants, in the C or in the model; what is shared counts once."""
    if form == "builtin":
        return bytes_of_tables(one for one in placements if isinstance(one, Placement))
    distinct = {unit_key(one.unit): one.unit for one in layers_of(placements).values()}
    return bytes_of_kernels(kernels_of(placements)) + sum(map(table_bytes, distinct.values()))
