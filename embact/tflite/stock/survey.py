"""Everything that is known of a model's activations before any kernel is sought, together.

This module must not know how anything is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.cores import DEFAULT_CORE
from embact.nn.prelu_layer import PreluLayer
from embact.nn.softmax import Softmax
from embact.tflite.graph import graph_of
from embact.tflite.site import LayerSite
from embact.tflite.stock.cost import (
    StockCost,
    TflmVerdict,
    packaged,
    stock_cost,
    tflm_verdict,
)
from embact.tflite.stock.own_cost import OwnCost, own_cost
from embact.tflite.stock.today import NoStockError, StockError, todays_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.tflite.model import Model
    from embact.tflite.site import Findings, Layer, Site

NO_EXHAUSTIVE = "a result depends on more than one code, so there is no error on every input"


@dataclass(frozen=True)
class Surveyed:
    """A site, and what is known of it.

    now: TFLM's cost. ours: embact's. tflm: whether TFLM can run it. error: of its operators as a
    runtime computes them; None if it was not asked for.
    """

    site: Site | LayerSite
    now: StockCost
    ours: OwnCost
    tflm: TflmVerdict
    error: StockError | NoStockError | None


@dataclass(frozen=True)
class Totals:
    """Instructions for an inference, over the sites where both costs are known: counted of sites.

    now: today's alone, over the now_counted sites where it is known, and None where it is of none;
    own, own_counted: the same of embact's. A site whose cost is not known is in no sum. float_unit:
    what today's float operators were counted with, "" if there are none.
    """

    sites: int
    counted: int
    today: float
    embact: float
    now_counted: int
    now: float | None
    own_counted: int
    own: float | None
    float_unit: str


def survey(
    model: Model, findings: Findings, core: str = DEFAULT_CORE, *, accuracy: bool = True
) -> tuple[Surveyed, ...]:
    """Return what is known of each site and layer, in the order in which they are computed.

    accuracy: whether the model's operators are run, in a child process. Raises EmbactError for an
    unknown core.
    """
    errors: dict[int, StockError | NoStockError | None] = {}
    if accuracy:
        found = todays_errors(model, findings)
        errors = {id(site): error for site, error in zip(findings.sites, found, strict=True)}
    both: list[Site | LayerSite] = [*findings.sites, *findings.layers]
    graphs = {number: graph_of(model, number) for number in {site.subgraph for site in both}}
    layered = NoStockError(NO_EXHAUSTIVE) if accuracy else None
    return tuple(
        Surveyed(
            site,
            stock_cost(model, site, core, graph=graphs[site.subgraph]),
            own_cost(site, core),
            tflm_verdict(model, site, graph=graphs[site.subgraph]),
            layered if isinstance(site, LayerSite) else errors.get(id(site)),
        )
        for site in sorted(both, key=lambda one: one.operators[-1])
    )


def totals(found: Sequence[Surveyed]) -> Totals:
    """Return the sums over the sites of which both costs are known, and of either alone."""
    costs = [(one.now.per_inference, _own(one)) for one in found]
    both = [(now, own) for now, own in costs if now is not None and own is not None]
    nows = [now for now, _ in costs if now is not None]
    owns = [own for _, own in costs if own is not None]
    floats = any("float32" in part.about for one in found for part in one.now.operators)
    core = found[0].now.core if found else DEFAULT_CORE
    return Totals(
        sites=len(found),
        counted=len(both),
        today=sum(now for now, _ in both),
        embact=sum(ours for _, ours in both),
        now_counted=len(nows),
        now=sum(nows) if nows else None,
        own_counted=len(owns),
        own=sum(owns) if owns else None,
        float_unit=_unit(core) if floats else "",
    )


def _own(one: Surveyed) -> float | None:
    """Return our instructions for an inference."""
    each = one.ours.instructions
    return None if each is None else each * one.site.elements


def _unit(core: str) -> str:
    unit = packaged().float_unit[core]
    return "no floating point unit" if unit == "none" else f"a floating point unit ({unit})"


def layer_name(layer: Layer) -> str:
    """Return what a layer computes: softmax, log_softmax, prelu or glu(gate)."""
    match layer:
        case Softmax():
            return "log_softmax" if layer.log else "softmax"
        case PreluLayer():
            return "prelu"
        case _:
            return f"glu({layer.activation.name})"
