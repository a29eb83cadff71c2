"""Sites: where a TFLite graph computes an activation that an integer kernel can replace.

A site is one builtin operator, or a decomposed pattern that TFLite's converter writes for one
activation (LOGISTIC and MUL for SiLU). What looks like an activation and is no site is listed with
the reason. This module must not know kernels, interpreters or how a site is replaced.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.activations import Activation, activation
from embact.errors import EmbactError
from embact.grid import Grid, QuantSpec
from embact.tflite.commands import command_for
from embact.tflite.graph import Graph, fused, graph_of
from embact.tflite.model import Tree, elements_of, items, names_of, shape_of, tensor_grid, text
from embact.tflite.site import Findings, Site, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from embact.tflite.model import Model


def _leaky_relu(options: Tree) -> Activation:
    return activation("leaky_relu", alpha=float(options.alpha) if options else 0.0)


def _gelu(options: Tree) -> Activation:
    return activation("gelu_tanh" if options and options.approximate else "gelu")


SINGLE: dict[str, Callable[[Tree], Activation]] = {
    "ELU": lambda _: activation("elu", alpha=1.0),
    "GELU": _gelu,
    "HARD_SWISH": lambda _: activation("hard_swish"),
    "LEAKY_RELU": _leaky_relu,
    "LOGISTIC": lambda _: activation("sigmoid"),
    "RELU": lambda _: activation("relu"),
    "RELU6": lambda _: activation("relu6"),
    "TANH": lambda _: activation("tanh"),
}
"""The builtin operators that are activations, from their options to what they compute."""

OTHERS: dict[str, str] = {
    "EXP": "an exponential, perhaps part of an activation that the converter decomposed",
    "LOG_SOFTMAX": "not element-wise; `embact softmax --log` writes its C",
    "LSTM": "its activations are inside the operator",
    "PRELU": "its slopes are a tensor; `embact prelu` writes its C",
    "RELU_0_TO_1": "not in the catalogue of TFLite sites",
    "RELU_N1_TO_1": "not in the catalogue of TFLite sites",
    "SOFTMAX": "not element-wise; `embact softmax` writes its C",
    "SVDF": "its activations are inside the operator",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "its activations are inside the operator",
}
"""Operators that people take for activations and that are no sites yet."""

SHARED_GATE = "it completes no SiLU, because the sigmoid is an output or is used elsewhere"


def find_sites(model: Model) -> Findings:
    """Return every activation of the model: the sites, and the ones that are none, with reasons.

    Raises EmbactError if the model is not quantised at all, and says how to quantise it.
    """
    graphs = [graph_of(model, number) for number in range(len(model.tree.subgraphs))]
    _require_quantised(model, graphs)
    sites: list[Site] = []
    skipped: list[Skipped] = []
    for graph in graphs:
        pairs = _pairs(graph)
        inside = set(pairs.muls.values())
        for operator, op in enumerate(graph.ops):
            if operator in inside:
                continue
            found = _examine(graph, (operator, *_second(pairs, operator)))
            if isinstance(found, Site):
                sites.append(found)
            elif reason := SHARED_GATE if operator in pairs.broken else found:
                command, about = command_for(model, graph, operator)
                if about:
                    about = f"; {about}" if command else f", but not of this one: {about}"
                note = about + _class_note(model, graph, operator)
                skipped.append(Skipped(graph.number, operator, op, reason + note, command))
    return Findings(tuple(sites), tuple(skipped))


def _class_note(model: Model, graph: Graph, operator: int) -> str:
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


def _second(pairs: _Pairs, operator: int) -> tuple[int, ...]:
    return (pairs.muls[operator],) if operator in pairs.muls else ()


def _examine(graph: Graph, operators: tuple[int, ...]) -> Site | str:
    """Return the site at the operators, or why there is none, or "" for no activation."""
    obstacle = _obstacle(graph, operators)
    if obstacle is not None:
        return obstacle
    first, op = graph.tree.operators[operators[0]], graph.ops[operators[0]]
    source, target = graph.tensors(operators[0])[0][0], graph.tensors(operators[-1])[1][0]
    tensors = graph.tree.tensors
    match tensor_grid(tensors[source]), tensor_grid(tensors[target]):
        case Grid() as grid_in, Grid() as grid_out:
            spec = QuantSpec(grid_in, grid_out)
        case str() as why, _:
            return f"its input is {why}"
        case _, why:
            return f"its output is {why}"
    try:
        known = activation("silu") if len(operators) == 2 else SINGLE[op](first.builtinOptions)
    except EmbactError as error:
        return str(error)
    return Site(
        subgraph=graph.number,
        operators=operators,
        input=source,
        output=target,
        ops=tuple(graph.ops[i] for i in operators),
        tensor=text(tensors[target].name),
        activation=known,
        spec=spec,
        elements=elements_of(tensors[source]),
    )


def _obstacle(graph: Graph, operators: tuple[int, ...]) -> str | None:
    """Return why the operators cannot be a site whatever their grids, or None if they can."""
    first, op = graph.tree.operators[operators[0]], graph.ops[operators[0]]
    if op not in SINGLE:
        converted = "already converted by embact" if op.startswith("embact_") else ""
        return converted or fused(first) or OTHERS.get(op, "")
    if graph.number:
        return "in a subgraph that control flow or another signature runs"
    ins, outs = graph.tensors(operators[0])[0], graph.tensors(operators[-1])[1]
    if not ins or not outs:
        return "it lacks an input or an output"
    if ins[0] in graph.constant:
        return "its input is a constant"
    source, target = graph.tree.tensors[ins[0]], graph.tree.tensors[outs[0]]
    if elements_of(source) != elements_of(target):
        return f"its shape changes from {shape_of(source)} to {shape_of(target)}"
    return None


@dataclass(frozen=True)
class _Pairs:
    """mul(x, logistic(x)) in a graph. muls: the MUL by its LOGISTIC. broken: MULs that fail."""

    muls: dict[int, int]
    broken: frozenset[int]


def _pairs(graph: Graph) -> _Pairs:
    """Return the pairs that are a SiLU, and the ones whose sigmoid something else reads too.

    The MUL must have no fused activation and a quantised output; the sigmoid must not be an output.
    """
    gates = {
        gate: i
        for i, op in enumerate(graph.ops)
        if op == "LOGISTIC"
        for gate in graph.tensors(i)[1]
    }
    muls: dict[int, int] = {}
    broken: set[int] = set()
    for operator, op in enumerate(graph.ops):
        ins, outs = graph.tensors(operator)
        if op != "MUL" or len(ins) != 2 or not outs or fused(graph.tree.operators[operator]):
            continue
        for gate, other in (ins, ins[::-1]):
            if gate not in gates or graph.tensors(gates[gate])[0] != [other]:
                continue
            if graph.uses[gate] != 1:
                broken.add(operator)
            elif isinstance(tensor_grid(graph.tree.tensors[outs[0]]), Grid):
                muls[gates[gate]] = operator
    return _Pairs(muls, frozenset(broken))


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
            allowed="int8 or int16 activations; convert with TFLiteConverter, "
            "optimizations = [Optimize.DEFAULT], a representative_dataset and "
            "target_spec.supported_ops = [OpsSet.TFLITE_BUILTINS_INT8]",
            where=model.where,
        )


def nothing_to_do(findings: Findings) -> str:
    """Return in one line why a model has no site; empty if it has one.

    >>> nothing_to_do(Findings((), ()))
    'no activation operator in this model'
    """
    if findings.sites:
        return ""
    if not findings.skipped:
        return "no activation operator in this model"
    counted = Counter((skip.op, skip.reason) for skip in findings.skipped)
    listed = [f"{n} {op}: {reason}" for (op, reason), n in counted.most_common()]
    return "no activation to replace; " + "; ".join(listed)
