"""report.json: everything that a conversion decided, and why, field for field.

Schema 2. This module must not know files or interpreters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from embact.certify import Certificate  # noqa: TC001 - msgspec reads the annotations at run time
from embact.cores import DEFAULT_CORE
from embact.cost import instructions
from embact.grid import QuantSpec  # noqa: TC001 - likewise
from embact.tflite.layer_record import layer_digest
from embact.tflite.layers import about, table_bytes
from embact.tflite.placement import rows_of
from embact.tflite.stock.cost import StockCost, stock_cost
from embact.tflite.stock.today import NoStockError, StockError

if TYPE_CHECKING:
    from embact.tflite.model import Model
    from embact.tflite.placement import LayerPlacement, Placement

REPORT_SCHEMA = 2


@dataclass(frozen=True)
class SkippedReport:
    """An operator that computes an activation and was left alone, with the reason."""

    subgraph: int
    operator: int
    op: str
    reason: str
    command: str = ""


@dataclass(frozen=True)
class SiteReport:
    """One element-wise site.

    quantisation: the input and the output grid. about: how it was found. expression: the formula,
    where the activation is no catalogue entry. instructions: of the kernel, for each element on the
    report's core; None in the builtin form, where the runtime's own operators compute it. today:
    what TFLM's own kernels take for the site on this core, operator by operator. stock_error: of
    the runtime's own operators against the function that the model has; None if it was not asked
    for or cannot be told, with the reason in no_stock_error.
    """

    operators: tuple[int, ...]
    ops: tuple[str, ...]
    input: int
    output: int
    tensor: str
    elements: int
    about: str
    activation: str
    parameters: dict[str, float]
    expression: str
    quantisation: QuantSpec
    function: str
    digest: str
    family: str
    table_bytes: int
    instructions: float | None
    today: StockCost | None
    certificate: Certificate
    stock_error: StockError | None = None
    no_stock_error: str = ""


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    layer: softmax, log_softmax, prelu or glu. statement: what is proved or tested of it. today: as
    for a site.
    """

    operators: tuple[int, ...]
    ops: tuple[str, ...]
    input: int
    output: int
    tensor: str
    elements: int
    row_size: int
    about: str
    layer: str
    quantisation: QuantSpec
    function: str
    digest: str
    table_bytes: int
    today: StockCost | None
    statement: str


@dataclass(frozen=True)
class MetricReport:
    """What the kernels changed on the user's data. drop: > 0 is worse; see ``metrics.drop``."""

    metric: str
    samples: int
    runtime: str
    resolver: str
    before: float
    after: float
    drop: float
    max_drop: float | None


@dataclass(frozen=True)
class Decisions:
    """What was decided besides the placements.

    form: see ``convert.FORMS``. core: whose instructions decide. target: the only core that the C
    is for, or "". options: what the user asked for, by name. skipped: what was left alone.
    warnings: what a user has to know. replaced, trace: of deliberate replacement, as data.
    """

    form: str = "custom"
    core: str = DEFAULT_CORE
    target: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    skipped: tuple[SkippedReport, ...] = ()
    warnings: tuple[str, ...] = ()
    metric: MetricReport | None = None
    replaced: tuple[dict[str, Any], ...] = ()
    trace: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Report:
    """report.json, field for field.

    converted: the model's file. table_bytes: of all C, whose equal tables are one; of the model's
    tables in the builtin form. files: all others of the folder.
    """

    schema: int
    embact: str
    model: str
    model_sha256: str
    converted: str
    converted_sha256: str
    table_bytes: int
    sites: tuple[SiteReport, ...]
    layers: tuple[LayerReport, ...]
    decisions: Decisions
    files: tuple[str, ...]


def site_report(
    model: Model,
    placement: Placement,
    decisions: Decisions,
    today: StockError | NoStockError | None = None,
) -> SiteReport:
    """Return what is known about an element-wise placement, ready to be written as JSON.

    today: the error of the runtime's own operators.
    """
    site, fit, core = placement.site, placement.fit, decisions.core
    return SiteReport(
        operators=site.operators,
        ops=site.ops,
        input=site.input,
        output=site.output,
        tensor=site.tensor,
        elements=site.elements,
        about=site.about,
        activation=fit.activation.name,
        parameters=dict(fit.activation.settings()),
        expression=fit.activation.expression or "",
        quantisation=site.spec,
        function=placement.function,
        digest=fit.kernel.digest,
        family=fit.family,
        table_bytes=fit.kernel.table_bytes,
        instructions=None if decisions.form == "builtin" else instructions(fit.kernel, core),
        today=stock_cost(model, site, core),
        certificate=fit.certificate,
        stock_error=today if isinstance(today, StockError) else None,
        no_stock_error=today.reason if isinstance(today, NoStockError) else "",
    )


def layer_report(model: Model, placement: LayerPlacement, decisions: Decisions) -> LayerReport:
    """Return what is known about a layer."""
    site, unit = placement.site, placement.unit
    kind, digest = layer_digest(placement)
    return LayerReport(
        operators=site.operators,
        ops=site.ops,
        input=site.input,
        output=site.output,
        tensor=site.tensor,
        elements=site.elements,
        row_size=rows_of(site, unit),
        about=site.about,
        layer=kind,
        quantisation=site.spec,
        function=placement.function,
        digest=digest,
        table_bytes=table_bytes(unit),
        today=stock_cost(model, site, decisions.core),
        statement=about(unit),
    )
