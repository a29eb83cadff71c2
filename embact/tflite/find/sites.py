"""Sites: where a TFLite graph computes an activation that an integer kernel can replace.

A site is one builtin operator, or a pattern of several, found by what it computes. What looks like
an activation and is no site is listed with the reason. This module must not know kernels,
interpreters or how a site is replaced.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from embact.errors import EmbactError
from embact.grid import Grid, QuantSpec
from embact.tflite.find.commands import command_for
from embact.tflite.find.layer_sites import glu_sites, layer_site
from embact.tflite.find.meaning import fused_name
from embact.tflite.find.patterns import Patterns, patterns
from embact.tflite.find.recognise import Recogniser
from embact.tflite.find.regions import flow_of
from embact.tflite.find.single import FREE, INSIDE, LAYERS, SINGLE
from embact.tflite.find.terms import Terms
from embact.tflite.graph import Graph, graph_of
from embact.tflite.model import elements_of, items, names_of, shape_of, tensor_grid, text
from embact.tflite.site import Findings, LayerSite, Site, Skipped

if TYPE_CHECKING:
    from embact.tflite.model import Model

__all__ = ["SINGLE", "find_sites", "nothing_to_do"]


def find_sites(model: Model, *, singles: bool = False) -> Findings:
    """Return every activation of the model: the sites, and the ones that are none, with reasons.

    singles: each builtin operator by itself, no patterns. The sites' operators are disjoint, and
    all tensors between them are used by them alone. Sites are in the order of their last operators.
    Raises EmbactError if the model is not quantised at all, and says how to quantise it.
    """
    graphs = [graph_of(model, number) for number in range(len(model.tree.subgraphs))]
    _require_quantised(model, graphs)
    sites: list[Site] = []
    layers: list[LayerSite] = []
    skipped: list[Skipped] = []
    for graph in graphs:
        found, gated = Patterns((), {}), list[LayerSite]()
        if not singles and not graph.number:
            flow, recogniser = flow_of(model, graph), Recogniser(Terms())
            gated = glu_sites(model, flow, recogniser)
            found = patterns(flow, recogniser, {i for one in gated for i in one.operators})
        sites.extend(found.sites)
        layers.extend(gated)
        used = {i for site in found.sites for i in site.operators}
        used |= {i for layer in gated for i in layer.operators}
        for operator in sorted(set(range(len(graph.ops))) - used):
            match _examine(model, graph, operator):
                case Site() as site:
                    sites.append(site)
                case LayerSite() as layer:
                    layers.append(layer)
                case reason if reason := found.reasons.get(operator, "") or reason:
                    skipped.append(_skipped(model, graph, operator, reason))
    return Findings(
        tuple(sorted(sites, key=lambda site: site.operators[-1])),
        tuple(skipped),
        tuple(sorted(layers, key=lambda layer: layer.operators[-1])),
    )


def _skipped(model: Model, graph: Graph, operator: int, reason: str) -> Skipped:
    command, about = command_for(model, graph, operator)
    if command:
        said = "; a command writes its C"
        about = f"{said}; {about}" if about else said
    elif about and about not in reason:
        about = f"; {about}"
    else:
        about = ""
    note = about + class_note(model, graph, operator)
    return Skipped(graph.number, operator, graph.ops[operator], reason + note, command)


def class_note(model: Model, graph: Graph, operator: int) -> str:
    """Return that a softmax can go, where only the largest class of its result counts, or "".

    Softmax and its logarithm grow with the input along the last axis, so an ARG_MAX over that axis
    finds the same class without them: rounded outputs can tie where the inputs do not.
    """
    outs = graph.tensors(operator)[1]
    if graph.ops[operator] not in ("SOFTMAX", "LOG_SOFTMAX") or not outs:
        return ""
    if graph.uses[outs[0]] != 1:
        return ""
    same = "the class of the largest input is the same, unless rounded outputs tie"
    if outs[0] in items(graph.tree.outputs):
        return f"; if only the class of the model's output is used, it can go: {same}"
    (reader,) = (i for i in range(len(graph.ops)) if outs[0] in graph.tensors(i)[0])
    ins = graph.tensors(reader)[0]
    if graph.ops[reader] != "ARG_MAX" or ins[0] != outs[0] or len(ins) != 2:
        return ""
    axis, rank = graph.tree.tensors[ins[1]], len(items(graph.tree.tensors[outs[0]].shape))
    width = {"INT32": 4, "INT64": 8}.get(names_of("TensorType").get(axis.type, ""), 0)
    data = model.tree.buffers[axis.buffer].data if ins[1] in graph.constant else ()
    if not width or len(data) != width:
        return ""
    last = int.from_bytes(bytes(data), "little", signed=True) in (-1, rank - 1)
    return f"; before ARG_MAX it can go: {same}" if last else ""


def _examine(model: Model, graph: Graph, operator: int) -> Site | LayerSite | str:
    """Return the site or layer at an operator, or why there is none, or "" for no activation."""
    op = graph.ops[operator]
    if op not in SINGLE and op not in LAYERS:
        return _contained(graph, operator)
    if obstacle := _obstacle(graph, operator):
        return obstacle
    spec = _ends(graph, operator)
    if isinstance(spec, str):
        return spec
    try:
        if op in LAYERS:
            return layer_site(model, graph, operator, spec, class_note(model, graph, operator)[2:])
        known = SINGLE[op](graph.tree.operators[operator].builtinOptions)
    except EmbactError as error:
        return str(error)
    ins, outs = graph.tensors(operator)
    return Site(
        subgraph=graph.number,
        operators=(operator,),
        input=ins[0],
        output=outs[0],
        ops=(op,),
        tensor=text(graph.tree.tensors[outs[0]].name),
        activation=known,
        spec=spec,
        elements=elements_of(graph.tree.tensors[outs[0]]),
    )


def _ends(graph: Graph, operator: int) -> QuantSpec | str:
    """Return the grids that an operator reads and writes, or which of them is none."""
    ins, outs = graph.tensors(operator)
    match tensor_grid(graph.tree.tensors[ins[0]]), tensor_grid(graph.tree.tensors[outs[0]]):
        case Grid() as source, Grid() as target:
            return QuantSpec(source, target)
        case str() as why, _:
            return f"its input is {why}"
        case _, why:
            return f"its output is {why}"


def _contained(graph: Graph, operator: int) -> str:
    """Return what activation another operator contains, as a reason, or ""."""
    op = graph.ops[operator]
    if op.startswith("embact_"):
        return "already converted by embact"
    if op == "CUMSUM" and "TOPK_V2" in graph.ops:
        return "not element-wise: sorted and summed rows, as in sparsemax; there is no kernel of it"
    fused = fused_name(graph.tree.operators[operator].builtinOptions)
    if op in INSIDE:
        free = op == "SVDF" and fused in ("", *FREE)
        return _free(fused) if free else INSIDE[op]
    if not fused:
        return ""
    return _free(fused) if fused in FREE else f"{fused} is fused into the operator"


def _free(fused: str) -> str:
    return f"already free: {fused} is fused into the operator" if fused else ""


def _obstacle(graph: Graph, operator: int) -> str:
    """Return why an operator cannot be a site or layer whatever its grids, or "" if it can."""
    if graph.number:
        return "in a subgraph that control flow or another signature runs"
    ins, outs = graph.tensors(operator)
    wanted = 1 + (graph.ops[operator] == "PRELU")
    if len(ins) < wanted or not outs:
        return "it lacks an input or an output"
    if ins[0] in graph.constant:
        return "its input is a constant"
    source, target = graph.tree.tensors[ins[0]], graph.tree.tensors[outs[0]]
    if shape_of(source) != shape_of(target):
        return f"its shape changes from {shape_of(source)} to {shape_of(target)}"
    return ""


def _require_quantised(model: Model, graphs: list[Graph]) -> None:
    """Raise EmbactError if values between the operators are float and none is int8 or int16."""
    types = names_of("TensorType")
    flowing = {
        types.get(graph.tree.tensors[i].type, "?")
        for graph in graphs
        for operator in range(len(graph.ops))
        for i in graph.tensors(operator)[1]
        if i not in graph.constant
    }
    if flowing & {"FLOAT32", "FLOAT16", "BFLOAT16"} and not flowing & {"INT8", "INT16", "UINT8"}:
        raise EmbactError(
            "quantise first: this is a float model",
            got=" and ".join(sorted(flowing)).lower() + " activations",
            allowed="int8 or int16 activations; `embact quantize` makes them from the Keras model "
            "or SavedModel, or TFLiteConverter with optimizations = [Optimize.DEFAULT], a "
            "representative_dataset and target_spec.supported_ops = [OpsSet.TFLITE_BUILTINS_INT8]",
            where=model.where,
        )


def nothing_to_do(findings: Findings) -> str:
    """Return in one line why a model has no site and no layer; empty if it has one.

    >>> nothing_to_do(Findings((), ()))
    'no activation operator in this model'
    """
    if findings.sites or findings.layers:
        return ""
    if not findings.skipped:
        return "no activation operator in this model"
    counted = Counter((skip.op, skip.reason) for skip in findings.skipped)
    listed = [f"{n} {op}: {reason}" for (op, reason), n in counted.most_common()]
    return "no activation to replace; " + "; ".join(listed)
