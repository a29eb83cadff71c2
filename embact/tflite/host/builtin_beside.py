"""The kernels that a model of the form builtin holds as tables, at the sites of the stock model.

Such a model runs without C of ours, so no kernel is placed in it; but what its tables compute can
be compared. The report beside it says which sites they stand for. This module must not know
interpreters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embact.activations import activation
from embact.certify import certify
from embact.errors import EmbactError
from embact.fit.problem import Candidate, Limits, Problem
from embact.fit.record import Fit
from embact.ir import Table, add, const, lookup, x
from embact.kernel import Kernel
from embact.tflite.beside import report_beside
from embact.tflite.builtin_form import TABLE_FAMILY
from embact.tflite.find.sites import find_sites
from embact.tflite.model import builtin_code, items, schema
from embact.tflite.placement import Placement

if TYPE_CHECKING:
    from embact.tflite.model import Model
    from embact.tflite.site import Site
    from embact.tflite.site_report import SiteReport


def tables_beside(model: Model, stock: Model) -> tuple[Placement, ...]:
    """Return what the tables of a model compute, placed in the model it was made from.

    The tables are the model's own. Empty if it is of another form. Raises EmbactError if stock is
    not that model, or if a site of the report or its table is not there.
    """
    report = report_beside(model)
    if report is None or report.decisions.form != "builtin":
        return ()
    if stock.sha256 != report.model_sha256:
        raise EmbactError(
            "stock model",
            got=f"sha256 {stock.sha256[:16]}...",
            allowed=f"what {Path(model.where).name} was made from: {report.model_sha256[:16]}...",
            where=stock.where,
        )
    # a gate inside a gated unit is no site of the patterns, but an operator that may have a table
    found = (*find_sites(stock, singles=True).sites, *find_sites(stock).sites)
    sites = {site.operators: site for site in found}
    placed = []
    for row in report.sites:
        if row.operators not in sites:
            got = ", ".join(map(str, row.operators))
            raise EmbactError("no activation at the report's operators", got=got, where=stock.where)
        site = sites[row.operators]
        placed.append(Placement(site, _fit(model, row, site), row.function))
    return tuple(placed)


def _fit(model: Model, row: SiteReport, site: Site) -> Fit:
    """Return the kernel that looks codes up in a site's table, certified for its function."""
    bits, spec = site.spec.input.bits, site.spec
    table = Table("table", _table(model, site))
    kernel = Kernel(lookup(table, add(x(), const(1 << (bits - 1)))), bits, spec.output.bits)
    function = site.activation
    if row.activation != function.name:  # a deliberate replacement
        function = activation(row.activation, **row.parameters)
    proved = certify(function, spec, kernel)
    problem = Problem(function, spec, Limits(proved.max_error_codes))
    return Fit(problem, TABLE_FAMILY, Candidate(kernel), proved)


def _table(model: Model, site: Site) -> tuple[int, ...]:
    """Return the codes from which a model's GATHER takes a site's output, for every input code."""
    made, graph = schema(), model.tree.subgraphs[0]
    codes = items(model.tree.operatorCodes)
    for operator in items(graph.operators):
        is_gather = builtin_code(codes[operator.opcodeIndex]) == made.BuiltinOperator.GATHER
        if is_gather and items(operator.outputs) == [site.output]:
            content = model.tree.buffers[graph.tensors[items(operator.inputs)[0]].buffer].data
            octets = np.asarray(() if content is None else content, dtype=np.uint8).tobytes()
            if len(octets) == (1 << site.spec.input.bits) * site.spec.output.bits // 8:
                values = np.frombuffer(octets, dtype=f"<i{site.spec.output.bits // 8}")
                return tuple(values.tolist())
    raise EmbactError("no table for a site of the report", got=site.tensor, where=model.where)
