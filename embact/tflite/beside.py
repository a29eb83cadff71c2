"""What lies beside a converted model: its kernels and its C, read back and checked.

No file is trusted: a kernel is the one whose digest the model, or in the form override the report,
names, and everything that its file states is computed again. This module must not know
interpreters.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from embact.certify import certify
from embact.cores import core
from embact.errors import CheckFailed, EmbactError
from embact.files import read_text
from embact.fit.record import fit_of_json
from embact.grid import Grid, QuantSpec
from embact.nn.glu_header import Proved
from embact.nn.prelu_layer import PreluLayer
from embact.nn.softmax import Softmax
from embact.tflite.convert import converted_operators, read_options
from embact.tflite.find.layer_sites import NEAR
from embact.tflite.find.sites import find_sites
from embact.tflite.folder import KERNELS, REPORT
from embact.tflite.layer_record import layer_of_json
from embact.tflite.model import elements_of, items, tensor_grid, text
from embact.tflite.placement import LayerPlacement, Placement
from embact.tflite.routines import sources
from embact.tflite.site import GluAsked, LayerSite, Site
from embact.tflite.site_report import REPORT_SCHEMA, LayerReport, Report, SiteReport

if TYPE_CHECKING:
    from embact.fit.record import Fit
    from embact.tflite.layer_record import StoredLayer
    from embact.tflite.model import Model, Tree
    from embact.tflite.placement import Placed


def report_beside(model: Model) -> Report | None:
    """Return the report of the conversion that wrote this very model, or None.

    None also where the file beside it is of another model. Raises EmbactError if it is damaged or
    of another schema.
    """
    path = Path(model.where).parent / REPORT
    if not path.is_file():
        return None
    content = path.read_bytes()
    try:
        head = msgspec.json.decode(content, type=dict[str, Any])
        if head.get("converted_sha256") != model.sha256:
            return None
        found = msgspec.json.decode(content, type=Report)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, EmbactError) as error:
        raise EmbactError("not a report of embact", got=error, where=str(path)) from None
    if found.schema != REPORT_SCHEMA:
        raise EmbactError(
            "schema of the report",
            got=found.schema,
            allowed=f"{REPORT_SCHEMA}: convert the model again with this embact",
            where=str(path),
        )
    return found


def form_beside(model: Model) -> str | None:
    """Return the form of a converted model: custom, builtin or override; None for any other."""
    if converted_operators(model):
        return "custom"
    report = report_beside(model)
    return None if report is None else report.decisions.form


def sources_beside(model: Model) -> dict[str, str]:
    """Return the C that was written beside a converted model, as it is now, by file name.

    C for one core cannot run here: it is compared with what embact writes for that core, and the C
    for every compiler is returned in its place. Raises CheckFailed if it is not that.
    """
    placed = kernels_beside(model)
    ours, folder = sources(placed), Path(model.where).parent
    found = {name: read_text(folder / name) for name in ours}
    report = report_beside(model)
    if report is None or not report.decisions.target:
        return found
    for name, expected in sources(placed, core(report.decisions.target)).items():
        if found[name] != expected:
            raise CheckFailed(
                f"C for {report.decisions.target} is not what embact writes", got=name
            )
    return ours


def kernels_beside(model: Model) -> tuple[Placed, ...]:
    """Return the placements of a converted model, from the kernels folder beside it.

    Empty if the model has no operator of ours and was not written with kernels that override its
    own. Raises EmbactError if a kernel is missing, is not the one whose digest is named, or does
    not fit its tensors.
    """
    ours = converted_operators(model)
    if ours:
        return tuple(_placed(model, *found) for found in ours)
    report = report_beside(model)
    if report is None or report.decisions.form != "override":
        return ()
    return _overriding(model, report)


def _overriding(model: Model, report: Report) -> tuple[Placed, ...]:
    """Return the placements that a report lists, each at a site that is found again."""
    findings = find_sites(model, singles=True)
    every: list[Site | LayerSite] = [*findings.sites, *findings.layers]
    sites = {one.operators: one for one in every}
    rows: list[SiteReport | LayerReport] = [*report.sites, *report.layers]
    placed: list[Placed] = []
    for row in sorted(rows, key=lambda row: row.operators):
        where = f"{model.where}: operator {', '.join(map(str, row.operators))}"
        site = sites.get(row.operators)
        match site:
            case Site():
                fit = _fit_beside(model, row.function, row.digest, where)
                placed.append(Placement(site, _for_grids(fit, site.spec), row.function))
            case LayerSite():
                stored = _layer_beside(model, row.function, row.digest, where)
                _check_layer(stored, site.spec, site.elements, where)
                placed.append(LayerPlacement(site, stored.unit, row.function))
            case None:
                raise EmbactError("no activation that a kernel could override", where=where)
    return tuple(placed)


def _record(model: Model, function: str, where: str) -> tuple[bytes, str]:
    """Return the content and the path of a function's record in the kernels folder."""
    if Path(function).name != function or "\0" in function:
        raise EmbactError("name of a kernel", got=repr(function), allowed="no path", where=where)
    path = Path(model.where).parent / KERNELS / f"{function}.json"
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise EmbactError(
            "cannot read the kernel of a converted model",
            got=f"{path}: {error.strerror}",
            allowed="the kernels folder that was written beside the model",
            where=where,
        ) from None


def _fit_beside(model: Model, function: str, digest: object, where: str) -> Fit:
    content, path = _record(model, function, where)
    fit = fit_of_json(content, where=path)
    if fit.kernel.digest != digest:
        raise EmbactError("kernel", got=fit.kernel.digest, allowed=str(digest), where=where)
    return fit


def _layer_beside(model: Model, function: str, digest: object, where: str) -> StoredLayer:
    content, path = _record(model, function, where)
    stored = layer_of_json(content, where=path)
    if stored.digest != digest:
        raise EmbactError("layer", got=stored.digest, allowed=str(digest), where=where)
    return stored


def _placed(model: Model, index: int, name: str, node: Tree) -> Placed:
    where = f"{model.where}: operator {index} ({name})"
    options = read_options(node, where)
    function, digest = str(options.get("kernel")), options.get("digest")
    if function != name:
        raise EmbactError("kernel of another function", got=repr(function), where=where)
    graph = model.tree.subgraphs[0]
    spec = _spec(model, node, where)
    source, target = items(node.inputs)[0], items(node.outputs)[0]
    ends = {
        "subgraph": 0,
        "operators": (index,),
        "input": source,
        "output": target,
        "ops": (name,),
        "tensor": text(graph.tensors[target].name),
        "spec": spec,
        "elements": elements_of(graph.tensors[target]),
    }
    if "layer" in options:
        stored = _layer_beside(model, function, digest, where)
        _check_layer(stored, spec, ends["elements"], where)
        return LayerPlacement(_layer_site(stored, ends), stored.unit, function)
    fit = _fit_beside(model, function, digest, where)
    if fit.activation.name != options.get("activation"):
        raise EmbactError("kernel of another activation", got=fit.activation.name, where=where)
    if ends["elements"] != elements_of(graph.tensors[source]):
        raise EmbactError("tensors of a converted operator", got="of two sizes", where=where)
    if [spec.input.bits, spec.output.bits] != [fit.spec.input.bits, fit.spec.output.bits]:
        raise EmbactError(
            "tensors of a converted operator",
            got=f"{spec.input.dtype}, {spec.output.dtype}",
            allowed=f"{fit.spec.input.dtype}, {fit.spec.output.dtype}",
            where=where,
        )
    site = Site(activation=fit.activation, **ends)
    return Placement(site, _for_grids(fit, spec), function)


def _for_grids(fit: Fit, spec: QuantSpec) -> Fit:
    """Return a fit for these grids: one that is shared holds the certificate of another site."""
    if spec == fit.spec:
        return fit
    proved = certify(fit.activation, spec, fit.kernel)
    problem = dataclasses.replace(fit.problem, spec=spec, histogram=None)
    return dataclasses.replace(fit, problem=problem, certificate=proved)


def _layer_site(stored: StoredLayer, ends: dict[str, Any]) -> LayerSite:
    match stored.unit:
        case Proved() as proved:
            unit = proved.unit
            layer: Any = GluAsked(unit.activation, unit.grids, stored.swapped)
        case unit:
            layer = unit
    return LayerSite(layer=layer, row_size=stored.row_size, **ends)


def _check_layer(stored: StoredLayer, spec: QuantSpec, elements: int, where: str) -> None:
    """Raise EmbactError unless a layer was made for tensors of these grids and that size."""
    match stored.unit:
        case Softmax() as unit:
            # a site may have an output scale that TFLM takes for its own
            near = abs(spec.output.scale / unit.output.scale - 1) <= NEAR
            scale = spec.output.scale if near and unit.out_bits == 16 else unit.output.scale
            output = dataclasses.replace(unit.output, scale=scale)
            asked = unit.scale, unit.in_bits, output
            fits = asked == (spec.input.scale, spec.input.bits, spec.output)
        case PreluLayer() as unit:
            fits = unit.spec == spec
        case Proved() as proved:
            grids = proved.unit.grids
            fits = grids.output == spec.output and grids.bits == spec.input.bits
    if not fits or elements % stored.row_size:
        raise EmbactError(
            "layer for other tensors",
            got=f"{stored.kind}, rows of {stored.row_size}",
            allowed=f"{spec}, {elements} elements",
            where=where,
        )


def _spec(model: Model, node: Tree, where: str) -> QuantSpec:
    """Return the grids of a converted operator's tensors, one of each side."""
    tensors = model.tree.subgraphs[0].tensors
    ends = [items(node.inputs), items(node.outputs)]
    if [len(side) for side in ends] != [1, 1] or min(*ends[0], *ends[1]) < 0:
        raise EmbactError(
            "tensors of a converted operator", got=ends, allowed="one on each side", where=where
        )
    grids = [tensor_grid(tensors[side[0]]) for side in ends]
    for grid in grids:
        if not isinstance(grid, Grid):
            raise EmbactError("tensors of a converted operator", got=grid, where=where)
    return QuantSpec(*(grid for grid in grids if isinstance(grid, Grid)))
