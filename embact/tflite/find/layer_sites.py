"""Layers in a graph whose results depend on more than one code: softmax, PReLU, gated units.

This module must not know kernels, or how element-wise patterns are chosen.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from embact.activations import activation
from embact.errors import EmbactError
from embact.grid import Grid, QuantSpec
from embact.nn.glu import Grids
from embact.nn.prelu_layer import PreluLayer, layer_of_codes
from embact.nn.softmax import ROW_MAX, Softmax
from embact.tflite.find.constants import stored_values
from embact.tflite.find.meaning import fused_name
from embact.tflite.find.regions import meaning_of, regions
from embact.tflite.model import elements_of, shape_of, tensor_grid, text
from embact.tflite.site import GluAsked, LayerSite, Site

if TYPE_CHECKING:
    from embact.tflite.find.recognise import Recogniser
    from embact.tflite.find.regions import Flow, Region
    from embact.tflite.graph import Graph
    from embact.tflite.model import Model, Tree
    from embact.tflite.site import Layer

NEAR = 1e-3
"""Relative: TFLM's tolerance for the scale of an int16 softmax (softmax_common.cc)."""

ROWS = ("SOFTMAX", "LOG_SOFTMAX")


def layer_site(
    model: Model, graph: Graph, operator: int, spec: QuantSpec, note: str
) -> LayerSite | Site:
    """Return the layer that SOFTMAX, LOG_SOFTMAX or PRELU is, or the site, with one slope.

    note: what to know about it. Raises EmbactError where there is no kernel of it.
    """
    ins, outs = graph.tensors(operator)
    tensors = graph.tree.tensors
    if graph.ops[operator] in ROWS:
        options = graph.tree.operators[operator].builtinOptions
        unit = softmax_of(options, spec, log=graph.ops[operator] == "LOG_SOFTMAX")
        if not 1 <= (row := (1, *shape_of(tensors[ins[0]]))[-1]) <= ROW_MAX:
            raise EmbactError("length of a row", got=row, allowed=f"1..{ROW_MAX}")
        return replace(_layer_site(graph, (operator,), unit, spec, (ins[0], outs[0])), about=note)
    layer = prelu_of(model, graph, ins, spec)
    if len(set(layer.codes)) == 1:
        return Site(
            subgraph=graph.number,
            operators=(operator,),
            input=ins[0],
            output=outs[0],
            ops=("PRELU",),
            tensor=text(tensors[outs[0]].name),
            activation=activation("leaky_relu", alpha=layer.reals[0]),
            spec=spec,
            elements=elements_of(tensors[outs[0]]),
            about="all slopes are equal",
        )
    return _layer_site(graph, (operator,), layer, spec, (ins[0], outs[0]))


def _layer_site(
    graph: Graph,
    operators: tuple[int, ...],
    layer: Layer,
    spec: QuantSpec,
    ends: tuple[int, int],
) -> LayerSite:
    target = graph.tree.tensors[ends[1]]
    return LayerSite(
        subgraph=graph.number,
        operators=operators,
        input=ends[0],
        output=ends[1],
        ops=tuple(graph.ops[i] for i in operators),
        tensor=text(target.name),
        layer=layer,
        spec=spec,
        elements=elements_of(target),
        row_size=(1, *shape_of(target))[-1],
    )


def softmax_of(options: Tree, spec: QuantSpec, *, log: bool) -> Softmax:
    """Return the softmax of an operator; EmbactError if TFLite has another output for it.

    TFLM takes an int16 output scale for its own if it is no farther than a thousandth from it.
    """
    source, target = spec.input, spec.output
    beta = 1.0 if log else float(getattr(options, "beta", 0.0))  # none is 0, as TFLite reads it
    asked = Softmax(source.scale, beta, source.bits, target.bits, log=log)
    near = abs(target.scale / asked.output.scale - 1) <= NEAR if target.bits == 16 else False
    if target != (replace(asked.output, scale=target.scale) if near else asked.output):
        raise EmbactError(f"its output is {_said(target)}, not {_said(asked.output)}")
    return asked


def prelu_of(model: Model, graph: Graph, ins: list[int], spec: QuantSpec) -> PreluLayer:
    """Return the PReLU of an operator with its slopes: one, or one for each channel.

    Raises EmbactError for slopes that are anything else, or that no kernel takes.
    """
    if len(ins) != 2:
        raise EmbactError(f"it has {len(ins)} inputs, not values and slopes")
    values, slopes = (graph.tree.tensors[i] for i in ins)
    grid = tensor_grid(slopes)
    if isinstance(grid, str):
        raise EmbactError(f"its slopes are {grid}")
    if ins[1] not in graph.constant:
        raise EmbactError("its slopes are no constant")
    shape, channels = shape_of(slopes), (1, *shape_of(values))[-1]
    if prod(shape) not in {1, channels} or prod(shape) != (1, *shape)[-1]:
        raise EmbactError(
            f"its slopes have shape {shape}, neither one nor one for each of {channels}"
        )
    if grid.bits != 8:
        raise EmbactError(f"its slopes are {grid.dtype}")
    codes = stored_values(model, slopes)
    if codes is None:
        size = len(model.tree.buffers[slopes.buffer].data)
        raise EmbactError(f"its slopes have {size} bytes for shape {shape}")
    return layer_of_codes(spec, grid, codes.tolist())


def _said(grid: Grid) -> str:
    return f"{grid.dtype} ({np.float32(grid.scale)!s}, {grid.zero_point})"


def glu_sites(model: Model, flow: Flow, recogniser: Recogniser) -> list[LayerSite]:
    """Return the gated units a * gate(b) whose a and b are the halves of one tensor's last axis."""
    found = []
    for operator, op in enumerate(flow.graph.ops):
        if op == "MUL" and (site := _glu(model, flow, recogniser, operator)):
            found.append(site)
    return found


def _glu(model: Model, flow: Flow, recogniser: Recogniser, mul: int) -> LayerSite | None:
    """Return the gated unit that ends at a MUL, or None."""
    graph = flow.graph
    ins, outs = graph.tensors(mul)
    if len(ins) != 2 or len(outs) != 1 or not {*ins, *outs} <= flow.fixed:
        return None
    if fused_name(graph.tree.operators[mul].builtinOptions):
        return None
    for a, gate in (ins, ins[::-1]):
        split = flow.producer.get(a, -1)
        if split < 0 or not (halves := _halves(model, flow, split)):
            continue
        b = halves[a == halves[0]]
        for region in regions(flow, flow.producer.get(gate, -1)):
            if region.entry == b and _only_here(flow, region, a, mul):
                swapped = a == halves[1]
                return _glu_site(flow, recogniser, (split, region, mul), swapped=swapped)
    return None


def _halves(model: Model, flow: Flow, split: int) -> list[int]:
    """Return the two tensors of a SPLIT of the last axis into halves of one grid, or []."""
    graph = flow.graph
    ins, outs = graph.tensors(split)
    if graph.ops[split] != "SPLIT" or len(ins) != 2 or len(outs) != 2:
        return []
    tensors = graph.tree.tensors
    axis = stored_values(model, tensors[ins[0]]) if ins[0] in graph.constant else None
    shape = shape_of(tensors[ins[1]])
    whole = tensor_grid(tensors[ins[1]])
    half = (*shape[:-1], shape[-1] // 2) if shape and shape[-1] % 2 == 0 else None
    same = all(shape_of(tensors[i]) == half and tensor_grid(tensors[i]) == whole for i in outs)
    if axis is None or axis.size != 1 or axis[0] not in (-1, len(shape) - 1):
        return []
    usable = isinstance(whole, Grid) and ins[1] in flow.fixed and {*outs} <= flow.fixed
    return outs if same and usable and outs[0] != outs[1] else []


def _only_here(flow: Flow, region: Region, a: int, mul: int) -> bool:
    """Return whether nothing but the gate and the product uses what is between their ends."""
    used = {*flow.readers.get(region.entry, ())} <= {*region.operators}
    only = flow.readers.get(a) == (mul,) and flow.readers.get(region.exit) == (mul,)
    inner = not {a, region.entry, region.exit} & flow.outputs
    return used and only and inner and region.leak is None


def _glu_site(
    flow: Flow, recogniser: Recogniser, parts: tuple[int, Region, int], *, swapped: bool
) -> LayerSite | None:
    split, region, mul = parts
    graph, tensors = flow.graph, flow.graph.tree.tensors
    source, target = graph.tensors(split)[0][1], graph.tensors(mul)[1][0]
    grid, gate, out = (tensor_grid(tensors[i]) for i in (region.entry, region.exit, target))
    term = meaning_of(flow, region, recogniser.terms)
    half = shape_of(tensors[region.entry])
    if term is None or not (isinstance(grid, Grid) and isinstance(out, Grid)):
        return None
    if shape_of(tensors[target]) != half or not isinstance(gate, Grid) or grid.bits != out.bits:
        return None
    spec = QuantSpec(grid, gate)
    known = recogniser.likely(term)
    if known is None or not recogniser.agrees(known, term, spec):
        return None
    asked = GluAsked(known, Grids(grid, grid, out), swapped)
    operators = tuple(sorted((split, *region.operators, mul)))
    return _layer_site(graph, operators, asked, QuantSpec(grid, out), (source, target))
