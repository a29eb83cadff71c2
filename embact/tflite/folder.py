"""The folder of a converted model: the model, one header, each kernel's JSON, and a report.

    <stem>.tflite   embact_kernels.h   kernels/<function>.json   report.json

It appears complete or not at all. This module must not know interpreters.
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
from embact.certify import Certificate, certify
from embact.emit.header import emit_header, table_bytes
from embact.errors import EmbactError
from embact.files import read_text
from embact.fit.record import Fit, fit_json, fit_of_json
from embact.grid import Grid, QuantSpec
from embact.tflite.convert import PREFIX, convert, converted_operators, read_options
from embact.tflite.model import elements_of, items, tensor_grid, text
from embact.tflite.placement import Placement, kernels_of
from embact.tflite.site import Site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embact.tflite.model import Model, Tree

REPORT_SCHEMA = 1
HEADER = "embact_kernels.h"
KERNELS = "kernels"
REPORT = "report.json"


@dataclass(frozen=True)
class SiteReport:
    """One site in report.json. quantisation holds the input and the output grid."""

    operators: tuple[int, ...]
    ops: tuple[str, ...]
    input: int
    output: int
    tensor: str
    elements: int
    activation: str
    parameters: dict[str, float]
    quantisation: QuantSpec
    function: str
    digest: str
    family: str
    table_bytes: int
    certificate: Certificate


@dataclass(frozen=True)
class Report:
    """report.json, field for field. table_bytes: of the header, whose equal tables are one."""

    schema: int
    embact: str
    model: str
    model_sha256: str
    converted_sha256: str
    table_bytes: int
    sites: tuple[SiteReport, ...]


@dataclass(frozen=True)
class Conversion:
    """Where a converted model was written, and its report."""

    folder: Path
    model: Path
    header: Path
    kernels: tuple[Path, ...]
    report: Report


def write_conversion(
    folder: str | os.PathLike[str], model: Model, placements: Sequence[Placement]
) -> Conversion:
    """Convert a model into a new folder and return where everything is.

    The files depend on the model and the placements alone. Raises EmbactError if the folder exists
    or cannot be written; then nothing is left behind.
    """
    target = Path(folder)
    if target.exists() or target.is_symlink():
        raise EmbactError("output folder", got=f"{target} exists", allowed="a new folder")
    kernels = kernels_of(placements)
    converted = convert(model, placements)
    report = _report(model, converted, placements, kernels)
    name = Path(model.where).stem + ".tflite"
    files: dict[str, bytes] = {
        name: converted,
        HEADER: emit_header(kernels).encode(),
        **{f"{KERNELS}/{function}.json": fit_json(f).encode() for function, f in kernels.items()},
        REPORT: msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n",
    }
    _write_folder(target, files)
    return Conversion(
        folder=target,
        model=target / name,
        header=target / HEADER,
        kernels=tuple(target / KERNELS / f"{name}.json" for name in kernels),
        report=report,
    )


def _write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write all files into a folder beside the target, then rename it."""
    partial = target.absolute().parent / f".{target.name}.{os.getpid()}.partial"
    try:
        partial.mkdir()
        (partial / KERNELS).mkdir()
        for name, content in files.items():
            (partial / name).write_bytes(content)
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


def _report(
    model: Model, converted: bytes, placements: Sequence[Placement], kernels: Mapping[str, Fit]
) -> Report:
    return Report(
        schema=REPORT_SCHEMA,
        embact=__version__,
        model=Path(model.where).name,
        model_sha256=model.sha256,
        converted_sha256=hashlib.sha256(converted).hexdigest(),
        table_bytes=table_bytes(kernels),
        sites=tuple(map(site_report, placements)),
    )


def site_report(placement: Placement) -> SiteReport:
    """Return what is known about a placement, ready to be written as JSON or as a row."""
    site, fit = placement.site, placement.fit
    return SiteReport(
        operators=site.operators,
        ops=site.ops,
        input=site.input,
        output=site.output,
        tensor=site.tensor,
        elements=site.elements,
        activation=fit.activation.name,
        parameters=fit.activation.settings(),
        quantisation=site.spec,
        function=placement.function,
        digest=fit.kernel.digest,
        family=fit.family,
        table_bytes=fit.kernel.table_bytes,
        certificate=fit.certificate,
    )


def header_beside(model: Model) -> str:
    """Return the header that was written beside a converted model, as it is now."""
    return read_text(Path(model.where).parent / HEADER)


def kernels_beside(model: Model) -> tuple[Placement, ...]:
    """Return the placements of a converted model, from the kernels folder beside it.

    Empty if the model has no operator of ours. Raises EmbactError if a kernel is missing, is not
    the one whose digest the model names, or does not fit its tensors.
    """
    return tuple(_placed(model, *found) for found in converted_operators(model))


def _placed(model: Model, index: int, name: str, node: Tree) -> Placement:
    where = f"{model.where}: operator {index} ({name})"
    options = read_options(node, where)
    function, digest = str(options.get("kernel")), options.get("digest")
    if Path(function).name != function:
        raise EmbactError("name of a kernel", got=repr(function), allowed="no path", where=where)
    path = Path(model.where).parent / KERNELS / f"{function}.json"
    try:
        fit = fit_of_json(path.read_bytes(), where=str(path))
    except OSError as error:
        raise EmbactError(
            "cannot read the kernel of a converted model",
            got=f"{path}: {error.strerror}",
            allowed="the kernels folder that was written beside the model",
            where=where,
        ) from None
    if name != PREFIX + fit.activation.name:
        raise EmbactError("kernel of another activation", got=fit.activation.name, where=where)
    if fit.kernel.digest != digest:
        raise EmbactError("kernel", got=fit.kernel.digest, allowed=str(digest), where=where)
    spec = _spec(model, node, fit, where)
    if spec != fit.spec:  # shared with a site of other grids, whose certificate the file holds
        proved = certify(fit.activation, spec, fit.kernel)
        problem = dataclasses.replace(fit.problem, spec=spec, histogram=None)
        fit = dataclasses.replace(fit, problem=problem, certificate=proved)
    tensors = model.tree.subgraphs[0].tensors
    source, target = items(node.inputs)[0], items(node.outputs)[0]
    site = Site(
        subgraph=0,
        operators=(index,),
        input=source,
        output=target,
        ops=(name,),
        tensor=text(tensors[target].name),
        activation=fit.activation,
        spec=spec,
        elements=elements_of(tensors[source]),
    )
    return Placement(site, fit, function)


def _spec(model: Model, node: Tree, fit: Fit, where: str) -> QuantSpec:
    """Return the grids of a converted operator's tensors; raise if the kernel has other widths."""
    tensors = model.tree.subgraphs[0].tensors
    ends = [*items(node.inputs), *items(node.outputs)]
    grids = [tensor_grid(tensors[i]) for i in ends if i >= 0]
    bits = [grid.bits for grid in grids if isinstance(grid, Grid)]
    if len(grids) != 2 or bits != [fit.spec.input.bits, fit.spec.output.bits]:
        raise EmbactError(
            "tensors of a converted operator",
            got=", ".join(str(grid) for grid in grids),
            allowed=f"{fit.spec.input.dtype}, {fit.spec.output.dtype}",
            where=where,
        )
    return QuantSpec(*(grid for grid in grids if isinstance(grid, Grid)))
