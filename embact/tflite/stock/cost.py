"""What a site costs on a core today, and whether TFLM can run it.

Today's costs are instructions of TFLM's own kernels, counted once and packaged as
``tflm_costs.json``; what was not counted is unknown, never guessed. This module must not know how
anything is counted, or kernels of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Literal

import msgspec

from embact.cores import CORES, DEFAULT_CORE
from embact.errors import EmbactError, unknown_name
from embact.sources import data_file
from embact.tflite.graph import graph_of
from embact.tflite.model import elements_of, names_of, shape_of
from embact.tflite.ops import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from embact.tflite.graph import Graph
    from embact.tflite.model import Model
    from embact.tflite.site import LayerSite, Site

SCHEMA = 1
FILE = "tflm_costs.json"

KERNELS = ("cmsis_nn", "reference")
"""Which of TFLM's kernels counts: CMSIS-NN's where its build for Arm has one."""

COMPARISONS = {"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"}
ARITHMETIC = {"ADD", "SUB", "MUL", "DIV", "MINIMUM", "MAXIMUM"}
TWO_WAY = COMPARISONS | ARITHMETIC | {"SELECT_V2", "PRELU"}
"""Operators of several operands, which take other ways where the shapes of these differ."""

RENAMING = {"QUANTIZE", "DEQUANTIZE", "CAST"}
"""Operators of one type to another."""


@dataclass(frozen=True)
class KernelCost:
    """Instructions of one of TFLM's kernels for each element, by core; None: not counted.

    types: of the input, or input>output of RENAMING. operands: for TWO_WAY equal, scalar (one
    operand is one number) or channels (one number for each of the last axis). kernel: one of
    KERNELS. per_row: what each row costs besides; None where there are no rows.
    """

    operator: str
    types: str
    operands: str
    kernel: str
    instructions: tuple[float | None, ...]
    per_row: tuple[float | None, ...] | None = None


@dataclass(frozen=True)
class TflmCosts:
    """The packaged data file.

    float_unit: what each core was counted with. refused: operators and types that TFLM's kernel
    turned down when it was asked to run them.
    """

    schema: int
    tflite_micro: str
    cmsis_nn: str
    compiler: str
    emulator: str
    method: str
    float_unit: dict[str, str]
    cores: tuple[str, ...]
    measured: tuple[KernelCost, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class OperatorCost:
    """One operator of a site. instructions: for all its elements in an inference, or None.

    about: its types and operands. kernel: whose was counted, or why nothing was.
    """

    operator: str
    about: str
    instructions: float | None
    kernel: str


@dataclass(frozen=True)
class StockCost:
    """What a site costs today. elements: of the site, in an inference."""

    core: str
    elements: int
    operators: tuple[OperatorCost, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """The operators whose cost is not known, each once, with the reason."""
        known = (one for one in self.operators if one.instructions is None)
        return tuple(dict.fromkeys(f"{one.operator} {one.about}: {one.kernel}" for one in known))

    @property
    def per_inference(self) -> float | None:
        """Instructions for an inference, or None if a part is not known."""
        counts = [one.instructions for one in self.operators if one.instructions is not None]
        return sum(counts) if len(counts) == len(self.operators) else None

    @property
    def per_element(self) -> float | None:
        """Instructions for an element, or None if a part is not known."""
        whole = self.per_inference
        return None if whole is None or not self.elements else whole / self.elements


@dataclass(frozen=True)
class TflmVerdict:
    """Whether TFLM can run a site as it is. why: the operator and the reason, "" for yes.

    in float: some of it runs in float32. wrong: it runs, and gives other results than TFLite.
    """

    answer: Literal["yes", "in float", "no", "wrong"]
    why: str = ""


def stock_cost(
    model: Model,
    site: Site | LayerSite,
    core: str = DEFAULT_CORE,
    *,
    graph: Graph | None = None,
) -> StockCost:
    """Return what TFLM's kernels take for a site. graph: of its subgraph, if it is at hand.

    Raises EmbactError for an unknown core.
    """
    if core not in CORES:
        raise unknown_name("core", core, CORES)
    graph = graph_of(model, site.subgraph) if graph is None else graph
    operators = tuple(_operator_cost(graph, position, core) for position in site.operators)
    return StockCost(core, site.elements, operators)


def _operator_cost(graph: Graph, position: int, core: str) -> OperatorCost:
    op = graph.ops[position]
    types, operands = types_of(graph, position), operands_of(graph, position)
    about = ", ".join(filter(None, (types, operands)))
    costs = packaged()
    found = {
        one.kernel: one
        for one in costs.measured
        if (one.operator, one.types, one.operands) == (op, types, operands)
    }
    one = next((found[kernel] for kernel in KERNELS if kernel in found), None)
    if one is None:
        refusal = _refusal(graph, position)
        return OperatorCost(op, about, None, refusal or "not counted")
    place = costs.cores.index(core)
    each, row = one.instructions[place], one.per_row[place] if one.per_row else 0.0
    if each is None or row is None:
        return OperatorCost(op, about, None, f"not counted on {core}")
    ins, outs = graph.tensors(position)
    tensor = graph.tree.tensors[ins[-1] if op == "SPLIT" else outs[0]]
    elements = elements_of(tensor)
    rows = elements / max(1, (1, *shape_of(tensor))[-1]) if one.per_row else 0
    return OperatorCost(op, about, each * elements + row * rows, one.kernel)


def types_of(graph: Graph, position: int) -> str:
    """Return the type of an operator's data, lower case, as KernelCost has it."""
    ins, outs = graph.tensors(position)
    op, names = graph.ops[position], names_of("TensorType")

    def type_of(index: int) -> str:
        return names.get(graph.tree.tensors[index].type, "?").lower()

    if not ins or not outs:
        return "?"
    source = type_of(ins[1] if op in {"SELECT", "SELECT_V2", "SPLIT"} and len(ins) > 1 else ins[0])
    same = op not in RENAMING and (op, source, type_of(outs[0])) != ("SOFTMAX", "int8", "int16")
    return source if same else f"{source}>{type_of(outs[0])}"


def operands_of(graph: Graph, position: int) -> str:
    """Return how the shapes of an operator's operands compare, as KernelCost has it."""
    op = graph.ops[position]
    if op not in TWO_WAY:
        return ""
    ins, outs = graph.tensors(position)
    tensors = graph.tree.tensors
    whole = shape_of(tensors[outs[0]])
    others = [shape_of(tensors[i]) for i in ins if shape_of(tensors[i]) != whole]
    if not others:
        return "equal"
    if op == "PRELU":  # one slope for all goes the same way
        return "channels"
    return "scalar" if all(prod(shape) == 1 for shape in others) else "channels"


def tflm_verdict(
    model: Model, site: Site | LayerSite, *, graph: Graph | None = None
) -> TflmVerdict:
    """Return whether TFLM can run a site's operators, on the types that they have in the model.

    Its RELU6 clamps codes and does not rescale them, as TFLite's does, so that its results are
    wrong where the scales differ.
    """
    graph = graph_of(model, site.subgraph) if graph is None else graph
    refused = dict.fromkeys(_refusal(graph, i) for i in site.operators)
    if any(refused):
        return TflmVerdict("no", "; ".join(filter(None, refused)))
    if any(graph.ops[i] == "RELU6" and _rescales(graph, i) for i in site.operators):
        return TflmVerdict("wrong", "RELU6 clamps and does not rescale; its scales differ")
    floats = {graph.ops[i]: None for i in site.operators if "float32" in types_of(graph, i)}
    if floats:
        return TflmVerdict("in float", ", ".join(floats))
    return TflmVerdict("yes")


def stops_of_tflm(model: Model, ours: Collection[int] = ()) -> tuple[str, ...]:
    """Return what TFLM's own kernels cannot do or do wrongly in a model, each in one sentence.

    Of the operators that activations are made of, in the first subgraph, as far as TFLM's resolver
    has them. ours: the places of operators that have another kernel.
    """
    graph = graph_of(model, 0)
    said: dict[str, None] = {}
    for place, op in enumerate(graph.ops):
        if place in ours or op not in OPERATORS or not OPERATORS[op].tflm:
            continue
        if types_of(graph, place).split(">")[0] not in {"float32", "int8", "int16"}:
            continue
        if reason := _refusal(graph, place):
            said[f"{reason}: the model does not run there"] = None
        elif op == "RELU6" and _rescales(graph, place):
            said["TFLM's RELU6 does not rescale: results are wrong, as its scales differ"] = None
    return tuple(said)


def _refusal(graph: Graph, position: int) -> str:
    """Return why TFLM does not run an operator, or ""."""
    op, types = graph.ops[position], types_of(graph, position)
    source = types.split(">")[0]
    if (op, types) in {(one.operator, one.types) for one in packaged().measured}:
        return ""
    known = OPERATORS.get(op)
    if known is None:
        return f"TFLM is not known to run {op} of {types}"
    if not known.tflm:
        return f"TFLM has no {op}"
    if source not in known.tflm:
        order = ("float32", "int8", "int16")
        return f"TFLM's {op} takes {', '.join(t for t in order if t in known.tflm)}, not {source}"
    return ""


def _rescales(graph: Graph, position: int) -> bool:
    """Whether a quantised operator's input and output have different grids."""
    (source, *_), (target, *_) = graph.tensors(position)
    grids = [graph.tree.tensors[i].quantization for i in (source, target)]
    if any(grid is None or grid.scale is None for grid in grids):
        return False
    one, other = ([float(grid.scale[0]), int(grid.zeroPoint[0])] for grid in grids)
    return one != other


@lru_cache
def packaged() -> TflmCosts:
    """Return the packaged costs."""
    return read(data_file(FILE))


def read(path: Path) -> TflmCosts:
    """Return the costs of a file. Raises EmbactError if it is not one of this schema."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=TflmCosts)
    except msgspec.DecodeError as error:
        raise EmbactError("not a file of TFLM's costs", got=error, where=str(path)) from None
    if found.schema != SCHEMA:
        where = str(path)
        raise EmbactError(
            "schema of TFLM's costs", got=found.schema, allowed=str(SCHEMA), where=where
        )
    count = len(found.cores)
    whole = all(len(one.instructions) == count for one in found.measured)
    if not whole or set(found.cores) != set(CORES) or set(found.float_unit) != set(CORES):
        raise EmbactError("TFLM's costs of a core are missing", where=str(path))
    return found
